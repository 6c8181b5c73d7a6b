/* SPDX-License-Identifier: MIT */
/*
 * sys_name.c - system calls on names: making, removing, renaming, links, and
 * where a task stands.
 *
 * References: the man pages of the calls in the table at the end.
 */
#include <mmkit/errno.h>

#include "base/string.h"
#include "sys.h"

/* ---- one path --------------------------------------------------------------
 */

static s64 mkdir_at(int dfd, uva_t upath, u32 mode)
{
	char *path = path_get(upath);
	s64 err;

	if (IS_ERR(path))
		return PTR_ERR(path);
	err = do_mkdir(dfd, path, mode);
	path_put(path);
	return err;
}

static s64 sys_mkdir(const struct sys_args *s)
{
	return mkdir_at(AT_FDCWD, s->a[0], SYS_U(1));
}

static s64 sys_mkdirat(const struct sys_args *s)
{
	return mkdir_at(SYS_I(0), s->a[1], SYS_U(2));
}

static s64 mknod_at(int dfd, uva_t upath, u32 mode, u32 rdev)
{
	char *path = path_get(upath);
	s64 err;

	if (IS_ERR(path))
		return PTR_ERR(path);
	err = do_mknod(dfd, path, mode, rdev);
	path_put(path);
	return err;
}

static s64 sys_mknod(const struct sys_args *s)
{
	return mknod_at(AT_FDCWD, s->a[0], SYS_U(1), SYS_U(2));
}

static s64 sys_mknodat(const struct sys_args *s)
{
	return mknod_at(SYS_I(0), s->a[1], SYS_U(2), SYS_U(3));
}

static s64 unlink_at(int dfd, uva_t upath, bool dir)
{
	char *path = path_get(upath);
	s64 err;

	if (IS_ERR(path))
		return PTR_ERR(path);
	err = do_unlink(dfd, path, dir);
	path_put(path);
	return err;
}

static s64 sys_unlink(const struct sys_args *s)
{
	return unlink_at(AT_FDCWD, s->a[0], false);
}

static s64 sys_rmdir(const struct sys_args *s)
{
	return unlink_at(AT_FDCWD, s->a[0], true);
}

static s64 sys_unlinkat(const struct sys_args *s)
{
	if (SYS_U(2) & ~AT_REMOVEDIR)
		return -EINVAL;
	return unlink_at(SYS_I(0), s->a[1], SYS_U(2) & AT_REMOVEDIR);
}

/* ---- two paths -------------------------------------------------------------
 */

/* DO with the two users' paths in A. */
static s64 with_two(struct link_args *a, uva_t uold, uva_t unew,
		    int (*fn)(const struct link_args *a))
{
	char *old = path_get(uold), *new;
	s64 err;

	if (IS_ERR(old))
		return PTR_ERR(old);
	new = path_get(unew);
	err = PTR_ERR(new);
	if (!IS_ERR(new)) {
		a->oldpath = old;
		a->newpath = new;
		err = fn(a);
		path_put(new);
	}
	path_put(old);
	return err;
}

static s64 sys_link(const struct sys_args *s)
{
	struct link_args a = {.olddfd = AT_FDCWD, .newdfd = AT_FDCWD};

	return with_two(&a, s->a[0], s->a[1], do_link);
}

static s64 sys_linkat(const struct sys_args *s)
{
	struct link_args a = {
		.olddfd = SYS_I(0), .newdfd = SYS_I(2), .flags = SYS_U(4)};

	return with_two(&a, s->a[1], s->a[3], do_link);
}

static s64 sys_rename(const struct sys_args *s)
{
	struct link_args a = {.olddfd = AT_FDCWD, .newdfd = AT_FDCWD};

	return with_two(&a, s->a[0], s->a[1], do_rename);
}

static s64 sys_renameat(const struct sys_args *s)
{
	struct link_args a = {.olddfd = SYS_I(0), .newdfd = SYS_I(2)};

	return with_two(&a, s->a[1], s->a[3], do_rename);
}

static s64 sys_renameat2(const struct sys_args *s)
{
	struct link_args a = {
		.olddfd = SYS_I(0), .newdfd = SYS_I(2), .flags = SYS_U(4)};

	return with_two(&a, s->a[1], s->a[3], do_rename);
}

static int symlink_args(const struct link_args *a)
{
	return do_symlink(a->oldpath, a->newdfd, a->newpath);
}

static s64 sys_symlink(const struct sys_args *s)
{
	struct link_args a = {.newdfd = AT_FDCWD};

	return with_two(&a, s->a[0], s->a[1], symlink_args);
}

static s64 sys_symlinkat(const struct sys_args *s)
{
	struct link_args a = {.newdfd = SYS_I(1)};

	return with_two(&a, s->a[0], s->a[2], symlink_args);
}

/* ---- readlink --------------------------------------------------------------
 */

/* A magic link reads as the path of where it leads. */
static s64 link_text(struct vnode *v, char *buf)
{
	if (!S_ISLNK(v->mode) || !v->ops->readlink)
		return -EINVAL;
	return v->ops->readlink(v, buf, PATH_MAX);
}

