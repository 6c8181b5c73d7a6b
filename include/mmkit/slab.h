/* SPDX-License-Identifier: MIT */
/*
 * slab.h - caches of equal objects, and kmalloc over them.
 *
 * Source of the idea: J. Bonwick, "The Slab Allocator" (USENIX 1994), in the
 * form that Linux's SLUB documents (mm/slub), with arrays of free objects per
 * CPU in front (Bonwick and Adams, "Magazines and Vmem", 2001).
 */
#ifndef MMKIT_SLAB_H
#define MMKIT_SLAB_H

#include <mmkit/gfp.h>
#include <mmkit/types.h>

struct kmem_cache;

#define SLAB_HWCACHE_ALIGN   0x1u  /* align objects to cache lines */
#define SLAB_RECLAIM_ACCOUNT 0x2u  /* objects go under memory pressure */
#define SLAB_PANIC	     0x4u  /* failure to create stops the machine */
#define SLAB_TYPESAFE_BY_RCU 0x8u  /* slabs outlive epoch readers */
#define SLAB_ACCOUNT	     0x10u /* slabs are charged to the task's group */
#define SLAB_CACHE_DMA	     0x20u /* slabs from zone DMA */
#define SLAB_NO_MERGE	     0x40u /* share slabs with no other cache */
/* Debugging, by the letters of slub_debug=. */
#define SLAB_CONSISTENCY_CHECKS 0x100u	/* F: an object, ours, in use? */
#define SLAB_RED_ZONE		0x200u	/* Z: known bytes on both sides */
#define SLAB_POISON		0x400u	/* P: known bytes in free objects */
#define SLAB_STORE_USER		0x800u	/* U: who allocated, who freed */
#define SLAB_TRACE		0x1000u /* T: log each allocation and free */

/* Objects of a cache are not larger. */
#define KMEM_MAX_OBJECT 32768u

/* How the allocator starts; by the names of Linux's boot parameters. */
struct slab_boot_params {
	/*
	 * slub_debug: letters F Z P U T (none: FZPU; "-": off; O: not where
	 * it would make slabs larger), then ",CACHE..." (a star at the end
	 * stands for anything); several such, with ';'. NULL: no debugging.
	 */
	const char *slub_debug;
	bool slab_nomerge;	/* never share slabs between caches */
	bool freelist_hardened; /* links of free objects are scrambled */
	bool freelist_random;	/* objects of a new slab in random order */
	u32 slub_min_objects;	/* 0: by the number of CPUs */
	u32 slub_max_order;	/* 0: 3 */
	u32 slub_min_order;
	u32 array_most;	 /* objects in a CPU's array, 1 .. 56; 0: by size */
	bool no_kmalloc; /* nobody calls kmalloc(); no barns then */
	bool few_slabs;	 /* keep next to no empty slabs, and few for a CPU */
	/*
	 * Callers have arrays of their own: bulk calls pass by the CPUs', and
	 * objects of a new slab are touched when they are first handed out.
	 */
	bool bulk_only;
	/* Free objects are linked where their users begin, not in the middle:
	 * one line less is fetched, and an overrun before them tells less. */
	bool link_first;
};

/*
 * kmem_cache_create: a cache of objects of SIZE bytes (8 .. 32768), aligned to
 * ALIGN (0 or a power of two up to 4096). CTOR, if given, runs once for each
 * object when its slab is made; objects are freed in constructed state. NAME
 * must outlive the cache. A cache without constructor or debugging may become
 * another name of an existing one of nearly the same size and the same kind;
 * its size is then the larger of the two. Context: may sleep. NULL: no memory,
 * bad sizes, or too many caches.
 */
struct kmem_cache *kmem_cache_create(const char *name, u32 size, u32 align,
				     u32 flags,
				     void (*ctor)(void *)) MM_MUST_CHECK;

/*
 * kmem_cache_destroy: free an empty cache, or drop a name of a shared one.
 * Objects that are still allocated are listed; then the cache is kept and
 * -EBUSY returned. NULL is ignored. Nobody else uses it. Context: may sleep.
 */
int kmem_cache_destroy(struct kmem_cache *s);

