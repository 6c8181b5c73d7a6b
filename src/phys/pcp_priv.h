/* SPDX-License-Identifier: MIT */
/*
 * pcp_priv.h - per-CPU lists, for the allocator's fast paths.
 *
 * The lock of a set is only ever tried by its CPU, pinned and outside
 * interrupts; who finds it taken (somebody drains) works on the zone instead.
 */
#ifndef MM_PHYS_PCP_PRIV_H
#define MM_PHYS_PCP_PRIV_H

#include "phys/alloc.h"

static inline bool pcp_trylock(struct per_cpu_pages *pcp)
{
	if (unlikely(!port_spin_trylock(&pcp->lock.word)))
		return false;
	lockdep_acquire(LOCK_CLASS_PCP, &pcp->lock, LOCKDEP_SPIN | LOCKDEP_TRY);
	spin_set_owner(&pcp->lock);
	return true;
}

static inline void pcp_unlock(struct per_cpu_pages *pcp)
{
	spin_release(&pcp->lock);
}

/* pcp_push / pcp_pop: a block on and off list INDEX. Lock held. */
static inline void pcp_push(struct per_cpu_pages *pcp, unsigned int index,
			    struct page *page, u64 pfn)
{
	page->next = pcp->lists[index];
	pcp->lists[index] = (u32)pfn;
}

static inline struct page *pcp_pop(struct per_cpu_pages *pcp,
				   unsigned int index)
{
	u32 pfn = pcp->lists[index];
	struct page *page = pfn_to_page(pfn);

	if (unlikely(pfn == PFN_NONE))
		return NULL;
	pcp->lists[index] = page->next;
	return page;
}

/* The list type for a frame freed in a pageblock of type MT. */
static inline int pcp_type(int mt)
{
	return likely(mt < MIGRATE_PCPTYPES) ? mt : MIGRATE_MOVABLE;
}

#endif
