/* SPDX-License-Identifier: MIT */
/*
 * Packs: objects of 1088 to 7680 bytes of all classes against a model, what is
 * refused, how densely they lie, and what is given back. One thread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "base_seed.h"
#include "mt.h"

#define NR_OBJECTS 600
#define PACK_BYTES (64u << 10)
#define PACK_UNITS (PACK_BYTES / MT_PACK_UNIT)

struct object {
	u64 *p;
	u32 c;
	u64 fill;
};

static struct object objects[NR_OBJECTS];
static u64 live[MT_NR_CLASSES], live_bytes;

/* Classes that are in packs, smallest first. */
static u32 packed[MT_NR_CLASSES], nr_packed;

static void find_packed(void)
{
	for (u32 c = MT_FIRST; c < MT_NR_CLASSES; c++) {
		if (mt_in_packs(c))
			packed[nr_packed++] = c;
	}
}

static u64 next_random(u64 *state)
{
	*state = *state * 6364136223846793005UL + 1442695040888963407UL;
	return *state >> 33;
}

static u32 get(u32 c, void **out, u32 nr)
{
	u32 n;

	mt_enter();
	n = mt_pack_get(c, out, nr);
	mt_leave();
	return n;
}

static const void *put(u32 c, void **objs, u32 nr)
{
	const void *bad;

	mt_enter();
	bad = mt_pack_put(c, objs, nr);
	mt_leave();
	return bad;
}

/* Every word of O has its fill, or gets it. */
static void fill(struct object *o)
{
	for (u32 i = 0; i < mt_sys.size_of[o->c] / 8; i++)
		o->p[i] = o->fill + i;
}

static void assert_filled(const struct object *o)
{
	for (u32 i = 0; i < mt_sys.size_of[o->c] / 8; i++)
		assert_int_equal(o->p[i], o->fill + i);
}

static void new_object(struct object *o, u32 c, void *p, u64 value)
{
	u32 size = mt_sys.size_of[c];

	*o = (struct object){p, c, value};
	assert_int_equal((uintptr_t)p % MT_PACK_UNIT, 0);
	assert_int_equal(mt_use(p), c);
	fill(o);
	live[c]++;
	live_bytes += size;
}

static void drop_object(struct object *o)
{
	void *p = o->p;

	assert_filled(o);
	assert_null(put(o->c, &p, 1));
	live[o->c]--;
	live_bytes -= mt_sys.size_of[o->c];
	o->p = NULL;
}

/* Up to eight of one class at a time, into places that are free. */
static void get_some(u64 *state)
{
	u32 c = packed[next_random(state) % nr_packed];
	u32 want = 1 + (u32)(next_random(state) % 8), n, i = 0;
	void *out[8];

	n = get(c, out, want);
	assert_int_equal(n, want);
	for (u32 k = 0; k < NR_OBJECTS && i < n; k++) {
		if (!objects[k].p)
			new_object(&objects[k], c, out[i++],
				   next_random(state));
	}
	if (i < n)
		assert_null(put(c, out + i, n - i));
}

static void assert_counts(void)
{
	u64 bytes, used;

	mt_pack_check();
	for (u32 i = 0; i < nr_packed; i++)
		assert_int_equal(mt_nr_out[packed[i]], live[packed[i]]);
	mt_pack_count(&bytes, &used);
	assert_int_equal(used, live_bytes);
	assert_true(bytes >= used);
}

static void drop_all(void)
{
	for (u32 i = 0; i < NR_OBJECTS; i++) {
		if (objects[i].p)
			drop_object(&objects[i]);
	}
	assert_counts();
}

static void test_model(void **arg)
{
	u64 state = test_env("SEED", 1), iters = test_iters(20000);

	(void)arg;
	for (u64 i = 0; i < iters; i++) {
		struct object *o = &objects[next_random(&state) % NR_OBJECTS];

		if (o->p)
			drop_object(o);
		else
			get_some(&state);
		if (i % 64 == 0)
			assert_counts();
	}
	drop_all();
}

/* With as many objects as fit, what is free is a small part. */
static void test_dense(void **arg)
{
	u64 state = test_env("SEED", 1), bytes, used;

	(void)arg;
	for (u32 i = 0; i < 20 * NR_OBJECTS; i++) {
		struct object *o = &objects[next_random(&state) % NR_OBJECTS];

		if (o->p)
			drop_object(o);
		get_some(&state);
	}
	assert_counts();
	mt_pack_count(&bytes, &used);
	assert_true(bytes < used + used / 5);
	drop_all();
	mt_pack_count(&bytes, &used);
	assert_true(bytes <= PACK_BYTES);
	mt_trim();
	mt_pack_count(&bytes, &used);
	assert_int_equal(bytes, 0);
}

