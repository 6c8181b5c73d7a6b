/* SPDX-License-Identifier: MIT */
/*
 * What the preloaded library moves bytes with: memset, memcpy, memmove and
 * memcmp of malloc/mt_string.c against loops, for all lengths up to a little
 * over where the C library's take over, at all alignments. Nothing around what
 * was asked for may change.
 */
#include "mt_string.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#ifndef MT_PRELOAD
#define MT_PRELOAD
#endif
#include "../../malloc/mt_string.c"

#define MOST 1040u
#define EDGE 16u
#define ROOM (MOST + 4 * EDGE)

static u8 buf[ROOM], want[ROOM];

static void fill(u32 seed)
{
	for (u32 i = 0; i < ROOM; i++) {
		seed = seed * 1103515245u + 12345u;
		buf[i] = want[i] = (u8)(seed >> 16);
	}
}

static void same(void)
{
	for (u32 i = 0; i < ROOM; i++)
		assert_int_equal(buf[i], want[i]);
}

/* All lengths while they are small, some of the others. */
static u32 next(u32 n)
{
	return n < 80 || n > 1000 ? n + 1 : n + 37;
}

static void test_set(void **arg)
{
	(void)arg;
	for (u32 n = 0; n <= MOST; n = next(n)) {
		for (u32 at = 0; at < EDGE; at += 1 + n / 64) {
			fill(n + at);
			for (u32 i = 0; i < n; i++)
				want[EDGE + at + i] = (u8)(n + 0x85);
			assert_ptr_equal(
				memset(buf + EDGE + at, (int)n + 0x85, n),
				buf + EDGE + at);
			same();
		}
	}
}

static void test_copy(void **arg)
{
	static u8 from[ROOM];

	(void)arg;
	for (u32 i = 0; i < ROOM; i++)
		from[i] = (u8)(i * 7 + 3);
	for (u32 n = 0; n <= MOST; n = next(n)) {
		for (u32 at = 0; at < EDGE; at += 1 + n / 64) {
			fill(n + at);
			for (u32 i = 0; i < n; i++)
				want[EDGE + at + i] = from[at / 2 + i];
			assert_ptr_equal(
				memcpy(buf + EDGE + at, from + at / 2, n),
				buf + EDGE + at);
			same();
		}
	}
}

/* By each distance up to two pieces, in both directions. */
static void test_move(void **arg)
{
	static u8 old[ROOM];

	(void)arg;
	for (u32 n = 0; n <= MOST; n = next(n)) {
		for (u32 to = 0; to < 2 * EDGE; to += 1 + n / 128) {
			fill(n + to);
			for (u32 i = 0; i < ROOM; i++)
				old[i] = buf[i];
			for (u32 i = 0; i < n; i++)
				want[to + i] = old[EDGE + i];
			assert_ptr_equal(memmove(buf + to, buf + EDGE, n),
					 buf + to);
			same();
		}
	}
}

static void test_compare(void **arg)
{
	(void)arg;
	for (u32 n = 0; n <= MOST; n = next(n)) {
		fill(n);
		assert_int_equal(memcmp(buf, want, n), 0);
		if (!n)
			continue;
		for (u32 at = n / 2; at < n; at += 1 + n / 3) {
			want[at] = (u8)(buf[at] ^ 0x80);
			assert_int_equal(memcmp(buf, want, n) < 0,
					 buf[at] < want[at]);
			assert_int_equal(memcmp(want, buf, n) < 0,
					 want[at] < buf[at]);
			want[at] = buf[at];
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_copy),
		cmocka_unit_test(test_move),
		cmocka_unit_test(test_compare),
	};

	return cmocka_run_group_tests_name("malloc_string", tests, NULL, NULL);
}
