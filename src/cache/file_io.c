/* SPDX-License-Identifier: MIT */
/*
 * file_io.c - read and write through the page cache, and the page of a fault.
 *
 * 1. Purpose. Bytes move between a caller's memory and cached pages; what is
 *    not cached is read, what was written becomes dirty.
 *
 * 2. Reading takes no lock over the file: each page is found, brought up to
 *    date and copied. The size is looked at after the page is up to date, so
 *    that no byte beyond the end is given out that truncation has zeroed or
 *    extension not yet written. A read may see a write half done, page by
 *    page.
 *
 * 3. Writing holds i_rwsem, so writers and truncation take turns. Page by page:
 *    write_begin (locked, the bytes that stay are up to date), copy,
 *    write_end (dirty, the size grows). User memory is copied without sleeping
 *    while the page is locked: it might be a mapping of this very page. What
 *    is not present is brought in with nothing locked, and tried again.
 *
 * 4. Invariants.
 *    IO-1  A page is copied out only if it is up to date; then each byte below
 *          i_size is the last one written there.
 *    IO-2  Bytes of the last page behind i_size may hold what a mapping stored
 *          there; they are zeroed before i_size grows over them.
 *
 * 5. Failure. Results say how much was done before; an error only if that is
 *    nothing. A page that cannot be read: -EIO, and the next reader tries.
 *
 * References: read(2), write(2), mmap(2); Linux documentation,
 * filesystems/locking, filesystems/vfs.
 */
#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>

#include "base/string.h"
#include "cache/filemap.h"
#include "cache/swap.h"
#include "phys/lru.h"

#define MAX_RW_COUNT ((u64)INT32_MAX & PAGE_MASK)

/* ---- bringing pages up to date ---------------------------------------------
 */

/*
 * PAGE, found and not up to date: read it, or wait for who is at it. 0 (look
 * again: it may have been truncated), or the error.
 */
static int update_page(struct file *file, struct address_space *mapping,
		       struct page *page)
{
	int err = 0;

	filemap_invalidate_lock_shared(mapping);
	lock_page(page);
	if (page_mapping(page) != mapping || PageUptodate(page)) {
		unlock_page(page);
		filemap_invalidate_unlock_shared(mapping);
		return 0;
	}
	/* A read that failed is tried anew for each who asks. */
	ClearPageError(page);
	err = mapping->a_ops->readpage(file, page);
	filemap_invalidate_unlock_shared(mapping);
	if (err)
		return err;
	wait_on_page_locked(page);
	if (PageUptodate(page) || page_mapping(page) != mapping)
		return 0;
	return -EIO;
}

/* A page for INDEX, its read started: 0, -EEXIST, -ENOMEM, a read's error. */
static int create_page(struct file *file, struct address_space *mapping,
		       u64 index)
{
	struct page *page = alloc_pages(mapping->gfp_mask, 0);
	int err;

	if (!page)
		return -ENOMEM;
	filemap_invalidate_lock_shared(mapping);
	err = add_to_page_cache_lru(page, mapping, index, mapping->gfp_mask);
	if (!err)
		err = mapping->a_ops->readpage(file, page);
	filemap_invalidate_unlock_shared(mapping);
	put_page(page);
	return err;
}

struct page *filemap_get_page(struct file *file, u64 index, u64 last)
{
	struct address_space *mapping = file->f_mapping;
	struct file_ra_state *ra = &file->f_ra;

	for (;;) {
		struct page *page = find_get_page(mapping, index);
		int err;

		if (!page) {
			page_cache_sync_readahead(mapping, ra, file, index,
						  last - index + 1);
			page = find_get_page(mapping, index);
		}
		if (!page) {
			err = create_page(file, mapping, index);
			if (err && err != -EEXIST)
				return ERR_PTR(err);
			continue;
		}
		if (PageReadahead(page))
			page_cache_async_readahead(mapping, ra, file, page,
						   last - index + 1);
		if (PageUptodate(page))
			return page;
		err = update_page(file, mapping, page);
		if (!err && PageUptodate(page) && page_mapping(page) == mapping)
			return page;
		put_page(page);
		if (err)
			return ERR_PTR(err);
	}
}

