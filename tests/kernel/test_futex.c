/* SPDX-License-Identifier: MIT */
/*
 * test_futex.c - futexes under the seeded scheduler: no wake-up is lost, keys
 * are what they should be, locks with owners survive them.
 */
#include "sim_machine.h"

#include "event_stub.h"
#include "time/futex.h"

#define SYS_futex	    202
#define SYS_set_robust_list 273
#define SYS_futex_waitv	    449

#define WAIT		128 /* FUTEX_PRIVATE_FLAG */
#define WAKE		129
#define REQUEUE		131
#define CMP_REQUEUE	132
#define WAKE_OP		133
#define LOCK_PI		134
#define UNLOCK_PI	135
#define TRYLOCK_PI	136
#define WAIT_BITSET	137
#define WAKE_BITSET	138
#define WAIT_REQUEUE_PI 139
#define CMP_REQUEUE_PI	140
#define SHARED(op)	((op)-128)
#define REALTIME	256

static struct {
	struct mm_struct *mm;
	uva_t mem;
	struct prng rnd;
	u64 counter; /* what the lock guards */
	u32 rounds;
	s64 result[16];
	u64 waiting; /* (A) */
} ft;

static u32 load(uva_t at)
{
	u32 v;

	CHECK_EQ(sim_copy_from_user(&v, at, 4), 0);
	return v;
}

static void store(uva_t at, u32 v)
{
	CHECK_EQ(sim_copy_to_user(at, &v, 4), 0);
}

static u32 cmpxchg(uva_t at, u32 old, u32 val)
{
	for (;;) {
		int err = user_cmpxchg32_try(ft.mm, at, &old, val);

		if (!err)
			return old;
		CHECK_EQ(err, -EAGAIN);
		CHECK_EQ(user_word_fault_in(ft.mm, at, true), 0);
	}
}

static u32 xchg(uva_t at, u32 val)
{
	u32 old = load(at), seen;

	while ((seen = cmpxchg(at, old, val)) != old)
		old = seen;
	return old;
}

static void begin(void)
{
	memset(&ft, 0, sizeof(ft));
	ft.mm = tm_mm();
	tm_use(ft.mm);
	es_start(ft.mm);
	time_sys_init();
	ft.mem = tm_map(ft.mm, 16);
	prng_seed(&ft.rnd, tm.cfg.seed);
}

static void end(void)
{
	es_stop();
	tm_use(NULL);
	mm_put(ft.mm);
}

static void nap(u64 ns)
{
	u64 until = port_now_ns() + ns;

	while (port_now_ns() < until)
		port_park(until - port_now_ns());
}

/* ---- a mutex of a futex ----------------------------------------------------
 */

/* U. Drepper's second mutex: 0 free, 1 held, 2 held and waited for. */
static void mutex_take(uva_t m)
{
	u32 c = cmpxchg(m, 0, 1);

	if (!c)
		return;
	if (c != 2)
		c = xchg(m, 2);
	while (c) {
		s64 ret = CALL(SYS_futex, m, WAIT, 2, 0);

		CHECK(ret == 0 || ret == -EAGAIN);
		c = xchg(m, 2);
	}
}

static void mutex_give(uva_t m)
{
	if (xchg(m, 0) == 2)
		CHECK(CALL(SYS_futex, m, WAKE, 1) >= 0);
}

static void mutex_worker(void *arg)
{
	(void)arg;
	for (u32 i = 0; i < ft.rounds; i++) {
		u64 v;

		mutex_take(ft.mem);
		v = READ_ONCE(ft.counter);
		port_sched_point();
		WRITE_ONCE(ft.counter, v + 1);
		mutex_give(ft.mem);
	}
}

static int mutex_body(void *arg)
{
	struct es_task *t[4];

	(void)arg;
	begin();
	ft.rounds = 60;
	for (int i = 0; i < 4; i++)
		t[i] = es_spawn(es.task[0].t.proc, ft.mm, mutex_worker, NULL);
	for (int i = 0; i < 4; i++)
		es_join(t[i]);
	CHECK_EQ(ft.counter, 4 * 60);
	CHECK_EQ(load(ft.mem), 0);
	end();
	return 0;
}

