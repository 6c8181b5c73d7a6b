/* SPDX-License-Identifier: MIT */
/*
 * vmstat.c - counters: adding to one's own word, reading all CPUs' together.
 *
 * 1. Purpose. Page states of zones and nodes, and counts of events, in the
 *    names and order that tools know from /proc/vmstat.
 *
 * 2. Structures. Per CPU one array per zone and per node (diff[]) and one of
 *    events. pgdat.vm_stat[] takes what was folded in. Lengths of LRU lists
 *    are counted once, in the lruvec, under its lock. The allocator's fast
 *    path counts in its per-CPU set (nr_free, count), which it has in hand;
 *    sum_vm_event() and zone_page_state() add those up.
 *
 * 3. Locking. None: every change is one relaxed atomic addition, so it is
 *    exact under threads and interrupts; a sum taken while others count is
 *    some value in between.
 *
 * 4. Rejected. Small per-CPU differences folded into a global word beyond a
 *    threshold: cheap readings that are wrong by up to CPUs * threshold, which
 *    small machines feel. NR_FREE_PAGES, the one that is read all the time, is
 *    a word per zone under the zone lock.
 */
#include "phys/vmstat.h"

#include "phys/pcp_priv.h"
#include "phys/phys.h"

#define ZONES_TEXT(x) \
#x "_dma", #x "_dma32", #x "_normal", #x "_high", #x "_movable"

static const char *const zone_text[NR_VM_ZONE_STAT_ITEMS] = {
	[NR_FREE_PAGES] = "nr_free_pages",
	[NR_ZONE_INACTIVE_ANON] = "nr_zone_inactive_anon",
	[NR_ZONE_ACTIVE_ANON] = "nr_zone_active_anon",
	[NR_ZONE_INACTIVE_FILE] = "nr_zone_inactive_file",
	[NR_ZONE_ACTIVE_FILE] = "nr_zone_active_file",
	[NR_ZONE_UNEVICTABLE] = "nr_zone_unevictable",
	[NR_ZONE_WRITE_PENDING] = "nr_zone_write_pending",
	[NR_MLOCK] = "nr_mlock",
	[NR_BOUNCE] = "nr_bounce",
	[NR_ZSPAGES] = "nr_zspages",
	[NR_FREE_CMA_PAGES] = "nr_free_cma",
	[NUMA_HIT] = "numa_hit",
	[NUMA_MISS] = "numa_miss",
	[NUMA_FOREIGN] = "numa_foreign",
	[NUMA_INTERLEAVE_HIT] = "numa_interleave",
	[NUMA_LOCAL] = "numa_local",
	[NUMA_OTHER] = "numa_other",
};

static const char *const node_text[NR_VM_NODE_STAT_ITEMS] = {
	[NR_INACTIVE_ANON] = "nr_inactive_anon",
	[NR_ACTIVE_ANON] = "nr_active_anon",
	[NR_INACTIVE_FILE] = "nr_inactive_file",
	[NR_ACTIVE_FILE] = "nr_active_file",
	[NR_UNEVICTABLE] = "nr_unevictable",
	[NR_SLAB_RECLAIMABLE_B] = "nr_slab_reclaimable",
	[NR_SLAB_UNRECLAIMABLE_B] = "nr_slab_unreclaimable",
	[NR_ISOLATED_ANON] = "nr_isolated_anon",
	[NR_ISOLATED_FILE] = "nr_isolated_file",
	[WORKINGSET_NODES] = "workingset_nodes",
	[WORKINGSET_REFAULT_ANON] = "workingset_refault_anon",
	[WORKINGSET_REFAULT_FILE] = "workingset_refault_file",
	[WORKINGSET_ACTIVATE_ANON] = "workingset_activate_anon",
	[WORKINGSET_ACTIVATE_FILE] = "workingset_activate_file",
	[WORKINGSET_RESTORE_ANON] = "workingset_restore_anon",
	[WORKINGSET_RESTORE_FILE] = "workingset_restore_file",
	[WORKINGSET_NODERECLAIM] = "workingset_nodereclaim",
	[NR_ANON_MAPPED] = "nr_anon_pages",
	[NR_FILE_MAPPED] = "nr_mapped",
	[NR_FILE_PAGES] = "nr_file_pages",
	[NR_FILE_DIRTY] = "nr_dirty",
	[NR_WRITEBACK] = "nr_writeback",
	[NR_WRITEBACK_TEMP] = "nr_writeback_temp",
	[NR_SHMEM] = "nr_shmem",
	[NR_SHMEM_THPS] = "nr_shmem_hugepages",
	[NR_SHMEM_PMDMAPPED] = "nr_shmem_pmdmapped",
	[NR_FILE_THPS] = "nr_file_hugepages",
	[NR_FILE_PMDMAPPED] = "nr_file_pmdmapped",
	[NR_ANON_THPS] = "nr_anon_transparent_hugepages",
	[NR_VMSCAN_WRITE] = "nr_vmscan_write",
	[NR_VMSCAN_IMMEDIATE] = "nr_vmscan_immediate_reclaim",
	[NR_DIRTIED] = "nr_dirtied",
	[NR_WRITTEN] = "nr_written",
	[NR_THROTTLED_WRITTEN] = "nr_throttled_written",
	[NR_KERNEL_MISC_RECLAIMABLE] = "nr_kernel_misc_reclaimable",
	[NR_FOLL_PIN_ACQUIRED] = "nr_foll_pin_acquired",
	[NR_FOLL_PIN_RELEASED] = "nr_foll_pin_released",
	[NR_KERNEL_STACK_KB] = "nr_kernel_stack",
	[NR_PAGETABLE] = "nr_page_table_pages",
	[NR_SECONDARY_PAGETABLE] = "nr_sec_page_table_pages",
	[NR_SWAPCACHE] = "nr_swapcached",
	[PGPROMOTE_SUCCESS] = "pgpromote_success",
	[PGPROMOTE_CANDIDATE] = "pgpromote_candidate",
};

