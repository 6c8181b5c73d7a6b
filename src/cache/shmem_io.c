/* SPDX-License-Identifier: MIT */
/*
 * shmem_io.c - read, write, fallocate and lseek on shmem files.
 *
 * 1. Purpose. The calls that look at contents without mapping them. Unlike
 *    files with a disk, a hole that is read stays a hole, and a page that is
 *    written is there or is made: nothing is read but from swap.
 *
 * 2. Holes are punched with i_rwsem and the invalidate lock held for writing:
 *    faults, which make pages, wait; reads find pages, entries or nothing.
 *
 * 3. fallocate makes pages one by one. Until it is done they carry a mark
 *    (SHMEM_TAG_FALLOC) that any use takes away; if it fails, those that still
 *    have it go again. Reclaim may not have them before; when it asked for
 *    more of them than were made since, memory does not suffice, and fallocate
 *    says so rather than bringing the killer about. A kill ends it likewise.
 *
 * 4. Failure. Write and read tell how much was done before. A punch reads the
 *    two edges first; if that fails nothing was punched.
 *
 * References: fallocate(2), lseek(2), read(2), write(2), fcntl(2); the rules
 * of SEEK_HOLE: a page that fallocate made is data.
 */
#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>

#include "base/string.h"
#include "cache/swap.h"
#include "phys/lru.h"

/* ---- copying ---------------------------------------------------------------
 */

/* What a hole reads as. */
static const char zeroes[PAGE_SIZE];

/* N bytes between VIEW and ITER; how many. Does not sleep. */
static u64 copy_iter(struct iov_iter *iter, void *view, u64 n)
{
	if (iter->copy)
		return iter->copy(iter, view, n);
	/* Reads take no lock, and mappings are written at any time. */
	if (iter->write)
		mm_memcpy_racy(view, iter->buf, n);
	else
		mm_memcpy_racy(iter->buf, view, n);
	iter->buf = (char *)iter->buf + n;
	iter->count -= n;
	return n;
}

static bool iter_fault_in(struct iov_iter *iter, u64 n)
{
	return iter->fault_in && iter->fault_in(iter, n) > 0;
}

/* Bytes of one page's part of COUNT bytes at POS. */
static u64 within_page(u64 pos, u64 count)
{
	return min(count, PAGE_SIZE - (pos & ~PAGE_MASK));
}

/* ---- read ------------------------------------------------------------------
 */

/* G's page, or a hole, at POS. Not locked. Bytes. */
static u64 read_copy(struct shmem_get *g, struct iov_iter *iter, u64 pos, u64 n)
{
	char *view;
	u64 done;

	if (!g->page)
		return copy_iter(iter, (void *)(uintptr_t)zeroes, n);
	view = page_map(g->page);
	done = copy_iter(iter, view + (pos & ~PAGE_MASK), n);
	page_unmap(g->page, view);
	return done;
}

/* One page's part of a read: bytes, 0 at the end, -errno. */
static s64 read_piece(struct inode *inode, struct iov_iter *iter, u64 pos)
{
	struct shmem_get g = {
		.inode = inode, .index = pos >> PAGE_SHIFT, .sgp = SGP_READ};
	int err = shmem_getpage(&g);
	u64 isize, n, done;

	if (err)
		return err == -EINVAL ? 0 : err;
	if (g.page)
		unlock_page(g.page);
	/* After the page was there: it may have become shorter meanwhile. */
	isize = i_size_read(inode);
	n = pos < isize ? within_page(pos, min(iter->count, isize - pos)) : 0;
	done = n ? read_copy(&g, iter, pos, n) : 0;
	if (g.page) {
		mark_page_accessed(g.page);
		put_page(g.page);
	}
	if (n && !done)
		return iter_fault_in(iter, n) ? -EAGAIN : -EFAULT;
	return (s64)done;
}

s64 shmem_read_iter(struct file *file, struct iov_iter *iter, u64 *pos)
{
	struct inode *inode = file->f_inode;
	s64 total = 0, n = 0;

	iter->write = false;
	while (iter->count && *pos < i_size_read(inode)) {
		n = read_piece(inode, iter, *pos);
		if (n == -EAGAIN)
			continue;
		if (n <= 0)
			break;
		*pos += (u64)n;
		total += n;
		port_sched_point();
	}
	return total ? total : n;
}

