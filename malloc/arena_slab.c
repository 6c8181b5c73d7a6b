/* SPDX-License-Identifier: MIT */
/*
 * arena_slab.c - slabs come and go; what the short ways of arena.c leave.
 *
 * Invariants, under the word of the slab's lane:
 *   AR-5  A slab's NFREE is the number of bits in BITS; AVAIL has a bit for
 *         each word of it that is not 0; no bit stands for an object >= NR.
 *   AR-6  A slab that is not its lane's CUR is on the partial list if
 *         0 < NFREE < NR, on no list if NFREE is 0, and gone if it is NR.
 *   AR-7  All pages of a slab have its word from before its first object is
 *         handed out until after its last came back.
 *   AR-8  Control of slabs is never given back before the arena's end, so that
 *         a wild free may look at it.
 *
 * A lane that finds no page takes an object of another lane's slab before it
 * gives up: a request fails only if no slab of its class has one.
 */
#include <errno.h>

#include "arena_priv.h"

/* ---- classes
 * --------------------------------------------------------------- */

/* Pages of a slab for objects of SIZE: few, but at least four objects (eight,
 * of up to 1 KiB), no more than there are bits, an eighth of them lost at
 * most. Powers of two. */
static u32 slab_pages(u32 size)
{
	u32 least = size <= 1024 ? 8 : 4;

	for (u32 n = 1; n < SLAB_PAGES; n *= 2) {
		u32 bytes = n << PAGE_SHIFT, nr = bytes / size;

		if (nr >= least && (bytes - nr * size) * 8 <= bytes)
			return n;
	}
	return SLAB_PAGES;
}

void arena_classes_init(struct mmkit_arena *a)
{
	u32 c = 0, size = 8, step = 8;

	for (u32 i = 0; i < CLASS_TABLE; i++) {
		if (i * 8 > size) {
			size += step;
			c++;
			/* From 16 on by 16; from 128 on an eighth of the power
			 * of two below. */
			if (size == 16)
				step = 16;
			else if (size >= 128 && !(size & (size - 1)))
				step = size / 8;
		}
		a->class_of[i] = (u8)c;
		a->size_of[c] = size;
		a->pages_of[c] = slab_pages(size);
	}
	for (u32 l = 0; l <= a->lane_mask; l++) {
		for (c = 0; c < NR_CLASSES; c++)
			a->lane[l].cur[c] = &a->none;
	}
}

/* ---- the partial list
 * ------------------------------------------------------ */

static void partial_add(struct lane *l, struct slab *s)
{
	struct slab **head = &l->partial[s->class];

	s->prev = NULL;
	s->next = *head;
	if (s->next)
		s->next->prev = s;
	*head = s;
}

static void partial_del(struct lane *l, struct slab *s)
{
	if (s->prev)
		s->prev->next = s->next;
	else
		l->partial[s->class] = s->next;
	if (s->next)
		s->next->prev = s->prev;
}

/* ---- slabs
 * ----------------------------------------------------------------- */

/* S may have been another slab: its lane stays, for a wild free that looks. */
static void slab_init(const struct mmkit_arena *a, struct slab *s, u32 c,
		      const struct pages_ask *got)
{
	u32 size = a->size_of[c];
	u32 nr = min((u32)(got->n << PAGE_SHIFT) / size, (u32)SLAB_MOST);

	s->base = got->region->base + (got->page << PAGE_SHIFT);
	s->region = got->region;
	s->page = (u32)got->page;
	s->pages = (u16)got->n;
	s->class = (u16)c;
	s->size = size;
	s->inv = (u32)(((1ul << 32) + size - 1) / size);
	s->nr = s->nfree = (u16)nr;
	s->avail = (1u << DIV_ROUND_UP(nr, 64u)) - 1;
	for (u32 w = 0; w < SLAB_WORDS; w++) {
		u32 left = nr - min(nr, w * 64);

		s->bits[w] = left >= 64 ? ~0ul : (1ul << left) - 1;
	}
}

/* A slab of class C on busy pages. If there are not enough for one of proper
 * size, one that holds an object will do. NULL. */
