/* SPDX-License-Identifier: MIT */
/* ext2 against Debian's tools: what mke2fs made is read, what was written
 * pleases e2fsck, and limits are told. */
#include "ext2_machine.h"

static const u32 block_sizes[] = {1024, 2048, 4096};
#define NR_SIZES 3

/* ---- images of mke2fs, read ------------------------------------------------
 */

/* A tree of the host: sizes around each border, holes, links, devices. */
static void make_tree(void)
{
	xt_run("rm -rf tree && mkdir -p tree/sub/deep/er tree/many tree/empty");
	xt_run("cd tree && for n in 0 1 59 60 61 1023 1024 1025 4095 4096 4097 "
	       "12287 12288 12289 49152 49153 300000 5000000; do "
	       "head -c $n /dev/urandom >f$n; done");
	/* Double and triple indirect blocks without so many bytes. */
	xt_run("cd tree && for at in 0 20 300 1100 70000 80000; do "
	       "echo at $at | dd of=sparse bs=1024 seek=$at conv=notrunc "
	       "status=none; done; truncate -s 100M sparse");
	xt_run("cd tree/many && for i in $(seq 700); do "
	       "echo $i >a_name_that_is_not_short_$i; done");
	xt_run("cd tree && ln -s f1 fast && ln -s $(printf 'x%%.0s' $(seq 59)) "
	       "l59 && ln -s $(printf 'y%%.0s' $(seq 60)) l60 && "
	       "ln -s $(printf 'z/%%.0s' $(seq 400)) l800 && ln f4097 hard && "
	       "mkfifo pipe && mknod null c 1 3 && mknod disk b 300 70000 && "
	       "chmod 4711 f1025 && chown 70000:80000 f1024 && "
	       "touch -d @1234567890 f61");
}

static void same_file(struct vnode *v, const char *path, const struct stat *st)
{
	static char ours[1 << 16], theirs[1 << 16];
	struct file *f = xt_open(v);
	int fd = open(path, O_RDONLY);
	u64 pos = 0;
	s64 n;

	CHECK(fd >= 0);
	CHECK_EQ(i_size_read(v->inode), st->st_size);
	for (;;) {
		n = kernel_read(f, ours, sizeof(ours), &pos);
		CHECK(n >= 0);
		CHECK_EQ(read(fd, theirs, (size_t)n ? (size_t)n : 1), n);
		CHECK(memcmp(ours, theirs, (size_t)n) == 0);
		if (n == 0)
			break;
	}
	CHECK_EQ(pos, st->st_size);
	close(fd);
	fput(f);
}

static void same_link(struct vnode *v, const char *path)
{
	char ours[PATH_MAX], theirs[PATH_MAX];
	s64 n = v->ops->readlink(v, ours, sizeof(ours));
	ssize_t m = readlink(path, theirs, sizeof(theirs));

	CHECK_EQ(n, m);
	CHECK(memcmp(ours, theirs, (size_t)n) == 0);
	CHECK_EQ(v->ops->readlink(v, ours, 1), 1);
}

/* V is as the object at PATH of the host. */
static u32 same_tree(struct vfs_sb *sb, const char *rel, const char *path)
{
	struct vnode *v, *again;
	struct xt_list *l;
	struct kstat ks = {0};
	struct stat st;
	u32 seen = 1;
	int err;

	snprintf(tm_context, sizeof(tm_context), "%s", rel);
	CHECK(lstat(path, &st) == 0);
	CHECK_EQ(xt_lookup(sb, rel, &v), 0);
	CHECK_EQ(xt_lookup(sb, rel, &again), 0);
	CHECK(v == again);
	vnode_put(again);
	CHECK_EQ(v->mode, st.st_mode);
	CHECK_EQ(v->uid, st.st_uid);
	CHECK_EQ(v->gid, st.st_gid);
	if (*rel)
		CHECK_EQ(v->mtime.sec, st.st_mtime);
	if (!S_ISDIR(v->mode))
		CHECK_EQ(v->nlink, st.st_nlink);
	v->ops->getattr(v, &ks);
	CHECK(ks.blocks * 512 <= (u64)st.st_size + 200000);
	switch (v->mode & S_IFMT) {
	case S_IFREG:
		same_file(v, path, &st);
		break;
	case S_IFLNK:
		same_link(v, path);
		break;
	case S_IFCHR:
	case S_IFBLK:
		CHECK_EQ(v->rdev, st.st_rdev);
		break;
	case S_IFDIR:
		l = xt_list(v, 3, &err);
		CHECK_EQ(err, 0);
		for (u32 i = 0; i < l->nr; i++) {
			char r[1024], p[1024];

			if (strcmp(l->name[i], "lost+found") == 0)
				continue;
			snprintf(r, sizeof(r), "%s%s%s", rel, *rel ? "/" : "",
				 l->name[i]);
			snprintf(p, sizeof(p), "%s/%s", path, l->name[i]);
			CHECK(lstat(p, &st) == 0);
			CHECK(l->type[i] == 0 ||
			      l->type[i] == (st.st_mode & S_IFMT) >> 12);
			seen += same_tree(sb, r, p);
		}
		xt_list_free(l);
	}
	vnode_put(v);
	return seen;
}

