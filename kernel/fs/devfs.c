/* SPDX-License-Identifier: MIT */
/*
 * devfs.c - devices: who answers for a number, and devtmpfs, where each has
 * its name.
 *
 * 1. Numbers. A driver registers a range of character devices, or a disk, at
 *    boot; nothing is ever taken away. Opening a device node, of whatever file
 *    system, finds the driver by the number (ENXIO: there is none).
 *
 * 2. Disks. A disk has one inode with its contents in the page cache, of
 *    kind S_IFBLK (its pages are "Buffers"), made when it is registered; all
 *    nodes of its number open that one. Its file knows it by f_inode; the
 *    node that it was opened by is f_dentry's.
 *
 * 3. devtmpfs is one tmpfs, the same wherever it is mounted; registering makes
 *    the node, directories on the way included ("input/mice").
 *
 * References: mknod(2), null(4), hd(4); Linux documentation,
 * admin-guide/devices.
 */
#include <mmkit/errno.h>
#include <mmkit/flatfile.h>
#include <mmkit/port.h>
#include <mmkit/slab.h>

#include "base/printk.h"
#include "base/seqbuf.h"
#include "base/string.h"
#include "cache/filemap.h"
#include "tmpfs.h"

struct chrdev {
	struct chrdev *next;
	u32 rdev, nr;
	const struct file_operations *fop;
	int (*open)(struct vnode *v, struct file *file);
};

struct blkdev {
	struct blkdev *next;
	u32 rdev;
	struct port_bdev *bdev;
	struct inode *inode;
	struct super_block sb;
	char name[16];
};

/* ---- finding ---------------------------------------------------------------
 */

static const struct chrdev *chrdev_find(u32 rdev)
{
	const struct chrdev *c = fs_sys.chrdevs;

	while (c && rdev - c->rdev >= c->nr)
		c = c->next;
	return c;
}

static struct blkdev *blkdev_find(u32 rdev)
{
	struct blkdev *b = fs_sys.blkdevs;

	while (b && b->rdev != rdev)
		b = b->next;
	return b;
}

/* FILE, of a node of the disk B, is the disk's. */
static void open_disk(struct blkdev *b, struct file *file)
{
	struct inode *node = file->f_inode;

	ihold(b->inode);
	file->f_inode = b->inode;
	file->f_mapping = b->inode->i_mapping;
	file->f_op = b->inode->i_fop;
	iput(node);
}

int device_open(struct vnode *v, struct file *file)
{
	const struct chrdev *c;
	struct blkdev *b;

	if ((v->mode & S_IFMT) == S_IFBLK) {
		b = blkdev_find(v->rdev);
		if (!b)
			return -ENXIO;
		open_disk(b, file);
		return 0;
	}
	c = chrdev_find(v->rdev);
	if (!c)
		return -ENXIO;
	file->f_op = c->fop;
	return c->open ? c->open(v, file) : 0;
}

int blkdev_by_path(const char *path, struct port_bdev **out)
{
	struct dentry *d;
	struct blkdev *b;
	int err;

	if (!path || !*path)
		return -ENOENT;
	err = vfs_lookup(AT_FDCWD, path, LOOKUP_FOLLOW, &d);
	if (err)
		return err;
	if ((d->vnode->mode & S_IFMT) != S_IFBLK) {
		err = -ENOTBLK;
	} else if (d->mnt->flags & MS_NODEV) {
		err = -EACCES;
	} else {
		b = blkdev_find(d->vnode->rdev);
		if (b)
			*out = b->bdev;
		else
			err = -ENXIO;
	}
	dput(d);
	return err;
}

/* Majors by their names, where something is registered. */
void vfs_show_devices(struct seq_buf *out)
{
	static const struct {
		u32 major;
		const char *name;
	} names[] = {{1, "mem"},	  {4, "ttyS"},	    {5, "/dev/tty"},
		     {5, "/dev/console"}, {5, "/dev/ptmx"}, {136, "pts"}};
	const u32 minor[] = {0, 0, 0, 1, 2, 0};
	const struct chrdev *c;

	seq_puts(out, "Character devices:\n");
	for (u32 i = 0; i < ARRAY_SIZE(names); i++) {
		u32 from = MKDEV(names[i].major, minor[i]);

		for (c = fs_sys.chrdevs; c; c = c->next)
			if (names[i].major == 5 ? c->rdev == from
						: c->rdev >> 8 == from >> 8)
				break;
		if (c)
			seq_printf(out, "%3u %s\n", names[i].major,
				   names[i].name);
	}
	seq_puts(out, "\nBlock devices:\n");
	if (fs_sys.blkdevs)
		seq_printf(out, "%3u virtblk\n",
			   fs_sys.blkdevs->rdev >> 8 & 0xfffu);
}

s64 vfs_realpath(const char *path, char *buf, size_t size, char **text)
{
	struct dentry *d, *root;
	bool reached;
	s64 ret = vfs_lookup(AT_FDCWD, path, LOOKUP_FOLLOW, &d);

	if (ret)
		return ret;
	root = fs_root_get();
	ret = dentry_text(d, root, buf, size, text, &reached);
	dput(root);
	dput(d);
	return ret;
}

