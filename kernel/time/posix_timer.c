/* SPDX-License-Identifier: MIT */
/*
 * posix_timer.c - timer_create(2) and kin: timers that a program names.
 *
 * They belong to the process, which finds them by number; fork gives none,
 * execve and exit drop them. An expiration sends a signal with the timer's
 * number and value, unless the last one is still pending: then it is counted
 * as an overrun. Whether it is pending is read from the set of pending signals
 * of its target, so another signal of the same number hides an expiration too;
 * that is counted and so not lost either.
 *
 * Locking. A mutex of the process's table guards numbers and life; overruns
 * stand under the timer's own lock, which its expiration takes.
 */
#include <mmkit/slab.h>

#include "base/mutex.h"
#include "time_priv.h"

#define SIGALRM	 14
#define SI_TIMER (-2)

enum { SIGEV_SIGNAL, SIGEV_NONE, SIGEV_THREAD, SIGEV_THREAD_ID = 4 };

#define TIMERS_MAX 4096u /* of one process */

struct user_sigevent {
	u64 value;
	s32 signo, notify, tid;
	s32 pad[11];
};

struct posix_timer {
	struct ktimer k;
	struct list_head entry; /* (mutex) */
	s32 id;			/* (C) */
	struct process *owner;	/* (C) it outlives the timer */
	struct clock_ref clock; /* (C) */
	struct user_sigevent ev;
	struct task *to; /* (C) a reference; NULL: the process */
	spinlock_t lock; /* interrupts off */
	u64 overruns;	 /* (lock) since the last signal was sent */
};

/* process.timers */
struct timer_table {
	struct mutex mutex;
	struct list_head timers;
	u32 nr;
	s32 last_id; /* numbers go up from 0 */
};

/* ---- expiring --------------------------------------------------------------
 */

static bool still_pending(const struct posix_timer *t)
{
	u64 set = t->to ? READ_ONCE(t->to->pending.set)
			: READ_ONCE(t->owner->shared.set);

	return (set & SIGSET(t->ev.signo)) != 0;
}

static void send(struct posix_timer *t, u64 overruns)
{
	struct ksiginfo info = {.signo = t->ev.signo, .code = SI_TIMER};

	info.u.timer.tid = t->id;
	info.u.timer.overrun = (s32)min(overruns, (u64)INT32_MAX);
	info.u.timer.value = t->ev.value;
	/* A queue that is full costs an expiration; the next tries again. */
	if (t->to)
		(void)send_sig_task(t->to, t->ev.signo, &info);
	else
		(void)send_sig_process(t->owner, t->ev.signo, &info);
}

static void timer_fired(struct ktimer *k, u64 times)
{
	struct posix_timer *t = container_of(k, struct posix_timer, k);
	unsigned long flags;
	u64 overruns = times - 1;
	bool pending;

	if (!times || t->ev.notify == SIGEV_NONE)
		return;
	pending = still_pending(t);
	spin_lock_irqsave(&t->lock, flags);
	t->overruns = pending ? t->overruns + times : overruns;
	spin_unlock_irqrestore(&t->lock, flags);
	if (!pending)
		send(t, overruns);
}

/* ---- the table -------------------------------------------------------------
 */

/* The current process's, made when it is first needed. NULL: no memory. */
static struct timer_table *timer_table(void)
{
	struct process *p = current->proc;
	struct timer_table *t = smp_load_acquire(&p->timers), *other;

	if (t)
		return t;
	t = kzalloc(sizeof(*t), GFP_KERNEL);
	if (!t)
		return NULL;
	mutex_init(&t->mutex, LOCK_CLASS_NONE);
	t->last_id = -1;
	INIT_LIST_HEAD(&t->timers);
	other = mm_cmpxchg(&p->timers, (void *)NULL, (void *)t);
	if (!other)
		return t;
	kfree(t);
	return other;
}

/* With the table locked; NULL: no such timer, nothing locked. */
static struct posix_timer *timer_lock(s32 id, struct timer_table **table)
{
	struct timer_table *tt = smp_load_acquire(&current->proc->timers);
	struct posix_timer *t;

