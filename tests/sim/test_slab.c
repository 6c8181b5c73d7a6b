/* SPDX-License-Identifier: MIT */
/* Slab caches and kmalloc: contents, layout, leaks, CPUs, failure. */
#include "sim_machine.h"

#include "base/fail.h"
#include "base/system.h"
#include "kmem/slab_priv.h"

/* ---- random allocations over several caches
 * ------------------------------------- */

#define NR_CACHES 6u
#define NR_SLOTS  1200u

struct slot {
	u8 *obj;
	u32 cache;
	u8 stamp;
};

static const struct {
	u32 size, align, flags;
} kinds[NR_CACHES] = {
	{8, 0, 0},	{24, 0, 0},
	{72, 64, 0},	{200, 0, SLAB_HWCACHE_ALIGN},
	{1000, 256, 0}, {5000, 0, SLAB_RECLAIM_ACCOUNT},
};

struct slab_run {
	struct prng r;
	u64 steps;
	struct kmem_cache *cache[NR_CACHES];
	u64 active[NR_CACHES];
	struct slot slots[NR_SLOTS];
};

static bool filled(const struct slot *s)
{
	for (u32 i = 0; i < kinds[s->cache].size; i++)
		if (s->obj[i] != (u8)(s->stamp + i))
			return false;
	return true;
}

static void slot_alloc(struct slab_run *run, struct slot *s)
{
	bool zero = prng_one_in(&run->r, 4);
	u32 align;

	s->cache = (u32)prng_below(&run->r, NR_CACHES);
	align = kinds[s->cache].align;
	if (kinds[s->cache].flags & SLAB_HWCACHE_ALIGN)
		align = MM_CACHELINE;
	s->obj = kmem_cache_alloc(run->cache[s->cache],
				  GFP_KERNEL | (zero ? __GFP_ZERO : 0));
	CHECK(s->obj);
	CHECK((uintptr_t)s->obj % max(align, 8u) == 0);
	CHECK_EQ(ksize(s->obj), kinds[s->cache].size);
	s->stamp = (u8)prng_u32(&run->r);
	for (u32 i = 0; i < kinds[s->cache].size; i++) {
		CHECK(!zero || s->obj[i] == 0);
		s->obj[i] = (u8)(s->stamp + i);
	}
	run->active[s->cache]++;
}

static void slot_free(struct slab_run *run, struct slot *s)
{
	CHECK(filled(s));
	/* Both ways in. */
	if (prng_one_in(&run->r, 2))
		kfree(s->obj);
	else
		kmem_cache_free(run->cache[s->cache], s->obj);
	s->obj = NULL;
	run->active[s->cache]--;
}

static void run_check(struct slab_run *run)
{
	for (u32 c = 0; c < NR_CACHES; c++) {
		CHECK_EQ(kmem_cache_active(run->cache[c]), run->active[c]);
		slab_check(run->cache[c]);
	}
}

static void run_steps(struct slab_run *run)
{
	for (u64 i = 0; i < run->steps; i++) {
		/* Fill up, then empty, and so on. */
		bool grow = i / 700 % 2 == 0;
		struct slot *s = &run->slots[prng_below(&run->r, NR_SLOTS)];

		if (!s->obj && (grow || prng_one_in(&run->r, 8)))
			slot_alloc(run, s);
		else if (s->obj && (!grow || prng_one_in(&run->r, 8)))
			slot_free(run, s);
		if (i % 50 == 0)
			sim_set_cpu(port_self(),
				    (int)prng_below(&run->r, (u64)tm.cfg.cpus));
		if (i % 250 == 0 || run->steps <= 800)
			run_check(run);
		if (i % 900 == 0)
			kmem_cache_shrink(run->cache[i / 900 % NR_CACHES]);
	}
}

