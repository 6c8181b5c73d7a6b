/* SPDX-License-Identifier: MIT */
/*
 * misplaced.c - a page goes to the node whose CPUs use it.
 *
 * A hint fault (space/numa_hint.c) found it elsewhere. The task that met it
 * pays, so nothing is waited for, and a node whose free memory is at its high
 * marks gets no more: what came would push out what is there. Pages of slow
 * memory are worth more than that: their new node's kswapd is asked to make
 * room, by demotion. A second moves at most rate_limit_mbps to a node.
 *
 * Reference: Linux documentation, admin-guide/sysctl/kernel (numa_balancing).
 */
#include <mmkit/page_alloc.h>

#include "cache/filemap.h"
#include "move/move.h"
#include "phys/alloc.h"
#include "phys/lru.h"
#include "phys/memory_tiers.h"
#include "phys/vmstat.h"
#include "space/huge_move.h"
#include "space/numa_hint.h"

struct misplaced {
	int nid;
	bool promote;
};

static struct page *misplaced_new(struct page *page, void *arg)
{
	const struct misplaced *m = arg;
	gfp_t gfp = (GFP_HIGHUSER_MOVABLE & ~(__GFP_RECLAIM | __GFP_HARDWALL)) |
		    __GFP_THISNODE | __GFP_NOMEMALLOC | __GFP_NORETRY |
		    __GFP_NOWARN;
	struct page *new;

	if (m->promote)
		gfp |= __GFP_KSWAPD_RECLAIM;
	new = alloc_pages_nodemask(gfp, 0, m->nid, NODE_MASK_ALL);
	if (new)
		numa_history_move(new, page);
	return new;
}

/* Is there memory for N pages above the high mark in a zone of PGDAT? */
static bool has_room(pg_data_t *pgdat, u64 n)
{
	for (int zt = MAX_NR_ZONES - 1; zt >= 0; zt--) {
		struct zone *zone = &pgdat->node_zones[zt];

		if (managed_zone(zone) &&
		    zone_watermark_ok(zone, 0, high_wmark_pages(zone) + n, zt,
				      0))
			return true;
	}
	return false;
}

#define PAGES_PER_MB (1UL << (20 - PAGE_SHIFT))

/* May N pages more go to node NID in this second? Counted, then. */
static bool rate_ok(int nid, u64 n)
{
	struct numa_balancing *nb = &space_sys.numa;
	u64 second = port_now_ns() / 1000000000UL;

	if (__atomic_exchange_n(&nb->rate_second[nid], second,
				__ATOMIC_RELAXED) != second)
		WRITE_ONCE(nb->rate_moved[nid], 0);
	return __atomic_fetch_add(&nb->rate_moved[nid], n, __ATOMIC_RELAXED) <
	       READ_ONCE(nb->rate_limit_mbps) * PAGES_PER_MB;
}

/* May PAGE, the first of N, go where M says? */
static bool allowed(struct page *page, const struct misplaced *m, u64 n)
{
	pg_data_t *pgdat = NODE_DATA(m->nid);

	/* Of a file, and several processes': its users are everywhere. */
	if (PageFile(page) && !PageSwapBacked(page) &&
	    (page_mapcount(page) != 1 || PageDirty(page)))
		return false;
	if (m->promote)
		mod_node_page_state(pgdat, PGPROMOTE_CANDIDATE, (s64)n);
	else if (!has_room(pgdat, n))
		return false;
	return rate_ok(m->nid, n);
}

static struct misplaced misplaced_to(const struct page *page, int nid)
{
	return (struct misplaced){.nid = nid,
				  .promote = node_tier(page_to_nid(page)) >
					     node_tier(nid)};
}

/* N pages have gone where M says. */
static void count_moved(const struct misplaced *m, u64 n)
{
	count_vm_events(NUMA_PAGE_MIGRATE, n);
	if (m->promote)
		mod_node_page_state(NODE_DATA(m->nid), PGPROMOTE_SUCCESS,
				    (s64)n);
}

bool migrate_misplaced_huge(struct page *first, int nid)
{
	struct misplaced m = misplaced_to(first, nid);
	struct page *block = NULL;

	if (!allowed(first, &m, HPAGE_PMD_NR)) {
		put_page(first);
		return false;
	}
	block = alloc_pages_nodemask(
		(thp_move_gfp() & ~__GFP_RECLAIM) | __GFP_THISNODE |
			(m.promote ? __GFP_KSWAPD_RECLAIM : 0),
		HPAGE_PMD_ORDER, nid, NODE_MASK_ALL);
	if (block)
		numa_history_move(block, first);
	lru_add_drain();
	if (!migrate_huge_page(first, block, MR_NUMA_MISPLACED,
			       THP_MIGRATION_FAIL))
		return false;
	count_moved(&m, HPAGE_PMD_NR);
	return true;
}

bool migrate_misplaced_page(struct page *page, int nid)
{
	struct misplaced m = misplaced_to(page, nid);
	struct migrate_control mc = {
		.get_new = misplaced_new,
		.arg = &m,
		.mode = MIGRATE_ASYNC,
		.reason = MR_NUMA_MISPLACED,
	};
	bool isolated = allowed(page, &m, 1) && isolate_lru_page(page);
	struct page_list list;

	put_page(page);
	if (!isolated)
		return false;
	page_list_init(&list);
	page_list_add(&list, page);
	(void)migrate_pages(&list, &mc);
	putback_movable_pages(&list);
	if (!mc.succeeded)
		return false;
	count_moved(&m, 1);
	return true;
}