static int read_body(void *arg)
{
	struct port_bdev *disk = xt_disk(arg);
	struct vfs_sb *sb;
	struct vfs_statfs sf;

	xt_up();
	CHECK_EQ(xt_mount(disk, MS_RDONLY, &sb), 0);
	CHECK(same_tree(sb, "", xt_path("tree")) > 730);
	/* Once more, from the cache. */
	CHECK(same_tree(sb, "", xt_path("tree")) > 730);
	sb->ops->statfs(sb, &sf);
	CHECK_EQ(sf.type, 0xef53);
	CHECK(sf.bfree < sf.blocks && sf.ffree < sf.files);
	xt_umount(sb);
	xt_down();
	sim_disk_close(disk);
	return 0;
}

static void read_images(void **state)
{
	static const char *const kinds[] = {"", "-r 0", "-O ^filetype",
					    "-O ^sparse_super,^resize_inode",
					    "-O ^dir_index -I 128"};

	(void)state;
	xt_begin();
	make_tree();
	for (u32 i = 0; i < NR_SIZES; i++)
		for (u32 k = 0; k < ARRAY_SIZE(kinds); k++) {
			xt_run("rm -f img && mke2fs -q -F -t ext2 %s -b %u -d "
			       "tree img 40M && cp img before",
			       kinds[k], block_sizes[i]);
			snprintf(tm_context, sizeof(tm_context), "-b %u %s",
				 block_sizes[i], kinds[k]);
			TM_RUN(read_body, .arg = (char *)"img",
			       .mem = 32UL << 20);
			/* Mounted read-only: not a byte has changed. */
			xt_run("cmp img before");
		}
	xt_end();
}

/* ---- written ---------------------------------------------------------------
 */

static void fill(char *buf, u64 len, u64 seed)
{
	struct prng p;

	prng_seed(&p, seed);
	for (u64 i = 0; i + 8 <= len; i += 8) {
		u64 x = prng_u64(&p);

		memcpy(buf + i, &x, 8);
	}
	for (u64 i = len & ~7UL; i < len; i++)
		buf[i] = (char)(seed + i);
}

static const u64 file_sizes[] = {0,    1,     1023,  1024,   1025,   4096,
				 4097, 49152, 49153, 300000, 2000000};