static int random_body(void *arg)
{
	static struct slab_run run;

	memset(&run, 0, sizeof(run));
	prng_seed(&run.r, tm.cfg.seed);
	run.steps = *(u64 *)arg;
	for (u32 c = 0; c < NR_CACHES; c++) {
		run.cache[c] =
			kmem_cache_create("test", kinds[c].size, kinds[c].align,
					  kinds[c].flags | SLAB_NO_MERGE, NULL);
		CHECK(run.cache[c]);
		CHECK_EQ(kmem_cache_size(run.cache[c]), kinds[c].size);
	}
	run_steps(&run);
	for (u32 i = 0; i < NR_SLOTS; i++)
		if (run.slots[i].obj)
			slot_free(&run, &run.slots[i]);
	run_check(&run);
	sim_set_cpu(port_self(), 0);
	for (u32 c = 0; c < NR_CACHES; c++)
		CHECK_EQ(kmem_cache_destroy(run.cache[c]), 0);
	return 0;
}

static void random_caches(void **state)
{
	u64 seed = test_env("SEED", 1), n = test_iters(tm_soak() ? 200 : 6);
	u64 steps = 6000, few = 800;

	(void)state;
	/* Small ones, checked after each step. */
	for (u64 i = 0; i < n; i++)
		TM_RUN(random_body, .arg = &few, .seed = seed + 1000 + i,
		       .cpus = 1 + (int)(i % 3), .mem = i % 2 ? 80UL << 20 : 0);
	for (u64 i = 0; i < n; i++)
		TM_RUN(random_body, .arg = &steps, .seed = seed + i,
		       .cpus = 1 + (int)(i % 4), .mem = i % 2 ? 80UL << 20 : 0);
}

/* ---- several CPUs at once: objects are freed elsewhere
 * -------------------------------- */

#define RING 64u

struct ring {
	struct kmem_cache *cache;
	u64 *slot[RING];
	u64 made, freed;
};

static void ring_thread(void *arg)
{
	struct ring *ring = arg;
	struct prng r;

	prng_seed(&r, tm.cfg.seed + (u64)port_cpu());
	for (u64 i = 0; i < 2000; i++) {
		u64 n = prng_below(&r, RING);
		u64 *mine = kmem_cache_alloc(ring->cache, GFP_KERNEL), *old;

		CHECK(mine);
		for (u64 w = 0; w < 16; w++)
			mine[w] = (uintptr_t)mine + w;
		__atomic_fetch_add(&ring->made, 1, __ATOMIC_RELAXED);
		old = __atomic_exchange_n(&ring->slot[n], mine,
					  __ATOMIC_ACQ_REL);
		port_sched_point();
		if (!old)
			continue;
		for (u64 w = 0; w < 16; w++)
			CHECK(old[w] == (uintptr_t)old + w);
		kmem_cache_free(ring->cache, old);
		__atomic_fetch_add(&ring->freed, 1, __ATOMIC_RELAXED);
	}
}

static int ring_body(void *arg)
{
	static struct ring ring;
	struct port_thread *t[4];

	(void)arg;
	memset(&ring, 0, sizeof(ring));
	ring.cache = kmem_cache_create("ring", 128, 0, SLAB_NO_MERGE, NULL);
	CHECK(ring.cache);
	for (int i = 0; i < tm.cfg.cpus; i++)
		CHECK_EQ(sim_thread_start_on(&t[i], "ring", i, ring_thread,
					     &ring),
			 0);
	for (int i = 0; i < tm.cfg.cpus; i++)
		port_thread_join(t[i]);
	CHECK_EQ(kmem_cache_active(ring.cache), ring.made - ring.freed);
	CHECK(ring.freed > 0);
	slab_check(ring.cache);
	for (u32 i = 0; i < RING; i++)
		if (ring.slot[i])
			kmem_cache_free(ring.cache, ring.slot[i]);
	CHECK_EQ(kmem_cache_destroy(ring.cache), 0);
	return 0;
}

static void across_cpus(void **state)
{
	u64 n = test_iters(tm_soak() ? 200 : 8);

	(void)state;
	for (u64 i = 0; i < n; i++)
		TM_RUN(ring_body, .seed = test_env("SEED", 1) + i,
		       .cpus = 2 + (int)(i % 3), .explore = i % 2,
		       .mem = i % 3 ? 80UL << 20 : 0);
}

/* ---- giving all back
 */

