/* SPDX-License-Identifier: MIT */
/*
 * reclaim.h - taking pages back: what the daemons and the slow path call, and
 * what replacement policies share.
 */
#ifndef MM_RECLAIM_RECLAIM_H
#define MM_RECLAIM_RECLAIM_H

#include <mmkit/gfp.h>
#include <mmkit/mempolicy.h>

#include "base/wait.h"
#include "memcg/memcg.h"
#include "phys/lru.h"
#include "phys/mmzone.h"

#define SWAP_CLUSTER_MAX 32u
#define DEF_PRIORITY	 12

/* One reclaim operation: what is asked, what is allowed, what came of it. */
struct scan_control {
	/* Set by the caller, read-only below. */
	u64 nr_to_reclaim;
	gfp_t gfp;
	u32 order;
	int reclaim_idx;      /* highest zone whose pages help */
	struct memcg *target; /* its pages and those below; NULL: all */
	bool may_writepage, may_unmap, may_swap;
	bool judged; /* the policy has asked for references: pages are unused */
	bool no_demotion;    /* what goes is not wanted on any node */
	bool low_reclaim;    /* memory.low does not protect any more */
	nodemask_t nodemask; /* try_to_free_pages(): nodes that help */
	/* Changed between passes. */
	int priority; /* scan size >> priority; 12 .. 0 */
	/* Of the group whose lists are scanned: frames, and those to keep. */
	u64 group_usage, group_keep;
	/* Results. */
	u64 nr_scanned, nr_reclaimed;
	bool low_skipped; /* a group was passed over for its memory.low */
	struct {
		u64 dirty, unqueued_dirty, writeback, immediate, taken;
		u64 file_taken;
	} nr;
};

/* What happened to a list of isolated pages. */
struct reclaim_stat {
	u64 nr_dirty, nr_writeback, nr_immediate, nr_activate;
	u64 nr_ref_keep, nr_unmap_fail;
	u64 nr_unqueued_dirty; /* dirty pages of files, no write under way */
	u64 nr_pageout;	       /* writes started here */
	u64 nr_beside; /* pages of huge pages that were not on the list */
};

/* What kswapd found of a node: bits of reclaim_sys.node_flags. */
#define PGDAT_DIRTY	0x1u /* the tail is full of dirty pages of files */
#define PGDAT_WRITEBACK 0x2u /* and of pages under write-back */

#define RECLAIM_MORE_POLICIES 8

struct reclaim_state {
	const struct lru_ops *more[RECLAIM_MORE_POLICIES]; /* reclaim_add() */
	u32 swappiness;	 /* tunable, 0 .. 200 */
	u32 drop_caches; /* what was asked to be dropped last; 0: nothing */
	u32 node_flags[MM_MAX_NODES]; /* PGDAT_*; that node's kswapd's */
	wait_queue_head_t isolated_wait[MM_MAX_NODES]; /* throttle.c */
	struct {
		u32 off; /* components that are not on: MGLRU_CAP_* */
		u32 min_ttl_ms;
		const struct lru_ops *before; /* what it took the place of */
		u64 walks;		      /* (A) so far */
		u64 nr_filters;		      /* (A) frames that filters are */
		/* (A) page tables that walks read, and that they passed by */
		u64 tables_read, tables_passed;
		wait_queue_head_t wait; /* for walks to end */
	} mglru;
};

extern struct reclaim_state reclaim_sys;

/* reclaim_reset; reclaim_init: at boot, registers the classic policy. */
void reclaim_reset(void);
void reclaim_init(void);

/* reclaim_select: every lruvec gets the policy called NAME ("classic"), its
 * pages move over; -EINVAL if unknown. At any time; does not sleep. */
int reclaim_select(const char *name) MM_MUST_CHECK;

/*
 * shrink_node: one pass of SC->priority over a node's lists. Adds to SC's
 * results. Context: may sleep; PF_MEMALLOC set.
 */
void shrink_node(pg_data_t *pgdat, struct scan_control *sc);

/* shrink_node_slabs: its second half alone, the shrinkers. Returns frames
 * freed, which are added to SC's. Context: as shrink_node(). */
