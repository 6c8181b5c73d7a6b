/* SPDX-License-Identifier: MIT */
/*
 * pseudo.c - file systems whose files are made when they are read.
 *
 * 1. Purpose. /proc and /sys tell what the kernel knows at the moment: nothing
 *    is stored, and names come and go by themselves.
 *
 * 2. Structure. A directory is a table (struct pdir): fixed names, and two
 *    functions for those that are not known when compiled. A vnode is made by
 *    each look-up and is gone with the last user; what it is of (a process, a
 *    CPU) stands in its key by number, so it may outlive that: then its
 *    functions answer -ESRCH.
 *
 * 3. Text. A file's text is made as a whole by the first read, and by each
 *    read at position 0, and kept with the open file: reads in small pieces
 *    see one text, and who reads again from the start sees a new one (top(1)
 *    keeps its files open). A long one that falls into pieces (a mapping each)
 *    is made as far as it is read; a read of a page or more is given the whole
 *    pieces that fit one, as Linux does: programs take such a read for all that
 *    they wanted to see, and read on where a buffer came back full.
 *
 * 4. Invariants.
 *    PF-1  Inode numbers are made of the names on the way, so readdir and stat
 *          agree and the number is the same the next time.
 *    PF-2  A read without memory for the text is -ENOMEM; no part is shown.
 *
 * 5. Locking. An open file's text has a mutex, outside of all that functions
 *    take; copying to user memory under it may fault.
 *
 * References: proc(5), sysfs(5); Linux documentation, filesystems/proc,
 * filesystems/seq_file.
 */
#include "procfs/pseudo.h"

#include <mmkit/page_alloc.h>
#include <mmkit/slab.h>

#include "base/atomic.h"
#include "base/mutex.h"
#include "base/string.h"
#include "procfs/procfs_state.h"
#include "stat.h"

/* ---- the text of an open file ----------------------------------------------
 */

struct ptext {
	struct mutex lock;
	char *buf;
	u64 len, room;
	bool made;
	bool all; /* there is no further piece */
	u64 at;	  /* where that begins, as pentry.next counts */
	u64 last; /* where the last piece begins in the text */
	int err;
	u64 seen;  /* version of what was read last */
	void *own; /* pentry.own_write's */
};

static void text_take(void *arg, const char *text, size_t len)
{
	struct ptext *t = arg;

	if (t->len + len > t->room && !t->err) {
		u64 room = max(t->room * 2, max(t->len + len, PAGE_SIZE));
		char *buf = kvmalloc(room, GFP_KERNEL);

		if (!buf) {
			t->err = -ENOMEM;
			return;
		}
		if (t->len)
			mm_memcpy(buf, t->buf, t->len);
		kvfree(t->buf);
		t->buf = buf;
		t->room = room;
	}
	if (t->err)
		return;
	mm_memcpy(t->buf + t->len, text, len);
	t->len += len;
}

/* What N says next, to T: as pentry.next; what is made as a whole: 0. */
static int text_piece(struct ptext *t, const struct pnode *n)
{
	char piece[512];
	struct seq_buf out;
	int ret;

	seq_buf_init_sink(&out, piece, sizeof(piece), text_take, t);
	ret = n->e->next ? n->e->next(n, &t->at, &out) : n->e->show(n, &out);
	seq_buf_flush(&out);
	return ret < 0 || !t->err ? ret : t->err;
}

/* T is made up to byte END of it, if it is that long. */
static int text_extend(struct ptext *t, const struct pnode *n, u64 end)
{
	int ret = 1;

	while (!t->all && t->len < end && ret > 0) {
		t->last = t->len;
		ret = text_piece(t, n);
		t->all = !ret;
	}
	return min(ret, 0);
}

/* Anew, as far as END. */
static int text_make(struct ptext *t, const struct pnode *n, u64 end)
{
	int err;

	t->len = 0;
	t->err = 0;
	t->at = t->last = 0;
	t->all = t->made = false;
	/* What happens from now on may be missing in the text. */
	if (n->e->version)
		WRITE_ONCE(t->seen, n->e->version(n));
	err = text_extend(t, n, end);
	t->made = !err;
	return err;
}

/* LEN bytes at TEXT to ITER, or from it: how many, -EFAULT if none. */
static s64 bytes_out(struct iov_iter *iter, const char *text, u64 len)
{
	u64 n = iter_put(iter, text, len);

	return n || !len ? (s64)n : -EFAULT;
}

