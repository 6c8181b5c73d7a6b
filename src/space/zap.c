/* SPDX-License-Identifier: MIT */
/*
 * zap.c - empty a range of a mapping: pages to the gather, swap entries back.
 *
 * Used by munmap, MADV_DONTNEED, exit and the OOM reaper. The caller holds
 * the mmap lock (reading is enough: entries change under their table's lock,
 * and VMAs are not changed here).
 */
#include <mmkit/page_alloc.h>

#include "cache/swap.h"
#include "space/rmap.h"
#include "space/space.h"

/* The gather lets go of pages: those left only to the swap cache go too. */
static void release_pages(struct page **pages, u32 n)
{
	for (u32 i = 0; i < n; i++) {
		if (unlikely(PageMlocked(pages[i])))
			munlock_page(pages[i]);
		free_page_and_swap_cache(pages[i]);
	}
}

void mm_gather_init(struct mmu_gather *tlb, struct mm_struct *mm)
{
	tlb_gather_init(tlb, &mm->pt, mm->asid, &mm->cpus, release_pages);
}

/* Clear one entry. True: the gather is full, flush before going on. */
static bool zap_entry(struct mmu_gather *tlb, struct mm_struct *mm,
		      struct pt_slot *slot, uva_t addr)
{
	pte_t e = pt_xchg(slot, (pte_t){0});
	struct page *page;

	if (pte_none(e))
		return false;
	if (pte_swap(e)) {
		mm_counter_add(mm, MM_SWAPENTS, -1);
		free_swap_and_cache(pte_to_swp_entry(e));
		return false;
	}
	tlb_gather_addr(tlb, addr);
	if (pte_special(e))
		return false;
	page = pfn_to_page(pte_pfn(e));
	mm_counter_add(mm, MM_ANONPAGES, -1);
	page_remove_rmap(page);
	return tlb_remove_page(tlb, page);
}

/* Entries of one leaf table in [ADDR, END). Returns how far it came. */
static uva_t zap_table(struct mmu_gather *tlb, struct mm_struct *mm,
		       struct pt_slot *slot, uva_t addr, uva_t end)
{
	bool full = false;

	pt_lock(slot);
	while (addr < end && !full) {
		if (!pte_none(pt_get(slot)))
			full = zap_entry(tlb, mm, slot, addr);
		pt_next(slot);
		addr += PAGE_SIZE;
	}
	pt_unlock(slot);
	if (full)
		tlb_flush_mmu(tlb);
	return addr;
}

void zap_range(struct mmu_gather *tlb, struct vm_area_struct *vma, uva_t start,
	       uva_t end)
{
	struct mm_struct *mm = vma->vm_mm;
	uva_t addr = start;

	mm_assert(start >= vma->vm_start && end <= vma->vm_end);
	while (addr < end) {
		struct pt_slot slot;

		if (!pt_lookup(&mm->pt, addr, &slot)) {
			addr = pt_skip(&mm->pt, addr, end);
			continue;
		}
		addr = zap_table(tlb, mm, &slot, addr,
				 pt_table_end(&mm->pt, addr, end));
		port_sched_point();
	}
}
