/* SPDX-License-Identifier: MIT */
/*
 * page_writeback.c - dirty pages of files, and getting them to the disk.
 *
 * 1. Purpose. Know which pages differ from the disk, write them when somebody
 *    wants them written, and remember whether that worked until it was told.
 *
 * 2. Way of a page.
 *      set_page_dirty()          PG_dirty, mark DIRTY, counted
 *      clear_page_dirty_for_io() locked: entries write-protected, PG_dirty off
 *      set_page_writeback()      PG_writeback, mark WRITEBACK; then unlocked
 *      page_end_writeback()      interrupt: marks off, waiters woken
 *    It may become dirty again at any moment but while it is locked and being
 *    prepared; then the next round writes it again.
 *
 * 3. Integrity. A sync first gives the mark TOWRITE to all that is dirty then,
 *    and writes only those: a writer who goes on dirtying cannot keep it
 *    busy for ever. Then it waits for everything with the mark WRITEBACK.
 *
 * 4. Errors. A failed write leaves the page clean: the data stay in memory,
 *    the error goes to the mapping and to the file system (errseq), and each
 *    file that was open is told once by fsync(2). The page is not tried again
 *    by itself; to write again is the program's decision (fsync(2), NOTES).
 *
 * 5. Invariants. FM-3 (filemap.c), and
 *    WB-1  NR_FILE_DIRTY = pages with PG_dirty in mappings; NR_WRITEBACK =
 *          pages with PG_writeback, the swap cache's included.
 *    WB-2  An inode with a DIRTY mark is on the dirty list or about to be, by
 *          whoever set it.
 *
 * 6. Locking. i_pages_lock around marks; the page lock around the way to
 *    PG_writeback. set_page_dirty() sleeps nowhere: table locks may be held.
 *
 * References: fsync(2), sync_file_range(2), syncfs(2); Linux documentation,
 * filesystems/locking, core-api/errseq; J. Layton, "Improved block-layer error
 * handling" (LWN, 2017).
 */
#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>

#include "base/atomic.h"
#include "base/trace_ring.h"
#include "cache/filemap.h"
#include "cache/swap.h"
#include "phys/group.h"
#include "phys/lru.h"
#include "phys/mmzone.h"
#include "phys/vmstat.h"

/* ---- dirty -----------------------------------------------------------------
 */

static void count_dirty(struct page *page, long n)
{
	struct zone *zone = page_zone(page);

	page_stat_add(page, NR_FILE_DIRTY, n);
	mod_zone_page_state(zone, NR_ZONE_WRITE_PENDING, n);
	if (n > 0) {
		mod_node_page_state(zone->zone_pgdat, NR_DIRTIED, n);
		task_io_add(&port_current()->io.write_bytes, (u64)n);
	}
}

bool filemap_set_page_dirty(struct page *page)
{
	struct address_space *mapping = page_mapping(page);
	unsigned long flags;
	bool counted = false;

	if (TestSetPageDirty(page))
		return false;
	mapping_lock(mapping, &flags);
	if (page_mapping(page) == mapping &&
	    !mapping_flag(mapping, AS_NO_WRITEBACK)) {
		xa_set_mark(&mapping->i_pages, page_index(page),
			    PAGECACHE_TAG_DIRTY);
		count_dirty(page, 1);
		counted = true;
	}
	mapping_unlock(mapping, flags);
	if (counted) {
		trace_emit(WRITEBACK_DIRTY_FOLIO, mapping->host->i_sb->s_dev,
			   mapping->host->i_ino, page_index(page));
		mark_inode_dirty_pages(mapping->host);
	}
	return true;
}

bool set_page_dirty(struct page *page)
{
	struct address_space *mapping = page_mapping(page);

	if (!mapping)
		return !TestSetPageDirty(page);
	/* Reclaim wanted it written and gone; it is in use. */
	if (PageReclaim(page))
		ClearPageReclaim(page);
	if (mapping->a_ops->set_page_dirty)
		return mapping->a_ops->set_page_dirty(page);
	return filemap_set_page_dirty(page);
}

