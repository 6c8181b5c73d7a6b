/* SPDX-License-Identifier: MIT */
/*
 * Objects charged to groups one by one: what is charged and when it goes, for
 * caches, kmalloc() and bulks, whoever frees; what a removed group leaves to
 * the one above; vectors for which there is no memory; and random work of
 * several tasks on several CPUs against a list of who owns what.
 */
#include <mmkit/slab.h>
#include <mmkit/vmalloc.h>

#include "base/fail.h"
#include "base/prng.h"
#include "kmem/slab.h"
#include "memcg_groups.h"

#define NOW (GFP_KERNEL | __GFP_NOWARN | __GFP_NORETRY)

static void settle(void)
{
	end_all();
	tm_audit();
}

/* An object of S costs its place, and a pointer to who pays. */
static u64 cost(const struct kmem_cache *s)
{
	return s->layout.size + sizeof(void *);
}

static struct kmem_cache *cache(u32 size, u32 flags)
{
	struct kmem_cache *s = kmem_cache_create("objects", size, 0,
						 flags | SLAB_NO_MERGE, NULL);

	CHECK(s != NULL);
	return s;
}

/* ---- what is charged
 * ----------------------------------------------------------------- */

#define OBJECTS 500

static int exact_body(void *arg)
{
	u32 flags = *(u32 *)arg;
	struct kmem_cache *s = cache(120, flags | SLAB_ACCOUNT);
	const char *name = flags & SLAB_RECLAIM_ACCOUNT ? "slab_reclaimable"
							: "slab_unreclaimable";
	u16 a = make(0), b = make(a);
	void *obj[OBJECTS], *mine;
	u64 bytes = OBJECTS * cost(s);

	mine = kmem_cache_alloc(s, GFP_KERNEL); /* the root's */
	CHECK(mine != NULL);
	join(b);
	for (u32 i = 0; i < OBJECTS; i++) {
		obj[i] = kmem_cache_alloc(s, i % 2 ? GFP_KERNEL : GFP_ATOMIC);
		CHECK(obj[i] != NULL);
		CHECK_EQ(row(b, name), (i + 1) * cost(s));
	}
	CHECK_EQ(row(b, "slab"), bytes);
	CHECK_EQ(row(b, "kernel"), bytes);
	CHECK_EQ(row(a, name), bytes);
	/* Pages for that, and not one more. */
	CHECK_EQ(usage(b), PFN_UP(bytes));
	CHECK_EQ(usage(a), PFN_UP(bytes));
	settle();
	slab_check(s);
	/* Whoever frees: they go where they were counted. */
	join(0);
	for (u32 i = 0; i < OBJECTS; i += 2)
		kmem_cache_free(s, obj[i]);
	join(a);
	for (u32 i = 1; i < OBJECTS; i += 2)
		kfree(obj[i]);
	kmem_cache_free(s, mine);
	CHECK_EQ(row(b, "slab"), 0);
	CHECK_EQ(usage(a), 0);
	settle();
	join(0);
	CHECK_EQ(memcg_remove(b), 0);
	CHECK_EQ(memcg_remove(a), 0);
	CHECK_EQ(kmem_cache_destroy(s), 0);
	settle();
	CHECK_EQ(memcg_sys.nr_groups, 0);
	CHECK(list_empty(&memcg_sys.objcg_pages));
	return 0;
}

static void exact(void **state)
{
	static const u32 flags[] = {0, SLAB_RECLAIM_ACCOUNT,
				    SLAB_CONSISTENCY_CHECKS | SLAB_RED_ZONE |
					    SLAB_POISON};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		TM_RUN(exact_body, .arg = (void *)&flags[i], .mem = 32UL << 20,
		       .seed = 1, .cpus = 1);
}

/* kmalloc() by the flag, in its own caches and in others; blocks that are
 * whole frames; vmalloc(); a stack. Nothing without the flag. */
