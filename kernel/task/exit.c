/* SPDX-License-Identifier: MIT */
/*
 * exit.c - ending: exit(2), exit_group(2), and waiting: wait4(2), waitid(2).
 *
 * 1. A thread that ends gives everything back itself and is unlinked by
 *    itself, unless it leads its process: the leader keeps the number until
 *    the process is gone. The last thread ends the process: its children go to
 *    init (or a subreaper), its parent is told, and it stays as a zombie until
 *    it is waited for, or goes at once if the parent does not want to know.
 *
 * 2. The state changes in one section of task_sys.lock (thread_gone()), so
 *    nobody sees a process without threads that is no zombie.
 *
 * 3. Waiting scans the caller's children under the lock. Who changes a child
 *    wakes child_wait after the change, with the lock still held: nothing is
 *    missed.
 *
 * Reference: exit_group(2), wait(2), waitid(2), getrusage(2), POSIX _exit().
 */
#include <mmkit/mm.h>
#include <mmkit/shm.h>

#include "base/printk.h"
#include "base/string.h"
#include "event.h"
#include "ktime.h"
#include "memcg/memcg.h"
#include "syscall.h"
#include "task/coredump.h"
#include "task/ptrace.h"
#include "vfs.h"

#define WNOHANG	    0x00000001
#define WUNTRACED   0x00000002 /* WSTOPPED */
#define WEXITED	    0x00000004
#define WCONTINUED  0x00000008
#define WNOWAIT	    0x01000000
#define __WNOTHREAD 0x20000000
#define __WALL	    0x40000000
#define __WCLONE    0x80000000u

#define P_ALL	0
#define P_PID	1
#define P_PGID	2
#define P_PIDFD 3

static struct task *leader_of(const struct process *p);

/* ---- ending ----------------------------------------------------------------
 */

/* T's times and faults go to its process. Locked. */
static void account_thread(struct task *t)
{
	struct process *p = t->proc;
	u64 user, sys, wait, lost;

	machine_thread_times(t->thread, &user, &sys);
	machine_thread_switches(t->thread, &wait, &lost);
	p->utime += user;
	p->stime += sys;
	p->nvcsw += wait;
	p->nivcsw += lost;
	p->min_flt += t->mt->min_flt;
	p->maj_flt += t->mt->maj_flt;
	task_io_sum(&p->io, &t->mt->io);
}

static int exit_cld(int code)
{
	if (!(code & 0x7f))
		return CLD_EXITED;
	return code & 0x80 ? CLD_DUMPED : CLD_KILLED;
}

static int exit_status(int code)
{
	return code & 0x7f ? code & 0x7f : code >> 8 & 0xff;
}

/* What the parent's action for SIGCHLD says: do not keep zombies. */
static bool parent_ignores(const struct process *p)
{
	const struct ksigaction *a = &p->parent->sighand->action[SIGCHLD - 1];

	return p->exit_signal == SIGCHLD &&
	       (a->handler == SIG_IGN || (a->flags & SA_NOCLDWAIT));
}

/* Is C, a child of P's, for now its tracer's? Then P does not see it end. */
static bool traced_by_other(const struct process *c, const struct process *p)
{
	const struct task *t = leader_of(c);

	return t && t->trace.tracer && t->trace.tracer->proc != p;
}

void zombie_notify(struct process *p)
{
	struct task *leader = leader_of(p);
	int code = exit_cld(p->exit_code);
	int status = exit_status(p->exit_code);
	bool forgotten;

	if (traced_by_other(p, p->parent)) {
		trace_tell(leader, code, status);
		return;
	}
	forgotten = !p->parent || (parent_ignores(p) && !leader->trace.tracer);
	notify_parent(p, code, status);
	if (forgotten)
		release_process(p);
}

/* Who takes P's children: the nearest living subreaper above, or init. */
static struct process *new_parent(const struct process *p)
{
	struct process *up;

	for (up = p->parent; up; up = up->parent)
		if (up->subreaper && !up->zombie && up->nr_threads)
			return up;
	return task_sys.init;
}

