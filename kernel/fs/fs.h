/* SPDX-License-Identifier: MIT */
/*
 * fs.h - names, mounts and descriptors from the inside. Theory: dcache.c,
 * mount.c, namei.c, names.c, fdtable.c.
 *
 * Locks, outermost first: f_pos, mount, rename, vnode (a parent, then its
 * child or a second parent), and the spinlocks files, fs, flock, dcache. What
 * may sleep is not called under a spinlock, and user memory is not touched
 * under a vnode's lock: a page fault ends in unmapping, and that in vnodes.
 */
#ifndef KERNEL_FS_FS_H
#define KERNEL_FS_FS_H

#include <mmkit/shrinker.h>
#include <mmkit/uaccess.h>

#include "base/list.h"
#include "base/mutex.h"
#include "base/printk.h"
#include "base/seqbuf.h"
#include "base/wait.h"
#include "machine.h"
#include "stat.h"
#include "task.h"
#include "vfs.h"

/* ---- flags as programs have them -------------------------------------------
 */

#ifndef O_CREAT
#define O_RDONLY    0u
#define O_WRONLY    1u
#define O_RDWR	    2u
#define O_ACCMODE   3u
#define O_CREAT	    0100u
#define O_EXCL	    0200u
#define O_NOCTTY    0400u
#define O_TRUNC	    01000u
#define O_NONBLOCK  04000u
#define O_ASYNC	    020000u
#define O_DIRECT    040000u
#define O_LARGEFILE 0100000u
#define O_DIRECTORY 0200000u
#define O_NOFOLLOW  0400000u
#define O_NOATIME   01000000u
#define O_CLOEXEC   02000000u
#define O_PATH	    010000000u
#define O_TMPFILE   020200000u
#endif
#define __O_TMPFILE 020000000u

#define AT_SYMLINK_NOFOLLOW 0x100u
#define AT_REMOVEDIR	    0x200u
#define AT_EACCESS	    0x200u
#define AT_SYMLINK_FOLLOW   0x400u
#define AT_NO_AUTOMOUNT	    0x800u
#define AT_EMPTY_PATH	    0x1000u
#define AT_STATX_SYNC_TYPE  0x6000u

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1u
#define RENAME_EXCHANGE	 2u
#endif

/* struct file.f_mode beyond mmkit/fs.h */
#define FMODE_PATH	0x4000u	 /* O_PATH: a place, not contents */
#define FMODE_WRITER	0x8000u	 /* counted in vnode.writers */
#define FMODE_DENYWRITE 0x10000u /* taken from vnode.writers: it is run */
#define FMODE_OWNPATH	0x40000u /* f_path is kmalloc()ed for it */

#ifndef S_ISUID
#define S_ISUID	    04000u
#define S_ISGID	    02000u
#define S_ISVTX	    01000u
#define S_ISDIR(m)  (((m)&S_IFMT) == S_IFDIR)
#define S_ISLNK(m)  (((m)&S_IFMT) == S_IFLNK)
#define S_ISCHR(m)  (((m)&S_IFMT) == S_IFCHR)
#define S_ISFIFO(m) (((m)&S_IFMT) == S_IFIFO)
#define S_ISSOCK(m) (((m)&S_IFMT) == S_IFSOCK)
#endif

#define MAY_EXEC  1u
#define MAY_WRITE 2u
#define MAY_READ  4u

/* capabilities(7) */
#define CAP_CHOWN	    0
#define CAP_DAC_OVERRIDE    1
#define CAP_DAC_READ_SEARCH 2
#define CAP_FOWNER	    3
#define CAP_FSETID	    4
#define CAP_SYS_CHROOT	    18
#define CAP_SYS_ADMIN	    21
#define CAP_SYS_RESOURCE    24
#define CAP_MKNOD	    27
#define CAP_SYSLOG	    34

#define RLIMIT_FSIZE  1
#define RLIMIT_NOFILE 7

/* ---- names (dcache.c) ------------------------------------------------------
 */

#define DENTRY_INLINE  32u
#define DCACHE_BUCKETS 1024u
#define SYMLINKS_MAX   40u

