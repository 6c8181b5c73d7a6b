/* SPDX-License-Identifier: MIT */
/*
 * time_priv.h - what the files of kernel/time share.
 */
#ifndef KERNEL_TIME_PRIV_H
#define KERNEL_TIME_PRIV_H

#include <mmkit/errno.h>

#include "base/atomic.h"
#include "ktime.h"
#include "ktimer.h"
#include "syscall.h"
#include "task.h"

/* Clocks, as clock_gettime(2) numbers them. */
#define CLOCK_REALTIME		 0
#define CLOCK_MONOTONIC		 1
#define CLOCK_PROCESS_CPUTIME_ID 2
#define CLOCK_THREAD_CPUTIME_ID	 3
#define CLOCK_MONOTONIC_RAW	 4
#define CLOCK_REALTIME_COARSE	 5
#define CLOCK_MONOTONIC_COARSE	 6
#define CLOCK_BOOTTIME		 7
#define CLOCK_REALTIME_ALARM	 8
#define CLOCK_BOOTTIME_ALARM	 9
#define CLOCK_TAI		 11

#define TIMER_ABSTIME 1

#define CAP_SYS_TIME 25

/* Which kind of time a clock number means. */
struct clock_ref {
	enum ktimer_clock clock;
	enum ktimer_cpu kind;
	struct process *proc; /* KT_CPU: a reference */
	s32 tid;	      /* of one thread; 0: all */
};

/* clock_find: CLOCKID in words; -EINVAL. Give back by clock_release(). */
int clock_find(s32 clockid, struct clock_ref *out) MM_MUST_CHECK;
void clock_release(struct clock_ref *c);
/* clock_now: nanoseconds of C. */
u64 clock_now(const struct clock_ref *c);
/* CPU time of P, or of its thread TID. May sleep. */
u64 cpu_clock_now(struct process *p, s32 tid, enum ktimer_cpu kind);

/* What has expired at CPU time NOW? Queues T's next look. ktimer.c. */
void ktimer_cpu_check(struct ktimer *t);
/* KT_REAL timers, when the clock is set. */
void ktimer_clock_was_set(void);
/* cpu_clock_start: the thread that looks at KT_CPU timers runs; before one is
 * set. 0, -ENOMEM, -EAGAIN. */
int cpu_clock_start(void) MM_MUST_CHECK;
void cpu_clock_reset(void);
void cpu_clock_stop(void);
/* cpu_clock_queue: T, KT_CPU, is to be looked at. Any context. */
void cpu_clock_queue(struct ktimer *t);
/* cpu_clock_unqueue: T is looked at no more. May sleep. */
void cpu_clock_unqueue(struct ktimer *t);

/* Times in user memory. 0, -EFAULT, -EINVAL. */
int user_write_timespec(u64 to, u64 ns);
int user_read_timeval_ns(u64 *ns, u64 from);
int user_write_timeval(u64 to, u64 ns);

/* clock_set_wall: the wall clock is NS now; timers hear of it. 0, -EPERM. */
int clock_set_wall(u64 ns) MM_MUST_CHECK;

void clock_sys_init(void);
void adjtimex_sys_init(void);
void adjtimex_init(void);
void sleep_sys_init(void);
void itimer_sys_init(void);
void posix_timer_sys_init(void);
void futex_sys_init(void);
int futex_init(void) MM_MUST_CHECK;
void futex_stop(void);
void itimers_init(struct process *p);
void ktimer_sys_reset(void);
/* posix_timers_drop: all of P's. */
void posix_timers_drop(struct process *p);

#endif
