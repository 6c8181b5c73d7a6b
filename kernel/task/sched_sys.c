/* SPDX-License-Identifier: MIT */
/*
 * sched_sys.c - the system calls of scheduling. The scheduler is the
 * machine's: it knows weights by nice value and affinity. Of the policies only
 * SCHED_OTHER and its kin with static priority 0 are there: real-time ones are
 * refused with EPERM, as a kernel without the right does.
 *
 * Reference: sched(7), sched_setaffinity(2), setpriority(2),
 * sched_setscheduler(2), sched_setattr(2).
 */
#include <mmkit/cpu_hotplug.h>

#include "base/string.h"
#include "syscall.h"
#include "task/task_priv.h"

#define SCHED_OTHER	    0
#define SCHED_FIFO	    1
#define SCHED_RR	    2
#define SCHED_BATCH	    3
#define SCHED_IDLE	    5
#define SCHED_DEADLINE	    6
#define SCHED_RESET_ON_FORK 0x40000000

#define CAP_SYS_NICE 23

#define PRIO_PROCESS 0
#define PRIO_PGRP    1
#define PRIO_USER    2

/* The task PID (0: the caller), with a reference. */
static struct task *sched_task(s32 pid)
{
	return pid ? task_find(pid) : task_get(current);
}

/* May the current task change how T is scheduled? */
static bool may_schedule(const struct task *t)
{
	const struct cred *me = &current->cred;

	return me->euid == t->cred.uid || me->euid == t->cred.euid ||
	       capable(CAP_SYS_NICE);
}

static s64 sys_sched_yield(const struct sys_args *s)
{
	(void)s;
	machine_yield();
	return 0;
}

/* ---- affinity --------------------------------------------------------------
 */

static s64 sys_sched_setaffinity(const struct sys_args *s)
{
	u64 len = min(s->a[1], (u64)sizeof(struct port_cpumask));
	struct port_cpumask mask;
	struct task *t;
	s64 ret;

	mm_memset(&mask, 0, sizeof(mask));
	if (user_read(&mask, s->a[2], len))
		return -EFAULT;
	t = sched_task((s32)s->a[0]);
	if (!t)
		return -ESRCH;
	ret = !may_schedule(t) ? -EPERM
	      : t->dead	       ? -ESRCH
			       : machine_set_affinity(t->thread, &mask);
	task_put(t);
	return ret;
}

/* The bytes written: a whole number of words that holds all CPUs; only those
 * that are online are in them. */
static s64 sys_sched_getaffinity(const struct sys_args *s)
{
	u64 len = sizeof(struct port_cpumask);
	struct port_cpumask mask;
	struct task *t;

	if (s->a[1] * 8 < (u64)port_nr_cpus() || (s->a[1] & 7))
		return -EINVAL;
	t = sched_task((s32)s->a[0]);
	if (!t)
		return -ESRCH;
	machine_get_affinity(t->thread, &mask);
	task_put(t);
	for (u32 cpu = 0; cpu < 8 * sizeof(mask); cpu++)
		if (!cpu_online((int)cpu))
			mask.bits[cpu / 64] &= ~(1UL << cpu % 64);
	len = min(len, s->a[1]);
	return user_write(s->a[2], &mask, len) ? -EFAULT : (s64)len;
}

/* ---- nice ------------------------------------------------------------------
 */

static s64 set_nice(struct task *t, int nice)
{
	if (!may_schedule(t))
		return -EPERM;
	/* Up only with the right, or as far as RLIMIT_NICE says. */
	if (nice < t->nice && !capable(CAP_SYS_NICE) &&
	    (s64)rlimit_of(t->proc, 13) < 20 - nice)
		return -EACCES;
	t->nice = nice;
	if (!t->dead)
		machine_set_nice(t->thread, nice);
	return 0;
}

