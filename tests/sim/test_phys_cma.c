/* SPDX-License-Identifier: MIT */
/*
 * Exact ranges of frames, and areas kept for them: who may borrow an area's
 * frames and who may not, what watermarks make of them, what happens to those
 * that are in the way.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <mmkit/cma.h>

#include "base/fail.h"
#include "base/trace_ring.h"
#include "phys/buddy_priv.h"
#include "phys/page_isolation.h"
#include "phys_machine.h"
#include "report/trace_show.h"

static int teardown(void **state)
{
	(void)state;
	pm_shutdown();
	return 0;
}

static int boot_areas(u64 bytes, const struct cma_request *cma, u32 nr)
{
	static struct e820_table map;
	struct phys_boot_params p = {.map = &map, .cma = cma, .nr_cma = nr};

	pm_hardware(2, NULL, 1);
	pm_map(&map, bytes);
	return phys_boot_memory(&p);
}

static int first_area(struct cma *cma, void *arg)
{
	*(struct cma **)arg = cma;
	return 7;
}

/* A machine of BYTES with one area of SIZE, anywhere. */
static struct cma *boot_area(u64 bytes, u64 size)
{
	struct cma_request r = {.size = size, .any_node = true, .name = "dev"};
	struct cma *cma = NULL;

	assert_int_equal(boot_areas(bytes, &r, 1), 0);
	assert_int_equal(cma_for_each_area(first_area, &cma), 7);
	return cma;
}

static struct zone *area_zone(const struct cma *cma)
{
	return page_zone(pfn_to_page(PFN_DOWN(cma_get_base(cma))));
}

static bool in_area(const struct cma *cma, const struct page *page)
{
	return cma_pages_valid(cma, page, 1);
}

/* A page for GFP with every permission and no watermark; NULL: none at all. */
static struct page *any_page(gfp_t gfp, u32 alloc_flags)
{
	struct alloc_context ac;

	prepare_alloc_context(&ac, gfp, -1);
	return get_page_from_freelist(gfp, 0, ALLOC_NO_WATERMARKS | alloc_flags,
				      &ac);
}

/* ---- the boot
 * ----------------------------------------------------------------------- */

static void test_boot(void **state)
{
	struct cma *cma = boot_area(64 * MiB, 9 * MiB);
	u64 free = global_zone_page_state(NR_FREE_CMA_PAGES);
	struct zone *zone = area_zone(cma);

	(void)state;
	assert_int_equal(cma_get_size(cma), 10 * MiB);
	assert_string_equal(cma_get_name(cma), "dev");
	assert_true(IS_ALIGNED(cma_get_base(cma), 2 * MiB));
	assert_int_equal(totalcma_pages(), 2560);
	assert_int_equal(free, 2560);
	assert_int_equal(zone->cma_pages, 2560);
	assert_int_equal(zone_page_state(zone, NR_FREE_CMA_PAGES), 2560);
	assert_true(pm_logged("cma: Reserved 10 MiB at 0x"));
	assert_true(pm_logged("10240K cma-reserved)"));
	for (u64 i = 0; i < 2560; i += pageblock_nr_pages)
		assert_int_equal(get_pfnblock_migratetype(
					 PFN_DOWN(cma_get_base(cma)) + i),
				 MIGRATE_CMA);
	/* Managed like the rest: the sum is what it is without an area. */
	free = totalram_pages();
	phys_check();
	pm_shutdown();
	pm_boot(64 * MiB, 2);
	assert_true(totalram_pages() - free <= 1);
}

/* An area over whole sections, which would otherwise not get descriptors. */
static void test_large_area(void **state)
{
	struct cma_request r = {
		.base = 256 * MiB,
		.size = 300 * MiB,
		.fixed = true,
		.any_node = true,
	};
	struct cma *cma;
	struct page *page;

	(void)state;
	assert_int_equal(boot_areas(1024 * MiB, &r, 1), 0);
	assert_int_equal(cma_for_each_area(first_area, &cma), 7);
	assert_int_equal(cma_get_base(cma), 256 * MiB);
	assert_string_equal(cma_get_name(cma), "cma0");
	page = cma_alloc(cma, 300 * 256, 0, false);
	assert_non_null(page);
	assert_int_equal(page_to_pfn(page), PFN_DOWN(256 * MiB));
	assert_int_equal(zone_page_state(area_zone(cma), NR_FREE_CMA_PAGES), 0);
	phys_check();
	assert_true(cma_release(cma, page, 300 * 256));
	assert_int_equal(zone_page_state(area_zone(cma), NR_FREE_CMA_PAGES),
			 300 * 256);
	phys_check();
}

