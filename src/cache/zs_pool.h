/* SPDX-License-Identifier: MIT */
/*
 * zs_pool.h - objects of odd sizes up to most of a page, packed into frames,
 * that may be moved together. Theory: zs_pool.c.
 */
#ifndef MM_CACHE_ZS_POOL_H
#define MM_CACHE_ZS_POOL_H

#include <mmkit/gfp.h>

#include "base/list.h"
#include "base/spinlock.h"
#include "phys/movable_ops.h"
#include "phys/page.h"

#define ZS_STEP	      32u
#define ZS_MAX_OBJECT 3200u /* bytes of contents; more is better on its own */
#define ZS_HEADER     8u    /* of each object: who owns it */
#define ZS_CLASSES    ((ZS_MAX_OBJECT + ZS_HEADER) / ZS_STEP + 1)
#define ZS_MAX_FRAMES 4u
#define ZS_MAX_OBJS   (ZS_MAX_FRAMES * (u32)PAGE_SIZE / ZS_STEP)

/* Frames that hold objects of one size. */
struct zspage {
	struct list_head list; /* of its class: full, or not */
	u16 class, frames, inuse, max;
	struct page *frame[ZS_MAX_FRAMES];
	u64 used[ZS_MAX_OBJS / 64];
};

/* Where an object is. The owner's; its address must stay: moving changes it. */
struct zs_ref {
	struct zspage *zspage; /* NULL: nowhere */
	u32 index;
};

struct zs_class {
	struct list_head partial, full;
	u64 objects, room; /* taken; places in all */
};

struct zs_pool {
	struct movable_operations ops; /* of its frames, which name it */
	spinlock_t *lock;	       /* the caller's, over all of it */
	struct kmem_cache *zspage_cache;
	u64 frames;
	u64 compacted; /* frames that moving objects gave back */
	u64 migrated;  /* frames whose contents went to others */
	struct zs_class class[ZS_CLASSES];
};

/* zs_pool_init: POOL is empty, and LOCK is over it, which whoever moves its
 * frames takes, too; 0 or -ENOMEM. zs_pool_exit: it is empty (else a panic) and
 * forgotten. */
int zs_pool_init(struct zs_pool *pool, spinlock_t *lock) MM_MUST_CHECK;
void zs_pool_exit(struct zs_pool *pool);

/*
 * All below need the caller's lock over POOL and sleep for nothing.
 * zs_alloc: room for BYTES, 1 .. ZS_MAX_OBJECT, owned by *REF; frames by GFP,
 * which must not sleep. False: no memory. zs_free: REF's object goes, frames
 * that became empty with it.
 */
bool zs_alloc(struct zs_pool *pool, u32 bytes, gfp_t gfp,
	      struct zs_ref *ref) MM_MUST_CHECK;
void zs_free(struct zs_pool *pool, struct zs_ref *ref);
/* zs_store / zs_load: the first BYTES of REF's object. */
void zs_store(const struct zs_ref *ref, const void *from, u32 bytes);
void zs_load(const struct zs_ref *ref, void *to, u32 bytes);
/* zs_compact: move objects together; up to NR frames come free. How many. */
u64 zs_compact(struct zs_pool *pool, u64 nr);
/* zs_compactable: frames that zs_compact() could give back, about. */
u64 zs_compactable(const struct zs_pool *pool);
/* zs_check: recount all. Panics. */
void zs_check(const struct zs_pool *pool);

#endif
