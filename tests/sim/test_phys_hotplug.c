/* SPDX-License-Identifier: MIT */
/*
 * Memory that comes and goes: what is refused, what follows from a change,
 * what is undone when a step fails; and random sequences against a model.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <sys/resource.h>

#include "base/fail.h"
#include "hotplug_model.h"
#include "phys/page_isolation.h"
#include "phys_machine.h"

#define BLOCK	 (128 * MiB)
#define PER	 PAGES_PER_SECTION
#define FIRST_NR (4 * GiB / BLOCK) /* first block above 4 GiB */

static struct e820_table map;

static int teardown(void **state)
{
	(void)state;
	pm_shutdown();
	return 0;
}

/* RAM of BYTES on one node, room for more up to 16 GiB; CPU i on node i & 1. */
static void boot_room(u64 bytes, int cpus)
{
	static u8 cpu_node[MM_NR_CPUS];
	struct phys_boot_params p = {.map = &map, .max_possible = 16 * GiB};

	for (int i = 0; i < MM_NR_CPUS; i++)
		cpu_node[i] = i & 1;
	pm_hardware(cpus, cpu_node, 1);
	pm_map(&map, bytes);
	assert_int_equal(phys_boot_memory(&p), 0);
}

static int add_online(int nid, u64 addr, u64 size, enum mmop type)
{
	int err = add_memory(nid, addr, size, MHP_NONE);

	return err ? err : online_pages(PFN_DOWN(addr), PFN_DOWN(size), type);
}

static struct zone *zone_of(int nid, int zt)
{
	return &NODE_DATA(nid)->node_zones[zt];
}

/* ---- what a failed call must not change
 * ----------------------------------------------------- */

struct zone_shot {
	u64 present, managed, spanned, start, marks[NR_WMARK], reserve;
	u64 isolated, highatomic;
	s64 free;
	u8 id;
};

struct shot {
	struct zone_shot zone[2][MAX_NR_ZONES];
	u64 total, own, max_pfn, ram, min_free, types, states;
	u32 e820;
	int nodes;
};

static void shoot_zone(struct zone_shot *s, const struct zone *z)
{
	*s = (struct zone_shot){
		.present = z->present_pages,
		.managed = z->managed_pages,
		.spanned = z->spanned_pages,
		.start = z->zone_start_pfn,
		.reserve = z->lowmem_reserve[ZONE_MOVABLE],
		.isolated = z->nr_isolate_pageblock,
		.highatomic = z->nr_reserved_highatomic,
		.free = z->nr_free_pages,
		.id = z->zone_id,
	};
	memcpy(s->marks, z->_watermark, sizeof(s->marks));
}

/* Deferred sections that were made since count as the same. */
static void shoot(struct shot *s)
{
	memset(s, 0, sizeof(*s));
	drain_all_pages();
	for (int nid = 0; nid < 2; nid++)
		for (int zt = 0; NODE_DATA(nid) && zt < MAX_NR_ZONES; zt++)
			shoot_zone(&s->zone[nid][zt], zone_of(nid, zt));
	s->total = totalram_pages();
	s->own = phys_sys.hotplug.nr_frames;
	s->max_pfn = phys_sys.hot.max_pfn;
	s->ram = memblock_phys_mem_size();
	s->min_free = phys_sys.tunables.min_free_kbytes;
	s->e820 = phys_sys.e820.nr_entries;
	s->nodes = nr_online_nodes();
	for (u64 i = 0; i < phys_sys.memmap_frames >> pageblock_order; i++)
		s->types = s->types * 31 +
			   (phys_sys.hot.pageblock_mt[i] & PAGEBLOCK_MT_MASK);
	for (u64 nr = 0; nr < phys_sys.nr_sections; nr++)
		s->states = s->states * 31 +
			    (u64)(memory_block_state(nr * PER) + 64) +
			    phys_sys.sections[nr].flags * 128UL;
}

static void assert_unchanged(const struct shot *before)
{
	struct shot now;

	shoot(&now);
	assert_true(memcmp(&now, before, sizeof(now)) == 0);
	phys_check();
}

/* The same after allocations, which may have changed pageblocks' types. */
static void assert_sizes_unchanged(const struct shot *before)
{
	struct shot now;

	shoot(&now);
	now.types = before->types;
	assert_true(memcmp(&now, before, sizeof(now)) == 0);
	phys_check();
}

/* ---- adding
 * -------------------------------------------------------------------------------
 */

static void test_add_refused(void **state)
{
	struct shot s;

	(void)state;
	boot_room(512 * MiB, 1);
	shoot(&s);
	assert_int_equal(add_memory(0, 4 * GiB + MiB, BLOCK, 0), -EINVAL);
	assert_true(pm_logged("not whole blocks"));
	assert_int_equal(add_memory(0, 4 * GiB, BLOCK + PAGE_SIZE, 0), -EINVAL);
	assert_int_equal(add_memory(0, 4 * GiB, 0, 0), -EINVAL);
	assert_int_equal(add_memory(0, -BLOCK, 2 * BLOCK, 0), -EINVAL);
	assert_int_equal(add_memory(-1, 4 * GiB, BLOCK, 0), -EINVAL);
	assert_int_equal(add_memory(MM_MAX_NODES, 4 * GiB, BLOCK, 0), -EINVAL);
	assert_int_equal(add_memory(0, 4 * GiB, BLOCK, 1), -EINVAL);
	assert_true(pm_logged("unknown flags 0x1"));
	assert_int_equal(add_memory(0, 0, BLOCK, 0), -EEXIST);
	assert_int_equal(add_memory(0, 384 * MiB, 2 * BLOCK, 0), -EEXIST);
	assert_true(pm_logged("has RAM in block 3"));
	assert_int_equal(add_memory(0, 16 * GiB, BLOCK, 0), -ERANGE);
	assert_int_equal(add_memory(0, 16 * GiB - BLOCK, 2 * BLOCK, 0),
			 -ERANGE);
	assert_true(pm_logged("beyond 0x400000000"));
	assert_unchanged(&s);
	assert_int_equal(memory_block_state(PFN_DOWN(4 * GiB)), -ENOENT);
	assert_int_equal(memory_block_state(PFN_DOWN(64 * GiB)), -ENOENT);
}