struct refused {
	struct cma_request req;
	int err;
	const char *why;
};

static void test_refused(void **state)
{
	static const struct refused cases[] = {
		{{.size = 0}, -EINVAL, "the size is 0"},
		{{.size = 4 * MiB, .alignment = 3 * MiB},
		 -EINVAL,
		 "the alignment is no power of two"},
		{{.size = 4 * MiB, .base = 4 * MiB + 4096, .fixed = true},
		 -EINVAL,
		 "not aligned to a pageblock"},
		{{.size = 4 * MiB, .base = 62 * MiB, .fixed = true},
		 -EINVAL,
		 "is not RAM of one zone"},
		{{.size = 4 * MiB, .base = 14 * MiB, .fixed = true},
		 -EINVAL,
		 "is not RAM of one zone"},
		{{.size = 4 * MiB,
		  .base = 20 * MiB,
		  .limit = 22 * MiB,
		  .fixed = true},
		 -EINVAL,
		 "ends above the limit"},
		{{.size = 4 * MiB, .base = 16 * MiB, .fixed = true, .nid = 1},
		 -EINVAL,
		 "is on another node"},
		{{.size = 60 * MiB}, -ENOMEM, "no zone has room"},
		{{.size = 4 * MiB, .nid = 1}, -ENOMEM, "no zone has room"},
		{{.size = 4 * MiB, .limit = 3 * MiB},
		 -ENOMEM,
		 "no zone has room"},
		{{.size = ~0UL}, -EINVAL, "cma: "},
		{{.size = 4 * MiB, .order_per_bit = 40}, -EINVAL, "granule"},
	};
	struct cma_request twice[2] = {
		{.size = 4 * MiB, .base = 32 * MiB, .fixed = true},
		{.size = 4 * MiB, .base = 34 * MiB, .fixed = true},
	};
	struct cma_request many[MAX_CMA_AREAS + 1] = {{0}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int err = boot_areas(64 * MiB, &cases[i].req, 1);

		if (err != cases[i].err || !pm_logged(cases[i].why))
			fail_msg("case %zu: %d, log: %s", i, err, pm_log);
		pm_shutdown();
	}
	assert_int_equal(boot_areas(64 * MiB, twice, 2), -EBUSY);
	assert_true(pm_logged("the fixed place is taken"));
	pm_shutdown();
	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		many[i].size = 2 * MiB;
	assert_int_equal(boot_areas(64 * MiB, many, MAX_CMA_AREAS + 1),
			 -ENOSPC);
	assert_true(pm_logged("too many areas"));
	pm_shutdown();
	assert_int_equal(boot_areas(64 * MiB, many, MAX_CMA_AREAS), 0);
	phys_check();
	assert_int_equal(cma_declare_contiguous(&twice[0], NULL), -EINVAL);
	assert_true(pm_logged("during boot only"));
}

/* base without fixed, limit, alignment and node are wishes that hold. */
static void test_places(void **state)
{
	static struct e820_table map;
	static const u8 cpu_node[MM_NR_CPUS];
	struct phys_node_range nodes[2] = {{0, 32 * MiB, 0},
					   {32 * MiB, 64 * MiB, 1}};
	struct cma_request r[] = {
		{.size = 2 * MiB, .nid = 0, .alignment = 4 * MiB},
		{.size = 2 * MiB, .nid = 1, .limit = 40 * MiB},
		{.size = 2 * MiB, .any_node = true, .limit = 16 * MiB},
		{.size = 2 * MiB, .base = 44 * MiB, .any_node = true},
	};
	struct phys_boot_params p = {.map = &map,
				     .nodes = nodes,
				     .nr_nodes = 2,
				     .cma = r,
				     .nr_cma = ARRAY_SIZE(r)};
	const struct cma *a = phys_sys.cma.areas;

	(void)state;
	pm_hardware(2, cpu_node, 1);
	pm_map(&map, 64 * MiB);
	assert_int_equal(phys_boot_memory(&p), 0);
	assert_int_equal(phys_sys.cma.nr, ARRAY_SIZE(r));
	assert_true(IS_ALIGNED(cma_get_base(&a[0]), 4 * MiB));
	assert_int_equal(zone_to_nid(area_zone(&a[0])), 0);
	assert_int_equal(cma_get_size(&a[0]), 4 * MiB);
	assert_int_equal(zone_to_nid(area_zone(&a[1])), 1);
	assert_true(cma_get_base(&a[1]) + 2 * MiB <= 40 * MiB);
	assert_int_equal(area_zone(&a[2])->idx, ZONE_DMA);
	assert_true(cma_get_base(&a[3]) >= 44 * MiB);
	phys_check();
}

