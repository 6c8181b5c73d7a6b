/* SPDX-License-Identifier: MIT */
/*
 * shmem_machine.h - files in memory for tests: read and write by kernel
 * buffers, and reclaim of single pages.
 */
#ifndef TESTS_SHMEM_MACHINE_H
#define TESTS_SHMEM_MACHINE_H

#include "sim_machine.h"

#include "cache/filemap.h"
#include "cache/shmem.h"

#define P(n) ((u64)(n) << PAGE_SHIFT)

/* Read or write N bytes at POS; what the call says. */
static inline s64 sh_io(struct file *f, void *buf, u64 n, u64 pos, bool write)
{
	struct iov_iter it = {.count = n, .buf = buf, .write = write};

	return write ? f->f_op->write_iter(f, &it, &pos)
		     : f->f_op->read_iter(f, &it, &pos);
}

static inline s64 sh_write(struct file *f, const void *buf, u64 n, u64 pos)
{
	return sh_io(f, (void *)(uintptr_t)buf, n, pos, true);
}

static inline s64 sh_read(struct file *f, void *buf, u64 n, u64 pos)
{
	return sh_io(f, buf, n, pos, false);
}

/* The byte at POS. */
static inline int sh_byte(struct file *f, u64 pos)
{
	unsigned char c = 0;

	CHECK_EQ(sh_read(f, &c, 1, pos), 1);
	return c;
}

static inline bool sh_swapped(struct inode *inode, u64 index)
{
	unsigned long flags;
	bool is;

	mapping_lock(inode->i_mapping, &flags);
	is = xa_is_value(xa_load(&inode->i_mapping->i_pages, index));
	mapping_unlock(inode->i_mapping, flags);
	return is;
}

/* Reclaim looks at PAGE, which carries a reference that goes. */
static inline u64 sh_shrink(struct page *page)
{
	struct scan_control sc = {.gfp = GFP_KERNEL,
				  .may_writepage = true,
				  .may_unmap = true,
				  .may_swap = true};
	struct reclaim_stat stat = {0};
	struct page_list list;
	u64 freed = 0;

	lru_add_drain_all();
	page_list_init(&list);
	if (!lru_isolate_page(page)) {
		put_page(page);
		return 0;
	}
	put_page(page);
	ClearPageActive(page);
	ClearPageReferenced(page);
	page_list_add(&list, page);
	freed = shrink_page_list(&list, NODE_DATA(0), &sc, &stat);
	page = page_list_pop(&list);
	if (page)
		lru_putback_page(page);
	return freed;
}

/* Page INDEX of INODE goes to swap, and its frame is free, if it is there and
 * nobody is at it for long. */
static inline bool sh_try_swap_out(struct inode *inode, u64 index)
{
	for (int i = 0; i < 50; i++) {
		struct page *page = find_get_page(inode->i_mapping, index);
		unsigned long flags;
		void *v;

		if (page) {
			(void)sh_shrink(page);
			continue;
		}
		mapping_lock(inode->i_mapping, &flags);
		v = xa_load(&inode->i_mapping->i_pages, index);
		mapping_unlock(inode->i_mapping, flags);
		if (!xa_is_value(v))
			return !v;
		page = lookup_swap_cache((swp_entry_t){xa_to_value(v)});
		if (!page)
			return true;
		wait_on_page_writeback(page);
		(void)sh_shrink(page);
	}
	return false;
}

static inline void sh_swap_out(struct inode *inode, u64 index)
{
	CHECK(sh_try_swap_out(inode, index));
}

static inline struct super_block *sh_mount(u64 blocks, u64 inodes)
{
	struct shmem_mount_options o = {
		.max_blocks = blocks, .max_inodes = inodes, .s_id = "t"};
	struct super_block *sb = shmem_mount(&o);

	CHECK(!IS_ERR(sb));
	return sb;
}

/* A file of SB that goes with its last fput(). */
static inline struct file *sh_file(struct super_block *sb, u32 mode)
{
	struct inode *inode = shmem_inode_new(sb, 0644);
	struct file *f;

	CHECK(!IS_ERR(inode));
	f = file_open(inode, mode, 0, "/t");
	CHECK(f);
	inode->i_nlink = 0;
	iput(inode);
	return f;
}

#define SH_RW (FMODE_READ | FMODE_WRITE)

#endif
