/* SPDX-License-Identifier: MIT */
/*
 * zones_show.c - files that go through zones: buddyinfo, pagetypeinfo,
 * zoneinfo; and vmstat, the sum over all of them.
 *
 * Sections whose descriptors are not made yet count as free blocks of the
 * highest order, movable: that is what they become when first needed.
 */
#include "cache/filemap.h"
#include "phys/alloc.h"
#include "phys/phys.h"
#include "policy/policy.h"
#include "report/report.h"

/* Is ZONE shown? Those of the machine's layout are, populated or not. */
static bool zone_shown(const struct zone *zone)
{
	return layout_has_zone(phys_sys.layout, zone->idx);
}

/*
 * Linux's 64-bit machines have a zone Device after the others, for memory of
 * devices. Nothing brings such memory here: it is shown as the empty zone that
 * it is on most machines, so that readers find all their rows and columns.
 */
static bool device_shown(void)
{
	return !layout_has_zone(phys_sys.layout, ZONE_HIGHMEM);
}

static void put_zone(struct seq_buf *out, const struct zone *zone)
{
	seq_printf(out, "Node %d, zone %8s", zone_to_nid(zone), zone->name);
}

/* ---- /proc/buddyinfo --------------------------------------------------- */

void show_buddyinfo(struct seq_buf *out)
{
	struct zone *zone;

	for_each_populated_zone (zone) {
		mm_assert(zone_shown(zone));
		put_zone(out, zone);
		seq_putc(out, ' ');
		for (unsigned int order = 0; order < MAX_ORDER; order++)
			seq_printf(out, "%6llu ",
				   LLU(zone_nr_free_blocks(zone, order, -1)));
		seq_putc(out, '\n');
	}
}

/* ---- /proc/pagetypeinfo ------------------------------------------------ */

static void put_free_of_type(struct seq_buf *out, const struct zone *zone,
			     int mt)
{
	mm_assert(mt >= 0 && mt < MIGRATE_TYPES);
	seq_printf(out, "Node %4d, zone %8s, type %12s ", zone_to_nid(zone),
		   zone->name, migratetype_names[mt]);
	for (unsigned int order = 0; order < MAX_ORDER; order++)
		seq_printf(out, "%6llu ",
			   LLU(zone_nr_free_blocks(zone, order, mt)));
	seq_putc(out, '\n');
}

/* The number of the zone that PFN's descriptor names or will; 0: none. */
static u8 pfn_zone_id(u64 pfn)
{
	if (pfn_valid(pfn))
		return page_zone_id(pfn_to_page(pfn));
	if (pfn_deferred(pfn))
		return phys_sys.sections[pfn >> PFN_SECTION_SHIFT].zone_id;
	return 0;
}

static void put_block_counts(struct seq_buf *out, const struct zone *zone)
{
	u64 counts[MIGRATE_TYPES] = {0};
	u64 first = ALIGN_DOWN(zone->zone_start_pfn, pageblock_nr_pages);

	mm_assert(populated_zone(zone));
	for (u64 pfn = first; pfn < zone_end_pfn(zone);
	     pfn += pageblock_nr_pages) {
		/* A zone that begins inside a block: look at its own frame. */
		u64 at = max(pfn, zone->zone_start_pfn);

		if (pfn_zone_id(at) == zone->zone_id)
			counts[get_pfnblock_migratetype(at)]++;
	}
	put_zone(out, zone);
	seq_putc(out, ' ');
	for (int mt = 0; mt < MIGRATE_TYPES; mt++)
		seq_printf(out, "%12llu ", LLU(counts[mt]));
	seq_putc(out, '\n');
}

