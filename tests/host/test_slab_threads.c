/* SPDX-License-Identifier: MIT */
/*
 * The slab allocator under real threads: objects are allocated here, written
 * there and freed elsewhere, alone and in bulk, from caches of several kinds,
 * while others shrink, count and check. At the end everything is back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <mmkit/boot.h>
#include <mmkit/page_alloc.h>

#include "base/prng.h"
#include "base/seqbuf.h"
#include "base/system.h"
#include "host.h"
#include "kmem/slab.h"
#include "phys/e820.h"

#define THREADS	  8
#define SHARED	  256
#define NR_CACHES 4
#define BULK	  40

static struct e820_table map;
static u64 seed, iters;

/* An object says where it is, what it is and who wrote it. */
struct thing {
	struct thing *self;
	u64 kind, stamp, check;
};

static const struct {
	u32 size, flags;
} kinds[NR_CACHES] = {
	{sizeof(struct thing), 0},
	{200, SLAB_HWCACHE_ALIGN},
	{1200, SLAB_TYPESAFE_BY_RCU},
	{64, SLAB_CONSISTENCY_CHECKS | SLAB_RED_ZONE | SLAB_POISON |
		     SLAB_STORE_USER},
};

static struct kmem_cache *caches[NR_CACHES];
static struct thing *shared[SHARED];

static void thing_write(struct thing *t, u64 kind, u64 stamp)
{
	t->self = t;
	t->kind = kind;
	t->stamp = stamp;
	t->check = stamp ^ kind ^ (u64)(uintptr_t)t;
}

/* Freed by whoever finds it, by its cache or without. */
static void thing_free(struct prng *rnd, struct thing *t)
{
	u64 kind = t->kind;

	mm_verify(t->self == t && kind <= NR_CACHES);
	mm_verify(t->check == (t->stamp ^ kind ^ (u64)(uintptr_t)t));
	memset(t, 0xdd, sizeof(*t));
	if (kind == NR_CACHES || prng_one_in(rnd, 3))
		kfree(t);
	else
		kmem_cache_free(caches[kind], t);
}

static struct thing *thing_make(struct prng *rnd)
{
	u64 kind = prng_below(rnd, NR_CACHES + 1);
	struct thing *t;

	if (kind < NR_CACHES)
		t = kmem_cache_alloc(caches[kind], GFP_KERNEL);
	else
		t = kmalloc(sizeof(*t) + prng_below(rnd, 3000), GFP_KERNEL);
	mm_verify(t);
	thing_write(t, kind, prng_u64(rnd));
	return t;
}

static void bulk_step(struct prng *rnd)
{
	struct kmem_cache *s = caches[prng_below(rnd, NR_CACHES)];
	size_t n = 1 + prng_below(rnd, BULK);
	void *p[BULK];

	mm_verify(kmem_cache_alloc_bulk(s, GFP_KERNEL, n, p) == n);
	for (size_t i = 0; i < n; i++)
		memset(p[i], (int)i, kmem_cache_size(s));
	for (size_t i = 0; i < n; i++)
		mm_verify(*(u8 *)p[i] == (u8)i);
	kmem_cache_free_bulk(prng_one_in(rnd, 2) ? s : NULL, n, p);
}

static void look_step(struct prng *rnd)
{
	struct kmem_cache *s = caches[prng_below(rnd, NR_CACHES)];
	struct slab_count n;

	if (prng_one_in(rnd, 2))
		kmem_cache_shrink(s);
	else
		slab_drain(s);
	slab_counts(s, &n);
	mm_verify(n.active < 1UL << 40);
}

static void churn(void *arg)
{
	struct prng rnd;

	prng_seed(&rnd, seed + (u64)(uintptr_t)arg);
	for (u64 i = 0; i < iters; i++) {
		struct thing *t =
			prng_one_in(&rnd, 3) ? NULL : thing_make(&rnd);
		u64 at = prng_below(&rnd, SHARED);

		t = __atomic_exchange_n(&shared[at], t, __ATOMIC_ACQ_REL);
		if (t)
			thing_free(&rnd, t);
		if (prng_one_in(&rnd, 50))
			bulk_step(&rnd);
		if (prng_one_in(&rnd, 500))
			look_step(&rnd);
	}
}

static void run_threads(void)
{
	struct port_thread *t[THREADS];

	for (u64 i = 0; i < THREADS; i++)
		mm_verify(!port_thread_start(&t[i], "churn", -1, churn,
					     (void *)(uintptr_t)i));
	for (u64 i = 0; i < THREADS; i++)
		port_thread_join(t[i]);
}

static int machine_main(void *arg)
{
	struct mm_boot_params params = {.map = &map};
	struct mm_boot_node nodes[2] = {{0, 128UL << 20, 0},
					{128UL << 20, 1UL << 30, 1}};
	u64 active[NR_CACHES] = {0};
	struct prng rnd;

	if (arg) {
		params.nodes = nodes;
		params.nr_nodes_ranges = 2;
		params.slab.freelist_hardened = true;
		params.slab.freelist_random = true;
	}
	if (mm_boot(&params))
		return 1;
	for (u32 i = 0; i < NR_CACHES; i++)
		caches[i] =
			kmem_cache_create("threads", kinds[i].size, 0,
					  kinds[i].flags | SLAB_NO_MERGE, NULL);
	run_threads();
	prng_seed(&rnd, seed);
	for (u32 i = 0; i < SHARED; i++)
		if (shared[i] && shared[i]->kind < NR_CACHES)
			active[shared[i]->kind]++;
	for (u32 i = 0; i < NR_CACHES; i++) {
		slab_check(caches[i]);
		if (kmem_cache_active(caches[i]) != active[i])
			return 2;
	}
	for (u32 i = 0; i < SHARED; i++)
		if (shared[i])
			thing_free(&rnd, shared[i]);
	memset(shared, 0, sizeof(shared));
	for (u32 i = 0; i < NR_CACHES; i++)
		if (kmem_cache_destroy(caches[i]))
			return 3;
	if (kmem_sys.nr_bugs || kmem_sys.nr_quarantined)
		return 4;
	mm_shutdown();
	return 0;
}

static u64 from_env(const char *name, u64 otherwise)
{
	const char *v = getenv(name);

	return v ? strtoull(v, NULL, 0) : otherwise;
}

static void run_machine(void *two_nodes)
{
	struct host_config cfg = {
		.cpus = 24, .ram_max = 1UL << 30, .console_level = 4};

	seed = from_env("SEED", 1);
	iters = from_env("ITERS", 20000);
	print_message("SEED=%lu ITERS=%lu\n", seed, iters);
	e820_init(&map);
	assert_int_equal(e820_add(&map, 0, 256UL << 20, E820_TYPE_RAM), 0);
	mm_reset();
	assert_int_equal(host_init(&cfg), 0);
	assert_int_equal(host_run(machine_main, two_nodes), 0);
	assert_int_equal(host_shutdown(), 0);
}

static void test_one_node(void **state)
{
	(void)state;
	run_machine(NULL);
}

/* Every other free is of the other node; links are scrambled. */
static void test_two_nodes(void **state)
{
	(void)state;
	run_machine(&map);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_node),
		cmocka_unit_test(test_two_nodes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
