/* SPDX-License-Identifier: MIT */
/*
 * mempolicy.h - memory policies inside floor 2. Theory: mempolicy.c.
 */
#ifndef MM_PHYS_MEMPOLICY_H
#define MM_PHYS_MEMPOLICY_H

#include <mmkit/mempolicy.h>

#include "base/spinlock.h"

/* Letters: (B) since it was made; (A) atomic; (L) mpol.lock; (O) owner. */
struct mempolicy {
	s32 refcnt;	    /* (A) */
	u16 mode;	    /* (B) MPOL_*, never MPOL_DEFAULT */
	u16 flags;	    /* (B) MPOL_F_*_NODES */
	nodemask_t nodes;   /* (O) in use; none: acts as default */
	nodemask_t user;    /* (B) as they were given */
	nodemask_t allowed; /* (O) what NODES was made for */
};

struct mpol_frame;

struct mpol_state {
	spinlock_t lock;
	struct mpol_frame *frames; /* (L) frames that hold policies */
	u32 nr_frames;		   /* (L) */
	u32 nr_policies;	   /* (L) */
	u32 watchers;		   /* (L) reasons for WATCH_POLICY */
	u8 weight[MM_MAX_NODES];   /* turns; 0 is 1 */
};

/* mpol_init: at boot, no policy anywhere. */
void mpol_init(void);

/* mpol_owns: does the frame PFN hold policies? For the audit. */
bool mpol_owns(u64 pfn);

/*
 * mpol_watch: one reason more (ON) or less for requests to leave the fast path
 * and be looked at in detail. Any context but interrupts.
 */
void mpol_watch(bool on);

/* nodes_with_memory: the set of nodes that have managed frames. */
nodemask_t nodes_with_memory(void);

#endif
