/* SPDX-License-Identifier: MIT */
/*
 * stat.h - what stat(2) and statx(2) tell of an object, before it takes the
 * form that a program asked for.
 */
#ifndef KERNEL_STAT_H
#define KERNEL_STAT_H

#include "vfs.h"

/* vfs_getattr() fills all from the vnode and its inode; then the file system's
 * getattr changes what it knows better. */
struct kstat {
	u64 ino;
	u32 dev, rdev; /* makedev(3) */
	u32 mode, nlink, uid, gid;
	u64 size;
	u64 blocks; /* of 512 bytes */
	u32 blksize;
	struct vfs_time atime, mtime, ctime, btime;
	bool has_btime;
};

#endif
