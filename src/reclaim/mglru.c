/* SPDX-License-Identifier: MIT */
/*
 * mglru.c - the replacement policy "mglru": generations.
 *
 * 1. Purpose. Two lists tell only "used" from "not used lately", and find that
 *    out page by page, through reverse mapping. Here pages are sorted by when
 *    they were last used into up to four generations, and what was used is
 *    mostly found by walking page tables, where neighbours stand together.
 *
 * 2. Generations. max_seq numbers the youngest, min_seq[] the oldest one of
 *    anonymous pages and of pages of files; they only grow. A generation has a
 *    list for each type and zone. Aging (mglru_walk.c) makes a new youngest one
 *    and moves there what was used through page tables. Eviction
 *    (mglru_scan.c) takes from the oldest and closes it when it is empty. The
 *    two youngest are never taken from: so a page that goes was not used for
 *    the length of one generation at least.
 *
 * 3. In place. A page that is found used does not move: its descriptor says
 *    that it is of the youngest generation, while it stands on its old list.
 *    Eviction comes by and puts it where it belongs. So being used costs a byte
 *    of the page's own, not the links of two neighbours and two list heads.
 *
 * 4. Tiers. read(2) and write(2) leave no accessed bit; they are counted. A
 *    page used N times that way is in tier log2(N), rounded up. Which tiers of
 *    the oldest generation are worth another generation is decided by what came
 *    back: see mglru_scan.c. A use through page tables makes the page young and
 *    sets the count back.
 *
 * 5. Where pages begin. What a fault maps is of the youngest generation. The
 *    rest (read by read(2), read ahead) is of the oldest; that it lasts is for
 *    its use to show; what came back soon begins a generation later. Active is,
 *    for the statistics, what is of the two youngest.
 *
 * 6. Invariants.
 *    MG-1  max_seq - min_seq[type] + 1 is within [MIN_GENS, MAX_GENS].
 *    MG-2  The generation that a page is of is not older than the one on whose
 *          list it stands; both are within min_seq[type] .. max_seq.
 *    MG-3  nr[][][] count pages by the generation that they are of, and so do
 *          the node's counters of active and inactive pages.
 *    MG-4  page.policy is written with the lruvec lock held, or by who isolated
 *          the page. A byte that another policy left is no harm: generation and
 *          uses of such a page are a guess.
 *
 * 7. Locking. The lruvec lock. Inside a table's lock it is taken to promote
 *    what was found there; never the other way.
 *
 * 8. Failure. The filters need a frame; without it all tables are walked.
 *
 * References: Linux documentation, mm/multigen_lru and
 * admin-guide/mm/multigen_lru.
 */
#include "reclaim/mglru.h"

#include <mmkit/port.h>

#include "base/assert.h"
#include "phys/vmstat.h"

/* ---- one page
 * ------------------------------------------------------------------------ */

u32 mglru_tier(const struct page *page)
{
	static const u8 tier[] = {0, 0, 1, 2, 2, 3, 3, 3};

	return tier[mglru_field(page, MGLRU_REFS) << 1 | PageReferenced(page)];
}

void mglru_forget_uses(struct page *page)
{
	mglru_set_field(page, MGLRU_REFS, 0);
	ClearPageReferenced(page);
	ClearPageActive(page);
}

/* Generation GEN, for the statistics of pages like those of TYPE. */
static enum lru_list gen_lru(const struct mglru_room *room, u32 gen,
			     enum mglru_type type)
{
	bool active = gen == mglru_gen(room->max_seq) ||
		      gen == mglru_gen(room->max_seq - 1);

	return (enum lru_list)((type == MGLRU_FILE ? LRU_FILE : 0) +
			       (active ? LRU_ACTIVE : 0));
}

