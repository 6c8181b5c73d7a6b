/* SPDX-License-Identifier: MIT */
/*
 * ptrace.c - ptrace(2): who traces whom, and what the tracer asks.
 *
 * 1. Relation. A thread is traced by a thread (task.trace.tracer), which has
 *    it in its list. Nobody counts: who ends lets go of its tracees first, and
 *    who is let go of is found by nobody. A traced thread that ends, and does
 *    not lead its process, stays known until its tracer has waited for it
 *    (trace.ended); a leader is a zombie for its tracer first and for its
 *    parent after that.
 *
 * 2. Stops. A tracee stops by itself, on its way to user mode or in a system
 *    call, where it holds nothing (ptrace_stop()): it says why, tells its
 *    tracer, and parks until it is let go, or killed. Its registers are those
 *    on its kernel stack, which nobody else writes meanwhile.
 *
 *      signals   all but SIGKILL go by the tracer, ignored ones too; the
 *                tracer says which one is handled, if any
 *      process   the part in a group-stop; the thread counts as stopped in its
 *                process even if its tracer lets it run
 *      events    fork, exec, exit, and what PTRACE_INTERRUPT asks for
 *      calls     the beginning and the end of a system call
 *
 * 3. Letting go is under the lock: what was changed before is seen. Debug
 *    registers and the trap flag take effect when the tracee goes on.
 *
 * 4. A request finds its tracee stopped, or fails with ESRCH. SIGKILL may end
 *    the stop at any time: then the request works on what is left of a thread
 *    that ends, which its reference keeps.
 *
 * 5. Locking: task_sys.lock. Memory is reached without it, as process_vm_readv
 *    does.
 *
 * Reference: ptrace(2), wait(2), proc(5), signal(7).
 */
#include "task/ptrace.h"

#include <mmkit/slab.h>

#include "base/string.h"
#include "syscall.h"

#define CAP_SYS_PTRACE 19
#define CLONE_VFORK    0x00004000UL
#define CLONE_UNTRACED 0x00800000UL

#define PEEKSIGINFO_SHARED 1u

/* ---- the relation ----------------------------------------------------------
 */

void trace_init(struct task *t)
{
	INIT_LIST_HEAD(&t->trace.entry);
	INIT_LIST_HEAD(&t->trace.tracees);
}

/* Locked. */
static void trace_link(struct task *t, struct task *tracer, u32 options,
		       bool seized)
{
	t->trace.tracer = tracer;
	t->trace.options = options;
	t->trace.seized = seized;
	list_add_tail(&t->trace.entry, &tracer->trace.tracees);
}

/* T and who waits for it know of no tracer any more. Locked. */
static void trace_cut(struct task *t)
{
	struct task_trace *tr = &t->trace;

	list_del_init(&tr->entry);
	tr->tracer = NULL;
	tr->options = tr->work = 0;
	tr->seized = tr->interrupt = tr->notify = false;
	tr->message = 0;
	mm_memset(tr->debug, 0, sizeof(tr->debug));
}

void trace_unlink(struct task *t)
{
	struct task_trace *tr = &t->trace;

	if (tr->stopped) {
		trace_step_set(t, false);
		/* A signal that nobody has heard of is not lost. */
		if (tr->code && tr->code <= NSIG && !tr->group && tr->has_info)
			tr->resume_sig = tr->code;
		tr->stopped = false;
		port_unpark(t->thread);
	}
	trace_cut(t);
	/* It may have run on in a process that is stopped. */
	if (!t->dead)
		signal_wake(t);
}

void trace_free_ended(struct task *t)
{
	t->trace.ended = false;
	trace_cut(t);
	pid_detach(t);
	task_put(t);
}

void trace_tracees_go(struct task *t)
{
	struct task *c;

	while ((c = list_first_entry_or_null(&t->trace.tracees, struct task,
					     trace.entry)) != NULL) {
		bool kill = (c->trace.options & PTRACE_O_EXITKILL) != 0;

		if (c->trace.ended) {
			trace_free_ended(c);
			continue;
		}
		trace_unlink(c);
		if (c->proc->zombie)
			zombie_notify(c->proc);
		else if (kill)
			(void)send_locked(NULL, c->proc, SIGKILL, NULL);
	}
}

/* ---- children --------------------------------------------------------------
 */

