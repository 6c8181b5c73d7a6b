/* SPDX-License-Identifier: MIT */
/*
 * time.c - what time it is, and being called when it is time.
 *
 * Time is the CPU's time stamp counter, scaled by a factor of 32 fractional
 * bits. Counters of all CPUs are in step (smp.c checks it); where they are not,
 * no reading may be below one that any CPU had before: the largest one is kept
 * in one word, which costs every reader a contended access.
 *
 * Each CPU has a queue of timers, a pairing heap: the root is the earliest,
 * arming costs one comparison, taking the first or any other out amortised
 * O(log n), and nodes bring their own links. The local APIC is set for the
 * earlier of the root and the scheduler's tick; no tick is asked for by a CPU
 * that has nothing to switch to, so an idle CPU sleeps until something is due.
 *
 * Locking: the queue's word, interrupts off. A timer's cpu is changed under the
 * old queue's lock when it is not armed. Functions are called without a lock;
 * who cancels waits for a function that runs on another CPU.
 */
#include "machine.h"

#include "apic.h"
#include "base/assert.h"
#include "base/atomic.h"
#include "base/printk.h"
#include "clock.h"
#include "io.h"
#include "timer_heap.h"

#define NEVER	 (~0ull)
#define MIN_NS	 1000ull       /* the hardware is not set for less */
#define MAX_NS	 1000000000ull /* nor for more */
#define APIC_DIV 16u

static struct {
	bool on;
	bool distrust;
	bool deadline; /* the local APIC's timer compares with the TSC */
	u64 hz;	       /* of the TSC */
	u64 base;      /* the TSC at time 0 */
	u64 mult;      /* ns per tick, 32 fractional bits */
	u64 tsc_mult;  /* ticks per ns, 32 fractional bits */
	u64 apic_mult; /* of the APIC's timer, the same */
	u64 latest;    /* no reading is below; only if distrust */
	u64 wall;      /* wall time at time 0 */
} clock_sys;

static struct timer_queue {
	u32 lock;
	bool up;		       /* its timer was set up */
	struct machine_timer *root;    /* the earliest */
	struct machine_timer *running; /* its function is being called */
	u64 tick_at, tick_period;      /* NEVER: no tick */
	u64 set_for;		       /* what the hardware is set for */
} MM_ALIGNED(MM_CACHELINE) queues[MM_NR_CPUS];

/* ---- the time ---------------------------------------------------------------
 */

u64 clock_now_ns(void)
{
	u64 now, seen;

	if (!clock_sys.on)
		return 0;
	now = (u64)((unsigned __int128)(x86_rdtsc() - clock_sys.base) *
			    clock_sys.mult >>
		    32);
	if (likely(!clock_sys.distrust))
		return now;
	seen = READ_ONCE(clock_sys.latest);
	do {
		if (now <= seen)
			return seen;
	} while (!mm_try_cmpxchg(&clock_sys.latest, &seen, now));
	return now;
}

u64 port_now_ns(void)
{
	return clock_now_ns();
}

void clock_distrust(void)
{
	clock_sys.latest = clock_now_ns();
	clock_sys.distrust = true;
}

u64 clock_tsc_hz(void)
{
	return clock_sys.hz;
}

void clock_delay_ns(u64 ns)
{
	u64 end = clock_now_ns() + ns;

	while (clock_sys.on && clock_now_ns() < end)
		x86_pause();
}

/* Time passes by itself. */
void port_charge_ns(u64 ns)
{
	(void)ns;
}

u64 machine_wall_ns(void)
{
	return READ_ONCE(clock_sys.wall) + clock_now_ns();
}

void machine_set_wall_ns(u64 ns)
{
	WRITE_ONCE(clock_sys.wall, ns - clock_now_ns());
}

/* ---- setting the hardware ---------------------------------------------------
 */

static u64 next_event(const struct timer_queue *q)
{
	return min(q->root ? q->root->expires : NEVER, q->tick_at);
}

/* The running CPU's queue Q, locked, interrupts off. */
static void program(struct timer_queue *q)
{
	u64 at = next_event(q), now, in;

	if (!q->up || at == q->set_for)
		return;
	q->set_for = at;
	if (at == NEVER) {
		if (clock_sys.deadline)
			apic_timer_deadline(0);
		else
			apic_timer_oneshot(0);
		return;
	}
	now = clock_now_ns();
	in = at > now ? at - now : 0;
	if (in > MAX_NS) { /* a look in between: "not yet" */
		in = MAX_NS;
		q->set_for = now + in;
	}
	in = max(in, MIN_NS);
	if (clock_sys.deadline)
		apic_timer_deadline(x86_rdtsc() +
				    (in * clock_sys.tsc_mult >> 32) + 1);
	else
		apic_timer_oneshot((u32)(in * clock_sys.apic_mult >> 32) + 1);
}

static struct timer_queue *lock_mine(unsigned long *flags)
{
	struct timer_queue *q;

	*flags = port_irq_save();
	q = &queues[port_cpu()];
	port_spin_lock(&q->lock);
	return q;
}

static void unlock(struct timer_queue *q, unsigned long flags)
{
	port_spin_unlock(&q->lock);
	port_irq_restore(flags);
}

/* ---- timers -----------------------------------------------------------------
 */

