/* SPDX-License-Identifier: MIT */
/*
 * swap.h - swap areas, the swap cache, and the way of a page out and in.
 */
#ifndef MM_CACHE_SWAP_H
#define MM_CACHE_SWAP_H

#include <mmkit/gfp.h>
#include <mmkit/mempolicy.h>
#include <mmkit/port.h>
#include <mmkit/shrinker.h>

#include "arch/paging.h"
#include "base/mutex.h"
#include "base/spinlock.h"
#include "base/xarray.h"
#include "cache/filemap.h"
#include "cache/shmem.h"
#include "cache/zswap.h"
#include "phys/page.h"

#define MAX_SWAPFILES	   ((u32)SWP_NR_AREAS)
#define SWAPFILE_CLUSTER   256u
#define SWAP_BLOCK	   512u	      /* slots of a huge page */
#define SWAP_MAX_PAGES	   (1u << 27) /* what struct page's private holds */
#define SWAP_MAP_PER_CHUNK (PAGE_SIZE / sizeof(u16))

/* A slot's word in the map: entries that refer to it, the cache bit, and that
 * there are more entries than the word has room for: struct swap_more. */
#define SWAP_HAS_CACHE	0x8000u
#define SWAP_CONTINUED	0x4000u
#define SWAP_MAP_BAD	0x3fffu
#define SWAP_MAP_MAX	0x3ffeu
#define SWAP_COUNT_MASK 0x3fffu
#define SWAP_MORE_STEP	0x2000u /* of a count that goes on elsewhere */

/* The rest of a slot's count. */
struct swap_more {
	struct swap_more *next;
	u32 offset;
	u64 count; /* a multiple of SWAP_MORE_STEP */
};

/* Slots [START, START + NR) of an area lie at pages DISK on of its device. */
struct swap_extent {
	u32 start, nr;
	u64 disk;
};

/* What a swap area tells its disk to forget: all of it when swapping begins;
 * clusters when their last slot was freed. */
#define SWAP_DISCARD_ONCE  0x1u
#define SWAP_DISCARD_PAGES 0x2u

/* Clusters on their way to be forgotten (swap_discard.c). */
struct swap_discard {
	u32 how;    /* constant: SWAP_DISCARD_*; 0: the disk cannot */
	u8 *due;    /* (S) by cluster: it is empty, and the disk not told */
	u32 nr_due; /* (S) */
	u32 from;   /* (S) the disk is being told of clusters from here */
	u32 nr;	    /* (A) on, so many: no slot of them is to be had */
	struct port_bio *bio; /* that says so */
};

/* One swap area. (S) lock, (K) cache_lock. (A) atomic. */
struct swap_info {
	spinlock_t lock;
	u32 type;	  /* constant */
	s16 prio;	  /* constant while in use */
	bool in_use;	  /* (S) entries may be allocated */
	bool going;	  /* (A) nothing is left: no new user */
	u32 users;	  /* (A) read-ins under way, which hold no slot */
	u32 max;	  /* slots, the header's included */
	u32 pages;	  /* usable slots */
	u32 inuse_pages;  /* (S) */
	u32 slots_cached; /* (A) of them, in CPUs' caches: nobody's yet */
	u64 turn;	  /* (A) when it last was this area's */
	struct port_bdev *bdev;
	struct inode *file; /* it lies in this file, held; NULL: a device */
	char *name;	    /* its path, ours; NULL: the device's name */
	struct swap_extent *extents; /* of a file, by start; constant */
	u32 nr_extents;
	u16 **map;   /* (S) chunks of SWAP_MAP_PER_CHUNK words */
	u16 **owner; /* (S) likewise: the group that each slot is charged to */
	struct swap_more *more; /* (S) counts that went beyond their words */
	u16 *cluster_count;	/* (S) slots taken in each cluster */
	u32 nr_clusters;
	struct swap_discard discard;
	u32 cluster_rotor; /* (S) where the search for a cluster goes on */
	u32 cpu_next[MM_NR_CPUS]; /* (S) next slot to try; 0: need a cluster */
	spinlock_t cache_lock;
	struct xarray cache; /* (K) slot -> page, or a shadow value */
};

