/* SPDX-License-Identifier: MIT */
/* Stacks of real threads, walked and kept by many at once; handlers too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "base/stack_depot.h"
#include "base/system.h"
#include "host.h"

#define THREADS 8
#define ROUNDS	2000
#define DEPTH	24

#ifdef __clang__ /* makes no clones of functions */
#define FRAME __attribute__((noinline))
#else
#define FRAME __attribute__((noinline, noclone))
#endif

static u64 chunks[64][STACK_DEPOT_CHUNK / 8];

static int setup(void **state)
{
	struct host_config cfg = {.cpus = 16, .ram_max = 1UL << 30};

	(void)state;
	return host_init(&cfg);
}

static int teardown(void **state)
{
	(void)state;
	base_reset();
	return host_shutdown();
}

FRAME u32 recurse(u32 depth, u64 *out, u32 max);

FRAME u32 recurse(u32 depth, u64 *out, u32 max)
{
	u32 n = depth ? recurse(depth - 1, out, max)
		      : port_stack_trace(out, max);

	__asm__ volatile("" : "+r"(n));
	return n;
}

static void *walker(void *arg)
{
	depot_stack_handle_t *handle = arg;
	u64 out[2 * DEPTH];

	for (u32 i = 0; i < ROUNDS; i++) {
		u32 depth = i % DEPTH, n = recurse(depth, out, 2 * DEPTH);

		/* One frame each, and those of the thread's beginning. */
		if (n < depth + 2)
			return "a frame is missing";
		for (u32 k = 1; k < depth; k++)
			if (out[k] != out[1])
				return "a frame is not the recursion's";
		handle[depth] = stack_depot_save(out, depth + 1);
		if (!handle[depth])
			return "not kept";
	}
	return NULL;
}

static void threads(void **state)
{
	static depot_stack_handle_t handle[THREADS][DEPTH];
	pthread_t t[THREADS];
	void *wrong;

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(chunks); i++)
		assert_true(stack_depot_feed(chunks[i]));
	for (u32 i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, walker, handle[i]),
				 0);
	for (u32 i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(t[i], &wrong), 0);
		assert_null(wrong);
	}
	/* All were at the same places: each stack is there once. */
	for (u32 i = 1; i < THREADS; i++)
		assert_memory_equal(handle[i], handle[0], sizeof(handle[0]));
	assert_int_equal(stack_depot_check(), STACK_DEPOT_DEPTH);
	assert_int_equal(base_sys.depot.nr_refused, 0);
}

static volatile u32 in_handler, outside;

static void on_signal(int sig)
{
	u64 out[64];

	(void)sig;
	in_handler += port_stack_trace(out, 64) > 2;
}

/* A handler's walk passes through the frame that the kernel made. */
static void handlers(void **state)
{
	struct sigaction sa = {.sa_handler = on_signal}, old;
	u64 out[64];

	(void)state;
	assert_int_equal(sigaction(SIGUSR1, &sa, &old), 0);
	for (u32 i = 0; i < 100; i++) {
		raise(SIGUSR1);
		outside += recurse(3, out, 64) > 4;
	}
	assert_int_equal(in_handler, 100);
	assert_int_equal(outside, 100);
	assert_int_equal(sigaction(SIGUSR1, &old, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads),
		cmocka_unit_test(handlers),
	};

	return cmocka_run_group_tests_name("stack_walk", tests, setup,
					   teardown);
}
