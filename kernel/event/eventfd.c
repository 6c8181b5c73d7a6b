/* SPDX-License-Identifier: MIT */
/*
 * eventfd.c - a counter that can be waited for: eventfd(2).
 *
 * Writing adds, reading takes all (or 1: EFD_SEMAPHORE). Readers wait while it
 * is 0, writers while the sum would not fit. The counter stands under its own
 * lock; waiters test by trying.
 */
#include "event_priv.h"

#define EFD_SEMAPHORE 1u
#define EVENTFD_MAX   (~0UL - 1)

struct eventfd {
	spinlock_t lock;
	u64 count; /* (lock) */
	bool semaphore;
	wait_queue_head_t rd, wr;
};

static bool try_read(struct eventfd *e, u64 *out)
{
	bool got;

	spin_lock(&e->lock);
	got = e->count != 0;
	*out = e->semaphore ? got : e->count;
	e->count -= *out;
	spin_unlock(&e->lock);
	return got;
}

static bool try_write(struct eventfd *e, u64 add)
{
	bool fits;

	spin_lock(&e->lock);
	fits = add <= EVENTFD_MAX - e->count;
	if (fits)
		e->count += add;
	spin_unlock(&e->lock);
	return fits;
}

static s64 eventfd_read(struct file *file, struct iov_iter *iter, u64 *pos)
{
	struct eventfd *e = file->private_data;
	u64 val;
	int err;

	(void)pos;
	if (iter->count < sizeof(val))
		return -EINVAL;
	if (!try_read(e, &val)) {
		if (file_nonblock(file))
			return -EAGAIN;
		err = wait_event_interruptible(e->rd, try_read(e, &val));
		if (err)
			return err;
	}
	event_wake(&e->wr);
	return iter_put(iter, &val, sizeof(val)) < sizeof(val)
		       ? -EFAULT
		       : (s64)sizeof(val);
}

static s64 eventfd_write(struct file *file, struct iov_iter *iter, u64 *pos)
{
	struct eventfd *e = file->private_data;
	u64 val;
	int err;

	(void)pos;
	if (iter->count < sizeof(val))
		return -EINVAL;
	if (iter_get(iter, &val, sizeof(val)) < sizeof(val))
		return -EFAULT;
	if (val == ~0UL)
		return -EINVAL;
	if (!try_write(e, val)) {
		if (file_nonblock(file))
			return -EAGAIN;
		err = wait_event_interruptible(e->wr, try_write(e, val));
		if (err)
			return err;
	}
	event_wake(&e->rd);
	return sizeof(val);
}

static u32 eventfd_poll(struct file *file, struct poll_table *pt)
{
	struct eventfd *e = file->private_data;
	u32 mask = 0;
	u64 count;

	poll_wait_rw(pt, &e->rd, &e->wr);
	spin_lock(&e->lock);
	count = e->count;
	spin_unlock(&e->lock);
	if (count)
		mask |= POLLIN;
	if (count < EVENTFD_MAX)
		mask |= POLLOUT;
	return mask;
}

static void eventfd_release(struct inode *inode, struct file *file)
{
	(void)inode;
	kfree(file->private_data);
}

static const struct file_operations eventfd_fops = {
	.read_iter = eventfd_read,
	.write_iter = eventfd_write,
	.poll = eventfd_poll,
	.llseek = event_no_seek,
	.release = eventfd_release,
};

static s64 do_eventfd(u32 initial, u32 flags)
{
	struct eventfd *e;
	struct file *file;

	if (flags & ~(EFD_SEMAPHORE | O_CLOEXEC | O_NONBLOCK))
		return -EINVAL;
	e = kzalloc(sizeof(*e), GFP_KERNEL);
	if (!e)
		return -ENOMEM;
	spin_lock_init(&e->lock, LOCK_CLASS_NONE);
	init_waitqueue_head(&e->rd);
	init_waitqueue_head(&e->wr);
	e->count = initial;
	e->semaphore = flags & EFD_SEMAPHORE;
	file = anon_file("anon_inode:[eventfd]", &eventfd_fops, e,
			 FMODE_READ | FMODE_WRITE,
			 O_RDWR | (flags & O_NONBLOCK), 0);
	if (IS_ERR(file))
		kfree(e);
	return event_install(file, flags);
}

static s64 sys_eventfd(const struct sys_args *s)
{
	return do_eventfd((u32)s->a[0], 0);
}

static s64 sys_eventfd2(const struct sys_args *s)
{
	return do_eventfd((u32)s->a[0], (u32)s->a[1]);
}

static const struct syscall_def eventfd_calls[] = {
	{284, "eventfd", sys_eventfd},
	{290, "eventfd2", sys_eventfd2},
};

void eventfd_sys_init(void)
{
	syscall_register(eventfd_calls, ARRAY_SIZE(eventfd_calls));
}
