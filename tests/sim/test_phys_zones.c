/* SPDX-License-Identifier: MIT */
/*
 * Nodes and zones: the layouts of architectures, zone MOVABLE, nodes without
 * memory, fallback orders against a model; then random machines, whose zones
 * must add up whatever their map, layout, nodes and options.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "phys_machine.h"

static struct e820_table map;

static int teardown(void **state)
{
	(void)state;
	pm_shutdown();
	return 0;
}

static void add_ram(u64 start, u64 bytes)
{
	assert_int_equal(e820_add(&map, start, bytes, E820_TYPE_RAM), 0);
}

/* Hardware of CPUS on nodes as CPU_NODE says, and P with the map. */
static int boot(struct phys_boot_params *p, int cpus, const u8 *cpu_node)
{
	pm_hardware(cpus, cpu_node, 1);
	p->map = &map;
	return phys_boot_memory(p);
}

static struct zone *zone_of(int nid, int zt)
{
	assert_non_null(NODE_DATA(nid));
	return &NODE_DATA(nid)->node_zones[zt];
}

static u64 start_of(const struct zone *z)
{
	return PFN_PHYS(z->zone_start_pfn);
}

static u64 end_of(const struct zone *z)
{
	return PFN_PHYS(zone_end_pfn(z));
}

/* The zone index of a fresh frame for GFP; the frame is given back. */
static int zone_got(gfp_t gfp)
{
	struct page *page = alloc_page(gfp | __GFP_NOWARN);
	int zt;

	if (!page)
		return -1;
	zt = page_zone_idx(page);
	__free_page(page);
	return zt;
}

/* ---- layouts ------------------------------------------------------------ */

struct layout_case {
	const char *arch;
	u64 bytes; /* of RAM from 0, without a hole */
	u64 end[MAX_NR_ZONES];
	unsigned int block_order;
	/* What GFP_DMA, GFP_DMA32, GFP_KERNEL, GFP_HIGHUSER get. */
	int dma, dma32, kernel, highuser;
	const char *log;
};

static const struct layout_case layout_cases[] = {
	{"x86-64",
	 6 * GiB,
	 {16 * MiB, 4 * GiB, 6 * GiB, 0, 0},
	 9,
	 ZONE_DMA,
	 ZONE_DMA32,
	 ZONE_NORMAL,
	 ZONE_NORMAL,
	 "  Normal   [mem 0x0000000100000000-0x000000017fffffff]\n"},
	{"x86-64-la57",
	 6 * GiB,
	 {16 * MiB, 4 * GiB, 6 * GiB, 0, 0},
	 9,
	 ZONE_DMA,
	 ZONE_DMA32,
	 ZONE_NORMAL,
	 ZONE_NORMAL,
	 "  DMA32    [mem 0x0000000001000000-0x00000000ffffffff]\n"},
	{"x86-32",
	 2 * GiB,
	 {16 * MiB, 0, 896 * MiB, 2 * GiB, 0},
	 10,
	 ZONE_DMA,
	 ZONE_NORMAL,
	 ZONE_NORMAL,
	 ZONE_HIGHMEM,
	 "  HighMem  [mem 0x0000000038000000-0x000000007fffffff]\n"},
	{"x86-32-pae",
	 64 * GiB,
	 {16 * MiB, 0, 896 * MiB, 64 * GiB, 0},
	 9,
	 ZONE_DMA,
	 ZONE_NORMAL,
	 ZONE_NORMAL,
	 ZONE_HIGHMEM,
	 "  Normal   [mem 0x0000000001000000-0x0000000037ffffff]\n"},
	{"arm64",
	 6 * GiB,
	 {0, 4 * GiB, 6 * GiB, 0, 0},
	 9,
	 ZONE_DMA32,
	 ZONE_DMA32,
	 ZONE_NORMAL,
	 ZONE_NORMAL,
	 "  DMA32    [mem 0x0000000000001000-0x00000000ffffffff]\n"},
};

static void one_layout(const struct layout_case *c)
{
	struct phys_boot_params p = {.arch = c->arch};
	u64 start = PAGE_SIZE;

	e820_init(&map);
	add_ram(0, c->bytes);
	assert_int_equal(boot(&p, 1, NULL), 0);
	for (int zt = 0; zt < MAX_NR_ZONES; zt++) {
		const struct zone *z = zone_of(0, zt);

		assert_int_equal(populated_zone(z), c->end[zt] != 0);
		if (!c->end[zt])
			continue;
		assert_int_equal(start_of(z), start);
		assert_int_equal(end_of(z), c->end[zt]);
		start = c->end[zt];
	}
	assert_int_equal(pageblock_order, c->block_order);
	assert_int_equal(zone_got(GFP_DMA), c->dma);
	assert_int_equal(zone_got(GFP_DMA32), c->dma32);
	assert_int_equal(zone_got(GFP_KERNEL), c->kernel);
	assert_int_equal(zone_got(GFP_HIGHUSER), c->highuser);
	assert_int_equal(zone_got(GFP_HIGHUSER_MOVABLE), c->highuser);
	assert_int_equal(zone_got(GFP_USER | __GFP_MOVABLE), c->kernel);
	assert_true(pm_logged(c->log));
	phys_check();
	pm_shutdown();
}

