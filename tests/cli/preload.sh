#!/bin/sh
# SPDX-License-Identifier: MIT
# preload.sh - a few programs on the malloc library; `make test-malloc` runs
# the long list.
set -u
cd "$(dirname "$0")/../.." || exit 1
if ! ${MAKE:-make} -s build/libmmkit-malloc.so >"$TMPDIR/out" 2>&1; then
	echo "not ok library: $(tail -n 1 "$TMPDIR/out")"
	exit 1
fi
TESTS="quick sqlite" exec tests/malloc/programs.sh