static void write_files(struct vfs_sb *sb)
{
	char *buf = malloc(1 << 21), *back = malloc(1 << 21), path[64];

	CHECK(buf && back);
	CHECK_EQ(xt_mkdir(sb, "d"), 0);
	CHECK_EQ(xt_mkdir(sb, "d"), -EEXIST);
	for (u32 i = 0; i < ARRAY_SIZE(file_sizes); i++) {
		fill(buf, file_sizes[i], i);
		snprintf(path, sizeof(path), "d/f%u", i);
		CHECK_EQ(xt_write(sb, path, 0, buf, file_sizes[i]),
			 file_sizes[i]);
		CHECK_EQ(xt_read(sb, path, 0, back, 1 << 21), file_sizes[i]);
		CHECK(memcmp(buf, back, file_sizes[i]) == 0);
		snprintf(path, sizeof(path), "%s", xt_path("f"));
		sprintf(path + strlen(path), "%u", i);
		FILE *f = fopen(path, "w");

		CHECK(f && fwrite(buf, 1, file_sizes[i], f) == file_sizes[i]);
		fclose(f);
	}
	/* Holes through all levels. */
	for (u64 at = 1; at < 1UL << 33; at *= 8)
		CHECK_EQ(xt_write(sb, "sparse", at, "hole", 4), 4);
	for (u64 at = 1; at < 1UL << 33; at *= 8) {
		CHECK_EQ(xt_read(sb, "sparse", at, back, 4), 4);
		CHECK(memcmp(back, "hole", 4) == 0);
	}
	CHECK_EQ(xt_read(sb, "sparse", 5, back, 3), 3);
	CHECK(!back[0] && !back[1] && !back[2]);
	CHECK_EQ(xt_symlink(sb, "fast", "d/f1"), 0);
	memset(buf, 'x', 900);
	buf[900] = '\0';
	CHECK_EQ(xt_symlink(sb, "slow", buf), 0);
	CHECK_EQ(xt_create(sb, "null", S_IFCHR | 0666, MKDEV(1, 3), NULL), 0);
	CHECK_EQ(xt_create(sb, "big", S_IFBLK | 0600, MKDEV(300, 70000), NULL),
		 0);
	CHECK_EQ(xt_create(sb, "pipe", S_IFIFO | 0600, 0, NULL), 0);
	CHECK_EQ(xt_create(sb, "sock", S_IFSOCK | 0600, 0, NULL), 0);
	CHECK_EQ(xt_link(sb, "d/f3", "hard"), 0);
	free(buf);
	free(back);
}

static void move_names(struct vfs_sb *sb)
{
	struct vnode *v;
	char path[300];

	CHECK_EQ(xt_mkdir(sb, "a"), 0);
	CHECK_EQ(xt_mkdir(sb, "b"), 0);
	CHECK_EQ(xt_mkdir(sb, "a/in"), 0);
	CHECK_EQ(xt_write(sb, "a/one", 0, "1", 1), 1);
	CHECK_EQ(xt_write(sb, "b/two", 0, "22", 2), 2);
	CHECK_EQ(xt_rename(sb, "a/one", "b/two"), 0);
	CHECK_EQ(xt_lookup(sb, "a/one", &v), -ENOENT);
	CHECK_EQ(xt_rename(sb, "a/in", "b/in"), 0);
	CHECK_EQ(xt_mkdir(sb, "a/in2"), 0);
	CHECK_EQ(xt_mkdir(sb, "b/in/x"), 0);
	CHECK_EQ(xt_rename(sb, "a/in2", "b/in"), -ENOTEMPTY);
	CHECK_EQ(xt_remove(sb, "b/in"), -ENOTEMPTY);
	CHECK_EQ(xt_remove(sb, "b/in/x"), 0);
	CHECK_EQ(xt_rename(sb, "a/in2", "b/in"), 0);
	/* A directory of many blocks, emptied in the middle and filled. */
	CHECK_EQ(xt_mkdir(sb, "many"), 0);
	for (int i = 0; i < 1500; i++) {
		snprintf(path, sizeof(path), "many/%0*d", 1 + i % 200, i);
		CHECK_EQ(xt_create(sb, path, S_IFREG | 0600, 0, NULL), 0);
	}
	for (int i = 0; i < 1500; i += 1 + i % 3) {
		snprintf(path, sizeof(path), "many/%0*d", 1 + i % 200, i);
		CHECK_EQ(xt_remove(sb, path), 0);
	}
	memset(path, 'n', sizeof(path));
	path[255] = '\0';
	CHECK_EQ(xt_create(sb, path, S_IFREG, 0, NULL), 0);
	path[255] = 'n';
	path[256] = '\0';
	CHECK_EQ(xt_create(sb, path, S_IFREG, 0, NULL), -ENAMETOOLONG);
}

