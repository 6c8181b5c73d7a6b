/* SPDX-License-Identifier: MIT */
/*
 * Nodes of the caches' arrays that hold shadows alone: which are counted, how
 * many may stay, which go first, of files and of swap, alone and while others
 * use the arrays.
 */
#include "filemap_machine.h"

#include <mmkit/shrinker.h>

#include "cache/swap.h"

/* Pages so far apart have no node in common. */
#define APART XA_SLOTS

static u64 nodes(void)
{
	return global_node_page_state(WORKINGSET_NODES);
}

static u64 reclaimed(void)
{
	return global_node_page_state(WORKINGSET_NODERECLAIM);
}

static u64 limit(void)
{
	return NODE_DATA(0)->node_present_pages / 8;
}

/* As if somebody had read page INDEX, which is missing. */
static struct page *bring(struct address_space *m, u64 index)
{
	struct page *p = pagecache_get_page(m, index, FGP_CREAT, m->gfp_mask);

	CHECK(p);
	if (!PageUptodate(p)) {
		SetPageUptodate(p);
		unlock_page(p);
	}
	return p;
}

/* Reclaim's end of page INDEX, which is not there, or ours alone. */
static void come_and_go(struct address_space *m, u64 index)
{
	struct page *p = bring(m, index);

	lru_add_drain_all();
	lock_page(p);
	CHECK(lru_isolate_page(p));
	put_page(p);
	CHECK(filemap_evict(p, 2, true));
	page_ref_unfreeze(p, 1);
	unlock_page(p);
	put_page(p);
}

static void shrink_all(void)
{
	for (int i = 0; i < 64; i++)
		(void)shrink_slab(GFP_KERNEL, 0, 0);
}

/* ---- which ------------------------------------------------------------- */

static int which_body(void *arg)
{
	struct fm_inode *fi = fm_inode_new(0);
	struct address_space *m = fi->inode.i_mapping;
	struct page *p;

	(void)arg;
	come_and_go(m, 1);
	CHECK_EQ(nodes(), 1);
	come_and_go(m, 2); /* the same node */
	CHECK_EQ(nodes(), 1);
	p = bring(m, 3);
	CHECK_EQ(nodes(), 0); /* a page stands in it */
	put_page(p);
	come_and_go(m, 64);
	CHECK_EQ(nodes(), 1);
	shadow_nodes_check();
	/* The page goes by truncation, two shadows stay. */
	truncate_inode_pages_range(m, 3 * PAGE_SIZE, 4 * PAGE_SIZE - 1);
	CHECK_EQ(nodes(), 2);
	CHECK_EQ(m->nrshadows, 3);
	p = bring(m, 64); /* comes back, its shadow is used up */
	CHECK_EQ(nodes(), 1);
	put_page(p);
	CHECK_EQ(mapping_drop_shadows(m, 1, 1), 1);
	CHECK_EQ(nodes(), 1);
	CHECK_EQ(mapping_drop_shadows(m, 2, 2), 1);
	CHECK_EQ(nodes(), 0);
	/* Of memory files values are no shadows. */
	mapping_set_flag(m, AS_NO_WRITEBACK, true);
	come_and_go(m, 1000);
	CHECK_EQ(m->nrshadows, 1);
	CHECK_EQ(nodes(), 0);
	mapping_set_flag(m, AS_NO_WRITEBACK, false);
	shadow_nodes_check();
	CHECK_EQ(reclaimed(), 0);
	fm_inode_drop(fi);
	return 0;
}

static void which(void **state)
{
	(void)state;
	TM_RUN(which_body);
}

/* ---- how many, and the oldest first ------------------------------------ */