#define DENTRY_DELETED 0x1u /* the name is gone; shown as such */
#define DENTRY_ON_LRU  0x2u

/* (C) constant; (D) dcache_lock; (N) changed with the parent's vnode.lock held
 * for writing and dcache_lock. */
struct dentry {
	struct vfs_mount *mnt; /* (C) */
	struct dentry
		*parent;     /* (N) with a reference; itself: a mount's root */
	struct vnode *vnode; /* (N) with a reference; NULL: no such name */
	u32 count;	     /* (D) 0 .. 1; above that atomic */
	u32 hash;	     /* (N) of the name */
	u32 len;	     /* (N) */
	u32 flags;	     /* (D) DENTRY_* */
	u64 dirgen;	     /* (D) parent's when it was found */
	struct hlist_node in_hash;
	struct list_head sibling, children; /* (D) */
	struct list_head lru;		    /* (D) */
	struct vfs_mount *mounted;	    /* (D) on it */
	char *name; /* (N) inline_name, or kmalloc()ed */
	char inline_name[DENTRY_INLINE];
};

/* A name in a directory. */
struct qstr {
	const char *name;
	u32 len;
};

/* dentry_make: a name of PARENT for VNODE (whose reference it takes over, also
 * on failure; NULL: a negative one), hashed, one reference. If there is such a
 * name already, that one is returned. PARENT's vnode.lock is held. NULL: no
 * memory. dentry_make_root: of MNT. */
struct dentry *dentry_make(struct dentry *parent, const struct qstr *q,
			   struct vnode *vnode) MM_MUST_CHECK;
struct dentry *dentry_make_root(struct vfs_mount *mnt,
				struct vnode *vnode) MM_MUST_CHECK;
/* dentry_make_unhashed: as dentry_make(), of a file that has no name. */
struct dentry *dentry_make_unhashed(struct dentry *parent, const struct qstr *q,
				    struct vnode *vnode) MM_MUST_CHECK;
/* dentry_find: the cached name, with a reference, positive or negative; NULL:
 * not cached, or not true any more. */
struct dentry *dentry_find(struct dentry *parent, const struct qstr *q);
/* dentry_drop: not found any more; GONE: its object lost this name. */
void dentry_drop(struct dentry *d, bool gone);
/* dentry_instantiate: the negative D stands for VNODE (reference taken over)
 * now. dentry_move: D becomes the name Q of PARENT; NAME is room for it if it
 * is long. Parents' locks held. dentry_exchange: A and B change places. */
void dentry_instantiate(struct dentry *d, struct vnode *vnode);
void dentry_move(struct dentry *d, struct dentry *parent, const struct qstr *q,
		 char *name);
void dentry_exchange(struct dentry *a, struct dentry *b);
/* dentry_is_below: is D or a parent of it TOP? Mounts are not crossed. */
bool dentry_is_below(struct dentry *d, const struct dentry *top);
/* dentry_parent: with a reference. dentry_follow_mounts: D, whose reference is
 * taken over, or the root of what is mounted on it. */
struct dentry *dentry_parent(struct dentry *d);
/* dentry_parent_name: the same, and D's name at that moment, up to NAME_MAX
 * bytes and an end mark. dentry_deleted: its name is gone. */
struct dentry *dentry_parent_name(struct dentry *d, char *name, u32 *len);
bool dentry_deleted(const struct dentry *d);
struct dentry *dentry_follow_mounts(struct dentry *d);
/* dcache_prune_mount: names of MNT that nobody uses go. Between dcache_quiet()
 * and dcache_unquiet() nobody else frees such names, nor is in the middle of
 * that: what refers to a mount then is in use. */
void dcache_prune_mount(struct vfs_mount *mnt);
void dcache_quiet(void);
void dcache_unquiet(void);
/* dentry_text: the path of D as seen from ROOT into BUF[SIZE]; the text is at
 * its end, *TEXT. -ENAMETOOLONG, or the length. *REACHED: ROOT was met. */
