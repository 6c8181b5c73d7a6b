/* SPDX-License-Identifier: MIT */
/*
 * slab.h - the slab allocator's structures, and what higher floors and tests
 * may ask of it beyond mmkit/slab.h. Theory: slab.c.
 */
#ifndef MM_KMEM_SLAB_H
#define MM_KMEM_SLAB_H

#include <mmkit/memory_hotplug.h>
#include <mmkit/port.h>
#include <mmkit/shrinker.h>
#include <mmkit/slab.h>

#include "base/list.h"
#include "base/rwsem.h"
#include "base/seqbuf.h"
#include "base/spinlock.h"
#include "base/stack_depot.h"
#include "kmem/percpu.h"
#include "kmem/slab_layout.h"
#include "kmem/vmalloc.h"
#include "phys/page.h"

#ifndef KMEM_MAX_CACHES	    /* a build of one's own may be smaller */
#define KMEM_MAX_CACHES 512 /* a power of two: part of a frame's mark */
#endif
#ifndef KMEM_ACCOUNT /* a build of one's own may have no groups */
#define KMEM_ACCOUNT 1
#endif
#ifndef KMEM_KMALLOC /* in a build of one's own nobody may call kmalloc() */
#define KMEM_KMALLOC 1
#endif
#define SLUB_DEBUG_RULES 8
#define SLUB_DEBUG_NAME	 32
#define KMALLOC_MAX_SIZE (PAGE_SIZE << 10)

/* The array's word while somebody works on it: less than any count, and than
 * none; as 32 bits without a sign, beyond every array. */
#define SHEAF_LOCKED UINT64_MAX

/*
 * What one CPU has of one cache; objects of the array stand behind it. Made
 * when the CPU uses the cache often enough to be worth it; until then, and
 * for threads without a CPU, kmem_sys.cpu_none stands in, whose array is
 * locked for ever.
 *
 * (T) whoever took the array's word; (L) lock; (B) constant once made.
 */
struct kmem_cache_cpu {
	u64 top;	   /* objects in the array, or SHEAF_LOCKED: an index */
	s32 cap;	   /* (B) places in the array */
	s32 mark;	   /* (B) of frames whose objects may go there */
	u32 nr_free;	   /* (L) objects on freelist */
	spinlock_t lock;   /* the rest; interrupts off */
	u32 partial;	   /* (L) frozen slabs with free objects: frame, ... */
	void *freelist;	   /* (L) objects of slab, for this CPU alone */
	struct page *slab; /* (L) the frozen slab they are from, or NULL */
	u32 nr_partial;	   /* (L) ... linked by next: how many */
	u32 fresh;	   /* (L) objects at its end that are not linked yet */
	s64 nid;	   /* (B) the CPU's node with memory; never an object */
};

MM_STATIC_ASSERT(sizeof(struct kmem_cache_cpu) == 64, "a line, then the array");

struct slab_barn;

/* (N) list_lock, (A) atomic. */
struct kmem_cache_node {
	spinlock_t list_lock;
	struct page_list partial; /* (N) slabs with free objects, not frozen */
	struct page_list full;	  /* (N) debug caches only: the others */
	struct slab_barn *barn;	  /* only appears; NULL: none */
	u64 nr_slabs;		  /* (A) */
	u64 nr_objects;		  /* (A) in these, used or not */
};

struct kmem_cache {
	struct kmem_cache_cpu *cpu[MM_NR_CPUS + 1]; /* never NULL */
	const char *name;
	u32 flags;
	u16 id; /* index in kmem_sys.caches */
	u16 min_partial;
	u32 object_size; /* usable bytes: the largest that was asked for */
	u32 cpu_partial; /* slabs that a CPU may keep frozen */
	u32 nr_direct;	 /* allocations past the arrays; stops growing soon */
	s32 refcount;	 /* (caches_lock) users, if several names share it */
	u32 align_asked;
	s32 sheaf_cap; /* places of a CPU's array; 0: no arrays */
	u32 barn_cap;  /* places of a node's barn; 0: no barns */
	u32 nr_spills; /* (A) of arrays, while there is no barn */
	bool dying;    /* (caches_lock) kmem_cache_destroy() is at it */
	bool own_used; /* (A) the part behind it is some CPU's */
	struct slab_layout layout;
	void (*ctor)(void *);
	u64 secret; /* of the links, if they are hardened; else 0 */
	/* CPUs' parts once objects are charged one by one (slab_memcg.c): the
	 * fast ways find gates in cpu[]. NULL: they are in cpu[]. */
	struct kmem_cache_cpu **parts;
	u32 gated; /* (A) somebody sees to parts */
	struct kmem_cache_node *node[MM_MAX_NODES];
};

