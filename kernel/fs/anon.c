/* SPDX-License-Identifier: MIT */
/*
 * anon.c - names for open files that have none, when /proc/PID/fd is followed.
 *
 * A pipe, a socket, an eventfd is no name in any directory. Who walks over
 * /proc/self/fd/3 still gets a place: a dentry on a mount that hangs nowhere,
 * with a vnode made for this walk. stat(2) tells its kind and number, opening
 * a pipe opens that pipe anew (bash's <(...), /dev/stdout of a script), and
 * opening others is -ENXIO.
 *
 * The vnode of a pipe holds the pipe itself, not the open file that was walked
 * over: it counts neither as reader nor as writer, so ends of file come when
 * they should.
 *
 * References: proc(5) (/proc/PID/fd), pipe(7).
 */
#include <mmkit/errno.h>
#include <mmkit/gfp.h>
#include <mmkit/slab.h>

#include "base/seqbuf.h"
#include "base/string.h"
#include "fs.h"

static void anon_evict(struct vnode *v)
{
	if (v->fifo)
		fs_sys.fifo->put(v->fifo);
	iput(v->inode);
	kfree(v);
}

static int anon_open(struct vnode *v, struct file *file)
{
	(void)v;
	(void)file;
	return -ENXIO;
}

/* chmod(2) and its like find nothing that would keep it. */
static int anon_setattr(struct vnode *v, const struct vattr *a)
{
	(void)v;
	(void)a;
	return -EPERM;
}

static const struct vnode_ops anon_ops = {
	.open = anon_open,
	.setattr = anon_setattr,
	.evict = anon_evict,
};

/* A vnode that stands for FILE, which has no name; NULL: no memory. */
static struct vnode *anon_vnode(struct file *file)
{
	struct inode *of = file->f_inode;
	struct inode *inode = anon_inode(of->i_mode, NULL);
	struct vnode *v = kzalloc(sizeof(*v), GFP_KERNEL_ACCOUNT);

	if (!inode || !v) {
		if (inode)
			iput(inode);
		kfree(v);
		return NULL;
	}
	inode->i_ino = of->i_ino;
	inode->i_nlink = 1;
	vnode_init(v, fs_sys.anon_mnt->sb, inode, &anon_ops, of->i_ino,
		   of->i_mode);
	v->uid = fs_uid();
	v->gid = fs_gid();
	if (fs_sys.fifo && S_ISFIFO(of->i_mode))
		v->fifo = fs_sys.fifo->hold(file, &v->uid, &v->gid);
	return v;
}

int anon_link(struct file *file, struct dentry **out)
{
	struct dentry *root = fs_sys.anon_mnt->root;
	char name[64];
	struct qstr q = {name, 0};
	struct vnode *v;
	s64 len = file_path(file, name, sizeof(name));

	if (len < 0)
		len = 0;
	q.len = (u32)min(len, (s64)sizeof(name));
	v = anon_vnode(file);
	if (!v)
		return -ENOMEM;
	down_write(&root->vnode->lock);
	*out = dentry_make_unhashed(root, &q, v);
	up_write(&root->vnode->lock);
	return *out ? 0 : -ENOMEM;
}