/* What the firmware's map names is not free for RAM. */
static void test_add_over_firmware(void **state)
{
	struct phys_boot_params p = {.map = &map, .max_possible = 4 * GiB};
	struct shot s;

	(void)state;
	pm_hardware(1, NULL, 1);
	pm_map(&map, 512 * MiB);
	assert_int_equal(e820_add(&map, GiB + MiB, MiB, E820_TYPE_ACPI), 0);
	assert_int_equal(phys_boot_memory(&p), 0);
	shoot(&s);
	assert_int_equal(add_memory(0, GiB, BLOCK, 0), -EEXIST);
	assert_true(pm_logged("overlaps ACPI data memory"));
	assert_unchanged(&s);
	assert_int_equal(add_memory(0, GiB + BLOCK, BLOCK, 0), 0);
}

static void test_add_online(void **state)
{
	struct zone *normal;
	u64 total, min_free;
	struct page *page;

	(void)state;
	boot_room(512 * MiB, 2);
	normal = zone_of(0, ZONE_NORMAL);
	total = totalram_pages();
	min_free = phys_sys.tunables.min_free_kbytes;
	assert_false(populated_zone(normal));
	assert_int_equal(add_memory(0, 4 * GiB, 4 * BLOCK, MHP_NONE), 0);
	phys_check();
	assert_int_equal(phys_sys.hotplug.nr_frames,
			 4 * PER * sizeof(struct page) / PAGE_SIZE);
	/* Added is not used. */
	assert_int_equal(totalram_pages(), total);
	assert_int_equal(memory_block_state(PFN_DOWN(4 * GiB)), MEM_OFFLINE);
	assert_true(pfn_present(PFN_DOWN(4 * GiB)));
	assert_false(pfn_valid(PFN_DOWN(4 * GiB)));
	assert_null(pfn_to_online_page(PFN_DOWN(4 * GiB)));
	assert_true(memblock_is_memory(4 * GiB));
	assert_int_equal(
		phys_sys.e820.entries[phys_sys.e820.nr_entries - 1].addr,
		4 * GiB);
	/* One block in the middle, then those around it. */
	assert_int_equal(
		online_pages(PFN_DOWN(4 * GiB) + PER, PER, MMOP_ONLINE_KERNEL),
		0);
	phys_check();
	assert_int_equal(totalram_pages(), total + PER);
	assert_int_equal(normal->present_pages, PER);
	assert_int_equal(normal->zone_start_pfn, PFN_DOWN(4 * GiB) + PER);
	assert_true(normal->contiguous);
	assert_int_equal(
		online_pages(PFN_DOWN(4 * GiB) + 3 * PER, PER, MMOP_ONLINE), 0);
	assert_int_equal(normal->spanned_pages, 3 * PER);
	assert_false(normal->contiguous);
	assert_int_equal(
		online_pages(PFN_DOWN(4 * GiB), PER, MMOP_ONLINE_KERNEL), 0);
	assert_int_equal(online_pages(PFN_DOWN(4 * GiB) + 2 * PER, PER,
				      MMOP_ONLINE_KERNEL),
			 0);
	phys_check();
	assert_true(normal->contiguous);
	assert_int_equal(normal->managed_pages, 4 * PER);
	assert_int_equal(NODE_DATA(0)->node_spanned_pages,
			 PFN_DOWN(4 * GiB + 4 * BLOCK) - 1);
	assert_true(phys_sys.tunables.min_free_kbytes > min_free);
	assert_true(normal->_watermark[WMARK_LOW] > 0);
	assert_true(normal->pageset[1].batch > 1);
	/* The kernel's memory is taken from there now. */
	page = alloc_pages(GFP_KERNEL, 0);
	assert_non_null(page);
	assert_ptr_equal(page_zone(page), normal);
	assert_int_equal(page->flags, 0);
	*(u64 *)page_view(page) = 1;
	__free_page(page);
	page = __alloc_pages(GFP_HIGHUSER_MOVABLE, 0, 0);
	assert_ptr_equal(page_zone(page), normal);
	__free_page(page);
	phys_check();
	/* Online twice. */
	assert_int_equal(online_pages(PFN_DOWN(4 * GiB), PER, MMOP_ONLINE),
			 -EINVAL);
	assert_int_equal(online_pages(PFN_DOWN(4 * GiB) + 1, PER, MMOP_ONLINE),
			 -EINVAL);
	assert_int_equal(online_pages(PFN_DOWN(8 * GiB), PER, MMOP_ONLINE),
			 -EINVAL);
	assert_int_equal(online_pages(PFN_DOWN(99 * GiB), PER, MMOP_ONLINE),
			 -EINVAL);
}

/* A value that somebody set is not computed again. */
static void test_min_free_kept(void **state)
{
	(void)state;
	boot_room(512 * MiB, 1);
	phys_sys.tunables.min_free_kbytes = 1234;
	setup_per_zone_wmarks();
	assert_int_equal(add_online(0, 4 * GiB, 4 * BLOCK, MMOP_ONLINE), 0);
	assert_int_equal(phys_sys.tunables.min_free_kbytes, 1234);
}

static void test_below_4g(void **state)
{
	(void)state;
	boot_room(512 * MiB, 1);
	/* The zone by address, and it grows. */
	assert_int_equal(add_online(0, GiB, BLOCK, MMOP_ONLINE_KERNEL), 0);
	assert_int_equal(zone_end_pfn(zone_of(0, ZONE_DMA32)),
			 PFN_DOWN(GiB + BLOCK));
	assert_false(zone_of(0, ZONE_DMA32)->contiguous);
	assert_int_equal(add_memory(0, 4 * GiB - BLOCK, 2 * BLOCK, 0), 0);
	assert_int_equal(
		online_pages(PFN_DOWN(4 * GiB - BLOCK), 2 * PER, MMOP_ONLINE),
		-EINVAL);
	assert_true(pm_logged("lies in two zones"));
	phys_check();
}

