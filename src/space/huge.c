/* SPDX-License-Identifier: MIT */
/*
 * huge.c - transparent huge pages: which mappings get them, and at the first
 * touch.
 *
 * 1. Purpose. Anonymous memory that is used 2 MiB at a time should cost one
 *    fault and one place in the TLB, without the program knowing.
 *
 * 2. Way. The first write to a region of 2 MiB that is empty and all of one
 *    mapping gets a block of 512 frames, its table is filled with entries for
 *    them, and promoted (pgtable/huge.c). From then on they are pages like any
 *    other: whoever changes one of them puts the table back under the CPU, and
 *    the rest stays as it is. khugepaged (merge/) makes blocks of what came
 *    page by page, and promotes again what fits.
 *
 *    A write to a huge page that was shared by a fork, and is one's own alone
 *    by now, takes all of it over (thp_wp_reuse()). A read of such a region is
 *    answered by zeroes that all share (huge_zero.c).
 *
 *    The 512 descriptors of a new block are written as one, while nobody can
 *    hold a reference to any of them (page_add_block_rmap()): a page's way
 *    alone, with its own counts and lists, is ten times as long.
 *
 * 3. Invariants.
 *    TH-1  A huge mapping is of anonymous private memory, of one mm; the frames
 *          have a reference and a mapping each, as if mapped one by one.
 *    TH-2  Nothing depends on a mapping being huge but speed: each step here
 *          may fail, and small pages are what comes then.
 *    TH-3  A write-protected huge page becomes writable as it is only if each
 * of its pages is exclusive under its page lock, and the region is one
 *          mapping's.
 *
 * 4. Locking. As any fault: a claim on the VMA or the mmap lock; the table's
 *    lock around the last look and the change.
 *
 * 5. Failure. No block: fallback to a small page, counted (thp_fault_fallback).
 *    How hard the allocator tries is the file defrag's to say.
 *
 * References: Linux documentation, admin-guide/mm/transhuge; madvise(2),
 * prctl(2) PR_SET_THP_DISABLE.
 */
#include "space/huge.h"

#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>

#include "base/trace_ring.h"
#include "memcg/memcg.h"
#include "phys/alloc.h"
#include "phys/vmstat.h"
#include "space/fault.h"
#include "space/mempolicy.h"
#include "space/rmap.h"
#include "space/userfaultfd.h"

int thp_init(void)
{
	space_sys.thp = (struct thp_state){
		.enabled = THP_MADVISE,
		.enabled_all = THP_MADVISE,
		.enabled_size = THP_INHERIT,
		.defrag = THP_DEFRAG_MADVISE,
		.khugepaged_defrag = 1,
		.pages_to_scan = 8 * HPAGE_PMD_NR,
		.scan_sleep_millisecs = 10000,
		.alloc_sleep_millisecs = 60000,
		.max_ptes_none = HPAGE_PMD_NR - 1,
		.max_ptes_swap = HPAGE_PMD_NR / 8,
		.max_ptes_shared = HPAGE_PMD_NR / 2,
		.pass = 1,
		.use_zero_page = 1,
	};
	init_waitqueue_head(&space_sys.thp.wait);
	return huge_zero_init();
}

bool thp_vma_possible(const struct vm_area_struct *vma)
{
	return vma_is_anonymous(vma) &&
	       !(vma->vm_flags & (VM_SHARED | VM_NOHUGEPAGE | VM_UFFD_FLAGS)) &&
	       pt_can_huge(vma->vm_mm->pt.fmt);
}

bool thp_vma_allowed(const struct vm_area_struct *vma)
{
	return thp_wanted(vma) && thp_vma_possible(vma) &&
	       !(READ_ONCE(vma->vm_mm->flags) & MMF_DISABLE_THP);
}

bool thp_vma_eligible(const struct vm_area_struct *vma)
{
	return thp_vma_allowed(vma) &&
	       ALIGN(vma->vm_start, HPAGE_PMD_SIZE) + HPAGE_PMD_SIZE <=
		       vma->vm_end;
}

int mm_set_thp_disable(struct mm_struct *mm, bool disable)
{
	if (disable)
		__atomic_fetch_or(&mm->flags, MMF_DISABLE_THP,
				  __ATOMIC_RELAXED);
	else
		__atomic_fetch_and(&mm->flags, ~MMF_DISABLE_THP,
				   __ATOMIC_RELAXED);
	return 0;
}

