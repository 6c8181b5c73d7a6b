/* SPDX-License-Identifier: MIT */
/*
 * open.c - open files: made from names, and what goes with their last
 * reference.
 *
 * 1. open(2) finds, or makes, a name under the rules of names.c, asks for the
 *    rights, and gives the open file what it holds: a reference to the dentry
 *    (and so to vnode and mount) and, if it may write, a count in
 *    vnode.writers. execve(2) takes the same count below zero, so that neither
 *    is possible while the other lasts (ETXTBSY).
 *
 * 2. What an open file does is its inode's file_operations, a device's, a
 *    fifo's; the file system's open operation may set others.
 *
 * 3. The last reference (file_last_put(), a hook of fput()) gives back locks,
 *    counts and the dentry, in whatever context that is.
 *
 * References: open(2), openat2(2), execve(2), fifo(7).
 */
#include <mmkit/errno.h>
#include <mmkit/memalloc.h>
#include <mmkit/slab.h>

#include "base/string.h"
#include "cache/filemap.h"
#include "fs.h"

/* ---- what goes with a file -------------------------------------------------
 */

/* V is going to be written, or (DENY) must not be: 0, -ETXTBSY. */
static int writers_get(struct vnode *v, bool deny)
{
	s32 old = READ_ONCE(v->writers);

	do {
		if (deny ? old > 0 : old < 0)
			return -ETXTBSY;
	} while (!__atomic_compare_exchange_n(
		&v->writers, &old, old + (deny ? -1 : 1), false,
		__ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
	return 0;
}

static void writers_put(struct vnode *v, bool deny)
{
	__atomic_add_fetch(&v->writers, deny ? 1 : -1, __ATOMIC_ACQ_REL);
}

int truncate_as_writer(struct vnode *v, u64 size)
{
	int err = writers_get(v, false);

	if (err)
		return err;
	err = do_truncate(v, size);
	writers_put(v, false);
	return err;
}

void file_last_put(struct file *file)
{
	struct vnode *v = file_node(file);

	if (v)
		notify_file(file, file->f_mode & FMODE_WRITE
					  ? IN_CLOSE_WRITE
					  : IN_CLOSE_NOWRITE);
	locks_release(file);
	if (v && (file->f_mode & FMODE_WRITER))
		writers_put(v, false);
	if (v && (file->f_mode & FMODE_DENYWRITE))
		writers_put(v, true);
	if (file->f_mode & FMODE_OWNPATH)
		kfree(file->f_path);
	/* The name may be the last thing that keeps a file system. */
	if (file->f_dentry) {
		iput(file->f_inode);
		file->f_inode = NULL;
		dput(file->f_dentry);
	}
}

/* ---- a file for a dentry ---------------------------------------------------
 */

static s64 dir_read(struct file *file, struct iov_iter *iter, u64 *pos)
{
	(void)file;
	(void)iter;
	(void)pos;
	return -EISDIR;
}

static int no_mmap(struct file *file, struct vm_area_struct *vma)
{
	(void)file;
	(void)vma;
	return -ENODEV;
}

static int dir_fsync(struct file *file, u64 start, u64 end, bool datasync)
{
	const struct vfs_sb *sb = file_node(file)->sb;

	(void)start;
	(void)end;
	(void)datasync;
	return sb->ops->sync ? sb->ops->sync((struct vfs_sb *)(uintptr_t)sb)
			     : 0;
}

static const struct file_operations dir_fops = {
	.read_iter = dir_read,
	.write_iter = dir_read,
	.mmap = no_mmap,
	.fsync = dir_fsync,
};

static s64 path_read(struct file *file, struct iov_iter *iter, u64 *pos)
{
	(void)file;
	(void)iter;
	(void)pos;
	return -EBADF;
}

static const struct file_operations path_fops = {
	.read_iter = path_read,
	.write_iter = path_read,
	.mmap = no_mmap,
};

/* What /proc/PID/maps shows of FILE: its path as it was opened. */
static void keep_path(struct file *file)
{
	char *buf = kmem_cache_alloc(fs_sys.names_cache, GFP_KERNEL), *path;

	/* Not the dentry's own text: a rename frees that. */
	file->f_path = "?";
	if (!buf)
		return;
	if (dentry_path(file_dentry(file), buf, PATH_MAX) >= 0) {
		path = kstrdup(buf, GFP_KERNEL_ACCOUNT);
		if (path) {
			file->f_path = path;
			file->f_mode |= FMODE_OWNPATH;
		}
	}
	kmem_cache_free(fs_sys.names_cache, buf);
}

void vfs_set_fifo(const struct vfs_fifo_ops *ops)
{
	fs_sys.fifo = ops;
}

/* Its kind's way to open V. */
static int kind_open(struct vnode *v, struct file *file)
{
	switch (v->mode & S_IFMT) {
	case S_IFDIR:
		file->f_op = &dir_fops;
		break;
	case S_IFCHR:
	case S_IFBLK:
		return device_open(v, file);
	case S_IFIFO:
		return fs_sys.fifo ? fs_sys.fifo->open(v, file) : -ENXIO;
	case S_IFSOCK:
		return -ENXIO;
	default:
		break;
	}
	return v->ops->open ? v->ops->open(v, file) : 0;
}

static u32 open_fmode(u32 flags)
{
	switch (flags & O_ACCMODE) {
	case O_RDONLY:
		return FMODE_READ;
	case O_WRONLY:
		return FMODE_WRITE;
	case O_RDWR:
		return FMODE_READ | FMODE_WRITE;
	default:
		return 0;
	}
}

/* FILE, fresh, of D: finish it, or give all back. */
static int file_finish(struct file *file, struct dentry *d, u32 flags)
{
	struct vnode *v = d->vnode;
	int err;

	file->f_dentry = dget(d);
	if (flags & O_PATH) {
		file->f_op = &path_fops;
		file->f_mode = FMODE_PATH;
		return 0;
	}
	if ((file->f_mode & FMODE_WRITE) && S_ISREG(v->mode)) {
		err = writers_get(v, false);
		if (err)
			return err;
		file->f_mode |= FMODE_WRITER;
	}
	keep_path(file);
	return kind_open(v, file);
}

struct file *open_dentry(struct dentry *d, u32 flags)
{
	struct file *file;
	u32 keep = flags & ~(O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC);
	int err;

	if ((d->mnt->sb->flags & MS_SYNCHRONOUS) && S_ISREG(d->vnode->mode))
		keep |= O_SYNC;
	/* As fcntl(2) shows it of a program of 64 bits. */
	if (!(flags & O_PATH))
		keep |= O_LARGEFILE;
	/* A terminal's open looks at O_NOCTTY. */
	file = file_open(d->vnode->inode, open_fmode(flags),
			 keep | (flags & O_NOCTTY), NULL);
	if (!file)
		return ERR_PTR(-ENOMEM);
	err = file_finish(file, d, flags);
	if (err) {
		/* What did not open is not released. */
		file->f_op = &path_fops;
		fput(file);
		return ERR_PTR(err);
	}
	file->f_flags &= ~O_NOCTTY;
	notify_file(file, IN_OPEN);
	return file;
}

/* ---- rights ----------------------------------------------------------------
 */

static u32 open_mask(u32 flags)
{
	static const u8 mask[4] = {MAY_READ, MAY_WRITE, MAY_READ | MAY_WRITE,
				   MAY_READ | MAY_WRITE};
	u32 m = mask[flags & O_ACCMODE];

	return flags & O_TRUNC ? m | MAY_WRITE : m;
}

static int may_open_kind(const struct dentry *d, u32 flags, u32 mask)
{
	switch (d->vnode->mode & S_IFMT) {
	case S_IFLNK:
		return -ELOOP;
	case S_IFDIR:
		return mask & MAY_WRITE ? -EISDIR : 0;
	case S_IFBLK:
	case S_IFCHR:
		return d->mnt->flags & MS_NODEV ? -EACCES : 0;
	case S_IFREG:
		return flags & O_DIRECT ? -EINVAL : 0;
	default:
		return 0;
	}
}

/* D exists: may it be opened with FLAGS? */
static int may_open(const struct dentry *d, u32 flags)
{
	u32 mask = open_mask(flags);
	int err;

	if (flags & O_PATH)
		return 0;
	err = may_open_kind(d, flags, mask);
	if (!err)
		err = dentry_permission(d, mask);
	if (err)
		return err;
	if ((d->vnode->inode->i_flags & S_APPEND) && (mask & MAY_WRITE) &&
	    (!(flags & O_APPEND) || (flags & O_TRUNC)))
		return -EPERM;
	if ((flags & O_NOATIME) && !owner_or_capable(d->vnode))
		return -EPERM;
	return 0;
}

/* D, found: open it. */
static struct file *open_found(struct dentry *d, u32 flags)
{
	struct file *file;
	int err;

	if ((flags & O_DIRECTORY) && !S_ISDIR(d->vnode->mode))
		return ERR_PTR(-ENOTDIR);
	err = may_open(d, flags);
	if (err)
		return ERR_PTR(err);
	file = open_dentry(d, flags);
	if (IS_ERR(file) || !(flags & O_TRUNC) || !S_ISREG(d->vnode->mode))
		return file;
	err = truncate_as_writer(d->vnode, 0);
	if (!err) {
		notify_dentry(d, IN_MODIFY);
		return file;
	}
	fput(file);
	return ERR_PTR(err);
}

/* ---- making what is not there ----------------------------------------------
 */

/* The name of W->last in DIR, locked, is not taken: make a file. */
static int create_locked(struct dentry *dir, struct dentry *d, u32 mode)
{
	struct vnode *dv = dir->vnode, *v;
	int err = may_create(dir);

	if (err)
		return err;
	if (!dv->ops->create)
		return -EACCES;
	err = dv->ops->create(dv, d->name, d->len, mode, 0, &v);
	if (err)
		return err;
	dentry_instantiate(d, v);
	dir_changed(dv);
	notify_name(dv, IN_CREATE, &(struct qstr){d->name, d->len}, 0);
	return 0;
}

/* Find or make W->last. *MADE: it was not there. */
static int lookup_create(struct walk *w, const struct open_how *how,
			 struct dentry **out, bool *made)
{
	struct dentry *dir = w->cur, *d;
	u32 mode = create_mode(dir->vnode, S_IFREG | (how->mode & 07777));
	unsigned int nofs;
	int err;

	err = walk_lookup(w, dir, &w->last, &d);
	if (err || dentry_vnode(d)) {
		*out = d;
		return err;
	}
	dput(d);
	down_write(&dir->vnode->lock);
	nofs = memalloc_nofs_save();
	err = lookup_locked(dir, &w->last, &d);
	if (!err && !d->vnode) {
		err = create_locked(dir, d, mode);
		*made = !err;
		if (err)
			dput(d);
	}
	memalloc_nofs_restore(nofs);
	up_write(&dir->vnode->lock);
	if (!err)
		*out = dentry_follow_mounts(d);
	return err;
}

/* In a sticky directory that all may write, O_CREAT does not open somebody
 * else's device, socket or link (fs.protected_regular, _fifos: 0). */
static bool sticky_refuses(const struct dentry *dir, const struct vnode *v)
{
	const struct vnode *dv = dir->vnode;

	return (dv->mode & S_ISVTX) && (dv->mode & 02) && !S_ISREG(v->mode) &&
	       !S_ISFIFO(v->mode) && v->uid != dv->uid && v->uid != fs_uid();
}

static struct file *open_made(struct dentry *d, u32 flags)
{
	/* Its maker has the rights that the flags ask for. */
	if (flags & O_DIRECT)
		return ERR_PTR(-EINVAL);
	return open_dentry(d, flags);
}

/* One round of open with O_CREAT, W before the last name. NULL: W went along
 * a link. */
static struct file *create_step(struct walk *w, const struct open_how *how)
{
	struct dentry *d;
	bool made = false;
	struct file *file;
	int err;

	if (w->type != LAST_NAME && (how->flags & O_EXCL))
		return ERR_PTR(-EEXIST);
	if (w->type != LAST_NAME || w->slash)
		return ERR_PTR(-EISDIR);
	err = lookup_create(w, how, &d, &made);
	if (err)
		return ERR_PTR(err);
	if (made) {
		file = open_made(d, how->flags);
	} else if (how->flags & O_EXCL) {
		file = ERR_PTR(-EEXIST);
	} else if (S_ISLNK(d->vnode->mode) && !(how->flags & O_NOFOLLOW)) {
		err = walk_link(w, d);
		return err ? ERR_PTR(err) : NULL;
	} else if (S_ISDIR(d->vnode->mode)) {
		file = ERR_PTR(-EISDIR);
	} else if (sticky_refuses(w->cur, d->vnode)) {
		file = ERR_PTR(-EACCES);
	} else {
		file = open_found(d, how->flags);
	}
	dput(d);
	return file;
}

/* A magic link led W to its end: there is no name to make. */
static bool at_magic_end(const struct walk *w)
{
	return w->type == LAST_ROOT && w->links && !*w->rest && !w->depth &&
	       !S_ISDIR(w->cur->vnode->mode);
}

static struct file *open_create(const struct open_how *how)
{
	struct walk w = {0};
	struct file *file = NULL;
	int err = walk_start(&w, how->dfd, how->path, how->lookup);

	if (!*how->path)
		err = -ENOENT;
	while (!err && !file) {
		err = walk_parent(&w);
		if (err)
			break;
		if (at_magic_end(&w))
			file = open_found(w.cur, how->flags);
		else
			file = create_step(&w, how);
	}
	walk_end(&w);
	return err ? ERR_PTR(err) : file;
}

/* O_TMPFILE: a file in directory D without a name there. */
static struct file *open_tmpfile(const struct open_how *how, struct dentry *d)
{
	u32 mode = create_mode(d->vnode, S_IFREG | (how->mode & 07777));
	static const struct qstr name = {"#tmpfile", 8};
	struct vnode *dv = d->vnode, *v;
	struct dentry *nd;
	struct file *file;
	int err = dentry_permission(d, MAY_WRITE | MAY_EXEC);

	if (err)
		return ERR_PTR(err);
	if (!dv->ops->tmpfile)
		return ERR_PTR(-EOPNOTSUPP);
	down_write(&dv->lock);
	err = dv->ops->tmpfile(dv, mode, &v);
	up_write(&dv->lock);
	if (err)
		return ERR_PTR(err);
	if (!(how->flags & O_EXCL))
		v->flags |= VNODE_LINKABLE;
	nd = dentry_make_unhashed(d, &name, v);
	if (!nd)
		return ERR_PTR(-ENOMEM);
	file = open_made(nd, how->flags & ~O_DIRECTORY);
	dput(nd);
	return file;
}

/* ---- the call --------------------------------------------------------------
 */

static int check_flags(u32 flags)
{
	if (flags & __O_TMPFILE) {
		if ((flags & O_TMPFILE) != O_TMPFILE || (flags & O_CREAT) ||
		    !(open_mask(flags) & MAY_WRITE))
			return -EINVAL;
	}
	if ((flags & (O_CREAT | O_DIRECTORY)) == (O_CREAT | O_DIRECTORY))
		return -EINVAL;
	return 0;
}

struct file *do_open(const struct open_how *how)
{
	struct open_how h = *how;
	struct dentry *d;
	struct file *file;
	int err;

	if (h.flags & O_PATH)
		h.flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	err = check_flags(h.flags);
	if (err)
		return ERR_PTR(err);
	if (h.flags & O_CREAT)
		return open_create(&h);
	if (!(h.flags & O_NOFOLLOW))
		h.lookup |= LOOKUP_FOLLOW;
	if (h.flags & O_DIRECTORY)
		h.lookup |= LOOKUP_DIRECTORY;
	err = vfs_lookup(h.dfd, h.path, h.lookup, &d);
	if (err)
		return ERR_PTR(err);
	if (h.flags & __O_TMPFILE)
		file = open_tmpfile(&h, d);
	else
		file = open_found(d, h.flags);
	dput(d);
	return file;
}

struct file *vfs_open(int dfd, const char *path, u32 flags, u32 mode)
{
	struct open_how how = {dfd, path, flags, mode, 0};

	return do_open(&how);
}

struct file *vfs_open_exec(int dfd, const char *path)
{
	struct dentry *d;
	struct file *file;
	int err = vfs_lookup(dfd, path, LOOKUP_FOLLOW | LOOKUP_EMPTY, &d);

	if (err)
		return ERR_PTR(err);
	err = -EACCES;
	if (S_ISREG(d->vnode->mode) && (d->vnode->mode & 0111))
		err = dentry_permission(d, MAY_EXEC);
	if (!err)
		err = writers_get(d->vnode, true);
	if (err) {
		dput(d);
		return ERR_PTR(err);
	}
	file = open_dentry(d, O_RDONLY);
	if (IS_ERR(file))
		writers_put(d->vnode, true);
	else
		file->f_mode |= FMODE_DENYWRITE | FMODE_EXEC;
	dput(d);
	return file;
}

/* ---- files without a name --------------------------------------------------
 */

static void anon_release(struct inode *inode)
{
	kfree(inode);
}

static const struct inode_operations anon_iops = {.release = anon_release};
static const struct address_space_operations anon_aops;

struct inode *anon_inode(u32 mode, const struct file_operations *fop)
{
	struct inode *inode = kzalloc(sizeof(*inode), GFP_KERNEL_ACCOUNT);

	if (!inode)
		return NULL;
	inode_init(inode, &fs_sys.anon_sb, mode, &anon_aops, fop);
	inode->i_op = &anon_iops;
	return inode;
}

struct file *anon_file(const char *name, const struct file_operations *fop,
		       void *private, u32 fmode, u32 flags, u32 s_mode)
{
	struct inode *inode = anon_inode(s_mode | 0600, fop);
	struct file *file;

	if (!inode)
		return ERR_PTR(-ENOMEM);
	inode->i_ino =
		__atomic_add_fetch(&fs_sys.anon_ino, 1, __ATOMIC_RELAXED);
	inode->i_nlink = 0;
	file = file_open(inode, fmode, flags, name);
	iput(inode);
	if (!file)
		return ERR_PTR(-ENOMEM);
	file->private_data = private;
	return file;
}
