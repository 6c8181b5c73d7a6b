/* SPDX-License-Identifier: MIT */
/*
 * pipe.c - pipes and FIFOs: pipe(7), fifo(7).
 *
 * 1. Purpose. A queue of bytes between processes. What is written stands in
 *    pages; a ring of buffers names them, so that splice.c moves pages instead
 *    of bytes.
 *
 * 2. Atomicity. Writers and readers hold the pipe's mutex while they copy. A
 *    write of at most PIPE_BUF bytes either fits behind the last buffer or
 *    takes one new one: it is never divided, and a free buffer is all that
 *    O_NONBLOCK and poll() need to know. A longer write gives the mutex back
 *    where it must wait for room.
 *
 * 3. Merging. Bytes are added to the last buffer only if it has its page's end
 *    to itself (PIPE_BUF_MERGE: what tee and splice share of a page ends where
 *    it did), and only as a whole piece: what a write has beyond full pages.
 *
 * 4. Invariants.
 *    PIPE-1  used <= ring; each of the used buffers has a page and
 *            0 < len, off + len <= PAGE_SIZE; the others have none.
 *    PIPE-2  readers and writers count open files of each side; a FIFO's
 *            vnode.fifo points to the pipe while files > 0. files counts
 *            vnodes, too, that /proc/PID/fd made for a pipe (fs/anon.c).
 *
 * 5. Waiting. A reader waits while used is 0 and there are writers, a writer
 *    while used is ring and there are readers. Each change of these is made
 *    under the mutex and followed by a wake-up of the side it is for. Sleepers
 *    test under the mutex after queuing.
 *
 * 6. Locking. fifo_sys.lock (which pipe a vnode has); a pipe's mutex, two in
 *    order of addresses; inside it the mmap lock (faults of the copying).
 *
 * 7. Failure. -ENOMEM where a page cannot be had and nothing was written yet;
 *    what was written stays and is counted.
 *
 * References: pipe(7), fifo(7), pipe(2), fcntl(2).
 */
#include <mmkit/page_alloc.h>

#include "base/bitops.h"
#include "kmem/vmalloc.h"
#include "phys/page.h"
#include "pipe.h"

#define F_SETPIPE_SZ	 1031u
#define F_GETPIPE_SZ	 1032u
#define FIFO_SEEN	 0xffffffffUL /* file.f_ra.start: had a writer */
#define CAP_SYS_RESOURCE 24

static struct {
	spinlock_t lock; /* vnode.fifo, pipe.files */
} fifo_sys = {.lock = SPIN_LOCK_UNLOCKED(LOCK_CLASS_NONE)};

static const struct file_operations pipe_fops;

/* ---- the ring --------------------------------------------------------------
 */

void pipe_check(struct pipe *p)
{
	mm_verify(p->used <= p->ring);
	for (u32 i = 0; i < p->ring; i++) {
		struct pipe_buf *b = pipe_at(p, i);

		if (i >= p->used)
			mm_verify(!b->page);
		else
			mm_verify(b->page && b->len &&
				  b->off + b->len <= PAGE_SIZE);
	}
}

void pipe_push(struct pipe *p, const struct pipe_buf *b)
{
	mm_assert(!pipe_full(p) && b->len && b->off + b->len <= PAGE_SIZE);
	*pipe_at(p, p->used) = *b;
	p->used++;
}

/* Pages of ours are marked for the audit; pages of files have an index of
 * their own. */
static void drop_page(struct page *page)
{
	if (page_index(page) == PAGE_INDEX_KERNEL && page_count(page) == 1)
		set_page_index(page, 0);
	put_page(page);
}

/* A page of ours that nobody else has is kept for the next write. */
static void buf_release(struct pipe *p, struct pipe_buf *b)
{
	if (!p->spare && (b->flags & PIPE_BUF_MERGE) &&
	    page_count(b->page) == 1)
		p->spare = b->page;
	else
		drop_page(b->page);
	b->page = NULL;
}

void pipe_pop(struct pipe *p)
{
	mm_assert(p->used);
	buf_release(p, pipe_at(p, 0));
	p->head = (p->head + 1) & (p->ring - 1);
	p->used--;
}

static struct page *take_page(struct pipe *p)
{
	struct page *page = p->spare;