/* What the read-ahead learns from. All under ra_lock. */
struct swap_ra_state {
	spinlock_t lock;
	u32 window; /* pages to read around a fault */
	u32 issued; /* read ahead since the last look */
	u32 hits;   /* of those, used */
	u64 last;   /* entry of the last fault */
};

/* One CPU's slots to come. Under lock. */
#define SWAP_BATCH 64u
struct swap_slots {
	spinlock_t lock;
	u32 next, nr, type; /* slot[next .. nr) of area TYPE are there */
	u32 slot[SWAP_BATCH];
};

/* Nodes of arrays that hold shadows alone: shadow_nodes.c. (L) lock. */
struct shadow_list {
	spinlock_t lock;
	struct list_head nodes; /* (L) xa_node.link, oldest first */
	u64 nr;			/* (L) */
} MM_ALIGNED(MM_CACHELINE);

struct shadow_state {
	struct shadow_list list[MM_MAX_NODES];
	struct shrinker shrinker;
};

struct cache_state {
	struct mutex swapon_mutex; /* one swapon at a time */
	struct swap_info *swap[MAX_SWAPFILES];
	u32 nr_swap;   /* (A) swap[] below it is constant: nr_swap_areas() */
	u32 max_slots; /* of one area; constant */
	u64 nr_swap_pages;    /* atomic: free slots of all areas */
	u64 total_swap_pages; /* atomic */
	u64 swap_turns;	      /* (A) given so far */
	struct swap_slots slots[MM_NR_CPUS];
	struct swap_ra_state ra;
	u32 page_cluster;   /* tunable: log2 of the read-ahead limit */
	u32 vma_ra_enabled; /* tunable: by addresses where there are any */
	struct kmem_cache *node_cache, *bio_cache;
	struct shadow_state shadows;
	struct zswap_state zswap; /* zswap.h */
	struct filemap_state fm;  /* pages of files: filemap.h */
	struct shmem_state shmem; /* shmem.h */
};

extern struct cache_state cache_sys;

/* nr_swap_areas: how many of cache_sys.swap[] may be looked at; what swapon()
 * wrote into them is seen. Any context. */
static inline u32 nr_swap_areas(void)
{
	return __atomic_load_n(&cache_sys.nr_swap, __ATOMIC_ACQUIRE);
}

/*
 * cache_reset: forget all; cache_init: at boot, 0 or -ENOMEM. FORMAT is that
 * of the page tables, whose entries limit a swap area's size.
 */
void cache_reset(void);
int cache_init(const struct paging_format *format) MM_MUST_CHECK;

/* cache_node_free: NODE of an array of the caches; the free callback of their
 * struct xa_preload. */
void cache_node_free(void *arg, void *node);

/* ---- areas (swapon.c)
 * ------------------------------------------------------ */

/*
 * swapon: start swapping to BDEV, whose first page is a header as mkswap(8)
 * writes it. PRIO: higher is used first. The device stays the caller's and
 * must live until swapoff or reset. Context: may sleep.
 * Returns the area's number, or -EINVAL (no header, wrong version, sizes that
 * do not fit the device), -EBUSY (BDEV is in use already), -EIO, -ENOMEM,
 * -EPERM (all areas taken).
 */
int swapon(struct port_bdev *bdev, s16 prio) MM_MUST_CHECK;
/* swapon_as: the same; BDEV is NAME (copied) in /proc/swaps, where a kernel
 * knows it by a path. swapon() takes the port's name. DISCARD: SWAP_DISCARD_*,
 * as far as the disk can. */
int swapon_as(struct port_bdev *bdev, const char *name, s16 prio,
	      u32 discard) MM_MUST_CHECK;

/*
 * swapon_file: the same in FILE, open for writing, of a file system that says
 * where its pages lie (a_ops.bmap); NAME is copied, for /proc/swaps. Pages of
 * the file that are no whole pages of the disk are bad slots. The file is
 * S_SWAPFILE until swapoff: it cannot be written, cut or removed (ETXTBSY,
 * EPERM), and must not be when it is called. Errors as swapon(), and -EINVAL:
 * no regular file, a file system without bmap, a file with holes or in pieces
 * of several disks; -EBUSY: it is a swap file already. May sleep.
 */
int swapon_file(struct file *file, const char *name, s16 prio,
		u32 discard) MM_MUST_CHECK;

/* ---- telling the disk (swap_discard.c)
 * -------------------------------------------- */

