/* SPDX-License-Identifier: MIT */
/*
 * mmzone.h - nodes, zones, free lists, per-CPU lists and zone lists.
 *
 * A machine has nodes (memory at one distance), a node has zones (memory with
 * one kind of address), a zone has free blocks by size and mobility, and each
 * CPU keeps a few free frames of each zone for itself.
 *
 * Letters at fields: (B) written at boot only; (Z) zone lock; (P) pcp lock;
 * (A) atomic; (W) phys_sys.wmark_lock.
 */
#ifndef MM_PHYS_MMZONE_H
#define MM_PHYS_MMZONE_H

#include <mmkit/gfp.h>
#include <mmkit/port.h>

#include "base/atomic.h"
#include "base/spinlock.h"
#include "base/wait.h"
#include "phys/lru.h"
#include "phys/page.h"
#include "phys/vmstat.h"

#define MAX_ORDER	   11 /* free lists for orders 0 .. MAX_ORDER - 1 */
#define MAX_ORDER_NR_PAGES (1UL << (MAX_ORDER - 1))
/* Order of a pageblock: the layout's (9; 10 for 4 MiB large pages). */
#define pageblock_order		(phys_hot()->block_order)
#define pageblock_nr_pages	(1UL << pageblock_order)
#define PAGE_ALLOC_COSTLY_ORDER 3

enum migratetype {
	MIGRATE_UNMOVABLE,
	MIGRATE_MOVABLE,
	MIGRATE_RECLAIMABLE,
	MIGRATE_PCPTYPES, /* the types on per-CPU lists end here */
	MIGRATE_HIGHATOMIC = MIGRATE_PCPTYPES,
	MIGRATE_CMA,
	MIGRATE_ISOLATE, /* on no list that allocations look at */
	MIGRATE_TYPES
};

/* As /proc/pagetypeinfo spells them. */
extern const char *const migratetype_names[MIGRATE_TYPES];

/*
 * A build with MM_ONLY_NORMAL has memory of one kind: for programs in which a
 * node is most of what its manager writes. The names of the other zones are
 * there, beyond MAX_NR_ZONES: no node has them.
 */
enum zone_type {
#ifdef MM_ONLY_NORMAL
	ZONE_NORMAL,
	MAX_NR_ZONES,
	ZONE_MOVABLE = MAX_NR_ZONES,
	ZONE_HIGHMEM,
	ZONE_DMA,
	ZONE_DMA32
#else
	ZONE_DMA,
	ZONE_DMA32,
	ZONE_NORMAL,
	ZONE_HIGHMEM,
	ZONE_MOVABLE,
	MAX_NR_ZONES
#endif
};

enum zone_watermarks {
	WMARK_MIN,
	WMARK_LOW,
	WMARK_HIGH,
	WMARK_PROMO,
	NR_WMARK
};

struct free_area {
	struct page_list free_list[MIGRATE_TYPES]; /* (Z) */
	u64 nr_free;				   /* (Z) blocks */
};

/* Lists of a per-CPU set: three types for each of orders 0..3, THP, and single
 * frames of any type that are known to be all zero. */
#define NR_LOWORDER_PCP_LISTS (MIGRATE_PCPTYPES * (PAGE_ALLOC_COSTLY_ORDER + 1))
#define PCP_ZEROED	      (NR_LOWORDER_PCP_LISTS + 1)
#define NR_PCP_LISTS	      (PCP_ZEROED + 1)

/*
 * One CPU's free frames of one zone. The owner takes the lock while pinned;
 * others only to drain. Whoever finds it taken goes to the zone.
 */
