/* SPDX-License-Identifier: MIT */
/*
 * mt_records.c - a table of all objects that debug mode handed out, and of
 * the large ones of hardened mode.
 *
 * 1. Purpose. Tell what a pointer is without reading what it points to: the
 *    stack, a literal, another library's mapping, an object's middle.
 *
 * 2. Structures. SHARDS tables with linear probing, each behind a word and in
 *    a mapping of its own; one that is three quarters full doubles. A record
 *    is removed by moving up what comes behind it, so nothing but p == 0 ends
 *    a search.
 *
 * 3. Invariants.
 *    MR-1  From a record's home to its place there is no empty place.
 *    MR-2  At most three quarters of a table are used.
 *
 * 4. Locking. A shard's word; nothing is taken under it. For fork all of them.
 *
 * 5. Failure. A table that cannot grow refuses new records when it is full.
 */
#include <string.h>
#include <sys/mman.h>

#include "mt_records.h"

#define SHARDS	   64u
#define FIRST_CAP  512u /* records; a power of two */
#define BESIDE	   64u	/* bytes beside an object that are still its own */
#define HASH_GAMMA 0x9e3779b97f4a7c15UL

struct shard {
	u32 word;
	u32 nr, cap;
	struct mt_record *at;
} MM_ALIGNED(64);

static struct shard shards[SHARDS];

static u64 hash(uintptr_t p)
{
	return (p >> 3) * HASH_GAMMA >> 16;
}

static struct shard *shard_of(uintptr_t p)
{
	return &shards[hash(p) % SHARDS];
}

static u32 home(const struct shard *s, uintptr_t p)
{
	return (u32)(hash(p) / SHARDS) & (s->cap - 1);
}

/* P's place, or the empty one where it would be. */
static struct mt_record *place(const struct shard *s, uintptr_t p)
{
	u32 i = home(s, p);

	while (s->at[i].p && s->at[i].p != p)
		i = (i + 1) & (s->cap - 1);
	return &s->at[i];
}

static struct mt_record *find(const struct shard *s, uintptr_t p)
{
	struct mt_record *r = place(s, p);

	return r->p ? r : NULL;
}

static bool double_shard(struct shard *s)
{
	struct shard old = *s;
	void *at = mt_map_meta(2ul * old.cap * sizeof(*s->at));

	if (!at)
		return false;
	s->at = at;
	s->cap = 2 * old.cap;
	for (u32 i = 0; i < old.cap; i++) {
		if (old.at[i].p)
			*place(s, old.at[i].p) = old.at[i];
	}
	munmap(old.at, old.cap * sizeof(*old.at));
	return true;
}

bool mt_records_init(void)
{
	char *p = mt_map_meta(SHARDS * FIRST_CAP * sizeof(struct mt_record));

	for (u32 i = 0; p && i < SHARDS; i++) {
		/* The first tables are whole pages, which munmap() needs. */
		MM_STATIC_ASSERT(
			FIRST_CAP * sizeof(struct mt_record) % PAGE_SIZE == 0,
			"pages");
		shards[i].cap = FIRST_CAP;
		shards[i].at =
			(void *)(p + i * FIRST_CAP * sizeof(struct mt_record));
	}
	return p != NULL;
}

bool mt_record_put(const struct mt_record *r)
{
	struct shard *s = shard_of(r->p);
	struct mt_record *at;
	bool ok = true;

	mt_lock(&s->word);
	at = place(s, r->p);
	if (!at->p) {
		ok = (s->nr + 1) * 4 <= s->cap * 3 || double_shard(s);
		at = place(s, r->p);
		s->nr += ok;
	}
	if (ok)
		*at = *r;
	mt_unlock(&s->word);
	return ok;
}

bool mt_record_get(uintptr_t p, struct mt_record *out)
{
	struct shard *s = shard_of(p);
	struct mt_record *r;

	mt_lock(&s->word);
	r = p ? find(s, p) : NULL;
	if (r)
		*out = *r;
	mt_unlock(&s->word);
	return r != NULL;
}

bool mt_record_free(uintptr_t p, const struct mt_track *by,
		    struct mt_record *out)
{
	struct shard *s = shard_of(p);
	struct mt_record *r;
	bool ok;

	mt_lock(&s->word);
	r = p ? find(s, p) : NULL;
	ok = r && r->state == MT_OBJ_LIVE;
	if (ok) {
		r->state = MT_OBJ_MOVING;
		r->free = *by;
		*out = *r;
	}
	mt_unlock(&s->word);
	return ok;
}

void mt_record_move(uintptr_t p, u32 from, u32 to)
{
	struct shard *s = shard_of(p);
	struct mt_record *r;

	mt_lock(&s->word);
	r = find(s, p);
	if (r && r->state == from)
		r->state = to;
	mt_unlock(&s->word);
}

/* Empty the place I and let those behind it come nearer to their homes. */
static void remove_at(struct shard *s, u32 i)
{
	u32 mask = s->cap - 1;

	for (u32 k = (i + 1) & mask; s->at[k].p; k = (k + 1) & mask) {
		if (((k - home(s, s->at[k].p)) & mask) < ((k - i) & mask))
			continue;
		s->at[i] = s->at[k];
		i = k;
	}
	s->at[i].p = 0;
	s->nr--;
}

void mt_record_drop(uintptr_t p, u32 state)
{
	struct shard *s = shard_of(p);
	struct mt_record *r;

	mt_lock(&s->word);
	r = find(s, p);
	if (r && r->state == state)
		remove_at(s, (u32)(r - s->at));
	mt_unlock(&s->word);
}

void mt_records_each(void (*fn)(const struct mt_record *r, void *arg),
		     void *arg)
{
	for (u32 i = 0; i < SHARDS; i++) {
		mt_lock(&shards[i].word);
		for (u32 k = 0; k < shards[i].cap; k++) {
			if (shards[i].at[k].p)
				fn(&shards[i].at[k], arg);
		}
		mt_unlock(&shards[i].word);
	}
}

/* The best so far. */
struct search {
	uintptr_t p;
	struct mt_record *out;
	u32 rank; /* 0: none */
};

static void compare(const struct mt_record *r, void *arg)
{
	u32 rank = 2 * (MT_OBJ_GONE - r->state) + 1;
	struct search *s = arg;

	if (s->p < r->p - min(r->lead, BESIDE) ||
	    s->p >= r->p + r->size + BESIDE)
		return;
	rank += s->p >= r->p && s->p < r->p + max(r->size, (u64)1);
	if (rank <= s->rank)
		return;
	s->rank = rank;
	*s->out = *r;
}

bool mt_record_around(uintptr_t p, struct mt_record *out)
{
	struct search s = {.p = p, .out = out};

	mt_records_each(compare, &s);
	return s.rank != 0;
}

void mt_records_lock(void)
{
	for (u32 i = 0; i < SHARDS; i++)
		mt_lock(&shards[i].word);
}

void mt_records_unlock(void)
{
	for (u32 i = 0; i < SHARDS; i++)
		mt_unlock(&shards[i].word);
}
