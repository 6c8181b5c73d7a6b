/* SPDX-License-Identifier: MIT */
/*
 * vmap_area.h - who has which addresses. Theory: vmap_area.c.
 */
#ifndef MM_KMEM_VMAP_AREA_H
#define MM_KMEM_VMAP_AREA_H

#include <mmkit/vmalloc.h>

#include "base/list.h"
#include "base/mutex.h"
#include "base/rbtree.h"
#include "base/spinlock.h"

/* (L) vmap lock. */
struct vmap_area {
	kva_t va_start, va_end; /* (L) for a free area, else constant */
	struct rb_node rb_node; /* (L) in the tree of free or of busy areas */
	struct list_head list;	/* (L) same, in order; or waits for a flush */
	u64 subtree_max_size;	/* (L) free areas: the largest from here down */
};

struct vmap_block;

/*
 * An area with what is known of its user. Free areas are such objects too:
 * what was busy becomes free without another allocation.
 */
struct vm_struct {
	struct vmap_area va;
	u32 flags;	     /* VM_*; UNINITIALIZED goes under the lock */
	u32 nr_pages;	     /* in pages */
	struct page **pages; /* array, or &one */
	struct page *one;
	phys_addr_t phys_addr; /* of a device */
	const char *caller;
	struct vmap_block *block; /* if this is a block of small mappings */
};

/* What an area shall be like. */
struct vmap_want {
	u64 size;  /* bytes with the guard page; whole pages */
	u64 align; /* a power of two, at least a page */
	kva_t start, end;
};

/* Busy areas that may wait to be put into the tree: what a search does first
 * under the lock. */
#define VMAP_LATE_MAX 1024u

/*
 * (L) lock, (P) purge mutex, (A) atomic, (C) constant after boot.
 */
struct vmap_areas {
	spinlock_t lock;
	struct mutex purge;
	struct rb_root free, busy;   /* (L) */
	struct list_head free_list;  /* (L) by address */
	struct list_head busy_list;  /* (L) by address */
	struct list_head *near;	     /* (L) of it: where it changed last */
	struct list_head *late;	     /* (L) of it: the first not in the tree */
	u32 nr_late;		     /* (L) so many */
	struct list_head purge_list; /* (L) unmapped, not flushed */
	struct vm_struct *spare;     /* (L) for a split in the middle */
	u64 nr_busy, nr_free;	     /* (L) areas */
	u64 nr_lazy;		     /* (A) pages on the purge list */
	u64 lazy_max;		     /* (C) purge when there are more */
	u64 nr_purges;		     /* (P) flushes of all CPUs so far */
	kva_t start, end;	     /* (C) */
	struct kmem_cache *cache;    /* (C) of vm_struct */
};

/*
 * vmap_areas_init: all of [START, END) is free. 0 or -ENOMEM. At boot.
 */
int vmap_areas_init(kva_t start, kva_t end) MM_MUST_CHECK;

/*
 * vmap_area_alloc: VM, from kmem_sys.vm.areas.cache and zeroed but for what
 * the caller knows, gets the lowest addresses that fit WANT, and is busy. If
 * there are none, what waits for a flush is flushed. Returns 0, -ENOMEM (no
 * node) or -ENOSPC (no addresses; logged unless GFP has __GFP_NOWARN). May
 * sleep. Fault injection: FAIL_VMAP.
 */
int vmap_area_alloc(struct vm_struct *vm, const struct vmap_want *want,
		    gfp_t gfp) MM_MUST_CHECK;

/*
 * vmap_area_take: the busy area that begins at VA if its flags have one of
 * ANY, no longer busy: nobody finds it, its addresses stay taken. Else NULL.
 */
struct vm_struct *vmap_area_take(kva_t va, u32 any);

/*
 * vmap_area_release: VM, which nobody finds any more and in which nothing is
 * mapped, is handed over; its addresses can be used after the next flush,
 * which may happen here if too many wait. May sleep.
 */
void vmap_area_release(struct vm_struct *vm);

/* vmap_area_cancel: VM was never mapped: its addresses are free at once. */
void vmap_area_cancel(struct vm_struct *vm);

/*
 * vmap_purge: flush what waits, together with [START, END) (empty: START 0),
 * and make the addresses free. May sleep.
 */
void vmap_purge(kva_t start, kva_t end);

/* vmap_area_find: the busy area that holds VA; NULL. Lock held. */
struct vm_struct *vmap_area_find(kva_t va);
/* vmap_area_next: the first busy area that ends above VA; NULL. Lock held. */
struct vm_struct *vmap_area_next(kva_t va);

/* vmap_largest_free: bytes of the largest free area. */
u64 vmap_largest_free(void);

/*
 * vmap_areas_check: trees and lists agree, areas are disjoint, neighbours that
 * are free are merged, sizes of subtrees are right, every address is free,
 * busy or waiting. Panics with the finding.
 */
void vmap_areas_check(void);

#endif
