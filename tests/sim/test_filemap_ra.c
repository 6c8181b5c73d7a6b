/* SPDX-License-Identifier: MIT */
/*
 * What is read ahead, and when: windows by sequence, marker, history and
 * fault; advice; batches that file systems get.
 */
#include "filemap_machine.h"

#define PAGES 1000u

static char buf[64 * PAGE_SIZE];

/* Read NR pages at page INDEX of FILE. */
static void read_at(struct file *file, u64 index, u64 nr)
{
	u64 pos = index << PAGE_SHIFT;

	CHECK_EQ(kernel_read(file, buf, nr << PAGE_SHIFT, &pos),
		 nr << PAGE_SHIFT);
}

static struct file *open_file(struct fm_inode *fi)
{
	struct file *file = file_open(&fi->inode, FMODE_READ, 0, "/ra");

	CHECK(file);
	return file;
}

/* The cache has nothing of FI any more. */
static void forget(struct fm_inode *fi)
{
	truncate_inode_pages_range(fi->inode.i_mapping, 0, ~0UL);
	fi->reads = 0;
}

static bool cached(struct fm_inode *fi, u64 first, u64 last)
{
	for (u64 i = first; i <= last; i++)
		if (!filemap_range_has_page(fi->inode.i_mapping, i, i))
			return false;
	return true;
}

static bool marked(struct fm_inode *fi, u64 index)
{
	struct page *page = find_get_page(fi->inode.i_mapping, index);
	bool yes = page && PageReadahead(page);

	if (page)
		put_page(page);
	return yes;
}

static void window(const struct file *file, u64 start, u32 size, u32 async)
{
	CHECK_EQ(file->f_ra.start, start);
	CHECK_EQ(file->f_ra.size, size);
	CHECK_EQ(file->f_ra.async_size, async);
}

/* ---- sequences -------------------------------------------------------------
 */

/* After which page which window stands, page by page. */
static int sequence_body(void *arg)
{
	static const struct {
		u64 page, start;
		u32 size, async;
		u64 read;
	} steps[] = {
		{0, 0, 4, 3, 4},      {1, 4, 8, 8, 12},
		{3, 4, 8, 8, 12},     {4, 12, 16, 16, 28},
		{11, 12, 16, 16, 28}, {12, 28, 32, 32, 60},
		{28, 60, 32, 32, 92}, {60, 92, 32, 32, 124},
	};
	struct fm_inode *fi = fm_inode_new(PAGES);
	struct file *file = open_file(fi);
	u64 at = 0;

	(void)arg;
	CHECK_EQ(file->f_ra.ra_pages, 32);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		for (; at <= steps[i].page; at++)
			read_at(file, at, 1);
		window(file, steps[i].start, steps[i].size, steps[i].async);
		CHECK_EQ(fi->reads, steps[i].read);
		CHECK(cached(fi, 0, steps[i].read - 1));
		CHECK(marked(fi,
			     steps[i].start + steps[i].size - steps[i].async));
	}
	/* The marker is used up by who meets it. */
	CHECK(!marked(fi, 60));
	/* Nothing was read twice, and nothing behind the window. */
	for (; at < 124; at++)
		read_at(file, at, 1);
	CHECK_EQ(fi->reads, 156);
	CHECK_EQ(fi->inode.i_mapping->nrpages, fi->reads);
	fput(file);
	fm_inode_drop(fi);
	return 0;
}

static void sequence(void **state)
{
	(void)state;
	TM_RUN(sequence_body);
}

/* The first window by what is asked for. */
static int first_body(void *arg)
{
	static const struct {
		u64 ask;
		u32 size, async;
	} first[] = {{1, 4, 3},	  {2, 4, 2},   {3, 8, 5},
		     {4, 8, 4},	  {5, 16, 11}, {8, 16, 8},
		     {9, 32, 23}, {31, 32, 1}, {32, 32, 16}};
	struct fm_inode *fi = fm_inode_new(PAGES);

	(void)arg;
	for (size_t i = 0; i < ARRAY_SIZE(first); i++) {
		struct file *file = open_file(fi);

		read_at(file, 0, first[i].ask);
		snprintf(tm_context, sizeof(tm_context), "ask %llu",
			 (unsigned long long)first[i].ask);
		/* All that was asked for may begin the next at once. */
		if (first[i].ask < 32) {
			window(file, 0, first[i].size, first[i].async);
			CHECK_EQ(fi->reads, first[i].size);
		} else {
			CHECK(fi->reads >= 32 && file->f_ra.size == 32);
		}
		fput(file);
		forget(fi);
	}
	fm_inode_drop(fi);
	return 0;
}

