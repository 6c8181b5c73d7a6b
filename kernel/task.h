/* SPDX-License-Identifier: MIT */
/*
 * task.h - threads and processes as programs know them.
 *
 * A task is one thread: its memory side is the port's struct mm_task, its
 * registers the machine's (machine.h). What the threads of a process share
 * stands in struct process (the thread group), what CLONE_FILES, CLONE_FS and
 * CLONE_SIGHAND share in structures with counts.
 */
#ifndef KERNEL_TASK_H
#define KERNEL_TASK_H

#include <mmkit/errno.h>
#include <mmkit/task.h>
#include <mmkit/types.h>

#include "base/list.h"
#include "base/mutex.h"
#include "base/spinlock.h"
#include "base/wait.h"
#include "ktimer.h"
#include "machine.h"

struct file;
struct files_struct;
struct fs_struct;
struct mm_struct;
struct pid_entry;
struct sighand;
struct tty;
struct user;
struct vfork_wait;

#define NSIG	      64
#define SIGSET(sig)   (1UL << ((sig)-1))
#define NGROUPS_KEPT  32u
#define RLIM_NLIMITS  16u
#define RLIM_INFINITY (~0UL)

/* siginfo_t as user space has it: 128 bytes. */
struct ksiginfo {
	s32 signo, err, code;
	s32 pad;
	union {
		struct {
			s32 pid;
			u32 uid;
			s32 status;
			s32 pad2;
			s64 utime, stime;
		} chld;
		struct {
			s32 pid;
			u32 uid;
			u64 value;
		} rt;
		struct {
			s32 tid, overrun;
			u64 value;
		} timer;
		struct {
			u64 addr;
			u16 addr_lsb;
			u16 pad3[3];
			u64 lower, upper;
		} fault;
		struct {
			s64 band;
			s32 fd;
		} poll;
		u64 words[14];
	} u;
};

struct sigqueue; /* signal.c */
struct sigpending {
	u64 set;
	struct list_head queue;
};

struct cred {
	u32 uid, euid, suid, fsuid, gid, egid, sgid, fsgid;
	u32 groups[NGROUPS_KEPT];
	u32 nr_groups;
	u64 cap_effective, cap_permitted, cap_inheritable, cap_bset;
};

struct krlimit {
	u64 cur, max;
};

/*
 * A thread group. (T) and (S): task_sys.lock, one lock for the relations of
 * tasks and for signals (task/task_priv.h); (C) constant; (A) atomic.
 */
struct process {
	u32 count;			    /* (A) tasks, and who looks at it */
	s32 tgid;			    /* (C) */
	s32 pgid, sid;			    /* (T) */
	struct tty *tty;		    /* controlling terminal: event.h */
	struct process *parent;		    /* (T) NULL: init's */
	struct list_head children, sibling; /* (T) processes */
	struct list_head threads;	    /* (T) task.group_entry */
	struct list_head all;		    /* (T) every process */
	u32 nr_threads;			    /* (T) alive */
	u32 nr_live;			    /* (T) that do not end yet */
	struct sigpending shared;	    /* (S) sent to the process */
	struct sighand *sighand;	    /* (S) changes at exec */
	wait_queue_head_t child_wait;	    /* wait4 of its threads */
	wait_queue_head_t signal_wait;	    /* see signal_take() */
	int exit_code;			    /* (T) as wait4 reports it */
	bool group_exit, zombie, stopped, continued, told_stop; /* (T)(S) */
	bool stopping;	 /* (S) its threads are to stop, or have */
	u32 nr_stopped;	 /* (S) threads that have */
	bool subreaper;	 /* (T) PR_SET_CHILD_SUBREAPER */
	bool membarrier; /* registered for it */
	bool dumpable, did_exec;
	int stop_code;
	int exit_signal;
	u32 personality;
	/* (T) who writes the core, and how many wait for that: coredump.c */
	struct task *core_dumper;
	u32 nr_core_wait;
	u32 core_filter;	     /* /proc/PID/coredump_filter */
	s32 parent_tid;		     /* (C) the thread that made it */
	struct task *exec_task;	     /* (T) the one that ends all others */
	wait_queue_head_t exec_wait; /* for them to end */
	struct krlimit rlim[RLIM_NLIMITS]; /* (S) */
	u64 utime, stime, cutime, cstime;  /* (T) of threads gone; children */
	u64 min_flt, maj_flt, cmin_flt, cmaj_flt; /* (T) the same */
	struct mm_task_io io; /* (T) of threads gone, and children waited for */
	u64 nvcsw, nivcsw, cnvcsw, cnivcsw; /* (T) the same */
	u64 maxrss, cmaxrss;
	u64 start_ns; /* (C) */
	/* setitimer(2): ITIMER_REAL (alarm(2)), _VIRTUAL, _PROF: ktime.h. */
	struct ktimer itimer[3];
	void *timers;	  /* timer_create(2): time/posix_timer.c */
	struct file *exe; /* (S) /proc/self/exe */
	int oom_score_adj;
};