struct per_cpu_pages {
	spinlock_t lock;
	s32 room;	   /* (P) high less the frames on all lists */
	s32 high;	   /* (P) give some back from here on */
	s32 batch;	   /* (W) move this many at a time */
	u16 free_factor;   /* (P) batch scaling while only freeing */
	u8 zone_idx;	   /* (B) */
	u8 nr_zeroed;	   /* (P) frames on PCP_ZEROED; more, after a drain */
	struct zone *zone; /* (B) */
	u64 nr_free;	   /* (P) frames taken back: PGFREE */
	s64 nr_moved;	   /* (P) frames filled in, less drained, less slow */
	u64 nr_tails; /* (P) of the fast allocations: frames but the first */
	/* (P) stacks of free blocks, linked by the descriptors' word. */
	struct page *lists[NR_PCP_LISTS];
} MM_ALIGNED(MM_CACHELINE);

/* A kswapd that made no progress so often gives up until somebody does. */
#define MAX_RECLAIM_RETRIES 16

/* pcp_count: frames on all lists of PCP; without its lock a hint. */
static inline s32 pcp_count(const struct per_cpu_pages *pcp)
{
	return READ_ONCE(pcp->high) - READ_ONCE(pcp->room);
}

/* zone.flags */
enum zone_flags {
	ZONE_BOOSTED_WATERMARK /* kswapd should look at the boost */
};

struct zone {
	/* Read by every allocation. */
	u64 _watermark[NR_WMARK];		    /* (W) */
	u64 watermark_boost;			    /* (Z) */
	u64 nr_reserved_highatomic;		    /* (Z) frames */
	u64 lowmem_reserve[MAX_NR_ZONES];	    /* (W) */
	struct pglist_data *zone_pgdat;		    /* (B) */
	struct per_cpu_pages *pageset;		    /* (B) [port_nr_cpus()] */
	struct per_cpu_zonestat *per_cpu_zonestats; /* (B) likewise */
	u64 zone_start_pfn;			    /* (B) */
	u64 spanned_pages;	  /* (B) end - start, holes included */
	u64 present_pages;	  /* (B) frames that exist */
	u64 managed_pages;	  /* (A) frames that the buddy got */
	const char *name;	  /* (B) "DMA", ... */
	u8 idx;			  /* (B) enum zone_type */
	u8 zone_id;		  /* (B) page.zone_id of its frames */
	u64 flags;		  /* (A) enum zone_flags */
	u64 percpu_drift_mark;	  /* (W) */
	u64 nr_isolate_pageblock; /* (Z) pageblocks of type ISOLATE */
	u64 cma_pages;		  /* (B) frames of CMA areas */
	/* Compaction's memory of this zone (Z). */
	u64 compact_cached_free_pfn;
	u64 compact_cached_migrate_pfn[2];
	u64 compact_considered;
	u32 compact_defer_shift;
	s32 compact_order_failed;
	struct capture_control *capture; /* (Z) who waits for a block */
	bool contiguous;		 /* (B) no holes inside */
	/* Sections whose frames are counted free but not yet made (Z). */
	u64 nr_deferred;   /* sections left */
	u64 deferred_next; /* section where the search goes on */
	/* Of a section being made: counted free, descriptors to be made. */
	u64 raw_next, raw_end;
	MM_ALIGNED(MM_CACHELINE) spinlock_t lock;
	s64 nr_free_pages;   /* (Z) to write; read anywhere */
	s64 nr_free_cma;     /* (Z) likewise: those on CMA lists */
	u64 nr_direct;	     /* (Z) blocks taken without a walk over zones */
	u64 nr_direct_pages; /* (Z) their frames */
	u64 nr_direct_freed; /* (Z) frames freed past the per-CPU sets */
	/* (B, numa_stat) what NUMA_* counted when they were last reset. */
	u64 numa_base[NR_VM_ZONE_STAT_ITEMS - NR_ZONE_NUMA_BASE];
	u64 nr_guard; /* (Z) frames of guard blocks; not free */
	struct free_area free_area[MAX_ORDER];
};

#define min_wmark_pages(z)  wmark_pages(z, WMARK_MIN)
#define low_wmark_pages(z)  wmark_pages(z, WMARK_LOW)
#define high_wmark_pages(z) wmark_pages(z, WMARK_HIGH)

