/* SPDX-License-Identifier: MIT */
/*
 * ptrace_stop.c - how a traced thread stops. Theory: ptrace.c.
 *
 * Reference: ptrace(2), "Stopped states" to "Syscall-stops".
 */
#include <mmkit/slab.h>

#include "base/string.h"
#include "task/ptrace.h"

#define EVENTMSG_CALL_ENTER 1u
#define EVENTMSG_CALL_EXIT  2u

#define TRAP_BRKPT  1
#define TRAP_TRACE  2
#define TRAP_HWBKPT 4

#define DR6_BREAKS 0xfUL
#define DR6_STEP   0x4000UL

/* ---- telling ---------------------------------------------------------------
 */

void trace_tell(struct task *t, int why, int status)
{
	struct process *p = t->trace.tracer->proc;
	const struct ksigaction *act = &p->sighand->action[SIGCHLD - 1];
	bool stop = why == CLD_TRAPPED || why == CLD_STOPPED;
	struct ksiginfo info = {.signo = SIGCHLD, .code = why};

	info.u.chld.pid = t->tid;
	info.u.chld.uid = t->cred.uid;
	info.u.chld.status = status;
	info.u.chld.utime = (s64)(t->proc->utime / 10000000u);
	info.u.chld.stime = (s64)(t->proc->stime / 10000000u);
	if (act->handler != SIG_IGN && !(stop && (act->flags & SA_NOCLDSTOP)))
		(void)send_locked(NULL, p, SIGCHLD, &info);
	wake_up_all(&p->child_wait);
}

/* ---- the stop --------------------------------------------------------------
 */

/* T stops as S says, unless there is no reason to any more. Locked. */
static bool stop_enter(struct task *t, const struct trace_stop *s)
{
	struct task_trace *tr = &t->trace;

	if (!tr->tracer || (s->group && !t->stopped) ||
	    (!s->dying && READ_ONCE(t->mt->fatal_signal)))
		return false;
	tr->stopped = true;
	tr->listening = false;
	tr->group = s->group;
	tr->code = s->code;
	tr->resume_sig = 0;
	tr->interrupt = false;
	if (s->code >> 8 == PTRACE_EVENT_STOP)
		tr->notify = false;
	tr->has_info = s->info != NULL;
	if (s->info)
		tr->info = *s->info;
	trace_tell(t, s->why, s->code & 0x7f);
	return true;
}

/* T goes on. Locked. */
static void stop_leave(struct task *t)
{
	struct task_trace *tr = &t->trace;

	tr->stopped = tr->listening = tr->group = false;
	tr->code = 0;
	(void)machine_debug_set(t->thread, tr->debug, tr->debug[7]);
}

int ptrace_stop(struct task *t, const struct trace_stop *s)
{
	struct task_trace *tr = &t->trace;
	unsigned long flags;
	int sig = -1;

	task_lock(flags);
	if (stop_enter(t, s)) {
		task_unlock(flags);
		task_rested(t);
		task_lock(flags);
		while (tr->stopped &&
		       (s->dying || !READ_ONCE(t->mt->fatal_signal))) {
			task_unlock(flags);
			(void)port_park(UINT64_MAX);
			task_lock(flags);
		}
		sig = tr->resume_sig;
		stop_leave(t);
	}
	recalc_sigpending(t);
	task_unlock(flags);
	return sig;
}

/* A stop that the kernel's own doings are the reason of: CODE, also si_code. */
static int stop_notify(struct task *t, int sig, int code, int why, bool dying)
{
	struct ksiginfo info = {.signo = sig, .code = code};
	struct trace_stop s = {
		.code = code, .why = why, .info = &info, .dying = dying};

	info.u.rt.pid = t->tid;
	info.u.rt.uid = t->cred.uid;
	return ptrace_stop(t, &s);
}

void trace_kill(struct process *p, const struct task *but)
{
	struct task *t;

	list_for_each_entry (t, &p->threads, group_entry) {
		if (t == but || !t->trace.stopped)
			continue;
		t->trace.stopped = false;
		port_unpark(t->thread);
	}
}

void trace_renew(struct task *t)
{
	if (!t->trace.listening)
		return;
	t->trace.listening = t->trace.stopped = false;
	port_unpark(t->thread);
}

/* ---- stops of the process, and those that are asked for --------------------
 */

void trace_group_stop(struct task *t)
{
	int sig = t->proc->stop_code;
	struct ksiginfo info = {.signo = sig};
	struct trace_stop s = {.code = sig, .why = CLD_STOPPED, .group = true};

	if (t->trace.seized) {
		s.code = info.code = sig | PTRACE_EVENT_STOP << 8;
		info.u.rt.pid = t->tid;
		info.u.rt.uid = t->cred.uid;
		s.info = &info;
	}
	(void)ptrace_stop(t, &s);
}

bool trace_trap_due(const struct task *t)
{
	return t->trace.tracer && (t->trace.interrupt || t->trace.notify);
}

void trace_trap(struct task *t)
{
	const struct process *p = t->proc;
	int sig = p->stopping && t->stopped ? p->stop_code : SIGTRAP;

	(void)stop_notify(t, sig, sig | PTRACE_EVENT_STOP << 8, CLD_STOPPED,
			  false);
}

/* ---- signals ---------------------------------------------------------------
 */

/* What the tracer made of the signal: SIG, with what belongs to it in *INFO;
 * 0: T blocks it, it waits. Locked. */
