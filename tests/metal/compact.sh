#!/bin/sh
# SPDX-License-Identifier: MIT
# share: fast soak
# Large blocks in memory that is in pieces (bench/metal/compact.c): by the
# operator, by requests that make their own, by node; no page changes, and the
# counters add up. Then programs of stress-ng on 4 CPUs, with --verify, while
# all memory is compacted again and again: SECONDS_EACH=2, LONG=1: 20.
# shellcheck disable=SC2016 # the dollars are the guest's
# shellcheck source=tests/metal/lib
. "$(dirname "$0")/lib"
needs busybox
[ -z "${SOAK:-}" ] || LONG=1
alive /proc/sys/vm/compact_memory /sys/kernel/mm/transparent_hugepage/defrag

m=$(mem 256M 512M)
guest_is "no page is other than it was" 0 --mem "$m" --cpus 2 -- \
	"$top/build/guest/compact"
grep '^BAD' "$work/out"
# frag STAGE NAME
frag() {
	sed -n "s/^FRAG $1 $2 //p" "$work/out"
}
before=$(frag pieces thp_fault_alloc) after=$(frag compacted thp_fault_alloc)
asked=$(frag compacted asked)
holds "blocks of 2 MiB, of $asked: $before before, $after after" \
	"${after:-0}" -ge $((${before:-0} + ${asked:-99} / 4))
holds "none is lost: each was had or not" \
	$((after + $(frag compacted thp_fault_fallback))) -eq "$asked"
n=$(frag compaction pgmigrate_success)
holds "pages were moved for it: $n" "${n:-0}" -gt $((asked * 64))
holds "and frames looked at" "$(frag compaction compact_free_scanned)" -gt 0
n=$(frag direct compact_stall)
holds "requests that compacted ($n) had success or not" "$n" -eq \
	$(($(frag direct compact_success) + $(frag direct compact_fail)))
holds "and made blocks: $(frag direct compact_success)" \
	"$(frag direct compact_success)" -gt 0

cat >"$work/node" <<'SH'
scanned() { sed -n 's/^compact_migrate_scanned //p' /proc/vmstat; }
a=$(scanned)
echo 1 >/sys/devices/system/node/node0/compact && b=$(scanned)
[ "$b" -gt "$a" ] && echo compacted
SH
guest_is "a node is compacted by its file" 0 --mem "$m" \
	--add "$work/node" -- busybox sh "$work/node"
has "and its pages were looked at" '^compacted$'

command -v stress-ng >/dev/null 2>&1 || {
	skip "stress-ng beside compaction" "no stress-ng here"
	finish
}
secs=${SECONDS_EACH:-$([ -n "${LONG:-}" ] && echo 20 || echo 2)}
limit=$((secs * 60 + 240))
# Memory in pieces and blocks of 2 MiB at once; areas that are merged, too.
cat >"$work/run" <<'SH'
secs=$1
shift
echo always >/sys/kernel/mm/transparent_hugepage/defrag
echo 0 >/sys/kernel/mm/ksm/sleep_millisecs
echo 1000 >/sys/kernel/mm/ksm/pages_to_scan
echo 1 >/sys/kernel/mm/ksm/run
while :; do
	echo 1 >/proc/sys/vm/compact_memory
	sleep 0.02
done &
loop=$!
stress-ng "$@" --verify --timeout "$secs" --metrics-brief --temp-path /tmp
status=$?
kill $loop
echo "status $status"
sed -n 's/^\(compact_\|pgmigrate_\|cow_ksm\|pswp\|thp_fault_alloc\)/stat &/p' \
	/proc/vmstat
exit $status
SH
# forced NAME STRESSOR... - these, with their options, beside compaction
forced() {
	what=$1
	shift
	guest_is "stress-ng $what, $secs s, 4 CPUs, all memory compacted meanwhile" \
		0 --mem "$(mem 64M 256M)" --swap 256M --cpus 4 \
		--add "$work/run" --add "$(command -v stress-ng)" -- \
		busybox sh "$work/run" "$secs" "$@"
	if grep -hE 'stress-ng: fail' "$work/out" "$work/err"; then
		not_ok "stress-ng $what says nothing failed" "$(metal_why)"
	fi
	n=$(sed -n 's/^stat pgmigrate_success //p' "$work/out")
	holds "$what: pages that moved: ${n:-0}" "${n:-0}" -gt 100
	echo "   $(sed -n 's/^stat //p' "$work/out" | tr '\n' ' ')"
}
if [ -n "${LONG:-}" ]; then
	forced vm --vm 2 --vm-bytes 64M --vm-madvise mergeable
	forced mremap --mremap 2 --mremap-bytes 64M
	forced madvise --madvise 2
	forced mmap --mmap 2 --mmap-bytes 64M
fi
forced all --vm 1 --vm-bytes 16M --vm-method incdec --vm-madvise mergeable \
	--mremap 1 --mremap-bytes 16M --mmap 1 --mmap-bytes 16M
finish
