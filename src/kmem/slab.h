/* SPDX-License-Identifier: MIT */
/*
 * slab.h - the slab allocator's structures. Theory: slab.c.
 */
#ifndef MM_KMEM_SLAB_H
#define MM_KMEM_SLAB_H

#include <mmkit/slab.h>

#include "base/list.h"
#include "base/seqbuf.h"
#include "base/spinlock.h"
#include <mmkit/memory_hotplug.h>

#include "phys/page.h"

#define KMEM_MAX_CACHES	   256
#define KMALLOC_MAX_CACHE  8192u
#define KMALLOC_NR_CLASSES 13
#define ZERO_SIZE_PTR	   ((void *)16)

/* Objects and order of a slab, computed once. */
struct slab_layout {
	u32 size;    /* distance between objects, bytes */
	u32 objects; /* in one slab */
	u8 order;
};

/* One CPU's slab. Interrupts off protects it. */
struct kmem_cache_cpu {
	void *freelist;	   /* objects free for this CPU alone */
	struct page *page; /* the frozen slab they are from, or NULL */
} MM_ALIGNED(MM_CACHELINE);

/* (N) list_lock. */
struct kmem_cache_node {
	spinlock_t list_lock;
	struct page_list partial; /* (N) slabs with free objects, not frozen */
	u64 nr_slabs;		  /* atomic */
};

struct kmem_cache {
	const char *name;
	u32 object_size; /* as asked for */
	u32 align;
	u32 flags;
	u32 link_offset; /* of a free object's link in it */
	u16 id;		 /* index in kmem_sys.caches, kept in each slab page */
	u16 min_partial;
	struct slab_layout layout;
	void (*ctor)(void *);
	u64 active; /* atomic: objects handed out */
	struct kmem_cache_node *node[MM_MAX_NODES];
	struct kmem_cache_cpu cpu[MM_NR_CPUS];
};

struct kmem_state {
	spinlock_t caches_lock;
	struct kmem_cache *caches[KMEM_MAX_CACHES];
	struct kmem_cache *kmalloc_caches[KMALLOC_NR_CLASSES];
	struct kmem_cache boot_cache;	/* the cache of caches */
	struct kmem_cache boot_node;	/* the cache of cache nodes */
	struct memory_notifier hotplug; /* nodes that get their first memory */
};

extern struct kmem_state kmem_sys;

/* kmem_reset: forget everything; for a fresh machine. */
void kmem_reset(void);

/*
 * kmem_init: the allocator works from here on. Needs the page allocator.
 * Returns 0 or -ENOMEM. Context: boot.
 */
int kmem_init(void) MM_MUST_CHECK;

/*
 * slab_layout_compute: how to cut frames into objects of SIZE aligned to
 * ALIGN: the smallest order that holds 8 objects or wastes less than 1/16,
 * at most order 3. A pure function.
 */
struct slab_layout slab_layout_compute(u32 size, u32 align);

/* slab_check: verify every partial slab of S; panics with the finding. */
void slab_check(struct kmem_cache *s);

/* slab_for_each: call FN for each cache under the caches lock. */
void slab_for_each(void (*fn)(struct kmem_cache *s, void *arg), void *arg);

/* slab_drain: give all CPUs' slabs back to their nodes. Other CPUs must not
 * be allocating; used at machine shut-down and by audits. */
void slab_drain(struct kmem_cache *s);

#endif
