/* SPDX-License-Identifier: MIT */
/*
 * spinlock.h - spinlocks on the port's lock word, 8 bytes each.
 *
 * A holder is pinned to its CPU and must not sleep. A lock that is also taken
 * in interrupts must be taken with the irqsave forms everywhere. Zeroed
 * memory is an unlocked lock of class NONE (no order checked). Debug builds
 * record the owner and tell the order checker (base/lockdep.h).
 *
 * Every lock is a place where the sim world may run others: before it is
 * taken and after it is given back.
 */
#ifndef MM_BASE_SPINLOCK_H
#define MM_BASE_SPINLOCK_H

#include <mmkit/port.h>

#include "base/lockdep.h"

typedef struct spinlock {
	u32 word;	  /* the port's; 0: free */
	u16 class_id;	  /* enum lock_class */
	u16 cpu_plus_one; /* debug: who holds it */
} spinlock_t;

MM_STATIC_ASSERT(sizeof(spinlock_t) == 8, "spinlocks stay small");

#define SPIN_LOCK_UNLOCKED(class)   \
	{                           \
		.class_id = (class) \
	}

static inline void spin_lock_init(spinlock_t *lock, enum lock_class class_id)
{
	*lock = (spinlock_t)SPIN_LOCK_UNLOCKED((u16)class_id);
}

/* ---- preemption and interrupts --------------------------------------------
 *
 * The port's pin and interrupt guards, known to the checker.
 */

/* Stay on this CPU, others off it; nests. No sleep until preempt_enable(). */
static inline void preempt_disable(void)
{
	port_pin();
	lockdep_mark(&base_sys.irq, 0);
}

static inline void preempt_enable(void)
{
	lockdep_release(&base_sys.irq);
	port_unpin();
}

/* Pin and return the CPU's number. */
static inline int get_cpu(void)
{
	preempt_disable();
	return port_cpu();
}

static inline void put_cpu(void)
{
	preempt_enable();
}

/* FLAGS is an unsigned long variable; the same one must be restored. */
#define local_irq_save(flags)                           \
	do {                                            \
		(flags) = port_irq_save();              \
		lockdep_mark(&(flags), LOCKDEP_IRQOFF); \
	} while (0)
#define local_irq_restore(flags)           \
	do {                               \
		lockdep_release(&(flags)); \
		port_irq_restore(flags);   \
	} while (0)

/* ---- the lock --------------------------------------------------------------
 */

static inline void spin_set_owner(spinlock_t *lock)
{
	if (MM_DEBUG >= 1)
		WRITE_ONCE(lock->cpu_plus_one, (u16)(port_cpu() + 1));
}

/* The caller is pinned. */
static inline void spin_acquire(spinlock_t *lock, u32 kind)
{
	lockdep_acquire((enum lock_class)lock->class_id, lock,
			kind | LOCKDEP_SPIN);
	port_spin_lock(&lock->word);
	spin_set_owner(lock);
}

static inline void spin_release(spinlock_t *lock)
{
	mm_assert_eq(READ_ONCE(lock->cpu_plus_one), port_cpu() + 1);
	lockdep_release(lock);
	if (MM_DEBUG >= 1)
		WRITE_ONCE(lock->cpu_plus_one, 0);
	port_spin_unlock(&lock->word);
}

/* spin_lock: wait for LOCK; pinned until spin_unlock(). */
static inline void spin_lock(spinlock_t *lock)
{
	port_sched_point();
	port_pin();
	spin_acquire(lock, 0);
}

/* spin_lock_nested: inside another of the same class; SUBCLASS is 0 or 1. */
static inline void spin_lock_nested(spinlock_t *lock, int subclass)
{
	port_sched_point();
	port_pin();
	spin_acquire(lock, subclass ? LOCKDEP_NEST1 : 0);
}

static inline void spin_unlock(spinlock_t *lock)
{
	spin_release(lock);
	port_unpin();
	port_sched_point();
}

/* spin_trylock: true if LOCK was free and is the caller's now. */
static inline bool spin_trylock(spinlock_t *lock)
{
	port_sched_point();
	port_pin();
	if (!port_spin_trylock(&lock->word)) {
		port_unpin();
		return false;
	}
	lockdep_acquire((enum lock_class)lock->class_id, lock,
			LOCKDEP_SPIN | LOCKDEP_TRY);
	spin_set_owner(lock);
	return true;
}

/*
 * spin_lock_free: spin_lock() if LOCK is free, else false. For fast ways that
 * leave the waiting to a function of its own: who is told false calls that,
 * so the order of locks is checked as of a lock that is waited for.
 */
static inline bool spin_lock_free(spinlock_t *lock)
{
	port_sched_point();
	port_pin();
	if (unlikely(!port_spin_trylock(&lock->word))) {
		port_unpin();
		return false;
	}
	lockdep_acquire((enum lock_class)lock->class_id, lock, LOCKDEP_SPIN);
	spin_set_owner(lock);
	return true;
}

static inline unsigned long spin_lock_irqsave_get(spinlock_t *lock, u32 kind)
{
	unsigned long flags;

	port_sched_point();
	flags = port_irq_save();
	spin_acquire(lock, kind | LOCKDEP_IRQOFF);
	return flags;
}

static inline void spin_unlock_irqrestore(spinlock_t *lock, unsigned long flags)
{
	spin_release(lock);
	port_irq_restore(flags);
	port_sched_point();
}

/* Interrupts off, then the lock; FLAGS is an unsigned long variable. */
#define spin_lock_irqsave(lock, flags) \
	((flags) = spin_lock_irqsave_get(lock, 0))
#define spin_lock_irqsave_nested(lock, flags, subclass) \
	((flags) = spin_lock_irqsave_get(lock, (subclass) ? LOCKDEP_NEST1 : 0))

/* The lock is free: interrupts off and true; else nothing and false. */
#define spin_trylock_irqsave(lock, flags) \
	spin_trylock_irqsave_get(lock, &(flags))
static inline bool spin_trylock_irqsave_get(spinlock_t *lock,
					    unsigned long *flags)
{
	unsigned long saved;

	port_sched_point();
	saved = port_irq_save();
	if (!port_spin_trylock(&lock->word)) {
		port_irq_restore(saved);
		return false;
	}
	lockdep_acquire((enum lock_class)lock->class_id, lock,
			LOCKDEP_SPIN | LOCKDEP_TRY | LOCKDEP_IRQOFF);
	spin_set_owner(lock);
	*flags = saved;
	return true;
}

/* The word is kept per CPU; of nested pairs the outermost restores it. */
static inline void spin_lock_irq(spinlock_t *lock)
{
	unsigned long flags = spin_lock_irqsave_get(lock, 0);
	struct irq_cpu *c = &base_sys.irq[port_cpu()];

	if (c->depth++ == 0)
		c->flags = flags;
}

static inline void spin_unlock_irq(spinlock_t *lock)
{
	struct irq_cpu *c = &base_sys.irq[port_cpu()];

	mm_verify(c->depth > 0);
	spin_release(lock);
	if (--c->depth == 0)
		port_irq_restore(c->flags);
	port_sched_point();
}

static inline bool spin_is_locked(const spinlock_t *lock)
{
	return READ_ONCE(lock->word) != 0;
}

/* assert_spin_locked: LOCK is held; in debug builds: by this CPU. */
#define assert_spin_locked(lock)                                               \
	do {                                                                   \
		mm_assert(spin_is_locked(lock));                               \
		mm_assert_eq(READ_ONCE((lock)->cpu_plus_one), port_cpu() + 1); \
	} while (0)

#endif
