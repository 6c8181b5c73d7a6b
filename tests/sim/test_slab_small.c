/* SPDX-License-Identifier: MIT */
/*
 * The machine that the malloc library boots: descriptors made as RAM is used,
 * caches without kmalloc, few slabs, and bulk calls that pass by the CPUs'
 * arrays and touch a new slab's objects only as they are handed out.
 */
#include "sim_machine.h"

#include "base/fail.h"
#include "kmem/slab_priv.h"
#include "phys/phys.h"

#define NR_CACHES 5u
#define NR_SLOTS  3000u
#define MOST	  40u
#define STEP	  128u

static const u32 sizes[NR_CACHES] = {16, 80, 320, 1280, 5120};

struct run {
	struct prng r;
	u64 steps;
	bool lazy;
	bool many; /* slabs as large as elsewhere */
	bool late; /* CPUs come when they are needed; no frames for the map */
	struct kmem_cache *cache[NR_CACHES];
	u32 nr[NR_CACHES];
	u64 *slot[NR_CACHES][NR_SLOTS];
};

static void boot_small(const struct run *run, u64 bytes)
{
	static struct e820_table map;
	struct phys_boot_params pp = {.map = &map,
				      .no_mobility_grouping = true,
				      .min_free_kbytes = 64,
				      .memmap_step = STEP,
				      .memmap_apart = run->late,
				      .late_cpus = run->late};
	const struct slab_boot_params sp = {.slub_min_objects = 2,
					    .array_most = 8,
					    .no_kmalloc = true,
					    .few_slabs = !run->many,
					    .bulk_only = run->lazy,
					    .link_first = run->lazy};

	e820_init(&map);
	CHECK_EQ(e820_add(&map, 1UL << 32, bytes, E820_TYPE_RAM), 0);
	CHECK_EQ(phys_boot_memory(&pp), 0);
	CHECK_EQ(kmem_init(&sp), 0);
}

static void take(struct run *run, u32 c)
{
	u32 n = 1 + (u32)prng_below(&run->r, MOST), at = run->nr[c];
	void *p[MOST];

	n = min(n, NR_SLOTS - at);
	if (!n)
		return;
	if (run->lazy && prng_one_in(&run->r, 2))
		n = slab_alloc_some(run->cache[c], GFP_NOWAIT | __GFP_NOWARN, n,
				    p);
	else
		n = (u32)kmem_cache_alloc_bulk(run->cache[c],
					       GFP_NOWAIT | __GFP_NOWARN, n, p);
	for (u32 i = 0; i < n; i++) {
		u64 *obj = p[i];

		CHECK(!((uintptr_t)obj % 16));
		/* Its first and last words say whose it is. */
		obj[0] = obj[sizes[c] / 8 - 1] = (u64)(uintptr_t)obj ^ c;
		run->slot[c][at + i] = obj;
	}
	run->nr[c] += n;
}

static void give(struct run *run, u32 c)
{
	u32 n = 1 + (u32)prng_below(&run->r, MOST);
	void *p[MOST];

	n = min(n, run->nr[c]);
	for (u32 i = 0; i < n; i++) {
		u32 k = (u32)prng_below(&run->r, run->nr[c]);
		u64 *obj = run->slot[c][k], word = (u64)(uintptr_t)obj ^ c;

		CHECK(obj[0] == word && obj[sizes[c] / 8 - 1] == word);
		p[i] = obj;
		run->slot[c][k] = run->slot[c][--run->nr[c]];
	}
	kmem_cache_free_bulk(run->cache[c], n, p);
}

static void check_all(struct run *run)
{
	for (u32 c = 0; c < NR_CACHES; c++) {
		CHECK_EQ(kmem_cache_active(run->cache[c]), run->nr[c]);
		slab_check(run->cache[c]);
	}
	phys_check();
}

static void make_caches(struct run *run)
{
	for (u32 c = 0; c < NR_CACHES; c++) {
		run->cache[c] = kmem_cache_create("small", sizes[c], 16,
						  SLAB_NO_MERGE, NULL);
		CHECK(run->cache[c]);
	}
}

