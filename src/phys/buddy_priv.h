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
	if (unlikely(mt >= MIGRATE_CMA)) {
		if (mt == MIGRATE_ISOLATE)
			return;
		WRITE_ONCE(zone->nr_free_cma, zone->nr_free_cma + nr);
	}
	WRITE_ONCE(zone->nr_free_pages, zone->nr_free_pages + nr);
}

MM_STATIC_ASSERT(MIGRATE_ISOLATE == MIGRATE_CMA + 1,
		 "CMA and ISOLATE are the last types");

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

/* may_use_cma: movable frames may lie in CMA areas, if the request says so. */
static inline bool may_use_cma(int mt, u32 alloc_flags)
{
	return (alloc_flags & ALLOC_CMA) && mt == MIGRATE_MOVABLE;
}

/*
 * cma_first: more than half of what is free is CMA's. Then it is lent first,
 * or the rest, which serves everybody, would be used up long before.
 */
static inline bool cma_first(const struct zone *zone, int mt, u32 alloc_flags)
{
	return unlikely(zone->nr_free_cma > zone->nr_free_pages / 2) &&
	       may_use_cma(mt, alloc_flags);
}

/* list_to_try: the type whose lists a request for MT looks at first. */
static inline int list_to_try(const struct zone *zone, int mt, u32 alloc_flags)
{
	return cma_first(zone, mt, alloc_flags) ? MIGRATE_CMA : mt;
}

/*
 * buddy_block_of: the free block that frame PFN is in, NULL if it is in none.
 * PFN has a descriptor.
 */
struct page *buddy_block_of(const struct zone *zone, u64 pfn);

/*
 * move_pageblock: the pageblock at PFN (its first frame) becomes MT, and its
 * free blocks go to MT's lists; counted. A larger free block is split first,
 * a free pageblock is merged as its new type allows. Returns the frames moved.
 */
u64 move_pageblock(struct zone *zone, u64 pfn, int mt);

/*
 * free_block: __free_one_page() to the lists that the pageblocks say; a block
 * over pageblocks of different types goes back in pieces.
 */
void free_block(struct zone *zone, struct page *page, u64 pfn,
		unsigned int order);

/* reserve_highatomic_pageblock: PAGE's pageblock becomes HIGHATOMIC, unless
 * the zone has enough. Takes the zone lock itself. */
void reserve_highatomic_pageblock(struct page *page, struct zone *zone);

#endif