static s64 bytes_in(struct iov_iter *iter, char *buf, u64 len)
{
	u64 n = iter_get(iter, buf, len);

	return n == len ? (s64)n : -EFAULT;
}

/* How much of T, made beyond POS + PAGE_SIZE or to its end, a read of COUNT
 * bytes at POS is given. */
static u64 text_given(const struct ptext *t, const struct pnode *n, u64 pos,
		      u64 count)
{
	u64 left = t->len > pos ? t->len - pos : 0;

	if (n->e->next && count >= PAGE_SIZE && left > PAGE_SIZE &&
	    t->last > pos && t->last <= pos + PAGE_SIZE)
		left = t->last - pos;
	return min(count, left);
}

static s64 text_read(const struct pnode *n, struct ptext *t,
		     struct iov_iter *iter, u64 *pos)
{
	u64 want = min(iter->count, PAGE_SIZE) + 1, give;
	u64 end = *pos + min(want, ~*pos);
	s64 ret;

	mutex_lock(&t->lock);
	if (!t->made || *pos == 0)
		ret = text_make(t, n, end);
	else
		ret = text_extend(t, n, end);
	give = ret ? 0 : text_given(t, n, *pos, iter->count);
	if (give)
		ret = bytes_out(iter, t->buf + *pos, give);
	mutex_unlock(&t->lock);
	if (ret > 0)
		*pos += (u64)ret;
	return ret;
}

/* ---- bytes -----------------------------------------------------------------
 */

static s64 bytes_read(const struct pnode *n, struct iov_iter *iter, u64 *pos)
{
	char *buf = kmalloc(PAGE_SIZE, GFP_KERNEL);
	s64 total = 0, got = 0;

	if (!buf)
		return -ENOMEM;
	while (iter->count) {
		got = n->e->read(n, *pos, buf, min(iter->count, PAGE_SIZE));
		if (got > 0)
			got = bytes_out(iter, buf, (u64)got);
		if (got <= 0)
			break;
		total += got;
		*pos += (u64)got;
	}
	kfree(buf);
	return total ? total : got;
}

static s64 bytes_write(const struct pnode *n, struct iov_iter *iter, u64 *pos)
{
	char *buf = kmalloc(PAGE_SIZE, GFP_KERNEL);
	s64 total = 0, got = 0;

	if (!buf)
		return -ENOMEM;
	while (iter->count) {
		got = bytes_in(iter, buf, min(iter->count, PAGE_SIZE));
		if (got > 0)
			got = n->e->pwrite(n, *pos, buf, (size_t)got);
		if (got <= 0)
			break;
		total += got;
		*pos += (u64)got;
	}
	kfree(buf);
	return total ? total : got;
}

/* ---- open files ------------------------------------------------------------
 */

static struct pnode *file_pnode(const struct file *file)
{
	return container_of(file->f_inode, struct pnode, inode);
}

const struct pnode *pseudo_pnode(const struct file *file)
{
	return file_pnode(file);
}

static s64 pseudo_read(struct file *file, struct iov_iter *iter, u64 *pos)
{
	const struct pnode *n = file_pnode(file);

	if (!iter->count)
		return 0;
	if (n->e->show || n->e->next)
		return text_read(n, file->private_data, iter, pos);
	return n->e->read ? bytes_read(n, iter, pos) : -EINVAL;
}

static s64 own_write(const struct pnode *n, struct ptext *t, const char *text,
		     size_t len)
{
	s64 ret;

	mutex_lock(&t->lock);
	ret = n->e->own_write(n, text, len, &t->own);
	mutex_unlock(&t->lock);
	return ret;
}

static s64 pseudo_write(struct file *file, struct iov_iter *iter, u64 *pos)
{
	const struct pnode *n = file_pnode(file);
	u64 len = iter->count;
	char *text;
	s64 ret;

	if (n->e->pwrite)
		return bytes_write(n, iter, pos);
	if (!n->e->write && !n->e->own_write)
		return -EINVAL;
	if (len >= PAGE_SIZE)
		return -EINVAL;
	text = kmalloc(len + 1, GFP_KERNEL);
	if (!text)
		return -ENOMEM;
	ret = bytes_in(iter, text, len);
	if (ret >= 0) {
		text[len] = '\0';
		ret = n->e->write ? n->e->write(n, text, len)
				  : own_write(n, file->private_data, text, len);
	}
	kfree(text);
	if (ret > 0)
		*pos += (u64)ret;
	return ret;
}