static void test_movable(void **state)
{
	u64 base = PFN_DOWN(4 * GiB);
	struct page *page;
	struct shot s;

	(void)state;
	boot_room(512 * MiB, 1);
	assert_int_equal(add_memory(0, 4 * GiB, 6 * BLOCK, 0), 0);
	assert_int_equal(online_pages(base + 2 * PER, PER, MMOP_ONLINE_MOVABLE),
			 0);
	assert_int_equal(zone_of(0, ZONE_MOVABLE)->managed_pages, PER);
	/* For who may be moved, and for nobody else. */
	page = alloc_pages(GFP_HIGHUSER_MOVABLE, 0);
	assert_ptr_equal(page_zone(page), zone_of(0, ZONE_MOVABLE));
	__free_page(page);
	page = alloc_pages(GFP_KERNEL, 0);
	assert_ptr_equal(page_zone(page), zone_of(0, ZONE_DMA32));
	__free_page(page);
	/* Below it the kernel's zone, which then cannot be above as well. */
	assert_int_equal(online_pages(base, PER, MMOP_ONLINE_KERNEL), 0);
	shoot(&s);
	assert_int_equal(online_pages(base + 3 * PER, PER, MMOP_ONLINE_KERNEL),
			 -EINVAL);
	assert_true(pm_logged("would overlap zone Movable"));
	assert_unchanged(&s);
	/* Left to itself it takes the zone that does not overlap. */
	assert_int_equal(online_pages(base + 4 * PER, PER, MMOP_ONLINE), 0);
	assert_int_equal(zone_of(0, ZONE_MOVABLE)->managed_pages, 2 * PER);
	/* Inside MOVABLE's span: MOVABLE. Between both: the kernel's. */
	assert_int_equal(online_pages(base + 3 * PER, PER, MMOP_ONLINE), 0);
	assert_int_equal(zone_of(0, ZONE_MOVABLE)->managed_pages, 3 * PER);
	assert_int_equal(online_pages(base + PER, PER, MMOP_ONLINE), 0);
	assert_int_equal(zone_of(0, ZONE_NORMAL)->managed_pages, 2 * PER);
	/* A hole of DMA32 is no place for MOVABLE. */
	assert_int_equal(add_memory(0, GiB, 2 * BLOCK, 0), 0);
	assert_int_equal(online_pages(PFN_DOWN(GiB) + PER, PER, MMOP_ONLINE),
			 0);
	assert_int_equal(online_pages(PFN_DOWN(GiB), PER, MMOP_ONLINE_MOVABLE),
			 -EINVAL);
	phys_check();
}

/* ---- nodes
 * ---------------------------------------------------------------------------------
 */

static int node_main(void *arg)
{
	int nid = *(int *)arg;
	struct page *page;

	assert_int_equal(add_memory(nid, 8 * GiB, 2 * BLOCK, 0), 0);
	assert_non_null(NODE_DATA(nid));
	phys_check();
	/* It has no memory to use yet. */
	page = __alloc_pages(GFP_KERNEL, 0, nid);
	assert_int_equal(page_to_nid(page), 0);
	__free_page(page);
	assert_null(__alloc_pages(GFP_KERNEL | __GFP_THISNODE | __GFP_NOWARN, 0,
				  nid));
	assert_int_equal(nr_memory_nodes(), 1);
	assert_int_equal(online_pages(PFN_DOWN(8 * GiB), 2 * PER, MMOP_ONLINE),
			 0);
	assert_int_equal(nr_memory_nodes(), 2);
	phys_check();
	page = __alloc_pages(GFP_KERNEL | __GFP_THISNODE, 0, nid);
	assert_int_equal(page_to_nid(page), nid);
	assert_ptr_equal(page_lruvec(page), &NODE_DATA(nid)->lruvec);
	__free_page(page);
	return 0;
}

/* Boot without memory on NID, add some, take it away, add it again. */
static void try_node(int nid)
{
	struct zonelist *zl;

	assert_int_equal(sim_run(node_main, &nid), 0);
	zl = node_zonelist(nid, GFP_KERNEL);
	assert_int_equal(zl->nr, phys_sys.nr_zone_ids);
	assert_int_equal(zone_to_nid(zl->_zonerefs[0].zone), nid);
	assert_int_equal(zone_to_nid(zl->_zonerefs[1].zone), 0);
	zl = node_zonelist(0, GFP_KERNEL);
	assert_int_equal(zone_to_nid(zl->_zonerefs[0].zone), 0);
	assert_int_equal(zone_to_nid(zl->_zonerefs[zl->nr - 1].zone), nid);
	/* It goes again; the node stays, without memory. */
	assert_int_equal(offline_pages(PFN_DOWN(8 * GiB), 2 * PER), 0);
	assert_int_equal(remove_memory(8 * GiB, 2 * BLOCK), 0);
	assert_int_equal(NODE_DATA(nid)->node_present_pages, 0);
	assert_int_equal(NODE_DATA(nid)->node_spanned_pages, 0);
	assert_int_equal(nr_memory_nodes(), 1);
	phys_check();
	assert_int_equal(add_online(nid, 9 * GiB, BLOCK, MMOP_ONLINE), 0);
	assert_int_equal(NODE_DATA(nid)->node_start_pfn, PFN_DOWN(9 * GiB));
	phys_check();
}

static void test_new_node(void **state)
{
	(void)state;
	boot_room(512 * MiB, 1);
	assert_int_equal(nr_online_nodes(), 1);
	try_node(5);
	assert_int_equal(nr_online_nodes(), 2);
}

static void test_memoryless_node(void **state)
{
	(void)state;
	boot_room(512 * MiB, 2);
	assert_int_equal(nr_online_nodes(), 2);
	assert_int_equal(phys_sys.cpu_mem_node[1], 0);
	try_node(1);
	assert_int_equal(nr_online_nodes(), 2);
	assert_int_equal(phys_sys.cpu_mem_node[0], 0);
	assert_int_equal(phys_sys.cpu_mem_node[1], 1);
}

