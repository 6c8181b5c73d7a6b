#!/bin/sh
# SPDX-License-Identifier: MIT
# share: fast
# The page of mmkit run --report: stress-ng's vm in less memory than it wants;
# what the samples said is in it. In a browser, where there is one: LONG=1.
# shellcheck source=tests/metal/lib
. "$(dirname "$0")/lib"
needs stress-ng busybox
alive "$@"

page=$work/page.html
in_guest --mem "$(mem 24M 192M)" --swap 256M --cpus 2 --report "$page" -- \
	stress-ng --vm 1 --vm-bytes "$(mem 40M 300M)" --vm-method all --verify \
	--timeout 3 --temp-path /tmp
holds "stress-ng passes" "$status" -eq 0
holds "it swapped" "$(counter pswpout)" -gt 0
holds "small" "$(wc -c <"$page")" -lt 2097152
for title in 'Free memory and the watermarks' 'Where memory is' \
	'Lists of pages' 'Tasks in memory' 'Tasks in swap' 'Faults' 'Scanned and reclaimed' 'Refaults' 'Swap' \
	'Free memory by size of its blocks'; do
	grep -q "<h3>$title</h3>" "$page" || echo "no $title"
	# Its table has numbers other than 0.
	awk -v title="<h3>$title</h3>" '
		/<figure/ { here = 0 }
		index($0, title) { here = 1 }
		here && /^<tr><td>/ {
			sub(/^<tr><td>[^<]*<\/td>/, "")
			if ($0 ~ /<td>[^<]*[1-9]/) n++
		}
		END { exit n < 3 }' "$page" || echo "empty: $title"
done >"$work/missing"
holds "curves" "$(cat "$work/missing")" = ""
# The tasks by name; what the program had is there, and its helpers'.
holds "tasks" "$(grep -c '<h3>Task stress-ng-vm (' "$page")" -ge 1
# A group with limits: what is charged, and the limits.
in_guest --mem 64M --swap 64M --report "$work/groups.html" -- \
	busybox sh -c 'mkdir /tmp/cg && mount -t cgroup2 none /tmp/cg &&
	echo +memory >/tmp/cg/cgroup.subtree_control &&
	mkdir -p /tmp/cg/held && echo 8M >/tmp/cg/held/memory.max &&
	echo 6M >/tmp/cg/held/memory.high && echo $$ >/tmp/cg/held/cgroup.procs &&
	dd if=/dev/zero of=/tmp/file bs=1M count=12 2>/dev/null; sleep 1'
holds "group" "$(grep -c '<h3>Group /held</h3>' "$work/groups.html")" -eq 1
holds "its limits" "$(awk '
	/<h3>Group \/held<\/h3>/ { here = 1 }
	/<\/figure>/ { here = 0 }
	here && /<td>6 MiB<\/td><td>8 MiB<\/td><\/tr>/ { n++ }
	END { print (n > 3 ? "shown" : "not") }' "$work/groups.html")" = shown
if [ -n "$ours" ]; then
	holds "frames" "$(grep -c '<figure class="frames">' "$page")" -eq 1
	holds "of different uses" "$(grep -o 'data-letter="[.abfkrt]"' "$page" |
		sort -u | wc -l)" -ge 6
fi
browser=
for name in "${CHROMIUM:-chromium}" chromium-browser google-chrome; do
	command -v "$name" >/dev/null 2>&1 && browser=$name && break
done
if [ -n "${LONG:-}" ] && [ -n "$browser" ]; then
	[ -z "${SHOTS:-}" ] || set -- --shots "$SHOTS"
	CHROMIUM=$browser timeout 200 tests/browser/look "$@" --name run "$page" \
		>"$work/looked"
	holds "browser looked" "$(grep -c '^ok' "$work/looked")" -gt 10
	cat "$work/looked"
	failures=$((failures + $(grep -c '^not ok' "$work/looked")))
elif [ -n "${LONG:-}" ]; then
	skip browser "no Chromium here"
fi
finish
