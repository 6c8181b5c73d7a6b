/* SPDX-License-Identifier: MIT */
/*
 * tmpfs.h - the objects of tmpfs, for tmpfs.c, tmpfs_mount.c and devtmpfs.
 */
#ifndef KERNEL_FS_TMPFS_H
#define KERNEL_FS_TMPFS_H

#include <mmkit/shmem.h>

#include "base/rbtree.h"
#include "fs.h"

struct tmpfs {
	struct vfs_sb vsb;
	spinlock_t lock; /* nlink of its objects; class FS */
	u64 max_blocks, max_inodes;
	u32 mode, uid, gid; /* of the root */
	bool unlimited;	    /* ramfs */
};

struct tmpfs_node {
	struct vnode vnode;
	struct rb_root names;	/* (vnode.lock) of a directory */
	struct list_head order; /* (vnode.lock) the same, as they were made */
	u64 last_cookie;	/* (vnode.lock) */
	char *link;		/* (C) a symbolic link's text */
	struct vfs_time btime;	/* (C) */
};

/* tmpfs_root_new: a directory for FS's root: a vnode, or ERR_PTR. */
struct vnode *tmpfs_root_new(struct tmpfs *fs);
/* tmpfs_make: a file system of TYPE with options DATA: *OUT, or -EINVAL,
 * -ENOMEM. Not mounted yet. */
int tmpfs_make(const char *type, const char *data, struct vfs_sb **out);

#endif
