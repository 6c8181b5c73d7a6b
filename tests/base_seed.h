/* SPDX-License-Identifier: MIT */
/*
 * base_seed.h - the seed and length of a random test: SEED and ITERS from the
 * environment, printed so that a failure can be replayed.
 */
#ifndef TESTS_BASE_SEED_H
#define TESTS_BASE_SEED_H

#include <stdio.h>
#include <stdlib.h>

#include "base/prng.h"

static inline u64 test_env(const char *name, u64 def)
{
	const char *text = getenv(name);

	return text ? strtoull(text, NULL, 0) : def;
}

/* Seed P for the test NAME. */
static inline void test_seed(struct prng *p, const char *name)
{
	u64 seed = test_env("SEED", 1);

	fprintf(stderr, "%s: SEED=%llu\n", name, (unsigned long long)seed);
	prng_seed(p, seed);
}

static inline u64 test_iters(u64 def)
{
	return test_env("ITERS", def);
}

/*
 * Rounds of a test whose rounds are alike and begin with a seed of their own,
 * of DEF in all: the variants share them out, and test_first() sees to it that
 * none repeats what another does. The one with assertions alone has the most.
 */
#if defined(__SANITIZE_ADDRESS__)
#define TEST_VARIANT 2u
#elif MM_DEBUG
#define TEST_VARIANT 1u
#else
#define TEST_VARIANT 0u
#endif

static inline u64 test_share(u64 def)
{
	u64 part = TEST_VARIANT == 1 ? (def + 1) / 2 : (def + 3) / 4;

	return getenv("SOAK") ? test_iters(def) : test_iters(part);
}

static inline u64 test_first(void)
{
	return test_env("SEED", 1 + TEST_VARIANT * 1000);
}

#endif
