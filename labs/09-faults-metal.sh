#!/bin/sh
# SPDX-License-Identifier: MIT
# world: metal
# 09 - Page faults of programs: what /proc/vmstat and /proc/PID/stat say of
# busybox on our kernel. Read 09-faults.md beside it.
set -eu
mmkit=${MMKIT:-build/mmkit}
script=$(mktemp)
trap 'rm -f "$script"' EXIT

# In the machine: dd reads zeroes into a buffer, and so touches all of it.
cat >"$script" <<'GUEST'
# count BYTES TIMES - in $faults, how many the program had: field 11 of our
# /proc/PID/stat, the minor faults of the children that we waited for
count() {
	before=$(cut -d ' ' -f 11 /proc/$$/stat)
	dd if=/dev/zero of=/dev/null bs=$1 count=$2 2>/dev/null
	after=$(cut -d ' ' -f 11 /proc/$$/stat)
	faults=$((after - before))
}
system() { awk '$1 == "pgfault" { print $2 }' /proc/vmstat; }

count 4k 1
small=$faults
count 1028k 1
large=$faults
[ $((large - small)) -ge 256 ] &&
	echo "a buffer of 257 pages instead of 1: at least 256 faults more"
count 1028k 8
echo "filled 8 times instead of once: $((faults - large)) faults more"

a=$(system)
count 1028k 1
b=$(system)
[ $((b - a)) -ge "$faults" ] && echo "the system counted as many at least"

major=$(cut -d ' ' -f 12 /proc/self/stat)
echo "major faults of a program whose file is in RAM: $major"
GUEST
"$mmkit" run --mem 64M --audit --out /dev/null --add "$script:/script" -- \
	busybox sh /script

# To do:
# 1. The same with --mem 16M --swap 64M and a buffer of 24M: who has major
#    faults now?
# 2. Run it on your own Linux (KERNEL=...: `mmkit run --kernel /boot/vmlinuz-...`
#    --mem 256M). Which of the figures are the same?
