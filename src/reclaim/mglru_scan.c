/* SPDX-License-Identifier: MIT */
/*
 * mglru_scan.c - mglru's eviction: which generation, which type, which tier.
 *
 * 1. Way. Of the types that may be taken the one whose oldest generation is the
 *    older goes first. From the tails of that generation's lists pages are
 *    taken: those that were promoted meanwhile go where they belong; those of a
 *    tier worth keeping go one generation on; the others are isolated, looked
 *    at through reverse mapping (mglru_walk.c), and freed if nobody used them.
 *    When no generation but the two youngest is left, a new one begins first.
 *
 * 2. Feedback. For each type and tier it is counted how many pages went and how
 *    many of those came back soon, since the youngest generation began, and
 *    before that as an average in which each older generation counts half: the
 *    proportional and the integral part of a controller whose clock is
 *    generations. The first tier of a type is its base line: pages used once,
 *    which are the cheapest to be wrong about. A tier above is kept while its
 *    pages come back more than twice as often as those of the base line.
 *    Between two equally old types the one loses whose base line comes back
 *    less often, each rate weighted with what swappiness allows the other.
 *
 * 3. What cannot go now. A page that is dirty or being written goes one
 *    generation on, and the end of its write brings it back to the tail of the
 *    oldest.
 *
 * 4. Locking. The lruvec lock to take off and to put back, 32 pages at a time;
 *    pages are looked at and freed without it.
 *
 * References: Linux documentation, mm/multigen_lru (eviction, PID controller).
 */
#include <mmkit/port.h>

#include "base/assert.h"
#include "base/trace_ring.h"
#include "cache/swap.h"
#include "phys/vmstat.h"
#include "reclaim/mglru.h"

#define SORT_HOLD 128u /* pages that one hold of the lock looks at */

/* ---- what came back
 * ------------------------------------------------------------------- */

/* Rates of few pages say little: so many that stayed away count in addition. */
#define RATE_FEW 64u

struct rate {
	u64 back, gone;
};

static struct rate tier_rate(const struct mglru_room *room,
			     enum mglru_type type, u32 tier)
{
	const struct mglru_past *past = &room->past[type][tier];
	const struct mglru_tier *now = &room->now[type][tier];

	return (struct rate){(u64)past->refaulted + now->refaulted,
			     (u64)past->total + now->evicted + now->protected +
				     RATE_FEW};
}

/* Is A times WA more than B times WB? */
static bool rate_above(struct rate a, u64 wa, struct rate b, u64 wb)
{
	return a.back * b.gone * wa > (b.back + 1) * a.gone * wb;
}

u32 mglru_last_tier(const struct mglru_room *room, enum mglru_type type)
{
	struct rate base = tier_rate(room, type, 0);
	u32 tier = 1;

	while (tier < MGLRU_TIERS &&
	       !rate_above(tier_rate(room, type, tier), 1, base, 2))
		tier++;
	return tier - 1;
}

enum mglru_type mglru_prefer(const struct mglru_room *room, u32 swappiness)
{
	struct rate anon = tier_rate(room, MGLRU_ANON, 0);
	struct rate file = tier_rate(room, MGLRU_FILE, 0);

	anon.back++;
	file.back++;
	/* The less a type may be taken, the more its returns weigh. */
	return anon.back * file.gone * (200 - swappiness) <
			       file.back * anon.gone * swappiness
		       ? MGLRU_ANON
		       : MGLRU_FILE;
}

u64 mglru_oldest(const struct mglru_room *room, u32 allow)
{
	u64 seq = UINT64_MAX;

	for (u32 t = 0; t < MGLRU_TYPES; t++)
		if (allow & BIT(t))
			seq = min(seq, READ_ONCE(room->min_seq[t]));
	return seq;
}

/* ---- a round
 * ------------------------------------------------------------------------- */

