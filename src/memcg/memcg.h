/* SPDX-License-Identifier: MIT */
/*
 * memcg.h - memory control groups: who belongs together, what they use, and
 * how much they may. The outer interface is <mmkit/memcg.h>. Theory: memcg.c
 * (groups and their lives), charge.c (counters and batches), objcg.c (objects),
 * protect.c (min and low), limits.c (max and high), psi.c (time lost).
 */
#ifndef MM_MEMCG_MEMCG_H
#define MM_MEMCG_MEMCG_H

#include <mmkit/gfp.h>
#include <mmkit/memcg.h>
#include <mmkit/task.h>

#include "base/epoch.h"
#include "base/list.h"
#include "base/mutex.h"
#include "base/spinlock.h"
#include "memcg/objcg.h"
#include "memcg/psi.h"
#include "phys/group.h"

/* Frames that one step takes from the counters ahead of need. */
#define MEMCG_BATCH 32u

/* Pages used by a group and all below it, and how many may be. (A) atomic,
 * (T) tree lock to write, read anywhere. */
struct memcg_counter {
	s64 usage; /* (A) */
	u64 max;   /* (T) MEMCG_NO_LIMIT: none */
	u64 high;  /* (T) likewise */
	u64 peak;  /* (A) the most that usage was */
};

enum memcg_event {
	MEMCG_LOW,
	MEMCG_HIGH,
	MEMCG_MAX,
	MEMCG_OOM,
	MEMCG_OOM_KILL,
	MEMCG_OOM_GROUP_KILL,
	MEMCG_SWAP_HIGH,
	MEMCG_SWAP_MAX,
	MEMCG_SWAP_FAIL,
	NR_MEMCG_EVENTS
};

/* Longer names are cut. */
#define MEMCG_NAME 64

struct memcg {
	struct page_group page;		    /* first: found by its id */
	struct memcg *parent;		    /* constant; NULL: below the root */
	struct list_head sibling, children; /* (T) */
	u32 depth;			    /* constant; below the root: 1 */
	bool online;	 /* (T) may get tasks and groups below */
	bool oom_group;	 /* (T) killed together or not at all */
	u32 nr_tasks;	 /* (T) own */
	u32 nr_children; /* (T) online ones */
	s64 refs;	 /* (A) see memcg.c */
	s64 watchers;	 /* (A) triggers (psi_trigger.c) */
	struct memcg_counter memory, swap;
	u64 min, low;		     /* (T) pages asked to be kept */
	s64 own_swap;		     /* (A) slots that are this group's own */
	u64 events[NR_MEMCG_EVENTS]; /* (A) with those below */
	u64 events_local[NR_MEMCG_EVENTS]; /* (A) own */
	struct obj_cgroup *objcg; /* whom its tasks' objects name; NULL: offline
				   */
	struct list_head objcgs;  /* (T) all that it pays for */
	struct memcg_psi psi;
	u16 reclaim_pos[MM_MAX_NODES]; /* where the last round ended, by node */
	char name[MEMCG_NAME]; /* (T) for reports; empty: nobody named it */
	u64 audit_pages;       /* the audit's own: frames of the group */
	u64 bytes;	       /* constant: of its block, counters and all */
	struct epoch_head epoch;
};

/* One CPU's frames, and bytes of frames, that are charged and given out to
 * nobody yet. */
struct memcg_stock {
	spinlock_t lock;
	u32 nr;			   /* (lock) */
	struct memcg *memcg;	   /* (lock) whose; NULL if nr is 0 */
	u32 bytes;		   /* (lock) of objcg */
	struct obj_cgroup *objcg;  /* (lock) whose, with a reference; NULL */
	s64 items[NR_OBJCG_ITEMS]; /* (lock) changes of its items */
} MM_ALIGNED(MM_CACHELINE);

/* What higher floors do for a group that is at its limit. */
struct memcg_ops {
	/* Take NR pages at least of MEMCG and below; how many it were. May
	 * sleep. */
	u64 (*reclaim)(struct memcg *memcg, u64 nr, gfp_t gfp, bool may_swap);
	/* Nothing is left to take: end somebody in it. False: there is
	 * nobody. May sleep. */
	bool (*oom)(struct memcg *memcg, gfp_t gfp, unsigned int order);
};

