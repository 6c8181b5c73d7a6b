/* SPDX-License-Identifier: MIT */
/*
 * base_lock_cases.h - the lock tests that hold in every world: each runs
 * threads that hammer one primitive and checks what it promises. The caller
 * supplies a machine and runs lock_cases[] on it.
 */
#ifndef TESTS_BASE_LOCK_CASES_H
#define TESTS_BASE_LOCK_CASES_H

#include <mmkit/port.h>

#include "base/atomic.h"
#include "base/epoch.h"
#include "base/fail.h"
#include "base/mutex.h"
#include "base/percpu.h"
#include "base/prng.h"
#include "base/rwsem.h"
#include "base/wait.h"

#define LOCK_THREADS 4

/* What the threads of one case share; zeroed before each case. */
struct lock_shared {
	u64 rounds, seed;
	spinlock_t spin, irq_spin;
	struct mutex mutex;
	struct rw_semaphore rwsem;
	wait_queue_head_t wq;
	struct completion done, all;
	/* Plain on purpose: only the lock under test makes them exact. */
	u64 plain, copy, gen;
	atomic64_t readers, writers, tokens, taken, next_id, max_readers;
	u64 box_nr;
	bool stop;
	DEFINE_PER_CPU(u64, ticks);
};

static struct lock_shared ls;

/* A check in any thread: cmocka's asserts jump, which only its own thread
 * may do. */
#define CHECK(cond) mm_verify(cond)

static void run_threads(void (*fn)(void *arg), int n)
{
	struct port_thread *t[8];

	CHECK(n <= 8);
	for (int i = 0; i < n; i++)
		CHECK(port_thread_start(&t[i], "worker", -1, fn,
					(void *)(uintptr_t)i) == 0);
	for (int i = 0; i < n; i++)
		port_thread_join(t[i]);
}

/* ---- spinlocks
 * ----------------------------------------------------------------- */

static void spin_worker(void *arg)
{
	struct prng r = {ls.seed + (u64)(uintptr_t)arg};

	for (u64 i = 0; i < ls.rounds; i++) {
		unsigned long flags;

		switch (prng_below(&r, 4)) {
		case 0:
			spin_lock_irqsave(&ls.spin, flags);
			CHECK(ls.plain == ls.copy);
			ls.plain++;
			ls.copy++;
			assert_spin_locked(&ls.spin);
			spin_unlock_irqrestore(&ls.spin, flags);
			break;
		case 1:
			while (!spin_trylock(&ls.spin))
				port_relax();
			ls.plain++;
			ls.copy++;
			spin_unlock(&ls.spin);
			break;
		case 2:
			spin_lock_irq(&ls.spin);
			ls.plain++;
			spin_lock_irq(&ls.irq_spin);
			spin_unlock_irq(&ls.irq_spin);
			ls.copy++;
			spin_unlock_irq(&ls.spin);
			break;
		default:
			spin_lock(&ls.spin);
			CHECK(ls.plain == ls.copy);
			ls.plain++;
			ls.copy++;
			spin_unlock(&ls.spin);
		}
	}
}

static void case_spin(void)
{
	spin_lock_init(&ls.spin, LOCK_CLASS_TEST_A);
	spin_lock_init(&ls.irq_spin, LOCK_CLASS_TEST_B);
	run_threads(spin_worker, LOCK_THREADS);
	CHECK(ls.plain == LOCK_THREADS * ls.rounds);
	CHECK(!spin_is_locked(&ls.spin));
}

/* ---- mutex
 * ------------------------------------------------------------------------ */

static void mutex_worker(void *arg)
{
	struct prng r = {ls.seed + (u64)(uintptr_t)arg};

	for (u64 i = 0; i < ls.rounds; i++) {
		if (prng_one_in(&r, 4)) {
			if (!mutex_trylock(&ls.mutex))
				continue;
		} else {
			mutex_lock(&ls.mutex);
		}
		mutex_assert_held(&ls.mutex);
		CHECK(ls.plain == ls.copy);
		ls.plain++;
		if (prng_one_in(&r, 8))
			(void)port_park(prng_below(&r, 2000));
		ls.copy++;
		mutex_unlock(&ls.mutex);
	}
}

