/* SPDX-License-Identifier: MIT */
/*
 * proc_fd.c - /proc/PID/fd, fdinfo, cwd and root: what a task has open and
 * where it stands.
 *
 * A link here leads to the place itself, not along its text: also to what has
 * no name any more. Tables and places are held while they are looked at; what
 * a link led to is the reader's by a reference of its own.
 *
 * References: proc(5).
 */
#include <mmkit/errno.h>

#include "base/string.h"
#include "fs/fs.h"
#include "procfs/proc_task.h"

/* A name that is too long is cut, as readlink(2) has it. */
s64 file_readlink(struct file *file, char *buf, size_t size)
{
	return file_path(file, buf, size);
}

int file_link(struct file *file, struct dentry **out)
{
	/* Pipes, sockets and their like: a place is made. */
	if (!file->f_dentry)
		return anon_link(file, out);
	*out = dget(file->f_dentry);
	return 0;
}

/* ---- working directory and root --------------------------------------------
 */

static int fs_place(const struct pnode *n, struct dentry **out)
{
	struct task *t = pkey_task(&n->key);
	int err = task_may_look(n);
	struct fs_struct *fs;

	if (!t)
		return -ESRCH;
	fs = err ? NULL : task_fs(t);
	task_put(t);
	if (err)
		return err;
	if (!fs)
		return -ENOENT;
	spin_lock(&fs->lock);
	*out = dget(n->e->arg ? fs->root : fs->pwd);
	spin_unlock(&fs->lock);
	fs_put(fs);
	return 0;
}

s64 readlink_fs(const struct pnode *n, char *buf, size_t size)
{
	struct dentry *d;
	s64 len = fs_place(n, &d);

	if (len)
		return len;
	len = dentry_path(d, buf, size);
	dput(d);
	return len;
}

int link_fs(const struct pnode *n, struct dentry **out)
{
	return fs_place(n, out);
}

u32 task_umask(struct task *t)
{
	struct fs_struct *fs = task_fs(t);
	u32 umask = fs ? READ_ONCE(fs->umask) : 0;

	if (fs)
		fs_put(fs);
	return umask;
}

/* ---- descriptors -----------------------------------------------------------
 */

u32 task_fd_slots(struct task *t)
{
	struct files_struct *files = task_files(t);
	u32 slots = files ? READ_ONCE(files->size) : 0;

	if (files)
		files_put(files);
	return slots;
}

/* The file that N's number means, with a reference; NULL: none. */
static struct file *fd_file(const struct pkey *key)
{
	struct task *t = pkey_task(key);
	struct files_struct *files = t ? task_files(t) : NULL;
	struct file *file = NULL;

	if (files) {
		file = files_file(files, (int)key->num);
		files_put(files);
	}
	if (t)
		task_put(t);
	return file;
}

static s64 readlink_fd(const struct pnode *n, char *buf, size_t size)
{
	struct file *file;
	s64 len = task_may_look(n);

	if (len)
		return len;
	file = fd_file(&n->key);
	if (!file)
		return -ENOENT;
	len = file_readlink(file, buf, size);
	fput(file);
	return len;
}

static int link_fd(const struct pnode *n, struct dentry **out)
{
	struct file *file;
	int err = task_may_look(n);

	if (err)
		return err;
	file = fd_file(&n->key);
	if (!file)
		return -ENOENT;
	err = file_link(file, out);
	fput(file);
	return err;
}

static int show_fdinfo(const struct pnode *n, struct seq_buf *out)
{
	struct file *file = fd_file(&n->key);
	u32 flags;

	if (!file)
		return -ENOENT;
	flags = file->f_flags;
	seq_printf(out, "pos:\t%llu\nflags:\t0%o\nino:\t%llu\n",
		   LLU(READ_ONCE(file->f_pos)), flags,
		   LLU(file->f_inode->i_ino));
	fput(file);
	return 0;
}

static const struct pentry fd_entry = {
	.mode = S_IFLNK | 0700, .readlink = readlink_fd, .get_link = link_fd};
static const struct pentry fdinfo_entry = {
	.mode = S_IFREG | 0400, .show = show_fdinfo, .may_open = task_may_look};

static const struct pentry *find_fd(const char *name, struct pkey *child,
				    const struct pentry *e)
{
	s64 fd = pseudo_number(name, INT32_MAX);
	struct file *file;

	if (fd < 0)
		return NULL;
	child->num = fd;
	file = fd_file(child);
	if (!file)
		return NULL;
	fput(file);
	return e;
}

/* The first descriptor >= FROM. */
struct fd_search {
	int from, found;
};

static bool fd_take(int fd, struct file *file, void *arg)
{
	struct fd_search *s = arg;

	(void)file;
	if (fd < s->from || (s->found >= 0 && fd > s->found))
		return true;
	s->found = fd;
	return true;
}

static const struct pentry *next_fd(const struct pkey *key, u64 *cursor,
				    char *name, const struct pentry *e)
{
	struct fd_search s = {.from = (int)*cursor, .found = -1};
	struct task *t = pkey_task(key);
	struct files_struct *files = t ? task_files(t) : NULL;

	if (files) {
		files_for_each(files, fd_take, &s);
		files_put(files);
	}
	if (t)
		task_put(t);
	if (s.found < 0)
		return NULL;
	*cursor = (u64)s.found + 1;
	(void)mm_scnprintf(name, PNAME_MAX, "%d", s.found);
	return e;
}

static const struct pentry *fd_find(const struct pkey *key, const char *name,
				    struct pkey *child)
{
	(void)key;
	return find_fd(name, child, &fd_entry);
}

static const struct pentry *fd_next(const struct pkey *key, u64 *cursor,
				    char *name)
{
	return next_fd(key, cursor, name, &fd_entry);
}

static const struct pentry *fdinfo_find(const struct pkey *key,
					const char *name, struct pkey *child)
{
	(void)key;
	return find_fd(name, child, &fdinfo_entry);
}

static const struct pentry *fdinfo_next(const struct pkey *key, u64 *cursor,
					char *name)
{
	return next_fd(key, cursor, name, &fdinfo_entry);
}

const struct pdir proc_fd_dir = {.find = fd_find, .next = fd_next};
const struct pdir proc_fdinfo_dir = {.find = fdinfo_find, .next = fdinfo_next};

/* ---- lists of the file layer ----------------------------------------------
 */

int show_filesystems(const struct pnode *n, struct seq_buf *out)
{
	const struct vfs_fstype *t;

	(void)n;
	for (t = fs_sys.fstypes; t; t = t->next)
		seq_printf(out, "%s\t%s\n", t->needs_dev ? "" : "nodev",
			   t->name);
	return 0;
}
