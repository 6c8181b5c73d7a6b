/* SPDX-License-Identifier: MIT */
/*
 * arena_pages.c - the pages of a region: buddies whose links lie apart.
 *
 * A free block of order k has 2^k pages and begins at an ADDRESS that is a
 * multiple of its size, wherever the region begins: so a block is aligned as
 * its user would have it, and the ends of a region are smaller blocks.
 *
 * Invariants, under the region's word:
 *   AR-1  Going from page 0 by the lengths that the words tell leads through
 *         blocks to exactly page NR: what is no first page has W_NONE, or the
 *         word of its slab.
 *   AR-2  A free block is on the list of its order; ORDERS has a bit for each
 *         list with blocks; FREE is the sum of their pages.
 *   AR-3  No two buddies are both free: they are one block then.
 *   AR-4  A page that is in use is dirty; one that is free is dirty if it was
 *         in use since it was last given back.
 *
 * Runs of any number of pages are cut from a block, and the rest is free
 * again. If no block is large enough, neighbours that are no buddies are found
 * by going through all blocks. Rejected: a tree of free ranges by address and
 * size, which finds those at once, but costs the hot way more than the lists.
 */
#include "arena_priv.h"

#define TOP_ORDER (MMKIT_ARENA_ORDERS - 1)

/* ---- free lists
 * ------------------------------------------------------------ */

static void list_add(struct region *r, u64 i, u32 o)
{
	struct apage *p = &r->page[i];

	p->next = r->head[o];
	p->prev = NO_PAGE;
	if (p->next != NO_PAGE)
		r->page[p->next].prev = (u32)i;
	r->head[o] = (u32)i;
	r->nr_free[o]++;
	r->orders |= 1u << o;
	set_page_word(r, i, W_FREE | (u64)o << 3);
}

static void list_del(struct region *r, u64 i, u32 o)
{
	struct apage *p = &r->page[i];

	if (p->prev != NO_PAGE)
		r->page[p->prev].next = p->next;
	else
		r->head[o] = p->next;
	if (p->next != NO_PAGE)
		r->page[p->next].prev = p->prev;
	if (!--r->nr_free[o])
		r->orders &= ~(1u << o);
	set_page_word(r, i, W_NONE);
}

static bool is_free_block(const struct region *r, u64 i, u32 o)
{
	return page_word(r, i) == (W_FREE | (u64)o << 3);
}

/* One block, which merges with its buddies as far as they are free. */
static void block_give(struct region *r, u64 i, u32 o)
{
	u64 at = r->first + i;

	for (; o < TOP_ORDER; o++) {
		u64 buddy = at ^ 1ul << o;

		if (buddy < r->first || buddy + (1ul << o) > r->first + r->nr ||
		    !is_free_block(r, buddy - r->first, o))
			break;
		list_del(r, buddy - r->first, o);
		at &= ~(1ul << o);
	}
	list_add(r, at - r->first, o);
}

/* The largest order of a block that begins at page I and has at most N. */
static u32 order_at(const struct region *r, u64 i, u64 n)
{
	u64 at = r->first + i;
	u32 fits = 63 - (u32)__builtin_clzl(n);
	u32 o = at ? (u32)__builtin_ctzl(at) : TOP_ORDER;

	return min(min(o, fits), TOP_ORDER);
}

void region_give(struct region *r, u64 i, u64 n)
{
	r->free += n;
	while (n) {
		u32 o = order_at(r, i, n);

		block_give(r, i, o);
		i += 1ul << o;
		n -= 1ul << o;
	}
}

void region_init(struct region *r)
{
	for (u32 o = 0; o < MMKIT_ARENA_ORDERS; o++)
		r->head[o] = NO_PAGE;
	region_give(r, 0, r->nr);
	r->least_free = r->free;
}

/* ---- taking
 * ---------------------------------------------------------------- */

/* Of block (H, O) keep [I, I + N), or what of it lies there; the rest is free
 * again. */
