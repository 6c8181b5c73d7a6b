/* SPDX-License-Identifier: MIT */
/*
 * pid.c - numbers of tasks, groups and sessions; references; the reaper.
 *
 * 1. A number is in use as long as it names a task, a process group or a
 *    session: it must not be given to a newcomer before, or a signal to an old
 *    group would reach it. pid_entry counts the users; the one of a task also
 *    leads to it. Groups and sessions take the number of a living task, so
 *    only the task's own allocates.
 *
 * 2. Numbers go upwards and begin again at RESERVED_PIDS behind pid_max.
 *
 * 3. Tasks end in the reaper (task_priv.h): machine_thread_free() sleeps, and
 *    a reference may be given back in any context.
 *
 * Reference: credentials(7), proc(5) (pid_max).
 */
#include <mmkit/page_alloc.h>
#include <mmkit/slab.h>

#include "base/printk.h"
#include "base/string.h"
#include "task/task_priv.h"

#define RESERVED_PIDS	300
#define PID_MAX_DEFAULT 32768

struct task_state task_sys;

static struct hlist_head *pid_bucket(s32 nr)
{
	return &task_sys.pids[(u32)nr * 2654435769u >> (32 - PID_HASH_BITS)];
}

struct pid_entry *pid_lookup(s32 nr)
{
	struct hlist_node *n;

	assert_spin_locked(&task_sys.lock);
	for (n = pid_bucket(nr)->first; n; n = n->next) {
		struct pid_entry *e = hlist_entry(n, struct pid_entry, node);

		if (e->nr == nr)
			return e;
	}
	return NULL;
}

void pid_hold(s32 nr)
{
	struct pid_entry *e = pid_lookup(nr);

	mm_verify(e != NULL);
	e->count++;
}

void pid_drop(s32 nr)
{
	struct pid_entry *e = pid_lookup(nr);

	mm_verify(e != NULL && e->count > 0);
	if (--e->count)
		return;
	mm_verify(e->task == NULL);
	hlist_del_init(&e->node);
	kfree(e);
}

void pid_detach(struct task *t)
{
	struct pid_entry *e = t->pid;

	mm_verify(e->task == t);
	e->task = NULL;
	t->pid = NULL;
	pid_drop(e->nr);
}

/* The next number that nobody uses; 0: there is none. Locked. */
static s32 pid_next(void)
{
	s32 nr = task_sys.last_pid;

	for (s32 tries = 0; tries < task_sys.pid_max; tries++) {
		nr = nr + 1 >= task_sys.pid_max ? RESERVED_PIDS : nr + 1;
		if (!pid_lookup(nr))
			return nr;
	}
	return 0;
}

int pid_alloc(struct task *t, s32 want)
{
	struct pid_entry *e = kzalloc(sizeof(*e), GFP_KERNEL);
	unsigned long flags;
	int err = 0;

	if (!e)
		return -ENOMEM;
	task_lock(flags);
	e->nr = want ? want : pid_next();
	if (!e->nr || (want && pid_lookup(want)))
		err = want ? -EEXIST : -EAGAIN;
	if (!err) {
		if (!want)
			task_sys.last_pid = e->nr;
		e->count = 1;
		e->task = t;
		hlist_add_head(&e->node, pid_bucket(e->nr));
		t->pid = e;
		t->tid = e->nr;
	}
	task_unlock(flags);
	if (err)
		kfree(e);
	return err;
}

/* ---- finding ---------------------------------------------------------------
 */

struct task *task_lookup(s32 tid)
{
	struct pid_entry *e = pid_lookup(tid);

	/* One that is being made has no process yet. */
	return e && e->task && e->task->proc ? e->task : NULL;
}

struct process *process_lookup(s32 tgid)
{
	struct task *t = task_lookup(tgid);

	return t && t->proc->tgid == tgid ? t->proc : NULL;
}

struct task *task_get(struct task *t)
{
	__atomic_fetch_add(&t->count, 1, __ATOMIC_RELAXED);
	return t;
}

struct process *process_get(struct process *p)
{
	__atomic_fetch_add(&p->count, 1, __ATOMIC_RELAXED);
	return p;
}

void process_put(struct process *p)
{
	if (__atomic_sub_fetch(&p->count, 1, __ATOMIC_ACQ_REL) == 0)
		process_free(p);
}

struct task *task_find(s32 tid)
{
	unsigned long flags;
	struct task *t;

	task_lock(flags);
	t = task_lookup(tid);
	if (t)
		task_get(t);
	task_unlock(flags);
	return t;
}

struct process *process_find(s32 tgid)
{
	unsigned long flags;
	struct process *p;

	task_lock(flags);
	p = process_lookup(tgid);
	if (p)
		process_get(p);
	task_unlock(flags);
	return p;
}

struct process *process_next(s32 after)
{
	struct process *p, *best = NULL;
	unsigned long flags;

	task_lock(flags);
	list_for_each_entry (p, &task_sys.processes, all)
		if (p->tgid > after && (!best || p->tgid < best->tgid))
			best = p;
	if (best)
		process_get(best);
	task_unlock(flags);
	return best;
}

struct task *task_next(struct process *p, s32 after)
{
	struct task *t, *best = NULL;
	unsigned long flags;

