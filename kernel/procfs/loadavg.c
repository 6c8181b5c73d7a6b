/* SPDX-License-Identifier: MIT */
/*
 * loadavg.c - how many threads wanted a CPU lately.
 *
 * Every five seconds the number of threads that run or wait for a CPU enters
 * three averages that forget exponentially, with time constants of 1, 5 and 15
 * minutes: a' = a * e + n * (1 - e), e = exp(-5 s / constant), in fixed point.
 *
 * Locking: one writer, the timer; readers see words.
 *
 * References: proc(5), getloadavg(3).
 */
#include "procfs/procfs.h"
#include "procfs/procfs_state.h"

#define LOAD_PERIOD_NS 5000000000UL
#define LOAD_SHIFT     16

/* exp(-5/60), exp(-5/300), exp(-5/900) in 1/65536. */
static const u64 load_keep[3] = {60296, 64453, 65173};

static void load_tick(struct machine_timer *timer)
{
	u64 n = (u64)machine_nr_running() << LOAD_SHIFT;

	for (int i = 0; i < 3; i++) {
		u64 a = proc_sys.load[i];

		a = (a * load_keep[i] +
		     n * ((1UL << LOAD_SHIFT) - load_keep[i])) >>
		    LOAD_SHIFT;
		WRITE_ONCE(proc_sys.load[i], a);
	}
	timer->expires += LOAD_PERIOD_NS;
	machine_timer_arm(timer);
}

void loadavg_start(void)
{
	proc_sys.load_timer.fn = load_tick;
	proc_sys.load_timer.expires = port_now_ns() + LOAD_PERIOD_NS;
	machine_timer_arm(&proc_sys.load_timer);
}

void loadavg_stop(void)
{
	(void)machine_timer_cancel(&proc_sys.load_timer);
}

void loadavg_get(u64 out[3])
{
	for (int i = 0; i < 3; i++)
		out[i] = READ_ONCE(proc_sys.load[i]);
}
