/* SPDX-License-Identifier: MIT */
/*
 * fault_shared.c - a write through a shared mapping of a file.
 *
 * Writes through an entry are not seen one by one; what is seen is the first,
 * because the entry was read-only: then the provider is asked (it may have to
 * find room on the disk, or may say no), the page becomes dirty, and the entry
 * writable. Before the page is written its entries are made clean and
 * read-only again (rmap_file.c), so the next write is a first one.
 *
 * All that happens with the page locked. So between page_mkclean() and the
 * start of the write, which need the page lock too, no writable entry appears
 * whose page would not be dirty afterwards.
 *
 * The task has made a page dirty: the driver lets it wait, if there are too
 * many, when it holds no lock any more (VM_FAULT_DIRTIED).
 */
#include <mmkit/page_alloc.h>

#include "cache/filemap.h"
#include "space/fault.h"
#include "space/rmap.h"

/*
 * Ask the provider whether vmf->page may be written. On 0 it is locked and
 * still has its file; else it is not locked: an error, or NOPAGE: look again.
 */
static vm_fault_t make_writable(struct vm_fault *vmf)
{
	const struct vm_operations_struct *ops = vmf->vma->vm_ops;
	vm_fault_t ret = 0;

	if (ops->page_mkwrite) {
		ret = ops->page_mkwrite(vmf);
		if (ret & (VM_FAULT_ERROR | VM_FAULT_NOPAGE))
			return ret;
	}
	if (!(ret & VM_FAULT_LOCKED))
		lock_page(vmf->page);
	if (page_mapping(vmf->page))
		return 0;
	unlock_page(vmf->page);
	return VM_FAULT_NOPAGE;
}

/* The entry is writable: the page, locked, is dirty. Unlocks it. */
static vm_fault_t dirty_shared_page(struct vm_fault *vmf)
{
	bool dirtied = set_page_dirty(vmf->page);

	unlock_page(vmf->page);
	return dirtied || vmf->vma->vm_ops->page_mkwrite ? VM_FAULT_DIRTIED : 0;
}

vm_fault_t do_shared_fault(struct vm_fault *vmf)
{
	vm_fault_t ret = fault_get_page(vmf), more;

	if (ret & (VM_FAULT_ERROR | VM_FAULT_NOPAGE))
		return ret;
	if (vmf->vma->vm_ops->page_mkwrite) {
		unlock_page(vmf->page);
		more = make_writable(vmf);
		if (more) {
			put_page(vmf->page);
			return ret | more;
		}
	}
	more = fault_map_page(vmf, true);
	if (more)
		unlock_page(vmf->page);
	else
		more = dirty_shared_page(vmf);
	put_page(vmf->page);
	return ret | more;
}

vm_fault_t do_wp_shared(struct vm_fault *vmf, struct page *page)
{
	vm_fault_t ret;

	vmf->page = page;
	ret = make_writable(vmf);
	if (!ret) {
		if (fault_lock_same(vmf)) {
			wp_page_reuse(vmf);
			pt_unlock(&vmf->slot);
			ret = dirty_shared_page(vmf);
		} else {
			unlock_page(page);
		}
	}
	put_page(page);
	return ret & (VM_FAULT_ERROR | VM_FAULT_DIRTIED);
}
