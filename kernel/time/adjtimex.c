/* SPDX-License-Identifier: MIT */
/*
 * adjtimex.c - what a program that keeps the time asks of the clock:
 * adjtimex(2), clock_adjtime(2).
 *
 * The wall clock here is the machine's and is not steered: it has no frequency
 * or tick of its own, and no offset that melts away. So a program reads
 * figures of a clock that nobody disciplines (STA_UNSYNC, TIME_ERROR), may
 * change what is only remembered (status, errors, time constant, TAI's offset)
 * and may move the clock at once (ADJ_SETOFFSET). What would slew it is
 * -EOPNOTSUPP, unless it asks for what is so anyway.
 *
 * References: adjtimex(2), clock_adjtime(2), RFC 5905.
 */
#include "time_priv.h"

#define ADJ_OFFSET	      0x0001u
#define ADJ_FREQUENCY	      0x0002u
#define ADJ_MAXERROR	      0x0004u
#define ADJ_ESTERROR	      0x0008u
#define ADJ_STATUS	      0x0010u
#define ADJ_TIMECONST	      0x0020u
#define ADJ_TAI		      0x0080u
#define ADJ_SETOFFSET	      0x0100u
#define ADJ_MICRO	      0x1000u
#define ADJ_NANO	      0x2000u
#define ADJ_TICK	      0x4000u
#define ADJ_ADJTIME	      0x8000u
#define ADJ_OFFSET_READONLY   0x2000u /* with ADJ_ADJTIME */
#define ADJ_OFFSET_SINGLESHOT 0x0001u

#define STA_UNSYNC   0x0040u
#define STA_NANO     0x2000u
#define STA_READONLY 0xff00u

#define TIME_OK	   0
#define TIME_ERROR 5

#define PHASE_LIMIT   16000000
#define TICK_USUAL    10000
#define TICK_MIN      9000
#define TICK_MAX      11000
#define MAX_TIMECONST 10
#define MAX_TAI	      100000

struct user_timex {
	u32 modes, pad0;
	s64 offset, freq, maxerror, esterror;
	s32 status, pad1;
	s64 constant, precision, tolerance;
	struct ktimeval time;
	s64 tick, ppsfreq, jitter;
	s32 shift, pad2;
	s64 stabil, jitcnt, calcnt, errcnt, stbcnt;
	s32 tai, pad3[11];
};
MM_STATIC_ASSERT(sizeof(struct user_timex) == 208, "struct timex");

/* What is remembered. */
static struct {
	spinlock_t lock;
	s64 maxerror, esterror, constant;
	u32 status;
	s32 tai;
} adj_sys;

void adjtimex_init(void)
{
	spin_lock_init(&adj_sys.lock, LOCK_CLASS_NONE);
	adj_sys.maxerror = adj_sys.esterror = PHASE_LIMIT;
	adj_sys.constant = 2;
	adj_sys.status = STA_UNSYNC;
	adj_sys.tai = 0;
}

/* adjtime(3)'s way to ask, which goes with nothing else. */
static int check_adjtime(const struct user_timex *t)
{
	if (!(t->modes & ADJ_OFFSET_SINGLESHOT))
		return -EINVAL;
	if (t->modes & ADJ_OFFSET_READONLY)
		return 0;
	if (!capable(CAP_SYS_TIME))
		return -EPERM;
	return t->offset ? -EOPNOTSUPP : 0;
}

/* The unit of the fraction: nanoseconds or microseconds. */
static s64 fraction_limit(const struct user_timex *t)
{
	return t->modes & ADJ_NANO ? (s64)NSEC_PER_SEC
				   : (s64)(NSEC_PER_SEC / NSEC_PER_USEC);
}

static int check_modes(const struct user_timex *t)
{
	u32 m = t->modes;

	if (m & ADJ_ADJTIME)
		return check_adjtime(t);
	if (m && !capable(CAP_SYS_TIME))
		return -EPERM;
	if ((m & ADJ_TICK) && (t->tick < TICK_MIN || t->tick > TICK_MAX))
		return -EINVAL;
	if ((m & ADJ_SETOFFSET) &&
	    (t->time.usec < 0 || t->time.usec >= fraction_limit(t)))
		return -EINVAL;
	if (((m & ADJ_TICK) && t->tick != TICK_USUAL) ||
	    ((m & ADJ_FREQUENCY) && t->freq) || ((m & ADJ_OFFSET) && t->offset))
		return -EOPNOTSUPP;
	return 0;
}