static s64 readlink_at(int dfd, uva_t upath, uva_t ubuf, s32 size)
{
	struct dentry *d;
	char *path;
	s64 n;

	if (size <= 0)
		return -EINVAL;
	path = path_get(upath);
	if (IS_ERR(path))
		return PTR_ERR(path);
	n = vfs_lookup(dfd, path, *path ? 0 : LOOKUP_EMPTY, &d);
	if (!n) {
		/* "": the link that an O_PATH descriptor is. */
		if (!*path && !S_ISLNK(d->vnode->mode))
			n = -ENOENT;
		else
			n = link_text(d->vnode, path);
		dput(d);
	}
	if (n > 0) {
		n = min(n, (s64)size);
		if (user_write(ubuf, path, (u64)n))
			n = -EFAULT;
	}
	path_put(path);
	return n;
}

static s64 sys_readlink(const struct sys_args *s)
{
	return readlink_at(AT_FDCWD, s->a[0], s->a[1], (s32)s->a[2]);
}

static s64 sys_readlinkat(const struct sys_args *s)
{
	return readlink_at(SYS_I(0), s->a[1], s->a[2], (s32)s->a[3]);
}

/* ---- where a task stands ---------------------------------------------------
 */

static s64 sys_getcwd(const struct sys_args *s)
{
	static const char out[] = "(unreachable)";
	struct dentry *root = fs_root_get(), *pwd = fs_pwd_get();
	char *buf = kmem_cache_alloc(fs_sys.names_cache, GFP_KERNEL), *text;
	bool reached = false;
	s64 n = -ENOMEM;

	if (buf && (pwd->flags & DENTRY_DELETED))
		n = -ENOENT;
	else if (buf)
		n = dentry_text(pwd, root, buf + sizeof(out),
				PATH_MAX - sizeof(out), &text, &reached);
	if (n > 0 && !reached) {
		text -= sizeof(out) - 1;
		mm_memcpy(text, out, sizeof(out) - 1);
		n += (s64)sizeof(out) - 1;
	}
	if (n > 0 && (u64)n + 1 > s->a[1])
		n = -ERANGE;
	if (n > 0)
		n = user_write(s->a[0], text, (u64)n + 1) ? -EFAULT : n + 1;
	if (buf)
		kmem_cache_free(fs_sys.names_cache, buf);
	dput(root);
	dput(pwd);
	return n;
}

static s64 enter_dir(struct dentry *d, bool root)
{
	s64 err = S_ISDIR(d->vnode->mode) ? vfs_permission(d->vnode, MAY_EXEC)
					  : -ENOTDIR;

	if (!err && root && !fs_capable(CAP_SYS_CHROOT))
		err = -EPERM;
	if (err) {
		dput(d);
		return err;
	}
	if (root)
		fs_set_root(fs_current(), d);
	else
		fs_set_pwd(fs_current(), d);
	return 0;
}

static s64 sys_chdir(const struct sys_args *s)
{
	struct dentry *d;
	int err = at_lookup(AT_FDCWD, s->a[0], 0, 0, &d);

	return err ? err : enter_dir(d, false);
}

static s64 sys_fchdir(const struct sys_args *s)
{
	struct file *file = fd_get_raw(SYS_I(0));
	s64 err = -ENOTDIR;

	if (!file)
		return -EBADF;
	if (file_dentry(file))
		err = enter_dir(dget(file_dentry(file)), false);
	fput(file);
	return err;
}

static s64 sys_chroot(const struct sys_args *s)
{
	struct dentry *d;
	int err = at_lookup(AT_FDCWD, s->a[0], 0, 0, &d);

	return err ? err : enter_dir(d, true);
}

static s64 sys_umask(const struct sys_args *s)
{
	return (s64)__atomic_exchange_n(&fs_current()->umask, SYS_U(0) & 0777,
					__ATOMIC_RELAXED);
}

const struct syscall_def fs_name_calls[] = {
	{79, "getcwd", sys_getcwd},
	{80, "chdir", sys_chdir},
	{81, "fchdir", sys_fchdir},
	{82, "rename", sys_rename},
	{83, "mkdir", sys_mkdir},
	{84, "rmdir", sys_rmdir},
	{86, "link", sys_link},
	{87, "unlink", sys_unlink},
	{88, "symlink", sys_symlink},
	{89, "readlink", sys_readlink},
	{95, "umask", sys_umask},
	{133, "mknod", sys_mknod},
	{161, "chroot", sys_chroot},
	{258, "mkdirat", sys_mkdirat},
	{259, "mknodat", sys_mknodat},
	{263, "unlinkat", sys_unlinkat},
	{264, "renameat", sys_renameat},
	{265, "linkat", sys_linkat},
	{266, "symlinkat", sys_symlinkat},
	{267, "readlinkat", sys_readlinkat},
	{316, "renameat2", sys_renameat2},
};
const u32 fs_name_nr = ARRAY_SIZE(fs_name_calls);
