/* SPDX-License-Identifier: MIT */
/*
 * splice.c - splice(2), tee(2), vmsplice(2): bytes between pipes and files
 * without user memory in between.
 *
 * Between two pipes buffers move as they are (splice), or are shared (tee): the
 * copy may not grow behind its bytes, which the original still may. Between a
 * pipe and a file the bytes go through the file's own reading and writing: out
 * of a buffer's page into the file, from the file into a page of the pipe's
 * own. vmsplice() copies; SPLICE_F_GIFT and SPLICE_F_MOVE are hints, as on
 * Linux.
 *
 * Locking. Two pipes at once: in order of addresses, and only to move buffers;
 * waiting happens with one of them locked (pipe_wait_*). A file is read with no
 * pipe locked; it is written with the pipe's mutex held, outside the file's
 * locks, so that nobody else takes what may not be written yet.
 *
 * References: splice(2), tee(2), vmsplice(2).
 */
#include <mmkit/page_alloc.h>

#include "cache/filemap.h"
#include "phys/page.h"
#include "pipe.h"

#define SPLICE_F_NONBLOCK 2u
#define SPLICE_F_ALL	  15u
#define SPLICE_PART	  (64UL << 10) /* of splice_direct() */

/* ---- two pipes -------------------------------------------------------------
 */

/* 1: both can go on; 0: nothing will come any more; -errno. */
static int wait_both(struct pipe *in, struct pipe *out, bool nonblock)
{
	int ret, room;

	mutex_lock(&in->mutex);
	ret = pipe_wait_data(in, nonblock);
	mutex_unlock(&in->mutex);
	if (ret < 0)
		return ret;
	/* That nobody reads is told before that there is nothing. */
	mutex_lock(&out->mutex);
	room = pipe_wait_room(out, nonblock);
	mutex_unlock(&out->mutex);
	return room < 0 ? room : ret;
}

/* The first N bytes of B, shared: a reference more, nothing may be added. */
static struct pipe_buf part_of(const struct pipe_buf *b, u32 n)
{
	struct pipe_buf part = *b;

	get_page(b->page);
	part.len = n;
	part.flags &= ~PIPE_BUF_MERGE;
	return part;
}

/* Buffers, or a part of the last one, up to LEN bytes; both locked. */
static u64 move_bufs(struct pipe *in, struct pipe *out, u64 len)
{
	u64 done = 0;

	while (in->used && !pipe_full(out) && done < len) {
		struct pipe_buf *b = pipe_at(in, 0), part;
		u32 n = (u32)min((u64)b->len, len - done);

		done += n;
		if (n == b->len) {
			pipe_push(out, b);
			b->page = NULL;
			in->head = (in->head + 1) & (in->ring - 1);
			in->used--;
			continue;
		}
		part = part_of(b, n);
		pipe_push(out, &part);
		b->off += n;
		b->len -= n;
	}
	return done;
}

static u64 share_bufs(struct pipe *in, struct pipe *out, u64 len)
{
	u64 done = 0;

	for (u32 i = 0; i < in->used && !pipe_full(out) && done < len; i++) {
		struct pipe_buf *b = pipe_at(in, i);
		struct pipe_buf part =
			part_of(b, (u32)min((u64)b->len, len - done));

		pipe_push(out, &part);
		done += part.len;
	}
	return done;
}

static s64 pipe_to_pipe(struct pipe *in, struct pipe *out, u64 len,
			bool nonblock, bool share)
{
	u64 done = 0;
	int ret;

	if (in == out)
		return -EINVAL;
	/* Somebody may have been faster between the wait and the locks. */
	do {
		ret = wait_both(in, out, nonblock);
		if (ret <= 0)
			return ret;
		pipe_lock2(in, out);
		done = share ? share_bufs(in, out, len)
			     : move_bufs(in, out, len);
		mutex_unlock(&in->mutex);
		mutex_unlock(&out->mutex);
	} while (!done);
	event_wake(&out->rd);
	if (!share)
		event_wake(&in->wr);
	return (s64)done;
}

/* ---- a file into a pipe ----------------------------------------------------
 */

/* One page of IN. Bytes, 0: the end, -errno. */
static s64 read_page(struct file *in, u64 *pos, u64 len, struct pipe_buf *b)
{
	s64 n;

	b->page = alloc_page(GFP_USER);
	if (!b->page)
		return -ENOMEM;
	b->off = 0;
	b->flags = 0;
	n = kernel_read(in, page_view(b->page), min(len, PAGE_SIZE), pos);
	if (n <= 0)
		put_page(b->page);
	else
		b->len = (u32)n;
	return n;
}

