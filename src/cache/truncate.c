/* SPDX-License-Identifier: MIT */
/*
 * truncate.c - giving up cached pages, dirty or not.
 *
 * 1. Purpose. A file becomes shorter, gets a hole, changes behind the cache's
 *    back, or goes: pages leave although somebody may be at them.
 *
 * 2. Way. Pages are taken in batches by number. Each is locked; whoever had it
 *    locked (a read under way, a fault, a writer) is done then. If it is still
 *    the file's it is unmapped, its write-back is waited for, and it leaves
 *    with its dirty bit. A first pass skips pages that would be waited for, so
 *    that most of the work is done when the second waits.
 *
 * 3. Races. A reader that found the page before sees under its lock that
 *    page_mapping() has changed, and looks again. New pages of the range are
 *    kept out by the caller: i_size for what lies behind the end, and
 *    invalidate_lock for holes, which whoever fills a page takes shared.
 *    A page that is mapped again between unmapping and removal would break
 *    FM-5; a fault maps only with the page locked.
 *
 * 4. Invariants. TR-1: after truncation nothing of the range is cached, and
 *    the bytes of pages partly inside are zero there.
 *
 * 5. Failure. None: nothing is allocated.
 *
 * References: Linux documentation, filesystems/locking, mm/truncate's place in
 * filesystems/vfs; fallocate(2), truncate(2), posix_fadvise(2).
 */
#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>
#include <mmkit/slab.h>

#include "base/string.h"
#include "cache/filemap.h"
#include "cache/swap.h"
#include "phys/lru.h"
#include "phys/vmstat.h"

/* Take pages [FIRST, FIRST + NR) out of all page tables. */
static void unmap_pages(struct address_space *mapping, u64 first, u64 nr,
			bool even_cows)
{
	const struct mapping_ops *ops = cache_sys.fm.mapping_ops;

	if (ops)
		ops->unmap_mapping_range(mapping, first, nr, even_cows);
}

/* PAGE, locked, is the file's and leaves it with whatever it holds. */
static void truncate_page(struct address_space *mapping, struct page *page)
{
	mm_assert(mapping != NULL);
	if (page_mapped(page))
		unmap_pages(mapping, page_index(page), 1, false);
	wait_on_page_writeback(page);
	if (mapping->a_ops->invalidatepage)
		mapping->a_ops->invalidatepage(page, 0, PAGE_SIZE);
	cancel_dirty_page(page);
	ClearPageMappedToDisk(page);
	delete_from_page_cache(page);
}

void generic_error_remove_page(struct address_space *mapping, struct page *page)
{
	mm_assert(PageLocked(page) && page_mapping(page) == mapping);
	truncate_page(mapping, page);
}

/* Page INDEX, if cached, keeps all but bytes [FROM, TO), which become zero. */
static void truncate_partial(struct address_space *mapping, u64 index, u32 from,
			     u32 to)
{
	struct page *page = find_lock_page(mapping, index);
	char *view;

	if (!page)
		return;
	wait_on_page_writeback(page);
	view = page_map(page);
	mm_memset_racy(view + from, 0, to - from);
	page_unmap(page, view);
	if (mapping->a_ops->invalidatepage)
		mapping->a_ops->invalidatepage(page, from, to - from);
	unlock_page(page);
	put_page(page);
}

/* Give up whole pages [FIRST, LAST]; WAIT: also those that somebody holds. */
static void truncate_whole(struct address_space *mapping, u64 first, u64 last,
			   bool wait)
{
	struct page *pages[PAGEVEC_SIZE];
	u32 n;

	while ((n = find_get_pages_range(mapping, &first, last, PAGEVEC_SIZE,
					 pages))) {
		for (u32 i = 0; i < n; i++) {
			struct page *page = pages[i];

			if (wait)
				lock_page(page);
			if (!wait &&
			    (PageWriteback(page) || !trylock_page(page))) {
				put_page(page);
				continue;
			}
			if (page_mapping(page) == mapping &&
			    (wait || !PageWriteback(page)))
				truncate_page(mapping, page);
			unlock_page(page);
			put_page(page);
		}
		port_sched_point();
	}
}

