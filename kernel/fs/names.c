/* SPDX-License-Identifier: MIT */
/*
 * names.c - names that come, go and change: mkdir, mknod, symlink, link,
 * unlink, rmdir, rename.
 *
 * 1. Each walks to the directory, locks it for writing, looks the name up
 *    (again), asks for the rights, has the file system do it, and puts the
 *    dentry right before the lock is given back.
 *
 * 2. Two directories. rename(2) locks the old and the new one, the parent of
 *    the other first, else by address. What makes that order firm is
 *    rename_lock: while it is held no directory gets another parent. rmdir(2)
 *    and a rename over a directory lock that one too, so that no name appears
 *    in it between the look that it is empty and its end. Who has a victim's
 *    lock and wants another one wants a child's of it, and what rename(2) has
 *    locked is not below its victim: no circle. The checker of lock orders
 *    knows two levels of one class; a rename's victim, a third, is tried for.
 *
 * 3. A directory that was removed is VNODE_DEAD: nothing can be made in it
 *    (ENOENT), whoever still stands there.
 *
 * 4. Rights: writing and searching the directory; in a sticky one only owners
 *    remove (inode(7)); a mount point is EBUSY.
 *
 * 5. A file system that is mounted twice: see dcache.c, 3.
 *
 * References: mkdir(2), mknod(2), symlink(2), link(2), unlink(2), rmdir(2),
 * rename(2), inode(7); Linux documentation, filesystems/directory-locking.
 */
#include <mmkit/errno.h>
#include <mmkit/memalloc.h>
#include <mmkit/slab.h>

#include "base/string.h"
#include "fs.h"

/* ---- rights ----------------------------------------------------------------
 */

int may_create(const struct dentry *dir)
{
	if (dir->vnode->flags & VNODE_DEAD)
		return -ENOENT;
	return dentry_permission(dir, MAY_WRITE | MAY_EXEC);
}

u32 create_mode(const struct vnode *dir, u32 mode)
{
	if (!S_ISDIR(mode) && (dir->mode & S_ISGID) &&
	    (mode & (S_ISGID | 010)) == (S_ISGID | 010) &&
	    !fs_in_group(dir->gid) && !fs_capable(CAP_FSETID))
		mode &= ~S_ISGID;
	return mode & ~READ_ONCE(fs_current()->umask);
}

static bool sticky_forbids(const struct vnode *dir, const struct vnode *v)
{
	u32 uid = fs_uid();

	return (dir->mode & S_ISVTX) && v->uid != uid && dir->uid != uid &&
	       !fs_capable(CAP_FOWNER);
}

int may_delete(const struct dentry *dir, const struct dentry *d, bool is_dir)
{
	int err = dentry_permission(dir, MAY_WRITE | MAY_EXEC);

	if (err)
		return err;
	if (sticky_forbids(dir->vnode, d->vnode))
		return -EPERM;
	if (d->vnode->inode && (d->vnode->inode->i_flags & S_SWAPFILE))
		return -EPERM;
	if (is_dir && !S_ISDIR(d->vnode->mode))
		return -ENOTDIR;
	if (!is_dir && S_ISDIR(d->vnode->mode))
		return -EISDIR;
	return d->mounted ? -EBUSY : 0;
}

void dir_changed(struct vnode *dir)
{
	if (READ_ONCE(dir->sb->mounts) > 1)
		WRITE_ONCE(dir->dirgen, dir->dirgen + 1);
}

/* ---- making ----------------------------------------------------------------
 */

struct making {
	u32 mode, rdev;
	const char *target;  /* symlink */
	struct dentry *from; /* link */
};

/* fs.protected_hardlinks as Debian has it, 1: who is not the owner may name
 * again only what he could read and write, and what lends nobody's rights. */
static bool protected_link(const struct vnode *v)
{
	if (owner_or_capable(v))
		return false;
	return !S_ISREG(v->mode) || (v->mode & S_ISUID) ||
	       (v->mode & (S_ISGID | 010)) == (S_ISGID | 010) ||
	       vfs_permission(v, MAY_READ | MAY_WRITE);
}