/* N more pages like PAGE are of generation GEN. */
static void count_gen(struct lruvec *lruvec, const struct page *page, u32 gen,
		      int n)
{
	struct mglru_room *room = mglru_room(lruvec);
	enum mglru_type type = mglru_type(page);
	int zone = page_zone_idx(page);

	room->nr[gen][type][zone] += (u32)n;
	lruvec_count(lruvec, zone, gen_lru(room, gen, type), n);
}

static struct page_list *list_on(struct mglru_room *room,
				 const struct page *page)
{
	u32 on = mglru_field(page, MGLRU_ON);

	return &room->lists[on][mglru_type(page)][page_zone_idx(page)];
}

static void put_on(struct lruvec *lruvec, struct page *page, u64 seq, bool tail)
{
	struct mglru_room *room = mglru_room(lruvec);
	u32 gen = mglru_gen(seq);

	mm_assert(seq >= room->min_seq[mglru_type(page)] &&
		  seq <= room->max_seq);
	mglru_set_field(page, MGLRU_ON, gen);
	mglru_set_field(page, MGLRU_GEN, gen);
	if (tail)
		page_list_add_tail(list_on(room, page), page);
	else
		page_list_add(list_on(room, page), page);
	count_gen(lruvec, page, gen, 1);
}

static void take_off(struct lruvec *lruvec, struct page *page)
{
	page_list_del(list_on(mglru_room(lruvec), page), page);
	count_gen(lruvec, page, mglru_field(page, MGLRU_GEN), -1);
}

void mglru_move(struct lruvec *lruvec, struct page *page, u64 seq, bool tail)
{
	assert_spin_locked(&lruvec->lock);
	take_off(lruvec, page);
	put_on(lruvec, page, seq, tail);
}

/* The number of generation GEN of TYPE; the oldest one's if there is none. */
static u64 gen_seq(const struct mglru_room *room, u32 gen, enum mglru_type type)
{
	u64 seq = room->min_seq[type];

	for (; seq <= room->max_seq; seq++)
		if (mglru_gen(seq) == gen)
			return seq;
	return room->min_seq[type];
}

/* ---- the door
 * ---------------------------------------------------------------------- */

static void mglru_init(struct lruvec *lruvec)
{
	struct mglru_room *room = mglru_room(lruvec);

	/* Cookies of long ago must not look recent. */
	WRITE_ONCE(room->max_seq, MGLRU_MIN_GENS + 1);
	for (u32 t = 0; t < MGLRU_TYPES; t++)
		WRITE_ONCE(room->min_seq[t],
			   room->max_seq - MGLRU_MIN_GENS + 1);
	for (u32 g = 0; g < MGLRU_MAX_GENS; g++) {
		room->born[g] = port_now_ns();
		for (u32 t = 0; t < MGLRU_TYPES; t++)
			for (u32 z = 0; z < LRU_NR_ZONES; z++)
				page_list_init(&room->lists[g][t][z]);
	}
}

static void mglru_exit(struct lruvec *lruvec)
{
	mglru_filter_drop(lruvec);
}

/* Where does PAGE, which comes from nowhere, begin? */
static u64 first_seq(const struct mglru_room *room, const struct page *page)
{
	u64 oldest = room->min_seq[mglru_type(page)];

	if (page->policy == LRU_BYTE_COLD)
		return oldest;
	if (page->policy & MGLRU_KNOWN)
		return gen_seq(room, mglru_field(page, MGLRU_GEN),
			       mglru_type(page));
	if (page_mapped(page))
		return room->max_seq;
	return PageActive(page) ? oldest + 1 : oldest;
}

static void mglru_add(struct lruvec *lruvec, struct page *page)
{
	struct mglru_room *room = mglru_room(lruvec);
	u64 seq = room->dest ? room->dest : first_seq(room, page);

	ClearPageActive(page);
	if (page->policy == LRU_BYTE_COLD)
		page->policy = 0;
	page->policy |= MGLRU_KNOWN;
	put_on(lruvec, page, seq, false);
}

