/* SPDX-License-Identifier: MIT */
/*
 * Loans of addresses by real threads: each its own stack of kmap_local, all of
 * them one pkmap that is too small for them; processes in high memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mmkit/boot.h>
#include <mmkit/gfp.h>
#include <mmkit/highmem.h>
#include <mmkit/mman.h>
#include <mmkit/page_alloc.h>

#include "base_seed.h"
#include "host.h"
#include "host_check.h"
#include "pgtable/highmem.h"
#include "phys/phys.h"
#include "space/space.h"

#define MiB	(1UL << 20)
#define THREADS 6u
#define PAGES	24u
#define SHARED	700u /* more than PAE's pkmap has slots */

static struct e820_table map;
static struct page *shared[SHARED];

static struct page *high_page(void)
{
	struct page *page = alloc_page(GFP_HIGHUSER);

	CHECK(page && PageHighMem(page));
	return page;
}

/* A stack of loans, filled and looked at from the top. */
static void local_round(struct page **page, struct prng *r)
{
	u32 depth = (u32)prng_below(r, KM_SLOTS) + 1;
	u64 *view[KM_SLOTS], tag = prng_u64(r);

	for (u32 i = 0; i < depth; i++) {
		view[i] = kmap_local_page(page[i]);
		for (u32 k = 0; k < 512; k += 16)
			view[i][k] = tag + i;
	}
	for (u32 i = depth; i-- > 0;) {
		for (u32 k = 0; k < 512; k += 16)
			CHECK(view[i][k] == tag + i);
		kunmap_local(view[i]);
	}
}

/* Some of the shared frames at once; their contents never change. */
static void shared_round(struct prng *r)
{
	u32 at[4];

	for (u32 i = 0; i < ARRAY_SIZE(at); i++) {
		const u64 *view;

		at[i] = (u32)prng_below(r, SHARED);
		view = kmap(shared[at[i]]);
		CHECK(view[7] == at[i]);
		CHECK(page_address(shared[at[i]]) == view);
		CHECK(kmap_to_page(view) == shared[at[i]]);
	}
	for (u32 i = 0; i < ARRAY_SIZE(at); i++)
		kunmap(shared[at[i]]);
	if (prng_one_in(r, 50))
		kmap_flush_unused();
}

static void worker(void *arg)
{
	u64 rounds = test_iters(400);
	struct page *page[PAGES];
	struct prng r;

	prng_seed(&r, the_seed + (u64)(uintptr_t)arg);
	for (u32 i = 0; i < PAGES; i++)
		page[i] = high_page();
	for (u64 n = 0; n < rounds; n++) {
		local_round(page + prng_below(&r, PAGES - KM_SLOTS + 1), &r);
		shared_round(&r);
		if (n % 64 == 0)
			highmem_check();
	}
	for (u32 i = 0; i < PAGES; i++)
		__free_page(page[i]);
}

static void run_threads(void (*fn)(void *arg))
{
	struct port_thread *t[THREADS];

	for (u32 i = 0; i < THREADS; i++)
		CHECK(port_thread_start(&t[i], "worker", -1, fn,
					(void *)(uintptr_t)(i + 1)) == 0);
	for (u32 i = 0; i < THREADS; i++)
		port_thread_join(t[i]);
}

static int body_loans(void)
{
	for (u32 i = 0; i < SHARED; i++) {
		u64 *view;

		shared[i] = high_page();
		view = kmap_local_page(shared[i]);
		view[7] = i;
		kunmap_local(view);
	}
	run_threads(worker);
	highmem_check();
	CHECK(pgtable_sys.high.wraps > 0);
	for (u32 i = 0; i < SHARED; i++)
		__free_page(shared[i]);
	return 0;
}

/*
 * More users than slots: everybody gets a turn. LEFT slots are not taken, each
 * thread wants EACH at once: together a few more than there are, but so few
 * that one of them can always go on.
 */
#define LEFT 62u
#define EACH ((LEFT - 1) / THREADS + 1)

static pthread_barrier_t all_but_one;

