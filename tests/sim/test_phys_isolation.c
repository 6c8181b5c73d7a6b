/* SPDX-License-Identifier: MIT */
/*
 * Pageblocks out of circulation and back: free blocks larger than a pageblock
 * are cut, what was isolated is not given out and not counted, a failure
 * leaves everything as it was.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "phys/buddy_priv.h"
#include "phys/page_isolation.h"
#include "phys_machine.h"

static int teardown(void **state)
{
	(void)state;
	pm_shutdown();
	return 0;
}

static struct zone *dma32(void)
{
	return &NODE_DATA(0)->node_zones[ZONE_DMA32];
}

/* The first free block of the highest order that lies in DMA32. */
static u64 free_top_block(void)
{
	const struct free_area *area = &dma32()->free_area[MAX_ORDER - 1];
	const struct page *page;

	page = page_list_first(&area->free_list[MIGRATE_MOVABLE]);
	assert_non_null(page);
	return page_to_pfn(page);
}

static u64 free_frames(void)
{
	drain_all_pages();
	return nr_free_pages();
}

/* A free block over two pageblocks: only the isolated half leaves. */
static void test_cut(void **state)
{
	u64 pfn, free, nr;

	(void)state;
	pm_boot(64 * MiB, 2);
	nr = pageblock_nr_pages;
	pfn = free_top_block();
	free = free_frames();
	for (u64 half = 0; half < 2; half++) {
		u64 at = pfn + half * nr;

		assert_int_equal(start_isolate_page_range(at, at + nr,
							  MIGRATE_MOVABLE, 0),
				 0);
		assert_int_equal(free_frames(), free - nr);
		assert_int_equal(dma32()->nr_isolate_pageblock, 1);
		assert_int_equal(test_pages_isolated(at, at + nr, 0), 0);
		assert_int_equal(test_pages_isolated(pfn, pfn + 2 * nr, 0),
				 -EBUSY);
		assert_int_equal(buddy_order(pfn_to_page(at)), pageblock_order);
		assert_int_equal(buddy_order(pfn_to_page(at ^ nr)),
				 pageblock_order);
		phys_check();
		undo_isolate_page_range(at, at + nr, MIGRATE_MOVABLE);
		/* Both halves are one block again. */
		assert_int_equal(buddy_order(pfn_to_page(pfn)), MAX_ORDER - 1);
		assert_int_equal(free_frames(), free);
		phys_check();
	}
	/* Both at once are one isolated block. */
	assert_int_equal(
		start_isolate_page_range(pfn, pfn + 2 * nr, MIGRATE_MOVABLE, 0),
		0);
	assert_int_equal(buddy_order(pfn_to_page(pfn)), MAX_ORDER - 1);
	assert_int_equal(test_pages_isolated(pfn + 3, pfn + nr + 5, 0), 0);
	phys_check();
	undo_isolate_page_range(pfn, pfn + 2 * nr, MIGRATE_MOVABLE);
	phys_check();
	assert_int_equal(dma32()->nr_isolate_pageblock, 0);
}

/* No request gets a frame of an isolated pageblock, whatever it may use. */
static void test_not_given_out(void **state)
{
	u64 pfn, got = 0, free, nr;
	struct page *page;

	(void)state;
	pm_boot(32 * MiB, 1);
	nr = pageblock_nr_pages;
	pfn = free_top_block();
	assert_int_equal(
		start_isolate_page_range(pfn, pfn + 2 * nr, MIGRATE_MOVABLE, 0),
		0);
	free = free_frames();
	for (;;) {
		struct alloc_context ac;
		gfp_t gfp = got & 1 ? GFP_ATOMIC : GFP_HIGHUSER_MOVABLE;

		prepare_alloc_context(&ac, gfp | __GFP_NOWARN, -1);
		page = get_page_from_freelist(
			gfp, 0, ALLOC_NO_WATERMARKS | ALLOC_CMA | ALLOC_HARDER,
			&ac);
		if (!page)
			break;
		assert_false(page_to_pfn(page) >= pfn &&
			     page_to_pfn(page) < pfn + 2 * nr);
		got++;
	}
	assert_int_equal(got, free);
	assert_int_equal(test_pages_isolated(pfn, pfn + 2 * nr, 0), 0);
	phys_check();
}

