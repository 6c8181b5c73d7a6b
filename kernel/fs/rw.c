/* SPDX-License-Identifier: MIT */
/*
 * rw.c - read(2), write(2) and their kin.
 *
 * A file that has a position keeps it under f_pos_lock through the call, so
 * that threads that share it do not write over each other (write(2), POSIX
 * 2.9.7); only regular files and directories have that lock taken, since
 * others may sleep for ever. Writing obeys RLIMIT_FSIZE, leaves times, and
 * takes set-user-ID bits away.
 *
 * preadv2's flags: HIPRI is taken and changes nothing, DSYNC, SYNC and APPEND
 * hold for this call; NOWAIT is EOPNOTSUPP.
 *
 * Calls and bytes are counted for /proc/PID/io where they reached an open file;
 * what goes from file to file is read and written.
 *
 * References: read(2), pread(2), readv(2), lseek(2), sendfile(2),
 * copy_file_range(2), getrlimit(2).
 */
#include <mmkit/errno.h>
#include <mmkit/flatfile.h>
#include <mmkit/shmem.h>

#include "base/string.h"
#include "cache/filemap.h"
#include "sys.h"

#define RWF_HIPRI  1u
#define RWF_DSYNC  2u
#define RWF_SYNC   4u
#define RWF_APPEND 16u

#define COPY_BUFFER 16384u
#define SIGXFSZ	    25

/* ---- positions -------------------------------------------------------------
 */

static u32 file_kind(const struct file *file)
{
	const struct vnode *v = file_node(file);

	return (v ? v->mode : file->f_inode->i_mode) & S_IFMT;
}

bool file_seeks(const struct file *file)
{
	u32 kind = file_kind(file);

	return kind != S_IFIFO && kind != S_IFSOCK &&
	       !(file->f_mode & FMODE_STREAM);
}

static bool has_pos_lock(const struct file *file)
{
	u32 kind = file_kind(file);

	return kind == S_IFREG || kind == S_IFDIR;
}

void pos_lock(struct file *file)
{
	if (has_pos_lock(file))
		mutex_lock(&file->f_pos_lock);
}

void pos_unlock(struct file *file)
{
	if (has_pos_lock(file))
		mutex_unlock(&file->f_pos_lock);
}

/* SEEK_SET .. SEEK_END with SIZE: the position, -EINVAL, -EOVERFLOW. */
static s64 seek_to(const struct file *file, s64 off, int whence, u64 size)
{
	s64 base =
		whence == 1 ? (s64)file->f_pos : (whence == 2 ? (s64)size : 0);
	s64 to;

	if (__builtin_add_overflow(base, off, &to))
		return -EOVERFLOW;
	if (to < 0 || (u64)to > file->f_inode->i_sb->s_maxbytes)
		return -EINVAL;
	return to;
}

/* SEEK_DATA, SEEK_HOLE of what has no holes. */
static s64 seek_plain(s64 off, int whence, u64 size)
{
	if (off < 0 || (u64)off >= size)
		return -ENXIO;
	return whence == SEEK_DATA ? off : (s64)size;
}

static s64 file_seek(struct file *file, s64 off, int whence)
{
	struct inode *inode = file->f_inode;
	u64 size = i_size_read(inode);
	s64 to;

	if (whence < 0 || whence > SEEK_HOLE)
		return -EINVAL;
	if (!file_seeks(file))
		return -ESPIPE;
	if (file->f_op && file->f_op->llseek)
		return file->f_op->llseek(file, off, whence);
	/* eventfd and its like: nothing moves. */
	if (!file_node(file) && !shmem_is_inode(inode))
		return (s64)file->f_pos;
	if (whence >= SEEK_DATA)
		to = shmem_is_inode(inode) && file_kind(file) == S_IFREG
			     ? shmem_seek(file, off, whence)
			     : seek_plain(off, whence, size);
	else
		to = seek_to(file, off, whence, size);
	if (to >= 0)
		file->f_pos = (u64)to;
	return to;
}

