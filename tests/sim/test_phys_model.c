/* SPDX-License-Identifier: MIT */
/*
 * The page allocator against a model, for millions of operations: a byte per
 * frame and a list of what is out (model_phys.h), on machines of several
 * shapes. After each step on a small machine, and every so often on a large
 * one, the allocator's own checks run and its sums are compared; now and then
 * every free list is.
 *
 *	SEED=n ITERS=k   start with seed n, k operations in all
 *	SOAK=1           ten million operations, or SOAK_MINUTES (20) minutes
 *	CHECK=1          all checks after each step, on machines of any size
 *
 * A run is a row of machines with the seeds n, n+1, ...; a failure prints the
 * line that repeats the machine that failed alone. To add an operation: write
 * a function, put it in taking[], giving[] or others[].
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <time.h>

#include <mmkit/cma.h>
#include <mmkit/memory_hotplug.h>

#include "model_phys.h"
#include "phys/layout.h"
#include "phys/page_isolation.h"

#if defined(__SANITIZE_ADDRESS__)
#define SHARE 150000
#else
#define SHARE 300000
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
	u32 movable;	   /* percent of memory that zone MOVABLE gets */
	const char *arch;  /* NULL: x86-64 */
	u64 cma;	   /* bytes of an area; 0: none */
	struct {
		u8 nr, nid;
	} plug[8]; /* blocks of 128 MiB that may come and go; 0: no more */
};

#define RAM(...)	       .ram = {__VA_ARGS__}
#define PLUG(...)	       .plug = {__VA_ARGS__}
#define EVERY(check_, census_) .check = (check_), .census = (census_)

static const struct shape shapes[] = {
	{"3 MiB", 1, 1, RAM({0, 3 * MiB}), .ops = 4000, EVERY(1, 8)},
	{"7 MiB", 2, 1, RAM({0, 7 * MiB}), .ops = 4000, EVERY(2, 16)},
	{"14 MiB", 2, 1, RAM({0, 14 * MiB}), .ops = 5000, EVERY(8, 64)},
	{"20 MiB", 3, 1, RAM({0, 20 * MiB}), .ops = 5000, EVERY(16, 128),
	 .cma = 4 * MiB},
	{"two nodes", 4, 2, RAM({0, 12 * MiB}, {12 * MiB, 12 * MiB}),
	 .ops = 6000, EVERY(16, 128)},
	{"three zones", 3, 1,
	 RAM({0, 6 * MiB}, {GiB + 5 * MiB, 6 * MiB}, {4 * GiB, 14 * MiB}),
	 .ops = 6000, EVERY(16, 128), .cma = 3 * MiB},
	{"zones and nodes", 4, 2,
	 RAM({0, 20 * MiB}, {4 * GiB + 8 * MiB, 20 * MiB}), .ops = 6000,
	 EVERY(32, 256), .cma = 6 * MiB},
	{"32 MiB, not grouped", 2, 1, RAM({0, 32 * MiB}), .mixed = true,
	 .ops = 6000, EVERY(32, 256), .cma = 4 * MiB},
	{"64 MiB", 4, 1, RAM({0, 64 * MiB}), .ops = 10000, EVERY(100, 1000),
	 .cma = 16 * MiB},
	{"300 MiB, deferred", 2, 1, RAM({0, 300 * MiB}), .ops = 12000,
	 EVERY(2000, 6000), .cma = 8 * MiB},
	{"zone MOVABLE", 2, 1, RAM({0, 40 * MiB}), .ops = 6000, EVERY(32, 256),
	 .movable = 50},
	{"MOVABLE on two nodes", 4, 2, RAM({0, 24 * MiB}, {GiB, 24 * MiB}),
	 .ops = 6000, EVERY(32, 256), .movable = 40},
	{"HIGHMEM", 2, 1,
	 RAM({0, 12 * MiB}, {20 * MiB, 6 * MiB}, {GiB, 10 * MiB}), .ops = 6000,
	 EVERY(32, 256), .arch = "x86-32-pae"},
	{"hotplug", 2, 1, RAM({0, 300 * MiB}), .ops = 8000, EVERY(200, 2000),
	 .cma = 4 * MiB, PLUG({1, 0}, {8, 0}, {9, 0}, {32, 0}, {33, 0})},
	{"hotplug on two nodes", 4, 2, RAM({0, 24 * MiB}, {GiB, 24 * MiB}),
	 .ops = 8000, EVERY(200, 2000),
	 PLUG({1, 0}, {2, 0}, {9, 1}, {10, 1}, {32, 1}, {33, 1})},
	{"arm64", 2, 1, RAM({GiB, 14 * MiB}, {4 * GiB, 10 * MiB}), .ops = 6000,
	 EVERY(32, 256), .arch = "arm64"},
};

