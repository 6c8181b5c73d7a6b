/* SPDX-License-Identifier: MIT */
/*
 * rwsem.c - sleeping reader-writer locks.
 *
 * 1. count holds the number of readers (from bit 8), WRITER and WAITERS.
 * 2. Invariants. Never WRITER together with readers. WAITERS is set whenever
 *    the queue is not empty and its lock is free; while it is set nobody gets
 *    in except through the queue.
 * 3. The queue is first in, first out. Whoever releases the last share, and
 *    whoever joins, grants from its head as much as fits: one writer, or all
 *    readers up to the next writer. A granted request owns its share before
 *    its thread runs, so nobody can overtake it.
 * 4. No wake-up is lost: a request sets WAITERS before it tries to be granted
 *    (under the queue's lock); a release before that is seen by the try, one
 *    after it sees the flag and grants.
 * 5. No side starves: requests are granted in order, and every holder leaves.
 * 6. Rejected: letting readers overtake (writers starve); letting writers
 *    steal (more throughput, but no bound on waiting).
 */
#include "base/rwsem.h"

#include "base/assert.h"
#include "base/atomic.h"

#define RWSEM_WRITER  1ul
#define RWSEM_WAITERS 2ul
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

/* Take a share unless one of the bits in BAR or an incompatible holder is
 * there. */
static bool try_take(struct rw_semaphore *sem, bool write, u64 bar)
{
	u64 v = READ_ONCE(sem->count);
	u64 add = write ? RWSEM_WRITER : RWSEM_READER;

	bar |= write ? ~RWSEM_WAITERS : RWSEM_WRITER;
	while (!(v & bar)) {
		if (mm_try_cmpxchg(&sem->count, &v, v + add))
			return true;
	}
	return false;
}

/* Serve the head of the queue. Locks: sem->lock. */
static void grant(struct rw_semaphore *sem)
{
	struct rwsem_waiter *w, *next;

	list_for_each_entry_safe (w, next, &sem->waiters, entry) {
		if (!try_take(sem, w->write, 0))
			break;
		if (w->write)
			WRITE_ONCE(sem->owner, w->task);
		list_del(&w->entry);
		w->granted = true;
		if (w->thread != port_self())
			port_unpark(w->thread);
	}
	if (list_empty(&sem->waiters))
		(void)mm_fetch_and(&sem->count, ~RWSEM_WAITERS);
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
	}
	spin_unlock_irqrestore(&sem->lock, irq);
}

static void grant_after_release(struct rw_semaphore *sem)
{
	unsigned long irq;

	spin_lock_irqsave(&sem->lock, irq);
	grant(sem);
	spin_unlock_irqrestore(&sem->lock, irq);
}

void down_read(struct rw_semaphore *sem)
{
	port_sched_point();
	lockdep_acquire((enum lock_class)sem->class_id, sem,
			LOCKDEP_SLEEP | LOCKDEP_READ);
	if (!try_take(sem, false, RWSEM_WAITERS))
		take_slow(sem, false);
}

bool down_read_trylock(struct rw_semaphore *sem)
{
	port_sched_point();
	if (!try_take(sem, false, RWSEM_WAITERS))
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
	if (v == (RWSEM_READER | RWSEM_WAITERS))
		grant_after_release(sem);
	port_sched_point();
}

static void down_write_common(struct rw_semaphore *sem, u32 kind)
{
	port_sched_point();
	lockdep_acquire((enum lock_class)sem->class_id, sem,
			LOCKDEP_SLEEP | kind);
	if (try_take(sem, true, RWSEM_WAITERS))
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
	if (!try_take(sem, true, RWSEM_WAITERS))
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
	mm_verify((v & ~RWSEM_WAITERS) == RWSEM_WRITER);
	if (v & RWSEM_WAITERS)
		grant_after_release(sem);
	port_sched_point();
}

void downgrade_write(struct rw_semaphore *sem)
{
	u64 v;

	mm_verify(READ_ONCE(sem->owner) == port_current());
	WRITE_ONCE(sem->owner, NULL);
	v = mm_fetch_add(&sem->count, RWSEM_READER - RWSEM_WRITER);
	mm_verify((v & ~RWSEM_WAITERS) == RWSEM_WRITER);
	if (v & RWSEM_WAITERS)
		grant_after_release(sem);
	port_sched_point();
}

bool rwsem_is_locked(const struct rw_semaphore *sem)
{
	return (READ_ONCE(sem->count) & ~RWSEM_WAITERS) != 0;
}

bool rwsem_is_contended(struct rw_semaphore *sem)
{
	return (READ_ONCE(sem->count) & RWSEM_WAITERS) != 0;
}
