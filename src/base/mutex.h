/* SPDX-License-Identifier: MIT */
/*
 * mutex.h - sleeping locks with one owner.
 *
 * A free mutex costs one compare-and-swap. Waiters queue; a running thread
 * may still take a mutex that has just become free, but a waiter that was
 * woken in vain is handed the mutex next, so none starves.
 *
 * The owner unlocks. Memory that holds a mutex may be freed by the last user
 * only when no other can still be inside mutex_unlock() (as in Linux).
 */
#ifndef MM_BASE_MUTEX_H
#define MM_BASE_MUTEX_H

#include "base/list.h"
#include "base/spinlock.h"

struct mutex {
	u64 owner;	 /* struct mm_task *, with the flags in bits 0..1 */
	spinlock_t lock; /* class WAITQ; guards waiters */
	struct list_head waiters;
	u16 class_id;
};

void mutex_init(struct mutex *m, enum lock_class class_id);
/* mutex_lock: until the mutex is the caller's. May sleep. */
void mutex_lock(struct mutex *m);
/* The same inside another mutex of the same class (SUBCLASS 1). */
void mutex_lock_nested(struct mutex *m, int subclass);
/* mutex_trylock: true if it was free and is the caller's now. Not in irq. */
bool mutex_trylock(struct mutex *m) MM_MUST_CHECK;
/* mutex_unlock: by the owner. Does not sleep. */
void mutex_unlock(struct mutex *m);

/* mutex_owner: the task that holds it now, or NULL. */
static inline struct mm_task *mutex_owner(const struct mutex *m)
{
	return (struct mm_task *)(READ_ONCE(m->owner) & ~3UL);
}

static inline bool mutex_is_locked(const struct mutex *m)
{
	return mutex_owner(m) != NULL;
}

#define mutex_assert_held(m) mm_assert(mutex_owner(m) == port_current())

#endif
