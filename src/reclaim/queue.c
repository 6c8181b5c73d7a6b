/* SPDX-License-Identifier: MIT */
/*
 * queue.c - the frame in which a policy made of queues runs.
 *
 * 1. Purpose. The policies of the literature (CLOCK, SIEVE, S3-FIFO, ARC) are
 *    a few queues and a rule for the page at a queue's tail. They suppose that
 *    every use is seen when it happens, that a page is gone at once when it is
 *    evicted, and that all pages are alike. In a kernel nothing of that is
 *    true. This file makes up the difference once, so that a policy's file
 *    holds its queues and its rule and nothing else.
 *
 * 2. What is made up for.
 *    Uses    are bits: the accessed bits of the entries that map a page, read
 *            through rmap, and PG_referenced of read and write. So a use is
 *            seen when the page is looked at, and many are seen as one.
 *    Births  A page is mapped because somebody uses it: its accessed bit is set
 *            from the start, and that use is the miss, no hit. New pages wait
 *            in QUEUE_NEWBORN, for about a 32nd of all pages, and then their
 *            bits are cleared: what is seen later are hits. What is read ahead
 *            and was not used by then is known to be so.
 *    Writes  A victim that is dirty is written first. It waits in QUEUE_VICTIM;
 *            the end of its write moves it to the tail; if it was used
 *            meanwhile it is in use again, as if it had come back.
 *    Kinds   Without swap, anonymous pages cannot go, and whoever looks at them
 *            again and again finds nothing. So each queue is two lists, and
 *            their order is that of one: pages are stamped with the time, in
 *            steps of an eighth of all pages, at which they came to the head,
 *            and the older of the two tails is next. Swappiness weighs the two
 *            ages (100: as they are).
 *
 * 3. Invariants.
 *    QP-1  A page on a list of queue ID has ID in its policy byte, is on the
 *          list of its kind, and is PG_active exactly if the policy counts its
 *          queue as active. Victims and newborn pages are not.
 *    QP-2  Only who isolated a page writes its policy byte, or who holds the
 *          lock while it is on a list.
 *    QP-3  Room and queues are touched only while lruvec->ops is the policy's.
 *
 * 4. Locking. As classic: the lock to take pages off and put them back, 32 at a
 *    time; pages are judged without it.
 *
 * 5. Failure. Nothing here allocates.
 */
#include "reclaim/queue.h"

#include <mmkit/port.h>

#include "base/assert.h"
#include "base/trace_ring.h"
#include "cache/swap.h"
#include "phys/vmstat.h"
#include "space/rmap.h"

#define NO_DEST NR_QUEUES

enum kind { ANON, FILE_, NR_KINDS };

static enum kind page_kind(const struct page *page)
{
	return PageSwapBacked(page) ? ANON : FILE_;
}

/* Queue A and B change places by turning FLIP; pages name where they are. */
static u32 place_of(const struct queue_room *room, enum queue_id id)
{
	return id <= QUEUE_B ? (u32)id ^ room->flip : (u32)id;
}

static struct page_list *list_of(struct queue_room *room,
				 const struct page *page)
{
	return &room->q[page->policy & QUEUE_ID].of[page_kind(page)];
}

static void set_bits(struct page *page, u32 mask, u32 bits)
{
	page->policy = (u8)((page->policy & ~mask) | bits);
}

u64 queue_len(const struct queue_room *room, enum queue_id id, u32 allow)
{
	const struct queue *q = &room->q[place_of(room, id)];
	u64 n = 0;

	for (u32 k = 0; k < NR_KINDS; k++)
		if (allow & BIT(k))
			n += q->of[k].count;
	return n;
}

static u64 all_len(const struct queue_room *room, u32 allow)
{
	u64 n = 0;

	for (u32 id = 0; id < NR_QUEUES; id++)
		n += queue_len(room, (enum queue_id)id, allow);
	return n;
}

void queue_swap(struct queue_room *room)
{
	room->flip ^= 1;
}