static void mutexes(void **state)
{
	u64 seed = test_env("SEED", 1);

	(void)state;
	for (u64 k = 0; k < test_iters(12); k++)
		TM_RUN(mutex_body, .cpus = 1 + (int)(k % 3), .seed = seed + k,
		       .explore = k & 1);
}

/* ---- answers ----------------------------------------------------------------
 */

static void waiter(void *arg)
{
	u64 i = (u64)(uintptr_t)arg;

	ft.result[i] = CALL(SYS_futex, ft.mem, WAIT_BITSET, 7, 0, 0, 1u << i);
}

/* How many wait anywhere. */
static u64 queued(void)
{
	u64 n = 0;

	for (u32 i = 0; i < FUTEX_BUCKETS; i++) {
		struct futex_bucket *b = futex_bucket_at(i);

		spin_lock(&b->lock);
		n += list_count_nodes(&b->waiters);
		spin_unlock(&b->lock);
	}
	return n;
}

/* N waiters at the first word, in order. */
static void sleepers(struct es_task **t, u64 n)
{
	store(ft.mem, 7);
	for (u64 i = 0; i < n; i++) {
		ft.result[i] = 99;
		t[i] = es_spawn(es.task[0].t.proc, ft.mm, waiter,
				(void *)(uintptr_t)i);
		while (queued() <= i)
			nap(1000000);
	}
}

static void answers_of_wrong_use(void)
{
	s64 long_ago[2] = {0, 1}, bad[2] = {0, 1000000000};

	CHECK_EQ(sim_copy_to_user(ft.mem + 64, long_ago, 16), 0);
	CHECK_EQ(sim_copy_to_user(ft.mem + 96, bad, 16), 0);
	CHECK_EQ(CALL(SYS_futex, ft.mem + 1, WAIT, 0, 0), -EINVAL);
	CHECK_EQ(CALL(SYS_futex, ft.mem + 1, WAKE, 1), -EINVAL);
	CHECK_EQ(CALL(SYS_futex, 0x1000, WAIT, 0, 0), -EFAULT);
	CHECK_EQ(CALL(SYS_futex, 1UL << 60, WAKE, 1), -EFAULT);
	CHECK_EQ(CALL(SYS_futex, 0x1000, SHARED(WAKE), 1), -EFAULT);
	CHECK_EQ(CALL(SYS_futex, 0x1000, WAKE, 1), 0);
	CHECK_EQ(CALL(SYS_futex, ft.mem, WAIT, 8, 0), -EAGAIN);
	CHECK_EQ(CALL(SYS_futex, ft.mem, WAIT, 7, ft.mem + 96), -EINVAL);
	CHECK_EQ(CALL(SYS_futex, ft.mem, WAIT, 7, ft.mem + 64), -ETIMEDOUT);
	CHECK_EQ(CALL(SYS_futex, ft.mem, WAIT_BITSET, 7, 0, 0, 0), -EINVAL);
	CHECK_EQ(CALL(SYS_futex, ft.mem, WAKE_BITSET, 7, 0, 0, 0), -EINVAL);
	CHECK_EQ(CALL(SYS_futex, ft.mem, WAKE | REALTIME, 1), -ENOSYS);
	CHECK_EQ(CALL(SYS_futex, ft.mem, 77, 1), -ENOSYS);
	CHECK_EQ(CALL(SYS_futex, ft.mem, REQUEUE, -1, 1, ft.mem + 4), -EINVAL);
	CHECK_EQ(CALL(SYS_futex, ft.mem, CMP_REQUEUE, 1, 1, ft.mem + 4, 8),
		 -EAGAIN);
	CHECK_EQ(CALL(SYS_futex, ft.mem, UNLOCK_PI), -EPERM);
}

