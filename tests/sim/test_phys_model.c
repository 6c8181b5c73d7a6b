/* SPDX-License-Identifier: MIT */
/*
 * The page allocator against a model, for millions of operations: a byte per
 * frame and a list of what is out (model_phys.h), on machines of several
 * shapes. After each step on a small machine, and every so often on a large
 * one, the allocator's own checks run and its sums are compared; now and then
 * every free list is. Then every state of sixteen frames.
 *
 *	SEED=n ITERS=k   start with seed n, k operations in all
 *	SOAK=1           ten million operations, or SOAK_MINUTES (20) minutes
 *	CHECK=1          all checks after each step, on machines of any size
 *
 * A run is a row of machines with the seeds n, n+1, ...; a failure prints the
 * line that repeats the machine that failed alone. To add an operation: write
 * a function, put it in ops[].
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <time.h>

#include "model_phys.h"
#include "phys/page_isolation.h"

#if defined(__SANITIZE_ADDRESS__)
#define SHARE 150000
#elif MM_DEBUG
#define SHARE 300000
#else
#define SHARE 500000
#endif

#define KiB	 (1UL << 10)
#define SOAK_OPS 10000000UL

/* ---- the machines
 * ------------------------------------------------------------- */

struct shape {
	const char *name;
	int cpus, nodes;
	struct {
		u64 start, size;
	} ram[3];
	bool mixed;	   /* no grouping by mobility, whatever the size */
	u32 ops;	   /* operations on one machine */
	u32 check, census; /* steps from one to the next */
};

static const struct shape shapes[] = {
	{"3 MiB", 1, 1, {{0, 3 * MiB}}, false, 4000, 1, 8},
	{"7 MiB", 2, 1, {{0, 7 * MiB}}, false, 4000, 2, 16},
	{"14 MiB", 2, 1, {{0, 14 * MiB}}, false, 5000, 8, 64},
	{"20 MiB", 3, 1, {{0, 20 * MiB}}, false, 5000, 16, 128},
	{"two nodes",
	 4,
	 2,
	 {{0, 12 * MiB}, {12 * MiB, 12 * MiB}},
	 false,
	 6000,
	 16,
	 128},
	{"three zones",
	 3,
	 1,
	 {{0, 6 * MiB}, {GiB + 5 * MiB, 6 * MiB}, {4 * GiB, 14 * MiB}},
	 false,
	 6000,
	 16,
	 128},
	{"zones and nodes",
	 4,
	 2,
	 {{0, 20 * MiB}, {4 * GiB + 8 * MiB, 20 * MiB}},
	 false,
	 6000,
	 32,
	 256},
	{"32 MiB, not grouped", 2, 1, {{0, 32 * MiB}}, true, 6000, 32, 256},
	{"64 MiB", 4, 1, {{0, 64 * MiB}}, false, 10000, 100, 1000},
	{"280 MiB, deferred", 2, 1, {{0, 300 * MiB}}, false, 12000, 2000, 6000},
};

static void shape_boot(const struct shape *s)
{
	static struct e820_table map;
	static u8 cpu_node[MM_NR_CPUS];
	struct phys_node_range nodes[3];
	struct phys_boot_params p = {.map = &map, .nodes = nodes};
	int nr = 0;

	for (int i = 0; i < MM_NR_CPUS; i++)
		cpu_node[i] = (u8)(i % s->nodes);
	pm_hardware(s->cpus, cpu_node, 1);
	e820_init(&map);
	for (; nr < 3 && s->ram[nr].size; nr++) {
		u64 start = s->ram[nr].start, end = start + s->ram[nr].size;

		assert_int_equal(
			e820_add(&map, start, end - start, E820_TYPE_RAM), 0);
		nodes[nr] = (struct phys_node_range){start, end,
						     s->nodes == 1 ? 0 : nr};
	}
	p.nr_nodes = nr;
	p.no_mobility_grouping = s->mixed;
	assert_int_equal(phys_boot_memory(&p), 0);
}

/* ---- one machine's life
 * -------------------------------------------------------------- */

static struct {
	const struct shape *shape;
	struct prng rnd;
	u64 isolated, brims; /* over all machines of the run */
	u64 steps;	     /* of this machine */
	bool check_all;	     /* after each step */
	int lean;	     /* of 16: how many choices are for taking */
} life;

static struct prng *const rnd = &life.rnd;

static u64 below(u64 n)
{
	return prng_below(rnd, n);
}

static bool one_in(u64 n)
{
	return prng_one_in(rnd, n);
}