/*
 * kmem_cache_alloc: one object, zeroed with __GFP_ZERO (not with a ctor).
 * Context: as GFP says. NULL when there is no memory. Owner: the caller.
 * Fault injection: FAIL_SLAB, unless __GFP_NOFAIL or __GFP_SKIP_FAIL.
 */
void *kmem_cache_alloc(struct kmem_cache *s, gfp_t gfp) MM_MUST_CHECK;

/*
 * kmem_cache_alloc_node: the same, from NODE's memory if there is some (only
 * from it with __GFP_THISNODE); -1: anywhere.
 */
void *kmem_cache_alloc_node(struct kmem_cache *s, gfp_t gfp,
			    int node) MM_MUST_CHECK;

/*
 * kmem_cache_free: OBJ came from S. Any context. What is no object of S, or
 * the same object twice in a row, is reported and nothing is freed.
 */
void kmem_cache_free(struct kmem_cache *s, void *obj);

/*
 * kmem_cache_alloc_bulk: NR objects into P. Returns NR, or 0 when they could
 * not all be had: then none is allocated.
 */
size_t kmem_cache_alloc_bulk(struct kmem_cache *s, gfp_t gfp, size_t nr,
			     void **p) MM_MUST_CHECK;
/* kmem_cache_free_bulk: P[0 .. NR) go back to S; S NULL: each to its own. */
void kmem_cache_free_bulk(struct kmem_cache *s, size_t nr, void **p);

/*
 * kmem_cache_shrink: give empty slabs back, what CPUs keep included, and sort
 * the rest by fullness. Returns frames freed. Context: thread.
 */
u64 kmem_cache_shrink(struct kmem_cache *s);

/* Objects handed out now / usable size of one. */
u64 kmem_cache_active(struct kmem_cache *s);
u32 kmem_cache_size(const struct kmem_cache *s);

/* ---- kmalloc ------------------------------------------------------------
 */

#define KMALLOC_MAX_CACHE  8192u
#define KMALLOC_NR_CLASSES 13
#define ZERO_SIZE_PTR	   ((void *)16)

enum kmalloc_kind {
	KMALLOC_NORMAL,
	KMALLOC_DMA,	 /* __GFP_DMA: dma-kmalloc- */
	KMALLOC_RECLAIM, /* __GFP_RECLAIMABLE: kmalloc-rcl- */
	KMALLOC_CGROUP,	 /* __GFP_ACCOUNT: kmalloc-cg- */
	NR_KMALLOC_KINDS
};

/* The class of SIZE, 1 .. 8192: 8 16 32 64 96 128 192 256 512 ... 8192. */
static inline u32 kmalloc_index(size_t size)
{
	u32 log;

	if (size <= 8)
		return 0;
	if (size > 64 && size <= 96)
		return 4;
	if (size > 128 && size <= 192)
		return 6;
	log = 64u - (u32)__builtin_clzl(size - 1);
	if (log <= 6)
		return log - 3;
	return log == 7 ? 5 : log - 1;
}

/* What kmalloc() chooses by: written at boot. The class behind the last is of
 * no bytes; its caches have no objects. */
struct kmalloc_table {
	struct kmem_cache *cache[NR_KMALLOC_KINDS][KMALLOC_NR_CLASSES + 1];
	u8 class_of[KMALLOC_MAX_CACHE + 1]; /* by size */
};

struct kmem_state;
extern struct kmem_state kmem_sys;

static inline const struct kmalloc_table *kmalloc_table(void)
{
	return (const struct kmalloc_table *)&kmem_sys;
}

/* Requests that are not for a CPU's array of a normal cache. */
#define GFP_SLAB_SLOW \
	(__GFP_ZERO | __GFP_DMA | __GFP_RECLAIMABLE | __GFP_ACCOUNT)

/* kmalloc from S, the normal cache of SIZE; SIZE is what was asked for. */
void *__kmalloc_cache(size_t size, gfp_t gfp,
		      struct kmem_cache *s) MM_MUST_CHECK;
/* kmalloc for a GFP known to have none of GFP_SLAB_SLOW; and for any. */
void *__kmalloc_plain(size_t size, gfp_t gfp) MM_MUST_CHECK;
void *__kmalloc(size_t size, gfp_t gfp) MM_MUST_CHECK;

