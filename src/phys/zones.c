/* SPDX-License-Identifier: MIT */
/*
 * zones.c - nodes, zones and the order in which they are tried.
 *
 * 1. Purpose. From memblock's regions with their nodes to pg_data_t, zones
 *    and zone lists; the questions about them (NODE_DATA, next_zone, ...).
 *
 * 2. Structures. One pg_data_t for each node that has RAM, allocated from
 *    that node's memory. Zones are cut by address:
 *
 *      0        16 MiB           4 GiB                     end
 *      |  DMA   |     DMA32      |         Normal            |
 *
 *    HIGHMEM has no addresses on 64-bit machines and MOVABLE none until an
 *    option asks for it; both exist as empty zones, so that indices mean the
 *    same everywhere. A populated zone has a number (zone_id, from 1) that
 *    every descriptor of it carries.
 *
 * 3. Invariants.
 *    ZN-1  spanned >= present >= managed for every zone.
 *    ZN-2  Zones of one node do not overlap; those of different nodes may
 *          (interleaved nodes), so a frame's zone is what its descriptor says.
 *    ZN-3  A node's fallback list has every populated zone once, its own
 *          first, then by distance; within a node from high to low.
 *
 * 4. Locking. Built once at boot by one CPU, constant afterwards.
 *
 * 5. Failure. Bad ranges are refused before anything is allocated; a lack of
 *    memory ends the boot.
 *
 * References: M. Gorman, "Understanding the Linux Virtual Memory Manager",
 * chapter 2; Linux documentation, mm/physical_memory.
 */
#include <mmkit/errno.h>

#include "base/bitops.h"
#include "base/printk.h"
#include "base/string.h"
#include "phys/phys.h"

static const char *const zone_names[MAX_NR_ZONES] = {"DMA", "DMA32", "Normal",
						     "HighMem", "Movable"};

#define MAX_DMA_PFN   (16UL << (20 - PAGE_SHIFT))
#define MAX_DMA32_PFN (1UL << (32 - PAGE_SHIFT))

/* The frames [*LO, *HI) that zone type ZT may have; empty for two of them. */
static void zone_limits(int zt, u64 *lo, u64 *hi)
{
	u64 end = phys_sys.hot.max_pfn;

	*lo = *hi = 0;
	if (zt == ZONE_DMA) {
		*hi = min(MAX_DMA_PFN, end);
	} else if (zt == ZONE_DMA32) {
		*lo = min(MAX_DMA_PFN, end);
		*hi = min(MAX_DMA32_PFN, end);
	} else if (zt == ZONE_NORMAL) {
		*lo = min(MAX_DMA32_PFN, end);
		*hi = end;
	}
}

/* ---- questions
 * ------------------------------------------------------------------ */

pg_data_t *node_data(int nid)
{
	if (nid < 0 || nid >= MM_MAX_NODES)
		return NULL;
	return phys_sys.node[nid];
}

static pg_data_t *node_from(int nid)
{
	for (; nid < MM_MAX_NODES; nid++) {
		if (phys_sys.node[nid])
			return phys_sys.node[nid];
	}
	return NULL;
}

pg_data_t *first_online_pgdat(void)
{
	return node_from(0);
}

pg_data_t *next_online_pgdat(const pg_data_t *pgdat)
{
	return node_from(pgdat->node_id + 1);
}

struct zone *next_zone(struct zone *zone)
{
	pg_data_t *pgdat = zone->zone_pgdat;

	if (zone < &pgdat->node_zones[MAX_NR_ZONES - 1])
		return zone + 1;
	pgdat = next_online_pgdat(pgdat);
	return pgdat ? pgdat->node_zones : NULL;
}

int nr_online_nodes(void)
{
	return phys_sys.nr_nodes;
}

int node_distance(int from, int to)
{
	mm_verify(from >= 0 && from < MM_MAX_NODES);
	mm_verify(to >= 0 && to < MM_MAX_NODES);
	return phys_sys.distance[from][to];
}

int numa_node_id(void)
{
	return phys_sys.cpu_node[port_cpu()];
}

struct zonelist *node_zonelist(int nid, gfp_t gfp)
{
	int which =
		gfp & __GFP_THISNODE ? ZONELIST_NOFALLBACK : ZONELIST_FALLBACK;

	mm_verify(node_data(nid) != NULL);
	return phys_sys.node[nid]->node_zonelists[which];
}

struct zone *zone_at(int nid, u64 pfn)
{
	pg_data_t *pgdat = node_data(nid);

	for (int zt = 0; pgdat && zt < MAX_NR_ZONES; zt++) {
		if (zone_spans_pfn(&pgdat->node_zones[zt], pfn))
			return &pgdat->node_zones[zt];
	}
	return NULL;
}

