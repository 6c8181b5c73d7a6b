#!/bin/sh
# SPDX-License-Identifier: MIT
# variants: release asan
# mmkit explain: what it prints, against files that were looked at; JSON of
# each; processes of the host; misuse; random machines and addresses.
# UPDATE=1 writes the files anew (look at the difference).
# shellcheck disable=SC2016 # the dollars are Perl's
# shellcheck source=tests/cli/common
. "$(dirname "$0")/common"

golden=tests/data/explain
files=examples/machines

# seen NAME FILTER ARG... - exit status 0, nothing on stderr, no line beyond 80
# columns, no control characters, and the text of tests/data/explain/NAME.txt
seen() {
	name=$1 filter=$2
	shift 2
	run explain "$@"
	if [ "$status" -ne 0 ] || [ -s "$work/err" ]; then
		not_ok "$name" "$(why)"
		return
	fi
	if [ "$(awk 'length > 80' "$work/out" | wc -l)" -ne 0 ]; then
		not_ok "$name" "a line is longer than 80 columns"
	fi
	if grep -q '[^ -~]' "$work/out"; then
		not_ok "$name" "a character that is not printable ASCII"
	fi
	$filter <"$work/out" >"$work/seen"
	[ -z "${UPDATE:-}" ] || cp "$work/seen" "$golden/$name.txt"
	if diff "$golden/$name.txt" "$work/seen" >"$work/diff"; then
		ok "$name"
	else
		not_ok "$name" "$(head -n 4 "$work/diff" | tr '\n' '~')"
	fi
	same_json "$name" "$@"
}

# The JSON of the same question: schema, and as many steps as blocks of text.
same_json() {
	name=$1
	shift
	have_json || return
	run explain --json "$@"
	holds "$name-json" "$(json 'join " ", $j->{schema},
		scalar @{$j->{steps}}')" = \
		"mmkit.explain/1 $(grep -c '^ *[0-9][0-9]*  ' "$work/seen")"
}

# from FILE NAME ARG... - a machine file of examples/
from() {
	file=$1 name=$2
	shift 2
	seen "$name" cat --machine "$files/$file.machine" "$@"
}

# Two levels, words written by hand.
from two-level two-level-page 0x401234
from two-level two-level-large --kernel 0xc0012345
from two-level two-level-read-only --access w 0x1010
from two-level two-level-wp --access w --kernel 0x1010
from two-level two-level-supervisor 0x3000
from two-level two-level-protnone 0x4010
from two-level two-level-swapped 0x402000
from two-level two-level-empty --access w 0x2000
from two-level two-level-no-table 0x00800000

# PAE.
from pae pae-large 0xc0212345
from pae pae-reserved 0xd0000000
from pae pae-nx --access x 0xc0000010
from pae pae-high 0x0804a123
from pae pae-smep --access x --kernel 0x08048000

# Four and five levels.
from four-level four-level-text-write --access w 0xffffffff81000123
from four-level four-level-1g 0xffff888051234567
from four-level four-level-migrate --user 0x602000
from four-level four-level-protnone --user 0x600000
from four-level four-level-smap --kernel 0x410000
from four-level four-level-marks --user --access w 0x410008
from four-level four-level-clean --user --access w 0x420008
from four-level four-level-gs gs:0x1000
from five-level five-level-direct --kernel 0xff11000000345678
from five-level five-level-user 0x00ff000000000123
from five-level five-level-non-canonical 0xf000000000000000

# arm64.
from arm64 arm64-write --access w 0x410123
from arm64 arm64-write-text --access w 0x400000
from arm64 arm64-swapped 0x421000
from arm64 arm64-block --access x 0xffff800008000010
from arm64 arm64-user-fetch --access x --kernel 0x400000
from arm64 arm64-no-table 0x8000000000
from arm64 arm64-non-canonical 0x0001000000000000

# Segments.
from segments segment-limit 0x23:0x8000
from segments segment-absent 0x3b:0
from segments segment-null 0:0
from segments segment-read-only --access w 0x33:0
from segments segment-dpl 0x10:0
from segments segment-stack --access w ss:0xf000
from segments segment-stack-limit --access w ss:0xefff
from segments segment-fetch --access x 0x1b:0x100
from segments segment-conforming --access x 0x43:0x100
from segments segment-gate --access x 0x4b:0
from segments segment-beyond 0x1003:0
seen real-mode cat --machine tests/data/machines/real.machine 0x1234:0x5678