static unsigned int some_order(void)
{
	switch (below(8)) {
	case 0:
		return (unsigned int)below(MAX_ORDER);
	case 1:
	case 2:
		return (unsigned int)below(5);
	case 3:
		return 1 + (unsigned int)below(3);
	default:
		return 0;
	}
}

static gfp_t some_gfp(void)
{
	static const gfp_t kinds[] = {
		GFP_KERNEL,
		GFP_KERNEL | __GFP_RECLAIMABLE,
		GFP_HIGHUSER_MOVABLE,
		GFP_HIGHUSER_MOVABLE,
		GFP_ATOMIC,
		GFP_NOWAIT | __GFP_MOVABLE,
		GFP_NOFS | __GFP_RECLAIMABLE,
		GFP_NOIO,
		GFP_DMA | GFP_KERNEL,
		GFP_DMA | GFP_ATOMIC,
		GFP_USER,
		GFP_HIGHUSER,
		GFP_DMA32 | GFP_KERNEL,
		GFP_DMA32 | __GFP_MOVABLE | GFP_NOFS,
		GFP_KERNEL_ACCOUNT,
		GFP_ATOMIC | __GFP_ACCOUNT | __GFP_NOMEMALLOC,
	};
	static const gfp_t more[] = {
		__GFP_COMP,    __GFP_COMP,	    __GFP_ZERO, __GFP_THISNODE,
		__GFP_NORETRY, __GFP_RETRY_MAYFAIL, __GFP_WRITE};
	gfp_t gfp = kinds[below(ARRAY_SIZE(kinds))] | __GFP_NOWARN;

	while (one_in(3))
		gfp |= more[below(ARRAY_SIZE(more))];
	return gfp;
}

/* A node to ask for: mostly none in particular. */
static int some_node(void)
{
	return one_in(4) ? (int)below((u64)life.shape->nodes) : -1;
}

static int some_cpu(void)
{
	return (int)below((u64)port_nr_cpus());
}

/* A live block that WANT says yes to, or MODEL_MAX_LIVE after a few tries. */
static u64 some_block(bool (*want)(const struct model_block *b))
{
	for (int i = 0; i < 8 && model.nr_live; i++) {
		u64 k = below(model.nr_live);

		if (!want || want(&model.live[k]))
			return k;
	}
	return MODEL_MAX_LIVE;
}

/* ---- operations: taking
 * ------------------------------------------------------------------ */

static struct page *request(gfp_t gfp, unsigned int order, int nid)
{
	struct page *page;

	if (!model_room(1))
		return NULL;
	page = nid < 0 && one_in(2) ? alloc_pages(gfp, order)
				    : __alloc_pages(gfp, order, nid);
	if (page) {
		model_check_place(page, order, gfp, nid);
		model_add(page, order, gfp);
	}
	return page;
}

static void op_alloc(void)
{
	unsigned int order = some_order();
	gfp_t gfp = some_gfp();
	int nid = some_node();

	if (!request(gfp, order, nid) && order == 0 && model_room(1))
		model_refused_single(gfp, nid);
}

static void op_bulk(void)
{
	static struct page *pages[128];
	u64 n = 1 + below(ARRAY_SIZE(pages)), got;
	gfp_t gfp = some_gfp() & ~__GFP_COMP;
	int nid = some_node();

	if (!model_room(n))
		return;
	memset(pages, 0, sizeof(pages));
	if (one_in(3)) {
		/* A slot that is taken already stays as it is. */
		pages[n / 2] = request(gfp, 0, nid);
		got = alloc_pages_bulk(gfp, nid, n, pages);
		must(got <= n);
		for (u64 i = 0; i < n; i++) {
			must(i >= got || pages[i]);
			if (!pages[i] ||
			    (i == n / 2 && pages[i]->refcount &&
			     model.frame[page_to_pfn(pages[i])] == FRAME_USED))
				continue;
			model_check_place(pages[i], 0, gfp, nid);
			model_add(pages[i], 0, gfp);
		}
		return;
	}
	got = alloc_pages_bulk(gfp, nid, n, pages);
	must(got <= n);
	for (u64 i = 0; i < n; i++) {
		must((i < got) == (pages[i] != NULL));
		if (i >= got)
			continue;
		model_check_place(pages[i], 0, gfp, nid);
		model_add(pages[i], 0, gfp);
	}
	if (got < n)
		model_refused_single(gfp, nid);
}

