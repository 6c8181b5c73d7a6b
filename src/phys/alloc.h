/* SPDX-License-Identifier: MIT */
/*
 * alloc.h - the page allocator's inner interface: for the slow path, which
 * lives in policy/, for compaction and for tests. Theory: page_alloc.c.
 */
#ifndef MM_PHYS_ALLOC_H
#define MM_PHYS_ALLOC_H

#include <mmkit/mempolicy.h>
#include <mmkit/page_alloc.h>

#include "phys/mmzone.h"

/* What an allocation may do with zones. Low bits: index into watermarks. */
#define ALLOC_WMARK_MIN	    WMARK_MIN
#define ALLOC_WMARK_LOW	    WMARK_LOW
#define ALLOC_WMARK_HIGH    WMARK_HIGH
#define ALLOC_WMARK_MASK    0x03u
#define ALLOC_NO_WATERMARKS 0x04u  /* down to the last frame */
#define ALLOC_OOM	    0x08u  /* an OOM victim: half of min more */
#define ALLOC_HARDER	    0x10u  /* a quarter of min more, highatomic */
#define ALLOC_HIGH	    0x20u  /* __GFP_HIGH: half of min more */
#define ALLOC_CPUSET	    0x40u  /* reserved for node masks */
#define ALLOC_CMA	    0x80u  /* movable: CMA areas too */
#define ALLOC_NOFRAGMENT    0x100u /* rather another zone than a fallback */
#define ALLOC_KSWAPD	    0x200u /* may wake kswapd */

/* What stays the same while one allocation is tried again and again. */
struct alloc_context {
	struct zonelist *zonelist;
	struct zoneref *preferred_zoneref; /* the first that may be used */
	nodemask_t nodemask; /* nodes that may be used; NODE_MASK_ALL */
	int migratetype;
	enum zone_type highest_zoneidx;
	int nid;
	bool spread_dirty_pages; /* pass over nodes with many dirty pages */
};

/* phys_tunables.zone_reclaim_mode: what node_reclaim may do. */
#define ZONE_RECLAIM_ON	   1u /* reclaim at all */
#define ZONE_RECLAIM_WRITE 2u /* write dirty pages out */
#define ZONE_RECLAIM_UNMAP 4u /* take mapped pages */
/* A node so far or nearer counts as near: reclaim there rather than go on. */
#define RECLAIM_DISTANCE 30

/* What node_reclaim() came to. */
enum node_reclaim_result {
	NODE_RECLAIM_NOSCAN, /* did not try */
	NODE_RECLAIM_FULL,   /* nothing here that may be taken */
	NODE_RECLAIM_SOME,   /* less than was wanted */
	NODE_RECLAIM_SUCCESS
};

/*
 * pressure_ops: what to do when no zone has a free block above its low
 * watermark. Registered by policy/ at boot; with none, the allocation fails.
 */
struct pressure_ops {
	/*
	 * The slow path: wake daemons, compact, reclaim, retry, kill. Calls
	 * get_page_from_freelist(); returns its result or NULL. May sleep if
	 * GFP has __GFP_DIRECT_RECLAIM.
	 */
	struct page *(*alloc_slowpath)(gfp_t gfp, unsigned int order,
				       struct alloc_context *ac);
	/* A zone fell low or was boosted: its node's kswapd should look. */
	void (*wake_kswapd)(struct zone *zone, gfp_t gfp, unsigned int order,
			    enum zone_type highest_zoneidx);
	/*
	 * A near zone is below its low mark: reclaim on its node, as far as
	 * zone_reclaim_mode permits, before a far node is used. May sleep if
	 * GFP has __GFP_DIRECT_RECLAIM, else returns NODE_RECLAIM_NOSCAN.
	 */
	enum node_reclaim_result (*node_reclaim)(struct pglist_data *pgdat,
						 gfp_t gfp, unsigned int order);
	/* The lines on swap of the report of free areas. Any context. */
	void (*show_swap)(void);
};

/*
 * charge_ops: accounting by group. charge is called for each allocation with
 * __GFP_ACCOUNT or for users (__GFP_HARDWALL) when a group other than the
 * root is charged; it returns 0, with the page's group set (it may be the root:
 * the group is gone), or -ENOMEM (the allocation fails). It may sleep if GFP
 * has __GFP_DIRECT_RECLAIM. uncharge: NR frames of GROUP are free. Any context.
 * With no table, only the root's counter moves.
 */
