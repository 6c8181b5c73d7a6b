/* SPDX-License-Identifier: MIT */
/*
 * vmscan.c - reclaim of nodes, and direct reclaim.
 *
 * A task that finds no frame reclaims for itself: it makes passes over the
 * nodes of its zonelist with rising pressure (priority 12 down to 0: a 4096th
 * of each list first, all of it at last) until it has SWAP_CLUSTER_MAX pages.
 * While it does, PF_MEMALLOC lets its own allocations use the reserves and
 * keeps it from reclaiming inside reclaim.
 */
#include <mmkit/errno.h>
#include <mmkit/port.h>
#include <mmkit/shrinker.h>

#include "base/string.h"
#include "base/trace_ring.h"
#include "cache/swap.h"
#include "phys/alloc.h"
#include "phys/memory_tiers.h"
#include "phys/vmstat.h"
#include "reclaim/reclaim.h"

struct reclaim_state reclaim_sys;

void reclaim_reset(void)
{
	mm_memset(&reclaim_sys, 0, sizeof(reclaim_sys));
}

void reclaim_init(void)
{
	reclaim_sys.swappiness = 60;
	for (u32 i = 0; i < MM_MAX_NODES; i++)
		init_waitqueue_head(&reclaim_sys.isolated_wait[i]);
	init_waitqueue_head(&reclaim_sys.mglru.wait);
	lru_register(&classic_ops);
}

static const struct lru_ops *const policies[] = {
	&classic_ops, &clock_ops, &sieve_ops,  &s3fifo_ops,
	&arc_ops,     &mglru_ops, &s3loop_ops,
};

const struct lru_ops *reclaim_policy(u32 i)
{
	if (i < ARRAY_SIZE(policies))
		return policies[i];
	i -= (u32)ARRAY_SIZE(policies);
	return i < RECLAIM_MORE_POLICIES ? reclaim_sys.more[i] : NULL;
}

int reclaim_add(const struct lru_ops *ops)
{
	for (u32 i = 0; i < RECLAIM_MORE_POLICIES; i++) {
		if (reclaim_sys.more[i])
			continue;
		reclaim_sys.more[i] = ops;
		return 0;
	}
	return -ENOSPC;
}

int reclaim_select(const char *name)
{
	const struct lru_ops *ops;

	for (u32 i = 0; (ops = reclaim_policy(i)); i++) {
		if (mm_strcmp(ops->name, name))
			continue;
		lru_register(ops);
		return 0;
	}
	return -EINVAL;
}

u64 zone_reclaimable_pages(const struct zone *zone)
{
	u64 n = zone_page_state(zone, NR_ZONE_INACTIVE_FILE) +
		zone_page_state(zone, NR_ZONE_ACTIVE_FILE);
	u64 anon = zone_page_state(zone, NR_ZONE_INACTIVE_ANON) +
		   zone_page_state(zone, NR_ZONE_ACTIVE_ANON);

	/* Who has a slot needs none, also when they are all taken. */
	if (!get_nr_swap_pages() && !numa_can_demote(zone_to_nid(zone)))
		anon = min(anon,
			   node_page_state(zone->zone_pgdat, NR_SWAPCACHE));
	return n + anon;
}

u64 shrink_node_slabs(pg_data_t *pgdat, struct scan_control *sc)
{
	struct mm_task *task = port_current();
	u64 frames;

	mm_assert(task->flags & PF_MEMALLOC);
	task->reclaimed_slab = 0;
	shrink_slab(sc->gfp, pgdat->node_id, max(sc->priority, 0));
	frames = task->reclaimed_slab;
	sc->nr_reclaimed += frames;
	return frames;
}

/*
 * Kswapd's pass is over: what is the tail of its node's lists like? Until the
 * node is balanced it then writes dirty pages itself, and waits for writes when
 * it meets the same pages again (reclaim_in_vain()).
 */
static void note_node(const pg_data_t *pgdat, const struct scan_control *sc)
{
	u32 *flags = &reclaim_sys.node_flags[pgdat->node_id];

	if (sc->nr.writeback && sc->nr.writeback == sc->nr.taken)
		WRITE_ONCE(*flags, *flags | PGDAT_WRITEBACK);
	if (sc->nr.unqueued_dirty && sc->nr.unqueued_dirty == sc->nr.file_taken)
		WRITE_ONCE(*flags, *flags | PGDAT_DIRTY);
}

void shrink_node(pg_data_t *pgdat, struct scan_control *sc)
{
	u64 freed;

	mm_assert(port_current()->flags & PF_MEMALLOC);
	freed = shrink_groups(pgdat, sc);
	if (port_current()->flags & PF_KSWAPD)
		note_node(pgdat, sc);
	/* Objects are everybody's: not for one group's limit. */
	if (!sc->target)
		freed += shrink_node_slabs(pgdat, sc);
	/* Anybody's success tells a kswapd that gave up to try again. */
	if (freed > 0)
		WRITE_ONCE(pgdat->kswapd_failures, 0);
}

/* N pages of each node more (SIGN 1) or fewer are isolated. */
static void count_isolated(const u32 n[MM_MAX_NODES], int sign)
{
	for (int nid = 0; nid < MM_MAX_NODES; nid++)
		if (n[nid]) {
			mod_node_page_state(NODE_DATA(nid), NR_ISOLATED_ANON,
					    sign * (s64)n[nid]);
			reclaim_isolated_less(NODE_DATA(nid));
		}
}

