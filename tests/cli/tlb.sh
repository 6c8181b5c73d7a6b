#!/bin/sh
# SPDX-License-Identifier: MIT
# --tlb: the geometry of translation caches, and what it does to a replay.
# shellcheck disable=SC2016 # the dollars are Perl's
# shellcheck source=tests/cli/common
. "$(dirname "$0")/common"

# misses NAME TLB - replay with that geometry; its misses in $misses
misses() {
	succeeds "$1" replay traces/sort.trace --mem 64M --quiet --tlb "$2" \
		--json
	misses=$(json '$j->{runs}[0]{tlb_misses}')
	accesses=$(json '$j->{runs}[0]{tlb_misses} + $j->{runs}[0]{tlb_hits}')
	faults=$(json '$j->{runs}[0]{minor_faults}')
}

if have_json; then
	misses large 1024:1024x12
	few=$misses want_faults=$faults all=$accesses
	misses as-it-comes 1024:128x12
	holds default-is-that "$misses" -eq "$(
		run replay traces/sort.trace --mem 64M --quiet --json
		json '$j->{runs}[0]{tlb_misses}')"
	misses small 16:4x2
	holds small-misses-more "$misses" -gt $((few * 2))
	holds small-same-faults "$faults" -eq "$want_faults"
	misses smallest 1:1x1
	holds smallest-misses-most "$misses" -gt $((few * 4))
	holds same-faults "$faults" -eq "$want_faults"
	holds misses-within-accesses "$misses" -le "$accesses"
	holds accesses "$all" -gt 0
else
	skip geometry "nothing here reads JSON"
fi
succeeds boot boot --mem 16M --tlb 64
refused 2 no-number "--tlb" boot --tlb x
refused 2 empty "--tlb" boot --tlb ''
refused 2 no-power "powers of two" boot --tlb 3
refused 2 no-power-sets "powers of two" boot --tlb 16:3x2
refused 2 sets-alone "SETSxWAYS" boot --tlb 16:8
refused 2 no-ways "ways" boot --tlb 16:8x
refused 2 rest "'y'" boot --tlb 16:8x2y
refused 2 zero "--tlb" boot --tlb 0
refused 2 many-slots "slots" boot --tlb 2048
refused 2 many-ways "ways" boot --tlb 16:8x256
succeeds large-pages-own boot --mem 16M --tlb 64:128x12:8x4
refused 2 large-sets "sets" boot --tlb 16:8x2:131072x1
refused 2 large-ways "ways" boot --tlb 16:8x2:8x
refused 2 large-rest "':'" boot --tlb 16:8x2:8x2:
refused 2 large-no-power "powers of two" boot --tlb 16:8x2:3x2
refused 2 many-sets "sets" boot --tlb 16:131072x1
finish
