/* SPDX-License-Identifier: MIT */
/* The sim world's scheduler: repeatable, fair to clocks, honest on deadlock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

#define LOG_MAX 4096
#define WORKERS 4
#define ROUNDS	100

static char text[8192];
static size_t text_len;

static void catch_text(void *arg, int level, const char *s, size_t len)
{
	(void)arg;
	(void)level;
	len = min(len, sizeof(text) - 1 - text_len);
	memcpy(text + text_len, s, len);
	text_len += len;
	text[text_len] = '\0';
}

static void boot(int cpus, u64 seed, bool explore)
{
	struct sim_config cfg = {.cpus = cpus,
				 .seed = seed,
				 .explore = explore,
				 .ram_max = 1UL << 36,
				 .console = catch_text,
				 .catch_panic = true};

	text_len = 0;
	text[0] = '\0';
	assert_int_equal(sim_init(&cfg), 0);
}

/* ---- interleaving
 * ------------------------------------------------------------ */

static struct {
	u32 n;
	u8 who[LOG_MAX];
	u32 lock;
	u32 inside; /* threads in the critical section */
	u64 shared;
	u64 end_ns;
} w;

static void worker(void *arg)
{
	u8 me = (u8)(uintptr_t)arg;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		u64 seen;

		port_pin();
		port_spin_lock(&w.lock);
		w.inside++;
		seen = w.shared;
		port_charge_ns(50);
		port_sched_point();
		assert_int_equal(w.inside, 1);
		w.shared = seen + 1;
		w.who[w.n++ % LOG_MAX] = me;
		w.inside--;
		port_spin_unlock(&w.lock);
		port_unpin();
		port_charge_ns(100 + (me * 37 + (u64)i * 13) % 91);
		port_sched_point();
	}
}

static int run_workers(void *arg)
{
	struct port_thread *t[WORKERS];
	uintptr_t i;

	(void)arg;
	for (i = 0; i < WORKERS; i++)
		assert_int_equal(port_thread_start(&t[i], "worker", -1, worker,
						   (void *)i),
				 0);
	for (i = 0; i < WORKERS; i++)
		port_thread_join(t[i]);
	w.end_ns = port_now_ns();
	return 7;
}

/* Run the workers; return a hash of who came when. */
static u64 interleaving(int cpus, u64 seed, bool explore)
{
	u64 h = 14695981039346656037UL;
	u32 i;

	memset(&w, 0, sizeof(w));
	boot(cpus, seed, explore);
	assert_int_equal(sim_run(run_workers, NULL), 7);
	sim_shutdown();
	assert_int_equal(w.shared, WORKERS * ROUNDS);
	for (i = 0; i < w.n; i++)
		h = (h ^ w.who[i]) * 1099511628211UL;
	return (h ^ w.end_ns) * 1099511628211UL;
}

static void same_seed_same_order(void **state)
{
	int cpus, explore;

	(void)state;
	for (cpus = 1; cpus <= 4; cpus++) {
		for (explore = 0; explore < 2; explore++) {
			u64 a = interleaving(cpus, 42, explore);

			assert_int_equal(a, interleaving(cpus, 42, explore));
		}
	}
}

static void seeds_differ(void **state)
{
	u64 plain = interleaving(3, 1, false), wild = interleaving(3, 1, true);
	int differ_plain = 0, differ_wild = 0;
	u64 seed;

	(void)state;
	assert_int_not_equal(plain, wild);
	for (seed = 2; seed < 8; seed++) {
		differ_plain += interleaving(3, seed, false) != plain;
		differ_wild += interleaving(3, seed, true) != wild;
	}
	assert_int_equal(differ_plain, 6);
	assert_int_equal(differ_wild, 6);
}

/* Without a lock a read-modify-write must be torn apart by some schedule. */
static void racer(void *arg)
{
	int i;

	(void)arg;
	for (i = 0; i < 20; i++) {
		u64 seen = w.shared;

		port_sched_point();
		w.shared = seen + 1;
	}
}

static int run_racers(void *arg)
{
	struct port_thread *a, *b;

	(void)arg;
	assert_int_equal(port_thread_start(&a, "a", -1, racer, NULL), 0);
	assert_int_equal(port_thread_start(&b, "b", -1, racer, NULL), 0);
	port_thread_join(a);
	port_thread_join(b);
	return 0;
}

static void explore_finds_race(void **state)
{
	int cpus;

	(void)state;
	for (cpus = 1; cpus <= 2; cpus++) {
		memset(&w, 0, sizeof(w));
		boot(cpus, 3, true);
		assert_int_equal(sim_run(run_racers, NULL), 0);
		sim_shutdown();
		assert_true(w.shared < 40);
	}
}

