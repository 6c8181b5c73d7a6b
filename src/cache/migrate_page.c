/* SPDX-License-Identifier: MIT */
/*
 * migrate_page.c - another frame takes a page's place in its file or in the
 * swap cache.
 *
 * 1. Purpose. The part of migration that this floor knows: who finds pages by
 *    number, and what of their state is kept where.
 *
 * 2. Way. Both frames are locked; nothing maps the old one, so nobody can
 *    change its contents. References are counted, the contents copied, and
 * then, under the lock of the array, the references are taken away at once if
 * they are still those that were counted. So a page that is found by its number
 * is always complete, and a reference that came meanwhile stops the move.
 *
 * 3. Invariants.
 *    MP-1  At every moment the array names exactly one of the two frames, and
 *          that has the contents, PG_uptodate, the dirty bit and the marks.
 *    MP-2  A move that fails has changed nothing of the old page.
 *    MP-3  The new frame is of the old one's group, and the charge went with
 *          the contents: it is not charged twice, nor refused.
 *    MP-4  Of a block's pages all move or none.
 *
 * 4. Locking. Page locks of both; i_pages_lock or the swap cache's lock.
 *
 * 5. Failure. -EAGAIN: somebody holds the page just now.
 */
#include <mmkit/errno.h>
#include <mmkit/highmem.h>

#include "cache/migrate_page.h"
#include "cache/swap.h"
#include "phys/alloc.h"
#include "phys/group.h"
#include "phys/lru.h"
#include "phys/page_owner.h"
#include "phys/vmstat.h"

/* What a page was, as far as it goes with the contents. PG_uptodate is last:
 * whoever sees it sees the contents. */
#define MIGRATE_FLAGS                                                       \
	(1u << PG_error | 1u << PG_referenced | 1u << PG_workingset |       \
	 1u << PG_mappedtodisk | 1u << PG_swapbacked | 1u << PG_readahead | \
	 1u << PG_young | 1u << PG_idle | 1u << PG_uptodate)

void migrate_page_copy(struct page *new, struct page *old,
		       enum migrate_mode mode)
{
	mm_assert(PageLocked(old) && PageLocked(new) && !page_mapped(old));
	if (mode != MIGRATE_SYNC_NO_COPY)
		copy_highpage(new, old);
	page_flags_set(new, READ_ONCE(old->flags) & MIGRATE_FLAGS);
	lru_move_state(new, old);
	copy_page_owner(new, old);
}

/* OLD has no contents any more: what is left of it is freed. */
static void leave_behind(struct page *old)
{
	page_flags_clear(old, MIGRATE_FLAGS & ~(1u << PG_swapbacked));
}

/* NEW was to be it and is not: with its own flags only, as the allocator wants
 * it back. */
static void unmake(struct page *new)
{
	page_flags_clear(new, MIGRATE_FLAGS | 1u << PG_active |
				      1u << PG_unevictable);
	set_page_mapping_word(new, 0);
}

/* References that OLD has if nobody but the mover and its places holds it. */
static int expected_count(const struct page *old)
{
	return 1 + (PageFile(old) || PageSwapCache(old)) + PagePrivate(old);
}

int migrate_page_ready(const struct page *page)
{
	return page_count(page) == expected_count(page) ? 0 : -EAGAIN;
}

/* ---- the place in a file ---------------------------------------------------
 */

/* The group is the same before and after; nodes may differ. */
static void count_moved(struct page *new, struct page *old)
{
	bool shmem = PageSwapBacked(old);

	page_stat_add(new, NR_FILE_PAGES, 1);
	page_stat_add(old, NR_FILE_PAGES, -1);
	if (!shmem)
		return;
	page_stat_add(new, NR_SHMEM, 1);
	page_stat_add(old, NR_SHMEM, -1);
}

/* NEW, complete, takes OLD's place if OLD has COUNT references. */
static bool file_place(struct address_space *mapping, struct page *new,
		       struct page *old, int count)
{
	u64 index = page_index(old);
	unsigned long flags;

