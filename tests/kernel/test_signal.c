/* SPDX-License-Identifier: MIT */
/*
 * Signals: against a model of what is pending, and by what handlers see:
 * frames, masks, stacks, restarted calls.
 */
#include "proc_world.h"

#include "base/string.h"

/* ---- handlers --------------------------------------------------------------
 */

static u32 ran_sig[NSIG + 1], depth, deepest;
static struct ksiginfo last;
static u64 last_uc;

static void note(int sig, u64 info, u64 uc)
{
	ran_sig[sig]++;
	last_uc = uc;
	CHECK_EQ(user_read(&last, info, sizeof(last)), 0);
	CHECK_EQ(last.signo, sig);
	depth++;
	deepest = depth > deepest ? depth : deepest;
	if (ran_sig[sig] == 1)
		pw_step(); /* others may come in */
	depth--;
}

static void raise_sig(int sig)
{
	CHECK_EQ(pw_sys(234, (u64)current->proc->tgid, (u64)current->tid,
			(u64)sig),
		 0);
}

/* Registers after a handler are those before it, whatever it did. */
static void scribble(int sig, u64 info, u64 uc)
{
	struct pt_regs *regs = machine_regs(port_self());

	(void)sig;
	(void)info;
	(void)uc;
	regs->rbx = regs->r12 = regs->r15 = regs->rbp = 0xbad;
	regs->eflags |= 0xc5;
}

static void frames(struct pt_regs *regs)
{
	u64 rsp = regs->rsp;

	pw_action(SIGUSR1, pw_handler(scribble), SA_SIGINFO, 0);
	regs->rbx = 1, regs->r12 = 2, regs->r15 = 3, regs->rbp = 4;
	raise_sig(SIGUSR1);
	CHECK_EQ(regs->rbx, 1);
	CHECK_EQ(regs->r12, 2);
	CHECK_EQ(regs->r15, 3);
	CHECK_EQ(regs->rbp, 4);
	CHECK_EQ(regs->rsp, rsp);
	CHECK_EQ(regs->eflags & 0xc5, 0);
	CHECK_EQ(regs->rax, 0);
	/* siginfo and the mask in the frame. */
	pw_action(SIGUSR2, pw_handler(note), SA_SIGINFO, 0);
	raise_sig(SIGUSR2);
	CHECK_EQ(last.code, SI_TKILL);
	CHECK_EQ(last.u.rt.pid, 1);
	pw_exit(0);
}

static void test_frames(void **state)
{
	(void)state;
	PW_RUN(frames, .cpus = 1);
}

/* ---- masks and flags -------------------------------------------------------
 */

/* rt_sigprocmask(SIG_SETMASK): the mask before. */
static u64 set_mask(u64 set)
{
	uva_t at = pw_map(PAGE_SIZE);
	u64 old;

	CHECK_EQ(user_write(at, &set, 8), 0);
	CHECK_EQ(pw_sys(14, 2, at, at + 8, 8), 0);
	CHECK_EQ(user_read(&old, at + 8, 8), 0);
	CHECK_EQ(pw_sys(11, at, PAGE_SIZE), 0);
	return old;
}

/* What is blocked waits, also while another one is delivered; two cannot be
 * blocked. */
static void blocked_waits(void)
{
	pw_action(SIGUSR1, pw_handler(note), SA_SIGINFO, 0);
	pw_action(SIGUSR2, pw_handler(note), SA_SIGINFO, 0);
	CHECK_EQ(set_mask(SIGSET(SIGUSR1)), 0);
	raise_sig(SIGUSR1);
	raise_sig(SIGUSR2);
	CHECK_EQ(ran_sig[SIGUSR1], 0);
	CHECK_EQ(ran_sig[SIGUSR2], 1);
	CHECK_EQ(set_mask(~0UL), SIGSET(SIGUSR1));
	CHECK_EQ(set_mask(0), ~(SIGSET(SIGKILL) | SIGSET(SIGSTOP)));
	CHECK_EQ(ran_sig[SIGUSR1], 1);
}

static void masks(struct pt_regs *regs)
{
	(void)regs;
	memset(ran_sig, 0, sizeof(ran_sig));
	blocked_waits();
	memset(ran_sig, 0, sizeof(ran_sig));
	deepest = 0;
	/* Its own signal is blocked while it runs; with NODEFER it is not. */
	pw_action(SIGUSR1, pw_handler(note), SA_SIGINFO, SIGSET(SIGUSR2));
	pw_action(SIGUSR2, pw_handler(note), SA_SIGINFO | SA_RESETHAND, 0);
	set_blocked(SIGSET(SIGUSR1) | SIGSET(SIGUSR2));
	raise_sig(SIGUSR1);
	raise_sig(SIGUSR1);
	raise_sig(SIGUSR2);
	CHECK_EQ(signal_pending_set(), SIGSET(SIGUSR1) | SIGSET(SIGUSR2));
	CHECK_EQ(ran_sig[SIGUSR1] + ran_sig[SIGUSR2], 0);
	{
		uva_t at = pw_map(PAGE_SIZE);
		u64 none = 0;

		CHECK_EQ(user_write(at, &none, 8), 0);
		CHECK_EQ(pw_sys(14, 2, at, 0, 8), 0);
	}
	CHECK_EQ(ran_sig[SIGUSR1], 1);
	CHECK_EQ(ran_sig[SIGUSR2], 1);
	/* USR1's mask kept USR2 out until it had returned. */
	CHECK_EQ(deepest, 1);
	CHECK_EQ(current->blocked, 0);
	/* RESETHAND: back at the default, which for init is nothing. */
	raise_sig(SIGUSR2);
	CHECK_EQ(ran_sig[SIGUSR2], 1);
	pw_exit(0);
}

