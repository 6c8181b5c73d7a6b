#!/bin/sh
# SPDX-License-Identifier: MIT
# A policy in a file of its own is loaded and works; files that are none are
# refused with the reason.
# shellcheck disable=SC2016 # the dollars are Perl's
# shellcheck source=tests/cli/common
. "$(dirname "$0")/common"

mkdir -p build
if ! flock build/examples.lock "${MAKE:-make}" --no-print-directory \
	WERROR=1 examples >"$work/out" 2>"$work/err"; then
	not_ok example-builds "$(head -n 3 "$work/err" | tr '\n' '|')"
	finish
fi
ok example-builds
fifo=build/examples/fifo.so
t=traces/python.trace

run replay $t --mem 4M --swap 64M --no-min --policy clock,$fifo --json
if have_json; then
	holds loaded-policy-runs "$status $(json 'join " ", map {
		"$_->{policy}:$_->{data_errors}:$_->{leaks}" } @{$j->{runs}}')" \
		= "0 clock:0:0 fifo:0:0"
	# It looks at each page once, and takes it: and that shows.
	holds loaded-policy-is-asked "$(json '$j->{runs}[1]{pageins} >
		$j->{runs}[0]{pageins} && $j->{runs}[1]{scanned_per_reclaimed} <
		$j->{runs}[0]{scanned_per_reclaimed} ? 1 : 0')" -eq 1
fi
refused 2 no-such-file "missing.so" replay $t --policy ./missing.so
printf 'int x;\n' >"$work/none.c"
${CC:-cc} -shared -fPIC -o "$work/none.so" "$work/none.c"
refused 2 file-without-policy "does not define mmkit_policy" replay $t \
	--policy "$work/none.so"
printf 'const unsigned mmkit_policy_version = 0; const char *mmkit_policy[32];\n' \
	>"$work/old.c"
${CC:-cc} -shared -fPIC -o "$work/old.so" "$work/old.c"
refused 2 policy-of-another-version "version 0" replay $t \
	--policy "$work/old.so"
finish
