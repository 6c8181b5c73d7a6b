/* SPDX-License-Identifier: MIT */
/*
 * ksm.h - kernel same-page merging: what the parts of the scanner share.
 * Theory: src/merge/ksm_merge.c.
 */
#ifndef MM_MERGE_KSM_H
#define MM_MERGE_KSM_H

#include <mmkit/ksm.h>
#include <mmkit/port.h>

#include "base/list.h"
#include "base/mutex.h"
#include "base/rbtree.h"
#include "base/spinlock.h"
#include "base/wait.h"
#include "phys/page.h"
#include "space/rmap.h"
#include "space/space.h"

/*
 * (K) ksm_sys.mutex; (P) also the lock of the page that NODE describes: the
 * list of who shares a page is read by reverse-map walks under that lock alone.
 */

/* Where an item is. */
enum ksm_item_state { KSM_NOWHERE, KSM_UNSTABLE, KSM_STABLE };

/* One page's place in an address space, since it was first looked at. All (K).
 */
struct ksm_rmap_item {
	struct ksm_rmap_item *next; /* of the same space, by address */
	struct mm_struct *mm;
	uva_t address;
	u64 pgoff;		   /* STABLE: as anon_vma counts pages */
	struct anon_vma *anon_vma; /* STABLE: a reference */
	union {
		struct rb_node rb; /* UNSTABLE: in the tree of nid */
		struct {
			struct hlist_node link; /* (P) STABLE: in head->items */
			struct ksm_stable_node *head;
		};
	};
	u32 oldchecksum; /* of the contents at the last look */
	u32 seqnr;	 /* UNSTABLE: of the scan that put it there */
	u8 state;	 /* enum ksm_item_state */
	u8 nid;
	u8 age;		    /* scans that did not merge it, 255 at most */
	u8 remaining_skips; /* scans to pass it over */
};

/*
 * A shared page; or, a chain, several of the same contents, of which each has
 * as many users as max_page_sharing allows. All (K).
 */
struct ksm_stable_node {
	struct rb_node rb;	    /* in the stable tree of nid, if no dup */
	struct hlist_node dup_link; /* in its chain's dups; unhashed: no dup */
	struct ksm_stable_node *chain_of; /* a dup's chain */
	struct hlist_head items; /* (P) rmap_items; of a chain: its dups */
	union {
		u64 kpfn;	      /* (P) the frame; no reference is held */
		u64 chain_prune_time; /* ns: when dups were last looked through
				       */
	};
	s32 rmap_hlist_len; /* items; KSM_CHAIN: a chain */
	s16 nid;
	bool in_tree; /* or in a chain */
};
#define KSM_CHAIN (-1024)
/* kpfn while the page moves to another frame. */
#define KSM_MOVING (~0UL)

static inline bool ksm_is_chain(const struct ksm_stable_node *node)
{
	return node->rmap_hlist_len == KSM_CHAIN;
}

/* An address space that is scanned. (S) ksm_sys.slots_lock. */
struct ksm_mm_slot {
	struct list_head list;		 /* (S) in the order of the scan */
	struct list_head dead_link;	 /* (S) its space is gone */
	struct mm_struct *mm;		 /* a reference to the structure */
	struct ksm_rmap_item *rmap_list; /* (K) */
};

/* Where the scan is. All (K). */
struct ksm_scan {
	struct ksm_mm_slot *slot;  /* NULL: between two full scans */
	uva_t address;		   /* the next to be looked at */
	struct ksm_rmap_item **at; /* the link that leads to its item */
	u32 seqnr;		   /* full scans begun */
	bool ends;		   /* the last space went: this one is over */
};

/* Bits of run. */
#define KSM_RUN_STOP	0u
#define KSM_RUN_MERGE	1u
#define KSM_RUN_UNMERGE 2u

enum ksm_advisor { KSM_ADVISOR_NONE, KSM_ADVISOR_SCAN_TIME };

struct ksm_advisor_state {
	enum ksm_advisor mode;
	u32 max_cpu; /* per cent of one CPU */
	u64 min_pages_to_scan, max_pages_to_scan;
	u64 target_scan_time; /* seconds */
	u64 start_ns;	      /* of the full scan that is under way */
	u64 busy_ns;	      /* of it, so far */
	u64 change;	      /* average of what was missing, per cent */
};