struct page *read_mapping_page(struct address_space *mapping, u64 index,
			       struct file *file)
{
	for (;;) {
		struct page *page = find_get_page(mapping, index);
		int err;

		if (!page) {
			err = create_page(file, mapping, index);
			if (err && err != -EEXIST)
				return ERR_PTR(err);
			continue;
		}
		err = PageUptodate(page) ? 0 : update_page(file, mapping, page);
		if (!err && PageUptodate(page) && page_mapping(page) == mapping)
			return page;
		put_page(page);
		if (err)
			return ERR_PTR(err);
	}
}

/* ---- copying ---------------------------------------------------------------
 */

/* N bytes between OFF of PAGE and ITER; how many. Does not sleep. */
static u64 copy_page_iter(struct page *page, u32 off, u64 n,
			  struct iov_iter *iter)
{
	char *view = page_map(page);
	u64 done = n;

	mm_assert(off + n <= PAGE_SIZE && n <= iter->count);
	if (iter->copy) {
		done = iter->copy(iter, view + off, n);
	} else {
		if (iter->write)
			mm_memcpy_racy(view + off, iter->buf, n);
		else
			mm_memcpy_racy(iter->buf, view + off, n);
		iter->buf = (char *)iter->buf + n;
		iter->count -= n;
	}
	page_unmap(page, view);
	mm_assert(done <= n);
	return done;
}

/* Some of N bytes are there now? */
static bool iter_fault_in(struct iov_iter *iter, u64 n)
{
	return iter->fault_in && iter->fault_in(iter, n) > 0;
}

/* ---- read ------------------------------------------------------------------
 */

/* What may be read of PAGE at POS. Called with the page up to date. */
static u64 readable(const struct inode *inode, u64 pos, u64 count)
{
	u64 isize = i_size_read(inode);

	if (pos >= isize)
		return 0;
	count = min(count, isize - pos);
	return min(count, PAGE_SIZE - (pos & ~PAGE_MASK));
}

/* One page's part of a read. Bytes, 0 at the end, -errno. */
static s64 read_piece(struct file *file, struct iov_iter *iter, u64 pos)
{
	struct inode *inode = file->f_mapping->host;
	u64 index = pos >> PAGE_SHIFT;
	u64 last = (pos + iter->count - 1) >> PAGE_SHIFT, n, done;
	struct page *page = filemap_get_page(file, index, last);
	s64 prev;

	if (IS_ERR(page))
		return PTR_ERR(page);
	n = readable(inode, pos, iter->count);
	done = n ? copy_page_iter(page, (u32)(pos & ~PAGE_MASK), n, iter) : 0;
	/* Many small reads of one page are one use of it. */
	prev = READ_ONCE(file->f_ra.prev_pos);
	if (n && (prev < 0 || (u64)prev >> PAGE_SHIFT != index))
		mark_page_accessed(page);
	put_page(page);
	if (n && !done)
		return iter_fault_in(iter, n) ? -EAGAIN : -EFAULT;
	return (s64)done;
}

s64 generic_file_read_iter(struct file *file, struct iov_iter *iter, u64 *pos)
{
	struct inode *inode = file->f_mapping->host;
	s64 total = 0, n = 0;

	iter->write = false;
	while (iter->count && *pos < i_size_read(inode)) {
		n = read_piece(file, iter, *pos);
		if (n == -EAGAIN)
			continue;
		if (n <= 0)
			break;
		*pos += (u64)n;
		total += n;
		WRITE_ONCE(file->f_ra.prev_pos, (s64)*pos - 1);
		port_sched_point();
	}
	return total ? total : n;
}

/* ---- write -----------------------------------------------------------------
 */

void pagecache_zero_tail(struct address_space *mapping, u64 size)
{
	u32 off = (u32)(size & ~PAGE_MASK);
	struct page *page =
		off ? find_lock_page(mapping, size >> PAGE_SHIFT) : NULL;
	char *view;

	if (!page)
		return;
	view = page_map(page);
	if (PageUptodate(page) &&
	    mm_memchr_inv(view + off, 0, PAGE_SIZE - off)) {
		mm_memset_racy(view + off, 0, PAGE_SIZE - off);
		(void)set_page_dirty(page);
	}
	page_unmap(page, view);
	unlock_page(page);
	put_page(page);
}