/* Oldest first, by bits, moved, and only as many as asked. */
static int answers_body(void *arg)
{
	struct es_task *t[6];

	(void)arg;
	begin();
	store(ft.mem, 7);
	answers_of_wrong_use();
	sleepers(t, 6);
	CHECK_EQ(CALL(SYS_futex, ft.mem, WAKE_BITSET, 9, 0, 0, 1u << 3), 1);
	es_join(t[3]);
	CHECK_EQ(ft.result[3], 0);
	CHECK_EQ(CALL(SYS_futex, ft.mem, WAKE, 0), 0);
	/* One wakes, two move, two stay. */
	CHECK_EQ(CALL(SYS_futex, ft.mem, CMP_REQUEUE, 1, 2, ft.mem + 4096, 7),
		 3);
	es_join(t[0]);
	CHECK_EQ(CALL(SYS_futex, ft.mem + 4096, WAKE, 1), 1);
	es_join(t[1]);
	/* The first word's two, and the one that moved: 5 > 3. */
	store(ft.mem + 4096, 5);
	CHECK_EQ(CALL(SYS_futex, ft.mem, WAKE_OP, 9, 9, ft.mem + 4096,
		      1u << 28 | 4u << 24 | 2u << 12 | 3u),
		 3);
	CHECK_EQ(load(ft.mem + 4096), 7);
	es_join(t[2]);
	es_join(t[4]);
	es_join(t[5]);
	CHECK_EQ(CALL(SYS_futex, ft.mem, WAKE, 9), 0);
	end();
	return 0;
}

static void answers(void **state)
{
	(void)state;
	for (u64 k = 0; k < 6; k++)
		TM_RUN(answers_body, .cpus = 2, .seed = k, .explore = k & 1);
}

/* ---- time and signals -------------------------------------------------------
 */

static void timed(void *arg)
{
	s64 ts[2] = {0, 50000000};
	u64 wall = machine_wall_ns() + 70000000;

	(void)arg;
	CHECK_EQ(sim_copy_to_user(ft.mem + 64, ts, 16), 0);
	ft.result[0] = CALL(SYS_futex, ft.mem, WAIT, 7, ft.mem + 64);
	ts[0] = (s64)(wall / NSEC_PER_SEC);
	ts[1] = (s64)(wall % NSEC_PER_SEC);
	CHECK_EQ(sim_copy_to_user(ft.mem + 64, ts, 16), 0);
	ft.result[1] = CALL(SYS_futex, ft.mem, WAIT_BITSET | REALTIME, 7,
			    ft.mem + 64, 0, ~0u);
	CHECK(machine_wall_ns() >= wall);
	ft.result[2] = CALL(SYS_futex, ft.mem, WAIT, 7, 0);
	es_clear(es_of(current));
	ts[0] = 0;
	ts[1] = 900000000;
	CHECK_EQ(sim_copy_to_user(ft.mem + 64, ts, 16), 0);
	ft.result[3] = CALL(SYS_futex, ft.mem, WAIT, 7, ft.mem + 64);
	es_clear(es_of(current));
	ft.result[4] = current->restart.fn(current);
}

static int timed_body(void *arg)
{
	struct es_task *t;
	u64 before = port_now_ns();

	(void)arg;
	begin();
	store(ft.mem, 7);
	t = es_spawn(es.task[0].t.proc, ft.mm, timed, NULL);
	ft.result[2] = 99;
	nap(400000000);
	CHECK_EQ(ft.result[0], -ETIMEDOUT);
	CHECK_EQ(ft.result[1], -ETIMEDOUT);
	send_sig_task(&t->t, 10, NULL);
	nap(50000000);
	CHECK_EQ(ft.result[2], -ERESTARTSYS);
	send_sig_task(&t->t, 10, NULL);
	es_join(t);
	CHECK_EQ(ft.result[3], -ERESTART_RESTARTBLOCK);
	CHECK_EQ(ft.result[4], -ETIMEDOUT);
	/* The restarted wait ended when the first one would have. */
	CHECK(port_now_ns() - before < 2000000000UL);
	end();
	return 0;
}

static void time_and_signals(void **state)
{
	(void)state;
	TM_RUN(timed_body, .cpus = 2, .seed = 3);
}

/* ---- shared memory ----------------------------------------------------------
 */

static uva_t shared_at;