/* A CPU whose node gets memory works from there, its fast path too. */
static int near_main(void *arg)
{
	static struct page *page[600];
	u64 near = 0;

	(void)arg;
	assert_int_equal(numa_node_id(), 1);
	assert_int_equal(numa_mem_id(), 0);
	page[0] = alloc_pages(GFP_KERNEL, 0);
	assert_int_equal(page_to_nid(page[0]), 0);
	__free_page(page[0]);
	assert_int_equal(add_online(1, 8 * GiB, BLOCK, MMOP_ONLINE), 0);
	assert_int_equal(numa_mem_id(), 1);
	/* What its stack has is from afar; nothing else is. */
	for (int i = 0; i < 600; i++) {
		page[i] = alloc_pages(GFP_KERNEL, 0);
		near += page_to_nid(page[i]) == 1;
	}
	assert_true(near > 300);
	assert_int_equal(page_to_nid(page[599]), 1);
	assert_ptr_equal(phys_sys.pcp_fast[0][0].pcp,
			 &zone_of(1, ZONE_NORMAL)->pageset[0]);
	for (int i = 0; i < 600; i++)
		__free_page(page[i]);
	page[0] = alloc_pages(GFP_KERNEL, 0);
	assert_int_equal(page_to_nid(page[0]), 1);
	__free_page(page[0]);
	return 0;
}

static void test_near_memory(void **state)
{
	static const u8 cpu_node[MM_NR_CPUS] = {1, 1};
	struct phys_boot_params p = {.map = &map, .max_possible = 16 * GiB};

	(void)state;
	pm_hardware(1, cpu_node, 1);
	pm_map(&map, 512 * MiB);
	assert_int_equal(phys_boot_memory(&p), 0);
	assert_int_equal(sim_run(near_main, NULL), 0);
	phys_check();
}

/*
 * A CPU that asks for nothing but large blocks never looks at its stacks: it
 * must see all the same that there is a better zone now.
 */
static int near_large_main(void *arg)
{
	struct page *page;

	(void)arg;
	sim_set_cpu(port_self(), 2);
	page = alloc_pages(GFP_KERNEL, 4);
	mm_verify(page_zone(page) == zone_of(0, ZONE_DMA32));
	__free_pages(page, 4);
	sim_set_cpu(port_self(), 0);
	mm_verify(add_online(0, 4 * GiB, BLOCK, MMOP_ONLINE) == 0);
	sim_set_cpu(port_self(), 2);
	page = alloc_pages(GFP_KERNEL, 4);
	mm_verify(page_zone(page) == zone_of(0, ZONE_NORMAL));
	__free_pages(page, 4);
	/* And from then on it is as fast as before. */
	mm_verify(phys_sys.pcp_fast[2][0].pcp ==
		  &zone_of(0, ZONE_NORMAL)->pageset[2]);
	return 0;
}

static void test_near_large(void **state)
{
	(void)state;
	boot_room(512 * MiB, 3);
	assert_int_equal(sim_run(near_large_main, NULL), 0);
	phys_check();
}

/* ---- taking away
 * ---------------------------------------------------------------------------
 */

static void test_offline(void **state)
{
	u64 base = PFN_DOWN(4 * GiB);
	static struct shot before, s;
	struct page *page;

	(void)state;
	boot_room(512 * MiB, 1);
	shoot(&before);
	assert_int_equal(add_online(0, 4 * GiB, 3 * BLOCK, MMOP_ONLINE), 0);
	/* Blocks in use: in a made section, the others stay deferred. */
	page = alloc_pages(GFP_KERNEL, 3);
	assert_ptr_equal(page_zone(page), zone_of(0, ZONE_NORMAL));
	memset(page_view(page), 0x5a, 8 * PAGE_SIZE);
	pm_log_clear();
	shoot(&s);
	assert_int_equal(offline_pages(base, 3 * PER), -EBUSY);
	assert_true(pm_logged("is in use"));
	assert_true(pm_logged("page dumped because: unmovable page"));
	assert_unchanged(&s);
	assert_int_equal(zone_of(0, ZONE_NORMAL)->nr_isolate_pageblock, 0);
	assert_int_equal(remove_memory(4 * GiB, BLOCK), -EBUSY);
	assert_true(pm_logged("is not offline"));
	__free_pages(page, 3);
	/* Ends of the span follow. */
	assert_int_equal(offline_pages(base, PER), 0);
	phys_check();
	assert_int_equal(zone_of(0, ZONE_NORMAL)->zone_start_pfn, base + PER);
	assert_int_equal(offline_pages(base, PER), -EINVAL);
	assert_int_equal(offline_pages(base + 2 * PER, PER), 0);
	phys_check();
	assert_int_equal(zone_of(0, ZONE_NORMAL)->spanned_pages, PER);
	assert_int_equal(offline_pages(base + PER, PER), 0);
	phys_check();
	assert_false(populated_zone(zone_of(0, ZONE_NORMAL)));
	assert_int_equal(zone_of(0, ZONE_NORMAL)->spanned_pages, 0);
	assert_null(pfn_to_online_page(base));
	/* Offline can come back; contents are forgotten when it is removed. */
	assert_int_equal(online_pages(base, PER, MMOP_ONLINE), 0);
	assert_int_equal(offline_pages(base, PER), 0);
	assert_int_equal(remove_memory(4 * GiB, 3 * BLOCK), 0);
	phys_check();
	shoot(&s);
	assert_int_equal(s.total, before.total);
	assert_int_equal(s.ram, before.ram);
	assert_int_equal(s.e820, before.e820);
	assert_int_equal(s.max_pfn, before.max_pfn);
	assert_int_equal(s.min_free, before.min_free);
	/* What stays is what the zone's sets and lists take (HZ-3). */
	assert_true(s.own < 16);
	assert_int_equal(add_online(0, 4 * GiB, BLOCK, MMOP_ONLINE), 0);
	page = alloc_pages(GFP_KERNEL, 3);
	for (u64 i = 0; i < 8 * PAGE_SIZE; i++)
		assert_true(((u8 *)page_view(page))[i] == 0);
	__free_pages(page, 3);
}

