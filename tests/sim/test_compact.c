/* SPDX-License-Identifier: MIT */
/*
 * Compaction: what the scanners take, against a walk over all frames;
 * fragmented memory before and after; direct runs and the block that they
 * capture; deferral, hints, tunables; the daemon; exact ranges and offline
 * memory out of the way of pages in use; programs that use what is moved, under
 * explored schedules.
 */
#include <mmkit/cma.h>
#include <mmkit/sysctl.h>

#include "calls.h"

#define MGR_LOAD(to, va, len)	 sim_copy_from_user(to, va, len)
#define MGR_STORE(va, from, len) sim_copy_to_user(va, from, len)
#include "compact/compact.h"
#include "migrate_race.h"
#include "policy/policy.h"
#include "trace_ears.h"

/* ---- a fragmented machine --------------------------------------------------
 *
 * A program takes nearly all memory and gives pages back here and there: free
 * frames stand alone, between its own.
 */

struct holes {
	struct mm_struct *mm;
	uva_t at;
	u64 pages, every; /* each EVERY-th page was given back */
};

static bool has_page(const struct holes *h, u64 i)
{
	return i % h->every != 0;
}

static void holes_make(struct holes *h, u64 leave, u64 every)
{
	h->mm = tm_mm();
	tm_use(h->mm);
	h->every = every;
	h->pages = nr_free_pages() - leave;
	h->at = tm_map(h->mm, h->pages);
	for (u64 i = 0; i < h->pages; i++)
		tm_store(h->at + P(i), i * 7 + 1);
	for (u64 i = 0; i < h->pages; i++)
		if (!has_page(h, i))
			CHECK_EQ(do_madvise(h->mm, h->at + P(i), PAGE_SIZE,
					    MADV_DONTNEED),
				 0);
	lru_add_drain_all();
	drain_all_pages();
}

static void holes_check(const struct holes *h)
{
	for (u64 i = 0; i < h->pages; i++)
		if (has_page(h, i))
			CHECK_EQ(tm_load(h->at + P(i)), i * 7 + 1);
	mm_check(h->mm);
}

static void holes_end(struct holes *h)
{
	holes_check(h);
	tm_use(NULL);
	mm_put(h->mm);
}

/* Blocks of ORDER that can be had without making any. */
static u64 blocks_now(unsigned int order, gfp_t gfp)
{
	struct page *page, *all = NULL;
	u64 n = 0;

	while ((page = alloc_pages(gfp | __GFP_NOWARN, order))) {
		set_page_private(page, all ? (u32)page_to_pfn(all) : 0);
		all = page;
		n++;
	}
	while (all) {
		u32 next = page_private(all);

		page = all;
		all = next ? pfn_to_page(next) : NULL;
		set_page_private(page, 0);
		__free_pages(page, order);
	}
	return n;
}

static int whole_body(void *arg)
{
	u64 moved = sum_vm_event(PGMIGRATE_SUCCESS), before, after;
	struct holes h;

	(void)arg;
	holes_make(&h, 600, 3);
	before = blocks_now(9, 0);
	CHECK_EQ(mm_sysctl_set("vm.compact_memory", "1"), 0);
	after = blocks_now(9, 0);
	fprintf(stderr,
		"compact: %llu free, blocks of 512: %llu before, %llu after, "
		"%llu moved, %llu failed\n",
		(unsigned long long)nr_free_pages(), (unsigned long long)before,
		(unsigned long long)after,
		(unsigned long long)(sum_vm_event(PGMIGRATE_SUCCESS) - moved),
		(unsigned long long)sum_vm_event(PGMIGRATE_FAIL));
	/* A third of all pages is free: most of it in blocks now. */
	CHECK(before <= 1);
	CHECK(after * 512 > nr_free_pages() * 6 / 10);
	CHECK(sum_vm_event(PGMIGRATE_SUCCESS) - moved > h.pages / 4);
	CHECK(sum_vm_event(COMPACTMIGRATE_SCANNED) > 0);
	CHECK(sum_vm_event(COMPACTFREE_SCANNED) > 0);
	CHECK(sum_vm_event(COMPACTISOLATED) > 0);
	CHECK_EQ(global_node_page_state(NR_ISOLATED_ANON), 0);
	CHECK_EQ(fragmentation_score_node(NODE_DATA(0)) < 60, 1);
	holes_end(&h);
	return 0;
}

