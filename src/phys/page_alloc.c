/* SPDX-License-Identifier: MIT */
/*
 * page_alloc.c - alloc_pages() and the way back.
 *
 * 1. Purpose. The interface of the page allocator: which zone, whose lists,
 *    which watermark, what to check, whom to charge; page_free.c is the way
 *    back. Not here: how blocks are split (buddy.c), whose type is robbed
 * (fallback.c), what to do when memory is short (policy/slowpath.c, through
 * pressure_ops).
 *
 * 2. The way of a request.
 *
 *      alloc_pages --- this CPU's stack has one ----------------> done
 *         |
 *      __alloc_pages -> get_page_from_freelist   zones by preference,
 *         |                |                     low watermark
 *         |             rmqueue -> rmqueue_pcplist -> pcp_refill
 *         |                     -> __rmqueue (large, or list locked)
 *         |             prep_new_page
 *      pressure_ops->alloc_slowpath              if no zone had one
 *      charge, trace
 *
 *    The fast way takes a frame that left the zone's books when the stack was
 *    filled, so it looks at no watermark: that was done for the batch.
 *
 * 3. Invariants.
 *    PA-1  A free frame has reference count 0, mapcount -1, an empty mapping
 *          word, no group, no policy bits, and no flags (but PG_buddy on the
 *          first of a free block).
 *    PA-2  A block in use of order > 0 has PG_head (compound) or PG_block on
 *          its first frame, and its order in the second frame's index.
 *    PA-3  PG_charged is set exactly on blocks that root_charged counts.
 *
 * 4. Locking. pcp lock, then zone lock; both only inside the callees. Nothing
 *    is held while the slow path or a charge hook runs.
 *
 * 5. Life of a block. Free -> (count 1, PA-2) -> references come and go -> the
 *    last put checks it, uncharges it, clears it -> stack or buddy.
 *
 * 6. Failure. No memory: NULL. A frame that is not as PA-1 says on its way in
 *    or out is reported by bad_page() and left alone for ever; the machine
 *    goes on.
 *
 * 7. Cost. About 90 instructions for a pair on the fast way; O(1) beyond.
 *
 * References: M. Gorman, "Understanding the Linux Virtual Memory Manager",
 * chapter 6; Linux documentation, core-api/memory-allocation, mm/page_owner.
 */
#include <mmkit/errno.h>

#include "base/bitops.h"
#include "base/fail.h"
#include "base/printk.h"
#include "base/trace_ring.h"
#include "phys/buddy_priv.h"
#include "phys/page_alloc_priv.h"
#include "phys/page_debug.h"
#include "phys/page_owner.h"
#include "phys/pcp_priv.h"
#include "phys/phys.h"

void page_alloc_set_pressure_ops(const struct pressure_ops *ops)
{
	WRITE_ONCE(phys_sys.pressure, ops);
}

void page_alloc_set_charge_ops(const struct charge_ops *ops)
{
	WRITE_ONCE(phys_sys.charge, ops);
}

/* ---- what a request's flags mean
 * ----------------------------------------------- */

#define GFP_ZONEMASK (__GFP_DMA | __GFP_HIGHMEM | __GFP_DMA32 | __GFP_MOVABLE)
/* Both mobility bits have no meaning together. */
#define GFP_MOBILITY (__GFP_MOVABLE | __GFP_RECLAIMABLE)
/* Whose frames are charged to a group. */
#define GFP_CHARGED (__GFP_ACCOUNT | __GFP_HARDWALL)

enum zone_type gfp_zone(gfp_t gfp)
{
	return (enum zone_type)phys_sys.hot.gfp_zone[gfp & GFP_ZONEMASK];
}

int request_migratetype(gfp_t gfp)
{
	return phys_sys.group_by_mobility_off ? MIGRATE_UNMOVABLE
					      : gfp_migratetype(gfp);
}

void prepare_alloc_context(struct alloc_context *ac, gfp_t gfp, int nid)
{
	if (nid < 0)
		nid = numa_node_id();
	ac->nid = nid;
	ac->highest_zoneidx = gfp_zone(gfp);
	ac->zonelist = node_zonelist(nid, gfp);
	ac->migratetype = request_migratetype(gfp);
	ac->spread_dirty_pages = (gfp & __GFP_WRITE) != 0;
	alloc_context_limit(ac, NODE_MASK_ALL);
	mm_assert((gfp & GFP_MOBILITY) != GFP_MOBILITY);
}

void alloc_context_limit(struct alloc_context *ac, nodemask_t mask)
{
	struct zoneref *z =
		first_zones_zonelist(ac->zonelist, ac->highest_zoneidx);

	ac->nodemask = mask;
	while (z->zone && !zone_allowed(ac, z->zone))
		z = next_zones_zonelist(z + 1, ac->highest_zoneidx);
	ac->preferred_zoneref = z;
}