/*
 * With few_slabs what the cache's first node and the first CPU that uses it
 * need stands behind its descriptor: for a machine of few caches, whose parts
 * would be a few lines on a page each.
 */
struct kmem_cache_whole {
	struct kmem_cache cache;
	struct kmem_cache_node node;
	struct kmem_cache_cpu part MM_ALIGNED(MM_CACHELINE); /* the array */
};

struct obj_cgroup;

/* Who charges objects; there is none where there are no groups. */
struct slab_account_ops {
	/* NR objects of S to the running task's group: *PAYER, NULL: nobody.
	 * 0 or -ENOMEM. */
	int (*charge)(const struct kmem_cache *s, gfp_t gfp, size_t nr,
		      struct obj_cgroup **payer);
	/* P[0 .. NR), each charged to PAYER, know it from now on; one for
	 * which there is no memory is given back its charge. */
	void (*assign)(struct kmem_cache *s, struct obj_cgroup *payer,
		       gfp_t gfp, size_t nr, void **p);
	/* Charges of NR objects that were not to be had. */
	void (*cancel)(const struct kmem_cache *s, struct obj_cgroup *payer,
		       size_t nr);
	/* OBJ of SLAB, which has a vector, is free. */
	void (*uncharge)(const struct kmem_cache *s, struct page *slab,
			 const void *obj);
	/* S, new and accounted, goes the slow ways. 0 or -ENOMEM. */
	int (*gate)(struct kmem_cache *s);
};

/* One "OPTIONS,NAMES" of slub_debug=. */
struct slub_debug_rule {
	u32 flags;
	char name[SLUB_DEBUG_NAME]; /* with an optional star; "": all */
};

/* A word that the fast paths test: see struct base_gate. */
union kmem_gate {
	u64 all;
	u32 low;
};

/* What inline code reads. */
struct kmem_hot {
	union kmem_gate gfp_slow; /* requests that the fast path leaves alone */
	union kmem_gate pfn_end;  /* frees beyond, too; 0 while watched */
	union kmem_gate kmalloc_end; /* sizes from here on, too */
	union kmem_gate check_frees; /* 1: look at each object's frame */
	struct kmem_cache *cache_of[KMEM_MAX_CACHES]; /* by mark; never NULL */
};

struct shrinker_state {
	struct rw_semaphore lock;
	struct shrinker *first; /* (lock) in order of registration */
	u32 next_id;		/* (lock) */
};

/* As in struct phys_state: what every machine writes stands together. */
struct kmem_state {
#if KMEM_KMALLOC
	struct kmalloc_table kmalloc; /* (B) first: mmkit/slab.h */
#endif
	struct kmem_cache_cpu cpu_none; /* stands in for what is not made */
	const struct slab_account_ops *account; /* NULL until there is a group
						 */
	bool account_done;	/* all accounted caches have gates */
	struct kmem_cache none; /* the cache of frames that have none */
	spinlock_t caches_lock;
	struct kmem_cache *caches[KMEM_MAX_CACHES];
	struct kmem_cache boot_cache; /* the cache of caches */
	struct kmem_cache boot_node;  /* the cache of cache nodes */
	/* The first node's parts of these two. */
	struct kmem_cache_node boot_parts[2];
	u32 nr_boot_parts;
	struct kmem_cache *part_cache; /* the cache of CPU parts */
	struct kmem_cache *barn_cache; /* the cache of barns */
	struct shrinker barn_shrinker;
	struct memory_notifier hotplug; /* nodes that get their first memory */
	struct slab_boot_params params; /* (B) */
	struct slub_debug_rule rules[SLUB_DEBUG_RULES];
	u32 nr_rules;
	bool debug_keep_order; /* (B) slub_debug=O */
	u64 nr_bugs;	       /* (A) reports of corruption or misuse */
	u64 large_pages;       /* (A) that kmalloc() gave as they are */
	u64 nr_quarantined;    /* (A) slabs set aside */
	u64 nr_depot;	       /* (A) frames that the stack depot was fed */
	const struct kvmalloc_ops *kvmalloc; /* (B) */
	struct shrinker_state shrink;
	struct kmem_hot hot;
	struct vmalloc_state vm;
	struct pcpu_state pcpu;
#if !KMEM_KMALLOC
	struct kmalloc_table kmalloc; /* out of the way of what is used */
#endif
	/* Stand in for all of gated caches, one per CPU: nobody's line. Last:
	 * nothing else is beside what only groups need. */
	struct kmem_cache_cpu
		cpu_gate[KMEM_ACCOUNT ? MM_NR_CPUS : 1] MM_ALIGNED(
			MM_CACHELINE);
};

