/* SPDX-License-Identifier: MIT */
/*
 * arena_make.c - arenas come, grow and go; where their tables are.
 *
 * Tables of a region are one piece: struct region, a descriptor and a bit for
 * each page. They must be zero at first, so that those of a large region cost
 * nothing until its pages are used. Controls of slabs come from chunks.
 *
 * All regions of the process are on one list, under arena_sys.word: two that
 * overlap would hand out the same bytes. What the program's machine has as RAM
 * (port/host, if it is linked in and runs) is not for an arena either.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "arena_priv.h"
#include "host_priv.h"

/* There, if something else of the program needs the host world. */
#pragma weak host
#pragma weak host_ram_base

#define KNOWN_FLAGS \
	(MMKIT_ARENA_ZEROED | MMKIT_ARENA_NO_ACCESS | MMKIT_ARENA_REPORT_LEAKS)
#define CHUNK_BYTES   65536u
#define LANES_UNASKED 16u

struct meta_chunk {
	struct meta_chunk *next;
	u64 used; /* bytes */
};

static struct {
	u32 word;
	struct region *regions;
} arena_sys;

/* ---- words
 * ----------------------------------------------------------------- */

static void pause_cpu(void)
{
#ifdef __x86_64__
	__builtin_ia32_pause();
#endif
}

/* The holder may have lost its CPU: after a while let others run, and then
 * sleep, in case they are of lower priority than we. */
void arena_lock_slow(u32 *word)
{
	const struct timespec nap = {.tv_nsec = 50000};

	for (u32 n = 0;; n++) {
		if (!READ_ONCE(*word) &&
		    !__atomic_exchange_n(word, 1, __ATOMIC_ACQUIRE))
			return;
		if (n < 64)
			pause_cpu();
		else if (n < 1024)
			sched_yield();
		else
			nanosleep(&nap, NULL);
	}
}

/* ---- tables
 * ---------------------------------------------------------------- */

static void *map_meta(void *ctx, size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	(void)ctx;
	return p == MAP_FAILED ? NULL : p;
}

static void unmap_meta(void *ctx, void *p, size_t bytes)
{
	(void)ctx;
	munmap(p, bytes);
}

struct slab *arena_slab_new(struct mmkit_arena *a)
{
	struct slab *s = NULL;
	struct meta_chunk *c;

	arena_lock(&a->meta_word);
	c = a->chunks;
	if (a->spare) {
		s = a->spare;
		a->spare = s->next;
	} else if (c && c->used + sizeof(*s) <= CHUNK_BYTES) {
		s = (struct slab *)(void *)((char *)c + c->used);
	} else {
		c = a->opt.meta_alloc(a->opt.meta_ctx, CHUNK_BYTES);
		if (c) {
			/* One place is the chunk's own. */
			c->used = sizeof(*s);
			c->next = a->chunks;
			a->chunks = c;
			__atomic_fetch_add(&a->nr_metadata, CHUNK_BYTES,
					   __ATOMIC_RELAXED);
			s = (struct slab *)(void *)((char *)c + c->used);
		}
	}
	if (s && c && (char *)s == (char *)c + c->used)
		c->used += sizeof(*s);
	arena_unlock(&a->meta_word);
	return s;
}

void arena_slab_drop(struct mmkit_arena *a, struct slab *s)
{
	arena_lock(&a->meta_word);
	s->next = a->spare;
	a->spare = s;
	arena_unlock(&a->meta_word);
}

/* ---- regions
 * --------------------------------------------------------------- */

struct region *arena_region(const struct mmkit_arena *a, const void *p)
{
	u32 nr = arena_nr_regions(a);

	for (u32 i = 0; i < nr; i++) {
		struct region *r = a->region[i];

		if ((u64)(uintptr_t)p - r->base < r->nr << PAGE_SHIFT)
			return r;
	}
	return NULL;
}

int mmkit_arena_owns(const struct mmkit_arena *a, const void *p)
{
	return arena_region(a, p) != NULL;
}