static int random_body(void *arg)
{
	struct run *run = arg;

	boot_small(run, 64UL << 20);
	make_caches(run);
	for (u64 i = 0; i < run->steps; i++) {
		u32 c = (u32)prng_below(&run->r, NR_CACHES);
		bool grow = i / 400 % 2 == 0;

		if (prng_one_in(&run->r, 4) ? !grow : grow)
			take(run, c);
		else
			give(run, c);
		if (i % 40 == 0)
			sim_set_cpu(port_self(), (int)prng_below(&run->r, 3));
		if (i % 50 == 0)
			check_all(run);
		if (i % 300 == 0)
			kmem_cache_shrink(run->cache[c]);
	}
	for (u32 c = 0; c < NR_CACHES; c++) {
		while (run->nr[c])
			give(run, c);
	}
	check_all(run);
	CHECK_EQ(READ_ONCE(kmem_sys.nr_bugs), 0);
	sim_set_cpu(port_self(), 0);
	for (u32 c = 0; c < NR_CACHES; c++)
		CHECK_EQ(kmem_cache_destroy(run->cache[c]), 0);
	return 0;
}

static void in_machine(int (*body)(void *), struct run *run)
{
	struct sim_config sc = {.cpus = 3, .console = tm_console};

	mm_reset();
	CHECK_EQ(sim_init(&sc), 0);
	CHECK_EQ(sim_run(body, run), 0);
	sim_shutdown();
	mm_reset();
}

static void random_bulks(void **state)
{
	u64 seed = test_env("SEED", 1), n = test_iters(tm_soak() ? 100 : 6);
	static struct run run;

	(void)state;
	for (u64 i = 0; i < n; i++) {
		memset(&run, 0, sizeof(run));
		prng_seed(&run.r, seed + i);
		run.steps = 2500;
		run.lazy = i % 3 != 2;
		tm.cfg.seed = seed + i;
		in_machine(random_body, &run);
	}
}

/* ---- what is not handed out is not touched --------------------------------
 */

/* Objects of a slab whose links are still as they were before it was made. */
static u32 untouched(struct kmem_cache *s, const void *obj)
{
	const struct page *slab = compound_head(view_to_page(obj));
	const u64 *at = page_view(slab);
	u32 n = 0;

	for (u32 i = 0; i < slab_word(slab).objects; i++)
		n += at[((size_t)i * s->layout.size + s->layout.link) / 8] ==
		     0x5a5a5a5a5a5a5a5a;
	return n;
}

/* All of free memory says 0x5a. */
static void stain(void)
{
	static struct page *page[1 << 14];
	u32 n = 0;

	while (n < ARRAY_SIZE(page) &&
	       (page[n] = alloc_page(GFP_NOWAIT | __GFP_NOWARN)))
		memset(page_view(page[n++]), 0x5a, PAGE_SIZE);
	CHECK(n > 1000 && n < ARRAY_SIZE(page));
	while (n)
		__free_page(page[--n]);
	drain_all_pages();
}

/* Not lazy: all of a slab is linked, whichever way it was made. */
static void all_linked(struct kmem_cache *s)
{
	void *p[64];

	for (u32 i = 0; i < ARRAY_SIZE(p); i++) {
		CHECK((p[i] = kmem_cache_alloc(s, GFP_NOWAIT)));
		CHECK_EQ(untouched(s, p[i]), 0);
	}
	/* The last ones came through the CPU's part. */
	CHECK(s->cpu[0] != &kmem_sys.cpu_none);
	for (u32 i = 0; i < ARRAY_SIZE(p); i++)
		kmem_cache_free(s, p[i]);
	slab_drain(s);
}

