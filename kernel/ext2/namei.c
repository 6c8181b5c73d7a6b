/* SPDX-License-Identifier: MIT */
/*
 * namei.c - what the kernel's names ask of an ext2 directory.
 *
 * 1. Order. An object is complete in memory before a name leads to it; a name
 *    goes before what it led to. So whatever part of it reached the disk, a
 *    crash leaves an object without a name (e2fsck gives it one in lost+found)
 *    or a name without an object (e2fsck takes it away), and nothing else is
 *    touched. A rename to another block waits for the disk between the two:
 *    what had a name keeps one.
 *
 * 2. Undoing. What fails after an object was made drops its only link: the
 *    last reference frees it (ext2_evict()).
 *
 * 3. Locking. vnode.lock of the directories is held for writing by the caller;
 *    that of what changes its number of links as well.
 */
#include "base/string.h"
#include "ext2/ext2.h"
#include "stat.h"

/* Locks: map_sem; who only looks takes none. */
static void set_nlink(struct ext2_inode *ei, u32 nlink)
{
	WRITE_ONCE(ei->vnode.nlink, nlink);
	ei->inode.i_nlink = nlink;
}

/* Names are in different directories, whose locks say nothing of the number of
 * links: map_sem does. */
static void set_links(struct ext2_inode *ei, u32 nlink)
{
	down_write(&ei->map_sem);
	set_nlink(ei, nlink);
	ei->vnode.ctime = vfs_now();
	(void)ext2_istore_locked(ei);
	up_write(&ei->map_sem);
}

/* One link more: 0, -EMLINK. */
static int add_link(struct ext2_inode *ei)
{
	int err = 0;

	down_write(&ei->map_sem);
	if (ei->vnode.nlink >= EXT2_LINK_MAX) {
		err = -EMLINK;
	} else if (!vnode_linkable(&ei->vnode)) {
		err = -ENOENT;
	} else {
		set_nlink(ei, ei->vnode.nlink + 1);
		ei->vnode.ctime = vfs_now();
		err = ext2_istore_locked(ei);
		if (err)
			set_nlink(ei, ei->vnode.nlink - 1);
	}
	up_write(&ei->map_sem);
	return err;
}

static void drop_link(struct ext2_inode *ei)
{
	bool none;

	down_write(&ei->map_sem);
	none = !ei->vnode.nlink;
	if (!none) {
		set_nlink(ei, ei->vnode.nlink - 1);
		ei->vnode.ctime = vfs_now();
		(void)ext2_istore_locked(ei);
	}
	up_write(&ei->map_sem);
	if (none)
		(void)ext2_error(ei->fs, "inode %u: too few links", ei->ino);
}

static int ext2_lookup(struct vnode *dir, const char *name, u32 len,
		       struct vnode **out)
{
	struct ext2_inode *ei;
	struct ext2_slot slot;
	int err = ext2_dir_find(ext2_of(dir), name, len, &slot);

	if (err)
		return err;
	ext2_bput(&slot.buf);
	err = ext2_iget(ext2_of(dir)->fs, slot.ino, &ei);
	if (err)
		return err;
	*out = &ei->vnode;
	return 0;
}

/* ---- making ----------------------------------------------------------------
 */

/* Give up EI, new, without a name. */
static void abandon(struct ext2_inode *ei)
{
	set_links(ei, 0);
	vnode_put(&ei->vnode);
}

/* EI, new, gets its name. */
static int enter(struct ext2_inode *dir, const char *name, u32 len,
		 struct ext2_inode *ei)
{
	u32 block;

	return ext2_dir_add(dir, name, len, ei->ino, ei->vnode.mode, &block);
}

static int ext2_mkdir(struct ext2_inode *dir, const char *name, u32 len,
		      struct ext2_inode *ei)
{
	int err = ext2_dir_make(ei, dir->ino);

	if (!err)
		err = add_link(dir);
	if (err)
		return err;
	err = enter(dir, name, len, ei);
	if (err)
		drop_link(dir);
	else
		set_links(ei, 2);
	return err;
}

static int ext2_create(struct vnode *dv, const char *name, u32 len, u32 mode,
		       u32 rdev, struct vnode **out)
{
	struct ext2_inode *dir = ext2_of(dv), *ei;
	int err;

	if (len > EXT2_NAME_LEN)
		return -ENAMETOOLONG;
	if (S_ISDIR(mode) && dv->nlink >= EXT2_LINK_MAX)
		return -EMLINK;
	err = ext2_inew(dir, mode, rdev, &ei);
	if (err)
		return err;
	err = S_ISDIR(mode) ? ext2_mkdir(dir, name, len, ei)
			    : enter(dir, name, len, ei);
	if (err) {
		abandon(ei);
		return err;
	}
	*out = &ei->vnode;
	return 0;
}

