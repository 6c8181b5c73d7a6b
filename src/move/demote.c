/* SPDX-License-Identifier: MIT */
/*
 * demote.c - cold pages of a fast node go to a slower one.
 *
 * Reclaim has found pages that nobody used. Where there is slower memory
 * (phys/memory_tiers.c) they need not be written to a disk: they move, without
 * waiting for anything, and come back when they are used, or are reclaimed
 * there. The frames must not be taken from reclaim's own reserves, and none is
 * reclaimed for them here: the slow node's kswapd is woken. What finds no
 * frame, or is held by somebody, stays, and goes the way of all pages.
 *
 * A huge page goes as a whole if there is a block for it.
 *
 * Reference: Linux documentation, ABI/testing/sysfs-kernel-mm-numa.
 */
#include <mmkit/page_alloc.h>

#include "move/move.h"
#include "phys/alloc.h"
#include "phys/lru.h"
#include "phys/memory_tiers.h"
#include "phys/vmstat.h"
#include "space/huge_move.h"

struct demotion {
	int nid;
	nodemask_t allowed;
};

static struct demotion demotion_of(const pg_data_t *pgdat)
{
	return (struct demotion){.nid = next_demotion_node(pgdat->node_id),
				 .allowed = demotion_nodes(pgdat->node_id)};
}

/* 2^ORDER frames, not taken from those that reclaim needs itself. */
static struct page *demotion_alloc(const struct demotion *d, unsigned int order)
{
	gfp_t gfp = (GFP_HIGHUSER_MOVABLE & ~(__GFP_RECLAIM | __GFP_HARDWALL)) |
		    __GFP_KSWAPD_RECLAIM | __GFP_NOWARN | __GFP_NOMEMALLOC;
	struct page *new = alloc_pages_nodemask(gfp | __GFP_THISNODE, order,
						d->nid, NODE_MASK_ALL);

	return new ? new : alloc_pages_nodemask(gfp, order, d->nid, d->allowed);
}

static struct page *demotion_new(struct page *page, void *arg)
{
	struct page *new = demotion_alloc(arg, 0);

	(void)page;
	if (new)
		lru_begin_cold(new);
	return new;
}

static void count_demoted(u64 n)
{
	count_vm_events(port_current()->flags & PF_KSWAPD ? PGDEMOTE_KSWAPD
							  : PGDEMOTE_DIRECT,
			n);
}

/* NR pages of LIST are isolated: said, or taken back, for migrate_pages(). */
static void count_isolated(pg_data_t *pgdat, const struct page_list *list,
			   int sign)
{
	s64 anon = 0, all = 0;

	for (struct page *p = page_list_first(list); p; p = page_list_next(p)) {
		anon += PageSwapBacked(p);
		all++;
	}
	mod_node_page_state(pgdat, NR_ISOLATED_ANON, sign * anon);
	mod_node_page_state(pgdat, NR_ISOLATED_FILE, sign * (all - anon));
}

u64 demote_page_list(struct page_list *list, pg_data_t *pgdat)
{
	struct demotion d = demotion_of(pgdat);
	struct migrate_control mc = {
		.get_new = demotion_new,
		.arg = &d,
		.mode = MIGRATE_ASYNC,
		.reason = MR_DEMOTION,
	};

	if (d.nid == NUMA_NO_NODE)
		return 0;
	count_isolated(pgdat, list, 1);
	(void)migrate_pages(list, &mc);
	count_isolated(pgdat, list, -1);
	count_demoted(mc.succeeded);
	return mc.succeeded;
}

bool demote_huge_page(struct page *first, pg_data_t *pgdat)
{
	struct demotion d = demotion_of(pgdat);
	struct page *block;

	if (d.nid == NUMA_NO_NODE)
		return false;
	block = demotion_alloc(&d, HPAGE_PMD_ORDER);
	if (!migrate_huge_taken(first, block, MR_DEMOTION, THP_MIGRATION_SPLIT))
		return false;
	count_demoted(HPAGE_PMD_NR);
	return true;
}
