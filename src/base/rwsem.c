/* SPDX-License-Identifier: MIT */
/*
 * rwsem.c - sleeping reader-writer locks.
 *
 * 1. count holds the number of readers (from bit 8), WRITER, and what is to be
 *    known of the queue: WAITERS, WOKEN, HANDOFF.
 * 2. Invariants. Never WRITER together with readers. WAITERS is set whenever
 *    the queue is not empty and its lock is free. A granted request owns its
 *    share before its thread runs.
 * 3. The queue is first in, first out. Who releases the last share wakes its
 *    head (WOKEN), and until that one runs anybody who comes by may take the
 *    lock, if it is free; not if readers have it, for their end would never
 *    come. A head that was woken in vain sets HANDOFF: from then on nobody gets
 *    in but through the queue, and the next release grants from its head as
 *    much as fits: one writer, or all readers up to the next writer.
 * 4. No wake-up is lost: a request sets WAITERS before it tries to be granted
 *    (under the queue's lock); a release before that is seen by the try, one
 *    after it sees the flag. WOKEN keeps a release from waking a second time;
 *    the head clears it before its try, so that a release which saw it is seen
 *    by the try.
 * 5. No side starves: a head waits for its thread to run and then for one
 *    holder more, whoever else comes, and every holder leaves.
 * 6. Rejected: granting at each release (as many switches of threads as
 *    releases once a queue has formed, and a lock that nobody uses while its
 *    next owner is on its way to a CPU: 16 threads in madvise(2) on 4 CPUs took
 *    four times as long); letting readers overtake waiting writers.
 */
#include "base/rwsem.h"

#include "base/assert.h"
#include "base/atomic.h"

#define RWSEM_WRITER  1ul
#define RWSEM_WAITERS 2ul
#define RWSEM_WOKEN   4ul /* the head is on its way to a CPU */
#define RWSEM_HANDOFF 8ul /* it was there in vain */
#define RWSEM_FLAGS   (RWSEM_WAITERS | RWSEM_WOKEN | RWSEM_HANDOFF)
#define RWSEM_READER  256ul

struct rwsem_waiter {
	struct list_head entry;
	struct port_thread *thread;
	struct mm_task *task;
	bool write;
	bool granted; /* under sem->lock */
};

void init_rwsem(struct rw_semaphore *sem, enum lock_class class_id)
{
	sem->count = 0;
	sem->owner = NULL;
	spin_lock_init(&sem->lock, LOCK_CLASS_WAITQ);
	INIT_LIST_HEAD(&sem->waiters);
	sem->class_id = (u16)class_id;
}

/* May a share be taken of a lock with COUNT? COMER: by one who has not queued.
 */
static bool may_take(u64 count, bool write, bool comer)
{
	u64 holders = count & ~RWSEM_FLAGS;

	if (comer &&
	    ((count & RWSEM_HANDOFF) || ((count & RWSEM_WAITERS) && holders)))
		return false;
	return write ? !holders : !(holders & RWSEM_WRITER);
}

static bool try_take(struct rw_semaphore *sem, bool write, bool comer)
{
	u64 v = READ_ONCE(sem->count);
	u64 add = write ? RWSEM_WRITER : RWSEM_READER;

	while (may_take(v, write, comer)) {
		if (mm_try_cmpxchg(&sem->count, &v, v + add))
			return true;
	}
	return false;
}

/* Serve the head of the queue. Locks: sem->lock. */
static void grant(struct rw_semaphore *sem)
{
	struct rwsem_waiter *w, *next;
	u64 done = 0;

	list_for_each_entry_safe (w, next, &sem->waiters, entry) {
		if (!try_take(sem, w->write, false))
			break;
		if (w->write)
			WRITE_ONCE(sem->owner, w->task);
		list_del(&w->entry);
		w->granted = true;
		/* Whoever is the head now was not woken yet. */
		done = RWSEM_HANDOFF | RWSEM_WOKEN;
		if (w->thread != port_self())
			port_unpark(w->thread);
	}
	if (list_empty(&sem->waiters))
		done |= RWSEM_FLAGS;
	if (done)
		(void)mm_fetch_and(&sem->count, ~done);
}

static bool is_head(struct rw_semaphore *sem, struct rwsem_waiter *w)
{
	return list_first_entry(&sem->waiters, struct rwsem_waiter, entry) == w;
}

/* W, still waiting, was woken. Locks: sem->lock. */
static void woken(struct rw_semaphore *sem, struct rwsem_waiter *w)
{
	if (!is_head(sem, w))
		return;
	(void)mm_fetch_and(&sem->count, ~RWSEM_WOKEN);
	grant(sem);
	if (!w->granted)
		(void)mm_fetch_or(&sem->count, RWSEM_HANDOFF);
}