static int limit_body(void *arg)
{
	struct fm_inode *fi = fm_inode_new(0);
	struct address_space *m = fi->inode.i_mapping;
	u64 n = limit() + 100, at = 0;

	(void)arg;
	for (u64 i = 0; i < n; i++) {
		come_and_go(m, i * APART);
		come_and_go(m, i * APART + 7);
	}
	CHECK_EQ(nodes(), n);
	CHECK_EQ(m->nrshadows, 2 * n);
	/* Half of what is too much a round, however low the pressure. */
	CHECK_EQ(shrink_slab(GFP_KERNEL, 0, DEF_PRIORITY), 0); /* < a batch */
	shrink_all();
	CHECK_EQ(nodes(), limit());
	CHECK_EQ(reclaimed(), 100);
	CHECK_EQ(m->nrshadows, 2 * limit());
	CHECK(xa_find(&m->i_pages, &at, UINT64_MAX, XA_PRESENT));
	CHECK_EQ(at, 100 * APART);
	mapping_check(m);
	shadow_nodes_check();
	/* What is left of the tree takes pages as ever. */
	put_page(bring(m, 5 * APART));
	put_page(bring(m, 200 * APART));
	CHECK_EQ(global_node_page_state(WORKINGSET_REFAULT_FILE), 1);
	CHECK_EQ(nodes(), limit() - 1);
	mapping_check(m);
	fm_inode_drop(fi);
	CHECK_EQ(nodes(), 0);
	return 0;
}

static void limits(void **state)
{
	(void)state;
	TM_RUN(limit_body);
}

/* An array that somebody holds is left alone, and others' nodes go. */
static int busy_body(void *arg)
{
	struct fm_inode *held = fm_inode_new(0), *fi = fm_inode_new(0);
	struct address_space *m = held->inode.i_mapping;
	struct shrinker *sh = &cache_sys.shadows.shrinker;
	struct shrink_control sc = {.nr_to_scan = 300};
	u64 n = limit() + 300, freed;
	unsigned long flags;

	(void)arg;
	for (u64 i = 0; i < 200; i++)
		come_and_go(m, i * APART);
	for (u64 i = 0; i < n; i++)
		come_and_go(fi->inode.i_mapping, i * APART);
	mapping_lock(m, &flags);
	freed = sh->scan_objects(sh, &sc);
	mapping_unlock(m, flags);
	CHECK_EQ(freed, 100);
	CHECK_EQ(m->nrshadows, 200);
	shadow_nodes_check();
	/* Now they are the youngest. */
	sc.nr_to_scan = n - 100 + 50;
	CHECK_EQ(sh->scan_objects(sh, &sc), n - 100 + 50);
	CHECK_EQ(m->nrshadows, 150);
	CHECK_EQ(fi->inode.i_mapping->nrshadows, 0);
	fm_inode_drop(held);
	fm_inode_drop(fi);
	return 0;
}

static void busy(void **state)
{
	(void)state;
	TM_RUN(busy_body);
}

/* ---- of swap ----------------------------------------------------------- */

#define SWAP_PAGES 1024

/* Reclaim's end of N pages: their shadows stand in the area's array. */
static int swap_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	struct shrinker *sh = &cache_sys.shadows.shrinker;
	struct shrink_control sc = {.nr_to_scan = 4};
	struct xarray *xa = &cache_sys.swap[0]->cache;
	u64 all;
	uva_t va;

	(void)arg;
	tm_use(mm);
	va = tm_map(mm, SWAP_PAGES);
	for (u64 i = 0; i < SWAP_PAGES; i++)
		tm_store(va + i * PAGE_SIZE, i + 1);
	for (u64 i = 0; i < SWAP_PAGES; i++)
		while (!tm_reclaim_one(mm, va + i * PAGE_SIZE))
			port_park(1000 * 1000);
	all = nodes();
	CHECK(all >= SWAP_PAGES / APART && all <= SWAP_PAGES / APART + 2);
	CHECK_EQ(xa->count, SWAP_PAGES);
	CHECK_EQ(sh->scan_objects(sh, &sc), 4);
	CHECK_EQ(nodes(), all - 4);
	CHECK(xa->count < SWAP_PAGES - 2 * APART);
	swap_check();
	/* Without its shadow a page comes back as well, and no refault. */
	for (u64 i = 0; i < SWAP_PAGES; i++)
		CHECK_EQ(tm_load(va + i * PAGE_SIZE), i + 1);
	CHECK(global_node_page_state(WORKINGSET_REFAULT_ANON) < SWAP_PAGES);
	CHECK(global_node_page_state(WORKINGSET_REFAULT_ANON) > 0);
	tm_use(NULL);
	mm_put(mm);
	CHECK_EQ(nodes(), 0);
	return 0;
}