static void op_exact(void)
{
	u64 frames = 1 + below(one_in(8) ? 700 : 40);
	gfp_t gfp = some_gfp() & ~(__GFP_COMP | __GFP_THISNODE);
	struct page *page;

	if (!model_room(frames))
		return;
	page = alloc_pages_exact(frames * PAGE_SIZE - below(PAGE_SIZE), gfp);
	for (u64 i = 0; page && i < frames; i++) {
		model_check_place(page + i, 0, gfp, -1);
		model_add(page + i, 0, gfp);
	}
}

/* With permissions beyond what alloc_pages() has: down to the last frame. */
static struct page *request_deep(gfp_t gfp, unsigned int order, u32 flags)
{
	struct alloc_context ac;
	struct page *page;

	/* Nobody charges on this way. */
	gfp &= ~(__GFP_ACCOUNT | __GFP_HARDWALL);
	prepare_alloc_context(&ac, gfp, -1);
	if (!ac.preferred_zoneref->zone || !model_room(1))
		return NULL;
	page = get_page_from_freelist(gfp, order, flags, &ac);
	if (page) {
		model_check_place(page, order, gfp, -1);
		model_add(page, order, gfp);
	} else if (flags & ALLOC_NO_WATERMARKS) {
		model_refused_all(order, gfp, -1);
	} else if (order == 0) {
		model_refused_flags(gfp, flags);
	}
	return page;
}

static void op_reserves(void)
{
	static const u32 more[] = {0,
				   ALLOC_HIGH,
				   ALLOC_HARDER,
				   ALLOC_OOM,
				   ALLOC_HIGH | ALLOC_HARDER,
				   ALLOC_NO_WATERMARKS,
				   ALLOC_NOFRAGMENT,
				   ALLOC_WMARK_HIGH,
				   ALLOC_KSWAPD};
	gfp_t gfp = some_gfp();

	for (u64 n = 1 + below(20); n; n--)
		(void)request_deep(gfp, some_order(),
				   gfp_to_alloc_flags(gfp) |
					   more[below(ARRAY_SIZE(more))]);
}

/* To the brim: the largest blocks first, or by single frames. */
static void op_fill(void)
{
	gfp_t gfp = some_gfp() & ~(__GFP_ZERO | __GFP_COMP);
	unsigned int order = MAX_ORDER - 1;

	if (life.shape->census > 2000 ? !one_in(8) : !one_in(2))
		return;
	if (one_in(4) && model.managed < 8192)
		order = 0;
	for (;;) {
		if (request_deep(gfp, order, ALLOC_NO_WATERMARKS))
			continue;
		if (order-- == 0)
			break;
	}
	life.brims++;
	life.lean = (int)below(8);
}

static void op_highatomic(void)
{
	gfp_t gfp = GFP_ATOMIC | __GFP_NOWARN | (one_in(2) ? __GFP_COMP : 0);

	(void)request_deep(gfp, 1 + (unsigned int)below(4),
			   gfp_to_alloc_flags(gfp));
}

static void op_unreserve(void)
{
	struct alloc_context ac;

	prepare_alloc_context(&ac, some_gfp(), some_node());
	if (ac.preferred_zoneref->zone)
		unreserve_highatomic_pageblock(&ac, one_in(2));
}

/* ---- operations: giving back
 * ----------------------------------------------------------------- */

static void give_block(const struct model_block *b)
{
	struct page *page = pfn_to_page(b->pfn);

	switch (below(4)) {
	case 0:
		put_page(b->comp ? page + below(1UL << b->order) : page);
		break;
	case 1:
		get_page(page);
		__free_pages(page, b->order);
		must_eq(page_count(page), 1);
		put_page(page);
		break;
	case 2:
		must(put_page_testzero(page));
		free_unref_page(page, b->order);
		break;
	default:
		__free_pages(page, b->order);
	}
}

static void free_nth(u64 k)
{
	struct model_block b = model_take(k);

	give_block(&b);
	if (b.order > PAGE_ALLOC_COSTLY_ORDER && b.order != pageblock_order) {
		model_check_list(b.pfn);
		return;
	}
	model_check_stack(b.pfn, b.order);
	if (one_in(32)) {
		drain_pages(port_cpu());
		model_check_list(b.pfn);
	}
}

static void op_free(void)
{
	u64 k = some_block(NULL);

	if (k < MODEL_MAX_LIVE)
		free_nth(k);
}

/* What came last goes first, as programs do it. */
static void op_free_last(void)
{
	for (u64 n = 1 + below(8); n && model.nr_live; n--)
		free_nth(model.nr_live - 1);
}

