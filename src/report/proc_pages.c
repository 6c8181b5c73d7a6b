/* SPDX-License-Identifier: MIT */
/*
 * proc_pages.c - arrays of 64-bit words: what each page of a task is
 * (/proc/PID/pagemap), and what each frame is (/proc/kpageflags, kpagecount,
 * kpagecgroup).
 *
 * Word N describes page or frame N. Offsets and lengths are multiples of 8
 * bytes, as Linux wants them. A read that reaches the end is short.
 *
 * Reference: Linux documentation, admin-guide/mm/pagemap.
 */
#include <mmkit/errno.h>

#include "base/string.h"
#include "phys/phys.h"
#include "report/proc_pid.h"
#include "space/huge.h"
#include "space/rmap.h"

/* ---- /proc/PID/pagemap ----------------------------------------------------
 */

#define PM_FRAME      ((1UL << 55) - 1)
#define PM_SOFT_DIRTY (1UL << 55)
#define PM_EXCLUSIVE  (1UL << 56)
#define PM_UFFD_WP    (1UL << 57)
#define PM_FILE	      (1UL << 61)
#define PM_SWAP	      (1UL << 62)
#define PM_PRESENT    (1UL << 63)
/* Swap entries: the type in 5 bits, then the offset. */
#define PM_SWAP_TYPE_BITS 5

struct pagemap_read {
	uva_t first; /* page that WORDS begins with */
	u64 *words;
};

static u64 present_word(pte_t e)
{
	u64 w = PM_PRESENT | (pte_pfn(e) & PM_FRAME);
	struct page *page;

	if (pte_soft_dirty(e))
		w |= PM_SOFT_DIRTY;
	if (pte_uffd_wp(e))
		w |= PM_UFFD_WP;
	if (pte_special(e))
		return w;
	page = pfn_to_page(pte_pfn(e));
	if (!PageAnon(page))
		w |= PM_FILE;
	if (page_mapcount(page) == 1)
		w |= PM_EXCLUSIVE;
	return w;
}

static u64 swap_word(pte_t e)
{
	swp_entry_t entry = pte_to_swp_entry(e);
	u64 w = PM_SWAP | swp_type(entry) |
		swp_offset(entry) << PM_SWAP_TYPE_BITS;

	if (pte_migrating(e) && !PageAnon(migrating_page(e)))
		w |= PM_FILE;
	if (pte_swp_soft_dirty(e))
		w |= PM_SOFT_DIRTY;
	return pte_any_uffd_wp(e) ? w | PM_UFFD_WP : w;
}

static void put_word(struct vm_area_struct *vma, const struct pt_slot *slot,
		     uva_t addr, void *arg)
{
	struct pagemap_read *r = arg;
	u64 *w = &r->words[(addr - r->first) >> PAGE_SHIFT];
	pte_t e = pt_get(slot);

	(void)vma;
	if (pte_present(e))
		*w |= present_word(e);
	else if (pte_swap(e))
		*w |= swap_word(e);
}

/* All of a mapping was written to since soft-dirty bits were cleared, if the
 * mapping itself is younger than that. */
static void put_vma_words(struct vm_area_struct *vma, struct pagemap_read *r,
			  uva_t start, uva_t end)
{
	if (vma->vm_flags & VM_SOFTDIRTY)
		for (uva_t va = start; va < end; va += PAGE_SIZE)
			r->words[(va - r->first) >> PAGE_SHIFT] |=
				PM_SOFT_DIRTY;
	proc_walk(vma, start, end, put_word, r);
}

static s64 check_words(u64 off, size_t len)
{
	return IS_ALIGNED(off | len, sizeof(u64)) ? 0 : -EINVAL;
}

s64 read_pid_pagemap(const struct proc_task *t, u64 off, void *buf, size_t len)
{
	u64 page = off / sizeof(u64), pages = len / sizeof(u64), all;
	struct pagemap_read r = {.words = buf};
	struct vm_area_struct *vma;
	uva_t end;

	if (check_words(off, len) || !IS_ALIGNED((uintptr_t)buf, sizeof(u64)))
		return -EINVAL;
	if (!t->mm)
		return 0;
	all = t->mm->layout.task_size >> PAGE_SHIFT;
	if (page >= all)
		return 0;
	pages = min(pages, all - page);
	r.first = page << PAGE_SHIFT;
	end = r.first + (pages << PAGE_SHIFT);
	mm_memset(buf, 0, pages * sizeof(u64));
	mmap_read_lock(t->mm);
	for (vma = find_vma(t->mm, r.first); vma && vma->vm_start < end;
	     vma = vma_next(vma))
		put_vma_words(vma, &r, max(vma->vm_start, r.first),
			      min(vma->vm_end, end));
	mmap_read_unlock(t->mm);
	return (s64)(pages * sizeof(u64));
}

/* ---- /proc/kpage* ---------------------------------------------------------
 */

/* Numbers of the interface; those not listed have nothing here yet. */
#define KPF_LOCKED	  0
#define KPF_ERROR	  1
#define KPF_REFERENCED	  2
#define KPF_UPTODATE	  3
#define KPF_DIRTY	  4
#define KPF_LRU		  5
#define KPF_ACTIVE	  6
#define KPF_SLAB	  7
#define KPF_WRITEBACK	  8
#define KPF_RECLAIM	  9
#define KPF_BUDDY	  10
#define KPF_MMAP	  11
#define KPF_ANON	  12
#define KPF_SWAPCACHE	  13
#define KPF_SWAPBACKED	  14
#define KPF_COMPOUND_HEAD 15
#define KPF_COMPOUND_TAIL 16
#define KPF_UNEVICTABLE	  18
#define KPF_HWPOISON	  19
#define KPF_NOPAGE	  20
#define KPF_KSM		  21
#define KPF_THP		  22
#define KPF_OFFLINE	  23
#define KPF_ZERO_PAGE	  24
#define KPF_IDLE	  25
#define KPF_PGTABLE	  26
#define KPF_RESERVED	  32
#define KPF_MLOCKED	  33
#define KPF_MAPPEDTODISK  34
#define KPF_PRIVATE	  35