static int signal_chosen(struct task *t, int sig, struct ksiginfo *info)
{
	const struct task *tracer = t->trace.tracer;

	if (t->trace.has_info)
		*info = t->trace.info;
	if (info->signo != sig) {
		mm_memset(info, 0, sizeof(*info));
		info->signo = sig;
		info->code = SI_USER;
		info->u.rt.pid = tracer ? tracer->proc->tgid : 0;
		info->u.rt.uid = tracer ? tracer->cred.uid : 0;
	}
	if (!(t->blocked & SIGSET(sig)))
		return sig;
	(void)send_locked(t, t->proc, sig, info);
	return 0;
}

int trace_signal(struct task *t, int sig, struct ksiginfo *info)
{
	struct trace_stop s = {.code = sig, .why = CLD_TRAPPED, .info = info};
	int with = ptrace_stop(t, &s);
	unsigned long flags;

	/* Its tracer was gone: as if there had been none. */
	if (with < 0)
		return sig;
	task_lock(flags);
	if (with)
		with = signal_chosen(t, with, info);
	t->trace.has_info = false;
	task_unlock(flags);
	return with;
}

/* ---- events ----------------------------------------------------------------
 */

void trace_event(struct task *t, int event, u64 message)
{
	unsigned long flags;
	bool wanted;

	if (likely(!READ_ONCE(t->trace.tracer)))
		return;
	task_lock(flags);
	wanted = t->trace.tracer && (t->trace.options & PTRACE_O_EVENT(event));
	if (wanted)
		t->trace.message = message;
	task_unlock(flags);
	/* No result yet. */
	if (wanted && event != PTRACE_EVENT_EXIT)
		machine_regs(t->thread)->rax = (u64)-ENOSYS;
	if (wanted)
		(void)stop_notify(t, SIGTRAP, SIGTRAP | event << 8, CLD_TRAPPED,
				  event == PTRACE_EVENT_EXIT);
}

void trace_exec(struct task *t, s32 old_tid)
{
	struct ksiginfo info = {.signo = SIGTRAP, .code = SI_USER};

	if (likely(!READ_ONCE(t->trace.tracer)))
		return;
	if (t->trace.options & PTRACE_O_EVENT(PTRACE_EVENT_EXEC)) {
		trace_event(t, PTRACE_EVENT_EXEC, (u64)old_tid);
	} else if (!t->trace.seized) {
		info.u.rt.pid = t->proc->tgid;
		info.u.rt.uid = t->cred.uid;
		(void)send_sig_task(t, SIGTRAP, &info);
	}
}

/* ---- system calls ----------------------------------------------------------
 */

/* The stop at a call's beginning or end. */
static void call_stop(struct task *t, u64 message)
{
	int code = SIGTRAP;
	int sig;

	if (t->trace.options & PTRACE_O_TRACESYSGOOD)
		code |= 0x80;
	t->trace.message = message;
	sig = stop_notify(t, SIGTRAP, code, CLD_TRAPPED, false);
	t->trace.message = 0;
	if (sig > 0)
		(void)send_sig_task(t, sig, NULL);
}

bool trace_call_enter(struct task *t, struct pt_regs *regs)
{
	u32 work = READ_ONCE(t->trace.work);

	if (!(work & (TRACE_CALLS | TRACE_EMU)))
		return true;
	regs->rax = (u64)-ENOSYS;
	call_stop(t, EVENTMSG_CALL_ENTER);
	return !(work & TRACE_EMU) && (s32)regs->orig_rax != -1 &&
	       !fatal_signal_pending_task(t);
}

void trace_call_exit(struct task *t, const struct pt_regs *regs)
{
	u32 work = READ_ONCE(t->trace.work);

	(void)regs;
	if (work & TRACE_CALLS)
		call_stop(t, EVENTMSG_CALL_EXIT);
	else if ((work & (TRACE_STEP | TRACE_EMU)) == TRACE_STEP)
		force_sig(SIGTRAP, TRAP_BRKPT, regs->rip, 0);
}

/* ---- single steps ----------------------------------------------------------
 */

bool trace_handler(struct task *t, struct pt_regs *regs)
{
	trace_step_forget(t, regs);
	t->trace.forced_tf = false;
	return (READ_ONCE(t->trace.work) & TRACE_STEP) != 0;
}

void trace_stepped(struct task *t)
{
	(void)stop_notify(t, SIGTRAP, SIGTRAP, CLD_TRAPPED, false);
}

void trace_step_forget(const struct task *t, struct pt_regs *regs)
{
	if (t->trace.forced_tf)
		regs->eflags &= ~EFLAGS_TF;
}

int trace_debug_trap(struct task *t, struct pt_regs *regs, u64 dr6)
{
	u64 control = t->trace.debug[7];

	/* Whoever set it is gone. */
	if (!control && (dr6 & DR6_BREAKS) && !(dr6 & DR6_STEP)) {
		(void)machine_debug_set(t->thread, t->trace.debug, 0);
		return 0;
	}
	t->trace.debug[6] = dr6 & (DR6_BREAKS | DR6_STEP);
	/* One that is reached has been told of: over it. */
	for (u32 i = 0; i < 4; i++)
		if ((dr6 >> i & 1) && !(control >> (16 + 4 * i) & 3))
			regs->eflags |= EFLAGS_RF;
	return dr6 & DR6_BREAKS && !(dr6 & DR6_STEP) ? TRAP_HWBKPT : TRAP_TRACE;
}
