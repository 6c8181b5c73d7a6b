#!/bin/sh
# SPDX-License-Identifier: MIT
# preload.sh - a few programs on the malloc library, broken ones among them;
# `make test-malloc` runs the long list. Who builds outside of the tests' own
# build waits for the others that do.
set -u
cd "$(dirname "$0")/../.." || exit 1
if ! flock build/examples.lock "${MAKE:-make}" -s \
	build/libmmkit-malloc.so >"$TMPDIR/out" 2>&1; then
	echo "not ok library: $(tail -n 1 "$TMPDIR/out")"
	exit 1
fi
# What stays of the library's file is what runs once it is up (malloc.ld): its
# cold part, 160 KiB, is dropped after the boot, and the parts that fewer programs
# need are mappings of their own: sed has the first two, 40 KiB. 12 KiB or more
# come with each function that runs and is not where tools/malloc-order would put
# it. Of other compilers than the one that the list was made with it is more.
lib=build/libmmkit-malloc.so
most=44 parts=68
readelf -p .comment "$lib" | grep -q 'GCC: .* 12\.' || most=160 parts=96
before_boot=$((0x$(nm "$lib" | awk '$3 == "mt_cold" { print $1 }') >> 10))
if [ "$before_boot" -gt 40 ] && [ "$before_boot" -le "$parts" ]; then
	echo "ok parts"
else
	echo "not ok parts: $before_boot KiB of the library's code may stay"
	exit 1
fi
kept=$(LD_PRELOAD=$PWD/build/libmmkit-malloc.so sed -n p /proc/self/smaps |
	awk '/^[0-9a-f]+-/ { mine = /libmmkit-malloc/ && / r-xp / }
	     /^Rss:/ && mine { kib += $2 } END { print kib + 0 }')
if [ "$kept" -gt 0 ] && [ "$kept" -le "$most" ]; then
	echo "ok kept"
else
	echo "not ok kept: $kept KiB of the library's code are resident"
	exit 1
fi
# Of its zeroed data the tables are placed so that few pages are written: 12 KiB,
# and mostly 8 of the loader behind it. What
# another mapping of no file behind it holds is counted with it: the least of
# some runs, which have it elsewhere.
zeroed() {
	# shellcheck disable=SC2002 # the maps are those of cat
	LD_PRELOAD=$PWD/build/libmmkit-malloc.so cat /proc/self/smaps |
		awk '/^[0-9a-f]+-/ { mine = data && / 00:00 0/
				     data = /libmmkit-malloc/ && / rw-p / }
		     /^Rss:/ && mine { kib += $2 } END { print kib + 0 }'
}
kept=$(for _ in 1 2 3 4 5 6 7 8; do zeroed; done | sort -n | head -n 1)
if [ "$kept" -gt 0 ] && [ "$kept" -le 20 ]; then
	echo "ok data"
else
	echo "not ok data: $kept KiB of the library's zeroed data are resident"
	exit 1
fi
failed=
tests/malloc/misuse.sh || failed=y
TESTS="quick sqlite" tests/malloc/programs.sh || failed=y
[ -z "$failed" ]
