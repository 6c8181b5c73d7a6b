/* SPDX-License-Identifier: MIT */
/*
 * Arenas against a model, in random order: objects of all sizes, runs, exact
 * places, parts of runs, trims that destroy what they are given, growth. Every
 * byte that is live is known and looked at; no page is in two hands; figures
 * and the list of objects are the model's. Then the same with eight threads
 * that free each other's objects while the arena is trimmed and checked.
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

#include <mmkit/arena.h>

#include "base_seed.h"

#define PG	4096ul
#define SPAN	(4096 * PG) /* of addresses; regions lie in it */
#define MOST	6000
#define NR_MAPS 4

/* ---- the model
 * ------------------------------------------------------------- */

struct obj {
	unsigned char *p;
	size_t size, use; /* asked for; usable */
	u32 seed;
	bool run;
};

static struct obj objs[MOST];
static size_t nr_objs;
static char *span;
static struct prng rng;
static struct mmkit_arena *arena;
static u32 next_seed;

/* Who has each unit of 8 bytes: index of the object + 1, or 0. */
static u16 *owner;

static void hear(void *ctx, enum mmkit_arena_event event, const void *p,
		 const char *text)
{
	(void)ctx;
	(void)p;
	if (event == MMKIT_ARENA_CORRUPT)
		fail_msg("%s", text);
}

static unsigned char byte_of(u32 seed, size_t i)
{
	return (unsigned char)(seed * 31 + i * 7 + (i >> 8));
}

static void fill(struct obj *o)
{
	for (size_t i = 0; i < o->size; i++)
		o->p[i] = byte_of(o->seed, i);
}

static void look(const struct obj *o, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (o->p[i] != byte_of(o->seed, i))
			fail_msg("byte %zu of %zu at %p is not its user's", i,
				 o->size, (void *)o->p);
	}
}

/* The units of P are WAS's now and become NEW's. */
static void own(const struct obj *o, u16 was, u16 new)
{
	size_t i = (size_t)((char *)o->p - span) / 8;

	assert_true((char *)o->p >= span &&
		    (char *)o->p + o->use <= span + SPAN);
	for (size_t end = i + o->use / 8; i < end; i++) {
		assert_int_equal(owner[i], was);
		owner[i] = new;
	}
}

static void add(void *p, size_t size, bool run)
{
	struct obj *o = &objs[nr_objs];

	*o = (struct obj){.p = p,
			  .size = size,
			  .use = mmkit_arena_usable_size(arena, p),
			  .seed = ++next_seed,
			  .run = run};
	assert_true(o->use >= size && mmkit_arena_owns(arena, p));
	nr_objs++;
	own(o, 0, (u16)nr_objs);
	fill(o);
}

static void del(size_t k)
{
	own(&objs[k], (u16)(k + 1), 0);
	nr_objs--;
	if (k == nr_objs)
		return;
	own(&objs[nr_objs], (u16)(nr_objs + 1), (u16)(k + 1));
	objs[k] = objs[nr_objs];
}

/* ---- operations
 * ------------------------------------------------------------ */

static size_t some_size(void)
{
	switch (prng_below(&rng, 8)) {
	case 0:
		return prng_below(&rng, 9000);
	case 1:
		return prng_below(&rng, 60000);
	default:
		return prng_below(&rng, 300);
	}
}

static void op_alloc(void)
{
	size_t size = some_size(), align = 1ul << prng_below(&rng, 15);
	void *p;

	switch (prng_below(&rng, 5)) {
	case 0:
		p = mmkit_arena_alloc_aligned(arena, align, size);
		assert_int_equal((uintptr_t)p % align, 0);
		break;
	case 1:
		p = mmkit_arena_calloc(arena, 1, size);
		for (size_t i = 0; p && i < size; i++)
			assert_int_equal(((char *)p)[i], 0);
		break;
	default:
		p = mmkit_arena_alloc(arena, size);
		break;
	}
	if (p)
		add(p, size, size > MMKIT_ARENA_SMALL);
}

static void op_pages(void)
{
	size_t n = 1 + prng_below(&rng, 40);
	unsigned order = (unsigned)prng_below(&rng, 6);
	char *p;

	if (prng_one_in(&rng, 2)) {
		p = mmkit_arena_alloc_exact(arena, n, 0);
	} else {
		n = 1ul << order;
		p = mmkit_arena_alloc_pages(arena, order);
		assert_int_equal((uintptr_t)p % (n * PG), 0);
	}
	if (p)
		add(p, n * PG, true);
}

