/* SPDX-License-Identifier: MIT */
/*
 * mt_pack.c - packs: objects of 4.5 to 8 KiB side by side, whatever their
 * class.
 *
 * 1. Purpose. There are eight classes in that range, and most programs have a
 *    few dozen objects of each. In slabs each class has pages of its own that
 *    are half used, and each slab a tail; here all share what is free.
 *
 * 2. Structures. A pack is 64 KiB of frames, 128 units of 512 bytes. An object
 *    is a run of units; two words say which are used, two where objects begin.
 *    As an object is larger than a page, at most one begins in a frame: so the
 *    map of frames tells its class, as for slabs. What packs are is said
 *    outside of them, by number of the block of frames: nothing in a freed
 *    object is believed. Packs with room are in a list for the longest run of
 *    units that is free. The lowest list that will do is asked, which keeps
 *    full what is full; in the pack the lowest run is taken.
 *
 * 3. Alignment. Classes that are no multiple of a page are aligned to a unit.
 *    A place of 8 KiB begins a page; packs that have one are in a list of
 *    their own.
 *
 * 4. Invariants (mt_pack_check).
 *    MP-1  An object begins at a used unit; its units are used up to where the
 *          next begins or free ones follow, and as many as its class has.
 *    MP-2  A pack is in the list that its free units say, and in none if no
 *          object fits.
 *    MP-3  A class's count is the number of its objects that begin in packs.
 *    MP-4  At most one pack is empty.
 *
 * 5. Locking. packs.word, inside a slot's; frames are allocated and freed under
 *    it.
 *
 * 6. Failure. Without frames for a pack there are fewer objects than asked for.
 *
 * 7. Rejected. Smaller objects: two could begin in one frame, and a byte for
 *    each would have to be read at every free. Runs of frames for 4.5 KiB: a
 *    page for 512 bytes.
 */
#include <sys/mman.h>

#include <mmkit/page_alloc.h>

#include "mt.h"
#include "phys/phys.h"

#define PACK_ORDER 4u
#define PACK_BYTES (PAGE_SIZE << PACK_ORDER)
#define UNIT	   MT_PACK_UNIT
#define NR_UNITS   ((u32)(PACK_BYTES / UNIT))
#define PAGE_UNITS ((u32)(PAGE_SIZE / UNIT))
#define LEAST	   (PAGE_UNITS + 1) /* units of the smallest object */
#define MOST	   (2 * PAGE_UNITS)

/* Lists by the longest free run, up to MOST; then those with an aligned one. */
#define LIST_NONE 0u
#define LIST_PAGE (MOST + 1)
#define NR_LISTS  (MOST + 2)

/* A bit for each unit of a pack. */
struct units {
	u64 lo, hi;
};

MM_STATIC_ASSERT(sizeof(struct units) * 8 == NR_UNITS, "a bit for each unit");

/* (P) word, all of it. */
struct pack {
	struct units used, starts;
	u32 next, prev; /* in its list, by number plus one */
	u8 list;
	bool made; /* has frames */
};

static struct {
	struct pack *pack; /* by block of frames; sparse */
	u32 word;
	u32 first[NR_LISTS];  /* (P) by number plus one */
	u32 nr_empty;	      /* (P) */
	u32 end;	      /* (P) packs were made below this number only */
	u64 nr[MT_NR_PACKED]; /* (P) objects, by class; read without, a hint */
} packs;

static struct pack *pack_nr(u32 plus1)
{
	return plus1 ? &packs.pack[plus1 - 1] : NULL;
}

static u32 plus1_of(const struct pack *p)
{
	return (u32)(p - packs.pack) + 1;
}

static struct pack *pack_of(const void *obj)
{
	return &packs.pack[mt_frame(obj) >> PACK_ORDER];
}

static char *pack_base(const struct pack *p)
{
	return mt_base + (u64)(p - packs.pack) * PACK_BYTES;
}

/* ---- units
 * --------------------------------------------------------------------- */