/* ---- who may borrow
 * ------------------------------------------------------------------ */

/* Nobody but movable requests gets a frame of an area, in whatever need. */
static void test_borrowers(void **state)
{
	static const gfp_t others[] = {
		GFP_KERNEL,
		GFP_KERNEL | __GFP_RECLAIMABLE,
		GFP_ATOMIC,
		GFP_DMA | GFP_KERNEL,
	};
	struct cma *cma = boot_area(64 * MiB, 16 * MiB);
	u64 got = 0, lent = 0;
	struct page *page;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		while ((page = any_page(others[i] | __GFP_NOWARN,
					ALLOC_CMA | ALLOC_HARDER))) {
			assert_false(in_area(cma, page));
			got++;
		}
	}
	drain_all_pages();
	assert_int_equal(nr_free_pages(),
			 global_zone_page_state(NR_FREE_CMA_PAGES));
	/* Movable ones only with ALLOC_CMA. */
	assert_null(any_page(GFP_HIGHUSER_MOVABLE, 0));
	while ((page = any_page(GFP_HIGHUSER_MOVABLE, ALLOC_CMA))) {
		assert_true(in_area(cma, page));
		lent++;
	}
	assert_int_equal(lent, 4096);
	assert_int_equal(got + lent, totalram_pages());
	assert_int_equal(global_zone_page_state(NR_FREE_CMA_PAGES), 0);
	phys_check();
}

/* CMA is lent first while it is more than half of what is free. */
static void test_cma_first(void **state)
{
	struct cma *cma = boot_area(64 * MiB, 32 * MiB);
	struct zone *zone = area_zone(cma);

	(void)state;
	for (int i = 0; i < 12000; i++) {
		struct page *page;
		bool first;

		drain_all_pages();
		first = zone->nr_free_cma > zone->nr_free_pages / 2;
		page = any_page(GFP_HIGHUSER_MOVABLE, ALLOC_CMA);
		if (page_zone(page) != zone)
			break;
		/* Once either is used up, the other serves. */
		if (zone->nr_free_cma > 64 &&
		    zone->nr_free_pages - zone->nr_free_cma > 64)
			assert_int_equal(in_area(cma, page), first);
	}
	phys_check();
}

/* Blocks take the same way as single frames. */
static void test_cma_first_blocks(void **state)
{
	struct cma *cma = boot_area(64 * MiB, 40 * MiB);
	struct zone *zone = area_zone(cma);
	struct page *page;
	unsigned long flags;

	(void)state;
	spin_lock_irqsave(&zone->lock, flags);
	page = __rmqueue(zone, 5, MIGRATE_MOVABLE, ALLOC_CMA);
	assert_true(in_area(cma, page));
	page = __rmqueue(zone, 5, MIGRATE_MOVABLE, 0);
	assert_false(in_area(cma, page));
	page = __rmqueue(zone, 5, MIGRATE_UNMOVABLE, ALLOC_CMA);
	assert_false(in_area(cma, page));
	/* Other lists empty: an area rather than a fallback. */
	while ((page = __rmqueue(zone, 0, MIGRATE_MOVABLE, 0)))
		assert_false(in_area(cma, page));
	assert_non_null(__rmqueue(zone, 9, MIGRATE_MOVABLE, ALLOC_CMA));
	assert_null(__rmqueue(zone, 0, MIGRATE_RECLAIMABLE, ALLOC_CMA));
	assert_int_equal(zone->nr_free_pages, zone->nr_free_cma);
	spin_unlock_irqrestore(&zone->lock, flags);
}

/* Rather an area's frames than a pageblock of another type. */
static void test_before_fallback(void **state)
{
	struct cma *cma = boot_area(64 * MiB, 4 * MiB);
	struct zone *zone = area_zone(cma);
	struct page *blocks[4], *page;
	unsigned long flags;

	(void)state;
	for (int i = 0; i < 4; i++)
		blocks[i] = alloc_pages(GFP_KERNEL, MAX_ORDER - 1);
	for (int i = 0; i < 4; i++)
		__free_pages(blocks[i], MAX_ORDER - 1);
	assert_int_equal(
		zone_nr_free_blocks(zone, MAX_ORDER - 1, MIGRATE_UNMOVABLE), 4);
	spin_lock_irqsave(&zone->lock, flags);
	while (rmqueue_smallest(zone, 0, MIGRATE_MOVABLE))
		;
	assert_false(cma_first(zone, MIGRATE_MOVABLE, ALLOC_CMA));
	page = __rmqueue(zone, 0, MIGRATE_MOVABLE, ALLOC_CMA);
	assert_true(in_area(cma, page));
	page = __rmqueue(zone, 0, MIGRATE_MOVABLE, 0);
	assert_false(in_area(cma, page));
	spin_unlock_irqrestore(&zone->lock, flags);
}

