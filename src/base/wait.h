/* SPDX-License-Identifier: MIT */
/*
 * wait.h - wait queues and completions, on the port's park and unpark.
 *
 * As in Linux a waiter puts its entry on the queue, then tests its condition,
 * then sleeps; a waker makes the condition true, then wakes. The queue's lock
 * orders the two, so no wake-up is lost. Waking takes the entry off the queue.
 *
 *	DEFINE_WAIT(wait);
 *	for (;;) {
 *		prepare_to_wait(&wq, &wait);
 *		if (condition)
 *			break;
 *		wait_park(&wait, UINT64_MAX);
 *	}
 *	finish_wait(&wq, &wait);
 *
 * There is no task state: a sleep ends by a wake-up or by time. Because the
 * entry itself remembers that it was woken, the condition may take sleeping
 * locks.
 *
 * A queue may be embedded in memory that is freed once the waiters are gone:
 * a waker touches nothing after the queue's lock is released.
 */
#ifndef MM_BASE_WAIT_H
#define MM_BASE_WAIT_H

#include "base/assert.h"
#include "base/list.h"
#include "base/spinlock.h"

typedef struct wait_queue_head {
	spinlock_t lock;       /* taken with interrupts off */
	struct list_head head; /* wait_queue_entry.entry; exclusive ones last */
} wait_queue_head_t;

#define WQ_FLAG_EXCLUSIVE 0x1u /* wake_up() wakes only one of these */
#define WQ_FLAG_WOKEN	  0x2u /* a wake-up has come since prepare */

/* A sleeper; lives on its stack. */
struct wait_queue_entry {
	struct port_thread *thread;
	struct list_head entry;
	u32 flags;
	const void *key; /* wake_up_key() wakes only equal ones */
	/*
	 * Not NULL: no sleeper but somebody who wants to know. Called in place
	 * of waking THREAD, with the queue's lock held and interrupts off, any
	 * context; the entry stays where it is. False: it does not count as
	 * an exclusive one that was woken.
	 */
	bool (*func)(struct wait_queue_entry *wait);
};

/* Wait-queue locks have class WAITQ unless said otherwise. */
void init_waitqueue_head(wait_queue_head_t *wq);
void init_waitqueue_head_class(wait_queue_head_t *wq, enum lock_class class_id);

/* init_wait: WAIT belongs to the running thread from now on. */
void init_wait(struct wait_queue_entry *wait, const void *key);

/*
 * init_wait_func: WAIT belongs to no thread; each wake-up calls FUNC. It goes
 * on a queue by add_wait_queue() and leaves it by finish_wait(), after which
 * FUNC does not run any more.
 */
void init_wait_func(struct wait_queue_entry *wait,
		    bool (*func)(struct wait_queue_entry *wait));
/* add_wait_queue: any thread. EXCLUSIVE: behind the others, woken one by one.
 */
void add_wait_queue(wait_queue_head_t *wq, struct wait_queue_entry *wait,
		    bool exclusive);

#define DEFINE_WAIT(name)             \
	struct wait_queue_entry name; \
	init_wait(&name, NULL)

/* prepare_to_wait: queue WAIT (again), not woken. Locks: takes wq->lock. */
void prepare_to_wait(wait_queue_head_t *wq, struct wait_queue_entry *wait);
/* The same behind all others, as one of those that are woken one at a time. */
void prepare_to_wait_exclusive(wait_queue_head_t *wq,
			       struct wait_queue_entry *wait);
/* finish_wait: WAIT is off the queue and no waker uses it any more. */
void finish_wait(wait_queue_head_t *wq, struct wait_queue_entry *wait);

/*
 * wait_park: sleep until WAIT is woken or TIMEOUT_NS passes (UINT64_MAX:
 * none). Returns false on time-out. May return true spuriously. May sleep.
 * Inline, so that the port is called from the function that waits: its name is
 * what /proc/PID/wchan says.
 */
