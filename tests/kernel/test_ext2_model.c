/* SPDX-License-Identifier: MIT */
/*
 * ext2 under random operations, compared with files in memory: at ease, with
 * errors of the disk, with allocations that fail, and with the power going at
 * any moment: what was synced and not touched since is there after e2fsck.
 */
#include "ext2_machine.h"

#include "base/fail.h"

#define NR_DIRS	  4
#define NR_FILES  24
#define MAX_FILE  120000u
#define MAX_NAMES 8

struct mfile {
	bool exists, touched; /* since the last sync */
	u32 dir, name;
	u32 size;
	u8 *data;
	/* Its names since the last sync, if it was there then. */
	bool synced;
	u32 nr_old;
	char old_path[MAX_NAMES][32];
};

static struct {
	struct mfile file[NR_FILES];
	struct prng rnd;
	struct vfs_sb *sb;
	u64 ops;
	u32 next_name;
	/* The power cut: what must be there afterwards. */
	bool cut, cut_wanted, done;
	struct {
		bool want;
		u32 nr_paths;
		char path[MAX_NAMES][32];
		u32 size;
		u8 *data;
	} keep[NR_FILES];
	u32 block_size;
	bool errors; /* the disk may fail: what was touched is not known */
} m;

static u64 rnd(u64 n)
{
	return prng_below(&m.rnd, n);
}

static const char *path_of(const struct mfile *f, char path[32])
{
	snprintf(path, 32, "d%u/n%u", f->dir, f->name);
	return path;
}

/* ---- operations ------------------------------------------------------------
 */

static void op_create(struct mfile *f)
{
	char path[32];

	f->dir = (u32)rnd(NR_DIRS);
	f->name = m.next_name++;
	f->touched = true;
	f->synced = false;
	f->size = 0;
	memset(f->data, 0, MAX_FILE);
	CHECK_EQ(xt_create(m.sb, path_of(f, path), S_IFREG | 0644, 0, NULL), 0);
	f->exists = true;
}

static void op_write(struct mfile *f)
{
	u32 off = (u32)rnd(rnd(3) ? f->size + 1 : MAX_FILE);
	u32 len = 1 + (u32)rnd(rnd(3) ? 5000 : MAX_FILE);
	static u8 buf[MAX_FILE];
	char path[32];

	len = min(len, MAX_FILE - off);
	if (!len)
		return;
	for (u32 i = 0; i < len; i++)
		buf[i] = (u8)prng_u32(&m.rnd);
	f->touched = true;
	CHECK_EQ(xt_write(m.sb, path_of(f, path), off, buf, len), len);
	memcpy(f->data + off, buf, len);
	f->size = max(f->size, off + len);
}

static void op_truncate(struct mfile *f)
{
	u32 size = (u32)rnd(MAX_FILE);
	char path[32];

	f->touched = true;
	CHECK_EQ(xt_truncate(m.sb, path_of(f, path), size), 0);
	if (size < f->size)
		memset(f->data + size, 0, f->size - size);
	f->size = size;
}

static void check_file(const struct mfile *f)
{
	static u8 buf[MAX_FILE + 1];
	char path[32];

	snprintf(tm_context, sizeof(tm_context), "op %llu: %s size %u",
		 (unsigned long long)m.ops, path_of(f, path), f->size);
	CHECK_EQ(xt_read(m.sb, path, 0, buf, MAX_FILE + 1), f->size);
	CHECK(memcmp(buf, f->data, f->size) == 0);
}

/* F was synced where it is. */
static void only_name(struct mfile *f)
{
	f->nr_old = 1;
	path_of(f, f->old_path[0]);
}

static void op_rename(struct mfile *f)
{
	char from[32], to[32];

	path_of(f, from);
	f->dir = (u32)rnd(NR_DIRS);
	f->name = m.next_name++;
	if (f->nr_old == MAX_NAMES)
		f->touched = true;
	else
		path_of(f, f->old_path[f->nr_old++]);
	CHECK_EQ(xt_rename(m.sb, from, path_of(f, to)), 0);
}

static void op_unlink(struct mfile *f)
{
	char path[32];

	f->exists = false;
	f->synced = false;
	CHECK_EQ(xt_remove(m.sb, path_of(f, path)), 0);
}