/* ---- on and off: lock held
 * -------------------------------------------------------- */

void queue_init(struct lruvec *lruvec, const struct queue_policy *policy)
{
	struct queue_room *room = queue_room(lruvec);

	room->policy = policy;
	room->dest = NO_DEST;
	for (u32 id = 0; id < NR_QUEUES; id++)
		for (u32 k = 0; k < NR_KINDS; k++)
			page_list_init(&room->q[id].of[k]);
}

/* Another page is the most recent one. */
static void tick(struct queue_room *room)
{
	if (++room->arrived < all_len(room, QUEUE_ANON | QUEUE_FILE) / 8)
		return;
	room->arrived = 0;
	room->stamp++;
}

/* PAGE, on no list, to the head of ID; STAY: with the stamp that it has. */
static void queue_put(struct lruvec *lruvec, struct page *page,
		      enum queue_id id, bool stay)
{
	struct queue_room *room = queue_room(lruvec);

	set_bits(page, QUEUE_ID | QUEUE_USED, place_of(room, id));
	if (id <= QUEUE_B && room->policy->active[id])
		SetPageActive(page);
	else
		ClearPageActive(page);
	if (!stay && id != QUEUE_VICTIM) {
		tick(room);
		set_bits(page, 0xffu << QUEUE_STAMP,
			 (u32)(room->stamp % QUEUE_STAMPS) << QUEUE_STAMP);
	}
	lruvec_own_add(lruvec, list_of(room, page), page);
}

void queue_add(struct lruvec *lruvec, struct page *page)
{
	struct queue_room *room = queue_room(lruvec);
	const struct queue_policy *p = room->policy;
	bool hot = PageActive(page);

	if (room->dest != NO_DEST) {
		queue_put(lruvec, page, (enum queue_id)room->dest, room->stay);
		return;
	}
	page->policy = 0;
	if (p->newborn) {
		set_bits(page, QUEUE_OWN, hot ? QUEUE_OWN : 0);
		queue_put(lruvec, page, QUEUE_NEWBORN, false);
	} else {
		queue_put(lruvec, page, p->settle(lruvec, page, hot), false);
	}
}

void queue_del(struct lruvec *lruvec, struct page *page)
{
	lruvec_own_del(lruvec, list_of(queue_room(lruvec), page), page);
}

void queue_activate(struct lruvec *lruvec, struct page *page)
{
	mm_assert(!PageActive(page));
	assert_spin_locked(&lruvec->lock);
	set_bits(page, QUEUE_USED, QUEUE_USED);
}

void queue_rotate(struct lruvec *lruvec, struct page *page)
{
	struct queue_room *room = queue_room(lruvec);
	struct page_list *list = list_of(room, page);

	/* A victim that was rescued meanwhile is none. */
	if ((page->policy & QUEUE_ID) != QUEUE_VICTIM)
		return;
	lruvec_own_del(lruvec, list, page);
	lruvec_own_add_tail(lruvec, list, page);
}

struct page *queue_coldest(struct lruvec *lruvec)
{
	static const u8 order[] = {QUEUE_VICTIM, QUEUE_A, QUEUE_B,
				   QUEUE_NEWBORN};
	struct queue_room *room = queue_room(lruvec);

	for (u32 i = 0; i < ARRAY_SIZE(order); i++) {
		struct queue *q =
			&room->q[place_of(room, (enum queue_id)order[i])];
		struct page *page = page_list_last(&q->of[FILE_]);

		if (!page)
			page = page_list_last(&q->of[ANON]);
		if (page)
			return page;
	}
	return NULL;
}