static void shared_waiter(void *arg)
{
	(void)arg;
	ft.result[0] = CALL(SYS_futex, shared_at, SHARED(WAIT), 0, 0);
}

/* The same page at another address of another space: found by what it is. */
static int shared_body(void *arg)
{
	struct mm_struct *child = NULL;
	struct es_task *t;
	s64 moved;

	(void)arg;
	begin();
	shared_at = (uva_t)do_mmap(ft.mm, 0, 4 * PAGE_SIZE, TM_RW,
				   MAP_SHARED | MAP_ANONYMOUS);
	shared_at += PAGE_SIZE;
	store(shared_at, 0);
	CHECK_EQ(mm_fork(ft.mm, &child), 0);
	t = es_spawn(NULL, child, shared_waiter, NULL);
	while (!queued())
		nap(1000000);
	/* Private: nobody of this space waits. */
	CHECK_EQ(CALL(SYS_futex, shared_at, WAKE, 9), 0);
	CHECK_EQ(CALL(SYS_futex, shared_at + 4, SHARED(WAKE), 9), 0);
	moved = do_mremap(ft.mm, shared_at, PAGE_SIZE, PAGE_SIZE,
			  MREMAP_MAYMOVE | MREMAP_FIXED, ft.mem);
	CHECK_EQ(moved, (s64)ft.mem);
	CHECK_EQ(CALL(SYS_futex, ft.mem, SHARED(WAKE), 9), 1);
	es_join(t);
	CHECK_EQ(ft.result[0], 0);
	mm_put(child);
	end();
	return 0;
}

static void shared(void **state)
{
	(void)state;
	TM_RUN(shared_body, .cpus = 2, .seed = 3);
}

/* ---- locks with owners ------------------------------------------------------
 */

static void pi_worker(void *arg)
{
	(void)arg;
	for (u32 i = 0; i < ft.rounds; i++) {
		u64 v;

		if (cmpxchg(ft.mem, 0, (u32)current->tid))
			CHECK_EQ(CALL(SYS_futex, ft.mem, LOCK_PI, 0, 0), 0);
		CHECK_EQ(load(ft.mem) & 0x3fffffff, current->tid);
		CHECK_EQ(CALL(SYS_futex, ft.mem, LOCK_PI, 0, 0), -EDEADLK);
		v = READ_ONCE(ft.counter);
		port_sched_point();
		WRITE_ONCE(ft.counter, v + 1);
		if (cmpxchg(ft.mem, (u32)current->tid, 0) != (u32)current->tid)
			CHECK_EQ(CALL(SYS_futex, ft.mem, UNLOCK_PI), 0);
	}
}

static int pi_body(void *arg)
{
	struct es_task *t[4];

	(void)arg;
	begin();
	ft.rounds = 25;
	for (int i = 0; i < 4; i++)
		t[i] = es_spawn(es.task[0].t.proc, ft.mm, pi_worker, NULL);
	for (int i = 0; i < 4; i++)
		es_join(t[i]);
	CHECK_EQ(ft.counter, 4 * 25);
	CHECK_EQ(load(ft.mem) & 0x3fffffff, 0);
	/* An owner that never was. */
	store(ft.mem, 4711);
	CHECK_EQ(CALL(SYS_futex, ft.mem, TRYLOCK_PI), -EAGAIN);
	CHECK_EQ(CALL(SYS_futex, ft.mem, LOCK_PI, 0, 0), -ESRCH);
	end();
	return 0;
}

static void pi(void **state)
{
	(void)state;
	for (u64 k = 0; k < test_iters(8); k++)
		TM_RUN(pi_body, .cpus = 1 + (int)(k % 3), .seed = k,
		       .explore = k & 1);
}

/* Takes locks, never gives them back. A robust list: a head at mem + 256, an
 * entry at mem + 512 with its word 16 bytes on. */
