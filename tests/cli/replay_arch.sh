#!/bin/sh
# SPDX-License-Identifier: MIT
# The same trace on every architecture: the program must not notice.
# shellcheck disable=SC2016 # the dollars are Perl's
# shellcheck source=tests/cli/common
. "$(dirname "$0")/common"

archs='x86-64 x86-64-la57 x86-32 x86-32-pae arm64'

# Without JSON there is still the table.
for a in $archs; do
	run replay traces/sort.trace --arch "$a"
	holds "table-names-$a" "$status $(head -n 1 "$work/out" |
		grep -c " on $a, ")" = "0 1"
done
holds default-is-x86-64 "$("$MMKIT" replay traces/sort.trace |
	grep -c '^replay of .* on x86-64, ')" -eq 1
run replay traces/sort.trace --arch x86-32-pae --report "$work/r.html"
holds report-names-arch "$(grep -c 'architecture <b>x86-32-pae</b>' \
	"$work/r.html")" -eq 1

# An area is no larger than a page-table entry can name.
refused 2 swap-too-large-for-arch x86-32 \
	replay traces/sort.trace --arch x86-32 --swap 33554436K
refused 2 boot-swap-too-large-for-arch 32G boot --arch x86-32 --swap 33G
refused 1 swap-as-large-as-arch-has "$work/none" \
	replay "$work/none" --arch x86-32 --swap 32G
refused 1 swap-large-on-pae "$work/none" \
	replay "$work/none" --arch x86-32-pae --swap 512G

if ! have_json; then
	skip replay-arch "perl has no JSON::PP to read the results with"
	finish
fi

r='$j->{runs}[0]'
# What must be the same, and what must be nothing.
same="join ' ', map { ${r}{\$_} } qw(minor_faults major_faults records
	references footprint_pages call_mismatches unsupported_calls
	file_as_anon_pages touch_maps killed_tasks)"
none="join ' ', map { ${r}{\$_} } qw(data_errors leaks access_errors)"

# With memory for everything; the first architecture is the measure.
for t in sort python cc sqlite; do
	want=
	for a in $archs; do
		run replay traces/$t.trace --arch "$a" --mem 512M --json
		got="$status $(json "$same")"
		: "${want:=$got}"
		holds "ample-same-$t-$a" "$got" = "$want"
		holds "ample-sound-$t-$a" "$(json "$none")" = "0 0 0"
		holds "json-names-$t-$a" "$(json "$r{arch}")" = "$a"
	done
	holds "ample-faults-$t" "$(json "$r{minor_faults} >= 200 &&
		$r{data_checks} >= 200 ? 1 : 0")" -eq 1
done

# With too little: the memory that each takes for itself differs, so the
# counts may; contents, and what is left behind, may not.
pressed() {
	which=$1 t=$2
	shift 2
	run replay "traces/$t.trace" --swap 64M --json --no-min "$@"
	holds "pressed-sound-$which" "$status $(json "$none")" = "0 0 0 0"
	holds "pressed-pages-$which" "$(json "$r{vmstat}{pswpout} > 100 &&
		$r{vmstat}{pswpin} > 50 ? 1 : 0")" -eq 1
	holds "pressed-calls-$which" "$(json "$r{call_mismatches},
		$r{killed_tasks}")" = "0 0"
}
for a in $archs; do
	pressed "cc-$a" cc --arch "$a" --mem 10M
	pressed "python-$a" python --arch "$a" --mem 5M
	pressed "sqlite-$a" sqlite --arch "$a" --mem 16M --seed 7
	first=$(json "$r{digest}")
	pressed "again-$a" sqlite --arch "$a" --mem 16M --seed 7
	holds "same-digest-$a" "$(json "$r{digest}")" = "$first"
	pressed "explored-$a" sqlite --arch "$a" --mem 12M --cpus 2 --explore
done

# 2 GiB, most of it high: and that is where the program's pages go.
run replay traces/sqlite.trace --arch x86-32-pae --mem 2G --json
holds high-memory-sound "$status $(json "$none")" = "0 0 0 0"
holds high-memory-is-used "$(json "$r{vmstat}{pgalloc_high} >=
	$r{peak_user_pages} ? 1 : 0")" -eq 1
# Little low memory and little high memory, that beyond 4 GiB.
cat >"$work/map" <<-END
	BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable
	BIOS-e820: [mem 0x0000000000100000-0x0000000000bfffff] usable
	BIOS-e820: [mem 0x0000000100000000-0x00000001007fffff] usable
END
pressed high-memory sqlite --arch x86-32-pae --map "$work/map"
holds pressed-high-memory-is-used "$(json "$r{vmstat}{pgalloc_high} > 2000 &&
	$r{vmstat}{pgalloc_normal} == 0 ? 1 : 0")" -eq 1

# A list of sizes names the zones of the machines that ran.
run replay traces/sort.trace --arch x86-32 --mem 16M,1G --json
holds list-names-zones "$(json 'map { join ",", sort grep { /^pgalloc_/ }
	keys %{$_->{vmstat}} } @{$j->{runs}}')" = "$(
	for i in 1 2; do
		printf %s "pgalloc_dma,pgalloc_high,pgalloc_movable,"
		printf %s "pgalloc_normal$([ $i = 1 ] && echo ' ')"
	done)"
holds list-names-arch "$(json 'map { $_->{arch} } @{$j->{runs}}')" = \
	"x86-32 x86-32"
finish
