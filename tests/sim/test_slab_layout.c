/* SPDX-License-Identifier: MIT */
/*
 * The pure functions of slabs: every size with every alignment and all sets
 * of flags; and the index of an object at every offset.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include <mmkit/errno.h>

#include "base/bitops.h"
#include "kmem/slab_layout.h"

static const u32 flag_sets[] = {
	0,
	SLAB_HWCACHE_ALIGN,
	SLAB_TYPESAFE_BY_RCU,
	SLAB_CONSISTENCY_CHECKS,
	SLAB_RED_ZONE,
	SLAB_POISON,
	SLAB_STORE_USER,
	SLAB_RED_ZONE | SLAB_POISON | SLAB_STORE_USER | SLAB_CONSISTENCY_CHECKS,
	SLAB_RED_ZONE | SLAB_TYPESAFE_BY_RCU,
	SLAB_POISON | SLAB_TYPESAFE_BY_RCU,
};

/* One comparison a case: there are millions. */
static void must(bool ok, const char *what, const struct slab_shape *a)
{
	if (ok)
		return;
	fprintf(stderr, "%s: size %u align %u flags %#x ctor %d\n", what,
		a->size, a->align, a->flags, a->ctor);
	fail();
}

#define MUST(c) must(c, #c, a)

static void check_parts(const struct slab_shape *a, const struct slab_layout *l)
{
	bool rcu = a->flags & SLAB_TYPESAFE_BY_RCU;
	bool behind = a->ctor || rcu || (a->flags & SLAB_POISON);

	MUST(l->align >= max(a->align, 8u) && is_power_of_2(l->align));
	MUST(l->size % l->align == 0 && l->red_left % l->align == 0);
	MUST(l->inuse >= a->size && l->inuse - a->size <= 8);
	MUST(l->link % 8 == 0);
	MUST(behind ? l->link == l->inuse : l->link + 8 <= ALIGN(a->size, 8u));
	MUST(behind || !a->link_first || l->link == 0);
	MUST(behind || a->link_first || a->size < 16 || l->link != 0);
	MUST(l->track >= l->inuse + (behind ? 8 : 0));
	MUST(l->end - l->track ==
	     (a->flags & SLAB_STORE_USER ? 2 * sizeof(struct slab_track) : 0));
	MUST(l->red_left + l->end <= l->size);
	MUST(l->size < l->red_left + l->end + l->align);
	MUST(!(a->flags & SLAB_RED_ZONE) ||
	     (l->inuse > a->size && l->red_left >= 8));
	MUST((a->flags & SLAB_RED_ZONE) || !l->red_left);
	MUST(l->poison == ((a->flags & SLAB_POISON) && !a->ctor && !rcu));
	MUST(l->reserved == (rcu ? SLAB_RCU_RESERVED : 0));
}

static void check_order(const struct slab_shape *a, const struct slab_layout *l)
{
	u64 room = (PAGE_SIZE << l->order) - l->reserved;
	u64 least = (PAGE_SIZE << l->min_order) - l->reserved;
	u64 waste = room % l->size;

	MUST(l->objects == room / l->size && l->objects >= 1);
	MUST(l->min_objects == least / l->size && l->min_objects >= 1);
	MUST(l->min_order <= l->order && l->order <= SLUB_LIMIT_ORDER);
	MUST(l->objects <= SLAB_MOST_OBJECTS);
	/* Above the usual only because one object needs it. */
	MUST(l->order <= a->max_order || l->order == l->min_order);
	/* At most a quarter is wasted, unless there is but one object. */
	MUST(l->objects == 1 || waste <= (PAGE_SIZE << l->order) / 4);
	/* A smaller order would have had too few, or wasted too much. */
	if (l->order > l->min_order && l->objects >= a->min_objects) {
		u64 less = (PAGE_SIZE << (l->order - 1)) - l->reserved;

		MUST(less / l->size < a->min_objects ||
		     less % l->size > (PAGE_SIZE << (l->order - 1)) / 16);
	}
}

static void check_index(const struct slab_shape *a, const struct slab_layout *l)
{
	for (u32 i = 0; i < l->objects; i++) {
		u32 off = i * l->size;

		MUST(slab_index(l, off) == i);
		MUST(slab_index(l, off + l->size - 1) == i);
		if (off)
			MUST(slab_index(l, off - 1) == i - 1);
	}
}

