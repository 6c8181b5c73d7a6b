/* SPDX-License-Identifier: MIT */
/*
 * attr.c - vnodes: their lives, who may do what with them, and what stat(2)
 * tells and chmod(2), chown(2), utimensat(2), truncate(2) change.
 *
 * 1. Rights are asked of the mode by the task's fsuid, fsgid and groups, and
 *    of its capabilities (path_resolution(7), capabilities(7)). A kernel
 *    thread may do all.
 *
 * 2. Changes: with vnode.lock held for writing the file system is told first
 *    (ops->setattr); only when it agreed do the fields change. So a failure
 *    has changed nothing.
 *
 * 3. Marks. Reading leaves an access time by the rule of relatime: when the
 *    old one is not younger than the last change, or a day old. Writing sets
 *    mtime and ctime and takes away set-user-ID and set-group-ID bits.
 *
 * References: inode(7), chmod(2), chown(2), utimensat(2), truncate(2),
 * mount(8) (relatime).
 */
#include <mmkit/errno.h>
#include <mmkit/memalloc.h>
#include <mmkit/shmem.h>

#include "base/mutex.h"
#include "cache/filemap.h"
#include "fs.h"

/* ---- lives -----------------------------------------------------------------
 */

void vnode_init(struct vnode *v, struct vfs_sb *sb, struct inode *inode,
		const struct vnode_ops *ops, u64 ino, u32 mode)
{
	v->ops = ops;
	v->sb = sb;
	v->inode = inode;
	v->ino = ino;
	v->mode = mode;
	v->nlink = 1;
	v->count = 1;
	init_rwsem(&v->lock, LOCK_CLASS_VNODE);
	v->atime = v->mtime = v->ctime = vfs_now();
	inode->i_vnode = v;
}

struct vnode *vnode_get(struct vnode *v)
{
	u32 now = __atomic_add_fetch(&v->count, 1, __ATOMIC_ACQ_REL);

	mm_verify(now > 1);
	return v;
}

bool vnode_tryget(struct vnode *v)
{
	u32 old = READ_ONCE(v->count);

	do {
		if (!old)
			return false;
	} while (!__atomic_compare_exchange_n(&v->count, &old, old + 1, false,
					      __ATOMIC_ACQ_REL,
					      __ATOMIC_RELAXED));
	return true;
}

void vnode_put(struct vnode *v)
{
	u32 left = __atomic_sub_fetch(&v->count, 1, __ATOMIC_ACQ_REL);

	mm_verify(left != UINT32_MAX);
	if (!left)
		v->ops->evict(v);
}

struct vfs_time vfs_now(void)
{
	u64 ns = machine_wall_ns();

	return (struct vfs_time){(s64)(ns / 1000000000u),
				 (u32)(ns % 1000000000u)};
}

/* ---- rights ----------------------------------------------------------------
 */

bool fs_capable(int cap)
{
	return !current || capable(cap);
}

u32 fs_uid(void)
{
	return current ? current->cred.fsuid : 0;
}

u32 fs_gid(void)
{
	return current ? current->cred.fsgid : 0;
}

bool fs_in_group(u32 gid)
{
	const struct cred *c;

	if (!current)
		return true;
	c = &current->cred;
	if (c->fsgid == gid)
		return true;
	for (u32 i = 0; i < c->nr_groups; i++) {
		if (c->groups[i] == gid)
			return true;
	}
	return false;
}

bool owner_or_capable(const struct vnode *v)
{
	return v->uid == fs_uid() || fs_capable(CAP_FOWNER);
}