static void test_layouts(void **state)
{
	struct phys_boot_params p = {.arch = "z80"};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(layout_cases); i++)
		one_layout(&layout_cases[i]);
	for (u32 i = 0; phys_layout_nth(i); i++)
		assert_ptr_equal(phys_layout_find(phys_layout_nth(i)->name),
				 phys_layout_nth(i));
	assert_ptr_equal(phys_layout_find(NULL), phys_layout_find("x86-64"));
	assert_int_equal(boot(&p, 1, NULL), -EINVAL);
	assert_true(pm_logged("no layout of memory is called \"z80\""));
}

/* Every request stays below the limit that it names, in each layout. */
static void test_gfp_limits(void **state)
{
	(void)state;
	for (u32 i = 0; phys_layout_nth(i); i++) {
		const struct phys_layout *l = phys_layout_nth(i);
		u8 table[GFP_ZONE_BITS];

		layout_gfp_zones(l, table);
		for (gfp_t bits = 0; bits < GFP_ZONE_BITS; bits++) {
			int zt = table[bits];

			assert_true(layout_has_zone(l, zt));
			if (zt == ZONE_MOVABLE) {
				assert_int_equal(bits,
						 __GFP_MOVABLE | __GFP_HIGHMEM);
				continue;
			}
			if (zt == ZONE_HIGHMEM)
				assert_int_equal(bits, __GFP_HIGHMEM);
			if ((bits & __GFP_DMA) && l->zone_end[ZONE_DMA])
				assert_int_equal(l->zone_end[zt], 16 * MiB);
			if (bits & __GFP_DMA32)
				assert_true(l->zone_end[zt] <= 4 * GiB);
			if (bits == 0)
				assert_int_equal(zt, ZONE_NORMAL);
		}
	}
	pm_hardware(1, NULL, 1);
}

/* RAM that the processor cannot address is cut off, and said. */
static void test_limit(void **state)
{
	struct phys_boot_params p = {.arch = "x86-32"};

	(void)state;
	e820_init(&map);
	add_ram(0, 3 * GiB);
	add_ram(4 * GiB, 5 * GiB);
	assert_int_equal(boot(&p, 1, NULL), 0);
	assert_int_equal(phys_sys.hot.max_pfn, 3 * GiB >> PAGE_SHIFT);
	assert_true(pm_logged("5242880K of memory above 4 GiB are not used: "
			      "x86-32 cannot address them"));
	phys_check();
	pm_shutdown();
	p.arch = "x86-64";
	assert_int_equal(boot(&p, 1, NULL), 0);
	assert_false(pm_logged("are not used"));
	assert_int_equal(phys_sys.hot.max_pfn, 9 * GiB >> PAGE_SHIFT);
}

/* On x86-32 nothing of the manager's own lies in high memory. */
static void test_low_tables(void **state)
{
	struct phys_boot_params p = {.arch = "x86-32-pae"};
	struct phys_node_range nodes[2] = {{0, 2 * GiB, 0},
					   {2 * GiB, 8 * GiB, 1}};
	const struct memblock_type *res;

	(void)state;
	e820_init(&map);
	add_ram(0, 8 * GiB);
	p.nodes = nodes;
	p.nr_nodes = 2;
	assert_int_equal(boot(&p, 2, NULL), 0);
	res = memblock_reserved_table();
	assert_true(res->cnt > 0);
	for (u64 i = 0; i < res->cnt; i++)
		assert_true(res->regions[i].base + res->regions[i].size <=
			    896 * MiB);
	/* Node 1 has high memory alone; the kernel's comes from node 0. */
	assert_int_equal(totalhigh_pages(),
			 zone_of(0, ZONE_HIGHMEM)->managed_pages +
				 zone_of(1, ZONE_HIGHMEM)->managed_pages);
	assert_int_equal(node_zonelist(1, GFP_KERNEL)->nr, 4);
	assert_true(pm_logged("K highmem)"));
	phys_check();
	pm_shutdown();
	/* 3 GiB of high memory are too much for 4 MiB of low memory. */
	e820_init(&map);
	add_ram(MiB, 4 * MiB);
	add_ram(GiB, 3 * GiB);
	p.nodes = NULL;
	p.nr_nodes = 0;
	assert_int_equal(boot(&p, 1, NULL), -ENOMEM);
	assert_true(pm_logged("4096K of it in reach of the kernel, are too "
			      "little for the manager's tables"));
}

/* High memory is used up before low memory, and never for the kernel. */
static void test_highmem_only_for_users(void **state)
{
	struct phys_boot_params p = {.arch = "x86-32"};
	struct zone *high;
	struct page *page;
	u64 n = 0;

	(void)state;
	e820_init(&map);
	add_ram(MiB, 63 * MiB);
	add_ram(GiB, 16 * MiB);
	assert_int_equal(boot(&p, 1, NULL), 0);
	high = zone_of(0, ZONE_HIGHMEM);
	assert_int_equal(min_wmark_pages(high), 32);
	while ((page = alloc_page(GFP_HIGHUSER)) &&
	       page_zone_idx(page) == ZONE_HIGHMEM)
		n++;
	assert_non_null(page);
	assert_true(n + low_wmark_pages(high) + 64 >= high->managed_pages);
	while ((page = alloc_page(GFP_KERNEL | __GFP_NOWARN)))
		assert_true(page_zone_idx(page) < ZONE_HIGHMEM);
	phys_check();
}

