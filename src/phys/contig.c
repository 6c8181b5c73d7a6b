/* SPDX-License-Identifier: MIT */
/*
 * contig.c - exact ranges of frames, whatever their number.
 *
 * 1. Purpose. The buddy gives blocks of 2^n frames up to 4 MiB. Some want more,
 *    or another number, or these very frames: devices without an MMU, CMA,
 *    large pages made to order.
 *
 * 2. The way of a request.
 *
 *      isolate the pageblocks around the range        page_isolation.c
 *      all free? else migrate what is in use          migrate_ops
 *      take the free blocks off the ISOLATE lists, put back what sticks out
 *      make every frame a page with one reference
 *      undo the isolation: the pageblocks are what they were
 *
 * 3. Invariant. From the isolation on, free frames of the range can only be
 *    taken here: so what was found free stays free until it is taken.
 *
 * 4. Locking. Zone lock, while the range is taken: O(free blocks). None while
 *    pages are migrated or made.
 *
 * 5. Life of a range. free or movable -> isolated -> pages -> (the owner frees
 *    them one by one) -> free.
 *
 * 6. Failure. At every step the isolation is undone; pages that were migrated
 *    stay where they are now.
 *
 * 7. Cost. O(frames), plus migration.
 *
 * 8. Rejected. Pageblocks that change to the caller's type for good: a
 *    pageblock of kernel frames of which a part was asked for would become
 *    movable, and its frames would be mixed.
 *
 * References: lwn.net articles 396702 and 486301 (CMA); Linux documentation,
 * core-api/mm-api ("alloc_contig_range").
 */
#include <mmkit/cma.h>
#include <mmkit/errno.h>

#include "base/bitops.h"
#include "base/fail.h"
#include "base/printk.h"
#include "phys/buddy_priv.h"
#include "phys/page_alloc_priv.h"
#include "phys/page_isolation.h"
#include "phys/phys.h"

void page_alloc_set_migrate_ops(const struct migrate_ops *ops)
{
	WRITE_ONCE(phys_sys.migrate, ops);
}

/* The zone that has all frames of [START, END), NULL if none has. */
static struct zone *zone_of_range(u64 start, u64 end)
{
	const struct page *page;
	struct zone *zone;

	if (start >= end || end > phys_sys.hot.max_pfn)
		return NULL;
	page = pfn_to_online_page(start);
	zone = page ? page_zone(page) : NULL;
	for (u64 pfn = start; zone && pfn < end; pfn++) {
		page = pfn_to_online_page(pfn);
		if (!page || READ_ONCE(page->zone_id) != zone->zone_id)
			return NULL;
	}
	return zone;
}

/* Why the isolated range [START, END) cannot be had. */
static void tell_obstacle(u64 start, u64 end)
{
	for (u64 pfn = start; pfn < end; pfn++) {
		const struct page *page = pfn_to_page(pfn);

		if (buddy_block_of(page_zone(page), pfn))
			continue;
		pr_debug("alloc_contig_range: [%llx, %llx) busy: pfn %llx: "
			 "count %d flags %x",
			 (unsigned long long)start, (unsigned long long)end,
			 (unsigned long long)pfn, page_count(page),
			 READ_ONCE(page->flags));
		return;
	}
}

/* Get what is in use in the isolated range [START, END) out of the way. */
static int empty_range(u64 start, u64 end)
{
	const struct migrate_ops *ops = READ_ONCE(phys_sys.migrate);
	int err = test_pages_isolated(start, end, 0);

	if (err && ops) {
		err = ops->migrate_range(start, end);
		/* What was freed in isolated blocks is on their lists. */
		if (!err)
			err = test_pages_isolated(start, end, 0);
	}
	if (err)
		tell_obstacle(start, end);
	return err;
}

/* Take the isolated, free frames [START, END) off the lists. */
static void take_frames(struct zone *zone, u64 start, u64 end)
{
	unsigned long flags;

	spin_lock_irqsave(&zone->lock, flags);
	for (u64 pfn = start; pfn < end;) {
		struct page *head = buddy_block_of(zone, pfn);
		u64 first, last;

		mm_verify(head && buddy_list_type(head) == MIGRATE_ISOLATE);
		first = page_to_pfn(head);
		last = first + (1UL << buddy_order(head));
		buddy_del(zone, head, buddy_order(head));
		free_pages_range(zone, first, max(first, pfn), MIGRATE_ISOLATE);
		free_pages_range(zone, min(last, end), last, MIGRATE_ISOLATE);
		pfn = last;
	}
	spin_unlock_irqrestore(&zone->lock, flags);
}

/*
 * Every frame becomes a page. If one of them was tampered with while it was
 * free, it stays out for ever and the others go back: -EBUSY.
 */