int mm_thp_disabled(const struct mm_struct *mm)
{
	return (READ_ONCE(mm->flags) & MMF_DISABLE_THP) != 0;
}

gfp_t thp_gfp(const struct vm_area_struct *vma)
{
	bool advised = (vma->vm_flags & VM_HUGEPAGE) != 0;
	gfp_t none = (GFP_HIGHUSER_MOVABLE | __GFP_ACCOUNT | __GFP_NOMEMALLOC |
		      __GFP_NOWARN) &
		     ~__GFP_RECLAIM;
	gfp_t light = none | __GFP_DIRECT_RECLAIM | __GFP_NORETRY;

	switch (READ_ONCE(space_sys.thp.defrag)) {
	case THP_DEFRAG_ALWAYS:
		return advised ? none | __GFP_DIRECT_RECLAIM : light;
	case THP_DEFRAG_DEFER:
		return none | __GFP_KSWAPD_RECLAIM;
	case THP_DEFRAG_DEFER_MADVISE:
		return advised ? none | __GFP_DIRECT_RECLAIM
			       : none | __GFP_KSWAPD_RECLAIM;
	case THP_DEFRAG_MADVISE:
		return advised ? none | __GFP_DIRECT_RECLAIM : none;
	default:
		return none;
	}
}

bool thp_empty(const struct pt_slot *slot, uva_t va)
{
	struct pt_slot at = *slot;
	uva_t end = va + HPAGE_PMD_SIZE;

	return (pt_native(slot) ? pt_skip_none_as(&at, va, end, true)
				: pt_skip_none_as(&at, va, end, false)) == end;
}

/* ---- a block's pages, and the table's entries ------------------------------
 */

/* Pages that are counted and put on lists at once. */
#define MAP_BATCH 64u

/* One by one, as pages that came alone: whatever the lists and the mapping are
 * like, and whoever listens. */
static void map_singly(struct vm_area_struct *vma, struct pt_slot slot,
		       uva_t va, struct page *block)
{
	struct page *pages[MAP_BATCH];

	for (u32 i = 0; i < HPAGE_PMD_NR; i += MAP_BATCH) {
		u32 n;

		for (u32 j = 0; j < MAP_BATCH; j++)
			pages[j] = block + i + j;
		n = map_fresh_pages(vma, slot, va, pages, MAP_BATCH);
		mm_verify(n == MAP_BATCH);
		va += MAP_BATCH * PAGE_SIZE;
		for (u32 j = 0; j < MAP_BATCH; j++)
			pt_next(&slot);
	}
}

/* BLOCK's frames, which nobody knows, become VMA's pages, all in one way.
 * False: nothing was done. Table locked. */
static bool map_at_once(struct vm_area_struct *vma, const struct pt_slot *slot,
			uva_t va, struct page *block)
{
	u64 e, *at = slot->entry;

	if ((vma->vm_flags & VM_LOCKED) || !pt_native(slot) ||
	    trace_enabled(TRACE_PAGE_MAP) ||
	    !page_add_block_rmap(block, HPAGE_PMD_ORDER, vma, va))
		return false;
	mm_counter_add(vma->vm_mm, MM_ANONPAGES, HPAGE_PMD_NR);
	e = fresh_entry(vma, block).val;
	for (u32 i = 0; i < HPAGE_PMD_NR; i++, e += PAGE_SIZE)
		__atomic_store_n(&at[i], e, __ATOMIC_RELEASE);
	return true;
}

void thp_map_block(struct vm_area_struct *vma, struct pt_slot slot, uva_t va,
		   struct page *block)
{
	if (likely(PageBlock(block)) &&
	    likely(map_at_once(vma, &slot, va, block)))
		return;
	if (PageBlock(block))
		split_page(block, HPAGE_PMD_ORDER);
	map_singly(vma, slot, va, block);
}

struct page *thp_block(const struct vm_area_struct *vma, uva_t va)
{
	gfp_t gfp = thp_gfp(vma) | __GFP_ZERO;
	struct page *block =
		vma_alloc_block(gfp & ~(__GFP_ACCOUNT | __GFP_HARDWALL),
				HPAGE_PMD_ORDER, vma, va);

