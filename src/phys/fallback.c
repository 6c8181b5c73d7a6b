/* SPDX-License-Identifier: MIT */
/*
 * fallback.c - when a mobility type has no free block: taking another's.
 *
 * The idea is to fragment as few pageblocks as possible. A type looks for the
 * largest block of another type, in a fixed order of preference, and takes the
 * whole pageblock with it when most of that is free or alike; then the next
 * requests find their frames there. Each such event raises the zone's
 * watermark for a while, so that kswapd makes room before it happens again.
 * High-order atomic requests have pageblocks of their own (HIGHATOMIC), at
 * most one in a hundred.
 *
 * Everything here runs under the zone lock. References: buddy.c.
 */
#include "base/atomic.h"
#include "base/bitops.h"
#include "base/trace_ring.h"
#include "phys/buddy_priv.h"
#include "phys/phys.h"

#define NR_FALLBACKS 2

/* Whom to rob, in order of preference. */
static const u8 fallbacks[MIGRATE_PCPTYPES][NR_FALLBACKS] = {
	[MIGRATE_UNMOVABLE] = {MIGRATE_RECLAIMABLE, MIGRATE_MOVABLE},
	[MIGRATE_MOVABLE] = {MIGRATE_RECLAIMABLE, MIGRATE_UNMOVABLE},
	[MIGRATE_RECLAIMABLE] = {MIGRATE_UNMOVABLE, MIGRATE_MOVABLE},
};

/*
 * May a whole pageblock change to MT for the sake of a block of ORDER? Large
 * blocks always; small ones only for frames that would pollute it for long.
 */
static bool can_steal(unsigned int order, int mt)
{
	return order >= pageblock_order / 2 || mt != MIGRATE_MOVABLE;
}

/* Compaction asks without the lock, for a look. */
int find_suitable_fallback(const struct free_area *area, unsigned int order,
			   int migratetype, bool *steal)
{
	*steal = false;
	if (READ_ONCE(area->nr_free) == 0)
		return -1;
	for (int i = 0; i < NR_FALLBACKS; i++) {
		int mt = fallbacks[migratetype][i];

		if (page_list_empty(&area->free_list[mt]))
			continue;
		*steal = can_steal(order, migratetype);
		return mt;
	}
	return -1;
}

/*
 * The frames of the pageblock around PFN that belong to ZONE: [*START, *END).
 */
static void pageblock_range(const struct zone *zone, u64 pfn, u64 *start,
			    u64 *end)
{
	u64 base = ALIGN_DOWN(pfn, pageblock_nr_pages);

	*start = max(base, zone->zone_start_pfn);
	*end = min(base + pageblock_nr_pages, zone_end_pfn(zone));
}

/*
 * Move the free blocks of a pageblock to MT. Counts the frames moved, and in
 * *MOVABLE the frames in use that could be migrated.
 */
static u64 move_block(struct zone *zone, const struct page *page, int mt,
		      u64 *movable)
{
	u64 pfn, end, moved = 0;

	assert_spin_locked(&zone->lock);
	pageblock_range(zone, page_to_pfn(page), &pfn, &end);
	*movable = 0;
	while (pfn < end) {
		struct page *p = pfn_to_page(pfn);
		u64 step = 1;

		if (page_zone_id(p) != zone->zone_id) {
			pfn++;
			continue;
		}
		if (PageBuddy(p)) {
			step = 1UL << buddy_order(p);
			buddy_move(zone, p, mt);
			moved += step;
		} else if (PageLRU(p)) {
			++*movable;
		}
		pfn += step;
	}
	return moved;
}

u64 move_freepages_block(struct zone *zone, struct page *page, int migratetype)
{
	u64 movable;

	return move_block(zone, page, migratetype, &movable);
}

/*
 * Raise the watermarks after a pageblock was mixed, within bounds. False on
 * zones so small that it would do more harm than good.
 */
static bool boost_watermark(struct zone *zone)
{
	u64 factor = phys_sys.tunables.watermark_boost_factor;
	u64 most = zone->_watermark[WMARK_HIGH] * factor / 10000;
	u64 boost;

	if (!factor || pageblock_nr_pages * 4 > zone_managed_pages(zone))
		return false;
	/* Zero before the watermarks are set up at boot. */
	if (!most)
		return false;
	most = max(most, pageblock_nr_pages);
	boost = min(zone->watermark_boost + pageblock_nr_pages, most);
	WRITE_ONCE(zone->watermark_boost, boost);
	return true;
}

/* Are enough of a pageblock's frames free or of START's kind to take it? */
static bool worth_converting(u64 free, u64 movable, int start, int old)
{
	u64 alike = 0;

	if (start == MIGRATE_MOVABLE)
		alike = movable;
	else if (old == MIGRATE_MOVABLE && free + movable < pageblock_nr_pages)
		/* What cannot move there is of START's kind, or was. */
		alike = pageblock_nr_pages - free - movable;
	return free + alike >= pageblock_nr_pages / 2;
}

/*
 * The free block at PAGE, of another type, is to serve START: with its whole
 * pageblock if WHOLE and it is worth it, else alone.
 */
