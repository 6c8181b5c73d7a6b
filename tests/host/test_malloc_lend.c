/* SPDX-License-Identifier: MIT */
/*
 * The malloc library by its inner names: which class serves a size. Groups of
 * classes and when they are halved, loans from magazines, slabs and depots of
 * larger classes, and slots that threads wait for.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/prng.h"
#include "base_seed.h"
#include "kmem/slab.h"
#include "malloc_alone.h"
#include "mt.h"

#define SLABS 65536u /* what a class more may cost, bytes: see mt_class.c */
#define PACKS 16384u

static u32 size_for(size_t size)
{
	return mt_sys.size_of[mt_class_for(size)];
}

/* ---- groups
 * ----------------------------------------------------------------- */

#define MOST 20000

static u64 *obj[MOST];

static void take(size_t *n, size_t size)
{
	assert_true(*n < MOST);
	obj[*n] = mt_malloc(size);
	assert_true(mt_usable_size(obj[*n]) >= size);
	*obj[*n] = *n;
	++*n;
}

static void give_all(size_t n)
{
	while (n--) {
		assert_int_equal(*obj[n], n);
		mt_free(obj[n]);
	}
}

/* What classes of their own would save if all were of the lower half. */
static u64 saving(u32 c, u32 half)
{
	return mt_class_objects(c) * (mt_sys.size_of[c] - half);
}

/* Whose objects serve, and what a class more costs; 0: there is none. */
struct part {
	u32 size, cost;
};

/*
 * Objects of SMALL bytes are PARTS[0]'s until a class of their own would save
 * what it costs; then the next one's, whose last is for good.
 */
static void group_parts(size_t small, const struct part *parts)
{
	size_t n = 0, end;

	for (; parts->cost; parts++) {
		u32 c = mt_class_for(small), half = parts[1].size;

		assert_int_equal(mt_sys.size_of[c], parts->size);
		while (saving(c, half) <= parts->cost) {
			assert_int_equal(mt_class_for(small), c);
			take(&n, small);
		}
		/* What is known of the sizes comes later. */
		while (mt_class_for(small) == c) {
			take(&n, small);
			assert_true(saving(c, half) < 2 * parts->cost);
		}
		/* Who is too large for the next stays. */
		assert_int_equal(mt_class_for(half + 1), c);
	}
	assert_int_equal(size_for(small), parts->size);
	/* When what the others have left is used up. */
	for (end = n + 4000; mt_usable_size(obj[n - 1]) != parts->size;) {
		assert_true(n < end);
		take(&n, small);
	}
	give_all(n);
}

static void *pair_thread(void *arg)
{
	(void)arg;
	group_parts(40, (struct part[]){{64, SLABS}, {48, 0}});
	group_parts(270, (struct part[]){{320, SLABS}, {288, 0}});
	group_parts(950, (struct part[]){{1024, SLABS}, {960, 0}});
	/* Of four and of three. */
	group_parts(520, (struct part[]){{640, SLABS}, {576, SLABS}, {544, 0}});
	group_parts(780, (struct part[]){{896, SLABS}, {832, SLABS}, {800, 0}});
	/* In packs. */
	group_parts(1040, (struct part[]){{1152, PACKS}, {1088, 0}});
	group_parts(3080, (struct part[]){{3328, PACKS}, {3200, 0}});
	group_parts(4100, (struct part[]){{4608, PACKS}, {4352, 0}});
	/* Those are eight to a doubling at once. */
	assert_int_equal(size_for(1900), 1920);
	assert_int_equal(size_for(7000), 7168);
	/* No other's: 16 bytes are not served by 32. */
	assert_int_equal(size_for(16), 16);
	return NULL;
}

static void test_pairs(void **arg)
{
	(void)arg;
	alone(pair_thread);
}

/* Objects of two sizes, the smaller one in SHARE of 8, until LARGE's class
 * would save COST if all were small. Returns how many. */