void cancel_dirty_page(struct page *page)
{
	struct address_space *mapping = page_mapping(page);
	unsigned long flags;

	mm_assert(PageLocked(page));
	if (!PageDirty(page))
		return;
	if (!mapping || mapping_flag(mapping, AS_NO_WRITEBACK)) {
		ClearPageDirty(page);
		return;
	}
	mapping_lock(mapping, &flags);
	if (TestClearPageDirty(page)) {
		xa_clear_mark(&mapping->i_pages, page_index(page),
			      PAGECACHE_TAG_DIRTY);
		xa_clear_mark(&mapping->i_pages, page_index(page),
			      PAGECACHE_TAG_TOWRITE);
		count_dirty(page, -1);
		task_io_add(&port_current()->io.cancelled_write_bytes, 1);
	}
	mapping_unlock(mapping, flags);
}

void filemap_move_dirty(const struct address_space *mapping, struct page *old,
			struct page *new)
{
	struct zone *from = page_zone(old), *to = page_zone(new);

	if (!TestClearPageDirty(old))
		return;
	SetPageDirty(new);
	if (mapping_flag(mapping, AS_NO_WRITEBACK) ||
	    (from == to && page_group(old) == page_group(new)))
		return;
	/* It is the same data: NR_DIRTIED has it already. */
	page_stat_add(old, NR_FILE_DIRTY, -1);
	mod_zone_page_state(from, NR_ZONE_WRITE_PENDING, -1);
	page_stat_add(new, NR_FILE_DIRTY, 1);
	mod_zone_page_state(to, NR_ZONE_WRITE_PENDING, 1);
}

bool clear_page_dirty_for_io(struct page *page)
{
	struct address_space *mapping = page_mapping(page);
	const struct mapping_ops *ops = cache_sys.fm.mapping_ops;

	mm_assert(PageLocked(page));
	if (!mapping || mapping_flag(mapping, AS_NO_WRITEBACK))
		return TestClearPageDirty(page);
	/*
	 * From here on a store through an entry faults again and makes the
	 * page dirty again; what was stored before is in the page.
	 */
	if (page_mapped(page) && ops && ops->page_mkclean(page))
		(void)set_page_dirty(page);
	if (!TestClearPageDirty(page))
		return false;
	count_dirty(page, -1);
	return true;
}

void redirty_page_for_writepage(struct writeback_control *wbc,
				struct page *page)
{
	wbc->pages_skipped++;
	(void)set_page_dirty(page);
}

/* ---- under write-back ------------------------------------------------------
 */

static void count_writeback(struct page *page, long n)
{
	struct zone *zone = page_zone(page);

	page_stat_add(page, NR_WRITEBACK, n);
	mod_zone_page_state(zone, NR_ZONE_WRITE_PENDING, n);
}

void set_page_writeback(struct page *page)
{
	struct address_space *mapping = page_mapping(page);
	u64 index = page_index(page);
	unsigned long flags;

	mm_assert(PageLocked(page) && mapping);
	mapping_lock(mapping, &flags);
	mm_verify(!TestSetPageWriteback(page));
	xa_set_mark(&mapping->i_pages, index, PAGECACHE_TAG_WRITEBACK);
	if (!PageDirty(page))
		xa_clear_mark(&mapping->i_pages, index, PAGECACHE_TAG_DIRTY);
	xa_clear_mark(&mapping->i_pages, index, PAGECACHE_TAG_TOWRITE);
	mapping_unlock(mapping, flags);
	count_writeback(page, 1);
	trace_emit(PAGE_WRITEBACK, page_to_pfn(page), mapping->host->i_ino,
		   index, mapping->host->i_sb->s_dev, PAGE_WRITEBACK_BEGIN, 0);
}

void mapping_set_error(struct address_space *mapping, int err)
{
	struct inode *inode = mapping->host;
	errseq_t e;

	if (!err)
		return;
	e = errseq_set(&mapping->wb_err, err);
	(void)errseq_set(&inode->i_sb->s_wb_err, err);
	mapping_set_flag(mapping, err == -ENOSPC ? AS_ENOSPC : AS_EIO, true);
	trace_emit(FILEMAP_SET_WB_ERR, inode->i_ino, inode->i_sb->s_dev, e);
}

