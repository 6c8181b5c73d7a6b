/* SPDX-License-Identifier: MIT */
/*
 * ksm.c - which mappings may be merged, and taking shared pages apart.
 *
 * Taking apart is a fault that copies without writing (FAULT_FLAG_UNSHARE), so
 * it works in mappings that may not be written, and leaves soft-dirty and
 * watched bits alone. It needs memory; if there is none the rest stays shared
 * and mergeable, and the call may be repeated.
 *
 * PR_SET_MEMORY_MERGE marks all mappings that a space has and those to come;
 * forked and executed programs keep it.
 */
#include "space/ksm.h"

#include <mmkit/errno.h>
#include <mmkit/prctl.h>

void ksm_set_ops(const struct ksm_ops *ops)
{
	WRITE_ONCE(space_sys.ksm, ops);
}

static int ksm_enter(struct mm_struct *mm)
{
	const struct ksm_ops *ops = READ_ONCE(space_sys.ksm);

	if (!ops || READ_ONCE(mm->ksm_slot))
		return 0;
	return ops->enter(mm);
}

int ksm_fork(struct mm_struct *mm, struct mm_struct *old)
{
	mm->flags &= ~MMF_VM_MERGE_ANY;
	mm->flags |= READ_ONCE(old->flags) & MMF_VM_MERGE_ANY;
	return READ_ONCE(old->ksm_slot) ? ksm_enter(mm) : 0;
}

int ksm_inherit(struct mm_struct *mm, const struct mm_struct *old)
{
	if (likely(!old || !(READ_ONCE(old->flags) & MMF_VM_MERGE_ANY)))
		return 0;
	mm->flags |= MMF_VM_MERGE_ANY;
	return ksm_enter(mm);
}

void ksm_exit(struct mm_struct *mm)
{
	if (unlikely(READ_ONCE(mm->ksm_slot)))
		space_sys.ksm->exit(mm);
}

/* ---- taking apart ----------------------------------------------------------
 */

/* What ADDR of VMA maps, if it is shared, is copied. */
static int unmerge_page(struct vm_area_struct *vma, uva_t addr)
{
	for (;;) {
		struct pt_slot slot;
		vm_fault_t ret;
		bool shared;

		if (!pt_lookup(&vma->vm_mm->pt, addr, &slot))
			return 0;
		pt_lock_read(&slot);
		shared = ksm_entry(pt_get(&slot));
		pt_unlock(&slot);
		if (!shared)
			return 0;
		if (READ_ONCE(port_current()->fatal_signal))
			return -EINTR;
		ret = handle_mm_fault(vma, addr, FAULT_FLAG_UNSHARE);
		if (ret & VM_FAULT_OOM)
			return -ENOMEM;
		/* The space is being reaped, or the frame was lost. */
		if (ret & VM_FAULT_ERROR)
			return 0;
	}
}

/* Is anything of [ADDR, END), of one table, shared? */
static bool table_shares(struct pt_slot slot, uva_t addr, uva_t end)
{
	bool shared = false;

	pt_lock_read(&slot);
	for (; addr < end && !shared; addr += PAGE_SIZE, pt_next(&slot))
		shared = ksm_entry(pt_get(&slot));
	pt_unlock(&slot);
	return shared;
}

int ksm_unmerge(struct vm_area_struct *vma, uva_t start, uva_t end)
{
	struct pgtable *pt = &vma->vm_mm->pt;
	uva_t addr = start;
	int err = 0;

	/* A fault may give it one meanwhile: then nothing was merged yet. */
	if (!READ_ONCE(vma->anon_vma))
		return 0;
	while (addr < end && !err) {
		uva_t stop = pt_table_end(pt, addr, end);
		struct pt_slot slot;

		if (!pt_lookup(pt, addr, &slot)) {
			addr = pt_skip(pt, addr, end);
			continue;
		}
		if (table_shares(slot, addr, stop))
			for (; addr < stop && !err; addr += PAGE_SIZE)
				err = unmerge_page(vma, addr);
		addr = stop;
	}
	return err;
}

int ksm_advise(struct vm_area_struct *vma, uva_t start, uva_t end,
	       bool mergeable)
{
	rwsem_assert_held_write(&vma->vm_mm->mmap_lock);
	if (mergeable)
		return vma_mergeable_kind(vma->vm_flags) ? ksm_enter(vma->vm_mm)
							 : 0;
	if (!(vma->vm_flags & VM_MERGEABLE))
		return 0;
	vma_start_write(vma);
	return ksm_unmerge(vma, start, end);
}

/* ---- all mappings of a space -----------------------------------------------
 */

static void merge_any_flags(struct mm_struct *mm)
{
	struct vm_area_struct *vma;

	for_each_vma (vma, mm)
		if (vma_mergeable_kind(vma->vm_flags))
			vma_set_flags(vma, vma->vm_flags | VM_MERGEABLE);
}

static int merge_any_on(struct mm_struct *mm)
{
	int err;

	if (mm->flags & MMF_VM_MERGE_ANY)
		return 0;
	err = ksm_enter(mm);
	if (err)
		return err;
	(void)__atomic_fetch_or(&mm->flags, MMF_VM_MERGE_ANY, __ATOMIC_RELAXED);
	merge_any_flags(mm);
	return 0;
}

/* All or nothing of the flags; pages that were taken apart stay so. */
static int merge_any_off(struct mm_struct *mm)
{
	struct vm_area_struct *vma;
	int err = 0;

	if (!(mm->flags & MMF_VM_MERGE_ANY))
		return 0;
	for_each_vma (vma, mm) {
		if (!err && (vma->vm_flags & VM_MERGEABLE))
			err = ksm_advise(vma, vma->vm_start, vma->vm_end,
					 false);
	}
	if (err)
		return err;
	for_each_vma (vma, mm)
		if (vma->vm_flags & VM_MERGEABLE)
			vma_set_flags(vma, vma->vm_flags & ~VM_MERGEABLE);
	(void)__atomic_fetch_and(&mm->flags, ~MMF_VM_MERGE_ANY,
				 __ATOMIC_RELAXED);
	return 0;
}

int mm_prctl_set_memory_merge(struct mm_struct *mm, bool on)
{
	int err;

	mmap_write_lock(mm);
	err = on ? merge_any_on(mm) : merge_any_off(mm);
	mmap_write_unlock(mm);
	return err;
}

bool mm_prctl_get_memory_merge(const struct mm_struct *mm)
{
	return (READ_ONCE(mm->flags) & MMF_VM_MERGE_ANY) != 0;
}

/* ---- coming back from swap -------------------------------------------------
 */

bool swap_needs_copy(const struct page *page, const struct vm_area_struct *vma,
		     u64 pgoff)
{
	mm_assert(PageLocked(page));
	/* Read, and nobody's yet. */
	if (!PageAnon(page))
		return false;
	/* It never left memory: what the scanner keeps of it is there. */
	if (PageKsm(page))
		return READ_ONCE(space_sys.ksm_unmerging);
	return page_index(page) != (u32)pgoff || !page_linked(page, vma);
}
