#!/bin/sh
# SPDX-License-Identifier: MIT
# replay --thp and --ksm: what a program would gain, held against the same run
# without.
# shellcheck disable=SC2016 # the dollars are Perl's
# shellcheck source=tests/cli/common
. "$(dirname "$0")/common"

refused 2 thp-word "sometimes" replay traces/sort.trace --thp sometimes
refused 2 thp-empty "--thp" replay traces/sort.trace --thp ''
refused 2 thp-setting "--thp" replay traces/sort.trace --thp always,defrag
refused 2 ksm-setting "--ksm" replay traces/sort.trace --ksm=run
refused 1 thp-no-file "nothing=1: no such file" replay traces/sort.trace \
	--thp never,nothing=1
refused 1 thp-bad-value "defrag=often" replay traces/sort.trace \
	--thp never,defrag=often
if ! have_json; then
	skip whatif "perl has no JSON::PP to read the results with"
	finish
fi

r='$j->{runs}[0]'
w="$r{whatif}"
trace=traces/cc.trace
succeeds plain replay $trace --mem 64M --json --quiet --no-min
misses=$(json "$r{tlb_misses}")
digest=$(json "$r{digest}")
holds nothing-asked "$(json "exists $w ? 1 : 0")" -eq 0

succeeds always replay $trace --mem 64M --json --quiet --no-min --thp always
holds always-without "$(json "$w->{without}{tlb_misses}")" -eq "$misses"
holds always-fewer-misses "$(json "$r{tlb_misses}")" -lt $((misses / 2))
holds always-covers "$(json "$w->{thp}{coverage_mean} > 0.4 ? 1 : 0")" -eq 1
holds always-fewer-faults "$(json "$r{minor_faults} <
	$w->{without}{minor_faults} ? 1 : 0")" -eq 1
holds always-counts-blocks "$(json "$w->{thp}{huge_pages_peak} >= 1 &&
	$w->{thp}{huge_pages_peak} <= $w->{thp}{fault_alloc} ? 1 : 0")" -eq 1
holds always-contents "$(json "$r{data_errors}, $r{leaks}")" = "0 0"
holds always-no-ksm "$(json "exists $w->{ksm} ? 1 : 0")" -eq 0
first=$(json "$r{digest}")
run replay $trace --mem 64M --json --quiet --no-min --thp always
holds always-same-digest "$(json "$r{digest}")" = "$first"

# Nobody in this trace asked by madvise(2), and never is never.
for mode in madvise never; do
	run replay $trace --mem 64M --json --quiet --no-min --thp $mode
	holds $mode "$(json "$r{tlb_misses}, $w->{thp}{huge_pages_peak},
		$w->{thp}{mode}")" = "$misses 0 $mode"
done
holds never-not-compared "$(json "exists $w->{without} ? 1 : 0")" -eq 0

# khugepaged finds what grew piece by piece.
run replay traces/sqlite.trace --mem 64M --json --quiet --no-min \
	--thp always,khugepaged/scan_sleep_millisecs=1
holds khugepaged "$status $(json "$w->{thp}{collapsed} > 0 &&
	$r{tlb_misses} < $w->{without}{tlb_misses} ? 1 : 0, $r{data_errors}")" \
	= "0 1 0"

# What huge pages have that the program never wrote is zero, and merged.
succeeds ksm replay $trace --mem 64M --json --quiet --no-min --thp always \
	--ksm=pages_to_scan=2000,sleep_millisecs=1
holds ksm-saves "$(json "$w->{ksm}{pages_saved_peak}")" -gt 100
holds ksm-breaks "$(json "$w->{ksm}{cow_breaks} > 0 &&
	$w->{ksm}{cow_breaks} == $r{vmstat}{cow_ksm} ? 1 : 0")" -eq 1
holds ksm-scans "$(json "$w->{ksm}{pages_scanned} >=
	$w->{ksm}{pages_saved_peak} ? 1 : 0")" -eq 1
holds ksm-contents "$(json "$r{data_errors}, $r{leaks}")" = "0 0"
holds ksm-without "$(json "$w->{without}{tlb_misses}")" -eq "$misses"
run replay $trace --mem 64M --json --quiet --no-min --ksm
holds ksm-alone "$status $(json "exists $w->{thp} ? 1 : 0,
	$w->{without}{tlb_misses}, $w->{ksm}{pages_scanned} > 0 ? 1 : 0")" \
	= "0 0 $misses 1"

# Both, with too little memory, in a list of sizes; and as text.
run replay $trace --mem 8M,12M --swap 64M --json --quiet --no-min \
	--thp always --ksm=pages_to_scan=1000,sleep_millisecs=1
holds both "$status $(json 'join " ", map { $_->{data_errors} + $_->{leaks} .
	(exists $_->{whatif}{ksm} && exists $_->{whatif}{thp} ? "y" : "n") .
	($_->{whatif}{without}{pageins} > 0 ? "y" : "n") }
	@{$j->{runs}}')" = "0 0yy 0yy"
run replay $trace --mem 64M --quiet --no-min --thp always
holds text "$(grep -cE '^(coverage, mean  .*%|without: TLB misses .* '"$misses"')$' \
	"$work/out")" -eq 2
run replay $trace --mem 64M --json --quiet --no-min
holds undisturbed "$(json "$r{digest}")" = "$digest"
finish
