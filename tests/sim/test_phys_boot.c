/* SPDX-License-Identifier: MIT */
/*
 * From a firmware map to a working allocator: what the log says, what the
 * zones hold, what is never given out; tiny, large, absurd and NUMA machines.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <sys/resource.h>
#include <time.h>

#include "phys_machine.h"

static struct e820_table map;

static int teardown(void **state)
{
	(void)state;
	pm_shutdown();
	return 0;
}

/* Boot from a committed map with the rest of PARAMS; returns the result. */
static int boot_file(const char *name, struct phys_boot_params *params)
{
	static char text[1 << 16];
	struct e820_error err;
	char path[256];
	size_t len;
	FILE *f;

	snprintf(path, sizeof(path), "tests/data/e820/%s", name);
	f = fopen(path, "r");
	assert_non_null(f);
	len = fread(text, 1, sizeof(text), f);
	fclose(f);
	assert_int_equal(e820_parse(&map, text, len, &err), 0);
	params->map = &map;
	return phys_boot_memory(params);
}

/* Allocate all there is; verify that each frame is in RAM and not in [s, e). */
static u64 take_everything(u64 s, u64 e)
{
	struct alloc_context ac;
	struct page *page, *list = NULL;
	u64 n = 0;

	prepare_alloc_context(&ac, GFP_KERNEL, -1);
	while ((page = get_page_from_freelist(GFP_KERNEL, 0,
					      ALLOC_NO_WATERMARKS, &ac))) {
		u64 pfn = page_to_pfn(page);

		assert_true(memblock_is_memory(PFN_PHYS(pfn)));
		assert_false(memblock_is_reserved(PFN_PHYS(pfn)));
		assert_true(pfn != 0 && (pfn < s || pfn >= e));
		assert_false(pfn >= 0xa0 && pfn < 0x100);
		set_page_mapping_word(page, (u64)(uintptr_t)list);
		list = page;
		n++;
	}
	while (list) {
		page = list;
		list = (struct page *)(uintptr_t)page_mapping_word(page);
		set_page_mapping_word(page, 0);
		__free_page(page);
	}
	return n;
}

static void test_pc_128m(void **state)
{
	struct phys_boot_params p = {.kernel_start = MiB,
				     .kernel_size = 8 * MiB};
	static const char *const lines[] = {
		"BIOS-provided physical RAM map:\n",
		"Zone ranges:\n",
		"  DMA      [mem 0x0000000000001000-0x0000000000ffffff]\n",
		"  DMA32    [mem 0x0000000001000000-0x0000000007feffff]\n",
		"  Normal   empty\n",
		"Movable zone start for each node\n",
		"Early memory node ranges\n",
		"  node   0: [mem 0x0000000000001000-0x000000000009ffff]\n",
		"  node   0: [mem 0x0000000000100000-0x0000000007feffff]\n",
		("Initmem setup node 0 [mem 0x0000000000001000-"
		 "0x0000000007feffff]\n"),
		"On node 0, zone DMA: 1 pages in unavailable ranges\n",
		"On node 0, zone DMA: 96 pages in unavailable ranges\n",
		"On node 0, zone DMA32: 16 pages in unavailable ranges\n",
		"Built 1 zonelists, mobility grouping on.  Total pages: 32655\n",
		"Memory: ",
		"K/130620K available (8192K kernel code, ",
	};
	struct zone *zones;

	(void)state;
	pm_hardware(1, NULL, 1);
	assert_int_equal(boot_file("pc-128m.txt", &p), 0);
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		if (!pm_logged(lines[i]))
			fail_msg("not logged: %s", lines[i]);
	}
	zones = NODE_DATA(0)->node_zones;
	assert_int_equal(zones[ZONE_DMA].spanned_pages, 4095);
	assert_int_equal(zones[ZONE_DMA].present_pages, 0x9f + 0xf00);
	assert_int_equal(zones[ZONE_DMA32].present_pages, 0x7ff0 - 0x1000);
	assert_true(zones[ZONE_DMA].managed_pages <=
		    zones[ZONE_DMA].present_pages - 2048);
	assert_false(populated_zone(&zones[ZONE_NORMAL]));
	phys_check();
	assert_int_equal(take_everything(0x100, 0x900), totalram_pages());
	phys_check();
}

