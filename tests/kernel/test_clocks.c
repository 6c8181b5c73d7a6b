/* SPDX-License-Identifier: MIT */
/*
 * Timers on clocks and on CPU time, and what a keeper of the time may ask:
 * timer_create(2), timerfd(2), setitimer(2), adjtimex(2).
 *
 * CPU time passes as the test says (kt_charge()), for several threads of a
 * process; the clocks are the machine's.
 */
#include "sim_machine.h"

#include "event_stub.h"

#define TIMER_CREATE	 222
#define TIMER_SETTIME	 223
#define TIMER_GETTIME	 224
#define TIMER_GETOVERRUN 225
#define TIMER_DELETE	 226
#define CLOCK_SETTIME	 227
#define CLOCK_GETTIME	 228
#define SETITIMER	 38
#define GETITIMER	 36
#define ADJTIMEX	 159
#define CLOCK_ADJTIME	 305
#define TIMERFD_CREATE	 283
#define TIMERFD_SETTIME	 286

#define REAL	 0
#define MONO	 1
#define CPU_PROC 2
#define CPU_THR	 3
#define BOOT	 7
#define SIG	 10
#define MS	 1000000UL

static struct mm_struct *cm;
static uva_t area;

static void put(u64 at, const void *p, u64 n)
{
	CHECK_EQ(user_write(area + at, p, n), 0);
}

static void get(u64 at, void *p, u64 n)
{
	CHECK_EQ(user_read(p, area + at, n), 0);
}

static void nap(u64 ns)
{
	u64 until = port_now_ns() + ns;

	while (port_now_ns() < until)
		port_park(until - port_now_ns());
}

static int clocks_main(void *arg)
{
	int (*body)(void) = (int (*)(void))(uintptr_t)arg;
	int ret;

	cm = tm_mm();
	area = tm_map(cm, 8);
	tm_use(cm);
	es_start_files(cm);
	ret = body();
	es_stop_files();
	mm_put(cm);
	return ret;
}

#define CLOCKS_RUN(fn, ...)                                        \
	tm_run(&(struct tm_config){.body = clocks_main,            \
				   .arg = (void *)(uintptr_t)(fn), \
				   __VA_ARGS__})

/* ---- timers with names -----------------------------------------------------
 */

struct event {
	u64 value;
	s32 signo, notify, tid, pad[11];
};

static s64 make(s32 clock, s32 notify, s32 tid)
{
	struct event ev = {
		.value = 77, .signo = SIG, .notify = notify, .tid = tid};
	s64 ret;
	s32 id = -1;

	put(0, &ev, sizeof(ev));
	put(128, &id, 4);
	ret = CALL(TIMER_CREATE, clock, area, area + 128);
	get(128, &id, 4);
	return ret ? ret : id;
}

static void spec(u64 at, u64 interval, u64 value)
{
	u64 in[4] = {interval / NSEC_PER_SEC, interval % NSEC_PER_SEC,
		     value / NSEC_PER_SEC, value % NSEC_PER_SEC};

	put(at, in, sizeof(in));
}

static s64 settime(s64 id, bool absolute, u64 interval, u64 value)
{
	spec(256, interval, value);
	return CALL(TIMER_SETTIME, id, absolute, area + 256, area + 320);
}

/* What is left until the next expiration. */
static u64 left(s64 id, u64 *interval)
{
	u64 out[4];

	CHECK_EQ(CALL(TIMER_GETTIME, id, area + 256), 0);
	get(256, out, sizeof(out));
	if (interval)
		*interval = out[0] * NSEC_PER_SEC + out[1];
	return out[2] * NSEC_PER_SEC + out[3];
}

static u64 sent(void)
{
	return READ_ONCE(es.sent[SIG]);
}

static void clear(void)
{
	WRITE_ONCE(es.sent[SIG], 0);
	es_clear(&es.task[0]);
}

