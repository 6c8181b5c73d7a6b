/* SPDX-License-Identifier: MIT */
/*
 * cmocka.h - the part of cmocka's interface that the tests which also run on
 * the bare machine use. One case runs per boot (selftest.c); an assertion that
 * fails says where and ends the machine with a status that is not 0.
 */
#ifndef SHIM_CMOCKA_H
#define SHIM_CMOCKA_H

#include <mmkit/types.h>

typedef void (*CMUnitTestFunction)(void **state);
typedef int (*CMFixtureFunction)(void **state);

struct CMUnitTest {
	const char *name;
	CMUnitTestFunction test_func;
	CMFixtureFunction setup_func, teardown_func;
	void *initial_state;
};

#define cmocka_unit_test(f)             \
	{                               \
#f, f, NULL, NULL, NULL \
	}
#define cmocka_unit_test_setup_teardown(f, s, t) \
	{                                        \
#f, f, s, t, NULL                \
	}
#define cmocka_unit_test_prestate(f, p) \
	{                               \
#f, f, NULL, NULL, p    \
	}

int selftest_group(const char *name, const struct CMUnitTest *tests, size_t n,
		   CMFixtureFunction setup, CMFixtureFunction teardown);

#define cmocka_run_group_tests_name(name, tests, setup, teardown) \
	selftest_group(name, tests, ARRAY_SIZE(tests), setup, teardown)
#define cmocka_run_group_tests(tests, setup, teardown) \
	cmocka_run_group_tests_name(NULL, tests, setup, teardown)

_Noreturn void selftest_failed(const char *file, int line, const char *what);
void selftest_equal(u64 a, u64 b, bool want, const char *file, int line);
void selftest_string(const char *a, const char *b, bool want, const char *file,
		     int line);
void print_message(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
#define print_error print_message

#define fail() selftest_failed(__FILE__, __LINE__, "fail()")
#define fail_msg(...)                                              \
	do {                                                       \
		print_message(__VA_ARGS__);                        \
		selftest_failed(__FILE__, __LINE__, "fail_msg()"); \
	} while (0)
#define assert_true(c)                                           \
	do {                                                     \
		if (!(c))                                        \
			selftest_failed(__FILE__, __LINE__, #c); \
	} while (0)
#define assert_false(c)	   assert_true(!(c))
#define assert_null(p)	   assert_true(!(p))
#define assert_non_null(p) assert_true(p)
#define assert_int_equal(a, b) \
	selftest_equal((u64)(a), (u64)(b), true, __FILE__, __LINE__)
#define assert_int_not_equal(a, b) \
	selftest_equal((u64)(a), (u64)(b), false, __FILE__, __LINE__)
#define assert_ptr_equal(a, b) assert_int_equal((uintptr_t)(a), (uintptr_t)(b))
#define assert_ptr_not_equal(a, b) \
	assert_int_not_equal((uintptr_t)(a), (uintptr_t)(b))
#define assert_string_equal(a, b) \
	selftest_string(a, b, true, __FILE__, __LINE__)
#define assert_string_not_equal(a, b) \
	selftest_string(a, b, false, __FILE__, __LINE__)
#define assert_memory_equal(a, b, n) \
	assert_int_equal(__builtin_memcmp(a, b, n), 0)
#define assert_in_range(v, lo, hi) assert_true((v) >= (lo) && (v) <= (hi))

#endif
