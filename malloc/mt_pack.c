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
 *    is a run of units; a bit for each unit says which are used, so that a word
 *    of them is a page. As an object is larger than a grain of mt_map, at most
 *    one begins in each: so the map tells its class, as for slabs, and a byte
 *    for each grain at which unit. What packs are is said outside of them, by
 *    number of the block of frames: nothing in a freed object is believed.
 *    For each word a byte has the length of the longest free run that ends in
 *    it: sixteen bytes, which are compared eight at a time. Packs with room are
 *    in a list for the longest of all. The lowest list that will do is asked,
 *    which keeps full what is full; in the pack the run in the lowest word is
 *    taken, from its front: where it ends stays.
 *
 * 3. Alignment. To a unit. Powers of two, which would be aligned to their size,
 *    are not here: two of 2 KiB fill the page of a slab, and 4 and 8 KiB are
 *    frames.
 *
 * 4. Invariants (mt_pack_check).
 *    MP-1  An object begins at a used unit; its units are used up to where the
 *          next begins or free ones follow, and as many as its class has.
 *    MP-2  A pack is in the list of its longest free run. Bit I of packs.lists:
 *          list I has a pack.
 *    MP-3  A class's count is the number of its objects that begin in packs.
 *    MP-4  At most one pack is empty.
 *    MP-5  Byte I of a pack's ends: the longest free run whose last unit is in
 *          word I, LONG if it is longer; 0: none.
 *    MP-6  A pack's nr_idle counts its pages that no object has part of, and
 *          that of packs all of them.
 *
 * 5. Locking. packs.word, inside a slot's; frames are allocated and freed under
 *    it.
 *
 * 6. Failure. Without frames for a pack there are fewer objects than asked for.
 *
 * 7. Cost. About a hundred instructions for an object either way, and a dozen
 *    for each that lies behind it in the same run. A free looks at the run that
 *    it makes longer only.
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
#define LONG	  127u /* units; longer runs count as such */

#define GRAIN_UNITS ((1u << MT_GRAIN_SHIFT) / UNIT)
#define NR_GRAINS   (NR_UNITS / GRAIN_UNITS)

MM_STATIC_ASSERT(NR_LISTS <= 64, "a bit for each list");
MM_STATIC_ASSERT(PAGE_UNITS == 64, "a word of units is a page");
MM_STATIC_ASSERT(MOST < LONG, "what is too long to tell fits all");

/* A bit for each unit. */
struct units {
	u64 word[NR_WORDS];
};

/* (P) word, all of it. */
struct pack {
	struct units used;
	union {
		u8 ends[NR_WORDS]; /* by word: the longest run that ends there
				    */
		u64 eight[NR_WORDS / 8];
	};
	u8 begin[NR_GRAINS]; /* unit of the grain, if an object begins there */
	u32 next, prev;	     /* in its list, by number plus one */
	u8 list;
	u8 nr_idle;
	bool made; /* has frames */
} MM_ALIGNED(256); /* so that numbers are had by shifts */

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

