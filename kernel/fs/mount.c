/* SPDX-License-Identifier: MIT */
/*
 * mount.c - which file systems are reached by which names.
 *
 * 1. Structures. A file system (struct vfs_sb) may be mounted several times; a
 *    mount is a tree of dentries from a root of its own. Where it hangs, the
 *    dentry of the other mount leads to it (mounted) and it leads back
 *    (mountpoint); both change under dcache_lock, with mount_lock held.
 *
 * 2. Lives. A mount holds its root and its mountpoint. umount(2) refuses while
 *    anybody uses a name of it: unused names are freed first, then the root
 *    must have one reference and no child. With MNT_DETACH it is taken off its
 *    place at once and goes with its last name (mount_free_detached()), from
 *    whatever dput() that is. The last mount takes the file system with it.
 *
 * 3. A disk is mounted once: a second mount of it shares the file system. While
 *    one is going away a new mount of its disk is refused (EBUSY).
 *
 * 4. All mounts are private ones in the sense of mount_namespaces(7), and there
 *    is one namespace; what asks for another kind of sharing is EINVAL.
 *
 * References: mount(2), umount(2), pivot_root(2), mount_namespaces(7), proc(5).
 */
#include <mmkit/errno.h>
#include <mmkit/slab.h>

#include "base/printk.h"
#include "base/string.h"
#include "cache/filemap.h"
#include "fs.h"

#define MNT_FLAGS                                                    \
	(MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | \
	 MS_NODIRATIME | MS_RELATIME | MS_STRICTATIME)
#define MS_PRIVATE_KINDS 0xc0000u  /* MS_PRIVATE, MS_SLAVE: as they are */
#define MS_OTHER_KINDS	 0x120000u /* MS_SHARED, MS_UNBINDABLE */
#define MS_MAGIC	 0xc0ed0000u

void vfs_register_fs(struct vfs_fstype *type)
{
	type->next = fs_sys.fstypes;
	fs_sys.fstypes = type;
}

struct vfs_fstype *fstype_find(const char *name)
{
	struct vfs_fstype *t = fs_sys.fstypes;

	while (t && mm_strcmp(t->name, name))
		t = t->next;
	return t;
}

u32 vfs_anon_dev(void)
{
	return MKDEV(0, 20 + __atomic_fetch_add(&fs_sys.next_anon_dev, 1,
						__ATOMIC_RELAXED));
}

bool mount_readonly(const struct vfs_mount *mnt)
{
	return ((READ_ONCE(mnt->flags) | READ_ONCE(mnt->sb->flags)) &
		MS_RDONLY) != 0;
}

/* ---- file systems ----------------------------------------------------------
 */

/* SB, of a disk, with one mount more; NULL: there is none. *ERR: -EBUSY. */
static struct vfs_sb *sb_shared(const struct vfs_fstype *t,
				const struct port_bdev *bdev, int *err)
{
	struct vfs_sb *sb, *found = NULL;

	spin_lock(&fs_sys.dcache_lock);
	list_for_each_entry (sb, &fs_sys.sbs, all) {
		if (!bdev || sb->bdev != bdev)
			continue;
		if (sb->mounts && !mm_strcmp(sb->type, t->name)) {
			sb->mounts++;
			found = sb;
		} else {
			*err = -EBUSY;
		}
	}
	spin_unlock(&fs_sys.dcache_lock);
	return found;
}

/* A file system with one mount more. */
static int sb_get(struct vfs_fstype *t, const char *dev, u32 flags,
		  const char *data, struct vfs_sb **out)
{
	struct port_bdev *bdev = NULL;
	struct vfs_sb *sb;
	int err = 0;

	if (t->needs_dev)
		err = blkdev_by_path(dev, &bdev);
	if (err)
		return err;
	*out = sb_shared(t, bdev, &err);
	if (*out || err)
		return err;
	err = t->mount(dev, flags, data ? data : "", &sb);
	if (err)
		return err;
	/* One that exists already gives itself again (devtmpfs). */
	spin_lock(&fs_sys.dcache_lock);
	if (sb->mounts++ == 0) {
		sb->bdev = bdev;
		sb->flags |= flags & (MS_RDONLY | MS_SYNCHRONOUS);
		if (flags & MS_NOEXEC)
			sb->sb->s_iflags |= SB_I_NOEXEC;
		list_add_tail(&sb->all, &fs_sys.sbs);
	}
	spin_unlock(&fs_sys.dcache_lock);
	*out = sb;
	return 0;
}

