#!/bin/sh
# SPDX-License-Identifier: MIT
# share: fast
# Hostile programs and hostile machines: calls with wild arguments, files that
# are no programs, too little memory, nothing to start from.
# shellcheck source=tests/metal/lib
. "$(dirname "$0")/lib"
needs busybox
alive "$@"

m=$(mem 96M 256M)
guest_is "programs that are wrong" 0 --mem "$m" -- "$top/build/guest/badelf"
grep '^not ok' "$work/out"
has "all of them were tried" '^ok a device as interpreter: '

# A number that is printed repeats the run: SEED=... FUZZ_SECONDS=...
seed=${SEED:-$(date +%s)}
secs=${FUZZ_SECONDS:-5}
[ -z "${LONG:-}" ] || secs=${FUZZ_SECONDS:-60}
echo "SEED $seed"
cpus=4
limit=$((secs * 4 + 60)) guest_is \
	"wild system calls for $secs s on $cpus CPUs, SEED=$seed" 0 \
	--mem "$m" --swap 64M --cpus $cpus -- \
	"$top/build/guest/fuzz" "$secs" 6 "$seed"
cat "$work/out"
has "children were started" '^children [0-9]{2,} '

# The machine.
name="not enough memory is said"
in_guest --mem "$(mem 2M 32M)" -- busybox true
if [ "$status" -eq 125 ] && [ -s "$work/err" ]; then
	ok "$name"
else
	not_ok "$name" "$(metal_why)"
fi

# bare SIZE QEMU-OPTION... - our kernel alone: all it says is in $work/out
bare() {
	size=$1
	shift
	timeout "$limit" qemu-system-x86_64 -nodefaults -no-reboot -display none \
		-machine microvm -accel tcg -m "$size" \
		-kernel "$top/build/mmkit-kernel" \
		-append 'console=ttyS0' -serial "file:$work/out" \
		-device isa-debug-exit,iobase=0xf4 \
		-chardev "file,id=l,path=$work/err" \
		-device isa-debugcon,iobase=0xe9,chardev=l "$@" </dev/null \
		>/dev/null 2>&1
	status=$?
	cat "$work/err" >>"$work/out"
}

if [ -n "$ours" ] && command -v cpio >/dev/null 2>&1; then
	mkdir "$work/root"
	cp "$(command -v busybox)" "$work/root/init"
	head -c 60000000 /dev/zero >"$work/root/zz"
	(cd "$work/root" && printf 'init\nzz\n' |
		cpio -o -H newc --quiet | gzip -1) >"$work/big"
	head -c 900000 "$work/big" >"$work/cut"
	bare 64M -initrd "$work/big"
	has "an initramfs that does not fit is said" \
		'the initramfs cannot be used: it does not fit: /zz has no room'
	bare 64M -initrd "$work/cut"
	has "an initramfs that is cut is said" \
		'the initramfs cannot be used: archive at byte 0, '
	holds "and nothing of it is run" \
		"$(grep -c 'init is ' "$work/out")" -eq 0
else
	skip "an initramfs that does not fit is said" "no cpio here"
fi
if [ -n "$ours" ]; then
	bare 64M
	has "without an initramfs it is said" \
		'(No init|no init|No working init|root|init).*' "$work/out"
	holds "and it does not hang" "$status" -ne 124
fi
name="a swap disk that is none is said"
head -c 1048576 /dev/zero >"$work/noswap"
in_guest --mem "$m" --swap 1M --qemu -snapshot --qemu -drive --qemu \
	"if=none,id=x,format=raw,file=$work/noswap" -- \
	busybox sh -c 'swapon /dev/nosuchdisk; echo "status $?"'
has "$name" '^status 1$'
has "and why" 'No such file' "$work/err"
guest_is "a program that cannot be started" 125 --mem "$m" \
	--add "$work/noswap:/bin/none" -- "$top/README.md"
has "its name is said" 'README.md: ' "$work/err"
finish
