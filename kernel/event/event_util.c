/* SPDX-License-Identifier: MIT */
/*
 * event_util.c - what files without names have in common.
 */
#include "event_priv.h"

s64 event_no_seek(struct file *file, s64 off, int whence)
{
	(void)file;
	(void)off;
	(void)whence;
	return -ESPIPE;
}

s64 event_install(struct file *file, u32 flags)
{
	int fd;

	if (IS_ERR(file))
		return PTR_ERR(file);
	fd = fd_install(file, 0, (flags & O_CLOEXEC) != 0);
	if (fd < 0)
		fput(file);
	return fd;
}

s64 event_install2(struct file *a, struct file *b, u32 flags, u64 to)
{
	s64 fd[2];
	s32 out[2];

	fd[0] = event_install(a, flags);
	if (fd[0] < 0) {
		fput(b);
		return fd[0];
	}
	fd[1] = event_install(b, flags);
	if (fd[1] < 0) {
		(void)fd_close((int)fd[0]);
		return fd[1];
	}
	out[0] = (s32)fd[0];
	out[1] = (s32)fd[1];
	if (!user_write(to, out, sizeof(out)))
		return 0;
	(void)fd_close(out[0]);
	(void)fd_close(out[1]);
	return -EFAULT;
}
