/* SPDX-License-Identifier: MIT */
/*
 * sleep.c - nanosleep(2), clock_nanosleep(2).
 *
 * A sleep of the clock since boot is a wait that nobody ends but time or a
 * signal. One until a time of the wall clock, which may be set, and one of CPU
 * time are a timer of that clock and a wait for it.
 *
 * A signal without a handler must not change how long a relative sleep takes:
 * it is restarted with the time at which it was to end (ERESTART_RESTARTBLOCK).
 * Where a handler ran the caller is told what was left.
 */
#include "time_priv.h"

struct sleeper {
	struct ktimer timer;
	wait_queue_head_t wait;
	bool due;
};

static void sleeper_due(struct ktimer *t, u64 times)
{
	struct sleeper *s = container_of(t, struct sleeper, timer);

	if (!times)
		return;
	WRITE_ONCE(s->due, true);
	wake_up_all(&s->wait);
}

/* 0, -ERESTARTSYS. */
static int sleep_mono(u64 deadline)
{
	wait_queue_head_t never;
	int err;

	init_waitqueue_head(&never);
	err = wait_event_deadline(never, false, deadline);
	return err == -ETIMEDOUT ? 0 : err;
}

static int sleep_timer(const struct clock_ref *c, u64 deadline)
{
	struct ktimer_value v = {.value = max(deadline, (u64)1)};
	struct sleeper s = {.due = false};
	int err;

	init_waitqueue_head(&s.wait);
	ktimer_init(&s.timer, c->clock, sleeper_due);
	s.timer.cpu_kind = c->kind;
	s.timer.cpu_proc = c->proc;
	s.timer.cpu_tid = c->tid;
	err = c->clock == KT_CPU ? cpu_clock_start() : 0;
	if (err)
		return err;
	ktimer_set(&s.timer, true, &v, NULL);
	err = wait_event_interruptible(s.wait, READ_ONCE(s.due));
	ktimer_stop(&s.timer);
	return err;
}

static int sleep_until(const struct clock_ref *c, u64 deadline)
{
	return c->clock == KT_MONO ? sleep_mono(deadline)
				   : sleep_timer(c, deadline);
}

static u64 left_until(const struct clock_ref *c, u64 deadline)
{
	u64 now = clock_now(c);

	return deadline > now ? deadline - now : 0;
}

static s64 sleep_restart(struct task *t);

/* A relative sleep that ends at DEADLINE of C; what is left goes to REM. */
static s64 sleep_relative(s32 clockid, struct clock_ref *c, u64 deadline,
			  u64 rem)
{
	struct task *t = current;
	int err = sleep_until(c, deadline);
	u64 left;

	if (err != -ERESTARTSYS)
		return err;
	left = left_until(c, deadline);
	if (!left)
		return 0;
	if (rem && user_write_timespec(rem, left))
		return -EFAULT;
	t->restart.fn = sleep_restart;
	t->restart.arg[0] = (u64)clockid;
	t->restart.arg[1] = deadline;
	t->restart.arg[2] = rem;
	return -ERESTART_RESTARTBLOCK;
}

/* Relative sleeps do not follow settings of the clock. */
static int find_relative(s32 clockid, struct clock_ref *c)
{
	int err = clock_find(clockid, c);

	if (!err && c->clock == KT_REAL)
		c->clock = KT_MONO;
	return err;
}

static s64 sleep_restart(struct task *t)
{
	s32 clockid = (s32)t->restart.arg[0];
	struct clock_ref c;
	s64 ret = find_relative(clockid, &c);

	if (ret)
		return ret;
	ret = sleep_relative(clockid, &c, t->restart.arg[1], t->restart.arg[2]);
	clock_release(&c);
	return ret;
}

/* Can one sleep by it? What ticks with the thread alone never would. */
static int may_sleep_by(s32 clockid)
{
	switch (clockid) {
	case CLOCK_MONOTONIC_RAW:
	case CLOCK_REALTIME_COARSE:
	case CLOCK_MONOTONIC_COARSE:
		return -EOPNOTSUPP;
	case CLOCK_THREAD_CPUTIME_ID:
		return -EINVAL;
	}
	return 0;
}

static s64 do_sleep(s32 clockid, u32 flags, u64 req, u64 rem)
{
	bool abs = flags & TIMER_ABSTIME;
	struct ktimespec t;
	struct clock_ref c;
	s64 ret = may_sleep_by(clockid);
	u64 end;

	if (!ret)
		ret = user_read_timespec(&t, req);
	if (!ret)
		ret = abs ? clock_find(clockid, &c)
			  : find_relative(clockid, &c);
	if (ret)
		return ret;
	if (c.tid == current->tid) {
		ret = -EINVAL;
	} else if (abs) {
		ret = sleep_until(&c, timespec_ns(&t));
		ret = ret == -ERESTARTSYS ? -ERESTARTNOHAND : ret;
	} else {
		end = clock_now(&c) + timespec_ns(&t);
		ret = sleep_relative(clockid, &c, end, rem);
	}
	clock_release(&c);
	return ret;
}

static s64 sys_nanosleep(const struct sys_args *s)
{
	return do_sleep(CLOCK_MONOTONIC, 0, s->a[0], s->a[1]);
}

static s64 sys_clock_nanosleep(const struct sys_args *s)
{
	return do_sleep((s32)s->a[0], (u32)s->a[1], s->a[2], s->a[3]);
}

static const struct syscall_def sleep_calls[] = {
	{35, "nanosleep", sys_nanosleep},
	{230, "clock_nanosleep", sys_clock_nanosleep},
};

void sleep_sys_init(void)
{
	syscall_register(sleep_calls, ARRAY_SIZE(sleep_calls));
}