static void first_window(void **state)
{
	(void)state;
	TM_RUN(first_body);
}

/* At the end of the file a window is what is left. */
static int end_body(void *arg)
{
	struct fm_inode *fi = fm_inode_new(6);
	struct file *file = open_file(fi);

	(void)arg;
	for (u64 i = 0; i < 6; i++)
		read_at(file, i, 1);
	CHECK_EQ(fi->reads, 6);
	CHECK_EQ(fi->inode.i_mapping->nrpages, 6);
	fput(file);
	fm_inode_drop(fi);
	return 0;
}

static void end_of_file(void **state)
{
	(void)state;
	TM_RUN(end_body);
}

/* ---- no sequence -----------------------------------------------------------
 */

static int random_body(void *arg)
{
	static const u64 places[] = {500, 20, 700, 3, 900, 100, 850};
	struct fm_inode *fi = fm_inode_new(PAGES);
	struct file *file = open_file(fi);

	(void)arg;
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		read_at(file, places[i], 1);
		CHECK_EQ(fi->reads, i + 1);
	}
	read_at(file, 300, 5);
	CHECK_EQ(fi->reads, ARRAY_SIZE(places) + 5);
	window(file, 0, 0, 0);
	/* The page after the last begins a sequence. */
	read_at(file, 400, 1);
	read_at(file, 401, 1);
	window(file, 401, 4, 3);
	CHECK_EQ(fi->reads, ARRAY_SIZE(places) + 5 + 1 + 4);
	/* A jump leaves the window alone and reads what is asked. */
	read_at(file, 600, 1);
	window(file, 401, 4, 3);
	CHECK_EQ(fi->reads, ARRAY_SIZE(places) + 5 + 1 + 4 + 1);
	/* More than a window at once is worth one. */
	read_at(file, 640, 40);
	CHECK_EQ(file->f_ra.size, 32);
	CHECK(cached(fi, 640, 680));
	/* No window at all: page by page. */
	file->f_ra.ra_pages = 0;
	fi->reads = 0;
	read_at(file, 200, 1);
	read_at(file, 201, 1);
	read_at(file, 202, 3);
	CHECK_EQ(fi->reads, 5);
	fput(file);
	fm_inode_drop(fi);
	return 0;
}

static void random_reads(void **state)
{
	(void)state;
	TM_RUN(random_body);
}

/* Traces of a sequence in the cache stand for a state that was lost. */
static int history_body(void *arg)
{
	struct fm_inode *fi = fm_inode_new(PAGES);
	struct address_space *m = fi->inode.i_mapping;
	struct file *file = open_file(fi), *other = open_file(fi);

	(void)arg;
	/* Cached from the beginning: twice as sure. */
	force_page_cache_readahead(m, NULL, 0, 12);
	CHECK_EQ(fi->reads, 12);
	read_at(file, 12, 1);
	window(file, 12, 25, 1);
	CHECK(cached(fi, 12, 36) && marked(fi, 36));
	CHECK_EQ(fi->reads, 37);
	/* Some pages in the middle: as many again. */
	force_page_cache_readahead(m, NULL, 200, 10);
	read_at(file, 210, 1);
	window(file, 210, 11, 1);
	/* As many as are asked for are no history. */
	force_page_cache_readahead(m, NULL, 300, 3);
	fi->reads = 0;
	read_at(file, 303, 3);
	window(file, 210, 11, 1);
	CHECK_EQ(fi->reads, 3);
	/* Another one's marker: go on behind what is cached. */
	forget(fi);
	read_at(other, 0, 1);
	read_at(other, 1, 1);
	CHECK(marked(fi, 4) && m->nrpages == 12);
	file->f_ra = (struct file_ra_state){.ra_pages = 32, .prev_pos = -1};
	read_at(file, 4, 1);
	window(file, 12, 18, 18);
	CHECK(cached(fi, 12, 29) && marked(fi, 12) && m->nrpages == 30);
	/* Everything behind the marker is there: nothing to do. */
	forget(fi);
	read_at(other, 0, 1);
	force_page_cache_readahead(m, NULL, 4, 60);
	fi->reads = 0;
	file->f_ra = (struct file_ra_state){.ra_pages = 32, .prev_pos = -1};
	read_at(file, 1, 1);
	CHECK_EQ(fi->reads, 0);
	window(file, 0, 0, 0);
	fput(file);
	fput(other);
	fm_inode_drop(fi);
	return 0;
}

