/* SPDX-License-Identifier: MIT */
/* One address space: signals, access kinds, stacks, limits, fork, swap. */
#include "sim_machine.h"

#include <mmkit/sysctl.h>

#define P(n) ((u64)(n) << PAGE_SHIFT)

/* ---- access kinds and signals ----------------------------------------------
 */

/* What each kind of access to a page of PROT ends in. */
static void expect_access(struct mm_struct *mm, int prot)
{
	bool any = prot != PROT_NONE;
	s64 at = do_mmap(mm, 0, P(1), prot, TM_ANON);

	CHECK(at > 0);
	/* x86 cannot forbid reading of what may be written or run. */
	CHECK_EQ(sim_touch((uva_t)at, SIM_READ), any ? 0 : MM_SIGSEGV);
	CHECK_EQ(sim_touch((uva_t)at, SIM_WRITE),
		 prot & PROT_WRITE ? 0 : MM_SIGSEGV);
	CHECK_EQ(sim_touch((uva_t)at, SIM_EXEC),
		 prot & PROT_EXEC ? 0 : MM_SIGSEGV);
	CHECK_EQ(do_munmap(mm, (uva_t)at, P(1)), 0);
	CHECK_EQ(sim_touch((uva_t)at, SIM_READ), MM_SIGSEGV);
}

static int access_body(void *arg)
{
	struct mm_struct *mm = tm_mm();

	(void)arg;
	tm_use(mm);
	for (int prot = 0; prot < 8; prot++)
		expect_access(mm, prot);
	CHECK_EQ(sim_touch(0, SIM_READ), MM_SIGSEGV);
	CHECK_EQ(sim_touch(mm->layout.task_size, SIM_READ), MM_SIGSEGV);
	CHECK_EQ(sim_touch(mm->layout.task_size - PAGE_SIZE, SIM_WRITE),
		 MM_SIGSEGV);
	mm_check(mm);
	mm_put(mm);
	return 0;
}

static void access_kinds(void **state)
{
	(void)state;
	TM_RUN(access_body);
}

static int prot_none_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	uva_t at = tm_map(mm, 3);

	(void)arg;
	tm_use(mm);
	tm_store(at + P(1), 77);
	tm_load(at + P(2)); /* the zero page */
	CHECK_EQ(do_mprotect(mm, at, P(3), PROT_NONE), 0);
	for (u64 i = 0; i < 3; i++)
		CHECK_EQ(sim_touch(at + P(i), SIM_READ), MM_SIGSEGV);
	mm_check(mm);
	CHECK_EQ(do_mprotect(mm, at, P(3), PROT_READ), 0);
	CHECK_EQ(tm_load(at + P(1)), 77);
	CHECK_EQ(tm_load(at + P(2)), 0);
	CHECK_EQ(sim_touch(at + P(1), SIM_WRITE), MM_SIGSEGV);
	CHECK_EQ(do_mprotect(mm, at, P(3), TM_RW), 0);
	tm_store(at + P(2), 5);
	tm_store(at + P(1), 78);
	CHECK_EQ(tm_load(at + P(1)), 78);
	CHECK_EQ(tm_load(at + P(2)), 5);
	CHECK_EQ(tm_load(at), 0);
	mm_check(mm);
	mm_put(mm);
	return 0;
}

static void prot_none(void **state)
{
	(void)state;
	TM_RUN(prot_none_body);
}

/* ---- stacks
 * -------------------------------------------------------------------- */

#define STACK_TOP 0x7f0000000000UL

static uva_t stack_at(struct mm_struct *mm, uva_t top, u64 pages)
{
	s64 at = do_mmap(mm, top - P(pages), P(pages), TM_RW,
			 TM_ANON | MAP_FIXED | MAP_GROWSDOWN);

	CHECK_EQ(at, (s64)(top - P(pages)));
	return (uva_t)at;
}

