/* SPDX-License-Identifier: MIT */
/*
 * futex_requeue_pi.c - from a condition to a lock with an owner:
 * FUTEX_WAIT_REQUEUE_PI, FUTEX_CMP_REQUEUE_PI.
 *
 * Who waits for a condition says beforehand which lock it will want then
 * (futex_waiter.target). Who makes the condition true does not wake it but
 * gives it the lock, if that is free, or lines it up behind the owner: it
 * sleeps on, now as a waiter of futex_pi.c, and wakes with the lock. Nobody
 * wakes only to wait for the lock.
 *
 * Both buckets are locked while waiters change words; the lock's word is
 * changed under them as in futex_pi.c, so unlocking sees either no waiter or
 * one that is whole. An owner must live: that is asked with no lock held,
 * before and after. One that has gone in between is treated as futex_pi_exit()
 * would.
 *
 * A waiter that was moved and then gives up (time, signal) has seen its
 * condition's word change: it is told -EAGAIN (EWOULDBLOCK) in place of the
 * signal.
 *
 * References: futex(2), "Priority-inheritance futexes"; D. Hart, D.
 * Guniguntala, "Requeue-PI: Making Glibc Condvars PI-Aware" (2009).
 */
#include <mmkit/fs.h>

#include "futex.h"

#define FUTEX_WAITERS	 0x80000000u
#define FUTEX_OWNER_DIED 0x40000000u
#define FUTEX_TID_MASK	 0x3fffffffu

/* ---- waiting ---------------------------------------------------------------
 */

/* W is off all lists: what came of it. MOVED: it had been to the lock. */
static s64 wait_result(const struct futex_waiter *w, bool woken, int err)
{
	if (w->granted)
		return 0;
	if (err == -ETIMEDOUT)
		return err;
	if (w->pi)
		return -EAGAIN;
	if (woken)
		return -EAGAIN;
	return err == -ERESTARTSYS ? -ERESTARTNOINTR : err;
}

static s64 wait_queued(struct futex_waiter *w, u64 addr2, bool shared,
		       const struct futex_timeout *to)
{
	int err = futex_sleep(w, 1, to);
	bool woken = futex_dequeue(w);

	if (w->pi)
		futex_pi_count(-1);
	/* Its owner is gone: it takes the lock itself. */
	if (w->orphaned)
		return futex_lock_pi_from(addr2, shared, to, w->owner);
	return wait_result(w, woken, err);
}

s64 futex_wait_requeue_pi(u64 addr, u64 addr2, bool shared, u32 val,
			  const struct futex_timeout *to)
{
	struct futex_key target;
	struct futex_waiter w;
	s64 ret;

	if (addr == addr2)
		return -EINVAL;
	ret = futex_key_get(addr2, shared, &target);
	if (ret)
		return ret;
	ret = futex_wait_begin_for(&w, addr, shared, val, &target);
	if (!ret)
		ret = wait_queued(&w, addr2, shared, to);
	futex_key_put(&target);
	return ret;
}

/* ---- moving ----------------------------------------------------------------
 */

struct move {
	u64 addr2;
	struct futex_two *k; /* both buckets are locked */
	u32 most;  /* so many at the most are moved or given the lock */
	s32 live;  /* this owner was seen alive; 0 */
	s32 owner; /* the lock's */
	u32 done;
};

/* The first who waits for the condition; another than NOT. */
static struct futex_waiter *first_at(const struct futex_two *k,
				     const struct futex_waiter *skip)
{
	struct futex_waiter *w;

	list_for_each_entry (w, &k->b1->waiters, entry)
		if (w != skip && futex_key_same(&w->key, &k->from))
			return w;
	return NULL;
}

/* It waits for this move, and to this lock? */
static bool willing(const struct futex_two *k, const struct futex_waiter *w)
{
	return !w->pi && w->target && futex_key_same(w->target, &k->to);
}

/*
 * The lock's word: FIRST's if it is free, else marked as waited for. 1: it is
 * FIRST's now; 0: M->owner has it; -ESRCH: whether that one lives must be
 * asked; -EAGAIN: a fault; -EDEADLK, -EFAULT.
 */