static void shape_boot(const struct shape *s,
		       const struct mm_debug_params *debug)
{
	static struct e820_table map;
	static u8 cpu_node[MM_NR_CPUS];
	struct cma_request cma = {.any_node = true};
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
	cma.size = s->cma;
	p.cma = &cma;
	p.nr_cma = s->cma != 0;
	p.debug = debug;
	p.movablecore.percent = s->movable;
	p.arch = s->arch;
	p.max_possible = s->plug[0].nr ? MODEL_PFNS << PAGE_SHIFT : 0;
	assert_int_equal(phys_boot_memory(&p), 0);
}

/* ---- one machine's life
 * -------------------------------------------------------------- */

static struct {
	const struct shape *shape;
	struct prng rnd;
	u64 isolated, brims, ranges, from_cma, plugged, unplugged,
		kept;	/* over all machines of the run */
	u64 steps;	/* of this machine */
	bool check_all; /* after each step */
	int lean;	/* of 16: how many choices are for taking */
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
	static struct model_level before[PHYS_MAX_ZONES];
	struct alloc_context ac;
	struct zone *zone;
	struct page *page;

	/* Nobody charges on this way. */
	gfp &= ~(__GFP_ACCOUNT | __GFP_HARDWALL);
	prepare_alloc_context(&ac, gfp, -1);
	if (!ac.preferred_zoneref->zone || !model_room(1))
		return NULL;
	for_each_populated_zone (zone)
		before[zone->zone_id] = model_level(zone);
	page = get_page_from_freelist(gfp, order, flags, &ac);
	if (page) {
		zone = page_zone(page);
		model_given_flags(zone, before[zone->zone_id], order, gfp,
				  flags);
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

	if (b->cma) {
		must(cma_release(&phys_sys.cma.areas[0], page, 1));
		must(!cma_release(&phys_sys.cma.areas[0], page, 1));
		return;
	}
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
	return b->order == 0 && !b->cma;
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
		if (zone->idx != ZONE_HIGHMEM && zone->idx != ZONE_MOVABLE)
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
	int err, mt, want;

	if (k >= MODEL_MAX_LIVE)
		return;
	pfn = model.live[k].pfn + below(2048);
	if (pfn >= MODEL_PFNS || model.frame[pfn] != FRAME_FREE)
		return;
	b = pfn >> 9;
	mt = get_pfnblock_migratetype(pfn);
	want = one_in(2) ? MIGRATE_CMA : MIGRATE_MOVABLE;
	err = start_isolate_page_range(pfn, pfn + 1, want, 0);
	if (model.isolated[b] || block_shared(b) ||
	    (mt == MIGRATE_CMA && want != MIGRATE_CMA))
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
				model.isolated[b] == 1 + MIGRATE_CMA ||
						one_in(2)
					? MIGRATE_PREVIOUS
					: MIGRATE_MOVABLE);
	model.isolated[b] = 0;
}

static void op_unisolate(void)
{
	for (u64 b = 0; b < MODEL_BLOCKS; b++) {
		if (model.isolated[b] && one_in(2))
			unisolate(b);
	}
}

/* ---- operations: exact ranges
 * ----------------------------------------------------------------- */

/* These very frames: given if and only if all of them can be. */
static void op_contig(void)
{
	u64 nr = 1 + below(one_in(4) ? 2000 : 60), pfn;
	bool can;
	int err;

	if (!model.nr_live || !model_room(nr))
		return;
	pfn = model.live[below(model.nr_live)].pfn + below(4096);
	/* A guard goes when its pair comes home from a CPU's stack. */
	if (phys_sys.debug.p.guard_minorder)
		drain_all_pages();
	can = model_can_take(pfn, pfn + nr, false) && !block_shared(pfn >> 9) &&
	      !block_shared((pfn + nr - 1) >> 9);
	err = alloc_contig_range(pfn, pfn + nr, MIGRATE_MOVABLE, 0);
	must_eq(err == 0, can);
	if (err)
		return;
	model_add_range(pfn, nr, false);
	life.ranges++;
}

