#!/bin/sh
# SPDX-License-Identifier: MIT
# Replays on machines whose programs live in high memory: the same data and
# the same faults as with 64 bits; frames above low memory are used, and would
# trap if the manager touched them where it must not.
# shellcheck source=tests/cli/common
. "$(dirname "$0")/common"

# figure NAME - the number at the end of that line of the output
figure() {
	sed -n "s/^$1 *\([0-9]*\)\$/\1/p" "$work/out"
}

# vmstat NAME - a counter of the vmstat that --show printed
vmstat() {
	cat "$work/out" "$work/err" | sed -n "s/^$1 //p"
}

t=traces/sqlite.trace
for case in x86-64:1G x86-32-pae:2G x86-32:2G x86-32-pae:1000M arm64:1G \
	x86-64-la57:1G; do
	arch=${case%:*} mem=${case#*:} name=highmem-$(echo "$case" | tr : -)
	succeeds "$name" replay $t --arch "$arch" --mem "$mem" --seed 7 --no-min
	holds "$name-data" "$(figure 'data errors')" -eq 0
	faults=$(figure 'minor faults')
	[ "$arch" = x86-64 ] && want=$faults
	holds "$name-faults" "${faults:-none}" = "${want:-nothing}"
done

for debug in poison init_on_free guard; do
	succeeds "highmem-$debug" replay $t --arch x86-32-pae --mem 1200M \
		--seed 7 --no-min --debug $debug
	holds "highmem-$debug-data" "$(figure 'data errors')" -eq 0
done
succeeds highmem-random replay $t --arch x86-32-pae --mem 2G --cpus 4 \
	--explore --seed 3 --no-min --show /proc/vmstat
holds highmem-random-data "$(figure 'data errors')" -eq 0
# Processes' pages come from there, and nothing else.
holds highmem-used "$(vmstat pgalloc_high)" \
	-ge $(($(figure 'minor faults') - 100))
holds highmem-low-spared "$(vmstat pgalloc_normal)" -lt 2000

succeeds highmem-tables boot --arch x86-32-pae --mem 2G --show mmkit/audit
holds highmem-tables-few "$(sed -n 's/^kernel_pagetables: //p' "$work/out")" \
	-le 8
succeeds direct-map boot --mem 3G --show meminfo
holds direct-map-1g \
	"$(awk '/^DirectMap1G:/ { print $2 }' "$work/out")" -eq 2097152
succeeds direct-map-4m boot --mem 1G --arch x86-32 --show meminfo
holds direct-map-4m-low \
	"$(awk '/^DirectMap/ { s += $2 } END { print s }' "$work/out")" \
	-eq $((895 * 1024 + 636 - 4))
finish
