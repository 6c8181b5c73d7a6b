/* SPDX-License-Identifier: MIT */
/*
 * fault_anon.c - the first touch of an anonymous page.
 *
 * A read maps the one shared zero page, read-only and special (it has no
 * reverse mapping and is not counted); a write gets a page of its own. Who
 * wants many pages at once gets them in batches (populate_anonymous()).
 */
#include <mmkit/page_alloc.h>

#include "base/string.h"
#include "phys/lru.h"
#include "space/fault.h"
#include "space/mempolicy.h"
#include "space/rmap.h"
#include "space/userfaultfd.h"

static vm_fault_t map_zero_page(struct vm_fault *vmf)
{
	pte_t e = pte_mkspecial(
		pte_make(space_sys.zero_pfn, vmf->vma->vm_page_prot));

	mm_assert(space_sys.zero_pfn != 0);
	if (!fault_lock_same(vmf))
		return 0;
	if (READ_ONCE(vmf->vma->vm_mm->flags) & MMF_UNSTABLE) {
		pt_unlock(&vmf->slot);
		return VM_FAULT_SIGBUS;
	}
	e = pte_mkyoung(pte_wrprotect(e));
	pt_set(&vmf->slot, pte_keep_watch(e, vmf->orig));
	pt_unlock(&vmf->slot);
	return 0;
}

/* The page is complete: make it visible, unless somebody was faster. */
static vm_fault_t map_fresh_page(struct vm_fault *vmf, struct page *page)
{
	struct vm_area_struct *vma = vmf->vma;

	if (unlikely(!fault_lock_same(vmf))) {
		put_page(page);
		return 0;
	}
	/* The OOM reaper was here: zeroes instead of data must not appear. */
	if (unlikely(READ_ONCE(vma->vm_mm->flags) & MMF_UNSTABLE)) {
		pt_unlock(&vmf->slot);
		put_page(page);
		return VM_FAULT_SIGBUS;
	}
	mm_counter_add(vma->vm_mm, MM_ANONPAGES, 1);
	page_add_new_anon_rmap(page, vma, vmf->address);
	if (unlikely(vma->vm_flags & VM_LOCKED))
		mlock_new_page(page);
	lru_cache_add(page);
	pt_set(&vmf->slot, pte_keep_watch(fresh_entry(vma, page), vmf->orig));
	pt_unlock(&vmf->slot);
	return 0;
}

/* Pages that populate_anonymous() makes at once. */
#define POPULATE_BATCH 64u

/* How many entries from SLOT's, of ADDR, to END are none, up to the first that
 * is not. END is in the same table. */
static u32 count_none(const struct pt_slot *slot, uva_t addr, uva_t end)
{
	struct pt_slot at = *slot;
	uva_t to = pt_native(slot) ? pt_skip_none_as(&at, addr, end, true)
				   : pt_skip_none_as(&at, addr, end, false);

	return (u32)((to - addr) >> PAGE_SHIFT);
}

/* Entries for the N PAGES from SLOT on. NATIVE, a constant: pt_native(). */
static inline __attribute__((always_inline)) void
set_fresh(const struct vm_area_struct *vma, struct pt_slot slot,
	  struct page *const *pages, u32 n, bool native)
{
	for (u32 i = 0; i < n; i++, pt_next_as(&slot, native))
		pt_set_as(&slot, fresh_entry(vma, pages[i]), native);
}

u32 map_fresh_pages(struct vm_area_struct *vma, struct pt_slot slot, uva_t addr,
		    struct page **pages, u32 nr)
{
	u32 n = min(nr, count_none(&slot, addr, addr + (u64)nr * PAGE_SIZE));

	if (!n)
		return 0;
	/* Complete and counted before any CPU sees it. */
	page_add_new_anon_rmaps(pages, n, vma, addr);
	if (unlikely(vma->vm_flags & VM_LOCKED))
		for (u32 i = 0; i < n; i++)
			mlock_new_page(pages[i]);
	mm_counter_add(vma->vm_mm, MM_ANONPAGES, n);
	if (likely(pt_native(&slot)))
		set_fresh(vma, slot, pages, n, true);
	else
		set_fresh(vma, slot, pages, n, false);
	/* While the table is locked nobody can let go of them. */
	lru_cache_add_pages(pages, n);
	return n;
}

u32 populate_anonymous(struct vm_area_struct *vma, uva_t addr, uva_t end)
{
	gfp_t gfp = GFP_HIGHUSER_MOVABLE | __GFP_ZERO | __GFP_ACCOUNT;
	struct page *pages[POPULATE_BATCH];
	struct mm_struct *mm = vma->vm_mm;
	struct pt_slot slot;
	u32 want, got, n = 0;

	rwsem_assert_held(&mm->mmap_lock);
	end = min(pt_table_end(&mm->pt, addr, end),
		  addr + POPULATE_BATCH * PAGE_SIZE);
	if (vma->vm_policy || port_current()->mempolicy ||
	    anon_vma_prepare(vma) || pt_alloc(&mm->pt, addr, &slot))
		return 0;
	want = count_none(&slot, addr, end);
	if (!want)
		return 0;
	/* It fills the gaps of what it is given. */
	mm_memset(pages, 0, want * sizeof(pages[0]));
	got = (u32)alloc_pages_bulk(gfp, -1, want, pages);
	pt_lock(&slot);
	if (!(READ_ONCE(mm->flags) & MMF_UNSTABLE))
		n = map_fresh_pages(vma, slot, addr, pages, got);
	pt_unlock(&slot);
	release_pages(pages + n, got - n);
	return n;
}

vm_fault_t do_anonymous_page(struct vm_fault *vmf)
{
	struct page *page;

	if (unlikely(userfaultfd_missing(vmf->vma)))
		return VM_FAULT_UFFD_MISSING;
	if (!(vmf->flags & FAULT_FLAG_WRITE))
		return map_zero_page(vmf);
	if (unlikely(!READ_ONCE(vmf->vma->anon_vma)) &&
	    anon_vma_prepare(vmf->vma))
		return VM_FAULT_OOM;
	page = vma_alloc_page(GFP_HIGHUSER_MOVABLE | __GFP_ZERO | __GFP_ACCOUNT,
			      vmf->vma, vmf->address);
	if (unlikely(!page))
		return VM_FAULT_OOM;
	return map_fresh_page(vmf, page);
}
