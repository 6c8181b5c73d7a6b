#!/bin/sh
# SPDX-License-Identifier: MIT
# share: fast
# Tracepoints of the bare machine: the files of /sys/kernel/tracing, and what
# mmkit run makes of the records: text, a file for Perfetto, a page's life.
# shellcheck disable=SC2016 # the dollars are the guest's
# shellcheck source=tests/metal/lib
. "$(dirname "$0")/lib"
needs busybox awk
alive /sys/kernel/tracing/available_events

guest_is "tracefs by hand" 0 --mem 32M -- busybox sh -c '
	cd /sys/kernel/tracing || exit 1
	grep -c : available_events
	echo "set: $(cat set_event)"
	echo 256 >buffer_size_kb || exit 2
	echo mm_page_alloc vmscan: >set_event || exit 3
	echo "more $(grep -c . set_event)"
	echo kmem:mm_page_free >>set_event
	cat events/kmem/mm_page_alloc/enable events/vmscan/enable \
		events/ksm/enable events/kmem/enable
	echo nothing >>set_event 2>/dev/null || echo "refused"
	echo 512 >buffer_size_kb && cat per_cpu/cpu0/buffer_size_kb
	busybox true
	echo 0 >tracing_on
	head -n 1 trace
	grep " mm_page_alloc: " trace | head -n 1
	grep -c "mm_page_alloc: pfn=0x[0-9a-f]* order=[0-9]* migratetype=[0-9] gfp_flags=" trace
	echo "piped $(cat trace_pipe | grep -c mm_page_alloc)"
	echo "again $(timeout 1 cat trace_pipe | wc -l)"
	echo "mark here" >trace_marker 2>/dev/null || echo "not while it is off"
	echo 1 >tracing_on
	(busybox sleep 1; echo "after a while" >trace_marker) &
	echo "waited: $(grep -m 1 -o "mark_write: after a while" trace_pipe)"
	wait
	echo "order == 3 && comm == busybox" >events/kmem/mm_page_alloc/filter
	cat events/kmem/mm_page_alloc/filter
	: >trace
	busybox true
	echo 0 >tracing_on
	echo "others $(grep " mm_page_alloc: " trace | grep -vc "order=3 ")"
	: >trace
	echo "empty $(grep -vc ^# trace)"
	grep -c "field:" events/kmem/kmem_cache_free/format
	mkdir /tmp/t && mount -t tracefs none /tmp/t && cat /tmp/t/current_tracer
	echo >set_event; echo "none $(grep -c . set_event)"'
has "many events" '^1[0-9][0-9]$'
has "none at first" '^set: $'
has "a name and a system" '^more 1[0-9]$'
has "partly on" '^X$'
has "no such event" '^refused$'
has "larger rings" '^512$'
has "Linux's head" '^# tracer: nop$'
has "a line in Linux's form" '^ +[a-z]+-[0-9]+ +\[000\] \.\.\.\.\. +[0-9]+\.[0-9]{6}: mm_page_alloc: '
has "the pipe has them" '^piped [1-9]'
has "and gives each once" '^again 0$'
has "no marks while it is off" '^not while it is off$'
has "a reader waits" '^waited: mark_write: after a while$'
has "a filter" '^order == 3 && comm == busybox$'
has "that lets nothing else pass" '^others 0$'
has "emptied" '^empty 0$'
has "fields" '^7$'
has "mounted" '^nop$'
has "off again" '^none 0$'

# The kernel's own faults say where they were: in its own addresses.
guest_is "the kernel's faults" 0 --mem 32M -- busybox sh -c '
	cd /sys/kernel/tracing || exit 1
	echo 1 >events/exceptions/page_fault_kernel/enable
	busybox dd if=/dev/zero of=/tmp/x bs=64k count=4 2>/dev/null
	echo 0 >tracing_on
	echo "kernel ip $(grep -c "address=0x[0-9a-f]* ip=[a-z_]*copy[a-z_]* " trace)"
	echo 1 >tracing_on
	echo 1 >events/kmem/kmalloc/enable
	busybox true
	echo 0 >tracing_on
	echo "sites $(grep -c "call_site=[a-z_0-9.]*+0x[0-9a-f]*/0x[0-9a-f]* ptr" trace)"
	echo "numbers $(grep -c "call_site=0x" trace)"'
has "have an ip" '^kernel ip [1-9]'
has "calls have names" '^sites [1-9]'
has "all of them" '^numbers 0$'

# The functions' table: who may see addresses, and where a task sleeps.
guest_is "names" 0 --mem 32M -- busybox sh -c '
	k=/proc/kallsyms
	grep -c "^ffffffff8[0-9a-f]* [tTW] [A-Za-z_]" $k
	echo "ends $(grep -c " _[se]text$" $k)"
	echo "sorted $(cut -c1-16 $k | sort -c && echo yes)"
	echo "one $(grep -c " T handle_mm_fault$" $k)"
	echo 2 >/proc/sys/kernel/kptr_restrict
	echo "hidden $(grep -vc "^0000000000000000 " $k)"
	echo 0 >/proc/sys/kernel/kptr_restrict
	busybox sleep 30 &
	n=0
	until grep -q sleep /proc/$!/wchan || [ $n -gt 100 ]; do
		n=$((n + 1)); busybox usleep 20000
	done
	echo "sleeps in $(cat /proc/$!/wchan)"
	kill $!
	cat /proc/self/wchan; echo " is awake"'
