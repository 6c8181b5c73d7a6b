/* SPDX-License-Identifier: MIT */
/*
 * queue.h - the frame in which a policy made of queues runs (queue.c).
 */
#ifndef MM_RECLAIM_QUEUE_H
#define MM_RECLAIM_QUEUE_H

#include "reclaim/reclaim.h"

/*
 * Queues of a policy: two of its own, and two of the frame's. Newborn pages
 * wait until the reference that brought them is over; victims wait until they
 * can be freed.
 */
enum queue_id { QUEUE_A, QUEUE_B, QUEUE_NEWBORN, QUEUE_VICTIM, NR_QUEUES };

/* page.policy: which queue, what is known of the page, when it came to its
 * queue's head (QUEUE_STAMPS steps). */
#define QUEUE_ID     0x03u
#define QUEUE_USED   0x04u /* activate() said so since the last look */
#define QUEUE_OWN    0x08u /* the policy's, kept until the policy clears it */
#define QUEUE_STAMP  4	   /* shift */
#define QUEUE_STAMPS 15u   /* below LRU_BYTE_FLOOR */

/* Anonymous pages and pages of files, each in order; head = most recent. */
struct queue {
	struct page_list of[2]; /* anon, file */
};

/* In lruvec.room. (L) */
struct queue_room {
	const struct queue_policy *policy;
	struct queue q[NR_QUEUES];
	u8 flip;     /* A and B have changed places */
	u8 dest;     /* while a round puts a page back: where; else NR_QUEUES */
	bool stay;   /* and whether with its old stamp */
	bool bare;   /* nobody is left to be settled: choose() must name some */
	u64 stamp;   /* steps so far */
	u64 arrived; /* at heads since the last step */
	u64 own[8];  /* the policy's */
};

MM_STATIC_ASSERT(sizeof(struct queue_room) <= LRU_POLICY_ROOM, "it fits");

/* Which kinds of pages a scan may take. */
#define QUEUE_ANON 0x1u
#define QUEUE_FILE 0x2u

/*
 * A policy of queues. All are called with the lruvec lock held.
 */
struct queue_policy {
	const struct lru_ops *ops;
	/* Pages of queue A, B count as active in the statistics. */
	bool active[2];
	/* New pages begin in QUEUE_NEWBORN, not with settle(). */
	bool newborn;
	/* Younger newborn pages, and victims under way, come before what
	 * choose() does not want to name. */
	bool frugal;
	/*
	 * PAGE, which is on no queue, gets its first one: QUEUE_A or _B. HOT:
	 * refault() said so, or it turned out to be in use when it was to go.
	 */
	enum queue_id (*settle)(struct lruvec *lruvec, struct page *page,
				bool hot);
	/* From which queue is the next page to be judged? Counted are pages of
	 * the kinds ALLOW; at least one queue has one. PICKED are waiting for
	 * their judgement; if there are any, NR_QUEUES: first those. With
	 * FRUGAL, and not room.bare, it also asks for newborn pages. */
	enum queue_id (*choose)(struct lruvec *lruvec, u32 allow, u64 picked);
	/*
	 * PAGE was at the tail of FROM; USED: since the last look. Where does
	 * it go? QUEUE_VICTIM: it is evicted. *STAY: it keeps its place in
	 * time.
	 */
	enum queue_id (*judge)(struct lruvec *lruvec, struct page *page,
			       enum queue_id from, bool used, bool *stay);
};

static inline struct queue_room *queue_room(struct lruvec *lruvec)
{
	return (struct queue_room *)lruvec->room;
}

/* queue_len: pages of the kinds ALLOW in queue ID. */
u64 queue_len(const struct queue_room *room, enum queue_id id, u32 allow);

/* Newborn pages are a 32nd of all, and for a policy that asks for more of them
 * a 128th. */
#define QUEUE_NEWBORN_SHARE 32u
#define QUEUE_NEWBORN_LEAST 128u

/* queue_swap: A is B and B is A, with all pages. */
void queue_swap(struct queue_room *room);

/* The answers to the door's questions, for a table of lru_ops. */
void queue_init(struct lruvec *lruvec, const struct queue_policy *policy);
void queue_add(struct lruvec *lruvec, struct page *page);
void queue_del(struct lruvec *lruvec, struct page *page);
void queue_activate(struct lruvec *lruvec, struct page *page);
void queue_rotate(struct lruvec *lruvec, struct page *page);
u64 queue_scan(struct lruvec *lruvec, struct scan_control *sc,
	       const struct queue_policy *policy);
struct page *queue_coldest(struct lruvec *lruvec);
void queue_check(struct lruvec *lruvec, struct lru_census *census);

#endif
