/* SPDX-License-Identifier: MIT */
/*
 * migrate_range.c - emptying exact frames: contiguous ranges, CMA, memory that
 * is to be unplugged. The answer to migrate_ops (phys/alloc.h).
 *
 * The range's pageblocks are isolated: what becomes free there stays free, and
 * no new frame comes from there. So the range is gone through until nothing in
 * use is left, or a few times in vain: a page may be held for a moment, be on
 * its way to a list, or between its last user and its end.
 */
#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>
#include <mmkit/port.h>

#include "base/epoch.h"
#include "move/migrate.h"
#include "move/move.h"
#include "phys/alloc.h"
#include "phys/lru.h"
#include "phys/phys.h"
#include "space/huge_move.h"
#include "space/space.h"

/* Pages that are isolated at once. */
#define RANGE_BATCH 32u
/* Rounds without a page less. */
#define RANGE_TRIES 5

/* What stands at a frame. */
enum frame_kind { FRAME_FREE, FRAME_STAYS, FRAME_MOVES };

/* *PAGE has a reference if it may move. A kernel's frame is not touched. *NEXT:
 * the frame to go on with. */
static enum frame_kind look_at_frame(u64 pfn, u64 *next, struct page **page)
{
	enum frame_kind kind = FRAME_FREE;

	*next = pfn + 1;
	epoch_enter();
	*page = pfn_to_online_page(pfn);
	if (!*page || PageHWPoison(*page) || !page_count(*page)) {
		kind = FRAME_FREE;
	} else if (!PageLRU(*page) && !__PageMovable(*page)) {
		kind = FRAME_STAYS;
		if (PageHead(*page))
			*next = pfn + compound_nr(*page);
	} else if (get_page_unless_zero(*page)) {
		kind = FRAME_MOVES;
	}
	epoch_exit();
	return kind;
}

/* LIST is full, or there is no more: those that stay are counted in *LEFT. */
static int move_batch(struct page_list *list, struct migrate_control *mc,
		      u64 *left)
{
	int ret = page_list_empty(list) ? 0 : migrate_pages(list, mc);

	*left += list->count;
	putback_movable_pages(list);
	return ret == -ENOMEM ? ret : 0;
}

/* Is PFN where a huge page begins that ends before END? Its first page, with a
 * reference, or NULL. */
static struct page *huge_at(u64 pfn, u64 end)
{
	struct page *page;

	if (!IS_ALIGNED(pfn, (u64)HPAGE_PMD_NR) || pfn + HPAGE_PMD_NR > end)
		return NULL;
	epoch_enter();
	page = pfn_to_online_page(pfn);
	if (page && (!page_large_maps(page) || !get_page_unless_zero(page)))
		page = NULL;
	epoch_exit();
	return page;
}

/* Has a huge page that begins at PFN moved as a whole? */
static bool moved_whole(u64 pfn, u64 end, struct migrate_control *mc)
{
	struct page *first = mc->get_block ? huge_at(pfn, end) : NULL;

	if (!first || !migrate_huge_page(first, mc->get_block(first, mc->arg),
					 mc->reason, THP_MIGRATION_SPLIT))
		return false;
	mc->succeeded += HPAGE_PMD_NR;
	return true;
}

u64 migrate_frames(u64 start, u64 end, struct migrate_control *mc, int *err)
{
	struct page_list list;
	u64 left = 0, next;

	page_list_init(&list);
	*err = 0;
	for (u64 pfn = start; pfn < end && !*err; pfn = next) {
		enum frame_kind kind;
		struct page *page;

		next = pfn + HPAGE_PMD_NR;
		if (moved_whole(pfn, end, mc))
			continue;
		kind = look_at_frame(pfn, &next, &page);
		left += kind == FRAME_STAYS;
		if (kind != FRAME_MOVES)
			continue;
		if (isolate_movable_page(page, mc->mode))
			left++;
		else
			page_list_add_tail(&list, page);
		put_page(page);
		if (list.count == RANGE_BATCH)
			*err = move_batch(&list, mc, &left);
	}
	if (!*err)
		*err = move_batch(&list, mc, &left);
	return left;
}

static struct page *range_block(struct page *first, void *arg)
{
	const struct migrate_target *t = arg;

	(void)first;
	return migrate_new_block(t->nid, 0);
}

static int migrate_range(u64 start, u64 end)
{
	struct migrate_target where = {.nid = page_to_nid(pfn_to_page(start)),
				       .nodes = NODE_MASK_ALL,
				       .gfp = __GFP_RETRY_MAYFAIL |
					      __GFP_NOWARN};
	struct migrate_control mc = {
		.get_new = migrate_new_page,
		.get_block = range_block,
		.arg = &where,
		.mode = MIGRATE_SYNC,
		.reason = MR_CONTIG_RANGE,
	};
	u64 left, least = ~0UL;
	int err = 0, vain = 0;

	lru_cache_disable();
	do {
		left = migrate_frames(start, end, &mc, &err);
		vain = left < least ? 0 : vain + 1;
		least = min(least, left);
		/* What others hold may be theirs for a moment only. */
		if (left && !err)
			port_park(100 * 1000UL << vain);
	} while (left && !err && vain < RANGE_TRIES);
	lru_cache_enable();
	drain_all_pages();
	return err ? err : left ? -EBUSY : 0;
}

static const struct migrate_ops range_ops = {.migrate_range = migrate_range};

void move_init(void)
{
	page_alloc_set_migrate_ops(&range_ops);
	space_sys.move_ops = &move_pages_ops;
}
