/* SPDX-License-Identifier: MIT */
/*
 * dev_test.c - the devices exercise themselves on the machine that booted, for
 * "selftest=devs" on the command line (tests/metal).
 *
 * Each part prints one line, "selftest: NAME: ok, figures" or "selftest: NAME:
 * FAILED: what". Parts that need a second CPU or a disk say that there is
 * none. Only disks that begin with SCRATCH_MAGIC are written to.
 *
 * The TLB is tested by what it does: a thread on another CPU reads a page
 * through a table of this test's own, again and again, while its entry is
 * changed from frame to frame; each frame holds its number. What it reads may
 * never be older than the last change that was flushed. Without the flush it
 * would read the first frame for ever.
 */
#include "dev_test.h"

#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>

#include "apic.h"
#include "base/atomic.h"
#include "base/bitops.h"
#include "base/prng.h"
#include "base/seqbuf.h"
#include "clock.h"
#include "metal.h"

static struct {
	u32 failures;
	char why[160]; /* the first failure of the running part */
} test;

void test_fail(const char *fmt, ...)
{
	va_list ap;

	if (mm_fetch_add(&test.failures, 1))
		return;
	va_start(ap, fmt);
	mm_vsnprintf(test.why, sizeof(test.why), fmt, ap);
	va_end(ap);
}

bool test_good(void)
{
	return READ_ONCE(test.failures) == 0;
}

/* ---- a thread on each CPU ---------------------------------------------------
 */

struct team {
	void (*fn)(int cpu, void *arg);
	void *arg;
	u32 arrived, size;
};

struct member {
	struct team *team;
	struct port_thread *t;
	int cpu;
};

void test_move_to(int cpu)
{
	struct port_cpumask mask = {{0}};
	u64 end = port_now_ns() + 10000000000ull;

	mask.bits[0] = BIT(cpu);
	test_check(machine_set_affinity(port_self(), &mask) == 0,
		   "CPU %d is refused", cpu);
	while (port_cpu() != cpu && port_now_ns() < end)
		machine_yield();
	test_check(port_cpu() == cpu, "no way to CPU %d", cpu);
}

/* All members begin at once. */
static void member_main(void *arg)
{
	struct member *m = arg;

	test_move_to(m->cpu);
	mm_fetch_add(&m->team->arrived, 1);
	while (READ_ONCE(m->team->arrived) < m->team->size)
		port_relax();
	m->team->fn(m->cpu, m->team->arg);
}

void test_on_cpus(int first, void (*fn)(int cpu, void *arg), void *arg)
{
	static struct member members[MM_NR_CPUS];
	static struct team team;
	int n = port_nr_cpus();

	team = (struct team){fn, arg, 0, (u32)(n - first)};
	for (int i = first; i < n; i++) {
		members[i] = (struct member){&team, NULL, i};
		if (port_thread_start(&members[i].t, "selftest", -1,
				      member_main, &members[i])) {
			test_fail("no thread for CPU %d", i);
			mm_fetch_add(&team.arrived, 1);
		}
	}
	for (int i = first; i < n; i++) {
		if (members[i].t)
			port_thread_join(members[i].t);
	}
}

/* ---- clock ------------------------------------------------------------------
 */

#define CLOCK_ROUNDS 20000u

static u64 clock_last;

/* Nobody reads less than anybody had read before. */
static void clock_member(int cpu, void *arg)
{
	u64 seen, now;

	(void)arg;
	for (u32 i = 0; i < CLOCK_ROUNDS; i++) {
		seen = smp_load_acquire(&clock_last);
		now = port_now_ns();
		if (now < seen)
			test_fail("CPU %d: %llu after %llu", cpu,
				  (unsigned long long)now,
				  (unsigned long long)seen);
		while (seen < now && !mm_try_cmpxchg(&clock_last, &seen, now))
			;
	}
}

static void test_clock(char *figures, u32 size)
{
	u64 wall = machine_wall_ns(), t0 = port_now_ns();

	test_on_cpus(0, clock_member, NULL);
	test_check(clock_last > t0, "time stands still");
	machine_set_wall_ns(1000000000000000000ull);
	test_check(machine_wall_ns() - 1000000000000000000ull < 1000000000ull,
		   "the wall clock was set to something else");
	machine_set_wall_ns(wall + port_now_ns() - t0);
	mm_snprintf(figures, size, "%u readings on %d CPUs, wall %llu s",
		    CLOCK_ROUNDS * (u32)port_nr_cpus(), port_nr_cpus(),
		    (unsigned long long)(machine_wall_ns() / 1000000000u));
}

/* ---- timers -----------------------------------------------------------------
 */

#define TIMERS 64u

struct timed {
	struct machine_timer timer;
	u32 fired;
	bool twice; /* armed again, perhaps after it had fired */
	bool cancelled;
};

static struct timed timed[MM_NR_CPUS][TIMERS];
static u32 timers_fired;

static void timer_fired(struct machine_timer *timer)
{
	struct timed *t = container_of(timer, struct timed, timer);

	if (!port_in_irq())
		test_fail("a timer's function is not in an interrupt");
	if (port_now_ns() < timer->expires)
		test_fail("a timer fired %llu ns early",
			  (unsigned long long)(timer->expires - port_now_ns()));
	t->fired++;
	mm_fetch_add(&timers_fired, 1);
}

static bool all_fired(const struct timed *set)
{
	for (u32 i = 0; i < TIMERS; i++) {
		if (!READ_ONCE(set[i].fired) && !set[i].cancelled)
			return false;
	}
	return true;
}

