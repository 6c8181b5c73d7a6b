/* SPDX-License-Identifier: MIT */
/*
 * Files against arrays of bytes: random reads, writes, truncations, holes,
 * syncs, advice, invalidation, faults, memory pressure and disk errors. What
 * is read is what was written; after a sync the device is the model, to the
 * last byte; at the end every count is where it began.
 */
#include "sim_machine.h"

#include <mmkit/flatfile.h>
#include <mmkit/sysctl.h>

#include "base/fail.h"
#include "cache/filemap.h"

#define FILES	  3
#define MAX_BYTES (300 * PAGE_SIZE + 777)

struct model {
	struct inode *inode;
	struct port_bdev *disk;
	struct file *file, *other; /* two that are told of errors */
	u64 size;
	u8 bytes[MAX_BYTES];
};

static struct model files[FILES];
static struct super_block sb;
static u8 buf[MAX_BYTES];

static void model_open(struct model *m, u64 ino)
{
	m->disk = tm_disk(1);
	CHECK_EQ(port_bdev_resize(m->disk, 0), 0);
	CHECK_EQ(flatfile_new(&sb, m->disk, ino, S_IFREG | 0644, &m->inode), 0);
	m->file = file_open(m->inode, FMODE_READ | FMODE_WRITE, 0, "/m");
	m->other = file_open(m->inode, FMODE_READ, 0, "/m");
	CHECK(m->file && m->other);
	m->size = 0;
	memset(m->bytes, 0, sizeof(m->bytes));
}

static void model_close(struct model *m)
{
	fput(m->file);
	fput(m->other);
	iput(m->inode);
}

/* ---- what the device holds -------------------------------------------------
 */

static void disk_equals(struct model *m)
{
	struct page *page = alloc_page(GFP_KERNEL);

	CHECK(page);
	CHECK_EQ(port_bdev_size(m->disk), m->size);
	/* bdev_read_page() reads whole pages: the last one by a request. */
	for (u64 at = 0; at < m->size; at += PAGE_SIZE) {
		struct completion done;
		struct port_bio bio = {.bdev = m->disk,
				       .op = PORT_BIO_READ,
				       .sector = at / PORT_SECTOR_SIZE,
				       .nr_pages = 1,
				       .end_io = tm_bio_end,
				       .private = &done};

		init_completion(&done);
		bio.pfn[0] = page_to_pfn(page);
		port_bio_submit(&bio);
		wait_for_completion(&done);
		CHECK_EQ(bio.status, 0);
		CHECK(!memcmp(page_view(page), m->bytes + at,
			      min(PAGE_SIZE, m->size - at)));
		for (u64 i = m->size - at; i < PAGE_SIZE; i++)
			CHECK_EQ(((u8 *)page_view(page))[i], 0);
	}
	put_page(page);
}

static void op_fsync(struct model *m, struct prng *rnd)
{
	(void)rnd;
	CHECK_EQ(vfs_fsync_range(m->file, 0, INT64_MAX, false), 0);
	disk_equals(m);
}

/* ---- operations ------------------------------------------------------------
 */

/* A place and a length: mostly small, often at page borders. */
static void pick(struct prng *rnd, u64 *pos, u64 *len, u64 top)
{
	*pos = prng_below(rnd, top);
	if (prng_one_in(rnd, 3))
		*pos = PAGE_ALIGN_DOWN(*pos);
	*len = 1 + (prng_one_in(rnd, 4) ? prng_below(rnd, 40 * PAGE_SIZE)
					: prng_below(rnd, 6000));
	if (prng_one_in(rnd, 4))
		*len = PAGE_ALIGN(*len);
	*len = min(*len, MAX_BYTES - *pos);
}

static void op_write(struct model *m, struct prng *rnd)
{
	u64 pos, len;

	pick(rnd, &pos, &len, min(m->size + 3 * PAGE_SIZE, MAX_BYTES - 1));
	for (u64 i = 0; i < len; i++)
		buf[i] = (u8)prng_u32(rnd);
	memcpy(m->bytes + pos, buf, len);
	m->size = max(m->size, pos + len);
	u64 at = pos;
	CHECK_EQ(kernel_write(m->file, buf, len, &at), len);
	CHECK_EQ(at, pos + len);
}

