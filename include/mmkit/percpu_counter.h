/* SPDX-License-Identifier: MIT */
/*
 * percpu_counter.h - a count that many CPUs change and few read: each CPU
 * collects up to a batch before it touches what all share. Linux's names.
 */
#ifndef MMKIT_PERCPU_COUNTER_H
#define MMKIT_PERCPU_COUNTER_H

#include <mmkit/percpu.h>

struct percpu_counter {
	u64 lock; /* a spinlock of the manager's */
	s64 count;
	s32 *counters; /* per CPU: not in count yet */
};

/* percpu_counter_init: starts at AMOUNT. 0 or -ENOMEM. Context: as GFP says. */
int percpu_counter_init(struct percpu_counter *c, s64 amount,
			gfp_t gfp) MM_MUST_CHECK;
/* percpu_counter_destroy: nobody uses it any more. Any context; twice is once.
 */
void percpu_counter_destroy(struct percpu_counter *c);

/* percpu_counter_add_batch: add N; the share of a CPU stays below BATCH. */
void percpu_counter_add_batch(struct percpu_counter *c, s64 n, s32 batch);

/* percpu_counter_batch: the usual batch: 32, or twice the number of CPUs. */
s32 percpu_counter_batch(void);

static inline void percpu_counter_add(struct percpu_counter *c, s64 n)
{
	percpu_counter_add_batch(c, n, percpu_counter_batch());
}

static inline void percpu_counter_inc(struct percpu_counter *c)
{
	percpu_counter_add(c, 1);
}

static inline void percpu_counter_dec(struct percpu_counter *c)
{
	percpu_counter_add(c, -1);
}

/* percpu_counter_set: to AMOUNT, while nobody adds. */
void percpu_counter_set(struct percpu_counter *c, s64 amount);

/* percpu_counter_read: at most CPUs * batch away from the truth. */
static inline s64 percpu_counter_read(const struct percpu_counter *c)
{
	return __atomic_load_n(&c->count, __ATOMIC_RELAXED);
}

/* The same, for what cannot be negative. */
static inline s64 percpu_counter_read_positive(const struct percpu_counter *c)
{
	s64 n = percpu_counter_read(c);

	return n > 0 ? n : 0;
}

/* percpu_counter_sum: the truth, while nobody adds. */
s64 percpu_counter_sum(struct percpu_counter *c);

/* percpu_counter_compare: <0, 0, >0 as the count is below, at, above RHS;
 * sums only if a rough reading does not tell. */
int percpu_counter_compare(struct percpu_counter *c, s64 rhs);

#endif
