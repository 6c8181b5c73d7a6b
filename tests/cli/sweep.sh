#!/bin/sh
# SPDX-License-Identifier: MIT
# A sweep gives one table whoever does the work, survives SIGKILL half-way
# without running a point twice, keeps failures by name and refuses what is
# wrong. With LONG=1 a Slurm of one node is started for it, too.
# shellcheck disable=SC2016 # the dollars are Perl's
# shellcheck source=tests/cli/common
. "$(dirname "$0")/common"
RUN_LIMIT=${RUN_LIMIT:-120}

set -- traces/sort.trace traces/bzip2.trace traces/merge.trace
lists='--mem 25%,50%,75%,2M --policy classic,mglru,clock,arc --swap 64M'
points=48

# ended WHAT DIR: how many points' runs did so; sizes are not points
ended() {
	awk -v what="$1" '$4 == what && !/: the size of / { n++ }
		END { print n + 0 }' "$2/log"
}

# ---- this machine
# shellcheck disable=SC2086 # lists are words
run sweep --out "$work/a" $lists "$@"
holds local "$status $(wc -c <"$work/err")" = "0 0"
holds prints-the-table "$(cmp "$work/out" "$work/a/table.txt" 2>&1)" = ""
holds all-points "$(ended 'done' "$work/a") $(ended start "$work/a")" = \
	"$points $points"
holds csv-lines "$(wc -l <"$work/a/table.csv")" -eq $((points + 1))
holds csv-fields "$(awk -F , '{ print NF }' "$work/a/table.csv" | sort -u |
	wc -l)" -eq 1
holds report-charts "$(grep -c '<figure class="chart">' "$work/a/report.html")" -eq 12
holds report-alone "$(grep -cE '(src|href)="?(https?:)?//' \
	"$work/a/report.html")" -eq 0
holds sizes-of-a-share "$(cut -d , -f 1,7,9 "$work/a/table.csv" | sort -u |
	grep -c '^[a-z0-9]*\.trace,')" -eq 12
if have_json; then
	# A point of the table is what mmkit replay says of it.
	cp "$work/a/table.json" "$work/out"
	p='(grep { $_->{trace} eq "sort.trace" && $_->{policy} eq "arc" &&
		$_->{mem} eq "25%" } @{$j->{points}})[0]'
	bytes=$(json "$p->{mem_bytes}")
	table=$(json "map { $p->{\$_} } qw(pageins min_pageins digest)")
	holds json-schema "$(json '$j->{schema}')" = mmkit.sweep-table/1
	holds json-points "$(json 'scalar @{$j->{points}}')" -eq $points
	holds json-groups "$(json 'scalar @{$j->{groups}}')" -eq $points
	run replay traces/sort.trace --mem "$bytes" --policy arc --swap 64M \
		--json --quiet
	holds point-is-replay "$(json 'map { $j->{runs}[0]{$_} }
		qw(pageins min_pageins digest)')" = "$table"
fi
# Told again, it runs nothing; with --out alone too.
cp "$work/a/table.csv" "$work/first.csv"
# shellcheck disable=SC2086
run sweep --out "$work/a" $lists "$@"
run sweep --out "$work/a" --print csv
holds again-runs-nothing "$status $(ended start "$work/a")" = "0 $points"
holds again-prints "$(cmp "$work/out" "$work/first.csv" 2>&1)" = ""

# ---- killed half-way
# shellcheck disable=SC2086
"$MMKIT" sweep --out "$work/k" $lists --jobs 2 "$@" >/dev/null 2>&1 &
pid=$!
tries=0
until [ -e "$work/k/log" ] && [ "$(ended 'done' "$work/k")" -ge 12 ] ||
	[ $tries -ge 600 ]; do
	sleep 0.05
	tries=$((tries + 1))
done
kill -9 $pid
wait $pid 2>/dev/null
awk '$4 == "done" { print $5 }' "$work/k/log" | sort >"$work/done-before"
holds killed-half-way "$(wc -l <"$work/done-before")" -lt $((points + 9))
lines=$(wc -l <"$work/k/log")
run sweep --out "$work/k"
holds goes-on "$status $(wc -c <"$work/err")" = "0 0"
tail -n +$((lines + 1)) "$work/k/log" |
	awk '$4 == "start" { print $5 }' | sort >"$work/started-after"
