/* SPDX-License-Identifier: MIT */
/*
 * phys.c - floor 2: its state, its boot in order, its books.
 *
 * phys_boot_memory() is the list of steps; each is a function of the file that
 * owns the matter. Nothing here runs after boot but phys_check() and what gives
 * back memory of the boot.
 */
#include "phys/phys.h"

#include <mmkit/errno.h>

#include "base/printk.h"
#include "base/string.h"

/* Below this many frames nothing useful can run. */
#define MIN_MANAGED_PAGES 64
/* Links between pages are 32-bit frame numbers. */
#define MAX_PFN_LIMIT (1UL << 32)

#define LOW_HOLE_START 0xa0000UL
#define LOW_HOLE_END   0x100000UL

static int boot_error(int err, const char *what)
{
	pr_err("boot: %s", what);
	return err;
}

/* ---- RAM
 * ----------------------------------------------------------------------- */

/* Tunables as Linux has them. */
static void set_tunables(const struct phys_boot_params *p)
{
	struct phys_tunables *t = &phys_sys.tunables;

	t->min_free_kbytes = p->min_free_kbytes;
	t->watermark_scale_factor = 10;
	t->watermark_boost_factor = 15000;
#ifndef MM_ONLY_NORMAL
	t->lowmem_reserve_ratio[ZONE_DMA] = 256;
	t->lowmem_reserve_ratio[ZONE_DMA32] = 256;
#endif
	t->lowmem_reserve_ratio[ZONE_NORMAL] = 32;
	t->min_unmapped_ratio = 1;
	t->min_slab_ratio = 5;
	t->numa_stat = 1;
	t->dirty_ratio = 20;
	t->check_pages = MM_DEBUG >= 1;
	mpol_init();
	spin_lock_init(&phys_sys.wmark_lock, LOCK_CLASS_NONE);
}

/*
 * The first frame is firmware's, whatever its map says. Where there is no room
 * to say so the map stays as it is: boot_ram() leaves the frame out anyway.
 */
static int boot_map_first_frame(struct e820_table *t)
{
	const struct e820_entry *e = &t->entries[0];
	int err;

	if (e->addr || e->type != E820_TYPE_RAM || e->size <= PAGE_SIZE ||
	    t->nr_entries == E820_MAX_ENTRIES)
		return 0;
	pr_info("e820: update [mem 0x%08x-0x%08lx] usable ==> reserved", 0u,
		PAGE_SIZE - 1);
	err = e820_add(t, 0, PAGE_SIZE, E820_TYPE_RESERVED);
	return err ? err : e820_sanitize(t);
}

/* The firmware's map, as printed, and as it is used. */
static int boot_map(const struct phys_boot_params *p)
{
	int err;

	if (!p->map || e820_total_ram(p->map) == 0)
		return boot_error(-EINVAL, "no usable memory in the map");
	/* The tables are long and mostly empty: copy what there is. */
	mm_memcpy(&phys_sys.e820, p->map,
		  offsetof(struct e820_table, entries) +
			  p->map->nr_entries * sizeof(p->map->entries[0]));
	pr_info("BIOS-provided physical RAM map:");
	err = e820_sanitize(&phys_sys.e820);
	if (err == -EINVAL)
		return boot_error(err, "no usable memory in the map");
	if (err)
		return boot_error(err, "the memory map has too many ranges");
	e820_print(&phys_sys.e820, "BIOS-e820");
	return boot_map_first_frame(&phys_sys.e820);
}

static void phys_set_block_order(unsigned int order)
{
	u64 bytes = sizeof(struct page) << order;

	mm_verify(order < MAX_ORDER && bytes < 1UL << 16);
	phys_sys.hot.block_order = order;
	phys_sys.hot.block_magic = ~0UL / bytes + 1;
}

