#!/bin/sh
# SPDX-License-Identifier: MIT
# What is there in English and Chinese says the same: as many headings of each
# level, the same blocks of code, the same words in code style, the same links,
# rows of tables and figures. tests/cli/zh_compare does it for two files.
# UPDATE=1 copies the blocks of code; the rest wants a translator.
# shellcheck source=tests/cli/common
. "$(dirname "$0")/common"

if ! perl -e 1 2>/dev/null; then
	skip zh "no perl here"
	finish
fi
# same ENGLISH CHINESE
same() {
	if [ ! -s "$2" ]; then
		not_ok "$2" "$1 has no Chinese"
	elif perl tests/cli/zh_compare ${UPDATE:+--copy} "$1" "$2" >"$work/out" 2>&1; then
		ok "$2"
	else
		not_ok "$2" "$(head -n 4 "$work/out" | tr '\n' '~')"
	fi
}

same README.md README.zh-CN.md
for page in docs/paths/*.md; do
	same "$page" "docs/zh/paths/$(basename "$page")"
done
for page in labs/*.md; do
	same "$page" "docs/zh/labs/$(basename "$page")"
done

# It would notice.
sed 's/16 /17 /' docs/zh/paths/fault.md >"$work/zh.md"
if perl tests/cli/zh_compare docs/paths/fault.md "$work/zh.md" >/dev/null; then
	not_ok notices "another figure was not seen"
else
	ok notices
fi
finish
