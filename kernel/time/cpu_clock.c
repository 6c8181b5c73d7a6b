/* SPDX-License-Identifier: MIT */
/*
 * cpu_clock.c - CPU time of threads and processes, and timers that wait for it.
 *
 * CPU time of a process is a sum over its threads, which are found under locks
 * that no interrupt may take. So a timer on such a clock sets the machine's
 * timer for the earliest moment at which so much CPU time can have passed (all
 * threads running at once), and a kernel thread then looks: due, or wait again
 * for what is left. A process that sleeps is looked at again and again, each
 * time after what is left and not more often than each millisecond. The thread
 * is started with the first such timer.
 *
 * A timer leaves for good by cpu_clock_unqueue(): off the queue, and the look
 * at it, if there is one, is over.
 */
#include "base/wait.h"
#include "time_priv.h"

static struct {
	spinlock_t lock;	/* interrupts off; innermost */
	struct list_head queue; /* (lock) ktimer.queue: to be looked at */
	struct ktimer *looking; /* (lock) at which the thread looks now */
	wait_queue_head_t wait; /* work; a look is over */
	struct port_thread *thread;
	u32 starting; /* (A) 1: somebody has begun to start it */
	bool up;      /* (A) */
	bool stop;    /* (A) */
} cpu_sys;

/* ---- reading ---------------------------------------------------------------
 */

void process_cpu_times(struct process *p, u64 *user, u64 *sys)
{
	struct task *t;
	u64 u, s;

	*user = READ_ONCE(p->utime);
	*sys = READ_ONCE(p->stime);
	for (s32 after = 0; (t = task_next(p, after)) != NULL;) {
		after = t->tid;
		machine_thread_times(t->thread, &u, &s);
		*user += u;
		*sys += s;
		task_put(t);
	}
}

static bool thread_times(s32 tid, u64 *user, u64 *sys)
{
	struct task *t = task_find(tid);

	if (!t)
		return false;
	machine_thread_times(t->thread, user, sys);
	task_put(t);
	return true;
}

u64 cpu_clock_now(struct process *p, s32 tid, enum ktimer_cpu kind)
{
	u64 user = 0, sys = 0;

	if (!tid)
		process_cpu_times(p, &user, &sys);
	/* The thread that looks at timers is nobody's. */
	else if (current && tid == current->tid)
		machine_thread_times(current->thread, &user, &sys);
	else if (!thread_times(tid, &user, &sys))
		return 0;
	return kind == KT_CPU_VIRT ? user : user + sys;
}

/* ---- looking ---------------------------------------------------------------
 */

static struct ktimer *take(void)
{
	struct ktimer *t;
	unsigned long flags;

	spin_lock_irqsave(&cpu_sys.lock, flags);
	t = list_first_entry_or_null(&cpu_sys.queue, struct ktimer, queue);
	if (t)
		list_del_init(&t->queue);
	cpu_sys.looking = t;
	spin_unlock_irqrestore(&cpu_sys.lock, flags);
	return t;
}

static void done(void)
{
	unsigned long flags;

	spin_lock_irqsave(&cpu_sys.lock, flags);
	cpu_sys.looking = NULL;
	spin_unlock_irqrestore(&cpu_sys.lock, flags);
	wake_up_all(&cpu_sys.wait);
}

static void look_at_all(void)
{
	struct ktimer *t;

	while ((t = take()) != NULL) {
		ktimer_cpu_check(t);
		done();
	}
}

static bool idle(void)
{
	unsigned long flags;
	bool empty;

	spin_lock_irqsave(&cpu_sys.lock, flags);
	empty = list_empty(&cpu_sys.queue);
	spin_unlock_irqrestore(&cpu_sys.lock, flags);
	return empty && !READ_ONCE(cpu_sys.stop);
}

static void cpu_clock_main(void *arg)
{
	(void)arg;
	while (!READ_ONCE(cpu_sys.stop)) {
		look_at_all();
		wait_event(cpu_sys.wait, !idle());
	}
}

void cpu_clock_queue(struct ktimer *t)
{
	unsigned long flags;

	spin_lock_irqsave(&cpu_sys.lock, flags);
	if (list_empty(&t->queue))
		list_add_tail(&t->queue, &cpu_sys.queue);
	spin_unlock_irqrestore(&cpu_sys.lock, flags);
	wake_up_all(&cpu_sys.wait);
}

/* Off the queue; is somebody looking? */
static bool unqueue(struct ktimer *t)
{
	unsigned long flags;
	bool busy;

	spin_lock_irqsave(&cpu_sys.lock, flags);
	if (!list_empty(&t->queue))
		list_del_init(&t->queue);
	busy = cpu_sys.looking == t;
	spin_unlock_irqrestore(&cpu_sys.lock, flags);
	return busy;
}

void cpu_clock_unqueue(struct ktimer *t)
{
	/* Before the first timer there is no queue to wait at. */
	if (unqueue(t))
		wait_event(cpu_sys.wait, !unqueue(t));
}

/* ---- beginning and end -----------------------------------------------------
 */

int cpu_clock_start(void)
{
	int err;

	if (READ_ONCE(cpu_sys.up))
		return 0;
	if (mm_xchg(&cpu_sys.starting, 1)) {
		/* Somebody is at it, and may fail. */
		while (!READ_ONCE(cpu_sys.up) && READ_ONCE(cpu_sys.starting))
			machine_yield();
		return READ_ONCE(cpu_sys.up) ? 0 : -EAGAIN;
	}
	err = port_thread_start(&cpu_sys.thread, "cputimers", -1,
				cpu_clock_main, NULL);
	if (err)
		WRITE_ONCE(cpu_sys.starting, 0);
	else
		WRITE_ONCE(cpu_sys.up, true);
	return err;
}

void cpu_clock_reset(void)
{
	cpu_sys = (__typeof__(cpu_sys)){.up = false};
	spin_lock_init(&cpu_sys.lock, LOCK_CLASS_NONE);
	INIT_LIST_HEAD(&cpu_sys.queue);
	init_waitqueue_head(&cpu_sys.wait);
}

void cpu_clock_stop(void)
{
	if (!cpu_sys.up)
		return;
	WRITE_ONCE(cpu_sys.stop, true);
	wake_up_all(&cpu_sys.wait);
	port_thread_join(cpu_sys.thread);
	cpu_clock_reset();
}