/* U moved down by NR units, 1 to 63. */
static inline struct units down(struct units u, u32 nr)
{
	return (struct units){u.lo >> nr | u.hi << (64 - nr), u.hi >> nr};
}

static inline struct units both(struct units a, struct units b)
{
	return (struct units){a.lo & b.lo, a.hi & b.hi};
}

static inline bool any(struct units u)
{
	return u.lo | u.hi;
}

static inline struct units free_of(const struct pack *p)
{
	return (struct units){~p->used.lo, ~p->used.hi};
}

/* NR units, at most 63, from AT on. */
static inline struct units run_at(u32 at, u32 nr)
{
	u64 run = (1ul << nr) - 1;

	if (at >= 64)
		return (struct units){0, run << (at - 64)};
	return (struct units){run << at, at ? run >> (64 - at) : 0};
}

static inline void set_units(struct units *u, struct units which)
{
	u->lo |= which.lo;
	u->hi |= which.hi;
}

static inline void clear_units(struct units *u, struct units which)
{
	u->lo &= ~which.lo;
	u->hi &= ~which.hi;
}

/* Those that begin a page. */
static inline struct units page_starts(void)
{
	MM_STATIC_ASSERT(PAGE_UNITS == 8, "a byte of the word is a page");
	return (struct units){0x0101010101010101UL, 0x0101010101010101UL};
}

/* Where runs of a page of free units begin; of NR, LEAST to MOST, from that. */
static inline struct units page_runs(struct units free)
{
	free = both(free, down(free, 1));
	free = both(free, down(free, 2));
	return both(free, down(free, 4));
}

static inline struct units runs_of(struct units pages, u32 nr)
{
	return both(pages, down(pages, nr - PAGE_UNITS));
}

static inline u32 lowest(struct units u)
{
	return u.lo ? (u32)__builtin_ctzl(u.lo)
		    : 64 + (u32)__builtin_ctzl(u.hi);
}

/* The list for a pack with these units free. */
static u32 list_for(struct units free)
{
	struct units pages = page_runs(free);
	u32 nr = LEAST, step = (MOST - LEAST + 1) / 2;

	if (!any(runs_of(pages, LEAST)))
		return LIST_NONE;
	for (; step; step /= 2) {
		if (any(runs_of(pages, nr + step)))
			nr += step;
	}
	if (nr == MOST && any(both(runs_of(pages, MOST), page_starts())))
		return LIST_PAGE;
	return nr;
}

/* ---- lists
 * --------------------------------------------------------------------- */

static void unlist(struct pack *p)
{
	if (p->list == LIST_NONE)
		return;
	if (p->prev)
		pack_nr(p->prev)->next = p->next;
	else
		packs.first[p->list] = p->next;
	if (p->next)
		pack_nr(p->next)->prev = p->prev;
	p->list = LIST_NONE;
}

/* P's units changed. */
static void relist(struct pack *p)
{
	u32 list = list_for(free_of(p));

	if (list == p->list)
		return;
	unlist(p);
	p->list = (u8)list;
	if (list == LIST_NONE)
		return;
	p->prev = 0;
	p->next = packs.first[list];
	if (p->next)
		pack_nr(p->next)->prev = plus1_of(p);
	packs.first[list] = plus1_of(p);
}

/* ---- making and giving up
 * ------------------------------------------------------ */

bool mt_pack_init(void)
{
	u64 nr = mt_sys.span / PACK_BYTES;

	MM_STATIC_ASSERT(LEAST * UNIT > MT_SLAB_MAX &&
				 MOST * UNIT == MT_PACK_MAX,
			 "the classes between slabs and runs");
	packs.pack = mt_map_meta(nr * sizeof(*packs.pack));
	return packs.pack != NULL;
}

static struct pack *pack_make(void)
{
	struct page *page = alloc_pages(__GFP_NOWARN | __GFP_COMP, PACK_ORDER);
	struct pack *p;
	u64 f;