static inline u64 wmark_pages(const struct zone *z, enum zone_watermarks w)
{
	return READ_ONCE(z->_watermark[w]) + READ_ONCE(z->watermark_boost);
}

struct zoneref {
	struct zone *zone; /* NULL ends the list */
	int zone_idx;
};

/* Zones in order of preference, ended by a NULL zone. */
struct zonelist {
	u64 nr; /* entries without the end */
	struct zoneref _zonerefs[];
};

enum { ZONELIST_FALLBACK, ZONELIST_NOFALLBACK, MAX_ZONELISTS };

typedef struct pglist_data {
	struct zone node_zones[MAX_NR_ZONES];
	struct zonelist *node_zonelists[MAX_ZONELISTS]; /* (B) */
	int nr_zones; /* (B) index of the last populated, plus one */
	struct page *node_mem_map; /* (B) descriptor of node_start_pfn */
	u64 node_start_pfn;	   /* (B) */
	u64 node_present_pages;	   /* (B) */
	u64 node_spanned_pages;	   /* (B) */
	int node_id;		   /* (B) */
	u64 totalreserve_pages;	   /* (W) */
	/* The page-out daemon's (policy/). */
	struct port_thread *kswapd;
	wait_queue_head_t kswapd_wait;
	wait_queue_head_t pfmemalloc_wait;
	int kswapd_order;
	enum zone_type kswapd_highest_zoneidx;
	int kswapd_failures;
	bool kswapd_stop;
	bool reclaim_locked; /* (A) somebody is in node_reclaim() */
	/* Who reclaims and waits for writes: reclaim_wait.c. */
	wait_queue_head_t reclaim_wait;
	u64 nr_reclaim_waiters, reclaim_written; /* (A) */
	struct lruvec lruvec;
	/* (A) pages on the lists of groups, by zone and list. */
	s64 lru_grouped[MAX_NR_ZONES][NR_LRU_LISTS];
	struct per_cpu_nodestat *per_cpu_nodestats; /* (B) [port_nr_cpus()] */
	s64 vm_stat[NR_VM_NODE_STAT_ITEMS];	    /* (A) folded-in changes */
} pg_data_t;

/* Pages that are to be written for each who waits. */
#define RECLAIM_WAIT_PAGES 32u

/*
 * reclaim_wait_written: until RECLAIM_WAIT_PAGES of PGDAT for each waiter were
 * written, or nothing is being written any more; false: for 100 ms neither
 * happened. May sleep. acct_reclaim_writeback: the write of PAGE, which is held
 * or under write-back, has ended and is counted off NR_WRITEBACK. Any context.
 */
bool reclaim_wait_written(struct pglist_data *pgdat);
struct page;
void acct_reclaim_writeback(struct page *page);

/* node_data: NID's node, NULL if the machine has none of that number. */
pg_data_t *node_data(int nid);
#define NODE_DATA(nid) node_data(nid)

/* first_online_pgdat / next_online_pgdat: nodes by number; NULL at the end. */
pg_data_t *first_online_pgdat(void);
pg_data_t *next_online_pgdat(const pg_data_t *pgdat);
/* next_zone: the zone after ZONE over all nodes, empty ones included. */
struct zone *next_zone(struct zone *zone);

#define for_each_online_pgdat(pgdat)              \
	for (pgdat = first_online_pgdat(); pgdat; \
	     pgdat = next_online_pgdat(pgdat))

static inline struct zone *first_zone(void)
{
	pg_data_t *pgdat = first_online_pgdat();

	return pgdat ? pgdat->node_zones : NULL;
}

#define for_each_zone(zone) \
	for (zone = first_zone(); zone; zone = next_zone(zone))

static inline u64 zone_managed_pages(const struct zone *zone)
{
	return READ_ONCE(zone->managed_pages);
}

/* totalhigh_pages: managed frames above what is always mapped. */
u64 totalhigh_pages(void);

static inline bool managed_zone(const struct zone *zone)
{
	return zone_managed_pages(zone) != 0;
}

