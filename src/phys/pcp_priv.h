/* SPDX-License-Identifier: MIT */
/*
 * pcp_priv.h - per-CPU lists, for the allocator's fast paths.
 *
 * The lock of a set is only ever tried by its CPU, pinned, in interrupts too;
 * who finds it taken (somebody drains, or an interrupt came in between) works
 * on the zone instead. A lock that is only tried cannot deadlock, so the order
 * checker is not told; drains, which wait for it, do tell.
 */
#ifndef MM_PHYS_PCP_PRIV_H
#define MM_PHYS_PCP_PRIV_H

#include "base/atomic.h"
#include "phys/alloc.h"

static inline bool pcp_trylock(struct per_cpu_pages *pcp)
{
	return likely(port_spin_trylock(&pcp->lock.word));
}

static inline void pcp_unlock(struct per_cpu_pages *pcp)
{
	port_spin_unlock(&pcp->lock.word);
}

/*
 * pcp_add: change a counter of a locked set. Others read it without the lock,
 * so it is one access each way; the compiler's own addition is that on every
 * machine we have, but the race detector wants it said.
 */
#ifdef MM_TSAN
#define pcp_add(field, n) WRITE_ONCE(field, READ_ONCE(field) + (n))
#else
#define pcp_add(field, n) ((void)((field) += (n)))
#endif

/* pcp_add_frames: NR more frames are on the lists (fewer, if negative). */
static inline void pcp_add_frames(struct per_cpu_pages *pcp, s32 nr)
{
	pcp_add(pcp->room, -nr);
}

/* pcp_push / pcp_pop: a block on and off list INDEX. Lock held. */
static inline void pcp_push(struct per_cpu_pages *pcp, unsigned int index,
			    struct page *page)
{
	set_page_mapping_word(page, (u64)(uintptr_t)pcp->lists[index]);
	pcp->lists[index] = page;
}

static inline struct page *pcp_pop(struct page **list)
{
	struct page *page = *list;

	if (unlikely(!page))
		return NULL;
	*list = (struct page *)(uintptr_t)page->word;
	set_page_mapping_word(page, 0);
	return page;
}

/* pcp_fast_frames: frames that the fast path of alloc_pages() handed out. */
static inline s64 pcp_fast_frames(const struct per_cpu_pages *pcp)
{
	return READ_ONCE(pcp->nr_moved) + (s64)READ_ONCE(pcp->nr_free) -
	       pcp_count(pcp);
}

#endif
