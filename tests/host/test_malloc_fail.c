/* SPDX-License-Identifier: MIT */
/*
 * Every request of the malloc library for memory fails in turn: frames, slabs,
 * its own tables, mappings. malloc() returns NULL with ENOMEM, contents stay,
 * nothing leaks, and afterwards all works. Also too little address space. One
 * thread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fail.h"
#include "kmem/slab.h"
#include "mt.h"

static u64 nr_null;

/* P, or NULL, which must be what malloc(3) says. */
static void *may_fail(void *p)
{
	if (!p) {
		nr_null++;
		if (errno != ENOMEM)
			_exit(20);
	}
	errno = 0;
	return p;
}

static void check_fill(const u8 *p, size_t n, u8 val)
{
	for (size_t i = 0; p && i<n; i += n> 5000 ? 997 : 1) {
		if (p[i] != val)
			_exit(21);
	}
}

#define NR 100
#ifdef __SANITIZE_THREAD__
#define TSAN true
#else
#define TSAN false
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#define FEW	  1
#else
#define SANITIZED false
#define FEW	  3
#endif

/* A bit of everything; frees all that it got. */
static void work(void)
{
	static const size_t sizes[] = {5,     64,     200,     2000,
				       16000, 100000, 5u << 20};
	static u8 *p[ARRAY_SIZE(sizes)][NR];
	u8 *q;

	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
		size_t nr = sizes[s] > 10000 ? FEW : NR, n = sizes[s];

		for (size_t i = 0; i < nr; i++) {
			p[s][i] = may_fail(i % 3 ? mt_malloc(n)
						 : mt_calloc(1, n));
			if (p[s][i])
				memset(p[s][i], (int)i, n);
		}
		q = may_fail(mt_memalign(1024, n));
		mt_free(q);
		for (size_t i = 0; i < nr; i += 2) {
			if (!p[s][i])
				continue;
			q = may_fail(mt_realloc(p[s][i], 2 * n));
			if (q)
				p[s][i] = q;
		}
		for (size_t i = 0; i < nr; i++)
			check_fill(p[s][i], n, (u8)i);
	}
	for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
		for (size_t i = 0; i < NR; i++) {
			mt_free(p[s][i]);
			p[s][i] = NULL;
		}
	}
}

/*
 * Objects out of slabs and runs, exactly: frames say too much, for RAM grows
 * when a request fails, and takes its descriptors. In the modes freed objects
 * wait in queues: hardened mode's mappings do not, debug mode's do, too.
 */
static u64 census(void)
{
	u64 nr = (u64)mt_sys.nr_maps << 32;

	if (mt_sys.direct)
		return mt_sys.opt.debug ? 0 : nr;
	mt_cache_flush();
	mt_trim();
	mt_enter();
	for (u32 c = MT_FIRST; c < MT_NR_CLASSES; c++) {
		struct slab_count n = {0};

		if (mt_sys.cache[c])
			slab_counts(mt_sys.cache[c], &n);
		nr += n.active;
	}
	mt_leave();
	for (u32 c = MT_FIRST; c < MT_NR_CLASSES; c++)
		nr += mt_nr_out[c];
	for (u64 f = 0; f < mt_sys.ram_end >> PAGE_SHIFT; f++)
		nr += *mt_map_of(f) == MT_ALL_GRAINS(MT_RUN);
	return nr;
}

/* The N-th request, with KEEP all later ones too. True: it came to that. */
static bool fail_nth(u64 n, bool keep)
{
	u64 before = census(), after;
	struct fail_result r;

	nr_null = 0;
	fail_arm_nth(FAIL_ALL, n, keep);
	work();
	r = fail_disarm();
	if (r.fired && keep && !nr_null && n == 1)
		_exit(22);
	after = census();
	if (after != before) {
		fprintf(stderr, "request %llu%s: %llx in use, before %llx\n",
			(unsigned long long)n, keep ? "+" : "",
			(unsigned long long)after, (unsigned long long)before);
		_exit(23);
	}
	nr_null = 0;
	work();
	if (nr_null)
		_exit(24);
	return r.fired != 0;
}

