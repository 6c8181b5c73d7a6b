/* SPDX-License-Identifier: MIT */
/*
 * collapse.c - 512 pages that came one by one become a huge one.
 *
 * 1. Purpose. Memory that was touched here and there, or was huge before a
 *    fork, a part's mprotect or reclaim, should be huge (again).
 *
 * 2. Way. A region is looked at first, under the mmap lock for reading. If its
 *    frames lie in a row already and its entries are alike, it is promoted
 *    where it is. Otherwise, and if not too much of it is missing, swapped out
 *    or shared (max_ptes_*), a block is allocated, what is in swap comes in,
 *    and with the mmap lock for writing:
 *
 *      take    each page is locked and off its list, its entry cleared: nobody
 *              can reach it by the table, and who finds it by its number waits
 *              for the page lock, or leaves it alone
 *      copy    without the table's lock
 *      map     the block, promoted; the old pages lose their mapping
 *
 *    Who pays: each page's charge goes to its copy; for what was missing, and
 *    what others go on using, the group of the first page that was met.
 *
 * 3. Invariants.
 *    CO-1  A page is taken only if its references are those of its mappings and
 *          of the swap cache: nobody writes it by a pin.
 *    CO-2  Before the copies are mapped nothing is lost: if a page cannot be
 *          taken, the entries taken so far come back as they were.
 *
 * 4. Locking. mmap lock -> VMA mark -> (page locks, tried only) -> table lock.
 *    No rmap lock: a walk that comes meanwhile finds no entry, and nobody whose
 *    walk must be complete has the page lock.
 *
 * 5. Failure. Any step: the region stays as it is; the result says why.
 *
 * 6. Rejected. A new table, as where tables are freed with a large entry: here
 *    the table is filled anew and stays (PT-2), so that lookups without a lock
 *    need no care.
 *
 * References: A. Arcangeli, "Transparent Hugepage Support" (KVM Forum 2010);
 * Linux documentation, admin-guide/mm/transhuge.
 */
#include "space/collapse.h"

#include <mmkit/errno.h>
#include <mmkit/highmem.h>
#include <mmkit/page_alloc.h>
#include <mmkit/slab.h>

#include "base/trace_ring.h"
#include "cache/swap.h"
#include "phys/alloc.h"
#include "phys/lru.h"
#include "phys/mmzone.h"
#include "phys/vmstat.h"
#include "space/fault.h"
#include "space/rmap.h"

/* What stands in a region's entries. */
struct look {
	u32 none, swap, shared, writable, young;
	u16 group;		    /* that the first page is charged to */
	u64 own[HPAGE_PMD_NR / 64]; /* which need a charge of their own */
	int nid;		    /* where most pages are */
	u64 first_swap;		    /* index of an entry in swap */
	u64 pfn;		    /* looked at last; all ones: none */
	u32 on[MM_MAX_NODES];
};

/* References that a page has by its mappings and the swap cache. */
static int expected_refs(const struct page *page)
{
	return page_mapcount(page) + PageSwapCache(page);
}

/* Can PAGE's contents move to another frame? */
static enum thp_result page_suits(const struct page *page)
{
	if ((page_mapping_word(page) & PAGE_MAPPING_FLAGS) != PAGE_MAPPING_ANON)
		return THP_PAGE_ANON;
	if (!PageUptodate(page) || PageHWPoison(page))
		return THP_PAGE_LOCK;
	return THP_SUCCEED;
}

/* Is PAGE gone once its entry is? Then its charge is the copy's. */
static bool charge_moves(const struct page *page)
{
	return page_mapcount(page) == 1 && !PageSwapCache(page);
}

static enum thp_result look_page(struct look *l, const struct page *page,
				 pte_t e)
{
	enum thp_result r = page_suits(page);

	l->pfn = page_to_pfn(page);
	if (r)
		return r;
	if (!PageLRU(page) && page_count(page) == expected_refs(page))
		return THP_PAGE_LRU;
	l->shared += page_mapcount(page) > 1;
	l->writable += pte_write(e);
	l->young += pte_young(e) || PageReferenced(page);
	if (!l->on[page_to_nid(page)]++ && l->nid < 0)
		l->group = page_group(page);
	if (l->nid < 0 || l->on[page_to_nid(page)] > l->on[l->nid])
		l->nid = page_to_nid(page);
	return THP_SUCCEED;
}

