/* SPDX-License-Identifier: MIT */
/*
 * s3loop.c - the replacement policy "s3loop": S3-FIFO whose ghosts are asked
 * whether they come back sooner than what is kept is used again.
 *
 * 1. The papers. S3-FIFO (s3fifo.c) sorts newcomers out in a small queue and
 *    takes every ghost into the main one. On a loop over more than memory that
 *    is LRU: all that comes back is a ghost, and each drives out a page that
 *    would have been needed one step sooner. S. Jiang, X. Zhang, "LIRS"
 * (SIGMETRICS 2002) keeps a page for the distance between its last two uses,
 * not for its last use: a newcomer replaces a kept page only if it came back
 * within less than that one has been idle. In a loop all distances are equal,
 * so nothing is replaced, and what is kept is hit every time round, which is
 * all but what the optimum does. S. Jiang, F. Chen, X. Zhang, "CLOCK-Pro"
 * (USENIX ATC 2005) does so with hands: a page's test is over when the hand of
 * the kept ones has gone round since.
 *
 * 2. Here. Queue A is the small one, B the main one, as in s3fifo.c, counter
 *    included. The hand of B counts turns, a 64th of its circle each. A ghost
 *    carries the turn of its eviction; it is wanted only if less than 3/4 of a
 *    circle have passed: what the hand finds unused has been idle for a circle
 *    at least. A ghost is also forgotten when more than the length of B went
 *    after it, as in S3-FIFO.
 *
 * 3. The hand's pace. A turn is worth nothing as a measure if the hand goes
 *    round faster than pages are used again: it then clears bits twice between
 *    two uses and calls everything idle. So each ghost that comes back, and
 *    each page that joins B, lets the hand look at as many pages as make up a
 *    circle in 9/8 of the mean age of ghosts, LOOKS at most. In a loop the
 *    circle is longer than a round, and all of B is found used.
 *
 * 4. Nothing idle. If of the last AVERAGE looks at B hardly any found an idle
 *    page, a ghost that comes back in time still replaces nobody: it moves the
 *    hand, so that the answer is a new one soon, and goes to A. Without that, a
 *    hand that stood still would let a whole round of ghosts in before it said
 *    that all are used.
 *
 * 5. A's size. S3-FIFO's tenth, less if B is worth more: the part of those
 *    looks that found the page idle, a quarter of it, is A's share of memory,
 *    between a 40th and a tenth. In a loop nothing is idle, and each page of A
 *    is one that is missed every time round. While A and the newborn pages are
 *    more than that and a 32nd, B has room and any ghost is welcome. When A is
 *    empty, younger newborn pages are asked for before the hand moves; when
 *    there are none either, B gives what is at the hand, used or not if all is
 *    used: a sweep that clears all of it would know no more.
 *
 * 6. Constants were chosen on the traces of docs/POLICIES.md. A loop at 75 % of
 *    memory, seven sizes about it: 1.26 to 1.36 of the optimum; with what was
 *    before (the pace by joins alone, no test of 4., the hand moving when A is
 *    empty) 1.5 to 1.6. LOOKS of hand that may be saved up: 32; with 128 the
 *    same loop costs 3 % more.
 *
 * 7. Room: own[], below. The cookie: bit 0 ghost, 16 bits number of the
 *    eviction (in 1024ths of B), 15 bits turn.
 */
#include "reclaim/queue.h"

#define BOTH (QUEUE_ANON | QUEUE_FILE)

#define SMALL_MOST  10 /* a tenth */
#define SMALL_LEAST 40
#define LOOKS	    8
#define LOOKS_SAVED 32
#define LOOK	    64u /* parts in which looks are granted */
#define AVERAGE	    256
#define NONE_IDLE   960	 /* of 1024 looks found a page used */
#define TURNS	    64	 /* of a circle */
#define AGES	    1024 /* in which B's length of evictions is counted */

#define AGE_BITS  16
#define TURN_BITS 15

/* own[]: what has passed in full units and since the last one; looks that are
 * granted, in parts; how many of 1024 looks found a page used, and how old
 * ghosts were when they came back, both times AVERAGE. */
enum { AGE, AGE_PART, TURN, TURN_PART, GRANTED, USED, MEAN };

/* One more of what makes up a unit, PARTS of which are B's length. */
static void advance(struct queue_room *room, u32 unit, u64 parts)
{
	u64 len = queue_len(room, QUEUE_B, BOTH);

	if (++room->own[unit + 1] < max(len / parts, 1UL))
		return;
	room->own[unit + 1] = 0;
	room->own[unit]++;
}

/* VALUE joins the mean of the last AVERAGE. */
static void average(struct queue_room *room, u32 mean, u64 value)
{
	room->own[mean] += value;
	room->own[mean] -= room->own[mean] / AVERAGE;
}

static bool none_idle(const struct queue_room *room)
{
	return room->own[USED] / AVERAGE >= NONE_IDLE;
}

/* The hand may move: a circle in 9/8 of the age at which ghosts come back. */
static void grant_looks(struct queue_room *room)
{
	u64 mean = max(room->own[MEAN] / AVERAGE, 1UL);
	u64 looks = min((u64)LOOKS * LOOK, AGES * LOOK * 8 / 9 / mean);
	u64 most = min(queue_len(room, QUEUE_B, BOTH), (u64)LOOKS_SAVED);

	room->own[GRANTED] = min(room->own[GRANTED] + looks, most * LOOK);
}