static int write_body(void *arg)
{
	struct port_bdev *disk = xt_disk(arg);
	struct vfs_sb *sb;
	struct vnode *v;
	struct file *f;
	u64 pos = 0;

	xt_up();
	CHECK_EQ(xt_mount(disk, 0, &sb), 0);
	write_files(sb);
	move_names(sb);
	/* Shrunk and grown again: what was cut off is zero. */
	CHECK_EQ(sb->ops->sync(sb), 0);
	(void)drop_pagecache();
	CHECK_EQ(xt_truncate(sb, "d/f9", 100001), 0);
	CHECK_EQ(sb->ops->sync(sb), 0);
	(void)drop_pagecache();
	CHECK_EQ(xt_truncate(sb, "d/f9", 200000), 0);
	/* Used without a name. */
	CHECK_EQ(xt_open_path(sb, "gone", &v, &f), 0);
	CHECK_EQ(xt_remove(sb, "gone"), 0);
	CHECK_EQ(kernel_write(f, "still here", 10, &pos), 10);
	fput(f);
	vnode_put(v);
	xt_umount(sb);
	xt_down();
	sim_disk_close(disk);
	return 0;
}

/* What debugfs says of PATH contains TEXT. */
static void debugfs_says(const char *cmd, const char *text)
{
	xt_run("debugfs -R '%s' img", cmd);
	if (!strstr(xt_out, text)) {
		fprintf(stderr, "%s: no \"%s\" in\n%s\n", cmd, text, xt_out);
		tm_fail("debugfs", __FILE__, __LINE__);
	}
}

static void written_is_right(void)
{
	xt_fsck("img");
	xt_run("rm -rf out && mkdir out && debugfs -R 'rdump /d out' img");
	for (u32 i = 0; i < ARRAY_SIZE(file_sizes); i++)
		if (i != 9)
			xt_run("cmp f%u out/d/f%u", i, i);
	xt_run("truncate -s 100001 f9 && truncate -s 200000 f9 && "
	       "cmp f9 out/d/f9");
	debugfs_says("stat /fast", "Fast link dest: \"d/f1\"");
	debugfs_says("stat /null", "Device major/minor number: 01:03");
	debugfs_says("stat /big", "(New-style)");
	debugfs_says("stat /pipe", "Type: FIFO");
	debugfs_says("stat /sock", "Type: socket");
	debugfs_says("stat /hard", "Links: 2");
	debugfs_says("cat /b/two", "1");
	debugfs_says("stats", "Filesystem state:         clean");
}

static void write_images(void **state)
{
	static const char *const kinds[] = {"", "-r 0", "-I 128 -O ^filetype"};

	(void)state;
	xt_begin();
	for (u32 i = 0; i < NR_SIZES; i++)
		for (u32 k = 0; k < ARRAY_SIZE(kinds); k++) {
			if (k == 1)
				continue; /* no file of 8 GiB there */
			xt_run("rm -f img && mke2fs -q -F -t ext2 %s -b %u "
			       "-N 4096 img 24M",
			       kinds[k], block_sizes[i]);
			TM_RUN(write_body, .arg = (char *)"img",
			       .mem = 24UL << 20);
			written_is_right();
		}
	xt_end();
}

/* ---- what is refused -------------------------------------------------------
 */

static void poke(const char *image, u64 off, u32 value)
{
	int fd = open(xt_path(image), O_RDWR);

	CHECK(fd >= 0 && pwrite(fd, &value, 4, (off_t)off) == 4);
	close(fd);
}

struct refusal {
	u32 off, value;
	int err;
	const char *says;
};
static const struct refusal *refusal;

static int refuse_body(void *arg)
{
	struct port_bdev *disk = xt_disk(arg);
	struct vfs_sb *sb;

	xt_up();
	CHECK_EQ(xt_mount(disk, 0, &sb), refusal->err);
	CHECK(!*refusal->says || tm_logged(refusal->says));
	if (!refusal->err) {
		struct vnode *v;

		/* Unknown read-only features: nothing may be written. */
		CHECK(sb->flags & MS_RDONLY);
		CHECK_EQ(sb->ops->remount(sb, 0, ""), -EROFS);
		CHECK_EQ(xt_lookup(sb, "lost+found", &v), 0);
		vnode_put(v);
		xt_umount(sb);
	}
	xt_down();
	sim_disk_close(disk);
	return 0;
}

