#!/bin/sh
# SPDX-License-Identifier: MIT
# The simulated machine's /proc and /sys as a directory: the files are those
# that --show prints, and Debian's free, vmstat and slabtop read them.
# shellcheck disable=SC2016 # the dollars are awk's and the inner shell's
# shellcheck source=tests/cli/common
. "$(dirname "$0")/common"

dir=$work/dump
succeeds boot boot --mem 96M --swap 32M --nodes 2 --cpus 2 --dump-proc "$dir"
holds boot-quiet "$(wc -c <"$work/out")" -eq 0

# same FILE - it is what --show prints
same() {
	run boot --mem 96M --swap 32M --nodes 2 --cpus 2 --show "$1"
	if [ "$status" -eq 0 ] && cmp -s "$work/out" "$dir$1"; then
		ok "same-$1"
	else
		not_ok "same-$1" "$(cmp "$work/out" "$dir$1" 2>&1); $(why)"
	fi
}
for f in buddyinfo iomem meminfo pagetypeinfo slabinfo swaps vmallocinfo \
	vmstat zoneinfo mmkit/frames; do
	same /proc/$f
done
same /sys/kernel/debug/extfrag/extfrag_index
same /sys/kernel/debug/shrinker
same /sys/kernel/slab/kmalloc-64/object_size
same /sys/kernel/slab/kmalloc-64/total_objects
holds audit-is-none "$(find "$dir" -name audit | wc -l)" -eq 0
holds names-and-no-text "$(find "$dir" ! -type d ! -type f | wc -l)" -eq 0

# says FILE TEXT
says() {
	holds "says-$1" "$(cat "$dir$1")" = "$2"
}
says /proc/sys/vm/swappiness 60
says /proc/sys/kernel/numa_balancing 0
says /sys/kernel/mm/transparent_hugepage/hpage_pmd_size 2097152
says /sys/kernel/mm/ksm/run 0
says /sys/devices/system/memory/memory0/state online
says /sys/devices/virtual/memory_tiering/memory_tier4/nodelist 0-1
says /sys/module/zswap/parameters/compressor lz4
holds each-cache "$(find "$dir/sys/kernel/slab" -mindepth 1 -type d | wc -l)" \
	-eq "$(sed 1,2d "$dir/proc/slabinfo" | wc -l)"
holds no-traces "$(find "$dir/sys/kernel/debug/slab" 2>/dev/null | wc -l)" \
	-eq 0

# With other output, and an empty directory that is there already.
mkdir "$work/empty"
succeeds json boot --mem 32M --json --dump-proc "$work/empty"
holds json-printed "$(grep -c mmkit.boot/1 "$work/out")" -eq 1
holds json-written "$(grep -c '^MemTotal' "$work/empty/proc/meminfo")" -eq 1
succeeds traces boot --mem 32M --slub-debug=U --dump-proc "$work/traces"
holds traces-written "$(find "$work/traces/sys/kernel/debug/slab" \
	-name alloc_traces | wc -l)" -gt 20
succeeds x86-32 boot --mem 64M --arch x86-32 --dump-proc "$work/32"

holds not-nothing "$(cat "$dir"/proc/[a-z]*info "$dir/proc/vmstat" | wc -l)" \
	-gt 400

# A run: its last task is there, and every counter of the run is what it is
# without; but reading takes virtual time, which is in the digest.
counters() {
	grep -vE '"(virtual_ns|wall_ns|digest)":' "$work/out"
}
set -- replay traces/sort.trace --mem 4M --swap 64M --no-min --quiet --json
succeeds replay-without "$@"
counters >"$work/want"
succeeds replay "$@" --dump-proc "$work/run"
counters >"$work/have"
holds replay-counters "$(diff "$work/want" "$work/have" | head -n 4)" = ""
holds replay-has-counters "$(grep -c pgfault "$work/have")" -ge 1
holds replay-one-task "$(cd "$work/run/proc" && echo [0-9]*)" -gt 0
task=$(echo "$work/run/proc"/[0-9]*)
for f in maps numa_maps smaps smaps_rollup statm status; do
	holds "replay-$f" -s "$task/$f"
done
# Its memory by statm, by its mappings and by status, in kB.
holds replay-size "$(awk '{ print $1 * 4 }' "$task/statm")" -eq \
	"$(awk '/^VmSize/ { print $2 }' "$task/status")"
holds replay-rss "$(awk '/^Rss/ { n += $2 } END { print n }' "$task/smaps")" \
	-eq "$(awk '/^Rss/ { print $2 }' "$task/smaps_rollup")"
holds replay-in-memory "$(awk '/^AnonPages/ { print $2 }' \
	"$work/run/proc/meminfo")" -gt 100
succeeds replay-percent replay traces/sort.trace --mem 50% --swap 64M \
	--no-min --quiet --thp=never --dump-proc "$work/percent"