s64 dentry_text(struct dentry *d, struct dentry *root, char *buf, size_t size,
		char **text, bool *reached);
int dcache_init(void) MM_MUST_CHECK;
void dcache_shutdown(void);
/* dcache_check: counts, hash and lists against each other. At rest. */
void dcache_check(void);

/* ---- mounts (mount.c) ------------------------------------------------------
 */

struct vfs_mount {
	struct vfs_sb *sb;	   /* (C) */
	struct dentry *root;	   /* (C) a reference */
	struct dentry *mountpoint; /* (D) a reference; NULL: nowhere */
	struct list_head all;	   /* (mount lock) in order of mounting */
	u32 flags;		   /* MS_* of this mount */
	u32 nr_mounted;		   /* (D) on names of it */
	char *dev;		   /* (C) as /proc/mounts shows it */
	char *bound; /* (C) where in its file system ROOT was; NULL: "/" */
	s32 id;
	bool detached;	   /* (D) goes with its last name */
	bool expire_asked; /* (mount lock) MNT_EXPIRE saw it unused */
};

/* mount_put_detached: the last name of MNT, detached, is gone. May sleep. */
void mount_free_detached(struct vfs_mount *mnt);

/* anon_inode: in no file system, one reference; NULL: no memory. */
struct inode *anon_inode(u32 mode,
			 const struct file_operations *fop) MM_MUST_CHECK;
/* anon_link (anon.c): a place for FILE, which has no name, with a reference.
 * 0, -ENOMEM. */
int anon_link(struct file *file, struct dentry **out) MM_MUST_CHECK;
bool mount_readonly(const struct vfs_mount *mnt);
int mounts_init(void) MM_MUST_CHECK;
void mounts_shutdown(void);
int do_mount(const char *dev, const char *dir, const char *type, u32 flags,
	     const char *data);
int do_umount(const char *dir, u32 flags);
int do_pivot_root(const char *new_root, const char *put_old);
struct vfs_fstype *fstype_find(const char *name);
/* sync_sbs: every file system writes what it has besides files' contents. */
void sync_sbs(void);

/* ---- walks (namei.c) -------------------------------------------------------
 */

enum last_type { LAST_NAME, LAST_DOT, LAST_DOTDOT, LAST_ROOT };

/* Where to go on when a link's text is at its end. */
struct walk_text {
	char *buf;
	const char *rest;
};

/* A walk: where it is and what is left. The caller zeroes it. */
struct walk {
	u32 flags; /* LOOKUP_* */
	u32 links; /* followed so far */
	struct dentry *root, *cur;
	const char *rest; /* of the path */
	char *buf;	  /* a link's text that REST points into */
	u32 depth;	  /* texts that were left in the middle: */
	struct walk_text *left;
	struct qstr last;
	enum last_type type;
	bool slash; /* LAST is followed by slashes */
};

#define LOOKUP_NO_SYMLINKS 0x100u /* openat2(2): RESOLVE_* */
#define LOOKUP_NO_MAGIC	   0x200u
#define LOOKUP_NO_XDEV	   0x400u
#define LOOKUP_BENEATH	   0x800u
#define LOOKUP_IN_ROOT	   0x1000u

/* walk_start .. walk_end: WALK from DFD along PATH, which stays. walk_parent:
 * up to the last component; walk_link: D, the last one (its reference is taken
 * over), is a link: go on along it. Each: 0 or -errno; walk_end() is called in
 * any case. */
int walk_start(struct walk *w, int dfd, const char *path, u32 flags);
int walk_parent(struct walk *w);
int walk_link(struct walk *w, struct dentry *d);
void walk_end(struct walk *w);
/* walk_lookup: Q in DIR, *OUT positive or negative, mounts followed.
 * lookup_locked: the same with DIR's lock held, mounts not followed. */
int walk_lookup(struct walk *w, struct dentry *dir, const struct qstr *q,
		struct dentry **out);
int lookup_locked(struct dentry *dir, const struct qstr *q,
		  struct dentry **out);