	if (!tt)
		return NULL;
	mutex_lock(&tt->mutex);
	*table = tt;
	list_for_each_entry (t, &tt->timers, entry)
		if (t->id == id)
			return t;
	mutex_unlock(&tt->mutex);
	return NULL;
}

static void timer_free(struct posix_timer *t)
{
	ktimer_stop(&t->k);
	clock_release(&t->clock);
	if (t->to)
		task_put(t->to);
	kfree(t);
}

void posix_timers_drop(struct process *p)
{
	struct timer_table *tt = p->timers;
	struct posix_timer *t, *next;

	if (!tt)
		return;
	p->timers = NULL;
	list_for_each_entry_safe (t, next, &tt->timers, entry) {
		list_del(&t->entry);
		timer_free(t);
	}
	kfree(tt);
}

/* ---- system calls ----------------------------------------------------------
 */

/* EV makes sense; *TO: the thread it names, with a reference. */
static int check_event(const struct user_sigevent *ev, struct task **to)
{
	if (ev->notify == SIGEV_NONE)
		return 0;
	if (ev->signo <= 0 || ev->signo > NSIG)
		return -EINVAL;
	if (ev->notify == SIGEV_SIGNAL || ev->notify == SIGEV_THREAD)
		return 0;
	if (ev->notify != SIGEV_THREAD_ID)
		return -EINVAL;
	*to = task_find(ev->tid);
	if (*to && (*to)->proc == current->proc)
		return 0;
	if (*to)
		task_put(*to);
	*to = NULL;
	return -EINVAL;
}

/* A number that no timer has. Table locked. */
static s32 new_id(struct timer_table *tt)
{
	struct posix_timer *t;
	bool taken;

	do {
		taken = false;
		if (++tt->last_id < 0)
			tt->last_id = 0;
		list_for_each_entry (t, &tt->timers, entry)
			taken |= t->id == tt->last_id;
	} while (taken);
	return tt->last_id;
}

static int timer_enter(struct timer_table *tt, struct posix_timer *t,
		       const struct user_sigevent *ev)
{
	mutex_lock(&tt->mutex);
	if (tt->nr >= TIMERS_MAX) {
		mutex_unlock(&tt->mutex);
		return -EAGAIN;
	}
	t->id = new_id(tt);
	if (ev)
		t->ev = *ev;
	else
		t->ev = (struct user_sigevent){
			(u64)t->id, SIGALRM, SIGEV_SIGNAL, 0, {0}};
	list_add_tail(&t->entry, &tt->timers);
	tt->nr++;
	mutex_unlock(&tt->mutex);
	return 0;
}

static void timer_leave(struct timer_table *tt, struct posix_timer *t)
{
	list_del(&t->entry);
	tt->nr--;
	mutex_unlock(&tt->mutex);
	timer_free(t);
}

static struct posix_timer *timer_new(const struct clock_ref *c)
{
	struct posix_timer *t = kzalloc(sizeof(*t), GFP_KERNEL);

	if (!t)
		return NULL;
	ktimer_init(&t->k, c->clock, timer_fired);
	t->k.cpu_kind = c->kind;
	t->k.cpu_proc = c->proc;
	t->k.cpu_tid = c->tid;
	t->clock = *c;
	t->owner = current->proc;
	spin_lock_init(&t->lock, LOCK_CLASS_NONE);
	return t;
}

/* Takes over what T refers to. */
static s64 timer_create(struct posix_timer *t, const struct user_sigevent *ev,
			u64 id_to)
{
	struct timer_table *tt = timer_table();
	int err = tt ? 0 : -EAGAIN;

	if (!err && t->k.clock == KT_CPU)
		err = cpu_clock_start();
	if (!err)
		err = timer_enter(tt, t, ev);
	if (err) {
		timer_free(t);
		return err;
	}
	if (user_write(id_to, &t->id, sizeof(t->id))) {
		mutex_lock(&tt->mutex);
		timer_leave(tt, t);
		return -EFAULT;
	}
	return 0;
}

