/* SPDX-License-Identifier: MIT */
/*
 * tmpfs_mount.c - tmpfs as a kind of file system: options, limits, statfs.
 *
 * Options as tmpfs(5): size=, nr_blocks=, nr_inodes=, mode=, uid=, gid=. Sizes
 * may end in k, m, g, or (size) % of RAM. Without them a mount may use half of
 * RAM, and have as many inodes as half of RAM has pages. ramfs has no limits
 * and knows mode= alone.
 *
 * References: tmpfs(5), mount(2), statfs(2).
 */
#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>
#include <mmkit/slab.h>

#include "base/string.h"
#include "tmpfs.h"

#define RAMFS_MAGIC 0x858458f6u

static struct tmpfs *tmpfs_sb(struct vfs_sb *sb)
{
	return container_of(sb, struct tmpfs, vsb);
}

/* ---- options ---------------------------------------------------------------
 */

/* Digits of BASE at *S into *OUT, *S behind them; false: none, or too many. */
static bool number(const char **s, u32 base, u64 *out)
{
	const char *at = *s;
	u64 v = 0;

	for (; *at >= '0' && *at < (char)('0' + base); at++) {
		if (v > (UINT64_MAX >> 5))
			return false;
		v = v * base + (u64)(*at - '0');
	}
	if (at == *s)
		return false;
	*s = at;
	*out = v;
	return true;
}

/* A size with its ending, in bytes. */
static bool size_value(const char **s, u64 *out)
{
	u32 shift = 0;

	if (!number(s, 10, out))
		return false;
	switch (**s) {
	case 'k':
	case 'K':
		shift = 10;
		break;
	case 'm':
	case 'M':
		shift = 20;
		break;
	case 'g':
	case 'G':
		shift = 30;
		break;
	case '%':
		*out = (*out * totalram_pages() / 100) << PAGE_SHIFT;
		break;
	default:
		return true;
	}
	++*s;
	if (shift && *out > (UINT64_MAX >> shift))
		return false;
	*out <<= shift;
	return true;
}

/* WORD at *S: *S behind it. */
static bool word(const char **s, const char *w)
{
	size_t n = mm_strlen(w);

	if (mm_strncmp(*s, w, n))
		return false;
	*s += n;
	return true;
}

/* One option at *S into FS. */
static bool one_option(struct tmpfs *fs, const char **s)
{
	u64 v = 0;
	bool ok = true;

	if (word(s, "size=")) {
		ok = size_value(s, &v) && v <= UINT64_MAX - PAGE_SIZE;
		fs->max_blocks = PFN_UP(v);
	} else if (word(s, "nr_blocks=")) {
		ok = size_value(s, &v);
		fs->max_blocks = v;
	} else if (word(s, "nr_inodes=")) {
		ok = size_value(s, &v);
		fs->max_inodes = v;
	} else if (word(s, "mode=")) {
		ok = number(s, 8, &v) && v <= 07777;
		fs->mode = (u32)v;
	} else if (word(s, "uid=")) {
		ok = number(s, 10, &v) && v < UINT32_MAX;
		fs->uid = (u32)v;
	} else if (word(s, "gid=")) {
		ok = number(s, 10, &v) && v < UINT32_MAX;
		fs->gid = (u32)v;
	} else {
		/* Inode numbers have 64 bits here. */
		ok = word(s, "inode64");
	}
	return ok && (**s == ',' || !**s);
}

static int options(struct tmpfs *fs, const char *data)
{
	while (*data) {
		if (*data == ',') {
			data++;
			continue;
		}
		if (!one_option(fs, &data))
			return -EINVAL;
	}
	return 0;
}

/* ---- operations ------------------------------------------------------------
 */

static void tmpfs_statfs(struct vfs_sb *sb, struct vfs_statfs *out)
{
	struct shmem_statfs s;

	shmem_get_statfs(sb->sb, &s);
	out->type = tmpfs_sb(sb)->unlimited ? RAMFS_MAGIC : s.f_type;
	out->bsize = s.f_bsize;
	out->blocks = s.f_blocks;
	out->bfree = out->bavail = s.f_bfree;
	out->files = s.f_files;
	out->ffree = s.f_ffree;
	out->namelen = NAME_MAX;
}

