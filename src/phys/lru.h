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

#include "base/spinlock.h"
#include "phys/page.h"

struct pglist_data;
struct scan_control;

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
#define LRU_NR_ZONES 5

/*
 * One set of lists. (L) lock, taken with interrupts off because the end of a
 * page's write rotates it; (A) atomic.
 */
struct lruvec {
	spinlock_t lock;
	struct page_list lists[NR_LRU_LISTS]; /* (L) head = most recent */
	/* (L) how many of a list are frames of each of the node's zones */
	u64 zone_nr[LRU_NR_ZONES][NR_LRU_LISTS];
	u64 anon_cost, file_cost; /* (L) decayed cost of reclaim */
	u64 nonresident_age;	  /* (A) evictions + activations */
	u64 refaults[2];	  /* (L) anon, file, at last look */
	struct pglist_data *pgdat;
};

/*
 * The door of a replacement policy. All but scan are called with the lruvec
 * lock held; none may sleep except scan.
 */
struct lru_ops {
	const char *name;
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
};

#define LRU_BATCH 15

/* Pages on their way to a list; each holds a reference. (B) batch lock. */
struct lru_batch {
	spinlock_t lock;
	u32 nr;			       /* (B) */
	struct page *pages[LRU_BATCH]; /* (B) */
} MM_ALIGNED(MM_CACHELINE);

struct lru_state {
	const struct lru_ops *ops;
	struct lru_batch add[MM_NR_CPUS];
};

/* lru_init: empty batches, no policy. Called once at boot. */
void lru_init(void);

/* lruvec_init: empty lists for node PGDAT. */
void lruvec_init(struct lruvec *lruvec, struct pglist_data *pgdat);

/*
 * lru_register: make OPS the policy. At boot, before the first page is added;
 * the table must outlive the machine.
 */
void lru_register(const struct lru_ops *ops);
const struct lru_ops *lru_policy(void);

/* page_lruvec: the lists that PAGE belongs to, by its node and group. */
struct lruvec *page_lruvec(const struct page *page);

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

/* lru_add_drain: empty this CPU's batch; _all: every CPU's. */
void lru_add_drain(void);
void lru_add_drain_all(void);

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
 * lru_judge_evictable: PAGE, PG_lru set, goes onto a list now: the unevictable
 * one exactly if it is mlocked. Lruvec lock held. Whoever sets or clears
 * PG_mlocked looks at PG_lru after that, so that one of the two sees the other.
 */
void lru_judge_evictable(struct page *page);

/* For policies, lruvec lock held: list changes with all counters. */
void lruvec_add_page(struct lruvec *lruvec, struct page *page);
void lruvec_add_page_tail(struct lruvec *lruvec, struct page *page);
void lruvec_del_page(struct lruvec *lruvec, struct page *page);
u64 lruvec_size(const struct lruvec *lruvec, enum lru_list lru);

/*
 * lru_check: walk every list of LRUVEC: links both ways, counts, flags of
 * each page. Panics with the finding. Takes the lruvec lock.
 */
void lru_check(struct lruvec *lruvec);

#endif