static void sb_put(struct vfs_sb *sb)
{
	bool last;

	spin_lock(&fs_sys.dcache_lock);
	mm_verify(sb->mounts > 0);
	last = --sb->mounts == 0;
	spin_unlock(&fs_sys.dcache_lock);
	if (!last)
		return;
	notify_unmount(sb);
	sync_inodes(sb->sb);
	if (sb->ops->sync && !(sb->flags & MS_RDONLY))
		(void)sb->ops->sync(sb);
	vnode_put(sb->root);
	/* Off the list last: its disk is free only when it is done. */
	spin_lock(&fs_sys.dcache_lock);
	sb->bdev = NULL;
	list_del(&sb->all);
	spin_unlock(&fs_sys.dcache_lock);
	sb->ops->unmount(sb);
}

/* The file system after SB, which is put, with a mount more. */
static struct vfs_sb *sb_next(struct vfs_sb *sb)
{
	struct vfs_sb *next = NULL;
	struct list_head *at;

	spin_lock(&fs_sys.dcache_lock);
	at = sb ? &sb->all : &fs_sys.sbs;
	for (at = at->next; at != &fs_sys.sbs && !next; at = at->next) {
		next = list_entry(at, struct vfs_sb, all);
		if (next->mounts)
			next->mounts++;
		else
			next = NULL;
	}
	spin_unlock(&fs_sys.dcache_lock);
	if (sb)
		sb_put(sb);
	return next;
}

void sync_sbs(void)
{
	struct vfs_sb *sb;

	for (sb = sb_next(NULL); sb; sb = sb_next(sb)) {
		if (sb->ops->sync && !(sb->flags & MS_RDONLY))
			(void)sb->ops->sync(sb);
	}
}

/* ---- mounts ----------------------------------------------------------------
 */

/* A mount of SB (one mount of it is taken over, also on failure) that hangs
 * nowhere, with ROOT (NULL: SB's). */
static struct vfs_mount *mount_new(struct vfs_sb *sb, struct vnode *root,
				   const char *dev, u32 flags)
{
	struct vfs_mount *m = kmem_cache_alloc(fs_sys.mount_cache,
					       GFP_KERNEL_ACCOUNT | __GFP_ZERO);

	if (m)
		m->dev =
			kstrdup(dev && *dev ? dev : "none", GFP_KERNEL_ACCOUNT);
	if (m && m->dev) {
		m->sb = sb;
		m->flags = flags & MNT_FLAGS;
		INIT_LIST_HEAD(&m->all);
		m->root =
			dentry_make_root(m, vnode_get(root ? root : sb->root));
		if (m->root)
			return m;
	}
	if (m) {
		kfree(m->dev);
		kmem_cache_free(fs_sys.mount_cache, m);
	}
	sb_put(sb);
	return NULL;
}

void mount_free_detached(struct vfs_mount *mnt)
{
	sb_put(mnt->sb);
	kfree(mnt->dev);
	kfree(mnt->bound);
	kmem_cache_free(fs_sys.mount_cache, mnt);
}

/* M, which hangs nowhere, is given up. */
static void mount_drop(struct vfs_mount *m)
{
	spin_lock(&fs_sys.dcache_lock);
	m->detached = true;
	spin_unlock(&fs_sys.dcache_lock);
	dcache_prune_mount(m);
	dput(m->root);
}

