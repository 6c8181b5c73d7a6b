#!/bin/sh
# SPDX-License-Identifier: MIT
# world: sim
# 03 - Zones and the e820 map: what the firmware says, what the kernel makes
# of it. Read 03-zones.md beside it.
set -eu
mmkit=${MMKIT:-build/mmkit}
map=tests/data/e820/pc-3g.txt

echo "== what the firmware says: a PC of 3 GiB"
"$mmkit" boot --map $map | grep 'BIOS-e820' | cut -d ' ' -f 6-

# zones OPTION... - the lines of the log that tell zones, without the time
zones() {
	"$mmkit" boot "$@" | sed -n 's/^\[ *[0-9.]*\] *//; /^Zone ranges/p
		/^\(DMA\|DMA32\|Normal\|HighMem\|Movable\) .*\(mem\|empty\)/p'
}

echo
echo "== zones of x86-64: DMA below 16 MiB, DMA32 below 4 GiB, Normal above"
zones --map $map
echo
echo "== the same memory on x86-32: what the kernel can address all the time"
echo "   (Normal) ends below 896 MiB, the rest is HighMem"
zones --map $map --arch x86-32
echo
echo "== a laptop of 8 GiB: DMA32 spans the hole below 4 GiB, but has no frames there"
"$mmkit" boot --map tests/data/e820/laptop-8g.txt --show /proc/zoneinfo |
	awk '/^Node/ { zone = $4 }
	     / (spanned|present|managed) / { printf "%-6s %-8s %5d MiB\n",
		zone, $1, $2 / 256 }' | grep -E '^(DMA|DMA32|Normal) '

# To do:
# 1. Boot with --mem 16M and --mem 64G: which zones are empty, and why?
# 2. `mmkit boot --map FILE --frames` draws the memory. Find the holes of
#    tests/data/e820/server-4node-holes.txt.
