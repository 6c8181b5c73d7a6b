/* SPDX-License-Identifier: MIT */
/*
 * ksm_mm.c - the spaces that are scanned, and what is kept of each page.
 *
 * A space gets a slot when it first asks for merging (madvise(2), prctl(2), by
 * fork), at the end of the line, and keeps it until a scan finds that none of
 * its mappings is mergeable any more, or until it goes. The slot holds the
 * structure, not its users: a space that nobody uses is taken apart while the
 * scanner may still know it.
 *
 * Items are in the order of addresses, so a scan merges the list with what it
 * finds in the page tables: an item that is behind the address looked at is of
 * a page that went, and goes.
 *
 * A space that goes. Its mappings go first, under its mmap lock, so a scan that
 * is at work in it is over by then. Then the items go, under the mutex. Who
 * exits does not wait for it: if it is taken, its holder does the work when he
 * gives it back (ksm_reap(): each looks at the other's word after a barrier, so
 * one of the two sees the need).
 */
#include <mmkit/errno.h>
#include <mmkit/slab.h>

#include "base/assert.h"
#include "base/trace_ring.h"
#include "merge/ksm.h"
#include "space/ksm.h"

struct merge_state merge_sys;

/* ---- slots -----------------------------------------------------------------
 */

int ksm_mm_enter(struct mm_struct *mm)
{
	struct ksm_mm_slot *slot;

	slot = kmem_cache_alloc(merge_sys.slot_cache, GFP_KERNEL | __GFP_ZERO);
	if (!slot)
		return -ENOMEM;
	INIT_LIST_HEAD(&slot->dead_link);
	slot->mm = mm;
	mm_grab(mm);
	spin_lock(&merge_sys.slots_lock);
	list_add_tail(&slot->list, &merge_sys.slots);
	WRITE_ONCE(mm->ksm_slot, slot);
	spin_unlock(&merge_sys.slots_lock);
	trace_emit(KSM_ENTER, (u64)(uintptr_t)mm);
	ksmd_wake();
	return 0;
}

struct ksm_mm_slot *ksm_next_slot(struct ksm_mm_slot *slot)
{
	struct list_head *at;

	spin_lock(&merge_sys.slots_lock);
	at = slot ? slot->list.next : merge_sys.slots.next;
	if (at == &merge_sys.slots)
		slot = NULL;
	else
		slot = list_entry(at, struct ksm_mm_slot, list);
	spin_unlock(&merge_sys.slots_lock);
	return slot;
}

/* The scan goes on behind SLOT, which goes. */
static void scan_leave(struct ksm_mm_slot *slot)
{
	struct ksm_scan *scan = &merge_sys.scan;

	if (scan->slot != slot)
		return;
	/* At the end of the list: the scan ends where it is asked next. */
	scan->slot = ksm_next_slot(slot);
	scan->address = 0;
	scan->at = scan->slot ? &scan->slot->rmap_list : NULL;
	scan->ends = scan->slot == NULL;
}

void ksm_slot_remove(struct ksm_mm_slot *slot)
{
	struct mm_struct *mm = slot->mm;

	mutex_assert_held(&merge_sys.mutex);
	mm_verify(!slot->rmap_list);
	scan_leave(slot);
	spin_lock(&merge_sys.slots_lock);
	list_del(&slot->list);
	if (!list_empty(&slot->dead_link)) {
		list_del(&slot->dead_link);
		WRITE_ONCE(merge_sys.nr_dead, merge_sys.nr_dead - 1);
	}
	WRITE_ONCE(mm->ksm_slot, NULL);
	spin_unlock(&merge_sys.slots_lock);
	trace_emit(KSM_EXIT, (u64)(uintptr_t)mm);
	kmem_cache_free(merge_sys.slot_cache, slot);
	mm_drop(mm);
}

/* ---- spaces that went ------------------------------------------------------
 */

static struct ksm_mm_slot *first_dead(void)
{
	struct ksm_mm_slot *slot;