/* How many shadows one hold of the lock may remove. */
#define SHADOW_BATCH 64

u64 mapping_drop_shadows(struct address_space *mapping, u64 first, u64 last)
{
	struct xa_preload freed = XA_PRELOAD_INIT(NULL, cache_node_free, NULL);
	u64 index = first, total = 0;
	unsigned long flags;
	bool more;

	/* Values of shmem are no shadows but swapped pages. */
	if (mapping_flag(mapping, AS_NO_WRITEBACK))
		return 0;
	do {
		u32 n = 0;
		void *entry;

		mapping_lock(mapping, &flags);
		more = mapping->nrshadows > 0 && index <= last;
		entry = more ? xa_find(&mapping->i_pages, &index, last,
				       XA_PRESENT)
			     : NULL;
		for (; entry && n < SHADOW_BATCH; n++) {
			if (xa_is_value(entry)) {
				xa_erase(&mapping->i_pages, index, &freed);
				mapping->nrshadows--;
				total++;
			}
			entry = xa_find_after(&mapping->i_pages, &index, last,
					      XA_PRESENT);
		}
		more = entry != NULL;
		mapping_unlock(mapping, flags);
		xa_preload_drain(&freed);
	} while (more);
	return total;
}

void truncate_inode_pages_range(struct address_space *mapping, u64 start,
				u64 end)
{
	u64 first = (start + PAGE_SIZE - 1) >> PAGE_SHIFT;
	u64 stop = end == ~0UL ? 1UL << 32 : (end + 1) >> PAGE_SHIFT;
	u32 head = (u32)(start & ~PAGE_MASK);
	u32 tail = end == ~0UL ? 0 : (u32)((end + 1) & ~PAGE_MASK);

	mm_assert(start <= end);
	if (first < stop) {
		truncate_whole(mapping, first, stop - 1, false);
		truncate_whole(mapping, first, stop - 1, true);
		(void)mapping_drop_shadows(mapping, first, stop - 1);
	}
	if (head && first > stop) {
		/* Both ends within one page. */
		truncate_partial(mapping, stop, head, tail);
		return;
	}
	if (head)
		truncate_partial(mapping, start >> PAGE_SHIFT, head, PAGE_SIZE);
	if (tail)
		truncate_partial(mapping, stop, 0, tail);
}

void truncate_inode_pages_final(struct address_space *mapping)
{
	unsigned long flags;

	mapping_set_flag(mapping, AS_EXITING, true);
	truncate_inode_pages_range(mapping, 0, ~0UL);
	/* Who took the last page out may still hold the lock. */
	mapping_lock(mapping, &flags);
	mm_verify(mapping->nrpages == 0 && mapping->nrshadows == 0);
	mm_verify(xa_empty(&mapping->i_pages));
	mapping_unlock(mapping, flags);
}

/* ---- sizes -----------------------------------------------------------------
 */

/* Entries of pages [START, END] of INODE, whole pages, go; copies too if
 * EVEN_COWS. */
static void unmap_bytes(struct inode *inode, u64 start, u64 end, bool even_cows)
{
	u64 first = (start + PAGE_SIZE - 1) >> PAGE_SHIFT;
	u64 stop = end == ~0UL ? 0 : (end + 1) >> PAGE_SHIFT;

	if (!stop)
		unmap_pages(inode->i_mapping, first, 0, even_cows);
	else if (stop > first)
		unmap_pages(inode->i_mapping, first, stop - first, even_cows);
}

void truncate_pagecache(struct inode *inode, u64 size)
{
	/*
	 * All entries at once, then the pages; then once more: a private copy
	 * may have been made of a page that was still there.
	 */
	unmap_bytes(inode, size, ~0UL, true);
	truncate_inode_pages_range(inode->i_mapping, size, ~0UL);
	unmap_bytes(inode, size, ~0UL, true);
}

