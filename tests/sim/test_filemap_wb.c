/* SPDX-License-Identifier: MIT */
/*
 * Dirty pages: when the flusher writes them and who has to wait; what failed
 * writes tell whom; synchronous and appending writes; what a replaced, dropped
 * or invalidated page leaves behind.
 */
#include "filemap_machine.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mmkit/flatfile.h>
#include <mmkit/sysctl.h>

#include "base/trace_ring.h"
#include "policy/policy.h"
#include "trace_ears.h"

#define SEC 1000000000UL

static char buf[64 * PAGE_SIZE];

static struct file *open_rw(struct fm_inode *fi, u32 flags)
{
	struct file *file =
		file_open(&fi->inode, FMODE_READ | FMODE_WRITE, flags, "/wb");

	CHECK(file);
	return file;
}

/* Write NR pages of C at page INDEX. */
static s64 write_at(struct file *file, u64 index, u64 nr, int c)
{
	u64 pos = index << PAGE_SHIFT;

	memset(buf, c, nr << PAGE_SHIFT);
	return kernel_write(file, buf, nr << PAGE_SHIFT, &pos);
}

static void write_ok(struct file *file, u64 index, u64 nr)
{
	CHECK_EQ(write_at(file, index, nr, 'w'), nr << PAGE_SHIFT);
}

static int fsync_all(struct file *file)
{
	return vfs_fsync_range(file, 0, INT64_MAX, false);
}

static u64 nr_dirty(void)
{
	return global_node_page_state(NR_FILE_DIRTY);
}

static void sysctl(const char *name, const char *value)
{
	CHECK_EQ(mm_sysctl_set(name, value), 0);
}

/* ---- thresholds ------------------------------------------------------------
 */

static void curve(void **state)
{
	u64 last = ~0UL;

	(void)state;
	assert_int_equal(dirty_pos_ratio(1500, 1000, 2000), 1024);
	assert_int_equal(dirty_pos_ratio(1000, 1000, 2000), 2048);
	assert_int_equal(dirty_pos_ratio(0, 1000, 2000), 2048);
	assert_int_equal(dirty_pos_ratio(2000, 1000, 2000), 0);
	assert_int_equal(dirty_pos_ratio(9999, 1000, 2000), 0);
	/* Half way to the limit: an eighth less, the cube. */
	assert_int_equal(dirty_pos_ratio(1750, 1000, 2000), 1024 - 128);
	for (u64 d = 1000; d < 2000; d++) {
		u64 r = dirty_pos_ratio(d, 1000, 2000);

		assert_true(r <= last);
		last = r;
	}
	assert_int_equal(dirty_pos_ratio(5, 10, 10), 0);
}

static int limits_body(void *arg)
{
	u64 bg, dirty, bg2, dirty2;
	struct seq_buf out;

	(void)arg;
	sysctl("vm.dirty_background_ratio", "10");
	sysctl("vm.dirty_ratio", "20");
	global_dirty_limits(&bg, &dirty);
	CHECK(bg > 0 && dirty >= 2 * bg - 1 && dirty <= 2 * bg + 2);
	sysctl("vm.dirty_ratio", "40");
	global_dirty_limits(&bg2, &dirty2);
	CHECK(bg2 == bg && dirty2 >= 2 * dirty - 1);
	/* Bytes replace percents, and the other way round. */
	sysctl("vm.dirty_bytes", "409601");
	sysctl("vm.dirty_background_bytes", "40960");
	global_dirty_limits(&bg, &dirty);
	CHECK(bg == 10 && dirty == 101);
	CHECK_EQ(cache_sys.fm.flush.dirty_ratio, 0);
	sysctl("vm.dirty_ratio", "40");
	global_dirty_limits(&bg, &dirty);
	CHECK(bg == 10 && dirty >= dirty2 - 1 && dirty <= dirty2 + 1);
	/* /proc/vmstat knows them. */
	sysctl("vm.dirty_bytes", "409601");
	seq_buf_init(&out, buf, sizeof(buf));
	CHECK_EQ(mm_show("/proc/vmstat", &out), 0);
	CHECK(strstr(buf, "\nnr_dirty_threshold 101\n"));
	CHECK(strstr(buf, "\nnr_dirty_background_threshold 10\n"));
	/* The background's is never the higher one. */
	sysctl("vm.dirty_bytes", "40960");
	sysctl("vm.dirty_background_bytes", "4096000");
	global_dirty_limits(&bg, &dirty);
	CHECK(bg == 5 && dirty == 10);
	return 0;
}

static void limits(void **state)
{
	(void)state;
	TM_RUN(limits_body);
}

/* Few dirty pages stay where they are; many are written without a wish. */
static int background_body(void *arg)
{
	struct fm_inode *fi = fm_inode_new(500);
	struct file *file = open_rw(fi, 0);

	(void)arg;
	sysctl("vm.dirty_background_bytes", "409600");
	sysctl("vm.dirty_bytes", "4096000");
	for (u64 i = 0; i < 99; i++)
		write_ok(file, i, 1);
	port_park(2 * SEC);
	CHECK(nr_dirty() == 99 && fi->writes == 0);
	for (u64 i = 99; i < 200; i++)
		write_ok(file, i, 1);
	port_park(2 * SEC);
	CHECK(nr_dirty() <= 100 && fi->writes >= 100);
	/* Nobody had to wait for it. */
	CHECK_EQ(cache_sys.fm.flush.pauses, 0);
	CHECK_EQ(fsync_all(file), 0);
	CHECK_EQ(nr_dirty(), 0);
	fput(file);
	fm_inode_drop(fi);
	return 0;
}

static void background(void **state)
{
	(void)state;
	TM_RUN(background_body);
}