/* path_parent: the directory of PATH's last name, W as walk_parent() leaves
 * it; the caller calls walk_end(). */
int path_parent(struct walk *w, int dfd, const char *path, u32 flags);

/* ---- watches (inotify.c) ---------------------------------------------------
 */

/* inotify(7): what events are made of. */
#define IN_ACCESS	 0x001u
#define IN_MODIFY	 0x002u
#define IN_ATTRIB	 0x004u
#define IN_CLOSE_WRITE	 0x008u
#define IN_CLOSE_NOWRITE 0x010u
#define IN_OPEN		 0x020u
#define IN_MOVED_FROM	 0x040u
#define IN_MOVED_TO	 0x080u
#define IN_CREATE	 0x100u
#define IN_DELETE	 0x200u
#define IN_DELETE_SELF	 0x400u
#define IN_MOVE_SELF	 0x800u
#define IN_ALL_EVENTS	 0xfffu
#define IN_UNMOUNT	 0x2000u
#define IN_Q_OVERFLOW	 0x4000u
#define IN_IGNORED	 0x8000u
#define IN_ISDIR	 0x40000000u

void notify_init(void);
/* Each says that MASK has happened; nothing is told where nobody watches. They
 * do not sleep, but for giving up a file that IN_ONESHOT watched: no spinlock
 * is held. notify_name: to the name NAME of DIR. notify_self: to V. notify_file
 * and notify_dentry: to the watchers of the directory too. */
void notify_name(struct vnode *dir, u32 mask, const struct qstr *name,
		 u32 cookie);
void notify_self(struct vnode *v, u32 mask);
void notify_dentry(struct dentry *d, u32 mask);
void notify_file(struct file *file, u32 mask);
/* notify_cookie: joins the two halves of a move. */
u32 notify_cookie(void);
/* notify_gone: V has lost its last name and who used that; notify_unmount: SB
 * goes. Their watches end. */
void notify_gone(struct vnode *v);
void notify_unmount(const struct vfs_sb *sb);

/* ---- rights and attributes (attr.c) ----------------------------------------
 */

bool fs_capable(int cap); /* kernel threads: all */
u32 fs_uid(void);
u32 fs_gid(void);
bool fs_in_group(u32 gid);
bool owner_or_capable(const struct vnode *v);
/* may_write_mount: 0; -EROFS. */
int may_write_mount(const struct dentry *d);
/* dentry_permission: vfs_permission() and what the mount forbids. */
int dentry_permission(const struct dentry *d, u32 mask);
int do_chmod(struct dentry *d, u32 mode);
int do_chown(struct dentry *d, u32 uid, u32 gid);
#define UTIME_NOW  0x3fffffff
#define UTIME_OMIT 0x3ffffffe
/* TIMES NULL: now. tv_nsec as utimensat(2). */
int do_utimes(struct dentry *d, const struct vfs_time *times);
int do_truncate(struct vnode *v, u64 size);
/* truncate_as_writer: by name, where no descriptor counts as a writer yet:
 * -ETXTBSY while V runs. */
int truncate_as_writer(struct vnode *v, u64 size);
/* The marks that reading and writing leave. */
void file_accessed(struct file *file);
void file_modified(struct file *file);
/* file_dentry: NULL: it has no name. file_node: what it was opened as: of a
 * disk the node, not the disk's own inode; NULL: pipes and the like. */
static inline struct dentry *file_dentry(const struct file *file)
{
	return (struct dentry *)file->f_dentry;
}
static inline struct vnode *file_node(const struct file *file)
{
	return file->f_dentry ? file_dentry(file)->vnode : file_vnode(file);
}
/* file_getattr: fstat(2). */
int file_getattr(struct file *file, struct kstat *st);

/* ---- open files (open.c, names.c) ------------------------------------------
 */

struct open_how {
	int dfd;
	const char *path;
	u32 flags, mode;
	u32 lookup; /* LOOKUP_* of openat2(2) */
};
struct file *do_open(const struct open_how *how);
struct file *open_dentry(struct dentry *d, u32 flags);
int device_open(struct vnode *v, struct file *file);
void file_last_put(struct file *file);

