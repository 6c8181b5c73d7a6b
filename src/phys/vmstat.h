/* SPDX-License-Identifier: MIT */
/*
 * vmstat.h - counters of zones, nodes and events, by Linux's names.
 *
 * The enumerators stand in the order of /proc/vmstat of Linux 6.1; the text
 * comes from vmstat_*_name(), NULL for an item that this architecture does
 * not show.
 *
 * A change is one addition to the running CPU's own word; a reader adds the
 * CPUs up. So a reading is exact whenever nothing changes, and a writer never
 * touches another CPU's cache line. NR_FREE_PAGES alone is one word per zone,
 * changed under the zone lock: watermark checks read it all the time.
 */
#ifndef MM_PHYS_VMSTAT_H
#define MM_PHYS_VMSTAT_H

#include <mmkit/types.h>

struct pglist_data;
struct zone;

enum zone_stat_item {
	NR_FREE_PAGES,
	NR_ZONE_LRU_BASE,
	NR_ZONE_INACTIVE_ANON = NR_ZONE_LRU_BASE,
	NR_ZONE_ACTIVE_ANON,
	NR_ZONE_INACTIVE_FILE,
	NR_ZONE_ACTIVE_FILE,
	NR_ZONE_UNEVICTABLE,
	NR_ZONE_WRITE_PENDING,
	NR_MLOCK,
	NR_BOUNCE,
	NR_ZSPAGES,
	NR_FREE_CMA_PAGES,
	NUMA_HIT,
	NUMA_MISS,
	NUMA_FOREIGN,
	NUMA_INTERLEAVE_HIT,
	NUMA_LOCAL,
	NUMA_OTHER,
	NR_VM_ZONE_STAT_ITEMS
};

/* The NUMA_* items are counters of events, the others of pages. */
#define NR_ZONE_NUMA_BASE NUMA_HIT

enum node_stat_item {
	NR_LRU_BASE,
	NR_INACTIVE_ANON = NR_LRU_BASE,
	NR_ACTIVE_ANON,
	NR_INACTIVE_FILE,
	NR_ACTIVE_FILE,
	NR_UNEVICTABLE,
	NR_SLAB_RECLAIMABLE_B,	 /* changed in bytes, read in pages */
	NR_SLAB_UNRECLAIMABLE_B, /* changed in bytes, read in pages */
	NR_ISOLATED_ANON,
	NR_ISOLATED_FILE,
	WORKINGSET_NODES,
	WORKINGSET_REFAULT_BASE,
	WORKINGSET_REFAULT_ANON = WORKINGSET_REFAULT_BASE,
	WORKINGSET_REFAULT_FILE,
	WORKINGSET_ACTIVATE_BASE,
	WORKINGSET_ACTIVATE_ANON = WORKINGSET_ACTIVATE_BASE,
	WORKINGSET_ACTIVATE_FILE,
	WORKINGSET_RESTORE_BASE,
	WORKINGSET_RESTORE_ANON = WORKINGSET_RESTORE_BASE,
	WORKINGSET_RESTORE_FILE,
	WORKINGSET_NODERECLAIM,
	NR_ANON_MAPPED,
	NR_FILE_MAPPED,
	NR_FILE_PAGES,
	NR_FILE_DIRTY,
	NR_WRITEBACK,
	NR_WRITEBACK_TEMP,
	NR_SHMEM,
	NR_SHMEM_THPS,
	NR_SHMEM_PMDMAPPED,
	NR_FILE_THPS,
	NR_FILE_PMDMAPPED,
	NR_ANON_THPS,
	NR_VMSCAN_WRITE,
	NR_VMSCAN_IMMEDIATE,
	NR_DIRTIED,
	NR_WRITTEN,
	NR_THROTTLED_WRITTEN,
	NR_KERNEL_MISC_RECLAIMABLE,
	NR_FOLL_PIN_ACQUIRED,
	NR_FOLL_PIN_RELEASED,
	NR_KERNEL_STACK_KB,
	NR_PAGETABLE,
	NR_SECONDARY_PAGETABLE,
	NR_SWAPCACHE,
	PGPROMOTE_SUCCESS,
	PGPROMOTE_CANDIDATE,
	NR_VM_NODE_STAT_ITEMS
};

