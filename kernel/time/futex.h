/* SPDX-License-Identifier: MIT */
/*
 * futex.h - who waits at which word. Theory: futex.c.
 */
#ifndef KERNEL_TIME_FUTEX_H
#define KERNEL_TIME_FUTEX_H

#include "base/list.h"
#include "base/spinlock.h"
#include "time_priv.h"

struct inode;
struct mm_struct;

/* Which word: of an address space, or of a file that is mapped shared. */
struct futex_key {
	struct mm_struct *mm; /* NULL: of a file */
	struct inode *inode;  /* a reference, or NULL */
	u64 offset;	      /* address, or byte of the file */
};

struct futex_bucket {
	spinlock_t lock;
	struct list_head waiters; /* (lock) futex_waiter.entry, oldest first */
};

/* A thread that waits; on its stack. (B) lock of the bucket. */
struct futex_waiter {
	struct list_head entry;	     /* (B) */
	bool woken;		     /* (B), read without it as a hint */
	struct futex_bucket *bucket; /* (B) changes while moved to another */
	struct futex_key key;	     /* (B) */
	u32 bitset;		     /* (C) never 0 */
	struct port_thread *thread;  /* (C) */
	/* WAIT_REQUEUE_PI: the lock that it will want; else NULL. */
	const struct futex_key *target; /* (C) */
	/* LOCK_PI. */
	bool pi;	/* (B), it becomes so when it is moved to TARGET */
	bool granted;	/* (B) the lock was handed over */
	bool orphaned;	/* (B) the owner is gone */
	s32 tid, owner; /* (C), (B); its own, of any waiter */
};

#define FUTEX_BITSET_ALL 0xffffffffu

/* futex_key_get: the key of the word at ADDR of the current task; SHARED: as
 * other processes would find it. 0, -EINVAL (misaligned), -EFAULT. May sleep.
 * futex_key_put: gives the reference back. May sleep. */
int futex_key_get(u64 addr, bool shared, struct futex_key *key) MM_MUST_CHECK;
void futex_key_put(struct futex_key *key);
bool futex_key_same(const struct futex_key *a, const struct futex_key *b);

struct futex_bucket *futex_bucket(const struct futex_key *key);
/* The buckets with interrupts on; a second one in order of addresses. */
void futex_lock2(struct futex_bucket *a, struct futex_bucket *b);
void futex_unlock2(struct futex_bucket *a, struct futex_bucket *b);
/* futex_waiter_init: of the running thread, with KEY, whose reference it takes
 * over. */
void futex_waiter_init(struct futex_waiter *w, const struct futex_key *key,
		       u32 bitset);
/* futex_queue: W goes into bucket B, which is locked. */
void futex_queue(struct futex_waiter *w, struct futex_bucket *b);
/* futex_dequeue: W leaves. True: it had been woken. Gives W's key back. */
bool futex_dequeue(struct futex_waiter *w);
/* futex_wake_one: B locked; W may be gone when B is not. */
void futex_wake_one(struct futex_waiter *w);
/*
 * futex_wait_begin: queue W at ADDR if the word is VAL. 0: W is the caller's to
 * futex_dequeue(); -EAGAIN: it is another; -EFAULT, -EINVAL. May sleep.
 */
int futex_wait_begin(struct futex_waiter *w, u64 addr, bool shared, u32 val,
		     u32 bitset) MM_MUST_CHECK;

/* The same for a waiter with a target. */
int futex_wait_begin_for(struct futex_waiter *w, u64 addr, bool shared, u32 val,
			 const struct futex_key *target) MM_MUST_CHECK;

/* Two words and their buckets. */
struct futex_two {
	struct futex_key from, to;
	struct futex_bucket *b1, *b2;
};
struct futex_requeue_args {
	u64 addr, addr2;
	u32 wake, move;
	bool shared, compare;
	u32 val;
};
/* futex_requeue_begin: 0: K's buckets are locked, and the first word is as A
 * says (a->compare); -EAGAIN: it is another; -EFAULT, -EINVAL. The caller ends
 * with futex_unlock2() and futex_two_put(). May sleep. */
int futex_requeue_begin(struct futex_two *k,
			const struct futex_requeue_args *a) MM_MUST_CHECK;
void futex_two_put(struct futex_two *k);

/* How long to wait. REAL: until a time of the wall clock. */
struct futex_timeout {
	u64 deadline; /* UINT64_MAX: none; REAL: in wall time */
	bool real;
};
/* futex_sleep: until one of N waiters is woken: 0, -ETIMEDOUT, -ERESTARTSYS. */
int futex_sleep(const struct futex_waiter *w, u32 n,
		const struct futex_timeout *to);
/* futex_wake: at most NR waiters of BITSET; how many, or -errno. */
s64 futex_wake(u64 addr, bool shared, u32 nr, u32 bitset);

/* futex_pi.c */
s64 futex_lock_pi(u64 addr, bool shared, const struct futex_timeout *to,
		  bool try);
s64 futex_unlock_pi(u64 addr, bool shared);
/* futex_lock_pi_from: lock it, whose owner DEAD is known to be gone. */
s64 futex_lock_pi_from(u64 addr, bool shared, const struct futex_timeout *to,
		       s32 dead);
/* futex_owner_lives: is OWNER a thread that can still unlock? No lock held. */
bool futex_owner_lives(s32 owner);
/* Who waits for a lock with an owner; B locked. first: longest; NULL: nobody.
 * set_owner: all wait for OWNER now. count: so many more. */
struct futex_waiter *futex_pi_first(struct futex_bucket *b,
				    const struct futex_key *key);
void futex_pi_set_owner(struct futex_bucket *b, const struct futex_key *key,
			s32 owner);
void futex_pi_count(s32 by);
/* futex_pi_orphan: OWNER is gone: its waiters look for themselves. */
void futex_pi_orphan(s32 owner);

/* futex_requeue_pi.c: the two calls. */
s64 futex_wait_requeue_pi(u64 addr, u64 addr2, bool shared, u32 val,
			  const struct futex_timeout *to);
s64 futex_cmp_requeue_pi(const struct futex_requeue_args *a);
/* T, which futex_gone says, ran out: its waiters look for themselves. */
void futex_pi_exit(const struct task *t);
u32 futex_pi_waiters(void); /* how many there are */

/* futex_robust.c, futex_waitv.c */
void futex_robust_init(void);
void futex_waitv_init(void);

/* All buckets, for futex_pi_exit(). */
#define FUTEX_BUCKETS 256u
struct futex_bucket *futex_bucket_at(u32 i);

#endif