static void op_free_many(void)
{
	u64 n = below(model.nr_live + 1) / (1 + below(4));

	for (; n && model.nr_live; n--)
		free_nth(below(model.nr_live));
	life.lean = (int)below(17);
}

static bool is_single(const struct model_block *b)
{
	return b->order == 0;
}

static bool can_split(const struct model_block *b)
{
	return b->order && !b->comp;
}

static void op_free_list(void)
{
	struct page_list list;

	page_list_init(&list);
	for (u64 n = 1 + below(40); n; n--) {
		u64 k = some_block(is_single);
		struct model_block b;

		if (k >= MODEL_MAX_LIVE)
			break;
		b = model_take(k);
		must(put_page_testzero(pfn_to_page(b.pfn)));
		page_list_add(&list, pfn_to_page(b.pfn));
	}
	free_unref_page_list(&list);
	must(page_list_empty(&list));
}

static void op_split(void)
{
	u64 k = some_block(can_split);
	struct model_block b;

	if (k >= MODEL_MAX_LIVE)
		return;
	b = model.live[k];
	if (!model_room(1UL << b.order))
		return;
	split_page(pfn_to_page(b.pfn), b.order);
	model_split(k);
}

/* ---- operations: around
 * ------------------------------------------------------------------- */

static void op_drain(void)
{
	if (one_in(3))
		drain_all_pages();
	else
		drain_pages(some_cpu());
}

/* On whichever CPU: the running thread goes there. */
static void op_hop(void)
{
	sim_set_cpu(port_self(), some_cpu());
}

static void op_tune(void)
{
	static const u32 ratios[] = {0, 1, 2, 9, 32, 256};
	struct phys_tunables *t = &phys_sys.tunables;
	u64 kb = model.managed << (PAGE_SHIFT - 10), marks = 0;
	struct zone *zone;

	t->min_free_kbytes = one_in(3) ? kb / 64 : below(kb / 6);
	t->watermark_scale_factor = one_in(2) ? 10 : (u32)below(1000);
	t->watermark_boost_factor = one_in(2) ? 15000 : (u32)below(30000);
	t->percpu_pagelist_high_fraction = one_in(2) ? 0 : 8 + (u32)below(500);
	for (int i = 0; i < MAX_NR_ZONES; i++)
		t->lowmem_reserve_ratio[i] = ratios[below(ARRAY_SIZE(ratios))];
	setup_per_zone_wmarks();
	for_each_populated_zone (zone) {
		must(min_wmark_pages(zone) <= low_wmark_pages(zone));
		must(low_wmark_pages(zone) <= high_wmark_pages(zone));
		must_eq(zone->watermark_boost, 0);
		marks += min_wmark_pages(zone);
	}
	must(marks <= t->min_free_kbytes >> (PAGE_SHIFT - 10));
}

/* Watched, the fast ways leave to the slow ones: both must do the same. */
static void op_watch(void)
{
	phys_sys.tunables.check_pages = one_in(2);
	trace_enable_mask(0);
	if (one_in(3)) {
		trace_enable(TRACE_MM_PAGE_ALLOC);
		trace_enable(TRACE_MM_PAGE_FREE);
		trace_enable(TRACE_MM_PAGE_PCPU_DRAIN);
	}
}

static void op_inject(void)
{
	gfp_t gfp = some_gfp() & ~__GFP_THISNODE;
	struct fail_result r;
	struct page *page;

	fail_arm_nth(FAIL_MASK(FAIL_PAGE_ALLOC) | FAIL_MASK(FAIL_CHARGE),
		     1 + below(2), one_in(2));
	page = request(gfp, some_order(), -1);
	r = fail_disarm();
	must(!page || !r.fired);
}

/* ---- operations: isolation
 * ------------------------------------------------------------------- */

/* Has pageblock B frames of more than one zone? */
static bool block_shared(u64 b)
{
	struct zone *zone;
	int nr = 0;

	for_each_populated_zone (zone)
		nr += zone->zone_start_pfn < (b + 1) << 9 &&
		      zone_end_pfn(zone) > b << 9;
	return nr > 1;
}

/*
 * Shut a pageblock by one of its free frames: what else is in use in it does
 * not count then. The model has no frame of it on a per-CPU list any more.
 */