static void op_contig_pages(void)
{
	u64 nr = 1 + below(one_in(4) ? 3000 : 100);
	gfp_t gfp = some_gfp() & ~(__GFP_ACCOUNT | __GFP_HARDWALL);
	int nid = some_node();
	struct page *page;

	if (!model_room(nr))
		return;
	page = alloc_contig_pages(nr, gfp, nid);
	if (!page)
		return;
	model_check_place(page, 0, gfp, nid);
	model_check_place(page + nr - 1, 0, gfp, nid);
	model_add_range(page_to_pfn(page), nr, false);
	life.ranges++;
}

/* From the area: given if it has such a range free. */
static void op_cma(void)
{
	struct cma *cma = &phys_sys.cma.areas[0];
	unsigned int align = (unsigned int)below(4);
	u64 nr = 1 + below(one_in(4) ? 800 : 40), base, end;
	struct page *page;

	if (!phys_sys.cma.nr || !model_room(nr))
		return;
	base = PFN_DOWN(cma_get_base(cma));
	end = base + (cma_get_size(cma) >> PAGE_SHIFT);
	page = cma_alloc(cma, nr, align, true);
	if (page) {
		must(cma_pages_valid(cma, page, nr));
		must(IS_ALIGNED(page_to_pfn(page), 1UL << align));
		model_add_range(page_to_pfn(page), nr, true);
		life.from_cma++;
	} else {
		model.refused++;
		for (u64 at = base; at + nr <= end; at += 1UL << align)
			must(!model_can_take(at, at + nr, true));
	}
	must_eq(cma_get_used(cma), model.cma);
}

/* ---- operations: memory that comes and goes
 * ----------------------------------------- */

#define PER PAGES_PER_SECTION

/* Those that boot found are there already. */
static void plug_begin(void)
{
	for (int i = 0; i < 8 && life.shape->plug[i].nr; i++) {
		u64 nr = life.shape->plug[i].nr;

		if (model.frame[nr << PFN_SECTION_SHIFT] != FRAME_NONE)
			model.plug[nr].state = PLUG_KERNEL;
	}
}

static void plug_add(u64 nr, int nid)
{
	struct model_plug *p = &model.plug[nr];
	bool self = one_in(3);
	int err = add_memory(nid, nr << SECTION_SHIFT, MEMORY_BLOCK_BYTES,
			     self ? MHP_MEMMAP_ON_MEMORY : MHP_NONE);

	if (p->state != PLUG_ABSENT) {
		must_eq(err, -EEXIST);
		return;
	}
	must(err == 0 || (err == -ENOMEM && !self));
	if (err)
		return;
	*p = (struct model_plug){
		PLUG_OFFLINE,
		/* The place that boot gave descriptors stays theirs. */
		self && !(section_nr(nr)->flags & SECTION_MAP_BOOT)};
	plug_frames(nr, FRAME_NONE, FRAME_OFFLINE);
}

static void plug_online_block(u64 nr)
{
	struct model_plug *p = &model.plug[nr];
	bool movable = one_in(2);
	int err = online_pages(nr << PFN_SECTION_SHIFT, PER,
			       movable ? MMOP_ONLINE_MOVABLE
				       : MMOP_ONLINE_KERNEL);

	if (p->state != PLUG_OFFLINE) {
		must_eq(err, -EINVAL);
		return;
	}
	/* Zones would overlap, or there is no memory for a new one. */
	must(err == 0 || err == -EINVAL || err == -ENOMEM);
	if (err)
		return;
	p->state = movable ? PLUG_MOVABLE : PLUG_KERNEL;
	plug_frames(nr, FRAME_OFFLINE, FRAME_FREE);
	model.managed += (nr + 1) * PER - plug_first(nr);
	life.plugged++;
}

/* Who has something of block NR gives it back. */
static void plug_vacate(u64 nr)
{
	for (u64 k = model.nr_live; k-- > 0;) {
		if (model.live[k].pfn >> PFN_SECTION_SHIFT == nr)
			free_nth(k);
	}
}

/* If and only if all of it is free, be it on the stacks of CPUs. */
static void plug_offline(u64 nr)
{
	struct model_plug *p = &model.plug[nr];
	bool idle;
	int err;

	if (one_in(2))
		plug_vacate(nr);
	idle = plug_online(p) && plug_idle(nr);
	err = offline_pages(nr << PFN_SECTION_SHIFT, PER);

	must_eq(err, idle ? 0 : plug_online(p) ? -EBUSY : -EINVAL);
	life.kept += err == -EBUSY;
	if (err)
		return;
	p->state = PLUG_OFFLINE;
	plug_frames(nr, FRAME_FREE, FRAME_OFFLINE);
	model.managed -= (nr + 1) * PER - plug_first(nr);
	life.unplugged++;
}