static int touch_body(void *arg)
{
	struct run *run = arg;
	struct kmem_cache *s;
	u32 objects, left;
	void *p[8];

	boot_small(run, 16UL << 20);
	stain();
	make_caches(run);
	s = run->cache[2];
	if (!run->lazy)
		all_linked(s);
	CHECK(kmem_cache_alloc_bulk(s, GFP_NOWAIT, 1, p));
	objects = slab_word(compound_head(view_to_page(p[0]))).objects;
	CHECK(objects >= 4);
	left = untouched(s, p[0]);
	CHECK(run->lazy ? left == objects : left == 0);
	memset(p[0], 0, sizes[2]);
	CHECK(kmem_cache_alloc_bulk(s, GFP_NOWAIT, 2, p + 1));
	if (run->lazy) {
		/* The next ones in order, and they go back past the arrays. */
		CHECK((char *)p[2] - (char *)p[1] == -(s64)s->layout.size);
		CHECK_EQ(untouched(s, p[0]), objects - 1);
		kmem_cache_free_bulk(s, 2, p + 1);
		CHECK_EQ(untouched(s, p[0]), objects - 3);
		CHECK_EQ(kmem_cache_active(s), 1);
		slab_check(s);
		/* What came back is used before what is fresh. */
		CHECK(kmem_cache_alloc_bulk(s, GFP_NOWAIT, 2, p + 1));
		CHECK_EQ(untouched(s, p[0]), objects - 3);
	}
	/* A drain links them all. */
	slab_drain(s);
	CHECK(untouched(s, p[0]) == 0);
	slab_check(s);
	kmem_cache_free_bulk(s, 3, p);
	CHECK_EQ(kmem_cache_active(s), 0);
	CHECK_EQ(kmem_cache_destroy(s), 0);
	return 0;
}

static void touches(void **state)
{
	struct run run = {.lazy = false};

	(void)state;
	in_machine(touch_body, &run);
	run.lazy = true;
	in_machine(touch_body, &run);
}

/* ---- descriptors, arrays and slabs are few --------------------------------
 */

/* Frames from FROM on that have a descriptor in their section by now. */
static u64 made(void)
{
	u64 n = 0;

	for (u64 pfn = 1UL << 20; pfn < (1UL << 20) + (16UL << 8); pfn++)
		n += pfn_valid(pfn);
	return n;
}

static int few_body(void *arg)
{
	static struct page *page[1 << 13];
	u64 before, was, n = 0;
	struct kmem_cache *s;
	void *p[64];

	boot_small(arg, 16UL << 20);
	before = made();
	CHECK(before > 0 && before <= 3 * STEP);
	was = before;
	while ((page[n] = alloc_page(GFP_NOWAIT | __GFP_NOWARN))) {
		u64 now = made();

		/* Grown by what was asked for, a step or a few at a time. */
		CHECK(now >= was && now - was <= 2 * STEP);
		was = now;
		CHECK(++n < ARRAY_SIZE(page));
	}
	CHECK_EQ(made(), 16UL << 8);
	CHECK(n > (16UL << 8) * 9 / 10);
	phys_check();
	while (n)
		__free_page(page[--n]);
	drain_all_pages();
	phys_check();

	CHECK(!kmem_sys.kmalloc.cache[0][0]);
	s = kmem_cache_create("few", 64, 0, SLAB_NO_MERGE, NULL);
	CHECK(s && s->sheaf_cap <= 8 && s->barn_cap == 0);
	CHECK(s->cpu_partial <= 1 && s->min_partial <= 1);
	/* One by one: through the array, which holds 8 at most. */
	for (u32 i = 0; i < 64; i++)
		CHECK((p[i] = kmem_cache_alloc(s, GFP_NOWAIT)));
	for (u32 i = 0; i < 64; i++) {
		struct slab_count count;

		kmem_cache_free(s, p[i]);
		slab_counts(s, &count);
		CHECK(count.in_arrays <= 8);
	}
	CHECK_EQ(kmem_cache_destroy(s), 0);
	return 0;
}

/* ---- slabs grow with their caches -----------------------------------------
 */

static u32 slab_bytes(const void *obj)
{
	return (u32)PAGE_SIZE
	       << compound_order(compound_head(view_to_page(obj)));
}

/* The objects that S has before slabs of BYTES are made for it. */
static u32 objects_before(struct kmem_cache *s, u32 bytes)
{
	static void *p[20000];
	u32 n = 0, before = 0;

	for (; n < ARRAY_SIZE(p); n++) {
		struct slab_count count;

		slab_counts(s, &count);
		before = (u32)count.objects;
		CHECK(kmem_cache_alloc_bulk(s, GFP_NOWAIT, 1, &p[n]));
		if (slab_bytes(p[n]) >= bytes)
			break;
		CHECK_EQ(slab_bytes(p[n]) % PAGE_SIZE, 0);
	}
	CHECK(n < ARRAY_SIZE(p));
	slab_check(s);
	kmem_cache_free_bulk(s, n + 1, p);
	CHECK_EQ(kmem_cache_active(s), 0);
	kmem_cache_shrink(s);
	return before;
}