/* In the order of enum vm_event_item. */
static const char *const event_text[NR_VM_EVENT_ITEMS] = {
	"pgpgin",
	"pgpgout",
	"pswpin",
	"pswpout",
	ZONES_TEXT(pgalloc),
	ZONES_TEXT(allocstall),
	ZONES_TEXT(pgskip),
	"pgfree",
	"pgactivate",
	"pgdeactivate",
	"pglazyfree",
	"pgfault",
	"pgmajfault",
	"pglazyfreed",
	"pgrefill",
	"pgreuse",
	"pgsteal_kswapd",
	"pgsteal_direct",
	"pgdemote_kswapd",
	"pgdemote_direct",
	"pgscan_kswapd",
	"pgscan_direct",
	"pgscan_direct_throttle",
	"pgscan_anon",
	"pgscan_file",
	"pgsteal_anon",
	"pgsteal_file",
	"zone_reclaim_success",
	"zone_reclaim_failed",
	"pginodesteal",
	"slabs_scanned",
	"kswapd_inodesteal",
	"kswapd_low_wmark_hit_quickly",
	"kswapd_high_wmark_hit_quickly",
	"pageoutrun",
	"pgrotated",
	"drop_pagecache",
	"drop_slab",
	"oom_kill",
	"numa_pte_updates",
	"numa_huge_pte_updates",
	"numa_hint_faults",
	"numa_hint_faults_local",
	"numa_pages_migrated",
	"pgmigrate_success",
	"pgmigrate_fail",
	"thp_migration_success",
	"thp_migration_fail",
	"thp_migration_split",
	"compact_migrate_scanned",
	"compact_free_scanned",
	"compact_isolated",
	"compact_stall",
	"compact_fail",
	"compact_success",
	"compact_daemon_wake",
	"compact_daemon_migrate_scanned",
	"compact_daemon_free_scanned",
	"htlb_buddy_alloc_success",
	"htlb_buddy_alloc_fail",
	"cma_alloc_success",
	"cma_alloc_fail",
	"unevictable_pgs_culled",
	"unevictable_pgs_scanned",
	"unevictable_pgs_rescued",
	"unevictable_pgs_mlocked",
	"unevictable_pgs_munlocked",
	"unevictable_pgs_cleared",
	"unevictable_pgs_stranded",
	"thp_fault_alloc",
	"thp_fault_fallback",
	"thp_fault_fallback_charge",
	"thp_collapse_alloc",
	"thp_collapse_alloc_failed",
	"thp_file_alloc",
	"thp_file_fallback",
	"thp_file_fallback_charge",
	"thp_file_mapped",
	"thp_split_page",
	"thp_split_page_failed",
	"thp_deferred_split_page",
	"thp_split_pmd",
	"thp_scan_exceed_none_pte",
	"thp_scan_exceed_swap_pte",
	"thp_scan_exceed_share_pte",
	"thp_split_pud",
	"thp_zero_page_alloc",
	"thp_zero_page_alloc_failed",
	"thp_swpout",
	"thp_swpout_fallback",
	"balloon_inflate",
	"balloon_deflate",
	"balloon_migrate",
	"swap_ra",
	"swap_ra_hit",
	"ksm_swpin_copy",
	"cow_ksm",
	"zswpin",
	"zswpout",
	"direct_map_level2_splits",
	"direct_map_level3_splits",
};