static int kinds_body(void *arg)
{
	static const gfp_t more[] = {0, __GFP_RECLAIMABLE, __GFP_ZERO};
	u16 a = make(0), group;
	u64 want = 0, kept;
	void *obj[64], *p;
	u32 n = 0;

	(void)arg;
	join(a);
	for (u32 i = 0; i < 40; i++) {
		obj[n] =
			kmalloc(8 + i * 50, GFP_KERNEL_ACCOUNT |
						    more[i % ARRAY_SIZE(more)]);
		CHECK(obj[n] != NULL);
		/* A power of two, or 96, or 192; and a pointer. */
		want += ksize(obj[n++]) + sizeof(void *);
	}
	CHECK_EQ(row(a, "slab"), want);
	p = kmalloc(100, GFP_KERNEL);
	CHECK_EQ(row(a, "slab"), want);
	kfree(p);
	p = kmalloc(3 * PAGE_SIZE, GFP_KERNEL_ACCOUNT);
	CHECK_EQ(row(a, "slab_unreclaimable") + row(a, "slab_reclaimable"),
		 want + P(4));
	kfree(p);
	CHECK_EQ(row(a, "slab"), want);
	kept = usage(a);
	p = __vmalloc(P(7), GFP_KERNEL_ACCOUNT);
	CHECK_EQ(row(a, "vmalloc"), P(7));
	CHECK_EQ(usage(a), kept + 7);
	vfree(p);
	CHECK_EQ(row(a, "vmalloc"), 0);
	CHECK_EQ(memcg_stack_charge(0, 16, &group), 0);
	CHECK_EQ(group, a);
	CHECK_EQ(row(a, "kernel_stack"), 16 << 10);
	CHECK_EQ(row(a, "kernel"), want + (16 << 10));
	CHECK_EQ(global_node_page_state(NR_KERNEL_STACK_KB), 16);
	CHECK_EQ(usage(a), kept + 4);
	settle();
	memcg_stack_uncharge(0, 16, group);
	while (n)
		kfree(obj[--n]);
	CHECK_EQ(row(a, "kernel"), 0);
	CHECK_EQ(row(a, "sock"), 0);
	CHECK_EQ(usage(a), 0);
	join(0);
	CHECK_EQ(memcg_remove(a), 0);
	settle();
	return 0;
}

static void kinds(void **state)
{
	(void)state;
	TM_RUN(kinds_body, .mem = 32UL << 20, .seed = 1, .cpus = 2,
	       .shared_ram = true);
}

/* Bulks: all or none, and each object by itself afterwards. */
static int bulk_body(void *arg)
{
	struct kmem_cache *s = cache(64, SLAB_ACCOUNT);
	u16 a = make(0);
	void *p[OBJECTS];

	(void)arg;
	join(a);
	for (u32 n = 1; n < OBJECTS; n += 37) {
		CHECK_EQ(kmem_cache_alloc_bulk(s, GFP_KERNEL, n, p), n);
		CHECK_EQ(row(a, "slab"), n * cost(s));
		kmem_cache_free_bulk(n % 2 ? s : NULL, n / 2, p);
		CHECK_EQ(row(a, "slab"), (n - n / 2) * cost(s));
		for (u32 i = n / 2; i < n; i++)
			kmem_cache_free(s, p[i]);
		CHECK_EQ(row(a, "slab"), 0);
	}
	CHECK_EQ(memcg_write(a, "memory.max", "16K"), 0);
	CHECK_EQ(kmem_cache_alloc_bulk(s, NOW, OBJECTS, p), 0);
	CHECK_EQ(row(a, "slab"), 0);
	CHECK_EQ(usage(a), 0);
	join(0);
	CHECK_EQ(memcg_remove(a), 0);
	CHECK_EQ(kmem_cache_destroy(s), 0);
	settle();
	return 0;
}

static void bulk(void **state)
{
	(void)state;
	TM_RUN(bulk_body, .mem = 32UL << 20, .seed = 1, .cpus = 1);
}

/* ---- limits and failures
 * ------------------------------------------------------------- */

/* At memory.max there are objects for the limit's pages, and not one more. */
static int limit_body(void *arg)
{
	struct kmem_cache *s = cache(248, SLAB_ACCOUNT);
	u16 a = make(0), b = make(a);
	void *obj[OBJECTS];
	u32 n = 0, most;

	(void)arg;
	CHECK_EQ(memcg_write(a, "memory.max", "64K"), 0);
	most = (u32)(P(16) / cost(s));
	join(b);
	while (n < OBJECTS && (obj[n] = kmem_cache_alloc(s, NOW)))
		n++;
	CHECK_EQ(n, most);
	CHECK_EQ(usage(a), 16);
	/* Who must have it gets it, beyond the limit. */
	obj[n] = kmem_cache_alloc(s, GFP_KERNEL | __GFP_NOFAIL);
	CHECK(obj[n++] != NULL);
	CHECK_EQ(row(a, "slab"), n * cost(s));
	CHECK_EQ(usage(a), 17);
	while (n)
		kmem_cache_free(s, obj[--n]);
	join(0);
	CHECK_EQ(memcg_remove(b), 0);
	CHECK_EQ(memcg_remove(a), 0);
	CHECK_EQ(kmem_cache_destroy(s), 0);
	settle();
	return 0;
}