/* One event for each zone, in the order of enum zone_type: zone_event(). */
#define FOR_ALL_ZONES(x) x##_DMA, x##_DMA32, x##_NORMAL, x##_HIGH, x##_MOVABLE
#define NR_ZONE_EVENTS	 5

enum vm_event_item {
	PGPGIN, /* in KiB, as all of Linux's readers expect */
	PGPGOUT,
	PSWPIN,
	PSWPOUT,
	FOR_ALL_ZONES(PGALLOC),
	FOR_ALL_ZONES(ALLOCSTALL),
	FOR_ALL_ZONES(PGSCAN_SKIP),
	PGFREE,
	PGACTIVATE,
	PGDEACTIVATE,
	PGLAZYFREE,
	PGFAULT,
	PGMAJFAULT,
	PGLAZYFREED,
	PGREFILL,
	PGREUSE,
	PGSTEAL_KSWAPD,
	PGSTEAL_DIRECT,
	PGDEMOTE_KSWAPD,
	PGDEMOTE_DIRECT,
	PGSCAN_KSWAPD,
	PGSCAN_DIRECT,
	PGSCAN_DIRECT_THROTTLE,
	PGSCAN_ANON,
	PGSCAN_FILE,
	PGSTEAL_ANON,
	PGSTEAL_FILE,
	PGSCAN_ZONE_RECLAIM_SUCCESS,
	PGSCAN_ZONE_RECLAIM_FAILED,
	PGINODESTEAL,
	SLABS_SCANNED,
	KSWAPD_INODESTEAL,
	KSWAPD_LOW_WMARK_HIT_QUICKLY,
	KSWAPD_HIGH_WMARK_HIT_QUICKLY,
	PAGEOUTRUN,
	PGROTATED,
	DROP_PAGECACHE,
	DROP_SLAB,
	OOM_KILL,
	NUMA_PTE_UPDATES,
	NUMA_HUGE_PTE_UPDATES,
	NUMA_HINT_FAULTS,
	NUMA_HINT_FAULTS_LOCAL,
	NUMA_PAGE_MIGRATE,
	PGMIGRATE_SUCCESS,
	PGMIGRATE_FAIL,
	THP_MIGRATION_SUCCESS,
	THP_MIGRATION_FAIL,
	THP_MIGRATION_SPLIT,
	COMPACTMIGRATE_SCANNED,
	COMPACTFREE_SCANNED,
	COMPACTISOLATED,
	COMPACTSTALL,
	COMPACTFAIL,
	COMPACTSUCCESS,
	KCOMPACTD_WAKE,
	KCOMPACTD_MIGRATE_SCANNED,
	KCOMPACTD_FREE_SCANNED,
	HTLB_BUDDY_PGALLOC,
	HTLB_BUDDY_PGALLOC_FAIL,
	CMA_ALLOC_SUCCESS,
	CMA_ALLOC_FAIL,
	UNEVICTABLE_PGCULLED,
	UNEVICTABLE_PGSCANNED,
	UNEVICTABLE_PGRESCUED,
	UNEVICTABLE_PGMLOCKED,
	UNEVICTABLE_PGMUNLOCKED,
	UNEVICTABLE_PGCLEARED,
	UNEVICTABLE_PGSTRANDED,
	THP_FAULT_ALLOC,
	THP_FAULT_FALLBACK,
	THP_FAULT_FALLBACK_CHARGE,
	THP_COLLAPSE_ALLOC,
	THP_COLLAPSE_ALLOC_FAILED,
	THP_FILE_ALLOC,
	THP_FILE_FALLBACK,
	THP_FILE_FALLBACK_CHARGE,
	THP_FILE_MAPPED,
	THP_SPLIT_PAGE,
	THP_SPLIT_PAGE_FAILED,
	THP_DEFERRED_SPLIT_PAGE,
	THP_SPLIT_PMD,
	THP_SCAN_EXCEED_NONE_PTE,
	THP_SCAN_EXCEED_SWAP_PTE,
	THP_SCAN_EXCEED_SHARED_PTE,
	THP_SPLIT_PUD,
	THP_ZERO_PAGE_ALLOC,
	THP_ZERO_PAGE_ALLOC_FAILED,
	THP_SWPOUT,
	THP_SWPOUT_FALLBACK,
	BALLOON_INFLATE,
	BALLOON_DEFLATE,
	BALLOON_MIGRATE,
	SWAP_RA,
	SWAP_RA_HIT,
	KSM_SWPIN_COPY,
	COW_KSM,
	ZSWPIN,
	ZSWPOUT,
	DIRECT_MAP_LEVEL2_SPLIT,
	DIRECT_MAP_LEVEL3_SPLIT,
	/* Not in /proc/vmstat: /sys/kernel/debug/rmap. */
	RMAP_WALKS,	/* from a frame to its mappings */
	RMAP_WALK_VMAS, /* VMAs looked at by them */
	RMAP_WALK_HITS, /* VMAs that mapped the frame */
	NR_VM_EVENT_ITEMS
};