int trace_fork_event(const struct task *t, u64 flags, u64 exit_signal)
{
	int event = PTRACE_EVENT_FORK;

	if (!t->trace.tracer || (flags & CLONE_UNTRACED))
		return 0;
	if (flags & CLONE_VFORK)
		event = PTRACE_EVENT_VFORK;
	else if (exit_signal != SIGCHLD)
		event = PTRACE_EVENT_CLONE;
	return t->trace.options & PTRACE_O_EVENT(event) ? event : 0;
}

void trace_fork(struct task *t, struct task *child, int event, bool asked)
{
	if (!t->trace.tracer || (!event && !asked))
		return;
	trace_link(child, t->trace.tracer, t->trace.options, t->trace.seized);
	if (t->trace.seized)
		child->trace.interrupt = true;
	else
		child->pending.set |= SIGSET(SIGSTOP);
	signal_wake(child);
}

/* ---- beginning -------------------------------------------------------------
 */

/* The thread that made the current process, or another of its parent's.
 * Locked. */
static struct task *parent_thread(void)
{
	struct process *p = current->proc->parent;
	struct task *t = p ? task_lookup(current->proc->parent_tid) : NULL;

	if (t && t->proc == p && !t->dead)
		return t;
	if (!p)
		return NULL;
	list_for_each_entry (t, &p->threads, group_entry)
		if (!t->dead)
			return t;
	return NULL;
}

static s64 trace_me(void)
{
	struct task *t = current, *tracer;
	unsigned long flags;
	s64 err = -EPERM;

	task_lock(flags);
	tracer = parent_thread();
	if (!t->trace.tracer && tracer) {
		trace_link(t, tracer, 0, false);
		err = 0;
	}
	task_unlock(flags);
	return err;
}

static s64 trace_attach(struct task *t, bool seize, u64 addr, u64 data)
{
	struct ksiginfo info = {.signo = SIGSTOP, .code = SI_KERNEL};
	unsigned long flags;
	s64 err;

	if (seize && (addr || (data & ~(u64)PTRACE_O_MASK)))
		return -EIO;
	if (t->proc == current->proc)
		return -EPERM;
	err = may_ptrace(t);
	if (err)
		return err;
	task_lock(flags);
	if (t->dead || t->trace.tracer || current->proc->group_exit) {
		err = -EPERM;
	} else {
		trace_link(t, current, seize ? (u32)data : 0, seize);
		if (!seize)
			(void)send_locked(t, t->proc, SIGSTOP, &info);
		/* One that is stopped stops for the tracer now. */
		if (t->stopped)
			port_unpark(t->thread);
	}
	task_unlock(flags);
	return err;
}

bool trace_exec_unsafe(struct task *t)
{
	unsigned long flags;
	bool unsafe;

	task_lock(flags);
	unsafe = t->trace.tracer &&
		 !(t->trace.tracer->cred.cap_effective >> CAP_SYS_PTRACE & 1);
	task_unlock(flags);
	return unsafe;
}

/* ---- going on --------------------------------------------------------------
 */

/* Is T the current task's, and stopped for it? Locked. */
static bool trace_holds(const struct task *t)
{
	return t->trace.tracer == current && t->trace.stopped &&
	       !t->trace.listening && !t->dead;
}

static u32 resume_work(u64 request)
{
	switch (request) {
	case PTRACE_SYSCALL:
		return TRACE_CALLS;
	case PTRACE_SINGLESTEP:
		return TRACE_STEP;
	case PTRACE_SYSEMU:
		return TRACE_EMU;
	case PTRACE_SYSEMU_SINGLESTEP:
		return TRACE_EMU | TRACE_STEP;
	default:
		return 0;
	}
}

static s64 trace_resume(struct task *t, u64 request, u64 sig)
{
	struct task_trace *tr = &t->trace;
	unsigned long flags;
	s64 err = -ESRCH;

	if (sig > NSIG)
		return -EIO;
	task_lock(flags);
	if (trace_holds(t)) {
		WRITE_ONCE(tr->work, resume_work(request));
		trace_step_set(t, (tr->work & TRACE_STEP) != 0);
		tr->code = 0;
		tr->resume_sig = (int)sig;
		if (request == PTRACE_DETACH)
			trace_unlink(t);
		tr->stopped = false;
		port_unpark(t->thread);
		err = 0;
	}
	task_unlock(flags);
	return err;
}

static s64 trace_interrupt(struct task *t)
{
	unsigned long flags;
	s64 err = 0;

	task_lock(flags);
	if (t->trace.tracer != current || t->dead) {
		err = -ESRCH;
	} else if (!t->trace.seized) {
		err = -EIO;
	} else {
		t->trace.interrupt = true;
		trace_renew(t);
		signal_wake(t);
	}
	task_unlock(flags);
	return err;
}

