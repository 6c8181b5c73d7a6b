#!/bin/sh
# SPDX-License-Identifier: MIT
# share: fast
# A machine with nodes: Debian's numactl and numastat, unmodified, see them,
# and memory goes where a policy says.
# shellcheck disable=SC2016 # the dollars are the guest's
# shellcheck source=tests/metal/lib
. "$(dirname "$0")/lib"
needs busybox numactl numastat
alive /sys/devices/system/node/online

m=$(mem 96M 512M)
guest_is "numactl on two nodes" 0 --machine pc --nodes 2 --cpus 2 \
	--mem "$m" -- numactl --hardware
has "both are there" '^available: 2 nodes \(0-1\)'
has "each has a CPU" '^node 1 cpus: 1'
has "each has half of the memory" \
	"^node 1 size: $([ -n "$ours" ] && echo '4[5-8]' || echo '2[0-9]+') MB"
has "how far they are" '^ +1: +20 +10'

guest_is "numastat on four nodes" 0 --machine pc \
	--nodes 4 --cpus 4 --mem "$m" -- numastat
has "numastat has a column for each" 'node0 +node1 +node2 +node3'
has "what was found where it was asked for" \
	'^local_node +[0-9]+ +[0-9]+ +[0-9]+ +[0-9]+'

# What 8 MiB of a file in memory add to each node's counters, in pages.
cat >"$work/places" <<'SH'
count() { awk '$1 == "'"$2"'" { print $2 }' \
	/sys/devices/system/node/node$1/numastat; }
free() { awk '$3 == "MemFree:" { print int($4 / 4) }' \
	/sys/devices/system/node/node$1/meminfo; }
try() {
	name=$1
	shift
	i0=$(count 0 interleave_hit) i1=$(count 1 interleave_hit)
	f0=$(free 0) f1=$(free 1)
	"$@" busybox dd if=/dev/zero of=/tmp/x bs=1M count=8 2>/dev/null
	echo $name $((f0 - $(free 0))) $((f1 - $(free 1))) \
		$(($(count 0 interleave_hit) - i0)) \
		$(($(count 1 interleave_hit) - i1))
	rm /tmp/x
}
try warm
try bind0 numactl --membind=0
try bind1 numactl --membind=1
try turns numactl --interleave=all
try local0 numactl --cpunodebind=0 --localalloc
try local1 numactl --cpunodebind=1 --localalloc
SH
guest_is "memory goes where it is told to" 0 --machine pc --nodes 2 --cpus 2 \
	--mem "$m" --add "$work/places" --add "$(command -v numactl)" \
	--add "$(command -v awk)" -- busybox sh "$work/places"
# goes NAME CONDITION - $2, $3: pages that node 0 and 1 lost; $4, $5: in turns
goes() {
	awk -v n="$1" "\$1 == n && $2 { good = 1 } END { exit !good }" \
		"$work/out"
	holds "$1: $(grep "^$1 " "$work/out")" $? -eq 0
}
goes bind0 '$2 > 1900 && $3 < 300'
goes bind1 '$3 > 1900 && $2 < 300'
goes turns '$2 > 900 && $3 > 900 && $4 > 1000 && $5 > 1000'
goes local0 '$2 > 1900 && $3 < 300'
goes local1 '$3 > 1900 && $2 < 300'
finish
