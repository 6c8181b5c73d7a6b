/* SPDX-License-Identifier: MIT */
/*
 * classic.c - the replacement policy "classic": active and inactive lists
 * with a second chance.
 *
 * 1. Purpose. Keep the pages that are used again, give up those that are not,
 *    without being asked at every use.
 *
 * 2. Way. Pages start at the head of the inactive list. At its tail the
 *    accessed bit is looked at: unused pages go; used ones go round once more,
 *    and at the second use to the active list. When the inactive list is
 *    short, the tail of the active list moves over. The inactive share wanted
 *    falls with the size of memory: inactive * ratio < active means short,
 *    with ratio = sqrt(10 * GiB), at least 1.
 *
 * 3. Balance. Anonymous and file pages have lists of their own; how much of
 *    each is scanned follows swappiness and the cost that reclaim of each kind
 *    had lately (refaults and writes), decayed as it grows.
 *
 * 4. Locking. The lruvec lock is held only to take pages off and put them
 *    back, SWAP_CLUSTER_MAX at a time; pages are judged without it.
 *
 * References: Gorman (2004), chapter 10; R. van Riel, "Towards an O(1) VM"
 * (2006, 2008); Linux documentation admin-guide/sysctl/vm (swappiness).
 */
#include <mmkit/page_alloc.h>
#include <mmkit/port.h>

#include "base/trace_ring.h"
#include "cache/swap.h"
#include "phys/memory_tiers.h"
#include "phys/vmstat.h"
#include "reclaim/reclaim.h"
#include "space/rmap.h"

/* ---- the door
 * ---------------------------------------------------------------- */

static void classic_activate(struct lruvec *lruvec, struct page *page)
{
	mm_assert(!PageActive(page));
	lruvec_del_page(lruvec, page);
	SetPageActive(page);
	lruvec_add_page(lruvec, page);
	__atomic_fetch_add(&lruvec->nonresident_age, 1, __ATOMIC_RELAXED);
}

static void classic_rotate(struct lruvec *lruvec, struct page *page)
{
	lruvec_del_page(lruvec, page);
	lruvec_add_page_tail(lruvec, page);
}

static u64 classic_scan(struct lruvec *lruvec, struct scan_control *sc);

/* ---- taking off
 * ------------------------------------------------ */

struct isolated {
	struct page_list pages;
	u64 scanned;
};

/* Take one page off LRU's tail if it may be touched; skipped ones go to the
 * head, so that a scan always ends. Lruvec lock held. */
static void isolate_one(struct lruvec *lruvec, struct page *page,
			enum lru_list lru, const struct scan_control *sc,
			struct isolated *iso)
{
	if (reclaim_isolate(lruvec, page, sc)) {
		page_list_add(&iso->pages, page);
		return;
	}
	page_list_del(&lruvec->lists[lru], page);
	page_list_add(&lruvec->lists[lru], page);
}

static void isolate_pages(struct lruvec *lruvec, enum lru_list lru, u64 nr,
			  const struct scan_control *sc, struct isolated *iso)
{
	unsigned long flags;

	page_list_init(&iso->pages);
	spin_lock_irqsave(&lruvec->lock, flags);
	/* With another policy the lists are not ours. */
	nr = lruvec->ops->scan == classic_scan
		     ? min(nr, lruvec->lists[lru].count)
		     : 0;
	for (iso->scanned = 0; iso->scanned < nr; iso->scanned++) {
		struct page *page = page_list_last(&lruvec->lists[lru]);

		isolate_one(lruvec, page, lru, sc, iso);
	}
	spin_unlock_irqrestore(&lruvec->lock, flags);
	mod_node_page_state(lruvec->pgdat,
			    lru & LRU_FILE ? NR_ISOLATED_FILE
					   : NR_ISOLATED_ANON,
			    (long)iso->pages.count);
	trace_emit(MM_VMSCAN_LRU_ISOLATE, (u64)sc->reclaim_idx, sc->order, nr,
		   iso->scanned, iso->scanned - iso->pages.count,
		   iso->pages.count, 0, lru);
}

/* ---- the two lists
 * --------------------------------------------------------------- */

static u64 isqrt(u64 v)
{
	u64 r = 0;

	while ((r + 1) * (r + 1) <= v)
		r++;
	return r;
}