static void op_sync(void)
{
	CHECK_EQ(m.sb->ops->sync(m.sb), 0);
	for (u32 i = 0; i < NR_FILES; i++) {
		struct mfile *f = &m.file[i];

		f->touched = false;
		f->synced = f->exists;
		only_name(f);
	}
}

static void op_fsync(struct mfile *f)
{
	struct file *file;
	struct vnode *v;
	char path[32];

	CHECK_EQ(xt_lookup(m.sb, path_of(f, path), &v), 0);
	file = xt_open(v);
	CHECK_EQ(vfs_fsync_range(file, 0, INT64_MAX, false), 0);
	fput(file);
	vnode_put(v);
	f->touched = false;
	f->synced = true;
	only_name(f);
}

/* Some of what is dirty goes to the disk, in an order of its own. */
static void op_flush(void)
{
	struct ext2_fs *fs = ext2_fs_of(m.sb);
	struct writeback_control wbc = {.nr_to_write = 1 + (s64)rnd(6),
					.range_end = INT64_MAX,
					.sync_mode = WB_SYNC_NONE};

	if (rnd(2))
		(void)do_writepages(fs->meta->i_mapping, &wbc);
	else
		(void)writeback_inodes(&wbc, ~0UL);
}

static void one_op(void)
{
	struct mfile *f = &m.file[rnd(NR_FILES)];
	u64 what = rnd(100);

	m.ops++;
	if (what >= 97)
		op_sync();
	else if (what >= 92)
		op_flush();
	else if (what == 91)
		(void)drop_pagecache();
	else if (!f->exists)
		op_create(f);
	else if (what < 40)
		op_write(f);
	else if (what < 50)
		op_truncate(f);
	else if (what < 70)
		check_file(f);
	else if (what < 80)
		op_rename(f);
	else if (what < 86)
		op_unlink(f);
	else
		op_fsync(f);
}

static void check_all(void)
{
	for (u32 i = 0; i < NR_FILES; i++)
		if (m.file[i].exists)
			check_file(&m.file[i]);
}

static void model_begin(void)
{
	for (u32 i = 0; i < NR_FILES; i++) {
		free(m.file[i].data);
		m.file[i] = (struct mfile){.data = calloc(1, MAX_FILE)};
		CHECK(m.file[i].data);
	}
	m.ops = 0;
	m.next_name = 0;
}

static void make_dirs(void)
{
	char path[8];

	for (u32 i = 0; i < NR_DIRS; i++) {
		snprintf(path, sizeof(path), "d%u", i);
		CHECK_EQ(xt_mkdir(m.sb, path), 0);
	}
}

/* ---- at ease ---------------------------------------------------------------
 */

static int model_body(void *arg)
{
	struct port_bdev *disk = xt_disk("img");
	u64 iters = test_iters(400);

	(void)arg;
	xt_up();
	CHECK_EQ(xt_mount(disk, 0, &m.sb), 0);
	make_dirs();
	for (u64 i = 0; i < iters; i++) {
		one_op();
		if (i % 100 == 99) {
			xt_umount(m.sb);
			xt_fsck("img");
			CHECK_EQ(xt_mount(disk, 0, &m.sb), 0);
			check_all();
		}
	}
	xt_umount(m.sb);
	xt_fsck("img");
	xt_down();
	sim_disk_close(disk);
	return 0;
}

static void model(void **state)
{
	static const u32 sizes[] = {1024, 2048, 4096};

	(void)state;
	xt_begin();
	test_seed(&m.rnd, "ext2 model");
	for (u32 i = 0; i < ARRAY_SIZE(sizes); i++) {
		model_begin();
		xt_run("rm -f img && mke2fs -q -F -t ext2 -b %u img 8M",
		       sizes[i]);
		TM_RUN(model_body, .mem = 12UL << 20);
	}
	xt_end();
}

/* ---- the power goes --------------------------------------------------------
 */