/* Types of pageblocks and the reserve come back after a refusal. */
static void test_offline_undone_types(void **state)
{
	u64 base = PFN_DOWN(4 * GiB);
	struct page *used, *page;
	struct shot s;

	(void)state;
	boot_room(512 * MiB, 1);
	assert_int_equal(add_online(0, 4 * GiB, BLOCK, MMOP_ONLINE), 0);
	used = alloc_pages(GFP_KERNEL, 0);
	page = alloc_pages(GFP_KERNEL | __GFP_RECLAIMABLE, 0);
	assert_true(get_pageblock_migratetype(used) == MIGRATE_UNMOVABLE);
	assert_true(get_pageblock_migratetype(page) == MIGRATE_RECLAIMABLE);
	shoot(&s);
	assert_int_equal(offline_pages(base, PER), -EBUSY);
	assert_unchanged(&s);
	__free_page(page);
	__free_page(used);
	assert_int_equal(offline_pages(base, PER), 0);
	/* A block comes back with movable pageblocks. */
	assert_int_equal(online_pages(base, PER, MMOP_ONLINE), 0);
	for (u64 pfn = base; pfn < base + PER; pfn += pageblock_nr_pages)
		assert_int_equal(get_pfnblock_migratetype(pfn),
				 MIGRATE_MOVABLE);
}

/* One pageblock of NORMAL, whose blocks are all free, is HIGHATOMIC. */
static void reserve_one_highatomic(void)
{
	struct alloc_context ac;
	struct page *page;

	prepare_alloc_context(&ac, GFP_ATOMIC, 0);
	page = get_page_from_freelist(GFP_ATOMIC, 1,
				      gfp_to_alloc_flags(GFP_ATOMIC), &ac);
	assert_ptr_equal(page_zone(page), zone_of(0, ZONE_NORMAL));
	assert_int_equal(get_pageblock_migratetype(page), MIGRATE_HIGHATOMIC);
	__free_pages(page, 1);
}

/*
 * The first of two blocks is free and isolated when the second turns out to
 * be in use: its pageblocks are what they were, the reserve among them.
 */
static void test_offline_undone_first(void **state)
{
	static struct page *page[PAGES_PER_SECTION / 512 + 2];
	u64 base = PFN_DOWN(4 * GiB), nr = 0, n[MIGRATE_TYPES] = {0};
	struct page *busy = NULL;
	struct shot s;

	(void)state;
	boot_room(512 * MiB, 1);
	assert_int_equal(add_online(0, 4 * GiB, 2 * BLOCK, MMOP_ONLINE), 0);
	reserve_one_highatomic();
	while (!busy && nr < ARRAY_SIZE(page)) {
		page[nr] = alloc_pages(
			GFP_KERNEL | (nr & 1 ? __GFP_RECLAIMABLE : 0), 9);
		assert_ptr_equal(page_zone(page[nr]), zone_of(0, ZONE_NORMAL));
		busy = page_to_pfn(page[nr]) >= base + PER ? page[nr] : NULL;
		nr += !busy;
	}
	assert_non_null(busy);
	assert_true(nr > PER / 512 / 2);
	while (nr)
		__free_pages(page[--nr], 9);
	drain_all_pages();
	for (u64 pfn = base; pfn < base + PER; pfn += 512)
		n[get_pfnblock_migratetype(pfn)]++;
	assert_true(n[MIGRATE_UNMOVABLE] && n[MIGRATE_RECLAIMABLE]);
	assert_int_equal(n[MIGRATE_HIGHATOMIC], 1);
	shoot(&s);
	assert_int_equal(s.zone[0][ZONE_NORMAL].highatomic, 512);
	assert_int_equal(offline_pages(base, 2 * PER), -EBUSY);
	assert_unchanged(&s);
	__free_pages(busy, 9);
	assert_int_equal(offline_pages(base, 2 * PER), 0);
	assert_int_equal(zone_of(0, ZONE_NORMAL)->nr_reserved_highatomic, 0);
}

static void test_offline_boot_memory(void **state)
{
	struct shot s;

	(void)state;
	boot_room(GiB, 1);
	shoot(&s);
	/* The first has holes, the last the boot's own tables. */
	assert_int_equal(offline_pages(0, PER), -EINVAL);
	assert_true(pm_logged("it has holes, or two zones"));
	assert_int_equal(offline_pages(7 * PER, PER), -EBUSY);
	assert_true(pm_logged("is reserved"));
	assert_unchanged(&s);
	assert_int_equal(offline_pages(3 * PER, 2 * PER), 0);
	phys_check();
	assert_int_equal(remove_memory(3 * BLOCK, 2 * BLOCK), 0);
	phys_check();
	assert_false(memblock_is_memory(3 * BLOCK));
	/* Its descriptors have a place already. */
	assert_int_equal(phys_sys.hotplug.nr_frames, 0);
	assert_int_equal(add_online(0, 3 * BLOCK, BLOCK, MMOP_ONLINE), 0);
	assert_int_equal(phys_sys.hotplug.nr_frames, 0);
	assert_int_equal(add_online(0, 4 * BLOCK, BLOCK, MMOP_ONLINE), 0);
	assert_unchanged(&s);
}

/* A machine so large that descriptors fill whole sections. */
static void test_offline_reserved_section(void **state)
{
	u64 nr;

	(void)state;
	boot_room(40 * GiB, 1);
	for (nr = 0; nr < phys_sys.nr_sections; nr++)
		if (phys_sys.sections[nr].state == SECTION_RESERVED)
			break;
	assert_true(nr < phys_sys.nr_sections);
	assert_int_equal(offline_pages(nr * PER, PER), -EBUSY);
	assert_true(pm_logged("boot reserved all of it"));
	phys_check();
}

/*
 * Free frames are filled and not mapped: a block goes and comes back all the
 * same, and what somebody wrote to a free frame is told when it goes.
 */