static size_t mixed(size_t small, size_t large, u32 share, u64 cost)
{
	u32 c = mt_class_for(large);
	struct prng r;
	size_t n = 0;

	prng_seed(&r, test_env("SEED", 1));
	while (mt_class_for(small) == c && saving(c, (u32)small) <= cost)
		take(&n, prng_below(&r, 8) < share ? small : large);
	return n;
}

/* Who has both sizes waits until the smaller ones alone save so much; who has
 * only the larger one, for ever. */
static void *mixed_thread(void *arg)
{
	size_t n;

	(void)arg;
	n = mixed(96 - 16, 96, 0, 4 * SLABS);
	assert_int_equal(size_for(80), 96);
	give_all(n);
	n = mixed(128 - 16, 128, 4, SLABS * 5 / 4);
	assert_int_equal(size_for(112), 128);
	give_all(n);
	n = mixed(192 - 16, 192, 4, 4 * SLABS);
	assert_int_equal(size_for(176), 176);
	give_all(n);
	return NULL;
}

static void test_mixed(void **arg)
{
	(void)arg;
	alone(mixed_thread);
}

/* ---- loans
 * ------------------------------------------------------------------ */

/* What is aligned is, whoever would lend. */
static void no_loan_aligned(void)
{
	void *kept = mt_malloc(320), *p;

	assert_true(!mt_class_used(mt_class_for(256)));
	for (int i = 0; i < 100; i++) {
		p = mt_memalign(256, 256);
		assert_int_equal((uintptr_t)p % 256, 0);
		mt_free(p);
	}
	mt_free(kept);
}

/* Objects of class C that nobody has put back. */
static u64 out_of(u32 c)
{
	u64 nr;

	mt_enter();
	nr = kmem_cache_active(mt_sys.cache[c]);
	mt_leave();
	return nr;
}

/*
 * A class that was never used takes what the slabs of larger ones have free
 * before it gets a slab, and all that is freed goes back to where it is from.
 */
static void slabs_lend(size_t size, size_t lender)
{
	u32 c = mt_class_for(size), k = mt_class_for(lender), lent = 0;
	void *kept = mt_malloc(lender), *p[512];
	u32 n = 0;

	assert_true(c < k && mt_lends(k, c) && !mt_class_used(c));
	while (!mt_class_used(c)) {
		assert_true(n < ARRAY_SIZE(p));
		p[n] = mt_malloc(size);
		memset(p[n], (int)n, size);
		lent += mt_use(p[n]) == k;
		n++;
	}
	/* All but what is kept, and what the thread has at hand of it. */
	assert_int_equal(n, lent + 1);
	assert_true(lent + 16 >= mt_class_objects(k));
	for (u32 i = 0; i < n; i++) {
		for (size_t at = 0; at < size; at++)
			assert_int_equal(((u8 *)p[i])[at], (u8)i);
		mt_free(p[i]);
	}
	mt_cache_flush();
	mt_depot_flush();
	assert_int_equal(out_of(c), 0);
	assert_int_equal(out_of(k), 1);
	mt_free(kept);
	mt_cache_flush();
	assert_int_equal(out_of(k), 0);
}

/* More than half as large again is too much. */
static void too_large(void)
{
	void *kept = mt_malloc(200), *p = mt_malloc(100);

	assert_int_equal(mt_usable_size(p), size_for(100));
	mt_free(p);
	mt_free(kept);
}

/* A magazine of the lender serves so often, then the class gets its own. */
static void loans_end(size_t size, size_t lender, int most)
{
	void *kept = mt_malloc(lender), *p = NULL;
	u32 c = mt_class_for(size);

	assert_true(mt_lends(mt_class_for(lender), c) && !mt_class_used(c));
	for (int i = 0; i <= most; i++) {
		mt_free(p);
		assert_int_equal(mt_self.cap[c], 0);
		p = mt_malloc(size);
		assert_int_equal(mt_use(p), mt_class_for(lender));
	}
	assert_true(mt_self.cap[c] > 0);
	mt_free(p);
	mt_free(kept);
}