	if (!page)
		return NULL;
	p = pack_of(page_view(page));
	packs.end = max(packs.end, plus1_of(p));
	/* Of what classes its frames were counts no more. */
	f = mt_frame(pack_base(p));
	for (u32 i = 0; i < 1u << PACK_ORDER; i++) {
		if (READ_ONCE(mt_map[f + i]) != MT_NONE)
			WRITE_ONCE(mt_map[f + i], MT_BODY);
	}
	p->used = p->starts = (struct units){0, 0};
	p->made = true;
	packs.nr_empty++;
	relist(p);
	return p;
}

static void pack_drop(struct pack *p)
{
	unlist(p);
	p->made = false;
	packs.nr_empty--;
	__free_pages(view_to_page(pack_base(p)), PACK_ORDER);
}

/* ---- objects
 * ------------------------------------------------------------------- */

static void count(u32 c, u64 more)
{
	u64 *nr = &packs.nr[c - MT_FIRST_PACKED];

	WRITE_ONCE(*nr, *nr + more);
}

u64 mt_pack_objects(u32 c)
{
	return READ_ONCE(packs.nr[c - MT_FIRST_PACKED]);
}

/* A pack with a place for NR units, the fullest first. */
static struct pack *pack_with(u32 nr)
{
	for (u32 i = nr == MOST ? LIST_PAGE : nr; i < NR_LISTS; i++) {
		if (packs.first[i])
			return pack_nr(packs.first[i]);
	}
	return pack_make();
}

/* The frames of an object are touched from now on; it is of class C. */
static void mark_object(const void *obj, u32 c)
{
	u64 f = mt_frame(obj);
	u64 end = mt_frame((const char *)obj + mt_sys.size_of[c] - 1);

	mt_mark(f, c);
	while (++f <= end) {
		if (READ_ONCE(mt_map[f]) == MT_NONE)
			mt_mark(f, MT_BODY);
	}
}

/* Objects of class C from P into OUT, at most NR; P's list stays. */
static u32 pack_take(struct pack *p, u32 c, void **out, u32 nr)
{
	u32 size = mt_sys.size_of[c] / UNIT, n = 0;
	struct units fits = runs_of(page_runs(free_of(p)), size);

	if (size == MOST)
		fits = both(fits, page_starts());
	mm_assert(any(fits));
	packs.nr_empty -= !any(p->used);
	while (any(fits) && n < nr) {
		u32 at = lowest(fits);

		set_units(&p->used, run_at(at, size));
		set_units(&p->starts, run_at(at, 1));
		/* No run that begins in this one is whole any more. */
		clear_units(&fits, run_at(at, size));
		out[n] = pack_base(p) + (u64)at * UNIT;
		mark_object(out[n++], c);
	}
	return n;
}

u32 mt_pack_get(u32 c, void **out, u32 nr)
{
	u32 n = 0;

	mt_lock(&packs.word);
	while (n < nr) {
		struct pack *p = pack_with(mt_sys.size_of[c] / UNIT);

		if (!p)
			break;
		n += pack_take(p, c, out + n, nr - n);
		relist(p);
	}
	count(c, n);
	mt_unlock(&packs.word);
	return n;
}

/* False: OBJ, of class C as its frame says, is no object of P. */
static bool pack_give(struct pack *p, u32 c, void *obj)
{
	u64 off = (u64)((char *)obj - pack_base(p));
	u32 at = (u32)(off / UNIT);

	if (off % UNIT || !any(both(p->starts, run_at(at, 1))) ||
	    READ_ONCE(mt_map[mt_frame(obj)]) != c)
		return false;
	clear_units(&p->starts, run_at(at, 1));
	clear_units(&p->used, run_at(at, mt_sys.size_of[c] / UNIT));
	WRITE_ONCE(mt_map[mt_frame(obj)], MT_BODY);
	return true;
}

/* P has more room than it had. */
static void pack_relieved(struct pack *p)
{
	if (p->list != LIST_PAGE)
		relist(p);
	if (!any(p->used) && packs.nr_empty++)
		pack_drop(p);
}

