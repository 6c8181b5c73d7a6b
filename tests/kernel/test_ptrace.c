/* SPDX-License-Identifier: MIT */
/*
 * ptrace(2) where no CPU is: who sees which stop and who goes on when, in what
 * order the scheduler likes; what a tracer that goes away leaves behind. What
 * registers, steps and real programs show is compared with Linux by
 * tests/metal/ptrace.sh.
 */
#include "proc_world.h"

#include "base/prng.h"
#include "task/coredump.h"
#include "task/ptrace.h"

#define WAIT_NOT 1u
#define WALL	 0x40000000u
#define STOP(s)	 ((s) << 8 | 0x7f)
#define EVENT(e) (STOP(SIGTRAP) | (e) << 16)
#define ENDED(c) ((c) << 8)

static s64 pt(u64 request, s64 pid, u64 addr, u64 data)
{
	return pw_sys(101, request, (u64)pid, addr, data);
}

static int next(s64 pid)
{
	int status = 0;

	CHECK_EQ(pw_wait(pid, &status, WALL), pid);
	return status;
}

static void raise_sig(int sig)
{
	CHECK_EQ(pw_sys(234, (u64)current->proc->tgid, (u64)current->tid,
			(u64)sig),
		 0);
}

static void go(u64 request, s64 pid, int sig)
{
	CHECK_EQ(pt(request, pid, 0, (u64)sig), 0);
}

static void send(s64 pid, int sig)
{
	CHECK_EQ(pw_sys(62, (u64)pid, (u64)sig), 0);
}

/* The word that a request writes. */
static u64 word_of(u64 request, s64 pid, u64 addr)
{
	uva_t at = pw_map(PAGE_SIZE);
	u64 word;

	CHECK_EQ(pt(request, pid, addr, at), 0);
	CHECK_EQ(user_read(&word, at, sizeof(word)), 0);
	CHECK_EQ(pw_sys(11, at, PAGE_SIZE), 0);
	return word;
}

static s64 traced(pw_fn fn)
{
	s64 pid = pw_fork(fn);

	CHECK(pid > 0);
	CHECK_EQ(next(pid), STOP(SIGSTOP));
	return pid;
}

static void begin(void)
{
	CHECK_EQ(pt(PTRACE_TRACEME, 0, 0, 0), 0);
	CHECK_EQ(pt(PTRACE_TRACEME, 0, 0, 0), -EPERM);
	raise_sig(SIGSTOP);
}

/* ---- memory ----------------------------------------------------------------
 */

static uva_t own, both;

static void memory_child(struct pt_regs *regs)
{
	u64 word = 0;

	(void)regs;
	CHECK_EQ(pw_sys(10, own, PAGE_SIZE, 1), 0);
	CHECK_EQ(pw_sys(10, both, PAGE_SIZE, 1), 0);
	begin();
	CHECK_EQ(user_read(&word, own, sizeof(word)), 0);
	/* What was written for a debugger did not make it writable. */
	CHECK_EQ(user_write(own, &word, sizeof(word)), -EFAULT);
	pw_exit((int)word);
}

static void memory(struct pt_regs *regs)
{
	u64 word = 1;
	s64 pid;

	(void)regs;
	own = pw_map(PAGE_SIZE);
	both = (uva_t)pw_sys(9, 0, PAGE_SIZE, 3, 0x21, (u64)-1, 0);
	CHECK_EQ(user_write(own, &word, sizeof(word)), 0);
	CHECK_EQ(user_write(both, &word, sizeof(word)), 0);
	pid = traced(memory_child);
	CHECK_EQ(word_of(PTRACE_PEEKDATA, pid, own), 1);
	CHECK_EQ(pt(PTRACE_POKETEXT, pid, own, 42), 0);
	CHECK_EQ(word_of(PTRACE_PEEKTEXT, pid, own), 42);
	CHECK_EQ(pt(PTRACE_POKETEXT, pid, own, 43), 0);
	/* Shared with others: they did not ask. */
	CHECK_EQ(pt(PTRACE_POKEDATA, pid, both, 42), -EIO);
	CHECK_EQ(pt(PTRACE_POKEDATA, pid, PAGE_SIZE, 42), -EIO);
	CHECK_EQ(user_read(&word, own, sizeof(word)), 0);
	CHECK_EQ(word, 1);
	go(PTRACE_CONT, pid, 0);
	CHECK_EQ(next(pid), ENDED(43));
	pw_exit(0);
}