u32 gfp_to_alloc_flags(gfp_t gfp)
{
	u32 flags = ALLOC_WMARK_MIN;

	if (gfp & __GFP_HIGH)
		flags |= ALLOC_HIGH;
	if (gfp & __GFP_KSWAPD_RECLAIM)
		flags |= ALLOC_KSWAPD;
	if ((gfp & __GFP_HIGH) && !(gfp & __GFP_DIRECT_RECLAIM) &&
	    !(gfp & __GFP_NOMEMALLOC))
		flags |= ALLOC_HARDER;
	if (request_migratetype(gfp) == MIGRATE_MOVABLE)
		flags |= ALLOC_CMA;
	return flags;
}

/* First try: low watermark; rather use DMA32 than mix pageblocks in NORMAL. */
static u32 first_alloc_flags(gfp_t gfp, const struct alloc_context *ac)
{
	struct zone *zone = ac->preferred_zoneref->zone;
	u32 flags = ALLOC_WMARK_LOW;

	if (gfp & __GFP_KSWAPD_RECLAIM)
		flags |= ALLOC_KSWAPD;
	if (ac->migratetype == MIGRATE_MOVABLE)
		flags |= ALLOC_CMA;
	if (ZONE_NORMAL > 0 && zone && zone->idx == ZONE_NORMAL &&
	    populated_zone(zone - 1))
		flags |= ALLOC_NOFRAGMENT;
	return flags;
}

MM_STATIC_ASSERT(MAX_NR_ZONES == 1 || ZONE_NORMAL - ZONE_DMA32 == 1,
		 "zone below NORMAL is DMA32");

/* ---- charging
 * ---------------------------------------------------------------------- */

u64 root_charged_pages(void)
{
	s64 sum = 0;

	for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
		sum += READ_ONCE(phys_sys.root_charged[cpu][0]);
	return sum > 0 ? (u64)sum : 0;
}

/* Charge the block at PAGE to GROUP, not the root. False: over its limit. */
static MM_NOINLINE bool charge_group(struct page *page, unsigned int order,
				     u16 group, gfp_t gfp)
{
	const struct charge_ops *ops = READ_ONCE(phys_sys.charge);

	if (ops)
		return !ops->charge(page, order, group,
				    current_gfp_context(gfp));
	page->group = group;
	return true;
}

/* Charge the block at PAGE to GROUP. False: over limit. */
static bool charge_block_to(struct page *page, unsigned int order, u16 group,
			    gfp_t gfp)
{
	if (!(gfp & (__GFP_NOFAIL | __GFP_SKIP_FAIL)) &&
	    fail_should(FAIL_CHARGE))
		return false;
	/* Who must have it gets it, at the root's expense. */
	if (unlikely(group) && !charge_group(page, order, group, gfp) &&
	    !(gfp & __GFP_NOFAIL))
		return false;
	/* Nobody else knows the block yet. */
	WRITE_ONCE(page->flags, page->flags | 1u << PG_charged);
	root_charge((s64)(1L << order));
	return true;
}

/* The same to the running task's group. */
static bool charge_block(struct page *page, unsigned int order, gfp_t gfp)
{
	u16 group = port_in_irq() ? 0 : port_current()->group;

	return charge_block_to(page, order, group, gfp);
}

bool charge_page_to(struct page *page, u16 group, gfp_t gfp)
{
	mm_assert(!PageCharged(page) && !page_group(page));
	return charge_block_to(page, 0, group, gfp);
}

bool charge_block_new(struct page *block, unsigned int order, gfp_t gfp)
{
	mm_assert(!PageCharged(block) && !page_group(block));
	return charge_block(block, order, gfp);
}

void page_move_charge(struct page *new, struct page *old)
{
	mm_assert(!PageCharged(new) && !page_group(new));
	set_page_group(new, page_group(old));
	if (TestClearPageCharged(old))
		SetPageCharged(new);
}

/* ---- making a block ready
 * ------------------------------------------------------------ */

/* PA-1 for a frame that comes off a list. */
static bool new_page_bad(const struct page *page)
{
	return page->flags != 0 || !page_counts_free(page);
}

/* False: the block was not as PA-1 says; its good frames are free again. */
static MM_NOINLINE bool check_new_block(struct page *page, unsigned int order)
{
	u64 nr = phys_sys.tunables.check_pages ? 1UL << order : 1;

	for (u64 i = 0; i < nr; i++) {
		if (likely(!new_page_bad(page + i) &&
			   !page_word_left(page + i)))
			continue;
		drop_bad_block(page, order);
		return false;
	}
	return true;
}

static void prep_compound(struct page *page, unsigned int order)
{
	u32 head = (u32)page_to_pfn(page);

	for (u64 i = 1; i < 1UL << order; i++) {
		WRITE_ONCE(page[i].private, head);
		SetPageTail(page + i);
	}
	WRITE_ONCE(page[1].index, order);
	SetPageHead(page);
}

