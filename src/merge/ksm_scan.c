/* SPDX-License-Identifier: MIT */
/*
 * ksm_scan.c - the walk over all pages that may be merged.
 *
 * A full scan goes through the spaces in the order in which they came, and
 * through each by address. It is cut into pieces of pages_to_scan pages,
 * between which the daemon sleeps; the cursor says where it goes on. The mmap
 * lock is held to find the next page and given back before the page is
 * compared.
 *
 * A space in which nothing is mergeable any more loses its slot when the scan
 * has been through it.
 *
 * Pages that were looked at often and never merged are looked at more rarely
 * (smart_scan): after the third scan in vain one is left out, after the fifth
 * two between looks, after the sixth four, after the ninth eight.
 */
#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>

#include "base/assert.h"
#include "base/epoch.h"
#include "base/trace_ring.h"
#include "merge/ksm.h"
#include "phys/lru.h"
#include "space/ksm.h"

/* ---- full scans ------------------------------------------------------------
 */

/* False: there is nobody to scan. */
static bool full_scan_begin(void)
{
	struct ksm_scan *scan = &merge_sys.scan;

	scan->slot = ksm_next_slot(NULL);
	if (!scan->slot)
		return false;
	scan->at = &scan->slot->rmap_list;
	scan->address = 0;
	/* A batch on its way to the lists holds its pages. */
	lru_add_drain_all();
	stable_prune();
	for (u32 tree = 0; tree < MM_MAX_NODES; tree++)
		merge_sys.unstable[tree] = RB_ROOT;
	ksm_advisor_start();
	trace_emit(KSM_START_SCAN, scan->seqnr, merge_sys.rmap_items);
	return true;
}

static void full_scan_end(void)
{
	struct ksm_scan *scan = &merge_sys.scan;

	trace_emit(KSM_STOP_SCAN, scan->seqnr, merge_sys.rmap_items);
	scan->slot = NULL;
	scan->at = NULL;
	scan->ends = false;
	scan->seqnr++;
	WRITE_ONCE(merge_sys.full_scans, merge_sys.full_scans + 1);
	ksm_advisor_stop();
}

/* ---- smart scan ------------------------------------------------------------
 */

static u8 skips_at_age(u8 age)
{
	if (age <= 3)
		return 1;
	if (age <= 5)
		return 2;
	if (age <= 8)
		return 4;
	return 8;
}

/* Is the page of ITEM passed over this time? */
static bool pass_over(struct ksm_rmap_item *item, const struct page *page)
{
	u8 age = item->age;

	if (!merge_sys.smart_scan || PageKsm(page))
		return false;
	if (age < UINT8_MAX)
		item->age = (u8)(age + 1);
	if (age < 3)
		return false;
	if (!item->remaining_skips) {
		item->remaining_skips = skips_at_age(age);
		return false;
	}
	item->remaining_skips--;
	WRITE_ONCE(merge_sys.pages_skipped, merge_sys.pages_skipped + 1);
	ksm_item_unlink(item);
	return true;
}

/* ---- the next page ---------------------------------------------------------
 */

/* What was found, or that there is nothing more in the space. */
struct found {
	struct ksm_rmap_item *item;
	struct page *page; /* with a reference */
	bool no_memory;
};

/* PAGE, with a reference, at ADDR. True: it is the next to be compared, or
 * there is no memory to go on. */
static bool take_page(struct found *f, struct mm_struct *mm, uva_t addr,
		      struct page *page)
{
	struct ksm_scan *scan = &merge_sys.scan;
	struct ksm_rmap_item *item = ksm_item_get(mm, &scan->at, addr);

	scan->address = addr + PAGE_SIZE;
	f->no_memory = !item;
	if (!item) {
		put_page(page);
		return true;
	}
	scan->at = &item->next;
	if (pass_over(item, page)) {
		put_page(page);
		return false;
	}
	f->item = item;
	f->page = page;
	return true;
}

/* In [ADDR, END) of VMA, from the cursor on. */
static bool scan_vma(struct found *f, struct vm_area_struct *vma, uva_t addr)
{
	struct mm_struct *mm = vma->vm_mm;

	while (addr < vma->vm_end) {
		struct pt_slot slot;
		struct page *page;

		if (!pt_lookup(&mm->pt, addr, &slot)) {
			addr = pt_skip(&mm->pt, addr, vma->vm_end);
			continue;
		}
		page = ksm_follow(vma, addr);
		if (page && take_page(f, mm, addr, page))
			return true;
		addr += PAGE_SIZE;
	}
	return false;
}

/* In MM, from the cursor on. Mmap lock held. */
static bool scan_mm(struct found *f, struct mm_struct *mm)
{
	struct ksm_scan *scan = &merge_sys.scan;
	struct vm_area_struct *vma = find_vma(mm, scan->address);

	for (; vma; vma = vma_next(vma)) {
		if (!ksm_find_vma(mm, vma->vm_start))
			continue;
		if (scan_vma(f, vma, max(scan->address, vma->vm_start)))
			return true;
	}
	return false;
}