static void op_isolate(void)
{
	u64 k = some_block(NULL), pfn, b;
	int err, mt;

	if (k >= MODEL_MAX_LIVE)
		return;
	pfn = model.live[k].pfn + below(2048);
	if (pfn >= MODEL_PFNS || model.frame[pfn] != FRAME_FREE)
		return;
	b = pfn >> 9;
	mt = get_pfnblock_migratetype(pfn);
	err = start_isolate_page_range(pfn, pfn + 1, MIGRATE_MOVABLE, 0);
	if (model.isolated[b] || block_shared(b))
		must_eq(err, -EBUSY);
	else
		must_eq(err, 0);
	if (err)
		return;
	model.isolated[b] = (u8)(1 + mt);
	life.isolated++;
}

static void unisolate(u64 b)
{
	undo_isolate_page_range(b << 9, (b + 1) << 9,
				one_in(2) ? MIGRATE_PREVIOUS : MIGRATE_MOVABLE);
	model.isolated[b] = 0;
}

static void op_unisolate(void)
{
	for (u64 b = 0; b < MODEL_BLOCKS; b++) {
		if (model.isolated[b] && one_in(2))
			unisolate(b);
	}
}

/* ---- the table of operations
 * -------------------------------------------------------------------- */

struct op {
	const char *name;
	void (*run)(void);
	u32 weight; /* of 1000 that are neither taking nor giving */
};

static const struct op taking[] = {
	{"alloc", op_alloc, 930},	   {"bulk", op_bulk, 20},
	{"exact", op_exact, 20},	   {"reserves", op_reserves, 20},
	{"highatomic", op_highatomic, 10},
};

static const struct op giving[] = {
	{"free", op_free, 920},
	{"free last", op_free_last, 40},
	{"free list", op_free_list, 20},
	{"split", op_split, 20},
};

static const struct op others[] = {
	{"hop", op_hop, 600},
	{"drain", op_drain, 120},
	{"tune", op_tune, 30},
	{"watch", op_watch, 30},
	{"inject", op_inject, 100},
	{"isolate", op_isolate, 30},
	{"unisolate", op_unisolate, 20},
	{"unreserve", op_unreserve, 40},
	{"fill", op_fill, 15},
	{"free many", op_free_many, 15},
};

/* By weight, which sums up to 1000 in each table. */
static const struct op *pick(const struct op *table)
{
	u64 at = below(1000);

	while (at >= table->weight)
		at -= (table++)->weight;
	return table;
}

static const struct op *next_op(void)
{
	if (one_in(8))
		return pick(others);
	return pick((int)below(16) < life.lean ? taking : giving);
}

static void life_check(u64 step)
{
	bool all = life.check_all;

	if (all || step % life.shape->check == 0) {
		phys_check();
		model_compare();
	}
	if (all || step % life.shape->census == 0)
		model_census();
}

/* All is given back; the machine is as it was. */
static void life_end(void)
{
	model.op = "end";
	fail_disarm();
	trace_enable_mask(0);
	while (model.nr_live)
		free_nth(model.nr_live - 1);
	for (u64 b = 0; b < MODEL_BLOCKS; b++) {
		if (model.isolated[b])
			unisolate(b);
	}
	drain_all_pages();
	phys_check();
	model_compare();
	model_census();
	must_eq(nr_free_pages(), model.managed);
}

static int life_main(void *arg)
{
	(void)arg;
	for (u64 step = 0; step < life.steps; step++) {
		const struct op *op = next_op();

		model.step = step;
		model.op = op->name;
		op->run();
		life_check(step);
		if (one_in(200))
			life.lean = 4 + (int)below(9);
	}
	life_end();
	return 0;
}

/* The machine of SEED for at most STEPS operations. Returns how many. */
static u64 live_once(u64 seed, u64 steps)
{
	int err;

	prng_seed(&life.rnd, seed);
	life.shape = &shapes[below(ARRAY_SIZE(shapes))];
	life.steps = min(steps, (u64)life.shape->ops);
	life.check_all = pm_env("CHECK", 0);
	life.lean = 10;
	shape_boot(life.shape);
	model_begin(seed);
	err = sim_run(life_main, NULL);
	if (err) {
		fprintf(stderr,
			"%s\nmachine \"%s\", step %lu, \"%s\"; again: "
			"SEED=%lu ITERS=%lu CHECK=1 test_phys_model\n",
			pm_log + (pm_log_len > 2000 ? pm_log_len - 2000 : 0),
			life.shape->name, model.step, model.op, seed,
			model.step + 1);
		exit(1);
	}
	pm_shutdown();
	return life.steps;
}

static u64 now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (u64)ts.tv_sec;
}

