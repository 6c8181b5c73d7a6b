#!/bin/sh
# SPDX-License-Identifier: MIT
# share: fast
# Files of the guest's /proc and /sys as a directory, and as JSON.
# shellcheck source=tests/metal/lib
. "$(dirname "$0")/lib"
needs busybox
alive /proc/zoneinfo

m=$(mem 64M 256M)
in_guest --mem "$m" --swap 32M --machine pc --nodes 2 --dump-proc "$work/d" -- \
	busybox sh -c 'exit 3'
holds "the program's status" "$status" -eq 3
for f in buddyinfo zoneinfo vmstat meminfo slabinfo swaps 1/smaps \
	1/smaps_rollup; do
	[ -s "$work/d/proc/$f" ] && [ -s "$work/d/json/proc/$f.json" ] ||
		echo "$f"
done >"$work/missing"
for f in stat interrupts iomem diskstats loadavg 1/status; do
	[ -s "$work/d/proc/$f" ] || echo "$f"
done >>"$work/missing"
holds "the files" "$(cat "$work/missing")" = ""
node=/sys/devices/system/node/node
holds "of each node" "$(cat "$work/d/json$node"[01]/meminfo.json |
	grep -c '"MemTotal": [1-9]')" -eq 2
# The machine of this run, not one of a simulation.
holds "its swap" "$(awk '/^SwapTotal/ { print $2 }' "$work/d/proc/meminfo")" \
	-gt 30000
if command -v python3 >/dev/null; then
	python3 tests/cli/dump_figures "$work/d" 2>"$work/why"
	holds "the same figures as JSON: $(tail -n 1 "$work/why")" $? -eq 0
else
	skip "the same figures as JSON" "there is no python3"
fi
schema=build/release/tests/sim/test_schema
if [ -x "$schema" ]; then
	find "$work/d/json" -name '*.json' | while read -r f; do
		"$schema" proc "$f" >"$work/why" 2>&1 || echo "$f: $(cat "$work/why")"
	done >"$work/bad"
	holds "each keeps to the schema" "$(head -c 300 "$work/bad")" = ""
else
	skip "each keeps to the schema" "test_schema is not built"
fi
# Nothing is written over, and that is said before the machine starts.
in_guest --mem "$m" --dump-proc "$work/d" -- busybox true
holds "not empty is refused" "$(grep -c 'not empty' "$work/err")" -eq 1
finish
