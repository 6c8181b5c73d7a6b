/* SPDX-License-Identifier: MIT */
/*
 * Arenas over memory of the caller: what each function promises, that nothing
 * of theirs is ever in that memory, what broken callers get, and that the
 * checker finds each kind of damage.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "arena_priv.h"
#include "base_seed.h"
#include "host_priv.h"

#define PG   4096ul
#define KiB  1024ul
#define MiB  (1024 * KiB)
#define MAPS (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)

/* ---- what the arena says
 * --------------------------------------------------- */

static struct {
	int nr;
	enum mmkit_arena_event event;
	const void *p;
	char text[256];
} said;

static void hear(void *ctx, enum mmkit_arena_event event, const void *p,
		 const char *text)
{
	(void)ctx;
	said.nr++;
	said.event = event;
	said.p = p;
	snprintf(said.text, sizeof(said.text), "%s", text);
}

static char *region(size_t bytes, int prot)
{
	char *p = mmap(NULL, bytes, prot, MAPS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

#define RW (PROT_READ | PROT_WRITE)

static struct mmkit_arena *make(void *base, size_t size, unsigned flags)
{
	const struct mmkit_arena_options o = {
		.flags = flags, .lanes = 2, .report = hear};
	struct mmkit_arena *a = mmkit_arena_create_with(base, size, &o, NULL);

	assert_non_null(a);
	memset(&said, 0, sizeof(said));
	return a;
}

static struct mmkit_arena_stats stats(struct mmkit_arena *a)
{
	struct mmkit_arena_stats st;

	mmkit_arena_stats(a, &st);
	return st;
}

static void sound(struct mmkit_arena *a)
{
	if (mmkit_arena_check(a))
		fail_msg("%s", said.text);
}

/* ---- making
 * ---------------------------------------------------------------- */

static void refused(void *base, size_t size,
		    const struct mmkit_arena_options *o, int want)
{
	int err = 12345;

	errno = 0;
	assert_null(mmkit_arena_create_with(base, size, o, &err));
	assert_int_equal(err, want);
	assert_int_equal(errno, -want);
}

static void *no_meta(void *ctx, size_t bytes)
{
	(void)ctx;
	(void)bytes;
	return NULL;
}

static void test_create_errors(void **arg)
{
	char *p = region(8 * MiB, RW);
	struct mmkit_arena_options bad[] = {{.flags = 8},
					    {.lanes = 65},
					    {.trim_align = 100},
					    {.trim_align = 2048},
					    {.meta_alloc = no_meta}};
	struct mmkit_arena *a, *b;
	int err = 12345;

	(void)arg;
	refused(NULL, MiB, NULL, -EINVAL);
	refused(p, 0, NULL, -EINVAL);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		refused(p, MiB, &bad[i], -EINVAL);
	refused(p, -(size_t)p, NULL, -EOVERFLOW);
	refused(p, SIZE_MAX, NULL, -EOVERFLOW);
	refused(p, PG - 1, NULL, -ENOSPC);
	refused(p + 1, 2 * PG - 2, NULL, -ENOSPC);
	refused(p, (1ul << 32) * PG, NULL, -E2BIG);
	a = mmkit_arena_create(p + 2 * MiB, 2 * MiB, 0, &err);
	assert_non_null(a);
	assert_int_equal(err, 12345);
	refused(p, 2 * MiB + 4096, NULL, -EEXIST);
	refused(p + 4 * MiB - PG, PG, NULL, -EEXIST);
	refused(p + 3 * MiB, PG, NULL, -EEXIST);
	refused(p, 8 * MiB, NULL, -EEXIST);
	/* Page for page its neighbours, and what shares no whole page. */
	b = mmkit_arena_create(p + 4 * MiB - 100, MiB, 0, NULL);
	assert_non_null(b);
	assert_int_equal(mmkit_arena_grow(b, p, 2 * MiB + 100), 0);
	assert_int_equal(mmkit_arena_grow(b, p, PG), -EEXIST);
	assert_int_equal(mmkit_arena_grow(a, p + MiB, PG), -EEXIST);
	assert_int_equal(mmkit_arena_grow(a, NULL, PG), -EINVAL);
	assert_int_equal(mmkit_arena_grow(a, p + 6 * MiB, 1), -ENOSPC);
	assert_int_equal(stats(a).regions, 1);
	assert_int_equal(stats(b).regions, 2);
	assert_int_equal(mmkit_arena_destroy(a), 0);
	assert_int_equal(mmkit_arena_destroy(b), 0);
	assert_int_equal(mmkit_arena_destroy(NULL), 0);
	a = mmkit_arena_create(p, 8 * MiB, 0, &err);
	assert_non_null(a);
	mmkit_arena_destroy(a);
	munmap(p, 8 * MiB);
}

/* RAM of a machine in the same program is not for an arena. */
static void test_machine(void **arg)
{
	struct host_config cfg = {.cpus = 1, .ram_max = 64 * MiB};
	struct mmkit_arena *a;
	char *p, *ram;

	(void)arg;
	assert_int_equal(host_init(&cfg), 0);
	ram = host_ram_base;
	refused(ram + MiB, MiB, NULL, -EBUSY);
	refused(ram + 64 * MiB - PG, PG, NULL, -EBUSY);
	p = region(MiB, RW);
	a = make(p, MiB, 0);
	assert_int_equal(mmkit_arena_grow(a, ram, PG), -EBUSY);
	mmkit_arena_destroy(a);
	munmap(p, MiB);
	assert_int_equal(host_shutdown(), 0);
}

static void test_odd_ends(void **arg)
{
	char *p = region(64 * PG, RW);

	(void)arg;
	for (size_t head = 0; head < 3 * PG; head += 511) {
		for (size_t size = PG; size < 20 * PG; size += 1777) {
			uintptr_t from = ALIGN((uintptr_t)p + head, PG);
			uintptr_t to =
				ALIGN_DOWN((uintptr_t)p + head + size, PG);
			struct mmkit_arena *a;
			struct mmkit_arena_stats st;
			size_t n = (to - from) / PG;

			if (to <= from)
				continue;
			a = make(p + head, size, 0);
			st = stats(a);
			assert_int_equal(st.managed, n * PG);
			assert_int_equal(st.cut_off, size - n * PG);
			assert_int_equal(st.largest_free, n);
			assert_ptr_equal(mmkit_arena_alloc_exact(a, n, 0),
					 (void *)from);
			assert_null(mmkit_arena_alloc(a, 1));
			assert_true(mmkit_arena_owns(a, (void *)from));
			assert_true(mmkit_arena_owns(a, (char *)to - 1));
			assert_false(mmkit_arena_owns(a, (char *)from - 1));
			assert_false(mmkit_arena_owns(a, (void *)to));
			sound(a);
			assert_int_equal(mmkit_arena_destroy(a), 1);
		}
	}
	munmap(p, 64 * PG);
}

/* More arenas than a machine has nodes, all of them at work. */
static void test_many(void **arg)
{
	enum { NR = 200 };
	static struct mmkit_arena *a[NR];
	char *p = region(NR * 64 * KiB, RW);

	(void)arg;
	for (size_t i = 0; i < NR; i++)
		a[i] = make(p + i * 64 * KiB, 64 * KiB, 0);
	for (size_t n = 0; n < 20; n++) {
		for (size_t i = 0; i < NR; i++) {
			char *q = mmkit_arena_alloc(a[i], 100);

			assert_true(q >= p + i * 64 * KiB &&
				    q < p + (i + 1) * 64 * KiB);
		}
	}
	for (size_t i = 0; i < NR; i++) {
		assert_int_equal(stats(a[i]).objects, 20);
		assert_int_equal(mmkit_arena_destroy(a[i]), 20);
	}
	munmap(p, NR * 64 * KiB);
}

/* ---- nothing is touched
 * ---------------------------------------------------- */

/* All that an arena does, on memory that nobody can touch. */
static void exercise(struct mmkit_arena *a, size_t bytes)
{
	static void *p[4000];
	struct prng rng;
	size_t nr = 0;

	test_seed(&rng, "arena_untouched");
	for (u64 n = 0; n < 20000; n++) {
		u64 r = prng_below(&rng, 100);

		if (nr == ARRAY_SIZE(p) || (nr && r < 45)) {
			size_t k = prng_below(&rng, nr);

			assert_int_equal(mmkit_arena_free(a, p[k]), 0);
			p[k] = p[--nr];
			continue;
		}
		if (r < 90)
			p[nr] = mmkit_arena_alloc(
				a, prng_below(&rng, r < 80 ? 600 : 40000));
		else if (r < 95)
			p[nr] = mmkit_arena_alloc_aligned(
				a, 1ul << prng_below(&rng, 16),
				prng_below(&rng, 9000));
		else
			p[nr] = mmkit_arena_alloc_pages(
				a, (unsigned)prng_below(&rng, 6));
		nr += p[nr] != NULL;
		if (n % 2000 == 0)
			sound(a);
	}
	assert_true(nr > 100);
	while (nr)
		assert_int_equal(mmkit_arena_free(a, p[--nr]), 0);
	assert_int_equal(mmkit_arena_free(a, (void *)&rng), -EINVAL);
	sound(a);
	assert_int_equal(stats(a).managed, bytes);
	assert_int_equal(stats(a).objects, 0);
}

static int keep(void *ctx, void *p, size_t bytes)
{
	(void)p;
	*(size_t *)ctx += bytes;
	return 0;
}

static void test_prot_none(void **arg)
{
	char *p = region(16 * MiB, PROT_NONE), *q;
	struct mmkit_arena *a = make(p, 8 * MiB, MMKIT_ARENA_NO_ACCESS);
	size_t sum = 0;

	(void)arg;
	exercise(a, 8 * MiB);
	assert_int_equal(mmkit_arena_grow(a, p + 10 * MiB, 6 * MiB), 0);
	exercise(a, 14 * MiB);
	assert_true(mmkit_arena_trim(a, keep, &sum) > 4 * MiB);
	assert_true(sum > 4 * MiB);
	errno = 0;
	assert_null(mmkit_arena_calloc(a, 1, 10));
	assert_int_equal(errno, EOPNOTSUPP);
	q = mmkit_arena_alloc(a, 1000);
	errno = 0;
	assert_null(mmkit_arena_realloc(a, q, 2000));
	assert_int_equal(errno, EOPNOTSUPP);
	assert_int_equal(mmkit_arena_usable_size(a, q), 1024);
	assert_ptr_equal(mmkit_arena_realloc(a, q, 10), q);
	mmkit_arena_free(a, q);
	/* Runs change where they are. */
	q = mmkit_arena_alloc(a, 100 * KiB);
	assert_ptr_equal(mmkit_arena_realloc(a, q, 50 * KiB), q);
	assert_ptr_equal(mmkit_arena_realloc(a, q, 90 * KiB), q);
	assert_int_equal(mmkit_arena_usable_size(a, q), 92 * KiB);
	assert_int_equal(mmkit_arena_destroy(a), 1);
	munmap(p, 16 * MiB);
}

static void test_pattern(void **arg)
{
	const size_t bytes = 4 * MiB;
	u64 *p = (u64 *)region(bytes, RW);
	struct mmkit_arena *a;
	char *q;

	(void)arg;
	for (size_t i = 0; i < bytes / 8; i++)
		p[i] = i * 0x9e3779b97f4a7c15ul;
	a = make(p, bytes, 0);
	exercise(a, bytes);
	for (size_t i = 0; i < bytes / 8; i++)
		assert_true(p[i] == i * 0x9e3779b97f4a7c15ul);
	/* calloc and a realloc that copies write what was asked for. */
	q = mmkit_arena_calloc(a, 3, 50);
	for (size_t i = 0; i < 150; i++)
		assert_int_equal(q[i], 0);
	memset(q, 7, 150);
	q = mmkit_arena_realloc(a, q, 5000);
	for (size_t i = 0; i < 150; i++)
		assert_int_equal(q[i], 7);
	mmkit_arena_free(a, q);
	{
		size_t changed = 0;

		for (size_t i = 0; i < bytes / 8; i++)
			changed += p[i] != i * 0x9e3779b97f4a7c15ul;
		assert_true(changed <= 2 * (150 + 15) / 8 + 2);
	}
	mmkit_arena_destroy(a);
	munmap(p, bytes);
}

/* ---- objects
 * --------------------------------------------------------------- */

static void test_sizes(void **arg)
{
	char *p = region(16 * MiB, RW);
	struct mmkit_arena *a = make(p, 16 * MiB, 0);
	size_t last = 0;

	(void)arg;
	for (size_t size = 0; size < 20000; size += 1 + size / 40) {
		char *q = mmkit_arena_alloc(a, size);
		size_t use = mmkit_arena_usable_size(a, q);

		assert_non_null(q);
		assert_true(use >= size && use >= last);
		assert_true(size < 64 || use <= size + size / 8 + 16 ||
			    (size > MMKIT_ARENA_SMALL && use < size + PG));
		assert_int_equal((uintptr_t)q % (size <= 8 ? 8 : 16), 0);
		last = use;
		assert_int_equal(mmkit_arena_free(a, q), 0);
		assert_int_equal(mmkit_arena_usable_size(a, q), 0);
	}
	for (size_t align = 1; align <= 4 * MiB; align *= 2) {
		for (size_t size = 0; size < 20000; size += 1777) {
			char *q = mmkit_arena_alloc_aligned(a, align, size);

			assert_non_null(q);
			assert_int_equal((uintptr_t)q % align, 0);
			assert_true(mmkit_arena_usable_size(a, q) >= size);
			mmkit_arena_free(a, q);
		}
	}
	errno = 0;
	assert_null(mmkit_arena_alloc_aligned(a, 48, 1));
	assert_int_equal(errno, EINVAL);
	errno = 0;
	assert_null(mmkit_arena_alloc(a, SIZE_MAX));
	assert_int_equal(errno, ENOMEM);
	assert_null(mmkit_arena_alloc_aligned(a, 1ul << 63, SIZE_MAX));
	assert_null(mmkit_arena_calloc(a, SIZE_MAX / 2, 3));
	assert_int_equal(stats(a).failures, 3);
	sound(a);
	mmkit_arena_destroy(a);
	munmap(p, 16 * MiB);
}

static void test_resize(void **arg)
{
	char *p = region(8 * MiB, RW);
	struct mmkit_arena *a = make(p, 8 * MiB, 0);
	unsigned char *q = mmkit_arena_realloc(a, NULL, 1);
	size_t size = 1;

	(void)arg;
	q[0] = 0;
	while (size < MiB) {
		size_t next = size + size / 3 + 1;

		q = mmkit_arena_realloc(a, q, next);
		assert_non_null(q);
		for (size_t i = 0; i < size; i++)
			assert_int_equal(q[i], i % 251);
		for (size_t i = size; i < next; i++)
			q[i] = (unsigned char)(i % 251);
		size = next;
	}
	while (size > 1) {
		size = size * 2 / 3;
		q = mmkit_arena_realloc(a, q, size);
		for (size_t i = 0; i < size; i++)
			assert_int_equal(q[i], i % 251);
		assert_true(mmkit_arena_usable_size(a, q) < 2 * size + PG);
	}
	errno = 0;
	assert_null(mmkit_arena_realloc(a, q, 16 * MiB));
	assert_int_equal(errno, ENOMEM);
	assert_true(mmkit_arena_usable_size(a, q) > 0);
	assert_null(mmkit_arena_realloc(a, q, 0));
	assert_int_equal(mmkit_arena_destroy(a), 0);
	munmap(p, 8 * MiB);
}

/* Clean pages of a zeroed region stay as they are: they are known. */
static void test_zeroed(void **arg)
{
	char *p = region(MiB, RW), *q;
	struct mmkit_arena *a;
	size_t sum = 0;

	(void)arg;
	memset(p, 5, MiB); /* a lie, to see who writes */
	a = make(p, MiB, MMKIT_ARENA_ZEROED);
	q = mmkit_arena_calloc(a, 1, 20000);
	assert_int_equal(q[0], 5);
	assert_int_equal(q[19999], 5);
	mmkit_arena_free(a, q);
	assert_ptr_equal(mmkit_arena_calloc(a, 1, 20000), q);
	assert_int_equal(q[0], 0);
	assert_int_equal(q[19999], 0);
	memset(q, 5, 20000);
	mmkit_arena_free(a, q);
	assert_int_equal(mmkit_arena_trim(a, keep, &sum), 5 * PG);
	assert_int_equal(sum, 5 * PG);
	assert_ptr_equal(mmkit_arena_calloc(a, 1, 20000), q);
	assert_int_equal(q[0], 5);
	mmkit_arena_destroy(a);
	a = make(p, MiB, 0);
	q = mmkit_arena_calloc(a, 1, 20000);
	assert_int_equal(q[19999], 0);
	mmkit_arena_destroy(a);
	munmap(p, MiB);
}

/* A request fails only when nobody has an object: not the slabs of another
 * lane, not those of other classes that are empty. */
struct other {
	struct mmkit_arena *a;
	void *got;
};

static void *take_one(void *arg)
{
	struct other *o = arg;

	o->got = mmkit_arena_alloc(o->a, 64);
	return NULL;
}

static void test_full(void **arg)
{
	enum { NR = 32 * 4096 / 64 };
	char *p = region(32 * PG, RW);
	struct mmkit_arena *a = make(p, 32 * PG, 0);
	static void *q[NR];
	struct other o = {.a = a};
	size_t meta;

	(void)arg;
	for (size_t i = 0; i < NR; i++) {
		q[i] = mmkit_arena_alloc(a, 64);
		assert_non_null(q[i]);
	}
	assert_null(mmkit_arena_alloc(a, 64));
	assert_int_equal(stats(a).least_free, 0);
	/* Failing costs nothing. */
	meta = stats(a).metadata;
	for (size_t i = 0; i < 2000; i++)
		assert_null(mmkit_arena_alloc(a, 64));
	assert_int_equal(stats(a).metadata, meta);
	assert_int_equal(stats(a).failures, 2001);
	for (int i = 0; i < 8; i++) {
		pthread_t t;

		mmkit_arena_free(a, q[i * 5]);
		assert_int_equal(pthread_create(&t, NULL, take_one, &o), 0);
		pthread_join(t, NULL);
		assert_ptr_equal(o.got, q[i * 5]);
	}
	sound(a);
	for (size_t i = 0; i < NR; i++)
		assert_int_equal(mmkit_arena_free(a, q[i]), 0);
	/* An empty slab that was kept is no reason to fail. */
	assert_ptr_equal(mmkit_arena_alloc_exact(a, 32, 0), p);
	/* Eight pages for a slab there are not; two will do. */
	assert_int_equal(mmkit_arena_free_pages(a, p + 3 * PG, 2), 0);
	assert_ptr_equal(mmkit_arena_alloc(a, 8192), p + 3 * PG);
	sound(a);
	mmkit_arena_destroy(a);
	munmap(p, 32 * PG);
}

/* ---- pages
 * ----------------------------------------------------------------- */

static void test_orders(void **arg)
{
	char *map = region(40 * MiB, PROT_NONE);
	char *p = map + 12 * PG;
	struct mmkit_arena *a = make(p, 33 * MiB, MMKIT_ARENA_NO_ACCESS);
	struct mmkit_arena_stats first = stats(a), st;

	(void)arg;
	for (unsigned o = 0; o < 13; o++) {
		char *q = mmkit_arena_alloc_pages(a, o);

		assert_non_null(q);
		assert_int_equal((uintptr_t)q % (PG << o), 0);
		assert_int_equal(mmkit_arena_usable_size(a, q), PG << o);
		st = stats(a);
		assert_int_equal(st.free_pages, first.free_pages - (1ul << o));
		sound(a);
		mmkit_arena_free(a, q);
		st = stats(a);
		assert_memory_equal(st.free_blocks, first.free_blocks,
				    sizeof(st.free_blocks));
	}
	errno = 0;
	assert_null(mmkit_arena_alloc_pages(a, 31));
	assert_int_equal(errno, ENOMEM);
	assert_null(mmkit_arena_alloc_pages(a, 32));
	assert_int_equal(errno, EINVAL);
	assert_null(mmkit_arena_alloc_exact(a, 0, 0));
	assert_null(mmkit_arena_alloc_exact(a, 1, 3 * PG));
	assert_int_equal(errno, EINVAL);
	/* All of it in one piece, though it is no block. */
	assert_ptr_equal(mmkit_arena_alloc_exact(a, 33 * 256, 0), p);
	mmkit_arena_destroy(a);
	munmap(map, 40 * MiB);
}

/* Parts of runs, exact places, neighbours that are no buddies. */
static void test_ranges(void **arg)
{
	char *map = region(2 * MiB, PROT_NONE);
	char *p = (char *)ALIGN((uintptr_t)map, MiB);
	struct mmkit_arena *a = make(p, 256 * PG, MMKIT_ARENA_NO_ACCESS);

	(void)arg;
	assert_int_equal(mmkit_arena_claim(a, p + 10 * PG, 20), 0);
	assert_int_equal(mmkit_arena_claim(a, p + 29 * PG, 2), -EBUSY);
	assert_int_equal(mmkit_arena_claim(a, p + 250 * PG, 7), -EINVAL);
	assert_int_equal(mmkit_arena_claim(a, p + 250 * PG, SIZE_MAX), -EINVAL);
	assert_int_equal(mmkit_arena_claim(a, p + 1, 1), -EINVAL);
	assert_int_equal(mmkit_arena_claim(a, p, 0), -EINVAL);
	assert_int_equal(mmkit_arena_claim(a, p - PG, 1), -EINVAL);
	assert_int_equal(mmkit_arena_free_pages(a, p + 15 * PG, 5), 0);
	assert_int_equal(mmkit_arena_usable_size(a, p + 10 * PG), 5 * PG);
	assert_int_equal(mmkit_arena_usable_size(a, p + 20 * PG), 10 * PG);
	sound(a);
	assert_int_equal(said.nr, 0);
	assert_int_equal(mmkit_arena_free_pages(a, p + 14 * PG, 2), -EINVAL);
	assert_int_equal(mmkit_arena_free_pages(a, p + 15 * PG, 1), -EINVAL);
	assert_int_equal(mmkit_arena_free_pages(a, p + 10 * PG, 0), -EINVAL);
	assert_int_equal(mmkit_arena_free_pages(a, p + 29 * PG, SIZE_MAX),
			 -EINVAL);
	assert_int_equal(said.nr, 4);
	assert_int_equal(mmkit_arena_free_pages(a, p + 10 * PG, 5), 0);
	assert_int_equal(mmkit_arena_free_pages(a, p + 29 * PG, 1), 0);
	assert_int_equal(mmkit_arena_free_pages(a, p + 20 * PG, 9), 0);
	assert_int_equal(stats(a).largest_free, 256);
	assert_int_equal(stats(a).free_blocks[8], 1);
	/* 60 pages that no block of 64 has: two of 32 that are no buddies. */
	assert_int_equal(mmkit_arena_claim(a, p, 32), 0);
	assert_int_equal(mmkit_arena_claim(a, p + 96 * PG, 160), 0);
	assert_ptr_equal(mmkit_arena_alloc_exact(a, 60, 4 * PG), p + 32 * PG);
	assert_null(mmkit_arena_alloc_exact(a, 5, 0));
	assert_ptr_equal(mmkit_arena_alloc_exact(a, 4, 0), p + 92 * PG);
	sound(a);
	assert_int_equal(mmkit_arena_destroy(a), 4);
	munmap(map, 2 * MiB);
}

/* Much more than there is memory; tables are touched as pages are used. */
static void test_vast(void **arg)
{
	const size_t bytes = 64ul << 30;
	char *p = region(bytes, PROT_NONE);
	struct mmkit_arena *a = make(p, bytes, MMKIT_ARENA_NO_ACCESS);

	(void)arg;
	assert_int_equal(stats(a).free_pages, bytes / PG);
	assert_int_equal(mmkit_arena_claim(a, p + bytes - PG, 1), 0);
	assert_int_equal(mmkit_arena_claim(a, p + bytes / 2 + PG, 1), 0);
	assert_non_null(mmkit_arena_alloc(a, 100));
	assert_int_equal(mmkit_arena_destroy(a), 3);
	munmap(p, bytes);
}

static void test_regions(void **arg)
{
	char *p = region(70 * 64 * KiB, RW);
	struct mmkit_arena *a = make(p, 32 * KiB, 0);
	void *q[65];

	(void)arg;
	for (size_t i = 1; i < 64; i++)
		assert_int_equal(
			mmkit_arena_grow(a, p + i * 64 * KiB, 32 * KiB), 0);
	assert_int_equal(mmkit_arena_grow(a, p + 64 * 64 * KiB, 32 * KiB),
			 -ENFILE);
	for (size_t i = 0; i < 64; i++) {
		q[i] = mmkit_arena_alloc(a, 32 * KiB);
		assert_ptr_equal(q[i], p + i * 64 * KiB);
	}
	assert_null(mmkit_arena_alloc(a, 1));
	assert_int_equal(mmkit_arena_free(a, q[50]), 0);
	q[50] = mmkit_arena_alloc(a, 1);
	assert_in_range((char *)q[50] - p, 50 * 64 * KiB,
			50 * 64 * KiB + 32 * KiB - 1);
	assert_int_equal(mmkit_arena_free(a, q[50]), 0);
	assert_int_equal(mmkit_arena_free(a, q[50]), -EINVAL);
	assert_int_equal(said.event, MMKIT_ARENA_DOUBLE_FREE);
	assert_int_equal(mmkit_arena_free(a, p + 40 * KiB), -EINVAL);
	assert_int_equal(said.event, MMKIT_ARENA_FOREIGN);
	sound(a);
	assert_int_equal(mmkit_arena_destroy(a), 63);
	munmap(p, 70 * 64 * KiB);
}

/* ---- misuse
 * ---------------------------------------------------------------- */

static void told(struct mmkit_arena *a, void *p, enum mmkit_arena_event event)
{
	struct mmkit_arena_stats before = stats(a), after;
	int nr = said.nr;

	assert_int_equal(mmkit_arena_free(a, p), -EINVAL);
	assert_int_equal(said.nr, nr + 1);
	assert_int_equal(said.event, event);
	assert_ptr_equal(said.p, p);
	errno = 0;
	assert_null(mmkit_arena_realloc(a, p, 10));
	assert_int_equal(errno, EINVAL);
	assert_int_equal(said.nr, nr + 2);
	assert_int_equal(said.event, event);
	assert_int_equal(mmkit_arena_usable_size(a, p), 0);
	after = stats(a);
	assert_int_equal(after.misuses, before.misuses + 2);
	after.misuses = before.misuses;
	assert_memory_equal(&before, &after, sizeof(before));
	sound(a);
}

static void test_misuse(void **arg)
{
	char *p = region(4 * MiB, RW);
	struct mmkit_arena *a = make(p, 2 * MiB, 0);
	char *small[40], *run = mmkit_arena_alloc(a, 5 * PG), local;

	(void)arg;
	for (int i = 0; i < 40; i++)
		small[i] = mmkit_arena_alloc(a, 208);
	assert_int_equal(mmkit_arena_free(a, NULL), 0);
	assert_int_equal(said.nr, 0);
	told(a, &local, MMKIT_ARENA_FOREIGN);
	told(a, p + 3 * MiB, MMKIT_ARENA_FOREIGN);
	told(a, small[3] + 1, MMKIT_ARENA_INTERIOR);
	told(a, small[3] + 16, MMKIT_ARENA_INTERIOR);
	told(a, small[3] + 207, MMKIT_ARENA_INTERIOR);
	assert_non_null(strstr(said.text, "(208 bytes at "));
	/* Behind the last object of a slab. */
	told(a, (char *)PAGE_ALIGN((uintptr_t)small[3]) - 1,
	     MMKIT_ARENA_INTERIOR);
	told(a, (char *)PAGE_ALIGN_DOWN((uintptr_t)small[3]) + 19ul * 208,
	     MMKIT_ARENA_INTERIOR);
	assert_non_null(strstr(said.text, "behind a slab's last object"));
	told(a, run + 1, MMKIT_ARENA_INTERIOR);
	told(a, run + PG, MMKIT_ARENA_INTERIOR);
	told(a, run + 5 * PG - 1, MMKIT_ARENA_INTERIOR);
	told(a, p + 2 * MiB - PG, MMKIT_ARENA_DOUBLE_FREE);
	told(a, p + 2 * MiB - 5, MMKIT_ARENA_DOUBLE_FREE);
	mmkit_arena_free(a, small[3]);
	told(a, small[3], MMKIT_ARENA_DOUBLE_FREE);
	assert_non_null(strstr(said.text, "a free object"));
	mmkit_arena_free(a, run);
	told(a, run, MMKIT_ARENA_DOUBLE_FREE);
	told(a, run + PG, MMKIT_ARENA_DOUBLE_FREE);
	for (int i = 0; i < 40; i++) {
		if (i != 3)
			assert_int_equal(mmkit_arena_free(a, small[i]), 0);
	}
	/* Their slabs are gone, or all free. */
	for (int i = 0; i < 40; i++)
		told(a, small[i], MMKIT_ARENA_DOUBLE_FREE);
	mmkit_arena_destroy(a);
	munmap(p, 4 * MiB);
}

static void test_leaks(void **arg)
{
	char *p = region(MiB, RW);
	struct mmkit_arena *a = make(p, MiB, MMKIT_ARENA_REPORT_LEAKS);
	void *q = mmkit_arena_alloc(a, 100), *r = mmkit_arena_alloc(a, 10000);

	(void)arg;
	mmkit_arena_free(a, mmkit_arena_alloc(a, 100));
	assert_int_equal(mmkit_arena_destroy(a), 2);
	assert_int_equal(said.nr, 2);
	assert_int_equal(said.event, MMKIT_ARENA_LEAK);
	assert_true(said.p == q || said.p == r);
	a = make(p, MiB, 0);
	mmkit_arena_alloc(a, 100);
	assert_int_equal(mmkit_arena_destroy(a), 1);
	assert_int_equal(said.nr, 0);
	munmap(p, MiB);
}

/* ---- tables that cannot be had
 * --------------------------------------------- */

struct budget {
	long left;
	size_t bytes;
};

static void *meta_get(void *ctx, size_t bytes)
{
	struct budget *b = ctx;
	void *p;

	if (!b->left)
		return NULL;
	b->left--;
	b->bytes += bytes;
	p = aligned_alloc(64, ALIGN(bytes, 64ul));
	return p ? memset(p, 0, bytes) : NULL;
}

static void meta_put(void *ctx, void *p, size_t bytes)
{
	struct budget *b = ctx;

	b->bytes -= bytes;
	free(p);
}

/* Some of everything; how many steps failed. Each failure changes nothing. */
static int some_of_all(struct mmkit_arena *a, char *more)
{
	static void *p[1200];
	int failed = 0;

	if (mmkit_arena_grow(a, more, MiB)) {
		assert_int_equal(stats(a).regions, 1);
		failed++;
	}
	for (int i = 0; i < 1200; i++) {
		errno = 0;
		p[i] = mmkit_arena_alloc(a, 4096);
		if (!p[i]) {
			assert_int_equal(errno, ENOMEM);
			failed++;
		}
	}
	sound(a);
	for (int i = 0; i < 1200; i++)
		mmkit_arena_free(a, p[i]);
	/* Whole pages need no tables. */
	assert_int_equal(mmkit_arena_free(a, mmkit_arena_alloc(a, 9000)), 0);
	sound(a);
	return failed;
}

static void test_meta_fails(void **arg)
{
	char *p = region(16 * MiB, PROT_NONE);
	int made = 0, full = 0;

	(void)arg;
	for (long n = 0; n < 8; n++) {
		struct budget b = {.left = n};
		const struct mmkit_arena_options o = {.meta_alloc = meta_get,
						      .meta_free = meta_put,
						      .meta_ctx = &b,
						      .report = hear,
						      .lanes = 1};
		int err = 0;
		struct mmkit_arena *a =
			mmkit_arena_create_with(p, 12 * MiB, &o, &err);

		if (!a) {
			assert_int_equal(err, -ENOMEM);
			assert_int_equal(b.bytes, 0);
			continue;
		}
		made++;
		assert_int_equal(stats(a).metadata, b.bytes);
		if (!some_of_all(a, p + 13 * MiB))
			full++;
		assert_int_equal(stats(a).metadata, b.bytes);
		assert_int_equal(mmkit_arena_destroy(a), 0);
		assert_int_equal(b.bytes, 0);
	}
	assert_int_equal(made, 6);
	assert_in_range(full, 1, 4);
	munmap(p, 16 * MiB);
}

/* ---- giving back
 * ----------------------------------------------------------- */

static int punch(void *ctx, void *p, size_t bytes)
{
	(void)ctx;
	return madvise(p, bytes, MADV_REMOVE);
}

static off_t blocks(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return st.st_blocks / 8;
}

static void test_file(void **arg)
{
	int fd = memfd_create("arena", MFD_CLOEXEC);
	struct mmkit_arena *a;
	char *p, *q, *r;

	(void)arg;
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 8 * MiB), 0);
	p = mmap(NULL, 8 * MiB, RW, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(p, MAP_FAILED);
	a = make(p, 8 * MiB, MMKIT_ARENA_ZEROED);
	assert_int_equal(blocks(fd), 0);
	q = mmkit_arena_alloc(a, MiB);
	r = mmkit_arena_alloc(a, 64 * KiB);
	assert_int_equal(blocks(fd), 0);
	memset(q, 1, MiB);
	memset(r, 2, 64 * KiB);
	assert_int_equal(blocks(fd), 256 + 16);
	mmkit_arena_free(a, q);
	assert_int_equal(stats(a).dirty_pages, 256);
	assert_int_equal(mmkit_arena_trim(a, punch, NULL), MiB);
	assert_int_equal(blocks(fd), 16);
	assert_int_equal(stats(a).dirty_pages, 0);
	assert_int_equal(stats(a).given_back, MiB);
	assert_int_equal(mmkit_arena_trim(a, punch, NULL), 0);
	/* Known to be zero: not even read. */
	assert_non_null(mmkit_arena_calloc(a, 1, 2 * MiB));
	assert_int_equal(blocks(fd), 16);
	sound(a);
	assert_int_equal(mmkit_arena_destroy(a), 2);
	/* A later run takes over what the file has. */
	a = make(p, 8 * MiB, 0);
	assert_int_equal(mmkit_arena_claim(a, r, 16), 0);
	assert_int_equal(r[12345], 2);
	assert_int_equal(mmkit_arena_free(a, r), 0);
	assert_int_equal(mmkit_arena_trim(a, punch, NULL), 64 * KiB);
	assert_int_equal(blocks(fd), 0);
	mmkit_arena_destroy(a);
	munmap(p, 8 * MiB);
	close(fd);
}

struct given {
	size_t nr, bytes, unit;
	int fail_at;
};

static int record(void *ctx, void *p, size_t bytes)
{
	struct given *g = ctx;

	assert_int_equal((uintptr_t)p % g->unit, 0);
	assert_int_equal(bytes % g->unit, 0);
	assert_true(bytes > 0 && bytes <= 32 * MiB);
	if (g->fail_at && !--g->fail_at)
		return -1;
	g->nr++;
	g->bytes += bytes;
	return 0;
}

/* Units of 2 MiB: those that are wholly free and somewhere dirty. */
static void test_trim_units(void **arg)
{
	char *map = region(64 * MiB, PROT_NONE);
	char *p = (char *)ALIGN((uintptr_t)map, 2 * MiB);
	const struct mmkit_arena_options o = {.trim_align = 2 * MiB,
					      .report = hear,
					      .flags = MMKIT_ARENA_NO_ACCESS};
	struct mmkit_arena *a =
		mmkit_arena_create_with(p + MiB, 58 * MiB, &o, NULL);
	struct given g = {.unit = 2 * MiB};
	char *q, *r;

	(void)arg;
	assert_int_equal(mmkit_arena_trim(a, record, &g), 0);
	q = mmkit_arena_alloc_exact(a, 40 * 256, 2 * MiB);
	assert_ptr_equal(q, p + 2 * MiB);
	mmkit_arena_free(a, q);
	g.fail_at = 1;
	assert_int_equal(mmkit_arena_trim(a, record, &g), 0);
	assert_int_equal(g.nr, 0);
	g.fail_at = 2;
	assert_int_equal(mmkit_arena_trim(a, record, &g), 32 * MiB);
	sound(a);
	assert_int_equal(mmkit_arena_trim(a, record, &g), 8 * MiB);
	assert_int_equal(g.bytes, 40 * MiB);
	assert_int_equal(g.nr, 2);
	/* One page of a unit in use keeps all of it. */
	assert_int_equal(mmkit_arena_claim(a, p + 4 * MiB, 1024), 0);
	r = p + 5 * MiB;
	assert_int_equal(mmkit_arena_free_pages(a, p + 4 * MiB, 256), 0);
	assert_int_equal(mmkit_arena_free_pages(a, r + PG, 767), 0);
	assert_int_equal(mmkit_arena_trim(a, record, &g), 2 * MiB);
	assert_int_equal(stats(a).dirty_pages, 511);
	mmkit_arena_free(a, r);
	assert_int_equal(mmkit_arena_trim(a, record, &g), 2 * MiB);
	assert_int_equal(stats(a).dirty_pages, 0);
	assert_int_equal(stats(a).largest_free, 58 * 256);
	sound(a);
	mmkit_arena_destroy(a);
	munmap(map, 64 * MiB);
}

/* While a trim has all of the memory, others wait for it; its own callback
 * would for ever, and is refused. */
struct waiter {
	struct mmkit_arena *a;
	pthread_t t;
	void *got, *mine;
	int calls, claimed;
	char *p;
};

static void *want_all(void *arg)
{
	struct waiter *w = arg;

	w->got = mmkit_arena_alloc_exact(w->a, 16, 0);
	return NULL;
}

static int give_slowly(void *ctx, void *p, size_t bytes)
{
	struct waiter *w = ctx;

	(void)p;
	(void)bytes;
	w->mine = mmkit_arena_alloc(w->a, 1);
	w->claimed = mmkit_arena_claim(w->a, w->p, 1);
	if (!w->calls++)
		assert_int_equal(pthread_create(&w->t, NULL, want_all, w), 0);
	usleep(100000);
	return 0;
}

static void test_trim_wait(void **arg)
{
	char *p = region(16 * PG, RW);
	struct waiter w = {.a = make(p, 16 * PG, 0), .p = p};

	(void)arg;
	mmkit_arena_free(w.a, mmkit_arena_alloc_exact(w.a, 16, 0));
	assert_int_equal(mmkit_arena_trim(w.a, give_slowly, &w), 16 * PG);
	pthread_join(w.t, NULL);
	assert_int_equal(w.calls, 1);
	assert_null(w.mine);
	assert_int_equal(w.claimed, -EBUSY);
	assert_ptr_equal(w.got, p);
	sound(w.a);
	mmkit_arena_destroy(w.a);
	munmap(p, 16 * PG);
}

static void test_hugetlb(void **arg)
{
	const size_t bytes = 4 * MiB;
	char *p = mmap(NULL, bytes, RW,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	struct mmkit_arena *a;
	char *q;

	(void)arg;
	if (p == MAP_FAILED) {
		print_message("no huge pages reserved here (%s)\n",
			      strerror(errno));
		skip();
	}
	a = make(p, bytes, 0);
	q = mmkit_arena_alloc_pages(a, 9);
	assert_int_equal((uintptr_t)q % (2 * MiB), 0);
	memset(q, 1, 2 * MiB);
	memset(mmkit_arena_alloc(a, 100), 1, 100);
	sound(a);
	mmkit_arena_destroy(a);
	munmap(p, bytes);
}

/* ---- the checker
 * ----------------------------------------------------------- */

#define BREAK(field, value)                                        \
	do {                                                       \
		__typeof__(field) was_ = (field);                  \
		(field) = (value);                                 \
		assert_int_equal(mmkit_arena_check(a), -EUCLEAN);  \
		assert_int_equal(said.event, MMKIT_ARENA_CORRUPT); \
		(field) = was_;                                    \
		assert_int_equal(mmkit_arena_check(a), 0);         \
	} while (0)

static void test_checker(void **arg)
{
	char *map = region(2 * MiB, RW);
	char *p = (char *)ALIGN((uintptr_t)map, MiB);
	struct mmkit_arena *a = make(p, MiB, 0);
	struct region *r = a->region[0];
	struct slab *s, *t;
	char *small[60];
	u64 i, f;

	(void)arg;
	for (int k = 0; k < 60; k++)
		small[k] = mmkit_arena_alloc(a, 512);
	mmkit_arena_free(a, small[2]);
	sound(a);
	i = (u64)(small[2] - p) >> PAGE_SHIFT;
	s = word_slab(r->page[i].w);
	t = word_slab(r->page[(u64)(small[59] - p) >> PAGE_SHIFT].w);
	f = r->head[__builtin_ctz(r->orders)];
	assert_ptr_not_equal(s, t);
	BREAK(r->free, r->free + 1);
	BREAK(r->least_free, r->free + 1);
	BREAK(r->orders, r->orders | 1u << 30);
	BREAK(r->nr_free[20], 1);
	BREAK(r->head[20], (u32)f);
	BREAK(r->page[f].w, W_FREE | 40ul << 3);
	BREAK(r->page[f].w, W_NONE);
	BREAK(r->page[f].w, W_RUN | 500ul << 3);
	BREAK(r->page[f].w, W_RUN | 0ul << 3);
	BREAK(r->page[f].w, 7);
	BREAK(r->page[f].prev, 3);
	BREAK(r->page[f].next, 3);
	BREAK(r->page[255].w, W_RUN | 1ul << 3);
	BREAK(r->page[i].w, W_RUN | 1ul << 3);
	BREAK(r->dirty[0], r->dirty[0] & ~1ul);
	BREAK(s->nfree, 0);
	BREAK(s->avail, 0);
	BREAK(s->bits[0], ~s->bits[0]);
	BREAK(s->bits[7], 1);
	BREAK(s->size, 528);
	BREAK(s->class, 3);
	BREAK(s->lane, s->lane == a->lane ? a->lane + 1 : a->lane);
	BREAK(s->lane, a->lane + 2);
	BREAK(s->base, s->base + 16);
	BREAK(s->page, s->page + 1);
	BREAK(s->region, NULL);
	BREAK(s->nr, 100);
	BREAK(s->lane->partial[s->class], NULL);
	BREAK(s->lane->partial[s->class], t);
	BREAK(s->lane->partial[0], s);
	BREAK(s->lane->cur[s->class], s);
	mmkit_arena_destroy(a);
	munmap(map, 2 * MiB);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create_errors),
		cmocka_unit_test(test_machine),
		cmocka_unit_test(test_odd_ends),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_prot_none),
		cmocka_unit_test(test_pattern),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_resize),
		cmocka_unit_test(test_zeroed),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_orders),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_vast),
		cmocka_unit_test(test_regions),
		cmocka_unit_test(test_misuse),
		cmocka_unit_test(test_leaks),
		cmocka_unit_test(test_meta_fails),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_trim_units),
		cmocka_unit_test(test_trim_wait),
		cmocka_unit_test(test_hugetlb),
		cmocka_unit_test(test_checker),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
