#!/bin/sh
# SPDX-License-Identifier: MIT
# share: fast
# devices.sh [CASE...] - the kernel's devices in machines that QEMU plays: each
# case boots build/release/metal-self (or $KERNEL) with "selftest=..." (port/metal/
# dev_test.c) on another machine. Prints "ok NAME", "not ok NAME: why" or "skip
# NAME: why" for each; exit status 1 if one was not ok.
#
# ACCEL=kvm uses KVM instead of QEMU's own CPU.
set -u
cd "$(dirname "$0")/../.." || exit 1
kernel=${KERNEL:-build/release/metal-self}
qemu="qemu-system-x86_64"
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
failed=0
only=$*

if ! command -v $qemu >/dev/null; then
	echo "skip devices: no $qemu"
	exit 0
fi
[ -e "$kernel" ] || { echo "not ok devices: no $kernel (make kernel)"; exit 1; }
if [ "${ACCEL:-tcg}" = kvm ]; then
	cpu="-accel kvm -cpu host,arch-capabilities=off"
else
	cpu="-accel tcg -cpu max"
fi

# disk NAME SIZE: a file that the self test may write to
disk() {
	truncate -s "$2" "$dir/$1"
	printf 'mmkit scratch disk\n' |
		dd of="$dir/$1" conv=notrunc status=none
}

# drive NAME [OPTIONS]: as an argument of QEMU
drive() {
	echo "-drive if=none,id=$1,format=raw,file=$dir/$1${2:-}"
}

# boot WHAT ARGUMENTS...: the log goes to $dir/log, the status to $status
boot() {
	what=$1
	shift
	# shellcheck disable=SC2086 # words
	timeout "${TIMEOUT:-300}" $qemu $cpu -m 256M -kernel "$kernel" \
		-append "earlycon $what" -nodefaults -no-user-config \
		-nographic -serial stdio "$@" </dev/null >"$dir/log" 2>&1
	status=$?
}

# With it status v ends QEMU with 2 v + 1.
debug_exit="-device isa-debug-exit,iobase=0xf4,iosize=4"

wanted() {
	case " ${only:-$1} " in *" $1 "*) ;; *) return 1 ;; esac
	name=$1
	why=
}

# want STATUS; has PATTERN; lacks PATTERN: about the last boot
want() {
	[ "$status" = "$1" ] || why=${why:-"status $status, not $1"}
}
has() {
	grep -aqE "$1" "$dir/log" || why=${why:-"no line like: $1"}
}
lacks() {
	grep -aqE "$1" "$dir/log" && why=${why:-"$(grep -aE "$1" "$dir/log" | head -n 1)"}
}
verdict() {
	if [ -z "$why" ]; then
		echo "ok $name"
		return
	fi
	echo "not ok $name: $why"
	grep -aE 'selftest|panic|smp|vd[a-z]|apic|acpi' "$dir/log" | tail -n 30 |
		sed 's/^/    | /'
	failed=1
}

# all_well: the self test ran to its end, nothing was lost
all_well() {
	want 1
	has 'selftest: devs: ok'
	lacks 'FAILED|panic|BUG|nobody|does not come up'
	has 'selftest: tables: ok, [1-9]'
	has ' 0 interrupts lost'
}

# boots_again MACHINE: it restarts, and boots a second time
boots_again() {
	: >"$dir/log"
	# shellcheck disable=SC2086 # words
	timeout "${TIMEOUT:-300}" $qemu $cpu -M "$1" -m 128M -kernel "$kernel" \
		-append "earlycon selftest=restart" -nodefaults \
		-no-user-config -nographic -serial stdio </dev/null \
		>>"$dir/log" 2>&1 &
	pid=$!
	boots=0
	while [ "$boots" -lt 2 ] && kill -0 $pid 2>/dev/null; do
		sleep 0.2
		boots=$(grep -ac 'mmkit for x86-64' "$dir/log")
	done
	kill $pid 2>/dev/null
	wait $pid 2>/dev/null
	[ "$boots" -ge 2 ] || why="booted $boots times"
}

# typed: wait until somebody reads the console, then type
typed() {
	while ! grep -aqs 'echo: ready' "$1"; do
		sleep 0.2
	done
	printf 'hal,\n.'
}