/* Queue up, and sleep until granted. */
static void take_slow(struct rw_semaphore *sem, bool write)
{
	struct rwsem_waiter w = {
		.thread = port_self(), .task = port_current(), .write = write};
	unsigned long irq;

	spin_lock_irqsave(&sem->lock, irq);
	list_add_tail(&w.entry, &sem->waiters);
	(void)mm_fetch_or(&sem->count, RWSEM_WAITERS);
	grant(sem);
	while (!w.granted) {
		spin_unlock_irqrestore(&sem->lock, irq);
		port_park(UINT64_MAX);
		spin_lock_irqsave(&sem->lock, irq);
		if (!w.granted)
			woken(sem, &w);
	}
	spin_unlock_irqrestore(&sem->lock, irq);
}

/* A share was given back; the count was WAS before. */
static void released(struct rw_semaphore *sem, u64 was)
{
	struct rwsem_waiter *head;
	unsigned long irq;

	if (!(was & RWSEM_WAITERS) ||
	    (was & (RWSEM_WOKEN | RWSEM_HANDOFF)) == RWSEM_WOKEN)
		return;
	spin_lock_irqsave(&sem->lock, irq);
	if (READ_ONCE(sem->count) & RWSEM_HANDOFF) {
		grant(sem);
	} else if (!list_empty(&sem->waiters) &&
		   !(mm_fetch_or(&sem->count, RWSEM_WOKEN) & RWSEM_WOKEN)) {
		head = list_first_entry(&sem->waiters, struct rwsem_waiter,
					entry);
		port_unpark(head->thread);
	}
	spin_unlock_irqrestore(&sem->lock, irq);
}

void down_read(struct rw_semaphore *sem)
{
	port_sched_point();
	lockdep_acquire((enum lock_class)sem->class_id, sem,
			LOCKDEP_SLEEP | LOCKDEP_READ);
	if (!try_take(sem, false, true))
		take_slow(sem, false);
}

bool down_read_trylock(struct rw_semaphore *sem)
{
	port_sched_point();
	if (!try_take(sem, false, true))
		return false;
	lockdep_acquire((enum lock_class)sem->class_id, sem,
			LOCKDEP_SLEEP | LOCKDEP_READ | LOCKDEP_TRY);
	return true;
}

void up_read(struct rw_semaphore *sem)
{
	u64 v;

	lockdep_release(sem);
	v = mm_fetch_add(&sem->count, -RWSEM_READER);
	mm_verify(v >= RWSEM_READER && !(v & RWSEM_WRITER));
	if ((v & ~RWSEM_FLAGS) == RWSEM_READER)
		released(sem, v);
	port_sched_point();
}

static void down_write_common(struct rw_semaphore *sem, u32 kind)
{
	port_sched_point();
	lockdep_acquire((enum lock_class)sem->class_id, sem,
			LOCKDEP_SLEEP | kind);
	if (try_take(sem, true, true))
		WRITE_ONCE(sem->owner, port_current());
	else
		take_slow(sem, true);
	mm_assert(READ_ONCE(sem->owner) == port_current());
}

void down_write(struct rw_semaphore *sem)
{
	down_write_common(sem, 0);
}

void down_write_nested(struct rw_semaphore *sem, int subclass)
{
	down_write_common(sem, subclass ? LOCKDEP_NEST1 : 0);
}

bool down_write_trylock(struct rw_semaphore *sem)
{
	port_sched_point();
	if (!try_take(sem, true, true))
		return false;
	WRITE_ONCE(sem->owner, port_current());
	lockdep_acquire((enum lock_class)sem->class_id, sem,
			LOCKDEP_SLEEP | LOCKDEP_TRY);
	return true;
}

void up_write(struct rw_semaphore *sem)
{
	u64 v;

	mm_verify(READ_ONCE(sem->owner) == port_current());
	lockdep_release(sem);
	WRITE_ONCE(sem->owner, NULL);
	/* The bit is set: so an addition clears it, in one step. */
	v = mm_fetch_add(&sem->count, -RWSEM_WRITER);
	mm_verify((v & ~RWSEM_FLAGS) == RWSEM_WRITER);
	released(sem, v);
	port_sched_point();
}

static void downgraded(struct rw_semaphore *sem)
{
	unsigned long irq;

	spin_lock_irqsave(&sem->lock, irq);
	grant(sem);
	spin_unlock_irqrestore(&sem->lock, irq);
}

void downgrade_write(struct rw_semaphore *sem)
{
	u64 v;

	mm_verify(READ_ONCE(sem->owner) == port_current());
	WRITE_ONCE(sem->owner, NULL);
	v = mm_fetch_add(&sem->count, RWSEM_READER - RWSEM_WRITER);
	mm_verify((v & ~RWSEM_FLAGS) == RWSEM_WRITER);
	/* Readers at the head may join. */
	if (v & RWSEM_WAITERS)
		downgraded(sem);
	port_sched_point();
}

bool rwsem_is_locked(const struct rw_semaphore *sem)
{
	return (READ_ONCE(sem->count) & ~RWSEM_FLAGS) != 0;
}

bool rwsem_is_contended(struct rw_semaphore *sem)
{
	return (READ_ONCE(sem->count) & RWSEM_WAITERS) != 0;
}
