/* SPDX-License-Identifier: MIT */
/*
 * Entries that CPUs mark while the manager clears bits, under real threads
 * and in every format: each time that a walk makes an entry dirty is seen
 * once by who clears it, and no other bit is lost.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "arch/walk.h"
#include "base_seed.h"
#include "pgtable/pgtable.h"

#define ROOT 0x1000UL
#define VA   0x1000UL
#define SOFT X86_PTE_SOFTDIRTY

static u64 memory[PT_MAX_LEVELS][512] __attribute__((aligned(4096)));

struct game {
	const struct paging_format *fmt;
	struct pt_slot leaf;
	u64 rounds;		     /* so often is it found dirty */
	u64 made_dirty, found_dirty; /* by one thread each */
	u64 bad;		     /* entries that were wrong otherwise */
	int done;		     /* atomic */
};

static bool mem_read(void *arg, const struct paging_format *f, phys_addr_t pa,
		     u64 *raw)
{
	(void)arg;
	*raw = pt_raw_read(f, (char *)memory + (pa - ROOT));
	return true;
}

static bool mem_update(void *arg, const struct paging_format *f, phys_addr_t pa,
		       u64 old, u64 raw)
{
	(void)arg;
	return pt_raw_cmpxchg(f, (char *)memory + (pa - ROOT), &old, raw);
}

static const struct paging_mem mem = {mem_read, mem_update, NULL};

static void make_tables(struct game *g)
{
	const struct paging_format *f = g->fmt;
	int top = f->levels - 1;

	memset(memory, 0, sizeof(memory));
	for (int l = top; l >= 0; l--) {
		u32 at = pt_index(f, l, VA) * f->entry_bytes;
		u64 next = ROOT + (u64)(top - l + 1) * PAGE_SIZE;
		u64 bits = l ? X86_TABLE_LINK : X86_TABLE_LINK | SOFT;

		g->leaf = (struct pt_slot){(char *)memory[top - l] + at, NULL,
					   f, (u8)l};
		pt_set(&g->leaf, __pte(next | bits));
	}
}

/* With one processor the other thread would have no turn. */
static void yield_at_times(bool now)
{
	if (now)
		sched_yield();
}

/* The CPU: writes, which makes the entry dirty if it is not. */
static void *writer(void *arg)
{
	struct game *g = arg;
	struct paging_cpu cpu;
	struct paging_walk w;

	paging_cpu_init(&cpu, g->fmt, ROOT, false);
	for (u32 i = 0; !__atomic_load_n(&g->done, __ATOMIC_ACQUIRE); i++) {
		if (paging_walk_with(&cpu, VA, PAGING_WRITE | PAGING_USER, &w,
				     &mem) != PAGING_OK)
			g->bad++;
		g->made_dirty += w.changed;
		yield_at_times(!w.changed && i % 64 == 0);
	}
	return NULL;
}

/* The manager: cleans, as writeback does, until it has found enough. */
static void cleaner(struct game *g)
{
	for (u32 i = 0; g->found_dirty < g->rounds; i++) {
		pte_t old = pt_clear_bits(&g->leaf, X86_PTE_D);

		g->found_dirty += pte_dirty(old);
		yield_at_times(!pte_dirty(old) && i % 64 == 0);
		if (!pte_valid(old) || !pte_write(old) || !pte_young(old) ||
		    !pte_soft_dirty(old))
			g->bad++;
	}
}

static void no_dirty_bit_lost(void **state)
{
	const struct paging_format *f;
	u64 rounds = test_iters(3000);

	(void)state;
	for (unsigned int i = 0; (f = paging_format_nth(i)); i++) {
		struct game g = {.fmt = f, .rounds = rounds};
		pthread_t t;

		make_tables(&g);
		assert_int_equal(pthread_create(&t, NULL, writer, &g), 0);
		cleaner(&g);
		__atomic_store_n(&g.done, 1, __ATOMIC_RELEASE);
		assert_int_equal(pthread_join(t, NULL), 0);
		assert_int_equal(g.bad, 0);
		print_message("%s: dirty %llu times\n", f->name,
			      (unsigned long long)g.found_dirty);
		assert_int_equal(g.made_dirty,
				 g.found_dirty + pte_dirty(pt_get(&g.leaf)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_dirty_bit_lost),
	};

	return cmocka_run_group_tests_name("pgtable threads", tests, NULL,
					   NULL);
}
