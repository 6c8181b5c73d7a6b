/* SPDX-License-Identifier: MIT */
/*
 * The rules that keep frames of different mobility apart, one by one, in a
 * zone whose free blocks are laid out by hand. Each test fails when its rule
 * is taken out of the sources:
 *
 *   rule                                                      test
 *   a type's own lists come first                             own_first
 *   whom to rob first; HIGHATOMIC, CMA, ISOLATE never         victims
 *   kernel frames rob the largest block                       largest
 *   movable frames take the tightest small block, alone       tightest
 *   a block of half a pageblock's order is robbed whole       tightest
 *   whole pageblocks change sides, without a boost            whole_blocks
 *   a pageblock converts if half of it is free or alike       worth
 *   mixing raises the marks, step by step, within bounds      boost
 *   no boost where it is off or the zone is tiny              boost
 *   kswapd is woken for it if the request may                 wake
 *   NOFRAGMENT takes whole pageblocks only                    nofragment
 *   NOFRAGMENT prefers a lower zone, but no other node        other_zone,
 *                                                             other_node
 *   reserves for high-order atomics: who makes them, how      reserve
 *     many, from which pageblocks
 *   who may use them, and what watermarks make of them        reserve_use
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/bitops.h"
#include "phys/buddy_priv.h"
#include "phys_machine.h"

#define U MIGRATE_UNMOVABLE
#define M MIGRATE_MOVABLE
#define R MIGRATE_RECLAIMABLE

static struct zone *zone;

static int teardown(void **state)
{
	(void)state;
	pm_shutdown();
	return 0;
}

/* ---- a zone laid out by hand
 * ------------------------------------------------------------ */

/* First frame of the K-th pageblock used here. */
static u64 block(u64 k)
{
	return PFN_DOWN(32 * MiB) + k * pageblock_nr_pages;
}

/* All free blocks of Z leave its lists. */
static void take_all(struct zone *z)
{
	unsigned long flags;

	drain_all_pages();
	spin_lock_irqsave(&z->lock, flags);
	for (unsigned int order = 0; order < MAX_ORDER; order++) {
		for (int mt = 0; mt < MIGRATE_TYPES; mt++) {
			struct page *page;
			struct page_list *list =
				&z->free_area[order].free_list[mt];

			while ((page = page_list_first(list))) {
				buddy_del(z, page, order);
				zone_count_free(z, -(s64)(1L << order), mt);
			}
		}
	}
	spin_unlock_irqrestore(&z->lock, flags);
	assert_int_equal(z->nr_free_pages, 0);
}

static void empty_machine(void)
{
	pm_boot(64 * MiB, 1);
	zone = &NODE_DATA(0)->node_zones[ZONE_DMA32];
	take_all(zone);
	take_all(zone - 1);
}

static void put(u64 pfn, unsigned int order)
{
	unsigned long flags;

	spin_lock_irqsave(&zone->lock, flags);
	__free_one_page(zone, pfn_to_page(pfn), pfn, order,
			get_pfnblock_migratetype(pfn));
	spin_unlock_irqrestore(&zone->lock, flags);
}

/* Pageblock K is of type MT, with one free block of ORDER at frame OFF. */
static void lay(u64 k, int mt, u64 off, unsigned int order)
{
	set_pageblock_migratetype(pfn_to_page(block(k)), mt);
	put(block(k) + off, order);
}

/* NR frames in use of pageblock K, from OFF on, are pages of an LRU list. */
static void lay_lru(u64 k, u64 off, u64 nr)
{
	for (u64 i = 0; i < nr; i++)
		pfn_to_page(block(k) + off + i)->flags = 1u << PG_lru;
}

static void clear_lru(u64 k)
{
	for (u64 i = 0; i < pageblock_nr_pages; i++)
		if (PageLRU(pfn_to_page(block(k) + i)))
			pfn_to_page(block(k) + i)->flags = 0;
}

/* The pageblock that a block of ORDER for MT comes from; -1: none. */
static int take(unsigned int order, int mt, u32 alloc_flags)
{
	struct page *page;
	unsigned long flags;

	spin_lock_irqsave(&zone->lock, flags);
	page = __rmqueue(zone, order, mt, alloc_flags);
	spin_unlock_irqrestore(&zone->lock, flags);
	if (!page)
		return -1;
	assert_true(page_to_pfn(page) >= block(0));
	return (int)((page_to_pfn(page) - block(0)) >> pageblock_order);
}