static void test_offline_debug(void **state)
{
	struct mm_debug_params d = {.poison = true, .debug_pagealloc = true};
	struct phys_boot_params p = {
		.map = &map, .max_possible = 16 * GiB, .debug = &d};
	u64 base = PFN_DOWN(4 * GiB);

	(void)state;
	for (int round = 0; round < 2; round++) {
		struct page *page;

		pm_hardware(1, NULL, 1);
		pm_map(&map, 256 * MiB);
		assert_int_equal(phys_boot_memory(&p), 0);
		assert_int_equal(add_online(0, 4 * GiB, BLOCK, MMOP_ONLINE), 0);
		for (int i = 0; i < 2; i++) {
			page = alloc_pages(GFP_KERNEL, 3);
			assert_true(page_to_pfn(page) >= base);
			__free_pages(page, 3);
			if (!d.debug_pagealloc && i)
				((u8 *)page_view(page))[77] = 1;
			assert_int_equal(offline_pages(base, PER), 0);
			assert_int_equal(pm_logged("pagealloc: single bit") ||
						 pm_logged("memory corruption"),
					 !d.debug_pagealloc && i);
			assert_int_equal(online_pages(base, PER, MMOP_ONLINE),
					 0);
			phys_check();
		}
		pm_shutdown();
		d.debug_pagealloc = false;
	}
	boot_room(256 * MiB, 1);
}

static void test_memmap_on_memory(void **state)
{
	u64 base = PFN_DOWN(4 * GiB), usable = PER - section_self_frames();
	struct page *page;
	u64 free;

	(void)state;
	boot_room(512 * MiB, 1);
	usable = PER - section_self_frames();
	free = nr_free_pages();
	fail_arm_nth(FAIL_MASK(FAIL_PAGE_ALLOC), 1, true);
	assert_int_equal(
		add_memory(0, 4 * GiB, 2 * BLOCK, MHP_MEMMAP_ON_MEMORY), 0);
	assert_int_equal(fail_disarm().calls, 0);
	assert_int_equal(nr_free_pages(), free);
	assert_int_equal(online_pages(base, 2 * PER, MMOP_ONLINE_MOVABLE), 0);
	phys_check();
	assert_int_equal(zone_of(0, ZONE_MOVABLE)->present_pages, 2 * PER);
	assert_int_equal(zone_of(0, ZONE_MOVABLE)->managed_pages, 2 * usable);
	assert_int_equal(zone_of(0, ZONE_MOVABLE)->nr_free_pages, 2 * usable);
	assert_true(PageReserved(pfn_to_page(base)));
	page = alloc_pages(GFP_HIGHUSER_MOVABLE, 9);
	assert_ptr_equal(page_zone(page), zone_of(0, ZONE_MOVABLE));
	assert_int_equal(offline_pages(base, 2 * PER), -EBUSY);
	phys_check();
	__free_pages(page, 9);
	assert_int_equal(offline_pages(base, 2 * PER), 0);
	phys_check();
	assert_int_equal(remove_memory(4 * GiB, 2 * BLOCK), 0);
	assert_false(section_nr(FIRST_NR)->flags & SECTION_MAP_SELF);
	phys_check();
}

/* ---- failures
 * ------------------------------------------------------------------------------
 */

/* Add and online a new node and zone, with what is armed. */
static int add_node_armed(u64 nth, bool keep, u64 *calls)
{
	int err;

	fail_arm_nth(FAIL_MASK(FAIL_PAGE_ALLOC), nth, keep);
	err = add_memory(5, 8 * GiB, 2 * BLOCK, MHP_NONE);
	if (!err)
		err = online_pages(PFN_DOWN(8 * GiB), 2 * PER, MMOP_ONLINE);
	*calls = fail_disarm().calls;
	return err;
}

/* Every allocation fails once, and from there on. */
static void test_fail_each(void **state)
{
	int failed = 0;

	(void)state;
	for (u64 nth = 1;; nth++) {
		struct shot before;
		u64 calls = 0;
		int err;

		boot_room(512 * MiB, 2);
		shoot(&before);
		err = add_node_armed(nth, true, &calls);
		if (!err && calls < nth) {
			teardown(NULL);
			break;
		}
		assert_int_equal(err, -ENOMEM);
		failed++;
		if (memory_block_state(PFN_DOWN(8 * GiB)) == -ENOENT) {
			assert_sizes_unchanged(&before);
			assert_null(NODE_DATA(5));
		} else {
			/* Adding went well, going online did not. */
			assert_int_equal(zone_of(5, ZONE_NORMAL)->zone_id, 0);
			assert_int_equal(remove_memory(8 * GiB, 2 * BLOCK), 0);
			phys_check();
		}
		/* And now it works. */
		assert_int_equal(add_online(5, 8 * GiB, 2 * BLOCK, MMOP_ONLINE),
				 0);
		phys_check();
		teardown(NULL);
	}
	assert_true(failed > 10);
	boot_room(512 * MiB, 1);
}

/* One failure in the middle is made up for by smaller pieces. */
static void test_fail_once(void **state)
{
	u64 calls = 0, made_up = 0;

	(void)state;
	boot_room(512 * MiB, 1);
	for (u64 nth = 1;; nth++) {
		struct shot before;
		int err;

		shoot(&before);
		fail_arm_nth(FAIL_MASK(FAIL_PAGE_ALLOC), nth, false);
		err = add_memory(0, 8 * GiB, BLOCK, MHP_NONE);
		calls = fail_disarm().calls;
		assert_int_equal(err, 0);
		made_up += calls >= nth;
		assert_int_equal(remove_memory(8 * GiB, BLOCK), 0);
		assert_sizes_unchanged(&before);
		if (calls < nth)
			break;
	}
	assert_true(made_up >= 5);
}