/* Pages of packs that count as touched. */
static u64 dirty_frames(void)
{
	u64 nr = 0;

	for (u64 f = 0; f < mt_sys.ram_end >> PAGE_SHIFT; f++)
		nr += *mt_map_of(f) != 0;
	return nr;
}

/* Of packs that stay, the pages without an object go. */
static void test_trim_inside(void **arg)
{
	u32 c = packed[nr_packed - 1]; /* eight are 15 of a pack's pages */
	void *out[64];
	u64 before;

	(void)arg;
	mt_trim();
	before = dirty_frames();
	assert_int_equal(get(c, out, 64), 64);
	for (u32 i = 0; i < 64; i++)
		new_object(&objects[i], c, out[i], i);
	assert_int_equal(mt_sys.size_of[c], 7680);
	assert_int_equal(dirty_frames(), before + 120);
	for (u32 i = 0; i < 64; i++) {
		if (i % 8)
			drop_object(&objects[i]);
	}
	mt_trim();
	assert_int_equal(dirty_frames(), before + 16);
	drop_all();
	mt_trim();
	assert_int_equal(dirty_frames(), before);
}

/* Nobody trims: it happens when most of what is dirty is free. */
static void test_gives_back(void **arg)
{
	static void *p[8000];
	u64 left = 0;

	(void)arg;
	for (size_t i = 0; i < ARRAY_SIZE(p); i++)
		p[i] = memset(mt_malloc(1900), 1, 1900);
	for (size_t i = 0; i < ARRAY_SIZE(p); i++) {
		if (i % 16)
			mt_free(p[i]);
		else
			left++;
	}
	/* 15.6 MiB became 1; a page or two for each that is left, and what
	 * may stay. */
	assert_true(dirty_frames() < 2 * left + 1024 + 256);
	mt_pack_check();
	for (size_t i = 0; i < ARRAY_SIZE(p); i += 16)
		mt_free(p[i]);
	mt_cache_flush();
	mt_depot_flush();
	mt_pack_check();
}

static void test_refused(void **arg)
{
	u32 c = packed[2];
	void *p, *in, *odd;

	(void)arg;
	assert_int_equal(get(c, &p, 1), 1);
	in = (char *)p + MT_PACK_UNIT;
	odd = (char *)p + 16;
	assert_ptr_equal(put(c, &in, 1), in);
	assert_ptr_equal(put(c, &odd, 1), odd);
	/* Nor by what knows it as another class. */
	assert_ptr_equal(put(c + 1, &p, 1), p);
	mt_pack_check();
	assert_null(put(c, &p, 1));
	assert_ptr_equal(put(c, &p, 1), p);
	mt_pack_check();
}

/* What memalign() says, of all sizes; classes of packs keep to units. */
static void test_aligned(void **arg)
{
	void *p[16];

	(void)arg;
	for (size_t align = 16; align <= PAGE_SIZE; align *= 2) {
		for (size_t size = 900; size < 12000; size += 350) {
			for (int i = 0; i < 16; i++) {
				p[i] = mt_memalign(align, size);
				assert_non_null(p[i]);
				assert_int_equal((uintptr_t)p[i] % align, 0);
				assert_true(mt_usable_size(p[i]) >= size);
			}
			for (int i = 0; i < 16; i++)
				mt_free(p[i]);
		}
	}
	mt_cache_flush();
	mt_depot_flush();
	mt_pack_check();
}

/* Without frames there are fewer. */
static void test_no_frames(void **arg)
{
	u32 c = packed[0], n;
	void *out[64];

	(void)arg;
	mt_trim();
	fail_arm_nth(FAIL_ALL, 2, true);
	n = get(c, out, 64);
	fail_disarm();
	/* One pack's. */
	assert_int_equal(n, PACK_UNITS / (mt_sys.size_of[c] / MT_PACK_UNIT));
	assert_null(put(c, out, n));
	mt_pack_check();
}

/*
 * Places become free one by one and are one place then: what had no room for
 * large objects has. And a pack whose longest run was used is found out.
 */
static void test_merged(void **arg)
{
	u32 small = packed[0], large = packed[nr_packed - 1], per;
	void *out[PACK_UNITS], *big[2];
	u64 bytes, used, before;

	(void)arg;
	per = PACK_UNITS / (mt_sys.size_of[small] / MT_PACK_UNIT);
	mt_trim();
	assert_int_equal(get(small, out, per), per);
	mt_pack_count(&before, &used);
	assert_int_equal(before, PACK_BYTES);
	/* Eight of 1088 bytes are more than 7680; the middle comes last. */
	for (u32 i = 0; i < 8; i++) {
		u32 at = 10 + (i % 2 ? 7 - i / 2 : i / 2);

		assert_null(put(small, &out[at], 1));
		mt_pack_check();
	}
	assert_int_equal(get(large, big, 1), 1);
	assert_ptr_equal(big[0], out[10]);
	assert_int_equal(get(large, big + 1, 1), 1);
	mt_pack_count(&bytes, &used);
	assert_int_equal(bytes, 2 * PACK_BYTES);
	assert_null(put(large, big, 2));
	for (u32 i = 0; i < per; i++)
		assert_null(i >= 10 && i < 18 ? NULL : put(small, &out[i], 1));
	mt_pack_check();
}