/* A single free frame that was checked is in use: PA-1 did the rest. */
static inline void prep_single(struct page *page)
{
	/* Compaction looks at frames without their zone's lock. */
	WRITE_ONCE(page->index, 0);
	WRITE_ONCE(page->private, 0);
	set_page_count(page, 1);
}

/* Zeroes for a block, as a run of bytes where there is a view of all of it. */
static void clear_block(struct page *page, unsigned int order)
{
	struct page *end = page + (1UL << order);
	char *view;

	if (unlikely(PageHighMem(end - 1))) {
		for (; page < end; page++)
			page_clear(page);
		return;
	}
	view = page_view(page);
	for (u64 at = 0; at < PAGE_SIZE << order; at += PAGE_SIZE)
		port_clear_page(view + at);
}

bool post_alloc_hook(struct page *page, unsigned int order, gfp_t gfp)
{
	const struct phys_debug_state *d = &phys_sys.debug;

	if (unlikely(d->contents) && !page_debug_take(page, order)) {
		drop_bad_block(page, order);
		return false;
	}
	if (want_init_on_alloc(d, gfp))
		clear_block(page, order);
	if (unlikely(d->p.page_owner))
		set_page_owner(page, order, gfp);
	return true;
}

bool prep_new_page(struct page *page, unsigned int order, gfp_t gfp)
{
	if ((phys_sys.tunables.check_pages || new_page_bad(page)) &&
	    !check_new_block(page, order))
		return false;
	if (!post_alloc_hook(page, order, gfp))
		return false;
	prep_single(page);
	if (order && (gfp & __GFP_COMP)) {
		prep_compound(page, order);
	} else if (order) {
		WRITE_ONCE(page[1].index, order);
		SetPageBlock(page);
	}
	return true;
}

/* ---- from one zone
 * --------------------------------------------------------------------- */

/* NUMA_*: was this the zone that was wanted, and is it near? */
static void zone_statistics(struct zone *preferred, struct zone *zone, s64 nr)
{
	bool local = zone_to_nid(zone) == numa_node_id();

	if (zone_to_nid(zone) == zone_to_nid(preferred)) {
		mod_zone_page_state(zone, NUMA_HIT, nr);
	} else {
		mod_zone_page_state(zone, NUMA_MISS, nr);
		mod_zone_page_state(preferred, NUMA_FOREIGN, nr);
	}
	mod_zone_page_state(zone, local ? NUMA_LOCAL : NUMA_OTHER, nr);
}

void count_taken(struct zone *preferred, struct zone *zone, unsigned int order)
{
	count_vm_events(zone_event(PGALLOC_DMA, zone->idx), 1UL << order);
	zone_statistics(preferred, zone, 1);
}

/* A block from this CPU's stacks of ZONE. NULL also if they are locked. */
static struct page *rmqueue_pcplist(struct zone *zone, unsigned int order,
				    int mt, u32 alloc_flags)
{
	unsigned int index = pcp_index(order, mt);
	struct per_cpu_pages *pcp;
	struct page *page = NULL;

	port_pin();
	pcp = &zone->pageset[port_cpu()];
	if (pcp_trylock(pcp)) {
		if (unlikely(phys_sys.tunables.check_pages))
			pcp_mend(pcp, index, 0);
		page = pcp_pop(&pcp->lists[index]);
		if (!page)
			page = pcp_refill(pcp, index, order, 1, alloc_flags);
		if (page) {
			pcp_add_frames(pcp, -(1 << order));
			pcp_add(pcp->nr_moved, -(s64)(1L << order));
		}
		pcp_unlock(pcp);
	}
	port_unpin();
	return page;
}

static struct page *rmqueue_buddy(struct zone *zone, unsigned int order, int mt,
				  u32 alloc_flags)
{
	struct page *page = NULL;
	unsigned long flags;

	spin_lock_irqsave(&zone->lock, flags);
	if (order && (alloc_flags & ALLOC_HARDER))
		page = rmqueue_smallest(zone, order, MIGRATE_HIGHATOMIC);
	if (!page)
		page = __rmqueue(zone, order, mt, alloc_flags);
	/* The reserve is for single frames too, rather than failure. */
	if (!page && (alloc_flags & (ALLOC_HARDER | ALLOC_OOM)))
		page = rmqueue_smallest(zone, order, MIGRATE_HIGHATOMIC);
	if (page)
		trace_emit(MM_PAGE_ALLOC_ZONE_LOCKED, page_to_pfn(page), order,
			   (u64)mt, false);
	spin_unlock_irqrestore(&zone->lock, flags);
	return page;
}

