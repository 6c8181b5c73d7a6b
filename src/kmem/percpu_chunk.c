/* SPDX-License-Identifier: MIT */
/*
 * percpu_chunk.c - the map of one chunk: which 4 bytes of a unit are in use.
 *
 * 1. Structures. One bit per 4 bytes in two maps. alloc_map: in use. bound_map:
 *    an object begins here; a bit also stands behind each object, so that its
 *    end is found. For each page a hint: how much is free, the longest run,
 *    the runs at both ends, the first free bit. From these the chunk's longest
 *    run, by which it is sorted.
 *
 * 2. Invariants.
 *    PM-1  Hints are what a scan of alloc_map finds.
 *    PM-2  contig is the longest run of zeros in alloc_map.
 *    PM-3  A bit of bound_map is set where an object begins or the first bit
 *          behind one; and at 0 and PCPU_BITS.
 *
 * 3. Cost. A search looks at 8 hints and into pages where a run may fit. A
 *    change corrects the hint from the free run around it; only when the
 *    longest run, or the first place, may be elsewhere now a page is scanned,
 *    16 words.
 *
 * Pure but for the chunk that is given; the lock is the caller's.
 */
#include "base/assert.h"
#include "kmem/percpu.h"

MM_STATIC_ASSERT(PCPU_PAGES <= 64, "a bit for each page");

/* ---- hints
 * ----------------------------------------------------------------------------
 */

/* A run of zeros from bit FROM of a page up to bit END goes into H. */
static void hint_run(struct pcpu_hint *h, u32 from, u32 end)
{
	u32 run = end - from;

	if (!h->free)
		h->first = (u16)from;
	if (from == 0)
		h->left = (u16)run;
	if (end == PCPU_BLOCK_BITS)
		h->right = (u16)run;
	h->free = (u16)(h->free + run);
	h->contig = (u16)max((u32)h->contig, run);
}

/*
 * By words: a word of one kind only prolongs a run or is passed over, in
 * others each change is looked for.
 */
static struct pcpu_hint hint_make(const struct pcpu_chunk *c, u32 page)
{
	const u64 *map = c->alloc_map + page * (u32)(PCPU_BLOCK_BITS / 64);
	struct pcpu_hint h = {.first = PCPU_BLOCK_BITS};
	u32 from = 0;	   /* where the run of equal bits begins */
	bool used = false; /* and which they are */

	for (u32 base = 0; base < PCPU_BLOCK_BITS; base += 64) {
		u64 word = map[base / 64], change = used ? ~word : word;

		while (change) {
			u32 at = (u32)__ffs(change);

			mm_assert(at < 64);
			if (!used && base + at > from)
				hint_run(&h, from, base + at);
			from = base + at;
			used = !used;
			change = ~change & ~0UL << at;
		}
	}
	if (!used)
		hint_run(&h, from, PCPU_BLOCK_BITS);
	mm_assert(h.free <= PCPU_BLOCK_BITS && h.contig <= h.free);
	return h;
}

/* From the hints: the longest run, what is free, pages that are empty. */
struct summary {
	u32 contig, free_bits, nr_empty;
};

static struct summary summary_make(const struct pcpu_chunk *c)
{
	struct summary s = {0};
	u32 run = 0;

	for (u32 i = 0; i < PCPU_PAGES; i++) {
		const struct pcpu_hint *h = &c->hint[i];
		bool whole = h->free == PCPU_BLOCK_BITS;

		s.free_bits += h->free;
		s.nr_empty += whole && (c->populated >> i & 1);
		s.contig = max(s.contig, max(run + h->left, (u32)h->contig));
		run = whole ? run + (u32)PCPU_BLOCK_BITS : h->right;
	}
	return s;
}

/* The contig of summary_make() alone. */
static u32 longest_run(const struct pcpu_chunk *c)
{
	u32 best = 0, run = 0;

	for (u32 i = 0; i < PCPU_PAGES; i++) {
		const struct pcpu_hint *h = &c->hint[i];

		best = max(best, max(run + h->left, (u32)h->contig));
		run = h->free == PCPU_BLOCK_BITS ? run + h->free : h->right;
	}
	return best;
}

