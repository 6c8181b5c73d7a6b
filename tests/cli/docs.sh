#!/bin/sh
# SPDX-License-Identifier: MIT
# What the documents show is so: each command behind a "$" prints the lines below
# it, in their order (a line of "..." stands for any number), and each line of the
# README's tour ends well. They run in a folder of their own.
# shellcheck source=tests/cli/common
. "$(dirname "$0")/common"

if ! perl -e 1 2>/dev/null; then
	skip docs "no perl here"
	finish
fi

# The project as it would be seen from its own folder.
mkdir -p "$work/top/build" "$work/cases"
for entry in "$top"/*; do
	[ "${entry##*/}" = build ] || ln -s "$entry" "$work/top/"
done
ln -s "$MMKIT" "$work/top/build/mmkit"

# Cases: NUMBER.cmd and what it should print, NUMBER.want (none: the tour).
perl tests/cli/docs_cases "$work/cases" README.md docs/*.md docs/paths/*.md ||
	not_ok cases "docs_cases failed"

cd "$work/top" || exit 1
for mem in 16M 32M; do
	"$MMKIT" replay traces/sqlite.trace --mem $mem --swap 256M --json \
		--quiet >"$([ $mem = 16M ] && echo a || echo b).json"
done
for cmd in "$work"/cases/*.cmd; do
	want=${cmd%.cmd}.want
	name=$(head -c 60 "$cmd")
	if grep -q 'mmkit record' "$cmd" && ! command -v valgrind >/dev/null; then
		skip "$name" "no valgrind here"
		continue
	fi
	timeout -k 5 100 sh "$cmd" >"$work/out" 2>"$work/err" </dev/null
	status=$?
	if [ "$status" -ne 0 ]; then
		not_ok "$name" "$(why)"
	elif [ ! -e "$want" ]; then
		ok "$name"
	elif perl "$top/tests/cli/docs_cases" --compare "$want" "$work/out" \
		"$work/err" >"$work/differs"; then
		ok "$name"
	else
		not_ok "$name" "$(cat "$want.from"): $(head -n 1 "$work/differs")"
	fi
done
holds "there are cases" -s "$work/cases/001.cmd"

# It would notice.
printf 'one\nthree\n' >"$work/want"
printf 'one\ntwo\n' >"$work/out"
if perl "$top/tests/cli/docs_cases" --compare "$work/want" "$work/out" >/dev/null
then
	not_ok notices "a line that is not there was not missed"
else
	ok notices
fi
finish
