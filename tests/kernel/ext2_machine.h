/* SPDX-License-Identifier: MIT */
/*
 * ext2_machine.h - ext2 on a disk that is a file of the host, for tests: made
 * by mke2fs, looked at by debugfs and e2fsck. Names are walked here, so that a
 * test needs ext2 alone; what it asks of kernel/fs is answered weakly.
 */
#ifndef TESTS_KERNEL_EXT2_MACHINE_H
#define TESTS_KERNEL_EXT2_MACHINE_H

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim_machine.h"

#include "task_stub.h"

/* The host has these too, with other words. */
#undef NAME_MAX
#undef PATH_MAX
#undef AT_FDCWD
#include "ext2/ext2.h"
#include "stat.h"

/* ---- what kernel/fs answers ------------------------------------------------
 */

static struct vfs_fstype *xt_type;
static struct port_bdev *xt_bdev;
static u64 xt_clock = 1700000000;

KT_WEAK void vfs_register_fs(struct vfs_fstype *type)
{
	xt_type = type;
}

KT_WEAK int blkdev_by_path(const char *path, struct port_bdev **out)
{
	(void)path;
	*out = xt_bdev;
	return xt_bdev ? 0 : -ENOENT;
}

KT_WEAK u32 vfs_anon_dev(void)
{
	return 7;
}

KT_WEAK struct vfs_time vfs_now(void)
{
	return (struct vfs_time){.sec = (s64)xt_clock++, .nsec = 123456789};
}

KT_WEAK void vnode_init(struct vnode *v, struct vfs_sb *sb, struct inode *inode,
			const struct vnode_ops *ops, u64 ino, u32 mode)
{
	v->ops = ops;
	v->sb = sb;
	v->inode = inode;
	v->ino = ino;
	v->mode = mode;
	v->nlink = 1;
	v->count = 1;
	inode->i_vnode = v;
	init_rwsem(&v->lock, LOCK_CLASS_VNODE);
}

