#!/bin/sh
# SPDX-License-Identifier: MIT
# The course: every script of labs/ that runs in sim prints what stands in
# labs/expected/, twice the same; what the pages show of it is in there; every
# script has its two pages and a line in both lists. UPDATE=1 writes the output
# anew (look at the difference). Scripts of "world: metal": tests/metal/labs.sh.
# shellcheck source=tests/cli/common
. "$(dirname "$0")/common"
# shellcheck source=tests/cli/labs_common
. tests/cli/labs_common

for script in labs/[0-9]*; do
	case $script in *.md) continue ;; esac
	name=$(basename "$script")
	name=${name%.*}
	lab_pages "$name"
	[ "$(lab_world "$script")" = metal ] || lab_golden "$script" "$name"
done
for page in labs/[0-9]*.md docs/zh/labs/[0-9]*.md; do
	name=$(basename "$page" .md)
	[ -e "labs/expected/$name.txt" ] ||
		not_ok "$page" "is of no script"
done

# A script that fails says so: the course is no place for silence.
printf 'error("on purpose")\n' >"$work/bad.lua"
run lab "$work/bad.lua"
if lab_is_missing; then
	skip lab-error "this mmkit was built without Lua"
else
	holds lab-error "$status" -ne 0
fi
finish
