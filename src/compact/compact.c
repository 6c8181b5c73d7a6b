/* SPDX-License-Identifier: MIT */
/*
 * compact.c - large free blocks by moving pages.
 *
 * 1. Purpose. Memory is free, but in small pieces. Pages in use are moved from
 *    one end of the zone to free frames of its other end, until a block is free
 *    that somebody wants.
 *
 * 2. A run.
 *
 *        zone start                                        zone end
 *        | migrate scanner ->                 <- free scanner |
 *
 *      suitable?               enough frames to move to, and fragmentation is
 *                              what is wrong (extfrag_threshold)
 *      deferred?               it failed lately
 *      isolate some pages      scan.c
 *      move them               move/migrate.c, frames from the free scanner
 *      give frames back        so that they merge with their neighbours
 *      finished?               a block is there, or captured, or they have met
 *
 *    Later runs go on where the last one stopped, and pass over pageblocks
 * where nothing was found; once the scanners have met, or after the longest
 * pause, all that is forgotten.
 *
 * 3. Who starts one. An allocation (direct: policy/slowpath.c), first without
 *    waiting for anything; the daemon of the node (policy/kcompactd.c), when
 *    kswapd has done its part or free memory is badly fragmented; an operator.
 *
 * 4. Deferral. A run that went through all of the zone in vain tells that the
 * next will be in vain too, for this order and above: 2, 4 .. 64 attempts are
 * left out, until a block of the order was had.
 *
 * 5. Invariants.
 *    CP-1  A run's isolated frames are all used or given back at its end.
 *    CP-2  The scanners stand on different pageblocks while it runs (SC-1).
 *    CP-3  compact_cached_* lie within the zone's pageblocks.
 *
 * 6. Locking. None held but what the scanners take for a moment. Runs in one
 * zone may be many: hints and cached places are single words, and a lost race
 * costs a look.
 *
 * 7. Failure. A page that cannot be moved goes back; the run goes on.
 *
 * 8. Rejected. Searching free lists for frames instead of the free scanner:
 * frames of the zone's start would be used, and the next run had to move them
 * again.
 *
 * References: lwn.net articles 368869 (memory compaction) and 817905 (proactive
 * compaction); Linux documentation, admin-guide/sysctl/vm; M. Gorman and
 * P. Healy (2008).
 */
#include "compact/compact.h"

#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>
#include <mmkit/port.h>

#include "base/string.h"
#include "base/trace_ring.h"
#include "phys/lru.h"
#include "phys/phys.h"
#include "phys/vmstat.h"

struct compact_state compact_sys;

void compact_reset(void)
{
	mm_memset(&compact_sys, 0, sizeof(compact_sys));
}

void compact_init(void)
{
	struct zone *zone;

	compact_sys.extfrag_threshold = 500;
	compact_sys.proactiveness = 20;
	compact_sys.unevictable_allowed = 1;
	for_each_zone (zone) {
		zone->compact_cached_free_pfn = 0;
		zone->compact_cached_migrate_pfn[0] = 0;
		zone->compact_cached_migrate_pfn[1] = 0;
		zone->compact_considered = zone->compact_defer_shift = 0;
		zone->compact_order_failed = 0;
	}
}

static struct compact_zone_state *zone_state(const struct zone *zone)
{
	return &compact_sys.zone[zone->zone_id];
}

/* ---- deferral --------------------------------------------------------------
 */

static void trace_deferral(enum trace_event event, const struct zone *zone,
			   int order)
{
	if (trace_enabled(event))
		trace_ring_write(event,
				 (const u64[TRACE_ARGS]){
					 (u64)zone_to_nid(zone), zone->idx,
					 (u64)order, zone->compact_considered,
					 zone->compact_defer_shift,
					 (u64)zone->compact_order_failed});
}

void defer_compaction(struct zone *zone, int order)
{
	WRITE_ONCE(zone->compact_considered, 0);
	WRITE_ONCE(zone->compact_defer_shift,
		   min(READ_ONCE(zone->compact_defer_shift) + 1,
		       COMPACT_MAX_DEFER_SHIFT));
	if (order < READ_ONCE(zone->compact_order_failed))
		WRITE_ONCE(zone->compact_order_failed, order);
	trace_deferral(TRACE_MM_COMPACTION_DEFER_COMPACTION, zone, order);
}

