/* SPDX-License-Identifier: MIT */
/*
 * ksm_merge.c - kernel same-page merging: what becomes of one page.
 *
 * 1. Purpose. Programs that run the same image hold the same pages many times.
 *    Where a program allows it (madvise(2), prctl(2)) such pages become one,
 * read only; who writes gets a copy.
 *
 * 2. Way of a page that the scan comes by (ksm_scan.c).
 *      shared already         an item for this place, if there is none
 *      equal to a shared one  this entry maps that one instead
 *      changed since the last look    nothing: it would be copied again soon
 *      zeroes, and use_zero_pages     this entry maps the zero page
 *      equal to another such page of this scan    the other is shared, and this
 *                             entry maps it
 *      else                   remembered for the rest of this scan
 *    Shared pages stand in a tree by their contents, which cannot change
 *    (ksm_stable.c). Those that are only remembered stand in another, whose
 * order is as good as their contents are still what they were: it is not
 * trusted, only used, and begun anew with each full scan.
 *
 * 3. Invariants.
 *    KM-1  What a program reads does not change by merging: KP-1.
 *    KM-2  A shared page has a node from the moment on at which its word says
 *          that it is shared. Should the second page turn out different after
 *          all, the first is unmade, which needs no memory.
 *    KM-3  pages_shared + pages_sharing + pages_unshared <= rmap_items; the
 * rest are pages that change (pages_volatile).
 *
 * 4. Locking. ksm_sys.mutex for all that is kept; then the mmap lock of one
 * space at a time, for reading; then the shared page's lock, waited for, and
 * the other's, tried; then the entry's table.
 *
 * 5. Failure. No memory for a node or an item: the page waits for the next
 * scan.
 *
 * 6. Rejected. Making the first page shared without a node, as long as it is
 * not sure that a second joins it: entries of it could not be found meanwhile,
 * and to take it back would need a copy.
 *
 * References: A. Arcangeli, I. Eidus, C. Wright, "Increasing memory density by
 * using KSM" (Ottawa Linux Symposium, 2009); Linux documentation,
 * admin-guide/mm/ksm and mm/ksm.
 */
#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>

#include "base/assert.h"
#include "base/trace_ring.h"
#include "cache/swap.h"
#include "merge/ksm.h"
#include "space/ksm.h"

/* ---- two pages of which one is shared --------------------------------------
 */

/* PAGE, which the caller holds, lost an entry and perhaps its last: what has to
 * be let go of without its lock. */
static void page_left(struct page *page)
{
	if (PageMlocked(page))
		munlock_page(page);
	free_swap_cache(page);
}

/* The entry at ADDR of VMA, of PAGE, maps KPAGE, locked, or the zero page
 * (NULL), if both are equal. */
static int join_page(struct vm_area_struct *vma, uva_t addr, struct page *page,
		     struct page *kpage)
{
	int err = -EBUSY;
	pte_t orig;

	if (!trylock_page(page))
		return -EBUSY;
	if (ksm_write_protect(vma, addr, page, &orig)) {
		bool same = kpage ? !ksm_compare(page, kpage)
				  : ksm_page_is_zero(page);

		err = same && ksm_replace(vma, addr, page, kpage, orig)
			      ? 0
			      : -EFAULT;
	}
	unlock_page(page);
	return err;
}

/* Does VMA map PAGE at ADDR? */
static bool maps_page(struct vm_area_struct *vma, uva_t addr,
		      const struct page *page)
{
	struct pt_slot slot;

	if (!page_vma_slot(page, vma, addr, &slot))
		return false;
	pt_unlock(&slot);
	return true;
}

/* PAGE, where ITEM says, becomes KPAGE, shared; or is it already. */
static int merge_with_ksm_page(struct ksm_rmap_item *item, struct page *page,
			       struct page *kpage)
{
	struct mm_struct *mm = item->mm;
	struct vm_area_struct *vma;
	int err = -EFAULT;

	mmap_read_lock(mm);
	vma = ksm_find_vma(mm, item->address);
	if (vma) {
		lock_page(kpage);
		if (page != kpage)
			err = join_page(vma, item->address, page, kpage);
		else if (maps_page(vma, item->address, page))
			err = 0;
		if (!err)
			stable_append(item, vma, kpage);
		unlock_page(kpage);
		/* That may wait for its lock. */
		if (!err && page != kpage)
			page_left(page);
	}
	mmap_read_unlock(mm);
	trace_emit(KSM_MERGE_WITH_KSM_PAGE, page_to_pfn(kpage),
		   page_to_pfn(page), (u64)(uintptr_t)item, (u64)(uintptr_t)mm,
		   (u64)(s64)err);
	return err;
}

/* ITEM's PAGE, of zeroes it seems, is given up for the zero page. */
static int merge_with_zero_page(struct ksm_rmap_item *item, struct page *page)
{
	struct mm_struct *mm = item->mm;
	struct vm_area_struct *vma;
	int err = -EFAULT;

	mmap_read_lock(mm);
	vma = ksm_find_vma(mm, item->address);
	/* A locked page is the program's own, by its wish. */
	if (vma && !(vma->vm_flags & VM_LOCKED))
		err = join_page(vma, item->address, page, NULL);
	if (!err)
		page_left(page);
	mmap_read_unlock(mm);
	return err;
}