const void *mt_pack_put(u32 c, void **objs, u32 nr)
{
	const void *bad = NULL;
	u32 n = 0;

	mt_lock(&packs.word);
	for (u32 i = 0; i < nr; i++) {
		struct pack *p = pack_of(objs[i]);

		if (!pack_give(p, c, objs[i])) {
			bad = objs[i];
			continue;
		}
		n++;
		pack_relieved(p);
	}
	count(c, -(u64)n);
	mt_unlock(&packs.word);
	return bad;
}

void mt_pack_lock(void)
{
	mt_lock(&packs.word);
}

void mt_pack_unlock(void)
{
	mt_unlock(&packs.word);
}

/* ---- all of them
 * --------------------------------------------------------------- */

/* What is free of the pack and dirty; from page to page. */
static u64 trim_pack(const struct pack *p)
{
	u64 f = mt_frame(pack_base(p)), nr = 0;

	for (u32 i = 0; i < NR_UNITS / PAGE_UNITS; i++) {
		if (!any(both(p->used, run_at(i * PAGE_UNITS, PAGE_UNITS))))
			nr += mt_give_back(f + i, f + i + 1);
	}
	return nr;
}

u64 mt_pack_trim(void)
{
	u64 nr = 0;

	mt_lock(&packs.word);
	for (u32 i = 0; i < packs.end; i++) {
		struct pack *p = &packs.pack[i];

		if (!p->made)
			continue;
		if (!any(p->used))
			pack_drop(p);
		else
			nr += trim_pack(p);
	}
	mt_unlock(&packs.word);
	return nr;
}

void mt_pack_count(u64 *bytes, u64 *used)
{
	*bytes = *used = 0;
	mt_lock(&packs.word);
	for (u32 i = 0; i < packs.end; i++)
		*bytes += packs.pack[i].made ? PACK_BYTES : 0;
	for (u32 c = MT_FIRST_PACKED; mt_in_packs(c); c++)
		*used += mt_pack_objects(c) * mt_sys.size_of[c];
	mt_unlock(&packs.word);
}

static void check_objects(const struct pack *p, u64 *nr)
{
	struct units left = p->used;

	for (u32 at = 0; at < NR_UNITS; at++) {
		u32 c = mt_map[mt_frame(pack_base(p) + (u64)at * UNIT)];
		struct units run;

		if (!any(both(p->starts, run_at(at, 1))))
			continue;
		mm_verify(mt_in_packs(c));
		run = run_at(at, mt_sys.size_of[c] / UNIT);
		mm_verify(both(left, run).lo == run.lo);
		mm_verify(both(left, run).hi == run.hi);
		clear_units(&left, run);
		nr[c]++;
	}
	mm_verify(!any(left));
}

static void check_lists(void)
{
	for (u32 list = 1; list < NR_LISTS; list++) {
		u32 before = 0;

		for (u32 at = packs.first[list]; at; at = pack_nr(at)->next) {
			mm_verify(pack_nr(at)->list == list);
			mm_verify(pack_nr(at)->prev == before);
			before = at;
		}
	}
}

void mt_pack_check(void)
{
	u64 nr[MT_NR_CLASSES] = {0};
	u32 nr_empty = 0;

	mt_lock(&packs.word);
	check_lists();
	for (u32 i = 0; i < packs.end; i++) {
		struct pack *p = &packs.pack[i];

		mm_verify(p->list == (p->made ? list_for(free_of(p)) : 0));
		if (!p->made)
			continue;
		nr_empty += !any(p->used);
		check_objects(p, nr);
	}
	mm_verify(nr_empty == packs.nr_empty && nr_empty <= 1);
	for (u32 c = MT_FIRST_PACKED; mt_in_packs(c); c++)
		mm_verify(nr[c] == packs.nr[c - MT_FIRST_PACKED]);
	mt_unlock(&packs.word);
}
