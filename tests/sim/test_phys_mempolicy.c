/* SPDX-License-Identifier: MIT */
/*
 * Memory policies: what set_mempolicy(2) refuses, what rebinding does, whom a
 * policy holds for; and random policies, shortages, nodes and CPUs against a
 * model that names the node of each frame and every NUMA counter.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <mmkit/memalloc.h>
#include <mmkit/mempolicy.h>

#include "base/fail.h"
#include "phys_machine.h"

#define NODES 4
#define CPUS  6

static const u8 distances[NODES * NODES] = {
	10, 20, 30, 40, /* */
	20, 10, 40, 30, /* */
	30, 40, 10, 20, /* */
	40, 30, 20, 10, /* */
};
/* Node 3 has memory but no CPU. */
static const u8 cpu_node[MM_NR_CPUS] = {0, 1, 2, 0, 1, 2};

static int teardown(void **state)
{
	(void)state;
	pm_shutdown();
	return 0;
}

/* Four nodes of 32 MiB; HIGH: in one zone each, above 4 GiB; node 3 is of
 * movable memory alone if MOVABLE. */
static void boot_with(bool high, bool movable)
{
	static struct phys_node_range nodes[NODES];
	static struct phys_node_range hot;
	static struct e820_table map;
	struct phys_boot_params p = {.map = &map,
				     .nodes = nodes,
				     .nr_nodes = NODES,
				     .distances = distances,
				     .nr_distances = NODES};

	pm_hardware(CPUS, cpu_node, 1);
	e820_init(&map);
	for (int i = 0; i < NODES; i++) {
		u64 at = (u64)i * 32 * MiB;

		/* The last two above 4 GiB: they have no lower zone. */
		if (high && i >= 2)
			at += 4 * GiB;
		nodes[i] = (struct phys_node_range){at, at + 32 * MiB, i};
		assert_int_equal(e820_add(&map, at, 32 * MiB, E820_TYPE_RAM),
				 0);
	}
	hot = nodes[3];
	if (movable) {
		p.movable_node = true;
		p.hotplug = &hot;
		p.nr_hotplug = 1;
	}
	assert_int_equal(phys_boot_memory(&p), 0);
}

static void boot(bool high)
{
	boot_with(high, false);
}

static int page_nid(const struct page *page)
{
	return zone_to_nid(page_zone(page));
}

/* ---- what is refused
 * ------------------------------------------------------ */