/* ---- direct: the allocation makes its block --------------------------------
 */

static int direct_body(void *arg)
{
	u64 stall = sum_vm_event(COMPACTSTALL);
	struct page *page[3];
	struct holes h;

	(void)arg;
	holes_make(&h, 600, 3);
	CHECK(blocks_now(9, __GFP_HIGHMEM | __GFP_MOVABLE) < 2);
	for (int i = 0; i < 3; i++) {
		page[i] = alloc_pages(GFP_HIGHUSER_MOVABLE | __GFP_NOWARN, 9);
		CHECK(page[i]);
		CHECK(IS_ALIGNED(page_to_pfn(page[i]), 512));
		CHECK_EQ(page_count(page[i]), 1);
		memset(page_view(page[i]), 0xee, P(512));
	}
	CHECK(sum_vm_event(COMPACTSTALL) > stall);
	CHECK_EQ(sum_vm_event(COMPACTSTALL),
		 sum_vm_event(COMPACTSUCCESS) + sum_vm_event(COMPACTFAIL));
	for (int i = 0; i < 3; i++)
		__free_pages(page[i], 9);
	/* Nobody waits any more. */
	for (int z = 0; z < MAX_NR_ZONES; z++)
		CHECK(!NODE_DATA(0)->node_zones[z].capture);
	holes_end(&h);
	return 0;
}

/* A block is captured by who waits, whatever else is free. */
static int capture_body(void *arg)
{
	struct page *page = alloc_pages(GFP_KERNEL, 3), *got;
	struct zone *zone = page_zone(page);
	struct capture_control capc = {.order = 2,
				       .migratetype = MIGRATE_UNMOVABLE};
	struct capture_control other = capc;
	u64 free;

	(void)arg;
	drain_all_pages();
	free = zone_page_state(zone, NR_FREE_PAGES);
	CHECK(capture_begin(zone, &capc));
	CHECK(!capture_begin(zone, &other));
	/* A smaller one that does not merge is not it. */
	__free_pages(page, 3);
	drain_all_pages();
	CHECK(capc.page != NULL);
	CHECK_EQ(zone_page_state(zone, NR_FREE_PAGES), free + 8 - 4);
	buddy_check(zone);
	got = capture_use(zone, zone, &capc, GFP_KERNEL);
	CHECK(got && !capc.page);
	CHECK_EQ(page_count(got), 1);
	capture_end(zone, &capc);
	__free_pages(got, 2);
	/* Unused, it goes back. */
	CHECK(capture_begin(zone, &capc));
	page = alloc_pages(GFP_KERNEL, 3);
	__free_pages(page, 3);
	drain_all_pages();
	capture_end(zone, &capc);
	capture_free(zone, &capc);
	drain_all_pages();
	CHECK_EQ(zone_page_state(zone, NR_FREE_PAGES), free + 8);
	buddy_check(zone);
	return 0;
}

/* ---- the scanners against a model ------------------------------------------
 */

static struct zone *big_zone(void)
{
	struct zone *best = NULL;

	for (int z = 0; z < MAX_NR_ZONES; z++) {
		struct zone *zone = &NODE_DATA(0)->node_zones[z];

		if (populated_zone(zone) &&
		    (!best || zone->present_pages > best->present_pages))
			best = zone;
	}
	return best;
}

