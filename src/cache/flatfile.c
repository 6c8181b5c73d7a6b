/* SPDX-License-Identifier: MIT */
/*
 * flatfile.c - a file system in which each file is a device of the world.
 *
 * 1. Purpose. The page cache needs something below it. Page N of a file is page
 *    N of its device, so there is no map to keep; in sim and host the device
 *    is a file of the host, whose length follows i_size to the byte.
 *
 * 2. Transfers. Consecutive pages go into one request, up to 32.
 *
 * 3. Sizes. A write that goes beyond the device makes it longer before the
 *    first byte is copied, so ENOSPC comes to who writes. Truncation takes the
 *    pages away first and shortens the device last: no write-back of a page
 *    can be under way behind the new end.
 *
 * 4. Invariants.
 *    FF-1  Pages below i_size lie on the device; whole pages behind i_size are
 *          zero, and are not read.
 *    FF-2  Bytes behind i_size in the last page never reach the device.
 *    FF-3  When fsync(2) has returned, the device was told to keep nothing
 *          back.
 *
 * 5. Failure. A write needs no memory (file_bio.c). A read without fails.
 *
 * 6. Locking. As filemap.c and truncate.c say; nothing of its own.
 *
 * References: fallocate(2), truncate(2); Linux documentation,
 * filesystems/locking.
 */
#include <mmkit/flatfile.h>

#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>
#include <mmkit/slab.h>

#include "base/printk.h"
#include "base/string.h"
#include "cache/filemap.h"
#include "cache/swap.h"
#include "phys/vmstat.h"

#define SECTORS_PER_PAGE (PAGE_SIZE / PORT_SECTOR_SIZE)

struct flat_inode {
	struct inode inode;
	struct port_bdev *bdev;
};

int flatfile_init(void)
{
	struct flatfile_state *ff = &cache_sys.fm.flat;

	ff->inode_cache =
		kmem_cache_create("flatfile_inode", sizeof(struct flat_inode),
				  0, SLAB_ACCOUNT | SLAB_RECLAIM_ACCOUNT, NULL);
	return ff->inode_cache ? file_bio_init() : -ENOMEM;
}

struct port_bdev *flatfile_bdev(const struct inode *inode)
{
	return container_of(inode, struct flat_inode, inode)->bdev;
}

static u64 flat_sector(const struct page *page)
{
	return page_index(page) * SECTORS_PER_PAGE;
}

/* ---- reading ---------------------------------------------------------------
 */

/* Pages behind the end are not on the device: zero. PAGE is done then. */
static bool read_behind_end(struct page *page)
{
	if (page_offset(page) < i_size_read(page_mapping(page)->host))
		return false;
	page_clear(page);
	SetPageUptodate(page);
	unlock_page(page);
	return true;
}

static int flat_readpage(struct file *file, struct page *page)
{
	struct port_bio *bio;

	(void)file;
	if (read_behind_end(page))
		return 0;
	bio = file_bio_get(flatfile_bdev(page_mapping(page)->host),
			   PORT_BIO_READ, GFP_NOFS);
	if (!bio) {
		unlock_page(page);
		return -ENOMEM;
	}
	file_bio_add(bio, page, flat_sector(page));
	file_bio_submit(bio);
	return 0;
}

static void flat_readahead(struct readahead_control *rac)
{
	struct port_bio *bio = NULL;
	struct page *page;

	while ((page = readahead_page(rac))) {
		if (read_behind_end(page)) {
			put_page(page);
			continue;
		}
		if (bio && !file_bio_fits(bio, flat_sector(page))) {
			file_bio_submit(bio);
			bio = NULL;
		}
		if (!bio)
			bio = file_bio_get(flatfile_bdev(rac->mapping->host),
					   PORT_BIO_READ,
					   GFP_NOFS | __GFP_NORETRY);
		if (bio)
			file_bio_add(bio, page, flat_sector(page));
		else
			unlock_page(page);
		put_page(page);
	}
	if (bio)
		file_bio_submit(bio);
}

/* ---- writing ---------------------------------------------------------------
 */

/* What is collected for one request. */
struct gather {
	struct inode *inode;
	struct port_bio *bio;
};

static void gather_flush(struct gather *g)
{
	if (g->bio)
		file_bio_submit(g->bio);
	g->bio = NULL;
}

