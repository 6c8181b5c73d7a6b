/* SPDX-License-Identifier: MIT */
/*
 * arc.c - the replacement policy "arc": recency against frequency, with a
 * border that learns from its mistakes.
 *
 * 1. The papers. N. Megiddo, D. Modha, "ARC: A Self-Tuning, Low Overhead
 *    Replacement Cache" (FAST 2003): pages used once are in T1, others in T2;
 *    evicted ones are remembered as ghosts in B1 and B2. A ghost of B1 that
 *    comes back says that T1 should have been longer, one of B2 that T2 should:
 *    the target p of T1's length moves by the ratio of the two ghost lists.
 *    ARC moves a page at each hit, which a kernel does not see; S. Bansal, D.
 *    Modha, "CAR: Clock with Adaptive Replacement" (FAST 2004) puts clocks for
 *    T1 and T2: hits set a bit, and a page moves when the hand comes. What is
 *    here is CAR; it goes by the name of the policy that it approximates.
 *
 * 2. Here. Queue A is T1, B is T2. At T1's tail a used page goes to T2, at
 *    T2's it goes round; the others are evicted. T1 is looked at while it is
 *    longer than max(p, 1).
 *
 * 3. Ghosts are shadows with the list's bit and the number of the eviction from
 *    that list. The lengths of B1 and B2 are counted: one more for an eviction
 *    (trimmed to the paper's bounds, |T1|+|B1| <= c, all together <= 2c), one
 *    less for a ghost that comes back; a shadow is a ghost while fewer were
 *    evicted from its list since than the list is long. c is what is on all
 *    queues now: memory for pages grows and shrinks in a kernel.
 *
 * 4. Adapted. Ghosts that are read ahead move p, but go to T2 only if they are
 *    used (newborn, queue.c).
 */
#include "reclaim/queue.h"

/* own[] */
enum { TARGET, GHOSTS1, GHOSTS2, EVICTED1, EVICTED2 };

#define BOTH	    (QUEUE_ANON | QUEUE_FILE)
#define COOKIE_MASK (BIT(LRU_COOKIE_BITS) - 2)

static u64 capacity(const struct queue_room *room)
{
	u64 n = 0;

	for (u32 id = 0; id < NR_QUEUES; id++)
		n += queue_len(room, (enum queue_id)id, BOTH);
	return max(n, 1UL);
}

static enum queue_id arc_settle(struct lruvec *lruvec, struct page *page,
				bool hot)
{
	(void)lruvec;
	(void)page;
	return hot ? QUEUE_B : QUEUE_A;
}

static enum queue_id arc_choose(struct lruvec *lruvec, u32 allow, u64 picked)
{
	struct queue_room *room = queue_room(lruvec);
	u64 t1 = queue_len(room, QUEUE_A, allow);

	(void)picked;
	if (!queue_len(room, QUEUE_B, allow) ||
	    (t1 && t1 >= max(room->own[TARGET], 1UL)))
		return QUEUE_A;
	return QUEUE_B;
}

static enum queue_id arc_judge(struct lruvec *lruvec, struct page *page,
			       enum queue_id from, bool used, bool *stay)
{
	(void)lruvec;
	(void)stay;
	if (used)
		return QUEUE_B;
	/* Of which list will it be a ghost? */
	page->policy &= (u8)~QUEUE_OWN;
	if (from == QUEUE_B)
		page->policy |= QUEUE_OWN;
	return QUEUE_VICTIM;
}

static const struct queue_policy arc_queues = {
	.ops = &arc_ops,
	.active = {false, true},
	.newborn = true,
	.settle = arc_settle,
	.choose = arc_choose,
	.judge = arc_judge,
};

static void arc_init(struct lruvec *lruvec)
{
	queue_init(lruvec, &arc_queues);
}

static u64 arc_scan(struct lruvec *lruvec, struct scan_control *sc)
{
	return queue_scan(lruvec, sc, &arc_queues);
}

/* The ghosts that are too many are forgotten. */
static void arc_trim(struct queue_room *room)
{
	u64 c = capacity(room), t1 = queue_len(room, QUEUE_A, BOTH);
	u64 *own = room->own;

	own[GHOSTS1] = min(own[GHOSTS1], c - min(c, t1));
	own[GHOSTS2] = min(own[GHOSTS2], c - min(c, own[GHOSTS1]));
	own[TARGET] = min(own[TARGET], c);
}

/* Bit 0: of B2; above: the number of the eviction from its list. */
static u64 arc_evict(struct lruvec *lruvec, struct page *page)
{
	struct queue_room *room = queue_room(lruvec);
	u32 second = (page->policy & QUEUE_OWN) != 0;
	u64 number = room->own[EVICTED1 + second]++;

	room->own[GHOSTS1 + second]++;
	arc_trim(room);
	return (number << 1 & COOKIE_MASK) | second;
}

static bool arc_refault(struct lruvec *lruvec, struct page *page, u64 cookie)
{
	struct queue_room *room = queue_room(lruvec);
	u64 *own = room->own, second = cookie & 1, since;
	u64 mine = max(own[GHOSTS1 + second], 1UL);
	u64 other = own[GHOSTS2 - second];

	(void)page;
	since = ((own[EVICTED1 + second] << 1) - (cookie & ~1UL)) & COOKIE_MASK;
	if (since >> 1 > own[GHOSTS1 + second])
		return false;
	if (second)
		own[TARGET] -= min(own[TARGET], max(other / mine, 1UL));
	else
		own[TARGET] += max(other / mine, 1UL);
	own[GHOSTS1 + second] -= min(own[GHOSTS1 + second], 1UL);
	arc_trim(room);
	return true;
}

const struct lru_ops arc_ops = {
	.name = "arc",
	.init = arc_init,
	.add = queue_add,
	.del = queue_del,
	.activate = queue_activate,
	.rotate = queue_rotate,
	.scan = arc_scan,
	.pageout = reclaim_pages,
	.evict = arc_evict,
	.refault = arc_refault,
	.coldest = queue_coldest,
	.check = queue_check,
};
