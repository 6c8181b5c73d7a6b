/* SPDX-License-Identifier: MIT */
/*
 * mutex.c - sleeping locks with one owner.
 *
 * 1. The owner word holds the owner's task and two flags: WAITERS (the list
 *    is not empty: an unlock must go the slow way) and HANDOFF (the first
 *    waiter was woken in vain once: the next unlock gives it the mutex).
 * 2. Invariants. WAITERS is set whenever the list is not empty and the list's
 *    lock is free. Only the first waiter or a newcomer takes a free mutex,
 *    and with HANDOFF set nobody does: it changes hands at the unlock.
 * 3. No wake-up is lost: a waiter sets WAITERS under the list's lock and then
 *    tries once more; an unlock that came before left the word free for that
 *    try, one that comes after sees the flag and takes the lock to wake.
 * 4. No waiter starves: the first waiter loses the race against newcomers at
 *    most once, and the queue is first in, first out.
 * 5. Rejected: always handing over (each contended unlock would cost a switch
 *    before anybody goes on); spinning for a running owner (needs to know
 *    who runs, which the port does not tell).
 */
#include "base/mutex.h"

#include "base/assert.h"
#include "base/atomic.h"

#define MUTEX_WAITERS 1ul
#define MUTEX_HANDOFF 2ul
#define MUTEX_FLAGS   3ul

MM_STATIC_ASSERT(_Alignof(struct mm_task) >= 4, "two bits for the flags");

struct mutex_waiter {
	struct list_head entry;
	struct port_thread *thread;
	u64 task;
};

void mutex_init(struct mutex *m, enum lock_class class_id)
{
	m->owner = 0;
	spin_lock_init(&m->lock, LOCK_CLASS_WAITQ);
	INIT_LIST_HEAD(&m->waiters);
	m->class_id = (u16)class_id;
}

/* Take a free mutex; FIRST: as first waiter, to whom HANDOFF is no bar. */
static bool try_take(struct mutex *m, u64 me, bool first)
{
	u64 v = READ_ONCE(m->owner);

	while (!(v & ~MUTEX_FLAGS)) {
		if ((v & MUTEX_HANDOFF) && !first)
			return false;
		if (mm_try_cmpxchg(&m->owner, &v, me | (v & MUTEX_WAITERS)))
			return true;
	}
	return false;
}

/* Is it ours, by hand-over or by taking it? Locks: m->lock. */
static bool waiter_got_it(struct mutex *m, const struct mutex_waiter *w)
{
	if ((READ_ONCE(m->owner) & ~MUTEX_FLAGS) == w->task)
		return true;
	return try_take(m, w->task, m->waiters.next == &w->entry);
}

/* Queue up, and sleep until the mutex is ours. */
static void lock_slow(struct mutex *m, u64 me)
{
	struct mutex_waiter w = {.thread = port_self(), .task = me};
	unsigned long irq;
	bool slept = false;

	spin_lock_irqsave(&m->lock, irq);
	list_add_tail(&w.entry, &m->waiters);
	(void)mm_fetch_or(&m->owner, MUTEX_WAITERS);
	while (!waiter_got_it(m, &w)) {
		if (slept && m->waiters.next == &w.entry) {
			(void)mm_fetch_or(&m->owner, MUTEX_HANDOFF);
			/* It may have been freed just before the flag. */
			if (waiter_got_it(m, &w))
				break;
		}
		spin_unlock_irqrestore(&m->lock, irq);
		port_park(UINT64_MAX);
		slept = true;
		spin_lock_irqsave(&m->lock, irq);
	}
	list_del(&w.entry);
	if (list_empty(&m->waiters))
		(void)mm_fetch_and(&m->owner, ~MUTEX_FLAGS);
	spin_unlock_irqrestore(&m->lock, irq);
}

static void lock_common(struct mutex *m, u32 kind)
{
	u64 me = (u64)port_current(), expect = 0;

	port_sched_point();
	lockdep_acquire((enum lock_class)m->class_id, m, LOCKDEP_SLEEP | kind);
	if (!mm_try_cmpxchg(&m->owner, &expect, me))
		lock_slow(m, me);
	mm_verify(mutex_owner(m) == port_current());
}

void mutex_lock(struct mutex *m)
{
	lock_common(m, 0);
}

void mutex_lock_nested(struct mutex *m, int subclass)
{
	lock_common(m, subclass ? LOCKDEP_NEST1 : 0);
}

bool mutex_trylock(struct mutex *m)
{
	port_sched_point();
	if (!try_take(m, (u64)port_current(), false))
		return false;
	lockdep_acquire((enum lock_class)m->class_id, m,
			LOCKDEP_SLEEP | LOCKDEP_TRY);
	return true;
}

/* There are waiters: hand over, or set free and wake the first. */
static void unlock_slow(struct mutex *m)
{
	struct mutex_waiter *first;
	unsigned long irq;
	u64 v;

	spin_lock_irqsave(&m->lock, irq);
	first = list_first_entry_or_null(&m->waiters, struct mutex_waiter,
					 entry);
	v = READ_ONCE(m->owner);
	mm_verify(first && (v & MUTEX_WAITERS));
	/* Flags change under m->lock, the owner only by us: v is current. */
	__atomic_store_n(&m->owner,
			 MUTEX_WAITERS | (v & MUTEX_HANDOFF ? first->task : 0),
			 __ATOMIC_SEQ_CST);
	port_unpark(first->thread);
	spin_unlock_irqrestore(&m->lock, irq);
}

void mutex_unlock(struct mutex *m)
{
	u64 me = (u64)port_current(), v = me;

	mm_verify(mutex_owner(m) == port_current());
	lockdep_release(m);
	if (!mm_try_cmpxchg(&m->owner, &v, 0))
		unlock_slow(m);
	port_sched_point();
}