static void mglru_del(struct lruvec *lruvec, struct page *page)
{
	take_off(lruvec, page);
}

/* PAGE was used twice through its file since the last call. */
static void mglru_activate(struct lruvec *lruvec, struct page *page)
{
	u32 refs = mglru_field(page, MGLRU_REFS);

	assert_spin_locked(&lruvec->lock);
	if (refs < MGLRU_REFS_MAX)
		mglru_set_field(page, MGLRU_REFS, ++refs);
	/* There are no more tiers: nobody need ask for the lock again. */
	if (refs == MGLRU_REFS_MAX)
		SetPageActive(page);
}

static void mglru_rotate(struct lruvec *lruvec, struct page *page)
{
	struct mglru_room *room = mglru_room(lruvec);

	/* Used since its write began: nobody waits for it any more. */
	if (mglru_field(page, MGLRU_GEN) == mglru_gen(room->max_seq))
		return;
	mglru_move(lruvec, page, room->min_seq[mglru_type(page)], true);
}

/* ---- what comes back: the generation and the tier of its end, in 32 bits ----
 */

#define COOKIE_TIER_BITS 2
#define COOKIE_SEQ_MASK	 (BIT(LRU_COOKIE_BITS - COOKIE_TIER_BITS) - 1)

static u64 mglru_evict(struct lruvec *lruvec, struct page *page)
{
	struct mglru_room *room = mglru_room(lruvec);
	enum mglru_type type = mglru_type(page);
	u32 tier = mglru_tier(page);

	room->now[type][tier].evicted++;
	return (room->min_seq[type] & COOKIE_SEQ_MASK) << COOKIE_TIER_BITS |
	       tier;
}

/*
 * Recent is who went within as many generations as there can be. It is in the
 * tier that it was in, or it would have to be used as often again before it is
 * worth what its tier is worth.
 */
static bool mglru_refault(struct lruvec *lruvec, struct page *page, u64 cookie)
{
	static const u8 refs[MGLRU_TIERS] = {0, 1, 2, 3};
	struct mglru_room *room = mglru_room(lruvec);
	enum mglru_type type = mglru_type(page);
	u32 tier = (u32)(cookie & (MGLRU_TIERS - 1));
	u64 since = room->min_seq[type] - (cookie >> COOKIE_TIER_BITS);

	if ((since & COOKIE_SEQ_MASK) >= MGLRU_MAX_GENS)
		return false;
	room->now[type][tier].refaulted++;
	mglru_set_field(page, MGLRU_REFS, refs[tier]);
	return true;
}

/* ---- generations
 * ----------------------------------------------------------------- */

u64 mglru_nr(const struct mglru_room *room, u64 seq, enum mglru_type type,
	     int zone)
{
	u64 n = 0;

	for (int z = 0; z <= zone && z < LRU_NR_ZONES; z++)
		n += READ_ONCE(room->nr[mglru_gen(seq)][type][z]);
	return n;
}

/* Nobody stands on the lists of TYPE's oldest generation. */
static bool oldest_empty(const struct mglru_room *room, enum mglru_type type)
{
	u32 gen = mglru_gen(room->min_seq[type]);

	for (u32 z = 0; z < LRU_NR_ZONES; z++)
		if (!page_list_empty(&room->lists[gen][type][z]))
			return false;
	return true;
}

static u64 nr_gens(const struct mglru_room *room, enum mglru_type type)
{
	return room->max_seq - room->min_seq[type] + 1;
}

void mglru_close_empty(struct lruvec *lruvec)
{
	struct mglru_room *room = mglru_room(lruvec);

	for (u32 t = 0; t < MGLRU_TYPES; t++)
		while (nr_gens(room, (enum mglru_type)t) > MGLRU_MIN_GENS &&
		       oldest_empty(room, (enum mglru_type)t))
			WRITE_ONCE(room->min_seq[t], room->min_seq[t] + 1);
}