/* Frames on a CPU's stack and frames freed later end up isolated. */
static void test_freed_later(void **state)
{
	struct page *block, *late;
	u64 pfn, nr;

	(void)state;
	pm_boot(64 * MiB, 1);
	nr = pageblock_nr_pages;
	block = alloc_pages(GFP_HIGHUSER_MOVABLE, MAX_ORDER - 1);
	assert_non_null(block);
	pfn = page_to_pfn(block);
	split_page(block, MAX_ORDER - 1);
	/* The owner of one frame knows how to move it. */
	late = block + 77;
	set_page_mapping_word(late, PAGE_MAPPING_MOVABLE);
	for (u64 i = 0; i < 2 * nr; i++) {
		if (block + i != late)
			__free_page(block + i);
	}
	assert_true(pcp_count(&dma32()->pageset[0]) > 0);
	assert_int_equal(
		start_isolate_page_range(pfn, pfn + nr, MIGRATE_MOVABLE, 0), 0);
	assert_int_equal(pcp_count(&dma32()->pageset[0]), 0);
	assert_int_equal(test_pages_isolated(pfn, pfn + nr, 0), -EBUSY);
	assert_int_equal(test_pages_isolated(pfn, pfn + 77, 0), 0);
	assert_int_equal(test_pages_isolated(pfn + 78, pfn + nr, 0), 0);
	__free_page(late);
	assert_int_equal(pcp_count(&dma32()->pageset[0]), 0);
	assert_int_equal(test_pages_isolated(pfn, pfn + nr, 0), 0);
	phys_check();
	undo_isolate_page_range(pfn, pfn + nr, MIGRATE_MOVABLE);
	assert_int_equal(buddy_order(pfn_to_page(pfn)), MAX_ORDER - 1);
	phys_check();
}

/* A block in use over two pageblocks, one isolated, goes back in two. */
static void test_freed_across(void **state)
{
	struct page *block;
	u64 pfn, nr, free;

	(void)state;
	pm_boot(64 * MiB, 1);
	nr = pageblock_nr_pages;
	free = free_frames();
	block = alloc_pages(GFP_HIGHUSER_MOVABLE | __GFP_COMP, MAX_ORDER - 1);
	pfn = page_to_pfn(block);
	SetPageLRU(block); /* it could be moved */
	assert_int_equal(start_isolate_page_range(pfn + nr, pfn + 2 * nr,
						  MIGRATE_MOVABLE, 0),
			 0);
	ClearPageLRU(block);
	__free_pages(block, MAX_ORDER - 1);
	assert_int_equal(free_frames(), free - nr);
	assert_int_equal(test_pages_isolated(pfn + nr, pfn + 2 * nr, 0), 0);
	assert_int_equal(test_pages_isolated(pfn, pfn + nr, 0), -EBUSY);
	phys_check();
	undo_isolate_page_range(pfn, pfn + 2 * nr, MIGRATE_MOVABLE);
	assert_int_equal(free_frames(), free);
	phys_check();
}

static int isolate(u64 start, u64 end, int flags)
{
	return start_isolate_page_range(start, end, MIGRATE_MOVABLE, flags);
}

