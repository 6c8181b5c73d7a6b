/* SPDX-License-Identifier: MIT */
/*
 * phys.h - floor 2 as a whole: its state, its boot, its check.
 */
#ifndef MM_PHYS_PHYS_H
#define MM_PHYS_PHYS_H

#include <mmkit/memblock.h>

#include "phys/alloc.h"
#include "phys/cma_area.h"
#include "phys/e820.h"
#include "phys/hotplug.h"
#include "phys/layout.h"
#include "phys/lru.h"
#include "phys/mempolicy.h"
#include "phys/mmzone.h"
#include "phys/page.h"
#include "phys/page_debug.h"
#include "phys/page_ext.h"

/* Those who know their machine may say less. */
#ifndef MEMBLOCK_STATIC_REGIONS
#define MEMBLOCK_STATIC_REGIONS 128
#endif
#define PAGE_WAIT_TABLE_BITS 8
#define PAGE_WAIT_TABLE_SIZE (1 << PAGE_WAIT_TABLE_BITS)

struct memblock {
	bool bottom_up;
	bool growable;
	phys_addr_t current_limit;
	struct memblock_type memory, reserved;
	struct memblock_region static_memory[MEMBLOCK_STATIC_REGIONS];
	struct memblock_region static_reserved[MEMBLOCK_STATIC_REGIONS];
};

/* /proc/sys/vm: change, then call setup_per_zone_wmarks(). */
struct phys_tunables {
	u64 min_free_kbytes;	    /* 0: from the machine's size */
	u32 watermark_scale_factor; /* 1/10000 of a zone between marks */
	u32 watermark_boost_factor; /* 1/10000 of the high mark; 0: off */
	u32 lowmem_reserve_ratio[MAX_NR_ZONES];
	u32 percpu_pagelist_high_fraction; /* 0: from the low watermark */
	u32 zone_reclaim_mode;	/* ZONE_RECLAIM_*; 0: rather a far node */
	u32 min_unmapped_ratio; /* percent of a node; see node_reclaim.c */
	u32 min_slab_ratio;	/* the same */
	u32 numa_stat;		/* 0: NUMA_* read as 0 */
	u32 numa_demotion;	/* not 0: cold pages go to slower nodes */
	u32 dirty_ratio;  /* percent of a node that __GFP_WRITE may dirty */
	bool check_pages; /* every frame of a block, not only the first */
};

/* The bits of a request that tell zone, mobility and "this node only". */
#define GFP_PLACES 64
#define GFP_PLACE  (GFP_PLACES - 1)
MM_STATIC_ASSERT((__GFP_DMA | __GFP_HIGHMEM | __GFP_DMA32 | __GFP_MOVABLE |
		  __GFP_RECLAIMABLE | __GFP_THISNODE) == GFP_PLACE,
		 "the low bits of a request say where");

/* A per-CPU set and its stack of single frames of one type. */
struct pcp_place {
	struct per_cpu_pages *pcp;
	struct page **list;
};

/*
 * A page is resident when one word of it was written: what every machine
 * writes stands together, and each table's used part beside it.
 */
