/* SPDX-License-Identifier: MIT */
/*
 * hotplug_zone.c - zones and nodes that grow and shrink.
 *
 * 1. Purpose. Which zone gets frames that come online, what a zone or node
 *    needs for its first frame, and sizes and spans that stay true.
 *
 * 2. Invariants (hotplug_check).
 *    HZ-1  A zone's present_pages are the frames of its sections that are not
 *          offline; its span and its node's span cover them.
 *    HZ-2  Zones of one node do not overlap (ZN-2): what would make them is
 *          refused.
 *    HZ-3  A zone that had a frame once keeps its number, its per-CPU sets and
 *          counters and its place in the zone lists; a node that was made
 *          stays. So who holds a pointer to one of them holds it for ever.
 *
 * 3. Zone lists are read without locks, by requests that may sleep in between
 *    for as long as reclaim takes: no grace period short of that would do. So
 *    a new list is built beside the old one and published by one store, and
 *    the old one is never freed. HZ-3 bounds what that costs: lists change
 *    only when a zone gets its first frame, at most once per zone, and a list
 *    for all zones is about a frame.
 *
 * 4. Locking. The hotplug lock for everything; the zone lock as well for a
 *    zone's span and sizes, so that who holds it sees them agree.
 *
 * 5. Failure. All memory is taken before anything is changed (zone_parts).
 *
 * 6. Rejected. Rebuilding lists in place: an entry is two words, and a reader
 *    between them would try a zone that the request may not use. Counting
 *    readers: two atomic additions for every refill of a per-CPU list.
 */
#include <mmkit/errno.h>

#include "base/printk.h"
#include "phys/phys.h"

/* ---- which zone
 * --------------------------------------------------------------- */

/* The kernel's zone for frames [PFN, END), or -1 if they have two. */
static int kernel_zone_type(u64 pfn, u64 end)
{
	for (int zt = 0; zt < ZONE_MOVABLE; zt++) {
		u64 lo, hi;

		layout_zone_range(phys_sys.layout, zt, ~0UL, &lo, &hi);
		if (pfn >= lo && end <= hi)
			return zt;
	}
	return -1;
}

static bool spans_overlap(const struct zone *zone, u64 pfn, u64 end)
{
	return populated_zone(zone) && pfn < zone_end_pfn(zone) &&
	       zone->zone_start_pfn < end;
}

/* The zone of ZONE's node that ZONE would overlap with [PFN, END), or NULL. */
static const struct zone *zone_in_way(const struct zone *zone, u64 pfn, u64 end)
{
	const pg_data_t *pgdat = zone->zone_pgdat;

	if (populated_zone(zone)) {
		pfn = min(pfn, zone->zone_start_pfn);
		end = max(end, zone_end_pfn(zone));
	}
	for (int zt = 0; zt < MAX_NR_ZONES; zt++) {
		const struct zone *other = &pgdat->node_zones[zt];

		if (other != zone && spans_overlap(other, pfn, end))
			return other;
	}
	return NULL;
}

/*
 * MMOP_ONLINE: MOVABLE if the frames lie inside its span, or if the kernel's
 * zone cannot have them without an overlap and MOVABLE can; else the kernel's.
 */
static struct zone *auto_zone(struct zone *kernel, struct zone *movable,
			      u64 pfn, u64 end)
{
	if (spans_overlap(movable, pfn, end) &&
	    !spans_overlap(kernel, pfn, end))
		return movable;
	if (zone_in_way(kernel, pfn, end) && !zone_in_way(movable, pfn, end))
		return movable;
	return kernel;
}

struct zone *zone_for_online(int nid, u64 pfn, u64 end, enum mmop type)
{
	pg_data_t *pgdat = node_data(nid);
	int zt = kernel_zone_type(pfn, end);
	struct zone *zone, *movable;
	const struct zone *other;

