/* SPDX-License-Identifier: MIT */
/*
 * zones.c - nodes, zones and the order in which they are tried.
 *
 * 1. Purpose. From memblock's regions with their nodes to pg_data_t, zones
 *    and zone lists; the questions about them (NODE_DATA, next_zone, ...).
 *
 * 2. Structures. One pg_data_t for each node that has RAM or a CPU, allocated
 *    from the nearest memory. Zones are cut by address as the machine's layout
 *    says (layout.c); the upper end of a node may be zone MOVABLE (movable.c).
 *    Zones without frames exist, empty, so that indices mean the same
 *    everywhere. A populated zone has a number (zone_id, from 1) that every
 *    descriptor of it carries.
 *
 *    A node without RAM has empty zones, and zone lists that lead elsewhere. A
 *    CPU there is of that node (numa_node_id) and takes memory from the
 *    nearest that has some (numa_mem_id): NUMA_HIT there, and NUMA_OTHER.
 *
 * 3. Invariants.
 *    ZN-1  spanned >= present >= managed for every zone.
 *    ZN-2  Zones of one node do not overlap; those of different nodes may
 *          (interleaved nodes), so a frame's zone is what its descriptor says.
 *    ZN-3  A node's fallback list has every populated zone once, its own
 *          first, then by distance; within a node from high to low. Nodes at
 *          one distance take turns in being the first. A zone that has lost
 *          its frames stays in the lists.
 *
 * 4. Locking. Built at boot by one CPU. What memory that comes or goes changes
 *    later stands in hotplug_zone.c.
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
#include "base/seqbuf.h"
#include "phys/phys.h"

static const char *const zone_names[MAX_NR_ZONES] = {
#ifdef MM_ONLY_NORMAL
	"Normal",
#else
	"DMA", "DMA32", "Normal", "HighMem", "Movable",
#endif
};

/* ---- questions
 * ------------------------------------------------------------------ */

const char *zone_type_name(enum zone_type type)
{
	mm_assert(type < MAX_NR_ZONES);
	return zone_names[type];
}

pg_data_t *node_data(int nid)
{
	if (nid < 0 || nid >= MM_MAX_NODES)
		return NULL;
	return smp_load_acquire(&phys_sys.node[nid]);
}

