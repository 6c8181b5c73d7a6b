/* SPDX-License-Identifier: MIT */
/*
 * mt_class.c - size classes and their caches.
 *
 * Each class up to 1 KiB has a cache of its own in floor kmem, made when the
 * class is first used: a descriptor for each would cost a small program more
 * than its objects. Objects of a cache are aligned to the largest power of two
 * that divides their size, which is what aligned requests rely on. Larger
 * classes, in packs (mt_pack.c) and runs of frames, go through the same
 * magazines. Hardened and debug mode have slabs up to 4 KiB, for what they
 * catch there.
 *
 * Groups. Many classes to a doubling waste little of an object, but each has
 * slabs that are half used, magazines and places in packs. So at first some are
 * one: the highest of them serves the sizes of all, which leaves four to a
 * doubling from 48 bytes to 1 KiB and eight above. Then the table sends the
 * sizes of the lower half to classes of their own; what was allocated before
 * stays where it is. That is when it pays: a class costs what is free in its
 * slabs and in the magazines of each thread (SLABS_COST), or in magazines only
 * (PACKS_COST), and saves what lies behind the objects of the lower sizes. How
 * many these are is known of a sample, the requests for which the group got
 * memory. So who has objects of one size gets a class for them soon, and who
 * has all sizes of the group late. Powers of two are the highest of groups, and
 * in the higher half there is one that is aligned to twice what any in the
 * lower is.
 *
 * Lending. A class needs as many objects as it ever had at once, and has them
 * for ever: where sizes come and go at random that is a third more than are
 * used, for the classes have their most at different times. So a class whose
 * slabs have no free object is served by those of the next ones that have, up
 * to half as large again, before it gets a slab. A magazine may so name objects
 * of larger classes than its own. What the map says of an object counts when
 * it is freed, and when a magazine's objects go back to their slabs.
 */
#include <string.h>

#include <mmkit/page_alloc.h>
#include <mmkit/slab.h>

#include "base/bitops.h"
#include "kmem/slab.h"
#include "mt.h"
#include "phys/phys.h"

#define MAG_BYTES_MOST 49152u /* of the objects of one magazine */
#define MT_GFP	       (GFP_NOWAIT | __GFP_NOWARN)
#define TABLE_FIRST    1024u /* sizes whose classes stand in the table at once */
#define TABLE_STEP     512u  /* entries that are made together */

#define SLABS_COST  65536u /* of a class more, bytes */
#define PACKS_COST  16384u
#define LOW_ALL	    256u
#define LOW_WEIGHT  16u	   /* the newest counts a sixteenth */
#define SMALL_BYTES 65536u /* of objects: then a slab more does no harm */

/* Of all that may have slabs. Text of the file, for what is made when a process
 * starts is a page that each has; no pointers, which the loader would write. */
static const char names[][12] = {
	[MT_FIRST] = "malloc-8",
	"malloc-16",
	"malloc-32",
	"malloc-48",
	"malloc-64",
	"malloc-80",
	"malloc-96",
	"malloc-112",
	"malloc-128",
	"malloc-144",
	"malloc-160",
	"malloc-176",
	"malloc-192",
	"malloc-208",
	"malloc-224",
	"malloc-240",
	"malloc-256",
	"malloc-288",
	"malloc-320",
	"malloc-352",
	"malloc-384",
	"malloc-416",
	"malloc-448",
	"malloc-480",
	"malloc-512",
	"malloc-544",
	"malloc-576",
	"malloc-608",
	"malloc-640",
	"malloc-672",
	"malloc-704",
	"malloc-736",
	"malloc-768",
	"malloc-800",
	"malloc-832",
	"malloc-896",
	"malloc-960",
	"malloc-1024",
	"malloc-1088",
	"malloc-1152",
	"malloc-1216",
	"malloc-1280",
	"malloc-1344",
	"malloc-1408",
	"malloc-1472",
	"malloc-1536",
	"malloc-1600",
	"malloc-1664",
	"malloc-1792",
	"malloc-1920",
	"malloc-2048",
	"malloc-2176",
	"malloc-2304",
	"malloc-2432",
	"malloc-2560",
	"malloc-2688",
	"malloc-2816",
	"malloc-2944",
	"malloc-3072",
	"malloc-3200",
	"malloc-3328",
	"malloc-3584",
	"malloc-3840",
	"malloc-4096",
};
u32 mt_nr_out[MT_NR_CLASSES];

/* An NR-th of the doubling that SIZE, over 8, is in, or LEAST bytes. */
static u32 step_of(u32 size, u32 nr, u32 least)
{
	return max((1u << ilog2(size - 1)) / nr, least);
}