static int make_pages(u64 start, u64 end, gfp_t gfp)
{
	bool ok = true;

	for (u64 pfn = start; pfn < end; pfn++)
		ok &= prep_new_page(pfn_to_page(pfn), 0, gfp & __GFP_ZERO);
	if (ok)
		return 0;
	for (u64 pfn = start; pfn < end; pfn++) {
		if (!PageReserved(pfn_to_page(pfn)))
			__free_page(pfn_to_page(pfn));
	}
	return -EBUSY;
}

int alloc_contig_range(u64 start, u64 end, int migratetype, gfp_t gfp)
{
	struct zone *zone = zone_of_range(start, end);
	int err;

	mm_assert(migratetype == MIGRATE_MOVABLE || migratetype == MIGRATE_CMA);
	if (!zone)
		return -EINVAL;
	if (!(gfp & (__GFP_NOFAIL | __GFP_SKIP_FAIL)) &&
	    fail_should(FAIL_PAGE_ALLOC))
		return -ENOMEM;
	lru_add_drain_all();
	err = start_isolate_page_range(start, end, migratetype, 0);
	if (err) {
		pr_debug("alloc_contig_range: [%llx, %llx) not isolated: %d",
			 (unsigned long long)start, (unsigned long long)end,
			 err);
		return err;
	}
	err = empty_range(start, end);
	if (!err) {
		take_frames(zone, start, end);
		count_vm_events(zone_event(PGALLOC_DMA, zone->idx),
				end - start);
		err = make_pages(start, end, gfp);
	}
	undo_isolate_page_range(start, end, MIGRATE_PREVIOUS);
	return err;
}

/* ---- wherever there is room
 * ------------------------------------------------------------- */

/* May the frame at PAGE, if the pageblock allows, be part of a range? */
static bool frame_promising(const struct page *page)
{
	if (PageReserved(page) || PageHWPoison(page))
		return false;
	if (PageBuddy(page) || page_count(page) == 0)
		return true;
	return READ_ONCE(phys_sys.migrate) != NULL;
}

/*
 * The first frame of [PFN, END) that rules the range out, or END. Hints: the
 * isolation decides.
 */
static u64 first_obstacle(const struct zone *zone, u64 pfn, u64 end)
{
	while (pfn < end) {
		const struct page *page = pfn_to_online_page(pfn);

		if (!page || READ_ONCE(page->zone_id) != zone->zone_id ||
		    migratetype_private(get_pfnblock_migratetype(pfn)) ||
		    !frame_promising(page))
			return pfn;
		pfn++;
	}
	return end;
}

static u64 contig_alignment(u64 nr)
{
	u64 pow2 = roundup_pow_of_two(nr);

	return pow2 == nr ? nr : min(pow2, pageblock_nr_pages);
}

static struct page *contig_from_zone(struct zone *zone, u64 nr, gfp_t gfp)
{
	u64 align = contig_alignment(nr);
	u64 mark = low_wmark_pages(zone) + nr;
	u64 pfn = ALIGN(zone->zone_start_pfn, align);
	int err;

	if (!zone_watermark_ok(zone, 0, mark, MAX_NR_ZONES - 1, 0))
		return NULL;
	while (pfn + nr <= zone_end_pfn(zone)) {
		u64 bad = first_obstacle(zone, pfn, pfn + nr);

		if (bad < pfn + nr) {
			pfn = ALIGN(bad + 1, align);
			continue;
		}
		err = alloc_contig_range(pfn, pfn + nr, MIGRATE_MOVABLE, gfp);
		if (!err)
			return pfn_to_page(pfn);
		if (err != -EBUSY)
			return NULL;
		pfn += align;
	}
	return NULL;
}

struct page *alloc_contig_pages(u64 nr, gfp_t gfp, int nid)
{
	struct alloc_context ac;
	struct zoneref *z;
	struct zone *zone;

	if (nr == 0 || nr > phys_sys.hot.max_pfn)
		return NULL;
	prepare_alloc_context(&ac, gfp, nid);
	for_each_zone_zonelist (zone, z, ac.zonelist, ac.highest_zoneidx) {
		struct page *page = contig_from_zone(zone, nr, gfp);

		if (page)
			return page;
	}
	return NULL;
}

void free_contig_range(u64 pfn, u64 nr)
{
	u64 held = 0;

	for (u64 i = pfn; i < pfn + nr; i++) {
		mm_assert(pfn_valid(i));
		held += page_count(pfn_to_page(i)) != 1;
		__free_page(pfn_to_page(i));
	}
	if (held)
		pr_warn("free_contig_range: %llu of %llu pages from pfn %llx "
			"on are still in use",
			(unsigned long long)held, (unsigned long long)nr,
			(unsigned long long)pfn);
}