void queue_check(struct lruvec *lruvec, struct lru_census *census)
{
	struct queue_room *room = queue_room(lruvec);

	mm_verify(room->policy->ops == lruvec->ops && room->dest == NO_DEST);
	for (u32 id = 0; id < NR_QUEUES; id++) {
		bool active = id <= QUEUE_B && room->policy->active[id];
		u32 place = place_of(room, (enum queue_id)id);

		for (u32 k = 0; k < NR_KINDS; k++) {
			struct page_list *l = &room->q[place].of[k];

			lru_check_own(lruvec, l, census);
			for (struct page *p = page_list_first(l); p;
			     p = page_list_next(p))
				mm_verify((p->policy & QUEUE_ID) == place &&
					  page_kind(p) == k &&
					  PageActive(p) == active);
		}
	}
}

/* ---- a round: pick, look, judge, shrink -------------------------------------
 */

struct round {
	struct lruvec *lruvec;
	const struct queue_policy *policy;
	struct scan_control *sc;
	u32 allow;
	struct page_list picked; /* isolated; last is first picked */
	struct page_list victims[NR_KINDS];
	struct page_list release;
	u64 isolated[NR_KINDS];
	u64 scanned[NR_KINDS];
};

/* What one scan works with, copied for each of its rounds. */
static void round_begin(struct round *r, const struct round *scan)
{
	r->lruvec = scan->lruvec;
	r->policy = scan->policy;
	r->sc = scan->sc;
	r->allow = scan->allow;
	page_list_init(&r->picked);
	page_list_init(&r->release);
	for (u32 k = 0; k < NR_KINDS; k++) {
		page_list_init(&r->victims[k]);
		r->isolated[k] = r->scanned[k] = 0;
	}
}

/* Lock the lruvec; false: the policy is another one now, and there is nothing
 * to do. It is locked all the same. */
static bool round_lock(const struct round *r, unsigned long *flags)
{
	spin_lock_irqsave(&r->lruvec->lock, *flags);
	return r->lruvec->ops == r->policy->ops;
}

static u64 weighted_age(const struct queue_room *room, const struct page *page)
{
	u64 swappiness = READ_ONCE(reclaim_sys.swappiness);
	u64 age = (room->stamp - (page->policy >> QUEUE_STAMP)) % QUEUE_STAMPS;
	u64 weight = PageSwapBacked(page) ? swappiness : 200 - swappiness;

	return (age + 1) * weight;
}

/* The oldest page of ID of the kinds ALLOW; NULL: there is none. */
static struct page *queue_tail(struct queue_room *room, enum queue_id id,
			       u32 allow)
{
	struct queue *q = &room->q[place_of(room, id)];
	struct page *a = NULL, *f = NULL;

	if (allow & QUEUE_ANON)
		a = page_list_last(&q->of[ANON]);
	if (allow & QUEUE_FILE)
		f = page_list_last(&q->of[FILE_]);
	if (!a || !f)
		return a ? a : f;
	return weighted_age(room, f) >= weighted_age(room, a) ? f : a;
}

/* The next page of ID is isolated, or moved out of the way. Lock held. */
static bool pick_one(struct round *r, enum queue_id id)
{
	struct queue_room *room = queue_room(r->lruvec);
	struct page *page = queue_tail(room, id, r->allow);

	if (!page)
		return false;
	if (!reclaim_isolate(r->lruvec, page, r->sc)) {
		struct page_list *l = list_of(room, page);

		page_list_del(l, page);
		page_list_add(l, page);
		return true;
	}
	/* Judged as of the queue's name, whatever has that name by then. */
	set_bits(page, QUEUE_ID, (u32)id);
	page_list_add(&r->picked, page);
	r->isolated[page_kind(page)]++;
	return true;
}

/* Did anybody use each of the picked pages since the last look? */
static void look(struct round *r)
{
	struct tlb_batch tlb;
	struct page *page;
	u64 vm_flags;

	tlb_batch_init(&tlb);
	for (u32 k = 0; k < NR_KINDS; k++)
		mod_node_page_state(r->lruvec->pgdat,
				    k == ANON ? NR_ISOLATED_ANON
					      : NR_ISOLATED_FILE,
				    (long)r->isolated[k]);
	for (page = page_list_first(&r->picked); page;
	     page = page_list_next(page)) {
		bool used =
			page_referenced_batch(page, false, &vm_flags, &tlb) > 0;

		used |= TestClearPageReferenced(page);
		if (used)
			set_bits(page, QUEUE_USED, QUEUE_USED);
	}
	tlb_batch_flush(&tlb);
}

