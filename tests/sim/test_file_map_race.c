/* SPDX-License-Identifier: MIT */
/*
 * Explored schedules of threads at one mapped file (file_map_race.h), with
 * little memory and the daemons at work; and each allocation of each step
 * failing in turn.
 */
#include "sim_machine.h"

#include "base/fail.h"
#include "space/fault.h"

#define FMR_LOAD(to, va, len)	 sim_copy_from_user(to, va, len)
#define FMR_STORE(va, from, len) sim_copy_to_user(va, from, len)
#include "file_map_race.h"

static int race_body(void *arg)
{
	struct fmr *r = arg;
	struct port_thread *t[FMR_THREADS];
	struct port_bdev *disk = tm_disk(1);

	CHECK_EQ(port_bdev_resize(disk, 0), 0);
	fmr_begin(r, disk);
	for (int i = 0; i < FMR_THREADS; i++)
		CHECK_EQ(port_thread_start(&t[i], "race", -1, fmr_thread, r),
			 0);
	for (int i = 0; i < FMR_THREADS; i++)
		port_thread_join(t[i]);
	fmr_end(r);
	CHECK_EQ(cache_sys.fm.nr_inodes, 0);
	filemap_check();
	return 0;
}

static void schedules(void **state)
{
	u64 seed = test_env("SEED", 1), n = test_iters(tm_soak() ? 10000 : 40);
	u64 signals = 0;

	(void)state;
	for (u64 i = 0; i < n; i++) {
		struct fmr r = {
			.seed = seed + i, .iters = 40, .memory = i % 4 == 3};

		snprintf(tm_context, sizeof(tm_context), "schedule %llu",
			 (unsigned long long)i);
		TM_RUN(race_body, .arg = &r, .seed = seed + i, .cpus = 3,
		       .explore = true, .stall = i / 2 % 2 * 32,
		       .swap_pages = 2048, .mem = (i % 2 ? 5UL : 8UL) << 20);
		signals += r.signals;
	}
	fprintf(stderr, "race: SEED=%llu, %llu schedules, %llu signals\n",
		(unsigned long long)seed, (unsigned long long)n,
		(unsigned long long)signals);
	/* One in a thousand schedules meets no end of the file. */
	assert_true(n < 10 || signals > n);
}

/* ---- every allocation fails ------------------------------------------------
 */

struct failing {
	struct mm_struct *mm;
	struct file *file;
	uva_t shared, priv;
};

static s64 map_it(struct failing *f, int flags)
{
	const struct mm_mmap r = {.len = 40 * PAGE_SIZE,
				  .prot = PROT_READ | PROT_WRITE,
				  .flags = flags,
				  .file = f->file};

	return do_mmap_file(f->mm, &r);
}

static s64 try_map(struct failing *f)
{
	s64 at = map_it(f, MAP_SHARED);

	if (at > 0)
		CHECK_EQ(do_munmap(f->mm, (uva_t)at, 40 * PAGE_SIZE), 0);
	return at;
}

/* A touch without memory is repeated for ever; ask the step below it. */
static s64 touch(struct failing *f, uva_t va, u32 flags)
{
	vm_fault_t ret;

	mmap_read_lock(f->mm);
	ret = handle_mm_fault(find_vma(f->mm, va), va, flags);
	mmap_read_unlock(f->mm);
	if (ret & VM_FAULT_OOM)
		return -ENOMEM;
	/* The page was wanted twice, the second read had no memory either. */
	return ret & VM_FAULT_ERROR ? -EIO : 0;
}

static s64 try_read(struct failing *f)
{
	return touch(f, f->shared + 5 * PAGE_SIZE, 0);
}

static s64 try_shared(struct failing *f)
{
	return touch(f, f->shared + 6 * PAGE_SIZE, FAULT_FLAG_WRITE);
}

static s64 try_cow(struct failing *f)
{
	return touch(f, f->priv + 7 * PAGE_SIZE, FAULT_FLAG_WRITE);
}

static s64 try_fork(struct failing *f)
{
	struct mm_struct *child;
	int err = mm_fork(f->mm, &child);

	if (!err)
		mm_put(child);
	return err;
}

static s64 try_split(struct failing *f)
{
	int err =
		do_mprotect(f->mm, f->shared + PAGE_SIZE, PAGE_SIZE, PROT_READ);

	if (!err)
		err = do_mprotect(f->mm, f->shared + PAGE_SIZE, PAGE_SIZE,
				  PROT_READ | PROT_WRITE);
	return err;
}

static s64 try_move(struct failing *f)
{
	s64 at = do_mremap(f->mm, f->shared, 9 * PAGE_SIZE, 9 * PAGE_SIZE,
			   MREMAP_MAYMOVE | MREMAP_FIXED, FMR_SCRATCH);

	if (at < 0)
		return at;
	return do_mremap(f->mm, FMR_SCRATCH, 9 * PAGE_SIZE, 9 * PAGE_SIZE,
			 MREMAP_MAYMOVE | MREMAP_FIXED, f->shared);
}

static s64 (*const tries[])(struct failing *f) = {
	try_map, try_read, try_shared, try_cow, try_fork, try_split, try_move};

/* A space of its own for each attempt: nothing is there from the last. */
static void attempt(struct file *file, size_t t, u64 n, struct fail_result *r)
{
	struct failing f = {.mm = tm_mm(), .file = file};
	s64 ret;

	tm_use(f.mm);
	f.shared = (uva_t)map_it(&f, MAP_SHARED);
	f.priv = (uva_t)map_it(&f, MAP_PRIVATE);
	CHECK((s64)f.shared > 0 && (s64)f.priv > 0);
	tm_load(f.shared);
	tm_store(f.priv + PAGE_SIZE, 1);
	fail_arm_nth(FAIL_ALL, n / 2 + 1, n % 2);
	fail_only_task(port_current());
	ret = tries[t](&f);
	*r = fail_disarm();
	CHECK(ret >= 0 || ret == -ENOMEM || ret == -EIO);
	CHECK(ret >= 0 || r->fired);
	mm_check(f.mm);
	mapping_check(file->f_mapping);
	/* What failed at its second half is where it was left. */
	if (ret < 0 && t != 5 && t != 6)
		CHECK(tries[t](&f) >= 0);
	tm_use(NULL);
	mm_put(f.mm);
	CHECK_EQ(file->f_count, 1);
	CHECK_EQ(vfs_fsync_range(file, 0, INT64_MAX, false), 0);
	lru_add_drain_all();
	CHECK_EQ(invalidate_inode_pages2_range(file->f_mapping, 0, ~0UL), 0);
}

static int fail_body(void *arg)
{
	struct super_block sb = {.s_id = "fail",
				 .s_maxbytes = MAX_LFS_FILESIZE};
	struct port_bdev *disk = tm_disk(1);
	struct fail_result r = {0};
	struct inode *inode;
	struct file *file;
	u64 fired = 0;

	(void)arg;
	CHECK_EQ(port_bdev_resize(disk, 0), 0);
	CHECK_EQ(flatfile_new(&sb, disk, 1, S_IFREG, &inode), 0);
	file = file_open(inode, FMODE_READ | FMODE_WRITE, 0, "/f");
	CHECK(file);
	iput(inode);
	CHECK_EQ(vfs_truncate(inode, 40 * PAGE_SIZE), 0);
	for (size_t t = 0; t < ARRAY_SIZE(tries); t++) {
		u64 n = 1;

		do {
			attempt(file, t, n++, &r);
			fired += r.fired;
		} while (r.fired);
	}
	CHECK(fired > 30);
	fput(file);
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
