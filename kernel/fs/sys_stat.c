/* SPDX-License-Identifier: MIT */
/*
 * sys_stat.c - system calls on attributes: stat and statx, access, chmod,
 * chown, times, sizes, statfs, and extended attributes, which no file system
 * here has.
 *
 * access(2) asks with the real ids: for the time of the question the running
 * task's file-system ids are those, and its capabilities are root's or none.
 *
 * References: the man pages of the calls in the table at the end.
 */
#include <mmkit/errno.h>
#include <mmkit/shmem.h>

#include "base/string.h"
#include "cache/filemap.h"
#include "sys.h"

/* ---- stat ------------------------------------------------------------------
 */

struct user_stat {
	u64 dev, ino, nlink;
	u32 mode, uid, gid, pad;
	u64 rdev;
	s64 size, blksize, blocks;
	u64 atime, atime_ns, mtime, mtime_ns, ctime, ctime_ns;
	s64 unused[3];
};
MM_STATIC_ASSERT(sizeof(struct user_stat) == 144, "struct stat of x86-64");

static s64 put_stat(const struct kstat *k, uva_t to)
{
	struct user_stat u = {
		.dev = k->dev,
		.ino = k->ino,
		.nlink = k->nlink,
		.mode = k->mode,
		.uid = k->uid,
		.gid = k->gid,
		.rdev = k->rdev,
		.size = (s64)k->size,
		.blksize = k->blksize,
		.blocks = (s64)k->blocks,
		.atime = (u64)k->atime.sec,
		.atime_ns = k->atime.nsec,
		.mtime = (u64)k->mtime.sec,
		.mtime_ns = k->mtime.nsec,
		.ctime = (u64)k->ctime.sec,
		.ctime_ns = k->ctime.nsec,
	};

	return user_write(to, &u, sizeof(u));
}

static int getattr_fd(int fd, struct kstat *k)
{
	struct file *file = fd_get_raw(fd);
	int err;

	if (!file)
		return -EBADF;
	err = file_getattr(file, k);
	fput(file);
	return err;
}

/* No path at all, or "", with AT_EMPTY_PATH: the descriptor itself, which
 * need not have a name. */
static bool empty_path(uva_t upath, u32 flags)
{
	char c = 0;

	return (flags & AT_EMPTY_PATH) &&
	       (!upath || (!user_read(&c, upath, 1) && !c));
}

static int getattr_at(int dfd, uva_t upath, u32 flags, struct kstat *k)
{
	u32 allowed = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH |
		      AT_STATX_SYNC_TYPE;
	struct dentry *d;
	int err;

	if (flags & ~allowed)
		return -EINVAL;
	if (dfd >= 0 && empty_path(upath, flags))
		return getattr_fd(dfd, k);
	err = at_lookup(dfd, upath, flags, allowed, &d);
	if (err)
		return err;
	err = vfs_getattr(d->vnode, k);
	dput(d);
	return err;
}

static s64 stat_at(int dfd, uva_t upath, uva_t to, u32 flags)
{
	struct kstat k;
	int err = getattr_at(dfd, upath, flags, &k);

	return err ? err : put_stat(&k, to);
}

static s64 sys_stat(const struct sys_args *s)
{
	return stat_at(AT_FDCWD, s->a[0], s->a[1], 0);
}

static s64 sys_lstat(const struct sys_args *s)
{
	return stat_at(AT_FDCWD, s->a[0], s->a[1], AT_SYMLINK_NOFOLLOW);
}

static s64 sys_fstat(const struct sys_args *s)
{
	struct kstat k;
	int err = getattr_fd(SYS_I(0), &k);

	return err ? err : put_stat(&k, s->a[1]);
}

static s64 sys_newfstatat(const struct sys_args *s)
{
	if (SYS_U(3) & AT_STATX_SYNC_TYPE)
		return -EINVAL;
	return stat_at(SYS_I(0), s->a[1], s->a[2], SYS_U(3));
}

struct statx_time {
	s64 sec;
	u32 nsec, pad;
};

struct user_statx {
	u32 mask, blksize;
	u64 attributes;
	u32 nlink, uid, gid;
	u16 mode, pad;
	u64 ino, size, blocks, attributes_mask;
	struct statx_time atime, btime, ctime, mtime;
	u32 rdev_major, rdev_minor, dev_major, dev_minor;
	u64 mnt_id;
	u64 spare[13];
};
MM_STATIC_ASSERT(sizeof(struct user_statx) == 256, "struct statx");