/* A part of S for each of the first CPUS, and S empty. */
static void warm_cpus(struct kmem_cache *s, int cpus)
{
	void *p[100];

	for (int cpu = 0; cpu < cpus; cpu++) {
		sim_set_cpu(port_self(), cpu);
		for (u32 i = 0; i < ARRAY_SIZE(p); i++)
			CHECK((p[i] = kmem_cache_alloc(s, GFP_KERNEL)));
		for (u32 i = 0; i < ARRAY_SIZE(p); i++)
			kmem_cache_free(s, p[i]);
		CHECK(s->cpu[cpu] != &kmem_sys.cpu_none);
	}
	kmem_cache_shrink(s);
}

/*
 * All objects of one slab lie in the arrays of two CPUs: giving the first's
 * back freezes the slab, for a CPU whose slabs may have gone before.
 */
static int spread_body(void *arg)
{
	struct kmem_cache *s =
		kmem_cache_create("spread", 256, 0, SLAB_NO_MERGE, NULL);
	struct page *slab;
	struct slab_count n;
	void *p[200];
	int left = 0;

	(void)arg;
	warm_cpus(s, 3);
	sim_set_cpu(port_self(), 0);
	for (u32 i = 0; i < ARRAY_SIZE(p); i++)
		CHECK((p[i] = kmem_cache_alloc(s, GFP_KERNEL)));
	slab = compound_head(view_to_page(p[0]));
	for (u32 i = 0; i < ARRAY_SIZE(p); i++)
		if (compound_head(view_to_page(p[i])) != slab)
			kmem_cache_free(s, p[i]);
		else
			p[left++] = p[i];
	kmem_cache_shrink(s);
	slab_counts(s, &n);
	CHECK_EQ(n.slabs, 1);
	CHECK_EQ(n.active, n.objects);
	while (left--) {
		sim_set_cpu(port_self(), 1 + left % 2);
		kmem_cache_free(s, p[left]);
	}
	sim_set_cpu(port_self(), 0);
	CHECK_EQ(kmem_cache_destroy(s), 0);
	return 0;
}

static void spread(void **state)
{
	(void)state;
	TM_RUN(spread_body, .cpus = 3);
}

/* ---- an array that is in use
 * ------------------------------------------------------------ */

/* What an interrupt finds that comes while its CPU is at the array. */
static int locked_body(void *arg)
{
	struct kmem_cache *s =
		kmem_cache_create("locked", 64, 0, SLAB_NO_MERGE, NULL);
	struct kmem_cache_cpu *c;
	void *p[100];
	u64 top;

	(void)arg;
	for (u32 i = 0; i < 100; i++)
		CHECK((p[i] = kmem_cache_alloc(s, GFP_KERNEL)));
	c = s->cpu[0];
	CHECK(c != &kmem_sys.cpu_none && sheaf_top(c->top) > 0);
	top = c->top;
	c->top = SHEAF_LOCKED;
	for (u32 i = 0; i < 50; i++)
		kmem_cache_free(s, p[i]);
	for (u32 i = 50; i < 60; i++)
		kfree(p[i]);
	for (u32 i = 0; i < 60; i++) {
		p[i] = kmem_cache_alloc(s, GFP_ATOMIC);
		CHECK(p[i]);
		memset(p[i], (int)i, 64);
	}
	CHECK_EQ(c->top, SHEAF_LOCKED);
	c->top = top;
	slab_check(s);
	CHECK_EQ(kmem_cache_active(s), 100);
	for (u32 i = 0; i < 60; i++)
		CHECK(*(u8 *)p[i] == (u8)i);
	kmem_cache_free_bulk(s, 100, p);
	CHECK_EQ(kmem_cache_active(s), 0);
	CHECK_EQ(kmem_cache_destroy(s), 0);
	CHECK_EQ(kmem_sys.nr_bugs, 0);
	return 0;
}

static void array_in_use(void **state)
{
	(void)state;
	TM_RUN(locked_body, .mem = 80UL << 20);
}

/* Two of one CPU find its part empty; one makes a slab, which is less than the
 * other wants. Nobody may be refused for that. */
static void rival_thread(void *arg)
{
	struct kmem_cache *cache = arg;
	void *mine[60];

	for (int round = 0; round < 30; round++) {
		for (u32 i = 0; i < ARRAY_SIZE(mine); i++) {
			mine[i] = kmem_cache_alloc(cache, GFP_KERNEL);
			CHECK(mine[i]);
		}
		for (u32 i = 0; i < ARRAY_SIZE(mine); i++)
			kmem_cache_free(cache, mine[i]);
		kmem_cache_shrink(cache);
	}
}

