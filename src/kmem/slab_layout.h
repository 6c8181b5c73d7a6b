/* SPDX-License-Identifier: MIT */
/*
 * slab_layout.h - where things stand in an object and objects in a slab.
 * Pure functions. Theory: slab_layout.c.
 */
#ifndef MM_KMEM_SLAB_LAYOUT_H
#define MM_KMEM_SLAB_LAYOUT_H

#include <mmkit/slab.h>

#define SLUB_MAX_ORDER	  3u	/* unless one object needs more */
#define SLUB_DENSE_ORDER  4u	/* of small objects, with few_slabs */
#define SLUB_LIMIT_ORDER  5u	/* the largest slab there can be */
#define SLAB_MOST_OBJECTS 8192u /* in a slab */
#define SLAB_RCU_RESERVED 24u	/* behind the objects: a deferred free's node */
#define SLAB_DEBUG_FLAGS                                         \
	(SLAB_CONSISTENCY_CHECKS | SLAB_RED_ZONE | SLAB_POISON | \
	 SLAB_STORE_USER | SLAB_TRACE)

/* Who did it: two of them in each object with SLAB_STORE_USER. */
struct slab_track {
	u64 addr; /* return address of the caller */
	u64 when; /* port_now_ns() */
	s32 pid;
	u32 stack; /* depot_stack_handle_t */
	u16 cpu;
	bool used;
};

/* What is wanted. */
struct slab_shape {
	u32 size;	 /* of the object, 8 .. KMEM_MAX_OBJECT */
	u32 align;	 /* 0 or a power of two, at most PAGE_SIZE */
	u32 flags;	 /* SLAB_* */
	bool ctor;	 /* there is a constructor */
	bool link_first; /* a free object's link where its user begins */
	u32 min_objects; /* in a slab, if that is possible */
	u32 max_order, min_order;
};

/*
 * An object in its place, offsets from the pointer that users have:
 *
 *	-red_left	left red zone
 *	0		object_size bytes
 *	object_size	right red zone, up to inuse
 *	link		a free object's link: inside or, if it must not be, here
 *	track		two struct slab_track
 *	end		padding, up to size - red_left
 */
struct slab_layout {
	u32 size; /* distance between objects, bytes */
	u32 align;
	u32 inuse, link, track, end, red_left;
	u32 reserved;	 /* bytes behind the last object */
	u32 reciprocal;	 /* 2^32 / size, rounded up */
	u32 whole;	 /* size - 1 where objects fill slabs, or 0 */
	u32 objects;	 /* in a slab of order, ... */
	u32 min_objects; /* ... and of min_order */
	u8 order, min_order;
	bool poison; /* free objects can be filled */
};

/*
 * slab_layout_compute: *OUT for SHAPE. Returns 0, or -EINVAL when sizes are
 * out of range or even one object does not fit the largest slab.
 */
int slab_layout_compute(const struct slab_shape *shape,
			struct slab_layout *out) MM_MUST_CHECK;

/* slab_align: the alignment that ALIGN, SIZE and FLAGS give together. */
u32 slab_align(u32 flags, u32 align, u32 size);

/* slab_order_objects: objects of SIZE in 2^ORDER frames less RESERVED. */
static inline u32 slab_order_objects(u32 order, u32 size, u32 reserved)
{
	return (((u32)PAGE_SIZE << order) - reserved) / size;
}

/* slab_index: which object is OFFSET bytes into a slab? OFFSET < 2^17. */
static inline u32 slab_index(const struct slab_layout *l, u32 offset)
{
	return (u32)((u64)offset * l->reciprocal >> 32);
}

/*
 * slab_whole_mask: size - 1 if each multiple of size in RAM, in a slab of any
 * order, begins an object: a power of two with nothing before, between or
 * behind. Else 0.
 */
static inline u32 slab_whole_mask(const struct slab_layout *l)
{
	bool fills =
		(l->size & (l->size - 1)) == 0 && !l->red_left && !l->reserved;

	return fills ? l->size - 1 : 0;
}

/* slab_cpu_partial: slabs that a CPU keeps frozen, by size of an object. */
u32 slab_cpu_partial(u32 size, u32 objects);

#endif