int do_mknod(int dfd, const char *path, u32 mode, u32 rdev);
int do_mkdir(int dfd, const char *path, u32 mode);
int do_unlink(int dfd, const char *path, bool dir);
int do_symlink(const char *target, int dfd, const char *path);
struct link_args {
	int olddfd;
	const char *oldpath;
	int newdfd;
	const char *newpath;
	u32 flags;
};
int do_link(const struct link_args *a);
int do_rename(const struct link_args *a);
/* may_create / may_delete: in DIR, whose lock is held. */
int may_create(const struct dentry *dir);
/* create_mode: what of MODE a new object in DIR has: without the umask's bits,
 * and no set-group-ID for a group that is DIR's and not the maker's. */
u32 create_mode(const struct vnode *dir, u32 mode);
int may_delete(const struct dentry *dir, const struct dentry *d, bool is_dir);
/* vnode_gone: V lost a name. */
void dir_changed(struct vnode *dir);

/* ---- descriptors (fdtable.c) -----------------------------------------------
 */

struct files_struct {
	u32 count; /* (A) */
	spinlock_t lock;
	u32 size;	     /* (lock) slots */
	u32 next;	     /* (lock) no free one below */
	struct file **fd;    /* (lock) NULL: free, or reserved */
	u64 *open, *cloexec; /* (lock) bitmaps */
};

struct file *fd_get_raw(int fd) MM_MUST_CHECK; /* O_PATH files too */
/* fd_reserve .. fd_fill or fd_unreserve: a descriptor before its file. */
int fd_reserve(int min, bool cloexec) MM_MUST_CHECK;
void fd_fill(int fd, struct file *file); /* reference taken over */
void fd_unreserve(int fd);
int fd_dup2(struct file *file, int fd, bool cloexec) MM_MUST_CHECK;
int fd_cloexec_get(int fd);
int fd_cloexec_set(int fd, bool on);
int fd_close_range(u32 first, u32 last, bool only_mark);
struct files_struct *files_current(void);

struct fs_struct {
	u32 count; /* (A) */
	spinlock_t lock;
	struct dentry *root, *pwd; /* (lock) references */
	u32 umask;		   /* (A) */
};

struct fs_struct *fs_current(void);
struct dentry *fs_root_get(void);
struct dentry *fs_pwd_get(void);
void fs_set_root(struct fs_struct *fs, struct dentry *d);
void fs_set_pwd(struct fs_struct *fs, struct dentry *d);
/* fs_chroot_all: who has OLD as root or working directory has NEW from now on:
 * the kernel and the running task. */
void fs_replace(struct dentry *old, struct dentry *new);

/* ---- locks on files (locks.c) ----------------------------------------------
 */

struct flock64 { /* as user space has it */
	s16 l_type, l_whence;
	s32 pad;
	s64 l_start, l_len;
	s32 l_pid;
	s32 pad2;
};
s64 file_fcntl_lock(struct file *file, u32 cmd, struct flock64 *fl);
int file_flock(struct file *file, u32 op);
/* locks_close: a descriptor of the current process for FILE was closed.
 * locks_release: FILE goes. */
void locks_close(struct file *file, const struct files_struct *owner);
void locks_release(struct file *file);
int locks_init(void) MM_MUST_CHECK;
bool locks_none(void);
/* locks_show: /proc/locks. */
void locks_show(struct seq_buf *out);

/* ---- kinds (tmpfs.c, devfs.c) ----------------------------------------------
 */

int tmpfs_init(void) MM_MUST_CHECK;
void tmpfs_shutdown(void);
int dev_init(void) MM_MUST_CHECK;
void dev_shutdown(void);
int mem_dev_init(void) MM_MUST_CHECK;

/* kmsg.c. kmsg_open: of /dev/kmsg. proc_kmsg_*: /proc/kmsg, the unread log as
 * syslog(2) has it: reads -EAGAIN, -ERESTARTSYS, -ENOMEM, -EFAULT; opens
 * -EPERM. */