# What cannot be.
refused 1 not-empty "$dir" boot --dump-proc "$dir"
refused 1 not-empty-replay "$dir" "$@" --dump-proc "$dir"
: >"$work/file"
refused 1 a-file "$work/file" boot --dump-proc "$work/file"
refused 1 no-parent "$work/none/dir" boot --dump-proc "$work/none/dir"
refused 1 no-name "cannot create" boot --dump-proc ''
refused 2 two-runs --dump-proc replay traces/sort.trace --mem 4M,8M \
	--dump-proc "$work/two"
holds two-runs-made-nothing ! -e "$work/two"
refused 2 wrong-use --mem boot --mem 3K --dump-proc "$work/two"
holds wrong-use-made-nothing ! -e "$work/two"
refused 2 without-value --dump-proc boot --dump-proc
(
	ulimit -f 2 # of 512 bytes
	"$MMKIT" boot --mem 32M --dump-proc "$work/short" >"$work/out" \
		2>"$work/limited"
)
holds file-too-large "$? $(grep -c "short/proc/.*: File too large; .*not all" \
	"$work/limited")" = "1 1"

# Debian's readers, with those files over the machine's own: their numbers are
# the files'.
if [ "$(id -u)" -ne 0 ]; then
	skip readers "only root may mount"
	finish
fi
if ! unshare -m mount --bind "$dir/proc/meminfo" /proc/meminfo \
	2>"$work/err"; then
	skip readers "no mount here: $(head -n 1 "$work/err")"
	finish
fi
cat >"$work/in" <<'SH'
for f in meminfo vmstat slabinfo zoneinfo buddyinfo; do
	mount --bind "$1/proc/$f" /proc/$f || exit 99
done
shift
exec "$@"
SH
# reads COMMAND - what it prints is in $work/out. False: it is not there.
reads() {
	if ! command -v "$1" >/dev/null; then
		skip "reads-$1" "there is no $1"
		return 1
	fi
	LC_ALL=C timeout 20 unshare -m sh "$work/in" "$dir" "$@" \
		>"$work/out" 2>"$work/err"
	status=$?
	holds "reads-$1: $(why)" "$status" -eq 0
}
# kb NAME - of meminfo
kb() {
	awk -v n="$1:" '$1 == n { print $2 }' "$dir/proc/meminfo"
}
if reads free -k; then
	holds free-total "$(awk '/^Mem:/ { print $2 }' "$work/out")" \
		-eq "$(kb MemTotal)"
	holds free-free "$(awk '/^Mem:/ { print $4 }' "$work/out")" \
		-eq "$(kb MemFree)"
	holds free-available "$(awk '/^Mem:/ { print $7 }' "$work/out")" \
		-eq "$(kb MemAvailable)"
	holds free-swap "$(awk '/^Swap:/ { print $2, $4 }' "$work/out")" \
		= "$(kb SwapTotal) $(kb SwapFree)"
fi
if reads vmstat -s; then
	holds vmstat-total "$(awk '/K total memory/ { print $1 }' \
		"$work/out")" -eq "$(kb MemTotal)"
	holds vmstat-free "$(awk '/K free memory/ { print $1 }' \
		"$work/out")" -eq "$(kb MemFree)"
	holds vmstat-paged-in "$(awk '/K paged in|pages paged in/ { print $1 }' \
		"$work/out")" -eq "$(awk '$1 == "pgpgin" { print $2 }' \
		"$dir/proc/vmstat")"
fi
# columns FILE - slabinfo's name, objects in use, all, size
columns() {
	awk '$2 ~ /^[0-9]+$/ { print $1, $2, $3, $4 }' "$1" | sort
}
if reads vmstat -m; then
	columns "$work/out" >"$work/has"
	columns "$dir/proc/slabinfo" | while read -r n rest; do
		echo "$(echo "$n" | cut -c1-24) $rest"
	done | sort >"$work/wants"
	holds vmstat-m-all "$(wc -l <"$work/has")" -gt 20
	holds vmstat-m "$(diff "$work/has" "$work/wants" | head -n 4)" = ""
fi
if reads slabtop -o; then
	sums=$(awk '$2 ~ /^[0-9]+$/ { a += $2; n += $3 } END { print a, n }' \
		"$dir/proc/slabinfo")
	holds slabtop-objects "$(awk -F: '/Active \/ Total Objects/ {
		print $2 }' "$work/out" | awk '{ print $1, $3 }')" = "$sums"
	holds slabtop-kmalloc "$(awk '$NF == "kmalloc-64" { print $1, $2 }' \
		"$work/out")" = "$(awk '$1 == "kmalloc-64" { print $3, $2 }' \
		"$dir/proc/slabinfo")"
fi
finish