/* ---- nodes of memblock's regions
 * ---------------------------------------------------- */

static int check_node_range(const struct phys_boot_params *p, int i)
{
	const struct phys_node_range *r = &p->nodes[i];

	if (r->nid < 0 || r->nid >= MM_MAX_NODES) {
		pr_err("NUMA: node number %d is not in 0..%d", r->nid,
		       MM_MAX_NODES - 1);
		return -EINVAL;
	}
	if (r->start >= r->end) {
		pr_err("NUMA: range of node %d is empty", r->nid);
		return -EINVAL;
	}
	for (int j = 0; j < i; j++) {
		const struct phys_node_range *o = &p->nodes[j];

		if (o->nid == r->nid || r->end <= o->start ||
		    o->end <= r->start)
			continue;
		pr_err("NUMA: ranges of nodes %d and %d overlap", o->nid,
		       r->nid);
		return -EINVAL;
	}
	return 0;
}

static int check_distances(const struct phys_boot_params *p)
{
	int n = p->nr_distances;

	if (n < 0 || n > MM_MAX_NODES) {
		pr_err("NUMA: a distance table of %d nodes", n);
		return -EINVAL;
	}
	for (int i = 0; p->distances && i < n * n; i++) {
		bool local = i / n == i % n;
		u8 d = p->distances[i];

		if (d < LOCAL_DISTANCE || (d == LOCAL_DISTANCE) != local) {
			pr_err("NUMA: distance %u from node %d to node %d", d,
			       i / n, i % n);
			return -EINVAL;
		}
	}
	return 0;
}

static void set_distances(const struct phys_boot_params *p)
{
	for (int from = 0; from < MM_MAX_NODES; from++) {
		for (int to = 0; to < MM_MAX_NODES; to++) {
			u8 d = from == to ? LOCAL_DISTANCE : REMOTE_DISTANCE;

			if (p->distances && from < p->nr_distances &&
			    to < p->nr_distances)
				d = p->distances[from * p->nr_distances + to];
			phys_sys.distance[from][to] = d;
		}
	}
}

int zones_set_nodes(const struct phys_boot_params *p)
{
	const struct memblock_type *t = memblock_memory_table();
	int err = check_distances(p);

	for (int i = 0; !err && p->nodes && i < p->nr_nodes; i++)
		err = check_node_range(p, i);
	if (err)
		return err;
	set_distances(p);
	for (int i = 0; !err && p->nodes && i < p->nr_nodes; i++) {
		const struct phys_node_range *r = &p->nodes[i];

		err = memblock_set_node(r->start, r->end - r->start, r->nid);
	}
	for (u64 i = 0; !err && i < t->cnt; i++) {
		const struct memblock_region *r = &t->regions[i];
		int nid = p->nodes && p->nr_nodes ? p->nodes[0].nid : 0;

		if (r->nid != NUMA_NO_NODE)
			continue;
		if (p->nodes && p->nr_nodes)
			pr_warn("NUMA: [mem 0x%016llx-0x%016llx] has no node, "
				"taken for node %d",
				(unsigned long long)r->base,
				(unsigned long long)(r->base + r->size - 1),
				nid);
		err = memblock_set_node(r->base, r->size, nid);
		/* Regions may have merged: look from the start again. */
		i = (u64)-1;
	}
	return err;
}

/* ---- nodes and zones
 * ------------------------------------------------------------------- */

/* First and one-past-last frame of NID's RAM; false if it has none. */
static bool node_range(int nid, u64 *start, u64 *end)
{
	struct memblock_iter it;
	bool any = false;

	*end = 0;
	for_each_mem_range (it, nid) {
		if (!any)
			*start = PFN_UP(it.start);
		*end = PFN_DOWN(it.end);
		any = true;
	}
	return any;
}

/* Frames of NID's RAM inside [LO, HI). */
static u64 node_present_in(int nid, u64 lo, u64 hi)
{
	struct memblock_iter it;
	u64 sum = 0;

	for_each_mem_range (it, nid) {
		u64 s = max(PFN_UP(it.start), lo);
		u64 e = min(PFN_DOWN(it.end), hi);

		sum += e > s ? e - s : 0;
	}
	return sum;
}