static s64 sys_lseek(const struct sys_args *s)
{
	struct file *file = fd_get(SYS_I(0));
	s64 to;

	if (!file)
		return -EBADF;
	pos_lock(file);
	to = file_seek(file, (s64)s->a[1], SYS_I(2));
	pos_unlock(file);
	fput(file);
	return to;
}

/* ---- one transfer ----------------------------------------------------------
 */

/* RLIMIT_FSIZE: 0, with the count cut, or -EFBIG and SIGXFSZ. */
static int limit_write(const struct file *file, struct iov_iter *iter, u64 pos)
{
	u64 limit = rlimit(RLIMIT_FSIZE);

	if (limit == RLIM_INFINITY || file_kind(file) != S_IFREG)
		return 0;
	if (file->f_flags & O_APPEND)
		pos = i_size_read(file->f_inode);
	if (iter->count && pos >= limit) {
		(void)send_sig_task(current, SIGXFSZ, NULL);
		return -EFBIG;
	}
	iter->count = min(iter->count, limit - min(pos, limit));
	return 0;
}

s64 file_rw(struct file *file, struct iov_iter *iter, u64 *pos, bool write)
{
	s64 n;

	if (!write) {
		n = vfs_iter_read(file, iter, pos);
		if (n >= 0 && file_dentry(file))
			file_accessed(file);
		if (n > 0)
			notify_file(file, IN_ACCESS);
		return n;
	}
	if (!(file->f_mode & FMODE_WRITE))
		return -EBADF;
	n = limit_write(file, iter, *pos);
	if (!n)
		n = vfs_iter_write(file, iter, pos);
	if (n > 0) {
		file_modified(file);
		notify_file(file, IN_MODIFY);
	}
	return n;
}

/* At FILE's own position. */
static s64 rw_here(struct file *file, struct iov_iter *iter, bool write)
{
	u64 pos;
	s64 n;

	pos_lock(file);
	/* What does not seek may keep words of its own there. */
	pos = file_seeks(file) ? file->f_pos : 0;
	n = file_rw(file, iter, &pos, write);
	if (n >= 0 && file_seeks(file))
		file->f_pos = pos;
	pos_unlock(file);
	return n;
}

static s64 rw_at(struct file *file, struct iov_iter *iter, s64 at, bool write)
{
	u64 pos = (u64)at;

	if (at < 0)
		return -EINVAL;
	if (!file_seeks(file))
		return -ESPIPE;
	return file_rw(file, iter, &pos, write);
}

/* One call's part in /proc/PID/io; N: bytes, or -errno. */
static void io_read(s64 n)
{
	struct mm_task_io *io = &current->mt->io;

	WRITE_ONCE(io->syscr, io->syscr + 1);
	if (n > 0)
		WRITE_ONCE(io->rchar, io->rchar + (u64)n);
}

static void io_write(s64 n)
{
	struct mm_task_io *io = &current->mt->io;

	WRITE_ONCE(io->syscw, io->syscw + 1);
	if (n > 0)
		WRITE_ONCE(io->wchar, io->wchar + (u64)n);
}

static void io_count(s64 n, bool write)
{
	if (write)
		io_write(n);
	else
		io_read(n);
}

static s64 plain(const struct sys_args *s, bool write, bool at)
{
	struct file *file;
	struct iov_iter iter;
	s64 n;

	if (at && (s64)s->a[3] < 0)
		return -EINVAL;
	file = fd_get(SYS_I(0));
	if (!file)
		return -EBADF;
	if ((s64)s->a[2] < 0) {
		fput(file);
		return -EINVAL;
	}
	iov_iter_user(&iter, current->mt->mm, s->a[1], s->a[2]);
	n = at ? rw_at(file, &iter, (s64)s->a[3], write)
	       : rw_here(file, &iter, write);
	io_count(n, write);
	fput(file);
	return n;
}

static s64 sys_read(const struct sys_args *s)
{
	return plain(s, false, false);
}

static s64 sys_write(const struct sys_args *s)
{
	return plain(s, true, false);
}

static s64 sys_pread64(const struct sys_args *s)
{
	return plain(s, false, true);
}

static s64 sys_pwrite64(const struct sys_args *s)
{
	return plain(s, true, true);
}

/* ---- vectors ---------------------------------------------------------------
 */

