/* SPDX-License-Identifier: MIT */
/*
 * sys_mount.c - mount, umount2, pivot_root; and the entry of all calls on
 * files into the table.
 *
 * References: mount(2), umount(2), pivot_root(2).
 */
#include <mmkit/errno.h>

#include "base/string.h"
#include "sys.h"

/* A string that may be missing: NULL then. */
static int text_get(uva_t from, char **out)
{
	char *text = NULL;

	if (from)
		text = path_get(from);
	if (IS_ERR(text))
		return (int)PTR_ERR(text);
	*out = text;
	return 0;
}

/* mount(2)'s data: a page that may end in memory that is not there. */
static int data_get(uva_t from, char **out)
{
	char *text;
	s64 n;

	*out = NULL;
	if (!from)
		return 0;
	text = kmem_cache_alloc(fs_sys.names_cache, GFP_KERNEL);
	if (!text)
		return -ENOMEM;
	n = strncpy_from_user(current->mt->mm, text, from, PATH_MAX);
	if (n < 0 || n == PATH_MAX) {
		path_put(text);
		return n < 0 ? (int)n : -EINVAL;
	}
	*out = text;
	return 0;
}

static s64 sys_mount(const struct sys_args *s)
{
	char *text[4] = {0};
	int err;

	err = text_get(s->a[2], &text[2]);
	if (!err)
		err = text_get(s->a[0], &text[0]);
	if (!err)
		err = data_get(s->a[4], &text[3]);
	if (!err)
		err = text_get(s->a[1], &text[1]);
	if (!err && !text[1])
		err = -EFAULT;
	if (!err && !fs_capable(CAP_SYS_ADMIN))
		err = -EPERM;
	if (!err)
		err = do_mount(text[0], text[1], text[2], SYS_U(3), text[3]);
	for (u32 i = 0; i < ARRAY_SIZE(text); i++) {
		if (text[i])
			path_put(text[i]);
	}
	return err;
}

static s64 sys_umount2(const struct sys_args *s)
{
	char *path;
	s64 err;

	if (!fs_capable(CAP_SYS_ADMIN))
		return -EPERM;
	path = path_get(s->a[0]);
	if (IS_ERR(path))
		return PTR_ERR(path);
	err = do_umount(path, SYS_U(1));
	path_put(path);
	return err;
}

static s64 sys_pivot_root(const struct sys_args *s)
{
	char *new, *old;
	s64 err;

	if (!fs_capable(CAP_SYS_ADMIN))
		return -EPERM;
	new = path_get(s->a[0]);
	if (IS_ERR(new))
		return PTR_ERR(new);
	old = path_get(s->a[1]);
	err = PTR_ERR(old);
	if (!IS_ERR(old)) {
		err = do_pivot_root(new, old);
		path_put(old);
	}
	path_put(new);
	return err;
}

static const struct syscall_def mount_calls[] = {
	{155, "pivot_root", sys_pivot_root},
	{165, "mount", sys_mount},
	{166, "umount2", sys_umount2},
};

void fs_sys_init(void)
{
	syscall_register(fs_rw_calls, fs_rw_nr);
	syscall_register(fs_open_calls, fs_open_nr);
	syscall_register(fs_name_calls, fs_name_nr);
	syscall_register(fs_stat_calls, fs_stat_nr);
	syscall_register(fs_fcntl_calls, fs_fcntl_nr);
	syscall_register(fs_notify_calls, fs_notify_nr);
	syscall_register(fs_log_calls, fs_log_nr);
	syscall_register(mount_calls, ARRAY_SIZE(mount_calls));
}
