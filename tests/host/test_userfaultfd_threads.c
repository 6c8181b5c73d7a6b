/* SPDX-License-Identifier: MIT */
/*
 * Touchers, a monitor and somebody who changes the space in real threads
 * (uffd_race.h), with little memory; under ThreadSanitizer too.
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
#include "host.h"
#include "host_check.h"
#include "host_race.h"
#include "host_swap.h"
#include "phys/lru.h"
#include "phys/phys.h"
#include "space/space.h"

#define UR_LOAD(to, va, len)	host_copy_from_user(to, va, len)
#define UR_STORE(va, from, len) host_copy_to_user(va, from, len)
#include "uffd_race.h"

#define SWAP_PAGES 2048u

static u64 nr_rounds;
static u64 fills, watched, events;

static void one_round(u64 i)
{
	struct uffd_race r = {
		.seed = the_seed + i, .iters = 300, .shared = i % 4 == 3};
	struct port_thread *t[UR_TOUCHERS + 1];

	if (i % 2)
		r.features = UFFD_FEATURE_EVENT_REMOVE |
			     UFFD_FEATURE_EVENT_UNMAP |
			     UFFD_FEATURE_EVENT_REMAP | UFFD_FEATURE_EVENT_FORK;
	ur_begin(&r);
	for (int n = 0; n < UR_TOUCHERS; n++)
		t[n] = race_start("uffd", ur_touch_thread, &r);
	t[UR_TOUCHERS] = race_start("uffd", ur_change_thread, &r);
	ur_monitor(&r);
	for (int n = 0; n <= UR_TOUCHERS; n++)
		port_thread_join(t[n]);
	fills += r.fills;
	watched += r.watched;
	events += r.events;
	ur_end(&r);
}

static int run_main(void *arg)
{
	struct mm_boot_params bp = {.map = arg};
	struct port_bdev *disk;

	CHECK(mm_boot(&bp) == 0);
	disk = host_swap(SWAP_PAGES, 0);
	for (u64 i = 0; i < nr_rounds; i++)
		one_round(i);
	race_settle(NULL);
	race_audit();
	CHECK(space_sys.nr_mms == 0 && space_sys.committed == 0);
	CHECK(list_empty(&space_sys.uffds));
	mm_shutdown();
	host_disk_close(disk);
	return 0;
}

static void threads(void **state)
{
	(void)state;
	the_seed = test_env("SEED", 1);
	nr_rounds = test_iters(getenv("SOAK") ? 2000 : 24);
	race_machine(16UL << 20, run_main);
	fprintf(stderr,
		"userfaultfd: SEED=%llu, %llu filled, %llu writes seen, %llu "
		"events\n",
		(unsigned long long)the_seed, (unsigned long long)fills,
		(unsigned long long)watched, (unsigned long long)events);
	assert_true(fills && watched && (nr_rounds < 2 || events));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