holds nothing-twice "$(comm -12 "$work/done-before" "$work/started-after" |
	wc -l)" -eq 0
# A result is there before the log says so: a kill in between costs the line,
# never the result, of at most the two points that were at work.
holds each-done-once "$(awk '$4 == "done" { print $5 }' "$work/k/log" | sort |
	uniq -d | wc -l) $(find "$work/k/points" -name '0*.json' | wc -l)" = \
	"0 $points"
holds each-done-told "$(ended 'done' "$work/k")" -ge $((points - 2))
holds same-after-kill "$(cmp "$work/k/table.csv" "$work/first.csv" 2>&1)" = ""
holds nothing-unfinished "$(find "$work/k/points" -name '*.part' | wc -l)" -eq 0

# ---- other engines
# GNU parallel warns about a home that it does not find.
HOME=$work
export HOME
if command -v parallel >/dev/null &&
	parallel --version 2>/dev/null | grep -q '^GNU parallel'; then
	echo : >"$work/hosts"
	# shellcheck disable=SC2086
	run sweep --out "$work/p" $lists --engine parallel \
		--hosts "$work/hosts" "$@"
	holds parallel "$status $(wc -c <"$work/err")" = "0 0"
	holds parallel-did-it "$(tail -n +2 "$work/p/parallel.log" | wc -l)" \
		-eq $points
	holds parallel-same "$(cmp "$work/p/table.csv" "$work/first.csv" 2>&1)" \
		= ""
	holds parallel-same-text "$(cmp "$work/p/table.txt" \
		"$work/a/table.txt" 2>&1)" = ""
	# A host behind ssh; a stand-in for ssh runs it here, with the shell
	# that a login gives.
	printf '#!/bin/sh\n%s\nshift\n[ "$1" != -- ] || shift\n%s\n%s\n' \
		'while [ "${1#-}" != "$1" ]; do shift; done' \
		'SHELL=/bin/sh; export SHELL' \
		'exec sh -c "$*"' >"$work/ssh"
	chmod +x "$work/ssh"
	PARALLEL_SSH=$work/ssh
	export PARALLEL_SSH
	run sweep --out "$work/r" --mem 1200K,2M --swap 64M --engine parallel \
		--sshlogin 2/nowhere --print none traces/sort.trace
	holds parallel-remote "$status $(wc -c <"$work/err") $(awk \
		'NR > 1 && $2 == "nowhere"' "$work/r/parallel.log" | wc -l)" = \
		"0 0 2"
else
	skip parallel "no GNU parallel"
fi
# As if there were no Slurm here.
mkdir "$work/bin"
for c in timeout head tr cut; do
	ln -s "$(command -v $c)" "$work/bin/"
done
path=$PATH
PATH=$work/bin
run sweep --out "$work/none" --engine slurm --mem 1200K traces/sort.trace
PATH=$path
holds no-slurm "$status $(grep -c 'sbatch' "$work/err")" = "1 2"
if [ "${LONG:-}" = 1 ]; then
	# shellcheck source=tests/cli/slurm
	. "$top/tests/cli/slurm"
	if slurm_start "$work/slurm"; then
		RUN_LIMIT=300
		# shellcheck disable=SC2086
		run sweep --out "$work/s" $lists --engine slurm "$@"
		holds slurm "$status $(wc -c <"$work/err")" = "0 0"
		holds slurm-did-it "$(find "$work/s/slurm" -name '*.out' |
			wc -l)" -eq $points
		holds slurm-same "$(cmp "$work/s/table.csv" \
			"$work/first.csv" 2>&1)" = ""
		holds slurm-same-text "$(cmp "$work/s/table.txt" \
			"$work/a/table.txt" 2>&1)" = ""
		run sweep --out "$work/n" --mem 1200K,2M --swap 64M \
			--engine slurm --no-wait traces/sort.trace
		holds slurm-no-wait "$status $(grep -c '^job [0-9]*$' \
			"$work/out")" = "0 1"
		tries=0
		until run sweep --out "$work/n" --collect --print none &&
			[ "$status" -eq 0 ] || [ $tries -ge 60 ]; do
			sleep 0.5
			tries=$((tries + 1))
		done
		holds slurm-collected "$status $(ended 'done' "$work/n")" = "0 2"
	else
		skip slurm "$slurm_why"
	fi
	slurm_stop