/* A link's text that does not fit the inode, in a block of its own. */
static int slow_link(struct ext2_inode *ei, const char *target, u32 len)
{
	struct ext2_buf b;
	u32 block;
	bool fresh;
	int err = ext2_map(ei, 0, true, &block, &fresh);

	if (!err)
		err = ext2_bnew(ei->fs, block, &b);
	if (err)
		return err;
	ext2_block(&b);
	mm_memcpy(b.data, target, len);
	ext2_bdirty_unlock(&b);
	ext2_bput(&b);
	return 0;
}

static int ext2_symlink(struct vnode *dv, const char *name, u32 len,
			const char *target, struct vnode **out)
{
	struct ext2_inode *dir = ext2_of(dv), *ei;
	u64 tlen = mm_strlen(target);
	int err;

	if (tlen >= min((u64)PATH_MAX, (u64)dir->fs->block_size) ||
	    len > EXT2_NAME_LEN)
		return -ENAMETOOLONG;
	err = ext2_inew(dir, S_IFLNK | 0777, 0, &ei);
	if (err)
		return err;
	if (tlen < EXT2_FAST_LINK)
		mm_memcpy(ei->block, target, tlen);
	else
		err = slow_link(ei, target, (u32)tlen);
	if (!err) {
		i_size_write(&ei->inode, tlen);
		err = ext2_istore(ei);
	}
	if (!err)
		err = enter(dir, name, len, ei);
	if (err) {
		abandon(ei);
		return err;
	}
	*out = &ei->vnode;
	return 0;
}

static int ext2_tmpfile(struct vnode *dv, u32 mode, struct vnode **out)
{
	struct ext2_inode *ei;
	int err = ext2_inew(ext2_of(dv), mode, 0, &ei);

	if (err)
		return err;
	set_links(ei, 0);
	*out = &ei->vnode;
	return 0;
}

static int ext2_link(struct vnode *dv, const char *name, u32 len,
		     struct vnode *target)
{
	struct ext2_inode *ei = ext2_of(target);
	u32 block;
	int err;

	err = add_link(ei);
	if (err)
		return err;
	err = ext2_dir_add(ext2_of(dv), name, len, ei->ino, target->mode,
			   &block);
	if (err)
		drop_link(ei);
	return err;
}

/* ---- taking away -----------------------------------------------------------
 */

static int ext2_unlink(struct vnode *dv, const char *name, u32 len,
		       struct vnode *victim)
{
	struct ext2_slot slot;
	int err = ext2_dir_find(ext2_of(dv), name, len, &slot);

	if (err)
		return err;
	ext2_dir_remove(ext2_of(dv), &slot);
	ext2_bput(&slot.buf);
	drop_link(ext2_of(victim));
	return 0;
}

/* -ENOTEMPTY, or 0. */
static int check_empty(struct ext2_inode *dir)
{
	int ret = ext2_dir_empty(dir);

	if (ret < 0)
		return ret;
	return ret ? 0 : -ENOTEMPTY;
}

static int ext2_rmdir(struct vnode *dv, const char *name, u32 len,
		      struct vnode *victim)
{
	struct ext2_inode *dir = ext2_of(dv), *ei = ext2_of(victim);
	struct ext2_slot slot;
	int err = check_empty(ei);

	if (!err)
		err = ext2_dir_find(dir, name, len, &slot);
	if (err)
		return err;
	ext2_dir_remove(dir, &slot);
	ext2_bput(&slot.buf);
	set_links(ei, 0);
	drop_link(dir);
	return 0;
}

/* ---- moving ----------------------------------------------------------------
 */

/* The directory EI is PARENT's from now on. */
static int set_parent(struct ext2_inode *ei, struct ext2_inode *parent)
{
	struct ext2_slot slot;
	int err = ext2_dir_find(ei, "..", 2, &slot);

	if (err)
		return err == -ENOENT ? ext2_error(ei->fs,
						   "directory %u has no \"..\"",
						   ei->ino)
				      : err;
	ext2_dir_set(ei, &slot, parent->ino, S_IFDIR);
	ext2_bput(&slot.buf);
	return 0;
}

/* NEWNAME in NEWDIR leads to EI; what it led to before loses a link. *BLOCK of
 * the disk has the name. */