/* ---- zone MOVABLE ------------------------------------------------------- */

/* Frames below the MOVABLE zone of NID. */
static u64 kernel_part(int nid)
{
	u64 sum = 0;

	for (int zt = 0; zt < ZONE_MOVABLE; zt++)
		sum += zone_of(nid, zt)->present_pages;
	return sum;
}

static u64 movable_part(int nid)
{
	return zone_of(nid, ZONE_MOVABLE)->present_pages;
}

static void test_kernelcore(void **state)
{
	struct phys_boot_params p = {.kernelcore = {.bytes = 2 * GiB}};

	(void)state;
	e820_init(&map);
	add_ram(4 * GiB, 8 * GiB);
	assert_int_equal(boot(&p, 1, NULL), 0);
	assert_int_equal(kernel_part(0), 2 * GiB >> PAGE_SHIFT);
	assert_int_equal(movable_part(0), 6 * GiB >> PAGE_SHIFT);
	assert_true(pm_logged("Movable zone start for each node\n"));
	assert_true(pm_logged("  Node 0: 0x0000000180000000\n"));
	assert_int_equal(end_of(zone_of(0, ZONE_NORMAL)), 6 * GiB);
	assert_int_equal(end_of(zone_of(0, ZONE_MOVABLE)), 12 * GiB);
	phys_check();
	pm_shutdown();
	/* A quarter, in parts of all; and the complement of three quarters. */
	p.kernelcore = (struct phys_amount){.percent = 25};
	assert_int_equal(boot(&p, 1, NULL), 0);
	assert_int_equal(kernel_part(0), 2 * GiB >> PAGE_SHIFT);
	pm_shutdown();
	p.kernelcore = (struct phys_amount){0};
	p.movablecore = (struct phys_amount){.percent = 75};
	assert_int_equal(boot(&p, 1, NULL), 0);
	assert_int_equal(kernel_part(0), 2 * GiB >> PAGE_SHIFT);
	pm_shutdown();
	/* Both: the larger core wins. */
	p.kernelcore = (struct phys_amount){.bytes = 3 * GiB};
	assert_int_equal(boot(&p, 1, NULL), 0);
	assert_int_equal(kernel_part(0), 3 * GiB >> PAGE_SHIFT);
	pm_shutdown();
	p.kernelcore = (struct phys_amount){.bytes = GiB};
	assert_int_equal(boot(&p, 1, NULL), 0);
	assert_int_equal(kernel_part(0), 2 * GiB >> PAGE_SHIFT);
}

/* Amounts that are no amounts, or leave nothing. */
static void test_kernelcore_limits(void **state)
{
	static const u64 none[] = {8 * GiB, 9 * GiB, ~0UL};
	struct phys_boot_params p = {.kernelcore = {.percent = 101}};

	(void)state;
	e820_init(&map);
	add_ram(4 * GiB, 8 * GiB);
	assert_int_equal(boot(&p, 1, NULL), -EINVAL);
	assert_true(pm_logged("kernelcore of more than 100%"));
	pm_shutdown();
	p.kernelcore.percent = 0;
	p.movablecore.percent = 200;
	assert_int_equal(boot(&p, 1, NULL), -EINVAL);
	assert_true(pm_logged("movablecore of more than 100%"));
	p.movablecore.percent = 0;
	for (size_t i = 0; i < 2 * ARRAY_SIZE(none); i++) {
		pm_shutdown();
		p.kernelcore.bytes = i & 1 ? none[i / 2] : 0;
		p.movablecore.bytes = i & 1 ? 0 : none[i / 2];
		assert_int_equal(boot(&p, 1, NULL), 0);
		assert_int_equal(movable_part(0), 0);
		assert_true(pm_logged("no zone MOVABLE"));
	}
	/* One byte of core is one frame, rounded up to a block. */
	pm_shutdown();
	p.movablecore.bytes = 0;
	p.kernelcore.bytes = 256 * MiB + 1;
	assert_int_equal(boot(&p, 1, NULL), 0);
	assert_int_equal(kernel_part(0), 260 * MiB >> PAGE_SHIFT);
}