struct memcg_state {
	spinlock_t lock; /* (T) the tree, its settings, tasks' membership */
	struct list_head top;	/* (T) groups right below the root */
	u32 nr_groups;		/* (T) all that exist, dying ones too */
	u32 nr_online;		/* (T) of these */
	u16 last_id;		/* (T) ids are given out in turn */
	u32 nr_protected;	/* (T) groups with min or low */
	struct mutex make_lock; /* groups begin, nodes come */
	struct pglist_data *pgdat[MM_MAX_NODES]; /* (make_lock) groups' */
	const struct memcg_ops *ops;
	struct list_head root_objcgs; /* (T) that nobody pays for any more */
	struct list_head objcg_pages; /* (T) frames of obj_cgroups */
	int (*objects_start)(void);
	u16 root_pos[MM_MAX_NODES]; /* (A) as memcg.reclaim_pos */
	u64 root_events[NR_MEMCG_EVENTS];
	struct memcg_psi root_psi;
	void (*on_change)(void);
	struct mutex monitor_lock, trigger_lock; /* psi_trigger.c */
	struct list_head triggers;		 /* (trigger_lock) */
	struct port_thread *monitor;		 /* (monitor_lock) */
	bool monitor_stop;
	struct memcg_stock stock[MM_NR_CPUS];
};

extern struct memcg_state memcg_sys;

/* memcg_reset: forget all. memcg_init: at boot, with frames at hand. */
void memcg_reset(void);
void memcg_init(void);
void memcg_set_ops(const struct memcg_ops *ops);

/* memcg_any: is there a group beside the root? */
static inline bool memcg_any(void)
{
	return READ_ONCE(memcg_sys.nr_groups) != 0;
}

/* ---- groups and references (memcg.c) ----------------------------------------
 *
 * NULL stands for the root everywhere.
 */

/* memcg_of_page_group: the group of which G is part. */
static inline struct memcg *memcg_of(struct page_group *g)
{
	return (struct memcg *)g;
}

/* memcg_get: the group ID with a reference; NULL: the root, or none. Any
 * context. memcg_hold: one more of a group that is held. */
struct memcg *memcg_get(u16 id);
void memcg_hold(struct memcg *memcg, s64 n);
/* memcg_put: N references less; the last one ends the group. Any context. */
void memcg_put(struct memcg *memcg, s64 n);

/* memcg_id: 0 for NULL. */
static inline u16 memcg_id(const struct memcg *memcg)
{
	return memcg ? memcg->page.id : 0;
}

/* memcg_path: MEMCG (NULL: the root) as a path, "/" and each group's name, or
 * its number if it has none, to BUF[SIZE], which is returned; what does not fit
 * is cut, and so are more than 16 groups. MEMCG is held. Any context. */
const char *memcg_path(const struct memcg *memcg, char *buf, size_t size);

/* memcg_below: is MEMCG ROOT itself or below it? */
bool memcg_below(const struct memcg *memcg, const struct memcg *root);

/*
 * memcg_next: the group after PREV in the order parent, then children, of ROOT
 * (NULL: all), which the caller holds; PREV NULL: ROOT itself, or the first.
 * NULL: PREV was the last. Takes a reference and drops PREV's: a walk that is
 * broken off puts the last one. Dying groups are part of it.
 */
struct memcg *memcg_next(struct memcg *root, struct memcg *prev);

/* memcg_step: the same without references. Tree lock held. */
struct memcg *memcg_step(struct memcg *root, struct memcg *prev);

/* memcg_task_group: TASK's group with a reference. */
struct memcg *memcg_task_group(const struct mm_task *task);

/* memcg_fork: CHILD, in no group, joins PARENT's. memcg_task_leave: TASK ends:
 * it is in the root from now on. */
void memcg_fork(struct mm_task *child, const struct mm_task *parent);
void memcg_task_leave(struct mm_task *task);

/* memcg_task_count: N times ITEM (enum group_event_item) to TASK's group. */
void memcg_task_count(const struct mm_task *task, int item, s64 n);

/* memcg_stat: ITEM of MEMCG and all below it, those that ended included.
 * memcg_node_stat: on node NID alone. */
s64 memcg_stat(struct memcg *memcg, int item);
s64 memcg_node_stat(struct memcg *memcg, int nid, int item);
/* memcg_lru: pages of list LRU of MEMCG (NULL: of all groups) and below, on
 * node NID; -1: on all. */
u64 memcg_lru(struct memcg *memcg, enum lru_list lru, int nid);

/* memcg_event: EVENT happened to MEMCG: its own, and those above it count. */
void memcg_event(struct memcg *memcg, enum memcg_event event);