	spin_lock(&merge_sys.slots_lock);
	slot = list_first_entry_or_null(&merge_sys.dead, struct ksm_mm_slot,
					dead_link);
	spin_unlock(&merge_sys.slots_lock);
	return slot;
}

static void reap_locked(void)
{
	struct ksm_mm_slot *slot;

	while ((slot = first_dead())) {
		ksm_items_trim(&slot->rmap_list);
		ksm_slot_remove(slot);
	}
}

/* What the dead have left, unless somebody holds the mutex, who will see it. */
static void ksm_reap(void)
{
	for (;;) {
		smp_mb();
		if (!READ_ONCE(merge_sys.nr_dead) ||
		    !mutex_trylock(&merge_sys.mutex))
			return;
		reap_locked();
		mutex_unlock(&merge_sys.mutex);
	}
}

void ksm_lock(void)
{
	mutex_lock(&merge_sys.mutex);
}

void ksm_unlock(void)
{
	reap_locked();
	mutex_unlock(&merge_sys.mutex);
	ksm_reap();
}

void ksm_mm_exit(struct mm_struct *mm)
{
	struct ksm_mm_slot *slot;

	spin_lock(&merge_sys.slots_lock);
	/* Nobody enters it any more; a scan may have put it out. */
	slot = mm->ksm_slot;
	if (slot) {
		list_add_tail(&slot->dead_link, &merge_sys.dead);
		WRITE_ONCE(merge_sys.nr_dead, merge_sys.nr_dead + 1);
	}
	spin_unlock(&merge_sys.slots_lock);
	if (slot)
		ksm_reap();
}

/* ---- items -----------------------------------------------------------------
 */

static void item_free(struct ksm_rmap_item *item)
{
	struct mm_struct *mm = item->mm;

	WRITE_ONCE(mm->ksm_rmap_items, mm->ksm_rmap_items - 1);
	WRITE_ONCE(merge_sys.rmap_items, merge_sys.rmap_items - 1);
	kmem_cache_free(merge_sys.item_cache, item);
}

void ksm_item_unlink(struct ksm_rmap_item *item)
{
	mutex_assert_held(&merge_sys.mutex);
	if (item->state == KSM_STABLE) {
		stable_remove_item(item);
	} else if (item->state == KSM_UNSTABLE) {
		/* The trees of earlier scans are gone. */
		if (item->seqnr == merge_sys.scan.seqnr)
			rb_erase(&item->rb, &merge_sys.unstable[item->nid]);
		WRITE_ONCE(merge_sys.pages_unshared,
			   merge_sys.pages_unshared - 1);
		item->state = KSM_NOWHERE;
	}
	mm_assert(item->state == KSM_NOWHERE);
}

void ksm_items_trim(struct ksm_rmap_item **at)
{
	while (*at) {
		struct ksm_rmap_item *item = *at;

		*at = item->next;
		ksm_item_unlink(item);
		item_free(item);
	}
}

static struct ksm_rmap_item *item_new(struct mm_struct *mm, uva_t addr)
{
	struct ksm_rmap_item *item;

	item = kmem_cache_alloc(merge_sys.item_cache, GFP_KERNEL | __GFP_ZERO |
							      __GFP_NORETRY |
							      __GFP_NOWARN);
	if (!item)
		return NULL;
	item->mm = mm;
	item->address = addr;
	WRITE_ONCE(mm->ksm_rmap_items, mm->ksm_rmap_items + 1);
	WRITE_ONCE(merge_sys.rmap_items, merge_sys.rmap_items + 1);
	return item;
}

struct ksm_rmap_item *ksm_item_get(struct mm_struct *mm,
				   struct ksm_rmap_item ***at, uva_t addr)
{
	struct ksm_rmap_item *item;

	while ((item = **at)) {
		if (item->address == addr)
			return item;
		if (item->address > addr)
			break;
		**at = item->next;
		ksm_item_unlink(item);
		item_free(item);
	}
	item = item_new(mm, addr);
	if (item) {
		item->next = **at;
		**at = item;
	}
	return item;
}
