/* SPDX-License-Identifier: MIT */
/*
 * reclaim_wait.c - who reclaims waits until enough was written.
 *
 * 1. Purpose. When what is cold is all on its way to disk, scanning it again
 *    frees nothing and costs a CPU. How long to wait only the disk knows: so
 *    the wait ends when pages of the node have been written, a cluster for
 *    each of those who wait, that each may find his.
 *
 * 2. Structure. For each node the number of who waits, and a count of pages
 *    whose write ended while somebody did; a waiter notes where that stood when
 *    he came. Ends of writes look at one word while nobody waits.
 *
 * 3. Liveness. It also ends when nothing of the node is being written any more,
 *    and after RECLAIM_WAIT_NS, for a disk that stands still. An end of a write
 *    that misses a new waiter is one that he has counted as over: he raises
 *    the number before he looks, the end takes itself off NR_WRITEBACK before.
 *
 * Context: waiting may sleep; ends of writes come in interrupts.
 *
 * References: Linux documentation, admin-guide/mm; M. Gorman, "Remove
 * dependency on congestion_wait in mm" (2021), the announcement.
 */
#include "base/wait.h"
#include "phys/mmzone.h"
#include "phys/page.h"
#include "phys/vmstat.h"

#define RECLAIM_WAIT_NS (100UL * 1000 * 1000)

static bool enough_written(const struct pglist_data *pgdat, u64 start)
{
	u64 written =
		__atomic_load_n(&pgdat->reclaim_written, __ATOMIC_SEQ_CST) -
		start;
	u64 waiters =
		__atomic_load_n(&pgdat->nr_reclaim_waiters, __ATOMIC_SEQ_CST);

	return written >= waiters * RECLAIM_WAIT_PAGES ||
	       !node_page_state(pgdat, NR_WRITEBACK);
}

bool reclaim_wait_written(struct pglist_data *pgdat)
{
	u64 start = __atomic_load_n(&pgdat->reclaim_written, __ATOMIC_SEQ_CST);
	u64 left;

	__atomic_add_fetch(&pgdat->nr_reclaim_waiters, 1, __ATOMIC_SEQ_CST);
	left = wait_event_timeout(pgdat->reclaim_wait,
				  enough_written(pgdat, start),
				  RECLAIM_WAIT_NS);
	__atomic_sub_fetch(&pgdat->nr_reclaim_waiters, 1, __ATOMIC_SEQ_CST);
	return left != 0;
}

void acct_reclaim_writeback(struct page *page)
{
	struct pglist_data *pgdat = page_zone(page)->zone_pgdat;
	u64 n;

	smp_mb();
	if (likely(!__atomic_load_n(&pgdat->nr_reclaim_waiters,
				    __ATOMIC_RELAXED)))
		return;
	inc_node_page_state(pgdat, NR_THROTTLED_WRITTEN);
	n = __atomic_add_fetch(&pgdat->reclaim_written, 1, __ATOMIC_SEQ_CST);
	/* Each cluster may be the one that somebody waits for; so may the last
	 * page. */
	if (n % RECLAIM_WAIT_PAGES == 0 ||
	    !node_page_state(pgdat, NR_WRITEBACK))
		wake_up_all(&pgdat->reclaim_wait);
}