/* The layout as named, and what follows from it at once. */
static int boot_layout(const struct phys_boot_params *p)
{
	const struct phys_layout *l = phys_layout_find(p->arch);

	if (!l) {
		pr_err("boot: no layout of memory is called \"%s\"", p->arch);
		return -EINVAL;
	}
	phys_sys.layout = l;
	phys_set_block_order(l->block_order);
	layout_gfp_zones(l, phys_sys.hot.gfp_zone);
	/* Until the kernel has tables of its own, all RAM is mapped. */
	phys_sys.hot.high_pfn = ~0UL;
	return 0;
}

void phys_set_highmem(const struct highmem_ops *ops, u64 pfn)
{
	mm_assert(ops->map && ops->unmap);
	phys_sys.highmem = ops;
	WRITE_ONCE(phys_sys.hot.high_pfn, pfn);
}

void *page_map_high(struct page *p)
{
	return phys_sys.highmem->map(p);
}

void page_unmap_high(void *view)
{
	phys_sys.highmem->unmap(view);
}

static phys_addr_t ram_limit(void)
{
	return min(phys_sys.layout->limit, PFN_PHYS(MAX_PFN_LIMIT));
}

/* Say what RAM the processor, or this manager, cannot reach. */
static void warn_beyond_limit(void)
{
	phys_addr_t limit = ram_limit();
	u64 lost = 0;

	for (u32 i = 0; i < phys_sys.e820.nr_entries; i++) {
		const struct e820_entry *e = &phys_sys.e820.entries[i];
		phys_addr_t last = e->addr + e->size - 1;

		if (e->type == E820_TYPE_RAM && last >= limit)
			lost += last - max(e->addr, limit) + 1;
	}
	if (lost)
		pr_warn("boot: %lluK of memory above %llu GiB are not used: "
			"%s cannot address them",
			(unsigned long long)lost >> 10,
			(unsigned long long)limit >> 30,
			limit == phys_sys.layout->limit ? phys_sys.layout->name
							: "mmkit");
}

/* Whole frames of a usable range into memblock, and online. */
static int boot_add_range(phys_addr_t start, phys_addr_t end)
{
	int err;

	end = min(end, ram_limit());
	/* Before rounding up, which could wrap at the very end. */
	if (start >= end)
		return 0;
	start = PAGE_ALIGN(start);
	end = PAGE_ALIGN_DOWN(end);
	if (start >= end)
		return 0;
	err = port_ram_online(start, end - start);
	if (err == -ERANGE)
		return boot_error(err, "memory beyond what this world can "
				       "address");
	if (err)
		return boot_error(err, "no room for the machine's memory");
	return memblock_add(start, end - start);
}

static int boot_ram(const struct phys_boot_params *p)
{
	int err = 0;

	memblock_init();
	memblock_set_bottom_up(p->memmap_step != 0);
	memblock_set_current_limit(layout_low_end(phys_sys.layout));
	warn_beyond_limit();
	for (u32 i = 0; !err && i < phys_sys.e820.nr_entries; i++) {
		const struct e820_entry *e = &phys_sys.e820.entries[i];

		phys_addr_t end = e->addr + e->size;

		/* A range up to the end of the address space. */
		if (end < e->addr)
			end = ~(phys_addr_t)0;
		if (e->type == E820_TYPE_RAM)
			err = boot_add_range(e->addr, end);
	}
	/* Frame 0 means "none"; adaptors and firmware live below 1 MiB. */
	if (!err)
		err = memblock_remove(0, PAGE_SIZE);
	if (!err)
		err = memblock_remove(LOW_HOLE_START,
				      LOW_HOLE_END - LOW_HOLE_START);
	if (err)
		return err;
	if (memblock_phys_mem_size() == 0)
		return boot_error(-EINVAL, "no usable memory: less than one "
					   "whole frame outside the low "
					   "megabyte's holes");
	phys_sys.hot.max_pfn = PFN_DOWN(memblock_end_of_DRAM());
	phys_sys.max_possible_pfn =
		ALIGN(PFN_DOWN(min(p->max_possible, PFN_PHYS(MAX_PFN_LIMIT))),
		      PAGES_PER_SECTION);
	memblock_allow_resize();
	return 0;
}