static int tmpfs_remount(struct vfs_sb *sb, u32 flags, const char *data)
{
	struct tmpfs *fs = tmpfs_sb(sb), new = {0};
	struct shmem_mount_options o = {0};
	int err;

	(void)flags;
	new.max_blocks = fs->max_blocks;
	new.max_inodes = fs->max_inodes;
	err = options(&new, data);
	if (err || fs->unlimited)
		return err;
	o.max_blocks = new.max_blocks;
	o.max_inodes = new.max_inodes;
	err = shmem_remount(sb->sb, &o);
	if (err)
		return err;
	fs->max_blocks = new.max_blocks;
	fs->max_inodes = new.max_inodes;
	return 0;
}

static void tmpfs_unmount(struct vfs_sb *sb)
{
	struct tmpfs *fs = tmpfs_sb(sb);

	mm_verify(shmem_umount(sb->sb) == 0);
	kfree(fs);
}

static void tmpfs_show(struct vfs_sb *sb, struct seq_buf *out)
{
	const struct tmpfs *fs = tmpfs_sb(sb);

	if (fs->max_blocks)
		seq_printf(out, ",size=%lluk",
			   (unsigned long long)(fs->max_blocks
						<< (PAGE_SHIFT - 10)));
	if (fs->max_inodes)
		seq_printf(out, ",nr_inodes=%llu",
			   (unsigned long long)fs->max_inodes);
	if (fs->mode != 01777)
		seq_printf(out, ",mode=%o", fs->mode);
}

static const struct vfs_sb_ops tmpfs_sb_ops = {
	.statfs = tmpfs_statfs,
	.remount = tmpfs_remount,
	.unmount = tmpfs_unmount,
	.show = tmpfs_show,
};

/* ---- making ----------------------------------------------------------------
 */

static int tmpfs_fill(struct tmpfs *fs, const char *data)
{
	struct shmem_mount_options o = {.s_dev = vfs_anon_dev(),
					.s_id = fs->vsb.type};
	struct vnode *root;
	int err = options(fs, data);

	if (err)
		return err;
	o.max_blocks = fs->max_blocks;
	o.max_inodes = fs->max_inodes;
	fs->vsb.sb = shmem_mount(&o);
	if (IS_ERR(fs->vsb.sb))
		return (int)PTR_ERR(fs->vsb.sb);
	root = tmpfs_root_new(fs);
	if (IS_ERR(root)) {
		mm_verify(shmem_umount(fs->vsb.sb) == 0);
		return (int)PTR_ERR(root);
	}
	fs->vsb.root = root;
	return 0;
}

int tmpfs_make(const char *type, const char *data, struct vfs_sb **out)
{
	struct tmpfs *fs = kzalloc(sizeof(*fs), GFP_KERNEL_ACCOUNT);
	int err;

	if (!fs)
		return -ENOMEM;
	spin_lock_init(&fs->lock, LOCK_CLASS_FS);
	fs->vsb.type = type;
	fs->vsb.ops = &tmpfs_sb_ops;
	fs->mode = 01777;
	fs->uid = fs_uid();
	fs->gid = fs_gid();
	fs->unlimited = type[0] == 'r';
	if (!fs->unlimited)
		fs->max_blocks = fs->max_inodes = totalram_pages() / 2;
	err = tmpfs_fill(fs, data);
	if (err) {
		kfree(fs);
		return err;
	}
	*out = &fs->vsb;
	return 0;
}

static int tmpfs_mount(const char *dev, u32 flags, const char *data,
		       struct vfs_sb **out)
{
	(void)dev;
	(void)flags;
	return tmpfs_make("tmpfs", data, out);
}

static int ramfs_mount(const char *dev, u32 flags, const char *data,
		       struct vfs_sb **out)
{
	(void)dev;
	(void)flags;
	return tmpfs_make("ramfs", data, out);
}

int tmpfs_init(void)
{
	fs_sys.node_cache =
		kmem_cache_create("tmpfs_node", sizeof(struct tmpfs_node), 0,
				  SLAB_ACCOUNT | SLAB_RECLAIM_ACCOUNT, NULL);
	if (!fs_sys.node_cache)
		return -ENOMEM;
	fs_sys.tmpfs_type =
		(struct vfs_fstype){.name = "tmpfs", .mount = tmpfs_mount};
	fs_sys.ramfs_type =
		(struct vfs_fstype){.name = "ramfs", .mount = ramfs_mount};
	vfs_register_fs(&fs_sys.ramfs_type);
	vfs_register_fs(&fs_sys.tmpfs_type);
	return 0;
}

void tmpfs_shutdown(void)
{
	if (fs_sys.node_cache)
		mm_verify(kmem_cache_destroy(fs_sys.node_cache) == 0);
	fs_sys.node_cache = NULL;
}
