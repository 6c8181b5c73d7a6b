/* SPDX-License-Identifier: MIT */
/*
 * madvise.c - hints and orders about a range.
 *
 * 1. Two kinds of advice. One changes the flags of mappings: it needs the mmap
 *    lock for writing and may split and melt them. The other looks at pages:
 *    it runs beside faults, under the mmap lock for reading.
 *
 *      DONTNEED           pages go at once; the next touch finds zeroes
 *      DONTNEED_LOCKED    the same, of locked memory too
 *      FREE               pages go when somebody needs frames, unless they are
 *                         written before: see free_entry()
 *      COLD, PAGEOUT      reclaim next, reclaim now
 *      WILLNEED           start reading what is in swap, or in the file
 *      REMOVE             a hole in the file
 *      POPULATE_*         fault in (gup.c)
 *
 * 2. Holes. The mapped parts are treated, then ENOMEM is told; an error of a
 *    mapping ends the call where it stands (madvise(2)).
 *
 * 3. Lazily freed pages (MADV_FREE). Such a page is clean, has no slot in swap
 *    and no PG_swapbacked: it stands on the inactive file list, since its
 *    contents cost nothing to drop. A write sets the entry's dirty bit, and
 *    reclaim, when it meets that, makes it an ordinary page again.
 *    MAD-1  Reclaim drops a page without PG_swapbacked only if no entry of it
 *           is dirty and nobody else holds it; the entry becomes none.
 *    MAD-2  When the call returns no CPU has a translation left through which
 *           a write would not set the dirty bit.
 *
 * 4. Locking. Page order: mmap lock, table lock, lruvec lock; page locks are
 *    tried.
 *
 * References: madvise(2), process_madvise(2).
 */
#include <mmkit/errno.h>
#include <mmkit/flatfile.h>
#include <mmkit/mman.h>
#include <mmkit/page_alloc.h>

#include "cache/filemap.h"
#include "cache/swap.h"
#include "phys/lru.h"
#include "phys/vmstat.h"
#include "space/collapse.h"
#include "space/gup.h"
#include "space/ksm.h"
#include "space/mempolicy.h"
#include "space/rmap.h"
#include "space/space.h"
#include "space/uffd_event.h"

/* ---- what is known
 * ----------------------------------------------------------- */

enum advice_kind { ADVICE_UNKNOWN, ADVICE_FLAGS, ADVICE_PAGES };

static enum advice_kind advice_kind(int advice)
{
	switch (advice) {
	case MADV_NORMAL:
	case MADV_RANDOM:
	case MADV_SEQUENTIAL:
	case MADV_DONTFORK:
	case MADV_DOFORK:
	case MADV_MERGEABLE:
	case MADV_UNMERGEABLE:
	case MADV_HUGEPAGE:
	case MADV_NOHUGEPAGE:
	case MADV_DONTDUMP:
	case MADV_DODUMP:
	case MADV_WIPEONFORK:
	case MADV_KEEPONFORK:
		return ADVICE_FLAGS;
	case MADV_WILLNEED:
	case MADV_DONTNEED:
	case MADV_DONTNEED_LOCKED:
	case MADV_FREE:
	case MADV_REMOVE:
	case MADV_COLD:
	case MADV_PAGEOUT:
	case MADV_POPULATE_READ:
	case MADV_POPULATE_WRITE:
	case MADV_COLLAPSE:
		return ADVICE_PAGES;
	default:
		return ADVICE_UNKNOWN;
	}
}

/* ---- flags of mappings
 * ------------------------------------------------------- */

