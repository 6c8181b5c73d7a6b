/* SPDX-License-Identifier: MIT */
/*
 * mprotect.c - change the access of a range.
 *
 * VMAs are split at the bounds, then flags and entries change, then equal
 * neighbours melt. Private pages never become writable in their entries here:
 * the next write faults and decides whether to copy, so a page shared after
 * a fork cannot be written through.
 *
 * Reference: mprotect(2).
 */
#include <mmkit/errno.h>
#include <mmkit/mman.h>

#include "base/trace_ring.h"
#include "pgtable/huge.h"
#include "space/gup.h"
#include "space/rmap.h"
#include "space/space.h"

/* Entries of one leaf table in [ADDR, END). */
static void protect_table(struct vm_area_struct *vma, struct pt_slot *slot,
			  uva_t addr, uva_t end)
{
	const struct pt_slot first = *slot;
	uva_t start = addr;
	bool huge;

	if (end - start == HPAGE_PMD_SIZE)
		pt_lock_read(slot);
	else
		pt_lock(slot);
	huge = pt_promoted(slot->table);
	if (huge)
		pt_demote_whole(slot);
	for (; addr < end; addr += PAGE_SIZE, pt_next(slot)) {
		pte_t e = pt_get(slot), n;

		if (pte_migrating(e) && !(vma->vm_page_prot.val & X86_PTE_RW))
			pt_set(slot, pte_swp_wrprotect(e));
		if (!pte_present(e))
			continue;
		/* Taken out whole, so that no A or D bit is lost. */
		e = pt_xchg(slot, (pte_t){0});
		n = pte_modify(e, vma->vm_page_prot);
		if (!pte_write(e) || pte_special(e))
			n = pte_wrprotect(n);
		pt_set(slot, n);
		trace_emit(PAGE_PROTECT, pte_pfn(n), vma->vm_mm->serial, addr,
			   vma->vm_flags & (VM_READ | VM_WRITE | VM_EXEC));
	}
	/* As one again: all of it changed. */
	if (huge)
		(void)pt_promote(&vma->vm_mm->pt, &first, start);
	pt_unlock(slot);
}

static void protect_range(struct vm_area_struct *vma)
{
	struct mm_struct *mm = vma->vm_mm;
	uva_t addr = vma->vm_start;

	while (addr < vma->vm_end) {
		uva_t end = pt_table_end(&mm->pt, addr, vma->vm_end);
		struct pt_slot slot;

		if (pt_lookup(&mm->pt, addr, &slot)) {
			protect_table(vma, &slot, addr, end);
			addr = end;
		} else {
			addr = pt_skip(&mm->pt, addr, vma->vm_end);
		}
	}
	port_tlb_flush(&mm->cpus, mm->asid, vma->vm_start, vma->vm_end);
}

/*
 * The flags of VMA with ACCESS. What becomes writable is promised from then
 * on; what stops being so keeps its share if it may have pages already.
 */
static u64 protected_flags(const struct vm_area_struct *vma, u64 access)
{
	u64 old = vma->vm_flags, new = (old & ~VM_ACCESS_FLAGS) | access;

	if ((old & VM_ACCESS_FLAGS) == access)
		return old;
	if (!(access & VM_WRITE))
		return vma->anon_vma ? new : new & ~VM_ACCOUNT;
	if (!(old & (VM_WRITE | VM_SHARED | VM_NORESERVE)))
		new |= VM_ACCOUNT;
	return new;
}

/* VMA lies within the range, which was accounted for: change its access.
 * False: there was nothing to change. */
static bool protect_vma(struct mm_struct *mm, struct vm_area_struct *vma,
			u64 access)
{
	u64 old = vma->vm_flags, new = protected_flags(vma, access);
	u64 pages = vma_pages(vma);

	if (new == old)
		return false;
	if (vma_accountable(old) && !vma_accountable(new))
		vm_unaccount(pages);
	vm_stat_account(mm, old, -(s64)pages);
	vm_stat_account(mm, new, (s64)pages);
	vma_set_flags(vma, new);
	vma->vm_page_prot = vm_get_page_prot(new);
	protect_range(vma);
	return true;
}

/* Locked memory must not fault later: what becomes writable is copied now,
 * after the mapping has melted, so that its pages belong to the whole. */
static bool must_populate(const struct vm_area_struct *vma, u64 access)
{
	return (access & VM_WRITE) && (vma->vm_flags & VM_LOCKED) &&
	       !(vma->vm_flags & (VM_WRITE | VM_SHARED));
}

/* The whole VMA; the mapping that holds it now. */
static struct vm_area_struct *
protect_one(struct mm_struct *mm, struct vm_area_struct *vma, u64 access)
{
	bool populate = must_populate(vma, access);
	uva_t start = vma->vm_start, end = vma->vm_end;

	if (!protect_vma(mm, vma, access))
		return vma;
	vma = vma_join(mm, vma);
	if (populate)
		mm_populate_vma(vma, start, end);
	return vma;
}

/*
 * RLIMIT_DATA, when [START, END) of VMA turns into data. *GROWN are pages of
 * the same call that have done so. Who is beyond RLIMIT_AS is not asked.
 */