/* ---- devtmpfs --------------------------------------------------------------
 */

/* The directory that PATH's last name is in, made where it is not there; its
 * name is *LAST. */
static int parent_dir(const char *path, struct vnode **dir, const char **last)
{
	struct vnode *v = vnode_get(fs_sys.dev_sb->root), *next;
	const char *slash;
	int err = 0;

	for (; (slash = mm_strchr(path, '/')) && !err; path = slash + 1) {
		u32 len = (u32)(slash - path);

		down_write(&v->lock);
		err = v->ops->lookup(v, path, len, &next);
		if (err == -ENOENT)
			err = v->ops->create(v, path, len, S_IFDIR | 0755, 0,
					     &next);
		up_write(&v->lock);
		if (!err) {
			vnode_put(v);
			v = next;
		}
	}
	if (err)
		vnode_put(v);
	*dir = v;
	*last = path;
	return err;
}

static int devnode_make(const char *name, u32 mode, u32 rdev)
{
	const char *last;
	struct vnode *dir, *v;
	u32 len;
	int err = parent_dir(name, &dir, &last);

	if (err)
		return err;
	len = (u32)mm_strlen(last);
	down_write(&dir->lock);
	err = dir->ops->lookup(dir, last, len, &v);
	if (err == -ENOENT)
		err = dir->ops->create(dir, last, len, mode, rdev, &v);
	/* The mode is as said, whatever the umask. */
	if (!err) {
		v->mode = mode;
		vnode_put(v);
		dir->dirgen++;
	}
	up_write(&dir->lock);
	vnode_put(dir);
	return err;
}

static int devtmpfs_mount(const char *dev, u32 flags, const char *data,
			  struct vfs_sb **out)
{
	(void)dev;
	(void)flags;
	(void)data;
	*out = fs_sys.dev_sb;
	return 0;
}

/* ---- registering -----------------------------------------------------------
 */

int chrdev_register(u32 rdev, u32 nr, const char *name, u32 mode,
		    const struct file_operations *fop,
		    int (*open)(struct vnode *v, struct file *file))
{
	struct chrdev *c;
	int err;

	for (u32 i = 0; i < nr; i++) {
		if (chrdev_find(rdev + i))
			return -EBUSY;
	}
	c = kzalloc(sizeof(*c), GFP_KERNEL);
	if (!c)
		return -ENOMEM;
	*c = (struct chrdev){fs_sys.chrdevs, rdev, nr, fop, open};
	err = name ? devnode_make(name, S_IFCHR | (mode & 07777), rdev) : 0;
	if (err) {
		kfree(c);
		return err;
	}
	fs_sys.chrdevs = c;
	return 0;
}

int blkdev_register(u32 rdev, const char *name, struct port_bdev *bdev)
{
	struct blkdev *b;
	int err;

	if (blkdev_find(rdev))
		return -EBUSY;
	b = kzalloc(sizeof(*b), GFP_KERNEL);
	if (!b)
		return -ENOMEM;
	(void)mm_strscpy(b->name, name, sizeof(b->name));
	b->rdev = rdev;
	b->bdev = bdev;
	b->sb = (struct super_block){
		.s_dev = rdev, .s_id = b->name, .s_maxbytes = MAX_LFS_FILESIZE};
	err = flatfile_new(&b->sb, bdev, rdev, S_IFBLK | 0600, &b->inode);
	if (!err) {
		err = devnode_make(name, S_IFBLK | 0660, rdev);
		if (err)
			iput(b->inode);
	}
	if (err) {
		kfree(b);
		return err;
	}
	b->next = fs_sys.blkdevs;
	fs_sys.blkdevs = b;
	return 0;
}

/* ---- boot ------------------------------------------------------------------
 */

int dev_init(void)
{
	int err = tmpfs_make("devtmpfs", "mode=755", &fs_sys.dev_sb);

	if (err)
		return err;
	/* It is never given up: a mount of nobody's. */
	fs_sys.dev_sb->mounts = 1;
	INIT_LIST_HEAD(&fs_sys.dev_sb->all);
	fs_sys.devtmpfs_type = (struct vfs_fstype){.name = "devtmpfs",
						   .mount = devtmpfs_mount};
	vfs_register_fs(&fs_sys.devtmpfs_type);
	return 0;
}

void dev_shutdown(void)
{
	struct chrdev *c;
	struct blkdev *b;

	while ((c = fs_sys.chrdevs)) {
		fs_sys.chrdevs = c->next;
		kfree(c);
	}
	while ((b = fs_sys.blkdevs)) {
		fs_sys.blkdevs = b->next;
		iput(b->inode);
		kfree(b);
	}
	if (fs_sys.dev_sb) {
		mm_verify(fs_sys.dev_sb->mounts == 1);
		vnode_put(fs_sys.dev_sb->root);
		fs_sys.dev_sb->ops->unmount(fs_sys.dev_sb);
	}
	fs_sys.dev_sb = NULL;
}
