/* SPDX-License-Identifier: MIT */
/*
 * fifo.c - a replacement policy in a file of its own: what came first goes
 * first, whether it is used or not.
 *
 *	make build/examples/fifo.so
 *	build/mmkit replay traces/python.trace --swap 64M --mem 25%,50% \
 *		--policy clock,build/examples/fifo.so
 *
 * It is made of one queue (src/reclaim/queue.h), of which it answers the four
 * questions; clock.c differs from it in one line. A policy that needs other
 * lists fills in struct lru_ops (src/phys/lru.h) by itself, as classic.c does.
 */
#include "reclaim/queue.h"

extern const u32 mmkit_policy_version;
extern const struct lru_ops mmkit_policy;

const u32 mmkit_policy_version = LRU_OPS_VERSION;

static enum queue_id fifo_settle(struct lruvec *lruvec, struct page *page,
				 bool hot)
{
	(void)lruvec;
	(void)page;
	(void)hot;
	return QUEUE_A;
}

static enum queue_id fifo_choose(struct lruvec *lruvec, u32 allow, u64 picked)
{
	(void)lruvec;
	(void)allow;
	(void)picked;
	return QUEUE_A;
}

/* Here clock.c says: used ? QUEUE_A : QUEUE_VICTIM. */
static enum queue_id fifo_judge(struct lruvec *lruvec, struct page *page,
				enum queue_id from, bool used, bool *stay)
{
	(void)lruvec;
	(void)page;
	(void)from;
	(void)used;
	(void)stay;
	return QUEUE_VICTIM;
}

static const struct queue_policy fifo_queues = {
	.ops = &mmkit_policy,
	.settle = fifo_settle,
	.choose = fifo_choose,
	.judge = fifo_judge,
};

static void fifo_init(struct lruvec *lruvec)
{
	queue_init(lruvec, &fifo_queues);
}

static u64 fifo_scan(struct lruvec *lruvec, struct scan_control *sc)
{
	return queue_scan(lruvec, sc, &fifo_queues);
}

static bool fifo_refault(struct lruvec *lruvec, struct page *page, u64 cookie)
{
	(void)lruvec;
	(void)page;
	(void)cookie;
	return false;
}

const struct lru_ops mmkit_policy = {
	.name = "fifo",
	.init = fifo_init,
	.add = queue_add,
	.del = queue_del,
	.activate = queue_activate,
	.rotate = queue_rotate,
	.scan = fifo_scan,
	.pageout = reclaim_pages,
	.refault = fifo_refault,
	.coldest = queue_coldest,
	.check = queue_check,
};