/* Another name for M->from. */
static int link_locked(struct vnode *dv, struct dentry *d,
		       const struct making *m, struct vnode **out)
{
	struct vnode *v = m->from->vnode;
	int err;

	if (S_ISDIR(v->mode) || !dv->ops->link)
		return -EPERM;
	/* The file system looks once more, where nobody can take the last. */
	if (!vnode_linkable(v))
		return -ENOENT;
	err = dv->ops->link(dv, d->name, d->len, v);
	if (err)
		return err;
	/* Beside others that link it elsewhere. */
	if (READ_ONCE(v->flags) & VNODE_LINKABLE)
		__atomic_fetch_and(&v->flags, ~VNODE_LINKABLE,
				   __ATOMIC_RELAXED);
	*out = vnode_get(v);
	return 0;
}

/* The negative D, in DIR, locked, comes to stand for something. */
static int make_locked(struct dentry *dir, struct dentry *d,
		       const struct making *m)
{
	struct vnode *dv = dir->vnode, *v = NULL;
	int err;

	if (m->from) {
		err = link_locked(dv, d, m, &v);
	} else if (m->target) {
		if (!dv->ops->symlink)
			return -EPERM;
		err = dv->ops->symlink(dv, d->name, d->len, m->target, &v);
	} else {
		if (!dv->ops->create)
			return -EPERM;
		err = dv->ops->create(dv, d->name, d->len,
				      create_mode(dv, m->mode), m->rdev, &v);
	}
	if (err)
		return err;
	dir_changed(dv);
	dentry_instantiate(d, v);
	if (m->from)
		notify_self(v, IN_ATTRIB);
	notify_name(dv, S_ISDIR(v->mode) ? IN_CREATE | IN_ISDIR : IN_CREATE,
		    &(struct qstr){d->name, d->len}, 0);
	return 0;
}

/* In W->cur, locked. */
static int make_named(struct walk *w, const struct making *m)
{
	struct dentry *dir = w->cur, *d;
	int err = lookup_locked(dir, &w->last, &d);

	if (err)
		return err;
	if (d->vnode)
		err = -EEXIST;
	else if (w->slash && !S_ISDIR(m->mode))
		err = -ENOENT;
	else if (m->from && m->from->mnt != dir->mnt)
		err = -EXDEV;
	else if (m->from && protected_link(m->from->vnode))
		err = -EPERM;
	else
		err = may_create(dir);
	if (!err)
		err = make_locked(dir, d, m);
	dput(d);
	return err;
}

static int make_at(int dfd, const char *path, const struct making *m)
{
	struct walk w = {0};
	unsigned int nofs;
	int err = path_parent(&w, dfd, path, 0);

	if (!err && w.type != LAST_NAME)
		err = -EEXIST;
	if (!err) {
		down_write(&w.cur->vnode->lock);
		nofs = memalloc_nofs_save();
		err = make_named(&w, m);
		memalloc_nofs_restore(nofs);
		up_write(&w.cur->vnode->lock);
	}
	walk_end(&w);
	return err;
}

int do_mkdir(int dfd, const char *path, u32 mode)
{
	struct making m = {.mode = S_IFDIR | (mode & 01777)};

	return make_at(dfd, path, &m);
}

int do_mknod(int dfd, const char *path, u32 mode, u32 rdev)
{
	struct making m = {.rdev = rdev};
	u32 fmt = mode & S_IFMT;

	switch (fmt) {
	case 0:
		fmt = S_IFREG;
		break;
	case S_IFREG:
	case S_IFIFO:
	case S_IFSOCK:
		break;
	case S_IFCHR:
	case S_IFBLK:
		if (!fs_capable(CAP_MKNOD))
			return -EPERM;
		break;
	case S_IFDIR:
		return -EPERM;
	default:
		return -EINVAL;
	}
	m.mode = fmt | (mode & 07777);
	if (fmt != S_IFCHR && fmt != S_IFBLK)
		m.rdev = 0;
	return make_at(dfd, path, &m);
}

int do_symlink(const char *target, int dfd, const char *path)
{
	struct making m = {.target = target};

	return *target ? make_at(dfd, path, &m) : -ENOENT;
}

/* ---- link ------------------------------------------------------------------
 */