static void test_model(void **state)
{
	bool soak = pm_env("SOAK", 0);
	u64 seed = pm_env("SEED", 1), done = 0, lives = 0;
	u64 ops = pm_env("ITERS", soak ? SOAK_OPS : SHARE);
	u64 end = now_s() + 60 * pm_env("SOAK_MINUTES", 20);

	(void)state;
	print_message("SEED=%lu ITERS=%lu\n", seed, ops);
	while (done < ops && !(soak && now_s() >= end))
		done += live_once(seed + lives++, ops - done);
	print_message("%lu operations on %lu machines, seeds %lu..%lu\n", done,
		      lives, seed, seed + lives - 1);
	print_message("%lu blocks given, %lu frames, %lu refused; to the brim "
		      "%lu times; %lu pageblocks isolated\n",
		      model.given, model.frames, model.refused, life.brims,
		      life.isolated);
	assert_true(soak || done == ops);
	/* A long run went everywhere. */
	assert_true(done < 50000 || (model.given > done / 2 && model.refused &&
				     life.brims && life.isolated));
	pm_hardware(1, NULL, 1);
}

/* ---- every state of sixteen frames
 * -----------------------------------------------------------------
 *
 * A state is which frames are out and where their blocks begin; which blocks
 * are free follows, because free buddies merge. From every state: a request of
 * each order, with each of the blocks that could serve it first on its list,
 * and the return of each block. All states are reached: their number is known,
 * since a range of 2^n frames is one block that is out, or two halves:
 * f(0) = 2, f(n) = f(n - 1)^2 + 1.
 */
#define SCOPE_ORDER 4
#define SCOPE	    (1u << SCOPE_ORDER)
#define SCOPE_ID    200
#define SCOPE_SLOTS (1u << 20)

/* A zone of sixteen frames, taken from a real one, and the search in it. */
static struct {
	struct zone zone;
	u64 base, transitions;
	unsigned int order; /* the search's: 2^order frames take part */
	u32 nr;
	u32 queue[SCOPE_SLOTS], slot[SCOPE_SLOTS];
} scope;

/* The frames out, and the first frames of blocks. */
#define KEY(used, starts) ((u32)(used) | (u32)(starts) << 16)
#define KEY_USED(key)	  ((key)&0xffffu)
#define KEY_STARTS(key)	  ((key) >> 16)

static u32 frames_at(u32 at, unsigned int order)
{
	return ((1u << (1u << order)) - 1) << at;
}

static void scope_make(unsigned int order)
{
	struct page *block = alloc_pages(GFP_KERNEL, SCOPE_ORDER);

	assert_non_null(block);
	memset(&scope, 0, sizeof(scope));
	scope.order = order;
	scope.base = page_to_pfn(block);
	scope.zone.zone_pgdat = NODE_DATA(0);
	scope.zone.zone_start_pfn = scope.base;
	scope.zone.spanned_pages = scope.zone.present_pages = SCOPE;
	scope.zone.managed_pages = SCOPE;
	scope.zone.zone_id = SCOPE_ID;
	phys_sys.hot.zone_of[SCOPE_ID] = &scope.zone;
	split_page(block, SCOPE_ORDER);
	for (u64 i = 0; i < SCOPE; i++)
		block[i].zone_id = SCOPE_ID;
}

/* The order of the free block that begins at AT; -1: none does. */
static int find_free_order(u32 used, u32 at)
{
	int order = -1;

	for (unsigned int o = 0; o <= scope.order; o++) {
		if (at & ((1u << o) - 1) || used & frames_at(at, o))
			break;
		order = (int)o;
	}
	/* Part of a larger one? */
	for (unsigned int o = (unsigned int)(order + 1);
	     order >= 0 && o <= scope.order; o++) {
		if (!(used & frames_at(at & ~((1u << o) - 1), o)))
			return -1;
	}
	return order;
}

/* find_free_order(), computed once for all sets of frames. */
static s8 free_order[1u << SCOPE][SCOPE];

static int free_order_at(u32 used, u32 at)
{
	return free_order[used][at];
}

