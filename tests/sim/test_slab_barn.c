/* SPDX-License-Identifier: MIT */
/* Barns: what they keep, who gets it, what is turned away, who takes it back.
 */
#include "sim_machine.h"

#include "base/fail.h"

#define MEM  (80UL << 20)
#define SIZE 64u
#define MANY 1000u

static void *obj[2 * MANY];

static struct kmem_cache *begin(u32 size)
{
	struct kmem_cache *s =
		kmem_cache_create("barned", size, 0, SLAB_NO_MERGE, NULL);

	CHECK(s);
	return s;
}

static void take(struct kmem_cache *s, u32 n)
{
	for (u32 i = 0; i < n; i++) {
		obj[i] = kmem_cache_alloc(s, GFP_KERNEL);
		CHECK(obj[i]);
		memset(obj[i], (int)i, kmem_cache_size(s));
	}
	for (u32 i = 0; i < n; i++)
		for (u32 k = 0; k < kmem_cache_size(s); k++)
			CHECK(((u8 *)obj[i])[k] == (u8)i);
}

static void give(struct kmem_cache *s, u32 n)
{
	for (u32 i = 0; i < n; i++)
		kmem_cache_free(s, obj[i]);
}

/* Until the cache's node has a barn; its capacity. */
static u64 fill_barn(struct kmem_cache *s)
{
	struct slab_count n;

	for (u32 i = 0; i < 4 && !s->node[0]->barn; i++) {
		take(s, MANY);
		give(s, MANY);
	}
	CHECK(s->node[0]->barn != NULL);
	take(s, 2 * MANY);
	give(s, 2 * MANY);
	slab_counts(s, &n);
	CHECK_EQ(n.active, 0);
	slab_check(s);
	return n.in_arrays;
}

/* A batch that fits costs no slab anything. */
static int keeps_body(void *arg)
{
	struct kmem_cache *s = begin(SIZE);
	struct slab_count before, after;
	u64 kept = fill_barn(s);
	u32 fits = (u32)kept - 100;

	(void)arg;
	/* Bounded: a 2048th of memory, and the array. */
	CHECK_EQ(s->barn_cap, (totalram_pages() << PAGE_SHIFT >> 11) / SIZE);
	CHECK(s->barn_cap < MANY);
	CHECK(kept <= s->barn_cap + (u64)s->sheaf_cap);
	CHECK(kept > s->barn_cap - (u64)s->sheaf_cap);
	slab_counts(s, &before);
	for (u32 round = 0; round < 5; round++) {
		take(s, fits);
		slab_counts(s, &after);
		CHECK_EQ(after.active, fits);
		CHECK_EQ(after.in_arrays, before.in_arrays - fits);
		give(s, fits);
		slab_counts(s, &after);
		CHECK_EQ(after.in_arrays, before.in_arrays);
		CHECK_EQ(after.slabs, before.slabs);
	}
	/* Given back on demand, all of it. */
	kmem_cache_shrink(s);
	slab_counts(s, &after);
	CHECK_EQ(after.in_arrays, 0);
	CHECK_EQ(after.slabs, 0);
	slab_check(s);
	/* The other CPU finds what this one put there. */
	fill_barn(s);
	slab_counts(s, &before);
	sim_set_cpu(port_self(), 1);
	take(s, 300);
	slab_counts(s, &after);
	CHECK_EQ(after.in_arrays + 300, before.in_arrays);
	give(s, 300);
	sim_set_cpu(port_self(), 0);
	CHECK_EQ(kmem_cache_destroy(s), 0);
	return 0;
}

static void keeps(void **state)
{
	(void)state;
	TM_RUN(keeps_body, .mem = MEM, .cpus = 2);
}

/* Small machines have none; neither have caches that check. */
static int small_body(void *arg)
{
	struct kmem_cache *s = begin(SIZE), *d;

	(void)arg;
	d = kmem_cache_create("debug", SIZE, 0, SLAB_RED_ZONE, NULL);
	CHECK_EQ(s->barn_cap, 0);
	CHECK_EQ(d->barn_cap, 0);
	for (u32 i = 0; i < 4; i++) {
		take(s, MANY);
		give(s, MANY);
	}
	CHECK(!s->node[0]->barn);
	CHECK_EQ(kmem_cache_destroy(d), 0);
	CHECK_EQ(kmem_cache_destroy(s), 0);
	return 0;
}

static void small(void **state)
{
	(void)state;
	TM_RUN(small_body, .mem = 32UL << 20);
}

