#!/bin/sh
# SPDX-License-Identifier: MIT
# A real program's files, forks and threads: recorded, looked into, replayed.
# shellcheck disable=SC2016 # the dollars are Perl's
# shellcheck source=tests/cli/common
. "$(dirname "$0")/common"

if ! have_json; then
	skip record "perl has no JSON::PP to read the results with"
	finish
fi
if ! command -v valgrind >/dev/null; then
	skip record "valgrind is not installed"
	finish
fi
if ! ${CC:-cc} -O1 -D_GNU_SOURCE -pthread -o "$work/files" \
	tests/data/record/files.c; then
	not_ok record-program "it does not compile"
	finish
fi

# record NAME ARG... - the program with these arguments, into NAME.trace and,
# as text without references and samples, NAME.text
record() {
	as=$1
	shift
	RUN_LIMIT=60 succeeds "record-$as" record --window 0 \
		-o "$work/$as.trace" -- "$work/files" "$@"
	run trace cat "$work/$as.trace"
	grep -vE ' (ref|content) ' "$work/out" >"$work/$as.text"
}
record touching "$work/file"
record idle "$work/file" idle

# What it did to its file, in order; ids of files and of open files left out.
id=$(sed -n "s|.* file \([0-9]*\) dev .* name $work/file$|\1|p" \
	"$work/touching.text")
open=$(sed -n "s/.*fileop open file $id open \([0-9]*\) arg 0x3/\1/p" \
	"$work/touching.text")
holds one-file "$(echo "$id" | wc -w) $(echo "$open" | wc -w)" = "1 1"
holds begins-empty "$(grep -c "file $id dev .* size 0 name" \
	"$work/touching.text")" -eq 1
sed -nE "/fileop open file $id open $open /,\$ {
	s/ file $id( |\$)/ FILE\1/
	s/ open $open( |\$)/ OPEN\1/
	s/^[0-9]+ fileop (.*(FILE|OPEN).*)/\1/p
}" "$work/touching.text" | grep -v '^close' >"$work/ops"
cat >"$work/want" <<END
open FILE OPEN arg 0x3
write OPEN at 0+65536 arg 0
read OPEN at 4091+4106 arg 0
truncate FILE at 32768+0 arg 0
unlink FILE arg 0
END
holds file-operations "$(diff "$work/want" "$work/ops" | tr '\n' '|')" = ""

# count N NAME PATTERN - that many lines of the trace's text match
count() {
	holds "$2" "$(grep -cE "$3" "$work/touching.text")" -eq "$1"
}
count 1 maps-shared "map [0-9]+ mmap file pages 16 start 0x10000000 prot rw- flags 0x3 .*file $id page 0 open $open\$"
count 1 maps-private "map [0-9]+ mmap file pages 16 start 0x11000000 prot rw- flags 0x2 .*file $id page 0 open $open\$"
count 1 maps-memory "map [0-9]+ mmap anon pages 16 start 0x12000000 prot rw- flags 0x3"
count 1 forks "fork child 1 flags 0\$"
count 1 clones "fork child 2 flags 0x3\$"
count 1 waits "0 wait 1\$"
count 1 child-exits "1 exit 7\$"
count 1 mremap "call mremap [0-9]+:0\\+16 arg 0x20 new [0-9]+ flags 0x3\$"
count 1 moved "map [0-9]+ move file pages 32 start 0x13000000 prot rw- flags 0x2 .*file $id page 0\$"
count 1 msync "call msync [0-9]+:0\\+16 arg 0x4\$"
count 1 madvise "call madvise [0-9]+:0\\+8 arg 0x4\$"
holds opens-and-closes "$(grep -c 'fileop open' "$work/touching.text")" \
	-eq "$(grep -c 'fileop close' "$work/touching.text")"

# What the touches cost is told in files.c, one by one.
f='$j->{runs}[0]'
figures() {
	run replay "$work/$1.trace" --mem 64M --json
	json "map { ${f}{files}{\$_} } qw(file_minor_faults file_major_faults
		shmem_minor_faults anon_minor_faults written_back_pages)"
}
figures touching >"$work/a"
sound=$(json "join ',', map { ${f}{\$_} } qw(data_errors access_errors
	call_mismatches unsupported_calls leaks killed_tasks touch_maps)")
holds sound "$status $sound" = "0 0,0,0,0,0,0,0"
holds special-maps-none "$(json "${f}{files}{special_maps}")" -eq 0
figures idle >"$work/b"
paste -d ' ' "$work/a" "$work/b" |
	awk '{ for (i = 1; i <= 5; i++) printf "%d ", $i - $(i + 5) }' \
		>"$work/c"
holds files-57-memory-33-anonymous-0 "$(cat "$work/c")" = "57 0 33 0 0 "

# The same seed, the same digest; several CPUs and little memory: the same
# contents.
digest() {
	run replay "$work/touching.trace" --mem 3M --swap 64M "$@" --json
	json "${f}{digest}"
}
holds same-digest "$(digest --seed 5 --cpus 2)" = "$(digest --seed 5 --cpus 2)"
for seed in 1 2 3; do
	run replay "$work/touching.trace" --mem 2M --swap 64M --cpus 3 \
		--explore --seed $seed --json
	holds "explored-$seed" "$status $(json "${f}{data_errors}")" = "0 0"
done
# And as in version 1.
run replay "$work/touching.trace" --files anon --json
holds files-anon "$status $(json "exists ${f}{files} ? 1 : 0, ${f}{data_errors}")" \
	= "0 0 0"
refused 2 files-unknown "'both'" replay "$work/touching.trace" --files both
finish
