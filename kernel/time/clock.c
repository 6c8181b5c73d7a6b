/* SPDX-License-Identifier: MIT */
/*
 * clock.c - clocks: what time it is, and who may change that.
 *
 * There are two clocks, the machine's wall clock and the time since boot, and
 * CPU time (cpu_clock.c). The others of clock_gettime(2) are these: raw and
 * boot time never differ from monotonic time on a machine that neither slews
 * nor sleeps; the coarse clocks are as fine as the others; TAI is told as an
 * offset of 0, as on a Linux that nobody told the leap seconds.
 *
 * A negative number names the CPU time of a process or thread by its id
 * (clock_getcpuclockid(3)): ~id << 3, 4 for a thread, 0 .. 2 for the kind.
 */
#include "time_priv.h"

#define CPUCLOCK_THREAD 4

/* ---- user memory -----------------------------------------------------------
 */

static u64 ns_of(s64 sec, s64 nsec)
{
	if (sec >= INT64_MAX / (s64)NSEC_PER_SEC)
		return INT64_MAX;
	return (u64)sec * NSEC_PER_SEC + (u64)nsec;
}

u64 timespec_ns(const struct ktimespec *t)
{
	return ns_of(t->sec, t->nsec);
}

int user_read_timespec(struct ktimespec *out, u64 from)
{
	if (user_read(out, from, sizeof(*out)))
		return -EFAULT;
	if (out->sec < 0 || (u64)out->nsec >= NSEC_PER_SEC)
		return -EINVAL;
	return 0;
}

int user_write_timespec(u64 to, u64 ns)
{
	struct ktimespec t = {(s64)(ns / NSEC_PER_SEC),
			      (s64)(ns % NSEC_PER_SEC)};

	return user_write(to, &t, sizeof(t));
}

int user_read_timeval_ns(u64 *ns, u64 from)
{
	struct ktimeval t;

	if (user_read(&t, from, sizeof(t)))
		return -EFAULT;
	if (t.sec < 0 || (u64)t.usec >= NSEC_PER_SEC / NSEC_PER_USEC)
		return -EINVAL;
	*ns = ns_of(t.sec, t.usec * (s64)NSEC_PER_USEC);
	return 0;
}

int user_write_timeval(u64 to, u64 ns)
{
	struct ktimeval t = {(s64)(ns / NSEC_PER_SEC),
			     (s64)(ns % NSEC_PER_SEC / NSEC_PER_USEC)};

	return user_write(to, &t, sizeof(t));
}

/* ---- which clock ----------------------------------------------------------
 */

/* The clock of a thread of the caller's own process. */
static int find_thread(s32 tid, struct clock_ref *out)
{
	struct task *t = task_find(tid);
	bool mine = t && t->proc == current->proc;

	if (t)
		task_put(t);
	if (!mine)
		return -EINVAL;
	out->tid = tid;
	out->proc = process_find(current->proc->tgid);
	return out->proc ? 0 : -EINVAL;
}

static int find_cpu(s32 id, struct clock_ref *out)
{
	s32 pid = ~(id >> 3);
	u32 kind = (u32)id & 3;

	if (kind > KT_CPU_SCHED)
		return -EINVAL;
	out->clock = KT_CPU;
	out->kind = (enum ktimer_cpu)kind;
	if (id & CPUCLOCK_THREAD)
		return find_thread(pid ? pid : current->tid, out);
	out->proc = process_find(pid ? pid : current->proc->tgid);
	return out->proc ? 0 : -EINVAL;
}

int clock_find(s32 id, struct clock_ref *out)
{
	*out = (struct clock_ref){.clock = KT_MONO};
	switch (id) {
	case CLOCK_MONOTONIC:
	case CLOCK_MONOTONIC_RAW:
	case CLOCK_MONOTONIC_COARSE:
	case CLOCK_BOOTTIME:
	case CLOCK_BOOTTIME_ALARM:
		return 0;
	case CLOCK_REALTIME:
	case CLOCK_REALTIME_COARSE:
	case CLOCK_REALTIME_ALARM:
	case CLOCK_TAI:
		out->clock = KT_REAL;
		return 0;
	case CLOCK_PROCESS_CPUTIME_ID:
		return find_cpu((s32)(~0u << 3) | KT_CPU_SCHED, out);
	case CLOCK_THREAD_CPUTIME_ID:
		return find_cpu(
			(s32)(~0u << 3) | CPUCLOCK_THREAD | KT_CPU_SCHED, out);
	}
	return id < 0 ? find_cpu(id, out) : -EINVAL;
}