static void test_memory(void **state)
{
	(void)state;
	PW_RUN(memory, .cpus = 2);
}

/* ---- signals ---------------------------------------------------------------
 */

static u32 handled;
static void note(int sig, u64 info, u64 uc)
{
	struct ksiginfo i;

	(void)uc;
	CHECK_EQ(user_read(&i, info, sizeof(i)), 0);
	CHECK_EQ(i.signo, sig);
	handled = handled * 10 + (u32)sig % 10;
}

static void signal_child(struct pt_regs *regs)
{
	(void)regs;
	pw_action(SIGUSR1, pw_handler(note), SA_SIGINFO, 0);
	pw_action(SIGUSR2, SIG_IGN, 0, 0);
	begin();
	raise_sig(SIGUSR1);
	raise_sig(SIGUSR2);
	raise_sig(SIGTERM);
	pw_exit(3);
}

static void signals(struct pt_regs *regs)
{
	s64 pid;

	(void)regs;
	handled = 0;
	pid = traced(signal_child);
	CHECK_EQ(pt(PTRACE_CONT, pid, 0, NSIG + 1), -EIO);
	go(PTRACE_CONT, pid, 0);
	CHECK_EQ(next(pid), STOP(SIGUSR1));
	CHECK_EQ(handled, 0);
	go(PTRACE_CONT, pid, SIGUSR1);
	/* Ignored, but not by who watches. */
	CHECK_EQ(next(pid), STOP(SIGUSR2));
	CHECK_EQ(handled, 0 + SIGUSR1 % 10);
	go(PTRACE_CONT, pid, SIGUSR2);
	CHECK_EQ(next(pid), STOP(SIGTERM));
	go(PTRACE_CONT, pid, SIGUSR1);
	CHECK_EQ(next(pid), ENDED(3));
	CHECK_EQ(handled, SIGUSR1 % 10 * 11);
	/* SIGKILL asks nobody. */
	pid = traced(signal_child);
	send(pid, SIGKILL);
	CHECK_EQ(next(pid), SIGKILL);
	CHECK_EQ(pt(PTRACE_CONT, pid, 0, 0), -ESRCH);
	pw_exit(0);
}

static void test_signals(void **state)
{
	(void)state;
	PW_RUN(signals, .cpus = 1, .seed = test_env("SEED", 1),
	       .explore = true);
}

/* ---- calls -----------------------------------------------------------------
 */

static void call_child(struct pt_regs *regs)
{
	s64 ret;

	(void)regs;
	begin();
	ret = pw_sys(110); /* getppid: the tracer says what */
	CHECK_EQ(ret, 4242);
	ret = pw_sys(37, 5); /* alarm: not made */
	CHECK_EQ(ret, -EPERM);
	pw_exit(5);
}

static void calls(struct pt_regs *regs)
{
	u64 rax = offsetof(struct pt_regs, rax);
	u64 nr = offsetof(struct pt_regs, orig_rax);
	s64 pid;

	(void)regs;
	pid = traced(call_child);
	CHECK_EQ(pt(PTRACE_SETOPTIONS, pid, 0, 1u << 30), -EINVAL);
	CHECK_EQ(pt(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_TRACESYSGOOD), 0);
	go(PTRACE_SYSCALL, pid, 0);
	CHECK_EQ(next(pid), STOP(SIGTRAP | 0x80));
	CHECK_EQ(word_of(PTRACE_PEEKUSER, pid, nr), 110);
	CHECK_EQ(word_of(PTRACE_PEEKUSER, pid, rax), (u64)-ENOSYS);
	go(PTRACE_SYSCALL, pid, 0);
	CHECK_EQ(next(pid), STOP(SIGTRAP | 0x80));
	CHECK_EQ(word_of(PTRACE_PEEKUSER, pid, rax), 1);
	CHECK_EQ(pt(PTRACE_POKEUSER, pid, rax, 4242), 0);
	go(PTRACE_SYSCALL, pid, 0);
	CHECK_EQ(next(pid), STOP(SIGTRAP | 0x80));
	CHECK_EQ(word_of(PTRACE_PEEKUSER, pid, nr), 37);
	CHECK_EQ(pt(PTRACE_POKEUSER, pid, nr, (u64)-1), 0);
	CHECK_EQ(pt(PTRACE_POKEUSER, pid, rax, (u64)-EPERM), 0);
	/* Its end is none to stop at, and no signals come by. */
	go(PTRACE_CONT, pid, 0);
	CHECK_EQ(next(pid), ENDED(5));
	pw_exit(0);
}

