/* SPDX-License-Identifier: MIT */
/*
 * info_sys.c - what a process asks about itself and the machine: numbers,
 * groups and sessions, times, uname(2), sysinfo(2); and what /proc shows of a
 * task.
 *
 * Reference: getpid(2), setpgid(2), setsid(2), getrusage(2), times(2),
 * uname(2), sysinfo(2), getcpu(2), proc(5).
 */
#include <mmkit/page_alloc.h>

#include "base/string.h"
#include "base/trace_ring.h"
#include "cache/swap.h"
#include "event.h"
#include "ktime.h"
#include "phys/vmstat.h"
#include "procfs/procfs.h"
#include "space/space.h"
#include "syscall.h"
#include "task/task_priv.h"
#include "vfs.h"

#define CLOCK_TICK_NS 10000000u /* 100 a second */

/* ---- numbers ---------------------------------------------------------------
 */

static s64 sys_getpid(const struct sys_args *s)
{
	(void)s;
	return current->proc->tgid;
}

static s64 sys_gettid(const struct sys_args *s)
{
	(void)s;
	return current->tid;
}

static s64 sys_getppid(const struct sys_args *s)
{
	unsigned long flags;
	s64 pid;

	(void)s;
	task_lock(flags);
	pid = current->proc->parent ? current->proc->parent->tgid : 0;
	task_unlock(flags);
	return pid;
}

static s64 sys_getpgrp(const struct sys_args *s)
{
	(void)s;
	return current->proc->pgid;
}

/* The group (SID false) or session of process PID, 0: the caller. */
static s64 group_of(s32 pid, bool sid)
{
	struct process *p;
	unsigned long flags;
	s64 ret = -ESRCH;

	task_lock(flags);
	p = pid ? process_lookup(pid) : current->proc;
	if (p)
		ret = sid ? p->sid : p->pgid;
	task_unlock(flags);
	return ret;
}

static s64 sys_getpgid(const struct sys_args *s)
{
	return group_of((s32)s->a[0], false);
}

static s64 sys_getsid(const struct sys_args *s)
{
	return group_of((s32)s->a[0], true);
}

/* Is there a group PGID in session SID? Locked. */
static bool group_in_session(s32 pgid, s32 sid)
{
	const struct process *p;

	list_for_each_entry (p, &task_sys.processes, all)
		if (p->pgid == pgid && p->sid == sid)
			return true;
	return false;
}

static void change_group(struct process *p, s32 pgid)
{
	s32 old = p->pgid;

	pid_hold(pgid);
	p->pgid = pgid;
	pid_drop(old);
}

static s64 setpgid_locked(struct process *p, s32 pgid)
{
	struct process *me = current->proc;

	if (p != me && p->parent != me)
		return -ESRCH;
	if (p != me && p->sid != me->sid)
		return -EPERM;
	if (p != me && p->did_exec)
		return -EACCES;
	if (p->sid == p->tgid)
		return -EPERM;
	if (pgid != p->tgid && !group_in_session(pgid, me->sid))
		return -EPERM;
	if (pgid != p->pgid)
		change_group(p, pgid);
	return 0;
}

static s64 sys_setpgid(const struct sys_args *s)
{
	s32 pid = (s32)s->a[0], pgid = (s32)s->a[1];
	struct process *p;
	unsigned long flags;
	s64 ret = -ESRCH;

	if (pgid < 0)
		return -EINVAL;
	task_lock(flags);
	p = pid ? process_lookup(pid) : current->proc;
	if (p)
		ret = setpgid_locked(p, pgid ? pgid : p->tgid);
	task_unlock(flags);
	return ret;
}

static s64 sys_setsid(const struct sys_args *s)
{
	struct process *p = current->proc, *o;
	s64 ret = p->tgid;
	unsigned long flags;

	(void)s;
	task_lock(flags);
	list_for_each_entry (o, &task_sys.processes, all)
		if (o->pgid == p->tgid)
			ret = -EPERM;
	if (ret > 0) {
		change_group(p, p->tgid);
		pid_hold(p->tgid);
		pid_drop(p->sid);
		p->sid = p->tgid;
	}
	task_unlock(flags);
	if (ret > 0)
		tty_setsid(p);
	return ret;
}

/* ---- times -----------------------------------------------------------------
 */