/* M hangs on D, whose reference is taken over on success. mount_lock held. */
static int mount_attach(struct vfs_mount *m, struct dentry *d)
{
	int err = 0;

	if (!S_ISDIR(d->vnode->mode) != !S_ISDIR(m->root->vnode->mode))
		return -ENOTDIR;
	spin_lock(&fs_sys.dcache_lock);
	if (d->flags & DENTRY_DELETED) {
		err = -ENOENT;
	} else if (d->mounted || d->mnt->detached) {
		err = -EBUSY;
	} else {
		d->mounted = m;
		m->mountpoint = d;
		d->mnt->nr_mounted++;
	}
	spin_unlock(&fs_sys.dcache_lock);
	if (err)
		return err;
	list_add_tail(&m->all, &fs_sys.mounts);
	if (!m->id)
		m->id = ++fs_sys.next_mount_id;
	return 0;
}

/* Where M hung, with its reference. dcache_lock and mount_lock held. */
static struct dentry *mount_detach_locked(struct vfs_mount *m)
{
	struct dentry *at = m->mountpoint;

	if (at) {
		mm_verify(at->mounted == m);
		at->mounted = NULL;
		at->mnt->nr_mounted--;
		m->mountpoint = NULL;
	}
	list_del_init(&m->all);
	return at;
}

/* The directory DIR as a mountpoint: what is mounted last there. */
static int target(const char *dir, struct dentry **out)
{
	return vfs_lookup(AT_FDCWD, dir, LOOKUP_FOLLOW, out);
}

/* M, new, onto DIR; M is given up on failure. mount_lock held. */
static int mount_on(struct vfs_mount *m, const char *dir)
{
	struct dentry *d;
	int err = target(dir, &d);

	if (!err) {
		err = mount_attach(m, d);
		if (err)
			dput(d);
	}
	if (err)
		mount_drop(m);
	return err;
}

static int mount_kind(const char *dev, const char *dir, const char *type,
		      u32 flags, const char *data)
{
	struct vfs_fstype *t = type ? fstype_find(type) : NULL;
	struct vfs_mount *m;
	struct vfs_sb *sb;
	int err;

	if (!t)
		return type ? -ENODEV : -EINVAL;
	err = sb_get(t, dev, flags, data, &sb);
	if (err)
		return err;
	m = mount_new(sb, NULL, dev, flags);
	return m ? mount_on(m, dir) : -ENOMEM;
}

/* Where D is in its file system, as it is named now: *OUT, NULL: its root. */
static int bound_path(struct dentry *d, char **out)
{
	const char *above = d->mnt->bound ? d->mnt->bound : "";
	size_t n = mm_strlen(above);
	bool reached;
	char *buf, *text;
	s64 len;

	*out = NULL;
	if (d == d->mnt->root) {
		if (n)
			*out = kstrdup(above, GFP_KERNEL_ACCOUNT);
		return n && !*out ? -ENOMEM : 0;
	}
	buf = kmem_cache_alloc(fs_sys.names_cache, GFP_KERNEL);
	if (!buf)
		return -ENOMEM;
	len = dentry_text(d, d->mnt->root, buf, PATH_MAX, &text, &reached);
	if (len >= 0)
		*out = kmalloc(n + (size_t)len + 1, GFP_KERNEL_ACCOUNT);
	if (*out) {
		mm_memcpy(*out, above, n);
		mm_memcpy(*out + n, text, (size_t)len + 1);
	}
	kmem_cache_free(fs_sys.names_cache, buf);
	return len < 0 ? (int)len : *out ? 0 : -ENOMEM;
}

static int mount_bind(const char *from, const char *dir, u32 flags)
{
	struct vfs_mount *m;
	struct dentry *d;
	char *bound;
	int err = target(from, &d);

	if (err)
		return err;
	err = bound_path(d, &bound);
	if (err) {
		dput(d);
		return err;
	}
	spin_lock(&fs_sys.dcache_lock);
	d->mnt->sb->mounts++;
	spin_unlock(&fs_sys.dcache_lock);
	m = mount_new(d->mnt->sb, d->vnode, d->mnt->dev, d->mnt->flags | flags);
	dput(d);
	if (!m) {
		kfree(bound);
		return -ENOMEM;
	}
	m->bound = bound;
	return mount_on(m, dir);
}