static pg_data_t *node_from(int nid)
{
	for (; nid < MM_MAX_NODES; nid++) {
		pg_data_t *pgdat = smp_load_acquire(&phys_sys.node[nid]);

		if (pgdat)
			return pgdat;
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
	return READ_ONCE(phys_sys.nr_nodes);
}

int node_distance(int from, int to)
{
	mm_verify(from >= 0 && from < MM_MAX_NODES);
	mm_verify(to >= 0 && to < MM_MAX_NODES);
	return phys_sys.distance[from][to];
}

int nr_memory_nodes(void)
{
	return READ_ONCE(phys_sys.nr_memory_nodes);
}

int numa_node_id(void)
{
	return phys_sys.cpu_node[port_cpu()];
}

int numa_mem_id(void)
{
	return READ_ONCE(phys_sys.cpu_mem_node[port_cpu()]);
}

u64 totalhigh_pages(void)
{
	u64 low = PFN_DOWN(layout_low_end(phys_sys.layout)), sum = 0;
	struct zone *zone;

	for_each_populated_zone (zone) {
		if (zone->zone_start_pfn >= low)
			sum += zone_managed_pages(zone);
	}
	return sum;
}

struct zonelist *node_zonelist(int nid, gfp_t gfp)
{
	int which =
		gfp & __GFP_THISNODE ? ZONELIST_NOFALLBACK : ZONELIST_FALLBACK;

	mm_verify(node_data(nid) != NULL);
	return smp_load_acquire(&phys_sys.node[nid]->node_zonelists[which]);
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

u64 node_present_in(int nid, u64 lo, u64 hi)
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

/* The frames [*LO, *HI) of node PGDAT that are for its zone of type ZT. */
static void node_zone_range(const pg_data_t *pgdat, int zt, u64 *lo, u64 *hi)
{
	u64 movable = phys_sys.movable_start[pgdat->node_id];

	if (zt == ZONE_MOVABLE) {
		*lo = movable;
		*hi = movable ? pgdat_end_pfn(pgdat) : 0;
		return;
	}
	layout_zone_range(phys_sys.layout, zt, phys_sys.hot.max_pfn, lo, hi);
	*lo = max(*lo, pgdat->node_start_pfn);
	*hi = min(*hi, movable ? movable : pgdat_end_pfn(pgdat));
}

void node_setup(pg_data_t *pgdat, int nid)
{
	pgdat->node_id = nid;
	init_waitqueue_head(&pgdat->kswapd_wait);
	init_waitqueue_head(&pgdat->pfmemalloc_wait);
	init_waitqueue_head(&pgdat->reclaim_wait);
	lruvec_init(&pgdat->lruvec, pgdat, NULL);
	for (int zt = 0; zt < MAX_NR_ZONES; zt++) {
		struct zone *zone = &pgdat->node_zones[zt];

		zone->name = zone_names[zt];
		zone->idx = (u8)zt;
		zone->zone_pgdat = pgdat;
		zone_init_free_lists(zone);
	}
}

void zone_number(struct zone *zone)
{
	u32 id = ++phys_sys.nr_zone_ids;

	mm_verify(id < PHYS_MAX_ZONES && zone->pageset);
	phys_sys.hot.zone_of[id] = zone;
	phys_sys.hot.zone_idx_of[id] = zone->idx;
	phys_sys.hot.nid_of[id] = (u8)zone_to_nid(zone);
	pcp_init(zone);
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
		phys_sys.pcp_of[cpu][id] = &zone->pageset[cpu];
	smp_store_release(&zone->zone_id, (u8)id);
}

/* What a zone that has frames needs besides: per-CPU parts and a number. */
static int zone_populate(struct zone *zone)
{
	int cpus = port_nr_cpus(), nid = zone_to_nid(zone);

	zone->pageset =
		memblock_alloc_node(sizeof(*zone->pageset) * (u64)cpus, 0, nid);
	zone->per_cpu_zonestats = memblock_alloc_node(
		sizeof(*zone->per_cpu_zonestats) * (u64)cpus, 0, nid);
	if (!zone->pageset || !zone->per_cpu_zonestats)
		return -ENOMEM;
	if (phys_sys.nr_zone_ids + 1 >= PHYS_MAX_ZONES) {
		pr_err("NUMA: more than %d zones", PHYS_MAX_ZONES - 1);
		return -EINVAL;
	}
	zone_number(zone);
	zone->zone_pgdat->nr_zones = zone->idx + 1;
	return 0;
}

static int zone_init(pg_data_t *pgdat, int zt)
{
	struct zone *zone = &pgdat->node_zones[zt];
	u64 lo, hi;

	node_zone_range(pgdat, zt, &lo, &hi);
	if (lo >= hi)
		return 0;
	zone->present_pages = node_present_in(pgdat->node_id, lo, hi);
	if (!zone->present_pages)
		return 0;
	zone->zone_start_pfn = lo;
	zone->spanned_pages = hi - lo;
	zone->contiguous = zone->spanned_pages == zone->present_pages;
	return zone_populate(zone);
}

static void print_node(int nid, u64 start, u64 end)
{
	if (start == end)
		pr_info("Initmem setup node %d as memoryless", nid);
	else
		pr_info("Initmem setup node %d [mem 0x%016llx-0x%016llx]", nid,
			(unsigned long long)PFN_PHYS(start),
			(unsigned long long)PFN_PHYS(end) - 1);
}

/* Node NID with RAM in [START, END) (equal: none) and its zones. */
static int node_init(int nid, u64 start, u64 end)
{
	pg_data_t *pgdat = memblock_alloc_node(sizeof(*pgdat), 0, nid);

	if (!pgdat)
		return -ENOMEM;
	node_setup(pgdat, nid);
	pgdat->node_start_pfn = start;
	pgdat->node_spanned_pages = end - start;
	pgdat->node_present_pages = node_present_in(nid, start, end);
	pgdat->per_cpu_nodestats = memblock_alloc_node(
		sizeof(*pgdat->per_cpu_nodestats) * (u64)port_nr_cpus(), 0,
		nid);
	if (!pgdat->per_cpu_nodestats)
		return -ENOMEM;
	phys_sys.node[nid] = pgdat;
	phys_sys.nr_nodes++;
	phys_sys.nr_memory_nodes += start != end;
	print_node(nid, start, end);
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
	for (int zt = 0; zt < ZONE_MOVABLE; zt++) {
		u64 lo, hi;

		if (!layout_has_zone(phys_sys.layout, zt))
			continue;
		layout_zone_range(phys_sys.layout, zt, phys_sys.hot.max_pfn,
				  &lo, &hi);
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
	for (int nid = 0; nid < MM_MAX_NODES; nid++) {
		u64 pfn = phys_sys.movable_start[nid];

		if (pfn)
			pr_info("  Node %d: 0x%016llx", nid,
				(unsigned long long)PFN_PHYS(pfn));
	}
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

/* Does the machine have node NID although it has no RAM there? */
static bool node_without_ram(const struct phys_boot_params *p, int nid)
{
	if (p->distances && nid < p->nr_distances)
		return true;
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
		if (port_cpu_node(cpu) == nid)
			return true;
	}
	return false;
}

static void no_fast_places(int cpu)
{
	struct per_cpu_pages *none = &phys_sys.pcp_none;

	for (u32 bits = 0; bits < GFP_PLACES; bits++)
		phys_sys.pcp_fast[cpu][bits] =
			(struct pcp_place){none, none->lists};
}

/* CPUs that run at boot. */
static int nr_boot_cpus(void)
{
	return phys_sys.late_cpus ? 1 : port_nr_cpus();
}

/*
 * Nobody has a set yet: all fast paths end at a lock that is taken. Rows of
 * CPUs that the machine does not have, or that come late, stay untouched:
 * nobody reads them, and they would be most of what a small process has
 * resident.
 */
static void no_fast_sets(void)
{
	phys_sys.pcp_none.lock.word = 1;
	for (int cpu = 0; cpu < nr_boot_cpus(); cpu++)
		no_fast_places(cpu);
	if (!phys_sys.late_cpus)
		no_fast_places(MM_NR_CPUS);
	for (int cpu = 0; cpu <= MM_NR_CPUS; cpu++)
		for (u32 id = 0; id < PHYS_MAX_ZONES; id++)
			phys_sys.pcp_of[cpu][id] = &phys_sys.pcp_none;
}

int zones_init(const struct phys_boot_params *p)
{
	no_fast_sets();
	print_zone_ranges();
	print_early_nodes();
	for (int nid = 0; nid < MM_MAX_NODES; nid++) {
		u64 start = 0, end = 0;
		int err;

		if (!node_range(nid, &start, &end) && !node_without_ram(p, nid))
			continue;
		err = node_init(nid, start, end);
		if (err)
			return err;
	}
	mm_verify(phys_sys.nr_memory_nodes > 0);
	numa_place_cpus();
	return 0;
}

/* ---- zone lists
 * ---------------------------------------------------------------------------
 */

static void zonelist_add_node(struct zonelist *zl, pg_data_t *pgdat)
{
	for (int zt = MAX_NR_ZONES - 1; zt >= 0; zt--) {
		struct zone *zone = &pgdat->node_zones[zt];

		if (!zone_has_sets(zone))
			continue;
		mm_verify(zl->nr < phys_sys.nr_zone_ids);
		zl->_zonerefs[zl->nr++] = (struct zoneref){zone, zt};
	}
	zl->_zonerefs[zl->nr] = (struct zoneref){NULL, 0};
}

/* Has PGDAT, or had it once, memory of its own? */
static bool node_has_zones(const pg_data_t *pgdat)
{
	for (int zt = 0; zt < MAX_NR_ZONES; zt++) {
		if (zone_has_sets(&pgdat->node_zones[zt]))
			return true;
	}
	return false;
}

/*
 * The node with memory that is nearest to FROM and not in USED. Of several at
 * one distance the one that was preferred to its equals least often before
 * (LOAD), so that overflowing nodes do not all go to one; then the next number
 * upwards.
 */
static pg_data_t *next_best_node(int from, const u64 *used, const u32 *load)
{
	pg_data_t *best = NULL;

	for (int step = 0; step < MM_MAX_NODES; step++) {
		int nid = (from + step) % MM_MAX_NODES;
		pg_data_t *pgdat = phys_sys.node[nid];
		int near;

		if (!pgdat || !node_has_zones(pgdat) ||
		    test_bit((u64)nid, used))
			continue;
		if (!best) {
			best = pgdat;
			continue;
		}
		near = node_distance(from, best->node_id) -
		       node_distance(from, nid);
		if (near > 0 || (!near && load[nid] < load[best->node_id]))
			best = pgdat;
	}
	return best;
}

static struct zonelist *zonelist_alloc(int nid)
{
	u64 nr = phys_sys.nr_zone_ids + 1;

	return memblock_alloc_node(
		sizeof(struct zonelist) + nr * sizeof(struct zoneref), 0, nid);
}

/* "Fallback order for Node 0: 0 1", as far as one line takes it. */
static void print_fallback_order(const struct zonelist *zl,
				 const pg_data_t *pgdat)
{
	int last = NUMA_NO_NODE;
	struct seq_buf s;
	char line[256];

	seq_buf_init(&s, line, sizeof(line));
	/* A node without memory is first in its own order all the same. */
	if (!pgdat->node_present_pages)
		seq_printf(&s, "%d ", pgdat->node_id);
	for (const struct zoneref *z = zl->_zonerefs; z->zone; z++) {
		if (zone_to_nid(z->zone) != last)
			seq_printf(&s, "%d ", zone_to_nid(z->zone));
		last = zone_to_nid(z->zone);
	}
	pr_info("Fallback order for Node %d: %s", pgdat->node_id,
		seq_buf_str(&s));
}

static int distance_to(int nid, const pg_data_t *pgdat)
{
	return pgdat ? node_distance(nid, pgdat->node_id) : -1;
}

/* Fill ZL, the fallback list of node NID. LOAD counts over all nodes. */
static void order_by_distance(struct zonelist *zl, int nid, u32 *load)
{
	u64 used[BITS_TO_LONGS(MM_MAX_NODES)] = {0};
	pg_data_t *pgdat = next_best_node(nid, used, load), *next;
	int last = -1;

	for (; pgdat; pgdat = next) {
		int distance = distance_to(nid, pgdat);

		set_bit((u64)pgdat->node_id, used);
		zonelist_add_node(zl, pgdat);
		next = next_best_node(nid, used, load);
		if (distance != last && distance_to(nid, next) == distance)
			load[pgdat->node_id]++;
		last = distance;
	}
}

void zonelists_fill(pg_data_t *pgdat, struct zonelist *all,
		    struct zonelist *own, u32 *load)
{
	mm_assert(all->nr == 0 && own->nr == 0);
	order_by_distance(all, pgdat->node_id, load);
	zonelist_add_node(own, pgdat);
	mm_assert_eq(all->nr, phys_sys.nr_zone_ids);
	print_fallback_order(all, pgdat);
}

static int build_zonelists(pg_data_t *pgdat, u32 *load)
{
	struct zonelist *all = zonelist_alloc(pgdat->node_id);
	struct zonelist *own = zonelist_alloc(pgdat->node_id);

	if (!all || !own)
		return -ENOMEM;
	zonelists_fill(pgdat, all, own, load);
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
	index = (unsigned int)request_migratetype(bits);
	pcp = &z->zone->pageset[cpu];
	phys_sys.pcp_fast[cpu][bits] =
		(struct pcp_place){pcp, &pcp->lists[index]};
}

static void build_fast_places(void)
{
	for (int cpu = 0; cpu < nr_boot_cpus(); cpu++) {
		for (u32 bits = 0; bits < GFP_PLACES; bits++)
			build_fast_place(cpu, bits);
	}
}

void phys_start_cpu(void)
{
	mm_assert(phys_sys.late_cpus && port_cpu() > 0);
	no_fast_places(port_cpu());
	refresh_fast_places();
}

void refresh_fast_places(void)
{
	unsigned long flags = port_irq_save();
	int cpu = port_cpu();

	WRITE_ONCE(phys_sys.places_seen[cpu],
		   smp_load_acquire(&phys_sys.places_due));
	for (u32 bits = 0; bits < GFP_PLACES; bits++)
		build_fast_place(cpu, bits);
	port_irq_restore(flags);
}

/*
 * Also decides whether pageblocks have types of their own: with fewer
 * pageblocks than types, grouping would only shut requests out.
 */
int build_all_zonelists(void)
{
	u64 total = memblock_phys_mem_size() >> PAGE_SHIFT;
	u32 load[MM_MAX_NODES] = {0};
	pg_data_t *pgdat;

	for_each_online_pgdat(pgdat)
	{
		int err = build_zonelists(pgdat, load);

		if (err)
			return err;
	}
	if (total < pageblock_nr_pages * MIGRATE_TYPES)
		phys_sys.group_by_mobility_off = true;
	build_fast_places();
	pr_info("Built %d zonelists, mobility grouping %s.  Total pages: %llu",
		phys_sys.nr_nodes,
		phys_sys.group_by_mobility_off ? "off" : "on",
		(unsigned long long)total);
	return 0;
}
