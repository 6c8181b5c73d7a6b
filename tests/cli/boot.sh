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

# Layouts, zone Movable, nodes from a file.
numa=tests/data/numa
succeeds arch-x86-32 boot --mem 2G --arch x86-32
shows arch-x86-32-highmem ' HighMem +\[mem 0x0+38000000-0x0+7fffffff\]' 1
shows arch-x86-32-no-dma32 'DMA32' 0
shows arch-x86-32-memory-line 'Memory: .*, [1-9][0-9]*K highmem\)' 1
succeeds arch-pae boot --mem 63G --arch x86-32-pae --show /proc/pagetypeinfo
shows arch-pae-order '^Page block order: 9$' 1
succeeds arch-x86-32-types boot --mem 1G --arch x86-32 --show pagetypeinfo
shows arch-x86-32-order '^Page block order: 10$' 1
succeeds arch-arm64 boot --mem 8G --arch arm64 --show /proc/zoneinfo
shows arch-arm64-zones '^Node 0, zone +(DMA32|Normal|Movable)$' 3
shows arch-arm64-no-dma '^Node 0, zone +DMA$' 0
succeeds arch-la57 boot --mem 1G --arch x86-64-la57
succeeds arch-cut boot --map $maps/laptop-8g.txt --arch x86-32
shows arch-cut-said 'K of memory above 4 GiB are not used: x86-32 ' 1
refused 2 arch-beyond --mem boot --mem 4G --arch x86-32
refused 2 arch-pae-beyond --mem boot --mem 64G --arch x86-32-pae
refused 2 arch-unknown "'vax'" boot --arch vax
refused 2 arch-unknown-replay "'vax'" replay traces/sort.trace --arch vax
succeeds kernelcore boot --mem 3G --kernelcore 1G
shows kernelcore-start '  Node 0: 0x0000000040' 1
succeeds movablecore boot --mem 2G --movablecore 25% --nodes 2
shows movablecore-starts '  Node [01]: 0x' 2
succeeds kernelcore-all boot --mem 1G --kernelcore 100%
shows kernelcore-all-said 'no zone MOVABLE' 1
for v in 0% 101% % x% 5 -1% 1.5% 25%% ''; do
	case $v in
	5) succeeds "kernelcore-'$v'" boot --kernelcore $v ;;
	*) refused 2 "kernelcore-'$v'" --kernelcore boot --kernelcore "$v" ;;
	esac
done
refused 2 movablecore-word --movablecore boot --movablecore most
succeeds numa boot --mem 32G --cpus 4 --numa $numa/two-sockets-srat.txt
shows numa-nodes 'Initmem setup node [01] \[mem' 2
shows numa-movable '  Node 1: 0x' 0
succeeds numa-movable-node boot --mem 32G --cpus 4 --movable-node \
	--numa $numa/two-sockets-srat.txt
shows numa-movable-node-start '  Node 1: 0x0000000440000000' 1
succeeds numa-memoryless boot --mem 2G --cpus 4 --numa $numa/memoryless.txt
shows numa-memoryless-node 'setup node 1 as memoryless' 1
shows numa-memoryless-order 'Fallback order for Node 1: 1 2 0 ' 1
map 'node 0 [mem 0x0-0x3fffffff]' 'node 1 [mem 0x3fffffff-0x7fffffff]'
refused 1 numa-overlap 'line 2' boot --numa "$work/map"
map 'node 0 [mem 0x0-0x3fffffff]' 'cpu 0 nude 1'
refused 1 numa-bad-word 'line 2, column 7' boot --numa "$work/map"
: >"$work/map"
refused 1 numa-empty "$work/map" boot --numa "$work/map"
refused 1 numa-missing "$work/none" boot --numa "$work/none"
refused 1 numa-missing-replay "$work/none" replay traces/sort.trace \
	--numa "$work/none"
refused 2 numa-and-nodes --nodes boot --numa $numa/memoryless.txt --nodes 2
refused 2 movable-node-alone --numa boot --movable-node
refused 2 movable-node-and-amount --kernelcore boot --movable-node \
	--numa $numa/memoryless.txt --kernelcore 1G

