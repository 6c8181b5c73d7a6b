#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes the committed traces again: traces/make-traces.sh [NAME...]
# Run it from the project's root; needs build/mmkit (or MMKIT=path), valgrind,
# sqlite3, python3, mawk, bzip2 and gcc. sqlite takes some minutes, the
# others less than one or two. The results differ in details with the
# versions of the programs.
set -eu
all="sort python cc sqlite awk bzip2 merge loop"
MMKIT=${MMKIT:-build/mmkit}
TEXT=/usr/share/common-licenses
# shellcheck disable=SC2086 # words
[ $# -gt 0 ] || set -- $all

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
	awk)
		"$MMKIT" record -o "$out" --window 5000 -- \
			mawk -f traces/columns.awk $TEXT/GPL-1 $TEXT/GPL-2 \
			$TEXT/GPL-3 $TEXT/LGPL-2.1 $TEXT/GFDL-1.3 \
			$TEXT/MPL-1.1 ;;
	bzip2)
		"$MMKIT" record -o "$out" --window 5000 -- \
			bzip2 -9 -c $TEXT/GPL-2 $TEXT/GPL-3 $TEXT/LGPL-2.1 \
			$TEXT/MPL-1.1 >/dev/null ;;
	loop)
		traces/loop.sh 8192 20 | "$MMKIT" record --from-lackey - \
			--window 0 -o "$out" ;;
	merge)
		big=$(mktemp)
		trap 'rm -f "$big"' EXIT
		for _ in 1 2 3 4 5 6; do
			cat $TEXT/GPL-1 $TEXT/GPL-2 $TEXT/GPL-3 \
				$TEXT/LGPL-2.1 $TEXT/GFDL-1.3 $TEXT/MPL-1.1
		done >"$big"
		LC_ALL=C "$MMKIT" record -o "$out" --window 5000 -- \
			sort --parallel=1 -S 3M "$big" -o /dev/null ;;
	*)
		echo "$0: $name: one of $all" >&2
		exit 2 ;;
	esac
	ls -l "$out"
done