/* Per-CPU changes of one zone's and one node's items. */
struct per_cpu_zonestat {
	s64 diff[NR_VM_ZONE_STAT_ITEMS];
} MM_ALIGNED(MM_CACHELINE);

struct per_cpu_nodestat {
	s64 diff[NR_VM_NODE_STAT_ITEMS];
} MM_ALIGNED(MM_CACHELINE);

struct vm_event_state {
	u64 event[NR_VM_EVENT_ITEMS];
} MM_ALIGNED(MM_CACHELINE);

/*
 * count_vm_events: N more of ITEM. Any context, interrupts included: the
 * addition is one atomic step on this CPU's word. With MM_NO_VM_EVENTS, for
 * programs in which nobody can ask, none is counted.
 */
#ifdef MM_NO_VM_EVENTS
static inline void count_vm_events(enum vm_event_item item, u64 n)
{
	(void)item;
	(void)n;
}
#else
void count_vm_events(enum vm_event_item item, u64 n);
#endif

static inline void count_vm_event(enum vm_event_item item)
{
	count_vm_events(item, 1);
}

/* zone_event: of the group that begins with BASE (x_DMA), what is counted for
 * zone type ZT. */
static inline enum vm_event_item zone_event(enum vm_event_item base, int zt)
{
#ifdef MM_ONLY_NORMAL
	zt += PGALLOC_NORMAL - PGALLOC_DMA;
#endif
	return (enum vm_event_item)((int)base + zt);
}

/* mod_*_page_state: add DELTA (may be negative). Any context. */
void mod_zone_page_state(struct zone *zone, int item, s64 delta);
void mod_node_page_state(struct pglist_data *pgdat, int item, s64 delta);

static inline void inc_node_page_state(struct pglist_data *pgdat, int item)
{
	mod_node_page_state(pgdat, item, 1);
}

static inline void dec_node_page_state(struct pglist_data *pgdat, int item)
{
	mod_node_page_state(pgdat, item, -1);
}

/*
 * Readings, in pages (NR_KERNEL_STACK_KB in KiB); never negative. They are
 * exact while nothing changes. O(number of CPUs); zone_page_state() of
 * NR_FREE_PAGES is one load.
 */
u64 zone_page_state(const struct zone *zone, int item);
u64 node_page_state(const struct pglist_data *pgdat, int item);
u64 global_zone_page_state(int item);
u64 global_node_page_state(int item);
u64 sum_vm_event(enum vm_event_item item); /* 0 of what is not counted */
/* all_vm_events: fill OUT[NR_VM_EVENT_ITEMS]. */
void all_vm_events(u64 *out);

/* vm_event_all_zones: sum of the five per-zone items from BASE (x_DMA) on. */
u64 vm_event_all_zones(enum vm_event_item base);

/*
 * vmstat_numa_changed: tunables.numa_stat was set. While it is 0 the NUMA_*
 * items read as 0; when it comes back they begin at 0.
 */
void vmstat_numa_changed(void);

/* Names as /proc/vmstat spells them; NULL: not shown on this machine. */
const char *vmstat_zone_name(int item);
const char *vmstat_node_name(int item);
const char *vmstat_event_name(int item);
/* vmstat_event_name_of: the same on any machine of layout L; no context. */
struct phys_layout;
const char *vmstat_event_name_of(const struct phys_layout *l, int item);

#endif
