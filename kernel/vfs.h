/* SPDX-License-Identifier: MIT */
/*
 * vfs.h - names, open files and descriptors.
 *
 * Three things, from the inside out. An inode (mmkit/fs.h) is contents in the
 * page cache. A vnode is an object of a file system: a directory, file, link,
 * device; it has an owner, times, and operations on names; inode->i_vnode leads
 * from its contents to it. A dentry is a name in a directory, cached; a path
 * is a dentry and the mount it was reached through.
 *
 * An open file is struct file of mmkit/fs.h: file->f_dentry is the name that
 * it was opened by (NULL: pipe, socket, memfd). What has no pages (pipes,
 * devices, /proc) has file_operations with read_iter and write_iter.
 *
 * Results are 0 or a value, or a negative errno. All may sleep unless said.
 */
#ifndef KERNEL_VFS_H
#define KERNEL_VFS_H

#include <mmkit/errno.h>
#include <mmkit/fs.h>
#include <mmkit/types.h>

#include "base/wait.h"

struct dentry;
struct port_bdev;
struct seq_buf;
struct task;
struct vnode;
struct vfs_mount;
struct vfs_sb;

/* file.f_mode, beside those of mmkit/fs.h. */
#define FMODE_STREAM 0x80000u /* no position: pipes, sockets, ttys */

#define NAME_MAX 255u
#define PATH_MAX 4096u

struct kstat; /* kernel/stat.h: what stat(2) and statx(2) are made of */

struct vfs_time {
	s64 sec;
	u32 nsec;
};

/* Which fields of struct vattr count. */
#define ATTR_MODE  0x01u
#define ATTR_UID   0x02u
#define ATTR_GID   0x04u
#define ATTR_SIZE  0x08u
#define ATTR_ATIME 0x10u
#define ATTR_MTIME 0x20u
#define ATTR_CTIME 0x40u
struct vattr {
	u32 valid;
	u32 mode, uid, gid;
	u64 size;
	struct vfs_time atime, mtime, ctime;
};

/* readdir's taker of names; false: no more, this one did not fit. */
struct dir_context {
	bool (*emit)(struct dir_context *ctx, const char *name, u32 len,
		     u64 ino, u32 type /* DT_* */);
	u64 pos; /* in, out: where the next readdir goes on; 0: start */
};

/*
 * What a file system does. NAME[LEN] is one component, never "." or "..",
 * without an end mark. Directories are locked (vnode.lock) by the caller: for
 * writing where names change, for reading in lookup and readdir. A NULL
 * operation is -EPERM (changes), -ENOTDIR (lookup), -EINVAL (readlink).
 */
struct vnode_ops {
	/* *OUT with a reference; -ENOENT. */
	int (*lookup)(struct vnode *dir, const char *name, u32 len,
		      struct vnode **out);
	/* A name of DIR that was looked up before led to V (NULL: to nothing):
	 * does it still? False: look up anew. Names of /proc come and go by
	 * themselves. Does not sleep. NULL: it does. */
	bool (*revalidate)(struct vnode *dir, struct vnode *v);
	/* MODE has S_IFREG, DIR, CHR, BLK, FIFO or SOCK; RDEV for devices. */
	int (*create)(struct vnode *dir, const char *name, u32 len, u32 mode,
		      u32 rdev, struct vnode **out);
	int (*symlink)(struct vnode *dir, const char *name, u32 len,
		       const char *target, struct vnode **out);
	int (*link)(struct vnode *dir, const char *name, u32 len,
		    struct vnode *target);
	int (*unlink)(struct vnode *dir, const char *name, u32 len,
		      struct vnode *victim);
	int (*rmdir)(struct vnode *dir, const char *name, u32 len,
		     struct vnode *victim);
	/* OVER: what has the new name now, or NULL. */
	int (*rename)(struct vnode *dir, const char *name, u32 len,
		      struct vnode *newdir, const char *newname, u32 newlen,
		      struct vnode *over);
	/* At most SIZE bytes of the link's text, no end mark; its length. */
	s64 (*readlink)(struct vnode *link, char *buf, size_t size);
	/* A link that is not text (/proc/self/fd/3): a path with references
	 * of the caller's. NULL: readlink's text is followed. */
	int (*get_link)(struct vnode *link, struct dentry **out);
	int (*readdir)(struct vnode *dir, struct dir_context *ctx);
	/* Change what A says; mode, times, owner are set in the vnode after
	 * success by the caller. Size: truncates contents. NULL: only size of
	 * regular files, by vfs_truncate(). */
	int (*setattr)(struct vnode *v, const struct vattr *a);
	/* Set what differs from the vnode's fields. NULL: nothing does. */
	void (*getattr)(struct vnode *v, struct kstat *st);
	/* FILE, whose f_op is the inode's, is being opened. May set f_op and
	 * private_data. NULL: nothing to do. */
	int (*open)(struct vnode *v, struct file *file);
	/* Nobody refers to it any more; nlink 0: its contents go. Gives up the
	 * inode (iput()) and frees V or lets that happen. May sleep. */
	void (*evict)(struct vnode *v);
	/* Two names change what they stand for: renameat2(RENAME_EXCHANGE).
	 * NULL: -EINVAL. */
	int (*exchange)(struct vnode *dir, const char *name, u32 len,
			struct vnode *newdir, const char *newname, u32 newlen);
	/* A regular file without a name, nlink 0, for O_TMPFILE. NULL:
	 * -EOPNOTSUPP. */
	int (*tmpfile)(struct vnode *dir, u32 mode, struct vnode **out);
};