struct phys_state {
	struct phys_hot hot; /* first: inline code looks here */
	const struct pressure_ops *pressure;
	const struct charge_ops *charge;
	const struct migrate_ops *migrate;
	const struct highmem_ops *highmem;
	struct phys_tunables tunables;
	spinlock_t wmark_lock;
	bool booted;
	bool group_by_mobility_off;	  /* (B) all pageblocks are unmovable */
	const struct phys_layout *layout; /* (B) zones by address */
	int nr_nodes;			  /* nodes that exist */
	int nr_memory_nodes;		  /* of these with RAM */
	u32 nr_zone_ids;
	struct pglist_data *node[MM_MAX_NODES];
	u8 distance[MM_MAX_NODES][MM_MAX_NODES];
	u8 cpu_node[MM_NR_CPUS];     /* where each CPU is, ... */
	u8 cpu_mem_node[MM_NR_CPUS]; /* ... and the nearest memory */
	u8 node_tier[MM_MAX_NODES];  /* memory_tiers.c */
	u64 cpus_gone; /* (hotplug lock) bits of CPUs that are offline */
	u64 movable_start[MM_MAX_NODES]; /* first frame of MOVABLE; 0: none */
	u64 max_possible_pfn;		 /* RAM may be added up to here */
	u64 memmap_frames; /* frames that the array of descriptors covers */
	u64 nr_sections;
	u64 memmap_step; /* (B) frames that are made at a time */
	u32 pcp_batch;	 /* (B) frames, if not by the size of zones */
	bool late_cpus;	 /* (B) CPUs but the first start by phys_start_cpu() */
	bool memmap_apart; /* (B) boot's descriptors are in no frames */
	struct mem_section *sections;
	u64 nr_bad_pages; /* (A) reports by bad_page() */
	struct phys_debug_state debug;
	struct page_ext_state page_ext;
	u64 totalram_pages;
	bool numa_stat_off;  /* numa_stat was 0 when it was last set */
	bool page_wait_made; /* (page_wait_lock) the queues are initialised */
	u64 warn_since_ns;   /* reports of failure: start of the window */
	u32 warn_burst;	     /* (A) reports in it */
	u32 places_due;	     /* (A) counts changes of zone lists */
	u32 places_seen[MM_NR_CPUS]; /* of places_due, by each CPU itself */
	struct hotplug_state hotplug;
	struct mpol_state mpol;
	spinlock_t page_wait_lock;
	/* [cpu][page.zone_id]: the set that a freed frame goes to. */
	struct per_cpu_pages *pcp_of[MM_NR_CPUS + 1][PHYS_MAX_ZONES];
	struct per_cpu_pages pcp_none;
	struct memblock memblock;
	struct e820_table e820; /* the machine's map, sanitised */
	struct e820_table e820_scratch;
	struct lru_state lru;
	struct cma_state cma;
	/*
	 * [cpu][gfp & GFP_PLACE]: where an order-0 allocation looks first.
	 * Where it may not, and in the row of threads without a CPU, pcp_none:
	 * a set whose lock is never free, so that the fast paths need not ask.
	 * (With late_cpus nobody is without a CPU, and that row is empty.)
	 */
	struct pcp_place pcp_fast[MM_NR_CPUS + 1][GFP_PLACES];
#ifndef MM_NO_VM_EVENTS
	struct vm_event_state events[MM_NR_CPUS];
#endif
	struct lru_batch lru_add[MM_NR_CPUS];
	s64 root_charged[MM_NR_CPUS][MM_CACHELINE / sizeof(s64)];
	wait_queue_head_t page_wait[PAGE_WAIT_TABLE_SIZE];
};

extern struct phys_state phys_sys;

/* phys_cpu_gone: is CPU, which exists, offline? A snapshot. */
static inline bool phys_cpu_gone(int cpu)
{
	return READ_ONCE(phys_sys.cpus_gone) >> cpu & 1;
}

/* phys_reset: as at program start. No thread is inside mmkit. */
void phys_reset(void);

/* How high memory is reached: a floor up. Any context, strictly nested. */
struct highmem_ops {
	void *(*map)(struct page *page);
	void (*unmap)(void *view);
};

/* phys_set_highmem: from now on frames from PFN on are high. At boot. */
void phys_set_highmem(const struct highmem_ops *ops, u64 pfn);

/* One piece of a node's memory. */
struct phys_node_range {
	phys_addr_t start, end;
	int nid; /* 0 .. MM_MAX_NODES - 1 */
};

/* An amount of memory: bytes, or parts of all RAM. Both 0: not given. */
struct phys_amount {
	u64 bytes;
	u32 percent; /* 1 .. 100; then bytes does not count */
};

#define LOCAL_DISTANCE	10
#define REMOTE_DISTANCE 20

struct phys_boot_params {
	const char *arch;	      /* a name of layout.c; NULL: x86-64 */
	const struct e820_table *map; /* need not be sanitised */
	const struct phys_node_range *nodes; /* NULL: all is node 0 */
	int nr_nodes;			     /* entries of nodes */
	/* nr_distances^2 bytes, row = from; NULL: 10 and 20. */
	const u8 *distances;
	int nr_distances;
	phys_addr_t kernel_start; /* never given out; size 0: none */
	u64 kernel_size;
	phys_addr_t initrd_start;
	u64 initrd_size;
	u64 min_free_kbytes; /* 0: from the machine's size */
	/* What is zone MOVABLE: see movable.c. */
	struct phys_amount kernelcore, movablecore;
	bool movable_node; /* hotplug ranges decide, not the amounts */
	/* What can be taken out while running; counts with movable_node. */
	const struct phys_node_range *hotplug;
	int nr_hotplug;
	bool no_mobility_grouping; /* even if the machine is large enough */
	/* Areas of contiguous memory; one that cannot be had fails the boot. */
	const struct cma_request *cma;
	u32 nr_cma;
	const struct mm_debug_params *debug; /* NULL: none */
	/* RAM may be added below this address; 0: only where boot had RAM. */
	phys_addr_t max_possible;
	/*
	 * Make the descriptors of so many frames at a time (a power of two up
	 * to the largest block) as RAM is used, and begin with few: for a
	 * machine in a small process. The boot's own memory is then at the
	 * bottom. 0: those of whole sections.
	 */
	u64 memmap_step;
	/* The port has memory of its own for descriptors of boot's RAM: no
	 * frames are set aside for them. Such RAM is not taken out again. */
	bool memmap_apart;
	/* Frames that move at once between a CPU's set and its zone, at most
	 * 256; 0: by the zone's size. */
	u32 pcp_batch;
	/*
	 * Only CPU 0 runs at boot; each other calls phys_start_cpu() before it
	 * does anything here, and who is no CPU does nothing. Then nobody puts
	 * frames on LRU lists: what they want for each CPU is not made.
	 */
	bool late_cpus;
};

