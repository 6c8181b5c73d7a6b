/* SPDX-License-Identifier: MIT */
/* Walking the stacks of the sim world, and the depot that keeps stacks. */
#include "sim_machine.h"

#include "base/stack_depot.h"

static u64 chunks[DEPOT_CHUNKS + 1][STACK_DEPOT_CHUNK / 8];

/* Frames that stay frames: nothing is inlined and nothing a tail call. */
#ifdef __clang__ /* makes no clones of functions */
#define FRAME __attribute__((noinline))
#else
#define FRAME __attribute__((noinline, noclone))
#endif
#define STAY(x) __asm__ volatile("" : "+r"(x))

static u64 entries[64];
static u32 nr_entries;

FRAME u32 stack_leaf(u32 depth);
FRAME u32 stack_middle(u32 depth);
FRAME u32 stack_top(u32 depth);

FRAME u32 stack_leaf(u32 depth)
{
	nr_entries = port_stack_trace(entries, depth);
	STAY(nr_entries);
	return nr_entries;
}

FRAME u32 stack_middle(u32 depth)
{
	u32 n = stack_leaf(depth);

	STAY(n);
	return n;
}

FRAME u32 stack_top(u32 depth)
{
	u32 n = stack_middle(depth);

	STAY(n);
	return n;
}

static bool named(u32 i, const char *what)
{
	char text[128];
	u32 len = port_symbol(entries[i], text, sizeof(text));

	CHECK_EQ(len, strlen(text));
	return i < nr_entries && strncmp(text, what, strlen(what)) == 0 &&
	       text[strlen(what)] == '+';
}

static void check_walk(void)
{
	CHECK(stack_top(64) >= 4);
	CHECK(named(0, "stack_leaf") && named(1, "stack_middle") &&
	      named(2, "stack_top") && named(3, "check_walk"));
	CHECK_EQ(stack_top(2), 2);
	CHECK(named(0, "stack_leaf") && named(1, "stack_middle"));
	CHECK_EQ(stack_top(0), 0);
}

static void walk_thread(void *arg)
{
	check_walk();
	port_park(1000);
	check_walk();
	/* A coroutine's stack ends where it began. */
	CHECK(stack_top(64) < 10);
	*(u32 *)arg += 1;
}

static int walk_body(void *arg)
{
	struct port_thread *t[3];
	u32 done = 0;

	(void)arg;
	check_walk();
	for (u32 i = 0; i < ARRAY_SIZE(t); i++)
		CHECK_EQ(port_thread_start(&t[i], "walk", -1, walk_thread,
					   &done),
			 0);
	for (u32 i = 0; i < ARRAY_SIZE(t); i++)
		port_thread_join(t[i]);
	CHECK_EQ(done, ARRAY_SIZE(t));
	return 0;
}

static void walks(void **state)
{
	(void)state;
	TM_RUN(walk_body, .cpus = 2);
}

static void symbols(void **state)
{
	char text[64], small[8];
	u32 n;

	(void)state;
	CHECK_EQ(port_symbol(0x1234, text, sizeof(text)), 6);
	CHECK(strcmp(text, "0x1234") == 0);
	/* Of another module, and cut. */
	n = port_symbol((u64)(uintptr_t)&memcpy + 1, text, sizeof(text));
	CHECK(n > 0 && strchr(text, '+'));
	n = port_symbol((u64)(uintptr_t)&stack_top + 1, small, sizeof(small));
	CHECK_EQ(n, sizeof(small) - 1);
	CHECK(memcmp(small, "stack_t", sizeof(small)) == 0);
	/* The same from the cache. */
	n = port_symbol((u64)(uintptr_t)&stack_top + 1, text, sizeof(text));
	CHECK(n && strncmp(text, "stack_top+0x1/0x", 16) == 0);
}

/* ---- the depot --------------------------------------------------------- */

/* The I-th stack of the model. */
static u32 model_stack(u32 i, u64 *out)
{
	u32 nr = 1 + i % STACK_DEPOT_DEPTH;

	for (u32 k = 0; k < nr; k++)
		out[k] = 0x400000 + (u64)(i / (k + 1)) * 16;
	out[0] = 0x10000 + i;
	return nr;
}

#define MODEL 20000u

static void depot_model(void **state)
{
	static depot_stack_handle_t h[MODEL];
	u64 stack[STACK_DEPOT_DEPTH + 8];
	const u64 *got;
	u32 fed = 0, kept = 0;

	(void)state;
	base_reset();
	CHECK(stack_depot_hungry());
	CHECK_EQ(stack_depot_save(stack, 0), 0);
	stack[0] = 1;
	CHECK_EQ(stack_depot_save(stack, 1), 0); /* nobody fed it */
	CHECK_EQ(base_sys.depot.nr_refused, 1);
	for (u32 i = 0; i < MODEL; i++) {
		u32 nr = model_stack(i, stack);

		if (stack_depot_hungry())
			CHECK(stack_depot_feed(chunks[fed++]));
		h[i] = stack_depot_save(stack, nr);
		kept += h[i] != 0;
		if (i % 4096 == 0)
			CHECK_EQ(stack_depot_check(), kept);
	}
	/* Bounded: what is beyond is refused and counted. */
	CHECK_EQ(fed, DEPOT_CHUNKS);
	CHECK(!stack_depot_feed(chunks[fed]));
	CHECK(kept > MODEL / 3 && kept < MODEL);
	CHECK_EQ(base_sys.depot.nr_refused, 1 + MODEL - kept);
	CHECK_EQ(stack_depot_check(), kept);
	for (u32 i = 0; i < MODEL; i++) {
		u32 nr = model_stack(i, stack);

		CHECK_EQ(stack_depot_save(stack, nr), h[i]);
		CHECK_EQ(stack_depot_fetch(h[i], &got), h[i] ? nr : 0);
		if (h[i])
			CHECK(memcmp(got, stack, nr * sizeof(*got)) == 0);
	}
	base_reset();
}

/* The depot keeps the first 16 addresses, and starts where it is told. */
static FRAME depot_stack_handle_t ask_here(u64 from)
{
	depot_stack_handle_t h = stack_depot_here(from);

	STAY(h);
	return h;
}

static void depot_here(void **state)
{
	depot_stack_handle_t all, some, again;
	const u64 *a, *b;
	u64 deep[40];
	u32 na, nb;

	(void)state;
	base_reset();
	CHECK(stack_depot_feed(chunks[0]));
	all = ask_here(0);
	na = stack_depot_fetch(all, &a);
	CHECK(na >= 4 && na <= STACK_DEPOT_DEPTH);
	some = ask_here(a[3]);
	nb = stack_depot_fetch(some, &b);
	CHECK(nb > 0 && b[0] == a[3]);
	/* A place that is not on the stack: all of it. */
	again = ask_here(1);
	CHECK(again && stack_depot_fetch(again, &b) == na);
	for (u32 i = 0; i < ARRAY_SIZE(deep); i++)
		deep[i] = i + 1;
	some = stack_depot_save(deep, ARRAY_SIZE(deep));
	CHECK_EQ(stack_depot_fetch(some, &b), STACK_DEPOT_DEPTH);
	CHECK(memcmp(b, deep, STACK_DEPOT_DEPTH * sizeof(*b)) == 0);
	CHECK_EQ(stack_depot_save(deep, STACK_DEPOT_DEPTH), some);
	base_reset();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(walks),
		cmocka_unit_test(symbols),
		cmocka_unit_test(depot_model),
		cmocka_unit_test(depot_here),
	};

	return cmocka_run_group_tests_name("stack_depot", tests, NULL, NULL);
}
