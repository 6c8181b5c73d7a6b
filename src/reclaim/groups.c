/* SPDX-License-Identifier: MIT */
/*
 * groups.c - reclaim among groups: whose lists are scanned, how hard, and where
 * the next one goes on.
 *
 * 1. Purpose. Each node has a set of lists per group. Reclaim for the machine
 *    goes over all of them; reclaim for a group at its limit goes over that
 *    group and those below it, and nobody else's.
 *
 * 2. Fairness. A scan takes the same part (size >> priority) of each group's
 *    lists, so large ones give more. Kswapd's pass goes over all. Who reclaims
 *    for himself stops when he has enough, and would always take from the same
 *    groups: the place where he stopped is kept, by node and by the group whose
 *    limit it is, and the next one goes on behind it. The root's own lists are
 *    the last of a round.
 *
 * 3. Protection (memcg/protect.c). A group within its effective min is passed
 *    over; within its low too, and that is noted, so that a second try without
 *    low follows if the first got nothing. Of one beyond, the part
 *    (usage - protection) / usage of each list counts as its size: less beyond,
 *    less taken, and nothing when it is reached.
 *
 * 4. Locking. None of its own. The walk holds one reference at a time; groups
 *    may come and go meanwhile.
 *
 * Reference: Linux documentation, admin-guide/cgroup-v2 (memory).
 */
#include <mmkit/page_alloc.h>
#include <mmkit/port.h>

#include "base/string.h"
#include "base/trace_ring.h"
#include "cache/swap.h"
#include "phys/vmstat.h"
#include "reclaim/reclaim.h"

/* ---- what policies ask
 * -------------------------------------------------------------- */

u64 scan_size(const struct lruvec *lruvec, enum lru_list lru,
	      const struct scan_control *sc)
{
	u64 size = lruvec_size(lruvec, lru), keep = sc->group_keep;

	if (likely(!keep))
		return size;
	if (keep >= sc->group_usage)
		return 0;
	return size - size * keep / sc->group_usage;
}

bool scan_may_swap(const struct lruvec *lruvec, const struct scan_control *sc)
{
	if (!sc->may_swap)
		return false;
	if (scan_can_demote(lruvec->pgdat, sc))
		return true;
	/* No slot is left, but many pages have theirs. */
	if (!get_nr_swap_pages())
		return node_page_state(lruvec->pgdat, NR_SWAPCACHE) >
		       SWAP_CLUSTER_MAX;
	return !lruvec->group || memcg_swap_left(memcg_of(lruvec->group), 1);
}

u64 scan_refaults(const struct lruvec *lruvec)
{
	if (lruvec->group)
		return (u64)group_node_stat(lruvec->group,
					    lruvec->pgdat->node_id,
					    WORKINGSET_ACTIVATE_FILE);
	return node_page_state(lruvec->pgdat, WORKINGSET_ACTIVATE_FILE);
}

/* ---- one group
 * -------------------------------------------------------------------- */

/* May MEMCG's pages be taken? Sets what the policy's scan is to keep. */
static bool judge_group(struct memcg *memcg, struct scan_control *sc)
{
	struct memcg_protection p;

	memcg_protection(sc->target, memcg, &p);
	sc->group_usage = p.usage;
	sc->group_keep = 0;
	if (!p.min && !p.low)
		return true;
	if (p.usage <= p.min)
		return false;
	if (p.usage <= p.low && !sc->low_reclaim) {
		sc->low_skipped = true;
		return false;
	}
	if (p.usage <= p.low)
		memcg_event(memcg, MEMCG_LOW);
	sc->group_keep = sc->low_reclaim ? p.min : max(p.min, p.low);
	return true;
}

static void shrink_one(pg_data_t *pgdat, struct memcg *memcg,
		       struct scan_control *sc)
{
	struct page_group *g = memcg ? &memcg->page : NULL;
	struct lruvec *lruvec = group_lruvec(g, pgdat);
	const struct lru_ops *ops;

	if (!judge_group(memcg, sc))
		return;
	/* Half of the pages are not with the policy that is asked. */
	lru_exchange_help(lruvec);
	ops = READ_ONCE(lruvec->ops);
	mm_verify(ops && ops->scan);
	(void)ops->scan(lruvec, sc);
}

