/* SPDX-License-Identifier: MIT */
/*
 * migration_entry.c - entries of a page that is on the move.
 *
 * 1. Purpose. While a page's contents go from one frame to another no entry may
 *    map either. A migration entry stands in each one's place: it names the old
 *    frame, says whether the entry could write, and keeps the bits that a page
 *    keeps while it is away (soft-dirty, write-watched; accessed and dirty
 *    where the format has room).
 *
 * 2. Way.
 *
 *      try_to_migrate        present -> migration entry, CPUs forget it
 *      (the page is copied, or stays)
 *      remove_migration_ptes migration entry -> the new frame, or the old one
 *
 *    Who meets such an entry waits until the old frame is unlocked and looks
 *    again (migration_entry_wait()). He takes no reference: the mover counts
 *    them.
 *
 * 3. Invariants.
 *    ME-1  While an entry names a frame, that frame is locked. So who holds the
 *          table's lock may look at the frame's descriptor.
 *    ME-2  A migration entry holds no reference and is not counted in mapcount;
 *          it is counted in its space's RSS, as the entry before and after it.
 *    ME-3  What an entry knew of writes is known to the page (PG_dirty) before
 *          the page loses the mapping: who finds it mapped by himself alone
 *          finds it dirty.
 *    ME-4  The walk that restores finds every entry that was made from one, or
 *          was copied from one: fork puts the child's mapping behind the
 *          parent's in the tree before it copies, so the walk comes to the
 *          parent first; whatever is copied after that is restored already.
 *          mremap holds the tree's lock while entries move.
 *
 * 4. Locking. Page lock of the old frame from before the first entry until
 *    after the last; the tree's lock for each walk; table locks.
 *
 * 5. Failure. None: an entry needs no memory.
 *
 * Reference: Linux documentation, mm/page_migration.
 */
#include "base/trace_ring.h"
#include "cache/filemap.h"
#include "phys/lru.h"
#include "phys/vmstat.h"
#include "space/fault.h"
#include "space/huge.h"
#include "space/huge_move.h"
#include "space/rmap.h"
#include "space/space.h"

/* ---- to migration entries --------------------------------------------------
 */

/* What the entry that was OLD, of PAGE, becomes. */
static pte_t migration_pte(const struct page *page, pte_t old)
{
	swp_entry_t entry =
		make_migration_entry(page_to_pfn(page), pte_write(old));

	return pte_mig_keep(swp_entry_to_pte(entry), old);
}

static bool migrate_one(struct page *page, struct vm_area_struct *vma,
			uva_t addr, void *arg)
{
	struct mm_struct *mm = vma->vm_mm;
	struct pt_slot slot;
	pte_t old;

	(void)arg;
	if (!page_vma_slot(page, vma, addr, &slot))
		return true;
	old = pt_xchg(&slot, migration_pte(page, pt_get(&slot)));
	/* A CPU may have noted an access in between. */
	pt_set(&slot, migration_pte(page, old));
	/* No CPU reads or writes the old frame after this. */
	port_tlb_flush(&mm->cpus, mm->asid, addr, addr + PAGE_SIZE);
	if (pte_dirty(old))
		(void)set_page_dirty(page);
	trace_emit(SET_MIGRATION_PTE, addr, pte_val(pt_get(&slot)), 0);
	trace_unmap(page, mm, addr, PAGE_UNMAP_MOVE);
	page_remove_rmap(page);
	pt_unlock(&slot);
	put_page(page);
	return true;
}

/* The table of SLOT, promoted and locked, maps the pages from FIRST on in VMA
 * from ADDR on: none of them any more. */
static void migrate_table(struct page *first, struct vm_area_struct *vma,
			  struct pt_slot slot, uva_t addr)
{
	struct mm_struct *mm = vma->vm_mm;

	/* It is huge before and after: nobody hears of it. */
	pt_demote_whole(&slot);
	for (u32 i = 0; i < HPAGE_PMD_NR; i++, pt_next(&slot)) {
		struct page *page = first + i;
		pte_t old = pt_xchg(&slot, migration_pte(page, pt_get(&slot)));

		pt_set(&slot, migration_pte(page, old));
		if (pte_dirty(old))
			(void)set_page_dirty(page);
		trace_emit(SET_MIGRATION_PTE, addr + PFN_PHYS(i),
			   pte_val(pt_get(&slot)), 0);
		trace_unmap(page, mm, addr + PFN_PHYS(i), PAGE_UNMAP_MOVE);
	}
	port_tlb_flush(&mm->cpus, mm->asid, addr, addr + HPAGE_PMD_SIZE);
	for (u32 i = 0; i < HPAGE_PMD_NR; i++) {
		page_remove_rmap(first + i);
		put_page(first + i);
	}
}

