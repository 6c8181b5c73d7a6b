/* SPDX-License-Identifier: MIT */
/*
 * The page allocator against a map of who owns each frame: random requests of
 * all orders, types and CPUs with drains in between; every sequence of a small
 * scope; fallback; bad frees; failure injection; waiting for pages.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/fail.h"
#include "base/trace_ring.h"
#include "phys/buddy_priv.h"
#include "phys/page_isolation.h"
#include "phys_machine.h"

static int teardown(void **state)
{
	(void)state;
	pm_shutdown();
	return 0;
}

/* ---- random requests
 * ------------------------------------------------------------- */

#define MAX_LIVE 600

struct live {
	struct page *page;
	unsigned int order;
	bool comp;
};

static struct live live[MAX_LIVE];
static u64 nr_live, used_frames;
static u8 owned[1 << 16]; /* by frame number */

static void model_reset(void)
{
	nr_live = used_frames = 0;
	memset(owned, 0, sizeof(owned));
}

static void model_add(struct page *page, unsigned int order, bool comp)
{
	u64 pfn = page_to_pfn(page);

	assert_true(IS_ALIGNED(pfn, 1UL << order));
	for (u64 i = pfn; i < pfn + (1UL << order); i++) {
		assert_true(memblock_is_memory(PFN_PHYS(i)));
		assert_false(memblock_is_reserved(PFN_PHYS(i)));
		assert_int_equal(owned[i], 0);
		owned[i] = 1;
	}
	assert_int_equal(page_count(page), 1);
	assert_int_equal(page_mapcount(page), 0);
	assert_int_equal(PageHead(page), comp && order);
	assert_int_equal(compound_order(page), comp ? order : 0);
	for (u64 i = 1; comp && i < 1UL << order; i++)
		assert_ptr_equal(compound_head(page + i), page);
	live[nr_live++] = (struct live){page, order, comp};
	used_frames += 1UL << order;
}

static void model_free(u64 k)
{
	struct live l = live[k];
	u64 pfn = page_to_pfn(l.page);

	memset(owned + pfn, 0, 1UL << l.order);
	used_frames -= 1UL << l.order;
	live[k] = live[--nr_live];
}

/* Frames on all per-CPU lists. */
static u64 pcp_frames(void)
{
	struct zone *zone;
	u64 sum = 0;

	for_each_populated_zone (zone) {
		for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
			sum += (u64)pcp_count(&zone->pageset[cpu]);
	}
	return sum;
}

static void model_compare(void)
{
	phys_check();
	assert_int_equal(nr_free_pages() + pcp_frames() + used_frames,
			 totalram_pages());
}

static gfp_t random_gfp(struct prng *rnd)
{
	static const gfp_t kinds[] = {
		GFP_KERNEL,
		GFP_KERNEL | __GFP_RECLAIMABLE,
		GFP_HIGHUSER_MOVABLE,
		GFP_ATOMIC,
		GFP_DMA | GFP_KERNEL,
		GFP_USER,
		GFP_DMA32 | __GFP_ZERO | GFP_KERNEL,
		GFP_KERNEL_ACCOUNT | __GFP_THISNODE,
	};
	gfp_t gfp = kinds[prng_below(rnd, ARRAY_SIZE(kinds))];

	return gfp | __GFP_NOWARN | (prng_one_in(rnd, 3) ? __GFP_COMP : 0);
}

static void random_alloc(struct prng *rnd)
{
	unsigned int order = prng_one_in(rnd, 3)
				     ? (unsigned int)prng_below(rnd, MAX_ORDER)
				     : (unsigned int)prng_below(rnd, 3);
	gfp_t gfp = random_gfp(rnd);
	struct page *page;

	if (nr_live == MAX_LIVE)
		return;
	page = prng_one_in(rnd, 8)
		       ? __alloc_pages(gfp, order,
				       first_online_pgdat()->node_id)
		       : alloc_pages(gfp, order);
	if (!page)
		return;
	if (gfp & __GFP_ZERO) {
		const u64 *words = page_view(page);

		for (u64 i = 0; i < (PAGE_SIZE << order) / 8; i += 61)
			assert_int_equal(words[i], 0);
	}
	if (gfp & __GFP_DMA)
		assert_int_equal(page_zone_idx(page), ZONE_DMA);
	memset(page_view(page), 0xa5, 64);
	model_add(page, order, gfp & __GFP_COMP);
}

static void random_free(struct prng *rnd)
{
	u64 k;
	struct live l;

	if (!nr_live)
		return;
	k = prng_below(rnd, nr_live);
	l = live[k];
	model_free(k);
	switch (prng_below(rnd, 4)) {
	case 0:
		put_page(l.comp ? l.page + (1UL << l.order) - 1 : l.page);
		break;
	case 1:
		get_page(l.page);
		__free_pages(l.page, l.order);
		assert_int_equal(page_count(l.page), 1);
		put_page(l.page);
		break;
	case 2:
		if (l.comp || !l.order) {
			__free_pages(l.page, l.order);
			break;
		}
		split_page(l.page, l.order);
		for (u64 i = 0; i < 1UL << l.order; i++)
			__free_page(l.page + i);
		break;
	default:
		__free_pages(l.page, l.order);
	}
}

