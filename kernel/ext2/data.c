/* SPDX-License-Identifier: MIT */
/*
 * data.c - contents of regular files: the page cache's way to the blocks.
 *
 * 1. Purpose. Pages are filled from blocks and written to them. With blocks of
 *    a page each page goes straight between its frame and the disk, neighbours
 *    in one request. Smaller blocks go through the cache of the disk (buf.c),
 *    since the machine's disks move whole pages only: the page of a file is
 *    then a copy of up to four blocks there.
 *
 * 2. Holes read as zero. A write fills them first (ext2_map() with create)
 *    while it holds the page, so that a full disk comes to who writes; the page
 *    is true as a whole before that, so that a copy that ends early leaves no
 *    old contents of the disk in the file. A store through a mapping does the
 *    same in page_mkwrite(). What is left for writepage() is a page whose file
 *    grew over it after it was mapped.
 *
 * 3. Ends. Bytes behind the end in the last block are zero on the disk: shrink
 *    zeroes them in the cache before, writepage() on the way out. Blocks behind
 *    the end are given up when a write that made them ends early.
 *
 * 4. Invariants.
 *    ED-1  A block that is part of a file below its end holds what was written
 *          there, zeroes, or is in the cache, dirty.
 *    ED-2  No block of a file lies wholly behind its end when no call is under
 *          way.
 *
 * 5. Locking. As Linux's filesystems/locking says of a_ops; map_sem inside.
 *
 * References: Linux documentation, filesystems/locking, filesystems/vfs.
 */
#include <mmkit/mm.h>

#include "base/string.h"
#include "ext2/ext2.h"
#include "space/fault.h"

#define SECTORS_PER_PAGE (PAGE_SIZE / PORT_SECTOR_SIZE)

static bool whole_pages(const struct ext2_fs *fs)
{
	return fs->block_bits == PAGE_SHIFT;
}

static u32 blocks_per_page(const struct ext2_fs *fs)
{
	return 1u << (PAGE_SHIFT - fs->block_bits);
}

static u64 first_block_of(const struct ext2_fs *fs, const struct page *page)
{
	return (u64)page_index(page) << (PAGE_SHIFT - fs->block_bits);
}

/* First block behind SIZE bytes. */
static u64 size_blocks(const struct ext2_fs *fs, u64 size)
{
	return (size + fs->block_size - 1) >> fs->block_bits;
}

/* ---- reading ---------------------------------------------------------------
 */

static void page_is_hole(struct page *page)
{
	page_clear(page);
	SetPageUptodate(page);
	unlock_page(page);
}

static void zero_part(struct page *page, u32 off, u32 len)
{
	char *view = page_map(page);

	mm_memset_racy(view + off, 0, len);
	page_unmap(page, view);
}

/* Part I of PAGE, of a small block, from the cache of the disk. */
static int read_part(struct ext2_inode *ei, struct page *page, u32 i)
{
	struct ext2_fs *fs = ei->fs;
	u64 index = first_block_of(fs, page) + i;
	u32 off = i << fs->block_bits, block = 0;
	struct ext2_buf b;
	bool fresh;
	char *view;
	int err = 0;

	if (index < size_blocks(fs, i_size_read(&ei->inode)))
		err = ext2_map(ei, index, false, &block, &fresh);
	if (err)
		return err;
	if (!block) {
		zero_part(page, off, fs->block_size);
		return 0;
	}
	err = ext2_bread(fs, block, &b);
	if (err)
		return err;
	view = page_map(page);
	mm_memcpy_racy(view + off, b.data, fs->block_size);
	page_unmap(page, view);
	ext2_bput(&b);
	return 0;
}

/* PAGE, locked, is unlocked when this returns. */
static int read_parts(struct ext2_inode *ei, struct page *page)
{
	int err = 0;

	for (u32 i = 0; i < blocks_per_page(ei->fs) && !err; i++)
		err = read_part(ei, page, i);
	if (err)
		SetPageError(page);
	else
		SetPageUptodate(page);
	unlock_page(page);
	return err;
}

