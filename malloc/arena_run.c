/* SPDX-License-Identifier: MIT */
/*
 * arena_run.c - runs of pages, and giving memory back.
 *
 * A trim takes dirty free ranges out of the lists, marks them busy and passes
 * them on without any word held: the caller's way of giving back may be slow,
 * and others go on. What is out would be missed by a request that finds
 * nothing else: it waits for the trim's end and looks again. TRIMS counts
 * begins and ends, so that a trim that came and went is noticed too.
 *
 * The range that is out stays marked until the next one is found, so that the
 * search goes on at the first page of a block (AR-1).
 */
#include <errno.h>

#include "arena_priv.h"

#define TRIM_BYTES (32ul << 20) /* in one call */
#define ALIGN_MOST (1ul << (PAGE_SHIFT + MMKIT_ARENA_ORDERS - 1))

/* ---- taking
 * ---------------------------------------------------------------- */

static bool get_from_any(struct mmkit_arena *a, struct pages_ask *ask)
{
	u32 nr = arena_nr_regions(a);

	for (u32 i = 0; i < nr; i++) {
		if (ask->n <= a->region[i]->nr && region_get(a->region[i], ask))
			return true;
	}
	return false;
}

static u32 trims(const struct mmkit_arena *a)
{
	return __atomic_load_n(&a->trims, __ATOMIC_ACQUIRE);
}

/*
 * After something was not found: is it worth another look, because of a trim?
 * SEEN is what trims() was before. Waits for its end. The trim's own thread,
 * which must not ask, gets a no instead of waiting for ever.
 */
static bool trim_ended(struct mmkit_arena *a, u32 seen)
{
	if (!(seen & 1) && trims(a) == seen)
		return false;
	if (pthread_mutex_lock(&a->trim))
		return false;
	pthread_mutex_unlock(&a->trim);
	return true;
}

bool arena_pages_get(struct mmkit_arena *a, struct pages_ask *ask)
{
	bool flushed = ask->quick;

	for (;;) {
		u32 seen = trims(a);

		if (get_from_any(a, ask))
			return true;
		if (!flushed) {
			flushed = true;
			if (arena_flush(a))
				continue;
		}
		if (ask->quick || !trim_ended(a, seen))
			return false;
	}
}

void *arena_run(struct mmkit_arena *a, u64 n, u64 align, bool *clean)
{
	struct pages_ask ask = {
		.n = n, .align = align >> PAGE_SHIFT ?: 1, .kind = W_RUN};

	if (n > PAGES_MOST || align > ALIGN_MOST || !arena_pages_get(a, &ask)) {
		__atomic_fetch_add(&a->nr_failures, 1, __ATOMIC_RELAXED);
		errno = ENOMEM;
		return NULL;
	}
	if (clean)
		*clean = ask.clean;
	return page_at(ask.region, ask.page);
}

void *mmkit_arena_alloc_pages(struct mmkit_arena *a, unsigned order)
{
	if (order >= MMKIT_ARENA_ORDERS) {
		errno = EINVAL;
		return NULL;
	}
	return arena_run(a, 1ul << order, PAGE_SIZE << order, NULL);
}

void *mmkit_arena_alloc_exact(struct mmkit_arena *a, size_t n, size_t align)
{
	if (!n || (align & (align - 1))) {
		errno = EINVAL;
		return NULL;
	}
	return arena_run(a, n, align, NULL);
}

static bool claim(struct region *r, u64 i, u64 n)
{
	bool ok;

	arena_lock(&r->word);
	ok = region_take(r, i, n);
	if (ok)
		region_mark(r, i, n, W_RUN | n << 3);
	arena_unlock(&r->word);
	return ok;
}

int mmkit_arena_claim(struct mmkit_arena *a, void *p, size_t n)
{
	struct region *r = arena_region(a, p);
	u64 i = r ? ((u64)(uintptr_t)p - r->base) >> PAGE_SHIFT : 0;
	u32 seen;

	if (!r || (uintptr_t)p % PAGE_SIZE || !n || n > r->nr - i)
		return -EINVAL;
	do {
		seen = trims(a);
		if (claim(r, i, n))
			return 0;
	} while (trim_ended(a, seen));
	/* A slab without objects may be all that is in the way. */
	return arena_flush(a) && claim(r, i, n) ? 0 : -EBUSY;
}

/* ---- back
 * ------------------------------------------------------------------ */

/* Of run [H, H + LEN) pages [I, I + N) go; the word is held. */
static void run_cut(struct region *r, u64 h, u64 len, u64 i, u64 n)
{
	u64 end = i + n;

	set_page_word(r, i, W_NONE);
	if (h < i)
		set_page_word(r, h, W_RUN | (i - h) << 3);
	if (end < h + len)
		set_page_word(r, end, W_RUN | (h + len - end) << 3);
	region_give(r, i, n);
}

int arena_run_free(struct region *r, const void *p)
{
	u64 i = ((u64)(uintptr_t)p - r->base) >> PAGE_SHIFT, w;

	if ((uintptr_t)p % PAGE_SIZE)
		return -EINVAL;
	arena_lock(&r->word);
	w = page_word(r, i);
	if ((w & W_KIND) == W_RUN)
		run_cut(r, i, w >> 3, i, w >> 3);
	arena_unlock(&r->word);
	return (w & W_KIND) == W_RUN ? 0 : -EINVAL;
}

