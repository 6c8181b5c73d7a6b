/* SPDX-License-Identifier: MIT */
/*
 * sys_open.c - system calls that make, double and close descriptors, and that
 * read directories.
 *
 * A descriptor is taken before open(2) does anything, so EMFILE leaves no file
 * behind. getdents(2) collects records in a buffer of the kernel's: the
 * directory is locked meanwhile, and user memory must not be touched then.
 * Positions 0 and 1 of a directory are "." and "..", 2 + N is the file
 * system's N.
 *
 * References: open(2), openat2(2), close(2), dup(2), getdents(2).
 */
#include <mmkit/errno.h>

#include "base/string.h"
#include "sys.h"

/* ---- paths -----------------------------------------------------------------
 */

char *path_get(uva_t from)
{
	char *buf = kmem_cache_alloc(fs_sys.names_cache, GFP_KERNEL);
	int err;

	if (!buf)
		return ERR_PTR(-ENOMEM);
	err = user_path(buf, from);
	if (!err)
		return buf;
	kmem_cache_free(fs_sys.names_cache, buf);
	return ERR_PTR(err);
}

void path_put(char *path)
{
	kmem_cache_free(fs_sys.names_cache, path);
}

int at_lookup(int dfd, uva_t upath, u32 flags, u32 allowed, struct dentry **out)
{
	u32 lookup = flags & AT_SYMLINK_NOFOLLOW ? 0 : LOOKUP_FOLLOW;
	char *path;
	int err;

	if (flags & ~allowed)
		return -EINVAL;
	if (flags & AT_EMPTY_PATH)
		lookup |= LOOKUP_EMPTY;
	path = path_get(upath);
	if (IS_ERR(path))
		return (int)PTR_ERR(path);
	err = vfs_lookup(dfd, path, lookup, out);
	path_put(path);
	return err;
}

/* ---- open ------------------------------------------------------------------
 */

#define OPEN_FLAGS                                                      \
	(O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | \
	 O_NONBLOCK | O_ASYNC | O_DIRECT | O_LARGEFILE | O_DIRECTORY |  \
	 O_NOFOLLOW | O_NOATIME | O_CLOEXEC | O_SYNC | O_PATH | __O_TMPFILE)

static s64 open_how(struct open_how *how, uva_t upath)
{
	char *path = path_get(upath);
	struct file *file;
	int fd;

	if (IS_ERR(path))
		return PTR_ERR(path);
	how->path = path;
	fd = fd_reserve(0, how->flags & O_CLOEXEC);
	if (fd >= 0) {
		file = do_open(how);
		if (IS_ERR(file)) {
			fd_unreserve(fd);
			fd = (int)PTR_ERR(file);
		} else {
			fd_fill(fd, file);
		}
	}
	path_put(path);
	return fd;
}

static s64 sys_openat(const struct sys_args *s)
{
	struct open_how how = {.dfd = SYS_I(0),
			       .flags = SYS_U(2) & OPEN_FLAGS,
			       .mode = SYS_U(3) & 07777};

	return open_how(&how, s->a[1]);
}

static s64 sys_open(const struct sys_args *s)
{
	struct open_how how = {.dfd = AT_FDCWD,
			       .flags = SYS_U(1) & OPEN_FLAGS,
			       .mode = SYS_U(2) & 07777};

	return open_how(&how, s->a[0]);
}

static s64 sys_creat(const struct sys_args *s)
{
	struct open_how how = {.dfd = AT_FDCWD,
			       .flags = O_CREAT | O_WRONLY | O_TRUNC,
			       .mode = SYS_U(1) & 07777};

	return open_how(&how, s->a[0]);
}

struct user_open_how {
	u64 flags, mode, resolve;
};

/* RESOLVE_* of openat2(2) as LOOKUP_*; -EINVAL. */
static int resolve_flags(u64 resolve, u32 *lookup)
{
	static const u32 map[] = {
		LOOKUP_NO_XDEV,	    /* RESOLVE_NO_XDEV 1 */
		LOOKUP_NO_MAGIC,    /* RESOLVE_NO_MAGICLINKS 2 */
		LOOKUP_NO_SYMLINKS, /* RESOLVE_NO_SYMLINKS 4 */
		LOOKUP_BENEATH,	    /* RESOLVE_BENEATH 8 */
		LOOKUP_IN_ROOT,	    /* RESOLVE_IN_ROOT 16 */
	};

	if (resolve >> ARRAY_SIZE(map) || (resolve & 24) == 24)
		return -EINVAL;
	for (u32 i = 0; i < ARRAY_SIZE(map); i++) {
		if (resolve >> i & 1)
			*lookup |= map[i];
	}
	return 0;
}

