/* SPDX-License-Identifier: MIT */
/*
 * parts_weak.c - parts of the kernel that an image may be built without. Each
 * says that it is not there; where the part is linked its own functions win.
 */
#include <mmkit/errno.h>
#include <mmkit/fs.h>

#include "event.h"
#include "ktime.h"
#include "metal.h"
#include "syscall.h"
#include "vfs.h"

#define WEAK __attribute__((weak))
#define ABSENT_INT(proto)       \
	WEAK proto;             \
	WEAK proto              \
	{                       \
		return -ENOSYS; \
	}
#define ABSENT_PTR(proto)                \
	WEAK proto;                      \
	WEAK proto                       \
	{                                \
		return ERR_PTR(-ENOSYS); \
	}
#define ABSENT_NULL(proto)   \
	WEAK proto;          \
	WEAK proto           \
	{                    \
		return NULL; \
	}
#define ABSENT_ZERO(proto) \
	WEAK proto;        \
	WEAK proto         \
	{                  \
		return 0;  \
	}
#define ABSENT_VOID(proto) \
	WEAK proto;        \
	WEAK proto         \
	{                  \
	}

#pragma GCC diagnostic ignored "-Wunused-parameter"

/* Files. */
ABSENT_VOID(void fs_sys_init(void))
ABSENT_INT(int vfs_init(void))
ABSENT_INT(int initramfs_unpack(const void *image, u64 size))
ABSENT_INT(int vfs_mount_root(const char *dev, const char *type, u32 flags))
ABSENT_INT(int blkdev_register(u32 rdev, const char *name,
			       struct port_bdev *bdev))
ABSENT_PTR(struct file *vfs_open(int dfd, const char *path, u32 flags,
				 u32 mode))
ABSENT_PTR(struct file *vfs_open_exec(int dfd, const char *path))
ABSENT_INT(int vfs_lookup(int dfd, const char *path, u32 lookup,
			  struct dentry **out))
ABSENT_INT(int blkdev_by_path(const char *path, struct port_bdev **out))
WEAK u64 iter_put(struct iov_iter *iter, const void *buf, u64 n)
{
	return 0;
}
ABSENT_INT(int vfs_permission(const struct vnode *v, u32 mask))
ABSENT_PTR(struct file *anon_file(const char *name,
				  const struct file_operations *fop,
				  void *private, u32 fmode, u32 flags,
				  u32 s_mode))
ABSENT_NULL(struct vnode *dentry_vnode(const struct dentry *d))
ABSENT_VOID(void dput(struct dentry *d))
ABSENT_NULL(struct file *fd_get(int fd))
ABSENT_INT(int fd_close(int fd))
ABSENT_INT(int fd_install(struct file *file, int min, bool cloexec))
ABSENT_NULL(struct files_struct *files_new(void))
ABSENT_NULL(struct files_struct *files_get(struct files_struct *f))
ABSENT_NULL(struct files_struct *files_copy(struct files_struct *f))
ABSENT_VOID(void files_put(struct files_struct *f))
ABSENT_VOID(void files_exec(struct files_struct *f))
ABSENT_NULL(struct file *files_file(struct files_struct *f, int fd))
ABSENT_NULL(struct fs_struct *fs_new(void))
ABSENT_NULL(struct fs_struct *fs_get(struct fs_struct *fs))
ABSENT_NULL(struct fs_struct *fs_copy(struct fs_struct *fs))
ABSENT_VOID(void fs_put(struct fs_struct *fs))

ABSENT_INT(int chrdev_register(u32 rdev, u32 nr, const char *name, u32 mode,
			       const struct file_operations *fop,
			       int (*open)(struct vnode *v, struct file *file)))
ABSENT_VOID(void vfs_set_fifo_open(int (*open)(struct vnode *v,
					       struct file *file)))
ABSENT_ZERO(u64 iter_get(struct iov_iter *iter, void *buf, u64 n))
ABSENT_ZERO(u32 vfs_poll(struct file *file, struct poll_table *pt))

/* Events and terminals. */
ABSENT_VOID(void event_sys_init(void))
ABSENT_INT(int event_init(void))
ABSENT_NULL(struct tty *tty_of_process(struct process *p))
ABSENT_INT(s32 tty_fg_pgrp(const struct tty *tty))
WEAK u32 tty_rdev(const struct tty *tty)
{
	return 0;
}
ABSENT_VOID(void tty_put(struct tty *tty))
ABSENT_VOID(void tty_inherit(struct process *child, struct process *parent))
ABSENT_VOID(void tty_setsid(struct process *p))
ABSENT_VOID(void tty_process_exit(struct process *p))

/* Clocks. */
ABSENT_VOID(void time_sys_init(void))
ABSENT_INT(int time_init(void))
ABSENT_VOID(void time_process_init(struct process *p))
ABSENT_VOID(void time_process_exec(struct process *p))
ABSENT_VOID(void time_process_exit(struct process *p))
ABSENT_VOID(void futex_exit(struct task *t))
ABSENT_VOID(void futex_exec(struct task *t))
ABSENT_INT(int user_read_timespec(struct ktimespec *out, u64 from))
WEAK u64 timespec_ns(const struct ktimespec *t)
{
	return 0;
}

/* Calls of memory. */
ABSENT_VOID(void mm_sys_init(void))
