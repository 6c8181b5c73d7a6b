/* SPDX-License-Identifier: MIT */
/*
 * Faults of one process in real threads against everything that changes
 * mappings or takes pages away; under ThreadSanitizer too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <mmkit/boot.h>
#include <mmkit/errno.h>
#include <mmkit/report.h>

#include "base/epoch.h"
#include "base/seqbuf.h"
#include "base_seed.h"
#include "books.h"
#include "cache/swap.h"
#include "host.h"
#include "host_check.h"
#include "host_race.h"
#include "host_swap.h"
#include "phys/lru.h"
#include "phys/phys.h"
#include "space/space.h"

#define FR_CHECK(c)		CHECK(c)
#define FR_WRITE(va, from, len) host_copy_to_user(va, from, len)
#define FR_READ(to, va, len)	host_copy_from_user(to, va, len)

static struct port_thread *fr_start(void (*fn)(void *), void *arg, int cpu)
{
	(void)cpu;
	return race_start("fr", fn, arg);
}

#include "model_faults.h"

#define SWAP_PAGES 4096u

/* The disk of the mapped file. */
static struct port_bdev *make_disk(void)
{
	struct host_disk_config dc = {.name = "file", .size_bytes = PAGE_SIZE};
	struct port_bdev *disk;

	CHECK(host_disk_open(&disk, &dc, NULL) == 0);
	return disk;
}

static u64 nr_rounds;

static int run_main(void *arg)
{
	static struct books books;
	struct mm_boot_params bp = {.map = arg};
	struct port_bdev *swap;

	CHECK(mm_boot(&bp) == 0);
	swap = host_swap(SWAP_PAGES, -2);
	books_open(&books);
	fr_begin(make_disk(), swap);
	for (u64 i = 0; i < nr_rounds; i++)
		fr_round((enum fr_kind)(i % FR_NR_KINDS), the_seed + i, 1000,
			 UINT32_MAX);
	fr_end();
	race_settle(books_drop_orphans);
	CHECK(books_close(&books) == 0);
	CHECK(space_sys.nr_mms == 0 && space_sys.committed == 0);
	mm_shutdown();
	return 0;
}

static void threads(void **state)
{
	(void)state;
	the_seed = test_env("SEED", 1);
	nr_rounds = test_iters(getenv("SOAK") ? 2000 : 96);
	race_machine(32UL << 20, run_main);
	fprintf(stderr, "faults: SEED=%llu, %llu accesses, %llu signals\n",
		(unsigned long long)the_seed, (unsigned long long)fr.accesses,
		(unsigned long long)fr.signals);
	assert_true(fr.accesses >= nr_rounds * 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads),
	};

	return cmocka_run_group_tests_name("faults_host", tests, NULL, NULL);
}