/* Threads on different CPUs work at the same time; on one CPU in turn. */
static void time_is_parallel(void **state)
{
	u64 one, four;

	(void)state;
	interleaving(1, 5, false);
	one = w.end_ns;
	interleaving(4, 5, false);
	four = w.end_ns;
	assert_true(four < one);
}

/* ---- park
 * -------------------------------------------------------------------- */

static struct port_thread *sleeper;
static u64 woke_at, woke_how;

static void sleeps(void *arg)
{
	(void)arg;
	woke_how = port_park(UINT64_MAX);
	woke_at = port_now_ns();
}

static int run_park(void *arg)
{
	u64 t0 = port_now_ns();

	(void)arg;
	/* No permit: the time-out passes in virtual time only. */
	assert_false(port_park(5000000000UL));
	assert_true(port_now_ns() >= t0 + 5000000000UL);
	assert_true(port_now_ns() < t0 + 5000100000UL);
	/* A permit given first is taken at once, and only once. */
	port_unpark(port_self());
	port_unpark(port_self());
	t0 = port_now_ns();
	assert_true(port_park(UINT64_MAX));
	assert_int_equal(port_now_ns(), t0);
	assert_false(port_park(1000));
	/* Another thread's permit. */
	assert_int_equal(
		port_thread_start(&sleeper, "sleeper", -1, sleeps, NULL), 0);
	assert_false(port_park(1000000));
	t0 = port_now_ns();
	port_unpark(sleeper);
	port_thread_join(sleeper);
	assert_int_equal(woke_how, 1);
	assert_true(woke_at >= t0);
	return 0;
}

static void park_permits(void **state)
{
	int cpus;

	(void)state;
	for (cpus = 1; cpus <= 2; cpus++) {
		boot(cpus, 1, cpus == 2);
		assert_int_equal(sim_run(run_park, NULL), 0);
		sim_shutdown();
	}
}

/* ---- deadlock and panic
 * ---------------------------------------------------------- */

static void never(void *arg)
{
	(void)arg;
	port_park(UINT64_MAX);
}

static int run_deadlock(void *arg)
{
	struct port_thread *t;

	(void)arg;
	assert_int_equal(port_thread_start(&t, "stuck-one", -1, never, NULL),
			 0);
	port_thread_join(t);
	return 0;
}

static int run_lock_twice(void *arg)
{
	u32 word = 0;

	(void)arg;
	port_pin();
	port_spin_lock(&word);
	port_spin_lock(&word);
	return 0;
}

static int run_panic(void *arg)
{
	(void)arg;
	port_panic("nothing left");
}

static void deadlock_is_told(void **state)
{
	(void)state;
	boot(2, 1, false);
	assert_int_equal(sim_run(run_deadlock, NULL), -EDEADLK);
	assert_non_null(strstr(text, "stuck-one"));
	assert_non_null(strstr(text, "parked"));
	assert_non_null(strstr(text, "main"));
	assert_non_null(strstr(text, "waits for a thread's end"));
	assert_int_equal(sim_run(run_park, NULL), -EINVAL);
	sim_shutdown();
	boot(1, 1, false);
	assert_int_equal(sim_run(run_lock_twice, NULL), -EDEADLK);
	assert_non_null(strstr(text, "spins"));
	assert_non_null(strstr(text, "pinned"));
	sim_shutdown();
	boot(1, 1, false);
	assert_int_equal(sim_run(run_panic, NULL), -EIO);
	assert_non_null(strstr(text, "nothing left"));
	sim_shutdown();
}

/* ---- switch hook, migration, preemption
 * --------------------------------------------- */

static const struct mm_task *hook_last[MM_NR_CPUS];
static u32 hook_calls;

static void on_switch(struct mm_task *prev, struct mm_task *next)
{
	int cpu = port_cpu();

	assert_ptr_not_equal(prev, next);
	if (hook_last[cpu])
		assert_ptr_equal(hook_last[cpu], prev);
	hook_last[cpu] = next;
	hook_calls++;
}

static void user_main(void *arg)
{
	int i;

	for (i = 0; i < 8; i++) {
		sim_set_cpu(port_self(), i % 2);
		assert_int_equal(port_cpu(), i % 2);
		assert_ptr_equal(hook_last[i % 2], port_current());
		assert_ptr_not_equal(hook_last[!(i % 2)], port_current());
		port_sched_point();
	}
	*(int *)arg = 1;
}