disk a 16M
disk b $((10 * 1024 * 1024 + 3 * 512))
disk c 3M

# shellcheck disable=SC2046,SC2086,SC2094 # words; typed waits for the log
{
	if wanted microvm; then
		boot selftest=devs -M microvm -smp 2 $debug_exit $(drive a) \
			-device virtio-blk-device,drive=a
		all_well
		has 'smp: 2 of 2 CPUs are up'
		has '1 disks, 1 written'
		has 'CPUs interrupted'
		verdict
	fi
	if wanted microvm-modern; then
		# A small queue: bios go in parts.
		boot selftest=devs -M microvm -smp 1 $debug_exit $(drive a) \
			-global virtio-mmio.force-legacy=false \
			-device virtio-blk-device,drive=a,queue-size=4
		all_well
		verdict
	fi
	if wanted microvm-no-tables; then
		boot selftest=devs -M microvm,acpi=off -smp 1 $debug_exit \
			$(drive a) -device virtio-blk-device,drive=a
		all_well
		has '1 disks, 1 written'
		verdict
	fi
	if wanted pc-nodes; then
		boot selftest=devs -M pc -smp 3 $debug_exit \
			$(drive a) -device virtio-blk-pci,drive=a \
			$(drive b) -device virtio-blk-pci,drive=b,vectors=0 \
			$(drive c ,readonly=on) -device virtio-blk-pci,drive=c \
			-object memory-backend-ram,id=m0,size=128M \
			-object memory-backend-ram,id=m1,size=128M \
			-numa node,nodeid=0,cpus=0-1,memdev=m0 \
			-numa node,nodeid=1,cpus=2,memdev=m1 \
			-numa dist,src=0,dst=1,val=25
		all_well
		has '3 disks, 2 written'
		has 'vdb: 20483 sectors'
		has 'vdc: .* read-only'
		has 'acpi: node 1, domain 1: memory 0x000008000000-0x00000fffffff'
		has 'node   1: .mem 0x0000000008000000'
		has 'smp: 3 of 3'
		verdict
	fi
	if wanted q35-bridge; then
		boot selftest=devs -M q35 -smp 2 $debug_exit $(drive a) \
			-device pcie-root-port,id=rp,chassis=1 \
			-device virtio-blk-pci,drive=a,bus=rp
		all_well
		has 'vda: .* pci 01:00.0'
		verdict
	fi
	if wanted counted; then
		# Time is made of instructions: one each nanosecond.
		cpu="-accel tcg -cpu qemu64 -icount shift=0,sleep=off" \
			boot selftest=devs -M microvm -smp 1 $debug_exit
		all_well
		has 'TSC (1000\.0|999\.9)'
		verdict
	fi
	if wanted maxcpus; then
		boot "maxcpus=2 selftest=off" -M pc -smp 4
		has 'smp: 2 of 4 CPUs are up'
		verdict
	fi
	if wanted io-error; then
		printf '[inject-error]\nevent = "%s"\nerrno = "5"\nsector = "4000"\n' \
			write_aio >"$dir/rule"
		boot selftest=devs -M microvm -smp 1 $debug_exit -drive \
			"if=none,id=e,format=raw,werror=report,rerror=report,file=blkdebug:$dir/rule:$dir/a" \
			-device virtio-blk-device,drive=e
		want 3
		has 'vda: write of [0-9]+ pages at sector [0-9]+: I/O error'
		has 'selftest: disk: FAILED: vda: status -5'
		verdict
	fi
	for machine in microvm pc q35; do
		if wanted "off-$machine"; then
			# A machine that restarts would not end.
			TIMEOUT=30 boot selftest=off -M $machine
			want 0
			lacks 'cannot be switched off'
			verdict
		fi
		if wanted "restart-$machine"; then
			boots_again $machine
			verdict
		fi
	done
	if wanted console; then
		: >"$dir/log"
		typed "$dir/log" |
			timeout "${TIMEOUT:-300}" $qemu $cpu -M microvm -m 128M \
				-kernel "$kernel" -append "earlycon selftest=echo" \
				-nodefaults -no-user-config -nographic \
				-serial stdio $debug_exit >"$dir/log" 2>&1
		status=$?
		want 1
		has '^ibm,'
		verdict
	fi
}
exit $failed