static void test_errors(void **state)
{
	static const struct {
		int mode;
		nodemask_t nodes;
		int err;
	} cases[] = {
		{MPOL_DEFAULT, 0, 0},
		{MPOL_DEFAULT, 1, -EINVAL},
		{MPOL_DEFAULT | MPOL_F_STATIC_NODES, 0, 0},
		{MPOL_DEFAULT | MPOL_F_STATIC_NODES, 1, -EINVAL},
		{MPOL_PREFERRED, 0, 0},
		{MPOL_PREFERRED, 2, 0},
		{MPOL_PREFERRED | MPOL_F_STATIC_NODES, 0, -EINVAL},
		{MPOL_PREFERRED | MPOL_F_RELATIVE_NODES, 0, -EINVAL},
		{MPOL_LOCAL, 0, 0},
		{MPOL_LOCAL, 1, -EINVAL},
		{MPOL_LOCAL | MPOL_F_RELATIVE_NODES, 0, -EINVAL},
		{MPOL_BIND, 0, -EINVAL},
		{MPOL_BIND, 0xf, 0},
		{MPOL_BIND, 0x10, -EINVAL}, /* no such node */
		{MPOL_BIND, 0x11, 0},	    /* one of them is there */
		{MPOL_BIND | MPOL_F_STATIC_NODES, 0x10, -EINVAL},
		{MPOL_BIND | MPOL_F_RELATIVE_NODES, 0x10, 0}, /* node 4 % 4 */
		{MPOL_INTERLEAVE, 0, -EINVAL},
		{MPOL_INTERLEAVE, 5, 0},
		{MPOL_WEIGHTED_INTERLEAVE, 0, -EINVAL},
		{MPOL_WEIGHTED_INTERLEAVE, 3, 0},
		{MPOL_PREFERRED_MANY, 0, -EINVAL},
		{MPOL_PREFERRED_MANY, 6, 0},
		{MPOL_BIND | MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES, 1,
		 -EINVAL},
		{MPOL_MAX, 1, -EINVAL},
		{-1, 1, -EINVAL},
		{MPOL_BIND | 1 << 12, 1, -EINVAL},
	};
	nodemask_t nodes;
	int mode;

	(void)state;
	boot(false);
	assert_int_equal(do_set_mempolicy(MPOL_PREFERRED, 4), 0);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct mempolicy *before = port_current()->mempolicy;
		int err = do_set_mempolicy(cases[i].mode, cases[i].nodes);

		if (err != cases[i].err)
			fprintf(stderr, "case %zu\n", i);
		assert_int_equal(err, cases[i].err);
		if (err)
			assert_true(port_current()->mempolicy == before);
	}
	assert_int_equal(do_set_mempolicy(MPOL_DEFAULT, 0), 0);
	assert_int_equal(phys_sys.mpol.nr_policies, 0);
	assert_int_equal(do_get_mempolicy(&mode, &nodes, MPOL_F_ADDR), -EINVAL);
	assert_int_equal(do_get_mempolicy(&mode, &nodes, 8), -EINVAL);
	assert_int_equal(do_get_mempolicy(&mode, &nodes,
					  MPOL_F_NODE | MPOL_F_MEMS_ALLOWED),
			 -EINVAL);
	assert_int_equal(do_get_mempolicy(&mode, &nodes, MPOL_F_NODE), -EINVAL);
	assert_int_equal(mpol_set_weight(4, 1), -EINVAL);
	assert_int_equal(mpol_set_weight(-1, 1), -EINVAL);
	assert_int_equal(mpol_set_weight(0, 256), -EINVAL);
}

static void test_get(void **state)
{
	nodemask_t nodes = 77;
	int mode = 77;

	(void)state;
	boot(false);
	assert_int_equal(do_get_mempolicy(&mode, &nodes, 0), 0);
	assert_int_equal(mode, MPOL_DEFAULT);
	assert_int_equal(nodes, 0);
	assert_int_equal(do_get_mempolicy(&mode, &nodes, MPOL_F_MEMS_ALLOWED),
			 0);
	assert_int_equal(nodes, 0xf);
	/* One node is preferred, the first; what was given is told only with
	 * a flag, as in Linux. */
	assert_int_equal(do_set_mempolicy(MPOL_PREFERRED, 0xc), 0);
	assert_int_equal(do_get_mempolicy(&mode, &nodes, 0), 0);
	assert_int_equal(mode, MPOL_PREFERRED);
	assert_int_equal(nodes, 4);
	assert_int_equal(
		do_set_mempolicy(MPOL_BIND | MPOL_F_RELATIVE_NODES, 0x11), 0);
	assert_int_equal(do_get_mempolicy(&mode, &nodes, 0), 0);
	assert_int_equal(mode, MPOL_BIND | MPOL_F_RELATIVE_NODES);
	assert_int_equal(nodes, 0x11);
	assert_int_equal(mpol_nodes(port_current()->mempolicy), 1);
	assert_int_equal(do_set_mempolicy(MPOL_INTERLEAVE, 0xa), 0);
	for (int i = 0; i < 6; i++) {
		struct page *page;

		assert_int_equal(do_get_mempolicy(&mode, NULL, MPOL_F_NODE), 0);
		assert_int_equal(mode, i % 2 ? 3 : 1);
		page = alloc_page(GFP_KERNEL);
		assert_int_equal(page_nid(page), mode);
		__free_page(page);
	}
	assert_int_equal(do_set_mempolicy(MPOL_DEFAULT, 0), 0);
}

/* ---- rebinding
 * ------------------------------------------------------------ */