struct round {
	struct lruvec *lruvec;
	struct scan_control *sc;
	u32 allow, swappiness;
	u64 limit; /* generations up to this one only */
	enum mglru_type type;
	struct page_list picked, used, release;
	u64 isolated, moved;
};

/* The generation to take TYPE's pages from: the oldest that has any of R's
 * zones. 0: none may be touched. Lock held. */
static u64 oldest_with_pages(const struct round *r, enum mglru_type type)
{
	const struct mglru_room *room = mglru_room(r->lruvec);
	u64 seq = room->min_seq[type];
	u64 end = min(room->max_seq - MGLRU_MIN_GENS, r->limit);

	for (; seq <= end; seq++)
		for (int z = 0; z <= r->sc->reclaim_idx; z++)
			if (!page_list_empty(
				    &room->lists[mglru_gen(seq)][type][z]))
				return seq;
	return 0;
}

/* Which type, and which of its generations? 0: none. Lock held. */
static u64 choose(struct round *r)
{
	const struct mglru_room *room = mglru_room(r->lruvec);
	u64 seq[MGLRU_TYPES] = {0, 0};

	for (u32 t = 0; t < MGLRU_TYPES; t++)
		if (r->allow & BIT(t))
			seq[t] = oldest_with_pages(r, (enum mglru_type)t);
	if (!seq[MGLRU_ANON] || !seq[MGLRU_FILE])
		r->type = seq[MGLRU_ANON] ? MGLRU_ANON : MGLRU_FILE;
	else if (seq[MGLRU_ANON] != seq[MGLRU_FILE])
		r->type = seq[MGLRU_ANON] < seq[MGLRU_FILE] ? MGLRU_ANON
							    : MGLRU_FILE;
	else
		r->type = mglru_prefer(room, r->swappiness);
	return seq[r->type];
}

/* PAGE, on the list of generation SEQ, belongs elsewhere: it is there now. */
static bool sort_page(struct round *r, struct page *page, u64 seq, u32 last)
{
	struct mglru_room *room = mglru_room(r->lruvec);
	u32 of = mglru_field(page, MGLRU_GEN), tier;
	u64 to;

	if (of != mglru_gen(seq)) {
		for (to = seq + 1; mglru_gen(to) != of; to++)
			mm_assert(to <= room->max_seq);
		mglru_move(r->lruvec, page, to, false);
		return true;
	}
	tier = mglru_tier(page);
	if (tier <= last)
		return false;
	room->now[r->type][tier].protected ++;
	mglru_forget_uses(page);
	mglru_move(r->lruvec, page, seq + 1, false);
	return true;
}

/* Pages of zone ZONE of generation SEQ, until there are enough. */
static void pick_zone(struct round *r, u64 seq, int zone, u32 last)
{
	struct mglru_room *room = mglru_room(r->lruvec);
	struct page_list *l = &room->lists[mglru_gen(seq)][r->type][zone];
	struct page *page;

	while (r->picked.count < SWAP_CLUSTER_MAX &&
	       r->isolated + r->moved < SORT_HOLD &&
	       (page = page_list_last(l))) {
		if (sort_page(r, page, seq, last)) {
			r->moved++;
		} else if (reclaim_isolate(r->lruvec, page, r->sc)) {
			ClearPageActive(page);
			page_list_add(&r->picked, page);
			r->isolated++;
		} else {
			/* Somebody is taking it: out of the way. */
			page_list_del(l, page);
			page_list_add(l, page);
			r->moved++;
		}
	}
}

/* False: there is nothing to take from. */
static bool pick(struct round *r)
{
	unsigned long flags;
	u64 seq = 0;
	u32 last;

	spin_lock_irqsave(&r->lruvec->lock, flags);
	if (mglru_owns(r->lruvec)) {
		seq = choose(r);
		last = seq ? mglru_last_tier(mglru_room(r->lruvec), r->type)
			   : 0;
		for (int z = r->sc->reclaim_idx; seq && z >= 0; z--)
			pick_zone(r, seq, z, last);
		mglru_close_empty(r->lruvec);
	}
	spin_unlock_irqrestore(&r->lruvec->lock, flags);
	return seq != 0;
}