/* vnode.flags */
#define VNODE_DEAD     0x1u /* a directory that was removed: no new names */
#define VNODE_LINKABLE 0x2u /* without a name, and may be given one */

/* (L) lock; (C) constant; (A) atomic. The inode holds its contents. */
struct vnode {
	const struct vnode_ops *ops; /* (C) */
	struct vfs_sb *sb;	     /* (C) */
	struct inode *inode;	     /* (C) always there */
	u64 ino;		     /* (C) */
	u32 mode;		     /* (L) S_IF* and permissions */
	u32 uid, gid;		     /* (L) */
	u32 nlink;		     /* (L) */
	u32 rdev;		     /* (C) makedev(3) */
	u32 count;		     /* (A) vnode_get(), vnode_put() */
	u32 flags;		     /* (L) VNODE_* */
	s32 writers; /* (A) open for writing; below 0: so many run it */
	u64 dirgen;  /* (L) goes up when names change behind other mounts */
	struct vfs_time atime, mtime, ctime; /* (L), atime loosely */
	struct rw_semaphore lock;  /* names in a directory; attributes */
	void *private;		   /* the file system's */
	void *socket, *fifo;	   /* of these kinds: what is bound, open */
	struct hlist_head watches; /* fs/inotify.c */
};

/* A mounted file system; embedded by each kind, zeroed. The kind sets the
 * fields above the line. */
struct vfs_sb {
	const char *type;	/* (C) "ext2" */
	struct super_block *sb; /* (C) sb->s_dev: vfs_anon_dev(), or the disk */
	u32 flags;		/* MS_RDONLY and kin */
	struct vnode *root;	/* (C) a reference, put by the core */
	const struct vfs_sb_ops *ops;
	void *private;
	/* ---- the core's */
	struct port_bdev *bdev; /* (C) of kinds with needs_dev */
	u32 mounts;		/* (mount lock) of it */
	struct list_head all;	/* (mount lock) */
};

/* mount(2) */
#define MS_RDONLY      0x1u
#define MS_NOSUID      0x2u
#define MS_NODEV       0x4u
#define MS_NOEXEC      0x8u
#define MS_SYNCHRONOUS 0x10u
#define MS_REMOUNT     0x20u
#define MS_NOATIME     0x400u
#define MS_NODIRATIME  0x800u
#define MS_BIND	       0x1000u
#define MS_MOVE	       0x2000u
#define MS_REC	       0x4000u
#define MS_SILENT      0x8000u
#define MS_RELATIME    0x200000u
#define MS_STRICTATIME 0x1000000u
/* umount2(2) */
#define MNT_FORCE	0x1u
#define MNT_DETACH	0x2u
#define MNT_EXPIRE	0x4u
#define UMOUNT_NOFOLLOW 0x8u

struct vfs_statfs { /* statfs(2) */
	u64 type, bsize, blocks, bfree, bavail, files, ffree, namelen;
};

