/* SPDX-License-Identifier: MIT */
/*
 * task_stub.h - a task for tests of what stands below kernel/task: the running
 * thread has one with root's credentials, and what the kernel asks of tasks is
 * answered here. Not for tests of kernel/task itself.
 *
 * A test that includes this links without kernel/task; the answers are weak,
 * so the real ones win where they are linked as well.
 */
#ifndef TESTS_KERNEL_TASK_STUB_H
#define TESTS_KERNEL_TASK_STUB_H

#include <string.h>

#include "machine_test.h"
#include "task.h"

#define KT_WEAK __attribute__((weak))

/* What tests set. */
static struct {
	u64 rlimit[RLIM_NLIMITS];
	bool signal;  /* signal_pending() */
	u64 signals;  /* sent */
	int last_sig; /* the last one */
} kt_stub;

static inline void kt_task_init(struct task *t, struct process *p)
{
	memset(t, 0, sizeof(*t));
	memset(p, 0, sizeof(*p));
	memset(&kt_stub, 0, sizeof(kt_stub));
	for (u32 i = 0; i < RLIM_NLIMITS; i++)
		kt_stub.rlimit[i] = RLIM_INFINITY;
	kt_stub.rlimit[7] = 1024; /* RLIMIT_NOFILE */
	p->count = 1;
	p->tgid = p->pgid = p->sid = 1;
	t->proc = p;
	t->tid = 1;
	t->thread = port_self();
	t->mt = port_current();
	t->cred.cap_effective = t->cred.cap_permitted = t->cred.cap_bset =
		(1UL << 41) - 1;
}

KT_WEAK bool signal_pending(const struct task *t)
{
	(void)t;
	return READ_ONCE(kt_stub.signal);
}

KT_WEAK bool fatal_signal_pending_task(const struct task *t)
{
	return signal_pending(t);
}

static inline int kt_sent(int sig)
{
	kt_stub.signals++;
	kt_stub.last_sig = sig;
	return 0;
}

KT_WEAK int send_sig_task(struct task *t, int sig, const struct ksiginfo *info)
{
	(void)t;
	(void)info;
	return kt_sent(sig);
}

/* A signal to the process ends it. */
MM_UNUSED static bool dies;
KT_WEAK int send_sig_process(struct process *p, int sig,
			     const struct ksiginfo *info)
{
	(void)p;
	(void)info;
	if (dies)
		WRITE_ONCE(kt_stub.signal, true);
	return kt_sent(sig);
}

KT_WEAK int send_sig_pgrp(s32 pgid, int sig, const struct ksiginfo *info)
{
	(void)pgid;
	(void)info;
	return kt_sent(sig);
}

KT_WEAK bool sig_ignored_or_blocked(const struct task *t, int sig)
{
	(void)t;
	(void)sig;
	return false;
}

KT_WEAK u64 rlimit(u32 resource)
{
	return kt_stub.rlimit[resource];
}

KT_WEAK bool capable(int cap)
{
	return current->cred.cap_effective >> cap & 1;
}

#endif