/* Free frames of an area are no comfort for who may not use them. */
static void test_watermarks(void **state)
{
	struct cma *cma = boot_area(64 * MiB, 32 * MiB);
	struct zone *zone = area_zone(cma);
	u64 mark = low_wmark_pages(zone);
	struct page *page, *odd[20];
	u64 n = 0;

	(void)state;
	assert_true(zone_watermark_ok(zone, 0, mark, ZONE_NORMAL, 0));
	while (zone->nr_free_pages - zone->nr_free_cma > (s64)mark)
		assert_non_null(any_page(GFP_KERNEL, 0));
	assert_true((s64)mark < zone->nr_free_pages);
	assert_false(zone_watermark_ok(zone, 0, mark, ZONE_NORMAL, 0));
	assert_true(zone_watermark_ok(zone, 0, mark, ZONE_NORMAL, ALLOC_CMA));
	assert_false(
		zone_watermark_fast(zone, 0, mark, ZONE_NORMAL, 0, GFP_KERNEL));
	assert_true(zone_watermark_fast(zone, 0, mark, ZONE_NORMAL, ALLOC_CMA,
					GFP_HIGHUSER_MOVABLE));
	/* A block: there is none but the area's. */
	while ((page = any_page(GFP_KERNEL, 0))) {
		if (page_zone(page) == zone && (page_to_pfn(page) & 1))
			odd[n++ % ARRAY_SIZE(odd)] = page;
	}
	for (size_t i = 0; i < ARRAY_SIZE(odd); i++)
		__free_page(odd[i]);
	drain_all_pages();
	assert_int_equal(zone->nr_free_pages - zone->nr_free_cma, 20);
	assert_true(zone_watermark_ok(zone, 0, 0, ZONE_DMA, 0));
	assert_false(zone_watermark_ok(zone, 3, 0, ZONE_DMA, 0));
	assert_true(zone_watermark_ok(zone, 3, 0, ZONE_NORMAL, ALLOC_CMA));
}

/* The straight way to large blocks keeps the low mark as well. */
static void test_large_keeps_mark(void **state)
{
	struct cma *cma = boot_area(256 * MiB, 200 * MiB);
	struct zone *zone = area_zone(cma);
	u64 low = low_wmark_pages(zone);

	(void)state;
	while (alloc_pages(GFP_KERNEL | __GFP_NOWARN, 5))
		;
	drain_all_pages();
	assert_true(zone->nr_free_pages - zone->nr_free_cma >= (s64)low);
	assert_int_equal(zone->nr_free_cma, 200 * 256);
}

/* Frames that a CPU keeps and frees of borrowed ones go home. */
static void test_home(void **state)
{
	static struct page *pages[3001];
	struct cma *cma = boot_area(128 * MiB, 80 * MiB);
	struct zone *zone = area_zone(cma);
	u64 lent = 0;

	(void)state;
	for (int i = 0; i < 3001; i++) {
		pages[i] = alloc_page(GFP_HIGHUSER_MOVABLE);
		lent += in_area(cma, pages[i]);
		/* Some of the area's frames are on the stack now. */
		if (i == 0)
			assert_true((u64)zone->nr_free_cma + lent < 20480);
	}
	assert_true(lent > 1000);
	for (int i = 0; i < 3001; i++)
		__free_page(pages[i]);
	drain_all_pages();
	assert_int_equal(zone->nr_free_cma, 20480);
	phys_check();
}

/* ---- cma_alloc
 * ------------------------------------------------------------------------ */