/* What ptrace(2) keeps of a thread, all (S) but what the thread itself reads of
 * its own: theory in task/ptrace.c. */
struct task_trace {
	struct task *tracer;	  /* NULL: nobody */
	struct list_head entry;	  /* tracer->trace.tracees */
	struct list_head tracees; /* whom this thread traces */
	u32 options;		  /* PTRACE_O_* */
	u32 work;		  /* TRACE_CALLS, _EMU, _STEP: until it stops */
	bool seized;
	bool stopped;	/* in a ptrace-stop: it waits to be let go */
	bool listening; /* but nobody is to hear of it, nor may touch it */
	bool group;	/* the stop is its part in its process's */
	bool interrupt; /* it is to stop: PTRACE_INTERRUPT */
	bool notify;	/* and to tell of a stop's beginning, or end */
	bool has_info;	/* info says why it stopped */
	bool ended;	/* a thread that is gone, but not waited for */
	bool forced_tf; /* its trap flag is the tracer's, not its own */
	int code;	/* for wait(2), once; 0: it was told */
	int resume_sig; /* what it goes on with */
	u64 message;	/* PTRACE_GETEVENTMSG */
	u64 debug[8];	/* DR0-3, -, -, DR6, DR7 as the tracer set them */
	struct ksiginfo info;
};
#define TRACE_CALLS 1u
#define TRACE_EMU   2u
#define TRACE_STEP  4u

struct task {
	u32 count;		      /* (A) see task_put() */
	struct port_thread *thread;   /* (C) */
	struct mm_task *mt;	      /* (C) machine_mm_task(thread) */
	struct process *proc;	      /* (C) until exec of a thread */
	s32 tid;		      /* (C) = mt->pid */
	u64 start_ns;		      /* (C) port_now_ns() when it was made */
	struct list_head group_entry; /* (T) */
	struct list_head dead_entry;  /* the reaper's */
	struct pid_entry *pid;	      /* (T) */
	struct user *user;	      /* of cred.uid; written by itself */
	struct vfork_wait *vfork;     /* (C) who waits until it leaves its mm */
	struct files_struct *files;
	struct fs_struct *fs;
	struct cred cred;	    /* written by the task itself */
	u64 blocked, saved_blocked; /* (S) signal masks */
	bool restore_blocked;
	bool sigpending; /* (S) what signal_pending() reads */
	bool stopped;	 /* (S) counted in proc->nr_stopped */
	bool freeze;	 /* (S) it is to rest */
	bool frozen;	 /* (S) it does */
	bool core_wait;	 /* (S) it rests while its process's core is written */
	u32 trap_nr;	 /* of the last exception, for signal frames */
	u64 trap_error, trap_addr;
	struct sigpending pending; /* (S) sent to this thread */
	struct task_trace trace;
	uva_t altstack; /* sigaltstack(2) */
	u64 altstack_size;
	u32 altstack_flags;
	uva_t set_child_tid, clear_child_tid, robust_list;
	bool futex_gone; /* (A) futex_exit() has been through */
	s32 exit_signal;
	int exit_code;
	bool dead;
	/* Why the running system call may be restarted (signal.c). */
	struct {
		s64 (*fn)(struct task *t);
		u64 arg[5];
	} restart;
	u32 pdeath_signal;
	bool no_new_privs;
	u64 timerslack;
	u64 syscalls;
	int nice, policy;
};

/* The running task; NULL in kernel threads. */
static inline struct task *current_task(void)
{
	return (struct task *)machine_current_owner();
}
#define current current_task()

/* ---- signals (signal.c) ---------------------------------------------------
 */

