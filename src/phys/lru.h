/* SPDX-License-Identifier: MIT */
/*
 * lru.h - the lists on which reclaimable pages wait, per node (and group).
 *
 * Storage and counters live here; which list a page belongs on, and which
 * page goes next, is the replacement policy's business: it registers a
 * struct lru_ops. With no policy registered pages are kept on the lists in
 * the order of arrival, so that this floor can be tested alone.
 *
 * struct lru_state is the member "lru" of phys_sys; struct lruvec is a member
 * of pglist_data.
 */
#ifndef MM_PHYS_LRU_H
#define MM_PHYS_LRU_H

#include "base/list.h"
#include "base/spinlock.h"
#include "phys/page.h"

struct page_group;
struct pglist_data;
struct scan_control;
struct lru_ops;
struct lru_census;

enum lru_list {
	LRU_INACTIVE_ANON,
	LRU_ACTIVE_ANON,
	LRU_INACTIVE_FILE,
	LRU_ACTIVE_FILE,
	LRU_UNEVICTABLE,
	NR_LRU_LISTS
};

#define LRU_ACTIVE 1 /* INACTIVE_x + LRU_ACTIVE is ACTIVE_x */
#define LRU_FILE   2

#define for_each_evictable_lru(l) for (l = 0; l <= LRU_ACTIVE_FILE; l++)

/* Zones of a node: MAX_NR_ZONES of phys/mmzone.h. */
#ifdef MM_ONLY_NORMAL
#define LRU_NR_ZONES 1
#else
#define LRU_NR_ZONES 5
#endif

/* Bytes that a policy has for itself in each lruvec. */
#ifndef LRU_POLICY_ROOM /* a build without policies has no use for it */
#define LRU_POLICY_ROOM 1280
#endif

/*
 * One set of lists. (L) lock, taken with interrupts off because the end of a
 * page's write rotates it; (A) atomic.
 */
struct lruvec {
	spinlock_t lock;
	struct page_list lists[NR_LRU_LISTS]; /* (L) head = most recent */
	/* (L) how many of a list are frames of each of the node's zones */
	u64 zone_nr[LRU_NR_ZONES][NR_LRU_LISTS];
	u64 anon_cost, file_cost; /* (L) what reclaim of each cost lately */
	u64 nonresident_age;	  /* (A) evictions + activations */
	u64 refaults[2];	  /* (L) anon, file, at last look */
	struct pglist_data *pgdat;
	const struct lru_ops *ops;	/* (L) whose the evictable pages are */
	const struct lru_ops *next_ops; /* (L) whose they will be; or NULL */
	struct page_list moving;	/* (L) pages between two policies */
	struct list_head all;		/* lru_state.all_lock */
	u64 room[LRU_POLICY_ROOM / 8];	/* (L) the policy's own */
	struct page_group *group; /* constant; NULL: the node's own lists */
};

/* Changes with struct lru_ops or struct lruvec: policies in files ask for it.
 */
#define LRU_OPS_VERSION 2u

/*
 * page.policy: values from LRU_BYTE_FLOOR on are no policy's. COLD: of a page
 * that comes onto a list and that somebody knows to be unused: it was
 * deactivated, or was not active with the policy before. MOVING: it stands on
 * lruvec->moving.
 */
#define LRU_BYTE_FLOOR	0xf0u
#define LRU_BYTE_MOVING 0xfeu
#define LRU_BYTE_COLD	0xffu

/* Bits of what a policy wants to know about a page when it comes back. */
#define LRU_COOKIE_BITS 32

/*
 * The door of a replacement policy. All but scan and pageout are called with
 * the lruvec lock held; none may sleep except those two. What may be NULL says
 * so. A policy never sees unevictable pages.
 *
 * A policy keeps pages on the lruvec's lists or on lists of its own in room[];
 * page.policy is its own for each page, and begins as 0 or LRU_BYTE_COLD. Both
 * are void once
 * lruvec->ops is not the policy any more, which a scan must look at whenever it
 * has taken the lock: policies are exchanged at run time. A page on no list
 * (isolated meanwhile) may bring a byte that another policy wrote.
 */
