#!/bin/sh
# SPDX-License-Identifier: MIT
# What mmkit replay promises about its results.
# shellcheck disable=SC2016 # the dollars are Perl's
# shellcheck source=tests/cli/common
. "$(dirname "$0")/common"

if ! have_json; then
	skip replay "perl has no JSON::PP to read the results with"
	finish
fi

trace=traces/sqlite.trace
r='$j->{runs}[0]'

# The same input, options and seed: the same digest.
succeeds small-memory replay $trace --mem 16M --swap 256M --seed 7 --json
holds json-schema "$(json '$j->{schema}')" = mmkit.replay/1
first=$(json "$r{digest}")
holds digest-16-hex-digits \
	"$(printf %s "$first" | tr -d '0-9a-f' | wc -c) ${#first}" = "0 16"
holds swaps-out "$(json "$r{vmstat}{pswpout}")" -gt 0
holds no-data-errors "$(json "$r{data_errors}")" -eq 0
holds contents-were-checked "$(json "$r{data_checks}")" -gt 1000
holds no-access-errors "$(json "$r{access_errors}")" -eq 0
holds nobody-killed "$(json "$r{killed_tasks}")" -eq 0
holds json-fields "$(json "join ',', grep { !exists ${r}{\$_} } qw(mem_bytes
	swap_bytes cpus seed policy references footprint_pages vmstat
	min_pageins pageins pageins_over_min tlb_hits tlb_misses data_errors
	virtual_ns wall_ns digest)")" = ""
holds footprint-24-mib "$(json "$r{footprint_pages}")" -ge 6144
run replay $trace --mem 16M --swap 256M --seed 7 --json
holds same-digest-again "$(json "$r{digest}")" = "$first"

# Memory for everything: no swap, no major fault.
run replay $trace --mem 1G --swap 256M --json
holds ample-memory-no-swap "$(json "$r{vmstat}{pswpout}, $r{vmstat}{pswpin}")" \
	= "0 0"
holds ample-memory-no-major-fault \
	"$(json "$r{major_faults}, $r{vmstat}{pgmajfault}")" = "0 0"
holds ample-memory-every-page-once \
	"$(json "$r{minor_faults} >= $r{footprint_pages} ? 1 : 0")" -eq 1

# A list: one run for each size, the curve, and never better than the optimum.
run replay $trace --mem 8M,16M,32M,64M --swap 256M --seed 7 --json
holds list-one-run-each \
	"$(json 'map { $_->{mem_bytes} >> 20 } @{$j->{runs}}')" = "8 16 32 64"
holds list-equals-single-run "$(json '$j->{runs}[1]{digest}')" = "$first"
for t in traces/*.trace; do
	# Replayed below, with the policy that it is for.
	[ "$t" = traces/loop.trace ] && continue
	case $t in
	*sort*) sizes=1200K,1280K,2M ;;
	*bzip2*) sizes=1600K,2M ;;
	*awk* | *merge*) sizes=2M,4M ;;
	*python*) sizes=2M,4M,6M,8M ;;
	*) sizes=3M,6M,10M,20M ;;
	esac
	run replay "$t" --mem $sizes --swap 256M --json
	holds "not-better-than-optimum-$(basename "$t")" "$status $(json '
		join ",", map { "$_->{mem_bytes}: $_->{pageins} < $_->{min_pageins}" }
		grep { $_->{pageins} < $_->{min_pageins} } @{$j->{runs}}')" \
		= "0 "
	holds "contents-right-$(basename "$t")" "$(json '
		my $n = 0; $n += $_->{data_errors} for @{$j->{runs}}; $n')" -eq 0
	holds "some-paging-$(basename "$t")" "$(json '$j->{runs}[0]{pageins}')" \
		-gt 0
done

# Policies against sizes: a run for each point, policy by policy; sizes in
# percent of what the program uses are met to a few pages.
run replay traces/python.trace --policy clock,arc --mem 30%,4M --swap 64M --json
holds policies-by-sizes "$status $(json 'join " ", map {
	"$_->{policy}:" . ($_->{mem_percent} // ($_->{mem_bytes} >> 20)) }
	@{$j->{runs}}')" = "0 clock:30 clock:4 arc:30 arc:4"
run replay traces/python.trace --mem 1G --json --no-min
all=$(json "$r{peak_user_pages}")
run replay traces/python.trace --policy clock --mem 30% --swap 64M --json
holds percent-of-use "$(json "abs($r{peak_user_pages} - $all * 0.3) <= 8 ? 1 : 0")" -eq 1
holds policy-costs "$(json "$r{stall_ns} > 0 && $r{stall_ns} < $r{virtual_ns} \
	&& $r{scanned_per_reclaimed} >= 1 ? 1 : 0")" -eq 1
run replay traces/python.trace --policy clock,arc --mem 4M --swap 64M --no-min
holds matrix-printed "$status $(grep -c '^clock ' "$work/out") $(grep -c '^arc ' "$work/out")" = "0 4 4"

# A loop over more than memory: what recency misses whole, s3loop keeps a part
# of. The last size is 75 %, where one that takes every ghost in is at 2.0.
run replay traces/loop.trace --policy s3loop --mem 18124K,27304K --swap 256M --json
holds loop-seen "$status $(json 'join " ", map { $_->{pageins_over_min} }
	grep { $_->{pageins_over_min} > ($_->{mem_bytes} < 20 << 20 ? 1.2 : 1.4) }
	@{$j->{runs}}')" = "0 "

# Several CPUs and other seeds keep what was written as well.
run replay $trace --mem 12M --swap 256M --cpus 4 --seed 3 --json --no-min
holds four-cpus "$status $(json "$r{data_errors}, $r{cpus}")" = "0 0 4"
run replay $trace --mem 12M --swap 256M --explore --seed 99 --json --no-min
holds explored-schedule "$status $(json "$r{data_errors}, $r{seed}")" = "0 0 99"

# Tasks in control groups of their own: the one with a limit keeps it and pays
# for it, the others do not notice.
run replay traces/cc.trace --mem 64M --swap 256M --no-min --memcg 1=3M,max --json
holds memcg-limit "$status $(json "join ' ', map { my \$g = \$_;
	\$g->{task} . ':' . (\$g->{peak} <= 3 << 20 && \$g->{refaults} > 1000 &&
	\$g->{max_events} > 0 && \$g->{some_us} > 0 ? 'pays' :
	\$g->{refaults} + \$g->{max_events} + \$g->{some_us} ? 'suffers' : 'free') .
	\$g->{oom_kills} } @{$r{memcg}}")" = "0 0:free0 1:pays0 2:free0"
holds memcg-contents "$(json "$r{data_errors} + $r{leaks}")" -eq 0
run replay traces/cc.trace --mem 64M --no-min --memcg 1=2M
holds memcg-kill "$status $(awk '$1 == 1 && $2 == "2M" { print $9 }' "$work/out")" = "0 1"
run replay traces/cc.trace --memcg 1=2M,1=3M
holds memcg-twice "$status" -eq 2
finish
