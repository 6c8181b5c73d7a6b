/* SPDX-License-Identifier: MIT */
/*
 * hwpoison.c - poisoned frames among the free ones, and their number.
 * Theory: hwpoison.h.
 */
#include "phys/hwpoison.h"

#include "phys/buddy_priv.h"
#include "phys/page_debug.h"
#include "phys/phys.h"

u64 num_poisoned_pages(void)
{
	return READ_ONCE(phys_sys.debug.nr_poisoned);
}

static void count_poisoned(s64 n)
{
	__atomic_fetch_add(&phys_sys.debug.nr_poisoned, (u64)n,
			   __ATOMIC_RELAXED);
}

bool hwpoison_mark(struct page *page)
{
	mm_assert(page_count(compound_head(page)) > 0);
	if (TestSetPageHWPoison(page))
		return false;
	count_poisoned(1);
	return true;
}

bool hwpoison_take_free(struct page *page)
{
	if (page_count(page) != 0 || PageReserved(page) ||
	    (!take_page_off_buddy(page) && !take_page_off_pcp(page)))
		return false;
	SetPageHWPoison(page);
	count_poisoned(1);
	set_aside(page, 1);
	return true;
}

bool hwpoison_give_back(struct page *page)
{
	struct zone *zone = page_zone(page);
	unsigned long flags;

	mm_assert(PageHWPoison(page));
	ClearPageHWPoison(page);
	count_poisoned(-1);
	if (page_count(page) != 0 || !PageReserved(page))
		return false;
	ClearPageReserved(page);
	__atomic_fetch_sub(&phys_sys.debug.nr_set_aside, 1, __ATOMIC_RELAXED);
	if (phys_sys.debug.contents)
		page_debug_free(page, 0);
	spin_lock_irqsave(&zone->lock, flags);
	free_block(zone, page, page_to_pfn(page), 0);
	spin_unlock_irqrestore(&zone->lock, flags);
	return true;
}