u64 reclaim_pages(struct page_list *pages)
{
	struct mm_task *task = port_current();
	struct scan_control sc = {
		.gfp = GFP_KERNEL,
		.may_writepage = true,
		.may_unmap = true,
		.may_swap = true,
		.no_demotion = true,
	};
	u32 nr[MM_MAX_NODES] = {0};
	struct reclaim_stat stat = {0};
	u32 nested = task->flags & PF_MEMALLOC;
	struct page *page;
	u64 freed;

	for (page = page_list_first(pages); page; page = page_list_next(page))
		nr[page_to_nid(page)]++;
	count_isolated(nr, 1);
	task->flags |= PF_MEMALLOC;
	freed = shrink_page_list(pages, NODE_DATA(0), &sc, &stat);
	task->flags = (task->flags & ~(u32)PF_MEMALLOC) | nested;
	count_isolated(nr, -1);
	return freed;
}

/* One pass over the nodes of ZONELIST, each once. */
static void shrink_zones(struct zonelist *zonelist, struct scan_control *sc)
{
	pg_data_t *last = NULL;
	struct zoneref *z;
	struct zone *zone;

	for_each_zone_zonelist (zone, z, zonelist,
				(enum zone_type)sc->reclaim_idx) {
		if (zone->zone_pgdat == last ||
		    !(sc->nodemask & NODE_MASK(zone_to_nid(zone))))
			continue;
		last = zone->zone_pgdat;
		shrink_node(last, sc);
		if (sc->nr_reclaimed >= sc->nr_to_reclaim)
			break;
	}
}

MM_STATIC_ASSERT(RECLAIM_WAIT_PAGES == SWAP_CLUSTER_MAX,
		 "who waits gets what one asks for");

/* The first node that SC may take pages from. */
static pg_data_t *preferred_node(struct zonelist *zonelist,
				 const struct scan_control *sc)
{
	struct zoneref *z;
	struct zone *zone;

	for_each_zone_zonelist (zone, z, zonelist,
				(enum zone_type)sc->reclaim_idx)
		if (sc->nodemask & NODE_MASK(zone_to_nid(zone)))
			return zone->zone_pgdat;
	return NULL;
}

void reclaim_throttle(pg_data_t *pgdat, const struct scan_control *sc)
{
	/* What others are to write first, or what we may not wait for. */
	if (!(sc->gfp & __GFP_IO) || !node_page_state(pgdat, NR_WRITEBACK))
		port_park(200 * 1000);
	else
		(void)reclaim_wait_written(pgdat);
}

/* Was the whole tail of PGDAT's lists found under write-back since the node was
 * balanced? */
static bool tail_in_flight(const pg_data_t *pgdat)
{
	return (READ_ONCE(reclaim_sys.node_flags[pgdat->node_id]) &
		PGDAT_WRITEBACK) != 0;
}

bool reclaim_in_vain(const pg_data_t *pgdat, const struct scan_control *sc,
		     u64 before)
{
	if (sc->nr_reclaimed == before && sc->nr.dirty + sc->nr.writeback > 0)
		return true;
	return (port_current()->flags & PF_KSWAPD) && sc->nr.immediate &&
	       tail_in_flight(pgdat);
}

static u64 free_pages_passes(struct zonelist *zonelist, struct scan_control *sc)
{
	pg_data_t *node = preferred_node(zonelist, sc);

	for (sc->priority = DEF_PRIORITY; sc->priority >= 0; sc->priority--) {
		u64 before = sc->nr_reclaimed;

		mm_memset(&sc->nr, 0, sizeof(sc->nr));
		shrink_zones(zonelist, sc);
		if (sc->nr_reclaimed >= sc->nr_to_reclaim)
			break;
		if (node && reclaim_in_vain(node, sc, before))
			reclaim_throttle(node, sc);
	}
	return sc->nr_reclaimed;
}

static u64 do_try_to_free_pages(struct zonelist *zonelist,
				struct scan_control *sc)
{
	u64 freed = free_pages_passes(zonelist, sc);

	/* What is only wished to be kept goes before somebody dies. */
	if (freed || !sc->low_skipped)
		return freed;
	sc->low_reclaim = true;
	return free_pages_passes(zonelist, sc);
}

/* Stalls are counted by the highest zone that was asked for. */
static enum vm_event_item allocstall_event(int highest_zoneidx)
{
	mm_assert(highest_zoneidx >= 0 && highest_zoneidx < MAX_NR_ZONES);
	return (enum vm_event_item)(ALLOCSTALL_DMA + highest_zoneidx);
}

MM_STATIC_ASSERT(ALLOCSTALL_MOVABLE - ALLOCSTALL_DMA == (int)ZONE_MOVABLE,
		 "stalls follow enum zone_type");

u64 try_to_free_pages(const struct alloc_context *ac, u32 order, gfp_t gfp)
{
	struct mm_task *task = port_current();
	struct scan_control sc = {
		.nr_to_reclaim = SWAP_CLUSTER_MAX,
		.gfp = gfp,
		.order = order,
		.reclaim_idx = (int)ac->highest_zoneidx,
		.nodemask = ac->nodemask,
		.may_writepage = true,
		.may_unmap = true,
		.may_swap = true,
	};
	struct memstall stall;
	u64 freed;

	mm_verify(!(task->flags & PF_MEMALLOC));
	psi_memstall_enter(&stall);
	if (throttle_direct_reclaim(ac)) {
		psi_memstall_leave(&stall);
		return 1;
	}
	task->flags |= PF_MEMALLOC;
	count_vm_event(allocstall_event((int)ac->highest_zoneidx));
	trace_emit(MM_VMSCAN_DIRECT_RECLAIM_BEGIN, order, gfp);
	freed = do_try_to_free_pages(ac->zonelist, &sc);
	trace_emit(MM_VMSCAN_DIRECT_RECLAIM_END, freed);
	task->flags &= ~PF_MEMALLOC;
	psi_memstall_leave(&stall);
	return freed;
}
