/* SPDX-License-Identifier: MIT */
/*
 * fault_swap.c - a page comes back from swap.
 *
 * The page is found in the swap cache or read in (with neighbours). Waiting
 * for the read is waiting for the page lock. Then, under the table lock, the
 * swap entry is replaced by the page, if both are still what they were.
 *
 * A page that is on its way to another frame is waited for (migration_entry.c).
 */
#include <mmkit/highmem.h>
#include <mmkit/page_alloc.h>

#include "cache/swap.h"
#include "phys/lru.h"
#include "phys/vmstat.h"
#include "space/fault.h"
#include "space/ksm.h"
#include "space/mempolicy.h"
#include "space/rmap.h"

/* ENTRY's page with a reference; *MAJOR if a read was needed. */
static struct page *swap_get_page(const struct vm_fault *vmf, swp_entry_t entry,
				  bool *major)
{
	const gfp_t gfp = GFP_HIGHUSER_MOVABLE | __GFP_ACCOUNT;
	struct page *page = lookup_swap_cache(entry);
	struct mempolicy *held;
	struct mpol_place place;

	*major = page == NULL;
	if (page)
		put_page(page);
	/* Also when it was found: read-ahead learns from its hits. */
	if (READ_ONCE(cache_sys.vma_ra_enabled))
		return swapin_vma(vmf, entry, gfp);
	held = vma_place(vmf->vma, vmf->address, &place);
	page = swapin_readahead_place(entry, gfp, &place);
	mpol_put(held);
	return page;
}

/* Is the entry to allow the write that faulted? */
static bool swap_for_write(const struct vm_fault *vmf)
{
	return (vmf->flags & (FAULT_FLAG_WRITE | FAULT_FLAG_FORCE)) ==
	       FAULT_FLAG_WRITE;
}

/*
 * The entry for PAGE: writable if this is a write to a page that is ours
 * alone; then the swap cache has let it go.
 */
static pte_t swap_make_pte(struct vm_fault *vmf, struct page *page,
			   bool exclusive)
{
	pte_t e = pte_mkyoung(
		pte_make(page_to_pfn(page), vmf->vma->vm_page_prot));

	e = pte_swp_give(pte_wrprotect(e), vmf->orig);
	/* Watched: the access is repeated, and then asks. */
	if (exclusive && swap_for_write(vmf) && !pte_uffd_wp(e))
		e = pte_mkdirty(pte_mkwrite(e));
	return e;
}

/*
 * Replace the swap entry. Page and table locked; the entry was re-checked.
 * A page that nobody else can want (no other entries, only the cache's and
 * our reference) may be written at once.
 */
static void swap_map_page(struct vm_fault *vmf, struct page *page,
			  swp_entry_t entry)
{
	struct mm_struct *mm = vmf->vma->vm_mm;
	bool exclusive;

	swap_free(entry);
	mm_counter_add(mm, MM_SWAPENTS, -1);
	mm_counter_add(mm, MM_ANONPAGES, 1);
	exclusive = page_mapcount(page) == 0 && swap_count(entry) == 0 &&
		    page_count(page) == 2;
	if (exclusive && !PageKsm(page) &&
	    ((vmf->flags & FAULT_FLAG_WRITE) || page_swap_full(page)))
		exclusive = try_to_free_swap(page);
	else
		exclusive = false;
	page_add_anon_rmap(page, vmf->vma, vmf->address, exclusive);
	if (unlikely(vmf->vma->vm_flags & VM_LOCKED))
		mlock_page(page);
	get_page(page); /* the entry's */
	pt_set(&vmf->slot, swap_make_pte(vmf, page, exclusive));
}

/* COPY, complete, replaces the swap entry. As swap_map_page(). */
static void swap_install_copy(struct vm_fault *vmf, struct page *copy,
			      swp_entry_t entry)
{
	struct vm_area_struct *vma = vmf->vma;
	pte_t e = pte_make(page_to_pfn(copy), vma->vm_page_prot);

	swap_free(entry);
	mm_counter_add(vma->vm_mm, MM_SWAPENTS, -1);
	mm_counter_add(vma->vm_mm, MM_ANONPAGES, 1);
	page_add_new_anon_rmap(copy, vma, vmf->address);
	if (unlikely(vma->vm_flags & VM_LOCKED))
		mlock_new_page(copy);
	lru_cache_add(copy);
	e = pte_wrprotect(pte_mkyoung(pte_mkdirty(e)));
	e = pte_swp_give(pte_clear_soft_dirty(e), vmf->orig);
	if (swap_for_write(vmf) && !pte_uffd_wp(e))
		e = pte_mkdirty(pte_mkwrite(e));
	pt_set(&vmf->slot, e);
	count_vm_event(KSM_SWPIN_COPY);
}

