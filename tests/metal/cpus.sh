#!/bin/sh
# SPDX-License-Identifier: MIT
# share: fast
# CPUs go offline and come back by /sys/devices/system/cpu/cpuN/online, idle
# and under load: programs see how many there are, find what they stored, and
# go on where the CPU they were bound to is gone.
# shellcheck disable=SC2016 # the dollars are the guest's
# shellcheck source=tests/metal/lib
. "$(dirname "$0")/lib"
needs busybox
alive /sys/devices/system/cpu/online

cat >"$work/come_and_go" <<'SH'
cd /sys/devices/system/cpu
state() { echo "$1 $(cat online) [$(cat offline)] $(nproc)" \
	"$(grep -c '^processor' /proc/cpuinfo)" \
	"$(grep -c '^cpu[0-9]' /proc/stat)"; }
state all
[ -e cpu0/online ] && echo "cpu0 may go"
echo 2 >cpu1/online 2>/dev/null || echo "2 refused"
echo 0 >cpu1/online && cat cpu1/online && state less
echo 0 >cpu1/online && state again
echo 0 >cpu2/online && echo 0 >cpu3/online && state one
taskset 2 true 2>/dev/null || echo "nobody is bound to it"
echo 1 >cpu1/online && echo 1 >cpu2/online && echo 1 >cpu3/online
state back
taskset 2 true && echo "bound again"
SH
guest_is "CPUs go and come back" 0 --cpus 4 --mem 64M \
	--add "$work/come_and_go" -- busybox sh "$work/come_and_go"
has "four at first" '^all 0-3 \[\] 4 4 4$'
holds "the first one stays: $(grep 'cpu0' "$work/out")" \
	"$(grep -c 'cpu0 may go' "$work/out")" -eq 0
has "a wrong word is refused" '^2 refused$'
has "three are left" '^less 0,2-3 \[1\] 3 3 3$'
has "gone twice is no error" '^again 0,2-3 \[1\] 3 3 3$'
has "one is left" '^one 0 \[1-3\] 1 1 1$'
has "nobody is bound to one that is gone" '^nobody is bound to it$'
has "all are back" '^back 0-3 \[\] 4 4 4$'
has "and take programs" '^bound again$'

# Four programs that are bound to a CPU each write, read and compare files in
# memory while the CPUs come and go under them.
cat >"$work/load" <<'SH'
cd /tmp
dd if=/dev/urandom of=seed bs=64k count=16 2>/dev/null
want=$(md5sum <seed)
worker() {
	i=0
	while [ ! -e stop ]; do
		cp seed w$1 && [ "$(md5sum <w$1)" = "$want" ] ||
			echo "worker $1: other contents"
		i=$((i + 1))
	done
	echo "worker $1 done" $((i > 0))
}
for n in 0 1 2 3; do
	worker $n &
	taskset -p $((1 << n)) $! >/dev/null
done
at=0
while [ $at -lt 30 ]; do
	cpu=/sys/devices/system/cpu/cpu$((1 + at % 3))/online
	echo $((1 - $(cat $cpu))) >$cpu || echo "refused"
	at=$((at + 1))
done
for n in 1 2 3; do echo 1 >/sys/devices/system/cpu/cpu$n/online; done
touch stop
wait
echo "changes $at"
SH
guest_is "under load" 0 --cpus 4 --mem 64M --add "$work/load" -- \
	busybox sh "$work/load"
for n in 0 1 2 3; do
	has "worker $n found what it wrote" "^worker $n done 1\$"
done
has "thirty changes" '^changes 30$'
holds "nothing was refused or lost" \
	"$(grep -c 'refused\|other contents' "$work/out")" -eq 0
finish