static void op_read(struct model *m, struct prng *rnd)
{
	u64 pos, len, want, at;

	pick(rnd, &pos, &len, MAX_BYTES - 1);
	want = pos < m->size ? min(len, m->size - pos) : 0;
	at = pos;
	CHECK_EQ(kernel_read(prng_one_in(rnd, 2) ? m->file : m->other, buf, len,
			     &at),
		 want);
	CHECK_EQ(at, pos + want);
	CHECK(!memcmp(buf, m->bytes + pos, want));
}

/* From the beginning, or on, in equal steps: read-ahead's business. */
static void op_scan(struct model *m, struct prng *rnd)
{
	u64 step = 1 + prng_below(rnd, 3 * PAGE_SIZE), at = 0;

	while (at < m->size) {
		u64 from = at;
		s64 n = kernel_read(m->other, buf, step, &at);

		CHECK_EQ(n, min(step, m->size - from));
		CHECK(!memcmp(buf, m->bytes + from, (size_t)n));
	}
	CHECK_EQ(kernel_read(m->other, buf, step, &at), 0);
}

static void op_truncate(struct model *m, struct prng *rnd)
{
	u64 size = prng_below(rnd, MAX_BYTES);

	if (prng_one_in(rnd, 2))
		size = prng_below(rnd, m->size + 1);
	CHECK_EQ(vfs_truncate(m->inode, size), 0);
	if (size < m->size)
		memset(m->bytes + size, 0, m->size - size);
	m->size = size;
	CHECK_EQ(i_size_read(m->inode), size);
}

static void op_punch(struct model *m, struct prng *rnd)
{
	u64 pos, len;

	pick(rnd, &pos, &len, MAX_BYTES - 1);
	CHECK_EQ(m->file->f_op->fallocate(
			 m->file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			 pos, len),
		 0);
	memset(m->bytes + pos, 0, len);
	CHECK_EQ(i_size_read(m->inode), m->size);
}

static void op_advise(struct model *m, struct prng *rnd)
{
	u64 pos, len;

	pick(rnd, &pos, &len, MAX_BYTES - 1);
	CHECK_EQ(vfs_fadvise(prng_one_in(rnd, 2) ? m->file : m->other, (s64)pos,
			     prng_one_in(rnd, 5) ? 0 : (s64)len,
			     (int)prng_below(rnd, 6)),
		 0);
}

static void op_sync_range(struct model *m, struct prng *rnd)
{
	u64 pos, len;

	pick(rnd, &pos, &len, MAX_BYTES - 1);
	CHECK_EQ(vfs_sync_file_range(m->file, (s64)pos, (s64)len,
				     (u32)prng_below(rnd, 8)),
		 0);
}

static void op_invalidate(struct model *m, struct prng *rnd)
{
	u64 first = prng_below(rnd, 300), last = first + prng_below(rnd, 50);
	struct address_space *map = m->inode->i_mapping;

	if (prng_one_in(rnd, 2)) {
		(void)invalidate_mapping_pages(map, first, last);
		return;
	}
	CHECK_EQ(filemap_write_and_wait_range(map, first << PAGE_SHIFT,
					      ((last + 1) << PAGE_SHIFT) - 1),
		 0);
	/* The daemons may hold a page for a moment. */
	(void)invalidate_inode_pages2_range(map, first, last);
}

/* What a fault does: the page, locked, is up to date; a store makes it dirty.
 */
static void op_fault(struct model *m, struct prng *rnd)
{
	struct filemap_fault ff = {.file = m->file,
				   .pgoff = prng_below(rnd, 310),
				   .random = prng_one_in(rnd, 3),
				   .sequential = prng_one_in(rnd, 3)};
	u64 start = ff.pgoff << PAGE_SHIFT, off, n;
	u8 *view;

	if (start >= m->size) {
		CHECK_EQ(filemap_fault_page(&ff), -EFAULT);
		return;
	}
	CHECK_EQ(filemap_fault_page(&ff), 0);
	CHECK(PageLocked(ff.page) && PageUptodate(ff.page));
	n = min(PAGE_SIZE, m->size - start);
	view = page_map(ff.page);
	CHECK(!memcmp(view, m->bytes + start, n));
	if (prng_one_in(rnd, 2)) {
		off = prng_below(rnd, PAGE_SIZE);
		view[off] = (u8)prng_u32(rnd);
		/* Behind the end nothing is kept. */
		if (off < n)
			m->bytes[start + off] = view[off];
		(void)set_page_dirty(ff.page);
	}
	page_unmap(ff.page, view);
	unlock_page(ff.page);
	put_page(ff.page);
}

