/* SPDX-License-Identifier: MIT */
/*
 * page_bad.c - frames that are not what they should be, and what becomes of
 * them.
 *
 * 1. Purpose. A frame that was freed twice, freed while in use, or written to
 *    while it was free must not be given to anybody; one such frame must not
 *    stop the machine. It is reported by bad_page() and set aside.
 *
 * 2. Where it is noticed.
 *
 *      drop of a reference that is not there   free_unowned (page_alloc.c)
 *      last reference of a frame in use        free_pages_prepare
 *      wrong order                             free_large, free_part
 *      frame changed while free                check_new_block, page_debug_take
 *      head of a free block, or its links      buddy_try_del (buddy.c)
 *      stack of a CPU                          pcp_mend (pcp.c)
 *
 * 3. Invariants.
 *    PB-1  A frame that was set aside has PG_reserved, is on no list, and
 *          nr_set_aside counts it (with frames of a per-CPU list that were
 *          lost behind a broken link, which nobody can name). Managed frames
 *          of its zone do not change.
 *    PB-2  A free of a reserved frame changes no count.
 *
 * 4. Locking. None of its own; zone and pcp locks inside the callees.
 *
 * 5. A block freed with the wrong order stays in use: who owns it may still
 *    free it rightly. Nobody else gets it.
 *
 * 6. Failure. A free frame on a set that somebody has locked is not taken off;
 *    it was reported, and is otherwise as good as before.
 *
 * 7. Cost. Nothing until something is wrong; then O(free blocks) at worst.
 *
 * References: Linux documentation, admin-guide/tainted-kernels ("bad page").
 */
#include "phys/buddy_priv.h"
#include "phys/page_debug.h"
#include "phys/phys.h"

void set_aside(struct page *page, u64 nr)
{
	mm_assert(nr > 0 && nr <= MAX_ORDER_NR_PAGES);
	for (u64 i = 0; i < nr; i++) {
		/* The one flag that would make others look for a list. */
		ClearPageBuddy(page + i);
		SetPageReserved(page + i);
	}
	__atomic_fetch_add(&phys_sys.debug.nr_set_aside, nr, __ATOMIC_RELAXED);
}

void set_aside_free(struct page *page)
{
	if (PagePoisoned(page) || PageReserved(page) || PageTail(page))
		return;
	mm_assert(page_count(page) <= 0);
	if (take_page_off_buddy(page) || take_page_off_pcp(page) ||
	    (page_count(page) < 0 && !PageReserved(page)))
		set_aside(page, 1);
}

const char *free_page_reason(const struct page *page)
{
	u64 word = page_mapping_word(page);

	if (PagePoisoned(page))
		return "page is uninitialized and poisoned";
	if (page_count(page) != 0)
		return "nonzero _refcount";
	if (page_mapcount(page) != 0)
		return "nonzero mapcount";
	if (page_word_left(page) && !(word & PAGE_MAPPING_FLAGS))
		return "non-NULL mapping";
	if (READ_ONCE(page->flags) & PAGE_FLAGS_CHECK_AT_FREE)
		return "PAGE_FLAGS_CHECK_AT_FREE flag(s) set";
	return NULL;
}

const char *stray_free_reason(const struct page *page)
{
	if (PagePoisoned(page))
		return "page is uninitialized and poisoned";
	if (PageTail(page))
		return "freed by a tail of its compound page";
	if (page_count(page) < 0)
		return "refcount underflow";
	return page_count(page) > 0 ? "freed with wrong order"
				    : "freed while free";
}

const char *new_page_reason(const struct page *page)
{
	if (PagePoisoned(page))
		return "page is uninitialized and poisoned";
	if (page_count(page) != 0)
		return "nonzero _refcount";
	if (page_mapcount(page) != 0)
		return "nonzero mapcount";
	if (page_word_left(page))
		return "non-NULL mapping";
	if (READ_ONCE(page->flags))
		return "PAGE_FLAGS_CHECK_AT_PREP flag set";
	return NULL;
}

/* One frame of a block that is not given out. True: it is good. */
static bool keep_frame(struct page *page)
{
	const char *reason = new_page_reason(page);

	if (reason)
		bad_page(page, reason);
	else if (page_debug_frame_ok(page))
		return true;
	set_aside(page, 1);
	return false;
}

void drop_bad_block(struct page *page, unsigned int order)
{
	struct zone *zone = page_zone(page);
	u64 pfn = page_to_pfn(page);
	unsigned long flags;
	u64 kept = 0;

	mm_assert(order < MAX_ORDER && zone != NULL);
	for (u64 i = 0; i < 1UL << order; i++) {
		if (!keep_frame(page + i))
			continue;
		if (phys_sys.debug.contents)
			page_debug_free(page + i, 0);
		spin_lock_irqsave(&zone->lock, flags);
		__free_one_page(zone, page + i, pfn + i, 0,
				get_pfnblock_migratetype(pfn + i));
		spin_unlock_irqrestore(&zone->lock, flags);
		kept++;
	}
	count_vm_events(PGFREE, kept);
}