static int mount_move(const char *from, const char *dir)
{
	struct dentry *what, *to = NULL, *left = NULL;
	struct vfs_mount *m;
	int err = target(from, &what);

	if (err)
		return err;
	m = what->mnt;
	err = target(dir, &to);
	if (!err && (what != m->root || !m->mountpoint))
		err = -EINVAL;
	for (struct dentry *d = to; !err && d; d = d->mnt->mountpoint) {
		if (d->mnt == m)
			err = -ELOOP;
	}
	if (!err && !S_ISDIR(to->vnode->mode) != !S_ISDIR(what->vnode->mode))
		err = -ENOTDIR;
	if (!err) {
		spin_lock(&fs_sys.dcache_lock);
		left = mount_detach_locked(m);
		spin_unlock(&fs_sys.dcache_lock);
		err = mount_attach(m, dget(to));
		/* A target that was removed meanwhile: back. */
		if (err) {
			dput(to);
			mm_verify(mount_attach(m, dget(left)) == 0);
		}
	}
	dput(left);
	dput(to);
	dput(what);
	return err;
}

static int mount_remount(const char *dir, u32 flags, const char *data)
{
	struct dentry *d;
	struct vfs_sb *sb;
	int err = target(dir, &d);

	if (err)
		return err;
	sb = d->mnt->sb;
	if (d != d->mnt->root)
		err = -EINVAL;
	if (!err && !(flags & MS_BIND)) {
		if ((flags & MS_RDONLY) && !(sb->flags & MS_RDONLY))
			sync_inodes(sb->sb);
		if (sb->ops->remount)
			err = sb->ops->remount(sb, flags, data ? data : "");
		if (!err)
			WRITE_ONCE(
				sb->flags,
				(sb->flags & ~(MS_RDONLY | MS_SYNCHRONOUS)) |
					(flags & (MS_RDONLY | MS_SYNCHRONOUS)));
	}
	if (!err)
		WRITE_ONCE(d->mnt->flags, flags & MNT_FLAGS);
	dput(d);
	return err;
}

/* MS_PRIVATE and MS_SLAVE: all mounts are private already. */
static int mount_kind_of_sharing(const char *dir, u32 flags)
{
	struct dentry *d;
	int err;

	if (flags & MS_OTHER_KINDS)
		return -EINVAL;
	err = target(dir, &d);
	if (err)
		return err;
	err = d == d->mnt->root ? 0 : -EINVAL;
	dput(d);
	return err;
}

int do_mount(const char *dev, const char *dir, const char *type, u32 flags,
	     const char *data)
{
	int err;

	if ((flags & 0xffff0000u) == MS_MAGIC)
		flags &= 0xffffu;
	mutex_lock(&fs_sys.mount_lock);
	if (flags & MS_REMOUNT)
		err = mount_remount(dir, flags, data);
	else if (flags & MS_BIND)
		err = dev && *dev ? mount_bind(dev, dir, flags) : -ENOENT;
	else if (flags & (MS_PRIVATE_KINDS | MS_OTHER_KINDS))
		err = mount_kind_of_sharing(dir, flags);
	else if (flags & MS_MOVE)
		err = dev && *dev ? mount_move(dev, dir) : -ENOENT;
	else
		err = mount_kind(dev, dir, type, flags, data);
	mutex_unlock(&fs_sys.mount_lock);
	return err;
}

int vfs_mount(const char *dev, const char *dir, const char *type, u32 flags,
	      const char *data)
{
	return do_mount(dev, dir, type, flags, data);
}

/* ---- umount ----------------------------------------------------------------
 */

/* M off its place; what hangs below it as well. mount_lock held. */
static void detach_all(struct vfs_mount *m)
{
	struct vfs_mount *c;
	struct dentry *at;

again:
	list_for_each_entry (c, &fs_sys.mounts, all) {
		if (c->mountpoint && c->mountpoint->mnt == m) {
			detach_all(c);
			goto again;
		}
	}
	spin_lock(&fs_sys.dcache_lock);
	at = mount_detach_locked(m);
	spin_unlock(&fs_sys.dcache_lock);
	if (at)
		dput(at);
	mount_drop(m);
}