static void dying(void *arg)
{
	u64 head[3] = {ft.mem + 512, 16, 0}, entry = ft.mem + 256;

	(void)arg;
	CHECK_EQ(sim_copy_to_user(ft.mem + 256, head, sizeof(head)), 0);
	CHECK_EQ(sim_copy_to_user(ft.mem + 512, &entry, sizeof(entry)), 0);
	CHECK_EQ(CALL(SYS_set_robust_list, ft.mem + 256, 23), -EINVAL);
	CHECK_EQ(CALL(SYS_set_robust_list, ft.mem + 256, 24), 0);
	store(ft.mem + 528, (u32)current->tid | 0x80000000u);
	store(ft.mem, (u32)current->tid);
	current->clear_child_tid = ft.mem + 1024;
	store(ft.mem + 1024, (u32)current->tid);
	(void)mm_fetch_add(&ft.waiting, 1UL);
	while (queued() < 3)
		nap(1000000);
	futex_exit(current);
}

static void heir(void *arg)
{
	u64 i = (u64)(uintptr_t)arg;
	u32 word = load(ft.mem + 528);

	if (i == 0)
		ft.result[0] = CALL(SYS_futex, ft.mem + 528, WAIT, word, 0);
	else if (i == 1)
		ft.result[1] = CALL(SYS_futex, ft.mem, LOCK_PI, 0, 0);
	else
		ft.result[2] = CALL(SYS_futex, ft.mem + 1024, SHARED(WAIT),
				    load(ft.mem + 1024), 0);
	if (i == 1)
		CHECK_EQ(load(ft.mem), (u32)current->tid | 0x40000000u);
}

static int robust_body(void *arg)
{
	struct es_task *t[4];

	(void)arg;
	begin();
	t[3] = es_spawn(es.task[0].t.proc, ft.mm, dying, NULL);
	while (!READ_ONCE(ft.waiting))
		nap(1000000);
	for (u64 i = 0; i < 3; i++) {
		ft.result[i] = 99;
		t[i] = es_spawn(es.task[0].t.proc, ft.mm, heir,
				(void *)(uintptr_t)i);
	}
	for (int i = 0; i < 4; i++)
		es_join(t[i]);
	CHECK_EQ(ft.result[0], 0);
	CHECK_EQ(ft.result[1], 0);
	CHECK_EQ(ft.result[2], 0);
	CHECK_EQ(load(ft.mem + 528), 0x40000000u | 0x80000000u);
	CHECK_EQ(load(ft.mem + 1024), 0);
	end();
	return 0;
}

static void robust(void **state)
{
	(void)state;
	for (u64 k = 0; k < 6; k++)
		TM_RUN(robust_body, .cpus = 2, .seed = k, .explore = k & 1);
}

/* ---- from a condition to a lock with an owner -------------------------------
 */

#define COND (ft.mem)
#define LOCK (ft.mem + 4096 + 64)

static u64 acquired; /* (A) in order */
static s32 order[8];

/* Waits for the condition and wants the lock; gives it back. */
static void cond_waiter(void *arg)
{
	u64 i = (u64)(uintptr_t)arg;
	s64 ret = CALL(SYS_futex, COND, WAIT_REQUEUE_PI, 7, 0, LOCK);

	ft.result[i] = ret;
	if (ret)
		return;
	CHECK_EQ(load(LOCK) & 0x3fffffff, (u32)current->tid);
	order[mm_fetch_add(&acquired, 1UL)] = (s32)i;
	port_sched_point();
	if (cmpxchg(LOCK, (u32)current->tid, 0) != (u32)current->tid)
		CHECK_EQ(CALL(SYS_futex, LOCK, UNLOCK_PI), 0);
}

static void cond_sleepers(struct es_task **t, u64 n)
{
	u64 already = queued();

	store(COND, 7);
	for (u64 i = 0; i < n; i++) {
		ft.result[i] = 99;
		t[i] = es_spawn(es.task[0].t.proc, ft.mm, cond_waiter,
				(void *)(uintptr_t)i);
		while (queued() <= i + already)
			nap(1000000);
	}
}