/* Even shares; a small node gives all, the others make up for it. */
static void test_kernelcore_nodes(void **state)
{
	struct phys_node_range nodes[3] = {{4 * GiB, 8 * GiB, 0},
					   {8 * GiB, 9 * GiB, 1},
					   {9 * GiB, 13 * GiB, 2}};
	struct phys_boot_params p = {.kernelcore = {.bytes = 5 * GiB},
				     .nodes = nodes,
				     .nr_nodes = 3};

	(void)state;
	e820_init(&map);
	add_ram(4 * GiB, 9 * GiB);
	assert_int_equal(boot(&p, 1, NULL), 0);
	assert_int_equal(kernel_part(0), 2 * GiB >> PAGE_SHIFT);
	assert_int_equal(kernel_part(1), GiB >> PAGE_SHIFT);
	assert_int_equal(kernel_part(2), 2 * GiB >> PAGE_SHIFT);
	assert_true(pm_logged("  Node 0: 0x0000000180000000\n"));
	assert_false(pm_logged("  Node 1: 0x"));
	assert_true(pm_logged("  Node 2: 0x00000002c0000000\n"));
	phys_check();
	pm_shutdown();
	/* What lies below the highest zone is the kernel's in any case. */
	e820_init(&map);
	add_ram(0, 2 * GiB);
	add_ram(4 * GiB, 2 * GiB);
	nodes[0] = (struct phys_node_range){0, 4 * GiB, 0};
	nodes[1] = (struct phys_node_range){4 * GiB, 6 * GiB, 1};
	p.nr_nodes = 2;
	p.kernelcore.bytes = GiB;
	assert_int_equal(boot(&p, 1, NULL), 0);
	assert_int_equal(movable_part(0), 0);
	assert_int_equal(start_of(zone_of(1, ZONE_MOVABLE)), 4 * GiB);
	assert_false(populated_zone(zone_of(1, ZONE_NORMAL)));
	phys_check();
}

/* On x86-32 MOVABLE is made of high memory. */
static void test_kernelcore_highmem(void **state)
{
	struct phys_boot_params p = {.arch = "x86-32",
				     .movablecore = {.bytes = GiB}};

	(void)state;
	e820_init(&map);
	add_ram(0, 3 * GiB);
	assert_int_equal(boot(&p, 1, NULL), 0);
	assert_int_equal(start_of(zone_of(0, ZONE_MOVABLE)), 2 * GiB);
	assert_int_equal(end_of(zone_of(0, ZONE_HIGHMEM)), 2 * GiB);
	assert_int_equal(zone_got(GFP_HIGHUSER_MOVABLE), ZONE_MOVABLE);
	assert_int_equal(zone_got(GFP_HIGHUSER), ZONE_HIGHMEM);
	phys_check();
}

static void test_movable_node(void **state)
{
	struct phys_node_range nodes[2] = {{0, 8 * GiB, 0},
					   {8 * GiB, 12 * GiB, 1}};
	struct phys_node_range hot[2] = {{8 * GiB, 12 * GiB, 1},
					 {2 * GiB, 3 * GiB, 0}};
	struct phys_boot_params p = {.nodes = nodes,
				     .nr_nodes = 2,
				     .hotplug = hot,
				     .nr_hotplug = 1,
				     .kernelcore = {.percent = 50}};
	const struct memblock_type *res;

	(void)state;
	e820_init(&map);
	add_ram(0, 12 * GiB);
	p.movable_node = true;
	assert_int_equal(boot(&p, 1, NULL), 0);
	/* The amount is ignored: node 0 is the kernel's. */
	assert_int_equal(movable_part(0), 0);
	assert_int_equal(movable_part(1), 4 * GiB >> PAGE_SHIFT);
	assert_int_equal(zone_of(1, ZONE_MOVABLE)->managed_pages,
			 4 * GiB >> PAGE_SHIFT);
	res = memblock_reserved_table();
	for (u64 i = 0; i < res->cnt; i++)
		assert_true(res->regions[i].base + res->regions[i].size <=
			    8 * GiB);
	phys_check();
	pm_shutdown();
	/* The kernel's node is not taken out, whatever the firmware says. */
	p.nr_hotplug = 2;
	p.kernel_start = MiB;
	p.kernel_size = 8 * MiB;
	assert_int_equal(boot(&p, 1, NULL), 0);
	assert_int_equal(movable_part(0), 0);
	assert_true(pm_logged("node 0 holds the kernel"));
	pm_shutdown();
	/* Without the option marks have no effect. */
	p.movable_node = false;
	p.kernelcore.percent = 0;
	assert_int_equal(boot(&p, 1, NULL), 0);
	assert_int_equal(movable_part(1), 0);
	pm_shutdown();
	/* A machine that could be taken out altogether cannot boot. */
	hot[0] = (struct phys_node_range){0, 12 * GiB, 1};
	p.nr_hotplug = 1;
	p.movable_node = true;
	p.kernel_size = 0;
	assert_int_equal(boot(&p, 1, NULL), -ENOMEM);
	assert_true(pm_logged(" 0K of it in reach of the kernel"));
	pm_shutdown();
	hot[0].end = 0;
	assert_int_equal(boot(&p, 1, NULL), -EINVAL);
	assert_true(pm_logged("hotplug range of node 1 is empty"));
}