/* The third pageblock has a frame in the way: nothing has changed. */
static void test_in_the_way(void **state)
{
	struct page *page;
	u64 base, nr, free, start, end;
	u8 types[3];

	(void)state;
	pm_boot(64 * MiB, 1);
	nr = pageblock_nr_pages;
	page = alloc_page(GFP_KERNEL);
	base = ALIGN_DOWN(page_to_pfn(page), nr);
	free = free_frames();
	for (u64 i = 0; i < 3; i++)
		types[i] = phys_sys.hot
				   .pageblock_mt[(base >> pageblock_order) - i];
	assert_ptr_equal(
		has_unmovable_pages(base, base + nr, MIGRATE_MOVABLE, 0), page);
	assert_int_equal(isolate(base - 2 * nr, base + nr, 0), -EBUSY);
	for (u64 i = 0; i < 3; i++)
		assert_int_equal(get_pfnblock_migratetype(base - i * nr),
				 types[i] & PAGEBLOCK_MT_MASK);
	assert_int_equal(dma32()->nr_isolate_pageblock, 0);
	assert_int_equal(free_frames(), free);
	assert_false(pm_logged("unmovable page"));
	assert_int_equal(isolate(base, base + nr, ISOLATE_REPORT_FAILURE),
			 -EBUSY);
	assert_true(pm_logged("unmovable page"));
	/* A range of the same pageblock without that frame: once. */
	start = page_to_pfn(page) == base ? base + 1 : base;
	end = start == base ? page_to_pfn(page) : base + nr;
	assert_int_equal(isolate(start, end, 0), 0);
	assert_int_equal(isolate(start, end, 0), -EBUSY);
	phys_check();
	undo_isolate_page_range(base, base + nr, MIGRATE_PREVIOUS);
	assert_int_equal(get_pfnblock_migratetype(base), MIGRATE_UNMOVABLE);
	assert_int_equal(free_frames(), free);
	phys_check();
	/* A frame in quarantine, reserved ones, and nothing at all. */
	SetPageReserved(page);
	set_page_count(page, 0);
	assert_int_equal(isolate(base, base + nr, 0), -EBUSY);
	assert_int_equal(isolate(0, nr, 0), -EBUSY);
	assert_int_equal(isolate(base, base, 0), -EINVAL);
	assert_int_equal(
		isolate(phys_sys.hot.max_pfn - 1, phys_sys.hot.max_pfn + 1, 0),
		-EINVAL);
	phys_check();
}

/* Poisoned frames stay out of the way if the caller says so. */
static void test_poison(void **state)
{
	struct page *page;
	u64 base, nr;

	(void)state;
	pm_boot(64 * MiB, 1);
	nr = pageblock_nr_pages;
	page = alloc_page(GFP_KERNEL);
	SetPageHWPoison(page);
	base = ALIGN_DOWN(page_to_pfn(page), nr);
	drain_all_pages();
	assert_int_equal(isolate(base, base + nr, 0), -EBUSY);
	assert_int_equal(isolate(base, base + nr, ISOLATE_SKIP_HWPOISON), 0);
	assert_int_equal(test_pages_isolated(base, base + nr, 0), -EBUSY);
	assert_int_equal(
		test_pages_isolated(base, base + nr, ISOLATE_SKIP_HWPOISON), 0);
	undo_isolate_page_range(base, base + nr, MIGRATE_MOVABLE);
	phys_check();
}

/* A high-order atomic reserve that is isolated is none meanwhile. */
static void test_highatomic(void **state)
{
	struct alloc_context ac;
	struct page *page;
	struct zone *zone;
	u64 base, nr;

	(void)state;
	pm_boot(256 * MiB, 1);
	nr = pageblock_nr_pages;
	prepare_alloc_context(&ac, GFP_ATOMIC, -1);
	page = get_page_from_freelist(GFP_ATOMIC, 2,
				      gfp_to_alloc_flags(GFP_ATOMIC), &ac);
	assert_non_null(page);
	zone = page_zone(page);
	base = ALIGN_DOWN(page_to_pfn(page), nr);
	__free_pages(page, 2);
	assert_int_equal(zone->nr_reserved_highatomic, nr);
	assert_int_equal(isolate(base, base + nr, 0), 0);
	assert_int_equal(zone->nr_reserved_highatomic, 0);
	phys_check();
	undo_isolate_page_range(base, base + nr, MIGRATE_PREVIOUS);
	assert_int_equal(zone->nr_reserved_highatomic, nr);
	assert_int_equal(get_pfnblock_migratetype(base), MIGRATE_HIGHATOMIC);
	phys_check();
	/* The reserve given back merges with its neighbour. */
	assert_true(unreserve_highatomic_pageblock(&ac, true));
	assert_int_equal(zone->nr_reserved_highatomic, 0);
	phys_check();
}

