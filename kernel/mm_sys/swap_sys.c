/* SPDX-License-Identifier: MIT */
/*
 * swap_sys.c - swapon(2) and swapoff(2) of block devices, and of files in a
 * file system that can say where on its disk they lie (ext2). Files elsewhere,
 * and with holes, are refused with EINVAL.
 */
#include <mmkit/slab.h>

#include "cache/swap.h"
#include "mm_sys/mm_sys.h"
#include "space/space.h"
#include "vfs.h"

#define CAP_SYS_ADMIN		21
#define O_RDWR			2u
#define SWAP_FLAG_PREFER	0x8000u
#define SWAP_FLAG_PRIO_MASK	0x7fffu
#define SWAP_FLAG_DISCARD	0x10000u /* with neither of these: both */
#define SWAP_FLAG_DISCARD_ONCE	0x20000u
#define SWAP_FLAG_DISCARD_PAGES 0x40000u
#define SWAP_FLAGS_KNOWN                                              \
	(SWAP_FLAG_PREFER | SWAP_FLAG_PRIO_MASK | SWAP_FLAG_DISCARD | \
	 SWAP_FLAG_DISCARD_ONCE | SWAP_FLAG_DISCARD_PAGES)

/* Without a priority: each lower than the one before. */
static s16 next_priority = -2;

/* What the user's path names: a disk, or a regular file. */
struct swap_at {
	char path[PATH_MAX];
	struct port_bdev *bdev; /* NULL: the file */
	struct file *file;	/* open for writing */
};

/* Fill AT, ours to give back by swap_put(), from the user's PATH. */
static int swap_find(uva_t path, struct swap_at **out)
{
	struct swap_at *at;
	int err;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	at = kzalloc(sizeof(*at), GFP_KERNEL);
	if (!at)
		return -ENOMEM;
	err = user_path(at->path, path);
	if (!err)
		err = blkdev_by_path(at->path, &at->bdev);
	if (err == -ENOTBLK) {
		at->file = vfs_open(AT_FDCWD, at->path, O_RDWR, 0);
		err = IS_ERR(at->file) ? (int)PTR_ERR(at->file) : 0;
	}
	if (err)
		kfree(at);
	else
		*out = at;
	return err == -EISDIR ? -EINVAL : err;
}

static void swap_put(struct swap_at *at)
{
	if (at->file)
		fput(at->file);
	kfree(at);
}

/* With the whole name of the file, or of the disk's node, in /proc/swaps. */
static int swapon_named(struct swap_at *at, s16 prio, u32 discard)
{
	char *buf = kzalloc(PATH_MAX, GFP_KERNEL), *name = buf;
	s64 err;

	if (!buf)
		return -ENOMEM;
	if (at->bdev)
		err = vfs_realpath(at->path, buf, PATH_MAX, &name);
	else
		err = file_path(at->file, buf, PATH_MAX);
	if (err >= 0)
		err = at->bdev ? swapon_as(at->bdev, name, prio, discard)
			       : swapon_file(at->file, name, prio, discard);
	kfree(buf);
	return (int)err;
}

/* What is to be forgotten: nothing without the first flag. */
static u32 discard_of(u32 flags)
{
	if (!(flags & SWAP_FLAG_DISCARD))
		return 0;
	if (flags & SWAP_FLAG_DISCARD_ONCE)
		return SWAP_DISCARD_ONCE;
	if (flags & SWAP_FLAG_DISCARD_PAGES)
		return SWAP_DISCARD_PAGES;
	return SWAP_DISCARD_ONCE | SWAP_DISCARD_PAGES;
}

static s64 sys_swapon(const struct sys_args *s)
{
	u32 flags = (u32)s->a[1];
	struct swap_at *at;
	s16 prio;
	int err;

	if (flags & ~SWAP_FLAGS_KNOWN)
		return -EINVAL;
	err = swap_find(s->a[0], &at);
	if (err)
		return err;
	prio = flags & SWAP_FLAG_PREFER ? (s16)(flags & SWAP_FLAG_PRIO_MASK)
					: READ_ONCE(next_priority);
	err = swapon_named(at, prio, discard_of(flags));
	swap_put(at);
	if (err < 0)
		return err;
	if (!(flags & SWAP_FLAG_PREFER))
		__atomic_fetch_sub(&next_priority, 1, __ATOMIC_RELAXED);
	return 0;
}

static s64 sys_swapoff(const struct sys_args *s)
{
	struct swap_at *at;
	int err = swap_find(s->a[0], &at);

	if (err)
		return err;
	err = at->bdev ? swapoff(at->bdev) : swapoff_file(at->file->f_inode);
	swap_put(at);
	return err;
}

void swap_sys_init(void)
{
	static const struct syscall_def defs[] = {
		{167, "swapon", sys_swapon},
		{168, "swapoff", sys_swapoff},
	};

	syscall_register(defs, ARRAY_SIZE(defs));
}