/* Only who can be moved and needs no mapping gets frames of MOVABLE. */
static void test_movable_users(void **state)
{
	static const gfp_t others[] = {
		GFP_KERNEL,
		GFP_ATOMIC,
		GFP_HIGHUSER,
		GFP_USER | __GFP_MOVABLE,
		GFP_KERNEL | __GFP_RECLAIMABLE,
		GFP_DMA32 | __GFP_MOVABLE,
		GFP_HIGHUSER_MOVABLE | __GFP_DMA,
	};
	struct phys_boot_params p = {.movablecore = {.bytes = 32 * MiB}};
	struct page *page;
	struct zone *zone;
	u64 free;

	(void)state;
	e820_init(&map);
	add_ram(MiB, 63 * MiB);
	assert_int_equal(boot(&p, 1, NULL), 0);
	zone = zone_of(0, ZONE_MOVABLE);
	assert_int_equal(zone->present_pages, 32 * MiB >> PAGE_SHIFT);
	assert_int_equal(min_wmark_pages(zone), 32);
	assert_int_equal(zone_got(GFP_HIGHUSER_MOVABLE), ZONE_MOVABLE);
	drain_all_pages();
	free = zone_page_state(zone, NR_FREE_PAGES);
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		struct alloc_context ac;

		/* To the last frame, past all watermarks. */
		prepare_alloc_context(&ac, others[i], -1);
		while ((page = get_page_from_freelist(
				others[i], 0, ALLOC_NO_WATERMARKS, &ac)))
			assert_true(page_zone_idx(page) < ZONE_MOVABLE);
		assert_int_equal(zone_page_state(zone, NR_FREE_PAGES), free);
	}
	assert_null(alloc_page(GFP_KERNEL | __GFP_NOWARN));
	assert_int_equal(zone_got(GFP_HIGHUSER_MOVABLE), ZONE_MOVABLE);
	phys_check();
}

/* ---- nodes without memory ----------------------------------------------- */

/* Nodes 0 and 2 have memory; node 1, with CPU 1, has none and is near 2. */
static void boot_memoryless(void)
{
	static const u8 distances[9] = {10, 20, 40, 20, 10, 15, 40, 15, 10};
	static const u8 cpu_node[MM_NR_CPUS] = {0, 1, 2};
	static struct phys_node_range nodes[2] = {{0, GiB, 0},
						  {GiB, 2 * GiB, 2}};
	struct phys_boot_params p = {.nodes = nodes,
				     .nr_nodes = 2,
				     .distances = distances,
				     .nr_distances = 3};

	e820_init(&map);
	add_ram(0, 2 * GiB);
	assert_int_equal(boot(&p, 3, cpu_node), 0);
}

/* On CPU 1, which has no memory of its own. */
static int memoryless_body(void *arg)
{
	struct zone *near = zone_of(2, ZONE_DMA32);
	struct page *pages[100];

	(void)arg;
	sim_set_cpu(port_self(), 1);
	assert_int_equal(port_cpu(), 1);
	assert_int_equal(numa_node_id(), 1);
	assert_int_equal(numa_mem_id(), 2);
	for (int i = 0; i < 100; i++) {
		pages[i] = alloc_pages(GFP_KERNEL, i == 0 ? 6 : 0);
		assert_non_null(pages[i]);
		assert_int_equal(page_to_nid(pages[i]), 2);
	}
	/* Where it was wanted, but not where the CPU is. */
	assert_int_equal(zone_page_state(near, NUMA_HIT), 100);
	assert_int_equal(zone_page_state(near, NUMA_LOCAL), 0);
	assert_int_equal(zone_page_state(near, NUMA_OTHER), 100);
	assert_int_equal(global_zone_page_state(NUMA_MISS), 0);
	assert_int_equal(global_zone_page_state(NUMA_FOREIGN), 0);
	for (int i = 0; i < 100; i++)
		__free_pages(pages[i], i == 0 ? 6 : 0);
	/* This node and no other: there is nothing. */
	assert_null(alloc_page(GFP_KERNEL | __GFP_THISNODE | __GFP_NOWARN));
	assert_null(__alloc_pages(GFP_KERNEL | __GFP_THISNODE | __GFP_NOWARN, 2,
				  1));
	sim_set_cpu(port_self(), 0);
	assert_int_equal(numa_mem_id(), 0);
	phys_check();
	return 0;
}

static void test_memoryless(void **state)
{
	struct zonelist *zl;

	(void)state;
	boot_memoryless();
	assert_int_equal(nr_online_nodes(), 3);
	assert_int_equal(nr_memory_nodes(), 2);
	assert_true(pm_logged("Initmem setup node 1 as memoryless\n"));
	assert_int_equal(NODE_DATA(1)->node_present_pages, 0);
	assert_int_equal(phys_sys.cpu_mem_node[1], 2);
	assert_int_equal(node_zonelist(1, __GFP_THISNODE)->nr, 0);
	zl = node_zonelist(1, 0);
	assert_int_equal(zl->nr, 3);
	assert_int_equal(zone_to_nid(zl->_zonerefs[0].zone), 2);
	assert_int_equal(zone_to_nid(zl->_zonerefs[1].zone), 0);
	assert_true(pm_logged("Fallback order for Node 1: 1 2 0 \n"));
	/* Node 2's list has no trace of node 1. */
	assert_int_equal(node_zonelist(2, 0)->nr, 3);
	phys_check();
	assert_int_equal(sim_run(memoryless_body, NULL), 0);
}

