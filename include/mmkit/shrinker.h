/* SPDX-License-Identifier: MIT */
/*
 * shrinker.h - caches of objects that can be made smaller when memory is
 * short. Names and behaviour follow Linux's documented shrinkers.
 */
#ifndef MMKIT_SHRINKER_H
#define MMKIT_SHRINKER_H

#include <mmkit/gfp.h>
#include <mmkit/types.h>

#define SHRINK_STOP    (~0UL)	  /* scan_objects: cannot go on now */
#define SHRINK_EMPTY   (~0UL - 1) /* count_objects: there are none */
#define DEFAULT_SEEKS  2
#define SHRINKER_BATCH 128

/* What a call is about. */
struct shrink_control {
	gfp_t gfp_mask; /* of the allocation that memory is wanted for */
	int nid;	/* 0 for shrinkers that are not NUMA-aware */
	u64 nr_to_scan; /* scan_objects: look at so many */
	u64 nr_scanned; /* ... and say here if it were others */
};

#define SHRINKER_NUMA_AWARE 0x1u /* counts and scans node by node */

/*
 * COUNT_OBJECTS says how many objects could go (0: none now). SCAN_OBJECTS
 * tries to free nr_to_scan of them and returns how many it did, or
 * SHRINK_STOP. Both run in reclaim: they must not wait for what their
 * allocations' callers may hold, nor register shrinkers. An object costs
 * SEEKS disk accesses to make again (DEFAULT_SEEKS; 0: nothing worth
 * mentioning); BATCH objects at a time (0: 128).
 */
struct shrinker {
	u64 (*count_objects)(struct shrinker *s, struct shrink_control *sc);
	u64 (*scan_objects)(struct shrinker *s, struct shrink_control *sc);
	u64 batch;
	u32 seeks;
	u32 flags;
	void *private; /* the owner's */
	/* The registry's from here on. */
	const char *name;
	u32 id;
	struct shrinker *next;
	u64 *nr_deferred; /* [MM_MAX_NODES] scans that were due and not done */
};

/*
 * register_shrinker: S, called NAME, takes part in reclaim until it is
 * unregistered; both must last. Returns 0, -EINVAL (a function is missing) or
 * -ENOMEM. May sleep.
 */
int register_shrinker(struct shrinker *s, const char *name) MM_MUST_CHECK;

/* unregister_shrinker: when it returns, S is called no more. May sleep. */
void unregister_shrinker(struct shrinker *s);

/*
 * shrink_slab: one round over all shrinkers for node NID with the pressure of
 * PRIORITY (12: a 4096th of the objects, times 4 / seeks; 0: all). Returns
 * objects freed. Nothing happens while a shrinker comes or goes. May sleep.
 */
u64 shrink_slab(gfp_t gfp, int nid, int priority);

/* drop_slab: rounds of full pressure until they bring nothing. May sleep. */
void drop_slab(void);

struct seq_buf;
/* show_shrinkers: a line for each: name, id, objects of each node. */
void show_shrinkers(struct seq_buf *out);

#endif