int vfs_permission(const struct vnode *v, u32 mask)
{
	u32 mode = READ_ONCE(v->mode), bits = mode;

	if (v->uid == fs_uid())
		bits >>= 6;
	else if (fs_in_group(v->gid))
		bits >>= 3;
	mask &= MAY_READ | MAY_WRITE | MAY_EXEC;
	if ((bits & mask) == mask)
		return 0;
	if ((mask & MAY_EXEC) && !S_ISDIR(mode) && !(mode & 0111))
		return -EACCES;
	if (fs_capable(CAP_DAC_OVERRIDE))
		return 0;
	if (!(mask & MAY_WRITE) && (S_ISDIR(mode) || mask == MAY_READ) &&
	    fs_capable(CAP_DAC_READ_SEARCH))
		return 0;
	return -EACCES;
}

int may_write_mount(const struct dentry *d)
{
	return mount_readonly(d->mnt) ? -EROFS : 0;
}

int dentry_permission(const struct dentry *d, u32 mask)
{
	const struct vnode *v = d->vnode;

	if ((mask & MAY_WRITE) &&
	    (S_ISREG(v->mode) || S_ISDIR(v->mode) || S_ISLNK(v->mode)) &&
	    may_write_mount(d))
		return -EROFS;
	if ((mask & MAY_EXEC) && S_ISREG(v->mode) &&
	    (d->mnt->flags & MS_NOEXEC))
		return -EACCES;
	return vfs_permission(v, mask);
}

/* ---- stat ------------------------------------------------------------------
 */

int vfs_getattr(struct vnode *v, struct kstat *st)
{
	struct inode *inode = v->inode;

	down_read(&v->lock);
	*st = (struct kstat){
		.ino = v->ino,
		.dev = inode->i_sb->s_dev,
		.rdev = v->rdev,
		.mode = v->mode,
		.nlink = v->nlink,
		.uid = v->uid,
		.gid = v->gid,
		.size = i_size_read(inode),
		.blksize = PAGE_SIZE,
		.atime = v->atime,
		.mtime = v->mtime,
		.ctime = v->ctime,
	};
	if (shmem_is_inode(inode))
		st->blocks = shmem_inode_blocks(inode) *
			     (PAGE_SIZE / PORT_SECTOR_SIZE);
	else
		st->blocks = DIV_ROUND_UP(st->size, PORT_SECTOR_SIZE);
	if (v->ops->getattr)
		v->ops->getattr(v, st);
	up_read(&v->lock);
	return 0;
}

/* Without a name: what the inode knows. */
static void anon_getattr(const struct file *file, struct kstat *st)
{
	struct inode *inode = file->f_inode;
	struct vfs_time now = vfs_now();

	*st = (struct kstat){
		.ino = inode->i_ino,
		.dev = inode->i_sb->s_dev,
		.mode = inode->i_mode,
		.nlink = shmem_is_inode(inode) ? 0 : 1,
		.uid = fs_uid(),
		.gid = fs_gid(),
		.size = i_size_read(inode),
		.blksize = PAGE_SIZE,
		.atime = now,
		.mtime = now,
		.ctime = now,
	};
	if (shmem_is_inode(inode))
		st->blocks = shmem_inode_blocks(inode) *
			     (PAGE_SIZE / PORT_SECTOR_SIZE);
}

int file_getattr(struct file *file, struct kstat *st)
{
	struct vnode *v = file_node(file);

	if (v)
		return vfs_getattr(v, st);
	anon_getattr(file, st);
	return 0;
}

/* ---- changes ---------------------------------------------------------------
 */

/* V->lock held for writing. */
static int setattr_locked(struct vnode *v, const struct vattr *a)
{
	u32 valid = a->valid;
	int err = 0;

	if (v->ops->setattr)
		err = v->ops->setattr(v, a);
	else if (valid & ATTR_SIZE)
		err = S_ISREG(v->mode) ? vfs_truncate(v->inode, a->size)
				       : -EINVAL;
	if (err)
		return err;
	if (valid & ATTR_MODE)
		WRITE_ONCE(v->mode, (v->mode & S_IFMT) | (a->mode & 07777));
	if (valid & ATTR_UID)
		v->uid = a->uid;
	if (valid & ATTR_GID)
		v->gid = a->gid;
	if (valid & ATTR_ATIME)
		v->atime = a->atime;
	if (valid & ATTR_MTIME)
		v->mtime = a->mtime;
	if (valid & ATTR_CTIME)
		v->ctime = a->ctime;
	return 0;
}