bool compaction_deferred(struct zone *zone, int order)
{
	u64 limit = 1UL << READ_ONCE(zone->compact_defer_shift);

	if (order < READ_ONCE(zone->compact_order_failed))
		return false;
	if (READ_ONCE(zone->compact_considered) + 1 >= limit) {
		WRITE_ONCE(zone->compact_considered, limit);
		return false;
	}
	WRITE_ONCE(zone->compact_considered,
		   READ_ONCE(zone->compact_considered) + 1);
	trace_deferral(TRACE_MM_COMPACTION_DEFERRED, zone, order);
	return true;
}

void compaction_defer_reset(struct zone *zone, int order, bool allocated)
{
	if (allocated) {
		WRITE_ONCE(zone->compact_considered, 0);
		WRITE_ONCE(zone->compact_defer_shift, 0);
	}
	if (order >= READ_ONCE(zone->compact_order_failed))
		WRITE_ONCE(zone->compact_order_failed, order + 1);
	trace_deferral(TRACE_MM_COMPACTION_DEFER_RESET, zone, order);
}

bool compaction_restarting(const struct zone *zone, int order)
{
	if (order < READ_ONCE(zone->compact_order_failed))
		return false;
	return READ_ONCE(zone->compact_defer_shift) ==
		       COMPACT_MAX_DEFER_SHIFT &&
	       READ_ONCE(zone->compact_considered) >=
		       1UL << COMPACT_MAX_DEFER_SHIFT;
}

/* ---- hints -----------------------------------------------------------------
 */

static u64 first_block(const struct zone *zone)
{
	return zone->zone_start_pfn;
}

static u64 last_block(const struct zone *zone)
{
	return pageblock_start(zone_end_pfn(zone) - 1);
}

static void reset_cached(struct zone *zone)
{
	WRITE_ONCE(zone->compact_cached_migrate_pfn[0], first_block(zone));
	WRITE_ONCE(zone->compact_cached_migrate_pfn[1], first_block(zone));
	WRITE_ONCE(zone->compact_cached_free_pfn, last_block(zone));
}

static void reset_hints(struct zone *zone)
{
	WRITE_ONCE(zone_state(zone)->blockskip_flush, false);
	reset_pageblock_skip(zone);
	reset_cached(zone);
}

void reset_isolation_suitable(pg_data_t *pgdat)
{
	for (int i = 0; i < MAX_NR_ZONES; i++) {
		struct zone *zone = &pgdat->node_zones[i];

		if (populated_zone(zone) &&
		    READ_ONCE(zone_state(zone)->blockskip_flush))
			reset_hints(zone);
	}
}

/* ---- is it of use? ---------------------------------------------------------
 */

/* Frames beyond the watermark: those to move to, and those that were moved. */
static u64 compact_gap(int order)
{
	return 2UL << order;
}

/* As extfrag_index: 0 memory is lacking .. 1000 it is in pieces; -1000: there
 * is a block. */
static int fragmentation_index(const struct zone *zone, int order)
{
	u64 pages = 0, blocks = 0, suitable = 0, lack;

	for (int o = 0; o < MAX_ORDER; o++) {
		u64 nr = zone_nr_free_blocks(zone, (unsigned int)o, -1);

		blocks += nr;
		pages += nr << o;
		if (o >= order)
			suitable += nr;
	}
	if (!blocks)
		return 0;
	if (suitable)
		return -1000;
	lack = (1000 + pages * 1000 / (1UL << order)) / blocks;
	return lack < 1000 ? 1000 - (int)lack : 0;
}

/* Are there FREE frames enough to move pages to? */
static bool frames_suffice(const struct zone *zone, int order,
			   int highest_zoneidx, s64 free)
{
	u64 mark = order > PAGE_ALLOC_COSTLY_ORDER ? low_wmark_pages(zone)
						   : min_wmark_pages(zone);

	return __zone_watermark_ok(zone, 0, mark + compact_gap(order),
				   highest_zoneidx, ALLOC_CMA, free);
}

enum compact_result compaction_suitable(struct zone *zone, int order,
					u32 alloc_flags, int highest_zoneidx)
{
	enum compact_result ret = COMPACT_CONTINUE;
	u64 mark = wmark_pages(
		zone, (enum zone_watermarks)(alloc_flags & ALLOC_WMARK_MASK));
	int index;

	if (zone_watermark_ok(zone, (unsigned int)order, mark, highest_zoneidx,
			      alloc_flags)) {
		ret = COMPACT_SUCCESS;
	} else if (!frames_suffice(zone, order, highest_zoneidx,
				   (s64)zone_page_state(zone, NR_FREE_PAGES))) {
		ret = COMPACT_SKIPPED;
	} else if (order > PAGE_ALLOC_COSTLY_ORDER) {
		index = fragmentation_index(zone, order);
		if (index >= 0 &&
		    index <= (int)READ_ONCE(compact_sys.extfrag_threshold))
			ret = COMPACT_NOT_SUITABLE_ZONE;
	}
	trace_emit(MM_COMPACTION_SUITABLE, (u64)zone_to_nid(zone), zone->idx,
		   (u64)order, (u64)ret);
	return ret == COMPACT_NOT_SUITABLE_ZONE ? COMPACT_SKIPPED : ret;
}