/* What a system call returns when a signal came first; seen by programs as
 * EINTR, or the call is made again (signal(7), "Interruption of system
 * calls"). */
#define ERESTARTSYS	      512 /* again with SA_RESTART, else EINTR */
#define ERESTARTNOINTR	      513 /* always again */
#define ERESTARTNOHAND	      514 /* again if no handler ran, else EINTR */
#define ERESTART_RESTARTBLOCK 516 /* restart.fn; EINTR if a handler ran */

/* signal_pending: should the running task's sleep end? Any context. */
bool signal_pending(const struct task *t);
bool fatal_signal_pending_task(const struct task *t);
/* Send: INFO is copied; NULL: from the kernel (SI_KERNEL). Any context but
 * with siglock held. 0; -EAGAIN (queue limit, real-time signals only). */
int send_sig_task(struct task *t, int sig, const struct ksiginfo *info);
int send_sig_process(struct process *p, int sig, const struct ksiginfo *info);
/* To each process of group PGID; -ESRCH: there is none, or, if the current task
 * may send to none of them, -EPERM with INFO of a user. */
int send_sig_pgrp(s32 pgid, int sig, const struct ksiginfo *info);
/* force_sig: a fault of its own: cannot be blocked or ignored. */
void force_sig(int sig, int code, u64 addr, int addr_lsb);
bool sig_ignored_or_blocked(const struct task *t, int sig);
/* set_blocked: the current task's mask; SIGKILL and SIGSTOP are left out. */
void set_blocked(u64 set);
/* restore_saved_blocked: undo sigmask_once() at once: the call did not sleep
 * until a signal. */
void restore_saved_blocked(void);
/* is_orphaned_pgrp: nobody outside PGID in its session controls it. */
bool is_orphaned_pgrp(s32 pgid);
/* pgrp_session: the session of group PGID, -ESRCH. */
s32 pgrp_session(s32 pgid);

/*
 * sigmask_once: MASK is the running task's mask until its system call is over,
 * or, if that ends in a handler, until the handler returns (pselect6, ppoll,
 * epoll_pwait, sigsuspend). Who ends system calls puts saved_blocked back
 * where restore_blocked is set, whether or not the thread was kicked.
 */
void sigmask_once(u64 mask);
/*
 * For signalfd(2). signal_take: take the next signal of MASK that is pending
 * for the running task or its process: its number, described in *OUT; 0: none.
 * signal_pending_set: which are. process.signal_wait is woken when a signal
 * becomes pending for the process or one of its threads, blocked or not.
 */
int signal_take(u64 mask, struct ksiginfo *out);
u64 signal_pending_set(void);

/* wait_event_interruptible: 0 when COND, or -ERESTARTSYS. */
#define wait_event_interruptible(wq, cond)                        \
	({                                                        \
		int wret_ = 0;                                    \
		struct wait_queue_entry wait_;                    \
		might_sleep();                                    \
		init_wait(&wait_, NULL);                          \
		for (;;) {                                        \
			prepare_to_wait(&(wq), &wait_);           \
			if (cond)                                 \
				break;                            \
			if (current && signal_pending(current)) { \
				wret_ = -ERESTARTSYS;             \
				break;                            \
			}                                         \
			wait_park(&wait_, UINT64_MAX);            \
		}                                                 \
		finish_wait(&(wq), &wait_);                       \
		wret_;                                            \
	})

/* The same until port_now_ns() is DEADLINE at most (UINT64_MAX: for ever):
 * 0, -ERESTARTSYS, -ETIMEDOUT. */
#define wait_event_deadline(wq, cond, deadline)                              \
	({                                                                   \
		int wret_ = 0;                                               \
		u64 wuntil_ = (deadline), wleft_;                            \
		struct wait_queue_entry wait_;                               \
		might_sleep();                                               \
		init_wait(&wait_, NULL);                                     \
		for (;;) {                                                   \
			prepare_to_wait(&(wq), &wait_);                      \
			wleft_ = wuntil_ == UINT64_MAX ? UINT64_MAX          \
						       : wait_left(wuntil_); \
			if (cond)                                            \
				break;                                       \
			if (!wleft_)                                         \
				wret_ = -ETIMEDOUT;                          \
			else if (current && signal_pending(current))         \
				wret_ = -ERESTARTSYS;                        \
			if (wret_)                                           \
				break;                                       \
			wait_park(&wait_, wleft_);                           \
		}                                                            \
		finish_wait(&(wq), &wait_);                                  \
		wret_;                                                       \
	})