/* -EINVAL: before the beginning of time. */
static int set_offset(const struct user_timex *t)
{
	s64 unit = t->modes & ADJ_NANO ? 1 : (s64)NSEC_PER_USEC;
	s64 now = (s64)machine_wall_ns(), by, then;

	if (__builtin_mul_overflow(t->time.sec, (s64)NSEC_PER_SEC, &by) ||
	    __builtin_add_overflow(by, t->time.usec * unit, &by) ||
	    __builtin_add_overflow(now, by, &then) || then < 0)
		return -EINVAL;
	return clock_set_wall((u64)then);
}

/* adj_sys.lock held. */
static void remember(const struct user_timex *t)
{
	u32 m = t->modes;

	if (m & ADJ_STATUS)
		adj_sys.status = (adj_sys.status & STA_READONLY) |
				 ((u32)t->status & ~STA_READONLY);
	if (m & ADJ_NANO)
		adj_sys.status |= STA_NANO;
	if (m & ADJ_MICRO)
		adj_sys.status &= ~STA_NANO;
	if (m & ADJ_MAXERROR)
		adj_sys.maxerror = clamp(t->maxerror, 0L, (s64)PHASE_LIMIT);
	if (m & ADJ_ESTERROR)
		adj_sys.esterror = clamp(t->esterror, 0L, (s64)PHASE_LIMIT);
	if (m & ADJ_TIMECONST)
		adj_sys.constant = clamp(t->constant, 0L, (s64)MAX_TIMECONST);
	if ((m & ADJ_TAI) && t->constant >= 0 && t->constant <= MAX_TAI)
		adj_sys.tai = (s32)t->constant;
}

/* What there is; adj_sys.lock held. TIME_OK, TIME_ERROR. */
static int tell(struct user_timex *t)
{
	u64 now = machine_wall_ns(), part = now % NSEC_PER_SEC;
	bool nano = adj_sys.status & STA_NANO;

	*t = (struct user_timex){
		.modes = t->modes,
		.maxerror = adj_sys.maxerror,
		.esterror = adj_sys.esterror,
		.status = (s32)adj_sys.status,
		.constant = adj_sys.constant,
		.precision = 1,
		.tolerance = 500L << 16,
		.time = {(s64)(now / NSEC_PER_SEC),
			 (s64)(nano ? part : part / NSEC_PER_USEC)},
		.tick = TICK_USUAL,
		.tai = adj_sys.tai,
	};
	return adj_sys.status & STA_UNSYNC ? TIME_ERROR : TIME_OK;
}

static s64 do_adjtimex(u64 at)
{
	struct user_timex t;
	s64 ret;

	if (user_read(&t, at, sizeof(t)))
		return -EFAULT;
	ret = check_modes(&t);
	if (!ret && !(t.modes & ADJ_ADJTIME) && (t.modes & ADJ_SETOFFSET))
		ret = set_offset(&t);
	if (ret)
		return ret;
	spin_lock(&adj_sys.lock);
	if (!(t.modes & ADJ_ADJTIME))
		remember(&t);
	ret = tell(&t);
	spin_unlock(&adj_sys.lock);
	return user_write(at, &t, sizeof(t)) ? -EFAULT : ret;
}

static s64 sys_adjtimex(const struct sys_args *s)
{
	return do_adjtimex(s->a[0]);
}

/* Only the wall clock can be adjusted. */
static s64 sys_clock_adjtime(const struct sys_args *s)
{
	struct clock_ref c;
	int err;

	if ((s32)s->a[0] == CLOCK_REALTIME)
		return do_adjtimex(s->a[1]);
	err = clock_find((s32)s->a[0], &c);
	if (err)
		return err;
	clock_release(&c);
	return -EOPNOTSUPP;
}

static const struct syscall_def adj_calls[] = {
	{159, "adjtimex", sys_adjtimex},
	{305, "clock_adjtime", sys_clock_adjtime},
};

void adjtimex_sys_init(void)
{
	syscall_register(adj_calls, ARRAY_SIZE(adj_calls));
}
