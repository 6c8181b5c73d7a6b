/* SPDX-License-Identifier: MIT */
/*
 * fault_cow.c - a write to a page that may not be written where it is.
 *
 * The zero page and pages that others can see are copied. A page that nobody
 * else refers to is taken over as it is. "Nobody else" is decided by the
 * reference count under the page lock: mappings, the swap cache and everybody
 * who is just looking hold references, so a count of one means this entry.
 * Copying once too often is allowed, reusing once too often never.
 */
#include <mmkit/highmem.h>
#include <mmkit/page_alloc.h>
#include <mmkit/port.h>

#include "cache/swap.h"
#include "phys/lru.h"
#include "phys/vmstat.h"
#include "space/fault.h"
#include "space/huge.h"
#include "space/ksm.h"
#include "space/mempolicy.h"
#include "space/rmap.h"
#include "space/userfaultfd.h"

void wp_page_reuse(struct vm_fault *vmf)
{
	pte_t e = pte_mkyoung(pte_mkdirty(vmf->orig));

	mm_assert(!pte_special(vmf->orig));
	if (likely(!(vmf->flags & FAULT_FLAG_FORCE)))
		e = pte_mkwrite(e);
	pt_set(&vmf->slot, e);
	count_vm_event(PGREUSE);
}

bool page_make_exclusive(struct page *page)
{
	int expect = 1;

	mm_assert(PageLocked(page));
	/* Who shares by content may come at any time. */
	if (unlikely(PageKsm(page)))
		return false;
	/* A batch on the way to the LRU holds a reference. */
	if (!PageLRU(page) && page_count(page) > 1)
		lru_add_drain();
	if (PageSwapCache(page))
		expect++;
	if (page_count(page) != expect || page_mapcount(page) != 1)
		return false;
	if (PageSwapCache(page) && !try_to_free_swap(page))
		return false;
	return page_count(page) == 1;
}

/* Is the write done without a copy? Table locked on entry and return. */
static bool wp_try_reuse(struct vm_fault *vmf, struct page *page)
{
	bool ours;

	/* Others waiting for the page lock have references: then copy. */
	if (page_mapcount(page) != 1 || !trylock_page(page))
		return false;
	ours = page_make_exclusive(page);
	if (ours)
		page_move_anon_rmap(page, vmf->vma);
	unlock_page(page);
	return ours;
}

/* The entry of the copy E: writable, unless nobody wrote. */
static pte_t copied_entry(const struct vm_fault *vmf, pte_t e)
{
	pte_t old = vmf->orig;

	if (unlikely(vmf->flags & FAULT_FLAG_FORCE))
		return pte_wrprotect(pte_mkyoung(pte_mkdirty(e)));
	if (likely(!(vmf->flags & FAULT_FLAG_UNSHARE)))
		return pte_mkwrite(pte_mkyoung(pte_mkdirty(e)));
	/* Dirty, since only the page has the contents; but not by a write. */
	e = pte_wrprotect(pte_mkyoung(pte_mkdirty(e)));
	if (!pte_soft_dirty(old))
		e = pte_clear_soft_dirty(e);
	return pte_uffd_wp(old) ? pte_mkuffd_wp(e) : e;
}

static void trace_copied(const struct vm_fault *vmf, const struct page *old,
			 const struct page *copy)
{
	const struct mm_struct *mm = vmf->vma->vm_mm;

	if (!old)
		return;
	trace_unmap(old, mm, vmf->address, PAGE_UNMAP_COW);
	trace_emit(PAGE_COW, page_to_pfn(old), page_to_pfn(copy), mm->serial,
		   vmf->address);
}

/* Put COPY in place of OLD (NULL: the zero page). Table locked. */
static void wp_install_copy(struct vm_fault *vmf, struct page *old,
			    struct page *copy)
{
	struct vm_area_struct *vma = vmf->vma;
	struct mm_struct *mm = vma->vm_mm;
	pte_t e = pte_make(page_to_pfn(copy), vma->vm_page_prot);