static int take_name(struct ext2_inode *newdir, const char *newname, u32 newlen,
		     struct ext2_inode *ei, struct ext2_inode *over, u32 *block)
{
	struct ext2_slot slot;
	int err;

	if (!over)
		return ext2_dir_add(newdir, newname, newlen, ei->ino,
				    ei->vnode.mode, block);
	err = ext2_dir_find(newdir, newname, newlen, &slot);
	if (err)
		return err;
	ext2_dir_set(newdir, &slot, ei->ino, ei->vnode.mode);
	*block = slot.buf.block;
	ext2_bput(&slot.buf);
	if (S_ISDIR(over->vnode.mode)) {
		set_links(over, 0);
		drop_link(newdir);
	} else {
		drop_link(over);
	}
	return 0;
}

/* May a directory more be in NEWDIR? OVER makes room for it. */
static int check_move(struct ext2_inode *ei, const struct ext2_inode *dir,
		      const struct ext2_inode *newdir, struct ext2_inode *over)
{
	int err;

	if (!S_ISDIR(ei->vnode.mode))
		return 0;
	err = over ? check_empty(over) : 0;
	if (!err && dir != newdir && !over &&
	    newdir->vnode.nlink >= EXT2_LINK_MAX)
		err = -EMLINK;
	return err;
}

/* NAME in DIR still leads to EI: that goes. */
static int drop_name(struct ext2_inode *dir, const char *name, u32 len,
		     const struct ext2_inode *ei)
{
	struct ext2_slot slot;
	int err = ext2_dir_find(dir, name, len, &slot);

	if (err)
		return err;
	if (slot.ino == ei->ino)
		ext2_dir_remove(dir, &slot);
	ext2_bput(&slot.buf);
	return 0;
}

static int move(struct ext2_inode *dir, const char *name, u32 len,
		struct ext2_inode *newdir, struct ext2_inode *ei)
{
	bool is_dir = S_ISDIR(ei->vnode.mode);
	int err = is_dir && dir != newdir ? set_parent(ei, newdir) : 0;

	if (!err && is_dir && dir != newdir) {
		/* Room was looked for, and it may hold one more now. */
		(void)add_link(newdir);
		drop_link(dir);
	}
	if (!err)
		err = drop_name(dir, name, len, ei);
	ei->vnode.ctime = vfs_now();
	(void)ext2_istore(ei);
	return err;
}

static int ext2_rename(struct vnode *dv, const char *name, u32 len,
		       struct vnode *newdv, const char *newname, u32 newlen,
		       struct vnode *overv)
{
	struct ext2_inode *dir = ext2_of(dv), *newdir = ext2_of(newdv), *ei;
	struct ext2_inode *over = overv ? ext2_of(overv) : NULL;
	struct ext2_slot slot;
	u32 block, old;
	int err = ext2_dir_find(dir, name, len, &slot);

	if (err)
		return err;
	old = slot.buf.block;
	ext2_bput(&slot.buf);
	err = ext2_iget(dir->fs, slot.ino, &ei);
	if (err)
		return err;
	err = check_move(ei, dir, newdir, over);
	if (!err)
		err = take_name(newdir, newname, newlen, ei, over, &block);
	if (!err) {
		/* A write that fails is told by the next fsync; the names are
		 * as they were asked to be. */
		if (!ext2_bsame(dir->fs, block, old))
			(void)ext2_bsync(dir->fs, block);
		err = move(dir, name, len, newdir, ei);
	}
	vnode_put(&ei->vnode);
	return err;
}

/* A and B, the directories among them, change parents. */
static int swap_parents(struct ext2_inode *dir, struct ext2_inode *newdir,
			struct ext2_inode *a, struct ext2_inode *b)
{
	bool da = S_ISDIR(a->vnode.mode), db = S_ISDIR(b->vnode.mode);
	int err = 0;

	if (dir == newdir)
		return 0;
	if (da)
		err = set_parent(a, newdir);
	if (db && !err)
		err = set_parent(b, dir);
	if (da == db)
		return err;
	if (!err)
		err = add_link(da ? newdir : dir);
	drop_link(da ? dir : newdir);
	return err;
}

/* SA of DIR is A's, SB of NEWDIR is B's: the other way round. */
static int swap_names(struct ext2_inode *dir, struct ext2_slot *sa,
		      struct ext2_inode *newdir, struct ext2_slot *sb,
		      struct ext2_inode *a, struct ext2_inode *b)
{
	const struct ext2_inode *gains = S_ISDIR(a->vnode.mode) ? newdir : dir;