/* As a_ops->writepage. The page waits in G until it is flushed. */
static int gather_page(struct page *page, struct writeback_control *wbc,
		       void *data)
{
	struct gather *g = data;

	(void)wbc;
	set_page_writeback(page);
	if (!file_page_within(page, i_size_read(g->inode))) {
		/* Being truncated: who does it waits for our lock. */
		unlock_page(page);
		page_end_writeback(page, 0);
		return 0;
	}
	if (g->bio && !file_bio_fits(g->bio, flat_sector(page)))
		gather_flush(g);
	if (!g->bio)
		g->bio = file_bio_get(flatfile_bdev(g->inode), PORT_BIO_WRITE,
				      GFP_NOFS | __GFP_HIGH | __GFP_NORETRY);
	file_bio_add(g->bio, page, flat_sector(page));
	unlock_page(page);
	if (file_bio_is_reserve(g->bio))
		gather_flush(g);
	return 0;
}

static int flat_writepage(struct page *page, struct writeback_control *wbc)
{
	struct gather g = {.inode = page_mapping(page)->host};
	int err = gather_page(page, wbc, &g);

	gather_flush(&g);
	return err;
}

static int flat_writepages(struct address_space *mapping,
			   struct writeback_control *wbc)
{
	struct gather g = {.inode = mapping->host};
	const struct writepages_how how = {gather_page, &g};
	int err = write_cache_pages(mapping, wbc, &how);

	gather_flush(&g);
	return err;
}

/* ---- sizes -----------------------------------------------------------------
 */

/* The device holds at least BYTES. */
static int grow_device(struct inode *inode, u64 bytes)
{
	struct port_bdev *bdev = flatfile_bdev(inode);

	return bytes > port_bdev_size(bdev) ? port_bdev_resize(bdev, bytes) : 0;
}

static int flat_write_begin(struct file *file, struct address_space *mapping,
			    u64 pos, u32 len, struct page **page)
{
	int err = grow_device(mapping->host, pos + len);

	return err ? err : generic_write_begin(file, mapping, pos, len, page);
}

static s64 flat_write_iter(struct file *file, struct iov_iter *iter, u64 *pos)
{
	struct inode *inode = file->f_inode;
	struct port_bdev *bdev = flatfile_bdev(inode);
	s64 n = generic_file_write_iter(file, iter, pos);

	/* Less was written than there was room made for? */
	if (port_bdev_size(bdev) > i_size_read(inode)) {
		down_write(&inode->i_rwsem);
		if (port_bdev_size(bdev) > i_size_read(inode) &&
		    port_bdev_resize(bdev, i_size_read(inode)))
			pr_warn("%s: longer than its file\n",
				port_bdev_name(bdev));
		up_write(&inode->i_rwsem);
	}
	return n;
}

static int flat_setsize(struct inode *inode, u64 size)
{
	int err;

	if (size > i_size_read(inode)) {
		err = port_bdev_resize(flatfile_bdev(inode), size);
		if (!err)
			truncate_setsize(inode, size);
		return err;
	}
	truncate_setsize(inode, size);
	return port_bdev_resize(flatfile_bdev(inode), size);
}

/* ---- holes -----------------------------------------------------------------
 */

static void zero_end(struct port_bio *bio)
{
	complete(bio->private);
}

/* Zero pages [FIRST, STOP) of the device, one request at a time. */
static int zero_device(struct inode *inode, u64 first, u64 stop)
{
	struct page *zero = alloc_pages(GFP_KERNEL | __GFP_ZERO, 0);
	struct completion done;
	int err = 0;

	if (!zero)
		return -ENOMEM;
	while (first < stop && !err) {
		struct port_bio *bio = file_bio_get(flatfile_bdev(inode),
						    PORT_BIO_WRITE, GFP_KERNEL);
		u32 max = file_bio_is_reserve(bio) ? 1 : PORT_BIO_MAX_PAGES;

		init_completion(&done);
		bio->sector = first * SECTORS_PER_PAGE;
		bio->private = &done;
		bio->end_io = zero_end;
		while (bio->nr_pages < max && first < stop) {
			bio->pfn[bio->nr_pages++] = page_to_pfn(zero);
			first++;
		}
		count_vm_events(PGPGOUT, bio->nr_pages * (PAGE_SIZE / 1024));
		port_bio_submit(bio);
		wait_for_completion(&done);
		err = bio->status;
		file_bio_put(bio);
	}
	put_page(zero);
	return err;
}

/* Bytes [FROM, TO) of page INDEX become zero, through the cache. */
static int zero_part(struct inode *inode, u64 index, u32 from, u32 to)
{
	struct address_space *mapping = inode->i_mapping;
	struct page *page;
	char *view;

	if (from >= to || index << PAGE_SHIFT >= i_size_read(inode))
		return 0;
	for (;;) {
		page = read_mapping_page(mapping, index, NULL);
		if (IS_ERR(page))
			return (int)PTR_ERR(page);
		lock_page(page);
		if (page_mapping(page) == mapping && PageUptodate(page))
			break;
		unlock_page(page);
		put_page(page);
	}
	view = page_map(page);
	mm_memset_racy(view + from, 0, to - from);
	page_unmap(page, view);
	(void)set_page_dirty(page);
	unlock_page(page);
	put_page(page);
	return 0;
}