u64 shrink_node_slabs(pg_data_t *pgdat, struct scan_control *sc);

/*
 * reclaim_in_vain: SC's last pass, before which BEFORE pages had been
 * reclaimed, freed nothing and met pages that are dirty or being written: to
 * scan the same lists again at once is for nothing. For kswapd also: it met
 * pages under write-back for the second time, and all of PGDAT's tail was like
 * that.
 */
bool reclaim_in_vain(const pg_data_t *pgdat, const struct scan_control *sc,
		     u64 before);

/*
 * reclaim_throttle: SC's pass was in vain for pages that are being written:
 * wait until some of PGDAT were (reclaim_wait_written()); for a moment only if
 * none is under way, or if SC may not wait for I/O. May sleep.
 */
void reclaim_throttle(pg_data_t *pgdat, const struct scan_control *sc);

/*
 * too_many_isolated: is more of PGDAT's pages of the kind in the hands of
 * reclaimers than on its inactive list, or than an eighth of that for one whose
 * GFP lets it wait for others? reclaim_wait_isolated: wait until not, for a
 * moment; false: it is still so, and nothing is to be isolated. Kswapd does not
 * wait, nor who is being killed; true then. May sleep. reclaim_isolated_less:
 * some of PGDAT's have come back, or went for good. Any context.
 * (throttle.c)
 */
bool too_many_isolated(const pg_data_t *pgdat, bool file, gfp_t gfp);
bool reclaim_wait_isolated(pg_data_t *pgdat, bool file,
			   const struct scan_control *sc) MM_MUST_CHECK;
void reclaim_isolated_less(const pg_data_t *pgdat);

/*
 * allow_direct_reclaim: are more than half of PGDAT's reserves (min marks) left
 * for reclaim itself, or is there no kswapd that would make more? throttle: an
 * allocation as AC says waits until so, or for a second, and pushes kswapd.
 * True: the task is being killed, and need not reclaim. May sleep; PF_MEMALLOC
 * not set.
 */
struct alloc_context;
bool allow_direct_reclaim(pg_data_t *pgdat);
bool throttle_direct_reclaim(const struct alloc_context *ac);

/*
 * What a policy asks of the lists it scans for SC (groups.c). scan_size: pages
 * of LRU that are subject to the scan: those that the group's protection does
 * not keep. scan_may_swap: can anonymous pages of LRUVEC go anywhere?
 * scan_refaults: file pages of it that came back and were needed, so far.
 */
u64 scan_size(const struct lruvec *lruvec, enum lru_list lru,
	      const struct scan_control *sc);
bool scan_may_swap(const struct lruvec *lruvec, const struct scan_control *sc);
/* scan_can_demote: may pages of PGDAT go to a slower node for SC? Not for a
 * group's limit: they would be in the group there, too. */
bool scan_can_demote(const pg_data_t *pgdat, const struct scan_control *sc);
u64 scan_refaults(const struct lruvec *lruvec);

/* shrink_groups: one pass of SC over PGDAT's lists of all groups that it is
 * about, or as many as it takes. Pages freed. (groups.c) */
u64 shrink_groups(pg_data_t *pgdat, struct scan_control *sc);

/* try_to_free_memcg: memcg_ops' reclaim (memcg/memcg.h). (groups.c) */
u64 try_to_free_memcg(struct memcg *memcg, u64 nr, gfp_t gfp, bool may_swap);

/*
 * try_to_free_pages: direct reclaim for an allocation of ORDER from the zones
 * that AC may use. Returns pages freed, 0: no progress at all; 1 to one that
 * is being killed while it waits to begin. Context: may
 * sleep, PF_MEMALLOC not yet set.
 */
u64 try_to_free_pages(const struct alloc_context *ac, u32 order, gfp_t gfp);

/* Pages of NODE / ZONE that reclaim could get at. */
u64 zone_reclaimable_pages(const struct zone *zone);

/*
 * shrink_page_list: judge each isolated page of LIST; freed ones are gone,
 * the others are left on LIST with their isolation reference. Returns pages
 * freed. (shrink_page.c)
 */
