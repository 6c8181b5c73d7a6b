/* SPDX-License-Identifier: MIT */
/*
 * swap_sys.c - swapon(2) and swapoff(2) of block devices. A swap file in a file
 * system is refused with EINVAL: pages in it may be anywhere on the disk.
 */
#include <mmkit/slab.h>

#include "cache/swap.h"
#include "mm_sys/mm_sys.h"
#include "space/space.h"
#include "vfs.h"

#define CAP_SYS_ADMIN	    21
#define SWAP_FLAG_PREFER    0x8000u
#define SWAP_FLAG_PRIO_MASK 0x7fffu
#define SWAP_FLAG_DISCARD   0x70000u /* no disk here forgets */

/* Without a priority: each lower than the one before. */
static s16 next_priority = -2;

/* The disk that the user's PATH names. */
static int swap_disk(uva_t path, struct port_bdev **out)
{
	char *buf;
	int err;

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	buf = kmalloc(PATH_MAX, GFP_KERNEL);
	if (!buf)
		return -ENOMEM;
	err = user_path(buf, path);
	if (!err)
		err = blkdev_by_path(buf, out);
	kfree(buf);
	return err == -ENOTBLK ? -EINVAL : err;
}

static s64 sys_swapon(const struct sys_args *s)
{
	u32 flags = (u32)s->a[1];
	struct port_bdev *bdev;
	s16 prio;
	int err;

	if (flags &
	    ~(SWAP_FLAG_PREFER | SWAP_FLAG_PRIO_MASK | SWAP_FLAG_DISCARD))
		return -EINVAL;
	err = swap_disk(s->a[0], &bdev);
	if (err)
		return err;
	prio = flags & SWAP_FLAG_PREFER ? (s16)(flags & SWAP_FLAG_PRIO_MASK)
					: READ_ONCE(next_priority);
	err = swapon(bdev, prio);
	if (err < 0)
		return err;
	if (!(flags & SWAP_FLAG_PREFER))
		__atomic_fetch_sub(&next_priority, 1, __ATOMIC_RELAXED);
	return 0;
}

static s64 sys_swapoff(const struct sys_args *s)
{
	struct port_bdev *bdev;
	int err = swap_disk(s->a[0], &bdev);

	return err ? err : swapoff(bdev);
}

void swap_sys_init(void)
{
	static const struct syscall_def defs[] = {
		{167, "swapon", sys_swapon},
		{168, "swapoff", sys_swapoff},
	};

	syscall_register(defs, ARRAY_SIZE(defs));
}
