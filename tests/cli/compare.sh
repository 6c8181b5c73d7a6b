#!/bin/sh
# SPDX-License-Identifier: MIT
# mmkit compare: pairs, ratios, and files that are no results.
# shellcheck disable=SC2016 # the dollars are Perl's
# shellcheck source=tests/cli/common
. "$(dirname "$0")/common"

trace=traces/sort.trace
# results NAME OPTION... - a file of replay's
results() {
	file=$work/$1
	shift
	"$MMKIT" replay $trace --swap 64M --no-min -q --json "$@" >"$file"
}
results a.json --mem 1400K
results b.json --mem 1356K
results list.json --mem 1400K,2M,3M
results short.json --mem 2M,1400K --policy clock,classic

# row NAME - of the table: A, B and their ratio
row() {
	sed -n "s/^$1  *//p" "$work/out" | tr -s ' ' | sed 's/ $//'
}

succeeds two-runs compare "$work/a.json" "$work/b.json"
holds equal "$(row references)" = "1488829 1488829 ="
holds ratio "$(row memory)" = "1400K 1356K 0.969"
if have_json; then
	# The ratio is of what the files say, to what is printed of it.
	a=$(perl -MJSON::PP -e 'local $/; print decode_json(<>)->{runs}[0]{pageins}' "$work/a.json")
	b=$(perl -MJSON::PP -e 'local $/; print decode_json(<>)->{runs}[0]{pageins}' "$work/b.json")
	holds of-the-files "$(row page-ins)" = \
		"$a $b $(awk "BEGIN { printf \"%.3f\", $b / $a }")"
	succeeds json compare --json "$work/a.json" "$work/b.json"
	holds json-schema "$(json '$j->{schema}')" = mmkit.compare/1
	holds json-row "$(json '
		my ($r) = grep { $_->{name} eq "pageins" } @{$j->{pairs}[0]{rows}};
		"$r->{a} $r->{b} " . (abs($r->{ratio} - $r->{b} / $r->{a}) < 1e-9)')" = \
		"$a $b 1"
	holds no-row-of-nothing "$(json '
		scalar grep { !defined $_->{a} && !defined $_->{b} }
		@{$j->{pairs}[0]{rows}}')" -eq 0
	holds tasks "$(json '
		my %r = map { $_->{name} => $_ } @{$j->{pairs}[0]{rows}};
		my $t = $r{"tasks.task 0.peak_bytes"};
		($t->{a} > 512 << 10) . " " . ($t->{b} > 512 << 10) . " " .
			exists $r{"tasks.task 0.swap_bytes"}')" = "1 1 1"
	succeeds all compare --json --all "$work/a.json" "$work/b.json"
	holds all-counters "$(json '
		my %n; $n{$_->{name}}++ for @{$j->{pairs}[0]{rows}};
		($n{"vmstat.pgfault"} // 0) . " " . grep { $_ > 1 } values %n')" = "1 0"
	# Other numbers of runs: by policy and memory.
	succeeds lists compare --json "$work/list.json" "$work/a.json"
	holds by-memory "$(json '"$j->{pairs}[0]{a} $j->{alone_a} $j->{alone_b} " .
		@{$j->{pairs}}')" = "classic, 1400K, x86-64, 1 CPU, seed 1 2 0 1"
	succeeds policies compare --json "$work/short.json" "$work/list.json"
	holds by-policy "$(json 'join "; ", (map { $_->{a} eq $_->{b} ? "same" :
		"$_->{a}/$_->{b}" } @{$j->{pairs}}), $j->{alone_a}, $j->{alone_b}')" = \
		"same; same; 2; 1"
else
	skip json "perl has no JSON::PP to read the results with"
fi
run compare "$work/list.json" "$work/a.json"
holds alone-said "$(grep -c 'note: 2 runs of .*list.json left alone' "$work/out")" -eq 1

# Runs of other programs can be compared, but it is said.
"$MMKIT" replay traces/awk.trace --mem 8M --no-min -q --json >"$work/awk.json"
run compare "$work/a.json" "$work/awk.json"
holds other-program "$status $(grep -c 'different numbers of references' "$work/out")" = "0 1"

succeeds page compare "$work/a.json" "$work/b.json" --report "$work/page.html"
holds page-rows "$(grep -c '<tr><th scope="row">' "$work/page.html")" -gt 15
holds page-bars "$(grep -c 'class="less"' "$work/page.html")" -gt 1
holds page-whole "$(tail -n 1 "$work/page.html")" = "</body></html>"

# What is no file of runs.
refused 1 no-file "$work/none.json" compare "$work/none.json" "$work/b.json"
echo '{"schema": "mmkit.replay/1", "runs": [' >"$work/cut.json"
refused 1 cut-off "cut.json: line 2" compare "$work/a.json" "$work/cut.json"
echo '{"schema": "mmkit.compare/1", "runs": []}' >"$work/other.json"
refused 1 other-schema "mmkit.compare/1, not mmkit.replay/1" \
	compare "$work/other.json" "$work/b.json"
echo '[1, 2]' >"$work/list"
refused 1 no-schema "names no schema" compare "$work/list" "$work/b.json"
echo '{"schema": "mmkit.replay/1", "runs": []}' >"$work/empty.json"
refused 1 no-run "no run in it" compare "$work/a.json" "$work/empty.json"
echo '{"schema": "mmkit.replay/1", "runs": [3]}' >"$work/three.json"
refused 1 no-object "run 1 is no object" compare "$work/three.json" "$work/a.json"
results far.json --mem 5M,6M
refused 1 nothing-in-common "none of equal" compare "$work/a.json" "$work/far.json"
refused 1 a-trace "traces/sort.trace" compare $trace "$work/a.json"
refused 2 one-file "which files" compare "$work/a.json"
refused 2 three-files "third" compare "$work/a.json" "$work/b.json" x
refused 1 unwritable "/nowhere/x.html" compare "$work/a.json" "$work/b.json" \
	--report /nowhere/x.html
finish
