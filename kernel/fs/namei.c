/* SPDX-License-Identifier: MIT */
/*
 * namei.c - from paths to dentries.
 *
 * A walk stands on a dentry, holds it, and takes one component after the
 * other from the text that is left: "." and empty ones stay, ".." goes to the
 * parent (from a mount's root to where the mount hangs; not above the task's
 * root), a name is looked up in the cache and then in the directory. On each
 * name a mount is stepped onto the root of what is mounted there.
 *
 * A link's text comes next; what was left of the one before waits until it
 * is at its end. No more than 40 links are followed. The last component is a
 * link to be followed if it is asked for, or if slashes follow it.
 * walk_parent() stops before the last component, which is what creating and
 * removing need; walk_link() goes on from there.
 *
 * Names may change while a walk goes on: each step was true when it was made,
 * and that is all that path_resolution(7) promises.
 *
 * References: path_resolution(7), openat2(2) (RESOLVE_*), symlink(7).
 */
#include <mmkit/errno.h>
#include <mmkit/memalloc.h>
#include <mmkit/slab.h>

#include "base/string.h"
#include "fs.h"

/* ---- one component ---------------------------------------------------------
 */

static bool deleted_dir(const struct dentry *dir)
{
	return (READ_ONCE(dir->vnode->flags) & VNODE_DEAD) != 0;
}

int lookup_locked(struct dentry *dir, const struct qstr *q, struct dentry **out)
{
	struct vnode *dv = dir->vnode, *v = NULL;
	struct dentry *d;
	int err;

	if (deleted_dir(dir))
		return -ENOENT;
	if (q->len > NAME_MAX)
		return -ENAMETOOLONG;
	d = dentry_find(dir, q);
	if (!d) {
		if (!dv->ops->lookup)
			return -ENOTDIR;
		err = dv->ops->lookup(dv, q->name, q->len, &v);
		if (err && err != -ENOENT)
			return err;
		d = dentry_make(dir, q, v);
	}
	if (!d)
		return -ENOMEM;
	*out = d;
	return 0;
}

static int lookup_slow(struct dentry *dir, const struct qstr *q,
		       struct dentry **out)
{
	unsigned int nofs;
	int err;

	down_read(&dir->vnode->lock);
	nofs = memalloc_nofs_save();
	err = lookup_locked(dir, q, out);
	memalloc_nofs_restore(nofs);
	up_read(&dir->vnode->lock);
	return err;
}

int walk_lookup(struct walk *w, struct dentry *dir, const struct qstr *q,
		struct dentry **out)
{
	struct dentry *d;
	int err = 0;

	d = deleted_dir(dir) || q->len > NAME_MAX ? NULL : dentry_find(dir, q);
	if (!d)
		err = lookup_slow(dir, q, &d);
	if (err)
		return err;
	d = dentry_follow_mounts(d);
	if (d->mnt != dir->mnt && (w->flags & LOOKUP_NO_XDEV)) {
		dput(d);
		return -EXDEV;
	}
	*out = d;
	return 0;
}

/* W->cur becomes D, whose reference is taken over. */
static void step(struct walk *w, struct dentry *d)
{
	dput(w->cur);
	w->cur = d;
}

static int walk_dotdot(struct walk *w)
{
	struct dentry *d = dget(w->cur), *up;

	for (;;) {
		if (d == w->root) {
			dput(d);
			return w->flags & LOOKUP_BENEATH ? -EXDEV : 0;
		}
		if (READ_ONCE(d->parent) != d || !READ_ONCE(d->mnt->mountpoint))
			break;
		if (w->flags & LOOKUP_NO_XDEV) {
			dput(d);
			return -EXDEV;
		}
		spin_lock(&fs_sys.dcache_lock);
		up = d->mnt->mountpoint ? dget(d->mnt->mountpoint) : NULL;
		spin_unlock(&fs_sys.dcache_lock);
		if (!up)
			break;
		dput(d);
		d = up;
	}
	up = dentry_parent(d);
	dput(d);
	/* What is mounted over a parent hides it. */
	step(w, dentry_follow_mounts(up));
	return 0;
}

/* ---- links -----------------------------------------------------------------
 */

/* /proc's links lead to places, not along texts. */
static int magic_link(struct walk *w, struct vnode *v)
{
	struct dentry *to;
	int err;

	if (w->flags & (LOOKUP_NO_MAGIC | LOOKUP_BENEATH | LOOKUP_IN_ROOT))
		return -ELOOP;
	err = v->ops->get_link(v, &to);
	if (err)
		return err;
	step(w, to);
	return 0;
}

