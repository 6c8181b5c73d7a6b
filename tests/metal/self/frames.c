/* SPDX-License-Identifier: MIT */
/*
 * frames.c - with debug_pagealloc no free frame is mapped and each that was
 * taken is (MPA-1); without, all are.
 */
#include "self.h"

#include <mmkit/gfp.h>
#include <mmkit/page_alloc.h>

#include "pgtable/kernel.h"
#include "phys/page.h"
#include "phys/phys.h"

#define ORDERS 6u

static bool mapped(u64 pfn)
{
	struct kernel_entry e;

	if (!kernel_lookup(METAL_DIRECT + PFN_PHYS(pfn), &e))
		return false;
	CHECK(e.pfn == pfn);
	return true;
}

/* Frames of the zone's free blocks that are mapped; *FREE: all of them. Blocks
 * neither come nor go meanwhile. */
static u64 mapped_free(struct zone *zone, u64 *nr_free)
{
	unsigned long flags;
	u64 n = 0;

	spin_lock_irqsave(&zone->lock, flags);
	for (u64 pfn = zone->zone_start_pfn; pfn < zone_end_pfn(zone); pfn++) {
		const struct page *page;

		if (!pfn_valid(pfn) || pfn_deferred(pfn))
			continue;
		page = pfn_to_page(pfn);
		if (!PageBuddy(page) && !PageGuard(page))
			continue;
		for (u64 i = 0; i < 1ul << buddy_order(page); i++)
			n += mapped(pfn + i);
		*nr_free += 1ul << buddy_order(page);
		pfn += (1ul << buddy_order(page)) - 1;
	}
	spin_unlock_irqrestore(&zone->lock, flags);
	return n;
}

/* A block of ORDER is mapped when it was taken, and can be written. */
static void take_and_free(u32 order)
{
	struct page *page = alloc_pages(GFP_KERNEL, order);
	u64 pfn;

	CHECK(page != NULL);
	pfn = page_to_pfn(page);
	for (u64 i = 0; i < 1ul << order; i++) {
		CHECK(mapped(pfn + i));
		*(volatile u64 *)port_ram(PFN_PHYS(pfn + i)) = i;
	}
	__free_pages(page, order);
}

void self_frames(void)
{
	bool on = phys_sys.debug.p.debug_pagealloc;
	u64 nr_free = 0, nr_mapped = 0;
	struct zone *zone;

	for (u32 order = 0; order < ORDERS; order++)
		take_and_free(order);
	for_each_zone (zone)
		nr_mapped += mapped_free(zone, &nr_free);
	CHECK(nr_free > 100);
	CHECK(nr_mapped == (on ? 0 : nr_free));
	/* Large pages are what the option costs. */
	CHECK((pgtable_sys.direct[1] + pgtable_sys.direct[2] == 0) == on);
	pr_info("self: %llu free frames, %llu of them mapped",
		(unsigned long long)nr_free, (unsigned long long)nr_mapped);
}