static void reparent_children(struct process *p)
{
	struct process *to = new_parent(p), *c, *next;

	list_for_each_entry_safe (c, next, &p->children, sibling) {
		struct task *t = list_first_entry_or_null(
			&c->threads, struct task, group_entry);

		c->parent = to;
		list_move_tail(&c->sibling, &to->children);
		/* Whatever the child chose: init knows only SIGCHLD. */
		c->exit_signal = SIGCHLD;
		if (t && t->pdeath_signal && !c->zombie)
			(void)send_locked(NULL, c, (int)t->pdeath_signal, NULL);
		if (c->zombie)
			zombie_notify(c);
		if (c->pgid != p->pgid && c->sid == p->sid)
			pgrp_orphan_hangup(c, NULL);
	}
}

/* Is P one by which its group is no orphan? If not its end makes it none: one
 * that was an orphan before is left alone. Locked. */
static bool ties_its_group(const struct process *p)
{
	return p->parent && p->parent != task_sys.init &&
	       p->parent->pgid != p->pgid && p->parent->sid == p->sid;
}

/* As wait4 tells of the end of T, which did not lead its process. */
static int thread_code(const struct task *t)
{
	return t->proc->group_exit ? t->proc->exit_code : t->exit_code;
}

/* T, which does not lead its process, ends: does its tracer wait for it?
 * Locked. */
static bool thread_kept(struct task *t)
{
	int code = thread_code(t);

	if (!t->trace.tracer)
		return false;
	t->trace.ended = true;
	trace_tell(t, exit_cld(code), exit_status(code));
	return true;
}

/*
 * T, running, has given back what it had. It is unlinked, or, if it leads its
 * process, stays as its mark; the last one makes the process a zombie.
 */
static void thread_gone(struct task *t)
{
	struct process *p = t->proc;
	bool leader = t->tid == p->tgid;
	unsigned long flags;
	bool kept;

	task_lock(flags);
	trace_tracees_go(t);
	account_thread(t);
	/* From now on nothing is sent to it: what was until now goes. */
	t->dead = true;
	sigpending_drop(&t->pending, ~0UL);
	if (t->stopped) {
		t->stopped = false;
		p->nr_stopped--;
	}
	p->nr_threads--;
	task_sys.nr_threads--;
	__atomic_fetch_sub(&t->user->threads, 1, __ATOMIC_RELAXED);
	kept = leader || thread_kept(t);
	if (!leader)
		list_del_init(&t->group_entry);
	if (!kept)
		pid_detach(t);
	if (p->nr_threads == 0) {
		/* Of several threads the first one's counts. */
		if (!p->group_exit)
			p->exit_code = leader_of(p)->exit_code;
		p->stopping = p->stopped = false;
		reparent_children(p);
		p->zombie = true;
		sigpending_drop(&p->shared, ~0UL);
		if (ties_its_group(p))
			pgrp_orphan_hangup(p, p);
		wake_up_all(&p->signal_wait); /* pidfds */
		zombie_notify(p);
	} else {
		signal_thread_gone(p);
		if (p->exec_task)
			wake_up_all(&p->exec_wait);
	}
	task_unlock(flags);
	/* The table's reference: others' go in release_process() and
	 * trace_free_ended(). */
	if (!kept)
		task_put(t);
}

/* The last thread of P is going: what is the process's goes with it. */
static void exit_process(struct process *p)
{
	time_process_exit(p);
	tty_process_exit(p);
	process_set_exe(p, NULL);
}

/* Has every other thread of T's process begun to end? Nobody can join one any
 * more then. */
static bool last_thread(struct task *t)
{
	unsigned long flags;
	bool last;

	task_lock(flags);
	last = --t->proc->nr_live == 0;
	/* It began to end before the core was to be written. */
	if (t->proc->core_dumper)
		wake_up_all(&t->proc->exec_wait);
	task_unlock(flags);
	return last;
}

void note_maxrss(struct task *t)
{
	struct process *p = t->proc;
	struct mm_usage usage;
	u64 kb;

	if (!t->mt->mm)
		return;
	mm_usage_get(t->mt->mm, &usage);
	kb = usage.hiwater_rss << (PAGE_SHIFT - 10);
	if (kb > READ_ONCE(p->maxrss))
		WRITE_ONCE(p->maxrss, kb);
}

/* What T shares with others goes, under the lock for who looks from outside. */
static void exit_files(struct task *t)
{
	struct files_struct *files;
	struct fs_struct *fs;
	unsigned long flags;

	task_lock(flags);
	files = t->files;
	fs = t->fs;
	t->files = NULL;
	t->fs = NULL;
	task_unlock(flags);
	if (files)
		files_put(files);
	if (fs)
		fs_put(fs);
}

