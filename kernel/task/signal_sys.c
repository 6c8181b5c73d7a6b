/* SPDX-License-Identifier: MIT */
/*
 * signal_sys.c - the system calls of signals.
 *
 * Reference: sigaction(2), sigprocmask(2), sigpending(2), sigsuspend(2),
 * sigwaitinfo(2), rt_sigqueueinfo(2), kill(2), tkill(2), pause(2).
 */
#include "base/string.h"
#include "ktime.h"
#include "syscall.h"
#include "task/task_priv.h"

#define SIG_BLOCK   0
#define SIG_UNBLOCK 1
#define SIG_SETMASK 2

#define SIGSET_BYTES 8u

/* ---- actions ---------------------------------------------------------------
 */

/* SIG is ignored from now on: what is pending of it goes. Locked. */
static void drop_ignored(struct process *p, int sig)
{
	struct task *t;

	sigpending_drop(&p->shared, SIGSET(sig));
	list_for_each_entry (t, &p->threads, group_entry)
		sigpending_drop(&t->pending, SIGSET(sig));
}

static void action_set(struct process *p, int sig, const struct ksigaction *new,
		       struct ksigaction *old)
{
	struct ksigaction *a;
	unsigned long flags;

	task_lock(flags);
	a = &p->sighand->action[sig - 1];
	*old = *a;
	if (new) {
		*a = *new;
		a->mask &= ~SIG_UNBLOCKABLE;
		if (a->handler == SIG_IGN ||
		    (a->handler == SIG_DFL && (SIG_DFL_IGNORED & SIGSET(sig))))
			drop_ignored(p, sig);
	}
	task_unlock(flags);
}

void signal_set_default(int sig)
{
	struct ksigaction dfl = {.handler = SIG_DFL}, old;

	action_set(current->proc, sig, &dfl, &old);
}

static s64 sys_rt_sigaction(const struct sys_args *s)
{
	struct ksigaction new, old;
	int sig = (int)s->a[0];

	if (s->a[3] != SIGSET_BYTES || sig < 1 || sig > NSIG)
		return -EINVAL;
	if (s->a[1] && (SIG_UNBLOCKABLE & SIGSET(sig)))
		return -EINVAL;
	if (s->a[1] && user_read(&new, s->a[1], sizeof(new)))
		return -EFAULT;
	action_set(current->proc, sig, s->a[1] ? &new : NULL, &old);
	return s->a[2] && user_write(s->a[2], &old, sizeof(old)) ? -EFAULT : 0;
}

/* ---- masks -----------------------------------------------------------------
 */

static s64 sys_rt_sigprocmask(const struct sys_args *s)
{
	u64 old = current->blocked, set;

	if (s->a[3] != SIGSET_BYTES)
		return -EINVAL;
	if (s->a[1]) {
		if (user_read(&set, s->a[1], sizeof(set)))
			return -EFAULT;
		switch ((int)s->a[0]) {
		case SIG_BLOCK:
			set |= old;
			break;
		case SIG_UNBLOCK:
			set = old & ~set;
			break;
		case SIG_SETMASK:
			break;
		default:
			return -EINVAL;
		}
		set_blocked(set);
	}
	return s->a[2] && user_write(s->a[2], &old, sizeof(old)) ? -EFAULT : 0;
}

static s64 sys_rt_sigpending(const struct sys_args *s)
{
	u64 set = signal_pending_set() & current->blocked;

	if (s->a[1] > SIGSET_BYTES)
		return -EINVAL;
	return user_write(s->a[0], &set, s->a[1]);
}

/* Sleep until a signal is to be handled. */
static s64 wait_for_signal(void)
{
	while (!signal_pending(current))
		(void)port_park(UINT64_MAX);
	return -ERESTARTNOHAND;
}

static s64 sys_rt_sigsuspend(const struct sys_args *s)
{
	u64 set;

	if (s->a[1] != SIGSET_BYTES)
		return -EINVAL;
	if (user_read(&set, s->a[0], sizeof(set)))
		return -EFAULT;
	sigmask_once(set);
	return wait_for_signal();
}

static s64 sys_pause(const struct sys_args *s)
{
	(void)s;
	return wait_for_signal();
}

/* ---- waiting for them ------------------------------------------------------
 */

