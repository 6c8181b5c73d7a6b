/* SPDX-License-Identifier: MIT */
/*
 * signal.c - sending signals and taking them.
 *
 * 1. A signal is pending for a thread (tgkill, faults) or for a process: then
 *    one of its threads takes it, the first that does not block it. Those from
 *    32 on are queued, each with what its sender said; of the others one is
 *    kept. A signal without room for its siginfo is still delivered, unless it
 *    is a real-time one: then its sender is told.
 *
 * 2. What happens at once. A signal that is ignored and not blocked is
 *    dropped. One that ends the process begins to do so when it is sent:
 *    every thread gets SIGKILL (zap_other_threads()) and fatal_signal of its
 *    mm_task, which all killable waits go by. SIGCONT lets a stopped process
 *    go on even if it is blocked or ignored, and takes stop signals away; they
 *    take SIGCONT away.
 *
 * 3. Stopping. The thread that takes a stop signal marks the process
 *    (stopping); each thread stops on its way to user mode and counts itself
 *    (nr_stopped); the last one tells the parent. A thread that ends counts for
 *    stopped.
 *
 * 4. init. Process 1 gets only what it has a handler for. A fault of its own
 *    still ends it, and with it the machine.
 *
 * 5. Locking: task_sys.lock, for everything. sigpending is what a sleeper
 *    reads without it; a sender sets it before it wakes.
 *
 * Reference: signal(7), sigaction(2), kill(2), wait(2), POSIX 2.4.
 */
#include <mmkit/slab.h>

#include "base/string.h"
#include "task/coredump.h"
#include "task/ptrace.h"

#define RLIMIT_SIGPENDING 11u

/* ---- handlers --------------------------------------------------------------
 */

struct sighand *sighand_new(const struct sighand *from)
{
	struct sighand *s =
		kmem_cache_alloc(task_sys.sighand_cache, GFP_KERNEL);
	unsigned long flags;

	if (!s)
		return NULL;
	mm_memset(s, 0, sizeof(*s));
	if (from) {
		task_lock(flags);
		mm_memcpy(s->action, from->action, sizeof(s->action));
		task_unlock(flags);
	}
	s->count = 1;
	return s;
}

void sighand_put(struct sighand *s)
{
	if (s && __atomic_sub_fetch(&s->count, 1, __ATOMIC_ACQ_REL) == 0)
		kmem_cache_free(task_sys.sighand_cache, s);
}

static const struct ksigaction *action_of(const struct process *p, int sig)
{
	return &p->sighand->action[sig - 1];
}

/* Would SIG, if nothing blocks it, do nothing? Locked. */
static bool sig_ignored(const struct process *p, int sig)
{
	u64 handler = action_of(p, sig)->handler;

	if (handler == SIG_IGN)
		return true;
	if (handler != SIG_DFL)
		return false;
	if (p->tgid == 1)
		return true;
	return (SIG_DFL_IGNORED & SIGSET(sig)) != 0;
}

bool sig_default_fatal(const struct process *p, int sig)
{
	return action_of(p, sig)->handler == SIG_DFL &&
	       !((SIG_DFL_IGNORED | SIG_STOPS) & SIGSET(sig)) && p->tgid != 1;
}

bool sig_ignored_or_blocked(const struct task *t, int sig)
{
	unsigned long flags;
	bool yes;

	task_lock(flags);
	yes = (t->blocked & SIGSET(sig)) ||
	      action_of(t->proc, sig)->handler == SIG_IGN;
	task_unlock(flags);
	return yes;
}

/* Does a tracer see what T (NULL: P) is sent? Locked. */
static bool sig_traced(const struct task *t, const struct process *p, int sig)
{
	if (!t)
		t = list_first_entry_or_null(&p->threads, struct task,
					     group_entry);
	return t && t->trace.tracer && sig != SIGKILL;
}

/* ---- queues ----------------------------------------------------------------
 */

void sigpending_init(struct sigpending *p)
{
	p->set = 0;
	INIT_LIST_HEAD(&p->queue);
}