/* The cursor's space has nothing more: on to the next; false: that was the
 * last. Its mmap lock is held. */
static bool leave_space(struct ksm_mm_slot *slot, bool mergeable)
{
	struct ksm_scan *scan = &merge_sys.scan;

	/* Of one that goes who exits takes care. */
	if (!READ_ONCE(slot->mm->mm_users))
		mergeable = true;
	else
		ksm_items_trim(scan->at);
	if (!mergeable && !slot->rmap_list) {
		ksm_slot_remove(slot);
		return !scan->ends;
	}
	scan->slot = ksm_next_slot(slot);
	scan->ends = scan->slot == NULL;
	scan->address = 0;
	scan->at = scan->slot ? &scan->slot->rmap_list : NULL;
	return !scan->ends;
}

/* Does any mapping of MM want to be scanned? Mmap lock held. */
static bool wants_scan(struct mm_struct *mm)
{
	struct vm_area_struct *vma;

	if (READ_ONCE(mm->flags) & MMF_VM_MERGE_ANY)
		return true;
	for_each_vma (vma, mm)
		if (vma->vm_flags & VM_MERGEABLE)
			return true;
	return false;
}

/* False: the full scan is over. */
static bool scan_next(struct found *f)
{
	struct ksm_scan *scan = &merge_sys.scan;

	if (scan->ends || (!scan->slot && !full_scan_begin()))
		return false;
	for (;;) {
		struct ksm_mm_slot *slot = scan->slot;
		struct mm_struct *mm = slot->mm;
		bool done, more = true;

		*f = (struct found){NULL, NULL, false};
		/* It may lose its slot's reference here. */
		mm_grab(mm);
		mmap_read_lock(mm);
		done = READ_ONCE(mm->mm_users) && scan_mm(f, mm);
		if (!done)
			more = leave_space(slot, wants_scan(mm));
		mmap_read_unlock(mm);
		mm_drop(mm);
		if (done || !more)
			return done;
		port_sched_point();
	}
}

/* ---- a piece ---------------------------------------------------------------
 */

static u32 scan_locked(u32 nr)
{
	u32 n = 0;

	for (; n < nr; n++) {
		struct found f;

		if (!scan_next(&f)) {
			if (merge_sys.scan.ends)
				full_scan_end();
			break;
		}
		if (f.no_memory)
			break;
		WRITE_ONCE(merge_sys.pages_scanned,
			   merge_sys.pages_scanned + 1);
		ksm_cmp_and_merge(f.item, f.page);
		put_page(f.page);
		port_sched_point();
	}
	return n;
}

u32 ksm_scan_pages(u32 nr)
{
	u64 start;
	u32 n;

	ksm_lock();
	start = port_now_ns();
	n = scan_locked(nr);
	ksm_advisor_busy(port_now_ns() - start);
	ksm_unlock();
	return n;
}

/* Items stay as they are; their tree is as that of an earlier scan. */
void ksm_forget_unstable(void)
{
	merge_sys.scan.seqnr++;
	for (u32 tree = 0; tree < MM_MAX_NODES; tree++)
		merge_sys.unstable[tree] = RB_ROOT;
}

/* ---- taking all apart ------------------------------------------------------
 */

static int unmerge_mm(struct mm_struct *mm)
{
	struct vm_area_struct *vma;
	int err = 0;

	for_each_vma (vma, mm) {
		if (err || !ksm_find_vma(mm, vma->vm_start))
			continue;
		err = ksm_unmerge(vma, vma->vm_start, vma->vm_end);
	}
	return err;
}

int ksm_unmerge_all(void)
{
	struct ksm_mm_slot *slot;
	int err = 0;

	mutex_assert_held(&merge_sys.mutex);
	WRITE_ONCE(space_sys.ksm_unmerging, true);
	for (slot = ksm_next_slot(NULL); slot && !err;
	     slot = ksm_next_slot(slot)) {
		struct mm_struct *mm = slot->mm;

		mmap_read_lock(mm);
		if (READ_ONCE(mm->mm_users))
			err = unmerge_mm(mm);
		mmap_read_unlock(mm);
		if (!err)
			ksm_items_trim(&slot->rmap_list);
	}
	if (!err && stable_remove_all())
		err = -EBUSY;
	/* The next scan begins at the beginning. */
	if (!err) {
		merge_sys.scan =
			(struct ksm_scan){.seqnr = merge_sys.scan.seqnr + 1};
	} else if (merge_sys.scan.slot) {
		merge_sys.scan.at = &merge_sys.scan.slot->rmap_list;
		merge_sys.scan.address = 0;
	}
	WRITE_ONCE(space_sys.ksm_unmerging, false);
	return err;
}