static void text_free(char *buf)
{
	if (buf)
		kmem_cache_free(fs_sys.names_cache, buf);
}

/* What is left of the path is for later. */
static int push_rest(struct walk *w)
{
	if (!*w->rest) {
		text_free(w->buf);
		w->buf = NULL;
		return 0;
	}
	if (!w->left)
		w->left = kmalloc_array(SYMLINKS_MAX + 1, sizeof(*w->left),
					GFP_KERNEL);
	if (!w->left)
		return -ENOMEM;
	w->left[w->depth++] = (struct walk_text){w->buf, w->rest};
	w->buf = NULL;
	return 0;
}

static void pop_rest(struct walk *w)
{
	text_free(w->buf);
	w->depth--;
	w->buf = w->left[w->depth].buf;
	w->rest = w->left[w->depth].rest;
}

/* BUF holds the link's text of N bytes: it comes next. */
static int take_text(struct walk *w, char *buf, s64 n)
{
	bool slash = w->slash && !*w->rest;
	int err;

	if (n <= 0)
		return n ? (int)n : -ENOENT;
	if (n >= (s64)PATH_MAX - 1)
		return -ENAMETOOLONG;
	err = push_rest(w);
	if (err)
		return err;
	/* Slashes behind the link ask for a directory. */
	if (slash)
		buf[n++] = '/';
	buf[n] = 0;
	w->rest = w->buf = buf;
	return 0;
}

static int follow_text(struct walk *w, struct vnode *v)
{
	char *buf = kmem_cache_alloc(fs_sys.names_cache, GFP_KERNEL);
	s64 n = -EINVAL;
	int err;

	if (!buf)
		return -ENOMEM;
	if (v->ops->readlink)
		n = v->ops->readlink(v, buf, PATH_MAX);
	err = take_text(w, buf, n);
	if (err) {
		kmem_cache_free(fs_sys.names_cache, buf);
		return err;
	}
	if (*w->rest != '/')
		return 0;
	if (w->flags & LOOKUP_BENEATH)
		return -EXDEV;
	step(w, dget(w->root));
	return 0;
}

int walk_link(struct walk *w, struct dentry *d)
{
	struct vnode *v = dentry_vnode(d);
	int err = 0;

	if (++w->links > SYMLINKS_MAX || (w->flags & LOOKUP_NO_SYMLINKS))
		err = -ELOOP;
	else if (v->ops->get_link)
		err = magic_link(w, v);
	else
		err = follow_text(w, v);
	dput(d);
	return err;
}

/* ---- along the path --------------------------------------------------------
 */

int walk_start(struct walk *w, int dfd, const char *path, u32 flags)
{
	struct dentry *d = NULL;
	struct file *file;

	w->flags = flags;
	w->rest = path;
	w->root = fs_root_get();
	if (*path == '/' && !(flags & (LOOKUP_BENEATH | LOOKUP_IN_ROOT))) {
		w->cur = dget(w->root);
		return 0;
	}
	if (*path == '/' && (flags & LOOKUP_BENEATH))
		return -EXDEV;
	if (dfd == AT_FDCWD) {
		w->cur = fs_pwd_get();
	} else {
		file = fd_get_raw(dfd);
		if (!file)
			return -EBADF;
		d = file_dentry(file);
		if (d)
			w->cur = dget(d);
		fput(file);
		if (!d)
			return -ENOTDIR;
	}
	if (*path && !S_ISDIR(w->cur->vnode->mode))
		return -ENOTDIR;
	if (flags & (LOOKUP_BENEATH | LOOKUP_IN_ROOT)) {
		dput(w->root);
		w->root = dget(w->cur);
	}
	return 0;
}

void walk_end(struct walk *w)
{
	if (w->cur)
		dput(w->cur);
	dput(w->root);
	while (w->depth)
		pop_rest(w);
	text_free(w->buf);
	kfree(w->left);
}

