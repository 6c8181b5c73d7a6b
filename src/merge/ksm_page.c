/* SPDX-License-Identifier: MIT */
/*
 * ksm_page.c - contents of pages, and the change of an entry from one page to
 * another that is equal.
 *
 * KP-1  Two pages are compared for good only when nobody can write either: the
 *       one is shared, hence read-only everywhere; the other has just lost the
 *       right to be written through the one entry that could have it, CPUs have
 *       forgotten that, and its references are its entries', the swap cache's
 *       and our own: nobody has it pinned to write to it by another way.
 *
 * Other looks at contents, checksums and the way down a tree, are at pages that
 * may be written at the time: whatever they say is a hint.
 *
 * References are counted before and after entries are: an entry that comes
 * (fork) or goes meanwhile shows as a difference, and the page waits for the
 * next scan. If the page has one entry, ours, its table is locked, and nothing
 * can come.
 *
 * The checksum is XXH64 (Y. Collet; the algorithm's public description), folded
 * to 32 bits: it only has to notice change.
 */
#include <mmkit/page_alloc.h>
#include <mmkit/port.h>

#include "base/assert.h"
#include "base/trace_ring.h"
#include "merge/ksm.h"
#include "phys/lru.h"
#include "space/ksm.h"

/* Readers of what others may be writing. */
#define KSM_RACY __attribute__((no_sanitize("thread")))

/* ---- contents --------------------------------------------------------------
 */

#define XXH_P1 0x9E3779B185EBCA87UL
#define XXH_P2 0xC2B2AE3D27D4EB4FUL
#define XXH_P3 0x165667B19E3779F9UL
#define XXH_P4 0x85EBCA77C2B2AE63UL

static inline u64 rotl(u64 x, int n)
{
	return x << n | x >> (64 - n);
}

static inline u64 xxh_round(u64 acc, u64 in)
{
	return rotl(acc + in * XXH_P2, 31) * XXH_P1;
}

/* Of a whole page, so no part of 32 bytes is left over. */
KSM_RACY static u64 xxh64_page(const u64 *in)
{
	u64 v[4] = {XXH_P1 + XXH_P2, XXH_P2, 0, 0 - XXH_P1}, h;

	for (u32 i = 0; i < PAGE_SIZE / sizeof(u64); i += 4)
		for (int lane = 0; lane < 4; lane++)
			v[lane] = xxh_round(v[lane], in[i + (u32)lane]);
	h = rotl(v[0], 1) + rotl(v[1], 7) + rotl(v[2], 12) + rotl(v[3], 18);
	for (int lane = 0; lane < 4; lane++)
		h = (h ^ xxh_round(0, v[lane])) * XXH_P1 + XXH_P4;
	h += PAGE_SIZE;
	h = (h ^ h >> 33) * XXH_P2;
	h = (h ^ h >> 29) * XXH_P3;
	return h ^ h >> 32;
}

u32 ksm_checksum(struct page *page)
{
	const u64 *view = page_map(page);
	u64 h = xxh64_page(view);

	page_unmap(page, (void *)(uintptr_t)view);
	return (u32)(h ^ h >> 32);
}

/* Words are as good as bytes for an order. */
KSM_RACY static int compare_views(const u64 *a, const u64 *b)
{
	for (u32 i = 0; i < PAGE_SIZE / sizeof(u64); i++)
		if (a[i] != b[i])
			return a[i] < b[i] ? -1 : 1;
	return 0;
}

int ksm_compare(struct page *a, struct page *b)
{
	const u64 *va = page_map(a), *vb = page_map(b);
	int c = compare_views(va, vb);

	page_unmap(b, (void *)(uintptr_t)vb);
	page_unmap(a, (void *)(uintptr_t)va);
	WRITE_ONCE(merge_sys.pages_compared, merge_sys.pages_compared + 1);
	return c;
}

/* Of a page that nobody writes now. */
KSM_RACY static bool view_is_zero(const u64 *v)
{
	u64 any = 0;

	for (u32 i = 0; i < PAGE_SIZE / sizeof(u64); i++)
		any |= v[i];
	return !any;
}

bool ksm_page_is_zero(struct page *page)
{
	const u64 *view = page_map(page);
	bool zero = view_is_zero(view);

	page_unmap(page, (void *)(uintptr_t)view);
	return zero;
}

/* ---- finding ---------------------------------------------------------------
 */

struct vm_area_struct *ksm_find_vma(struct mm_struct *mm, uva_t addr)
{
	struct vm_area_struct *vma;

	rwsem_assert_held(&mm->mmap_lock);
	if (!READ_ONCE(mm->mm_users) ||
	    (READ_ONCE(mm->flags) & (MMF_UNSTABLE | MMF_OOM_VICTIM)))
		return NULL;
	vma = find_vma(mm, addr);
	if (!vma_contains(vma, addr) || !(vma->vm_flags & VM_MERGEABLE) ||
	    !READ_ONCE(vma->anon_vma))
		return NULL;
	return vma;
}

/* An ordinary page of one frame, whole, of which nobody watches the writes.
 * Those that may be dropped (MADV_FREE) are not worth sharing. */