static void case_mutex(void)
{
	mutex_init(&ls.mutex, LOCK_CLASS_TEST_A);
	run_threads(mutex_worker, LOCK_THREADS);
	CHECK(ls.plain == ls.copy && ls.plain > ls.rounds);
	CHECK(!mutex_is_locked(&ls.mutex) && ls.mutex.owner == 0);
	CHECK(list_empty(&ls.mutex.waiters));
}

/* ---- reader-writer semaphore
 * --------------------------------------------------------- */

static void rw_read(struct prng *r)
{
	s64 n = atomic64_inc_return(&ls.readers);

	if (n > atomic64_read(&ls.max_readers))
		atomic64_set(&ls.max_readers, n);
	CHECK(atomic64_read(&ls.writers) == 0);
	CHECK(ls.plain == ls.copy);
	rwsem_assert_held(&ls.rwsem);
	if (prng_one_in(r, 4))
		(void)port_park(prng_below(r, 2000));
	atomic64_dec(&ls.readers);
}

static void rw_write(struct prng *r)
{
	CHECK(atomic64_inc_return(&ls.writers) == 1);
	CHECK(atomic64_read(&ls.readers) == 0);
	rwsem_assert_held_write(&ls.rwsem);
	ls.plain++;
	if (prng_one_in(r, 4))
		(void)port_park(prng_below(r, 2000));
	ls.copy++;
	atomic64_inc(&ls.taken);
	atomic64_dec(&ls.writers);
}

static void rwsem_worker(void *arg)
{
	struct prng r = {ls.seed + (u64)(uintptr_t)arg};

	for (u64 i = 0; i < ls.rounds; i++) {
		switch (prng_below(&r, 6)) {
		case 0:
			down_write(&ls.rwsem);
			rw_write(&r);
			up_write(&ls.rwsem);
			break;
		case 1:
			down_write(&ls.rwsem);
			rw_write(&r);
			downgrade_write(&ls.rwsem);
			rw_read(&r);
			up_read(&ls.rwsem);
			break;
		case 2:
			if (down_write_trylock(&ls.rwsem)) {
				rw_write(&r);
				up_write(&ls.rwsem);
			}
			break;
		case 3:
			if (down_read_trylock(&ls.rwsem)) {
				rw_read(&r);
				up_read(&ls.rwsem);
			}
			break;
		default:
			down_read(&ls.rwsem);
			rw_read(&r);
			up_read(&ls.rwsem);
		}
	}
}

static void case_rwsem(void)
{
	init_rwsem(&ls.rwsem, LOCK_CLASS_TEST_A);
	run_threads(rwsem_worker, LOCK_THREADS);
	CHECK(ls.plain == (u64)atomic64_read(&ls.taken) && ls.plain > 0);
	CHECK(atomic64_read(&ls.max_readers) > 1);
	CHECK(ls.rwsem.count == 0 && !rwsem_is_contended(&ls.rwsem));
}

/* Readers that never leave a gap do not keep a writer out. */
static void rwsem_reader(void *arg)
{
	(void)arg;
	while (!READ_ONCE(ls.stop)) {
		down_read(&ls.rwsem);
		(void)port_park(3000);
		up_read(&ls.rwsem);
	}
}

static void rwsem_writer_or_reader(void *arg)
{
	if (arg) {
		rwsem_reader(arg);
		return;
	}
	for (int i = 0; i < 20; i++) {
		down_write(&ls.rwsem);
		ls.plain++;
		up_write(&ls.rwsem);
	}
	WRITE_ONCE(ls.stop, true);
}

/* A reader that waits comes in when the writer has become one. */
static void joiner(void *arg)
{
	if (!arg) {
		down_write(&ls.rwsem);
		WRITE_ONCE(ls.plain, 1);
		while (!rwsem_is_contended(&ls.rwsem))
			(void)port_park(1000);
		downgrade_write(&ls.rwsem);
		while (atomic64_read(&ls.readers) == 0)
			(void)port_park(1000);
		up_read(&ls.rwsem);
		return;
	}
	while (!READ_ONCE(ls.plain))
		(void)port_park(1000);
	down_read(&ls.rwsem);
	atomic64_inc(&ls.readers);
	up_read(&ls.rwsem);
}

static void case_rwsem_joins(void)
{
	init_rwsem(&ls.rwsem, LOCK_CLASS_TEST_A);
	run_threads(joiner, 2);
	CHECK(ls.rwsem.count == 0);
}