/* phys_start_cpu: the running CPU, not the first of a machine with late_cpus,
 * may allocate and free frames from now on. Once, pinned. */
void phys_start_cpu(void);

/*
 * phys_boot_memory: from a firmware map to a working page allocator: sanitise,
 * memblock, RAM online, nodes and zones, memory map, zone lists, all free
 * frames to the buddy, per-CPU lists, watermarks; logged on the way. The
 * number of CPUs and their nodes are the port's. Returns 0; -EINVAL (no
 * usable memory, bad node ranges), -ENOMEM (too little memory to manage, or
 * the world has no room), -ERANGE (addresses beyond 16 TiB only, or beyond
 * the world): logged in clear, and phys_reset() is due then.
 */
int phys_boot_memory(const struct phys_boot_params *params) MM_MUST_CHECK;

/*
 * phys_check: all of the floor's books: every zone's free lists, per-CPU
 * lists and deferred sections against the counters, memblock, LRU lists.
 * Panics with the finding. O(free blocks). Context: no locks held.
 */
void phys_check(void);

/* ---- parts of the boot, in order
 * ---------------------------------------------
 *
 * All are single-threaded and return 0 or a negative errno after logging why.
 */

/* zones_set_nodes: every memblock region gets its node (numa.c). */
int zones_set_nodes(const struct phys_boot_params *params) MM_MUST_CHECK;
/* movable_init: where zone MOVABLE begins in each node (movable.c). */
int movable_init(const struct phys_boot_params *params) MM_MUST_CHECK;
/* zones_init: nodes with their zones and per-CPU parts, from memblock. */
int zones_init(const struct phys_boot_params *params) MM_MUST_CHECK;
/* numa_place_cpus: cpu_node and cpu_mem_node, from the port and distances. */
void numa_place_cpus(void);
/* build_all_zonelists: fallback orders, and each CPU's first choices. */
int build_all_zonelists(void) MM_MUST_CHECK;
/* node_setup: number, names and empty lists of a zeroed node and its zones. */
void node_setup(pg_data_t *pgdat, int nid);
/* zone_number: ZONE, with its per-CPU parts, gets the next zone_id. */
void zone_number(struct zone *zone);
/*
 * zonelists_fill: the lists of PGDAT, from the nodes that are published; both
 * zeroed, with room for all zones and the end. LOAD, of all nodes, starts as
 * zeros and counts how often each was preferred to its equals.
 */
void zonelists_fill(pg_data_t *pgdat, struct zonelist *all,
		    struct zonelist *own, u32 *load);
/*
 * refresh_fast_places: the running CPU's row of pcp_fast follows the zone
 * lists as they are now. Only the CPU itself may change its row: a place is
 * two words, and its fast path is not in between then. Not in an interrupt.
 */
void refresh_fast_places(void);
/* memmap_reserve: memory for tables and descriptors (memmap.c). */
int memmap_reserve(void) MM_MUST_CHECK;
/*
 * memmap_backing: tell FN of the frames behind the descriptors of section NR:
 * bytes from OFF of the array on are the PAGES frames from PFN on. Stops at
 * FN's first result that is not 0, and returns it. Hotplug's lock, or boot.
 */
typedef int memmap_backing_fn(u64 off, u64 pfn, u64 pages, void *arg);
int memmap_backing(u64 nr, memmap_backing_fn *fn, void *arg) MM_MUST_CHECK;
/* memmap_init: classify sections, make descriptors, count zones. */
void memmap_init(void);
/* memmap_free_all: every free frame goes to the buddy. */
void memmap_free_all(void);
/* page_wait_init: the queues for locked pages, to be made when first used
 * (page_wait.c). */
void page_wait_init(void);

/* node_present_in: frames of NID's RAM inside [LO, HI), by memblock. */
u64 node_present_in(int nid, u64 lo, u64 hi);

/* home_migratetype: of pageblocks that nobody has used yet. */
static inline int home_migratetype(void)
{
	return phys_sys.group_by_mobility_off ? MIGRATE_UNMOVABLE
					      : MIGRATE_MOVABLE;
}

/* zone_at: the zone of node NID whose range holds PFN, NULL if none. */
struct zone *zone_at(int nid, u64 pfn);

/* vm_event_add: count_vm_events(), in line. */
static inline void vm_event_add(enum vm_event_item item, u64 n)
{
#ifdef MM_NO_VM_EVENTS
	(void)item;
	(void)n;
#else
	__atomic_fetch_add(&phys_sys.events[port_cpu()].event[item], n,
			   __ATOMIC_RELAXED);
#endif
}

#endif
