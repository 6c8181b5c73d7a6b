/* SPDX-License-Identifier: MIT */
/*
 * mt_pack.c - packs: objects of 1088 to 7680 bytes side by side, whatever their
 * class.
 *
 * 1. Purpose. There are 32 classes in that range, and most programs have a few
 *    dozen objects of each. In slabs each class has pages of its own that are
 *    half used, and each slab a tail; here all share what is free. And in a
 *    slab of several pages none goes back to the system before all are free;
 *    here each does by itself.
 *
 * 2. Structures. A pack is 64 KiB of frames, 1024 units of 64 bytes. An object
 *    is a run of units; a bit for each unit says which are used, another where
 *    objects begin. As an object is larger than a grain of mt_map, at most one
 *    begins in each: so the map tells its class, as for slabs. What packs are
 *    is said outside of them, by number of the block of frames: nothing in a
 *    freed object is believed. Packs with room are in a list for the
 *    length of the longest run of units that may be free. The lowest list that
 *    will do is asked, which keeps full what is full; in the pack the lowest
 *    runs are taken.
 *
 * 3. Alignment. To a unit. Powers of two, which would be aligned to their size,
 *    are not here: two of 2 KiB fill the page of a slab, and 4 and 8 KiB are
 *    frames.
 *
 * 4. Invariants (mt_pack_check).
 *    MP-1  An object begins at a used unit; its units are used up to where the
 *          next begins or free ones follow, and as many as its class has.
 *    MP-2  A pack is in the list that its free units say, or one for longer
 *          runs. Bit I of packs.lists: list I has a pack.
 *    MP-3  A class's count is the number of its objects that begin in packs.
 *    MP-4  At most one pack is empty.
 *    MP-5  No free run that an object fits in begins before word LOW.
 *    MP-6  nr_idle counts the pages of packs that no object has part of.
 *
 * 5. Locking. packs.word, inside a slot's; frames are allocated and freed under
 *    it.
 *
 * 6. Failure. Without frames for a pack there are fewer objects than asked for.
 *
 * 7. Cost. Runs are found by looking at words of 64 units: a dozen instructions
 *    for each. A free looks at the run that it makes longer only, taking at
 *    what is before the first that will do. That it used the longest is found
 *    out when a pack is asked that has not what its list says.
 *
 * 8. Rejected. Objects of 1 KiB and less: two could begin in one grain, and
 *    smaller grains would need more of mt_map. Packs for each doubling: what is
 *    left over by large objects is where small ones fit. Runs of frames for 4.5
 *    KiB: a page for 512 bytes.
 */
#include <sys/mman.h>

#include <mmkit/page_alloc.h>

#include "mt.h"
#include "phys/phys.h"

#define PACK_ORDER 4u
#define PACK_BYTES (PAGE_SIZE << PACK_ORDER)
#define UNIT	   MT_PACK_UNIT
#define NR_UNITS   ((u32)(PACK_BYTES / UNIT))
#define NR_WORDS   (NR_UNITS / 64)
#define PAGE_UNITS ((u32)(PAGE_SIZE / UNIT))
#define LEAST	   (MT_PACK_OVER / UNIT + 1)	  /* units of the smallest */
#define MOST	   (MT_PACK_END / UNIT * 15 / 16) /* ... of the largest */

/* Lists by the longest run: one for each unit up to 2 KiB, then for two units,
 * of which all larger classes are. */
#define LIST_NONE 0u
#define EXACT	  32u
#define LIST_MOST (EXACT - LEAST + 1 + (MOST - EXACT) / 2)
#define NR_LISTS  (LIST_MOST + 1)

MM_STATIC_ASSERT(NR_LISTS <= 64, "a bit for each list");

/* A bit for each unit. */
struct units {
	u64 word[NR_WORDS];
};

/* (P) word, all of it. */
struct pack {
	struct units used, starts;
	u32 next, prev; /* in its list, by number plus one */
	u8 list;
	u8 low;	   /* where to look first: a word of units */
	bool made; /* has frames */
};

