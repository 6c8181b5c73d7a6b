/* SPDX-License-Identifier: MIT */
/*
 * proc_task.h - what the files of /proc/PID share. Theory: proc_task.c.
 */
#ifndef KERNEL_PROCFS_PROC_TASK_H
#define KERNEL_PROCFS_PROC_TASK_H

#include "procfs/procfs.h"

/* pkey_task: the task that KEY means, with a reference (task_put()); NULL: it
 * has ended. pnode_mm: its address space (mm_put()), or NULL. */
struct task *pkey_task(const struct pkey *key);
struct mm_struct *pnode_mm(const struct pnode *n);
/* task_may_look: 0; -EACCES; -ESRCH. */
int task_may_look(const struct pnode *n);

/* proc_stat.c */
int show_task_stat(const struct pnode *n, struct seq_buf *out);
int show_task_status(const struct pnode *n, struct seq_buf *out);
int show_task_io(const struct pnode *n, struct seq_buf *out);

/* proc_fd.c: directories of descriptors, working directory and root. */
extern const struct pdir proc_fd_dir, proc_fdinfo_dir;
extern const struct pdir proc_ns_dir, proc_net_dir; /* proc_ns.c */
extern const struct pdir proc_map_dir;		    /* proc_maps.c: map_files */
s64 readlink_fs(const struct pnode *n, char *buf, size_t size);
int link_fs(const struct pnode *n, struct dentry **out);
u32 task_umask(struct task *t);
/* task_fd_slots: how many descriptors T's table has room for; 0: no table. */
u32 task_fd_slots(struct task *t);
/* FILE's name, cut to SIZE; its place. */
s64 file_readlink(struct file *file, char *buf, size_t size);
int file_link(struct file *file, struct dentry **out);

#endif