static s64 pseudo_llseek(struct file *file, s64 off, int whence)
{
	s64 base = whence == 1 ? (s64)file->f_pos : 0;

	/* There is no end to count from before the text is made. */
	if (whence != 0 && whence != 1)
		return -EINVAL;
	if (off > 0 ? base > INT64_MAX - off : base + off < 0)
		return -EINVAL;
	file->f_pos = (u64)(base + off);
	return base + off;
}

static void pseudo_release(struct inode *inode, struct file *file)
{
	struct ptext *t = file->private_data;

	(void)inode;
	if (!t)
		return;
	if (t->own)
		file_pnode(file)->e->own_end(t->own);
	kvfree(t->buf);
	kfree(t);
	file->private_data = NULL;
}

/* What files can be waited for stands in one queue: who is woken looks at the
 * version of his. */
void pseudo_changed(void)
{
	/* Pairs with add_wait_queue() before the look in pseudo_poll(). */
	smp_mb();
	if (waitqueue_active(&proc_sys.changed))
		wake_up_all(&proc_sys.changed);
}

void pseudo_init(void)
{
	init_waitqueue_head(&proc_sys.changed);
}

static u32 pseudo_poll(struct file *file, struct poll_table *table)
{
	const u32 always = POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM;
	const struct pnode *n = file_pnode(file);
	struct ptext *t = file->private_data;

	if (n->e->own_poll)
		return always | n->e->own_poll(n, READ_ONCE(t->own), table);
	if (!n->e->version)
		return always;
	poll_wait(table, &proc_sys.changed);
	return n->e->version(n) == READ_ONCE(t->seen)
		       ? always
		       : always | POLLPRI | POLLERR;
}

static const struct file_operations pseudo_fops = {
	.read_iter = pseudo_read,
	.write_iter = pseudo_write,
	.llseek = pseudo_llseek,
	.poll = pseudo_poll,
	.release = pseudo_release,
};

static int pseudo_open(struct vnode *v, struct file *file)
{
	const struct pnode *n = pnode_of(v);
	int err = n->e->may_open ? n->e->may_open(n) : 0;
	struct ptext *t;

	if (!err && n->e->open)
		return n->e->open(n, file);
	if (err || !(n->e->show || n->e->next))
		return err;
	t = kzalloc(sizeof(*t), GFP_KERNEL);
	if (!t)
		return -ENOMEM;
	mutex_init(&t->lock, LOCK_CLASS_PROC_TEXT);
	if (n->e->version)
		t->seen = n->e->version(n);
	file->private_data = t;
	return 0;
}

/* ---- names -----------------------------------------------------------------
 */

static u64 child_ino(u64 dir, const char *name)
{
	u64 h = dir * 0x100000001b3UL + 0xcbf29ce484222325UL;

	for (; *name; name++)
		h = (h ^ (u8)*name) * 0x100000001b3UL;
	h = (h ^ h >> 32) & 0xffffffffUL;
	return h > 1 ? h : h + 2;
}

bool pseudo_line(const char *text, size_t len, char *line, size_t size)
{
	while (len && text[len - 1] == '\n')
		len--;
	if (!len || len >= size)
		return false;
	mm_memcpy(line, text, len);
	line[len] = '\0';
	return true;
}

s64 pseudo_number(const char *name, s64 max)
{
	s64 n = 0;

	if (!*name || (name[0] == '0' && name[1]))
		return -1;
	for (; *name; name++) {
		if (*name < '0' || *name > '9')
			return -1;
		n = n * 10 + (*name - '0');
		if (n > max)
			return -1;
	}
	return n;
}

static const struct vnode_ops pseudo_vnode_ops, pseudo_link_ops;
static const struct inode_operations pseudo_iops;
static const struct address_space_operations pseudo_aops;

/* Where rights can be given away: N's of now. Only files that nobody has looked
 * up since may show older ones. */
static void pnode_attrs(struct pnode *n)
{
	const struct pseudo_sb *psb =
		container_of(n->vnode.sb, struct pseudo_sb, vsb);
	struct pattr attr;

	if (!psb->attrs)
		return;
	psb->attrs->get(n, &attr);
	WRITE_ONCE(n->vnode.mode, (n->vnode.mode & S_IFMT) | attr.mode);
	WRITE_ONCE(n->vnode.uid, attr.uid);
	WRITE_ONCE(n->vnode.gid, attr.gid);
}