struct merge_state {
	struct mutex
		mutex; /* one scan, or one change of the trees, at a time */
	spinlock_t slots_lock;
	struct list_head slots; /* (S) */
	struct list_head dead;	/* (S) slots whose spaces are gone */
	u32 nr_dead;		/* (S), (A) */
	struct ksm_scan scan;
	struct rb_root stable[MM_MAX_NODES], unstable[MM_MAX_NODES]; /* (K) */
	/* (K) nodes for which memory was had before it is needed */
	struct ksm_stable_node *reserve[2];
	struct kmem_cache *item_cache, *node_cache, *slot_cache;
	/* Counters: (K); read without. */
	u64 pages_shared, pages_sharing, pages_unshared, rmap_items;
	u64 pages_scanned, pages_skipped, full_scans;
	u64 stable_node_chains, stable_node_dups;
	u64 pages_compared; /* comparisons of two whole or partial pages */
	/* Tunables: (K) to write. */
	u32 run, sleep_millisecs, pages_to_scan, max_page_sharing;
	u32 prune_millisecs;
	bool merge_across_nodes, use_zero_pages, smart_scan;
	u32 zero_checksum; /* of a page of zeroes */
	struct ksm_advisor_state advisor;
	/* The daemon. */
	struct port_thread *ksmd;
	wait_queue_head_t wait;
	bool stop;
};

extern struct merge_state merge_sys;

/* merge_reset; merge_init: at boot, 0 or -ENOMEM. */
void merge_reset(void);
int merge_init(void) MM_MUST_CHECK;

/* ---- ksm_mm.c: spaces and their items --------------------------------------
 */

/* ksm_lock: the mutex; _unlock: and what spaces that went have left behind. */
void ksm_lock(void);
void ksm_unlock(void);

int ksm_mm_enter(struct mm_struct *mm) MM_MUST_CHECK;
void ksm_mm_exit(struct mm_struct *mm);

/* ksm_next_slot: after SLOT (NULL: the first), NULL: none. (K) */
struct ksm_mm_slot *ksm_next_slot(struct ksm_mm_slot *slot);
/* ksm_slot_remove: SLOT, without items, goes. (K), and its mm's mmap lock
 * unless that is gone. */
void ksm_slot_remove(struct ksm_mm_slot *slot);

/* ksm_item_get: the item of ADDR, at *AT or after; those before it go. NULL: no
 * memory. *AT leads to it. (K) */
struct ksm_rmap_item *ksm_item_get(struct mm_struct *mm,
				   struct ksm_rmap_item ***at, uva_t addr);
/* ksm_item_unlink: ITEM leaves the tree or the page that it is at. (K) */
void ksm_item_unlink(struct ksm_rmap_item *item);
/* ksm_items_trim: *AT and all after it go. (K) */
void ksm_items_trim(struct ksm_rmap_item **at);

/* ---- ksm_page.c: contents and entries --------------------------------------
 */

u32 ksm_checksum(struct page *page);
/* ksm_compare: as memcmp() of whole pages. */
int ksm_compare(struct page *a, struct page *b);
bool ksm_page_is_zero(struct page *page);

/* ksm_find_vma: the mapping of MM that holds ADDR, if its pages may be merged
 * now; NULL. Mmap lock held. */
struct vm_area_struct *ksm_find_vma(struct mm_struct *mm, uva_t addr);
/* ksm_follow: the page at ADDR of VMA with a reference, if it is of a kind that
 * can be merged; NULL. Mmap lock held. */
struct page *ksm_follow(struct vm_area_struct *vma, uva_t addr);

/*
 * ksm_write_protect: PAGE, locked, held by the caller once, is read-only and
 * clean (PG_dirty set instead) where VMA maps it at ADDR; *ORIG is the entry
 * now. False: it is not there, or somebody else may be writing to it.
 */
bool ksm_write_protect(struct vm_area_struct *vma, uva_t addr,
		       struct page *page, pte_t *orig) MM_MUST_CHECK;
/* ksm_replace: the entry ORIG of ADDR, which maps PAGE, maps KPAGE, shared and
 * locked (NULL: the zero page). False: it changed. PAGE's reference is dropped,
 * but the caller has one. */
bool ksm_replace(struct vm_area_struct *vma, uva_t addr, struct page *page,
		 struct page *kpage, pte_t orig) MM_MUST_CHECK;

/* ---- ksm_stable.c: shared pages ---------------------------------------------
 */