void page_end_writeback(struct page *page, int err)
{
	struct address_space *mapping = page_mapping(page);
	unsigned long flags;

	mm_assert(PageWriteback(page) && mapping);
	trace_emit(PAGE_WRITEBACK, page_to_pfn(page), mapping->host->i_ino,
		   page_index(page), mapping->host->i_sb->s_dev,
		   PAGE_WRITEBACK_END, (u64)(s64)err);
	if (err)
		SetPageError(page);
	mapping_set_error(mapping, err);
	if (TestClearPageReclaim(page))
		lru_rotate_reclaimable(page);
	count_writeback(page, -1);
	mod_node_page_state(page_zone(page)->zone_pgdat, NR_WRITTEN, 1);
	acct_reclaim_writeback(page);
	/* The mark first: while PG_writeback is set the mapping cannot go. */
	mapping_lock(mapping, &flags);
	xa_clear_mark(&mapping->i_pages, page_index(page),
		      PAGECACHE_TAG_WRITEBACK);
	mapping_unlock(mapping, flags);
	end_page_writeback(page);
}

/* ---- writing a range -------------------------------------------------------
 */

/* How many marks one hold of the lock sets. */
#define TAG_BATCH 4096

void tag_pages_for_writeback(struct address_space *mapping, u64 first, u64 last)
{
	unsigned long flags;
	u64 index = first;
	void *entry;
	u32 n;

	do {
		n = 0;
		mapping_lock(mapping, &flags);
		for (entry = xa_find(&mapping->i_pages, &index, last,
				     PAGECACHE_TAG_DIRTY);
		     entry && n < TAG_BATCH; n++) {
			xa_set_mark(&mapping->i_pages, index,
				    PAGECACHE_TAG_TOWRITE);
			entry = xa_find_after(&mapping->i_pages, &index, last,
					      PAGECACHE_TAG_DIRTY);
		}
		mapping_unlock(mapping, flags);
	} while (entry);
}

/* PAGE, found by its mark, locked: is it to be written? Its dirty bit is off
 * then. */
static void wait_traced(const struct address_space *mapping, struct page *page)
{
	trace_emit(FOLIO_WAIT_WRITEBACK, mapping->host->i_sb->s_dev,
		   mapping->host->i_ino, page_index(page));
	wait_on_page_writeback(page);
}

static bool prepare_write(struct address_space *mapping, struct page *page,
			  const struct writeback_control *wbc)
{
	if (page_mapping(page) != mapping || !PageDirty(page))
		return false;
	if (PageWriteback(page)) {
		if (wbc->sync_mode == WB_SYNC_NONE)
			return false;
		wait_traced(mapping, page);
	}
	return clear_page_dirty_for_io(page);
}

/* Write PAGE, which carries a reference. 0, -errno. */
static int write_one(struct address_space *mapping, struct page *page,
		     struct writeback_control *wbc,
		     const struct writepages_how *how)
{
	int err;

	lock_page(page);
	if (!prepare_write(mapping, page, wbc)) {
		unlock_page(page);
		return 0;
	}
	err = how->writepage(page, wbc, how->data);
	if (err == AOP_WRITEPAGE_ACTIVATE) {
		redirty_page_for_writepage(wbc, page);
		unlock_page(page);
		err = 0;
	}
	wbc->nr_to_write--;
	return err;
}