/* The whole pages of [BASE, BASE + SIZE): [*FIRST, *END), numbers of pages. */
static int whole_pages(const void *base, size_t size, u64 *first, u64 *end)
{
	u64 from = (u64)(uintptr_t)base, to;

	if (!base || !size)
		return -EINVAL;
	if (__builtin_add_overflow(from, size, &to))
		return -EOVERFLOW;
	*first = (from >> PAGE_SHIFT) + (from % PAGE_SIZE != 0);
	*end = to >> PAGE_SHIFT;
	if (*first >= *end)
		return -ENOSPC;
	return *end - *first > PAGES_MOST ? -E2BIG : 0;
}

static bool in_machine(u64 base, u64 bytes)
{
	u64 ram;

	if (!&host_ram_base || !&host || !host_ram_base)
		return false;
	ram = (u64)(uintptr_t)host_ram_base;
	return base < ram + host.ram_bytes && ram < base + bytes;
}

static int publish(struct region *r)
{
	u64 bytes = r->nr << PAGE_SHIFT;
	int err = in_machine(r->base, bytes) ? -EBUSY : 0;

	arena_lock(&arena_sys.word);
	for (struct region *o = arena_sys.regions; o && !err; o = o->next) {
		if (r->base < o->base + (o->nr << PAGE_SHIFT) &&
		    o->base < r->base + bytes)
			err = -EEXIST;
	}
	if (!err) {
		r->next = arena_sys.regions;
		arena_sys.regions = r;
	}
	arena_unlock(&arena_sys.word);
	return err;
}

static void unpublish(struct region *r)
{
	struct region **at = &arena_sys.regions;

	arena_lock(&arena_sys.word);
	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	arena_unlock(&arena_sys.word);
}

/* A region over [BASE, BASE + SIZE) that is all free and published. */
static int region_make(const struct mmkit_arena *a, const void *base,
		       size_t size, struct region **out)
{
	u64 first, end, nr, bytes;
	int err = whole_pages(base, size, &first, &end);
	struct region *r;

	if (err)
		return err;
	nr = end - first;
	bytes = sizeof(*r) + nr * sizeof(*r->page) +
		DIV_ROUND_UP(nr, 64) * sizeof(*r->dirty);
	r = a->opt.meta_alloc(a->opt.meta_ctx, bytes);
	if (!r)
		return -ENOMEM;
	r->page = (struct apage *)(r + 1);
	r->dirty = (u64 *)(r->page + nr);
	r->first = first;
	r->base = first << PAGE_SHIFT;
	r->nr = nr;
	r->cut = size - (nr << PAGE_SHIFT);
	r->meta_bytes = bytes;
	err = publish(r);
	if (err) {
		a->opt.meta_free(a->opt.meta_ctx, r, bytes);
		return err;
	}
	region_init(r);
	*out = r;
	return 0;
}

static void region_drop(const struct mmkit_arena *a, struct region *r)
{
	unpublish(r);
	a->opt.meta_free(a->opt.meta_ctx, r, r->meta_bytes);
}

int mmkit_arena_grow(struct mmkit_arena *a, void *base, size_t size)
{
	struct region *r;
	int err = -ENFILE;
	u32 nr;

	arena_lock(&a->grow_word);
	nr = a->nr_regions;
	if (nr < MMKIT_ARENA_REGIONS)
		err = region_make(a, base, size, &r);
	if (!err) {
		a->region[nr] = r;
		__atomic_fetch_add(&a->nr_metadata, r->meta_bytes,
				   __ATOMIC_RELAXED);
		__atomic_store_n(&a->nr_regions, nr + 1, __ATOMIC_RELEASE);
	}
	arena_unlock(&a->grow_word);
	return err;
}

/* ---- arenas
 * ---------------------------------------------------------------- */

/* As many lanes as asked for, or as CPUs: a power of two. */
static u32 lanes_for(const struct mmkit_arena_options *o)
{
	u32 want = o->lanes, n = 1;
	cpu_set_t set;

	if (!want) {
		want = LANES_UNASKED;
		if (!sched_getaffinity(0, sizeof(set), &set))
			want = min((u32)CPU_COUNT(&set), want);
	}
	while (n < want)
		n *= 2;
	return n;
}