struct charge_ops {
	int (*charge)(struct page *page, unsigned int order, u16 group,
		      gfp_t gfp);
	void (*uncharge)(u16 group, u64 nr);
	/* A node is about to come: before it is known, groups get lists for
	 * it. 0, -ENOMEM. May sleep. node_drop: it does not come after all.
	 * Both may be NULL. */
	int (*node_add)(struct pglist_data *pgdat);
	void (*node_drop)(struct pglist_data *pgdat);
	/* The running task waits for a page that had gone and was needed:
	 * whose time is lost; NULL: nobody's. stall_end: it has it again; OF
	 * is what stall_begin said, if not NULL. May be NULL, both. May sleep.
	 */
	void *(*stall_begin)(void);
	void (*stall_end)(void *of);
};

/*
 * migrate_ops: getting pages out of exact frames. migrate_range moves the
 * contents of all frames in use of [START, END), whose pageblocks are
 * isolated, elsewhere and drops the last references there. 0, -EBUSY (a page
 * cannot move), -ENOMEM. May sleep. With none, a frame in use stays in use.
 */
struct migrate_ops {
	int (*migrate_range)(u64 start, u64 end);
};

/* Registration, at boot; NULL takes the table away. Tables are not copied. */
void page_alloc_set_migrate_ops(const struct migrate_ops *ops);
void page_alloc_set_pressure_ops(const struct pressure_ops *ops);
void page_alloc_set_charge_ops(const struct charge_ops *ops);

/* current_gfp_context: what the running task's scopes make of GFP
 * (mmkit/memalloc.h). */
static inline gfp_t current_gfp_context(gfp_t gfp)
{
	u32 flags;

	if (port_in_irq())
		return gfp;
	flags = port_current()->flags;
	if (flags & PF_MEMALLOC_NOIO)
		gfp &= ~(__GFP_IO | __GFP_FS);
	if (flags & PF_MEMALLOC_NOFS)
		gfp &= ~__GFP_FS;
	if (flags & PF_MEMALLOC_PIN)
		gfp &= ~__GFP_MOVABLE;
	return gfp;
}

/*
 * charge_page_to: PAGE, single, allocated without __GFP_ACCOUNT and
 * __GFP_HARDWALL, is charged to GROUP, who may not be the running task's.
 * False: over its limit. Context as an allocation with GFP.
 */
bool charge_page_to(struct page *page, u16 group, gfp_t gfp) MM_MUST_CHECK;

/* charge_block_new: BLOCK, of 2^ORDER frames, allocated likewise, is charged to
 * the running task's group. False: over its limit; nothing has changed. */
bool charge_block_new(struct page *block, unsigned int order,
		      gfp_t gfp) MM_MUST_CHECK;

/* page_move_charge: NEW, charged to nobody, is charged in place of OLD, whose
 * contents it gets; OLD keeps its group's number, for counters. Both are
 * locked. Any context. */
void page_move_charge(struct page *new, struct page *old);

/* root_charged_pages: frames charged to the root group or below. */
u64 root_charged_pages(void);

/*
 * get_page_from_freelist: one try through the zones of AC with the watermark
 * and permissions of ALLOC_FLAGS. The block is ready for use. NULL: none.
 */
struct page *get_page_from_freelist(gfp_t gfp, unsigned int order,
				    u32 alloc_flags,
				    const struct alloc_context *ac);

/* prepare_alloc_context: from flags and node; what alloc_pages() uses. */
void prepare_alloc_context(struct alloc_context *ac, gfp_t gfp, int nid);

/*
 * alloc_context_limit: only nodes of MASK from now on (NODE_MASK_ALL: all).
 * The preferred zone may be NULL then.
 */
void alloc_context_limit(struct alloc_context *ac, nodemask_t mask);

/*
 * alloc_pages_nodemask: __alloc_pages() nearest to NID, but from the nodes of
 * MASK only. No task's policy is looked at.
 */
struct page *alloc_pages_nodemask(gfp_t gfp, unsigned int order, int nid,
				  nodemask_t mask) MM_MUST_CHECK;

/* zone_allowed: may AC's request use ZONE's node? */
static inline bool zone_allowed(const struct alloc_context *ac,
				const struct zone *zone)
{
	return (ac->nodemask & NODE_MASK(zone_to_nid(zone))) != 0;
}

/* As for_each_zone_zonelist(), over the zones that AC's request may use. */
#define for_each_zone_context(zone_, z, ac)               \
	for_each_zone_zonelist (zone_, z, (ac)->zonelist, \
				(ac)->highest_zoneidx)    \
		if (zone_allowed(ac, zone_))

/* gfp_to_alloc_flags: permissions for the slow path (WMARK_MIN). */
u32 gfp_to_alloc_flags(gfp_t gfp);

/* gfp_zone: the highest zone that GFP may use; gfp_migratetype: mobility. */
enum zone_type gfp_zone(gfp_t gfp);

static inline int gfp_migratetype(gfp_t gfp)
{
	return (int)((gfp / __GFP_MOVABLE) & 3u);
}