static int scan_body(void *arg)
{
	static bool taken[1 << 16];
	struct compact_control cc = {
		.order = -1,
		.mode = MIGRATE_SYNC,
		.whole_zone = true,
		.ignore_skip_hint = true,
	};
	struct holes h;
	struct page *page;
	u64 pages = 0, frames = 0;

	(void)arg;
	memset(taken, 0, sizeof(taken));
	holes_make(&h, 600, 4);
	cc.zone = big_zone();
	cc.migrate_pfn = cc.zone->zone_start_pfn;
	cc.free_pfn = pageblock_start(zone_end_pfn(cc.zone) - 1);
	CHECK(zone_end_pfn(cc.zone) < ARRAY_SIZE(taken));
	while (!scanners_met(&cc)) {
		u64 from = cc.migrate_pfn, at;
		struct page_list got;

		page_list_init(&cc.pages);
		page_list_init(&cc.free);
		if (isolate_migratepages(&cc) != ISOLATE_SUCCESS)
			break;
		/* Exactly the pages of lists, in order, up to a batch. */
		got = cc.pages;
		page = page_list_first(&got);
		for (at = from; at < cc.migrate_pfn && page; at++) {
			const struct page *p = pfn_to_page(at);

			if (page_to_pfn(page) == at) {
				CHECK(!taken[at] && !PageLRU(p));
				taken[at] = true;
				page = page_list_next(page);
				pages++;
			} else {
				CHECK(!PageLRU(p) || PageBuddy(p));
			}
		}
		CHECK(!page);
		isolate_freepages(&cc);
		CHECK(cc.free_pfn >= pageblock_start(cc.migrate_pfn));
		for (page = page_list_first(&cc.free); page;
		     page = page_list_next(page)) {
			at = page_to_pfn(page);
			CHECK(!taken[at] && !PageBuddy(page));
			CHECK(pageblock_start(at) >
			      pageblock_start(cc.migrate_pfn - 1));
			CHECK_EQ(page_count(page), 1);
			taken[at] = true;
			frames++;
		}
		while ((page = page_list_pop(&cc.free)))
			__free_pages(page, 0);
		putback_movable_pages(&cc.pages);
		lru_add_drain_all();
		for (u64 i = from; i < ARRAY_SIZE(taken); i++)
			if (i >= pageblock_start(cc.free_pfn))
				taken[i] = false;
	}
	CHECK(pages > 100 && frames > 100);
	CHECK_EQ(cc.migrate_scanned > 0 && cc.free_scanned > 0, 1);
	holes_end(&h);
	return 0;
}

/* ---- deferral and hints ----------------------------------------------------
 */

static int defer_body(void *arg)
{
	struct zone *zone = big_zone();
	u32 left;

	(void)arg;
	zone->compact_order_failed = 0;
	CHECK(!compaction_deferred(zone, 3));
	compaction_defer_reset(zone, 9, true);
	CHECK_EQ(zone->compact_order_failed, 10);
	for (u32 n = 1; n <= 8; n++) {
		defer_compaction(zone, 5);
		CHECK_EQ(zone->compact_order_failed, 5);
		/* Smaller blocks are another matter. */
		CHECK(!compaction_deferred(zone, 4));
		for (left = 0; compaction_deferred(zone, 5); left++)
			;
		CHECK_EQ(left + 1, 1u << min(n, COMPACT_MAX_DEFER_SHIFT));
		CHECK_EQ(compaction_restarting(zone, 5),
			 n >= COMPACT_MAX_DEFER_SHIFT);
	}
	compaction_defer_reset(zone, 5, true);
	CHECK_EQ(zone->compact_order_failed, 6);
	CHECK(!compaction_deferred(zone, 5));
	/* Marks are set, seen, and forgotten. */
	set_pageblock_skip(zone, zone->zone_start_pfn);
	CHECK(pageblock_skip(zone->zone_start_pfn));
	reset_pageblock_skip(zone);
	CHECK(!pageblock_skip(zone->zone_start_pfn));
	/* Plenty of everything: nothing to do. */
	CHECK_EQ(compaction_suitable(zone, 9, ALLOC_WMARK_MIN, ZONE_NORMAL),
		 COMPACT_SUCCESS);
	CHECK_EQ(mm_sysctl_set("vm.extfrag_threshold", "1001"), -ERANGE);
	CHECK_EQ(mm_sysctl_set("vm.compaction_proactiveness", "101"), -ERANGE);
	CHECK_EQ(mm_sysctl_set("vm.compact_memory", "2"), -ERANGE);
	return 0;
}