static int grow_body(void *arg)
{
	struct kmem_cache *s;

	boot_small(arg, 64UL << 20);
	/* One in a page, three in two, seven in four: when it has six times
	 * that. */
	s = kmem_cache_create("grow", 2304, 16, SLAB_NO_MERGE, NULL);
	CHECK(s && s->layout.order == 2 && s->layout.min_order == 0);
	CHECK(objects_before(s, PAGE_SIZE) == 0);
	CHECK_EQ(objects_before(s, 2 * PAGE_SIZE), 6 * 3);
	CHECK(objects_before(s, 4 * PAGE_SIZE) >= 6 * 7);
	CHECK(objects_before(s, 4 * PAGE_SIZE) < 6 * 7 + 3);
	CHECK_EQ(kmem_cache_destroy(s), 0);
	/* Two touch three pages, one two, five eight: what counts is that. */
	s = kmem_cache_create("end", 6144, 16, SLAB_NO_MERGE, NULL);
	CHECK(s && s->layout.order == 3 && s->layout.min_order == 1);
	CHECK_EQ(objects_before(s, 4 * PAGE_SIZE), 6 * 2);
	CHECK_EQ(kmem_cache_destroy(s), 0);
	/* Two pages are no better than one, with 4 objects for 2; four are. */
	s = kmem_cache_create("even", 1664, 16, SLAB_NO_MERGE, NULL);
	CHECK(s && s->layout.min_order == 0 && s->layout.order >= 2);
	CHECK(objects_before(s, 2 * PAGE_SIZE) ==
	      objects_before(s, 4 * PAGE_SIZE));
	CHECK_EQ(kmem_cache_destroy(s), 0);
	/* 19 in a page, 39 in two: small objects must be many for that. */
	s = kmem_cache_create("dense", 208, 16, SLAB_NO_MERGE, NULL);
	CHECK(s && s->layout.min_order == 0 &&
	      s->layout.order == SLUB_DENSE_ORDER);
	CHECK(s->min_partial == 1);
	CHECK(objects_before(s, 2 * PAGE_SIZE) >= 32 * 39);
	CHECK(objects_before(s, 2 * PAGE_SIZE) < 32 * 39 + 19);
	CHECK_EQ(kmem_cache_destroy(s), 0);
	/* 73 in two pages are as good as 146 or 292; 585 in sixteen better. */
	s = kmem_cache_create("denser", 112, 16, SLAB_NO_MERGE, NULL);
	CHECK(s && s->layout.order == 4);
	CHECK(objects_before(s, 16 * PAGE_SIZE) >= 32 * 585);
	CHECK(objects_before(s, 16 * PAGE_SIZE) < 32 * 585 + 73);
	CHECK(objects_before(s, 4 * PAGE_SIZE) ==
	      objects_before(s, 16 * PAGE_SIZE));
	CHECK_EQ(kmem_cache_destroy(s), 0);
	/* 6 in a page leave a sixteenth of it, 12 in two as much, 25 in four
	 * less: they must be many, too. */
	s = kmem_cache_create("tight", 640, 16, SLAB_NO_MERGE, NULL);
	CHECK(s && s->layout.min_order == 0 && s->layout.order == 2);
	CHECK(objects_before(s, 4 * PAGE_SIZE) >= 32 * 25);
	CHECK(objects_before(s, 4 * PAGE_SIZE) < 32 * 25 + 6);
	CHECK_EQ(kmem_cache_destroy(s), 0);
	/* 7 leave little. */
	s = kmem_cache_create("enough", 576, 16, SLAB_NO_MERGE, NULL);
	CHECK(s && s->layout.order == 0);
	CHECK_EQ(kmem_cache_destroy(s), 0);
	return 0;
}