/* What P used so far, ended threads and running ones. */
static void usage_self(struct process *p, struct rusage_words *r)
{
	struct mm_usage usage;
	unsigned long flags;
	struct task *t;

	mm_usage_get(current->mt->mm, &usage);
	task_lock(flags);
	*r = (struct rusage_words){p->utime,   p->stime, p->maxrss, p->min_flt,
				   p->maj_flt, p->nvcsw, p->nivcsw};
	list_for_each_entry (t, &p->threads, group_entry) {
		u64 user, sys, wait, lost;

		if (t->dead)
			continue;
		machine_thread_times(t->thread, &user, &sys);
		machine_thread_switches(t->thread, &wait, &lost);
		r->utime += user;
		r->stime += sys;
		r->nvcsw += wait;
		r->nivcsw += lost;
		r->min_flt += READ_ONCE(t->mt->min_flt);
		r->maj_flt += READ_ONCE(t->mt->maj_flt);
	}
	task_unlock(flags);
	r->maxrss = max(r->maxrss, usage.hiwater_rss << (PAGE_SHIFT - 10));
}

static void usage_children(struct process *p, struct rusage_words *r)
{
	unsigned long flags;

	task_lock(flags);
	*r = (struct rusage_words){p->cutime,	p->cstime,   p->cmaxrss,
				   p->cmin_flt, p->cmaj_flt, p->cnvcsw,
				   p->cnivcsw};
	task_unlock(flags);
}

static s64 sys_getrusage(const struct sys_args *s)
{
	struct rusage_words r;

	switch ((int)s->a[0]) {
	case 0: /* RUSAGE_SELF */
		usage_self(current->proc, &r);
		break;
	case -1: /* RUSAGE_CHILDREN */
		usage_children(current->proc, &r);
		break;
	case 1: /* RUSAGE_THREAD */
		usage_self(current->proc, &r);
		machine_thread_times(current->thread, &r.utime, &r.stime);
		r.min_flt = current->mt->min_flt;
		r.maj_flt = current->mt->maj_flt;
		machine_thread_switches(current->thread, &r.nvcsw, &r.nivcsw);
		break;
	default:
		return -EINVAL;
	}
	return rusage_write(s->a[1], &r);
}

static s64 sys_times(const struct sys_args *s)
{
	struct rusage_words self, children;
	u64 t[4];

	usage_self(current->proc, &self);
	usage_children(current->proc, &children);
	t[0] = self.utime / CLOCK_TICK_NS;
	t[1] = self.stime / CLOCK_TICK_NS;
	t[2] = children.utime / CLOCK_TICK_NS;
	t[3] = children.stime / CLOCK_TICK_NS;
	if (s->a[0] && user_write(s->a[0], t, sizeof(t)))
		return -EFAULT;
	return (s64)(port_now_ns() / CLOCK_TICK_NS);
}

/* ---- the machine -----------------------------------------------------------
 */

#define UTS_LEN	      65u
#define CAP_SYS_ADMIN 21

static struct {
	char host[UTS_LEN], domain[UTS_LEN];
} uts_sys = {"mmkit", "(none)"};

static s64 sys_uname(const struct sys_args *s)
{
	char w[6][UTS_LEN] = {"Linux",	      "",	"6.1.0-mmkit",
			      "#1 SMP mmkit", "x86_64", ""};

	mm_memcpy(w[1], uts_sys.host, UTS_LEN);
	mm_memcpy(w[5], uts_sys.domain, UTS_LEN);
	return user_write(s->a[0], w, sizeof(w));
}

static s64 set_name(char *name, const struct sys_args *s)
{
	char new[UTS_LEN] = {0};
	s64 len = (s64)(int)s->a[1];

	if (!capable(CAP_SYS_ADMIN))
		return -EPERM;
	if (len < 0 || len >= (s64)UTS_LEN)
		return -EINVAL;
	if (user_read(new, s->a[0], (u64)len))
		return -EFAULT;
	mm_memcpy(name, new, UTS_LEN);
	return 0;
}

static s64 sys_sethostname(const struct sys_args *s)
{
	return set_name(uts_sys.host, s);
}

static s64 sys_setdomainname(const struct sys_args *s)
{
	return set_name(uts_sys.domain, s);
}

const char *uts_hostname(void)
{
	return uts_sys.host;
}

struct sysinfo_words { /* struct sysinfo, 112 bytes */
	s64 uptime;
	u64 loads[3];
	u64 totalram, freeram, sharedram, bufferram, totalswap, freeswap;
	u16 procs, pad;
	u32 pad2;
	u64 totalhigh, freehigh;
	u32 mem_unit, pad3;
};
MM_STATIC_ASSERT(sizeof(struct sysinfo_words) == 112, "as programs know it");

static s64 sys_sysinfo(const struct sys_args *s)
{
	struct sysinfo_words w = {
		.uptime = (s64)(port_now_ns() / NSEC_PER_SEC),
		.totalram = totalram_pages() << PAGE_SHIFT,
		.freeram = global_zone_page_state(NR_FREE_PAGES) << PAGE_SHIFT,
		.sharedram = global_node_page_state(NR_SHMEM) << PAGE_SHIFT,
		.totalswap = READ_ONCE(cache_sys.total_swap_pages)
			     << PAGE_SHIFT,
		.freeswap = get_nr_swap_pages() << PAGE_SHIFT,
		.procs = (u16)READ_ONCE(task_sys.nr_threads),
		.mem_unit = 1,
	};

	loadavg_get(w.loads);
	return user_write(s->a[0], &w, sizeof(w));
}