/* Entries are made and freed under the lock: neither sleeps. */
static void sigqueue_free(struct sigqueue *q)
{
	if (!q)
		return;
	__atomic_fetch_sub(&q->user->sigpending, 1, __ATOMIC_RELAXED);
	user_put_locked(q->user);
	kmem_cache_free(task_sys.sigqueue_cache, q);
}

/* An entry that counts against U; NULL: no memory, or U has LIMIT of them and
 * it need not be (MUST). */
static struct sigqueue *sigqueue_new(struct user *u, u64 limit, bool must)
{
	struct sigqueue *q;

	if (!must && READ_ONCE(u->sigpending) >= limit)
		return NULL;
	q = kmem_cache_alloc(task_sys.sigqueue_cache,
			     GFP_ATOMIC | __GFP_NOWARN);
	if (!q)
		return NULL;
	__atomic_fetch_add(&u->sigpending, 1, __ATOMIC_RELAXED);
	u->count++;
	q->user = u;
	return q;
}

/* The entries of SET are pending no more. Locked. */
void sigpending_drop(struct sigpending *pend, u64 set)
{
	struct sigqueue *q, *next;

	if (!(pend->set & set))
		return;
	pend->set &= ~set;
	list_for_each_entry_safe (q, next, &pend->queue, list) {
		if (!(SIGSET(q->info.signo) & set))
			continue;
		list_del(&q->list);
		sigqueue_free(q);
	}
}

/* Take SIG from PEND: what was said of it to *INFO. Locked. */
static void pending_take(struct sigpending *pend, int sig,
			 struct ksiginfo *info)
{
	struct sigqueue *q, *found = NULL;
	bool more = false;

	list_for_each_entry (q, &pend->queue, list) {
		if (q->info.signo != sig)
			continue;
		if (found) {
			more = true;
			break;
		}
		found = q;
	}
	if (!more)
		pend->set &= ~SIGSET(sig);
	if (found) {
		list_del(&found->list);
		*info = found->info;
		sigqueue_free(found);
	} else {
		mm_memset(info, 0, sizeof(*info));
		info->signo = sig;
		info->code = SI_USER;
	}
}

/* ---- who looks -------------------------------------------------------------
 */

/* Is T to take part in its process's stop? Of who has its tracer let run on if
 * it likes; nobody lets others. Locked. */
static bool stop_due(const struct task *t)
{
	return t->proc->stopping && (!t->stopped || !t->trace.tracer);
}

void recalc_sigpending(struct task *t)
{
	struct process *p = t->proc;
	u64 set = (t->pending.set | p->shared.set) & ~t->blocked;

	WRITE_ONCE(t->sigpending, set || p->group_exit || stop_due(t) ||
					  trace_trap_due(t) ||
					  (t->freeze && !t->frozen) ||
					  (p->exec_task && p->exec_task != t));
}

bool signal_pending(const struct task *t)
{
	return t &&
	       (READ_ONCE(t->sigpending) || READ_ONCE(t->mt->fatal_signal));
}

bool fatal_signal_pending_task(const struct task *t)
{
	return t && READ_ONCE(t->mt->fatal_signal) != 0;
}

void signal_wake(struct task *t)
{
	WRITE_ONCE(t->sigpending, true);
	machine_kick(t->thread);
}

void zap_other_threads(struct process *p, const struct task *but)
{
	struct task *t;

	list_for_each_entry (t, &p->threads, group_entry) {
		if (t == but || t->dead)
			continue;
		WRITE_ONCE(t->mt->fatal_signal, SIGKILL);
		signal_wake(t);
	}
	trace_kill(p, but);
}

/* ---- stop and continue -----------------------------------------------------
 */