/* ---- all of them
 * ------------------------------------------------------------------ */

static bool round_done(const struct scan_control *sc)
{
	return !(port_current()->flags & PF_KSWAPD) &&
	       sc->nr_reclaimed >= sc->nr_to_reclaim;
}

/*
 * Groups after FROM (whose reference is dropped; NULL: from the first on) up to
 * LAST (0: to the end, the root's own lists included). Returns true if there
 * is enough; *POS then says where that was.
 */
static bool shrink_span(pg_data_t *pgdat, struct scan_control *sc,
			struct memcg *from, u16 last, u16 *pos)
{
	struct memcg *m = from;

	while ((m = memcg_next(sc->target, m))) {
		u16 id = m->page.id;

		shrink_one(pgdat, m, sc);
		if (round_done(sc) || id == last) {
			memcg_put(m, 1);
			WRITE_ONCE(*pos, id);
			return round_done(sc);
		}
	}
	if (!sc->target && !last)
		shrink_one(pgdat, NULL, sc);
	WRITE_ONCE(*pos, 0);
	return round_done(sc);
}

u64 shrink_groups(pg_data_t *pgdat, struct scan_control *sc)
{
	u16 *kept = sc->target ? sc->target->reclaim_pos : memcg_sys.root_pos;
	u16 unused = 0, *pos = &kept[pgdat->node_id];
	u64 before = sc->nr_reclaimed;
	struct memcg *from = NULL;
	u16 start;

	if (!memcg_any()) {
		shrink_one(pgdat, NULL, sc);
		return sc->nr_reclaimed - before;
	}
	if (port_current()->flags & PF_KSWAPD)
		pos = &unused;
	from = memcg_get(READ_ONCE(*pos));
	if (from && !memcg_below(from, sc->target)) {
		memcg_put(from, 1);
		from = NULL;
	}
	start = memcg_id(from);
	if (!shrink_span(pgdat, sc, from, 0, pos) && start)
		(void)shrink_span(pgdat, sc, NULL, start, pos);
	return sc->nr_reclaimed - before;
}

/* ---- for a limit
 * ------------------------------------------------------------------ */

/* Passes of rising pressure over all nodes until there is enough. */
static void memcg_passes(struct scan_control *sc)
{
	for (sc->priority = DEF_PRIORITY; sc->priority >= 0; sc->priority--) {
		u64 before = sc->nr_reclaimed;
		pg_data_t *pgdat;

		mm_memset(&sc->nr, 0, sizeof(sc->nr));
		for_each_online_pgdat(pgdat)
		{
			shrink_node(pgdat, sc);
			if (sc->nr_reclaimed >= sc->nr_to_reclaim)
				return;
			if (reclaim_in_vain(pgdat, sc, before))
				reclaim_throttle(pgdat, sc);
		}
		if (READ_ONCE(port_current()->fatal_signal))
			return;
	}
}

u64 try_to_free_memcg(struct memcg *memcg, u64 nr, gfp_t gfp, bool may_swap)
{
	struct mm_task *task = port_current();
	struct scan_control sc = {
		.nr_to_reclaim = max(nr, (u64)SWAP_CLUSTER_MAX),
		.gfp = gfp,
		.reclaim_idx = MAX_NR_ZONES - 1,
		.target = memcg,
		.may_writepage = true,
		.may_unmap = true,
		.may_swap = may_swap,
	};
	struct memstall stall;

	mm_verify(!(task->flags & PF_MEMALLOC));
	/* A small group's pages may all be in batches. */
	lru_add_drain_all();
	psi_memstall_enter(&stall);
	task->flags |= PF_MEMALLOC;
	trace_emit(MM_VMSCAN_MEMCG_RECLAIM_BEGIN, 0, gfp);
	memcg_passes(&sc);
	if (!sc.nr_reclaimed && sc.low_skipped) {
		sc.low_reclaim = true;
		memcg_passes(&sc);
	}
	trace_emit(MM_VMSCAN_MEMCG_RECLAIM_END, sc.nr_reclaimed);
	task->flags &= ~(u32)PF_MEMALLOC;
	psi_memstall_leave(&stall);
	return sc.nr_reclaimed;
}