/* Remember what has to be there, and take the disk as it is. */
static void cut_now(void)
{
	for (u32 i = 0; i < NR_FILES; i++) {
		const struct mfile *f = &m.file[i];

		m.keep[i].want = f->exists && f->synced && !f->touched;
		if (!m.keep[i].want)
			continue;
		/* Renames that were not synced: under one of its names. */
		m.keep[i].nr_paths = f->nr_old;
		memcpy(m.keep[i].path, f->old_path, sizeof(f->old_path));
		m.keep[i].size = f->size;
		m.keep[i].data = malloc(MAX_FILE);
		CHECK(m.keep[i].data);
		memcpy(m.keep[i].data, f->data, MAX_FILE);
	}
	xt_run("cp --sparse=always img cut");
	m.cut = true;
}

static void cutter(void *arg)
{
	u64 ns = *(u64 *)arg;

	while (!m.cut_wanted && !m.done)
		port_park(50000);
	if (m.done)
		return;
	port_park(ns);
	if (!m.done)
		cut_now();
}

static int cut_body(void *arg)
{
	struct port_bdev *disk = xt_disk("img");
	u64 after = rnd(200), ns = rnd(40000000);
	struct port_thread *t;

	(void)arg;
	m.cut = m.cut_wanted = m.done = false;
	xt_up();
	CHECK_EQ(xt_mount(disk, 0, &m.sb), 0);
	make_dirs();
	op_sync();
	CHECK_EQ(port_thread_start(&t, "cutter", -1, cutter, &ns), 0);
	for (u64 i = 0; i < 260 && !m.cut; i++) {
		if (i == after)
			m.cut_wanted = true;
		one_op();
	}
	m.done = true;
	port_thread_join(t);
	if (!m.cut)
		cut_now();
	xt_umount(m.sb);
	xt_down();
	sim_disk_close(disk);
	return 0;
}

static int after_body(void *arg)
{
	struct port_bdev *disk = xt_disk("cut");
	static u8 buf[MAX_FILE + 1];

	(void)arg;
	xt_up();
	CHECK_EQ(xt_mount(disk, MS_RDONLY, &m.sb), 0);
	for (u32 i = 0; i < NR_FILES; i++) {
		s64 n = -ENOENT;

		if (!m.keep[i].want)
			continue;
		for (u32 k = 0; k < m.keep[i].nr_paths && n == -ENOENT; k++)
			n = xt_read(m.sb, m.keep[i].path[k], 0, buf,
				    MAX_FILE + 1);
		snprintf(tm_context, sizeof(tm_context), "%s and %u names",
			 m.keep[i].path[0], m.keep[i].nr_paths - 1);
		CHECK_EQ(n, m.keep[i].size);
		CHECK(memcmp(buf, m.keep[i].data, (size_t)n) == 0);
		free(m.keep[i].data);
		m.keep[i].data = NULL;
		m.ops++;
	}
	xt_umount(m.sb);
	xt_down();
	sim_disk_close(disk);
	return 0;
}

static void power_cuts(void **state)
{
	static const u32 sizes[] = {4096, 1024, 4096, 2048};
	u64 kept = 0;

	(void)state;
	xt_begin();
	test_seed(&m.rnd, "ext2 power cuts");
	for (u64 i = 0; i < test_iters(12); i++) {
		int st;

		model_begin();
		xt_run("rm -f img && mke2fs -q -F -t ext2 -b %u img 8M",
		       sizes[i % 4]);
		TM_RUN(cut_body, .mem = 16UL << 20, .seed = i);
		xt_fsck("img");
		/* It was in use: e2fsck may repair, and is content then. */
		st = xt_try("e2fsck -fy cut");
		CHECK(st == 0 || st == 1);
		xt_fsck("cut");
		m.ops = 0;
		TM_RUN(after_body);
		kept += m.ops;
	}
	CHECK(kept > 0);
	xt_end();
}

/* ---- errors of the disk ----------------------------------------------------
 */