static void swapped(void **state)
{
	(void)state;
	TM_RUN(swap_body, .swap_pages = 4 * SWAP_PAGES);
}

/* ---- while others are at the arrays ------------------------------------ */

struct race {
	struct address_space *m;
	struct prng r;
	bool stop;
};

static void race_shrink(void *arg)
{
	struct race *r = arg;
	struct shrinker *sh = &cache_sys.shadows.shrinker;

	while (!READ_ONCE(r->stop)) {
		struct shrink_control sc = {.nr_to_scan = 3};

		(void)sh->scan_objects(sh, &sc);
		port_park(1000);
	}
}

static void race_use(void *arg)
{
	struct race *r = arg;

	for (int i = 0; i < 60; i++) {
		u64 index = prng_below(&r->r, 6) * APART + prng_below(&r->r, 3);

		if (prng_below(&r->r, 8))
			come_and_go(r->m, index);
		else
			truncate_inode_pages_range(r->m, index << PAGE_SHIFT,
						   ~0UL);
	}
}

static int race_body(void *arg)
{
	struct fm_inode *fi = fm_inode_new(0);
	struct race *r = arg;
	struct port_thread *t[2];

	r->m = fi->inode.i_mapping;
	CHECK_EQ(port_thread_start(&t[0], "use", -1, race_use, r), 0);
	CHECK_EQ(port_thread_start(&t[1], "shrink", -1, race_shrink, r), 0);
	port_thread_join(t[0]);
	shadow_nodes_check();
	mapping_check(r->m);
	/* The file goes while the other one may be at it. */
	fm_inode_drop(fi);
	WRITE_ONCE(r->stop, true);
	port_thread_join(t[1]);
	CHECK_EQ(nodes(), 0);
	return 0;
}

static void races(void **state)
{
	u64 seed = test_env("SEED", 1);

	(void)state;
	for (u64 i = 0; i < test_iters(40); i++) {
		struct race r = {.stop = false};

		prng_seed(&r.r, seed + i);
		TM_RUN(race_body, .arg = &r, .seed = seed + i, .cpus = 2,
		       .explore = true);
	}
	fprintf(stderr, "shadow nodes: SEED=%llu\n", (unsigned long long)seed);
}

/* ---- by real pressure -------------------------------------------------- */

static int pressure_body(void *arg)
{
	struct fm_inode *fi = fm_inode_new(0);
	struct address_space *m = fi->inode.i_mapping;
	u64 pages = NODE_DATA(0)->node_present_pages, most = 0;

	(void)arg;
	for (u64 i = 0; i < 3 * pages; i++) {
		put_page(bring(m, i * APART));
		most = max(most, nodes());
	}
	CHECK(m->nrpages > pages / 2);
	CHECK(reclaimed() > pages);
	/* Between two rounds of reclaim some come to be. */
	CHECK(most < 2 * limit());
	fm_inode_drop(fi);
	CHECK_EQ(nodes(), 0);
	return 0;
}

static void pressure(void **state)
{
	(void)state;
	TM_RUN(pressure_body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(which), cmocka_unit_test(limits),
		cmocka_unit_test(busy),	 cmocka_unit_test(swapped),
		cmocka_unit_test(races), cmocka_unit_test(pressure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
