/* SPDX-License-Identifier: MIT */
/*
 * compact.h - making large free blocks by moving pages. Theory: compact.c.
 */
#ifndef MM_COMPACT_COMPACT_H
#define MM_COMPACT_COMPACT_H

#include "move/migrate.h"
#include "phys/capture.h"

/* What became of an attempt; a later one is more. Names and order are Linux's.
 */
enum compact_result {
	COMPACT_NOT_SUITABLE_ZONE, /* fragmentation is not what is wrong */
	COMPACT_SKIPPED,	   /* too few free frames to move pages to */
	COMPACT_DEFERRED,	   /* it failed a short while ago */
	COMPACT_NO_SUITABLE_PAGE,
	COMPACT_CONTINUE,
	COMPACT_COMPLETE,	 /* the whole zone was gone through in vain */
	COMPACT_PARTIAL_SKIPPED, /* a part of it, from where it stopped last */
	COMPACT_CONTENDED,	 /* somebody else has what is needed */
	COMPACT_SUCCESS		 /* there is a block */
};

/* How hard: less is more. */
enum compact_priority {
	COMPACT_PRIO_SYNC_FULL,
	MIN_COMPACT_PRIORITY = COMPACT_PRIO_SYNC_FULL,
	COMPACT_PRIO_SYNC_LIGHT,
	MIN_COMPACT_COSTLY_PRIORITY = COMPACT_PRIO_SYNC_LIGHT,
	DEF_COMPACT_PRIORITY = COMPACT_PRIO_SYNC_LIGHT,
	COMPACT_PRIO_ASYNC,
	INIT_COMPACT_PRIORITY = COMPACT_PRIO_ASYNC
};

#define COMPACT_CLUSTER_MAX	32u
#define COMPACT_MAX_DEFER_SHIFT 6u

/* What is kept of each zone beside what stands in struct zone. (A). */
struct compact_zone_state {
	bool blockskip_flush; /* the hints are due to be forgotten */
};

struct compact_state {
	u32 extfrag_threshold;	 /* tunable, 0 .. 1000 */
	u32 proactiveness;	 /* tunable, 0 .. 100 */
	u32 unevictable_allowed; /* tunable, 0, 1 */
	u32 compact_memory;	 /* what was written there last */
	struct compact_zone_state zone[PHYS_MAX_ZONES]; /* by zone_id */
};

extern struct compact_state compact_sys;

/* compact_reset; compact_init: tunables. At boot. */
void compact_reset(void);
void compact_init(void);

/* One run in one zone. */
struct compact_control {
	/* Set by the caller. */
	struct zone *zone;
	int order; /* -1: all that can be had */
	int migratetype;
	gfp_t gfp;
	u32 alloc_flags;
	int highest_zoneidx;
	enum migrate_mode mode;
	bool direct;	 /* for an allocation of the running task */
	bool proactive;	 /* until the node's score is low */
	bool whole_zone; /* from end to end, hints or not */
	bool ignore_skip_hint;
	bool ignore_block_suitable;
	struct capture_control *capture; /* NULL: nobody waits */
	/* The run's own. */
	struct page_list pages;	   /* isolated, to be moved */
	struct page_list free;	   /* frames for them */
	u64 migrate_pfn, free_pfn; /* where the scanners stand */
	u64 last_migrated;	   /* pageblock that was emptied last */
	u64 migrate_scanned, free_scanned;
	bool full_zone; /* the migrate scanner began at the zone's start */
	bool contended;
};

/* compact_zone: one run; the results in CC. May sleep as CC->mode says. */
enum compact_result compact_zone(struct compact_control *cc);

/*
 * compaction_suitable: is a run in ZONE for ORDER of use? SUCCESS: there is a
 * block already; SKIPPED: not; CONTINUE: yes.
 */
enum compact_result compaction_suitable(struct zone *zone, int order,
					u32 alloc_flags, int highest_zoneidx);
/* compaction_zonelist_suitable: would a run be of use in any zone of AC, if all
 * that can be reclaimed were? */
bool compaction_zonelist_suitable(const struct alloc_context *ac, int order,
				  u32 alloc_flags);

/* Deferral: after failures for ORDER so many attempts are left out, twice as
 * many each time. _deferred counts one. _reset: ORDER works; ALLOCATED: a block
 * was had. _restarting: the longest pause is over. */
void defer_compaction(struct zone *zone, int order);
bool compaction_deferred(struct zone *zone, int order);
void compaction_defer_reset(struct zone *zone, int order, bool allocated);
bool compaction_restarting(const struct zone *zone, int order);

/*
 * try_to_compact_pages: direct compaction for an allocation of ORDER from AC's
 * zones. *PAGE: the block, if it was captured, ready for use; else NULL. May
 * sleep; PF_MEMALLOC is set by the caller.
 */
enum compact_result try_to_compact_pages(gfp_t gfp, unsigned int order,
					 const struct alloc_context *ac,
					 enum compact_priority prio,
					 struct page **page);

/* compact_node: all zones of PGDAT, as /sys/devices/system/node/nodeN/compact;
 * compact_nodes: of all nodes, as vm.compact_memory. Waits for all. */
void compact_node(pg_data_t *pgdat);
void compact_nodes(void);

/*
 * fragmentation_score_node: 0 .. 100: how much of PGDAT's free memory is in
 * blocks smaller than a pageblock, zones weighed by size. _wmark: the score
 * below which (LOW), above which (not) proactive runs end and begin.
 */
u32 fragmentation_score_node(pg_data_t *pgdat);
u32 fragmentation_score_wmark(bool low);

/* reset_isolation_suitable: PGDAT's hints that are due are forgotten. */
void reset_isolation_suitable(pg_data_t *pgdat);

/* The scanners (scan.c). isolate_migratepages: pages of the next pageblock that
 * has some, to CC->pages; ABORT: stop the run. */
enum isolate_result { ISOLATE_ABORT, ISOLATE_NONE, ISOLATE_SUCCESS };
enum isolate_result isolate_migratepages(struct compact_control *cc);
/* isolate_freepages: frames from the top, to CC->free, enough for a batch if
 * there are so many. */
void isolate_freepages(struct compact_control *cc);

static inline u64 pageblock_start(u64 pfn)
{
	return ALIGN_DOWN(pfn, pageblock_nr_pages);
}

/* The scanners have met. */
static inline bool scanners_met(const struct compact_control *cc)
{
	return cc->free_pfn >> pageblock_order <= cc->migrate_pfn >>
	       pageblock_order;
}

#endif