static void steal_suitable_fallback(struct zone *zone, struct page *page,
				    u32 alloc_flags, int start, bool whole)
{
	unsigned int order = buddy_order(page);
	int old = get_pageblock_migratetype(page);
	u64 free, movable;

	if (order >= pageblock_order) {
		for (u64 i = 0; i < 1UL << order; i += pageblock_nr_pages)
			set_pageblock_migratetype(page + i, start);
		buddy_move(zone, page, start);
		return;
	}
	if (boost_watermark(zone) && (alloc_flags & ALLOC_KSWAPD))
		set_bit(ZONE_BOOSTED_WATERMARK, &zone->flags);
	mm_assert(!migratetype_private(old));
	if (!whole) {
		buddy_move(zone, page, start);
		return;
	}
	free = move_block(zone, page, start, &movable);
	mm_assert(free >= 1UL << order);
	if (worth_converting(free, movable, start, old))
		set_pageblock_migratetype(page, start);
}

/* The smallest order >= ORDER with a block that MT may rob, or MAX_ORDER. */
static unsigned int smallest_fallback(const struct zone *zone,
				      unsigned int order, int mt)
{
	bool steal;

	for (; order < MAX_ORDER; order++) {
		if (find_suitable_fallback(&zone->free_area[order], order, mt,
					   &steal) >= 0)
			return order;
	}
	return MAX_ORDER;
}

bool rmqueue_fallback(struct zone *zone, unsigned int order, int mt,
		      u32 alloc_flags)
{
	int least = (int)order;
	bool steal;

	/* Mixing is off: only a whole pageblock may change sides. */
	if (order < pageblock_order && (alloc_flags & ALLOC_NOFRAGMENT))
		least = pageblock_order;
	for (int cur = MAX_ORDER - 1; cur >= least; cur--) {
		unsigned int from = (unsigned int)cur;
		struct page *page;
		int before, victim = find_suitable_fallback(
				    &zone->free_area[from], from, mt, &steal);

		if (victim < 0)
			continue;
		/* Movable frames do no lasting harm: take the tightest fit. */
		if (!steal && from > order) {
			from = smallest_fallback(zone, order, mt);
			mm_verify(from < MAX_ORDER);
			victim = find_suitable_fallback(&zone->free_area[from],
							from, mt, &steal);
		}
		page = page_list_first(
			&zone->free_area[from].free_list[victim]);
		before = get_pageblock_migratetype(page);
		steal_suitable_fallback(zone, page, alloc_flags, mt, steal);
		trace_emit(MM_PAGE_ALLOC_EXTFRAG, page_to_pfn(page), order,
			   from, (u64)mt, (u64)victim,
			   get_pageblock_migratetype(page) != before,
			   pageblock_order, from < pageblock_order);
		return true;
	}
	return false;
}

/* ---- pageblocks for high-order atomic requests
 * ------------------------------------- */

void reserve_highatomic_pageblock(struct page *page, struct zone *zone)
{
	u64 most = zone_managed_pages(zone) / 100 + pageblock_nr_pages;
	unsigned long flags;
	int mt;

	if (READ_ONCE(zone->nr_reserved_highatomic) >= most)
		return;
	spin_lock_irqsave(&zone->lock, flags);
	mt = get_pageblock_migratetype(page);
	if (zone->nr_reserved_highatomic < most && mt < MIGRATE_PCPTYPES) {
		WRITE_ONCE(zone->nr_reserved_highatomic,
			   zone->nr_reserved_highatomic + pageblock_nr_pages);
		set_pageblock_migratetype(page, MIGRATE_HIGHATOMIC);
		move_freepages_block(zone, page, MIGRATE_HIGHATOMIC);
	}
	spin_unlock_irqrestore(&zone->lock, flags);
}

/* One pageblock of ZONE back to MT; true if frames became available. */
static bool unreserve_one(struct zone *zone, int mt)
{
	bool done = false;
	unsigned long flags;

	spin_lock_irqsave(&zone->lock, flags);
	for (unsigned int order = 0; !done && order < MAX_ORDER; order++) {
		struct free_area *area = &zone->free_area[order];
		struct page *page =
			page_list_first(&area->free_list[MIGRATE_HIGHATOMIC]);

		if (!page)
			continue;
		WRITE_ONCE(zone->nr_reserved_highatomic,
			   zone->nr_reserved_highatomic - pageblock_nr_pages);
		done = move_pageblock(zone,
				      ALIGN_DOWN(page_to_pfn(page),
						 pageblock_nr_pages),
				      mt) != 0;
	}
	spin_unlock_irqrestore(&zone->lock, flags);
	return done;
}

bool unreserve_highatomic_pageblock(const struct alloc_context *ac, bool force)
{
	struct zoneref *z;
	struct zone *zone;

	for_each_zone_zonelist (zone, z, ac->zonelist, ac->highest_zoneidx) {
		u64 held = READ_ONCE(zone->nr_reserved_highatomic);

		if (held == 0 || (!force && held <= pageblock_nr_pages))
			continue;
		if (unreserve_one(zone, ac->migratetype))
			return true;
	}
	return false;
}