/* The first used unit from AT on; NR_UNITS: none. */
static inline u32 next_used(const struct units *u, u32 at)
{
	u32 i = at / 64;
	u64 w;

	if (at == NR_UNITS)
		return at;
	w = u->word[i] >> at % 64 << at % 64;
	while (!w) {
		if (++i == NR_WORDS)
			return NR_UNITS;
		w = u->word[i];
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

/* Where the run begins that unit 0 of word I, clear, is in. */
static inline u32 begin_before(const struct units *u, u32 i)
{
	while (i--) {
		if (u->word[i])
			return i * 64 + 64 - (u32)__builtin_clzl(u->word[i]);
	}
	return 0;
}

/* The free units of word I, but for those of a run that goes on behind it. */
static inline u64 ending_units(const struct units *u, u32 i)
{
	u64 used = u->word[i];
	u32 top;

	if (i == NR_WORDS - 1 || (u->word[i + 1] & 1))
		return ~used;
	if (!used)
		return 0;
	top = (u32)__builtin_clzl(used);
	return ~used << top >> top;
}

/* A free run, units AT to END. */
struct run {
	u32 at, end;
};

/* The first of FREE, ending_units() of word I or what is left of them, which
 * are not none; it is left from there. */
static inline struct run next_run(const struct units *u, u32 i, u64 *free)
{
	u32 at = (u32)__builtin_ctzl(*free);
	u64 behind = *free + (1ul << at);
	struct run r = {i * 64 + at, i * 64 + 64};

	if (behind)
		r.end = i * 64 + (u32)__builtin_ctzl(behind);
	if (!at)
		r.at = begin_before(u, i);
	*free &= behind;
	return r;
}

static u32 longest_end(const struct units *u, u32 i)
{
	u64 free = ending_units(u, i);
	u32 most = 0;

	while (free) {
		struct run r = next_run(u, i, &free);

		most = max(most, r.end - r.at);
	}
	return min(most, LONG);
}

/* The first run of NR units or more that ends in word I; there is one. */
static inline struct run run_with(const struct units *u, u32 i, u32 nr)
{
	u64 free = ending_units(u, i);
	struct run r;

	do
		r = next_run(u, i, &free);
	while (r.end - r.at < nr);
	return r;
}

/* The lowest word of P where a run of NR units, at most MOST, ends; NR_WORDS:
 * none. */
static inline u32 word_with(const struct pack *p, u32 nr)
{
	u64 more = (LONG + 1 - nr) * 0x0101010101010101ul;

	for (u32 i = 0; i < NR_WORDS / 8; i++) {
		u64 fit = (p->eight[i] + more) & 0x8080808080808080ul;

		if (fit)
			return i * 8 + (u32)__builtin_ctzl(fit) / 8;
	}
	return NR_WORDS;
}

static inline u32 longest(const struct pack *p)
{
	u8 most = 0;

	for (u32 i = 0; i < NR_WORDS; i++)
		most = max(most, p->ends[i]);
	return most;
}

static inline void count_idle(struct pack *p, u32 more)
{
	p->nr_idle = (u8)(p->nr_idle + more);
	WRITE_ONCE(packs.nr_idle, packs.nr_idle + more);
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

static bool is_empty(const struct pack *p)
{
	return p->nr_idle == NR_WORDS;
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
	p->used = (struct units){{0}};
	p->eight[0] = p->eight[1] = 0;
	p->ends[NR_WORDS - 1] = LONG;
	p->made = true;
	packs.nr_empty++;
	count_idle(p, NR_WORDS);
	relist(p, LIST_MOST);
	return p;
}

static void pack_drop(struct pack *p)
{
	unlist(p);
	p->made = false;
	packs.nr_empty--;
	count_idle(p, -NR_WORDS);
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

/* Page I of P, which no object has part of, is touched from now on. */
static MM_NOINLINE void page_used(struct pack *p, u32 i)
{
	u64 f = mt_frame(pack_base(p)) + i;

	count_idle(p, -1u);
	if (!READ_ONCE(*mt_map_of(f)))
		mt_mark(f, MT_BODY);
}

/* Use or free those units of word I that MASK says. */
static inline void use_some(struct pack *p, u32 i, u64 mask)
{
	if (!p->used.word[i])
		page_used(p, i);
	p->used.word[i] |= mask;
}

static inline void free_some(struct pack *p, u32 i, u64 mask)
{
	p->used.word[i] &= ~mask;
	if (!p->used.word[i])
		count_idle(p, 1);
}

/* Of units AT to END, those in the first and in the last word. */
static inline u64 mask_from(u32 at)
{
	return ~0ul << at % 64;
}

static inline u64 mask_to(u32 end)
{
	return ~0ul >> -end % 64;
}

static inline void use_units(struct pack *p, u32 at, u32 end)
{
	u32 i = at / 64, last = (end - 1) / 64;
	u64 mask = mask_from(at);

	for (; i < last; i++, mask = ~0ul)
		use_some(p, i, mask);
	use_some(p, last, mask & mask_to(end));
}

static inline void free_units(struct pack *p, u32 at, u32 end)
{
	u32 i = at / 64, last = (end - 1) / 64;
	u64 mask = mask_from(at);

	for (; i < last; i++, mask = ~0ul)
		free_some(p, i, mask);
	free_some(p, last, mask & mask_to(end));
}

/* NR objects of class C, of SIZE units, from unit AT of P on. */
static inline void place(struct pack *p, u32 at, u32 size, u32 c, void **out,
			 u32 nr)
{
	char *obj = pack_base(p) + (u64)at * UNIT;
	u8 *map = &mt_map[(u64)(pack_base(p) - mt_base) >> MT_GRAIN_SHIFT];

	use_units(p, at, at + nr * size);
	for (u32 i = 0; i < nr; i++) {
		p->begin[at / GRAIN_UNITS] = at % GRAIN_UNITS;
		WRITE_ONCE(map[at / GRAIN_UNITS], (u8)c);
		out[i] = obj;
		at += size;
		obj += size * UNIT;
	}
}

/* Objects of class C from P into OUT, at most NR; P has a place for one. */
static u32 pack_take(struct pack *p, u32 c, void **out, u32 nr)
{
	u32 size = units_of(c), n = 0, i = word_with(p, size);

	packs.nr_empty -= is_empty(p);
	do {
		struct run r = run_with(&p->used, i, size);
		u32 fit = 1;

		while (n + fit < nr && r.at + (fit + 1) * size <= r.end)
			fit++;
		place(p, r.at, size, c, out + n, fit);
		p->ends[i] = (u8)longest_end(&p->used, i);
		n += fit;
	} while (n < nr && (i = word_with(p, size)) < NR_WORDS);
	relist(p, list_of_run(longest(p)));
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

/* Units AT to END of P became free: they, and what is free around them, are one
 * run. */
static inline void pack_relieved(struct pack *p, u32 at, u32 end)
{
	u32 from = run_begin(&p->used, at), to = next_used(&p->used, end);
	u32 nr = min(to - from, LONG), i = (to - 1) / 64, k;

	p->ends[i] = (u8)max((u32)p->ends[i], nr);
	if (from < at) {
		/* What ended there does so no more. */
		k = (at - 1) / 64;
		if (k != i)
			p->ends[k] = (u8)longest_end(&p->used, k);
	}
	/* No other run became longer. */
	if (list_of_run(nr) > p->list)
		relist(p, list_of_run(nr));
	if (is_empty(p) && packs.nr_empty++)
		pack_drop(p);
}

/* False: OBJ, of class C as mt_map says, is no object of P. */
static inline bool pack_give(struct pack *p, u32 c, void *obj)
{
	u64 off = (u64)((char *)obj - pack_base(p));
	u32 at = (u32)(off / UNIT), end = at + units_of(c);

	if (off % UNIT || p->begin[at / GRAIN_UNITS] != at % GRAIN_UNITS ||
	    mt_use(obj) != c)
		return false;
	free_units(p, at, end);
	WRITE_ONCE(mt_map[(u64)((char *)obj - mt_base) >> MT_GRAIN_SHIFT],
		   MT_BODY);
	pack_relieved(p, at, end);
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
	u32 i = 0, from;

	while (i < NR_WORDS) {
		for (from = i; i < NR_WORDS && !p->used.word[i]; i++)
			;
		if (i == from)
			i++;
		else
			nr += mt_give_back(f + from, f + i);
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
		else if (p->nr_idle)
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

static void check_object(struct units *left, const struct pack *p, u32 grain,
			 u32 c)
{
	u32 at = grain * GRAIN_UNITS + p->begin[grain], end = at + units_of(c);

	mm_verify(mt_in_packs(c) && p->begin[grain] < GRAIN_UNITS);
	mm_verify(end <= NR_UNITS);
	for (; at < end; at++) {
		mm_verify(has_unit(left, at));
		left->word[at / 64] ^= 1ul << at % 64;
	}
}

static void check_objects(const struct pack *p, u32 *nr)
{
	struct units left = p->used;

	for (u32 grain = 0; grain < NR_GRAINS; grain++) {
		u32 c = mt_use(pack_base(p) + (grain << MT_GRAIN_SHIFT));

		if (c < MT_FIRST)
			continue;
		check_object(&left, p, grain, c);
		nr[c]++;
	}
	mm_verify(next_used(&left, 0) == NR_UNITS);
}

static void check_idle(const struct pack *p, u32 *idle)
{
	u32 nr = 0;

	for (u32 i = 0; i < NR_WORDS; i++)
		nr += !p->used.word[i];
	mm_verify(p->nr_idle == nr);
	*idle += nr;
}

/* Unit by unit. */
static void check_ends(const struct pack *p)
{
	u32 ends[NR_WORDS] = {0}, most = 0, nr = 0;

	for (u32 at = 0; at < NR_UNITS; at++) {
		nr = has_unit(&p->used, at) ? 0 : nr + 1;
		if (at == NR_UNITS - 1 || has_unit(&p->used, at + 1))
			ends[at / 64] = max(ends[at / 64], min(nr, LONG));
	}
	for (u32 i = 0; i < NR_WORDS; i++) {
		mm_verify(p->ends[i] == ends[i]);
		most = max(most, ends[i]);
	}
	mm_verify(p->list == list_of_run(most));
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
		check_ends(p);
		check_idle(p, &idle);
		nr_empty += is_empty(p);
		check_objects(p, nr);
	}
	mm_verify(nr_empty == packs.nr_empty && nr_empty <= 1);
	mm_verify(idle == packs.nr_idle);
	for (u32 c = MT_FIRST; c < MT_NR_CLASSES; c++)
		mm_verify(!mt_in_packs(c) || nr[c] == mt_nr_out[c]);
	mt_unlock(&packs.word);
}
