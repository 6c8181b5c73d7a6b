/* SPDX-License-Identifier: MIT */
/*
 * ktimer.h - a timer that counts its expirations: what alarm(2), setitimer(2),
 * timer_create(2) and timerfd_create(2) have in common. Theory: time/ktimer.c.
 */
#ifndef KERNEL_KTIMER_H
#define KERNEL_KTIMER_H

#include <mmkit/types.h>

#include "base/list.h"
#include "base/spinlock.h"
#include "machine.h"

struct process;

enum ktimer_clock {
	KT_MONO,
	KT_REAL, /* follows settings of the clock */
	KT_CPU,	 /* of process and thread: cpu_kind, cpu_proc, cpu_tid */
};
enum ktimer_cpu { KT_CPU_PROF, KT_CPU_VIRT, KT_CPU_SCHED };

struct ktimer {
	spinlock_t lock;	 /* interrupts off */
	struct machine_timer mt; /* armed for what expires says */
	enum ktimer_clock clock; /* (C) */
	u64 expires;		 /* (lock) in the clock's time; 0: not armed */
	u64 interval;		 /* (lock) 0: once */
	/* TIMES > 0 expirations have passed; any context, no lock held. 0: the
	 * clock was set (KT_REAL). */
	void (*fire)(struct ktimer *t, u64 times);
	struct list_head entry; /* ktimer.c: armed, of KT_REAL */
	u32 settings;		/* (lock) of the clock, that it has seen */
	/* KT_CPU: the caller keeps the process. */
	enum ktimer_cpu cpu_kind;
	struct process *cpu_proc;
	s32 cpu_tid;		/* 0: of the whole process */
	struct list_head queue; /* cpu_clock.c: to be looked at */
};

struct ktimer_value {
	u64 value, interval; /* ns until it expires; 0: not armed */
};

/* ktimer_init: T is not armed. Any context. KT_CPU: the fields are the
 * caller's to set afterwards. */
void ktimer_init(struct ktimer *t, enum ktimer_clock clock,
		 void (*fire)(struct ktimer *t, u64 times));
/* ktimer_set: expire in V->value from now on (ABS: at that time of the
 * clock), then each V->interval. OLD, if not NULL: what was left. Not in
 * interrupts. ktimer_get: the same without setting. */
void ktimer_set(struct ktimer *t, bool abs, const struct ktimer_value *v,
		struct ktimer_value *old);
void ktimer_get(struct ktimer *t, struct ktimer_value *out);
/* ktimer_stop: not armed, and FIRE does not run when this returns. May sleep;
 * FIRE's locks are not held. */
void ktimer_stop(struct ktimer *t);

#endif