/* memcg_changed: a figure that somebody may wait for is another one. */
static inline void memcg_changed(void)
{
	void (*fn)(void) = READ_ONCE(memcg_sys.on_change);

	if (fn)
		fn();
}

/* memcg_check: the tree, references and counters against each other. Nobody
 * charges meanwhile. Panics with the finding. */
void memcg_check(void);

/* ---- charging (charge.c) ----------------------------------------------------
 */

/*
 * memcg_charge: NR frames to MEMCG, which the caller holds. 0, -ENOMEM: over a
 * limit that could not be kept. May sleep if GFP has __GFP_DIRECT_RECLAIM.
 * memcg_uncharge: the way back; any context.
 */
int memcg_charge(struct memcg *memcg, u64 nr, gfp_t gfp) MM_MUST_CHECK;
void memcg_uncharge(struct memcg *memcg, u64 nr);

/* memcg_move_in: NR frames of a group right below are MEMCG's own;
 * memcg_move_out: of those that it had. Its usage counts them as before. Tree
 * lock held. */
static inline void memcg_move_in(struct memcg *memcg, s64 nr)
{
	memcg_hold(memcg, nr);
}
void memcg_move_out(struct memcg *memcg, s64 nr);

/* memcg_stock_take: this CPU's stock, locked, on the CPU until
 * memcg_stock_give(); NULL: whom we interrupted has it, or a drain. */
struct memcg_stock *memcg_stock_take(void);
void memcg_stock_give(struct memcg_stock *s);

/* memcg_own_pages: frames charged to MEMCG itself. Exact when nobody charges.
 */
u64 memcg_own_pages(const struct memcg *memcg);

/* memcg_drain: what CPUs keep of charges of ROOT and below goes back. */
void memcg_drain(const struct memcg *root);

/* memcg_counters: COUNTER of MEMCG: memory, or swap. */
static inline u64 memcg_usage(const struct memcg_counter *c)
{
	s64 n = READ_ONCE(c->usage);

	return n > 0 ? (u64)n : 0;
}

/* memcg_margin: frames that MEMCG may still take before a max binds. */
u64 memcg_margin(const struct memcg *memcg);

/*
 * memcg_swap_charge: NR slots of swap to the group ID. 0, -ENOMEM: at swap.max.
 * memcg_swap_failed: there was no slot for it at all. memcg_swap_uncharge: they
 * are free. Any context. memcg_swap_left: slots that
 * MEMCG may still take, at most LIMIT.
 */
int memcg_swap_charge(u16 id, u64 nr) MM_MUST_CHECK;
void memcg_swap_failed(u16 id);
void memcg_swap_uncharge(u16 id, u64 nr);
/* memcg_swap_full: the group ID, which has a slot, or one above it, uses half
 * of what it may (swap.max, or swap.high). Any context. */
bool memcg_swap_full(u16 id);
u64 memcg_swap_left(const struct memcg *memcg, u64 limit);

/* memcg_swapin_group: who pays for a page that comes back from a slot of the
 * group ID: that group, or the running task's if it was removed. */
u16 memcg_swapin_group(u16 id);

/* ---- nodes (node.c) ---------------------------------------------------------
 */

/* memcg_node_bytes: what a group has for one node. memcg_node_init: that stands
 * at AT, zeroed, for MEMCG on PGDAT. Any context. */
u64 memcg_node_bytes(void);
void memcg_node_init(struct memcg *memcg, struct pglist_data *pgdat, void *at);
/* memcg_node_exit: MEMCG, which nobody can find, has lists no more. */
void memcg_node_exit(struct memcg *memcg);
/* charge_ops' (phys/alloc.h). */
int memcg_node_add(struct pglist_data *pgdat);
void memcg_node_drop(struct pglist_data *pgdat);

/* ---- limits (limits.c) ------------------------------------------------------
 */

/* memcg_handle_over_high: the running task used more than memory.high of its
 * group: it reclaims, and waits the longer the more it is over. May sleep. */
void memcg_handle_over_high(void);

/* memcg_return: the running task goes back to its program. May sleep. */
static inline void memcg_return(void)
{
	if (unlikely(port_current()->over_high))
		memcg_handle_over_high();
}

/* ---- protection (protect.c) -------------------------------------------------
 */

struct memcg_protection {
	u64 usage, min, low; /* pages; effective values */
};

/* memcg_protection: what MEMCG is promised against reclaim at ROOT. */
void memcg_protection(struct memcg *root, struct memcg *memcg,
		      struct memcg_protection *out);

#endif