/* A writer that is faster than the disk is kept at the limit. */
static int limit_body(void *arg)
{
	bool alone = *(bool *)arg;
	struct fm_inode *fi = fm_inode_new(2000);
	struct file *file = open_rw(fi, 0);
	u64 begin, most = 0;

	fi->delay_ns = 1000 * 1000;		       /* 1000 pages a second */
	sysctl("vm.dirty_background_bytes", "131072"); /* 32 pages */
	sysctl("vm.dirty_bytes", "524288");	       /* 128 */
	/* Without a flusher who has to wait does the work. */
	if (alone) {
		WRITE_ONCE(policy_sys.stop, true);
		wakeup_flusher_threads();
		port_park(SEC);
		WRITE_ONCE(cache_sys.fm.flush.running, false);
	}
	begin = port_now_ns();
	for (u64 i = 0; i < 1500; i++) {
		write_ok(file, i, 1);
		most = max(most,
			   nr_dirty() + global_node_page_state(NR_WRITEBACK));
	}
	CHECK(most > 64 && most <= 128 + 32);
	CHECK(cache_sys.fm.flush.pauses > 0);
	CHECK(fi->writes >= 1500 - most);
	/* No faster than the disk. */
	CHECK(port_now_ns() - begin >= (1500 - most) * 1000 * 1000);
	CHECK_EQ(fsync_all(file), 0);
	fput(file);
	fm_inode_drop(fi);
	return 0;
}

static void limit(void **state)
{
	bool alone = false;

	(void)state;
	TM_RUN(limit_body, .arg = &alone, .cpus = 2);
	alone = true;
	TM_RUN(limit_body, .arg = &alone, .cpus = 2);
}

/* ---- age and order ---------------------------------------------------------
 */

static int expire_body(void *arg)
{
	struct fm_inode *a = fm_inode_new(4), *b = fm_inode_new(4);
	struct file *fa = open_rw(a, 0), *fb = open_rw(b, 0);

	(void)arg;
	sysctl("vm.dirty_writeback_centisecs", "100");
	sysctl("vm.dirty_expire_centisecs", "1000");
	port_park(6 * SEC); /* the daemon sees the new period */
	write_ok(fa, 0, 1);
	port_park(5 * SEC);
	write_ok(fb, 0, 1);
	/* A later write does not make it younger. */
	write_ok(fa, 1, 1);
	port_park(4 * SEC);
	CHECK(a->writes == 0 && b->writes == 0);
	port_park(3 * SEC);
	CHECK(a->writes == 2 && b->writes == 0);
	port_park(1 * SEC);
	CHECK_EQ(b->writes, 0);
	port_park(4 * SEC);
	CHECK(a->writes == 2 && b->writes == 1);
	CHECK(list_empty(&cache_sys.fm.dirty));
	/* Off means off. */
	sysctl("vm.dirty_writeback_centisecs", "0");
	port_park(2 * SEC);
	write_ok(fa, 0, 1);
	port_park(60 * SEC);
	CHECK_EQ(a->writes, 2);
	/* But who asks is served. */
	wakeup_flusher_threads();
	port_park(SEC);
	CHECK_EQ(a->writes, 3);
	fput(fa);
	fput(fb);
	fm_inode_drop(a);
	fm_inode_drop(b);
	return 0;
}

static void expire(void **state)
{
	(void)state;
	TM_RUN(expire_body);
}

/* The oldest first, a slice of each in turn. */
static int turns_body(void *arg)
{
	struct fm_inode *a = fm_inode_new(1100), *b = fm_inode_new(4);
	struct file *fa = open_rw(a, 0), *fb = open_rw(b, 0);
	struct writeback_control wbc = {.nr_to_write = 1025,
					.range_cyclic = true};
	u64 between;

	(void)arg;
	sysctl("vm.dirty_background_ratio", "80");
	sysctl("vm.dirty_ratio", "90");
	for (u64 i = 0; i < 1100; i += 50)
		write_ok(fa, i, 50);
	between = port_now_ns();
	port_charge_ns(1000);
	write_ok(fb, 0, 2);
	CHECK_EQ(writeback_inodes(&wbc, ~0UL), 1025);
	CHECK(a->writes == 1024 && b->writes == 1);
	/* What is left of the second goes on where it stopped. */
	wbc.nr_to_write = 2000;
	CHECK_EQ(writeback_inodes(&wbc, 0), 0);
	CHECK(between > 0);
	CHECK_EQ(writeback_inodes(&wbc, ~0UL), 77);
	CHECK(a->writes == 1100 && b->writes == 2 && nr_dirty() == 0);
	filemap_check();
	fput(fa);
	fput(fb);
	fm_inode_drop(a);
	fm_inode_drop(b);
	return 0;
}

static void turns(void **state)
{
	(void)state;
	TM_RUN(turns_body, .mem = 32UL << 20);
}

/* ---- errors ----------------------------------------------------------------
 */

/* One write fails with ERR: who is told what. */
static void one_error(int err)
{
	struct fm_inode *fi = fm_inode_new(8);
	struct file *a = open_rw(fi, 0), *b = open_rw(fi, 0), *c, *d;
	struct page *page;

	fi->error = err;
	fi->fail_write = 1;
	CHECK_EQ(write_at(a, 3, 1, 'n'), PAGE_SIZE);
	CHECK_EQ(filemap_fdatawrite_range(fi->inode.i_mapping, 0, INT64_MAX,
					  WB_SYNC_ALL),
		 0);
	/* Clean, and the data are in memory still; not on the disk. */
	page = find_get_page(fi->inode.i_mapping, 3);
	CHECK(page && !PageDirty(page) && PageUptodate(page));
	CHECK(((char *)page_view(page))[7] == 'n');
	put_page(page);
	CHECK(fi->store[3 * PAGE_SIZE] == 0 && nr_dirty() == 0);
	/* Opened before anybody was told: it is told as well. */
	c = open_rw(fi, 0);
	CHECK_EQ(fsync_all(a), err);
	CHECK_EQ(fsync_all(a), 0);
	d = open_rw(fi, 0);
	CHECK_EQ(fsync_all(d), 0);
	CHECK_EQ(fsync_all(b), err);
	CHECK_EQ(fsync_all(b), 0);
	CHECK_EQ(fsync_all(c), err);
	CHECK_EQ(fsync_all(c), 0);
	/* The file system has a memory of its own. */
	CHECK_EQ(vfs_syncfs(a), err);
	CHECK_EQ(vfs_syncfs(a), 0);
	CHECK_EQ(vfs_syncfs(b), err);
	CHECK_EQ(vfs_syncfs(b), 0);
	/* Written again, it is saved. */
	CHECK_EQ(write_at(a, 3, 1, 'o'), PAGE_SIZE);
	CHECK_EQ(fsync_all(a), 0);
	CHECK_EQ(fi->store[3 * PAGE_SIZE], 'o');
	/* The next failure is new for all. */
	fi->fail_write = 1;
	CHECK_EQ(write_at(a, 4, 1, 'p'), PAGE_SIZE);
	CHECK_EQ(fsync_all(d), err);
	CHECK_EQ(fsync_all(a), err);
	CHECK_EQ(fsync_all(b), err);
	fput(a);
	fput(b);
	fput(c);
	fput(d);
	fm_inode_drop(fi);
}

