/* SPDX-License-Identifier: MIT */
/*
 * clock.h - between time.c, its clocks and smp.c. Private to port/metal.
 */
#ifndef METAL_CLOCK_H
#define METAL_CLOCK_H

#include <mmkit/types.h>

/* clock_distrust: CPUs' counters are not in step: time is held together. */
void clock_distrust(void);
/* clock_tsc_hz: ticks per second. */
u64 clock_tsc_hz(void);

/* tsc_calibrate: ticks of the counter per second, and by what it was found
 * (*HOW lives for ever). Never 0. */
u64 tsc_calibrate(const char **how);

/* rtc_read: seconds since 1970 by the battery clock; 0: there is none. */
u64 rtc_read(void);
/* rtc_days: from 1970-01-01 to that day of the Gregorian calendar. */
u64 rtc_days(u32 year, u32 month, u32 day);

/* smp_stopping: a CPU has begun to stop all others. */
bool smp_stopping(void);

#endif