struct lru_ops {
	const char *name;
	/* LRUVEC, without evictable pages, becomes the policy's. NULL: no room
	 * is used. */
	void (*init)(struct lruvec *lruvec);
	/* LRUVEC, without evictable pages again, goes to another policy or
	 * ends: what room[] refers to is given back. NULL: nothing is. */
	void (*exit)(struct lruvec *lruvec);
	/* Put PAGE, not on any list, on the right one. */
	void (*add)(struct lruvec *lruvec, struct page *page);
	/* Take PAGE off (it is being freed or isolated). */
	void (*del)(struct lruvec *lruvec, struct page *page);
	/* PAGE, on a list, was used: move it as the policy likes. */
	void (*activate)(struct lruvec *lruvec, struct page *page);
	/* PAGE's write is done and reclaim waits for it: next in line. */
	void (*rotate)(struct lruvec *lruvec, struct page *page);
	/* Reclaim from LRUVEC; may sleep; no locks held. Pages freed. */
	u64 (*scan)(struct lruvec *lruvec, struct scan_control *sc);
	/*
	 * Reclaim the isolated PAGES now, used or not; those that stay are
	 * left on PAGES with their isolation reference. May sleep; no locks but
	 * an mmap lock held. Pages freed.
	 */
	u64 (*pageout)(struct page_list *pages);
	/*
	 * PAGE, isolated, is evicted now: what is to be known of it when it
	 * comes back, below 1 << LRU_COOKIE_BITS. NULL: the age of LRUVEC.
	 */
	u64 (*evict)(struct lruvec *lruvec, struct page *page);
	/*
	 * PAGE, new and on no list, was evicted with COOKIE. True: it should
	 * have stayed; it is added as an active page. NULL: as the distance of
	 * its ages says (workingset.c).
	 */
	bool (*refault)(struct lruvec *lruvec, struct page *page, u64 cookie);
	/* The page that would be missed least; NULL: none is left. NULL: pages
	 * are on the lruvec's lists alone. */
	struct page *(*coldest)(struct lruvec *lruvec);
	/* Verify what the policy keeps of its own, and count the pages on its
	 * own lists with lru_check_own(). NULL: nothing. */
	void (*check)(struct lruvec *lruvec, struct lru_census *census);
};

#define LRU_BATCH 15

/* Pages on their way to a list; each holds a reference. (B) batch lock. */
struct lru_batch {
	spinlock_t lock;
	u32 nr;	  /* (B) */
	u32 full; /* (B) when it is emptied; LRU_BATCH, 1 */
	struct page *pages[LRU_BATCH]; /* (B) */
} MM_ALIGNED(MM_CACHELINE);

struct lru_state {
	const struct lru_ops *ops; /* (all_lock) what new lruvecs get */
	spinlock_t all_lock;	   /* taken before any lruvec's lock */
	struct list_head all;	   /* lruvecs */
	struct spinlock disable_lock;
	u32 disabled; /* (disable_lock) who wants batches of one */
};

/* lru_init: empty batches of CPUS CPUs, no policy. Called once at boot. */
void lru_init(int cpus);

/* lruvec_init: empty lists for node PGDAT, of GROUP or (NULL) of the root, of
 * the policy of the day. _exit: LRUVEC, which is empty, goes away. */
void lruvec_init(struct lruvec *lruvec, struct pglist_data *pgdat,
		 struct page_group *group);
void lruvec_exit(struct lruvec *lruvec);

/*
 * lru_register: make OPS the policy of every lruvec; the table must outlive the
 * machine. Pages move over from the coldest to the hottest, active ones as
 * such, a few with each hold of an lruvec's lock (lru.c, 3a); all have when it
 * returns, unless somebody registers another one meanwhile. Any context that
 * may take that lock; does not fail.
 */
void lru_register(const struct lru_ops *ops);
const struct lru_ops *lru_policy(void);

/* lru_exchanging: is LRUVEC between two policies? Without the lock a hint.
 * lru_exchange_help: until it is not; as lru_register(). */
static inline bool lru_exchanging(const struct lruvec *lruvec)
{
	return unlikely(READ_ONCE(lruvec->next_ops) ||
			!page_list_empty(&lruvec->moving));
}

void lru_exchange_help(struct lruvec *lruvec);

/* page_lruvec: the lists that PAGE belongs to, by its node and group. */
struct lruvec *page_lruvec(const struct page *page);

/*
 * lru_note_cost: reclaim of LRUVEC's anonymous pages, or of those of files,
 * cost N more: pages that had to be written, or kept, or that came back and
 * were needed. Both costs are halved when their sum is beyond a quarter of the
 * pages. Any context but with the lruvec's lock held.
 */
void lru_note_cost(struct lruvec *lruvec, bool file, u64 n);

/* node_lru_pages: pages of list LRU on PGDAT, of all groups; zone_lru_pages:
 * those that are frames of its zone ZT. */
u64 node_lru_pages(const struct pglist_data *pgdat, enum lru_list lru);
u64 zone_lru_pages(const struct pglist_data *pgdat, int zt, enum lru_list lru);

/* page_lru: the list that PAGE's flags name. */
enum lru_list page_lru(const struct page *page);

/*
 * lru_cache_add: PAGE becomes reclaimable. Takes a reference for the batch
 * and drops it when the page is on its list. Locks: none that conflict; the
 * page lock may be held. Does not sleep.
 */
void lru_cache_add(struct page *page);

/* lru_cache_add_pages: the same for the NR at PAGES, which the caller keeps
 * references to; they are on their lists at once. */
void lru_cache_add_pages(struct page **pages, u32 nr);
/* lru_trace_insertion: the event mm_lru_insertion of PAGE, on a list now. */
void lru_trace_insertion(const struct page *page);

/*
 * lru_add_block: the 2^order frames from FIRST on, one block that was never
 * split, with one reference and known to nobody, become single pages, charged
 * as the block is, with FLAGS, the mapping word WORD, numbers from INDEX on,
 * a reference and a mapping each, on their list. One pass over descriptors that
 * nobody can hold meanwhile (their counts are 0). False: nothing was done:
 * FIRST is looked at by somebody, or pages are traced one by one.
 */
