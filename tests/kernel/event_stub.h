/* SPDX-License-Identifier: MIT */
/*
 * event_stub.h - several tasks for tests of kernel/event and kernel/time,
 * without kernel/task: each is a thread of the machine with a process of its
 * own or its maker's, signals are a set of bits, calls are made by number.
 */
#ifndef TESTS_KERNEL_EVENT_STUB_H
#define TESTS_KERNEL_EVENT_STUB_H

#include <string.h>

#include "event.h"
#include "ktime.h"
#include "machine_test.h"
#include "syscall.h"
#include "task.h"
#include "vfs.h"

#define ES_WEAK	 __attribute__((weak))
#define ES_TASKS 64

struct es_task {
	struct task t;
	struct port_thread *thread;
	void (*fn)(void *arg);
	void *arg;
	struct mm_struct *mm;
	u64 pending; /* (A) signals, not blocked */
	bool used;
};

static struct {
	struct es_task task[ES_TASKS];
	struct process proc[ES_TASKS];
	u64 sent[NSIG + 1]; /* (A) */
	s32 last_pgrp;
	syscall_fn call[NR_SYSCALLS];
	u64 nofile;
	s64 user_holds;
	bool may; /* capable() */
} es;

ES_WEAK void syscall_register(const struct syscall_def *defs, u32 n)
{
	for (u32 i = 0; i < n; i++) {
		CHECK(!es.call[defs[i].nr]);
		es.call[defs[i].nr] = defs[i].fn;
	}
}

static inline s64 es_call(u32 nr, u64 a, u64 b, u64 c, u64 d, ...)
{
	struct sys_args s = {{a, b, c, d}};
	va_list ap;

	va_start(ap, d);
	s.a[4] = va_arg(ap, u64);
	s.a[5] = va_arg(ap, u64);
	va_end(ap);
	CHECK(es.call[nr]);
	return es.call[nr](&s);
}
/* Up to six arguments. */
#define ES_CALL_(nr, a, b, c, d, e, f, ...) \
	es_call(nr, (u64)(a), (u64)(b), (u64)(c), (u64)(d), (u64)(e), (u64)(f))
#define CALL(...) ES_CALL_(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)

static inline struct es_task *es_of(const struct task *t)
{
	return container_of(t, struct es_task, t);
}

ES_WEAK bool signal_pending(const struct task *t)
{
	return __atomic_load_n(&es_of(t)->pending, __ATOMIC_SEQ_CST) != 0;
}
ES_WEAK bool fatal_signal_pending_task(const struct task *t)
{
	return (__atomic_load_n(&es_of(t)->pending, __ATOMIC_SEQ_CST) &
		SIGSET(9)) != 0;
}
ES_WEAK int send_sig_task(struct task *t, int sig, const struct ksiginfo *info)
{
	(void)info;
	(void)mm_fetch_add(&es.sent[sig], 1UL);
	(void)mm_fetch_or(&es_of(t)->pending, SIGSET(sig));
	wake_up_all(&t->proc->signal_wait);
	machine_kick(t->thread);
	return 0;
}
ES_WEAK int send_sig_process(struct process *p, int sig,
			     const struct ksiginfo *info)
{
	for (u32 i = 0; i < ES_TASKS; i++)
		if (es.task[i].used && es.task[i].t.proc == p)
			return send_sig_task(&es.task[i].t, sig, info);
	(void)mm_fetch_add(&es.sent[sig], 1UL);
	return 0;
}
ES_WEAK int send_sig_pgrp(s32 pgid, int sig, const struct ksiginfo *info)
{
	(void)info;
	es.last_pgrp = pgid;
	(void)mm_fetch_add(&es.sent[sig], 1UL);
	return 0;
}
ES_WEAK bool sig_ignored_or_blocked(const struct task *t, int sig)
{
	return (t->blocked & SIGSET(sig)) != 0;
}
ES_WEAK void sigmask_once(u64 mask)
{
	current->saved_blocked = current->blocked;
	current->blocked = mask;
	current->restore_blocked = true;
}
ES_WEAK u64 rlimit(u32 resource)
{
	return resource == 7 ? es.nofile : RLIM_INFINITY;
}
ES_WEAK bool capable(int cap)
{
	(void)cap;
	return es.may;
}
struct user *user_hold(struct user *u);
void user_put(struct user *u);
ES_WEAK struct user *user_hold(struct user *u)
{
	es.user_holds++;
	return u;
}
ES_WEAK void user_put(struct user *u)
{
	(void)u;
	es.user_holds--;
}
ES_WEAK struct task *task_find(s32 tid)
{
	for (u32 i = 0; i < ES_TASKS; i++)
		if (READ_ONCE(es.task[i].used) && es.task[i].t.tid == tid &&
		    !es.task[i].t.dead)
			return &es.task[i].t;
	return NULL;
}
ES_WEAK void task_put(struct task *t)
{
	(void)t;
}
ES_WEAK struct process *process_find(s32 tgid)
{
	for (u32 i = 0; i < ES_TASKS; i++)
		if (es.proc[i].count && es.proc[i].tgid == tgid)
			return &es.proc[i];
	return NULL;
}
ES_WEAK void process_put(struct process *p)
{
	(void)p;
}
ES_WEAK struct process *process_next(s32 after)
{
	struct process *best = NULL;

	for (u32 i = 0; i < ES_TASKS; i++)
		if (es.proc[i].count && es.proc[i].tgid > after &&
		    (!best || es.proc[i].tgid < best->tgid))
			best = &es.proc[i];
	return best;
}
ES_WEAK struct task *task_next(struct process *p, s32 after)
{
	struct task *best = NULL;

	for (u32 i = 0; i < ES_TASKS; i++) {
		struct task *t = &es.task[i].t;

		if (es.task[i].used && t->proc == p && t->tid > after &&
		    (!best || t->tid < best->tid))
			best = t;
	}
	return best;
}

