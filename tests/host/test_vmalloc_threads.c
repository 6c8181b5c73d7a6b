/* SPDX-License-Identifier: MIT */
/*
 * vmalloc, small mappings, per-CPU objects and counters under real threads:
 * what one wrote it finds again, and at the end all is back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <mmkit/boot.h>
#include <mmkit/page_alloc.h>
#include <mmkit/percpu_counter.h>
#include <mmkit/vmalloc.h>

#include "base/prng.h"
#include "base_seed.h"
#include "host.h"
#include "kmem/percpu.h"
#include "kmem/slab.h"
#include "kmem/vmalloc.h"
#include "phys/e820.h"

#define THREADS 8
#define MINE	12
#define MAPPED	5

static struct e820_table map;
static u64 seed, iters;
static struct percpu_counter total;

struct mine {
	u64 *p;
	u64 *cpu;
	u32 pages; /* 0: a small mapping */
	struct page *frames[MAPPED];
};

static void take(struct mine *m, u64 stamp, struct prng *r)
{
	m->pages = prng_one_in(r, 3) ? 0 : 1 + (u32)prng_below(r, 30);
	if (m->pages) {
		m->p = vmalloc(m->pages * PAGE_SIZE);
	} else {
		for (u32 i = 0; i < MAPPED; i++) {
			m->frames[i] = alloc_page(GFP_KERNEL);
			mm_verify(m->frames[i] != NULL);
		}
		m->p = vm_map_ram(m->frames, MAPPED, -1);
	}
	mm_verify(m->p != NULL);
	for (u64 i = 0; i < (m->pages ? m->pages : MAPPED); i++)
		m->p[i * 512] = stamp + i;
	m->cpu = __alloc_percpu(8 + prng_below(r, 400) / 8 * 8, 8);
	mm_verify(m->cpu != NULL);
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
		*per_cpu_ptr(m->cpu, cpu) = stamp + (u64)cpu;
	percpu_counter_inc(&total);
}

static void give(struct mine *m, u64 stamp)
{
	for (u64 i = 0; i < (m->pages ? m->pages : MAPPED); i++)
		mm_verify(m->p[i * 512] == stamp + i);
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
		mm_verify(*per_cpu_ptr(m->cpu, cpu) == stamp + (u64)cpu);
	free_percpu(m->cpu);
	if (m->pages) {
		vfree(m->p);
	} else {
		vm_unmap_ram(m->p, MAPPED);
		for (u32 i = 0; i < MAPPED; i++)
			__free_page(m->frames[i]);
	}
	m->p = NULL;
	percpu_counter_dec(&total);
}

/* Looks at areas of others, which may go at any time. */
static void look(struct prng *r)
{
	static const u64 span = 1UL << 21;
	struct vm_row row;
	kva_t at = kmem_sys.vm.areas.start + prng_below(r, span);
	char buf[64];

	(void)vm_row_next(&at, &row);
	(void)vread(buf,
		    port_kva(kmem_sys.vm.areas.start + prng_below(r, span)),
		    sizeof(buf));
	(void)vmap_largest_free();
	(void)percpu_counter_read(&total);
}

static void churn(void *arg)
{
	struct mine *mine = calloc(MINE, sizeof(*mine));
	u64 id = (u64)(uintptr_t)arg;
	struct prng r;

	prng_seed(&r, seed * THREADS + id);
	for (u64 i = 0; i < iters; i++) {
		u64 k = prng_below(&r, MINE), stamp = id << 40 | k << 32;

		if (mine[k].p)
			give(&mine[k], stamp);
		else
			take(&mine[k], stamp, &r);
		if (prng_one_in(&r, 20))
			look(&r);
		if (prng_one_in(&r, 200))
			vm_unmap_aliases();
		if (prng_one_in(&r, 300))
			(void)percpu_reclaim();
	}
	for (u64 k = 0; k < MINE; k++)
		if (mine[k].p)
			give(&mine[k], id << 40 | k << 32);
	free(mine);
}

static void run_threads(void (*fn)(void *arg))
{
	struct port_thread *t[THREADS];

	for (u64 i = 0; i < THREADS; i++)
		mm_verify(port_thread_start(&t[i], "churn", -1, fn,
					    (void *)(uintptr_t)i) == 0);
	for (u64 i = 0; i < THREADS; i++)
		port_thread_join(t[i]);
}

static void nothing(void *arg)
{
	(void)arg;
}

static int body(void *arg)
{
	struct mm_boot_params bp = {.map = &map};
	u64 pages, percpu, busy;

	(void)arg;
	mm_verify(mm_boot(&bp) == 0);
	/* Another world's threads have stacks there, and it keeps some. */
	run_threads(nothing);
	pages = vmalloc_nr_pages();
	percpu = pcpu_nr_pages();
	busy = kmem_sys.vm.areas.nr_busy;
	mm_verify(percpu_counter_init(&total, 0, GFP_KERNEL) == 0);
	run_threads(churn);
	mm_verify(percpu_counter_sum(&total) == 0);
	percpu_counter_destroy(&total);
	(void)percpu_reclaim();
	vm_unmap_aliases();
	vmalloc_check();
	pcpu_check();
	mm_verify(vmalloc_nr_pages() == pages && pcpu_nr_pages() == percpu);
	mm_verify(kmem_sys.vm.areas.nr_busy == busy);
	mm_shutdown();
	return 0;
}

static void test_threads(void **state)
{
	struct host_config cfg = {.cpus = THREADS + 8,
				  .ram_max = 1UL << 30,
				  .shared_ram = true,
				  .quiet = true};

	(void)state;
	seed = test_env("SEED", 1);
	iters = test_iters(test_env("SOAK", 0) ? 200000 : 1500);
	fprintf(stderr, "SEED=%llu\n", (unsigned long long)seed);
	e820_init(&map);
	assert_int_equal(e820_add(&map, 0x100000, 255UL << 20, E820_TYPE_RAM),
			 0);
	mm_reset();
	assert_int_equal(host_init(&cfg), 0);
	assert_int_equal(host_run(body, NULL), 0);
	assert_int_equal(host_shutdown(), 0);
	mm_reset();
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_threads)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
