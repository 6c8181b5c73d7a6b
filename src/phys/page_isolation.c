/* SPDX-License-Identifier: MIT */
/*
 * page_isolation.c - pageblocks out of circulation.
 *
 * 1. Purpose. Whoever wants certain frames, not any frames (contig.c, memory
 *    that is to be unplugged), must first keep everybody else from taking
 *    them. The unit is the pageblock, because its type decides to which list
 *    a freed frame goes.
 *
 * 2. Structures. An isolated pageblock has type ISOLATE; the type that it had
 *    stands beside it in the same byte (PAGEBLOCK_OLD_MASK). Its free blocks
 *    are on the ISOLATE lists, where no allocation looks, and are not counted
 *    free.
 *
 * 3. Invariants: BD-5 and BD-6 of buddy.c. An isolated pageblock belongs to
 *    exactly one caller: isolating it twice fails.
 *
 * 4. Locking. Zone lock, one pageblock at a time. Frames on a CPU's stacks are
 *    still on their way when the type changes: whoever frees reads the type
 *    under the set's lock, and the sets are drained after the change, so each
 *    such frame either saw the new type or is drained.
 *
 * 5. Life. U/M/R/highatomic/CMA -> ISOLATE -> (frames taken or not) -> the
 *    same type, or another if the caller says so.
 *
 * 6. Failure. Whatever was isolated until then is given back with the type
 *    that it had.
 *
 * 7. Cost. O(frames of the range) for the search of unmovable ones, and one
 *    drain of all CPUs' sets.
 *
 * 8. Rejected. Isolating exact frames: a free block would have to be split
 *    down to single frames at both ends, and a frame freed into the pageblock
 *    would have to be looked up in a table of ranges.
 *
 * References: Linux documentation, admin-guide/mm/memory-hotplug; lwn.net
 * articles 223007 and 447405.
 */
#include "phys/page_isolation.h"

#include <mmkit/errno.h>

#include "base/bitops.h"
#include "base/printk.h"
#include "phys/buddy_priv.h"
#include "phys/phys.h"

/* ---- who is in the way
 * ------------------------------------------------------------------ */

/* A page that migration can empty: of an LRU list, or with moves of its own. */
static bool page_can_move(const struct page *head)
{
	return PageLRU(head) || __PageMovable(head);
}

/*
 * Is PAGE in the way? *NEXT: the frame where the search goes on. Frames with
 * no references that are in no free block are on a CPU's stack, or inside a
 * block in use that is no compound page: test_pages_isolated() finds those.
 */
static bool frame_in_way(struct page *page, int flags, u64 *next)
{
	u64 pfn = page_to_pfn(page);
	struct page *head;

	*next = pfn + 1;
	if ((flags & ISOLATE_SKIP_HWPOISON) && PageHWPoison(page))
		return false;
	if (PageReserved(page))
		return true;
	/* All that is there can move, even if it is on no list just now. */
	if (page_zone_idx(page) == ZONE_MOVABLE)
		return false;
	if (PageBuddy(page)) {
		*next = pfn + (1UL << buddy_order(page));
		return false;
	}
	head = compound_head(page);
	if (page_count(head) == 0)
		return false;
	if (PageHead(head))
		*next = page_to_pfn(head) + compound_nr(head);
	return !page_can_move(head);
}

struct page *has_unmovable_pages(u64 start_pfn, u64 end_pfn, int migratetype,
				 int flags)
{
	int type = get_pfnblock_migratetype(start_pfn);

	mm_assert(start_pfn < end_pfn);
	mm_assert(start_pfn >> pageblock_order ==
		  (end_pfn - 1) >> pageblock_order);
	/* An area's frames are its owner's, whoever borrows them now. */
	if (type == MIGRATE_CMA)
		return migratetype == MIGRATE_CMA ? NULL
						  : pfn_to_page(start_pfn);
	for (u64 pfn = start_pfn, next; pfn < end_pfn; pfn = next) {
		if (frame_in_way(pfn_to_page(pfn), flags, &next))
			return pfn_to_page(pfn);
		mm_assert(next > pfn);
	}
	return NULL;
}

/* ---- one pageblock
 * ---------------------------------------------------------------------- */

/* The part of the pageblock at BLOCK that is in [*START, *END). */
static void clamp_to_block(u64 block, u64 *start, u64 *end)
{
	*start = max(*start, block);
	*end = min(*end, block + pageblock_nr_pages);
	mm_assert(*start < *end);
}

/* Has the pageblock at BLOCK frames of another zone? Then it has two locks. */
static bool block_shared(const struct zone *zone, u64 block)
{
	for (u64 i = 0; i < pageblock_nr_pages; i++) {
		const struct page *page = pfn_to_page(block + i);

		if (READ_ONCE(page->zone_id) != zone->zone_id &&
		    !PageReserved(page))
			return true;
	}
	return false;
}

static u8 *block_byte(u64 pfn)
{
	return &phys_sys.hot.pageblock_mt[pfn >> pageblock_order];
}

/* The type that an isolated pageblock had. */
static int previous_type(u64 pfn)
{
	return (READ_ONCE(*block_byte(pfn)) & PAGEBLOCK_OLD_MASK) >>
	       PAGEBLOCK_OLD_SHIFT;
}

static void remember_type(u64 pfn, int mt)
{
	u8 *byte = block_byte(pfn);

	WRITE_ONCE(*byte, (u8)((READ_ONCE(*byte) & ~PAGEBLOCK_OLD_MASK) |
			       (u32)mt << PAGEBLOCK_OLD_SHIFT));
}