/* New flags of a VMA under ADVICE. */
static u64 advised_flags(u64 f, int advice)
{
	switch (advice) {
	case MADV_NORMAL:
		return f & ~(VM_RAND_READ | VM_SEQ_READ);
	case MADV_RANDOM:
		return (f & ~VM_SEQ_READ) | VM_RAND_READ;
	case MADV_SEQUENTIAL:
		return (f & ~VM_RAND_READ) | VM_SEQ_READ;
	case MADV_DONTFORK:
		return f | VM_DONTCOPY;
	case MADV_DOFORK:
		return f & ~VM_DONTCOPY;
	case MADV_WIPEONFORK:
		return f | VM_WIPEONFORK;
	case MADV_KEEPONFORK:
		return f & ~VM_WIPEONFORK;
	case MADV_DONTDUMP:
		return f | VM_DONTDUMP;
	case MADV_DODUMP:
		return f & ~VM_DONTDUMP;
	case MADV_MERGEABLE: /* ignored for what is shared already */
		return vma_mergeable_kind(f) ? f | VM_MERGEABLE : f;
	case MADV_UNMERGEABLE:
		return f & ~VM_MERGEABLE;
	case MADV_HUGEPAGE:
		return (f & ~VM_NOHUGEPAGE) | VM_HUGEPAGE;
	case MADV_NOHUGEPAGE:
		return (f & ~VM_HUGEPAGE) | VM_NOHUGEPAGE;
	default:
		return f;
	}
}

static int advise_ksm(struct vm_area_struct *vma, uva_t start, uva_t end,
		      int advice)
{
	if (advice != MADV_MERGEABLE && advice != MADV_UNMERGEABLE)
		return 0;
	return ksm_advise(vma, start, end, advice == MADV_MERGEABLE);
}

/* The part of VMA in [START, END). The mapping that holds it now, or an
 * ERR_PTR: -EINVAL, -EAGAIN. (M) for writing. */
static struct vm_area_struct *advise_vma(struct vm_area_struct *vma,
					 uva_t start, uva_t end, int advice)
{
	u64 new = advised_flags(vma->vm_flags, advice);
	int err;

	if (advice == MADV_WIPEONFORK &&
	    (vma->vm_file || (vma->vm_flags & (VM_SHARED | VM_MAYSHARE))))
		return ERR_PTR(-EINVAL);
	if (advice == MADV_DODUMP && (vma->vm_flags & VM_DONTEXPAND))
		return ERR_PTR(-EINVAL);
	start = max(start, vma->vm_start);
	end = min(end, vma->vm_end);
	err = advise_ksm(vma, start, end, advice);
	if (!err && new == vma->vm_flags)
		return vma;
	if (!err)
		err = vma_isolate_range(vma->vm_mm, start, end);
	if (err) /* madvise(2) has a name of its own for no memory here */
		return ERR_PTR(err == -ENOMEM ? -EAGAIN : err);
	vma = find_vma(vma->vm_mm, start);
	vma_set_flags(vma, new);
	return vma_join(vma->vm_mm, vma);
}

/* VMA flags of the mapped parts of [START, END); lock held for writing. */
static int advise_flags(struct mm_struct *mm, uva_t start, uva_t end,
			int advice)
{
	uva_t at = start;
	int err = 0;

	while (at < end) {
		struct vm_area_struct *vma = find_vma(mm, at);

		if (!vma || vma->vm_start > at)
			err = -ENOMEM;
		if (!vma || vma->vm_start >= end)
			break;
		vma = advise_vma(vma, at, end, advice);
		if (IS_ERR(vma))
			return (int)PTR_ERR(vma);
		at = vma->vm_end;
	}
	return err;
}

/* ---- walking entries
 * --------------------------------------------------------- */

#define ADVISE_BATCH 32u

/* What a walk carries from table to table. */
struct advise_walk {
	struct vm_area_struct *vma;
	uva_t start, addr, end; /* addr: how far it is */
	int advice;
	u32 nr; /* of what follows */
	swp_entry_t swap[ADVISE_BATCH];
	uva_t swap_addr[ADVISE_BATCH];
	struct page_list isolated;
};

/* The entry's page if only this one maps it, else NULL. */
static struct page *own_page(pte_t e)
{
	struct page *page;

	if (!pte_present(e) || pte_special(e))
		return NULL;
	page = pfn_to_page(pte_pfn(e));
	return page_mapcount(page) == 1 ? page : NULL;
}

/* May the running task push pages of VMA's file out of memory? Only who may
 * write it: others would see by the time of reads who uses it. */
