#!/bin/sh
# SPDX-License-Identifier: MIT
# What mmkit replay tells of its tracepoints: as text, to Perfetto, of one page.
# shellcheck disable=SC2016 # the dollars are Perl's
# shellcheck source=tests/cli/common
. "$(dirname "$0")/common"

trace=traces/sort.trace
small="--mem 25% --swap 64M --no-min -q"

refuses() {
	name=$1 text=$2
	shift 2
	run replay $trace "$@"
	if [ "$status" -eq 2 ] && grep -q -e "$text" "$work/err"; then
		ok "$name"
	else
		not_ok "$name" "$(why)"
	fi
}

refuses no-such-event "no such event; mm_page_alloc?" --trace mm_page_aloc
refuses no-such-system "no such event or system" --trace kmem,quux:
refuses two-runs "want one run" --trace kmem --mem 1M,2M
refuses no-address "TASK:ADDRESS" --follow 12
refuses bad-address "no address" --follow 0:zz
refuses bad-pfn "no number" --pfn x

# Each event that is counted elsewhere too is told as often.
# shellcheck disable=SC2086 # several options
run replay $trace $small --json --trace all --trace-out "$work/text"
counted() {
	grep -c "[0-9]: $1: " "$work/text"
}
if have_json; then
	r='$j->{runs}[0]'
	holds told-all "$(wc -c <"$work/err")" -eq 0
	holds faults "$(counted page_fault_user)" -eq "$(json "$r{vmstat}{pgfault}")"
	holds swap-outs "$(counted swap_out)" -eq "$(json "$r{vmstat}{pswpout}")"
	holds swap-ins "$(counted swap_in)" -eq "$(json "$r{vmstat}{pswpin}")"
	holds activations "$(counted mm_lru_activate)" -le \
		"$(json "$r{vmstat}{pgactivate}")"
	digest=$(json "$r{digest}")
	# shellcheck disable=SC2086 # several options
	run replay $trace $small --json --trace swap --trace-out "$work/swap"
	holds same-again "$(json "$r{digest}")" = "$digest"
	# A run that is watched is the run: every counter is the same.
	# shellcheck disable=SC2086 # several options
	run replay $trace $small --json
	holds same-untraced "$(json "$r{digest}")" = "$digest"
	run replay $trace --mem 40% --swap 64M --no-min -q --json --thp always \
		--ksm --memcg 0=3M,max
	digest=$(json "$r{digest}")
	run replay $trace --mem 40% --swap 64M --no-min -q --json --thp always \
		--ksm --memcg 0=3M,max --trace all --trace-out "$work/huge"
	holds same-untraced-huge "$(json "$r{digest}")" = "$digest"
else
	skip counts "perl has no JSON::PP to read the results with"
fi
holds kswapd-wakes-and-sleeps "$(counted mm_vmscan_kswapd_wake)" -ge \
	"$(counted mm_vmscan_kswapd_sleep)"
holds freed-as-allocated "$(awk '
	/: mm_page_alloc: / { for (i = 1; i <= NF; i++)
		if ($i ~ /^order=/) a += 2 ^ substr($i, 7) }
	/: mm_page_free: / { for (i = 1; i <= NF; i++)
		if ($i ~ /^order=/) f += 2 ^ substr($i, 7) }
	END { print (f > a * 0.9 && a > 1000) ? "yes" : a " " f }
	' "$work/text")" = yes
holds by-time "$(awk '{ t = $3 + 0; if (t < last) bad++; last = t }
	END { print bad + 0 }' "$work/text")" -eq 0

# A name or a system alone.
# shellcheck disable=SC2086 # several options
succeeds one-system replay $trace $small --trace vmscan --trace-out "$work/vm"
holds only-vmscan "$(grep -vc ': mm_vmscan_' "$work/vm")" -eq 0
holds some-vmscan "$(wc -l <"$work/vm")" -gt 100

