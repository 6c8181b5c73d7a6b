/* SPDX-License-Identifier: MIT */
/*
 * Faults of one process on several CPUs, under explored schedules, against
 * everything that changes mappings, takes pages away or changes the file
 * behind them: one test for each such thing.
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

#define STEPS 24

struct rounds {
	enum fr_kind kind;
	u64 seed, n;
};

static int race_body(void *arg)
{
	const struct rounds *w = arg;

	fr_begin(tm_disk(1), tm.disk);
	for (u64 i = 0; i < w->n; i++) {
		snprintf(tm_context, sizeof(tm_context), "(%s, round %llu)",
			 fr_rules[w->kind].name, (unsigned long long)i);
		fr_round(w->kind, w->seed + i, STEPS, 6);
	}
	fr_end();
	return 0;
}

/* ITERS schedules, 40 a machine; SOAK: 10,000. */
static void schedules(void **state)
{
	const enum fr_kind *kind = *state;
	u64 seed = test_env("SEED", 1);
	u64 n = test_iters(tm_soak() ? 10000 : 320), per = 40;

	fr.accesses = fr.signals = 0;
	for (u64 i = 0; i < n; i += per) {
		struct rounds w = {*kind, seed + i, min(per, n - i)};

		TM_RUN(race_body, .arg = &w, .mem = 6UL << 20,
		       .swap_pages = 1024, .seed = seed + i,
		       .cpus = 2 + (int)(i / per % 3), .explore = true,
		       .stall = i / per % 4 ? 24 : 0);
	}
	fprintf(stderr,
		"%s: SEED=%llu, %llu schedules, %llu accesses, %llu signals\n",
		fr_rules[*kind].name, (unsigned long long)seed,
		(unsigned long long)n, (unsigned long long)fr.accesses,
		(unsigned long long)fr.signals);
	assert_int_equal(fr.accesses, FR_FAULTERS * STEPS * n);
	if (*kind == FR_MUNMAP || *kind == FR_MPROTECT || *kind == FR_MREMAP ||
	    *kind == FR_LOCKED || *kind == FR_TRUNCATE)
		assert_true(n < 40 || fr.signals > n / 4);
	else
		assert_int_equal(fr.signals, 0);
}

int main(void)
{
	static enum fr_kind kinds[FR_NR_KINDS];
	struct CMUnitTest tests[FR_NR_KINDS];

	for (int i = 0; i < FR_NR_KINDS; i++) {
		kinds[i] = (enum fr_kind)i;
		tests[i] = (struct CMUnitTest){
			.name = fr_rules[i].name,
			.test_func = schedules,
			.initial_state = &kinds[i],
		};
	}
	return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