/* Pages [FIRST, LAST] with MARK. True: enough, or an error that ends it. */
static bool write_range(struct address_space *mapping,
			struct writeback_control *wbc,
			const struct writepages_how *how, u64 first, u64 last,
			int *ret)
{
	bool all = wbc->sync_mode == WB_SYNC_ALL, done = false;
	enum xa_mark mark = all || wbc->tagged_writepages
				    ? PAGECACHE_TAG_TOWRITE
				    : PAGECACHE_TAG_DIRTY;
	struct page *pages[PAGEVEC_SIZE];
	u32 n;

	if (mark == PAGECACHE_TAG_TOWRITE)
		tag_pages_for_writeback(mapping, first, last);
	while (!done &&
	       (n = find_get_pages_range_tag(mapping, &first, last, mark,
					     PAGEVEC_SIZE, pages))) {
		for (u32 i = 0; i < n; i++) {
			int err = 0;

			if (!done)
				err = write_one(mapping, pages[i], wbc, how);
			/* For integrity all is tried, the first error told. */
			if (err && !*ret)
				*ret = err;
			if (!done && !all && (err || wbc->nr_to_write <= 0)) {
				done = true;
				mapping->writeback_index =
					page_index(pages[i]) + 1UL;
			}
			put_page(pages[i]);
		}
		port_sched_point();
	}
	return done;
}

int write_cache_pages(struct address_space *mapping,
		      struct writeback_control *wbc,
		      const struct writepages_how *how)
{
	u64 from = READ_ONCE(mapping->writeback_index);
	int ret = 0;

	if (!wbc->range_cyclic) {
		(void)write_range(mapping, wbc, how,
				  wbc->range_start >> PAGE_SHIFT,
				  wbc->range_end >> PAGE_SHIFT, &ret);
		return ret;
	}
	if (write_range(mapping, wbc, how, from, ~0UL, &ret))
		return ret;
	if (!from || !write_range(mapping, wbc, how, 0, from - 1, &ret))
		mapping->writeback_index = 0;
	return ret;
}

static int writepage_op(struct page *page, struct writeback_control *wbc,
			void *data)
{
	const struct address_space *mapping = data;
	int err = mapping->a_ops->writepage(page, wbc);

	if (err && err != AOP_WRITEPAGE_ACTIVATE)
		mapping_set_error(data, err);
	return err;
}

int generic_writepages(struct address_space *mapping,
		       struct writeback_control *wbc)
{
	const struct writepages_how how = {writepage_op, mapping};

	if (!mapping->a_ops->writepage)
		return 0;
	return write_cache_pages(mapping, wbc, &how);
}

int do_writepages(struct address_space *mapping, struct writeback_control *wbc)
{
	if (mapping_flag(mapping, AS_NO_WRITEBACK) || wbc->nr_to_write <= 0)
		return 0;
	if (mapping->a_ops->writepages)
		return mapping->a_ops->writepages(mapping, wbc);
	return generic_writepages(mapping, wbc);
}

/* ---- starting and waiting --------------------------------------------------
 */

bool mapping_tagged(struct address_space *mapping, enum xa_mark mark)
{
	unsigned long flags;
	bool yes;

	mapping_lock(mapping, &flags);
	yes = xa_marked(&mapping->i_pages, mark);
	mapping_unlock(mapping, flags);
	return yes;
}

int filemap_fdatawrite_range(struct address_space *mapping, u64 start, u64 end,
			     enum writeback_sync_modes mode)
{
	struct writeback_control wbc = {
		.nr_to_write = INT64_MAX,
		.range_start = start,
		.range_end = end,
		.sync_mode = mode,
	};

	mm_assert(start <= end);
	if (!mapping_tagged(mapping, PAGECACHE_TAG_DIRTY))
		return 0;
	return do_writepages(mapping, &wbc);
}

void filemap_fdatawait_range_keep_errors(struct address_space *mapping,
					 u64 start, u64 end)
{
	u64 first = start >> PAGE_SHIFT;
	struct page *pages[PAGEVEC_SIZE];
	u32 n;

	while ((n = find_get_pages_range_tag(mapping, &first, end >> PAGE_SHIFT,
					     PAGECACHE_TAG_WRITEBACK,
					     PAGEVEC_SIZE, pages))) {
		for (u32 i = 0; i < n; i++) {
			wait_traced(mapping, pages[i]);
			ClearPageError(pages[i]);
			put_page(pages[i]);
		}
	}
}

/* Test and clear one of the flags for callers without a file. */
static bool take_flag(struct address_space *mapping, enum mapping_flags flag)
{
	u32 old = __atomic_fetch_and(&mapping->flags, ~(1u << flag),
				     __ATOMIC_ACQ_REL);

	return (old >> flag & 1) != 0;
}