/* PAGE, isolated, to the head of ID. Lock held. */
static void round_place(struct round *r, struct page *page, enum queue_id id,
			bool stay)
{
	struct queue_room *room = queue_room(r->lruvec);

	ClearPageActive(page);
	room->dest = (u8)id;
	room->stay = stay;
	if (!reclaim_place(r->lruvec, page))
		page_list_add(&r->release, page);
	room->dest = NO_DEST;
}

/* What the policy says of PAGE, which was looked at. Lock held. */
static void round_judge(struct round *r, struct page *page)
{
	enum queue_id from = (enum queue_id)(page->policy & QUEUE_ID), to;
	bool used = (page->policy & QUEUE_USED) != 0, stay = false;
	bool own = (page->policy & QUEUE_OWN) != 0;

	/* It goes back wherever it belongs: not for us to judge. */
	if (PageMlocked(page)) {
		round_place(r, page, QUEUE_VICTIM, false);
		return;
	}
	if (from == QUEUE_NEWBORN) {
		/* OWN: refault() wanted it; only if it is used indeed. */
		set_bits(page, QUEUE_OWN, 0);
		to = r->policy->settle(r->lruvec, page, own && used);
	} else if (from == QUEUE_VICTIM) {
		to = used ? r->policy->settle(r->lruvec, page, true)
			  : QUEUE_VICTIM;
	} else {
		to = r->policy->judge(r->lruvec, page, from, used, &stay);
	}
	if (from != QUEUE_NEWBORN)
		r->scanned[page_kind(page)]++;
	if (to == QUEUE_VICTIM) {
		ClearPageActive(page);
		page_list_add(&r->victims[page_kind(page)], page);
	} else {
		round_place(r, page, to, stay);
	}
}

/* All that are picked: to queues, or to r->victims. */
static void round_judge_all(struct round *r)
{
	struct page *page;
	unsigned long flags;
	bool ours = round_lock(r, &flags);

	while ((page = page_list_pop_tail(&r->picked))) {
		if (ours)
			round_judge(r, page);
		else if (!reclaim_place(r->lruvec, page))
			page_list_add(&r->release, page);
	}
	spin_unlock_irqrestore(&r->lruvec->lock, flags);
}

/* Victims that could not be freed yet wait; those in use are rescued. */
static void round_keep(struct round *r, struct page_list *pages)
{
	struct page *page;
	unsigned long flags;
	bool ours = round_lock(r, &flags);

	while ((page = page_list_pop_tail(pages))) {
		enum queue_id to = QUEUE_VICTIM;

		if (!ours) {
			if (!reclaim_place(r->lruvec, page))
				page_list_add(&r->release, page);
			continue;
		}
		if (PageActive(page))
			to = r->policy->settle(r->lruvec, page, true);
		round_place(r, page, to, false);
	}
	spin_unlock_irqrestore(&r->lruvec->lock, flags);
}

static void round_stat(struct round *r, enum kind kind, u64 taken,
		       const struct reclaim_stat *stat)
{
	struct scan_control *sc = r->sc;

	count_vm_events(PGACTIVATE, stat->nr_activate);
	/* Nothing but dirty pages that nobody writes: that must change. */
	if (stat->nr_unqueued_dirty && stat->nr_unqueued_dirty == taken)
		wakeup_flusher_threads();
	sc->nr.unqueued_dirty += stat->nr_unqueued_dirty;
	sc->nr.file_taken += kind == FILE_ ? taken : 0;
	sc->nr.dirty += stat->nr_dirty;
	sc->nr.writeback += stat->nr_writeback;
	sc->nr.immediate += stat->nr_immediate;
	sc->nr.taken += taken;
}