/*
 * Sizes and spans change when memory comes and goes (hotplug.h). Who reads
 * them without the hotplug lock may see a span between old and new, and asks
 * pfn_valid() before it looks at a frame of it.
 */
static inline bool populated_zone(const struct zone *zone)
{
	return smp_load_acquire(&zone->present_pages) != 0;
}

/*
 * zone_has_sets: has ZONE per-CPU sets and counters? A zone keeps them, and
 * its place in zone lists, when its last frame goes.
 */
static inline bool zone_has_sets(const struct zone *zone)
{
	return smp_load_acquire(&zone->zone_id) != 0;
}

#define for_each_populated_zone(zone) \
	for_each_zone (zone)          \
		if (populated_zone(zone))

static inline int zone_to_nid(const struct zone *zone)
{
	return zone->zone_pgdat->node_id;
}

/* zone_type_name: what zones of TYPE are called. */
const char *zone_type_name(enum zone_type type);

static inline enum zone_type zone_idx(const struct zone *zone)
{
	return (enum zone_type)zone->idx;
}

static inline u64 zone_end_pfn(const struct zone *zone)
{
	return READ_ONCE(zone->zone_start_pfn) + READ_ONCE(zone->spanned_pages);
}

static inline bool zone_spans_pfn(const struct zone *zone, u64 pfn)
{
	return pfn >= READ_ONCE(zone->zone_start_pfn) &&
	       pfn < zone_end_pfn(zone);
}

static inline u64 pgdat_end_pfn(const pg_data_t *pgdat)
{
	return pgdat->node_start_pfn + pgdat->node_spanned_pages;
}

/* next_zones_zonelist: Z or the first after it with an index <= HIGHIDX. */
static inline struct zoneref *next_zones_zonelist(struct zoneref *z,
						  enum zone_type highidx)
{
	while (z->zone && z->zone_idx > (int)highidx)
		z++;
	return z;
}

static inline struct zoneref *first_zones_zonelist(struct zonelist *zonelist,
						   enum zone_type highidx)
{
	return next_zones_zonelist(zonelist->_zonerefs, highidx);
}

/* Zones of ZONELIST from index HIGHIDX down, in order of preference. */
#define for_each_zone_zonelist(zone_, z, zonelist, highidx)                  \
	for (z = first_zones_zonelist(zonelist, highidx), zone_ = (z)->zone; \
	     zone_;                                                          \
	     z = next_zones_zonelist((z) + 1, highidx), zone_ = (z)->zone)

/* The same, going on after a zoneref that was found before. */
#define for_next_zone_zonelist(zone_, z, highidx) \
	for (zone_ = (z)->zone; zone_;            \
	     z = next_zones_zonelist((z) + 1, highidx), zone_ = (z)->zone)

/* node_zonelist: the list for allocations from NID with GFP. */
struct zonelist *node_zonelist(int nid, gfp_t gfp);

/* node_distance: 10 for the node itself, more for others. */
int node_distance(int from, int to);

/* nr_online_nodes: nodes of this machine; nr_memory_nodes: those with RAM. */
int nr_online_nodes(void);
int nr_memory_nodes(void);

/*
 * numa_node_id: the running CPU's node, which exists but may have no memory.
 * numa_mem_id: the nearest node that has some.
 */
int numa_node_id(void);
int numa_mem_id(void);

/* ---- mobility of pageblocks
 * -------------------------------------------------- */

#define PAGEBLOCK_MT_MASK   0x7u
#define PAGEBLOCK_OLD_SHIFT 3 /* an isolated block's type before */
#define PAGEBLOCK_OLD_MASK  (PAGEBLOCK_MT_MASK << PAGEBLOCK_OLD_SHIFT)
#define PAGEBLOCK_SKIP	    0x80u /* compaction: nothing to find here */

static inline int get_pfnblock_migratetype(u64 pfn)
{
	return READ_ONCE(phys_hot()->pageblock_mt[pfn >> pageblock_order]) &
	       PAGEBLOCK_MT_MASK;
}