/* Any operation, any outcome. */
static void wild_op(u32 i)
{
	static u8 buf[30000];
	char a[32], b[32];

	snprintf(a, sizeof(a), "d%u/w%u", (u32)rnd(NR_DIRS), (u32)rnd(12));
	snprintf(b, sizeof(b), "d%u/w%u", (u32)rnd(NR_DIRS), (u32)rnd(12));
	switch (rnd(9)) {
	case 0:
		(void)xt_mkdir(m.sb, a);
		break;
	case 1:
		(void)xt_remove(m.sb, a);
		break;
	case 2:
		(void)xt_truncate(m.sb, a, rnd(200000));
		break;
	case 3:
		if (strcmp(a, b) != 0)
			(void)xt_rename(m.sb, a, b);
		break;
	case 4:
		(void)xt_symlink(m.sb, a, b);
		break;
	case 5:
		(void)m.sb->ops->sync(m.sb);
		break;
	case 6:
		(void)drop_pagecache();
		break;
	default:
		(void)xt_write(m.sb, a, rnd(100000), buf, rnd(sizeof(buf)));
	}
	(void)i;
}

static int errors_body(void *arg)
{
	struct port_bdev *disk = xt_disk("img");

	(void)arg;
	xt_up();
	CHECK_EQ(xt_mount(disk, 0, &m.sb), 0);
	make_dirs();
	for (u32 round = 0; round < 12; round++) {
		struct sim_disk_fault rule = {.reads = rnd(2),
					      .writes = rnd(2),
					      .skip = rnd(20),
					      .times = 1 + rnd(6),
					      .error = -EIO};

		sim_disk_fail(disk, &rule);
		for (u32 i = 0; i < 20; i++)
			wild_op(i);
	}
	sim_disk_fail(disk, NULL);
	xt_umount(m.sb);
	xt_down();
	sim_disk_close(disk);
	return 0;
}

static void disk_errors(void **state)
{
	(void)state;
	xt_begin();
	test_seed(&m.rnd, "ext2 disk errors");
	for (u64 i = 0; i < test_iters(6); i++) {
		int st;

		xt_run("rm -f img && mke2fs -q -F -t ext2 -b %u img 8M",
		       i % 2 ? 1024 : 4096);
		TM_RUN(errors_body, .mem = 16UL << 20, .seed = i);
		st = xt_try("e2fsck -fy img");
		CHECK(st == 0 || st == 1);
		xt_fsck("img");
	}
	xt_end();
}

/* ---- allocations that fail -------------------------------------------------
 */

static int one_by_one(struct port_bdev *disk)
{
	static u8 buf[20000];
	int err = xt_mount(disk, 0, &m.sb);

	if (err)
		return err;
	err = xt_mkdir(m.sb, "d");
	if (!err)
		err = xt_symlink(m.sb, "d/l", "to");
	if (!err) {
		s64 n = xt_write(m.sb, "d/f", 5000, buf, sizeof(buf));

		err = n < 0 ? (int)n : n < (s64)sizeof(buf) ? -ENOMEM : 0;
	}
	if (!err)
		err = xt_rename(m.sb, "d/f", "g");
	if (!err)
		err = xt_remove(m.sb, "d/l");
	if (!err)
		err = xt_remove(m.sb, "d");
	if (!err)
		err = xt_truncate(m.sb, "g", 100);
	if (!err)
		err = m.sb->ops->sync(m.sb);
	fail_disarm();
	/* What a failure left behind goes. */
	(void)xt_remove(m.sb, "d/f");
	(void)xt_remove(m.sb, "d/l");
	(void)xt_remove(m.sb, "d");
	(void)xt_remove(m.sb, "g");
	xt_umount(m.sb);
	return err;
}

static int fail_body(void *arg)
{
	struct port_bdev *disk = xt_disk("img");
	u32 mask = FAIL_MASK(FAIL_PAGE_ALLOC) | FAIL_MASK(FAIL_SLAB) |
		   FAIL_MASK(FAIL_BIO_READ) | FAIL_MASK(FAIL_BIO_WRITE);
	u32 failed = 0;

	(void)arg;
	xt_up();
	for (u64 n = 1; n < 2000; n += n < 60 ? 1 : 3) {
		struct fail_result r;
		int err;

		(void)drop_pagecache();
		fail_arm_nth(mask, n, false);
		snprintf(tm_context, sizeof(tm_context), "call %llu",
			 (unsigned long long)n);
		err = one_by_one(disk);
		r = fail_disarm();
		(void)r;
		CHECK(err == 0 || err == -ENOMEM || err == -EIO);
		failed += err != 0;
		if (n % 40 == 1)
			xt_fsck("img");
	}
	CHECK(failed > 20);
	xt_fsck("img");
	xt_down();
	sim_disk_close(disk);
	return 0;
}