int filemap_check_errors(struct address_space *mapping)
{
	int err = 0;

	if (take_flag(mapping, AS_ENOSPC))
		err = -ENOSPC;
	if (take_flag(mapping, AS_EIO))
		err = -EIO;
	return err;
}

int filemap_fdatawait_range(struct address_space *mapping, u64 start, u64 end)
{
	filemap_fdatawait_range_keep_errors(mapping, start, end);
	return filemap_check_errors(mapping);
}

int filemap_write_and_wait_range(struct address_space *mapping, u64 start,
				 u64 end)
{
	int err = 0, err2;

	if (READ_ONCE(mapping->nrpages)) {
		err = filemap_fdatawrite_range(mapping, start, end,
					       WB_SYNC_ALL);
		filemap_fdatawait_range_keep_errors(mapping, start, end);
	}
	err2 = filemap_check_errors(mapping);
	return err ? err : err2;
}

int file_check_and_advance_wb_err(struct file *file)
{
	struct address_space *mapping = file->f_mapping;
	errseq_t old;
	int err;

	/* Most have nothing to learn: no lock for them. */
	if (!errseq_check(&mapping->wb_err, READ_ONCE(file->f_wb_err)))
		return 0;
	spin_lock(&file->f_lock);
	old = file->f_wb_err;
	err = errseq_check_and_advance(&mapping->wb_err, &file->f_wb_err);
	spin_unlock(&file->f_lock);
	trace_emit(FILE_CHECK_AND_ADVANCE_WB_ERR, (u64)(uintptr_t)file,
		   mapping->host->i_ino, mapping->host->i_sb->s_dev, old,
		   file->f_wb_err);
	(void)take_flag(mapping, AS_EIO);
	(void)take_flag(mapping, AS_ENOSPC);
	return err;
}

int file_write_and_wait_range(struct file *file, u64 start, u64 end)
{
	struct address_space *mapping = file->f_mapping;
	int err = 0, err2;

	if (READ_ONCE(mapping->nrpages)) {
		err = filemap_fdatawrite_range(mapping, start, end,
					       WB_SYNC_ALL);
		if (err != -EIO)
			filemap_fdatawait_range_keep_errors(mapping, start,
							    end);
	}
	err2 = file_check_and_advance_wb_err(file);
	return err ? err : err2;
}

int generic_file_fsync(struct file *file, u64 start, u64 end, bool datasync)
{
	(void)datasync;
	return file_write_and_wait_range(file, start, end);
}

int vfs_fsync_range(struct file *file, u64 start, u64 end, bool datasync)
{
	if (file->f_op && file->f_op->fsync)
		return file->f_op->fsync(file, start, end, datasync);
	return generic_file_fsync(file, start, end, datasync);
}

int vfs_sync_file_range(struct file *file, s64 off, s64 nbytes, u32 flags)
{
	struct address_space *mapping = file->f_mapping;
	u64 end;
	int err = 0;

	if (flags & ~(SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
		      SYNC_FILE_RANGE_WAIT_AFTER))
		return -EINVAL;
	if (off < 0 || nbytes < 0 || off > INT64_MAX - nbytes)
		return -EINVAL;
	end = nbytes ? (u64)(off + nbytes) - 1 : (u64)INT64_MAX;
	if (flags & SYNC_FILE_RANGE_WAIT_BEFORE) {
		filemap_fdatawait_range_keep_errors(mapping, (u64)off, end);
		err = file_check_and_advance_wb_err(file);
	}
	if (!err && (flags & SYNC_FILE_RANGE_WRITE))
		err = filemap_fdatawrite_range(mapping, (u64)off, end,
					       WB_SYNC_NONE);
	if (!err && (flags & SYNC_FILE_RANGE_WAIT_AFTER)) {
		filemap_fdatawait_range_keep_errors(mapping, (u64)off, end);
		err = file_check_and_advance_wb_err(file);
	}
	return err;
}