/* Nodes of a PC that have nothing but low memory. */
static void test_dma_only_node(void **state)
{
	struct phys_node_range nodes[2] = {{0, 16 * MiB, 0},
					   {16 * MiB, GiB, 1}};
	struct phys_boot_params p = {.nodes = nodes, .nr_nodes = 2};
	struct zonelist *zl;

	(void)state;
	e820_init(&map);
	add_ram(0, GiB);
	assert_int_equal(boot(&p, 1, NULL), 0);
	assert_true(populated_zone(zone_of(0, ZONE_DMA)));
	assert_false(populated_zone(zone_of(0, ZONE_DMA32)));
	assert_false(populated_zone(zone_of(1, ZONE_DMA)));
	zl = node_zonelist(0, 0);
	assert_ptr_equal(zl->_zonerefs[0].zone, zone_of(0, ZONE_DMA));
	assert_ptr_equal(zl->_zonerefs[1].zone, zone_of(1, ZONE_DMA32));
	zl = node_zonelist(1, 0);
	assert_ptr_equal(zl->_zonerefs[0].zone, zone_of(1, ZONE_DMA32));
	assert_int_equal(zone_got(GFP_DMA), ZONE_DMA);
	phys_check();
}

/* ---- fallback orders ---------------------------------------------------- */

#define MODEL_NODES 8

/*
 * The rule, done slowly: groups of equal distance, the nearest first; in a
 * group who led the fewest groups of several so far, then upwards from FROM.
 */
static int model_order(int from, const u8 *dist, const bool *has_ram, u32 *led,
		       int *out)
{
	int n = 0;

	for (int d = LOCAL_DISTANCE; d < 256; d++) {
		int group[MODEL_NODES], nr = 0;

		for (int i = 0; i < MODEL_NODES; i++) {
			int nid = (from + i) % MODEL_NODES;

			if (has_ram[nid] && dist[from * MODEL_NODES + nid] == d)
				group[nr++] = nid;
		}
		/* Insertion sort: stable, so "upwards" stays. */
		for (int i = 1; i < nr; i++)
			for (int k = i;
			     k > 0 && led[group[k]] < led[group[k - 1]]; k--) {
				int t = group[k];

				group[k] = group[k - 1];
				group[k - 1] = t;
			}
		if (nr > 1)
			led[group[0]]++;
		for (int i = 0; i < nr; i++)
			out[n++] = group[i];
	}
	return n;
}

/* Nodes of 1 GiB each above 4 GiB, those that HAS_RAM says. */
static void boot_eight(const u8 *dist, const bool *has_ram)
{
	static struct phys_node_range nodes[MODEL_NODES];
	struct phys_boot_params p = {
		.nodes = nodes, .distances = dist, .nr_distances = MODEL_NODES};

	e820_init(&map);
	for (int i = 0; i < MODEL_NODES; i++) {
		u64 start = (4 + (u64)i) * GiB;

		if (!has_ram[i])
			continue;
		add_ram(start, GiB);
		nodes[p.nr_nodes++] =
			(struct phys_node_range){start, start + GiB, i};
	}
	assert_int_equal(boot(&p, 1, NULL), 0);
	assert_int_equal(nr_online_nodes(), MODEL_NODES);
	assert_int_equal(nr_memory_nodes(), p.nr_nodes);
}

static void compare_orders(const u8 *dist, const bool *has_ram)
{
	u32 led[MODEL_NODES] = {0};

	for (int from = 0; from < MODEL_NODES; from++) {
		struct zonelist *zl = node_zonelist(from, 0);
		int want[MODEL_NODES];
		int nr = model_order(from, dist, has_ram, led, want);

		assert_int_equal(zl->nr, nr);
		for (int i = 0; i < nr; i++)
			assert_int_equal(zone_to_nid(zl->_zonerefs[i].zone),
					 want[i]);
		assert_null(zl->_zonerefs[nr].zone);
	}
}

static void test_fallback_model(void **state)
{
	u64 seed = pm_env("SEED", 1), iters = pm_env("ITERS", 20);
	u8 dist[MODEL_NODES * MODEL_NODES];
	bool has_ram[MODEL_NODES];

	(void)state;
	print_message("SEED=%lu ITERS=%lu\n", seed, iters);
	for (u64 i = 0; i < iters; i++) {
		struct prng rnd;

		prng_seed(&rnd, seed + i);
		for (int k = 0; k < MODEL_NODES * MODEL_NODES; k++)
			dist[k] = k % (MODEL_NODES + 1)
					  ? (u8)(11 + prng_below(&rnd, 4))
					  : LOCAL_DISTANCE;
		for (int k = 0; k < MODEL_NODES; k++)
			has_ram[k] = k == 3 || !prng_one_in(&rnd, 4);
		boot_eight(dist, has_ram);
		compare_orders(dist, has_ram);
		phys_check();
		pm_shutdown();
	}
	pm_hardware(1, NULL, 1);
}