static void case_rwsem_fair(void)
{
	init_rwsem(&ls.rwsem, LOCK_CLASS_TEST_A);
	run_threads(rwsem_writer_or_reader, LOCK_THREADS);
	CHECK(ls.plain == 20);
}

/* ---- wait queues
 * ------------------------------------------------------------------------ */

/* Take a token; the condition has a sleeping lock in it. */
static bool take_token(void)
{
	bool got = false;

	mutex_lock(&ls.mutex);
	if (ls.plain > 0) {
		ls.plain--;
		got = true;
	}
	mutex_unlock(&ls.mutex);
	return got;
}

static void put_token(void)
{
	mutex_lock(&ls.mutex);
	ls.plain++;
	mutex_unlock(&ls.mutex);
	wake_up(&ls.wq);
}

static void wait_exclusive(void)
{
	DEFINE_WAIT(wait);

	for (;;) {
		prepare_to_wait_exclusive(&ls.wq, &wait);
		if (take_token())
			break;
		CHECK(wait_park(&wait, UINT64_MAX));
	}
	finish_wait(&ls.wq, &wait);
	/* A wake-up that came while the token was taken is passed on. */
	wake_up(&ls.wq);
}

static void wait_worker(void *arg)
{
	u64 me = (u64)(uintptr_t)arg;

	for (u64 i = 0; i < ls.rounds; i++) {
		if (me & 1) {
			put_token();
		} else {
			if (i & 1)
				wait_event(ls.wq, take_token());
			else
				wait_exclusive();
			atomic64_inc(&ls.taken);
		}
	}
}

static void case_wait(void)
{
	mutex_init(&ls.mutex, LOCK_CLASS_TEST_A);
	init_waitqueue_head(&ls.wq);
	run_threads(wait_worker, LOCK_THREADS);
	CHECK(ls.plain == 0 && !waitqueue_active(&ls.wq));
	CHECK((u64)atomic64_read(&ls.taken) == LOCK_THREADS / 2 * ls.rounds);
}

static void case_wait_timeout(void)
{
	u64 before = port_now_ns(), left;

	init_waitqueue_head(&ls.wq);
	CHECK(wait_event_timeout(ls.wq, ls.stop, 200000) == 0);
	CHECK(port_now_ns() - before >= 200000);
	CHECK(wait_event_timeout(ls.wq, !ls.stop, 0) == 1);
	left = wait_event_timeout(ls.wq, !ls.stop, 1000000000000ul);
	CHECK(left > 900000000000ul && left <= 1000000000000ul);
	CHECK(!waitqueue_active(&ls.wq));
	init_completion(&ls.done);
	CHECK(wait_for_completion_timeout(&ls.done, 100000) == 0);
	complete(&ls.done);
	CHECK(wait_for_completion_timeout(&ls.done, UINT64_MAX) > 0);
	CHECK(!completion_done(&ls.done));
}

/* Waiters with keys: only the right ones are woken. */
static void key_worker(void *arg)
{
	u64 me = (u64)(uintptr_t)arg;
	struct wait_queue_entry w;

	init_wait(&w, (char *)&ls + (me & 1));
	prepare_to_wait_exclusive(&ls.wq, &w);
	atomic64_inc(&ls.readers);
	while (!(READ_ONCE(w.flags) & WQ_FLAG_WOKEN))
		CHECK(wait_park(&w, UINT64_MAX));
	finish_wait(&ls.wq, &w);
	atomic64_inc(me & 1 ? &ls.taken : &ls.tokens);
}

static void key_main(void *arg)
{
	if (arg) {
		key_worker(arg);
		return;
	}
	while (atomic64_read(&ls.readers) < 6)
		(void)port_park(1000);
	/* Six wait: 1, 3, 5 with one key, 2, 4, 6 with the other. */
	CHECK(wake_up_key(&ls.wq, 2, (char *)&ls + 1) == 2);
	while (atomic64_read(&ls.taken) < 2)
		(void)port_park(1000);
	CHECK(atomic64_read(&ls.tokens) == 0);
	CHECK(wake_up_key(&ls.wq, 0, (char *)&ls) == 3);
	CHECK(wake_up_key(&ls.wq, 0, (char *)&ls + 1) == 1);
}

/* Entries that write down that they were woken. */

