/* SPDX-License-Identifier: MIT */
/*
 * madvise.c - hints and orders about a range.
 *
 * DONTNEED frees the pages of private anonymous memory at once: the next
 * touch finds zeroes. Advice about access order or fork changes VMA flags.
 * A hole in the range is reported at the end (ENOMEM) after the mapped parts
 * have been treated, as madvise(2) says.
 */
#include <mmkit/errno.h>
#include <mmkit/mman.h>

#include "space/rmap.h"
#include "space/space.h"

static void advise_dontneed(struct mm_struct *mm, struct vm_area_struct *vma,
			    uva_t start, uva_t end)
{
	struct mmu_gather tlb;

	mm_gather_init(&tlb, mm);
	zap_range(&tlb, vma, start, end);
	tlb_finish(&tlb);
}

/* New flags of a VMA under ADVICE. */
static u64 advised_flags(u64 f, int advice)
{
	switch (advice) {
	case MADV_NORMAL:
		return f & ~(VM_RAND_READ | VM_SEQ_READ);
	case MADV_RANDOM:
		return (f & ~VM_SEQ_READ) | VM_RAND_READ;
	case MADV_SEQUENTIAL:
		return (f & ~VM_RAND_READ) | VM_SEQ_READ;
	case MADV_DONTFORK:
		return f | VM_DONTCOPY;
	case MADV_DOFORK:
		return f & ~VM_DONTCOPY;
	case MADV_WIPEONFORK:
		return f | VM_WIPEONFORK;
	case MADV_KEEPONFORK:
		return f & ~VM_WIPEONFORK;
	default:
		return f;
	}
}

static bool advice_known(int advice)
{
	switch (advice) {
	case MADV_NORMAL:
	case MADV_RANDOM:
	case MADV_SEQUENTIAL:
	case MADV_WILLNEED:
	case MADV_DONTNEED:
	case MADV_DONTFORK:
	case MADV_DOFORK:
	case MADV_WIPEONFORK:
	case MADV_KEEPONFORK:
		return true;
	default:
		return false;
	}
}

/* VMA flags of the mapped parts of [START, END); lock held for writing. */
static int advise_flags(struct mm_struct *mm, uva_t start, uva_t end,
			int advice)
{
	struct vm_area_struct *vma;
	uva_t at = start;
	int err = vma_isolate_range(mm, start, end);

	if (err)
		return err;
	for (vma = find_vma(mm, start); vma && vma->vm_start < end;
	     vma = vma_next(vma)) {
		if (vma->vm_start > at)
			err = -ENOMEM;
		WRITE_ONCE(vma->vm_flags, advised_flags(vma->vm_flags, advice));
		/* It may have melted with the next one, which has the advice
		 * already: what counts is how far the joined one reaches. */
		vma = vma_join(mm, vma);
		at = vma->vm_end;
	}
	return at < end ? -ENOMEM : err;
}

/* DONTNEED and WILLNEED: no VMA changes; lock held for reading. */
static int advise_pages(struct mm_struct *mm, uva_t start, uva_t end,
			int advice)
{
	struct vm_area_struct *vma;
	uva_t at = start;
	int err = 0;

	for (vma = find_vma(mm, start); vma && vma->vm_start < end;
	     vma = vma_next(vma)) {
		uva_t from = max(vma->vm_start, start);
		uva_t to = min(vma->vm_end, end);

		if (from > at)
			err = -ENOMEM;
		at = to;
		if (advice != MADV_DONTNEED)
			continue;
		if (vma->vm_flags & VM_LOCKED)
			return -EINVAL;
		advise_dontneed(mm, vma, from, to);
	}
	return at < end ? -ENOMEM : err;
}

int do_madvise(struct mm_struct *mm, uva_t addr, u64 len, int advice)
{
	u64 task_size = mm->layout.task_size;
	int err;

	if (!IS_ALIGNED(addr, PAGE_SIZE) || !advice_known(advice))
		return -EINVAL;
	if (len > task_size || addr > task_size - PAGE_ALIGN(len))
		return -EINVAL;
	len = PAGE_ALIGN(len);
	if (len == 0)
		return 0;
	if (advice == MADV_DONTNEED || advice == MADV_WILLNEED) {
		down_read(&mm->mmap_lock);
		err = advise_pages(mm, addr, addr + len, advice);
		up_read(&mm->mmap_lock);
	} else {
		down_write(&mm->mmap_lock);
		err = advise_flags(mm, addr, addr + len, advice);
		up_write(&mm->mmap_lock);
	}
	return err;
}