/* PAGE, isolated, goes to the youngest generation (USED), or one on from the
 * oldest. Lock held. */
static void place(struct round *r, struct page *page, bool used)
{
	struct mglru_room *room = mglru_room(r->lruvec);
	enum mglru_type type = mglru_type(page);

	if (mglru_owns(r->lruvec)) {
		if (used)
			mglru_forget_uses(page);
		ClearPageActive(page);
		room->dest = used ? room->max_seq : room->min_seq[type] + 1;
	}
	if (!reclaim_place(r->lruvec, page))
		page_list_add(&r->release, page);
	if (mglru_owns(r->lruvec))
		room->dest = 0;
}

/* All of PAGES back; USED: or those that turned out to be active. */
static void place_all(struct round *r, struct page_list *pages, bool used)
{
	struct page *page;
	unsigned long flags;

	spin_lock_irqsave(&r->lruvec->lock, flags);
	while ((page = page_list_pop_tail(pages)))
		place(r, page, used || PageActive(page));
	spin_unlock_irqrestore(&r->lruvec->lock, flags);
}

/* Those of R->picked that are in use go to R->used. */
static void look(struct round *r)
{
	struct page_list idle;
	struct page *page;

	page_list_init(&idle);
	while ((page = page_list_pop_tail(&r->picked))) {
		bool used = mglru_look(r->lruvec, page);

		page_list_add(used ? &r->used : &idle, page);
	}
	r->picked = idle;
}

static void count_round(struct round *r, u64 taken, u64 freed,
			const struct reclaim_stat *stat)
{
	struct scan_control *sc = r->sc;
	bool file = r->type == MGLRU_FILE;

	reclaim_count_event(r->lruvec, PGACTIVATE, GROUP_PGACTIVATE,
			    stat->nr_activate);
	/* Nothing but dirty pages that nobody writes: that must change. */
	if (stat->nr_unqueued_dirty && stat->nr_unqueued_dirty == taken)
		wakeup_flusher_threads();
	sc->nr_reclaimed += freed;
	sc->nr.unqueued_dirty += stat->nr_unqueued_dirty;
	sc->nr.file_taken += file ? taken : 0;
	sc->nr.dirty += stat->nr_dirty;
	sc->nr.writeback += stat->nr_writeback;
	sc->nr.immediate += stat->nr_immediate;
	sc->nr.taken += taken;
	reclaim_count(r->lruvec, r->isolated + stat->nr_beside, freed, file);
	reclaim_count_event(r->lruvec, PGREFILL, GROUP_PGREFILL, r->moved);
	if (trace_enabled(TRACE_MM_VMSCAN_LRU_SHRINK_INACTIVE))
		reclaim_trace_inactive(r->lruvec, file, r->isolated, freed,
				       stat, sc);
}

/* One round of eviction. How many pages it got through; 0: there is nothing to
 * take from. */
static u64 evict_round(const struct round *scan)
{
	struct reclaim_stat stat = {0};
	struct round r = *scan;
	u64 taken, freed;
	bool judged = r.sc->judged;
	int item;

	page_list_init(&r.picked);
	page_list_init(&r.used);
	page_list_init(&r.release);
	if (!reclaim_wait_isolated(r.lruvec->pgdat, false, r.sc) ||
	    !reclaim_wait_isolated(r.lruvec->pgdat, true, r.sc) || !pick(&r))
		return 0;
	item = r.type == MGLRU_FILE ? NR_ISOLATED_FILE : NR_ISOLATED_ANON;
	mod_node_page_state(r.lruvec->pgdat, item, (long)r.isolated);
	look(&r);
	taken = r.picked.count;
	stat.nr_activate = r.used.count;
	place_all(&r, &r.used, true);
	r.sc->judged = true;
	freed = shrink_page_list(&r.picked, r.lruvec->pgdat, r.sc, &stat);
	r.sc->judged = judged;
	place_all(&r, &r.picked, false);
	mod_node_page_state(r.lruvec->pgdat, item, -(long)r.isolated);
	reclaim_isolated_less(r.lruvec->pgdat);
	reclaim_release(&r.release);
	count_round(&r, taken, freed, &stat);
	return max(r.isolated, 1UL);
}