struct vfs_sb_ops {
	void (*statfs)(struct vfs_sb *sb, struct vfs_statfs *out);
	int (*sync)(struct vfs_sb *sb);
	int (*remount)(struct vfs_sb *sb, u32 flags, const char *data);
	/* No vnode is in use any more; all was synced. SB is freed. */
	void (*unmount)(struct vfs_sb *sb);
	/* ",size=64k": options for /proc/mounts. May be NULL. */
	void (*show)(struct vfs_sb *sb, struct seq_buf *out);
};

/* A kind of file system. mount: *OUT, or -ENODEV, -EINVAL (data, or not such
 * a file system), -EIO... DEV is a path or any word. */
struct vfs_fstype {
	const char *name;
	bool needs_dev;
	int (*mount)(const char *dev, u32 flags, const char *data,
		     struct vfs_sb **out);
	struct vfs_fstype *next;
};
void vfs_register_fs(struct vfs_fstype *type);

/* vfs_anon_dev: a device number for a file system without a disk. */
u32 vfs_anon_dev(void);
/* vfs_show_mounts: /proc/mounts, as the current task sees it.
 * vfs_show_mountinfo: /proc/PID/mountinfo. vfs_show_devices: /proc/devices. */
void vfs_show_mounts(struct seq_buf *out);
void vfs_show_mountinfo(struct seq_buf *out);
void vfs_show_devices(struct seq_buf *out);
/* vfs_now: the time that vnodes are stamped with. */
struct vfs_time vfs_now(void);

/* vnode_get: a reference more, the caller has one. vnode_tryget: the same of
 * what was found without one; false: evict has been or is being called.
 * vnode_put: the last one calls evict. May sleep.
 * vnode_init: V, zeroed, with INODE (whose reference it takes over, i_vnode is
 * set), one reference, one link; the owner is the caller's to set. */
struct vnode *vnode_get(struct vnode *v);
bool vnode_tryget(struct vnode *v) MM_MUST_CHECK;
void vnode_put(struct vnode *v);
void vnode_init(struct vnode *v, struct vfs_sb *sb, struct inode *inode,
		const struct vnode_ops *ops, u64 ino, u32 mode);
/* vnode_linkable: may V be given a name more? link asks again under what guards
 * nlink: of two tasks one may be taking the last name. */
static inline bool vnode_linkable(const struct vnode *v)
{
	return READ_ONCE(v->nlink) || (READ_ONCE(v->flags) & VNODE_LINKABLE);
}
static inline struct vnode *file_vnode(const struct file *file)
{
	return (struct vnode *)file->f_inode->i_vnode; /* NULL: memfd */
}

/* ---- devices --------------------------------------------------------------
 */

#define MKDEV(ma, mi) \
	((u32)(((ma) << 8 & 0xfff00u) | ((mi)&0xffu) | ((mi) & ~0xffu) << 12))

/* chrdev_register: opening a character device RDEV .. RDEV + NR - 1 gives files
 * with FOP; devtmpfs gets /dev/NAME (first one only; NULL: none). OPEN may be
 * NULL. At boot. */
int chrdev_register(u32 rdev, u32 nr, const char *name, u32 mode,
		    const struct file_operations *fop,
		    int (*open)(struct vnode *v, struct file *file));
/* blkdev_register: /dev/NAME is BDEV, cached and mappable (flatfile). */
int blkdev_register(u32 rdev, const char *name, struct port_bdev *bdev);
/* devpts_add: /dev/pts/INDEX is character device RDEV, the current task's.
 * -ENOMEM, -ENOSPC, -EEXIST. devpts_remove: not any more. May sleep. */
int devpts_add(u32 index, u32 rdev);
void devpts_remove(u32 index);
/* devpts_open: INDEX opened with FLAGS through the devpts that is mounted on
 * "pts" beside PTMX, an open /dev/ptmx; -ENODEV: none is. Rights of names are
 * not asked: who has PTMX made it. May sleep. */
struct file *devpts_open(struct file *ptmx, u32 index, u32 flags);
/* blkdev_by_path: the disk that a path names; -ENOTBLK, -ENOENT, -ENXIO. */
int blkdev_by_path(const char *path, struct port_bdev **out);
/* vfs_realpath: what PATH leads to, links followed, as the current task sees
 * it from its root, into BUF[SIZE]; the text is at its end, *TEXT. Its length;
 * -ENOENT, -ENAMETOOLONG and what a walk fails with. */