/* ---- write -----------------------------------------------------------------
 */

/* May LEN bytes at POS be written? I_rwsem held. */
static int write_allowed(struct inode *inode, u64 pos, u64 len)
{
	u32 seals = shmem_i(inode)->seals;

	if (seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
		return -EPERM;
	if ((seals & F_SEAL_GROW) && pos + len > i_size_read(inode))
		return -EPERM;
	return 0;
}

/* Room in the commitment for a file that reaches to END; and its size, after
 * as much as came. */
static int grow_begin(struct inode *inode, u64 end)
{
	return shmem_reaccount(shmem_i(inode), max(end, i_size_read(inode)));
}

static void grow_end(struct inode *inode, u64 end)
{
	if (end > i_size_read(inode))
		i_size_write(inode, end);
	/* What was accounted too much; that cannot fail. */
	mm_verify(!shmem_reaccount(shmem_i(inode), i_size_read(inode)));
}

/* One page's part: bytes, 0 (memory was not there), -errno. */
static s64 write_piece(struct inode *inode, struct iov_iter *iter, u64 pos)
{
	u64 len = within_page(pos, iter->count), done;
	struct shmem_get g = {
		.inode = inode, .index = pos >> PAGE_SHIFT, .sgp = SGP_WRITE};
	char *view;
	int err = write_allowed(inode, pos, len);

	if (!err)
		err = grow_begin(inode, pos + len);
	if (err)
		return err;
	err = shmem_getpage(&g);
	if (err) {
		grow_end(inode, 0);
		return err;
	}
	view = page_map(g.page);
	done = copy_iter(iter, view + (pos & ~PAGE_MASK), len);
	page_unmap(g.page, view);
	grow_end(inode, done ? pos + done : 0);
	mark_page_accessed(g.page);
	unlock_page(g.page);
	put_page(g.page);
	return (s64)done;
}

/* I_rwsem held for writing. */
static s64 write_locked(struct inode *inode, struct iov_iter *iter, u64 *pos)
{
	u64 old = i_size_read(inode);
	s64 total = 0, n = 0;

	/* What lies behind the end comes to light, if the file may grow. */
	if (*pos > old)
		n = write_allowed(inode, *pos, 1);
	if (!n && *pos > old)
		n = shmem_zero_range(inode, old,
				     (old + PAGE_SIZE - 1) & PAGE_MASK);
	while (!n && iter->count) {
		n = write_piece(inode, iter, *pos);
		if (n == 0 && !iter_fault_in(iter, iter->count))
			n = -EFAULT;
		if (n < 0)
			break;
		*pos += (u64)n;
		total += n;
		n = 0;
		port_sched_point();
	}
	return total ? total : n;
}

s64 shmem_write_iter(struct file *file, struct iov_iter *iter, u64 *pos)
{
	struct inode *inode = file->f_inode;
	u64 at = *pos, max_bytes = inode->i_sb->s_maxbytes;
	s64 n;

	if (!iter->count)
		return 0;
	iter->write = true;
	down_write(&inode->i_rwsem);
	if (file->f_flags & O_APPEND)
		at = i_size_read(inode);
	if (at >= max_bytes) {
		n = -EFBIG;
	} else {
		iter->count = min(iter->count, max_bytes - at);
		n = write_locked(inode, iter, &at);
	}
	up_write(&inode->i_rwsem);
	if (n > 0)
		*pos = at;
	return n;
}

/* ---- holes -----------------------------------------------------------------
 */

/* The bytes of [START, END) in pages that are not wholly in it. */
static int zero_edges(struct inode *inode, u64 start, u64 end)
{
	u64 head = min((start + PAGE_SIZE - 1) & PAGE_MASK, end);
	u64 tail = max(end & PAGE_MASK, head);
	int err = shmem_zero_range(inode, start, head);

	return err ? err : shmem_zero_range(inode, tail, end);
}

/* I_rwsem held for writing. */
static int punch_hole(struct inode *inode, u64 off, u64 len)
{
	const struct mapping_ops *ops = cache_sys.fm.mapping_ops;
	struct address_space *mapping = inode->i_mapping;
	u64 first = (off + PAGE_SIZE - 1) >> PAGE_SHIFT;
	u64 stop = (off + len) >> PAGE_SHIFT;
	int err;

	if (shmem_i(inode)->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
		return -EPERM;
	filemap_invalidate_lock(mapping);
	err = zero_edges(inode, off, off + len);
	if (!err && stop > first) {
		/* At once, where it is many; each again as it goes. Private
		 * copies stay: they are not the file's. */
		if (ops)
			ops->unmap_mapping_range(mapping, first, stop - first,
						 false);
		shmem_drop_range(inode, first, stop - 1, false);
	}
	filemap_invalidate_unlock(mapping);
	return err;
}

/* ---- fallocate -------------------------------------------------------------
 */

static void falloc_begin(struct inode *inode, struct shmem_falloc *f)
{
	mm_assert(!shmem_i(inode)->falloc);
	WRITE_ONCE(shmem_i(inode)->falloc, f);
}

/* Nobody looks at the marks of [FIRST, LAST] any more. */
static void falloc_end(struct inode *inode, u64 first, u64 last)
{
	struct address_space *mapping = inode->i_mapping;
	unsigned long flags;
	u64 index = first;

	mapping_lock(mapping, &flags);
	while (xa_find(&mapping->i_pages, &index, last, SHMEM_TAG_FALLOC))
		xa_clear_mark(&mapping->i_pages, index, SHMEM_TAG_FALLOC);
	WRITE_ONCE(shmem_i(inode)->falloc, NULL);
	mapping_unlock(mapping, flags);
}

static int falloc_page(struct inode *inode, u64 index,
		       const struct shmem_falloc *f)
{
	struct shmem_get g = {
		.inode = inode, .index = index, .sgp = SGP_FALLOC};
	int err;

	if (READ_ONCE(port_current()->fatal_signal))
		return -EINTR;
	if (READ_ONCE(f->refused) > f->made)
		return -ENOMEM;
	err = shmem_getpage(&g);
	if (!err) {
		unlock_page(g.page);
		put_page(g.page);
	}
	port_sched_point();
	return err;
}

/* Pages [FIRST, LAST] are there, or none is that was not before. */
static int falloc_pages(struct inode *inode, u64 first, u64 last)
{
	struct shmem_falloc f = {0};
	u64 index;
	int err = 0;

	falloc_begin(inode, &f);
	for (index = first; index <= last && !err; index++)
		err = falloc_page(inode, index, &f);
	if (err)
		shmem_drop_range(inode, first, last, true);
	falloc_end(inode, first, last);
	return err;
}

/* I_rwsem held for writing. */
static int allocate(struct inode *inode, u32 mode, u64 off, u64 len)
{
	struct shmem_sb_info *sbi = shmem_sbi(inode->i_sb);
	u64 max_blocks = READ_ONCE(sbi->max_blocks), end = off + len;
	u64 first = off >> PAGE_SHIFT, last = (end - 1) >> PAGE_SHIFT;
	u64 old = i_size_read(inode);
	bool grow = !(mode & FALLOC_FL_KEEP_SIZE) && end > old;
	int err = 0;

	if ((shmem_i(inode)->seals & F_SEAL_GROW) && end > old)
		return -EPERM;
	/* Do not push everything out for what can never be. */
	if (max_blocks && last - first + 1 > max_blocks)
		return -ENOSPC;
	if (grow)
		err = shmem_zero_range(inode, old,
				       (old + PAGE_SIZE - 1) & PAGE_MASK);
	if (!err && grow)
		err = grow_begin(inode, end);
	if (err)
		return err;
	err = falloc_pages(inode, first, last);
	grow_end(inode, !err && grow ? end : 0);
	return err;
}

int shmem_fallocate(struct file *file, u32 mode, u64 off, u64 len)
{
	struct inode *inode = file->f_inode;
	int err;

	if (mode & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE))
		return -EOPNOTSUPP;
	down_write(&inode->i_rwsem);
	err = mode & FALLOC_FL_PUNCH_HOLE ? punch_hole(inode, off, len)
					  : allocate(inode, mode, off, len);
	up_write(&inode->i_rwsem);
	return err;
}

/* The modes that fallocate(2) knows beside those in the header. */
#define FALLOC_FL_COLLAPSE_RANGE 0x08u
#define FALLOC_FL_ZERO_RANGE	 0x10u
#define FALLOC_FL_INSERT_RANGE	 0x20u
#define FALLOC_FL_UNSHARE_RANGE	 0x40u

/* One mode at a time (none: allocate); KEEP_SIZE where it has a meaning: it is
 * part of a hole, and no part of what moves the rest of a file. */
static bool falloc_mode_known(u32 mode)
{
	u32 keep = mode & FALLOC_FL_KEEP_SIZE;

	switch (mode & ~FALLOC_FL_KEEP_SIZE) {
	case 0:
	case FALLOC_FL_ZERO_RANGE:
	case FALLOC_FL_UNSHARE_RANGE:
		return true;
	case FALLOC_FL_PUNCH_HOLE:
		return keep;
	case FALLOC_FL_COLLAPSE_RANGE:
	case FALLOC_FL_INSERT_RANGE:
		return !keep;
	default:
		return false;
	}
}

static int falloc_mode(const struct file *file, u32 mode)
{
	if (!falloc_mode_known(mode))
		return -EOPNOTSUPP;
	if (!(file->f_mode & FMODE_WRITE))
		return -EBADF;
	if ((mode & ~FALLOC_FL_KEEP_SIZE) &&
	    (file->f_inode->i_flags & S_APPEND))
		return -EPERM;
	return 0;
}

int vfs_fallocate(struct file *file, u32 mode, s64 off, s64 len)
{
	struct inode *inode = file->f_inode;
	int err;

	if (off < 0 || len <= 0)
		return -EINVAL;
	err = falloc_mode(file, mode);
	if (err)
		return err;
	if (!S_ISREG(inode->i_mode) && !S_ISBLK(inode->i_mode))
		return -ENODEV;
	if ((u64)off + (u64)len > inode->i_sb->s_maxbytes)
		return -EFBIG;
	if (!file->f_op || !file->f_op->fallocate)
		return -EOPNOTSUPP;
	return file->f_op->fallocate(file, mode, (u64)off, (u64)len);
}

/* ---- lseek -----------------------------------------------------------------
 */

/* How many one hold of the lock looks at. */
#define SEEK_BATCH 1024

/* The first number from INDEX on that has a page or an entry (DATA), or has
 * none; ~0: no data behind. */
static u64 seek_pages(struct address_space *mapping, u64 index, bool data)
{
	unsigned long flags;
	u64 at = index;
	bool more;

	do {
		mapping_lock(mapping, &flags);
		if (data) {
			if (!xa_find(&mapping->i_pages, &at, UINT32_MAX,
				     XA_PRESENT))
				at = ~0UL;
		} else {
			for (u32 n = 0;
			     n < SEEK_BATCH && xa_load(&mapping->i_pages, at);
			     n++)
				at++;
		}
		more = !data && xa_load(&mapping->i_pages, at);
		mapping_unlock(mapping, flags);
	} while (more);
	return at;
}

s64 shmem_seek(struct file *file, s64 off, int whence)
{
	struct inode *inode = file->f_inode;
	u64 isize, index, found;

	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		return -EINVAL;
	down_read(&inode->i_rwsem);
	isize = i_size_read(inode);
	if (off < 0 || (u64)off >= isize) {
		up_read(&inode->i_rwsem);
		return -ENXIO;
	}
	index = (u64)off >> PAGE_SHIFT;
	found = seek_pages(inode->i_mapping, index, whence == SEEK_DATA);
	up_read(&inode->i_rwsem);
	if (found == index)
		return off;
	if (found < (isize + PAGE_SIZE - 1) >> PAGE_SHIFT)
		return (s64)(found << PAGE_SHIFT);
	return whence == SEEK_DATA ? -ENXIO : (s64)isize;
}

/* Mappings are the business of the floor above. */
static int shmem_mmap(struct file *file, struct vm_area_struct *vma)
{
	const struct shmem_ops *ops = cache_sys.shmem.ops;

	return ops ? ops->mmap(file, vma) : -ENODEV;
}

const struct file_operations shmem_fops = {
	.mmap = shmem_mmap,
	.read_iter = shmem_read_iter,
	.write_iter = shmem_write_iter,
	.fallocate = shmem_fallocate,
};