int mmkit_arena_free_pages(struct mmkit_arena *a, void *p, size_t n)
{
	struct region *r = arena_region(a, p);
	u64 i = r ? ((u64)(uintptr_t)p - r->base) >> PAGE_SHIFT : 0;
	u64 h = i, w;
	bool ok;

	if (!r || (uintptr_t)p % PAGE_SIZE || !n)
		return arena_misuse(a, p, "free_pages");
	arena_lock(&r->word);
	w = page_word(r, h);
	if ((w & W_KIND) == W_NONE) {
		h = region_head(r, i);
		w = page_word(r, h);
	}
	ok = (w & W_KIND) == W_RUN && n <= (w >> 3) - (i - h);
	if (ok)
		run_cut(r, h, w >> 3, i, n);
	arena_unlock(&r->word);
	return ok ? 0 : arena_misuse(a, p, "free_pages");
}

bool arena_run_resize(struct region *r, const void *p, u64 n)
{
	u64 i = ((u64)(uintptr_t)p - r->base) >> PAGE_SHIFT, w, old;
	bool ok = false;

	arena_lock(&r->word);
	w = page_word(r, i);
	old = w >> 3;
	if ((w & W_KIND) != W_RUN) {
		ok = false;
	} else if (n <= old) {
		if (n < old)
			run_cut(r, i, old, i + n, old - n);
		ok = true;
	} else if (n <= r->nr - i && region_take(r, i + old, n - old)) {
		region_mark(r, i, n, W_RUN | n << 3);
		ok = true;
	}
	arena_unlock(&r->word);
	return ok;
}

/* ---- giving back
 * ----------------------------------------------------------- */

/* Is one of [I, I + N) dirty? */
static bool any_dirty(const struct region *r, u64 i, u64 n)
{
	for (u64 end = i + n; i < end;) {
		u64 at = i & 63, nr = min(64 - at, end - i);
		u64 mask = (nr == 64 ? ~0ul : (1ul << nr) - 1) << at;

		if (r->dirty[i >> 6] & mask)
			return true;
		i += nr;
	}
	return false;
}

static void set_clean(struct region *r, u64 i, u64 n)
{
	for (u64 end = i + n; i < end; i++)
		r->dirty[i >> 6] &= ~(1ul << (i & 63));
}

/* In the free range [FROM, TO): the first units of UNIT pages with a dirty
 * page, up to MOST pages of them. Returns how many; *AT is the first. */
static u64 dirty_units(const struct region *r, u64 from, u64 to, u64 unit,
		       u64 *at)
{
	u64 most = max(TRIM_BYTES >> PAGE_SHIFT, unit), n = 0;
	u64 i = ALIGN(r->first + from, unit) - r->first;

	for (; i + unit <= to && n + unit <= most; i += unit) {
		if (any_dirty(r, i, unit)) {
			*at = n ? *at : i;
			n += unit;
		} else if (n) {
			break;
		}
	}
	return n;
}

/* The same in R from the block on that begins at FROM; word held. */
static u64 next_dirty(const struct region *r, u64 from, u64 unit, u64 *at)
{
	u64 i = from, start = from, n;

	while (i < r->nr) {
		u64 w = page_word(r, i);

		i += word_pages(w);
		if ((w & W_KIND) != W_FREE) {
			start = i;
			continue;
		}
		if (i < r->nr && (page_word(r, i) & W_KIND) == W_FREE)
			continue;
		n = dirty_units(r, start, i, unit, at);
		if (n)
			return n;
		start = i;
	}
	return 0;
}

static void busy_back(struct region *r, u64 i, u64 n, bool clean)
{
	if (!n)
		return;
	if (clean)
		set_clean(r, i, n);
	set_page_word(r, i, W_NONE);
	r->out -= n;
	region_give(r, i, n);
}

/* Bytes given back; *STOP: GIVE would not. */
static u64 trim_region(const struct mmkit_arena *a, struct region *r,
		       mmkit_arena_give_fn *give, void *ctx, bool *stop)
{
	u64 unit = a->opt.trim_align >> PAGE_SHIFT;
	u64 i = 0, n = 0, done = 0;

	for (;;) {
		u64 was = i, nr_was = n;

		arena_lock(&r->word);
		n = *stop ? 0 : next_dirty(r, i + n, unit, &i);
		r->out += n;
		if (n && region_take(r, i, n))
			set_page_word(r, i, W_BUSY | n << 3);
		busy_back(r, was, nr_was, !*stop);
		arena_unlock(&r->word);
		if (!n)
			return done;
		*stop = give(ctx, page_at(r, i), n << PAGE_SHIFT) != 0;
		done += *stop ? 0 : n << PAGE_SHIFT;
	}
}

size_t mmkit_arena_trim(struct mmkit_arena *a, mmkit_arena_give_fn *give,
			void *ctx)
{
	bool stop = false;
	u64 done = 0;
	u32 nr;

	if (pthread_mutex_lock(&a->trim))
		return 0;
	arena_flush(a);
	__atomic_fetch_add(&a->trims, 1, __ATOMIC_ACQ_REL);
	nr = arena_nr_regions(a);
	for (u32 i = 0; i < nr && !stop; i++)
		done += trim_region(a, a->region[i], give, ctx, &stop);
	__atomic_fetch_add(&a->trims, 1, __ATOMIC_ACQ_REL);
	pthread_mutex_unlock(&a->trim);
	__atomic_fetch_add(&a->given_back, done, __ATOMIC_RELAXED);
	return done;
}
