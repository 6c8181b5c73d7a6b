/* SPDX-License-Identifier: MIT */
/*
 * test_lab.c - the lab's functions by their meaning (tests/data/lab), and
 * random calls whose contents are checked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base_seed.h"
#include "lab.h"

static int script(const char *path, char **args, int n)
{
	struct lab_opts o = {.script = path, .args = args, .nr_args = n};

	machine_defaults(&o.machine);
	return lab_script(&o);
}

static int code(const char *text)
{
	struct lab_opts o = {.code = text};

	machine_defaults(&o.machine);
	return lab_script(&o);
}

static void meaning(const char *name)
{
	char arg[32], *args[] = {arg};

	snprintf(arg, sizeof(arg), "%s", name);
	assert_int_equal(script("tests/data/lab/meaning.lua", args, 1), 0);
}

static void memory(void **state)
{
	(void)state;
	meaning("cow");
	meaning("thread");
	meaning("swap");
	meaning("calls");
	meaning("files");
	meaning("other");
	meaning("arch");
}

static void trouble(void **state)
{
	(void)state;
	meaning("oom");
	meaning("errors");
	meaning("group");
}

static void waiting(void **state)
{
	(void)state;
	meaning("wait");
	meaning("uffd-fork");
	meaning("until");
	meaning("events");
}

static void looking(void **state)
{
	(void)state;
	meaning("buddy");
	meaning("lists");
	meaning("diff");
	meaning("pairs");
	meaning("zones");
}

static void status(void **state)
{
	(void)state;
	assert_int_equal(code("spawn()"), 0);
	assert_int_equal(code("error('x')"), 1);
	assert_int_equal(code("boot{mem='x'}"), 1);
	assert_int_equal(code("end"), 1);
	assert_int_equal(script("tests/data/lab/nothing.lua", NULL, 0), 1);
	/* A machine that stood there does not stay for the next. */
	assert_int_equal(code("boot{mem='16M'} hog('1M')"), 0);
	assert_int_equal(code("assert(#tasks() == 0 and "
			      "machine().mem == 1 << 30)"),
			 0);
}

static void random_calls(void **state)
{
	u64 seed = test_env("SEED", 3), steps = test_iters(500);

	(void)state;
	for (u64 i = 0; i < 2; i++) {
		char a[24], b[24], *args[] = {a, b};

		fprintf(stderr, "lab: SEED=%llu\n",
			(unsigned long long)(seed + i));
		snprintf(a, sizeof(a), "%llu", (unsigned long long)(seed + i));
		snprintf(b, sizeof(b), "%llu", (unsigned long long)steps);
		assert_int_equal(script("tests/data/lab/fuzz.lua", args, 2), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory),  cmocka_unit_test(trouble),
		cmocka_unit_test(waiting), cmocka_unit_test(looking),
		cmocka_unit_test(status),  cmocka_unit_test(random_calls),
	};

	return cmocka_run_group_tests_name("lab", tests, NULL, NULL);
}