/* On CLOCK: once, again and again, until a time, taken back. */
static void on_clock(s32 clock)
{
	s64 id = make(clock, 0, 0);
	u64 now, before, interval;
	s64 ts[2];

	CHECK(id >= 0);
	CHECK_EQ(left(id, NULL), 0);
	before = port_now_ns();
	CHECK_EQ(settime(id, false, 0, 20 * MS), 0);
	CHECK(left(id, &interval) <= 20 * MS);
	CHECK_EQ(interval, 0);
	nap(10 * MS);
	CHECK_EQ(sent(), 0);
	nap(15 * MS);
	CHECK_EQ(sent(), 1);
	CHECK(port_now_ns() - before >= 20 * MS);
	CHECK_EQ(left(id, NULL), 0);
	nap(50 * MS);
	CHECK_EQ(sent(), 1);
	clear();
	CHECK_EQ(settime(id, false, 10 * MS, 5 * MS), 0);
	nap(56 * MS);
	CHECK_EQ(sent(), 6);
	CHECK(left(id, &interval) <= 10 * MS);
	CHECK_EQ(interval, 10 * MS);
	/* Until a time; the old setting is told. */
	CHECK_EQ(CALL(CLOCK_GETTIME, clock, area + 256), 0);
	get(256, ts, sizeof(ts));
	now = (u64)ts[0] * NSEC_PER_SEC + (u64)ts[1];
	CHECK_EQ(settime(id, true, 0, now + 30 * MS), 0);
	get(320, ts, sizeof(ts));
	CHECK_EQ(ts[1], 10 * MS);
	clear();
	nap(20 * MS);
	CHECK_EQ(sent(), 0);
	nap(15 * MS);
	CHECK_EQ(sent(), 1);
	/* A time that has passed comes at once; none at all never. */
	CHECK_EQ(settime(id, true, 0, now), 0);
	nap(5 * MS);
	CHECK_EQ(sent(), 2);
	CHECK_EQ(settime(id, false, 10 * MS, 5 * MS), 0);
	CHECK_EQ(settime(id, false, 10 * MS, 0), 0);
	nap(40 * MS);
	CHECK_EQ(sent(), 2);
	/* Armed and deleted. */
	CHECK_EQ(settime(id, false, 10 * MS, 5 * MS), 0);
	CHECK_EQ(CALL(TIMER_DELETE, id), 0);
	nap(40 * MS);
	CHECK_EQ(sent(), 2);
	CHECK_EQ(CALL(TIMER_DELETE, id), -22);
	clear();
}

static int named_body(void)
{
	struct event bad = {.signo = 65};
	s64 id, other, ts[2] = {0, 1000000000};

	on_clock(MONO);
	on_clock(REAL);
	on_clock(BOOT);
	/* Wrong use. */
	put(0, &bad, sizeof(bad));
	CHECK_EQ(CALL(TIMER_CREATE, MONO, area, area + 128), -22);
	CHECK_EQ(make(4, 0, 0), -95); /* CLOCK_MONOTONIC_RAW */
	CHECK_EQ(make(33, 0, 0), -22);
	CHECK_EQ(make(MONO, 4, 4711), -22);
	CHECK_EQ(CALL(TIMER_GETTIME, 99, area), -22);
	id = make(MONO, 1, 0); /* SIGEV_NONE */
	CHECK_EQ(settime(id, false, 0, 5 * MS), 0);
	nap(10 * MS);
	CHECK_EQ(sent(), 0);
	CHECK_EQ(left(id, NULL), 0);
	put(256, ts, sizeof(ts));
	put(272, ts, sizeof(ts));
	CHECK_EQ(CALL(TIMER_SETTIME, id, 0, area + 256, 0), -22);
	/* A number is not given out again at once. */
	other = make(MONO, 0, 0);
	CHECK_EQ(other, id + 1);
	CHECK_EQ(CALL(TIMER_DELETE, other), 0);
	CHECK_EQ(make(MONO, 0, 0), other + 1);
	/* The rest goes with the process, armed as it is. */
	CHECK_EQ(settime(other + 1, false, MS, MS), 0);
	return 0;
}

/* The clock is set: a timer that waits for a time of it comes earlier or
 * later, one that waits for a while does not. */
static int clock_set_body(void)
{
	s64 at = make(REAL, 0, 0), after = make(REAL, 1, 0);
	s64 wait = make(MONO, 1, 0), ts[2];
	u64 now = machine_wall_ns();

	CHECK_EQ(settime(at, true, 0, now + 100 * NSEC_PER_SEC), 0);
	CHECK_EQ(settime(after, true, 0, now + 300 * NSEC_PER_SEC), 0);
	CHECK_EQ(settime(wait, false, 0, 100 * NSEC_PER_SEC), 0);
	nap(10 * MS);
	CHECK_EQ(sent(), 0);
	ts[0] = (s64)(now / NSEC_PER_SEC) + 200;
	ts[1] = 0;
	put(256, ts, sizeof(ts));
	CHECK_EQ(CALL(CLOCK_SETTIME, REAL, area + 256), 0);
	nap(10 * MS);
	CHECK_EQ(sent(), 1);
	CHECK(left(after, NULL) <= 101 * NSEC_PER_SEC);
	CHECK(left(wait, NULL) > 99 * NSEC_PER_SEC);
	/* Back again: it is as far away as it says. */
	ts[0] -= 200;
	put(256, ts, sizeof(ts));
	CHECK_EQ(CALL(CLOCK_SETTIME, REAL, area + 256), 0);
	CHECK(left(after, NULL) > 299 * NSEC_PER_SEC);
	es.may = false;
	CHECK_EQ(CALL(CLOCK_SETTIME, REAL, area + 256), -1);
	return 0;
}

