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
struct mm_struct;
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
#define MPOL_NODE_FLAGS	      (MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES)
/* Of MPOL_BIND and MPOL_PREFERRED_MANY: among its nodes memory follows who uses
 * it, by hint faults (kernel.numa_balancing). */
#define MPOL_F_NUMA_BALANCING (1u << 13)
#define MPOL_MODE_FLAGS	      (MPOL_NODE_FLAGS | MPOL_F_NUMA_BALANCING)

/* Flags of get_mempolicy(2). */
#define MPOL_F_NODE	    (1u << 0) /* the next node, not the mode */
#define MPOL_F_ADDR	    (1u << 1) /* of an address: resolved above */
#define MPOL_F_MEMS_ALLOWED (1u << 2) /* the nodes that may be used */

/* No place in an object: take turns by the task's own count. */
#define NO_INTERLEAVE_INDEX (~0UL)

/*
 * mpol_new: a policy of MODE with FLAGS (MPOL_MODE_FLAGS) over NODES, with one
 * reference, in *OUT. MPOL_DEFAULT gives NULL, which is a policy too. Nodes
 * without memory are left out. Returns 0, -EINVAL (unknown mode or flag, both
 * flags of nodes, balancing where the mode takes none, nodes where the mode
 * takes none, none where it needs some, none of them has memory) or -ENOMEM.
 * *OUT is untouched on failure. May sleep.
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

/* What a policy says: mode, flags, the nodes it uses now; and the nodes that
 * get_mempolicy(2) tells: with a flag those that were given. */
/* mpol_balances: may memory that POL (NULL: none) placed go to node NID when it
 * is used there? */
bool mpol_balances(const struct mempolicy *pol, int nid);
int mpol_mode(const struct mempolicy *pol);
u32 mpol_flags(const struct mempolicy *pol);
nodemask_t mpol_nodes(const struct mempolicy *pol);
nodemask_t mpol_user_nodes(const struct mempolicy *pol);

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
 * mpol_task_get: TASK's policy with a reference for the caller (NULL: none).
 * TASK may be another, running task; the caller sees to it that it stays.
 */
struct mempolicy *mpol_task_get(const struct mm_task *task);

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

/*
 * Where a page of an object is to lie: the arguments of alloc_pages_mpol().
 * POL is borrowed: who fills this in keeps it.
 */
struct mpol_place {
	struct mempolicy
		*pol; /* NULL: no policy of its own: as alloc_pages() */
	u64 ilx;
	int nid;
};

/* alloc_pages_place: a block of ORDER as PLACE says, else as alloc_pages(). */
struct page *alloc_pages_place(gfp_t gfp, unsigned int order,
			       const struct mpol_place *place) MM_MUST_CHECK;

/* ---- system calls -------------------------------------------------------- *
 *
 * Addresses of user memory are in the calling process's space, MM or LOCAL.
 * A set of nodes there is NMASK, an array of 64-bit words of which MAXNODE - 1
 * bits count, as Linux counts them; NULL is the empty set. Reading one fails
 * with -EFAULT, or -EINVAL: a node beyond MM_MAX_NODES, more than a page of
 * bits, MAXNODE 0 with an array. Context of all: may sleep; the caller holds no
 * lock. What fails has changed nothing unless said otherwise.
 */

/* Flags of mbind(2), move_pages(2). */
#define MPOL_MF_STRICT	 (1u << 0) /* -EIO if pages lie elsewhere */
#define MPOL_MF_MOVE	 (1u << 1) /* move what only this process maps */
#define MPOL_MF_MOVE_ALL (1u << 2) /* move all; needs MM_CAP_SYS_NICE */

/*
 * kernel_set_mempolicy: set_mempolicy(2) for the running task. 0; errors of
 * reading NMASK and of mpol_new(), an unknown mode being told first.
 */
int kernel_set_mempolicy(struct mm_struct *mm, int mode, uva_t nmask,
			 u64 maxnode) MM_MUST_CHECK;

/*
 * kernel_get_mempolicy: get_mempolicy(2): *POLICY, an int, and NMASK[MAXNODE]
 * are written unless NULL. -EINVAL: MAXNODE smaller than the number of node
 * ids or larger than a page of bits, FLAGS unknown or not to be combined,
 * MPOL_F_NODE alone and the task takes no turns, ADDR without MPOL_F_ADDR.
 * -EFAULT: no mapping at ADDR; POLICY or NMASK not writable (one may have been
 * written); MPOL_F_NODE | MPOL_F_ADDR and ADDR cannot be read; then -ENOMEM and
 * -EINTR too. A mapping without a policy is told as MPOL_DEFAULT.
 */
