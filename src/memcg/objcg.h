/* SPDX-License-Identifier: MIT */
/*
 * objcg.h - who pays for objects that are smaller than a frame. Theory:
 * objcg.c. Floors above allocate objects; this one knows bytes.
 */
#ifndef MM_MEMCG_OBJCG_H
#define MM_MEMCG_OBJCG_H

#include <mmkit/gfp.h>

#include "base/epoch.h"
#include "base/list.h"
#include "base/spinlock.h"

struct memcg;

/* What the bytes are, for memory.stat. */
enum objcg_item {
	OBJCG_SLAB_RECLAIMABLE,
	OBJCG_SLAB_UNRECLAIMABLE,
	OBJCG_PERCPU,
	NR_OBJCG_ITEMS
};

/* (A) atomic, (T) the tree's lock. */
struct obj_cgroup {
	spinlock_t lock;
	struct memcg *memcg;	   /* (lock) who pays; NULL: the root */
	struct list_head list;	   /* (T) of those that MEMCG pays for */
	s64 pages;		   /* (lock) charged */
	s64 loose;		   /* (A) bytes of these that nobody has */
	s64 items[NR_OBJCG_ITEMS]; /* (A) bytes of objects */
	s64 refs;		   /* (A) own + pages + stocks + lookers */
	s64 audit_bytes;	   /* the audit's own */
	struct epoch_head epoch;
};

/*
 * objcg_charge: BYTES of ITEM to the running task's group. 0 with who pays in
 * *OUT (NULL: the root, nobody), -ENOMEM: over a limit that could not be kept.
 * What is charged keeps *OUT alive. Context: as GFP says; not in interrupts.
 */
int objcg_charge(u64 bytes, u32 item, gfp_t gfp,
		 struct obj_cgroup **out) MM_MUST_CHECK;

/* objcg_uncharge: BYTES of ITEM that OBJCG pays for are free. Any context. */
void objcg_uncharge(struct obj_cgroup *objcg, u64 bytes, u32 item);

/* objcg_drain: what CPUs keep goes back to whose it is. */
void objcg_drain(void);

/* objcg_bytes: ITEM of MEMCG and below; exact after objcg_drain() while nobody
 * charges. */
u64 objcg_bytes(struct memcg *memcg, u32 item);

/*
 * objcg_on_start: START is called before the first group is made: from then on
 * objects may be charged. It returns 0 or -ENOMEM (no group is made), may
 * sleep, and may be called again.
 */
void objcg_on_start(int (*start)(void));

/* ---- for memcg.c ------------------------------------------------------------
 */

/* objcg_start: see above. objcg_make: MEMCG, new, gets one. 0 or -ENOMEM. */
int objcg_start(void) MM_MUST_CHECK;
int objcg_make(struct memcg *memcg) MM_MUST_CHECK;
/* objcg_unmake: MEMCG, which nobody saw, gives it back. */
void objcg_unmake(struct memcg *memcg);
/* objcg_reparent: MEMCG, offline, pays for nothing any more: the group above
 * does. Tree lock held. */
void objcg_reparent(struct memcg *memcg);
/* objcg_pages: frames that MEMCG itself pays for through objects. Tree lock
 * held. */
s64 objcg_pages(const struct memcg *memcg);
/* objcg_next: the one after PREV of all; NULL: PREV was the last. For checkers:
 * nobody makes or removes groups meanwhile. */
struct obj_cgroup *objcg_next(struct obj_cgroup *prev);
/* objcg_check: OB-1 to OB-3, but for what objects have. Tree lock held. */
void objcg_check(const struct list_head *row, const struct memcg *memcg);

#endif
