/* SPDX-License-Identifier: MIT */
/*
 * ksm.h - pages that are equal become one: what address spaces do for it.
 *
 * Who finds equal pages stands above (src/merge/); it registers a table. This
 * floor knows which mappings may be looked at (VM_MERGEABLE), takes shared
 * pages apart again, and keeps two kinds of entries true:
 *
 *    a shared page     PageKsm(): its mapping word names what the scanner keeps
 *                      of it. Its entries are read-only; a write always copies.
 *    the zero page     an entry of it that KSM made is dirty, which no other
 *                      entry of the zero page is: ksm_zero_pages counts them.
 *
 * KS-1  A shared page is never written and never taken over: page_make_
 *       exclusive() says no.
 * KS-2  What comes back from swap after it was shared is mapped where the
 *       reverse map will find it, else copied (swap_needs_copy()).
 *
 * References: madvise(2), prctl(2); Linux documentation, admin-guide/mm/ksm and
 * mm/ksm.
 */
#ifndef MM_SPACE_KSM_H
#define MM_SPACE_KSM_H

#include "phys/page.h"
#include "space/fault.h"
#include "space/rmap.h"
#include "space/space.h"

struct ksm_ops {
	/* MM, which has no slot, is to be scanned from now on. Mmap lock held
	 * for writing, or MM is new. 0, -ENOMEM. */
	int (*enter)(struct mm_struct *mm);
	/* MM, which has a slot, is empty and has no user. May sleep. */
	void (*exit)(struct mm_struct *mm);
	/* As rmap_walk(), PAGE shared and locked. */
	bool (*rmap_walk)(struct page *page, struct rmap_walk_control *rwc);
	/* PAGE, shared and locked, is on the move: nobody gets a reference from
	 * us until it has come (to another frame, with its word), or stayed. */
	void (*moving)(struct page *page);
	void (*moved)(struct page *page);
};

/* ksm_set_ops: at boot. */
void ksm_set_ops(const struct ksm_ops *ops);

/* vma_mergeable_kind: may equal pages of a mapping with VM_FLAGS be shared? */
static inline bool vma_mergeable_kind(u64 vm_flags)
{
	return !(vm_flags & (VM_SHARED | VM_MAYSHARE | VM_DONTEXPAND));
}

/* ksm_vma_flags: those of a mapping of MM that comes with VM_FLAGS. */
static inline u64 ksm_vma_flags(const struct mm_struct *mm, u64 vm_flags)
{
	if (likely(!(READ_ONCE(mm->flags) & MMF_VM_MERGE_ANY)) ||
	    !vma_mergeable_kind(vm_flags))
		return vm_flags;
	return vm_flags | VM_MERGEABLE;
}

/*
 * ksm_advise: VMA is to get (MERGEABLE) or lose VM_MERGEABLE in [START, END):
 * what has to be done before its flags change. 0; -ENOMEM: MM could not be
 * entered, or pages stayed shared: those before them are private, the rest is
 * as before; -EINTR: the caller is being killed, likewise. Mmap lock held for
 * writing.
 */
int ksm_advise(struct vm_area_struct *vma, uva_t start, uva_t end,
	       bool mergeable) MM_MUST_CHECK;

/* ksm_unmerge: the shared pages of [START, END) of VMA become private copies.
 * 0, -ENOMEM, -EINTR as above. Mmap lock held; no claim on VMA if for writing.
 */
int ksm_unmerge(struct vm_area_struct *vma, uva_t start,
		uva_t end) MM_MUST_CHECK;

/* ksm_fork: MM, new, is scanned if OLD is. ksm_inherit: MM, new, keeps OLD's
 * (NULL: nobody's) MMF_VM_MERGE_ANY. 0, -ENOMEM. ksm_exit: MM is empty. */
int ksm_fork(struct mm_struct *mm, struct mm_struct *old) MM_MUST_CHECK;
int ksm_inherit(struct mm_struct *mm,
		const struct mm_struct *old) MM_MUST_CHECK;
void ksm_exit(struct mm_struct *mm);

/* ksm_page_moving, ksm_page_moved: see struct ksm_ops; for who moves pages. */
static inline void ksm_page_moving(struct page *page)
{
	if (PageKsm(page))
		space_sys.ksm->moving(page);
}

static inline void ksm_page_moved(struct page *page)
{
	if (PageKsm(page))
		space_sys.ksm->moved(page);
}

/* pte_ksm_zero: E maps the zero page because KSM found zeroes. */
static inline bool pte_ksm_zero(pte_t e)
{
	return pte_present(e) && pte_special(e) && pte_dirty(e);
}

/* ksm_entry: does E map what KSM shares? Its table is locked, or E is looked at
 * again. */
static inline bool ksm_entry(pte_t e)
{
	if (pte_migrating(e))
		return PageKsm(
			pfn_to_page(migration_entry_pfn(pte_to_swp_entry(e))));
	if (!pte_present(e))
		return false;
	if (pte_special(e))
		return pte_ksm_zero(e);
	return PageKsm(pfn_to_page(pte_pfn(e)));
}

static inline void ksm_zero_count(struct mm_struct *mm, s64 n)
{
	__atomic_fetch_add(&mm->ksm_zero_pages, n, __ATOMIC_RELAXED);
	__atomic_fetch_add(&space_sys.ksm_zero_pages, n, __ATOMIC_RELAXED);
}

/* ksm_zero_gone: E, special, is no entry of MM any more. _forked: it is one of
 * MM, too. Table locked. */
static inline void ksm_zero_gone(struct mm_struct *mm, pte_t e)
{
	if (unlikely(pte_ksm_zero(e)))
		ksm_zero_count(mm, -1);
}

static inline void ksm_zero_forked(struct mm_struct *mm, pte_t e)
{
	if (unlikely(pte_ksm_zero(e)))
		ksm_zero_count(mm, 1);
}

/*
 * swap_needs_copy: PAGE, locked, in the swap cache, is what VMA wants at page
 * number PGOFF; but it is mapped elsewhere, where a walk from it would not come
 * to VMA.
 */
bool swap_needs_copy(const struct page *page, const struct vm_area_struct *vma,
		     u64 pgoff);

#endif