bool mglru_merge_oldest(struct lruvec *lruvec, enum mglru_type type, u32 nr)
{
	struct mglru_room *room = mglru_room(lruvec);
	u32 gen = mglru_gen(room->min_seq[type]);

	mm_assert(nr_gens(room, type) > MGLRU_MIN_GENS);
	for (u32 z = 0; z < LRU_NR_ZONES; z++) {
		struct page_list *l = &room->lists[gen][type][z];
		struct page *page;

		/* From the head to the next one's tail: the order stays. */
		for (; nr && (page = page_list_first(l)); nr--) {
			u32 of = mglru_field(page, MGLRU_GEN);

			mglru_move(lruvec, page,
				   of == gen ? room->min_seq[type] + 1
					     : gen_seq(room, of, type),
				   of == gen);
		}
	}
	if (!oldest_empty(room, type))
		return false;
	WRITE_ONCE(room->min_seq[type], room->min_seq[type] + 1);
	return true;
}

/* The times of a generation that ends count half from now on. */
static void average_past(struct mglru_room *room)
{
	for (u32 t = 0; t < MGLRU_TYPES; t++)
		for (u32 i = 0; i < MGLRU_TIERS; i++) {
			struct mglru_tier *now = &room->now[t][i];
			struct mglru_past *past = &room->past[t][i];

			past->refaulted =
				(past->refaulted + now->refaulted) / 2;
			past->total =
				(past->total + now->evicted + now->protected) /
				2;
			*now = (struct mglru_tier){0, 0, 0};
		}
}

void mglru_begin_gen(struct lruvec *lruvec)
{
	struct mglru_room *room = mglru_room(lruvec);
	/* It is not one of the two youngest any more. */
	u32 older = mglru_gen(room->max_seq - 1);

	assert_spin_locked(&lruvec->lock);
	for (u32 t = 0; t < MGLRU_TYPES; t++) {
		enum lru_list lru =
			t == MGLRU_FILE ? LRU_INACTIVE_FILE : LRU_INACTIVE_ANON;

		mm_verify(nr_gens(room, (enum mglru_type)t) < MGLRU_MAX_GENS);
		for (int z = 0; z < LRU_NR_ZONES; z++) {
			long n = room->nr[older][t][z];

			lruvec_count(lruvec, z,
				     (enum lru_list)(lru + LRU_ACTIVE), -n);
			lruvec_count(lruvec, z, lru, n);
		}
	}
	average_past(room);
	WRITE_ONCE(room->max_seq, room->max_seq + 1);
	room->born[mglru_gen(room->max_seq)] = port_now_ns();
}

void mglru_promote(struct lruvec *lruvec, struct page **pages, u32 nr)
{
	struct mglru_room *room = mglru_room(lruvec);
	unsigned long flags;

	if (!nr)
		return;
	spin_lock_irqsave(&lruvec->lock, flags);
	for (u32 i = 0; mglru_owns(lruvec) && i < nr; i++) {
		struct page *page = pages[i];

		if (!PageLRU(page) || PageUnevictable(page) ||
		    page->policy == LRU_BYTE_MOVING)
			continue;
		count_gen(lruvec, page, mglru_field(page, MGLRU_GEN), -1);
		mglru_set_field(page, MGLRU_GEN, mglru_gen(room->max_seq));
		mglru_forget_uses(page);
		count_gen(lruvec, page, mglru_gen(room->max_seq), 1);
	}
	spin_unlock_irqrestore(&lruvec->lock, flags);
}

/* ---- exchange and check
 * ---------------------------------------------------------- */

/* Of a generation: the page at the tail of one of its lists. */
static struct page *gen_tail(struct mglru_room *room, u32 gen)
{
	for (u32 t = MGLRU_TYPES; t-- > 0;)
		for (u32 z = 0; z < LRU_NR_ZONES; z++)
			if (!page_list_empty(&room->lists[gen][t][z]))
				return page_list_last(&room->lists[gen][t][z]);
	return NULL;
}

