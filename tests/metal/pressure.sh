#!/bin/sh
# SPDX-License-Identifier: MIT
# share: fast soak
# No lost page and no hang: stress-ng's vm, which writes patterns and reads them
# again, with --verify, in less than a third of the memory that it wants, with
# swap on a disk; then in a control group at its limit; then without enough of
# anything, where the report must name who died. Each run ends with the audit;
# METAL_LIMIT ends one that hangs. LONG=1: 60 seconds each, four workers.
# shellcheck disable=SC2016 # the dollars are the guest's
# shellcheck source=tests/metal/lib
. "$(dirname "$0")/lib"
needs stress-ng busybox
alive "$@"

secs=${SECONDS_EACH:-3}
workers=2
least=pswpout # a round may not be over
if [ -n "${LONG:-}" ]; then
	secs=${SECONDS_EACH:-60}
	workers=4
	least=pswpin
fi
# A worker ends its round before it looks at the clock.
limit=$((secs * 10 + ${METAL_LIMIT:-300}))
m=$(mem 16M 128M)
bytes=$(mem 50M 400M)

# bogo - stress-ng's operations
bogo() {
	cat "$work/out" "$work/err" 2>/dev/null | awk \
		'/metrc:/ && $4 == "vm" { n = $5 } END { print n == "" ? "no" : n }'
}

# went_well NAME - it ended with 0, nothing was found wrong, and swap was used
went_well() {
	if [ "$status" -ne 0 ]; then
		not_ok "$1" "$(metal_why)"
	elif grep -qhE 'stress-ng: (fail|error)' "$work/out" "$work/err"; then
		not_ok "$1" "$(grep -hE 'fail|error' "$work/out" "$work/err" |
			head -n 3)"
	elif [ -n "$ours" ] && [ "$(counter $least)" -lt 1000 ]; then
		not_ok "$1" "swap was not used: $(counter $least) $least"
	else
		ok "$1"
	fi
	echo "   $m for $bytes: $(bogo) operations, $(counter pswpout) pages out," \
		"$(counter pswpin) in, $(counter oom_kill) OOM kills"
}

vm="stress-ng --vm $workers --vm-bytes $bytes --vm-method all --verify \
	--timeout $secs --metrics-brief --temp-path /tmp"

# shellcheck disable=SC2086 # words
in_guest --mem "$m" --swap 512M --cpus 2 -- $vm
went_well "vm in a third of what it wants"

# In a group: the machine has room, its group has not.
m=$(mem 64M 192M)
cat >"$work/group" <<'SH'
mkdir -p /tmp/cg && mount -t cgroup2 none /tmp/cg || exit 9
echo +memory >/tmp/cg/cgroup.subtree_control
mkdir /tmp/cg/small || exit 9
cd /tmp/cg/small || exit 9
echo 14M >memory.max
echo $$ >cgroup.procs
"$@"
ret=$?
echo "limited $(awk '$1 == "max" { print ($2 > 0) }' memory.events)"
peak=$(cat memory.peak)
echo "limit 14680064, peak $peak, above $((peak > 14680064 + 262144))"
exit $ret
SH
# shellcheck disable=SC2086
in_guest --mem "$m" --swap 512M --cpus 2 --add "$work/group" \
	--add "$(command -v stress-ng)" -- \
	busybox sh "$work/group" $vm
went_well "vm in a group at its limit"
has "the group was at its limit" '^limited 1$'
# Who must not fail, frees memory itself or is on its way out goes beyond it by
# what he needs for that: a page here and there.
has "and above it only by what may not wait" 'above 0$'

# Neither memory nor swap is enough: some die, by name, and it goes on.
m=$(mem 32M 128M)
in_guest --mem "$m" --swap 16M --cpus 2 -- busybox sh -c '
	busybox awk "BEGIN { for (i = 0; ; i++) a[i] = sprintf(\"%0500d\", i) }"
	echo "ended $?"; echo "alive $(busybox awk "BEGIN { print 6 * 7 }")"'
has "who had too much was killed" '^ended 137$'
has "and the rest goes on" '^alive 42$'
if [ -n "$ours" ]; then
	has "the report names who died" \
		'Out of memory: Killed process [0-9]+ \(busybox\)' "$work/log"
fi
finish