/* Tell the parent of P: what happened to it (CLD_*), and its STATUS. Locked. */
void notify_parent(struct process *p, int code, int status)
{
	struct process *parent = p->parent;
	const struct ksigaction *act;
	struct ksiginfo info = {.signo = SIGCHLD, .code = code};
	int sig = code == CLD_STOPPED || code == CLD_CONTINUED ? SIGCHLD
							       : p->exit_signal;

	if (!parent)
		return;
	act = action_of(parent, SIGCHLD);
	if (sig == SIGCHLD && (act->flags & SA_NOCLDSTOP) &&
	    (code == CLD_STOPPED || code == CLD_CONTINUED))
		sig = 0;
	info.signo = sig;
	info.u.chld.pid = p->tgid;
	info.u.chld.status = status;
	if (!list_empty(&p->threads)) {
		const struct task *t =
			list_first_entry(&p->threads, struct task, group_entry);

		info.u.chld.uid = t->cred.uid;
	}
	info.u.chld.utime = (s64)(p->utime / 10000000u);
	info.u.chld.stime = (s64)(p->stime / 10000000u);
	if (sig)
		(void)send_locked(NULL, parent, sig, &info);
	wake_up_all(&parent->child_wait);
}

/* SIGCONT was sent to P. Locked. */
static void process_continue(struct process *p)
{
	bool was_stopped = p->stopped;
	struct task *t;

	if (!p->stopping)
		return;
	p->stopping = p->stopped = p->told_stop = false;
	p->stop_code = 0;
	list_for_each_entry (t, &p->threads, group_entry) {
		t->stopped = false;
		if (!t->dead)
			signal_wake(t);
	}
	p->nr_stopped = 0;
	if (was_stopped) {
		p->continued = true;
		notify_parent(p, CLD_CONTINUED, SIGCONT);
	}
}

/* Something has changed about the stop of T's process: who seized it hears of
 * that. Locked. */
static void stop_tell(struct task *t)
{
	if (!t->trace.tracer || !t->trace.seized || t->dead)
		return;
	t->trace.notify = true;
	trace_renew(t);
	signal_wake(t);
}

/* SIG is being sent to P: stop signals and SIGCONT end each other. Locked. */
static void prepare_stop_cont(struct process *p, int sig)
{
	u64 away = 0;
	struct task *t;

	if (sig == SIGCONT)
		away = SIG_STOPS;
	else if (SIG_STOPS & SIGSET(sig))
		away = SIGSET(SIGCONT);
	if (!away)
		return;
	sigpending_drop(&p->shared, away);
	list_for_each_entry (t, &p->threads, group_entry)
		sigpending_drop(&t->pending, away);
	if (sig == SIGCONT) {
		process_continue(p);
		list_for_each_entry (t, &p->threads, group_entry)
			stop_tell(t);
	}
}

/* Does P's parent trace it? Then it hears of each thread. Locked. */
static bool traced_by_parent(const struct process *p)
{
	const struct task *t =
		list_first_entry_or_null(&p->threads, struct task, group_entry);

	return t && t->trace.tracer && t->trace.tracer->proc == p->parent;
}

/* Are all of P's threads stopped that are left? Then its parent is told.
 * Locked. */
static void stop_check(struct process *p)
{
	if (!p->stopping || p->stopped || p->nr_stopped < p->nr_threads)
		return;
	p->stopped = true;
	p->told_stop = false;
	if (!traced_by_parent(p))
		notify_parent(p, CLD_STOPPED, p->stop_code);
}

/* A thread of P has ended: perhaps it was the last to stop. Locked. */
void signal_thread_gone(struct process *p)
{
	if (p->nr_threads)
		stop_check(p);
}

/* T rests with its process, for its tracer or by itself, as long as it has to.
 * False: not any more, or its tracer lets it run. */
static bool stop_rest(struct task *t)
{
	unsigned long flags;
	bool rests, traced;

	task_lock(flags);
	rests = t->stopped && !READ_ONCE(t->mt->fatal_signal);
	traced = t->trace.tracer != NULL;
	task_unlock(flags);
	if (!rests)
		return false;
	if (traced) {
		trace_group_stop(t);
		return !READ_ONCE(t->trace.tracer);
	}
	(void)port_park(UINT64_MAX);
	return true;
}