static s64 sys_getcpu(const struct sys_args *s)
{
	u32 cpu = (u32)machine_thread_cpu(current->thread);
	u32 node = (u32)port_cpu_node((int)cpu);

	if ((s->a[0] && user_write(s->a[0], &cpu, 4)) ||
	    (s->a[1] && user_write(s->a[1], &node, 4)))
		return -EFAULT;
	return 0;
}

#define GRND_NONBLOCK 1u
#define GRND_RANDOM   2u
#define GRND_INSECURE 4u

/* getrandom(2): the machine's entropy is there from the start. */
static s64 sys_getrandom(const struct sys_args *s)
{
	u64 len = min(s->a[1], (u64)INT32_MAX), done = 0;
	u64 w[32];

	if (s->a[2] & ~(u64)(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE) ||
	    (s->a[2] & (GRND_RANDOM | GRND_INSECURE)) ==
		    (GRND_RANDOM | GRND_INSECURE))
		return -EINVAL;
	while (done < len) {
		u64 n = min(len - done, (u64)sizeof(w));

		for (u32 i = 0; i < DIV_ROUND_UP(n, sizeof(w[0])); i++)
			w[i] = port_entropy();
		if (user_write(s->a[0] + done, w, n))
			return done ? (s64)done : -EFAULT;
		done += n;
		if (signal_pending(current))
			break;
	}
	return (s64)done;
}

/* ---- for /proc -------------------------------------------------------------
 */

struct files_struct *task_files(struct task *t)
{
	struct files_struct *f;
	unsigned long flags;

	task_lock(flags);
	f = t->files ? files_get(t->files) : NULL;
	task_unlock(flags);
	return f;
}

struct fs_struct *task_fs(struct task *t)
{
	struct fs_struct *f;
	unsigned long flags;

	task_lock(flags);
	f = t->fs ? fs_get(t->fs) : NULL;
	task_unlock(flags);
	return f;
}

struct mm_struct *task_mm(struct task *t)
{
	struct mm_struct *mm;

	/* The lock under which a task leaves its space (mm.c). */
	spin_lock(&space_sys.lock);
	mm = t->mt->mm;
	if (mm && !mm_get_not_zero(mm))
		mm = NULL;
	spin_unlock(&space_sys.lock);
	return mm;
}

/* R, S, T, t or Z. Locked. */
static char state_of(const struct task *t)
{
	if (t->dead)
		return 'Z';
	if (t->trace.stopped)
		return 't';
	if (t->stopped && !t->trace.tracer)
		return 'T';
	return machine_thread_running(t->thread) ? 'R' : 'S';
}

static void stat_signals(const struct task *t, struct task_stat *out)
{
	const struct process *p = t->proc;

	out->sigpnd = t->pending.set;
	out->shdpnd = p->shared.set;
	out->blocked = t->blocked;
	for (u32 i = 0; i < NSIG; i++) {
		u64 handler = p->sighand->action[i].handler;

		if (handler == SIG_IGN)
			out->ignored |= 1UL << i;
		else if (handler != SIG_DFL)
			out->caught |= 1UL << i;
	}
}

/* The times of the process, its running threads' included. Locked. */
static void stat_times(const struct task *t, struct task_stat *out)
{
	struct process *p = t->proc;
	struct task *o;

	out->utime = p->utime;
	out->stime = p->stime;
	out->min_flt = p->min_flt;
	out->maj_flt = p->maj_flt;
	list_for_each_entry (o, &p->threads, group_entry) {
		u64 user, sys;

		if (o->dead)
			continue;
		machine_thread_times(o->thread, &user, &sys);
		out->utime += user;
		out->stime += sys;
		out->min_flt += READ_ONCE(o->mt->min_flt);
		out->maj_flt += READ_ONCE(o->mt->maj_flt);
	}
	out->cutime = p->cutime;
	out->cstime = p->cstime;
	out->cmin_flt = p->cmin_flt;
	out->cmaj_flt = p->cmaj_flt;
}

void task_io_sum(struct mm_task_io *to, const struct mm_task_io *from)
{
	to->rchar += READ_ONCE(from->rchar);
	to->wchar += READ_ONCE(from->wchar);
	to->syscr += READ_ONCE(from->syscr);
	to->syscw += READ_ONCE(from->syscw);
	to->read_bytes += READ_ONCE(from->read_bytes);
	to->write_bytes += READ_ONCE(from->write_bytes);
	to->cancelled_write_bytes += READ_ONCE(from->cancelled_write_bytes);
}