/* Somebody takes most of memory for a while. */
static void op_pressure(struct model *m, struct prng *rnd)
{
	u64 n = prng_below(rnd, nr_free_pages() + 400);
	struct page_list held;
	struct page *page;

	(void)m;
	page_list_init(&held);
	while (n--) {
		page = alloc_pages(GFP_HIGHUSER | __GFP_NORETRY | __GFP_NOWARN,
				   0);
		if (!page)
			break;
		page_list_add(&held, page);
	}
	while ((page = page_list_pop(&held)))
		put_page(page);
}

static void op_drop(struct model *m, struct prng *rnd)
{
	(void)m;
	(void)rnd;
	CHECK_EQ(mm_sysctl_set("vm.drop_caches",
			       prng_one_in(rnd, 2) ? "1" : "3"),
		 0);
}

static void op_syncfs(struct model *m, struct prng *rnd)
{
	(void)rnd;
	CHECK_EQ(vfs_syncfs(m->file), 0);
	for (int i = 0; i < FILES; i++)
		disk_equals(&files[i]);
}

static void op_idle(struct model *m, struct prng *rnd)
{
	(void)m;
	port_park(prng_below(rnd, 8) * 1000000000UL + 1000);
}

/* The whole contents again, after writes were lost. */
static void rewrite(struct model *m)
{
	u64 at = 0;

	if (m->size)
		CHECK_EQ(kernel_write(m->file, m->bytes, m->size, &at),
			 m->size);
}

/* Writes fail: each of two files is told once, and the data can be saved. */
static void op_write_error(struct model *m, struct prng *rnd)
{
	struct sim_disk_fault rule = {.writes = true,
				      .times = 1 + prng_below(rnd, 3),
				      .error = prng_one_in(rnd, 2) ? -EIO
								   : -ENOSPC};
	u64 at = 0;
	int err;

	if (!m->size)
		return;
	CHECK_EQ(vfs_fsync_range(m->file, 0, INT64_MAX, false), 0);
	sim_disk_fail(m->disk, &rule);
	CHECK_EQ(kernel_write(m->file, m->bytes, 1, &at), 1);
	err = vfs_fsync_range(m->file, 0, INT64_MAX, false);
	CHECK_EQ(err, rule.error);
	CHECK_EQ(vfs_fsync_range(m->file, 0, INT64_MAX, false), 0);
	CHECK_EQ(file_check_and_advance_wb_err(m->other), rule.error);
	CHECK_EQ(file_check_and_advance_wb_err(m->other), 0);
	/* The page is clean, its contents are still there; saved once more. */
	sim_disk_fail(m->disk, NULL);
	rewrite(m);
	/* Each open file of the file system hears of it by syncfs once. */
	for (int i = 0; i < FILES; i++)
		CHECK_EQ(vfs_syncfs(files[i].file), rule.error);
	op_fsync(m, rnd);
}

static void op_read_error(struct model *m, struct prng *rnd)
{
	struct sim_disk_fault rule = {.reads = true, .error = -EIO};
	u64 at = 0;

	if (!m->size)
		return;
	op_fsync(m, rnd);
	(void)invalidate_inode_pages2_range(m->inode->i_mapping, 0, ~0UL);
	if (filemap_range_has_page(m->inode->i_mapping, 0, 0))
		return;
	sim_disk_fail(m->disk, &rule);
	CHECK_EQ(kernel_read(m->file, buf, 10, &at), -EIO);
	CHECK_EQ(at, 0);
	/* A write into the page needs what was there. */
	if (m->size > 20)
		CHECK_EQ(kernel_write(m->file, buf, 10, &at), -EIO);
	sim_disk_fail(m->disk, NULL);
	CHECK_EQ(kernel_read(m->file, buf, 10, &at), min(10UL, m->size));
	CHECK(!memcmp(buf, m->bytes, min(10UL, m->size)));
}