static void test_tiny(void **state)
{
	struct phys_boot_params p = {0};

	(void)state;
	pm_hardware(4, NULL, 1);
	assert_int_equal(boot_file("tiny-4m.txt", &p), 0);
	phys_check();
	assert_true(totalram_pages() > 880);
	assert_int_equal(take_everything(0, 0), totalram_pages());
	phys_check();
}

static int boot_bytes(u64 start, u64 bytes)
{
	struct phys_boot_params p = {.map = &map};

	e820_init(&map);
	assert_int_equal(e820_add(&map, start, bytes, E820_TYPE_RAM), 0);
	return phys_boot_memory(&p);
}

/* Too little, nothing, or beyond this world: refused in clear. */
static void test_refusals(void **state)
{
	static const struct {
		u64 start, bytes;
		int err;
		const char *message;
	} cases[] = {
		{0, 3 * 1024, -EINVAL, "no usable memory"},
		{0, 4096, -EINVAL, "no usable memory"},
		{0xa0000, 0x60000, -EINVAL, "no usable memory"},
		{0, 8192, -ENOMEM, "too little"},
		{0, 0x20000, -ENOMEM, "too little"},
		{MiB + 1, 8190, -EINVAL, "no usable memory"},
		{64 * TiB, MiB, -EINVAL, "no usable memory"},
	};
	struct phys_boot_params none = {.map = &map};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		pm_hardware(1, NULL, 1);
		assert_int_equal(boot_bytes(cases[i].start, cases[i].bytes),
				 cases[i].err);
		if (!pm_logged(cases[i].message))
			fail_msg("case %zu: %s", i, pm_log);
		pm_shutdown();
	}
	pm_hardware(1, NULL, 1);
	e820_init(&map);
	assert_int_equal(phys_boot_memory(&none), -EINVAL);
}

/* Every size from nothing to 2 MiB either boots or is refused. */
static void test_all_small_sizes(void **state)
{
	bool ever = false;

	(void)state;
	for (u64 frames = 1; frames < 512; frames++) {
		int err;

		pm_hardware(2, NULL, 1);
		err = boot_bytes(MiB, frames * PAGE_SIZE);
		assert_true(err == 0 || err == -ENOMEM);
		if (!err)
			phys_check();
		assert_false(ever && err);
		ever = ever || !err;
		pm_shutdown();
	}
	assert_true(ever);
	pm_hardware(1, NULL, 1);
}

static void test_hostile_map_boots(void **state)
{
	struct phys_boot_params p = {0};

	(void)state;
	pm_hardware(1, NULL, 1);
	assert_int_equal(boot_file("hostile.txt", &p), 0);
	phys_check();
	assert_int_equal(take_everything(0x200, 0x380), totalram_pages());
}

static void test_other_maps(void **state)
{
	struct phys_boot_params p = {0};

	(void)state;
	pm_hardware(2, NULL, 1);
	assert_int_equal(boot_file("laptop-8g.txt", &p), 0);
	assert_true(populated_zone(&NODE_DATA(0)->node_zones[ZONE_NORMAL]));
	phys_check();
	pm_shutdown();
	pm_hardware(2, NULL, 1);
	assert_int_equal(boot_file("vm-512m.iomem", &p), 0);
	phys_check();
}

/* ---- NUMA
 * ----------------------------------------------------------------------- */

