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
 * Shadow value (62 bits): bit 0 workingset, bits 1..6 node, rest age.
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

void *workingset_eviction(struct page *page)
{
	struct lruvec *lruvec = page_lruvec(page);
	u64 age = __atomic_fetch_add(&lruvec->nonresident_age, 1,
				     __ATOMIC_RELAXED);

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
	u64 distance;

	if (!pgdat)
		return;
	distance = (READ_ONCE(pgdat->lruvec.nonresident_age) -
		    (v >> (1 + SHADOW_NODE_BITS))) &
		   SHADOW_AGE_MASK;
	mod_node_page_state(pgdat, WORKINGSET_REFAULT_BASE + file, 1);
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