static int stack_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	struct mm_usage u;
	uva_t low = stack_at(mm, STACK_TOP, 2);
	s64 below;

	(void)arg;
	tm_use(mm);
	tm_store(low - 8, 1);
	tm_store(low - P(10), 2);
	mm_usage_get(mm, &u);
	CHECK_EQ(u.total_vm, 12);
	CHECK_EQ(u.map_count, 1);
	/* The guard gap: 256 pages below must stay free. */
	low -= P(10);
	below = do_mmap(mm, low - P(300), P(10), TM_RW, TM_ANON | MAP_FIXED);
	CHECK(below > 0);
	CHECK_EQ(sim_touch(low - P(34), SIM_WRITE), 0);
	CHECK_EQ(sim_touch(low - P(35), SIM_WRITE), MM_SIGSEGV);
	/* Something without access in the way does not need the gap. */
	CHECK_EQ(do_mprotect(mm, (uva_t)below, P(10), PROT_NONE), 0);
	CHECK_EQ(sim_touch(low - P(35), SIM_WRITE), 0);
	CHECK_EQ(sim_touch(low - P(290), SIM_WRITE), 0);
	CHECK_EQ(sim_touch(low - P(291), SIM_WRITE), MM_SIGSEGV);
	/* A stack may stand on another one's end. */
	CHECK_EQ(tm_load(low + P(10) - 8), 1);
	mm_check(mm);
	mm_put(mm);
	return 0;
}

static void stack_growth(void **state)
{
	(void)state;
	TM_RUN(stack_body);
}

static int stack_limit_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	uva_t low = stack_at(mm, STACK_TOP, 1);

	(void)arg;
	tm_use(mm);
	mm->rlimit_stack = P(8);
	CHECK_EQ(sim_touch(STACK_TOP - P(8), SIM_READ), 0);
	CHECK_EQ(sim_touch(STACK_TOP - P(9), SIM_READ), MM_SIGSEGV);
	mm->rlimit_stack = P(100);
	mm->rlimit_as = P(10);
	CHECK_EQ(sim_touch(STACK_TOP - P(10), SIM_READ), 0);
	CHECK_EQ(sim_touch(STACK_TOP - P(11), SIM_READ), MM_SIGSEGV);
	CHECK_EQ(low, STACK_TOP - P(1));
	mm_check(mm);
	mm_put(mm);
	return 0;
}

static void stack_limits(void **state)
{
	(void)state;
	TM_RUN(stack_limit_body);
}

/* ---- limits
 * ---------------------------------------------------------------------- */

static int limits_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	uva_t brk = mm->start_brk;

	(void)arg;
	mm->rlimit_as = P(16);
	CHECK_EQ(do_mmap(mm, 0, P(17), TM_RW, TM_ANON), -ENOMEM);
	CHECK(do_mmap(mm, 0, P(10), TM_RW, TM_ANON) > 0);
	CHECK_EQ(do_mmap(mm, 0, P(7), PROT_READ, TM_ANON), -ENOMEM);
	CHECK_EQ(do_brk(mm, brk + P(7)), brk);
	CHECK_EQ(do_brk(mm, brk + P(6)), brk + P(6));
	CHECK_EQ(do_brk(mm, brk + P(7)), brk + P(6));
	CHECK_EQ(do_brk(mm, brk - 1), brk + P(6));
	CHECK_EQ(do_brk(mm, brk), brk);
	mm->rlimit_as = ~0UL;
	mm->rlimit_data = P(12);
	CHECK_EQ(do_mmap(mm, 0, P(3), TM_RW, TM_ANON), -ENOMEM);
	CHECK(do_mmap(mm, 0, P(3), PROT_READ, TM_ANON) > 0);
	CHECK_EQ(do_brk(mm, brk + P(3)), brk);
	CHECK_EQ(do_brk(mm, brk + P(2)), brk + P(2));
	/* More than RAM and swap together is refused at once. */
	mm->rlimit_data = ~0UL;
	CHECK_EQ(do_mmap(mm, 0, 1UL << 30, TM_RW, TM_ANON), -ENOMEM);
	CHECK(do_mmap(mm, 0, 1UL << 30, TM_RW, TM_ANON | MAP_NORESERVE) > 0);
	mm_check(mm);
	mm_put(mm);
	return 0;
}

static void limits(void **state)
{
	(void)state;
	TM_RUN(limits_body);
}

/* ---- arguments
 * ---------------------------------------------------------------------- */