static void block_cut(struct region *r, u64 h, u32 o, u64 i, u64 n)
{
	u64 end = h + (1ul << o), from = max(h, i), to = min(end, i + n);

	list_del(r, h, o);
	r->free -= 1ul << o;
	if (h < from)
		region_give(r, h, from - h);
	if (to < end)
		region_give(r, to, end - to);
}

/* The free block that page I lies in: its first page, or NO_PAGE. */
static u64 block_of(const struct region *r, u64 i, u32 *order)
{
	u64 at = r->first + i;

	for (u32 o = 0; o <= TOP_ORDER; o++) {
		u64 h = at & ~((1ul << o) - 1);

		if (h < r->first)
			break;
		if (is_free_block(r, h - r->first, o)) {
			*order = o;
			return h - r->first;
		}
	}
	return NO_PAGE;
}

bool region_take(struct region *r, u64 i, u64 n)
{
	u64 end = i + n, h;
	u32 o;

	for (u64 at = i; at < end; at = h + (1ul << o)) {
		h = block_of(r, at, &o);
		if (h == NO_PAGE)
			return false;
	}
	for (u64 at = i; at < end; at = h + (1ul << o)) {
		h = block_of(r, at, &o);
		block_cut(r, h, o, i, n);
	}
	r->least_free = min(r->least_free, r->free + r->out);
	return true;
}

/* [I, I + N) from the smallest block that must have it; NO_PAGE. */
static u64 take_block(struct region *r, u64 n, u64 align)
{
	u64 least = max(n, align);
	u32 o = least > 1 ? 64 - (u32)__builtin_clzl(least - 1) : 0;
	u32 fit = o <= TOP_ORDER ? r->orders >> o << o : 0;
	u64 i;

	if (!fit)
		return NO_PAGE;
	o = (u32)__builtin_ctz(fit);
	i = r->head[o];
	block_cut(r, i, o, i, n);
	r->least_free = min(r->least_free, r->free + r->out);
	return i;
}

/* The same from free blocks that are neighbours. */
static u64 take_neighbours(struct region *r, u64 n, u64 align)
{
	u64 len, from = 0;

	if (r->free < n)
		return NO_PAGE;
	for (u64 i = 0; i < r->nr; i += len) {
		u64 w = page_word(r, i), fit;

		len = word_pages(w);
		if ((w & W_KIND) != W_FREE) {
			from = i + len;
			continue;
		}
		fit = ALIGN(r->first + from, align) - r->first;
		if (fit + n <= i + len)
			return region_take(r, fit, n) ? fit : NO_PAGE;
	}
	return NO_PAGE;
}

/* ---- dirty bits
 * ------------------------------------------------------------ */

bool region_mark(struct region *r, u64 i, u64 n, u64 w)
{
	u64 end = i + n, was = 0;

	set_page_word(r, i, w);
	while (i < end) {
		u64 at = i & 63, nr = min(64 - at, end - i);
		u64 mask = (nr == 64 ? ~0ul : (1ul << nr) - 1) << at;

		was |= r->dirty[i >> 6] & mask;
		r->dirty[i >> 6] |= mask;
		i += nr;
	}
	return !was;
}

u64 region_head(const struct region *r, u64 i)
{
	u64 h = 0, n;

	while (h + (n = word_pages(page_word(r, h))) <= i)
		h += n;
	return h;
}

bool region_get(struct region *r, struct pages_ask *ask)
{
	u64 i;

	arena_lock(&r->word);
	i = take_block(r, ask->n, ask->align);
	if (i == NO_PAGE && !ask->quick)
		i = take_neighbours(r, ask->n, ask->align);
	if (i != NO_PAGE)
		ask->clean = region_mark(r, i, ask->n, ask->kind | ask->n << 3);
	arena_unlock(&r->word);
	ask->region = r;
	ask->page = i;
	return i != NO_PAGE;
}