static int run_migrate(void *arg)
{
	struct port_thread *t;
	int done = 0;

	(void)arg;
	assert_int_equal(sim_thread_start_on(&t, "user", 1, user_main, &done),
			 0);
	assert_int_equal(sim_thread_task(t)->flags & PF_KTHREAD, 0);
	assert_ptr_equal(sim_thread_task(t)->thread, t);
	port_thread_join(t);
	assert_int_equal(done, 1);
	return 0;
}

static void hook_and_migration(void **state)
{
	int explore;

	(void)state;
	for (explore = 0; explore < 2; explore++) {
		memset(hook_last, 0, sizeof(hook_last));
		hook_calls = 0;
		boot(2, 9, explore);
		port_set_switch_hook(on_switch);
		assert_int_equal(sim_run(run_migrate, NULL), 0);
		sim_shutdown();
		assert_true(hook_calls >= 16);
	}
}

static bool daemon_ran;

static void daemon_fn(void *arg)
{
	(void)arg;
	while (port_park(UINT64_MAX)) {
		daemon_ran = true;
		if (w.shared)
			return;
	}
}

/* A woken kernel thread goes first at the next point that is not pinned. */
static int run_preempt(void *arg)
{
	struct port_thread *t;

	(void)arg;
	assert_int_equal(port_thread_start(&t, "daemon", -1, daemon_fn, NULL),
			 0);
	assert_false(port_park(1000)); /* let it park */
	daemon_ran = false;
	port_pin();
	port_unpark(t);
	port_sched_point();
	assert_false(daemon_ran);
	port_unpin();
	port_sched_point();
	assert_true(daemon_ran);
	w.shared = 1;
	port_unpark(t);
	port_thread_join(t);
	return 0;
}

static void spin_user(void *arg)
{
	u64 *n = arg;

	while (!w.shared) {
		port_charge_ns(100);
		(*n)++;
		port_sched_point();
	}
}

/* Two user tasks on one CPU share it by time slices. */
static int run_slices(void *arg)
{
	struct port_thread *a, *b;
	u64 na = 0, nb = 0;

	(void)arg;
	w.shared = 0;
	assert_int_equal(sim_thread_start_on(&a, "a", 0, spin_user, &na), 0);
	assert_int_equal(sim_thread_start_on(&b, "b", 0, spin_user, &nb), 0);
	assert_false(port_park(100000000));
	w.shared = 1;
	port_thread_join(a);
	port_thread_join(b);
	assert_true(na > 300000 && nb > 300000);
	return 0;
}

static void preemption(void **state)
{
	(void)state;
	w.shared = 0;
	boot(1, 1, false);
	assert_int_equal(sim_run(run_preempt, NULL), 0);
	assert_int_equal(sim_run(run_slices, NULL), 0);
	sim_shutdown();
}

/* ---- busy waits
 * -------------------------------------------------------------------- */

static void sets_flag(void *arg)
{
	port_charge_ns(30000);
	port_sched_point();
	WRITE_ONCE(*(int *)arg, 1);
}

static int run_relax(void *arg)
{
	struct port_thread *t;
	int flag = 0;

	assert_int_equal(port_thread_start(&t, "setter", -1, sets_flag, &flag),
			 0);
	while (!READ_ONCE(flag))
		port_relax();
	/* Clocks of CPUs are not kept together when schedules are explored. */
	if (!*(bool *)arg)
		assert_true(port_now_ns() >= 30000);
	port_thread_join(t);
	return 0;
}

static void busy_wait_ends(void **state)
{
	int cpus;

	(void)state;
	for (cpus = 1; cpus <= 3; cpus++) {
		bool explore = cpus == 3;

		boot(cpus, 1, explore);
		assert_int_equal(sim_run(run_relax, &explore), 0);
		sim_shutdown();
	}
}

static void before_boot(void **state)
{
	u32 word = 0;

	(void)state;
	assert_non_null(port_current());
	assert_int_equal(port_cpu(), 0);
	assert_int_equal(port_nr_cpus(), 1);
	port_pin();
	port_spin_lock(&word);
	assert_false(port_spin_trylock(&word));
	port_spin_unlock(&word);
	port_unpin();
	port_sched_point();
	assert_int_equal(sim_init(&(struct sim_config){.cpus = 65}), -EINVAL);
	assert_int_equal(sim_init(&(struct sim_config){.tlb_l1 = 3}), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(before_boot),
		cmocka_unit_test(same_seed_same_order),
		cmocka_unit_test(seeds_differ),
		cmocka_unit_test(explore_finds_race),
		cmocka_unit_test(time_is_parallel),
		cmocka_unit_test(park_permits),
		cmocka_unit_test(deadlock_is_told),
		cmocka_unit_test(hook_and_migration),
		cmocka_unit_test(preemption),
		cmocka_unit_test(busy_wait_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