/* Sections whose descriptors do not exist yet are made; holes are skipped. */
static void test_sections(void **state)
{
	u64 start = PFN_DOWN(3 * GiB - 128 * MiB), end, free;

	(void)state;
	pm_boot(5 * GiB, 1);
	free = free_frames();
	end = PFN_DOWN(4 * GiB + 4 * MiB);
	while (start < PFN_DOWN(3 * GiB) && !pfn_deferred(start))
		start++;
	start = min(start, PFN_DOWN(2 * GiB));
	assert_true(pfn_deferred(start));
	assert_int_equal(isolate(start, start + pageblock_nr_pages, 0), 0);
	assert_true(pfn_valid(start));
	assert_int_equal(free_frames(), free - pageblock_nr_pages);
	undo_isolate_page_range(start, start + pageblock_nr_pages,
				MIGRATE_MOVABLE);
	assert_int_equal(free_frames(), free);
	/* From RAM below the hole to RAM above it, in two zones. */
	start = PFN_DOWN(3 * GiB - 4 * MiB);
	assert_int_equal(isolate(start, end, 0), 0);
	assert_int_equal(test_pages_isolated(start, end, 0), -EBUSY);
	assert_int_equal(free_frames(), free - 2048);
	undo_isolate_page_range(start, end, MIGRATE_MOVABLE);
	assert_int_equal(free_frames(), free);
	phys_check();
}

/* In zone MOVABLE whatever is in use is expected to go. */
static void test_movable_zone(void **state)
{
	static struct e820_table map;
	struct phys_boot_params p = {.map = &map,
				     .kernelcore = {.bytes = 64 * MiB}};
	struct page *page;
	u64 base;

	(void)state;
	pm_hardware(1, NULL, 1);
	pm_map(&map, 128 * MiB);
	assert_int_equal(phys_boot_memory(&p), 0);
	page = alloc_pages(GFP_HIGHUSER_MOVABLE, pageblock_order);
	assert_int_equal(page_zone_idx(page), ZONE_MOVABLE);
	base = ALIGN_DOWN(page_to_pfn(page), pageblock_nr_pages);
	assert_int_equal(isolate(base, base + pageblock_nr_pages, 0), 0);
	assert_int_equal(
		test_pages_isolated(base, base + pageblock_nr_pages, 0),
		-EBUSY);
	undo_isolate_page_range(base, base + pageblock_nr_pages,
				MIGRATE_MOVABLE);
	phys_check();
}

/* Where pageblocks are not grouped, MOVABLE is UNMOVABLE, lists and all. */
static void test_no_grouping(void **state)
{
	static struct e820_table map;
	struct phys_boot_params p = {.map = &map, .no_mobility_grouping = true};
	u64 base = PFN_DOWN(32 * MiB), free;

	(void)state;
	pm_hardware(1, NULL, 1);
	pm_map(&map, 64 * MiB);
	assert_int_equal(phys_boot_memory(&p), 0);
	free = free_frames();
	assert_int_equal(isolate(base, base + pageblock_nr_pages, 0), 0);
	undo_isolate_page_range(base, base + pageblock_nr_pages,
				MIGRATE_MOVABLE);
	assert_int_equal(free_frames(), free);
	assert_int_equal(buddy_list_type(buddy_block_of(dma32(), base)),
			 MIGRATE_UNMOVABLE);
	assert_int_equal(gfp_to_alloc_flags(GFP_HIGHUSER_MOVABLE) & ALLOC_CMA,
			 0);
	phys_check();
}

#define T(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_cut),	      T(test_not_given_out),
		T(test_freed_later),  T(test_freed_across),
		T(test_in_the_way),   T(test_poison),
		T(test_highatomic),   T(test_sections),
		T(test_movable_zone), T(test_no_grouping),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