/* M, whose unused names are gone, off its place *AT if nobody uses it. Quiet.
 */
static int detach_unused(struct vfs_mount *m, u32 flags, struct dentry **at)
{
	int err = 0;

	spin_lock(&fs_sys.dcache_lock);
	if (m->root->count != 2 || !list_empty(&m->root->children) ||
	    m->nr_mounted) {
		err = -EBUSY;
	} else if ((flags & MNT_EXPIRE) && !m->expire_asked) {
		m->expire_asked = true;
		err = -EAGAIN;
	} else {
		*at = mount_detach_locked(m);
	}
	spin_unlock(&fs_sys.dcache_lock);
	return err;
}

/* umount(2) of M, to whose root one reference of the caller's leads. */
static int umount_one(struct vfs_mount *m, u32 flags)
{
	struct dentry *at;
	int err;

	if (flags & MNT_DETACH) {
		detach_all(m);
		return 0;
	}
	dcache_quiet();
	dcache_prune_mount(m);
	err = detach_unused(m, flags, &at);
	dcache_unquiet();
	if (err)
		return err;
	dput(at);
	mount_drop(m);
	return 0;
}

int do_umount(const char *dir, u32 flags)
{
	struct dentry *d, *root = fs_root_get();
	u32 lookup = flags & UMOUNT_NOFOLLOW ? 0 : LOOKUP_FOLLOW;
	int err;

	if ((flags &
	     ~(MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW)) ||
	    ((flags & MNT_EXPIRE) && (flags & (MNT_FORCE | MNT_DETACH)))) {
		dput(root);
		return -EINVAL;
	}
	mutex_lock(&fs_sys.mount_lock);
	err = vfs_lookup(AT_FDCWD, dir, lookup, &d);
	if (!err) {
		if (d != d->mnt->root || !d->mnt->mountpoint)
			err = -EINVAL;
		else if (d == root)
			err = -EBUSY;
		else
			err = umount_one(d->mnt, flags);
		dput(d);
	}
	mutex_unlock(&fs_sys.mount_lock);
	dput(root);
	return err;
}

int vfs_umount(const char *dir, u32 flags)
{
	return do_umount(dir, flags);
}

/* ---- the root --------------------------------------------------------------
 */

/* NEW and OLD change places: OLD hangs on AT, NEW where OLD hung (nowhere: it
 * is the first). References are taken over. mount_lock held. */
static int pivot(struct vfs_mount *new, struct vfs_mount *old,
		 struct dentry *at)
{
	struct dentry *new_at, *old_at;
	int err;

	spin_lock(&fs_sys.dcache_lock);
	new_at = mount_detach_locked(new);
	old_at = mount_detach_locked(old);
	spin_unlock(&fs_sys.dcache_lock);
	err = mount_attach(old, dget(at));
	mm_verify(err == 0 && mount_attach(new, old_at) == 0);
	fs_replace(old->root, new->root);
	dput(new_at);
	return 0;
}

/* -EINVAL, -EBUSY: pivot_root(2)'s conditions. mount_lock held. */
static int pivot_check(const struct dentry *new, struct dentry *old,
		       const struct dentry *root)
{
	if (!S_ISDIR(new->vnode->mode) || !S_ISDIR(old->vnode->mode))
		return -ENOTDIR;
	if (new->mnt == root->mnt || old->mnt == root->mnt)
		return -EBUSY;
	if (new != new->mnt->root || root != root->mnt->root ||
	    !root->mnt->mountpoint || !new->mnt->mountpoint)
		return -EINVAL;
	/* Below NEW: of its mount, or of one that hangs there. */
	while (old->mnt != new->mnt) {
		old = old->mnt->mountpoint;
		if (!old)
			return -EINVAL;
	}
	return 0;
}

