#!/bin/sh
# SPDX-License-Identifier: MIT
# The manual pages: one for each verb, each option of the command in it and no
# other, and nothing that mandoc or groff warn of.
# shellcheck source=tests/cli/common
. "$(dirname "$0")/common"

# documented PAGE: the long options that it has a paragraph of its own for
documented() {
	awk '/^\.T[PQ]/ { tag = 1; next }
		tag { print; tag = 0 }' "$1" |
		sed 's/\\-/-/g; s/\\f[A-Z]//g' |
		grep -oE -- '(^|[^-A-Za-z])--[a-z][a-z-]*' |
		sed 's/.*--//' | sort -u
}

# mentioned PAGE: all that it names
mentioned() {
	sed 's/\\-/-/g; s/\\f[A-Z]//g' "$1" | grep -oE -- '--[a-z][a-z-]*' |
		sed 's/^--//' | sort -u
}

run --completion table
cut -f 1,2 "$work/out" >"$work/table"
holds table "$(wc -l <"$work/table")" -gt 80
run --help
sed -n 's/^  \([a-z][a-z]*\)  *[a-zA-Z].*/\1/p' "$work/out" >"$work/verbs"
holds verbs "$(wc -l <"$work/verbs")" -ge 7
while read -r v; do
	page=docs/man/mmkit-$v.1
	if [ ! -e "$page" ]; then
		not_ok "$v-page" "there is no $page"
		continue
	fi
	{
		sed -n "s/^$v	//p" "$work/table"
		printf 'help\nusage\nversion\n'
	} | sort >"$work/has"
	mentioned "$page" >"$work/mentioned"
	documented "$page" >"$work/documented"
	missing=$(comm -23 "$work/has" "$work/mentioned" |
		grep -vxE 'help|usage|version' | tr '\n' ' ')
	holds "$v-options-in-page" "$missing" = ""
	holds "$v-page-in-options" \
		"$(comm -13 "$work/has" "$work/documented" | tr '\n' ' ')" = ""
	holds "$v-in-mmkit.1" "$(grep -c "mmkit-$v (1)" docs/man/mmkit.1)" -ge 2
done <"$work/verbs"

for page in docs/man/*; do
	name=$(basename "$page")
	if command -v mandoc >/dev/null; then
		mandoc -T lint -W warning "$page" >"$work/out" 2>&1
		holds "mandoc-$name" "$(head -n 2 "$work/out" | tr '\n' '|')" = ""
	else
		skip "mandoc-$name" "no mandoc"
	fi
	if command -v groff >/dev/null; then
		groff -man -ww -z -Tutf8 "$page" >"$work/out" 2>&1
		holds "groff-$name" "$(head -n 2 "$work/out" | tr '\n' '|')" = ""
	else
		skip "groff-$name" "no groff"
	fi
done
finish