#define STATX_BASIC_STATS 0x7ffu
#define STATX_BTIME	  0x800u
#define STATX_RESERVED	  0x80000000u

static struct statx_time statx_time(const struct vfs_time *t)
{
	return (struct statx_time){t->sec, t->nsec, 0};
}

static u32 dev_major(u32 dev)
{
	return dev >> 8 & 0xfff;
}

static u32 dev_minor(u32 dev)
{
	return (dev & 0xff) | (dev >> 12 & 0xfff00);
}

static s64 sys_statx(const struct sys_args *s)
{
	struct user_statx u = {.mask = STATX_BASIC_STATS};
	struct kstat k;
	int err;

	if ((SYS_U(3) & STATX_RESERVED) ||
	    (SYS_U(2) & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE)
		return -EINVAL;
	err = getattr_at(SYS_I(0), s->a[1], SYS_U(2), &k);
	if (err)
		return err;
	u.blksize = k.blksize;
	u.nlink = k.nlink;
	u.uid = k.uid;
	u.gid = k.gid;
	u.mode = (u16)k.mode;
	u.ino = k.ino;
	u.size = k.size;
	u.blocks = k.blocks;
	u.atime = statx_time(&k.atime);
	u.ctime = statx_time(&k.ctime);
	u.mtime = statx_time(&k.mtime);
	if (k.has_btime) {
		u.mask |= STATX_BTIME;
		u.btime = statx_time(&k.btime);
	}
	u.rdev_major = dev_major(k.rdev);
	u.rdev_minor = dev_minor(k.rdev);
	u.dev_major = dev_major(k.dev);
	u.dev_minor = dev_minor(k.dev);
	return user_write(s->a[4], &u, sizeof(u));
}

/* ---- access ----------------------------------------------------------------
 */

struct real_ids {
	u32 fsuid, fsgid;
	u64 caps;
};

static struct real_ids real_ids_begin(struct cred *c)
{
	struct real_ids saved = {c->fsuid, c->fsgid, c->cap_effective};

	c->fsuid = c->uid;
	c->fsgid = c->gid;
	c->cap_effective = c->uid ? 0 : c->cap_permitted;
	return saved;
}

static void real_ids_end(struct cred *c, const struct real_ids *saved)
{
	c->fsuid = saved->fsuid;
	c->fsgid = saved->fsgid;
	c->cap_effective = saved->caps;
}

static s64 access_at(int dfd, uva_t upath, u32 mode, u32 flags)
{
	struct cred *c = &current->cred;
	struct real_ids saved;
	struct dentry *d;
	s64 err;

	if ((mode & ~7u) ||
	    (flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)))
		return -EINVAL;
	if (!(flags & AT_EACCESS))
		saved = real_ids_begin(c);
	err = at_lookup(dfd, upath, flags & ~AT_EACCESS,
			AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, &d);
	if (!err) {
		if (mode)
			err = dentry_permission(d, mode);
		dput(d);
	}
	if (!(flags & AT_EACCESS))
		real_ids_end(c, &saved);
	return err;
}

static s64 sys_access(const struct sys_args *s)
{
	return access_at(AT_FDCWD, s->a[0], SYS_U(1), 0);
}

static s64 sys_faccessat(const struct sys_args *s)
{
	return access_at(SYS_I(0), s->a[1], SYS_U(2), 0);
}

static s64 sys_faccessat2(const struct sys_args *s)
{
	return access_at(SYS_I(0), s->a[1], SYS_U(2), SYS_U(3));
}

/* ---- chmod, chown ----------------------------------------------------------
 */

static s64 chmod_at(int dfd, uva_t upath, u32 mode, u32 flags)
{
	struct dentry *d;
	s64 err = at_lookup(dfd, upath, flags,
			    AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, &d);

	if (err)
		return err;
	err = do_chmod(d, mode);
	dput(d);
	return err;
}

static s64 sys_chmod(const struct sys_args *s)
{
	return chmod_at(AT_FDCWD, s->a[0], SYS_U(1), 0);
}

