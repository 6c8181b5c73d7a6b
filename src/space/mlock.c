/* SPDX-License-Identifier: MIT */
/*
 * mlock.c - memory that stays in RAM.
 *
 * 1. Purpose. Pages of a VM_LOCKED mapping are never taken away, and reclaim
 *    does not even look at them: they wait on the unevictable list.
 *
 * 2. Two levels. VM_LOCKED is the mapping's, and decides. PG_mlocked is the
 *    page's: some locked mapping maps it. It is set where a page enters such
 *    a mapping (fault, or the call itself) and cleared when one lets go of it
 *    (munlock, munmap, copy-on-write) and a walk of the reverse map finds no
 *    other. MLOCK_ONFAULT differs only in that nothing is faulted in.
 *
 * 3. Invariants.
 *    ML-1  Every page that a VM_LOCKED mapping maps (but the zero page) has
 *          PG_mlocked; NR_MLOCK counts the pages that have it.
 *    ML-2  A page with PG_mlocked is on the unevictable list, in a batch, or
 *          isolated; lru_judge_evictable() decides where it goes from there.
 *    ML-3  locked_vm = pages of VM_LOCKED mappings <= RLIMIT_MEMLOCK when it
 *          last grew, or the task had CAP_IPC_LOCK.
 *
 * 4. Locking. mmap lock for writing to change VM_LOCKED. PG_mlocked is
 *    cleared under the page lock; it is set under that or, by who meets a
 *    locked mapping on a walk, under its table's lock: then whoever unmaps or
 *    unlocks comes after it and sees it. Order: mmap lock, page lock,
 *    anon_vma, table.
 *
 * 5. Failure. Splitting may fail: what was locked before stays so, as
 *    mlock(2) allows. munlock_page() cannot fail.
 *
 * 6. Rejected. A count of locked mappings for each page, as later Linux keeps
 *    one in place of a list link: the walk is needed only when a page that
 *    several processes map is unlocked.
 *
 * References: mlock(2), mlockall(2), getrlimit(2); Linux documentation,
 * mm/unevictable-lru.
 */
#include <mmkit/errno.h>
#include <mmkit/mman.h>
#include <mmkit/page_alloc.h>

#include "phys/lru.h"
#include "phys/mmzone.h"
#include "phys/vmstat.h"
#include "space/gup.h"
#include "space/rmap.h"
#include "space/space.h"

/* ---- pages ----------------------------------------------------------------
 */

static void count_mlocked(struct page *page, s64 n)
{
	mod_zone_page_state(page_zone(page), NR_MLOCK, n);
}

/* PG_mlocked changed: bring PAGE to the list where it belongs now. */
static bool mlock_move(struct page *page)
{
	/* In a batch? Then it is on a list after this, unless isolated. */
	if (!PageLRU(page))
		lru_add_drain_all();
	if (!lru_isolate_page(page))
		return false;
	if (PageMlocked(page)) {
		ClearPageActive(page);
		SetPageUnevictable(page);
	} else {
		ClearPageUnevictable(page);
	}
	lru_putback_page(page);
	return true;
}

void mlock_new_page(struct page *page)
{
	mm_assert(!PageLRU(page) && !PageMlocked(page));
	SetPageMlocked(page);
	SetPageUnevictable(page);
	count_mlocked(page, 1);
	count_vm_event(UNEVICTABLE_PGMLOCKED);
}

void mlock_page(struct page *page)
{
	if (TestSetPageMlocked(page))
		return;
	count_mlocked(page, 1);
	count_vm_event(UNEVICTABLE_PGMLOCKED);
	/* Isolated by reclaim: its way back goes past the judge. */
	(void)mlock_move(page);
}

static bool find_locked(struct page *page, struct vm_area_struct *vma,
			uva_t addr, void *arg)
{
	struct pt_slot slot;
	bool *found = arg;

	if (!(READ_ONCE(vma->vm_flags) & VM_LOCKED) ||
	    !page_vma_slot(page, vma, addr, &slot))
		return true;
	pt_unlock(&slot);
	*found = true;
	return false;
}

/* Does any mapping still lock PAGE? */
static bool page_still_locked(struct page *page)
{
	bool found = false;
	struct rmap_walk_control rwc = {
		.arg = &found,
		.rmap_one = find_locked,
	};

	rmap_walk(page, &rwc);
	return found;
}

void munlock_page(struct page *page)
{
	lock_page(page);
	if (PageMlocked(page) && !page_still_locked(page) &&
	    TestClearPageMlocked(page)) {
		count_mlocked(page, -1);
		count_vm_event(UNEVICTABLE_PGMUNLOCKED);
		if (!mlock_move(page) && PageUnevictable(page))
			count_vm_event(UNEVICTABLE_PGSTRANDED);
	}
	unlock_page(page);
}