static void random_bulk(struct prng *rnd)
{
	struct page *pages[64] = {NULL};
	u64 n = prng_range(rnd, 1, 64), got, filled = 0;

	if (nr_live + n > MAX_LIVE)
		return;
	if (prng_one_in(rnd, 2)) {
		pages[n / 2] = alloc_page(GFP_KERNEL | __GFP_NOWARN);
		if (!pages[n / 2])
			return;
	}
	got = alloc_pages_bulk(GFP_HIGHUSER_MOVABLE | __GFP_NOWARN, -1, n,
			       pages);
	assert_true(got <= n);
	for (u64 i = 0; i < n; i++) {
		assert_true(i >= got || pages[i]);
		if (!pages[i])
			continue;
		model_add(pages[i], 0, false);
		filled++;
	}
	assert_true(filled >= got);
}

static void random_exact(struct prng *rnd)
{
	u64 frames = prng_range(rnd, 1, 40);
	struct page *page = alloc_pages_exact(frames * PAGE_SIZE - 100,
					      GFP_KERNEL | __GFP_NOWARN);

	if (!page)
		return;
	phys_check();
	for (u64 i = 0; i < frames; i++)
		assert_int_equal(page_count(page + i), 1);
	free_pages_exact(page, frames * PAGE_SIZE - 100);
}

static void random_list_free(struct prng *rnd)
{
	struct page_list list;

	page_list_init(&list);
	for (u64 k = 0; k < nr_live && list.count < 20;) {
		struct page *page = live[k].page;

		if (live[k].order || prng_one_in(rnd, 2)) {
			k++;
			continue;
		}
		model_free(k);
		assert_true(put_page_testzero(page));
		page_list_add(&list, page);
	}
	free_unref_page_list(&list);
	assert_true(page_list_empty(&list));
}

/* On whichever CPU: the running thread goes there. */
static void hop(struct prng *rnd)
{
	sim_set_cpu(port_self(), (int)prng_below(rnd, (u64)port_nr_cpus()));
}

static int random_run(void *arg)
{
	struct prng *rnd = arg;

	for (int op = 0; op < 400; op++) {
		u64 kind = prng_below(rnd, 40);

		if (kind < 17)
			random_alloc(rnd);
		else if (kind < 32)
			random_free(rnd);
		else if (kind == 32)
			random_bulk(rnd);
		else if (kind == 33)
			random_exact(rnd);
		else if (kind == 34)
			random_list_free(rnd);
		else if (kind == 35)
			drain_pages((int)prng_below(rnd, (u64)port_nr_cpus()));
		else if (kind == 36)
			drain_all_pages();
		else
			hop(rnd);
		if (op % 8 == 0)
			model_compare();
	}
	while (nr_live)
		random_free(rnd);
	model_compare();
	drain_all_pages();
	model_compare();
	assert_int_equal(nr_free_pages(), totalram_pages());
	assert_int_equal(root_charged_pages(), 0);
	assert_int_equal(vm_event_all_zones(PGALLOC_DMA), sum_vm_event(PGFREE));
	assert_int_equal(phys_sys.nr_bad_pages, 0);
	return 0;
}

static void test_random(void **state)
{
	u64 seed = pm_env("SEED", 1), iters = pm_env("ITERS", 24);

	(void)state;
	print_message("SEED=%lu ITERS=%lu\n", seed, iters);
	for (u64 i = 0; i < iters; i++) {
		struct prng rnd;

		prng_seed(&rnd, seed + i);
		if (i % 3 == 2)
			pm_boot_numa(24 * MiB, 3);
		else
			pm_boot(i % 3 ? 7 * MiB : 20 * MiB, 1 + (int)(i % 4));
		model_reset();
		assert_int_equal(sim_run(random_run, &rnd), 0);
		pm_shutdown();
	}
	pm_hardware(1, NULL, 1);
}

/* ---- every sequence of a small scope
 * ------------------------------------------------- */

#define SCOPE_ORDER 4
#define SCOPE	    16u
#define SCOPE_ID    200

/* A zone of sixteen frames, taken from a real one. */
static struct zone scope;
static u64 scope_base;

static void scope_make(void)
{
	struct page *block = alloc_pages(GFP_KERNEL, SCOPE_ORDER);

	assert_non_null(block);
	scope_base = page_to_pfn(block);
	memset(&scope, 0, sizeof(scope));
	scope.zone_pgdat = NODE_DATA(0);
	scope.zone_start_pfn = scope_base;
	scope.spanned_pages = scope.present_pages = SCOPE;
	scope.managed_pages = SCOPE;
	scope.zone_id = SCOPE_ID;
	phys_sys.hot.zone_of[SCOPE_ID] = &scope;
	split_page(block, SCOPE_ORDER);
	for (u64 i = 0; i < SCOPE; i++) {
		block[i].zone_id = SCOPE_ID;
		set_page_count(block + i, 0);
	}
}

