/* SPDX-License-Identifier: MIT */
/*
 * stack_depot.c - call stacks, each kept once.
 *
 * 1. Purpose. Debugging aids remember with each object who asked for it. A
 *    stack is 16 words, the places that ask are few: kept once, a stack costs
 *    an object four bytes.
 *
 * 2. Structures. Chunks of memory that the users of the depot feed it with,
 *    filled from the front with records that never change and never go; a hash
 *    table of chains through them. A handle is chunk and word of a record, and
 *    never 0.
 *
 * 3. Invariants (stack_depot_check).
 *    DP-1  Each record is in the chain of its hash, and in no other.
 *    DP-2  No two records are equal.
 *
 * 4. Locking. A search takes no lock: records are whole before a chain leads
 *    to them. Who does not find what he looks for takes the raw lock and
 *    searches again before he adds.
 *
 * 5. Bounds. At most DEPOT_CHUNKS chunks, a mebibyte. When they are full, or
 *    nobody feeds, a new stack is refused and counted; old ones are found.
 *
 * 6. Rejected. Taking memory by itself: the depot is below all allocators, and
 *    called from inside them. Counting users of a record, to free it: a place
 *    in a program that allocates goes on to do so.
 *
 * References: Linux documentation, mm/page_owner (stack depot).
 */
#include "base/stack_depot.h"

#include <mmkit/port.h>

#include "base/assert.h"
#include "base/base_priv.h"
#include "base/string.h"

#define CHUNK_WORDS (STACK_DEPOT_CHUNK / 8)
/* Frames of the allocator itself, which are walked and not kept. */
#define WALK_EXTRA 16u

struct depot_record {
	u32 next; /* handle of the next older one of the bucket, 0: none */
	u32 hash;
	u64 nr;
	u64 entry[];
};

#define RECORD_WORDS(nr) (2 + (nr))
#define HANDLE(chunk, w) ((chunk)*CHUNK_WORDS + (w) + 1)

MM_STATIC_ASSERT(sizeof(struct depot_record) == 16, "two words, then entries");
MM_STATIC_ASSERT((DEPOT_BUCKETS & (DEPOT_BUCKETS - 1)) == 0, "a mask");

static struct depot_record *record_of(depot_stack_handle_t h)
{
	u32 at = h - 1;

	mm_assert(h && at / CHUNK_WORDS < DEPOT_CHUNKS);
	return (struct depot_record
			*)(void *)(base_sys.depot.chunk[at / CHUNK_WORDS] +
				   at % CHUNK_WORDS);
}

static u32 hash_of(const u64 *entries, u32 nr)
{
	u64 h = nr;

	for (u32 i = 0; i < nr; i++) {
		h = (h ^ entries[i]) * 0x9e3779b97f4a7c15UL;
		h ^= h >> 29;
	}
	return (u32)(h >> 32) ^ (u32)h;
}

static depot_stack_handle_t find(const u64 *entries, u32 nr, u32 hash)
{
	u32 h = __atomic_load_n(
		&base_sys.depot.bucket[hash & (DEPOT_BUCKETS - 1)],
		__ATOMIC_ACQUIRE);

	while (h) {
		const struct depot_record *r = record_of(h);

		if (r->hash == hash && r->nr == nr &&
		    mm_memcmp(r->entry, entries, nr * sizeof(*entries)) == 0)
			break;
		h = r->next;
	}
	return h;
}

/* Lock held: a new record, if there is room for it. */
static depot_stack_handle_t add(const u64 *entries, u32 nr, u32 hash)
{
	struct depot_state *d = &base_sys.depot;
	u32 *bucket = &d->bucket[hash & (DEPOT_BUCKETS - 1)];
	struct depot_record *r;
	u32 h, chunk = d->nr_chunks - 1;

	if (!d->nr_chunks || d->used + RECORD_WORDS(nr) > CHUNK_WORDS)
		return 0;
	h = HANDLE(chunk, d->used);
	r = record_of(h);
	r->next = *bucket;
	r->hash = hash;
	r->nr = nr;
	mm_memcpy(r->entry, entries, nr * sizeof(*entries));
	WRITE_ONCE(d->used, d->used + RECORD_WORDS(nr));
	WRITE_ONCE(d->nr_stacks, d->nr_stacks + 1);
	__atomic_store_n(bucket, h, __ATOMIC_RELEASE);
	return h;
}