extern struct kmem_state kmem_sys;

/* kmem_reset: forget everything; for a fresh machine. */
void kmem_reset(void);

/*
 * kmem_init: the allocator works from here on. Needs the page allocator.
 * PARAMS may be NULL. Returns 0, -EINVAL (a slub_debug= that is not
 * understood; logged) or -ENOMEM. Context: boot.
 */
int kmem_init(const struct slab_boot_params *params) MM_MUST_CHECK;

/* Counted at one moment; exact while nobody allocates or frees. */
struct slab_count {
	u64 slabs, objects; /* all of the cache, and their objects */
	u64 active;	    /* objects handed out */
	u64 partial;	    /* slabs on the nodes' lists */
	u64 cpu_slabs;	    /* slabs frozen for a CPU */
	u64 in_arrays;	    /* free objects in the CPUs' arrays and in barns */
};

/* slab_counts: count S. Any context that may take the cache's locks. */
void slab_counts(struct kmem_cache *s, struct slab_count *out);

/*
 * slab_check: verify all slabs of S that can be found without a search;
 * panics with the finding. Other CPUs may run, but not use S.
 */
void slab_check(struct kmem_cache *s);

/*
 * slab_validate: look at every object of a debug cache's slabs and report
 * what is wrong. Returns how many slabs were found bad (and set aside).
 */
u64 slab_validate(struct kmem_cache *s);

enum track_item { TRACK_ALLOC, TRACK_FREE };

/* Objects in use that share a place: where they were allocated, or where they
 * were freed the last time before (addr 0: never). Ages are milliseconds. */
struct slab_location {
	u64 addr;
	depot_stack_handle_t stack;
	s32 min_pid, max_pid;
	u64 count;
	u64 sum_age, min_age, max_age;
	u64 nodes; /* bit per node */
	struct port_cpumask cpus;
};

/*
 * slab_locations: the places of S, which has SLAB_STORE_USER, into OUT[MAX],
 * that of most objects first; *NR: how many. False: there are more. Any
 * context that may take the nodes' locks.
 */
bool slab_locations(struct kmem_cache *s, enum track_item item,
		    struct slab_location *out, u32 max, u32 *nr);

/* slab_for_each: call FN for each cache under the caches lock. */
void slab_for_each(void (*fn)(struct kmem_cache *s, void *arg), void *arg);

/*
 * slab_for_each_sleep: the same without the lock, for FN that takes locks or
 * sleeps; no cache may be destroyed meanwhile by others.
 */
void slab_for_each_sleep(void (*fn)(struct kmem_cache *s, void *arg),
			 void *arg);

/*
 * slab_alloc_some: up to NR objects of S into P, past the arrays: those that
 * the running CPU can have without a new slab, be they fewer; if there are
 * none, of a new one. Returns how many; 0: no memory. Of what has no CPU part
 * and of debug caches one at a time. Contents and context as
 * kmem_cache_alloc_bulk().
 */
u32 slab_alloc_some(struct kmem_cache *s, gfp_t gfp, u32 nr, void **p);

/* slab_take_some: the same, but never of a new slab. 0: there are none, or S is
 * a debug cache. */
u32 slab_take_some(struct kmem_cache *s, u32 nr, void **p);

/* slab_has_free: could slab_alloc_some() do without a new slab on this CPU? A
 * hint. Context: as kmem_cache_alloc_bulk(). */
bool slab_has_free(struct kmem_cache *s);

/* slab_drain: give what all CPUs keep of S back to its nodes. Other CPUs may
 * go on and keep new things. Context: thread. */
void slab_drain(struct kmem_cache *s);

/* slab_drain_cpu: give what CPU, which runs nobody, keeps of all caches back to
 * their nodes. Context: thread, hotplug lock held. */
void slab_drain_cpu(int cpu);

/* kmem_part_frames: frames that hold CPU parts and barns, which stay while
 * their caches do, and stacks of users, which stay for ever: how much less is
 * free after a cache was used more than a little. */
u64 kmem_part_frames(void);

/* kmem_account_init: objects are charged to groups once there are some. At
 * boot, after memcg_init() and kmem_init(). */
void kmem_account_init(void);

/* slab_count_payers: each obj_cgroup that pays for objects of SLAB has them
 * added to its audit_bytes. Nobody allocates or frees. */
void slab_count_payers(struct page *slab);

/* slab_is_debug: does S check its objects? */
static inline bool slab_is_debug(const struct kmem_cache *s)
{
	return (s->flags & SLAB_DEBUG_FLAGS) != 0;
}

#endif
