#!/bin/sh
# SPDX-License-Identifier: MIT
# The example that embeds the page allocator alone is built and does its work;
# its port stays as small as it is said to be.
# shellcheck source=tests/cli/common
. "$(dirname "$0")/common"

example=build/examples/frames
# Two scripts need the examples and may run at once.
mkdir -p build
if ! flock build/examples.lock "${MAKE:-make}" --no-print-directory \
	WERROR=1 examples >"$work/out" \
	2>"$work/err"; then
	not_ok example-builds "$(head -n 3 "$work/err" | tr '\n' '|')"
	finish
fi
ok example-builds

# example NAME ARG... - it ends with 0, silent on stderr, all frames free
example() {
	name=$1
	shift
	timeout 20 $example "$@" >"$work/out" 2>"$work/err"
	status=$?
	if [ "$status" -eq 0 ] && [ ! -s "$work/err" ]; then
		ok "$name"
	else
		not_ok "$name" "$(why)"
	fi
	holds "$name-all-free" "$(grep -cE '^free: ([0-9]+) of \1 frames$' \
		"$work/out")" -eq 1
}

example example-frames
# A region of 64 MiB has 16384 frames; their descriptors take 160.
holds example-managed "$(sed -n 's/^region: 64 MiB, \([0-9]*\) of 16384 .*/\1/p' \
	"$work/out")" -gt 16200
holds example-blocks "$(sed -n 's/^blocks: \([0-9]*\) taken .*/\1/p' \
	"$work/out")" -gt 50000
example example-smallest 4
example example-odd-size 7
example example-large 128
timeout 20 $example 3 >"$work/out" 2>&1
holds example-too-small "$?" -eq 2
holds example-port-lines "$(cat examples/frames/port.c \
	examples/frames/port_inline.h | wc -l)" -lt 165
holds example-port-symbols "$(nm -g --defined-only "$example.d/port.o" |
	grep -c ' T port_')" -eq 13
finish