static int errors_body(void *arg)
{
	struct fm_inode *fi, *other;
	struct address_space *m;
	struct file *file, *of;

	(void)arg;
	one_error(-EIO);
	one_error(-ENOSPC);
	/* Two files of one file system; the flags for who has no file. */
	fi = fm_inode_new(8);
	other = fm_inode_new(8);
	m = fi->inode.i_mapping;
	file = open_rw(fi, 0);
	of = open_rw(other, 0);
	mapping_set_error(m, 0);
	CHECK_EQ(filemap_check_errors(m), 0);
	mapping_set_error(m, -ENOSPC);
	CHECK_EQ(filemap_check_errors(m), -ENOSPC);
	CHECK_EQ(filemap_check_errors(m), 0);
	mapping_set_error(m, -EIO);
	mapping_set_error(m, -ENOSPC);
	CHECK_EQ(filemap_check_errors(m), -EIO);
	CHECK_EQ(filemap_check_errors(m), 0);
	CHECK_EQ(fsync_all(of), 0);
	CHECK_EQ(vfs_syncfs(of), -ENOSPC);
	CHECK_EQ(fsync_all(file), -ENOSPC);
	/* To be told by one way is to be told by the other. */
	mapping_set_error(m, -EIO);
	CHECK_EQ(fsync_all(file), -EIO);
	CHECK_EQ(filemap_check_errors(m), 0);
	/* Writes that the flusher made fail the next fsync. */
	fi->fail_write = 2;
	write_ok(file, 0, 3);
	wakeup_flusher_threads();
	port_park(SEC);
	CHECK_EQ(fi->writes, 3);
	CHECK_EQ(filemap_write_and_wait_range(m, 0, INT64_MAX), -EIO);
	CHECK_EQ(filemap_write_and_wait_range(m, 0, INT64_MAX), 0);
	CHECK_EQ(fsync_all(file), -EIO);
	CHECK_EQ(fsync_all(file), 0);
	fput(file);
	fput(of);
	fm_inode_drop(fi);
	fm_inode_drop(other);
	return 0;
}

static void errors(void **state)
{
	(void)state;
	TM_RUN(errors_body);
}

static int range_body(void *arg)
{
	struct fm_inode *fi = fm_inode_new(16);
	struct file *file = open_rw(fi, 0);

	(void)arg;
	CHECK_EQ(vfs_sync_file_range(file, 0, 0, 8), -EINVAL);
	CHECK_EQ(vfs_sync_file_range(file, -1, 0, 2), -EINVAL);
	CHECK_EQ(vfs_sync_file_range(file, 0, -1, 2), -EINVAL);
	CHECK_EQ(vfs_sync_file_range(file, 2, INT64_MAX, 2), -EINVAL);
	write_ok(file, 0, 16);
	CHECK_EQ(vfs_sync_file_range(file, 0, 0, 0), 0);
	CHECK_EQ(vfs_sync_file_range(file, 0, 0,
				     SYNC_FILE_RANGE_WAIT_BEFORE |
					     SYNC_FILE_RANGE_WAIT_AFTER),
		 0);
	CHECK_EQ(fi->writes, 0);
	CHECK_EQ(vfs_sync_file_range(file, 2 * PAGE_SIZE + 1, 3 * PAGE_SIZE - 2,
				     SYNC_FILE_RANGE_WRITE),
		 0);
	CHECK_EQ(fi->writes, 3);
	CHECK_EQ(
		vfs_fsync_range(file, 14 * PAGE_SIZE, 15 * PAGE_SIZE - 1, true),
		0);
	CHECK(fi->writes == 4 && fi->store[14 * PAGE_SIZE] == 'w' &&
	      !fi->store[13 * PAGE_SIZE]);
	fi->fail_write = 1;
	CHECK_EQ(vfs_sync_file_range(file, 0, PAGE_SIZE,
				     SYNC_FILE_RANGE_WRITE |
					     SYNC_FILE_RANGE_WAIT_AFTER),
		 -EIO);
	CHECK_EQ(vfs_sync_file_range(file, 0, 0, 7), 0);
	CHECK(nr_dirty() == 0 && fi->writes == 16);
	fput(file);
	fm_inode_drop(fi);
	return 0;
}

static void sync_range(void **state)
{
	(void)state;
	TM_RUN(range_body);
}

/* ---- flags of open files ---------------------------------------------------
 */

static struct {
	u32 calls;
	u64 start, end;
	bool datasync;
} synced;

static int note_fsync(struct file *file, u64 start, u64 end, bool datasync)
{
	synced.calls++;
	synced.start = start;
	synced.end = end;
	synced.datasync = datasync;
	return generic_file_fsync(file, start, end, datasync);
}

static const struct file_operations sync_fops = {.fsync = note_fsync};

