/* SPDX-License-Identifier: MIT */
/*
 * kswapd.c - the page-out daemon, one for each node.
 *
 * 1. Purpose. Keep free memory between the low and the high watermark, so
 *    that allocations find frames without reclaiming themselves.
 *
 * 2. Way. An allocation that finds a zone under its low watermark leaves its
 *    order and zone with the node and wakes the daemon. The daemon scans with
 *    rising pressure until one zone that the waker can use is above its high
 *    watermark, then sleeps. After 16 rounds without a single page it leaves
 *    the matter to direct reclaim, until reclaim by anybody succeeds.
 *    Its first sleep is a nap of a tenth of a second. Who wakes it from that
 *    hit the low watermark quickly; if nobody did and free memory is under the
 *    high watermark again, that was left quickly, and it goes on by itself.
 *    Both are counted (kswapd_*_wmark_hit_quickly).
 *
 * 3. Locking. Requests (kswapd_order, kswapd_highest_zoneidx) are plain words
 *    that only grow until the daemon takes them; a lost race costs a wake-up.
 */
#include "base/trace_ring.h"
#include "policy/policy.h"

#include <mmkit/errno.h>

#include "base/epoch.h"
#include "base/printk.h"
#include "base/string.h"
#include "phys/vmstat.h"
#include "reclaim/reclaim.h"

/* kswapd_highest_zoneidx when nobody asked for anything. */
#define NO_REQUEST MAX_NR_ZONES
#define NAP_NS	   100000000UL

static bool pgdat_boosted(const pg_data_t *pgdat, enum zone_type highest)
{
	for (int i = 0; i <= (int)highest && i < MAX_NR_ZONES; i++)
		if (READ_ONCE(pgdat->node_zones[i].watermark_boost))
			return true;
	return false;
}

/* Is one usable zone above its high watermark, with a block of ORDER? Where no
 * zone has frames there is nothing to balance. */
static bool pgdat_balanced(const pg_data_t *pgdat, unsigned int order,
			   enum zone_type highest)
{
	bool managed = false;

	for (int i = (int)min((int)highest, MAX_NR_ZONES - 1); i >= 0; i--) {
		const struct zone *zone = &pgdat->node_zones[i];

		if (!managed_zone(zone))
			continue;
		if (zone_watermark_ok(zone, order, high_wmark_pages(zone),
				      (int)highest, 0))
			return true;
		managed = true;
	}
	return !managed;
}

void wakeup_kswapd(struct zone *zone, gfp_t gfp, unsigned int order,
		   enum zone_type highest_zoneidx)
{
	pg_data_t *pgdat = zone->zone_pgdat;
	enum zone_type asked = READ_ONCE(pgdat->kswapd_highest_zoneidx);

	if (!managed_zone(zone) || !READ_ONCE(pgdat->kswapd))
		return;
	if (asked == NO_REQUEST || asked < highest_zoneidx)
		WRITE_ONCE(pgdat->kswapd_highest_zoneidx, highest_zoneidx);
	if (READ_ONCE(pgdat->kswapd_order) < (int)order)
		WRITE_ONCE(pgdat->kswapd_order, (int)order);
	if (READ_ONCE(pgdat->kswapd_failures) >= MAX_RECLAIM_RETRIES)
		return;
	if (pgdat_balanced(pgdat, order, highest_zoneidx) &&
	    !pgdat_boosted(pgdat, highest_zoneidx))
		return;
	/* Frames enough: it is the pieces. Who cannot compact himself asks. */
	if (order && !(gfp & __GFP_DIRECT_RECLAIM))
		wakeup_kcompactd(pgdat, order, highest_zoneidx);
	trace_emit(MM_VMSCAN_WAKEUP_KSWAPD, (u64)pgdat->node_id,
		   highest_zoneidx, order, gfp);
	wake_up(&pgdat->kswapd_wait);
}

/* The boost that was there at the start has been worked off. */
static void boost_settle(pg_data_t *pgdat, const u64 boost[MAX_NR_ZONES])
{
	for (int i = 0; i < MAX_NR_ZONES; i++) {
		struct zone *zone = &pgdat->node_zones[i];
		unsigned long flags;

		if (!boost[i])
			continue;
		spin_lock_irqsave(&zone->lock, flags);
		WRITE_ONCE(zone->watermark_boost,
			   zone->watermark_boost -
				   min(zone->watermark_boost, boost[i]));
		spin_unlock_irqrestore(&zone->lock, flags);
	}
}

