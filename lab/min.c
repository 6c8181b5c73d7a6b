/* SPDX-License-Identifier: MIT */
/*
 * min.c - Belady's MIN in linear time and little memory.
 *
 * 1. Purpose. Belady (1966): on a miss without a free frame, evict the page
 *    whose next reference lies furthest ahead; no policy has fewer misses.
 *    First touches happen under every policy, so what is left is the least
 *    number of page-ins of evicted pages.
 *
 * 2. Structures. While references come in, only next[i] is kept: the position
 *    of the next reference to the same page (of the same life), and a bit
 *    that says whether i is a first touch. Who the page is no longer matters:
 *    a resident page IS the position of its next reference. So the set of
 *    resident pages is a set of positions, kept as a bitmap with 64-way
 *    summaries above it; position i hits if its bit is set when the replay
 *    reaches i, and the victim is the highest bit.
 *
 * 3. Invariants. In a question at position i: every set bit is >= i; the
 *    number of set bits is at most the number of frames; a page without a
 *    further reference is never in the set, since dropping it is free. That
 *    is also all that death needs: it cuts the chain of next references.
 *
 * 4. Locking: none. 5. Life: create, refs and kills, questions, destroy.
 *
 * 6. Failure. Only memory; a question without it answers MIN_FAILED.
 *
 * 7. Complexity. O(1) per reference to store, O(log64 n) to replay.
 *
 * 8. Rejected: a heap with stale entries (grows with the references, and
 *    compares where a bitmap only counts zeros); stack distances for all
 *    sizes at once (OPT stacks cost a repair per reference).
 */
#include "min.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NEVER  0x7fffffffu /* next[]: no further reference */
#define FIRST  0x80000000u /* next[]: this one is a first touch */
#define NOPOS  UINT32_MAX  /* last[]: not alive */
#define LEVELS 6	   /* 64^6 positions */

struct min {
	u32 *next; /* by position */
	u32 *last; /* by page: its latest position, or NOPOS */
	u32 nr, room;
	u32 pages_room;
	u32 latest; /* the page of position nr - 1, if it lives */
	bool has_latest;
	u64 first;
};

struct min *min_create(void)
{
	return calloc(1, sizeof(struct min));
}

void min_destroy(struct min *m)
{
	if (!m)
		return;
	free(m->next);
	free(m->last);
	free(m);
}

static int grow_next(struct min *m)
{
	u64 room = m->room ? (u64)m->room * 2 : 4096;
	u32 *p;

	if (m->nr < m->room)
		return 0;
	if (m->nr >= MIN_MAX_REFS)
		return -EOVERFLOW;
	room = min(room, (u64)MIN_MAX_REFS);
	p = realloc(m->next, room * sizeof(*p));
	if (!p)
		return -ENOMEM;
	m->next = p;
	m->room = (u32)room;
	return 0;
}

static int grow_last(struct min *m, u32 page)
{
	u64 room = m->pages_room ? m->pages_room : 1024;
	u32 *p;

	if (page < m->pages_room)
		return 0;
	while (room <= page)
		room *= 2;
	room = min(room, (u64)UINT32_MAX);
	if (page >= room)
		return -EOVERFLOW;
	p = realloc(m->last, room * sizeof(*p));
	if (!p)
		return -ENOMEM;
	memset(p + m->pages_room, 0xff, (room - m->pages_room) * sizeof(*p));
	m->last = p;
	m->pages_room = (u32)room;
	return 0;
}

int min_ref(struct min *m, u32 page)
{
	int ret;

	if (m->has_latest && m->latest == page)
		return 0;
	ret = grow_next(m);
	if (!ret)
		ret = grow_last(m, page);
	if (ret)
		return ret;
	m->next[m->nr] = NEVER;
	if (m->last[page] == NOPOS) {
		m->next[m->nr] |= FIRST;
		m->first++;
	} else {
		u32 *prev = &m->next[m->last[page]];

		*prev = (*prev & FIRST) | m->nr;
	}
	m->last[page] = m->nr++;
	m->latest = page;
	m->has_latest = true;
	return 0;
}

void min_kill(struct min *m, u32 page)
{
	if (page < m->pages_room)
		m->last[page] = NOPOS;
	if (m->has_latest && m->latest == page)
		m->has_latest = false;
}

u64 min_refs(const struct min *m)
{
	return m->nr;
}

u64 min_first(const struct min *m)
{
	return m->first;
}

/* ---- a set of positions, of which the highest is asked
 * ----------------------- */

struct posset {
	u64 *level[LEVELS]; /* [0] has a bit per position */
	int top;	    /* the level that is one word */
	u64 *words;
};

static bool posset_init(struct posset *s, u32 nr)
{
	u64 count[LEVELS], total = 0, n = nr;
	u64 *p;

	s->top = -1;
	do {
		n = DIV_ROUND_UP(n, 64);
		count[++s->top] = n;
		total += n;
	} while (n > 1);
	p = s->words = calloc(total, sizeof(u64));
	if (!p)
		return false;
	for (int i = 0; i <= s->top; i++) {
		s->level[i] = p;
		p += count[i];
	}
	return true;
}

static void posset_set(struct posset *s, u32 pos)
{
	for (int i = 0; i <= s->top; i++, pos >>= 6) {
		u64 *w = &s->level[i][pos >> 6];
		u64 was = *w;

		*w |= 1ULL << (pos & 63);
		if (was)
			return; /* the levels above know */
	}
}

static void posset_clear(struct posset *s, u32 pos)
{
	for (int i = 0; i <= s->top; i++, pos >>= 6) {
		u64 *w = &s->level[i][pos >> 6];

		*w &= ~(1ULL << (pos & 63));
		if (*w)
			return;
	}
}

static bool posset_has(const struct posset *s, u32 pos)
{
	return s->level[0][pos >> 6] >> (pos & 63) & 1;
}

/* The highest member; the set is not empty. */
static u32 posset_max(const struct posset *s)
{
	u32 pos = 0;

	for (int i = s->top; i >= 0; i--)
		pos = pos << 6 | (63 - (u32)__builtin_clzll(s->level[i][pos]));
	return pos;
}

/* The replay: SET empty, FRAMES at least 1. */
static u64 simulate(const struct min *m, struct posset *set, u64 frames)
{
	u64 used = 0, misses = 0;

	for (u32 i = 0; i < m->nr; i++) {
		u32 next = m->next[i] & ~FIRST;

		if (posset_has(set, i)) {
			posset_clear(set, i);
			used--;
		} else {
			misses += !(m->next[i] & FIRST);
			if (used == frames) {
				posset_clear(set, posset_max(set));
				used--;
			}
		}
		if (next != NEVER) {
			posset_set(set, next);
			used++;
		}
	}
	return misses;
}

u64 min_pageins(const struct min *m, u64 frames)
{
	struct posset set;
	u64 misses;

	if (!m->nr)
		return 0;
	if (!posset_init(&set, m->nr))
		return MIN_FAILED;
	misses = simulate(m, &set, max(frames, (u64)1));
	free(set.words);
	return misses;
}