s64 vfs_realpath(const char *path, char *buf, size_t size, char **text);
/*
 * Fifos and pipes, as the part that knows them does it. OPEN makes an open
 * file of an S_IFIFO vnode work: sets f_op and private_data; may sleep until
 * the other side comes. HOLD: FILE's pipe for a vnode's fifo field, and who
 * made it; PUT gives it back.
 * vfs_set_fifo: at boot; until then opening one is -ENXIO.
 */
struct vfs_fifo_ops {
	int (*open)(struct vnode *v, struct file *file);
	void *(*hold)(struct file *file, u32 *uid, u32 *gid);
	void (*put)(void *fifo);
};
void vfs_set_fifo(const struct vfs_fifo_ops *ops);

/*
 * iter_put / iter_get: N bytes from BUF to ITER (what a read gives), or from
 * ITER to BUF (what a write takes), user memory being faulted in. How many;
 * fewer only where user memory is not there. May sleep; no lock held that a
 * page fault takes.
 */
u64 iter_put(struct iov_iter *iter, const void *buf, u64 n);
u64 iter_get(struct iov_iter *iter, void *buf, u64 n);
/* iter_text: a read at *POS of LEN bytes of TEXT that stand ready: bytes, 0,
 * -EFAULT. For /proc files. */
s64 iter_text(struct iov_iter *iter, u64 *pos, const char *text, u64 len);

/* ---- polling ---------------------------------------------------------------
 */

#define POLLIN	   0x001u
#define POLLPRI	   0x002u
#define POLLOUT	   0x004u
#define POLLERR	   0x008u
#define POLLHUP	   0x010u
#define POLLNVAL   0x020u
#define POLLRDNORM 0x040u
#define POLLRDBAND 0x080u
#define POLLWRNORM 0x100u
#define POLLRDHUP  0x2000u

/*
 * file_operations.poll(file, table): what is ready now, POLL*; if TABLE is not
 * NULL it calls poll_wait() first with each queue that is woken when that
 * changes. NULL operation: always readable and writable.
 */
struct poll_table {
	void (*queue)(struct poll_table *pt, wait_queue_head_t *wq);
	u32 events; /* what is asked for; POLLERR and POLLHUP always are */
};
static inline void poll_wait(struct poll_table *pt, wait_queue_head_t *wq)
{
	if (pt)
		pt->queue(pt, wq);
}
/* Of a file with one queue for readers and one for writers: those that say
 * something about what is asked for. Both are woken for errors and hang-ups. */
static inline void poll_wait_rw(struct poll_table *pt, wait_queue_head_t *rd,
				wait_queue_head_t *wr)
{
	bool out = pt && (pt->events & (POLLOUT | POLLWRNORM));

	if (out)
		pt->queue(pt, wr);
	if (pt && (!out || (pt->events & (POLLIN | POLLRDNORM | POLLRDHUP |
					  POLLPRI | POLLRDBAND))))
		pt->queue(pt, rd);
}
u32 vfs_poll(struct file *file, struct poll_table *pt);

/* ---- descriptors -----------------------------------------------------------
 */

struct files_struct; /* a table of descriptors, shared by CLONE_FILES */
struct files_struct *files_new(void);
struct files_struct *files_get(struct files_struct *f);
void files_put(struct files_struct *f);
/* files_copy: fork. files_exec: close what is close-on-exec. */
struct files_struct *files_copy(struct files_struct *f);
void files_exec(struct files_struct *f);

/* fd_get: the current task's file FD with a reference, NULL: -EBADF. */
struct file *fd_get(int fd) MM_MUST_CHECK;
/* fd_install: the lowest free descriptor >= MIN for FILE, whose reference it
 * takes over on success; -EMFILE (RLIMIT_NOFILE). */
int fd_install(struct file *file, int min, bool cloexec) MM_MUST_CHECK;
int fd_close(int fd);
/* files_for_each: of a table that the caller holds; FD and FILE (referenced by
 * the table) to FN, which does not sleep. For /proc/PID/fd. */