static void history(void **state)
{
	(void)state;
	TM_RUN(history_body);
}

/* ---- advice ----------------------------------------------------------------
 */

static int advice_body(void *arg)
{
	struct fm_inode *fi = fm_inode_new(PAGES);
	struct file *file = open_file(fi);

	(void)arg;
	CHECK_EQ(vfs_fadvise(file, 0, 0, POSIX_FADV_RANDOM), 0);
	for (u64 i = 0; i < 10; i++) {
		read_at(file, i, 1);
		CHECK_EQ(fi->reads, i + 1);
	}
	read_at(file, 10, 7);
	CHECK_EQ(fi->reads, 17);
	window(file, 0, 0, 0);
	/* Both others take it back. */
	CHECK_EQ(vfs_fadvise(file, 0, 0, POSIX_FADV_SEQUENTIAL), 0);
	CHECK(!(file->f_mode & FMODE_RANDOM));
	CHECK_EQ(file->f_ra.ra_pages, 64);
	forget(fi);
	for (u64 i = 0; i < 130; i++)
		read_at(file, i, 1);
	CHECK_EQ(file->f_ra.size, 64);
	CHECK_EQ(vfs_fadvise(file, 0, 0, POSIX_FADV_RANDOM), 0);
	CHECK_EQ(vfs_fadvise(file, 0, 0, POSIX_FADV_NORMAL), 0);
	CHECK(!(file->f_mode & FMODE_RANDOM));
	CHECK_EQ(file->f_ra.ra_pages, 32);
	/* It is this file's alone. */
	fput(file);
	file = open_file(fi);
	CHECK_EQ(file->f_ra.ra_pages, 32);
	CHECK_EQ(vfs_fadvise(file, 0, 0, 6), -EINVAL);
	CHECK_EQ(vfs_fadvise(file, 0, 0, -1), -EINVAL);
	CHECK_EQ(vfs_fadvise(file, 0, -1, POSIX_FADV_NORMAL), -EINVAL);
	CHECK_EQ(vfs_fadvise(file, -1, 0, POSIX_FADV_WILLNEED), 0);
	CHECK_EQ(vfs_fadvise(file, -1, 1, POSIX_FADV_DONTNEED), 0);
	fput(file);
	fm_inode_drop(fi);
	return 0;
}

static void advice(void **state)
{
	(void)state;
	TM_RUN(advice_body);
}

static int willneed_body(void *arg)
{
	struct fm_inode *fi = fm_inode_new(PAGES);
	struct address_space *m = fi->inode.i_mapping;
	struct file *file = open_file(fi);

	(void)arg;
	/* Every page that has a byte of the range, and no other. */
	CHECK_EQ(vfs_fadvise(file, 3 * PAGE_SIZE + 4095, 2 * PAGE_SIZE + 2,
			     POSIX_FADV_WILLNEED),
		 0);
	CHECK(cached(fi, 3, 6) && m->nrpages == 4 && fi->reads == 4);
	/* What is there is not read again; more than a window at once. */
	CHECK_EQ(vfs_fadvise(file, 0, 100 * PAGE_SIZE, POSIX_FADV_WILLNEED), 0);
	CHECK(cached(fi, 0, 99) && m->nrpages == 100 && fi->reads == 100);
	window(file, 0, 0, 0);
	CHECK_EQ(vfs_fadvise(file, (PAGES - 2) * PAGE_SIZE, INT64_MAX,
			     POSIX_FADV_WILLNEED),
		 0);
	CHECK_EQ(m->nrpages, 102);
	CHECK_EQ(vfs_fadvise(file, PAGES * PAGE_SIZE, 0, POSIX_FADV_WILLNEED),
		 0);
	CHECK_EQ(m->nrpages, 102);
	CHECK_EQ(vfs_fadvise(file, 0, 0, POSIX_FADV_NOREUSE), 0);
	CHECK(m->nrpages == 102 && fi->reads == 102);
	fput(file);
	fm_inode_drop(fi);
	return 0;
}

static void willneed(void **state)
{
	(void)state;
	TM_RUN(willneed_body);
}

