/* SPDX-License-Identifier: MIT */
/*
 * The page allocator under real threads: everybody allocates, frees, drains,
 * isolates, takes ranges and reads counters at once; at the end every frame is
 * back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/prng.h"
#include "base/system.h"
#include "host.h"
#include "phys/page_isolation.h"
#include "phys/phys.h"

#define THREADS 4
#define MINE	64

static struct e820_table map;
static u64 seed, iters;

/* Ranges and pageblocks, while others free into them and take from them. */
static void range_step(struct prng *rnd)
{
	u64 nr = 1 + prng_below(rnd, 700);
	u64 pfn = prng_below(rnd, phys_sys.hot.max_pfn - nr);
	struct page *page = cma_alloc(&phys_sys.cma.areas[0], nr, 0, true);

	if (page)
		mm_verify(cma_release(&phys_sys.cma.areas[0], page, nr));
	if (!alloc_contig_range(pfn, pfn + nr, MIGRATE_MOVABLE, GFP_KERNEL)) {
		for (u64 i = pfn; i < pfn + nr; i++)
			mm_verify(page_count(pfn_to_page(i)) == 1);
		free_contig_range(pfn, nr);
	}
	if (!start_isolate_page_range(pfn, pfn + nr, MIGRATE_MOVABLE, 0))
		undo_isolate_page_range(pfn, pfn + nr, MIGRATE_PREVIOUS);
}

/* Returns the blocks that FN's thread holds now. */
static u64 churn_step(struct prng *rnd, struct page **mine, u64 n)
{
	gfp_t gfp = prng_one_in(rnd, 2) ? GFP_HIGHUSER_MOVABLE : GFP_KERNEL;
	unsigned int order = (unsigned int)prng_below(rnd, 4);

	if (prng_one_in(rnd, 8))
		order = (unsigned int)prng_below(rnd, MAX_ORDER);
	if (n < MINE && prng_one_in(rnd, 2)) {
		mine[n] = alloc_pages(gfp | __GFP_NOWARN, order);
		if (mine[n]) {
			set_page_index(mine[n], n + 1);
			n++;
		}
	} else if (n) {
		mm_verify(page_index(mine[n - 1]) == n);
		mm_verify(page_count(mine[n - 1]) == 1);
		put_page(mine[--n]);
	}
	if (prng_one_in(rnd, 1000))
		drain_all_pages();
	if (prng_one_in(rnd, 500))
		range_step(rnd);
	if (prng_one_in(rnd, 1000))
		mm_verify(global_zone_page_state(NUMA_HIT) <= 1UL << 40);
	return n;
}

static void churn(void *arg)
{
	struct page *mine[MINE];
	struct prng rnd;
	u64 n = 0;

	prng_seed(&rnd, seed + (u64)(uintptr_t)arg);
	for (u64 i = 0; i < iters; i++)
		n = churn_step(&rnd, mine, n);
	while (n)
		put_page(mine[--n]);
}

static int machine_main(void *arg)
{
	struct cma_request area = {.size = 16UL << 20, .any_node = true};
	struct phys_boot_params params = {
		.map = &map, .cma = &area, .nr_cma = 1};
	struct port_thread *t[THREADS];

	(void)arg;
	e820_init(&map);
	if (e820_add(&map, 0, 300UL << 20, E820_TYPE_RAM))
		return 1;
	if (phys_boot_memory(&params))
		return 2;
	for (u64 i = 0; i < THREADS; i++) {
		if (port_thread_start(&t[i], "churn", -1, churn,
				      (void *)(uintptr_t)i))
			return 3;
	}
	for (u64 i = 0; i < THREADS; i++)
		port_thread_join(t[i]);
	phys_check();
	drain_all_pages();
	phys_check();
	if (nr_free_pages() != totalram_pages())
		return 4;
	if (root_charged_pages() != 0)
		return 5;
	return vm_event_all_zones(PGALLOC_DMA) == sum_vm_event(PGFREE) ? 0 : 6;
}

static u64 from_env(const char *name, u64 otherwise)
{
	const char *v = getenv(name);

	return v ? strtoull(v, NULL, 0) : otherwise;
}

static void test_churn(void **state)
{
	struct host_config cfg = {
		.cpus = 8, .ram_max = 1UL << 30, .quiet = true};

	(void)state;
	seed = from_env("SEED", 1);
	iters = from_env("ITERS", 20000);
	print_message("SEED=%lu ITERS=%lu\n", seed, iters);
	base_reset();
	phys_reset();
	assert_int_equal(host_init(&cfg), 0);
	assert_int_equal(host_run(machine_main, NULL), 0);
	assert_int_equal(phys_sys.nr_bad_pages, 0);
	assert_int_equal(host_shutdown(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_churn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