static void test_alloc(void **state)
{
	struct cma *cma = boot_area(64 * MiB, 16 * MiB);
	u64 base = PFN_DOWN(cma_get_base(cma));
	struct page *a, *b, *c;

	(void)state;
	a = cma_alloc(cma, 3, 0, false);
	b = cma_alloc(cma, 700, 8, false);
	assert_int_equal(page_to_pfn(a), base);
	assert_true(IS_ALIGNED(page_to_pfn(b), 256));
	assert_int_equal(page_to_pfn(b), base + 256);
	for (int i = 0; i < 700; i++)
		assert_int_equal(page_count(b + i), 1);
	assert_int_equal(cma_get_used(cma), 703);
	c = cma_alloc(cma, 253, 0, false);
	assert_int_equal(page_to_pfn(c), base + 3);
	assert_int_equal(sum_vm_event(CMA_ALLOC_SUCCESS), 3);
	assert_int_equal(zone_page_state(area_zone(cma), NR_FREE_CMA_PAGES),
			 4096 - 956);
	phys_check();
	/* Too much, not ours, not given out. */
	assert_null(cma_alloc(cma, 3500, 0, true));
	assert_false(pm_logged("alloc failed"));
	assert_null(cma_alloc(cma, 3500, 0, false));
	assert_true(pm_logged("cma_alloc: dev: alloc failed, req-size: 3500 "
			      "pages"));
	assert_int_equal(sum_vm_event(CMA_ALLOC_FAIL), 2);
	assert_null(cma_alloc(cma, 0, 0, false));
	assert_null(cma_alloc(cma, 5000, 0, false));
	assert_null(cma_alloc(NULL, 1, 0, false));
	assert_false(cma_release(cma, a - 1, 1));
	assert_false(cma_release(cma, pfn_to_page(base + 4095), 2));
	assert_false(cma_release(cma, b + 700, 1));
	assert_true(pm_logged("were not given out"));
	assert_false(cma_release(cma, b, 701));
	assert_int_equal(cma_get_used(cma), 956);
	assert_true(cma_release(cma, b, 700));
	assert_true(cma_release(cma, a, 256));
	assert_int_equal(cma_get_used(cma), 0);
	assert_int_equal(zone_page_state(area_zone(cma), NR_FREE_CMA_PAGES),
			 4096);
	phys_check();
}

static void test_granules(void **state)
{
	struct cma_request r = {
		.size = 16 * MiB, .order_per_bit = 4, .any_node = true};
	struct cma *cma;
	struct page *a, *b, *c;

	(void)state;
	assert_int_equal(boot_areas(64 * MiB, &r, 1), 0);
	(void)cma_for_each_area(first_area, &cma);
	a = cma_alloc(cma, 5, 0, false);
	b = cma_alloc(cma, 17, 0, false);
	c = cma_alloc(cma, 1, 6, false);
	assert_int_equal(b - a, 16);
	assert_int_equal(c - a, 64);
	assert_int_equal(cma_get_used(cma), 64);
	/* Only what was asked for is taken: the rest can be lent. */
	assert_int_equal(zone_page_state(area_zone(cma), NR_FREE_CMA_PAGES),
			 4096 - 23);
	assert_false(cma_release(cma, b + 1, 16));
	assert_true(cma_release(cma, b, 17));
	assert_true(cma_release(cma, a, 5));
	assert_true(cma_release(cma, c, 1));
	phys_check();
}

/* Lent frames that do not move are gone around. */
static void test_around(void **state)
{
	struct cma *cma = boot_area(64 * MiB, 8 * MiB);
	u64 base = PFN_DOWN(cma_get_base(cma));
	struct zone *zone = area_zone(cma);
	unsigned long flags;
	struct page *page;
	u64 before;

	(void)state;
	/* Frame 700 of the area is lent. */
	assert_int_equal(alloc_contig_range(base + 700, base + 701, MIGRATE_CMA,
					    GFP_KERNEL),
			 0);
	before = zone_page_state(zone, NR_FREE_CMA_PAGES);
	page = cma_alloc(cma, 600, 0, false);
	assert_int_equal(page_to_pfn(page), base);
	assert_true(cma_release(cma, page, 600));
	page = cma_alloc(cma, 800, 0, false);
	assert_int_equal(page_to_pfn(page), base + 701);
	assert_null(cma_alloc(cma, 1400, 0, true));
	assert_int_equal(cma_get_used(cma), 800);
	assert_true(cma_release(cma, page, 800));
	assert_int_equal(zone_page_state(zone, NR_FREE_CMA_PAGES), before);
	spin_lock_irqsave(&zone->lock, flags);
	assert_int_equal(zone->nr_isolate_pageblock, 0);
	spin_unlock_irqrestore(&zone->lock, flags);
	phys_check();
	__free_page(pfn_to_page(base + 700));
	assert_non_null(cma_alloc(cma, 2048, 0, true));
}

/* ---- a small mover
 * --------------------------------------------------------------------- */

static struct page *borrowed[4096];
static u64 nr_borrowed;
static int mover_error;