/* Without few_slabs the first is as large as any. */
static int full_size_body(void *arg)
{
	struct kmem_cache *s;

	boot_small(arg, 64UL << 20);
	s = kmem_cache_create("full", 2304, 16, SLAB_NO_MERGE, NULL);
	CHECK(s && s->layout.order > s->layout.min_order);
	CHECK(objects_before(s, (u32)PAGE_SIZE << s->layout.order) == 0);
	CHECK_EQ(kmem_cache_destroy(s), 0);
	return 0;
}

static void grows(void **state)
{
	struct run run = {.lazy = true};

	(void)state;
	in_machine(grow_body, &run);
	run.lazy = false;
	in_machine(grow_body, &run);
	run.many = true;
	in_machine(full_size_body, &run);
}

static void few(void **state)
{
	struct run run = {.lazy = true};

	(void)state;
	in_machine(few_body, &run);
	run.lazy = false;
	in_machine(few_body, &run);
}

/* What there is comes before a slab more, and only of that there may be less
 * than was asked for. */
static int some_body(void *arg)
{
	struct run *run = arg;
	struct kmem_cache *s;
	struct kmem_cache_node *n;
	void *p[64];
	u32 per;

	boot_small(run, 16UL << 20);
	make_caches(run);
	s = run->cache[2];
	n = s->node[0];
	CHECK(!slab_has_free(s));
	CHECK_EQ(slab_take_some(s, 2, p), 0);
	CHECK_EQ(n->nr_slabs, 0);
	CHECK_EQ(slab_alloc_some(s, GFP_NOWAIT, 2, p), 2);
	CHECK_EQ(n->nr_slabs, 1);
	CHECK(slab_has_free(s));
	per = (u32)n->nr_objects;
	CHECK(per > 4 && per < 30);
	CHECK_EQ(slab_take_some(s, 1, p + 2), 1);
	CHECK_EQ(slab_alloc_some(s, GFP_NOWAIT, per, p + 3), per - 3);
	CHECK_EQ(n->nr_slabs, 1);
	CHECK(!slab_has_free(s));
	CHECK_EQ(slab_take_some(s, 2, p + per), 0);
	CHECK_EQ(slab_alloc_some(s, GFP_NOWAIT, per, p + per), per);
	CHECK_EQ(n->nr_slabs, 2);
	/* Of both slabs: one is on no list, the other the CPU's. */
	kmem_cache_free_bulk(s, 2, p);
	CHECK(slab_has_free(s));
	kmem_cache_free_bulk(s, 2, p + per);
	CHECK_EQ(slab_take_some(s, 30, p + 2 * per), 4);
	CHECK(!slab_has_free(s));
	CHECK_EQ(n->nr_slabs, 2);
	for (u32 i = 0; i < 4; i++)
		p[i < 2 ? i : per + i - 2] = p[2 * per + i];
	/* No frames: nothing, and nothing changed. */
	fail_arm_nth(FAIL_MASK(FAIL_PAGE_ALLOC), 1, true);
	CHECK_EQ(slab_alloc_some(s, GFP_NOWAIT | __GFP_NOWARN, 3, p + 2 * per),
		 0);
	CHECK(fail_disarm().fired > 0);
	slab_check(s);
	CHECK_EQ(kmem_cache_active(s), 2 * per);
	kmem_cache_free_bulk(s, 2 * per, p);
	CHECK_EQ(kmem_cache_active(s), 0);
	CHECK_EQ(kmem_cache_destroy(s), 0);
	return 0;
}

static void some(void **state)
{
	struct run run = {.lazy = true};

	(void)state;
	in_machine(some_body, &run);
}

/* ---- CPUs that come late
 * ------------------------------------------------------ */

static u64 managed;