static void test_rebind(void **state)
{
	static const struct {
		int mode;
		nodemask_t given, allowed, want, back;
	} cases[] = {
		/* The n-th of the allowed nodes stays the n-th. */
		{MPOL_BIND, 0x3, 0xc, 0xc, 0x3},
		{MPOL_BIND, 0x8, 0x3, 0x2, 0x2},
		{MPOL_INTERLEAVE, 0xf, 0x6, 0x6, 0x3},
		{MPOL_PREFERRED, 0x4, 0x9, 0x1, 0x1},
		/* Static: what is allowed of them, or none: default. */
		{MPOL_BIND | MPOL_F_STATIC_NODES, 0x6, 0x3, 0x2, 0x6},
		{MPOL_BIND | MPOL_F_STATIC_NODES, 0x6, 0x9, 0x0, 0x6},
		{MPOL_PREFERRED | MPOL_F_STATIC_NODES, 0x4, 0x3, 0x0, 0x4},
		/* Relative: counted within the allowed, round the end. */
		{MPOL_BIND | MPOL_F_RELATIVE_NODES, 0x3, 0xc, 0xc, 0x3},
		{MPOL_BIND | MPOL_F_RELATIVE_NODES, 0x24, 0xa, 0xa, 0x6},
		{MPOL_INTERLEAVE | MPOL_F_RELATIVE_NODES, 0x8, 0x3, 0x2, 0x8},
		{MPOL_PREFERRED_MANY | MPOL_F_RELATIVE_NODES, 0x1, 0x8, 0x8,
		 0x1},
	};

	(void)state;
	boot(false);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		u32 flags = (u32)cases[i].mode & MPOL_MODE_FLAGS;
		int mode = (int)((u32)cases[i].mode & ~MPOL_MODE_FLAGS);
		struct mempolicy *pol;

		assert_int_equal(mpol_new(mode, flags, cases[i].given, &pol),
				 0);
		mpol_rebind(pol, cases[i].allowed);
		if (mpol_nodes(pol) != cases[i].want)
			fprintf(stderr, "case %zu\n", i);
		assert_int_equal(mpol_nodes(pol), cases[i].want);
		if (!cases[i].want) {
			/* Without a node it acts as default. */
			struct page *page = alloc_pages_mpol(
				GFP_KERNEL, 0, pol, NO_INTERLEAVE_INDEX, -1);

			assert_int_equal(page_nid(page), 0);
			__free_page(page);
		}
		mpol_rebind(pol, 0xf);
		if (mpol_nodes(pol) != cases[i].back)
			fprintf(stderr, "case %zu, back\n", i);
		assert_int_equal(mpol_nodes(pol), cases[i].back);
		mpol_put(pol);
	}
	assert_int_equal(phys_sys.mpol.nr_frames, 0);
}

/* ---- slots and references
 * -------------------------------------------------- */

#define MANY 500

static void test_slots(void **state)
{
	static struct mempolicy *pol[MANY];
	struct mempolicy *none = (struct mempolicy *)8, *dup;
	u64 free_before;
	u64 owned = 0;

	(void)state;
	boot(false);
	drain_all_pages();
	free_before = nr_free_pages();
	fail_arm_nth(FAIL_MASK(FAIL_PAGE_ALLOC), 1, false);
	assert_int_equal(mpol_new(MPOL_BIND, 0, 1, &none), -ENOMEM);
	assert_int_equal(fail_disarm().fired, 1);
	assert_true(none == (struct mempolicy *)8);
	for (u64 i = 0; i < MANY; i++)
		assert_int_equal(mpol_new(MPOL_BIND, 0, 1 + i % 15, &pol[i]),
				 0);
	assert_int_equal(phys_sys.mpol.nr_policies, MANY);
	for (u64 pfn = 0; pfn < phys_sys.hot.max_pfn; pfn++)
		owned += mpol_owns(pfn);
	assert_int_equal(owned, phys_sys.mpol.nr_frames);
	assert_int_equal(owned, (MANY + 119) / 120);
	for (u64 i = 0; i < MANY; i++)
		assert_int_equal(mpol_nodes(pol[i]), 1 + i % 15);
	assert_int_equal(mpol_dup(pol[3], &dup), 0);
	assert_true(dup != pol[3] && mpol_equal(dup, pol[3]));
	assert_false(mpol_equal(dup, pol[4]));
	assert_false(mpol_equal(dup, NULL));
	assert_true(mpol_equal(NULL, NULL));
	mpol_put(dup);
	/* A reference keeps it. */
	assert_true(mpol_get(pol[7]) == pol[7]);
	mpol_put(pol[7]);
	assert_int_equal(phys_sys.mpol.nr_policies, MANY);
	for (u64 i = 0; i < MANY; i++)
		mpol_put(pol[(i * 7) % MANY]);
	assert_int_equal(phys_sys.mpol.nr_policies, 0);
	assert_int_equal(phys_sys.mpol.nr_frames, 0);
	drain_all_pages();
	assert_int_equal(nr_free_pages(), free_before);
	phys_check();
}

