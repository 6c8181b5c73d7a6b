/* SPDX-License-Identifier: MIT */
/*
 * pidfd.c - descriptors of processes: pidfd_open(2), pidfd_send_signal(2),
 * pidfd_getfd(2).
 *
 * The file holds a reference to the process, whose number may mean another one
 * later: a signal sent through it never reaches a stranger. It can be polled:
 * it is readable from the process's end on (signal_wait is woken then too).
 */
#include "base/string.h"
#include "syscall.h"
#include "task/task_priv.h"
#include "vfs.h"

#define PIDFD_NONBLOCK 04000u
#define O_RDWR	       2u

static void pidfd_release(struct inode *inode, struct file *file)
{
	(void)inode;
	process_put(file->private_data);
}

static u32 pidfd_poll(struct file *file, struct poll_table *pt)
{
	struct process *p = file->private_data;

	poll_wait(pt, &p->signal_wait);
	return READ_ONCE(p->zombie) ? POLLIN | POLLRDNORM : 0;
}

static s64 pidfd_io(struct file *file, struct iov_iter *iter, u64 *pos)
{
	(void)file;
	(void)iter;
	(void)pos;
	return -EINVAL;
}

static const struct file_operations pidfd_fops = {
	.read_iter = pidfd_io,
	.write_iter = pidfd_io,
	.poll = pidfd_poll,
	.release = pidfd_release,
};

int pidfd_install(struct process *p, u32 flags)
{
	struct file *file;
	int fd;

	process_get(p);
	file = anon_file("anon_inode:[pidfd]", &pidfd_fops, p, FMODE_READ,
			 O_RDWR | flags, 0);
	if (IS_ERR(file)) {
		process_put(p);
		return (int)PTR_ERR(file);
	}
	fd = fd_install(file, 0, true);
	if (fd < 0)
		fput(file);
	return fd;
}

struct process *pidfd_process(int fd)
{
	struct file *file = fd_get(fd);
	struct process *p = NULL;

	if (!file)
		return NULL;
	if (file->f_op == &pidfd_fops)
		p = process_get(file->private_data);
	fput(file);
	return p;
}

static s64 sys_pidfd_open(const struct sys_args *s)
{
	struct process *p;
	struct task *t;
	s64 ret;

	if ((s->a[1] & ~(u64)PIDFD_NONBLOCK) || (s32)s->a[0] <= 0)
		return -EINVAL;
	p = process_find((s32)s->a[0]);
	if (!p) {
		/* A thread's number is no process's. */
		t = task_find((s32)s->a[0]);
		if (t)
			task_put(t);
		return t ? -EINVAL : -ESRCH;
	}
	ret = pidfd_install(p, (u32)s->a[1]);
	process_put(p);
	return ret;
}

static s64 sys_pidfd_send_signal(const struct sys_args *s)
{
	int sig = (int)s->a[1];
	struct process *p;
	struct ksiginfo info;
	s64 ret;

	if (s->a[3])
		return -EINVAL;
	p = pidfd_process((int)s->a[0]);
	if (!p)
		return -EBADF;
	ret = signal_by_pidfd(p, sig, s->a[2], &info);
	process_put(p);
	return ret;
}

/* A copy of descriptor a[1] of the process. */
static s64 sys_pidfd_getfd(const struct sys_args *s)
{
	struct process *p;
	struct file *file = NULL;
	struct task *t;
	s64 ret;

	if (s->a[2])
		return -EINVAL;
	p = pidfd_process((int)s->a[0]);
	if (!p)
		return -EBADF;
	t = task_next(p, 0);
	process_put(p);
	if (!t)
		return -ESRCH;
	ret = may_ptrace(t);
	if (!ret) {
		struct files_struct *files = task_files(t);

		ret = files ? -EBADF : -ESRCH;
		if (files) {
			file = files_file(files, (int)s->a[1]);
			files_put(files);
		}
	}
	task_put(t);
	if (!file)
		return ret;
	ret = fd_install(file, 0, true);
	if (ret < 0)
		fput(file);
	return ret;
}

void pidfd_sys_init(void)
{
	static const struct syscall_def defs[] = {
		{424, "pidfd_send_signal", sys_pidfd_send_signal},
		{434, "pidfd_open", sys_pidfd_open},
		{438, "pidfd_getfd", sys_pidfd_getfd},
	};

	syscall_register(defs, ARRAY_SIZE(defs));
}