/* What was loaded before us is not ours. */
static int boot_reserve(const struct phys_boot_params *p)
{
	int err = 0;

	if (p->kernel_size)
		err = memblock_reserve(p->kernel_start, p->kernel_size);
	if (!err && p->initrd_size)
		err = memblock_reserve(p->initrd_start, p->initrd_size);
	if (err)
		return boot_error(err, "too many reserved ranges");
	return 0;
}

/* ---- the log's summary
 * ------------------------------------------------------------ */

static unsigned long long kb(u64 pages)
{
	return (unsigned long long)pages << (PAGE_SHIFT - 10);
}

static u64 memmap_pages(void)
{
	u64 descriptors = 0;

	for (u64 i = 0; i < phys_sys.nr_sections; i++) {
		const struct mem_section *sec = &phys_sys.sections[i];

		if (sec->state != SECTION_ABSENT)
			descriptors += (u64)sec->end - sec->first;
	}
	return PFN_UP(descriptors * sizeof(struct page));
}

static void print_memory_line(const struct phys_boot_params *p)
{
	u64 present = memblock_phys_mem_size() >> PAGE_SHIFT;
	u64 managed = totalram_pages();

	char highmem[40] = "";

	if (layout_has_zone(phys_sys.layout, ZONE_HIGHMEM))
		(void)mm_snprintf(highmem, sizeof(highmem), ", %lluK highmem",
				  kb(totalhigh_pages()));
	pr_info("Memory: %lluK/%lluK available (%lluK kernel code, %lluK "
		"memmap, %lluK reserved, %lluK cma-reserved%s)",
		kb(nr_free_pages()), kb(present),
		(unsigned long long)p->kernel_size >> 10, kb(memmap_pages()),
		kb(present - managed), kb(totalcma_pages()), highmem);
}

/* ---- boot
 * -----------------------------------------------------------------------------
 */

/* RAM that the manager's tables may lie in: mapped, and not to be taken out. */
static u64 kernel_pages(void)
{
	u64 low = PFN_DOWN(layout_low_end(phys_sys.layout)), sum = 0;
	struct memblock_iter it;

	for_each_mem_range (it, NUMA_NO_NODE) {
		u64 s = PFN_UP(it.start), e = min(PFN_DOWN(it.end), low);

		if (s < e && !(it.flags & MEMBLOCK_HOTPLUG))
			sum += e - s;
	}
	return sum;
}

/* -ENOMEM of a step is said in clear. */
static int tables_result(int err)
{
	if (err == -ENOMEM)
		pr_err("boot: %lluK of memory, %lluK of it in reach of the "
		       "kernel, are too little for the manager's tables",
		       kb(memblock_phys_mem_size() >> PAGE_SHIFT),
		       kb(kernel_pages()));
	return err;
}

static int boot_tables(void)
{
	int err = build_all_zonelists();

	if (!err)
		err = memmap_reserve();
	if (!err)
		err = page_ext_setup();
	return tables_result(err);
}

static int boot_steps(const struct phys_boot_params *p)
{
	int err = boot_layout(p);

	if (!err)
		err = boot_map(p);
	if (!err)
		err = boot_ram(p);
	if (!err)
		err = boot_reserve(p);
	if (!err)
		err = zones_set_nodes(p);
	if (!err)
		err = movable_init(p);
	if (!err)
		err = tables_result(zones_init(p));
	/* Before the tables, which would cut large holes up. */
	if (!err)
		err = cma_boot_declare(p->cma, p->nr_cma);
	if (!err)
		err = boot_tables();
	return err;
}