static void test_masks(void **state)
{
	(void)state;
	PW_RUN(masks, .cpus = 1);
}

/* ---- restarted calls -------------------------------------------------------
 */

static s64 victim;

static void kicker(struct pt_regs *regs)
{
	(void)regs;
	port_park(3000000);
	pw_sys(62, (u64)victim, SIGUSR1);
	port_park(3000000);
	pw_exit(0);
}

static void restarts(struct pt_regs *regs)
{
	uva_t at = pw_map(PAGE_SIZE);
	u64 none = 0;
	s64 pid;

	(void)regs;
	memset(ran_sig, 0, sizeof(ran_sig));
	victim = 1;
	/* wait4 goes on with SA_RESTART. */
	pw_action(SIGUSR1, pw_handler(note), SA_SIGINFO | SA_RESTART, 0);
	pid = pw_fork(kicker);
	CHECK_EQ(pw_wait(pid, NULL, 0), pid);
	CHECK_EQ(ran_sig[SIGUSR1], 1);
	/* Without it ends with EINTR. */
	pw_action(SIGUSR1, pw_handler(note), SA_SIGINFO, 0);
	pid = pw_fork(kicker);
	CHECK_EQ(pw_wait(pid, NULL, 0), -EINTR);
	CHECK_EQ(ran_sig[SIGUSR1], 2);
	CHECK_EQ(pw_wait(pid, NULL, 0), pid);
	/* pause and sigsuspend never go on; the mask is the old one after. */
	set_blocked(SIGSET(SIGUSR1));
	pid = pw_fork(kicker);
	CHECK_EQ(user_write(at, &none, 8), 0);
	CHECK_EQ(pw_sys(130, at, 8), -EINTR);
	CHECK_EQ(ran_sig[SIGUSR1], 3);
	CHECK_EQ(current->blocked, SIGSET(SIGUSR1));
	CHECK_EQ(pw_wait(pid, NULL, 0), pid);
	pw_exit(0);
}

static void test_restarts(void **state)
{
	(void)state;
	PW_RUN(restarts, .cpus = 2);
}

/* ---- a frame that is none --------------------------------------------------
 */

static void bad_stack(struct pt_regs *regs)
{
	pw_action(SIGUSR1, pw_handler(note), SA_SIGINFO, 0);
	regs->rsp = 0x1000;
	raise_sig(SIGUSR1);
	CHECK(!"the handler had no stack");
}

static void bad_return(struct pt_regs *regs)
{
	regs->rsp = 0x1008;
	pw_sys(15);
	CHECK(!"returned from no handler");
}

static void kernel_return(struct pt_regs *regs)
{
	uva_t at = pw_map(PAGE_SIZE);
	u64 rip = 0xffffffff80000000UL;

	/* rip stands 8 + 40 + 16 * 8 bytes into the frame. */
	CHECK_EQ(user_write(at + 8 + 40 + 128, &rip, 8), 0);
	regs->rsp = at + 8;
	pw_sys(15);
	CHECK(!"returned to the kernel");
}

static void bads(struct pt_regs *regs)
{
	static const pw_fn fns[] = {bad_stack, bad_return, kernel_return};
	int status;

	(void)regs;
	for (u32 i = 0; i < 3; i++) {
		s64 pid = pw_fork(fns[i]);

		CHECK_EQ(pw_wait(pid, &status, 0), pid);
		CHECK_EQ(status, SIGSEGV);
	}
	pw_exit(0);
}

static void test_bads(void **state)
{
	(void)state;
	PW_RUN(bads, .cpus = 1);
}

/* ---- what is pending, against a model --------------------------------------
 */

struct model {
	u64 set;
	u32 nr[NSIG + 1];	 /* queued */
	u32 value[NSIG + 1][64]; /* in order */
};

static void model_send(struct model *m, int sig, u32 value)
{
	if (sig < SIGRTMIN && (m->set & SIGSET(sig)))
		return;
	m->set |= SIGSET(sig);
	m->value[sig][m->nr[sig]++] = value;
}