static void test_two_nodes(void **state)
{
	static const u8 cpu_node[MM_NR_CPUS] = {0, 1, 0, 1};
	struct phys_node_range nodes[] = {{0, 4 * GiB, 0},
					  {4 * GiB, 16 * GiB, 1}};
	struct phys_boot_params p = {.nodes = nodes, .nr_nodes = 2};
	struct zonelist *zl;
	struct page *page;

	(void)state;
	pm_hardware(4, cpu_node, 1);
	assert_int_equal(boot_file("server-2node.txt", &p), 0);
	phys_check();
	assert_int_equal(nr_online_nodes(), 2);
	assert_null(NODE_DATA(2));
	assert_int_equal(node_distance(0, 1), REMOTE_DISTANCE);
	zl = node_zonelist(1, GFP_KERNEL);
	assert_int_equal(zl->nr, 3);
	assert_int_equal(zone_to_nid(zl->_zonerefs[0].zone), 1);
	assert_int_equal(zl->_zonerefs[0].zone_idx, ZONE_NORMAL);
	assert_int_equal(zl->_zonerefs[1].zone_idx, ZONE_DMA32);
	assert_int_equal(zl->_zonerefs[2].zone_idx, ZONE_DMA);
	page = __alloc_pages(GFP_KERNEL, 0, 1);
	assert_non_null(page);
	assert_int_equal(page_to_nid(page), 1);
	__free_page(page);
	/* Node 1 has no DMA frames: from node 0, or not at all. */
	page = __alloc_pages(GFP_DMA, 0, 1);
	assert_non_null(page);
	assert_int_equal(page_to_nid(page), 0);
	assert_int_equal(page_zone_idx(page), ZONE_DMA);
	__free_page(page);
	assert_null(__alloc_pages(GFP_DMA | __GFP_THISNODE, 0, 1));
	assert_true(global_zone_page_state(NUMA_FOREIGN) == 0);
	phys_check();
}

/* Four nodes on a line: the fallback order follows the distances. */
static void test_distances(void **state)
{
	static const u8 distances[16] = {10, 20, 30, 40, 20, 10, 20, 30,
					 30, 20, 10, 20, 40, 30, 20, 10};
	static const int want[4][4] = {
		{0, 1, 2, 3}, {1, 2, 0, 3}, {2, 3, 1, 0}, {3, 2, 1, 0}};
	struct phys_node_range nodes[4];
	struct phys_boot_params p = {.map = &map,
				     .nodes = nodes,
				     .nr_nodes = 4,
				     .distances = distances,
				     .nr_distances = 4};

	(void)state;
	pm_hardware(1, NULL, 1);
	e820_init(&map);
	assert_int_equal(e820_add(&map, 4 * GiB, 4 * GiB, E820_TYPE_RAM), 0);
	for (int i = 0; i < 4; i++)
		nodes[i] = (struct phys_node_range){4 * GiB + (u64)i * GiB,
						    5 * GiB + (u64)i * GiB, i};
	assert_int_equal(phys_boot_memory(&p), 0);
	for (int i = 0; i < 4; i++) {
		struct zonelist *zl = node_zonelist(i, 0);

		assert_int_equal(zl->nr, 4);
		for (int k = 0; k < 4; k++)
			assert_int_equal(zone_to_nid(zl->_zonerefs[k].zone),
					 want[i][k]);
		assert_int_equal(node_zonelist(i, __GFP_THISNODE)->nr, 1);
	}
	phys_check();
}

static void expect_numa_refused(struct phys_boot_params *p, const char *why)
{
	pm_hardware(1, NULL, 1);
	assert_int_equal(phys_boot_memory(p), -EINVAL);
	if (!pm_logged(why))
		fail_msg("%s not in: %s", why, pm_log);
	pm_shutdown();
}