void munlock_unmapped_page(struct page *page)
{
	if (page_mapped(page) || !TestClearPageMlocked(page))
		return;
	count_mlocked(page, -1);
	count_vm_event(UNEVICTABLE_PGMUNLOCKED);
	/* A fault may have mapped it between, and found the mark still there:
	 * it is set again, once too often rather than once too seldom. */
	if (page_mapped(page))
		mlock_page(page);
	else if (!mlock_move(page) && PageUnevictable(page))
		count_vm_event(UNEVICTABLE_PGSTRANDED);
}

void munlock_moving_page(struct page *page)
{
	mm_assert(PageLocked(page) && !page_mapped(page));
	if (!TestClearPageMlocked(page))
		return;
	count_mlocked(page, -1);
	count_vm_event(UNEVICTABLE_PGMUNLOCKED);
}

/* ---- the pages of a mapping ------------------------------------------------
 */

#define MLOCK_BATCH 32u

struct mlock_batch {
	struct page *page[MLOCK_BATCH];
	uva_t addr[MLOCK_BATCH];
	u32 nr;
};

/* Collect pages from ADDR on, to END at most; where to go on. Table locked. */
static uva_t batch_collect(struct mlock_batch *b, struct pt_slot slot,
			   uva_t addr, uva_t end)
{
	for (; addr < end && b->nr < MLOCK_BATCH;
	     addr += PAGE_SIZE, pt_next(&slot)) {
		pte_t e = pt_get(&slot);

		if (!pte_present(e) || pte_special(e))
			continue;
		b->page[b->nr] = pfn_to_page(pte_pfn(e));
		get_page(b->page[b->nr]);
		b->addr[b->nr++] = addr;
	}
	return addr;
}

/* Faults are kept out, reclaim is not: still there under the page lock? */
static void batch_mlock_one(struct vm_area_struct *vma, struct page *page,
			    uva_t addr)
{
	struct pt_slot slot;

	lock_page(page);
	if (page_vma_slot(page, vma, addr, &slot)) {
		pt_unlock(&slot);
		mlock_page(page);
	}
	unlock_page(page);
}

static void batch_apply(struct mlock_batch *b, struct vm_area_struct *vma)
{
	bool lock = (vma->vm_flags & VM_LOCKED) != 0;

	for (u32 i = 0; i < b->nr; i++) {
		if (lock)
			batch_mlock_one(vma, b->page[i], b->addr[i]);
		else
			munlock_page(b->page[i]);
		put_page(b->page[i]);
	}
	b->nr = 0;
}

/* VMA's VM_LOCKED changed: its pages follow. (M) for writing. */
static void mlock_vma_pages(struct vm_area_struct *vma)
{
	struct mm_struct *mm = vma->vm_mm;
	struct mlock_batch b = {.nr = 0};
	uva_t addr = vma->vm_start;
	struct pt_slot slot;

	while (addr < vma->vm_end) {
		uva_t end = pt_table_end(&mm->pt, addr, vma->vm_end);

		if (!pt_lookup(&mm->pt, addr, &slot)) {
			addr = pt_skip(&mm->pt, addr, vma->vm_end);
			continue;
		}
		pt_lock_read(&slot);
		addr = batch_collect(&b, slot, addr, end);
		pt_unlock(&slot);
		batch_apply(&b, vma);
	}
}

/* ---- mappings --------------------------------------------------------------
 */

/* The part of VMA in [START, END) gets LOCK (of VM_LOCKED_MASK). Returns the
 * mapping that holds it now, or NULL: no memory, nothing changed. */
static struct vm_area_struct *mlock_fixup(struct vm_area_struct *vma,
					  uva_t start, uva_t end, u64 lock)
{
	u64 new = (vma->vm_flags & ~VM_LOCKED_MASK) | lock;
	struct mm_struct *mm = vma->vm_mm;
	bool was = (vma->vm_flags & VM_LOCKED) != 0;

	if (new == vma->vm_flags)
		return vma;
	start = max(start, vma->vm_start);
	end = min(end, vma->vm_end);
	if (vma_isolate_range(mm, start, end))
		return NULL;
	vma = find_vma(mm, start);
	vm_stat_account(mm, vma->vm_flags, -(s64)vma_pages(vma));
	vm_stat_account(mm, new, (s64)vma_pages(vma));
	vma_set_flags(vma, new);
	if (was != ((new &VM_LOCKED) != 0))
		mlock_vma_pages(vma);
	return vma_join(mm, vma);
}

