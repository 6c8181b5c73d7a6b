/* SPDX-License-Identifier: MIT */
/*
 * fault_file.c - the first touch of a page that a provider has.
 *
 * 1. Cases, all with no entry yet:
 *      read                    map the provider's page, read-only: the first
 *                              write must be seen (fault_shared.c, fault_cow.c)
 *      write, private mapping  a copy, which is anonymous from then on
 *      write, shared mapping   the provider's page, dirty (fault_shared.c)
 *    Before a read goes to the provider alone, what it has at hand around the
 *    address is mapped too (fault-around): a program's text would cost a fault
 *    for each page otherwise.
 *
 * 2. The page is locked from the provider's answer until its entry is set, so
 *    it cannot leave its file between: truncation locks it, and unmaps, after
 *    us or before us (then it is no longer the file's, which the provider
 *    looks at under the lock).
 *
 * 3. Invariants. FT-1 to FT-3 (fault.c), and
 *    FF-1  An entry that maps a page of a file was set with that page locked,
 *          up to date and within the file.
 *    FF-2  A writable entry of a page of a file is in a VM_SHARED mapping, and
 *          the page is dirty or the provider does not write it anywhere.
 *
 * References: mmap(2), NOTES on SIGBUS; Linux documentation,
 * filesystems/locking (vm_operations_struct).
 */
#include <mmkit/highmem.h>
#include <mmkit/page_alloc.h>

#include "cache/filemap.h"
#include "phys/lru.h"
#include "space/fault.h"
#include "space/mempolicy.h"
#include "space/rmap.h"

/* Pages that one read fault maps at most, aligned: 64 KiB. */
#define FAULT_AROUND_PAGES 16u

vm_fault_t fault_get_page(struct vm_fault *vmf)
{
	const struct vm_operations_struct *ops = vmf->vma->vm_ops;
	vm_fault_t ret;

	if (!ops->fault)
		return VM_FAULT_SIGBUS;
	vmf->page = NULL;
	ret = ops->fault(vmf);
	if (ret & (VM_FAULT_ERROR | VM_FAULT_NOPAGE))
		return ret;
	mm_verify(vmf->page);
	if (!(ret & VM_FAULT_LOCKED))
		lock_page(vmf->page);
	return ret | VM_FAULT_LOCKED;
}

void fault_put_page(struct vm_fault *vmf)
{
	unlock_page(vmf->page);
	put_page(vmf->page);
	vmf->page = NULL;
}

void set_file_entry_uncounted(struct vm_fault *vmf, const struct pt_slot *slot,
			      struct page *page, bool write, bool young)
{
	const struct vm_area_struct *vma = vmf->vma;
	pte_t e = pte_make(page_to_pfn(page), vma->vm_page_prot);

	mm_assert(PageLocked(page));
	page_add_file_rmap(page);
	trace_emit(PAGE_MAP, page_to_pfn(page), vma->vm_mm->serial,
		   vmf->address, PAGE_MAP_FILE);
	if (unlikely(vma->vm_flags & VM_LOCKED))
		mlock_page(page);
	if (write)
		e = pte_mkdirty(pte_mkwrite(e));
	else
		e = pte_wrprotect(e);
	e = young ? pte_mkyoung(e) : e;
	pt_set(slot, pte_keep_watch(e, pt_get(slot)));
}

void set_file_entry(struct vm_fault *vmf, const struct pt_slot *slot,
		    struct page *page, bool write, bool young)
{
	mm_counter_add(vmf->vma->vm_mm, mm_counter(page), 1);
	set_file_entry_uncounted(vmf, slot, page, write, young);
}

/* The OOM reaper was here: fresh contents must not appear. Table locked. */
static bool fault_unstable(const struct vm_fault *vmf)
{
	return !(vmf->vma->vm_flags & VM_SHARED) &&
	       (READ_ONCE(vmf->vma->vm_mm->flags) & MMF_UNSTABLE);
}

vm_fault_t fault_map_page(struct vm_fault *vmf, bool write)
{
	vm_fault_t ret = 0;

	if (!fault_lock_same(vmf))
		return VM_FAULT_NOPAGE;
	if (fault_unstable(vmf)) {
		ret = VM_FAULT_SIGBUS;
	} else {
		get_page(vmf->page); /* the entry's */
		set_file_entry(vmf, &vmf->slot, vmf->page, write, true);
	}
	pt_unlock(&vmf->slot);
	return ret;
}

