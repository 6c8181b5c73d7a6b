/* SPDX-License-Identifier: MIT */
/*
 * page_alloc_priv.h - what page_alloc.c and page_free.c share: blocks that
 * become used and free again, their order, and from where.
 */
#ifndef MM_PHYS_PAGE_ALLOC_PRIV_H
#define MM_PHYS_PAGE_ALLOC_PRIV_H

#include <mmkit/gfp.h>

#include "base/atomic.h"
#include "phys/phys.h"

/* block_order: what the block at PAGE was allocated with; 0 for a single. */
static inline unsigned int block_order(const struct page *page)
{
	u32 large = 1u << PG_head | 1u << PG_block;

	return READ_ONCE(page->flags) & large ? READ_ONCE(page[1].index) : 0;
}

/* places_stale: zone lists changed since this CPU's fast places were built. */
static inline bool places_stale(void)
{
	return READ_ONCE(phys_sys.places_due) !=
	       READ_ONCE(phys_sys.places_seen[port_cpu()]);
}

/* root_charge: NR more frames count against the root group. */
static inline void root_charge(s64 nr)
{
	__atomic_fetch_add(&phys_sys.root_charged[port_cpu()][0], nr,
			   __ATOMIC_RELAXED);
}

/* The per-CPU list of whole pageblocks is for movable ones. */
static inline bool use_pcp(unsigned int order, int mt)
{
	return order <= PAGE_ALLOC_COSTLY_ORDER ||
	       (order == pageblock_order && mt == MIGRATE_MOVABLE);
}

/*
 * prep_new_page: a block off the lists becomes the caller's: count 1, order
 * noted, and what post_alloc_hook() does. False: a frame of it was changed
 * while it was free; it is reported and set aside, the others are free again.
 */
bool prep_new_page(struct page *page, unsigned int order, gfp_t gfp);

/* count_taken: a block of ORDER of ZONE is given out; PREFERRED was wanted. */
void count_taken(struct zone *preferred, struct zone *zone, unsigned int order);

#endif