static int rivals_body(void *arg)
{
	struct kmem_cache *cache =
		kmem_cache_create("rivals", 176, 0, SLAB_NO_MERGE, NULL);
	struct port_thread *t[4];

	(void)arg;
	CHECK(cache);
	for (u32 i = 0; i < ARRAY_SIZE(t); i++)
		CHECK_EQ(port_thread_start(&t[i], "rival", 0, rival_thread,
					   cache),
			 0);
	for (u32 i = 0; i < ARRAY_SIZE(t); i++)
		port_thread_join(t[i]);
	kmem_cache_destroy(cache);
	return 0;
}

static void rivals(void **state)
{
	u64 seed = test_env("SEED", 1);

	(void)state;
	for (u64 i = 0; i < 20; i++)
		TM_RUN(rivals_body, .mem = 16UL << 20, .seed = seed + i,
		       .cpus = 2, .explore = true);
}

/* ---- caches as objects
 * ------------------------------------------------------------------ */

static u32 constructed;

static void ctor(void *obj)
{
	*(u64 *)obj = 0x1234567812345678;
	constructed++;
}

static int caches_body(void *arg)
{
	struct kmem_cache *s;
	u64 *a, *b;

	(void)arg;
	CHECK(!kmem_cache_create("x", 7, 0, 0, NULL));
	CHECK(!kmem_cache_create("x", KMEM_MAX_OBJECT + 1, 0, 0, NULL));
	CHECK(!kmem_cache_create("x", 64, 3, 0, NULL));
	CHECK(!kmem_cache_create("x", 64, 2 * PAGE_SIZE, 0, NULL));
	s = kmem_cache_create("leaky", 40, 0, 0, ctor);
	CHECK(s);
	a = kmem_cache_alloc(s, GFP_KERNEL);
	b = kmem_cache_alloc(s, GFP_KERNEL);
	CHECK(a && b && a != b);
	CHECK(*a == 0x1234567812345678 && *b == *a);
	CHECK(constructed >= 2);
	/* A leak is reported and the cache goes on working. */
	kmem_cache_free(s, a);
	CHECK_EQ(kmem_cache_destroy(s), -EBUSY);
	CHECK(tm_logged("leaky"));
	CHECK_EQ(kmem_cache_active(s), 1);
	a = kmem_cache_alloc(s, GFP_KERNEL);
	CHECK(a && *a == 0x1234567812345678);
	kmem_cache_free(s, a);
	kmem_cache_free(s, b);
	CHECK_EQ(kmem_cache_destroy(s), 0);
	return 0;
}

static void caches(void **state)
{
	(void)state;
	TM_RUN(caches_body);
}

/* kfree() takes objects of S, whatever its id. */
static void kfree_many(struct kmem_cache *s)
{
	void *p[40];

	for (u32 round = 0; round < 3; round++) {
		for (u32 i = 0; i < ARRAY_SIZE(p); i++)
			CHECK((p[i] = kmem_cache_alloc(s, GFP_KERNEL)));
		CHECK_EQ(kmem_cache_active(s), ARRAY_SIZE(p));
		for (u32 i = 0; i < ARRAY_SIZE(p); i++)
			kfree(p[i]);
		CHECK_EQ(kmem_cache_active(s), 0);
	}
	CHECK_EQ(kmem_sys.nr_bugs, 0);
	slab_check(s);
}

static int too_many_body(void *arg)
{
	static struct kmem_cache *s[KMEM_MAX_CACHES];
	u32 n = 0;

	(void)arg;
	while (n < KMEM_MAX_CACHES &&
	       (s[n] = kmem_cache_create("many", 32, 0, SLAB_NO_MERGE, NULL)))
		n++;
	CHECK(n > 100 && n < KMEM_MAX_CACHES);
	/* kfree() looks at once for the cache of the first ids alone. */
	CHECK(s[n - 1]->id > 256);
	for (u32 i = 0; i < n; i++) {
		if (s[i]->id == s[n - 1]->id - 256)
			kfree_many(s[i]);
	}
	kfree_many(s[n - 1]);
	while (n)
		CHECK_EQ(kmem_cache_destroy(s[--n]), 0);
	return 0;
}