/* A descriptor that waits for a time of the wall clock. */
static int timerfd_body(void)
{
	s64 fd = CALL(TIMERFD_CREATE, REAL, 04000), ts[2];
	u64 now = machine_wall_ns(), n;

	CHECK(fd >= 0);
	spec(256, 0, now + 20 * MS);
	CHECK_EQ(CALL(TIMERFD_SETTIME, fd, 1, area + 256, 0), 0);
	CHECK_EQ(CALL(0, fd, area, 8), -11);
	nap(25 * MS);
	CHECK_EQ(CALL(0, fd, area, 8), 8);
	get(0, &n, 8);
	CHECK_EQ(n, 1);
	/* TFD_TIMER_CANCEL_ON_SET. */
	spec(256, 0, now + 100 * NSEC_PER_SEC);
	CHECK_EQ(CALL(TIMERFD_SETTIME, fd, 3, area + 256, 0), 0);
	ts[0] = (s64)(now / NSEC_PER_SEC) + 1;
	ts[1] = 0;
	put(256, ts, sizeof(ts));
	CHECK_EQ(CALL(CLOCK_SETTIME, REAL, area + 256), 0);
	nap(5 * MS);
	CHECK_EQ(CALL(0, fd, area, 8), -125);
	CHECK_EQ(CALL(3, fd), 0);
	return 0;
}

static void named(void **state)
{
	(void)state;
	CLOCKS_RUN(named_body, .cpus = 2);
	CLOCKS_RUN(clock_set_body, .cpus = 2);
	CLOCKS_RUN(timerfd_body, .cpus = 2);
}

/* ---- CPU time --------------------------------------------------------------
 */

static u32 stop_threads, running; /* (A) */

static void idle_thread(void *arg)
{
	(void)arg;
	(void)mm_fetch_add(&running, 1u);
	while (!READ_ONCE(stop_threads))
		nap(MS);
}

#define THREADS 3u

/* A process of THREADS threads whose CPU time is what the test says. */
static void threads_start(struct es_task **t)
{
	t[0] = &es.task[0];
	WRITE_ONCE(stop_threads, 0);
	WRITE_ONCE(running, 0);
	kt_charge(t[0]->thread, 0, 0);
	for (u32 i = 1; i < THREADS; i++)
		t[i] = es_spawn(es.task[0].t.proc, NULL, idle_thread, NULL);
	while (READ_ONCE(running) < THREADS - 1)
		nap(MS);
	for (u32 i = 1; i < THREADS; i++)
		kt_charge(t[i]->thread, 0, 0);
}

static void threads_stop(struct es_task **t)
{
	WRITE_ONCE(stop_threads, 1);
	for (u32 i = 1; i < THREADS; i++)
		es_join(t[i]);
}

static int process_time_body(void)
{
	struct es_task *t[THREADS];
	s64 id;
	u64 interval;

	threads_start(t);
	id = make(CPU_PROC, 0, 0);
	CHECK(id >= 0);
	CHECK_EQ(settime(id, false, 100 * MS, 100 * MS), 0);
	CHECK_EQ(left(id, &interval), 100 * MS);
	/* Nobody runs: time passes, CPU time does not. */
	nap(500 * MS);
	CHECK_EQ(sent(), 0);
	for (u32 i = 0; i < THREADS; i++)
		kt_charge(t[i]->thread, 15 * MS, 15 * MS);
	nap(200 * MS);
	CHECK_EQ(sent(), 0);
	CHECK_EQ(left(id, NULL), 10 * MS);
	/* The threads' sum is over it, though none has so much. */
	kt_charge(t[2]->thread, 10 * MS, 5 * MS);
	nap(200 * MS);
	CHECK_EQ(sent(), 1);
	CHECK_EQ(left(id, NULL), 95 * MS);
	/* Three of them at once are one signal, and two overruns. */
	kt_charge(t[1]->thread, 300 * MS, 0);
	nap(700 * MS);
	CHECK_EQ(sent(), 2);
	CHECK_EQ(CALL(TIMER_GETOVERRUN, id), 2);
	CHECK_EQ(CALL(TIMER_DELETE, id), 0);
	threads_stop(t);
	return 0;
}

