/* SPDX-License-Identifier: MIT */
/*
 * lockdep.h - the lock-order checker of debug builds (MM_DEBUG >= 1).
 *
 * It reports, through port_panic(), before the machine can hang:
 *  - an order of lock classes that contradicts one seen before, directly or
 *    through others, with both chains by name;
 *  - a lock taken again by its holder, and two locks of one class held
 *    together without LOCKDEP_NEST1 on the inner one (a trylock is free of
 *    this and of the order);
 *  - a sleep, or a sleeping lock, while a spinlock is held, preemption or
 *    interrupts are off, in a read section or in an interrupt;
 *  - a class taken in an interrupt that is elsewhere taken with interrupts on;
 *  - the release of a lock that the task does not hold.
 *
 * What a task holds is written in its struct mm_task, so it costs no lock.
 * In release builds everything here compiles to nothing.
 */
#ifndef MM_BASE_LOCKDEP_H
#define MM_BASE_LOCKDEP_H

#include "base/assert.h"
#include "base/lock_class.h"

struct seq_buf;

/* How a lock is taken: one of the first two, and any of the others. */
#define LOCKDEP_SPIN   0x01u /* the holder must not sleep */
#define LOCKDEP_SLEEP  0x02u /* acquiring may sleep */
#define LOCKDEP_READ   0x04u /* shared */
#define LOCKDEP_TRY    0x08u /* has been acquired without waiting */
#define LOCKDEP_IRQOFF 0x10u /* interrupts go off with it */
#define LOCKDEP_NEST1  0x20u /* subclass 1: inside one of the same class */
#define LOCKDEP_IN_IRQ 0x40u /* set by the checker */
#define LOCKDEP_MARK   0x80u /* not a lock: a section that must not sleep */

/* The checked forms; use the inline ones below. */
void lockdep_do_acquire(enum lock_class class_id, const void *lock, u32 kind);
void lockdep_do_release(const void *lock);
void lockdep_do_might_sleep(const struct mm_where *w);
bool lockdep_do_held(const void *lock, u32 kind);

/*
 * lockdep_acquire: the running task is about to take LOCK (with LOCKDEP_TRY:
 * has taken it). Call before waiting, so that a deadlock is reported rather
 * than entered.
 */
static inline void lockdep_acquire(enum lock_class class_id, const void *lock,
				   u32 kind)
{
	if (MM_DEBUG >= 1)
		lockdep_do_acquire(class_id, lock, kind);
}

/*
 * lockdep_release: the running task gives LOCK up; in any order. Also used
 * when it hands LOCK over to somebody who will unlock it without telling the
 * checker (a page under I/O is unlocked by the completion).
 */
static inline void lockdep_release(const void *lock)
{
	if (MM_DEBUG >= 1)
		lockdep_do_release(lock);
}

/* lockdep_held: does the running task hold LOCK? True in release builds. */
static inline bool lockdep_held(const void *lock)
{
	return MM_DEBUG < 1 || lockdep_do_held(lock, 0);
}

#define lockdep_assert_held(lock) mm_assert(lockdep_do_held(lock, 0))

/* A section without sleep that is not a lock; KEY pairs begin and end. */
static inline void lockdep_mark(const void *key, u32 kind)
{
	if (MM_DEBUG >= 1)
		lockdep_do_acquire(LOCK_CLASS_NONE, key,
				   kind | LOCKDEP_SPIN | LOCKDEP_MARK);
}

/* might_sleep: this place may sleep; checked whether or not it does. */
#define might_sleep()                                                      \
	do {                                                               \
		if (MM_DEBUG >= 1)                                         \
			lockdep_do_might_sleep(MM_WHERE("might_sleep()")); \
	} while (0)

/*
 * lockdep_dump: print the classes seen and, for each, what was taken under
 * it: "a -> b, c". Locks: takes the checker's own.
 */
void lockdep_dump(struct seq_buf *s);

/* lockdep_assert_none_held: the running task holds nothing (thread exit). */
void lockdep_assert_none_held(void);

#endif