	mm_verify(pgdat != NULL);
	if (zt < 0) {
		pr_err("hotplug: [pfn %llx-%llx) lies in two zones",
		       (unsigned long long)pfn, (unsigned long long)end);
		return NULL;
	}
	zone = &pgdat->node_zones[zt];
	if (MAX_NR_ZONES == 1)
		return type == MMOP_ONLINE_MOVABLE ? NULL : zone;
	movable = &pgdat->node_zones[ZONE_MOVABLE];
	if (type == MMOP_ONLINE_MOVABLE)
		zone = movable;
	else if (type == MMOP_ONLINE)
		zone = auto_zone(zone, movable, pfn, end);
	other = zone_in_way(zone, pfn, end);
	if (other) {
		pr_err("hotplug: [pfn %llx-%llx) cannot be in zone %s of node "
		       "%d: it would overlap zone %s",
		       (unsigned long long)pfn, (unsigned long long)end,
		       zone->name, nid, other->name);
		return NULL;
	}
	return zone;
}

/* ---- what a first frame needs
 * ------------------------------------------------------ */

static u64 sets_bytes(const struct zone_parts *parts)
{
	return sizeof(*parts->pageset) * (u64)port_nr_cpus();
}

static u64 stats_bytes(const struct zone_parts *parts)
{
	return sizeof(*parts->stats) * (u64)port_nr_cpus();
}

/* Empty lists of node NID with room for all zones there are and MORE. */
static struct zonelist_pair *pair_alloc(int nid, u64 more)
{
	u64 list = sizeof(struct zonelist) +
		   (phys_sys.nr_zone_ids + more + 1) * sizeof(struct zoneref);
	u64 bytes = sizeof(struct zonelist_pair) + MAX_ZONELISTS * list;
	struct zonelist_pair *pair = hotplug_alloc(bytes, nid);

	if (!pair)
		return NULL;
	pair->bytes = bytes;
	for (u64 i = 0; i < MAX_ZONELISTS; i++)
		pair->list[i] =
			(struct zonelist *)((u8 *)(pair + 1) + i * list);
	return pair;
}

static void pairs_free(struct zonelist_pair *pair)
{
	while (pair) {
		struct zonelist_pair *next = pair->next;

		hotplug_free(pair, pair->bytes);
		pair = next;
	}
}

int zone_parts_alloc(struct zone_parts *parts, struct zone *zone)
{
	int nid = zone_to_nid(zone);
	pg_data_t *pgdat;

	*parts = (struct zone_parts){0};
	if (zone_has_sets(zone))
		return 0;
	if (phys_sys.nr_zone_ids + 1 >= PHYS_MAX_ZONES) {
		pr_err("hotplug: more than %d zones", PHYS_MAX_ZONES - 1);
		return -ENOMEM;
	}
	parts->zone = zone;
	parts->pageset = hotplug_alloc(sets_bytes(parts), nid);
	parts->stats = hotplug_alloc(stats_bytes(parts), nid);
	if (!parts->pageset || !parts->stats)
		goto fail;
	for_each_online_pgdat(pgdat)
	{
		struct zonelist_pair *pair = pair_alloc(pgdat->node_id, 1);

		if (!pair)
			goto fail;
		pair->next = parts->pairs;
		parts->pairs = pair;
	}
	return 0;
fail:
	zone_parts_free(parts);
	return -ENOMEM;
}

void zone_parts_free(struct zone_parts *parts)
{
	if (parts->pageset)
		hotplug_free(parts->pageset, sets_bytes(parts));
	if (parts->stats)
		hotplug_free(parts->stats, stats_bytes(parts));
	pairs_free(parts->pairs);
	*parts = (struct zone_parts){0};
}

void zone_parts_use(struct zone_parts *parts)
{
	struct zone *zone = parts->zone;

	if (!zone)
		return;
	mm_verify(!zone_has_sets(zone));
	zone->pageset = parts->pageset;
	zone->per_cpu_zonestats = parts->stats;
	zone_number(zone);
}

/* ---- zone lists
 * --------------------------------------------------------------- */

/* New lists for PGDAT, in PAIR, in place of those it has. */
static void pair_publish(pg_data_t *pgdat, struct zonelist_pair *pair,
			 u32 *load)
{
	zonelists_fill(pgdat, pair->list[ZONELIST_FALLBACK],
		       pair->list[ZONELIST_NOFALLBACK], load);
	for (int i = 0; i < MAX_ZONELISTS; i++)
		smp_store_release(&pgdat->node_zonelists[i], pair->list[i]);
	pair->next = phys_sys.hotplug.pairs;
	phys_sys.hotplug.pairs = pair;
}