static inline __attribute__((always_inline)) bool
wait_park(struct wait_queue_entry *wait, u64 timeout_ns)
{
	might_sleep();
	mm_assert(wait->thread == port_self());
	/* The permit may have been used up inside the condition. */
	if (READ_ONCE(wait->flags) & WQ_FLAG_WOKEN)
		return true;
	return port_park(timeout_ns);
}

/*
 * wake_up_nr: wake every waiter that is not exclusive and the first NR
 * exclusive ones (0: all). Any context. Returns how many were woken.
 */
int wake_up_nr(wait_queue_head_t *wq, int nr);
/* wake_up_key: the same among the entries whose key is KEY. */
int wake_up_key(wait_queue_head_t *wq, int nr, const void *key);

static inline void wake_up(wait_queue_head_t *wq)
{
	(void)wake_up_nr(wq, 1);
}

static inline void wake_up_all(wait_queue_head_t *wq)
{
	(void)wake_up_nr(wq, 0);
}

/*
 * waitqueue_active: is anybody waiting? Without the lock: the waker must put
 * a full barrier (smp_mb) between making the condition true and this.
 */
static inline bool waitqueue_active(const wait_queue_head_t *wq)
{
	return !list_empty(&wq->head);
}

/* wait_event: sleep until COND is true. WQ is the head itself, as in Linux. */
#define wait_event(wq, cond)                            \
	do {                                            \
		struct wait_queue_entry wait_;          \
		might_sleep();                          \
		if (cond)                               \
			break;                          \
		init_wait(&wait_, NULL);                \
		for (;;) {                              \
			prepare_to_wait(&(wq), &wait_); \
			if (cond)                       \
				break;                  \
			wait_park(&wait_, UINT64_MAX);  \
		}                                       \
		finish_wait(&(wq), &wait_);             \
	} while (0)

/* wait_left: nanoseconds until DEADLINE_NS, 0 if past. */
u64 wait_left(u64 deadline_ns);
/* wait_deadline: now + NS, saturating. */
u64 wait_deadline(u64 ns);

/*
 * wait_event_timeout: as wait_event() for at most NS. Its value is 0 if COND
 * was still false then, else the time left, at least 1.
 */
#define wait_event_timeout(wq, cond, ns)                   \
	({                                                 \
		u64 deadline_ = wait_deadline(ns);         \
		u64 left_ = 1;                             \
		struct wait_queue_entry wait_;             \
		might_sleep();                             \
		init_wait(&wait_, NULL);                   \
		for (;;) {                                 \
			prepare_to_wait(&(wq), &wait_);    \
			left_ = wait_left(deadline_);      \
			if (cond) {                        \
				left_ = left_ ? left_ : 1; \
				break;                     \
			}                                  \
			if (!left_)                        \
				break;                     \
			wait_park(&wait_, left_);          \
		}                                          \
		finish_wait(&(wq), &wait_);                \
		left_;                                     \
	})

/* ---- completions -----------------------------------------------------------
 */

/* An event that is counted, so that it may come before anybody waits. */
struct completion {
	u32 done; /* under wait.lock; UINT32_MAX: for all, for good */
	wait_queue_head_t wait;
};

void init_completion(struct completion *x);
/* Back to "not done"; nobody waits. */
void reinit_completion(struct completion *x);
/* complete: let one waiter through. Any context. */
void complete(struct completion *x);
/* complete_all: let all waiters through, now and later. Any context. */
void complete_all(struct completion *x);
/* wait_for_completion: until done. X may be freed after. May sleep. */
void wait_for_completion(struct completion *x);
/* The same for at most NS: 0 on time-out, else the time left, at least 1. */
u64 wait_for_completion_timeout(struct completion *x, u64 ns);
/* try_wait_for_completion: takes one "done" if there is one. Any context. */
bool try_wait_for_completion(struct completion *x);
/* completion_done: would wait_for_completion() return at once? */
bool completion_done(struct completion *x);

#endif