/* ---- tasks ------------------------------------------------------------------
 */

static inline struct es_task *es_new(struct process *proc)
{
	static s32 last_tid;

	for (u32 i = 0; i < ES_TASKS; i++) {
		struct es_task *e = &es.task[i];

		if (e->used)
			continue;
		memset(e, 0, sizeof(*e));
		if (!proc) {
			proc = &es.proc[i];
			memset(proc, 0, sizeof(*proc));
			proc->count = 1;
			proc->tgid = proc->pgid = proc->sid = 100 + (s32)i;
			time_process_init(proc);
			init_waitqueue_head(&proc->signal_wait);
		}
		proc->nr_threads++;
		e->t.proc = proc;
		if (++last_tid < 100)
			last_tid = 100;
		e->t.tid = proc->nr_threads == 1 ? proc->tgid
						 : 1000 + (last_tid++);
		WRITE_ONCE(e->used, true);
		return e;
	}
	CHECK(!"too many tasks");
	return NULL;
}

/* The first task: the running thread, in MM. */
static inline struct es_task *es_start(struct mm_struct *mm)
{
	struct es_task *e;

	memset(&es, 0, sizeof(es));
	es.nofile = 1024;
	es.may = true;
	CHECK_EQ(time_init(), 0);
	e = es_new(NULL);
	kt_start(&e->t);
	e->t.thread = e->thread = port_self();
	e->t.mt = port_current();
	e->mm = mm;
	return e;
}

static inline void es_main(void *arg)
{
	struct es_task *e = arg;

	e->t.mt = port_current();
	if (e->mm)
		mm_task_attach(port_current(), e->mm);
	e->fn(e->arg);
	e->t.dead = true;
	if (e->t.files) {
		files_put(e->t.files);
		fs_put(e->t.fs);
	}
	if (e->mm)
		mm_task_exit(port_current());
}

/* A task more: FN(ARG) in MM; PROC NULL: a process of its own. */
static inline struct es_task *es_spawn(struct process *proc,
				       struct mm_struct *mm,
				       void (*fn)(void *arg), void *arg)
{
	struct es_task *e = es_new(proc);

	e->fn = fn;
	e->arg = arg;
	e->mm = mm;
	CHECK_EQ(machine_thread_create(&e->thread, "task", es_main, e, &e->t),
		 0);
	e->t.thread = e->thread;
	machine_thread_start(e->thread);
	return e;
}

static inline void es_join(struct es_task *e)
{
	struct process *p = e->t.proc;

	machine_thread_free(e->thread);
	e->used = false;
	if (--p->nr_threads == 0) {
		time_process_exit(p);
		p->count = 0;
	}
}

static inline void es_stop(void)
{
	time_process_exit(es.task[0].t.proc);
	time_exit();
	kt_stop();
}

/* ---- files ------------------------------------------------------------------
 */

/* user_path: as the table of calls has it. */
ES_WEAK int user_path(char *buf, uva_t from)
{
	s64 n = strncpy_from_user(current->mt->mm, buf, from, PATH_MAX);

	if (n < 0)
		return (int)n;
	return n == PATH_MAX ? -ENAMETOOLONG : 0;
}

ES_WEAK int signal_take(u64 mask, struct ksiginfo *out)
{
	u64 *pending = &es_of(current)->pending;

	for (int sig = 1; sig <= NSIG; sig++) {
		if (!(READ_ONCE(*pending) & mask & SIGSET(sig)))
			continue;
		(void)mm_fetch_and(pending, ~SIGSET(sig));
		memset(out, 0, sizeof(*out));
		out->signo = sig;
		return sig;
	}
	return 0;
}
ES_WEAK u64 signal_pending_set(void)
{
	return READ_ONCE(es_of(current)->pending);
}

/* Everything of files and events; the first task has descriptors. */
static inline struct es_task *es_start_files(struct mm_struct *mm)
{
	struct es_task *e = es_start(mm);

	kt_set_wall_ns(1700000000UL * 1000000000UL);
	CHECK_EQ(vfs_init(), 0);
	fs_sys_init();
	event_sys_init();
	time_sys_init();
	CHECK_EQ(event_init(), 0);
	e->t.cred.cap_effective = e->t.cred.cap_permitted = ~0UL;
	e->t.files = files_new();
	e->t.fs = fs_new();
	CHECK(e->t.files && e->t.fs);
	return e;
}

static inline void es_stop_files(void)
{
	struct es_task *e = &es.task[0];

	files_put(e->t.files);
	fs_put(e->t.fs);
	e->t.files = NULL;
	kt_set_owner(NULL);
	vfs_shutdown();
	es_stop();
}

/* A task that shares FROM's descriptors. */
static inline struct es_task *es_spawn_files(struct es_task *from,
					     void (*fn)(void *arg), void *arg)
{
	struct es_task *e = es_new(from->t.proc);

	e->fn = fn;
	e->arg = arg;
	e->mm = from->mm;
	e->t.files = files_get(from->t.files);
	e->t.fs = fs_get(from->t.fs);
	e->t.cred = from->t.cred;
	CHECK_EQ(machine_thread_create(&e->thread, "task", es_main, e, &e->t),
		 0);
	e->t.thread = e->thread;
	machine_thread_start(e->thread);
	return e;
}

/* A signal has been dealt with. */
static inline void es_clear(struct es_task *e)
{
	__atomic_store_n(&e->pending, 0, __ATOMIC_SEQ_CST);
}

#endif
