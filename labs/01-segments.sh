#!/bin/sh
# SPDX-License-Identifier: MIT
# world: sim
# 01 - Segments and selectors: what the CPU makes of SEL:OFFSET.
#
# Three segments of our own, paging off: a linear address is a physical one.
# Read 01-segments.md beside it.
set -eu
mmkit=${MMKIT:-build/mmkit}
machine=$(mktemp)
trap 'rm -f "$machine"' EXIT

# Entry 2 is data from 0x200000 on, 32 KiB long, for programs (DPL 3).
# Entry 3 is the same for the kernel alone (DPL 0). Entry 4 is read-only.
cat >"$machine" <<'MACHINE'
mode protected
cr0 pg=0
gdt 1 code base=0x100000 limit=64K dpl=3 exec read	# 0x0b
gdt 2 data base=0x200000 size=0x8000 dpl=3 write	# 0x13
gdt 3 data base=0x200000 size=0x8000 dpl=0 write	# 0x18
gdt 4 data base=0x400000 limit=4K dpl=3			# 0x23
reg cs=0x0b ss=0x13 ds=0x13 sp=0x7ff0
MACHINE

# ask TITLE ACCESS ADDRESS - the whole way, or its end alone
ask() {
	echo "== $1"
	"$mmkit" explain --machine "$machine" --access "$2" "$3" >"$machine.out"
	if [ "${4:-}" = whole ]; then
		cat "$machine.out"
	else
		grep -E 'BROKEN|PHYSICAL|FAULT|error code|linear  ' "$machine.out"
	fi
	rm -f "$machine.out"
	echo
}

ask "the last byte of the segment, every step" r 0x13:0x7fff whole
ask "one byte behind its end" r 0x13:0x8000
ask "the kernel's segment, by a program" r 0x18:0
ask "a write where only reading is allowed" w 0x23:0
ask "an entry that the table does not have" r 0x2b:0
ask "the null selector" r 0:0

# To do:
# 1. Give entry 2 the property "down" (a stack). Which offsets are valid now?
# 2. Let the kernel ask: entry 1 with dpl=0, "reg cs=0x08 ss=0x18 ds=0x18".
#    0x18:0 is good now. Why is 0x1b:0 not, although the kernel asks?
