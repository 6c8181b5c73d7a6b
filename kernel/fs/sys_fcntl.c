/* SPDX-License-Identifier: MIT */
/*
 * sys_fcntl.c - fcntl, ioctl, locks, and what concerns an open file's
 * contents as a whole: sync, fallocate, advice.
 *
 * References: fcntl(2), ioctl(2), flock(2), fsync(2), sync(2),
 * sync_file_range(2), fallocate(2), posix_fadvise(2), readahead(2).
 */
#include <mmkit/errno.h>
#include <mmkit/flatfile.h>
#include <mmkit/port.h>
#include <mmkit/shmem.h>

#include "cache/filemap.h"
#include "event.h"
#include "sys.h"

#define F_DUPFD		0u
#define F_GETFD		1u
#define F_SETFD		2u
#define F_GETFL		3u
#define F_SETFL		4u
#define F_GETLK		5u
#define F_SETLKW	7u
#define F_SETOWN	8u
#define F_GETOWN	9u
#define F_SETSIG	10u
#define F_GETSIG	11u
#define F_OFD_GETLK	36u
#define F_OFD_SETLKW	38u
#define F_DUPFD_CLOEXEC 1030u
#define F_SETPIPE_SZ	1031u
#define F_GETPIPE_SZ	1032u
#define F_ADD_SEALS	1033u
#define F_GET_SEALS	1034u

#define FD_CLOEXEC 1u
#define SETFL_MASK ((u32)O_APPEND | O_NONBLOCK | O_ASYNC | O_DIRECT | O_NOATIME)

/* ---- fcntl -----------------------------------------------------------------
 */

static s64 dup_from(struct file *file, u64 min, bool cloexec)
{
	int fd;

	if (min >= rlimit(RLIMIT_NOFILE) || min > INT32_MAX)
		return -EINVAL;
	get_file(file);
	fd = fd_install(file, (int)min, cloexec);
	if (fd < 0)
		fput(file);
	return fd;
}

static s64 set_flags(struct file *file, u32 arg)
{
	const struct vnode *v = file_node(file);
	u32 old;

	if ((arg & O_DIRECT) && v && S_ISREG(v->mode))
		return -EINVAL;
	if ((arg & O_NOATIME) && !(file->f_flags & O_NOATIME) && v &&
	    !owner_or_capable(v))
		return -EPERM;
	spin_lock(&file->f_lock);
	old = file->f_flags;
	WRITE_ONCE(file->f_flags, (old & ~SETFL_MASK) | (arg & SETFL_MASK));
	spin_unlock(&file->f_lock);
	return 0;
}

static s64 fcntl_lock(struct file *file, u32 cmd, uva_t arg)
{
	struct flock64 fl;
	s64 err;

	if (user_read(&fl, arg, sizeof(fl)))
		return -EFAULT;
	err = file_fcntl_lock(file, cmd, &fl);
	if (!err && (cmd == F_GETLK || cmd == F_OFD_GETLK))
		err = user_write(arg, &fl, sizeof(fl));
	return err;
}

/* What O_PATH files may be asked as well. */
static bool for_paths(u32 cmd)
{
	return cmd <= F_GETFL || cmd == F_DUPFD_CLOEXEC;
}

static s64 fcntl_file(struct file *file, int fd, u32 cmd, u64 arg)
{
	if ((cmd >= F_GETLK && cmd <= F_SETLKW) ||
	    (cmd >= F_OFD_GETLK && cmd <= F_OFD_SETLKW))
		return fcntl_lock(file, cmd, arg);
	switch (cmd) {
	case F_DUPFD:
	case F_DUPFD_CLOEXEC:
		return dup_from(file, arg, cmd == F_DUPFD_CLOEXEC);
	case F_GETFD:
		return fd_cloexec_get(fd);
	case F_SETFD:
		return fd_cloexec_set(fd, arg & FD_CLOEXEC);
	case F_GETFL:
		return READ_ONCE(file->f_flags);
	case F_SETFL:
		return set_flags(file, (u32)arg);
	case F_SETPIPE_SZ:
	case F_GETPIPE_SZ:
		return pipe_fcntl(file, cmd, arg);
	case F_ADD_SEALS:
		return shmem_add_seals(file, (u32)arg);
	case F_GET_SEALS:
		return shmem_get_seals(file);
	case F_GETOWN:
	case F_GETSIG:
		return 0; /* nobody: SETOWN is not there */
	default:
		return -EINVAL;
	}
}