/* Where PAGE lies, if it is to be read; else it is done, and unlocked. */
static bool read_where(struct ext2_inode *ei, struct page *page, u64 *sector,
		       int *err)
{
	u64 index = page_index(page);
	u32 block = 0;
	bool fresh;

	*err = 0;
	if (index < size_blocks(ei->fs, i_size_read(&ei->inode)))
		*err = ext2_map(ei, index, false, &block, &fresh);
	if (*err) {
		SetPageError(page);
		unlock_page(page);
		return false;
	}
	if (!block) {
		page_is_hole(page);
		return false;
	}
	*sector = block * SECTORS_PER_PAGE;
	return true;
}

static int ext2_readpage(struct file *file, struct page *page)
{
	struct ext2_inode *ei = ext2_of_inode(page_mapping(page)->host);
	struct port_bio *bio;
	u64 sector;
	int err;

	(void)file;
	if (!whole_pages(ei->fs))
		return read_parts(ei, page);
	if (!read_where(ei, page, &sector, &err))
		return err;
	bio = file_bio_get(ei->fs->bdev, PORT_BIO_READ, GFP_NOFS);
	if (!bio) {
		unlock_page(page);
		return -ENOMEM;
	}
	file_bio_add(bio, page, sector);
	file_bio_submit(bio);
	return 0;
}

/* PAGE joins *BIO, or a new one. */
static void read_gather(struct ext2_fs *fs, struct page *page, u64 sector,
			struct port_bio **bio)
{
	if (*bio && !file_bio_fits(*bio, sector)) {
		file_bio_submit(*bio);
		*bio = NULL;
	}
	if (!*bio)
		*bio = file_bio_get(fs->bdev, PORT_BIO_READ,
				    GFP_NOFS | __GFP_NORETRY);
	if (*bio)
		file_bio_add(*bio, page, sector);
	else
		unlock_page(page);
}

static void ext2_readahead(struct readahead_control *rac)
{
	struct ext2_inode *ei = ext2_of_inode(rac->mapping->host);
	struct port_bio *bio = NULL;
	struct page *page;
	u64 sector;
	int err;

	while ((page = readahead_page(rac))) {
		if (!whole_pages(ei->fs))
			(void)read_parts(ei, page);
		else if (read_where(ei, page, &sector, &err))
			read_gather(ei->fs, page, sector, &bio);
		put_page(page);
	}
	if (bio)
		file_bio_submit(bio);
}

/* ---- writing pages ---------------------------------------------------------
 */

struct gather {
	struct ext2_inode *ei;
	struct port_bio *bio;
};

static void gather_flush(struct gather *g)
{
	if (g->bio)
		file_bio_submit(g->bio);
	g->bio = NULL;
}

/* Part I of PAGE to its block in the cache of the disk. */
static int write_part(struct ext2_inode *ei, struct page *page, u32 i)
{
	struct ext2_fs *fs = ei->fs;
	u32 off = i << fs->block_bits, block;
	struct ext2_buf b;
	bool fresh;
	char *view;
	int err = ext2_map(ei, first_block_of(fs, page) + i, true, &block,
			   &fresh);

	if (!err)
		err = ext2_bread(fs, block, &b);
	if (err)
		return err;
	ext2_block(&b);
	view = page_map(page);
	mm_memcpy_racy(b.data, view + off, fs->block_size);
	page_unmap(page, view);
	ext2_bdirty_unlock(&b);
	ext2_bput(&b);
	return 0;
}

/*
 * PAGE, under write-back, went no further than ERR; or all of it is where it
 * belongs. For want of memory nothing is lost: it is dirty as before, and its
 * turn comes again; who waits for it is told. Unlocks it.
 */
static int write_ended(struct page *page, int err)
{
	if (err == -ENOMEM)
		(void)set_page_dirty(page);
	unlock_page(page);
	page_end_writeback(page, err);
	return err;
}

static int write_parts(struct ext2_inode *ei, struct page *page, u64 isize)
{
	u64 left = size_blocks(ei->fs, isize) - first_block_of(ei->fs, page);
	u32 nr = (u32)min(left, (u64)blocks_per_page(ei->fs));
	int err = 0;

	for (u32 i = 0; i < nr && !err; i++)
		err = write_part(ei, page, i);
	return write_ended(page, err);
}