/* One of those that WHICH and WHO mean? */
static bool prio_matches(const struct task *t, int which, s32 who)
{
	switch (which) {
	case PRIO_PROCESS:
		return t->tid == (who ? who : current->tid);
	case PRIO_PGRP:
		return t->proc->pgid == (who ? who : current->proc->pgid);
	default:
		return t->cred.uid == (who ? (u32)who : current->cred.uid);
	}
}

/* Apply NICE to each that matches (SET), or find the best: 20 - nice. */
static s64 prio_each(int which, s32 who, bool set, int nice)
{
	s64 ret = -ESRCH, one;
	struct process *p;
	struct task *t;
	unsigned long flags;

	task_lock(flags);
	list_for_each_entry (p, &task_sys.processes, all) {
		list_for_each_entry (t, &p->threads, group_entry) {
			if (!prio_matches(t, which, who))
				continue;
			one = set ? set_nice(t, nice) : 20 - t->nice;
			if (set ? (ret == -ESRCH || one) : one > ret)
				ret = one;
		}
	}
	task_unlock(flags);
	return ret;
}

static s64 sys_getpriority(const struct sys_args *s)
{
	int which = (int)s->a[0];

	if (which < PRIO_PROCESS || which > PRIO_USER)
		return -EINVAL;
	return prio_each(which, (s32)s->a[1], false, 0);
}

static s64 sys_setpriority(const struct sys_args *s)
{
	int which = (int)s->a[0], nice = (int)s->a[2];

	if (which < PRIO_PROCESS || which > PRIO_USER)
		return -EINVAL;
	return prio_each(which, (s32)s->a[1], true, clamp(nice, -20, 19));
}

/* ---- policies --------------------------------------------------------------
 */

/* 0: it can be had with PRIO; -EINVAL, -EPERM. */
static int policy_check(int policy, int prio)
{
	switch (policy & ~SCHED_RESET_ON_FORK) {
	case SCHED_OTHER:
	case SCHED_BATCH:
	case SCHED_IDLE:
		return prio ? -EINVAL : 0;
	case SCHED_FIFO:
	case SCHED_RR:
		return prio < 1 || prio > 99 ? -EINVAL : -EPERM;
	case SCHED_DEADLINE:
		return -EPERM;
	default:
		return -EINVAL;
	}
}

static s64 set_policy(s32 pid, int policy, int prio)
{
	struct task *t;
	s64 ret;

	if (pid < 0)
		return -EINVAL;
	t = sched_task(pid);
	if (!t)
		return -ESRCH;
	ret = policy_check(policy, prio);
	if (!ret && !may_schedule(t))
		ret = -EPERM;
	/* SCHED_BATCH and IDLE are hints: told, and run as SCHED_OTHER. */
	if (!ret)
		t->policy = policy & ~SCHED_RESET_ON_FORK;
	task_put(t);
	return ret;
}

static s64 sys_sched_setscheduler(const struct sys_args *s)
{
	s32 prio;

	if (!s->a[2] || (s32)s->a[1] < 0)
		return -EINVAL;
	if (user_read(&prio, s->a[2], sizeof(prio)))
		return -EFAULT;
	return set_policy((s32)s->a[0], (int)s->a[1], prio);
}

static s64 sys_sched_setparam(const struct sys_args *s)
{
	struct task *t;
	int policy;
	s32 prio;

	if (!s->a[1])
		return -EINVAL;
	if (user_read(&prio, s->a[1], sizeof(prio)))
		return -EFAULT;
	t = (s32)s->a[0] < 0 ? NULL : sched_task((s32)s->a[0]);
	if (!t)
		return (s32)s->a[0] < 0 ? -EINVAL : -ESRCH;
	policy = t->policy;
	task_put(t);
	return set_policy((s32)s->a[0], policy, prio);
}