/* T, running, stops until SIGCONT or SIGKILL. */
void do_signal_stop(struct task *t)
{
	struct process *p = t->proc;
	unsigned long flags;

	task_lock(flags);
	if (p->stopping && !p->group_exit && !t->stopped &&
	    !READ_ONCE(t->mt->fatal_signal)) {
		t->stopped = true;
		p->nr_stopped++;
		stop_check(p);
	}
	task_unlock(flags);
	if (t->stopped)
		task_rested(t);
	while (stop_rest(t))
		;
	task_lock(flags);
	if (t->stopped && !t->trace.tracer) {
		t->stopped = false;
		p->nr_stopped--;
	}
	recalc_sigpending(t);
	task_unlock(flags);
}

/* P, which is stopped, but for whom tracers let run, is to stop by SIG: these
 * take part anew. Locked. */
static void stop_again(struct process *p, int sig)
{
	struct task *t;

	if (!p->stopped)
		p->stop_code = sig;
	list_for_each_entry (t, &p->threads, group_entry) {
		if (t->dead || !t->stopped || !t->trace.tracer ||
		    t->trace.stopped)
			continue;
		t->stopped = false;
		p->nr_stopped--;
		signal_wake(t);
	}
}

/* SIG, a stop signal, was taken by T: all of its process stops. Locked. */
static void group_stop_begin(struct task *t, int sig)
{
	struct process *p = t->proc;
	struct task *o;

	if (p->group_exit || p->exec_task)
		return;
	if (p->stopping) {
		stop_again(p, sig);
		return;
	}
	p->stopping = true;
	p->stopped = p->continued = p->told_stop = false;
	p->stop_code = sig;
	p->nr_stopped = 0;
	list_for_each_entry (o, &p->threads, group_entry) {
		/* Who listens stops by this one. */
		trace_renew(o);
		if (!o->dead)
			signal_wake(o);
	}
}

/* ---- process groups --------------------------------------------------------
 */

bool pgrp_orphaned_locked(s32 pgid, const struct process *ignored)
{
	const struct process *p;

	list_for_each_entry (p, &task_sys.processes, all) {
		if (p->pgid != pgid || p == ignored || p->zombie || !p->parent)
			continue;
		if (p->parent->pgid != pgid && p->parent->sid == p->sid &&
		    p->parent != task_sys.init)
			return false;
	}
	return true;
}

bool is_orphaned_pgrp(s32 pgid)
{
	unsigned long flags;
	bool yes;

	task_lock(flags);
	yes = pgrp_orphaned_locked(pgid, NULL);
	task_unlock(flags);
	return yes;
}

s32 pgrp_session(s32 pgid)
{
	const struct process *p;
	unsigned long flags;
	s32 sid = -ESRCH;

	task_lock(flags);
	list_for_each_entry (p, &task_sys.processes, all) {
		if (p->pgid == pgid) {
			sid = p->sid;
			break;
		}
	}
	task_unlock(flags);
	return sid;
}

static bool pgrp_has_stopped(s32 pgid)
{
	const struct process *p;

	list_for_each_entry (p, &task_sys.processes, all)
		if (p->pgid == pgid && p->stopped)
			return true;
	return false;
}

static void send_pgrp_kernel(s32 pgid, int sig)
{
	struct process *p;

	list_for_each_entry (p, &task_sys.processes, all)
		if (p->pgid == pgid)
			(void)send_locked(NULL, p, sig, NULL);
}

/* P, or LEAVING's ties to it, go: does its group become an orphan with stopped
 * members? Then they get SIGHUP and SIGCONT. Locked. */
void pgrp_orphan_hangup(struct process *p, const struct process *leaving)
{
	if (!pgrp_orphaned_locked(p->pgid, leaving) ||
	    !pgrp_has_stopped(p->pgid))
		return;
	send_pgrp_kernel(p->pgid, SIGHUP);
	send_pgrp_kernel(p->pgid, SIGCONT);
}

/* ---- sending ---------------------------------------------------------------
 */

/* Can T take SIG now? Locked. */
static bool wants_signal(const struct task *t, int sig)
{
	if (t->dead || (t->blocked & SIGSET(sig)))
		return false;
	if (sig == SIGKILL)
		return true;
	return !t->trace.stopped && (!t->stopped || t->trace.tracer);
}