static enum queue_id join_main(struct queue_room *room)
{
	grant_looks(room);
	return QUEUE_B;
}

static enum queue_id s3loop_settle(struct lruvec *lruvec, struct page *page,
				   bool hot)
{
	page->policy &= (u8)~QUEUE_OWN;
	return hot ? join_main(queue_room(lruvec)) : QUEUE_A;
}

/* A's share of TOTAL pages. */
static u64 small_share(const struct queue_room *room, u64 total)
{
	u64 idle = 1024 - min(room->own[USED] / AVERAGE, 1024UL);

	return max(total / SMALL_LEAST,
		   min(total / SMALL_MOST, total * idle / 1024 / 4));
}

static enum queue_id s3loop_choose(struct lruvec *lruvec, u32 allow, u64 picked)
{
	struct queue_room *room = queue_room(lruvec);
	u64 small = queue_len(room, QUEUE_A, allow);
	u64 main = queue_len(room, QUEUE_B, allow);

	(void)picked;
	if (!main || (small && small > small_share(room, small + main)))
		return QUEUE_A;
	if (room->own[GRANTED] >= LOOK)
		room->own[GRANTED] -= LOOK;
	else if (!room->bare)
		return small ? QUEUE_A : NR_QUEUES;
	return QUEUE_B;
}

static enum queue_id judge_small(struct lruvec *lruvec, struct page *page,
				 bool used)
{
	if (used)
		return join_main(queue_room(lruvec));
	/* It will be a ghost. */
	page->policy |= QUEUE_OWN;
	return QUEUE_VICTIM;
}

static enum queue_id s3loop_judge(struct lruvec *lruvec, struct page *page,
				  enum queue_id from, bool used, bool *stay)
{
	struct queue_room *room = queue_room(lruvec);
	bool counted = (page->policy & QUEUE_OWN) != 0;

	(void)stay;
	page->policy &= (u8)~QUEUE_OWN;
	if (from == QUEUE_A)
		return judge_small(lruvec, page, used);
	advance(room, TURN, TURNS);
	average(room, USED, used ? 1024 : 0);
	if (used)
		page->policy |= QUEUE_OWN;
	if (room->bare && none_idle(room))
		return QUEUE_VICTIM;
	return used || counted ? QUEUE_B : QUEUE_VICTIM;
}

static const struct queue_policy s3loop_queues = {
	.ops = &s3loop_ops,
	.active = {false, true},
	.newborn = true,
	.frugal = true,
	.settle = s3loop_settle,
	.choose = s3loop_choose,
	.judge = s3loop_judge,
};

static void s3loop_init(struct lruvec *lruvec)
{
	queue_init(lruvec, &s3loop_queues);
	/* Nothing is known: slowly. */
	queue_room(lruvec)->own[MEAN] = AGES * AVERAGE;
}

static u64 s3loop_scan(struct lruvec *lruvec, struct scan_control *sc)
{
	return queue_scan(lruvec, sc, &s3loop_queues);
}

static u64 s3loop_evict(struct lruvec *lruvec, struct page *page)
{
	struct queue_room *room = queue_room(lruvec);
	u64 age = room->own[AGE] % BIT(AGE_BITS);
	u64 turn = room->own[TURN] % BIT(TURN_BITS);

	if (!(page->policy & QUEUE_OWN))
		return 0;
	advance(room, AGE, AGES);
	return turn << (AGE_BITS + 1) | age << 1 | 1;
}

/* Are A and the newborn pages more than they should be? */
static bool main_has_room(const struct queue_room *room)
{
	u64 others = queue_len(room, QUEUE_A, BOTH) +
		     queue_len(room, QUEUE_NEWBORN, BOTH);
	u64 total = others + queue_len(room, QUEUE_B, BOTH);

	return others > small_share(room, total) + total / QUEUE_NEWBORN_SHARE;
}

static bool s3loop_refault(struct lruvec *lruvec, struct page *page, u64 cookie)
{
	struct queue_room *room = queue_room(lruvec);
	u64 main = queue_len(room, QUEUE_B, BOTH);
	u64 age = (room->own[AGE] - (cookie >> 1)) % BIT(AGE_BITS);
	u64 turn =
		(room->own[TURN] - (cookie >> (AGE_BITS + 1))) % BIT(TURN_BITS);

	(void)page;
	if (!(cookie & 1))
		return false;
	if (main_has_room(room))
		return true;
	average(room, MEAN, age);
	if (4 * turn * max(main / TURNS, 1UL) >= 3 * main ||
	    age * max(main / AGES, 1UL) > main)
		return false;
	if (!none_idle(room))
		return true;
	grant_looks(room);
	return false;
}

const struct lru_ops s3loop_ops = {
	.name = "s3loop",
	.init = s3loop_init,
	.add = queue_add,
	.del = queue_del,
	.activate = queue_activate,
	.rotate = queue_rotate,
	.scan = s3loop_scan,
	.pageout = reclaim_pages,
	.evict = s3loop_evict,
	.refault = s3loop_refault,
	.coldest = queue_coldest,
	.check = queue_check,
};