/* page_stable_node: what is kept of PAGE, or NULL: it is not shared. */
static inline struct ksm_stable_node *page_stable_node(const struct page *page)
{
	u64 word = page_mapping_word(page);

	if ((word & PAGE_MAPPING_FLAGS) != PAGE_MAPPING_KSM)
		return NULL;
	return (struct ksm_stable_node *)(uintptr_t)(word &
						     ~PAGE_MAPPING_FLAGS);
}

/* ksm_reserve: the next stable_node_take() and what follows from it need no
 * memory. False: none. (K) */
bool ksm_reserve(void) MM_MUST_CHECK;

/* stable_make: PAGE, locked, write-protected, mapped by VMA where ITEM says, is
 * shared from now on, by ITEM alone; it is in no tree. Memory is reserved. (K)
 */
void stable_make(struct ksm_rmap_item *item, struct vm_area_struct *vma,
		 struct page *page);
/* stable_unmake: the reverse; nobody else has come. (K) */
void stable_unmake(struct ksm_rmap_item *item, struct page *page);
/* stable_insert: PAGE's node, made, enters the tree. (K) */
void stable_insert(struct page *page);
/* stable_append: ITEM shares PAGE, locked, too, from VMA. (K) */
void stable_append(struct ksm_rmap_item *item, struct vm_area_struct *vma,
		   struct page *page);
/* stable_remove_item: ITEM shares its page no longer. (K) */
void stable_remove_item(struct ksm_rmap_item *item);

/* stable_search: a shared page with the contents of PAGE, or PAGE itself if it
 * is shared, with a reference; NULL: none, or all have their full number. (K)
 */
struct page *stable_search(struct page *page);
/* stable_renode: PAGE, shared, moved to another node: so does its place. (K) */
void stable_renode(struct page *page);

/* stable_prune: forget pages that are gone. (K) stable_remove_all: forget all
 * pages; -EBUSY: somebody maps some still. (K) */
void stable_prune(void);
int stable_remove_all(void) MM_MUST_CHECK;

bool ksm_rmap_walk(struct page *page, struct rmap_walk_control *rwc);
void ksm_moving(struct page *page);
void ksm_moved(struct page *page);

/* ksm_tree: which tree a page of node NID is in. */
static inline u32 ksm_tree(int nid)
{
	return READ_ONCE(merge_sys.merge_across_nodes) ? 0 : (u32)nid;
}

/* ---- ksm_merge.c, ksm_scan.c, ksm_advisor.c, ksmd.c -------------------------
 */

/* ksm_cmp_and_merge: PAGE, held, was found where ITEM says. (K) */
void ksm_cmp_and_merge(struct ksm_rmap_item *item, struct page *page);

/* ksm_scan_pages: look at NR pages, as far as the end of a full scan; how many
 * were looked at. Takes the mutex. May sleep. */
u32 ksm_scan_pages(u32 nr);

/* ksm_unmerge_all: no page is shared any more, nothing is known of any. 0,
 * -ENOMEM, -EINTR: as far as it came. (K) */
int ksm_unmerge_all(void) MM_MUST_CHECK;

/* ksm_forget_unstable: the tree of this scan is of no use any more. (K) */
void ksm_forget_unstable(void);

/* A full scan begins, NS were spent scanning, a full scan is over. (K) */
void ksm_advisor_start(void);
void ksm_advisor_busy(u64 ns);
void ksm_advisor_stop(void);
/* ksm_advisor_select: -EINVAL: there is none called NAME. (K) */
int ksm_advisor_select(const char *name) MM_MUST_CHECK;

/* ksmd_run: there is a daemon from now on. 0, -ENOMEM, -EAGAIN. ksmd_wake: what
 * it waits for may have changed. ksmd_stop: none, when it returns. */
int ksmd_run(void) MM_MUST_CHECK;
void ksmd_wake(void);
void ksmd_stop(void);

/* ksm_check: trees, lists and counters agree. Panics. Takes the mutex. */
void ksm_check(void);

/* ksm_objects: how many objects of each kind spaces and trees lead to, and kept
 * for later; what else is allocated has no owner. False: there are no caches.
 * Takes the mutex. */
struct ksm_objects {
	u64 slots, items, nodes;
};
bool ksm_objects(struct ksm_objects *n) MM_MUST_CHECK;

#endif
