/* SPDX-License-Identifier: MIT */
/*
 * ktimer.c - timers that count how often they expired.
 *
 * 1. Purpose. The machine's timer calls a function once, at a time since boot.
 *    Programs want periods, other clocks, and to know how many periods passed.
 *
 * 2. The one truth is EXPIRES, a time of the timer's own clock, on the grid of
 *    INTERVAL. The machine's timer only says when to look again: a look that
 *    finds nothing due arms it anew, so that setting, firing and setting the
 *    clock need no more order than the lock gives.
 *
 * 3. A period shorter than a look costs (KTIMER_LOOK) is counted, not waited
 *    for: expirations of several periods are told at once.
 *
 * 4. Locking. lock, interrupts off, inside it the machine's. FIRE is called
 *    with no lock held.
 *
 * References: timer_settime(2), setitimer(2), timerfd_settime(2).
 */
#include "time_priv.h"

/* Looks of one timer are so far apart at least. */
#define KTIMER_LOOK 10000UL

/* All KT_REAL timers that are armed. */
static struct {
	spinlock_t lock; /* inside ktimer.lock */
	struct list_head real;
	u32 settings; /* (A) how often the clock was set */
} ktimer_sys;

void ktimer_sys_reset(void)
{
	spin_lock_init(&ktimer_sys.lock, LOCK_CLASS_NONE);
	INIT_LIST_HEAD(&ktimer_sys.real);
	ktimer_sys.settings = 0;
}

static u64 sat_add(u64 a, u64 b)
{
	return a + b < a ? UINT64_MAX : a + b;
}

/* Now, of a clock that can be read in any context. */
static u64 now_of(const struct ktimer *t)
{
	return t->clock == KT_REAL ? machine_wall_ns() : port_now_ns();
}

/* On the list of those that follow the clock while armed; lock held. */
static void follow(struct ktimer *t)
{
	bool want = t->clock == KT_REAL && t->expires;

	spin_lock(&ktimer_sys.lock);
	if (want && list_empty(&t->entry))
		list_add_tail(&t->entry, &ktimer_sys.real);
	else if (!want && !list_empty(&t->entry))
		list_del_init(&t->entry);
	spin_unlock(&ktimer_sys.lock);
}

/* When to look again; lock held. */
static void arm(struct ktimer *t, u64 least)
{
	u64 now;

	if (t->clock != KT_CPU)
		follow(t);
	if (!t->expires)
		return;
	if (t->clock == KT_CPU) {
		cpu_clock_queue(t);
		return;
	}
	now = now_of(t);
	least = max(least, t->expires > now ? t->expires - now : 0);
	t->mt.expires = sat_add(port_now_ns(), least);
	machine_timer_arm(&t->mt);
}

/* How many expirations have passed at NOW; EXPIRES is the next. Lock held. */
static u64 take_due(struct ktimer *t, u64 now)
{
	u64 n;

	if (!t->expires || now < t->expires)
		return 0;
	if (!t->interval) {
		t->expires = 0;
		return 1;
	}
	n = (now - t->expires) / t->interval + 1;
	t->expires = sat_add(t->expires, n * t->interval);
	return n;
}

/* Has the clock been set since T looked? Lock held. */
static bool clock_seen(struct ktimer *t)
{
	u32 settings = READ_ONCE(ktimer_sys.settings);
	bool set = t->clock == KT_REAL && t->settings != settings;

	t->settings = settings;
	return set;
}

static void look(struct ktimer *t, u64 now)
{
	unsigned long flags;
	bool was_set;
	u64 times;

	spin_lock_irqsave(&t->lock, flags);
	times = take_due(t, now);
	was_set = clock_seen(t);
	arm(t, KTIMER_LOOK);
	spin_unlock_irqrestore(&t->lock, flags);
	if (times || was_set)
		t->fire(t, times);
}

static void machine_fired(struct machine_timer *mt)
{
	struct ktimer *t = container_of(mt, struct ktimer, mt);

	if (t->clock == KT_CPU)
		cpu_clock_queue(t);
	else
		look(t, now_of(t));
}

