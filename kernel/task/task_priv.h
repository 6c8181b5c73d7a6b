/* SPDX-License-Identifier: MIT */
/*
 * task_priv.h - what the files of kernel/task share.
 *
 * One lock, task_sys.lock, guards who exists, who is whose child, groups and
 * sessions, and all of signals: it is taken with interrupts off, held for a
 * few lines, and nothing sleeps or allocates under it. Sending a signal from
 * an interrupt and walking up to a parent then need no second order of locks.
 *
 * References. A task is referenced by the table of pids, from its birth until
 * it is released, by its own thread until that has ended, and by who found it.
 * Whoever gives the last reference back only hands it to the reaper, a kernel
 * thread, which waits until the thread is off its CPU and frees both. A
 * process is referenced by each of its tasks and by who found it.
 */
#ifndef KERNEL_TASK_PRIV_H
#define KERNEL_TASK_PRIV_H

#include <mmkit/errno.h>
#include <mmkit/mm.h>

#include "base/list.h"
#include "base/spinlock.h"
#include "base/wait.h"
#include "task.h"

struct sys_args;

/* signal(7) */
#define SIGHUP	  1
#define SIGINT	  2
#define SIGQUIT	  3
#define SIGILL	  4
#define SIGTRAP	  5
#define SIGABRT	  6
#define SIGBUS	  7
#define SIGFPE	  8
#define SIGKILL	  9
#define SIGUSR1	  10
#define SIGSEGV	  11
#define SIGUSR2	  12
#define SIGPIPE	  13
#define SIGALRM	  14
#define SIGTERM	  15
#define SIGSTKFLT 16
#define SIGCHLD	  17
#define SIGCONT	  18
#define SIGSTOP	  19
#define SIGTSTP	  20
#define SIGTTIN	  21
#define SIGTTOU	  22
#define SIGURG	  23
#define SIGXCPU	  24
#define SIGXFSZ	  25
#define SIGVTALRM 26
#define SIGPROF	  27
#define SIGWINCH  28
#define SIGIO	  29
#define SIGPWR	  30
#define SIGSYS	  31
#define SIGRTMIN  32

/* What a program may set in its flags: CF PF AF ZF SF TF DF OF RF AC. */
#define EFLAGS_USER 0x50dd5UL
#define EFLAGS_TF   0x100UL
#define EFLAGS_DF   0x400UL
#define EFLAGS_RF   0x10000UL

#define SIG_DFL 0UL
#define SIG_IGN 1UL

#define SA_NOCLDSTOP 0x00000001u
#define SA_NOCLDWAIT 0x00000002u
#define SA_SIGINFO   0x00000004u
#define SA_ONSTACK   0x08000000u
#define SA_RESTART   0x10000000u
#define SA_NODEFER   0x40000000u
#define SA_RESETHAND 0x80000000u
#define SA_RESTORER  0x04000000u

#define SIG_UNBLOCKABLE (SIGSET(SIGKILL) | SIGSET(SIGSTOP))
#define SIG_STOPS \
	(SIGSET(SIGSTOP) | SIGSET(SIGTSTP) | SIGSET(SIGTTIN) | SIGSET(SIGTTOU))
#define SIG_FAULTS                                                             \
	(SIGSET(SIGSEGV) | SIGSET(SIGBUS) | SIGSET(SIGILL) | SIGSET(SIGTRAP) | \
	 SIGSET(SIGFPE) | SIGSET(SIGSYS))
#define SIG_DFL_IGNORED \
	(SIGSET(SIGCONT) | SIGSET(SIGCHLD) | SIGSET(SIGWINCH) | SIGSET(SIGURG))

/* siginfo_t.si_code */
#define SI_USER	      0
#define SI_KERNEL     0x80
#define SI_QUEUE      (-1)
#define SI_TIMER      (-2)
#define SI_TKILL      (-6)
#define CLD_EXITED    1
#define CLD_KILLED    2
#define CLD_DUMPED    3
#define CLD_STOPPED   5
#define CLD_CONTINUED 6

/* struct kernel_sigaction, as rt_sigaction(2) passes it. */
struct ksigaction {
	u64 handler, flags, restorer, mask;
};

/* What signals do, shared by CLONE_SIGHAND. (S) */
struct sighand {
	u32 count; /* (A) */
	struct ksigaction action[NSIG];
};

struct sigqueue {
	struct list_head list;
	struct ksiginfo info;
	struct user *user; /* whose RLIMIT_SIGPENDING it counts against */
};