static bool watched(void)
{
	return (base_sys.watch & 1u << WATCH_POLICY) != 0;
}

/* The fast path is left exactly while a policy or a pin scope is there. */
static void test_watch(void **state)
{
	struct mm_task child = {0};
	unsigned int outer, inner;

	(void)state;
	boot(false);
	assert_false(watched());
	assert_int_equal(do_set_mempolicy(MPOL_BIND, 2), 0);
	assert_true(watched());
	assert_int_equal(do_set_mempolicy(MPOL_BIND, 4), 0);
	mpol_task_fork(&child, port_current());
	assert_true(child.mempolicy == port_current()->mempolicy);
	assert_int_equal(phys_sys.mpol.nr_policies, 1);
	assert_int_equal(do_set_mempolicy(MPOL_DEFAULT, 0), 0);
	assert_true(watched());
	mpol_task_exit(&child);
	assert_false(watched());
	assert_int_equal(phys_sys.mpol.nr_policies, 0);
	outer = memalloc_pin_save();
	inner = memalloc_pin_save();
	assert_true(watched());
	memalloc_pin_restore(inner);
	assert_true(watched());
	assert_true(port_current()->flags & PF_MEMALLOC_PIN);
	memalloc_pin_restore(outer);
	assert_false(watched());
	assert_false(port_current()->flags & PF_MEMALLOC_PIN);
}

/* ---- whom a policy holds for
 * ----------------------------------------------- */

static struct page *irq_page;

static void irq_alloc(struct port_bio *bio)
{
	assert_true(port_in_irq());
	irq_page = alloc_page(GFP_ATOMIC);
	WRITE_ONCE(*(bool *)bio->private, true);
}

/* Node of a frame that is allocated in an interrupt. */
static int irq_nid(void)
{
	struct sim_disk_config dc = {.name = "d", .size_bytes = MiB};
	struct page *page = __alloc_pages(GFP_KERNEL, 0, 0);
	static struct port_bio bio;
	struct port_bdev *disk;
	bool done = false;
	int nid;

	assert_int_equal(sim_disk_open(&disk, &dc, NULL), 0);
	memset(page_view(page), 0, PAGE_SIZE);
	bio = (struct port_bio){.bdev = disk,
				.op = PORT_BIO_WRITE,
				.nr_pages = 1,
				.end_io = irq_alloc,
				.private = &done};
	bio.pfn[0] = page_to_pfn(page);
	port_bio_submit(&bio);
	/* Awake: the interrupt hits the task that has the policy. */
	while (!READ_ONCE(done)) {
		port_charge_ns(1000);
		port_sched_point();
	}
	nid = page_nid(irq_page);
	__free_page(irq_page);
	__free_page(page);
	return nid;
}

static int once_nid(gfp_t gfp, int nid)
{
	struct page *page =
		nid == -2 ? alloc_pages(gfp, 0) : __alloc_pages(gfp, 0, nid);
	int got = page ? page_nid(page) : -1;

	if (page)
		__free_page(page);
	return got;
}