static inline int get_pageblock_migratetype(const struct page *page)
{
	return (int)(READ_ONCE(phys_hot()->pageblock_mt[page_block(page)]) &
		     PAGEBLOCK_MT_MASK);
}

/* migratetype_private: frames of such pageblocks are on no other lists, and
 * free blocks of them do not merge with those of other types. */
static inline bool migratetype_private(int mt)
{
	return mt >= MIGRATE_PCPTYPES;
}

/* set_pageblock_migratetype: for the whole pageblock of PAGE. Zone lock. */
void set_pageblock_migratetype(const struct page *page, int migratetype);

/* ---- sparse memory
 * --------------------------------------------------------------- */

#define SECTION_SHIFT	  27 /* 128 MiB */
#define PFN_SECTION_SHIFT (SECTION_SHIFT - PAGE_SHIFT)
#define PAGES_PER_SECTION (1UL << PFN_SECTION_SHIFT)

enum section_state {
	SECTION_ABSENT,	  /* no RAM, no descriptors */
	SECTION_ONLINE,	  /* descriptors are valid */
	SECTION_DEFERRED, /* all frames free, descriptors not made yet */
	SECTION_GROWING,  /* valid up to end; the frames behind are free */
	SECTION_RESERVED, /* all frames reserved, descriptors never made */
	SECTION_OFFLINE /* RAM that is not in use; descriptors are not valid */
};

/* mem_section.flags */
#define SECTION_GOING_ONLINE  0x1u
#define SECTION_GOING_OFFLINE 0x2u
#define SECTION_ISOLATED      0x4u  /* going offline: its blocks are isolated */
#define SECTION_MAP_BOOT      0x8u  /* descriptors lie where boot put them */
#define SECTION_MAP_SELF      0x10u /* in the section's own first frames */
#define SECTION_EXT_OWN	      0x20u /* page_ext is hotplug_alloc()'s */

/* Written by boot; later under the hotplug lock (H), state also (Z). */
struct mem_section {
	u8 state;	/* (Z) enum section_state */
	u8 zone_id;	/* (H) of a whole section: the zone that has it */
	u8 nid;		/* (H) node of its first frame */
	u8 flags;	/* (H) SECTION_* */
	u16 first, end; /* (H) frames with a descriptor: [first, end) */
	/*
	 * (H) frames that hold the descriptors: the first of them (MAP_BOOT,
	 * in one piece), or the last, chained backwards by their private words.
	 */
	u32 map;
	void *page_ext; /* (H) entries of page_ext.c, or NULL */
};

/* pfn_valid: PFN has an initialised descriptor. */
bool pfn_valid(u64 pfn);
/*
 * pfn_present: PFN's section has RAM; its descriptor may be deferred, or not
 * valid because the section is offline.
 */
bool pfn_present(u64 pfn);
/* pfn_deferred: PFN is free and its descriptor is not made yet. */
bool pfn_deferred(u64 pfn);
/* pfn_offline: PFN is RAM that was added and is not online (hotplug.h). */
bool pfn_offline(u64 pfn);
/*
 * pfn_to_online_page: PFN's descriptor, made now if it was deferred; NULL
 * where there is no RAM, where it is offline, or where the frame is reserved
 * for ever without one.
 *
 * A walker over frame numbers that holds no reference, lock or list that
 * keeps a frame in use asks this (or pfn_valid()) inside a read section of
 * base/epoch.h and looks at the descriptor in the same one: memory that goes
 * waits for such sections.
 * Context: takes the zone lock.
 */
struct page *pfn_to_online_page(u64 pfn);

/* node_stat_add: mod_node_page_state(), in line. */
static inline void node_stat_add(struct pglist_data *pgdat, int item, s64 n)
{
	__atomic_fetch_add(&pgdat->per_cpu_nodestats[port_cpu()].diff[item], n,
			   __ATOMIC_RELAXED);
}

#endif
