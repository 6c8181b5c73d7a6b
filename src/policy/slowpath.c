/* SPDX-License-Identifier: MIT */
/*
 * slowpath.c - no free frame above the low watermark: what now?
 *
 * In this order: wake kswapd; take one above the min watermark, or from the
 * reserves if the caller may; reclaim directly; give per-CPU lists and the
 * highatomic reserve back; try again while there is progress or hope; kill a
 * task; fail. The GFP flags say how far a caller wants to go:
 *
 *   no __GFP_DIRECT_RECLAIM   reserves at most; never sleeps
 *   __GFP_NORETRY             one round of reclaim
 *   __GFP_RETRY_MAYFAIL       all rounds, but nobody is killed
 *   (order > 3)               one round unless RETRY_MAYFAIL or NOFAIL
 *   __GFP_NOFAIL              never gives up
 *   PF_MEMALLOC               all reserves; reclaim must not recurse
 *   OOM victim                half of the min reserve, then failure
 *
 * Reference: Linux documentation core-api/memory-allocation.
 */
#include <mmkit/errno.h>

#include "base/string.h"
#include "cache/swap.h"
#include "phys/vmstat.h"
#include "policy/policy.h"
#include "reclaim/reclaim.h"

struct policy_state policy_sys;

/* One slow allocation on its way. */
struct slow_alloc {
	/* Constant. */
	gfp_t gfp;
	unsigned int order;
	struct alloc_context *ac;
	/* Changed from round to round. */
	u32 alloc_flags;
	int no_progress_loops;
	u64 progress;
};

static void wake_all_kswapds(const struct slow_alloc *sa)
{
	pg_data_t *last = NULL;
	struct zoneref *z;
	struct zone *zone;

	for_each_zone_zonelist (zone, z, sa->ac->zonelist,
				sa->ac->highest_zoneidx) {
		if (zone->zone_pgdat != last && managed_zone(zone))
			wakeup_kswapd(zone, sa->gfp, sa->order,
				      sa->ac->highest_zoneidx);
		last = zone->zone_pgdat;
	}
}

/* Killed, and wanted out of the way. */
static bool is_victim(const struct mm_task *task)
{
	return (task->flags & PF_OOM_VICTIM) || READ_ONCE(task->fatal_signal);
}

/* Reserves that this caller may use beyond its flags. */
static u32 reserve_flags(gfp_t gfp)
{
	const struct mm_task *task = port_current();

	if (gfp & __GFP_NOMEMALLOC)
		return 0;
	if (gfp & __GFP_MEMALLOC)
		return ALLOC_NO_WATERMARKS;
	if (port_in_irq())
		return 0;
	if (task->flags & PF_MEMALLOC)
		return ALLOC_NO_WATERMARKS;
	if (is_victim(task))
		return ALLOC_OOM;
	return 0;
}

static struct page *try_freelist(const struct slow_alloc *sa)
{
	return get_page_from_freelist(sa->gfp, sa->order, sa->alloc_flags,
				      sa->ac);
}

/* Reclaim, and take a frame before others do. */
static struct page *reclaim_and_try(struct slow_alloc *sa)
{
	struct page *page;

	sa->progress = try_to_free_pages(sa->ac->zonelist, sa->order, sa->gfp,
					 (int)sa->ac->highest_zoneidx);
	page = try_freelist(sa);
	if (page || !sa->progress)
		return page;
	/* Freed pages may sit on other CPUs' lists, or be reserved. */
	unreserve_highatomic_pageblock(sa->ac, false);
	drain_all_pages();
	return try_freelist(sa);
}

/* Would the allocation succeed if everything reclaimable were reclaimed? */
static bool reclaim_could_help(const struct slow_alloc *sa)
{
	struct zoneref *z;
	struct zone *zone;

	for_each_zone_zonelist (zone, z, sa->ac->zonelist,
				sa->ac->highest_zoneidx) {
		u64 might = zone_reclaimable_pages(zone) +
			    zone_page_state(zone, NR_FREE_PAGES);

		if (__zone_watermark_ok(zone, sa->order, min_wmark_pages(zone),
					(int)sa->ac->highest_zoneidx,
					sa->alloc_flags, (s64)might))
			return true;
	}
	return false;
}

static bool should_retry(struct slow_alloc *sa)
{
	if (sa->progress && sa->order <= PAGE_ALLOC_COSTLY_ORDER)
		sa->no_progress_loops = 0;
	else
		sa->no_progress_loops++;
	if (sa->no_progress_loops > MAX_RECLAIM_RETRIES)
		return unreserve_highatomic_pageblock(sa->ac, true);
	if (!reclaim_could_help(sa))
		return false;
	/* Pages are on their way to disk: give that time. */
	if (sa->no_progress_loops > 1)
		port_park(1000 * 1000);
	return true;
}