static void limit(void **state)
{
	(void)state;
	TM_RUN(limit_body, .mem = 32UL << 20, .seed = 1, .cpus = 1);
}

/* Each allocation under an object fails in turn: there is no object, or it is
 * there and nobody pays; never one that is half charged. */
static int failures_body(void *arg)
{
	struct kmem_cache *s = cache(512, SLAB_ACCOUNT);
	u16 a = make(0);
	u32 none = 0, unpaid = 0, n;

	(void)arg;
	join(a);
	for (n = 1; n < 100; n++) {
		bool fired;
		void *obj;

		kmem_cache_shrink(s); /* the next one needs a slab, a vector */
		fail_arm_nth(FAIL_MASK(FAIL_PAGE_ALLOC) | FAIL_MASK(FAIL_SLAB) |
				     FAIL_MASK(FAIL_CHARGE),
			     n, false);
		obj = kmem_cache_alloc(s, GFP_KERNEL);
		fired = fail_disarm().fired;
		none += !obj;
		unpaid += obj && !row(a, "slab");
		CHECK_EQ(row(a, "slab"),
			 obj && (!fired || row(a, "slab")) ? cost(s) : 0);
		settle();
		if (obj)
			kmem_cache_free(s, obj);
		CHECK_EQ(row(a, "slab"), 0);
		CHECK_EQ(usage(a), 0);
		if (!fired)
			break;
	}
	CHECK(n < 100 && none >= 2 && unpaid >= 1);
	join(0);
	CHECK_EQ(memcg_remove(a), 0);
	CHECK_EQ(kmem_cache_destroy(s), 0);
	settle();
	return 0;
}

static void failures(void **state)
{
	(void)state;
	TM_RUN(failures_body, .mem = 32UL << 20, .seed = 1, .cpus = 1);
}

/* Objects that CPUs kept from before there was any group are charged as well
 * when they are given out again. */
static int kept_body(void *arg)
{
	struct kmem_cache *s = cache(120, SLAB_ACCOUNT);
	void *obj[OBJECTS];
	u16 a;

	(void)arg;
	for (u32 i = 0; i < 40; i++)
		obj[i] = kmem_cache_alloc(s, GFP_KERNEL);
	for (u32 i = 0; i < 40; i++)
		kmem_cache_free(s, obj[i]);
	a = make(0);
	join(a);
	for (u32 i = 0; i < 40; i++) {
		obj[i] = kmem_cache_alloc(s, GFP_KERNEL);
		CHECK_EQ(row(a, "slab"), (i + 1) * cost(s));
	}
	for (u32 i = 0; i < 40; i++)
		kmem_cache_free(s, obj[i]);
	CHECK_EQ(row(a, "slab"), 0);
	join(0);
	CHECK_EQ(memcg_remove(a), 0);
	CHECK_EQ(kmem_cache_destroy(s), 0);
	settle();
	return 0;
}

static void kept(void **state)
{
	(void)state;
	TM_RUN(kept_body, .mem = 32UL << 20, .seed = 1, .cpus = 1);
}

/* ---- a payer that goes
 * --------------------------------------------------------------- */

static struct {
	struct mm_task *task;
	bool stop;
	u64 rounds;
} gone;

/* Charges pages all the time, for whatever group it is in. */
static void payer_thread(void *arg)
{
	struct kmem_cache *s = arg;
	void *obj[24];

	WRITE_ONCE(gone.task, port_current());
	while (!READ_ONCE(gone.stop)) {
		for (u32 i = 0; i < ARRAY_SIZE(obj); i++)
			obj[i] = kmem_cache_alloc(s, GFP_KERNEL);
		for (u32 i = 0; i < ARRAY_SIZE(obj); i++)
			kmem_cache_free(s, obj[i]);
		port_park(1000);
	}
	CHECK_EQ(memcg_attach(port_current(), 0), 0);
}

/* Its group is taken from under it and removed while it charges: the group
 * above pays, and nothing is left of the one that went. */