int kernel_get_mempolicy(struct mm_struct *mm, uva_t policy, uva_t nmask,
			 u64 maxnode, uva_t addr, u64 flags) MM_MUST_CHECK;

/*
 * kernel_mbind: mbind(2). do_mbind: the same with the set read already.
 * -EINVAL: mode, flags, nodes (mpol_new()), START not aligned, the range
 * overflows. -EPERM: MPOL_MF_MOVE_ALL without MM_CAP_SYS_NICE. -EFAULT: a hole;
 * with MPOL_DEFAULT only if nothing is mapped. -ENOMEM: no memory, too many
 * mappings. -EIO, never with MPOL_DEFAULT: MPOL_MF_STRICT, and pages of the
 * range lie elsewhere; nothing has changed. With MPOL_MF_MOVE or _ALL it is
 * told after the policy was set, which stays, and pages that could not be
 * moved stay where they are.
 */
struct mm_mbind {
	uva_t start;
	u64 len;
	int mode; /* with MPOL_F_*_NODES */
	uva_t nmask;
	u64 maxnode;
	u32 flags; /* MPOL_MF_* */
};
int kernel_mbind(struct mm_struct *mm, const struct mm_mbind *a) MM_MUST_CHECK;
int do_mbind(struct mm_struct *mm, uva_t start, u64 len, int mode,
	     nodemask_t nodes, u32 flags) MM_MUST_CHECK;

/*
 * do_set_mempolicy_home_node: set_mempolicy_home_node(2): in mappings of the
 * range that have a policy, MPOL_BIND and MPOL_PREFERRED_MANY begin at the
 * node nearest to HOME and not to the running CPU. -EINVAL: FLAGS, no such
 * node, START not aligned, the range overflows; -ENOENT: no mapping has a
 * policy; -EOPNOTSUPP: one has a policy of another mode; -ENOMEM.
 */
int do_set_mempolicy_home_node(struct mm_struct *mm, uva_t start, u64 len,
			       u64 home, u64 flags) MM_MUST_CHECK;

/*
 * kernel_move_pages: move_pages(2): for each of NR addresses at PAGES, where
 * its page is, or an errno, to STATUS (ints); NODES (ints) NULL: only that.
 * With NODES a page that is elsewhere is moved; -EBUSY: it is held, or on no
 * list, -ENOMEM: its node is full, -EACCES: others map it too and FLAGS are
 * without MPOL_MF_MOVE_ALL. Other statuses: -EFAULT (no mapping, or the zero
 * page), -ENOENT (no page there). Returns the number of pages that answered
 * -EBUSY or -ENOMEM, or -EINVAL (FLAGS; TARGET is NULL: a task without memory
 * of its own), -EPERM (MPOL_MF_MOVE_ALL without MM_CAP_SYS_NICE), -EFAULT (an
 * array), -ENODEV (a node without memory): statuses before it are written. The
 * caller has found TARGET, the memory of the process that was named, and
 * checked the right to it (ESRCH, EPERM).
 */
struct mm_move_pages {
	struct mm_struct *target, *local;
	u64 nr;
	uva_t pages, nodes, status;
	u32 flags;
};
s64 kernel_move_pages(const struct mm_move_pages *a) MM_MUST_CHECK;

/*
 * kernel_migrate_pages: migrate_pages(2): the pages of TARGET that lie on a
 * node of OLD_NODES go to the node of NEW_NODES in the same place of the
 * order. Returns how many could not be moved: held, or others' too, without
 * MM_CAP_SYS_NICE; or -ENOMEM, an error of reading the sets, -EINVAL (no node
 * of NEW_NODES has memory; TARGET is NULL), -EPERM (NEW_NODES names nodes
 * without memory, without MM_CAP_SYS_NICE). TARGET as above.
 */
s64 kernel_migrate_pages(struct mm_struct *target, struct mm_struct *local,
			 u64 maxnode, uva_t old_nodes,
			 uva_t new_nodes) MM_MUST_CHECK;

#endif