void task_io_get(struct task *t, bool own, struct mm_task_io *out)
{
	unsigned long flags;
	struct task *o;

	mm_memset(out, 0, sizeof(*out));
	task_lock(flags);
	if (own) {
		task_io_sum(out, &t->mt->io);
	} else {
		task_io_sum(out, &t->proc->io);
		list_for_each_entry (o, &t->proc->threads, group_entry)
			if (!o->dead)
				task_io_sum(out, &o->mt->io);
	}
	task_unlock(flags);
}

void task_stat_own(struct task *t, struct task_stat *out)
{
	unsigned long flags;

	task_lock(flags);
	out->start_ns = t->start_ns;
	out->min_flt = READ_ONCE(t->mt->min_flt);
	out->maj_flt = READ_ONCE(t->mt->maj_flt);
	/* What ended has given its times to the process. */
	out->utime = out->stime = 0;
	if (!t->dead)
		machine_thread_times(t->thread, &out->utime, &out->stime);
	task_unlock(flags);
}

void task_stat_get(struct task *t, struct task_stat *out)
{
	struct process *p = t->proc;
	unsigned long flags;
	struct tty *tty;

	mm_memset(out, 0, sizeof(*out));
	task_lock(flags);
	mm_memcpy(out->comm, t->mt->comm, sizeof(out->comm));
	out->tid = t->tid;
	out->tgid = p->tgid;
	out->ppid = p->parent ? p->parent->tgid : 0;
	out->pgid = p->pgid;
	out->sid = p->sid;
	out->state = state_of(t);
	out->tracer = t->trace.tracer ? t->trace.tracer->tid : 0;
	stat_times(t, out);
	stat_signals(t, out);
	out->start_ns = p->start_ns;
	out->nice = t->nice;
	out->cpu = t->dead ? 0 : machine_thread_cpu(t->thread);
	out->wchan = t->dead ? 0 : machine_thread_wchan(t->thread);
	out->nr_threads = (int)p->nr_threads;
	out->exit_signal = p->exit_signal;
	out->cred = t->cred;
	/* Each thread's own; of one that is gone what its process has. */
	out->nvcsw = p->nvcsw;
	out->nivcsw = p->nivcsw;
	if (!t->dead)
		machine_thread_switches(t->thread, &out->nvcsw, &out->nivcsw);
	out->oom_score_adj = p->oom_score_adj;
	out->no_new_privs = t->no_new_privs;
	task_unlock(flags);
	tty = tty_of_process(p);
	out->tty_nr = tty ? (s32)tty_rdev(tty) : 0;
	out->tpgid = tty ? tty_fg_pgrp(tty) : -1;
	tty_put(tty);
}

void task_counts_get(struct task_counts *out)
{
	unsigned long flags;

	task_lock(flags);
	*out = (struct task_counts){
		.forks = task_sys.forks,
		.threads = task_sys.nr_threads,
		.processes = task_sys.nr_processes,
		.last_pid = task_sys.last_pid,
	};
	task_unlock(flags);
	out->running = machine_nr_running();
}

int process_set_oom_score_adj(struct process *p, int adj)
{
	struct task *t;
	unsigned long flags;

	if (adj < -1000 || adj > 1000)
		return -EINVAL;
	task_lock(flags);
	p->oom_score_adj = adj;
	list_for_each_entry (t, &p->threads, group_entry)
		WRITE_ONCE(t->mt->oom_score_adj, (s16)adj);
	t = list_first_entry_or_null(&p->threads, struct task, group_entry);
	if (t)
		trace_emit(OOM_SCORE_ADJ_UPDATE, (u64)p->tgid,
			   TRACE_TEXT(t->mt->comm), (u64)(s64)adj);
	task_unlock(flags);
	return 0;
}

void info_sys_init(void)
{
	static const struct syscall_def defs[] = {
		{39, "getpid", sys_getpid},
		{63, "uname", sys_uname},
		{98, "getrusage", sys_getrusage},
		{99, "sysinfo", sys_sysinfo},
		{100, "times", sys_times},
		{109, "setpgid", sys_setpgid},
		{110, "getppid", sys_getppid},
		{111, "getpgrp", sys_getpgrp},
		{112, "setsid", sys_setsid},
		{121, "getpgid", sys_getpgid},
		{124, "getsid", sys_getsid},
		{170, "sethostname", sys_sethostname},
		{171, "setdomainname", sys_setdomainname},
		{186, "gettid", sys_gettid},
		{309, "getcpu", sys_getcpu},
		{318, "getrandom", sys_getrandom},
	};

	syscall_register(defs, ARRAY_SIZE(defs));
}
