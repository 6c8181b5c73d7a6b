/* SPDX-License-Identifier: MIT */
/*
 * futex_pi.c - locks that name their owner: FUTEX_LOCK_PI, UNLOCK_PI.
 *
 * The word holds the owner's thread id, 0 if it is free; FUTEX_WAITERS tells
 * the owner that it must ask the kernel to unlock, FUTEX_OWNER_DIED the next
 * one that the last did not. Unlocking hands the lock to who waited longest:
 * the word is given the new owner's id before that one wakes, so nobody can
 * come in between. Nothing is inherited: what a lock lends its owner on Linux
 * are real-time priorities (a nice value never), and there are none here.
 *
 * An owner that exits without unlocking is noticed in one of two ways. A
 * waiter that is queued has its owner's id and is woken by futex_pi_exit(); it
 * then takes the lock itself, as after a death. One that queues later finds
 * the task gone (task.futex_gone, set before the waiters are looked through):
 * -ESRCH, as for an id that never was a thread's.
 *
 * References: futex(2), "Priority-inheritance futexes".
 */
#include "futex.h"

#define FUTEX_WAITERS	 0x80000000u
#define FUTEX_OWNER_DIED 0x40000000u
#define FUTEX_TID_MASK	 0x3fffffffu

static struct {
	u32 waiters; /* (A) so that exits need not look for none */
} pi_sys;

u32 futex_pi_waiters(void)
{
	return READ_ONCE(pi_sys.waiters);
}

/* The one that waited longest, other than W; B locked. */
static struct futex_waiter *first_waiter(struct futex_bucket *b,
					 const struct futex_key *key,
					 const struct futex_waiter * not )
{
	struct futex_waiter *w;

	list_for_each_entry (w, &b->waiters, entry)
		if (w != not &&w->pi && futex_key_same(&w->key, key))
			return w;
	return NULL;
}

struct futex_waiter *futex_pi_first(struct futex_bucket *b,
				    const struct futex_key *key)
{
	return first_waiter(b, key, NULL);
}

void futex_pi_count(s32 by)
{
	(void)mm_fetch_add(&pi_sys.waiters, (u32)by);
}

/* Those who wait on behind a new owner. */
void futex_pi_set_owner(struct futex_bucket *b, const struct futex_key *key,
			s32 owner)
{
	struct futex_waiter *w;

	list_for_each_entry (w, &b->waiters, entry)
		if (w->pi && futex_key_same(&w->key, key))
			WRITE_ONCE(w->owner, owner);
}

/* One look at the lock, with its bucket locked. */
struct pi_try {
	u64 addr;
	struct futex_bucket *b;
	const struct futex_key *key;
	s32 dead; /* this owner is known to be gone; 0 */
	u32 seen; /* the word */
};

/* 1: the lock is ours; 0: it is another's, who knows that one waits;
 * -EAGAIN: a fault; -EDEADLK, -EFAULT. */
static int pi_try_lock(struct pi_try *p, bool may_wait)
{
	struct mm_struct *mm = current->mt->mm;
	s32 tid = current->tid, owner;
	u32 old, val;
	int err = user_load32_try(mm, p->addr, &p->seen);

	while (!err) {
		old = p->seen;
		owner = (s32)(old & FUTEX_TID_MASK);
		if (owner == tid)
			return -EDEADLK;
		if (!owner || owner == p->dead) {
			val = (u32)tid | (old & FUTEX_OWNER_DIED);
			if (owner)
				val |= FUTEX_OWNER_DIED;
			if (first_waiter(p->b, p->key, NULL))
				val |= FUTEX_WAITERS;
		} else {
			if (!may_wait || (old & FUTEX_WAITERS))
				return 0;
			val = old | FUTEX_WAITERS;
		}
		err = user_cmpxchg32_try(mm, p->addr, &p->seen, val);
		if (err || p->seen != old)
			continue;
		p->seen = val;
		if ((s32)(val & FUTEX_TID_MASK) != tid)
			return 0;
		futex_pi_set_owner(p->b, p->key, tid);
		return 1;
	}
	return err;
}

/* 1, or 0 with W queued behind the owner, or -errno; W's key is put unless 0.
 */