static struct {
	struct pack *pack; /* by block of frames; sparse */
	u64 lists;	   /* (P) bit: the list has a pack */
	u32 word;
	u32 nr_empty;	     /* (P) */
	u32 nr_idle;	     /* (P) pages that are free; read without */
	u32 end;	     /* (P) packs were made below this number only */
	u32 first[NR_LISTS]; /* (P) by number plus one */
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

static u32 units_of(u32 c)
{
	return mt_sys.size_of[c] / UNIT;
}

/* ---- units
 * --------------------------------------------------------------------- */

static inline bool has_unit(const struct units *u, u32 at)
{
	return u->word[at / 64] >> at % 64 & 1;
}

/* The first unit from AT on whose bit is set, if FLIP is 0, or clear, if it is
 * all ones; NR_UNITS: none. */
static inline u32 next_unit(const struct units *u, u32 at, u64 flip)
{
	u32 i = at / 64;
	u64 w;

	if (at == NR_UNITS)
		return at;
	w = (u->word[i] ^ flip) >> at % 64 << at % 64;
	while (!w) {
		if (++i == NR_WORDS)
			return NR_UNITS;
		w = u->word[i] ^ flip;
	}
	return i * 64 + (u32)__builtin_ctzl(w);
}

/* Where the run of clear units begins that AT, clear, is in. */
static inline u32 run_begin(const struct units *u, u32 at)
{
	u32 i = at / 64;
	u64 w = u->word[i] & ((1ul << at % 64) - 1);

	while (!w) {
		if (i-- == 0)
			return 0;
		w = u->word[i];
	}
	return i * 64 + 64 - (u32)__builtin_clzl(w);
}

/* The free runs of a pack, one after the other: units AT to END. FREE: those of
 * word I that follow. */
struct runs {
	const u64 *used;
	u64 free;
	u32 i, at, end;
};

static inline struct runs runs_from(const struct pack *p, u32 word)
{
	return (struct runs){
		.used = p->used.word, .free = ~p->used.word[word], .i = word};
}

static inline struct runs runs_of(const struct pack *p)
{
	return runs_from(p, 0);
}

/* The next run. What R says was free meanwhile may be used by now. False: there
 * is none. */
static inline bool next_run(struct runs *r)
{
	u64 free = r->free, used;
	u32 i = r->i;

	while (!free) {
		if (i == NR_WORDS - 1)
			return false;
		free = ~r->used[++i];
	}
	r->at = i * 64 + (u32)__builtin_ctzl(free);
	used = ~(free | (free - 1));
	while (!used && ++i < NR_WORDS) {
		used = r->used[i];
		free = ~used;
	}
	r->i = i;
	r->end = NR_UNITS;
	r->free = 0;
	if (likely(used)) {
		r->end = i * 64 + (u32)__builtin_ctzl(used);
		r->free = free & ~0ul << r->end % 64;
	} else {
		r->i = NR_WORDS - 1;
	}
	return true;
}

/* Pages that units AT to END have part of and that lie in FROM to TO, around
 * them, as a whole. */
static inline u32 pages_of(u32 at, u32 end, u32 from, u32 to)
{
	u32 first = at / PAGE_UNITS, last = DIV_ROUND_UP(end, PAGE_UNITS);

	first += first * PAGE_UNITS < from;
	last -= last * PAGE_UNITS > to;
	return last > first ? last - first : 0;
}

static inline void count_idle(u32 more)
{
	WRITE_ONCE(packs.nr_idle, packs.nr_idle + more);
}

/* Use NR units from AT on, at least one, that were free, or free used ones. */
static inline void flip_units(struct units *u, u32 at, u32 nr)
{
	u64 *w = &u->word[at / 64];
	u32 end = at % 64 + nr;

	if (end <= 64) {
		*w ^= ~0ul >> (64 - nr) << at % 64;
		return;
	}
	*w ^= ~0ul << at % 64;
	for (end -= 64; end > 64; end -= 64)
		*++w ^= ~0ul;
	*++w ^= ~0ul >> (64 - end);
}

/* The largest class that fits in NR units. */
static u32 list_of_run(u32 nr)
{
	if (nr < LEAST)
		return LIST_NONE;
	if (nr <= EXACT)
		return nr - LEAST + 1;
	return min(EXACT - LEAST + 1 + (nr - EXACT) / 2, LIST_MOST);
}

/* The list for P as it is. */
static u32 list_for(const struct pack *p)
{
	struct runs r = runs_of(p);
	u32 most = 0;

	while (most < MOST && next_run(&r))
		most = max(most, r.end - r.at);
	return list_of_run(most);
}

static bool is_empty(const struct pack *p)
{
	return next_unit(&p->used, 0, 0) == NR_UNITS;
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
	if (!packs.first[p->list])
		packs.lists &= ~(1ul << p->list);
	if (p->next)
		pack_nr(p->next)->prev = p->prev;
	p->list = LIST_NONE;
}

static void relist(struct pack *p, u32 list)
{
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
	packs.lists |= 1ul << list;
}

/* ---- making and giving up
 * ------------------------------------------------------ */

bool mt_pack_init(void)
{
	u64 nr = mt_sys.span / PACK_BYTES;

	MM_STATIC_ASSERT(LEAST * UNIT > 1u << MT_GRAIN_SHIFT,
			 "one object at most begins in a grain");
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
		if (READ_ONCE(*mt_map_of(f + i)))
			WRITE_ONCE(*mt_map_of(f + i), MT_ALL_GRAINS(MT_BODY));
	}
	p->used = p->starts = (struct units){{0}};
	p->low = 0;
	p->made = true;
	packs.nr_empty++;
	count_idle(NR_UNITS / PAGE_UNITS);
	relist(p, LIST_MOST);
	return p;
}

