#!/bin/sh
# SPDX-License-Identifier: MIT
# share: fast
# Debian's procps, dynamically linked: its figures make sense.
# shellcheck source=tests/metal/lib
. "$(dirname "$0")/lib"
needs free vmstat slabtop ps pmap top
alive /proc/meminfo /proc/slabinfo /proc/self/maps

m=$(mem 64M 192M)
guest_is "free" 0 --mem "$m" --swap 32M -- free -b
has "memory: total, used, free" '^Mem: +[0-9]{8,9} +[0-9]+ +[0-9]+ '
has "swap: as large as it was made" '^Swap: +33550336 +0 +33550336'
awk '/^Mem:/ { exit !($2 > 16e6 && $3 > 0 && $3 < $2 && $4 < $2) }' \
	"$work/out"
holds "used and free are parts of all" $? -eq 0

guest_is "vmstat" 0 --mem "$m" -- vmstat
has "vmstat's heads" '^ *r +b +swpd +free +buff +cache'
awk 'NR == 3 { exit !(NF >= 17 && $4 > 0 && $13 + $14 + $15 + $16 <= 101) }' \
	"$work/out"
holds "vmstat's columns" $? -eq 0
guest_is "vmstat -s" 0 --mem "$m" -- vmstat -s
has "pages swapped" '^ *0 pages swapped in'
has "boot time" '^ *[0-9]+ boot time'

guest_is "slabtop" 0 --mem "$m" -- slabtop -o
has "slabtop's totals" '^ Active / Total Objects'
has "a cache" ' [0-9]+ +[0-9]+ +[0-9]+%.* kmalloc-[0-9]+'

guest_is "vmstat -m" 0 --mem "$m" -- vmstat -m
has "a cache of vmstat's" '^kmalloc-[0-9]+ +[0-9]+ +[0-9]+ +[0-9]+ +[0-9]+'

guest_is "vmstat -d" 0 --mem "$m" --disk 16M -- vmstat -d
has "the disk with the files was read" '^vda +[1-9][0-9]* +0 +[1-9][0-9]{2,} '

# Its screen is described by a file; "dumb" is what every terminal can.
dumb=
for d in /lib/terminfo /usr/share/terminfo /etc/terminfo; do
	[ -f "$d/d/dumb" ] && dumb=$d/d/dumb && break
done
if [ -n "$dumb" ]; then
	guest_is "top" 0 --mem "$m" -e TERM=dumb -a "$dumb" -- top -b -n 1
	has "top's tasks" '^Tasks: +[0-9]+ total, +[1-9][0-9]* running, '
	has "top's CPUs" '^%Cpu\(s\):.* id,'
	has "top itself" '^ +[0-9]+ root +20 +0 +[1-9].* R .* top$'
	awk '/^MiB Mem/ { exit !($4 > 16 && $6 > 0 && $6 < $4 && $8 < $4) }' \
		"$work/out"
	holds "top's free and used are parts of all" $? -eq 0
else
	skip "top" "no description of a dumb terminal here"
fi

guest_is "ps" 0 --mem "$m" -- ps -eo pid,ppid,stat,rss,comm
has "init" '^ +1 +0 S'
has "ps itself" '^ +[0-9]+ +1 R.* +[1-9][0-9]+ ps$'

guest_is "pmap" 0 --mem "$m" -- pmap 1
has "init's text" '^0000000000400000 +[0-9]+K r'
has "init's stack" ' \[ stack \]$'
has "pmap's total" '^ total +[1-9][0-9]*K$'
# What a process read and wrote, with its children's that it waited for: counted
# to the byte; what was cut off before it was written is told.
guest_is "io" 0 --mem "$m" --disk 24M -- busybox sh -c '
	dd if=/dev/zero of=/counted bs=64k count=16 2>/dev/null
	cat /counted >/dev/null; sync
	dd if=/dev/zero of=/gone bs=64k count=4 2>/dev/null; rm /gone
	cat /proc/$$/io; ls /proc/$$/task/$$/io'
io() {
	sed -n "s/^$1: //p" "$work/out"
}
holds "bytes read by calls" "$(io rchar)" -ge $((1048576 * 2 + 262144))
holds "not many more" "$(io rchar)" -lt $((1048576 * 2 + 262144 + 65536))
holds "bytes written by calls" "$(io wchar)" -ge $((1048576 * 2 + 262144))
holds "calls" "$(io syscw)" -ge 20
holds "pages made dirty" "$(io write_bytes)" -ge $((1048576 + 262144))
holds "and given up" "$(io cancelled_write_bytes)" -ge 262144
holds "no more than was written" "$(io cancelled_write_bytes)" -lt 524288
holds "the programs came from the disk" "$(io read_bytes)" -ge 4096

guest_is "namespaces" 0 --mem "$m" -- readlink /proc/self/ns/pid /proc/1/ns/pid
holds "all in one" "$(sort -u "$work/out")" = "pid:[4026531836]"

guest_is "interrupts" 0 --mem "$m" --cpus 2 --disk 16M -- cat /proc/interrupts
has "the timer's" '^ *LOC: +[1-9][0-9]* +[1-9][0-9]* +Local timer interrupts'
has "the disk's" '^ *[0-9]+: +[1-9][0-9]* .* (virtio[0-9]+|ahci)'

# netstat and its like find the sockets.
guest_is "sockets" 0 --mem "$m" -- busybox sh -c '
	nc -l -p 7000 & sleep 0.2; netstat -ltn; cat /proc/net/sockstat'
has "who listens" '^tcp +0 +0 +(0.0.0.0|::):7000 .* LISTEN'
has "how many" '^sockets: used [1-9]'
finish