static u64 boost_snapshot(const pg_data_t *pgdat, enum zone_type highest,
			  u64 boost[MAX_NR_ZONES])
{
	u64 sum = 0;

	for (int i = 0; i < MAX_NR_ZONES; i++) {
		boost[i] =
			i <= (int)highest
				? READ_ONCE(
					  pgdat->node_zones[i].watermark_boost)
				: 0;
		sum += boost[i];
	}
	return sum;
}

/* Enough to bring each usable zone to its high watermark from nothing. */
static u64 reclaim_target(const pg_data_t *pgdat, enum zone_type highest)
{
	u64 n = 0;

	for (int i = 0; i <= (int)highest && i < MAX_NR_ZONES; i++)
		if (managed_zone(&pgdat->node_zones[i]))
			n += max(high_wmark_pages(&pgdat->node_zones[i]),
				 (u64)SWAP_CLUSTER_MAX);
	return n;
}

/* One pass. True: pressure need not rise. */
static bool kswapd_pass(pg_data_t *pgdat, struct scan_control *sc)
{
	u64 before = sc->nr_reclaimed, scanned = sc->nr_scanned;

	mm_memset(&sc->nr, 0, sizeof(sc->nr));
	sc->nr_to_reclaim =
		reclaim_target(pgdat, (enum zone_type)sc->reclaim_idx);
	shrink_node(pgdat, sc);
	/* Those that wait to reclaim by themselves need not any longer. */
	if (waitqueue_active(&pgdat->pfmemalloc_wait) &&
	    allow_direct_reclaim(pgdat))
		wake_up_all(&pgdat->pfmemalloc_wait);
	if (reclaim_in_vain(pgdat, sc, before))
		reclaim_throttle(pgdat, sc);
	return sc->nr_reclaimed > before &&
	       sc->nr_scanned - scanned >= sc->nr_to_reclaim;
}

/* Work until the node is balanced for the request. Returns pages freed. */
static u64 balance_pgdat(pg_data_t *pgdat, unsigned int order,
			 enum zone_type highest)
{
	struct scan_control sc = {
		.gfp = GFP_KERNEL,
		.order = order,
		.reclaim_idx = (int)highest,
		.may_writepage = true,
		.may_unmap = true,
		.may_swap = true,
		.priority = DEF_PRIORITY,
	};
	u64 boost[MAX_NR_ZONES];
	u64 boosted = boost_snapshot(pgdat, highest, boost);

	count_vm_event(PAGEOUTRUN);
	do {
		u64 before = sc.nr_reclaimed;

		if (pgdat_balanced(pgdat, order, highest))
			break;
		if (READ_ONCE(pgdat->kswapd_stop))
			break;
		if (!kswapd_pass(pgdat, &sc))
			sc.priority--;
		else if (sc.nr_reclaimed == before)
			sc.priority--;
		/* What is only wished to be kept goes when nothing else did. */
		if (sc.priority < 1 && !sc.nr_reclaimed && sc.low_skipped &&
		    !sc.low_reclaim) {
			sc.low_reclaim = true;
			sc.priority = DEF_PRIORITY;
		}
	} while (sc.priority >= 1);
	if (!sc.nr_reclaimed && !pgdat_balanced(pgdat, order, highest))
		WRITE_ONCE(pgdat->kswapd_failures,
			   READ_ONCE(pgdat->kswapd_failures) + 1);
	if (pgdat_balanced(pgdat, order, highest))
		WRITE_ONCE(reclaim_sys.node_flags[pgdat->node_id], 0);
	if (boosted)
		boost_settle(pgdat, boost);
	return sc.nr_reclaimed;
}

static bool kswapd_asked(const pg_data_t *pgdat)
{
	return READ_ONCE(pgdat->kswapd_highest_zoneidx) != NO_REQUEST ||
	       READ_ONCE(pgdat->kswapd_stop);
}

/* Nothing to do: frames enough, or given up. Large blocks are kcompactd's to
 * wait for. */
static bool kswapd_idle(const pg_data_t *pgdat, enum zone_type highest)
{
	return READ_ONCE(pgdat->kswapd_failures) >= MAX_RECLAIM_RETRIES ||
	       pgdat_balanced(pgdat, 0, highest);
}

