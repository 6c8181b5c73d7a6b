#!/bin/sh
# SPDX-License-Identifier: MIT
# preload.sh - a few programs on the malloc library, broken ones among them;
# `make test-malloc` runs the long list.
set -u
cd "$(dirname "$0")/../.." || exit 1
if ! ${MAKE:-make} -s build/libmmkit-malloc.so >"$TMPDIR/out" 2>&1; then
	echo "not ok library: $(tail -n 1 "$TMPDIR/out")"
	exit 1
fi
# What stays of the library's file is what runs once it is up (malloc.ld): its
# cold part, 150 KiB, is dropped after the boot, and what programs of one thread
# do not need is a mapping of its own. A window of 64 KiB more comes with each
# function that runs and is not in the list of tools/malloc-order.
kept=$(LD_PRELOAD=$PWD/build/libmmkit-malloc.so sed -n p /proc/self/smaps |
	awk '/^[0-9a-f]+-/ { mine = /libmmkit-malloc/ && / r-xp / }
	     /^Rss:/ && mine { kib += $2 } END { print kib + 0 }')
if [ "$kept" -gt 0 ] && [ "$kept" -le 48 ]; then
	echo "ok kept"
else
	echo "not ok kept: $kept KiB of the library's code are resident"
	exit 1
fi
# Of its zeroed data the tables are placed so that few pages are written. What
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
if [ "$kept" -gt 0 ] && [ "$kept" -le 32 ]; then
	echo "ok data"
else
	echo "not ok data: $kept KiB of the library's zeroed data are resident"
	exit 1
fi
failed=
tests/malloc/misuse.sh || failed=y
TESTS="quick sqlite" tests/malloc/programs.sh || failed=y
[ -z "$failed" ]