static enum thp_result look_entry(struct look *l, pte_t e, u32 i)
{
	l->own[i / 64] |= BIT(i % 64);
	if (pte_none(e) || (pte_present(e) && pte_special(e))) {
		l->none++;
		return THP_SUCCEED;
	}
	if (!pte_present(e)) {
		if (!pte_in_swap(e) || pte_swp_uffd_wp(e))
			return THP_PTE_MARKED;
		l->first_swap = i;
		l->swap++;
		return THP_SUCCEED;
	}
	if (!pte_valid(e) || pte_uffd_wp(e))
		return THP_PTE_MARKED;
	if (charge_moves(pfn_to_page(pte_pfn(e))))
		l->own[i / 64] &= ~BIT(i % 64);
	return look_page(l, pfn_to_page(pte_pfn(e)), e);
}

/* Are there too many of a kind? How Linux counts each. */
static enum thp_result look_limits(const struct look *l)
{
	const struct thp_state *t = &space_sys.thp;

	if (l->none > READ_ONCE(t->max_ptes_none)) {
		count_vm_event(THP_SCAN_EXCEED_NONE_PTE);
		return THP_EXCEED_NONE;
	}
	if (l->swap > READ_ONCE(t->max_ptes_swap)) {
		count_vm_event(THP_SCAN_EXCEED_SWAP_PTE);
		return THP_EXCEED_SWAP;
	}
	if (l->shared > READ_ONCE(t->max_ptes_shared)) {
		count_vm_event(THP_SCAN_EXCEED_SHARED_PTE);
		return THP_EXCEED_SHARED;
	}
	if (!l->writable)
		return THP_PAGE_RO;
	return l->young || l->swap ? THP_SUCCEED : THP_NOT_YOUNG;
}

/* The region at VA of VMA, which is eligible: what is in it? Its table's first
 * SLOT is set. Mmap lock held. THP_PROMOTED: it is huge now. */
static enum thp_result look_region(struct vm_area_struct *vma, uva_t va,
				   bool forced, struct look *l,
				   struct pt_slot *slot)
{
	struct pgtable *pt = &vma->vm_mm->pt;
	enum thp_result r = THP_SUCCEED;
	struct pt_slot at;
	bool fits;

	*l = (struct look){.nid = -1, .pfn = ~0ul};
	if (!pt_lookup(pt, va, slot))
		return THP_PMD_NULL;
	if (pt_promoted(slot->table))
		return THP_PMD_MAPPED;
	fits = !pt_huge_prepare(pt, va);
	at = *slot;
	pt_lock(slot);
	if (fits && pt_promote(pt, slot, va)) {
		pt_unlock(slot);
		return THP_PROMOTED;
	}
	for (u32 i = 0; i < HPAGE_PMD_NR && !r; i++, pt_next(&at))
		r = look_entry(l, pt_get(&at), i);
	pt_unlock(slot);
	if (!r && !fits)
		r = THP_ALLOC_FAIL;
	if (!r && l->none == HPAGE_PMD_NR)
		r = THP_PMD_NULL;
	return r || forced ? r : look_limits(l);
}

/* ---- the block -------------------------------------------------------------
 */

static void block_free(struct page *block)
{
	for (u32 i = 0; i < HPAGE_PMD_NR; i++)
		put_page(block + i);
}

/* 512 single frames in a row; those that hold what nobody paid for, or somebody
 * goes on paying for, are charged to L's group. NULL: no memory. */
static struct page *block_alloc(const struct look *l, bool hard)
{
	gfp_t gfp = (GFP_HIGHUSER_MOVABLE | __GFP_NOMEMALLOC | __GFP_NOWARN) &
		    ~__GFP_RECLAIM;
	struct page *block;

	if (hard)
		gfp |= __GFP_DIRECT_RECLAIM | __GFP_NORETRY;
	block = __alloc_pages(gfp & ~__GFP_HARDWALL, HPAGE_PMD_ORDER, l->nid);
	if (!block)
		return NULL;
	split_page(block, HPAGE_PMD_ORDER);
	for (u32 i = 0; i < HPAGE_PMD_NR; i++) {
		if (!(l->own[i / 64] >> i % 64 & 1) ||
		    charge_page_to(block + i, l->group, gfp))
			continue;
		block_free(block);
		return NULL;
	}
	return block;
}

/* ---- taking pages ----------------------------------------------------------
 */

