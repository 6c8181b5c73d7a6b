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
goes bind0 '$2 > 1600 && $3 < 500'
goes bind1 '$3 > 1600 && $2 < 500'
# What else goes on takes and gives frames too; what was dealt out is counted.
goes turns '$2 > 600 && $3 > 600 && $4 > 1000 && $5 > 1000'
goes local0 '$2 > 1600 && $3 < 500'
goes local1 '$3 > 1600 && $2 < 500'

# Memory that is there goes where it is told to (migratepages of numactl), and
# follows a program to another CPU's node by hint faults.
cat >"$work/moves" <<'SH'
stat() { awk '$1 == "'"$1"'" { print $2 }' /proc/vmstat; }
on() { awk -v n="$2=" '/anon=/ { for (i = 2; i <= NF; i++)
	if (index($i, n) == 1) s += substr($i, length(n) + 1) }
	END { print s + 0 }' /proc/$1/numa_maps; }
tell() { echo $1 $(on $2 N0) $(on $2 N1); }
numactl --cpunodebind=0 busybox dd if=/dev/zero of=/dev/null bs=8M 2>/dev/null &
pid=$!
while [ $(on $pid N0) -lt 2048 ]; do sleep 0.2; done
tell begins $pid
migratepages $pid 0 1
tell there $pid
migratepages $pid 1 0
tell back $pid
kill $pid
d=/sys/kernel/debug/sched/numa_balancing
echo 10 >$d/scan_delay_ms
echo 200 >$d/scan_period_max_ms
echo 50 >$d/scan_period_min_ms
busybox taskset 1 busybox awk 'BEGIN { for (i = 0; i < 20000; i++) a[i] = i
	for (;;) for (i = 0; i < 20000; i++) a[i]++ }' &
pid=$!
while [ $(on $pid N0) -lt 400 ]; do sleep 0.2; done
sleep 1
tell home $pid
echo 1 >/proc/sys/kernel/numa_balancing
busybox taskset -p 2 $pid >/dev/null
n=0
while [ $n -lt 60 ] && [ $(on $pid N1) -lt $(on $pid N0) ]; do
	sleep 1
	n=$((n + 1))
done
tell followed $pid
kill $pid
echo hints $(stat numa_hint_faults) $(stat numa_pages_migrated)
SH
if command -v migratepages >/dev/null; then
	guest_is "memory that is there moves" 0 --machine pc --nodes 2 \
		--cpus 2 --mem "$m" --add "$work/moves" \
		--add "$(command -v numactl)" --add "$(command -v awk)" \
		--add "$(command -v migratepages)" -- busybox sh "$work/moves"
	goes begins '$2 > 2000'
	goes there '$2 == 0 && $3 > 2000'
	goes back '$2 > 2000 && $3 == 0'
	goes home '$2 > 400 && $3 < 50'
	goes followed '$3 > 200'
	goes hints '$2 > 100 && $3 > 100'
fi

# Node 1 has no CPU: cold memory of node 0 goes there, and to no disk.
cat >"$work/demote" <<'SH'
stat() { awk '$1 == "'"$1"'" { print $2 }' /proc/vmstat; }
on() { awk -v n="$2=" '/anon=/ { for (i = 2; i <= NF; i++)
	if (index($i, n) == 1) s += substr($i, length(n) + 1) }
	END { print s + 0 }' /proc/$1/numa_maps; }
for i in /sys/devices/virtual/memory_tiering/*; do
	echo tier ${i##*memory_tier} $(cat $i/nodelist)
done
echo 1 >/sys/kernel/mm/numa/demotion_enabled
numactl --preferred=0 busybox dd if=/dev/zero of=/dev/null bs=24M 2>/dev/null &
pid=$!
while [ $(on $pid N0) -lt 6000 ]; do sleep 0.2; done
kill -STOP $pid
echo before $(on $pid N0) $(on $pid N1)
numactl --membind=0 busybox dd if=/dev/zero of=/dev/null bs=24M count=3 2>/dev/null
echo after $? $(on $pid N0) $(on $pid N1)
echo counts $(($(stat pgdemote_kswapd) + $(stat pgdemote_direct))) \
	$(stat pgmigrate_success) $(stat pswpout)
kill -CONT $pid
sleep 1
kill $pid && echo lived
SH
if [ -n "$ours" ]; then
	guest_is "a slower node" 0 --machine pc --nodes 2 --cpus 1 --mem "$m" \
		--add "$work/demote" --add "$(command -v numactl)" \
		--add "$(command -v awk)" -- busybox sh "$work/demote"
	goes tier '$2 == 4 && $3 == 0'
	has "the node without CPUs is a tier of its own" '^tier 5 1$'
	goes before '$2 > 6000 && $3 == 0'
	goes after '$2 == 0 && $4 > 300'
	goes counts '$2 > 600 && $3 > 600 && $4 == 0'
	has "who was demoted goes on" '^lived$'
fi
finish
