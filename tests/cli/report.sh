#!/bin/sh
# SPDX-License-Identifier: MIT
# The page of mmkit replay --report: what is in it, and in a browser, where
# there is one, how it can be used. FULL=1 looks at it in all ways (make
# test-browser); SHOTS=DIR keeps pictures.
# shellcheck disable=SC2016 # the dollars are Perl's
# shellcheck source=tests/cli/common
. "$(dirname "$0")/common"

browser=
for name in "${CHROMIUM:-chromium}" chromium-browser google-chrome; do
	command -v "$name" >/dev/null 2>&1 && browser=$name && break
done

# look NAME PAGE - as a reader would
look() {
	if [ -z "$browser" ]; then
		skip "$1-browser" "no Chromium here"
		return
	elif ! have_json; then
		skip "$1-browser" "perl has no JSON::PP to speak to it with"
		return
	fi
	set -- --name "$1" "$2"
	[ "${FULL:-}" ] || set -- --quick "$@"
	[ "${SHOTS:-}" ] && set -- --shots "$SHOTS" "$@"
	CHROMIUM=$browser timeout -k 5 200 tests/browser/look "$@" \
		>"$work/looked" 2>"$work/look-err"
	looked=$?
	cat "$work/looked"
	failures=$((failures + $(grep -c '^not ok' "$work/looked")))
	if [ "$looked" -gt 1 ] || ! grep -q '^ok' "$work/looked"; then
		not_ok "$2-browser" "$(head -c 300 "$work/look-err")"
	fi
}

# small NAME PAGE - below 2 MiB
small() {
	holds "$1-small" "$(wc -c <"$2")" -lt 2097152
}

# series TITLE - the JSON of the chart of that title
series() {
	awk -v title="<h3>$1</h3>" '
		/<figure/ { here = 0 }
		index($0, title) { here = 1 }
		here && /application\/json/ {
			sub(/^<script[^>]*>/, ""); sub(/<\/script>$/, "")
			print; exit
		}' "$page"
}

# chart EXPRESSION - of that JSON, in $work/chart, as $j
chart() {
	cp "$work/chart" "$work/out"
	json "$1"
}

page=$work/sort.html
swapping="traces/sort.trace --mem 25% --swap 256M"
# shellcheck disable=SC2086 # several options
run replay $swapping
digest=$(sed -n 's/^digest *//p' "$work/out")
# shellcheck disable=SC2086 # several options
succeeds report replay $swapping --report "$page"
holds looking-changes-nothing "$(sed -n 's/^digest *//p' "$work/out")" = "$digest"
small sort "$page"
for part in overview optimum memory tasks reclaim swap fragmentation frames events \
	machine; do
	grep -q "<section class=\"tab\" id=\"$part\">" "$page" || echo "$part"
done >"$work/missing"
holds parts "$(cat "$work/missing")" = ""
for title in 'Free memory and the watermarks' 'kswapd at work' \
	'Where memory is' 'Lists of pages' 'Task 0' 'Faults' \
	'Scanned and reclaimed' 'Refaults' 'Swap' 'Free memory by size of its blocks' 'Frames'; do
	grep -q "<h3>$title</h3>" "$page" || echo "$title"
done >"$work/missing"
holds charts "$(cat "$work/missing")" = ""

# The watermarks act: woken at low, kswapd goes on until it is above high,
# again and again, and min is kept but for the first time.
series 'kswapd at work' >"$work/chart"
if [ ! -s "$work/chart" ]; then
	skip watermarks "built without a charting library: no JSON in the page"
elif ! have_json; then
	skip watermarks "perl has no JSON::PP to read the page with"
else
	holds kswapd-between-the-marks "$(chart '
		my ($free, $high, $low) = map { $_->{values} } @{$j->{series}};
		my ($state, $rounds) = ("up", 0);
		for my $i (0 .. $#$free) {
			$state = "down" if $state eq "up" && $free->[$i] <= $low->[$i];
			next if $state eq "up" || $free->[$i] < $high->[$i];
			$state = "up";
			$rounds++;
		}
		$rounds')" -gt 10
	holds kswapd-keeps-min "$(chart '
		my ($free, undef, undef, $min) = map { $_->{values} } @{$j->{series}};
		scalar grep { $free->[$_] < $min->[$_] } 20 .. $#$free')" -eq 0
	series 'Where memory is' >"$work/chart"
	holds memory-adds-up "$(chart '
		my %sum;
		for my $i (0 .. $#{$j->{points}}) {
			my $all = 0;
			$all += $_->{values}[$i] for @{$j->{series}};
			$sum{$all}++;
		}
		scalar keys %sum')" -eq 1
	# One task: what it has in memory is no more than all anonymous memory,
	# and what it has in swap is what did not fit.
	series 'Task 0' >"$work/chart"
	holds task-has-it-all "$(chart '
		my ($anon, $swap) = map { $_->{values} } @{$j->{series}};
		my ($most) = sort { $b <=> $a } @$swap;
		join " ", (scalar grep { $_ > 0 } @$anon) > 40 ? "there" : "gone",
			$most > (sort { $b <=> $a } @$anon)[0] ? "swapped" : "small"')" = \
		"there swapped"
	series 'Frames' >"$work/chart"
	holds frames-of-one-length "$(chart '
		my %len;
		for my $s (@{$j->{shots}}) {
			my $t = $s->{cells};
			$t =~ s/(\d+)(\D)/$2 x $1/ge;
			$len{length $t}++;
		}
		(keys %len) . " " . (@{$j->{shots}} > 10 ? "many" : "few")')" = "1 many"
fi
look sort "$page"

# Groups: what is charged stays below the limit that the page shows.
page=$work/group.html
succeeds group replay traces/loop.trace --mem 64M --swap 64M --no-min \
	--memcg 0=8M --report "$page"
series 'Group of task 0' >"$work/chart"
if [ -s "$work/chart" ] && have_json; then
	holds group-within-its-limit "$(chart '
		my %v = map { $_->{name} => $_->{values} } @{$j->{series}};
		my $over = grep { $v{"memory.current"}[$_] > $v{"memory.max"}[$_] }
			0 .. $#{$v{"memory.max"}};
		my ($most) = sort { $b <=> $a } @{$v{"memory.current"}};
		"$over " . ($most > 7 << 20 ? "full" : "empty")')" = "0 full"
fi

# Policies against sizes: what is drawn becomes less, the page stays small.
page=$work/many.html
succeeds many replay traces/python.trace --policy classic,clock,arc \
	--mem 30%,60% --swap 64M --report "$page"
small many "$page"
holds matrix "$(grep -o 'class="best"' "$page" | wc -l)" -ge 8
[ "${FULL:-}" ] && look many "$page"
finish