static int exempt_body(void *arg)
{
	struct page *bulk[40] = {0};
	struct mempolicy *pol;

	(void)arg;
	assert_int_equal(do_set_mempolicy(MPOL_BIND, 0xc), 0);
	assert_int_equal(once_nid(GFP_KERNEL, -2), 2);
	assert_int_equal(once_nid(GFP_KERNEL, -1), 2);
	/* A node that is named, or insisted on, an interrupt. */
	assert_int_equal(once_nid(GFP_KERNEL, 1), 1);
	assert_int_equal(once_nid(GFP_KERNEL | __GFP_THISNODE, -2), 0);
	assert_int_equal(irq_nid(), 0);
	/* A zone that only some nodes have. */
	assert_int_equal(once_nid(GFP_KERNEL | GFP_DMA32, -2), 0);
	assert_int_equal(once_nid(GFP_KERNEL | GFP_DMA, -2), 0);
	assert_int_equal(alloc_pages_bulk(GFP_KERNEL, -1, 40, bulk), 40);
	for (int i = 0; i < 40; i++) {
		assert_int_equal(page_nid(bulk[i]), 2);
		__free_page(bulk[i]);
	}
	/* The caller's policy in place of the task's; one node of it only. */
	assert_int_equal(mpol_new(MPOL_BIND, 0, 0xa, &pol), 0);
	for (int thisnode = 0; thisnode < 2; thisnode++) {
		struct page *page = alloc_pages_mpol(
			GFP_KERNEL | (thisnode ? __GFP_THISNODE : 0), 0, pol,
			NO_INTERLEAVE_INDEX, -1);

		assert_int_equal(page_nid(page), 1);
		__free_page(page);
	}
	mpol_put(pol);
	assert_int_equal(do_set_mempolicy(MPOL_DEFAULT, 0), 0);
	assert_int_equal(once_nid(GFP_KERNEL, -2), 0);
	return 0;
}

static void test_exempt(void **state)
{
	(void)state;
	boot(true);
	assert_int_equal(sim_run(exempt_body, NULL), 0);
	phys_check();
}

/* Who is bound to a node of movable memory can have page tables: elsewhere. */
static int movable_body(void *arg)
{
	(void)arg;
	assert_true(managed_zone(&NODE_DATA(3)->node_zones[ZONE_MOVABLE]));
	assert_int_equal(do_set_mempolicy(MPOL_BIND, NODE_MASK(3)), 0);
	assert_int_equal(once_nid(GFP_HIGHUSER_MOVABLE, -2), 3);
	assert_in_range(once_nid(GFP_KERNEL, -2), 0, 2);
	/* With a node that has both, what does not move is bound too. */
	assert_int_equal(do_set_mempolicy(MPOL_BIND, NODE_MASK(2)), 0);
	assert_int_equal(once_nid(GFP_KERNEL, -2), 2);
	assert_int_equal(
		do_set_mempolicy(MPOL_BIND, NODE_MASK(2) | NODE_MASK(3)), 0);
	assert_int_equal(once_nid(GFP_KERNEL, -2), 2);
	assert_int_equal(do_set_mempolicy(MPOL_DEFAULT, 0), 0);
	return 0;
}

static void test_movable(void **state)
{
	(void)state;
	boot_with(true, true);
	assert_int_equal(sim_run(movable_body, NULL), 0);
	phys_check();
}

/* ---- the model
 * ------------------------------------------------------------ */

enum { HIT, MISS, FOREIGN, INTERLEAVE, LOCAL, OTHER, NR_NUMA };

#define MAX_HELD 40000

static struct model {
	bool full[NODES];
	u64 numa[NODES][NR_NUMA];
	/* The policy of the task. */
	int mode;
	bool node[NODES];
	int turn, left; /* node of the last turn, turns it has left */
	int weight[NODES];
} model;

static struct page *held[MAX_HELD];
static u64 nr_held;

static void hold(struct page *page)
{
	assert_true(nr_held < MAX_HELD);
	held[nr_held++] = page;
}

static void release_all(void)
{
	while (nr_held)
		__free_page(held[--nr_held]);
	drain_all_pages();
}

/* The node nearest to FROM that is in SET (NULL: all), has room (if asked). */
static int nearest(int from, const bool *set, bool room)
{
	int best = -1;

	/* Equal distance: the next number upwards, round the end. */
	for (int step = 0; step < NODES; step++) {
		int n = (from + step) % NODES;

		if ((set && !set[n]) || (room && model.full[n]))
			continue;
		if (best < 0 || distances[from * NODES + n] <
					distances[from * NODES + best])
			best = n;
	}
	return best;
}