static int flags_body(void *arg)
{
	struct fm_inode *fi = fm_inode_new(0);
	struct file *a, *d, *s, *r;
	u64 pos = 0;

	(void)arg;
	fi->inode.i_fop = &sync_fops;
	a = open_rw(fi, O_APPEND);
	d = open_rw(fi, O_DSYNC);
	s = open_rw(fi, O_SYNC);
	r = file_open(&fi->inode, FMODE_READ, 0, "/r");
	/* Wherever the position is: behind the end, and it follows. */
	CHECK_EQ(kernel_write(a, "abc", 3, &pos), 3);
	CHECK_EQ(pos, 3);
	pos = 1;
	CHECK_EQ(kernel_write(a, "defg", 4, &pos), 4);
	CHECK(pos == 7 && i_size_read(&fi->inode) == 7);
	CHECK(synced.calls == 0 && nr_dirty() == 1);
	pos = 0;
	CHECK_EQ(kernel_read(r, buf, 100, &pos), 7);
	CHECK(!memcmp(buf, "abcdefg", 7) && pos == 7);
	CHECK_EQ(kernel_read(r, buf, 100, &pos), 0);
	/* Synchronous: of exactly what was written. */
	pos = 5;
	CHECK_EQ(kernel_write(d, "X", 1, &pos), 1);
	CHECK(synced.calls == 1 && synced.datasync);
	CHECK(synced.start == 5 && synced.end == 5 && nr_dirty() == 0);
	pos = 2 * PAGE_SIZE - 1;
	CHECK_EQ(kernel_write(s, "YZ", 2, &pos), 2);
	CHECK(synced.calls == 2 && !synced.datasync);
	CHECK(synced.start == 2 * PAGE_SIZE - 1 && synced.end == 2 * PAGE_SIZE);
	CHECK(nr_dirty() == 0 && pos == 2 * PAGE_SIZE + 1);
	/* Nothing written, nothing to sync; a failure is told. */
	CHECK_EQ(kernel_write(s, "", 0, &pos), 0);
	CHECK_EQ(synced.calls, 2);
	fi->fail_write = 1;
	pos = 0;
	CHECK_EQ(kernel_write(s, "Q", 1, &pos), -EIO);
	CHECK_EQ(pos, 0);
	CHECK_EQ(fsync_all(s), 0);
	CHECK_EQ(fsync_all(d), -EIO);
	/* Rights and ends. */
	CHECK_EQ(kernel_write(r, "Q", 1, &pos), -EBADF);
	r->f_mode = FMODE_WRITE;
	CHECK_EQ(kernel_read(r, buf, 1, &pos), -EBADF);
	pos = 1UL << 63;
	CHECK_EQ(kernel_write(a, "Q", 1, &pos), -EINVAL);
	CHECK_EQ(kernel_read(s, buf, 1, &pos), -EINVAL);
	pos = MAX_LFS_FILESIZE - 2;
	CHECK_EQ(kernel_write(d, "RST", 3, &pos), 2);
	CHECK_EQ(pos, MAX_LFS_FILESIZE);
	CHECK_EQ(kernel_write(d, "U", 1, &pos), -EFBIG);
	CHECK_EQ(i_size_read(&fi->inode), MAX_LFS_FILESIZE);
	fput(a);
	fput(d);
	fput(s);
	fput(r);
	fm_inode_drop(fi);
	return 0;
}

static void flags(void **state)
{
	(void)state;
	memset(&synced, 0, sizeof(synced));
	TM_RUN(flags_body);
}

/* A mapping stores C at OFF of page 0, perhaps behind the end. */
static void store_mapped(struct file *file, u32 off, char c)
{
	struct filemap_fault ff = {.file = file};

	CHECK_EQ(filemap_fault_page(&ff), 0);
	((char *)page_view(ff.page))[off] = c;
	(void)set_page_dirty(ff.page);
	unlock_page(ff.page);
	put_page(ff.page);
}

/* What is stored behind the end is not there when the file has grown. */
static int tail_body(void *arg)
{
	struct fm_inode *fi = fm_inode_new(1);
	struct file *file = open_rw(fi, 0);
	u64 pos = 300;

	(void)arg;
	i_size_write(&fi->inode, 100);
	store_mapped(file, 99, 'a');
	store_mapped(file, 200, 'b');
	CHECK_EQ(kernel_write(file, "c", 1, &pos), 1);
	pos = 0;
	CHECK_EQ(kernel_read(file, buf, sizeof(buf), &pos), 301);
	CHECK(buf[99] == 'a' && buf[200] == 0 && buf[300] == 'c');
	store_mapped(file, 350, 'd');
	CHECK_EQ(vfs_truncate(&fi->inode, 400), 0);
	pos = 0;
	CHECK_EQ(kernel_read(file, buf, sizeof(buf), &pos), 400);
	CHECK(buf[300] == 'c' && buf[350] == 0);
	CHECK_EQ(fsync_all(file), 0);
	CHECK(fi->store[300] == 'c' && !fi->store[200] && !fi->store[350]);
	fput(file);
	fm_inode_drop(fi);
	return 0;
}

static void tail(void **state)
{
	(void)state;
	TM_RUN(tail_body);
}

/* What has a name is saved by its last user; what has none dies with him. */
static int last_body(void *arg)
{
	struct fm_inode *fi = fm_inode_new(1);
	struct file *file;

	(void)arg;
	for (u32 links = 0; links < 2; links++) {
		fi = links ? fm_inode_new(1) : fi;
		fi->inode.i_nlink = links;
		file = open_rw(fi, 0);
		write_ok(file, 0, 1);
		iput(&fi->inode);
		CHECK(!fi->released && nr_dirty() == 1);
		fput(file);
		CHECK(fi->released && nr_dirty() == 0);
		CHECK(fi->writes == links && fi->store[9] == (links ? 'w' : 0));
		free(fi->store);
		free(fi);
	}
	return 0;
}

static void last_user(void **state)
{
	(void)state;
	TM_RUN(last_body);
}

/* Who waits for a page's lock sees that it was truncated meanwhile. */
struct waiter {
	struct address_space *m;
	struct page *old, *got;
	u32 fgp;
	bool waiting;
};

static void wait_for_page(void *arg)
{
	struct waiter *w = arg;

	w->waiting = true;
	w->got = pagecache_get_page(w->m, 3, w->fgp, w->m->gfp_mask);
}

static void relock_with(struct fm_inode *fi, u32 fgp, bool made)
{
	struct waiter w = {.m = fi->inode.i_mapping, .fgp = fgp};
	struct port_thread *t;

	force_page_cache_readahead(w.m, NULL, 3, 1);
	w.old = find_lock_page(w.m, 3);
	CHECK_EQ(port_thread_start(&t, "wait", -1, wait_for_page, &w), 0);
	port_park(SEC);
	CHECK(w.waiting && !w.got);
	delete_from_page_cache(w.old);
	unlock_page(w.old);
	port_thread_join(t);
	CHECK(w.got != w.old && (w.got != NULL) == made);
	put_page(w.old);
	if (!made)
		return;
	CHECK(page_mapping(w.got) == w.m && PageLocked(w.got));
	delete_from_page_cache(w.got);
	unlock_page(w.got);
	put_page(w.got);
}

