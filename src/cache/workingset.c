/* SPDX-License-Identifier: MIT */
/*
 * workingset.c - was it a mistake to evict this page?
 *
 * A node counts evictions and activations: its age. An evicted page leaves
 * its node and the age at that moment in a shadow. If it comes back, the age
 * passed since then (the refault distance) is how many more inactive pages
 * memory would have needed to keep it. If that is no more than the pages that
 * are active now, the page competes with them and is made active at once.
 *
 * Shadow value (62 bits): bit 0 workingset, bits 1..6 node, rest age, or what
 * the replacement policy wants to know of the page when it is back (evict and
 * refault of struct lru_ops): its ghosts are these values, and it judges them
 * itself.
 *
 * Reference: J. Weiner's description of refault distance (Linux 3.15, 5.9),
 * Linux documentation.
 */
#include "base/trace_ring.h"
#include "cache/swap.h"
#include "phys/lru.h"
#include "phys/mmzone.h"
#include "phys/vmstat.h"

#define SHADOW_NODE_BITS 6
#define SHADOW_AGE_BITS	 (62 - 1 - SHADOW_NODE_BITS)
#define SHADOW_AGE_MASK	 ((1UL << SHADOW_AGE_BITS) - 1)

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

	return xa_mk_value((age & SHADOW_AGE_MASK) << (1 + SHADOW_NODE_BITS) |
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

void workingset_refault(struct page *page, const void *shadow)
{
	u64 v = xa_to_value(shadow);
	pg_data_t *pgdat = NODE_DATA((int)(v >> 1 & (MM_MAX_NODES - 1)));
	bool file = !PageSwapBacked(page), activate;
	struct lruvec *lruvec = page_lruvec(page);
	const struct lru_ops *ops = READ_ONCE(lruvec->ops);
	u64 distance;

	if (!pgdat)
		return;
	distance = (READ_ONCE(pgdat->lruvec.nonresident_age) -
		    (v >> (1 + SHADOW_NODE_BITS))) &
		   SHADOW_AGE_MASK;
	mod_node_page_state(pgdat, WORKINGSET_REFAULT_BASE + file, 1);
	if (ops && ops->refault)
		activate = policy_refault(lruvec, page,
					  v >> (1 + SHADOW_NODE_BITS) &
						  (BIT(LRU_COOKIE_BITS) - 1));
	else
		activate = distance <= competing_pages(&pgdat->lruvec, file);
	trace_emit(MM_REFAULT, page_to_pfn(page), distance, activate);
	if (!activate)
		return;
	SetPageActive(page);
	workingset_age(page, 1);
	mod_node_page_state(pgdat, WORKINGSET_ACTIVATE_BASE + file, 1);
	if (v & 1) {
		SetPageWorkingset(page);
		mod_node_page_state(pgdat, WORKINGSET_RESTORE_BASE + file, 1);
	}
}