static void *loan_thread(void *arg)
{
	(void)arg;
	/* In this order: who is asked for has nobody to borrow from. */
	too_large();
	no_loan_aligned();
	loans_end(440, 512, 32);
	slabs_lend(350, 512);
	slabs_lend(640, 896);
	return NULL;
}

static void test_loans(void **arg)
{
	(void)arg;
	alone(loan_thread);
}

#define FILLED 3000
#define OWN    16

static void *fills_depot(void *arg)
{
	void **p = arg;

	for (int i = 0; i < FILLED; i++)
		mt_free(p[i]);
	return NULL;
}

/* OWN objects of its class come upon those that were lent, and the magazine
 * leaves with the thread. */
static void *mixes(void *arg)
{
	void **own = arg, *p = mt_malloc(160);

	assert_int_equal(mt_use(p), mt_class_for(192));
	for (int i = 0; i < OWN; i++)
		mt_free(own[i]);
	mt_free(p);
	return NULL;
}

static void in_thread(void *(*body)(void *arg), void *arg)
{
	pthread_t t;

	assert_int_equal(pthread_create(&t, NULL, body, arg), 0);
	pthread_join(t, NULL);
}

/* Of class C at least OWN objects, all of which are used. */
static u32 use_up(u32 c, void **own, u32 most)
{
	u32 n = 0;

	do {
		assert_true(n < most);
		own[n++] = mt_malloc(mt_sys.size_of[c]);
	} while (n < OWN || out_of(c) < mt_class_objects(c) ||
		 mt_self.top[c][-1]);
	return n;
}

/* A depot's full magazines serve smaller classes, and what depots name is
 * counted as what it is. */
static void *depot_thread(void *arg)
{
	static void *p[FILLED], *own[FILLED];
	u32 k = mt_class_for(192), c = mt_class_for(160), nr[MT_NR_CLASSES];
	u32 n = use_up(c, own, FILLED), had, mags;

	(void)arg;
	assert_true(c < k && mt_lends(k, c));
	for (int i = 0; i < FILLED; i++)
		p[i] = mt_malloc(192);
	in_thread(fills_depot, p);
	mt_cache_flush();
	/* No slab has any but the depot. */
	for (int i = 0; out_of(k) < mt_class_objects(k); i++)
		mt_objects_get(k, &p[i], 1, true, &(bool){false});
	mags = mt_sys.depot[k].nr;
	mt_depot_count(nr);
	had = nr[k];
	assert_int_equal(had, mags * mt_sys.cap_of[k]);
	assert_true(mags > 5);
	in_thread(mixes, own);
	assert_int_equal(mt_sys.depot[k].nr, mags - 1);
	assert_int_equal(mt_sys.depot[c].nr, 1);
	mt_depot_count(nr);
	assert_true(nr[c] > 0 && nr[c] <= OWN);
	assert_int_equal(nr[k] + nr[c],
			 (mags - 1) * mt_sys.cap_of[k] + mt_sys.cap_of[c]);
	mt_depot_flush();
	mt_depot_count(nr);
	assert_int_equal(nr[k] + nr[c], 0);
	while (n-- > OWN)
		mt_free(own[n]);
	mt_cache_flush();
	assert_int_equal(out_of(c), 0);
	return NULL;
}

static void test_depots(void **arg)
{
	(void)arg;
	alone(depot_thread);
}

/* Many sizes come and go at random: contents are checked, and that all of them
 * go back to where they are from. */
