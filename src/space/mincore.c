/* SPDX-License-Identifier: MIT */
/*
 * mincore.c - asking about pages, and making them durable: mincore, msync.
 *
 * Anonymous memory: a page is "in core" if it is mapped, the zero page
 * included, or waits in the swap cache; to synchronise there is nothing.
 *
 * References: mincore(2), msync(2).
 */
#include <mmkit/errno.h>
#include <mmkit/mman.h>
#include <mmkit/page_alloc.h>
#include <mmkit/uaccess.h>

#include "cache/swap.h"
#include "space/rmap.h"
#include "space/space.h"

#define MINCORE_CHUNK 256u

static u8 entry_in_core(pte_t e)
{
	struct page *page;

	if (pte_present(e))
		return 1;
	if (!pte_swap(e))
		return 0;
	page = lookup_swap_cache(pte_to_swp_entry(e));
	if (!page)
		return 0;
	put_page(page);
	return PageUptodate(page) ? 1 : 0;
}

/* The N pages from ADDR on, all of VMA. */
static void vma_in_core(struct vm_area_struct *vma, uva_t addr, u64 n, u8 *vec)
{
	struct mm_struct *mm = vma->vm_mm;
	struct pt_slot slot;

	for (u64 i = 0; i < n; i++, addr += PAGE_SIZE)
		vec[i] = pt_lookup(&mm->pt, addr, &slot)
				 ? entry_in_core(pt_get(&slot))
				 : 0;
}

/* As many of N pages as one mapping holds, or -ENOMEM. */
static s64 chunk_in_core(struct mm_struct *mm, uva_t addr, u64 n, u8 *vec)
{
	struct vm_area_struct *vma;

	down_read(&mm->mmap_lock);
	vma = find_vma(mm, addr);
	if (!vma_contains(vma, addr)) {
		up_read(&mm->mmap_lock);
		return -ENOMEM;
	}
	n = min(n, (vma->vm_end - addr) >> PAGE_SHIFT);
	vma_in_core(vma, addr, n, vec);
	up_read(&mm->mmap_lock);
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

/* Lock held for reading. A hole is told after the rest; nothing is to do. */
static int msync_range(struct mm_struct *mm, uva_t start, uva_t end,
		       bool invalidate)
{
	struct vm_area_struct *vma;
	uva_t at = start;
	int err = 0;

	for (vma = find_vma(mm, start); vma && vma->vm_start < end;
	     vma = vma_next(vma)) {
		if (vma->vm_start > at)
			err = -ENOMEM;
		if (invalidate && (vma->vm_flags & VM_LOCKED))
			return -EBUSY;
		at = vma->vm_end;
	}
	return at < end ? -ENOMEM : err;
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
	down_read(&mm->mmap_lock);
	err = msync_range(mm, addr, addr + bytes, (flags & MS_INVALIDATE) != 0);
	up_read(&mm->mmap_lock);
	return err;
}
