/* SPDX-License-Identifier: MIT */
/*
 * mmu_gather.h - unmap many pages, flush TLBs once, then free.
 *
 * A frame may be reused only when no CPU can still reach it through its TLB.
 * So whoever clears entries hands the pages to a gather; it flushes the range
 * on every CPU that ran the address space, and only then lets go of pages and
 * tables. One gather serves one unmap operation of one address space.
 */
#ifndef MM_PGTABLE_MMU_GATHER_H
#define MM_PGTABLE_MMU_GATHER_H

#include <mmkit/port.h>

#include "phys/page.h"

#define MMU_GATHER_PAGES  128
#define MMU_GATHER_TABLES 32

/* Lets go of N pages whose entries are cleared and flushed. */
typedef void (*gather_release_fn)(struct page **pages, u32 n);

struct mmu_gather {
	struct pgtable *pt;
	const struct port_cpumask *cpus; /* who may hold translations */
	u32 asid;
	bool full; /* the whole space goes, nobody runs it: flush all of it */
	uva_t start, end; /* range cleared since the last flush */
	gather_release_fn release;
	u32 nr_tables, nr;
	struct page *tables[MMU_GATHER_TABLES]; /* freed tables */
	struct page *pages[MMU_GATHER_PAGES];
};

/* tlb_gather_init: begin; nothing gathered. Does not sleep. */
void tlb_gather_init(struct mmu_gather *tlb, struct pgtable *pt, u32 asid,
		     const struct port_cpumask *cpus,
		     gather_release_fn release);

/* tlb_gather_range: entries of [START, END) were cleared (pages or not);
 * _addr: that of VA. */
static inline void tlb_gather_range(struct mmu_gather *tlb, uva_t start,
				    uva_t end)
{
	tlb->start = min(tlb->start, start);
	tlb->end = max(tlb->end, end);
}

static inline void tlb_gather_addr(struct mmu_gather *tlb, uva_t va)
{
	tlb_gather_range(tlb, va, va + PAGE_SIZE);
}

/*
 * tlb_remove_page: PAGE's reference now belongs to the gather. Returns true
 * when the gather is full: the caller must drop its table lock and call
 * tlb_flush_mmu() before it removes more.
 */
static inline bool MM_MUST_CHECK tlb_remove_page(struct mmu_gather *tlb,
						 struct page *page)
{
	mm_verify(tlb->nr < MMU_GATHER_PAGES);
	tlb->pages[tlb->nr++] = page;
	return tlb->nr == MMU_GATHER_PAGES;
}

/* tlb_gather_full: must it be flushed before a page is removed? */
static inline bool tlb_gather_full(const struct mmu_gather *tlb)
{
	return tlb->nr == MMU_GATHER_PAGES;
}

/*
 * tlb_put_page: drop a reference to PAGE here, if it is not the last. Only
 * where the whole space goes: no CPU will use what it may remember of PAGE.
 */
static inline bool tlb_put_page(struct mmu_gather *tlb, struct page *page)
{
	return tlb->full && put_page_unless_last(page);
}

/* tlb_remove_table: a freed table (pt_table_free_fn; ARG is the gather). May
 * flush, as tlb_flush_mmu(). */
void tlb_remove_table(struct page *table, void *arg);

/* tlb_flush_mmu: flush and release what is gathered. No spinlocks held. */
void tlb_flush_mmu(struct mmu_gather *tlb);

/* tlb_finish: flush, release, done. */
void tlb_finish(struct mmu_gather *tlb);

#endif