	p->spare = NULL;
	if (page)
		return page;
	page = alloc_page(GFP_USER);
	if (page)
		set_page_index(page, PAGE_INDEX_KERNEL);
	return page;
}

static struct pipe *pipe_new(void)
{
	struct pipe *p = kzalloc(sizeof(*p), GFP_KERNEL);

	if (!p)
		return NULL;
	p->bufs = kcalloc(PIPE_BUFS_DEFAULT, sizeof(*p->bufs), GFP_KERNEL);
	if (!p->bufs) {
		kfree(p);
		return NULL;
	}
	p->ring = PIPE_BUFS_DEFAULT;
	mutex_init(&p->mutex, LOCK_CLASS_NONE);
	init_waitqueue_head(&p->rd);
	init_waitqueue_head(&p->wr);
	init_waitqueue_head(&p->opens);
	return p;
}

static void pipe_free(struct pipe *p)
{
	while (p->used)
		pipe_pop(p);
	if (p->spare)
		drop_page(p->spare);
	kfree(p->bufs);
	kfree(p);
}

void pipe_lock2(struct pipe *a, struct pipe *b)
{
	mm_assert(a != b);
	mutex_lock(a < b ? &a->mutex : &b->mutex);
	mutex_lock_nested(a < b ? &b->mutex : &a->mutex, 1);
}

struct pipe *file_pipe(const struct file *file)
{
	return file->f_op == &pipe_fops ? file->private_data : NULL;
}

/* ---- waiting ---------------------------------------------------------------
 */

/* The condition under the mutex; kept locked where it holds. */
static bool data_or_end(struct pipe *p)
{
	mutex_lock(&p->mutex);
	if (p->used || !p->writers)
		return true;
	mutex_unlock(&p->mutex);
	return false;
}

static bool room_or_end(struct pipe *p)
{
	mutex_lock(&p->mutex);
	if (!pipe_full(p) || !p->readers)
		return true;
	mutex_unlock(&p->mutex);
	return false;
}

int pipe_wait_data(struct pipe *p, bool nonblock)
{
	int err;

	if (p->used)
		return 1;
	if (!p->writers)
		return 0;
	if (nonblock)
		return -EAGAIN;
	mutex_unlock(&p->mutex);
	err = wait_event_interruptible(p->rd, data_or_end(p));
	if (err) {
		mutex_lock(&p->mutex);
		return err;
	}
	return p->used != 0;
}

int pipe_wait_room(struct pipe *p, bool nonblock)
{
	int err = 0;

	if (pipe_full(p) && p->readers) {
		if (nonblock)
			return -EAGAIN;
		mutex_unlock(&p->mutex);
		err = wait_event_interruptible(p->wr, room_or_end(p));
		if (err) {
			mutex_lock(&p->mutex);
			return err;
		}
	}
	if (p->readers)
		return 1;
	(void)send_sig_task(current, SIGPIPE, NULL);
	return -EPIPE;
}

/* ---- reading ---------------------------------------------------------------
 */

/* From the first buffer; its bytes that ITER took go. 0: no user memory. */
static u64 read_buf(struct pipe *p, struct iov_iter *iter)
{
	struct pipe_buf *b = pipe_at(p, 0);
	bool packet = b->flags & PIPE_BUF_PACKET;
	u64 n = min((u64)b->len, iter->count);
	char *view = page_map(b->page);
	u64 done = iter_put(iter, view + b->off, n);

	page_unmap(b->page, view);
	b->off += (u32)done;
	b->len -= (u32)done;
	if (!b->len || (packet && done == n))
		pipe_pop(p);
	return done;
}

/* What stands ready, as much as fits. 0: no user memory. */
static s64 read_ready(struct pipe *p, struct iov_iter *iter)
{
	s64 total = 0;
	bool packet = false;

	while (p->used && iter->count && !packet) {
		u64 want = min((u64)pipe_at(p, 0)->len, iter->count), done;

		packet = pipe_at(p, 0)->flags & PIPE_BUF_PACKET;
		done = read_buf(p, iter);
		total += (s64)done;
		if (done < want)
			break;
	}
	return total;
}