_Noreturn void do_exit(int code)
{
	struct task *t = current;
	bool last;

	core_rest(t);
	trace_event(t, PTRACE_EVENT_EXIT, (u64)code);
	t->exit_code = code;
	t->restore_blocked = false;
	last = last_thread(t);
	if (last && t->proc->tgid == 1) /* returns in tests only */
		kernel_init_ended(t->proc->group_exit ? t->proc->exit_code
						      : code);
	futex_exit(t);
	note_maxrss(t);
	shm_task_exit(NULL, t->mt);
	mm_task_exit(t->mt);
	/* A dead process keeps nobody from removing its group. */
	memcg_task_leave(t->mt);
	exit_files(t);
	if (last)
		exit_process(t->proc);
	task_life(t->tid, 0);
	thread_gone(t);
	task_put(t); /* our own; the reaper waits until we are off the CPU */
	machine_thread_exit();
}

_Noreturn void do_group_exit(int code)
{
	struct task *t = current;
	struct process *p = t->proc;
	unsigned long flags;

	task_lock(flags);
	if (!p->group_exit) {
		p->group_exit = true;
		p->exit_code = code;
		p->stopping = false;
		zap_other_threads(p, t);
	}
	code = p->exit_code;
	task_unlock(flags);
	do_exit(code);
}

/* ---- zombies ---------------------------------------------------------------
 */

static struct task *leader_of(const struct process *p)
{
	struct task *t;

	list_for_each_entry (t, &p->threads, group_entry)
		if (t->tid == p->tgid)
			return t;
	return NULL;
}

void release_process(struct process *p)
{
	struct task *leader = leader_of(p);

	mm_verify(p->zombie && leader && list_is_singular(&p->threads));
	if (leader->trace.tracer)
		trace_unlink(leader);
	list_del_init(&p->sibling);
	list_del_init(&p->all);
	task_sys.nr_processes--;
	p->parent = NULL;
	list_del_init(&leader->group_entry);
	pid_detach(leader);
	pid_drop(p->pgid);
	pid_drop(p->sid);
	task_put(leader);
}

/* ---- waiting ---------------------------------------------------------------
 */

struct waiting {
	u32 type; /* P_* */
	s32 id;
	u32 options;
	/* What was found. */
	s32 pid;
	u32 uid;
	int code, status; /* CLD_*, and si_status */
	int wstatus;	  /* as wait4(2) has it */
	struct rusage_words ru;
};

static bool wait_matches(const struct waiting *w, const struct process *c)
{
	const struct task *t = leader_of(c);
	bool clone = c->exit_signal != SIGCHLD;

	/* Who traces waits for all kinds. */
	if (t && t->trace.tracer && t->trace.tracer->proc == c->parent)
		clone = (w->options & __WCLONE) != 0;

	if ((w->type == P_PID && c->tgid != w->id) ||
	    (w->type == P_PGID && c->pgid != w->id))
		return false;
	return (w->options & __WALL) || clone == ((w->options & __WCLONE) != 0);
}

static void found(struct waiting *w, const struct task *t, int code, int status)
{
	const struct process *c = t->proc;

	w->pid = t->tid;
	w->uid = t->cred.uid;
	w->code = code;
	w->status = status;
	w->ru = (struct rusage_words){
		c->utime + c->cutime,	    c->stime + c->cstime,
		max(c->maxrss, c->cmaxrss), c->min_flt + c->cmin_flt,
		c->maj_flt + c->cmaj_flt,   c->nvcsw + c->cnvcsw,
		c->nivcsw + c->cnivcsw};
}

/* C's times become its parent's children's. */
static void account_child(struct process *p, const struct process *c)
{
	p->cutime += c->utime + c->cutime;
	p->cstime += c->stime + c->cstime;
	p->cmin_flt += c->min_flt + c->cmin_flt;
	p->cmaj_flt += c->maj_flt + c->cmaj_flt;
	task_io_sum(&p->io, &c->io);
	p->cnvcsw += c->nvcsw + c->cnvcsw;
	p->cnivcsw += c->nivcsw + c->cnivcsw;
	p->cmaxrss = max(p->cmaxrss, max(c->maxrss, c->cmaxrss));
}