/* A frame wanted from nearest to FROM of SET; counts, and names its node. */
static int model_take(int from, const bool *set, int cpu)
{
	int want = nearest(from, set, false), got = nearest(from, set, true);

	if (got < 0)
		return -1;
	if (want == got) {
		model.numa[got][HIT]++;
	} else {
		model.numa[got][MISS]++;
		model.numa[want][FOREIGN]++;
	}
	model.numa[got][cpu_node[cpu] == got ? LOCAL : OTHER]++;
	return got;
}

static int model_turn(void)
{
	bool weighted = model.mode == MPOL_WEIGHTED_INTERLEAVE;

	if (weighted && model.turn >= 0 && model.left > 0) {
		model.left--;
		return model.turn;
	}
	do
		model.turn = (model.turn + 1) % NODES;
	while (!model.node[model.turn]);
	model.left = model.weight[model.turn] - 1;
	return model.turn;
}

static int model_offset(u64 ilx)
{
	int order[NODES * 4], n = 0;

	for (int i = 0; i < NODES; i++) {
		int w = model.mode == MPOL_INTERLEAVE ? 1 : model.weight[i];

		while (model.node[i] && w--)
			order[n++] = i;
	}
	return order[ilx % (u64)n];
}

static int model_alloc(int local, u64 ilx, int cpu)
{
	int nid, got;

	switch (model.mode) {
	case MPOL_BIND:
		return model_take(local, model.node, cpu);
	case MPOL_PREFERRED:
		for (nid = 0; !model.node[nid];)
			nid++;
		return model_take(nid, NULL, cpu);
	case MPOL_PREFERRED_MANY:
		got = model_take(local, model.node, cpu);
		return got >= 0 ? got : model_take(local, NULL, cpu);
	case MPOL_INTERLEAVE:
	case MPOL_WEIGHTED_INTERLEAVE:
		nid = ilx == NO_INTERLEAVE_INDEX ? model_turn()
						 : model_offset(ilx);
		got = model_take(nid, NULL, cpu);
		if (got == nid)
			model.numa[got][INTERLEAVE]++;
		return got;
	default:
		return model_take(local, NULL, cpu);
	}
}

static void model_compare(void)
{
	for (int n = 0; n < NODES; n++) {
		for (int i = 0; i < NR_NUMA; i++) {
			u64 sum = 0;

			for (int zt = 0; zt < MAX_NR_ZONES; zt++)
				sum += zone_page_state(
					&NODE_DATA(n)->node_zones[zt],
					NUMA_HIT + i);
			if (sum != model.numa[n][i])
				fprintf(stderr, "node %d item %d\n", n, i);
			assert_int_equal(sum, model.numa[n][i]);
		}
	}
}

/* Counters anew, by the tunable. */
static void model_zero(void)
{
	memset(model.numa, 0, sizeof(model.numa));
	phys_sys.tunables.numa_stat = 0;
	vmstat_numa_changed();
	model_compare();
	phys_sys.tunables.numa_stat = 1;
	vmstat_numa_changed();
	model_compare();
}

/* Some nodes have nothing left above the low mark. */
static void make_shortages(struct prng *rnd)
{
	for (int n = 0; n < NODES; n++) {
		gfp_t gfp = GFP_KERNEL | __GFP_THISNODE | __GFP_NOWARN;
		struct page *page;

		model.full[n] = prng_one_in(rnd, 3);
		while (model.full[n] && (page = __alloc_pages(gfp, 0, n)))
			hold(page);
	}
}

static void random_policy(struct prng *rnd)
{
	nodemask_t nodes = 0;
	int first = -1;

	model.mode = (int)prng_below(rnd, MPOL_MAX);
	model.turn = -1;
	model.left = 0;
	for (int i = 0; i < NODES; i++) {
		model.node[i] = prng_one_in(rnd, 2);
		if (model.mode == MPOL_DEFAULT || model.mode == MPOL_LOCAL)
			model.node[i] = false;
		nodes |= model.node[i] ? NODE_MASK(i) : 0;
		model.weight[i] = 1 + (int)prng_below(rnd, 4);
		assert_int_equal(mpol_set_weight(i, (u32)model.weight[i]), 0);
		if (model.node[i] && first < 0)
			first = i;
	}
	if (!nodes && model.mode != MPOL_DEFAULT) {
		model.mode = MPOL_LOCAL;
		assert_int_equal(do_set_mempolicy(MPOL_LOCAL, 0), 0);
		return;
	}
	assert_int_equal(do_set_mempolicy(model.mode, nodes), 0);
}