static void put_node_pagetypes(struct seq_buf *out, pg_data_t *pgdat)
{
	seq_printf(out, "Page block order: %u\n", pageblock_order);
	seq_printf(out, "Pages per block:  %lu\n\n", pageblock_nr_pages);
	seq_printf(out, "%-43s ",
		   "Free pages count per migrate type at order ");
	for (int order = 0; order < MAX_ORDER; order++)
		seq_printf(out, "%6d ", order);
	seq_putc(out, '\n');
	for (int zt = 0; zt < MAX_NR_ZONES; zt++)
		for (int mt = 0; mt < MIGRATE_TYPES; mt++)
			if (populated_zone(&pgdat->node_zones[zt]))
				put_free_of_type(out, &pgdat->node_zones[zt],
						 mt);
	seq_printf(out, "\n%-23s", "Number of blocks type ");
	for (int mt = 0; mt < MIGRATE_TYPES; mt++)
		seq_printf(out, "%12s ", migratetype_names[mt]);
	seq_putc(out, '\n');
	for (int zt = 0; zt < MAX_NR_ZONES; zt++)
		if (populated_zone(&pgdat->node_zones[zt]))
			put_block_counts(out, &pgdat->node_zones[zt]);
}

void show_pagetypeinfo(struct seq_buf *out)
{
	pg_data_t *pgdat;

	for (pgdat = first_online_pgdat(); pgdat;
	     pgdat = next_online_pgdat(pgdat))
		put_node_pagetypes(out, pgdat);
}

/* ---- /proc/zoneinfo ---------------------------------------------------- */

static void put_stat(struct seq_buf *out, const char *name, u64 value)
{
	mm_assert(name != NULL);
	seq_printf(out, "\n      %-12s %llu", name, LLU(value));
}

static bool first_populated(const struct zone *zone)
{
	const struct zone *z = zone->zone_pgdat->node_zones;

	while (z < zone && !populated_zone(z))
		z++;
	mm_assert(z <= zone);
	return z == zone && populated_zone(z);
}

static void put_node_stats(struct seq_buf *out, const pg_data_t *pgdat)
{
	seq_puts(out, "\n  per-node stats");
	for (int i = 0; i < NR_VM_NODE_STAT_ITEMS; i++)
		if (vmstat_node_name(i))
			put_stat(out, vmstat_node_name(i),
				 node_page_state(pgdat, i));
}

static void put_zone_pages(struct seq_buf *out, const struct zone *zone)
{
	seq_printf(out, "\n  pages free     %llu",
		   LLU(zone_page_state(zone, NR_FREE_PAGES)));
	seq_printf(out, "\n        boost    %llu",
		   LLU(READ_ONCE(zone->watermark_boost)));
	seq_printf(out, "\n        min      %llu", LLU(min_wmark_pages(zone)));
	seq_printf(out, "\n        low      %llu", LLU(low_wmark_pages(zone)));
	seq_printf(out, "\n        high     %llu", LLU(high_wmark_pages(zone)));
	seq_printf(out, "\n        spanned  %llu", LLU(zone->spanned_pages));
	seq_printf(out, "\n        present  %llu", LLU(zone->present_pages));
	seq_printf(out, "\n        managed  %llu",
		   LLU(zone_managed_pages(zone)));
	seq_printf(out, "\n        cma      %llu", LLU(zone->cma_pages));
}

/* What ZONE (NULL: Device) keeps from requests for each zone above it. */
static void put_protection(struct seq_buf *out, const struct zone *zone)
{
	const char *sep = "";
	u64 kept = 0;

	mm_assert(!zone || zone_shown(zone));
	seq_puts(out, "\n        protection: (");
	for (int zt = 0; zt < MAX_NR_ZONES; zt++) {
		if (!layout_has_zone(phys_sys.layout, zt))
			continue;
		kept = zone ? READ_ONCE(zone->lowmem_reserve[zt]) : 0;
		seq_printf(out, "%s%llu", sep, LLU(kept));
		sep = ", ";
	}
	/* Device is above Movable and, empty, adds nothing to it. */
	if (device_shown())
		seq_printf(out, "%s%llu", sep, LLU(kept));
	seq_putc(out, ')');
}

