/* SPDX-License-Identifier: MIT */
/*
 * Equal pages become one while programs write them, under explored schedules:
 * a page that changes between two looks, or between the last look and the
 * change of the entry, is found by who wrote it (tests/ksm_race.h); with moves
 * to other frames, compaction, swap and forks beside it.
 */
#include "calls.h"

#define KMR_LOAD(to, va, len)	 sim_copy_from_user(to, va, len)
#define KMR_STORE(va, from, len) sim_copy_to_user(va, from, len)
#include "ksm_race.h"

static int race_body(void *arg)
{
	struct port_thread *t[KMR_THREADS + 2];
	struct ksm_race *r = arg;
	u32 n = 0;

	kmr_begin(r);
	for (; n < KMR_THREADS; n++)
		CHECK_EQ(port_thread_start(&t[n], "user", -1, kmr_thread, r),
			 0);
	CHECK_EQ(port_thread_start(&t[n++], "scan", -1, kmr_scanner, r), 0);
	CHECK_EQ(port_thread_start(&t[n++], "move", -1, kmr_mover, r), 0);
	while (n)
		port_thread_join(t[--n]);
	kmr_end(r);
	return 0;
}

static void schedules(void **state)
{
	u64 seed = test_env("SEED", 1), n = test_iters(tm_soak() ? 5000 : 40);
	u64 checks = 0, shared = 0, moved = 0;

	(void)state;
	for (u64 i = 0; i < n; i++) {
		struct ksm_race r = {
			.seed = seed + i, .iters = 120, .compaction = i & 1};

		snprintf(tm_context, sizeof(tm_context), "SEED=%llu ITERS=1",
			 (unsigned long long)(seed + i));
		TM_RUN(race_body, .arg = &r, .seed = seed + i, .cpus = 3,
		       .explore = true, .stall = i / 2 % 2 * 32,
		       .swap_pages = 1024, .mem = (i % 2 ? 6UL : 8UL) << 20);
		checks += r.checks;
		shared += r.shared;
		moved += r.moved;
	}
	fprintf(stderr,
		"ksm: SEED=%llu, %llu schedules, %llu checks, %llu shared, "
		"%llu moved\n",
		(unsigned long long)seed, (unsigned long long)n,
		(unsigned long long)checks, (unsigned long long)shared,
		(unsigned long long)moved);
	assert_true(checks > n && (n < 8 || (shared && moved)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(schedules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