static s64 sys_fchmodat(const struct sys_args *s)
{
	return chmod_at(SYS_I(0), s->a[1], SYS_U(2), 0);
}

static s64 sys_fchmodat2(const struct sys_args *s)
{
	return chmod_at(SYS_I(0), s->a[1], SYS_U(2), SYS_U(3));
}

static s64 sys_fchmod(const struct sys_args *s)
{
	struct file *file = fd_get(SYS_I(0));
	s64 err;

	if (!file)
		return -EBADF;
	if (file_dentry(file))
		err = do_chmod(file_dentry(file), SYS_U(1));
	else if (shmem_is_inode(file->f_inode))
		err = shmem_setmode(file->f_inode, SYS_U(1));
	else
		err = -EPERM;
	fput(file);
	return err;
}

static s64 chown_at(int dfd, uva_t upath, const u64 *ids, u32 flags)
{
	struct dentry *d;
	s64 err = at_lookup(dfd, upath, flags,
			    AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, &d);

	if (err)
		return err;
	err = do_chown(d, (u32)ids[0], (u32)ids[1]);
	dput(d);
	return err;
}

static s64 sys_chown(const struct sys_args *s)
{
	return chown_at(AT_FDCWD, s->a[0], &s->a[1], 0);
}

static s64 sys_lchown(const struct sys_args *s)
{
	return chown_at(AT_FDCWD, s->a[0], &s->a[1], AT_SYMLINK_NOFOLLOW);
}

static s64 sys_fchownat(const struct sys_args *s)
{
	return chown_at(SYS_I(0), s->a[1], &s->a[2], SYS_U(4));
}

static s64 sys_fchown(const struct sys_args *s)
{
	struct file *file = fd_get(SYS_I(0));
	s64 err = -EPERM;

	if (!file)
		return -EBADF;
	if (file_dentry(file))
		err = do_chown(file_dentry(file), SYS_U(1), SYS_U(2));
	fput(file);
	return err;
}

/* ---- times -----------------------------------------------------------------
 */

static bool time_ok(const struct vfs_time *t)
{
	return t->nsec < 1000000000u || t->nsec == UTIME_NOW ||
	       t->nsec == UTIME_OMIT;
}

/* utimensat(2): no path: the descriptor. */
static s64 utimes_at(int dfd, uva_t upath, const struct vfs_time *t, u32 flags)
{
	struct dentry *d;
	struct file *file;
	s64 err;

	if (t && (!time_ok(&t[0]) || !time_ok(&t[1])))
		return -EINVAL;
	/* Nothing to do: the path is not even looked at. */
	if (t && t[0].nsec == UTIME_OMIT && t[1].nsec == UTIME_OMIT)
		return 0;
	if (!upath && dfd != AT_FDCWD) {
		if (flags)
			return -EINVAL;
		file = fd_get(dfd);
		if (!file)
			return -EBADF;
		err = file_dentry(file) ? do_utimes(file_dentry(file), t)
					: -EPERM;
		fput(file);
		return err;
	}
	err = at_lookup(dfd, upath, flags, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH,
			&d);
	if (err)
		return err;
	err = do_utimes(d, t);
	dput(d);
	return err;
}

static s64 sys_utimensat(const struct sys_args *s)
{
	struct vfs_time t[2];
	s64 u[4];

	if (!s->a[2])
		return utimes_at(SYS_I(0), s->a[1], NULL, SYS_U(3));
	if (user_read(u, s->a[2], sizeof(u)))
		return -EFAULT;
	for (int i = 0; i < 2; i++) {
		if ((u64)u[2 * i + 1] > UINT32_MAX)
			return -EINVAL;
		t[i] = (struct vfs_time){u[2 * i], (u32)u[2 * i + 1]};
	}
	return utimes_at(SYS_I(0), s->a[1], t, SYS_U(3));
}

/* Two struct timeval. */
static s64 futimes_at(int dfd, uva_t upath, uva_t utimes)
{
	struct vfs_time t[2];
	s64 u[4];

	if (!utimes)
		return utimes_at(dfd, upath, NULL, 0);
	if (user_read(u, utimes, sizeof(u)))
		return -EFAULT;
	for (int i = 0; i < 2; i++) {
		if (u[2 * i + 1] < 0 || u[2 * i + 1] >= 1000000)
			return -EINVAL;
		t[i] = (struct vfs_time){u[2 * i], (u32)u[2 * i + 1] * 1000};
	}
	return utimes_at(dfd, upath, t, 0);
}

