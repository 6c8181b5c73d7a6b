/* SPDX-License-Identifier: MIT */
/*
 * sieve.c - the replacement policy "sieve": a hand that leaves what it passes
 * where it is.
 *
 * 1. The paper. Y. Zhang, J. Yang, Y. Yue, Y. Vigfusson, K. V. Rashmi, "SIEVE
 *    is Simpler than LRU" (NSDI 2024). One queue in the order of insertion, a
 *    bit for each object that a hit sets, and a hand that moves from the tail
 *    to the head: it clears set bits and evicts what has none, and begins again
 *    at the tail. Survivors keep their place, so the hand comes to new objects
 *    soon: those that are not used again go early, those that are stay long.
 *
 * 2. Here. The queue is cut at the hand. Queue A is what lies before it, from
 *    the newest page (head) to the next one to be looked at (tail); queue B is
 *    what it has passed. Passing is to move from A's tail to B's head, which
 *    keeps the order and the stamps. When A is empty the hand is at the head:
 *    the two queues change places.
 *
 * 3. Adapted. The bit is set by hits only: so new pages wait as newborn ones
 *    until the use that brought them is over (queue.c). The paper's object is
 *    looked at with its hits so far; so is ours, but many uses are one.
 */
#include "reclaim/queue.h"

static enum queue_id sieve_settle(struct lruvec *lruvec, struct page *page,
				  bool hot)
{
	(void)lruvec;
	(void)page;
	(void)hot;
	return QUEUE_A;
}

static enum queue_id sieve_choose(struct lruvec *lruvec, u32 allow, u64 picked)
{
	struct queue_room *room = queue_room(lruvec);

	if (!queue_len(room, QUEUE_A, allow)) {
		/* Of the kinds that may not go, some may be before the hand:
		 * only if it is really at the head it begins again. */
		if (queue_len(room, QUEUE_A, QUEUE_ANON | QUEUE_FILE))
			return QUEUE_B;
		/* What was picked at the head is passed before that. */
		if (picked)
			return NR_QUEUES;
		queue_swap(room);
	}
	return QUEUE_A;
}

static enum queue_id sieve_judge(struct lruvec *lruvec, struct page *page,
				 enum queue_id from, bool used, bool *stay)
{
	(void)lruvec;
	(void)page;
	(void)from;
	*stay = true;
	return used ? QUEUE_B : QUEUE_VICTIM;
}

static const struct queue_policy sieve_queues = {
	.ops = &sieve_ops,
	.newborn = true,
	.settle = sieve_settle,
	.choose = sieve_choose,
	.judge = sieve_judge,
};

static void sieve_init(struct lruvec *lruvec)
{
	queue_init(lruvec, &sieve_queues);
}

static u64 sieve_scan(struct lruvec *lruvec, struct scan_control *sc)
{
	return queue_scan(lruvec, sc, &sieve_queues);
}

static bool sieve_refault(struct lruvec *lruvec, struct page *page, u64 cookie)
{
	(void)lruvec;
	(void)page;
	(void)cookie;
	return false;
}

const struct lru_ops sieve_ops = {
	.name = "sieve",
	.init = sieve_init,
	.add = queue_add,
	.del = queue_del,
	.activate = queue_activate,
	.rotate = queue_rotate,
	.scan = sieve_scan,
	.pageout = reclaim_pages,
	.refault = sieve_refault,
	.coldest = queue_coldest,
	.check = queue_check,
};