/* All free again, whatever the lists were. */
static void scope_clean(void)
{
	unsigned long flags;

	for (u64 i = 0; i < SCOPE; i++) {
		struct page *page = pfn_to_page(scope_base + i);

		page->flags = 0;
		page->private = 0;
	}
	zone_init_free_lists(&scope);
	spin_lock_irqsave(&scope.lock, flags);
	free_pages_range(&scope, scope_base, scope_base + SCOPE,
			 MIGRATE_MOVABLE);
	spin_unlock_irqrestore(&scope.lock, flags);
}

/* Is a block of ORDER, aligned, free in the map USED? */
static bool map_has(u32 used, unsigned int order)
{
	u32 block = (1u << (1u << order)) - 1;

	for (u32 i = 0; i < SCOPE; i += 1u << order) {
		if (!(used >> i & block))
			return true;
	}
	return false;
}

struct scope_block {
	u64 pfn;
	unsigned int order;
};

/* Do operation OP (0..4 allocate that order; else free the OP-5th block). */
static void scope_op(u32 op, struct scope_block *blocks, u32 *nr, u32 *used)
{
	unsigned long flags;

	spin_lock_irqsave(&scope.lock, flags);
	if (op <= SCOPE_ORDER) {
		bool fits = map_has(*used, op);
		struct page *page = __rmqueue(&scope, op, MIGRATE_MOVABLE, 0);

		assert_int_equal(page != NULL, fits);
		if (page) {
			u64 at = page_to_pfn(page) - scope_base;
			u32 block = ((1u << (1u << op)) - 1) << at;

			assert_true(at < SCOPE && at % (1u << op) == 0);
			assert_int_equal(*used & block, 0);
			*used |= block;
			blocks[(*nr)++] = (struct scope_block){at, op};
		}
	} else if (op - SCOPE_ORDER - 1 < *nr) {
		struct scope_block b = blocks[op - SCOPE_ORDER - 1];
		u64 pfn = scope_base + b.pfn;

		blocks[op - SCOPE_ORDER - 1] = blocks[--*nr];
		*used &= ~(((1u << (1u << b.order)) - 1) << b.pfn);
		__free_one_page(&scope, pfn_to_page(pfn), pfn, b.order,
				MIGRATE_MOVABLE);
	}
	assert_int_equal(scope.nr_free_pages,
			 SCOPE - (u32)__builtin_popcount(*used));
	spin_unlock_irqrestore(&scope.lock, flags);
}

#define SCOPE_OPS   9 /* five orders, four blocks to free */
#define SCOPE_DEPTH 6

static void test_small_scope(void **state)
{
	u64 nr_sequences = 1;

	(void)state;
	pm_boot(8 * MiB, 1);
	scope_make();
	for (int i = 0; i < SCOPE_DEPTH; i++)
		nr_sequences *= SCOPE_OPS;
	for (u64 seq = 0; seq < nr_sequences; seq++) {
		struct scope_block blocks[SCOPE_DEPTH];
		u32 nr = 0, used = 0;
		u64 code = seq;

		scope_clean();
		for (int i = 0; i < SCOPE_DEPTH; i++, code /= SCOPE_OPS)
			scope_op((u32)(code % SCOPE_OPS), blocks, &nr, &used);
		if (seq % 7 == 0)
			buddy_check(&scope);
	}
}

/* ---- mobility
 * ---------------------------------------------------------------------------
 */

static void test_fallback(void **state)
{
	struct zone *zone;
	struct page *first, *page;
	u64 n = 0;

	(void)state;
	pm_boot(64 * MiB, 1);
	zone = &NODE_DATA(0)->node_zones[ZONE_DMA32];
	/* The first kernel page takes a whole block of movable memory. */
	first = alloc_page(GFP_KERNEL);
	assert_int_equal(get_pageblock_migratetype(first), MIGRATE_UNMOVABLE);
	assert_true(zone_nr_free_blocks(zone, 0, MIGRATE_UNMOVABLE) +
			    (u64)pcp_count(&zone->pageset[0]) >
		    0);
	/* Later ones stay in its pageblocks: no second one is touched. */
	for (int i = 0; i < 300; i++) {
		page = alloc_page(GFP_KERNEL);
		assert_int_equal(page_to_pfn(page) / MAX_ORDER_NR_PAGES,
				 page_to_pfn(first) / MAX_ORDER_NR_PAGES);
	}
	/* Movable pages fill all else, then fall back into those blocks. */
	while ((page = alloc_page(GFP_HIGHUSER_MOVABLE)) &&
	       get_pageblock_migratetype(page) == MIGRATE_MOVABLE)
		n++;
	assert_true(n > 14000);
	phys_check();
}

