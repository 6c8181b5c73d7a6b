/* SPDX-License-Identifier: MIT */
/*
 * capture.c - what compaction takes from the zone.
 *
 * 1. Purpose. Compaction empties blocks for somebody who waits for one. A block
 *    that is complete must not be given to somebody else in the moment before
 * the waiter looks: small requests would eat what large ones were made for. So
 * the waiter leaves word with the zone, and the free that completes a block
 * hands it over. Compaction also needs frames to move pages to, and these very
 *    frames, from the zone's other end.
 *
 * 2. Invariants.
 *    CA-1  A captured block is on no list and not counted free; its frames are
 * as those of a free block otherwise, until capture_use(). CA-2  An isolated
 * free frame is a page in use, of whoever isolated it. CA-3  Frames of CMA
 * areas and isolated pageblocks are never captured; those of a movable
 * pageblock, smaller than it, for movable requests only.
 *
 * 3. Locking. Zone lock.
 *
 * Reference: lwn.net article 777077 (capture of pages in compaction).
 */
#include "phys/capture.h"

#include "phys/buddy_priv.h"
#include "phys/page_alloc_priv.h"
#include "phys/phys.h"

bool capture_begin(struct zone *zone, struct capture_control *capc)
{
	unsigned long flags;
	bool ours;

	spin_lock_irqsave(&zone->lock, flags);
	ours = zone->capture == NULL;
	if (ours)
		zone->capture = capc;
	spin_unlock_irqrestore(&zone->lock, flags);
	return ours;
}

void capture_end(struct zone *zone, struct capture_control *capc)
{
	unsigned long flags;

	spin_lock_irqsave(&zone->lock, flags);
	if (zone->capture == capc)
		zone->capture = NULL;
	spin_unlock_irqrestore(&zone->lock, flags);
}

/* May CAPC's request have a block of ORDER whose frames are of type MT? */
static bool capture_allowed(const struct capture_control *capc,
			    unsigned int order, int mt)
{
	if (order < capc->order || migratetype_private(mt))
		return false;
	return order >= pageblock_order || mt != MIGRATE_MOVABLE ||
	       capc->migratetype == MIGRATE_MOVABLE;
}

bool capture_block(struct zone *zone, struct page *page, unsigned int order,
		   int migratetype)
{
	struct capture_control *capc = zone->capture;

	assert_spin_locked(&zone->lock);
	if (!capture_allowed(capc, order, migratetype))
		return false;
	zone->capture = NULL;
	/* The waiter looks at it without the lock, meanwhile. */
	WRITE_ONCE(capc->page, page);
	zone_count_free(zone, -(s64)(1L << capc->order), migratetype);
	if (order > capc->order)
		buddy_put_rest(zone, page, 1UL << capc->order, order,
			       migratetype);
	return true;
}

struct page *capture_use(struct zone *preferred, struct zone *zone,
			 struct capture_control *capc, gfp_t gfp)
{
	struct page *page = capc->page;

	capc->page = NULL;
	count_taken(preferred, zone, capc->order);
	return prep_new_page(page, capc->order, gfp) ? page : NULL;
}

void capture_free(struct zone *zone, struct capture_control *capc)
{
	struct page *page = capc->page;
	unsigned long flags;

	if (!page)
		return;
	capc->page = NULL;
	spin_lock_irqsave(&zone->lock, flags);
	free_block(zone, page, page_to_pfn(page), capc->order);
	spin_unlock_irqrestore(&zone->lock, flags);
}

/* ---- frames to move pages to -----------------------------------------------
 */

/* Blocks that one hold of the zone lock takes. */
#define FREE_BLOCKS 32u

struct taken {
	u32 nr;
	struct {
		struct page *page;
		unsigned int order;
	} block[FREE_BLOCKS];
	u64 frames;
};

/* Zone lock held. False: the watermark forbids more. */
static bool take_free(struct zone *zone, u64 *pfn, u64 end, struct taken *t,
		      u64 max)
{
	while (*pfn < end && t->nr < FREE_BLOCKS && t->frames < max) {
		struct page *page = pfn_to_page(*pfn);
		unsigned int order;

		if (!PageBuddy(page) || page_zone_id(page) != zone->zone_id) {
			++*pfn;
			continue;
		}
		order = buddy_order(page);
		if (!__isolate_free_page(page, order))
			return false;
		t->block[t->nr].page = page;
		t->block[t->nr++].order = order;
		t->frames += 1UL << order;
		*pfn += 1UL << order;
	}
	return true;
}

/* What was taken becomes single pages. How many. */
static u64 make_singles(struct zone *zone, const struct taken *t,
			struct page_list *list)
{
	u64 n = 0;

	for (u32 b = 0; b < t->nr; b++)
		for (u64 i = 0; i < 1UL << t->block[b].order; i++) {
			struct page *page = t->block[b].page + i;

			if (!prep_new_page(page, 0, __GFP_MOVABLE))
				continue;
			page_list_add_tail(list, page);
			n++;
		}
	count_vm_events(zone_event(PGALLOC_DMA, zone->idx), t->frames);
	return n;
}

u64 isolate_free_frames(struct zone *zone, u64 *pfn, u64 end,
			struct page_list *list, u64 max)
{
	bool more = true;
	u64 got = 0;

	while (more && *pfn < end && got < max) {
		struct taken t = {0};
		unsigned long flags;

		spin_lock_irqsave(&zone->lock, flags);
		more = take_free(zone, pfn, end, &t, max - got);
		spin_unlock_irqrestore(&zone->lock, flags);
		got += make_singles(zone, &t, list);
	}
	return got;
}

/* ---- hints -----------------------------------------------------------------
 */

static void change_skip(u64 pfn, bool skip)
{
	u8 *byte = &phys_sys.hot.pageblock_mt[pfn >> pageblock_order];
	u8 was = READ_ONCE(*byte);

	WRITE_ONCE(*byte,
		   (u8)(skip ? was | PAGEBLOCK_SKIP : was & ~PAGEBLOCK_SKIP));
}

void set_pageblock_skip(struct zone *zone, u64 pfn)
{
	unsigned long flags;

	spin_lock_irqsave(&zone->lock, flags);
	change_skip(pfn, true);
	spin_unlock_irqrestore(&zone->lock, flags);
}

void reset_pageblock_skip(struct zone *zone)
{
	u64 pfn = zone->zone_start_pfn, end = zone_end_pfn(zone);
	unsigned long flags;

	for (; pfn < end; pfn += pageblock_nr_pages) {
		if (!pageblock_skip(pfn))
			continue;
		spin_lock_irqsave(&zone->lock, flags);
		change_skip(pfn, false);
		spin_unlock_irqrestore(&zone->lock, flags);
	}
}