static bool migrate_huge_one(struct page *first, struct vm_area_struct *vma,
			     uva_t addr, void *arg)
{
	struct pt_slot slot;
	pte_t e;

	(void)arg;
	if (thp_region(vma, addr) != addr ||
	    !pt_lookup(&vma->vm_mm->pt, addr, &slot))
		return true;
	pt_lock_read(&slot);
	e = pt_get(&slot);
	if (pt_promoted(slot.table) && pte_pfn(e) == page_to_pfn(first))
		migrate_table(first, vma, slot, addr);
	pt_unlock(&slot);
	return true;
}

void try_to_migrate_huge(struct page *first)
{
	struct rmap_walk_control rwc = {.rmap_one = migrate_huge_one};

	rmap_walk(first, &rwc);
}

static bool unmapped(struct page *page)
{
	return !page_mapped(page);
}

bool try_to_migrate(struct page *page)
{
	struct rmap_walk_control rwc = {
		.rmap_one = migrate_one,
		.done = unmapped,
	};

	mm_assert(PageLocked(page));
	if (page_mapped(page))
		rmap_walk(page, &rwc);
	if (page_mapped(page))
		return false;
	munlock_moving_page(page);
	return true;
}

/* ---- back ------------------------------------------------------------------
 */

/* What the migration entry SWP of VMA becomes now that PAGE has the contents.
 * An mprotect that comes later finds this entry and changes it. */
static pte_t restored_pte(const struct page *page,
			  const struct vm_area_struct *vma, pte_t swp)
{
	pgprot_t prot = {READ_ONCE(vma->vm_page_prot.val)};
	pte_t e = pte_wrprotect(pte_make(page_to_pfn(page), prot));

	e = pte_mig_give(e, swp);
	if (!PageDirty(page))
		e = pte_mkclean(e);
	if (is_writable_migration_entry(pte_to_swp_entry(swp)))
		e = pte_mkwrite(e);
	return e;
}

static bool restore_one(struct page *page, struct vm_area_struct *vma,
			uva_t addr, void *arg)
{
	const struct page *old = arg;
	struct pt_slot slot;
	pte_t swp;

	if (!pt_lookup(&vma->vm_mm->pt, addr, &slot))
		return true;
	pt_lock(&slot);
	swp = pt_get(&slot);
	if (!pte_migrating(swp) ||
	    migration_entry_pfn(pte_to_swp_entry(swp)) != page_to_pfn(old)) {
		pt_unlock(&slot);
		return true;
	}
	get_page(page); /* the entry's */
	page_add_moved_rmap(page);
	if (unlikely(READ_ONCE(vma->vm_flags) & VM_LOCKED))
		mlock_page(page);
	pt_set(&slot, restored_pte(page, vma, swp));
	trace_emit(PAGE_MAP, page_to_pfn(page), vma->vm_mm->serial, addr,
		   PAGE_MAP_MOVED);
	trace_emit(REMOVE_MIGRATION_PTE, addr, pte_val(pt_get(&slot)), 0);
	pt_unlock(&slot);
	return true;
}

void remove_migration_ptes(struct page *old, struct page *new,
			   struct anon_vma *av)
{
	struct rmap_walk_control rwc = {
		.arg = old,
		.rmap_one = restore_one,
		.anon_vma = av,
	};

	mm_assert(PageLocked(old) && PageLocked(new));
	rmap_walk(new, &rwc);
}

/* ---- waiting ---------------------------------------------------------------
 */

void migration_entry_wait(const struct pt_slot *slot, pte_t e)
{
	struct page *page;

	might_sleep();
	pt_lock(slot);
	if (!pte_same(pt_get(slot), e)) {
		pt_unlock(slot);
		return;
	}
	page = pfn_to_page(migration_entry_pfn(pte_to_swp_entry(e)));
	wait_on_page_unlock(page, pt_table_lock(slot->table));
}