static int late_body(void *arg)
{
	struct per_cpu_pages *none = &phys_sys.pcp_none;
	struct page *page;
	struct zone *zone;
	u64 before = managed;
	s64 moved;

	boot_small(arg, 64UL << 20);
	managed = totalram_pages();
	/* The map of 16384 frames was in frames before. */
	CHECK_EQ(managed, before + (64UL << 20 >> PAGE_SHIFT) *
					   sizeof(struct page) / PAGE_SIZE);
	CHECK(phys_sys.pcp_fast[0][0].pcp);
	CHECK(!phys_sys.pcp_fast[1][0].pcp && !phys_sys.pcp_fast[2][0].pcp);
	CHECK(!phys_sys.pcp_fast[MM_NR_CPUS][0].pcp);
	sim_set_cpu(port_self(), 1);
	phys_start_cpu();
	CHECK(!phys_sys.pcp_fast[2][0].pcp);
	zone = phys_sys.pcp_fast[0][0].pcp->zone;
	for (u32 bits = 0; bits < GFP_PLACES; bits++) {
		bool has = phys_sys.pcp_fast[0][bits].pcp != none;

		CHECK(phys_sys.pcp_fast[1][bits].pcp ==
		      (has ? &zone->pageset[1] : none));
	}
	moved = zone->pageset[0].nr_moved;
	CHECK_EQ(zone->pageset[1].nr_moved, 0);
	page = alloc_pages(GFP_NOWAIT, 0);
	CHECK(page);
	CHECK(zone->pageset[1].nr_moved > 0);
	CHECK_EQ(zone->pageset[0].nr_moved, moved);
	__free_page(page);
	phys_check();
	return 0;
}

static int early_body(void *arg)
{
	boot_small(arg, 64UL << 20);
	managed = totalram_pages();
	CHECK(phys_sys.pcp_fast[2][0].pcp == &phys_sys.pcp_fast[0][0].pcp[2]);
	CHECK(phys_sys.pcp_fast[MM_NR_CPUS][0].pcp == &phys_sys.pcp_none);
	return 0;
}

static void late(void **state)
{
	struct run run = {.lazy = true};

	(void)state;
	in_machine(early_body, &run);
	run.late = true;
	in_machine(late_body, &run);
}

/* ---- what stands behind a cache's descriptor -------------------------------
 */

/* A cache that two CPUs use: how many parts and nodes came from elsewhere. */
static void use_own(struct kmem_cache *s, bool own)
{
	struct kmem_cache_whole *whole = slab_whole(s);
	void *p[2];

	CHECK((whole != NULL) == own);
	CHECK(!own || s->node[0] == &whole->node);
	CHECK_EQ(kmem_sys.boot_node.node[0]->nr_slabs != 0, !own);
	CHECK_EQ(kmem_cache_alloc_bulk(s, GFP_NOWAIT, 1, &p[0]), 1);
	sim_set_cpu(port_self(), 1);
	CHECK_EQ(kmem_cache_alloc_bulk(s, GFP_NOWAIT, 1, &p[1]), 1);
	if (own) {
		CHECK(s->cpu[0] == &whole->part && s->own_used);
		CHECK(s->cpu[1] != &whole->part);
		CHECK(s->cpu[1] != &kmem_sys.cpu_none);
		CHECK_EQ(kmem_cache_active(kmem_sys.part_cache), 1);
	}
	slab_check(s);
	kmem_cache_free_bulk(s, 2, p);
	sim_set_cpu(port_self(), 0);
}

static int own_body(void *arg)
{
	struct run *run = arg;
	u64 free[2];

	boot_small(run, 16UL << 20);
	for (u32 i = 0; i < 2; i++) {
		struct kmem_cache *s =
			kmem_cache_create("own", 64, 16, SLAB_NO_MERGE, NULL);

		CHECK(s);
		CHECK(!s->own_used);
		use_own(s, !run->many);
		CHECK_EQ(kmem_cache_destroy(s), 0);
		CHECK(run->many || !kmem_cache_active(kmem_sys.part_cache));
		/* What goes with a descriptor is no object of its own. */
		CHECK_EQ(kmem_sys.nr_bugs, 0);
		drain_all_pages();
		free[i] = nr_free_pages();
	}
	CHECK_EQ(free[0], free[1]);
	slab_check(&kmem_sys.boot_cache);
	phys_check();
	return 0;
}

static void own(void **state)
{
	struct run run = {.lazy = true};

	(void)state;
	in_machine(own_body, &run);
	run.many = true;
	in_machine(own_body, &run);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_bulks), cmocka_unit_test(touches),
		cmocka_unit_test(few),		cmocka_unit_test(grows),
		cmocka_unit_test(some),		cmocka_unit_test(late),
		cmocka_unit_test(own),
	};

	return cmocka_run_group_tests_name("slab_small", tests, NULL, NULL);
}
