/* SPDX-License-Identifier: MIT */
/*
 * filemap_machine.h - files in memory for tests of the page cache: contents in
 * a buffer of the host, with read and write errors to order, and delays.
 */
#ifndef TESTS_FILEMAP_MACHINE_H
#define TESTS_FILEMAP_MACHINE_H

#include "sim_machine.h"

#include "cache/filemap.h"

/* A file whose "disk" is a buffer. */
struct fm_inode {
	struct inode inode;
	bool released;
	u64 store_pages;
	char *store;
	/* To order: the N-th read / write from now fails so (0: none). */
	u64 fail_read, fail_write;
	u64 fail_more; /* and so many after it */
	int error;
	u64 delay_ns; /* each transfer sleeps so long */
	u64 reads, writes;
};

static inline struct fm_inode *fm_of(struct inode *inode)
{
	return container_of(inode, struct fm_inode, inode);
}

static inline void fm_release(struct inode *inode)
{
	fm_of(inode)->released = true;
}

static const struct inode_operations fm_iops = {.release = fm_release};

/* One transfer of page INDEX; 0 or the error that was ordered. */
static inline int fm_transfer(struct fm_inode *fi, u64 *countdown)
{
	if (fi->delay_ns)
		port_park(fi->delay_ns);
	if (!*countdown || --*countdown)
		return 0;
	if (fi->fail_more) {
		fi->fail_more--;
		*countdown = 1;
	}
	return fi->error;
}

static inline int fm_readpage(struct file *file, struct page *page)
{
	struct fm_inode *fi = fm_of(page_mapping(page)->host);
	int err = fm_transfer(fi, &fi->fail_read);
	u64 index = page_index(page);
	char *view;

	(void)file;
	fi->reads++;
	view = page_map(page);
	if (index < fi->store_pages)
		memcpy(view, fi->store + index * PAGE_SIZE, PAGE_SIZE);
	else
		memset(view, 0, PAGE_SIZE);
	page_unmap(page, view);
	if (err)
		SetPageError(page);
	else
		SetPageUptodate(page);
	unlock_page(page);
	return 0;
}

static inline int fm_writepage(struct page *page, struct writeback_control *wbc)
{
	struct fm_inode *fi = fm_of(page_mapping(page)->host);
	u64 index = page_index(page);
	char *view;
	int err;

	(void)wbc;
	set_page_writeback(page);
	unlock_page(page);
	err = fm_transfer(fi, &fi->fail_write);
	fi->writes++;
	if (!err && index < fi->store_pages) {
		view = page_map(page);
		memcpy(fi->store + index * PAGE_SIZE, view, PAGE_SIZE);
		page_unmap(page, view);
	}
	page_end_writeback(page, err);
	return 0;
}

static const struct address_space_operations fm_aops = {
	.readpage = fm_readpage,
	.writepage = fm_writepage,
};

static struct super_block fm_sb = {
	.s_dev = 0x801,
	.s_id = "test",
	.s_maxbytes = MAX_LFS_FILESIZE,
};

/* A new file of PAGES pages of zeroes, held once. */
static inline struct fm_inode *fm_inode_new(u64 pages)
{
	struct fm_inode *fi = calloc(1, sizeof(*fi));

	CHECK(fi);
	if (!cache_sys.fm.nr_inodes)
		fm_sb.s_wb_err = 0;
	fi->store = calloc(pages ? pages : 1, PAGE_SIZE);
	CHECK(fi->store);
	fi->store_pages = pages;
	fi->error = -EIO;
	inode_init(&fi->inode, &fm_sb, S_IFREG | 0644, &fm_aops, NULL);
	fi->inode.i_op = &fm_iops;
	fi->inode.i_size = pages << PAGE_SHIFT;
	return fi;
}

/* The last reference, as the test believes. */
static inline void fm_inode_drop(struct fm_inode *fi)
{
	iput(&fi->inode);
	CHECK(fi->released);
	free(fi->store);
	free(fi);
}

#endif