/* PAGE, under write-back, whole, joins G's request. */
static int write_whole(struct gather *g, struct page *page)
{
	struct ext2_fs *fs = g->ei->fs;
	u64 sector;
	u32 block;
	bool fresh;
	int err = ext2_map(g->ei, page_index(page), true, &block, &fresh);

	if (err)
		return write_ended(page, err);
	sector = block * SECTORS_PER_PAGE;
	if (g->bio && !file_bio_fits(g->bio, sector))
		gather_flush(g);
	if (!g->bio)
		g->bio = file_bio_get(fs->bdev, PORT_BIO_WRITE,
				      GFP_NOFS | __GFP_HIGH | __GFP_NORETRY);
	file_bio_add(g->bio, page, sector);
	unlock_page(page);
	if (file_bio_is_reserve(g->bio))
		gather_flush(g);
	return 0;
}

/* As a_ops->writepage. A page whose blocks cannot be had stays dirty no
 * longer: the error is the file's to tell (fsync); but see write_ended(). */
static int gather_page(struct page *page, struct writeback_control *wbc,
		       void *data)
{
	struct gather *g = data;
	u64 isize = i_size_read(&g->ei->inode);

	(void)wbc;
	set_page_writeback(page);
	if (!file_page_within(page, isize)) {
		/* Being truncated: who does it waits for our lock. */
		unlock_page(page);
		page_end_writeback(page, 0);
		return 0;
	}
	if (!whole_pages(g->ei->fs))
		return write_parts(g->ei, page, isize);
	return write_whole(g, page);
}

/* Blocks that were found now are the inode's on the disk soon. */
static void store_due(struct ext2_inode *ei)
{
	if (READ_ONCE(ei->store_due))
		(void)ext2_istore(ei);
}

static int ext2_writepage(struct page *page, struct writeback_control *wbc)
{
	struct gather g = {.ei = ext2_of_inode(page_mapping(page)->host)};
	int err = gather_page(page, wbc, &g);

	gather_flush(&g);
	return err;
}

static int ext2_writepages(struct address_space *mapping,
			   struct writeback_control *wbc)
{
	struct gather g = {.ei = ext2_of_inode(mapping->host)};
	const struct writepages_how how = {gather_page, &g};
	int err = write_cache_pages(mapping, wbc, &how);

	gather_flush(&g);
	store_due(g.ei);
	return err;
}

/* ---- write(2) --------------------------------------------------------------
 */

/* Blocks of bytes [OFF, OFF + LEN) of PAGE: is one a hole? */
static int has_hole(struct ext2_inode *ei, const struct page *page, u32 off,
		    u32 len, bool *hole, bool *old)
{
	struct ext2_fs *fs = ei->fs;
	u64 first = first_block_of(fs, page);
	int err = 0;

	*hole = *old = false;
	for (u32 i = off >> fs->block_bits;
	     i <= (off + len - 1) >> fs->block_bits && !err; i++) {
		bool fresh;
		u32 block;

		err = ext2_map(ei, first + i, false, &block, &fresh);
		*hole |= !block;
		*old |= block != 0;
	}
	return err;
}

static int fill_holes(struct ext2_inode *ei, const struct page *page, u32 off,
		      u32 len)
{
	struct ext2_fs *fs = ei->fs;
	u64 first = first_block_of(fs, page);
	int err = 0;

	for (u32 i = off >> fs->block_bits;
	     i <= (off + len - 1) >> fs->block_bits && !err; i++) {
		bool fresh;
		u32 block;

		err = ext2_map(ei, first + i, true, &block, &fresh);
	}
	return err;
}

/* PAGE, locked, is brought up to date by reading. As generic_write_begin()'s
 * failures: unlocked then. */
static int read_under(struct ext2_inode *ei, struct file *file,
		      struct page *page)
{
	int err = ext2_readpage(file, page);

	if (err)
		return err;
	lock_page(page);
	if (page_mapping(page) == &ei->inode.i_data && PageUptodate(page))
		return 0;
	/* i_rwsem is held, so nobody truncates. */
	unlock_page(page);
	return -EIO;
}

/* PAGE, locked, gets blocks for [OFF, OFF + LEN) and is true as a whole. 0; or
 * it is unlocked. */
static int prepare_holes(struct ext2_inode *ei, struct file *file,
			 struct page *page, u32 off, u32 len)
{
	bool hole, old;
	int err = has_hole(ei, page, off, len, &hole, &old);