/*
 * PAGE, locked, came back for somebody else with whom this mapping shared it by
 * content: it gets a copy. As swap_fault_finish().
 */
static vm_fault_t swap_fault_copy(struct vm_fault *vmf, struct page *page)
{
	swp_entry_t entry = page_swap_entry(page);
	vm_fault_t ret = 0;
	struct page *copy;

	copy = vma_alloc_page(GFP_HIGHUSER_MOVABLE | __GFP_ACCOUNT, vmf->vma,
			      vmf->address);
	if (!copy)
		return VM_FAULT_OOM;
	copy_highpage(copy, page);
	if (!fault_lock_same(vmf)) {
		put_page(copy);
		return 0;
	}
	if (READ_ONCE(vmf->vma->vm_mm->flags) & MMF_UNSTABLE)
		ret = VM_FAULT_SIGBUS;
	else
		swap_install_copy(vmf, copy, entry);
	pt_unlock(&vmf->slot);
	if (ret)
		put_page(copy);
	else if (!page_mapped(page))
		(void)try_to_free_swap(page);
	return ret;
}

vm_fault_t swap_fault_finish(struct vm_fault *vmf, struct page *page)
{
	swp_entry_t entry = pte_to_swp_entry(vmf->orig);
	vm_fault_t ret = 0;

	/* It left the cache, or was reused for another slot, before we had
	 * its lock: look again from the start. */
	if (!PageSwapCache(page) || page_swap_entry(page).val != entry.val)
		return 0;
	if (unlikely(PageHWPoison(page)))
		return VM_FAULT_HWPOISON;
	if (!PageUptodate(page)) {
		/* The read failed. This access ends here; the next one reads
		 * again, and nobody keeps a frame without contents. */
		delete_from_swap_cache(page);
		return VM_FAULT_SIGBUS;
	}
	if (anon_vma_prepare(vmf->vma))
		return VM_FAULT_OOM;
	if (unlikely(swap_needs_copy(page, vmf->vma, vmf->pgoff)))
		return swap_fault_copy(vmf, page);
	/* A batch's reference would make the page look shared. */
	if (!PageLRU(page) && page_count(page) > 2)
		lru_add_drain();
	if (!fault_lock_same(vmf))
		return 0;
	if (READ_ONCE(vmf->vma->vm_mm->flags) & MMF_UNSTABLE)
		ret = VM_FAULT_SIGBUS;
	else
		swap_map_page(vmf, page, entry);
	pt_unlock(&vmf->slot);
	return ret;
}

vm_fault_t do_swap_page(struct vm_fault *vmf)
{
	swp_entry_t entry = pte_to_swp_entry(vmf->orig);
	struct page *page;
	vm_fault_t ret;
	bool major;

	if (unlikely(is_migration_entry(entry))) {
		migration_entry_wait(&vmf->slot, vmf->orig);
		return 0;
	}
	/* A frame that lost what it held, or a page that could not be read when
	 * its area went: nothing is to be had. */
	if (unlikely(!is_swap_area_entry(entry)))
		return VM_FAULT_HWPOISON;
	page = swap_get_page(vmf, entry, &major);
	if (!page) {
		/* Freed by a racing fault, or no memory: tell them apart. */
		bool same = fault_lock_same(vmf);

		if (same)
			pt_unlock(&vmf->slot);
		return same ? VM_FAULT_OOM : 0;
	}
	lock_page(page);
	if (unlikely(!major && !PageUptodate(page)) && PageSwapCache(page) &&
	    page_swap_entry(page).val == entry.val) {
		/* It was read for another, maybe long ago, or ahead: that this
		 * failed says nothing of us, who read it themselves now. */
		delete_from_swap_cache(page);
		ret = 0;
	} else {
		ret = swap_fault_finish(vmf, page);
	}
	unlock_page(page);
	put_page(page);
	return major && !(ret & VM_FAULT_ERROR) ? ret | VM_FAULT_MAJOR : ret;
}