int vfs_setattr(struct vnode *v, const struct vattr *a)
{
	unsigned int nofs;
	int err;

	down_write(&v->lock);
	nofs = memalloc_nofs_save();
	err = setattr_locked(v, a);
	memalloc_nofs_restore(nofs);
	up_write(&v->lock);
	return err;
}

/* What utimensat(2) and its kin have done, as watchers see it. */
static u32 change_mask(u32 valid)
{
	if (valid & (ATTR_MODE | ATTR_UID | ATTR_GID))
		return IN_ATTRIB;
	switch (valid & (ATTR_ATIME | ATTR_MTIME)) {
	case 0:
		return 0;
	case ATTR_ATIME:
		return IN_ACCESS;
	case ATTR_MTIME:
		return IN_MODIFY;
	default:
		return IN_ATTRIB;
	}
}

static int change(struct dentry *d, const struct vattr *a)
{
	u32 mask = change_mask(a->valid);
	int err = vfs_setattr(d->vnode, a);

	if (!err && mask)
		notify_dentry(d, mask);
	return err;
}

int do_chmod(struct dentry *d, u32 mode)
{
	struct vnode *v = d->vnode;
	struct vattr a = {.valid = ATTR_MODE | ATTR_CTIME,
			  .mode = mode & 07777,
			  .ctime = vfs_now()};
	int err = may_write_mount(d);

	if (err)
		return err;
	if (S_ISLNK(v->mode))
		return -EOPNOTSUPP;
	if (!owner_or_capable(v))
		return -EPERM;
	if (!fs_in_group(v->gid) && !fs_capable(CAP_FSETID))
		a.mode &= ~S_ISGID;
	return change(d, &a);
}

/* May the running task give V to UID, GID (~0: as it is)? */
static bool may_chown(const struct vnode *v, u32 uid, u32 gid)
{
	bool owner = v->uid == fs_uid();

	if (fs_capable(CAP_CHOWN))
		return true;
	if (uid != UINT32_MAX && !(owner && uid == v->uid))
		return false;
	return gid == UINT32_MAX ||
	       (owner && (gid == v->gid || fs_in_group(gid)));
}

/* V's mode without what it loses when its owner or its contents change. */
static u32 mode_without_suid(const struct vnode *v)
{
	u32 mode = v->mode & ~S_ISUID;

	/* Without x for the group it is a mark, and members may keep it. */
	if ((mode & S_ISGID) &&
	    ((mode & 010) || (!fs_in_group(v->gid) && !fs_capable(CAP_FSETID))))
		mode &= ~S_ISGID;
	return mode;
}

int do_chown(struct dentry *d, u32 uid, u32 gid)
{
	struct vnode *v = d->vnode;
	struct vattr a = {.valid = ATTR_CTIME, .ctime = vfs_now()};
	int err = may_write_mount(d);

	if (err)
		return err;
	if (!may_chown(v, uid, gid))
		return -EPERM;
	if (uid != UINT32_MAX) {
		a.valid |= ATTR_UID;
		a.uid = uid;
	}
	if (gid != UINT32_MAX) {
		a.valid |= ATTR_GID;
		a.gid = gid;
	}
	if (!S_ISDIR(v->mode) && mode_without_suid(v) != v->mode) {
		if (!owner_or_capable(v))
			return -EPERM;
		a.valid |= ATTR_MODE;
		a.mode = mode_without_suid(v) & 07777;
	}
	return change(d, &a);
}

/* One of utimensat(2)'s two times. */
static void take_time(struct vattr *a, u32 which, const struct vfs_time *t)
{
	struct vfs_time *to = which == ATTR_ATIME ? &a->atime : &a->mtime;

	if (t && t->nsec == UTIME_OMIT)
		return;
	a->valid |= which;
	*to = !t || t->nsec == UTIME_NOW ? a->ctime : *t;
}