fi

# ---- failures: a machine that is too small for the trace's own needs
run sweep --out "$work/f" --mem 1M,2M --swap 64M --with=--sysctl=vm.nothing=1 \
	traces/sort.trace
holds failed "$status $(grep -c 'vm.nothing' "$work/err")" = "1 2"
holds failed-by-name "$(grep -c -- 'sort.trace --policy classic --mem 1M' \
	"$work/err")" -eq 1
holds failed-kept "$(find "$work/f/points" -name '*.failed' | wc -l)" -eq 2
run sweep --out "$work/f"
holds failed-tried-again "$status $(ended start "$work/f")" = "1 4"
cp traces/sort.trace "$work/bad.trace"
run sweep --out "$work/b" --mem 2M "$work/bad.trace" --print none
holds own-trace "$status" -eq 0
printf 'x' | dd of="$work/bad.trace" bs=1 seek=20000 conv=notrunc 2>/dev/null
refused 1 trace-changed "is not the trace any more" sweep --out "$work/b"
refused 1 trace-changed-told-again "a trace has changed since" \
	sweep --out "$work/b" --mem 2M "$work/bad.trace"
run sweep --out "$work/b2" --mem 2M,3M "$work/bad.trace"
holds damaged "$status $(grep -c 'bad.trace' "$work/err")" = "1 2"

# ---- wrong use
refused 1 other-sizes "--mem: 2M there, 4M here" \
	sweep --out "$work/b" --mem 4M "$work/bad.trace"
refused 1 other-everything "--policy: classic there, arc here" \
	sweep --out "$work/b" --mem 2M --policy arc traces/sort.trace
refused 1 no-sweep "there is no sweep in it" sweep --out "$work/empty"
refused 1 no-trace "$work/nothing" sweep --out "$work/x" "$work/nothing"
refused 1 no-trace-file README.md sweep --out "$work/x" README.md
refused 1 no-folder "$work/bad.trace/x" \
	sweep --out "$work/bad.trace/x" traces/sort.trace
refused 2 no-out "--out" sweep traces/sort.trace
refused 2 lists-without-traces traces sweep --out "$work/x" --mem 2M
for v in 3K '' '2M,,' 12Q 0% 201% 2M,2048K; do
	refused 2 "mem-'$v'" --mem sweep --out "$work/x" --mem "$v" \
		traces/sort.trace
done
refused 2 policy "'lru'" sweep --out "$work/x" --policy arc,lru traces/sort.trace
refused 2 policy-twice twice sweep --out "$work/x" --policy arc,arc \
	traces/sort.trace
refused 2 cpus --cpus sweep --out "$work/x" --cpus 0 traces/sort.trace
refused 2 thp "did you mean 'always'" \
	sweep --out "$work/x" --thp alway traces/sort.trace
refused 2 ksm --ksm sweep --out "$work/x" --ksm maybe traces/sort.trace
refused 2 seeds --seeds sweep --out "$work/x" --seeds 0 traces/sort.trace
refused 2 engine "'pbs'" sweep --out "$work/x" --engine pbs traces/sort.trace
refused 2 with "has an option of its own" \
	sweep --out "$work/x" --with=--mem=2M traces/sort.trace
refused 2 trace-twice twice sweep --out "$work/x" traces/sort.trace \
	traces/../traces/sort.trace
refused 2 hosts-of-local --hosts sweep --out "$work/x" --hosts /dev/null \
	traces/sort.trace
holds nothing-was-made "$(find "$work/x" 2>/dev/null | wc -l)" -eq 0

# All lists at once; several seeds are one cell, and how far they lie apart.
run sweep --out "$work/all" --mem 2M --swap 0,64M --cpus 1,2 --thp never,always \
	--ksm off,on --seeds 2 --with=--no-min traces/sort.trace
holds all-lists "$status $(ended 'done' "$work/all")" = "0 32"
holds all-families "$(grep -c '^sort.trace --swap .* 2 seeds$' "$work/out")" \
	-eq 16
# Two at a time in one folder are one too many.
exec 9>"$work/all/lock"
flock 9
refused 1 folder-in-use "another mmkit sweep" sweep --out "$work/all"
exec 9>&-
finish