# A program runs on these machines too, in high memory and zone Movable.
for o in '--arch x86-32' '--arch arm64' '--movablecore 50%' \
	"--numa $numa/memoryless.txt --cpus 4" \
	'--arch x86-32 --movablecore 25%'; do
	# shellcheck disable=SC2086 # several words
	succeeds "replay $o" replay traces/sort.trace --mem 2G --quiet $o \
		--show /proc/vmstat
done
shows replay-movable-used '^pgalloc_movable [1-9]' 1
shows replay-normal-used '^pgalloc_normal [1-9]' 1
shows replay-no-dma32 '^pgalloc_dma32' 0
succeeds replay-highmem replay traces/sort.trace --mem 2G --quiet \
	--arch x86-32 --show /proc/vmstat
shows replay-highmem-used '^pgalloc_high [1-9]' 1

# Debugging aids: each alone, all together, and what they leave behind.
for list in poison init_on_alloc init_on_free guard guard=0 guard=5 \
	page_owner check_pages poison,guard=2,page_owner,check_pages; do
	succeeds "debug-$list" boot --mem 32M --debug $list --log \
		--show /proc/mmkit/audit
	shows "debug-$list-clean" '^verdict: clean$' 1
done
shows debug-all-says-poison 'page_poison=on' 1
shows debug-all-says-guards 'Setting debug_guardpage_minorder to 2' 1
shows debug-all-says-owner 'page_owner is enabled' 1
shows debug-all-has-guards '^guard: [1-9]' 1
succeeds debug-owner boot --mem 32M --debug page_owner \
	--show /sys/kernel/debug/page_owner
holds debug-owner-paragraphs "$(grep -c '^Page allocated via order' \
	"$work/out")" -gt 5
holds debug-owner-lines "$(grep -cE '^PFN 0x[0-9a-f]+ type [A-Z][a-z]+ Block [0-9]+ type [A-Z][a-z]+ Flags 0x[0-9a-f]+\(.*\)$' \
	"$work/out")" -eq "$(grep -c '^Page' "$work/out")"
succeeds no-debug-owner boot --mem 32M --show /sys/kernel/debug/page_owner
shows no-debug-owner-says-so '^page_owner is off' 1
# Slab caches that check their objects.
succeeds slub-debug boot --mem 32M --slub-debug --log \
	--show /proc/mmkit/audit --show /proc/slabinfo \
	--show /sys/kernel/slab/kmalloc-64/store_user
shows slub-debug-clean '^verdict: clean$' 1
shows slub-debug-no-bug '^BUG' 0
shows slub-debug-larger '^kmalloc-64 .* 256 ' 1
shows slub-debug-user '^1$' 1
succeeds slub-debug-one boot --mem 32M '--slub-debug=FZ,kmalloc-64' \
	--show /sys/kernel/slab/kmalloc-64/red_zone \
	--show /sys/kernel/slab/kmalloc-32/red_zone
holds slub-debug-one-alone "$(tr '\n' ' ' <"$work/out" | tr -d '=<>' |
	awk '{ print $2 $4 }')" -eq 10
refused 2 slub-debug-letter "unknown option 'X'" boot --mem 32M \
	'--slub-debug=F,kmalloc-8;ZX'
refused 1 slab-attribute "no file" boot --mem 32M \
	--show /sys/kernel/slab/kmalloc-64/colour
succeeds slub-debug-replay replay traces/sort.trace --mem 4M --swap 64M \
	--slub-debug --show /proc/mmkit/audit
shows slub-debug-replay-clean '^verdict: clean$' 1

for list in poison guard=2 init_on_free page_owner; do
	succeeds "debug-replay-$list" replay traces/sort.trace --mem 2560K \
		--swap 64M --debug $list --show /proc/mmkit/audit
	shows "debug-replay-$list-clean" '^verdict: clean$' 1
done

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