struct taken {
	struct vm_area_struct *vma;
	struct pt_slot slot; /* the first entry */
	uva_t va;
	pte_t *old;   /* the entries as they were */
	u32 nr_pages; /* of them, how many map a page */
	u32 young, writable;
	u64 pfn; /* looked at last; all ones: none */
};

static struct page *taken_page(const struct taken *t, u32 i)
{
	pte_t e = t->old[i];

	return pte_present(e) && !pte_special(e) ? pfn_to_page(pte_pfn(e))
						 : NULL;
}

/* PAGE is nobody's but its entries': locked, and off its list. */
static enum thp_result page_take(struct page *page)
{
	enum thp_result r = page_suits(page);

	if (r)
		return r;
	if (!trylock_page(page))
		return THP_PAGE_LOCK;
	if (PageWriteback(page) || !lru_isolate_page(page)) {
		unlock_page(page);
		return THP_PAGE_LRU;
	}
	if (page_count(page) == expected_refs(page) + 1)
		return THP_SUCCEED;
	unlock_page(page);
	lru_putback_page(page);
	return THP_PAGE_COUNT;
}

/* The first N entries' pages go back to where they were. */
static void pages_putback(const struct taken *t, u32 n)
{
	for (u32 i = 0; i < n; i++) {
		struct page *page = taken_page(t, i);

		if (!page)
			continue;
		unlock_page(page);
		lru_putback_page(page);
	}
}

/* Table locked. All of them, or none. */
static enum thp_result pages_take(struct taken *t)
{
	struct pt_slot at = t->slot;

	t->nr_pages = 0;
	for (u32 i = 0; i < HPAGE_PMD_NR; i++, pt_next(&at)) {
		enum thp_result r = THP_SUCCEED;
		struct page *page;

		t->old[i] = pt_get(&at);
		page = taken_page(t, i);
		if (page) {
			t->pfn = page_to_pfn(page);
			t->young += pte_young(t->old[i]);
			t->writable += pte_write(t->old[i]);
			r = page_take(page);
		} else if (!pte_none(t->old[i]) && !pte_present(t->old[i])) {
			r = THP_EXCEED_SWAP;
		}
		if (r) {
			pages_putback(t, i);
			return r;
		}
		t->nr_pages += page != NULL;
	}
	return THP_SUCCEED;
}

/* What pages_take() found, and with what result. */
static void trace_isolate(const struct taken *t, enum thp_result r)
{
	trace_emit(MM_COLLAPSE_HUGE_PAGE_ISOLATE, t->pfn,
		   HPAGE_PMD_NR - t->nr_pages, t->young, t->writable > 0,
		   (u64)r);
}

/* Table locked, since CO-1 was looked at: no pin has come. Its entries go. */
static void entries_take(struct taken *t)
{
	struct mm_struct *mm = t->vma->vm_mm;
	struct pt_slot at = t->slot;

	for (u32 i = 0; i < HPAGE_PMD_NR; i++, pt_next(&at))
		t->old[i] = pt_xchg(&at, (pte_t){0});
	port_tlb_flush(&mm->cpus, mm->asid, t->va, t->va + HPAGE_PMD_SIZE);
}

/* ---- copying and mapping ---------------------------------------------------
 */

/* Is each frame of BLOCK charged, or can it be in place of the page whose
 * contents it gets? Not if that changed since the look. */
static bool charges_known(const struct taken *t, const struct page *block)
{
	for (u32 i = 0; i < HPAGE_PMD_NR; i++) {
		const struct page *page = taken_page(t, i);

		if (!PageCharged(block + i) && (!page || !charge_moves(page)))
			return false;
	}
	return true;
}

/* Who pays for a page pays for its copy. */
static void charges_move(const struct taken *t, struct page *block)
{
	for (u32 i = 0; i < HPAGE_PMD_NR; i++)
		if (!PageCharged(block + i))
			page_move_charge(block + i, taken_page(t, i));
}

static void block_fill(const struct taken *t, struct page *block)
{
	for (u32 i = 0; i < HPAGE_PMD_NR; i++) {
		struct page *page = taken_page(t, i);

		if (page)
			copy_highpage(block + i, page);
		else
			page_clear(block + i);
		port_sched_point();
	}
}