int do_pivot_root(const char *new_root, const char *put_old)
{
	struct dentry *new, *old = NULL, *root = fs_root_get();
	int err;

	mutex_lock(&fs_sys.mount_lock);
	err = target(new_root, &new);
	if (err)
		goto out;
	err = target(put_old, &old);
	if (!err)
		err = pivot_check(new, old, root);
	if (!err)
		err = pivot(new->mnt, root->mnt, old);
	if (old)
		dput(old);
	dput(new);
out:
	mutex_unlock(&fs_sys.mount_lock);
	dput(root);
	return err;
}

/* Each kind that needs a disk, or TYPE alone. */
static int mount_any(const char *dev, const char *dir, const char *type,
		     u32 flags)
{
	int err = -ENODEV;

	if (type)
		return do_mount(dev, dir, type, flags, NULL);
	for (struct vfs_fstype *t = fs_sys.fstypes; t && err; t = t->next) {
		if (t->needs_dev)
			err = do_mount(dev, dir, t->name, flags, NULL);
	}
	return err;
}

int vfs_mount_root(const char *dev, const char *type, u32 flags)
{
	struct dentry *root = fs_root_get(), *new;
	int err = mount_any(dev, "/", type, flags);

	if (err) {
		pr_err("VFS: cannot mount root %s as %s: error %d\n", dev,
		       type ? type : "any kind", err);
		dput(root);
		return err;
	}
	new = dentry_follow_mounts(dget(root));
	pr_info("VFS: mounted root (%s on %s)%s\n", new->mnt->sb->type, dev,
		mount_readonly(new->mnt) ? " read-only" : "");
	fs_replace(root, new);
	dput(root);
	dput(new);
	err = do_mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	if (err)
		pr_warn("VFS: no /dev in %s: error %d\n", dev, err);
	return 0;
}

/* ---- text ------------------------------------------------------------------
 */

static void show_mount_flags(const struct vfs_mount *m, struct seq_buf *out)
{
	static const struct {
		u32 flag;
		const char *name;
	} names[] = {
		{MS_NOSUID, ",nosuid"},		{MS_NODEV, ",nodev"},
		{MS_NOEXEC, ",noexec"},		{MS_NOATIME, ",noatime"},
		{MS_NODIRATIME, ",nodiratime"},
	};

	for (u32 i = 0; i < ARRAY_SIZE(names); i++) {
		if (m->flags & names[i].flag)
			seq_puts(out, names[i].name);
	}
	if (!(m->flags & (MS_NOATIME | MS_STRICTATIME)))
		seq_puts(out, ",relatime");
}

static void show_sb_options(const struct vfs_mount *m, struct seq_buf *out)
{
	if (m->sb->ops->show)
		m->sb->ops->show(m->sb, out);
}

/* Blanks and backslashes as octal. */
static void show_path(const char *text, struct seq_buf *out)
{
	for (; *text; text++) {
		if (*text == ' ' || *text == '\t' || *text == '\n' ||
		    *text == '\\')
			seq_printf(out, "\\%03o", (u32)(u8)*text);
		else
			seq_putc(out, *text);
	}
}

/* M, which is at TEXT. */
static void show_in_mounts(const struct vfs_mount *m, const char *text,
			   struct seq_buf *out)
{
	seq_printf(out, "%s ", m->dev);
	show_path(text, out);
	seq_printf(out, " %s %s%s", m->sb->type,
		   mount_readonly(m) ? "ro" : "rw",
		   m->sb->flags & MS_SYNCHRONOUS ? ",sync" : "");
	show_mount_flags(m, out);
	show_sb_options(m, out);
	seq_puts(out, " 0 0\n");
}

static void show_in_mountinfo(const struct vfs_mount *m, const char *text,
			      struct seq_buf *out)
{
	const struct vfs_mount *up = m->mountpoint ? m->mountpoint->mnt : m;
	u32 dev = m->sb->sb->s_dev;