void clock_release(struct clock_ref *c)
{
	if (c->proc)
		process_put(c->proc);
	c->proc = NULL;
}

u64 clock_now(const struct clock_ref *c)
{
	switch (c->clock) {
	case KT_REAL:
		return machine_wall_ns();
	case KT_CPU:
		return cpu_clock_now(c->proc, c->tid, c->kind);
	default:
		return port_now_ns();
	}
}

/* ---- system calls ----------------------------------------------------------
 */

static s64 sys_clock_gettime(const struct sys_args *s)
{
	struct clock_ref c;
	int err = clock_find((s32)s->a[0], &c);
	u64 now;

	if (err)
		return err;
	now = clock_now(&c);
	clock_release(&c);
	return user_write_timespec(s->a[1], now);
}

static s64 sys_clock_getres(const struct sys_args *s)
{
	struct clock_ref c;
	int err = clock_find((s32)s->a[0], &c);

	if (err)
		return err;
	clock_release(&c);
	return s->a[1] ? user_write_timespec(s->a[1], 1) : 0;
}

int clock_set_wall(u64 ns)
{
	if (!capable(CAP_SYS_TIME))
		return -EPERM;
	machine_set_wall_ns(ns);
	ktimer_clock_was_set();
	return 0;
}

static s64 sys_clock_settime(const struct sys_args *s)
{
	struct ktimespec t;
	struct clock_ref c;
	int err;

	/* Only one can be set; what is no clock at all is EINVAL as well. */
	if ((s32)s->a[0] != CLOCK_REALTIME) {
		err = clock_find((s32)s->a[0], &c);
		if (err)
			return err;
		clock_release(&c);
		return c.clock == KT_CPU ? -EPERM : -EINVAL;
	}
	err = user_read_timespec(&t, s->a[1]);
	return err ? err : clock_set_wall(timespec_ns(&t));
}

/* struct timezone: kept for who still asks. */
static s64 sys_gettimeofday(const struct sys_args *s)
{
	static const s32 zone[2];

	if (s->a[0] && user_write_timeval(s->a[0], machine_wall_ns()))
		return -EFAULT;
	if (s->a[1] && user_write(s->a[1], zone, sizeof(zone)))
		return -EFAULT;
	return 0;
}

static s64 sys_settimeofday(const struct sys_args *s)
{
	s32 zone[2];
	u64 ns = 0;
	int err = s->a[0] ? user_read_timeval_ns(&ns, s->a[0]) : 0;

	if (err)
		return err;
	if (s->a[1] && user_read(zone, s->a[1], sizeof(zone)))
		return -EFAULT;
	/* A time zone is the programs' business here: only none can be set. */
	if (s->a[1] && (zone[0] || zone[1]))
		return capable(CAP_SYS_TIME) ? -EINVAL : -EPERM;
	if (!s->a[0])
		return capable(CAP_SYS_TIME) ? 0 : -EPERM;
	return clock_set_wall(ns);
}

static s64 sys_time(const struct sys_args *s)
{
	s64 now = (s64)(machine_wall_ns() / NSEC_PER_SEC);

	if (s->a[0] && user_write(s->a[0], &now, sizeof(now)))
		return -EFAULT;
	return now;
}

static const struct syscall_def clock_calls[] = {
	{96, "gettimeofday", sys_gettimeofday},
	{164, "settimeofday", sys_settimeofday},
	{201, "time", sys_time},
	{227, "clock_settime", sys_clock_settime},
	{228, "clock_gettime", sys_clock_gettime},
	{229, "clock_getres", sys_clock_getres},
};

void clock_sys_init(void)
{
	syscall_register(clock_calls, ARRAY_SIZE(clock_calls));
}
