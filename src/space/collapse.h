/* SPDX-License-Identifier: MIT */
/*
 * collapse.h - making a huge page of small ones. Theory: collapse.c.
 */
#ifndef MM_SPACE_COLLAPSE_H
#define MM_SPACE_COLLAPSE_H

#include "space/huge.h"

/* What became of a region, by the names that Linux's tracepoints use. */
enum thp_result {
	THP_SUCCEED,	   /* copied into a block of its own */
	THP_PROMOTED,	   /* it was one already, but for the large entry */
	THP_PMD_NULL,	   /* there is nothing in it */
	THP_PMD_MAPPED,	   /* it is huge */
	THP_EXCEED_NONE,   /* max_ptes_none */
	THP_EXCEED_SWAP,   /* max_ptes_swap */
	THP_EXCEED_SHARED, /* max_ptes_shared */
	THP_PTE_MARKED,	   /* poisoned, watched or PROT_NONE entries */
	THP_PAGE_RO,	   /* nothing in it may be written */
	THP_NOT_YOUNG,	   /* nothing in it was used lately */
	THP_PAGE_ANON,	   /* a page of another kind */
	THP_PAGE_LOCK,	   /* a page that somebody is at */
	THP_PAGE_LRU,	   /* a page on no list */
	THP_PAGE_COUNT,	   /* a page that somebody holds */
	THP_SWAP_IN_FAIL,
	THP_ALLOC_FAIL,
	THP_VMA_CHECK, /* no mapping that may have one */
	NR_THP_RESULTS
};

/*
 * thp_collapse: the region at VA, a multiple of HPAGE_PMD_SIZE, of MM becomes
 * huge, if tunables and contents allow; FORCED (MADV_COLLAPSE): whatever the
 * tunables say. Context: may sleep; no locks; the caller uses MM. On any result
 * but the first two, contents and rights are as before; what was in swap may
 * have come in.
 */
enum thp_result thp_collapse(struct mm_struct *mm, uva_t va, bool forced);

/* thp_madvise_collapse: MADV_COLLAPSE of [START, END), page aligned: 0 if all
 * regions in it are huge; -ENOMEM, -EAGAIN, -EINVAL (madvise(2)) of the last
 * that is not. May sleep; no locks. */
int thp_madvise_collapse(struct mm_struct *mm, uva_t start, uva_t end);

#endif