static void pack_drop(struct pack *p)
{
	unlist(p);
	p->made = false;
	packs.nr_empty--;
	count_idle(-(NR_UNITS / PAGE_UNITS));
	__free_pages(view_to_page(pack_base(p)), PACK_ORDER);
}

/* ---- objects
 * ------------------------------------------------------------------- */

static void count(u32 c, u32 more)
{
	WRITE_ONCE(mt_nr_out[c], mt_nr_out[c] + more);
}

/* A pack with a place for NR units, the fullest first. */
static struct pack *pack_with(u32 nr)
{
	u32 list = list_of_run(nr);
	u64 lists = packs.lists >> list;

	if (!lists)
		return pack_make();
	return pack_nr(packs.first[list + (u32)__builtin_ctzl(lists)]);
}

/* The frames of an object are touched from now on; it is of class C. */
static inline void mark_object(const char *obj, u32 size, u32 c)
{
	u64 off = (u64)(obj - mt_base);
	u64 f = off >> PAGE_SHIFT, end = (off + size - 1) >> PAGE_SHIFT;

	for (; f <= end; f++) {
		if (unlikely(!READ_ONCE(*mt_map_of(f))))
			mt_mark(f, MT_BODY);
	}
	WRITE_ONCE(mt_map[off >> MT_GRAIN_SHIFT], (u8)c);
}

/* NR objects of class C, of SIZE units, from unit AT of P on. */
static void place(struct pack *p, u32 at, u32 size, u32 c, void **out, u32 nr)
{
	char *obj = pack_base(p) + (u64)at * UNIT;

	for (u32 i = 0; i < nr; i++) {
		flip_units(&p->used, at, size);
		p->starts.word[at / 64] |= 1ul << at % 64;
		mark_object(obj, size * UNIT, c);
		out[i] = obj;
		at += size;
		obj += size * UNIT;
	}
}

/* Objects of class C from P into OUT, at most NR; maybe none. */
static u32 pack_take(struct pack *p, u32 c, void **out, u32 nr)
{
	u32 size = units_of(c), n = 0, most = 0, low = NR_WORDS - 1;
	struct runs r = runs_from(p, p->low);

	packs.nr_empty -= p->list == LIST_MOST && is_empty(p);
	while (n < nr) {
		u32 len, fit;

		if (!next_run(&r)) {
			relist(p, list_of_run(most));
			break;
		}
		len = r.end - r.at;
		if (len >= size) {
			fit = min(len / size, nr - n);
			count_idle(-pages_of(r.at, r.at + fit * size, r.at,
					     r.end));
			place(p, r.at, size, c, out + n, fit);
			n += fit;
			len -= fit * size;
		}
		if (len >= LEAST)
			low = min(low, (r.end - len) / 64);
		most = max(most, len);
	}
	/* What was looked at has no other place. */
	p->low = (u8)min(low, r.end / 64);
	return n;
}

u32 mt_pack_get(u32 c, void **out, u32 nr)
{
	u32 n = 0;

	mt_lock(&packs.word);
	while (n < nr) {
		struct pack *p = pack_with(units_of(c));

		if (!p)
			break;
		n += pack_take(p, c, out + n, nr - n);
	}
	count(c, n);
	mt_unlock(&packs.word);
	return n;
}

/* Units AT to END of P became free. */
static void pack_relieved(struct pack *p, u32 at, u32 end)
{
	u32 from = run_begin(&p->used, at), to = next_unit(&p->used, end, 0);
	u32 nr = to - from;

	count_idle(pages_of(at, end, from, to));
	p->low = (u8)min((u32)p->low, from / 64);
	/* No other run became longer. */
	if (list_of_run(nr) > p->list)
		relist(p, list_of_run(nr));
	if (nr == NR_UNITS && packs.nr_empty++)
		pack_drop(p);
}