static int zone_init(pg_data_t *pgdat, int zt)
{
	struct zone *zone = &pgdat->node_zones[zt];
	int cpus = port_nr_cpus();
	u64 lo, hi;

	zone->name = zone_names[zt];
	zone->idx = (u8)zt;
	zone->zone_pgdat = pgdat;
	zone_init_free_lists(zone);
	zone_limits(zt, &lo, &hi);
	lo = max(lo, pgdat->node_start_pfn);
	hi = min(hi, pgdat_end_pfn(pgdat));
	if (lo >= hi)
		return 0;
	zone->present_pages = node_present_in(pgdat->node_id, lo, hi);
	if (!zone->present_pages)
		return 0;
	zone->zone_start_pfn = lo;
	zone->spanned_pages = hi - lo;
	zone->contiguous = zone->spanned_pages == zone->present_pages;
	zone->pageset = memblock_alloc_node(sizeof(*zone->pageset) * cpus, 0,
					    pgdat->node_id);
	zone->per_cpu_zonestats = memblock_alloc_node(
		sizeof(*zone->per_cpu_zonestats) * cpus, 0, pgdat->node_id);
	if (!zone->pageset || !zone->per_cpu_zonestats)
		return -ENOMEM;
	if (phys_sys.nr_zone_ids + 1 >= PHYS_MAX_ZONES) {
		pr_err("NUMA: more than %d zones", PHYS_MAX_ZONES - 1);
		return -EINVAL;
	}
	zone->zone_id = (u8)++phys_sys.nr_zone_ids;
	phys_sys.hot.zone_of[zone->zone_id] = zone;
	phys_sys.hot.zone_idx_of[zone->zone_id] = (u8)zt;
	phys_sys.hot.nid_of[zone->zone_id] = (u8)pgdat->node_id;
	pcp_init(zone);
	for (int cpu = 0; cpu < cpus; cpu++)
		phys_sys.pcp_of[cpu][zone->zone_id] = &zone->pageset[cpu];
	pgdat->nr_zones = zt + 1;
	return 0;
}

static int node_init(int nid, u64 start, u64 end)
{
	pg_data_t *pgdat = memblock_alloc_node(sizeof(*pgdat), 0, nid);

	if (!pgdat)
		return -ENOMEM;
	pgdat->node_id = nid;
	pgdat->node_start_pfn = start;
	pgdat->node_spanned_pages = end - start;
	pgdat->node_present_pages = node_present_in(nid, start, end);
	pgdat->per_cpu_nodestats = memblock_alloc_node(
		sizeof(*pgdat->per_cpu_nodestats) * (u64)port_nr_cpus(), 0,
		nid);
	if (!pgdat->per_cpu_nodestats)
		return -ENOMEM;
	init_waitqueue_head(&pgdat->kswapd_wait);
	init_waitqueue_head(&pgdat->pfmemalloc_wait);
	lruvec_init(&pgdat->lruvec, pgdat);
	phys_sys.node[nid] = pgdat;
	phys_sys.nr_nodes++;
	pr_info("Initmem setup node %d [mem 0x%016llx-0x%016llx]", nid,
		(unsigned long long)PFN_PHYS(start),
		(unsigned long long)PFN_PHYS(end) - 1);
	for (int zt = 0; zt < MAX_NR_ZONES; zt++) {
		int err = zone_init(pgdat, zt);

		if (err)
			return err;
	}
	return 0;
}

static void print_zone_ranges(void)
{
	u64 start = PFN_UP(memblock_start_of_DRAM());

	pr_info("Zone ranges:");
	for (int zt = 0; zt <= ZONE_NORMAL; zt++) {
		u64 lo, hi;

		zone_limits(zt, &lo, &hi);
		lo = max(lo, start);
		if (lo >= hi)
			pr_info("  %-8s empty", zone_names[zt]);
		else
			pr_info("  %-8s [mem 0x%016llx-0x%016llx]",
				zone_names[zt],
				(unsigned long long)PFN_PHYS(lo),
				(unsigned long long)PFN_PHYS(hi) - 1);
	}
	pr_info("Movable zone start for each node");
}

static void print_early_nodes(void)
{
	struct memblock_iter it;

	pr_info("Early memory node ranges");
	for_each_mem_range (it, NUMA_NO_NODE) {
		pr_info("  node %3d: [mem 0x%016llx-0x%016llx]", it.nid,
			(unsigned long long)it.start,
			(unsigned long long)it.end - 1);
	}
}

/* A CPU without memory of its own works from the nearest node. */
static u8 cpu_home_node(int cpu)
{
	int want = port_cpu_node(cpu);
	int best = first_online_pgdat()->node_id;
	pg_data_t *pgdat;

	if (want < 0 || want >= MM_MAX_NODES)
		return (u8)best;
	for_each_online_pgdat(pgdat)
	{
		if (node_distance(want, pgdat->node_id) <
		    node_distance(want, best))
			best = pgdat->node_id;
	}
	return (u8)best;
}