/* ---- a scan
 * -----------------------------------------------------------------------------
 */

/* Anonymous pages can go if there is swap; at swappiness 0 only if nothing
 * else is left. */
static u32 types_allowed(const struct lruvec *lruvec,
			 const struct scan_control *sc, u32 swappiness)
{
	u64 file = lruvec_size(lruvec, LRU_INACTIVE_FILE) +
		   lruvec_size(lruvec, LRU_ACTIVE_FILE);

	if (!scan_may_swap(lruvec, sc))
		return MGLRU_TAKE_FILE;
	if (!swappiness && file && sc->priority)
		return MGLRU_TAKE_FILE;
	return MGLRU_TAKE_ANON | MGLRU_TAKE_FILE;
}

/* *SEQ is the youngest generation. May LRUVEC be taken from at all? */
static bool scan_allowed(struct lruvec *lruvec, u32 allow, u64 *seq)
{
	struct mglru_room *room = mglru_room(lruvec);
	unsigned long flags;
	bool ok;

	spin_lock_irqsave(&lruvec->lock, flags);
	ok = mglru_owns(lruvec) && !mglru_too_young(room, allow);
	*seq = room->max_seq;
	spin_unlock_irqrestore(&lruvec->lock, flags);
	return ok;
}

u64 mglru_scan(struct lruvec *lruvec, struct scan_control *sc)
{
	struct round scan = {.lruvec = lruvec, .sc = sc, .limit = UINT64_MAX};
	u64 before = sc->nr_reclaimed, nr = 0, seq;
	u32 aged = 0;
	int l;

	scan.swappiness = min(READ_ONCE(reclaim_sys.swappiness), 200u);
	scan.allow = types_allowed(lruvec, sc, scan.swappiness);
	for_each_evictable_lru(
		l) if (scan.allow &
		       (l & LRU_FILE ? MGLRU_TAKE_FILE : MGLRU_TAKE_ANON)) nr +=
		scan_size(lruvec, (enum lru_list)l, sc);
	if (nr)
		nr = max(nr >> sc->priority, (u64)SWAP_CLUSTER_MAX);
	lru_add_drain();
	while (nr && !reclaim_enough(sc, before)) {
		u64 n;

		if (!scan_allowed(lruvec, scan.allow, &seq))
			break;
		n = evict_round(&scan);
		nr -= min(nr, n);
		/* All that there is moves on by one with each. */
		if (!n && (aged++ == MGLRU_MAX_GENS ||
			   !mglru_age(lruvec, seq, false)))
			break;
		port_sched_point();
	}
	return sc->nr_reclaimed - before;
}

u64 mglru_evict_from(struct lruvec *lruvec, u64 seq, u32 swappiness, u64 nr)
{
	struct scan_control sc = {
		.nr_to_reclaim = nr,
		.gfp = GFP_KERNEL,
		.reclaim_idx = MAX_NR_ZONES - 1,
		.may_writepage = true,
		.may_unmap = true,
		.may_swap = swappiness > 0,
		.priority = DEF_PRIORITY,
	};
	struct round scan = {.lruvec = lruvec,
			     .sc = &sc,
			     .swappiness = swappiness,
			     .limit = seq};

	mm_assert(port_current()->flags & PF_MEMALLOC);
	scan.allow = types_allowed(lruvec, &sc, swappiness);
	while (sc.nr_reclaimed < nr && evict_round(&scan))
		port_sched_point();
	return sc.nr_reclaimed;
}
