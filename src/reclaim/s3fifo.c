/* SPDX-License-Identifier: MIT */
/*
 * s3fifo.c - the replacement policy "s3fifo": a small queue that sorts out, a
 * main queue, and ghosts.
 *
 * 1. The paper. J. Yang, Y. Zhang, Z. Qiu, Y. Yue, K. V. Rashmi, "FIFO queues
 *    are all you need for cache eviction" (SOSP 2023). Most objects are used
 *    once. They enter a small FIFO queue (a tenth of the cache); at its tail
 *    those that were used go to the main queue, the others leave and are
 *    remembered in a ghost queue as long as the main one. Who comes back while
 *    remembered enters the main queue at once. The main queue is a FIFO with
 *    reinsertion: a counter of hits, at most 3, is one less for each round
 *    survived.
 *
 * 2. Here. Queue A is the small one, B the main one. The ghost queue is no
 *    list: a page that left the small queue carries the number of its eviction
 *    in its shadow; it is a ghost while fewer have been evicted since than the
 *    main queue is long. That is the FIFO queue of the paper but for the places
 *    of ghosts that came back.
 *
 * 3. Adapted. A scan sees one bit where the paper counts hits. In the small
 *    queue one hit after birth (see queue.c) is enough, where the paper wants
 *    two of which the first may come at once. In the main queue the counter has
 *    the values 0, 1 (QUEUE_OWN) and, for the moment of the look, 2: a page
 *    that was used is kept, and kept once more.
 *
 * 4. Room: own[0] evictions from the small queue so far.
 */
#include "reclaim/queue.h"

#define SMALL_SHARE 10 /* a tenth */
#define EVICTIONS   0  /* own[] */
#define COOKIE_MASK (BIT(LRU_COOKIE_BITS) - 2)

static enum queue_id s3fifo_settle(struct lruvec *lruvec, struct page *page,
				   bool hot)
{
	(void)lruvec;
	page->policy &= (u8)~QUEUE_OWN;
	return hot ? QUEUE_B : QUEUE_A;
}

static enum queue_id s3fifo_choose(struct lruvec *lruvec, u32 allow, u64 picked)
{
	struct queue_room *room = queue_room(lruvec);
	u64 small = queue_len(room, QUEUE_A, allow);
	u64 main = queue_len(room, QUEUE_B, allow);

	(void)picked;
	if (!main || (small && small > (small + main) / SMALL_SHARE))
		return QUEUE_A;
	return QUEUE_B;
}

static enum queue_id s3fifo_judge(struct lruvec *lruvec, struct page *page,
				  enum queue_id from, bool used, bool *stay)
{
	bool counted = (page->policy & QUEUE_OWN) != 0;

	(void)lruvec;
	(void)stay;
	page->policy &= (u8)~QUEUE_OWN;
	if (from == QUEUE_A) {
		if (used)
			return QUEUE_B;
		/* From the small queue: it will be a ghost. */
		page->policy |= QUEUE_OWN;
		return QUEUE_VICTIM;
	}
	if (used)
		page->policy |= QUEUE_OWN;
	return used || counted ? QUEUE_B : QUEUE_VICTIM;
}

static const struct queue_policy s3fifo_queues = {
	.ops = &s3fifo_ops,
	.active = {false, true},
	.newborn = true,
	.settle = s3fifo_settle,
	.choose = s3fifo_choose,
	.judge = s3fifo_judge,
};

static void s3fifo_init(struct lruvec *lruvec)
{
	queue_init(lruvec, &s3fifo_queues);
}

static u64 s3fifo_scan(struct lruvec *lruvec, struct scan_control *sc)
{
	return queue_scan(lruvec, sc, &s3fifo_queues);
}

/* Bit 0: it was in the small queue; above: the number of its eviction. */
static u64 s3fifo_evict(struct lruvec *lruvec, struct page *page)
{
	struct queue_room *room = queue_room(lruvec);

	if (!(page->policy & QUEUE_OWN))
		return 0;
	return (room->own[EVICTIONS]++ << 1 & COOKIE_MASK) | 1;
}

static bool s3fifo_refault(struct lruvec *lruvec, struct page *page, u64 cookie)
{
	struct queue_room *room = queue_room(lruvec);
	u64 since;

	(void)page;
	if (!(cookie & 1))
		return false;
	since = ((room->own[EVICTIONS] << 1) - (cookie & ~1UL)) & COOKIE_MASK;
	return since >> 1 <= queue_len(room, QUEUE_B, QUEUE_ANON | QUEUE_FILE);
}

const struct lru_ops s3fifo_ops = {
	.name = "s3fifo",
	.init = s3fifo_init,
	.add = queue_add,
	.del = queue_del,
	.activate = queue_activate,
	.rotate = queue_rotate,
	.scan = s3fifo_scan,
	.pageout = reclaim_pages,
	.evict = s3fifo_evict,
	.refault = s3fifo_refault,
	.coldest = queue_coldest,
	.check = queue_check,
};
