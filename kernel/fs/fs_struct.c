/* SPDX-License-Identifier: MIT */
/*
 * fs_struct.c - root, working directory and umask of a group of tasks
 * (CLONE_FS), and of the kernel's own threads.
 *
 * References: chroot(2), chdir(2), umask(2), clone(2).
 */
#include <mmkit/errno.h>
#include <mmkit/slab.h>

#include "fs.h"

struct fs_struct *fs_current(void)
{
	struct task *t = current;

	return t && t->fs ? t->fs : &fs_sys.init_fs;
}

static struct dentry *get_at(struct dentry *const *at)
{
	struct fs_struct *fs = fs_current();
	struct dentry *d;

	spin_lock(&fs->lock);
	d = dget(*at);
	spin_unlock(&fs->lock);
	return d;
}

struct dentry *fs_root_get(void)
{
	return get_at(&fs_current()->root);
}

struct dentry *fs_pwd_get(void)
{
	return get_at(&fs_current()->pwd);
}

/* *AT becomes D, whose reference is taken over. */
static void set_at(struct fs_struct *fs, struct dentry **at, struct dentry *d)
{
	struct dentry *old;

	spin_lock(&fs->lock);
	old = *at;
	*at = d;
	spin_unlock(&fs->lock);
	if (old)
		dput(old);
}

void fs_set_root(struct fs_struct *fs, struct dentry *d)
{
	set_at(fs, &fs->root, d);
}

void fs_set_pwd(struct fs_struct *fs, struct dentry *d)
{
	set_at(fs, &fs->pwd, d);
}

static void replace_in(struct fs_struct *fs, const struct dentry *old,
		       struct dentry *new)
{
	if (READ_ONCE(fs->root) == old)
		fs_set_root(fs, dget(new));
	if (READ_ONCE(fs->pwd) == old)
		fs_set_pwd(fs, dget(new));
}

void fs_replace(struct dentry *old, struct dentry *new)
{
	replace_in(&fs_sys.init_fs, old, new);
	if (fs_current() != &fs_sys.init_fs)
		replace_in(fs_current(), old, new);
}

/* A copy of FROM with one reference. */
static struct fs_struct *fs_clone(struct fs_struct *from)
{
	struct fs_struct *fs = kmem_cache_alloc(
		fs_sys.fs_cache, GFP_KERNEL_ACCOUNT | __GFP_ZERO);

	if (!fs)
		return NULL;
	fs->count = 1;
	spin_lock_init(&fs->lock, LOCK_CLASS_FS);
	spin_lock(&from->lock);
	fs->root = dget(from->root);
	fs->pwd = dget(from->pwd);
	fs->umask = from->umask;
	spin_unlock(&from->lock);
	return fs;
}

struct fs_struct *fs_new(void)
{
	return fs_clone(&fs_sys.init_fs);
}

struct fs_struct *fs_copy(struct fs_struct *fs)
{
	return fs_clone(fs);
}

struct fs_struct *fs_get(struct fs_struct *fs)
{
	__atomic_add_fetch(&fs->count, 1, __ATOMIC_ACQ_REL);
	return fs;
}

void fs_put(struct fs_struct *fs)
{
	if (__atomic_sub_fetch(&fs->count, 1, __ATOMIC_ACQ_REL))
		return;
	dput(fs->root);
	dput(fs->pwd);
	kmem_cache_free(fs_sys.fs_cache, fs);
}