static void zero_range(struct page *page, u32 from, u32 to)
{
	char *view;

	if (from >= to)
		return;
	view = page_map(page);
	mm_memset(view + from, 0, to - from);
	page_unmap(page, view);
}

/* Read PAGE, locked; it is locked again on return, if 0. -EAGAIN: it was
 * truncated meanwhile. Unlocked after a failure. */
static int read_for_write(struct file *file, struct address_space *mapping,
			  struct page *page)
{
	int err;

	ClearPageError(page);
	err = mapping->a_ops->readpage(file, page);
	if (err)
		return err;
	lock_page(page);
	if (page_mapping(page) == mapping && PageUptodate(page))
		return 0;
	err = page_mapping(page) == mapping ? -EIO : -EAGAIN;
	unlock_page(page);
	return err;
}

/* What of PAGE, locked, will not be overwritten by [OFF, OFF + LEN) becomes
 * true. As read_for_write(). */
static int prepare_page(struct file *file, struct address_space *mapping,
			struct page *page, u32 off, u32 len)
{
	u64 isize = i_size_read(mapping->host), start = page_offset(page);

	if (PageUptodate(page) || len == PAGE_SIZE)
		return 0;
	if (start >= isize || (!off && start + len >= isize)) {
		/* Nothing of the old contents stays. */
		zero_range(page, 0, off);
		zero_range(page, off + len, PAGE_SIZE);
		return 0;
	}
	return read_for_write(file, mapping, page);
}

int generic_write_begin(struct file *file, struct address_space *mapping,
			u64 pos, u32 len, struct page **out)
{
	int err;

	do {
		struct page *page = pagecache_get_page(
			mapping, pos >> PAGE_SHIFT,
			FGP_LOCK | FGP_WRITE | FGP_CREAT | FGP_NOFS,
			mapping->gfp_mask);

		if (!page)
			return -ENOMEM;
		err = prepare_page(file, mapping, page, (u32)(pos & ~PAGE_MASK),
				   len);
		if (!err)
			*out = page;
		else
			put_page(page);
	} while (err == -EAGAIN);
	return err;
}

s64 generic_write_end(struct file *file, struct page *page, u64 pos, u32 len,
		      u32 copied)
{
	struct inode *inode = page_mapping(page)->host;

	(void)file;
	/* What was not copied is neither old nor new: all over again. */
	if (copied < len && !PageUptodate(page))
		copied = 0;
	if (copied) {
		SetPageUptodate(page);
		(void)set_page_dirty(page);
		if (pos + copied > i_size_read(inode))
			i_size_write(inode, pos + copied);
	}
	unlock_page(page);
	put_page(page);
	return copied;
}

/* One page's part of a write: bytes, 0 (memory was not there), -errno. */
static s64 write_piece(struct file *file, struct iov_iter *iter, u64 pos)
{
	struct address_space *mapping = file->f_mapping;
	const struct address_space_operations *ops = mapping->a_ops;
	u32 off = (u32)(pos & ~PAGE_MASK);
	u32 len = (u32)min(iter->count, PAGE_SIZE - off);
	struct iov_iter before = *iter;
	struct page *page;
	s64 copied, kept;
	int err;

	err = ops->write_begin
		      ? ops->write_begin(file, mapping, pos, len, &page)
		      : generic_write_begin(file, mapping, pos, len, &page);
	if (err)
		return err;
	copied = (s64)copy_page_iter(page, off, len, iter);
	if (mapping_writably_mapped(mapping))
		port_sched_point();
	mark_page_accessed(page);
	kept = ops->write_end
		       ? ops->write_end(file, page, pos, len, (u32)copied)
		       : generic_write_end(file, page, pos, len, (u32)copied);
	if (kept != copied)
		*iter = before; /* kept is 0 or an error */
	return kept;
}

s64 generic_perform_write(struct file *file, struct iov_iter *iter, u64 *pos)
{
	struct address_space *mapping = file->f_mapping;
	s64 total = 0, n = 0;

	iter->write = true;
	while (iter->count) {
		n = write_piece(file, iter, *pos);
		if (n == 0 && iter_fault_in(iter, min(iter->count, PAGE_SIZE)))
			continue;
		if (n == 0)
			n = -EFAULT;
		if (n < 0)
			break;
		*pos += (u64)n;
		total += n;
		balance_dirty_pages_ratelimited(mapping);
	}
	return total ? total : n;
}

