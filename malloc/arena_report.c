/* SPDX-License-Identifier: MIT */
/*
 * arena_report.c - misuse told, figures, every object, the checker.
 *
 * Whoever wants to see all at once stops the arena: takes the words of all
 * lanes and then of all regions. Pages that are busy then belong to a slab that
 * is being made, or are with a trim: in use, and no object.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "arena_priv.h"

/* ---- all at once
 * ----------------------------------------------------------- */

void arena_stop(struct mmkit_arena *a)
{
	u32 nr;

	for (u32 i = 0; i <= a->lane_mask; i++)
		arena_lock(&a->lane[i].word);
	arena_lock(&a->grow_word);
	nr = a->nr_regions;
	for (u32 i = 0; i < nr; i++)
		arena_lock(&a->region[i]->word);
}

void arena_go(struct mmkit_arena *a)
{
	for (u32 i = 0; i < a->nr_regions; i++)
		arena_unlock(&a->region[i]->word);
	arena_unlock(&a->grow_word);
	for (u32 i = 0; i <= a->lane_mask; i++)
		arena_unlock(&a->lane[i].word);
}

/* ---- misuse
 * ---------------------------------------------------------------- */

void arena_say(struct mmkit_arena *a, enum mmkit_arena_event event,
	       const void *p, const char *format, ...)
{
	char line[200];
	size_t len;
	va_list ap;

	va_start(ap, format);
	vsnprintf(line, sizeof(line) - 1, format, ap);
	va_end(ap);
	if (a->opt.report) {
		a->opt.report(a->opt.report_ctx, event, p, line);
		return;
	}
	len = strlen(line);
	line[len] = '\n';
	if (write(STDERR_FILENO, line, len + 1) < 0)
		return;
}

struct blame {
	enum mmkit_arena_event event;
	const char *why;
	u64 start, size;
};

static struct blame blame_slab(const struct slab *s, const void *p)
{
	u64 i = ((u64)(uintptr_t)p - s->base) / s->size;
	struct blame b = {MMKIT_ARENA_INTERIOR, "inside of an object",
			  s->base + i * s->size, s->size};

	if (i >= s->nr)
		b.why = "behind a slab's last object";
	else if (s->bits[i / 64] >> (i & 63) & 1)
		b = (struct blame){MMKIT_ARENA_DOUBLE_FREE, "a free object",
				   b.start, b.size};
	return b;
}

/* What is at P, now; all stopped. */
static struct blame blame(const struct mmkit_arena *a, const void *p)
{
	struct region *r = arena_region(a, p);
	struct blame b = {MMKIT_ARENA_FOREIGN, "not of this arena", 0, 0};
	u64 h, w;

	if (!r)
		return b;
	h = ((u64)(uintptr_t)p - r->base) >> PAGE_SHIFT;
	w = page_word(r, h);
	if ((w & W_KIND) == W_SLAB)
		return blame_slab(word_slab(w), p);
	if ((w & W_KIND) == W_NONE) {
		h = region_head(r, h);
		w = page_word(r, h);
	}
	b = (struct blame){MMKIT_ARENA_DOUBLE_FREE, "in free pages",
			   r->base + (h << PAGE_SHIFT),
			   word_pages(w) << PAGE_SHIFT};
	if ((w & W_KIND) == W_RUN) {
		b.event = MMKIT_ARENA_INTERIOR;
		b.why = "inside of a run";
	}
	return b;
}

int arena_misuse(struct mmkit_arena *a, const void *p, const char *what)
{
	struct blame b;

	arena_stop(a);
	b = blame(a, p);
	arena_go(a);
	__atomic_fetch_add(&a->nr_misuses, 1, __ATOMIC_RELAXED);
	if (b.size)
		arena_say(a, b.event, p,
			  "mmkit-arena: %s of %p: %s (%llu bytes at 0x%llx)",
			  what, p, b.why, (unsigned long long)b.size,
			  (unsigned long long)b.start);
	else
		arena_say(a, b.event, p, "mmkit-arena: %s of %p: %s", what, p,
			  b.why);
	return -EINVAL;
}

/* ---- figures
 * --------------------------------------------------------------- */

static u64 count_bits(const u64 *word, u64 from, u64 n)
{
	u64 nr = 0;

	for (u64 i = from; i < from + n; i++)
		nr += word[i >> 6] >> (i & 63) & 1;
	return nr;
}

static void count_block(const struct region *r, u64 i, u64 w,
			struct mmkit_arena_stats *out)
{
	const struct slab *s;

	switch (w & W_KIND) {
	case W_FREE:
		out->free_blocks[w >> 3]++;
		out->dirty_pages += count_bits(r->dirty, i, word_pages(w));
		break;
	case W_RUN:
		out->runs++;
		out->run_pages += w >> 3;
		break;
	case W_SLAB:
		s = word_slab(w);
		out->slabs++;
		out->slab_pages += s->pages;
		out->slots += s->nr;
		out->objects += s->nr - s->nfree;
		out->object_bytes += (u64)(s->nr - s->nfree) * s->size;
		break;
	default:
		break;
	}
}