static void refusals(void **state)
{
	static const struct refusal all[] = {
		{56, 0x1234, -EINVAL, ""},
		{96, 0x42, -EINVAL, "unknown feature extents"},
		{96, 0x6, -EINVAL, "unknown feature needs_recovery"},
		{96, 0x202, -EINVAL, "unknown feature flex_bg"},
		{96, 0x80000002, -EINVAL, "unknown feature (no name)"},
		{100, 0x413, 0, "unknown features 0x410"},
		{24, 3, -EINVAL, "blocks larger"},
		{4, 0x7fffffff, -EINVAL, "more blocks than the disk has"},
		{20, 5, -EINVAL, "bad first block"},
		{32, 0, -EINVAL, "bad number of blocks per group"},
		{40, 0xffffff, -EINVAL, "bad number of inodes per group"},
		{40, 8, -EINVAL, "disagree"},
		{84, 3, -EINVAL, "bad first inode"},
		{12, 0x7fffffff, -EINVAL, "more is free"},
		{88, 77, -EINVAL, "bad size of inodes"},
		{28, 1, -EINVAL, "fragments"},
	};

	(void)state;
	xt_begin();
	xt_run("mke2fs -q -F -t ext2 -b 1024 good 2M");
	for (u32 i = 0; i < ARRAY_SIZE(all); i++) {
		refusal = &all[i];
		xt_run("cp good img");
		poke("img", 1024 + all[i].off, all[i].value);
		snprintf(tm_context, sizeof(tm_context), "row %u", i);
		TM_RUN(refuse_body, .arg = (char *)"img");
		if (all[i].err) {
			xt_run("cp good again");
			poke("again", 1024 + all[i].off, all[i].value);
			xt_run("cmp img again");
		}
	}
	xt_end();
}

/* ---- limits ----------------------------------------------------------------
 */

static int limits_body(void *arg)
{
	struct port_bdev *disk = xt_disk(arg);
	struct vfs_statfs sf, sf2;
	static char buf[65536];
	struct vfs_sb *sb;
	char path[64];
	s64 n, total = 0;
	int err;

	xt_up();
	CHECK_EQ(xt_mount(disk, 0, &sb), 0);
	sb->ops->statfs(sb, &sf);
	/* Full: what fits is written, then ENOSPC, and it is all there. */
	memset(buf, 'f', sizeof(buf));
	while ((n = xt_write(sb, "full", (u64)total, buf, sizeof(buf))) > 0)
		total += n;
	CHECK_EQ(n, -ENOSPC);
	/* A page is written as a whole or not: the last blocks one by one. */
	while ((n = xt_write(sb, "full", (u64)total, buf, 512)) > 0)
		total += n;
	CHECK_EQ(n, -ENOSPC);
	CHECK(total > 1 << 20);
	memset(buf, 0, sizeof(buf));
	CHECK_EQ(xt_read(sb, "full", (u64)total - 10, buf, 100), 10);
	CHECK(memcmp(buf, "ffffffffff", 10) == 0);
	CHECK_EQ(xt_mkdir(sb, "nodir"), -ENOSPC);
	CHECK_EQ(xt_remove(sb, "full"), 0);
	sb->ops->statfs(sb, &sf2);
	CHECK_EQ(sf2.bfree, sf.bfree);
	CHECK_EQ(sf2.ffree, sf.ffree);
	/* No inodes. */
	for (u32 i = 0;; i++) {
		snprintf(path, sizeof(path), "i%u", i);
		err = xt_create(sb, path, S_IFREG | 0644, 0, NULL);
		if (err)
			break;
	}
	CHECK_EQ(err, -ENOSPC);
	/* Names of one file. */
	CHECK_EQ(xt_write(sb, "i1", (u64)sb->sb->s_maxbytes, buf, 1), -EFBIG);
	CHECK_EQ(xt_truncate(sb, "i1", sb->sb->s_maxbytes + 1), -EFBIG);
	CHECK_EQ(xt_truncate(sb, "i1", sb->sb->s_maxbytes), 0);
	CHECK_EQ(xt_truncate(sb, "i1", 0), 0);
	xt_umount(sb);
	xt_down();
	sim_disk_close(disk);
	return 0;
}