int do_utimes(struct dentry *d, const struct vfs_time *times)
{
	struct vnode *v = d->vnode;
	struct vattr a = {.valid = ATTR_CTIME, .ctime = vfs_now()};
	bool omit = times && times[0].nsec == UTIME_OMIT &&
		    times[1].nsec == UTIME_OMIT;
	bool now = !times ||
		   (times[0].nsec == UTIME_NOW && times[1].nsec == UTIME_NOW);
	int err;

	if (omit)
		return 0;
	err = may_write_mount(d);
	if (err)
		return err;
	if (!owner_or_capable(v)) {
		if (!now)
			return -EPERM;
		err = vfs_permission(v, MAY_WRITE);
		if (err)
			return err;
	}
	take_time(&a, ATTR_ATIME, times ? &times[0] : NULL);
	take_time(&a, ATTR_MTIME, times ? &times[1] : NULL);
	return change(d, &a);
}

int do_truncate(struct vnode *v, u64 size)
{
	struct vfs_time now = vfs_now();
	struct vattr a = {.valid = ATTR_SIZE | ATTR_MTIME | ATTR_CTIME,
			  .size = size,
			  .mtime = now,
			  .ctime = now};

	if (v->inode->i_flags & S_SWAPFILE)
		return -ETXTBSY;
	if (size > v->inode->i_sb->s_maxbytes)
		return -EFBIG;
	if (size > i_size_read(v->inode) && current &&
	    size > rlimit(RLIMIT_FSIZE)) {
		(void)send_sig_task(current, 25 /* SIGXFSZ */, NULL);
		return -EFBIG;
	}
	if (mode_without_suid(v) != v->mode && !fs_capable(CAP_FSETID)) {
		a.valid |= ATTR_MODE;
		a.mode = mode_without_suid(v) & 07777;
	}
	return vfs_setattr(v, &a);
}

/* ---- marks -----------------------------------------------------------------
 */

static int time_cmp(const struct vfs_time *a, const struct vfs_time *b)
{
	if (a->sec != b->sec)
		return a->sec < b->sec ? -1 : 1;
	return a->nsec < b->nsec ? -1 : a->nsec > b->nsec;
}

static bool atime_due(const struct vnode *v, u32 flags,
		      const struct vfs_time *now)
{
	if ((flags & MS_NOATIME) ||
	    ((flags & MS_NODIRATIME) && S_ISDIR(v->mode)))
		return false;
	if (flags & MS_STRICTATIME)
		return time_cmp(&v->atime, now) != 0;
	return time_cmp(&v->atime, &v->mtime) <= 0 ||
	       time_cmp(&v->atime, &v->ctime) <= 0 ||
	       now->sec - v->atime.sec >= 24 * 3600;
}

void file_accessed(struct file *file)
{
	struct vnode *v = file_node(file);
	struct dentry *d = file_dentry(file);
	struct vattr a = {.valid = ATTR_ATIME};

	if (!v || !d || (file->f_flags & O_NOATIME) || mount_readonly(d->mnt))
		return;
	a.atime = vfs_now();
	if (atime_due(v, d->mnt->flags, &a.atime))
		(void)vfs_setattr(v, &a);
}

void file_modified(struct file *file)
{
	struct vnode *v = file_node(file);
	struct vattr a = {.valid = ATTR_MTIME | ATTR_CTIME};

	if (!v)
		return;
	a.mtime = a.ctime = vfs_now();
	if (S_ISREG(v->mode) && mode_without_suid(v) != v->mode &&
	    !fs_capable(CAP_FSETID)) {
		a.valid |= ATTR_MODE;
		a.mode = mode_without_suid(v) & 07777;
	}
	(void)vfs_setattr(v, &a);
}
