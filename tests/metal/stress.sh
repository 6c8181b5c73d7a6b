#!/bin/sh
# SPDX-License-Identifier: MIT
# share: long
# stress-ng, Debian's and unmodified, with --verify, on two CPUs and on half
# the memory that it wants, with swap; each run ends with the kernel's audit.
# SECONDS_EACH=10 ONLY="vm mmap". After each name stand stress-ng's bogo
# operations and the pages that were swapped out and in.
# shellcheck source=tests/metal/lib
. "$(dirname "$0")/lib"
needs stress-ng
alive "$@"

secs=${SECONDS_EACH:-10}
# A worker ends its round before it looks at the clock, and a round over what
# does not fit takes what the disk takes: the limit is for hangs.
limit=$((secs * 30 + ${METAL_LIMIT:-300}))

# bogo NAME - operations of that stressor, of stress-ng's --metrics-brief
bogo() {
	cat "$work/out" "$work/err" 2>/dev/null | awk -v s="$1" \
		'/metrc:/ && $4 == s && n == "" { n = $5 } END { print n == "" ? "none" : n }'
}

for s in ${ONLY:-${STRESSORS:-vm mmap mremap brk madvise fork bigheap stack \
	mlock mincore shm shm-sysv memfd vm-splice}}; do
	m=$(mem 32M 192M)
	set --
	case $s in
	# Sizes are shared by the workers: twice the machine altogether.
	vm) set -- --vm-bytes 64M ;;
	mmap) set -- --mmap-bytes 64M ;;
	mremap) set -- --mremap-bytes 64M ;;
	shm) set -- --shm-bytes 64M ;;
	# These are for the first segment of a worker's eight, which have less and
	# less. It keeps them by SHM_LOCK: with 8M there is an OOM kill now and
	# then, which stress-ng takes for a failure.
	shm-sysv) set -- --shm-sysv-bytes 2M ;;
	memfd) set -- --memfd-bytes 64M ;;
	# This one takes all that there is, and is killed for it.
	bigheap) set -- --bigheap-growth 4M ;;
	esac
	guest_is "stress-ng $s, $secs s" 0 --mem "$m" --swap 256M --cpus 2 -- \
		stress-ng --"$s" 2 "$@" --verify --timeout "$secs" \
		--metrics-brief --temp-path /tmp
	echo "   $m: $(bogo "$s") operations, $(counter pswpout) pages out," \
		"$(counter pswpin) in, $(counter oom_kill) OOM kills"
	if grep -qE 'stress-ng: fail' "$work/out" "$work/err"; then
		not_ok "stress-ng $s says nothing failed" \
			"$(grep -hE 'fail' "$work/out" "$work/err" | head -n 3)"
	fi
	[ "$(bogo "$s")" != none ] ||
		not_ok "stress-ng $s says what it did" "$(metal_why)"
done
finish
