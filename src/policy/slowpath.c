/* SPDX-License-Identifier: MIT */
/*
 * slowpath.c - no free frame above the low watermark: what now?
 *
 * 1. Purpose. In this order: wake kswapd; take one above the min watermark, or
 *    from the reserves if the caller may; of large blocks, compact without
 *    waiting; reclaim directly; compact harder; give per-CPU lists
 *    and the highatomic reserve back; try again while there is progress or
 *    hope; kill a task; fail.
 *
 * 2. How far a caller wants to go.
 *
 *      no __GFP_DIRECT_RECLAIM   reserves at most; never sleeps
 *      no __GFP_KSWAPD_RECLAIM   the daemons are left alone
 *      __GFP_NORETRY             one round of reclaim, nobody is killed
 *      __GFP_RETRY_MAYFAIL       all rounds, but nobody is killed
 *      (order > 3)               one round unless RETRY_MAYFAIL or NOFAIL;
 *                                nobody is killed
 *      __GFP_THISNODE, no __GFP_FS, DMA and DMA32: nobody is killed
 *      __GFP_NOFAIL              never gives up
 *
 * 3. How deep it may reach.
 *
 *      __GFP_HIGH                half of min
 *      GFP_ATOMIC                three eighths of it, the highatomic reserve
 *      __GFP_MEMALLOC, PF_MEMALLOC   everything, on any node
 *      OOM victim                half of min, any node; then failure
 *      __GFP_NOFAIL              three quarters of min, when all else is done
 *      __GFP_NOMEMALLOC          takes the last five back
 *
 *    Who reaches for the reserves does so for the system, not for its task:
 *    the nodes of a memory policy do not bind it.
 *
 * 4. Failure. NULL, and a report unless __GFP_NOWARN. __GFP_NOFAIL with no
 *    right to sleep is a bug of the caller: it is told so, once, and fails.
 *
 * Reference: Linux documentation core-api/memory-allocation, core-api/mm-api.
 */
#include <mmkit/errno.h>

#include "base/printk.h"
#include "base/string.h"
#include "base/trace_ring.h"
#include "cache/swap.h"
#include "compact/compact.h"
#include "merge/ksm.h"
#include "phys/vmstat.h"
#include "policy/policy.h"
#include "reclaim/reclaim.h"
#include "space/space.h"

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
	enum compact_priority compact_prio;
	enum compact_result compact_result;
	int compact_retries;
};