/* PAGE, locked and off its list, has one mapping less. */
static void page_leave(struct page *page)
{
	page_remove_rmap(page);
	if (PageSwapCache(page) && !page_mapped(page))
		(void)try_to_free_swap(page);
	unlock_page(page);
	if (PageMlocked(page))
		munlock_page(page);
	put_page(page); /* the entry's */
	if (!page_ref_freeze(page, 1)) {
		lru_putback_page(page);
		return;
	}
	/* Nobody's any more, and on no list. */
	page_ref_unfreeze(page, 1);
	ClearPageActive(page);
	ClearPageUnevictable(page);
	put_page(page);
}

static MM_NOINLINE void trace_replaced(const struct taken *t)
{
	for (u32 i = 0; i < HPAGE_PMD_NR; i++) {
		const struct page *page = taken_page(t, i);

		if (page)
			trace_unmap(page, t->vma->vm_mm, t->va + PFN_PHYS(i),
				    PAGE_UNMAP_HUGE);
	}
}

static void block_map(const struct taken *t, struct page *block)
{
	struct mm_struct *mm = t->vma->vm_mm;

	pt_lock(&t->slot);
	mm_counter_add(mm, MM_ANONPAGES, -(s64)t->nr_pages);
	if (trace_enabled(TRACE_PAGE_UNMAP))
		trace_replaced(t);
	thp_map_block(t->vma, t->slot, t->va, block);
	mm_verify(pt_promote(&mm->pt, &t->slot, t->va));
	trace_emit(PAGE_HUGE, page_to_pfn(block), mm->serial, t->va,
		   PAGE_HUGE_COLLAPSE);
	pt_unlock(&t->slot);
	for (u32 i = 0; i < HPAGE_PMD_NR; i++) {
		struct page *page = taken_page(t, i);

		if (page)
			page_leave(page);
	}
}

/* Region at VA of VMA, marked for writing, into BLOCK. OLD: room for its
 * entries. On success BLOCK is used up. */
static enum thp_result collapse_locked(struct vm_area_struct *vma, uva_t va,
				       struct page *block, pte_t *old)
{
	struct taken t = {.vma = vma, .va = va, .old = old, .pfn = ~0ul};
	enum thp_result r;

	if (!pt_lookup(&vma->vm_mm->pt, va, &t.slot))
		return THP_PMD_NULL;
	if (pt_promoted(t.slot.table))
		return THP_PMD_MAPPED;
	lru_add_drain_all();
	pt_lock(&t.slot);
	r = pages_take(&t);
	if (!r && !charges_known(&t, block)) {
		pages_putback(&t, HPAGE_PMD_NR);
		r = THP_PAGE_COUNT;
	}
	trace_isolate(&t, r);
	if (!r)
		entries_take(&t);
	pt_unlock(&t.slot);
	if (r)
		return r;
	charges_move(&t, block);
	block_fill(&t, block);
	block_map(&t, block);
	return THP_SUCCEED;
}

/* ---- the whole -------------------------------------------------------------
 */

/* VMA's region at VA has entries in swap: bring them in; *DONE counts. Mmap
 * lock held. */
static enum thp_result swap_in_all(struct vm_area_struct *vma, uva_t va,
				   u32 *done)
{
	struct pt_slot slot;

	for (u32 i = 0; i < HPAGE_PMD_NR; i++) {
		uva_t at = va + i * PAGE_SIZE;

		if (!pt_lookup(&vma->vm_mm->pt, at, &slot))
			return THP_PMD_NULL;
		if (!pte_in_swap(pt_get(&slot)))
			continue;
		if (handle_mm_fault(vma, at, 0) & VM_FAULT_ERROR)
			return THP_SWAP_IN_FAIL;
		++*done;
	}
	return THP_SUCCEED;
}

static enum thp_result swap_in(struct vm_area_struct *vma, uva_t va,
			       const struct look *l)
{
	u32 done = 0;
	enum thp_result r = swap_in_all(vma, va, &done);

	trace_emit(MM_COLLAPSE_HUGE_PAGE_SWAPIN, (u64)(uintptr_t)vma->vm_mm,
		   done, l->young, r == THP_SUCCEED);
	return r;
}

/* The mapping at VA if it may have a huge page there. */
static struct vm_area_struct *vma_for(struct mm_struct *mm, uva_t va,
				      bool forced)
{
	struct vm_area_struct *vma = find_vma(mm, va);

	if (!vma_contains(vma, va) || thp_region(vma, va) != va ||
	    !READ_ONCE(vma->anon_vma))
		return NULL;
	return (forced ? thp_vma_possible(vma) : thp_vma_allowed(vma)) ? vma
								       : NULL;
}