static bool inactive_is_low(const struct lruvec *lruvec, bool file)
{
	int base = file ? LRU_INACTIVE_FILE : LRU_INACTIVE_ANON;
	u64 inactive = lruvec_size(lruvec, (enum lru_list)base);
	u64 active = lruvec_size(lruvec, (enum lru_list)(base + LRU_ACTIVE));
	u64 gib = (inactive + active) >> (30 - PAGE_SHIFT);
	u64 ratio = gib ? isqrt(10 * gib) : 1;

	return inactive * ratio < active;
}

/*
 * The active tail: everything moves to inactive. Anonymous pages that are in
 * use show it there again; looking twice would only cost.
 */
static void shrink_active_list(struct lruvec *lruvec, enum lru_list lru, u64 nr,
			       struct scan_control *sc)
{
	struct tlb_batch tlb;
	struct isolated iso;
	struct page *page;
	u64 taken, vm_flags, rotated = 0;

	isolate_pages(lruvec, lru, nr, sc, &iso);
	tlb_batch_init(&tlb);
	taken = iso.pages.count;
	reclaim_count_event(lruvec, PGREFILL, GROUP_PGREFILL, iso.scanned);
	for (page = page_list_first(&iso.pages); page;
	     page = page_list_next(page)) {
		/* Start with a clean slate: what counts is the use from now.
		 * Program text in use alone stays. */
		int used = page_referenced_batch(page, false, &vm_flags, &tlb);

		if (used && (vm_flags & VM_EXEC) && PageFile(page)) {
			rotated++;
			continue;
		}
		ClearPageReferenced(page);
		ClearPageActive(page);
		SetPageWorkingset(page);
		trace_emit(PAGE_DEACTIVATE, page_to_pfn(page));
	}
	tlb_batch_flush(&tlb);
	reclaim_count_event(lruvec, PGDEACTIVATE, GROUP_PGDEACTIVATE,
			    taken - rotated);
	reclaim_putback(lruvec, &iso.pages, (lru & LRU_FILE) != 0);
	trace_emit(MM_VMSCAN_LRU_SHRINK_ACTIVE, (u64)lruvec->pgdat->node_id,
		   taken, rotated, taken - rotated, rotated,
		   (u64)(s64)sc->priority,
		   RECLAIM_WB_ASYNC | (lru & LRU_FILE ? RECLAIM_WB_FILE
						      : RECLAIM_WB_ANON));
}

static u64 shrink_inactive_list(struct lruvec *lruvec, enum lru_list lru,
				u64 nr, struct scan_control *sc)
{
	struct reclaim_stat stat = {0};
	bool file = (lru & LRU_FILE) != 0;
	struct isolated iso;
	u64 freed, taken;

	if (!reclaim_wait_isolated(lruvec->pgdat, file, sc))
		return 0;
	lru_add_drain();
	isolate_pages(lruvec, lru, nr, sc, &iso);
	taken = iso.pages.count;
	freed = shrink_page_list(&iso.pages, lruvec->pgdat, sc, &stat);
	mod_node_page_state(lruvec->pgdat,
			    file ? NR_ISOLATED_FILE : NR_ISOLATED_ANON,
			    -(long)(taken - iso.pages.count));
	reclaim_putback(lruvec, &iso.pages, file);
	reclaim_count(lruvec, iso.scanned + stat.nr_beside, freed, file);
	reclaim_count_event(lruvec, PGACTIVATE, GROUP_PGACTIVATE,
			    stat.nr_activate);
	/* What had to be written, and what was in use. What comes back counts
	 * when it does (workingset_refault()). */
	lru_note_cost(lruvec, file, stat.nr_pageout + stat.nr_activate);
	/* Nothing but dirty pages that nobody writes: that must change. */
	if (stat.nr_unqueued_dirty && stat.nr_unqueued_dirty == taken)
		wakeup_flusher_threads();
	sc->nr.unqueued_dirty += stat.nr_unqueued_dirty;
	sc->nr.file_taken += file ? taken : 0;
	sc->nr.dirty += stat.nr_dirty;
	sc->nr.writeback += stat.nr_writeback;
	sc->nr.immediate += stat.nr_immediate;
	sc->nr.taken += taken;
	if (trace_enabled(TRACE_MM_VMSCAN_LRU_SHRINK_INACTIVE))
		reclaim_trace_inactive(lruvec, file, iso.scanned, freed, &stat,
				       sc);
	return freed;
}