/* Where PAGE stood: the type of its pageblock tells what it was kept for. */
static u64 take_list(const struct page *page, int mt, bool own)
{
	int block = get_pageblock_migratetype(page);

	if (own)
		return PAGE_TAKE_CPU;
	if (block == MIGRATE_HIGHATOMIC)
		return PAGE_TAKE_RESERVE;
	if (block == MIGRATE_CMA)
		return PAGE_TAKE_CMA;
	return block == mt ? PAGE_TAKE_BUDDY : PAGE_TAKE_STOLEN;
}

static struct page *rmqueue(struct zone *preferred, struct zone *zone,
			    unsigned int order, u32 alloc_flags, int mt)
{
	struct page *page = NULL;
	bool own;

	if (use_pcp(order, mt))
		page = rmqueue_pcplist(zone, order, mt, alloc_flags);
	own = page != NULL;
	if (!page)
		page = rmqueue_buddy(zone, order, mt, alloc_flags);
	if (!page)
		return NULL;
	trace_emit(PAGE_TAKE, page_to_pfn(page), order, (u64)zone_to_nid(zone),
		   zone->idx, take_list(page, mt, own));
	count_taken(preferred, zone, order);
	if ((alloc_flags & ALLOC_KSWAPD) &&
	    unlikely(test_bit(ZONE_BOOSTED_WATERMARK, &zone->flags))) {
		const struct pressure_ops *ops = READ_ONCE(phys_sys.pressure);

		clear_bit(ZONE_BOOSTED_WATERMARK, &zone->flags);
		if (ops)
			ops->wake_kswapd(zone, 0, 0, zone_idx(zone));
	}
	return page;
}

/* A block of ZONE, ready for use; frames found bad on the way stay out. */
static struct page *take_from_zone(struct zone *preferred, struct zone *zone,
				   gfp_t gfp, unsigned int order,
				   u32 alloc_flags, int mt)
{
	struct page *page;

	do {
		page = rmqueue(preferred, zone, order, alloc_flags, mt);
		if (!page)
			return NULL;
	} while (!prep_new_page(page, order, gfp));
	if (order && (alloc_flags & ALLOC_HARDER))
		reserve_highatomic_pageblock(page, zone);
	return page;
}

/*
 * Pages that will be written to should not fill one node with dirty pages,
 * whose reclaim would have to wait for the disk.
 */
static bool node_dirty_ok(const pg_data_t *pgdat)
{
	u64 dirtyable = 0, dirty;

	for (int i = 0; i < MAX_NR_ZONES; i++)
		dirtyable +=
			zone_page_state(&pgdat->node_zones[i], NR_FREE_PAGES);
	dirtyable -= min(dirtyable, READ_ONCE(pgdat->totalreserve_pages));
	dirtyable += node_page_state(pgdat, NR_INACTIVE_FILE) +
		     node_page_state(pgdat, NR_ACTIVE_FILE);
	dirty = node_page_state(pgdat, NR_FILE_DIRTY) +
		node_page_state(pgdat, NR_WRITEBACK);
	return dirty <= dirtyable * phys_sys.tunables.dirty_ratio / 100;
}

/*
 * ZONE is below MARK. With zone_reclaim_mode, something near may be given up
 * rather than to go to a far node. True: now there is room.
 */
static bool make_room_near(struct zone *zone, gfp_t gfp, unsigned int order,
			   u32 alloc_flags, const struct alloc_context *ac)
{
	u64 mark = wmark_pages(zone, alloc_flags & ALLOC_WMARK_MASK);
	const struct pressure_ops *ops = READ_ONCE(phys_sys.pressure);
	int preferred = zone_to_nid(ac->preferred_zoneref->zone);
	enum node_reclaim_result r;

	if (!phys_sys.tunables.zone_reclaim_mode || !ops ||
	    !ops->node_reclaim ||
	    node_distance(preferred, zone_to_nid(zone)) > RECLAIM_DISTANCE)
		return false;
	r = ops->node_reclaim(zone->zone_pgdat, gfp, order);
	if (r == NODE_RECLAIM_NOSCAN || r == NODE_RECLAIM_FULL)
		return false;
	/* What was freed lies on this CPU's lists, which no mark counts. */
	drain_pages(port_cpu());
	return zone_watermark_ok(zone, order, mark, (int)ac->highest_zoneidx,
				 alloc_flags);
}

/* May a block be taken from ZONE, as full as it is? */
static bool zone_has_room(struct zone *zone, gfp_t gfp, unsigned int order,
			  u32 alloc_flags, const struct alloc_context *ac)
{
	u64 mark = wmark_pages(zone, alloc_flags & ALLOC_WMARK_MASK);

	if (alloc_flags & ALLOC_NO_WATERMARKS)
		return true;
	return zone_watermark_fast(zone, order, mark, (int)ac->highest_zoneidx,
				   alloc_flags, gfp) ||
	       make_room_near(zone, gfp, order, alloc_flags, ac);
}