static void count_region(const struct region *r, struct mmkit_arena_stats *out)
{
	u64 range = 0, n;

	for (u64 i = 0; i < r->nr; i += n) {
		u64 w = page_word(r, i);

		n = word_pages(w);
		count_block(r, i, w, out);
		range = (w & W_KIND) == W_FREE ? range + n : 0;
		out->largest_free = max(out->largest_free, (size_t)range);
	}
	out->managed += r->nr << PAGE_SHIFT;
	out->cut_off += r->cut;
	out->free_pages += r->free + r->out;
	out->least_free += r->least_free;
}

void mmkit_arena_stats(struct mmkit_arena *a, struct mmkit_arena_stats *out)
{
	*out = (struct mmkit_arena_stats){.lanes = a->lane_mask + 1};
	arena_stop(a);
	out->regions = a->nr_regions;
	for (u32 i = 0; i < a->nr_regions; i++)
		count_region(a->region[i], out);
	arena_go(a);
	out->metadata = __atomic_load_n(&a->nr_metadata, __ATOMIC_RELAXED);
	out->misuses = __atomic_load_n(&a->nr_misuses, __ATOMIC_RELAXED);
	out->failures = __atomic_load_n(&a->nr_failures, __ATOMIC_RELAXED);
	out->given_back = __atomic_load_n(&a->given_back, __ATOMIC_RELAXED);
}

/* ---- every object
 * ---------------------------------------------------------- */

struct visit {
	int (*fn)(void *ctx, void *p, size_t size);
	void *ctx;
};

static int visit_slab(const struct slab *s, const struct visit *v)
{
	int err = 0;

	for (u64 i = 0; i < s->nr && !err; i++) {
		if (!(s->bits[i / 64] >> (i & 63) & 1))
			err = v->fn(v->ctx,
				    (void *)(uintptr_t)(s->base + i * s->size),
				    s->size);
	}
	return err;
}

static int visit_region(const struct region *r, const struct visit *v)
{
	int err = 0;
	u64 n;

	for (u64 i = 0; i < r->nr && !err; i += n) {
		u64 w = page_word(r, i);

		n = word_pages(w);
		if ((w & W_KIND) == W_SLAB)
			err = visit_slab(word_slab(w), v);
		else if ((w & W_KIND) == W_RUN)
			err = v->fn(v->ctx, page_at(r, i), n << PAGE_SHIFT);
	}
	return err;
}

int mmkit_arena_each_object(struct mmkit_arena *a,
			    int (*fn)(void *ctx, void *p, size_t size),
			    void *ctx)
{
	const struct visit v = {fn, ctx};
	int err = 0;

	arena_stop(a);
	for (u32 i = 0; i < a->nr_regions && !err; i++)
		err = visit_region(a->region[i], &v);
	arena_go(a);
	return err;
}

/* ---- the checker
 * ----------------------------------------------------------- */

struct wrong {
	const char *what; /* NULL: nothing so far */
	u64 at;
	u64 listed; /* slabs that belong on partial lists */
};

static bool hold(struct wrong *x, bool ok, const char *what, u64 at)
{
	if (!ok && !x->what) {
		x->what = what;
		x->at = at;
	}
	return ok;
}

/* AR-2, AR-3: block I of order O. */
static void check_free(const struct region *r, u64 i, u32 o, struct wrong *x)
{
	const struct apage *p = &r->page[i];
	u64 at = r->base + (i << PAGE_SHIFT), w = page_word(r, i);
	u64 abs = r->first + i, buddy = abs ^ 1ul << o;

	hold(x, !(abs & ((1ul << o) - 1)), "a free block is not aligned", at);
	hold(x,
	     p->prev == NO_PAGE
		     ? r->head[o] == i
		     : p->prev < r->nr && r->page[p->prev].next == i &&
			       page_word(r, p->prev) == w,
	     "a free block is not on its list", at);
	hold(x,
	     p->next == NO_PAGE ||
		     (p->next < r->nr && r->page[p->next].prev == i &&
		      page_word(r, p->next) == w),
	     "a free block's list is broken", at);
	hold(x,
	     o == MMKIT_ARENA_ORDERS - 1 || buddy < r->first ||
		     buddy + (1ul << o) > r->first + r->nr ||
		     page_word(r, buddy - r->first) != w,
	     "buddies are both free", at);
}

static bool lane_is_of(const struct mmkit_arena *a, const struct lane *l)
{
	for (u32 i = 0; i <= a->lane_mask; i++) {
		if (l == &a->lane[i])
			return true;
	}
	return false;
}