/* ---- reading ---------------------------------------------------------------
 */

/* The window around the fault that lies in the mapping and in one page table:
 * it begins aligned, or where the mapping does, and is never shorter for that.
 */
static vm_fault_t fault_around(struct vm_fault *vmf)
{
	const struct vm_area_struct *vma = vmf->vma;
	u64 window = (u64)FAULT_AROUND_PAGES << PAGE_SHIFT;
	uva_t table = ALIGN_DOWN(vmf->address, pt_span(vmf->slot.fmt, 1));
	uva_t start = ALIGN_DOWN(vmf->address, window), end;

	start = max(max(start, vma->vm_start), table);
	end = min(start + window, vma->vm_end);
	end = pt_table_end(&vma->vm_mm->pt, vmf->address, end);
	return vma->vm_ops->map_pages(
		vmf, vmf->pgoff - ((vmf->address - start) >> PAGE_SHIFT),
		vmf->pgoff + ((end - vmf->address) >> PAGE_SHIFT) - 1);
}

static vm_fault_t do_read_fault(struct vm_fault *vmf)
{
	vm_fault_t ret, map;

	/* Neighbours would come without being asked for, or unwatched. */
	if (vmf->vma->vm_ops->map_pages &&
	    !(vmf->vma->vm_flags & (VM_UFFD_WP | VM_UFFD_MINOR))) {
		ret = fault_around(vmf);
		if (ret)
			return ret;
	}
	ret = fault_get_page(vmf);
	if (ret & (VM_FAULT_ERROR | VM_FAULT_NOPAGE))
		return ret;
	map = fault_map_page(vmf, false);
	fault_put_page(vmf);
	return ret | map;
}

/* ---- the first write of a private mapping ----------------------------------
 */

/* COPY, complete, takes the place. True: it is there. */
static vm_fault_t map_copy(struct vm_fault *vmf, struct page *copy, bool *done)
{
	struct vm_area_struct *vma = vmf->vma;
	pte_t e = pte_make(page_to_pfn(copy), vma->vm_page_prot);
	vm_fault_t ret = 0;

	if (!fault_lock_same(vmf))
		return 0;
	if (fault_unstable(vmf)) {
		ret = VM_FAULT_SIGBUS;
	} else {
		mm_counter_add(vma->vm_mm, MM_ANONPAGES, 1);
		page_add_new_anon_rmap(copy, vma, vmf->address);
		if (unlikely(vma->vm_flags & VM_LOCKED))
			mlock_new_page(copy);
		lru_cache_add(copy);
		e = pte_mkyoung(pte_mkdirty(e));
		if (vma->vm_flags & VM_WRITE)
			e = pte_mkwrite(e);
		pt_set(&vmf->slot, pte_keep_watch(e, vmf->orig));
		*done = true;
	}
	pt_unlock(&vmf->slot);
	return ret;
}

static vm_fault_t do_cow_fault(struct vm_fault *vmf)
{
	struct page *copy = NULL;
	bool done = false;
	vm_fault_t ret;

	if (!anon_vma_prepare(vmf->vma))
		copy = vma_alloc_page(GFP_HIGHUSER_MOVABLE | __GFP_ACCOUNT,
				      vmf->vma, vmf->address);
	if (!copy)
		return VM_FAULT_OOM;
	ret = fault_get_page(vmf);
	if (!(ret & (VM_FAULT_ERROR | VM_FAULT_NOPAGE))) {
		copy_highpage(copy, vmf->page);
		SetPageUptodate(copy);
		/* Still locked: truncation, which takes copies too, comes
		 * before or after both. */
		ret |= map_copy(vmf, copy, &done);
		fault_put_page(vmf);
	}
	if (!done)
		put_page(copy);
	return ret;
}

vm_fault_t do_fault(struct vm_fault *vmf)
{
	vm_fault_t ret;

	mm_assert(!vma_is_anonymous(vmf->vma));
	if (!(vmf->flags & FAULT_FLAG_WRITE))
		ret = do_read_fault(vmf);
	else if (!(vmf->vma->vm_flags & VM_SHARED))
		ret = do_cow_fault(vmf);
	else
		ret = do_shared_fault(vmf);
	return ret & (VM_FAULT_ERROR | VM_FAULT_MAJOR | VM_FAULT_DIRTIED);
}
