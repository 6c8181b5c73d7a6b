/* SPDX-License-Identifier: MIT */
/* Belady's MIN: against exhaustive search, and against LRU. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above first. */
#include <cmocka.h>

#include "base_seed.h"
#include "min.h"

#include <stdlib.h>
#include <string.h>

#define KILL	 0x100u /* event: page | KILL */
#define MAX_LEN	 4096
#define MAX_PAGE 64

/* The least page-ins from event I on, by trying every victim. */
static u32 search(const u32 *ev, u32 n, u32 i, u32 resident, u32 known,
		  u32 frames)
{
	u32 best = UINT32_MAX, cost, page, bit;

	if (i == n)
		return 0;
	page = ev[i] & 0xff;
	bit = 1u << page;
	if (ev[i] & KILL)
		return search(ev, n, i + 1, resident & ~bit, known & ~bit,
			      frames);
	if (resident & bit)
		return search(ev, n, i + 1, resident, known, frames);
	cost = known & bit ? 1 : 0;
	known |= bit;
	if ((u32)__builtin_popcount(resident) < frames)
		return cost +
		       search(ev, n, i + 1, resident | bit, known, frames);
	for (u32 v = 0; v < 32; v++) {
		u32 c;

		if (!(resident >> v & 1))
			continue;
		c = search(ev, n, i + 1, (resident & ~(1u << v)) | bit, known,
			   frames);
		best = c < best ? c : best;
	}
	return cost + best;
}

/* LRU's page-ins of pages evicted before. */
static u32 lru(const u32 *ev, u32 n, u32 frames)
{
	u32 when[MAX_PAGE] = {0}, misses = 0, used = 0;
	bool in[MAX_PAGE] = {false}, known[MAX_PAGE] = {false};

	for (u32 i = 0; i < n; i++) {
		u32 p = ev[i] & 0xff, victim = MAX_PAGE;

		if (ev[i] & KILL) {
			used -= in[p];
			in[p] = known[p] = false;
			continue;
		}
		if (!in[p]) {
			misses += known[p];
			for (u32 v = 0; used == frames && v < MAX_PAGE; v++)
				if (in[v] && (victim == MAX_PAGE ||
					      when[v] < when[victim]))
					victim = v;
			if (victim < MAX_PAGE)
				in[victim] = false;
			else
				used++;
		}
		in[p] = known[p] = true;
		when[p] = i;
	}
	return misses;
}

static struct min *feed(const u32 *ev, u32 n)
{
	struct min *m = min_create();

	assert_non_null(m);
	for (u32 i = 0; i < n; i++) {
		if (ev[i] & KILL)
			min_kill(m, ev[i] & 0xff);
		else
			assert_int_equal(min_ref(m, ev[i] & 0xff), 0);
	}
	return m;
}

static u32 random_events(struct prng *rnd, u32 *ev, u32 n, u32 pages)
{
	for (u32 i = 0; i < n; i++) {
		ev[i] = (u32)(prng_u64(rnd) % pages);
		if (prng_u64(rnd) % 12 == 0)
			ev[i] |= KILL;
	}
	return n;
}

static void test_known(void **state)
{
	/* The textbook's string: 7 faults with 3 frames, 5 of them first. */
	static const u32 ev[] = {1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5};
	struct min *m = feed(ev, 12);

	(void)state;
	assert_int_equal(min_first(m), 5);
	assert_int_equal(min_pageins(m, 3), 2);
	assert_int_equal(min_pageins(m, 5), 0);
	assert_int_equal(min_pageins(m, 1), 7);
	assert_int_equal(min_pageins(m, 0), 7); /* one frame is assumed */
	min_destroy(m);
}

static void test_empty_and_kill(void **state)
{
	static const u32 ev[] = {1, 1, 2, 1, 1 | KILL, 1, 9 | KILL, 1};
	struct min *m = min_create();

	(void)state;
	assert_int_equal(min_pageins(m, 1), 0);
	min_kill(m, 77);
	min_destroy(m);
	min_destroy(NULL);
	m = feed(ev, 8);
	assert_int_equal(min_refs(m), 4);
	assert_int_equal(min_first(m), 3);
	assert_int_equal(min_pageins(m, 1), 1);
	assert_int_equal(min_pageins(m, 2), 0);
	min_destroy(m);
}

/* Every sequence of length 7 over 3 pages, kills included. */
static void test_all_short(void **state)
{
	u32 ev[7], total = 6 * 6 * 6 * 6 * 6 * 6 * 6;

	(void)state;
	for (u32 code = 0; code < total; code++) {
		struct min *m;
		u32 c = code;

		for (u32 i = 0; i < 7; i++, c /= 6)
			ev[i] = c % 6 < 3 ? c % 6 : (c % 6 - 3) | KILL;
		m = feed(ev, 7);
		for (u32 f = 1; f <= 2; f++)
			assert_int_equal(min_pageins(m, f),
					 search(ev, 7, 0, 0, 0, f));
		min_destroy(m);
	}
}

static void test_exhaustive(void **state)
{
	u64 iters = test_iters(600);
	struct prng rnd;
	u32 ev[14];

	(void)state;
	test_seed(&rnd, "exhaustive");
	for (u64 it = 0; it < iters; it++) {
		u32 pages = 2 + (u32)(prng_u64(&rnd) % 5);
		u32 n = random_events(&rnd, ev, 14, pages);
		struct min *m = feed(ev, n);

		for (u32 f = 1; f <= 4; f++)
			assert_int_equal(min_pageins(m, f),
					 search(ev, n, 0, 0, 0, f));
		min_destroy(m);
	}
}

static void test_below_lru(void **state)
{
	u64 iters = test_iters(40);
	struct prng rnd;
	static u32 ev[MAX_LEN];

	(void)state;
	test_seed(&rnd, "lru");
	for (u64 it = 0; it < iters; it++) {
		u32 n = random_events(&rnd, ev, MAX_LEN, MAX_PAGE);
		struct min *m = feed(ev, n);
		u64 last = UINT64_MAX;

		for (u32 f = 1; f <= MAX_PAGE; f += 7) {
			u64 opt = min_pageins(m, f);

			assert_true(opt <= lru(ev, n, f));
			assert_true(opt <= last);
			last = opt;
		}
		assert_int_equal(min_pageins(m, MAX_PAGE), 0);
		min_destroy(m);
	}
}

/* Many levels of the bitmap, and a cyclic pattern with a known answer. */
static void test_cycle(void **state)
{
	struct min *m = min_create();
	u32 pages = 1000, rounds = 400, frames = 600;

	(void)state;
	assert_non_null(m);
	for (u32 i = 0; i < pages * rounds; i++)
		assert_int_equal(min_ref(m, i % pages), 0);
	assert_int_equal(min_first(m), pages);
	assert_int_equal(min_pageins(m, pages), 0);
	/* A loop over N with F frames: N - F misses each N - 1 references. */
	assert_in_range(min_pageins(m, frames),
			(u64)(rounds - 1) * (pages - frames) - pages,
			(u64)rounds * (pages - frames) + pages);
	min_destroy(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_empty_and_kill),
		cmocka_unit_test(test_all_short),
		cmocka_unit_test(test_exhaustive),
		cmocka_unit_test(test_below_lru),
		cmocka_unit_test(test_cycle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