/* ---- two pages of which none is shared -------------------------------------
 */

/* PAGE, where ITEM says, is shared, by ITEM alone. */
static int make_shared(struct ksm_rmap_item *item, struct page *page)
{
	struct mm_struct *mm = item->mm;
	struct vm_area_struct *vma;
	int err = -EBUSY;
	pte_t orig;

	mmap_read_lock(mm);
	vma = ksm_find_vma(mm, item->address);
	if (vma && trylock_page(page)) {
		if (!PageKsm(page) &&
		    ksm_write_protect(vma, item->address, page, &orig)) {
			stable_make(item, vma, page);
			trace_emit(PAGE_MERGE, page_to_pfn(page),
				   page_to_pfn(page), mm->serial,
				   item->address & PAGE_MASK);
			err = 0;
		}
		unlock_page(page);
	}
	mmap_read_unlock(mm);
	trace_emit(KSM_MERGE_ONE_PAGE, page_to_pfn(page), (u64)(uintptr_t)item,
		   (u64)(uintptr_t)mm, (u64)(s64)err);
	return err;
}

/* ITEM and OTHER, in no tree, share OTHER_PAGE. */
static void merge_two(struct ksm_rmap_item *item, struct page *page,
		      struct ksm_rmap_item *other, struct page *other_page)
{
	if (!ksm_reserve() || make_shared(other, other_page))
		return;
	if (merge_with_ksm_page(item, page, other_page))
		stable_unmake(other, other_page);
	else
		stable_insert(other_page);
}

/* ---- the tree of this scan -------------------------------------------------
 */

/* The page that ITEM is of, with a reference, if it can still be merged. */
static struct page *item_page(const struct ksm_rmap_item *item)
{
	struct mm_struct *mm = item->mm;
	struct vm_area_struct *vma;
	struct page *page = NULL;

	mmap_read_lock(mm);
	vma = ksm_find_vma(mm, item->address);
	if (vma)
		page = ksm_follow(vma, item->address);
	mmap_read_unlock(mm);
	return page;
}

/*
 * An item whose page, *FOUND with a reference, is equal to PAGE, or NULL: then
 * ITEM stands in the tree, unless the way down ended at a page that is gone.
 */
static struct ksm_rmap_item *unstable_search(struct ksm_rmap_item *item,
					     struct page *page,
					     struct page **found)
{
	u32 tree = ksm_tree(page_to_nid(page));
	struct rb_node **link = &merge_sys.unstable[tree].rb_node;
	struct rb_node *parent = NULL;

	while (*link) {
		struct ksm_rmap_item *at =
			rb_entry(*link, struct ksm_rmap_item, rb);
		struct page *other = item_page(at);
		int c;

		/* Gone, or mapped twice by one who forked: nothing to gain. */
		if (!other || other == page) {
			if (other)
				put_page(other);
			return NULL;
		}
		c = ksm_compare(page, other);
		if (c == 0 && ksm_tree(page_to_nid(other)) == tree) {
			*found = other;
			return at;
		}
		put_page(other);
		/* It moved to another node since: not here. */
		if (c == 0)
			return NULL;
		parent = *link;
		link = c < 0 ? &parent->left : &parent->right;
		port_sched_point();
	}
	item->state = KSM_UNSTABLE;
	item->seqnr = merge_sys.scan.seqnr;
	item->nid = (u8)tree;
	rb_link_node(&item->rb, parent, link);
	rb_insert_color(&item->rb, &merge_sys.unstable[tree]);
	WRITE_ONCE(merge_sys.pages_unshared, merge_sys.pages_unshared + 1);
	return NULL;
}

/* ---- a page ----------------------------------------------------------------
 */

/* PAGE is not shared, and no shared page is equal. */
static void merge_unshared(struct ksm_rmap_item *item, struct page *page)
{
	u32 sum = ksm_checksum(page);
	struct ksm_rmap_item *other;
	struct page *other_page;

	if (item->oldchecksum != sum) {
		item->oldchecksum = sum;
		return;
	}
	if (merge_sys.use_zero_pages && sum == merge_sys.zero_checksum &&
	    !merge_with_zero_page(item, page))
		return;
	other = unstable_search(item, page, &other_page);
	if (!other)
		return;
	ksm_item_unlink(other);
	merge_two(item, page, other, other_page);
	put_page(other_page);
}

void ksm_cmp_and_merge(struct ksm_rmap_item *item, struct page *page)
{
	struct ksm_stable_node *node = page_stable_node(page);
	struct page *kpage;

	mutex_assert_held(&merge_sys.mutex);
	if (node)
		stable_renode(page);
	if (node && item->state == KSM_STABLE && item->head == node)
		return;
	/* What it was is past: its page changed, or it is a new scan. */
	ksm_item_unlink(item);
	kpage = stable_search(page);
	if (!kpage) {
		merge_unshared(item, page);
		return;
	}
	(void)merge_with_ksm_page(item, page, kpage);
	put_page(kpage);
}