/*
 * request_migratetype: the type whose lists serve GFP: its mobility, or
 * UNMOVABLE for all where pageblocks are not grouped. The fast path of single
 * frames has it built into its table; those of blocks ask gfp_migratetype(),
 * find the other types' lists empty, and leave.
 */
int request_migratetype(gfp_t gfp);

MM_STATIC_ASSERT(__GFP_MOVABLE / __GFP_MOVABLE == MIGRATE_MOVABLE, "gfp bits");
MM_STATIC_ASSERT(__GFP_RECLAIMABLE / __GFP_MOVABLE == MIGRATE_RECLAIMABLE,
		 "gfp bits give the migratetype");

/*
 * unreserve_highatomic_pageblock: give a reserved pageblock back to ordinary
 * use, last resort before OOM. FORCE: even if it leaves none. True if frames
 * became available.
 */
bool unreserve_highatomic_pageblock(const struct alloc_context *ac, bool force);

/*
 * warn_alloc: the "page allocation failure" report with reason WHY, unless
 * __GFP_NOWARN or too many came lately. MASK: nodes that might be used.
 */
void warn_alloc(gfp_t gfp, nodemask_t mask, unsigned int order,
		const char *why);

/*
 * show_free_areas: pages by kind, nodes of MASK with their zones, watermarks
 * and free blocks, to the log.
 */
void show_free_areas(nodemask_t mask);

/* ---- watermarks (watermark.c) -----------------------------------------------
 */

/*
 * zone_watermark_ok: would a block of ORDER leave ZONE above MARK plus the
 * reserve kept from allocations that could use HIGHEST_ZONEIDX, and is there
 * a block of that size? __ form: with FREE frames instead of the zone's.
 */
bool __zone_watermark_ok(const struct zone *zone, unsigned int order, u64 mark,
			 int highest_zoneidx, u32 alloc_flags, s64 free);
bool zone_watermark_ok(const struct zone *zone, unsigned int order, u64 mark,
		       int highest_zoneidx, u32 alloc_flags);
/* The same with a short cut for order 0, and without the boost for atomics. */
bool zone_watermark_fast(const struct zone *zone, unsigned int order, u64 mark,
			 int highest_zoneidx, u32 alloc_flags, gfp_t gfp);

/*
 * setup_per_zone_wmarks: watermarks, lowmem_reserve, totalreserve_pages and
 * the sizes of per-CPU lists anew from phys_sys.tunables and the zones' sizes.
 * Context: any without zone locks.
 */
void setup_per_zone_wmarks(void);

/*
 * default_min_free_kbytes: what fits the kernel's share of the machine, by the
 * frames that it manages alone: the marks of the moment have no part in it.
 */
u64 default_min_free_kbytes(void);

/* init_per_zone_wmark_min: min_free_kbytes from the machine's size, then that.
 */
void init_per_zone_wmark_min(void);

/* ---- buddy (buddy.c)
 * ------------------------------------------------------------ */

/* The order of a free block; PG_buddy set, zone lock held or advisory. */
static inline unsigned int buddy_order(const struct page *page)
{
	return READ_ONCE(page->private) & 0xffu;
}

/* The free list that a free block is on. */
static inline int buddy_list_type(const struct page *page)
{
	return (int)(READ_ONCE(page->private) >> 8);
}

/*
 * All below need the zone lock and, unless said otherwise, adjust
 * NR_FREE_PAGES.
 */

/* zone_init_free_lists: an empty zone. No lock needed, boot. */
void zone_init_free_lists(struct zone *zone);

/*
 * __free_one_page: the block at PFN becomes free on list MIGRATETYPE and is
 * merged with its buddies as far as possible. Count 0, not on any list.
 */
void __free_one_page(struct zone *zone, struct page *page, u64 pfn,
		     unsigned int order, int migratetype);

/* free_pages_range: frames [pfn, end), as few blocks as alignment allows. */
void free_pages_range(struct zone *zone, u64 pfn, u64 end, int migratetype);

/* __rmqueue: a block of ORDER for MIGRATETYPE, other lists as last resort. */
struct page *__rmqueue(struct zone *zone, unsigned int order, int migratetype,
		       u32 alloc_flags);

/*
 * __isolate_free_page: take the free block at PAGE of ORDER (its own order)
 * off its list for compaction. Returns the frames taken, 0 if the min
 * watermark forbids it.
 */
u64 __isolate_free_page(struct page *page, unsigned int order);

/*
 * move_freepages_block: free blocks of PAGE's pageblock go to MIGRATETYPE's
 * lists. Returns the frames moved.
 */
u64 move_freepages_block(struct zone *zone, struct page *page, int migratetype);

/* One free block at least for ORDER and TYPE, by fallback if need be. */
int find_suitable_fallback(const struct free_area *area, unsigned int order,
			   int migratetype, bool *can_steal);

