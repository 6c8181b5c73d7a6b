/* SPDX-License-Identifier: MIT */
/*
 * proc_pid.c - the files of one task: which task, which file, its mappings.
 *
 * 1. Purpose. What ps(1), pmap(1), top(1) and people ask about a process's
 *    memory, in the layout of Linux 6.1.
 *
 * 2. Structure. A name is taken apart here and the task found in the
 *    registry. proc_maps.c writes a line per mapping, proc_smaps.c and
 *    proc_numa.c count the entries of each, proc_status.c gives the sums that
 * the address space keeps, proc_pages.c the arrays of words (pagemap,
 * kpageflags), clear_refs.c takes references back.
 *
 * 3. Invariants.
 *    PP-1  A task is read in one look under the registry's lock, and its
 *          address space kept by a user of ours: it may exit meanwhile.
 *    PP-2  Nothing is written out under the mmap lock: a mapping is copied,
 *          the lock dropped, the text made, and the next one looked for by
 *          address. So files of a space that changes are true by mapping,
 *          not as a whole; as Linux says of its own. Who reads only the
 *          first of many mappings pays for no more (proc_pid_show_next()).
 *
 * 4. Locking. Registry; mmap lock for reading; table locks inside.
 *
 * 5. Failure. A task without an address space (a kernel thread, one that
 *    ended) has empty files, as with Linux.
 *
 * References: proc(5); Linux documentation, filesystems/proc, admin-guide/mm/
 * pagemap, admin-guide/mm/soft-dirty.
 */
#include "report/proc_pid.h"

#include <mmkit/errno.h>

#include "base/string.h"
#include "space/huge.h"

static const struct pid_file {
	const char *name;
	void (*show)(const struct proc_task *t, struct seq_buf *out);
	/* Or mapping by mapping: see mm_show_next(). */
	bool (*next)(const struct proc_task *t, uva_t *at, struct seq_buf *out);
	s64 (*read)(const struct proc_task *t, u64 off, void *buf, size_t len);
	s64 (*write)(const struct proc_task *t, const char *text, size_t len);
} pid_files[] = {
	{"maps", NULL, show_pid_maps_next, NULL, NULL},
	{"smaps", NULL, show_pid_smaps_next, NULL, NULL},
	{"smaps_rollup", show_pid_smaps_rollup, NULL, NULL, NULL},
	{"statm", show_pid_statm, NULL, NULL, NULL},
	{"numa_maps", show_pid_numa_maps, NULL, NULL, NULL},
	{"status", show_pid_status, NULL, NULL, NULL},
	{"pagemap", NULL, NULL, read_pid_pagemap, NULL},
	{"clear_refs", NULL, NULL, NULL, write_pid_clear_refs},
};

/* ---- the task -------------------------------------------------------------
 */

static bool task_copy(struct mm_task *task, void *arg)
{
	struct proc_task *t = arg;

	if (task->pid != t->pid)
		return false;
	mm_memcpy(t->comm, task->comm, sizeof(t->comm));
	t->min_flt = READ_ONCE(task->min_flt);
	t->maj_flt = READ_ONCE(task->maj_flt);
	t->mm = task->mm && mm_get_not_zero(task->mm) ? task->mm : NULL;
	t->mempolicy = mpol_task_get(task);
	return true;
}

/* True if there is a task of that number; then the caller drops t->mm. */
static bool task_find(s32 pid, struct proc_task *t)
{
	*t = (struct proc_task){.pid = pid};
	if (pid <= 0 || !space_sys.mms.next)
		return false;
	task_for_each(task_copy, t);
	if (t->comm[0] || t->mm)
		return true;
	mpol_put(t->mempolicy);
	return false;
}

/* The number that NAME begins with, up to a slash; 0: none. */
static s32 parse_pid(const char *name, const char **rest)
{
	s64 pid = 0;

	if (mm_strncmp(name, "self/", 5) == 0) {
		*rest = name + 5;
		return port_current()->pid;
	}
	while (*name >= '0' && *name <= '9' && pid < INT32_MAX / 16)
		pid = pid * 10 + (*name++ - '0');
	*rest = name + 1;
	return *name == '/' ? (s32)pid : 0;
}

static const struct pid_file *pid_file_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(pid_files); i++)
		if (mm_strcmp(pid_files[i].name, name) == 0)
			return &pid_files[i];
	return NULL;
}

/* NAME's file and task. -ENOENT, -ESRCH. On 0 the caller drops t->mm. */
static int pid_open(const char *name, const struct pid_file **file,
		    struct proc_task *t)
{
	const char *rest;
	s32 pid = parse_pid(name, &rest);

	if (pid == 0 || !(*file = pid_file_find(rest)))
		return -ENOENT;
	return task_find(pid, t) ? 0 : -ESRCH;
}