bool compaction_zonelist_suitable(const struct alloc_context *ac, int order,
				  u32 alloc_flags)
{
	struct zoneref *z;
	struct zone *zone;

	(void)alloc_flags;
	for_each_zone_context(zone, z, ac)
	{
		u64 might = zone_page_state(zone, NR_FREE_PAGES);

		for (int l = 0; l < LRU_UNEVICTABLE; l++)
			might += zone_lru_pages(zone->zone_pgdat, zone->idx,
						(enum lru_list)l) /
				 (u64)max(order, 1);
		if (frames_suffice(zone, order, (int)ac->highest_zoneidx,
				   (s64)might))
			return true;
	}
	return false;
}

/* ---- how fragmented is a node? ---------------------------------------------
 */

/* Of a zone's free frames those in blocks below a pageblock, in percent. */
static u64 external_fragmentation(const struct zone *zone)
{
	u64 free = 0, large = 0;

	for (unsigned int o = 0; o < MAX_ORDER; o++) {
		u64 frames = zone_nr_free_blocks(zone, o, -1) << o;

		free += frames;
		if (o >= pageblock_order)
			large += frames;
	}
	return free ? (free - large) * 100 / free : 0;
}

u32 fragmentation_score_node(pg_data_t *pgdat)
{
	u64 score = 0;

	for (int i = 0; i < MAX_NR_ZONES; i++) {
		const struct zone *zone = &pgdat->node_zones[i];

		if (populated_zone(zone))
			score += zone->present_pages *
				 external_fragmentation(zone) /
				 (pgdat->node_present_pages + 1);
	}
	return (u32)score;
}

u32 fragmentation_score_wmark(bool low)
{
	u32 mark = 100 - READ_ONCE(compact_sys.proactiveness);

	mark = max(mark, 5u);
	return low ? mark : min(mark + 10, 100u);
}

/* ---- one run ---------------------------------------------------------------
 */

/* A frame for a page that is moved. */
static struct page *compaction_alloc(struct page *page, void *arg)
{
	struct compact_control *cc = arg;

	(void)page;
	if (page_list_empty(&cc->free))
		isolate_freepages(cc);
	return page_list_pop(&cc->free);
}

static void compaction_free(struct page *page, void *arg)
{
	struct compact_control *cc = arg;

	page_list_add(&cc->free, page);
}

/* The isolated pages are moved. False: no frames are left. */
static bool migrate_isolated(struct compact_control *cc)
{
	struct migrate_control mc = {
		.get_new = compaction_alloc,
		.put_new = compaction_free,
		.arg = cc,
		.mode = cc->mode,
		.reason = MR_COMPACTION,
	};
	int ret = migrate_pages(&cc->pages, &mc);

	trace_emit(MM_COMPACTION_MIGRATEPAGES, mc.succeeded, mc.failed);
	putback_movable_pages(&cc->pages);
	if (ret != -ENOMEM)
		return true;
	cc->contended |= !scanners_met(cc);
	return false;
}

/* Frames that became free stand on this CPU's stacks, pages in its batch: they
 * go where they merge. */
static void drain_moved(const struct compact_control *cc)
{
	lru_add_drain();
	drain_zone_pages(cc->zone, port_cpu());
}

/* Is there a block for the request, of a type that it may take whole? */
static bool block_is_there(const struct compact_control *cc)
{
	for (int o = cc->order; o < MAX_ORDER; o++) {
		const struct free_area *area = &cc->zone->free_area[o];
		bool steal;

		if (!page_list_empty(&area->free_list[cc->migratetype]))
			return true;
		if (cc->migratetype == MIGRATE_MOVABLE &&
		    !page_list_empty(&area->free_list[MIGRATE_CMA]))
			return true;
		if (find_suitable_fallback(area, (unsigned int)o,
					   cc->migratetype, &steal) >= 0 &&
		    (steal || o >= (int)pageblock_order))
			return true;
	}
	return false;
}

