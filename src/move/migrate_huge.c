/* SPDX-License-Identifier: MIT */
/*
 * migrate_huge.c - a huge page to other frames as a whole.
 *
 * 1. Purpose. Whoever moves memory (move_pages, mbind, migrate_pages, hint
 *    faults, demotion, ranges that are emptied) meets huge pages. They stay
 *    huge if there is a block for them where they go.
 *
 * 2. Way. That of a page (migrate.c), for 512 at once: taken, unmapped, their
 *    contents and charges moved if nobody holds any of them, mapped again, huge
 *    (space/huge_move.c, cache/migrate_page.c). Nothing is waited for: who must
 *    have the frames moves the pages one by one if this does not succeed.
 *
 * 3. Invariants.
 *    WM-1  All pages move, or none.
 *
 * 4. Locking. Page locks of the old frames, tried; of the new ones, which
 *    nobody else knows. An mmap lock may be held.
 *
 * 5. Failure. No block, or a page that is held: the page is where it was.
 */
#include <mmkit/page_alloc.h>
#include <mmkit/slab.h>

#include "base/trace_ring.h"
#include "move/move.h"
#include "phys/alloc.h"
#include "phys/lru.h"
#include "phys/vmstat.h"
#include "space/huge_move.h"

/* BLOCK is 512 pages, locked. COLD: nobody used what they get. */
static void block_begin(struct page *block, bool cold)
{
	split_page(block, HPAGE_PMD_ORDER);
	for (u32 i = 0; i < HPAGE_PMD_NR; i++) {
		if (!trylock_page(block + i))
			mm_bug("fresh page %llu is locked",
			       (unsigned long long)page_to_pfn(block + i));
		if (cold)
			lru_begin_cold(block + i);
	}
}

static void trace_pages(const struct page *old, const struct page *new,
			enum migrate_reason reason)
{
	if (!trace_enabled(TRACE_PAGE_MIGRATE))
		return;
	for (u32 i = 0; i < HPAGE_PMD_NR; i++)
		trace_emit(PAGE_MIGRATE, page_to_pfn(old + i),
			   page_to_pfn(new + i), (u64)reason);
}

/* OLD's pages, taken, to NEW's frames, single and locked. */
static bool move_taken(struct page *old, struct page *new, struct anon_vma **av,
		       enum migrate_reason reason)
{
	bool moved = thp_to_migration(old, av) &&
		     !migrate_anon_block(new, old, HPAGE_PMD_NR);

	if (moved)
		trace_pages(old, new, reason);
	thp_from_migration(old, moved ? new : old, av);
	return moved;
}

/* OLD's frames are empty, NEW's are what they were. */
static void finish_moved(struct page *old, struct page *new)
{
	for (u32 i = 0; i < HPAGE_PMD_NR; i++) {
		unlock_page(new + i);
		unlock_page(old + i);
		ClearPageActive(old + i);
		ClearPageUnevictable(old + i);
		put_page(old + i);
		lru_putback_page(new + i);
	}
}

static void block_unused(struct page *block)
{
	for (u32 i = 0; i < HPAGE_PMD_NR; i++) {
		unlock_page(block + i);
		put_page(block + i);
	}
}

static bool move_into(struct page *first, struct page *block,
		      enum migrate_reason reason)
{
	struct anon_vma **av = kmalloc(HPAGE_PMD_NR * sizeof(struct anon_vma *),
				       GFP_NOWAIT | __GFP_NOWARN);
	bool moved;

	if (!av) {
		__free_pages(block, HPAGE_PMD_ORDER);
		return false;
	}
	block_begin(block, reason == MR_DEMOTION);
	moved = move_taken(first, block, av, reason);
	kfree(av);
	if (moved)
		finish_moved(first, block);
	else
		block_unused(block);
	return moved;
}

bool migrate_huge_taken(struct page *first, struct page *block,
			enum migrate_reason reason,
			enum vm_event_item otherwise)
{
	bool moved = block && move_into(first, block, reason);

	trace_emit(MM_MIGRATE_PAGES, moved ? HPAGE_PMD_NR : 0, 0, moved,
		   otherwise == THP_MIGRATION_FAIL && !moved,
		   otherwise == THP_MIGRATION_SPLIT && !moved,
		   (u64)MIGRATE_ASYNC, (u64)reason);
	if (moved)
		count_vm_events(PGMIGRATE_SUCCESS, HPAGE_PMD_NR);
	count_vm_event(moved ? THP_MIGRATION_SUCCESS : otherwise);
	return moved;
}

bool migrate_huge_page(struct page *first, struct page *block,
		       enum migrate_reason reason, enum vm_event_item otherwise)
{
	pg_data_t *pgdat = page_zone(first)->zone_pgdat;
	bool taken = block && thp_take(first, NULL);

	put_page(first);
	if (!taken) {
		count_vm_event(otherwise);
		if (block)
			__free_pages(block, HPAGE_PMD_ORDER);
		return false;
	}
	if (!migrate_huge_taken(first, block, reason, otherwise)) {
		thp_put_back(first, NULL);
		return false;
	}
	mod_node_page_state(pgdat, NR_ISOLATED_ANON, -(s64)HPAGE_PMD_NR);
	return true;
}

struct page *migrate_new_block(int nid, gfp_t more)
{
	return alloc_pages_nodemask(thp_move_gfp() | more, HPAGE_PMD_ORDER, nid,
				    NODE_MASK_ALL);
}