/* ---- what a run leaves alone -----------------------------------------------
 */

/* The pageblock at PFN is free as a whole. */
static bool free_block(u64 pfn)
{
	const struct page *page = pfn_to_page(pfn);

	return PageBuddy(page) && buddy_order(page) >= pageblock_order;
}

/* With most of memory free: no pageblock is cut that is free as a whole, from
 * the highest of them on. */
static int spared_body(void *arg)
{
	struct zone *zone = big_zone();
	u64 first = pageblock_start(zone->zone_start_pfn + 511), whole = 0;
	static bool was_free[1 << 8];
	struct compact_control cc = {.zone = zone,
				     .order = -1,
				     .mode = MIGRATE_SYNC,
				     .migrate_pfn = zone->zone_start_pfn};
	struct page *page;

	(void)arg;
	page_list_init(&cc.free);
	CHECK(zone_end_pfn(zone) >> 9 < ARRAY_SIZE(was_free));
	memset(was_free, 0, sizeof(was_free));
	for (u64 pfn = first; pfn + 512 <= zone_end_pfn(zone); pfn += 512)
		if (free_block(pfn)) {
			was_free[pfn >> 9] = true;
			cc.free_pfn = pfn;
			whole++;
		}
	CHECK(whole > 8);
	isolate_freepages(&cc);
	while ((page = page_list_pop(&cc.free))) {
		CHECK(!was_free[page_to_pfn(page) >> 9]);
		__free_pages(page, 0);
	}
	for (u64 pfn = first; pfn + 512 <= zone_end_pfn(zone); pfn += 512)
		CHECK_EQ(free_block(pfn), was_free[pfn >> 9]);
	return 0;
}

/* What a run without waiting has passed over is begun with by one that waits.
 */
static int own_start_body(void *arg)
{
	struct zone *zone = big_zone();
	u64 *start = zone->compact_cached_migrate_pfn;
	struct compact_control cc = {.zone = zone, .order = 9};

	(void)arg;
	for (int sync = 0; sync < 2; sync++) {
		start[0] = start[1] = zone->zone_start_pfn;
		cc.mode = sync ? MIGRATE_SYNC_LIGHT : MIGRATE_ASYNC;
		cc.migrate_pfn = zone->zone_start_pfn;
		cc.free_pfn = pageblock_start(zone_end_pfn(zone) - 1);
		page_list_init(&cc.pages);
		CHECK_EQ(isolate_migratepages(&cc), ISOLATE_NONE);
		CHECK(start[0] > zone->zone_start_pfn);
		CHECK_EQ(start[1] > zone->zone_start_pfn, sync);
		reset_pageblock_skip(zone);
	}
	return 0;
}

/* Free frames are enough if those to move to lie beyond the mark. */
static int room_body(void *arg)
{
	struct zone *zone = big_zone();
	u64 low = zone->_watermark[WMARK_LOW], free;
	struct holes h;

	(void)arg;
	holes_make(&h, 600, 3);
	free = zone_page_state(zone, NR_FREE_PAGES);
	CHECK(free > 1200);
	for (int more = 0; more < 2; more++) {
		zone->_watermark[WMARK_LOW] = free - 1024 - 1 + (u64)more;
		CHECK_EQ(compaction_suitable(zone, 9, ALLOC_WMARK_MIN,
					     (int)zone->idx),
			 more ? COMPACT_SKIPPED : COMPACT_CONTINUE);
	}
	zone->_watermark[WMARK_LOW] = low;
	holes_end(&h);
	return 0;
}

