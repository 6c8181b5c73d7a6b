#!/bin/sh
# SPDX-License-Identifier: MIT
# The picture of memory: what it draws, for which machines, and wrong use.
# shellcheck disable=SC2016 # the dollars are Perl's
# shellcheck source=tests/cli/common
. "$(dirname "$0")/common"

maps=tests/data/e820

# shows NAME PATTERN COUNT - so many lines of the output match
shows() {
	holds "$1" "$(grep -cE -- "$2" "$work/out")" -eq "$3"
}

# cells CHARS - how many of these characters the picture has
cells() {
	sed -n 's/^  0x[0-9a-f]* |\(.*\)|$/\1/p' "$work/out" | tr -cd "$1" |
		wc -c
}

succeeds frames-128m boot --mem 128M --frames
shows frames-128m-zones \
	'^Node 0, zone +(DMA|DMA32) \[mem 0x[0-9a-f]{12}-0x[0-9a-f]{12}\]' 2
shows frames-128m-scale '^Scale: a character is 2 MiB \(1 pageblock ' 1
shows frames-128m-legend '^Legend:|Unmovable|reserved.*hole' 3
# 128 MiB are 64 pageblocks; what has been allocated since boot is unmovable.
holds frames-128m-cells "$(cells '.dxUuMmRr')" -eq 64
holds frames-128m-free "$(cells '.')" -ge 55
holds frames-128m-unmovable "$(cells 'Uu')" -ge 1
holds frames-not-a-tty "$(tr -d '\11\12\40-\176' <"$work/out" | wc -c)" -eq 0

succeeds frames-width boot --mem 128M --frames --width 16
holds frames-width-cells "$(cells '.dxUuMmRr')" -eq 64
shows frames-width-lines '^  0x[0-9a-f]+ \|.{16}\|$' 3
shows frames-no-longer-lines '^  0x[0-9a-f]+ \|.{17,}\|$' 0

succeeds frames-holes boot --map $maps/laptop-8g.txt --frames
shows frames-hole '\(hole of 2048 MiB\)' 1
holds frames-deferred "$(cells 'd')" -gt 3000
succeeds frames-nodes boot --map $maps/server-4node-holes.txt --nodes 4 \
	--frames
shows frames-nodes-zones '^Node [0-3], zone ' 6
RUN_LIMIT=10 succeeds frames-1t boot --mem 1T --frames
shows frames-1t-scale '^Scale: a character is 256 MiB \(128 pageblocks ' 1
holds frames-1t-lines "$(wc -l <"$work/out")" -lt 200
holds frames-1t-reserved "$(cells 'x')" -gt 20
succeeds frames-tiny boot --map $maps/tiny-4m.txt --frames
holds frames-tiny-cells "$(cells '.dxUuMmRr')" -eq 2
for f in "$maps"/*; do
	case $f in
	*hostile*) continue ;;
	esac
	succeeds "frames-$(basename "$f")" boot --map "$f" --frames
done

succeeds frames-and-show boot --mem 64M --frames \
	--show /sys/kernel/debug/extfrag/unusable_index
shows frames-then-file '^Node 0, zone +(DMA|DMA32) ([01]\.[0-9]{3} ){11}$' 2
succeeds extfrag boot --mem 64M --show /sys/kernel/debug/extfrag/extfrag_index
shows extfrag-format '^Node 0, zone +(DMA|DMA32) ([- ][01]\.[0-9]{3} ){11}$' 2

if command -v script >/dev/null; then
	TERM=xterm NO_COLOR='' script -qec "$MMKIT boot --mem 64M --frames" \
		/dev/null >"$work/out" 2>&1 </dev/null
	holds frames-tty-colours "$(grep -c '\[32m' "$work/out")" -gt 0
	TERM=xterm NO_COLOR=1 script -qec "$MMKIT boot --mem 64M --frames" \
		/dev/null >"$work/out" 2>&1 </dev/null
	holds frames-no-color "$(grep -c '\[32m' "$work/out")" -eq 0
else
	skip frames-tty "there is no script(1) to give it a terminal"
fi

refused 2 frames-width-0 --width boot --frames --width 0
refused 2 frames-width-large --width boot --frames --width 100000
refused 2 frames-width-word --width boot --frames --width wide
refused 2 frames-width-alone --width boot --width 64
refused 2 frames-and-json --json boot --frames --json
finish
