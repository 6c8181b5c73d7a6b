/* SPDX-License-Identifier: MIT */
/*
 * devpts.c - the names of pseudoterminals: a file system of kind "devpts".
 *
 * It is a tmpfs whose files a kernel makes and takes away; all mounts show the
 * same one. What is made belongs to who opened the master, with the group and
 * mode that the last mount asked for (gid=, mode=; 0600 and the opener's own
 * group without).
 *
 * Reference: pts(4); Linux documentation, filesystems/devpts.
 */
#include <mmkit/errno.h>

#include "base/seqbuf.h"
#include "base/string.h"
#include "tmpfs.h"

#define DEVPTS_MAGIC 0x1cd1u

static struct {
	struct vfs_fstype type;
	struct vfs_sb *sb;
	const struct vfs_sb_ops *below; /* tmpfs's */
	struct vfs_sb_ops ops;
	u32 gid, mode; /* (mount lock), read loosely */
	bool has_gid;
} devpts_sys;

/* ---- names -----------------------------------------------------------------
 */

static u32 name_of(u32 index, char name[12])
{
	return (u32)mm_scnprintf(name, 12, "%u", index);
}

int devpts_add(u32 index, u32 rdev)
{
	struct vnode *dir = devpts_sys.sb->root, *v;
	char name[12];
	u32 len = name_of(index, name);
	int err;

	down_write(&dir->lock);
	err = dir->ops->create(dir, name, len,
			       S_IFCHR | READ_ONCE(devpts_sys.mode), rdev, &v);
	if (!err) {
		v->mode = S_IFCHR | READ_ONCE(devpts_sys.mode);
		v->uid = fs_uid();
		v->gid = READ_ONCE(devpts_sys.has_gid)
				 ? READ_ONCE(devpts_sys.gid)
				 : fs_gid();
		vnode_put(v);
		dir->dirgen++;
	}
	up_write(&dir->lock);
	return err;
}

void devpts_remove(u32 index)
{
	struct vnode *dir = devpts_sys.sb->root, *v;
	char name[12];
	u32 len = name_of(index, name);

	down_write(&dir->lock);
	/* root may have removed it. */
	if (!dir->ops->lookup(dir, name, len, &v)) {
		if (v->rdev == MKDEV(136, index) &&
		    !dir->ops->unlink(dir, name, len, v))
			dir->dirgen++;
		vnode_put(v);
	}
	up_write(&dir->lock);
}

/* The root of the devpts on DIR's "pts", with a reference. */
static int find_mount(struct dentry *dir, struct dentry **out)
{
	struct qstr q = {"pts", 3};
	struct walk w = {.flags = 0};
	int err = walk_lookup(&w, dir, &q, out);

	if (err || (*out)->mnt->sb == devpts_sys.sb)
		return err;
	dput(*out);
	return -ENODEV;
}

struct file *devpts_open(struct file *ptmx, u32 index, u32 flags)
{
	struct dentry *dir = dentry_parent(file_dentry(ptmx)), *root, *d;
	struct walk w = {.flags = 0};
	struct file *file;
	char name[12];
	struct qstr q = {name, name_of(index, name)};
	int err = find_mount(dir, &root);

	dput(dir);
	if (err)
		return ERR_PTR(err);
	err = walk_lookup(&w, root, &q, &d);
	dput(root);
	if (err)
		return ERR_PTR(err);
	/* root may have removed it. */
	file = d->vnode ? open_dentry(d, flags) : ERR_PTR(-ENOENT);
	dput(d);
	return file;
}

/* ---- mounting --------------------------------------------------------------
 */

/* "KEY=NUMBER" at *S, up to its comma. */
static bool take_number(const char **s, const char *key, u32 base, u32 *out)
{
	size_t n = mm_strlen(key);
	const char *at = *s;
	u64 v = 0;

	if (mm_strncmp(at, key, n) || at[n] < '0' || at[n] > '9')
		return false;
	for (at += n; *at >= '0' && *at < (char)('0' + base); at++) {
		v = v * base + (u64)(*at - '0');
		if (v > UINT32_MAX)
			return false;
	}
	if (*at && *at != ',')
		return false;
	*out = (u32)v;
	*s = at;
	return true;
}

/* There is no ptmx here, whose mode ptmxmode= would be: /dev/ptmx is the one.
 */
static int devpts_options(const char *data)
{
	u32 gid = 0, mode = 0600, no_ptmx;
	bool has_gid = false;

	for (const char *s = data ? data : ""; *s;) {
		if (*s == ',')
			s++;
		else if (take_number(&s, "gid=", 10, &gid))
			has_gid = true;
		else if (!take_number(&s, "mode=", 8, &mode) &&
			 !take_number(&s, "ptmxmode=", 8, &no_ptmx))
			return -EINVAL;
	}
	WRITE_ONCE(devpts_sys.gid, gid);
	WRITE_ONCE(devpts_sys.has_gid, has_gid);
	WRITE_ONCE(devpts_sys.mode, mode & 0777);
	return 0;
}

static int devpts_mount(const char *dev, u32 flags, const char *data,
			struct vfs_sb **out)
{
	int err = devpts_options(data);

	(void)dev;
	(void)flags;
	if (!err)
		*out = devpts_sys.sb;
	return err;
}

static int devpts_remount(struct vfs_sb *sb, u32 flags, const char *data)
{
	(void)sb;
	(void)flags;
	return devpts_options(data);
}

static void devpts_statfs(struct vfs_sb *sb, struct vfs_statfs *out)
{
	devpts_sys.below->statfs(sb, out);
	out->type = DEVPTS_MAGIC;
}

static void devpts_show(struct vfs_sb *sb, struct seq_buf *out)
{
	(void)sb;
	if (devpts_sys.has_gid)
		seq_printf(out, ",gid=%u", devpts_sys.gid);
	seq_printf(out, ",mode=%03o", devpts_sys.mode);
}

int devpts_init(void)
{
	int err = tmpfs_make("devpts", "mode=755", &devpts_sys.sb);

	if (err)
		return err;
	/* It is never given up: a mount of nobody's. */
	devpts_sys.sb->mounts = 1;
	INIT_LIST_HEAD(&devpts_sys.sb->all);
	devpts_sys.below = devpts_sys.sb->ops;
	devpts_sys.ops = *devpts_sys.below;
	devpts_sys.ops.statfs = devpts_statfs;
	devpts_sys.ops.show = devpts_show;
	devpts_sys.ops.remount = devpts_remount;
	devpts_sys.sb->ops = &devpts_sys.ops;
	devpts_sys.mode = 0600;
	devpts_sys.has_gid = false;
	devpts_sys.type =
		(struct vfs_fstype){.name = "devpts", .mount = devpts_mount};
	vfs_register_fs(&devpts_sys.type);
	return 0;
}

void devpts_shutdown(void)
{
	if (!devpts_sys.sb)
		return;
	mm_verify(devpts_sys.sb->mounts == 1);
	vnode_put(devpts_sys.sb->root);
	devpts_sys.sb->ops->unmount(devpts_sys.sb);
	devpts_sys.sb = NULL;
}