static int type(u64 k)
{
	return get_pfnblock_migratetype(block(k));
}

static u64 listed(unsigned int order, int mt)
{
	return zone_nr_free_blocks(zone, order, mt);
}

/* ---- fallback
 * ------------------------------------------------------------------------- */

static void test_own_first(void **state)
{
	(void)state;
	empty_machine();
	lay(0, M, 0, 8);
	lay(2, U, 0, 1);
	assert_int_equal(take(0, U, 0), 2);
	assert_int_equal(take(0, U, 0), 2);
	assert_int_equal(take(0, U, 0), 0);
	buddy_check(zone);
}

static void test_victims(void **state)
{
	static const int order[3][3] = {{U, R, M}, {M, R, U}, {R, U, M}};

	(void)state;
	for (int i = 0; i < 3; i++) {
		int want = order[i][0];

		empty_machine();
		/* In both orders of the addresses. */
		lay(0, order[i][2], 0, 3);
		lay(2, order[i][1], 0, 3);
		lay(4, order[i][2], 0, 3);
		lay(6, MIGRATE_HIGHATOMIC, 0, 9);
		lay(8, MIGRATE_CMA, 0, 9);
		lay(10, MIGRATE_ISOLATE, 0, 9);
		assert_int_equal(take(3, want, 0), 2);
		assert_true(take(3, want, 0) % 4 == 0);
		assert_true(take(3, want, 0) % 4 == 0);
		assert_int_equal(take(3, want, 0), -1);
		assert_int_equal(take(0, want, 0), -1);
		pm_shutdown();
	}
	pm_boot(64 * MiB, 1);
}

static void test_largest(void **state)
{
	(void)state;
	for (int mt = U; mt <= R; mt += R - U) {
		empty_machine();
		lay(0, M, 0, 2);
		lay(2, M, 0, 7);
		lay(4, M, 0, 4);
		assert_int_equal(take(0, mt, 0), 2);
		buddy_check(zone);
		pm_shutdown();
	}
	empty_machine();
}

static void test_tightest(void **state)
{
	(void)state;
	empty_machine();
	lay(0, U, 0, 3);
	lay(2, U, 0, 2);
	lay(2, U, 64, 0);
	/* The smallest block that fits moves alone; the rest stays. */
	assert_int_equal(take(1, M, 0), 2);
	assert_int_equal(listed(1, M), 1);
	assert_int_equal(listed(0, U), 1);
	assert_int_equal(listed(3, U), 1);
	assert_int_equal(type(2), U);
	buddy_check(zone);
	pm_shutdown();
	/* From half of a pageblock's order on: the largest, all of it. */
	empty_machine();
	lay(0, U, 0, pageblock_order / 2);
	lay(2, U, 0, 2);
	lay(0, U, 128, 0);
	assert_int_equal(take(1, M, 0), 0);
	assert_int_equal(listed(0, U), 0);
	assert_int_equal(listed(0, M), 1);
	assert_int_equal(listed(2, U), 1);
	buddy_check(zone);
}

static void test_whole_blocks(void **state)
{
	(void)state;
	empty_machine();
	zone->_watermark[WMARK_HIGH] = 1000;
	lay(0, M, 0, MAX_ORDER - 1);
	assert_int_equal(take(0, U, ALLOC_KSWAPD), 0);
	assert_int_equal(type(0), U);
	assert_int_equal(type(1), U);
	assert_int_equal(listed(9, U), 1);
	assert_int_equal(zone->watermark_boost, 0);
	assert_false(test_bit(ZONE_BOOSTED_WATERMARK, &zone->flags));
	buddy_check(zone);
}

struct worth {
	int want, old;
	unsigned int order; /* of the free block at the pageblock's start */
	u64 lru;	    /* LRU pages behind it; the rest is in use */
	bool converts;
};

