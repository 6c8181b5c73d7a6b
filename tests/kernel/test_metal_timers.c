/* SPDX-License-Identifier: MIT */
/* The heap of timers (port/metal/timer_heap.h) against an array. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../port/metal/timer_heap.h"
#include "base_seed.h"

#define TIMERS 200u

static struct machine_timer timer[TIMERS];
static struct machine_timer *root;

/* Every node of the heap below T: links both ways, order; how many. */
static u32 check_below(struct machine_timer **at, u64 least)
{
	u32 n = 0;

	for (; *at; at = &(*at)->next) {
		assert_true((*at)->pprev == at);
		assert_true((*at)->expires >= least);
		assert_true((*at)->armed);
		n += 1 + check_below(&(*at)->child, (*at)->expires);
	}
	return n;
}

static void check_heap(u32 armed)
{
	u64 first = ~0ull;

	assert_int_equal(check_below(&root, 0), armed);
	assert_true(!root || !root->next);
	for (u32 i = 0; i < TIMERS; i++) {
		if (timer[i].armed && timer[i].expires < first)
			first = timer[i].expires;
	}
	assert_true(root ? root->expires == first : armed == 0);
}

static void random_timers(void **state)
{
	struct prng rng;
	u64 n = test_iters(20000);
	u32 armed = 0;

	(void)state;
	test_seed(&rng, "metal_timers");
	for (u64 i = 0; i < n; i++) {
		struct machine_timer *t = &timer[prng_below(&rng, TIMERS)];

		/* In phases it grows, and shrinks from the front. */
		if (i / 500 % 2 && root && !prng_one_in(&rng, 3))
			t = root;
		if (t->armed) {
			heap_del(&root, t);
			t->armed = false;
			armed--;
		} else {
			t->expires = prng_below(&rng, 1000);
			heap_add(&root, t);
			t->armed = true;
			armed++;
		}
		if (i % 16 == 0 || armed < 4)
			check_heap(armed);
	}
}

/* Many at once come out in order, equal ones too. */
static void in_order(void **state)
{
	u64 last = 0;

	(void)state;
	root = NULL;
	for (u32 i = 0; i < TIMERS; i++) {
		timer[i] = (struct machine_timer){.expires = i * 37 % 100};
		heap_add(&root, &timer[i]);
	}
	for (u32 i = 0; i < TIMERS; i++) {
		struct machine_timer *t = root;

		assert_non_null(t);
		assert_true(t->expires >= last);
		last = t->expires;
		heap_del(&root, t);
		assert_true(!t->child && !t->next && !t->pprev);
	}
	assert_null(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_timers),
		cmocka_unit_test(in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
