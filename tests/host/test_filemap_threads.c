/* SPDX-License-Identifier: MIT */
/*
 * The page cache under real threads: see filemap_race.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdlib.h>

#include <mmkit/boot.h>

#include "filemap_race.h"
#include "host.h"
#include "phys/e820.h"
#include "phys/lru.h"
#include "phys/vmstat.h"

static struct e820_table map;

static int machine_main(void *arg)
{
	struct mm_boot_params params = {.map = &map};
	struct port_thread *t[RACE_THREADS];
	struct race *r = arg;
	struct port_bdev *disk;
	struct host_disk_config dc = {.name = "race", .size_bytes = PAGE_SIZE};

	if (mm_boot(&params))
		return 1;
	mm_verify(!host_disk_open(&disk, &dc, NULL));
	mm_verify(!port_bdev_resize(disk, 0));
	race_begin(r, disk);
	for (int i = 0; i < RACE_THREADS; i++)
		mm_verify(
			!port_thread_start(&t[i], "race", -1, race_thread, r));
	for (int i = 0; i < RACE_THREADS; i++)
		port_thread_join(t[i]);
	mm_verify(r->reads && r->writes && r->others);
	race_end(r);
	filemap_check();
	mm_verify(global_node_page_state(NR_FILE_DIRTY) == 0);
	host_disk_close(disk);
	mm_shutdown();
	return 0;
}

static void one_file(void **state)
{
	struct host_config cfg = {
		.cpus = 16, .ram_max = 1UL << 30, .console_level = 4};
	const char *seed = getenv("SEED"), *iters = getenv("ITERS");
	struct race r = {
		.seed = seed ? strtoull(seed, NULL, 0) : 1,
		.iters = iters ? strtoull(iters, NULL, 0) : 1500,
	};

	(void)state;
	print_message("SEED=%lu ITERS=%lu\n", r.seed, r.iters);
	e820_init(&map);
	assert_int_equal(e820_add(&map, 0, 8UL << 20, E820_TYPE_RAM), 0);
	mm_reset();
	assert_int_equal(host_init(&cfg), 0);
	assert_int_equal(host_run(machine_main, &r), 0);
	assert_int_equal(host_shutdown(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(one_file)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