#define HERE (-1)

/* Of FILE's flags those that RWF_ say, for one call: an open file of its own
 * could not be told apart from FILE, so the bytes are synced afterwards. */
static s64 vector_write(struct file *file, struct iov_iter *iter, s64 at,
			u32 rwf)
{
	u64 end = i_size_read(file->f_inode);
	s64 n, err = 0;

	if ((rwf & RWF_APPEND) && at != HERE && file_kind(file) == S_IFREG)
		at = (s64)end;
	n = at == HERE ? rw_here(file, iter, true)
		       : rw_at(file, iter, at, true);
	if (n > 0 && (rwf & (RWF_DSYNC | RWF_SYNC)))
		err = vfs_fsync_range(file, 0, INT64_MAX, !(rwf & RWF_SYNC));
	return err ? err : n;
}

static s64 vector(const struct sys_args *s, bool write, s64 at, u32 rwf)
{
	struct file *file;
	struct iov_iter iter;
	struct uvec v;
	s64 n;

	if (rwf & ~(RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_APPEND))
		return -EOPNOTSUPP;
	file = fd_get(SYS_I(0));
	if (!file)
		return -EBADF;
	n = uvec_get(&v, &iter, s->a[1], s->a[2]);
	if (!n && write)
		n = vector_write(file, &iter, at, rwf);
	else if (!n)
		n = at == HERE ? rw_here(file, &iter, false)
			       : rw_at(file, &iter, at, false);
	io_count(n, write);
	uvec_put(&v);
	fput(file);
	return n;
}

static s64 sys_readv(const struct sys_args *s)
{
	return vector(s, false, HERE, 0);
}

static s64 sys_writev(const struct sys_args *s)
{
	return vector(s, true, HERE, 0);
}

static s64 sys_preadv(const struct sys_args *s)
{
	return (s64)s->a[3] < 0 ? -EINVAL : vector(s, false, (s64)s->a[3], 0);
}

static s64 sys_pwritev(const struct sys_args *s)
{
	return (s64)s->a[3] < 0 ? -EINVAL : vector(s, true, (s64)s->a[3], 0);
}

static s64 sys_preadv2(const struct sys_args *s)
{
	if ((s64)s->a[3] < HERE)
		return -EINVAL;
	return vector(s, false, (s64)s->a[3], SYS_U(5));
}

static s64 sys_pwritev2(const struct sys_args *s)
{
	if ((s64)s->a[3] < HERE)
		return -EINVAL;
	return vector(s, true, (s64)s->a[3], SYS_U(5));
}

/* ---- from file to file -----------------------------------------------------
 */

/* One buffer's worth; bytes written; *IPOS and *OPOS move by that. */
static s64 copy_piece(struct file *in, u64 *ipos, struct file *out, u64 *opos,
		      void *buf, u64 n)
{
	struct iov_iter iter = {.count = n, .buf = buf};
	u64 at = *ipos;
	s64 got = file_rw(in, &iter, &at, false), put;

	if (got <= 0)
		return got;
	iter = (struct iov_iter){.count = (u64)got, .buf = buf, .write = true};
	put = file_rw(out, &iter, opos, true);
	if (put > 0)
		*ipos += (u64)put;
	return put;
}

static s64 file_copy(struct file *in, u64 *ipos, struct file *out, u64 *opos,
		     u64 len)
{
	void *buf = kmalloc(COPY_BUFFER, GFP_KERNEL_ACCOUNT);
	s64 total = 0, n = 0;

	if (!buf)
		return -ENOMEM;
	while ((u64)total < len) {
		n = copy_piece(in, ipos, out, opos, buf,
			       min(len - (u64)total, (u64)COPY_BUFFER));
		if (n <= 0)
			break;
		total += n;
		if (signal_pending(current))
			break;
	}
	kfree(buf);
	return total ? total : n;
}

/* The position that a call works at: the user's at UPOS, or FILE's own. */
static int pos_in(struct file *file, uva_t upos, u64 *pos)
{
	*pos = file->f_pos;
	if (upos && user_read(pos, upos, sizeof(*pos)))
		return -EFAULT;
	if (upos && !file_seeks(file))
		return -ESPIPE;
	return (s64)*pos < 0 ? -EINVAL : 0;
}

