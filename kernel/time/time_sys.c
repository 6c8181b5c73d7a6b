/* SPDX-License-Identifier: MIT */
/*
 * time_sys.c - the calls of kernel/time, its beginning and end.
 */
#include "time_priv.h"

void time_sys_init(void)
{
	clock_sys_init();
	adjtimex_sys_init();
	sleep_sys_init();
	itimer_sys_init();
	posix_timer_sys_init();
	futex_sys_init();
}

int time_init(void)
{
	ktimer_sys_reset();
	cpu_clock_reset();
	adjtimex_init();
	return futex_init();
}

void time_exit(void)
{
	cpu_clock_stop();
	futex_stop();
}

void time_process_init(struct process *p)
{
	itimers_init(p);
	p->timers = NULL;
}

void time_process_exec(struct process *p)
{
	posix_timers_drop(p);
}

void time_process_exit(struct process *p)
{
	for (u32 i = 0; i < ARRAY_SIZE(p->itimer); i++)
		ktimer_stop(&p->itimer[i]);
	posix_timers_drop(p);
}