# The example of the README is what the command prints.
sed -n '/^ 2  Linear address 0x00401234/,/^```/p' README.md | sed '$d' \
	>"$work/readme"
sed -n '/^ 2  Linear address 0x00401234/,$p' $golden/two-level-page.txt \
	>"$work/want"
holds readme-example "$(wc -l <"$work/readme")" -gt 20
if cmp -s "$work/readme" "$work/want"; then
	ok readme
else
	not_ok readme "the example of README.md is not what is printed"
fi

# Booted machines: each state that a page can be in, in each format.
if perl -e 1 2>/dev/null; then
	kernel="perl tests/cli/explain_normalise"
	user="$kernel user"
	seen sim-x86-32 "$kernel" --arch x86-32 0x60:0xc0101234
	seen sim-x86-32-pae "$kernel" --arch x86-32-pae 0xc0201234
	seen sim-x86-32-user "$user" --arch x86-32 0x7b:0x08058123
	seen sim-x86-32-ring "$kernel" --arch x86-32 --user 0x68:0xc0101234
	seen sim-x86-32-gap "$kernel" --arch x86-32 --mem 3G 0xf8001234
	seen sim-pae-nx "$kernel" --arch x86-32-pae --access x 0xc0101234
	seen sim-direct "$kernel" 0xffff888000001234
	seen sim-direct-user "$kernel" --user 0xffff888000001234
	seen sim-gdt-write "$user" --access w 0xfffffe0000001000
	seen sim-non-canonical "$kernel" 0x1230000000000000
	seen sim-selector "$user" 0x2b:0x410008
	seen sim-text "$user" --access x 0x400123
	seen sim-text-write "$user" --access w 0x400123
	seen sim-data-write "$user" --access w 0x410008
	seen sim-data-nx "$user" --access x 0x410008
	seen sim-cow "$user" --access w 0x418000
	seen sim-zero "$user" 0x420000
	seen sim-untouched "$user" --access w 0x428000
	seen sim-swapped "$user" 0x430000
	seen sim-protnone "$user" 0x438000
	seen sim-smap "$user" --kernel 0x410008
	seen sim-no-mapping "$user" 0x10000000
	# What TLBs have of it: the states above, other geometries, the kernel's.
	seen sim-tlb-gdt "$user" 0xfffffe0000001000
	seen sim-tlb-user-of-kernel "$user" --user 0xfffffe0000001000
	seen sim-tlb-second "$user" --tlb 1:64x2 0x410008
	seen sim-tlb-tiny "$user" --tlb 1:1x1 0x410008
	seen sim-tlb-two-cpus "$user" --cpus 2 --access w 0x411ff8
	seen sim-la57 "$kernel" --arch x86-64-la57 0xff11000000201234
	seen sim-arm64-data "$user" --arch arm64 --access w 0x410008
	seen sim-arm64-direct "$kernel" --arch arm64 --kernel 0xffff000000201234
	seen sim-list cat --list
	seen sim-list-32 cat --arch x86-32 --list
else
	skip sim "no perl to take frame numbers out with"
fi

# Every sample address explains itself, in every format.
for arch in x86-32 x86-32-pae x86-64 x86-64-la57 arm64; do
	run explain --arch $arch --list
	bad=
	places=$(awk '$1 == "address" { print $2 }' "$work/out")
	accesses=w
	[ $arch = x86-64 ] && accesses="r w x"
	for at in $places; do
		for access in $accesses; do
			run explain --arch $arch --access "$access" "$at"
			[ "$status" -eq 0 ] &&
				grep -qE '^ *[0-9]+  (PHYSICAL|FAULT) ' \
					"$work/out" || bad="$bad $access$at"
		done
	done
	holds "samples-$arch" -z "$bad"
done

# A frame of the process, through the kernel's door: the same frame, and the
# reverse map knows whose it is.
run explain 0x410010
pa=$(awk '$1 == "physical" { print $2 }' "$work/out")
# 0xffff888000000000, as a shell's signed numbers have it
run explain "$(printf '0x%x' $((${pa:-0} - 0x778000000000)))"
holds reverse-map "$(grep -c 'mapped at  *0x410000 of the sample process$' \
	"$work/out")" -eq 1