static void test_calls(void **state)
{
	(void)state;
	PW_RUN(calls, .cpus = 1);
}

/* ---- seizing ---------------------------------------------------------------
 */

static void pause_child(struct pt_regs *regs)
{
	(void)regs;
	for (;;)
		(void)pw_sys(34);
}

static void seizes(struct pt_regs *regs)
{
	s64 pid = pw_fork(pause_child);
	int status;

	(void)regs;
	CHECK_EQ(pt(PTRACE_INTERRUPT, pid, 0, 0), -ESRCH);
	CHECK_EQ(pt(PTRACE_SEIZE, pid, 8, 0), -EIO);
	CHECK_EQ(pt(PTRACE_SEIZE, pid, 0, 0), 0);
	CHECK_EQ(pt(PTRACE_SEIZE, pid, 0, 0), -EPERM);
	CHECK_EQ(pt(PTRACE_CONT, pid, 0, 0), -ESRCH);
	go(PTRACE_INTERRUPT, pid, 0);
	CHECK_EQ(next(pid), EVENT(PTRACE_EVENT_STOP));
	CHECK_EQ(pw_wait(pid, &status, WALL | WAIT_NOT), 0);
	go(PTRACE_CONT, pid, 0);
	send(pid, SIGSTOP);
	CHECK_EQ(next(pid), STOP(SIGSTOP));
	CHECK_EQ(pt(PTRACE_LISTEN, pid, 0, 0), -EIO);
	go(PTRACE_CONT, pid, SIGSTOP);
	CHECK_EQ(next(pid), STOP(SIGSTOP) | PTRACE_EVENT_STOP << 16);
	go(PTRACE_LISTEN, pid, 0);
	CHECK_EQ(pt(PTRACE_CONT, pid, 0, 0), -ESRCH);
	CHECK_EQ(pw_wait(pid, &status, WALL | WAIT_NOT), 0);
	send(pid, SIGCONT);
	CHECK_EQ(next(pid), EVENT(PTRACE_EVENT_STOP));
	go(PTRACE_CONT, pid, 0);
	CHECK_EQ(next(pid), STOP(SIGCONT));
	go(PTRACE_DETACH, pid, 0);
	CHECK_EQ(pt(PTRACE_CONT, pid, 0, 0), -ESRCH);
	send(pid, SIGTERM);
	CHECK_EQ(next(pid), SIGTERM);
	pw_exit(0);
}

static void test_seize(void **state)
{
	(void)state;
	PW_RUN(seizes, .cpus = 1, .seed = test_env("SEED", 1), .explore = true);
}

/* A thread that is let go of in a group-stop stays in it. */
static void stays(struct pt_regs *regs)
{
	s64 pid = pw_fork(pause_child);

	(void)regs;
	CHECK_EQ(pt(PTRACE_ATTACH, pid, 0, 0), 0);
	CHECK_EQ(next(pid), STOP(SIGSTOP));
	go(PTRACE_CONT, pid, SIGSTOP);
	CHECK_EQ(next(pid), STOP(SIGSTOP));
	/* The tracer may let it run; then it stops again. */
	go(PTRACE_CONT, pid, 0);
	send(pid, SIGSTOP);
	CHECK_EQ(next(pid), STOP(SIGSTOP));
	go(PTRACE_CONT, pid, SIGSTOP);
	CHECK_EQ(next(pid), STOP(SIGSTOP));
	go(PTRACE_DETACH, pid, 0);
	/* Nothing is heard of it before it goes on. */
	send(pid, SIGTERM);
	CHECK_EQ(pw_wait(pid, NULL, WAIT_NOT), 0);
	send(pid, SIGCONT);
	CHECK_EQ(next(pid), SIGTERM);
	pw_exit(0);
}