/* ---- the daemon ------------------------------------------------------------
 */

static int daemon_body(void *arg)
{
	u64 wakes = sum_vm_event(KCOMPACTD_WAKE);
	struct holes h;
	u64 before;

	(void)arg;
	CHECK_EQ(mm_sysctl_set("vm.compaction_proactiveness", "0"), 0);
	holes_make(&h, 600, 3);
	before = blocks_now(7, 0);
	wakeup_kcompactd(NODE_DATA(0), 7, ZONE_MOVABLE);
	port_park(100 * 1000 * 1000);
	CHECK_EQ(sum_vm_event(KCOMPACTD_WAKE), wakes + 1);
	CHECK(sum_vm_event(KCOMPACTD_MIGRATE_SCANNED) > 0);
	drain_all_pages();
	CHECK(blocks_now(7, 0) > before);
	/* By itself, when memory is in pieces: not before it is told to. */
	before = sum_vm_event(KCOMPACTD_MIGRATE_SCANNED);
	port_park(3UL * 1000 * 1000 * 1000);
	CHECK_EQ(sum_vm_event(KCOMPACTD_MIGRATE_SCANNED), before);
	CHECK_EQ(mm_sysctl_set("vm.compaction_proactiveness", "100"), 0);
	CHECK(fragmentation_score_node(NODE_DATA(0)) >
	      fragmentation_score_wmark(false));
	port_park(3UL * 1000 * 1000 * 1000);
	CHECK(sum_vm_event(KCOMPACTD_MIGRATE_SCANNED) > before);
	holes_end(&h);
	return 0;
}

/* ---- exact ranges ----------------------------------------------------------
 */

static int range_body(void *arg)
{
	struct zone *zone = big_zone();
	struct holes h;
	u64 got = 0, pfn;

	(void)arg;
	holes_make(&h, 600, 3);
	for (pfn = ALIGN(zone->zone_start_pfn, 512);
	     pfn + 512 <= zone_end_pfn(zone) && got < 4; pfn += 512) {
		u64 from = pfn + 100, to = pfn + 300;

		if (alloc_contig_range(from, to, MIGRATE_MOVABLE, GFP_KERNEL))
			continue;
		for (u64 i = from; i < to; i++)
			CHECK_EQ(page_count(pfn_to_page(i)), 1);
		holes_check(&h);
		free_contig_range(from, to - from);
		got++;
	}
	CHECK_EQ(got, 4);
	holes_end(&h);
	return 0;
}

static void fragmented(void **state)
{
	(void)state;
	TM_RUN(whole_body, .mem = 32UL << 20);
	TM_RUN(direct_body, .mem = 64UL << 20);
}

static void captured(void **state)
{
	(void)state;
	TM_RUN(capture_body);
}

static void scanners(void **state)
{
	(void)state;
	TM_RUN(scan_body, .mem = 24UL << 20);
}

static void deferral(void **state)
{
	(void)state;
	TM_RUN(defer_body, .mem = 32UL << 20);
}

static void left_alone(void **state)
{
	(void)state;
	TM_RUN(spared_body, .mem = 64UL << 20);
	TM_RUN(own_start_body, .mem = 64UL << 20);
	TM_RUN(room_body, .mem = 32UL << 20);
}

static void the_daemon(void **state)
{
	(void)state;
	TM_RUN(daemon_body, .mem = 32UL << 20);
}

static void ranges(void **state)
{
	(void)state;
	TM_RUN(range_body, .mem = 24UL << 20);
}

/* ---- threads ---------------------------------------------------------------
 */

