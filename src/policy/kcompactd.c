/* SPDX-License-Identifier: MIT */
/*
 * kcompactd.c - the compaction daemon, one for each node.
 *
 * 1. Purpose. Large free blocks before somebody has to make them himself: when
 *    kswapd was asked for a block and has freed enough frames, and, without
 * being asked, when free memory is in pieces more than
 * vm.compaction_proactiveness tolerates.
 *
 * 2. Way. A request (order, highest zone) is left with the daemon as with
 * kswapd; it compacts each zone that is suitable and not deferred. Twice a
 * second it looks at the node's fragmentation score; a run that did not lower
 * the score makes it look the other way for half a minute.
 *
 * 3. Locking. Requests are plain words, as kswapd's.
 */
#include <mmkit/errno.h>

#include "base/epoch.h"
#include "base/seqbuf.h"
#include "base/string.h"
#include "base/trace_ring.h"
#include "compact/compact.h"
#include "phys/vmstat.h"
#include "policy/policy.h"

#define NO_REQUEST     MAX_NR_ZONES
#define CHECK_EVERY_NS (500UL * 1000 * 1000)

static struct kcompactd *of_node(const pg_data_t *pgdat)
{
	return &policy_sys.kcompactd[pgdat->node_id];
}

static int daemon_order(const struct kcompactd *k)
{
	return READ_ONCE(k->order);
}

/* Is a run for ORDER of use in any zone? */
static bool node_suitable(pg_data_t *pgdat, int order, enum zone_type highest)
{
	for (int i = 0; i <= (int)highest && i < MAX_NR_ZONES; i++) {
		struct zone *zone = &pgdat->node_zones[i];

		if (populated_zone(zone) &&
		    compaction_suitable(zone, order, 0, (int)highest) ==
			    COMPACT_CONTINUE)
			return true;
	}
	return false;
}

void wakeup_kcompactd(pg_data_t *pgdat, unsigned int order,
		      enum zone_type highest)
{
	struct kcompactd *k = of_node(pgdat);
	enum zone_type asked = READ_ONCE(k->highest);

	if (!order || !READ_ONCE(k->thread))
		return;
	if (READ_ONCE(k->order) < (int)order)
		WRITE_ONCE(k->order, (int)order);
	if (asked == NO_REQUEST || asked < highest)
		WRITE_ONCE(k->highest, highest);
	if (!node_suitable(pgdat, (int)order, highest))
		return;
	trace_emit(MM_COMPACTION_WAKEUP_KCOMPACTD, (u64)pgdat->node_id, order,
		   highest);
	WRITE_ONCE(k->asked, true);
	wake_up(&k->wait);
}

static void compact_for(struct zone *zone, int order, enum zone_type highest)
{
	struct compact_control cc = {
		.zone = zone,
		.order = order,
		.migratetype = MIGRATE_MOVABLE,
		.highest_zoneidx = (int)highest,
		.mode = MIGRATE_SYNC_LIGHT,
		.gfp = GFP_KERNEL,
	};
	enum compact_result ret;

	if (!populated_zone(zone) || compaction_deferred(zone, order) ||
	    compaction_suitable(zone, order, 0, (int)highest) !=
		    COMPACT_CONTINUE)
		return;
	ret = compact_zone(&cc);
	if (ret == COMPACT_SUCCESS) {
		compaction_defer_reset(zone, order, false);
	} else if (ret == COMPACT_PARTIAL_SKIPPED || ret == COMPACT_COMPLETE) {
		drain_all_pages();
		defer_compaction(zone, order);
	}
	count_vm_events(KCOMPACTD_MIGRATE_SCANNED, cc.migrate_scanned);
	count_vm_events(KCOMPACTD_FREE_SCANNED, cc.free_scanned);
}

static void do_work(pg_data_t *pgdat, int order, enum zone_type highest)
{
	count_vm_event(KCOMPACTD_WAKE);
	trace_emit(MM_COMPACTION_KCOMPACTD_WAKE, (u64)pgdat->node_id,
		   (u64)order, highest);
	for (int i = 0; i <= (int)highest && i < MAX_NR_ZONES; i++)
		compact_for(&pgdat->node_zones[i], order, highest);
}

static void compact_proactively(pg_data_t *pgdat)
{
	for (int i = 0; i < MAX_NR_ZONES; i++) {
		struct compact_control cc = {
			.zone = &pgdat->node_zones[i],
			.order = -1,
			.mode = MIGRATE_SYNC_LIGHT,
			.gfp = GFP_KERNEL,
			.whole_zone = true,
			.ignore_skip_hint = true,
			.proactive = true,
		};

		if (!populated_zone(cc.zone))
			continue;
		(void)compact_zone(&cc);
		count_vm_events(KCOMPACTD_MIGRATE_SCANNED, cc.migrate_scanned);
		count_vm_events(KCOMPACTD_FREE_SCANNED, cc.free_scanned);
	}
}

/* The wait until the next look. */
static u64 look_at_score(pg_data_t *pgdat)
{
	u32 before, after;

	/* Who is short of memory has no use for this. */
	if (!READ_ONCE(compact_sys.proactiveness) ||
	    READ_ONCE(pgdat->kswapd_highest_zoneidx) != NO_REQUEST)
		return CHECK_EVERY_NS;
	before = fragmentation_score_node(pgdat);
	if (before <= fragmentation_score_wmark(false))
		return CHECK_EVERY_NS;
	compact_proactively(pgdat);
	after = fragmentation_score_node(pgdat);
	return after < before ? CHECK_EVERY_NS
			      : CHECK_EVERY_NS << COMPACT_MAX_DEFER_SHIFT;
}

static void kcompactd(void *arg)
{
	pg_data_t *pgdat = arg;
	struct kcompactd *k = of_node(pgdat);
	u64 wait = CHECK_EVERY_NS;

	while (!READ_ONCE(k->stop)) {
		enum zone_type highest;
		int order;

		trace_emit(MM_COMPACTION_KCOMPACTD_SLEEP, (u64)pgdat->node_id);
		if (!wait_event_timeout(
			    k->wait, READ_ONCE(k->asked) || READ_ONCE(k->stop),
			    wait)) {
			wait = look_at_score(pgdat);
			continue;
		}
		order = daemon_order(k);
		highest = READ_ONCE(k->highest);
		WRITE_ONCE(k->asked, false);
		WRITE_ONCE(k->order, 0);
		WRITE_ONCE(k->highest, NO_REQUEST);
		if (READ_ONCE(k->stop) || order <= 0 || highest == NO_REQUEST)
			continue;
		do_work(pgdat, order, highest);
		epoch_poll();
	}
	port_current()->flags |= PF_EXITING;
}

int kcompactd_run(pg_data_t *pgdat)
{
	struct kcompactd *k = of_node(pgdat);
	struct port_thread *t;
	char name[16];
	int err;

	if (k->thread)
		return 0;
	init_waitqueue_head(&k->wait);
	k->stop = k->asked = false;
	k->order = 0;
	k->highest = NO_REQUEST;
	mm_snprintf(name, sizeof(name), "kcompactd%d", pgdat->node_id);
	err = port_thread_start(&t, name, pgdat->node_id, kcompactd, pgdat);
	if (!err)
		WRITE_ONCE(k->thread, t);
	return err;
}

void kcompactd_stop(pg_data_t *pgdat)
{
	struct kcompactd *k = of_node(pgdat);
	struct port_thread *t = k->thread;

	if (!t)
		return;
	WRITE_ONCE(k->stop, true);
	wake_up_all(&k->wait);
	port_thread_join(t);
	WRITE_ONCE(k->thread, NULL);
}