# Odd machines.
succeeds small explain --mem 8M 0xffff888000001234
succeeds large explain --mem 1T 0xffff888000001234
succeeds nodes explain --nodes 2 --cpus 2 0x410008
succeeds mapped explain --map tests/data/e820/laptop-8g.txt 0xffff888000001234

# A process of the host: this shell.
if [ -r /proc/$$/pagemap ]; then
	at=$(awk '$2 ~ /^r-xp/ { split($1, a, "-"); print "0x" a[1]; exit }' \
		/proc/$$/maps)
	succeeds pid explain --pid $$ --access x "$at"
	holds pid-mapping "$(grep -c '\[ok\] *the mapping allows to execute' \
		"$work/out")" -eq 1
	holds pid-present "$(grep -c 'present  *yes' "$work/out")" -eq 1
	holds pid-columns "$(awk 'length > 80' "$work/out" | wc -l)" -eq 0
	holds pid-honest "$(grep -c 'tables of a process' "$work/out")" -eq 1
	succeeds pid-write explain --pid $$ --access w "$at"
	holds pid-write-broken "$(grep -c '\[BROKEN\]' "$work/out")" -eq 1
	if have_json; then
		succeeds pid-json explain --json --pid $$ "$at"
		holds pid-json-schema "$(json '$j->{schema}')" = \
			mmkit.explain/1
	fi
	refused 1 pid-not-mapped 0x1 explain --pid $$ 0x1
else
	skip pid "no /proc/PID/pagemap here"
fi
refused 1 pid-none "no such process" explain --pid 2147483647 0x1000

# Without privilege: as nobody, with a copy of the command in a place that
# nobody may look into.
run_as='($(, $)) = (65534, "65534 65534"); ($<, $>) = (65534, 65534);'
nobody() {
	perl -e "$run_as"' exec @ARGV or exit 126' "$@"
}
if [ "$(id -u)" -eq 0 ] && nobody true 2>/dev/null; then
	open=$(mktemp -d /tmp/mmkit-cli-XXXXXX) || exit 1
	trap 'rm -rf "$work" "$open"' EXIT
	cp "$MMKIT" "$open/mmkit"
	chmod 755 "$open" "$open/mmkit"
	perl -e "$run_as"' exec "sleep", "60"' &
	victim=$!
	tries=0
	while ! grep -q '^sleep' /proc/$victim/comm && [ $tries -lt 50 ]; do
		sleep 0.1
		tries=$((tries + 1))
	done
	at=$(awk '/stack/ { split($1, a, "-"); print "0x" a[2]; exit }' \
		/proc/$victim/maps)
	at=$(printf '0x%x' $((at - 4096)))
	nobody "$open/mmkit" explain --pid $victim "$at" \
		>"$work/out" 2>"$work/err"
	holds pid-no-privilege "$(grep -c 'frame  *not known: Linux shows' \
		"$work/out")" -eq 1
	nobody "$open/mmkit" explain --pid $$ "$at" >"$work/out" 2>"$work/err"
	holds pid-not-mine "$(grep -c 'Permission denied' "$work/err")" -eq 1
	kill $victim
else
	skip pid-no-privilege "only root can give privileges up"
fi

# Wrong use.
refused 2 no-address "address" explain
refused 2 two-addresses "0x2" explain 0x1 0x2
refused 2 no-number "zebra" explain zebra
refused 2 no-offset "offset" explain 0x60:
refused 2 large-selector "selector" explain 0x10000:0
refused 2 access "'q'" explain --access q 0x1
refused 2 both-who "--user and --kernel" explain --user --kernel 0x1
refused 2 arm64-selector "arm64" explain --arch arm64 0x60:0x1
refused 2 file-arch "--arch" explain --arch x86-64 \
	--machine $files/pae.machine 0x1
refused 2 pid-selector "--pid" explain --pid 1 0x60:0x1
refused 2 pid-and-file "--machine and --pid" explain --pid 1 \
	--machine $files/pae.machine 0x1
refused 2 pid-zero "--pid" explain --pid 0 0x1
refused 2 show "--show" explain --show meminfo 0x1
refused 2 json-log "--json" explain --json --log 0x1
refused 2 list-address "--list" explain --list 0x1
refused 2 reg "'xs'" explain --reg xs 0x60:1
refused 2 reg-access "--reg" explain --reg cs 0x60:1
refused 2 option-typo "did you mean" explain --acess r 1
refused 1 no-file "No such file" explain --machine "$work/none" 0x1

