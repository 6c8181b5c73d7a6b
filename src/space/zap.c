/* SPDX-License-Identifier: MIT */
/*
 * zap.c - empty a range of a mapping: pages to the gather, swap entries back.
 *
 * Used by munmap, MADV_DONTNEED, exit and the OOM reaper. The caller holds
 * the mmap lock (reading is enough: entries change under their table's lock,
 * and VMAs are not changed here). unmap_mapping_range() holds i_mmap_rwsem
 * instead, which keeps VMAs and their tables.
 *
 * A dirty entry of a file's page: the page becomes dirty before the table is
 * unlocked, and CPUs forget the entry before that, too. Otherwise one of them
 * could go on storing after the page was found clean of entries and written.
 *
 * Other entries are forgotten by CPUs when a batch is full or at the end, and
 * until then a CPU may see a page that is in no table any more. For the program
 * that runs there that is as if it had come before. But the kernel, when it
 * copies for that program, goes by the tables: the page that comes there next
 * would hold what was copied, and the program find what was there before. So
 * while mm->zaps is not 0 who copies lets his own CPU forget the page, too
 * (ZAP-1, gup.c). Mappings that go under the mmap lock need none of that.
 *
 * An entry that is none, or one of swap, may be remembered by a CPU nonetheless
 * while reclaim has not flushed what it cleared (TLB-3, tlb_batch.c): then all
 * that was looked at is flushed, for the address is about to be something else.
 */
#include <mmkit/page_alloc.h>

#include "cache/filemap.h"
#include "cache/swap.h"
#include "pgtable/huge.h"
#include "phys/lru.h"
#include "space/ksm.h"
#include "space/rmap.h"
#include "space/space.h"

/* What a page has to be let go of before its reference is dropped. */
#define RELEASE_FIRST (1u << PG_mlocked | 1u << PG_swapcache)

static void release_first(struct page *page)
{
	if (PageMlocked(page))
		munlock_page(page);
	free_swap_cache(page);
}

/* The gather lets go of pages: those left only to the swap cache go too. */
static void gather_release(struct page **pages, u32 n)
{
	release_pages_after(pages, n, RELEASE_FIRST, release_first);
}

void mm_gather_init(struct mmu_gather *tlb, struct mm_struct *mm)
{
	tlb_gather_init(tlb, &mm->pt, mm->asid, &mm->cpus, gather_release);
}

void mm_zap_begin(struct mmu_gather *tlb, struct mm_struct *mm)
{
	/* The table lock, which is taken to clear, lets others see it. */
	__atomic_fetch_add(&mm->zaps, 1, __ATOMIC_RELAXED);
	mm_gather_init(tlb, mm);
}

void mm_zap_end(struct mmu_gather *tlb, struct mm_struct *mm)
{
	tlb_finish(tlb);
	__atomic_fetch_sub(&mm->zaps, 1, __ATOMIC_RELEASE);
}

struct zap {
	struct mmu_gather *tlb;
	struct vm_area_struct *vma;
	bool spare_cows; /* leave private copies where they are */
	bool keep_marks; /* the mapping stays: writes are watched as before */
	bool dirty;	 /* CPUs may know dirty entries: flush */
	/* Of the table at hand, to be counted at its end. */
	uva_t from, to;	   /* what was looked at */
	uva_t first, last; /* CPUs may know entries there; last ~0: none */
	s64 rss[NR_MM_COUNTERS];
	struct rmap_batch unmapped;
};

/* How a table's entries go. */
enum zap_how {
	ZAP_ALL,  /* nothing stays; words of the CPU's layout */
	ZAP_SOME, /* copies may be spared, marks kept */
	ZAP_ODD,  /* the same, of any layout */
};

/* What entry E, gone, knew of PAGE, of a file. Table locked. */
static void zap_file_page(struct zap *z, struct page *page, pte_t e)
{
	if (pte_dirty(e)) {
		z->dirty = true;
		(void)set_page_dirty(page);
	}
	/* Who reads once through, or anywhere, says nothing about the page. */
	if (pte_young(e) && !(z->vma->vm_flags & (VM_SEQ_READ | VM_RAND_READ)))
		mark_page_accessed(page);
}