/* The zone as KEY says, the free block at FIRST first on its list. */
static void scope_restore(u32 key, u32 first)
{
	struct page *page = pfn_to_page(scope.base);
	u32 used = KEY_USED(key);
	u32 end = 1u << scope.order;

	for (u32 i = 0; i < SCOPE; i++) {
		page[i].flags = 0;
		page[i].private = 0;
		page[i].refcount = i < end && !(used >> i & 1) ? 0 : 1;
	}
	for (unsigned int o = 0; o <= scope.order; o++) {
		struct free_area *area = &scope.zone.free_area[o];

		page_list_init(&area->free_list[MIGRATE_MOVABLE]);
		area->nr_free = 0;
	}
	for (u32 n = 0; n < end; n++) {
		u32 at = (first + 1 + n) % end; /* FIRST comes last */
		int order = free_order_at(used, at);

		if (order >= 0)
			buddy_add(&scope.zone, page + at, (unsigned int)order,
				  MIGRATE_MOVABLE);
	}
	scope.zone.nr_free_pages = end - (u32)__builtin_popcount(used);
}

/* The lists have the blocks that must be there, and no others. */
static void scope_compare(u32 used)
{
	u32 end = 1u << scope.order, listed = 0;

	for (unsigned int o = 0; o <= scope.order; o++) {
		const struct page_list *l =
			&scope.zone.free_area[o].free_list[MIGRATE_MOVABLE];
		const struct page *p = page_list_first(l);

		must_eq(l->count, scope.zone.free_area[o].nr_free);
		for (; p; p = page_list_next(p)) {
			u32 at = (u32)(page_to_pfn(p) - scope.base);

			must(at < end);
			must_eq(free_order_at(used, at), o);
			must(!(listed & frames_at(at, o)));
			listed |= frames_at(at, o);
		}
	}
	must_eq(listed | used, (1u << end) - 1);
	must_eq(scope.zone.nr_free_pages, end - (u32)__builtin_popcount(used));
}

/* KEY was reached: to the queue, if for the first time. */
static void scope_reach(u32 key)
{
	u32 at = (u32)prng_mix(key) % SCOPE_SLOTS;

	scope.transitions++;
	scope_compare(KEY_USED(key));
	for (; scope.slot[at]; at = (at + 1) % SCOPE_SLOTS) {
		if (scope.queue[scope.slot[at] - 1] == key)
			return;
	}
	must(scope.nr < SCOPE_SLOTS / 2 + SCOPE_SLOTS / 4);
	scope.queue[scope.nr++] = key;
	scope.slot[at] = scope.nr;
}

/* A request of ORDER in state KEY. */
static void scope_alloc(u32 key, unsigned int order)
{
	u32 used = KEY_USED(key);
	unsigned int from = order;
	bool any = false;

	/* The smallest order that has a block to serve it. */
	for (; from <= scope.order && !any; from += !any) {
		for (u32 at = 0; at < 1u << scope.order; at++)
			any |= free_order_at(used, at) == (int)from;
	}
	for (u32 at = 0; at < 1u << scope.order; at++) {
		struct page *page;

		if (any ? free_order_at(used, at) != (int)from : at > 0)
			continue;
		scope_restore(key, at);
		page = __rmqueue(&scope.zone, order, MIGRATE_MOVABLE, 0);
		must_eq(page != NULL, any);
		if (!page) {
			scope_compare(used);
			continue;
		}
		must_eq(page_to_pfn(page), scope.base + at);
		scope_reach(KEY(used | frames_at(at, order),
				KEY_STARTS(key) | 1u << at));
	}
}

/* The block at AT of state KEY comes back. */
static void scope_free(u32 key, u32 at)
{
	u32 used = KEY_USED(key), starts = KEY_STARTS(key);
	unsigned int order = 0;
	u64 pfn = scope.base + at;

	/* As long as no other block begins inside. */
	while (order < scope.order && !(at & ((2u << order) - 1)) &&
	       (used & frames_at(at, order + 1)) == frames_at(at, order + 1) &&
	       (starts & frames_at(at, order + 1)) == 1u << at)
		order++;
	scope_restore(key, 0);
	for (u32 i = 0; i < 1u << order; i++)
		pfn_to_page(pfn + i)->refcount = 0;
	__free_one_page(&scope.zone, pfn_to_page(pfn), pfn, order,
			MIGRATE_MOVABLE);
	scope_reach(KEY(used & ~frames_at(at, order), starts & ~(1u << at)));
}

