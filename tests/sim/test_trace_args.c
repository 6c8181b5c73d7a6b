/* SPDX-License-Identifier: MIT */
/* Parsing of the command's arguments, and suggestions: tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above first. */
#include <cmocka.h>

#include "args.h"
#include "err.h"

#include <string.h>

static void test_sizes(void **state)
{
	static const struct {
		const char *text;
		u64 value;
	} good[] = {
		{"0", 0},
		{"4096", 4096},
		{"3K", 3 << 10},
		{"3k", 3 << 10},
		{"32M", 32 << 20},
		{"32MiB", 32 << 20},
		{"32MB", 32 << 20},
		{"1G", 1 << 30},
		{"2T", 2ULL << 40},
		{"5P", 5ULL << 50},
		{"9E", 9ULL << 60},
		{"15E", 15ULL << 60},
		{"18446744073709551615", UINT64_MAX},
	};
	struct args_error e;
	u64 v;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		assert_true(args_size(good[i].text, &v, &e));
		assert_true(v == good[i].value);
	}
}

static void test_bad_sizes(void **state)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
		{"", "missing"},
		{"M", "digit"},
		{"-1", "digit"},
		{"+1", "digit"},
		{" 1", "digit"},
		{"1X", "no size"},
		{"1Mx", "no size"},
		{"1.5M", "no size"},
		{"1 M", "no size"},
		{"0x10", "no size"},
		{"16E", "too large"},
		{"17179869184G", "too large"},
		{"18446744073709551616", "too large"},
		{"99999999999999999999999", "too large"},
	};
	struct args_error e;
	u64 v = 77;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_false(args_size(bad[i].text, &v, &e));
		assert_non_null(strstr(e.text, bad[i].why));
		assert_int_equal(v, 77);
	}
}

static void test_lists(void **state)
{
	struct args_list l = {0};
	struct args_error e;
	char many[4 * ARGS_LIST_MAX];

	(void)state;
	assert_true(args_size_list("8M,16M,32M", &l, &e));
	assert_int_equal(l.nr, 3);
	assert_true(l.v[0] == 8 << 20 && l.v[2] == 32 << 20);
	assert_true(args_size_list("1", &l, &e));
	assert_int_equal(l.nr, 1);
	assert_false(args_size_list("", &l, &e));
	assert_false(args_size_list("8M,", &l, &e));
	assert_false(args_size_list(",8M", &l, &e));
	assert_false(args_size_list("8M,,9M", &l, &e));
	assert_false(args_size_list("8M;9M", &l, &e));
	memset(many, '1', sizeof(many));
	for (size_t i = 1; i < sizeof(many); i += 2)
		many[i] = ',';
	many[2 * ARGS_LIST_MAX - 1] = 0;
	assert_true(args_size_list(many, &l, &e));
	assert_int_equal(l.nr, ARGS_LIST_MAX);
	many[2 * ARGS_LIST_MAX - 1] = ',';
	many[2 * ARGS_LIST_MAX + 1] = 0;
	assert_false(args_size_list(many, &l, &e));
	assert_non_null(strstr(e.text, "more than 64"));
	memset(many, '1', sizeof(many) - 1);
	many[sizeof(many) - 1] = 0;
	assert_false(args_size_list(many, &l, &e));
	assert_int_equal(l.nr, ARGS_LIST_MAX); /* untouched */
}

static void test_counts(void **state)
{
	struct args_error e;
	u64 v = 7;

	(void)state;
	assert_true(args_count("12", 1, 64, &v, &e));
	assert_int_equal(v, 12);
	assert_true(args_count("0x1F", 0, 64, &v, &e));
	assert_int_equal(v, 31);
	assert_true(args_count("18446744073709551615", 0, UINT64_MAX, &v, &e));
	assert_false(args_count("0", 1, 64, &v, &e));
	assert_string_equal(e.text, "0 is not in the range 1 to 64");
	assert_false(args_count("65", 1, 64, &v, &e));
	assert_false(args_count("", 1, 64, &v, &e));
	assert_false(args_count("-1", 0, 64, &v, &e));
	assert_false(args_count("1x", 0, 64, &v, &e));
	assert_false(args_count("0x", 0, 64, &v, &e));
	assert_false(args_count("0x-1", 0, 64, &v, &e));
	assert_false(args_count("1M", 0, 64, &v, &e));
	assert_false(args_count("18446744073709551616", 0, 64, &v, &e));
	assert_true(v == UINT64_MAX);
}

static void test_pairs(void **state)
{
	struct args_pair p;
	struct args_error e;
	char longest[500];

	(void)state;
	assert_true(args_pair("vm.swappiness=60", &p, &e));
	assert_string_equal(p.key, "vm.swappiness");
	assert_string_equal(p.value, "60");
	assert_true(args_pair("a=b=c", &p, &e));
	assert_string_equal(p.value, "b=c");
	assert_false(args_pair("", &p, &e));
	assert_false(args_pair("a", &p, &e));
	assert_false(args_pair("=b", &p, &e));
	assert_false(args_pair("a=", &p, &e));
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = 0;
	longest[200] = '=';
	assert_false(args_pair(longest, &p, &e));
	assert_non_null(strstr(e.text, "too long"));
	longest[200] = 'x';
	longest[1] = '=';
	assert_false(args_pair(longest, &p, &e));
	assert_string_equal(p.value, "b=c"); /* untouched */
}

static void test_suggest(void **state)
{
	static const char *const names[] = {"record", "replay", "trace",
					    "swappiness"};

	(void)state;
	assert_string_equal(err_suggest("recrod", names, 4), "record");
	assert_string_equal(err_suggest("replya", names, 4), "replay");
	assert_string_equal(err_suggest("traec", names, 4), "trace");
	assert_string_equal(err_suggest("swapiness", names, 4), "swappiness");
	assert_null(err_suggest("banana", names, 4));
	assert_null(err_suggest("", names, 4));
	assert_null(err_suggest("x", names, 4));
	assert_null(err_suggest("a word that is longer than any name may be",
				names, 4));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes), cmocka_unit_test(test_bad_sizes),
		cmocka_unit_test(test_lists), cmocka_unit_test(test_counts),
		cmocka_unit_test(test_pairs), cmocka_unit_test(test_suggest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