/* One walk over the zones. *LEFT_NODE: a far zone was passed over. */
static struct page *walk_zones(gfp_t gfp, unsigned int order, u32 alloc_flags,
			       const struct alloc_context *ac, bool *left_node)
{
	struct zone *preferred = ac->preferred_zoneref->zone;
	struct zoneref *z = ac->preferred_zoneref;
	struct zone *zone;

	for_next_zone_zonelist(zone, z, ac->highest_zoneidx)
	{
		struct page *page;

		if (!zone_allowed(ac, zone))
			continue;
		if (ac->spread_dirty_pages && !node_dirty_ok(zone->zone_pgdat))
			continue;
		/* Mixing pageblocks is better than a far node. */
		if ((alloc_flags & ALLOC_NOFRAGMENT) &&
		    zone_to_nid(zone) != zone_to_nid(preferred)) {
			*left_node = true;
			return NULL;
		}
		if (!zone_has_room(zone, gfp, order, alloc_flags, ac))
			continue;
		page = take_from_zone(preferred, zone, gfp, order, alloc_flags,
				      ac->migratetype);
		if (page)
			return page;
	}
	return NULL;
}

struct page *get_page_from_freelist(gfp_t gfp, unsigned int order,
				    u32 alloc_flags,
				    const struct alloc_context *ac)
{
	bool left_node = false;
	struct page *page;

	mm_assert(order < MAX_ORDER);
	page = walk_zones(gfp, order, alloc_flags, ac, &left_node);
	if (!page && (alloc_flags & ALLOC_NOFRAGMENT))
		page = walk_zones(gfp, order, alloc_flags & ~ALLOC_NOFRAGMENT,
				  ac, &left_node);
	return page;
}

/* ---- alloc_pages
 * ----------------------------------------------------------------------------
 */

/* Who cannot do without should not ask for what is hard to find. */
static void warn_large_nofail(gfp_t gfp, unsigned int order)
{
	(void)mm_warn_on_once((gfp & __GFP_NOFAIL) && order > 1);
}

static struct page *alloc_from_zones(gfp_t gfp, unsigned int order, int nid,
				     nodemask_t mask)
{
	const struct pressure_ops *ops = READ_ONCE(phys_sys.pressure);
	struct alloc_context ac;
	struct page *page;

	if (unlikely(places_stale()) && !port_in_irq())
		refresh_fast_places();
	prepare_alloc_context(&ac, gfp, nid);
	alloc_context_limit(&ac, mask);
	if (!ac.preferred_zoneref->zone)
		return NULL;
	page = get_page_from_freelist(gfp, order, first_alloc_flags(gfp, &ac),
				      &ac);
	if (!page && ac.spread_dirty_pages) {
		/* Rather many dirty pages on one node than none at all. */
		ac.spread_dirty_pages = false;
		page = get_page_from_freelist(gfp, order,
					      first_alloc_flags(gfp, &ac), &ac);
	}
	if (page || !ops)
		return page;
	return ops->alloc_slowpath(gfp, order, &ac);
}

struct page *alloc_pages_nodemask(gfp_t gfp, unsigned int order, int nid,
				  nodemask_t mask)
{
	struct page *page;

	mm_verify(phys_sys.booted);
	if (gfp & __GFP_DIRECT_RECLAIM)
		might_sleep();
	if (mm_warn_on_once(order >= MAX_ORDER && !(gfp & __GFP_NOWARN)) ||
	    order >= MAX_ORDER)
		return NULL;
	warn_large_nofail(gfp, order);
	if (!(gfp & (__GFP_NOFAIL | __GFP_SKIP_FAIL)) &&
	    fail_should(FAIL_PAGE_ALLOC))
		return NULL;
	gfp = current_gfp_context(gfp);
	page = alloc_from_zones(gfp, order, nid, mask);
	if (page && (gfp & GFP_CHARGED) && !charge_block(page, order, gfp)) {
		__free_pages(page, order);
		page = NULL;
	}
	if (page && unlikely(phys_sys.debug.p.page_owner))
		page_owner_caller(page, order, __builtin_return_address(0));
	trace_emit(MM_PAGE_ALLOC, page ? page_to_pfn(page) : 0, order, gfp,
		   (u64)gfp_migratetype(gfp));
	return page;
}

struct page *__alloc_pages(gfp_t gfp, unsigned int order, int nid)
{
	struct mempolicy *pol = NULL;

	/* A policy is for who does not say where. */
	if (nid < 0 && !(gfp & __GFP_THISNODE) && !port_in_irq())
		pol = port_current()->mempolicy;
	if (unlikely(pol))
		return alloc_pages_mpol(gfp, order, pol, NO_INTERLEAVE_INDEX,
					nid);
	return alloc_pages_nodemask(gfp, order, nid, NODE_MASK_ALL);
}

/*
 * The fast way is written so that whatever is not fast leaves it by a tail
 * call: then the compiler saves no registers on the way that is always taken.
 */