/*
 * kmalloc: SIZE bytes, aligned to 8 and to the size if it is a power of two.
 * Up to 8192 from caches, above from whole frames, up to 4 MiB. kmalloc(0)
 * returns a pointer that may only be passed to kfree(). NULL when there is no
 * memory. Context: as GFP says. Owner: the caller.
 */
static inline MM_MUST_CHECK void *kmalloc(size_t size, gfp_t gfp)
{
	if (__builtin_constant_p(size) && size && size <= KMALLOC_MAX_CACHE)
		return __kmalloc_cache(
			size, gfp,
			kmalloc_table()
				->cache[KMALLOC_NORMAL][kmalloc_index(size)]);
	if (__builtin_constant_p(gfp & GFP_SLAB_SLOW) && !(gfp & GFP_SLAB_SLOW))
		return __kmalloc_plain(size, gfp);
	return __kmalloc(size, gfp);
}

/* kmalloc_node: from NODE's memory if there is some; -1: anywhere. */
void *kmalloc_node(size_t size, gfp_t gfp, int node) MM_MUST_CHECK;

/* kfree: what kmalloc or a cache gave; NULL is ignored. Any context. */
void kfree(const void *obj);
/* kfree_sensitive: the same after clearing all that ksize() tells. */
void kfree_sensitive(const void *obj);
/* ksize: bytes that may be used behind a kmalloc pointer. */
size_t ksize(const void *obj);

/*
 * krealloc: OBJ (or NULL) with room for SIZE bytes, contents kept up to the
 * smaller size; maybe moved. SIZE 0 frees. With __GFP_ZERO, bytes beyond the
 * old ksize() are zero. NULL: no memory, OBJ is as before.
 */
void *krealloc(const void *obj, size_t size, gfp_t gfp) MM_MUST_CHECK;

/* Arrays of N elements of SIZE bytes: NULL also when the product overflows. */
void *kmalloc_array(size_t n, size_t size, gfp_t gfp) MM_MUST_CHECK;
void *kcalloc(size_t n, size_t size, gfp_t gfp) MM_MUST_CHECK;
void *krealloc_array(const void *obj, size_t n, size_t size,
		     gfp_t gfp) MM_MUST_CHECK;

/* kmemdup, kstrdup, kstrndup: copies, the caller's to kfree(); NULL of NULL. */
void *kmemdup(const void *src, size_t len, gfp_t gfp) MM_MUST_CHECK;
char *kstrdup(const char *s, gfp_t gfp) MM_MUST_CHECK;
char *kstrndup(const char *s, size_t max, gfp_t gfp) MM_MUST_CHECK;

/*
 * kvmalloc: as kmalloc; where contiguous frames are hard to get, from the
 * provider of scattered ones that kvmalloc_set_ops() named. kvfree() takes
 * what any of them gave. Context: may sleep.
 */
void *kvmalloc(size_t size, gfp_t gfp) MM_MUST_CHECK;
void *kvmalloc_node(size_t size, gfp_t gfp, int node) MM_MUST_CHECK;
void *kvcalloc(size_t n, size_t size, gfp_t gfp) MM_MUST_CHECK;
void kvfree(const void *obj);

/* Who gives memory that is contiguous for the CPU alone (vmalloc). */
struct kvmalloc_ops {
	void *(*alloc)(size_t size, gfp_t gfp, int node);
	void (*free)(const void *obj);
	bool (*owns)(const void *obj);
};
/* kvmalloc_set_ops: OPS must last; NULL: none. At boot. */
void kvmalloc_set_ops(const struct kvmalloc_ops *ops);

static inline MM_MUST_CHECK void *kzalloc(size_t size, gfp_t gfp)
{
	return kmalloc(size, gfp | __GFP_ZERO);
}

static inline MM_MUST_CHECK void *kzalloc_node(size_t size, gfp_t gfp, int node)
{
	return kmalloc_node(size, gfp | __GFP_ZERO, node);
}

static inline MM_MUST_CHECK void *kvzalloc(size_t size, gfp_t gfp)
{
	return kvmalloc(size, gfp | __GFP_ZERO);
}

#endif