int do_link(const struct link_args *a)
{
	u32 lookup = a->flags & AT_SYMLINK_FOLLOW ? LOOKUP_FOLLOW : 0;
	struct making m = {0};
	int err;

	if (a->flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
		return -EINVAL;
	if ((a->flags & AT_EMPTY_PATH) && !*a->oldpath) {
		if (!fs_capable(CAP_DAC_READ_SEARCH))
			return -ENOENT;
		lookup |= LOOKUP_EMPTY;
	}
	err = vfs_lookup(a->olddfd, a->oldpath, lookup, &m.from);
	if (err)
		return err;
	err = make_at(a->newdfd, a->newpath, &m);
	dput(m.from);
	return err;
}

/* ---- unlink, rmdir ---------------------------------------------------------
 */

/* D, a name of DIR, which is locked; the file is gone, its name too. */
static void name_gone(struct dentry *dir, struct dentry *d)
{
	dir_changed(dir->vnode);
	dentry_drop(d, true);
}

static int unlink_locked(struct dentry *dir, struct dentry *d)
{
	struct vnode *dv = dir->vnode;
	int err = may_delete(dir, d, false);

	if (err)
		return err;
	if (!dv->ops->unlink)
		return -EPERM;
	err = dv->ops->unlink(dv, d->name, d->len, d->vnode);
	if (!err) {
		notify_self(d->vnode, IN_ATTRIB);
		name_gone(dir, d);
	}
	return err;
}

static int rmdir_locked(struct dentry *dir, struct dentry *d)
{
	struct vnode *dv = dir->vnode, *v = d->vnode;
	int err = may_delete(dir, d, true);

	if (!err && d->parent == d)
		err = -EBUSY;
	if (err)
		return err;
	if (!dv->ops->rmdir)
		return -EPERM;
	down_write_nested(&v->lock, 1);
	err = dv->ops->rmdir(dv, d->name, d->len, v);
	if (!err) {
		WRITE_ONCE(v->flags, v->flags | VNODE_DEAD);
		name_gone(dir, d);
	}
	up_write(&v->lock);
	return err;
}

/* The last name of W goes. */
static int remove_named(struct walk *w, bool is_dir, struct dentry **gone)
{
	struct dentry *d;
	int err = lookup_locked(w->cur, &w->last, &d);

	if (err)
		return err;
	if (!d->vnode)
		err = -ENOENT;
	else if (!is_dir && w->slash)
		err = S_ISDIR(d->vnode->mode) ? -EISDIR : -ENOTDIR;
	else if (is_dir)
		err = rmdir_locked(w->cur, d);
	else
		err = unlink_locked(w->cur, d);
	/* Its end is not to be met with the lock held. */
	if (err)
		dput(d);
	else
		*gone = d;
	return err;
}

static int last_for_removal(const struct walk *w, bool is_dir)
{
	if (w->type == LAST_NAME)
		return 0;
	if (!is_dir)
		return -EISDIR;
	if (w->type == LAST_DOT)
		return -EINVAL;
	return w->type == LAST_DOTDOT ? -ENOTEMPTY : -EBUSY;
}

int do_unlink(int dfd, const char *path, bool is_dir)
{
	struct dentry *gone = NULL;
	struct walk w = {0};
	unsigned int nofs;
	int err = path_parent(&w, dfd, path, 0);

	if (!err)
		err = last_for_removal(&w, is_dir);
	if (!err) {
		down_write(&w.cur->vnode->lock);
		nofs = memalloc_nofs_save();
		err = remove_named(&w, is_dir, &gone);
		memalloc_nofs_restore(nofs);
		up_write(&w.cur->vnode->lock);
	}
	if (gone) {
		/* First what was removed hears of it: a file if nobody uses
		 * it, a directory, which cached names may refer to, at once. */
		if (is_dir)
			notify_gone(gone->vnode);
		dput(gone);
		notify_name(w.cur->vnode,
			    is_dir ? IN_DELETE | IN_ISDIR : IN_DELETE, &w.last,
			    0);
	}
	walk_end(&w);
	return err;
}

/* ---- rename ----------------------------------------------------------------
 */

struct renaming {
	struct walk from, to;
	struct dentry *old, *new; /* the names; NEW may be negative */
	char *room;		  /* for a long new name */
	u32 flags;
};

/* Which of A and B, different directories of one mount, is locked first. */
static bool lock_first(struct dentry *a, struct dentry *b)
{
	if (dentry_is_below(b, a))
		return true;
	return !dentry_is_below(a, b) && (uintptr_t)a < (uintptr_t)b;
}

static void lock_two(struct dentry *a, struct dentry *b)
{
	if (a->vnode == b->vnode) {
		down_write(&a->vnode->lock);
		return;
	}
	mutex_lock(&fs_sys.rename_lock);
	if (!lock_first(a, b)) {
		struct dentry *t = a;

		a = b;
		b = t;
	}
	down_write(&a->vnode->lock);
	down_write_nested(&b->vnode->lock, 1);
}

static void unlock_two(struct dentry *a, struct dentry *b)
{
	up_write(&a->vnode->lock);
	if (a->vnode == b->vnode)
		return;
	up_write(&b->vnode->lock);
	mutex_unlock(&fs_sys.rename_lock);
}

/* Names that cannot be: conditions on both, in the order of rename(2)'s
 * errors. Locked. */
static int rename_shape(const struct renaming *r)
{
	bool exchange = r->flags & RENAME_EXCHANGE;

	if (r->new->vnode && (r->flags & RENAME_NOREPLACE))
		return -EEXIST;
	if (!r->new->vnode && exchange)
		return -ENOENT;
	if (!S_ISDIR(r->old->vnode->mode) &&
	    (r->from.slash || (!exchange && r->to.slash)))
		return -ENOTDIR;
	if (exchange && r->to.slash && !S_ISDIR(r->new->vnode->mode))
		return -ENOTDIR;
	if (dentry_is_below(r->to.cur, r->old))
		return -EINVAL;
	if (dentry_is_below(r->from.cur, r->new))
		return exchange ? -EINVAL : -ENOTEMPTY;
	return 0;
}

/* Moving a directory changes its ".."; that needs the right to write it. */
static int may_reparent(const struct renaming *r, const struct dentry *d)
{
	if (r->from.cur->vnode == r->to.cur->vnode || !S_ISDIR(d->vnode->mode))
		return 0;
	return vfs_permission(d->vnode, MAY_WRITE);
}

static int may_rename(const struct renaming *r)
{
	bool is_dir = S_ISDIR(r->old->vnode->mode);
	int err = may_delete(r->from.cur, r->old, is_dir);

	if (err)
		return err;
	if (!r->new->vnode)
		err = may_create(r->to.cur);
	else if (r->flags & RENAME_EXCHANGE)
		err = may_delete(r->to.cur, r->new,
				 S_ISDIR(r->new->vnode->mode));
	else
		err = may_delete(r->to.cur, r->new, is_dir);
	if (!err)
		err = may_reparent(r, r->old);
	if (!err && (r->flags & RENAME_EXCHANGE))
		err = may_reparent(r, r->new);
	return err;
}

/* See 2. at the head of this file. */
static void lock_victim(struct vnode *v)
{
	while (!down_write_trylock(&v->lock))
		(void)port_park(20000);
}

/* V went from one name to the other; OVER, if any, lost the second. */
static void notify_moved(const struct renaming *r, struct vnode *v,
			 const struct qstr *from, const struct qstr *to)
{
	u32 dir = S_ISDIR(v->mode) ? IN_ISDIR : 0, cookie = notify_cookie();
	bool back = from == &r->to.last;

	notify_name((back ? r->to : r->from).cur->vnode, IN_MOVED_FROM | dir,
		    from, cookie);
	notify_name((back ? r->from : r->to).cur->vnode, IN_MOVED_TO | dir, to,
		    cookie);
}

static int rename_over(struct renaming *r)
{
	struct vnode *dv = r->from.cur->vnode, *nv = r->to.cur->vnode;
	struct vnode *over = r->new->vnode;
	bool over_dir = over && S_ISDIR(over->mode);
	struct qstr to = {r->new->name, r->new->len};
	int err;

	if (over_dir)
		lock_victim(over);
	err = dv->ops->rename(dv, r->old->name, r->old->len, nv, to.name,
			      to.len, over);
	if (!err && over_dir)
		WRITE_ONCE(over->flags, over->flags | VNODE_DEAD);
	if (over_dir)
		up_write(&over->lock);
	if (err)
		return err;
	dir_changed(dv);
	dir_changed(nv);
	dentry_drop(r->new, over != NULL);
	dentry_move(r->old, r->to.cur, &to, r->room);
	if (to.len >= DENTRY_INLINE)
		r->room = NULL;
	notify_moved(r, r->old->vnode, &r->from.last, &r->to.last);
	if (over)
		notify_self(over, IN_ATTRIB);
	notify_self(r->old->vnode, IN_MOVE_SELF);
	if (over_dir)
		notify_gone(over);
	return 0;
}

static int rename_exchange(struct renaming *r)
{
	struct vnode *dv = r->from.cur->vnode, *nv = r->to.cur->vnode;
	int err;

	if (!dv->ops->exchange)
		return -EINVAL;
	err = dv->ops->exchange(dv, r->old->name, r->old->len, nv, r->new->name,
				r->new->len);
	if (err)
		return err;
	dir_changed(dv);
	dir_changed(nv);
	dentry_exchange(r->old, r->new);
	notify_moved(r, r->old->vnode, &r->from.last, &r->to.last);
	notify_self(r->old->vnode, IN_MOVE_SELF);
	notify_moved(r, r->new->vnode, &r->to.last, &r->from.last);
	notify_self(r->new->vnode, IN_MOVE_SELF);
	return 0;
}

/* Both directories are locked. */
static int rename_locked(struct renaming *r)
{
	int err = lookup_locked(r->from.cur, &r->from.last, &r->old);

	if (!err && !r->old->vnode)
		err = -ENOENT;
	if (!err)
		err = lookup_locked(r->to.cur, &r->to.last, &r->new);
	if (!err)
		err = rename_shape(r);
	if (err)
		return err;
	if (r->old->vnode == r->new->vnode)
		return 0;
	err = may_rename(r);
	if (err)
		return err;
	if (!r->from.cur->vnode->ops->rename)
		return -EPERM;
	if (r->flags & RENAME_EXCHANGE)
		return rename_exchange(r);
	return rename_over(r);
}

static int rename_walks(struct renaming *r, const struct link_args *a)
{
	int err = path_parent(&r->from, a->olddfd, a->oldpath, 0);

	if (!err)
		err = path_parent(&r->to, a->newdfd, a->newpath, 0);
	if (err)
		return err;
	if (r->from.cur->mnt != r->to.cur->mnt)
		return -EXDEV;
	if (r->from.type != LAST_NAME)
		return -EBUSY;
	if (r->to.type != LAST_NAME)
		return r->flags & RENAME_NOREPLACE ? -EEXIST : -EBUSY;
	return may_write_mount(r->from.cur);
}

int do_rename(const struct link_args *a)
{
	struct renaming r = {.flags = a->flags};
	unsigned int nofs;
	int err;

	if ((a->flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) ||
	    a->flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	err = rename_walks(&r, a);
	if (!err && r.to.last.len >= DENTRY_INLINE &&
	    r.to.last.len <= NAME_MAX) {
		r.room = kmalloc(r.to.last.len + 1, GFP_KERNEL_ACCOUNT);
		err = r.room ? 0 : -ENOMEM;
	}
	if (!err) {
		lock_two(r.from.cur, r.to.cur);
		nofs = memalloc_nofs_save();
		err = rename_locked(&r);
		memalloc_nofs_restore(nofs);
		unlock_two(r.from.cur, r.to.cur);
	}
	if (r.old)
		dput(r.old);
	if (r.new)
		dput(r.new);
	kfree(r.room);
	if (r.to.root)
		walk_end(&r.to);
	walk_end(&r.from);
	return err;
}

/* ---- for the rest of the kernel --------------------------------------------
 */

int vfs_mkdir(int dfd, const char *path, u32 mode)
{
	return do_mkdir(dfd, path, mode);
}

int vfs_mknod(int dfd, const char *path, u32 mode, u32 rdev)
{
	return do_mknod(dfd, path, mode, rdev);
}

int vfs_symlink(const char *target, int dfd, const char *path)
{
	return do_symlink(target, dfd, path);
}

int vfs_unlink(int dfd, const char *path, bool dir)
{
	return do_unlink(dfd, path, dir);
}