	mapping_lock(mapping, &flags);
	mm_verify(xa_load(&mapping->i_pages, index) == old);
	if (!page_ref_freeze(old, count)) {
		mapping_unlock(mapping, flags);
		return false;
	}
	mm_verify(!PageWriteback(old) && !page_mapped(old));
	get_page(new); /* the array's */
	page_move_charge(new, old);
	set_page_index(new, index);
	set_page_mapping_word(new, (u64)(uintptr_t)mapping);
	mm_verify(!xa_store(&mapping->i_pages, index, new, NULL));
	filemap_move_dirty(mapping, old, new);
	set_page_mapping_word(old, 0);
	page_ref_unfreeze(old, count - 1);
	mapping_unlock(mapping, flags);
	return true;
}

int migrate_page(struct address_space *mapping, struct page *new,
		 struct page *old, int mode)
{
	int count = expected_count(old);

	mm_assert(PageLocked(old) && PageLocked(new));
	mm_assert(page_mapping(old) == mapping && !page_mapped(old));
	if (PagePrivate(old))
		return -EBUSY;
	if (page_count(old) != count)
		return -EAGAIN;
	migrate_page_copy(new, old, (enum migrate_mode)mode);
	if (!file_place(mapping, new, old, count)) {
		unmake(new);
		return -EAGAIN;
	}
	count_moved(new, old);
	leave_behind(old);
	return 0;
}

/* ---- anonymous pages, and what is in the swap cache ------------------------
 */

/* Nobody finds OLD by a number: it is NEW's owners that change. */
static bool anon_place(struct page *new, struct page *old, int count)
{
	if (!page_ref_freeze(old, count))
		return false;
	page_move_charge(new, old);
	page_ref_unfreeze(old, count);
	return true;
}

int migrate_anon_page(struct page *new, struct page *old,
		      enum migrate_mode mode)
{
	int count = expected_count(old);
	bool moved;

	mm_assert(PageLocked(old) && PageLocked(new) && !page_mapped(old));
	mm_assert(!PageFile(old) && !PageWriteback(old));
	if (page_count(old) != count)
		return -EAGAIN;
	migrate_page_copy(new, old, mode);
	set_page_index(new, page_index(old));
	set_page_mapping_word(new, page_mapping_word(old));
	moved = PageSwapCache(old) ? swap_cache_replace(new, old, count)
				   : anon_place(new, old, count);
	if (!moved) {
		unmake(new);
		return -EAGAIN;
	}
	if (TestClearPageDirty(old))
		SetPageDirty(new);
	leave_behind(old);
	return 0;
}

/* ---- many at once ----------------------------------------------------------
 */

/* The N pages from OLD on have no holder but the mover, from now on for nobody
 * else to find; or they are as they were. */
static bool freeze_all(struct page *old, u32 n)
{
	for (u32 i = 0; i < n; i++) {
		if (page_ref_freeze(old + i, 1))
			continue;
		while (i--)
			page_ref_unfreeze(old + i, 1);
		return false;
	}
	return true;
}

/* Nobody holds it, as far as one look tells. */
static bool all_alone(const struct page *old, u32 n)
{
	for (u32 i = 0; i < n; i++)
		if (page_count(old + i) != 1)
			return false;
	return true;
}

static void block_copy(struct page *new, struct page *old, u32 n)
{
	for (u32 i = 0; i < n; i++) {
		migrate_page_copy(new + i, old + i, MIGRATE_SYNC);
		set_page_index(new + i, page_index(old + i));
		set_page_mapping_word(new + i, page_mapping_word(old + i));
		port_sched_point();
	}
}

int migrate_anon_block(struct page *new, struct page *old, u32 n)
{
	if (!all_alone(old, n))
		return -EAGAIN;
	block_copy(new, old, n);
	if (!freeze_all(old, n)) {
		for (u32 i = 0; i < n; i++)
			unmake(new + i);
		return -EAGAIN;
	}
	for (u32 i = 0; i < n; i++) {
		page_move_charge(new + i, old + i);
		page_ref_unfreeze(old + i, 1);
		if (TestClearPageDirty(old + i))
			SetPageDirty(new + i);
		leave_behind(old + i);
	}
	return 0;
}
