/* SPDX-License-Identifier: MIT */
/*
 * Faults of one process on several CPUs, under explored schedules, against
 * everything that changes mappings or takes pages away.
 */
#include "sim_machine.h"

#define FR_CHECK(c)		CHECK(c)
#define FR_WRITE(va, from, len) sim_copy_to_user(va, from, len)
#define FR_READ(to, va, len)	sim_copy_from_user(to, va, len)

static struct port_thread *fr_start(void (*fn)(void *), void *arg, int cpu)
{
	struct port_thread *t;

	CHECK_EQ(sim_thread_start_on(&t, "fr", cpu % tm.cfg.cpus, fn, arg), 0);
	return t;
}

#include "model_faults.h"

struct rounds {
	u64 seed, n;
};

static int race_body(void *arg)
{
	const struct rounds *w = arg;

	for (u64 i = 0; i < w->n; i++) {
		enum fr_kind kind = (enum fr_kind)(i % FR_NR_KINDS);

		snprintf(tm_context, sizeof(tm_context), "(%s, round %llu)",
			 fr_names[kind], (unsigned long long)i);
		fr_round(kind, w->seed + i, 24, 6);
	}
	return 0;
}

/* ITERS schedules, 40 a machine; SOAK: 10,000. */
static void schedules(void **state)
{
	u64 seed = test_env("SEED", 1);
	u64 n = test_iters(tm_soak() ? 10000 : 3600), per = 40;

	(void)state;
	fr.accesses = fr.signals = 0;
	for (u64 i = 0; i < n; i += per) {
		struct rounds w = {seed + i, min(per, n - i)};

		TM_RUN(race_body, .arg = &w, .mem = 6UL << 20,
		       .swap_pages = 1024, .seed = seed + i,
		       .cpus = 2 + (int)(i / per % 3), .explore = true);
	}
	fprintf(stderr,
		"faults: SEED=%llu, %llu schedules, %llu accesses, %llu signals\n",
		(unsigned long long)seed, (unsigned long long)n,
		(unsigned long long)fr.accesses,
		(unsigned long long)fr.signals);
	assert_true(fr.accesses >= 24 * n && (n < 40 || fr.signals > n / 4));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(schedules),
	};

	return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