/* SIG is pending for P (T NULL), or for T: who takes it? Locked. */
static void complete_signal(struct task *t, struct process *p, int sig)
{
	struct task *o, *taker = NULL;

	if (t) {
		taker = wants_signal(t, sig) ? t : NULL;
	} else {
		list_for_each_entry (o, &p->threads, group_entry) {
			if (!wants_signal(o, sig))
				continue;
			if (!taker || (!o->sigpending && taker->sigpending))
				taker = o;
		}
	}
	if (!taker)
		return;
	/* Its end begins now, whoever would be the one to take it. */
	if (sig_default_fatal(p, sig) && !p->group_exit && !core_signal(sig) &&
	    !sig_traced(taker, p, sig)) {
		p->group_exit = true;
		p->exit_code = sig;
		p->stopping = false;
		zap_other_threads(p, NULL);
		return;
	}
	signal_wake(taker);
}

/* What a signal without words of its own says. */
static void info_default(struct ksiginfo *out, int sig,
			 const struct ksiginfo *info)
{
	if (info) {
		*out = *info;
	} else {
		mm_memset(out, 0, sizeof(*out));
		out->code = SI_KERNEL;
	}
	out->signo = sig;
}

/* Enter SIG into PEND; -EAGAIN: a real-time signal that cannot be queued.
 * Locked. */
static int enqueue(struct sigpending *pend, struct task *any,
		   const struct ksiginfo *info, int sig)
{
	bool user = info && info->code <= 0;
	u64 limit = rlimit_of(any->proc, RLIMIT_SIGPENDING);
	struct sigqueue *q =
		sigqueue_new(any->user, limit, sig < SIGRTMIN && !user);

	if (q) {
		info_default(&q->info, sig, info);
		list_add_tail(&q->list, &pend->queue);
	} else if (sig >= SIGRTMIN && user && info->code != SI_USER) {
		return -EAGAIN;
	}
	pend->set |= SIGSET(sig);
	return 0;
}

/* send_locked: SIG to T, or, T being NULL, to P. Locked. */
int send_locked(struct task *t, struct process *p, int sig,
		const struct ksiginfo *info)
{
	struct sigpending *pend = t ? &t->pending : &p->shared;
	struct task *any = t ? t
			     : list_first_entry_or_null(
				       &p->threads, struct task, group_entry);
	bool blocked;
	int err;

	if (!any || p->zombie || (t && t->dead))
		return 0;
	prepare_stop_cont(p, sig);
	blocked = (any->blocked & SIGSET(sig)) != 0;
	if (!blocked && sig_ignored(p, sig) && !sig_traced(t, p, sig))
		return 0;
	if (sig < SIGRTMIN && (pend->set & SIGSET(sig)))
		return 0;
	err = enqueue(pend, any, info, sig);
	if (err)
		return err;
	wake_up_all(&p->signal_wait);
	complete_signal(t, p, sig);
	return 0;
}

static int send_one(struct task *t, struct process *p, int sig,
		    const struct ksiginfo *info)
{
	unsigned long flags;
	int err;

	task_lock(flags);
	err = send_locked(t, p, sig, info);
	task_unlock(flags);
	return err;
}

int send_sig_task(struct task *t, int sig, const struct ksiginfo *info)
{
	return send_one(t, t->proc, sig, info);
}

int send_sig_process(struct process *p, int sig, const struct ksiginfo *info)
{
	return send_one(NULL, p, sig, info);
}

/* The process behind AFTER in group PGID (any, if 0), with a reference. */
static struct process *pgrp_next(s32 pgid, s32 after)
{
	struct process *p, *best = NULL;
	unsigned long flags;

	task_lock(flags);
	list_for_each_entry (p, &task_sys.processes, all)
		if ((!pgid || p->pgid == pgid) && p->tgid > after &&
		    (!best || p->tgid < best->tgid))
			best = p;
	if (best)
		process_get(best);
	task_unlock(flags);
	return best;
}

