#!/bin/sh
# SPDX-License-Identifier: MIT
# share: fast
# Control groups as a container uses them: cgroup2 mounted by busybox, programs
# in groups with limits, protection, kills, freezing. Those that swap for long
# run with LONG=1.
# shellcheck disable=SC2016 # the dollars are the guest's
# shellcheck source=tests/metal/lib
. "$(dirname "$0")/lib"
needs busybox awk
alive "$@"

# The controller as a Linux of systemd's age has it: on its own mount.
cat >"$work/begin" <<'SH'
cg=/cg
mkdir -p $cg && mount -t cgroup2 none $cg || exit 9
echo +memory >$cg/cgroup.subtree_control
# group NAME FILE=VALUE...
group() {
	mkdir $cg/$1; g=$1; shift
	for f; do echo ${f#*=} >$cg/$g/${f%%=*}; done
}
# in_group NAME COMMAND...
in_group() {
	g=$1; shift
	sh -c 'echo 0 >'$cg/$g'/cgroup.procs && exec "$@"' sh "$@"
}
value() { awk -v n="$2" '$1 == n { print $2 }' $cg/$1; }
# await COMMAND... - until it is true
await() {
	n=0
	until "$@"; do
		n=$((n + 1)); [ $n -lt 300 ] || { echo "in vain: $*"; return 1; }
		sleep 0.05
	done
}
# eat BYTES - a program that wants so much and checks what it wrote
cat >/eat <<'EAT'
awk -v n=$(($1 / 256)) 'BEGIN {
	for (i = 0; i < n; i++) a[i] = sprintf("%0100d", i)
	print "ate"; fflush()
	for (i = 0; i < n; i++) if (a[i] != sprintf("%0100d", i)) exit 1
	exit 0 }'
EAT
SH

# A program that wants more than its group may have, without swap: it is killed,
# and nobody else.
cat >"$work/kill" <<'SH'
. "$(dirname "$0")/begin"
group box memory.max=16M memory.swap.max=0
group other
in_group other sleep 1000 &
one_in() { [ "$(wc -l <$cg/$1/cgroup.procs)" -eq 1 ]; }
await one_in other
sleep 1000 & outside=$!
in_group box sh /eat 64000000; echo "status $?"
echo "kills $(value box/memory.events oom_kill)"
[ $(($(cat $cg/box/memory.peak))) -le $((16 << 20)) ] && echo "peak kept"
echo "others $(value other/memory.events oom_kill)"
one_in other && kill -0 $outside && echo "alive"
echo "left $(cat $cg/box/cgroup.procs | wc -l)"
in_group box true && echo "usable"
rmdir $cg/box && echo "removed"
rmdir $cg/other 2>/dev/null || echo "busy"
echo 1 >$cg/other/cgroup.kill; kill $outside; wait 2>/dev/null
await rmdir $cg/other && echo "removed other"
SH
in_guest --mem "$(mem 96M 224M)" --add "$work/begin" --add "$work/kill" -- \
	busybox sh "$work/kill"
for what in "status 137" "kills 1" "peak kept" "others 0" "alive" "left 0" \
	"usable" "removed" "busy" "removed other"; do
	has "a limit: $what" "^$what\$"
done

if [ -n "${LONG:-}" ]; then

# With swap it is slower, and right; forks are in the group too.
cat >"$work/swap" <<'SH'
. "$(dirname "$0")/begin"
group box memory.max=12M
in_group box sh -c 'sh /eat 16000000 & sh /eat 16000000 & wait %1; a=$?
	wait %2; echo "status $a $?"'
echo "kills $(value box/memory.events oom_kill)"
[ $(value box/memory.events max) -gt 0 ] && echo "at the limit"
[ $(value box/memory.stat pgsteal) -gt 1000 ] && echo "reclaimed"
[ $(($(cat $cg/box/memory.peak))) -le $((12 << 20)) ] && echo "peak kept"
[ "$(awk '/^some/ { sub("total=", "", $5); print ($5 > 0) }' \
	$cg/box/memory.pressure)" = 1 ] && echo "time lost"
