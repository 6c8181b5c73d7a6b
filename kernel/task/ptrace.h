/* SPDX-License-Identifier: MIT */
/*
 * ptrace.h - what the files of ptrace(2) and those that stop for it share.
 * Theory: ptrace.c.
 */
#ifndef KERNEL_TASK_PTRACE_H
#define KERNEL_TASK_PTRACE_H

#include "task/task_priv.h"

#define PTRACE_TRACEME		 0
#define PTRACE_PEEKTEXT		 1
#define PTRACE_PEEKDATA		 2
#define PTRACE_PEEKUSER		 3
#define PTRACE_POKETEXT		 4
#define PTRACE_POKEDATA		 5
#define PTRACE_POKEUSER		 6
#define PTRACE_CONT		 7
#define PTRACE_KILL		 8
#define PTRACE_SINGLESTEP	 9
#define PTRACE_GETREGS		 12
#define PTRACE_SETREGS		 13
#define PTRACE_GETFPREGS	 14
#define PTRACE_SETFPREGS	 15
#define PTRACE_ATTACH		 16
#define PTRACE_DETACH		 17
#define PTRACE_OLDSETOPTIONS	 21
#define PTRACE_SYSCALL		 24
#define PTRACE_ARCH_PRCTL	 30
#define PTRACE_SYSEMU		 31
#define PTRACE_SYSEMU_SINGLESTEP 32
#define PTRACE_SETOPTIONS	 0x4200
#define PTRACE_GETEVENTMSG	 0x4201
#define PTRACE_GETSIGINFO	 0x4202
#define PTRACE_SETSIGINFO	 0x4203
#define PTRACE_GETREGSET	 0x4204
#define PTRACE_SETREGSET	 0x4205
#define PTRACE_SEIZE		 0x4206
#define PTRACE_INTERRUPT	 0x4207
#define PTRACE_LISTEN		 0x4208
#define PTRACE_PEEKSIGINFO	 0x4209
#define PTRACE_GETSIGMASK	 0x420a
#define PTRACE_SETSIGMASK	 0x420b
#define PTRACE_GET_SYSCALL_INFO	 0x420e

#define PTRACE_EVENT_FORK	1
#define PTRACE_EVENT_VFORK	2
#define PTRACE_EVENT_CLONE	3
#define PTRACE_EVENT_EXEC	4
#define PTRACE_EVENT_VFORK_DONE 5
#define PTRACE_EVENT_EXIT	6
#define PTRACE_EVENT_STOP	128

#define PTRACE_O_TRACESYSGOOD 1u
/* The option that asks for event number E. */
#define PTRACE_O_EVENT(e) (1u << (e))
#define PTRACE_O_EXITKILL 0x100000u
/* seccomp's event (7) may be asked for; there are no filters that tell it. */
#define PTRACE_O_MASK (0xffu | PTRACE_O_EXITKILL)

#define CLD_TRAPPED 4

/* A stop that the running thread makes. */
struct trace_stop {
	int code; /* signal, and event << 8 */
	int why;  /* CLD_TRAPPED, CLD_STOPPED */
	const struct ksiginfo *info;
	bool group; /* its part in a group-stop, if that is still on */
	bool dying; /* fatal signals came before it */
};

/* ---- ptrace_stop.c: the tracee ---------------------------------------------
 */

/* ptrace_stop: T, running, stops until its tracer lets it go on. The signal
 * to go on with; -1: it did not stop. No locks held; sleeps. */
int ptrace_stop(struct task *t, const struct trace_stop *s);
/* trace_group_stop: T's part in its process's stop. trace_trap: what
 * trace_trap_due() (locked) said. */
void trace_group_stop(struct task *t);
bool trace_trap_due(const struct task *t);
void trace_trap(struct task *t);
/* trace_signal: SIG, taken by T, goes by its tracer: the signal to be handled,
 * described in *INFO, or 0. */
int trace_signal(struct task *t, int sig, struct ksiginfo *info);
/* trace_event: EVENT with MESSAGE, if the tracer wants to hear of it. */
void trace_event(struct task *t, int event, u64 message);
/* trace_exec: T runs another program; it was thread OLD_TID. */
void trace_exec(struct task *t, s32 old_tid);
/* trace_call_enter: the call in REGS begins: false: it is not to be made, and
 * rax is its result. trace_call_exit: it has ended. */
bool trace_call_enter(struct task *t, struct pt_regs *regs);
void trace_call_exit(struct task *t, const struct pt_regs *regs);
/* trace_handler: T, REGS its own, is about to enter a handler, whose frame
 * shall not have the tracer's trap flag: was it stepped? trace_stepped: then,
 * with the frame made, it stops there. */
bool trace_handler(struct task *t, struct pt_regs *regs);
void trace_stepped(struct task *t);
/* trace_step_forget: REGS are a copy for a child, or new. */
void trace_step_forget(const struct task *t, struct pt_regs *regs);
/* trace_debug_trap: DR6 of a debug exception in T: the si_code; 0: a breakpoint
 * that nobody has set any more. */
int trace_debug_trap(struct task *t, struct pt_regs *regs, u64 dr6);

/* Locked. trace_kill: SIGKILL ends all stops of P's threads but BUT's.
 * trace_tell: T's tracer hears of WHY and STATUS. */
void trace_kill(struct process *p, const struct task *but);
/* trace_renew: T, which listens, stops anew and is heard of. */
void trace_renew(struct task *t);
void trace_tell(struct task *t, int why, int status);

/* ---- ptrace.c: the relation ------------------------------------------------
 */

void trace_init(struct task *t);
/* Locked. trace_fork: CHILD of T is not known yet; EVENT: 0, or the one T will
 * tell of. trace_fork_event: which that is. */
void trace_fork(struct task *t, struct task *child, int event, bool asked);
int trace_fork_event(const struct task *t, u64 flags, u64 exit_signal);
/* Locked. trace_unlink: nobody traces T any more, and it goes on.
 * trace_tracees_go: T, which ends, traces nobody any more. */
void trace_unlink(struct task *t);
void trace_tracees_go(struct task *t);
/* trace_exec_unsafe: may T's tracer not see what a set-user-ID program does? */
bool trace_exec_unsafe(struct task *t);
/* trace_free_ended: T, a thread that ended and was kept for its tracer, goes.
 * Locked. */
void trace_free_ended(struct task *t);

/* ---- ptrace_regs.c ---------------------------------------------------------
 */

/* Requests on registers of T, which is stopped. -EIO: no request of theirs. */
s64 trace_regs_request(struct task *t, u64 request, u64 addr, u64 data);
/* trace_regs_get: T's registers as struct user_regs_struct has them. */
#define TRACE_NR_REGS 27u
void trace_regs_get(struct task *t, u64 out[TRACE_NR_REGS]);
/* trace_fpu_get: T's image to IMAGE. 0; -ESRCH: it does not rest any more. */
int trace_fpu_get(struct task *t, void *image) MM_MUST_CHECK;
/* Locked: the trap flag of T, stopped. */
void trace_step_set(struct task *t, bool on);

#endif