/*
 * swap_discard_init: SI, which has its slots and nobody can see, is to do HOW
 * as far as its disk can; at once with SWAP_DISCARD_ONCE, which may take long;
 * an error of the disk is told, and no more. 0, -ENOMEM. May sleep.
 * swap_discard_exit: SI, of which nobody has a slot, is forgotten. May sleep.
 */
int swap_discard_init(struct swap_info *si, u32 how) MM_MUST_CHECK;
void swap_discard_exit(struct swap_info *si);

/* swap_discard_empty: the last slot of CLUSTER was freed; _taken: a slot of it
 * was taken; _away: none may be. Locked. */
void swap_discard_empty(struct swap_info *si, u32 cluster);
void swap_discard_taken(struct swap_info *si, u32 cluster);
bool swap_discard_away(const struct swap_info *si, u32 cluster);

/* swap_discard_next: what the disk is to be told next, to be submitted by the
 * caller once SI is unlocked; NULL: nothing. Locked, thread context. */
struct port_bio *swap_discard_next(struct swap_info *si);

/* swap_discard_check: its books. Panics with the finding. Locked. */
void swap_discard_check(const struct swap_info *si);

/* swap_disk_page: the page of SI's device where slot OFFSET lies. */
u64 swap_disk_page(const struct swap_info *si, u32 offset);

/* swap_area_name: as /proc/swaps has it. */
const char *swap_area_name(const struct swap_info *si);

/*
 * swap_header_init: write into PAGE_BYTES (one page) a header for an area of
 * PAGES pages, the header included, as mkswap(8) would.
 */
void swap_header_init(void *page_bytes, u32 pages);

/*
 * The area's part of swapoff() (src/space/swapoff.c). begin: the area in FILE
 * (NULL: on BDEV itself) gives out no slot more, and its slots do not count as
 * swap; NULL: there is none, or somebody is at it. cancel: as before begin.
 * drop_cached: slots that only the cache has are freed; how many slots are
 * left. finish: none is left; the area is gone when it returns. Context: may
 * sleep.
 */
struct swap_info *swapoff_begin(const struct port_bdev *bdev,
				const struct inode *file);
void swapoff_cancel(struct swap_info *si);
u32 swapoff_drop_cached(struct swap_info *si);
void swapoff_finish(struct swap_info *si);

/* swap_area: the area TYPE while the caller's epoch section lasts, or NULL. */
static inline struct swap_info *swap_area(u32 type)
{
	return type < MAX_SWAPFILES ? __atomic_load_n(&cache_sys.swap[type],
						      __ATOMIC_ACQUIRE)
				    : NULL;
}

/* swap_area_get: ENTRY, whose slot the caller does not hold, keeps its area
 * until swap_area_put(); false: the area is gone, or going. */
bool swap_area_get(swp_entry_t entry) MM_MUST_CHECK;
void swap_area_put(swp_entry_t entry);

/* swap_areas_release: forget all areas and free their tables; only when no
 * entry is left in any page table or cache (verified). */
void swap_areas_release(void);

/* ---- slots (swap_slots.c: which; swapfile.c: whose)
 * ------------------------------------------------------ */

void swap_slots_init(void);

/* swap_slots_drain: what CPUs keep goes back to the areas. How many slots. Any
 * context that may take a lock. */
u32 swap_slots_drain(void);

/* swap_slot_word: OFFSET's word, for SI's lock's holder. swap_slot_take: it
 * is free and becomes WORD. swap_slot_entries: how many entries refer to it. */
static inline u16 *swap_slot_word(const struct swap_info *si, u64 offset)
{
	return &si->map[offset / SWAP_MAP_PER_CHUNK]
		       [offset % SWAP_MAP_PER_CHUNK];
}
void swap_slot_take(struct swap_info *si, u32 offset, u16 word);
u64 swap_slot_entries(const struct swap_info *si, u32 offset);

/*
 * get_swap_page: a free slot, marked as cached, with no entries; val 0 when
 * there is none. Fault injection: FAIL_SWAP_SLOT.
 */
swp_entry_t get_swap_page(void);
/* get_swap_block: the first of SWAP_BLOCK such slots in a row, of one area,
 * from a multiple of that on. */
swp_entry_t get_swap_block(void);