/* One thread's time, and a signal to a thread. */
static int thread_time_body(void)
{
	struct es_task *t[THREADS];
	s64 mine, other, id;
	s32 clock;

	threads_start(t);
	mine = make(CPU_THR, 0, 0);
	CHECK(mine >= 0);
	CHECK_EQ(settime(mine, false, 0, 50 * MS), 0);
	kt_charge(t[1]->thread, 400 * MS, 0);
	nap(300 * MS);
	CHECK_EQ(sent(), 0);
	kt_charge(t[0]->thread, 30 * MS, 30 * MS);
	nap(300 * MS);
	CHECK_EQ(sent(), 1);
	clear();
	/* clock_getcpuclockid() of another thread; the signal is its own. */
	clock = (s32)(~(u32)t[1]->t.tid << 3 | 4 | 2);
	other = make(clock, 4, t[2]->t.tid);
	CHECK(other >= 0);
	CHECK_EQ(settime(other, true, 0, 450 * MS), 0);
	kt_charge(t[0]->thread, 400 * MS, 0);
	nap(300 * MS);
	CHECK_EQ(sent(), 0);
	kt_charge(t[1]->thread, 0, 51 * MS);
	nap(300 * MS);
	CHECK_EQ(sent(), 1);
	CHECK(t[2]->pending & SIGSET(SIG));
	CHECK(!(es.task[0].pending & SIGSET(SIG)));
	es_clear(t[2]);
	/* Of no thread of this process. */
	id = make((s32)(~4711u << 3 | 4 | 2), 0, 0);
	CHECK_EQ(id, -22);
	/* Left armed: what it watches ends before it. */
	CHECK_EQ(settime(other, false, 0, 50 * MS), 0);
	threads_stop(t);
	nap(100 * MS);
	CHECK_EQ(CALL(TIMER_DELETE, other), 0);
	return 0;
}

static u64 itimer_left(u32 which)
{
	s64 v[4];

	CHECK_EQ(CALL(GETITIMER, which, area + 256), 0);
	get(256, v, sizeof(v));
	return (u64)v[2] * NSEC_PER_SEC + (u64)v[3] * NSEC_PER_USEC;
}

/* ITIMER_VIRTUAL: user time alone; ITIMER_PROF: with the system's. */
static int itimer_body(void)
{
	struct es_task *t[THREADS];
	s64 v[4] = {0, 0, 0, 60000};

	threads_start(t);
	put(256, v, sizeof(v));
	CHECK_EQ(CALL(SETITIMER, 1, area + 256, 0), 0);
	CHECK_EQ(CALL(SETITIMER, 2, area + 256, 0), 0);
	kt_charge(t[0]->thread, 10 * MS, 15 * MS);
	kt_charge(t[1]->thread, 10 * MS, 15 * MS);
	nap(300 * MS);
	CHECK_EQ(es.sent[26], 0);
	CHECK_EQ(es.sent[27], 0);
	CHECK_EQ(itimer_left(1), 40 * MS);
	CHECK_EQ(itimer_left(2), 10 * MS);
	kt_charge(t[2]->thread, 0, 12 * MS);
	nap(300 * MS);
	CHECK_EQ(es.sent[26], 0);
	CHECK_EQ(es.sent[27], 1);
	kt_charge(t[2]->thread, 41 * MS, 0);
	nap(300 * MS);
	CHECK_EQ(es.sent[26], 1);
	CHECK_EQ(es.sent[27], 1);
	CHECK_EQ(itimer_left(1), 0);
	threads_stop(t);
	return 0;
}

static void cpu_time(void **state)
{
	(void)state;
	for (u64 seed = 1; seed < 4; seed++) {
		CLOCKS_RUN(process_time_body, .cpus = 2, .seed = seed,
			   .explore = seed & 1);
		CLOCKS_RUN(thread_time_body, .cpus = 2, .seed = seed,
			   .explore = seed & 1);
		CLOCKS_RUN(itimer_body, .cpus = 2, .seed = seed,
			   .explore = seed & 1);
	}
}

/* ---- adjtimex --------------------------------------------------------------
 */

struct timex {
	u32 modes, pad0;
	s64 offset, freq, maxerror, esterror;
	s32 status, pad1;
	s64 constant, precision, tolerance, sec, usec, tick, ppsfreq, jitter;
	s32 shift, pad2;
	s64 stabil, jitcnt, calcnt, errcnt, stbcnt;
	s32 tai, pad3[11];
};

static s64 adjust(struct timex *t)
{
	s64 ret;

	put(0, t, sizeof(*t));
	ret = CALL(ADJTIMEX, area);
	get(0, t, sizeof(*t));
	return ret;
}