/* Exactly there: works if and only if the model has nobody there. What slabs
 * keep free the model does not know, so a refusal may be theirs. */
static void op_claim(void)
{
	size_t n = 1 + prng_below(&rng, 8);
	char *p = span + prng_below(&rng, SPAN / PG - n) * PG;
	bool used = false;
	int err;

	for (size_t i = (size_t)(p - span) / 8, e = i + n * PG / 8; i < e; i++)
		used |= owner[i] != 0;
	err = mmkit_arena_claim(arena, p, n);
	assert_true(err == 0 || err == -EBUSY || err == -EINVAL);
	assert_true(err || !used);
	if (!err)
		add(p, n * PG, true);
}

static void op_free(void)
{
	size_t k = prng_below(&rng, nr_objs);
	void *p = objs[k].p;

	look(&objs[k], objs[k].size);
	if (prng_one_in(&rng, 50) && objs[k].use > 16)
		assert_int_equal(mmkit_arena_free(arena, (char *)p + 8),
				 -EINVAL);
	assert_int_equal(mmkit_arena_free(arena, p), 0);
	del(k);
	if (prng_one_in(&rng, 50))
		assert_int_equal(mmkit_arena_free(arena, p), -EINVAL);
}

/* The end of a run goes, or its beginning. */
static void op_cut(void)
{
	size_t k = prng_below(&rng, nr_objs);
	struct obj o = objs[k];
	size_t n = o.use / PG, cut;

	if (!o.run || n < 2)
		return;
	cut = 1 + prng_below(&rng, n - 1);
	look(&o, o.size);
	del(k);
	if (prng_one_in(&rng, 2)) {
		assert_int_equal(mmkit_arena_free_pages(arena, o.p, cut), 0);
		o.p += cut * PG;
	} else {
		assert_int_equal(mmkit_arena_free_pages(
					 arena, o.p + (n - cut) * PG, cut),
				 0);
	}
	add(o.p, (n - cut) * PG, true);
}

static void op_realloc(void)
{
	size_t k = prng_below(&rng, nr_objs), size = 1 + some_size();
	struct obj o = objs[k];
	void *p = mmkit_arena_realloc(arena, o.p, size);

	if (!p) {
		look(&o, o.size);
		return;
	}
	own(&o, (u16)(k + 1), 0);
	objs[k].p = p;
	objs[k].use = mmkit_arena_usable_size(arena, p);
	objs[k].size = size;
	objs[k].run = size > MMKIT_ARENA_SMALL;
	own(&objs[k], 0, (u16)(k + 1));
	look(&objs[k], o.size < size ? o.size : size);
	fill(&objs[k]);
}

/* What is given back is lost: it is filled with something else. */
static int lose(void *ctx, void *p, size_t bytes)
{
	size_t i = (size_t)((char *)p - span) / 8;

	(void)ctx;
	for (size_t e = i + bytes / 8; i < e; i++)
		assert_int_equal(owner[i], 0);
	memset(p, 0xdb, bytes);
	return prng_one_in(&rng, 20);
}

/* ---- holding both against each other
 * --------------------------------------- */

static int seen_by(void *ctx, void *p, size_t size)
{
	u16 who = owner[(size_t)((char *)p - span) / 8];

	assert_true(who && objs[who - 1].p == p && objs[who - 1].use == size);
	++*(size_t *)ctx;
	return 0;
}

static int stop_at_3(void *ctx, void *p, size_t size)
{
	(void)p;
	(void)size;
	return ++*(int *)ctx == 3 ? 42 : 0;
}

static void compare(void)
{
	struct mmkit_arena_stats st;
	size_t bytes = 0, seen = 0;
	int nr = 0;

	assert_int_equal(mmkit_arena_check(arena), 0);
	assert_int_equal(mmkit_arena_each_object(arena, seen_by, &seen), 0);
	assert_int_equal(seen, nr_objs);
	assert_int_equal(mmkit_arena_each_object(arena, stop_at_3, &nr),
			 nr_objs < 3 ? 0 : 42);
	for (size_t i = 0; i < nr_objs; i++)
		bytes += objs[i].use;
	mmkit_arena_stats(arena, &st);
	assert_int_equal(st.objects + st.runs, nr_objs);
	assert_int_equal(st.object_bytes + st.run_pages * PG, bytes);
	assert_int_equal((st.free_pages + st.run_pages + st.slab_pages) * PG,
			 st.managed);
	assert_true(st.slots >= st.objects &&
		    st.largest_free <= st.free_pages &&
		    st.dirty_pages <= st.free_pages);
}

