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
 *    circle have passed. What the hand finds unused has been idle for a circle
 * at least, so 3/4 is less than that with something to spare, and a loop over
 *    which all of B is found used gains nothing: the hand stands still until
 * the next time round. A ghost is also forgotten when more than the length of B
 *    went after it, as in S3-FIFO; but while A and the newborn pages are more
 *    than a quarter of all (SPARE), B has room and any ghost is welcome: it is
 * how a loop ten times memory gets anything kept.
 *
 * 3. The hand's pace. Each page that joins B lets the hand look at LOOKS pages,
 *    no more while A has any: so what it finds used was used since a sweep that
 *    took long, not a moment ago. Several at once would clear the bits of the
 *    whole queue, come round and evict the loop's kept pages as idle. It bounds
 *    what a page costs as well: LOOKS looks for each that joins.
 *
 * 4. A's size. S3-FIFO's tenth, less if B is worth more: of the last AVERAGE
 *    looks at B, the part that found the page idle, a quarter of it, is A's
 * share of memory, between a 40th and a tenth. In a loop nothing is idle, and
 * each page of A is one that is missed every time round.
 *
 * 5. Constants were chosen on the traces of docs/POLICIES.md: LOOKS 4 and 8
 * give page-ins within one per cent of each other, without the bound a loop at
 * 75 % costs 1.71 for 1.59; a test of 1/2 circle loses a tenth on the programs,
 * one of 3/2 holds a loop less well; shares of A down to an 80th gain nothing.
 *
 * 6. Room: own[], below. The cookie: bit 0 ghost, 16 bits number of the
 * eviction (in 1024ths of B), 15 bits turn.
 */
#include "reclaim/queue.h"

#define BOTH (QUEUE_ANON | QUEUE_FILE)

#define SMALL_MOST  10 /* a tenth */
#define SMALL_LEAST 40
#define SPARE	    4 /* a quarter */
#define LOOKS	    8
#define AVERAGE	    256
#define TURNS	    64	 /* of a circle */
#define AGES	    1024 /* in which B's length of evictions is counted */

#define AGE_BITS  16
#define TURN_BITS 15

/* own[]: what has passed in full units and since the last one; looks that are
 * granted; how many of 1024 looks found a page used, times AVERAGE. */
enum { AGE, AGE_PART, TURN, TURN_PART, GRANTED, USED };

/* One more of what makes up a unit, PARTS of which are B's length. */
static void advance(struct queue_room *room, u32 unit, u64 parts)
{
	u64 len = queue_len(room, QUEUE_B, BOTH);

	if (++room->own[unit + 1] < max(len / parts, 1UL))
		return;
	room->own[unit + 1] = 0;
	room->own[unit]++;
}

static enum queue_id join_main(struct queue_room *room)
{
	room->own[GRANTED] =
		min(room->own[GRANTED] + LOOKS, queue_len(room, QUEUE_B, BOTH));
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
	if (small && !room->own[GRANTED])
		return QUEUE_A;
	if (small)
		room->own[GRANTED]--;
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
	room->own[USED] += used ? 1024 : 0;
	room->own[USED] -= room->own[USED] / AVERAGE;
	if (used)
		page->policy |= QUEUE_OWN;
	return used || counted ? QUEUE_B : QUEUE_VICTIM;
}

static const struct queue_policy s3loop_queues = {
	.ops = &s3loop_ops,
	.active = {false, true},
	.newborn = true,
	.settle = s3loop_settle,
	.choose = s3loop_choose,
	.judge = s3loop_judge,
};

static void s3loop_init(struct lruvec *lruvec)
{
	queue_init(lruvec, &s3loop_queues);
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

static bool s3loop_refault(struct lruvec *lruvec, struct page *page, u64 cookie)
{
	struct queue_room *room = queue_room(lruvec);
	u64 main = queue_len(room, QUEUE_B, BOTH);
	u64 others = queue_len(room, QUEUE_A, BOTH) +
		     queue_len(room, QUEUE_NEWBORN, BOTH);
	u64 age = (room->own[AGE] - (cookie >> 1)) % BIT(AGE_BITS);
	u64 turn =
		(room->own[TURN] - (cookie >> (AGE_BITS + 1))) % BIT(TURN_BITS);

	(void)page;
	if (!(cookie & 1))
		return false;
	if (others > (others + main) / SPARE)
		return true;
	if (4 * turn * max(main / TURNS, 1UL) >= 3 * main)
		return false;
	return age * max(main / AGES, 1UL) <= main;
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