static enum compact_result finished_met(struct compact_control *cc)
{
	reset_cached(cc->zone);
	/* A daemon knows when nobody is in a hurry. */
	if (cc->direct)
		WRITE_ONCE(zone_state(cc->zone)->blockskip_flush, true);
	return cc->full_zone ? COMPACT_COMPLETE : COMPACT_PARTIAL_SKIPPED;
}

static enum compact_result compact_finished(struct compact_control *cc)
{
	if (cc->capture && READ_ONCE(cc->capture->page))
		return COMPACT_SUCCESS;
	if (scanners_met(cc))
		return finished_met(cc);
	if (READ_ONCE(port_current()->fatal_signal) || cc->contended)
		return COMPACT_CONTENDED;
	if (cc->proactive)
		return fragmentation_score_node(cc->zone->zone_pgdat) <=
				       fragmentation_score_wmark(true)
			       ? COMPACT_SUCCESS
			       : COMPACT_CONTINUE;
	if (cc->order < 0)
		return COMPACT_CONTINUE;
	/* A pageblock that was begun is emptied to its end. */
	if (!IS_ALIGNED(cc->migrate_pfn, pageblock_nr_pages))
		return COMPACT_CONTINUE;
	return block_is_there(cc) ? COMPACT_SUCCESS : COMPACT_NO_SUITABLE_PAGE;
}

/* Where the scanners begin. */
static void place_scanners(struct compact_control *cc)
{
	struct zone *zone = cc->zone;
	u64 first = first_block(zone), last = last_block(zone);
	u64 migrate, free;

	migrate = READ_ONCE(
		zone->compact_cached_migrate_pfn[cc->mode != MIGRATE_ASYNC]);
	free = READ_ONCE(zone->compact_cached_free_pfn);
	if (cc->whole_zone || free < first || free > last)
		free = last;
	if (cc->whole_zone || migrate < first || migrate > last)
		migrate = first;
	cc->migrate_pfn = migrate;
	cc->free_pfn = pageblock_start(free);
	cc->full_zone = migrate == first;
}

/* One batch. COMPACT_CONTINUE, or how the run ends. */
static enum compact_result compact_step(struct compact_control *cc)
{
	switch (isolate_migratepages(cc)) {
	case ISOLATE_ABORT:
		putback_movable_pages(&cc->pages);
		return COMPACT_CONTENDED;
	case ISOLATE_NONE:
		break;
	case ISOLATE_SUCCESS:
		if (!migrate_isolated(cc) && !scanners_met(cc))
			return COMPACT_CONTENDED;
	}
	if (cc->order > 0 && IS_ALIGNED(cc->migrate_pfn, 1UL << cc->order))
		drain_moved(cc);
	return COMPACT_CONTINUE;
}

/* What was isolated and not used is free again, and is found there next. */
static void release_free(struct compact_control *cc)
{
	u64 highest = 0;
	struct page *page;

	while ((page = page_list_pop(&cc->free))) {
		highest = max(highest, page_to_pfn(page));
		put_page(page);
	}
	if (highest > READ_ONCE(cc->zone->compact_cached_free_pfn))
		WRITE_ONCE(cc->zone->compact_cached_free_pfn,
			   pageblock_start(highest));
}

static void count_scanned(const struct compact_control *cc)
{
	count_vm_events(COMPACTMIGRATE_SCANNED, cc->migrate_scanned);
	count_vm_events(COMPACTFREE_SCANNED, cc->free_scanned);
}

static enum compact_result run_zone(struct compact_control *cc)
{
	enum compact_result ret;

	place_scanners(cc);
	trace_emit(MM_COMPACTION_BEGIN, cc->zone->zone_start_pfn,
		   cc->migrate_pfn, cc->free_pfn, zone_end_pfn(cc->zone),
		   cc->mode != MIGRATE_ASYNC);
	/* Pages in batches cannot be isolated. */
	lru_add_drain();
	do {
		ret = compact_finished(cc);
		if (ret == COMPACT_NO_SUITABLE_PAGE)
			ret = COMPACT_CONTINUE;
		if (ret == COMPACT_CONTINUE)
			ret = compact_step(cc);
		port_sched_point();
	} while (ret == COMPACT_CONTINUE);
	release_free(cc);
	drain_moved(cc);
	count_scanned(cc);
	trace_emit(MM_COMPACTION_END, cc->zone->zone_start_pfn, cc->migrate_pfn,
		   cc->free_pfn, zone_end_pfn(cc->zone),
		   cc->mode != MIGRATE_ASYNC, (u64)ret);
	return ret;
}

enum compact_result compact_zone(struct compact_control *cc)
{
	enum compact_result ret = COMPACT_CONTINUE;

