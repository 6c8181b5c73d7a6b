/* SPDX-License-Identifier: MIT */
/*
 * freeze.c - threads that are made to rest: the freezer of control groups.
 *
 * 1. Way. A thread that is told to freeze is woken as by a signal: what it
 *    waits for in a system call ends, to be begun again later, and on its way
 *    to user mode it parks here. It executes no user instruction until it is
 *    told to go on. A stopped thread (SIGSTOP) rests already, and freezes when
 *    it is continued. One that waits where no signal ends it rests when that is
 *    over.
 *
 * 2. What goes through. SIGKILL, and all else that ends the process, ends a
 *    frozen one too. Other signals stay pending.
 *
 * 3. Fork. A child has its parent's state. A parent that is told during a fork
 *    begins it again afterwards, as with any signal, so no child is missed by
 *    who looks at the processes after having told the parent.
 *
 * 4. Locking: task_sys.lock. Who is called when a thread comes to rest holds
 *    nothing.
 *
 * Reference: Linux documentation, admin-guide/cgroup-v2 (cgroup.freeze).
 */
#include "task/task_priv.h"

bool task_freeze(struct task *t, bool on)
{
	unsigned long flags;
	bool news;

	task_lock(flags);
	news = !t->dead && t->freeze != on;
	if (news) {
		t->freeze = on;
		signal_wake(t);
	}
	task_unlock(flags);
	return news;
}

bool task_resting(struct task *t)
{
	unsigned long flags;
	bool rests;

	task_lock(flags);
	rests = t->dead || t->frozen || t->trace.stopped ||
		(t->stopped && !t->trace.tracer);
	task_unlock(flags);
	return rests;
}

void task_on_rest(void (*fn)(struct task *t))
{
	WRITE_ONCE(task_sys.on_rest, fn);
}

void task_rested(struct task *t)
{
	void (*fn)(struct task * t) = READ_ONCE(task_sys.on_rest);

	if (fn)
		fn(t);
}

bool task_must_freeze(const struct task *t)
{
	const struct process *p = t->proc;

	return t->freeze && !p->group_exit && !READ_ONCE(t->mt->fatal_signal) &&
	       !(p->exec_task && p->exec_task != t);
}

void do_freeze(struct task *t)
{
	unsigned long flags;

	task_lock(flags);
	t->frozen = task_must_freeze(t);
	task_unlock(flags);
	if (t->frozen)
		task_rested(t);
	task_lock(flags);
	while (task_must_freeze(t)) {
		task_unlock(flags);
		(void)port_park(UINT64_MAX);
		task_lock(flags);
	}
	t->frozen = false;
	recalc_sigpending(t);
	task_unlock(flags);
}