/* One of SET until DEADLINE: its number; -EAGAIN, -EINTR. */
static s64 sigwait(u64 set, struct ksiginfo *info, u64 deadline)
{
	struct task *t = current;
	u64 blocked = t->blocked;
	int sig;

	/* Unblocked they wake us; whoever wins takes one. */
	set_blocked(blocked & ~set);
	for (;;) {
		sig = signal_take(set, info);
		if (sig || signal_pending(t))
			break;
		if (deadline != UINT64_MAX && !wait_left(deadline))
			break;
		(void)port_park(deadline == UINT64_MAX ? UINT64_MAX
						       : wait_left(deadline));
	}
	set_blocked(blocked);
	if (sig)
		return sig;
	return signal_pending(t) ? -EINTR : -EAGAIN;
}

static s64 sys_rt_sigtimedwait(const struct sys_args *s)
{
	u64 set, deadline = UINT64_MAX;
	struct ksiginfo info;
	struct ktimespec ts;
	s64 ret;

	if (s->a[3] != SIGSET_BYTES)
		return -EINVAL;
	if (user_read(&set, s->a[0], sizeof(set)))
		return -EFAULT;
	if (s->a[2]) {
		int err = user_read_timespec(&ts, s->a[2]);

		if (err)
			return err;
		deadline = wait_deadline(timespec_ns(&ts));
	}
	ret = sigwait(set & ~SIG_UNBLOCKABLE, &info, deadline);
	if (ret > 0 && s->a[1] && user_write(s->a[1], &info, sizeof(info)))
		return -EFAULT;
	return ret;
}

/* ---- sending ---------------------------------------------------------------
 */

static void info_of_user(struct ksiginfo *info, int sig, int code)
{
	const struct task *t = current;

	mm_memset(info, 0, sizeof(*info));
	info->signo = sig;
	info->code = code;
	info->u.rt.pid = t->proc->tgid;
	info->u.rt.uid = t->cred.uid;
}

/* May the current task send SIG to P? Locked. */
static bool may_signal(const struct process *p, int sig)
{
	const struct task *me = current, *t;

	if (p == me->proc)
		return true;
	if (sig == SIGCONT && p->sid == me->proc->sid)
		return true;
	t = list_first_entry_or_null(&p->threads, struct task, group_entry);
	return t && cred_may_signal(&me->cred, &t->cred);
}

/* SIG (0: only ask) to P. 0, -EPERM, -EAGAIN. Locked. */
static int kill_locked(struct process *p, int sig, const struct ksiginfo *info)
{
	if (!may_signal(p, sig))
		return -EPERM;
	return sig ? send_locked(NULL, p, sig, info) : 0;
}

/* To each process of PGID (0: all but init and the caller). */
static int kill_many(s32 pgid, int sig, const struct ksiginfo *info)
{
	int err = -ESRCH, e;
	struct process *p;
	unsigned long flags;

	task_lock(flags);
	list_for_each_entry (p, &task_sys.processes, all) {
		if (pgid ? p->pgid != pgid : p->tgid == 1 || p == current->proc)
			continue;
		e = kill_locked(p, sig, info);
		/* One that was reached is enough. */
		if (err)
			err = e;
	}
	task_unlock(flags);
	return err;
}

static int kill_one(s32 pid, int sig, const struct ksiginfo *info)
{
	struct process *p;
	unsigned long flags;
	int err = -ESRCH;

	task_lock(flags);
	p = process_lookup(pid);
	if (p)
		err = kill_locked(p, sig, info);
	task_unlock(flags);
	return err;
}

static s64 sys_kill(const struct sys_args *s)
{
	s32 pid = (s32)s->a[0];
	int sig = (int)s->a[1];
	struct ksiginfo info;

	if (sig < 0 || sig > NSIG)
		return -EINVAL;
	info_of_user(&info, sig, SI_USER);
	if (pid > 0)
		return kill_one(pid, sig, &info);
	if (pid == INT32_MIN)
		return -ESRCH;
	if (pid == -1)
		return kill_many(0, sig, &info);
	return kill_many(pid ? -pid : current->proc->pgid, sig, &info);
}

/* SIG to thread TID, of process TGID if that is not 0. */
static s64 kill_thread(s32 tgid, s32 tid, int sig, const struct ksiginfo *info)
{
	unsigned long flags;
	struct task *t;
	s64 err = -ESRCH;

	task_lock(flags);
	t = task_lookup(tid);
	if (t && (!tgid || t->proc->tgid == tgid)) {
		err = may_signal(t->proc, sig) ? 0 : -EPERM;
		if (!err && sig && !t->dead)
			err = send_locked(t, t->proc, sig, info);
	}
	task_unlock(flags);
	return err;
}