/* Among equals each node is the first choice of one other. */
static void test_fallback_spread(void **state)
{
	/* Two boxes of four: 20 inside, 40 across. */
	u8 dist[MODEL_NODES * MODEL_NODES];
	bool has_ram[MODEL_NODES];
	int inside[MODEL_NODES] = {0}, across[MODEL_NODES] = {0};

	(void)state;
	for (int i = 0; i < MODEL_NODES; i++) {
		has_ram[i] = true;
		for (int k = 0; k < MODEL_NODES; k++)
			dist[i * MODEL_NODES + k] = (u8)(i == k		  ? 10
							 : i / 4 == k / 4 ? 20
									  : 40);
	}
	boot_eight(dist, has_ram);
	for (int i = 0; i < MODEL_NODES; i++) {
		const struct zonelist *zl = node_zonelist(i, 0);

		inside[zone_to_nid(zl->_zonerefs[1].zone)]++;
		across[zone_to_nid(zl->_zonerefs[4].zone)]++;
	}
	for (int i = 0; i < MODEL_NODES; i++) {
		assert_int_equal(inside[i], 1);
		assert_int_equal(across[i], 1);
	}
}

/* ---- random machines ---------------------------------------------------- */

#define RANDOM_RANGES 6
#define RANDOM_NODES  5

struct machine {
	struct phys_node_range nodes[2 * RANDOM_NODES];
	struct phys_boot_params p;
	u8 cpu_node[MM_NR_CPUS];
	u64 bytes; /* of address space */
};

/* Some RAM of odd sizes with holes, below M->bytes. */
static void random_map(struct machine *m, struct prng *rnd)
{
	u64 part = m->bytes / RANDOM_RANGES;

	e820_init(&map);
	for (u64 i = 0; i < RANDOM_RANGES; i++) {
		u64 start = i * part, size = part;

		if (prng_one_in(rnd, 3))
			start += prng_below(rnd, part / 2);
		if (prng_one_in(rnd, 3))
			size = prng_range(rnd, part / 4, part / 2);
		if (i && prng_one_in(rnd, 5))
			continue;
		add_ram(start, min(size, (i + 1) * part - start));
	}
}

/* Nodes in frames of any number, in any order, some of them twice. */
static void random_nodes(struct machine *m, struct prng *rnd)
{
	u64 nr = prng_below(rnd, 2 * RANDOM_NODES), pos = 0;

	for (u64 i = 0; i < nr; i++) {
		u64 left = (m->bytes - pos) >> PAGE_SHIFT;
		u64 len = prng_range(rnd, 1, left / (nr - i));

		if (prng_one_in(rnd, 2))
			len = ALIGN(len, 1024);
		len = min(len, left);
		if (i + 1 == nr)
			len = left;
		if (!len)
			break;
		m->nodes[m->p.nr_nodes++] = (struct phys_node_range){
			pos, pos + (len << PAGE_SHIFT),
			(int)prng_below(rnd, RANDOM_NODES)};
		pos += len << PAGE_SHIFT;
	}
	m->p.nodes = m->nodes;
	for (int cpu = 0; cpu < MM_NR_CPUS; cpu++)
		m->cpu_node[cpu] = (u8)prng_below(rnd, RANDOM_NODES + 1);
}

static void random_machine(struct machine *m, struct prng *rnd, bool small)
{
	static const u64 sizes[] = {GiB, 5 * GiB, 40 * GiB};
	struct phys_amount a = {0};

	memset(m, 0, sizeof(*m));
	m->bytes = small ? prng_range(rnd, 8, 64) * MiB
			 : sizes[prng_below(rnd, 3)];
	m->p.arch = phys_layout_nth((u32)prng_below(rnd, 5))->name;
	random_map(m, rnd);
	random_nodes(m, rnd);
	if (prng_one_in(rnd, 2))
		a.percent = (u32)prng_range(rnd, 1, 100);
	else
		a.bytes = prng_below(rnd, m->bytes);
	if (prng_one_in(rnd, 2))
		m->p.kernelcore = a;
	else if (prng_one_in(rnd, 2))
		m->p.movablecore = a;
	if (prng_one_in(rnd, 4)) {
		m->p.movable_node = true;
		m->p.hotplug = &m->nodes[m->p.nr_nodes / 2];
		m->p.nr_hotplug = m->p.nr_nodes ? 1 : 0;
	}
}

/* RAM frame PFN of node NID: one zone of the node has it, and its descriptor
 * says so; the address suits the zone. */
static void check_frame(u64 pfn, int nid)
{
	const struct zone *zone = zone_at(nid, pfn);
	int nr = 0;
	u64 lo, hi;

	for (int zt = 0; zt < MAX_NR_ZONES; zt++)
		nr += zone_spans_pfn(zone_of(nid, zt), pfn);
	assert_int_equal(nr, 1);
	if (pfn_valid(pfn))
		assert_ptr_equal(page_zone(pfn_to_page(pfn)), zone);
	if (zone->idx == ZONE_MOVABLE)
		return;
	layout_zone_range(phys_sys.layout, zone->idx, phys_sys.hot.max_pfn, &lo,
			  &hi);
	assert_true(pfn >= lo && pfn < hi);
}

