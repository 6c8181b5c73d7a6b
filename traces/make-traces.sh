#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes the committed traces again: traces/make-traces.sh [NAME...]
# Run it from the project's root; needs build/mmkit (or MMKIT=path), valgrind,
# sqlite3, python3 and gcc. sqlite takes some minutes, the others less than one
# or two. The results differ in details with the versions of the programs.
set -eu
MMKIT=${MMKIT:-build/mmkit}
TEXT=/usr/share/common-licenses
[ $# -gt 0 ] || set -- sort python cc sqlite

for name; do
	out=traces/$name.trace
	echo "== $out"
	case $name in
	sqlite)
		"$MMKIT" record -o "$out" --window 10000 -- \
			sqlite3 :memory: '.read traces/sqlite.sql' ;;
	python)
		PYTHONHASHSEED=0 "$MMKIT" record -o "$out" --window 5000 -- \
			/usr/bin/python3 -I -S -B traces/words.py \
			$TEXT/GPL-2 $TEXT/GPL-3 ;;
	sort)
		LC_ALL=C "$MMKIT" record -o "$out" --window 1000 -- \
			sort --parallel=1 -S 1M $TEXT/GPL-3 $TEXT/GPL-2 \
			-o /dev/null ;;
	cc)
		"$MMKIT" record -o "$out" --window 20000 -- \
			gcc -O1 -Iinclude -c -o /dev/null lab/min.c ;;
	*)
		echo "$0: $name: one of sqlite, python, sort, cc" >&2
		exit 2 ;;
	esac
	ls -l "$out"
done
