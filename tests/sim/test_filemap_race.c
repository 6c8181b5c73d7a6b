/* SPDX-License-Identifier: MIT */
/*
 * Explored schedules of several threads at one file (filemap_race.h), with
 * little memory and the daemons at work; and every allocation of every call
 * failing in turn.
 */
#include "sim_machine.h"

#include "base/fail.h"
#include "filemap_race.h"

static int race_body(void *arg)
{
	struct race *r = arg;
	struct port_thread *t[RACE_THREADS];
	struct port_bdev *disk = tm_disk(1);

	CHECK_EQ(port_bdev_resize(disk, 0), 0);
	race_begin(r, disk);
	for (int i = 0; i < RACE_THREADS; i++)
		CHECK_EQ(port_thread_start(&t[i], "race", -1, race_thread, r),
			 0);
	for (int i = 0; i < RACE_THREADS; i++)
		port_thread_join(t[i]);
	CHECK(r->reads && r->writes && r->others);
	race_end(r);
	CHECK_EQ(cache_sys.fm.nr_inodes, 0);
	filemap_check();
	return 0;
}

static void schedules(void **state)
{
	u64 seed = test_env("SEED", 1), n = test_iters(tm_soak() ? 10000 : 40);

	(void)state;
	for (u64 i = 0; i < n; i++) {
		struct race r = {.seed = seed + i, .iters = 25};

		snprintf(tm_context, sizeof(tm_context), "schedule %llu",
			 (unsigned long long)i);
		TM_RUN(race_body, .arg = &r, .seed = seed + i, .cpus = 3,
		       .explore = true, .mem = 5UL << 20);
	}
	fprintf(stderr, "race: SEED=%llu, %llu schedules\n",
		(unsigned long long)seed, (unsigned long long)n);
}

/* ---- every allocation fails ------------------------------------------------
 */

static struct super_block sb;
static char data[40 * PAGE_SIZE];

static s64 try_write(struct file *file)
{
	u64 at = 3 * PAGE_SIZE + 5;

	return kernel_write(file, data, 9 * PAGE_SIZE, &at);
}

static s64 try_read(struct file *file)
{
	static char got[10 * PAGE_SIZE];
	u64 at = PAGE_SIZE + 3;
	s64 n = kernel_read(file, got, sizeof(got), &at);

	/* What was read is right, however much it was. */
	for (s64 i = 0; i < n; i++)
		CHECK_EQ(got[i], data[PAGE_SIZE + 3 + i]);
	return n == (s64)sizeof(got) || n < 0 ? n : -ENOMEM;
}

static s64 try_fault(struct file *file)
{
	struct filemap_fault ff = {.file = file, .pgoff = 7};
	int err = filemap_fault_page(&ff);

	if (err)
		return err;
	CHECK(!memcmp(page_view(ff.page), data + 7 * PAGE_SIZE, PAGE_SIZE));
	unlock_page(ff.page);
	put_page(ff.page);
	return 0;
}

static s64 try_punch(struct file *file)
{
	return file->f_op->fallocate(file,
				     FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				     5000, 5 * PAGE_SIZE);
}

static s64 try_open(struct file *file)
{
	struct file *f = file_open(file->f_inode, FMODE_READ, 0, "/b");

	if (!f)
		return -ENOMEM;
	fput(f);
	return 0;
}

/* Write-back needs no memory: it succeeds whatever fails. */
static s64 try_fsync(struct file *file)
{
	u64 at = 0;
	s64 n = kernel_write(file, data, 1, &at);

	if (n < 0)
		return n;
	CHECK_EQ(vfs_fsync_range(file, 0, INT64_MAX, false), 0);
	return 0;
}

static s64 (*const tries[])(struct file *file) = {
	try_open, try_read, try_fault, try_write, try_fsync, try_punch};

static void restore(struct file *file)
{
	u64 at = 0;

	CHECK_EQ(kernel_write(file, data, sizeof(data), &at), sizeof(data));
	CHECK_EQ(vfs_fsync_range(file, 0, INT64_MAX, false), 0);
	lru_add_drain_all();
	CHECK_EQ(invalidate_inode_pages2_range(file->f_mapping, 0, ~0UL), 0);
	(void)mapping_drop_shadows(file->f_mapping, 0, ~0UL);
	for (u32 i = 0; i < 2; i++)
		kmem_cache_shrink(cache_sys.node_cache);
}

static int fail_body(void *arg)
{
	struct port_bdev *disk = tm_disk(1);
	u64 fired = 0, refused = 0;
	struct inode *inode;
	struct file *file;

	(void)arg;
	sb = (struct super_block){.s_id = "fail",
				  .s_maxbytes = MAX_LFS_FILESIZE};
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)(i * 7 + i / 4096);
	CHECK_EQ(port_bdev_resize(disk, 0), 0);
	CHECK_EQ(flatfile_new(&sb, disk, 1, S_IFREG, &inode), 0);
	file = file_open(inode, FMODE_READ | FMODE_WRITE, 0, "/f");
	for (size_t t = 0; t < ARRAY_SIZE(tries); t++) {
		for (u64 n = 1;; n++) {
			struct fail_result r;
			s64 ret;

			restore(file);
			fail_arm_nth(FAIL_ALL, n / 2 + 1, n % 2);
			fail_only_task(port_current());
			ret = tries[t](file);
			r = fail_disarm();
			CHECK(ret >= 0 || ret == -ENOMEM);
			refused += ret < 0;
			fired += r.fired;
			CHECK_EQ(vfs_fsync_range(file, 0, INT64_MAX, false), 0);
			mapping_check(inode->i_mapping);
			/* With memory it works. */
			CHECK(tries[t](file) >= 0);
			if (!r.fired)
				break;
		}
	}
	CHECK(fired > 50 && refused > 10);
	fput(file);
	iput(inode);
	return 0;
}

static void every_allocation_fails(void **state)
{
	(void)state;
	TM_RUN(fail_body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_allocation_fails),
		cmocka_unit_test(schedules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