static void hungry(void *arg)
{
	u32 first = ((u32)(uintptr_t)arg - 1) * EACH;

	for (u64 n = 0; n < test_iters(20); n++) {
		for (u32 i = first; i < first + EACH; i++) {
			const u64 *view;

			/* The last one of each is what there is too little of.
			 */
			if (i + 1 == first + EACH)
				pthread_barrier_wait(&all_but_one);
			view = kmap(shared[i]);
			CHECK(view[7] == i);
		}
		usleep(500);
		for (u32 i = first; i < first + EACH; i++)
			kunmap(shared[i]);
	}
}

static int body_hungry(void)
{
	u32 taken = pgtable_sys.layout.nr_pkmap - LEFT;

	CHECK(taken + THREADS * EACH <= SHARED);
	for (u32 i = 0; i < SHARED; i++) {
		shared[i] = high_page();
		*((u64 *)host_phys(PFN_PHYS(page_to_pfn(shared[i]))) + 7) = i;
	}
	for (u32 i = 0; i < taken; i++)
		kmap(shared[SHARED - 1 - i]);
	pthread_barrier_init(&all_but_one, NULL, THREADS);
	run_threads(hungry);
	pthread_barrier_destroy(&all_but_one);
	highmem_check();
	CHECK(pgtable_sys.high.waits > 0);
	CHECK(pgtable_sys.high.nr_free == LEFT);
	for (u32 i = 0; i < SHARED; i++) {
		if (i < taken)
			kunmap(shared[SHARED - 1 - i]);
		__free_page(shared[SHARED - 1 - i]);
	}
	return 0;
}

/* Frames are cleared and copied through loans while others do the same. */
static void process(void *arg)
{
	struct mm_task *task = port_current();
	struct mm_struct *mm = NULL, *child = NULL;
	struct mm_layout l;
	u64 v, id = (u64)(uintptr_t)arg << 32;
	s64 va;

	mm_default_layout(&l);
	CHECK(mm_create(&l, &mm) == 0);
	va = do_mmap(mm, 0, 200 * PAGE_SIZE, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS);
	CHECK(va > 0);
	mm_task_attach(task, mm);
	for (u64 i = 0; i < 200; i++) {
		v = id + i;
		CHECK(!host_copy_to_user((uva_t)va + i * PAGE_SIZE, &v, 8));
	}
	CHECK(mm_fork(mm, &child) == 0);
	for (u64 i = 0; i < 200; i++) {
		CHECK(!host_copy_from_user(&v, (uva_t)va + i * PAGE_SIZE, 8));
		CHECK(v == id + i);
		CHECK(!host_copy_to_user((uva_t)va + i * PAGE_SIZE + 8, &v, 8));
		CHECK(!host_copy_from_user(&v, (uva_t)va + i * PAGE_SIZE, 8));
		CHECK(v == id + i);
		CHECK(!host_copy_from_user(&v, (uva_t)va + i * PAGE_SIZE + 16,
					   8));
		CHECK(v == 0);
	}
	mm_task_exit(task);
	mm_put(child);
	mm_put(mm);
}

static int body_processes(void)
{
	run_threads(process);
	return 0;
}

static int booted(void *arg)
{
	int (**body)(void) = arg;
	struct mm_boot_params bp = {.map = &map, .arch = "x86-32-pae"};

	CHECK(mm_boot(&bp) == 0);
	CHECK((*body)() == 0);
	kernel_tables_check();
	mm_shutdown();
	return 0;
}

static void run(int (*body)(void))
{
	struct host_config hc = {.format = &paging_x86_32_pae};

	e820_init(&map);
	CHECK(e820_add(&map, MiB, 1535 * MiB, E820_TYPE_RAM) == 0);
	mm_reset();
	CHECK(host_init(&hc) == 0);
	CHECK(host_run(booted, &body) == 0);
	CHECK(host_shutdown() == 0);
	mm_reset();
}

static void test_loans(void **state)
{
	(void)state;
	run(body_loans);
}

static void test_hungry(void **state)
{
	(void)state;
	run(body_hungry);
}

static void test_processes(void **state)
{
	(void)state;
	run(body_processes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_loans),
		cmocka_unit_test(test_hungry),
		cmocka_unit_test(test_processes),
	};

	the_seed = test_env("SEED", 1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
