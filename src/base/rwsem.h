/* SPDX-License-Identifier: MIT */
/*
 * rwsem.h - sleeping locks for many readers or one writer.
 *
 * Without contention each call is one atomic operation. Otherwise requests
 * are granted in the order of arrival, neighbouring readers together; a
 * newcomer never overtakes a queue, so neither side starves. Hence a reader
 * must not take the same semaphore for reading again: a writer may have
 * queued in between (the checker reports it).
 *
 * The same task that acquired releases.
 */
#ifndef MM_BASE_RWSEM_H
#define MM_BASE_RWSEM_H

#include "base/list.h"
#include "base/spinlock.h"

struct rw_semaphore {
	u64 count;	       /* readers << 8 | queue and writer bits */
	struct mm_task *owner; /* the writer, or NULL */
	spinlock_t lock;       /* class WAITQ; guards waiters */
	struct list_head waiters;
	u16 class_id;
};

void init_rwsem(struct rw_semaphore *sem, enum lock_class class_id);
/* Shared; may sleep. */
void down_read(struct rw_semaphore *sem);
/* Shared if possible without waiting; not in irq. */
bool down_read_trylock(struct rw_semaphore *sem) MM_MUST_CHECK;
void up_read(struct rw_semaphore *sem);
/* Exclusive; may sleep. */
void down_write(struct rw_semaphore *sem);
/* Exclusive, inside another of the same class (fork holds two). */
void down_write_nested(struct rw_semaphore *sem, int subclass);
bool down_write_trylock(struct rw_semaphore *sem) MM_MUST_CHECK;
void up_write(struct rw_semaphore *sem);
/* downgrade_write: from exclusive to shared, without letting a writer in. */
void downgrade_write(struct rw_semaphore *sem);

/* rwsem_is_locked: by anybody, either way. */
bool rwsem_is_locked(const struct rw_semaphore *sem);
/* rwsem_is_contended: does anybody wait? */
bool rwsem_is_contended(struct rw_semaphore *sem);

/* Debug builds: the running task holds SEM / holds it exclusively. */
#define rwsem_assert_held(sem)                   \
	do {                                     \
		mm_assert(rwsem_is_locked(sem)); \
		lockdep_assert_held(sem);        \
	} while (0)
#define rwsem_assert_held_write(sem) \
	mm_assert(READ_ONCE((sem)->owner) == port_current())

#endif