/* What a user has, over all processes. */
struct user {
	struct hlist_node node; /* task_sys.lock */
	u32 uid;
	u32 count;	/* (T) references */
	u32 threads;	/* (A) RLIMIT_NPROC */
	u32 sigpending; /* (A) RLIMIT_SIGPENDING */
	u32 flights;	/* (A) files in messages of sockets */
};

/* A number in use: as somebody's tid, as a group, as a session. (T) */
struct pid_entry {
	struct hlist_node node;
	s32 nr;
	u32 count;
	struct task *task; /* NULL: only a group or session is left */
};

/* The parent of a vfork(2) and its child: whoever is last frees it. */
struct vfork_wait {
	struct completion done;
	u32 count; /* (A) */
};

#define PID_HASH_BITS 10
#define PID_HASH      (1u << PID_HASH_BITS)
#define USER_HASH     64u
#define PID_MAX_LIMIT 4194304

struct task_state {
	spinlock_t lock;
	struct hlist_head pids[PID_HASH];
	struct hlist_head users[USER_HASH];
	struct list_head processes; /* process.all */
	struct process *init;	    /* pid 1 */
	s32 last_pid, pid_max;
	u32 nr_threads, threads_max, nr_processes;
	u64 forks;
	struct kmem_cache *task_cache, *process_cache, *sighand_cache;
	struct kmem_cache *sigqueue_cache;
	spinlock_t dead_lock;
	struct list_head dead; /* tasks without a reference */
	wait_queue_head_t dead_wait;
	struct port_thread *reaper;
	bool reaper_stop;
	void (*on_rest)(struct task *t);	/* freeze.c */
	void (*on_life)(s32 parent, s32 child); /* fork.c */
};
extern struct task_state task_sys;

#define task_lock(flags)   spin_lock_irqsave(&task_sys.lock, flags)
#define task_unlock(flags) spin_unlock_irqrestore(&task_sys.lock, flags)

/* ---- freeze.c --------------------------------------------------------------
 */

/* task_must_freeze: T is to rest, and nothing ends it. Locked. do_freeze: the
 * running task does, until it is to go on. task_rested: T came to rest. */
bool task_must_freeze(const struct task *t);
void do_freeze(struct task *t);
void task_rested(struct task *t);

/* ---- pid.c: numbers, references. "Locked": task_sys.lock is held. ---------
 */

/* pid_alloc: a free number for T: 0, -EAGAIN, -ENOMEM. Takes the lock. */
int pid_alloc(struct task *t, s32 want) MM_MUST_CHECK;
/* Locked. */
struct pid_entry *pid_lookup(s32 nr);
void pid_hold(s32 nr);
void pid_drop(s32 nr);
/* pid_detach: T has no number any more. Locked. */
void pid_detach(struct task *t);
struct task *task_lookup(s32 tid); /* locked, no reference */
struct process *process_lookup(s32 tgid);
struct task *task_get(struct task *t);
struct process *process_get(struct process *p);
int reaper_start(void) MM_MUST_CHECK;
/* task_free: by the reaper, or of a task that was never started. */
void task_free(struct task *t);
void process_free(struct process *p);

/* ---- cred.c ----------------------------------------------------------------
 */

struct user *user_get(u32 uid); /* made if need be; NULL: no memory */
struct user *user_hold(struct user *u);
void user_put(struct user *u);
void user_put_locked(struct user *u);
void cred_init_root(struct cred *c);
/* caps_to_mm: mm_task.caps from T's effective set. */
void caps_to_mm(struct task *t);
s64 cred_capbset(u64 cap, bool drop); /* prctl(PR_CAPBSET_*) */
bool cred_may_signal(const struct cred *from, const struct cred *to);
/* What execve(2) makes of C for a file of MODE, UID, GID. True: the program
 * has more rights than its caller (AT_SECURE). */
bool cred_exec(struct cred *c, u32 mode, u32 uid, u32 gid, bool no_new);
/* cred_commit: C becomes the current task's. 0, -ENOMEM, -EAGAIN. */
int cred_commit(const struct cred *c) MM_MUST_CHECK;

/* ---- signal.c --------------------------------------------------------------
 */

struct sighand *sighand_new(const struct sighand *from);
void sighand_put(struct sighand *s);
void sigpending_init(struct sigpending *p);
/* signal_set_default: SIG's action in the current process. */
void signal_set_default(int sig);
/* Locked. sigpending_drop: signals of SET are pending in P no more. */
void sigpending_drop(struct sigpending *p, u64 set);
void recalc_sigpending(struct task *t);
void signal_wake(struct task *t);
int send_locked(struct task *t, struct process *p, int sig,
		const struct ksiginfo *info);
