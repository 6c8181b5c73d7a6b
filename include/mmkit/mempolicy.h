/* SPDX-License-Identifier: MIT */
/*
 * mempolicy.h - on which nodes a task's memory should lie.
 *
 * Names, values and meanings follow set_mempolicy(2), mbind(2) and Linux's
 * documentation admin-guide/mm/numa_memory_policy. Theory: src/phys/
 * mempolicy.c.
 */
#ifndef MMKIT_MEMPOLICY_H
#define MMKIT_MEMPOLICY_H

#include <mmkit/gfp.h>
#include <mmkit/types.h>

struct mempolicy;
struct mm_task;

/* A set of nodes: bit n is node n. */
typedef u64 nodemask_t;
#define NODE_MASK_ALL  (~0UL)
#define NODE_MASK_NONE 0UL
#define NODE_MASK(nid) (1UL << (nid))

MM_STATIC_ASSERT(MM_MAX_NODES <= 64, "a set of nodes is one word");

enum {
	MPOL_DEFAULT,		  /* no policy: the running CPU's node first */
	MPOL_PREFERRED,		  /* one node first */
	MPOL_BIND,		  /* these nodes and no others */
	MPOL_INTERLEAVE,	  /* these nodes in turn */
	MPOL_LOCAL,		  /* the running CPU's node first */
	MPOL_PREFERRED_MANY,	  /* these nodes first */
	MPOL_WEIGHTED_INTERLEAVE, /* in turn, some more often */
	MPOL_MAX
};

/* Flags of a mode: what becomes of the nodes when the allowed ones change. */
#define MPOL_F_STATIC_NODES   (1u << 15) /* as given, where allowed */
#define MPOL_F_RELATIVE_NODES (1u << 14) /* counted within the allowed */
#define MPOL_MODE_FLAGS	      (MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES)

/* Flags of get_mempolicy(2). */
#define MPOL_F_NODE	    (1u << 0) /* the next node, not the mode */
#define MPOL_F_ADDR	    (1u << 1) /* of an address: resolved above */
#define MPOL_F_MEMS_ALLOWED (1u << 2) /* the nodes that may be used */

/* No place in an object: take turns by the task's own count. */
#define NO_INTERLEAVE_INDEX (~0UL)

/*
 * mpol_new: a policy of MODE with FLAGS (MPOL_F_*_NODES) over NODES, with one
 * reference, in *OUT. MPOL_DEFAULT gives NULL, which is a policy too. Nodes
 * without memory are left out. Returns 0, -EINVAL (unknown mode or flag, both
 * flags, nodes where the mode takes none, none where it needs some, none of
 * them has memory) or -ENOMEM. *OUT is untouched on failure. May sleep.
 */
int mpol_new(int mode, u32 flags, nodemask_t nodes,
	     struct mempolicy **out) MM_MUST_CHECK;

/* mpol_get / mpol_put: a reference more or less; the last frees. NULL: none. */
struct mempolicy *mpol_get(struct mempolicy *pol);
void mpol_put(struct mempolicy *pol);

/* mpol_dup: an equal policy of one's own. 0 or -ENOMEM. May sleep. */
int mpol_dup(const struct mempolicy *pol, struct mempolicy **out) MM_MUST_CHECK;

/* mpol_equal: would both choose the same? NULL is MPOL_DEFAULT. */
bool mpol_equal(const struct mempolicy *a, const struct mempolicy *b);

/* What a policy says: mode, flags, the nodes it uses now. */
int mpol_mode(const struct mempolicy *pol);
u32 mpol_flags(const struct mempolicy *pol);
nodemask_t mpol_nodes(const struct mempolicy *pol);

/*
 * mpol_rebind: the nodes that may be used are ALLOWED from now on. Static
 * nodes are cut to them, relative ones counted anew, others renamed (the n-th
 * of the old set becomes the n-th of the new one). A static policy that has no
 * node left acts as MPOL_DEFAULT until one comes back. The caller keeps POL's
 * users from allocating meanwhile.
 */
void mpol_rebind(struct mempolicy *pol, nodemask_t allowed);

/*
 * set_task_mempolicy: POL (NULL: default) is the running task's from now on;
 * takes over the caller's reference. Interleaving starts at the first node.
 * Context: a task, not an interrupt.
 */
void set_task_mempolicy(struct mempolicy *pol);

/*
 * mpol_task_fork: CHILD, not running yet, gets PARENT's policy (shared) and
 * place in the turn. mpol_task_exit: TASK, running or gone, has none any more.
 */
void mpol_task_fork(struct mm_task *child, const struct mm_task *parent);
void mpol_task_exit(struct mm_task *task);

/*
 * do_set_mempolicy: what set_mempolicy(2) does with a MODE that carries its
 * flags: mpol_new() and set_task_mempolicy(). 0 or a negative errno; the old
 * policy stays on failure.
 */
int do_set_mempolicy(int mode, nodemask_t nodes) MM_MUST_CHECK;

/*
 * do_get_mempolicy: what get_mempolicy(2) tells of the running task. FLAGS 0:
 * *MODE with its flags, *NODES as they were given. MPOL_F_NODE: *MODE is the
 * node that comes next; -EINVAL unless the policy takes turns.
 * MPOL_F_MEMS_ALLOWED: *NODES is what may be used. Others and both together:
 * -EINVAL. Either pointer may be NULL; untouched on failure.
 */
int do_get_mempolicy(int *mode, nodemask_t *nodes, u32 flags) MM_MUST_CHECK;

/*
 * mpol_set_weight: node NID gets WEIGHT (1 .. 255) turns in weighted
 * interleaving; 0 is the default, 1. -EINVAL if it has no memory or the
 * weight is too large. mpol_weight: what it has.
 */
int mpol_set_weight(int nid, u32 weight) MM_MUST_CHECK;
u32 mpol_weight(int nid);

/*
 * alloc_pages_mpol: a block of ORDER by POL (NULL: default) in place of the
 * task's policy. ILX: the block's number in its object, by which interleaving
 * chooses; NO_INTERLEAVE_INDEX: the task's turn. NID: what "local" means; -1:
 * the running CPU's node. In an interrupt POL is not looked at; with
 * __GFP_THISNODE only the first node that it names is tried. Otherwise as
 * alloc_pages(). The caller holds a reference to POL.
 */
struct page *alloc_pages_mpol(gfp_t gfp, unsigned int order,
			      struct mempolicy *pol, u64 ilx,
			      int nid) MM_MUST_CHECK;

#endif
