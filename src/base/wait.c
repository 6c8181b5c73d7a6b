/* SPDX-License-Identifier: MIT */
/*
 * wait.c - wait queues and completions.
 *
 * A waker marks the entry, takes it off the queue and gives the thread its
 * permit, all under the queue's lock; finish_wait() takes the same lock, so
 * an entry (on a stack) and a thread are alive as long as a waker uses them.
 */
#include "base/wait.h"

#include "base/assert.h"

void init_waitqueue_head_class(wait_queue_head_t *wq, enum lock_class class_id)
{
	spin_lock_init(&wq->lock, class_id);
	INIT_LIST_HEAD(&wq->head);
}

void init_waitqueue_head(wait_queue_head_t *wq)
{
	init_waitqueue_head_class(wq, LOCK_CLASS_WAITQ);
}

void init_wait(struct wait_queue_entry *wait, const void *key)
{
	wait->thread = port_self();
	wait->flags = 0;
	wait->key = key;
	wait->func = NULL;
	INIT_LIST_HEAD(&wait->entry);
}

void init_wait_func(struct wait_queue_entry *wait,
		    bool (*func)(struct wait_queue_entry *wait))
{
	wait->thread = NULL;
	wait->flags = 0;
	wait->key = NULL;
	wait->func = func;
	INIT_LIST_HEAD(&wait->entry);
}

/* Not woken, and on the queue: exclusive ones behind all others. */
static void prepare(wait_queue_head_t *wq, struct wait_queue_entry *wait,
		    u32 flags)
{
	unsigned long irq;

	mm_assert(wait->func || wait->thread == port_self());
	spin_lock_irqsave(&wq->lock, irq);
	WRITE_ONCE(wait->flags, flags);
	if (list_empty(&wait->entry)) {
		if (flags & WQ_FLAG_EXCLUSIVE)
			list_add_tail(&wait->entry, &wq->head);
		else
			list_add(&wait->entry, &wq->head);
	}
	spin_unlock_irqrestore(&wq->lock, irq);
}

void prepare_to_wait(wait_queue_head_t *wq, struct wait_queue_entry *wait)
{
	prepare(wq, wait, 0);
}

void prepare_to_wait_exclusive(wait_queue_head_t *wq,
			       struct wait_queue_entry *wait)
{
	prepare(wq, wait, WQ_FLAG_EXCLUSIVE);
}

void add_wait_queue(wait_queue_head_t *wq, struct wait_queue_entry *wait,
		    bool exclusive)
{
	mm_assert(wait->func);
	prepare(wq, wait, exclusive ? WQ_FLAG_EXCLUSIVE : 0);
}

void finish_wait(wait_queue_head_t *wq, struct wait_queue_entry *wait)
{
	unsigned long irq;

	mm_assert(wait->func || wait->thread == port_self());
	spin_lock_irqsave(&wq->lock, irq);
	if (!list_empty(&wait->entry))
		list_del_init(&wait->entry);
	spin_unlock_irqrestore(&wq->lock, irq);
}

/* Locks: the queue's. Does it count? */
static bool wake_one(struct wait_queue_entry *wait)
{
	if (wait->func)
		return wait->func(wait);
	mm_assert(!(wait->flags & WQ_FLAG_WOKEN));
	WRITE_ONCE(wait->flags, wait->flags | WQ_FLAG_WOKEN);
	list_del_init(&wait->entry);
	port_unpark(wait->thread);
	return true;
}

/* Wake those that match (KEY NULL: all), at most NR exclusive ones. */
static int wake_matching(wait_queue_head_t *wq, int nr, const void *key)
{
	struct wait_queue_entry *w, *next;
	unsigned long irq;
	int woken = 0, exclusive = 0;

	spin_lock_irqsave(&wq->lock, irq);
	list_for_each_entry_safe (w, next, &wq->head, entry) {
		if (key && w->key != key)
			continue;
		/* Waking changes the flags. */
		u32 one = (w->flags & WQ_FLAG_EXCLUSIVE) != 0;

		if (!wake_one(w))
			continue;
		exclusive += (int)one;
		woken++;
		if (nr > 0 && exclusive == nr)
			break;
	}
	spin_unlock_irqrestore(&wq->lock, irq);
	return woken;
}

int wake_up_nr(wait_queue_head_t *wq, int nr)
{
	mm_assert(nr >= 0);
	return wake_matching(wq, nr, NULL);
}

int wake_up_key(wait_queue_head_t *wq, int nr, const void *key)
{
	mm_assert(nr >= 0 && key);
	return wake_matching(wq, nr, key);
}

u64 wait_deadline(u64 ns)
{
	u64 now = port_now_ns();

	return now + ns < now ? UINT64_MAX : now + ns;
}

u64 wait_left(u64 deadline_ns)
{
	u64 now = port_now_ns();

	return now < deadline_ns ? deadline_ns - now : 0;
}

/* ---- completions
 * ------------------------------------------------------------------- */

void init_completion(struct completion *x)
{
	x->done = 0;
	init_waitqueue_head(&x->wait);
}

void reinit_completion(struct completion *x)
{
	mm_assert(!waitqueue_active(&x->wait));
	x->done = 0;
}

/* Everything under the lock: a waiter that got through may free X. */
static void finish(struct completion *x, bool all)
{
	struct wait_queue_entry *w, *next;
	unsigned long irq;

	spin_lock_irqsave(&x->wait.lock, irq);
	if (all)
		x->done = UINT32_MAX;
	else if (x->done < UINT32_MAX - 1)
		x->done++;
	list_for_each_entry_safe (w, next, &x->wait.head, entry) {
		(void)wake_one(w);
		if (!all)
			break;
	}
	spin_unlock_irqrestore(&x->wait.lock, irq);
}

void complete(struct completion *x)
{
	finish(x, false);
}

void complete_all(struct completion *x)
{
	finish(x, true);
}

bool try_wait_for_completion(struct completion *x)
{
	unsigned long irq;
	bool got;

	spin_lock_irqsave(&x->wait.lock, irq);
	got = x->done > 0;
	if (got && x->done != UINT32_MAX)
		x->done--;
	spin_unlock_irqrestore(&x->wait.lock, irq);
	return got;
}

bool completion_done(struct completion *x)
{
	unsigned long irq;
	bool done;

	spin_lock_irqsave(&x->wait.lock, irq);
	done = x->done > 0;
	spin_unlock_irqrestore(&x->wait.lock, irq);
	return done;
}

/* Time left (at least 1), or 0 at DEADLINE. */
static u64 wait_done(struct completion *x, u64 deadline)
{
	u64 left;
	DEFINE_WAIT(wait);

	might_sleep();
	for (;;) {
		prepare_to_wait_exclusive(&x->wait, &wait);
		left = deadline == UINT64_MAX ? UINT64_MAX
					      : wait_left(deadline);
		if (try_wait_for_completion(x)) {
			left = left ? left : 1;
			break;
		}
		if (!left)
			break;
		wait_park(&wait, left);
	}
	finish_wait(&x->wait, &wait);
	return left;
}

void wait_for_completion(struct completion *x)
{
	(void)wait_done(x, UINT64_MAX);
}

u64 wait_for_completion_timeout(struct completion *x, u64 ns)
{
	return wait_done(x, wait_deadline(ns));
}