static void summary_update(struct pcpu_chunk *c)
{
	struct summary s = summary_make(c);

	c->contig = s.contig;
	c->free_bits = s.free_bits;
	c->nr_empty = s.nr_empty;
}

/*
 * The free run around [AT, END) of PAGE as it is without this range: by the
 * hint where it reaches an end of the page. In bits of the page.
 */
static void run_around(const struct pcpu_chunk *c, u32 page, u32 *at, u32 *end)
{
	const struct pcpu_hint *h = &c->hint[page];
	u32 base = page * (u32)PCPU_BLOCK_BITS;

	if (*at <= h->left) {
		*at = 0;
	} else {
		while (*at && !test_bit(base + *at - 1, c->alloc_map))
			--*at;
	}
	if (*end >= PCPU_BLOCK_BITS - h->right)
		*end = PCPU_BLOCK_BITS;
	else
		*end = (u32)find_next_bit(c->alloc_map, base + PCPU_BLOCK_BITS,
					  base + *end) -
		       base;
}

/* [AT, END) of the free run [FROM, TO) is in use now. False: scan the page. */
static bool hint_take(struct pcpu_hint *h, u32 from, u32 at, u32 end, u32 to)
{
	u32 most = max(at - from, to - end);

	/* Another may be the longest now, unless the others are less in all. */
	if (to - from == h->contig && h->free - (to - from) > most)
		return false;
	if (h->first == at) {
		/* Behind it, or in the next run, which only a scan finds. */
		if (end == to && h->free > end - at)
			return false;
		h->first = (u16)(end < to ? end : PCPU_BLOCK_BITS);
	}
	if (to - from == h->contig)
		h->contig = (u16)most;
	if (from == 0)
		h->left = (u16)at;
	if (to == PCPU_BLOCK_BITS)
		h->right = (u16)(to - end);
	h->free = (u16)(h->free - (end - at));
	return true;
}

/* SIZE bits came back and are part of the free run [FROM, TO) now. */
static void hint_give(struct pcpu_hint *h, u32 from, u32 to, u32 size)
{
	hint_run(h, from, to);
	h->first = min(h->first, (u16)from);
	h->free = (u16)(h->free + size - (to - from));
}

/* The hint of PAGE after [AT, END) of it was taken, or (GIVE) came back. */
static void page_update(struct pcpu_chunk *c, u32 page, u32 at, u32 end,
			bool give)
{
	struct pcpu_hint *h = &c->hint[page];
	struct pcpu_hint old = *h;
	u32 from = at, to = end, ready = c->populated >> page & 1;

	run_around(c, page, &from, &to);
	if (give)
		hint_give(h, from, to, end - at);
	else if (!hint_take(h, from, at, end, to))
		*h = hint_make(c, page);
	c->free_bits += (u32)h->free - old.free;
	c->nr_empty += ready * ((h->free == PCPU_BLOCK_BITS) -
				(old.free == PCPU_BLOCK_BITS));
}

/* BITS from AT on were taken, or (GIVE) came back. */
static void range_update(struct pcpu_chunk *c, u32 at, u32 bits, bool give)
{
	u32 end = at + bits;

	while (at < end) {
		u32 page = at / (u32)PCPU_BLOCK_BITS;
		u32 base = page * (u32)PCPU_BLOCK_BITS;
		u32 stop = min(end, base + (u32)PCPU_BLOCK_BITS);

		page_update(c, page, at - base, stop - base, give);
		at = stop;
	}
	c->contig = longest_run(c);
}

/* ---- searching
 * ------------------------------------------------------------------------- */

/* Within page PAGE: the lowest place, or PCPU_BITS. */
static u32 fit_inside(const struct pcpu_chunk *c, u32 page, u32 bits, u32 align)
{
	const struct pcpu_hint *h = &c->hint[page];
	u32 start = page * (u32)PCPU_BLOCK_BITS;
	u32 end = start + (u32)PCPU_BLOCK_BITS;
	u32 at;

	if (h->contig < bits)
		return PCPU_BITS;
	at = (u32)bitmap_find_next_zero_area(c->alloc_map, end,
					     start + h->first, bits, align - 1);
	return at <= end - bits ? at : PCPU_BITS;
}