/* The queue that TIMER is in or was in last, locked. */
static struct timer_queue *lock_of(struct machine_timer *timer,
				   unsigned long *flags)
{
	struct timer_queue *q;

	*flags = port_irq_save();
	for (;;) {
		q = &queues[READ_ONCE(timer->cpu)];
		port_spin_lock(&q->lock);
		if (q == &queues[READ_ONCE(timer->cpu)])
			return q;
		port_spin_unlock(&q->lock);
	}
}

void machine_timer_arm(struct machine_timer *timer)
{
	unsigned long flags;
	struct timer_queue *q = lock_of(timer, &flags);
	struct timer_queue *mine = &queues[port_cpu()];

	if (timer->armed)
		heap_del(&q->root, timer);
	timer->armed = false;
	/* Where its function runs it stays, so that who cancels waits there. */
	if (q != mine && q->running != timer) {
		/* Nobody else finds it in between: arming is one at a time. */
		port_spin_unlock(&q->lock);
		port_spin_lock(&mine->lock);
		WRITE_ONCE(timer->cpu, port_cpu());
		q = mine;
	}
	timer->armed = true;
	heap_add(&q->root, timer);
	if (q == mine) /* the other one is about to look at its queue */
		program(q);
	unlock(q, flags);
}

bool machine_timer_cancel(struct machine_timer *timer)
{
	unsigned long flags;
	struct timer_queue *q;
	bool was;

	for (;;) {
		q = lock_of(timer, &flags);
		was = timer->armed;
		if (was) {
			heap_del(&q->root, timer);
			timer->armed = false;
		}
		/* In its own function there is nothing to wait for. */
		if (q->running != timer || q == &queues[port_cpu()])
			break;
		unlock(q, flags);
		port_relax();
	}
	unlock(q, flags);
	return was;
}

static void run_timers(struct timer_queue *q)
{
	struct machine_timer *t;

	port_spin_lock(&q->lock);
	while ((t = q->root) && t->expires <= clock_now_ns()) {
		heap_del(&q->root, t);
		t->armed = false;
		q->running = t;
		port_spin_unlock(&q->lock);
		t->fn(t);
		port_spin_lock(&q->lock);
		q->running = NULL;
	}
	port_spin_unlock(&q->lock);
}

static bool tick_due(struct timer_queue *q)
{
	u64 now = clock_now_ns();

	if (q->tick_at > now)
		return false;
	q->tick_at += q->tick_period;
	if (q->tick_at <= now) /* some were missed */
		q->tick_at = now + q->tick_period;
	return true;
}

/* VEC_TIMER: interrupts off, on this CPU. */
void clock_interrupt(void)
{
	struct timer_queue *q = &queues[port_cpu()];

	q->set_for = NEVER; /* one shot: it is set for nothing now */
	run_timers(q);
	if (tick_due(q))
		metal_tick();
	port_spin_lock(&q->lock);
	q->set_for = NEVER;
	program(q);
	port_spin_unlock(&q->lock);
}

void clock_tick(u64 period_ns)
{
	unsigned long flags;
	struct timer_queue *q = lock_mine(&flags);

	q->tick_period = period_ns;
	q->tick_at = period_ns ? clock_now_ns() + period_ns : NEVER;
	program(q);
	unlock(q, flags);
}

/* ---- setting up -------------------------------------------------------------
 */

/* Ticks of the local APIC's timer in 10 ms of the TSC. */
static void calibrate_apic(void)
{
	u64 end, from, to;
	u32 left;

	apic_timer_setup(false);
	apic_timer_oneshot(~0u);
	from = x86_rdtsc();
	end = from + clock_sys.hz / 100;
	while ((to = x86_rdtsc()) < end)
		x86_pause();
	left = apic_timer_left();
	apic_timer_oneshot(0);
	if (left == ~0u || to == from) {
		pr_err("time: the local APIC's timer does not run");
		return;
	}
	clock_sys.apic_mult =
		mul_div(mul_div(~0u - left, clock_sys.hz, to - from),
			1ull << 32, 1000000000u);
}

static void read_wall(void)
{
	u64 sec = rtc_read();

	if (!sec)
		pr_warn("time: no battery clock: it is 1970");
	clock_sys.wall = sec * 1000000000ull - clock_now_ns();
}

void clock_init_cpu(void)
{
	struct timer_queue *q = &queues[port_cpu()];

	apic_timer_setup(clock_sys.deadline);
	q->tick_at = q->set_for = NEVER;
	q->up = clock_sys.deadline || clock_sys.apic_mult;
}

void clock_init(void)
{
	const char *how;
	u32 leaf[4];

	clock_sys.hz = tsc_calibrate(&how);
	clock_sys.mult = (1000000000ull << 32) / clock_sys.hz;
	clock_sys.tsc_mult = mul_div(clock_sys.hz, 1ull << 32, 1000000000u);
	clock_sys.base = x86_rdtsc();
	clock_sys.on = true;
	for (u32 i = 0; i < MM_NR_CPUS; i++)
		queues[i].tick_at = queues[i].set_for = NEVER;
	x86_cpuid(1, 0, leaf);
	clock_sys.deadline = leaf[2] >> 24 & 1;
	pr_info("time: TSC %llu.%03llu MHz by %s, timer by %s",
		(unsigned long long)clock_sys.hz / 1000000,
		(unsigned long long)clock_sys.hz / 1000 % 1000, how,
		clock_sys.deadline ? "deadline" : "counts");
	if (!clock_sys.deadline)
		calibrate_apic();
	read_wall();
	clock_init_cpu();
}