static s64 adjust1(u32 modes, s64 value)
{
	struct timex t = {.modes = modes,
			  .offset = value,
			  .freq = value,
			  .maxerror = value,
			  .esterror = value,
			  .status = (s32)value,
			  .constant = value,
			  .tick = value};

	return adjust(&t);
}

static void adjust_remembered(void)
{
	struct timex t = {.modes = 0};

	CHECK_EQ(adjust(&t), 5); /* nobody keeps it */
	CHECK_EQ(t.status, 0x40);
	CHECK_EQ(t.maxerror, 16000000);
	CHECK_EQ(t.tick, 10000);
	CHECK_EQ(t.tolerance, 500 << 16);
	CHECK_EQ(t.sec, (s64)(machine_wall_ns() / NSEC_PER_SEC));
	CHECK(t.usec < 1000000);
	CHECK_EQ(adjust1(0x10, 0x01), 0); /* STA_PLL */
	CHECK_EQ(adjust1(0x10, 0xff01), 0);
	CHECK_EQ(adjust1(0x2000, 0), 0); /* nanoseconds */
	CHECK_EQ(adjust1(0x04, 1234), 0);
	CHECK_EQ(adjust1(0x08, -5), 0);
	CHECK_EQ(adjust1(0x20, 99), 0);
	CHECK_EQ(adjust1(0x80, 37), 0);
	t.modes = 0;
	CHECK_EQ(adjust(&t), 0);
	CHECK_EQ(t.status, 0x2001);
	CHECK_EQ(t.maxerror, 1234);
	CHECK_EQ(t.esterror, 0);
	CHECK_EQ(t.constant, 10);
	CHECK_EQ(t.tai, 37);
	CHECK_EQ(adjust1(0x1000, 0), 0);
	CHECK_EQ(adjust1(0x10, 0x40), 5);
}

static int adjust_body(void)
{
	struct timex t = {.modes = 0x100, .sec = 1000, .usec = 500000};
	u64 before = machine_wall_ns(), by;

	adjust_remembered();
	CHECK_EQ(adjust(&t), 5);
	by = machine_wall_ns() - before;
	CHECK(by >= 1000500 * MS && by < 1000600 * MS);
	t = (struct timex){.modes = 0x2100, .sec = -1001, .usec = 999999999};
	CHECK_EQ(adjust(&t), 5);
	by = machine_wall_ns() - before;
	CHECK(by >= 499 * MS && by < 700 * MS);
	/* Wrong use, and what would slew the clock. */
	t = (struct timex){.modes = 0x100, .usec = 1000000};
	CHECK_EQ(adjust(&t), -22);
	t = (struct timex){.modes = 0x100, .sec = -(1L << 40)};
	CHECK_EQ(adjust(&t), -22);
	t = (struct timex){.modes = 0x100, .sec = INT64_MAX};
	CHECK_EQ(adjust(&t), -22);
	CHECK_EQ(adjust1(0x4000, 8999), -22);
	CHECK_EQ(adjust1(0x4000, 10001), -95);
	CHECK_EQ(adjust1(0x4000, 10000), 5);
	CHECK_EQ(adjust1(0x02, 1), -95);
	CHECK_EQ(adjust1(0x02, 0), 5);
	CHECK_EQ(adjust1(0x01, 7), -95);
	CHECK_EQ(adjust1(0x8000, 0), -22);
	CHECK_EQ(adjust1(0x8001, 1), -95);
	CHECK_EQ(adjust1(0xa001, 1), 5);
	CHECK_EQ(CALL(ADJTIMEX, 8), -14);
	t = (struct timex){.modes = 0};
	put(0, &t, sizeof(t));
	CHECK_EQ(CALL(CLOCK_ADJTIME, REAL, area), 5);
	CHECK_EQ(CALL(CLOCK_ADJTIME, MONO, area), -95);
	CHECK_EQ(CALL(CLOCK_ADJTIME, 33, area), -22);
	/* Who may not change it may look. */
	es.may = false;
	CHECK_EQ(adjust1(0, 0), 5);
	CHECK_EQ(adjust1(0xa001, 0), 5);
	CHECK_EQ(adjust1(0x10, 0), -1);
	CHECK_EQ(adjust1(0x8001, 0), -1);
	CHECK_EQ(adjust1(0x4000, 8999), -1);
	return 0;
}

static void adjusting(void **state)
{
	(void)state;
	CLOCKS_RUN(adjust_body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(named),
		cmocka_unit_test(cpu_time),
		cmocka_unit_test(adjusting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
