/* SPDX-License-Identifier: MIT */
/*
 * throttle.c - reclaimers that wait for each other.
 *
 * 1. Purpose. Two ways in which many tasks that reclaim for themselves do harm,
 *    which the disk (vmscan.c, phys/reclaim_wait.c) says nothing of.
 *
 *    Too many isolated pages. Each of them takes its 32 pages off the inactive
 *    list before it looks at any. Enough of them empty the list: who comes
 *    next finds nothing, and takes the machine to be out of memory while all
 *    of it is in other hands. So nobody takes more off while those hands hold
 *    more than the list does. Who may do I/O and enter file systems waits from
 *    an eighth on: somebody who may not could hold locks that those in front
 *    need, and must be able to overtake.
 *
 *    Reserves. Reclaim itself needs frames, which it takes from below the min
 *    mark. Each direct reclaimer that starts may do that. When half of the
 *    reserve is gone the next ones do not start; kswapd goes on alone, and
 *    wakes them when there is enough again.
 *
 * 2. Liveness. No wait here is without an end of its own. For isolated pages:
 *    THROTTLE_ISOLATED_NS, then one look, then the scan takes nothing, which
 *    the passes above count as no progress. For reserves: the condition holds
 *    when kswapd is not there or gave up (kswapd_failures), and after
 *    THROTTLE_ROUNDS looks the task reclaims all the same, and kills somebody
 *    if it must. Who is being killed never waits.
 *
 * References: Linux documentation, admin-guide/mm/concepts; M. Gorman, "Swap
 * over NBD" (2012), the description of the throttling of direct reclaim.
 */
#include <mmkit/port.h>

#include "base/trace_ring.h"
#include "phys/alloc.h"
#include "phys/vmstat.h"
#include "reclaim/reclaim.h"

#define THROTTLE_ISOLATED_NS (20UL * 1000 * 1000)
#define THROTTLE_RESERVE_NS  (100UL * 1000 * 1000)
#define THROTTLE_ROUNDS	     10

static bool dying(void)
{
	return READ_ONCE(port_current()->fatal_signal) != 0;
}

/* ---- isolated pages --------------------------------------------------------
 */

bool too_many_isolated(const pg_data_t *pgdat, bool file, gfp_t gfp)
{
	gfp_t all = __GFP_IO | __GFP_FS;
	u64 inactive = node_page_state(pgdat, file ? NR_INACTIVE_FILE
						   : NR_INACTIVE_ANON);
	u64 isolated = node_page_state(pgdat, file ? NR_ISOLATED_FILE
						   : NR_ISOLATED_ANON);

	if ((gfp & all) == all)
		inactive >>= 3;
	return isolated > inactive;
}

bool reclaim_wait_isolated(pg_data_t *pgdat, bool file,
			   const struct scan_control *sc)
{
	wait_queue_head_t *wq = &reclaim_sys.isolated_wait[pgdat->node_id];
	u64 begin;

	if ((port_current()->flags & PF_KSWAPD) ||
	    !too_many_isolated(pgdat, file, sc->gfp))
		return true;
	begin = port_now_ns();
	(void)wait_event_timeout(
		*wq, dying() || !too_many_isolated(pgdat, file, sc->gfp),
		THROTTLE_ISOLATED_NS);
	trace_emit(MM_VMSCAN_THROTTLED, (u64)pgdat->node_id,
		   THROTTLE_ISOLATED_NS / 1000, (port_now_ns() - begin) / 1000,
		   VMSCAN_THROTTLE_ISOLATED);
	return dying() || !too_many_isolated(pgdat, file, sc->gfp);
}

void reclaim_isolated_less(const pg_data_t *pgdat)
{
	wait_queue_head_t *wq = &reclaim_sys.isolated_wait[pgdat->node_id];

	if (unlikely(waitqueue_active(wq)))
		wake_up_all(wq);
}

/* ---- reserves --------------------------------------------------------------
 */

/* Do PGDAT's zones have more than half of what min keeps for reclaim? */
static bool reserves_left(const pg_data_t *pgdat)
{
	u64 reserve = 0, free = 0;

	for (int i = 0; i <= ZONE_NORMAL; i++) {
		const struct zone *zone = &pgdat->node_zones[i];

		if (!managed_zone(zone) || !zone_reclaimable_pages(zone))
			continue;
		reserve += min_wmark_pages(zone);
		free += zone_page_state(zone, NR_FREE_PAGES);
	}
	return !reserve || free > reserve / 2;
}

bool allow_direct_reclaim(pg_data_t *pgdat)
{
	if (!READ_ONCE(pgdat->kswapd) || READ_ONCE(pgdat->kswapd_stop) ||
	    READ_ONCE(pgdat->kswapd_failures) >= MAX_RECLAIM_RETRIES)
		return true;
	return reserves_left(pgdat);
}

/* PGDAT's kswapd works, and for a zone that reserves are counted in. */
static void push_kswapd(pg_data_t *pgdat)
{
	enum zone_type asked = READ_ONCE(pgdat->kswapd_highest_zoneidx);

	if (asked == MAX_NR_ZONES || asked < ZONE_NORMAL)
		WRITE_ONCE(pgdat->kswapd_highest_zoneidx, ZONE_NORMAL);
	wake_up_all(&pgdat->kswapd_wait);
}

/* The first node of AC that has a zone of those that reserves are kept in. */
static pg_data_t *throttling_node(const struct alloc_context *ac)
{
	struct zoneref *z;
	struct zone *zone;

	for_each_zone_zonelist (zone, z, ac->zonelist, ac->highest_zoneidx)
		if (zone->idx <= ZONE_NORMAL &&
		    (ac->nodemask & NODE_MASK(zone_to_nid(zone))))
			return zone->zone_pgdat;
	return NULL;
}

bool throttle_direct_reclaim(const struct alloc_context *ac)
{
	pg_data_t *pgdat = throttling_node(ac);

	/* A thread of the kernel may be what others wait for. */
	if ((port_current()->flags & PF_KTHREAD) || dying() || !pgdat ||
	    allow_direct_reclaim(pgdat))
		return false;
	count_vm_event(PGSCAN_DIRECT_THROTTLE);
	for (int i = 0; i < THROTTLE_ROUNDS; i++) {
		push_kswapd(pgdat);
		if (wait_event_timeout(pgdat->pfmemalloc_wait,
				       dying() || allow_direct_reclaim(pgdat),
				       THROTTLE_RESERVE_NS))
			break;
	}
	return dying();
}