/* Where GFP looks first: maybe a set that is locked for ever. */
static inline const struct pcp_place *own_place(gfp_t gfp)
{
	return &phys_sys.pcp_fast[port_cpu_or_none()][gfp & GFP_PLACE];
}

/* A block off this CPU's own stack of the zone that GFP prefers, or NULL. */
static inline struct page *pop_own(gfp_t gfp, unsigned int order)
{
	unsigned int index = pcp_index(order, request_migratetype(gfp));
	struct per_cpu_pages *pcp;
	struct page *page = NULL;

	port_pin();
	pcp = own_place(gfp)->pcp;
	if (likely(pcp_trylock(pcp))) {
		page = pcp_pop(&pcp->lists[index]);
		if (likely(page)) {
			pcp_add_frames(pcp, -(1 << order));
			pcp_add(pcp->nr_tails, (1UL << order) - 1);
		}
		pcp_unlock(pcp);
	}
	port_unpin();
	return page;
}

/*
 * A block too large for the stacks, straight off its type's lists, if the zone
 * that GFP prefers has one and stays above its low mark. NULL: the long way.
 */
static struct page *pop_zone(gfp_t gfp, unsigned int order)
{
	struct per_cpu_pages *pcp = own_place(gfp)->pcp;
	int mt = gfp_migratetype(gfp);
	struct page *page = NULL;
	unsigned long flags;
	struct zone *zone;
	u64 keep;

	if (!pcp->zone || zone_to_nid(pcp->zone) != numa_node_id() ||
	    unlikely(places_stale()))
		return NULL;
	zone = pcp->zone;
	keep = low_wmark_pages(zone) + (1UL << order) +
	       READ_ONCE(zone->lowmem_reserve[gfp_zone(gfp)]) +
	       READ_ONCE(zone->nr_reserved_highatomic);
	spin_lock_irqsave(&zone->lock, flags);
	if (zone->nr_free_pages - zone->nr_free_cma > (s64)keep)
		page = rmqueue_smallest(zone, order, mt);
	if (page) {
		WRITE_ONCE(zone->nr_direct, zone->nr_direct + 1);
		WRITE_ONCE(zone->nr_direct_pages,
			   zone->nr_direct_pages + (1UL << order));
	}
	spin_unlock_irqrestore(&zone->lock, flags);
	return page;
}

/* Nobody wants more of a block than that it is marked as one. */
static inline bool block_is_plain(const struct page *page, gfp_t gfp)
{
	return !(gfp &
		 (__GFP_COMP | __GFP_ZERO | __GFP_NOFAIL | GFP_CHARGED)) &&
	       !phys_sys.tunables.check_pages && !new_page_bad(page);
}

/* What prep_new_page() does, for a block that is plain. */
static inline void prep_plain(struct page *page, unsigned int order)
{
	WRITE_ONCE(page[1].index, order);
	WRITE_ONCE(page->head, page->head | 1u << PG_block);
	prep_single(page);
}

static MM_NOINLINE void trace_at_hand(const struct page *page,
				      unsigned int order)
{
	const struct zone *zone = page_zone(page);

	trace_emit(PAGE_TAKE, page_to_pfn(page), order, (u64)zone_to_nid(zone),
		   zone->idx, PAGE_TAKE_CPU);
}

/* A fast way ended with PAGE or, over a limit, without. */
static inline struct page *tell_alloc(struct page *page, unsigned int order,
				      gfp_t gfp)
{
	if (page && trace_enabled(TRACE_PAGE_TAKE))
		trace_at_hand(page, order);
	trace_emit(MM_PAGE_ALLOC, page ? page_to_pfn(page) : 0, order, gfp,
		   (u64)gfp_migratetype(gfp));
	return page;
}

/* Blocks, first where they are at hand. */
static struct page *alloc_large(gfp_t gfp, unsigned int order)
{
	struct page *page = NULL;

	if (likely(!base_steered())) {
		if (order <= PAGE_ALLOC_COSTLY_ORDER)
			page = pop_own(gfp, order);
		else if (order < MAX_ORDER)
			page = pop_zone(gfp, order);
		if (likely(page && block_is_plain(page, gfp))) {
			prep_plain(page, order);
			return tell_alloc(page, order, gfp);
		}
	}
	if (!page || unlikely(!prep_new_page(page, order, gfp)))
		return __alloc_pages(gfp, order, -1);
	warn_large_nofail(gfp, order);
	if ((gfp & GFP_CHARGED) && !charge_block(page, order, gfp)) {
		__free_pages(page, order);
		page = NULL;
	}
	return tell_alloc(page, order, gfp);
}

/* The fast way ended with PCP empty (locked by us) or locked by others. */
static MM_NOINLINE struct page *alloc_empty(struct per_cpu_pages *pcp,
					    gfp_t gfp)
{
	if (pcp)
		pcp_unlock(pcp);
	port_unpin();
	return __alloc_pages(gfp, 0, -1);
}

