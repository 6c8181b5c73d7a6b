#!/bin/sh
# SPDX-License-Identifier: MIT
# misuse.sh - C programs with one mistake each, on the malloc library: hardened
# and debug mode stop them by SIGABRT and name cache and object; debug mode names
# who allocated and who freed as well, of programs that were compiled like any
# other, without frame pointers. tests/cli/preload.sh, which builds the library,
# runs it.
set -u
cd "$(dirname "$0")/../.." || exit 1
LIB=${LIB:-$PWD/build/libmmkit-malloc.so}
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
if ! ${CC:-cc} -O2 -fomit-frame-pointer -o "$WORK/misuse" \
	tests/malloc/misuse.c -lpthread >"$WORK/out" 2>&1; then
	echo "not ok program: $(tail -n 1 "$WORK/out")"
	exit 1
fi
fails=0

# stopped MODE MISTAKE WORDS...: by SIGABRT, with a report that has each of WORDS
stopped() {
	mode=$1 mistake=$2
	shift 2
	# A shell of its own says "Aborted", where nobody reads it.
	(
		export MMKIT_OPTIONS="$mode"
		LD_PRELOAD=$LIB "$WORK/misuse" "$mistake" \
			2>"$WORK/said"
		echo $? >"$WORK/status"
	) >/dev/null 2>&1
	read -r status <"$WORK/status"
	if [ "$status" != 134 ]; then
		echo "not ok misuse $mode $mistake: status $status"
		fails=$((fails + 1))
		return
	fi
	# Stacks begin where the program called.
	if grep -qF '[libmmkit-malloc.so]' "$WORK/said"; then
		set -- "$@" "a stack without the library"
	fi
	for word in "$@"; do
		grep -qF -- "$word" "$WORK/said" && continue
		echo "not ok misuse $mode $mistake: no \"$word\" in:"
		sed 's/^/	/' "$WORK/said"
		fails=$((fails + 1))
		return
	done
	echo "ok misuse $mode $mistake"
}

if "$WORK/misuse" none || [ $? != 2 ]; then
	echo "not ok misuse: a mistake that there is not"
	exit 1
fi

for mode in hardened debug; do
	if MMKIT_OPTIONS=$mode LD_PRELOAD=$LIB "$WORK/misuse" sizes; then
		echo "ok misuse $mode sizes"
	else
		echo "not ok misuse $mode sizes"
		fails=$((fails + 1))
	fi
done

cache="(cache malloc-112)" finder="  found by thread " freed="    who_frees+0x"
stopped hardened overflow "free(): overflow" "$cache" "of 100 bytes, in use" \
	"0 bytes behind its end: 0x01" "$finder" "$freed"
stopped hardened underflow "overflow" "$cache" "  object 0x"
stopped hardened use_after_free "use after free: written" "$cache" \
	"10 bytes inside it: 0x01"
stopped hardened twice "free(): double free" "$cache" \
	"$finder" "$freed"
stopped hardened twice_elsewhere "free(): double free" "$cache" \
	"$finder" "$freed"
stopped hardened interior "free(): pointer into an object" "$cache" \
	"$finder" "$freed"
stopped hardened foreign "free(): not a pointer of malloc: 0x" \
	"$finder" "$freed"
stopped hardened link_overwritten "use after free: written" "$cache" \
	"0 bytes inside it: 0x41"

cache="(cache malloc-144)" object="of 100 bytes"
allocated="    who_allocates+0x"
stopped debug overflow "free(): overflow" "$cache" "$object" "$allocated" \
	"    overflow+0x" "0 bytes behind its end: 0x01 instead of 0xcc"
stopped debug underflow "free(): underflow" "$cache" "$object" "$allocated" \
	"    underflow+0x" "1 bytes before its begin"
stopped debug use_after_free "use after free: written" "$cache" "$object" \
	"$allocated" "$freed" "    use_after_free+0x" "10 bytes inside it: 0x01"
stopped debug twice "free(): double free" "$cache" "$object" "$allocated" \
	"$freed" "    twice+0x" "$finder"
stopped debug twice_elsewhere "free(): double free" "$cache" "$object" \
	"$allocated" "$freed" "    twice_elsewhere+0x"
stopped debug interior "free(): pointer into an object" "$cache" "$object" \
	"16 bytes inside it" "$allocated" "    interior+0x"
stopped debug foreign "free(): not a pointer of malloc: 0x" "$finder" "$freed"
stopped debug link_overwritten "use after free: written" "$cache" "$object" \
	"$allocated" "$freed" "    link_overwritten+0x"
[ "$fails" = 0 ]