static struct pnode *pnode_new(struct pseudo_sb *psb, const struct pentry *e,
			       const struct pkey *key, u64 ino)
{
	struct pnode *n = kzalloc(sizeof(*n), GFP_KERNEL);

	if (!n)
		return NULL;
	n->e = e;
	if (key)
		n->key = *key;
	inode_init(&n->inode, &psb->sb, e->mode, &pseudo_aops,
		   e->fops ? e->fops : &pseudo_fops);
	n->inode.i_op = &pseudo_iops;
	n->inode.i_ino = ino;
	n->inode.i_vnode = &n->vnode;
	vnode_init(&n->vnode, &psb->vsb, &n->inode,
		   e->get_link ? &pseudo_link_ops : &pseudo_vnode_ops, ino,
		   e->mode);
	n->vnode.nlink = e->dir ? 2 : 1;
	if (n->key.pid)
		proc_owner(&n->key, &n->vnode.uid, &n->vnode.gid);
	pnode_attrs(n);
	return n;
}

static const struct pentry *entry_find(const struct pnode *dir,
				       const char *name, struct pkey *child,
				       bool *dynamic)
{
	const struct pdir *d = dir->e->dir;

	*child = dir->key;
	*dynamic = false;
	for (u32 i = 0; i < d->nr; i++)
		if (mm_strcmp(d->entries[i].name, name) == 0)
			return &d->entries[i];
	*dynamic = true;
	return d->find ? d->find(&dir->key, name, child) : NULL;
}

static int pseudo_lookup(struct vnode *v, const char *name, u32 len,
			 struct vnode **out)
{
	const struct pnode *dir = pnode_of(v);
	const struct pentry *e;
	char word[PNAME_MAX];
	struct pkey key;
	struct pnode *n;
	bool dynamic;

	if (len >= sizeof(word))
		return -ENOENT;
	mm_memcpy(word, name, len);
	word[len] = '\0';
	e = entry_find(dir, word, &key, &dynamic);
	if (!e)
		return -ENOENT;
	n = pnode_new(container_of(v->sb, struct pseudo_sb, vsb), e, &key,
		      child_ino(v->ino, word));
	if (!n)
		return -ENOMEM;
	n->dynamic = dynamic;
	*out = &n->vnode;
	return 0;
}

static int pseudo_create(struct vnode *v, const char *name, u32 len, u32 mode,
			 u32 rdev, struct vnode **out)
{
	const struct pnode *dir = pnode_of(v);
	char word[PNAME_MAX];
	int err;

	(void)rdev;
	if (!dir->e->dir->make || !S_ISDIR(mode))
		return S_ISREG(mode) ? -EACCES : -EPERM;
	if (len >= sizeof(word))
		return -ENAMETOOLONG;
	mm_memcpy(word, name, len);
	word[len] = '\0';
	err = dir->e->dir->make(&dir->key, word);
	return err ? err : pseudo_lookup(v, name, len, out);
}

static int pseudo_rmdir(struct vnode *v, const char *name, u32 len,
			struct vnode *victim)
{
	const struct pnode *dir = pnode_of(v);
	char word[PNAME_MAX];

	(void)victim;
	if (!dir->e->dir->remove || len >= sizeof(word))
		return -EPERM;
	mm_memcpy(word, name, len);
	word[len] = '\0';
	return dir->e->dir->remove(&dir->key, word);
}

static bool pseudo_revalidate(struct vnode *dir, struct vnode *v)
{
	(void)dir;
	if (!v || pnode_of(v)->dynamic)
		return false;
	pnode_attrs(pnode_of(v));
	return true;
}

/* Names of the table from ctx->pos on; false: the taker is full. "." and ".."
 * are the caller's. */
static bool emit_fixed(const struct pnode *dir, struct dir_context *ctx)
{
	const struct pdir *d = dir->e->dir;

	for (; ctx->pos < d->nr; ctx->pos++) {
		const struct pentry *e = &d->entries[ctx->pos];

		if (!ctx->emit(ctx, e->name, (u32)mm_strlen(e->name),
			       child_ino(dir->vnode.ino, e->name),
			       e->mode >> 12))
			return false;
	}
	return true;
}

static int pseudo_readdir(struct vnode *v, struct dir_context *ctx)
{
	const struct pnode *dir = pnode_of(v);
	const struct pdir *d = dir->e->dir;
	u64 base = d->nr, cursor;
	const struct pentry *e;
	char name[PNAME_MAX];

	if (!emit_fixed(dir, ctx) || !d->next)
		return 0;
	cursor = ctx->pos - base;
	while ((e = d->next(&dir->key, &cursor, name))) {
		if (!ctx->emit(ctx, name, (u32)mm_strlen(name),
			       child_ino(v->ino, name), e->mode >> 12))
			return 0;
		ctx->pos = base + cursor;
	}
	return 0;
}