static void step(u64 aim)
{
	u64 r = prng_below(&rng, 1000);

	if (nr_objs < MOST && (!nr_objs || r < aim))
		op_alloc();
	else if (nr_objs < MOST && r < aim + 20)
		op_pages();
	else if (nr_objs < MOST && r < aim + 30)
		op_claim();
	else if (nr_objs && r < aim + 90)
		op_realloc();
	else if (nr_objs && r < aim + 100)
		op_cut();
	else if (r < aim + 101)
		mmkit_arena_trim(arena, lose, NULL);
	else if (nr_objs)
		op_free();
}

static void test_random(void **arg)
{
	static const size_t at[NR_MAPS] = {3, 700, 1501, 2900};
	static const size_t pages[NR_MAPS] = {600, 801, 1300, 1024};
	const struct mmkit_arena_options o = {.report = hear, .lanes = 4};
	u64 iters = test_iters(60000);
	u64 aim = 600;

	(void)arg;
	test_seed(&rng, "arena_model");
	span = mmap(NULL, SPAN, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	owner = calloc(SPAN / 8, sizeof(*owner));
	assert_true(span != MAP_FAILED && owner);
	arena = mmkit_arena_create_with(span + at[0] * PG, pages[0] * PG, &o,
					NULL);
	assert_non_null(arena);
	for (u64 n = 0; n < iters; n++) {
		size_t m = 1 + n * 4 / iters;

		if (n * 4 % iters < 4 && n && m <= NR_MAPS)
			assert_int_equal(mmkit_arena_grow(arena,
							  span + at[m - 1] * PG,
							  pages[m - 1] * PG),
					 0);
		if (n % 1500 == 0)
			aim = prng_one_in(&rng, 2) ? 650 : 250;
		step(aim);
		if (n % 500 == 0)
			compare();
	}
	compare();
	while (nr_objs)
		op_free();
	compare();
	mmkit_arena_trim(arena, lose, NULL);
	assert_int_equal(mmkit_arena_destroy(arena), 0);
	munmap(span, SPAN);
	free(owner);
}

/* ---- threads
 * --------------------------------------------------------------- */

#define NR_THREADS 8
#define NR_SHARED  512

/* An object on the way from one thread to another; its first word says its
 * size, the rest follows from its address. */
static u64 *shared[NR_SHARED];
static u64 thread_iters;
static u32 stop_others;

static u64 word_of(const u64 *p, u64 i, u64 size)
{
	return (u64)(uintptr_t)p ^ i << 40 ^ size;
}

static void put_words(u64 *p, u64 size)
{
	p[0] = size;
	for (u64 i = 1; i < size / 8; i++)
		p[i] = word_of(p, i, size);
}

static bool words_are(const u64 *p)
{
	u64 size = p[0];

	for (u64 i = 1; i < size / 8; i++) {
		if (p[i] != word_of(p, i, size))
			return false;
	}
	return true;
}

static void *work(void *arg)
{
	struct prng r;
	u64 bad = 0;

	prng_seed(&r, (u64)(uintptr_t)arg);
	for (u64 n = 0; n < thread_iters; n++) {
		u64 size = prng_below(&r, 100) ? 8 + prng_below(&r, 400)
					       : 8 + prng_below(&r, 30000);
		u64 *p = mmkit_arena_alloc(arena, size);
		size_t k = prng_below(&r, NR_SHARED);

		if (p)
			put_words(p, size);
		p = __atomic_exchange_n(&shared[k], p, __ATOMIC_ACQ_REL);
		if (!p)
			continue;
		bad += !words_are(p);
		if (prng_one_in(&r, 16)) {
			u64 *q = mmkit_arena_calloc(arena, 1, p[0]);

			bad += q && q[0];
			bad += q && mmkit_arena_free(arena, q) != 0;
		}
		bad += mmkit_arena_free(arena, p) != 0;
	}
	return (void *)(uintptr_t)bad;
}

static int zero(void *ctx, void *p, size_t bytes)
{
	(void)ctx;
	memset(p, 0, bytes);
	return 0;
}

/* It also frees what is never the start of an object, anywhere. */
static void *watch(void *arg)
{
	struct mmkit_arena_stats st;
	char *base = arg;
	struct prng r;
	u64 bad = 0;

	prng_seed(&r, (u64)(uintptr_t)arg);
	/* Once at least: on a busy machine the others may be done by now. */
	do {
		mmkit_arena_trim(arena, zero, NULL);
		bad += mmkit_arena_check(arena) != 0;
		mmkit_arena_stats(arena, &st);
		bad += st.objects + st.runs > NR_SHARED + 3 * NR_THREADS;
		for (int i = 0; i < 20; i++) {
			char *p = base + (prng_below(&r, 768 * PG) | 1);

			bad += mmkit_arena_usable_size(arena, p) != 0;
			bad += mmkit_arena_free(arena, p) != -EINVAL;
		}
	} while (!__atomic_load_n(&stop_others, __ATOMIC_ACQUIRE));
	return (void *)(uintptr_t)bad;
}

static void threads_on(u32 lanes)
{
	const size_t bytes = 768 * PG; /* too little at times */
	const struct mmkit_arena_options o = {.report = hear, .lanes = lanes};
	char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_t t[NR_THREADS], w;
	struct mmkit_arena_stats st;
	void *bad;

	arena = mmkit_arena_create_with(p, bytes, &o, NULL);
	assert_non_null(arena);
	stop_others = 0;
	assert_int_equal(pthread_create(&w, NULL, watch, p), 0);
	for (u64 i = 0; i < NR_THREADS; i++)
		assert_int_equal(
			pthread_create(&t[i], NULL, work,
				       (void *)(uintptr_t)prng_u64(&rng)),
			0);
	for (int i = 0; i < NR_THREADS; i++) {
		pthread_join(t[i], &bad);
		assert_null(bad);
	}
	__atomic_store_n(&stop_others, 1, __ATOMIC_RELEASE);
	pthread_join(w, &bad);
	assert_null(bad);
	for (int i = 0; i < NR_SHARED; i++) {
		if (shared[i])
			assert_int_equal(mmkit_arena_free(arena, shared[i]), 0);
		shared[i] = NULL;
	}
	assert_int_equal(mmkit_arena_check(arena), 0);
	mmkit_arena_trim(arena, zero, NULL);
	mmkit_arena_stats(arena, &st);
	assert_int_equal(st.objects + st.runs + st.slabs, 0);
	assert_int_equal(st.free_pages, bytes / PG);
	assert_true(st.misuses >= 20 && st.misuses % 20 == 0);
	assert_int_equal(mmkit_arena_destroy(arena), 0);
	munmap(p, bytes);
}

static void test_threads(void **arg)
{
	(void)arg;
	test_seed(&rng, "arena_threads");
	thread_iters = test_iters(60000) / 8;
	threads_on(1);
	threads_on(2);
	threads_on(8);
}

/* Eight threads free the same objects: each goes once, and only once. */
static void *twice[2000];

static void *free_all(void *arg)
{
	u64 nr = 0;

	(void)arg;
	for (size_t i = 0; i < 2000; i++)
		nr += mmkit_arena_free(arena, twice[i]) == 0;
	return (void *)(uintptr_t)nr;
}

static void test_freed_once(void **arg)
{
	const struct mmkit_arena_options o = {.report = hear, .lanes = 4};
	char *p = mmap(NULL, SPAN, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct mmkit_arena_stats st;
	pthread_t t[NR_THREADS];
	u64 sum = 0;
	void *nr;

	(void)arg;
	arena = mmkit_arena_create_with(p, SPAN, &o, NULL);
	for (size_t i = 0; i < 2000; i++) {
		twice[i] =
			mmkit_arena_alloc(arena, i % 50 ? 40 * (i % 7) : 10000);
		assert_non_null(twice[i]);
	}
	for (int i = 0; i < NR_THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, free_all, NULL),
				 0);
	for (int i = 0; i < NR_THREADS; i++) {
		pthread_join(t[i], &nr);
		sum += (u64)(uintptr_t)nr;
	}
	assert_int_equal(sum, 2000);
	assert_int_equal(mmkit_arena_check(arena), 0);
	mmkit_arena_stats(arena, &st);
	assert_int_equal(st.misuses, 2000 * (NR_THREADS - 1));
	assert_int_equal(mmkit_arena_destroy(arena), 0);
	munmap(p, SPAN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_freed_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