static bool may_kill(const struct slow_alloc *sa)
{
	if (sa->gfp & (__GFP_NORETRY | __GFP_RETRY_MAYFAIL | __GFP_THISNODE))
		return false;
	/* A kill rarely yields a large block, or a frame of a low zone. */
	return sa->order <= PAGE_ALLOC_COSTLY_ORDER &&
	       sa->ac->highest_zoneidx >= ZONE_DMA32 && (sa->gfp & __GFP_FS);
}

/* True: try again. */
static bool kill_and_retry(struct slow_alloc *sa)
{
	if (!may_kill(sa) || !out_of_memory(sa->gfp, sa->order))
		return false;
	sa->no_progress_loops = 0;
	return true;
}

static bool may_reclaim(const struct slow_alloc *sa)
{
	return (sa->gfp & __GFP_DIRECT_RECLAIM) &&
	       !(port_current()->flags & PF_MEMALLOC);
}

/* One round. *AGAIN: another one makes sense. */
static struct page *slow_round(struct slow_alloc *sa, bool *again)
{
	u32 reserve = reserve_flags(sa->gfp);
	struct page *page;

	*again = false;
	if (sa->alloc_flags & ALLOC_KSWAPD)
		wake_all_kswapds(sa);
	if (reserve)
		sa->alloc_flags = reserve | (sa->alloc_flags & ALLOC_KSWAPD);
	page = try_freelist(sa);
	if (page || !may_reclaim(sa))
		return page;
	page = reclaim_and_try(sa);
	if (page || (sa->gfp & __GFP_NORETRY))
		return page;
	if (sa->order > PAGE_ALLOC_COSTLY_ORDER &&
	    !(sa->gfp & (__GFP_RETRY_MAYFAIL | __GFP_NOFAIL)))
		return NULL;
	if (is_victim(port_current()))
		return NULL;
	*again = should_retry(sa) || kill_and_retry(sa);
	return NULL;
}

static struct page *alloc_slowpath(gfp_t gfp, unsigned int order,
				   struct alloc_context *ac)
{
	struct slow_alloc sa = {.gfp = gfp, .order = order, .ac = ac};
	struct page *page;
	bool again;

	sa.alloc_flags = gfp_to_alloc_flags(gfp);
	for (;;) {
		page = slow_round(&sa, &again);
		if (page)
			return page;
		if (again)
			continue;
		if (!(gfp & __GFP_NOFAIL) || !may_reclaim(&sa))
			break;
		port_park(10 * 1000 * 1000);
	}
	warn_alloc(gfp, order, "page allocation failure");
	return NULL;
}

static const struct pressure_ops pressure = {
	.alloc_slowpath = alloc_slowpath,
	.wake_kswapd = wakeup_kswapd,
};

void policy_reset(void)
{
	mm_memset(&policy_sys, 0, sizeof(policy_sys));
}

void policy_init(void)
{
	mutex_init(&policy_sys.oom_lock, LOCK_CLASS_OOM);
	init_waitqueue_head(&policy_sys.reaper_wait);
	init_waitqueue_head(&policy_sys.flusher_wait);
	policy_sys.dirty_writeback_centisecs = 500;
	page_alloc_set_pressure_ops(&pressure);
}

/* ---- daemons together
 * ---------------------------------------------------------- */

int policy_start_daemons(void)
{
	pg_data_t *pgdat;
	int err = 0;

	WRITE_ONCE(policy_sys.stop, false);
	for_each_online_pgdat(pgdat)
	{
		if (!err && pgdat->node_present_pages)
			err = kswapd_run(pgdat);
	}
	if (!err)
		err = oom_reaper_run();
	if (!err)
		err = flusher_run();
	if (err)
		policy_stop_daemons();
	return err;
}

static void daemon_join(struct port_thread **t, wait_queue_head_t *wq)
{
	if (!*t)
		return;
	wake_up_all(wq);
	port_thread_join(*t);
	*t = NULL;
}

void policy_stop_daemons(void)
{
	pg_data_t *pgdat;

	WRITE_ONCE(policy_sys.stop, true);
	for_each_online_pgdat(pgdat) kswapd_stop(pgdat);
	daemon_join(&policy_sys.reaper, &policy_sys.reaper_wait);
	daemon_join(&policy_sys.flusher, &policy_sys.flusher_wait);
}