static int gone_body(void *arg)
{
	struct kmem_cache *s = cache(1000, SLAB_ACCOUNT);
	struct port_thread *t;
	u16 top = make(0), id;

	memset(&gone, 0, sizeof(gone));
	gone.rounds = *(u64 *)arg;
	CHECK_EQ(sim_thread_start_on(&t, "payer", tm.cfg.cpus - 1, payer_thread,
				     s),
		 0);
	while (!READ_ONCE(gone.task))
		port_park(1000);
	for (u64 i = 0; i < gone.rounds; i++) {
		id = make(top);
		CHECK_EQ(memcg_attach(gone.task, id), 0);
		port_park(1000 + i % 7 * 900);
		CHECK_EQ(memcg_attach(gone.task, top), 0);
		CHECK_EQ(memcg_remove(id), 0);
	}
	WRITE_ONCE(gone.stop, true);
	port_thread_join(t);
	settle();
	CHECK_EQ(memcg_sys.nr_groups, 1);
	CHECK_EQ(usage(top), 0);
	CHECK_EQ(memcg_remove(top), 0);
	CHECK_EQ(kmem_cache_destroy(s), 0);
	settle();
	CHECK_EQ(memcg_sys.nr_groups, 0);
	return 0;
}

static void payer_gone(void **state)
{
	u64 rounds = tm_soak() ? 400 : 60;

	(void)state;
	for (u64 seed = 1; seed < 7; seed++)
		TM_RUN(gone_body, .arg = &rounds, .mem = 32UL << 20,
		       .seed = seed, .cpus = 2, .explore = true);
}

/* ---- what a removed group leaves
 * ----------------------------------------------------- */

/* Its objects are its parent's, then the root's: none of them keeps it. */
static int reparent_body(void *arg)
{
	struct kmem_cache *s = cache(96, SLAB_ACCOUNT);
	u16 a = make(0), b = make(a), c = make(b);
	void *obj[OBJECTS];
	u64 bytes = OBJECTS * cost(s);

	(void)arg;
	join(c);
	for (u32 i = 0; i < OBJECTS; i++)
		obj[i] = kmem_cache_alloc(s, GFP_KERNEL);
	join(0);
	CHECK_EQ(memcg_remove(c), 0);
	settle();
	CHECK_EQ(memcg_sys.nr_groups, 2);
	CHECK_EQ(row(b, "slab"), bytes);
	CHECK_EQ(row(a, "slab"), bytes);
	CHECK_EQ(usage(b), PFN_UP(bytes));
	CHECK_EQ(memcg_remove(b), 0);
	settle();
	CHECK_EQ(memcg_sys.nr_groups, 1);
	for (u32 i = 0; i < OBJECTS / 2; i++)
		kmem_cache_free(s, obj[i]);
	bytes -= OBJECTS / 2 * cost(s);
	CHECK_EQ(row(a, "slab"), bytes);
	CHECK_EQ(usage(a), PFN_UP(bytes));
	CHECK_EQ(memcg_remove(a), 0);
	settle();
	CHECK_EQ(memcg_sys.nr_groups, 0);
	CHECK(!list_empty(&memcg_sys.root_objcgs));
	for (u32 i = OBJECTS / 2; i < OBJECTS; i++)
		kmem_cache_free(s, obj[i]);
	settle();
	CHECK(list_empty(&memcg_sys.root_objcgs));
	CHECK(list_empty(&memcg_sys.objcg_pages));
	CHECK_EQ(kmem_cache_destroy(s), 0);
	settle();
	return 0;
}

static void reparent(void **state)
{
	(void)state;
	TM_RUN(reparent_body, .mem = 32UL << 20, .seed = 1, .cpus = 2);
}

/* ---- all at once
 * --------------------------------------------------------------------- */

#define WORKERS 3
#define SHARED	96
#define GROUPS	5

static struct {
	struct kmem_cache *s[2];
	u64 seed, steps;
	void *slot[SHARED];    /* by exchange */
	u16 id[GROUPS], spare; /* id[0] is above the others */
	u64 charged[WORKERS], refused[WORKERS];
} wk;

/* Takes what is in a slot and puts something else there. */
static void worker_step(u32 w, struct prng *rng)
{
	u32 i = (u32)prng_below(rng, SHARED), kind = (u32)prng_below(rng, 4);
	gfp_t gfp = prng_below(rng, 4) ? NOW : GFP_NOWAIT | __GFP_NOWARN;
	void *obj = NULL;

	if (kind == 0)
		obj = kmalloc(prng_below(rng, 3000) + 1, gfp | __GFP_ACCOUNT);
	else if (kind < 3)
		obj = kmem_cache_alloc(wk.s[kind - 1], gfp);
	wk.charged[w] += obj != NULL;
	wk.refused[w] += kind < 3 && !obj;
	kfree(__atomic_exchange_n(&wk.slot[i], obj, __ATOMIC_ACQ_REL));
}

