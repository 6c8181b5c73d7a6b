#!/bin/sh
# SPDX-License-Identifier: MIT
# world: sim
# 02 - Page tables by hand: ten bits, ten bits, twelve bits.
#
# A directory and one table of x86-32, each word written by us. The CPU (the
# one of `mmkit explain`) walks them. Read 02-page-tables.md beside it.
set -eu
mmkit=${MMKIT:-build/mmkit}
machine=$(mktemp)
trap 'rm -f "$machine"' EXIT

# The address 0x00803004 is made of: directory index 2 (bits 31:22), table
# index 3 (bits 21:12), offset 4. An entry is a frame's address and flags:
# 1 present, 2 writable, 4 user, 0x20 accessed, 0x40 dirty.
cat >"$machine" <<'MACHINE'
cr3 0x1000
cr4 pse
# Directory: entry 2 at 0x1000 + 2 * 4 leads to the table at 0x2000.
phys 0x1008: 0x00002007
# Entry 3 is a page of 4 MiB by itself (0x80, PS), at 8 MiB.
phys 0x100c: 0x00800087
# Table: entry 3 at 0x2000 + 3 * 4 is frame 5; entry 4 frame 6, read-only;
# entry 5 frame 7, for the kernel alone; entry 6 is not there.
phys 0x200c: 0x00005007 0x00006005 0x00007003 0x00000000
MACHINE

# ask TITLE ADDRESS OPTION... - the end of the walk
ask() {
	echo "== $1"
	shift
	"$mmkit" explain --machine "$machine" "$@" |
		grep -E 'entry [0-9]+ at|PHYSICAL|FAULT|error code|why  '
	echo
}

echo "== 0x00803004, every step"
"$mmkit" explain --machine "$machine" --user 0x00803004
echo
ask "a write to the read-only page" --user --access w 0x00804004
ask "the same write by the kernel, CR0.WP set" --access w --kernel 0x00804004
ask "the kernel's page, by a program" --user 0x00805004
ask "an entry that is not present" --user 0x00806004
ask "no table at all" --user 0x01000000
ask "a page of 4 MiB: 22 bits of offset" --user 0x00c12345

# To do:
# 1. Write the entry that maps 0x00bff000 (the last page of the table) to
#    frame 9, and look.
# 2. Let directory entry 4 lead to the directory itself (0x00001007). Which
#    address shows directory entry 2 as data? Ask for it, and be surprised.