static int arguments_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	u64 top = mm->layout.task_size;
	uva_t at = tm_map(mm, 4);

	(void)arg;
	CHECK_EQ(do_mmap(mm, 0, 0, TM_RW, TM_ANON), -EINVAL);
	CHECK_EQ(do_mmap(mm, 0, P(1), TM_RW, MAP_ANONYMOUS), -EINVAL);
	CHECK_EQ(do_mmap(mm, 0, P(1), TM_RW,
			 MAP_SHARED_VALIDATE | MAP_ANONYMOUS),
		 -EINVAL);
	CHECK_EQ(do_mmap(mm, 0, ~0UL, TM_RW, TM_ANON), -ENOMEM);
	CHECK_EQ(do_mmap(mm, 0, top + 1, TM_RW, TM_ANON), -ENOMEM);
	CHECK_EQ(do_mmap(mm, at + 1, P(1), TM_RW, TM_ANON | MAP_FIXED),
		 -EINVAL);
	CHECK_EQ(do_mmap(mm, 0, P(1), TM_RW, TM_ANON | MAP_FIXED), -EPERM);
	CHECK_EQ(do_mmap(mm, top, P(1), TM_RW, TM_ANON | MAP_FIXED), -ENOMEM);
	CHECK_EQ(do_mmap(mm, at, P(1), TM_RW, TM_ANON | MAP_FIXED_NOREPLACE),
		 -EEXIST);
	CHECK_EQ(do_munmap(mm, at + 1, P(1)), -EINVAL);
	CHECK_EQ(do_munmap(mm, at, 0), -EINVAL);
	CHECK_EQ(do_munmap(mm, at, ~0UL), -EINVAL);
	CHECK_EQ(do_munmap(mm, top, P(1)), -EINVAL);
	CHECK_EQ(do_munmap(mm, top - P(1), P(1)), 0);
	CHECK_EQ(do_mprotect(mm, at + 1, P(1), TM_RW), -EINVAL);
	CHECK_EQ(do_mprotect(mm, at, P(1), 0x100), -EINVAL);
	CHECK_EQ(do_mprotect(mm, at, 0, TM_RW), 0);
	CHECK_EQ(do_mprotect(mm, at, ~0UL, TM_RW), -ENOMEM);
	CHECK_EQ(do_mprotect(mm, at, P(5), TM_RW), -ENOMEM);
	CHECK_EQ(do_madvise(mm, at + 1, P(1), MADV_DONTNEED), -EINVAL);
	CHECK_EQ(do_madvise(mm, at, P(1), 1234), -EINVAL);
	CHECK_EQ(do_madvise(mm, at, ~0UL, MADV_DONTNEED), -EINVAL);
	CHECK_EQ(do_madvise(mm, at, P(5), MADV_DONTNEED), -ENOMEM);
	CHECK_EQ(do_mremap(mm, at + 1, P(1), P(2), 0, 0), -EINVAL);
	CHECK_EQ(do_mremap(mm, at, P(1), 0, 0, 0), -EINVAL);
	CHECK_EQ(do_mremap(mm, at, ~0UL, P(1), 0, 0), -EINVAL);
	/* An end that wraps around. */
	CHECK_EQ(do_mremap(mm, at, -P(1), P(1), 0, 0), -EINVAL);
	CHECK_EQ(do_mremap(mm, at, P(1), P(1), MREMAP_FIXED, 0), -EINVAL);
	CHECK_EQ(do_mremap(mm, at, P(1), P(1), 64, 0), -EINVAL);
	CHECK_EQ(do_mremap(mm, at, P(5), P(9), MREMAP_MAYMOVE, 0), -EFAULT);
	CHECK_EQ(do_mremap(mm, at + P(9), P(1), P(1), 0, 0), -EFAULT);
	CHECK_EQ(do_mremap(mm, at, P(2), P(2), MREMAP_MAYMOVE | MREMAP_FIXED,
			   at + P(1)),
		 -EINVAL);
	CHECK_EQ(do_mremap(mm, at, P(2), P(2), MREMAP_MAYMOVE | MREMAP_FIXED,
			   top),
		 -EINVAL);
	CHECK_EQ(do_mremap(mm, at, P(2), P(2), MREMAP_MAYMOVE | MREMAP_FIXED,
			   at + 5),
		 -EINVAL);
	CHECK_EQ(mm_set_start_brk(mm, top), -EINVAL);
	CHECK_EQ(mm_set_start_brk(mm, 0x400000), 0);
	CHECK_EQ(do_brk(mm, 0x400000 + 5), 0x400005);
	CHECK_EQ(mm_set_start_brk(mm, 0x400000), -EBUSY);
	mm_check(mm);
	mm_put(mm);
	return 0;
}

static void arguments(void **state)
{
	(void)state;
	TM_RUN(arguments_body);
}

/*
 * Regression: advice that makes a mapping equal to the next one, which melts
 * them, was taken for a hole between them.
 */