static void failing_allocations(void **state)
{
	(void)state;
	xt_begin();
	xt_run("mke2fs -q -F -t ext2 -b 4096 img 2M");
	TM_RUN(fail_body);
	xt_run("rm img; mke2fs -q -F -t ext2 -b 1024 img 2M");
	TM_RUN(fail_body);
	xt_end();
}

static u64 blocks_written(const struct port_bdev *disk)
{
	struct sim_disk_stats s;

	sim_disk_stats(disk, &s);
	return s.writes;
}

/* A file is never without a name on the disk: a name in another block is there
 * before the old one goes; one in the same block goes with it. */
static int rename_body(void *arg)
{
	struct port_bdev *disk = xt_disk("img");
	u64 before;

	(void)arg;
	xt_up();
	CHECK_EQ(xt_mount(disk, 0, &m.sb), 0);
	CHECK_EQ(xt_mkdir(m.sb, "a"), 0);
	CHECK_EQ(xt_mkdir(m.sb, "b"), 0);
	CHECK_EQ(xt_write(m.sb, "a/f", 0, "text", 4), 4);
	CHECK_EQ(m.sb->ops->sync(m.sb), 0);
	before = blocks_written(disk);
	CHECK_EQ(xt_rename(m.sb, "a/f", "a/g"), 0);
	CHECK_EQ(blocks_written(disk), before);
	CHECK_EQ(xt_rename(m.sb, "a/g", "b/g"), 0);
	CHECK(blocks_written(disk) > before);
	xt_umount(m.sb);
	xt_fsck("img");
	xt_down();
	sim_disk_close(disk);
	return 0;
}

static void renames(void **state)
{
	(void)state;
	xt_begin();
	xt_run("mke2fs -q -F -t ext2 -b 4096 img 2M");
	TM_RUN(rename_body);
	xt_end();
}

/* Pages behind the direct blocks: their map is a block of its own. */
enum { FAR_PAGE = 20, FAR_PAGES = 4 };

static void far_write(u8 version)
{
	static u8 buf[FAR_PAGES * PAGE_SIZE];

	memset(buf, version, sizeof(buf));
	CHECK_EQ(xt_write(m.sb, "far", FAR_PAGE * PAGE_SIZE, buf, sizeof(buf)),
		 sizeof(buf));
}

static bool far_is(u8 version)
{
	static u8 buf[FAR_PAGES * PAGE_SIZE];

	CHECK_EQ(xt_read(m.sb, "far", FAR_PAGE * PAGE_SIZE, buf, sizeof(buf)),
		 sizeof(buf));
	for (u32 i = 0; i < sizeof(buf); i++)
		if (buf[i] != version)
			return false;
	return true;
}

/* Write-back for which the map cannot be read for want of memory: it says so,
 * and nothing is lost; the next writes it. Each allocation fails in turn. */
static int map_body(void *arg)
{
	struct port_bdev *disk = xt_disk("img");
	u32 mask = FAIL_MASK(FAIL_PAGE_ALLOC) | FAIL_MASK(FAIL_SLAB);
	struct fail_result r = {.fired = 1};
	struct vnode *v;
	struct file *f;
	u32 short_of = 0;
	u8 version = 1;

	(void)arg;
	xt_up();
	CHECK_EQ(xt_mount(disk, 0, &m.sb), 0);
	CHECK_EQ(xt_open_path(m.sb, "far", &v, &f), 0);
	far_write(version);
	CHECK_EQ(vfs_fsync_range(f, 0, INT64_MAX, false), 0);
	for (u64 n = 1; r.fired; n++) {
		int err;

		far_write(++version);
		(void)drop_pagecache();
		fail_arm_nth(mask, n, false);
		fail_only_task(port_current());
		err = vfs_fsync_range(f, 0, INT64_MAX, false);
		r = fail_disarm();
		CHECK(!err || (err == -ENOMEM && r.fired));
		short_of += err != 0;
		/* What is clean goes: it must be on the disk. */
		(void)drop_pagecache();
		CHECK(far_is(version));
		CHECK_EQ(vfs_fsync_range(f, 0, INT64_MAX, false), 0);
		(void)drop_pagecache();
		CHECK(far_is(version));
	}
	CHECK(short_of > 0);
	fput(f);
	vnode_put(v);
	xt_umount(m.sb);
	xt_down();
	sim_disk_close(disk);
	return 0;
}

