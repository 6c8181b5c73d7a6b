#!/bin/sh
# SPDX-License-Identifier: MIT
# share: fast
# machine.sh [CASE...] - the CPU's half of the metal world: boot, threads, user
# mode, traps, last words (tests/metal/self) in machines that QEMU plays. Prints
# "ok NAME", "not ok NAME: why" or "skip NAME: why" for each case; exit status
# 1 if one was not ok. Images: build/release/metal-self, build/debug/metal-self.
set -u
cd "$(dirname "$0")/../.." || exit 1
qemu="qemu-system-x86_64"
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
failed=0
only=$*

if ! command -v $qemu >/dev/null; then
	echo "skip machine: no $qemu"
	exit 0
fi
for image in build/release/metal-self build/debug/metal-self; do
	[ -e $image ] || { echo "not ok machine: no $image (make kernel-self)"; exit 1; }
done

wanted() {
	case " ${only:-$1} " in *" $1 "*) ;; *) return 1 ;; esac
	name=$1
	why=
}

# boot VARIANT WORDS ARGUMENTS...: the log is $dir/log, the status $status
boot() {
	variant=$1 words=$2
	shift 2
	: >"$dir/log"
	timeout "${TIMEOUT:-300}" $qemu -nodefaults -no-user-config \
		-display none -no-reboot -accel tcg \
		-device isa-debug-exit,iobase=0xf4,iosize=1 \
		-chardev file,id=log,path="$dir/log" \
		-device isa-debugcon,iobase=0xe9,chardev=log \
		-kernel "build/$variant/metal-self" -append "$words" "$@" \
		</dev/null >"$dir/out" 2>&1
	status=$?
}

# want STATUS (as the guest gave it); has PATTERN; lacks PATTERN
want() {
	[ "$status" -eq $(($1 * 2 + 1)) ] ||
		why=${why:-"QEMU's status $status: $(tail -n 1 "$dir/log" "$dir/out" | tr '\n' '|')"}
}
has() {
	grep -aqE "$1" "$dir/log" || why=${why:-"no line like: $1"}
}
lacks() {
	grep -aqE "$1" "$dir/log" &&
		why=${why:-"$(grep -aE "$1" "$dir/log" | head -n 1)"}
}
verdict() {
	if [ -z "$why" ]; then
		echo "ok $name"
	else
		echo "not ok $name: $why"
		failed=1
	fi
}

# passes NAME VARIANT ARGUMENTS...: all of the image's own tests
passes() {
	wanted "$1" || return 0
	variant=$2
	shift 2
	boot "$variant" "" "$@"
	want 0
	has 'self: all ok'
	has 'verdict: clean'
	lacks 'panic|WARNING'
	verdict
}

passes microvm release -machine microvm -cpu max -m 128M
passes one-cpu-old release -machine pc -cpu qemu64 -m 64M
passes two-cpus-debug debug -machine microvm -cpu max -smp 2 -m 64M
passes four-cpus release -machine q35 -cpu max -smp 4 -m 256M
passes four-cpus-debug debug -machine q35 -cpu Nehalem -smp 4 -m 128M
passes by-instructions release -machine microvm -cpu qemu64 -m 32M \
	-icount shift=0,sleep=off
passes small release -machine microvm -cpu max -m 8M
passes large release -machine q35 -cpu max -m 5G

# The image does not end with a frame.
if wanted initrd; then
	yes 'mmkit initrd' | head -c 100001 >"$dir/initrd"
	boot debug 'only=initrd' -machine microvm -cpu max -m 32M \
		-initrd "$dir/initrd"
	want 0
	has 'self: initrd of 25 frames'
	has 'verdict: clean'
	verdict
fi

# dies KIND PATTERN: the last words name it, the registers, the way there
dies() {
	wanted "crash-$1" || return 0
	boot debug "crash=$1" -machine microvm -cpu max -m 32M
	want 125
	has "Kernel panic - not syncing: $2"
	has 'CPU: 0 thread: crash'
	has "$3"
	has 'Node 0 DMA free:'
	has 'end of panic'
	verdict
}
dies null 'page fault in the kernel: writing 0x8: a null pointer' ' write_null\+'
dies user 'page fault in the kernel: reading 0x400000: .*user' ' read_user\+'
dies text 'page fault in the kernel: writing 0x[0-9a-f]*: protected' ' write_text\+'
dies exec 'page fault in the kernel: .*: jumped to what is no code' ' jump_data\+'
dies stack 'stack overflow: CPU 0 ran over the end of the stack of thread crash ' ' deeper\+'
dies divide 'divide error in the kernel \(vector 0' ' divide\+'
dies opcode 'invalid opcode in the kernel \(vector 6' ' undefined\+'
dies wild 'general protection fault in the kernel' ' noncanonical\+'
dies verify '.*crash.c:[0-9]+: verify: assertion failed: one == 2' ' verify\+'
# Stacks from before vmalloc(), each above a page that is not mapped. The last:
# the idle thread of the CPU that the one who wants it is not on.
# overflows NAME KIND CPU THREAD ARGUMENTS...
overflows() {
	wanted "crash-$1" || return 0
	kind=$2 cpu=$3 thread=$4
	shift 4
	boot debug "crash=$kind" -machine microvm -cpu max -m 32M "$@"
	want 125
	has "panic - not syncing: stack overflow: CPU $cpu ran over the end of the stack of $thread \(double fault\)"
	has 'RIP: .* deeper\+'
	has 'end of panic'
	verdict
}
overflows boot-stack boot-stack 0 'the boot'
overflows first-stack first-stack 0 'thread init'
overflows first-stack-late first-stack-late 0 'thread init'
overflows idle-stack idle-stack 0 'thread idle/0'
overflows idle-stack-2 idle-stack '([01])' 'thread idle/\1' -smp 2
dies sleep 'port_park: may not sleep here' ' sleep_pinned\+'

