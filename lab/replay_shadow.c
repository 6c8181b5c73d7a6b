/* SPDX-License-Identifier: MIT */
/*
 * replay_shadow.c - what every page of a replayed program must hold.
 *
 * A hash table of leaves of 512 pages each; the last leaf is remembered, as
 * programs stay near where they were.
 */
#include <stdlib.h>
#include <string.h>

#include "err.h"
#include "replay_priv.h"

#define LEAF_PAGES (1u << SHADOW_LEAF_BITS)
#define LEAF_SPAN  ((u64)LEAF_PAGES << PAGE_SHIFT)

static void *must_calloc(size_t n, size_t size)
{
	void *p = calloc(n, size);

	if (!p)
		err_die("no memory for the pages' shadow");
	return p;
}

void shadow_init(struct shadow *s)
{
	s->nr_buckets = 256;
	s->nr_leaves = 0;
	s->last = NULL;
	s->buckets = must_calloc(s->nr_buckets, sizeof(*s->buckets));
}

void shadow_free(struct shadow *s)
{
	for (u32 i = 0; i < s->nr_buckets; i++) {
		struct shadow_leaf *l = s->buckets[i], *next;

		for (; l; l = next) {
			next = l->next;
			free(l);
		}
	}
	free(s->buckets);
	memset(s, 0, sizeof(*s));
}

static u64 leaf_key(uva_t va)
{
	return (va >> (PAGE_SHIFT + SHADOW_LEAF_BITS)) + 1;
}

static u32 bucket_of(const struct shadow *s, u64 key)
{
	return (u32)(key * 0x9e3779b97f4a7c15UL >> 40) & (s->nr_buckets - 1);
}

static void shadow_grow(struct shadow *s)
{
	struct shadow_leaf **old = s->buckets;
	u32 nr = s->nr_buckets;

	s->nr_buckets *= 4;
	s->buckets = must_calloc(s->nr_buckets, sizeof(*s->buckets));
	for (u32 i = 0; i < nr; i++) {
		struct shadow_leaf *l = old[i], *next;

		for (; l; l = next) {
			u32 b = bucket_of(s, l->key);

			next = l->next;
			l->next = s->buckets[b];
			s->buckets[b] = l;
		}
	}
	free(old);
}

static struct shadow_leaf *leaf_find(struct shadow *s, uva_t va)
{
	u64 key = leaf_key(va);
	struct shadow_leaf *l = s->last;

	if (l && l->key == key)
		return l;
	for (l = s->buckets[bucket_of(s, key)]; l; l = l->next)
		if (l->key == key)
			break;
	if (l)
		s->last = l;
	return l;
}

static struct shadow_leaf *leaf_get(struct shadow *s, uva_t va)
{
	struct shadow_leaf *l = leaf_find(s, va);
	u32 b;

	if (l)
		return l;
	if (s->nr_leaves++ > 2 * s->nr_buckets)
		shadow_grow(s);
	l = must_calloc(1, sizeof(*l));
	l->key = leaf_key(va);
	b = bucket_of(s, l->key);
	l->next = s->buckets[b];
	s->buckets[b] = l;
	s->last = l;
	return l;
}

struct shadow_page *shadow_get(struct shadow *s, uva_t va)
{
	return &leaf_get(s, va)->page[va >> PAGE_SHIFT & (LEAF_PAGES - 1)];
}

struct shadow_page *shadow_find(struct shadow *s, uva_t va)
{
	struct shadow_leaf *l = leaf_find(s, va);

	return l ? &l->page[va >> PAGE_SHIFT & (LEAF_PAGES - 1)] : NULL;
}

void shadow_copy(struct shadow *to, const struct shadow *from,
		 void (*fn)(struct shadow_page *p, void *arg), void *arg)
{
	for (u32 i = 0; i < from->nr_buckets; i++) {
		for (struct shadow_leaf *l = from->buckets[i]; l; l = l->next) {
			uva_t va = (l->key - 1) * LEAF_SPAN;
			struct shadow_leaf *copy = leaf_get(to, va);

			memcpy(copy->page, l->page, sizeof(l->page));
			for (u32 p = 0; fn && p < LEAF_PAGES; p++)
				fn(&copy->page[p], arg);
		}
	}
}

void shadow_clear(struct shadow *s, uva_t start, u64 len,
		  void (*fn)(struct shadow_page *p, void *arg), void *arg)
{
	for (uva_t va = start; va < start + len;) {
		struct shadow_leaf *l = leaf_find(s, va);
		uva_t end =
			min(start + len, (va & ~(LEAF_SPAN - 1)) + LEAF_SPAN);

		for (; l && va < end; va += PAGE_SIZE) {
			struct shadow_page *p =
				&l->page[va >> PAGE_SHIFT & (LEAF_PAGES - 1)];

			if (fn)
				fn(p, arg);
			memset(p, 0, sizeof(*p));
		}
		va = end;
	}
}

void shadow_move(struct shadow *s, uva_t from, uva_t to, u64 len)
{
	for (u64 off = 0; off < len; off += PAGE_SIZE) {
		struct shadow_page *p = shadow_find(s, from + off), copy;

		if (!p)
			continue;
		copy = *p;
		memset(p, 0, sizeof(*p));
		*shadow_get(s, to + off) = copy;
	}
}

/* ---- contents
 * ---------------------------------------------------------------- */

static u64 stamp_word(u64 stamp, u32 i)
{
	return stamp ? stamp * 0x9e3779b97f4a7c15UL + i * 0xd1b54a32d192ed03UL
		     : 0;
}

void stamp_write(void *view, u64 stamp)
{
	u64 *w = view;

	for (u32 i = 0; i < PAGE_SIZE / sizeof(u64); i++)
		w[i] = stamp_word(stamp, i);
}

bool stamp_matches(const void *view, u64 stamp, bool all)
{
	const u64 *w = view;
	u32 step = all ? 1 : 73; /* eight words, on different cache lines */
	u64 bad = 0;

	for (u32 i = 0; i < PAGE_SIZE / sizeof(u64); i += step)
		bad |= w[i] ^ stamp_word(stamp, i);
	return bad == 0;
}

void stamp_bytes(u8 *to, u64 stamp, u32 cut, u32 off, u32 n)
{
	u32 end = min(off + n, (u32)PAGE_SIZE - cut), i = off;

	while (i < end) {
		u64 w = stamp_word(stamp, i / 8) >> (i % 8 * 8);
		u32 part = min(8 - i % 8, end - i);

		memcpy(to, &w, part);
		to += part;
		i += part;
	}
	memset(to, 0, off + n - i);
}

void stamp_write_cut(void *view, u64 stamp, u32 cut)
{
	if (cut)
		stamp_bytes(view, stamp, cut, 0, PAGE_SIZE);
	else
		stamp_write(view, stamp);
}

bool stamp_matches_cut(const void *view, const struct shadow_page *p, bool all)
{
	static u8 want[PAGE_SIZE];

	if (!p->cut)
		return stamp_matches(view, p->stamp, all);
	stamp_bytes(want, p->stamp, p->cut, 0, PAGE_SIZE);
	return !memcmp(view, want, PAGE_SIZE);
}