# Wrong files: the line, the word.
# wrong NAME MESSAGE LINE...
wrong() {
	name=$1 message=$2
	shift 2
	printf '%s\n' "$@" >"$work/m"
	refused 1 "$name" "$work/m:$message" explain --machine "$work/m" 0x1000
}
wrong file-word "1:1: 'mup': no line begins with this word" 'mup 1'
wrong file-map "1:10: '0': map VIRTUAL -> PHYSICAL SIZE expected" \
	'map 0x0  0 4K'
wrong file-twice "2:5: '0x1000': the address is mapped already" \
	'map 0 -> 0 8K' 'map 0x1000 -> 0 4K'
wrong file-property "1:15: 'red': no mapping has such a property" \
	'map 0 -> 0 4K red'
wrong file-aligned "1:5: '1': addresses and size are multiples of 4 KiB" \
	'map 1 -> 0 4K'
wrong file-page "1:15: 'page=2M': the format has no pages of this size" \
	'map 0 -> 0 2M page=2M'
wrong file-canonical "2:5: '0x800000000000': the address is not canonical" \
	'mode long' 'map 0x800000000000 -> 0 4K'
wrong file-wide "1:5: '0': the physical address is too wide" \
	'map 0 -> 0x100000000 4K'
wrong file-raw "1:14: '0x100000000': the number is too large" \
	'phys 0x1000: 0x100000000'
wrong file-phys-unaligned "1:6: '0x1001': no multiple" 'phys 0x1001: 1'
wrong file-swap-header "1:15: '0': page 0 of a swap area is its header" \
	'swap 0x1000 0 0'
wrong file-swap-area "1:13: '28': the number is too large" 'swap 0x1000 28 1'
wrong file-arch "1: mode, cr4 and efer make this a machine of x86-32" \
	'arch x86-64'
wrong file-bit "1:5: 'wq': no bit of this register has this name" 'cr0 wq'
wrong file-selector "2: 'cs=0x8': #GP(0x8)" 'mode protected' 'reg cs=0x8'

# A directory that leads out of memory is no fault of the CPU's.
printf 'cr3 0x1000\nphys 0x1000: 0x5027\n' >"$work/m"
run explain --machine "$work/m" 0x1000
holds no-memory "$(grep -c 'NO MEMORY where the PTE should be: 0x5004' \
	"$work/out")" -eq 1
printf 'mode long\nlinux x86-64\ncr0 0x80050033\n' >"$work/m"
run explain --machine "$work/m" 0x1000
holds no-tables "$(grep -c 'describes no page tables' "$work/out")" -eq 1
# Without CR4.PSE bit 7 of a directory entry means nothing.
printf 'cr3 0x1000\ncr4 pse=0\nphys 0x1000: 0x20a7\nphys 0x2000: 0x8067\n' \
	>"$work/m"
run explain --machine "$work/m" 0x123
holds no-pse "$(grep -c 'PHYSICAL 0x8123' "$work/out")" -eq 1
# Without EFER.NXE the NX bit is a reserved one.
printf 'cr3 0x1000\ncr4 pae\nphys 0x1000: 0x2001\nphys 0x2000: 0x3027\n%s\n' \
	'phys 0x3000: 0x8000000000004027' >"$work/m"
run explain --machine "$work/m" 0x123
holds no-nxe "$(grep -c 'these bits are wrong: 0x8000000000000000' \
	"$work/out")" -eq 1
# A stack's reference beyond canonical addresses is #SS.
printf 'mode long\nlinux x86-64\nreg cs=0x10 ss=0x18\n' >"$work/m"
run explain --machine "$work/m" --access w ss:0x800000000000
holds stack-fault "$(grep -c 'FAULT #SS, stack-segment fault (vector 12)' \
	"$work/out")" -eq 1

if perl -e 1 2>/dev/null; then
	seed=${SEED:-$(date +%s)}
	if perl tests/cli/explain_random "$MMKIT" "$seed" "${ITERS:-120}" \
		"$work" >"$work/random" 2>&1; then
		ok random
	else
		not_ok random "SEED=$seed: $(tail -n 3 "$work/random" |
			tr '\n' '|')"
	fi
fi
finish