	if (!err && hole && !PageUptodate(page)) {
		if (old) {
			err = read_under(ei, file, page);
			if (err)
				return err;
		} else {
			/* generic_write_begin() made the rest true. */
			zero_part(page, off, len);
			SetPageUptodate(page);
		}
	}
	if (!err && hole) {
		err = fill_holes(ei, page, off, len);
		/* What was filled must not show what the disk held. */
		(void)set_page_dirty(page);
	}
	if (err)
		unlock_page(page);
	return err;
}

static int ext2_write_begin(struct file *file, struct address_space *mapping,
			    u64 pos, u32 len, struct page **out)
{
	struct ext2_inode *ei = ext2_of_inode(mapping->host);
	struct page *page;
	int err = generic_write_begin(file, mapping, pos, len, &page);

	if (err)
		return err;
	err = prepare_holes(ei, file, page, (u32)(pos & ~PAGE_MASK), len);
	if (err) {
		put_page(page);
		return err;
	}
	*out = page;
	return 0;
}

static s64 ext2_write_end(struct file *file, struct page *page, u64 pos,
			  u32 len, u32 copied)
{
	struct ext2_inode *ei = ext2_of_inode(page_mapping(page)->host);
	u64 before = i_size_read(&ei->inode);
	s64 n = generic_write_end(file, page, pos, len, copied);

	if (i_size_read(&ei->inode) != before)
		WRITE_ONCE(ei->store_due, true);
	return n;
}

/* Blocks behind the end, of a write that ended early, go; i_rwsem held. */
static void trim(struct ext2_inode *ei)
{
	struct inode *inode = &ei->inode;
	u64 size = i_size_read(inode);

	filemap_invalidate_lock(&inode->i_data);
	truncate_pagecache(inode, size);
	(void)ext2_shrink(ei, size_blocks(ei->fs, size));
	filemap_invalidate_unlock(&inode->i_data);
}

static s64 ext2_write_iter(struct file *file, struct iov_iter *iter, u64 *pos)
{
	struct inode *inode = file->f_inode;
	struct ext2_inode *ei = ext2_of_inode(inode);
	u64 want = iter->count;
	s64 n;

	if (!want)
		return 0;
	if (ext2_readonly(ei->fs))
		return -EROFS;
	ei->vnode.mtime = ei->vnode.ctime = vfs_now();
	n = generic_file_write_iter(file, iter, pos);
	if (n < 0 || (u64)n < want) {
		down_write(&inode->i_rwsem);
		trim(ei);
		up_write(&inode->i_rwsem);
	}
	(void)ext2_istore(ei);
	return n;
}

/* ---- mappings --------------------------------------------------------------
 */

static vm_fault_t fault_of(int err)
{
	return err == -ENOMEM ? VM_FAULT_OOM : VM_FAULT_SIGBUS;
}

static vm_fault_t ext2_page_mkwrite(struct vm_fault *vmf)
{
	struct page *page = vmf->page;
	struct inode *inode = vmf->vma->vm_file->f_inode;
	struct ext2_inode *ei = ext2_of_inode(inode);
	u64 isize, start;
	int err;

	lock_page(page);
	isize = i_size_read(inode);
	start = page_offset(page);
	if (page_mapping(page) != &inode->i_data || start >= isize) {
		unlock_page(page);
		return VM_FAULT_NOPAGE;
	}
	err = ext2_readonly(ei->fs)
		      ? -EROFS
		      : fill_holes(ei, page, 0,
				   (u32)min(isize - start, PAGE_SIZE));
	if (err) {
		unlock_page(page);
		return fault_of(err);
	}
	(void)set_page_dirty(page);
	ei->vnode.mtime = ei->vnode.ctime = vfs_now();
	WRITE_ONCE(ei->store_due, true);
	return VM_FAULT_LOCKED;
}

static const struct vm_operations_struct ext2_vm_ops = {
	.fault = filemap_fault,
	.map_pages = filemap_map_pages,
	.page_mkwrite = ext2_page_mkwrite,
};

static int ext2_mmap(struct file *file, struct vm_area_struct *vma)
{
	int err = generic_file_mmap(file, vma);

	if (!err)
		vma->vm_ops = &ext2_vm_ops;
	return err;
}

/* ---- sizes -----------------------------------------------------------------
 */

/* The page of byte SIZE, locked, up to date, with a reference; ERR_PTR. The
 * invalidate lock is held for writing. */