KT_WEAK bool vnode_tryget(struct vnode *v)
{
	u32 old = READ_ONCE(v->count);

	while (old &&
	       !__atomic_compare_exchange_n(&v->count, &old, old + 1, false,
					    __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		;
	return old != 0;
}

KT_WEAK struct vnode *vnode_get(struct vnode *v)
{
	CHECK(vnode_tryget(v));
	return v;
}

KT_WEAK void vnode_put(struct vnode *v)
{
	if (__atomic_sub_fetch(&v->count, 1, __ATOMIC_ACQ_REL) == 0)
		v->ops->evict(v);
}

/* ---- the host's tools ------------------------------------------------------
 */

static char xt_dir[64]; /* of this test's files */

/* Run a command of the host in xt_dir; its exit status, output in xt_out. */
static char xt_out[1 << 16];

MM_UNUSED static int xt_try(const char *fmt, ...)
{
	char cmd[2048], full[2600];
	va_list ap;
	FILE *f;
	size_t n;
	int st;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	snprintf(
		full, sizeof(full),
		"cd %s && PATH=$PATH:/sbin:/usr/sbin && { %s ; } 2>&1 </dev/null",
		xt_dir, cmd);
	f = popen(full, "r");
	CHECK(f);
	n = fread(xt_out, 1, sizeof(xt_out) - 1, f);
	xt_out[n] = '\0';
	st = pclose(f);
	return WEXITSTATUS(st);
}

#define xt_run(...)                                                \
	do {                                                       \
		if (xt_try(__VA_ARGS__)) {                         \
			fprintf(stderr, "%s\n", xt_out);           \
			tm_fail(#__VA_ARGS__, __FILE__, __LINE__); \
		}                                                  \
	} while (0)

MM_UNUSED static void xt_begin(void)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(xt_dir, sizeof(xt_dir), "%s/ext2XXXXXX", tmp ? tmp : "/tmp");
	CHECK(mkdtemp(xt_dir));
}

MM_UNUSED static void xt_end(void)
{
	xt_run("cd / && rm -rf %s", xt_dir);
}

static char *xt_path(const char *name)
{
	static char path[2][512];
	static int i;

	i = !i;
	snprintf(path[i], sizeof(path[i]), "%s/%s", xt_dir, name);
	return path[i];
}

/* e2fsck finds nothing to repair in the image. */
MM_UNUSED static void xt_fsck(const char *image)
{
	if (xt_try("e2fsck -fn %s", image)) {
		fprintf(stderr, "%s\n", xt_out);
		tm_fail("e2fsck -fn is content", __FILE__, __LINE__);
	}
}

/* ---- disks and mounts ------------------------------------------------------
 */

MM_UNUSED static struct port_bdev *xt_disk(const char *image)
{
	struct sim_disk_config dc = {.name = "vda", .path = xt_path(image)};
	struct port_bdev *disk;
	struct stat st;

	CHECK(stat(dc.path, &st) == 0);
	dc.size_bytes = ALIGN((u64)st.st_size, PAGE_SIZE);
	CHECK_EQ(sim_disk_open(&disk, &dc, NULL), 0);
	return disk;
}

static struct task xt_task;
static struct process xt_proc;

/* Before the first mount; xt_down after the last. */
MM_UNUSED static void xt_up(void)
{
	kt_task_init(&xt_task, &xt_proc);
	kt_start(&xt_task);
	CHECK_EQ(ext2_init(), 0);
}

MM_UNUSED static void xt_down(void)
{
	ext2_exit();
	kt_stop();
}

MM_UNUSED static int xt_mount(struct port_bdev *disk, u32 flags,
			      struct vfs_sb **out)
{
	xt_bdev = disk;
	return xt_type->mount("/dev/vda", flags, "", out);
}

MM_UNUSED static void xt_umount(struct vfs_sb *sb)
{
	vnode_put(sb->root);
	(void)sb->ops->sync(sb);
	sb->ops->unmount(sb);
}

/* ---- names -----------------------------------------------------------------
 */

static int xt_lookup_in(struct vnode *dir, const char *name, u32 len,
			struct vnode **out)
{
	int err;

	if (!S_ISDIR(dir->mode))
		return -ENOTDIR;
	down_read(&dir->lock);
	err = dir->ops->lookup(dir, name, len, out);
	up_read(&dir->lock);
	return err;
}

/* PATH's last name into *LAST, its directory into *OUT with a reference. */
static int xt_parent(struct vfs_sb *sb, const char *path, struct vnode **out,
		     const char **last)
{
	struct vnode *at = vnode_get(sb->root), *next;

	for (;;) {
		const char *slash = strchr(path, '/');
		int err;

		if (!slash)
			break;
		err = xt_lookup_in(at, path, (u32)(slash - path), &next);
		vnode_put(at);
		if (err)
			return err;
		at = next;
		path = slash + 1;
	}
	*out = at;
	*last = path;
	return 0;
}

MM_UNUSED static int xt_lookup(struct vfs_sb *sb, const char *path,
			       struct vnode **out)
{
	struct vnode *dir;
	const char *last;
	int err;

	if (!*path) {
		*out = vnode_get(sb->root);
		return 0;
	}
	err = xt_parent(sb, path, &dir, &last);
	if (err)
		return err;
	err = xt_lookup_in(dir, last, (u32)strlen(last), out);
	vnode_put(dir);
	return err;
}

MM_UNUSED static int xt_create(struct vfs_sb *sb, const char *path, u32 mode,
			       u32 rdev, struct vnode **out)
{
	struct vnode *dir, *v;
	const char *last;
	int err = xt_parent(sb, path, &dir, &last);

	if (err)
		return err;
	down_write(&dir->lock);
	err = dir->ops->lookup(dir, last, (u32)strlen(last), &v);
	if (!err) {
		vnode_put(v);
		err = -EEXIST;
	} else if (err == -ENOENT) {
		err = dir->ops->create(dir, last, (u32)strlen(last), mode, rdev,
				       &v);
		if (!err && out)
			*out = v;
		else if (!err)
			vnode_put(v);
	}
	up_write(&dir->lock);
	vnode_put(dir);
	return err;
}

MM_UNUSED static int xt_mkdir(struct vfs_sb *sb, const char *path)
{
	return xt_create(sb, path, S_IFDIR | 0755, 0, NULL);
}

MM_UNUSED static int xt_symlink(struct vfs_sb *sb, const char *path,
				const char *target)
{
	struct vnode *dir, *v;
	const char *last;
	int err = xt_parent(sb, path, &dir, &last);

	if (err)
		return err;
	down_write(&dir->lock);
	err = dir->ops->symlink(dir, last, (u32)strlen(last), target, &v);
	up_write(&dir->lock);
	if (!err)
		vnode_put(v);
	vnode_put(dir);
	return err;
}

MM_UNUSED static int xt_link(struct vfs_sb *sb, const char *from,
			     const char *path)
{
	struct vnode *dir, *v;
	const char *last;
	int err = xt_lookup(sb, from, &v);

	if (err)
		return err;
	err = xt_parent(sb, path, &dir, &last);
	if (!err) {
		down_write(&dir->lock);
		err = dir->ops->link(dir, last, (u32)strlen(last), v);
		up_write(&dir->lock);
		vnode_put(dir);
	}
	vnode_put(v);
	return err;
}

MM_UNUSED static int xt_remove(struct vfs_sb *sb, const char *path)
{
	struct vnode *dir, *v;
	const char *last;
	int err = xt_parent(sb, path, &dir, &last);

	if (err)
		return err;
	down_write(&dir->lock);
	err = dir->ops->lookup(dir, last, (u32)strlen(last), &v);
	if (!err) {
		err = S_ISDIR(v->mode)
			      ? dir->ops->rmdir(dir, last, (u32)strlen(last), v)
			      : dir->ops->unlink(dir, last, (u32)strlen(last),
						 v);
		vnode_put(v);
	}
	up_write(&dir->lock);
	vnode_put(dir);
	return err;
}

MM_UNUSED static int xt_rename(struct vfs_sb *sb, const char *from,
			       const char *to)
{
	struct vnode *a, *b, *over = NULL;
	const char *la, *lb;
	int err = xt_parent(sb, from, &a, &la);

	if (err)
		return err;
	err = xt_parent(sb, to, &b, &lb);
	if (err) {
		vnode_put(a);
		return err;
	}
	down_write(&a->lock);
	if (a != b)
		down_write_nested(&b->lock, 1);
	err = b->ops->lookup(b, lb, (u32)strlen(lb), &over);
	if (!err || err == -ENOENT)
		err = a->ops->rename(a, la, (u32)strlen(la), b, lb,
				     (u32)strlen(lb), over);
	if (a != b)
		up_write(&b->lock);
	up_write(&a->lock);
	if (over)
		vnode_put(over);
	vnode_put(a);
	vnode_put(b);
	return err;
}

/* ---- contents --------------------------------------------------------------
 */

MM_UNUSED static struct file *xt_open(struct vnode *v)
{
	struct file *f = file_open(v->inode, FMODE_READ | FMODE_WRITE, 0, "x");

	CHECK(f);
	return f;
}

/* Open PATH, making it if need be; the vnode stays by the file's inode only,
 * so it is the caller's too. */
MM_UNUSED static int xt_open_path(struct vfs_sb *sb, const char *path,
				  struct vnode **v, struct file **f)
{
	int err = xt_lookup(sb, path, v);

	if (err == -ENOENT)
		err = xt_create(sb, path, S_IFREG | 0644, 0, v);
	if (err)
		return err;
	*f = file_open((*v)->inode, FMODE_READ | FMODE_WRITE, 0, "x");
	if (*f)
		return 0;
	vnode_put(*v);
	return -ENOMEM;
}

MM_UNUSED static s64 xt_write(struct vfs_sb *sb, const char *path, u64 off,
			      const void *buf, u64 len)
{
	struct vnode *v;
	struct file *f = NULL;
	s64 n = xt_open_path(sb, path, &v, &f);

	if (n)
		return n;
	n = kernel_write(f, buf, len, &off);
	fput(f);
	vnode_put(v);
	return n;
}

MM_UNUSED static s64 xt_read(struct vfs_sb *sb, const char *path, u64 off,
			     void *buf, u64 len)
{
	struct vnode *v;
	struct file *f;
	s64 n = xt_lookup(sb, path, &v), total = 0;

	if (n)
		return n;
	f = xt_open(v);
	while ((u64)total < len) {
		n = kernel_read(f, (char *)buf + total, len - (u64)total, &off);
		if (n <= 0)
			break;
		total += n;
	}
	fput(f);
	vnode_put(v);
	return n < 0 ? n : total;
}

MM_UNUSED static int xt_truncate(struct vfs_sb *sb, const char *path, u64 size)
{
	struct vnode *v;
	int err = xt_lookup(sb, path, &v);

	if (err)
		return err;
	down_write(&v->lock);
	err = vfs_truncate(v->inode, size);
	up_write(&v->lock);
	vnode_put(v);
	return err;
}

/* ---- directories -----------------------------------------------------------
 */

#define XT_MAX_NAMES 4096
struct xt_list {
	struct dir_context ctx;
	u32 nr, room; /* taken at once */
	char (*name)[256];
	u32 type[XT_MAX_NAMES];
};

static bool xt_take(struct dir_context *ctx, const char *name, u32 len, u64 ino,
		    u32 type)
{
	struct xt_list *l = container_of(ctx, struct xt_list, ctx);

	CHECK(ino && len && len < 256);
	if (!l->room)
		return false;
	l->room--;
	if (len <= 2 && name[0] == '.' && (len == 1 || name[1] == '.'))
		return true;
	CHECK(l->nr < XT_MAX_NAMES);
	memcpy(l->name[l->nr], name, len);
	l->name[l->nr][len] = '\0';
	l->type[l->nr++] = type;
	return true;
}

/* All names of DIR, by pieces of STEP; the caller frees l->name and l. */
MM_UNUSED static struct xt_list *xt_list(struct vnode *dir, u32 step, int *err)
{
	struct xt_list *l = calloc(1, sizeof(*l));
	u32 before;

	CHECK(l);
	l->name = calloc(XT_MAX_NAMES, 256);
	CHECK(l->name);
	l->ctx.emit = xt_take;
	do {
		before = l->nr;
		l->room = step;
		down_read(&dir->lock);
		*err = dir->ops->readdir(dir, &l->ctx);
		up_read(&dir->lock);
	} while (!*err && (!l->room || l->nr != before));
	return l;
}

MM_UNUSED static void xt_list_free(struct xt_list *l)
{
	free(l->name);
	free(l);
}

#endif