static bool take_zombie(struct waiting *w, struct process *c)
{
	int code = c->exit_code;

	if (!(w->options & WEXITED) || !c->zombie)
		return false;
	found(w, leader_of(c), exit_cld(code), exit_status(code));
	w->wstatus = code;
	if (!(w->options & WNOWAIT)) {
		account_child(c->parent, c);
		release_process(c);
	}
	return true;
}

static bool take_stopped(struct waiting *w, struct process *c)
{
	const struct task *t = leader_of(c);

	if ((w->options & WUNTRACED) && c->stopped && !c->told_stop) {
		found(w, t, CLD_STOPPED, c->stop_code);
		w->wstatus = c->stop_code << 8 | 0x7f;
		if (!(w->options & WNOWAIT))
			c->told_stop = true;
		return true;
	}
	if ((w->options & WCONTINUED) && c->continued && !c->zombie) {
		found(w, t, CLD_CONTINUED, SIGCONT);
		w->wstatus = 0xffff;
		if (!(w->options & WNOWAIT))
			c->continued = false;
		return true;
	}
	return false;
}

/* A child of P's as its parent sees it. */
static bool take_child(struct process *p, struct waiting *w, struct process *c)
{
	const struct task *t = leader_of(c);

	if (traced_by_other(c, p))
		return !c->zombie && take_stopped(w, c);
	/* Who traces it as well hears of each thread's stop. */
	return take_zombie(w, c) || (!t->trace.tracer && take_stopped(w, c));
}

/* T, a tracee, has ended. */
static bool take_traced_end(struct waiting *w, struct task *t)
{
	struct process *c = t->proc;
	bool leads = !t->trace.ended && c->zombie && t->tid == c->tgid;
	int code = leads ? c->exit_code : thread_code(t);

	if (!(w->options & WEXITED) || (!leads && !t->trace.ended))
		return false;
	found(w, t, exit_cld(code), exit_status(code));
	w->wstatus = code;
	if (w->options & WNOWAIT)
		return true;
	if (t->trace.ended) {
		trace_free_ended(t);
	} else {
		/* Now its parent's turn comes. */
		trace_unlink(t);
		zombie_notify(c);
	}
	return true;
}

static bool take_traced_stop(struct waiting *w, struct task *t)
{
	int code = t->trace.code;

	if (!t->trace.stopped || t->trace.listening || !code)
		return false;
	found(w, t, CLD_TRAPPED, code);
	w->wstatus = code << 8 | 0x7f;
	if (!(w->options & WNOWAIT))
		t->trace.code = 0;
	return true;
}

static bool traced_matches(const struct waiting *w, const struct task *t)
{
	return (w->type != P_PID || t->tid == w->id) &&
	       (w->type != P_PGID || t->proc->pgid == w->id);
}

/* The threads that T traces; as wait_scan(). Locked. */
static int wait_scan_traced(struct waiting *w, const struct task *t)
{
	struct task *c, *next;
	int ret = -ECHILD;

	list_for_each_entry_safe (c, next, &t->trace.tracees, trace.entry) {
		if (!traced_matches(w, c))
			continue;
		ret = 0;
		/* Of its own child P hears as its parent. */
		if (take_traced_stop(w, c) ||
		    ((c->trace.ended || c->proc->parent != t->proc) &&
		     take_traced_end(w, c)))
			return 1;
	}
	return ret;
}

static int wait_scan_children(struct process *p, struct waiting *w)
{
	struct process *c, *next;
	int ret = -ECHILD;

	list_for_each_entry_safe (c, next, &p->children, sibling) {
		if (!wait_matches(w, c))
			continue;
		ret = 0;
		if (take_child(p, w, c))
			return 1;
	}
	return ret;
}

/* One look: 1: found; 0: not yet; -ECHILD. */
static int wait_scan(struct process *p, struct waiting *w)
{
	const struct task *t;
	unsigned long flags;
	int ret;

	task_lock(flags);
	ret = wait_scan_children(p, w);
	list_for_each_entry (t, &p->threads, group_entry) {
		int more = ret == 1 ? 1 : -ECHILD;

		if (more < 0 && (!(w->options & __WNOTHREAD) || t == current))
			more = wait_scan_traced(w, t);
		ret = max(ret, more);
	}
	task_unlock(flags);
	return ret;
}