/* Where only single movable frames are left, mixing raises the watermark. */
static void test_boost(void **state)
{
	struct page *page, *keep = NULL;
	struct zone *zone;
	u64 low;

	(void)state;
	pm_boot(64 * MiB, 1);
	zone = &NODE_DATA(0)->node_zones[ZONE_DMA32];
	low = low_wmark_pages(zone);
	while ((page = alloc_page(GFP_HIGHUSER_MOVABLE))) {
		/* Every second frame, linked through the owner's word. */
		if (page_to_pfn(page) & 1)
			continue;
		set_page_mapping_word(page, (u64)(uintptr_t)keep);
		keep = page;
	}
	while ((page = keep)) {
		keep = (struct page *)(uintptr_t)page_mapping_word(page);
		set_page_mapping_word(page, 0);
		__free_page(page);
	}
	drain_all_pages();
	assert_int_equal(zone->watermark_boost, 0);
	page = alloc_page(GFP_KERNEL);
	assert_non_null(page);
	assert_int_equal(zone->watermark_boost, pageblock_nr_pages);
	assert_int_equal(low_wmark_pages(zone), low + pageblock_nr_pages);
	phys_check();
}

/* NOFRAGMENT: a request leaves the zone rather than mix a pageblock. */
static void test_nofragment(void **state)
{
	struct zone *zone;
	struct page *page;
	unsigned long flags;

	(void)state;
	pm_boot(16 * MiB - MiB, 1);
	zone = &NODE_DATA(0)->node_zones[ZONE_DMA];
	while (alloc_pages(GFP_HIGHUSER_MOVABLE | __GFP_NOWARN,
			   pageblock_order))
		;
	drain_all_pages();
	spin_lock_irqsave(&zone->lock, flags);
	while ((page = __rmqueue(zone, pageblock_order, MIGRATE_MOVABLE, 0)))
		;
	assert_null(__rmqueue(zone, 0, MIGRATE_UNMOVABLE, ALLOC_NOFRAGMENT));
	assert_non_null(__rmqueue(zone, 0, MIGRATE_UNMOVABLE, 0));
	spin_unlock_irqrestore(&zone->lock, flags);
	phys_check();
}

static void test_highatomic(void **state)
{
	struct alloc_context ac;
	struct zone *zone;
	struct page *page;

	(void)state;
	pm_boot(256 * MiB, 1);
	prepare_alloc_context(&ac, GFP_ATOMIC, -1);
	page = get_page_from_freelist(GFP_ATOMIC, 2,
				      gfp_to_alloc_flags(GFP_ATOMIC), &ac);
	assert_non_null(page);
	zone = page_zone(page);
	assert_int_equal(get_pageblock_migratetype(page), MIGRATE_HIGHATOMIC);
	assert_int_equal(zone->nr_reserved_highatomic, pageblock_nr_pages);
	assert_true(zone_nr_free_blocks(zone, 2, MIGRATE_HIGHATOMIC) > 0 ||
		    zone_nr_free_blocks(zone, 8, MIGRATE_HIGHATOMIC) > 0);
	phys_check();
	__free_pages(page, 2);
	phys_check();
	assert_false(unreserve_highatomic_pageblock(&ac, false));
	assert_true(unreserve_highatomic_pageblock(&ac, true));
	assert_int_equal(zone->nr_reserved_highatomic, 0);
	phys_check();
}

static void test_isolated_block(void **state)
{
	struct zone *zone;
	struct page *page, *block;
	u64 moved, before, pfn;

	(void)state;
	pm_boot(64 * MiB, 1);
	block = alloc_pages(GFP_HIGHUSER_MOVABLE, pageblock_order);
	pfn = page_to_pfn(block);
	page = block + 77;
	split_page(block, pageblock_order);
	for (u64 i = 0; i < pageblock_nr_pages; i++) {
		if (i != 77)
			__free_page(block + i);
	}
	drain_all_pages();
	zone = page_zone(block);
	before = zone_page_state(zone, NR_FREE_PAGES);
	moved = pageblock_nr_pages - 1;
	set_page_mapping_word(page, PAGE_MAPPING_MOVABLE);
	assert_int_equal(start_isolate_page_range(pfn, pfn + pageblock_nr_pages,
						  MIGRATE_MOVABLE, 0),
			 0);
	assert_int_equal(zone_page_state(zone, NR_FREE_PAGES), before - moved);
	/* Its last frame does not come back into circulation. */
	__free_page(page);
	assert_int_equal(pcp_count(&zone->pageset[0]), 0);
	assert_int_equal(zone_page_state(zone, NR_FREE_PAGES), before - moved);
	phys_check();
	undo_isolate_page_range(pfn, pfn + pageblock_nr_pages, MIGRATE_MOVABLE);
	assert_int_equal(zone_page_state(zone, NR_FREE_PAGES), before + 1);
	phys_check();
}