int send_sig_pgrp(s32 pgid, int sig, const struct ksiginfo *info)
{
	int err = -ESRCH;
	struct process *p;
	s32 at = 0;

	while ((p = pgrp_next(pgid, at)) != NULL) {
		int e = send_sig_process(p, sig, info);

		if (err)
			err = e;
		at = p->tgid;
		process_put(p);
	}
	return err;
}

void force_sig(int sig, int code, u64 addr, int addr_lsb)
{
	struct ksiginfo info = {.signo = sig, .code = code};
	struct task *t = current;
	struct ksigaction *act;
	unsigned long flags;

	info.u.fault.addr = addr;
	info.u.fault.addr_lsb = (u16)addr_lsb;
	task_lock(flags);
	act = &t->proc->sighand->action[sig - 1];
	if ((t->blocked & SIGSET(sig)) || act->handler == SIG_IGN) {
		act->handler = SIG_DFL;
		t->blocked &= ~SIGSET(sig);
	}
	/* Nobody ignores its own fault, not even init. */
	if (act->handler == SIG_DFL && t->proc->tgid == 1)
		t->proc->group_exit = true, t->proc->exit_code = sig;
	else if (!(t->pending.set & SIGSET(sig)))
		(void)enqueue(&t->pending, t, &info, sig);
	if (sig_default_fatal(t->proc, sig))
		complete_signal(t, t->proc, sig);
	signal_wake(t);
	task_unlock(flags);
}

/* ---- taking ----------------------------------------------------------------
 */

/* The signal of SET to be taken first: faults before all others; 0: none. */
static int first_of(u64 set)
{
	u64 faults = set & SIG_FAULTS;

	if (!set)
		return 0;
	return __builtin_ctzl(faults ? faults : set) + 1;
}

/* Take one of SET for T. Locked. */
static int dequeue(struct task *t, u64 set, struct ksiginfo *info)
{
	struct sigpending *pend = &t->pending;
	int sig = first_of(pend->set & set);

	if (!sig) {
		pend = &t->proc->shared;
		sig = first_of(pend->set & set);
	}
	if (!sig)
		return 0;
	pending_take(pend, sig, info);
	recalc_sigpending(t);
	return sig;
}

int signal_take(u64 mask, struct ksiginfo *out)
{
	unsigned long flags;
	int sig;

	task_lock(flags);
	sig = dequeue(current, mask & ~SIG_UNBLOCKABLE, out);
	task_unlock(flags);
	return sig;
}

u64 signal_pending_set(void)
{
	const struct task *t = current;

	return READ_ONCE(t->pending.set) | READ_ONCE(t->proc->shared.set);
}

/* What is to be done about a signal that was taken. */
enum verdict {
	V_NONE,
	V_HANDLE,
	V_AGAIN,
	V_STOP,
	V_TRAP,
	V_FREEZE,
	V_TRACE,
	V_DIE
};

static enum verdict judge(struct task *t, int sig, struct ksigaction *act)
{
	struct process *p = t->proc;
	struct ksigaction *a;

	if (!sig)
		return V_NONE;
	a = &p->sighand->action[sig - 1];
	if (a->handler == SIG_IGN)
		return V_AGAIN;
	if (a->handler != SIG_DFL) {
		*act = *a;
		if (a->flags & SA_RESETHAND)
			a->handler = SIG_DFL;
		return V_HANDLE;
	}
	if ((SIG_DFL_IGNORED & SIGSET(sig)) || p->tgid == 1)
		return V_AGAIN;
	if (!(SIG_STOPS & SIGSET(sig)))
		return V_DIE;
	/* Nobody could let an orphan go on. */
	if (sig != SIGSTOP && pgrp_orphaned_locked(p->pgid, NULL))
		return V_AGAIN;
	group_stop_begin(t, sig);
	return V_STOP;
}

/* Is T's end decided? *CODE. Locked. */
static bool doomed(const struct task *t, int *code)
{
	const struct process *p = t->proc;

	if (p->group_exit) {
		*code = p->exit_code;
		return true;
	}
	/* The process lives on without it: nothing killed that. */
	*code = p->exec_task && p->exec_task != t ? 0 : SIGKILL;
	return READ_ONCE(t->mt->fatal_signal) || !*code;
}