/* Reclaim asks barns like any shrinker, and gets frames. */
static int shrinks_body(void *arg)
{
	struct kmem_cache *s = begin(SIZE), *t = begin(128);
	u64 kept = fill_barn(s), kept2 = fill_barn(t), freed;
	struct slab_count n;
	char text[256];
	struct seq_buf out;

	(void)arg;
	kept -= (u64)s->cpu[0]->top;
	kept2 -= (u64)t->cpu[0]->top;
	CHECK(kept > 0 && kept2 > 0);
	seq_buf_init(&out, text, sizeof(text));
	CHECK_EQ(mm_show("/sys/kernel/debug/shrinker", &out), 0);
	CHECK(strstr(seq_buf_str(&out), "\nslab-barns-0 "));
	/* Half of it is due at the lowest priority already. */
	freed = shrink_slab(GFP_KERNEL, 0, 12);
	CHECK(freed >= (kept + kept2) / 2 - SHRINKER_BATCH &&
	      freed <= (kept + kept2) / 2 + SHRINKER_BATCH);
	slab_check(s);
	slab_check(t);
	drop_slab();
	drop_slab();
	slab_counts(s, &n);
	CHECK(n.in_arrays <= (u64)s->sheaf_cap + SHRINKER_BATCH);
	slab_counts(t, &n);
	CHECK(n.in_arrays <= (u64)t->sheaf_cap + SHRINKER_BATCH);
	CHECK_EQ(n.active, 0);
	CHECK_EQ(kmem_cache_destroy(s), 0);
	CHECK_EQ(kmem_cache_destroy(t), 0);
	return 0;
}

static void shrinks(void **state)
{
	(void)state;
	TM_RUN(shrinks_body, .mem = MEM);
}

/* Wrong pointers are found when the array overflows, not when it is drained,
 * and do not come back from the barn. */
static int wrong_body(void *arg)
{
	static const char *const texts[] = {"Wrong slab cache",
					    "Invalid object pointer"};
	u32 size = *(const u32 *)arg;
	struct kmem_cache *s = begin(size);
	u8 *foreign = kmalloc(size, GFP_KERNEL), *own;

	fill_barn(s);
	drop_slab();
	own = kmem_cache_alloc(s, GFP_KERNEL);
	for (u32 i = 0; i < 2; i++) {
		u64 bugs = kmem_sys.nr_bugs;

		tm.log_len = 0;
		take(s, 200);
		kmem_cache_free(s, i ? own + 8 : foreign);
		give(s, 200);
		CHECK_EQ(kmem_sys.nr_bugs, bugs + 1);
		CHECK(tm_logged("BUG barned (Not tainted): "));
		CHECK(tm_logged(texts[i]));
		slab_check(s);
	}
	kmem_cache_free(s, own);
	kfree(foreign);
	CHECK_EQ(kmem_cache_active(s), 0);
	CHECK_EQ(kmem_cache_destroy(s), 0);
	return 0;
}

static void wrong_pointers(void **state)
{
	/* Objects that fill slabs are told by their addresses, others not. */
	static u32 sizes[] = {SIZE, 3 * SIZE};

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(sizes); i++)
		TM_RUN(wrong_body, .arg = &sizes[i], .mem = MEM,
		       .no_audit = true);
}

/* Objects of a slab that was set aside meanwhile are not given out. */
static int aside_body(void *arg)
{
	struct kmem_cache *s = begin(SIZE);
	const struct page *bad;
	u64 *link;

	(void)arg;
	fill_barn(s);
	/* Objects 0 and 1 of one slab: the first goes to its slab, where its
	 * link is spoilt, and a neighbour to the barn. */
	kmem_cache_shrink(s);
	take(s, 400);
	bad = compound_head(view_to_page(obj[0]));
	CHECK(bad == compound_head(view_to_page(obj[2])));
	for (u32 i = 0; i < 400; i += 2)
		kmem_cache_free(s, obj[i]);
	slab_drain(s);
	link = (u64 *)(void *)((u8 *)obj[2] + s->layout.link);
	*link = 0x4141414141414141UL;
	for (u32 i = 1; i < 400; i += 2)
		kmem_cache_free(s, obj[i]);
	CHECK_EQ(kmem_sys.nr_quarantined, 0);
	/* Past array and barn, on another node's behalf: the slab is found. */
	for (u32 i = 0; i < 4000 && !kmem_sys.nr_quarantined; i++)
		CHECK(kmem_cache_alloc_node(s, GFP_KERNEL | __GFP_THISNODE, 0));
	CHECK_EQ(kmem_sys.nr_quarantined, 1);
	CHECK(tm_logged("Freepointer corrupt"));
	/* The array's own were given out before; then the barn's. */
	for (s32 i = s->cpu[0]->top; i > 0; i--)
		CHECK(kmem_cache_alloc(s, GFP_KERNEL));
	for (u32 i = 0; i < 400; i++) {
		void *p = kmem_cache_alloc(s, GFP_KERNEL);

		CHECK(p && compound_head(view_to_page(p)) != bad);
	}
	return 0;
}