static struct wait_queue_entry order[4]; /* 0 and 2: one at a time */
static char woken[8];

static bool order_woken(struct wait_queue_entry *wait)
{
	woken[__builtin_strlen(woken)] = (char)('0' + (wait - order));
	return true;
}

/* NR turns: TEXT are who was woken, in order. */
static void order_wakes(int nr, const char *text)
{
	__builtin_memset(woken, 0, sizeof(woken));
	CHECK(wake_up_nr(&ls.wq, nr) == (int)__builtin_strlen(text));
	CHECK(__builtin_strcmp(woken, text) == 0);
}

/* All that wait for any wake-up come before those that wait for a turn, which
 * have theirs in the order in which they came. */
static void case_wait_order(void)
{
	init_waitqueue_head(&ls.wq);
	for (int i = 0; i < 4; i++) {
		init_wait_func(&order[i], order_woken);
		add_wait_queue(&ls.wq, &order[i], i % 2 == 0);
	}
	order_wakes(1, "310");
	order_wakes(2, "3102");
	order_wakes(0, "3102");
	finish_wait(&ls.wq, &order[0]);
	order_wakes(1, "312");
	for (int i = 1; i < 4; i++)
		finish_wait(&ls.wq, &order[i]);
	CHECK(!waitqueue_active(&ls.wq));
}

static void case_wait_key(void)
{
	init_waitqueue_head(&ls.wq);
	run_threads(key_main, 7);
	CHECK(atomic64_read(&ls.taken) == 3 && atomic64_read(&ls.tokens) == 3);
}

static void completion_worker(void *arg)
{
	if (arg) {
		for (u64 i = 0; i < ls.rounds; i++)
			wait_for_completion(&ls.done);
		wait_for_completion(&ls.all);
		atomic64_inc(&ls.taken);
		return;
	}
	for (u64 i = 0; i < (LOCK_THREADS - 1) * ls.rounds; i++)
		complete(&ls.done);
	CHECK(atomic64_read(&ls.taken) == 0);
	complete_all(&ls.all);
}

static void case_completion(void)
{
	init_completion(&ls.done);
	init_completion(&ls.all);
	run_threads(completion_worker, LOCK_THREADS);
	CHECK(atomic64_read(&ls.taken) == LOCK_THREADS - 1);
	CHECK(!completion_done(&ls.done) && completion_done(&ls.all));
	CHECK(try_wait_for_completion(&ls.all));
}

/* ---- epochs
 * ----------------------------------------------------------------------------------
 */

#define BOX_MAX	 512
#define BOX_LIVE 0x6c697665u

/* Objects are never freed for real, so a late reader is seen, not crashed. */
struct box {
	struct epoch_head epoch;
	u32 state;
	u64 value;
};

static struct box boxes[BOX_MAX];
static struct box *box_now;

static void box_end(struct epoch_head *head)
{
	struct box *b = container_of(head, struct box, epoch);

	CHECK(b->state == BOX_LIVE);
	b->state = 0;
	atomic64_inc(&ls.taken);
}

static void epoch_reader(struct prng *r)
{
	struct box *b;

	epoch_enter();
	CHECK(epoch_in_section());
	b = smp_load_acquire(&box_now);
	for (u64 n = prng_below(r, 8); n > 0; n--) {
		epoch_enter();
		CHECK(b->state == BOX_LIVE);
		port_relax();
		epoch_exit();
	}
	CHECK(b->state == BOX_LIVE && b->value == (u64)(b - boxes));
	epoch_exit();
}

static void epoch_writer(struct prng *r)
{
	for (ls.box_nr = 1; ls.box_nr < BOX_MAX; ls.box_nr++) {
		struct box *b = &boxes[ls.box_nr], *old = box_now;

		b->state = BOX_LIVE;
		b->value = ls.box_nr;
		smp_store_release(&box_now, b);
		epoch_defer(&old->epoch, box_end);
		if (prng_one_in(r, 3))
			epoch_poll();
		if (prng_one_in(r, 20)) {
			/* A reader that looked at the epoch just before may
			 * hold the last ones back once more. */
			epoch_synchronize();
			epoch_drain();
			CHECK(atomic64_read(&ls.taken) == (s64)ls.box_nr);
		}
	}
	WRITE_ONCE(ls.stop, true);
}