static void round_shrink(struct round *r, enum kind kind)
{
	struct page_list *pages = &r->victims[kind];
	u64 taken = pages->count, freed = 0;
	struct reclaim_stat stat = {0};

	if (taken) {
		r->sc->judged = true;
		freed = shrink_page_list(pages, r->lruvec->pgdat, r->sc, &stat);
		r->sc->judged = false;
		r->sc->nr_reclaimed += freed;
		round_stat(r, kind, taken, &stat);
		round_keep(r, pages);
	}
	reclaim_count(r->lruvec, r->scanned[kind] + stat.nr_beside, freed,
		      kind == FILE_);
	if (r->scanned[kind] &&
	    trace_enabled(TRACE_MM_VMSCAN_LRU_SHRINK_INACTIVE))
		reclaim_trace_inactive(r->lruvec, kind == FILE_,
				       r->scanned[kind], freed, &stat, r->sc);
}

/* What was picked is looked at, judged, and freed if it can be. */
static void round_end(struct round *r)
{
	look(r);
	round_judge_all(r);
	for (u32 k = 0; k < NR_KINDS; k++) {
		round_shrink(r, (enum kind)k);
		mod_node_page_state(r->lruvec->pgdat,
				    k == ANON ? NR_ISOLATED_ANON
					      : NR_ISOLATED_FILE,
				    -(long)r->isolated[k]);
	}
	reclaim_isolated_less(r->lruvec->pgdat);
	reclaim_release(&r->release);
}

/* ---- a scan
 * ---------------------------------------------------------------------- */

/* Newborn pages beyond LIMIT are older than the use that brought them. */
static void drain_newborn(const struct round *scan, u64 share)
{
	struct queue_room *room = queue_room(scan->lruvec);
	u64 left = UINT64_MAX;

	/* Each once: those of other zones than the scan's stay newborn. */
	while (left) {
		unsigned long flags;
		struct round r;
		u64 n = 0, limit;

		round_begin(&r, scan);
		if (round_lock(&r, &flags)) {
			limit = share ? all_len(room, r.allow) / share : 0;
			n = queue_len(room, QUEUE_NEWBORN, r.allow);
			left = min(left, n - min(n, limit));
			n = min(left, (u64)SWAP_CLUSTER_MAX);
			left -= n;
		}
		for (u64 i = 0; i < n; i++)
			pick_one(&r, QUEUE_NEWBORN);
		spin_unlock_irqrestore(&r.lruvec->lock, flags);
		if (!n)
			return;
		count_vm_events(PGREFILL, n);
		round_end(&r);
		port_sched_point();
	}
}

/* Is PAGE, a victim, worth another look? */
static bool victim_ready(const struct page *page, const struct scan_control *sc)
{
	if (sc->priority < DEF_PRIORITY - 2)
		return true;
	return !PageWriteback(page) && !(PageDirty(page) && !PageAnon(page));
}

/* Victims whose writes are done; under pressure, those under way as well, so
 * that they are counted and waited for. */
static void reap_victims(const struct round *scan)
{
	struct queue_room *room = queue_room(scan->lruvec);
	struct scan_control *sc = scan->sc;
	u64 before = sc->nr_reclaimed, left = UINT64_MAX;

	while (left && !reclaim_enough(sc, before)) {
		bool ours, ready = true;
		unsigned long flags;
		struct round r;

		round_begin(&r, scan);
		ours = round_lock(&r, &flags);
		left = ours ? min(left, queue_len(room, QUEUE_VICTIM, r.allow))
			    : 0;
		for (u32 i = 0; left && ready && i < SWAP_CLUSTER_MAX; i++) {
			ready = victim_ready(
				queue_tail(room, QUEUE_VICTIM, r.allow), sc);
			if (ready)
				pick_one(&r, QUEUE_VICTIM);
			left--;
		}
		spin_unlock_irqrestore(&r.lruvec->lock, flags);
		round_end(&r);
		left = ready ? left : 0;
	}
}

