/* SPDX-License-Identifier: MIT */
/*
 * slab.h - caches of equal objects, and kmalloc over them.
 *
 * Source of the idea: J. Bonwick, "The Slab Allocator" (USENIX 1994), in the
 * queue-less form that Linux's SLUB documents (mm/slub).
 */
#ifndef MMKIT_SLAB_H
#define MMKIT_SLAB_H

#include <mmkit/gfp.h>
#include <mmkit/types.h>

struct kmem_cache;

#define SLAB_HWCACHE_ALIGN   0x1u /* align objects to cache lines */
#define SLAB_RECLAIM_ACCOUNT 0x2u /* objects go under memory pressure */
#define SLAB_PANIC	     0x4u /* failure to create stops the machine */

/*
 * kmem_cache_create: a cache of objects of SIZE bytes (8 .. 8192), aligned to
 * ALIGN (0 or a power of two up to 4096). CTOR, if given, runs once for each
 * object when its slab is made; objects are freed in constructed state. NAME
 * must outlive the cache. Context: may sleep. NULL: no memory, bad sizes, or
 * too many caches.
 */
struct kmem_cache *kmem_cache_create(const char *name, u32 size, u32 align,
				     u32 flags,
				     void (*ctor)(void *)) MM_MUST_CHECK;

/*
 * kmem_cache_destroy: free an empty cache. Objects that are still allocated
 * are counted and reported; then the cache is kept and -EBUSY returned.
 */
int kmem_cache_destroy(struct kmem_cache *s);

/*
 * kmem_cache_alloc: one object, zeroed with __GFP_ZERO (not with a ctor).
 * Context: as GFP says. NULL when there is no memory. Owner: the caller.
 * Fault injection: FAIL_SLAB, unless __GFP_NOFAIL or __GFP_SKIP_FAIL.
 */
void *kmem_cache_alloc(struct kmem_cache *s, gfp_t gfp) MM_MUST_CHECK;

/* kmem_cache_free: OBJ came from S. Any context. */
void kmem_cache_free(struct kmem_cache *s, void *obj);

/* kmem_cache_shrink: give empty slabs back; returns frames freed. */
u64 kmem_cache_shrink(struct kmem_cache *s);

/* Objects handed out now / size of one as asked for. */
u64 kmem_cache_active(const struct kmem_cache *s);
u32 kmem_cache_size(const struct kmem_cache *s);

/*
 * kmalloc: SIZE bytes, aligned to 8 and to the size if it is a power of two.
 * Up to 8192 from caches, above from whole frames. kmalloc(0) returns a
 * pointer that may only be passed to kfree(). NULL when there is no memory.
 */
void *kmalloc(size_t size, gfp_t gfp) MM_MUST_CHECK;
/* kcalloc: N * SIZE zeroed bytes; NULL also when the product overflows. */
void *kcalloc(size_t n, size_t size, gfp_t gfp) MM_MUST_CHECK;
/* kfree: what kmalloc gave; NULL is ignored. */
void kfree(const void *obj);
/* ksize: bytes that may be used behind a kmalloc pointer. */
size_t ksize(const void *obj);

static inline void *kzalloc(size_t size, gfp_t gfp)
{
	return kmalloc(size, gfp | __GFP_ZERO);
}

#endif