/* The frame that came off the stack is not as a free frame should be. */
static MM_NOINLINE struct page *alloc_bad(struct page *page, gfp_t gfp)
{
	(void)check_new_block(page, 0);
	return __alloc_pages(gfp, 0, -1);
}

/* PAGE of the fast way is charged to a group that is not the root. */
static MM_NOINLINE struct page *alloc_charge(struct page *page, gfp_t gfp)
{
	if (likely(charge_block(page, 0, gfp)))
		return page;
	__free_pages(page, 0);
	return NULL;
}

/* A ready frame of the fast way is to be zeroed, or charged, or both. Nobody
 * watches: no charge is made to fail. */
static MM_NOINLINE struct page *alloc_finish(struct page *page, gfp_t gfp)
{
	if (gfp & __GFP_ZERO)
		page_clear(page);
	if (!(gfp & GFP_CHARGED))
		return page;
	if (unlikely(port_in_irq() || port_current()->group))
		return alloc_charge(page, gfp);
	WRITE_ONCE(page->flags, page->flags | 1u << PG_charged);
	root_charge(1);
	return page;
}

/* A single frame while somebody looks: off the same stack, if he only does. */
static struct page *alloc_watched(gfp_t gfp)
{
	struct page *page;

	if (base_steered())
		return __alloc_pages(gfp, 0, -1);
	page = pop_own(gfp, 0);
	if (!page)
		return __alloc_pages(gfp, 0, -1);
	if (unlikely(new_page_bad(page)))
		return alloc_bad(page, gfp);
	prep_single(page);
	return tell_alloc(alloc_finish(page, gfp), 0, gfp);
}

/* What alloc_pages() does not do itself. */
static MM_NOINLINE struct page *alloc_other(gfp_t gfp, unsigned int order)
{
	return order ? alloc_large(gfp, order) : alloc_watched(gfp);
}

struct page *alloc_pages(gfp_t gfp, unsigned int order)
{
	const struct pcp_place *place;
	struct per_cpu_pages *pcp;
	struct page *page;

	if (gfp & __GFP_DIRECT_RECLAIM)
		might_sleep();
	if (unlikely(order) || base_watched())
		return alloc_other(gfp, order);
	port_pin();
	place = own_place(gfp);
	pcp = place->pcp;
	if (unlikely(!pcp_trylock(pcp)))
		return alloc_empty(NULL, gfp);
	page = pcp_pop(place->list);
	if (unlikely(!page))
		return alloc_empty(pcp, gfp);
	pcp_add_frames(pcp, -1);
	pcp_unlock(pcp);
	port_unpin();
	if (unlikely(new_page_bad(page)))
		return alloc_bad(page, gfp);
	prep_single(page);
	if (gfp & (GFP_CHARGED | __GFP_ZERO))
		return alloc_finish(page, gfp);
	return page;
}

static bool frame_is_zero(struct page *page)
{
	u64 *view = page_map(page), any = 0;

	for (u32 i = 0; i < PAGE_SIZE / sizeof(*view); i++)
		any |= view[i];
	page_unmap(page, view);
	return any == 0;
}

struct page *alloc_zeroed_page(gfp_t gfp)
{
	struct per_cpu_pages *pcp;
	struct page *page = NULL;

	if (base_steered())
		return alloc_pages(gfp | __GFP_ZERO, 0);
	if (gfp & __GFP_DIRECT_RECLAIM)
		might_sleep();
	port_pin();
	pcp = own_place(gfp)->pcp;
	if (likely(pcp_trylock(pcp))) {
		page = pcp_pop(&pcp->lists[PCP_ZEROED]);
		if (page) {
			pcp->nr_zeroed--;
			pcp_add_frames(pcp, -1);
		}
		pcp_unlock(pcp);
	}
	port_unpin();
	if (!page)
		return alloc_pages(gfp | __GFP_ZERO, 0);
	if (unlikely(new_page_bad(page)))
		return alloc_bad(page, gfp | __GFP_ZERO);
	mm_assert(frame_is_zero(page));
	prep_single(page);
	page = alloc_finish(page, gfp & ~__GFP_ZERO);
	return tell_alloc(page, 0, gfp | __GFP_ZERO);
}

/* ---- many at once
 * ------------------------------------------------------------------------------
 */

/* Pop up to NR frames from one per-CPU set into PAGES; refills it as needed. */
static u64 bulk_pop(struct zone *zone, gfp_t gfp, u64 nr, struct page **pages,
		    u32 alloc_flags)
{
	unsigned int index = pcp_index(0, request_migratetype(gfp));
	struct per_cpu_pages *pcp;
	u64 got = 0;

	port_pin();
	pcp = &zone->pageset[port_cpu()];
	if (pcp_trylock(pcp)) {
		while (got < nr) {
			struct page *page = pcp_pop(&pcp->lists[index]);

			if (!page)
				page = pcp_refill(pcp, index, 0, nr - got,
						  alloc_flags);
			if (!page)
				break;
			pages[got++] = page;
		}
		pcp_add_frames(pcp, -(s32)got);
		pcp_add(pcp->nr_moved, -(s64)got);
		pcp_unlock(pcp);
	}
	port_unpin();
	if (got) {
		count_vm_events(zone_event(PGALLOC_DMA, zone->idx), got);
		zone_statistics(zone, zone, (s64)got);
	}
	return got;
}