static void test_bad_nodes(void **state)
{
	static const u8 bad_distances[4] = {10, 10, 20, 10};
	struct phys_node_range nodes[2] = {{0, GiB, 0}, {GiB / 2, 2 * GiB, 1}};
	struct phys_boot_params p = {
		.map = &map, .nodes = nodes, .nr_nodes = 2};

	(void)state;
	pm_map(&map, GiB);
	expect_numa_refused(&p, "overlap");
	nodes[1] = (struct phys_node_range){GiB, GiB, 1};
	expect_numa_refused(&p, "is empty");
	nodes[1] = (struct phys_node_range){GiB, 2 * GiB, MM_MAX_NODES};
	expect_numa_refused(&p, "node number");
	nodes[1] = (struct phys_node_range){GiB, 2 * GiB, 1};
	p.distances = bad_distances;
	p.nr_distances = 2;
	expect_numa_refused(&p, "distance");
	/* RAM that no range names, and a node without RAM. */
	p.distances = NULL;
	nodes[0].end = GiB / 2;
	pm_hardware(1, NULL, 1);
	assert_int_equal(phys_boot_memory(&p), 0);
	assert_true(pm_logged("has no node, taken for node 0"));
	assert_int_equal(nr_online_nodes(), 1);
	phys_check();
}

/* Nodes that interleave in odd places: zones overlap, frames do not. */
static void test_interleaved_nodes(void **state)
{
	struct phys_node_range nodes[16];
	struct phys_boot_params p = {
		.map = &map, .nodes = nodes, .nr_nodes = 16};

	(void)state;
	pm_hardware(2, NULL, 1);
	pm_map(&map, 64 * MiB);
	for (u64 i = 0; i < 16; i++)
		nodes[i] = (struct phys_node_range){
			i * 4 * MiB + (i ? 12288 : 0),
			(i + 1) * 4 * MiB + 12288, (int)(i & 1)};
	assert_int_equal(phys_boot_memory(&p), 0);
	phys_check();
	assert_int_equal(take_everything(0, 0), totalram_pages());
	drain_all_pages();
	phys_check();
}

/* ---- large and deferred
 * ----------------------------------------------------------- */

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + 1e-9 * (double)ts.tv_nsec;
}

static void test_one_tib(void **state)
{
	struct rusage before, after;
	double start = seconds();
	struct zone *zone;
	u64 deferred, free;
	struct page *page;

	(void)state;
	getrusage(RUSAGE_SELF, &before);
	pm_boot(TiB, 4);
	phys_check();
	getrusage(RUSAGE_SELF, &after);
	print_message("1 TiB: %.3f s, %ld KiB\n", seconds() - start,
		      after.ru_maxrss - before.ru_maxrss);
	assert_true(seconds() - start < 2);
	assert_true(after.ru_maxrss - before.ru_maxrss < 256 * 1024);
	zone = &NODE_DATA(0)->node_zones[ZONE_NORMAL];
	deferred = zone->nr_deferred;
	assert_true(deferred > 8000);
	/* buddyinfo sees the deferred frames as blocks of the highest order. */
	assert_true(zone_nr_free_blocks(zone, MAX_ORDER - 1, -1) >=
		    deferred * 32);
	free = zone_page_state(zone, NR_FREE_PAGES);
	for (u64 i = 0; i < 2 * PAGES_PER_SECTION; i += MAX_ORDER_NR_PAGES) {
		page = alloc_pages(GFP_KERNEL, MAX_ORDER - 1);
		assert_non_null(page);
		assert_int_equal(page_zone_idx(page), ZONE_NORMAL);
	}
	assert_int_equal(zone_page_state(zone, NR_FREE_PAGES),
			 free - 2 * PAGES_PER_SECTION);
	assert_true(zone->nr_deferred <= deferred - 2);
	assert_true(zone->nr_deferred >= deferred - 3);
	phys_check();
}

