/* SPDX-License-Identifier: MIT */
/*
 * stack.c - stacks that grow downwards when they are touched below.
 *
 * The VMA grows to the touched page if RLIMIT_STACK, RLIMIT_AS and the guard
 * gap (stack_guard_gap pages that must stay free below) allow. Growing changes
 * a VMA's bounds, so it takes the mmap lock for writing; the fault that asked
 * starts again afterwards.
 *
 * Reference: mmap(2), MAP_GROWSDOWN; Linux documentation on the guard gap.
 */
#include <mmkit/errno.h>

#include "space/rmap.h"
#include "space/space.h"

/* Does the guard gap below START collide with VMA's predecessor? */
static bool guard_gap_hit(struct vm_area_struct *vma, uva_t start)
{
	u64 gap = READ_ONCE(space_sys.stack_guard_gap) << PAGE_SHIFT;
	struct vm_area_struct *prev = vma_prev(vma);

	if (start < gap + READ_ONCE(space_sys.mmap_min_addr))
		return true;
	if (!prev || !(prev->vm_flags & VM_ACCESS_FLAGS))
		return prev && prev->vm_end > start;
	/* Two stacks may stand on one another. */
	if (prev->vm_flags & VM_GROWSDOWN)
		return prev->vm_end > start;
	return start - gap < prev->vm_end;
}

static int stack_grow(struct mm_struct *mm, struct vm_area_struct *vma,
		      uva_t start)
{
	u64 grow = (vma->vm_start - start) >> PAGE_SHIFT;

	if (guard_gap_hit(vma, start))
		return -ENOMEM;
	/* It is about to be written; from now on forks share its pages. */
	if (anon_vma_prepare(vma))
		return -ENOMEM;
	if (vma->vm_end - start > mm->rlimit_stack)
		return -ENOMEM;
	if (vma->vm_pgoff < grow || !may_expand_vm(mm, vma->vm_flags, grow) ||
	    !mlock_may_grow(mm, vma->vm_flags, grow))
		return -ENOMEM;
	/* Whether it counts or not: a stack grows by what there could be. */
	if (vm_enough_memory(mm, grow))
		return -ENOMEM;
	if (!vma_accountable(vma->vm_flags))
		vm_unaccount(grow);
	vma_resize(vma, start, vma->vm_end, vma->vm_pgoff - grow);
	vm_stat_account(mm, vma->vm_flags, (s64)grow);
	return 0;
}

int expand_stack(struct mm_struct *mm, uva_t addr)
{
	struct vm_area_struct *vma;
	int err = -EFAULT;

	addr = PAGE_ALIGN_DOWN(addr);
	mmap_write_lock(mm);
	vma = find_vma(mm, addr);
	if (vma && vma->vm_start <= addr)
		err = 0; /* somebody grew it meanwhile */
	else if (vma && (vma->vm_flags & VM_GROWSDOWN))
		err = stack_grow(mm, vma, addr);
	mmap_write_unlock(mm);
	return err;
}