/* Late is no failure: the machine under this one may have had other work. */
static void timers_member(int cpu, void *arg)
{
	struct timed *set = timed[cpu];
	struct prng rng;
	u64 now = port_now_ns(), last = 0;

	(void)arg;
	prng_seed(&rng, 1 + (u64)cpu);
	for (u32 i = 0; i < TIMERS; i++) {
		set[i] = (struct timed){.timer.fn = timer_fired};
		set[i].timer.expires = now + prng_below(&rng, 30000000);
		last = max(last, set[i].timer.expires);
		machine_timer_arm(&set[i].timer);
		set[i].twice = i % 3 == 1;
		if (set[i].twice)
			machine_timer_arm(&set[i].timer);
		if (i % 4 == 2)
			set[i].cancelled = machine_timer_cancel(&set[i].timer);
	}
	while (port_now_ns() < last + 1000000 ||
	       (!all_fired(set) && port_now_ns() < last + 10000000000ull))
		(void)port_park(1000000);
	for (u32 i = 0; i < TIMERS; i++) {
		u32 most = (set[i].twice ? 2 : 1) - set[i].cancelled;

		(void)machine_timer_cancel(&set[i].timer);
		if (set[i].fired > most || (!set[i].fired && !set[i].cancelled))
			test_fail("CPU %d: timer %u fired %u times%s", cpu, i,
				  set[i].fired,
				  set[i].cancelled ? ", was cancelled" : "");
	}
}

static void test_timers(char *figures, u32 size)
{
	u64 t0 = port_now_ns();

	test_on_cpus(0, timers_member, NULL);
	mm_snprintf(figures, size, "%u fired in %llu ms", timers_fired,
		    (unsigned long long)(port_now_ns() - t0) / 1000000);
}

/* ---- calls and soft interrupts ----------------------------------------------
 */

static u32 calls_made, soft_made;

static void called(void *arg)
{
	if (port_cpu() != *(int *)arg)
		test_fail("a call for CPU %d ran on %d", *(int *)arg,
			  port_cpu());
	mm_fetch_add(&calls_made, 1);
}

/* Everybody calls everybody: callers answer while they wait. */
static void calls_member(int cpu, void *arg)
{
	(void)cpu;
	(void)arg;
	for (u32 i = 0; i < 50; i++) {
		for (int to = 0; to < port_nr_cpus(); to++) {
			port_pin();
			smp_call(to, called, &to);
			port_unpin();
		}
	}
}

static void soft_called(void *arg)
{
	(void)arg;
	if (!port_in_irq())
		test_fail("a soft interrupt is none");
	soft_made++;
}

static void test_calls(char *figures, u32 size)
{
	u32 n = (u32)port_nr_cpus();
	struct irq_soft soft = {.fn = soft_called};
	unsigned long flags;

	test_on_cpus(0, calls_member, NULL);
	test_check(calls_made == 50 * n * n, "%u calls of %u", calls_made,
		   50 * n * n);
	flags = port_irq_save();
	irq_soft(&soft);
	test_check(soft_made == 0, "a soft interrupt came too early");
	port_irq_restore(flags);
	for (u32 i = 0; i < 1000000 && !READ_ONCE(soft_made); i++)
		port_relax();
	test_check(soft_made == 1, "no soft interrupt came");
	mm_snprintf(figures, size, "%u calls", calls_made);
}

/* ---- the console ------------------------------------------------------------
 */

static struct {
	struct port_thread *reader;
	u32 head, tail; /* of the bytes that came */
	u8 bytes[256];
} echo;

static void echo_rx(u8 byte)
{
	if (!port_in_irq())
		byte = '!';
	echo.bytes[echo.head % sizeof(echo.bytes)] = byte;
	smp_store_release(&echo.head, echo.head + 1);
	port_unpark(echo.reader);
}

_Noreturn void dev_echo(void)
{
	u8 byte = 0;

	echo.reader = port_self();
	machine_console_on_rx(echo_rx);
	pr_info("selftest: echo: ready");
	while (byte != '.') {
		while (smp_load_acquire(&echo.head) == echo.tail)
			(void)port_park(UINT64_MAX);
		byte = echo.bytes[echo.tail++ % sizeof(echo.bytes)];
		if (byte >= 'a' && byte < 'z')
			byte++;
		machine_console_write((const char *)&byte, 1);
	}
	machine_power_off(0);
}

/* ---- all of it --------------------------------------------------------------
 */

static bool run(const char *name, void (*fn)(char *figures, u32 size))
{
	char figures[128] = "";

	test.failures = 0;
	test.why[0] = 0;
	fn(figures, sizeof(figures));
	if (test_good())
		pr_info("selftest: %s: ok%s%s", name, *figures ? ", " : "",
			figures);
	else
		pr_err("selftest: %s: FAILED: %s (%u failures)", name, test.why,
		       test.failures);
	return test_good();
}

bool dev_selftest(void)
{
	struct port_cpumask all;
	bool good;

	machine_get_affinity(port_self(), &all);
	good = run("clock", test_clock);
	good &= run("timers", test_timers);
	good &= run("calls", test_calls);
	good &= run("tables", test_tables);
	good &= run("tlb", test_tlb);
	good &= run("disk", test_disk);
	(void)machine_set_affinity(port_self(), &all);
	pr_info("selftest: devs: %s", good ? "ok" : "FAILED");
	return good;
}
