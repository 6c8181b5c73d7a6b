/* SPDX-License-Identifier: MIT */
/*
 * node_reclaim.c - rather reclaim here than take memory far away.
 *
 * 1. Purpose. On a machine whose far nodes are slow, pages that nobody uses
 *    should not push what is used to a far node. With zone_reclaim_mode the
 *    allocator asks, when a near node is below its low mark, to free some of
 *    its pages before it looks further.
 *
 * 2. When. Only for the running CPU's node, or one without CPUs (another node's
 *    own CPUs know better); only who may sleep and is not reclaiming already;
 *    one task at a time for each node; and only if enough can be had: more
 *    than min_unmapped_ratio percent of the node in pages that the mode
 *    permits to take, or more than min_slab_ratio in reclaimable slabs. With
 *    ZONE_RECLAIM_UNMAP every page that has a file or a swap slot behind it
 *    counts, without it only file pages that nobody has mapped; dirty ones
 *    count with ZONE_RECLAIM_WRITE.
 *
 * 3. Way. Passes over the node's lists from priority 4 (a sixteenth) upwards
 *    until there is room for the request, at least SWAP_CLUSTER_MAX pages.
 *    Without ZONE_RECLAIM_WRITE nothing is written, without
 *    ZONE_RECLAIM_UNMAP nothing is unmapped.
 *
 * 4. Locking. pgdat.reclaim_locked, taken by exchange, never waited for.
 *
 * 5. Failure. Less than was asked for: zone_reclaim_failed counts, the
 *    allocator looks at the mark again and goes on to the next zone.
 *
 * 6. Rejected. Making it the default: most programs gain more from a page that
 *    stays in memory than they lose by distance.
 *
 * References: Linux documentation, admin-guide/sysctl/vm (zone_reclaim_mode,
 * min_unmapped_ratio, min_slab_ratio).
 */
#include <mmkit/memalloc.h>

#include "base/trace_ring.h"
#include "phys/phys.h"
#include "policy/policy.h"
#include "reclaim/reclaim.h"

#define NODE_RECLAIM_PRIORITY 4

MM_STATIC_ASSERT(NODE_RECLAIM_PRIORITY < DEF_PRIORITY, "harder than usual");

static u32 reclaim_mode(void)
{
	return READ_ONCE(phys_sys.tunables.zone_reclaim_mode);
}

/* PERCENT of the node's frames. */
static u64 node_share(const pg_data_t *pgdat, u32 percent)
{
	u64 managed = 0;

	mm_assert(percent <= 100);
	for (int i = 0; i < MAX_NR_ZONES; i++)
		managed += zone_managed_pages(&pgdat->node_zones[i]);
	return managed * percent / 100;
}

/* Pages of the node that the mode permits to take. */
static u64 node_takeable(const pg_data_t *pgdat)
{
	u64 pages, not_now = 0;

	if (reclaim_mode() & ZONE_RECLAIM_UNMAP) {
		pages = node_page_state(pgdat, NR_FILE_PAGES);
	} else {
		pages = node_page_state(pgdat, NR_INACTIVE_FILE) +
			node_page_state(pgdat, NR_ACTIVE_FILE);
		not_now = node_page_state(pgdat, NR_FILE_MAPPED);
	}
	if (!(reclaim_mode() & ZONE_RECLAIM_WRITE))
		not_now += node_page_state(pgdat, NR_FILE_DIRTY);
	return pages - min(pages, not_now);
}

static bool worth_it(const pg_data_t *pgdat)
{
	const struct phys_tunables *t = &phys_sys.tunables;

	return node_takeable(pgdat) >
		       node_share(pgdat, READ_ONCE(t->min_unmapped_ratio)) ||
	       node_page_state(pgdat, NR_SLAB_RECLAIMABLE_B) >
		       node_share(pgdat, READ_ONCE(t->min_slab_ratio));
}

/* Somebody else's CPUs are on the node. */
static bool others_node(const pg_data_t *pgdat)
{
	if (pgdat->node_id == numa_node_id())
		return false;
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
		if (phys_sys.cpu_node[cpu] == pgdat->node_id &&
		    !phys_cpu_gone(cpu))
			return true;
	}
	return false;
}

/* There are few pages to take, but many objects. */
static void slab_passes(pg_data_t *pgdat, struct scan_control *sc)
{
	do {
		shrink_node_slabs(pgdat, sc);
	} while (sc->nr_reclaimed < sc->nr_to_reclaim && --sc->priority >= 0);
}

/* The passes. True: all that was wanted was freed. */
static bool reclaim_passes(pg_data_t *pgdat, gfp_t gfp, unsigned int order)
{
	struct scan_control sc = {
		.nr_to_reclaim = max(1UL << order, (u64)SWAP_CLUSTER_MAX),
		.gfp = gfp,
		.order = order,
		.reclaim_idx = (int)gfp_zone(gfp),
		.may_writepage = (reclaim_mode() & ZONE_RECLAIM_WRITE) != 0,
		.may_unmap = (reclaim_mode() & ZONE_RECLAIM_UNMAP) != 0,
		.may_swap = true,
		.priority = NODE_RECLAIM_PRIORITY,
	};
	unsigned int before = memalloc_noreclaim_save();

	mm_assert(!before);
	trace_emit(MM_VMSCAN_NODE_RECLAIM_BEGIN, (u64)pgdat->node_id, order,
		   gfp);
	if (node_takeable(pgdat) >
	    node_share(pgdat, READ_ONCE(phys_sys.tunables.min_unmapped_ratio)))
		do {
			shrink_node(pgdat, &sc);
		} while (sc.nr_reclaimed < 1UL << order && --sc.priority >= 0);
	else
		slab_passes(pgdat, &sc);
	memalloc_noreclaim_restore(before);
	trace_emit(MM_VMSCAN_NODE_RECLAIM_END, sc.nr_reclaimed);
	return sc.nr_reclaimed >= 1UL << order;
}

enum node_reclaim_result node_reclaim(pg_data_t *pgdat, gfp_t gfp,
				      unsigned int order)
{
	bool enough;

	if (!(gfp & __GFP_DIRECT_RECLAIM) || port_in_irq() ||
	    (port_current()->flags & PF_MEMALLOC) || others_node(pgdat))
		return NODE_RECLAIM_NOSCAN;
	if (!worth_it(pgdat))
		return NODE_RECLAIM_FULL;
	if (__atomic_exchange_n(&pgdat->reclaim_locked, true, __ATOMIC_ACQUIRE))
		return NODE_RECLAIM_NOSCAN;
	enough = reclaim_passes(pgdat, gfp, order);
	__atomic_store_n(&pgdat->reclaim_locked, false, __ATOMIC_RELEASE);
	count_vm_event(enough ? PGSCAN_ZONE_RECLAIM_SUCCESS
			      : PGSCAN_ZONE_RECLAIM_FAILED);
	return enough ? NODE_RECLAIM_SUCCESS : NODE_RECLAIM_SOME;
}