/* The least time in which so much CPU time can pass. */
static void cpu_look_again(struct ktimer *t, u64 left)
{
	u32 threads = t->cpu_tid ? 1 : READ_ONCE(t->cpu_proc->nr_threads);

	left /= max(threads, 1u);
	t->mt.expires = sat_add(port_now_ns(), max(left, 100 * KTIMER_LOOK));
	machine_timer_arm(&t->mt);
}

void ktimer_cpu_check(struct ktimer *t)
{
	u64 now = cpu_clock_now(t->cpu_proc, t->cpu_tid, t->cpu_kind), times;
	unsigned long flags;

	spin_lock_irqsave(&t->lock, flags);
	times = take_due(t, now);
	if (t->expires)
		cpu_look_again(t, t->expires - now);
	spin_unlock_irqrestore(&t->lock, flags);
	if (times)
		t->fire(t, times);
}

void ktimer_init(struct ktimer *t, enum ktimer_clock clock,
		 void (*fire)(struct ktimer *t, u64 times))
{
	*t = (struct ktimer){.clock = clock, .fire = fire};
	spin_lock_init(&t->lock, LOCK_CLASS_NONE);
	t->mt.fn = machine_fired;
	INIT_LIST_HEAD(&t->entry);
	INIT_LIST_HEAD(&t->queue);
}

/* Not in interrupts: CPU clocks take locks that sleep. */
static u64 now_any(const struct ktimer *t)
{
	return t->clock == KT_CPU
		       ? cpu_clock_now(t->cpu_proc, t->cpu_tid, t->cpu_kind)
		       : now_of(t);
}

static void left_of(const struct ktimer *t, u64 now, struct ktimer_value *out)
{
	out->interval = t->interval;
	out->value = 0;
	if (!t->expires)
		return;
	/* Due and not yet looked at: as if a moment were left. */
	out->value = t->expires > now ? t->expires - now : 1;
}

void ktimer_set(struct ktimer *t, bool abs, const struct ktimer_value *v,
		struct ktimer_value *old)
{
	u64 now = now_any(t);
	unsigned long flags;

	spin_lock_irqsave(&t->lock, flags);
	if (old)
		left_of(t, now, old);
	(void)clock_seen(t);
	t->interval = v->interval;
	t->expires = 0;
	if (v->value)
		t->expires = abs ? v->value : sat_add(now, v->value);
	arm(t, 0);
	spin_unlock_irqrestore(&t->lock, flags);
}

void ktimer_get(struct ktimer *t, struct ktimer_value *out)
{
	u64 now = now_any(t);
	unsigned long flags;

	spin_lock_irqsave(&t->lock, flags);
	left_of(t, now, out);
	spin_unlock_irqrestore(&t->lock, flags);
}

void ktimer_stop(struct ktimer *t)
{
	unsigned long flags;

	spin_lock_irqsave(&t->lock, flags);
	t->expires = 0;
	if (t->clock != KT_CPU)
		follow(t);
	spin_unlock_irqrestore(&t->lock, flags);
	(void)machine_timer_cancel(&t->mt);
	/* A look at a CPU clock that was under way arms nothing any more. */
	if (t->clock == KT_CPU)
		cpu_clock_unqueue(t);
}

/* The next timer of the list, so that each is met once; NULL: no more. */
static struct ktimer *next_real(struct list_head *done)
{
	struct ktimer *t = NULL;

	if (!list_empty(&ktimer_sys.real)) {
		t = list_first_entry(&ktimer_sys.real, struct ktimer, entry);
		list_move_tail(&t->entry, done);
	}
	return t;
}

void ktimer_clock_was_set(void)
{
	struct ktimer *t;
	unsigned long flags;
	LIST_HEAD(done);

	/*
	 * A timer on the list cannot go away: ktimer_stop() takes it off under
	 * this lock. Its machine timer is told to look at once; the interrupt
	 * takes the timer's lock, which stands outside this one.
	 */
	spin_lock_irqsave(&ktimer_sys.lock, flags);
	WRITE_ONCE(ktimer_sys.settings, ktimer_sys.settings + 1);
	while ((t = next_real(&done)) != NULL) {
		t->mt.expires = port_now_ns();
		machine_timer_arm(&t->mt);
	}
	list_splice(&done, &ktimer_sys.real);
	spin_unlock_irqrestore(&ktimer_sys.lock, flags);
}
