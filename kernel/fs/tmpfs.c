/* SPDX-License-Identifier: MIT */
/*
 * tmpfs.c - a file system in memory and swap: tmpfs, ramfs, the root at boot.
 *
 * 1. Contents are shmem's (mmkit/shmem.h): every object, a directory too, is an
 *    inode of it and counts in nr_inodes; pages of regular files count in
 *    size. What is here are the names.
 *
 * 2. A directory keeps its names twice: in a tree ordered by name, for look-up,
 *    and on a list in the order they were made, each with a number that only
 *    grows. readdir goes on behind the number where it stopped, so that names
 *    that come and go meanwhile disturb nothing else (readdir(3)).
 *
 * 3. A name holds a reference to its object, so an object lives while it has
 *    names or users; its last end gives shmem's inode back. A directory leads
 *    up by its dentries only.
 *
 * 4. Locks: a directory's names under its vnode.lock, which the callers hold.
 *    nlink of what a name stands for changes under a lock of the file
 *    system's, since two directories may name it.
 *
 * 5. Failure. What a new name needs is allocated first; then nothing fails.
 *
 * References: tmpfs(5), readdir(3), inode(7).
 */
#include <mmkit/errno.h>
#include <mmkit/slab.h>

#include "base/string.h"
#include "tmpfs.h"

#define BOGO_DIRENT_SIZE 20u

struct tmpfs_name {
	struct rb_node by_name;
	struct list_head in_order;
	u64 cookie; /* > 2: 0 .. 2 are "." and ".." */
	struct vnode *vnode;
	u32 len;
	char name[];
};

static struct tmpfs_node *node_of(struct vnode *v)
{
	return container_of(v, struct tmpfs_node, vnode);
}

static struct tmpfs *tmpfs_of(const struct vnode *v)
{
	return container_of(v->sb, struct tmpfs, vsb);
}

/* ---- names in a directory --------------------------------------------------
 */

static int name_cmp(const char *a, u32 alen, const char *b, u32 blen)
{
	int c = mm_memcmp(a, b, min(alen, blen));

	return c ? c : (int)alen - (int)blen;
}

static struct tmpfs_name *name_find(struct tmpfs_node *dir, const char *name,
				    u32 len)
{
	struct rb_node *at = dir->names.rb_node;

	while (at) {
		struct tmpfs_name *n = rb_entry(at, struct tmpfs_name, by_name);
		int c = name_cmp(name, len, n->name, n->len);

		if (!c)
			return n;
		at = c < 0 ? at->left : at->right;
	}
	return NULL;
}

static struct tmpfs_name *name_alloc(const char *name, u32 len)
{
	struct tmpfs_name *n =
		kmalloc(sizeof(*n) + len + 1, GFP_KERNEL_ACCOUNT);

	if (!n)
		return NULL;
	n->len = len;
	mm_memcpy(n->name, name, len);
	n->name[len] = 0;
	return n;
}

static void dir_touched(struct tmpfs_node *dir)
{
	dir->vnode.mtime = dir->vnode.ctime = vfs_now();
}

/* N stands for V (a reference taken over) in DIR from now on. */
static void name_enter(struct tmpfs_node *dir, struct tmpfs_name *n,
		       struct vnode *v)
{
	struct rb_node **at = &dir->names.rb_node, *parent = NULL;

	while (*at) {
		struct tmpfs_name *o =
			rb_entry(*at, struct tmpfs_name, by_name);

		parent = *at;
		at = name_cmp(n->name, n->len, o->name, o->len) < 0
			     ? &parent->left
			     : &parent->right;
	}
	rb_link_node(&n->by_name, parent, at);
	rb_insert_color(&n->by_name, &dir->names);
	list_add_tail(&n->in_order, &dir->order);
	n->cookie = ++dir->last_cookie;
	n->vnode = v;
	i_size_write(dir->vnode.inode,
		     dir->vnode.inode->i_size + BOGO_DIRENT_SIZE);
	dir_touched(dir);
}

