#!/bin/sh
# SPDX-License-Identifier: MIT
# share: long
# Debian's gdb: breakpoints, steps, watchpoints, threads, attaching; and cores,
# which it opens.
# shellcheck source=tests/metal/lib
. "$(dirname "$0")/lib"
needs gdb busybox gcc-12
alive /proc/sys/kernel/core_pattern

lib=/usr/lib/x86_64-linux-gnu
prog=$work/debugged
src=$(dirname "$0")/debugged.c
if [ ! -d $lib/gconv ] || [ ! -e $lib/libthread_db.so.1 ] ||
	! gcc-12 -g -O0 -pthread -o "$prog" "$src" 2>"$work/cc"; then
	skip gdb "no $lib/gconv, no libthread_db or no compiler that links"
	finish
fi

# debug NAME STATUS SCRIPT - a shell's script with gdb at hand
debug() {
	guest_is "$1" "$2" --mem "$(mem 384M 512M)" --cpus 2 \
		--env LC_ALL=C.UTF-8 --packages --add "$(command -v gdb)" \
		--add "$(command -v busybox)" --add /bin/sh --add $lib/gconv \
		--add $lib/libthread_db.so.1 --add "$prog" \
		--add "$work/run.gdb" --add "$work/attach.gdb" \
		--add "$work/core.gdb" -- busybox sh -c "$3"
}

cat >"$work/run.gdb" <<'G'
set pagination off
set confirm off
break fib if n == 3
run
backtrace 3
info registers rip
x/2i $pc
stepi
delete
watch watched
continue
continue
info threads
delete
set can-use-hw-watchpoints 0
print watched = 35
continue
G
cat >"$work/attach.gdb" <<'G'
set pagination off
info threads
print watched
thread apply all backtrace 3
detach
G
cat >"$work/core.gdb" <<'G'
set pagination off
backtrace
print watched
print kept
print (char *)left
print $xmm7.v2_double[0]
thread 2
backtrace
G

debug "gdb runs a program" 0 "gdb -nx -batch -x $work/run.gdb $prog"
has "a breakpoint with a condition" '^Breakpoint 1, (0x[0-9a-f]+ in )?fib \(n=3\)'
has "who called" '^#2 .* fib \(n=5\)'
has "instructions" '^=> 0x[0-9a-f]+ <fib\+'
has "a hardware watchpoint" '^Thread 2 .* hit Hardware watchpoint 2: watched'
has "the old word" '^Old value = 3$'
has "and the new one" '^New value = 7$'
has "threads" '^\* 3 +Thread 0x[0-9a-f]+ \(LWP [0-9]+\)'
has "the program goes its way" '^fib 55$'
has "with what gdb wrote" '\[Inferior 1 \(process [0-9]+\) exited with code 043\]'

debug "gdb attaches" 0 "$prog wait & p=\$!
	until [ \"\$(ls /proc/\$p/task | wc -l)\" = 2 ]; do sleep 0.1; done
	gdb -nx -batch -x $work/attach.gdb -p \$p
	until grep 'State:.S' /proc/\$p/status >/tmp/s; do sleep 0.1; done
	cat /tmp/s; grep TracerPid /proc/\$p/status; kill -9 \$p; wait \$p
	echo \"ended \$?\""
has "both threads" '^  2 +Thread '
has "a word of its memory" '= 4711$'
has "where it waits" 'rest \(arg='
has "it goes on" '^State:.S \(sleeping\)'
has "alone" '^TracerPid:.0$'
has "to its end" '^ended 137$'

debug "gdb opens a core" 0 "cd /tmp; ulimit -c unlimited
	echo core.%e.%s >/proc/sys/kernel/core_pattern
	echo 1 >/proc/sys/kernel/core_uses_pid
	$prog crash; echo \"status \$?\"
	gdb -nx -batch -x $work/core.gdb $prog /tmp/core.debugged.11.*
	ulimit -c 0; rm core.*; $prog crash; echo \"status \$?\"; ls /tmp"
has "the signal" '^Program terminated with signal SIGSEGV'
has "who called" '^#3 .* crash \(depth=3\)'
has "memory" '"what was kept"$'
has "but not all" '= 0x[0-9a-f]+ ""$|Cannot access memory'
has "the FPU" '= 1.5$'
has "the other thread" ' rest \(arg='
holds "it died twice" "$(grep -c '^status 139$' "$work/out")" -eq 2
holds "and left no second core" "$(grep -c '^core' "$work/out")" -eq 0
finish
