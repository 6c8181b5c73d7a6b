#!/bin/sh
# SPDX-License-Identifier: MIT
# Wrong use: status 2 and the culprit by name; what cannot be done: status 1.
# shellcheck source=tests/cli/common
. "$(dirname "$0")/common"

t=traces/sort.trace

refused 2 no-verb verb
refused 2 unknown-verb "'relay'" relay
holds unknown-verb-suggestion "$(grep -c "'replay'" "$work/err")" -eq 1
refused 2 unknown-verb-far "'xyzzy'" xyzzy
refused 2 unknown-first-option "'--nope'" --nope
refused 2 empty-verb "''" ''
for v in boot replay record trace layout; do
	refused 2 "$v-unknown-option" --frobnicate $v --frobnicate
	refused 2 "$v-unknown-letter" Z $v -Z
	succeeds "$v-help" $v --help
	holds "$v-help-says-usage" "$(grep -c '^Usage: mmkit' "$work/out")" \
		-ge 1
done
refused 2 misspelt-option --jsn replay --jsn $t
holds misspelt-option-suggestion "$(grep -c -e --json "$work/err")" -eq 1
succeeds help --help
succeeds version --version

refused 2 replay-without-trace trace replay
refused 2 replay-two-traces "'second'" replay $t second
refused 2 boot-with-argument "'what'" boot what
for o in mem swap map seed cpus nodes policy sysctl show swap-file \
	swappiness numa arch kernelcore movablecore debug; do
	refused 2 "replay-$o-without-value" "--$o" replay $t "--$o"
	refused 2 "boot-$o-without-value" "--$o" boot "--$o"
done
refused 2 report-without-value --report replay $t --report
refused 2 json-with-value --json replay $t --json=yes

# Sizes. Small ones that are sizes, but no machine, are wrong use too.
for v in 3K 0 1; do
	refused 2 "replay-mem-$v" --mem replay $t --mem "$v"
	refused 2 "boot-mem-$v" --mem boot --mem "$v"
done
for v in 9E 17T 12Q 16X 1.5G -5M +5M ' 5M' '' M '8M,' ',8M' '8M,,16M' 8Mx \
	99999999999999999999 18446744073709551616 16E 0x10M '8M,1K'; do
	refused 2 "replay-mem-'$v'" --mem replay $t --mem "$v"
done
list=1M$(seq 2 65 | sed 's,\(.*\),\,\1M,' | tr -d '\n')
refused 2 replay-mem-65-sizes --mem replay $t --mem "$list"
for v in 9E 12Q 1K 513G 16E -1 ''; do
	refused 2 "replay-swap-'$v'" --swap replay $t --swap "$v"
done

# Numbers and names.
for v in 0 65 -1 x 1x '' 99999999999999999999; do
	refused 2 "cpus-'$v'" --cpus replay $t --cpus "$v"
done
for v in 0 1025 x ''; do
	refused 2 "nodes-'$v'" --nodes boot --nodes "$v"
done
for v in -1 x 18446744073709551616 ''; do
	refused 2 "seed-'$v'" --seed replay $t --seed "$v"
done
for v in 201 -1 x ''; do
	refused 2 "swappiness-'$v'" --swappiness replay $t --swappiness "$v"
done
for v in poisson '' 'poison,' ',poison' guard=6 guard=x guard= guards \
	init_on_alloc=1; do
	refused 2 "debug-'$v'" --debug boot --debug "$v"
	refused 2 "replay-debug-'$v'" --debug replay $t --debug "$v"
done
refused 2 unknown-policy "'lru'" replay $t --policy lru
refused 2 unknown-policy-of-list "'lru'" replay $t --policy clock,lru,arc
refused 2 policy-twice "'arc' twice" replay $t --policy arc,clock,arc
refused 2 empty-policy "''" replay $t --policy clock,
refused 2 percent-of-nothing "percent" replay $t --mem 0%
refused 2 percent-too-many "percent" replay $t --mem 201%
refused 2 unknown-show "'/proc/nothing'" boot --show /proc/nothing
refused 2 sysctl-without-value "'vm.swappiness'" \
	boot --sysctl vm.swappiness
refused 1 sysctl-unknown vm.nothing replay $t --sysctl vm.nothing=1
refused 1 sysctl-garbage vm.swappiness replay $t --sysctl vm.swappiness=x
refused 1 sysctl-out-of-range vm.swappiness \
	replay $t --sysctl vm.swappiness=9999

# Swap files that cannot be.
refused 1 swap-file-in-no-folder "$work/no/swap" \
	replay $t --swap 64M --swap-file "$work/no/swap"
refused 1 swap-file-is-folder "$work" \
	replay $t --swap 64M --swap-file "$work"
refused 1 swap-file-is-device /dev/null \
	replay $t --swap 64M --swap-file /dev/null

# A file limit stands for a full disk: said, not died of; nothing is left.
TMPDIR=$work
export TMPDIR
limited() {
	# shellcheck disable=SC3045 # dash and bash know ulimit -f
	(ulimit -f 8192 && timeout 20 "$MMKIT" "$@") >"$work/out" \
		2>"$work/err" </dev/null
	status=$?
}
limited replay $t --mem 16M --swap 64M
holds swap-beyond-file-limit "$status $(grep -c '^mmkit replay: --swap: .*' \
	"$work/err")" = "1 1"
holds swap-beyond-file-limit-leaves-nothing \
	"$(find "$work" -name 'mmkit-swap*' | wc -l)" -eq 0
limited boot --swap 64M
holds boot-swap-beyond-file-limit "$status $(grep -c \
	'^mmkit boot: --swap: .*' "$work/err")" = "1 1"
run replay $t --swap 64M --mem 2M --quiet
holds swap-is-removed "$status $(find "$work" -name 'mmkit-swap*' | wc -l)" \
	= "0 0"
finish
