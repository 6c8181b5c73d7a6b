/* SPDX-License-Identifier: MIT */
/*
 * page_isolation.h - taking pageblocks out of circulation and back.
 *
 * The names and their meaning are Linux's. Theory: page_isolation.c.
 */
#ifndef MM_PHYS_PAGE_ISOLATION_H
#define MM_PHYS_PAGE_ISOLATION_H

#include "phys/mmzone.h"

/* Frames with PG_hwpoison are no obstacle: they will never be used again. */
#define ISOLATE_SKIP_HWPOISON 0x1
/* Log the frame that is in the way. */
#define ISOLATE_REPORT_FAILURE 0x2

/* For undo_isolate_page_range(): the type that each pageblock had before. */
#define MIGRATE_PREVIOUS (-1)

/*
 * start_isolate_page_range: every pageblock that has frames of
 * [START_PFN, END_PFN) becomes ISOLATE: its free frames leave NR_FREE_PAGES,
 * frames freed in it from now on stay there, none is given out. Per-CPU lists
 * are drained. MIGRATETYPE is what the caller wants the frames for: CMA
 * pageblocks may be isolated for MIGRATE_CMA only. Only frames inside the
 * range are looked at; those in use must be movable (has_unmovable_pages).
 * Parts of the range without RAM are skipped. Deferred sections are made.
 *
 * Returns 0; -EINVAL (empty range, beyond the last frame); -EBUSY (a frame
 * that cannot be moved, a pageblock that is isolated already or that two
 * zones share): all is as before then. Context: no zone or pcp lock held,
 * not in an interrupt. The caller owns the isolation until it undoes it.
 */
int start_isolate_page_range(u64 start_pfn, u64 end_pfn, int migratetype,
			     int flags) MM_MUST_CHECK;

/*
 * undo_isolate_page_range: the isolated pageblocks of the range become
 * MIGRATETYPE (or what they were: MIGRATE_PREVIOUS), and their free frames
 * can be given out again. Pageblocks that are not isolated stay as they are.
 * Context: as above.
 */
void undo_isolate_page_range(u64 start_pfn, u64 end_pfn, int migratetype);

/*
 * test_pages_isolated: 0 if all frames of the range are free and isolated, or
 * poisoned with ISOLATE_SKIP_HWPOISON in FLAGS; else -EBUSY. A hole is not
 * isolated. Takes zone locks.
 */
int test_pages_isolated(u64 start_pfn, u64 end_pfn, int flags) MM_MUST_CHECK;

/*
 * has_unmovable_pages: the first frame of [START_PFN, END_PFN), a part of one
 * pageblock, that can be neither used at once nor emptied by migration; NULL
 * if there is none. Free frames, pages on LRU lists and pages whose owner
 * moves them (PAGE_MAPPING_MOVABLE) are no obstacle, nor is anything in zone
 * MOVABLE that is not reserved. Zone lock held: exact
 * for free frames; for others a hint, since owners come and go.
 */
struct page *has_unmovable_pages(u64 start_pfn, u64 end_pfn, int migratetype,
				 int flags);

#endif