static int dontneed_body(void *arg)
{
	struct fm_inode *fi = fm_inode_new(20);
	struct address_space *m = fi->inode.i_mapping;
	struct file *file =
		file_open(&fi->inode, FMODE_READ | FMODE_WRITE, 0, "/d");
	struct page *held;
	u64 pos = 6 * PAGE_SIZE;

	(void)arg;
	CHECK(file);
	i_size_write(&fi->inode, 20 * PAGE_SIZE - 100);
	force_page_cache_readahead(m, NULL, 0, 20);
	CHECK_EQ(m->nrpages, 20);
	/* Pages partly inside stay. */
	CHECK_EQ(vfs_fadvise(file, 2 * PAGE_SIZE + 1, 3 * PAGE_SIZE - 1,
			     POSIX_FADV_DONTNEED),
		 0);
	CHECK_EQ(m->nrpages, 18);
	CHECK(cached(fi, 2, 2) && !cached(fi, 3, 3) && cached(fi, 5, 5));
	CHECK_EQ(vfs_fadvise(file, 0, PAGE_SIZE - 1, POSIX_FADV_DONTNEED), 0);
	CHECK_EQ(m->nrpages, 18);
	/* A dirty page is written first; one that is held stays. */
	memset(buf, 'x', PAGE_SIZE);
	CHECK_EQ(kernel_write(file, buf, PAGE_SIZE, &pos), PAGE_SIZE);
	held = find_get_page(m, 7);
	CHECK_EQ(vfs_fadvise(file, 6 * PAGE_SIZE, 3 * PAGE_SIZE,
			     POSIX_FADV_DONTNEED),
		 0);
	CHECK_EQ(fi->writes, 1);
	CHECK_EQ(fi->store[6 * PAGE_SIZE], 'x');
	CHECK(!cached(fi, 6, 6) && cached(fi, 7, 7) && !cached(fi, 8, 8));
	put_page(held);
	/* The last page goes with its last byte. */
	CHECK_EQ(vfs_fadvise(file, 18 * PAGE_SIZE, 2 * PAGE_SIZE - 101,
			     POSIX_FADV_DONTNEED),
		 0);
	CHECK(!cached(fi, 18, 18) && cached(fi, 19, 19));
	CHECK_EQ(vfs_fadvise(file, 19 * PAGE_SIZE, PAGE_SIZE - 100,
			     POSIX_FADV_DONTNEED),
		 0);
	CHECK(!cached(fi, 19, 19));
	CHECK_EQ(vfs_fadvise(file, 0, 0, POSIX_FADV_DONTNEED), 0);
	CHECK_EQ(m->nrpages, 0);
	/* Given up by advice, not by reclaim: no shadow. */
	CHECK_EQ(m->nrshadows, 0);
	fput(file);
	fm_inode_drop(fi);
	return 0;
}

static void dontneed(void **state)
{
	(void)state;
	TM_RUN(dontneed_body);
}

/* ---- faults ----------------------------------------------------------------
 */

static bool fault(struct file *file, u64 index, bool random, bool sequential)
{
	struct filemap_fault ff = {.file = file,
				   .pgoff = index,
				   .random = random,
				   .sequential = sequential};

	CHECK_EQ(filemap_fault_page(&ff), 0);
	CHECK(PageLocked(ff.page) && PageUptodate(ff.page));
	CHECK_EQ(page_index(ff.page), index);
	unlock_page(ff.page);
	put_page(ff.page);
	return ff.major;
}