static s64 sys_utimes(const struct sys_args *s)
{
	return futimes_at(AT_FDCWD, s->a[0], s->a[1]);
}

static s64 sys_futimesat(const struct sys_args *s)
{
	return futimes_at(SYS_I(0), s->a[1], s->a[2]);
}

static s64 sys_utime(const struct sys_args *s)
{
	struct vfs_time t[2];
	s64 u[2];

	if (!s->a[1])
		return utimes_at(AT_FDCWD, s->a[0], NULL, 0);
	if (user_read(u, s->a[1], sizeof(u)))
		return -EFAULT;
	t[0] = (struct vfs_time){u[0], 0};
	t[1] = (struct vfs_time){u[1], 0};
	return utimes_at(AT_FDCWD, s->a[0], t, 0);
}

/* ---- sizes -----------------------------------------------------------------
 */

static s64 truncate_dentry(struct dentry *d, s64 len)
{
	struct vnode *v = d->vnode;
	s64 err;

	if (S_ISDIR(v->mode))
		return -EISDIR;
	if (!S_ISREG(v->mode))
		return -EINVAL;
	err = dentry_permission(d, MAY_WRITE);
	if (err)
		return err;
	if (v->inode->i_flags & S_APPEND)
		return -EPERM;
	err = truncate_as_writer(v, (u64)len);
	if (!err)
		notify_dentry(d, IN_MODIFY);
	return err;
}

static s64 sys_truncate(const struct sys_args *s)
{
	struct dentry *d;
	s64 err;

	if ((s64)s->a[1] < 0)
		return -EINVAL;
	err = at_lookup(AT_FDCWD, s->a[0], 0, 0, &d);
	if (err)
		return err;
	err = truncate_dentry(d, (s64)s->a[1]);
	dput(d);
	return err;
}

static s64 ftruncate_file(struct file *file, s64 len)
{
	struct vnode *v = file_node(file);
	s64 err;

	if (!(file->f_mode & FMODE_WRITE))
		return -EINVAL;
	if (!v && shmem_is_inode(file->f_inode))
		return shmem_truncate(file->f_inode, (u64)len);
	if (!v || !S_ISREG(v->mode))
		return -EINVAL;
	if (v->inode->i_flags & S_APPEND)
		return -EPERM;
	err = do_truncate(v, (u64)len);
	if (!err)
		notify_file(file, IN_MODIFY);
	return err;
}

static s64 sys_ftruncate(const struct sys_args *s)
{
	struct file *file;
	s64 err;

	if ((s64)s->a[1] < 0)
		return -EINVAL;
	file = fd_get(SYS_I(0));
	if (!file)
		return -EBADF;
	err = ftruncate_file(file, (s64)s->a[1]);
	fput(file);
	return err;
}

/* ---- statfs ----------------------------------------------------------------
 */

struct user_statfs {
	u64 type, bsize, blocks, bfree, bavail, files, ffree;
	u32 fsid[2];
	u64 namelen, frsize, flags, spare[4];
};
MM_STATIC_ASSERT(sizeof(struct user_statfs) == 120, "struct statfs");

#define ST_VALID      0x20u
#define ST_RELATIME   0x1000u
#define ANON_FS_MAGIC 0x09041934u

static u64 statfs_flags(const struct vfs_mount *m)
{
	u64 f = ST_VALID | (m->flags & (MS_NOSUID | MS_NODEV | MS_NOEXEC |
					MS_NOATIME | MS_NODIRATIME));

	if (mount_readonly(m))
		f |= MS_RDONLY;
	if (!(m->flags & (MS_NOATIME | MS_STRICTATIME)))
		f |= ST_RELATIME;
	return f;
}

