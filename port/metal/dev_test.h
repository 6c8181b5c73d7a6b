/* SPDX-License-Identifier: MIT */
/* dev_test.h - the parts of the devices' self test. Private to port/metal. */
#ifndef METAL_DEV_TEST_H
#define METAL_DEV_TEST_H

#include "base/printk.h"
#include "machine.h"

/* A disk that may be written to begins with these bytes. */
#define SCRATCH_MAGIC "mmkit scratch disk\n"

/* test_fail: the running part failed; the first time, why. Any context. */
void test_fail(const char *fmt, ...) MM_PRINTF(1, 2);
bool test_good(void);
#define test_check(cond, ...)                   \
	do {                                    \
		if (!(cond))                    \
			test_fail(__VA_ARGS__); \
	} while (0)

/* test_move_to: the running thread runs on CPU alone from now on. */
void test_move_to(int cpu);
/* test_on_cpus: FN(cpu, ARG) in a thread on each CPU from FIRST on, all at
 * once; returns when all have. */
void test_on_cpus(int first, void (*fn)(int cpu, void *arg), void *arg);

/* Each puts figures into FIGURES[SIZE]. */
void test_tables(char *figures, u32 size);
void test_tlb(char *figures, u32 size);
void test_disk(char *figures, u32 size);

#endif
