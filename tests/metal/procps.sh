#!/bin/sh
# SPDX-License-Identifier: MIT
# share: fast
# Debian's procps, dynamically linked: its figures make sense.
# shellcheck source=tests/metal/lib
. "$(dirname "$0")/lib"
needs free vmstat slabtop ps pmap
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

guest_is "ps" 0 --mem "$m" -- ps -eo pid,ppid,stat,rss,comm
has "init" '^ +1 +0 S'
has "ps itself" '^ +[0-9]+ +1 R.* +[1-9][0-9]+ ps$'

guest_is "pmap" 0 --mem "$m" -- pmap 1
has "init's text" '^0000000000400000 +[0-9]+K r'
has "init's stack" ' \[ stack \]$'
has "pmap's total" '^ total +[1-9][0-9]*K$'
finish