# The file for Perfetto: what its documentation asks for.
# shellcheck disable=SC2086 # several options
succeeds perfetto replay $trace $small --perfetto "$work/p.json"
if have_json; then
	perl -MJSON::PP -e '
		local $/; open my $f, "<", $ARGV[0] or die;
		my $j = decode_json(<$f>); my (%last, %open, %kind, %counter);
		for my $e (@{$j->{traceEvents}}) {
			my $at = "$e->{pid}.$e->{tid}";
			$kind{$e->{ph}}++;
			defined $e->{$_} or die "no $_" for qw(ph name pid tid ts);
			next if $e->{ph} eq "M";
			$e->{ts} >= ($last{$at} // 0) or die "back in time on $at";
			$last{$at} = $e->{ts};
			$open{$at}++ if $e->{ph} eq "B";
			$open{$at}-- > 0 or die "E without B on $at"
				if $e->{ph} eq "E";
			$counter{$e->{name}} = 1 if $e->{ph} eq "C";
			die "instant without scope"
				if $e->{ph} eq "i" && ($e->{s} // "") ne "t";
		}
		die "left open: $_" for grep { $open{$_} } keys %open;
		die "no counter $_" for grep { !$counter{$_} }
			("free", "watermark min", "watermark low",
			 "watermark high", "inactive anon", "active anon");
		print "sound ", $kind{i} > 1000 ? "many" : "few", "\n";
	' "$work/p.json" >"$work/verdict" 2>&1
	holds perfetto-sound "$(cat "$work/verdict")" = "sound many"
fi
run trace check "$work/p.json"
holds perfetto-checked "$status $(grep -c 'sound: [0-9]* events' "$work/out")" = "0 1"
sed 's/"name":"mm_page_alloc"/"name":""/' "$work/p.json" >"$work/bad.json"
refused 1 perfetto-broken "an empty name" trace check "$work/bad.json"
run replay $trace --mem 64M --no-min -q --perfetto /nowhere/p.json
holds perfetto-nowhere "$status $(grep -c /nowhere/p.json "$work/err")" = "1 1"

# The life of a page that was swapped out and came back.
# shellcheck disable=SC2086 # several options
succeeds follow replay $trace $small --follow 0:0x124000
grep '^ *[0-9]*\.[0-9]\{9\}  ' "$work/out" | sed 's/^ *[^ ]* *[^ ]* *//' \
	>"$work/life"
life() {
	grep -c -e "$1" "$work/life"
}
holds allocated-first "$(sed -n 1p "$work/life" | cut -d' ' -f1,3,4)" = \
	"frame allocated from"
holds then-mapped "$(sed -n 2p "$work/life")" = \
	"mapped at 0x124000 of space 1 as memory of its own"
holds written-and-read "$(life 'written to swap')" -gt 0
holds read-back "$(life '^read back from slot')" -gt 0
holds mapped-again "$(life 'mapped at 0x124000 of space 1 back from swap')" -gt 0
holds gone-at-last "$(tail -n 1 "$work/life" | cut -d' ' -f1,3)" = "frame freed,"
# Where it is is always known: what is read back had been written or clean.
holds in-one-frame "$(awk '
	/ allocated from / { if (in_frame) bad++; in_frame = 1 }
	/ freed,/ { if (!in_frame) bad++; in_frame = 0 }
	END { print bad + 0 }' "$work/life")" -eq 0
# shellcheck disable=SC2086 # several options
succeeds follow-frame replay $trace $small --pfn 0x26
holds frame-told "$(grep -c 'frame 0x26 allocated' "$work/out")" -gt 1
# The same as JSON, beside the run's own: the words are those of the text.
# shellcheck disable=SC2086 # several options
succeeds follow-text replay $trace $small --follow 0:0x124000
sed -n 's/^ *[0-9.]* *[a-z]*[-0-9]* *//p' "$work/out" | sed '/^$/d' |
	grep -v '^The life' >"$work/words"
# shellcheck disable=SC2086 # several options
succeeds follow-json replay $trace $small --json --follow 0:0x124000 \
	--life "$work/life.json"
holds follow-json-beside "$(grep -c mmkit.replay/1 "$work/out")" -eq 1
holds follow-json-events "$(grep -c '"text"' "$work/life.json")" -gt 10
sed -n 's/^ *"text": "\(.*\)"$/\1/p' "$work/life.json" >"$work/texts"
holds follow-json-words "$(head -n "$(grep -c . "$work/texts")" \
	"$work/words" | diff - "$work/texts" | head -n 4)" = ""
refuses life-of-what "of which page" --life "$work/life.json"
# shellcheck disable=SC2086 # several options
refused 1 life-nowhere "none/life" replay $trace $small --pfn 1 \
	--life "$work/none/life"
# shellcheck disable=SC2086 # several options
succeeds follow-nothing replay $trace $small --follow 7:0x124000
holds says-so "$(grep -c 'it was never there' "$work/out")" -eq 1
finish
