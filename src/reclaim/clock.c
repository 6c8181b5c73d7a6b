/* SPDX-License-Identifier: MIT */
/*
 * clock.c - the replacement policy "clock": one list, a second chance.
 *
 * 1. The paper. F. Corbató, "A Paging Experiment with the Multics System"
 *    (1968). Pages stand in a circle; the hand looks at one after the other:
 *    a page whose use bit is set has it cleared and is passed, one whose bit is
 *    clear is evicted, and new pages come in behind the hand.
 *
 * 2. Here. The circle is queue A with the hand at its tail: to be passed is to
 *    go to the head. The use bits are the accessed bits of all entries that map
 *    the page, and PG_referenced. As in the paper the first use counts: a new
 *    page survives one look. There are no ghosts, so a page that comes back is
 *    a new page.
 *
 * The plainest policy that knows of use at all: what the others are measured
 * by.
 */
#include "reclaim/queue.h"

static enum queue_id clock_settle(struct lruvec *lruvec, struct page *page,
				  bool hot)
{
	(void)lruvec;
	(void)page;
	(void)hot;
	return QUEUE_A;
}

static enum queue_id clock_choose(struct lruvec *lruvec, u32 allow, u64 picked)
{
	(void)lruvec;
	(void)allow;
	(void)picked;
	return QUEUE_A;
}

static enum queue_id clock_judge(struct lruvec *lruvec, struct page *page,
				 enum queue_id from, bool used, bool *stay)
{
	(void)lruvec;
	(void)page;
	(void)from;
	(void)stay;
	return used ? QUEUE_A : QUEUE_VICTIM;
}

static const struct queue_policy clock_queues = {
	.ops = &clock_ops,
	.settle = clock_settle,
	.choose = clock_choose,
	.judge = clock_judge,
};

static void clock_init(struct lruvec *lruvec)
{
	queue_init(lruvec, &clock_queues);
}

static u64 clock_scan(struct lruvec *lruvec, struct scan_control *sc)
{
	return queue_scan(lruvec, sc, &clock_queues);
}

static bool clock_refault(struct lruvec *lruvec, struct page *page, u64 cookie)
{
	(void)lruvec;
	(void)page;
	(void)cookie;
	return false;
}

const struct lru_ops clock_ops = {
	.name = "clock",
	.init = clock_init,
	.add = queue_add,
	.del = queue_del,
	.activate = queue_activate,
	.rotate = queue_rotate,
	.scan = clock_scan,
	.pageout = reclaim_pages,
	.refault = clock_refault,
	.coldest = queue_coldest,
	.check = queue_check,
};