/* Is a multiple of the mask's size always an object, in slabs of each order? */
static void check_whole(const struct slab_shape *a, const struct slab_layout *l)
{
	bool fits = is_power_of_2(l->size) && !l->red_left &&
		    l->objects * l->size == PAGE_SIZE << l->order &&
		    l->min_objects * l->size == PAGE_SIZE << l->min_order;

	MUST(l->whole == (fits ? l->size - 1 : 0));
}

static void check_shape(const struct slab_shape *a)
{
	struct slab_layout l;

	MUST(slab_layout_compute(a, &l) == 0);
	check_parts(a, &l);
	check_order(a, &l);
	check_whole(a, &l);
	if (a->size % 24 == 0 || a->size < 300)
		check_index(a, &l);
}

static void each_size(void **state)
{
	static const u32 aligns[] = {0, 8, 16, 64, 512, PAGE_SIZE};
	u64 n = 0;

	(void)state;
	for (u32 size = 8; size <= KMEM_MAX_OBJECT;
	     size += size < 2100 ? 1 : 509) {
		for (u32 f = 0; f < ARRAY_SIZE(flag_sets); f++) {
			for (u32 i = 0; i < 2 * ARRAY_SIZE(aligns); i++, n++)
				check_shape(&(struct slab_shape){
					.size = size,
					.align = aligns[i / 2],
					.flags = flag_sets[f],
					.ctor = i & 1,
					.link_first = size & 4,
					.min_objects = size & 1 ? 8 : 16,
					.max_order = SLUB_MAX_ORDER});
		}
	}
	assert_true(n > 100000);
}

/* The largest slabs of the smallest objects have more room than they may. */
static void most_objects(void **state)
{
	struct slab_shape a = {.max_order = SLUB_LIMIT_ORDER,
			       .min_order = SLUB_LIMIT_ORDER};
	struct slab_layout l;

	(void)state;
	for (a.size = 8; a.size <= 64; a.size += 8) {
		u32 most = (PAGE_SIZE << SLUB_LIMIT_ORDER) / a.size;

		assert_int_equal(slab_layout_compute(&a, &l), 0);
		assert_int_equal(l.order,
				 SLUB_LIMIT_ORDER - (most > SLAB_MOST_OBJECTS));
		assert_in_range(l.objects, 1, SLAB_MOST_OBJECTS);
	}
}

static void refusals(void **state)
{
	struct slab_layout l = {.size = 77};
	const struct slab_shape bad[] = {
		{.size = 7, .max_order = 3},
		{.size = 0, .max_order = 3},
		{.size = KMEM_MAX_OBJECT + 1, .max_order = 3},
		{.size = 64, .align = 3, .max_order = 3},
		{.size = 64, .align = 2 * PAGE_SIZE, .max_order = 3},
		{.size = 64, .max_order = 6, .min_order = 6},
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(slab_layout_compute(&bad[i], &l), -EINVAL);
		assert_int_equal(l.size, 77);
	}
}

/* What Linux's documentation and slabinfo say of well-known sizes. */
static void known_slabs(void **state)
{
	static const struct {
		u32 size, min_objects, order, objects;
	} known[] = {
		{64, 16, 0, 64},   {192, 16, 0, 21},  {256, 16, 0, 16},
		{512, 16, 1, 16},  {1024, 16, 2, 16}, {2048, 16, 3, 16},
		{4096, 16, 3, 8},  {8192, 16, 3, 4},  {8, 16, 0, 512},
		{32768, 16, 3, 1}, {1096, 16, 3, 29},
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(known); i++) {
		const struct slab_shape a = {.size = known[i].size,
					     .min_objects =
						     known[i].min_objects,
					     .max_order = 3};
		struct slab_layout l;

		assert_int_equal(slab_layout_compute(&a, &l), 0);
		assert_int_equal(l.order, known[i].order);
		assert_int_equal(l.objects, known[i].objects);
	}
	assert_int_equal(slab_align(SLAB_HWCACHE_ALIGN, 0, 64), 64);
	assert_int_equal(slab_align(SLAB_HWCACHE_ALIGN, 0, 20), 32);
	assert_int_equal(slab_align(SLAB_HWCACHE_ALIGN, 128, 20), 128);
	assert_int_equal(slab_align(0, 0, 20), 8);
	assert_int_equal(slab_cpu_partial(64, 64), 4);
	assert_int_equal(slab_cpu_partial(8192, 4), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_size),
		cmocka_unit_test(most_objects),
		cmocka_unit_test(refusals),
		cmocka_unit_test(known_slabs),
	};

	return cmocka_run_group_tests_name("slab_layout", tests, NULL, NULL);
}