u64 shrink_page_list(struct page_list *list, pg_data_t *pgdat,
		     struct scan_control *sc, struct reclaim_stat *stat);

/* reclaim_pages: the answer to lru_ops.pageout, for every policy. */
u64 reclaim_pages(struct page_list *pages);

/* Linux's words for what reclaim writes, in its events. */
#define RECLAIM_WB_ANON	 0x1u
#define RECLAIM_WB_FILE	 0x2u
#define RECLAIM_WB_ASYNC 0x8u

/* Why a reclaimer was made to wait, likewise: a bit. */
#define VMSCAN_THROTTLE_ISOLATED 0x2u

/* reclaim_trace_inactive: the event mm_vmscan_lru_shrink_inactive, of a round
 * over pages of FILEs or anonymous ones. */
void reclaim_trace_inactive(const struct lruvec *lruvec, bool file, u64 scanned,
			    u64 freed, const struct reclaim_stat *stat,
			    const struct scan_control *sc);

/* ---- what policies share (isolate.c)
 * ------------------------------------------------------ */

/*
 * reclaim_isolate: take PAGE, on a list of LRUVEC's policy, off it with a
 * reference. False, and it is still there: not of a zone that SC wants, or
 * somebody else is taking it off; the caller moves it out of its way. Lock
 * held.
 */
bool reclaim_isolate(struct lruvec *lruvec, struct page *page,
		     const struct scan_control *sc);

/* reclaim_putback: isolated PAGES, last one first, go where the policy places
 * them, the isolation's references drop. FILE: how they were counted as
 * isolated. Takes the lock. */
void reclaim_putback(struct lruvec *lruvec, struct page_list *pages, bool file);
/* reclaim_place: the same for one page; lock held. False: nobody uses it any
 * more: it is on no list, for reclaim_release(). */
bool reclaim_place(struct lruvec *lruvec, struct page *page);
/* reclaim_release: free those; no lock held. */
void reclaim_release(struct page_list *pages);

/* reclaim_count: SCANNED pages of a kind were judged, FREED of them freed. */
void reclaim_count(const struct lruvec *lruvec, u64 scanned, u64 freed,
		   bool file);
/* reclaim_count_event: EVENT happened to N pages of LRUVEC, whose group counts
 * it as ITEM (enum group_event_item). */
void reclaim_count_event(const struct lruvec *lruvec, enum vm_event_item event,
			 int item, u64 n);

/* reclaim_enough: direct reclaim stops when it has what it wants since
 * NR_BEFORE; kswapd finishes its round. */
bool reclaim_enough(const struct scan_control *sc, u64 nr_before);

/* ---- the policies: one file each
 * ------------------------------------------------------ */

extern const struct lru_ops classic_ops, clock_ops, sieve_ops, s3fifo_ops,
	arc_ops, mglru_ops, s3loop_ops;

/*
 * Mglru's files (mglru_ctl.c). lru_gen_show, lru_gen_store: NAME is of
 * /sys/kernel/mm/lru_gen. 0; -ENOENT: no such file; -EINVAL: TEXT[LEN] is not
 * what it wants, and nothing is changed. lru_gen_debug_show, _write: debugfs'
 * lru_gen; commands before the first that fails are done: LEN, or -EINVAL (not
 * a command; no such group or node, or not mglru's; a generation that is not
 * there, or too young to be taken from), -ERANGE (no room for one more),
 * -EINTR. May sleep; no locks held.
 */
struct seq_buf;
int lru_gen_show(const char *name, struct seq_buf *out);
int lru_gen_store(const char *name, const char *text, size_t len);
void lru_gen_debug_show(struct seq_buf *out);
s64 lru_gen_debug_write(const char *text, size_t len);

/* reclaim_add: one more, which must outlive the machine; before mm_boot().
 * -ENOSPC after RECLAIM_MORE_POLICIES. */
int reclaim_add(const struct lru_ops *ops) MM_MUST_CHECK;

/* reclaim_policy: the policy of number I, from 0; NULL: there are no more. */
const struct lru_ops *reclaim_policy(u32 i);

#endif