static s64 sys_fcntl(const struct sys_args *s)
{
	struct file *file =
		for_paths(SYS_U(1)) ? fd_get_raw(SYS_I(0)) : fd_get(SYS_I(0));
	s64 n;

	if (!file)
		return -EBADF;
	if (SYS_U(1) == F_SETFL && (file->f_mode & FMODE_PATH))
		n = -EBADF;
	else
		n = fcntl_file(file, SYS_I(0), SYS_U(1), s->a[2]);
	fput(file);
	return n;
}

static s64 sys_flock(const struct sys_args *s)
{
	struct file *file = fd_get(SYS_I(0));
	s64 err;

	if (!file)
		return -EBADF;
	err = file_flock(file, SYS_U(1));
	fput(file);
	return err;
}

/* ---- ioctl -----------------------------------------------------------------
 */

#define FIGETBSZ     2u
#define BLKGETSIZE   0x1260u
#define BLKFLSBUF    0x1261u
#define BLKSSZGET    0x1268u
#define BLKGETSIZE64 0x80081272u
#define FIONREAD     0x541bu
#define FIONBIO	     0x5421u
#define FIONCLEX     0x5450u
#define FIOCLEX	     0x5451u
#define FIOASYNC     0x5452u
#define FIOQSIZE     0x5460u

static s64 ioctl_flag(struct file *file, u32 flag, uva_t arg)
{
	s32 on;

	if (user_read(&on, arg, sizeof(on)))
		return -EFAULT;
	spin_lock(&file->f_lock);
	WRITE_ONCE(file->f_flags,
		   on ? file->f_flags | flag : file->f_flags & ~flag);
	spin_unlock(&file->f_lock);
	return 0;
}

static s64 ioctl_disk(struct file *file, u32 cmd, uva_t arg)
{
	u64 size = i_size_read(file->f_inode), sectors = size >> 9;
	u32 sector = PORT_SECTOR_SIZE;

	switch (cmd) {
	case BLKGETSIZE64:
		return user_write(arg, &size, sizeof(size));
	case BLKGETSIZE:
		return user_write(arg, &sectors, sizeof(sectors));
	case BLKSSZGET:
		return user_write(arg, &sector, sizeof(sector));
	case BLKFLSBUF:
		if (!fs_capable(CAP_SYS_ADMIN))
			return -EACCES;
		return filemap_write_and_wait_range(file->f_mapping, 0,
						    INT64_MAX);
	default:
		return -ENOTTY;
	}
}

static s64 ioctl_regular(struct file *file, u32 cmd, uva_t arg)
{
	s64 left = (s64)i_size_read(file->f_inode) - (s64)file->f_pos;
	u32 bsize = PAGE_SIZE;
	s32 n = (s32)(left < 0 ? 0 : min(left, (s64)INT32_MAX));

	if (cmd == FIONREAD)
		return user_write(arg, &n, sizeof(n));
	if (cmd == FIGETBSZ)
		return user_write(arg, &bsize, sizeof(bsize));
	return -ENOTTY;
}

static s64 ioctl_file(struct file *file, int fd, u32 cmd, u64 arg)
{
	s64 n = -ENOTTY;

	switch (cmd) {
	case FIOCLEX:
	case FIONCLEX:
		return fd_cloexec_set(fd, cmd == FIOCLEX);
	case FIONBIO:
		return ioctl_flag(file, O_NONBLOCK, arg);
	case FIOASYNC:
		return ioctl_flag(file, O_ASYNC, arg);
	default:
		break;
	}
	if (file->f_op && file->f_op->ioctl)
		n = file->f_op->ioctl(file, cmd, arg);
	else if (S_ISBLK(file->f_inode->i_mode))
		n = ioctl_disk(file, cmd, arg);
	else if (S_ISREG(file->f_inode->i_mode))
		n = ioctl_regular(file, cmd, arg);
	return n;
}

static s64 sys_ioctl(const struct sys_args *s)
{
	struct file *file = fd_get(SYS_I(0));
	s64 n;

	if (!file)
		return -EBADF;
	n = ioctl_file(file, SYS_I(0), SYS_U(1), s->a[2]);
	fput(file);
	return n;
}