/* The NR frames of PAGES, single, ours and ready, are the root's. Nobody
 * watches: no charge is made to fail. */
static void bulk_charge(struct page **pages, u64 nr)
{
	for (u64 i = 0; i < nr; i++)
		WRITE_ONCE(pages[i]->flags, pages[i]->flags | 1u << PG_charged);
	root_charge((s64)nr);
}

/* Each on its own, to a group. Returns how many are left, at PAGES. */
static u64 bulk_charge_group(struct page **pages, u64 nr, gfp_t gfp)
{
	u64 good = 0;

	for (u64 i = 0; i < nr; i++) {
		struct page *page = alloc_charge(pages[i], gfp);

		if (page)
			pages[good++] = page;
	}
	return good;
}

/* Make the NR frames of PAGES ready; bad ones are dropped. Returns the rest. */
static u64 bulk_prep(struct page **pages, u64 nr, gfp_t gfp)
{
	u64 good = 0;

	for (u64 i = 0; i < nr; i++) {
		struct page *page = pages[i];

		if (unlikely(new_page_bad(page))) {
			(void)check_new_block(page, 0);
			continue;
		}
		prep_single(page);
		if (gfp & __GFP_ZERO)
			page_clear(page);
		pages[good++] = page;
	}
	if (!(gfp & GFP_CHARGED))
		;
	else if (unlikely(port_in_irq() || port_current()->group))
		good = bulk_charge_group(pages, good, gfp);
	else
		bulk_charge(pages, good);
	for (u64 i = 0; i < nr; i++) {
		if (i < good)
			(void)tell_alloc(pages[i], 0, gfp);
		else
			pages[i] = NULL;
	}
	return good;
}

u64 alloc_pages_bulk(gfp_t gfp, int nid, u64 nr, struct page **pages)
{
	struct alloc_context ac;
	struct zone *zone;
	u64 filled = 0;

	while (filled < nr && pages[filled])
		filled++;
	prepare_alloc_context(&ac, gfp, nid);
	zone = ac.preferred_zoneref->zone;
	/* Pre-filled slots further on, hooks, shortage: one by one below. */
	if (zone && filled < nr && !base_steered()) {
		u32 alloc_flags = first_alloc_flags(gfp, &ac);
		u64 want = 0;
		u64 mark;

		while (filled + want < nr && !pages[filled + want])
			want++;
		mark = low_wmark_pages(zone) + want;
		if (zone_watermark_fast(zone, 0, mark, ac.highest_zoneidx,
					alloc_flags, gfp)) {
			want = bulk_pop(zone, gfp, want, pages + filled,
					alloc_flags);
			filled += bulk_prep(pages + filled, want, gfp);
		}
	}
	while (filled < nr) {
		if (!pages[filled])
			pages[filled] = __alloc_pages(gfp, 0, nid);
		if (!pages[filled])
			break;
		filled++;
	}
	return filled;
}

void split_page(struct page *page, unsigned int order)
{
	u64 nr = 1UL << order;
	bool charged = PageCharged(page);

	mm_verify(!PageCompound(page) && page_count(page) > 0);
	mm_verify(block_order(page) == order);
	if (!order)
		return;
	ClearPageBlock(page);
	page[1].index = 0;
	split_page_owner(page, nr);
	for (u64 i = 1; i < nr; i++) {
		page[i].group = page->group;
		if (charged)
			SetPageCharged(page + i);
		set_page_count(page + i, 1);
	}
}

struct page *alloc_pages_exact(u64 size, gfp_t gfp)
{
	unsigned int order;
	struct page *page;

	if (!size || size > MAX_ORDER_NR_PAGES * PAGE_SIZE)
		return NULL;
	order = (unsigned int)get_order(size);
	page = alloc_pages(gfp & ~__GFP_COMP, order);
	if (!page)
		return NULL;
	split_page(page, order);
	for (u64 i = PFN_UP(size); i < 1UL << order; i++)
		__free_pages(page + i, 0);
	return page;
}

void free_pages_exact(struct page *page, u64 size)
{
	for (u64 i = 0; i < PFN_UP(size); i++)
		__free_pages(page + i, 0);
}

/* ---- totals
 * -------------------------------------------------------------------------------------------
 */

u64 nr_free_pages(void)
{
	return global_zone_page_state(NR_FREE_PAGES);
}

u64 totalram_pages(void)
{
	return READ_ONCE(phys_sys.totalram_pages);
}