/* swap_duplicate: one entry more refers to ENTRY. 0, or -ENOMEM: its count
 * needs a continuation, and there is no memory without waiting. Any context. */
int swap_duplicate(swp_entry_t entry) MM_MUST_CHECK;

/* swap_free: one entry less; a slot without entries and cache is free. */
void swap_free(swp_entry_t entry);

/* swapcache_prepare: reserve the cache bit to read ENTRY in. 0, -EEXIST
 * (somebody has it or is at it), -ENOENT (no entry names the slot by now). */
int swapcache_prepare(swp_entry_t entry) MM_MUST_CHECK;

/* swapcache_free: give the cache bit back. */
void swapcache_free(swp_entry_t entry);

/* swap_slot_owner: the group that ENTRY's slot, taken, is charged to. */
u16 swap_slot_owner(swp_entry_t entry);

/* swap_slot_charge: ENTRY's slot, fresh, is the group's from now on. 0,
 * -ENOMEM: the group is at its memory.swap.max. Until the slot is free. */
int swap_slot_charge(swp_entry_t entry, u16 group) MM_MUST_CHECK;

/* swap_count: entries that refer to ENTRY now, 2^32 - 1 at most. */
u32 swap_count(swp_entry_t entry);

/* swap_slot_used: ENTRY names a slot of an area, taken, not bad: for
 * read-ahead, where neighbours are guesses. */
bool swap_slot_used(swp_entry_t entry);

/* swap_slot_cached: a page of ENTRY is in the cache or on its way. */
bool swap_slot_cached(swp_entry_t entry);

/* vm_swap_full: more than half is used: be eager to free slots. page_swap_full:
 * that, or half of what a group above PAGE's slot may use; PAGE is locked and
 * in the swap cache. */
bool vm_swap_full(void);
bool page_swap_full(struct page *page);
u64 get_nr_swap_pages(void);

/* swap_check: recount every area's map against its counters. Panics. */
void swap_check(void);

/* ---- the swap cache (swap_state.c)
 * --------------------------------------------- */

/* page_swap_entry: where PAGE, in the swap cache, belongs. */
static inline swp_entry_t page_swap_entry(const struct page *page)
{
	u32 v = page_private(page);

	mm_assert(PageSwapCache(page));
	return (swp_entry_t){v};
}

/*
 * add_to_swap: give an anonymous PAGE a slot and put it into the swap cache,
 * dirty. Page locked. False: no slot or no memory; nothing changed.
 */
bool add_to_swap(struct page *page) MM_MUST_CHECK;
/* add_block_to_swap: the same for the SWAP_BLOCK pages from FIRST on, all
 * locked, whose slots are in a row. All, or none. */
bool add_block_to_swap(struct page *first) MM_MUST_CHECK;

/* delete_from_swap_cache: PAGE, locked and not under write-back, leaves the
 * cache; its slot is freed if no entries refer to it. Drops the cache's
 * reference. */
void delete_from_swap_cache(struct page *page);

/* swap_cache_evict: as delete, by reclaim, which has frozen the references;
 * SHADOW (a value, or NULL) takes the page's place. No reference is dropped. */
void swap_cache_evict(struct page *page, void *shadow);

/* swap_cache_replace: NEW, locked, complete, takes the place of OLD, locked, if
 * that has COUNT references, the cache's among them, which goes; so do the
 * slot, the dirty bit and the charge. False: nothing has changed. Does not
 * sleep. */
bool swap_cache_replace(struct page *new, struct page *old,
			int count) MM_MUST_CHECK;

/* try_to_free_swap: if nobody needs the slot any more PAGE leaves the cache
 * and is dirty. Page locked. */
bool try_to_free_swap(struct page *page);

/* free_swap_and_cache: an entry is gone from a page table: drop its count,
 * and the cached page with it if that was the last. Does not sleep. */
void free_swap_and_cache(swp_entry_t entry);

/* free_swap_cache: PAGE, which carries a reference, leaves the swap cache if it
 * is alone there. free_page_and_swap_cache: and put_page. */
void free_swap_cache(struct page *page);
void free_page_and_swap_cache(struct page *page);

/* lookup_swap_cache: the cached page with a reference, or NULL. */
struct page *lookup_swap_cache(swp_entry_t entry);