/* A group of five per-zone events stands in the order of the zones. */
MM_STATIC_ASSERT(PGALLOC_MOVABLE - PGALLOC_DMA == NR_ZONE_EVENTS - 1 &&
			 (MAX_NR_ZONES == 1 || MAX_NR_ZONES == NR_ZONE_EVENTS),
		 "per-zone events follow enum zone_type");
MM_STATIC_ASSERT(NR_ZONE_UNEVICTABLE - NR_ZONE_LRU_BASE == LRU_UNEVICTABLE,
		 "zone LRU counters follow enum lru_list");
MM_STATIC_ASSERT(NR_UNEVICTABLE - NR_LRU_BASE == LRU_UNEVICTABLE,
		 "node LRU counters follow enum lru_list");

const char *vmstat_zone_name(int item)
{
	mm_assert(item >= 0 && item < NR_VM_ZONE_STAT_ITEMS);
	return zone_text[item];
}

const char *vmstat_node_name(int item)
{
	mm_assert(item >= 0 && item < NR_VM_NODE_STAT_ITEMS);
	return node_text[item];
}

MM_STATIC_ASSERT(PGSCAN_SKIP_MOVABLE - PGALLOC_DMA == 3 * NR_ZONE_EVENTS - 1,
		 "the per-zone groups follow each other");

/* Is ITEM about a zone that layout L has not? */
static bool event_of_no_zone(const struct phys_layout *l, int item)
{
	int place = (item - PGALLOC_DMA) % NR_ZONE_EVENTS;

	if (item < PGALLOC_DMA || item > PGSCAN_SKIP_MOVABLE)
		return false;
	for (int zt = 0; zt < MAX_NR_ZONES; zt++) {
		if ((int)zone_event(PGALLOC_DMA, zt) == PGALLOC_DMA + place)
			return !layout_has_zone(l, zt);
	}
	return true;
}

const char *vmstat_event_name_of(const struct phys_layout *l, int item)
{
	mm_assert(l != NULL);
	mm_assert(item >= 0 && item < NR_VM_EVENT_ITEMS);
	return event_of_no_zone(l, item) ? NULL : event_text[item];
}

const char *vmstat_event_name(int item)
{
	const struct phys_layout *l = phys_sys.layout;

	return vmstat_event_name_of(l ? l : phys_layout_find(NULL), item);
}

static bool item_in_bytes(int item)
{
	return item == NR_SLAB_RECLAIMABLE_B || item == NR_SLAB_UNRECLAIMABLE_B;
}

#ifdef MM_NO_VM_EVENTS
static u64 cpu_event(int cpu, enum vm_event_item item)
{
	(void)cpu;
	(void)item;
	return 0;
}
#else
void count_vm_events(enum vm_event_item item, u64 n)
{
	mm_assert(item < NR_VM_EVENT_ITEMS);
	vm_event_add(item, n);
}

static u64 cpu_event(int cpu, enum vm_event_item item)
{
	return READ_ONCE(phys_sys.events[cpu].event[item]);
}
#endif

void mod_zone_page_state(struct zone *zone, int item, s64 delta)
{
	mm_assert(item > NR_FREE_PAGES && item < NR_VM_ZONE_STAT_ITEMS);
	__atomic_fetch_add(&zone->per_cpu_zonestats[port_cpu()].diff[item],
			   delta, __ATOMIC_RELAXED);
}

void mod_node_page_state(struct pglist_data *pgdat, int item, s64 delta)
{
	mm_assert(item >= 0 && item < NR_VM_NODE_STAT_ITEMS);
	node_stat_add(pgdat, item, delta);
}

/* Allocations by the fast path, whatever their order. */
static s64 fast_blocks(const struct per_cpu_pages *pcp)
{
	return pcp_fast_frames(pcp) - (s64)READ_ONCE(pcp->nr_tails);
}

/* Allocations that the fast path counted in ZONE's per-CPU sets. */
static s64 zone_fast_allocs(const struct zone *zone, int item)
{
	s64 sum = 0;

	if (!zone_has_sets(zone))
		return 0;
	/* The fast ways take from the running CPU's own node. */
	if (item == NUMA_HIT || item == NUMA_LOCAL)
		sum = (s64)READ_ONCE(zone->nr_direct);
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
		bool local =
			READ_ONCE(phys_sys.cpu_node[cpu]) == zone_to_nid(zone);

		if (item == NUMA_HIT || (item == NUMA_LOCAL && local) ||
		    (item == NUMA_OTHER && !local))
			sum += fast_blocks(&zone->pageset[cpu]);
	}
	return sum;
}

/* What all CPUs counted in ZONE, which has frames. */
static s64 zone_sum(const struct zone *zone, int item)
{
	s64 sum = 0;

	for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
		sum += READ_ONCE(zone->per_cpu_zonestats[cpu].diff[item]);
	if (item >= NR_ZONE_NUMA_BASE)
		sum += zone_fast_allocs(zone, item);
	return sum;
}