void zone_lists_publish(struct zone_parts *parts)
{
	u32 load[MM_MAX_NODES] = {0};
	pg_data_t *pgdat;

	if (!parts->zone)
		return;
	for_each_online_pgdat(pgdat)
	{
		struct zonelist_pair *pair = parts->pairs;

		mm_verify(pair != NULL);
		parts->pairs = pair->next;
		pair_publish(pgdat, pair, load);
	}
	mm_assert(!parts->pairs);
	/* Each CPU follows when its fast path next fails: now, if it is dry. */
	__atomic_fetch_add(&phys_sys.places_due, 1, __ATOMIC_RELEASE);
	refresh_fast_places();
	drain_all_pages();
}

/* ---- spans and sizes
 * ---------------------------------------------------------- */

/*
 * The part of RAM [*PFN, *END) of one section, of ZONE's node, that is ZONE's
 * and not offline; false: none.
 */
static bool clip_to_zone(const struct zone *zone, u64 *pfn, u64 *end)
{
	const struct mem_section *sec = section_nr(*pfn >> PFN_SECTION_SHIFT);

	mm_verify(sec != NULL);
	if (section_state(sec) == SECTION_ABSENT ||
	    section_state(sec) == SECTION_OFFLINE)
		return false;
	if (sec->zone_id)
		return sec->zone_id == zone->zone_id;
	/* Boot found parts of it reserved, or of two zones. */
	*pfn = max(*pfn, zone->zone_start_pfn);
	*end = min(*end, zone_end_pfn(zone));
	return *pfn < *end && pfn_to_page(*pfn)->zone_id == zone->zone_id;
}

u64 zone_count(const struct zone *zone, u64 *first, u64 *end)
{
	struct memblock_iter it;
	u64 sum = 0;

	*first = *end = 0;
	for_each_mem_range (it, zone_to_nid(zone)) {
		u64 pfn = PFN_UP(it.start), stop = PFN_DOWN(it.end), next;

		for (; pfn < stop; pfn = next) {
			u64 s = pfn, e;

			next = ALIGN(pfn + 1, PAGES_PER_SECTION);
			e = min(next, stop);
			if (!clip_to_zone(zone, &s, &e))
				continue;
			*first = sum ? *first : s;
			*end = e;
			sum += e - s;
		}
	}
	return sum;
}

static void zone_set_span(struct zone *zone, u64 pfn, u64 end, u64 present)
{
	unsigned long flags;

	spin_lock_irqsave(&zone->lock, flags);
	WRITE_ONCE(zone->zone_start_pfn, pfn);
	WRITE_ONCE(zone->spanned_pages, end - pfn);
	WRITE_ONCE(zone->contiguous, present == end - pfn);
	smp_store_release(&zone->present_pages, present);
	mm_verify(present <= end - pfn);
	spin_unlock_irqrestore(&zone->lock, flags);
}

/* The node's span and size from its zones'. */
static void node_recount(pg_data_t *pgdat)
{
	u64 start = ~0UL, end = 0, present = 0;
	int nr_zones = 0;

	for (int zt = 0; zt < MAX_NR_ZONES; zt++) {
		const struct zone *zone = &pgdat->node_zones[zt];

		if (!populated_zone(zone))
			continue;
		start = min(start, zone->zone_start_pfn);
		end = max(end, zone_end_pfn(zone));
		present += zone->present_pages;
		nr_zones = zt + 1;
	}
	if (!present)
		start = end = 0;
	if (!present != !pgdat->node_present_pages)
		WRITE_ONCE(phys_sys.nr_memory_nodes,
			   phys_sys.nr_memory_nodes + (present ? 1 : -1));
	WRITE_ONCE(pgdat->node_start_pfn, start);
	WRITE_ONCE(pgdat->node_spanned_pages, end - start);
	WRITE_ONCE(pgdat->node_present_pages, present);
	WRITE_ONCE(pgdat->nr_zones, nr_zones);
	numa_place_cpus();
}

void zone_grow(struct zone *zone, u64 pfn, u64 end)
{
	u64 present = zone->present_pages + (end - pfn);

	if (populated_zone(zone)) {
		pfn = min(pfn, zone->zone_start_pfn);
		end = max(end, zone_end_pfn(zone));
	}
	zone_set_span(zone, pfn, end, present);
	node_recount(zone->zone_pgdat);
}