int phys_boot_memory(const struct phys_boot_params *params)
{
	int err;

	mm_verify(!phys_sys.booted);
	mm_verify(params->memmap_step <= MAX_ORDER_NR_PAGES &&
		  !(params->memmap_step & (params->memmap_step - 1)));
	phys_sys.group_by_mobility_off = params->no_mobility_grouping;
	mm_verify(params->pcp_batch <= 256u);
	phys_sys.memmap_step = params->memmap_step;
	phys_sys.pcp_batch = params->pcp_batch;
	phys_sys.late_cpus = params->late_cpus;
	phys_sys.memmap_apart = params->memmap_apart;
	set_tunables(params);
	hotplug_init();
	page_wait_init();
	lru_init(params->late_cpus ? 0 : port_nr_cpus());
	cma_init();
	err = page_debug_setup(params->debug);
	if (!err)
		err = boot_steps(params);
	if (err)
		return err;
	memmap_init();
	page_ext_init_clients();
	memmap_free_all();
	cma_init_reserved_areas();
	if (totalram_pages() < MIN_MANAGED_PAGES)
		return boot_error(-ENOMEM, "too little memory");
	init_per_zone_wmark_min();
	print_memory_line(params);
	/* A table could only grow into memory that is given out. */
	memblock_set_growable(false);
	phys_sys.booted = true;
	return 0;
}

/* ---- afterwards
 * ------------------------------------------------------------------------ */

/* Frame PFN, reserved since boot, becomes free memory. */
static void free_boot_frame(u64 pfn)
{
	struct page *page = pfn_to_online_page(pfn);
	struct zone *zone;

	if (!page) {
		mm_warn_on_once(!page);
		return;
	}
	mm_verify(PageReserved(page) && page_count(page) == 1);
	zone = page_zone(page);
	ClearPageReserved(page);
	__atomic_fetch_add(&zone->managed_pages, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&phys_sys.totalram_pages, 1, __ATOMIC_RELAXED);
	__free_page(page);
}

void memblock_free_late(phys_addr_t base, phys_addr_t size)
{
	u64 end = PFN_DOWN(base + size);

	mm_verify(phys_sys.booted && base + size >= base);
	for (u64 pfn = PFN_UP(base); pfn < end; pfn++)
		free_boot_frame(pfn);
}

/* ---- the books
 * -------------------------------------------------------------------------- */

static void check_node(pg_data_t *pgdat)
{
	u64 present = 0;

	for (int zt = 0; zt < MAX_NR_ZONES; zt++) {
		struct zone *zone = &pgdat->node_zones[zt];

		mm_verify(zone->zone_pgdat == pgdat && zone->idx == zt);
		present += zone->present_pages;
		if (!populated_zone(zone))
			continue;
		buddy_check(zone);
		pcp_check(zone);
		mm_verify(zone_page_state(zone, NR_FREE_PAGES) <=
			  zone_managed_pages(zone));
	}
	mm_verify(present == pgdat->node_present_pages);
	lru_check(&pgdat->lruvec);
}

/* Sections in state DEFERRED are what the zones count, and one that grows is
 * valid up to where its zone goes on. */
static void check_sections(void)
{
	struct zone *zone;
	u64 counted = 0, found = 0, growing = 0;

	for (u64 i = 0; i < phys_sys.nr_sections; i++) {
		found += phys_sys.sections[i].state == SECTION_DEFERRED;
		growing += phys_sys.sections[i].state == SECTION_GROWING;
	}
	for_each_zone (zone) {
		counted += zone->nr_deferred;
		if (zone->raw_next == zone->raw_end)
			continue;
		growing--;
		mm_verify(zone->raw_next < zone->raw_end);
		mm_verify(pfn_valid(zone->raw_next - 1));
		mm_verify(pfn_deferred(zone->raw_next));
		mm_verify(pfn_deferred(zone->raw_end - 1));
	}
	mm_verify(counted == found && !growing);
}

void phys_check(void)
{
	pg_data_t *pgdat;

	mm_verify(phys_sys.booted);
	memblock_check();
	check_sections();
	cma_check();
	for_each_online_pgdat(pgdat) check_node(pgdat);
	hotplug_check();
}