static void too_many_caches(void **state)
{
	(void)state;
	TM_RUN(too_many_body);
}

/* ---- kmalloc
 * ----------------------------------------------------------------------------
 */

/* No bytes: one address that is nobody's object. */
static void no_bytes(void)
{
	size_t zero = 0;
	void *p = kmalloc(64, GFP_KERNEL);

	CHECK(kmalloc(zero, GFP_KERNEL) == ZERO_SIZE_PTR);
	CHECK(kzalloc(zero, GFP_KERNEL) == ZERO_SIZE_PTR);
	CHECK(kmalloc_node(zero, GFP_KERNEL, 0) == ZERO_SIZE_PTR);
	CHECK(kcalloc(zero, 8, GFP_KERNEL) == ZERO_SIZE_PTR);
	CHECK_EQ(ksize(ZERO_SIZE_PTR), 0);
	CHECK(krealloc(p, 0, GFP_KERNEL) == ZERO_SIZE_PTR);
	p = krealloc(ZERO_SIZE_PTR, 100, GFP_KERNEL);
	CHECK(p && p != ZERO_SIZE_PTR && ksize(p) >= 100);
	kfree(p);
	kfree(ZERO_SIZE_PTR);
}

/* The largest block there can be is had; what is larger is refused without
 * asking the page allocator, which would complain. */
static void largest(void)
{
	void *p = kmalloc(KMALLOC_MAX_SIZE, GFP_KERNEL);

	CHECK(p && ksize(p) == KMALLOC_MAX_SIZE);
	kfree(p);
	CHECK(!kmalloc(KMALLOC_MAX_SIZE + 1, GFP_KERNEL));
	CHECK(!tm_logged("WARN") && !tm_logged("failure"));
}

static int kmalloc_body(void *arg)
{
	(void)arg;
	for (size_t size = 1; size <= 65536; size += size < 9000 ? 1 : 509) {
		u8 *p = kmalloc(size, GFP_KERNEL);
		size_t usable = ksize(p);

		CHECK(p && usable >= size);
		CHECK((uintptr_t)p % 8 == 0);
		if (!(size & (size - 1)))
			CHECK(port_ram_phys(p) % size == 0);
		memset(p, 0xee, usable);
		kfree(p);
		if (size % 97 == 0) {
			p = kzalloc(size, GFP_KERNEL);
			for (size_t i = 0; i < size; i++)
				CHECK(p[i] == 0);
			kfree(p);
		}
	}
	kfree(NULL);
	CHECK_EQ(ksize(NULL), 0);
	no_bytes();
	largest();
	CHECK(!kmalloc(1UL << 40, GFP_KERNEL));
	CHECK(!kmalloc(~0UL, GFP_KERNEL));
	CHECK(!kcalloc(1UL << 33, 1UL << 33, GFP_KERNEL));
	CHECK(!kcalloc(~0UL, 2, GFP_KERNEL));
	return 0;
}

/* Caches of one size share slabs, unless their objects are not alike. */
static int merge_body(void *arg)
{
	static const u32 differ[] = {SLAB_RECLAIM_ACCOUNT, SLAB_ACCOUNT,
				     SLAB_CACHE_DMA,	   SLAB_TYPESAFE_BY_RCU,
				     SLAB_NO_MERGE,	   SLAB_POISON};
	struct kmem_cache *a = kmem_cache_create("one", 1080, 0, 0, NULL);
	struct kmem_cache *b = kmem_cache_create("two", 1080, 0, 0, NULL), *c;

	(void)arg;
	CHECK(a && a == b);
	for (u32 i = 0; i < ARRAY_SIZE(differ); i++) {
		c = kmem_cache_create("other", 1080, 0, differ[i], NULL);
		CHECK(c && c != a);
		/* Of its own kind it shares, if it may at all. */
		if (differ[i] & (SLAB_RECLAIM_ACCOUNT | SLAB_ACCOUNT)) {
			b = kmem_cache_create("same", 1080, 0, differ[i], NULL);
			CHECK(b == c);
			CHECK_EQ(kmem_cache_destroy(b), 0);
		}
		CHECK_EQ(kmem_cache_destroy(c), 0);
	}
	CHECK_EQ(kmem_cache_destroy(a), 0);
	/* The first of two users ended: the cache is there for the other. */
	c = kmem_cache_alloc(a, GFP_KERNEL);
	CHECK(c);
	kmem_cache_free(a, c);
	CHECK_EQ(kmem_cache_destroy(a), 0);
	return 0;
}