/* A deferred frame is made real when somebody asks for its descriptor. */
static void test_online_page(void **state)
{
	u64 pfn, n = 0;
	struct zone *zone;

	(void)state;
	pm_boot(2 * GiB, 1);
	zone = &NODE_DATA(0)->node_zones[ZONE_DMA32];
	pfn = 5 * PAGES_PER_SECTION + 1234;
	n = zone->nr_deferred;
	assert_true(pfn_deferred(pfn) && pfn_present(pfn) && !pfn_valid(pfn));
	assert_ptr_equal(pfn_to_online_page(pfn), pfn_to_page(pfn));
	assert_true(pfn_valid(pfn) && !pfn_deferred(pfn));
	assert_int_equal(zone->nr_deferred, n - 1);
	assert_null(pfn_to_online_page(1UL << 40));
	assert_false(pfn_present(3 * GiB >> PAGE_SHIFT));
	phys_check();
	assert_int_equal(take_everything(0, 0), totalram_pages());
	assert_int_equal(zone->nr_deferred, 0);
	drain_all_pages();
	phys_check();
}

/* Unmovable requests do not make one section after another. */
static void test_deferred_unmovable(void **state)
{
	struct zone *zone;
	u64 before;

	(void)state;
	pm_boot(2 * GiB, 1);
	zone = &NODE_DATA(0)->node_zones[ZONE_DMA32];
	before = zone->nr_deferred;
	for (int i = 0; i < 2000; i++)
		assert_non_null(alloc_page(GFP_KERNEL));
	assert_true(zone->nr_deferred >= before - 1);
	phys_check();
}

/* ---- watermarks
 * --------------------------------------------------------------------- */

static void test_watermarks(void **state)
{
	struct zone *zones;
	u64 managed, low;

	(void)state;
	pm_boot(GiB, 1);
	zones = NODE_DATA(0)->node_zones;
	managed = totalram_pages();
	/* 4 * sqrt(KiB): a little under 4 MiB for a little under 1 GiB. */
	assert_in_range(phys_sys.tunables.min_free_kbytes, 4050, 4096);
	for (int i = 0; i <= ZONE_DMA32; i++) {
		u64 m = zones[i].managed_pages;
		u64 want = phys_sys.tunables.min_free_kbytes / 4 * m / managed;
		u64 gap = max(want / 4, m * 10 / 10000);

		assert_int_equal(zones[i]._watermark[WMARK_MIN], want);
		assert_int_equal(zones[i]._watermark[WMARK_LOW], want + gap);
		assert_int_equal(zones[i]._watermark[WMARK_HIGH],
				 want + 2 * gap);
	}
	assert_int_equal(zones[ZONE_DMA].lowmem_reserve[ZONE_DMA], 0);
	assert_int_equal(zones[ZONE_DMA].lowmem_reserve[ZONE_DMA32],
			 zones[ZONE_DMA32].managed_pages / 256);
	assert_int_equal(zones[ZONE_DMA32].lowmem_reserve[ZONE_NORMAL], 0);
	assert_true(NODE_DATA(0)->totalreserve_pages > 0);
	/* At run time. */
	low = zones[ZONE_DMA32]._watermark[WMARK_LOW];
	phys_sys.tunables.watermark_scale_factor = 200;
	setup_per_zone_wmarks();
	assert_true(zones[ZONE_DMA32]._watermark[WMARK_LOW] > low);
	phys_sys.tunables.min_free_kbytes = 65536;
	setup_per_zone_wmarks();
	assert_in_range(zones[ZONE_DMA]._watermark[WMARK_MIN] +
				zones[ZONE_DMA32]._watermark[WMARK_MIN],
			16383, 16384);
}