	/* No CPU may read the old page after another wrote the new one. */
	pt_xchg(&vmf->slot, (pte_t){0});
	port_tlb_flush(&mm->cpus, mm->asid, vmf->address,
		       vmf->address + PAGE_SIZE);
	trace_copied(vmf, old, copy);
	page_add_new_anon_rmap(copy, vma, vmf->address);
	if (unlikely(vma->vm_flags & VM_LOCKED))
		mlock_new_page(copy);
	lru_cache_add(copy);
	pt_set(&vmf->slot, copied_entry(vmf, e));
	if (!old)
		ksm_zero_gone(mm, vmf->orig);
	else if (unlikely(PageKsm(old)))
		count_vm_event(COW_KSM);
	if (!old || !PageAnon(old))
		mm_counter_add(mm, MM_ANONPAGES, 1);
	if (old && !PageAnon(old))
		mm_counter_add(mm, mm_counter(old), -1);
	if (!old)
		return;
	page_remove_rmap(old);
}

/* OLD, if any, is held by a reference of ours. */
static vm_fault_t wp_page_copy(struct vm_fault *vmf, struct page *old)
{
	gfp_t gfp = GFP_HIGHUSER_MOVABLE | __GFP_ACCOUNT;
	struct page *copy = NULL;

	if (likely(READ_ONCE(vmf->vma->anon_vma)) ||
	    !anon_vma_prepare(vmf->vma))
		copy = vma_alloc_page(old ? gfp : gfp | __GFP_ZERO, vmf->vma,
				      vmf->address);
	if (!copy) {
		if (old)
			put_page(old);
		return VM_FAULT_OOM;
	}
	if (old)
		copy_highpage(copy, old);
	if (!fault_lock_same(vmf)) {
		put_page(copy);
	} else if (READ_ONCE(vmf->vma->vm_mm->flags) & MMF_UNSTABLE) {
		pt_unlock(&vmf->slot);
		put_page(copy);
		if (old)
			put_page(old);
		return VM_FAULT_SIGBUS;
	} else {
		wp_install_copy(vmf, old, copy);
		pt_unlock(&vmf->slot);
		if (old)
			put_page(old); /* the entry's reference */
	}
	if (old && unlikely(PageMlocked(old)))
		munlock_page(old);
	if (old)
		free_page_and_swap_cache(old);
	return 0;
}

/* Writes were watched to be noted, not to be asked about: this one is noted.
 * False: somebody was faster. */
static bool wp_forget_watch(struct vm_fault *vmf)
{
	if (!fault_lock_same(vmf))
		return false;
	vmf->orig =
		pte_clear_uffd_wp(pt_clear_bits(&vmf->slot, X86_PTE_UFFD_WP));
	pt_unlock(&vmf->slot);
	return true;
}

vm_fault_t do_wp_page(struct vm_fault *vmf)
{
	struct page *page;
	bool large;

	if (unlikely(vmf->flags & FAULT_FLAG_UNSHARE)) {
		if (!ksm_entry(vmf->orig))
			return 0;
	} else if (unlikely(pte_uffd_wp(vmf->orig))) {
		if (!userfaultfd_wp_async(vmf->vma))
			return VM_FAULT_UFFD_WP;
		if (!wp_forget_watch(vmf))
			return 0;
	}
	/* A large entry is made writable, or becomes small ones. */
	large = pt_promoted(vmf->slot.table) &&
		!(vmf->flags & FAULT_FLAG_FORCE);
	if (pte_special(vmf->orig)) {
		if (unlikely(large) && thp_zero_write(vmf))
			return 0;
		return wp_page_copy(vmf, NULL);
	}
	if (unlikely(large) && thp_wp_reuse(vmf))
		return 0;
	if (!fault_lock_same(vmf))
		return 0;
	page = pfn_to_page(pte_pfn(vmf->orig));
	if (unlikely(vmf->flags & FAULT_FLAG_UNSHARE) && !PageKsm(page)) {
		pt_unlock(&vmf->slot);
		return 0;
	}
	if (vmf->vma->vm_flags & VM_SHARED) {
		get_page(page);
		pt_unlock(&vmf->slot);
		return do_wp_shared(vmf, page);
	}
	/* A file's page is never ours, whoever else refers to it. */
	if (PageAnon(page) && wp_try_reuse(vmf, page)) {
		wp_page_reuse(vmf);
		pt_unlock(&vmf->slot);
		return 0;
	}
	get_page(page);
	pt_unlock(&vmf->slot);
	return wp_page_copy(vmf, page);
}