static s64 pipe_read(struct file *file, struct iov_iter *iter, u64 *pos)
{
	struct pipe *p = file->private_data;
	bool room = false;
	s64 ret;

	(void)pos;
	if (!iter->count)
		return 0;
	mutex_lock(&p->mutex);
	ret = pipe_wait_data(p, file_nonblock(file));
	if (ret > 0) {
		room = pipe_full(p);
		ret = read_ready(p, iter);
		ret = ret ? ret : -EFAULT;
		room &= !pipe_full(p);
	}
	mutex_unlock(&p->mutex);
	/* Nobody waits for more room than there was. */
	if (room)
		event_wake(&p->wr);
	return ret;
}

/* ---- writing ---------------------------------------------------------------
 */

/* The bytes beyond full pages behind the last buffer, if they fit. How many;
 * -EFAULT. */
static s64 write_merge(struct pipe *p, struct iov_iter *iter)
{
	u64 n = iter->count & (PAGE_SIZE - 1), done;
	struct pipe_buf *b;
	char *view;

	if (!n || !p->used)
		return 0;
	b = pipe_at(p, p->used - 1);
	if (!(b->flags & PIPE_BUF_MERGE) || b->off + b->len + n > PAGE_SIZE)
		return 0;
	view = page_map(b->page);
	done = iter_get(iter, view + b->off + b->len, n);
	page_unmap(b->page, view);
	if (done < n)
		return -EFAULT;
	b->len += (u32)done;
	return (s64)done;
}

/* One new buffer. Bytes; -ENOMEM, -EFAULT. */
static s64 write_page(struct pipe *p, struct iov_iter *iter, bool packets)
{
	struct pipe_buf b = {.page = take_page(p)};
	char *view;

	if (!b.page)
		return -ENOMEM;
	view = page_map(b.page);
	b.len = (u32)iter_get(iter, view, min(iter->count, PAGE_SIZE));
	page_unmap(b.page, view);
	b.flags = packets ? PIPE_BUF_PACKET : PIPE_BUF_MERGE;
	if (!b.len) {
		b.flags = PIPE_BUF_MERGE;
		buf_release(p, &b);
		return -EFAULT;
	}
	pipe_push(p, &b);
	return b.len;
}

/* As much as there is room for. */
static s64 write_room(struct pipe *p, struct iov_iter *iter, bool packets)
{
	s64 total = 0, n;

	while (iter->count && !pipe_full(p)) {
		n = write_page(p, iter, packets);
		if (n < 0)
			return total ? total : n;
		total += n;
		if (iter->count && n < (s64)PAGE_SIZE)
			break;
	}
	return total;
}

static s64 write_locked(struct pipe *p, struct iov_iter *iter, u32 flags)
{
	bool packets = flags & O_DIRECT;
	s64 total = 0, n = 0;

	if (p->readers && !packets)
		n = write_merge(p, iter);
	while (n >= 0) {
		total += n;
		if (!iter->count)
			break;
		n = pipe_wait_room(p, flags & O_NONBLOCK);
		if (n > 0)
			n = write_room(p, iter, packets);
		/* What is there may be read while we wait for more. */
		if (n > 0)
			event_wake(&p->rd);
	}
	return total ? total : n;
}

static s64 pipe_write(struct file *file, struct iov_iter *iter, u64 *pos)
{
	struct pipe *p = file->private_data;
	s64 ret;

	(void)pos;
	if (!iter->count)
		return 0;
	mutex_lock(&p->mutex);
	ret = write_locked(p, iter, READ_ONCE(file->f_flags));
	mutex_unlock(&p->mutex);
	/* Even one that failed: edges that epoll(7) tells are Linux's. */
	event_wake(&p->rd);
	return ret;
}

/* ---- asking ----------------------------------------------------------------
 */

static u32 pipe_poll(struct file *file, struct poll_table *pt)
{
	struct pipe *p = file->private_data;
	u32 mask = 0;

	if (file->f_mode & FMODE_READ)
		poll_wait(pt, &p->rd);
	if (file->f_mode & FMODE_WRITE)
		poll_wait(pt, &p->wr);
	mutex_lock(&p->mutex);
	if (file->f_mode & FMODE_READ) {
		if (p->used)
			mask |= POLLIN | POLLRDNORM;
		/* A FIFO whose writer has not come yet is not at its end. */
		if (!p->writers && (u32)file->f_ra.start != p->w_opens)
			mask |= POLLHUP;
	}
	if (file->f_mode & FMODE_WRITE) {
		if (!pipe_full(p))
			mask |= POLLOUT | POLLWRNORM;
		if (!p->readers)
			mask |= POLLERR;
	}
	mutex_unlock(&p->mutex);
	return mask;
}