static void test_worth(void **state)
{
	static const struct worth cases[] = {
		/* Half of it is free. */
		{U, M, 8, 256, true},
		{R, M, 8, 256, true},
		{M, U, 8, 0, true},
		{R, U, 8, 0, true},
		/* A quarter is, and a quarter is or is not alike. */
		{U, M, 7, 256, true},
		{U, M, 7, 257, false},
		{U, M, 7, 384, false},
		{M, U, 7, 128, true},
		{M, U, 7, 127, false},
		{M, R, 7, 128, true},
		/* A small block is enough for kernel frames. */
		{U, M, 3, 0, true},
		{R, U, 7, 0, false},
		{U, R, 7, 0, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct worth *w = &cases[i];
		u64 free = 1UL << w->order;

		empty_machine();
		lay(0, w->old, 0, w->order);
		lay_lru(0, free, w->lru);
		assert_int_equal(take(0, w->want, 0), 0);
		if (type(0) != (w->converts ? w->want : w->old))
			fail_msg("case %zu: type %d", i, type(0));
		/* Its free blocks are on the new lists in any case. */
		for (unsigned int o = 0; o < w->order; o++)
			assert_int_equal(listed(o, w->want), 1);
		clear_lru(0);
		buddy_check(zone);
		pm_shutdown();
	}
	empty_machine();
}

/* ---- what follows from mixing
 * ----------------------------------------------------------- */

/* One more pageblock is mixed. */
static u64 mix(u64 k, u32 alloc_flags)
{
	lay(k, M, 0, 0);
	assert_int_equal(take(0, U, alloc_flags), k);
	return zone->watermark_boost;
}

static void test_boost(void **state)
{
	(void)state;
	empty_machine();
	zone->_watermark[WMARK_HIGH] = 1000;
	assert_int_equal(mix(0, 0), 512);
	assert_int_equal(mix(1, 0), 1024);
	assert_int_equal(mix(2, 0), 1500);
	assert_int_equal(mix(3, 0), 1500);
	assert_int_equal(wmark_pages(zone, WMARK_HIGH), 2500);
	/* At least a pageblock; in proportion to the factor; not at all. */
	zone->watermark_boost = 0;
	zone->_watermark[WMARK_HIGH] = 10;
	assert_int_equal(mix(4, 0), 512);
	assert_int_equal(mix(5, 0), 512);
	zone->watermark_boost = 0;
	zone->_watermark[WMARK_HIGH] = 1000;
	phys_sys.tunables.watermark_boost_factor = 7000;
	assert_int_equal(mix(6, 0), 512);
	assert_int_equal(mix(7, 0), 700);
	zone->watermark_boost = 0;
	phys_sys.tunables.watermark_boost_factor = 0;
	assert_int_equal(mix(8, ALLOC_KSWAPD), 0);
	phys_sys.tunables.watermark_boost_factor = 15000;
	zone->_watermark[WMARK_HIGH] = 0;
	assert_int_equal(mix(9, ALLOC_KSWAPD), 0);
	zone->_watermark[WMARK_HIGH] = 1000;
	zone->managed_pages = 4 * pageblock_nr_pages - 1;
	assert_int_equal(mix(10, ALLOC_KSWAPD), 0);
	assert_false(test_bit(ZONE_BOOSTED_WATERMARK, &zone->flags));
	zone->managed_pages++;
	assert_int_equal(mix(11, 0), 512);
}

static int wakes;

static void count_wake(struct zone *z, gfp_t gfp, unsigned int order,
		       enum zone_type highest)
{
	(void)gfp;
	(void)order;
	(void)highest;
	wakes += z == zone;
}

static struct page *no_slowpath(gfp_t gfp, unsigned int order,
				struct alloc_context *ac)
{
	(void)gfp;
	(void)order;
	(void)ac;
	return NULL;
}

static const struct pressure_ops counting = {
	.alloc_slowpath = no_slowpath,
	.wake_kswapd = count_wake,
};

/* A block of ORDER by the whole way, without watermarks. */
static struct page *get(gfp_t gfp, unsigned int order, u32 alloc_flags)
{
	struct alloc_context ac;

	prepare_alloc_context(&ac, gfp, -1);
	return get_page_from_freelist(gfp, order,
				      alloc_flags | ALLOC_NO_WATERMARKS, &ac);
}

static void test_wake(void **state)
{
	(void)state;
	empty_machine();
	page_alloc_set_pressure_ops(&counting);
	wakes = 0;
	lay(0, M, 0, 5);
	assert_non_null(get(GFP_KERNEL, 5, 0));
	assert_true(zone->watermark_boost > 0);
	assert_int_equal(wakes, 0);
	lay(2, M, 0, 5);
	assert_non_null(get(GFP_KERNEL, 5, ALLOC_KSWAPD));
	assert_int_equal(wakes, 1);
	/* Once for each time. */
	lay(4, U, 0, 5);
	assert_non_null(get(GFP_KERNEL, 5, ALLOC_KSWAPD));
	assert_int_equal(wakes, 1);
	page_alloc_set_pressure_ops(NULL);
}

static void test_nofragment(void **state)
{
	(void)state;
	empty_machine();
	lay(0, M, 0, 8);
	lay(2, R, 0, 8);
	assert_int_equal(take(0, U, ALLOC_NOFRAGMENT), -1);
	assert_int_equal(take(8, U, ALLOC_NOFRAGMENT), -1);
	lay(4, M, 0, 9);
	assert_int_equal(take(0, U, ALLOC_NOFRAGMENT), 4);
	assert_int_equal(type(4), U);
	assert_int_equal(take(8, U, ALLOC_NOFRAGMENT), 4);
	assert_int_equal(take(8, U, 0), 2);
	buddy_check(zone);
}

/* In Z every second frame is free, all pageblocks are movable. */
static void shred(struct zone *z)
{
	u64 start, end;

	zone = z;
	while (z->nr_deferred) {
		unsigned long flags;

		spin_lock_irqsave(&z->lock, flags);
		(void)deferred_grow_zone(z);
		spin_unlock_irqrestore(&z->lock, flags);
	}
	take_all(z);
	start = z->zone_start_pfn;
	end = zone_end_pfn(z);
	for (u64 pfn = start; pfn < end; pfn++) {
		struct page *page = pfn_valid(pfn) ? pfn_to_page(pfn) : NULL;

		if (page && page->zone_id == z->zone_id && (pfn & 1) &&
		    page->flags == 0 && page_count(page) == 0) {
			set_pageblock_migratetype(page, M);
			put(pfn, 0);
		}
	}
}

/* Rather DMA32 than mixed pageblocks in NORMAL. */
static void test_other_zone(void **state)
{
	struct alloc_context ac;
	struct page *page;

	(void)state;
	pm_boot(3 * GiB + 256 * MiB, 1);
	shred(&NODE_DATA(0)->node_zones[ZONE_NORMAL]);
	assert_true(zone->nr_free_pages > 2 * (s64)high_wmark_pages(zone));
	page = alloc_page(GFP_KERNEL);
	assert_int_equal(page_zone_idx(page), ZONE_DMA32);
	/* Movable frames find theirs in NORMAL. */
	page = alloc_page(GFP_HIGHUSER_MOVABLE);
	assert_int_equal(page_zone_idx(page), ZONE_NORMAL);
	prepare_alloc_context(&ac, GFP_KERNEL, -1);
	page = get_page_from_freelist(GFP_KERNEL, 4, ALLOC_WMARK_LOW, &ac);
	assert_int_equal(page_zone_idx(page), ZONE_DMA32);
	drain_all_pages();
	page = get_page_from_freelist(GFP_KERNEL, 0, ALLOC_WMARK_LOW, &ac);
	assert_int_equal(page_zone_idx(page), ZONE_NORMAL);
}

/* Mixing is better than another node. */
static void test_other_node(void **state)
{
	struct alloc_context ac;
	struct page *page;

	(void)state;
	pm_boot_numa(256 * MiB, 2);
	shred(&NODE_DATA(1)->node_zones[ZONE_DMA32]);
	prepare_alloc_context(&ac, GFP_KERNEL, 1);
	assert_ptr_equal(ac.preferred_zoneref->zone, zone);
	page = get_page_from_freelist(GFP_KERNEL, 0,
				      ALLOC_WMARK_LOW | ALLOC_NOFRAGMENT, &ac);
	assert_int_equal(page_to_nid(page), 1);
}

/* ---- reserves for high-order atomic requests
 * ------------------------------------------------ */

static void test_reserve(void **state)
{
	u64 most;

	(void)state;
	pm_boot(64 * MiB, 1);
	zone = &NODE_DATA(0)->node_zones[ZONE_DMA32];
	most = zone_managed_pages(zone) / 100 + pageblock_nr_pages;
	/* Single frames and ordinary blocks make none. */
	assert_non_null(get(GFP_ATOMIC, 0, ALLOC_HARDER));
	assert_non_null(get(GFP_KERNEL, 4, 0));
	assert_int_equal(zone->nr_reserved_highatomic, 0);
	for (int i = 0; i < 400; i++) {
		assert_non_null(get(GFP_ATOMIC, 4, ALLOC_HARDER));
		assert_true(zone->nr_reserved_highatomic <
			    most + pageblock_nr_pages);
	}
	assert_true(zone->nr_reserved_highatomic >= most);
	phys_check();
	pm_shutdown();
	/* A pageblock of an area, or in isolation, does not become one. */
	empty_machine();
	for (int mt = MIGRATE_HIGHATOMIC; mt < MIGRATE_TYPES; mt++) {
		set_pageblock_migratetype(pfn_to_page(block(0)), mt);
		reserve_highatomic_pageblock(pfn_to_page(block(0)), zone);
		assert_int_equal(type(0), mt);
		assert_int_equal(zone->nr_reserved_highatomic, 0);
	}
	/* Its free blocks go to the lists of the reserve. */
	lay(2, M, 0, 4);
	lay(2, M, 64, 0);
	reserve_highatomic_pageblock(pfn_to_page(block(2) + 32), zone);
	assert_int_equal(listed(4, MIGRATE_HIGHATOMIC), 1);
	assert_int_equal(listed(0, MIGRATE_HIGHATOMIC), 1);
	assert_int_equal(listed(4, M) + listed(0, M), 0);
}

static void test_reserve_use(void **state)
{
	(void)state;
	empty_machine();
	lay(0, MIGRATE_HIGHATOMIC, 0, 8);
	zone->nr_reserved_highatomic = 512;
	/* Nobody but those who must not wait. */
	assert_null(get(GFP_KERNEL, 0, 0));
	assert_null(get(GFP_HIGHUSER_MOVABLE, 2, 0));
	assert_null(get(GFP_ATOMIC, 2, ALLOC_HIGH));
	assert_non_null(get(GFP_ATOMIC, 2, ALLOC_HARDER));
	assert_non_null(get(GFP_KERNEL, 2, ALLOC_OOM));
	/* Single frames only when there is nothing else. */
	lay(2, U, 0, 0);
	assert_int_equal(page_to_pfn(get(GFP_ATOMIC, 0, ALLOC_HARDER)),
			 block(2));
	assert_int_equal(
		ALIGN_DOWN(page_to_pfn(get(GFP_ATOMIC, 0, ALLOC_HARDER)), 512),
		block(0));
	/* Large blocks come from the reserve first. */
	lay(4, U, 0, 5);
	assert_int_equal(
		ALIGN_DOWN(page_to_pfn(get(GFP_ATOMIC, 5, ALLOC_HARDER)), 512),
		block(0));
	/* For others it is not there. */
	assert_true(zone->nr_free_pages > 200);
	assert_false(zone_watermark_ok(zone, 0, 0, ZONE_DMA, 0));
	assert_true(zone_watermark_ok(zone, 0, 0, ZONE_DMA, ALLOC_HARDER));
	lay(6, M, 0, 9);
	lay(8, M, 0, 0);
	assert_true(zone_watermark_ok(zone, 3, 0, ZONE_DMA, 0));
	assert_int_equal(take(9, M, 0), 6);
	zone->nr_reserved_highatomic = 0;
	assert_int_equal(take(5, U, 0), 4);
	assert_false(zone_watermark_ok(zone, 3, 0, ZONE_DMA, 0));
	assert_true(zone_watermark_ok(zone, 3, 0, ZONE_DMA, ALLOC_HARDER));
}

#define T(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_own_first),   T(test_victims),	   T(test_largest),
		T(test_tightest),    T(test_whole_blocks), T(test_worth),
		T(test_boost),	     T(test_wake),	   T(test_nofragment),
		T(test_other_zone),  T(test_other_node),   T(test_reserve),
		T(test_reserve_use),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