static int advice_join_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	uva_t at = tm_map(mm, 4);

	(void)arg;
	CHECK_EQ(do_madvise(mm, at + P(2), P(2), MADV_RANDOM), 0);
	CHECK_EQ(mm->map_count, 2);
	CHECK_EQ(do_madvise(mm, at, P(4), MADV_RANDOM), 0);
	CHECK_EQ(mm->map_count, 1);
	CHECK_EQ(do_madvise(mm, at + P(1), P(1), MADV_NORMAL), 0);
	CHECK_EQ(do_madvise(mm, at, P(4), MADV_RANDOM), 0);
	CHECK_EQ(do_madvise(mm, at, P(5), MADV_RANDOM), -ENOMEM);
	CHECK_EQ(do_munmap(mm, at + P(1), P(1)), 0);
	CHECK_EQ(do_madvise(mm, at, P(4), MADV_NORMAL), -ENOMEM);
	CHECK_EQ(mm->map_count, 2);
	mm_check(mm);
	mm_put(mm);
	return 0;
}

static void advice_join_is_no_hole(void **state)
{
	(void)state;
	TM_RUN(advice_join_body);
}

/* ---- fork
 * ------------------------------------------------------------------------------
 */

static int fork_body(void *arg)
{
	struct mm_struct *mm = tm_mm(), *child;
	uva_t at = tm_map(mm, 6);

	(void)arg;
	tm_use(mm);
	for (u64 i = 0; i < 5; i++)
		tm_store(at + P(i), 100 + i);
	CHECK_EQ(do_madvise(mm, at + P(1), P(1), MADV_DONTFORK), 0);
	CHECK_EQ(do_madvise(mm, at + P(2), P(1), MADV_WIPEONFORK), 0);
	CHECK_EQ(mm_fork(mm, &child), 0);
	tm_store(at, 200);
	tm_use(child);
	CHECK_EQ(tm_load(at), 100);
	CHECK_EQ(sim_touch(at + P(1), SIM_READ), MM_SIGSEGV);
	CHECK_EQ(tm_load(at + P(2)), 0);
	tm_store(at + P(3), 303);
	tm_store(at + P(5), 305);
	mm_check(child);
	tm_use(mm);
	CHECK_EQ(tm_load(at), 200);
	CHECK_EQ(tm_load(at + P(2)), 102);
	CHECK_EQ(tm_load(at + P(3)), 103);
	CHECK_EQ(tm_load(at + P(5)), 0);
	mm_check(mm);
	mm_put(mm);
	tm_use(child);
	CHECK_EQ(tm_load(at + P(4)), 104);
	tm_store(at + P(4), 1);
	mm_put(child);
	return 0;
}

static void fork_copies(void **state)
{
	(void)state;
	TM_RUN(fork_body);
}

/* A chain of forks, each written by its child; the middle ones die first. */
static int fork_chain_body(void *arg)
{
	struct mm_struct *mm[8] = {tm_mm()};
	uva_t at = tm_map(mm[0], 8);

	(void)arg;
	for (u64 g = 0; g < 8; g++) {
		tm_use(mm[g]);
		for (u64 i = 0; i < 8; i++)
			CHECK_EQ(tm_load(at + P(i)), i < g ? 10 + i : 0);
		tm_store(at + P(g), 10 + g);
		if (g < 7)
			CHECK_EQ(mm_fork(mm[g], &mm[g + 1]), 0);
	}
	for (u64 g = 1; g < 7; g++) {
		mm_check(mm[g]);
		mm_put(mm[g]);
	}
	tm_use(mm[0]);
	CHECK_EQ(tm_load(at), 10);
	CHECK_EQ(tm_load(at + P(1)), 0);
	mm_put(mm[0]);
	tm_use(mm[7]);
	for (u64 i = 0; i < 8; i++)
		CHECK_EQ(tm_load(at + P(i)), 10 + i);
	mm_put(mm[7]);
	return 0;
}

static void fork_chain(void **state)
{
	(void)state;
	TM_RUN(fork_chain_body);
}

/* ---- swap
 * ---------------------------------------------------------------------------------
 */