/* ---- what callers do wrong
 * ------------------------------------------------------------- */

static void expect_bad(const char *why)
{
	if (!pm_logged("BUG: Bad page state in process") || !pm_logged(why))
		fail_msg("expected a report of \"%s\", got: %s", why, pm_log);
	pm_log_clear();
}

static void test_bad_frees(void **state)
{
	struct page *page;
	u64 free;

	(void)state;
	pm_boot(32 * MiB, 1);
	page = alloc_page(GFP_KERNEL);
	__free_page(page);
	__free_page(page);
	expect_bad("freed while free");
	drain_all_pages();
	__free_page(page);
	expect_bad("freed while free");
	put_page(page);
	expect_bad("freed while free");
	free = nr_free_pages();
	page = alloc_pages(GFP_KERNEL, 4);
	__free_pages(page, 3);
	expect_bad("freed with wrong order");
	__free_pages(page, 0);
	expect_bad("freed with wrong order");
	page = alloc_pages(GFP_KERNEL | __GFP_COMP, 4);
	__free_pages(page, 5);
	expect_bad("freed with wrong order");
	__free_pages(page + 1, 0);
	expect_bad("freed by a tail");
	/* Both blocks are out of circulation; all else goes on. */
	drain_all_pages();
	assert_int_equal(nr_free_pages(), free - 32);
	phys_check();
}

static void test_bad_states(void **state)
{
	struct page *page;
	u64 bad = 0;

	(void)state;
	pm_boot(32 * MiB, 1);
	phys_sys.tunables.check_pages = true;
	page = alloc_page(GFP_KERNEL);
	page_mapcount_add(page, 1);
	__free_page(page);
	expect_bad("nonzero mapcount");
	page = alloc_page(GFP_KERNEL);
	SetPageSlab(page);
	__free_page(page);
	expect_bad("PAGE_FLAGS_CHECK_AT_FREE");
	assert_true(PageSlab(page));
	page = alloc_page(GFP_KERNEL);
	set_page_mapping_word(page, 0x1234500);
	__free_page(page);
	expect_bad("non-NULL mapping");
	page = alloc_page(GFP_KERNEL);
	set_page_mapping_word(page, 0x1234500 | PAGE_MAPPING_ANON);
	__free_page(page);
	assert_false(pm_logged("BUG"));
	page = alloc_pages(GFP_KERNEL, 3);
	set_page_count(page + 5, 1);
	__free_pages(page, 3);
	expect_bad("inside the block");
	/* A frame that changes while it is free is not given out. */
	page = alloc_page(GFP_KERNEL);
	__free_page(page);
	SetPageDirty(page);
	assert_ptr_not_equal(alloc_page(GFP_KERNEL), page);
	expect_bad("PAGE_FLAGS_CHECK_AT_PREP flag set");
	assert_true(pm_log[0] == '\0');
	for (u64 i = 0; i < 1000; i++)
		assert_non_null(alloc_page(GFP_KERNEL));
	bad = phys_sys.nr_bad_pages;
	assert_int_equal(bad, 5);
	phys_check();
}

static void test_fail_injection(void **state)
{
	struct fail_result r;
	struct page *page;

	(void)state;
	pm_boot(32 * MiB, 1);
	__free_page(alloc_page(GFP_KERNEL));
	fail_arm_nth(FAIL_MASK(FAIL_PAGE_ALLOC), 2, false);
	page = alloc_page(GFP_KERNEL);
	assert_non_null(page);
	assert_null(alloc_page(GFP_KERNEL));
	__free_page(alloc_page(GFP_KERNEL));
	r = fail_disarm();
	assert_int_equal(r.calls, 3);
	assert_int_equal(r.fired, 1);
	fail_arm_nth(FAIL_MASK(FAIL_PAGE_ALLOC), 1, true);
	assert_null(alloc_pages(GFP_KERNEL, 3));
	__free_page(alloc_page(GFP_KERNEL | __GFP_NOFAIL));
	__free_page(alloc_page(GFP_KERNEL | __GFP_SKIP_FAIL));
	fail_disarm();
	fail_arm_nth(FAIL_MASK(FAIL_CHARGE), 1, true);
	__free_page(alloc_page(GFP_KERNEL));
	assert_null(alloc_page(GFP_KERNEL_ACCOUNT));
	fail_disarm();
	__free_page(page);
	drain_all_pages();
	assert_int_equal(nr_free_pages(), totalram_pages());
	assert_null(alloc_pages(GFP_KERNEL | __GFP_NOWARN, MAX_ORDER));
}

/* ---- hooks
 * -----------------------------------------------------------------------------------
 */

static struct {
	int charges, uncharges, limit;
	s64 pages;
	int slow_calls, wakes;
} hooked;