/* Where a write may go and how much: 0, -EFBIG, -ETXTBSY (swap lies there).
 */
static int write_checks(struct file *file, struct iov_iter *iter, u64 *pos)
{
	struct inode *inode = file->f_mapping->host;
	u64 max_bytes = inode->i_sb->s_maxbytes;

	if (inode->i_flags & S_SWAPFILE)
		return -ETXTBSY;
	if (file->f_flags & O_APPEND)
		*pos = i_size_read(inode);
	if (*pos >= max_bytes)
		return -EFBIG;
	iter->count = min(iter->count, max_bytes - *pos);
	return 0;
}

s64 generic_file_write_iter(struct file *file, struct iov_iter *iter, u64 *pos)
{
	struct inode *inode = file->f_mapping->host;
	u64 at = *pos;
	s64 n;

	if (!iter->count)
		return 0;
	down_write(&inode->i_rwsem);
	n = write_checks(file, iter, &at);
	if (!n) {
		if (at > i_size_read(inode))
			pagecache_zero_tail(inode->i_mapping,
					    i_size_read(inode));
		n = generic_perform_write(file, iter, &at);
	}
	up_write(&inode->i_rwsem);
	if (n > 0 && (file->f_flags & O_DSYNC)) {
		int err = vfs_fsync_range(file, at - (u64)n, at - 1,
					  (file->f_flags & O_SYNC) != O_SYNC);

		if (err)
			n = err;
	}
	if (n > 0)
		*pos = at;
	return n;
}

/* ---- calls -----------------------------------------------------------------
 */

s64 vfs_iter_read(struct file *file, struct iov_iter *iter, u64 *pos)
{
	if (!(file->f_mode & FMODE_READ))
		return -EBADF;
	if (*pos > INT64_MAX)
		return -EINVAL;
	iter->count = min(iter->count, MAX_RW_COUNT);
	if (file->f_op && file->f_op->read_iter)
		return file->f_op->read_iter(file, iter, pos);
	return generic_file_read_iter(file, iter, pos);
}

s64 vfs_iter_write(struct file *file, struct iov_iter *iter, u64 *pos)
{
	if (!(file->f_mode & FMODE_WRITE))
		return -EBADF;
	if (*pos > INT64_MAX)
		return -EINVAL;
	iter->count = min(iter->count, MAX_RW_COUNT);
	if (file->f_op && file->f_op->write_iter)
		return file->f_op->write_iter(file, iter, pos);
	return generic_file_write_iter(file, iter, pos);
}

s64 kernel_read(struct file *file, void *buf, u64 count, u64 *pos)
{
	struct iov_iter iter = {.count = count, .buf = buf};

	return vfs_iter_read(file, &iter, pos);
}

s64 kernel_write(struct file *file, const void *buf, u64 count, u64 *pos)
{
	struct iov_iter iter = {
		.count = count, .buf = (void *)(uintptr_t)buf, .write = true};

	return vfs_iter_write(file, &iter, pos);
}

/* ---- the page of a fault ---------------------------------------------------
 */

/* FF's page is beyond the end of its file? */
static bool beyond_end(const struct filemap_fault *ff)
{
	u64 isize = i_size_read(ff->file->f_mapping->host);

	return ff->pgoff >= (isize + PAGE_SIZE - 1) >> PAGE_SHIFT;
}

int filemap_fault_page(struct filemap_fault *ff)
{
	struct address_space *mapping = ff->file->f_mapping;

	ff->major = false;
	while (!beyond_end(ff)) {
		struct page *page = find_get_page(mapping, ff->pgoff);

		if (page) {
			filemap_ra_fault_hit(ff, page);
		} else {
			ff->major = true;
			filemap_ra_fault_miss(ff);
		}
		if (page && !PageUptodate(page))
			ff->major = true;
		if (page)
			put_page(page);
		page = read_mapping_page(mapping, ff->pgoff, ff->file);
		if (IS_ERR(page))
			return (int)PTR_ERR(page);
		lock_page(page);
		if (page_mapping(page) == mapping && PageUptodate(page) &&
		    !beyond_end(ff)) {
			ff->page = page;
			return 0;
		}
		unlock_page(page);
		put_page(page);
	}
	return -EFAULT;
}