static struct page *mglru_coldest(struct lruvec *lruvec)
{
	struct mglru_room *room = mglru_room(lruvec);
	u64 seq = min(room->min_seq[MGLRU_ANON], room->min_seq[MGLRU_FILE]);
	struct page *page = NULL;
	u32 of;

	for (; seq <= room->max_seq; seq++) {
		page = gen_tail(room, mglru_gen(seq));
		/* Promoted in place: its turn comes with its generation. */
		of = page ? mglru_field(page, MGLRU_GEN) : 0;
		if (page && of == mglru_gen(seq))
			break;
		if (page) {
			mglru_move(lruvec, page,
				   gen_seq(room, of, mglru_type(page)), false);
			seq--;
		}
	}
	if (!page)
		return NULL;
	/* What is young here is active elsewhere. */
	if (seq + MGLRU_MIN_GENS > room->max_seq)
		SetPageActive(page);
	else
		ClearPageActive(page);
	return page;
}

/* Pages of one list: MG-2, and counted by what they are of. */
static void check_list(struct lruvec *lruvec, u32 gen, u32 type, int zone,
		       u32 nr[MGLRU_MAX_GENS][MGLRU_TYPES][LRU_NR_ZONES])
{
	struct mglru_room *room = mglru_room(lruvec);
	struct page_list *l = &room->lists[gen][type][zone];
	u64 on = gen_seq(room, gen, (enum mglru_type)type);

	lru_check_own(lruvec, l, NULL);
	mm_verify(page_list_empty(l) || mglru_gen(on) == gen);
	for (struct page *p = page_list_first(l); p; p = page_list_next(p)) {
		u32 of = mglru_field(p, MGLRU_GEN);
		u64 seq = gen_seq(room, of, (enum mglru_type)type);

		mm_verify(mglru_field(p, MGLRU_ON) == gen &&
			  (p->policy & MGLRU_KNOWN) &&
			  mglru_type(p) == (enum mglru_type)type &&
			  page_zone_idx(p) == zone);
		mm_verify(mglru_gen(seq) == of && seq >= on);
		nr[of][type][zone]++;
	}
}

static void mglru_check(struct lruvec *lruvec, struct lru_census *census)
{
	u32 nr[MGLRU_MAX_GENS][MGLRU_TYPES][LRU_NR_ZONES] = {0};
	struct mglru_room *room = mglru_room(lruvec);

	mm_verify(!room->dest);
	for (u32 t = 0; t < MGLRU_TYPES; t++) {
		u64 n = nr_gens(room, (enum mglru_type)t);

		mm_verify(n >= MGLRU_MIN_GENS && n <= MGLRU_MAX_GENS);
	}
	for (u32 g = 0; g < MGLRU_MAX_GENS; g++)
		for (u32 t = 0; t < MGLRU_TYPES; t++)
			for (int z = 0; z < LRU_NR_ZONES; z++)
				check_list(lruvec, g, t, z, nr);
	for (u32 g = 0; g < MGLRU_MAX_GENS; g++)
		for (u32 t = 0; t < MGLRU_TYPES; t++)
			for (int z = 0; z < LRU_NR_ZONES; z++) {
				enum lru_list lru =
					gen_lru(room, g, (enum mglru_type)t);

				mm_verify(nr[g][t][z] == room->nr[g][t][z]);
				census->nr[z][lru] += nr[g][t][z];
			}
}

const struct lru_ops mglru_ops = {
	.name = "mglru",
	.init = mglru_init,
	.exit = mglru_exit,
	.add = mglru_add,
	.del = mglru_del,
	.activate = mglru_activate,
	.rotate = mglru_rotate,
	.scan = mglru_scan,
	.pageout = reclaim_pages,
	.evict = mglru_evict,
	.refault = mglru_refault,
	.coldest = mglru_coldest,
	.check = mglru_check,
};