static bool may_page_out(const struct vm_area_struct *vma)
{
	return vma_is_anonymous(vma) || (vma->vm_file->f_mode & FMODE_WRITE) ||
	       mm_capable(MM_CAP_SYS_ADMIN);
}

/* Take the accessed bit away (CLEAN: the dirty bit too). Table locked; the
 * flush comes before the lock goes. */
static void age_entry(const struct pt_slot *slot, bool clean)
{
	pt_clear_bits(slot, X86_PTE_A | (clean ? X86_PTE_D : 0));
}

/* May PAGE, ours alone, lose its contents? Then its slot in swap is gone and
 * it is clean. */
static bool free_contents(struct page *page)
{
	bool done = true;

	if (!PageSwapCache(page) && !PageDirty(page))
		return true;
	if (!trylock_page(page))
		return false;
	if (page_mapcount(page) != 1 ||
	    (PageSwapCache(page) && !try_to_free_swap(page)))
		done = false;
	else
		ClearPageDirty(page);
	unlock_page(page);
	return done;
}

/* MADV_FREE. A swap entry goes at once: there is no frame to spare; that a
 * frame was lost is forgotten with its contents. */
static void free_entry(struct advise_walk *w, const struct pt_slot *slot,
		       pte_t e)
{
	struct page *page;

	if (pte_marker(e)) {
		if (pte_marker(e) & PTE_MARKER_POISONED)
			pt_set(slot, (pte_t){0});
		return;
	}
	if (pte_in_swap(e)) {
		pt_xchg(slot, (pte_t){0});
		mm_counter_add(w->vma->vm_mm, MM_SWAPENTS, -1);
		free_swap_and_cache(pte_to_swp_entry(e));
		return;
	}
	if (pte_swap(e) && is_hwpoison_entry(pte_to_swp_entry(e)))
		pt_xchg(slot, (pte_t){0});
	page = own_page(e);
	if (!page || !PageAnon(page) || page_maybe_dma_pinned(page) ||
	    !free_contents(page))
		return;
	age_entry(slot, true);
	lru_lazyfree_page(page);
}

static void cold_entry(const struct pt_slot *slot, pte_t e)
{
	struct page *page = own_page(e);

	if (!page)
		return;
	age_entry(slot, false);
	lru_deactivate_page(page);
}

static void pageout_entry(struct advise_walk *w, const struct pt_slot *slot,
			  pte_t e)
{
	struct page *page = own_page(e);

	if (!page || (!PageAnon(page) && !may_page_out(w->vma)) ||
	    !lru_isolate_page(page))
		return;
	age_entry(slot, false);
	ClearPageActive(page);
	ClearPageReferenced(page);
	page_list_add(&w->isolated, page);
	w->nr++;
}

static void advise_entry(struct advise_walk *w, const struct pt_slot *slot)
{
	pte_t e = pt_get(slot);

	if (pte_none(e))
		return;
	switch (w->advice) {
	case MADV_FREE:
		free_entry(w, slot, e);
		break;
	case MADV_COLD:
		cold_entry(slot, e);
		break;
	case MADV_PAGEOUT:
		pageout_entry(w, slot, e);
		break;
	default:
		mm_assert(w->advice == MADV_WILLNEED);
		if (pte_in_swap(e)) {
			w->swap_addr[w->nr] = w->addr;
			w->swap[w->nr++] = pte_to_swp_entry(e);
		}
	}
}

/* What could not be done under the table lock. */
static void advise_flush_batch(struct advise_walk *w)
{
	const struct lru_ops *ops = lru_policy();

	for (u32 i = 0; w->advice == MADV_WILLNEED && i < w->nr; i++) {
		struct mpol_place place;
		struct mempolicy *held =
			vma_place(w->vma, w->swap_addr[i], &place);

		(void)swap_willneed(w->swap[i],
				    GFP_HIGHUSER_MOVABLE | __GFP_ACCOUNT,
				    &place);
		mpol_put(held);
	}
	if (w->isolated.count && ops && ops->pageout)
		ops->pageout(&w->isolated);
	while (w->isolated.count)
		lru_putback_page(page_list_pop(&w->isolated));
	w->nr = 0;
}

