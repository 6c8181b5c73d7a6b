#!/bin/sh
# SPDX-License-Identifier: MIT
# world: metal
# 18 - The memory of a container, with programs: a control group, its files,
# and a program that wants more. Read 18-container.md beside it.
set -eu
mmkit=${MMKIT:-build/mmkit}
script=$(mktemp)
trap 'rm -f "$script"' EXIT

cat >"$script" <<'GUEST'
cg=/cg
mkdir $cg
mount -t cgroup2 none $cg
echo +memory >$cg/cgroup.subtree_control

# box NAME - a container: a group, and a shell in it that runs what we say
box() {
	name=$1
	shift
	sh -c 'echo 0 >'$cg/$name'/cgroup.procs && exec "$@"' sh "$@"
}
event() { awk -v k="$2" '$1 == k { print $2 }' $cg/$1/memory.events; }

echo "== 4 MiB, no swap, and a program that wants 12"
mkdir $cg/small
echo 4M >$cg/small/memory.max
echo 0 >$cg/small/memory.swap.max
box small dd if=/dev/zero of=/dev/null bs=12M count=1 2>/dev/null
echo "exit status $? (128 and the signal: 9 is SIGKILL)"
echo "killed: $(event small oom_kill)"
peak=$(cat $cg/small/memory.peak)
[ "$peak" -le $((4 << 20)) ] && echo "never more than 4 MiB"

echo "== the same with swap"
mkdir $cg/swapping
echo 4M >$cg/swapping/memory.max
box swapping dd if=/dev/zero of=/dev/null bs=12M count=1 2>/dev/null
echo "exit status $?"
echo "killed: $(event swapping oom_kill)"
[ "$(event swapping max)" -gt 0 ] && echo "it was at the limit"
[ "$(cat $cg/swapping/memory.swap.peak)" -gt $((6 << 20)) ] &&
	echo "more than 6 MiB were swapped out"

echo "== the others saw nothing of it"
awk '$1 == "oom_kill" { print "killed in the whole machine: " $2 }' \
	/proc/vmstat
rmdir $cg/small $cg/swapping && echo "both groups are gone"
GUEST
"$mmkit" run --mem 64M --swap 64M --audit --out /dev/null \
	--add "$script:/script" -- busybox sh /script

# To do:
# 1. memory.high 4M and memory.max max: how long does dd take (time dd ...)?
# 2. Two programs in one group of 8M, a small one and a greedy one: who is
#    killed? And with 1 in memory.oom.group?
