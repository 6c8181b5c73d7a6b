/* SPDX-License-Identifier: MIT */
/*
 * filemap_check.c - do the page cache's books agree with a recount?
 *
 * Each mapping is walked under its lock: the array itself, every page's place,
 * flags against marks, counts. Then the lists of inodes, and the sums against
 * the global counters. For tests and the audit: O(cached pages).
 */
#include "cache/filemap.h"
#include "cache/swap.h"
#include "phys/vmstat.h"

struct recount {
	u64 pages, shadows, dirty, writeback, blockdev;
};

/* FM-1, FM-3 of one entry. i_pages_lock held. */
static void check_page(const struct address_space *mapping, u64 index,
		       const struct page *page, struct recount *rc)
{
	const struct xarray *xa = &mapping->i_pages;
	bool dirty = xa_get_mark(xa, index, PAGECACHE_TAG_DIRTY);
	bool writeback = xa_get_mark(xa, index, PAGECACHE_TAG_WRITEBACK);

	mm_verify(page_mapping(page) == mapping);
	mm_verify(page_index(page) == index);
	mm_verify(page_count(page) > page_mapcount(page));
	mm_verify(!PageSwapCache(page) && !PageSlab(page));
	if (!mapping_flag(mapping, AS_NO_WRITEBACK) && !PageLocked(page))
		mm_verify(dirty == PageDirty(page));
	/* The end of a write clears the mark first. */
	mm_verify(!writeback || PageWriteback(page));
	rc->pages++;
	rc->dirty += dirty;
	rc->writeback += writeback;
}

static void check_mapping(struct address_space *mapping, struct recount *rc)
{
	struct recount own = {0};
	unsigned long flags;
	void *entry;
	u64 index;

	mapping_lock(mapping, &flags);
	mm_verify(xa_check(&mapping->i_pages));
	xa_for_each (&mapping->i_pages, index, entry) {
		if (!xa_is_value(entry)) {
			check_page(mapping, index, entry, &own);
			continue;
		}
		for (int m = 0; m < XA_NR_MARKS; m++)
			mm_verify(!xa_get_mark(&mapping->i_pages, index,
					       (enum xa_mark)m));
		own.shadows++;
	}
	mm_verify(own.pages == mapping->nrpages);
	mm_verify(own.shadows == mapping->nrshadows);
	mapping_unlock(mapping, flags);
	rc->pages += own.pages;
	rc->shadows += own.shadows;
	rc->dirty += own.dirty;
	rc->writeback += own.writeback;
	if (S_ISBLK(mapping->host->i_mode))
		rc->blockdev += own.pages;
}

void mapping_check(struct address_space *mapping)
{
	struct recount rc = {0};

	check_mapping(mapping, &rc);
}

void filemap_check(void)
{
	struct filemap_state *fm = &cache_sys.fm;
	struct recount rc = {0};
	struct inode *inode;
	u64 n = 0, dirty = 0;

	spin_lock(&fm->inode_lock);
	list_for_each_entry (inode, &fm->inodes, i_sb_list) {
		mm_verify(READ_ONCE(inode->i_count) > 0);
		mm_verify(!(inode->i_state & I_FREEING));
		mm_verify(!(inode->i_state & I_DIRTY_PAGES) ==
			  list_empty(&inode->i_io_list));
		dirty += (inode->i_state & I_DIRTY_PAGES) != 0;
		check_mapping(&inode->i_data, &rc);
		n++;
	}
	mm_verify(n == fm->nr_inodes);
	mm_verify(list_count_nodes(&fm->dirty) == dirty);
	spin_unlock(&fm->inode_lock);
	mm_verify(global_node_page_state(NR_FILE_PAGES) ==
		  rc.pages + global_node_page_state(NR_SWAPCACHE));
	mm_verify(global_node_page_state(NR_FILE_DIRTY) == rc.dirty);
	mm_verify(global_node_page_state(NR_WRITEBACK) >= rc.writeback);
	mm_verify(READ_ONCE(fm->nr_blockdev_pages) == rc.blockdev);
}

bool filemap_owns(const struct address_space *mapping, const struct page *page)
{
	struct filemap_state *fm = &cache_sys.fm;
	unsigned long flags;
	struct inode *inode;
	bool owns = false;

	if (!fm->file_cache)
		return false;
	spin_lock(&fm->inode_lock);
	list_for_each_entry (inode, &fm->inodes, i_sb_list) {
		if (&inode->i_data != mapping)
			continue;
		mapping_lock(&inode->i_data, &flags);
		owns = xa_load(&inode->i_data.i_pages, page_index(page)) ==
		       page;
		mapping_unlock(&inode->i_data, flags);
		break;
	}
	spin_unlock(&fm->inode_lock);
	return owns;
}