static int relock_body(void *arg)
{
	struct fm_inode *fi = fm_inode_new(8);

	(void)arg;
	relock_with(fi, FGP_LOCK, false);
	relock_with(fi, FGP_LOCK | FGP_CREAT, true);
	fm_inode_drop(fi);
	return 0;
}

static void relock(void **state)
{
	(void)state;
	TM_RUN(relock_body, .cpus = 2);
}

/* ---- replaced, invalidated, dropped ----------------------------------------
 */

static u32 nr_freed;

static void note_free(struct page *page)
{
	CHECK(PageLocked(page) && !page_mapping_word(page));
	nr_freed++;
}

static const struct address_space_operations replace_aops = {
	.readpage = fm_readpage,
	.writepage = fm_writepage,
	.freepage = note_free,
};

static u64 on_node(int nid, enum node_stat_item item)
{
	return node_page_state(NODE_DATA(nid), item);
}

static int replace_body(void *arg)
{
	struct fm_inode *fi = fm_inode_new(8);
	struct address_space *m = fi->inode.i_mapping;
	struct file *file = open_rw(fi, 0);
	u64 files0, files1, dirty0, dirty1;
	struct page *old, *new;
	int from, to;

	(void)arg;
	m->a_ops = &replace_aops;
	nr_freed = 0;
	write_ok(file, 5, 1);
	lru_add_drain_all();
	old = find_lock_page(m, 5);
	from = page_to_nid(old);
	to = !from;
	new = __alloc_pages(GFP_HIGHUSER | __GFP_THISNODE, 0, to);
	CHECK(new &&page_to_nid(new) == to &&trylock_page(new));
	memcpy(page_view(new), page_view(old), PAGE_SIZE);
	SetPageUptodate(new);
	files0 = on_node(from, NR_FILE_PAGES);
	files1 = on_node(to, NR_FILE_PAGES);
	dirty0 = on_node(from, NR_FILE_DIRTY);
	dirty1 = on_node(to, NR_FILE_DIRTY);
	tag_pages_for_writeback(m, 0, ~0UL);
	replace_page_cache_page(old, new);
	CHECK(nr_freed == 1 && m->nrpages == 1);
	CHECK(page_mapping(new) == m && page_index(new) == 5);
	CHECK(!page_mapping_word(old) && !PageDirty(old));
	CHECK(page_count(new) == 2 && page_count(old) == 1);
	CHECK(PageDirty(new) && mapping_tagged(m, PAGECACHE_TAG_DIRTY) &&
	      mapping_tagged(m, PAGECACHE_TAG_TOWRITE));
	CHECK_EQ(on_node(from, NR_FILE_PAGES), files0 - 1);
	CHECK_EQ(on_node(to, NR_FILE_PAGES), files1 + 1);
	CHECK_EQ(on_node(from, NR_FILE_DIRTY), dirty0 - 1);
	CHECK_EQ(on_node(to, NR_FILE_DIRTY), dirty1 + 1);
	unlock_page(old);
	put_page(old);
	unlock_page(new);
	lru_cache_add(new);
	put_page(new);
	filemap_check();
	/* The write that was due is made of the new one. */
	CHECK_EQ(fsync_all(file), 0);
	CHECK(fi->store[5 * PAGE_SIZE] == 'w' && fi->writes == 1);
	CHECK_EQ(on_node(to, NR_FILE_DIRTY), dirty1);
	fput(file);
	fm_inode_drop(fi);
	return 0;
}

static void replace(void **state)
{
	(void)state;
	TM_RUN(replace_body, .nodes = 2, .cpus = 2, .mem = 32UL << 20);
}

/* A page that is mapped is taken out of page tables, or stays. */
static struct {
	u32 calls;
	u64 first, nr;
	bool cows;
	bool dirties; /* entries that were written to */
} unmaps;

static void note_unmap(struct address_space *m, u64 first, u64 nr, bool cows)
{
	struct page *page = find_get_page(m, first);

	unmaps.calls++;
	unmaps.first = first;
	unmaps.nr = nr;
	unmaps.cows = cows;
	if (!page)
		return;
	if (unmaps.dirties)
		(void)set_page_dirty(page);
	if (page_mapped(page)) {
		page_mapcount_add(page, -1);
		put_page(page);
	}
	put_page(page);
}

static int note_mkclean(struct page *page)
{
	(void)page;
	return unmaps.dirties;
}

static const struct mapping_ops note_ops = {
	.unmap_mapping_range = note_unmap,
	.page_mkclean = note_mkclean,
};

static void map_page(struct address_space *m, u64 index)
{
	struct page *page = find_get_page(m, index);

	CHECK(page);
	page_mapcount_add(page, 1); /* and the reference is the entry's */
}

