/* SPDX-License-Identifier: MIT */
/*
 * Every state that sixteen frames can be in, and every step from each: which
 * blocks are given, what merges, what the lists hold, against what must be.
 *
 * Release builds enter all 458,330 states; the slower ones the first 20,000,
 * or all with SOAK=1.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "model_phys.h"

/*
 * A state is which frames are out and where their blocks begin; which blocks
 * are free follows, because free buddies merge. From every state: a request of
 * each order, with each of the blocks that could serve it first on its list,
 * and the return of each block. All states are reached: their number is known,
 * since a range of 2^n frames is one block that is out, or two halves:
 * f(0) = 2, f(n) = f(n - 1)^2 + 1.
 */
#define SCOPE_ORDER 4
#define SCOPE	    (1u << SCOPE_ORDER)
#define SCOPE_ID    200
#define SCOPE_SLOTS (1u << 20)

/* A zone of sixteen frames, taken from a real one, and the search in it. */
static struct {
	struct zone zone;
	u64 base, transitions;
	unsigned int order; /* the search's: 2^order frames take part */
	u32 nr;
	u32 queue[SCOPE_SLOTS], slot[SCOPE_SLOTS];
} scope;

/* The frames out, and the first frames of blocks. */
#define KEY(used, starts) ((u32)(used) | (u32)(starts) << 16)
#define KEY_USED(key)	  ((key)&0xffffu)
#define KEY_STARTS(key)	  ((key) >> 16)

static u32 frames_at(u32 at, unsigned int order)
{
	return ((1u << (1u << order)) - 1) << at;
}

static void scope_make(unsigned int order)
{
	struct page *block = alloc_pages(GFP_KERNEL, SCOPE_ORDER);

	assert_non_null(block);
	memset(&scope, 0, sizeof(scope));
	scope.order = order;
	scope.base = page_to_pfn(block);
	scope.zone.zone_pgdat = NODE_DATA(0);
	scope.zone.zone_start_pfn = scope.base;
	scope.zone.spanned_pages = scope.zone.present_pages = SCOPE;
	scope.zone.managed_pages = SCOPE;
	scope.zone.zone_id = SCOPE_ID;
	phys_sys.hot.zone_of[SCOPE_ID] = &scope.zone;
	split_page(block, SCOPE_ORDER);
	for (u64 i = 0; i < SCOPE; i++)
		block[i].zone_id = SCOPE_ID;
}

/* The order of the free block that begins at AT; -1: none does. */
static int find_free_order(u32 used, u32 at)
{
	int order = -1;

	for (unsigned int o = 0; o <= scope.order; o++) {
		if (at & ((1u << o) - 1) || used & frames_at(at, o))
			break;
		order = (int)o;
	}
	/* Part of a larger one? */
	for (unsigned int o = (unsigned int)(order + 1);
	     order >= 0 && o <= scope.order; o++) {
		if (!(used & frames_at(at & ~((1u << o) - 1), o)))
			return -1;
	}
	return order;
}

/* find_free_order(), computed once for all sets of frames. */
static s8 free_order[1u << SCOPE][SCOPE];

static int free_order_at(u32 used, u32 at)
{
	return free_order[used][at];
}

/* The zone as KEY says, the free block at FIRST first on its list. */
static void scope_restore(u32 key, u32 first)
{
	struct page *page = pfn_to_page(scope.base);
	u32 used = KEY_USED(key);
	u32 end = 1u << scope.order;

	for (u32 i = 0; i < SCOPE; i++) {
		page[i].flags = 0;
		page[i].private = 0;
		page[i].refcount = i < end && !(used >> i & 1) ? 0 : 1;
	}
	for (unsigned int o = 0; o <= scope.order; o++) {
		struct free_area *area = &scope.zone.free_area[o];

		page_list_init(&area->free_list[MIGRATE_MOVABLE]);
		area->nr_free = 0;
	}
	for (u32 n = 0; n < end; n++) {
		u32 at = (first + 1 + n) % end; /* FIRST comes last */
		int order = free_order_at(used, at);

		if (order >= 0)
			buddy_add(&scope.zone, page + at, (unsigned int)order,
				  MIGRATE_MOVABLE);
	}
	scope.zone.nr_free_pages = end - (u32)__builtin_popcount(used);
}

/* The lists have the blocks that must be there, and no others. */
static void scope_compare(u32 used)
{
	u32 end = 1u << scope.order, listed = 0;

	for (unsigned int o = 0; o <= scope.order; o++) {
		const struct page_list *l =
			&scope.zone.free_area[o].free_list[MIGRATE_MOVABLE];
		const struct page *p = page_list_first(l);

		must_eq(l->count, scope.zone.free_area[o].nr_free);
		for (; p; p = page_list_next(p)) {
			u32 at = (u32)(page_to_pfn(p) - scope.base);

			must(at < end);
			must_eq(free_order_at(used, at), o);
			must(!(listed & frames_at(at, o)));
			listed |= frames_at(at, o);
		}
	}
	must_eq(listed | used, (1u << end) - 1);
	must_eq(scope.zone.nr_free_pages, end - (u32)__builtin_popcount(used));
}