/* The class after SIZE. */
static u32 next_size(u32 size)
{
	u32 step;

	if (size < 16)
		return 16;
	if (size >= MT_PACK_END)
		return size + (u32)PAGE_SIZE;
	step = step_of(size + 1, 8, 16);
	if (size >= MT_FINE && size <= MT_FINE_END && size < step * 13)
		step /= 2;
	return ALIGN_DOWN(size, step) + step;
}

/* Is SIZE at first served by a higher class? */
static bool joins(u32 size)
{
	if (size < 48 || size > MT_PACK_END)
		return false;
	return size % (size <= MT_PACK_OVER ? step_of(size, 4, 32)
					    : step_of(size, 8, 0));
}

void mt_class_init(void)
{
	u32 c = MT_FIRST, size = 8;

	for (; size <= MT_CLASS_MAX; c++, size = next_size(size)) {
		mm_verify(c < MT_NR_CLASSES);
		mt_sys.size_of[c] = (u16)size;
		mt_sys.cap_of[c] =
			(u8)clamp(MAG_BYTES_MOST / size, 2u, MT_MAG_WORDS - 1);
		if (joins(size))
			mt_sys.joined[c / 64] |= 1ul << c % 64;
	}
	mm_verify(c == MT_NR_CLASSES);
	mt_class_table(TABLE_FIRST);
}

/* Is SIZE's class one that lies between the eight of a doubling? */
static bool is_fine(u32 size)
{
	return size % step_of(size, 8, 16) != 0;
}

void mt_class_part(void)
{
	for (u32 c = MT_FIRST; c < MT_NR_CLASSES; c++) {
		if (mt_joined(c) && !is_fine(mt_sys.size_of[c]))
			mt_sys.joined[c / 64] &= ~(1ul << c % 64);
	}
}

/* Whose objects serve sizes of class C? */
static u32 served_by(u32 c)
{
	while (mt_joined(c))
		c++;
	return c;
}

/* The table anew, END entries; meta_word is held. */
static void fill_table(u32 end)
{
	u32 open = mt_open_end(), c = MT_FIRST;

	for (u32 at = 0; at < end; at++) {
		if (mt_sys.size_of[c] < at * 8)
			c++;
		WRITE_ONCE(mt_sys.class_of[at],
			   (u8)(at < open ? served_by(c) : MT_NONE));
	}
	WRITE_ONCE(mt_sys.class_end, end);
}

void mt_class_table(size_t size)
{
	u32 end = (u32)ALIGN((size + 7) / 8, (size_t)TABLE_STEP) + 1;

	mt_lock(&mt_sys.meta_word);
	fill_table(clamp(end, mt_sys.class_end, MT_CLASS_TABLE));
	mt_unlock(&mt_sys.meta_word);
}

/* The highest of the lower half of the group whose highest is C. */
static u32 half_of(u32 c)
{
	u32 first = c - 1;

	while (mt_joined(first - 1))
		first--;
	return (first + c) / 2;
}

/* Class C, the highest of a group, leaves sizes to HALF and those below it. */
static MM_NOINLINE void halve_group(u32 c, u32 half)
{
	if (mt_sys.direct)
		return;
	mt_lock(&mt_sys.meta_word);
	WRITE_ONCE(mt_sys.joined[half / 64],
		   mt_sys.joined[half / 64] & ~(1ul << half % 64));
	fill_table(mt_sys.class_end);
	mt_unlock(&mt_sys.meta_word);
	WRITE_ONCE(mt_sys.low_part[c], 0);
}

/* Class C has more objects. */
static inline void grown(u32 c)
{
	u32 half, low = READ_ONCE(mt_sys.low_part[c]);
	u64 saved = mt_class_objects(c);

	if (!mt_joined(c - 1))
		return;
	half = half_of(c);
	if (mt_self.asked <= mt_sys.size_of[half])
		low += (LOW_ALL - 1 - low) / LOW_WEIGHT;
	else
		low -= low / LOW_WEIGHT;
	WRITE_ONCE(mt_sys.low_part[c], (u8)low);
	saved *= low * (u32)(mt_sys.size_of[c] - mt_sys.size_of[half]);
	if (saved / LOW_ALL > (mt_in_slabs(c) ? SLABS_COST : PACKS_COST))
		halve_group(c, half);
}