/* Does ADVICE change no more of an entry than that it was used? */
static bool ages(int advice)
{
	return advice == MADV_COLD || advice == MADV_PAGEOUT;
}

/* Entries of one leaf table, up to a full batch. */
static void advise_table(struct advise_walk *w, struct pt_slot slot)
{
	struct mm_struct *mm = w->vma->vm_mm;
	uva_t start = w->addr, end = pt_table_end(&mm->pt, w->addr, w->end);

	/* What is aged or written as a whole stays huge until it goes. */
	if (ages(w->advice) && ALIGN_DOWN(start, HPAGE_PMD_SIZE) >= w->start &&
	    ALIGN_DOWN(start, HPAGE_PMD_SIZE) + HPAGE_PMD_SIZE <= w->end)
		pt_lock_aged(&slot);
	else
		pt_lock(&slot);
	for (; w->addr < end && w->nr < ADVISE_BATCH;
	     w->addr += PAGE_SIZE, pt_next(&slot))
		advise_entry(w, &slot);
	if (w->advice != MADV_WILLNEED)
		port_tlb_flush(&mm->cpus, mm->asid, start, w->addr);
	pt_unlock(&slot);
	advise_flush_batch(w);
}

static void advise_walk(struct vm_area_struct *vma, uva_t start, uva_t end,
			int advice)
{
	struct advise_walk w = {.vma = vma,
				.start = start,
				.addr = start,
				.end = end,
				.advice = advice};
	struct pt_slot slot;

	page_list_init(&w.isolated);
	/* Pages in batches are on no list yet. */
	if (advice != MADV_WILLNEED)
		lru_add_drain_all();
	while (w.addr < end) {
		if (pt_lookup(&vma->vm_mm->pt, w.addr, &slot))
			advise_table(&w, slot);
		else
			w.addr = pt_skip(&vma->vm_mm->pt, w.addr, end);
	}
}

/* ---- pages
 * ------------------------------------------------------------------- */

static void advise_dontneed(struct mm_struct *mm, struct vm_area_struct *vma,
			    uva_t start, uva_t end)
{
	struct mmu_gather tlb;

	mm_zap_begin(&tlb, mm);
	zap_contents(&tlb, vma, start, end);
	mm_zap_end(&tlb, mm);
}

/*
 * MADV_REMOVE: a hole in VMA's file. The mmap lock is given up meanwhile, for
 * the hole takes the inode's, which comes first: VMA may be gone.
 */
static int advise_remove(struct vm_area_struct *vma, uva_t start, uva_t end)
{
	u64 both = VM_SHARED | VM_MAYWRITE, at = linear_page_index(vma, start);
	struct mm_struct *mm = vma->vm_mm;
	struct file *file = vma->vm_file;
	int err = -EOPNOTSUPP;

	if ((vma->vm_flags & VM_LOCKED) || !file)
		return -EINVAL;
	if ((vma->vm_flags & both) != both)
		return -EACCES;
	get_file(file);
	(void)uffd_remove(vma, start, end); /* looked up again by the caller */
	mmap_read_unlock(mm);
	if (file->f_op && file->f_op->fallocate)
		err = file->f_op->fallocate(
			file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			at << PAGE_SHIFT, end - start);
	fput(file);
	mmap_read_lock(mm);
	return err;
}

/* MADV_WILLNEED: start reading the file, its part in swap, private copies. */
static int advise_willneed(struct vm_area_struct *vma, uva_t start, uva_t end)
{
	u64 first = linear_page_index(vma, start), len = end - start;
	struct file *file = vma->vm_file;
	int err = 0;

	if (file && shmem_is_inode(file->f_inode))
		shmem_willneed(file->f_inode, first,
			       first + (len >> PAGE_SHIFT) - 1);
	else if (file)
		err = vfs_fadvise(file, (s64)(first << PAGE_SHIFT), (s64)len,
				  POSIX_FADV_WILLNEED);
	if (!err && !(vma->vm_flags & VM_SHARED))
		advise_walk(vma, start, end, MADV_WILLNEED);
	return err;
}

