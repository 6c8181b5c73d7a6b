#!/bin/sh
# SPDX-License-Identifier: MIT
# The table, the report and the end of memory, as people see them.
# shellcheck source=tests/cli/common
. "$(dirname "$0")/common"

trace=traces/sqlite.trace

succeeds table replay $trace --mem 8M,16M,32M,64M --swap 256M --seed 7
for row in references 'footprint, pages' 'minor faults' 'major faults' \
	'reclaimed by kswapd' 'reclaimed directly' 'swapped out' 'swapped in' \
	refaults 'peak use, pages' 'TLB hits' 'TLB misses' \
	'virtual time, ms' 'wall time, ms' "optimum's page-ins" \
	'page-ins / optimum' digest; do
	holds "row-$(echo "$row" | tr -c 'a-zA-Z\n' -)" \
		"$(grep -c "^$row  " "$work/out")" -eq 1
done
holds column-for-each-size "$(awk '$1 == "memory" { $1 = ""; print }' \
	"$work/out")" = " 8M 16M 32M 64M"
# The note is there exactly when a larger size took more page-ins.
inversions=$(awk '/^swapped in / {
	for (i = 4; i <= NF; i++)
		n += $i > $(i - 1)
	print n + 0 }' "$work/out")
holds anomalies-are-said "$(grep -c '^note: ' "$work/out")" -eq "$inversions"

# The report: complete, and no half one beside it.
run replay $trace --mem 8M,16M --swap 256M --report "$work/r.html"
holds report-written "$status $(tail -n 1 "$work/r.html")" = "0 </body></html>"
holds report-curves "$(grep -c '<figure class="chart">' "$work/r.html")" -ge 23
holds report-alone "$(find "$work" -name 'r.html*' | wc -l)" -eq 1
holds report-needs-no-network "$(grep -cF "content=\"default-src 'none'; " "$work/r.html")" -eq 1
run replay traces/sort.trace --report "$work/no/r.html"
holds report-unwritable "$status $(grep -cF "$work/no/r.html" "$work/err")" \
	= "1 1"
run replay traces/sort.trace --report "$work"
holds report-onto-a-folder "$status $(grep -cF "$work" "$work/err")" = "1 1"

# No swap and too little memory: the victim is named, the end is orderly.
for mem in 2M 4M 8M; do
	RUN_LIMIT=20 run replay $trace --mem $mem
	holds "oom-$mem-ends" "$status" -eq 0
	holds "oom-$mem-names-victim" "$(grep -c \
		'^out of memory: Killed process [0-9]* (.*)' "$work/out")" -eq 1
	holds "oom-$mem-no-data-errors" \
		"$(awk '/^data errors/ { print $3 }' "$work/out")" -eq 0
done
# Swap too small: the same, and the swap was used.
RUN_LIMIT=20 run replay $trace --mem 4M --swap 2M
holds oom-full-swap "$status $(grep -c '^out of memory: Killed' "$work/out") $(
	awk '/^swapped out/ { print ($3 > 0) }' "$work/out")" = "0 1 1"

# Every frame is accounted for, whatever happened.
audit() {
	name=$1
	shift
	run replay $trace --no-min --show mmkit/audit "$@"
	holds "audit-$name" "$status $(grep '^verdict' "$work/out")" \
		= "0 verdict: clean"
}
audit swapping --mem 16M --swap 256M
audit ample --mem 1G
audit out-of-memory --mem 4M --swap 2M
audit four-cpus --mem 12M --swap 64M --cpus 4 --explore --seed 5

# A standard output that cannot be written to is a failure.
if [ -c /dev/full ]; then
	timeout 20 "$MMKIT" replay traces/sort.trace >/dev/full 2>"$work/err"
	status=$?
	holds full-standard-output "$status" -eq 1
else
	skip full-standard-output "no /dev/full here"
fi
finish