static void random_alloc(struct prng *rnd, int cpu)
{
	int local = cpu_node[cpu], want;
	struct page *page;

	if (prng_one_in(rnd, 4)) {
		/* By another task's policy, at a place of an object. */
		u64 ilx = prng_one_in(rnd, 3) ? NO_INTERLEAVE_INDEX
					      : prng_below(rnd, 1UL << 40);

		local = (int)prng_below(rnd, NODES);
		want = model_alloc(local, ilx, cpu);
		page = alloc_pages_mpol(GFP_KERNEL | __GFP_NOWARN, 0,
					port_current()->mempolicy, ilx, local);
	} else if (prng_one_in(rnd, 4)) {
		int nid = (int)prng_below(rnd, NODES);

		want = model_take(nid, NULL, cpu);
		page = __alloc_pages(GFP_KERNEL | __GFP_NOWARN, 0, nid);
	} else {
		want = model_alloc(local, NO_INTERLEAVE_INDEX, cpu);
		page = alloc_page(GFP_KERNEL | __GFP_NOWARN);
	}
	if ((page ? page_nid(page) : -1) != want)
		fprintf(stderr, "mode %d cpu %d\n", model.mode, cpu);
	assert_int_equal(page ? page_nid(page) : -1, want);
	if (page)
		hold(page);
}

static int random_body(void *arg)
{
	u64 seed = *(u64 *)arg, epochs = pm_env("ITERS", 60);
	struct mempolicy *keep;
	struct prng rnd;

	prng_seed(&rnd, seed);
	/* Their frame is there from the start, and not counted later. */
	assert_int_equal(mpol_new(MPOL_LOCAL, 0, 0, &keep), 0);
	/* Frames on the stacks would hide a shortage from the fast path. */
	mpol_watch(true);
	for (u64 e = 0; e < epochs; e++) {
		make_shortages(&rnd);
		model_zero();
		for (int p = 0; p < 12; p++) {
			int cpu = (int)prng_below(&rnd, CPUS);

			sim_set_cpu(port_current()->thread, cpu);
			random_policy(&rnd);
			for (int i = 0; i < 12; i++)
				random_alloc(&rnd, cpu);
			model_compare();
		}
		release_all();
	}
	assert_int_equal(do_set_mempolicy(MPOL_DEFAULT, 0), 0);
	mpol_watch(false);
	mpol_put(keep);
	phys_check();
	return 0;
}

static void test_random(void **state)
{
	u64 seed = pm_env("SEED", 1);

	(void)state;
	print_message("SEED=%llu\n", (unsigned long long)seed);
	boot(false);
	assert_int_equal(sim_run(random_body, &seed), 0);
}

/* The fast path counts as the long one does. */
static void test_fast_counts(void **state)
{
	static struct page *page[300];

	(void)state;
	boot(false);
	memset(&model, 0, sizeof(model));
	model_zero();
	for (int i = 0; i < 300; i++) {
		page[i] = alloc_page(GFP_KERNEL);
		assert_int_equal(model_take(0, NULL, 0), page_nid(page[i]));
	}
	model_compare();
	for (int i = 0; i < 300; i++)
		__free_page(page[i]);
	model_compare();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_errors, teardown),
		cmocka_unit_test_teardown(test_get, teardown),
		cmocka_unit_test_teardown(test_rebind, teardown),
		cmocka_unit_test_teardown(test_slots, teardown),
		cmocka_unit_test_teardown(test_watch, teardown),
		cmocka_unit_test_teardown(test_exempt, teardown),
		cmocka_unit_test_teardown(test_movable, teardown),
		cmocka_unit_test_teardown(test_random, teardown),
		cmocka_unit_test_teardown(test_fast_counts, teardown),
	};

	return cmocka_run_group_tests_name("phys_mempolicy", tests, NULL, NULL);
}
