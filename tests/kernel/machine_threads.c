/* SPDX-License-Identifier: MIT */
/*
 * machine_threads.c - threads, scheduling and timers of kernel/machine.h on
 * the sim and host worlds.
 *
 * A thread is a port thread with a record beside it; a table leads from the
 * one to the other. A thread that was created waits at its gate until it is
 * started, or told to go away.
 */
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <mmkit/errno.h>

#include "base/atomic.h"
#include "base/spinlock.h"
#include "base/wait.h"
#include "machine_test.h"

#define MAX_THREADS 256u

struct kt_thread {
	struct port_thread *port;
	struct mm_task *task;
	void *owner;
	void (*fn)(void *arg);
	void *arg;
	struct pt_regs regs;
	u64 fsbase, gsbase, nvcsw, nivcsw;
	u8 fpu[512]; /* whatever was poked */
	u64 debug[5];
	u64 utime, stime; /* (A) if charged */
	bool charged;	  /* (A) */
	struct port_cpumask mask;
	int nice;
	bool go, cancel; /* by who made it */
	bool kicked;	 /* (A) */
	struct completion there, gate, gone;
	jmp_buf out;
	char name[MM_TASK_COMM];
};

static struct {
	spinlock_t lock;		    /* taken with interrupts off */
	struct kt_thread *all[MAX_THREADS]; /* lock */
	struct kt_thread first;
	void (*user)(struct pt_regs *regs);
	/* timers: lock */
	struct machine_timer *timers, *firing;
	wait_queue_head_t timer_wait;
	struct port_thread *timer_thread;
	bool timer_stop;
} kt;

/* ---- records ---------------------------------------------------------------
 */

static void kt_enter(struct kt_thread *t)
{
	unsigned long flags;

	spin_lock_irqsave(&kt.lock, flags);
	for (u32 i = 0; i < MAX_THREADS; i++) {
		if (!kt.all[i]) {
			kt.all[i] = t;
			spin_unlock_irqrestore(&kt.lock, flags);
			return;
		}
	}
	port_panic("too many threads of a test");
}

static void kt_leave(const struct kt_thread *t)
{
	unsigned long flags;

	spin_lock_irqsave(&kt.lock, flags);
	for (u32 i = 0; i < MAX_THREADS; i++) {
		if (kt.all[i] == t)
			kt.all[i] = NULL;
	}
	spin_unlock_irqrestore(&kt.lock, flags);
}

static struct kt_thread *kt_find(const struct port_thread *p)
{
	struct kt_thread *found = NULL;
	unsigned long flags;

	spin_lock_irqsave(&kt.lock, flags);
	for (u32 i = 0; i < MAX_THREADS && !found; i++) {
		if (kt.all[i] && kt.all[i]->port == p)
			found = kt.all[i];
	}
	spin_unlock_irqrestore(&kt.lock, flags);
	return found;
}

static struct kt_thread *kt_self(void)
{
	struct kt_thread *t = kt_find(port_self());

	mm_verify(t);
	return t;
}

void *machine_owner(const struct port_thread *p)
{
	struct kt_thread *t = kt_find(p);

	return t ? t->owner : NULL;
}

void kt_set_owner(void *owner)
{
	kt_self()->owner = owner;
}

struct mm_task *machine_mm_task(struct port_thread *p)
{
	return kt_find(p)->task;
}

struct pt_regs *machine_regs(struct port_thread *p)
{
	return &kt_find(p)->regs;
}

/* ---- life ------------------------------------------------------------------
 */

void kt_user_mode(void (*fn)(struct pt_regs *regs))
{
	kt.user = fn;
}

static void kt_thread_main(void *arg)
{
	struct kt_thread *t = arg;

	t->port = port_self();
	t->task = port_current();
	t->task->flags &= ~(u32)PF_KTHREAD;
	complete(&t->there);
	wait_for_completion(&t->gate);
	if (!t->cancel && !setjmp(t->out)) {
		t->fn(t->arg);
		if (kt.user)
			kt.user(&t->regs);
	}
	complete(&t->gone);
}

int machine_thread_create(struct port_thread **out, const char *name,
			  void (*fn)(void *arg), void *arg, void *owner)
{
	struct kt_thread *t = calloc(1, sizeof(*t));
	struct port_thread *p;
	int err;

	if (!t)
		return -ENOMEM;
	t->fn = fn;
	t->arg = arg;
	t->owner = owner;
	strncpy(t->name, name, sizeof(t->name) - 1);
	memset(&t->mask, 0xff, sizeof(t->mask));
	init_completion(&t->there);
	init_completion(&t->gate);
	init_completion(&t->gone);
	kt_enter(t);
	err = port_thread_start(&p, t->name, -1, kt_thread_main, t);
	if (err) {
		kt_leave(t);
		free(t);
		return err;
	}
	wait_for_completion(&t->there);
	/* Off its CPU, as one that never ran: it may be given memory. */
	port_park(50000);
	*out = p;
	return 0;
}