static void test_watermark_ok(void **state)
{
	struct zone *z;

	(void)state;
	pm_boot(64 * MiB, 1);
	z = &NODE_DATA(0)->node_zones[ZONE_DMA32];
	assert_true(__zone_watermark_ok(z, 0, 100, ZONE_DMA32, 0, 101));
	assert_false(__zone_watermark_ok(z, 0, 100, ZONE_DMA32, 0, 100));
	assert_true(__zone_watermark_ok(z, 0, 100, ZONE_DMA32, ALLOC_HIGH, 51));
	assert_false(
		__zone_watermark_ok(z, 0, 100, ZONE_DMA32, ALLOC_HIGH, 50));
	assert_true(__zone_watermark_ok(z, 0, 100, ZONE_DMA32,
					ALLOC_HIGH | ALLOC_HARDER, 39));
	assert_false(__zone_watermark_ok(z, 0, 100, ZONE_DMA32,
					 ALLOC_HIGH | ALLOC_HARDER, 38));
	assert_true(__zone_watermark_ok(z, 0, 100, ZONE_DMA32, ALLOC_OOM, 51));
	/* A block takes its other frames off the count. */
	assert_false(__zone_watermark_ok(z, 3, 100, ZONE_DMA32, 0, 107));
	assert_true(__zone_watermark_ok(z, 3, 100, ZONE_DMA32, 0, 108));
	z = &NODE_DATA(0)->node_zones[ZONE_DMA];
	assert_false(__zone_watermark_ok(z, 0, 100, ZONE_NORMAL, 0,
					 (s64)z->lowmem_reserve[2] + 100));
	assert_true(__zone_watermark_ok(z, 0, 100, ZONE_NORMAL, 0,
					(s64)z->lowmem_reserve[2] + 101));
	z->nr_reserved_highatomic = 10;
	assert_false(__zone_watermark_ok(z, 0, 100, ZONE_DMA, 0, 110));
	assert_true(__zone_watermark_ok(z, 0, 100, ZONE_DMA, 0, 111));
	assert_true(__zone_watermark_ok(z, 0, 100, ZONE_DMA, ALLOC_HARDER, 77));
	z->nr_reserved_highatomic = 0;
}

/* Ordinary requests stop at low, each kind of privilege goes deeper. */
static void test_reserves(void **state)
{
	struct alloc_context ac;
	struct zone *zone;
	u64 at_low, at_min, at_atomic;

	(void)state;
	pm_boot(64 * MiB, 1);
	phys_sys.tunables.watermark_boost_factor = 0;
	zone = &NODE_DATA(0)->node_zones[ZONE_DMA32];
	while (alloc_page(GFP_KERNEL | __GFP_NOWARN))
		;
	drain_all_pages();
	at_low = zone_page_state(zone, NR_FREE_PAGES);
	assert_in_range(at_low, low_wmark_pages(zone) - 64,
			low_wmark_pages(zone) + 64);
	prepare_alloc_context(&ac, GFP_KERNEL, -1);
	while (get_page_from_freelist(GFP_KERNEL, 0,
				      gfp_to_alloc_flags(GFP_KERNEL), &ac))
		;
	drain_all_pages();
	at_min = zone_page_state(zone, NR_FREE_PAGES);
	assert_true(at_min < at_low && at_min >= min_wmark_pages(zone) - 64);
	while (get_page_from_freelist(GFP_ATOMIC, 0,
				      gfp_to_alloc_flags(GFP_ATOMIC), &ac))
		;
	drain_all_pages();
	at_atomic = zone_page_state(zone, NR_FREE_PAGES);
	assert_true(at_atomic < at_min && at_atomic > 0);
	while (get_page_from_freelist(GFP_KERNEL, 0, ALLOC_NO_WATERMARKS, &ac))
		;
	assert_int_equal(nr_free_pages(), 0);
	phys_check();
}

#define T(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_one_tib), /* first: it looks at peak memory */
		T(test_pc_128m),	   T(test_tiny),
		T(test_refusals),	   T(test_all_small_sizes),
		T(test_hostile_map_boots), T(test_other_maps),
		T(test_two_nodes),	   T(test_distances),
		T(test_bad_nodes),	   T(test_interleaved_nodes),
		T(test_online_page),	   T(test_deferred_unmovable),
		T(test_watermarks),	   T(test_watermark_ok),
		T(test_reserves),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