struct lru_block {
	struct page *first;
	unsigned int order;
	u32 flags; /* bits of PG_* */
	u64 word;
	u32 index;
};
bool lru_add_block(const struct lru_block *b) MM_MUST_CHECK;

/* lru_add_drain: empty this CPU's batch; _all: every CPU's. */
void lru_add_drain(void);
void lru_add_drain_all(void);
/* lru_add_drain_cpu: CPU's. */
void lru_add_drain_cpu(int cpu);

/*
 * lru_cache_disable: until lru_cache_enable() pages go to their lists at once,
 * and none is in a batch now: whoever is to be isolated can be. Nests. Locks:
 * as lru_add_drain_all().
 */
void lru_cache_disable(void);
void lru_cache_enable(void);

/*
 * lru_move_state: NEW, on no list, is to a policy what OLD, on no list, was:
 * active or not, and on the same node the policy's own byte.
 */
void lru_move_state(struct page *new, struct page *old);
/* lru_begin_cold: PAGE, fresh, is unused when it comes onto a list. */
void lru_begin_cold(struct page *page);

/*
 * mark_page_accessed: second chance. Inactive and not referenced becomes
 * referenced; inactive and referenced becomes active; active becomes
 * referenced. Does not sleep.
 */
void mark_page_accessed(struct page *page);

/* activate_page: move to the active list now, if the page is on a list. */
void activate_page(struct page *page);

/* lru_deactivate_page: PAGE, if on a list, goes to the inactive one, unused so
 * far. Does not sleep. */
void lru_deactivate_page(struct page *page);

/*
 * lru_lazyfree_page: the contents of PAGE, anonymous, clean and without a slot
 * in swap, are not needed: it goes to the inactive file list without
 * PG_swapbacked. Nothing if it is not on an evictable list. Does not sleep.
 */
void lru_lazyfree_page(struct page *page);

/*
 * lru_isolate_page: take PAGE off its list with a reference for the caller.
 * False if it was not on one. The caller holds a reference of its own.
 */
bool lru_isolate_page(struct page *page);

/* lru_putback_page: give an isolated page back; drops its reference. */
void lru_putback_page(struct page *page);

/*
 * lru_rotate_reclaimable: the write that reclaim started is done: PAGE goes
 * to the end that is reclaimed next. Any context.
 */
void lru_rotate_reclaimable(struct page *page);

/* lru_page_release: the last reference is gone; leave the list if on one. */
void lru_page_release(struct page *page);
/* lru_release_pages: the same for the NR at PAGES, with the lock taken once
 * for many. */
void lru_release_pages(struct page **pages, u32 nr);

/*
 * lru_judge_evictable: PAGE, whose PG_lru was set just before, goes onto a list
 * now: the unevictable one exactly if it is mlocked. Lruvec lock held. Whoever
 * sets or clears PG_mlocked looks at PG_lru after that, so that one of the two
 * sees the other; PG_lru itself may be clear again, by who isolates the page
 * and waits for the lock now.
 */
void lru_judge_evictable(struct page *page);

/* For policies, lruvec lock held: list changes with all counters. */
void lruvec_add_page(struct lruvec *lruvec, struct page *page);
void lruvec_add_page_tail(struct lruvec *lruvec, struct page *page);
void lruvec_del_page(struct lruvec *lruvec, struct page *page);
u64 lruvec_size(const struct lruvec *lruvec, enum lru_list lru);
/* The same for a list of the policy's own, counted as its flags say: to the
 * head, to the tail, off. Who changes the flags takes the page off before. */
void lruvec_own_add(struct lruvec *lruvec, struct page_list *list,
		    struct page *page);
void lruvec_own_add_tail(struct lruvec *lruvec, struct page_list *list,
			 struct page *page);
void lruvec_own_del(struct lruvec *lruvec, struct page_list *list,
		    struct page *page);

/* lruvec_count: N pages more of zone ZT count as of LRU, for a policy whose
 * lists are not what flags say. Lock held. */
void lruvec_count(struct lruvec *lruvec, int zt, enum lru_list lru, long n);

/* lruvec_place, lruvec_unplace: PAGE, on no list, onto the one that the policy
 * of LRUVEC chooses (the unevictable one, if its flags say that); and off.
 * Lock held. */
void lruvec_place(struct lruvec *lruvec, struct page *page);
void lruvec_unplace(struct lruvec *lruvec, struct page *page);

/*
 * lru_check: walk every list of LRUVEC: links both ways, counts, flags of
 * each page. Panics with the finding. Takes the lruvec lock.
 */
void lru_check(struct lruvec *lruvec);

/* What a check has counted: pages by zone and list. */
struct lru_census {
	u64 nr[LRU_NR_ZONES][NR_LRU_LISTS];
};

/* lru_check_own: LIST of LRUVEC's policy: links, count, LRU-1; its pages are
 * counted in CENSUS; NULL: the policy does that. Lock held. */
void lru_check_own(const struct lruvec *lruvec, const struct page_list *list,
		   struct lru_census *census);

#endif
