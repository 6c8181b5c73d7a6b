/* SPDX-License-Identifier: MIT */
/*
 * Programs that write, a scanner that makes equal pages one, compaction and a
 * mover in real threads (ksm_race.h), with little memory and swap; under
 * ThreadSanitizer too. Every page is read again, the audit is clean.
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
#include <mmkit/report.h>

#include "base/epoch.h"
#include "base/seqbuf.h"
#include "base_seed.h"
#include "host.h"
#include "host_check.h"
#include "host_race.h"
#include "host_swap.h"
#include "phys/vmstat.h"

#define KMR_LOAD(to, va, len)	 host_copy_from_user(to, va, len)
#define KMR_STORE(va, from, len) host_copy_to_user(va, from, len)
#include "ksm_race.h"

#define SWAP_PAGES 2048u

static u64 nr_rounds, checks, shared, moved;

static void one_round(u64 i)
{
	struct ksm_race r = {
		.seed = the_seed + i, .iters = 600, .compaction = i % 2};
	struct port_thread *t[KMR_THREADS + 2];
	u32 n = 0;

	kmr_begin(&r);
	for (; n < KMR_THREADS; n++)
		t[n] = race_start("ksm", kmr_thread, &r);
	t[n++] = race_start("ksm", kmr_scanner, &r);
	t[n++] = race_start("ksm", kmr_mover, &r);
	while (n)
		port_thread_join(t[--n]);
	kmr_end(&r);
	checks += r.checks;
	shared += r.shared;
	moved += r.moved;
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
	mm_shutdown();
	host_disk_close(disk);
	return 0;
}

static void threads(void **state)
{
	(void)state;
	the_seed = test_env("SEED", 1);
	nr_rounds = test_iters(getenv("SOAK") ? 1000 : 12);
	race_machine(16UL << 20, run_main);
	fprintf(stderr,
		"ksm: SEED=%llu, %llu rounds, %llu checks, %llu shared, %llu "
		"moved\n",
		(unsigned long long)the_seed, (unsigned long long)nr_rounds,
		(unsigned long long)checks, (unsigned long long)shared,
		(unsigned long long)moved);
	assert_true(checks && (nr_rounds < 4 || (shared && moved)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