/* All of [START, END), in order, up to a hole or a failure. */
static int mlock_range(struct mm_struct *mm, uva_t start, uva_t end, u64 lock)
{
	struct vm_area_struct *vma;
	uva_t at = start;

	while (at < end) {
		vma = find_vma(mm, at);
		if (!vma_contains(vma, at))
			return -ENOMEM;
		vma = mlock_fixup(vma, at, end, lock);
		if (!vma)
			return -ENOMEM;
		at = vma->vm_end;
	}
	return 0;
}

/* Pages of [START, END) that are locked already: they cost nothing more. */
static u64 locked_pages(struct mm_struct *mm, uva_t start, uva_t end)
{
	struct vm_area_struct *vma;
	u64 n = 0;

	for (vma = find_vma(mm, start); vma && vma->vm_start < end;
	     vma = vma_next(vma))
		if (vma->vm_flags & VM_LOCKED)
			n += (min(vma->vm_end, end) -
			      max(vma->vm_start, start)) >>
			     PAGE_SHIFT;
	return n;
}

static u64 lock_flags(bool onfault)
{
	return VM_LOCKED | (onfault ? VM_LOCKONFAULT : 0);
}

/* ---- the calls -------------------------------------------------------------
 */

/* [*ADDR, *END) in whole pages. 0, or -EINVAL: it ends before it begins. */
static int mlock_round(uva_t *addr, u64 len, uva_t *end)
{
	u64 off = *addr & (PAGE_SIZE - 1), bytes = PAGE_ALIGN(len + off);

	*addr -= off;
	*end = *addr + bytes;
	/* A length that is rounded round the end of 64 bits is none (Linux). */
	return *end < *addr ? -EINVAL : 0;
}

/* mlock(2)'s errors: the pages are not there, or not to be had. */
static int mlock_populate_errno(int err)
{
	if (err == -EFAULT)
		return -ENOMEM;
	return err == -ENOMEM ? -EAGAIN : err;
}

int do_mlock(struct mm_struct *mm, uva_t addr, u64 len, u32 flags)
{
	u64 lock = lock_flags((flags & MLOCK_ONFAULT) != 0);
	uva_t end = 0;
	u64 pages;
	int err;

	if (flags & ~(u32)MLOCK_ONFAULT)
		return -EINVAL;
	if (!can_do_mlock(mm))
		return -EPERM;
	err = mlock_round(&addr, len, &end);
	pages = (end - addr) >> PAGE_SHIFT;
	/* The limit speaks first, also of a range that wraps. */
	if (err)
		return mlock_may_grow(mm, lock, pages) ? err : -ENOMEM;
	mmap_write_lock(mm);
	if (!mlock_may_grow(mm, lock, pages))
		pages -= locked_pages(mm, addr, end);
	err = mlock_may_grow(mm, lock, pages) ? mlock_range(mm, addr, end, lock)
					      : -ENOMEM;
	mmap_write_unlock(mm);
	if (err)
		return err;
	err = mm_populate(mm, addr, end - addr, POPULATE_LIKELY);
	return mlock_populate_errno(err);
}

int do_munlock(struct mm_struct *mm, uva_t addr, u64 len)
{
	uva_t end = 0;
	int err = mlock_round(&addr, len, &end);

	if (err)
		return err;
	mmap_write_lock(mm);
	err = mlock_range(mm, addr, end, 0);
	mmap_write_unlock(mm);
	return err;
}

/* Every mapping there is; one that cannot be split never has to be. */
static void mlock_all(struct mm_struct *mm, u64 lock)
{
	struct vm_area_struct *vma = vma_first(mm);

	while (vma) {
		vma = mlock_fixup(vma, vma->vm_start, vma->vm_end, lock);
		mm_assert(vma != NULL);
		vma = vma_next(vma);
	}
}

int do_mlockall(struct mm_struct *mm, u32 flags)
{
	u64 lock = lock_flags((flags & MCL_ONFAULT) != 0);

	if (!(flags & (MCL_CURRENT | MCL_FUTURE)) ||
	    (flags & ~(u32)(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT)))
		return -EINVAL;
	if (!can_do_mlock(mm))
		return -EPERM;
	mmap_write_lock(mm);
	if ((flags & MCL_CURRENT) && !mm_capable(MM_CAP_IPC_LOCK) &&
	    mm->total_vm > mm->rlimit_memlock >> PAGE_SHIFT) {
		mmap_write_unlock(mm);
		return -ENOMEM;
	}
	mm->def_flags = flags & MCL_FUTURE ? lock : 0;
	if (flags & MCL_CURRENT)
		mlock_all(mm, lock);
	mmap_write_unlock(mm);
	if (flags & MCL_CURRENT)
		mm_populate_all(mm);
	return 0;
}

int do_munlockall(struct mm_struct *mm)
{
	mmap_write_lock(mm);
	mm->def_flags = 0;
	mlock_all(mm, 0);
	mmap_write_unlock(mm);
	return 0;
}
