/* SPDX-License-Identifier: MIT */
/*
 * Mapped files under real threads (file_map_race.h): two threads in each of
 * three address spaces, with little memory and swap for their private copies;
 * under ThreadSanitizer too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <unistd.h>

#include <mmkit/boot.h>

#include "base/epoch.h"
#include "base_seed.h"
#include "books.h"
#include "host.h"
#include "host_swap.h"
#include "phys/e820.h"

#define FMR_LOAD(to, va, len)	 host_copy_from_user(to, va, len)
#define FMR_STORE(va, from, len) host_copy_to_user(va, from, len)
#include "file_map_race.h"

#define SWAP_PAGES 1024u

static struct e820_table map;

struct run {
	u64 seed, iters, races;
	bool memory;
};

static void race(u64 seed, const struct run *run, struct port_bdev *disk)
{
	struct fmr r = {
		.seed = seed, .iters = run->iters, .memory = run->memory};
	struct port_thread *t[FMR_THREADS];

	mm_verify(!port_bdev_resize(disk, 0));
	fmr_begin(&r, disk);
	for (int i = 0; i < FMR_THREADS; i++)
		mm_verify(
			!port_thread_start(&t[i], "race", -1, fmr_thread, &r));
	for (int i = 0; i < FMR_THREADS; i++)
		port_thread_join(t[i]);
	fmr_end(&r);
	mm_verify(r.signals > 0);
	filemap_check();
	mm_verify(global_node_page_state(NR_FILE_DIRTY) == 0);
}

static int machine_main(void *arg)
{
	static struct books books;
	struct mm_boot_params params = {.map = &map};
	struct port_bdev *disk, *swap;
	struct host_disk_config dc = {.name = "race", .size_bytes = PAGE_SIZE};
	const struct run *run = arg;

	if (mm_boot(&params))
		return 1;
	swap = host_swap(SWAP_PAGES, 0);
	mm_verify(!host_disk_open(&disk, &dc, NULL));
	books_open(&books);
	for (u64 i = 0; i < run->races; i++)
		race(run->seed + i, run, disk);
	for (int i = 0; i < 20; i++) {
		usleep(2000);
		lru_add_drain_all();
		books_drop_orphans();
		epoch_drain();
	}
	mm_verify(books_close(&books) == 0);
	mm_verify(space_sys.nr_mms == 0 && space_sys.committed == 0);
	host_disk_close(disk);
	mm_shutdown();
	host_disk_close(swap);
	return 0;
}

static void run_races(bool memory)
{
	struct host_config cfg = {
		.cpus = 16, .ram_max = 1UL << 30, .console_level = 4};
	struct run run = {
		.seed = test_env("SEED", 1),
		.iters = test_iters(800),
		.races = getenv("SOAK") ? 100 : 3,
		.memory = memory,
	};

	print_message("SEED=%lu ITERS=%lu, %lu races\n", run.seed, run.iters,
		      run.races);
	e820_init(&map);
	assert_int_equal(e820_add(&map, 0, 8UL << 20, E820_TYPE_RAM), 0);
	mm_reset();
	assert_int_equal(host_init(&cfg), 0);
	assert_int_equal(host_run(machine_main, &run), 0);
	assert_int_equal(host_shutdown(), 0);
}

static void on_disk(void **state)
{
	(void)state;
	run_races(false);
}

static void in_memory(void **state)
{
	(void)state;
	run_races(true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(on_disk),
		cmocka_unit_test(in_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
