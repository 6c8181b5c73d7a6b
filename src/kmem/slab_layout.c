/* SPDX-License-Identifier: MIT */
/*
 * slab_layout.c - where things stand in an object and objects in a slab.
 *
 * 1. Purpose. All arithmetic of sizes in one place, without state, so that a
 *    test can try every input.
 *
 * 2. The link of a free object stands in the middle of it, where an overrun
 *    from a neighbour reaches it last. It must stand behind the object where
 *    contents of free objects count: after a constructor, under poison, and
 *    where readers may still look (SLAB_TYPESAFE_BY_RCU).
 *
 * 3. The order of a slab is a compromise. Small orders are easier to get; a
 *    slab should hold min_objects (more CPUs want more), and waste little at
 *    its end: a sixteenth, else an eighth, else a quarter, else whatever it
 *    is with as many objects as go into the largest order.
 *
 * 4. Rejected. Colouring (moving objects by lines from slab to slab): caches
 *    of today hash addresses.
 *
 * References: Linux documentation, mm/slub; Bonwick 1994.
 */
#include "kmem/slab_layout.h"

#include <mmkit/errno.h>

#include "base/assert.h"
#include "base/bitops.h"

#define WORD 8u

u32 slab_align(u32 flags, u32 align, u32 size)
{
	mm_assert((align & (align - 1)) == 0);
	if (flags & SLAB_HWCACHE_ALIGN) {
		u32 line = MM_CACHELINE;

		/* Small objects share a line evenly. */
		while (size <= line / 2)
			line /= 2;
		align = max(align, line);
	}
	return ALIGN(max(align, WORD), WORD);
}

/* May a free object's link overwrite it? */
static bool link_inside(const struct slab_shape *shape)
{
	if (shape->ctor || (shape->flags & SLAB_TYPESAFE_BY_RCU))
		return false;
	if (shape->flags & SLAB_POISON)
		return false;
	return shape->size >= WORD;
}

/* The parts of one object, up to its distance from the next. */
static void place_parts(const struct slab_shape *shape, struct slab_layout *l)
{
	u32 at = ALIGN(shape->size, WORD);

	/* An overrun by one byte must meet something. */
	if ((shape->flags & SLAB_RED_ZONE) && at == shape->size)
		at += WORD;
	l->inuse = at;
	l->link = shape->link_first ? 0 : ALIGN_DOWN(shape->size / 2, WORD);
	if (!link_inside(shape)) {
		l->link = at;
		at += WORD;
	}
	l->track = at;
	if (shape->flags & SLAB_STORE_USER)
		at += 2 * (u32)sizeof(struct slab_track);
	l->end = at;
	if (shape->flags & SLAB_RED_ZONE) {
		l->red_left = ALIGN(WORD, l->align);
		at += l->red_left;
	}
	l->size = ALIGN(at, l->align);
}

MM_STATIC_ASSERT(sizeof(struct slab_track) % WORD == 0, "tracks keep words");

/* The smallest order from MIN_OBJECTS on that wastes at most 1/FRACTION. */
static u32 order_for(const struct slab_shape *shape,
		     const struct slab_layout *l, u32 min_objects, u32 fraction)
{
	u32 order = (u32)get_order((u64)min_objects * l->size + l->reserved);

	for (order = max(order, shape->min_order); order <= shape->max_order;
	     order++) {
		u32 bytes = (u32)PAGE_SIZE << order;
		u32 waste = (bytes - l->reserved) % l->size;

		if (waste <= bytes / fraction)
			break;
	}
	return order;
}

static u32 choose_order(const struct slab_shape *shape,
			const struct slab_layout *l)
{
	u32 most = slab_order_objects(shape->max_order, l->size, l->reserved);
	u32 objects = min(max(shape->min_objects, 1u), most);

	for (; objects > 1; objects--) {
		for (u32 fraction = 16; fraction >= 4; fraction /= 2) {
			u32 order = order_for(shape, l, objects, fraction);

			if (order <= shape->max_order)
				return order;
		}
	}
	/* One object, as large a slab as it takes. */
	return max((u32)get_order((u64)l->size + l->reserved),
		   shape->min_order);
}

int slab_layout_compute(const struct slab_shape *shape, struct slab_layout *out)
{
	struct slab_layout l = {0};

	if (shape->size < WORD || shape->size > KMEM_MAX_OBJECT ||
	    shape->align > PAGE_SIZE || (shape->align & (shape->align - 1)))
		return -EINVAL;
	l.align = slab_align(shape->flags, shape->align, shape->size);
	l.poison = (shape->flags & SLAB_POISON) && !shape->ctor &&
		   !(shape->flags & SLAB_TYPESAFE_BY_RCU);
	if (shape->flags & SLAB_TYPESAFE_BY_RCU)
		l.reserved = SLAB_RCU_RESERVED;
	place_parts(shape, &l);
	l.order = (u8)choose_order(shape, &l);
	if (l.order > SLUB_LIMIT_ORDER)
		return -EINVAL;
	while (slab_order_objects(l.order, l.size, l.reserved) >
	       SLAB_MOST_OBJECTS)
		l.order--;
	l.min_order = (u8)get_order((u64)l.size + l.reserved);
	l.objects = slab_order_objects(l.order, l.size, l.reserved);
	l.min_objects = slab_order_objects(l.min_order, l.size, l.reserved);
	l.reciprocal = (u32)((1UL << 32) / l.size + 1);
	l.whole = slab_whole_mask(&l);
	mm_verify(l.objects > 0 && l.min_objects > 0);
	*out = l;
	return 0;
}

u32 slab_cpu_partial(u32 size, u32 objects)
{
	u32 want = 120;

	mm_assert(objects > 0);
	if (size >= PAGE_SIZE)
		want = 6;
	else if (size >= 1024)
		want = 24;
	else if (size >= 256)
		want = 52;
	/* Slabs are half full on the whole. */
	return DIV_ROUND_UP(want * 2, objects);
}