static s64 pipe_ioctl(struct file *file, u32 cmd, u64 arg)
{
	struct pipe *p = file->private_data;
	s32 n = 0;

	if (cmd != FIONREAD)
		return -ENOTTY;
	mutex_lock(&p->mutex);
	for (u32 i = 0; i < p->used; i++)
		n += (s32)pipe_at(p, i)->len;
	mutex_unlock(&p->mutex);
	return user_write(arg, &n, sizeof(n));
}

/* A ring of RING buffers; what is in use moves. P locked. */
static int pipe_resize(struct pipe *p, u32 ring)
{
	struct pipe_buf *bufs;

	if (p->used > ring)
		return -EBUSY;
	bufs = kcalloc(ring, sizeof(*bufs), GFP_KERNEL);
	if (!bufs)
		return -ENOMEM;
	for (u32 i = 0; i < p->used; i++)
		bufs[i] = *pipe_at(p, i);
	kfree(p->bufs);
	p->bufs = bufs;
	p->ring = ring;
	p->head = 0;
	return 0;
}

static s64 set_size(struct pipe *p, u64 arg)
{
	u64 size = max(arg, PAGE_SIZE);
	int err;

	if ((u32)arg != arg || arg > 1u << 31)
		return -EINVAL;
	size = roundup_pow_of_two(size);
	if (size > PIPE_MAX_SIZE && size > (u64)p->ring << PAGE_SHIFT &&
	    !capable(CAP_SYS_RESOURCE))
		return -EPERM;
	err = pipe_resize(p, (u32)(size >> PAGE_SHIFT));
	return err ? err : (s64)size;
}

s64 pipe_fcntl(struct file *file, u32 cmd, u64 arg)
{
	struct pipe *p = file_pipe(file);
	s64 ret;

	if (!p)
		return -EBADF;
	mutex_lock(&p->mutex);
	if (cmd == F_SETPIPE_SZ)
		ret = set_size(p, arg);
	else
		ret = (s64)p->ring << PAGE_SHIFT;
	mutex_unlock(&p->mutex);
	if (cmd == F_SETPIPE_SZ && ret > 0)
		event_wake(&p->wr);
	return ret;
}

/* ---- opening and closing ---------------------------------------------------
 */

/* A holder less; the last one frees. */
static void pipe_put(struct pipe *p)
{
	bool last;

	spin_lock(&fifo_sys.lock);
	last = --p->files == 0;
	if (last && p->vnode)
		p->vnode->fifo = NULL;
	spin_unlock(&fifo_sys.lock);
	if (last)
		pipe_free(p);
}

static void leave(struct pipe *p, u32 mode)
{
	mutex_lock(&p->mutex);
	if (mode & FMODE_READ)
		p->readers--;
	if (mode & FMODE_WRITE)
		p->writers--;
	mutex_unlock(&p->mutex);
	event_wake(&p->rd);
	event_wake(&p->wr);
	pipe_put(p);
}

static void pipe_release(struct inode *inode, struct file *file)
{
	(void)inode;
	leave(file->private_data, file->f_mode);
}

static const struct file_operations pipe_fops = {
	.read_iter = pipe_read,
	.write_iter = pipe_write,
	.poll = pipe_poll,
	.ioctl = pipe_ioctl,
	.llseek = event_no_seek,
	.release = pipe_release,
};

/* V's pipe, made if there is none, held. */
static struct pipe *fifo_get(struct vnode *v)
{
	struct pipe *p, *fresh = pipe_new();

	if (!fresh)
		return NULL;
	spin_lock(&fifo_sys.lock);
	p = v->fifo;
	if (!p) {
		p = v->fifo = fresh;
		p->vnode = v;
		fresh = NULL;
	}
	p->files++;
	spin_unlock(&fifo_sys.lock);
	if (fresh)
		pipe_free(fresh);
	return p;
}

static bool opened(struct pipe *p, const u32 *opens, u32 before)
{
	bool yes;

	mutex_lock(&p->mutex);
	yes = *opens != before;
	mutex_unlock(&p->mutex);
	return yes;
}

/* Until the other side, whose opens are counted in OPENS, comes. */
static int wait_partner(struct pipe *p, const u32 *opens)
{
	u32 before = *opens;
	int err;

	mutex_unlock(&p->mutex);
	err = wait_event_interruptible(p->opens, opened(p, opens, before));
	mutex_lock(&p->mutex);
	return err;
}