static s64 sys_tkill(const struct sys_args *s)
{
	int sig = (int)s->a[1];
	struct ksiginfo info;

	if ((s32)s->a[0] <= 0 || sig < 0 || sig > NSIG)
		return -EINVAL;
	info_of_user(&info, sig, SI_TKILL);
	return kill_thread(0, (s32)s->a[0], sig, &info);
}

static s64 sys_tgkill(const struct sys_args *s)
{
	int sig = (int)s->a[2];
	struct ksiginfo info;

	if ((s32)s->a[0] <= 0 || (s32)s->a[1] <= 0 || sig < 0 || sig > NSIG)
		return -EINVAL;
	info_of_user(&info, sig, SI_TKILL);
	return kill_thread((s32)s->a[0], (s32)s->a[1], sig, &info);
}

/* The siginfo at ADDR for SIG: nobody passes for the kernel or for kill(2)
 * before others. */
static int queue_info(struct ksiginfo *info, uva_t addr, int sig, s32 pid)
{
	if (sig < 0 || sig > NSIG)
		return -EINVAL;
	if (user_read(info, addr, sizeof(*info)))
		return -EFAULT;
	if ((info->code >= 0 || info->code == SI_TKILL) &&
	    pid != current->proc->tgid)
		return -EPERM;
	info->signo = sig;
	return 0;
}

static s64 sys_rt_sigqueueinfo(const struct sys_args *s)
{
	struct ksiginfo info;
	int err = queue_info(&info, s->a[2], (int)s->a[1], (s32)s->a[0]);

	return err ? err : kill_one((s32)s->a[0], (int)s->a[1], &info);
}

static s64 sys_rt_tgsigqueueinfo(const struct sys_args *s)
{
	struct ksiginfo info;
	int err;

	if ((s32)s->a[0] <= 0 || (s32)s->a[1] <= 0)
		return -EINVAL;
	err = queue_info(&info, s->a[3], (int)s->a[2], (s32)s->a[0]);
	return err ? err
		   : kill_thread((s32)s->a[0], (s32)s->a[1], (int)s->a[2],
				 &info);
}

/* pidfd_send_signal(2): SIG to P, with the siginfo at ADDR, if there is one. */
s64 signal_by_pidfd(struct process *p, int sig, uva_t addr,
		    struct ksiginfo *info)
{
	unsigned long flags;
	int err;

	if (sig < 0 || sig > NSIG)
		return -EINVAL;
	if (addr) {
		err = queue_info(info, addr, sig, p->tgid);
		if (err)
			return err;
	} else {
		info_of_user(info, sig, SI_USER);
	}
	task_lock(flags);
	err = p->zombie && list_empty(&p->threads) ? -ESRCH
						   : kill_locked(p, sig, info);
	task_unlock(flags);
	return err;
}

static s64 sys_restart_syscall(const struct sys_args *s)
{
	struct task *t = current;
	s64 (*fn)(struct task * t) = t->restart.fn;

	(void)s;
	t->restart.fn = NULL;
	return fn ? fn(t) : -EINTR;
}

void signal_sys_init(void)
{
	static const struct syscall_def defs[] = {
		{13, "rt_sigaction", sys_rt_sigaction},
		{14, "rt_sigprocmask", sys_rt_sigprocmask},
		{15, "rt_sigreturn", sys_rt_sigreturn},
		{34, "pause", sys_pause},
		{62, "kill", sys_kill},
		{127, "rt_sigpending", sys_rt_sigpending},
		{128, "rt_sigtimedwait", sys_rt_sigtimedwait},
		{129, "rt_sigqueueinfo", sys_rt_sigqueueinfo},
		{130, "rt_sigsuspend", sys_rt_sigsuspend},
		{131, "sigaltstack", sys_sigaltstack},
		{200, "tkill", sys_tkill},
		{219, "restart_syscall", sys_restart_syscall},
		{234, "tgkill", sys_tgkill},
		{297, "rt_tgsigqueueinfo", sys_rt_tgsigqueueinfo},
	};

	syscall_register(defs, ARRAY_SIZE(defs));
}
