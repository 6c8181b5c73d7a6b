/* SPDX-License-Identifier: MIT */
/*
 * Pages that move under real threads (migrate_race.h): faults, fork, mprotect,
 * mremap, munmap and reclaim beside a mover, a compactor and hint faults that
 * fetch pages to the node that uses them, with zswap's frames among those that
 * move; under ThreadSanitizer too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mmkit/boot.h>
#include <mmkit/report.h>
#include <mmkit/sysctl.h>

#include "base/epoch.h"
#include "base_seed.h"
#include "books.h"
#include "cache/zswap.h"
#include "compact/compact.h"
#include "host.h"
#include "host_swap.h"
#include "phys/e820.h"
#include "phys/vmstat.h"

#define MGR_LOAD(to, va, len)	 host_copy_from_user(to, va, len)
#define MGR_STORE(va, from, len) host_copy_to_user(va, from, len)
#include "migrate_race.h"

#define SWAP_PAGES 2048u
#define RAM	   (12UL << 20)

static struct e820_table map;

struct run {
	u64 seed, iters, races;
	u64 checks, moved; /* results */
	u64 hints, compacted;
};

static void compactor(void *arg)
{
	struct mgr *r = arg;

	while (__atomic_load_n(&r->left, __ATOMIC_ACQUIRE)) {
		compact_nodes();
		port_park(300000);
	}
}

static struct port_thread *start(void (*fn)(void *), void *arg)
{
	struct port_thread *t;
	int err = port_thread_start(&t, "race", -1, fn, arg);

	/* The CPUs of ended threads may not be free yet. */
	for (int i = 0; i < 1000 && err == -EAGAIN; i++) {
		usleep(1000);
		err = port_thread_start(&t, "race", -1, fn, arg);
	}
	mm_verify(!err);
	return t;
}

static void race(u64 seed, struct run *run)
{
	struct mgr r = {
		.seed = seed, .iters = run->iters, .refuse = seed % 3 ? 0 : 4};
	struct port_thread *t[MGR_THREADS + 3];
	static void (*const others[])(void *) = {mgr_mover, mgr_scanner,
						 compactor};

	mgr_begin(&r);
	for (u32 i = 0; i < MGR_THREADS; i++)
		t[i] = start(mgr_thread, &r);
	for (u32 i = 0; i < 3; i++)
		t[MGR_THREADS + i] = start(others[i], &r);
	for (u32 i = 0; i < MGR_THREADS + 3; i++)
		port_thread_join(t[i]);
	mgr_end(&r);
	run->checks += r.checks;
	run->moved += r.moved;
}

static void zswap(const char *what)
{
	mm_verify(mm_write("/sys/module/zswap/parameters/enabled", what, 1) ==
		  1);
}

static int machine_main(void *arg)
{
	static struct books books;
	struct mm_boot_node nodes[] = {{0, RAM / 2, 0}, {RAM / 2, RAM, 1}};
	struct mm_boot_params params = {
		.map = &map, .nodes = nodes, .nr_nodes_ranges = 2};
	struct port_bdev *swap;
	struct run *run = arg;

	if (mm_boot(&params))
		return 1;
	swap = host_swap(SWAP_PAGES, 0);
	space_sys.numa.scan_delay_ms = 1000000;
	mm_verify(!mm_sysctl_set("kernel.numa_balancing", "1"));
	zswap("Y");
	books_open(&books);
	for (u64 i = 0; i < run->races; i++)
		race(run->seed + i, run);
	for (int i = 0; i < 20; i++) {
		usleep(2000);
		lru_add_drain_all();
		books_drop_orphans();
		epoch_drain();
	}
	mm_verify(books_close(&books) == 0);
	mm_verify(space_sys.nr_mms == 0 && space_sys.committed == 0);
	run->hints = sum_vm_event(NUMA_HINT_FAULTS);
	run->compacted = sum_vm_event(COMPACTMIGRATE_SCANNED);
	zswap("N");
	mm_shutdown();
	host_disk_close(swap);
	return 0;
}

static void threads(void **state)
{
	static u8 cpu_node[MM_NR_CPUS];
	struct host_config cfg = {.cpus = 24,
				  .cpu_node = cpu_node,
				  .ram_max = 1UL << 30,
				  .console_level = 4};
	struct run run = {
		.seed = test_env("SEED", 1),
		.iters = test_iters(2000),
		.races = getenv("SOAK") ? 300 : 2,
	};

	(void)state;
	for (u32 i = 0; i < MM_NR_CPUS; i++)
		cpu_node[i] = i % 2;
	e820_init(&map);
	assert_int_equal(e820_add(&map, 0, RAM, E820_TYPE_RAM), 0);
	mm_reset();
	assert_int_equal(host_init(&cfg), 0);
	assert_int_equal(host_run(machine_main, &run), 0);
	assert_int_equal(host_shutdown(), 0);
	print_message("SEED=%lu, %lu races, %lu checks, %lu moved, %lu hint "
		      "faults, %lu scanned\n",
		      run.seed, run.races, run.checks, run.moved, run.hints,
		      run.compacted);
	assert_true(run.checks > run.races * 100);
	assert_true(run.iters < 2000 ||
		    (run.moved > 0 && run.hints > 0 && run.compacted > 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads),
	};

	return cmocka_run_group_tests_name("migrate_threads", tests, NULL,
					   NULL);
}