static int find_timer_clock(s32 clockid, struct clock_ref *c)
{
	switch (clockid) {
	case CLOCK_MONOTONIC_RAW:
	case CLOCK_REALTIME_COARSE:
	case CLOCK_MONOTONIC_COARSE:
		return -EOPNOTSUPP;
	}
	return clock_find(clockid, c);
}

static s64 sys_timer_create(const struct sys_args *s)
{
	struct user_sigevent ev;
	struct clock_ref c;
	struct task *to = NULL;
	struct posix_timer *t;
	int err = 0;

	if (s->a[1] && user_read(&ev, s->a[1], sizeof(ev)))
		return -EFAULT;
	if (s->a[1])
		err = check_event(&ev, &to);
	if (!err)
		err = find_timer_clock((s32)s->a[0], &c);
	if (err)
		goto put;
	t = timer_new(&c);
	if (!t) {
		clock_release(&c);
		err = -EAGAIN;
		goto put;
	}
	t->to = to;
	return timer_create(t, s->a[1] ? &ev : NULL, s->a[2]);
put:
	if (to)
		task_put(to);
	return err;
}

static int write_itimerspec(u64 to, const struct ktimer_value *v)
{
	if (user_write_timespec(to, v->interval))
		return -EFAULT;
	return user_write_timespec(to + sizeof(struct ktimespec), v->value);
}

static s64 sys_timer_settime(const struct sys_args *s)
{
	struct ktimespec in[2];
	struct ktimer_value v, old;
	struct timer_table *tt;
	struct posix_timer *t;
	int err;

	err = user_read_timespec(&in[0], s->a[2]);
	if (!err)
		err = user_read_timespec(&in[1], s->a[2] + sizeof(in[0]));
	if (err)
		return err;
	t = timer_lock((s32)s->a[0], &tt);
	if (!t)
		return -EINVAL;
	v.interval = timespec_ns(&in[0]);
	v.value = timespec_ns(&in[1]);
	ktimer_set(&t->k, s->a[1] & TIMER_ABSTIME, &v, &old);
	mutex_unlock(&tt->mutex);
	return s->a[3] ? write_itimerspec(s->a[3], &old) : 0;
}

static s64 sys_timer_gettime(const struct sys_args *s)
{
	struct ktimer_value v;
	struct timer_table *tt;
	struct posix_timer *t = timer_lock((s32)s->a[0], &tt);

	if (!t)
		return -EINVAL;
	ktimer_get(&t->k, &v);
	mutex_unlock(&tt->mutex);
	return write_itimerspec(s->a[1], &v);
}

static s64 sys_timer_getoverrun(const struct sys_args *s)
{
	struct timer_table *tt;
	struct posix_timer *t = timer_lock((s32)s->a[0], &tt);
	unsigned long flags;
	u64 n;

	if (!t)
		return -EINVAL;
	spin_lock_irqsave(&t->lock, flags);
	n = t->overruns;
	spin_unlock_irqrestore(&t->lock, flags);
	mutex_unlock(&tt->mutex);
	return (s64)min(n, (u64)INT32_MAX);
}

static s64 sys_timer_delete(const struct sys_args *s)
{
	struct timer_table *tt;
	struct posix_timer *t = timer_lock((s32)s->a[0], &tt);

	if (!t)
		return -EINVAL;
	timer_leave(tt, t);
	return 0;
}

static const struct syscall_def posix_timer_calls[] = {
	{222, "timer_create", sys_timer_create},
	{223, "timer_settime", sys_timer_settime},
	{224, "timer_gettime", sys_timer_gettime},
	{225, "timer_getoverrun", sys_timer_getoverrun},
	{226, "timer_delete", sys_timer_delete},
};

void posix_timer_sys_init(void)
{
	syscall_register(posix_timer_calls, ARRAY_SIZE(posix_timer_calls));
}