/* N leaves DIR; its memory and reference are the caller's. */
static void name_take(struct tmpfs_node *dir, struct tmpfs_name *n)
{
	rb_erase(&n->by_name, &dir->names);
	list_del(&n->in_order);
	i_size_write(dir->vnode.inode,
		     dir->vnode.inode->i_size - BOGO_DIRENT_SIZE);
	dir_touched(dir);
}

/* A name more; -ENOENT: it has lost its last one. */
static int nlink_more(struct vnode *v)
{
	struct tmpfs *fs = tmpfs_of(v);
	int err = 0;

	spin_lock(&fs->lock);
	if (vnode_linkable(v)) {
		WRITE_ONCE(v->nlink, v->nlink + 1);
		v->ctime = vfs_now();
	} else {
		err = -ENOENT;
	}
	spin_unlock(&fs->lock);
	return err;
}

static void nlink_add(struct vnode *v, s32 by)
{
	struct tmpfs *fs = tmpfs_of(v);

	spin_lock(&fs->lock);
	WRITE_ONCE(v->nlink, (u32)((s32)v->nlink + by));
	v->ctime = vfs_now();
	spin_unlock(&fs->lock);
}

/* ---- objects ---------------------------------------------------------------
 */

static const struct vnode_ops tmpfs_ops;
static struct tmpfs_node *node_new(struct tmpfs *fs, const struct vnode *dir,
				   u32 mode, u32 rdev)
{
	struct tmpfs_node *n = kmem_cache_alloc(
		fs_sys.node_cache, GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	struct inode *inode;

	if (!n)
		return ERR_PTR(-ENOMEM);
	inode = shmem_inode_new(fs->vsb.sb, mode & 07777);
	if (IS_ERR(inode)) {
		kmem_cache_free(fs_sys.node_cache, n);
		return (struct tmpfs_node *)(void *)inode;
	}
	inode->i_mode = mode;
	vnode_init(&n->vnode, &fs->vsb, inode, &tmpfs_ops, inode->i_ino, mode);
	n->vnode.rdev = rdev;
	n->vnode.uid = fs_uid();
	n->vnode.gid = fs_gid();
	if (dir && (dir->mode & S_ISGID)) {
		n->vnode.gid = dir->gid;
		if (S_ISDIR(mode))
			n->vnode.mode |= S_ISGID;
	}
	n->btime = n->vnode.mtime;
	if (S_ISDIR(mode)) {
		n->vnode.nlink = 2;
		i_size_write(inode, 2 * BOGO_DIRENT_SIZE);
	}
	n->names = RB_ROOT;
	INIT_LIST_HEAD(&n->order);
	n->last_cookie = 2;
	return n;
}

static struct tmpfs_name *first_name(struct tmpfs_node *dir)
{
	return list_first_entry_or_null(&dir->order, struct tmpfs_name,
					in_order);
}

/* Every name below ROOT goes: the file system is given up. Without recursion:
 * a directory's names become the root's, then it is empty. */
static void drop_names(struct tmpfs_node *root)
{
	struct tmpfs_node *dir;
	struct tmpfs_name *n, *sub;

	while ((n = first_name(root))) {
		dir = node_of(n->vnode);
		while (S_ISDIR(n->vnode->mode) && (sub = first_name(dir)))
			list_move_tail(&sub->in_order, &root->order);
		list_del(&n->in_order);
		vnode_put(n->vnode);
		kfree(n);
	}
}

static void node_evict(struct vnode *v)
{
	struct tmpfs_node *n = node_of(v);
	struct inode *inode = v->inode;

	drop_names(n);
	WRITE_ONCE(inode->i_nlink, 0);
	inode->i_vnode = NULL;
	kfree(n->link);
	kmem_cache_free(fs_sys.node_cache, n);
	iput(inode);
}

/* ---- operations ------------------------------------------------------------
 */

static int tmpfs_lookup(struct vnode *dir, const char *name, u32 len,
			struct vnode **out)
{
	struct tmpfs_name *n = name_find(node_of(dir), name, len);

	if (!n)
		return -ENOENT;
	*out = vnode_get(n->vnode);
	return 0;
}

/* NODE, new, becomes NAME of DIR; *OUT has a reference of its own. */
static int node_enter(struct vnode *dir, const char *name, u32 len,
		      struct tmpfs_node *node, struct vnode **out)
{
	struct tmpfs_name *n = name_alloc(name, len);

	if (!n) {
		vnode_put(&node->vnode);
		return -ENOMEM;
	}
	*out = vnode_get(&node->vnode);
	name_enter(node_of(dir), n, &node->vnode);
	if (S_ISDIR(node->vnode.mode))
		nlink_add(dir, 1);
	return 0;
}

static int tmpfs_create(struct vnode *dir, const char *name, u32 len, u32 mode,
			u32 rdev, struct vnode **out)
{
	struct tmpfs_node *node = node_new(tmpfs_of(dir), dir, mode, rdev);

	if (IS_ERR(node))
		return (int)PTR_ERR(node);
	return node_enter(dir, name, len, node, out);
}

static int tmpfs_symlink(struct vnode *dir, const char *name, u32 len,
			 const char *target, struct vnode **out)
{
	size_t n = mm_strlen(target);
	struct tmpfs_node *node =
		node_new(tmpfs_of(dir), dir, S_IFLNK | 0777, 0);

	if (IS_ERR(node))
		return (int)PTR_ERR(node);
	node->link = kmemdup(target, n + 1, GFP_KERNEL_ACCOUNT);
	if (!node->link) {
		vnode_put(&node->vnode);
		return -ENOMEM;
	}
	i_size_write(node->vnode.inode, n);
	return node_enter(dir, name, len, node, out);
}

static int tmpfs_tmpfile(struct vnode *dir, u32 mode, struct vnode **out)
{
	struct tmpfs_node *node = node_new(tmpfs_of(dir), dir, mode, 0);

	if (IS_ERR(node))
		return (int)PTR_ERR(node);
	node->vnode.nlink = 0;
	*out = &node->vnode;
	return 0;
}

static int tmpfs_link(struct vnode *dir, const char *name, u32 len,
		      struct vnode *target)
{
	struct tmpfs_name *n = name_alloc(name, len);

	int err;

	if (!n)
		return -ENOMEM;
	err = nlink_more(target);
	if (err)
		kfree(n);
	else
		name_enter(node_of(dir), n, vnode_get(target));
	return err;
}

/* NAME of DIR goes; what it stood for is put. */
static void name_remove(struct vnode *dir, const char *name, u32 len)
{
	struct tmpfs_name *n = name_find(node_of(dir), name, len);
	struct vnode *v = n->vnode;

	name_take(node_of(dir), n);
	kfree(n);
	if (S_ISDIR(v->mode)) {
		nlink_add(v, -2);
		nlink_add(dir, -1);
	} else {
		nlink_add(v, -1);
	}
	/* The caller has a reference: this is not the last. */
	vnode_put(v);
}

static int tmpfs_unlink(struct vnode *dir, const char *name, u32 len,
			struct vnode *victim)
{
	(void)victim;
	name_remove(dir, name, len);
	return 0;
}

static int tmpfs_rmdir(struct vnode *dir, const char *name, u32 len,
		       struct vnode *victim)
{
	if (!list_empty(&node_of(victim)->order))
		return -ENOTEMPTY;
	name_remove(dir, name, len);
	return 0;
}

static int tmpfs_rename(struct vnode *dir, const char *name, u32 len,
			struct vnode *newdir, const char *newname, u32 newlen,
			struct vnode *over)
{
	struct tmpfs_name *n, *fresh;
	struct vnode *v;

	if (over && S_ISDIR(over->mode) && !list_empty(&node_of(over)->order))
		return -ENOTEMPTY;
	fresh = name_alloc(newname, newlen);
	if (!fresh)
		return -ENOMEM;
	if (over)
		name_remove(newdir, newname, newlen);
	n = name_find(node_of(dir), name, len);
	v = n->vnode;
	name_take(node_of(dir), n);
	kfree(n);
	name_enter(node_of(newdir), fresh, v);
	if (S_ISDIR(v->mode) && dir != newdir) {
		nlink_add(dir, -1);
		nlink_add(newdir, 1);
	}
	nlink_add(v, 0); /* ctime */
	return 0;
}

static int tmpfs_exchange(struct vnode *dir, const char *name, u32 len,
			  struct vnode *newdir, const char *newname, u32 newlen)
{
	struct tmpfs_name *a = name_find(node_of(dir), name, len);
	struct tmpfs_name *b = name_find(node_of(newdir), newname, newlen);
	struct vnode *v = a->vnode;

	a->vnode = b->vnode;
	b->vnode = v;
	if (dir != newdir) {
		s32 d = S_ISDIR(a->vnode->mode) - S_ISDIR(b->vnode->mode);

		nlink_add(dir, d);
		nlink_add(newdir, -d);
	}
	nlink_add(a->vnode, 0);
	nlink_add(b->vnode, 0);
	dir_touched(node_of(dir));
	dir_touched(node_of(newdir));
	return 0;
}

static s64 tmpfs_readlink(struct vnode *link, char *buf, size_t size)
{
	const char *text = node_of(link)->link;
	size_t n = text ? min(mm_strlen(text), size) : 0;

	if (!text)
		return -EINVAL;
	mm_memcpy(buf, text, n);
	return (s64)n;
}

static int tmpfs_readdir(struct vnode *dir, struct dir_context *ctx)
{
	struct tmpfs_name *n;

	list_for_each_entry (n, &node_of(dir)->order, in_order) {
		if (n->cookie <= ctx->pos)
			continue;
		if (!ctx->emit(ctx, n->name, n->len, n->vnode->ino,
			       n->vnode->mode >> 12))
			return 0;
		ctx->pos = n->cookie;
	}
	return 0;
}

static int tmpfs_setattr(struct vnode *v, const struct vattr *a)
{
	int err = 0;

	if (a->valid & ATTR_SIZE) {
		if (!S_ISREG(v->mode))
			return -EINVAL;
		err = shmem_truncate(v->inode, a->size);
	}
	if (!err && (a->valid & ATTR_MODE) && S_ISREG(v->mode))
		err = shmem_setmode(v->inode, a->mode);
	return err;
}

static void tmpfs_getattr(struct vnode *v, struct kstat *st)
{
	if (!S_ISREG(v->mode))
		st->blocks = 0;
	st->btime = node_of(v)->btime;
	st->has_btime = true;
}

static const struct vnode_ops tmpfs_ops = {
	.lookup = tmpfs_lookup,
	.create = tmpfs_create,
	.symlink = tmpfs_symlink,
	.link = tmpfs_link,
	.unlink = tmpfs_unlink,
	.rmdir = tmpfs_rmdir,
	.rename = tmpfs_rename,
	.exchange = tmpfs_exchange,
	.tmpfile = tmpfs_tmpfile,
	.readlink = tmpfs_readlink,
	.readdir = tmpfs_readdir,
	.setattr = tmpfs_setattr,
	.getattr = tmpfs_getattr,
	.evict = node_evict,
};

/* ---- whole file systems ----------------------------------------------------
 */

struct vnode *tmpfs_root_new(struct tmpfs *fs)
{
	struct tmpfs_node *n = node_new(fs, NULL, S_IFDIR | fs->mode, 0);

	if (IS_ERR(n))
		return (struct vnode *)(void *)n;
	n->vnode.uid = fs->uid;
	n->vnode.gid = fs->gid;
	return &n->vnode;
}
