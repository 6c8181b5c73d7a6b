/* SPDX-License-Identifier: MIT */
/*
 * Real threads allocate, free and read counters while another adds, onlines,
 * offlines and removes memory of several nodes; at the end the books agree.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>

#include <mmkit/errno.h>

#include "base/epoch.h"
#include "base/prng.h"
#include "base/system.h"
#include "host.h"
#include "hotplug_model.h"

#define THREADS 3
#define MINE	32
#define FIRST	32 /* the first block that comes and goes: 4 GiB */
#define NR	6

static struct e820_table map;
static u64 seed, iters;
static u32 stop;

/* A walker over frame numbers, as compaction would be. */
static void walk(struct prng *rnd)
{
	u64 pfn = HM_PFN(FIRST) + prng_below(rnd, NR * HM_PER);
	const struct page *page;

	epoch_enter();
	if (pfn_valid(pfn)) {
		page = pfn_to_page(pfn);
		mm_verify(page_count(page) >= 0);
	}
	epoch_exit();
}

static void churn(void *arg)
{
	struct page *mine[MINE];
	struct prng rnd;
	u64 n = 0;

	prng_seed(&rnd, seed + 100 + (u64)(uintptr_t)arg);
	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		gfp_t gfp = prng_one_in(&rnd, 2) ? GFP_HIGHUSER_MOVABLE
						 : GFP_KERNEL;
		unsigned int order = (unsigned int)prng_below(&rnd, 4);
		int nid = (int)prng_below(&rnd, 3);

		if (prng_one_in(&rnd, 3))
			order = 0;
		if (n < MINE && prng_one_in(&rnd, 2)) {
			gfp |= __GFP_NOWARN;
			mine[n] = NODE_DATA(nid) && prng_one_in(&rnd, 2)
					  ? __alloc_pages(gfp, order, nid)
					  : alloc_pages(gfp, order);
			if (mine[n])
				set_page_index(mine[n], n + 1), n++;
		} else if (n) {
			mm_verify(page_index(mine[n - 1]) == n);
			mm_verify(page_count(mine[n - 1]) == 1);
			put_page(mine[--n]);
		}
		walk(&rnd);
		if (prng_one_in(&rnd, 500))
			mm_verify(global_zone_page_state(NUMA_HIT) < 1UL << 40);
		if (prng_one_in(&rnd, 200))
			while (n)
				put_page(mine[--n]);
	}
	while (n)
		put_page(mine[--n]);
}

static void plug_step(struct prng *rnd, u64 done[4])
{
	int nr = FIRST + (int)prng_below(rnd, NR);
	bool self = prng_one_in(rnd, 2);
	enum mmop type =
		prng_one_in(rnd, 2) ? MMOP_ONLINE : MMOP_ONLINE_MOVABLE;

	switch (memory_block_state(HM_PFN(nr))) {
	case -ENOENT:
		done[0] += !add_memory(nr % 3, HM_ADDR(nr), MEMORY_BLOCK_BYTES,
				       self ? MHP_MEMMAP_ON_MEMORY : MHP_NONE);
		break;
	case MEM_OFFLINE:
		if (prng_one_in(rnd, 3))
			done[3] +=
				!remove_memory(HM_ADDR(nr), MEMORY_BLOCK_BYTES);
		else
			done[1] += !online_pages(HM_PFN(nr), HM_PER, type);
		break;
	default:
		done[2] += !offline_pages(HM_PFN(nr), HM_PER);
	}
}

static int machine_main(void *arg)
{
	struct phys_boot_params params = {.map = &map,
					  .max_possible = 8UL << 30};
	struct port_thread *t[THREADS];
	u64 done[4] = {0};
	struct prng rnd;

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
	prng_seed(&rnd, seed);
	for (u64 i = 0; i < iters; i++)
		plug_step(&rnd, done);
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	for (u64 i = 0; i < THREADS; i++)
		port_thread_join(t[i]);
	drain_all_pages();
	phys_check();
	print_message("added %lu onlined %lu offlined %lu removed %lu\n",
		      done[0], done[1], done[2], done[3]);
	for (int k = 0; k < 4; k++)
		if (!done[k])
			return 4 + k;
	if (nr_free_pages() + phys_sys.hotplug.nr_frames > totalram_pages())
		return 8;
	return root_charged_pages() == 0 ? 0 : 9;
}

static u64 from_env(const char *name, u64 otherwise)
{
	const char *v = getenv(name);

	return v ? strtoull(v, NULL, 0) : otherwise;
}

static void test_plug(void **state)
{
	struct host_config cfg = {
		.cpus = 8, .ram_max = 1UL << 34, .quiet = true};

	(void)state;
	seed = from_env("SEED", 1);
	iters = from_env("ITERS", 150);
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
		cmocka_unit_test(test_plug),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