# debug_pagealloc: a free frame that is touched is named, and who freed it.
# touches NAME KIND DID CPU-AND-THREAD FUNCTION ARGUMENTS...
touches() {
	wanted "crash-$1" || return 0
	kind=$2 did=$3 who=$4 freer=$5
	shift 5
	boot debug "crash=$kind debug_pagealloc=on page_owner=on" \
		-machine microvm -cpu max -m 32M "$@"
	want 125
	has 'debug_pagealloc=on'
	has 'direct map of [0-9]+M with [0-9]+ [+] 0 [+] 0 pages of 4K, 2M and 1G'
	has "panic - not syncing: page fault in the kernel: $did 0xffff8880[0-9a-f]*: frame 0x[0-9a-f]+ is free, last freed by pid [0-9]+\$"
	has "CPU: $who"
	has 'page dumped because: debug_pagealloc: touched while it was free'
	has 'page_owner tracks the page as freed'
	has "^[^?]*  $freer\\+"
	verdict
}
touches free free reading '0 thread: crash' touch_free
touches free-write free-write writing '0 thread: crash' touch_free
# It had the entry in its TLB, and was told of nothing.
touches free-there free-there reading '[01] thread: reader' read_free_there -smp 2
# Without the option nobody notices, and no large page is split.
if wanted free-unnoticed; then
	boot debug 'crash=free' -machine microvm -cpu max -m 32M
	want 1
	has 'boot: crash=: it did not'
	lacks 'with [0-9]+ [+] 0 [+] 0 pages of 4K'
	verdict
fi

# pagealloc NAME VARIANT WORDS ARGUMENTS...: the image's own tests with it
pagealloc() {
	wanted "$1" || return 0
	variant=$2 words=$3
	shift 3
	boot "$variant" "debug_pagealloc=on $words" "$@"
	want 0
	has 'self: [1-9][0-9]* free frames, 0 of them mapped'
	has 'self: all ok'
	has 'verdict: clean'
	lacks 'panic|WARNING'
	verdict
}
pagealloc pagealloc release 'page_owner=on' -machine microvm -cpu max -smp 4 \
	-m 64M
pagealloc pagealloc-guards debug \
	'page_poison=1 debug_guardpage_minorder=1' -machine q35 -cpu Nehalem \
	-smp 2 -m 96M

# refuses NAME MEMORY WORDS PATTERN: said plainly, status 1
refuses() {
	wanted "$1" || return 0
	boot release "$3" -machine microvm -cpu max -m "$2"
	want 1
	has "boot: $4"
	verdict
}
# The image itself, and what it needs behind it.
end=$((0x$(nm build/release/metal-self | sed -n 's/^ffffffff\(8[0-9a-f]*\) . __image_end$/\1/p') - 0x80000000))
refuses too-little-image $((end / 1024 - 8))K '' 'too little memory: the kernel.s image takes'
refuses too-little-tables $((end / 1024 + 40))K '' 'too little memory for the first page tables'
refuses mem-too-little 32M 'mem=1M' 'command line: mem=1024K: the kernel itself ends at'
refuses mem-no-number 32M 'mem=lots' 'command line: mem=lots: not a number'
refuses no-truth 32M 'page_poison=maybe' 'command line: page_poison=maybe: neither on nor off'
refuses guard-order 32M 'debug_pagealloc=on debug_guardpage_minorder=9' 'the memory manager did not start'
refuses crash-unknown 32M 'crash=boom' 'command line: crash=boom: no such kind'

if wanted mem-limit; then
	boot release 'only=user mem=24M' -machine microvm -cpu max -m 64M
	want 0
	has 'of 2[34][0-9]*K: image'
	verdict
fi
if wanted quiet; then
	boot release 'only=user quiet' -machine microvm -cpu max -m 64M
	want 0
	lacks 'BIOS-e820'
	verdict
fi
# Words behind "--" are not the kernel's.
if wanted words; then
	boot release 'only=user -- crash=null mem=1M' -machine microvm -cpu max -m 64M
	want 0
	verdict
fi
exit $failed