u32 mt_class_for(size_t size)
{
	u32 lo = MT_FIRST, hi = MT_NR_CLASSES - 1;
	u32 at = (u32)(size + 7) >> 3, c = READ_ONCE(mt_sys.class_of[at]);

	if (likely(c >= MT_FIRST))
		return c;
	if (at >= READ_ONCE(mt_sys.class_end))
		mt_class_table(size);
	while (lo < hi) {
		u32 mid = (lo + hi) / 2;

		if (mt_sys.size_of[mid] >= size)
			hi = mid;
		else
			lo = mid + 1;
	}
	return served_by(lo);
}

static bool class_aligned(u32 c, size_t align)
{
	u32 size = mt_sys.size_of[c];

	if (mt_in_packs(c) && align > MT_PACK_UNIT)
		return false;
	if (mt_sys.direct && is_fine(size)) /* has no cache */
		return false;
	return !(size & (align - 1));
}

u32 mt_class_aligned(size_t size, size_t align)
{
	u32 c = mt_class_for(size);

	while (!class_aligned(c, align))
		c++;
	return c;
}

static u32 cache_flags(void)
{
	return SLAB_NO_MERGE |
	       (mt_sys.opt.debug
			? SLAB_CONSISTENCY_CHECKS | SLAB_RED_ZONE | SLAB_POISON
			: 0);
}

/* With the modes each class up to a page is a cache but the fine ones; those of
 * more than a page, eight and six, are none. kmem has three of its own. */
MM_STATIC_ASSERT(MT_NR_CLASSES - MT_FIRST - MT_NR_FINE - 8 - 6 + 3 <=
			 KMEM_MAX_CACHES,
		 "an id for each class");

static struct kmem_cache *make_cache(u32 c)
{
	u32 size = mt_sys.size_of[c];
	struct kmem_cache *s;

	mm_assert(c < ARRAY_SIZE(names));
	mt_lock(&mt_sys.grow_word);
	s = mt_sys.cache[c];
	if (!s) {
		s = kmem_cache_create(names[c], size,
				      min(size & -size, (u32)PAGE_SIZE),
				      cache_flags(), NULL);
		__atomic_store_n(&mt_sys.cache[c], s, __ATOMIC_RELEASE);
	}
	mt_unlock(&mt_sys.grow_word);
	return s;
}

/* The frames of OBJ's slab are of class C from now on. */
static void mark_slab(void *obj, u32 c)
{
	struct page *slab = compound_head(view_to_page(obj));
	u64 f = mt_frame(page_view(slab));

	mm_assert(PageSlab(slab));
	for (u64 i = 0; i < compound_nr(slab); i++)
		mt_mark(f + i, c);
}

static struct kmem_cache *cache_of(u32 c)
{
	struct kmem_cache *s =
		__atomic_load_n(&mt_sys.cache[c], __ATOMIC_ACQUIRE);

	return likely(s) ? s : make_cache(c);
}

u64 mt_class_objects(u32 c)
{
	const struct kmem_cache *s =
		__atomic_load_n(&mt_sys.cache[c], __ATOMIC_ACQUIRE);
	const struct kmem_cache_node *n = s ? s->node[0] : NULL;

	return n ? __atomic_load_n(&n->nr_objects, __ATOMIC_RELAXED)
		 : READ_ONCE(mt_nr_out[c]);
}

bool mt_class_much(u32 c)
{
	return mt_class_objects(c) * mt_sys.size_of[c] >= SMALL_BYTES;
}

bool mt_class_small(u32 c)
{
	return mt_in_slabs(c) && !mt_class_much(c);
}

bool mt_class_used(u32 c)
{
	return __atomic_load_n(&mt_sys.cache[c], __ATOMIC_RELAXED) != NULL;
}

/* NR objects of class C, or fewer, or none. */
static MM_NOINLINE u32 get_runs(u32 c, void **out, u32 nr)
{
	u32 n = 0;

	while (n < nr) {
		out[n] = mt_run_get(mt_sys.size_of[c] >> PAGE_SHIFT, PAGE_SIZE,
				    c);
		if (!out[n])
			break;
		n++;
	}
	__atomic_fetch_add(&mt_nr_out[c], n, __ATOMIC_RELAXED);
	return n;
}

static u32 get_objects(u32 c, void **out, u32 nr)
{
	struct kmem_cache *s;

	if (!mt_in_slabs(c)) {
		nr = mt_in_packs(c) ? mt_pack_get(c, out, nr)
				    : get_runs(c, out, nr);
		grown(c);
		return nr;
	}
	s = cache_of(c);
	nr = s ? slab_alloc_some(s, MT_GFP, nr, out) : 0;
	for (u32 i = 0; i < nr; i++) {
		if (unlikely(mt_use(out[i]) != c)) {
			mark_slab(out[i], c);
			grown(c);
		}
	}
	return nr;
}