/* Three times the RAM, written, read twice, moved, and gone. */
static int swap_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	u64 pages = 3 * tm.cfg.mem >> PAGE_SHIFT;
	uva_t at = tm_map(mm, pages);
	struct mm_usage u;
	s64 to;

	(void)arg;
	tm_use(mm);
	for (u64 i = 0; i < pages; i++)
		tm_store(at + P(i) + 8 * (i % 512), i);
	mm_usage_get(mm, &u);
	CHECK(u.swap > pages / 2);
	CHECK(u.rss_anon + u.swap == pages);
	for (u64 i = 0; i < pages; i += 3)
		CHECK_EQ(tm_load(at + P(i) + 8 * (i % 512)), i);
	to = do_mremap(mm, at, P(pages), P(pages + 1), MREMAP_MAYMOVE, 0);
	CHECK(to > 0);
	for (u64 i = pages; i-- > 0;)
		CHECK_EQ(tm_load((uva_t)to + P(i) + 8 * (i % 512)), i);
	CHECK(sum_vm_event(PSWPOUT) > pages / 2);
	CHECK(sum_vm_event(PSWPIN) > pages / 2);
	mm_check(mm);
	mm_put(mm);
	return 0;
}

static void swap_out_and_in(void **state)
{
	(void)state;
	TM_RUN(swap_body, .mem = 6UL << 20, .swap_pages = 8192, .seed = 3);
	TM_RUN(swap_body, .mem = 8UL << 20, .swap_pages = 8192, .cpus = 2,
	       .seed = 4, .explore = true);
}

/*
 * Regression: a move allocated its new tables with the anon_vma lock held;
 * the allocation reclaimed, and reclaim takes anon_vma locks.
 */
static u32 hoard(struct page **pages, u32 max)
{
	u32 n = 0;

	while (n < max) {
		pages[n] = alloc_page(GFP_NOWAIT | __GFP_NOWARN);
		if (!pages[n])
			break;
		n++;
	}
	return n;
}

static int move_pressure_body(void *arg)
{
	static struct page *hoarded[512];
	struct mm_struct *mm = tm_mm(), *mm2 = tm_mm();
	u64 pages = 2 * tm.cfg.mem >> PAGE_SHIFT;
	uva_t at = tm_map(mm, pages), other = tm_map(mm2, pages);
	u32 n;

	(void)arg;
	for (u64 round = 0; round < 12; round++) {
		uva_t to = 0x100000000UL * (round + 1);

		tm_use(mm2);
		for (u64 i = round; i < pages; i += 2)
			tm_store(other + P(i), round + i);
		tm_use(mm);
		for (u64 i = 0; i < pages; i += 64)
			tm_store(at + P(i), round * 1000 + i);
		/* Now the next frame must be reclaimed by who wants it. */
		n = hoard(hoarded, ARRAY_SIZE(hoarded));
		CHECK_EQ(do_mremap(mm, at, P(pages), P(pages),
				   MREMAP_MAYMOVE | MREMAP_FIXED, to),
			 (s64)to);
		at = to;
		while (n)
			__free_page(hoarded[--n]);
		for (u64 i = 0; i < pages; i += 64)
			CHECK_EQ(tm_load(at + P(i)), round * 1000 + i);
	}
	mm_check(mm);
	mm_check(mm2);
	mm_put(mm);
	mm_put(mm2);
	return 0;
}

static void move_under_pressure(void **state)
{
	(void)state;
	for (u64 seed = 1; seed < 4; seed++)
		TM_RUN(move_pressure_body, .mem = 5UL << 20,
		       .swap_pages = 16384, .seed = seed);
}

/* ---- overcommit -------------------------------------------------------------
 */

static void count_map(const struct mm_map_info *m, void *arg)
{
	u64 *sum = arg;

	*sum = *sum * 31 + (m->start ^ m->end << 1 ^ (u64)m->prot);
}

static u64 maps_sum(struct mm_struct *mm)
{
	u64 sum = 0;

	mm_for_each_map(mm, count_map, &sum);
	return sum;
}

/*
 * Mode 2 with a ratio of 10 %: some 200 pages of 8 MiB. Two read-only ranges
 * with a hole's worth of others between them become writable together or not
 * at all.
 */
