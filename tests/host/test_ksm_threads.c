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
#include "host_swap.h"
#include "phys/vmstat.h"

#define KMR_LOAD(to, va, len)	 host_copy_from_user(to, va, len)
#define KMR_STORE(va, from, len) host_copy_to_user(va, from, len)
#include "ksm_race.h"

#define SWAP_PAGES 2048u

static u64 nr_rounds, checks, shared, moved;

static struct port_thread *start(void (*fn)(void *), void *arg)
{
	struct port_thread *t;
	int err = host_thread_start(&t, "ksm", fn, arg);

	/* The CPUs of ended threads may not be free yet. */
	for (int i = 0; i < 1000 && err == -EAGAIN; i++) {
		usleep(1000);
		err = host_thread_start(&t, "ksm", fn, arg);
	}
	CHECK(err == 0);
	return t;
}

static void audit(void)
{
	static char text[16384];
	struct seq_buf s;

	seq_buf_init(&s, text, sizeof(text));
	if (mm_audit(&s)) {
		fprintf(stderr, "%s", text);
		fail_at(__FILE__, __LINE__, "audit is clean");
	}
}

static void one_round(u64 i)
{
	struct ksm_race r = {
		.seed = the_seed + i, .iters = 600, .compaction = i % 2};
	struct port_thread *t[KMR_THREADS + 2];
	u32 n = 0;

	kmr_begin(&r);
	for (; n < KMR_THREADS; n++)
		t[n] = start(kmr_thread, &r);
	t[n++] = start(kmr_scanner, &r);
	t[n++] = start(kmr_mover, &r);
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
	for (int i = 0; i < 20; i++) {
		usleep(2000);
		lru_add_drain_all();
		epoch_drain();
	}
	audit();
	CHECK(space_sys.nr_mms == 0 && space_sys.committed == 0);
	mm_shutdown();
	host_disk_close(disk);
	return 0;
}

static void threads(void **state)
{
	struct host_config cfg = {
		.cpus = 16, .ram_max = 1UL << 30, .quiet = true};
	static struct e820_table map;

	(void)state;
	the_seed = test_env("SEED", 1);
	nr_rounds = test_iters(getenv("SOAK") ? 1000 : 12);
	e820_init(&map);
	CHECK(e820_add(&map, 0x100000, 16UL << 20, E820_TYPE_RAM) == 0);
	mm_reset();
	CHECK(host_init(&cfg) == 0);
	CHECK(host_run(run_main, &map) == 0);
	CHECK(host_shutdown() == 0);
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