u32 pcpu_chunk_fit(const struct pcpu_chunk *c, u32 bits, u32 align, bool ready)
{
	u32 from = 0, run = 0; /* free bits before this page, joined to it */

	mm_assert(bits > 0 && bits <= PCPU_BITS && align > 0);
	if (c->contig < bits)
		return PCPU_BITS;
	for (u32 i = 0; i < PCPU_PAGES; i++) {
		const struct pcpu_hint *h = &c->hint[i];
		u32 start = i * (u32)PCPU_BLOCK_BITS, at;

		if (ready && !(c->populated >> i & 1)) {
			run = 0;
			continue;
		}
		if (!run)
			from = start;
		at = ALIGN(from, align);
		if (at + bits <= from + run + h->left)
			return at;
		if (h->left == PCPU_BLOCK_BITS) {
			run += h->left;
			continue;
		}
		at = fit_inside(c, i, bits, align);
		if (at < PCPU_BITS)
			return at;
		run = h->right;
		from = start + (u32)PCPU_BLOCK_BITS - run;
	}
	return PCPU_BITS;
}

/* ---- changing
 * -------------------------------------------------------------------------- */

void pcpu_chunk_init(struct pcpu_chunk *c)
{
	c->populated = 0;
	bitmap_zero(c->alloc_map, PCPU_BITS);
	bitmap_zero(c->bound_map, PCPU_BITS + 1);
	__set_bit(0, c->bound_map);
	__set_bit(PCPU_BITS, c->bound_map);
	for (u32 i = 0; i < PCPU_PAGES; i++)
		c->hint[i] = hint_make(c, i);
	summary_update(c);
	mm_assert(c->contig == PCPU_BITS);
}

void pcpu_chunk_take(struct pcpu_chunk *c, u32 at, u32 bits)
{
	mm_verify(bits > 0 && at + bits <= PCPU_BITS);
	mm_verify(find_next_bit(c->alloc_map, at + bits, at) == at + bits);
	bitmap_set(c->alloc_map, at, bits);
	bitmap_clear(c->bound_map, at, bits);
	__set_bit(at, c->bound_map);
	__set_bit(at + bits, c->bound_map);
	range_update(c, at, bits, false);
}

u32 pcpu_chunk_give(struct pcpu_chunk *c, u32 at)
{
	u32 end;

	if (at >= PCPU_BITS || !test_bit(at, c->alloc_map) ||
	    !test_bit(at, c->bound_map))
		return 0;
	end = (u32)find_next_bit(c->bound_map, PCPU_BITS + 1, at + 1);
	mm_verify(end <= PCPU_BITS);
	bitmap_clear(c->alloc_map, at, end - at);
	/* Bounds of free runs need not be kept but where an object ends. */
	if (at && !test_bit(at - 1, c->alloc_map))
		__clear_bit(at, c->bound_map);
	if (end < PCPU_BITS && !test_bit(end, c->alloc_map))
		__clear_bit(end, c->bound_map);
	range_update(c, at, end - at, true);
	return end - at;
}

void pcpu_chunk_populated(struct pcpu_chunk *c, u32 page, bool on)
{
	mm_assert(page < PCPU_PAGES);
	mm_verify((c->populated >> page & 1) != on);
	c->populated ^= 1UL << page;
	summary_update(c);
}

void pcpu_chunk_check(const struct pcpu_chunk *c)
{
	struct summary s = summary_make(c);

	for (u32 i = 0; i < PCPU_PAGES; i++) {
		const struct pcpu_hint *a = &c->hint[i];
		struct pcpu_hint b = hint_make(c, i);

		mm_verify(a->free == b.free && a->contig == b.contig);
		mm_verify(a->left == b.left && a->right == b.right);
		mm_verify(a->first == b.first);
	}
	mm_verify(c->contig == s.contig && c->free_bits == s.free_bits);
	mm_verify(c->nr_empty == s.nr_empty);
	mm_verify(test_bit(0, c->bound_map) &&
		  test_bit(PCPU_BITS, c->bound_map));
	for (u32 i = 1; i < PCPU_BITS; i++) {
		bool used = test_bit(i, c->alloc_map);

		/* Where use changes there is a bound; none in free runs. */
		if (used != test_bit(i - 1, c->alloc_map))
			mm_verify(test_bit(i, c->bound_map));
		else if (!used)
			mm_verify(!test_bit(i, c->bound_map));
	}
}
