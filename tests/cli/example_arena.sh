#!/bin/sh
# SPDX-License-Identifier: MIT
# An arena on a mapped file, in a program that is linked with libmmkit-arena.a
# and the C library alone: the file takes what is used and gives it back.
# shellcheck source=tests/cli/common
. "$(dirname "$0")/common"

example=build/examples/arena
# Other scripts need the examples and may run at once.
mkdir -p build
if ! flock build/examples.lock "${MAKE:-make}" --no-print-directory \
	WERROR=1 examples >"$work/out" \
	2>"$work/err"; then
	not_ok example-builds "$(head -n 3 "$work/err" | tr '\n' '|')"
	finish
fi
ok example-builds

# file_kib WHEN: what the file took then
file_kib() {
	sed -n "s/^$1: file \([0-9]*\) KiB.*/\1/p" "$work/out"
}

# try NAME ARG...
try() {
	which=$1
	shift
	timeout 20 $example "$@" >"$work/out" 2>"$work/err"
	holds "$which-runs" "$? $(wc -c <"$work/err")" = "0 0"
	holds "$which-empty" "$(file_kib empty)" -le 64
	holds "$which-full" "$(file_kib full)" -ge 6000
	holds "$which-kept" "$(file_kib 'a few left')" -ge 6000
	holds "$which-trimmed" "$(file_kib trimmed)" -le 600
	holds "$which-left" "$(sed -n 's/^left behind: //p' "$work/out")" = \
		"1000 strings"
}

try memfd
if [ -e build/libmmkit-malloc.so ]; then
	export LD_PRELOAD="$top/build/libmmkit-malloc.so"
	try memfd-preloaded
	unset LD_PRELOAD
else
	skip preloaded "the malloc library is not built"
fi
# Where the file system has no holes there is nothing to see.
if fallocate -l 8192 "$work/probe" 2>/dev/null &&
	fallocate -p -o 0 -l 4096 "$work/probe" 2>/dev/null; then
	try file "$work/file" 32
else
	skip file "no holes in files of $work"
fi
timeout 20 $example "$work/small" 1 >"$work/out" 2>"$work/err"
holds too-small "$? $(cat "$work/err")" = \
	"2 arena: the file is full: Cannot allocate memory"
if timeout 20 $example --huge 16 >"$work/out" 2>"$work/err"; then
	holds huge-left "$(sed -n 's/^left behind: //p' "$work/out")" = \
		"1000 strings"
else
	skip huge "$(cat "$work/err")"
fi
# Names of ours are all that a program sees, and it need not bring any but the
# C library's; the two of a machine are looked at if they are there.
lib=build/libmmkit-arena.a
holds names-seen "$(nm -g --defined-only $lib |
	awk 'NF == 3 && $3 !~ /^mmkit_arena_/' | wc -l)" -eq 0
holds names-asked "$(nm -u $lib |
	awk '$1 == "U" && $2 ~ /^(mm|port|host|phys|kmem)_/' | wc -l)" -eq 0
finish