/* KEY was reached: to the queue, if for the first time. */
static void scope_reach(u32 key)
{
	u32 at = (u32)prng_mix(key) % SCOPE_SLOTS;

	scope.transitions++;
	scope_compare(KEY_USED(key));
	for (; scope.slot[at]; at = (at + 1) % SCOPE_SLOTS) {
		if (scope.queue[scope.slot[at] - 1] == key)
			return;
	}
	must(scope.nr < SCOPE_SLOTS / 2 + SCOPE_SLOTS / 4);
	scope.queue[scope.nr++] = key;
	scope.slot[at] = scope.nr;
}

/* A request of ORDER in state KEY. */
static void scope_alloc(u32 key, unsigned int order)
{
	u32 used = KEY_USED(key);
	unsigned int from = order;
	bool any = false;

	/* The smallest order that has a block to serve it. */
	for (; from <= scope.order && !any; from += !any) {
		for (u32 at = 0; at < 1u << scope.order; at++)
			any |= free_order_at(used, at) == (int)from;
	}
	for (u32 at = 0; at < 1u << scope.order; at++) {
		struct page *page;

		if (any ? free_order_at(used, at) != (int)from : at > 0)
			continue;
		scope_restore(key, at);
		page = __rmqueue(&scope.zone, order, MIGRATE_MOVABLE, 0);
		must_eq(page != NULL, any);
		if (!page) {
			scope_compare(used);
			continue;
		}
		must_eq(page_to_pfn(page), scope.base + at);
		scope_reach(KEY(used | frames_at(at, order),
				KEY_STARTS(key) | 1u << at));
	}
}

/* The block at AT of state KEY comes back. */
static void scope_free(u32 key, u32 at)
{
	u32 used = KEY_USED(key), starts = KEY_STARTS(key);
	unsigned int order = 0;
	u64 pfn = scope.base + at;

	/* As long as no other block begins inside. */
	while (order < scope.order && !(at & ((2u << order) - 1)) &&
	       (used & frames_at(at, order + 1)) == frames_at(at, order + 1) &&
	       (starts & frames_at(at, order + 1)) == 1u << at)
		order++;
	scope_restore(key, 0);
	for (u32 i = 0; i < 1u << order; i++)
		pfn_to_page(pfn + i)->refcount = 0;
	__free_one_page(&scope.zone, pfn_to_page(pfn), pfn, order,
			MIGRATE_MOVABLE);
	scope_reach(KEY(used & ~frames_at(at, order), starts & ~(1u << at)));
}

/* All states of 2^ORDER frames, MOST at most. Returns how many there are. */
static u32 scope_search(unsigned int order, u32 most)
{
	unsigned long flags;
	u32 next = 0;

	scope_make(order);
	for (u32 used = 0; used < 1u << (1u << order); used++) {
		for (u32 at = 0; at < 1u << order; at++)
			free_order[used][at] = (s8)find_free_order(used, at);
	}
	zone_init_free_lists(&scope.zone);
	spin_lock_irqsave(&scope.zone.lock, flags);
	scope_restore(0, 0);
	scope_reach(0);
	for (; next < scope.nr && next < most; next++) {
		u32 key = scope.queue[next];

		for (unsigned int o = 0; o <= order; o++)
			scope_alloc(key, o);
		for (u32 at = 0; at < 1u << order; at++) {
			if (KEY_STARTS(key) >> at & 1)
				scope_free(key, at);
		}
		scope_restore(key, 0);
		spin_unlock_irqrestore(&scope.zone.lock, flags);
		buddy_check(&scope.zone);
		spin_lock_irqsave(&scope.zone.lock, flags);
	}
	spin_unlock_irqrestore(&scope.zone.lock, flags);
	print_message(
		"%u frames: %u states entered, %u seen, %lu transitions\n",
		1u << order, next, scope.nr, scope.transitions);
	return scope.nr;
}

static int scope_main(void *arg)
{
	u32 all[SCOPE_ORDER + 1] = {2};
	bool whole = pm_env("SOAK", 0) || !MM_DEBUG;

	(void)arg;
	model.op = "scope";
	for (unsigned int n = 0; n <= SCOPE_ORDER; n++) {
		bool cut = n == SCOPE_ORDER && !whole;

		all[n] = n ? all[n - 1] * all[n - 1] + 1 : 2;
		if (cut)
			must(scope_search(n, 20000) > 20000);
		else
			must_eq(scope_search(n, SCOPE_SLOTS), all[n]);
	}
	return 0;
}

static void test_every_state(void **state)
{
	(void)state;
	pm_boot(8 * MiB, 1);
	assert_int_equal(sim_run(scope_main, NULL), 0);
}

static int teardown(void **state)
{
	(void)state;
	pm_shutdown();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_every_state, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