/* Moves the pages of borrowed[]; as migration will, in small. */
static int move_borrowed(u64 start, u64 end)
{
	for (u64 i = 0; !mover_error && i < nr_borrowed; i++) {
		struct page *old = borrowed[i], *page;
		u64 pfn = page_to_pfn(old);

		if (pfn < start || pfn >= end)
			continue;
		page = alloc_page(GFP_HIGHUSER_MOVABLE | __GFP_NOWARN);
		if (!page)
			return -ENOMEM;
		assert_false(page_to_pfn(page) >= start &&
			     page_to_pfn(page) < end);
		memcpy(page_view(page), page_view(old), PAGE_SIZE);
		set_page_mapping_word(page, PAGE_MAPPING_MOVABLE);
		borrowed[i] = page;
		__free_page(old);
	}
	return mover_error;
}

static const struct migrate_ops mover = {move_borrowed};

static void borrow(u64 nr)
{
	for (nr_borrowed = 0; nr_borrowed < nr; nr_borrowed++) {
		struct page *page = alloc_page(GFP_HIGHUSER_MOVABLE);

		assert_non_null(page);
		set_page_mapping_word(page, PAGE_MAPPING_MOVABLE);
		*(u64 *)page_view(page) = nr_borrowed;
		borrowed[nr_borrowed] = page;
	}
}

static void test_mover(void **state)
{
	struct cma *cma = boot_area(64 * MiB, 32 * MiB);
	struct page *page;
	u64 lent = 0;

	(void)state;
	mover_error = 0;
	borrow(4096);
	for (u64 i = 0; i < nr_borrowed; i++)
		lent += in_area(cma, borrowed[i]);
	assert_true(lent > 2000);
	/* Without one, lent frames are in the way. */
	assert_null(cma_alloc(cma, 8192, 0, true));
	page_alloc_set_migrate_ops(&mover);
	mover_error = -EBUSY;
	assert_null(cma_alloc(cma, 8192, 0, true));
	mover_error = -ENOMEM;
	assert_null(cma_alloc(cma, 8192, 0, true));
	phys_check();
	assert_int_equal(cma_get_used(cma), 0);
	mover_error = 0;
	page = cma_alloc(cma, 8192, 0, false);
	assert_non_null(page);
	for (u64 i = 0; i < nr_borrowed; i++) {
		assert_false(in_area(cma, borrowed[i]));
		assert_int_equal(*(u64 *)page_view(borrowed[i]), i);
	}
	phys_check();
	assert_true(cma_release(cma, page, 8192));
	phys_check();
	/* The same for ordinary memory. */
	page = borrowed[17];
	assert_int_equal(alloc_contig_range(page_to_pfn(page),
					    page_to_pfn(page) + 1,
					    MIGRATE_MOVABLE, GFP_KERNEL),
			 0);
	assert_true(borrowed[17] != page);
	assert_int_equal(*(u64 *)page_view(borrowed[17]), 17);
}

/* ---- exact ranges
 * ------------------------------------------------------------------------ */

static u64 free_frames(void)
{
	drain_all_pages();
	return nr_free_pages();
}

static int take(u64 pfn, u64 nr, gfp_t gfp)
{
	return alloc_contig_range(pfn, pfn + nr, MIGRATE_MOVABLE, gfp);
}

static void test_range(void **state)
{
	u64 pfn = PFN_DOWN(32 * MiB) + 13, nr = 1999, free;
	struct zone *zone;

	(void)state;
	pm_boot(64 * MiB, 2);
	zone = page_zone(pfn_to_page(pfn));
	free = free_frames();
	memset(port_ram(PFN_PHYS(pfn)), 0x77, 8);
	assert_int_equal(take(pfn, nr, GFP_KERNEL | __GFP_ZERO), 0);
	assert_int_equal(*(u64 *)port_ram(PFN_PHYS(pfn)), 0);
	assert_int_equal(free_frames(), free - nr);
	assert_int_equal(zone->nr_isolate_pageblock, 0);
	for (u64 i = 0; i < nr; i++) {
		assert_int_equal(page_count(pfn_to_page(pfn + i)), 1);
		assert_int_equal(PageBuddy(pfn_to_page(pfn + i)), 0);
	}
	phys_check();
	/* Taken is taken, beside it is free. */
	assert_int_equal(take(pfn + 1998, 3, GFP_KERNEL), -EBUSY);
	assert_int_equal(take(pfn - 1, 2, GFP_KERNEL), -EBUSY);
	assert_int_equal(free_frames(), free - nr);
	assert_int_equal(take(pfn + 1999, 1, GFP_KERNEL), 0);
	assert_int_equal(take(pfn - 1, 1, GFP_KERNEL), 0);
	assert_int_equal(
		sum_vm_event((enum vm_event_item)(PGALLOC_DMA + ZONE_DMA32)),
		nr + 2);
	free_contig_range(pfn - 1, nr + 2);
	assert_int_equal(free_frames(), free);
	phys_check();
	/* No such frames; two zones. */
	assert_int_equal(take(pfn, 0, GFP_KERNEL), -EINVAL);
	assert_int_equal(take(phys_sys.hot.max_pfn - 1, 2, GFP_KERNEL),
			 -EINVAL);
	assert_int_equal(take(PFN_DOWN(16 * MiB) - 1, 2, GFP_KERNEL), -EINVAL);
	/* A CMA request in a pageblock of another type is an ordinary one. */
	assert_int_equal(free_frames(), free);
}