void machine_thread_start(struct port_thread *p)
{
	struct kt_thread *t = kt_find(p);

	t->go = true;
	complete(&t->gate);
}

_Noreturn void machine_thread_exit(void)
{
	longjmp(kt_self()->out, 1);
}

void machine_thread_free(struct port_thread *p)
{
	struct kt_thread *t = kt_find(p);

	if (!t->go) {
		t->cancel = true;
		complete(&t->gate);
	}
	wait_for_completion(&t->gone);
	kt_leave(t);
	port_thread_join(p);
	free(t);
}

void machine_kick(struct port_thread *p)
{
	struct kt_thread *t = kt_find(p);

	if (t)
		__atomic_store_n(&t->kicked, true, __ATOMIC_RELEASE);
	port_unpark(p);
}

bool kt_kicked(struct port_thread *p)
{
	return __atomic_exchange_n(&kt_find(p)->kicked, false,
				   __ATOMIC_ACQ_REL);
}

/* ---- registers -------------------------------------------------------------
 */

void machine_set_fsbase(struct port_thread *p, u64 base)
{
	kt_find(p)->fsbase = base;
}

void machine_set_gsbase(struct port_thread *p, u64 base)
{
	kt_find(p)->gsbase = base;
}

u64 machine_fsbase(struct port_thread *p)
{
	return kt_find(p)->fsbase;
}

u64 machine_gsbase(struct port_thread *p)
{
	return kt_find(p)->gsbase;
}

u32 machine_fpu_size(void)
{
	return 512;
}

u64 machine_fpu_features(void)
{
	return 0;
}

void machine_fpu_save(void *image)
{
	memset(image, 0, machine_fpu_size());
}

int machine_fpu_load(const void *image)
{
	(void)image;
	return 0;
}

void machine_fpu_reset(void)
{
}

int machine_fpu_peek(struct port_thread *p, void *image)
{
	memcpy(image, kt_find(p)->fpu, machine_fpu_size());
	return 0;
}

int machine_fpu_poke(struct port_thread *p, const void *image)
{
	memcpy(kt_find(p)->fpu, image, machine_fpu_size());
	return 0;
}

int machine_debug_set(struct port_thread *p, const u64 addr[4], u64 control)
{
	struct kt_thread *t = kt_find(p);

	memcpy(t->debug, addr, 4 * sizeof(u64));
	t->debug[4] = control;
	return 0;
}

void machine_fpu_copy(struct port_thread *child)
{
	(void)child;
}

/* ---- scheduling ------------------------------------------------------------
 */

void machine_yield(void)
{
	struct kt_thread *t = kt_find(port_self());

	if (t)
		t->nivcsw++;
	port_sched_point();
}

/* The worlds below count no switches: yields are, and what a test says. */
void kt_switched(struct port_thread *p, u64 voluntary, u64 involuntary)
{
	struct kt_thread *t = kt_find(p);

	t->nvcsw += voluntary;
	t->nivcsw += involuntary;
}

void machine_thread_switches(const struct port_thread *p, u64 *voluntary,
			     u64 *involuntary)
{
	const struct kt_thread *t = kt_find(p);

	*voluntary = t ? t->nvcsw : 0;
	*involuntary = t ? t->nivcsw : 0;
}

int machine_set_affinity(struct port_thread *p, const struct port_cpumask *mask)
{
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
		if (mask->bits[cpu / 64] >> (cpu % 64) & 1) {
			kt_find(p)->mask = *mask;
			return 0;
		}
	}
	return -EINVAL;
}

void machine_get_affinity(const struct port_thread *p, struct port_cpumask *out)
{
	*out = kt_find(p)->mask;
}

int machine_cpu_down(int cpu)
{
	(void)cpu;
	return -EOPNOTSUPP;
}

int machine_cpu_up(int cpu)
{
	(void)cpu;
	return -EOPNOTSUPP;
}

void machine_set_nice(struct port_thread *p, int nice)
{
	kt_find(p)->nice = nice;
}

int machine_thread_cpu(const struct port_thread *p)
{
	return p == port_self() ? port_cpu() : 0;
}

bool machine_thread_running(const struct port_thread *p)
{
	return p == port_self();
}

void kt_charge(struct port_thread *p, u64 user, u64 sys)
{
	struct kt_thread *t = kt_find(p);

	(void)mm_fetch_add(&t->utime, user);
	(void)mm_fetch_add(&t->stime, sys);
	WRITE_ONCE(t->charged, true);
}