/* All frames of a small machine, the ends of ranges of a large one. */
static u64 check_frames(bool small)
{
	struct memblock_iter it;
	u64 sum = 0;

	for_each_mem_range (it, NUMA_NO_NODE) {
		u64 s = PFN_UP(it.start), e = PFN_DOWN(it.end);

		if (s >= e)
			continue;
		sum += e - s;
		check_frame(s, it.nid);
		check_frame(e - 1, it.nid);
		for (; small && s < e; s++)
			check_frame(s, it.nid);
	}
	return sum;
}

static void check_zonelist(int nid)
{
	struct zonelist *zl = node_zonelist(nid, 0);
	bool seen[PHYS_MAX_ZONES] = {false};

	assert_int_equal(zl->nr, phys_sys.nr_zone_ids);
	for (u64 i = 0; i < zl->nr; i++) {
		const struct zone *z = zl->_zonerefs[i].zone;
		const struct zone *prev = i ? zl->_zonerefs[i - 1].zone : NULL;

		assert_true(populated_zone(z) && !seen[z->zone_id]);
		seen[z->zone_id] = true;
		assert_int_equal(zl->_zonerefs[i].zone_idx, z->idx);
		if (prev && prev->zone_pgdat == z->zone_pgdat)
			assert_true(prev->idx > z->idx);
		else if (prev)
			assert_true(node_distance(nid, zone_to_nid(prev)) <=
				    node_distance(nid, zone_to_nid(z)));
	}
	if (NODE_DATA(nid)->node_present_pages)
		assert_int_equal(zone_to_nid(zl->_zonerefs[0].zone), nid);
}

static void check_machine(bool small)
{
	u64 present = 0, managed = 0;
	pg_data_t *pgdat;
	struct zone *zone;

	for_each_zone (zone) {
		assert_true(zone->spanned_pages >= zone->present_pages);
		assert_true(zone->present_pages >= zone->managed_pages);
		assert_int_equal(zone->present_pages,
				 node_present_in(zone_to_nid(zone),
						 zone->zone_start_pfn,
						 zone_end_pfn(zone)));
		if (zone->idx == ZONE_MOVABLE)
			assert_true(IS_ALIGNED(zone->zone_start_pfn,
					       MAX_ORDER_NR_PAGES));
		present += zone->present_pages;
		managed += zone->managed_pages;
	}
	assert_int_equal(managed, totalram_pages());
	assert_int_equal(present, check_frames(small));
	for_each_online_pgdat(pgdat)
	{
		present -= pgdat->node_present_pages;
		check_zonelist(pgdat->node_id);
	}
	assert_int_equal(present, 0);
	phys_check();
}

/* Each frame once, from the node at hand; then all come back. */
static void take_all_from(int nid)
{
	gfp_t gfp = GFP_HIGHUSER_MOVABLE;
	struct alloc_context ac;
	struct page *page, *list = NULL;
	u64 n = 0;

	prepare_alloc_context(&ac, gfp, nid);
	while ((page = get_page_from_freelist(gfp, 0, ALLOC_NO_WATERMARKS,
					      &ac))) {
		assert_true(memblock_is_memory(PFN_PHYS(page_to_pfn(page))));
		set_page_mapping_word(page, (u64)(uintptr_t)list);
		list = page;
		n++;
	}
	assert_int_equal(n, totalram_pages());
	while (list) {
		page = list;
		list = (struct page *)(uintptr_t)page_mapping_word(page);
		set_page_mapping_word(page, 0);
		__free_page(page);
	}
	drain_all_pages();
	assert_int_equal(nr_free_pages(), totalram_pages());
	phys_check();
}

static bool random_boot(u64 seed)
{
	static struct machine m;
	struct prng rnd;
	bool small;
	int err;

	prng_seed(&rnd, seed);
	small = !prng_one_in(&rnd, 3);
	random_machine(&m, &rnd, small);
	err = boot(&m.p, 3, m.cpu_node);
	if (err) {
		/* High memory, or memory to be taken out, may be too much. */
		assert_int_equal(err, -ENOMEM);
		assert_true(pm_logged("in reach of the kernel") ||
			    pm_logged("too little memory"));
		return false;
	}
	check_machine(small);
	if (small)
		take_all_from(first_online_pgdat()->node_id);
	return true;
}

static void test_random_machines(void **state)
{
	u64 seed = pm_env("SEED", 1), iters = pm_env("ITERS", 150), ok = 0;

	(void)state;
	print_message("SEED=%lu ITERS=%lu\n", seed, iters);
	for (u64 i = 0; i < iters; i++) {
		ok += random_boot(seed + i);
		pm_shutdown();
	}
	pm_hardware(1, NULL, 1);
	assert_true(ok * 4 >= iters * 3);
}

#define T(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_layouts),
		T(test_gfp_limits),
		T(test_limit),
		T(test_low_tables),
		T(test_highmem_only_for_users),
		T(test_kernelcore),
		T(test_kernelcore_limits),
		T(test_kernelcore_nodes),
		T(test_kernelcore_highmem),
		T(test_movable_node),
		T(test_movable_users),
		T(test_memoryless),
		T(test_dma_only_node),
		T(test_fallback_model),
		T(test_fallback_spread),
		T(test_random_machines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
