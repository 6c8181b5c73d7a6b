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
#include "space/huge.h"
#include "space/ksm.h"
#include "space/rmap.h"
#include "space/space.h"
#include "space/uffd_event.h"
#include "space/userfaultfd.h"

/* The copying of one mapping's entries. */
struct copy {
	struct vm_area_struct *vma; /* the child's */
	struct pt_slot src, dst;
	bool watched;		 /* userfaultfd_wp() of it */
	s64 rss[NR_MM_COUNTERS]; /* of the table at hand */
};

/*
 * What E of the parent's, not present, is in the child; it holds what an entry
 * does. Of swap, of poisoned frames and of pages on the move: the same; of a
 * marker: the kinds that the child has a use for. -ENOMEM: a swap slot has many
 * users, and no memory to count them.
 */
static int copy_absent(struct copy *c, pte_t *e)
{
	u32 kinds = pte_marker(*e);

	if (kinds) {
		kinds &= c->watched ? ~0u : ~PTE_MARKER_UFFD_WP;
		*e = kinds ? make_pte_marker(kinds) : (pte_t){0};
		return 0;
	}
	if (pte_in_swap(*e)) {
		if (swap_duplicate(pte_to_swp_entry(*e)))
			return -ENOMEM;
		mm_note_swap(c->vma->vm_mm, swp_type(pte_to_swp_entry(*e)));
		c->rss[MM_SWAPENTS]++;
	} else if (pte_migrating(*e)) {
		c->rss[mm_counter(migrating_page(*e))]++;
	}
	if (!c->watched)
		*e = pte_swp_clear_uffd_wp(*e);
	return 0;
}

/* One more entry maps what E, present, does. */
static inline void copy_page(struct copy *c, pte_t e)
{
	struct page *page;

	if (unlikely(pte_special(e))) {
		ksm_zero_forked(c->vma->vm_mm, e);
		return;
	}
	page = pfn_to_page(pte_pfn(e));
	get_page(page);
	page_dup_rmap(page);
	if (likely(PageAnon(page)))
		c->rss[MM_ANONPAGES]++;
	else
		c->rss[mm_counter(page)]++;
}

/* Of which kind a mapping's entries are: a loop for each. */
enum copy_how {
	COPY_PRIVATE, /* not shared nor watched; words of the CPU's layout */
	COPY_ANY,
	COPY_ODD, /* of any layout */
};

/*
 * E, the entry at SRC, which is not none, copied to DST. HOW is a constant.
 * Both tables locked. -ENOMEM: a swap slot has too many users. What is shared
 * stays so, and the parent's entry knows that it is dirty; what is private
 * becomes read-only in both.
 */
static inline __attribute__((always_inline)) int
copy_entry(struct copy *c, const struct pt_slot *src, pte_t e,
	   const struct pt_slot *dst, enum copy_how how)
{
	bool native = how != COPY_ODD;

	mm_verify(pte_none(pt_get_as(dst, native)));
	if (unlikely(!pte_present(e))) {
		pte_t absent = e;

		/* Read-only on both sides when it is back. */
		if (pte_migrating(e) && !(c->vma->vm_flags & VM_SHARED)) {
			absent = pte_swp_wrprotect(e);
			pt_set_as(src, absent, native);
		}
		if (copy_absent(c, &absent))
			return -ENOMEM;
		pt_set_as(dst, absent, native);
		return 0;
	}
	if (how != COPY_PRIVATE && (c->vma->vm_flags & VM_SHARED)) {
		e = pte_mkclean(e);
	} else if (pte_write(e)) {
		pt_clear_bits_as(src, X86_PTE_RW, native);
		e = pte_wrprotect(pt_get_as(src, native));
	}
	copy_page(c, e);
	/* Who watches the parent need not watch the child. */
	if (how == COPY_PRIVATE || !c->watched)
		e = pte_clear_uffd_wp(e);
	pt_set_as(dst, pte_mkold(e), native);
	return 0;
}

/* N entries from C's slots on. */
static inline __attribute__((always_inline)) int
copy_entries(struct copy *c, u64 n, enum copy_how how)
{
	struct pt_slot src = c->src, dst = c->dst;
	bool native = how != COPY_ODD;
	int err = 0;

	for (; n && !err; n--) {
		pte_t e = pt_get_as(&src, native);

		if (!pte_none(e))
			err = copy_entry(c, &src, e, &dst, how);
		pt_next_as(&src, native);
		pt_next_as(&dst, native);
	}
	return err;
}

static MM_NOINLINE void trace_copied(const struct copy *c, uva_t addr, u64 n)
{
	struct pt_slot slot = c->dst;

	for (; n; n--, addr += PAGE_SIZE, pt_next(&slot)) {
		pte_t e = pt_get(&slot);

		if (pte_present(e) && !pte_special(e))
			trace_emit(PAGE_MAP, pte_pfn(e), c->vma->vm_mm->serial,
				   addr, PAGE_MAP_FORK);
	}
}

/* Entries of one leaf table. The child's table exists and nobody uses it. */
static int copy_table(struct copy *c, uva_t addr, uva_t end)
{
	u64 n = (end - addr) >> PAGE_SHIFT;
	int err;

	/* A large entry goes on as such, if all of it is copied. */
	if (n == HPAGE_PMD_NR)
		pt_lock_read(&c->src);
	else
		pt_lock(&c->src);
	pt_lock_nested(&c->dst);
	if (unlikely(!pt_native(&c->src)))
		err = copy_entries(c, n, COPY_ODD);
	else if (likely(!c->watched && !(c->vma->vm_flags & VM_SHARED)))
		err = copy_entries(c, n, COPY_PRIVATE);
	else
		err = copy_entries(c, n, COPY_ANY);
	if (trace_enabled(TRACE_PAGE_MAP))
		trace_copied(c, addr, n);
	if (unlikely(pt_promoted(c->src.table))) {
		pt_huge_wrprotect(&c->src);
		if (!err)
			(void)pt_promote(&c->vma->vm_mm->pt, &c->dst, addr);
	}
	for (int i = 0; i < NR_MM_COUNTERS; i++) {
		if (c->rss[i])
			mm_counter_add(c->vma->vm_mm, (enum mm_counter)i,
				       c->rss[i]);
		c->rss[i] = 0;
	}
	pt_unlock(&c->dst);
	pt_unlock(&c->src);
	return err;
}

static int copy_page_range(struct vm_area_struct *new,
			   struct vm_area_struct *old)
{
	struct copy c = {.vma = new, .watched = userfaultfd_wp(new)};
	struct mm_struct *mm = old->vm_mm;
	uva_t addr = old->vm_start;
	int err = 0;

	vma_assert_changing(old);
	while (addr < old->vm_end && !err) {
		uva_t end = pt_table_end(&mm->pt, addr, old->vm_end);

		if (!pt_lookup(&mm->pt, addr, &c.src)) {
			addr = pt_skip(&mm->pt, addr, old->vm_end);
			continue;
		}
		err = pt_alloc(&new->vm_mm->pt, addr, &c.dst);
		/* Without it the child has small entries: no harm done. */
		if (!err && unlikely(pt_promoted(c.src.table)))
			(void)!pt_huge_prepare(&new->vm_mm->pt, addr);
		if (!err)
			err = copy_table(&c, addr, end);
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
	mm_limits_inherit(mm, old);
	huge_zero_fork(mm, old);
	err = mm_exec_fork(mm, old);
	if (!err)
		err = ksm_fork(mm, old);
	for_each_vma (vma, old) {
		if (err)
			break;
		err = dup_vma(mm, vma);
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