static int take_word(struct move *m, const struct futex_waiter *first)
{
	struct mm_struct *mm = current->mt->mm;
	bool more = first_at(m->k, first) && m->most > 1;
	u32 seen, old, val;
	int err = user_load32_try(mm, m->addr2, &seen);

	while (!err) {
		old = seen;
		m->owner = (s32)(old & FUTEX_TID_MASK);
		if (m->owner == first->tid)
			return -EDEADLK;
		if (m->owner && m->owner != m->live)
			return -ESRCH;
		val = old | FUTEX_WAITERS;
		if (!m->owner)
			val = (u32)first->tid | (old & FUTEX_OWNER_DIED) |
			      (more || futex_pi_first(m->k->b2, &m->k->to)
				       ? FUTEX_WAITERS
				       : 0);
		if (val == old)
			return 0;
		err = user_cmpxchg32_try(mm, m->addr2, &seen, val);
		if (!err && seen == old)
			return !m->owner;
	}
	return err;
}

/* FIRST has the lock: whoever waits for that waits for FIRST. */
static void give_first(struct move *m, struct futex_waiter *first)
{
	m->owner = first->tid;
	futex_pi_set_owner(m->k->b2, &m->k->to, first->tid);
	first->granted = true;
	futex_wake_one(first);
	m->done++;
}

/* W waits for the lock; what its key held is the caller's to put. */
static void line_up(struct move *m, struct futex_waiter *w)
{
	if (m->k->to.inode)
		ihold(m->k->to.inode);
	w->key = m->k->to;
	w->pi = true;
	w->owner = m->owner;
	futex_pi_count(1);
	list_move_tail(&w->entry, &m->k->b2->waiters);
	WRITE_ONCE(w->bucket, m->k->b2);
	m->done++;
}

/* Both buckets locked. 0 or -errno; M->done and *MOVED in any case. */
static int move_all(struct move *m, u32 *moved)
{
	struct futex_waiter *w = first_at(m->k, NULL);
	int ret;

	*moved = 0;
	if (!w)
		return 0;
	if (!willing(m->k, w))
		return -EINVAL;
	ret = take_word(m, w);
	if (ret < 0)
		return ret;
	if (ret)
		give_first(m, w);
	while (m->done < m->most && (w = first_at(m->k, NULL)) != NULL) {
		if (!willing(m->k, w))
			return -EINVAL;
		line_up(m, w);
		(*moved)++;
	}
	return 0;
}

/* One round with the buckets locked; they are not afterwards. */
static int move_round(struct move *m, const struct futex_requeue_args *a)
{
	struct inode *held;
	struct futex_two k;
	int ret = futex_requeue_begin(&k, a);
	u32 moved;

	if (ret)
		return ret;
	m->k = &k;
	if (futex_key_same(&k.from, &k.to)) {
		futex_unlock2(k.b1, k.b2);
		futex_two_put(&k);
		return -EINVAL;
	}
	held = k.from.inode;
	ret = move_all(m, &moved);
	futex_unlock2(k.b1, k.b2);
	while (held && moved--)
		iput(held);
	futex_two_put(&k);
	return ret;
}

s64 futex_cmp_requeue_pi(const struct futex_requeue_args *a)
{
	struct move m = {.addr2 = a->addr2};
	int ret;

	if (a->wake != 1 || (s32)a->move < 0)
		return -EINVAL;
	m.most = a->move == INT32_MAX ? a->move : a->move + 1;
	for (;;) {
		ret = move_round(&m, a);
		/* What a fault or a question had stopped has changed nothing.
		 */
		if (ret == -ESRCH && !m.done && m.owner != m.live &&
		    futex_owner_lives(m.owner)) {
			m.live = m.owner;
			continue;
		}
		if (ret != -EAGAIN || m.done || !m.k)
			break;
		ret = user_word_fault_in(current->mt->mm, a->addr2, true);
		if (ret)
			return ret;
		m.k = NULL;
	}
	if (m.done && m.owner && !futex_owner_lives(m.owner))
		futex_pi_orphan(m.owner);
	return ret ? ret : (s64)m.done;
}