/* The world has no memory for it. */
static void test_fail_port(void **state)
{
	struct rlimit old, none;
	struct shot s;
	int err;

	(void)state;
	boot_room(512 * MiB, 1);
	shoot(&s);
	assert_int_equal(getrlimit(RLIMIT_DATA, &old), 0);
	none = old;
	none.rlim_cur = PAGE_SIZE; /* 0 would mean none */
	assert_int_equal(setrlimit(RLIMIT_DATA, &none), 0);
	err = add_memory(5, 8 * GiB, BLOCK, MHP_NONE);
	assert_int_equal(setrlimit(RLIMIT_DATA, &old), 0);
	assert_int_equal(err, -ENOMEM);
	assert_true(pm_logged("cannot add"));
	assert_sizes_unchanged(&s);
	assert_null(NODE_DATA(5));
	assert_int_equal(add_memory(5, 8 * GiB, BLOCK, MHP_NONE), 0);
}

/* memblock's tables do not grow at run time: refused, nothing changed. */
static void test_fail_tables(void **state)
{
	struct phys_boot_params p = {.map = &map, .max_possible = 64 * GiB};
	int err = 0;

	(void)state;
	pm_hardware(1, NULL, 1);
	pm_map(&map, 512 * MiB);
	assert_int_equal(phys_boot_memory(&p), 0);
	for (u64 at = 4 * GiB; !err && at < 64 * GiB; at += 2 * BLOCK) {
		struct shot s;

		shoot(&s);
		err = add_memory(0, at, BLOCK, MHP_MEMMAP_ON_MEMORY);
		if (err)
			assert_unchanged(&s);
	}
	assert_int_equal(err, -ENOMEM);
}

/* ---- notifiers
 * ----------------------------------------------------------------------------
 */

struct told {
	struct memory_notifier nb;
	int seen[64], nr;
	int veto_at, err; /* answer ERR to this action */
	struct memory_notify last;
};

static int told_call(struct memory_notifier *nb, enum memory_action action,
		     const struct memory_notify *arg)
{
	struct told *t = container_of(nb, struct told, nb);

	t->seen[t->nr++ % 64] = action;
	t->last = *arg;
	return (int)action == t->veto_at ? t->err : 0;
}

static void test_notifiers(void **state)
{
	struct told a = {.nb = {.call = told_call, .priority = 1}};
	struct told b = {.nb = {.call = told_call, .priority = 2}};
	u64 base = PFN_DOWN(8 * GiB);
	struct shot s;

	(void)state;
	boot_room(512 * MiB, 1);
	register_memory_notifier(&a.nb);
	register_memory_notifier(&b.nb);
	assert_int_equal(add_memory(1, 8 * GiB, 2 * BLOCK, 0), 0);
	assert_int_equal(a.nr, 0);
	/* The first veto ends the asking; all are told of the end. */
	b.veto_at = MEM_GOING_ONLINE;
	b.err = -EPERM;
	shoot(&s);
	assert_int_equal(online_pages(base, PER, MMOP_ONLINE), -EPERM);
	assert_unchanged(&s);
	assert_int_equal(zone_of(1, ZONE_NORMAL)->zone_id, 0);
	assert_int_equal(b.nr, 2);
	assert_int_equal(b.seen[1], MEM_CANCEL_ONLINE);
	assert_int_equal(a.nr, 1);
	assert_int_equal(a.seen[0], MEM_CANCEL_ONLINE);
	b.veto_at = 0;
	assert_int_equal(online_pages(base, PER, MMOP_ONLINE), 0);
	assert_int_equal(a.seen[1], MEM_GOING_ONLINE);
	assert_int_equal(a.seen[2], MEM_ONLINE);
	assert_int_equal(a.last.status_change_nid, 1);
	assert_int_equal(a.last.start_pfn, base);
	assert_int_equal(a.last.nr_pages, PER);
	assert_int_equal(online_pages(base + PER, PER, MMOP_ONLINE), 0);
	assert_int_equal(a.last.status_change_nid, NUMA_NO_NODE);
	/* Down. What is said after the fact changes nothing. */
	a.nr = 0;
	a.veto_at = MEM_GOING_OFFLINE;
	a.err = -EBUSY;
	shoot(&s);
	assert_int_equal(offline_pages(base, 2 * PER), -EBUSY);
	assert_unchanged(&s);
	assert_int_equal(a.seen[0], MEM_GOING_OFFLINE);
	assert_int_equal(a.seen[1], MEM_CANCEL_OFFLINE);
	a.veto_at = MEM_OFFLINE;
	assert_int_equal(offline_pages(base, 2 * PER), 0);
	assert_int_equal(a.seen[3], MEM_OFFLINE);
	assert_int_equal(a.last.status_change_nid, 1);
	unregister_memory_notifier(&b.nb);
	b.nr = 0;
	assert_int_equal(online_pages(base, PER, MMOP_ONLINE), 0);
	assert_int_equal(b.nr, 0);
	unregister_memory_notifier(&a.nb);
}

/* ---- anything, against a model
 * ------------------------------------------------------------- */

#define HELD 256

struct random_run {
	struct hotplug_model model;
	struct prng rnd;
	struct page *held[HELD];
	u64 nr_held;
	u64 done[4], refused;
};

static void run_alloc(struct random_run *r)
{
	gfp_t gfp = prng_one_in(&r->rnd, 2) ? GFP_HIGHUSER_MOVABLE : GFP_KERNEL;
	unsigned int order = (unsigned int)prng_below(&r->rnd, MAX_ORDER);
	int nid = (int)prng_below(&r->rnd, 4);

	if (r->nr_held == HELD)
		return;
	if (!NODE_DATA(nid))
		nid = -1;
	r->held[r->nr_held] = __alloc_pages(gfp | __GFP_NOWARN, order, nid);
	if (r->held[r->nr_held]) {
		mm_verify(
			hm_online(&r->model.block[page_to_pfn(
							  r->held[r->nr_held]) /
						  PER]) ||
			page_to_pfn(r->held[r->nr_held]) < 8 * PER);
		r->nr_held++;
	}
}

static void run_free(struct random_run *r)
{
	u64 i;

	if (!r->nr_held)
		return;
	i = prng_below(&r->rnd, r->nr_held);
	put_page(r->held[i]);
	r->held[i] = r->held[--r->nr_held];
}

