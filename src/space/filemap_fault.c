/* SPDX-License-Identifier: MIT */
/*
 * filemap_fault.c - the page cache as the provider of a mapping.
 *
 * The page itself, its read and the read-ahead are the cache's business
 * (src/cache/file_io.c, readahead.c); here are the answers to the three
 * questions of vm_operations_struct.
 *
 * Mapping what is cached around (filemap_map_pages) must not sleep: it is done
 * under the table lock, pages are tried. What is locked, not up to date, or
 * carries the marker of read-ahead is left to a fault of its own. Entries
 * around are not young: nobody has used them yet.
 */
#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>

#include "cache/filemap.h"
#include "space/fault.h"
#include "space/rmap.h"

vm_fault_t filemap_fault(struct vm_fault *vmf)
{
	const struct vm_area_struct *vma = vmf->vma;
	struct filemap_fault ff = {
		.file = vma->vm_file,
		.pgoff = vmf->pgoff,
		.random = (vma->vm_flags & VM_RAND_READ) != 0,
		.sequential = (vma->vm_flags & VM_SEQ_READ) != 0,
	};

	switch (filemap_fault_page(&ff)) {
	case 0:
		vmf->page = ff.page;
		return VM_FAULT_LOCKED | (ff.major ? VM_FAULT_MAJOR : 0);
	case -ENOMEM:
		return VM_FAULT_OOM;
	default:
		return VM_FAULT_SIGBUS;
	}
}

/* May PAGE, found and tried, be mapped as it is? Locked then. */
static bool map_pages_ready(struct address_space *mapping, struct page *page)
{
	u64 isize = i_size_read(mapping->host);

	if (PageReadahead(page) || !PageUptodate(page) || !trylock_page(page))
		return false;
	if (page_mapping(page) == mapping && PageUptodate(page) &&
	    (u64)page_index(page) << PAGE_SHIFT < isize)
		return true;
	unlock_page(page);
	return false;
}

/* Map PAGE, which carries a reference, if its place is free. True: the entry
 * has the reference. Table locked. */
static bool map_one(struct vm_fault *vmf, struct page *page)
{
	struct pt_slot slot = vmf->slot;
	s64 at = (s64)page_index(page) - (s64)vmf->pgoff;

	slot.entry = (char *)slot.entry + at * slot.fmt->entry_bytes;
	if (!pte_none(pt_get(&slot)) ||
	    !map_pages_ready(vmf->vma->vm_file->f_mapping, page))
		return false;
	set_file_entry(vmf, &slot, page, false, at == 0);
	unlock_page(page);
	return true;
}

#define MAP_PAGES_BATCH 16u

vm_fault_t filemap_map_pages(struct vm_fault *vmf, u64 start, u64 end)
{
	struct file *file = vmf->vma->vm_file;
	struct page *pages[MAP_PAGES_BATCH];
	u32 n, mapped = 0, misses;
	vm_fault_t ret = 0;

	mm_assert(start <= vmf->pgoff && vmf->pgoff <= end);
	n = find_get_pages_range(file->f_mapping, &start, end, MAP_PAGES_BATCH,
				 pages);
	pt_lock(&vmf->slot);
	/* The OOM reaper empties private mappings: nothing comes back. */
	if (!(vmf->vma->vm_flags & VM_SHARED) &&
	    (READ_ONCE(vmf->vma->vm_mm->flags) & MMF_UNSTABLE))
		goto out;
	for (u32 i = 0; i < n; i++) {
		u64 index = page_index(pages[i]);

		if (!map_one(vmf, pages[i]))
			continue;
		pages[i] = NULL;
		mapped++;
		if (index == vmf->pgoff)
			ret = VM_FAULT_NOPAGE;
	}
out:
	pt_unlock(&vmf->slot);
	for (u32 i = 0; i < n; i++)
		if (pages[i])
			put_page(pages[i]);
	/* Each is a hit as far as reading around is concerned. */
	misses = READ_ONCE(file->f_ra.mmap_miss);
	if (mapped && misses)
		WRITE_ONCE(file->f_ra.mmap_miss, misses - min(misses, mapped));
	return ret;
}

vm_fault_t filemap_page_mkwrite(struct vm_fault *vmf)
{
	struct page *page = vmf->page;

	lock_page(page);
	if (page_mapping(page) != vmf->vma->vm_file->f_mapping) {
		unlock_page(page);
		return VM_FAULT_NOPAGE;
	}
	(void)set_page_dirty(page);
	return VM_FAULT_LOCKED;
}

const struct vm_operations_struct generic_file_vm_ops = {
	.fault = filemap_fault,
	.map_pages = filemap_map_pages,
	.page_mkwrite = filemap_page_mkwrite,
};

int generic_file_mmap(struct file *file, struct vm_area_struct *vma)
{
	if (!file->f_mapping->a_ops->readpage)
		return -ENODEV;
	vma->vm_ops = &generic_file_vm_ops;
	return 0;
}