/* An isolated HIGHATOMIC pageblock is no reserve. */
static void count_reserve(struct zone *zone, int mt, s64 nr)
{
	if (mt == MIGRATE_HIGHATOMIC)
		WRITE_ONCE(zone->nr_reserved_highatomic,
			   zone->nr_reserved_highatomic + (u64)nr);
}

/* The pageblock at BLOCK leaves circulation. Zone lock held. */
static void isolate_locked(struct zone *zone, u64 block)
{
	int old = get_pfnblock_migratetype(block);

	mm_assert(old != MIGRATE_ISOLATE);
	remember_type(block, old);
	count_reserve(zone, old, -(s64)pageblock_nr_pages);
	move_pageblock(zone, block, MIGRATE_ISOLATE);
	zone->nr_isolate_pageblock++;
}

/* Isolate the pageblock at BLOCK for the sake of its frames [START, END). */
static int isolate_block(struct zone *zone, u64 block, u64 start, u64 end,
			 int migratetype, int flags)
{
	struct page *obstacle = NULL;
	unsigned long irq;
	int err = 0;

	clamp_to_block(block, &start, &end);
	spin_lock_irqsave(&zone->lock, irq);
	if (get_pfnblock_migratetype(block) == MIGRATE_ISOLATE ||
	    block_shared(zone, block))
		err = -EBUSY;
	else
		obstacle = has_unmovable_pages(start, end, migratetype, flags);
	if (obstacle)
		err = -EBUSY;
	if (!err)
		isolate_locked(zone, block);
	spin_unlock_irqrestore(&zone->lock, irq);
	if (err && (flags & ISOLATE_REPORT_FAILURE))
		pr_warn("page_isolation: pfn %llx: %s",
			(unsigned long long)(obstacle ? page_to_pfn(obstacle)
						      : block),
			obstacle ? "unmovable page"
				 : "pageblock is isolated or shared by zones");
	return err;
}

static void unisolate_block(struct zone *zone, u64 block, int mt)
{
	unsigned long irq;

	spin_lock_irqsave(&zone->lock, irq);
	if (get_pfnblock_migratetype(block) == MIGRATE_ISOLATE) {
		if (mt == MIGRATE_PREVIOUS)
			mt = previous_type(block);
		mm_verify(zone->nr_isolate_pageblock > 0);
		zone->nr_isolate_pageblock--;
		count_reserve(zone, mt, (s64)pageblock_nr_pages);
		move_pageblock(zone, block, mt);
	}
	spin_unlock_irqrestore(&zone->lock, irq);
}

/* ---- ranges
 * ---------------------------------------------------------------------------
 */

int start_isolate_page_range(u64 start_pfn, u64 end_pfn, int migratetype,
			     int flags)
{
	u64 block = ALIGN_DOWN(start_pfn, pageblock_nr_pages);

	mm_assert(migratetype >= 0 && migratetype < MIGRATE_ISOLATE);
	if (start_pfn >= end_pfn || end_pfn > phys_sys.hot.max_pfn)
		return -EINVAL;
	for (; block < end_pfn; block += pageblock_nr_pages) {
		struct page *page = pfn_to_online_page(max(block, start_pfn));
		int err;

		if (!page)
			continue;
		err = isolate_block(page_zone(page), block, start_pfn, end_pfn,
				    migratetype, flags);
		if (err) {
			if (block > start_pfn)
				undo_isolate_page_range(start_pfn, block,
							MIGRATE_PREVIOUS);
			return err;
		}
	}
	drain_all_pages();
	return 0;
}

void undo_isolate_page_range(u64 start_pfn, u64 end_pfn, int migratetype)
{
	u64 block = ALIGN_DOWN(start_pfn, pageblock_nr_pages);

	mm_assert(start_pfn < end_pfn && migratetype < MIGRATE_ISOLATE);
	for (; block < end_pfn; block += pageblock_nr_pages) {
		u64 pfn = max(block, start_pfn);

		if (pfn_valid(pfn))
			unisolate_block(page_zone(pfn_to_page(pfn)), block,
					migratetype);
	}
}

/* Are frames [PFN, END) of one pageblock free and isolated? Zone lock held. */
static bool block_isolated(const struct zone *zone, u64 pfn, u64 end, int flags)
{
	if (get_pfnblock_migratetype(pfn) != MIGRATE_ISOLATE)
		return false;
	while (pfn < end) {
		const struct page *head = buddy_block_of(zone, pfn);

		if (head)
			pfn = page_to_pfn(head) + (1UL << buddy_order(head));
		else if ((flags & ISOLATE_SKIP_HWPOISON) &&
			 PageHWPoison(pfn_to_page(pfn)))
			pfn++;
		else
			return false;
	}
	return true;
}

int test_pages_isolated(u64 start_pfn, u64 end_pfn, int flags)
{
	u64 pfn = start_pfn;

	mm_assert(start_pfn < end_pfn);
	while (pfn < end_pfn) {
		u64 end = min(end_pfn, ALIGN(pfn + 1, pageblock_nr_pages));
		unsigned long irq;
		struct zone *zone;
		bool ok;

		if (!pfn_valid(pfn))
			return -EBUSY;
		zone = page_zone(pfn_to_page(pfn));
		spin_lock_irqsave(&zone->lock, irq);
		ok = block_isolated(zone, pfn, end, flags);
		spin_unlock_irqrestore(&zone->lock, irq);
		if (!ok)
			return -EBUSY;
		pfn = end;
	}
	return 0;
}
