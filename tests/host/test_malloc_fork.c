/* SPDX-License-Identifier: MIT */
/*
 * fork() in programs with threads: what the other threads kept is not lost to
 * the child, and the child can allocate whatever they were doing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base_seed.h"
#include "kmem/slab.h"
#include "mt.h"

#ifdef __SANITIZE_THREAD__
#define TSAN true
#else
#define TSAN false
#endif
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define SANITIZED true
#else
#define SANITIZED false
#endif
#define NR_THREADS 8
#define KEPT	   10 /* objects of each size that a thread has for good */

static const size_t sizes[] = {8, 24, 64, 500, 3000, 16384};

/* ---- threads that keep magazines and wait
 * ------------------------------------------- */

static pthread_barrier_t full, end;

static void *fill_and_wait(void *arg)
{
	static __thread void *p[3000], *kept[ARRAY_SIZE(sizes)][KEPT];

	(void)arg;
	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
		for (size_t i = 0; i < ARRAY_SIZE(p); i++)
			p[i] = mt_malloc(sizes[s]);
		for (size_t i = 0; i < KEPT; i++)
			kept[s][i] = mt_malloc(sizes[s]);
		for (size_t i = 0; i < ARRAY_SIZE(p); i++)
			mt_free(p[i]);
	}
	pthread_barrier_wait(&full);
	pthread_barrier_wait(&end);
	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
		for (size_t i = 0; i < KEPT; i++)
			mt_free(kept[s][i]);
	}
	return NULL;
}

/* Objects handed out of the cache for SIZE, or frames for large ones. */
static u64 in_use(size_t size)
{
	u32 c = mt_class_for(size);
	struct slab_count n = {0};

	mt_enter();
	if (mt_sys.cache[c])
		slab_counts(mt_sys.cache[c], &n);
	mt_leave();
	return n.active;
}

static u64 used_bytes(void)
{
	struct mt_counts n;

	mt_count(&n);
	return n.used;
}

/* In the child: how many objects more are in use than anybody has? */
static int lost(void)
{
	u64 nr = 0;

	mt_cache_flush();
	mt_depot_flush();
	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
		if (mt_in_slabs(mt_class_for(sizes[s])))
			nr += in_use(sizes[s]) - (u64)NR_THREADS * KEPT;
	}
	if (mt_sys.threads != &mt_self || mt_self.next || mt_self.prev)
		return 254;
	return nr < 250 ? (int)nr : 250;
}

/* Then the frames: each child forks the next; nothing grows. */
static int no_growth(int generations)
{
	u64 before;

	mt_cache_flush();
	mt_trim();
	before = used_bytes();
	for (int i = 0; i < generations; i++) {
		pid_t pid = fork();
		int status;

		if (pid < 0)
			return 2;
		if (!pid) {
			mt_cache_flush();
			mt_trim();
			if (used_bytes() != before)
				_exit(3);
			continue;
		}
		if (waitpid(pid, &status, 0) != pid)
			return 4;
		return WIFEXITED(status) ? WEXITSTATUS(status) : 5;
	}
	return 0;
}

static int status_of(pid_t pid)
{
	int status;

	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void test_nothing_lost(void **arg)
{
	u64 forks = test_env("FORKS", 100);
	pthread_t t[NR_THREADS];
	pid_t pid;

	(void)arg;
	mt_free(mt_malloc(1));
	pthread_barrier_init(&full, NULL, NR_THREADS + 1);
	pthread_barrier_init(&end, NULL, NR_THREADS + 1);
	for (u64 i = 0; i < NR_THREADS; i++)
		pthread_create(&t[i], NULL, fill_and_wait, NULL);
	pthread_barrier_wait(&full);
	for (u64 i = 0; i < forks; i++) {
		pid = fork();
		if (!pid)
			_exit(lost());
		assert_int_equal(status_of(pid), 0);
	}
	pid = fork();
	if (!pid)
		_exit(no_growth(20));
	assert_int_equal(status_of(pid), 0);
	pthread_barrier_wait(&end);
	for (u64 i = 0; i < NR_THREADS; i++)
		pthread_join(t[i], NULL);
}

/* ---- threads that go on
 * -------------------------------------------------------------- */

static int stop;

static void *go_on(void *arg)
{
	u64 state = (u64)(uintptr_t)arg;
	void *p[200] = {NULL};

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		u64 i;

		state = state * 6364136223846793005UL + 1442695040888963407UL;
		i = state >> 40;
		mt_free(p[i % 200]);
		p[i % 200] = mt_malloc(i % 512 ? i % 4000 : i % 300000);
	}
	for (size_t i = 0; i < ARRAY_SIZE(p); i++)
		mt_free(p[i]);
	return NULL;
}

static void *one_more(void *arg)
{
	for (size_t n = 1; n < 100000; n += n / 2 + 1)
		mt_free(mt_malloc(n));
	return arg;
}