/* Counters need no threshold here: readings are exact. */
static void put_pagesets(struct seq_buf *out, const struct zone *zone)
{
	seq_puts(out, "\n  pagesets");
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
		const struct per_cpu_pages *pcp = &zone->pageset[cpu];

		mm_assert(pcp->zone == zone);
		seq_printf(out, "\n    cpu: %i", cpu);
		seq_printf(out, "\n              count: %i", pcp_count(pcp));
		seq_printf(out, "\n              high:  %i",
			   READ_ONCE(pcp->high));
		seq_printf(out, "\n              batch: %i",
			   READ_ONCE(pcp->batch));
		seq_printf(out, "\n  vm stats threshold: %d", 0);
	}
}

static void put_zone_details(struct seq_buf *out, const struct zone *zone)
{
	bool hopeless = READ_ONCE(zone->zone_pgdat->kswapd_failures) >=
			MAX_RECLAIM_RETRIES;

	mm_assert(zone->pageset != NULL && zone->per_cpu_zonestats != NULL);
	mm_assert_le(zone_managed_pages(zone), zone->present_pages);
	for (int i = 0; i < NR_VM_ZONE_STAT_ITEMS; i++)
		if (vmstat_zone_name(i))
			put_stat(out, vmstat_zone_name(i),
				 zone_page_state(zone, i));
	put_pagesets(out, zone);
	seq_printf(out, "\n  node_unreclaimable:  %u", hopeless ? 1u : 0u);
	seq_printf(out, "\n  start_pfn:           %llu",
		   LLU(zone->zone_start_pfn));
}

/* The rows of node NID's zone Device. */
static void put_device(struct seq_buf *out, int nid)
{
	static const char *const rows[] = {
		"\n  pages free     ", "\n        boost    ",
		"\n        min      ", "\n        low      ",
		"\n        high     ", "\n        spanned  ",
		"\n        present  ", "\n        managed  ",
		"\n        cma      "};

	mm_assert(device_shown());
	seq_printf(out, "Node %d, zone %8s", nid, "Device");
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		seq_printf(out, "%s0", rows[i]);
	put_protection(out, NULL);
	seq_putc(out, '\n');
}

void show_zoneinfo(struct seq_buf *out)
{
	struct zone *zone;

	for_each_zone (zone) {
		if (!zone_shown(zone))
			continue;
		put_zone(out, zone);
		if (first_populated(zone))
			put_node_stats(out, zone->zone_pgdat);
		put_zone_pages(out, zone);
		put_protection(out, zone);
		if (populated_zone(zone))
			put_zone_details(out, zone);
		seq_putc(out, '\n');
		if (zone->idx == ZONE_MOVABLE && device_shown())
			put_device(out, zone_to_nid(zone));
	}
}
/* ---- /proc/vmstat ------------------------------------------------------ */

static void put_vmstat(struct seq_buf *out, const char *name, u64 value)
{
	if (name)
		seq_printf(out, "%s %llu\n", name, LLU(value));
}

/* The events of a zone Device, after those of zone Movable. */
static void put_device_event(struct seq_buf *out, int item)
{
	const char *name = NULL;

	if (item == PGALLOC_MOVABLE)
		name = "pgalloc_device";
	else if (item == ALLOCSTALL_MOVABLE)
		name = "allocstall_device";
	else if (item == PGSCAN_SKIP_MOVABLE)
		name = "pgskip_device";
	if (device_shown())
		put_vmstat(out, name, 0);
}

void show_vmstat(struct seq_buf *out)
{
	u64 background, dirty;

	for (int i = 0; i < NR_VM_ZONE_STAT_ITEMS; i++)
		put_vmstat(out, vmstat_zone_name(i), global_zone_page_state(i));
	for (int i = 0; i < NR_VM_NODE_STAT_ITEMS; i++)
		put_vmstat(out, vmstat_node_name(i), global_node_page_state(i));
	global_dirty_limits(&background, &dirty);
	put_vmstat(out, "nr_dirty_threshold", dirty);
	put_vmstat(out, "nr_dirty_background_threshold", background);
	for (int i = 0; i < NR_VM_EVENT_ITEMS; i++) {
		put_vmstat(out, vmstat_event_name(i),
			   sum_vm_event((enum vm_event_item)i));
		put_device_event(out, i);
	}
	put_vmstat(out, "nr_unstable", 0);
}