static int hook_charge(struct page *page, unsigned int order, u16 group,
		       gfp_t gfp)
{
	assert_true(gfp != 0);
	assert_int_equal(group, 7);
	assert_non_null(page);
	if (hooked.pages + (1 << order) > hooked.limit)
		return -ENOMEM;
	hooked.charges++;
	hooked.pages += 1 << order;
	set_page_group(page, group);
	return 0;
}

static void hook_uncharge(u16 group, u64 nr)
{
	assert_int_equal(group, 7);
	hooked.uncharges++;
	hooked.pages -= (s64)nr;
}

static void test_charges(void **state)
{
	static const struct charge_ops ops = {.charge = hook_charge,
					      .uncharge = hook_uncharge};
	struct page *a, *b, *c;

	(void)state;
	pm_boot(32 * MiB, 1);
	memset(&hooked, 0, sizeof(hooked));
	hooked.limit = 9;
	page_alloc_set_charge_ops(&ops);
	a = alloc_page(GFP_HIGHUSER_MOVABLE);
	assert_int_equal(root_charged_pages(), 1);
	assert_int_equal(hooked.charges, 0);
	port_current()->group = 7;
	b = alloc_pages(GFP_KERNEL_ACCOUNT, 3);
	assert_int_equal(root_charged_pages(), 9);
	c = alloc_page(GFP_KERNEL);
	assert_int_equal(hooked.charges, 1);
	__free_page(alloc_page(GFP_USER));
	assert_null(alloc_pages(GFP_USER, 1));
	assert_int_equal(hooked.pages, 8);
	port_current()->group = 0;
	__free_pages(b, 3);
	__free_page(a);
	__free_page(c);
	assert_int_equal(hooked.pages, 0);
	assert_int_equal(hooked.uncharges, 2);
	assert_int_equal(root_charged_pages(), 0);
	page_alloc_set_charge_ops(NULL);
}

#define ZEROED 40

static bool all_zero(const struct page *page)
{
	const char *view = page_view(page);

	return !view[0] && !memcmp(view, view + 1, PAGE_SIZE - 1);
}

/* Frames that come back all zero are given out again as such, few of them;
 * they are free frames of this CPU in all that is counted, and drained. */
static void test_zeroed(void **state)
{
	gfp_t gfp = GFP_KERNEL | __GFP_ACCOUNT;
	struct page *page[ZEROED], *again;
	u64 freed, got, free;
	u32 kept = 0;

	(void)state;
	pm_boot(32 * MiB, 1);
	free = nr_free_pages() + pcp_frames();
	freed = sum_vm_event(PGFREE);
	got = vm_event_all_zones(PGALLOC_DMA);
	for (u32 i = 0; i < ZEROED; i++) {
		page[i] = alloc_zeroed_page(gfp);
		assert_non_null(page[i]);
		assert_true(all_zero(page[i]));
		assert_int_equal(page_count(page[i]), 1);
	}
	assert_int_equal(root_charged_pages(), ZEROED);
	get_page(page[0]);
	free_zeroed_pages(&page[0], 1);
	assert_int_equal(root_charged_pages(), ZEROED);
	for (u32 i = 0; i < ZEROED; i++)
		free_zeroed_pages(&page[i], 1);
	assert_int_equal(root_charged_pages(), 0);
	assert_int_equal(nr_free_pages() + pcp_frames(), free);
	assert_int_equal(sum_vm_event(PGFREE) - freed, ZEROED);
	assert_int_equal(vm_event_all_zones(PGALLOC_DMA) - got, ZEROED);
	phys_check();
	/* A stack: the last that found room is the first to come, uncleared. */
	for (struct page *p = page_zone(page[0])->pageset[0].lists[PCP_ZEROED];
	     p; p = (struct page *)(uintptr_t)p->word)
		kept++;
	assert_in_range(kept, 1, ZEROED - 1);
	again = alloc_zeroed_page(gfp);
	assert_ptr_equal(again, page[kept - 1]);
	assert_true(all_zero(again));
	assert_true(PageCharged(again));
	/* What is not zero is not theirs. */
	memset(page_view(again), 7, PAGE_SIZE);
	__free_page(again);
	for (u32 i = 0; i < ZEROED; i++) {
		page[i] = alloc_zeroed_page(gfp);
		assert_true(all_zero(page[i]));
	}
	for (u32 i = 0; i < ZEROED; i++)
		free_zeroed_pages(&page[i], 1);
	drain_all_pages();
	assert_int_equal(pcp_frames(), 0);
	assert_int_equal(nr_free_pages(), free);
	phys_check();
}

static struct page *hook_slowpath(gfp_t gfp, unsigned int order,
				  struct alloc_context *ac)
{
	hooked.slow_calls++;
	assert_int_equal(ac->migratetype, gfp_migratetype(gfp));
	return get_page_from_freelist(gfp, order, gfp_to_alloc_flags(gfp), ac);
}