static void cond_join(struct es_task **t, u64 n)
{
	for (u64 i = 0; i < n; i++) {
		es_join(t[i]);
		CHECK_EQ(ft.result[i], 0);
	}
	CHECK_EQ(acquired, n);
	for (u64 i = 0; i < n; i++)
		CHECK_EQ(order[i], (s32)i);
	CHECK_EQ(load(LOCK) & 0x3fffffff, 0);
	acquired = 0;
}

#define REQUEUE_PI(wake, move, lock, val) \
	CALL(SYS_futex, COND, CMP_REQUEUE_PI, wake, move, lock, val)

static void wrong_requeues(void)
{
	store(COND, 7);
	CHECK_EQ(CALL(SYS_futex, COND, WAIT_REQUEUE_PI, 8, 0, LOCK), -EAGAIN);
	CHECK_EQ(CALL(SYS_futex, COND, WAIT_REQUEUE_PI, 7, 0, COND), -EINVAL);
	CHECK_EQ(CALL(SYS_futex, COND, WAIT_REQUEUE_PI, 7, 0, LOCK + 1),
		 -EINVAL);
	CHECK_EQ(REQUEUE_PI(1, 9, LOCK, 7), 0);
	CHECK_EQ(REQUEUE_PI(0, 9, LOCK, 7), -EINVAL);
	CHECK_EQ(REQUEUE_PI(2, 9, LOCK, 7), -EINVAL);
	CHECK_EQ(REQUEUE_PI(1, -1, LOCK, 7), -EINVAL);
	CHECK_EQ(REQUEUE_PI(1, 9, COND, 7), -EINVAL);
	CHECK_EQ(REQUEUE_PI(1, 9, LOCK, 8), -EAGAIN);
	CHECK_EQ(REQUEUE_PI(1, 9, 0x1000, 7), 0);
}

/* With waiters there: calls of the other kind, another lock, no owner. */
static void unwilling_requeues(void)
{
	CHECK_EQ(CALL(SYS_futex, COND, WAKE, 1), -EINVAL);
	CHECK_EQ(CALL(SYS_futex, COND, REQUEUE, 0, 1, LOCK), -EINVAL);
	CHECK_EQ(CALL(SYS_futex, COND, CMP_REQUEUE, 1, 1, LOCK, 7), -EINVAL);
	CHECK_EQ(REQUEUE_PI(1, 9, LOCK + 4, 7), -EINVAL);
	store(LOCK, 4711);
	CHECK_EQ(REQUEUE_PI(1, 9, LOCK, 7), -ESRCH);
	CHECK_EQ(load(LOCK), 4711);
	store(LOCK, 0);
}

static int requeue_body(void *arg)
{
	struct es_task *t[5], *plain;
	u32 me;

	(void)arg;
	begin();
	acquired = 0;
	wrong_requeues();
	cond_sleepers(t, 5);
	unwilling_requeues();
	/* The lock is free: the first has it, two wait for it, two stay. */
	CHECK_EQ(REQUEUE_PI(1, 2, LOCK, 7), 3);
	while (READ_ONCE(acquired) < 3)
		nap(1000000);
	CHECK_EQ(queued(), 2);
	CHECK_EQ(REQUEUE_PI(1, INT32_MAX, LOCK, 7), 2);
	cond_join(t, 5);
	/* It is held: all wait for it, and nobody runs meanwhile. */
	me = (u32)current->tid;
	store(LOCK, me);
	cond_sleepers(t, 4);
	CHECK_EQ(REQUEUE_PI(1, 3, LOCK, 7), 4);
	CHECK_EQ(load(LOCK), me | 0x80000000u);
	nap(50000000);
	CHECK_EQ(acquired, 0);
	CHECK_EQ(queued(), 4);
	CHECK_EQ(CALL(SYS_futex, LOCK, WAKE, 9), -EINVAL);
	CHECK_EQ(CALL(SYS_futex, LOCK, UNLOCK_PI), 0);
	cond_join(t, 4);
	/* Who waits in the plain way cannot be given a lock. */
	store(ft.mem, 7);
	plain = es_spawn(es.task[0].t.proc, ft.mm, waiter, NULL);
	while (!queued())
		nap(1000000);
	CHECK_EQ(REQUEUE_PI(1, 9, LOCK, 7), -EINVAL);
	CHECK_EQ(CALL(SYS_futex, COND, WAKE, 1), 1);
	es_join(plain);
	end();
	return 0;
}