/* P locked. */
static int fifo_enter(struct pipe *p, u32 mode, bool nonblock)
{
	if (mode == FMODE_WRITE && nonblock && !p->readers && !p->anon)
		return -ENXIO;
	if (mode & FMODE_READ) {
		p->r_opens++;
		p->readers++;
	}
	if (mode & FMODE_WRITE) {
		p->w_opens++;
		p->writers++;
	}
	wake_up_all(&p->opens);
	if (p->anon)
		return 0;
	/* Who has both sides waits for nobody. */
	if (mode == FMODE_READ && !p->writers && !nonblock)
		return wait_partner(p, &p->w_opens);
	if (mode == FMODE_WRITE && !p->readers)
		return wait_partner(p, &p->r_opens);
	return 0;
}

static int fifo_open(struct vnode *v, struct file *file)
{
	u32 mode = file->f_mode & (FMODE_READ | FMODE_WRITE);
	struct pipe *p = fifo_get(v);
	int err;

	if (!p)
		return -ENOMEM;
	mutex_lock(&p->mutex);
	/* Writers before this one are no end of file to it. */
	file->f_ra.start = p->writers || p->anon ? FIFO_SEEN : p->w_opens;
	err = fifo_enter(p, mode, file_nonblock(file));
	if (p->writers)
		file->f_ra.start = FIFO_SEEN;
	mutex_unlock(&p->mutex);
	if (err == -ENXIO) {
		pipe_put(p);
	} else if (err) {
		leave(p, mode);
	} else {
		file->private_data = p;
		file->f_op = &pipe_fops;
	}
	return err;
}

/* FILE's pipe for a vnode that leads to it. */
static void *fifo_hold(struct file *file, u32 *uid, u32 *gid)
{
	struct pipe *p = file_pipe(file);

	if (!p)
		return NULL;
	spin_lock(&fifo_sys.lock);
	p->files++;
	spin_unlock(&fifo_sys.lock);
	*uid = p->uid;
	*gid = p->gid;
	return p;
}

static void fifo_drop(void *fifo)
{
	pipe_put(fifo);
}

const struct vfs_fifo_ops fifo_ops = {
	.open = fifo_open, .hold = fifo_hold, .put = fifo_drop};

/* ---- pipe(2) ---------------------------------------------------------------
 */

static struct file *pipe_file(struct pipe *p, u32 mode, u32 flags)
{
	struct file *file = anon_file("pipe:[%d]", &pipe_fops, p, mode, flags,
				      S_IFIFO | 0600);

	if (!IS_ERR(file))
		file->f_ra.start = FIFO_SEEN;
	return file;
}

static s64 do_pipe(u64 to, u32 flags)
{
	u32 kept = flags & (O_NONBLOCK | O_DIRECT);
	struct file *rd, *wr;
	struct pipe *p;

	if (flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT))
		return -EINVAL;
	p = pipe_new();
	if (!p)
		return -ENOMEM;
	p->readers = p->writers = p->r_opens = p->w_opens = 1;
	p->files = 1;
	p->anon = true;
	p->uid = current->cred.fsuid;
	p->gid = current->cred.fsgid;
	rd = pipe_file(p, FMODE_READ, kept & O_NONBLOCK);
	if (IS_ERR(rd)) {
		pipe_free(p);
		return PTR_ERR(rd);
	}
	wr = pipe_file(p, FMODE_WRITE, kept | O_WRONLY);
	if (IS_ERR(wr)) {
		fput(rd);
		return PTR_ERR(wr);
	}
	p->files = 2;
	wr->f_inode->i_ino = rd->f_inode->i_ino;
	return event_install2(rd, wr, flags, to);
}

static s64 sys_pipe(const struct sys_args *s)
{
	return do_pipe(s->a[0], 0);
}

static s64 sys_pipe2(const struct sys_args *s)
{
	return do_pipe(s->a[0], (u32)s->a[1]);
}

static const struct syscall_def pipe_calls[] = {
	{22, "pipe", sys_pipe},
	{293, "pipe2", sys_pipe2},
};

void pipe_sys_init(void)
{
	syscall_register(pipe_calls, ARRAY_SIZE(pipe_calls));
}