/* Up to NR pages of the policy's own queues. Returns how many there were. BARE:
 * there is nothing else to be had. */
static u64 scan_queues(const struct round *scan, u64 nr, bool bare)
{
	struct queue_room *room = queue_room(scan->lruvec);
	unsigned long flags;
	enum queue_id id;
	struct round r;
	u64 n = 0;

	nr = min(nr, (u64)SWAP_CLUSTER_MAX);
	round_begin(&r, scan);
	if (!round_lock(&r, &flags))
		nr = 0;
	else
		room->bare = bare;
	for (; n < nr; n++) {
		if (!queue_len(room, QUEUE_A, r.allow) &&
		    !queue_len(room, QUEUE_B, r.allow))
			break;
		id = r.policy->choose(r.lruvec, r.allow, n);
		if (id == NR_QUEUES)
			break;
		pick_one(&r, id);
	}
	spin_unlock_irqrestore(&r.lruvec->lock, flags);
	round_end(&r);
	return n;
}

/* Anonymous pages can go if there is swap; at swappiness 0 only if nothing
 * else is left, at 200 first. */
static u32 kinds_allowed(const struct lruvec *lruvec,
			 const struct scan_control *sc)
{
	u32 swappiness = READ_ONCE(reclaim_sys.swappiness);
	u64 file = lruvec_size(lruvec, LRU_INACTIVE_FILE) +
		   lruvec_size(lruvec, LRU_ACTIVE_FILE);

	if (!scan_may_swap(lruvec, sc))
		return QUEUE_FILE;
	if (!swappiness && file && sc->priority)
		return QUEUE_FILE;
	if (swappiness >= 200 && sc->priority)
		return QUEUE_ANON;
	return QUEUE_ANON | QUEUE_FILE;
}

/* Victims whose writes are under way are frames soon: what is kept need not go
 * in their stead, unless pressure is high. */
static bool victims_coming(const struct round *scan)
{
	return scan->sc->priority >= DEF_PRIORITY / 2 &&
	       queue_len(queue_room(scan->lruvec), QUEUE_VICTIM, scan->allow);
}

/* Newborn pages that are old enough are settled, then as scan_queues(); if that
 * finds nothing, younger ones, and at last all. */
static u64 scan_some(const struct round *scan, u64 nr)
{
	u64 n;

	drain_newborn(scan, QUEUE_NEWBORN_SHARE);
	n = scan_queues(scan, nr, false);
	if (!n && scan->policy->frugal) {
		drain_newborn(scan, QUEUE_NEWBORN_LEAST);
		n = scan_queues(scan, nr, false);
		if (!n && victims_coming(scan))
			return 0;
	}
	if (n)
		return n;
	drain_newborn(scan, 0);
	return scan_queues(scan, nr, true);
}

u64 queue_scan(struct lruvec *lruvec, struct scan_control *sc,
	       const struct queue_policy *policy)
{
	const struct round scan = {.lruvec = lruvec,
				   .policy = policy,
				   .sc = sc,
				   .allow = kinds_allowed(lruvec, sc)};
	u64 before = sc->nr_reclaimed, nr = 0;
	int l;

	for_each_evictable_lru(l) nr += scan_size(lruvec, (enum lru_list)l, sc);
	if (nr)
		nr = max(nr >> sc->priority, (u64)SWAP_CLUSTER_MAX);
	lru_add_drain();
	reap_victims(&scan);
	while (nr && !reclaim_enough(sc, before)) {
		u64 n;

		if (!reclaim_wait_isolated(lruvec->pgdat, false, sc) ||
		    !reclaim_wait_isolated(lruvec->pgdat, true, sc))
			break;
		n = scan_some(&scan, nr);
		if (!n)
			break;
		nr -= n;
		port_sched_point();
	}
	return sc->nr_reclaimed - before;
}
