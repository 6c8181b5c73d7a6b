/* SPDX-License-Identifier: MIT */
/*
 * percpu_counter.c - counts with a share for each CPU.
 *
 * Invariant: the truth is count plus all shares; a share's size is below the
 * batch that was used last on its CPU. A share is changed by its own CPU only,
 * by one atomic step, so interrupts need not be kept out; it is folded into
 * count under the lock, by taking exactly what is added.
 */
#include <mmkit/percpu_counter.h>

#include <mmkit/errno.h>

#include "base/spinlock.h"

#define BATCH_MIN 32

MM_STATIC_ASSERT(sizeof(spinlock_t) == sizeof(u64), "the public field's size");

static spinlock_t *lock_of(struct percpu_counter *c)
{
	return (spinlock_t *)&c->lock;
}

int percpu_counter_init(struct percpu_counter *c, s64 amount, gfp_t gfp)
{
	s32 *counters = alloc_percpu_gfp(s32, gfp);

	if (!counters)
		return -ENOMEM;
	spin_lock_init(lock_of(c), LOCK_CLASS_PERCPU_COUNTER);
	c->count = amount;
	c->counters = counters;
	return 0;
}

void percpu_counter_destroy(struct percpu_counter *c)
{
	free_percpu(c->counters);
	c->counters = NULL;
}

s32 percpu_counter_batch(void)
{
	return max(BATCH_MIN, 2 * port_nr_cpus());
}

/* N, and what SHARE has, into the count. */
static void fold(struct percpu_counter *c, s32 *share, s64 n)
{
	unsigned long flags;

	spin_lock_irqsave(lock_of(c), flags);
	n += __atomic_exchange_n(share, 0, __ATOMIC_RELAXED);
	WRITE_ONCE(c->count, c->count + n);
	spin_unlock_irqrestore(lock_of(c), flags);
}

void percpu_counter_add_batch(struct percpu_counter *c, s64 n, s32 batch)
{
	s32 *share, now;

	mm_assert(c->counters != NULL && batch > 0);
	preempt_disable();
	share = this_cpu_ptr(c->counters);
	now = READ_ONCE(*share);
	do {
		s64 sum = now + n;

		if (sum >= batch || sum <= -(s64)batch) {
			fold(c, share, n);
			break;
		}
	} while (!__atomic_compare_exchange_n(share, &now, (s32)(now + n),
					      false, __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
	preempt_enable();
}

void percpu_counter_set(struct percpu_counter *c, s64 amount)
{
	unsigned long flags;

	spin_lock_irqsave(lock_of(c), flags);
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
		WRITE_ONCE(*per_cpu_ptr(c->counters, cpu), 0);
	WRITE_ONCE(c->count, amount);
	spin_unlock_irqrestore(lock_of(c), flags);
}

s64 percpu_counter_sum(struct percpu_counter *c)
{
	unsigned long flags;
	s64 sum;

	spin_lock_irqsave(lock_of(c), flags);
	sum = c->count;
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
		sum += READ_ONCE(*per_cpu_ptr(c->counters, cpu));
	spin_unlock_irqrestore(lock_of(c), flags);
	return sum;
}

static int order(s64 a, s64 b)
{
	return (a > b) - (a < b);
}

int percpu_counter_compare(struct percpu_counter *c, s64 rhs)
{
	s64 off = (s64)percpu_counter_batch() * port_nr_cpus();
	s64 rough = percpu_counter_read(c);

	if (rough - rhs > off || rhs - rough > off)
		return order(rough, rhs);
	return order(percpu_counter_sum(c), rhs);
}