static s64 trace_listen(struct task *t)
{
	unsigned long flags;
	s64 err = -EIO;

	task_lock(flags);
	if (!trace_holds(t)) {
		err = -ESRCH;
	} else if (t->trace.seized && t->trace.has_info &&
		   t->trace.info.code >> 8 == PTRACE_EVENT_STOP) {
		t->trace.listening = true;
		t->trace.code = 0;
		/* It may have been over before. */
		if (t->trace.notify)
			trace_renew(t);
		err = 0;
	}
	task_unlock(flags);
	return err;
}

/* ---- words and signals -----------------------------------------------------
 */

static s64 trace_memory(struct task *t, bool poke, u64 addr, u64 data)
{
	struct mm_struct *mm = task_mm(t);
	u64 word = data, got = 0;

	if (mm) {
		got = ptrace_access_vm(mm, addr, &word, sizeof(word), poke);
		mm_put(mm);
	}
	if (got != sizeof(word))
		return -EIO;
	return poke ? 0 : user_write(data, &word, sizeof(word));
}

/* The siginfo of T's stop, to or from ADDR. */
static s64 trace_siginfo(struct task *t, bool set, uva_t addr)
{
	struct ksiginfo info;
	unsigned long flags;
	s64 err = 0;

	if (set && user_read(&info, addr, sizeof(info)))
		return -EFAULT;
	task_lock(flags);
	if (!trace_holds(t))
		err = -ESRCH;
	else if (!t->trace.has_info)
		err = -EINVAL;
	else if (set)
		t->trace.info = info;
	else
		info = t->trace.info;
	task_unlock(flags);
	return err || set ? err : user_write(addr, &info, sizeof(info));
}

/* struct ptrace_peeksiginfo_args */
struct peek_args {
	u64 off;
	u32 flags;
	s32 nr;
};

/* Entry AT of T's queue, *OUT; false: there are fewer. */
static bool peek_one(struct task *t, const struct peek_args *a, u64 at,
		     struct ksiginfo *out)
{
	struct sigpending *pend =
		a->flags & PEEKSIGINFO_SHARED ? &t->proc->shared : &t->pending;
	struct sigqueue *q;
	unsigned long flags;
	bool found = false;

	task_lock(flags);
	list_for_each_entry (q, &pend->queue, list) {
		if (at--)
			continue;
		*out = q->info;
		found = true;
		break;
	}
	task_unlock(flags);
	return found;
}

static s64 trace_peeksiginfo(struct task *t, uva_t addr, uva_t data)
{
	struct peek_args a;
	struct ksiginfo info;
	s32 n;

	if (user_read(&a, addr, sizeof(a)))
		return -EFAULT;
	if ((a.flags & ~PEEKSIGINFO_SHARED) || a.nr < 0)
		return -EINVAL;
	for (n = 0; n < a.nr && peek_one(t, &a, a.off + (u64)n, &info); n++) {
		if (user_write(data, &info, sizeof(info)))
			return n ? n : -EFAULT;
		data += sizeof(info);
	}
	return n;
}

static s64 trace_sigmask(struct task *t, bool set, u64 size, uva_t data)
{
	unsigned long flags;
	u64 mask;

	if (size != sizeof(mask))
		return -EINVAL;
	if (!set) {
		mask = t->restore_blocked ? t->saved_blocked : t->blocked;
		return user_write(data, &mask, sizeof(mask));
	}
	if (user_read(&mask, data, sizeof(mask)))
		return -EFAULT;
	task_lock(flags);
	t->blocked = mask & ~SIG_UNBLOCKABLE;
	t->restore_blocked = false;
	recalc_sigpending(t);
	task_unlock(flags);
	return 0;
}

/* struct ptrace_syscall_info: as far as the stop is one of a call. */
struct syscall_info {
	u8 op, pad[3];
	u32 arch;
	u64 ip, sp;
	union {
		struct {
			u64 nr, args[6];
		} entry;
		struct {
			s64 rval;
			u8 is_error;
		} exit;
	} u;
};
#define SYSCALL_INFO_ENTRY 1
#define SYSCALL_INFO_EXIT  2
#define AUDIT_ARCH_X86_64  0xc000003eu