static int pi_begin(struct futex_waiter *w, u64 addr, bool shared, bool try,
		    s32 dead)
{
	struct pi_try p = {.addr = addr, .dead = dead};
	struct futex_key key;
	int ret;

	for (;;) {
		ret = futex_key_get(addr, shared, &key);
		if (ret)
			return ret;
		futex_waiter_init(w, &key, FUTEX_BITSET_ALL);
		w->pi = true;
		p.b = futex_bucket(&key);
		p.key = &key;
		spin_lock(&p.b->lock);
		ret = pi_try_lock(&p, !try);
		if (!ret && !try) {
			w->owner = (s32)(p.seen & FUTEX_TID_MASK);
			futex_queue(w, p.b);
			futex_pi_count(1);
			spin_unlock(&p.b->lock);
			return 0;
		}
		spin_unlock(&p.b->lock);
		futex_key_put(&w->key);
		if (ret != -EAGAIN)
			return ret ? ret : -EAGAIN;
		ret = user_word_fault_in(current->mt->mm, addr, true);
		if (ret)
			return ret;
	}
}

bool futex_owner_lives(s32 owner)
{
	struct task *t = task_find(owner);
	bool lives = t && !__atomic_load_n(&t->futex_gone, __ATOMIC_SEQ_CST);

	if (t)
		task_put(t);
	return lives;
}

/* Wait; 1: ours, 0: try again, the owner *DEAD is gone; -errno. */
static int pi_wait(struct futex_waiter *w, const struct futex_timeout *to,
		   s32 *dead)
{
	s32 owner = READ_ONCE(w->owner);
	bool lives = futex_owner_lives(owner);
	int err = lives ? futex_sleep(w, 1, to) : -ESRCH;

	(void)futex_dequeue(w);
	futex_pi_count(-1);
	if (w->granted)
		return 1;
	if (w->orphaned) {
		*dead = w->owner;
		return 0;
	}
	return err == -ERESTARTSYS ? -ERESTARTNOINTR : err;
}

static s64 lock_pi(u64 addr, bool shared, const struct futex_timeout *to,
		   bool try, s32 dead)
{
	struct futex_waiter w;
	int ret;

	for (;;) {
		ret = pi_begin(&w, addr, shared, try, dead);
		if (!ret)
			ret = pi_wait(&w, to, &dead);
		if (ret)
			return ret > 0 ? 0 : ret;
	}
}

s64 futex_lock_pi(u64 addr, bool shared, const struct futex_timeout *to,
		  bool try)
{
	return lock_pi(addr, shared, to, try, 0);
}

s64 futex_lock_pi_from(u64 addr, bool shared, const struct futex_timeout *to,
		       s32 dead)
{
	return lock_pi(addr, shared, to, false, dead);
}

/* With the bucket locked: 0, -EPERM, -EAGAIN (a fault), -EFAULT. */
static int pi_unlock(u64 addr, struct futex_bucket *b,
		     const struct futex_key *key)
{
	struct mm_struct *mm = current->mt->mm;
	struct futex_waiter *next = first_waiter(b, key, NULL);
	u32 seen, old, val = 0;
	int err = user_load32_try(mm, addr, &seen);

	if (next) {
		val = (u32)next->tid;
		if (first_waiter(b, key, next))
			val |= FUTEX_WAITERS;
	}
	while (!err) {
		old = seen;
		if ((s32)(old & FUTEX_TID_MASK) != current->tid)
			return -EPERM;
		err = user_cmpxchg32_try(mm, addr, &seen, val);
		if (!err && seen == old)
			break;
	}
	if (err || !next)
		return err;
	futex_pi_set_owner(b, key, next->tid);
	next->granted = true;
	futex_wake_one(next);
	return 0;
}

s64 futex_unlock_pi(u64 addr, bool shared)
{
	struct futex_bucket *b;
	struct futex_key key;
	int err;

	for (;;) {
		err = futex_key_get(addr, shared, &key);
		if (err)
			return err;
		b = futex_bucket(&key);
		spin_lock(&b->lock);
		err = pi_unlock(addr, b, &key);
		spin_unlock(&b->lock);
		futex_key_put(&key);
		if (err == -EAGAIN)
			err = user_word_fault_in(current->mt->mm, addr, true);
		else
			return err;
		if (err)
			return err;
	}
}

void futex_pi_exit(const struct task *t)
{
	futex_pi_orphan(t->tid);
}

void futex_pi_orphan(s32 owner)
{
	struct futex_waiter *w, *next;

	for (u32 i = 0; i < FUTEX_BUCKETS && futex_pi_waiters(); i++) {
		struct futex_bucket *b = futex_bucket_at(i);

		spin_lock(&b->lock);
		list_for_each_entry_safe (w, next, &b->waiters, entry) {
			if (!w->pi || w->owner != owner)
				continue;
			w->orphaned = true;
			futex_wake_one(w);
		}
		spin_unlock(&b->lock);
	}
}