static s64 sys_sched_getscheduler(const struct sys_args *s)
{
	struct task *t;
	s64 ret;

	if ((s32)s->a[0] < 0)
		return -EINVAL;
	t = sched_task((s32)s->a[0]);
	if (!t)
		return -ESRCH;
	ret = t->policy;
	task_put(t);
	return ret;
}

static s64 sys_sched_getparam(const struct sys_args *s)
{
	s32 prio = 0;
	struct task *t;

	if ((s32)s->a[0] < 0 || !s->a[1])
		return -EINVAL;
	t = sched_task((s32)s->a[0]);
	if (!t)
		return -ESRCH;
	task_put(t);
	return user_write(s->a[1], &prio, sizeof(prio));
}

/* The priorities that a policy has: 0 but for real-time ones. */
static s64 priority_bound(int policy, int rt)
{
	switch (policy) {
	case SCHED_FIFO:
	case SCHED_RR:
		return rt;
	case SCHED_OTHER:
	case SCHED_BATCH:
	case SCHED_IDLE:
	case SCHED_DEADLINE:
		return 0;
	default:
		return -EINVAL;
	}
}

static s64 sys_sched_get_priority_max(const struct sys_args *s)
{
	return priority_bound((int)s->a[0], 99);
}

static s64 sys_sched_get_priority_min(const struct sys_args *s)
{
	return priority_bound((int)s->a[0], 1);
}

struct sched_attr { /* sched_setattr(2), its first version: 48 bytes */
	u32 size, policy;
	u64 flags;
	s32 nice;
	u32 priority;
	u64 runtime, deadline, period;
};

static s64 sys_sched_setattr(const struct sys_args *s)
{
	struct sched_attr a;
	struct task *t;
	u32 size;
	s64 ret;

	if (!s->a[1] || (s32)s->a[0] < 0 || s->a[2])
		return -EINVAL;
	if (user_read(&size, s->a[1], 4))
		return -EFAULT;
	if (size && size < sizeof(a))
		return -E2BIG;
	if (user_read(&a, s->a[1], sizeof(a)))
		return -EFAULT;
	if (a.nice < -20 || a.nice > 19)
		return -EINVAL;
	ret = set_policy((s32)s->a[0], (int)a.policy, (int)a.priority);
	if (ret)
		return ret;
	t = sched_task((s32)s->a[0]);
	if (!t)
		return -ESRCH;
	ret = set_nice(t, a.nice);
	task_put(t);
	return ret;
}

static s64 sys_sched_getattr(const struct sys_args *s)
{
	struct sched_attr a = {.size = sizeof(a)};
	struct task *t;

	if (!s->a[1] || (s32)s->a[0] < 0 || s->a[3])
		return -EINVAL;
	if (s->a[2] < sizeof(a) || s->a[2] > PAGE_SIZE)
		return -EINVAL;
	t = sched_task((s32)s->a[0]);
	if (!t)
		return -ESRCH;
	a.policy = (u32)t->policy;
	a.nice = t->nice;
	task_put(t);
	return user_write(s->a[1], &a, sizeof(a));
}

void sched_sys_init(void)
{
	static const struct syscall_def defs[] = {
		{24, "sched_yield", sys_sched_yield},
		{140, "getpriority", sys_getpriority},
		{141, "setpriority", sys_setpriority},
		{142, "sched_setparam", sys_sched_setparam},
		{143, "sched_getparam", sys_sched_getparam},
		{144, "sched_setscheduler", sys_sched_setscheduler},
		{145, "sched_getscheduler", sys_sched_getscheduler},
		{146, "sched_get_priority_max", sys_sched_get_priority_max},
		{147, "sched_get_priority_min", sys_sched_get_priority_min},
		{203, "sched_setaffinity", sys_sched_setaffinity},
		{204, "sched_getaffinity", sys_sched_getaffinity},
		{314, "sched_setattr", sys_sched_setattr},
		{315, "sched_getattr", sys_sched_getattr},
	};

	syscall_register(defs, ARRAY_SIZE(defs));
}
