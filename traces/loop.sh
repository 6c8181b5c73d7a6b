#!/bin/sh
# SPDX-License-Identifier: MIT
# traces/loop.sh PAGES ROUNDS - a program that goes round its memory: text as
# valgrind's lackey prints it, for mmkit record --from-lackey. It writes PAGES
# pages one after the other and then reads them in the same order, ROUNDS - 1
# times: more than memory of this is what recency misses all of.
set -eu
[ $# -eq 2 ] || { echo "usage: $0 PAGES ROUNDS" >&2; exit 2; }
awk -v pages="$1" -v rounds="$2" 'BEGIN {
	for (r = 0; r < rounds; r++)
		for (p = 0; p < pages; p++)
			printf " %s %x,8\n", r ? "L" : "S",
				268435456 + 4096 * p
}'