/*
 * swapin_readahead_place: start reading ENTRY and some neighbours, into frames
 * allocated as PLACE says (neighbours as if they were its neighbours in its
 * object). Returns ENTRY's page with a reference, locked by the read until it
 * completes (it may have completed: look at PG_uptodate under the page lock).
 * NULL: no memory, or the slot was freed meanwhile. Context: may sleep.
 */
struct page *swapin_readahead_place(swp_entry_t entry, gfp_t gfp,
				    const struct mpol_place *place);

/*
 * The same in parts, for who chooses neighbours himself (src/space/swap_ra.c).
 * swapin_alone: ENTRY's page, and nothing else; *STARTED: its read was, so it
 * was not there. swap_read_ahead: start reading ENTRY, if it is in swap and not
 * on its way; a failure is of no consequence. swap_ra_used: PAGE, which is
 * wanted now, was read ahead (true once). They count swap_ra, swap_ra_hit.
 */
struct page *swapin_alone(swp_entry_t entry, gfp_t gfp,
			  const struct mpol_place *place, bool *started);
void swap_read_ahead(swp_entry_t entry, gfp_t gfp,
		     const struct mpol_place *place);
bool swap_ra_used(struct page *page);

/*
 * swap_cache_new_page: a fresh page for ENTRY, locked, in the cache, with a
 * reference, on the LRU lists, not yet read. NULL: no memory; ERR_PTR(-EEXIST):
 * somebody else was there first; -ENOENT: the slot is free. The area is held.
 * Context: as GFP.
 */
struct page *swap_cache_new_page(swp_entry_t entry, gfp_t gfp,
				 const struct mpol_place *place);

/*
 * swap_willneed: somebody says that ENTRY will be used (MADV_WILLNEED): start
 * reading it, and it alone: who knows what he needs teaches the read-ahead
 * nothing. PLACE: as above. True if a read was started; false:
 * it is there or on its way, the slot is free, no memory (nobody is killed for
 * it). Context: may sleep, but not for the read.
 */
bool swap_willneed(swp_entry_t entry, gfp_t gfp,
		   const struct mpol_place *place);

/* ---- I/O (page_io.c)
 * ---------------------------------------------------------------- */

/*
 * swap_writepage: keep PAGE, locked, dirty bit cleared, compressed (zswap.h),
 * or write it to its slot; unlocks it. PG_writeback is set until the end; of a
 * page that was kept that has come. 0, or -ENOMEM: not started, still
 * locked. On an I/O error the page is dirty again and stays.
 */
int swap_writepage(struct page *page) MM_MUST_CHECK;

/* swap_write_disk: the same, past zswap, which has nothing of the slot. */
int swap_write_disk(struct page *page) MM_MUST_CHECK;

/* swap_readpage: start reading PAGE, locked; it is unlocked at the end,
 * uptodate unless the read failed (then PG_error). 0 or -ENOMEM. */
int swap_readpage(struct page *page) MM_MUST_CHECK;

/* bdev_read_page: read one page at PAGE_INDEX of BDEV, waiting. 0, -errno. */
int bdev_read_page(struct port_bdev *bdev, u64 page_index,
		   struct page *page) MM_MUST_CHECK;

/* ---- workingset.c
 * ------------------------------------------------------------------- */

/* workingset_eviction: PAGE is being evicted: the shadow to leave behind. */
void *workingset_eviction(struct page *page);

/* workingset_refault: PAGE came back and left SHADOW when it went: counts,
 * and marks it active if it was away for less than memory could hold. */
void workingset_refault(struct page *page, const void *shadow);

/* workingset_age: N pages of PAGE's list were activated or evicted. */
void workingset_age(struct page *page, u64 n);

/* ---- shadow_nodes.c
 * ------------------------------------------------------------------- */

/* shadow_nodes_init: lists and their shrinker, "mm-shadow". 0 or -ENOMEM. At
 * boot, by cache_init(). */
int shadow_nodes_init(void) MM_MUST_CHECK;

/* What the arrays of files and of swap areas call (struct xarray.update). */
void mapping_node_update(struct xarray *xa, struct xa_node *leaf);
void swap_node_update(struct xarray *xa, struct xa_node *leaf);

/* shadow_nodes_check: lists against nodes and counters. Panics. */
void shadow_nodes_check(void);

#endif
