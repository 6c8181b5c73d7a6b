#!/bin/sh
# SPDX-License-Identifier: MIT
# The simulated machine's /proc and /sys as a directory: the files are those
# that --show prints, and Debian's free, vmstat, slabtop, ps, top, pmap and
# numastat read them.
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

# What a kernel adds: CPUs, and the nodes' shares of what there is.
holds cpus "$(grep -c '^cpu[01] ' "$dir/proc/stat") $(grep -c ^processor \
	"$dir/proc/cpuinfo")" = "2 2"
says /sys/devices/system/cpu/online 0-1
says /sys/devices/system/node/node1/distance "20 10"
holds nodes-total "$(cat "$dir"/sys/devices/system/node/node[01]/meminfo |
	awk '$3 == "MemTotal:" { n += $4 } END { print n }')" -eq \
	"$(awk '/^MemTotal/ { print $2 }' "$dir/proc/meminfo")"
holds no-task-no-self ! -e "$dir/proc/self"

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
for f in maps numa_maps smaps smaps_rollup statm status stat comm cmdline; do
	holds "replay-$f" -s "$task/$f"
done
holds replay-self "$(readlink "$work/run/proc/self")" = "${task##*/}"
# stat: its number of fields, the task, resident pages as statm has them.
holds replay-stat "$(awk '{ print NF, $1, $2, $24 }' "$task/stat")" = \
	"52 ${task##*/} (task0) $(cut -d' ' -f2 "$task/statm")"
holds replay-faults "$(cut -d' ' -f10 "$task/stat")" -gt 100
# Its memory by statm, by its mappings and by status, in kB.
holds replay-size "$(awk '{ print $1 * 4 }' "$task/statm")" -eq \
	"$(awk '/^VmSize/ { print $2 }' "$task/status")"
holds replay-rss "$(awk '/^Rss/ { n += $2 } END { print n }' "$task/smaps")" \
	-eq "$(awk '/^Rss/ { print $2 }' "$task/smaps_rollup")"
holds replay-in-memory "$(awk '/^AnonPages/ { print $2 }' \
	"$work/run/proc/meminfo")" -gt 100
succeeds replay-percent replay traces/sort.trace --mem 50% --swap 64M \
	--no-min --quiet --thp=never --dump-proc "$work/percent"
# Of the run, not of the one before it that finds out what 50% means.
holds replay-percent-swapped "$(awk '$1 == "pswpout" { print $2 }' \
	"$work/percent/proc/vmstat")" -gt 0

# The same figures as JSON, read by another reader of JSON.
if command -v python3 >/dev/null; then
	python3 tests/cli/dump_figures "$work/run" 2>"$work/err"
	holds "json-figures: $(tail -n 1 "$work/err")" $? -eq 0
else
	skip json-figures "there is no python3"
fi

# What cannot be.
refused 1 not-empty "$dir: not empty" boot --dump-proc "$dir"
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

# Those that look at tasks want all of /proc, and be a task of the machine:
# the first of their own numbers.
succeeds busy replay traces/sqlite.trace --mem 4M --swap 64M --cpus 2 \
	--no-min --quiet --dump-proc "$work/busy"
task=$work/busy/proc/1
cat >"$work/in" <<'SH'
mount --bind "$1/proc" /proc && mount --bind "$1/sys" /sys || exit 99
shift
exec "$@"
SH
# inside COMMAND - as reads, in the busy machine
inside() {
	if ! command -v "$1" >/dev/null; then
		skip "inside-$1" "there is no $1"
		return 1
	fi
	LC_ALL=C TERM=dumb timeout 20 unshare -m -p -f sh "$work/in" \
		"$work/busy" "$@" >"$work/out" 2>"$work/err" </dev/null
	status=$?
	if [ "$status" -eq 99 ] || grep -q '^unshare:' "$work/err"; then
		skip "inside-$1" "no mount here: $(head -n 1 "$work/err")"
		return 1
	fi
	holds "inside-$1: $(why)" "$status" -eq 0
}
# field N - of the task's stat
field() {
	cut -d' ' -f"$1" "$task/stat"
}
rss=$(awk '/^VmRSS/ { print $2 }' "$task/status")
holds busy-time "$(field 14)" -gt 10
if inside ps -eo pid,ppid,stat,rss,vsz,min_flt,comm; then
	holds ps "$(sed 1d "$work/out" | xargs)" = \
		"1 0 Rs $rss $(($(field 23) / 1024)) $(field 10) task0"
fi
if inside top -b -n 1; then
	holds top-task "$(awk '$NF == "task0" { print $1, $2, $5, $6 }' \
		"$work/out")" = "1 root $(($(field 23) / 1024)) $rss"
	holds top-time "$(awk '$NF == "task0" { print $11 }' "$work/out")" = \
		"$(printf '0:00.%02d' "$(field 14)")"
	holds top-memory "$(awk '/^MiB Swap/ { print $3 }' "$work/out")" = 64.0
fi
if inside vmstat; then
	holds vmstat-swapped "$(awk 'NR == 3 { print $3 }' "$work/out")" -eq \
		"$(awk '/^SwapTotal/ { t = $2 } /^SwapFree/ { f = $2 }
			END { print t - f }' "$work/busy/proc/meminfo")"
	# Work and idleness of both CPUs, in hundredths.
	holds vmstat-cpus "$(awk 'NR == 3 { print ($13 > 5 && $14 > 0 &&
		$15 > 50 && $13 + $14 + $15 + $16 + $17 <= 102) }' \
		"$work/out")" -eq 1
fi
if inside numastat; then
	holds numastat "$(awk '/^numa_hit/ { print $2 }' "$work/out")" -eq \
		"$(awk '/^numa_hit/ { print $2 }' \
			"$work/busy/sys/devices/system/node/node0/numastat")"
fi
if inside pmap 1; then
	holds pmap "$(awk '/^ total/ { print $2 }' "$work/out")" = \
		"$(awk '/^VmSize/ { print $2 }' "$task/status")K"
fi
finish
