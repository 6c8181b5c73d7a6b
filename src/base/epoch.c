/* SPDX-License-Identifier: MIT */
/*
 * epoch.c - read sections and deferred calls.
 *
 * 1. A global counter, the epoch. A CPU in a read section shows the epoch at
 *    which the section began (plus one; 0 means none). An object is unlinked,
 *    then stamped with the epoch; its call is due when no CPU shows that
 *    epoch or an older one.
 * 2. Why that is enough. A section that shows a newer epoch read the counter
 *    after it was advanced, hence after the stamp, hence after the unlinking:
 *    it cannot reach the object. One that shows nothing when it is looked at
 *    shows its epoch before its first read (full barrier), and the looker
 *    unlinked before looking (full barrier): one of the two sees the other.
 * 3. Every poll advances the epoch first, so sections that begin later do not
 *    hold up what was deferred before.
 * 4. A section pins its CPU, so the per-CPU count needs no atomics but for
 *    the looker; an interrupt nests inside and leaves it as it was.
 * 5. Deferred calls wait in one stack per CPU, pushed by compare-and-swap and
 *    taken whole by exchange, so there is no ABA problem and any context may
 *    defer. A poll makes the calls that are due and pushes the rest back.
 * 6. Rejected: one global reader count (a cache line that all CPUs share);
 *    grace periods from scheduler ticks (the port tells of none); a thread
 *    that makes the calls (base/ has no threads; policy/ may poll in its own).
 * 7. References: Fraser, "Practical lock-freedom", 2004, section 5.2.3.
 */
#include "base/epoch.h"

#include <mmkit/port.h>

#include "base/assert.h"
#include "base/atomic.h"
#include "base/lockdep.h"

/* Rounds of looking at a CPU before sleeping, and for how long. */
#define SPIN_ROUNDS 64
#define NAP_NS	    20000ul

void epoch_enter(void)
{
	struct epoch_cpu *c;

	port_pin();
	lockdep_mark(&base_sys.epochs, 0);
	c = &base_sys.epochs[port_cpu()];
	if (c->nested++ == 0) {
		u64 now = smp_load_acquire(&base_sys.epoch);

		(void)mm_xchg(&c->local, now + 1);
		smp_mb();
	}
}

void epoch_exit(void)
{
	struct epoch_cpu *c = &base_sys.epochs[port_cpu()];

	mm_verify(c->nested > 0);
	if (--c->nested == 0)
		smp_store_release(&c->local, 0ul);
	lockdep_release(&base_sys.epochs);
	port_unpin();
}

bool epoch_in_section(void)
{
	return base_sys.epochs[port_cpu()].nested > 0;
}

/* Hang the chain FIRST..LAST onto CPU's stack. */
static void push(int cpu, struct epoch_head *first, struct epoch_head *last)
{
	struct epoch_head **top = &base_sys.epochs[cpu].pending;
	struct epoch_head *was = READ_ONCE(*top);

	do {
		last->next = was;
	} while (!mm_try_cmpxchg(top, &was, first));
}

void epoch_defer(struct epoch_head *head, void (*fn)(struct epoch_head *head))
{
	mm_assert(fn);
	head->fn = fn;
	/* The unlinking before the stamp. */
	smp_mb();
	head->epoch = smp_load_acquire(&base_sys.epoch);
	mm_fetch_add(&base_sys.epoch_pending, 1);
	push(port_cpu(), head, head);
}

/* Advance, and return the oldest epoch that a section shows (or none). */
static u64 oldest_reader(void)
{
	u64 oldest = UINT64_MAX;

	mm_fetch_add(&base_sys.epoch, 1);
	smp_mb();
	for (int cpu = 0; cpu < MM_NR_CPUS; cpu++) {
		u64 local = __atomic_load_n(&base_sys.epochs[cpu].local,
					    __ATOMIC_SEQ_CST);

		if (local && local - 1 < oldest)
			oldest = local - 1;
	}
	return oldest;
}

/* Make the calls of LIST that are due; the rest goes back to CPU's stack. */
static u64 run_due(int cpu, struct epoch_head *list, u64 oldest)
{
	struct epoch_head *keep = NULL, *last = NULL, *next;
	u64 made = 0;

	for (; list; list = next) {
		next = list->next;
		if (list->epoch < oldest) {
			list->fn(list);
			mm_fetch_add(&base_sys.epoch_pending, -1ul);
			made++;
			continue;
		}
		list->next = keep;
		keep = list;
		if (!last)
			last = list;
	}
	if (keep)
		push(cpu, keep, last);
	return made;
}

u64 epoch_poll(void)
{
	struct epoch_head *list[MM_NR_CPUS];
	u64 oldest, made = 0;

	if (!epoch_pending())
		return 0;
	/* Taken before looking: what is deferred later is not judged. */
	for (int cpu = 0; cpu < MM_NR_CPUS; cpu++) {
		list[cpu] = READ_ONCE(base_sys.epochs[cpu].pending);
		if (list[cpu])
			list[cpu] =
				mm_xchg(&base_sys.epochs[cpu].pending, NULL);
	}
	oldest = oldest_reader();
	for (int cpu = 0; cpu < MM_NR_CPUS; cpu++)
		made += run_due(cpu, list[cpu], oldest);
	return made;
}

/* Until CPU shows no epoch at or before EPOCH. */
static void wait_for_cpu(int cpu, u64 epoch)
{
	const struct epoch_cpu *c = &base_sys.epochs[cpu];
	u32 rounds = 0;

	for (;;) {
		u64 local = __atomic_load_n(&c->local, __ATOMIC_SEQ_CST);

		if (!local || local - 1 > epoch)
			return;
		if (++rounds % SPIN_ROUNDS == 0)
			(void)port_park(NAP_NS);
		else
			port_relax();
	}
}

void epoch_synchronize(void)
{
	u64 before;

	might_sleep();
	smp_mb();
	before = mm_fetch_add(&base_sys.epoch, 1);
	smp_mb();
	for (int cpu = 0; cpu < MM_NR_CPUS; cpu++)
		wait_for_cpu(cpu, before);
	(void)epoch_poll();
}

void epoch_drain(void)
{
	while (epoch_pending())
		epoch_synchronize();
}

u64 epoch_pending(void)
{
	return __atomic_load_n(&base_sys.epoch_pending, __ATOMIC_SEQ_CST);
}
