/* SPDX-License-Identifier: MIT */
/*
 * sys.h - what the files of system calls on files share.
 */
#ifndef KERNEL_FS_SYS_H
#define KERNEL_FS_SYS_H

#include <mmkit/slab.h>

#include "fs.h"
#include "syscall.h"

/* path_get: the user's string at FROM: the caller's until path_put(), or
 * ERR_PTR: -EFAULT, -ENAMETOOLONG, -ENOMEM. */
char *path_get(uva_t from);
void path_put(char *path);
/* at_lookup: DFD and the user's path; FLAGS AT_*, of those in ALLOWED. */
int at_lookup(int dfd, uva_t upath, u32 flags, u32 allowed,
	      struct dentry **out);

/* file_seeks: has FILE a position that lseek(2) may move? */
bool file_seeks(const struct file *file);
/* file_rw: a read or write at *POS with what goes with it: marks, limits. */
s64 file_rw(struct file *file, struct iov_iter *iter, u64 *pos, bool write);
/* The lock of the position, of files that have one. */
void pos_lock(struct file *file);
void pos_unlock(struct file *file);

extern const struct syscall_def fs_rw_calls[], fs_open_calls[], fs_name_calls[],
	fs_stat_calls[], fs_fcntl_calls[], fs_notify_calls[], fs_log_calls[];
extern const u32 fs_rw_nr, fs_open_nr, fs_name_nr, fs_stat_nr, fs_fcntl_nr,
	fs_notify_nr, fs_log_nr;

#define SYS_I(n) ((int)s->a[n])
#define SYS_U(n) ((u32)s->a[n])

#endif