/* Objects in the thread's magazine of class C. */
static u32 at_hand(u32 c)
{
	u32 n = 0;

	while (mt_self.top[c][-1 - (long)n])
		n++;
	return n;
}

/*
 * A magazine with most places goes nowhere while the class has little: it
 * keeps half of its objects when one more comes, and gets half of its places
 * filled when it has none, so that neither happens again soon.
 */
static void test_half(void **arg)
{
	static void *p[60];
	u32 c = packed[nr_packed - 1], most = mt_sys.cap_of[c];
	u32 nr = ARRAY_SIZE(p), out;

	(void)arg;
	for (u32 i = 0; i < nr; i++) {
		p[i] = mt_malloc(mt_sys.size_of[c]);
		assert_int_equal(mt_use(p[i]), c);
	}
	while (mt_self.cap[c] < most || at_hand(c) < most)
		mt_free(p[--nr]);
	out = mt_nr_out[c];
	mt_free(p[--nr]);
	assert_int_equal(mt_nr_out[c], out - (most + 1) / 2);
	assert_int_equal(at_hand(c), most / 2 + 1);
	while (at_hand(c))
		p[nr++] = mt_malloc(mt_sys.size_of[c]);
	out = mt_nr_out[c];
	p[nr++] = mt_malloc(mt_sys.size_of[c]);
	assert_int_equal(mt_nr_out[c], out + most / 2);
	assert_int_equal(at_hand(c), most / 2 - 1);
	while (nr)
		mt_free(p[--nr]);
	mt_cache_flush();
	mt_depot_flush();
	mt_pack_check();
}

/*
 * Large objects are lent by larger classes after some had to be given up: as
 * many as that allows, and none that is more than half as large again.
 */
static void test_lent(void **arg)
{
	static void *p[60];
	u32 c = mt_class_for(5000), from = mt_class_for(7000);
	void *lent, *own, *small;

	(void)arg;
	assert_int_equal(mt_sys.size_of[c], 5120);
	assert_int_equal(mt_sys.size_of[from], 7168);
	mt_free(mt_malloc(5000));
	mt_free(mt_malloc(4500));
	mt_cache_flush();
	mt_self.loans = 0;
	for (size_t i = 0; i < ARRAY_SIZE(p); i++)
		p[i] = mt_malloc(7000);
	assert_int_equal(mt_self.loans, 0);
	for (size_t i = 0; i < ARRAY_SIZE(p); i++)
		mt_free(p[i]);
	assert_int_equal(mt_self.loans, 64);
	assert_true(at_hand(from) > 1);
	lent = memset(mt_malloc(5000), 1, 5000);
	assert_int_equal(mt_use(lent), from);
	assert_int_equal(mt_usable_size(lent), 7168);
	assert_int_equal(mt_self.loans, 63);
	small = mt_malloc(4500);
	assert_int_equal(mt_use(small), mt_class_for(4500));
	mt_cache_flush();
	mt_free(lent);
	assert_int_equal(at_hand(from), 1);
	mt_self.loans = 0;
	own = mt_malloc(5000);
	assert_int_equal(mt_use(own), c);
	assert_int_equal(at_hand(from), 1);
	mt_free(own);
	mt_free(small);
	mt_cache_flush();
	mt_depot_flush();
	mt_pack_check();
}

/* Which sizes are where, and that classes are told by grains. */
static void test_places(void **arg)
{
	u32 nr = 0;

	(void)arg;
	for (u32 c = MT_FIRST; c < MT_NR_CLASSES; c++) {
		u32 size = mt_sys.size_of[c];

		assert_int_equal(
			mt_in_slabs(c) + mt_in_packs(c) + mt_in_runs(c), 1);
		if (mt_in_packs(c)) {
			assert_true(size > 1u << MT_GRAIN_SHIFT);
			nr++;
		}
		if (size % PAGE_SIZE == 0)
			assert_true(mt_in_runs(c));
	}
	assert_int_equal(nr, 32);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_model),
		cmocka_unit_test(test_dense),
		cmocka_unit_test(test_trim_inside),
		cmocka_unit_test(test_gives_back),
		cmocka_unit_test(test_merged),
		cmocka_unit_test(test_half),
		cmocka_unit_test(test_lent),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_aligned),
		cmocka_unit_test(test_no_frames),
	};

	fprintf(stderr, "test_malloc_pack: SEED=%llu\n",
		(unsigned long long)test_env("SEED", 1));
	if (!mt_up())
		return 1;
	find_packed();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
