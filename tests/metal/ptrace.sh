#!/bin/sh
# SPDX-License-Identifier: MIT
# share: fast
# ptrace(2): a program that traces others sees what it sees here; Debian's
# strace tells of threads, children and signals.
# shellcheck source=tests/metal/lib
. "$(dirname "$0")/lib"
needs busybox
alive "$@"

m=$(mem 64M 192M)
if gcc-12 -O1 -static -pthread -o "$work/ptrace" \
	"$(dirname "$0")/ptrace.c" 2>"$work/cc"; then
	# Some who look from outside forbid it.
	if "$work/ptrace" signals >"$work/try" 2>&1 &&
		! grep -q EPERM "$work/try"; then
		same "the same stops as here" --mem "$m" \
			--add "$work/ptrace" -- "$work/ptrace"
		same "and on two CPUs" --mem "$m" --cpus 2 \
			--add "$work/ptrace" -- "$work/ptrace"
	else
		skip "the same stops as here" "nobody may trace here"
	fi
else
	skip "the same stops as here" "no gcc-12 that links statically"
fi

if ! command -v strace >/dev/null; then
	skip strace "no strace here"
	finish
fi
box=$(command -v busybox)
# shellcheck disable=SC2016 # the guest's
guest_is "strace -f" 0 --mem "$m" --add "$box" --add "$(command -v strace)" \
	-- strace -f -o /dev/stdout "$box" sh -c '
	trap "echo usr" USR1; kill -USR1 $$; (exit 3); echo "was $?"; cd /none; :'
has "the program's beginning" '^[0-9]+ +execve\(".*busybox", \["'
has "a child" '^[0-9]+ +(fork|clone)\(.*\) = [0-9]+'
has "what the child does" '^[0-9]+ +exit_group\(3\) += \?'
has "its end" '^[0-9]+ +\+\+\+ exited with 3 \+\+\+'
has "a signal" '^[0-9]+ +--- SIGUSR1 \{si_signo=SIGUSR1, si_code=SI_USER, si_pid='
has "the handler's end" '^[0-9]+ +rt_sigreturn\(\{mask=\[\]\}\) += '
has "an error" '^[0-9]+ +(chdir|stat|newfstatat)\(.*"/none".* = -1 ENOENT'
has "the program goes its way" 'was 3$'

guest_is "strace -e trace=memory" 0 --mem "$m" --add "$box" \
	--add "$(command -v strace)" -- \
	strace -o /dev/stdout -e trace=memory "$box" true
has "brk" '^brk\(NULL\) += 0x[0-9a-f]+$'
holds "nothing but memory" \
	"$(grep -vcE '^(brk|mmap|munmap|mprotect|mremap|madvise|\+\+\+|run of|[a-zA-Z ,-]+ +[0-9])' \
		"$work/out")" -eq 0

guest_is "strace -c" 0 --mem "$m" --add "$box" --add "$(command -v strace)" \
	-- strace -f -c -o /dev/stdout "$box" sh -c 'echo a; echo b; echo c'
has "three writes" '^ *[0-9.]+ +[0-9.]+ +[0-9]+ +3 +write$'

# shellcheck disable=SC2016 # the guest's
guest_is "strace -p" 0 --mem "$m" --cpus 2 --add "$box" \
	--add "$(command -v strace)" -- "$box" sh -c '
	(while [ ! -e /tmp/end ]; do sleep 0.1; done; exit 9) &
	p=$!
	strace -f -o /tmp/log -p $p 2>/tmp/err &
	s=$!
	until grep -q nanosleep /tmp/log 2>/dev/null; do sleep 0.1; done
	grep TracerPid /proc/$p/status
	: >/tmp/end
	wait $p; echo "ended $?"; wait $s; cat /tmp/log'
has "attached" '^TracerPid:.[1-9]'
has "the end of who was attached to" 'ended 9'
has "and as strace saw it" '^[0-9]+ +\+\+\+ exited with 9 \+\+\+'
finish