static void run_add(struct random_run *r, int nr)
{
	struct hm_block *b = &r->model.block[nr];
	/* Nodes have stripes of four blocks, so that they interleave. */
	int nid = nr / 4 % 3;
	bool self = prng_one_in(&r->rnd, 3);
	int err = add_memory(nid, HM_ADDR(nr), BLOCK,
			     self ? MHP_MEMMAP_ON_MEMORY : MHP_NONE);

	if (b->state != HM_ABSENT) {
		mm_verify(err == -EEXIST);
	} else if (!err) {
		*b = (struct hm_block){
			.state = HM_OFFLINE, .nid = nid, .self = self};
		r->done[0]++;
	} else {
		mm_verify(err == -ENOMEM && !self);
	}
}

static void run_online(struct random_run *r, int nr)
{
	struct hm_block *b = &r->model.block[nr];
	bool movable = prng_one_in(&r->rnd, 2);
	int err = online_pages(HM_PFN(nr), PER,
			       movable ? MMOP_ONLINE_MOVABLE
				       : MMOP_ONLINE_KERNEL);

	if (b->state != HM_OFFLINE) {
		mm_verify(err == -EINVAL);
	} else if (!err) {
		b->state = movable ? HM_MOVABLE : HM_KERNEL;
		r->done[1]++;
	} else {
		/* Zones would overlap, or no memory for a new zone. */
		mm_verify(err == -EINVAL || err == -ENOMEM);
		r->refused++;
	}
}

/* Does somebody hold a frame of block NR? */
static bool run_in_use(const struct random_run *r, int nr)
{
	for (u64 i = 0; i < r->nr_held; i++)
		if (page_to_pfn(r->held[i]) / PER == (u64)nr)
			return true;
	for (u64 pfn = HM_PFN(nr); pfn < HM_PFN(nr + 1); pfn++)
		if (pfn_valid(pfn) && PageReserved(pfn_to_page(pfn)) &&
		    (!r->model.block[nr].self ||
		     pfn - HM_PFN(nr) >= section_self_frames()))
			return true;
	return false;
}

static void run_offline(struct random_run *r, int nr)
{
	struct hm_block *b = &r->model.block[nr];
	bool in_use = run_in_use(r, nr);
	int err = offline_pages(HM_PFN(nr), PER);

	if (!hm_online(b)) {
		mm_verify(err == -EINVAL);
	} else if (in_use) {
		mm_verify(err == -EBUSY);
		r->refused++;
	} else {
		mm_verify(err == 0);
		b->state = HM_OFFLINE;
		r->done[2]++;
	}
}

static void run_remove(struct random_run *r, int nr)
{
	struct hm_block *b = &r->model.block[nr];
	int err = remove_memory(HM_ADDR(nr), BLOCK);

	if (b->state == HM_ABSENT) {
		mm_verify(err == -EINVAL);
	} else if (b->state != HM_OFFLINE) {
		mm_verify(err == -EBUSY);
	} else {
		mm_verify(err == 0);
		*b = (struct hm_block){0};
		r->done[3]++;
	}
}

static void run_step(struct random_run *r)
{
	/* Blocks 32 .. 47, and now and then one in the hole below 4 GiB. */
	int nr = (int)(prng_one_in(&r->rnd, 6)
			       ? 10 + prng_below(&r->rnd, 4)
			       : FIRST_NR + prng_below(&r->rnd, 16));

	switch (prng_below(&r->rnd, 4)) {
	case 0:
		run_add(r, nr);
		break;
	case 1:
		run_online(r, nr);
		break;
	case 2:
		run_offline(r, nr);
		break;
	default:
		run_remove(r, nr);
		break;
	}
	for (u64 n = prng_below(&r->rnd, 6); n > 0; n--) {
		if (prng_one_in(&r->rnd, 2))
			run_alloc(r);
		else
			run_free(r);
	}
}

static int random_main(void *arg)
{
	struct random_run *r = arg;
	u64 steps = pm_env("ITERS", 300);

	r->model.boot_managed = totalram_pages();
	r->model.boot_present = NODE_DATA(0)->node_present_pages;
	for (u64 i = 0; i < steps; i++) {
		run_step(r);
		hm_compare(&r->model);
		phys_check();
	}
	while (r->nr_held)
		put_page(r->held[--r->nr_held]);
	for (int nr = 0; nr < HM_BLOCKS; nr++) {
		if (hm_online(&r->model.block[nr]))
			run_offline(r, nr);
	}
	hm_compare(&r->model);
	phys_check();
	return 0;
}

static void test_random(void **state)
{
	static struct random_run r;
	u64 seed = pm_env("SEED", 1), runs = pm_env("SOAK", 0) ? 50 : 3;
	u64 done[4] = {0}, refused = 0;

	(void)state;
	print_message("SEED=%lu\n", seed);
	for (u64 i = 0; i < runs; i++) {
		memset(&r, 0, sizeof(r));
		prng_seed(&r.rnd, seed + i);
		boot_room(GiB, 3);
		assert_int_equal(sim_run(random_main, &r), 0);
		for (int k = 0; k < 4; k++)
			done[k] += r.done[k];
		refused += r.refused;
		if (i + 1 < runs)
			pm_shutdown();
	}
	for (int k = 0; k < 4; k++)
		assert_true(done[k] > 0);
	assert_true(refused > 0);
}

#define T(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_add_refused),
		T(test_add_over_firmware),
		T(test_add_online),
		T(test_min_free_kept),
		T(test_below_4g),
		T(test_movable),
		T(test_new_node),
		T(test_memoryless_node),
		T(test_near_memory),
		T(test_near_large),
		T(test_offline),
		T(test_offline_undone_types),
		T(test_offline_undone_first),
		T(test_offline_boot_memory),
		T(test_offline_reserved_section),
		T(test_offline_debug),
		T(test_memmap_on_memory),
		T(test_fail_each),
		T(test_fail_once),
		T(test_fail_port),
		T(test_fail_tables),
		T(test_notifiers),
		T(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