void machine_thread_times(const struct port_thread *p, u64 *user, u64 *sys)
{
	const struct kt_thread *t = kt_find(p);
	bool charged = t && READ_ONCE(t->charged);

	*user = charged ? READ_ONCE(t->utime) : 0;
	*sys = charged ? READ_ONCE(t->stime) : port_now_ns();
}

void machine_cpu_times(int cpu, struct machine_cpu_times *out)
{
	(void)cpu;
	*out = (struct machine_cpu_times){.sys = port_now_ns()};
}

/* A line, and a kind of the machine's own. */
bool machine_irq_row(u32 i, struct machine_irq *out)
{
	static const struct machine_irq rows[] = {
		{"4", "IO-APIC   4-edge      ttyS0", 40},
		{"LOC", "Local timer interrupts", 2},
	};

	if (i >= ARRAY_SIZE(rows))
		return false;
	*out = rows[i];
	return true;
}

u64 machine_irq_count(const struct machine_irq *irq, int cpu)
{
	return irq->slot + (u64)cpu;
}

u32 machine_nr_running(void)
{
	return 1;
}

/* ---- timers ----------------------------------------------------------------
 */

static void timer_unlink(struct machine_timer *t)
{
	*t->pprev = t->next;
	if (t->next)
		t->next->pprev = t->pprev;
	t->armed = false;
}

/* The timer that is due first; lock held. */
static struct machine_timer *timer_first(void)
{
	struct machine_timer *first = kt.timers;

	for (struct machine_timer *t = first; t; t = t->next) {
		if (t->expires < first->expires)
			first = t;
	}
	return first;
}

/* Fire what is due; nanoseconds until the next. */
static u64 timers_fire(void)
{
	unsigned long flags;
	struct machine_timer *t;
	u64 left;

	for (;;) {
		spin_lock_irqsave(&kt.lock, flags);
		t = timer_first();
		left = t ? wait_left(t->expires) : UINT64_MAX;
		if (left) {
			spin_unlock_irqrestore(&kt.lock, flags);
			return left;
		}
		timer_unlink(t);
		kt.firing = t;
		spin_unlock_irqrestore(&kt.lock, flags);
		flags = port_irq_save();
		t->fn(t);
		port_irq_restore(flags);
		__atomic_store_n(&kt.firing, NULL, __ATOMIC_RELEASE);
	}
}

static void timer_main(void *arg)
{
	struct wait_queue_entry wait;
	u64 left;

	(void)arg;
	init_wait(&wait, NULL);
	while (!READ_ONCE(kt.timer_stop)) {
		prepare_to_wait(&kt.timer_wait, &wait);
		left = timers_fire();
		if (!READ_ONCE(kt.timer_stop))
			wait_park(&wait, left);
	}
	finish_wait(&kt.timer_wait, &wait);
}

void machine_timer_arm(struct machine_timer *t)
{
	unsigned long flags;

	spin_lock_irqsave(&kt.lock, flags);
	if (t->armed)
		timer_unlink(t);
	t->next = kt.timers;
	t->pprev = &kt.timers;
	if (t->next)
		t->next->pprev = &t->next;
	kt.timers = t;
	t->armed = true;
	spin_unlock_irqrestore(&kt.lock, flags);
	wake_up(&kt.timer_wait);
}

bool machine_timer_cancel(struct machine_timer *t)
{
	unsigned long flags;
	bool was;

	spin_lock_irqsave(&kt.lock, flags);
	was = t->armed;
	if (was)
		timer_unlink(t);
	spin_unlock_irqrestore(&kt.lock, flags);
	while (__atomic_load_n(&kt.firing, __ATOMIC_ACQUIRE) == t)
		port_sched_point();
	return was;
}

/* ---- the machine -----------------------------------------------------------
 */

void kt_start(void *owner)
{
	memset(&kt, 0, sizeof(kt));
	init_waitqueue_head(&kt.timer_wait);
	kt.first.port = port_self();
	kt.first.task = port_current();
	kt.first.owner = owner;
	memset(&kt.first.mask, 0xff, sizeof(kt.first.mask));
	kt.all[0] = &kt.first;
	mm_verify(port_thread_start(&kt.timer_thread, "timers", -1, timer_main,
				    NULL) == 0);
}

void kt_stop(void)
{
	WRITE_ONCE(kt.timer_stop, true);
	wake_up(&kt.timer_wait);
	port_thread_join(kt.timer_thread);
	mm_verify(!kt.timers);
	for (u32 i = 0; i < MAX_THREADS; i++)
		mm_verify(!kt.all[i] || kt.all[i] == &kt.first);
	kt.all[0] = NULL;
}