static u64 told_from, told_to;

static void fail_each(void)
{
	u64 n = told_from, step = 1;
	bool fired = true;

	/* What is made when first used is there, and does not go. */
	work();
	/* Each of the first 100, then ever fewer. */
	for (; fired && n < told_to; n += step) {
		fired = fail_nth(n, false);
		fired |= fail_nth(n, true);
		step = n < 100 ? 1 : n / 20;
	}
	_exit(n >= told_to ? 0 : 25);
}

static int apart(void (*fn)(void), const char *options)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (!pid) {
		setenv("MMKIT_OPTIONS", options, 1);
		fn();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFEXITED(status))
		fail_msg("%s: status 0x%x", options, (unsigned)status);
	return WEXITSTATUS(status);
}

static void test_each(void **arg)
{
	static const char *const modes[] = {"", "hardened", "debug"};

	(void)arg;
	told_from = 1;
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		told_to = TSAN ? 2 : SANITIZED ? 4 : i ? 12 : 100;
		assert_int_equal(apart(fail_each, modes[i]), 0);
	}
}

/* The switch in the environment does the same. */
static void by_option(void)
{
	nr_null = 0;
	work();
	_exit(nr_null ? 7 : 0);
}

static void test_option(void **arg)
{
	(void)arg;
	assert_int_equal(apart(by_option, "fail=1+"), 7);
	assert_int_equal(apart(by_option, "fail=30+"), 7);
	assert_int_equal(apart(by_option, "fail=2"), 0);
	assert_int_equal(apart(by_option, "fail=100000000"), 0);
}

/* ---- little address space
 * ---------------------------------------------------------- */

static void limited_to(rlim_t bytes)
{
	struct rlimit lim = {bytes, bytes};
	u64 got = 0;
	void **p = NULL, **q;

	if (setrlimit(RLIMIT_AS, &lim))
		_exit(30);
	nr_null = 0;
	while ((q = may_fail(mt_malloc(1000000)))) {
		*q = p;
		p = q;
		got++;
		if (got > 20000)
			_exit(31);
	}
	for (; p; p = q) {
		q = *p;
		mt_free(p);
	}
	if (may_fail(mt_malloc((size_t)PTRDIFF_MAX)))
		_exit(32);
	/* Usable again, if it ever was. */
	if (got && !may_fail(mt_malloc(40000)))
		_exit(33);
	_exit(got ? 0 : 1);
}

static void limit_tiny(void)
{
	limited_to(8u << 20);
}

static void limit_small(void)
{
	limited_to(9ul << 30);
}

static void limit_later(void)
{
	struct rlimit lim = {64u << 20, 64u << 20};
	void *p[100];

	mt_free(mt_malloc(10));
	if (setrlimit(RLIMIT_AS, &lim))
		_exit(30);
	nr_null = 0;
	if (may_fail(mt_malloc(9u << 20)))
		_exit(34);
	for (size_t i = 0; i < ARRAY_SIZE(p); i++)
		p[i] = may_fail(mt_malloc(1000000));
	for (size_t i = 0; i < ARRAY_SIZE(p); i++)
		mt_free(p[i]);
	_exit(nr_null == 1 ? 0 : 35);
}

static void test_address_space(void **arg)
{
	(void)arg;
	/* Not with the thread sanitizer's own mappings in the way. */
	if (TSAN)
		skip();
	/* Not enough to boot: ENOMEM, no more. */
	assert_int_equal(apart(limit_tiny, ""), 1);
	/* The sanitizers need more than that themselves. */
	if (!SANITIZED)
		assert_int_equal(apart(limit_small, ""), 0);
	/* mmap() fails from now on; RAM that there is serves. */
	assert_int_equal(apart(limit_later, ""), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each),
		cmocka_unit_test(test_option),
		cmocka_unit_test(test_address_space),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