static s64 sys_openat2(const struct sys_args *s)
{
	struct open_how how = {.dfd = SYS_I(0)};
	struct user_open_how u;
	u64 size = s->a[3], extra = 0;
	int err;

	if (size < sizeof(u))
		return -EINVAL;
	if (size > PAGE_SIZE)
		return -E2BIG;
	if (user_read(&u, s->a[2], sizeof(u)))
		return -EFAULT;
	/* What a later version would say must be nothing. */
	for (u64 at = sizeof(u); at < size; at += sizeof(extra)) {
		u64 n = min(size - at, (u64)sizeof(extra));

		extra = 0;
		if (user_read(&extra, s->a[2] + at, n))
			return -EFAULT;
		if (extra)
			return -E2BIG;
	}
	if ((u.flags & ~(u64)OPEN_FLAGS) || (u.mode & ~07777UL) ||
	    (u.mode && !(u.flags & (O_CREAT | __O_TMPFILE))))
		return -EINVAL;
	err = resolve_flags(u.resolve, &how.lookup);
	if (err)
		return err;
	if ((u.flags & O_PATH) &&
	    (u.flags & ~(u64)(O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)))
		return -EINVAL;
	how.flags = (u32)u.flags;
	how.mode = (u32)u.mode;
	return open_how(&how, s->a[1]);
}

/* ---- close, dup ------------------------------------------------------------
 */

static s64 sys_close(const struct sys_args *s)
{
	return fd_close(SYS_I(0));
}

static s64 sys_close_range(const struct sys_args *s)
{
	u32 flags = SYS_U(2);
	struct task *t = current;
	struct files_struct *mine, *old;

	if ((flags & ~6u) || SYS_U(0) > SYS_U(1))
		return -EINVAL;
	/* CLOSE_RANGE_UNSHARE: first a table of its own. */
	if ((flags & 2) &&
	    __atomic_load_n(&t->files->count, __ATOMIC_ACQUIRE) > 1) {
		mine = files_copy(t->files);
		if (!mine)
			return -ENOMEM;
		old = t->files;
		t->files = mine;
		files_put(old);
	}
	return fd_close_range(SYS_U(0), SYS_U(1), flags & 4);
}

static s64 sys_dup(const struct sys_args *s)
{
	struct file *file = fd_get_raw(SYS_I(0));
	int fd;

	if (!file)
		return -EBADF;
	fd = fd_install(file, 0, false);
	if (fd < 0)
		fput(file);
	return fd;
}

static s64 dup_to(int from, int to, bool cloexec)
{
	struct file *file = fd_get_raw(from);
	int fd;

	if (!file)
		return -EBADF;
	fd = fd_dup2(file, to, cloexec);
	fput(file);
	return fd;
}

static s64 sys_dup2(const struct sys_args *s)
{
	struct file *file;

	if (SYS_I(0) != SYS_I(1))
		return dup_to(SYS_I(0), SYS_I(1), false);
	file = fd_get_raw(SYS_I(0));
	if (!file)
		return -EBADF;
	fput(file);
	return SYS_I(1);
}

static s64 sys_dup3(const struct sys_args *s)
{
	if ((SYS_U(2) & ~O_CLOEXEC) || SYS_I(0) == SYS_I(1))
		return -EINVAL;
	return dup_to(SYS_I(0), SYS_I(1), SYS_U(2) & O_CLOEXEC);
}

/* ---- getdents --------------------------------------------------------------
 */

#define DENTS_BUFFER 32768u

struct dents {
	struct dir_context ctx;
	char *buf;
	u32 size, len;
	s64 *last_off; /* d_off of the record before */
	u64 base;      /* what is added to positions of the file system */
	bool old;      /* struct linux_dirent */
	int err;
};

struct linux_dirent64 {
	u64 ino;
	s64 off;
	u16 reclen;
	u8 type;
	char name[];
};

struct linux_dirent {
	u64 ino;
	s64 off;
	u16 reclen;
	char name[]; /* then an end mark; the type is the record's last byte */
};

