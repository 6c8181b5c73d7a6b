#!/bin/sh
# SPDX-License-Identifier: MIT
# share: long
# stress-ng, Debian's and unmodified, with --verify, on two CPUs and on half
# the memory that it wants, with swap. SECONDS_EACH=10, STRESSORS="vm mmap".
# shellcheck source=tests/metal/lib
. "$(dirname "$0")/lib"
needs stress-ng
alive "$@"

secs=${SECONDS_EACH:-10}
limit=$((secs * 12 + 60))
for s in ${STRESSORS:-vm mmap mremap brk madvise fork bigheap stack mlock \
	mincore shm shm-sysv memfd vm-splice}; do
	set --
	case $s in
	vm) set -- --vm-bytes 96M ;;
	mmap) set -- --mmap-bytes 96M ;;
	mremap) set -- --mremap-bytes 48M ;;
	bigheap) set -- --bigheap-growth 4M ;;
	shm) set -- --shm-bytes 16M ;;
	shm-sysv) set -- --shm-sysv-bytes 16M ;;
	memfd) set -- --memfd-bytes 64M ;;
	esac
	guest_is "stress-ng $s, $secs s" 0 --mem "$(mem 64M 256M)" \
		--swap 256M --cpus 2 -- stress-ng --"$s" 2 "$@" --verify \
		--timeout "$secs" --metrics-brief --temp-path /tmp
	grep -hE "$s .*[0-9]+" "$work/out" "$work/err" 2>/dev/null |
		grep metrc | tail -n 1
	if grep -qE 'stress-ng: fail' "$work/out" "$work/err"; then
		not_ok "stress-ng $s says nothing failed" \
			"$(grep -hE 'fail' "$work/out" "$work/err" | head -n 3)"
	fi
done
finish