/* Who gives up: before it is moved and after, by time and by a signal. */
static void giving_up(void *arg)
{
	u64 i = (u64)(uintptr_t)arg;
	u64 until = port_now_ns() + 100000000;
	s64 ts[2] = {(s64)(until / NSEC_PER_SEC), (s64)(until % NSEC_PER_SEC)};
	uva_t at = ft.mem + 8192 + 64 * i;

	CHECK_EQ(sim_copy_to_user(at, ts, 16), 0);
	ft.result[i] =
		CALL(SYS_futex, COND, WAIT_REQUEUE_PI, 7, i % 2 ? at : 0, LOCK);
	es_clear(es_of(current));
}

static int give_up_body(void *arg)
{
	struct es_task *t[2];

	(void)arg;
	for (u32 moved = 0; moved < 2; moved++) {
		begin();
		store(COND, 7);
		store(LOCK, (u32)current->tid);
		for (u64 i = 0; i < 2; i++)
			t[i] = es_spawn(es.task[0].t.proc, ft.mm, giving_up,
					(void *)(uintptr_t)i);
		while (queued() < 2)
			nap(1000000);
		if (moved)
			CHECK_EQ(REQUEUE_PI(1, 9, LOCK, 7), 2);
		send_sig_task(&t[0]->t, 10, NULL);
		es_join(t[0]);
		es_join(t[1]);
		CHECK_EQ(ft.result[0], moved ? -EAGAIN : -ERESTARTNOINTR);
		CHECK_EQ(ft.result[1], -ETIMEDOUT);
		CHECK_EQ(queued(), 0);
		CHECK_EQ(futex_pi_waiters(), 0);
		end();
	}
	return 0;
}

/* The owner ends without a word: who was moved takes the lock itself. */
static void owner_dies(void *arg)
{
	(void)arg;
	store(LOCK, (u32)current->tid);
	(void)mm_fetch_add(&ft.waiting, 1UL);
	while (READ_ONCE(ft.waiting) < 2)
		nap(1000000);
	futex_exit(current);
}

static int orphan_body(void *arg)
{
	struct es_task *t[3], *owner;

	(void)arg;
	begin();
	acquired = 0;
	owner = es_spawn(es.task[0].t.proc, ft.mm, owner_dies, NULL);
	while (!READ_ONCE(ft.waiting))
		nap(1000000);
	cond_sleepers(t, 3);
	CHECK_EQ(REQUEUE_PI(1, 9, LOCK, 7), 3);
	(void)mm_fetch_add(&ft.waiting, 1UL);
	es_join(owner);
	for (u64 i = 0; i < 3; i++) {
		es_join(t[i]);
		CHECK_EQ(ft.result[i], 0);
	}
	CHECK_EQ(acquired, 3);
	end();
	return 0;
}

/* A queue of one place: conditions as pthread_cond_t has them. */
static void pi_take(uva_t at)
{
	if (cmpxchg(at, 0, (u32)current->tid))
		CHECK_EQ(CALL(SYS_futex, at, LOCK_PI, 0, 0), 0);
}

static void pi_give(uva_t at)
{
	if (cmpxchg(at, (u32)current->tid, 0) != (u32)current->tid)
		CHECK_EQ(CALL(SYS_futex, at, UNLOCK_PI), 0);
}

/* Until COND changes; the lock is held before and after. */
static void cond_wait(void)
{
	u32 seen = load(COND);
	s64 ret;

	pi_give(LOCK);
	ret = CALL(SYS_futex, COND, WAIT_REQUEUE_PI, seen, 0, LOCK);
	CHECK(ret == 0 || ret == -EAGAIN);
	if (ret)
		pi_take(LOCK);
	CHECK_EQ(load(LOCK) & 0x3fffffff, (u32)current->tid);
}

static void cond_broadcast(void)
{
	u32 now = load(COND) + 1;

	store(COND, now);
	CHECK(REQUEUE_PI(1, INT32_MAX, LOCK, now) >= 0);
}

