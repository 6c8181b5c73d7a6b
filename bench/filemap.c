/* world: host */
/* SPDX-License-Identifier: MIT */
/*
 * filemap - instructions of the page cache, in the world of real threads.
 *
 *	filemap              print the table
 *	filemap ITEM N       do ITEM N times
 *
 * The file's disk is a function that answers at once, so what is counted is
 * the cache's own work, the copying of 4 KB included where bytes move.
 */
#include "bench_items.h"

#include <mmkit/page_alloc.h>

#include "cache/filemap.h"

#define PAGES 1024 /* of the file */
#define RUN   16   /* pages of a long read or write */

static struct inode inode;
static struct super_block sb = {.s_id = "bench",
				.s_maxbytes = MAX_LFS_FILESIZE};
static char buf[RUN * PAGE_SIZE];

static int readpage(struct file *file, struct page *page)
{
	(void)file;
	SetPageUptodate(page);
	unlock_page(page);
	return 0;
}

static void readahead(struct readahead_control *rac)
{
	struct page *page;

	while ((page = readahead_page(rac))) {
		(void)readpage(rac->file, page);
		put_page(page);
	}
}

static int writepage(struct page *page, struct writeback_control *wbc)
{
	(void)wbc;
	set_page_writeback(page);
	unlock_page(page);
	page_end_writeback(page, 0);
	return 0;
}

static const struct address_space_operations aops = {
	.readpage = readpage,
	.readahead = readahead,
	.writepage = writepage,
};

/* A file whose pages are all cached. */
static struct file *file_begin(void)
{
	struct file *file;

	inode_init(&inode, &sb, S_IFREG | 0600, &aops, NULL);
	inode.i_size = PAGES * PAGE_SIZE;
	file = file_open(&inode, FMODE_READ | FMODE_WRITE, 0, "/bench");
	need(file);
	force_page_cache_readahead(inode.i_mapping, file, 0, PAGES);
	need(inode.i_mapping->nrpages == PAGES);
	return file;
}

static void file_end(struct file *file)
{
	fput(file);
	iput(&inode);
}

/* N pages, RUN or fewer at a call, from the beginning again and again. */
static void transfer(u64 n, u64 pages, bool write)
{
	struct file *file = file_begin();
	u64 pos = 0;

	for (u64 done = 0; done < n; done += pages) {
		u64 bytes = pages * PAGE_SIZE;

		if (pos == PAGES * PAGE_SIZE)
			pos = 0;
		need((write ? kernel_write(file, buf, bytes, &pos)
			    : kernel_read(file, buf, bytes, &pos)) ==
		     (s64)bytes);
	}
	file_end(file);
}

static void run_read(u64 n)
{
	transfer(n, 1, false);
}

static void run_read_long(u64 n)
{
	transfer(n, RUN, false);
}

static void run_write(u64 n)
{
	transfer(n, 1, true);
}

static void run_write_long(u64 n)
{
	transfer(n, RUN, true);
}

/* Dirty pages that become clean: the whole file at a time. */
static void run_sync(u64 n)
{
	struct file *file = file_begin();

	for (u64 done = 0; done < n; done += PAGES) {
		for (u64 pos = 0; pos < PAGES * PAGE_SIZE;)
			need(kernel_write(file, buf, sizeof(buf), &pos) ==
			     (s64)sizeof(buf));
		need(!vfs_fsync_range(file, 0, INT64_MAX, false));
	}
	file_end(file);
}

static void run_lookup(u64 n)
{
	struct file *file = file_begin();

	for (u64 i = 0; i < n; i++) {
		struct page *page = find_get_page(inode.i_mapping, i % PAGES);

		need(page);
		put_page(page);
	}
	file_end(file);
}

static void run_add(u64 n)
{
	struct file *file = file_begin();
	struct address_space *m = inode.i_mapping;

	truncate_inode_pages_range(m, 0, ~0UL);
	for (u64 i = 0; i < n; i++) {
		struct page *page = pagecache_get_page(m, i % PAGES, FGP_CREAT,
						       m->gfp_mask);

		need(page);
		delete_from_page_cache(page);
		unlock_page(page);
		put_page(page);
	}
	file_end(file);
}

/* What is not cached, in order, page by page; then it is dropped. */
static void run_sequential(u64 n)
{
	struct file *file = file_begin();

	for (u64 done = 0; done < n; done += PAGES) {
		truncate_inode_pages_range(inode.i_mapping, 0, ~0UL);
		for (u64 pos = 0; pos < PAGES * PAGE_SIZE;)
			need(kernel_read(file, buf, PAGE_SIZE, &pos) ==
			     (s64)PAGE_SIZE);
	}
	file_end(file);
}

/* The same without reading: making pages, and dropping them. */
static void run_fill(u64 n)
{
	struct file *file = file_begin();

	for (u64 done = 0; done < n; done += PAGES) {
		truncate_inode_pages_range(inode.i_mapping, 0, ~0UL);
		force_page_cache_readahead(inode.i_mapping, file, 0, PAGES);
	}
	file_end(file);
}

static const struct item items[] = {
	{"lookup", "find_get_page + put_page", BENCH_NONE, BENCH_NONE,
	 run_lookup},
	{"read", "read 4 KB, cached", BENCH_NONE, BENCH_NONE, run_read},
	{"read_long", "read 64 KB, cached, per page", BENCH_NONE, BENCH_NONE,
	 run_read_long},
	{"write", "write 4 KB, cached", BENCH_NONE, BENCH_NONE, run_write},
	{"write_long", "write 64 KB, cached, per page", BENCH_NONE, BENCH_NONE,
	 run_write_long},
	{"sync", "write and fsync, per page", BENCH_NONE, BENCH_NONE, run_sync},
	{"add", "a page into the cache and out", BENCH_NONE, BENCH_NONE,
	 run_add},
	{"fill", "readahead + truncate, per page", BENCH_NONE, BENCH_NONE,
	 run_fill},
	{"sequential", "the same read 4 KB at a time", BENCH_NONE, BENCH_NONE,
	 run_sequential},
};

int main(int argc, char **argv)
{
	const struct bench_table t = {.items = items,
				      .nr = ARRAY_SIZE(items),
				      .few = 4096,
				      .many = 5 * 4096};

	return bench_items(&t, argc, argv);
}
