/* SPDX-License-Identifier: MIT */
/*
 * workingset.c - was it a mistake to evict this page?
 *
 * The lists of each node and group count evictions and activations: their
 * age. An evicted page leaves its node, its group and the age at that moment
 * in a shadow. If it comes back, the age passed since then (the refault
 * distance) is how many more inactive pages memory would have needed to keep
 * it. If that is no more than the pages that are active now, the page competes
 * with them and is made active at once.
 *
 * A page competes with those of its own group. A group may be gone, and its id
 * another's by now: then the distance is a guess of the same worth as none.
 *
 * Shadow value (62 bits): bit 0 workingset, bits 1..6 node, 7..22 group, rest
 * age, or what the replacement policy wants to know of the page when it is back
 * (evict and refault of struct lru_ops): its ghosts are these values, and it
 * judges them itself.
 *
 * Reference: J. Weiner's description of refault distance (Linux 3.15, 5.9),
 * Linux documentation.
 */
#include "base/trace_ring.h"
#include "cache/swap.h"
#include "memcg/memcg.h"
#include "phys/lru.h"
#include "phys/mmzone.h"
#include "phys/vmstat.h"

#define SHADOW_NODE_BITS   6
#define SHADOW_GROUP_SHIFT (1 + SHADOW_NODE_BITS)
#define SHADOW_AGE_SHIFT   (SHADOW_GROUP_SHIFT + 16)
#define SHADOW_AGE_BITS	   (62 - SHADOW_AGE_SHIFT)
#define SHADOW_AGE_MASK	   ((1UL << SHADOW_AGE_BITS) - 1)

MM_STATIC_ASSERT(MM_MAX_NODES <= 1 << SHADOW_NODE_BITS, "node fits a shadow");

void workingset_age(struct page *page, u64 n)
{
	__atomic_fetch_add(&page_lruvec(page)->nonresident_age, n,
			   __ATOMIC_RELAXED);
}

/* What the policy wants to know of PAGE again, in place of AGE. */
static u64 policy_cookie(struct lruvec *lruvec, struct page *page, u64 age)
{
	unsigned long flags;

	spin_lock_irqsave(&lruvec->lock, flags);
	/* It may have been exchanged just now. */
	if (lruvec->ops->evict)
		age = lruvec->ops->evict(lruvec, page);
	spin_unlock_irqrestore(&lruvec->lock, flags);
	return age;
}

/* The same page is back: what does the policy say? */
static bool policy_refault(struct lruvec *lruvec, struct page *page, u64 cookie)
{
	bool activate = false;
	unsigned long flags;

	spin_lock_irqsave(&lruvec->lock, flags);
	if (lruvec->ops->refault)
		activate = lruvec->ops->refault(lruvec, page, cookie);
	spin_unlock_irqrestore(&lruvec->lock, flags);
	return activate;
}

void *workingset_eviction(struct page *page)
{
	struct lruvec *lruvec = page_lruvec(page);
	u64 age = __atomic_fetch_add(&lruvec->nonresident_age, 1,
				     __ATOMIC_RELAXED);
	const struct lru_ops *ops = READ_ONCE(lruvec->ops);

	if (ops && ops->evict)
		age = policy_cookie(lruvec, page, age);

	return xa_mk_value((age & SHADOW_AGE_MASK) << SHADOW_AGE_SHIFT |
			   (u64)page_group(page) << SHADOW_GROUP_SHIFT |
			   (u64)page_to_nid(page) << 1 |
			   (PageWorkingset(page) ? 1 : 0));
}

/* What the refaulting page competes with: all but the inactive pages of its
 * own kind. */
static u64 competing_pages(const struct lruvec *lruvec, bool file)
{
	u64 n = lruvec_size(lruvec, LRU_ACTIVE_FILE) +
		lruvec_size(lruvec, LRU_ACTIVE_ANON);

	return n + lruvec_size(lruvec,
			       file ? LRU_INACTIVE_ANON : LRU_INACTIVE_FILE);
}

/* The lists of the group that the page left, while it is held; the root's if
 * that group is gone. */
static struct lruvec *shadow_lruvec(pg_data_t *pgdat, u64 shadow,
				    struct memcg **memcg)
{
	*memcg = memcg_get((u16)(shadow >> SHADOW_GROUP_SHIFT));
	return group_lruvec(*memcg ? &(*memcg)->page : NULL, pgdat);
}

/*
 * Was PAGE away for less than its lists could have held? A policy with ghosts
 * judges by what it left itself, if the page is back in the same group.
 */
static bool was_needed(struct page *page, pg_data_t *pgdat, u64 v, bool file)
{
	struct memcg *memcg;
	struct lruvec *lruvec = shadow_lruvec(pgdat, v, &memcg);
	const struct lru_ops *ops = READ_ONCE(lruvec->ops);
	u64 cookie = v >> SHADOW_AGE_SHIFT, distance;
	bool activate;

	distance =
		(READ_ONCE(lruvec->nonresident_age) - cookie) & SHADOW_AGE_MASK;
	if (!ops || !ops->refault)
		activate = distance <= competing_pages(lruvec, file);
	else
		activate = page_group(page) == (u16)(v >> SHADOW_GROUP_SHIFT) &&
			   policy_refault(page_lruvec(page), page,
					  cookie & (BIT(LRU_COOKIE_BITS) - 1));
	if (memcg)
		memcg_put(memcg, 1);
	trace_emit(MM_REFAULT, page_to_pfn(page), distance, activate);
	return activate;
}

/* What happened to PAGE counts at the node that it left, and its group. */
static void count_refault(const struct page *page, pg_data_t *pgdat, int item)
{
	u16 group = page_group(page);

	mod_node_page_state(pgdat, item, 1);
	if (group)
		group_node_stat_add(group, pgdat->node_id, item, 1);
}

void workingset_refault(struct page *page, const void *shadow)
{
	u64 v = xa_to_value(shadow);
	pg_data_t *pgdat = NODE_DATA((int)(v >> 1 & (MM_MAX_NODES - 1)));
	const struct lru_ops *ops = READ_ONCE(page_lruvec(page)->ops);
	bool file = !PageSwapBacked(page);

	if (!pgdat)
		return;
	count_refault(page, pgdat, WORKINGSET_REFAULT_BASE + file);
	if (!was_needed(page, pgdat, v, file))
		return;
	/* Read ahead, it may not be wanted at all: to be active it must be used
	 * before it is looked at, as the page that was asked for is. */
	if (ops && ops->refault)
		SetPageActive(page);
	else
		SetPageReferenced(page);
	workingset_age(page, 1);
	count_refault(page, pgdat, WORKINGSET_ACTIVATE_BASE + file);
	if (v & 1) {
		/* It had been active, and is read for the second time: that is
		 * what taking such pages costs. */
		SetPageWorkingset(page);
		lru_note_cost(page_lruvec(page), file, 1);
		count_refault(page, pgdat, WORKINGSET_RESTORE_BASE + file);
	}
}