/* What T is to do now; *SIG: the signal that says so. Locked. */
static enum verdict next_verdict(struct task *t, int *sig,
				 struct ksigaction *act, struct ksiginfo *info)
{
	if (stop_due(t))
		return V_STOP;
	if (trace_trap_due(t))
		return V_TRAP;
	if (task_must_freeze(t))
		return V_FREEZE;
	*sig = dequeue(t, ~t->blocked, info);
	if (*sig && sig_traced(t, t->proc, *sig))
		return V_TRACE;
	return judge(t, *sig, act);
}

/* SIG goes by T's tracer, and then? */
static enum verdict traced_verdict(struct task *t, int *sig,
				   struct ksigaction *act,
				   struct ksiginfo *info)
{
	unsigned long flags;
	enum verdict v;

	*sig = trace_signal(t, *sig, info);
	if (!*sig)
		return V_AGAIN;
	task_lock(flags);
	v = t->proc->group_exit ? V_AGAIN : judge(t, *sig, act);
	task_unlock(flags);
	return v;
}

/* T's end was decided, CODE. */
static _Noreturn void end_doomed(struct task *t, int code)
{
	if (t->proc->exec_task && t->proc->exec_task != t)
		do_exit(code);
	do_group_exit(code);
}

int get_signal(struct ksigaction *act, struct ksiginfo *info)
{
	struct task *t = current;
	unsigned long flags;
	enum verdict v;
	int sig, code;
	bool ends;

	for (;;) {
		sig = 0;
		v = V_NONE;
		task_lock(flags);
		ends = doomed(t, &code);
		if (!ends)
			v = next_verdict(t, &sig, act, info);
		if (v == V_NONE)
			recalc_sigpending(t);
		task_unlock(flags);
		if (ends)
			end_doomed(t, code);
		if (v == V_TRACE)
			v = traced_verdict(t, &sig, act, info);
		if (v == V_STOP)
			do_signal_stop(t);
		else if (v == V_TRAP)
			trace_trap(t);
		else if (v == V_FREEZE)
			do_freeze(t);
		else if (v == V_DIE)
			do_group_exit(core_dump(t, sig, info));
		else if (v != V_AGAIN)
			return v == V_HANDLE ? sig : 0;
	}
}

/* ---- masks -----------------------------------------------------------------
 */

void set_blocked(u64 set)
{
	struct task *t = current, *o;
	struct process *p = t->proc;
	unsigned long flags;
	u64 newly;

	set &= ~SIG_UNBLOCKABLE;
	task_lock(flags);
	newly = set & ~t->blocked & p->shared.set;
	t->blocked = set;
	recalc_sigpending(t);
	/* What this one would have taken, another may. */
	if (newly) {
		list_for_each_entry (o, &p->threads, group_entry)
			if (o != t && !o->dead && (newly & ~o->blocked))
				signal_wake(o);
	}
	task_unlock(flags);
}

void sigmask_once(u64 mask)
{
	struct task *t = current;

	t->saved_blocked = t->blocked;
	t->restore_blocked = true;
	set_blocked(mask);
}

void restore_saved_blocked(void)
{
	struct task *t = current;

	if (!t->restore_blocked)
		return;
	t->restore_blocked = false;
	set_blocked(t->saved_blocked);
}

/* execve: handlers go, what is ignored stays so; FRESH replaces a table that
 * is shared with other processes (NULL: it is not). */
void signal_exec(struct task *t, struct sighand *fresh)
{
	struct sighand *old = NULL;
	unsigned long flags;

	task_lock(flags);
	if (fresh) {
		old = t->proc->sighand;
		t->proc->sighand = fresh;
	}
	for (u32 i = 0; i < NSIG; i++) {
		struct ksigaction *a = &t->proc->sighand->action[i];

		if (a->handler != SIG_IGN)
			a->handler = SIG_DFL;
		a->flags = a->restorer = a->mask = 0;
	}
	t->altstack = t->altstack_size = 0;
	t->altstack_flags = 0;
	recalc_sigpending(t);
	task_unlock(flags);
	sighand_put(old);
}
