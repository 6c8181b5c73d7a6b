#!/bin/sh
# SPDX-License-Identifier: MIT
# Files that are no sound trace: a message, status 1, and no harm.
# variants: release asan
# shellcheck source=tests/cli/common
. "$(dirname "$0")/common"

good=traces/sort.trace
size=$(wc -c <$good)
bad=$work/bad.trace

# patch OFFSET HEX... - $bad becomes $good with those bytes there
patch() {
	cp $good "$bad"
	at=$1
	shift
	for byte in "$@"; do
		# shellcheck disable=SC2059 # the format is the byte
		printf "\\$(printf %o "0x$byte")" |
			dd of="$bad" bs=1 seek="$at" conv=notrunc 2>/dev/null
		at=$((at + 1))
	done
}

# bad NAME [CULPRIT] - all verbs that read traces refuse $bad
bad() {
	refused 1 "$1" "${2:-$bad}" replay "$bad" --mem 16M
	refused 1 "$1-info" "$bad" trace info "$bad"
}

for n in 0 1 7 8 15 16 30 60 $((size / 2)) $((size - 200)) $((size - 1)); do
	head -c "$n" $good >"$bad"
	bad "truncated-to-$n"
done
{
	cat $good
	echo more
} >"$bad"
bad bytes-behind-the-end
cat $good $good >"$bad"
bad two-in-one-file

patch 0 00
bad wrong-magic
echo 'I  0023C790,2' >"$bad"
bad text-file
head -c 100000 /dev/zero >"$bad"
bad zeroes
patch 8 03 00 00 00
bad version-3 version
patch 8 00 00 00 00
bad version-0 version
# Of another version by a wrong byte: the sum knows.
patch 8 02 00 00 00
bad version-2-of-a-version-1-file checksum
patch 8 ff ff ff ff
bad version-from-the-far-future version
patch 12 ff ff ff 7f
bad header-of-2-gib
patch 12 00 00 00 00
bad header-of-nothing

# One wrong byte anywhere: in the header, a block, the end record.
for part in 1 2 3 4 5 6 7 8 9; do
	at=$((size * part / 10))
	byte=$(dd if=$good bs=1 skip="$at" count=1 2>/dev/null |
		od -An -tx1 | tr -d ' ')
	patch "$at" "$(printf %02x $((0x$byte ^ 0x40)))"
	bad "wrong-byte-at-$part-tenths"
done

# Sizes in the first block's header that are lies.
block=$(perl -e 'local $/; print index(<STDIN>, "BLK\n")' <$good)
holds block-found "$block" -gt 16
for field in 4 8 12; do
	patch $((block + field)) ff ff ff ff
	bad "block-header-word-$field-all-ones"
	patch $((block + field)) 01 00 00 00
	bad "block-header-word-$field-one"
done
patch "$block" 58
bad block-magic

mkdir "$work/folder.trace"
bad=$work/folder.trace
bad folder
bad=$work/missing.trace
bad missing-file 'No such file'
bad=/dev/null
bad empty-device
finish