/*
 * zone_nr_free_blocks: blocks of ORDER, deferred sections counted as blocks
 * of the highest order: what /proc/buddyinfo shows. MT -1: all types; deferred
 * ones are movable. Locks: none needed, then advisory.
 */
u64 zone_nr_free_blocks(const struct zone *zone, unsigned int order, int mt);

/*
 * buddy_check: every block of every free list of ZONE: flags, order, list,
 * alignment, no free buddy of equal order that should have merged, counts,
 * NR_FREE_PAGES. Panics with the finding. Takes the zone lock.
 */
void buddy_check(struct zone *zone);

/* ---- per-CPU lists (pcp.c)
 * ------------------------------------------------------- */

/* pcp_index: the list of blocks of ORDER and TYPE; pcp_allowed_order. */
static inline bool pcp_allowed_order(unsigned int order)
{
	return order <= PAGE_ALLOC_COSTLY_ORDER || order == pageblock_order;
}

static inline unsigned int pcp_index(unsigned int order, int migratetype)
{
	if (unlikely(order > PAGE_ALLOC_COSTLY_ORDER))
		return NR_LOWORDER_PCP_LISTS;
	return order * MIGRATE_PCPTYPES + (unsigned int)migratetype;
}

/*
 * alloc_zeroed_page: alloc_pages(GFP | __GFP_ZERO, 0), for who gives frames
 * back as they came. free_zeroed_pages: drops a reference to NR such frames,
 * all zero again: if it was the last, one of the next to be asked for will not
 * be cleared (PCP_ZEROED). Contexts as alloc_pages() and put_page().
 */
struct page *alloc_zeroed_page(gfp_t gfp) MM_MUST_CHECK;
void free_zeroed_pages(struct page **pages, u32 nr);

/* pcp_init: all sets of ZONE empty. pcp_set_size: high and batch anew. */
void pcp_init(struct zone *zone);
void pcp_set_size(struct zone *zone);

/*
 * pcp_refill: fill PCP's empty list INDEX (blocks of ORDER) with a batch, at
 * least WANT blocks if there are so many, and take one. pcp lock held. NULL:
 * the zone has none.
 */
struct page *pcp_refill(struct per_cpu_pages *pcp, unsigned int index,
			unsigned int order, u64 want, u32 alloc_flags);

/*
 * pcp_shrink: PCP is at its high mark; give some back, from list INDEX first.
 * pcp lock held.
 */
void pcp_shrink(struct per_cpu_pages *pcp, unsigned int index);

/* drain_zone_pages: all of CPU's frames of ZONE go back to it. */
void drain_zone_pages(struct zone *zone, int cpu);

/* pcp_check: counts and frames of every CPU's set of ZONE. Takes pcp locks. */
void pcp_check(struct zone *zone);

/* ---- bad frames
 * -------------------------------------------------------------------- */

/*
 * bad_page: report PAGE's state with REASON; nr_bad_pages counts the reports.
 * The caller sets the frame aside (page_debug.h).
 */
void bad_page(struct page *page, const char *reason);

/*
 * post_alloc_hook: the block of ORDER at PAGE left the free lists for a
 * request with GFP; nobody uses it yet. It is mapped, its poison looked at,
 * its contents cleared if wanted, its owner noted. Who takes blocks by
 * __isolate_free_page() calls this for them. False: a frame was written to
 * while it was free; the block has been dropped (bad frames set aside, the
 * others free again).
 */
bool post_alloc_hook(struct page *page, unsigned int order,
		     gfp_t gfp) MM_MUST_CHECK;

/*
 * take_page_off_buddy: the free frame PAGE leaves the free block it is part
 * of, whose other frames stay free. False: it is in none. Takes the zone
 * lock. take_page_off_pcp: the same for the per-CPU lists; false also if the
 * set is locked.
 */
bool take_page_off_buddy(struct page *page);
bool take_page_off_pcp(struct page *page);

/*
 * pcp_mend: if the top frame of list INDEX of PCP, locked, has a link that is
 * none, the frame is reported and set aside; what lay below it is lost, and
 * counted with it. TAKEN frames have left the stacks but not yet the count.
 */
void pcp_mend(struct per_cpu_pages *pcp, unsigned int index, s32 taken);

/* deferred_grow_zone: make one deferred section of ZONE real, or a piece of
 * one (memmap_step). Zone lock held. False: none left. */
bool deferred_grow_zone(struct zone *zone);

/* zone_deferred_frames: counted free, but in no list. */
static inline u64 zone_deferred_frames(const struct zone *zone)
{
	return READ_ONCE(zone->nr_deferred) * PAGES_PER_SECTION +
	       READ_ONCE(zone->raw_end) - READ_ONCE(zone->raw_next);
}

#endif