	task_lock(flags);
	list_for_each_entry (t, &p->threads, group_entry)
		if (t->tid > after && (!best || t->tid < best->tid))
			best = t;
	if (best)
		task_get(best);
	task_unlock(flags);
	return best;
}

void for_each_process(bool (*fn)(struct process *p, void *arg), void *arg)
{
	struct process *p;
	unsigned long flags;

	task_lock(flags);
	list_for_each_entry (p, &task_sys.processes, all)
		if (!fn(p, arg))
			break;
	task_unlock(flags);
}

/* ---- the reaper ------------------------------------------------------------
 */

void task_put(struct task *t)
{
	unsigned long flags;

	if (__atomic_sub_fetch(&t->count, 1, __ATOMIC_ACQ_REL))
		return;
	spin_lock_irqsave(&task_sys.dead_lock, flags);
	list_add_tail(&t->dead_entry, &task_sys.dead);
	spin_unlock_irqrestore(&task_sys.dead_lock, flags);
	wake_up(&task_sys.dead_wait);
}

static struct task *dead_take(void)
{
	struct task *t;
	unsigned long flags;

	spin_lock_irqsave(&task_sys.dead_lock, flags);
	t = list_first_entry_or_null(&task_sys.dead, struct task, dead_entry);
	if (t)
		list_del(&t->dead_entry);
	spin_unlock_irqrestore(&task_sys.dead_lock, flags);
	return t;
}

static void reaper(void *arg)
{
	struct task *t;

	(void)arg;
	for (;;) {
		t = NULL;
		wait_event(task_sys.dead_wait,
			   (t = dead_take()) != NULL ||
				   READ_ONCE(task_sys.reaper_stop));
		if (!t)
			return;
		task_free(t);
	}
}

int reaper_start(void)
{
	return port_thread_start(&task_sys.reaper, "reaper", -1, reaper, NULL);
}

/* ---- boot ------------------------------------------------------------------
 */

/* The OOM killer chose TASK. Its fatal_signal says so to whoever asks; here it
 * is made to look, wherever it is. */
static void task_oom_kill(struct mm_task *task)
{
	if (task->thread && machine_owner(task->thread))
		machine_kick(task->thread);
	else if (task->thread)
		port_unpark(task->thread);
}

static int caches_init(struct task_state *s)
{
	s->task_cache = kmem_cache_create("task_struct", sizeof(struct task), 0,
					  SLAB_NO_MERGE | SLAB_ACCOUNT, NULL);
	s->process_cache =
		kmem_cache_create("signal_struct", sizeof(struct process), 0,
				  SLAB_NO_MERGE | SLAB_ACCOUNT, NULL);
	s->sighand_cache = kmem_cache_create("sighand", sizeof(struct sighand),
					     0, 0, NULL);
	s->sigqueue_cache = kmem_cache_create(
		"sigqueue", sizeof(struct sigqueue), 0, SLAB_NO_MERGE, NULL);
	return s->task_cache && s->process_cache && s->sighand_cache &&
			       s->sigqueue_cache
		       ? 0
		       : -ENOMEM;
}

int process_init(void)
{
	struct task_state *s = &task_sys;

	mm_memset(s, 0, sizeof(*s));
	spin_lock_init(&s->lock, LOCK_CLASS_TASK_LIST);
	spin_lock_init(&s->dead_lock, LOCK_CLASS_TASK_DEAD);
	INIT_LIST_HEAD(&s->processes);
	INIT_LIST_HEAD(&s->dead);
	init_waitqueue_head(&s->dead_wait);
	for (u32 i = 0; i < PID_HASH; i++)
		INIT_HLIST_HEAD(&s->pids[i]);
	for (u32 i = 0; i < USER_HASH; i++)
		INIT_HLIST_HEAD(&s->users[i]);
	s->pid_max = PID_MAX_DEFAULT;
	s->threads_max =
		(u32)clamp(totalram_pages() / 32, 64UL, (u64)PID_MAX_LIMIT);
	/* init is the first of them all */
	s->last_pid = 1;
	if (caches_init(s))
		return -ENOMEM;
	mm_set_kill_hook(task_oom_kill);
	return reaper_start();
}

static void cache_end(struct kmem_cache *s)
{
	kmem_cache_shrink(s);
	mm_verify(kmem_cache_destroy(s) == 0);
}

void process_shutdown(void)
{
	struct task_state *s = &task_sys;

	/* The last steps of a thread come after nobody knows it any more. */
	while (kmem_cache_active(s->task_cache))
		(void)port_park(100000);
	WRITE_ONCE(s->reaper_stop, true);
	wake_up(&s->dead_wait);
	port_thread_join(s->reaper);
	mm_set_kill_hook(NULL);
	mm_verify(list_empty(&s->processes) && list_empty(&s->dead));
	mm_verify(!s->nr_threads && !s->nr_processes);
	for (u32 i = 0; i < PID_HASH; i++)
		mm_verify(hlist_empty(&s->pids[i]));
	for (u32 i = 0; i < USER_HASH; i++)
		mm_verify(hlist_empty(&s->users[i]));
	cache_end(s->task_cache);
	cache_end(s->process_cache);
	cache_end(s->sighand_cache);
	cache_end(s->sigqueue_cache);
}