void zone_shrink(struct zone *zone, u64 pfn, u64 end)
{
	u64 present = zone->present_pages - (end - pfn);
	u64 first = zone->zone_start_pfn, last = zone_end_pfn(zone);
	u64 s, e, sum = zone_count(zone, &s, &e);

	mm_verify(sum == present);
	/* An end that nothing was taken from stays where boot set it. */
	if (pfn <= first || !present)
		first = s;
	if (end >= last || !present)
		last = e;
	zone_set_span(zone, first, last, present);
	node_recount(zone->zone_pgdat);
}

/* ---- nodes
 * ----------------------------------------------------------------------- */

static u64 nodestats_bytes(const pg_data_t *pgdat)
{
	return sizeof(*pgdat->per_cpu_nodestats) * (u64)port_nr_cpus();
}

pg_data_t *node_alloc(int nid)
{
	int near = first_online_pgdat()->node_id;
	pg_data_t *pgdat = hotplug_alloc(sizeof(*pgdat), near);
	struct zonelist_pair *pair = pair_alloc(near, 0);
	u32 load[MM_MAX_NODES] = {0};

	if (!pgdat || !pair)
		goto fail;
	pgdat->per_cpu_nodestats = hotplug_alloc(nodestats_bytes(pgdat), near);
	if (!pgdat->per_cpu_nodestats)
		goto fail;
	node_setup(pgdat, nid);
	zonelists_fill(pgdat, pair->list[ZONELIST_FALLBACK],
		       pair->list[ZONELIST_NOFALLBACK], load);
	for (int i = 0; i < MAX_ZONELISTS; i++)
		pgdat->node_zonelists[i] = pair->list[i];
	/* Not on the chain before the node is published: see node_free(). */
	pair->next = NULL;
	return pgdat;
fail:
	pairs_free(pair);
	if (pgdat)
		hotplug_free(pgdat, sizeof(*pgdat));
	return NULL;
}

/* The pair that holds the lists of a node that is not published yet. */
static struct zonelist_pair *first_pair(const pg_data_t *pgdat)
{
	return (struct zonelist_pair *)pgdat->node_zonelists[0] - 1;
}

void node_publish(pg_data_t *pgdat)
{
	struct zonelist_pair *pair = first_pair(pgdat);

	mm_verify(!node_data(pgdat->node_id));
	mm_assert(pair->list[0] == pgdat->node_zonelists[0]);
	pair->next = phys_sys.hotplug.pairs;
	phys_sys.hotplug.pairs = pair;
	smp_store_release(&phys_sys.node[pgdat->node_id], pgdat);
	WRITE_ONCE(phys_sys.nr_nodes, phys_sys.nr_nodes + 1);
}

void node_free(pg_data_t *pgdat)
{
	mm_assert(node_data(pgdat->node_id) != pgdat);
	lruvec_exit(&pgdat->lruvec);
	pairs_free(first_pair(pgdat));
	hotplug_free(pgdat->per_cpu_nodestats, nodestats_bytes(pgdat));
	hotplug_free(pgdat, sizeof(*pgdat));
}

/* ---- what depends on sizes
 * --------------------------------------------------------- */

void sizes_changed(void)
{
	u64 *set = &phys_sys.tunables.min_free_kbytes;

	/* A value that somebody chose stays. */
	if (READ_ONCE(*set) == phys_sys.hotplug.min_free_kbytes) {
		phys_sys.hotplug.min_free_kbytes = default_min_free_kbytes();
		WRITE_ONCE(*set, phys_sys.hotplug.min_free_kbytes);
	}
	setup_per_zone_wmarks();
}

/* ---- checking
 * ------------------------------------------------------------------ */

void hotplug_check(void)
{
	struct zone *zone;
	u64 first, end;

	mutex_lock(&phys_sys.hotplug.lock);
	for_each_zone (zone) {
		const pg_data_t *pgdat = zone->zone_pgdat;

		if (!zone_has_sets(zone))
			continue;
		mm_verify(zone_count(zone, &first, &end) ==
			  zone->present_pages);
		if (!zone->present_pages)
			continue;
		mm_verify(zone->zone_start_pfn <= first);
		mm_verify(end <= zone_end_pfn(zone));
		mm_verify(pgdat->node_start_pfn <= first);
		mm_verify(end <= pgdat_end_pfn(pgdat));
		mm_verify(!zone_in_way(zone, first, end));
	}
	mutex_unlock(&phys_sys.hotplug.lock);
}