static void pid_close(const struct proc_task *t)
{
	mpol_put(t->mempolicy);
	if (t->mm)
		mm_put(t->mm);
}

int proc_pid_show(const char *name, struct seq_buf *out)
{
	const struct pid_file *file;
	struct proc_task t;
	int err = pid_open(name, &file, &t);
	uva_t at = 0;

	if (err)
		return err;
	if (file->show)
		file->show(&t, out);
	else if (!file->next)
		err = -EINVAL;
	else
		while (t.mm && file->next(&t, &at, out))
			continue;
	pid_close(&t);
	return err;
}

int proc_pid_show_next(const char *name, u64 *at, struct seq_buf *out)
{
	const struct pid_file *file;
	struct proc_task t;
	int ret = pid_open(name, &file, &t);

	if (ret)
		return ret;
	ret = file->next ? t.mm && file->next(&t, at, out) : -EINVAL;
	pid_close(&t);
	return ret;
}

s64 proc_pid_read(const char *name, u64 off, void *buf, size_t len)
{
	const struct pid_file *file;
	struct proc_task t;
	s64 n = pid_open(name, &file, &t);

	if (n)
		return n;
	n = file->read ? file->read(&t, off, buf, len) : -EINVAL;
	pid_close(&t);
	return n;
}

s64 proc_pid_write(const char *name, const char *text, size_t len)
{
	const struct pid_file *file;
	struct proc_task t;
	s64 n = pid_open(name, &file, &t);

	if (n)
		return n;
	n = file->write ? file->write(&t, text, len) : -EINVAL;
	pid_close(&t);
	return n;
}

/* ---- mappings and their entries -------------------------------------------
 */

static const char *vma_name(const struct mm_struct *mm,
			    const struct vm_area_struct *v)
{
	uva_t top = mm->layout.stack_top;

	if (v->vm_start < mm->brk && v->vm_end > mm->start_brk)
		return "[heap]";
	return v->vm_start < top && v->vm_end >= top ? "[stack]" : NULL;
}

/* The path is the opener's: the file is held until it was printed. */
static void proc_vma_file(const struct vm_area_struct *v, struct proc_vma *out)
{
	const struct inode *inode = v->vm_file->f_inode;
	u32 dev = inode->i_sb->s_dev;

	out->file = get_file(v->vm_file);
	out->pgoff = v->vm_pgoff;
	out->major = dev >> 8 & 0xfff;
	out->minor = (dev & 0xff) | (dev >> 12 & 0xfff00);
	out->ino = inode->i_ino;
	out->name = v->vm_file->f_path;
}

void proc_vma_put(struct proc_vma *v)
{
	if (v->file)
		fput(v->file);
	v->file = NULL;
}

bool proc_vma_next(struct mm_struct *mm, uva_t addr, struct proc_vma *out,
		   struct vm_area_struct **vma)
{
	struct vm_area_struct *v = find_vma(mm, addr);

	rwsem_assert_held(&mm->mmap_lock);
	*vma = v;
	if (!v)
		return false;
	*out = (struct proc_vma){.start = v->vm_start,
				 .end = v->vm_end,
				 .flags = v->vm_flags,
				 .thp_eligible = thp_vma_eligible(v)};
	if (v->vm_file)
		proc_vma_file(v, out);
	if (!out->name && v->vm_ops && v->vm_ops->name)
		out->name = v->vm_ops->name(v);
	if (!out->name)
		out->name = vma_name(mm, v);
	return true;
}

/* LOCK: pt_lock() or one of its kin. */
static void walk_entries(struct vm_area_struct *vma, uva_t start, uva_t end,
			 proc_entry_fn fn, void *arg,
			 void (*lock)(const struct pt_slot *))
{
	struct pgtable *pt = &vma->vm_mm->pt;
	uva_t va = start;

	mm_assert(start >= vma->vm_start && end <= vma->vm_end);
	while (va < end) {
		uva_t stop = pt_table_end(pt, va, end);
		struct pt_slot slot;

		if (!pt_lookup(pt, va, &slot)) {
			va = pt_skip(pt, va, end);
			continue;
		}
		lock(&slot);
		for (; va < stop; va += PAGE_SIZE, pt_next(&slot))
			if (!pte_none(pt_get(&slot)))
				fn(vma, &slot, va, arg);
		pt_unlock(&slot);
	}
}

void proc_walk(struct vm_area_struct *vma, uva_t start, uva_t end,
	       proc_entry_fn fn, void *arg)
{
	walk_entries(vma, start, end, fn, arg, pt_lock_aged);
}

void proc_walk_change(struct vm_area_struct *vma, uva_t start, uva_t end,
		      proc_entry_fn fn, void *arg)
{
	walk_entries(vma, start, end, fn, arg, pt_lock);
}