/* A nap, and if all is well after it sleep until woken. */
static void kswapd_sleep(pg_data_t *pgdat, enum zone_type highest)
{
	bool asked = false;

	if (kswapd_idle(pgdat, highest))
		asked = wait_event_timeout(pgdat->kswapd_wait,
					   kswapd_asked(pgdat), NAP_NS) != 0;
	if (!asked && kswapd_idle(pgdat, highest)) {
		trace_emit(MM_VMSCAN_KSWAPD_SLEEP, (u64)pgdat->node_id);
		wait_event(pgdat->kswapd_wait, kswapd_asked(pgdat));
	} else if (!READ_ONCE(pgdat->kswapd_stop)) {
		count_vm_event(asked ? KSWAPD_LOW_WMARK_HIT_QUICKLY
				     : KSWAPD_HIGH_WMARK_HIT_QUICKLY);
	}
}

/* The request, if there is one; else frames for the zones of the last. */
static void kswapd_take(pg_data_t *pgdat, unsigned int *order,
			enum zone_type *highest)
{
	enum zone_type asked = READ_ONCE(pgdat->kswapd_highest_zoneidx);

	*order = (unsigned int)READ_ONCE(pgdat->kswapd_order);
	if (asked != NO_REQUEST)
		*highest = asked;
	WRITE_ONCE(pgdat->kswapd_order, 0);
	WRITE_ONCE(pgdat->kswapd_highest_zoneidx, NO_REQUEST);
}

static void kswapd(void *arg)
{
	pg_data_t *pgdat = arg;
	struct mm_task *task = port_current();
	enum zone_type highest = MAX_NR_ZONES - 1;
	unsigned int order;

	task->flags |= PF_MEMALLOC | PF_KSWAPD;
	for (;;) {
		kswapd_sleep(pgdat, highest);
		if (READ_ONCE(pgdat->kswapd_stop))
			break;
		kswapd_take(pgdat, &order, &highest);
		trace_emit(MM_VMSCAN_KSWAPD_WAKE, (u64)pgdat->node_id, highest,
			   order);
		/* After one round large orders are compaction's business. */
		if (!balance_pgdat(pgdat, order, highest) && order)
			balance_pgdat(pgdat, 0, highest);
		wakeup_kcompactd(pgdat, order, highest);
		wake_up_all(&pgdat->pfmemalloc_wait);
		epoch_poll();
	}
	task->flags |= PF_EXITING;
}

int kswapd_run(pg_data_t *pgdat)
{
	struct port_thread *t;
	char name[16];
	int err;

	mm_verify(pgdat->kswapd == NULL);
	pgdat->kswapd_stop = false;
	pgdat->kswapd_failures = 0;
	pgdat->kswapd_order = 0;
	pgdat->kswapd_highest_zoneidx = NO_REQUEST;
	mm_snprintf(name, sizeof(name), "kswapd%d", pgdat->node_id);
	err = port_thread_start(&t, name, pgdat->node_id, kswapd, pgdat);
	if (!err)
		WRITE_ONCE(pgdat->kswapd, t);
	return err;
}

void kswapd_stop(pg_data_t *pgdat)
{
	struct port_thread *t = pgdat->kswapd;

	if (!t)
		return;
	WRITE_ONCE(pgdat->kswapd_stop, true);
	wake_up_all(&pgdat->kswapd_wait);
	port_thread_join(t);
	WRITE_ONCE(pgdat->kswapd, NULL);
}

/* A node without a daemon works: who allocates there reclaims by itself. */
static int memory_changes(struct memory_notifier *nb, enum memory_action action,
			  const struct memory_notify *arg)
{
	pg_data_t *pgdat = NODE_DATA(arg->status_change_nid);

	mm_assert(nb == &policy_sys.hotplug);
	if (!pgdat)
		return 0;
	if (action == MEM_OFFLINE) {
		kswapd_stop(pgdat);
		kcompactd_stop(pgdat);
	} else if (action == MEM_ONLINE) {
		if (!pgdat->kswapd && kswapd_run(pgdat))
			pr_warn("kswapd: none for node %d: no thread",
				pgdat->node_id);
		if (kcompactd_run(pgdat))
			pr_warn("kcompactd: none for node %d: no thread",
				pgdat->node_id);
	}
	return 0;
}

void kswapd_watch(bool on)
{
	struct memory_notifier *nb = &policy_sys.hotplug;

	if (on == (nb->call != NULL))
		return;
	if (!on)
		unregister_memory_notifier(nb);
	nb->call = on ? memory_changes : NULL;
	if (on)
		register_memory_notifier(nb);
}