/* All states of 2^ORDER frames, MOST at most. Returns how many there are. */
static u32 scope_search(unsigned int order, u32 most)
{
	unsigned long flags;
	u32 next = 0;

	scope_make(order);
	for (u32 used = 0; used < 1u << (1u << order); used++) {
		for (u32 at = 0; at < 1u << order; at++)
			free_order[used][at] = (s8)find_free_order(used, at);
	}
	zone_init_free_lists(&scope.zone);
	spin_lock_irqsave(&scope.zone.lock, flags);
	scope_restore(0, 0);
	scope_reach(0);
	for (; next < scope.nr && next < most; next++) {
		u32 key = scope.queue[next];

		for (unsigned int o = 0; o <= order; o++)
			scope_alloc(key, o);
		for (u32 at = 0; at < 1u << order; at++) {
			if (KEY_STARTS(key) >> at & 1)
				scope_free(key, at);
		}
		scope_restore(key, 0);
		spin_unlock_irqrestore(&scope.zone.lock, flags);
		buddy_check(&scope.zone);
		spin_lock_irqsave(&scope.zone.lock, flags);
	}
	spin_unlock_irqrestore(&scope.zone.lock, flags);
	print_message(
		"%u frames: %u states entered, %u seen, %lu transitions\n",
		1u << order, next, scope.nr, scope.transitions);
	return scope.nr;
}

static int scope_main(void *arg)
{
	u32 all[SCOPE_ORDER + 1] = {2};
	bool whole = pm_env("SOAK", 0) || !MM_DEBUG;

	(void)arg;
	model.op = "scope";
	for (unsigned int n = 0; n <= SCOPE_ORDER; n++) {
		bool cut = n == SCOPE_ORDER && !whole;

		all[n] = n ? all[n - 1] * all[n - 1] + 1 : 2;
		if (cut)
			must(scope_search(n, 20000) > 20000);
		else
			must_eq(scope_search(n, SCOPE_SLOTS), all[n]);
	}
	return 0;
}

static void test_every_state(void **state)
{
	(void)state;
	pm_boot(8 * MiB, 1);
	assert_int_equal(sim_run(scope_main, NULL), 0);
}

/* ---- grouping
 * ---------------------------------------------------------------------------
 */

/* Where pageblocks are not grouped, all requests share one type's lists. */
static void check_ungrouped(void)
{
	struct zone *zone;

	for (gfp_t mobility = 0; mobility <= __GFP_RECLAIMABLE;
	     mobility += __GFP_MOVABLE) {
		struct page *page = alloc_page(GFP_KERNEL | mobility);
		struct page *block = alloc_pages(GFP_KERNEL | mobility, 5);

		assert_non_null(page);
		assert_non_null(block);
		assert_int_equal(get_pageblock_migratetype(page),
				 MIGRATE_UNMOVABLE);
		__free_page(page);
		__free_pages(block, 5);
	}
	for_each_populated_zone (zone) {
		for (unsigned int o = 0; o < MAX_ORDER; o++)
			assert_int_equal(zone_nr_free_blocks(zone, o, -1),
					 zone_nr_free_blocks(
						 zone, o, MIGRATE_UNMOVABLE));
	}
	/* A frame given back as another type's serves all. */
	for (int i = 0; i < 200; i++)
		__free_page(
			alloc_page(i % 2 ? GFP_KERNEL : GFP_HIGHUSER_MOVABLE));
	assert_int_equal(sum_vm_event(PGFREE), vm_event_all_zones(PGALLOC_DMA));
}

static void test_grouping(void **state)
{
	static const struct shape forced = {"",	  1, 1, {{0, 300 * MiB}},
					    true, 0, 0, 0};

	(void)state;
	/* 6 types of 512 frames: 12 MiB, holes left out. */
	pm_boot(12 * MiB + 384 * KiB, 1);
	assert_true(pm_logged("mobility grouping off."));
	assert_true(phys_sys.group_by_mobility_off);
	check_ungrouped();
	pm_shutdown();
	pm_boot(12 * MiB + 388 * KiB, 1);
	assert_true(pm_logged("mobility grouping on."));
	assert_false(phys_sys.group_by_mobility_off);
	assert_int_equal(get_pageblock_migratetype(alloc_page(GFP_KERNEL)),
			 MIGRATE_UNMOVABLE);
	assert_int_equal(
		get_pageblock_migratetype(alloc_page(GFP_HIGHUSER_MOVABLE)),
		MIGRATE_MOVABLE);
	pm_shutdown();
	shape_boot(&forced);
	assert_true(pm_logged("mobility grouping off."));
	assert_true(NODE_DATA(0)->node_zones[ZONE_DMA32].nr_deferred > 0);
	check_ungrouped();
}

static int teardown(void **state)
{
	(void)state;
	pm_shutdown();
	return 0;
}

#define T(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_model),
		T(test_every_state),
		T(test_grouping),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