static int fault_body(void *arg)
{
	struct fm_inode *fi = fm_inode_new(PAGES);
	struct address_space *m = fi->inode.i_mapping;
	struct file *file = open_file(fi);

	(void)arg;
	CHECK(fault(file, 100, true, false));
	CHECK_EQ(m->nrpages, 1);
	CHECK(!fault(file, 100, true, false));
	/* In order: a window that begins at the page. */
	CHECK(fault(file, 200, false, true));
	CHECK_EQ(m->nrpages, 33);
	CHECK(cached(fi, 200, 231));
	forget(fi);
	CHECK(fault(file, 0, false, true));
	CHECK(cached(fi, 0, 31) && !cached(fi, 32, 32));
	/* Around the page. */
	forget(fi);
	CHECK(fault(file, 500, false, false));
	window(file, 484, 32, 8);
	CHECK(cached(fi, 484, 515) && m->nrpages == 32);
	CHECK(marked(fi, 508));
	CHECK_EQ(file->f_ra.mmap_miss, 1);
	CHECK(!fault(file, 499, false, false));
	CHECK_EQ(file->f_ra.mmap_miss, 0);
	/* The marker works for faults as well, but not for random ones. */
	CHECK(!fault(file, 508, true, false));
	CHECK_EQ(m->nrpages, 32);
	CHECK(!fault(file, 508, false, false));
	CHECK_EQ(m->nrpages, 64);
	window(file, 516, 32, 32);
	/* Near the beginning there is less around. */
	CHECK(fault(file, 3, false, false));
	window(file, 0, 32, 8);
	/* Misses all the time: page by page, until hits come. */
	forget(fi);
	file->f_ra.mmap_miss = 100;
	CHECK(fault(file, 700, false, false));
	CHECK_EQ(m->nrpages, 1);
	CHECK_EQ(file->f_ra.mmap_miss, 101);
	CHECK(!fault(file, 700, false, false));
	CHECK(!fault(file, 700, false, false));
	CHECK(fault(file, 900, false, false));
	CHECK_EQ(m->nrpages, 33);
	/* Beyond the end there is none. */
	struct filemap_fault ff = {.file = file, .pgoff = PAGES};
	CHECK_EQ(filemap_fault_page(&ff), -EFAULT);
	fput(file);
	fm_inode_drop(fi);
	return 0;
}

static void faults(void **state)
{
	(void)state;
	TM_RUN(fault_body);
}

/* ---- batches ---------------------------------------------------------------
 */

static struct {
	u32 nr;
	u64 first[16];
	u32 pages[16];
	u32 leave; /* so many of each are not wanted */
} batches;

static void note_batch(struct readahead_control *rac)
{
	u32 i = batches.nr++, want = rac->nr - batches.leave;
	struct page *page;

	CHECK(i < ARRAY_SIZE(batches.first));
	batches.first[i] = page_index(rac->pages[0]);
	batches.pages[i] = rac->nr;
	while (want-- && (page = readahead_page(rac))) {
		CHECK_EQ(page_index(page), rac->index);
		(void)fm_readpage(rac->file, page);
		put_page(page);
	}
}

static const struct address_space_operations batch_aops = {
	.readpage = fm_readpage,
	.readahead = note_batch,
};

static int batch_body(void *arg)
{
	struct fm_inode *fi = fm_inode_new(PAGES);
	struct address_space *m = fi->inode.i_mapping;
	struct file *file = open_file(fi);
	struct page *page;

	(void)arg;
	m->a_ops = &batch_aops;
	memset(&batches, 0, sizeof(batches));
	/* Pages that are there divide what is missing. */
	(void)read_mapping_page(m, 5, NULL);
	page = find_get_page(m, 5);
	put_page(page);
	put_page(page);
	force_page_cache_readahead(m, NULL, 0, 60);
	CHECK_EQ(batches.nr, 3);
	CHECK(batches.first[0] == 0 && batches.pages[0] == 5);
	CHECK(batches.first[1] == 6 && batches.pages[1] == RA_BATCH);
	CHECK(batches.first[2] == 6 + RA_BATCH);
	CHECK_EQ(batches.pages[2], 60 - 6 - RA_BATCH);
	CHECK_EQ(fi->reads, 60);
	/* What the file system leaves is unlocked, and read when it is asked
	 * for. */
	batches.leave = 2;
	force_page_cache_readahead(m, NULL, 100, 10);
	CHECK_EQ(fi->reads, 68);
	page = find_get_page(m, 109);
	CHECK(page && !PageLocked(page) && !PageUptodate(page));
	put_page(page);
	fi->store[109 * PAGE_SIZE] = 'z';
	file->f_ra.ra_pages = 0;
	read_at(file, 109, 1);
	CHECK_EQ(buf[0], 'z');
	CHECK_EQ(fi->reads, 69);
	fput(file);
	fm_inode_drop(fi);
	return 0;
}

static void batch(void **state)
{
	(void)state;
	TM_RUN(batch_body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sequence),    cmocka_unit_test(first_window),
		cmocka_unit_test(end_of_file), cmocka_unit_test(random_reads),
		cmocka_unit_test(history),     cmocka_unit_test(advice),
		cmocka_unit_test(willneed),    cmocka_unit_test(dontneed),
		cmocka_unit_test(faults),      cmocka_unit_test(batch),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