/* Runs all the time, and large blocks are asked for. */
static void compacter(void *arg)
{
	struct mgr *r = arg;
	struct prng rnd;

	prng_seed(&rnd, r->seed + 77);
	while (__atomic_load_n(&r->left, __ATOMIC_ACQUIRE)) {
		unsigned int order = (unsigned int)prng_range(&rnd, 3, 9);
		struct page *page = NULL;

		if (prng_below(&rnd, 3))
			page = alloc_pages(GFP_KERNEL | __GFP_NOWARN |
						   __GFP_NORETRY,
					   order);
		else
			compact_node(NODE_DATA(0));
		port_park(1000);
		if (page)
			__free_pages(page, order);
	}
}

static int race_body(void *arg)
{
	struct port_thread *t[MGR_THREADS + 2];
	struct mgr *r = arg;

	mgr_begin(r);
	for (u32 i = 0; i < MGR_THREADS; i++)
		CHECK_EQ(port_thread_start(&t[i], "user", -1, mgr_thread, r),
			 0);
	for (u32 i = 0; i < 2; i++)
		CHECK_EQ(port_thread_start(&t[MGR_THREADS + i], "compact", -1,
					   compacter, r),
			 0);
	for (u32 i = 0; i < MGR_THREADS + 2; i++)
		port_thread_join(t[i]);
	mgr_end(r);
	return 0;
}

static void schedules(void **state)
{
	u64 seed = test_env("SEED", 1), n = test_iters(tm_soak() ? 3000 : 16);
	u64 checks = 0;

	(void)state;
	for (u64 i = 0; i < n; i++) {
		struct mgr r = {.seed = seed + i, .iters = 30};

		snprintf(tm_context, sizeof(tm_context), "schedule %llu",
			 (unsigned long long)i);
		TM_RUN(race_body, .arg = &r, .seed = seed + i, .cpus = 3,
		       .explore = true, .stall = i / 2 % 2 * 32,
		       .swap_pages = 2048, .mem = (i % 2 ? 6UL : 8UL) << 20);
		checks += r.checks;
	}
	fprintf(stderr, "compact: SEED=%llu, %llu schedules, %llu checks\n",
		(unsigned long long)seed, (unsigned long long)n,
		(unsigned long long)checks);
	assert_true(checks > n);
}

/* ---- what is told
 * ----------------------------------------------------------------------- */

static void run_told(u64 runs)
{
	struct trace_record begin = first(TRACE_MM_COMPACTION_BEGIN), end;
	struct zone *zone = big_zone();

	CHECK_EQ(told(TRACE_MM_COMPACTION_BEGIN), runs);
	CHECK_EQ(told(TRACE_MM_COMPACTION_END), runs);
	CHECK_EQ(told(TRACE_MM_COMPACTION_FINISHED), runs);
	CHECK(count(TRACE_MM_COMPACTION_BEGIN, "zone_start",
		    zone->zone_start_pfn, &begin) > 0);
	CHECK(count(TRACE_MM_COMPACTION_END, "zone_start", zone->zone_start_pfn,
		    &end) > 0);
	CHECK_EQ(field(&begin, "zone_end"), zone_end_pfn(zone));
	CHECK_EQ(field(&end, "zone_end"), zone_end_pfn(zone));
	/* The scanners walk towards each other. */
	CHECK(field(&end, "migrate_pfn") >= field(&begin, "migrate_pfn"));
	CHECK(field(&end, "free_pfn") <= field(&begin, "free_pfn"));
	CHECK_EQ(field(&begin, "sync"), field(&end, "sync"));
	CHECK_EQ(sum_of(TRACE_MM_COMPACTION_END, "status"),
		 sum_of(TRACE_MM_COMPACTION_FINISHED, "ret"));
}