static void test_stays(void **state)
{
	(void)state;
	PW_RUN(stays, .cpus = 1, .seed = test_env("SEED", 1), .explore = true);
}

/* ---- tracers that go -------------------------------------------------------
 */

static s64 victim;
static u64 victim_options;

static void tracer_goes(struct pt_regs *regs)
{
	(void)regs;
	CHECK_EQ(pt(PTRACE_SEIZE, victim, 0, victim_options), 0);
	go(PTRACE_INTERRUPT, victim, 0);
	CHECK_EQ(next(victim), EVENT(PTRACE_EVENT_STOP));
	pw_exit(0);
}

static void tracer_waits(struct pt_regs *regs)
{
	(void)regs;
	CHECK_EQ(pt(PTRACE_SEIZE, victim, 0, 0), 0);
	send(victim, SIGTERM);
	CHECK_EQ(next(victim), STOP(SIGTERM));
	go(PTRACE_CONT, victim, SIGTERM);
	CHECK_EQ(next(victim), SIGTERM);
	CHECK_EQ(pw_wait(victim, NULL, WALL), -ECHILD);
	pw_exit(0);
}

static void goes(struct pt_regs *regs)
{
	(void)regs;
	victim = pw_fork(pause_child);
	victim_options = 0;
	CHECK_EQ(next(pw_fork(tracer_goes)), ENDED(0));
	/* It pauses on, and its parent has it back. */
	send(victim, SIGTERM);
	CHECK_EQ(next(victim), SIGTERM);
	victim = pw_fork(pause_child);
	victim_options = PTRACE_O_EXITKILL;
	CHECK_EQ(next(pw_fork(tracer_goes)), ENDED(0));
	CHECK_EQ(next(victim), SIGKILL);
	/* Who traces sees it end first; then its parent does. */
	victim = pw_fork(pause_child);
	CHECK_EQ(next(pw_fork(tracer_waits)), ENDED(0));
	CHECK_EQ(next(victim), SIGTERM);
	pw_exit(0);
}

static void test_goes(void **state)
{
	(void)state;
	PW_RUN(goes, .cpus = 1, .seed = test_env("SEED", 1), .explore = true);
}

/* ---- threads and children --------------------------------------------------
 */

#define THREAD_FLAGS 0x50f00UL /* VM FS FILES SIGHAND THREAD SYSVSEM */

static void thread_main(struct pt_regs *regs)
{
	(void)regs;
	pw_sys(60, 2);
}

static void thread_child(struct pt_regs *regs)
{
	(void)regs;
	begin();
	CHECK(pw_clone(thread_main, THREAD_FLAGS, regs->rsp) > 0);
	while (READ_ONCE(current->proc->nr_threads) > 1)
		(void)port_park(1000);
	pw_exit(6);
}

static void threads(struct pt_regs *regs)
{
	u64 events = PTRACE_O_EVENT(PTRACE_EVENT_CLONE) |
		     PTRACE_O_EVENT(PTRACE_EVENT_EXIT);
	s64 pid, tid;

	(void)regs;
	for (u32 wait = 0; wait < 2; wait++) {
		pid = traced(thread_child);
		CHECK_EQ(pt(PTRACE_SETOPTIONS, pid, 0, events), 0);
		go(PTRACE_CONT, pid, 0);
		CHECK_EQ(next(pid), EVENT(PTRACE_EVENT_CLONE));
		tid = (s64)word_of(PTRACE_GETEVENTMSG, pid, 0);
		CHECK_EQ(next(tid), STOP(SIGSTOP));
		go(PTRACE_CONT, pid, 0);
		go(PTRACE_CONT, tid, 0);
		CHECK_EQ(next(tid), EVENT(PTRACE_EVENT_EXIT));
		CHECK_EQ(word_of(PTRACE_GETEVENTMSG, tid, 0), ENDED(2));
		go(PTRACE_CONT, tid, 0);
		/* It stays known until it was waited for, or this one goes. */
		if (wait)
			CHECK_EQ(next(tid), ENDED(2));
		CHECK_EQ(next(pid), EVENT(PTRACE_EVENT_EXIT));
		go(PTRACE_CONT, pid, 0);
		CHECK_EQ(next(pid), ENDED(6));
	}
	pw_exit(0);
}