depot_stack_handle_t stack_depot_save(const u64 *entries, u32 nr)
{
	struct depot_state *d = &base_sys.depot;
	unsigned long flags;
	u32 h, hash;

	nr = min(nr, STACK_DEPOT_DEPTH);
	if (!nr)
		return 0;
	hash = hash_of(entries, nr);
	h = find(entries, nr, hash);
	if (h)
		return h;
	flags = raw_lock(&d->word);
	h = find(entries, nr, hash);
	if (!h)
		h = add(entries, nr, hash);
	raw_unlock(&d->word, flags);
	if (!h)
		__atomic_fetch_add(&d->nr_refused, 1, __ATOMIC_RELAXED);
	return h;
}

depot_stack_handle_t stack_depot_here(u64 from)
{
	u64 entry[STACK_DEPOT_DEPTH + WALK_EXTRA];
	u32 nr = port_stack_trace(entry, ARRAY_SIZE(entry)), skip = 0;

	while (skip < nr && entry[skip] != from)
		skip++;
	if (skip == nr)
		skip = 0;
	return stack_depot_save(entry + skip, nr - skip);
}

u32 stack_depot_fetch(depot_stack_handle_t h, const u64 **entries)
{
	const struct depot_record *r;

	*entries = NULL;
	if (!h)
		return 0;
	r = record_of(h);
	*entries = r->entry;
	return (u32)r->nr;
}

void stack_depot_print(struct seq_buf *out, depot_stack_handle_t h,
		       const char *indent)
{
	const u64 *entry;
	u32 nr = stack_depot_fetch(h, &entry);
	char text[128];

	for (u32 i = 0; i < nr; i++) {
		port_symbol(entry[i], text, sizeof(text));
		seq_printf(out, "%s%s\n", indent, text);
	}
}

bool stack_depot_feed(void *mem)
{
	struct depot_state *d = &base_sys.depot;
	unsigned long flags = raw_lock(&d->word);
	bool taken = d->nr_chunks < DEPOT_CHUNKS;

	mm_assert(((uintptr_t)mem & 7) == 0);
	if (taken) {
		d->chunk[d->nr_chunks] = mem;
		WRITE_ONCE(d->nr_chunks, d->nr_chunks + 1);
		WRITE_ONCE(d->used, 0);
	}
	raw_unlock(&d->word, flags);
	return taken;
}

bool stack_depot_owns(const void *mem)
{
	u32 nr = READ_ONCE(base_sys.depot.nr_chunks);

	for (u32 i = 0; i < nr; i++)
		if (base_sys.depot.chunk[i] == mem)
			return true;
	return false;
}

bool stack_depot_hungry(void)
{
	const struct depot_state *d = &base_sys.depot;
	u32 nr = READ_ONCE(d->nr_chunks);

	return !nr ||
	       (nr < DEPOT_CHUNKS &&
		READ_ONCE(d->used) + 4 * RECORD_WORDS(STACK_DEPOT_DEPTH) >
			CHUNK_WORDS);
}

/* DP-1 and DP-2 for record H of BUCKET. */
static void check_record(u32 bucket, depot_stack_handle_t h)
{
	const struct depot_record *r = record_of(h);

	mm_verify(r->nr > 0 && r->nr <= STACK_DEPOT_DEPTH);
	mm_verify(r->hash == hash_of(r->entry, (u32)r->nr));
	mm_verify((r->hash & (DEPOT_BUCKETS - 1)) == bucket);
	mm_verify(find(r->entry, (u32)r->nr, r->hash) == h);
	mm_verify(r->next < h);
}

u32 stack_depot_check(void)
{
	struct depot_state *d = &base_sys.depot;
	unsigned long flags = raw_lock(&d->word);
	u32 seen = 0;

	for (u32 b = 0; b < DEPOT_BUCKETS; b++) {
		for (u32 h = d->bucket[b]; h; h = record_of(h)->next) {
			check_record(b, h);
			seen++;
		}
	}
	mm_verify(seen == d->nr_stacks);
	raw_unlock(&d->word, flags);
	return seen;
}