static void epoch_worker(void *arg)
{
	struct prng r = {ls.seed + (u64)(uintptr_t)arg};

	if (!arg) {
		epoch_writer(&r);
		return;
	}
	while (!READ_ONCE(ls.stop)) {
		epoch_reader(&r);
		port_sched_point();
	}
}

static void case_epoch(void)
{
	boxes[0] = (struct box){.state = BOX_LIVE};
	box_now = &boxes[0];
	run_threads(epoch_worker, LOCK_THREADS);
	epoch_drain();
	CHECK(epoch_pending() == 0);
	CHECK(atomic64_read(&ls.taken) == BOX_MAX - 1);
}

/* Sections of one reader, by number. */
static u64 section_begun, section_ended;

static void section_reader(struct prng *r)
{
	u64 nr = section_begun + 1;

	epoch_enter();
	smp_store_release(&section_begun, nr);
	for (u64 n = prng_below(r, 40); n > 0; n--)
		port_relax();
	smp_store_release(&section_ended, nr);
	epoch_exit();
}

/* Who synchronizes goes on when the sections that it has seen are over. */
static void synchronize_worker(void *arg)
{
	struct prng r = {ls.seed};

	while (arg && !READ_ONCE(ls.stop)) {
		section_reader(&r);
		port_sched_point();
	}
	for (u64 i = 0; !arg && i < ls.rounds; i++) {
		u64 seen = smp_load_acquire(&section_begun);

		epoch_synchronize();
		CHECK(smp_load_acquire(&section_ended) >= seen);
		(void)port_park(prng_below(&r, 1000));
	}
	if (!arg)
		WRITE_ONCE(ls.stop, true);
}

static void case_epoch_synchronize(void)
{
	section_begun = section_ended = 0;
	run_threads(synchronize_worker, 2);
	CHECK(section_begun > 0 && section_ended == section_begun);
}

/* ---- counters, per CPU, faults
 * ------------------------------------------------------------------ */

static void count_worker(void *arg)
{
	(void)arg;
	for (u64 i = 0; i < ls.rounds; i++) {
		get_cpu();
		this_slot_inc(ls.ticks);
		put_cpu();
		atomic64_inc(&ls.tokens);
		if (atomic64_add_unless(&ls.next_id, 1, 10))
			atomic64_inc(&ls.taken);
		if (fail_should(FAIL_SLAB))
			atomic64_inc(&ls.writers);
	}
}

static void case_counters(void)
{
	u64 sum = 0;
	int cpu;

	fail_arm_nth(FAIL_MASK(FAIL_SLAB), ls.rounds + 1, false);
	run_threads(count_worker, LOCK_THREADS);
	CHECK(fail_disarm().calls == LOCK_THREADS * ls.rounds);
	CHECK(atomic64_read(&ls.writers) == 1);
	for_each_cpu (cpu)
		sum += cpu_slot(ls.ticks, cpu);
	CHECK(sum == LOCK_THREADS * ls.rounds);
	CHECK((u64)atomic64_read(&ls.tokens) == sum);
	CHECK(atomic64_read(&ls.taken) == 10);
}

static const struct lock_case {
	const char *name;
	void (*fn)(void);
	u64 rounds;
} lock_cases[] = {
	{"spin", case_spin, 2000},
	{"mutex", case_mutex, 500},
	{"rwsem", case_rwsem, 500},
	{"rwsem_fair", case_rwsem_fair, 0},
	{"wait", case_wait, 400},
	{"wait_timeout", case_wait_timeout, 0},
	{"wait_key", case_wait_key, 0},
	{"completion", case_completion, 400},
	{"epoch", case_epoch, 0},
	{"counters", case_counters, 1000},
	{"synchronize", case_epoch_synchronize, 200},
	{"wait_order", case_wait_order, 0},
	{"rwsem_joins", case_rwsem_joins, 0},
};

/* Run all cases once in the calling thread of a machine. */
static inline int run_lock_cases(void *arg)
{
	u64 seed = *(u64 *)arg;

	for (size_t i = 0; i < ARRAY_SIZE(lock_cases); i++) {
		__builtin_memset(&ls, 0, sizeof(ls));
		ls.seed = seed;
		ls.rounds = lock_cases[i].rounds;
		lock_cases[i].fn();
		lockdep_assert_none_held();
	}
	return 0;
}

#endif