/* ---- sync ------------------------------------------------------------------
 */

static bool can_sync(const struct file *file)
{
	const struct vnode *v = file_node(file);

	if (file->f_op && file->f_op->fsync)
		return true;
	if (!v)
		return shmem_is_inode(file->f_inode);
	return S_ISREG(v->mode) || S_ISBLK(v->mode) || S_ISDIR(v->mode);
}

static s64 fsync_fd(int fd, bool datasync)
{
	struct file *file = fd_get(fd);
	s64 err = -EINVAL;

	if (!file)
		return -EBADF;
	if (can_sync(file))
		err = vfs_fsync_range(file, 0, INT64_MAX, datasync);
	fput(file);
	return err;
}

static s64 sys_fsync(const struct sys_args *s)
{
	return fsync_fd(SYS_I(0), false);
}

static s64 sys_fdatasync(const struct sys_args *s)
{
	return fsync_fd(SYS_I(0), true);
}

static s64 sys_sync(const struct sys_args *s)
{
	(void)s;
	sync_inodes(NULL);
	sync_sbs();
	return 0;
}

static s64 sys_syncfs(const struct sys_args *s)
{
	struct file *file = fd_get(SYS_I(0));
	struct vfs_sb *sb;
	s64 err;

	if (!file)
		return -EBADF;
	err = vfs_syncfs(file);
	sb = file_dentry(file) ? file_dentry(file)->mnt->sb : NULL;
	if (!err && sb && sb->ops->sync && !(sb->flags & MS_RDONLY))
		err = sb->ops->sync(sb);
	fput(file);
	return err;
}

static s64 sys_sync_file_range(const struct sys_args *s)
{
	struct file *file = fd_get(SYS_I(0));
	s64 err = -ESPIPE;

	if (!file)
		return -EBADF;
	if (can_sync(file))
		err = vfs_sync_file_range(file, (s64)s->a[1], (s64)s->a[2],
					  SYS_U(3));
	fput(file);
	return err;
}

/* ---- contents --------------------------------------------------------------
 */

static s64 fallocate_file(struct file *file, u32 mode, s64 off, s64 len)
{
	s64 err;

	err = vfs_fallocate(file, mode, off, len);
	if (!err) {
		file_modified(file);
		notify_file(file, IN_MODIFY);
	}
	return err == -ENODEV && !file_seeks(file) ? -ESPIPE : err;
}

static s64 sys_fallocate(const struct sys_args *s)
{
	struct file *file = fd_get(SYS_I(0));
	s64 err;

	if (!file)
		return -EBADF;
	err = fallocate_file(file, SYS_U(1), (s64)s->a[2], (s64)s->a[3]);
	fput(file);
	return err;
}

static s64 sys_fadvise64(const struct sys_args *s)
{
	struct file *file = fd_get(SYS_I(0));
	s64 err = -ESPIPE;

	if (!file)
		return -EBADF;
	if (file_seeks(file))
		err = vfs_fadvise(file, (s64)s->a[1], (s64)s->a[2], SYS_I(3));
	fput(file);
	return err;
}

static s64 sys_readahead(const struct sys_args *s)
{
	struct file *file = fd_get(SYS_I(0));
	const struct vnode *v;
	s64 err = -EINVAL;

	if (!file)
		return -EBADF;
	v = file_node(file);
	if (!(file->f_mode & FMODE_READ))
		err = -EBADF;
	else if (v && (S_ISREG(v->mode) || S_ISBLK(v->mode)))
		err = vfs_fadvise(file, (s64)s->a[1], (s64)s->a[2],
				  POSIX_FADV_WILLNEED);
	fput(file);
	return err;
}

const struct syscall_def fs_fcntl_calls[] = {
	{16, "ioctl", sys_ioctl},
	{72, "fcntl", sys_fcntl},
	{73, "flock", sys_flock},
	{74, "fsync", sys_fsync},
	{75, "fdatasync", sys_fdatasync},
	{162, "sync", sys_sync},
	{187, "readahead", sys_readahead},
	{221, "fadvise64", sys_fadvise64},
	{277, "sync_file_range", sys_sync_file_range},
	{285, "fallocate", sys_fallocate},
	{306, "syncfs", sys_syncfs},
};
const u32 fs_fcntl_nr = ARRAY_SIZE(fs_fcntl_calls);
