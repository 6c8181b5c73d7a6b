/* SPDX-License-Identifier: MIT */
/*
 * mmu_gather.c - batched TLB flushing for unmap. Theory in the header.
 *
 * Invariant TLB-1: between the clearing of an entry and the release of its
 * page there is a flush of that address on every CPU in the mask. The mask
 * only grows while the address space lives, so reading it at flush time is
 * enough: a CPU that loads the space later cannot find a cleared entry.
 */
#include "pgtable/mmu_gather.h"

#include "pgtable/pgtable.h"

void tlb_gather_init(struct mmu_gather *tlb, struct pgtable *pt, u32 asid,
		     const struct port_cpumask *cpus, gather_release_fn release)
{
	mm_assert(release != NULL);
	tlb->pt = pt;
	tlb->cpus = cpus;
	tlb->asid = asid;
	tlb->full = false;
	tlb->start = ~0UL;
	tlb->end = 0;
	tlb->release = release;
	tlb->nr_tables = 0;
	tlb->nr = 0;
}

void tlb_remove_table(struct page *table, void *arg)
{
	struct mmu_gather *tlb = arg;

	mm_verify(PageTable(table));
	tlb->tables[tlb->nr_tables++] = table;
	if (unlikely(tlb->nr_tables == MMU_GATHER_TABLES))
		tlb_flush_mmu(tlb);
}

void tlb_flush_mmu(struct mmu_gather *tlb)
{
	/* A CPU may cache upper entries too: freed tables need all of it. */
	if (tlb->full || tlb->nr_tables)
		port_tlb_flush(tlb->cpus, tlb->asid, 0, 0);
	else if (tlb->start < tlb->end)
		port_tlb_flush(tlb->cpus, tlb->asid, tlb->start, tlb->end);
	tlb->start = ~0UL;
	tlb->end = 0;
	if (tlb->nr)
		tlb->release(tlb->pages, tlb->nr);
	tlb->nr = 0;
	if (tlb->nr_tables)
		pt_tables_release_empty(tlb->tables, tlb->nr_tables);
	tlb->nr_tables = 0;
}

void tlb_finish(struct mmu_gather *tlb)
{
	tlb_flush_mmu(tlb);
	mm_assert(tlb->nr == 0 && tlb->nr_tables == 0);
}