static int links_body(void *arg)
{
	struct port_bdev *disk = xt_disk(arg);
	struct vfs_sb *sb;
	struct vnode *v;
	char path[64];

	xt_up();
	CHECK_EQ(xt_mount(disk, 0, &sb), 0);
	CHECK_EQ(xt_create(sb, "f", S_IFREG | 0644, 0, &v), 0);
	v->nlink = v->inode->i_nlink = EXT2_LINK_MAX;
	CHECK_EQ(xt_link(sb, "f", "g"), -EMLINK);
	v->nlink = v->inode->i_nlink = 1;
	vnode_put(v);
	CHECK_EQ(xt_mkdir(sb, "d"), 0);
	CHECK_EQ(xt_lookup(sb, "d", &v), 0);
	v->nlink = v->inode->i_nlink = EXT2_LINK_MAX;
	CHECK_EQ(xt_mkdir(sb, "d/e"), -EMLINK);
	CHECK_EQ(xt_mkdir(sb, "h"), 0);
	CHECK_EQ(xt_rename(sb, "h", "d/h"), -EMLINK);
	v->nlink = v->inode->i_nlink = 2;
	vnode_put(v);
	for (int i = 0; i < 40; i++) {
		snprintf(path, sizeof(path), "f%d", i);
		CHECK_EQ(xt_link(sb, "f", path), 0);
	}
	xt_umount(sb);
	xt_down();
	sim_disk_close(disk);
	return 0;
}

static void limits(void **state)
{
	(void)state;
	xt_begin();
	for (u32 i = 0; i < NR_SIZES; i++) {
		xt_run("rm -f img; mke2fs -q -F -t ext2 -b %u -N 128 img 3M",
		       block_sizes[i]);
		TM_RUN(limits_body, .arg = (char *)"img");
		xt_fsck("img");
		xt_run("mke2fs -q -F -t ext2 -b %u img 3M", block_sizes[i]);
		TM_RUN(links_body, .arg = (char *)"img");
		xt_fsck("img");
	}
	xt_end();
}

/* ---- reserved blocks, attributes -------------------------------------------
 */

static int attrs_body(void *arg)
{
	struct port_bdev *disk = xt_disk(arg);
	static char buf[65536];
	struct vattr a = {.valid = ATTR_MODE | ATTR_UID | ATTR_GID | ATTR_MTIME,
			  .mode = 0640,
			  .uid = 70001,
			  .gid = 3,
			  .mtime = {5000000000, 7}};
	struct vfs_statfs sf;
	struct vfs_sb *sb;
	struct vnode *v;
	s64 n, total = 0;

	xt_up();
	CHECK_EQ(xt_mount(disk, 0, &sb), 0);
	CHECK_EQ(xt_create(sb, "f", S_IFREG | 0644, 0, &v), 0);
	down_write(&v->lock);
	CHECK_EQ(v->ops->setattr(v, &a), 0);
	up_write(&v->lock);
	vnode_put(v);
	CHECK_EQ(xt_lookup(sb, "f", &v), 0);
	CHECK_EQ(v->mode, S_IFREG | 0640);
	CHECK_EQ(v->uid, 70001);
	CHECK_EQ(v->mtime.sec, 5000000000);
	CHECK_EQ(v->mtime.nsec, 7);
	vnode_put(v);
	/* An ordinary user leaves the reserve; root does not. */
	xt_task.cred.fsuid = 1000;
	xt_task.cred.cap_effective = 0;
	while ((n = xt_write(sb, "full", (u64)total, buf, sizeof(buf))) > 0)
		total += n;
	CHECK_EQ(n, -ENOSPC);
	sb->ops->statfs(sb, &sf);
	CHECK(sf.bavail < 4); /* less than a page */
	CHECK(sf.bfree > 20);
	xt_task.cred.fsuid = 0;
	xt_task.cred.cap_effective = ~0UL;
	CHECK_EQ(xt_write(sb, "full", (u64)total, buf, 20000), 20000);
	CHECK_EQ(xt_lookup(sb, "full", &v), 0);
	CHECK_EQ(v->uid, 1000);
	vnode_put(v);
	xt_umount(sb);
	xt_down();
	sim_disk_close(disk);
	return 0;
}

static void attributes(void **state)
{
	(void)state;
	xt_begin();
	xt_run("mke2fs -q -F -t ext2 -m 20 -I 256 -b 1024 img 2M");
	TM_RUN(attrs_body, .arg = (char *)"img");
	xt_fsck("img");
	xt_run("debugfs -R 'stat /f' img");
	CHECK(strstr(xt_out, "User: 70001"));
	xt_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(read_images), cmocka_unit_test(write_images),
		cmocka_unit_test(refusals),    cmocka_unit_test(limits),
		cmocka_unit_test(attributes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