static s64 trace_syscall_info(struct task *t, u64 size, uva_t data)
{
	const struct pt_regs *r = machine_regs(t->thread);
	struct syscall_info i;
	u64 n = offsetof(struct syscall_info, u);
	int err;

	mm_memset(&i, 0, sizeof(i));
	i.arch = AUDIT_ARCH_X86_64;
	i.ip = r->rip;
	i.sp = r->rsp;
	if (t->trace.has_info && t->trace.info.code == (SIGTRAP | 0x80))
		i.op = (u8)t->trace.message;
	if (i.op == SYSCALL_INFO_ENTRY) {
		u64 args[6] = {r->rdi, r->rsi, r->rdx, r->r10, r->r8, r->r9};

		i.u.entry.nr = r->orig_rax;
		mm_memcpy(i.u.entry.args, args, sizeof(args));
		n += sizeof(i.u.entry);
	} else if (i.op == SYSCALL_INFO_EXIT) {
		i.u.exit.rval = (s64)r->rax;
		i.u.exit.is_error = r->rax >= (u64)-4095;
		n += offsetof(struct syscall_info, u.exit.is_error) + 1 -
		     offsetof(struct syscall_info, u);
	}
	err = user_write(data, &i, min(n, size));
	return err ? err : (s64)n;
}

/* ---- requests --------------------------------------------------------------
 */

static s64 trace_set_options(struct task *t, u64 options)
{
	if (options & ~(u64)PTRACE_O_MASK)
		return -EINVAL;
	WRITE_ONCE(t->trace.options, (u32)options);
	return 0;
}

/* Requests on what T, which is stopped, has in memory and signals. */
static s64 trace_look(struct task *t, u64 request, u64 addr, u64 data)
{
	u64 message = t->trace.message;

	switch (request) {
	case PTRACE_PEEKTEXT:
	case PTRACE_PEEKDATA:
		return trace_memory(t, false, addr, data);
	case PTRACE_POKETEXT:
	case PTRACE_POKEDATA:
		return trace_memory(t, true, addr, data);
	case PTRACE_SETOPTIONS:
	case PTRACE_OLDSETOPTIONS:
		return trace_set_options(t, data);
	case PTRACE_GETEVENTMSG:
		return user_write(data, &message, sizeof(message));
	case PTRACE_GETSIGINFO:
	case PTRACE_SETSIGINFO:
		return trace_siginfo(t, request == PTRACE_SETSIGINFO, data);
	case PTRACE_PEEKSIGINFO:
		return trace_peeksiginfo(t, addr, data);
	case PTRACE_GETSIGMASK:
	case PTRACE_SETSIGMASK:
		return trace_sigmask(t, request == PTRACE_SETSIGMASK, addr,
				     data);
	case PTRACE_GET_SYSCALL_INFO:
		return trace_syscall_info(t, addr, data);
	default:
		return trace_regs_request(t, request, addr, data);
	}
}

/* May the request be made of T now? */
static bool trace_check(struct task *t)
{
	unsigned long flags;
	bool may;

	task_lock(flags);
	may = trace_holds(t);
	task_unlock(flags);
	return may;
}

static s64 trace_request(struct task *t, u64 request, u64 addr, u64 data)
{
	switch (request) {
	case PTRACE_ATTACH:
	case PTRACE_SEIZE:
		return trace_attach(t, request == PTRACE_SEIZE, addr, data);
	case PTRACE_INTERRUPT:
		return trace_interrupt(t);
	case PTRACE_LISTEN:
		return trace_listen(t);
	case PTRACE_KILL:
		if (READ_ONCE(t->trace.tracer) != current)
			return -ESRCH;
		(void)send_sig_task(t, SIGKILL, NULL);
		return 0;
	case PTRACE_CONT:
	case PTRACE_SYSCALL:
	case PTRACE_SINGLESTEP:
	case PTRACE_SYSEMU:
	case PTRACE_SYSEMU_SINGLESTEP:
	case PTRACE_DETACH:
		return trace_check(t) ? trace_resume(t, request, data) : -ESRCH;
	default:
		return trace_check(t) ? trace_look(t, request, addr, data)
				      : -ESRCH;
	}
}

static s64 sys_ptrace(const struct sys_args *s)
{
	struct task *t;
	s64 ret;

	if (s->a[0] == PTRACE_TRACEME)
		return trace_me();
	t = task_find((s32)s->a[1]);
	if (!t)
		return -ESRCH;
	ret = trace_request(t, s->a[0], s->a[2], s->a[3]);
	task_put(t);
	return ret;
}

void ptrace_sys_init(void)
{
	static const struct syscall_def defs[] = {
		{101, "ptrace", sys_ptrace},
	};

	syscall_register(defs, ARRAY_SIZE(defs));
}