	if (S_ISDIR(a->vnode.mode) != S_ISDIR(b->vnode.mode) &&
	    gains->vnode.nlink >= EXT2_LINK_MAX)
		return -EMLINK;
	ext2_dir_set(dir, sa, b->ino, b->vnode.mode);
	ext2_dir_set(newdir, sb, a->ino, a->vnode.mode);
	a->vnode.ctime = b->vnode.ctime = vfs_now();
	(void)ext2_istore(a);
	(void)ext2_istore(b);
	return swap_parents(dir, newdir, a, b);
}

static int ext2_exchange(struct vnode *dv, const char *name, u32 len,
			 struct vnode *newdv, const char *newname, u32 newlen)
{
	struct ext2_inode *dir = ext2_of(dv), *newdir = ext2_of(newdv);
	struct ext2_inode *a, *b = NULL;
	struct ext2_slot sa, sb;
	int err = ext2_dir_find(dir, name, len, &sa);

	if (err)
		return err;
	err = ext2_dir_find(newdir, newname, newlen, &sb);
	if (!err)
		err = ext2_iget(dir->fs, sa.ino, &a);
	else
		sb.buf.page = NULL;
	if (!err) {
		err = ext2_iget(dir->fs, sb.ino, &b);
		if (!err)
			err = swap_names(dir, &sa, newdir, &sb, a, b);
		if (b)
			vnode_put(&b->vnode);
		vnode_put(&a->vnode);
	}
	ext2_bput(&sa.buf);
	ext2_bput(&sb.buf);
	return err;
}

/* ---- attributes ------------------------------------------------------------
 */

static s64 ext2_readlink(struct vnode *v, char *buf, size_t size)
{
	struct ext2_inode *ei = ext2_of(v);
	u64 len = i_size_read(&ei->inode), n = min(len, (u64)size);
	struct ext2_buf b;
	u32 block;
	bool fresh;
	int err;

	if (ext2_is_fast_link(ei)) {
		if (len >= EXT2_FAST_LINK)
			return ext2_error(ei->fs, "link %u: length %llu",
					  ei->ino, (unsigned long long)len);
		mm_memcpy(buf, ei->block, n);
		return (s64)n;
	}
	err = ext2_map(ei, 0, false, &block, &fresh);
	if (!err && !block)
		err = ext2_error(ei->fs, "link %u: no text", ei->ino);
	if (!err)
		err = ext2_bread(ei->fs, block, &b);
	if (err)
		return err;
	mm_memcpy(buf, b.data, n);
	ext2_bput(&b);
	return (s64)n;
}

static void set_times(struct vnode *v, const struct vattr *a)
{
	if (a->valid & ATTR_ATIME)
		v->atime = a->atime;
	if (a->valid & ATTR_MTIME)
		v->mtime = a->mtime;
	if (a->valid & ATTR_CTIME)
		v->ctime = a->ctime;
}

static int ext2_setattr(struct vnode *v, const struct vattr *a)
{
	struct ext2_inode *ei = ext2_of(v);
	int err = 0;

	if (ei->flags & (EXT2_IMMUTABLE_FL | EXT2_APPEND_FL))
		return -EPERM;
	if (a->valid & ATTR_SIZE) {
		if (!S_ISREG(v->mode))
			return S_ISDIR(v->mode) ? -EISDIR : -EINVAL;
		err = vfs_truncate(v->inode, a->size);
		if (err)
			return err;
	}
	if (a->valid & ATTR_MODE) {
		v->mode = (v->mode & S_IFMT) | (a->mode & 07777);
		ei->inode.i_mode = v->mode;
	}
	if (a->valid & ATTR_UID)
		v->uid = a->uid;
	if (a->valid & ATTR_GID)
		v->gid = a->gid;
	set_times(v, a);
	return ext2_istore(ei);
}

static void ext2_getattr(struct vnode *v, struct kstat *st)
{
	struct ext2_inode *ei = ext2_of(v);

	st->blocks = READ_ONCE(ei->blocks512);
	st->blksize = ei->fs->block_size;
	st->btime = ei->btime;
	st->has_btime = ei->wide_times;
}

const struct vnode_ops ext2_vnode_ops = {
	.lookup = ext2_lookup,
	.create = ext2_create,
	.symlink = ext2_symlink,
	.link = ext2_link,
	.unlink = ext2_unlink,
	.rmdir = ext2_rmdir,
	.rename = ext2_rename,
	.readlink = ext2_readlink,
	.readdir = ext2_readdir,
	.setattr = ext2_setattr,
	.getattr = ext2_getattr,
	.evict = ext2_evict,
	.exchange = ext2_exchange,
	.tmpfile = ext2_tmpfile,
};