static void worker(void *arg)
{
	u32 w = (u32)(uintptr_t)arg;
	struct prng rng;

	prng_seed(&rng, wk.seed * 10 + w);
	for (u64 n = 0; n < wk.steps; n++) {
		u32 what = (u32)prng_below(&rng, 40);
		u16 spare, id;

		if (what == 0)
			join(wk.id[prng_below(&rng, GROUPS)]);
		if (what == 1) {
			spare = __atomic_exchange_n(&wk.spare, 0,
						    __ATOMIC_ACQ_REL);
			if (spare && !memcg_attach(port_current(), spare)) {
				worker_step(w, &rng);
				CHECK_EQ(memcg_attach(port_current(), 0), 0);
			}
			if (spare)
				CHECK_EQ(memcg_remove(spare), 0);
			if (!memcg_create(
				    wk.id[1 + prng_below(&rng, GROUPS - 1)],
				    &id) &&
			    (spare = __atomic_exchange_n(&wk.spare, id,
							 __ATOMIC_ACQ_REL)))
				CHECK_EQ(memcg_remove(spare), 0);
		}
		if (what == 2)
			memcg_drain(NULL);
		if (what == 3)
			kmem_cache_shrink(wk.s[n % 2]);
		worker_step(w, &rng);
	}
	CHECK_EQ(memcg_attach(port_current(), 0), 0);
}

static int random_body(void *arg)
{
	struct port_thread *t[WORKERS];

	(void)arg;
	wk.s[0] = cache(200, SLAB_ACCOUNT);
	wk.s[1] = cache(40, SLAB_ACCOUNT | SLAB_TYPESAFE_BY_RCU);
	wk.id[0] = make(0);
	for (u32 g = 1; g < GROUPS; g++)
		wk.id[g] = make(wk.id[0]);
	CHECK_EQ(memcg_write(wk.id[1], "memory.max", "32K"), 0);
	for (u32 w = 0; w < WORKERS; w++)
		CHECK_EQ(sim_thread_start_on(&t[w], "worker",
					     (int)w % tm.cfg.cpus, worker,
					     (void *)(uintptr_t)w),
			 0);
	for (u32 w = 0; w < WORKERS; w++)
		port_thread_join(t[w]);
	settle();
	for (u32 i = 0; i < SHARED; i++)
		kfree(wk.slot[i]);
	settle();
	CHECK_EQ(row(wk.id[0], "slab"), 0);
	CHECK_EQ(usage(wk.id[0]), 0);
	if (wk.spare)
		CHECK_EQ(memcg_remove(wk.spare), 0);
	for (u32 g = GROUPS; g-- > 0;)
		CHECK_EQ(memcg_remove(wk.id[g]), 0);
	CHECK_EQ(kmem_cache_destroy(wk.s[0]), 0);
	CHECK_EQ(kmem_cache_destroy(wk.s[1]), 0);
	settle();
	CHECK_EQ(memcg_sys.nr_groups, 0);
	CHECK(list_empty(&memcg_sys.objcg_pages));
	return 0;
}

static void random_work(void **state)
{
	u64 base = test_env("SEED", 1), refused = 0;

	(void)state;
	for (u64 seed = base; seed < base + (tm_soak() ? 400 : 8); seed++) {
		memset(&wk, 0, sizeof(wk));
		wk.seed = seed;
		wk.steps = test_iters(tm_soak() ? 3000 : 600);
		TM_RUN(random_body, .mem = 32UL << 20, .seed = seed,
		       .cpus = 1 + (int)(seed % 3), .explore = seed % 2 == 0);
		for (u32 w = 0; w < WORKERS; w++)
			refused += wk.refused[w];
	}
	CHECK(refused > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exact),       cmocka_unit_test(kinds),
		cmocka_unit_test(bulk),	       cmocka_unit_test(limit),
		cmocka_unit_test(failures),    cmocka_unit_test(reparent),
		cmocka_unit_test(random_work), cmocka_unit_test(kept),
		cmocka_unit_test(payer_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