static s64 put_statfs(const struct dentry *d, uva_t to)
{
	struct vfs_statfs k = {
		.type = ANON_FS_MAGIC, .bsize = PAGE_SIZE, .namelen = NAME_MAX};
	struct user_statfs u = {.flags = ST_VALID};
	struct vfs_sb *sb = d ? d->mnt->sb : NULL;

	if (sb && sb->ops->statfs)
		sb->ops->statfs(sb, &k);
	u.type = k.type;
	u.bsize = u.frsize = k.bsize;
	u.blocks = k.blocks;
	u.bfree = k.bfree;
	u.bavail = k.bavail;
	u.files = k.files;
	u.ffree = k.ffree;
	u.namelen = k.namelen ? k.namelen : NAME_MAX;
	if (sb) {
		u.fsid[0] = sb->sb->s_dev;
		u.flags = statfs_flags(d->mnt);
	}
	return user_write(to, &u, sizeof(u));
}

static s64 sys_statfs(const struct sys_args *s)
{
	struct dentry *d;
	s64 err = at_lookup(AT_FDCWD, s->a[0], 0, 0, &d);

	if (err)
		return err;
	err = put_statfs(d, s->a[1]);
	dput(d);
	return err;
}

static s64 sys_fstatfs(const struct sys_args *s)
{
	struct file *file = fd_get_raw(SYS_I(0));
	s64 err;

	if (!file)
		return -EBADF;
	err = put_statfs(file_dentry(file), s->a[1]);
	fput(file);
	return err;
}

/* ---- extended attributes: none ---------------------------------------------
 */

static s64 xattr_path(uva_t upath, u32 flags, s64 answer)
{
	struct dentry *d;
	int err = at_lookup(AT_FDCWD, upath, flags, AT_SYMLINK_NOFOLLOW, &d);

	if (err)
		return err;
	dput(d);
	return answer;
}

static s64 sys_xattr(const struct sys_args *s)
{
	return xattr_path(s->a[0], 0, -EOPNOTSUPP);
}

static s64 sys_lxattr(const struct sys_args *s)
{
	return xattr_path(s->a[0], AT_SYMLINK_NOFOLLOW, -EOPNOTSUPP);
}

static s64 sys_fxattr(const struct sys_args *s)
{
	struct file *file = fd_get(SYS_I(0));

	if (!file)
		return -EBADF;
	fput(file);
	return -EOPNOTSUPP;
}

static s64 sys_listxattr(const struct sys_args *s)
{
	return xattr_path(s->a[0], 0, 0);
}

static s64 sys_llistxattr(const struct sys_args *s)
{
	return xattr_path(s->a[0], AT_SYMLINK_NOFOLLOW, 0);
}

static s64 sys_flistxattr(const struct sys_args *s)
{
	s64 err = sys_fxattr(s);

	return err == -EOPNOTSUPP ? 0 : err;
}

const struct syscall_def fs_stat_calls[] = {
	{4, "stat", sys_stat},
	{5, "fstat", sys_fstat},
	{6, "lstat", sys_lstat},
	{21, "access", sys_access},
	{76, "truncate", sys_truncate},
	{77, "ftruncate", sys_ftruncate},
	{90, "chmod", sys_chmod},
	{91, "fchmod", sys_fchmod},
	{92, "chown", sys_chown},
	{93, "fchown", sys_fchown},
	{94, "lchown", sys_lchown},
	{132, "utime", sys_utime},
	{137, "statfs", sys_statfs},
	{138, "fstatfs", sys_fstatfs},
	{188, "setxattr", sys_xattr},
	{189, "lsetxattr", sys_lxattr},
	{190, "fsetxattr", sys_fxattr},
	{191, "getxattr", sys_xattr},
	{192, "lgetxattr", sys_lxattr},
	{193, "fgetxattr", sys_fxattr},
	{194, "listxattr", sys_listxattr},
	{195, "llistxattr", sys_llistxattr},
	{196, "flistxattr", sys_flistxattr},
	{197, "removexattr", sys_xattr},
	{198, "lremovexattr", sys_lxattr},
	{199, "fremovexattr", sys_fxattr},
	{235, "utimes", sys_utimes},
	{260, "fchownat", sys_fchownat},
	{261, "futimesat", sys_futimesat},
	{262, "newfstatat", sys_newfstatat},
	{268, "fchmodat", sys_fchmodat},
	{269, "faccessat", sys_faccessat},
	{280, "utimensat", sys_utimensat},
	{332, "statx", sys_statx},
	{439, "faccessat2", sys_faccessat2},
	{452, "fchmodat2", sys_fchmodat2},
};
const u32 fs_stat_nr = ARRAY_SIZE(fs_stat_calls);
