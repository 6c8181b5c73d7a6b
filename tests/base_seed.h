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

#endif
