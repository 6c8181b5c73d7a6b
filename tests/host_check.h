/* SPDX-License-Identifier: MIT */
/*
 * host_check.h - for tests with real threads: a thread that finds something
 * wrong ends the program, and says by which seed it can be had again.
 */
#ifndef TESTS_HOST_CHECK_H
#define TESTS_HOST_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#include <mmkit/types.h>

static u64 the_seed;

static _Noreturn void fail_at(const char *file, int line, const char *what)
{
	fprintf(stderr, "FAILED %s:%d: %s (SEED=%llu)\n", file, line, what,
		(unsigned long long)the_seed);
	fflush(NULL);
	abort();
}

#define CHECK(c)                                         \
	do {                                             \
		if (!(c))                                \
			fail_at(__FILE__, __LINE__, #c); \
	} while (0)

#endif
