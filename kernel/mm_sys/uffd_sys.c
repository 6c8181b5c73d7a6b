/* SPDX-License-Identifier: MIT */
/*
 * uffd_sys.c - userfaultfd(2) as a file of the kernel: read, poll, ioctl.
 *
 * The manager's handle (mmkit/userfaultfd.h) is never read with waiting: a
 * read that waits must end at any signal, so the wait is here. The file that
 * programs see holds the handle as its private data; its own flags say whether
 * it waits (fcntl(2) may change that).
 *
 * Reference: userfaultfd(2), ioctl_userfaultfd(2).
 */
#include <mmkit/slab.h>
#include <mmkit/userfaultfd.h>

#include "mm_sys/mm_sys.h"
#include "space/userfaultfd.h"
#include "vfs.h"

#define O_RDWR	     2u
#define READ_AT_ONCE (64 * sizeof(struct uffd_msg))

static int uffd_install(struct file *handle, u32 flags);

/* A fork's handle becomes a descriptor of the reader's. */
static int install_child(struct file *child, void *arg)
{
	const struct file *parent = arg;

	return uffd_install(child, parent->f_flags & O_NONBLOCK);
}

static bool readable(struct file *handle)
{
	return (userfaultfd_poll(handle, 0) & MM_POLLIN) != 0;
}

static s64 read_messages(struct file *file, void *buf, u64 len)
{
	struct file *handle = file->private_data;
	struct uffd_reader r = {buf, len, install_child, file};

	for (;;) {
		s64 got = userfaultfd_read(handle, &r);
		int err;

		if (got != -EAGAIN || (file->f_flags & O_NONBLOCK))
			return got;
		err = wait_event_interruptible(uffd_file_ctx(handle)->fd_wait,
					       readable(handle));
		if (err)
			return err;
	}
}

static s64 uffd_read(struct file *file, struct iov_iter *iter, u64 *pos)
{
	u64 len = min(iter->count, (u64)READ_AT_ONCE);
	void *buf = kmalloc(READ_AT_ONCE, GFP_KERNEL);
	s64 got;

	(void)pos;
	if (!buf)
		return -ENOMEM;
	got = read_messages(file, buf, len);
	if (got > 0 && iter_put(iter, buf, (u64)got) != (u64)got)
		got = -EFAULT;
	kfree(buf);
	return got;
}

static s64 uffd_write(struct file *file, struct iov_iter *iter, u64 *pos)
{
	(void)file;
	(void)iter;
	(void)pos;
	return -EINVAL;
}

static u32 uffd_poll(struct file *file, struct poll_table *pt)
{
	struct file *handle = file->private_data;
	u32 ready;

	poll_wait(pt, &uffd_file_ctx(handle)->fd_wait);
	ready = userfaultfd_poll(handle, 0);
	/* Who would wait in read must not wait here first. */
	if (!(file->f_flags & O_NONBLOCK))
		return POLLERR;
	return (ready & MM_POLLIN ? POLLIN | POLLRDNORM : 0) |
	       (ready & MM_POLLERR ? POLLERR : 0);
}

static s64 uffd_ioctl(struct file *file, u32 cmd, u64 arg)
{
	return userfaultfd_ioctl(file->private_data, current->mt->mm, cmd, arg);
}

static void uffd_release(struct inode *inode, struct file *file)
{
	(void)inode;
	fput(file->private_data);
}

static const struct file_operations uffd_sys_fops = {
	.read_iter = uffd_read,
	.write_iter = uffd_write,
	.poll = uffd_poll,
	.ioctl = uffd_ioctl,
	.release = uffd_release,
};

/* A descriptor for HANDLE, whose reference it takes, also when it fails. */
static int uffd_install(struct file *handle, u32 flags)
{
	struct file *file = anon_file(
		"anon_inode:[userfaultfd]", &uffd_sys_fops, handle,
		FMODE_READ | FMODE_WRITE, O_RDWR | (flags & O_NONBLOCK), 0);
	int fd;

	if (IS_ERR(file)) {
		fput(handle);
		return (int)PTR_ERR(file);
	}
	fd = fd_install(file, 0, flags & O_CLOEXEC);
	if (fd < 0)
		fput(file);
	return fd;
}

static s64 sys_userfaultfd(const struct sys_args *s)
{
	u32 flags = (u32)s->a[0];
	struct file *handle =
		userfaultfd_create(current->mt->mm, flags | O_NONBLOCK);

	if (IS_ERR(handle))
		return PTR_ERR(handle);
	return uffd_install(handle, flags);
}

void uffd_sys_init(void)
{
	static const struct syscall_def defs[] = {
		{323, "userfaultfd", sys_userfaultfd},
	};

	syscall_register(defs, ARRAY_SIZE(defs));
}