/* ---- resting (freeze.c) ----------------------------------------------------
 */

/* task_freeze: T executes no user instruction from soon on, or (ON false) goes
 * on. True: that is new for it. task_resting: it does not now, nor will it
 * before somebody lets it. task_on_rest: FN is called, by the thread itself
 * without locks, whenever one comes to rest; NULL: nobody is. */
bool task_freeze(struct task *t, bool on);
bool task_resting(struct task *t);
void task_on_rest(void (*fn)(struct task *t));

/* ---- finding ----------------------------------------------------------------
 */

/* process_find / task_find: with a reference (process_put; tasks: valid until
 * task_put). NULL: -ESRCH. */
struct process *process_find(s32 tgid);
void process_put(struct process *p);
struct task *task_find(s32 tid);
void task_put(struct task *t);
/* process_next: the process with the smallest tgid above AFTER, referenced. */
struct process *process_next(s32 after);
/* task_next: the same among P's threads, by tid. */
struct task *task_next(struct process *p, s32 after);
u64 rlimit(u32 resource); /* the current task's soft limit; without: infinity */
bool capable(int cap);	  /* capabilities(7) numbers */

/* task_files, task_fs, task_mm: T's, with a reference (files_put, fs_put,
 * mm_put), or NULL: it has ended. */
struct files_struct *task_files(struct task *t);
struct fs_struct *task_fs(struct task *t);
struct mm_struct *task_mm(struct task *t);
/* process_set_oom_score_adj: /proc/PID/oom_score_adj: 0, -EINVAL. */
int process_set_oom_score_adj(struct process *p, int adj);
/* uts_hostname: /proc/sys/kernel/hostname. */
const char *uts_hostname(void);
/*
 * task_on_life: FN is called when the thread PARENT has made CHILD, which has
 * not run yet, and with CHILD 0 when PARENT ends. May sleep. NULL: nobody is.
 */
void task_on_life(void (*fn)(s32 parent, s32 child));
/* task_set_comm: T is called NAME, of which its first 15 bytes are kept. */
void task_set_comm(struct task *t, const char *name);

/* may_ptrace: may the current task look into T (/proc/PID/mem, process_vm_*)?
 * 0, -EPERM. */
int may_ptrace(struct task *t);
/* for_each_process: FN under task_sys.lock, interrupts off; false ends. */
void for_each_process(bool (*fn)(struct process *p, void *arg), void *arg);
/* task_counts: for /proc/stat and /proc/loadavg. */
struct task_counts {
	u64 forks;
	u32 threads, processes, running, blocked;
	s32 last_pid;
};
void task_counts_get(struct task_counts *out);

/* For /proc: copied under the locks. */
struct task_stat {
	char comm[MM_TASK_COMM];
	s32 tid, tgid, ppid, pgid, sid, tty_nr, tpgid;
	char state; /* R S D T t Z */
	s32 tracer; /* 0: nobody traces it */
	u64 wchan;  /* where it sleeps; 0: it does not */
	u64 utime, stime, cutime, cstime, start_ns;
	u64 min_flt, maj_flt, cmin_flt, cmaj_flt;
	int nice, cpu, nr_threads, exit_signal;
	u64 sigpnd, shdpnd, blocked, ignored, caught;
	struct cred cred;
	u64 nvcsw, nivcsw;
	int oom_score_adj;
	bool no_new_privs;
};
void task_stat_get(struct task *t, struct task_stat *out);
/* task_io_get: what T's process has read and written, or with OWN T itself. */
void task_io_get(struct task *t, bool own, struct mm_task_io *out);
/* task_stat_own: then T's own times, faults and start instead of those of its
 * process. */
void task_stat_own(struct task *t, struct task_stat *out);

/* ---- making ----------------------------------------------------------------
 */

/* process_init: tables; at boot. spawn_init: pid 1 from PATH with ARGV and
 * ENVP (kernel strings), its descriptors 0-2 on /dev/console. */
int process_init(void) MM_MUST_CHECK;
int spawn_init(const char *path, const char *const *argv,
	       const char *const *envp) MM_MUST_CHECK;

#endif