void truncate_pagecache_range(struct inode *inode, u64 start, u64 end)
{
	/* Private copies are not the file's: a hole leaves them alone. */
	unmap_bytes(inode, start, end, false);
	truncate_inode_pages_range(inode->i_mapping, start, end);
}

void truncate_setsize(struct inode *inode, u64 size)
{
	u64 old = i_size_read(inode);

	rwsem_assert_held_write(&inode->i_rwsem);
	if (size > old)
		pagecache_zero_tail(inode->i_mapping, old);
	i_size_write(inode, size);
	if (size < old)
		truncate_pagecache(inode, size);
}

int vfs_truncate(struct inode *inode, u64 size)
{
	int err = 0;

	if (size > inode->i_sb->s_maxbytes)
		return -EFBIG;
	down_write(&inode->i_rwsem);
	filemap_invalidate_lock(inode->i_mapping);
	if (inode->i_op && inode->i_op->setsize)
		err = inode->i_op->setsize(inode, size);
	else
		truncate_setsize(inode, size);
	filemap_invalidate_unlock(inode->i_mapping);
	up_write(&inode->i_rwsem);
	return err;
}

/* ---- invalidation ----------------------------------------------------------
 */

/* PAGE, locked, goes if nobody uses it: the cache and we alone. */
static bool invalidate_page(struct page *page)
{
	struct address_space *mapping = page_mapping(page);

	if (!mapping || PageDirty(page) || PageWriteback(page) ||
	    page_mapped(page))
		return false;
	if (PagePrivate(page) && mapping->a_ops->releasepage &&
	    !mapping->a_ops->releasepage(page, GFP_KERNEL))
		return false;
	if (!filemap_evict(page, 2, false))
		return false;
	/* Ours alone: the last reference frees it, off its list. */
	page_ref_unfreeze(page, 1);
	return true;
}

u64 invalidate_mapping_pages(struct address_space *mapping, u64 first, u64 last)
{
	struct page *pages[PAGEVEC_SIZE];
	u64 total = 0;
	u32 n;

	while ((n = find_get_pages_range(mapping, &first, last, PAGEVEC_SIZE,
					 pages))) {
		for (u32 i = 0; i < n; i++) {
			if (trylock_page(pages[i])) {
				total += invalidate_page(pages[i]);
				unlock_page(pages[i]);
			}
			put_page(pages[i]);
		}
		port_sched_point();
	}
	return total;
}

int invalidate_inode_page2(struct address_space *mapping, struct page *page)
{
	int err = 0;

	mm_assert(mapping != NULL);
	if (page_mapping(page) != mapping)
		return 0;
	wait_on_page_writeback(page);
	if (page_mapped(page))
		unmap_pages(mapping, page_index(page), 1, false);
	if (PageDirty(page) && mapping->a_ops->launder_page)
		err = mapping->a_ops->launder_page(page);
	if (err)
		return err;
	return invalidate_page(page) ? 0 : -EBUSY;
}

int invalidate_inode_pages2_range(struct address_space *mapping, u64 first,
				  u64 last)
{
	struct page *pages[PAGEVEC_SIZE];
	u64 from = first;
	int ret = 0;
	u32 n;

	lru_add_drain_all();
	while ((n = find_get_pages_range(mapping, &from, last, PAGEVEC_SIZE,
					 pages))) {
		for (u32 i = 0; i < n; i++) {
			int err;

			lock_page(pages[i]);
			err = invalidate_inode_page2(mapping, pages[i]);
			unlock_page(pages[i]);
			put_page(pages[i]);
			if (err && !ret)
				ret = err;
		}
	}
	return ret;
}

u64 drop_pagecache(void)
{
	struct inode *inode = NULL;
	u64 total = 0;

	lru_add_drain_all();
	while ((inode = inode_next_get(inode)))
		total += invalidate_mapping_pages(inode->i_mapping, 0, ~0UL);
	count_vm_event(DROP_PAGECACHE);
	return total;
}