/* The first signal of SET, as it must come: the lowest number. */
static int model_take(struct model *m, u64 set, u32 *value)
{
	int sig;

	if (!(m->set & set))
		return 0;
	sig = __builtin_ctzl(m->set & set) + 1;
	*value = m->value[sig][0];
	memmove(m->value[sig], m->value[sig] + 1, 63 * sizeof(u32));
	if (--m->nr[sig] == 0)
		m->set &= ~SIGSET(sig);
	return sig;
}

static void model_run(struct pt_regs *regs)
{
	/* Faults come before others; they have a test of their own. */
	u64 all = ~(SIG_UNBLOCKABLE | SIG_FAULTS | SIG_STOPS | SIGSET(SIGCONT));
	u64 iters = test_iters(tm_soak() ? 200000 : 4000), taken = 0;
	uva_t at = pw_map(PAGE_SIZE);
	static struct model m;
	struct prng r;

	(void)regs;
	memset(&m, 0, sizeof(m));
	test_seed(&r, "signals");
	current->proc->rlim[11].cur = RLIM_INFINITY;
	set_blocked(~0UL);
	for (u64 i = 0; i < iters; i++) {
		int sig = (int)prng_below(&r, NSIG) + 1;
		u32 value = prng_u32(&r), got = 0;
		struct ksiginfo info = {.signo = sig, .code = SI_QUEUE};

		if (!(all & SIGSET(sig)))
			continue;
		if (prng_below(&r, 2) && m.nr[sig] < 60) {
			info.u.rt.value = value;
			CHECK_EQ(user_write(at, &info, sizeof(info)), 0);
			CHECK_EQ(pw_sys(129, 1, (u64)sig, at), 0);
			model_send(&m, sig, value);
		} else {
			u64 set = prng_u64(&r) & all;
			int want = model_take(&m, set, &got);

			CHECK_EQ(signal_take(set, &info), want);
			if (want)
				CHECK_EQ((u32)info.u.rt.value, got);
			taken += want != 0;
		}
		CHECK_EQ(signal_pending_set(), m.set);
		CHECK_EQ(current->user->sigpending == 0, m.set == 0);
	}
	CHECK(taken > iters / 8);
	/* The limit binds who queues, and only real-time ones fail. */
	current->proc->rlim[11].cur = current->user->sigpending;
	{
		struct ksiginfo info = {.code = SI_QUEUE};

		CHECK_EQ(user_write(at, &info, sizeof(info)), 0);
		CHECK_EQ(pw_sys(129, 1, 40, at), -EAGAIN);
		CHECK_EQ(pw_sys(129, 1, SIGUSR1, at), 0);
	}
	pw_exit(0);
}

static void test_model(void **state)
{
	(void)state;
	PW_RUN(model_run, .cpus = 1);
}

/* ---- alternative stacks ----------------------------------------------------
 */

static u64 alt_low, alt_rsp;

static void on_alt(int sig, u64 info, u64 uc)
{
	struct {
		u64 sp;
		u32 flags, pad;
		u64 size;
	} st = {alt_low, 0, 0, 16384};
	uva_t at;

	(void)sig;
	(void)info;
	(void)uc;
	alt_rsp = machine_regs(port_self())->rsp;
	at = pw_map(PAGE_SIZE);
	CHECK_EQ(user_write(at, &st, sizeof(st)), 0);
	/* Not while it is in use. */
	CHECK_EQ(pw_sys(131, at, 0), -EPERM);
}

static void altstacks(struct pt_regs *regs)
{
	struct {
		u64 sp;
		u32 flags, pad;
		u64 size;
	} st;
	uva_t at = pw_map(PAGE_SIZE);

	(void)regs;
	alt_low = pw_map(16384);
	st.sp = alt_low, st.flags = 0, st.pad = 0, st.size = 100;
	CHECK_EQ(user_write(at, &st, sizeof(st)), 0);
	CHECK_EQ(pw_sys(131, at, 0), -ENOMEM);
	st.size = 16384, st.flags = 77;
	CHECK_EQ(user_write(at, &st, sizeof(st)), 0);
	CHECK_EQ(pw_sys(131, at, 0), -EINVAL);
	st.flags = 0;
	CHECK_EQ(user_write(at, &st, sizeof(st)), 0);
	CHECK_EQ(pw_sys(131, at, 0), 0);
	pw_action(SIGUSR1, pw_handler(on_alt), SA_SIGINFO | SA_ONSTACK, 0);
	pw_action(SIGUSR2, pw_handler(on_alt), SA_SIGINFO, 0);
	raise_sig(SIGUSR1);
	CHECK(alt_rsp > alt_low && alt_rsp < alt_low + 16384);
	CHECK_EQ(pw_sys(131, 0, at), 0);
	CHECK_EQ(user_read(&st, at, sizeof(st)), 0);
	CHECK_EQ(st.sp, alt_low);
	CHECK_EQ(st.flags, 0);
	pw_exit(0);
}

static void test_altstacks(void **state)
{
	(void)state;
	PW_RUN(altstacks, .cpus = 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_masks),
		cmocka_unit_test(test_restarts),
		cmocka_unit_test(test_bads),
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_altstacks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