static void hook_wake(struct zone *zone, gfp_t gfp, unsigned int order,
		      enum zone_type highest)
{
	(void)gfp;
	(void)order;
	(void)highest;
	assert_true(populated_zone(zone));
	hooked.wakes++;
}

static void test_pressure(void **state)
{
	static const struct pressure_ops ops = {.alloc_slowpath = hook_slowpath,
						.wake_kswapd = hook_wake};
	u64 before = 0, n = 0;

	(void)state;
	pm_boot(64 * MiB, 1);
	memset(&hooked, 0, sizeof(hooked));
	page_alloc_set_pressure_ops(&ops);
	while (alloc_page(n % 3 ? GFP_KERNEL : GFP_HIGHUSER_MOVABLE)) {
		n++;
		before += hooked.slow_calls == 0;
	}
	/* The mixed pageblocks woke kswapd once; the boost ends it all. */
	assert_true(hooked.slow_calls > 0);
	assert_true(hooked.wakes > 0);
	phys_sys.tunables.watermark_boost_factor = 0;
	setup_per_zone_wmarks();
	while (alloc_page(GFP_KERNEL)) {
		n++;
		before += hooked.slow_calls == 0;
	}
	assert_true(n > before);
	page_alloc_set_pressure_ops(NULL);
	warn_alloc(GFP_KERNEL | __GFP_COMP, NODE_MASK_ALL, 2,
		   "page allocation failure");
	assert_true(pm_logged("page allocation failure: order:2, mode:"));
	assert_true(pm_logged("(GFP_KERNEL|__GFP_COMP)"));
	assert_true(pm_logged("Node 0 DMA32 free:"));
	phys_check();
}

static void test_trace(void **state)
{
	static struct trace_record ring[16];
	struct trace_cursor c;
	struct trace_record r;
	struct page *page;

	(void)state;
	pm_boot(32 * MiB, 1);
	trace_ring_attach(0, ring, ARRAY_SIZE(ring));
	trace_enable(TRACE_MM_PAGE_ALLOC);
	trace_enable(TRACE_MM_PAGE_FREE);
	page = alloc_page(GFP_HIGHUSER_MOVABLE);
	__free_page(page);
	trace_enable_mask(0);
	trace_cursor_init(&c);
	assert_true(trace_cursor_next(&c, &r));
	assert_int_equal(r.event, TRACE_MM_PAGE_ALLOC);
	assert_int_equal(r.arg[0], page_to_pfn(page));
	assert_int_equal(r.arg[3], MIGRATE_MOVABLE);
	assert_true(trace_cursor_next(&c, &r));
	assert_int_equal(r.event, TRACE_MM_PAGE_FREE);
	assert_int_equal(r.arg[0], page_to_pfn(page));
	assert_false(trace_cursor_next(&c, &r));
	trace_ring_attach(0, NULL, 0);
}

/* ---- counters
 * ------------------------------------------------------------------------------------
 */

static void test_counters(void **state)
{
	pg_data_t *pgdat;
	struct zone *zone;
	u64 events[NR_VM_EVENT_ITEMS];

	(void)state;
	pm_boot(32 * MiB, 2);
	pgdat = NODE_DATA(0);
	zone = &pgdat->node_zones[ZONE_DMA32];
	mod_node_page_state(pgdat, NR_ANON_MAPPED, 5);
	mod_node_page_state(pgdat, NR_ANON_MAPPED, -2);
	assert_int_equal(global_node_page_state(NR_ANON_MAPPED), 3);
	mod_node_page_state(pgdat, NR_SLAB_RECLAIMABLE_B, 3 * 4096 + 17);
	assert_int_equal(node_page_state(pgdat, NR_SLAB_RECLAIMABLE_B), 3);
	mod_zone_page_state(zone, NR_MLOCK, -4);
	assert_int_equal(zone_page_state(zone, NR_MLOCK), 0);
	mod_zone_page_state(zone, NR_MLOCK, 6);
	assert_int_equal(global_zone_page_state(NR_MLOCK), 2);
	count_vm_event(PGFAULT);
	count_vm_events(PGFAULT, 9);
	for (int i = 0; i < 10; i++)
		__free_pages(alloc_pages(GFP_KERNEL, 2), 2);
	all_vm_events(events);
	assert_int_equal(events[PGFAULT], 10);
	assert_int_equal(events[PGFREE], 40);
	assert_int_equal(events[PGALLOC_DMA32] + events[PGALLOC_DMA], 40);
	assert_int_equal(global_zone_page_state(NUMA_HIT), 10);
	assert_int_equal(global_zone_page_state(NUMA_LOCAL), 10);
	assert_string_equal(vmstat_event_name(SWAP_RA), "swap_ra");
	assert_string_equal(vmstat_event_name(DIRECT_MAP_LEVEL3_SPLIT),
			    "direct_map_level3_splits");
	assert_string_equal(vmstat_node_name(NR_SWAPCACHE), "nr_swapcached");
	assert_string_equal(vmstat_zone_name(NUMA_OTHER), "numa_other");
	assert_null(vmstat_event_name(PGALLOC_HIGH));
}