/* All zones on somebody's order: sums of its steps are the counters. */
static int told_body(void *arg)
{
	u64 taken, was_moved, was_scanned, was_free;
	struct holes h;

	(void)arg;
	CHECK_EQ(mm_sysctl_set("vm.compaction_proactiveness", "0"), 0);
	holes_make(&h, 600, 3);
	was_moved = sum_vm_event(PGMIGRATE_SUCCESS);
	was_scanned = sum_vm_event(COMPACTMIGRATE_SCANNED);
	was_free = sum_vm_event(COMPACTFREE_SCANNED);
	taken = sum_vm_event(COMPACTISOLATED);
	listen_to("compaction migrate");
	CHECK_EQ(mm_sysctl_set("vm.compact_memory", "1"), 0);
	hush();
	was_moved = sum_vm_event(PGMIGRATE_SUCCESS) - was_moved;
	CHECK(was_moved > 0);
	run_told(told(TRACE_MM_COMPACTION_BEGIN));
	CHECK_EQ(sum_of(TRACE_MM_COMPACTION_MIGRATEPAGES, "nr_migrated"),
		 was_moved);
	CHECK_EQ(sum_of(TRACE_MM_MIGRATE_PAGES, "succeeded"), was_moved);
	CHECK_EQ(count(TRACE_MM_MIGRATE_PAGES, "reason", MR_COMPACTION, NULL),
		 told(TRACE_MM_COMPACTION_MIGRATEPAGES));
	CHECK_EQ(count(TRACE_MM_MIGRATE_PAGES_START, "reason", MR_COMPACTION,
		       NULL),
		 told(TRACE_MM_MIGRATE_PAGES));
	CHECK_EQ(sum_of(TRACE_MM_COMPACTION_ISOLATE_MIGRATEPAGES, "nr_scanned"),
		 sum_vm_event(COMPACTMIGRATE_SCANNED) - was_scanned);
	CHECK_EQ(sum_of(TRACE_MM_COMPACTION_ISOLATE_FREEPAGES, "nr_scanned"),
		 sum_vm_event(COMPACTFREE_SCANNED) - was_free);
	CHECK_EQ(sum_of(TRACE_MM_COMPACTION_ISOLATE_MIGRATEPAGES, "nr_taken") +
			 sum_of(TRACE_MM_COMPACTION_ISOLATE_FREEPAGES,
				"nr_taken"),
		 sum_vm_event(COMPACTISOLATED) - taken);
	CHECK_EQ(sum_of(TRACE_MM_COMPACTION_ISOLATE_FREEPAGES, "end_pfn") -
			 sum_of(TRACE_MM_COMPACTION_ISOLATE_FREEPAGES,
				"start_pfn"),
		 sum_of(TRACE_MM_COMPACTION_ISOLATE_FREEPAGES, "nr_scanned"));
	/* Nobody asked whether it was worth it. */
	CHECK_EQ(told(TRACE_MM_COMPACTION_TRY_TO_COMPACT_PAGES), 0);
	forget();
	holes_end(&h);
	return 0;
}

/* A block for somebody who waits for it. */
static int direct_told_body(void *arg)
{
	u64 stall = sum_vm_event(COMPACTSTALL);
	struct page *page[3];
	struct trace_record r;
	struct holes h;

	(void)arg;
	holes_make(&h, 600, 3);
	(void)blocks_now(9, __GFP_HIGHMEM | __GFP_MOVABLE);
	listen_to("compaction");
	for (int i = 0; i < 3; i++)
		CHECK((page[i] = alloc_pages(
			       GFP_HIGHUSER_MOVABLE | __GFP_NOWARN, 9)));
	hush();
	CHECK(sum_vm_event(COMPACTSTALL) > stall);
	CHECK_EQ(
		count(TRACE_MM_COMPACTION_TRY_TO_COMPACT_PAGES, "order", 9, &r),
		told(TRACE_MM_COMPACTION_TRY_TO_COMPACT_PAGES));
	CHECK(field(&r, "gfp_mask") & __GFP_DIRECT_RECLAIM);
	CHECK(field(&r, "prio") <= 2);
	CHECK(count(TRACE_MM_COMPACTION_SUITABLE, "order", 9, &r) > 0);
	CHECK_EQ(field(&r, "nid"), 0);
	CHECK(field(&r, "ret") <= COMPACT_SUCCESS);
	run_told(told(TRACE_MM_COMPACTION_BEGIN));
	forget();
	for (int i = 0; i < 3; i++)
		__free_pages(page[i], 9);
	holes_end(&h);
	return 0;
}

