#!/bin/sh
# SPDX-License-Identifier: MIT
# Machines that boot, machines that cannot, and what they show.
# shellcheck disable=SC2016 # the dollars are Perl's
# shellcheck source=tests/cli/common
. "$(dirname "$0")/common"

maps=tests/data/e820

# map LINE... - the file $work/map with those lines
map() {
	printf '%s\n' "$@" >"$work/map"
}

# shows NAME PATTERN COUNT - so many lines of the output match
shows() {
	holds "$1" "$(grep -cE -- "$2" "$work/out")" -eq "$3"
}

succeeds log boot --mem 128M
shows log-zone-ranges '^\[ +[0-9.]+\] Zone ranges:' 1
shows log-dma ' DMA +\[mem 0x0+1000-0x0+ffffff\]' 1
shows log-early-nodes 'Early memory node ranges' 1
shows log-memory-line 'Memory: [0-9]+K/[0-9]+K available' 1

succeeds pc-128m boot --map $maps/pc-128m.txt --show /proc/buddyinfo \
	--show /proc/zoneinfo
shows pc-128m-buddyinfo '^Node 0, zone +(DMA|DMA32)( +[0-9]+){11} *$' 2
shows pc-128m-zoneinfo '^Node 0, zone +(DMA|DMA32)$' 2
shows pc-128m-managed '^ +managed +[1-9][0-9]*$' 2
for name in buddyinfo zoneinfo vmstat meminfo iomem; do
	succeeds "show-$name" boot --mem 64M --show /proc/$name
	holds "show-$name-says-something" "$(wc -l <"$work/out")" -gt 1
done
shows iomem-system-ram '^[0-9a-f]+-[0-9a-f]+ : System RAM' 2
for f in "$maps"/*; do
	case $f in
	*hostile*) continue ;;
	esac
	succeeds "map-$(basename "$f")" boot --map "$f"
	shows "map-$(basename "$f")-boots" 'Memory: [1-9][0-9]*K/' 1
done

# Sizes from the smallest to the largest; nodes; JSON.
for mem in 1M 2M 16M 3G 4G 5G 64G 1T 16T; do
	RUN_LIMIT=10 succeeds "mem-$mem" boot --mem $mem
done
succeeds nodes boot --mem 1G --nodes 4 --show /proc/buddyinfo
shows nodes-all-there '^Node [0-3],' 5
if have_json; then
	succeeds json boot --mem 1G --json
	holds json-schema "$(json '$j->{schema}')" = mmkit.boot/1
	holds json-zones "$(json 'join ",", map { $_->{name} } @{$j->{zones}}')" \
		= DMA,DMA32
	holds json-adds-up "$(json 'my $n = 0;
		$n += $_->{present_pages} for @{$j->{zones}}; $n')" -gt 262000
	succeeds json-1t boot --mem 1T --json
	holds json-1t-adds-up "$(json 'my $n = 0;
		$n += $_->{present_pages} for @{$j->{zones}}; $n >> 18')" \
		-eq 1023
else
	skip json "perl has no JSON::PP to read the output with"
fi

# Maps of doubtful honesty that still have usable memory.
map 'BIOS-e820: [mem 0x0000000000000000-0x000000000009ffff] usable' \
	'BIOS-e820: [mem 0x0000000000100000-0x0000000003ffffff] usable' \
	'BIOS-e820: [mem 0x0000000000200000-0x00000000002fffff] reserved' \
	'BIOS-e820: [mem 0x0000000000100000-0x0000000001ffffff] usable'
succeeds map-overlap boot --map "$work/map"
shows map-overlap-boots 'Memory: [1-9][0-9]*K/6[0-9]{4}K' 1
map 'BIOS-e820: [mem 0x0000000000100000-0x0000000003ffffff] usable' \
	'BIOS-e820: [mem 0xfffffffffffff000-0xffffffffffffffff] reserved'
succeeds map-to-the-last-byte boot --map "$work/map"
run boot --map $maps/hostile.txt
holds map-hostile "$((status < 2))" -eq 1

# Maps that are refused, with line and column where there are any.
map 'BIOS-e820: [mem 0x0000000000100000-0x00000000000fffff] usable'
refused 1 map-reversed 'line 1' boot --map "$work/map"
map 'BIOS-e820: [mem 0x0000000000100000-0x0000000003ffffff] usable' \
	'BIOS-e820: [mem 0x00000fffff000000-0x0000000000ffffff] usable'
refused 1 map-wraps-around 'line 2' boot --map "$work/map"
map 'BIOS-e820: [mem 0x0000000000100000-0x0000000003ffffff] usable' \
	'BIOS-e820: [mem 0xfffffffffffffffff-0x1ffffffffffffffff] usable'
refused 1 map-more-than-64-bits 'line 2' boot --map "$work/map"
map 'BIOS-e820: [mem 0x0000000000100000-0x0000000003ffffff] usable' \
	'BIOS-e820: [mem 0x000000000g100000-0x0000000003ffffff] usable'
refused 1 map-bad-digit 'line 2, column' boot --map "$work/map"
map 'BIOS-e820: [mem 0x0000000000100000-0x0000000003ffffff] edible'
refused 1 map-bad-type 'line 1' boot --map "$work/map"
map 'The quick brown fox'
refused 1 map-prose 'line 1' boot --map "$work/map"
map 'BIOS-e820: [mem 0x0000000000100000-0x0000000003ffffff] reserved'
refused 1 map-nothing-usable "$work/map" boot --map "$work/map"
map 'BIOS-e820: [mem 0x0000000000001000-0x0000000000001fff] usable'
run boot --map "$work/map"
holds map-one-page "$status $(grep -c '^mmkit boot: .*memory' "$work/err")" \
	= "1 1"
: >"$work/map"
refused 1 map-empty "$work/map" boot --map "$work/map"
head -c 5000 "$MMKIT" >"$work/map"
refused 1 map-binary "$work/map" boot --map "$work/map"
head -c 2000000 /dev/zero | tr '\0' '#' >"$work/map"
refused 1 map-2-mb "$work/map" boot --map "$work/map"
refused 1 map-missing "$work/none" boot --map "$work/none"
refused 1 map-folder "$work" boot --map "$work"
refused 1 map-missing-replay "$work/none" replay traces/sort.trace \
	--map "$work/none"
refused 1 nodes-too-many-for-memory --nodes boot --mem 8M --nodes 4
finish
