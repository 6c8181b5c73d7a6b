/* SPDX-License-Identifier: MIT */
/*
 * fault_anon.c - the first touch of an anonymous page.
 *
 * A read maps the one shared zero page, read-only and special (it has no
 * reverse mapping and is not counted); a write gets a page of its own.
 */
#include <mmkit/page_alloc.h>

#include "phys/lru.h"
#include "space/fault.h"
#include "space/mempolicy.h"
#include "space/rmap.h"

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
	pt_set(&vmf->slot, pte_mkyoung(pte_wrprotect(e)));
	pt_unlock(&vmf->slot);
	return 0;
}

/* The entry of a fresh page of VMA. */
static inline pte_t fresh_entry(const struct vm_area_struct *vma,
				const struct page *page)
{
	pte_t e = pte_make(page_to_pfn(page), vma->vm_page_prot);

	if (vma->vm_flags & VM_WRITE)
		e = pte_mkwrite(e);
	return pte_mkyoung(pte_mkdirty(e));
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
	pt_set(&vmf->slot, fresh_entry(vma, page));
	pt_unlock(&vmf->slot);
	return 0;
}

vm_fault_t do_anonymous_page(struct vm_fault *vmf)
{
	struct page *page;

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