static int mapped_body(void *arg)
{
	const struct mapping_ops *before = cache_sys.fm.mapping_ops;
	struct fm_inode *fi = fm_inode_new(8);
	struct address_space *m = fi->inode.i_mapping;

	(void)arg;
	memset(&unmaps, 0, sizeof(unmaps));
	mapping_set_ops(&note_ops);
	force_page_cache_readahead(m, NULL, 0, 8);
	lru_add_drain_all();
	map_page(m, 2);
	CHECK_EQ(invalidate_mapping_pages(m, 0, ~0UL), 7);
	CHECK(m->nrpages == 1 && unmaps.calls == 0);
	CHECK_EQ(invalidate_inode_pages2_range(m, 2, 2), 0);
	CHECK(m->nrpages == 0 && unmaps.calls == 1 && !unmaps.cows);
	CHECK(unmaps.first == 2 && unmaps.nr == 1);
	/* It was written to through the mapping: not lost, but told. */
	force_page_cache_readahead(m, NULL, 0, 8);
	lru_add_drain_all();
	map_page(m, 3);
	unmaps.dirties = true;
	CHECK_EQ(invalidate_inode_pages2_range(m, 0, 7), -EBUSY);
	CHECK(m->nrpages == 1 && nr_dirty() == 1);
	/* A store through an entry is found when the page is written. */
	CHECK_EQ(filemap_write_and_wait_range(m, 0, INT64_MAX), 0);
	CHECK(nr_dirty() == 0 && fi->writes == 1);
	map_page(m, 3);
	struct page *page = find_lock_page(m, 3);
	CHECK(clear_page_dirty_for_io(page));
	CHECK(!PageDirty(page));
	(void)set_page_dirty(page);
	unlock_page(page);
	put_page(page);
	/* A hole takes the file's pages alone; truncation entries and copies of
	 * all behind the new end. */
	unmaps.dirties = false;
	truncate_pagecache_range(&fi->inode, 0, 2 * PAGE_SIZE - 1);
	CHECK(!unmaps.cows && unmaps.first == 0 && unmaps.nr == 2);
	unmaps.calls = 0;
	CHECK_EQ(vfs_truncate(&fi->inode, 2 * PAGE_SIZE + 1), 0);
	CHECK(m->nrpages == 0 && nr_dirty() == 0);
	CHECK(unmaps.calls >= 2 && unmaps.cows && unmaps.first == 3 &&
	      unmaps.nr == 0);
	mapping_set_ops(before);
	fm_inode_drop(fi);
	return 0;
}

static void mapped(void **state)
{
	(void)state;
	TM_RUN(mapped_body);
}

static int drop_body(void *arg)
{
	struct fm_inode *a = fm_inode_new(8), *b = fm_inode_new(8);
	struct address_space *m = a->inode.i_mapping;
	struct file *file = open_rw(a, 0);
	struct page *held, *locked;
	u64 drops = sum_vm_event(DROP_PAGECACHE);

	(void)arg;
	force_page_cache_readahead(m, NULL, 0, 8);
	force_page_cache_readahead(b->inode.i_mapping, NULL, 0, 8);
	write_ok(file, 1, 1);
	held = find_get_page(m, 2);
	locked = find_lock_page(m, 3);
	sysctl("vm.drop_caches", "2");
	CHECK(m->nrpages == 8 && sum_vm_event(DROP_PAGECACHE) == drops);
	sysctl("vm.drop_caches", "1");
	CHECK_EQ(sum_vm_event(DROP_PAGECACHE), drops + 1);
	CHECK(m->nrpages == 3 && b->inode.i_mapping->nrpages == 0);
	CHECK_EQ(m->nrshadows, 0);
	unlock_page(locked);
	put_page(locked);
	put_page(held);
	CHECK_EQ(fsync_all(file), 0);
	CHECK_EQ(drop_pagecache(), 3);
	CHECK_EQ(m->nrpages, 0);
	fput(file);
	fm_inode_drop(a);
	fm_inode_drop(b);
	return 0;
}

static void drop(void **state)
{
	(void)state;
	TM_RUN(drop_body);
}

/* ---- tracepoints -----------------------------------------------------------
 */

static struct trace_record ring[256];

static struct trace_record find_record(enum trace_event event, u64 nth)
{
	struct trace_cursor c;
	struct trace_record r;

	trace_cursor_init(&c);
	while (trace_cursor_next(&c, &r))
		if (r.event == event && !nth--)
			return r;
	tm_fail(trace_event_info(event)->name, __FILE__, __LINE__);
}

static int trace_body(void *arg)
{
	struct fm_inode *fi = fm_inode_new(8);
	struct address_space *m = fi->inode.i_mapping;
	struct file *file = open_rw(fi, 0);
	u64 pfn, background, limit;
	struct trace_record r;
	struct page *page;

	(void)arg;
	fi->inode.i_ino = 4711;
	trace_ring_attach(0, ring, ARRAY_SIZE(ring));
	trace_enable(TRACE_MM_FILEMAP_ADD_TO_PAGE_CACHE);
	trace_enable(TRACE_MM_FILEMAP_DELETE_FROM_PAGE_CACHE);
	trace_enable(TRACE_FILEMAP_SET_WB_ERR);
	trace_enable(TRACE_FILE_CHECK_AND_ADVANCE_WB_ERR);
	trace_enable(TRACE_GLOBAL_DIRTY_STATE);
	fi->fail_write = 1;
	/* It has dirtied so many that this one has it look at the limits. */
	port_current()->nr_dirtied = 1000;
	write_ok(file, 6, 1);
	global_dirty_limits(&background, &limit);
	page = find_get_page(m, 6);
	pfn = page_to_pfn(page);
	put_page(page);
	CHECK_EQ(fsync_all(file), -EIO);
	CHECK_EQ(fsync_all(file), 0);
	CHECK_EQ(drop_pagecache(), 1);
	trace_enable_mask(0);
	r = find_record(TRACE_MM_FILEMAP_ADD_TO_PAGE_CACHE, 0);
	CHECK(r.arg[0] == pfn && r.arg[1] == 4711 && r.arg[2] == 6);
	CHECK_EQ(r.arg[3], fm_sb.s_dev);
	r = find_record(TRACE_MM_FILEMAP_DELETE_FROM_PAGE_CACHE, 0);
	CHECK(r.arg[0] == pfn && r.arg[1] == 4711 && r.arg[2] == 6);
	r = find_record(TRACE_FILEMAP_SET_WB_ERR, 0);
	CHECK(r.arg[0] == 4711 && r.arg[1] == fm_sb.s_dev);
	r = find_record(TRACE_FILE_CHECK_AND_ADVANCE_WB_ERR, 0);
	CHECK(r.arg[1] == 4711 && r.arg[3] != r.arg[4]);
	CHECK_EQ((errseq_t)r.arg[4], file->f_wb_err);
	r = find_record(TRACE_GLOBAL_DIRTY_STATE, 0);
	CHECK(r.arg[0] == 1 && r.arg[1] == 0 && r.arg[5] == 1 && r.arg[6] == 0);
	CHECK(r.arg[2] == background && r.arg[3] == limit && r.arg[4] == limit);
	trace_ring_attach(0, NULL, 0);
	fput(file);
	fm_inode_drop(fi);
	return 0;
}