static struct page *tail_page(struct ext2_inode *ei, u64 size)
{
	struct address_space *mapping = &ei->inode.i_data;
	struct page *page = pagecache_get_page(
		mapping, size >> PAGE_SHIFT,
		FGP_LOCK | FGP_CREAT | FGP_WRITE | FGP_NOFS, mapping->gfp_mask);
	int err;

	if (!page)
		return ERR_PTR(-ENOMEM);
	if (PageUptodate(page))
		return page;
	ClearPageError(page);
	err = read_under(ei, NULL, page);
	if (!err)
		return page;
	put_page(page);
	return ERR_PTR(err);
}

/* Bytes of the last page behind SIZE become zero, in the cache, to be written.
 * 0, or why the page cannot be had. */
static int zero_tail(struct ext2_inode *ei, u64 size)
{
	u32 off = (u32)(size & ~PAGE_MASK), block;
	struct page *page;
	bool fresh;
	int err;

	if (!(size & (ei->fs->block_size - 1)))
		return 0;
	err = ext2_map(ei, size >> ei->fs->block_bits, false, &block, &fresh);
	if (err || !block)
		return err;
	page = tail_page(ei, size);
	if (IS_ERR(page))
		return (int)PTR_ERR(page);
	zero_part(page, off, (u32)PAGE_SIZE - off);
	(void)set_page_dirty(page);
	unlock_page(page);
	put_page(page);
	return 0;
}

int ext2_setsize(struct inode *inode, u64 size)
{
	struct ext2_inode *ei = ext2_of_inode(inode);
	u64 old = i_size_read(inode);
	int err;

	if (size > inode->i_sb->s_maxbytes)
		return -EFBIG;
	if (size >= old) {
		pagecache_zero_tail(&inode->i_data, old);
		truncate_setsize(inode, size);
		return ext2_istore(ei);
	}
	err = zero_tail(ei, size);
	if (err)
		return err;
	truncate_setsize(inode, size);
	err = ext2_shrink(ei, size_blocks(ei->fs, size));
	(void)ext2_istore(ei);
	return err;
}

/* ---- fsync -----------------------------------------------------------------
 */

static int ext2_fsync(struct file *file, u64 start, u64 end, bool datasync)
{
	struct ext2_inode *ei = ext2_of_inode(file->f_inode);
	int err = file_write_and_wait_range(file, start, end), err2;

	(void)datasync;
	if (READ_ONCE(ei->store_due) && !ext2_readonly(ei->fs)) {
		err2 = ext2_istore(ei);
		if (!err)
			err = err2;
	}
	err2 = ext2_sync_meta(ei->fs, false);
	return err ? err : err2;
}

/* ---- where it lies ---------------------------------------------------------
 */

/* As a_ops->bmap: of small blocks a page must be a whole page of the disk. */
static int ext2_bmap(struct address_space *mapping, u64 index,
		     struct port_bdev **bdev, u64 *disk)
{
	struct ext2_inode *ei = ext2_of_inode(mapping->host);
	u32 n = blocks_per_page(ei->fs), first = 0;

	for (u32 i = 0; i < n; i++) {
		u32 block;
		bool fresh;
		int err = ext2_map(ei, index * n + i, false, &block, &fresh);

		if (err)
			return err;
		if (!block)
			return -ENXIO;
		if (i == 0)
			first = block;
		else if (block != first + i)
			return -EXDEV;
	}
	*bdev = ei->fs->bdev;
	*disk = first / n;
	return first % n ? -EXDEV : 0;
}

/* ---- inodes ----------------------------------------------------------------
 */

static void ext2_release(struct inode *inode)
{
	ext2_free_inode(ext2_of_inode(inode));
}

const struct inode_operations ext2_iops = {
	.release = ext2_release,
	.setsize = ext2_setsize,
};

const struct address_space_operations ext2_aops = {
	.readpage = ext2_readpage,
	.readahead = ext2_readahead,
	.writepage = ext2_writepage,
	.writepages = ext2_writepages,
	.write_begin = ext2_write_begin,
	.write_end = ext2_write_end,
	.bmap = ext2_bmap,
	.migratepage = migrate_page,
};

const struct file_operations ext2_fops = {
	.write_iter = ext2_write_iter,
	.mmap = ext2_mmap,
	.fsync = ext2_fsync,
};

const struct file_operations ext2_dir_fops = {
	.fsync = ext2_fsync,
};
