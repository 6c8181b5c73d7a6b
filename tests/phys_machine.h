/* SPDX-License-Identifier: MIT */
/*
 * phys_machine.h - a simulated machine with floor 2 booted and nothing above,
 * for the tests of that floor. Include after cmocka.
 */
#ifndef TESTS_PHYS_MACHINE_H
#define TESTS_PHYS_MACHINE_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/printk.h"
#include "base/prng.h"
#include "base/system.h"
#include "phys/phys.h"
#include "sim.h"

#define MiB (1UL << 20)
#define GiB (1UL << 30)
#define TiB (1UL << 40)

/*
 * cmocka's assertions report at the end of the test, by a jump that must not
 * cross stacks. Code of these tests runs on the stacks of simulated threads
 * too, so the finding is printed at once, before the jump may go wrong.
 */
static inline bool pm_say(bool ok, const char *what, const char *file, int line)
{
	if (!ok)
		fprintf(stderr, "%s:%d: not true: %s\n", file, line, what);
	return ok;
}

#undef assert_true
#define assert_true(c)                                                       \
	_assert_true((unsigned long)pm_say((c), #c, __FILE__, __LINE__), #c, \
		     __FILE__, __LINE__)
#undef assert_int_equal
#define assert_int_equal(a, b)                                            \
	do {                                                              \
		u64 pm_a_ = (u64)(a), pm_b_ = (u64)(b);                   \
		pm_say(pm_a_ == pm_b_, #a " == " #b, __FILE__, __LINE__); \
		_assert_int_equal(pm_a_, pm_b_, __FILE__, __LINE__);      \
	} while (0)

/* The console's text since the machine was made. */
static char pm_log[1 << 20];
static size_t pm_log_len;

static void pm_console(void *arg, int level, const char *text, size_t len)
{
	(void)arg;
	(void)level;
	if (len >= sizeof(pm_log) - pm_log_len)
		len = sizeof(pm_log) - pm_log_len - 1;
	memcpy(pm_log + pm_log_len, text, len);
	pm_log_len += len;
	pm_log[pm_log_len] = '\0';
}

static inline bool pm_logged(const char *text)
{
	return strstr(pm_log, text) != NULL;
}

static inline void pm_log_clear(void)
{
	pm_log_len = 0;
	pm_log[0] = '\0';
}

/* Simulated hardware only: CPUS of node 0, or as CPU_NODE says. */
static inline void pm_hardware(int cpus, const u8 *cpu_node, u64 seed)
{
	struct sim_config cfg = {
		.cpus = cpus,
		.seed = seed,
		.cpu_node = cpu_node,
		.console = pm_console,
		.console_level = 7,
		.catch_panic = true,
	};

	pm_log_clear();
	base_reset();
	phys_reset();
	assert_int_equal(sim_init(&cfg), 0);
}

static inline void pm_shutdown(void)
{
	sim_shutdown();
	phys_reset();
	base_reset();
}

/* A PC's map with BYTES of RAM, a hole of 1 GiB below 4 GiB. */
static inline void pm_map(struct e820_table *t, u64 bytes)
{
	u64 low = bytes < 3 * GiB ? bytes : 3 * GiB;

	e820_init(t);
	assert_int_equal(e820_add(t, 0, low, E820_TYPE_RAM), 0);
	if (bytes > low)
		assert_int_equal(
			e820_add(t, 4 * GiB, bytes - low, E820_TYPE_RAM), 0);
}

/* A machine of one node with BYTES of RAM, booted. */
static inline void pm_boot(u64 bytes, int cpus)
{
	static struct e820_table map;
	struct phys_boot_params p = {.map = &map};

	pm_hardware(cpus, NULL, 1);
	pm_map(&map, bytes);
	assert_int_equal(phys_boot_memory(&p), 0);
}

/* Two nodes of half of BYTES each (above 64 MiB); CPU i is on node i & 1. */
static inline void pm_boot_numa(u64 bytes, int cpus)
{
	static struct e820_table map;
	static u8 cpu_node[MM_NR_CPUS];
	u64 split = ALIGN(bytes / 2, 4 * MiB);
	struct phys_node_range nodes[2] = {{0, split, 0}, {split, 64 * GiB, 1}};
	struct phys_boot_params p = {
		.map = &map, .nodes = nodes, .nr_nodes = 2};

	for (int i = 0; i < MM_NR_CPUS; i++)
		cpu_node[i] = i & 1;
	pm_hardware(cpus, cpu_node, 1);
	pm_map(&map, bytes);
	assert_int_equal(phys_boot_memory(&p), 0);
}

/* Numbers for random tests, from the environment for a replay. */
static inline u64 pm_env(const char *name, u64 otherwise)
{
	const char *v = getenv(name);

	return v ? strtoull(v, NULL, 0) : otherwise;
}

#endif