static void tracepoints(void **state)
{
	(void)state;
	TM_RUN(trace_body);
}

/* ---- a file of the host ----------------------------------------------------
 */

static char host_path[] = "/tmp/mmkit-filemap-XXXXXX";

/* The file of the host is SIZE bytes long and begins with WANT. */
static void host_equals(const char *want, u64 size)
{
	static char got[sizeof(buf)];
	int fd = open(host_path, O_RDONLY);
	struct stat st;

	CHECK(fd >= 0 && !fstat(fd, &st));
	CHECK_EQ(st.st_size, size);
	CHECK_EQ(read(fd, got, sizeof(got)), size);
	CHECK(!memcmp(got, want, size));
	close(fd);
}

static int host_body(void *arg)
{
	static char want[sizeof(buf)];
	struct sim_disk_config dc = {
		.name = "h", .path = host_path, .size_bytes = PAGE_SIZE};
	struct super_block sb = {.s_id = "h", .s_maxbytes = MAX_LFS_FILESIZE};
	struct port_bdev *disk;
	struct inode *inode;
	struct file *file;
	u64 pos = 100, size = 100 + 3 * PAGE_SIZE + 17;

	(void)arg;
	CHECK_EQ(sim_disk_open(&disk, &dc, NULL), 0);
	CHECK_EQ(port_bdev_resize(disk, 0), 0);
	CHECK_EQ(flatfile_new(&sb, disk, 9, S_IFREG | 0600, &inode), 0);
	file = file_open(inode, FMODE_READ | FMODE_WRITE, 0, host_path);
	memset(want, 0, sizeof(want));
	for (u64 i = 100; i < size; i++)
		want[i] = (char)(i * 31 + i / 7);
	CHECK_EQ(kernel_write(file, want + 100, size - 100, &pos), size - 100);
	CHECK_EQ(fsync_all(file), 0);
	host_equals(want, size);
	/* Shorter, longer again: what lies between is zero. */
	CHECK_EQ(vfs_truncate(inode, PAGE_SIZE + 5), 0);
	host_equals(want, PAGE_SIZE + 5);
	CHECK_EQ(vfs_truncate(inode, 4 * PAGE_SIZE + 1), 0);
	memset(want + PAGE_SIZE + 5, 0, sizeof(want) - PAGE_SIZE - 5);
	CHECK_EQ(fsync_all(file), 0);
	host_equals(want, 4 * PAGE_SIZE + 1);
	/* A hole over pages and parts of them. */
	CHECK_EQ(file->f_op->fallocate(
			 file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 50,
			 PAGE_SIZE),
		 0);
	memset(want + 50, 0, PAGE_SIZE);
	pos = 2 * PAGE_SIZE + 3;
	memset(want + pos, 'h', 9);
	CHECK_EQ(kernel_write(file, want + pos, 9, &pos), 9);
	CHECK_EQ(fsync_all(file), 0);
	host_equals(want, 4 * PAGE_SIZE + 1);
	/* A device that is longer than its file: nothing lands behind the end,
	 * whatever a mapping stored there. */
	CHECK_EQ(vfs_truncate(inode, 100), 0);
	CHECK_EQ(port_bdev_resize(disk, PAGE_SIZE), 0);
	store_mapped(file, 70, 't');
	store_mapped(file, 200, 'u');
	CHECK_EQ(fsync_all(file), 0);
	want[70] = 't';
	memset(want + 100, 0, sizeof(want) - 100);
	host_equals(want, PAGE_SIZE);
	CHECK_EQ(port_bdev_resize(disk, 100), 0);
	/* From the disk again, not from the cache. */
	CHECK(drop_pagecache() > 0);
	CHECK_EQ(inode->i_mapping->nrpages, 0);
	pos = 0;
	CHECK_EQ(kernel_read(file, buf, sizeof(buf), &pos), 100);
	CHECK(!memcmp(buf, want, 100));
	fput(file);
	iput(inode);
	return 0;
}

static void host_file(void **state)
{
	int fd = mkstemp(host_path);

	(void)state;
	assert_true(fd >= 0);
	close(fd);
	TM_RUN(host_body);
	unlink(host_path);
}

/* ---- what is told of writing back
 * ----------------------------------------------------------------------- */

/* A round that is told with START and WRITTEN, because of REASON. */
static struct trace_record work_told(u64 reason)
{
	struct trace_record start, end;

	CHECK_EQ(count(TRACE_WRITEBACK_START, "reason", reason, &start), 1);
	CHECK_EQ(count(TRACE_WRITEBACK_WRITTEN, "reason", reason, &end), 1);
	CHECK_EQ(field(&start, "sync_mode"), WB_SYNC_NONE);
	CHECK_EQ(field(&start, "range_cyclic"), 1);
	CHECK_EQ(field(&start, "for_kupdate"), reason == 3);
	CHECK_EQ(field(&start, "for_background"), reason == 0);
	CHECK_EQ(field(&start, "name"), 0);
	CHECK_EQ(field(&end, "for_kupdate"), reason == 3);
	CHECK_EQ(field(&end, "for_background"), reason == 0);
	return start;
}

static void inode_told(const struct fm_inode *fi, u64 pages)
{
	struct trace_record r;

	CHECK_EQ(count(TRACE_WRITEBACK_SINGLE_INODE_START, "ino",
		       fi->inode.i_ino, &r),
		 told(TRACE_WRITEBACK_SINGLE_INODE_START));
	CHECK_EQ(field(&r, "name"), fm_sb.s_dev);
	CHECK_EQ(field(&r, "wrote"), 0);
	CHECK(field(&r, "state") & 1); /* I_DIRTY_PAGES */
	CHECK_EQ(told(TRACE_WRITEBACK_SINGLE_INODE),
		 told(TRACE_WRITEBACK_SINGLE_INODE_START));
	CHECK_EQ(sum_of(TRACE_WRITEBACK_SINGLE_INODE, "wrote"), pages);
	CHECK_EQ(sum_of(TRACE_WRITEBACK_SINGLE_INODE_START, "nr_to_write") -
			 sum_of(TRACE_WRITEBACK_SINGLE_INODE, "nr_to_write"),
		 pages);
}

