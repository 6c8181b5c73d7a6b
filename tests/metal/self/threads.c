/* SPDX-License-Identifier: MIT */
/* threads.c - threads, parking, the scheduler, on the real machine. */
#include "self.h"

#include "base/mutex.h"
#include "base/spinlock.h"
#include "base/wait.h"

#define THREADS 8
#define ROUNDS	2000u

static struct {
	spinlock_t lock;
	struct mutex mutex;
	u64 spin_count, mutex_count;
	struct completion done;
	u64 turn;
	struct port_thread *pair[2];
	bool go, stop;
	u64 work[2];
} t;

static void counter(void *arg)
{
	(void)arg;
	for (u32 i = 0; i < ROUNDS; i++) {
		spin_lock(&t.lock);
		t.spin_count++;
		spin_unlock(&t.lock);
		mutex_lock(&t.mutex);
		t.mutex_count++;
		if (i % 64 == 0)
			machine_yield();
		mutex_unlock(&t.mutex);
	}
}

static void test_locks(void)
{
	struct port_thread *th[THREADS];

	for (u32 i = 0; i < THREADS; i++)
		CHECK(!port_thread_start(&th[i], "counter", -1, counter, NULL));
	for (u32 i = 0; i < THREADS; i++)
		port_thread_join(th[i]);
	CHECK(t.spin_count == THREADS * ROUNDS);
	CHECK(t.mutex_count == THREADS * ROUNDS);
}

/* Two threads that wake each other in turn. */
static void ping(void *arg)
{
	u64 me = (u64)arg;

	while (!READ_ONCE(t.go))
		machine_yield();
	for (u32 i = 0; i < ROUNDS; i++) {
		while (READ_ONCE(t.turn) % 2 != me)
			port_park(UINT64_MAX);
		__atomic_fetch_add(&t.turn, 1, __ATOMIC_SEQ_CST);
		port_unpark(READ_ONCE(t.pair[!me]));
	}
}

static void test_pair(void)
{
	for (u64 i = 0; i < 2; i++)
		CHECK(!port_thread_start(&t.pair[i], "ping", -1, ping,
					 (void *)i));
	/* Nobody unparks who is not there yet. */
	WRITE_ONCE(t.go, true);
	port_thread_join(t.pair[0]);
	port_thread_join(t.pair[1]);
	CHECK(t.turn == 2 * ROUNDS);
}

static void test_permit(void)
{
	u64 before;

	port_unpark(port_self());
	port_unpark(port_self());
	CHECK(port_park(UINT64_MAX));
	CHECK(!port_park(0));
	before = port_now_ns();
	CHECK(!port_park(3000000));
	CHECK(port_now_ns() - before >= 3000000);
}

/* Threads that compute share one CPU by weight; nobody yields. */
static void burn(void *arg)
{
	u64 *work = arg;

	while (!READ_ONCE(t.stop))
		WRITE_ONCE(*work, READ_ONCE(*work) + 1);
}

static void test_preemption(void)
{
	struct port_cpumask one = {{1}};
	struct port_thread *th[2];
	u64 user, sys, ran[2];

	for (u32 i = 0; i < 2; i++) {
		CHECK(!port_thread_start(&th[i], "burn", -1, burn, &t.work[i]));
		CHECK(!machine_set_affinity(th[i], &one));
	}
	machine_set_nice(th[1], 5);
	/* 1024 to 335, in the long run: a host may stall this machine. */
	for (u32 i = 0; i < 100; i++) {
		port_park(100000000);
		for (u32 j = 0; j < 2; j++) {
			machine_thread_times(th[j], &user, &sys);
			CHECK(user == 0 && machine_thread_cpu(th[j]) == 0);
			ran[j] = sys;
		}
		if (i > 2 && ran[0] > ran[1] * 2 && ran[0] < ran[1] * 5)
			break;
	}
	CHECK(READ_ONCE(t.work[0]) > 0 && READ_ONCE(t.work[1]) > 0);
	pr_info("self: nice 0 ran %llu us, nice 5 ran %llu us",
		(unsigned long long)ran[0] / 1000,
		(unsigned long long)ran[1] / 1000);
	CHECK(ran[0] > ran[1] * 2 && ran[0] < ran[1] * 5);
	WRITE_ONCE(t.stop, true);
	port_thread_join(th[0]);
	port_thread_join(th[1]);
}

static void test_affinity(void)
{
	struct port_cpumask none = {{0}}, got;
	struct port_cpumask far = {{0}};

	CHECK(machine_set_affinity(port_self(), &none) == -22);
	far.bits[0] = 1ul << (port_nr_cpus() - 1);
	CHECK(!machine_set_affinity(port_self(), &far));
	machine_yield();
	CHECK(port_cpu() == port_nr_cpus() - 1);
	machine_get_affinity(port_self(), &got);
	CHECK(got.bits[0] == far.bits[0]);
	far.bits[0] = ~0ul;
	CHECK(!machine_set_affinity(port_self(), &far));
}

void self_threads(void)
{
	spin_lock_init(&t.lock, LOCK_CLASS_NONE);
	mutex_init(&t.mutex, LOCK_CLASS_NONE);
	init_completion(&t.done);
	test_permit();
	test_locks();
	test_pair();
	test_preemption();
	test_affinity();
}
