/* SPDX-License-Identifier: MIT */
/*
 * buddy_priv.h - what buddy.c, fallback.c and pcp.c share. Zone lock held in
 * all of it.
 */
#ifndef MM_PHYS_BUDDY_PRIV_H
#define MM_PHYS_BUDDY_PRIV_H

#include "phys/alloc.h"

/* zone_count_free: NR more frames on lists of type MT; isolated are not free.
 */
static inline void zone_count_free(struct zone *zone, s64 nr, int mt)
{
	if (likely(mt != MIGRATE_ISOLATE))
		WRITE_ONCE(zone->nr_free_pages, zone->nr_free_pages + nr);
}

/* buddy_add / buddy_del: a block on and off its list; frames not counted. */
void buddy_add(struct zone *zone, struct page *page, unsigned int order,
	       int mt);
void buddy_del(struct zone *zone, struct page *page, unsigned int order);

/* buddy_move: the free block at PAGE goes to MT's list; counted. */
void buddy_move(struct zone *zone, struct page *page, int mt);

/*
 * buddy_pop_smallest: take a block of at least ORDER off MT's lists, its
 * order in *FOUND; frames not counted. NULL: none.
 */
struct page *buddy_pop_smallest(struct zone *zone, unsigned int order, int mt,
				unsigned int *found);

/*
 * buddy_put_rest: list what is left of a block of ORDER at PAGE after its
 * first USED frames; frames not counted. USED > 0.
 */
void buddy_put_rest(struct zone *zone, struct page *page, u64 used,
		    unsigned int order, int mt);

/* rmqueue_smallest: a block of ORDER from MT's lists; counted. */
struct page *rmqueue_smallest(struct zone *zone, unsigned int order, int mt);

/*
 * rmqueue_fallback: bring a block of another type to MT's lists. True if
 * rmqueue_smallest() will now succeed.
 */
bool rmqueue_fallback(struct zone *zone, unsigned int order, int mt,
		      u32 alloc_flags);

/* reserve_highatomic_pageblock: PAGE's pageblock becomes HIGHATOMIC, unless
 * the zone has enough. Takes the zone lock itself. */
void reserve_highatomic_pageblock(struct page *page, struct zone *zone);

#endif