static int pos_out(struct file *file, uva_t upos, u64 pos)
{
	if (upos)
		return user_write(upos, &pos, sizeof(pos));
	if (file_seeks(file))
		file->f_pos = pos;
	return 0;
}

static s64 sendfile_files(struct file *in, struct file *out, uva_t upos, u64 n)
{
	u64 ipos, opos;
	s64 done;
	int err;

	if (!(in->f_mode & FMODE_READ) || !(out->f_mode & FMODE_WRITE))
		return -EBADF;
	if (!file_seeks(in) || (out->f_flags & O_APPEND))
		return -EINVAL;
	err = pos_in(in, upos, &ipos);
	if (err)
		return err;
	opos = out->f_pos;
	done = file_copy(in, &ipos, out, &opos, n);
	io_read(done);
	io_write(done);
	if (done > 0) {
		(void)pos_out(out, 0, opos);
		err = pos_out(in, upos, ipos);
	}
	return err ? err : done;
}

static s64 sys_sendfile(const struct sys_args *s)
{
	struct file *in = fd_get(SYS_I(1)), *out = fd_get(SYS_I(0));
	s64 n = in && out ? sendfile_files(in, out, s->a[2], s->a[3]) : -EBADF;

	if (in)
		fput(in);
	if (out)
		fput(out);
	return n;
}

/* copy_file_range(2)'s conditions. */
static int copy_check(const struct file *in, const struct file *out, u32 flags)
{
	if (flags)
		return -EINVAL;
	if (file_kind(in) == S_IFDIR || file_kind(out) == S_IFDIR)
		return -EISDIR;
	if (file_kind(in) != S_IFREG || file_kind(out) != S_IFREG)
		return -EINVAL;
	if (!(in->f_mode & FMODE_READ) || !(out->f_mode & FMODE_WRITE) ||
	    (out->f_flags & O_APPEND))
		return -EBADF;
	return 0;
}

static s64 copy_files(struct file *in, struct file *out,
		      const struct sys_args *s)
{
	u64 ipos, opos, n = min(s->a[4], (u64)INT32_MAX & PAGE_MASK), size;
	int err = copy_check(in, out, SYS_U(5));
	s64 done;

	if (!err)
		err = pos_in(in, s->a[1], &ipos);
	if (!err)
		err = pos_in(out, s->a[3], &opos);
	if (err)
		return err;
	if (ipos + n < ipos || opos + n < opos)
		return -EOVERFLOW;
	size = i_size_read(in->f_inode);
	n = min(n, size - min(size, ipos));
	if (in->f_inode == out->f_inode && ipos < opos + n && opos < ipos + n)
		return -EINVAL;
	done = file_copy(in, &ipos, out, &opos, n);
	io_read(done);
	io_write(done);
	if (done > 0) {
		err = pos_out(in, s->a[1], ipos);
		if (!err)
			err = pos_out(out, s->a[3], opos);
	}
	return err ? err : done;
}

static s64 sys_copy_file_range(const struct sys_args *s)
{
	struct file *in = fd_get(SYS_I(0)), *out = fd_get(SYS_I(2));
	s64 n = in && out ? copy_files(in, out, s) : -EBADF;

	if (in)
		fput(in);
	if (out)
		fput(out);
	return n;
}

const struct syscall_def fs_rw_calls[] = {
	{0, "read", sys_read},
	{1, "write", sys_write},
	{8, "lseek", sys_lseek},
	{17, "pread64", sys_pread64},
	{18, "pwrite64", sys_pwrite64},
	{19, "readv", sys_readv},
	{20, "writev", sys_writev},
	{40, "sendfile", sys_sendfile},
	{295, "preadv", sys_preadv},
	{296, "pwritev", sys_pwritev},
	{326, "copy_file_range", sys_copy_file_range},
	{327, "preadv2", sys_preadv2},
	{328, "pwritev2", sys_pwritev2},
};
const u32 fs_rw_nr = ARRAY_SIZE(fs_rw_calls);