/* ---- how much of which
 * ---------------------------------------------------------------- */

/*
 * Are there plenty of inactive file pages, and none of late that came back and
 * was needed? Then anonymous memory is left alone.
 */
static bool cache_trim_mode(const struct lruvec *lruvec,
			    const struct scan_control *sc)
{
	u64 inactive = lruvec_size(lruvec, LRU_INACTIVE_FILE);
	u64 refaults = scan_refaults(lruvec);

	return inactive >> sc->priority && !inactive_is_low(lruvec, true) &&
	       refaults == READ_ONCE(lruvec->refaults[1]);
}

/* Part of each list to scan at this priority; all of it at priority 0. */
static void scan_targets(struct lruvec *lruvec, const struct scan_control *sc,
			 u64 nr[NR_LRU_LISTS])
{
	u64 swappiness = READ_ONCE(reclaim_sys.swappiness);
	bool swap = scan_may_swap(lruvec, sc) &&
		    (sc->priority == 0 || !cache_trim_mode(lruvec, sc));
	u64 anon_cost = READ_ONCE(lruvec->anon_cost);
	u64 file_cost = READ_ONCE(lruvec->file_cost);
	u64 cost = anon_cost + file_cost + 1;
	/* Cheap to reclaim is worth more; each side counts the other's cost. */
	u64 ap = swappiness * (cost + file_cost);
	u64 fp = (200 - swappiness) * (cost + anon_cost);
	u64 file_pages = lruvec_size(lruvec, LRU_INACTIVE_FILE) +
			 lruvec_size(lruvec, LRU_ACTIVE_FILE);
	int l;

	for_each_evictable_lru(l)
	{
		u64 size = scan_size(lruvec, (enum lru_list)l, sc);
		u64 scan = size >> sc->priority;
		bool file = (l & LRU_FILE) != 0;

		if (!file && !swap) {
			scan = 0;
		} else if (swap && file_pages && sc->priority > 0) {
			scan = scan * (file ? fp : ap) / (ap + fp + 1);
			/* Rounding must not starve a list for ever. */
			if (!scan && (file ? fp : ap) && size)
				scan = min(size, (u64)SWAP_CLUSTER_MAX);
		} else if (!scan && size) {
			scan = min(size, (u64)SWAP_CLUSTER_MAX);
		}
		nr[l] = scan;
	}
}

static void shrink_list(struct lruvec *lruvec, enum lru_list lru, u64 nr,
			struct scan_control *sc)
{
	bool file = (lru & LRU_FILE) != 0;

	if (lru & LRU_ACTIVE) {
		if (inactive_is_low(lruvec, file))
			shrink_active_list(lruvec, lru, nr, sc);
		return;
	}
	sc->nr_reclaimed += shrink_inactive_list(lruvec, lru, nr, sc);
}

static u64 classic_scan(struct lruvec *lruvec, struct scan_control *sc)
{
	u64 nr[NR_LRU_LISTS], before = sc->nr_reclaimed;
	bool more = true;
	int l;

	scan_targets(lruvec, sc, nr);
	while (more && !reclaim_enough(sc, before)) {
		more = false;
		for_each_evictable_lru(l)
		{
			u64 n = min(nr[l], (u64)SWAP_CLUSTER_MAX);

			if (!n)
				continue;
			nr[l] -= n;
			more = true;
			shrink_list(lruvec, (enum lru_list)l, n, sc);
		}
		port_sched_point();
	}
	WRITE_ONCE(lruvec->refaults[1], scan_refaults(lruvec));
	/* Aging goes on even if nothing had to be scanned. */
	if (inactive_is_low(lruvec, false) &&
	    (get_nr_swap_pages() || numa_can_demote(lruvec->pgdat->node_id)))
		shrink_active_list(lruvec, LRU_ACTIVE_ANON, SWAP_CLUSTER_MAX,
				   sc);
	return sc->nr_reclaimed - before;
}

const struct lru_ops classic_ops = {
	.name = "classic",
	.add = lruvec_add_page,
	.del = lruvec_del_page,
	.activate = classic_activate,
	.rotate = classic_rotate,
	.scan = classic_scan,
	.pageout = reclaim_pages,
};