static void map_without_memory(void **state)
{
	(void)state;
	xt_begin();
	for (u32 size = 1024; size <= 4096; size *= 4) {
		xt_run("rm -f img; mke2fs -q -F -t ext2 -b %u img 2M", size);
		snprintf(tm_context, sizeof(tm_context), "blocks of %u", size);
		TM_RUN(map_body);
		xt_fsck("img");
	}
	xt_end();
}

/* ---- damage ----------------------------------------------------------------
 */

/* Everything that is there is read, down to DEPTH. */
static void read_all(const char *path, u32 depth)
{
	static u8 buf[4096];
	struct xt_list *l;
	struct vnode *v;
	int err;

	if (xt_lookup(m.sb, path, &v))
		return;
	if (S_ISREG(v->mode))
		for (u64 at = 0; at < 100000; at += 30000)
			(void)xt_read(m.sb, path, at, buf, sizeof(buf));
	if (S_ISLNK(v->mode))
		(void)v->ops->readlink(v, (char *)buf, sizeof(buf));
	if (S_ISDIR(v->mode) && depth) {
		l = xt_list(v, 7, &err);
		for (u32 i = 0; i < l->nr && i < 40; i++) {
			char sub[1024];

			if (strchr(l->name[i], '/') ||
			    strlen(path) + strlen(l->name[i]) > 500)
				continue;
			snprintf(sub, sizeof(sub), "%s%s%s", path,
				 *path ? "/" : "", l->name[i]);
			read_all(sub, depth - 1);
		}
		xt_list_free(l);
	}
	vnode_put(v);
}

static int damage_body(void *arg)
{
	struct port_bdev *disk = xt_disk("img");

	(void)arg;
	xt_up();
	if (xt_mount(disk, 0, &m.sb) == 0) {
		m.ops++;
		read_all("", 3);
		for (u32 i = 0; i < 40; i++)
			wild_op(i);
		read_all("", 3);
		xt_umount(m.sb);
	}
	xt_down();
	sim_disk_close(disk);
	return 0;
}

/* Change bytes where what is not contents lies: the first part, mostly. */
static void damage(u32 bytes)
{
	int fd = open(xt_path("img"), O_RDWR);

	CHECK(fd >= 0);
	for (u32 i = 0; i < bytes; i++) {
		u64 at = 1024 + rnd(rnd(4) ? 60000 : 700000);
		u8 b = rnd(2) ? (u8)rnd(256) : (u8)(rnd(2) ? 0 : 0xff);

		CHECK(pwrite(fd, &b, 1, (off_t)at) == 1);
	}
	close(fd);
}

static void damaged(void **state)
{
	u64 mounted;

	(void)state;
	xt_begin();
	test_seed(&m.rnd, "ext2 damage");
	xt_run("mkdir tree && cd tree && mkdir d0 d1 d2 d3 && for i in 1 2 3 "
	       "4 5 6 7 8 9; do head -c $((i * 7000)) /dev/urandom >d1/w$i; "
	       "ln -s $i d2/w$i; done");
	m.ops = 0;
	for (u64 i = 0; i < test_iters(60); i++) {
		if (i % 20 == 0)
			xt_run("rm -f good && mke2fs -q -F -t ext2 -b %u -d "
			       "tree good 1M",
			       i / 20 % 2 ? 4096 : 1024);
		xt_run("cp good img");
		damage(1 + (u32)rnd(60));
		snprintf(tm_context, sizeof(tm_context), "image %llu",
			 (unsigned long long)i);
		TM_RUN(damage_body, .seed = i);
	}
	mounted = m.ops;
	CHECK(mounted > 0);
	xt_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(model),
		cmocka_unit_test(power_cuts),
		cmocka_unit_test(disk_errors),
		cmocka_unit_test(failing_allocations),
		cmocka_unit_test(renames),
		cmocka_unit_test(map_without_memory),
		cmocka_unit_test(damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