static int overcommit_body(void *arg)
{
	struct mm_struct *mm = tm_mm();
	u64 before;
	s64 at, big;

	(void)arg;
	tm_use(mm);
	CHECK_EQ(mm_sysctl_set("vm.overcommit_memory", "0"), 0);
	CHECK_EQ(do_mmap(mm, 0, 1UL << 40, TM_RW, TM_ANON), -ENOMEM);
	big = do_mmap(mm, 0, 1UL << 40, TM_RW, TM_ANON | MAP_NORESERVE);
	CHECK(big > 0);
	CHECK_EQ(do_munmap(mm, (uva_t)big, 1UL << 40), 0);
	CHECK_EQ(mm_sysctl_set("vm.overcommit_memory", "1"), 0);
	big = do_mmap(mm, 0, 1UL << 40, TM_RW, TM_ANON);
	CHECK(big > 0);
	CHECK_EQ(do_munmap(mm, (uva_t)big, 1UL << 40), 0);
	CHECK_EQ(mm_sysctl_set("vm.overcommit_ratio", "10"), 0);
	CHECK_EQ(mm_sysctl_set("vm.overcommit_memory", "2"), 0);
	CHECK_EQ(do_mmap(mm, 0, P(1000), TM_RW, TM_ANON), -ENOMEM);
	at = do_mmap(mm, 0, P(300), PROT_READ, TM_ANON);
	CHECK(at > 0);
	/* A page in the middle that is writable already keeps them apart. */
	CHECK_EQ(do_mprotect(mm, (uva_t)at + P(150), P(1), TM_RW), 0);
	before = maps_sum(mm);
	CHECK_EQ(do_mprotect(mm, (uva_t)at, P(300), TM_RW), -ENOMEM);
	CHECK_EQ(maps_sum(mm), before);
	CHECK_EQ(sim_touch((uva_t)at, SIM_WRITE), MM_SIGSEGV);
	CHECK_EQ(do_mprotect(mm, (uva_t)at, P(100), TM_RW), 0);
	CHECK_EQ(sim_touch((uva_t)at, SIM_WRITE), 0);
	mm_check(mm);
	mm_put(mm);
	return 0;
}

static void overcommit(void **state)
{
	(void)state;
	TM_RUN(overcommit_body, .mem = 8UL << 20);
}

/* ---- a copy is seen by every CPU
 * ---------------------------------------------- */

struct cow_watch {
	struct mm_struct *mm;
	uva_t at;
	u64 before, after;
	int step;
};

static void cow_wait(struct cow_watch *w, int step)
{
	while (READ_ONCE(w->step) < step)
		port_park(1000000);
}

/* Holds a translation of the shared page on another CPU. */
static void cow_reader(void *arg)
{
	struct cow_watch *w = arg;

	mm_task_attach(port_current(), w->mm);
	w->before = tm_load(w->at);
	WRITE_ONCE(w->step, 1);
	cow_wait(w, 2);
	w->after = tm_load(w->at);
	mm_task_exit(port_current());
}

/*
 * Two threads of one space on two CPUs; the page is shared with a child. One
 * has read it, the other writes and gets a copy: the reader must not go on
 * reading the old frame through its TLB.
 */
static int cow_cpus_body(void *arg)
{
	struct cow_watch w = {.mm = tm_mm()};
	struct port_thread *reader;
	struct mm_struct *child;

	(void)arg;
	tm_use(w.mm);
	w.at = (uva_t)do_mmap(w.mm, 0, P(1), TM_RW, TM_ANON);
	tm_store(w.at, 1);
	CHECK_EQ(mm_fork(w.mm, &child), 0);
	CHECK_EQ(sim_thread_start_on(&reader, "reader", 1, cow_reader, &w), 0);
	cow_wait(&w, 1);
	tm_store(w.at, 2);
	WRITE_ONCE(w.step, 2);
	port_unpark(reader);
	port_thread_join(reader);
	CHECK_EQ(w.before, 1);
	CHECK_EQ(w.after, 2);
	mm_put(child);
	mm_put(w.mm);
	return 0;
}

static void cow_on_all_cpus(void **state)
{
	(void)state;
	for (u64 seed = 1; seed < 6; seed++)
		TM_RUN(cow_cpus_body, .cpus = 2, .seed = seed,
		       .explore = seed & 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(access_kinds),
		cmocka_unit_test(prot_none),
		cmocka_unit_test(stack_growth),
		cmocka_unit_test(stack_limits),
		cmocka_unit_test(limits),
		cmocka_unit_test(arguments),
		cmocka_unit_test(advice_join_is_no_hole),
		cmocka_unit_test(fork_copies),
		cmocka_unit_test(fork_chain),
		cmocka_unit_test(swap_out_and_in),
		cmocka_unit_test(move_under_pressure),
		cmocka_unit_test(overcommit),
		cmocka_unit_test(cow_on_all_cpus),
	};

	return cmocka_run_group_tests_name("space", tests, NULL, NULL);
}
