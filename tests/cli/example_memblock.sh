#!/bin/sh
# SPDX-License-Identifier: MIT
# memblock by itself: the example links it with five files of floor base and
# three functions of a port, and hands out a buffer until nothing fits.
# shellcheck source=tests/cli/common
. "$(dirname "$0")/common"

example=build/examples/memblock
# Two scripts need the examples and may run at once.
mkdir -p build
if ! flock build/examples.lock "${MAKE:-make}" --no-print-directory \
	WERROR=1 examples >"$work/out" \
	2>"$work/err"; then
	not_ok example-builds "$(head -n 3 "$work/err" | tr '\n' '|')"
	finish
fi
ok example-builds
for kib in 64 333 1024 65536; do
	timeout 20 $example $kib >"$work/out" 2>"$work/err"
	holds "memblock-$kib" "$? $(wc -c <"$work/err")" = "0 0"
	# Strings are 50.5 bytes on average; the reservation takes 5000.
	holds "memblock-$kib-strings" \
		"$(sed -n 's/^strings: //p' "$work/out")" -ge \
		$(((kib * 1024 - 30000) / 51))
	holds "memblock-$kib-page-back" \
		"$(sed -n '/^a page back/,$p' "$work/out" | grep -c free)" -ge 1
done
timeout 20 $example 63 >"$work/out" 2>&1
holds memblock-too-small "$?" -eq 2
holds memblock-port-functions "$(nm -g --defined-only $example.d/main.o |
	grep -c ' T port_')" -eq 3
finish