/* ---- several CPUs at once
 * ---------------------------------------------------------------------------
 */

static struct page *shared_page;
static u64 lock_holders, lock_turns;

static void churn(void *arg)
{
	struct prng rnd;
	struct page *mine[40];
	u64 n = 0;

	prng_seed(&rnd, (u64)(uintptr_t)arg);
	for (int i = 0; i < 1500; i++) {
		if (n < ARRAY_SIZE(mine) && prng_one_in(&rnd, 2)) {
			mine[n] = alloc_page(GFP_KERNEL | __GFP_NOWARN);
			if (mine[n]) {
				set_page_index(mine[n], (u64)(uintptr_t)arg);
				n++;
			}
		} else if (n) {
			n--;
			assert_int_equal(page_index(mine[n]),
					 (u64)(uintptr_t)arg);
			assert_int_equal(page_count(mine[n]), 1);
			__free_page(mine[n]);
		}
		if (prng_one_in(&rnd, 100))
			drain_all_pages();
		if (prng_one_in(&rnd, 20)) {
			lock_page(shared_page);
			assert_int_equal(lock_holders++, 0);
			sim_yield();
			lock_holders--;
			lock_turns++;
			unlock_page(shared_page);
		}
	}
	while (n)
		__free_page(mine[--n]);
}

static int churn_main(void *arg)
{
	struct port_thread *t[6];

	(void)arg;
	shared_page = alloc_page(GFP_KERNEL);
	for (u64 i = 0; i < ARRAY_SIZE(t); i++)
		assert_int_equal(
			sim_thread_start_on(&t[i], "churn", (int)(i & 3), churn,
					    (void *)(uintptr_t)(i + 1)),
			0);
	for (u64 i = 0; i < ARRAY_SIZE(t); i++)
		port_thread_join(t[i]);
	assert_true(lock_turns > 100);
	__free_page(shared_page);
	phys_check();
	drain_all_pages();
	assert_int_equal(nr_free_pages(), totalram_pages());
	return 0;
}

static void test_many_cpus(void **state)
{
	static struct e820_table map;
	struct phys_boot_params p = {.map = &map};
	u64 seed = pm_env("SEED", 1), iters = pm_env("ITERS", 10);

	(void)state;
	print_message("SEED=%lu ITERS=%lu\n", seed, iters);
	for (u64 i = 0; i < iters; i++) {
		struct sim_config cfg = {.cpus = 4,
					 .seed = seed + i,
					 .explore = i & 1,
					 .console = pm_console,
					 .console_level = 7};

		pm_log_clear();
		base_reset();
		phys_reset();
		lock_turns = 0;
		assert_int_equal(sim_init(&cfg), 0);
		pm_map(&map, 8 * MiB);
		assert_int_equal(phys_boot_memory(&p), 0);
		assert_int_equal(sim_run(churn_main, NULL), 0);
		pm_shutdown();
	}
	pm_hardware(1, NULL, 1);
}

/* A page whose write ends while others wait for it, and for its lock. */
static void wait_writeback(void *arg)
{
	struct page *page = arg;

	wait_on_page_writeback(page);
	assert_false(PageWriteback(page));
	lock_turns++;
}

static int writeback_main(void *arg)
{
	struct port_thread *t[3];

	(void)arg;
	shared_page = alloc_page(GFP_KERNEL);
	SetPageWriteback(shared_page);
	for (int i = 0; i < 3; i++)
		assert_int_equal(sim_thread_start_on(&t[i], "waiter", i & 1,
						     wait_writeback,
						     shared_page),
				 0);
	port_park(1000 * 1000);
	assert_int_equal(lock_turns, 0);
	assert_true(PageWaiters(shared_page));
	end_page_writeback(shared_page);
	for (int i = 0; i < 3; i++)
		port_thread_join(t[i]);
	assert_int_equal(lock_turns, 3);
	lock_page(shared_page);
	assert_false(trylock_page(shared_page));
	unlock_page(shared_page);
	wait_on_page_locked(shared_page);
	__free_page(shared_page);
	return 0;
}

static void test_writeback(void **state)
{
	(void)state;
	pm_boot(16 * MiB, 2);
	lock_turns = 0;
	assert_int_equal(sim_run(writeback_main, NULL), 0);
	assert_int_equal(phys_sys.nr_bad_pages, 0);
}

#define T(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_random),		T(test_small_scope), T(test_fallback),
		T(test_boost),		T(test_nofragment),  T(test_highatomic),
		T(test_isolated_block), T(test_bad_frees),   T(test_bad_states),
		T(test_fail_injection), T(test_charges),     T(test_zeroed),
		T(test_pressure),	T(test_trace),	     T(test_counters),
		T(test_many_cpus),	T(test_writeback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