/* Put off: how often it is not tried, and when it is again. */
static int put_off_body(void *arg)
{
	struct zone *zone = big_zone();
	struct trace_record r;
	u32 left;

	(void)arg;
	listen_to("compaction");
	compaction_defer_reset(zone, 9, true);
	CHECK_EQ(told(TRACE_MM_COMPACTION_DEFER_RESET), 1);
	r = first(TRACE_MM_COMPACTION_DEFER_RESET);
	CHECK_EQ(field(&r, "order"), 9);
	CHECK_EQ(field(&r, "order_failed"), 10);
	CHECK_EQ(field(&r, "defer_shift"), 0);
	for (u32 n = 1; n <= 3; n++)
		defer_compaction(zone, 5);
	CHECK_EQ(count(TRACE_MM_COMPACTION_DEFER_COMPACTION, "order", 5, &r),
		 3);
	CHECK_EQ(field(&r, "idx"), zone->idx);
	CHECK_EQ(field(&r, "defer_shift"), 3);
	CHECK_EQ(field(&r, "considered"), 0);
	CHECK_EQ(field(&r, "order_failed"), 5);
	CHECK(!compaction_deferred(zone, 4));
	for (left = 0; compaction_deferred(zone, 6); left++)
		;
	hush();
	/* Seven of eight; what may be tried is not told. */
	CHECK_EQ(left, 7);
	CHECK_EQ(count(TRACE_MM_COMPACTION_DEFERRED, "order", 6, &r), 7);
	CHECK_EQ(told(TRACE_MM_COMPACTION_DEFERRED), 7);
	CHECK_EQ(field(&r, "considered"), 7);
	CHECK_EQ(field(&r, "nid"), 0);
	forget();
	compaction_defer_reset(zone, 9, true);
	return 0;
}

static int daemon_told_body(void *arg)
{
	u64 wakes = sum_vm_event(KCOMPACTD_WAKE);
	struct trace_record r;
	struct holes h;

	(void)arg;
	CHECK_EQ(mm_sysctl_set("vm.compaction_proactiveness", "0"), 0);
	holes_make(&h, 600, 3);
	listen_to("compaction");
	wakeup_kcompactd(NODE_DATA(0), 7, ZONE_MOVABLE);
	port_park(100 * 1000 * 1000);
	hush();
	CHECK_EQ(count(TRACE_MM_COMPACTION_WAKEUP_KCOMPACTD, "order", 7, &r),
		 1);
	CHECK_EQ(field(&r, "highest_zoneidx"), ZONE_MOVABLE);
	CHECK_EQ(count(TRACE_MM_COMPACTION_KCOMPACTD_WAKE, "order", 7, &r),
		 sum_vm_event(KCOMPACTD_WAKE) - wakes);
	CHECK_EQ(field(&r, "nid"), 0);
	CHECK(!strcmp(r.comm, "kcompactd0"));
	CHECK_EQ(count(TRACE_MM_COMPACTION_KCOMPACTD_SLEEP, "nid", 0, &r), 1);
	CHECK(!strcmp(r.comm, "kcompactd0"));
	forget();
	holes_end(&h);
	return 0;
}

static void tells(void **state)
{
	(void)state;
	TM_RUN(told_body, .mem = 32UL << 20);
	TM_RUN(direct_told_body, .mem = 64UL << 20);
	TM_RUN(put_off_body, .mem = 32UL << 20);
	TM_RUN(daemon_told_body, .mem = 32UL << 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fragmented), cmocka_unit_test(captured),
		cmocka_unit_test(scanners),   cmocka_unit_test(deferral),
		cmocka_unit_test(the_daemon), cmocka_unit_test(ranges),
		cmocka_unit_test(tells),      cmocka_unit_test(left_alone),
		cmocka_unit_test(schedules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