static bool page_suits(const struct page *page, pte_t e)
{
	return PageAnon(page) && PageSwapBacked(page) && PageUptodate(page) &&
	       !PageHWPoison(page) && !PageCompound(page) && !pte_uffd_wp(e);
}

struct page *ksm_follow(struct vm_area_struct *vma, uva_t addr)
{
	struct page *page = NULL;
	struct pt_slot slot;
	pte_t e;

	if (!pt_lookup(&vma->vm_mm->pt, addr, &slot))
		return NULL;
	/* Looking leaves a huge page whole. */
	pt_lock_read(&slot);
	e = pt_get(&slot);
	if (pte_present(e) && !pte_special(e)) {
		page = pfn_to_page(pte_pfn(e));
		if (page_suits(page, e))
			get_page(page);
		else
			page = NULL;
	}
	pt_unlock(&slot);
	return page;
}

/* ---- the change of an entry ------------------------------------------------
 */

/* PAGE's references are its entries', the swap cache's and ours. */
static bool refs_explained(const struct page *page)
{
	int entries = page_mapcount(page);
	int refs = page_count(page);

	return refs == entries + 1 + PageSwapCache(page) &&
	       page_mapcount(page) == entries;
}

/* Nobody writes through E, in SLOT, any more. Table locked. */
static bool protect_entry(struct vm_area_struct *vma, uva_t addr,
			  const struct pt_slot *slot, struct page *page)
{
	struct mm_struct *mm = vma->vm_mm;
	pte_t e = pt_xchg(slot, (pte_t){0});

	port_tlb_flush(&mm->cpus, mm->asid, addr, addr + PAGE_SIZE);
	if (!refs_explained(page)) {
		pt_set(slot, e);
		return false;
	}
	/* What only the entry knew: reclaim has to write the page. */
	SetPageDirty(page);
	pt_set(slot, pte_mkclean(pte_wrprotect(e)));
	return true;
}

bool ksm_write_protect(struct vm_area_struct *vma, uva_t addr,
		       struct page *page, pte_t *orig)
{
	struct pt_slot slot;
	bool done;
	pte_t e;

	mm_assert(PageLocked(page));
	/* A batch on its way to the lists has a reference. */
	if (!PageLRU(page))
		lru_add_drain();
	if (!page_vma_slot(page, vma, addr, &slot))
		return false;
	e = pt_get(&slot);
	if (!page_suits(page, e))
		done = false;
	else if (PageKsm(page))
		done = true;
	else
		done = protect_entry(vma, addr, &slot, page);
	*orig = pt_get(&slot);
	pt_unlock(&slot);
	return done;
}

/* What stands in place of OLD: KPAGE, or the zero page. */
static pte_t merged_entry(const struct vm_area_struct *vma,
			  const struct page *kpage, pte_t old)
{
	u64 pfn = kpage ? page_to_pfn(kpage) : space_sys.zero_pfn;
	pte_t e = pte_wrprotect(pte_make(pfn, vma->vm_page_prot));

	if (pte_young(old))
		e = pte_mkyoung(e);
	if (!kpage) /* the dirty bit says whose it is: pte_ksm_zero() */
		e = pte_mkdirty(pte_mkspecial(e));
	return pte_soft_dirty(old) ? pte_mksoft_dirty(e)
				   : pte_clear_soft_dirty(e);
}

/* Of the new page, before anybody sees it. Table locked. */
static void count_merged(struct vm_area_struct *vma, struct page *kpage)
{
	struct mm_struct *mm = vma->vm_mm;

	if (!kpage) {
		mm_hiwater_update(mm);
		mm_counter_add(mm, MM_ANONPAGES, -1);
		ksm_zero_count(mm, 1);
		return;
	}
	get_page(kpage);
	page_add_ksm_rmap(kpage);
	if (vma->vm_flags & VM_LOCKED)
		mlock_page(kpage);
}

bool ksm_replace(struct vm_area_struct *vma, uva_t addr, struct page *page,
		 struct page *kpage, pte_t orig)
{
	struct mm_struct *mm = vma->vm_mm;
	struct pt_slot slot;

	if (!page_vma_slot(page, vma, addr, &slot))
		return false;
	/* The CPU may have set the accessed bit meanwhile. */
	if (!pte_same(pte_mkold(pt_get(&slot)), pte_mkold(orig))) {
		pt_unlock(&slot);
		return false;
	}
	orig = pt_xchg(&slot, (pte_t){0});
	port_tlb_flush(&mm->cpus, mm->asid, addr, addr + PAGE_SIZE);
	count_merged(vma, kpage);
	pt_set(&slot, merged_entry(vma, kpage, orig));
	trace_emit(PAGE_MERGE, page_to_pfn(page),
		   kpage ? page_to_pfn(kpage) : 0, mm->serial, addr);
	if (kpage)
		trace_emit(PAGE_MAP, page_to_pfn(kpage), mm->serial, addr,
			   PAGE_MAP_KSM);
	trace_unmap(page, mm, addr, PAGE_UNMAP_KSM);
	page_remove_rmap(page);
	pt_unlock(&slot);
	put_page(page);
	return true;
}