static bool dents_add(struct dents *d, const char *name, u32 len, u64 ino,
		      u32 type)
{
	u32 head = d->old ? offsetof(struct linux_dirent, name)
			  : offsetof(struct linux_dirent64, name);
	u32 rec = ALIGN(head + len + (d->old ? 2 : 1), 8u);
	struct linux_dirent64 *r = (void *)(d->buf + d->len);
	char *text = d->buf + d->len + head;

	if (rec > d->size - d->len) {
		if (!d->len)
			d->err = -EINVAL;
		return false;
	}
	if (d->last_off)
		*d->last_off = (s64)(d->ctx.pos + d->base);
	mm_memset(r, 0, rec);
	r->ino = ino;
	r->reclen = (u16)rec;
	mm_memcpy(text, name, len);
	if (d->old)
		d->buf[d->len + rec - 1] = (char)type;
	else
		r->type = (u8)type;
	d->last_off = &r->off;
	d->len += rec;
	return true;
}

static bool dents_emit(struct dir_context *ctx, const char *name, u32 len,
		       u64 ino, u32 type)
{
	struct dents *d = container_of(ctx, struct dents, ctx);

	/* These two are given without the file system. */
	if (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')))
		return true;
	return dents_add(d, name, len, ino, type);
}

/* "." and "..", at positions 0 and 1. False: no room. */
static bool dents_dots(struct dents *d, struct dentry *dir, u64 *pos)
{
	struct dentry *up;
	bool ok = true;

	if (*pos == 0) {
		d->ctx.pos = 0;
		ok = dents_add(d, ".", 1, dir->vnode->ino, S_IFDIR >> 12);
		*pos += ok;
	}
	if (ok && *pos == 1) {
		up = dentry_parent(dir);
		d->ctx.pos = 1;
		ok = dents_add(d, "..", 2, up->vnode->ino, S_IFDIR >> 12);
		*pos += ok;
		dput(up);
	}
	return ok;
}

/* The directory's names from *POS on. */
static int dents_fill(struct dents *d, struct file *file, u64 *pos)
{
	struct dentry *dir = file_dentry(file);
	struct vnode *v = dir->vnode;
	int err = 0;

	down_read(&v->lock);
	if (v->flags & VNODE_DEAD) {
		err = -ENOENT;
	} else if (dents_dots(d, dir, pos)) {
		d->ctx.pos = *pos - 2;
		d->base = 2;
		if (v->ops->readdir)
			err = v->ops->readdir(v, &d->ctx);
		*pos = d->ctx.pos + 2;
	} else {
		d->ctx.pos = *pos;
	}
	if (d->last_off)
		*d->last_off = (s64)*pos;
	up_read(&v->lock);
	return d->len ? 0 : (err ? err : d->err);
}

static s64 dents_read(struct file *file, const struct sys_args *s, bool old)
{
	struct dents d = {.ctx = {.emit = dents_emit}, .old = old};
	u64 pos;
	int err;

	if (!file_dentry(file) || !S_ISDIR(file_node(file)->mode))
		return -ENOTDIR;
	d.size = min(SYS_U(2), DENTS_BUFFER);
	d.buf = kvmalloc(d.size ? d.size : 1, GFP_KERNEL_ACCOUNT);
	if (!d.buf)
		return -ENOMEM;
	pos_lock(file);
	pos = file->f_pos;
	err = dents_fill(&d, file, &pos);
	if (!err)
		err = user_write(s->a[1], d.buf, d.len);
	if (!err)
		file->f_pos = pos;
	pos_unlock(file);
	kvfree(d.buf);
	if (!err) {
		file_accessed(file);
		notify_file(file, IN_ACCESS);
	}
	return err ? err : (s64)d.len;
}

static s64 getdents(const struct sys_args *s, bool old)
{
	struct file *file = fd_get(SYS_I(0));
	s64 n;

	if (!file)
		return -EBADF;
	n = dents_read(file, s, old);
	fput(file);
	return n;
}

static s64 sys_getdents64(const struct sys_args *s)
{
	return getdents(s, false);
}

static s64 sys_getdents(const struct sys_args *s)
{
	return getdents(s, true);
}

const struct syscall_def fs_open_calls[] = {
	{2, "open", sys_open},
	{3, "close", sys_close},
	{32, "dup", sys_dup},
	{33, "dup2", sys_dup2},
	{78, "getdents", sys_getdents},
	{85, "creat", sys_creat},
	{217, "getdents64", sys_getdents64},
	{257, "openat", sys_openat},
	{292, "dup3", sys_dup3},
	{436, "close_range", sys_close_range},
	{437, "openat2", sys_openat2},
};
const u32 fs_open_nr = ARRAY_SIZE(fs_open_calls);