/* What is free in the slabs of class C. */
static u32 spare_of(u32 c, void **out, u32 nr)
{
	struct kmem_cache *s =
		__atomic_load_n(&mt_sys.cache[c], __ATOMIC_ACQUIRE);

	return s ? slab_take_some(s, nr, out) : 0;
}

/* Has class C, which is small, no free object? */
static bool is_dry(u32 c)
{
	return mt_class_small(c) &&
	       (!mt_class_used(c) || !slab_has_free(mt_sys.cache[c]));
}

/* What is free in the slabs of class C, or of one that lends to it. */
static u32 get_spare(u32 c, void **out, u32 nr)
{
	u32 n = spare_of(c, out, nr);

	for (u32 k = c + 1; !n && mt_lends(k, c) && mt_in_slabs(k); k++)
		n = spare_of(k, out, nr);
	return n;
}

/* RAM grows if it must. */
static u32 get_growing(u32 c, void **out, u32 nr)
{
	u64 seen;
	u32 n;

	do {
		seen = __atomic_load_n(&mt_sys.ram_end, __ATOMIC_ACQUIRE);
		n = get_objects(c, out, nr);
	} while (!n && mt_grow(seen));
	/* The last frames of all: one is better than none. */
	return likely(n) ? n : get_objects(c, out, 1);
}

u32 mt_objects_get(u32 c, void **out, u32 nr, bool spare, bool *dry)
{
	u64 bugs = READ_ONCE(kmem_sys.nr_bugs);
	bool due;
	u32 n;

	mt_enter();
	n = spare ? get_spare(c, out, nr) : get_growing(c, out, nr);
	due = mt_peak_due();
	if (dry)
		*dry = n < nr || is_dry(c);
	mt_leave();
	if (unlikely(READ_ONCE(kmem_sys.nr_bugs) != bugs))
		mt_bad("corrupted free object, see above", n ? out[0] : NULL);
	if (unlikely(due))
		mt_trim_peak();
	return n;
}

/* Returns one that is no run of class C, which is left alone, or NULL. */
static const void *put_runs(u32 c, void **objs, u32 nr)
{
	const void *bad = NULL;
	u32 n = 0;

	for (u32 i = 0; i < nr; i++) {
		mt_frame_map was = MT_ALL_GRAINS(c);

		if ((uintptr_t)objs[i] % PAGE_SIZE ||
		    !__atomic_compare_exchange_n(mt_map_of(mt_frame(objs[i])),
						 &was, MT_ALL_GRAINS(MT_BODY),
						 false, __ATOMIC_RELAXED,
						 __ATOMIC_RELAXED)) {
			bad = objs[i];
			continue;
		}
		mt_run_put(objs[i], mt_sys.size_of[c] >> PAGE_SHIFT);
		n++;
	}
	__atomic_fetch_sub(&mt_nr_out[c], n, __ATOMIC_RELAXED);
	return bad;
}

/* Those of OBJS[0 .. NR) that are of the first one's class come first. Returns
 * how many. */
static u32 of_one_class(void **objs, u32 nr)
{
	u32 c = mt_use(objs[0]), n = 1;

	for (u32 i = 1; i < nr; i++) {
		void *p = objs[i];

		if (unlikely(mt_use(p) != c))
			continue;
		objs[i] = objs[n];
		objs[n++] = p;
	}
	return n;
}

/* Objects of class C, which is in slabs, and of those that lend to it. What is
 * of no slab any longer, for it was freed twice, is told of by C's. */
static void put_slabs(u32 c, void **objs, u32 nr)
{
	while (nr) {
		u32 n = of_one_class(objs, nr), u = mt_use(objs[0]);

		if (unlikely(u < c || !mt_in_slabs(u)))
			u = c;
		kmem_cache_free_bulk(mt_sys.cache[u], n, objs);
		objs += n;
		nr -= n;
	}
}

void mt_objects_put(u32 c, void **objs, u32 nr)
{
	u64 bugs = READ_ONCE(kmem_sys.nr_bugs);
	const void *bad = NULL;
	bool due;

	mt_enter();
	if (mt_in_packs(c))
		bad = mt_pack_put(c, objs, nr);
	else if (mt_in_runs(c))
		bad = put_runs(c, objs, nr);
	else
		put_slabs(c, objs, nr);
	due = mt_trim_due();
	mt_leave();
	if (unlikely(READ_ONCE(kmem_sys.nr_bugs) != bugs))
		mt_bad("corrupted object, see above", objs[0]);
	if (unlikely(bad))
		mt_bad("double free or invalid pointer", bad);
	if (unlikely(due))
		mt_trim();
}