/* False: OBJ, of class C as mt_map says, is no object of P. */
static bool pack_give(struct pack *p, u32 c, void *obj)
{
	u64 off = (u64)((char *)obj - pack_base(p));
	u32 at = (u32)(off / UNIT);

	if (off % UNIT || !has_unit(&p->starts, at) || mt_use(obj) != c)
		return false;
	p->starts.word[at / 64] ^= 1ul << at % 64;
	flip_units(&p->used, at, units_of(c));
	WRITE_ONCE(mt_map[(u64)((char *)obj - mt_base) >> MT_GRAIN_SHIFT],
		   MT_BODY);
	pack_relieved(p, at, at + units_of(c));
	return true;
}

const void *mt_pack_put(u32 c, void **objs, u32 nr)
{
	const void *bad = NULL;
	u32 n = 0;

	mt_lock(&packs.word);
	for (u32 i = 0; i < nr; i++) {
		if (pack_give(pack_of(objs[i]), c, objs[i]))
			n++;
		else
			bad = objs[i];
	}
	count(c, -n);
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

/* What is free of the pack and dirty, as far as it is whole pages. */
static u64 trim_pack(const struct pack *p)
{
	u64 f = mt_frame(pack_base(p)), nr = 0;
	struct runs r = runs_of(p);

	while (next_run(&r)) {
		u32 first = DIV_ROUND_UP(r.at, PAGE_UNITS);
		u32 end = r.end / PAGE_UNITS;

		if (first < end)
			nr += mt_give_back(f + first, f + end);
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
		if (is_empty(p))
			pack_drop(p);
		else
			nr += trim_pack(p);
	}
	mt_unlock(&packs.word);
	return nr;
}

u64 mt_pack_idle(void)
{
	return READ_ONCE(packs.nr_idle);
}

void mt_pack_count(u64 *bytes, u64 *used)
{
	*bytes = *used = 0;
	mt_lock(&packs.word);
	for (u32 i = 0; i < packs.end; i++)
		*bytes += packs.pack[i].made ? PACK_BYTES : 0;
	for (u32 c = MT_FIRST; c < MT_NR_CLASSES; c++)
		*used += mt_in_packs(c) ? (u64)mt_nr_out[c] * mt_sys.size_of[c]
					: 0;
	mt_unlock(&packs.word);
}

static void check_objects(const struct pack *p, u32 *nr)
{
	struct units left = p->used;

	for (u32 at = 0; at < NR_UNITS; at++) {
		char *obj = pack_base(p) + (u64)at * UNIT;

		if (!has_unit(&p->starts, at))
			continue;
		mm_verify(mt_in_packs(mt_use(obj)));
		for (u32 i = 0; i < units_of(mt_use(obj)); i++)
			mm_verify(has_unit(&left, at + i));
		flip_units(&left, at, units_of(mt_use(obj)));
		nr[mt_use(obj)]++;
	}
	mm_verify(next_unit(&left, 0, 0) == NR_UNITS);
}

static u32 idle_pages(const struct pack *p)
{
	struct runs r = runs_of(p);
	u32 nr = 0;

	while (next_run(&r))
		nr += pages_of(r.at, r.end, r.at, r.end);
	return nr;
}

static void check_low(const struct pack *p)
{
	struct runs r = runs_of(p);

	while (next_run(&r))
		mm_verify(r.at / 64 >= p->low || r.end - r.at < LEAST);
}

static void check_lists(void)
{
	for (u32 list = 1; list < NR_LISTS; list++) {
		u32 before = 0;

		mm_verify(!packs.first[list] == !(packs.lists >> list & 1));
		for (u32 at = packs.first[list]; at; at = pack_nr(at)->next) {
			mm_verify(pack_nr(at)->list == list);
			mm_verify(pack_nr(at)->prev == before);
			before = at;
		}
	}
}

void mt_pack_check(void)
{
	u32 nr[MT_NR_CLASSES] = {0}, nr_empty = 0, idle = 0;

	mt_lock(&packs.word);
	check_lists();
	for (u32 i = 0; i < packs.end; i++) {
		struct pack *p = &packs.pack[i];

		mm_verify(p->made || p->list == LIST_NONE);
		if (!p->made)
			continue;
		mm_verify(p->list >= list_for(p));
		check_low(p);
		nr_empty += is_empty(p);
		idle += idle_pages(p);
		check_objects(p, nr);
	}
	mm_verify(nr_empty == packs.nr_empty && nr_empty <= 1);
	mm_verify(idle == packs.nr_idle);
	for (u32 c = MT_FIRST; c < MT_NR_CLASSES; c++)
		mm_verify(!mt_in_packs(c) || nr[c] == mt_nr_out[c]);
	mt_unlock(&packs.word);
}