u64 zone_page_state(const struct zone *zone, int item)
{
	int lru = item - NR_ZONE_LRU_BASE;
	s64 sum;

	mm_assert(item >= 0 && item < NR_VM_ZONE_STAT_ITEMS);
	if (lru >= 0 && lru < NR_LRU_LISTS)
		return zone->zone_pgdat
			       ? zone_lru_pages(zone->zone_pgdat, zone->idx,
						(enum lru_list)lru)
			       : 0;
	if (item == NR_FREE_PAGES) {
		sum = READ_ONCE(zone->nr_free_pages);
		return sum > 0 ? (u64)sum : 0;
	}
	if (item == NR_FREE_CMA_PAGES)
		return (u64)READ_ONCE(zone->nr_free_cma);
	if (!zone_has_sets(zone))
		return 0;
	sum = zone_sum(zone, item);
	if (item >= NR_ZONE_NUMA_BASE) {
		if (!READ_ONCE(phys_sys.tunables.numa_stat))
			return 0;
		sum -= (s64)READ_ONCE(
			zone->numa_base[item - NR_ZONE_NUMA_BASE]);
	}
	return sum > 0 ? (u64)sum : 0;
}

void vmstat_numa_changed(void)
{
	bool off = !READ_ONCE(phys_sys.tunables.numa_stat);
	bool was_off = READ_ONCE(phys_sys.numa_stat_off);
	struct zone *zone;

	WRITE_ONCE(phys_sys.numa_stat_off, off);
	if (off || !was_off)
		return;
	for_each_zone (zone) {
		if (!zone->per_cpu_zonestats)
			continue;
		for (int i = NUMA_HIT; i < NR_VM_ZONE_STAT_ITEMS; i++)
			WRITE_ONCE(zone->numa_base[i - NR_ZONE_NUMA_BASE],
				   (u64)zone_sum(zone, i));
	}
}

u64 node_page_state(const struct pglist_data *pgdat, int item)
{
	s64 sum;

	mm_assert(item >= 0 && item < NR_VM_NODE_STAT_ITEMS);
	if ((u32)(item - NR_LRU_BASE) < NR_LRU_LISTS)
		return node_lru_pages(pgdat,
				      (enum lru_list)(item - NR_LRU_BASE));
	sum = READ_ONCE(pgdat->vm_stat[item]);
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
		sum += READ_ONCE(pgdat->per_cpu_nodestats[cpu].diff[item]);
	if (sum <= 0)
		return 0;
	return item_in_bytes(item) ? (u64)sum >> PAGE_SHIFT : (u64)sum;
}

u64 global_zone_page_state(int item)
{
	struct zone *zone;
	u64 sum = 0;

	for_each_zone (zone)
		sum += zone_page_state(zone, item);
	return sum;
}

u64 global_node_page_state(int item)
{
	pg_data_t *pgdat;
	u64 sum = 0;

	for_each_online_pgdat(pgdat) sum += node_page_state(pgdat, item);
	return sum;
}

/* What the fast paths counted towards ITEM, in all zones. */
static u64 fast_events(enum vm_event_item item)
{
	struct zone *zone;
	u64 sum = 0;

	for_each_zone (zone) {
		bool alloc;

		if (!zone_has_sets(zone))
			continue;
		alloc = item == zone_event(PGALLOC_DMA, zone->idx);
		if (alloc)
			sum += READ_ONCE(zone->nr_direct_pages);
		if (item == PGFREE)
			sum += READ_ONCE(zone->nr_direct_freed);
		for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
			const struct per_cpu_pages *pcp = &zone->pageset[cpu];

			if (item == PGFREE)
				sum += READ_ONCE(pcp->nr_free);
			else if (alloc)
				sum += (u64)pcp_fast_frames(pcp);
		}
	}
	return sum;
}

u64 sum_vm_event(enum vm_event_item item)
{
	u64 sum = 0;

	mm_assert(item < NR_VM_EVENT_ITEMS);
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
		sum += cpu_event(cpu, item);
	if (item == PGFREE || (item >= PGALLOC_DMA && item <= PGALLOC_MOVABLE))
		sum += fast_events(item);
	return sum;
}

void all_vm_events(u64 *out)
{
	for (int i = 0; i < NR_VM_EVENT_ITEMS; i++)
		out[i] = sum_vm_event((enum vm_event_item)i);
}

u64 vm_event_all_zones(enum vm_event_item base)
{
	u64 sum = 0;

	for (int zt = 0; zt < MAX_NR_ZONES; zt++)
		sum += sum_vm_event(zone_event(base, zt));
	return sum;
}