void kmsg_init(void);
void kmsg_exit(void);
int kmsg_open(struct vnode *v, struct file *file) MM_MUST_CHECK;
extern const struct file_operations kmsg_fops;
extern const struct file_operations proc_kmsg_fops;
int proc_kmsg_may_open(void) MM_MUST_CHECK;
int devpts_init(void) MM_MUST_CHECK;
void devpts_shutdown(void);

/* ---- vectors (iter.c) ------------------------------------------------------
 */

#define UIO_MAXIOV 1024u
struct uvec {
	struct mm_struct *mm;
	u32 nr, at;
	u64 done; /* bytes of iov[at] */
	struct mm_iovec *iov;
	struct mm_iovec few[8];
};
/* uvec_get: the NR elements at UIOV; *ITER goes over them. -EINVAL, -EFAULT,
 * -ENOMEM. uvec_put: in any case. */
int uvec_get(struct uvec *v, struct iov_iter *iter, uva_t uiov,
	     u64 nr) MM_MUST_CHECK;
void uvec_put(struct uvec *v);

/* ---- initramfs (cpio.c, inflate.c) ----------------------------------------
 */

/* inflate_gzip: one member of a gzip file at IN[LEN]: its contents go to SINK
 * (0, or an errno that ends it) in order. *USED: bytes of the member. 0; or
 * -EINVAL, *WHY a text and *USED where it went wrong; -ENOMEM; SINK's. */
struct inflate_sink {
	int (*take)(struct inflate_sink *sink, const u8 *data, u64 n);
};
int inflate_gzip(const u8 *in, u64 len, struct inflate_sink *sink, u64 *used,
		 const char **why) MM_MUST_CHECK;

/* ---- state -----------------------------------------------------------------
 */

struct chrdev;
struct blkdev;
struct file_lock;

/* Of a message that names no level; the second of kernel.printk. */
#define LOG_DEFAULT_LEVEL PRINTK_WARN

/* kmsg.c: who reads the log. */
struct fs_log {
	wait_queue_head_t wait;
	struct machine_timer tick;
	u64 seen; /* (A) records, by the timer */
	struct mutex lock;
	struct printk_pos read;	 /* (lock) of all who read as syslog(2) */
	u32 part;		 /* (lock) bytes of it that were given */
	struct printk_pos clear; /* (lock) where dmesg begins */
	u32 console;		 /* (lock) the level that was; 0: it is on */
	u32 restricted;		 /* (A) kernel.dmesg_restrict */
};

struct fs_state {
	struct kmem_cache *dentry_cache, *mount_cache, *names_cache;
	struct kmem_cache *files_cache, *fs_cache, *node_cache, *lock_cache;
	spinlock_t dcache_lock;
	struct hlist_head *hash;    /* (dcache_lock) */
	struct list_head lru;	    /* (dcache_lock) oldest first */
	u64 nr_dentries, nr_unused; /* (dcache_lock) */
	struct mutex rename_lock, mount_lock;
	struct rw_semaphore prune_lock; /* dcache.c, 6 */
	struct list_head mounts, sbs;	/* (mount_lock) */
	s32 next_mount_id;		/* (mount_lock) */
	u32 next_anon_dev;		/* (A) */
	struct vfs_fstype *fstypes;	/* at boot */
	struct vfs_fstype tmpfs_type, ramfs_type, devtmpfs_type;
	struct fs_struct init_fs; /* the kernel's own */
	spinlock_t lock_lock;	  /* locks.c */
	struct list_head locks, blocked;
	struct chrdev *chrdevs;		 /* at boot */
	struct blkdev *blkdevs;		 /* at boot */
	const struct vfs_fifo_ops *fifo; /* at boot */
	struct vfs_mount *anon_mnt;	 /* anon.c: hangs nowhere */
	struct vfs_sb *dev_sb;		 /* devtmpfs */
	struct super_block anon_sb;
	u64 anon_ino; /* (A) */
	struct fs_log log;
	struct shrinker shrinker;
	bool has_shrinker, up;
};
extern struct fs_state fs_sys;

#endif
