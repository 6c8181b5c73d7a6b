/* SPDX-License-Identifier: MIT */
/*
 * scan.c - the two scanners of compaction. Theory: compact.c.
 *
 * Both go by pageblocks. The migrate scanner comes from the zone's start and
 * isolates pages in use that can move; the free scanner comes from its end and
 * isolates free frames for them. A pageblock in which a scanner found nothing
 * is marked, and left out by later runs until the marks are forgotten. Where
 * they meet, the run is over: so nothing that was moved is moved again, and no
 * frame is both (SC-1).
 */
#include <mmkit/errno.h>

#include "base/epoch.h"
#include "base/trace_ring.h"
#include "cache/filemap.h"
#include "compact/compact.h"
#include "pgtable/huge.h"
#include "phys/lru.h"
#include "phys/movable_ops.h"
#include "phys/phys.h"
#include "phys/vmstat.h"

/* The descriptor of the pageblock at PFN, all of whose frames in [PFN, END)
 * exist and are the zone's; else NULL. Deferred memory is one large free block.
 */
static struct page *block_page(const struct zone *zone, u64 pfn, u64 end)
{
	struct page *first, *last;

	if (!pfn_valid(pfn) || !pfn_valid(end - 1) || pfn_deferred(pfn))
		return NULL;
	first = pfn_to_page(pfn);
	last = pfn_to_page(end - 1);
	return page_zone_id(first) == zone->zone_id &&
			       page_zone_id(last) == zone->zone_id
		       ? first
		       : NULL;
}

/* ---- pages that are in the way ---------------------------------------------
 */

/* Would moving PAGE, in use, be in vain, as far as can be told without locking
 * it? Its count and flags may change at any moment. */
static bool hopeless(const struct compact_control *cc, const struct page *page)
{
	bool async = cc->mode == MIGRATE_ASYNC;
	struct address_space *mapping;

	if (PageUnevictable(page) &&
	    !READ_ONCE(compact_sys.unevictable_allowed))
		return true;
	if (page_maybe_dma_pinned(page))
		return true;
	if (async && (PageWriteback(page) || PageLocked(page)))
		return true;
	/* No entry, no file: somebody holds it and nothing else is known. */
	mapping = page_mapping(page);
	if (!mapping &&
	    page_count(page) > page_mapcount(page) + PageSwapCache(page) + 1)
		return true;
	return false;
}

/* The page at PFN, isolated; NULL: it stays. *NEXT: the frame after what stands
 * there. */
static struct page *take_page(const struct compact_control *cc, u64 pfn,
			      u64 *next)
{
	struct page *page = pfn_to_page(pfn);
	unsigned int order;

	*next = pfn + 1;
	if (PageBuddy(page)) {
		order = buddy_order(page);
		if (order < MAX_ORDER)
			*next = pfn + (1UL << order);
		return NULL;
	}
	if (PageHead(page)) {
		order = compound_order(page);
		if (order < MAX_ORDER)
			*next = pfn + (1UL << order);
		return NULL;
	}
	/* It is as large as what all this is for: not broken up for that. */
	if (page_large_maps(page)) {
		*next = ALIGN_DOWN(pfn, (u64)HPAGE_PMD_NR) + HPAGE_PMD_NR;
		return NULL;
	}
	if ((!PageLRU(page) && !__PageMovable(page)) || hopeless(cc, page) ||
	    !get_page_unless_zero(page))
		return NULL;
	if (isolate_movable_page(page, cc->mode)) {
		put_page(page);
		return NULL;
	}
	put_page(page);
	return page;
}

/* Too many pages are isolated already: others would find none on the lists. */
static bool too_many_isolated(const pg_data_t *pgdat)
{
	u64 isolated = node_page_state(pgdat, NR_ISOLATED_ANON) +
		       node_page_state(pgdat, NR_ISOLATED_FILE);
	u64 listed = 0;

	for (int l = 0; l < LRU_UNEVICTABLE; l++)
		listed += node_lru_pages(pgdat, (enum lru_list)l);
	return isolated > listed / 2 + COMPACT_CLUSTER_MAX;
}

/* Pages of [cc->migrate_pfn, END), of one pageblock, to cc->pages, as many as
 * make a batch. */
static void isolate_block(struct compact_control *cc, u64 end)
{
	u64 start = cc->migrate_pfn, pfn = start, next, scanned = 0;

	for (; pfn < end && cc->pages.count < COMPACT_CLUSTER_MAX; pfn = next) {
		struct page *page = NULL;

		next = pfn + 1;
		epoch_enter();
		if (pfn_valid(pfn))
			page = take_page(cc, pfn, &next);
		epoch_exit();
		scanned++;
		if (page)
			page_list_add_tail(&cc->pages, page);
	}
	cc->migrate_pfn = min(pfn, end);
	cc->migrate_scanned += scanned;
	count_vm_events(COMPACTISOLATED, cc->pages.count);
	trace_emit(MM_COMPACTION_ISOLATE_MIGRATEPAGES, start, cc->migrate_pfn,
		   scanned, cc->pages.count);
}

/* May pages of the pageblock at PFN be moved on behalf of this run? Who must
 * not wait takes pageblocks of the type that it wants. */