static void merging(void **state)
{
	(void)state;
	TM_RUN(merge_body);
}

static void kmalloc_sizes(void **state)
{
	(void)state;
	TM_RUN(kmalloc_body);
}

/* All of memory in objects, then nothing, and everything comes back. */
static int exhaust_body(void *arg)
{
	static void *obj[1 << 15];
	u32 n = 0;

	(void)arg;
	while (n < ARRAY_SIZE(obj) &&
	       (obj[n] = kmalloc(1024, GFP_NOWAIT | __GFP_NOWARN)))
		n++;
	CHECK(n > 1000 && n < ARRAY_SIZE(obj));
	CHECK(!kmalloc(20000, GFP_NOWAIT | __GFP_NOWARN));
	for (u32 i = 0; i < n; i += 2)
		kfree(obj[i]);
	for (u32 i = 1; i < n; i += 2)
		kfree(obj[i]);
	return 0;
}

static void exhaust(void **state)
{
	(void)state;
	TM_RUN(exhaust_body, .mem = 5UL << 20);
}

/* ---- what must not fail
 * ---------------------------------------------------------- */

struct hoard {
	struct page *page[1 << 13];
	u32 nr;
};

static void giver_thread(void *arg)
{
	struct hoard *h = arg;

	port_park(300 * 1000 * 1000);
	while (h->nr)
		__free_page(h->page[--h->nr]);
	drain_all_pages();
}

/* Nobody was warned of anything, whatever became of the log. */
static void nobody_warned(void)
{
	for (u32 i = 0; i < WARN_ONCE_SLOTS; i++)
		CHECK_EQ(base_sys.warned[i], 0);
}

/* An object of a large slab, without fail: it waits, and nobody complains. */
static int nofail_body(void *arg)
{
	struct kmem_cache *s = kmem_cache_create("large", 9000, 0, 0, NULL);
	static struct hoard h;
	struct port_thread *giver;
	u64 begin;
	void *obj;

	(void)arg;
	CHECK(s->layout.min_order > 1);
	while (h.nr < ARRAY_SIZE(h.page) &&
	       (h.page[h.nr] = alloc_page(GFP_NOWAIT | __GFP_NOWARN)))
		h.nr++;
	CHECK(h.nr > 500 && h.nr < ARRAY_SIZE(h.page));
	CHECK(!kmem_cache_alloc(s, GFP_NOFS | __GFP_NOWARN));
	begin = port_now_ns();
	CHECK_EQ(port_thread_start(&giver, "giver", -1, giver_thread, &h), 0);
	fail_arm_nth(FAIL_MASK(FAIL_PAGE_ALLOC) | FAIL_MASK(FAIL_SLAB), 1,
		     true);
	obj = kmem_cache_alloc(s, GFP_NOFS | __GFP_NOFAIL);
	CHECK_EQ(fail_disarm().fired, 0);
	CHECK(obj);
	CHECK(port_now_ns() - begin >= 300UL * 1000 * 1000);
	CHECK(!tm_logged("WARNING: "));
	nobody_warned();
	port_thread_join(giver);
	kmem_cache_free(s, obj);
	CHECK_EQ(kmem_cache_destroy(s), 0);
	return 0;
}

static void nofail(void **state)
{
	(void)state;
	TM_RUN(nofail_body, .mem = 8UL << 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_caches),
		cmocka_unit_test(across_cpus),
		cmocka_unit_test(spread),
		cmocka_unit_test(array_in_use),
		cmocka_unit_test(rivals),
		cmocka_unit_test(caches),
		cmocka_unit_test(too_many_caches),
		cmocka_unit_test(kmalloc_sizes),
		cmocka_unit_test(merging),
		cmocka_unit_test(exhaust),
		cmocka_unit_test(nofail),
	};

	return cmocka_run_group_tests_name("slab", tests, NULL, NULL);
}