/* Even workers put, odd ones take; ft.counter is what is in the place. */
static void place_worker(void *arg)
{
	u64 puts = (u64)(uintptr_t)arg % 2 == 0;

	for (u32 i = 0; i < ft.rounds; i++) {
		pi_take(LOCK);
		while (READ_ONCE(ft.counter) == puts)
			cond_wait();
		WRITE_ONCE(ft.counter, puts);
		port_sched_point();
		CHECK_EQ(READ_ONCE(ft.counter), puts);
		cond_broadcast();
		pi_give(LOCK);
	}
}

static int place_body(void *arg)
{
	struct es_task *t[6];

	(void)arg;
	begin();
	ft.rounds = 12;
	for (u64 i = 0; i < 6; i++)
		t[i] = es_spawn(es.task[0].t.proc, ft.mm, place_worker,
				(void *)(uintptr_t)i);
	for (u64 i = 0; i < 6; i++)
		es_join(t[i]);
	CHECK_EQ(ft.counter, 0);
	CHECK_EQ(load(LOCK) & 0x3fffffff, 0);
	CHECK_EQ(futex_pi_waiters(), 0);
	end();
	return 0;
}

static void requeue_pi(void **state)
{
	u64 seed = test_env("SEED", 1);

	(void)state;
	for (u64 k = 0; k < 4; k++) {
		TM_RUN(requeue_body, .cpus = 2, .seed = k, .explore = k & 1);
		TM_RUN(give_up_body, .cpus = 2, .seed = k, .explore = k & 1);
		TM_RUN(orphan_body, .cpus = 2, .seed = k, .explore = k & 1);
	}
	for (u64 k = 0; k < test_iters(8); k++)
		TM_RUN(place_body, .cpus = 1 + (int)(k % 3), .seed = seed + k,
		       .explore = k & 1);
}

/* ---- several words ----------------------------------------------------------
 */

static void multi(void *arg)
{
	(void)arg;
	ft.result[0] = CALL(SYS_futex_waitv, ft.mem + 2048, 3, 0, 0, 0);
}

static int waitv_body(void *arg)
{
	struct {
		u64 val, addr;
		u32 flags, reserved;
	} v[3];
	struct es_task *t;

	(void)arg;
	begin();
	for (u64 i = 0; i < 3; i++) {
		v[i].val = 7;
		v[i].addr = ft.mem + i * 4096;
		v[i].flags = 2 | 128;
		v[i].reserved = 0;
		store(v[i].addr, 7);
	}
	CHECK_EQ(sim_copy_to_user(ft.mem + 2048, v, sizeof(v)), 0);
	CHECK_EQ(CALL(SYS_futex_waitv, ft.mem + 2048, 0, 0, 0, 0), -EINVAL);
	CHECK_EQ(CALL(SYS_futex_waitv, ft.mem + 2048, 129, 0, 0, 0), -EINVAL);
	t = es_spawn(es.task[0].t.proc, ft.mm, multi, NULL);
	while (queued() < 3)
		nap(1000000);
	CHECK_EQ(CALL(SYS_futex, ft.mem + 8192, WAKE, 9), 1);
	es_join(t);
	CHECK_EQ(ft.result[0], 2);
	CHECK_EQ(CALL(SYS_futex, ft.mem, WAKE, 9), 0);
	store(ft.mem + 4096, 8);
	CHECK_EQ(CALL(SYS_futex_waitv, ft.mem + 2048, 3, 0, 0, 0), -EAGAIN);
	CHECK_EQ(CALL(SYS_futex, ft.mem, WAKE, 9), 0);
	end();
	return 0;
}

static void waitv(void **state)
{
	(void)state;
	TM_RUN(waitv_body, .cpus = 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mutexes),
		cmocka_unit_test(answers),
		cmocka_unit_test(time_and_signals),
		cmocka_unit_test(shared),
		cmocka_unit_test(pi),
		cmocka_unit_test(robust),
		cmocka_unit_test(requeue_pi),
		cmocka_unit_test(waitv),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
