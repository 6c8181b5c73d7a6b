#!/bin/sh
# SPDX-License-Identifier: MIT
# share: fast
# The lessons of labs/ that run programs on the kernel: what they print, as in
# tests/cli/labs.sh. UPDATE=1 writes it anew.
# shellcheck source=tests/metal/lib
. "$(dirname "$0")/lib"
# shellcheck source=tests/cli/labs_common
. tests/cli/labs_common
needs busybox
[ -n "$ours" ] || { skip labs "they are about our kernel"; finish; }
alive /proc/vmstat

for script in labs/[0-9]*; do
	case $script in *.md) continue ;; esac
	[ "$(lab_world "$script")" = metal ] || continue
	name=$(basename "$script")
	RUN_LIMIT=$limit lab_golden "$script" "${name%.*}"
done
finish