	mm_assert(cc->order < MAX_ORDER);
	page_list_init(&cc->pages);
	page_list_init(&cc->free);
	if (cc->order >= 0 && !cc->whole_zone)
		ret = compaction_suitable(cc->zone, cc->order, cc->alloc_flags,
					  cc->highest_zoneidx);
	if (ret != COMPACT_CONTINUE)
		return ret;
	if (compaction_restarting(cc->zone, cc->order))
		reset_hints(cc->zone);
	if (cc->capture && !capture_begin(cc->zone, cc->capture))
		cc->capture = NULL;
	ret = run_zone(cc);
	if (cc->capture)
		capture_end(cc->zone, cc->capture);
	trace_emit(MM_COMPACTION_FINISHED, (u64)zone_to_nid(cc->zone),
		   cc->zone->idx, (u64)cc->order, (u64)ret);
	return ret;
}

/* ---- for an allocation -----------------------------------------------------
 */

static enum compact_result direct_zone(struct zone *zone, gfp_t gfp,
				       unsigned int order,
				       const struct alloc_context *ac,
				       enum compact_priority prio,
				       struct page **page)
{
	struct capture_control capc = {.order = order,
				       .migratetype = ac->migratetype};
	bool full = prio == MIN_COMPACT_PRIORITY;
	struct compact_control cc = {
		.zone = zone,
		.order = (int)order,
		.migratetype = ac->migratetype,
		.gfp = gfp,
		.alloc_flags = gfp_to_alloc_flags(gfp),
		.highest_zoneidx = (int)ac->highest_zoneidx,
		.mode = prio == COMPACT_PRIO_ASYNC ? MIGRATE_ASYNC
						   : MIGRATE_SYNC_LIGHT,
		.direct = true,
		.whole_zone = full,
		.ignore_skip_hint = full,
		.ignore_block_suitable = full,
		.capture = &capc,
	};
	enum compact_result ret = COMPACT_CONTINUE;

	if (full)
		ret = compaction_suitable(zone, cc.order, cc.alloc_flags,
					  cc.highest_zoneidx);
	if (ret == COMPACT_CONTINUE)
		ret = compact_zone(&cc);
	if (capc.page)
		*page = capture_use(ac->preferred_zoneref->zone, zone, &capc,
				    gfp);
	return *page ? COMPACT_SUCCESS : ret;
}

static enum compact_result better(enum compact_result a, enum compact_result b)
{
	return a > b ? a : b;
}

enum compact_result try_to_compact_pages(gfp_t gfp, unsigned int order,
					 const struct alloc_context *ac,
					 enum compact_priority prio,
					 struct page **page)
{
	enum compact_result best = COMPACT_SKIPPED, ret;
	struct zoneref *z;
	struct zone *zone;

	*page = NULL;
	/* Moving pages may need to wait for the disk. */
	if (!(gfp & __GFP_IO))
		return COMPACT_SKIPPED;
	trace_emit(MM_COMPACTION_TRY_TO_COMPACT_PAGES, order, gfp, (u64)prio);
	for_each_zone_context(zone, z, ac)
	{
		if (prio > MIN_COMPACT_PRIORITY &&
		    compaction_deferred(zone, (int)order)) {
			best = better(best, COMPACT_DEFERRED);
			continue;
		}
		ret = direct_zone(zone, gfp, order, ac, prio, page);
		best = better(best, ret);
		if (ret == COMPACT_SUCCESS) {
			compaction_defer_reset(zone, (int)order, false);
			break;
		}
		if (prio != COMPACT_PRIO_ASYNC &&
		    (ret == COMPACT_COMPLETE || ret == COMPACT_PARTIAL_SKIPPED))
			defer_compaction(zone, (int)order);
		if (READ_ONCE(port_current()->fatal_signal))
			break;
	}
	return best;
}

/* ---- for an operator -------------------------------------------------------
 */

void compact_node(pg_data_t *pgdat)
{
	lru_add_drain_all();
	for (int i = 0; i < MAX_NR_ZONES; i++) {
		struct compact_control cc = {
			.zone = &pgdat->node_zones[i],
			.order = -1,
			.gfp = GFP_KERNEL,
			.mode = MIGRATE_SYNC,
			.whole_zone = true,
			.ignore_skip_hint = true,
		};

		if (populated_zone(cc.zone))
			(void)compact_zone(&cc);
	}
	drain_all_pages();
}

void compact_nodes(void)
{
	pg_data_t *pgdat;

	for_each_online_pgdat(pgdat) compact_node(pgdat);
}