static bool data_limit_ok(const struct vm_area_struct *vma, u64 pages,
			  u64 access, u64 *grown)
{
	const struct mm_struct *mm = vma->vm_mm;

	if (!(access & VM_WRITE) ||
	    (vma->vm_flags & (VM_WRITE | VM_SHARED | VM_GROWSDOWN)) ||
	    !may_expand_vm(mm, vma->vm_flags, pages))
		return true;
	*grown += pages;
	return mm->data_vm + *grown <= mm->rlimit_data >> PAGE_SHIFT;
}

/* Pages of [START, END) that ACCESS makes writable private memory. */
static u64 pages_to_account(struct mm_struct *mm, uva_t start, uva_t end,
			    u64 access)
{
	struct vm_area_struct *vma;
	u64 pages = 0;

	for (vma = find_vma(mm, start); vma && vma->vm_start < end;
	     vma = vma_next(vma)) {
		u64 new = protected_flags(vma, access);

		if (vma_accountable(new) && !vma_accountable(vma->vm_flags))
			pages += (min(vma->vm_end, end) -
				  max(vma->vm_start, start)) >>
				 PAGE_SHIFT;
	}
	return pages;
}

/* Is there memory for what becomes writable in [START, END)? Accounted for in
 * *PAGES, then. */
static bool account(struct mm_struct *mm, uva_t start, uva_t end, u64 access,
		    u64 *pages)
{
	*pages = pages_to_account(mm, start, end, access);
	return !*pages || !vm_enough_memory(mm, *pages);
}

/* Of [START, AT), before what refuses ACCESS, memory is asked for first. */
static int refused(struct mm_struct *mm, uva_t start, uva_t at, u64 access)
{
	u64 pages;

	if (!account(mm, start, at, access, &pages))
		return -ENOMEM;
	if (pages)
		vm_unaccount(pages);
	return -EACCES;
}

/* Is all of [START, END) mapped, and may it get ACCESS? */
static int protect_check(struct mm_struct *mm, uva_t start, uva_t end,
			 u64 access)
{
	struct vm_area_struct *vma = find_vma(mm, start);
	u64 grown = 0;

	for (uva_t at = start; at < end;
	     at = vma->vm_end, vma = vma_next(vma)) {
		if (!vma || vma->vm_start > at)
			return -ENOMEM;
		if (access & ~(vma->vm_flags >> 4))
			return refused(mm, start, at, access);
		if (!data_limit_ok(vma,
				   (min(vma->vm_end, end) - at) >> PAGE_SHIFT,
				   access, &grown))
			return -ENOMEM;
		if (vma->vm_end >= end)
			return 0;
	}
	return 0;
}

/* Everything that can fail comes before the first change. */
static int mprotect_locked(struct mm_struct *mm, uva_t start, uva_t end,
			   u64 access)
{
	struct vm_area_struct *vma;
	int err = protect_check(mm, start, end, access);
	u64 pages;

	if (err)
		return err;
	if (!account(mm, start, end, access, &pages))
		return -ENOMEM;
	/* What stays as it is is not cut, nor melted. */
	if (!vma_changing_range(mm, &start, &end, protected_flags, access))
		return 0;
	err = vma_isolate_range(mm, start, end);
	if (err) {
		if (pages)
			vm_unaccount(pages);
		return err;
	}
	for (vma = find_vma(mm, start); vma && vma->vm_start < end;
	     vma = vma_next(vma))
		vma = protect_one(mm, vma, access);
	return 0;
}

/*
 * PROT_GROWSDOWN: the range begins where the mapping that is found there does,
 * which must be a stack. No stack of these machines grows upwards. 0, errno.
 */
static int protect_grows(struct mm_struct *mm, uva_t *start, uva_t end,
			 int grows)
{
	struct vm_area_struct *vma = find_vma(mm, *start);

	if (!vma || vma->vm_start >= end)
		return -ENOMEM;
	if (grows & PROT_GROWSDOWN) {
		*start = vma->vm_start;
		return vma->vm_flags & VM_GROWSDOWN ? 0 : -EINVAL;
	}
	return vma->vm_start > *start ? -ENOMEM : -EINVAL;
}

int do_mprotect(struct mm_struct *mm, uva_t addr, u64 len, int prot)
{
	int grows = prot & (PROT_GROWSDOWN | PROT_GROWSUP), err = 0;
	uva_t end = addr + PAGE_ALIGN(len);

	if (grows == (PROT_GROWSDOWN | PROT_GROWSUP) ||
	    !IS_ALIGNED(addr, PAGE_SIZE))
		return -EINVAL;
	if (len == 0)
		return 0;
	if (end <= addr)
		return -ENOMEM;
	if ((prot & ~grows) & ~(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM))
		return -EINVAL;
	/* Beyond user space nothing is mapped, as in any hole. */
	mmap_write_lock(mm);
	if (grows)
		err = protect_grows(mm, &addr, end, grows);
	if (!err)
		err = mprotect_locked(mm, addr, end, prot_to_vm_flags(prot));
	mmap_write_unlock(mm);
	return err;
}