static struct slab *slab_make(struct mmkit_arena *a, u32 c)
{
	struct pages_ask ask = {
		.n = a->pages_of[c], .align = 1, .kind = W_BUSY, .quick = true};
	struct slab *s = arena_slab_new(a);

	if (!s)
		return NULL;
	if (!arena_pages_get(a, &ask)) {
		ask.n = PFN_UP(a->size_of[c]);
		ask.quick = false;
		if (!arena_pages_get(a, &ask)) {
			arena_slab_drop(a, s);
			return NULL;
		}
	}
	slab_init(a, s, c, &ask);
	return s;
}

static void set_slab_words(struct slab *s, u64 w)
{
	struct region *r = s->region;

	arena_lock(&r->word);
	for (u32 i = 0; i < s->pages; i++)
		set_page_word(r, s->page + i, w);
	if (!w)
		region_give(r, s->page, s->pages);
	arena_unlock(&r->word);
}

/* S, on no list, with all objects free, goes. Its lane's word is held. */
static void slab_unmake(struct mmkit_arena *a, struct slab *s)
{
	set_slab_words(s, W_NONE);
	arena_slab_drop(a, s);
}

/* ---- the slow ways
 * --------------------------------------------------------- */

/* An object of S, which has one. */
static void *slab_take(struct slab *s)
{
	u32 w = (u32)__builtin_ctz(s->avail);
	u32 i = w * 64 + (u32)__builtin_ctzl(s->bits[w]);

	s->bits[w] &= s->bits[w] - 1;
	if (!s->bits[w])
		s->avail &= s->avail - 1;
	s->nfree--;
	return (void *)(uintptr_t)(s->base + (u64)i * s->size);
}

/* An object of class C of what L has, or NULL; its word is held. */
static void *take_here(struct lane *l, u32 c)
{
	struct slab *s = l->cur[c];

	if (!s->avail) {
		s = l->partial[c];
		if (!s)
			return NULL;
		partial_del(l, s);
		l->cur[c] = s;
	}
	return slab_take(s);
}

static void *take_anywhere(struct mmkit_arena *a, u32 c)
{
	void *p = NULL;

	for (u32 i = 0; i <= a->lane_mask && !p; i++) {
		arena_lock(&a->lane[i].word);
		p = take_here(&a->lane[i], c);
		arena_unlock(&a->lane[i].word);
	}
	return p;
}

void *arena_small_slow(struct mmkit_arena *a, struct lane *l, u32 c)
{
	void *p = take_here(l, c);
	struct slab *s;

	arena_unlock(&l->word);
	if (p)
		return p;
	s = slab_make(a, c);
	if (!s) {
		p = take_anywhere(a, c);
		if (!p) {
			__atomic_fetch_add(&a->nr_failures, 1,
					   __ATOMIC_RELAXED);
			errno = ENOMEM;
		}
		return p;
	}
	arena_lock(&l->word);
	WRITE_ONCE(s->lane, l);
	set_slab_words(s, W_SLAB | (u64)(uintptr_t)s);
	p = slab_take(s);
	/* Another thread of the lane may have brought one too. */
	if (!l->cur[c]->avail)
		l->cur[c] = s;
	else if (s->nfree)
		partial_add(l, s);
	arena_unlock(&l->word);
	return p;
}

int arena_slab_left(struct mmkit_arena *a, struct slab *s)
{
	struct lane *l = s->lane;

	if (s != l->cur[s->class]) {
		bool was_full = s->nfree == 1;

		if (s->nfree == s->nr) {
			if (!was_full)
				partial_del(l, s);
			slab_unmake(a, s);
		} else if (was_full) {
			partial_add(l, s);
		}
	}
	arena_unlock(&l->word);
	return 0;
}

u64 arena_flush(struct mmkit_arena *a)
{
	u64 pages = 0;

	for (u32 i = 0; i <= a->lane_mask; i++) {
		struct lane *l = &a->lane[i];

		arena_lock(&l->word);
		for (u32 c = 0; c < NR_CLASSES; c++) {
			struct slab *s = l->cur[c];

			if (s == &a->none || s->nfree != s->nr)
				continue;
			l->cur[c] = &a->none;
			pages += s->pages;
			slab_unmake(a, s);
		}
		arena_unlock(&l->word);
	}
	return pages;
}
