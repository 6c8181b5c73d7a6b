/* SPDX-License-Identifier: MIT */
/*
 * isolate.c - taking pages off their lists and putting them back: what is the
 * same for every replacement policy.
 *
 * A page is judged without the lruvec lock. So it is isolated first: off its
 * list, PG_lru clear, with a reference; nobody else moves it then (LRU-2).
 * Afterwards it is freed, or goes back to wherever the policy of that moment
 * places it. Its last user may have gone meanwhile: then the isolation's
 * reference was the last one, and it is freed here.
 */
#include <mmkit/port.h>

#include "base/assert.h"
#include "base/trace_ring.h"
#include "phys/vmstat.h"
#include "reclaim/reclaim.h"

bool reclaim_isolate(struct lruvec *lruvec, struct page *page,
		     const struct scan_control *sc)
{
	int zone = page_zone_idx(page);

	if (zone > sc->reclaim_idx) {
		count_vm_event((enum vm_event_item)(PGSCAN_SKIP_DMA + zone));
		return false;
	}
	if (!get_page_unless_zero(page))
		return false;
	if (!TestClearPageLRU(page)) {
		/* Somebody else is taking it off, and waits for our lock; not
		 * the last reference: the other one holds one. */
		mm_verify(!put_page_testzero(page));
		return false;
	}
	lruvec_unplace(lruvec, page);
	trace_emit(PAGE_ISOLATE, page_to_pfn(page), (u64)sc->priority);
	return true;
}

void reclaim_trace_inactive(const struct lruvec *lruvec, bool file, u64 scanned,
			    u64 freed, const struct reclaim_stat *stat,
			    const struct scan_control *sc)
{
	trace_emit(MM_VMSCAN_LRU_SHRINK_INACTIVE, (u64)lruvec->pgdat->node_id,
		   scanned, freed, stat->nr_dirty, stat->nr_writeback,
		   stat->nr_immediate, file ? 0 : stat->nr_activate,
		   file ? stat->nr_activate : 0, stat->nr_ref_keep,
		   stat->nr_unmap_fail, (u64)(s64)sc->priority,
		   RECLAIM_WB_ASYNC |
			   (file ? RECLAIM_WB_FILE : RECLAIM_WB_ANON));
}

bool reclaim_place(struct lruvec *lruvec, struct page *page)
{
	/* Its last user went while it was isolated. */
	if (page_ref_freeze(page, 1))
		return false;
	SetPageLRU(page);
	lru_judge_evictable(page);
	lruvec_place(lruvec, page);
	if (trace_enabled(TRACE_MM_LRU_INSERTION))
		lru_trace_insertion(page);
	if (!put_page_testzero(page))
		return true;
	/* Its last user went just now: off again. */
	ClearPageLRU(page);
	lruvec_unplace(lruvec, page);
	ClearPageUnevictable(page);
	return false;
}

void reclaim_release(struct page_list *pages)
{
	struct page *page;

	while ((page = page_list_pop(pages))) {
		page_ref_unfreeze(page, 1);
		ClearPageActive(page);
		ClearPageUnevictable(page);
		put_page(page);
	}
}

void reclaim_putback(struct lruvec *lruvec, struct page_list *pages, bool file)
{
	struct page_list release;
	unsigned long flags;
	struct page *page;
	u64 n = pages->count;

	page_list_init(&release);
	spin_lock_irqsave(&lruvec->lock, flags);
	while ((page = page_list_pop_tail(pages)))
		if (!reclaim_place(lruvec, page))
			page_list_add(&release, page);
	spin_unlock_irqrestore(&lruvec->lock, flags);
	mod_node_page_state(lruvec->pgdat,
			    file ? NR_ISOLATED_FILE : NR_ISOLATED_ANON,
			    -(long)n);
	reclaim_isolated_less(lruvec->pgdat);
	reclaim_release(&release);
}

/* N times ITEM (enum group_event_item) to LRUVEC's group. */
static void count_group(const struct lruvec *lruvec, int item, u64 n)
{
	if (n)
		group_stat_add(lruvec->group->id, item, (s64)n);
}

void reclaim_count_event(const struct lruvec *lruvec, enum vm_event_item event,
			 int item, u64 n)
{
	count_vm_events(event, n);
	if (lruvec->group)
		count_group(lruvec, item, n);
}

void reclaim_count(const struct lruvec *lruvec, u64 scanned, u64 freed,
		   bool file)
{
	bool kswapd = (port_current()->flags & PF_KSWAPD) != 0;

	count_vm_events(kswapd ? PGSCAN_KSWAPD : PGSCAN_DIRECT, scanned);
	count_vm_events(kswapd ? PGSTEAL_KSWAPD : PGSTEAL_DIRECT, freed);
	count_vm_events(file ? PGSCAN_FILE : PGSCAN_ANON, scanned);
	count_vm_events(file ? PGSTEAL_FILE : PGSTEAL_ANON, freed);
	if (!lruvec->group)
		return;
	count_group(lruvec, kswapd ? GROUP_PGSCAN_KSWAPD : GROUP_PGSCAN_DIRECT,
		    scanned);
	count_group(lruvec,
		    kswapd ? GROUP_PGSTEAL_KSWAPD : GROUP_PGSTEAL_DIRECT,
		    freed);
}

bool reclaim_enough(const struct scan_control *sc, u64 nr_before)
{
	if (sc->nr_reclaimed - nr_before < sc->nr_to_reclaim)
		return false;
	return sc->priority != DEF_PRIORITY ||
	       !(port_current()->flags & PF_KSWAPD);
}
