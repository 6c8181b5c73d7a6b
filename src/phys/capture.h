/* SPDX-License-Identifier: MIT */
/*
 * capture.h - what compaction takes from the zone: free frames to move pages
 * to, and the block that it was all for. Theory: capture.c.
 */
#ifndef MM_PHYS_CAPTURE_H
#define MM_PHYS_CAPTURE_H

#include "phys/alloc.h"

/* A request that waits for a block. (Z) of its zone. */
struct capture_control {
	unsigned int order;
	int migratetype;
	struct page *page; /* (Z) the block, taken off circulation; or NULL */
};

/*
 * capture_begin: the next block of CAPC's order that becomes free in ZONE, and
 * that its type may use, is CAPC's at once, without being free for anybody. One
 * request of a zone at a time: false, another waits. capture_end: no more;
 * *CAPC says what came. Any context that may take the zone lock.
 */
bool capture_begin(struct zone *zone, struct capture_control *capc);
void capture_end(struct zone *zone, struct capture_control *capc);

/* capture_use: the block that CAPC got, of ZONE, becomes pages as alloc_pages()
 * makes them; PREFERRED for the NUMA counters. NULL: a frame of it was bad.
 * capture_free: it goes back. */
struct page *capture_use(struct zone *preferred, struct zone *zone,
			 struct capture_control *capc, gfp_t gfp);
void capture_free(struct zone *zone, struct capture_control *capc);

/* capture_block: __free_one_page()'s question, only if zone->capture is set:
 * does who waits there take the free, merged block at PAGE? Zone lock. */
bool capture_block(struct zone *zone, struct page *page, unsigned int order,
		   int migratetype);

/*
 * isolate_free_frames: free blocks that begin in [*PFN, END), a part of one
 * pageblock of ZONE, off the lists, as movable single pages with a reference
 * each, to LIST, until it has MAX or the min watermark forbids more. *PFN:
 * where it ended. Returns how many came.
 */
u64 isolate_free_frames(struct zone *zone, u64 *pfn, u64 end,
			struct page_list *list, u64 max);

/* pageblock_skip / set_: compaction found nothing in PFN's pageblock. reset_:
 * all of ZONE's are looked at again. set and reset take the zone lock. */
static inline bool pageblock_skip(u64 pfn)
{
	return (READ_ONCE(phys_hot()->pageblock_mt[pfn >> pageblock_order]) &
		PAGEBLOCK_SKIP) != 0;
}
void set_pageblock_skip(struct zone *zone, u64 pfn);
void reset_pageblock_skip(struct zone *zone);

#endif
