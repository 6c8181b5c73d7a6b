/* SPDX-License-Identifier: MIT */
/*
 * fork.c - a copy of an address space that shares its pages.
 *
 * VMAs are copied; entries are copied with both sides write-protected, so the
 * first write on either side makes a copy of the page. Swap entries get one
 * more user of their slot. The parent's lock is held for writing throughout:
 * the child is a snapshot.
 *
 * Failure: the half-made child is torn down like any address space; the
 * parent keeps some entries write-protected, which costs it a fault each and
 * nothing else.
 *
 * Reference: fork(2), madvise(2) for DONTFORK and WIPEONFORK.
 */
#include <mmkit/errno.h>

#include "cache/swap.h"
#include "space/rmap.h"
#include "space/space.h"
#include "space/uffd_event.h"
#include "space/userfaultfd.h"

struct copy_side {
	struct vm_area_struct *vma;
	struct pt_slot slot;
};

/* What a marker of the parent's says of the child's page too. */
static void copy_marker(struct copy_side *dst, u32 kinds)
{
	if (!userfaultfd_wp(dst->vma))
		kinds &= ~PTE_MARKER_UFFD_WP;
	if (kinds)
		pt_set(&dst->slot, make_pte_marker(kinds));
}

/* Both tables locked. -ENOMEM: a swap slot has too many users. */
static int copy_entry(struct copy_side *dst, struct copy_side *src)
{
	struct mm_struct *mm = dst->vma->vm_mm;
	pte_t e = pt_get(&src->slot);
	struct page *page;

	if (pte_none(e))
		return 0;
	mm_verify(pte_none(pt_get(&dst->slot)));
	if (pte_marker(e)) {
		copy_marker(dst, pte_marker(e));
		return 0;
	}
	if (pte_in_swap(e)) {
		if (swap_duplicate(pte_to_swp_entry(e)))
			return -ENOMEM;
		mm_counter_add(mm, MM_SWAPENTS, 1);
	}
	if (pte_swap(e)) {
		pt_set(&dst->slot,
		       userfaultfd_wp(dst->vma) ? e : pte_swp_clear_uffd_wp(e));
		return 0;
	}
	/* What is shared stays so; the parent's entry knows that it is dirty.
	 */
	if (src->vma->vm_flags & VM_SHARED) {
		e = pte_mkclean(e);
	} else if (pte_write(e)) {
		pt_clear_bits(&src->slot, X86_PTE_RW);
		e = pte_wrprotect(pt_get(&src->slot));
	}
	if (!pte_special(e)) {
		page = pfn_to_page(pte_pfn(e));
		get_page(page);
		page_dup_rmap(page);
		mm_counter_add(mm, mm_counter(page), 1);
	}
	/* Who watches the parent need not watch the child. */
	if (!userfaultfd_wp(dst->vma))
		e = pte_clear_uffd_wp(e);
	pt_set(&dst->slot, pte_mkold(e));
	return 0;
}

/* Entries of one leaf table. The child's table exists and nobody uses it. */
static int copy_table(struct copy_side *dst, struct copy_side *src, uva_t addr,
		      uva_t end)
{
	int err = 0;

	pt_lock(&src->slot);
	pt_lock_nested(&dst->slot);
	for (; addr < end && !err; addr += PAGE_SIZE) {
		err = copy_entry(dst, src);
		pt_next(&src->slot);
		pt_next(&dst->slot);
	}
	pt_unlock(&dst->slot);
	pt_unlock(&src->slot);
	return err;
}

static int copy_page_range(struct vm_area_struct *new,
			   struct vm_area_struct *old)
{
	struct copy_side dst = {.vma = new}, src = {.vma = old};
	struct mm_struct *mm = old->vm_mm;
	uva_t addr = old->vm_start;
	int err = 0;

	vma_assert_changing(old);
	while (addr < old->vm_end && !err) {
		uva_t end = pt_table_end(&mm->pt, addr, old->vm_end);

		if (!pt_lookup(&mm->pt, addr, &src.slot)) {
			addr = pt_skip(&mm->pt, addr, old->vm_end);
			continue;
		}
		err = pt_alloc(&new->vm_mm->pt, addr, &dst.slot);
		if (!err)
			err = copy_table(&dst, &src, addr, end);
		addr = end;
	}
	return err;
}

static int dup_vma(struct mm_struct *mm, struct vm_area_struct *old)
{
	struct vm_area_struct *new;
	u64 pages = vma_pages(old);

	if (old->vm_flags & VM_DONTCOPY)
		return 0;
	if (vma_accountable(old->vm_flags) &&
	    vm_enough_memory(old->vm_mm, pages))
		return -ENOMEM;
	new = vma_dup(old);
	if (!new)
		goto unaccount;
	new->vm_mm = mm;
	new->vm_flags &= ~VM_LOCKED_MASK; /* mlock(2): not inherited */
	if (uffd_fork_vma(new, old) ||
	    (!(old->vm_flags & VM_WIPEONFORK) && anon_vma_fork(new, old))) {
		vma_free(new);
		goto unaccount;
	}
	vma_open(new);
	vma_file_link(new);
	vma_link(mm, new);
	vm_stat_account(mm, new->vm_flags, (s64)pages);
	/* Without pages of its own it has zero pages and a file's: cheaper to
	 * fault, unless entries say more. */
	if ((old->vm_flags & VM_WIPEONFORK) ||
	    (!old->anon_vma && !userfaultfd_wp(new)))
		return 0;
	return copy_page_range(new, old);
unaccount:
	if (vma_accountable(old->vm_flags))
		vm_unaccount(pages);
	return -ENOMEM;
}

int mm_fork(struct mm_struct *old, struct mm_struct **out)
{
	struct vm_area_struct *vma;
	struct mm_struct *mm;
	int err = mm_create(&old->layout, &mm);

	if (err)
		return err;
	mmap_write_lock(old);
	mmap_write_lock_nested(mm);
	mm_start_write_all(old);
	mm->brk = old->brk;
	mm->start_brk = old->start_brk;
	mm->rlimit_as = old->rlimit_as;
	mm->rlimit_data = old->rlimit_data;
	mm->rlimit_stack = old->rlimit_stack;
	mm->rlimit_memlock = old->rlimit_memlock;
	for_each_vma (vma, old) {
		err = dup_vma(mm, vma);
		if (err)
			break;
	}
	if (err)
		uffd_fork_cancel(old, mm);
	mmap_write_unlock(mm);
	/* Before anybody writes through an old entry of the parent's. */
	port_tlb_flush(&old->cpus, old->asid, 0, 0);
	mmap_write_unlock_tell(old);
	if (err)
		mm_put(mm);
	else
		*out = mm;
	return err;
}

int mm_clone(struct mm_struct *mm, u32 flags, struct mm_struct **out)
{
	if (!(flags & MM_CLONE_VM))
		return mm_fork(mm, out);
	mm_get(mm);
	*out = mm;
	return 0;
}