/* Asked for by somebody; by age; because there is too much. */
static int rounds_told_body(void *arg)
{
	struct fm_inode *fi = fm_inode_new(500);
	struct file *file = open_rw(fi, 0);
	struct trace_record r;

	(void)arg;
	fi->inode.i_ino = 815;
	sysctl("vm.dirty_writeback_centisecs", "100");
	sysctl("vm.dirty_expire_centisecs", "200");
	port_park(6 * SEC); /* the daemon sees the new period */
	listen_to("writeback page_writeback");
	for (u64 i = 0; i < 10; i++)
		write_ok(file, i, 1);
	CHECK_EQ(count(TRACE_WRITEBACK_DIRTY_FOLIO, "ino", 815, &r), 10);
	CHECK_EQ(field(&r, "index"), 9);
	CHECK_EQ(field(&r, "name"), fm_sb.s_dev);
	/* Once more is no news. */
	write_ok(file, 3, 1);
	CHECK_EQ(told(TRACE_WRITEBACK_DIRTY_FOLIO), 10);
	wakeup_flusher_threads();
	port_park(SEC / 10);
	hush();
	CHECK_EQ(fi->writes, 10);
	r = work_told(1); /* vmscan: all that is dirty now */
	CHECK_EQ(count(TRACE_PAGE_WRITEBACK, "what", PAGE_WRITEBACK_BEGIN, &r),
		 10);
	CHECK(field(&r, "i_ino") == 815 && field(&r, "index") == 9);
	CHECK_EQ(field(&r, "s_dev"), fm_sb.s_dev);
	CHECK_EQ(count(TRACE_PAGE_WRITEBACK, "what", PAGE_WRITEBACK_END, &r),
		 10);
	CHECK_EQ(field(&r, "error"), 0);
	inode_told(fi, 10);
	CHECK_EQ(count(TRACE_WRITEBACK_PAGES_WRITTEN, "pages", 10, NULL), 1);
	forget();
	/* By age. */
	listen_to("writeback");
	for (u64 i = 20; i < 25; i++)
		write_ok(file, i, 1);
	while (fi->writes < 15)
		port_park(SEC / 100);
	hush();
	r = first(TRACE_WRITEBACK_SINGLE_INODE_START);
	CHECK(r.ns / 10000000 >= field(&r, "dirtied_when") + 200);
	CHECK_EQ(count(TRACE_WRITEBACK_START, "reason", 3, &r),
		 told(TRACE_WRITEBACK_START));
	CHECK_EQ(field(&r, "for_kupdate"), 1);
	CHECK_EQ(sum_of(TRACE_WRITEBACK_SINGLE_INODE, "wrote"), 5);
	forget();
	fput(file);
	fm_inode_drop(fi);
	return 0;
}

/* A writer at the limit wakes the flusher and waits; a sync waits for pages. */
static int limits_told_body(void *arg)
{
	struct fm_inode *fi = fm_inode_new(500);
	struct file *file = open_rw(fi, 0);
	struct trace_record r;
	u64 bg, limit;

	(void)arg;
	fi->inode.i_ino = 816;
	fi->delay_ns = 1000 * 1000;
	sysctl("vm.dirty_background_bytes", "131072");
	sysctl("vm.dirty_bytes", "524288");
	global_dirty_limits(&bg, &limit);
	listen_to("writeback");
	for (u64 i = 0; i < 400; i++)
		write_ok(file, i, 1);
	hush();
	CHECK_EQ(count(TRACE_BALANCE_DIRTY_PAGES, "limit", limit, &r),
		 told(TRACE_BALANCE_DIRTY_PAGES));
	CHECK_EQ(told(TRACE_BALANCE_DIRTY_PAGES), cache_sys.fm.flush.pauses);
	CHECK(told(TRACE_BALANCE_DIRTY_PAGES) > 0);
	CHECK_EQ(field(&r, "bdi"), fm_sb.s_dev);
	CHECK_EQ(field(&r, "setpoint"), ((bg + limit) / 2 + limit) / 2);
	CHECK(field(&r, "dirty") > (bg + limit) / 2);
	CHECK(field(&r, "task_ratelimit") <= 2 * field(&r, "dirty_ratelimit"));
	CHECK(field(&r, "dirtied") > 0);
	CHECK(count(TRACE_WRITEBACK_WAKE_BACKGROUND, "name", fm_sb.s_dev,
		    NULL) > 0);
	CHECK_EQ(count(TRACE_WRITEBACK_WAKE_BACKGROUND, "name", fm_sb.s_dev,
		       NULL),
		 told(TRACE_WRITEBACK_WAKE_BACKGROUND));
	forget();
	/* What the flusher is at. */
	write_ok(file, 450, 1);
	wakeup_flusher_threads();
	while (!global_node_page_state(NR_WRITEBACK))
		port_park(1000);
	listen_to("folio_wait_writeback");
	CHECK_EQ(fsync_all(file), 0);
	hush();
	CHECK(count(TRACE_FOLIO_WAIT_WRITEBACK, "ino", 816, &r) > 0);
	CHECK_EQ(field(&r, "name"), fm_sb.s_dev);
	CHECK(field(&r, "index") < 500);
	forget();
	port_park(SEC); /* the flusher lets go of it */
	fput(file);
	fm_inode_drop(fi);
	return 0;
}

static void rounds_told(void **state)
{
	(void)state;
	TM_RUN(rounds_told_body);
	TM_RUN(limits_told_body, .cpus = 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(curve),       cmocka_unit_test(limits),
		cmocka_unit_test(background),  cmocka_unit_test(limit),
		cmocka_unit_test(expire),      cmocka_unit_test(turns),
		cmocka_unit_test(errors),      cmocka_unit_test(sync_range),
		cmocka_unit_test(flags),       cmocka_unit_test(tail),
		cmocka_unit_test(last_user),   cmocka_unit_test(relock),
		cmocka_unit_test(replace),     cmocka_unit_test(mapped),
		cmocka_unit_test(drop),	       cmocka_unit_test(tracepoints),
		cmocka_unit_test(rounds_told), cmocka_unit_test(host_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
