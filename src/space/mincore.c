/* SPDX-License-Identifier: MIT */
/*
 * mincore.c - asking about pages, and making them durable: mincore, msync.
 *
 * A page is "in core" if it is mapped, the zero page included, or waits in the
 * swap cache or in its file's. Who may not write a file is told that all of it
 * is there: what others have read of it is not for him to know.
 *
 * References: mincore(2), msync(2).
 */
#include <mmkit/errno.h>
#include <mmkit/mman.h>
#include <mmkit/page_alloc.h>
#include <mmkit/uaccess.h>

#include "cache/filemap.h"
#include "cache/swap.h"
#include "space/rmap.h"
#include "space/space.h"

#define MINCORE_CHUNK 256u

static u8 entry_in_core(pte_t e)
{
	struct page *page;

	if (pte_present(e))
		return 1;
	if (!pte_in_swap(e))
		return pte_migrating(e) ||
		       (pte_swap(e) && is_hwpoison_entry(pte_to_swp_entry(e)));
	page = lookup_swap_cache(pte_to_swp_entry(e));
	if (!page)
		return 0;
	put_page(page);
	return PageUptodate(page) ? 1 : 0;
}

/* Is page PGOFF of MAPPING there, up to date? */
static u8 page_in_core(struct address_space *mapping, u64 pgoff)
{
	struct page *page = find_get_page(mapping, pgoff);
	u8 present;

	if (!page)
		return 0;
	present = PageUptodate(page);
	put_page(page);
	return present;
}

/* May the running task see what is cached of VMA's file? Others' use of a file
 * is nobody's business who could not open it for writing. */
static bool may_see_cache(const struct vm_area_struct *vma)
{
	return vma->vm_file && ((vma->vm_file->f_mode & FMODE_WRITE) ||
				mm_capable(MM_CAP_SYS_ADMIN));
}

/* The N pages from ADDR on, all of VMA. */
static void vma_in_core(struct vm_area_struct *vma, uva_t addr, u64 n, u8 *vec)
{
	bool file = vma->vm_file != NULL;
	bool see = vma_is_anonymous(vma) || may_see_cache(vma);
	struct mm_struct *mm = vma->vm_mm;
	struct pt_slot slot;

	for (u64 i = 0; i < n; i++, addr += PAGE_SIZE) {
		pte_t e = {0};

		if (pt_lookup(&mm->pt, addr, &slot))
			e = pt_get(&slot);
		if (!see)
			vec[i] = 1;
		else if (pte_none_mostly(e) && file)
			vec[i] = page_in_core(vma->vm_file->f_mapping,
					      linear_page_index(vma, addr));
		else
			vec[i] = entry_in_core(e);
	}
}

/* As many of N pages as one mapping holds, or -ENOMEM. */
static s64 chunk_in_core(struct mm_struct *mm, uva_t addr, u64 n, u8 *vec)
{
	struct vm_area_struct *vma;

	mmap_read_lock(mm);
	vma = find_vma(mm, addr);
	if (!vma_contains(vma, addr)) {
		mmap_read_unlock(mm);
		return -ENOMEM;
	}
	n = min(n, (vma->vm_end - addr) >> PAGE_SHIFT);
	vma_in_core(vma, addr, n, vec);
	mmap_read_unlock(mm);
	return (s64)n;
}

int do_mincore(struct mm_struct *mm, uva_t addr, u64 len, uva_t vec)
{
	u64 task_size = mm->layout.task_size, pages;
	u8 chunk[MINCORE_CHUNK];

	if (!IS_ALIGNED(addr, PAGE_SIZE))
		return -EINVAL;
	if (len > task_size || addr > task_size - len)
		return -ENOMEM;
	pages = PAGE_ALIGN(len) >> PAGE_SHIFT;
	if (pages > task_size || vec > task_size - pages)
		return -EFAULT;
	while (pages) {
		s64 n = chunk_in_core(mm, addr, min(pages, (u64)MINCORE_CHUNK),
				      chunk);

		if (n < 0)
			return (int)n;
		if (copy_to_user(mm, vec, chunk, (u64)n))
			return -EFAULT;
		addr += (u64)n << PAGE_SHIFT;
		vec += (u64)n;
		pages -= (u64)n;
	}
	return 0;
}

/*
 * MS_SYNC of [START, END) of VMA, shared, of a file: write what is dirty of
 * that part and wait. The mmap lock is given up meanwhile: VMA may be gone.
 */
static int msync_file(struct mm_struct *mm, const struct vm_area_struct *vma,
		      uva_t start, uva_t end)
{
	u64 first = linear_page_index(vma, start) << PAGE_SHIFT;
	struct file *file = get_file(vma->vm_file);
	int err;

	mmap_read_unlock(mm);
	err = vfs_fsync_range(file, first, first + (end - start) - 1, true);
	fput(file);
	mmap_read_lock(mm);
	return err;
}

/*
 * Lock held for reading, given up between mappings. A hole is told after the
 * rest, a failed write at once. MS_ASYNC has nothing to do: what is dirty is
 * known already, and written by the flusher.
 */
static int msync_range(struct mm_struct *mm, uva_t start, uva_t end, int flags)
{
	int unmapped = 0, err;

	while (start < end) {
		struct vm_area_struct *vma = find_vma(mm, start);
		uva_t from;

		if (!vma || vma->vm_start >= end)
			return -ENOMEM;
		from = max(start, vma->vm_start);
		if (from > start)
			unmapped = -ENOMEM;
		if ((flags & MS_INVALIDATE) && (vma->vm_flags & VM_LOCKED))
			return -EBUSY;
		start = min(vma->vm_end, end);
		if (!(flags & MS_SYNC) || !(vma->vm_flags & VM_SHARED))
			continue;
		err = msync_file(mm, vma, from, start);
		if (err)
			return err;
	}
	return unmapped;
}

int do_msync(struct mm_struct *mm, uva_t addr, u64 len, int flags)
{
	u64 bytes = PAGE_ALIGN(len);
	int err;

	if ((flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) ||
	    !IS_ALIGNED(addr, PAGE_SIZE) ||
	    ((flags & MS_ASYNC) && (flags & MS_SYNC)))
		return -EINVAL;
	if (addr + bytes < addr)
		return -ENOMEM;
	if (!bytes)
		return 0;
	mmap_read_lock(mm);
	err = msync_range(mm, addr, addr + bytes, flags);
	mmap_read_unlock(mm);
	return err;
}