/* Bytes [OFF, END) read as zero. i_rwsem held for writing. */
static int punch_hole(struct inode *inode, u64 off, u64 end)
{
	u64 isize = i_size_read(inode), first, stop;
	int err;

	/* Of the last page all goes with its last byte. */
	if (end >= isize)
		end = PAGE_ALIGN(isize);
	if (off >= end)
		return 0;
	first = (off + PAGE_SIZE - 1) >> PAGE_SHIFT;
	stop = end >> PAGE_SHIFT;
	if (first > stop)
		return zero_part(inode, stop, (u32)(off & ~PAGE_MASK),
				 (u32)(end & ~PAGE_MASK));
	err = off & ~PAGE_MASK ? zero_part(inode, off >> PAGE_SHIFT,
					   (u32)(off & ~PAGE_MASK), PAGE_SIZE)
			       : 0;
	if (!err)
		err = zero_part(inode, stop, 0, (u32)(end & ~PAGE_MASK));
	if (err || first == stop)
		return err;
	filemap_invalidate_lock(inode->i_mapping);
	truncate_pagecache_range(inode, first << PAGE_SHIFT,
				 (stop << PAGE_SHIFT) - 1);
	err = zero_device(inode, first, stop);
	filemap_invalidate_unlock(inode->i_mapping);
	return err;
}

/* Make room, and the file longer. i_rwsem held for writing. */
static int extend(struct inode *inode, u64 end)
{
	int err = 0;

	if (end > i_size_read(inode)) {
		filemap_invalidate_lock(inode->i_mapping);
		err = flat_setsize(inode, end);
		filemap_invalidate_unlock(inode->i_mapping);
	}
	return err;
}

static int flat_fallocate(struct file *file, u32 mode, u64 off, u64 len)
{
	struct inode *inode = file->f_inode;
	u64 max_bytes = inode->i_sb->s_maxbytes;
	int err;

	if (!(file->f_mode & FMODE_WRITE))
		return -EBADF;
	if (!len || off > INT64_MAX || len > INT64_MAX)
		return -EINVAL;
	if (mode && mode != (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE))
		return -EOPNOTSUPP;
	if (off + len > max_bytes)
		return -EFBIG;
	down_write(&inode->i_rwsem);
	err = mode ? punch_hole(inode, off, off + len)
		   : extend(inode, off + len);
	up_write(&inode->i_rwsem);
	return err;
}

/* ---- inodes ----------------------------------------------------------------
 */

static void flat_release(struct inode *inode)
{
	kmem_cache_free(cache_sys.fm.flat.inode_cache,
			container_of(inode, struct flat_inode, inode));
}

/* Page N is page N. */
static int flat_bmap(struct address_space *mapping, u64 index,
		     struct port_bdev **bdev, u64 *disk)
{
	*bdev = flatfile_bdev(mapping->host);
	*disk = index;
	return 0;
}

static const struct inode_operations flat_iops = {
	.release = flat_release,
	.setsize = flat_setsize,
};

static const struct address_space_operations flat_aops = {
	.readpage = flat_readpage,
	.readahead = flat_readahead,
	.writepage = flat_writepage,
	.writepages = flat_writepages,
	.write_begin = flat_write_begin,
	.bmap = flat_bmap,
	.migratepage = migrate_page,
};

/* As f_op->fsync. */
static int flat_fsync(struct file *file, u64 start, u64 end, bool datasync)
{
	int err = generic_file_fsync(file, start, end, datasync);
	int err2 = bdev_flush(flatfile_bdev(file->f_mapping->host));

	return err ? err : err2;
}

static const struct file_operations flat_fops = {
	.fsync = flat_fsync,
	.write_iter = flat_write_iter,
	.fallocate = flat_fallocate,
};

int flatfile_new(struct super_block *sb, struct port_bdev *bdev, u64 ino,
		 u32 mode, struct inode **out)
{
	struct flat_inode *fi;

	if (port_bdev_size(bdev) > sb->s_maxbytes)
		return -EFBIG;
	fi = kmem_cache_alloc(cache_sys.fm.flat.inode_cache,
			      GFP_KERNEL | __GFP_ZERO);
	if (!fi)
		return -ENOMEM;
	fi->bdev = bdev;
	fi->inode.i_ino = ino;
	fi->inode.i_op = &flat_iops;
	fi->inode.i_size = port_bdev_size(bdev);
	inode_init(&fi->inode, sb, mode, &flat_aops, &flat_fops);
	*out = &fi->inode;
	return 0;
}