void signal_thread_gone(struct process *p);
void notify_parent(struct process *p, int code, int status);
void zap_other_threads(struct process *p, const struct task *but);
void signal_exec(struct task *t, struct sighand *fresh);
bool sig_default_fatal(const struct process *p, int sig);
bool pgrp_orphaned_locked(s32 pgid, const struct process *ignored);
void pgrp_orphan_hangup(struct process *p, const struct process *leaving);
u64 rlimit_of(const struct process *p, u32 resource);
s64 signal_by_pidfd(struct process *p, int sig, uva_t addr,
		    struct ksiginfo *info);
/* get_signal: the next one with a handler, *ACT and *INFO; 0: none. Ends the
 * process where the signal says so. */
int get_signal(struct ksigaction *act, struct ksiginfo *info);
void do_signal_stop(struct task *t);

/* ---- sigframe.c ------------------------------------------------------------
 */

/* sigframe_push: the handler ACT of SIG runs when REGS go to user mode. 0, or
 * -EFAULT: no room on its stack; then nothing has changed. */
int sigframe_push(struct pt_regs *regs, int sig, const struct ksigaction *act,
		  const struct ksiginfo *info, u64 saved_mask) MM_MUST_CHECK;
s64 sys_rt_sigreturn(const struct sys_args *s);
s64 sys_sigaltstack(const struct sys_args *s);
u32 sigframe_min_stack(void); /* AT_MINSIGSTKSZ */
/* exit_work: signals are taken before REGS go to user mode; CALL: out of a
 * system call, which may be made again. */
void exit_work(struct pt_regs *regs, bool call);

/* ---- fork.c -----------------------------------------------------------------
 */

struct clone_args { /* clone3(2), 88 bytes */
	u64 flags, pidfd, child_tid, parent_tid, exit_signal;
	u64 stack, stack_size, tls, set_tid, set_tid_size, cgroup;
};
s64 do_clone(struct clone_args *a);
struct task *task_alloc(void);
struct process *process_alloc(void);
void vfork_wait_put(struct vfork_wait *v);
/* link_thread: T is one of P's. Locked. */
void link_thread(struct task *t, struct process *p);

/* task_io_sum: what FROM counts, to TO. */
void task_io_sum(struct mm_task_io *to, const struct mm_task_io *from);

/* What getrusage(2) tells: nanoseconds, KiB. */
struct rusage_words {
	u64 utime, stime, maxrss, min_flt, maj_flt, nvcsw, nivcsw;
};

/* ---- exit.c -----------------------------------------------------------------
 */

_Noreturn void do_exit(int code);
_Noreturn void do_group_exit(int code);
/* note_maxrss: the largest resident set that T's memory had counts. */
void note_maxrss(struct task *t);
/* kernel_init_ended: process 1 is at its end, as wait4 would tell: stops the
 * machine. (main.c) */
void kernel_init_ended(int code);
/* process_shutdown: all tasks are gone: the reaper and the caches go. For
 * tests. */
void process_shutdown(void);
int rusage_write(uva_t to, const struct rusage_words *r) MM_MUST_CHECK;
/* zombie_notify: P is a zombie: who traces it or else its parent hears of it;
 * perhaps it goes at once. release_process: it is forgotten. Locked. */
void zombie_notify(struct process *p);
void release_process(struct process *p);

/* ---- exec.c, elf.c ----------------------------------------------------------
 */

/* process_set_exe: P runs FILE (NULL: nothing any more), whose reference and
 * denial of writing it takes over. process_inherit_exe: P, new, runs what FROM
 * does. user_space_end: of the current task. */
void process_set_exe(struct process *p, struct file *file);
void process_inherit_exe(struct process *p, struct process *from);
uva_t user_space_end(void);
/* Where the words of an argument list stand. */
struct exec_list {
	const char *const *kernel; /* in our memory, or NULL: */
	uva_t user;
};
int do_execve(int dfd, const char *path, const struct exec_list *argv,
	      const struct exec_list *envp, u32 flags) MM_MUST_CHECK;

/* pidfd.c: a descriptor of P for the current task; or -errno. pidfd_wake: what
 * polls for P's end is woken; locked. */
int pidfd_install(struct process *p, u32 flags);
struct process *pidfd_process(int fd); /* with a reference, or NULL */

/* ---- tables of calls --------------------------------------------------------
 */

void fork_sys_init(void);
void exit_sys_init(void);
void exec_sys_init(void);
void signal_sys_init(void);
void cred_sys_init(void);
void limit_sys_init(void);
void sched_sys_init(void);
void info_sys_init(void);
void pidfd_sys_init(void);
void ptrace_sys_init(void);

/* task_life: who asked (task_on_life()) hears of it. */
void task_life(s32 parent, s32 child);

#endif
