/* SPDX-License-Identifier: MIT */
/*
 * fault_anon.c - the first touch of an anonymous page.
 *
 * A read maps the one shared zero page, read-only and special (it has no
 * reverse mapping and is not counted); a write gets a page of its own. Who
 * wants many pages at once gets them in batches (populate_anonymous()).
 */
#include <mmkit/page_alloc.h>

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
	pt_set(&vmf->slot, pte_keep_watch(fresh_entry(vma, page), vmf->orig));
	pt_unlock(&vmf->slot);
	return 0;
}

/* Pages that populate_anonymous() makes at once. */
#define POPULATE_BATCH 64u

/* The NR fresh PAGES at ADDR of VMA, whose entries are SLOT's on, as far as
 * those are none. Table locked. Returns how many were mapped. */
static u32 map_fresh_pages(struct vm_area_struct *vma, struct pt_slot slot,
			   uva_t addr, struct page **pages, u32 nr)
{
	struct rmap_batch mapped = {0};
	struct pt_slot at = slot;
	u32 n = 0;

	/* Complete and counted before any CPU sees it. */
	for (; n < nr && pte_none(pt_get(&at)); n++, pt_next(&at)) {
		page_add_new_anon_rmap_batch(
			pages[n], vma, addr + (u64)n * PAGE_SIZE, &mapped);
		if (unlikely(vma->vm_flags & VM_LOCKED))
			mlock_new_page(pages[n]);
	}
	if (!n)
		return 0;
	rmap_batch_flush(&mapped);
	mm_counter_add(vma->vm_mm, MM_ANONPAGES, n);
	for (u32 i = 0; i < n; i++, pt_next(&slot))
		pt_set(&slot, fresh_entry(vma, pages[i]));
	/* While the table is locked nobody can let go of them. */
	lru_cache_add_pages(pages, n);
	return n;
}

u32 populate_anonymous(struct vm_area_struct *vma, uva_t addr, uva_t end)
{
	gfp_t gfp = GFP_HIGHUSER_MOVABLE | __GFP_ZERO | __GFP_ACCOUNT;
	struct page *pages[POPULATE_BATCH] = {0};
	struct mm_struct *mm = vma->vm_mm;
	struct pt_slot slot, at;
	u32 want = 0, got, n = 0;

	rwsem_assert_held(&mm->mmap_lock);
	end = min(pt_table_end(&mm->pt, addr, end),
		  addr + POPULATE_BATCH * PAGE_SIZE);
	if (vma->vm_policy || port_current()->mempolicy ||
	    anon_vma_prepare(vma) || pt_alloc(&mm->pt, addr, &slot))
		return 0;
	at = slot;
	while (addr + want * PAGE_SIZE < end && pte_none(pt_get(&at))) {
		want++;
		pt_next(&at);
	}
	if (!want)
		return 0;
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