static void *random_thread(void *arg)
{
	static struct {
		u8 *p;
		u32 size;
	} live[1000];
	struct prng r;

	(void)arg;
	prng_seed(&r, test_env("SEED", 1));
	for (u32 i = 0; i < 400000; i++) {
		u64 at = prng_below(&r, ARRAY_SIZE(live));
		u32 size = 8 + (u32)prng_below(&r, 500);

		if (live[at].p) {
			assert_int_equal(live[at].p[0], (u8)at);
			assert_int_equal(live[at].p[live[at].size - 1], (u8)at);
			mt_free(live[at].p);
		}
		live[at].p = mt_malloc(size);
		live[at].size = size;
		memset(live[at].p, (int)at, size);
	}
	for (u32 i = 0; i < ARRAY_SIZE(live); i++)
		mt_free(live[i].p);
	mt_cache_flush();
	mt_depot_flush();
	for (u32 c = MT_FIRST; c < MT_NR_CLASSES; c++) {
		if (mt_sys.cache[c])
			assert_int_equal(out_of(c), 0);
	}
	return NULL;
}

static void test_random(void **arg)
{
	(void)arg;
	alone(random_thread);
}

/* A block that grows goes by powers of two, whoever lent it. */
static void *grow_thread(void *arg)
{
	void *kept = mt_malloc(320), *p = mt_malloc(250);

	(void)arg;
	assert_int_equal(mt_usable_size(p), 320);
	p = mt_realloc(p, 330);
	assert_int_equal(mt_usable_size(p), 512);
	p = mt_realloc(p, 600);
	assert_int_equal(mt_usable_size(p), 1024);
	mt_free(p);
	mt_free(kept);
	return NULL;
}

static void test_growing(void **arg)
{
	(void)arg;
	alone(grow_thread);
}

/* ---- slots
 * ------------------------------------------------------------------ */

struct meeting {
	u32 waits; /* before */
	u32 there; /* it is about to enter */
	int cpu;
	u32 waited; /* after */
};

static void *enters(void *arg)
{
	struct meeting *m = arg;

	mt_self.waits = m->waits;
	__atomic_store_n(&m->there, 1, __ATOMIC_RELEASE);
	mt_enter();
	m->cpu = (int)mt_self.slot;
	mt_leave();
	m->waited = mt_self.waits;
	return NULL;
}

/* Who has waited enough takes another slot, others wait for the one they know,
 * if it is not too long. */
static void test_slots(void **arg)
{
	struct meeting m = {.waits = MT_WAITS_MOST};
	pthread_t t;

	(void)arg;
	mt_free(mt_malloc(1));
	mt_enter();
	assert_int_equal(mt_self.slot, 0);
	in_thread(enters, &m);
	assert_true(m.cpu > 0);
	assert_int_equal(m.waited, MT_WAITS_MOST);
	/* In a crowd nobody waits. */
	m.waits = 0;
	mt_sys.nr_live += 10;
	in_thread(enters, &m);
	mt_sys.nr_live -= 10;
	assert_true(m.cpu > 0);
	assert_int_equal(m.waited, 0);
	/* Held for as long as that takes. */
	m.waits = MT_WAITS_MOST - 100;
	in_thread(enters, &m);
	assert_true(m.cpu > 0);
	assert_int_equal(m.waited, MT_WAITS_MOST);
	for (int i = 0; i < 200; i++) {
		m.waits = m.there = 0;
		assert_int_equal(pthread_create(&t, NULL, enters, &m), 0);
		while (!__atomic_load_n(&m.there, __ATOMIC_ACQUIRE))
			;
		for (int spin = 0; spin < 300; spin++)
			port_relax();
		mt_leave();
		pthread_join(t, NULL);
		assert_true(m.cpu == 0 || m.waited == MT_WAITS_MOST);
		mt_enter();
		mt_self.slot = 0;
	}
	mt_leave();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* First, while no class is used. */
		cmocka_unit_test(test_loans),  cmocka_unit_test(test_growing),
		cmocka_unit_test(test_pairs),  cmocka_unit_test(test_mixed),
		cmocka_unit_test(test_depots), cmocka_unit_test(test_random),
		cmocka_unit_test(test_slots),
	};

	fprintf(stderr, "test_malloc_lend: SEED=%llu\n",
		(unsigned long long)test_env("SEED", 1));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