/* A page that others hold is told of, and freed when they let go. */
static void test_still_held(void **state)
{
	u64 pfn = PFN_DOWN(32 * MiB), free;

	(void)state;
	pm_boot(64 * MiB, 1);
	free = free_frames();
	assert_int_equal(take(pfn, 10, GFP_KERNEL), 0);
	get_page(pfn_to_page(pfn + 4));
	free_contig_range(pfn, 10);
	assert_true(pm_logged("1 of 10 pages"));
	assert_int_equal(free_frames(), free - 1);
	put_page(pfn_to_page(pfn + 4));
	assert_int_equal(free_frames(), free);
}

/* Why not, at debug level. */
static void test_reason(void **state)
{
	u64 pfn = PFN_DOWN(32 * MiB);

	(void)state;
	pm_boot(64 * MiB, 1);
	assert_int_equal(take(pfn + 5, 1, GFP_KERNEL), 0);
	printk_debug(true);
	assert_int_equal(take(pfn, 8, GFP_KERNEL), -EBUSY);
	assert_true(pm_logged("not isolated"));
	pm_log_clear();
	set_page_mapping_word(pfn_to_page(pfn + 5), PAGE_MAPPING_MOVABLE);
	assert_int_equal(take(pfn, 8, GFP_KERNEL), -EBUSY);
	assert_true(pm_logged("busy: pfn 2005: count 1"));
	printk_debug(false);
	assert_int_equal(page_zone(pfn_to_page(pfn))->nr_isolate_pageblock, 0);
	phys_check();
}

/* A frame that was written to while free stays out, the others go back. */
static void test_tampered(void **state)
{
	u64 pfn = PFN_DOWN(32 * MiB), free;

	(void)state;
	pm_boot(64 * MiB, 1);
	free = free_frames();
	pfn_to_page(pfn + 3)->mapcount = 5;
	assert_int_equal(take(pfn, 8, GFP_KERNEL), -EBUSY);
	assert_true(pm_logged("Bad page state"));
	assert_int_equal(phys_sys.nr_bad_pages, 1);
	assert_int_equal(free_frames(), free - 1);
	pfn_to_page(pfn + 3)->mapcount = -1;
	phys_check();
}

static void test_pages(void **state)
{
	struct page *a, *b, *c;
	u64 free;

	(void)state;
	pm_boot(128 * MiB, 1);
	free = free_frames();
	/* More than the largest block, and no power of two. */
	a = alloc_contig_pages(3001, GFP_KERNEL, 0);
	assert_non_null(a);
	b = alloc_contig_pages(2048, GFP_KERNEL, 0);
	assert_non_null(b);
	assert_true(IS_ALIGNED(page_to_pfn(b), 2048));
	assert_true(b >= a + 3001 || b + 2048 <= a);
	c = alloc_contig_pages(1000, GFP_KERNEL | __GFP_DMA, -1);
	assert_non_null(c);
	assert_int_equal(page_zone_idx(c), ZONE_DMA);
	phys_check();
	assert_int_equal(free_frames(), free - 3001 - 2048 - 1000);
	free_contig_range(page_to_pfn(b), 2048);
	free_contig_range(page_to_pfn(a), 3001);
	free_contig_range(page_to_pfn(c), 1000);
	assert_int_equal(free_frames(), free);
	/* Not all of a zone: the reserves are for others. */
	assert_null(alloc_contig_pages(0, GFP_KERNEL, 0));
	assert_null(alloc_contig_pages(free, GFP_KERNEL, 0));
	phys_check();
}

