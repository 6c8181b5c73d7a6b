/* SPDX-License-Identifier: MIT */
/*
 * itimer.c - the three timers of each process: setitimer(2), alarm(2).
 *
 * ITIMER_REAL counts real time, VIRTUAL the process's time in user mode, PROF
 * its CPU time; each sends a signal to the process. They stay over execve and
 * do not pass to children. alarm() is ITIMER_REAL in whole seconds.
 */
#include "time_priv.h"

#define SIGALRM	  14
#define SIGVTALRM 26
#define SIGPROF	  27

enum { ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF, NR_ITIMERS };

/* One signal of a kind can be pending: nothing is lost by failure. */
static void real_fired(struct ktimer *t, u64 times)
{
	if (times)
		(void)send_sig_process(
			container_of(t, struct process, itimer[ITIMER_REAL]),
			SIGALRM, NULL);
}

static void cpu_fired(struct ktimer *t, u64 times)
{
	int sig = t->cpu_kind == KT_CPU_VIRT ? SIGVTALRM : SIGPROF;

	if (times)
		(void)send_sig_process(t->cpu_proc, sig, NULL);
}

void itimers_init(struct process *p)
{
	ktimer_init(&p->itimer[ITIMER_REAL], KT_MONO, real_fired);
	ktimer_init(&p->itimer[ITIMER_VIRTUAL], KT_CPU, cpu_fired);
	ktimer_init(&p->itimer[ITIMER_PROF], KT_CPU, cpu_fired);
	p->itimer[ITIMER_VIRTUAL].cpu_kind = KT_CPU_VIRT;
	p->itimer[ITIMER_PROF].cpu_kind = KT_CPU_PROF;
	p->itimer[ITIMER_VIRTUAL].cpu_proc = p;
	p->itimer[ITIMER_PROF].cpu_proc = p;
}

static int write_itimerval(u64 to, const struct ktimer_value *v)
{
	/* What is left of a moment is a moment, not "no timer". */
	u64 left =
		v->value && v->value < NSEC_PER_USEC ? NSEC_PER_USEC : v->value;

	if (user_write_timeval(to, v->interval))
		return -EFAULT;
	return user_write_timeval(to + sizeof(struct ktimeval), left);
}

static int read_itimerval(struct ktimer_value *v, u64 from)
{
	int err = user_read_timeval_ns(&v->interval, from);

	return err ? err
		   : user_read_timeval_ns(&v->value,
					  from + sizeof(struct ktimeval));
}

static s64 sys_getitimer(const struct sys_args *s)
{
	struct ktimer_value v;

	if (s->a[0] >= NR_ITIMERS)
		return -EINVAL;
	ktimer_get(&current->proc->itimer[s->a[0]], &v);
	return write_itimerval(s->a[1], &v);
}

static s64 sys_setitimer(const struct sys_args *s)
{
	struct ktimer_value v = {0}, old;
	int err;

	if (s->a[0] >= NR_ITIMERS)
		return -EINVAL;
	err = s->a[1] ? read_itimerval(&v, s->a[1]) : 0;
	if (!err && v.value && s->a[0] != ITIMER_REAL)
		err = cpu_clock_start();
	if (err)
		return err;
	ktimer_set(&current->proc->itimer[s->a[0]], false, &v, &old);
	return s->a[2] ? write_itimerval(s->a[2], &old) : 0;
}

/* Seconds that were left, rounded, but never 0 where there was an alarm. */
static s64 sys_alarm(const struct sys_args *s)
{
	struct ktimer_value v = {.value = (u32)s->a[0] * NSEC_PER_SEC}, old;
	u64 left;

	ktimer_set(&current->proc->itimer[ITIMER_REAL], false, &v, &old);
	left = (old.value + NSEC_PER_SEC / 2) / NSEC_PER_SEC;
	return old.value && !left ? 1 : (s64)left;
}

static const struct syscall_def itimer_calls[] = {
	{36, "getitimer", sys_getitimer},
	{37, "alarm", sys_alarm},
	{38, "setitimer", sys_setitimer},
};

void itimer_sys_init(void)
{
	syscall_register(itimer_calls, ARRAY_SIZE(itimer_calls));
}