static void aside(void **state)
{
	(void)state;
	TM_RUN(aside_body, .mem = MEM, .no_audit = true);
}

/* Without memory for a barn objects go to their slabs as ever; every failure
 * of a batch leaves nothing behind. */
static int failing_body(void *arg)
{
	struct kmem_cache *s = begin(SIZE);

	(void)arg;
	for (u64 nth = 1; nth < 400; nth += nth < 40 ? 1 : 30) {
		u32 n = 0;
		bool fired;

		fail_arm_nth(FAIL_MASK(FAIL_SLAB) | FAIL_MASK(FAIL_PAGE_ALLOC),
			     nth, nth % 2);
		while (n < MANY && (obj[n] = kmem_cache_alloc(s, GFP_KERNEL)))
			n++;
		give(s, n);
		fired = fail_disarm().fired > 0;
		CHECK(fired == (n < MANY) || nth % 2 == 0);
		CHECK_EQ(kmem_cache_active(s), 0);
		slab_check(s);
	}
	fill_barn(s);
	CHECK_EQ(kmem_cache_destroy(s), 0);
	return 0;
}

static void failing(void **state)
{
	(void)state;
	TM_RUN(failing_body, .mem = MEM);
}

/* ---- random batches against a model ------------------------------------ */

struct batch {
	u64 n;
	u32 stamp;
	void *p[400];
};

static void batch_free(struct kmem_cache *s, struct prng *r, struct batch *b)
{
	u32 words = kmem_cache_size(s) / 4;

	for (u64 i = 0; i < b->n; i++)
		for (u32 k = 0; k < words; k++)
			CHECK(((u32 *)b->p[i])[k] == b->stamp + i);
	if (prng_one_in(r, 2)) {
		kmem_cache_free_bulk(s, b->n, b->p);
	} else {
		for (u64 i = b->n; i-- > 0;)
			kmem_cache_free(s, b->p[i]);
	}
	b->n = 0;
}

static void batch_alloc(struct kmem_cache *s, struct prng *r, struct batch *b,
			u32 stamp)
{
	u32 words = kmem_cache_size(s) / 4;

	b->n = 1 + prng_below(r, ARRAY_SIZE(b->p));
	b->stamp = stamp;
	if (prng_one_in(r, 2)) {
		CHECK_EQ(kmem_cache_alloc_bulk(s, GFP_KERNEL, b->n, b->p),
			 b->n);
	} else {
		for (u64 i = 0; i < b->n; i++)
			CHECK((b->p[i] = kmem_cache_alloc(s, GFP_KERNEL)));
	}
	for (u64 i = 0; i < b->n; i++)
		for (u32 k = 0; k < words; k++)
			((u32 *)b->p[i])[k] = (u32)(stamp + i);
}

static int model_body(void *arg)
{
	static struct batch batch[8];
	struct kmem_cache *s = begin(SIZE);
	u64 steps = *(u64 *)arg, active = 0;
	struct prng r;

	memset(batch, 0, sizeof(batch));
	prng_seed(&r, tm.cfg.seed);
	for (u64 i = 0; i < steps; i++) {
		struct batch *b = &batch[prng_below(&r, ARRAY_SIZE(batch))];

		sim_set_cpu(port_self(), (int)prng_below(&r, (u64)tm.cfg.cpus));
		active -= b->n;
		if (b->n)
			batch_free(s, &r, b);
		else
			batch_alloc(s, &r, b, (u32)i << 16);
		active += b->n;
		if (prng_one_in(&r, 30))
			kmem_cache_shrink(s);
		if (prng_one_in(&r, 30))
			shrink_slab(GFP_KERNEL, 0, (int)prng_below(&r, 3));
		CHECK_EQ(kmem_cache_active(s), active);
		slab_check(s);
	}
	for (u32 i = 0; i < ARRAY_SIZE(batch); i++)
		batch_free(s, &r, &batch[i]);
	sim_set_cpu(port_self(), 0);
	CHECK_EQ(kmem_cache_active(s), 0);
	CHECK_EQ(kmem_cache_destroy(s), 0);
	return 0;
}

static void model(void **state)
{
	u64 seed = test_env("SEED", 1), n = test_iters(tm_soak() ? 200 : 6);
	u64 steps = 150;

	(void)state;
	for (u64 i = 0; i < n; i++)
		TM_RUN(model_body, .arg = &steps, .seed = seed + i,
		       .cpus = 1 + (int)(i % 4), .mem = MEM,
		       .nodes = i % 3 == 2 ? 2 : 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keeps),   cmocka_unit_test(small),
		cmocka_unit_test(shrinks), cmocka_unit_test(wrong_pointers),
		cmocka_unit_test(aside),   cmocka_unit_test(failing),
		cmocka_unit_test(model),
	};

	return cmocka_run_group_tests_name("slab_barn", tests, NULL, NULL);
}