/* B goes into OUT if there is room: else it is the caller's still. */
static int push_wait(struct pipe *out, const struct pipe_buf *b, bool nonblock)
{
	int ret;

	mutex_lock(&out->mutex);
	ret = pipe_wait_room(out, nonblock);
	if (ret > 0)
		pipe_push(out, b);
	mutex_unlock(&out->mutex);
	if (ret > 0)
		event_wake(&out->rd);
	return ret > 0 ? 0 : ret;
}

static int has_room(struct pipe *out, bool nonblock)
{
	int ret;

	mutex_lock(&out->mutex);
	ret = pipe_wait_room(out, nonblock);
	mutex_unlock(&out->mutex);
	return ret > 0 ? 0 : ret;
}

/* Room is waited for before IN is read: what was read is not lost. A writer
 * that takes it meanwhile is waited for even without wanting to. */
static s64 file_to_pipe(struct file *in, u64 *pos, struct pipe *out, u64 len,
			bool nonblock)
{
	struct pipe_buf b;
	u64 done = 0, want;
	s64 n = 0;

	while (done < len) {
		n = has_room(out, nonblock || done);
		if (n)
			break;
		want = min(len - done, PAGE_SIZE);
		n = read_page(in, pos, want, &b);
		if (n <= 0)
			break;
		n = push_wait(out, &b, false);
		if (n) {
			put_page(b.page);
			break;
		}
		done += b.len;
		if (b.len < want)
			break;
	}
	return done ? (s64)done : n;
}

/* ---- a pipe into a file ----------------------------------------------------
 */

/* Of the first buffer, which stays what it is until OUT has taken it. */
static s64 write_part(struct pipe *in, struct file *out, u64 *pos, u64 len,
		      bool nonblock)
{
	struct pipe_buf *b;
	s64 n;

	mutex_lock(&in->mutex);
	n = pipe_wait_data(in, nonblock);
	if (n > 0) {
		b = pipe_at(in, 0);
		n = kernel_write(out, (char *)page_view(b->page) + b->off,
				 min((u64)b->len, len), pos);
	}
	if (n > 0) {
		b->off += (u32)n;
		b->len -= (u32)n;
		if (!b->len)
			pipe_pop(in);
	}
	mutex_unlock(&in->mutex);
	return n;
}

static s64 pipe_to_file(struct pipe *in, struct file *out, u64 *pos, u64 len,
			bool nonblock)
{
	u64 done = 0;
	s64 n = 0;

	while (done < len) {
		n = write_part(in, out, pos, len - done, nonblock || done);
		if (n <= 0)
			break;
		done += (u64)n;
	}
	if (done)
		event_wake(&in->wr);
	return done ? (s64)done : n;
}

/* ---- splice_direct ---------------------------------------------------------
 */

/* One part through BUF. Bytes that both took; *SHORT: there is no more now. */
static s64 direct_part(struct file *in, u64 *in_pos, struct file *out,
		       u64 *out_pos, void *buf, u64 len)
{
	u64 pos = *in_pos;
	s64 got = kernel_read(in, buf, len, &pos), put;

	if (got <= 0)
		return got;
	put = kernel_write(out, buf, (u64)got, out_pos);
	/* What was not written counts as not read. */
	if (put > 0)
		*in_pos += (u64)put;
	return put;
}

s64 splice_direct(struct file *in, u64 *in_pos, struct file *out, u64 *out_pos,
		  u64 len)
{
	void *buf = kvmalloc(min(max(len, 1UL), SPLICE_PART), GFP_KERNEL);
	u64 done = 0;
	s64 n = 0;

	if (!buf)
		return -ENOMEM;
	while (done < len) {
		u64 want = min(len - done, SPLICE_PART);

		n = signal_pending(current)
			    ? -EINTR
			    : direct_part(in, in_pos, out, out_pos, buf, want);
		if (n <= 0)
			break;
		done += (u64)n;
		if ((u64)n < want)
			break;
	}
	kvfree(buf);
	return done ? (s64)done : n;
}

/* ---- calls -----------------------------------------------------------------
 */

/* A position that the call names, or the file's own. */
struct splice_end {
	struct file *file;
	struct pipe *pipe;
	u64 at; /* user address of the position; 0 */
	u64 pos;
};

static int end_get(struct splice_end *e, int fd, u64 at, u32 mode)
{
	*e = (struct splice_end){.file = fd_get(fd), .at = at};
	if (!e->file)
		return -EBADF;
	if (!(e->file->f_mode & mode))
		return -EBADF;
	e->pipe = file_pipe(e->file);
	if (at && (e->pipe || e->file->f_op->llseek == event_no_seek))
		return -ESPIPE;
	e->pos = e->file->f_pos;
	if (at && user_read(&e->pos, at, sizeof(e->pos)))
		return -EFAULT;
	return at && (s64)e->pos < 0 ? -EINVAL : 0;
}