void files_for_each(struct files_struct *f,
		    bool (*fn)(int fd, struct file *file, void *arg),
		    void *arg);
struct file *files_file(struct files_struct *f, int fd); /* a reference more */

/* anon_file: an open file without a name: pipes, sockets, epoll. NAME is what
 * /proc/PID/fd shows ("anon_inode:[eventpoll]", "pipe:[%d]", number is the
 * inode's); kept. MODE FMODE_*; S_MODE S_IFIFO, S_IFSOCK, or 0. ERR_PTR. */
struct file *anon_file(const char *name, const struct file_operations *fop,
		       void *private, u32 fmode, u32 flags, u32 s_mode);

/* ---- paths ------------------------------------------------------------------
 */

struct fs_struct; /* root, working directory, umask; shared by CLONE_FS */
struct fs_struct *fs_new(void);
struct fs_struct *fs_get(struct fs_struct *fs);
void fs_put(struct fs_struct *fs);
struct fs_struct *fs_copy(struct fs_struct *fs);

#define AT_FDCWD	 (-100)
#define LOOKUP_FOLLOW	 0x1u /* the last component, if it is a link */
#define LOOKUP_PARENT	 0x2u /* stop before the last component */
#define LOOKUP_DIRECTORY 0x4u
#define LOOKUP_EMPTY	 0x8u /* "" is the descriptor itself */

/* vfs_open: PATH (in the kernel's memory) from directory DFD on; FLAGS O_*.
 * ERR_PTR. vfs_open_exec: for execve: -EACCES unless it may be run. */
struct file *vfs_open(int dfd, const char *path, u32 flags, u32 mode);
struct file *vfs_open_exec(int dfd, const char *path);
/* vfs_lookup: *OUT with a reference. */
int vfs_lookup(int dfd, const char *path, u32 lookup, struct dentry **out);
struct dentry *dget(struct dentry *d);
void dput(struct dentry *d);
struct vnode *dentry_vnode(const struct dentry *d);
/* dentry_path: the absolute path as the current task sees it, " (deleted)"
 * behind it if it is. BUF[SIZE]; -ENAMETOOLONG, or its length. */
s64 dentry_path(struct dentry *d, char *buf, size_t size);
/* file_path: the same for an open file, or the name of anon_file(). */
s64 file_path(struct file *file, char *buf, size_t size);

int vfs_mkdir(int dfd, const char *path, u32 mode);
int vfs_mknod(int dfd, const char *path, u32 mode, u32 rdev);
int vfs_symlink(const char *target, int dfd, const char *path);
int vfs_unlink(int dfd, const char *path, bool dir);
int vfs_mount(const char *dev, const char *dir, const char *type, u32 flags,
	      const char *data);
int vfs_umount(const char *dir, u32 flags);
/* vfs_permission: 0 or -EACCES; MASK 4 read, 2 write, 1 execute. */
int vfs_permission(const struct vnode *v, u32 mask);
/* vfs_getattr: see stat.h. vfs_setattr: without asking for rights: calls the
 * file system, sets the vnode. */
int vfs_getattr(struct vnode *v, struct kstat *st);
int vfs_setattr(struct vnode *v, const struct vattr *a);

/* Boot order of this part: root (an empty tmpfs), /dev, what the initramfs
 * holds. initramfs_unpack: cpio "newc", concatenated, gzip or plain; messages
 * name the archive's offset. 0 or -EINVAL, -ENOSPC, -ENOMEM; then WHY[WHY_SIZE]
 * says in words what it was, and what was unpacked so far is there. */
int vfs_init(void) MM_MUST_CHECK;
/* vfs_shutdown: everything is given back; no task has files. For tests. */
void vfs_shutdown(void);
/* vfs_mount_root: DEV ("/dev/vda") of kind TYPE (NULL: each that needs a
 * device is tried) becomes the root of the file names, with /dev moved along;
 * flags MS_RDONLY or 0. The caller has no other tasks yet. Logs why it fails:
 * -errno. */
int vfs_mount_root(const char *dev, const char *type, u32 flags) MM_MUST_CHECK;
int initramfs_unpack(const void *image, u64 size, char *why,
		     size_t why_size) MM_MUST_CHECK;

#endif