/* Is E a private copy: a swapped one, or a page that is not the file's? */
static bool entry_is_cow(pte_t e)
{
	if (pte_migrating(e))
		return PageAnon(migrating_page(e));
	return pte_present(e) && !pte_special(e)
		       ? PageAnon(pfn_to_page(pte_pfn(e)))
		       : true;
}

/*
 * What stays in place of entry E: an anonymous page is gone for good, and with
 * it what was said about it; a provider's comes back.
 */
static inline pte_t zap_leaves(const struct zap *z, pte_t e)
{
	if (likely(!z->keep_marks) || vma_is_anonymous(z->vma) ||
	    !pte_any_uffd_wp(e))
		return (pte_t){0};
	return make_pte_marker(PTE_MARKER_UFFD_WP);
}

/* What the entries cleared so far were, to the counters and the gather. */
static void zap_account(struct zap *z)
{
	if (unlikely(READ_ONCE(z->vma->vm_mm->unflushed)))
		tlb_gather_range(z->tlb, z->from, z->to);
	else if (z->last != ~0UL)
		tlb_gather_range(z->tlb, z->first, z->last + PAGE_SIZE);
	rmap_batch_flush(&z->unmapped);
	for (int c = 0; c < NR_MM_COUNTERS; c++) {
		if (!z->rss[c])
			continue;
		mm_counter_add(z->vma->vm_mm, (enum mm_counter)c, -z->rss[c]);
		z->rss[c] = 0;
	}
}

/* E, which is neither none nor present, is gone. Table locked. */
static void zap_absent(struct zap *z, pte_t e)
{
	if (pte_in_swap(e)) {
		z->rss[MM_SWAPENTS]++;
		free_swap_and_cache(pte_to_swp_entry(e));
	} else if (pte_migrating(e)) {
		z->rss[mm_counter(migrating_page(e))]++;
	}
}

/* E, which mapped a page, is gone. True: as zap_entry(). */
static inline __attribute__((always_inline)) bool zap_page(struct zap *z,
							   pte_t e)
{
	struct page *page = pfn_to_page(pte_pfn(e));

	trace_unmap(page, z->vma->vm_mm, z->last, PAGE_UNMAP_ZAP);
	if (likely(PageAnon(page))) {
		z->rss[MM_ANONPAGES]++;
	} else {
		z->rss[mm_counter(page)]++;
		zap_file_page(z, page, e);
	}
	page_remove_rmap_batch(page, &z->unmapped);
	if (!page_has_flags(page, RELEASE_FIRST) && tlb_put_page(z->tlb, page))
		return false;
	return tlb_remove_page(z->tlb, page);
}

/* Clear one entry, not none. True: the gather is full, flush before going on.
 * HOW as in zap_run(). */
static inline __attribute__((always_inline)) bool
zap_entry(struct zap *z, struct pt_slot *slot, uva_t addr, enum zap_how how)
{
	bool native = how != ZAP_ODD;
	pte_t e = {0};

	if (how != ZAP_ALL) {
		e = pt_get_as(slot, native);
		if (z->spare_cows && entry_is_cow(e))
			return false;
		e = zap_leaves(z, e);
	}
	e = pt_xchg_as(slot, e, native);
	if (unlikely(!pte_present(e))) {
		zap_absent(z, e);
		return false;
	}
	z->last = addr;
	if (unlikely(pte_special(e))) {
		ksm_zero_gone(z->vma->vm_mm, e);
		return false;
	}
	return zap_page(z, e);
}

/* Entries from SLOT's, of ADDR, to END, until the gather is full.
 * Returns how far it came. HOW, a constant: a loop for each. */
static inline __attribute__((always_inline)) uva_t
zap_run(struct zap *z, struct pt_slot slot, uva_t addr, uva_t end,
	enum zap_how how)
{
	bool native = how != ZAP_ODD;

	while (addr < end) {
		if (pte_none(pt_get_as(&slot, native))) {
			addr = pt_skip_none_as(&slot, addr, end, native);
			if (z->last == ~0UL)
				z->first = addr;
			continue;
		}
		if (zap_entry(z, &slot, addr, how))
			return addr + PAGE_SIZE;
		addr += PAGE_SIZE;
		pt_next_as(&slot, native);
	}
	return addr;
}