/* Nobody has a set yet: all fast paths end at a lock that is taken. */
static void no_fast_sets(void)
{
	struct per_cpu_pages *none = &phys_sys.pcp_none;

	none->lock.word = 1;
	for (int cpu = 0; cpu <= MM_NR_CPUS; cpu++) {
		for (u32 bits = 0; bits < GFP_PLACES; bits++)
			phys_sys.pcp_fast[cpu][bits] =
				(struct pcp_place){none, none->lists};
		for (u32 id = 0; id < PHYS_MAX_ZONES; id++)
			phys_sys.pcp_of[cpu][id] = none;
	}
}

int zones_init(void)
{
	no_fast_sets();
	print_zone_ranges();
	print_early_nodes();
	for (int nid = 0; nid < MM_MAX_NODES; nid++) {
		u64 start, end;
		int err;

		if (!node_range(nid, &start, &end))
			continue;
		err = node_init(nid, start, end);
		if (err)
			return err;
	}
	mm_verify(phys_sys.nr_nodes > 0);
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
		phys_sys.cpu_node[cpu] = cpu_home_node(cpu);
	return 0;
}

/* ---- zone lists
 * ---------------------------------------------------------------------------
 */

static void zonelist_add_node(struct zonelist *zl, pg_data_t *pgdat)
{
	for (int zt = MAX_NR_ZONES - 1; zt >= 0; zt--) {
		struct zone *zone = &pgdat->node_zones[zt];

		if (!populated_zone(zone))
			continue;
		mm_verify(zl->nr < phys_sys.nr_zone_ids);
		zl->_zonerefs[zl->nr++] = (struct zoneref){zone, zt};
	}
	zl->_zonerefs[zl->nr] = (struct zoneref){NULL, 0};
}

/* The nearest node that USED lacks; ties go to the next number upwards. */
static pg_data_t *next_best_node(int from, const u64 *used)
{
	pg_data_t *best = NULL;

	for (int step = 0; step < MM_MAX_NODES; step++) {
		int nid = (from + step) % MM_MAX_NODES;

		if (!phys_sys.node[nid] || test_bit((u64)nid, used))
			continue;
		if (!best || node_distance(from, nid) <
				     node_distance(from, best->node_id))
			best = phys_sys.node[nid];
	}
	return best;
}

static struct zonelist *zonelist_alloc(int nid)
{
	u64 nr = phys_sys.nr_zone_ids + 1;

	return memblock_alloc_node(
		sizeof(struct zonelist) + nr * sizeof(struct zoneref), 0, nid);
}

static int build_zonelists(pg_data_t *pgdat)
{
	u64 used[BITS_TO_LONGS(MM_MAX_NODES)] = {0};
	struct zonelist *all = zonelist_alloc(pgdat->node_id);
	struct zonelist *own = zonelist_alloc(pgdat->node_id);
	pg_data_t *next;

	if (!all || !own)
		return -ENOMEM;
	while ((next = next_best_node(pgdat->node_id, used))) {
		set_bit((u64)next->node_id, used);
		zonelist_add_node(all, next);
	}
	zonelist_add_node(own, pgdat);
	mm_assert_eq(all->nr, phys_sys.nr_zone_ids);
	pgdat->node_zonelists[ZONELIST_FALLBACK] = all;
	pgdat->node_zonelists[ZONELIST_NOFALLBACK] = own;
	return 0;
}

/*
 * The stack that CPU tries first for requests with the low bits BITS. None
 * for those that may only have frames of their node, whose zone lists differ,
 * and for both mobility bits, which mean nothing together.
 */
static void build_fast_place(int cpu, u32 bits)
{
	struct zonelist *zl = node_zonelist(phys_sys.cpu_node[cpu], 0);
	struct zoneref *z = first_zones_zonelist(zl, gfp_zone(bits));
	unsigned int index = (unsigned int)gfp_migratetype(bits);
	struct per_cpu_pages *pcp;

	if (!z->zone || (bits & __GFP_THISNODE) || index >= MIGRATE_PCPTYPES)
		return;
	pcp = &z->zone->pageset[cpu];
	phys_sys.pcp_fast[cpu][bits] =
		(struct pcp_place){pcp, &pcp->lists[index]};
}

static void build_fast_places(void)
{
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
		for (u32 bits = 0; bits < GFP_PLACES; bits++)
			build_fast_place(cpu, bits);
	}
}

int build_all_zonelists(void)
{
	u64 total = memblock_phys_mem_size() >> PAGE_SHIFT;
	pg_data_t *pgdat;

	for_each_online_pgdat(pgdat)
	{
		int err = build_zonelists(pgdat);

		if (err)
			return err;
	}
	build_fast_places();
	pr_info("Built %d zonelists, mobility grouping on.  Total pages: %llu",
		phys_sys.nr_nodes, (unsigned long long)total);
	return 0;
}