static int take_options(struct mmkit_arena_options *o)
{
	if (o->flags & ~(unsigned)KNOWN_FLAGS || o->lanes > MAX_LANES ||
	    !o->meta_alloc != !o->meta_free ||
	    (o->trim_align & (o->trim_align - 1)) ||
	    (o->trim_align && o->trim_align < PAGE_SIZE))
		return -EINVAL;
	if (!o->meta_alloc) {
		o->meta_alloc = map_meta;
		o->meta_free = unmap_meta;
	}
	if (!o->trim_align)
		o->trim_align = PAGE_SIZE;
	return 0;
}

static int arena_init(struct mmkit_arena *a, const void *base, size_t size)
{
	pthread_mutexattr_t attr;
	int err = region_make(a, base, size, &a->region[0]);

	if (err)
		return err;
	a->nr_regions = 1;
	a->nr_metadata = a->meta_bytes + a->region[0]->meta_bytes;
	a->base = a->region[0]->base;
	a->bytes = a->region[0]->nr << PAGE_SHIFT;
	a->page = a->region[0]->page;
	arena_classes_init(a);
	/* It can tell a callback that asks its own arena. */
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
	err = pthread_mutex_init(&a->trim, &attr);
	pthread_mutexattr_destroy(&attr);
	if (err)
		region_drop(a, a->region[0]);
	return -err;
}

static int arena_make(void *base, size_t size, struct mmkit_arena_options *o,
		      struct mmkit_arena **out)
{
	u64 first, end, bytes;
	int err = take_options(o);
	struct mmkit_arena *a;
	u32 lanes;

	if (!err)
		err = whole_pages(base, size, &first, &end);
	if (err)
		return err;
	lanes = lanes_for(o);
	bytes = sizeof(*a) + lanes * sizeof(struct lane);
	a = o->meta_alloc(o->meta_ctx, bytes);
	if (!a)
		return -ENOMEM;
	a->opt = *o;
	a->meta_bytes = bytes;
	a->lane = (struct lane *)(a + 1);
	a->lane_mask = lanes - 1;
	err = arena_init(a, base, size);
	if (err)
		o->meta_free(o->meta_ctx, a, bytes);
	else
		*out = a;
	return err;
}

struct mmkit_arena *
mmkit_arena_create_with(void *base, size_t size,
			const struct mmkit_arena_options *options, int *err)
{
	struct mmkit_arena_options o = {0};
	struct mmkit_arena *a = NULL;
	int e;

	if (options)
		o = *options;
	e = arena_make(base, size, &o, &a);
	if (e)
		errno = -e;
	if (e && err)
		*err = e;
	return a;
}

struct mmkit_arena *mmkit_arena_create(void *base, size_t size, unsigned flags,
				       int *err)
{
	const struct mmkit_arena_options o = {.flags = flags};

	return mmkit_arena_create_with(base, size, &o, err);
}

struct leaks {
	struct mmkit_arena *a;
	size_t nr;
};

static int leak(void *ctx, void *p, size_t size)
{
	struct leaks *l = ctx;

	l->nr++;
	if (l->a->opt.flags & MMKIT_ARENA_REPORT_LEAKS)
		arena_say(l->a, MMKIT_ARENA_LEAK, p, "%zu bytes are live",
			  size);
	return 0;
}

size_t mmkit_arena_destroy(struct mmkit_arena *a)
{
	struct leaks leaks = {.a = a};
	struct mmkit_arena_options o;
	struct meta_chunk *next;

	if (!a)
		return 0;
	mmkit_arena_each_object(a, leak, &leaks);
	o = a->opt;
	for (u32 i = 0; i < a->nr_regions; i++)
		region_drop(a, a->region[i]);
	for (struct meta_chunk *c = a->chunks; c; c = next) {
		next = c->next;
		o.meta_free(o.meta_ctx, c, CHUNK_BYTES);
	}
	pthread_mutex_destroy(&a->trim);
	o.meta_free(o.meta_ctx, a, a->meta_bytes);
	return leaks.nr;
}