/* AR-5 to AR-7. */
static void check_slab(const struct mmkit_arena *a, const struct region *r,
		       u64 i, struct wrong *x)
{
	u64 at = r->base + (i << PAGE_SHIFT), w = page_word(r, i);
	const struct slab *s = word_slab(w);
	u32 free = 0, avail = 0;

	for (u32 k = 0; k < SLAB_WORDS; k++) {
		free += (u32)__builtin_popcountl(s->bits[k]);
		avail |= s->bits[k] ? 1u << k : 0;
	}
	hold(x,
	     s->base == at && s->region == r && s->page == i &&
		     s->class < NR_CLASSES && lane_is_of(a, s->lane) &&
		     s->size == a->size_of[s->class] &&
		     (u64)s->nr * s->size <= (u64)s->pages << PAGE_SHIFT,
	     "a slab's control is not that of its page", at);
	hold(x, free == s->nfree && avail == s->avail,
	     "a slab's count is not that of its bits", at);
	hold(x, s->nr == SLAB_MOST || !(s->bits[s->nr / 64] >> s->nr % 64),
	     "a bit of no object is set", at);
	for (u64 k = 1; k < s->pages; k++)
		hold(x, page_word(r, i + k) == w, "a slab's page is not its",
		     at);
	if (x->what || s == s->lane->cur[s->class])
		return;
	hold(x, s->nfree < s->nr, "a slab without objects stayed", at);
	x->listed += s->nfree > 0;
}

/* AR-1, AR-4: the block at I. */
static void check_block(const struct mmkit_arena *a, const struct region *r,
			u64 i, struct wrong *x)
{
	u64 at = r->base + (i << PAGE_SHIFT), w = page_word(r, i), n;

	if (!hold(x, (w & W_KIND) >= W_FREE && (w & W_KIND) <= W_BUSY,
		  "no block begins here", at))
		return;
	if (!hold(x, (w & W_KIND) != W_FREE || w >> 3 < MMKIT_ARENA_ORDERS,
		  "a free block has no such order", at))
		return;
	n = word_pages(w);
	if (!hold(x, n && n <= r->nr - i, "a block's length is wrong", at))
		return;
	if ((w & W_KIND) == W_FREE)
		check_free(r, i, (u32)(w >> 3), x);
	if ((w & W_KIND) == W_SLAB) {
		check_slab(a, r, i, x);
	} else {
		for (u64 k = 1; k < n && !x->what; k++)
			hold(x, page_word(r, i + k) == W_NONE,
			     "a block begins in a block", at);
	}
	if ((w & W_KIND) != W_FREE)
		hold(x, count_bits(r->dirty, i, n) == n,
		     "a page in use is not dirty", at);
}

static void check_region(const struct mmkit_arena *a, const struct region *r,
			 struct wrong *x)
{
	u64 free = 0, nr[MMKIT_ARENA_ORDERS] = {0}, n;

	for (u64 i = 0; i < r->nr && !x->what; i += n) {
		u64 w = page_word(r, i);

		check_block(a, r, i, x);
		if (x->what)
			return;
		n = word_pages(w);
		if ((w & W_KIND) == W_FREE) {
			free += n;
			nr[w >> 3]++;
		}
	}
	hold(x, free == r->free && r->least_free <= free + r->out,
	     "a region's count of free pages is wrong", r->base);
	for (u32 o = 0; o < MMKIT_ARENA_ORDERS; o++) {
		hold(x,
		     nr[o] == r->nr_free[o] && !nr[o] == !(r->orders >> o & 1),
		     "a list's count is wrong", r->base);
		hold(x, !nr[o] == (r->head[o] == NO_PAGE), "a list has no head",
		     r->base);
	}
}

/* AR-6: what is on the lists belongs there, and all that does is. */
static void check_lanes(const struct mmkit_arena *a, struct wrong *x)
{
	u64 nr = 0;

	for (u32 i = 0; i <= a->lane_mask; i++) {
		for (u32 c = 0; c < NR_CLASSES; c++) {
			const struct slab *s = a->lane[i].partial[c];

			for (; s && nr <= x->listed; s = s->next, nr++)
				hold(x,
				     s->lane == &a->lane[i] && s->class == c &&
					     s->nfree && s->nfree < s->nr &&
					     s != a->lane[i].cur[c],
				     "a slab is on a wrong list", s->base);
		}
	}
	hold(x, nr == x->listed, "partial lists lack a slab, or have more",
	     a->base);
	hold(x, !a->none.avail && !a->none.nfree, "nothing gave something",
	     a->base);
}

int mmkit_arena_check(struct mmkit_arena *a)
{
	struct wrong x = {0};

	arena_stop(a);
	for (u32 i = 0; i < a->nr_regions && !x.what; i++)
		check_region(a, a->region[i], &x);
	if (!x.what)
		check_lanes(a, &x);
	arena_go(a);
	if (!x.what)
		return 0;
	arena_say(a, MMKIT_ARENA_CORRUPT, (void *)(uintptr_t)x.at,
		  "mmkit-arena: %s, at 0x%llx", x.what,
		  (unsigned long long)x.at);
	return -EUCLEAN;
}