/* The device cannot grow: nothing is written, nothing is longer. */
static void op_no_space(struct model *m, struct prng *rnd)
{
	struct sim_disk_fault rule = {.resizes = true, .error = -ENOSPC};
	u64 at = m->size;

	(void)rnd;
	if (m->size >= MAX_BYTES - PAGE_SIZE)
		return;
	sim_disk_fail(m->disk, &rule);
	CHECK_EQ(kernel_write(m->file, buf, 100, &at), -ENOSPC);
	CHECK_EQ(at, m->size);
	CHECK_EQ(vfs_truncate(m->inode, m->size + 1), -ENOSPC);
	CHECK_EQ(i_size_read(m->inode), m->size);
	sim_disk_fail(m->disk, NULL);
}

static const struct {
	void (*fn)(struct model *m, struct prng *rnd);
	u32 weight;
} ops[] = {
	{op_write, 30},	    {op_read, 30},	 {op_scan, 4},
	{op_truncate, 6},   {op_punch, 8},	 {op_advise, 8},
	{op_sync_range, 6}, {op_invalidate, 8},	 {op_fault, 30},
	{op_pressure, 4},   {op_drop, 2},	 {op_syncfs, 2},
	{op_idle, 3},	    {op_write_error, 1}, {op_read_error, 1},
	{op_fsync, 6},	    {op_no_space, 1},
};

static void step(struct prng *rnd)
{
	struct model *m = &files[prng_below(rnd, FILES)];
	u32 sum = 0, at;

	for (size_t i = 0; i < ARRAY_SIZE(ops); i++)
		sum += ops[i].weight;
	at = (u32)prng_below(rnd, sum);
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		if (at < ops[i].weight) {
			snprintf(tm_context, sizeof(tm_context),
				 "op %zu file %d", i, (int)(m - files));
			ops[i].fn(m, rnd);
			return;
		}
		at -= ops[i].weight;
	}
}

static int model_body(void *arg)
{
	struct prng *rnd = arg;
	u64 iters = test_iters(1500);

	sb = (struct super_block){
		.s_dev = 0x801, .s_id = "flat", .s_maxbytes = MAX_LFS_FILESIZE};
	for (u64 i = 0; i < FILES; i++)
		model_open(&files[i], i + 1);
	for (u64 i = 0; i < iters; i++) {
		step(rnd);
		if (i % 64 == 0)
			for (int f = 0; f < FILES; f++)
				mapping_check(files[f].inode->i_mapping);
	}
	for (int i = 0; i < FILES; i++)
		op_fsync(&files[i], rnd);
	port_park(2000000000UL);
	filemap_check();
	tm_audit();
	CHECK_EQ(global_node_page_state(NR_FILE_DIRTY), 0);
	CHECK_EQ(global_node_page_state(NR_WRITEBACK), 0);
	/* The run met what it is about. */
	fprintf(stderr, "  refaults %llu steals %llu read %llu written %llu\n",
		(unsigned long long)global_node_page_state(
			WORKINGSET_REFAULT_FILE),
		(unsigned long long)sum_vm_event(PGSTEAL_FILE),
		(unsigned long long)sum_vm_event(PGPGIN),
		(unsigned long long)global_node_page_state(NR_WRITTEN));
	CHECK(iters < 1000 || sum_vm_event(PGSTEAL_FILE) > 0);
	CHECK(iters < 1000 ||
	      global_node_page_state(WORKINGSET_REFAULT_FILE) > 0);
	for (int i = 0; i < FILES; i++)
		model_close(&files[i]);
	CHECK_EQ(cache_sys.fm.nr_inodes, 0);
	CHECK_EQ(global_node_page_state(NR_FILE_PAGES), 0);
	filemap_check();
	return 0;
}

static void model_runs(void **state)
{
	u64 seed = test_env("SEED", 1), rounds = tm_soak() ? 100 : 4;

	(void)state;
	for (u64 i = 0; i < rounds; i++) {
		struct prng rnd;

		fprintf(stderr, "model: SEED=%llu\n",
			(unsigned long long)(seed + i));
		prng_seed(&rnd, seed + i);
		/* Little memory, so that much of the files does not fit. */
		TM_RUN(model_body, .arg = &rnd, .seed = seed + i,
		       .mem = i % 2 ? 12UL << 20 : 6UL << 20, .cpus = 2,
		       .nodes = i % 4 == 3 ? 2 : 1, .explore = i % 3 == 2);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(model_runs)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