/* The number of who was found, 0 with WNOHANG, or -ECHILD, -ERESTARTSYS. */
static s64 do_wait(struct waiting *w)
{
	struct process *p = current->proc;
	int ret = 0, err;

	err = wait_event_interruptible(p->child_wait,
				       (ret = wait_scan(p, w)) != 0 ||
					       (w->options & WNOHANG));
	if (err)
		return err;
	return ret > 0 ? w->pid : ret;
}

/* struct rusage of getrusage(2): 144 bytes, of which Linux fills these. */
int rusage_write(uva_t to, const struct rusage_words *r)
{
	u64 w[18] = {
		r->utime / NSEC_PER_SEC,
		r->utime % NSEC_PER_SEC / NSEC_PER_USEC,
		r->stime / NSEC_PER_SEC,
		r->stime % NSEC_PER_SEC / NSEC_PER_USEC,
		r->maxrss,
		0,
		0,
		0,
		r->min_flt,
		r->maj_flt,
	};

	w[16] = r->nvcsw;
	w[17] = r->nivcsw;
	return user_write(to, w, sizeof(w));
}

static s64 sys_wait4(const struct sys_args *s)
{
	struct waiting w = {.options = (u32)s->a[2] | WEXITED};
	s32 pid = (s32)s->a[0];
	s64 ret;

	if ((u32)s->a[2] & ~(WNOHANG | WUNTRACED | WCONTINUED | __WNOTHREAD |
			     __WCLONE | __WALL))
		return -EINVAL;
	if (pid == INT32_MIN)
		return -ESRCH;
	w.type = pid == -1 ? P_ALL : pid > 0 ? P_PID : P_PGID;
	w.id = pid > 0 ? pid : pid ? -pid : current->proc->pgid;
	ret = do_wait(&w);
	if (ret <= 0)
		return ret;
	if ((s->a[1] && user_write(s->a[1], &w.wstatus, 4)) ||
	    (s->a[3] && rusage_write(s->a[3], &w.ru)))
		return -EFAULT;
	return ret;
}

static int waitid_who(struct waiting *w, u32 type, s32 id)
{
	struct process *p;

	w->type = type;
	w->id = id;
	switch (type) {
	case P_ALL:
		return 0;
	case P_PID:
		return id <= 0 ? -EINVAL : 0;
	case P_PGID:
		if (id < 0)
			return -EINVAL;
		if (id == 0)
			w->id = current->proc->pgid;
		return 0;
	case P_PIDFD:
		p = pidfd_process(id);
		if (!p)
			return -EBADF;
		w->type = P_PID;
		w->id = p->tgid;
		process_put(p);
		return 0;
	default:
		return -EINVAL;
	}
}

static s64 sys_waitid(const struct sys_args *s)
{
	struct waiting w = {.options = (u32)s->a[3]};
	struct ksiginfo info = {.signo = 0};
	s64 ret;

	if (w.options & ~(WNOHANG | WNOWAIT | WEXITED | WUNTRACED | WCONTINUED |
			  __WNOTHREAD | __WCLONE | __WALL))
		return -EINVAL;
	if (!(w.options & (WEXITED | WUNTRACED | WCONTINUED)))
		return -EINVAL;
	ret = waitid_who(&w, (u32)s->a[0], (s32)s->a[1]);
	if (ret)
		return ret;
	ret = do_wait(&w);
	if (ret < 0)
		return ret;
	if (ret > 0) {
		info.signo = SIGCHLD;
		info.code = w.code;
		info.u.chld.pid = w.pid;
		info.u.chld.uid = w.uid;
		info.u.chld.status = w.status;
		if (s->a[4] && rusage_write(s->a[4], &w.ru))
			return -EFAULT;
	}
	/* The words up to si_status; zeroes say that there was nobody. */
	if (s->a[2] && user_write(s->a[2], &info, 32))
		return -EFAULT;
	return 0;
}

static s64 sys_exit(const struct sys_args *s)
{
	do_exit((int)(s->a[0] & 0xff) << 8);
}

static s64 sys_exit_group(const struct sys_args *s)
{
	do_group_exit((int)(s->a[0] & 0xff) << 8);
}

void exit_sys_init(void)
{
	static const struct syscall_def defs[] = {
		{60, "exit", sys_exit},
		{61, "wait4", sys_wait4},
		{231, "exit_group", sys_exit_group},
		{247, "waitid", sys_waitid},
	};

	syscall_register(defs, ARRAY_SIZE(defs));
}
