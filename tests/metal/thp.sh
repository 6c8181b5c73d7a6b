#!/bin/sh
# SPDX-License-Identifier: MIT
# share: fast
# Huge pages on the machine's own page tables: bench/metal/thp.c asks for them,
# finds them in smaps and vmstat, and has its contents after each change; then
# a program that never heard of them gets some, and they are all gone at its
# end.
# shellcheck source=tests/metal/lib
. "$(dirname "$0")/lib"
needs busybox
alive /sys/kernel/mm/transparent_hugepage/enabled

guest_is "a program asks for huge pages" 0 \
	--mem "$(mem 64M 256M)" --cpus 2 -- "$top/build/guest/thp"
grep '^BAD' "$work/out"
has "one write maps 2 MiB" '^THP one-write 2048$'
has "four regions, four blocks" '^THP blocks 4$'
has "huge again after fork and a hole" '^THP huge-again 8192$'

# shellcheck disable=SC2016 # the guest's shell
guest_is "who did not ask gets them with always" 0 \
	--mem "$(mem 96M 256M)" --cpus 2 -- busybox sh -c '
	echo always >/sys/kernel/mm/transparent_hugepage/enabled
	was=$(grep thp_fault_alloc /proc/vmstat)
	seq 1 900000 >/tmp/file
	dd if=/tmp/file bs=6M count=1 2>/dev/null | cmp - /tmp/file &&
		echo SAME $(wc -c </tmp/file)
	[ "$was" != "$(grep thp_fault_alloc /proc/vmstat)" ] && echo COUNTED
	grep "^AnonHugePages: *0 kB" /proc/meminfo'
has "its bytes are right" '^SAME 6188895$'
has "huge pages were counted" '^COUNTED$'
has "all are gone at the end" '^AnonHugePages: *0 kB'
finish