/* A cache for each class is made here, where classes have caches. */
static bool each_class(void)
{
	for (size_t size = 1; size < 40000; size += size < 600 ? 8 : 60) {
		void *p = mt_malloc(size);

		if (!p)
			return false;
		memset(p, 1, size);
		mt_free(p);
	}
	return true;
}

/* The child allocates, has threads and forks itself. */
static int child(void)
{
	static void *p[300];
	pthread_t t;
	int status;
	pid_t pid;

	for (size_t i = 0; i < ARRAY_SIZE(p); i++) {
		p[i] = mt_malloc(i * 7);
		if (!p[i])
			return 1;
		memset(p[i], (int)i, i * 7);
	}
	/* The sanitizers' own allocators are not made for such a fork. */
	if (!SANITIZED &&
	    (pthread_create(&t, NULL, one_more, NULL) || pthread_join(t, NULL)))
		return 2;
	pid = fork();
	if (!pid) {
		one_more(NULL);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		return 3;
	for (size_t i = 0; i < ARRAY_SIZE(p); i++) {
		if (i && *(u8 *)p[i] != (u8)i)
			return 4;
		mt_free(p[i]);
	}
	if (!each_class())
		return 5;
	mt_malloc_trim(0);
	return 0;
}

static void forks_among_threads(u64 nr)
{
	pthread_t t[NR_THREADS];
	u64 seed = test_env("SEED", 1);

	stop = 0;
	for (u64 i = 0; i < NR_THREADS; i++)
		pthread_create(&t[i], NULL, go_on, (void *)(seed + i));
	for (u64 i = 0; i < nr; i++) {
		pid_t pid = fork();

		if (!pid)
			_exit(child());
		assert_int_equal(status_of(pid), 0);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (u64 i = 0; i < NR_THREADS; i++)
		pthread_join(t[i], NULL);
}

static void test_threads_go_on(void **arg)
{
	(void)arg;
	/* Boots: the modes are slow. */
	mt_free(mt_malloc(1));
	forks_among_threads(mt_sys.direct ? (TSAN ? 1 : 3) : test_iters(20));
}

/* ---- hooks that the second thread registers
 * ----------------------------------------------- */

/* The rest of what it is to have three threads and to fork among them. */
static int with_threads(void)
{
	pthread_t t[2];
	pid_t pid;

	pthread_barrier_init(&full, NULL, 3);
	pthread_barrier_init(&end, NULL, 3);
	for (int i = 0; i < 2; i++) {
		if (pthread_create(&t[i], NULL, fill_and_wait, NULL))
			return 10;
	}
	pthread_barrier_wait(&full);
	if (!mt_sys.threads || !mt_sys.threads->next)
		return 11;
	for (int i = 0; i < 3; i++) {
		pid = fork();
		if (!pid) {
			/* Only the hook knows that the others are gone. */
			if (mt_sys.threads != &mt_self || mt_self.next)
				_exit(1);
			one_more(NULL);
			mt_malloc_trim(0);
			_exit(0);
		}
		if (status_of(pid))
			return 12;
	}
	pthread_barrier_wait(&end);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	return 0;
}

/* One thread forks without hooks; then it, and the child, get more threads. */
static void late_hooks(void **arg)
{
	void *p = mt_malloc(100);
	pid_t pid;

	(void)arg;
	assert_int_equal(mt_sys.nr_threads, 1);
	pid = fork();
	if (!pid) {
		mt_free(p);
		one_more(NULL);
		_exit(mt_sys.nr_threads == 1 ? with_threads() : 20);
	}
	assert_int_equal(status_of(pid), 0);
	assert_int_equal(with_threads(), 0);
	mt_free(p);
}

/* ---- forks by threads that never allocated
 * ----------------------------------------------- */

/* Does the child of a fork allocate? It knows nothing of a boot, or all. */
static bool forks_well(void)
{
	int status;
	pid_t pid = mt_fork();

	if (!pid) {
		alarm(20);
		if (mt_sys.state != 2 && (mt_sys.state || mt_base))
			_exit(7);
		one_more(NULL);
		_exit(0);
	}
	return waitpid(pid, &status, 0) == pid && status == 0;
}

static bool slow_boot;

/* Slow handlers of fork's: others boot meanwhile. */
static void dawdle(void)
{
	usleep(slow_boot ? 2000 : 0);
}

#ifndef __SANITIZE_ADDRESS__
/* The C library's: the boot does this when it has RAM. */
int madvise(void *p, size_t len, int advice)
{
	if (slow_boot && advice == MADV_NOHUGEPAGE)
		usleep(10000);
	return (int)syscall(SYS_madvise, p, len, advice);
}
#endif

/* *ARG: not before a boot has begun. Returns NULL: all children were well. */
static void *fork_on(void *arg)
{
	bool last = false;

	while (*(bool *)arg &&
	       !__atomic_load_n(&mt_sys.state, __ATOMIC_SEQ_CST))
		sched_yield();
	for (int i = 0; !last && i < 1000; i++) {
		last = __atomic_load_n(&stop, __ATOMIC_RELAXED);
		if (!forks_well())
			return &stop;
	}
	return NULL;
}

/* One thread boots the library, two others fork: the boot is first, or not. */
static int fork_in_boot(bool boot_first)
{
	pthread_t t[2];
	void *bad = NULL, *ret;
	bool up;

	stop = 0;
	slow_boot = true;
	pthread_atfork(dawdle, NULL, NULL);
	for (int i = 0; i < 2; i++) {
		if (pthread_create(&t[i], NULL, fork_on, &boot_first))
			return 1;
	}
	while (!boot_first &&
	       !__atomic_load_n(&mt_sys.at_gate, __ATOMIC_SEQ_CST))
		sched_yield();
	up = mt_malloc(100) != NULL;
	/* Forks that began before this thread came alive have no hooks. */
	for (int i = 0; i < (SANITIZED ? 100 : 10000); i++)
		mt_free(mt_malloc(40000 + (size_t)i % 4 * 20000));
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (int i = 0; i < 2; i++) {
		pthread_join(t[i], &ret);
		bad = ret ? ret : bad;
	}
	return !up ? 2 : bad ? 3 : mt_sys.at_gate || mt_sys.nr_forks ? 4 : 0;
}

/* Each in a process of its own: the library boots only once. */
static void boots(void **arg)
{
	(void)arg;
	assert_int_equal(mt_sys.state, 0);
	for (int i = 0; i < (TSAN ? 2 : 6); i++) {
		pid_t pid = fork();

		if (!pid)
			_exit(fork_in_boot(i % 2));
		assert_int_equal(status_of(pid), 0);
	}
}

static void *fork_some(void *arg)
{
	void *bad = NULL;

	(void)arg;
	for (int i = 0; i < (SANITIZED ? 5 : 20) && !bad; i++)
		bad = forks_well() ? NULL : &stop;
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	return bad;
}

/* The only thread that allocates does so while another one forks. */
static void newcomer(void **arg)
{
	pthread_t t;
	void *bad;

	(void)arg;
	stop = 0;
	mt_free(mt_malloc(100));
	assert_int_equal(mt_sys.nr_threads, 1);
	assert_int_equal(pthread_create(&t, NULL, fork_some, NULL), 0);
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		mt_free(mt_malloc(40000));
		mt_free(mt_malloc(140000));
	}
	pthread_join(t, &bad);
	assert_null(bad);
}

/* A process of its own, whose library is not up yet. */
static int run_alone(const char *what, const char *options)
{
	extern char *program_invocation_name;
	pid_t pid = fork();

	if (!pid) {
		setenv("MMKIT_OPTIONS", options, 1);
		execl("/proc/self/exe", program_invocation_name, what, NULL);
		_exit(99);
	}
	return status_of(pid);
}

static void test_late_hooks(void **arg)
{
	(void)arg;
	assert_int_equal(run_alone("late", ""), 0);
}

static void test_boots(void **arg)
{
	(void)arg;
	assert_int_equal(run_alone("boots", ""), 0);
}

static void test_newcomer(void **arg)
{
	(void)arg;
	assert_int_equal(run_alone("newcomer", ""), 0);
}

/* The modes are chosen at boot: again, in a process of its own. */
static void test_modes(void **arg)
{
	static const char *const modes[] = {"hardened", "debug"};

	(void)arg;
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
		assert_int_equal(run_alone("mode", modes[i]), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(test_nothing_lost),
		cmocka_unit_test(test_threads_go_on),
		cmocka_unit_test(test_late_hooks),
		cmocka_unit_test(test_boots),
		cmocka_unit_test(test_newcomer),
		cmocka_unit_test(test_modes),
	};
	const struct CMUnitTest mode[] = {
		cmocka_unit_test(test_threads_go_on),
	};

	const struct CMUnitTest late[] = {
		cmocka_unit_test(late_hooks),
	};
	const struct CMUnitTest first[] = {
		cmocka_unit_test(boots),
	};
	const struct CMUnitTest other[] = {
		cmocka_unit_test(newcomer),
	};

	fprintf(stderr, "test_malloc_fork: SEED=%llu\n",
		(unsigned long long)test_env("SEED", 1));
	if (argc > 1 && !strcmp(argv[1], "late"))
		return cmocka_run_group_tests(late, NULL, NULL);
	if (argc > 1 && !strcmp(argv[1], "boots"))
		return cmocka_run_group_tests(first, NULL, NULL);
	if (argc > 1 && !strcmp(argv[1], "newcomer"))
		return cmocka_run_group_tests(other, NULL, NULL);
	if (argc > 1)
		return cmocka_run_group_tests(mode, NULL, NULL);
	return cmocka_run_group_tests(all, NULL, NULL);
}