static s64 pseudo_readlink(struct vnode *v, char *buf, size_t size)
{
	const struct pnode *n = pnode_of(v);

	return n->e->readlink ? n->e->readlink(n, buf, size) : -EINVAL;
}

static int pseudo_get_link(struct vnode *v, struct dentry **out)
{
	const struct pnode *n = pnode_of(v);

	return n->e->get_link(n, out);
}

static int pseudo_setattr(struct vnode *v, const struct vattr *a)
{
	const struct pattr_ops *attrs =
		container_of(v->sb, struct pseudo_sb, vsb)->attrs;
	const struct pnode *n = pnode_of(v);
	struct pattr attr;

	/* Programs open for writing with O_TRUNC; the rest is fixed. */
	if ((a->valid & ATTR_SIZE) && n->e->truncate)
		n->e->truncate(n);
	if (!(a->valid & (ATTR_MODE | ATTR_UID | ATTR_GID)))
		return 0;
	if (!attrs)
		return -EPERM;
	attrs->get(n, &attr);
	if (a->valid & ATTR_MODE)
		attr.mode = a->mode & 07777;
	if (a->valid & ATTR_UID)
		attr.uid = a->uid;
	if (a->valid & ATTR_GID)
		attr.gid = a->gid;
	return attrs->set(n, &attr);
}

static void pseudo_evict(struct vnode *v)
{
	iput(v->inode);
}

static void pseudo_free(struct inode *inode)
{
	kfree(container_of(inode, struct pnode, inode));
}

static void pseudo_getattr(struct vnode *v, struct kstat *st)
{
	const struct pnode *n = pnode_of(v);

	if (n->key.pid)
		proc_owner(&n->key, &st->uid, &st->gid);
	st->size = 0;
	st->blocks = 0;
	st->blksize = 1024;
}

/* Links that lead to places. */
static const struct vnode_ops pseudo_link_ops = {
	.readlink = pseudo_readlink,
	.get_link = pseudo_get_link,
	.setattr = pseudo_setattr,
	.getattr = pseudo_getattr,
	.evict = pseudo_evict,
};

static const struct vnode_ops pseudo_vnode_ops = {
	.lookup = pseudo_lookup,
	.create = pseudo_create,
	.rmdir = pseudo_rmdir,
	.revalidate = pseudo_revalidate,
	.readlink = pseudo_readlink,
	.readdir = pseudo_readdir,
	.setattr = pseudo_setattr,
	.getattr = pseudo_getattr,
	.open = pseudo_open,
	.evict = pseudo_evict,
};

static const struct inode_operations pseudo_iops = {.release = pseudo_free};
static const struct address_space_operations pseudo_aops = {0};

/* ---- mounts ----------------------------------------------------------------
 */

static void pseudo_unmount(struct vfs_sb *vsb)
{
	kfree(container_of(vsb, struct pseudo_sb, vsb));
}

static int pseudo_sync(struct vfs_sb *vsb)
{
	(void)vsb;
	return 0;
}

static void pseudo_statfs(struct vfs_sb *vsb, struct vfs_statfs *out)
{
	u64 magic = 0x62656572;

	if (vsb->type[0] == 'p')
		magic = 0x9fa0;
	else if (vsb->type[0] == 'c')
		magic = 0x63677270;
	*out = (struct vfs_statfs){
		.type = magic, .bsize = PAGE_SIZE, .namelen = NAME_MAX};
}

static const struct vfs_sb_ops pseudo_sb_ops = {
	.statfs = pseudo_statfs,
	.sync = pseudo_sync,
	.unmount = pseudo_unmount,
};

int pseudo_mount(const char *type, u32 dev, u32 flags,
		 const struct pentry *root, struct vfs_sb **out)
{
	struct pseudo_sb *psb = kzalloc(sizeof(*psb), GFP_KERNEL);
	struct pnode *n;

	if (!psb)
		return -ENOMEM;
	psb->sb = (struct super_block){
		.s_dev = dev, .s_id = type, .s_maxbytes = MAX_LFS_FILESIZE};
	psb->vsb.type = type;
	psb->vsb.sb = &psb->sb;
	psb->vsb.flags = flags;
	psb->vsb.ops = &pseudo_sb_ops;
	psb->attrs = root->dir->attrs;
	n = pnode_new(psb, root, NULL, 1);
	if (!n) {
		kfree(psb);
		return -ENOMEM;
	}
	psb->vsb.root = &n->vnode;
	*out = &psb->vsb;
	return 0;
}
