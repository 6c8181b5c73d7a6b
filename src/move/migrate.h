/* SPDX-License-Identifier: MIT */
/*
 * migrate.h - pages to other frames while programs use them. Theory: migrate.c.
 */
#ifndef MM_MOVE_MIGRATE_H
#define MM_MOVE_MIGRATE_H

#include <mmkit/gfp.h>
#include <mmkit/memblock.h>
#include <mmkit/mempolicy.h>

#include "cache/migrate_page.h"
#include "phys/mmzone.h"
#include "phys/page.h"
#include "phys/vmstat.h"

/* Why; the order is Linux's, for the tracepoint. */
enum migrate_reason {
	MR_COMPACTION,
	MR_MEMORY_FAILURE,
	MR_MEMORY_HOTPLUG,
	MR_SYSCALL,
	MR_MEMPOLICY_MBIND,
	MR_NUMA_MISPLACED,
	MR_CONTIG_RANGE,
	MR_LONGTERM_PIN,
	MR_DEMOTION,
	MR_TYPES
};

/* What a call of migrate_pages() wants. */
struct migrate_control {
	/* A fresh frame for PAGE, uncharged; NULL: none is to be had. */
	struct page *(*get_new)(struct page *page, void *arg);
	/* Likewise a block for the huge page FIRST. NULL: page by page. For
	 * migrate_frames(). */
	struct page *(*get_block)(struct page *first, void *arg);
	/* NEW was not needed. NULL: put_page(). */
	void (*put_new)(struct page *new, void *arg);
	/* PAGE, still there to be named, has come to an end with ERR: 0, or why
	 * it stays. NULL: nobody asks. */
	void (*done)(struct page *page, int err, void *arg);
	void *arg;
	enum migrate_mode mode;
	enum migrate_reason reason;
	/* Results. */
	u32 succeeded, failed;
};

/*
 * isolate_page: PAGE, to which the caller holds a reference, is taken off its
 * list, or from its owner, with a reference of its own for migrate_pages() or
 * putback_movable_pages(); counted as isolated. 0; -EBUSY: it is on no list,
 * large, or the kernel's. ASYNC: the page lock is tried alone. Page not locked
 * by the caller. Does not sleep.
 */
int isolate_movable_page(struct page *page, enum migrate_mode mode);
bool isolate_lru_page(struct page *page);

/* putback_movable_page: an isolated page goes back; its reference goes. _pages:
 * all of LIST. */
void putback_movable_page(struct page *page);
void putback_movable_pages(struct page_list *list);

/*
 * migrate_pages: move the isolated pages of FROM. Those that moved, or whose
 * last user went, are gone from it; the others stay on it, for
 * putback_movable_pages(). Returns how many those are, or -ENOMEM: no frame was
 * to be had; what was not tried by then is on FROM too. Pages that somebody
 * holds are tried up to NR_MAX_MIGRATE_PAGES_RETRY (ASYNC_RETRY) times. May
 * sleep, for page locks and I/O only as MC->mode says; no page lock is held by
 * the caller, nor a tree's or table's; an mmap lock may be.
 */
#define NR_MAX_MIGRATE_PAGES_RETRY 10
#define NR_MAX_MIGRATE_ASYNC_RETRY 3
int migrate_pages(struct page_list *from, struct migrate_control *mc);

/*
 * migrate_new_page: a get_new: ARG is a struct migrate_target: near nid, on one
 * of nodes.
 */
struct migrate_target {
	int nid;	  /* NUMA_NO_NODE: the page's */
	nodemask_t nodes; /* NODE_MASK_ALL: any */
	gfp_t gfp;	  /* added to what the page's kind asks for */
};
struct page *migrate_new_page(struct page *page, void *arg);

/* ---- huge pages (migrate_huge.c) -------------------------------------------
 */

/*
 * migrate_huge_page: the huge page whose pages begin with FIRST, to which the
 * caller has a reference, which goes, into BLOCK (of HPAGE_PMD_ORDER, charged
 * to nobody, used up in any case; NULL: there was none). True: all of it is
 * there, huge where it was huge; counted as thp_migration_success. False: it is
 * where it was; counted as OTHERWISE (THP_MIGRATION_SPLIT: its pages will be
 * moved one by one; _FAIL: they will not). Waits for nobody's lock; may sleep.
 * No page lock is held; a mmap lock may be.
 * migrate_huge_taken: the same; its pages are taken (thp_take()); if it moved
 * they are given back, but for what they count as isolated, else still taken.
 */
bool migrate_huge_page(struct page *first, struct page *block,
		       enum migrate_reason reason,
		       enum vm_event_item otherwise);
bool migrate_huge_taken(struct page *first, struct page *block,
			enum migrate_reason reason,
			enum vm_event_item otherwise);

/* migrate_new_block: for those, near NID; MORE: besides what it takes: it is
 * not worth waiting for. */
struct page *migrate_new_block(int nid, gfp_t more);

#endif