	if (block && !charge_block_new(block, HPAGE_PMD_ORDER, gfp)) {
		count_vm_event(THP_FAULT_FALLBACK_CHARGE);
		__free_pages(block, HPAGE_PMD_ORDER);
		block = NULL;
	}
	if (block) {
		count_vm_event(THP_FAULT_ALLOC);
		memcg_task_count(port_current(), GROUP_THP_FAULT_ALLOC, 1);
	} else {
		count_vm_event(THP_FAULT_FALLBACK);
	}
	return block;
}

/* What a huge page at VA of VMA needs beside itself. 0, -EEXIST, -ENOMEM. */
static int map_prepare(struct vm_area_struct *vma, uva_t va,
		       struct pt_slot *slot)
{
	struct pgtable *pt = &vma->vm_mm->pt;

	if (pt_lookup(pt, va, slot) && !thp_empty(slot, va))
		return -EEXIST;
	if ((!READ_ONCE(vma->anon_vma) && anon_vma_prepare(vma)) ||
	    pt_alloc(pt, va, slot) || pt_huge_prepare(pt, va)) {
		count_vm_event(THP_FAULT_FALLBACK);
		return -ENOMEM;
	}
	return 0;
}

int thp_map_new(struct vm_area_struct *vma, uva_t va)
{
	struct mm_struct *mm = vma->vm_mm;
	struct pt_slot slot;
	struct page *block;
	int err = map_prepare(vma, va, &slot);

	if (err)
		return err;
	block = thp_block(vma, va);
	if (!block)
		return -ENOMEM;
	pt_lock(&slot);
	if (!thp_empty(&slot, va) || (READ_ONCE(mm->flags) & MMF_UNSTABLE)) {
		pt_unlock(&slot);
		__free_pages(block, HPAGE_PMD_ORDER);
		return -EAGAIN;
	}
	thp_map_block(vma, slot, va, block);
	if (pt_promote_filled(&mm->pt, &slot, va))
		trace_emit(PAGE_HUGE, page_to_pfn(block), mm->serial, va,
			   PAGE_HUGE_MAP);
	pt_unlock(&slot);
	return 0;
}

bool thp_fault_slow(struct vm_fault *vmf)
{
	uva_t va = thp_region(vmf->vma, vmf->address);

	if (!va || !thp_vma_allowed(vmf->vma))
		return false;
	if (vmf->flags & FAULT_FLAG_WRITE)
		return !thp_map_new(vmf->vma, va);
	return READ_ONCE(space_sys.thp.use_zero_page) &&
	       !thp_map_zero(vmf->vma, va);
}

/* The 512 pages from SLOT's, the first, are VMA's alone: theirs from now on.
 * Some of them may be when it is false, which is true of them. */
static bool all_exclusive(struct vm_area_struct *vma, struct pt_slot slot)
{
	for (u32 i = 0; i < HPAGE_PMD_NR; i++, pt_next(&slot)) {
		struct page *page = pfn_to_page(pte_pfn(pt_get(&slot)));
		bool ours;

		if (page_mapcount(page) != 1 || !PageAnon(page) ||
		    !trylock_page(page))
			return false;
		ours = page_make_exclusive(page);
		if (ours)
			page_move_anon_rmap(page, vma);
		unlock_page(page);
		if (!ours)
			return false;
	}
	return true;
}

bool thp_wp_reuse(struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	uva_t va = thp_region(vma, vmf->address);
	struct pt_slot first;
	bool ours;

	/* No region: a large entry may go on where a mapping was split. */
	if ((vma->vm_flags & (VM_WRITE | VM_SHARED)) != VM_WRITE ||
	    (vmf->flags & FAULT_FLAG_UNSHARE) || !va ||
	    !pt_lookup(&vma->vm_mm->pt, va, &first))
		return false;
	pt_lock_read(&first);
	ours = pt_promoted(first.table) &&
	       pte_same(pt_get(&vmf->slot), vmf->orig) &&
	       !pte_special(vmf->orig) && all_exclusive(vma, first);
	if (ours) {
		pt_huge_mkwrite(&first);
		count_vm_event(PGREUSE);
	}
	pt_unlock(&first);
	return ours;
}

u32 thp_populate(struct vm_area_struct *vma, uva_t addr, uva_t end)
{
	if (likely(!thp_wanted(vma)) || end - addr < HPAGE_PMD_SIZE ||
	    thp_region(vma, addr) != addr || !thp_vma_allowed(vma))
		return 0;
	return thp_map_new(vma, addr) ? 0 : HPAGE_PMD_NR;
}
