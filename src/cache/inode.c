/* SPDX-License-Identifier: MIT */
/*
 * inode.c - inodes, mappings and open files as objects.
 *
 * 1. Purpose. The life of what the cache hangs on: who holds it, and what
 *    happens when nobody does.
 *
 * 2. Structures. All inodes stand on one list (drop_caches, sync, checks); the
 *    dirty ones on another, the longest dirty first (page_writeback.c).
 *
 * 3. Invariants.
 *    IN-1  An inode on a list can be held from there, under inode_lock, unless
 *          its count is 0; the count becomes 0 under inode_lock only.
 *    IN-2  An inode whose count is 0 is on no list, is I_FREEING, and nobody
 *          finds it any more; its pages may still be met by reclaim, which
 *          holds their locks, and the final truncation takes those.
 *    IN-3  A struct file holds one reference to its inode, a mapping of it
 *          (space/) one to the file.
 *
 * 4. Locking. inode_lock is a leaf but for i_pages_lock and below.
 *
 * References: fsync(2), open(2), mmap(2), memfd_create(2) (seals); Linux
 * documentation, filesystems/vfs.
 */
#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>
#include <mmkit/slab.h>

#include "base/atomic.h"
#include "cache/filemap.h"
#include "cache/swap.h"

int filemap_init(void)
{
	struct filemap_state *fm = &cache_sys.fm;

	spin_lock_init(&fm->inode_lock, LOCK_CLASS_INODE_LIST);
	INIT_LIST_HEAD(&fm->inodes);
	INIT_LIST_HEAD(&fm->dirty);
	flush_init();
	fm->file_cache = kmem_cache_create("filp", sizeof(struct file), 0,
					   SLAB_ACCOUNT, NULL);
	return fm->file_cache ? flatfile_init() : -ENOMEM;
}

/* ---- mappings --------------------------------------------------------------
 */

void mapping_init(struct address_space *mapping, struct inode *host,
		  const struct address_space_operations *a_ops)
{
	mapping->host = host;
	spin_lock_init(&mapping->i_pages_lock, LOCK_CLASS_I_PAGES);
	xa_init(&mapping->i_pages);
	mapping->i_pages.update = mapping_node_update;
	init_rwsem(&mapping->invalidate_lock, LOCK_CLASS_INVALIDATE_LOCK);
	init_rwsem(&mapping->i_mmap_rwsem, LOCK_CLASS_I_MMAP);
	mapping->i_mmap.rb_node = NULL;
	mapping->gfp_mask = GFP_HIGHUSER_MOVABLE;
	mapping->a_ops = a_ops;
}

void mapping_set_flag(struct address_space *mapping, enum mapping_flags flag,
		      bool on)
{
	if (on)
		__atomic_fetch_or(&mapping->flags, 1u << flag,
				  __ATOMIC_ACQ_REL);
	else
		__atomic_fetch_and(&mapping->flags, ~(1u << flag),
				   __ATOMIC_ACQ_REL);
}