static void test_threads(void **state)
{
	(void)state;
	PW_RUN(threads, .cpus = 1, .seed = test_env("SEED", 1),
	       .explore = true);
}

/* ---- whatever comes --------------------------------------------------------
 */

static u64 chance_seed;

static void chance_leaf(struct pt_regs *regs)
{
	(void)regs;
	pw_exit(1);
}

static void chance_child(struct pt_regs *regs)
{
	struct prng r = {chance_seed + (u64)current->tid};

	(void)regs;
	for (u32 i = 0; i < 12; i++) {
		switch (prng_below(&r, 5)) {
		case 0:
			raise_sig(SIGUSR1);
			break;
		case 1:
			raise_sig(SIGSTOP);
			break;
		case 2:
			(void)pw_fork(chance_leaf);
			break;
		case 3:
			(void)pw_wait(-1, NULL, WAIT_NOT);
			break;
		default:
			(void)pw_sys(39);
		}
	}
	pw_exit(1);
}

/* One request of any kind to who has stopped; it may be gone. */
static void chance_ask(struct prng *r, s64 pid, int status)
{
	static const u64 on[] = {PTRACE_CONT, PTRACE_SYSCALL, PTRACE_CONT,
				 PTRACE_LISTEN, PTRACE_DETACH};
	u64 request = on[prng_below(r, ARRAY_SIZE(on))];
	int sig = status >> 8 & 0x7f;
	s64 ret;

	if (prng_one_in(r, 3))
		send(pid, SIGCONT);
	if (sig == SIGTRAP || prng_one_in(r, 4))
		sig = 0;
	if (request == PTRACE_LISTEN && pt(request, pid, 0, 0) == 0) {
		send(pid, SIGCONT);
		return;
	}
	ret = pt(request == PTRACE_LISTEN ? PTRACE_CONT : request, pid, 0,
		 (u64)sig);
	CHECK(ret == 0 || ret == -ESRCH);
	/* Whoever stops without a tracer needs somebody. */
	if (request == PTRACE_DETACH)
		send(pid, SIGKILL);
}

static void chance(struct pt_regs *regs)
{
	struct prng r = {chance_seed};
	u64 options = PTRACE_O_EVENT(PTRACE_EVENT_FORK) |
		      PTRACE_O_EVENT(PTRACE_EVENT_EXIT) | PTRACE_O_TRACESYSGOOD;
	int status;
	s64 pid;

	(void)regs;
	/* Theirs too: who is killed cannot set it up itself. */
	pw_action(SIGUSR1, pw_handler(note), SA_SIGINFO, 0);
	for (u32 i = 0; i < 4; i++) {
		pid = pw_fork(chance_child);
		if (prng_below(&r, 2))
			(void)pt(PTRACE_SEIZE, pid, 0, options);
		else
			(void)pt(PTRACE_ATTACH, pid, 0, 0);
	}
	while ((pid = pw_wait(-1, &status, WALL | 2)) > 0) {
		if ((status & 0xff) != 0x7f)
			continue;
		if (pt(PTRACE_GETEVENTMSG, pid, 0, 0) == -ESRCH)
			send(pid, SIGKILL); /* nobody traces it */
		else
			chance_ask(&r, pid, status);
	}
	CHECK_EQ(pid, -ECHILD);
	pw_exit(0);
}

static void test_chance(void **state)
{
	u64 seed = test_env("SEED", 1), n = test_env("ITERS", 12);

	(void)state;
	for (u64 i = 0; i < n; i++) {
		chance_seed = seed + i;
		PW_RUN(chance, .cpus = 1, .seed = seed + i, .explore = true);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_memory),	cmocka_unit_test(test_signals),
		cmocka_unit_test(test_calls),	cmocka_unit_test(test_seize),
		cmocka_unit_test(test_stays),	cmocka_unit_test(test_goes),
		cmocka_unit_test(test_threads), cmocka_unit_test(test_chance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
