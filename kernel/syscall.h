/* SPDX-License-Identifier: MIT */
/*
 * syscall.h - the table of system calls: numbers and names of x86-64 Linux,
 * and far behind them a few of our own (uapi.h).
 *
 * A call's handler takes the six argument registers and returns a value or a
 * negative errno. Handlers stand beside what they do (fs_sys.c, mm_sys.c,
 * proc_sys.c ...); each file exports one table of its calls, and
 * syscall_init() enters the tables. A number without a handler gives -ENOSYS
 * and is counted by name (/proc/mmkit/syscalls).
 */
#ifndef KERNEL_SYSCALL_H
#define KERNEL_SYSCALL_H

#include <mmkit/errno.h>
#include <mmkit/mm.h>
#include <mmkit/types.h>
#include <mmkit/uaccess.h>

#include "task.h"

#define NR_SYSCALLS	  470u
#define FIRST_OWN_SYSCALL 1000u
#define NR_OWN_SYSCALLS	  8u

struct sys_args {
	u64 a[6];
};
typedef s64 (*syscall_fn)(const struct sys_args *s);

struct syscall_def {
	u16 nr;
	const char *name;
	syscall_fn fn;
};

/* syscall_register: enter N calls; a number taken twice panics. At boot. */
void syscall_register(const struct syscall_def *defs, u32 n);
/* One per group; called by syscall_init(). */
void fs_sys_init(void);	   /* files, names, mounts */
void event_sys_init(void); /* poll, epoll, eventfd, timerfd, sockets */
void mm_sys_init(void);	   /* memory, System V shared memory, NUMA */
void proc_sys_init(void);  /* tasks, signals, identity, limits */
void time_sys_init(void);  /* clocks, sleeping, timers, futex */
void syscall_init(void);
/* syscall_dispatch: call number NR; counts. */
s64 syscall_dispatch(u64 nr, const struct sys_args *s);
/* syscall_trace: a line in the log for each call, as it ends (the command
 * line's word syscall_trace). */
void syscall_trace(bool on);
/* syscall_show: /proc/mmkit/syscalls: name, calls, and which are unknown. */
struct seq_buf;
void syscall_show(struct seq_buf *out);

/* User memory of the current task: 0 or -EFAULT. */
static inline int user_read(void *to, uva_t from, u64 n)
{
	return copy_from_user(current->mt->mm, to, from, n) ? -EFAULT : 0;
}
static inline int user_write(uva_t to, const void *from, u64 n)
{
	return copy_to_user(current->mt->mm, to, from, n) ? -EFAULT : 0;
}
/* user_path: a path into BUF[PATH_MAX]: 0, -EFAULT, -ENAMETOOLONG. */
int user_path(char *buf, uva_t from);

#endif