	seq_printf(out, "%d %d %u:%u ", m->id, up->id, dev >> 8 & 0xfffu,
		   (dev & 0xffu) | (dev >> 12 & ~0xffu));
	show_path(m->bound ? m->bound : "/", out);
	seq_putc(out, ' ');
	show_path(text, out);
	seq_puts(out, READ_ONCE(m->flags) & MS_RDONLY ? " ro" : " rw");
	show_mount_flags(m, out);
	seq_printf(out, " - %s %s %s%s", m->sb->type, m->dev,
		   m->sb->flags & MS_RDONLY ? "ro" : "rw",
		   m->sb->flags & MS_SYNCHRONOUS ? ",sync" : "");
	show_sb_options(m, out);
	seq_putc(out, '\n');
}

/* Each mount that can be reached, by SHOW. */
static void show_all(void (*show)(const struct vfs_mount *m, const char *text,
				  struct seq_buf *out),
		     struct seq_buf *out)
{
	char *buf = kmem_cache_alloc(fs_sys.names_cache, GFP_KERNEL);
	struct dentry *root = fs_root_get();
	const struct vfs_mount *m;
	bool reached;
	char *text;

	mutex_lock(&fs_sys.mount_lock);
	if (buf)
		list_for_each_entry (m, &fs_sys.mounts, all)
			if (dentry_text(m->root, root, buf, PATH_MAX, &text,
					&reached) >= 0 &&
			    reached)
				show(m, text, out);
	mutex_unlock(&fs_sys.mount_lock);
	dput(root);
	if (buf)
		kmem_cache_free(fs_sys.names_cache, buf);
}

void vfs_show_mounts(struct seq_buf *out)
{
	show_all(show_in_mounts, out);
}

void vfs_show_mountinfo(struct seq_buf *out)
{
	show_all(show_in_mountinfo, out);
}

/* ---- boot ------------------------------------------------------------------
 */

/* Where open files have a place that have none: anon.c. */
static int anon_mount(void)
{
	struct vfs_sb *sb;
	int err = sb_get(fstype_find("tmpfs"), "anon", 0, "mode=555", &sb);

	if (!err)
		fs_sys.anon_mnt = mount_new(sb, NULL, "anon", MS_NODEV);
	return err ? err : fs_sys.anon_mnt ? 0 : -ENOMEM;
}

int mounts_init(void)
{
	struct fs_struct *fs = &fs_sys.init_fs;
	struct vfs_mount *m;
	struct vfs_sb *sb;
	int err;

	mutex_init(&fs_sys.mount_lock, LOCK_CLASS_MOUNT);
	mutex_init(&fs_sys.rename_lock, LOCK_CLASS_RENAME);
	INIT_LIST_HEAD(&fs_sys.mounts);
	INIT_LIST_HEAD(&fs_sys.sbs);
	fs_sys.mount_cache = kmem_cache_create(
		"mnt_cache", sizeof(struct vfs_mount), 0, SLAB_ACCOUNT, NULL);
	if (!fs_sys.mount_cache)
		return -ENOMEM;
	err = sb_get(fstype_find("tmpfs"), "rootfs", 0, "mode=755", &sb);
	if (err)
		return err;
	m = mount_new(sb, NULL, "rootfs", 0);
	if (!m)
		return -ENOMEM;
	m->id = ++fs_sys.next_mount_id;
	list_add_tail(&m->all, &fs_sys.mounts);
	fs->count = 1;
	fs->umask = 022;
	spin_lock_init(&fs->lock, LOCK_CLASS_FS);
	fs->root = dget(m->root);
	fs->pwd = dget(m->root);
	return anon_mount();
}

void mounts_shutdown(void)
{
	struct fs_struct *fs = &fs_sys.init_fs;
	struct vfs_mount *m;

	if (fs->root) {
		dput(fs->root);
		dput(fs->pwd);
		fs->root = fs->pwd = NULL;
	}
	if (fs_sys.anon_mnt)
		mount_drop(fs_sys.anon_mnt);
	fs_sys.anon_mnt = NULL;
	while (fs_sys.mount_cache && !list_empty(&fs_sys.mounts)) {
		m = list_last_entry(&fs_sys.mounts, struct vfs_mount, all);
		detach_all(m);
	}
	if (fs_sys.mount_cache)
		mm_verify(kmem_cache_destroy(fs_sys.mount_cache) == 0);
	fs_sys.mount_cache = NULL;
}
