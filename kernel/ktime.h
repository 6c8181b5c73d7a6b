/* SPDX-License-Identifier: MIT */
/*
 * ktime.h - clocks, timers and futexes, as other parts of the kernel see them.
 * The system calls are entered by time_sys_init().
 */
#ifndef KERNEL_KTIME_H
#define KERNEL_KTIME_H

#include <mmkit/errno.h>
#include <mmkit/types.h>

struct process;
struct task;

#define NSEC_PER_SEC  1000000000UL
#define NSEC_PER_USEC 1000UL

/* As user space has them. */
struct ktimespec {
	s64 sec, nsec;
};
struct ktimeval {
	s64 sec, usec;
};

/* time_init: at boot, before the first system call: futex table, the thread
 * that looks after CPU clocks. 0 or -ENOMEM. */
int time_init(void) MM_MUST_CHECK;
/* time_exit: the machine's end, for tests: nobody uses any of it. */
void time_exit(void);

/* A new process (fork): no timers, whatever memory held. Any context. */
void time_process_init(struct process *p);
/* execve: timer_create(2)'s timers go, alarm(2)'s stay. May sleep. */
void time_process_exec(struct process *p);
/* The last thread has gone: no timer of P's fires any more. May sleep. */
void time_process_exit(struct process *p);

/*
 * futex_exit: T, the running task, exits: robust
 * futexes (set_robust_list(2)) that it holds are marked and waiters woken; with
 * clear_child_tid set, that word becomes 0 and a waiter is woken, if others
 * share the memory. Call while T still has its address space. May sleep.
 */
void futex_exit(struct task *t);
/* futex_exec: the same for a thread that goes on in another program. */
void futex_exec(struct task *t);
/* futex_wake_user: FUTEX_WAKE of NR waiters at ADDR of the current task's
 * memory, shared or private; how many, or -errno. May sleep. */
s64 futex_wake_user(u64 addr, u32 nr, bool shared);

/* CPU time of all threads of P, those gone included. May sleep. */
void process_cpu_times(struct process *p, u64 *user, u64 *sys);

/* Timespec in user memory: 0, -EFAULT, -EINVAL (not a time). */
int user_read_timespec(struct ktimespec *out, u64 from);
/* Nanoseconds of T, which is one; saturating. */
u64 timespec_ns(const struct ktimespec *t);

#endif