static void wake_all_kswapds(const struct slow_alloc *sa)
{
	pg_data_t *last = NULL;
	struct zoneref *z;
	struct zone *zone;

	for_each_zone_context(zone, z, sa->ac)
	{
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

/* ---- compaction ------------------------------------------------------------
 */

#define MAX_COMPACT_RETRIES 16

/* Make a block of the wanted order, and take it. */
static struct page *compact_and_try(struct slow_alloc *sa)
{
	struct mm_task *task = port_current();
	u32 flags = task->flags & PF_MEMALLOC;
	struct page *page;

	if (!sa->order)
		return NULL;
	task->flags |= PF_MEMALLOC;
	sa->compact_result = try_to_compact_pages(sa->gfp, sa->order, sa->ac,
						  sa->compact_prio, &page);
	task->flags = (task->flags & ~(u32)PF_MEMALLOC) | flags;
	if (sa->compact_result <= COMPACT_DEFERRED)
		return page;
	count_vm_event(COMPACTSTALL);
	if (!page)
		page = try_freelist(sa);
	count_vm_event(page ? COMPACTSUCCESS : COMPACTFAIL);
	if (page)
		compaction_defer_reset(page_zone(page), (int)sa->order, true);
	return page;
}

/* Before anything is reclaimed: there may be memory enough, in pieces. Not for
 * small unmovable blocks' sake: other types serve them. */
static bool compact_first(const struct slow_alloc *sa)
{
	return sa->order > PAGE_ALLOC_COSTLY_ORDER ||
	       (sa->order && sa->ac->migratetype != MIGRATE_MOVABLE);
}

/* One step harder, if there is one. */
static bool compact_harder(struct slow_alloc *sa)
{
	enum compact_priority least = sa->order > PAGE_ALLOC_COSTLY_ORDER
					      ? MIN_COMPACT_COSTLY_PRIORITY
					      : MIN_COMPACT_PRIORITY;

	if (sa->compact_prio <= least)
		return false;
	sa->compact_prio--;
	sa->compact_retries = 0;
	return true;
}

/* What RESULT says of another attempt, as Linux has it: 1 it failed, 2 it was
 * not really tried, 3 it got on. */
static u64 compact_feedback(enum compact_result result)
{
	switch (result) {
	case COMPACT_COMPLETE:
		return 1;
	case COMPACT_SKIPPED:
	case COMPACT_DEFERRED:
	case COMPACT_CONTENDED:
	case COMPACT_PARTIAL_SKIPPED:
		return 2;
	default:
		return 3;
	}
}

/* Is another attempt at compaction worth a round? At MOST so many of a kind. */
static bool compact_again(struct slow_alloc *sa, int most)
{
	/* Frames to move pages to were lacking: reclaim makes some. */
	if (sa->compact_result == COMPACT_SKIPPED)
		return compaction_zonelist_suitable(sa->ac, (int)sa->order,
						    sa->alloc_flags) &&
		       sa->progress && sa->compact_retries++ < most;
	if (sa->compact_result == COMPACT_SUCCESS) {
		if (sa->order > PAGE_ALLOC_COSTLY_ORDER)
			most /= 4;
		if (++sa->compact_retries <= most)
			return true;
	}
	return compact_harder(sa);
}

static bool should_compact_retry(struct slow_alloc *sa)
{
	int most = MAX_COMPACT_RETRIES;
	bool again;

	if (!sa->order || READ_ONCE(port_current()->fatal_signal))
		return false;
	again = compact_again(sa, most);
	trace_emit(COMPACT_RETRY, sa->order, (u64)sa->compact_prio,
		   compact_feedback(sa->compact_result),
		   (u64)sa->compact_retries, (u64)most, again);
	return again;
}

/* Reclaim, and take a frame before others do. */
static struct page *reclaim_and_try(struct slow_alloc *sa)
{
	struct page *page;

	sa->progress = try_to_free_pages(sa->ac, sa->order, sa->gfp);
	page = try_freelist(sa);
	if (page || !sa->progress)
		return page;
	/* Freed pages may sit on other CPUs' lists, or be reserved. */
	unreserve_highatomic_pageblock(sa->ac, false);
	drain_all_pages();
	return try_freelist(sa);
}

/*
 * Would the allocation succeed if everything reclaimable were reclaimed? For a
 * large block the number of frames must do: blocks form while frames are freed,
 * and the rounds of large orders are counted.
 */
static bool reclaim_could_help(const struct slow_alloc *sa)
{
	bool large = sa->order > PAGE_ALLOC_COSTLY_ORDER;
	u64 more = large ? 1UL << sa->order : 0;
	struct zoneref *z;
	struct zone *zone;

	for_each_zone_context(zone, z, sa->ac)
	{
		u64 reclaimable = zone_reclaimable_pages(zone);
		u64 might = reclaimable + zone_page_state(zone, NR_FREE_PAGES);
		bool ok = __zone_watermark_ok(zone, large ? 0 : sa->order,
					      min_wmark_pages(zone) + more,
					      (int)sa->ac->highest_zoneidx,
					      sa->alloc_flags, (s64)might);

		trace_emit(RECLAIM_RETRY_ZONE, (u64)zone_to_nid(zone),
			   zone->idx, sa->order, reclaimable, might,
			   min_wmark_pages(zone), (u64)sa->no_progress_loops,
			   ok);
		if (ok)
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
		return unreserve_highatomic_pageblock(sa->ac, true);
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
	       sa->ac->highest_zoneidx >= ZONE_NORMAL && (sa->gfp & __GFP_FS);
}

/* True: try again. */
static bool kill_and_retry(struct slow_alloc *sa)
{
	if (!may_kill(sa) || !out_of_memory(sa->gfp, sa->order, sa->ac))
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
		sa->alloc_flags = reserve | (sa->alloc_flags &
					     (ALLOC_KSWAPD | ALLOC_CMA));
	if (reserve || (sa->alloc_flags & ALLOC_HARDER))
		alloc_context_limit(sa->ac, NODE_MASK_ALL);
	page = try_freelist(sa);
	if (page || !may_reclaim(sa))
		return page;
	page = reclaim_and_try(sa);
	if (!page)
		page = compact_and_try(sa);
	if (page || (sa->gfp & __GFP_NORETRY))
		return page;
	if (sa->order > PAGE_ALLOC_COSTLY_ORDER &&
	    !(sa->gfp & (__GFP_RETRY_MAYFAIL | __GFP_NOFAIL)))
		return NULL;
	if (is_victim(port_current()))
		return NULL;
	*again = should_retry(sa) || should_compact_retry(sa) ||
		 kill_and_retry(sa);
	return NULL;
}

/* All is in vain so far, but failure is not permitted. */
static struct page *insist(struct slow_alloc *sa)
{
	u32 flags = sa->alloc_flags;
	struct page *page;

	/* Nobody can free anything while it waits for itself. */
	(void)mm_warn_on_once(port_current()->flags & PF_MEMALLOC);
	if (!(sa->gfp & __GFP_NOMEMALLOC))
		sa->alloc_flags |= ALLOC_HARDER;
	page = try_freelist(sa);
	sa->alloc_flags = flags;
	if (!page)
		port_park(10 * 1000 * 1000);
	return page;
}

/* The first look at a large request. */
static struct page *compact_early(struct slow_alloc *sa)
{
	struct page *page;

	if (!may_reclaim(sa) || !compact_first(sa))
		return NULL;
	if (sa->alloc_flags & ALLOC_KSWAPD)
		wake_all_kswapds(sa);
	page = try_freelist(sa);
	if (!page && !reserve_flags(sa->gfp))
		page = compact_and_try(sa);
	sa->compact_prio = DEF_COMPACT_PRIORITY;
	return page;
}

static struct page *alloc_slowpath(gfp_t gfp, unsigned int order,
				   struct alloc_context *ac)
{
	struct slow_alloc sa = {.gfp = gfp,
				.order = order,
				.ac = ac,
				.compact_prio = INIT_COMPACT_PRIORITY};
	nodemask_t mask = ac->nodemask;
	bool nofail = (gfp & __GFP_NOFAIL) != 0;
	struct page *page;
	bool again;

	if (mm_warn_on_once(nofail && !(gfp & __GFP_DIRECT_RECLAIM)))
		nofail = false;
	sa.alloc_flags = gfp_to_alloc_flags(gfp);
	page = compact_early(&sa);
	if (page)
		return page;
	do {
		page = slow_round(&sa, &again);
		if (!page && !again && nofail)
			page = insist(&sa);
	} while (!page && (again || nofail));
	if (!page)
		warn_alloc(gfp, mask, order, "page allocation failure");
	return page;
}

static void show_swap(void)
{
	pr_info("Free swap  = %llukB",
		(unsigned long long)get_nr_swap_pages() * (PAGE_SIZE / 1024));
	pr_info("Total swap = %llukB",
		(unsigned long long)READ_ONCE(cache_sys.total_swap_pages) *
			(PAGE_SIZE / 1024));
}

static const struct pressure_ops pressure = {
	.alloc_slowpath = alloc_slowpath,
	.wake_kswapd = wakeup_kswapd,
	.node_reclaim = node_reclaim,
	.show_swap = show_swap,
};

static const struct memcg_ops group_ops = {
	.reclaim = try_to_free_memcg,
	.oom = memcg_out_of_memory,
};

void policy_reset(void)
{
	mm_memset(&policy_sys, 0, sizeof(policy_sys));
}

void policy_init(void)
{
	mutex_init(&policy_sys.oom_lock, LOCK_CLASS_OOM);
	init_waitqueue_head(&policy_sys.reaper_wait);
	policy_sys.dirty_writeback_centisecs = 500;
	policy_sys.oom_dump_tasks = 1;
	damon_reclaim_init();
	page_alloc_set_pressure_ops(&pressure);
	memcg_set_ops(&group_ops);
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
		if (!err && pgdat->node_present_pages)
			err = kcompactd_run(pgdat);
	}
	if (!err)
		err = oom_reaper_run();
	if (!err)
		err = flusher_run();
	if (!err)
		err = khugepaged_run();
	if (err)
		policy_stop_daemons();
	else
		kswapd_watch(true);
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

	kswapd_watch(false);
	ksmd_stop();
	damon_reclaim_stop();
	WRITE_ONCE(policy_sys.stop, true);
	for_each_online_pgdat(pgdat)
	{
		kswapd_stop(pgdat);
		kcompactd_stop(pgdat);
	}
	daemon_join(&policy_sys.reaper, &policy_sys.reaper_wait);
	daemon_join(&policy_sys.flusher, &cache_sys.fm.flush.wait);
	daemon_join(&space_sys.thp.khugepaged, &space_sys.thp.wait);
	numa_balancing_stop();
	WRITE_ONCE(cache_sys.fm.flush.running, false);
}
