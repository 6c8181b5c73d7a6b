#!/bin/sh
# SPDX-License-Identifier: MIT
# world: metal
# 10 - A new system call: fault_counts, number 1000, which no Linux has. The
# kernel's side is kernel/mm_sys/fault_sys.c, the program's guest/faults.c.
# Read 10-new-call.md beside it: it goes through every file that a new call
# touches.
set -eu
mmkit=${MMKIT:-build/mmkit}
top=$(cd "$(dirname "$0")/.." && pwd)

# A machine of 64 MiB with a small disk, where the program keeps a file.
run() {
	"$mmkit" run --mem 64M --disk 16M --audit --out /dev/null "$@"
}

echo "== 32 pages, on our kernel"
run -- "$top/build/guest/faults" 32

echo
echo "== the kernel knows the call by its name"
run --add "$top/build/guest/faults:/faults" -- busybox sh -c \
	'/faults 8 >/dev/null && grep -c "^fault_counts" /proc/mmkit/syscalls'

echo
echo "== the same program on the kernel of this machine"
"$top/build/guest/faults" 32 || echo "exit status $?"

# To do:
# 1. Add the machine's swapped-in pages (PSWPIN) to struct fault_counts. A
#    program that was built before must work as before: why does it?
# 2. Add a second call, 1001, that says how many frames of the process are
#    shared with others.