static void plug_remove(u64 nr)
{
	struct model_plug *p = &model.plug[nr];
	int err = remove_memory(nr << SECTION_SHIFT, MEMORY_BLOCK_BYTES);

	must_eq(err, p->state == PLUG_OFFLINE  ? 0
		     : p->state == PLUG_ABSENT ? -EINVAL
					       : -EBUSY);
	if (err)
		return;
	plug_frames(nr, FRAME_OFFLINE, FRAME_NONE);
	*p = (struct model_plug){PLUG_ABSENT, false};
}

/* Mostly a step that makes sense, now and then any; or without memory. */
static void op_plug(void)
{
	static const u64 sense[] = {[PLUG_ABSENT] = 0,
				    [PLUG_OFFLINE] = 1,
				    [PLUG_KERNEL] = 2,
				    [PLUG_MOVABLE] = 2};
	u64 i = below(8), nr = life.shape->plug[i].nr, what;

	if (!nr)
		return;
	what = one_in(4) ? below(4) : sense[model.plug[nr].state];
	if (one_in(6))
		fail_arm_nth(FAIL_MASK(FAIL_PAGE_ALLOC), 1 + below(10),
			     one_in(2));
	if (what == 0)
		plug_add(nr, life.shape->plug[i].nid);
	else if (what == 1)
		plug_online_block(nr);
	else if (what == 2)
		plug_offline(nr);
	else
		plug_remove(nr);
	fail_disarm();
	model_sync_own();
}

/* ---- the table of operations
 * -------------------------------------------------------------------- */

struct op {
	const char *name;
	void (*run)(void);
	u32 weight; /* of the 1000 of its table */
};

static const struct op taking[] = {
	{"alloc", op_alloc, 930},
	{"bulk", op_bulk, 20},
	{"exact", op_exact, 20},
	{"reserves", op_reserves, 15},
	{"highatomic", op_highatomic, 6},
	{"contiguous", op_contig, 4},
	{"contiguous, any", op_contig_pages, 1},
	{"CMA", op_cma, 4},
};

static const struct op giving[] = {
	{"free", op_free, 920},
	{"free last", op_free_last, 40},
	{"free list", op_free_list, 20},
	{"split", op_split, 20},
};

static const struct op others[] = {
	{"hop", op_hop, 560},
	{"plug", op_plug, 40},
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
	struct zone *zone;
	u64 guards = 0;

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
	for_each_zone (zone)
		guards += zone->nr_guard;
	must_eq(nr_free_pages() + model.own + guards, model.managed);
	must(!guards || model.own);
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

/* Frames that are poisoned, cleared, unmapped, recorded: all go the slow way.
 */
static const struct mm_debug_params *some_debugging(void)
{
	static struct mm_debug_params p;

	p = (struct mm_debug_params){
		.poison = one_in(3),
		.init_on_alloc = one_in(3),
		.init_on_free = one_in(3),
		.debug_pagealloc = one_in(4),
		.page_owner = one_in(3),
		.check_pages = one_in(2),
		.guard_minorder = (u8)(one_in(3) ? 1 + below(5) : 0),
	};
	return &p;
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
	shape_boot(life.shape, one_in(4) ? some_debugging() : NULL);
	model.highmem = phys_sys.layout->zone_end[ZONE_HIGHMEM] != 0;
	model.low_dma = phys_sys.layout->zone_end[ZONE_DMA] != 0;
	model_begin(seed);
	plug_begin();
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
		      "%lu times\n",
		      model.given, model.frames, model.refused, life.brims);
	print_message("%lu pageblocks isolated, %lu exact ranges, %lu from "
		      "CMA areas\n",
		      life.isolated, life.ranges, life.from_cma);
	print_message("%lu memory blocks online, %lu offline, %lu kept\n",
		      life.plugged, life.unplugged, life.kept);
	assert_true(soak || done == ops);
	/* A long run went everywhere. */
	assert_true(done < 50000 ||
		    (model.given > done / 2 && model.refused && life.brims &&
		     life.isolated && life.ranges && life.from_cma));
	assert_true(done < 250000 ||
		    (life.plugged && life.unplugged && life.kept));
	pm_hardware(1, NULL, 1);
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
	static const struct shape forced = {"forced", 1, 1, RAM({0, 300 * MiB}),
					    .mixed = true};

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
	shape_boot(&forced, NULL);
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
		T(test_grouping),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
