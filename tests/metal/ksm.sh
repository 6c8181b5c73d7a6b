#!/bin/sh
# SPDX-License-Identifier: MIT
# share: fast
# Equal pages of programs become one: bench/metal/ksm.c, to the figures that
# the same program has on Debian's Linux (tests/data/linux-ksm.txt), with every
# page's contents as the program wrote them and the frames accounted for.
# shellcheck source=tests/metal/lib
. "$(dirname "$0")/lib"
needs busybox
alive /sys/kernel/mm/ksm/run

guest_is "32 MiB of one contents, and contents at random, are merged" 0 \
	--mem "$(mem 64M 256M)" --cpus 2 -- "$top/build/guest/ksm"
grep '^BAD' "$work/out"
grep '^KSM' "$work/out" >"$work/here"
grep '^KSM' "$top/tests/data/linux-ksm.txt" >"$work/linux"
n=$(grep -c . "$work/linux")
if cmp -s "$work/here" "$work/linux"; then
	ok "$n counters at rest are those of Linux"
else
	not_ok "counters at rest are those of Linux" "$(
		diff "$work/linux" "$work/here" | head -n 8 | tr '\n' '|'
	)"
fi
has "in as few pages as max_page_sharing allows" '^KSM same pages_shared 32$'
finish