static enum thp_result collapse_write(struct mm_struct *mm, uva_t va,
				      bool forced, struct page *block)
{
	pte_t *old = kmalloc(HPAGE_PMD_NR * sizeof(*old), GFP_KERNEL);
	enum thp_result r = THP_VMA_CHECK;
	struct vm_area_struct *vma;

	if (!old)
		return THP_ALLOC_FAIL;
	mmap_write_lock(mm);
	vma = vma_for(mm, va, forced);
	if (vma && !(READ_ONCE(mm->flags) & MMF_UNSTABLE)) {
		vma_start_write(vma);
		r = collapse_locked(vma, va, block, old);
	}
	mmap_write_unlock(mm);
	kfree(old);
	return r;
}

/* How the region is, and what is in swap comes. */
static enum thp_result collapse_look(struct mm_struct *mm, uva_t va,
				     bool forced, struct look *l)
{
	enum thp_result r = THP_VMA_CHECK;
	struct vm_area_struct *vma;
	struct pt_slot slot;

	*l = (struct look){.pfn = ~0ul};
	mmap_read_lock(mm);
	vma = vma_for(mm, va, forced);
	if (vma)
		r = look_region(vma, va, forced, l, &slot);
	if (!r && l->swap)
		r = swap_in(vma, va, l);
	mmap_read_unlock(mm);
	trace_emit(MM_KHUGEPAGED_SCAN_PMD, (u64)(uintptr_t)mm, l->pfn,
		   l->writable > 0, l->young, l->none, (u64)r, l->swap);
	return r;
}

enum thp_result thp_collapse(struct mm_struct *mm, uva_t va, bool forced)
{
	bool hard = forced || READ_ONCE(space_sys.thp.khugepaged_defrag);
	enum thp_result r;
	struct page *block;
	struct look l;

	r = collapse_look(mm, va, forced, &l);
	if (r)
		return r;
	block = block_alloc(&l, hard);
	count_vm_event(block ? THP_COLLAPSE_ALLOC : THP_COLLAPSE_ALLOC_FAILED);
	r = block ? collapse_write(mm, va, forced, block) : THP_ALLOC_FAIL;
	trace_emit(MM_COLLAPSE_HUGE_PAGE, (u64)(uintptr_t)mm, r == THP_SUCCEED,
		   (u64)r);
	if (r && block)
		block_free(block);
	return r;
}

/* ---- MADV_COLLAPSE ---------------------------------------------------------
 */

/* madvise(2): what is told of R; 0: it is huge. */
static int collapse_errno(enum thp_result r)
{
	switch (r) {
	case THP_SUCCEED:
	case THP_PROMOTED:
	case THP_PMD_MAPPED:
		return 0;
	case THP_ALLOC_FAIL:
		return -ENOMEM;
	case THP_PAGE_LOCK:
	case THP_PAGE_LRU:
	case THP_PAGE_COUNT:
	case THP_SWAP_IN_FAIL:
		return -EAGAIN;
	default:
		return -EINVAL;
	}
}

/* May all of [START, END) be asked for? -ENOMEM: a hole. -EINVAL: a mapping of
 * another kind. */
static int collapse_range_check(struct mm_struct *mm, uva_t start, uva_t end)
{
	int err = 0;

	mmap_read_lock(mm);
	for (uva_t at = start; at < end && !err;) {
		struct vm_area_struct *vma = find_vma(mm, at);

		if (!vma_contains(vma, at))
			err = -ENOMEM;
		else if (!thp_vma_possible(vma))
			err = -EINVAL;
		else
			at = vma->vm_end;
	}
	mmap_read_unlock(mm);
	return err;
}

int thp_madvise_collapse(struct mm_struct *mm, uva_t start, uva_t end)
{
	int err = collapse_range_check(mm, start, end), last = 0;

	if (err)
		return err;
	for (uva_t va = ALIGN(start, HPAGE_PMD_SIZE);
	     va + HPAGE_PMD_SIZE <= end; va += HPAGE_PMD_SIZE) {
		if (READ_ONCE(port_current()->fatal_signal))
			return -EINTR;
		err = collapse_errno(thp_collapse(mm, va, true));
		if (err)
			last = err;
		/* Others may need the memory to get on. */
		if (err == -ENOMEM)
			break;
	}
	return last;
}