has "functions" '^[1-9][0-9]{3}$'
has "the marks of their ends" '^ends 2$'
has "by address" '^sorted yes$'
has "each" '^one 1$'
has "nothing for anybody" '^hidden 0$'
has "a sleeper" '^sleeps in [a-z_]*sleep[a-z_]*$'
has "who runs" '^0 is awake$'

# Debian's trace-cmd, which reads pages of the rings by what "format" says.
if command -v trace-cmd >/dev/null 2>&1; then
	guest_is "trace-cmd" 0 --mem 96M --cpus 2 -a "$(command -v trace-cmd)" \
		-- busybox sh -c '
		t=$(command -v trace-cmd) || exit 3
		cd /tmp
		echo "listed $($t list -e | grep -c "^kmem:\|^tlb:\|^oom:")"
		$t record -e kmem -e tlb -e writeback \
			-e exceptions -f "result == 0" -o t.dat \
			busybox true >log 2>&1 || { cat log; exit 4; }
		$t report t.dat >rep 2>log || { cat log; exit 5; }
		echo "told $(grep -c . rep)"
		grep -o "rss_stat: *mm_id=[0-9]* curr=1 type=MM_ANONPAGES size=[0-9]*B" rep | head -n 1
		grep -o "mm_page_alloc: *pfn=0x[0-9a-f]* order=0 migratetype=[0-9] gfp_flags=.*ZERO" rep | head -n 1
		grep -c "\[FAILED TO PARSE\]" rep
		echo "named $(grep -c "kmalloc: .*call_site=[a-z_0-9.]*+0x" rep)"
		$t record -F -c -e kmem:mm_page_alloc -o c.dat busybox sh -c \
			"busybox true; exit 0" >log 2>&1 || { cat log; exit 6; }
		echo "threads $($t report c.dat | grep -o "^ *[a-z]*-[0-9]*" |
			grep -o "[0-9]*$" | sort -u | grep -c .)"
		$t start -e oom && $t stop && echo "started and stopped"
		$t stat | grep -c "oom"'
	has "lists them" '^listed [2-4][0-9]$'
	has "records and reports" '^told [0-9]{3,}$'
	has "a symbol" '^rss_stat: +mm_id=[0-9]+ curr=1 type=MM_ANONPAGES'
	has "flags" '^mm_page_alloc: +pfn=0x.*gfp_flags=GFP_'
	has "understands all" '^0$'
	has "knows functions" '^named [1-9]'
	has "a program and its child alone" '^threads 2$'
	has "starts and stops" '^started and stopped$'
else
	skip "trace-cmd" "no trace-cmd here"
fi

load='(busybox true); awk "BEGIN { for (i = 0; i < 60000; i++) a[i] = i \"\" i
	for (k = 0; k < 2; k++) for (i = 0; i < 60000; i++) s += a[i]
	print s > 0 }"'
in_guest --mem 12M --swap 64M --cpus 2 \
	--trace vmscan,swap,page_fault_user,kmem_cache_alloc \
	--trace-out "$work/text" --perfetto "$work/p.json" \
	--follow 0:0x7fffffffd000 -- busybox sh -c "$load"
holds "the traced program ends well" "$status" -eq 0
cp "$work/err" "$work/story"
counted() {
	grep -c ": $1: " "$work/text"
}
holds "faults are told" "$(counted page_fault_user)" -gt 100
holds "with where they happened" "$(grep 'page_fault_user: ' "$work/text" |
	grep -c ' ip=0x[1-9a-f]')" -gt 100
holds "calls by name" "$(grep 'kmem_cache_alloc: ' "$work/text" |
	grep -c 'call_site=[a-z_0-9.]*+0x[0-9a-f]*/0x[0-9a-f]* ptr')" -gt 10
holds "all of them" "$(grep -c 'call_site=0x' "$work/text")" -eq 0
holds "swap is told" "$(counted swap_out)" -gt 0
holds "no more than is counted" "$(counted swap_out)" -le "$(counter pswpout)"
holds "kswapd has its name" "$(grep -c '^ *kswapd0-[0-9]* .*mm_vmscan_' \
	"$work/text")" -gt 0
holds "by time" "$(awk '{ t = substr($0, 24) + 0; if (t < last) bad++
	last = t } END { print bad + 0 }' "$work/text")" -eq 0
run trace check "$work/p.json"
holds "sound for Perfetto" "$status $(grep -c sound "$work/out")" = "0 1"
for c in free "watermark low" "inactive anon"; do
	holds "counter $c" "$(grep -c "\"ph\":\"C\".*\"name\":\"$c\"" \
		"$work/p.json")" -gt 0
done
life() {
	grep -c -e "$1" "$work/story"
}
holds "a life" "$(life "^The life of task [0-9]*'s page at 0x7fffffffd000")" -eq 1
holds "allocated" "$(life 'frame 0x[0-9a-f]* allocated from ')" -gt 0
holds "mapped" "$(life 'mapped at 0x7fffffffd000 of space')" -gt 0
holds "forked" "$(life 'by fork, shared until')" -gt 0
holds "copied" "$(life 'written by space .* copied to frame')" -gt 0
run run --trace nosuch --trace-out "$work/x" -- true
holds "no such event is refused" "$status $(grep -c 'no such event' \
	"$work/err")" = "2 1"
run run --trace kmem -- true
holds "where to" "$status $(grep -c 'trace-out' "$work/err")" = "2 1"
finish