/* Add STEP to the count unless it is on the wrong side of 0 for that. */
static bool writable_add(struct address_space *mapping, s32 step)
{
	s32 old = READ_ONCE(mapping->i_mmap_writable);

	do {
		if (step > 0 ? old < 0 : old > 0)
			return false;
	} while (!__atomic_compare_exchange_n(
		&mapping->i_mmap_writable, &old, old + step, false,
		__ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
	return true;
}

int mapping_map_writable(struct address_space *mapping)
{
	return writable_add(mapping, 1) ? 0 : -EPERM;
}

void mapping_unmap_writable(struct address_space *mapping)
{
	s32 left = __atomic_sub_fetch(&mapping->i_mmap_writable, 1,
				      __ATOMIC_ACQ_REL);

	mm_verify(left >= 0);
}

int mapping_deny_writable(struct address_space *mapping)
{
	return writable_add(mapping, -1) ? 0 : -EBUSY;
}

void mapping_allow_writable(struct address_space *mapping)
{
	s32 now = __atomic_add_fetch(&mapping->i_mmap_writable, 1,
				     __ATOMIC_ACQ_REL);

	mm_verify(now <= 0);
}

/* ---- inodes ----------------------------------------------------------------
 */

void inode_init(struct inode *inode, struct super_block *sb, u32 mode,
		const struct address_space_operations *a_ops,
		const struct file_operations *fop)
{
	struct filemap_state *fm = &cache_sys.fm;

	mm_verify(sb->s_maxbytes <= MAX_LFS_FILESIZE);
	inode->i_sb = sb;
	inode->i_mode = mode;
	inode->i_nlink = 1;
	inode->i_count = 1;
	inode->i_fop = fop;
	INIT_LIST_HEAD(&inode->i_io_list);
	init_rwsem(&inode->i_rwsem, LOCK_CLASS_I_RWSEM);
	mapping_init(&inode->i_data, inode, a_ops);
	inode->i_mapping = &inode->i_data;
	spin_lock(&fm->inode_lock);
	list_add_tail(&inode->i_sb_list, &fm->inodes);
	fm->nr_inodes++;
	spin_unlock(&fm->inode_lock);
}

void ihold(struct inode *inode)
{
	u32 now = __atomic_add_fetch(&inode->i_count, 1, __ATOMIC_ACQ_REL);

	mm_verify(now > 1);
}

/* One reference less if it is not the last. */
static bool put_not_last(struct inode *inode)
{
	u32 old = READ_ONCE(inode->i_count);

	do {
		mm_verify(old > 0);
		if (old == 1)
			return false;
	} while (!__atomic_compare_exchange_n(&inode->i_count, &old, old - 1,
					      false, __ATOMIC_ACQ_REL,
					      __ATOMIC_RELAXED));
	return true;
}

/* Nobody finds INODE any more. */
static void inode_evict(struct inode *inode)
{
	if (inode->i_op && inode->i_op->evict)
		inode->i_op->evict(inode);
	truncate_inode_pages_final(&inode->i_data);
	mm_verify(!mapping_mapped(&inode->i_data));
	mm_verify(list_empty(&inode->i_io_list));
	if (inode->i_op && inode->i_op->release)
		inode->i_op->release(inode);
}

void iput(struct inode *inode)
{
	struct filemap_state *fm = &cache_sys.fm;
	bool last;

	if (put_not_last(inode))
		return;
	/* Still ours, and reachable from the lists: nothing is lost that has a
	 * name. An error was recorded; there is nobody left to tell. */
	if (READ_ONCE(inode->i_nlink))
		(void)filemap_write_and_wait_range(inode->i_mapping, 0,
						   INT64_MAX);
	spin_lock(&fm->inode_lock);
	last = __atomic_sub_fetch(&inode->i_count, 1, __ATOMIC_ACQ_REL) == 0;
	if (last) {
		mm_verify(!(inode->i_state & I_FREEING));
		inode->i_state |= I_FREEING;
		list_del(&inode->i_sb_list);
		list_del_init(&inode->i_io_list);
		fm->nr_inodes--;
	}
	spin_unlock(&fm->inode_lock);
	if (last)
		inode_evict(inode);
}

bool inode_tryget(struct inode *inode)
{
	assert_spin_locked(&cache_sys.fm.inode_lock);
	if (READ_ONCE(inode->i_count) == 0)
		return false;
	ihold(inode);
	return true;
}

struct inode *inode_next_get(struct inode *prev)
{
	struct filemap_state *fm = &cache_sys.fm;
	struct list_head *at;
	struct inode *inode = NULL;

	spin_lock(&fm->inode_lock);
	/* PREV is held, so it is on the list. */
	at = prev ? prev->i_sb_list.next : fm->inodes.next;
	for (; at != &fm->inodes; at = at->next) {
		inode = list_entry(at, struct inode, i_sb_list);
		if (inode_tryget(inode))
			break;
		inode = NULL;
	}
	spin_unlock(&fm->inode_lock);
	if (prev)
		iput(prev);
	return inode;
}

void mark_inode_dirty_pages(struct inode *inode)
{
	struct filemap_state *fm = &cache_sys.fm;

	/* The mark was set before; who takes the inode off the list looks for
	 * marks after it cleared the flag. */
	smp_mb();
	if (READ_ONCE(inode->i_state) & I_DIRTY_PAGES)
		return;
	spin_lock(&fm->inode_lock);
	if (!(inode->i_state & (I_DIRTY_PAGES | I_FREEING))) {
		WRITE_ONCE(inode->i_state, inode->i_state | I_DIRTY_PAGES);
		inode->dirtied_when = port_now_ns();
		list_add_tail(&inode->i_io_list, &fm->dirty);
	}
	spin_unlock(&fm->inode_lock);
}

u64 i_size_read(const struct inode *inode)
{
	return __atomic_load_n(&inode->i_size, __ATOMIC_ACQUIRE);
}

void i_size_write(struct inode *inode, u64 size)
{
	mm_assert(size <= inode->i_sb->s_maxbytes);
	__atomic_store_n(&inode->i_size, size, __ATOMIC_RELEASE);
}

/* ---- open files ------------------------------------------------------------
 */

struct file *file_open(struct inode *inode, u32 mode, u32 flags,
		       const char *path)
{
	struct file *file = kmem_cache_alloc(cache_sys.fm.file_cache,
					     GFP_KERNEL | __GFP_ZERO);

	if (!file)
		return NULL;
	ihold(inode);
	file->f_inode = inode;
	file->f_mapping = inode->i_mapping;
	file->f_op = inode->i_fop;
	file->f_mode = mode;
	file->f_flags = flags;
	file->f_count = 1;
	spin_lock_init(&file->f_lock, LOCK_CLASS_F_LOCK);
	mutex_init(&file->f_pos_lock, LOCK_CLASS_F_POS);
	file->f_wb_err = errseq_sample(&file->f_mapping->wb_err);
	file->f_sb_err = errseq_sample(&inode->i_sb->s_wb_err);
	file->f_ra.ra_pages = VM_READAHEAD_PAGES;
	file->f_ra.prev_pos = -1;
	file->f_path = path;
	return file;
}

struct file *get_file(struct file *file)
{
	u32 now = __atomic_add_fetch(&file->f_count, 1, __ATOMIC_ACQ_REL);

	mm_verify(now > 1);
	return file;
}

void fput(struct file *file)
{
	struct inode *inode = file->f_inode;

	if (__atomic_sub_fetch(&file->f_count, 1, __ATOMIC_ACQ_REL))
		return;
	if (READ_ONCE(file->f_gone))
		file->f_gone(file);
	if (file->f_op && file->f_op->release)
		file->f_op->release(inode, file);
	if (cache_sys.fm.file_put_hook)
		cache_sys.fm.file_put_hook(file);
	inode = file->f_inode;
	kmem_cache_free(cache_sys.fm.file_cache, file);
	if (inode)
		iput(inode);
}

void file_set_put_hook(void (*hook)(struct file *file))
{
	cache_sys.fm.file_put_hook = hook;
}