static const struct {
	u8 flag, kpf;
} kpf_of[] = {
	{PG_locked, KPF_LOCKED},
	{PG_error, KPF_ERROR},
	{PG_referenced, KPF_REFERENCED},
	{PG_uptodate, KPF_UPTODATE},
	{PG_dirty, KPF_DIRTY},
	{PG_lru, KPF_LRU},
	{PG_active, KPF_ACTIVE},
	{PG_slab, KPF_SLAB},
	{PG_writeback, KPF_WRITEBACK},
	{PG_reclaim, KPF_RECLAIM},
	{PG_buddy, KPF_BUDDY},
	{PG_swapcache, KPF_SWAPCACHE},
	{PG_swapbacked, KPF_SWAPBACKED},
	{PG_head, KPF_COMPOUND_HEAD},
	{PG_tail, KPF_COMPOUND_TAIL},
	{PG_unevictable, KPF_UNEVICTABLE},
	{PG_hwpoison, KPF_HWPOISON},
	{PG_offline, KPF_OFFLINE},
	{PG_idle, KPF_IDLE},
	{PG_table, KPF_PGTABLE},
	{PG_reserved, KPF_RESERVED},
	{PG_mlocked, KPF_MLOCKED},
	{PG_mappedtodisk, KPF_MAPPEDTODISK},
	{PG_private, KPF_PRIVATE},
};

/*
 * Of frames that a large entry maps, with others: each is a page by itself, but
 * as long as they are mapped so they are one to who looks from outside, and
 * those who know that page from its head (page-types) find one.
 */
static u64 thp_flags(u64 pfn)
{
	u64 first = ALIGN_DOWN(pfn, (u64)HPAGE_PMD_NR);

	return BIT(KPF_THP) |
	       BIT(pfn == first ? KPF_COMPOUND_HEAD : KPF_COMPOUND_TAIL);
}

static u64 frame_flags(const struct page *page)
{
	u32 flags = READ_ONCE(page->flags);
	u64 w = 0;

	for (size_t i = 0; i < ARRAY_SIZE(kpf_of); i++)
		if (flags >> kpf_of[i].flag & 1)
			w |= BIT(kpf_of[i].kpf);
	/* The word means a mapping only for pages that a space can map. */
	if (!(flags & (1u << PG_slab | 1u << PG_table | 1u << PG_buddy))) {
		if (page_mapped(page))
			w |= BIT(KPF_MMAP);
		if (PageAnon(page))
			w |= BIT(KPF_ANON);
		if (PageKsm(page))
			w |= BIT(KPF_KSM);
	}
	if (page_large_maps(page))
		w |= thp_flags(page_to_pfn(page));
	if (huge_zero_frame(page_to_pfn(page)))
		w |= BIT(KPF_ZERO_PAGE) | thp_flags(page_to_pfn(page));
	if (page_to_pfn(page) == space_sys.zero_pfn)
		w |= BIT(KPF_ZERO_PAGE);
	return w;
}

static u64 frame_mapcount(const struct page *page)
{
	return PageSlab(page) || PageTable(page) || PageBuddy(page)
		       ? 0
		       : (u64)max(page_mapcount(page), 0);
}

static u64 frame_group(const struct page *page)
{
	return READ_ONCE(page->group);
}

/* What to say of frames that have no descriptor. */
struct frame_words {
	u64 (*word)(const struct page *page);
	u64 deferred; /* free, never touched */
	u64 none;     /* there is no such frame */
};

static u64 frame_word(const struct frame_words *f, u64 pfn)
{
	/* Holes of a section that is there have a descriptor without zone. */
	if (pfn_valid(pfn) && !PagePoisoned(pfn_to_page(pfn)))
		return f->word(pfn_to_page(pfn));
	return pfn_deferred(pfn) ? f->deferred : f->none;
}

/* Frames in one read section: sections are not taken away meanwhile. */
#define FRAMES_AT_ONCE 512u

static s64 read_frames(u64 off, void *buf, size_t len,
		       const struct frame_words *f)
{
	u64 first = off / sizeof(u64), n = len / sizeof(u64), *out = buf;

	if (check_words(off, len) || !IS_ALIGNED((uintptr_t)buf, sizeof(u64)))
		return -EINVAL;
	if (first >= phys_hot()->max_pfn)
		return 0;
	n = min(n, phys_hot()->max_pfn - first);
	for (u64 i = 0; i < n;) {
		u64 stop = min(n, i + FRAMES_AT_ONCE);

		epoch_enter();
		for (; i < stop; i++)
			out[i] = frame_word(f, first + i);
		epoch_exit();
	}
	return (s64)(n * sizeof(u64));
}

s64 read_kpageflags(u64 off, void *buf, size_t len)
{
	static const struct frame_words f = {frame_flags, BIT(KPF_BUDDY),
					     BIT(KPF_NOPAGE)};

	return read_frames(off, buf, len, &f);
}

s64 read_kpagecount(u64 off, void *buf, size_t len)
{
	static const struct frame_words f = {frame_mapcount, 0, 0};

	return read_frames(off, buf, len, &f);
}

s64 read_kpagecgroup(u64 off, void *buf, size_t len)
{
	static const struct frame_words f = {frame_group, 0, 0};

	return read_frames(off, buf, len, &f);
}