static void test_pages_mark(void **state)
{
	struct zone *zone;

	(void)state;
	pm_boot(64 * MiB, 1);
	zone = &NODE_DATA(0)->node_zones[ZONE_DMA32];
	while (alloc_contig_pages(128, GFP_KERNEL, 0))
		;
	drain_all_pages();
	assert_true(zone->nr_free_pages >= (s64)low_wmark_pages(zone));
	assert_true(zone->nr_free_pages < (s64)low_wmark_pages(zone) + 300);
	phys_check();
}

/* Every failure leaves all as it was. */
static void test_injected(void **state)
{
	struct cma *cma = boot_area(64 * MiB, 16 * MiB);
	u64 free = free_frames(), failed = 0;

	(void)state;
	fail_arm_prob(FAIL_MASK(FAIL_PAGE_ALLOC), 2, 5);
	for (int i = 0; i < 40; i++) {
		struct page *page = cma_alloc(cma, 600, 0, true);

		if (page)
			assert_true(cma_release(cma, page, 600));
		else
			failed++;
		page = alloc_contig_pages(600, GFP_KERNEL, 0);
		if (page)
			free_contig_range(page_to_pfn(page), 600);
		phys_check();
	}
	fail_disarm();
	assert_true(failed > 5 && failed < 35);
	assert_int_equal(sum_vm_event(CMA_ALLOC_FAIL), failed);
	assert_int_equal(cma_get_used(cma), 0);
	assert_int_equal(free_frames(), free);
}

/* A frame that somebody holds is in the way: told, and how it went on. */
static void test_told(void **state)
{
	static struct trace_record ring[64];
	static const enum trace_event want[] = {
		TRACE_CMA_ALLOC_START,	TRACE_CMA_ALLOC_BUSY_RETRY,
		TRACE_CMA_ALLOC_FINISH, TRACE_CMA_RELEASE,
		TRACE_CMA_ALLOC_START,	TRACE_CMA_ALLOC_BUSY_RETRY,
		TRACE_CMA_ALLOC_FINISH};
	struct cma *cma = boot_area(64 * MiB, 8 * MiB);
	u64 base = PFN_DOWN(cma_get_base(cma)), pos = 0;
	struct trace_record r[7], none;
	struct page *held, *page;

	(void)state;
	/* The first frame of the area, by whom cannot be asked to leave. */
	held = cma_alloc(cma, 1, 0, false);
	assert_int_equal(page_to_pfn(held), base);
	get_page(held);
	assert_true(cma_release(cma, held, 1));
	trace_ring_attach(0, ring, ARRAY_SIZE(ring));
	for (u32 i = 0; i < ARRAY_SIZE(want); i++)
		trace_enable(want[i]);
	page = cma_alloc(cma, 4, 0, true);
	assert_non_null(page);
	assert_true(cma_release(cma, page, 4));
	assert_null(cma_alloc(cma, 2048, 0, true));
	trace_enable_mask(0);
	for (u32 i = 0; i < ARRAY_SIZE(want); i++) {
		assert_true(trace_read(0, &pos, &r[i]));
		assert_int_equal(r[i].event, want[i]);
		assert_int_equal(trace_field(&r[i], "name"),
				 trace_word("dev", 0));
		assert_int_equal(trace_field(&r[i], "count"), i < 4 ? 4 : 2048);
	}
	assert_false(trace_read(0, &pos, &none));
	assert_int_equal(trace_field(&r[0], "align"), 0);
	assert_int_equal(trace_field(&r[1], "pfn"), base);
	assert_int_equal(trace_field(&r[2], "pfn"), page_to_pfn(page));
	assert_int_equal(trace_field(&r[3], "pfn"), page_to_pfn(page));
	/* What was not to be had has no frame. */
	assert_int_equal(trace_field(&r[5], "pfn"), base);
	assert_int_equal(trace_field(&r[6], "pfn"), 0);
	trace_ring_attach(0, NULL, 0);
	put_page(held);
	phys_check();
}

#define T(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_boot),
		T(test_large_area),
		T(test_refused),
		T(test_places),
		T(test_borrowers),
		T(test_cma_first),
		T(test_cma_first_blocks),
		T(test_before_fallback),
		T(test_watermarks),
		T(test_large_keeps_mark),
		T(test_home),
		T(test_alloc),
		T(test_granules),
		T(test_around),
		T(test_mover),
		T(test_range),
		T(test_still_held),
		T(test_reason),
		T(test_tampered),
		T(test_pages),
		T(test_pages_mark),
		T(test_injected),
		T(test_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