/* The position moves; pipes and sockets have none. */
static int end_put(struct splice_end *e, s64 done)
{
	int err = 0;

	if (!e->file)
		return 0;
	if (done > 0 && e->at)
		err = user_write(e->at, &e->pos, sizeof(e->pos));
	else if (done > 0 && !e->pipe && e->file->f_op->llseek != event_no_seek)
		e->file->f_pos = e->pos;
	fput(e->file);
	return err;
}

static s64 do_splice(struct splice_end *in, struct splice_end *out, u64 len,
		     bool nonblock)
{
	if (in->pipe && out->pipe)
		return pipe_to_pipe(in->pipe, out->pipe, len,
				    nonblock || file_nonblock(in->file) ||
					    file_nonblock(out->file),
				    false);
	if (out->pipe)
		return file_to_pipe(in->file, &in->pos, out->pipe, len,
				    nonblock || file_nonblock(out->file));
	if (!in->pipe || (out->file->f_flags & O_APPEND))
		return -EINVAL;
	return pipe_to_file(in->pipe, out->file, &out->pos, len,
			    nonblock || file_nonblock(in->file));
}

static s64 sys_splice(const struct sys_args *s)
{
	struct splice_end in, out = {.file = NULL};
	u64 len = min(s->a[4], (u64)INT32_MAX & PAGE_MASK);
	s64 ret;
	int err;

	if (!s->a[4])
		return 0;
	if (s->a[5] & ~(u64)SPLICE_F_ALL)
		return -EINVAL;
	ret = end_get(&in, (int)s->a[0], s->a[1], FMODE_READ);
	if (!ret)
		ret = end_get(&out, (int)s->a[2], s->a[3], FMODE_WRITE);
	if (!ret)
		ret = do_splice(&in, &out, len,
				(s->a[5] & SPLICE_F_NONBLOCK) != 0);
	err = end_put(&in, ret);
	err = end_put(&out, ret) ? -EFAULT : err;
	return err ? err : ret;
}

static s64 sys_tee(const struct sys_args *s)
{
	struct splice_end in, out = {.file = NULL};
	bool nonblock = (s->a[3] & SPLICE_F_NONBLOCK) != 0;
	s64 ret;

	if (s->a[3] & ~(u64)SPLICE_F_ALL)
		return -EINVAL;
	if (!s->a[2])
		return 0;
	ret = end_get(&in, (int)s->a[0], 0, FMODE_READ);
	if (!ret)
		ret = end_get(&out, (int)s->a[1], 0, FMODE_WRITE);
	if (!ret)
		ret = in.pipe && out.pipe
			      ? pipe_to_pipe(in.pipe, out.pipe, s->a[2],
					     nonblock ||
						     file_nonblock(in.file) ||
						     file_nonblock(out.file),
					     true)
			      : -EINVAL;
	(void)end_put(&in, 0);
	(void)end_put(&out, 0);
	return ret;
}

/* One piece of user memory, as read(2) or write(2) of the pipe. */
static s64 vmsplice_one(struct file *file, const struct mm_iovec *v)
{
	struct iov_iter iter;
	u64 pos = 0;

	iov_iter_user(&iter, current->mt->mm, v->base, v->len);
	if (file->f_mode & FMODE_WRITE) {
		iter.write = true;
		return file->f_op->write_iter(file, &iter, &pos);
	}
	return file->f_op->read_iter(file, &iter, &pos);
}

static s64 do_vmsplice(struct file *file, u64 iov, u64 nr, bool nonblock)
{
	struct mm_iovec v;
	s64 total = 0, n;

	for (u64 i = 0; i < nr; i++) {
		n = user_read(&v, iov + i * sizeof(v), sizeof(v));
		/* What is done is not undone by waiting for more. */
		if (!n && (nonblock || total) &&
		    !(vfs_poll(file, NULL) & (POLLIN | POLLOUT)))
			n = -EAGAIN;
		else if (!n)
			n = vmsplice_one(file, &v);
		if (n < 0)
			return total ? total : n;
		total += n;
		if ((u64)n < v.len)
			break;
	}
	return total;
}

static s64 sys_vmsplice(const struct sys_args *s)
{
	struct file *file;
	s64 ret = -EBADF;

	if (s->a[3] & ~(u64)SPLICE_F_ALL)
		return -EINVAL;
	file = fd_get((int)s->a[0]);
	if (!file)
		return -EBADF;
	if (file_pipe(file))
		ret = s->a[2] > MM_IOV_MAX
			      ? -EINVAL
			      : do_vmsplice(file, s->a[1], s->a[2],
					    (s->a[3] & SPLICE_F_NONBLOCK) != 0);
	fput(file);
	return ret;
}

static const struct syscall_def splice_calls[] = {
	{275, "splice", sys_splice},
	{276, "tee", sys_tee},
	{278, "vmsplice", sys_vmsplice},
};

void splice_sys_init(void)
{
	syscall_register(splice_calls, ARRAY_SIZE(splice_calls));
}