/* The next component of W->rest into W->last; false: there is none. */
static bool next_component(struct walk *w)
{
	const char *at, *end;

	for (;;) {
		at = w->rest;
		while (*at == '/')
			at++;
		if (*at || !w->depth)
			break;
		pop_rest(w);
	}
	for (end = at; *end && *end != '/';)
		end++;
	w->last = (struct qstr){at, (u32)(end - at)};
	w->slash = *end == '/';
	while (*end == '/')
		end++;
	w->rest = end;
	w->type = LAST_NAME;
	if (w->last.len == 1 && at[0] == '.')
		w->type = LAST_DOT;
	else if (w->last.len == 2 && at[0] == '.' && at[1] == '.')
		w->type = LAST_DOTDOT;
	return w->last.len > 0;
}

/* One component that is not the last. */
static int walk_middle(struct walk *w)
{
	struct dentry *d;
	int err;

	if (w->type == LAST_DOT)
		return 0;
	if (w->type == LAST_DOTDOT)
		return walk_dotdot(w);
	err = walk_lookup(w, w->cur, &w->last, &d);
	if (err)
		return err;
	if (!dentry_vnode(d)) {
		dput(d);
		return -ENOENT;
	}
	if (S_ISLNK(d->vnode->mode))
		return walk_link(w, d);
	step(w, d);
	return 0;
}

int walk_parent(struct walk *w)
{
	int err;

	w->type = LAST_ROOT;
	while (next_component(w)) {
		if (!S_ISDIR(w->cur->vnode->mode))
			return -ENOTDIR;
		err = vfs_permission(w->cur->vnode, MAY_EXEC);
		if (err || (!*w->rest && !w->depth))
			return err;
		err = walk_middle(w);
		if (err)
			return err;
		w->type = LAST_ROOT;
	}
	w->type = LAST_ROOT;
	return 0;
}

/* W stands before the last component: go there. 0: W->cur is it; 1: it was a
 * link, go on. */
static int walk_last(struct walk *w)
{
	struct dentry *d;
	int err;

	if (w->type == LAST_ROOT || w->type == LAST_DOT)
		return 0;
	if (w->type == LAST_DOTDOT)
		return walk_dotdot(w);
	err = walk_lookup(w, w->cur, &w->last, &d);
	if (err)
		return err;
	if (!dentry_vnode(d)) {
		dput(d);
		return -ENOENT;
	}
	if (S_ISLNK(d->vnode->mode) &&
	    ((w->flags & LOOKUP_FOLLOW) || w->slash)) {
		err = walk_link(w, d);
		return err ? err : 1;
	}
	step(w, d);
	return 0;
}

static int walk_all(struct walk *w)
{
	bool dir = false;
	int err;

	do {
		err = walk_parent(w);
		dir |= w->slash;
		if (!err)
			err = walk_last(w);
	} while (err == 1);
	if (err)
		return err;
	if ((dir || (w->flags & LOOKUP_DIRECTORY)) &&
	    !S_ISDIR(w->cur->vnode->mode))
		return -ENOTDIR;
	return 0;
}

int vfs_lookup(int dfd, const char *path, u32 lookup, struct dentry **out)
{
	struct walk w = {0};
	int err;

	if (!*path && !(lookup & LOOKUP_EMPTY))
		return -ENOENT;
	err = walk_start(&w, dfd, path, lookup);
	if (!err && *path)
		err = walk_all(&w);
	if (!err)
		*out = dget(w.cur);
	walk_end(&w);
	return err;
}

int path_parent(struct walk *w, int dfd, const char *path, u32 flags)
{
	int err = walk_start(w, dfd, path, flags);

	if (!*path)
		return -ENOENT;
	return err ? err : walk_parent(w);
}

/* ---- text ------------------------------------------------------------------
 */

s64 dentry_path(struct dentry *d, char *buf, size_t size)
{
	struct dentry *root = fs_root_get();
	bool reached;
	char *text;
	s64 n = dentry_text(d, root, buf, size, &text, &reached);

	dput(root);
	if (n >= 0)
		mm_memmove(buf, text, (size_t)n + 1);
	return n;
}

s64 file_path(struct file *file, char *buf, size_t size)
{
	const char *name = file->f_path ? file->f_path : "", *at;
	s64 n;

	if (file_dentry(file))
		return dentry_path(file_dentry(file), buf, size);
	at = mm_strchr(name, '%');
	if (at && at[1] == 'd')
		n = mm_snprintf(buf, size, "%.*s%llu%s", (int)(at - name), name,
				(unsigned long long)file->f_inode->i_ino,
				at + 2);
	else
		n = mm_snprintf(buf, size, "%s", name);
	return (size_t)n < size ? n : -ENAMETOOLONG;
}