static bool migrate_source(const struct compact_control *cc, u64 pfn)
{
	int mt = get_pfnblock_migratetype(pfn);

	if (mt == MIGRATE_ISOLATE)
		return false;
	if (!cc->ignore_skip_hint && pageblock_skip(pfn))
		return false;
	if (cc->mode != MIGRATE_ASYNC || !cc->direct)
		return true;
	if (cc->migratetype == MIGRATE_MOVABLE)
		return mt == MIGRATE_MOVABLE || mt == MIGRATE_CMA;
	return mt == cc->migratetype;
}

/* Later runs begin behind the pageblock at PFN. */
static void remember_migrate(const struct compact_control *cc, u64 pfn)
{
	struct zone *zone = cc->zone;

	pfn += pageblock_nr_pages;
	if (cc->whole_zone)
		return;
	for (int sync = 0; sync < 2; sync++) {
		u64 *at = &zone->compact_cached_migrate_pfn[sync];

		if (sync && cc->mode == MIGRATE_ASYNC)
			break;
		if (READ_ONCE(*at) < pfn)
			WRITE_ONCE(*at, pfn);
	}
}

enum isolate_result isolate_migratepages(struct compact_control *cc)
{
	while (!scanners_met(cc)) {
		u64 from = cc->migrate_pfn, start = pageblock_start(from);
		u64 end = start + pageblock_nr_pages;
		bool whole = from == max(start, cc->zone->zone_start_pfn);

		end = min(end, zone_end_pfn(cc->zone));
		if (!block_page(cc->zone, from, end) ||
		    (whole && !migrate_source(cc, from))) {
			cc->migrate_pfn = start + pageblock_nr_pages;
			continue;
		}
		if (too_many_isolated(cc->zone->zone_pgdat)) {
			if (cc->mode == MIGRATE_ASYNC)
				return ISOLATE_ABORT;
			port_park(1000 * 1000);
			if (READ_ONCE(port_current()->fatal_signal))
				return ISOLATE_ABORT;
		}
		isolate_block(cc, end);
		if (cc->migrate_pfn == end)
			cc->migrate_pfn = start + pageblock_nr_pages;
		if (cc->pages.count)
			return ISOLATE_SUCCESS;
		if (whole && !cc->whole_zone) {
			set_pageblock_skip(cc->zone, start);
			remember_migrate(cc, start);
		}
	}
	return ISOLATE_NONE;
}

/* ---- frames for them -------------------------------------------------------
 */

/* Where pages are moved to: pageblocks of movable pages that are not free as a
 * whole: such a block is what all this is for. */
static bool free_target(const struct compact_control *cc,
			const struct page *page, u64 pfn)
{
	int mt = get_pfnblock_migratetype(pfn);

	if (!cc->ignore_skip_hint && pageblock_skip(pfn))
		return false;
	if (PageBuddy(page) && buddy_order(page) >= pageblock_order)
		return false;
	if (cc->ignore_block_suitable && mt != MIGRATE_ISOLATE)
		return true;
	return mt == MIGRATE_MOVABLE || mt == MIGRATE_CMA;
}

static void remember_free(const struct compact_control *cc, u64 pfn)
{
	if (!cc->whole_zone &&
	    pfn < READ_ONCE(cc->zone->compact_cached_free_pfn))
		WRITE_ONCE(cc->zone->compact_cached_free_pfn, pfn);
}

/* Frames of the pageblock at START, from FROM on. Where it ended. */
static u64 isolate_free_block(struct compact_control *cc, u64 start, u64 from,
			      u64 end)
{
	u64 want = COMPACT_CLUSTER_MAX - cc->free.count, pfn = from, got = 0;

	epoch_enter();
	if (block_page(cc->zone, from, end))
		got = isolate_free_frames(cc->zone, &pfn, end, &cc->free, want);
	epoch_exit();
	cc->free_scanned += pfn - from;
	count_vm_events(COMPACTISOLATED, got);
	trace_emit(MM_COMPACTION_ISOLATE_FREEPAGES, from, pfn, pfn - from, got);
	if (!got && from == start && pfn >= end && !cc->whole_zone) {
		set_pageblock_skip(cc->zone, start);
		remember_free(cc, start);
	}
	return pfn;
}

void isolate_freepages(struct compact_control *cc)
{
	/* free_pfn: in the block that was left in the middle, or its start. */
	u64 low = pageblock_start(cc->migrate_pfn + pageblock_nr_pages - 1);
	u64 at = cc->free_pfn, start = pageblock_start(at);

	for (; start >= low && start != 0;
	     start -= pageblock_nr_pages, at = start) {
		u64 end =
			min(start + pageblock_nr_pages, zone_end_pfn(cc->zone));
		struct page *page;

		at = max(at, cc->zone->zone_start_pfn);
		page = at < end ? block_page(cc->zone, at, end) : NULL;
		if (page && (at != start || free_target(cc, page, start))) {
			u64 stop = isolate_free_block(cc, start, at, end);

			if (cc->free.count >= COMPACT_CLUSTER_MAX) {
				at = stop < end ? stop
						: start - pageblock_nr_pages;
				break;
			}
		}
		port_sched_point();
	}
	cc->free_pfn = max(at, pageblock_start(cc->migrate_pfn));
}