[ $(cat $cg/box/memory.swap.peak) -gt 8000000 ] && echo "swapped"
rmdir $cg/box && echo "removed"
SH
in_guest --mem "$(mem 96M 224M)" --swap 128M --cpus 2 --add "$work/begin" \
	--add "$work/swap" -- busybox sh "$work/swap"
for what in "status 0 0" "kills 0" "at the limit" "reclaimed" "peak kept" \
	"time lost" "swapped" "removed"; do
	has "a limit and swap: $what" "^$what\$"
done

# memory.low: while others take all there is, the group keeps its pages.
cat >"$work/low" <<'SH'
. "$(dirname "$0")/begin"
group kept memory.low=$1
group plain
mkfifo /never
cat >/sit <<'SIT'
awk -v n=50000 'BEGIN {
	for (i = 0; i < n; i++) a[i] = sprintf("%0100d", i)
	print "sits" >ARGV[1]; close(ARGV[1]); getline line <"/never" }' $1
SIT
in_group kept sh /sit /there1 &
in_group plain sh /sit /there2 &
await test -e /there1; await test -e /there2
before=$(cat $cg/kept/memory.current)
sh /eat $2; echo "status $?"
swapped=$(cat $cg/kept/memory.swap.current)
other=$(cat $cg/plain/memory.swap.current)
echo "kept lost $swapped of $before, plain lost $other" >&2
[ "$swapped" -lt $((1 << 20)) ] && echo "kept its pages"
[ "$other" -gt $((4 << 20)) ] && echo "the other did not"
echo 1 >$cg/kept/cgroup.kill; echo 1 >$cg/plain/cgroup.kill; wait
await rmdir $cg/kept && await rmdir $cg/plain && echo "removed"
SH
in_guest --mem "$(mem 72M 224M)" --swap 192M --add "$work/begin" \
	--add "$work/low" -- busybox sh "$work/low" 32M "$(mem 90000000 260000000)"
for what in "status 0" "kept its pages" "the other did not" "removed"; do
	has "protection: $what" "^$what\$"
done
fi

# All of a group at once: frozen, thawed, killed, while it forks.
cat >"$work/all" <<'SH'
. "$(dirname "$0")/begin"
group box
mkdir $cg/box/in
cat >/beat <<'BEAT'
i=0; while :; do i=$((i + 1)); echo $i >$1.new; mv $1.new $1; (true); done
BEAT
in_group box/in sh /beat /b1 & in_group box/in sh /beat /b2 &
await test -s /b1; await test -s /b2
echo 1 >$cg/box/cgroup.freeze
await grep -q 'frozen 1' $cg/box/cgroup.events && echo "frozen"
grep -q 'frozen 1' $cg/box/in/cgroup.events && echo "inside too"
a=$(cat /b1 /b2); sleep 0.5; [ "$a" = "$(cat /b1 /b2)" ] && echo "stands still"
echo 0 >$cg/box/cgroup.freeze
moved() { [ "$a" != "$(cat /b1 /b2)" ]; }
await moved && echo "goes on"
echo 1 >$cg/box/cgroup.freeze
await grep -q 'frozen 1' $cg/box/cgroup.events
echo 1 >$cg/box/cgroup.kill
await grep -q 'populated 0' $cg/box/cgroup.events && echo "killed"
wait
await rmdir $cg/box/in && await rmdir $cg/box && echo "removed"
echo 1 >$cg/cgroup.max.descendants; mkdir $cg/a && ! mkdir $cg/b 2>/dev/null &&
	echo "no more groups"
SH
in_guest --mem "$(mem 64M 192M)" --cpus 2 --add "$work/begin" \
	--add "$work/all" -- busybox sh "$work/all"
for what in "frozen" "inside too" "stands still" "goes on" "killed" "removed" \
	"no more groups"; do
	has "all of a group: $what" "^$what\$"
done
finish