/* May contents of VMA be dropped, as ADVICE says? */
static bool may_drop(const struct vm_area_struct *vma, int advice)
{
	if (advice == MADV_DONTNEED_LOCKED)
		return true;
	return !(vma->vm_flags & VM_LOCKED) &&
	       (advice == MADV_DONTNEED || vma_is_anonymous(vma));
}

/* MADV_DONTNEED, MADV_FREE. A monitor is told first, without the lock. */
static int advise_drop(struct mm_struct *mm, struct vm_area_struct *vma,
		       uva_t start, uva_t end, int advice)
{
	if (!may_drop(vma, advice))
		return -EINVAL;
	if (!uffd_remove(vma, start, end)) {
		vma = find_vma(mm, start);
		if (!vma_contains(vma, start))
			return -ENOMEM;
		if (!may_drop(vma, advice))
			return -EINVAL;
		end = min(end, vma->vm_end);
	}
	if (advice == MADV_FREE)
		advise_walk(vma, start, end, advice);
	else
		advise_dontneed(mm, vma, start, end);
	return 0;
}

/* Lock held for reading; MADV_REMOVE, and who tells a monitor, gives it up
 * between. */
static int advise_vma_pages(struct vm_area_struct *vma, uva_t start, uva_t end,
			    int advice)
{
	switch (advice) {
	case MADV_REMOVE:
		return advise_remove(vma, start, end);
	case MADV_DONTNEED:
	case MADV_DONTNEED_LOCKED:
	case MADV_FREE:
		return advise_drop(vma->vm_mm, vma, start, end, advice);
	case MADV_WILLNEED:
		return advise_willneed(vma, start, end);
	default:
		if (vma->vm_flags & VM_LOCKED)
			return -EINVAL;
	}
	advise_walk(vma, start, end, advice);
	return 0;
}

/* Lock held for reading. */
static int advise_pages(struct mm_struct *mm, uva_t start, uva_t end,
			int advice)
{
	uva_t at = start;
	int err = 0;

	while (at < end) {
		struct vm_area_struct *vma = find_vma(mm, at);
		uva_t from, to;
		int bad;

		if (!vma || vma->vm_start >= end)
			return -ENOMEM;
		from = max(vma->vm_start, at);
		to = min(vma->vm_end, end);
		if (from > at)
			err = -ENOMEM;
		bad = advise_vma_pages(vma, from, to, advice);
		if (bad)
			return bad;
		at = to;
	}
	return err;
}

static int advise_locked(struct mm_struct *mm, uva_t start, uva_t end,
			 int advice)
{
	int err;

	if (advice == MADV_POPULATE_READ)
		return mm_populate(mm, start, end - start, POPULATE_READ);
	if (advice == MADV_POPULATE_WRITE)
		return mm_populate(mm, start, end - start, POPULATE_WRITE);
	if (advice == MADV_COLLAPSE)
		return thp_madvise_collapse(mm, start, end);
	if (advice_kind(advice) == ADVICE_PAGES) {
		mmap_read_lock(mm);
		err = advise_pages(mm, start, end, advice);
		mmap_read_unlock(mm);
	} else {
		mmap_write_lock(mm);
		err = advise_flags(mm, start, end, advice);
		mmap_write_unlock(mm);
	}
	return err;
}

int do_madvise(struct mm_struct *mm, uva_t addr, u64 len, int advice)
{
	u64 bytes = PAGE_ALIGN(len);
	bool poison = advice == MADV_HWPOISON || advice == MADV_SOFT_OFFLINE;

	if (!poison && advice_kind(advice) == ADVICE_UNKNOWN)
		return -EINVAL;
	if (!IS_ALIGNED(addr, PAGE_SIZE) || bytes < len || addr + bytes < addr)
		return -EINVAL;
	if (bytes == 0)
		return 0;
	if (poison)
		return madvise_inject_error(mm, addr, addr + bytes,
					    advice == MADV_SOFT_OFFLINE);
	return advise_locked(mm, addr, addr + bytes, advice);
}
