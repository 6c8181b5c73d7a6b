/* SPDX-License-Identifier: MIT */
/*
 * test_base_locks_host.c - locks, waits and epochs under real threads. Built
 * with ThreadSanitizer it also shows that they order memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base_lock_cases.h"
#include "base_seed.h"
#include "host.h"

static void primitives(void **state)
{
	u64 seed = test_env("SEED", 1);

	(void)state;
	for (u64 k = 0; k < test_iters(2); k++, seed++) {
		base_reset();
		assert_int_equal(host_init(NULL), 0);
		assert_int_equal(host_run(run_lock_cases, &seed), 0);
		assert_int_equal(host_shutdown(), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(primitives),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