static uva_t zap_slots(struct zap *z, const struct pt_slot *slot, uva_t addr,
		       uva_t end)
{
	if (unlikely(!pt_native(slot)))
		return zap_run(z, *slot, addr, end, ZAP_ODD);
	if (likely(!z->spare_cows && !z->keep_marks))
		return zap_run(z, *slot, addr, end, ZAP_ALL);
	return zap_run(z, *slot, addr, end, ZAP_SOME);
}

/* Entries of one leaf table in [ADDR, END). Returns how far it came. */
static uva_t zap_table(struct zap *z, struct pt_slot *slot, uva_t addr,
		       uva_t end)
{
	struct mm_struct *mm = z->vma->vm_mm;
	uva_t start = addr;
	bool full;

	mm_hiwater_update(mm);
	z->first = addr;
	z->last = ~0UL;
	if (end - addr == HPAGE_PMD_SIZE && !z->spare_cows)
		pt_lock_gone(slot);
	else
		pt_lock(slot);
	addr = zap_slots(z, slot, addr, end);
	z->from = start;
	z->to = addr;
	full = tlb_gather_full(z->tlb);
	zap_account(z);
	if (z->dirty)
		port_tlb_flush(&mm->cpus, mm->asid, start, addr);
	z->dirty = false;
	pt_unlock(slot);
	if (full)
		tlb_flush_mmu(z->tlb);
	return addr;
}

static void zap_entries(struct zap *z, uva_t start, uva_t end)
{
	struct vm_area_struct *vma = z->vma;
	struct mm_struct *mm = vma->vm_mm;
	uva_t addr = start;

	mm_assert(start >= vma->vm_start && end <= vma->vm_end);
	while (addr < end) {
		struct pt_slot slot;

		if (!pt_lookup(&mm->pt, addr, &slot)) {
			addr = pt_skip(&mm->pt, addr, end);
			continue;
		}
		addr = zap_table(z, &slot, addr,
				 pt_table_end(&mm->pt, addr, end));
		port_sched_point();
	}
}

void zap_range(struct mmu_gather *tlb, struct vm_area_struct *vma, uva_t start,
	       uva_t end)
{
	struct zap z = {.tlb = tlb, .vma = vma};

	zap_entries(&z, start, end);
}

void zap_contents(struct mmu_gather *tlb, struct vm_area_struct *vma,
		  uva_t start, uva_t end)
{
	struct zap z = {.tlb = tlb, .vma = vma, .keep_marks = true};

	zap_entries(&z, start, end);
}

/* ---- all mappings of a file ------------------------------------------------
 */

static void release_file_first(struct page *page)
{
	if (PageMlocked(page))
		munlock_unmapped_page(page);
	free_swap_cache(page);
}

/* As gather_release(), where page locks must not be waited for. */
static void release_file_pages(struct page **pages, u32 n)
{
	release_pages_after(pages, n, RELEASE_FIRST, release_file_first);
}

/* Pages [FIRST, LAST] leave VMA, which has some of them. */
static void unmap_vma_pages(struct vm_area_struct *vma, u64 first, u64 last,
			    bool even_cows)
{
	struct mmu_gather tlb;
	struct zap z = {.tlb = &tlb,
			.vma = vma,
			.keep_marks = true,
			.spare_cows = !even_cows};
	u64 from = max(first, vma->vm_pgoff);
	u64 to = min(last, vma->vm_pgoff + vma_pages(vma) - 1);

	mm_zap_begin(&tlb, vma->vm_mm);
	tlb.release = release_file_pages;
	zap_entries(&z, page_vma_address(vma, from),
		    page_vma_address(vma, to) + PAGE_SIZE);
	mm_zap_end(&tlb, vma->vm_mm);
}

void unmap_mapping_range(struct address_space *mapping, u64 first, u64 nr,
			 bool even_cows)
{
	u64 last = nr ? first + nr - 1 : ~0UL;
	struct vm_area_struct *vma;

	down_read(&mapping->i_mmap_rwsem);
	for (vma = vma_file_first(mapping, first, last); vma;
	     vma = vma_file_next(vma, first, last))
		unmap_vma_pages(vma, first, last, even_cows);
	up_read(&mapping->i_mmap_rwsem);
}
