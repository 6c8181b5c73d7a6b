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

/* What is mapped around a fault. Of NR_PAGES, as long as the table is locked:
 * a truncation that changes it empties the table after. */
struct around {
	struct vm_fault *vmf;
	const struct address_space *mapping;
	u64 nr_pages; /* of the file */
	bool faulted; /* the page of the fault itself was mapped */
};

/* May PAGE, found and tried, be mapped as it is? Locked then. */
static bool map_pages_ready(const struct around *a, struct page *page)
{
	if (PageReadahead(page) || !PageUptodate(page) || !trylock_page(page))
		return false;
	if (page_mapping(page) == a->mapping && PageUptodate(page) &&
	    page_index(page) < a->nr_pages)
		return true;
	unlock_page(page);
	return false;
}

/* Map PAGE, which carries a reference, if its place is free. True: the entry
 * has the reference. Table locked. */
static bool map_one(struct around *a, struct page *page)
{
	struct pt_slot slot = a->vmf->slot;
	s64 at = (s64)page_index(page) - (s64)a->vmf->pgoff;

	slot.entry = (char *)slot.entry + at * slot.fmt->entry_bytes;
	if (!pte_none(pt_get(&slot)) || !map_pages_ready(a, page))
		return false;
	set_file_entry_uncounted(a->vmf, &slot, page, false, at == 0);
	unlock_page(page);
	a->faulted |= at == 0;
	return true;
}

/* Map what may be of PAGES[N]; those are NULL then. How many. Table locked. */
static u32 map_batch(struct around *a, struct page **pages, u32 n)
{
	struct mm_struct *mm = a->vmf->vma->vm_mm;
	enum mm_counter kind = MM_FILEPAGES;
	u32 mapped = 0;

	for (u32 i = 0; i < n; i++) {
		if (!map_one(a, pages[i]))
			continue;
		kind = mm_counter(pages[i]);
		pages[i] = NULL;
		mapped++;
	}
	/* A mapping's pages are all of one kind. */
	if (mapped)
		mm_counter_add(mm, kind, mapped);
	return mapped;
}

#define MAP_PAGES_BATCH 16u

vm_fault_t filemap_map_pages(struct vm_fault *vmf, u64 start, u64 end)
{
	struct file *file = vmf->vma->vm_file;
	struct around a = {.vmf = vmf, .mapping = file->f_mapping};
	struct page *pages[MAP_PAGES_BATCH];
	u32 n, mapped = 0, misses;

	mm_assert(start <= vmf->pgoff && vmf->pgoff <= end);
	n = find_get_pages_range(file->f_mapping, &start, end, MAP_PAGES_BATCH,
				 pages);
	pt_lock(&vmf->slot);
	a.nr_pages = PFN_UP(i_size_read(a.mapping->host));
	/* The OOM reaper empties private mappings: nothing comes back. */
	if ((vmf->vma->vm_flags & VM_SHARED) ||
	    !(READ_ONCE(vmf->vma->vm_mm->flags) & MMF_UNSTABLE))
		mapped = map_batch(&a, pages, n);
	pt_unlock(&vmf->slot);
	for (u32 i = 0; i < n; i++)
		if (pages[i])
			put_page(pages[i]);
	/* Each is a hit as far as reading around is concerned. */
	misses = READ_ONCE(file->f_ra.mmap_miss);
	if (mapped && misses)
		WRITE_ONCE(file->f_ra.mmap_miss, misses - min(misses, mapped));
	return a.faulted ? VM_FAULT_NOPAGE : 0;
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
