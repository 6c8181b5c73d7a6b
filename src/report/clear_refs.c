/* SPDX-License-Identifier: MIT */
/*
 * clear_refs.c - /proc/PID/clear_refs: begin to watch a task's memory anew.
 *
 * 1, 2, 3: nothing was referenced (all, anonymous, file pages): what is
 * referenced in smaps later was used since.
 * 4: nothing is soft-dirty. Entries lose the right to write, so that the next
 * write faults, and whoever makes an entry dirty sets the bit again; mappings
 * made from now on are marked as a whole (VM_SOFTDIRTY), since a fresh one
 * may stand where an old one was.
 * 5: the peak of the resident set begins at what is resident now.
 *
 * Locking. Mmap lock for writing with 4, since flags of mappings change, else
 * for reading. Invariant: no CPU holds a translation with the old rights when
 * the call returns.
 *
 * References: proc(5); Linux documentation, admin-guide/mm/soft-dirty.
 */
#include <mmkit/errno.h>

#include "report/proc_pid.h"

enum clear_refs {
	CLEAR_REFS_ALL = 1,
	CLEAR_REFS_ANON,
	CLEAR_REFS_MAPPED,
	CLEAR_REFS_SOFT_DIRTY,
	CLEAR_REFS_MM_HIWATER_RSS,
};

static void clear_soft_dirty(struct vm_area_struct *vma,
			     const struct pt_slot *slot, uva_t addr, void *arg)
{
	pte_t e = pt_get(slot);

	(void)vma;
	(void)addr;
	(void)arg;
	if (pte_present(e))
		pt_clear_bits(slot, X86_PTE_RW | X86_PTE_SOFTDIRTY);
	else if (pte_swap(e))
		pt_set(slot, pte_swp_clear_soft_dirty(pte_swp_wrprotect(e)));
}

static void clear_young(struct vm_area_struct *vma, const struct pt_slot *slot,
			uva_t addr, void *arg)
{
	enum clear_refs what = *(enum clear_refs *)arg;
	pte_t e = pt_get(slot);
	struct page *page;

	(void)vma;
	(void)addr;
	if (!pte_present(e) || pte_special(e))
		return;
	page = pfn_to_page(pte_pfn(e));
	if ((what == CLEAR_REFS_ANON && !PageAnon(page)) ||
	    (what == CLEAR_REFS_MAPPED && PageAnon(page)))
		return;
	pt_clear_bits(slot, X86_PTE_A);
	ClearPageReferenced(page);
}

static void walk_space(struct mm_struct *mm, proc_entry_fn fn, void *arg)
{
	struct vm_area_struct *vma;

	for_each_vma (vma, mm)
		proc_walk_change(vma, vma->vm_start, vma->vm_end, fn, arg);
	port_tlb_flush(&mm->cpus, mm->asid, 0, 0);
}

static void start_soft_dirty(struct mm_struct *mm)
{
	struct vm_area_struct *vma;

	mmap_write_lock(mm);
	for_each_vma (vma, mm)
		vma_set_flags(vma, vma->vm_flags & ~VM_SOFTDIRTY);
	walk_space(mm, clear_soft_dirty, NULL);
	mmap_write_unlock(mm);
}

static void start_refs(struct mm_struct *mm, enum clear_refs what)
{
	mmap_read_lock(mm);
	walk_space(mm, clear_young, &what);
	mmap_read_unlock(mm);
}

/* A digit, blanks after it; 0: something else. */
static int parse_number(const char *text, size_t len)
{
	int n = len && text[0] >= '1' && text[0] <= '5' ? text[0] - '0' : 0;

	for (size_t i = 1; i < len; i++)
		if (text[i] != '\n' && text[i] != ' ' && text[i] != 0)
			return 0;
	return n;
}

s64 write_pid_clear_refs(const struct proc_task *t, const char *text,
			 size_t len)
{
	int what = parse_number(text, len);

	if (what == 0)
		return -EINVAL;
	if (!t->mm)
		return (s64)len;
	if (what == CLEAR_REFS_MM_HIWATER_RSS)
		WRITE_ONCE(t->mm->hiwater_rss, mm_rss(t->mm));
	else if (what == CLEAR_REFS_SOFT_DIRTY)
		start_soft_dirty(t->mm);
	else
		start_refs(t->mm, (enum clear_refs)what);
	return (s64)len;
}
