/* SPDX-License-Identifier: MIT */
/*
 * migrate_race.h - threads of a family of address spaces use memory that a
 * mover keeps giving other frames, in any world. The includer defines
 * MGR_LOAD(to, va, len) and MGR_STORE(va, from, len), which give 0 or the
 * signal.
 *
 * Each thread owns a word of each page: it stores ever larger numbers and must
 * find the last one. A child that it forks finds what there was at the fork,
 * changes it, and its parent must not see that. The mover takes frames at
 * random, the program's among them.
 */
#ifndef TESTS_MIGRATE_RACE_H
#define TESTS_MIGRATE_RACE_H

#include <mmkit/errno.h>
#include <mmkit/mm.h>
#include <mmkit/mman.h>
#include <mmkit/port.h>

#include "mover.h"
#include "space/numa_hint.h"
#include "space/space.h"
#include "task_use.h"

#define MGR_THREADS 4u
#define MGR_SPACES  2u
#define MGR_PAGES   12u
#define MGR_BYTES   ((u64)MGR_PAGES << PAGE_SHIFT)
#define MGR_BASE    0x40000000UL
#define MGR_SCRATCH 0x42000000UL /* and so much further for each thread */
#define MGR_STEP    0x400000UL

struct mgr {
	struct mm_struct *mm[MGR_SPACES];
	u64 seed, iters;
	u64 next;   /* (A) numbers threads */
	u32 left;   /* (A) threads at work */
	u64 checks; /* (A) */
	u64 moved;  /* the mover's */
	u32 refuse;
};

struct mgr_thread {
	struct mgr *r;
	u64 id;
	struct mm_struct *mm;
	struct prng rnd;
	u64 last[MGR_PAGES];
};

static inline uva_t mgr_word(const struct mgr_thread *t, uva_t base, u64 page)
{
	return base + (page << PAGE_SHIFT) + 256 * t->id;
}

static inline void mgr_store(struct mgr_thread *t, uva_t base, u64 page, u64 v)
{
	mm_verify(MGR_STORE(mgr_word(t, base, page), &v, sizeof(v)) == 0);
}

static inline void mgr_expect(struct mgr_thread *t, uva_t base, u64 page, u64 v)
{
	u64 seen = ~0UL;

	mm_verify(MGR_LOAD(&seen, mgr_word(t, base, page), sizeof(seen)) == 0);
	mm_verify(seen == v);
	__atomic_fetch_add(&t->r->checks, 1, __ATOMIC_RELAXED);
}

static inline void mgr_enter(struct mgr_thread *t, struct mm_struct *mm)
{
	task_use(mm);
	t->mm = mm;
}

/* A child has what its parent had, and for itself. */
static inline void mgr_fork(struct mgr_thread *t)
{
	u64 page = prng_below(&t->rnd, MGR_PAGES);
	struct mm_struct *mm = t->mm, *child;

	if (mm_fork(mm, &child))
		return;
	mgr_store(t, MGR_BASE, page, ++t->last[page]);
	mm_get(mm);
	mgr_enter(t, child);
	mgr_expect(t, MGR_BASE, page, t->last[page] - 1);
	mgr_store(t, MGR_BASE, page, ~0UL);
	for (u64 i = 0; i < 4; i++) {
		u64 other = prng_below(&t->rnd, MGR_PAGES);

		if (other != page)
			mgr_expect(t, MGR_BASE, other, t->last[other]);
	}
	mgr_enter(t, mm);
	mm_put(mm);
	mm_put(child);
	mgr_expect(t, MGR_BASE, page, t->last[page]);
}

static inline uva_t mgr_map(struct mgr_thread *t, uva_t at, int flags)
{
	s64 got = do_mmap(t->mm, at, 4 * PAGE_SIZE, PROT_READ | PROT_WRITE,
			  flags | MAP_ANONYMOUS | MAP_FIXED);

	mm_verify(got == (s64)at);
	return at;
}

/* A mapping of one's own: protected, moved, cut, given up in part. */
static inline void mgr_scratch(struct mgr_thread *t)
{
	bool shared = prng_below(&t->rnd, 2);
	uva_t a = MGR_SCRATCH + t->id * MGR_STEP, b = a + MGR_STEP / 2;
	u64 v = prng_u64(&t->rnd);

	mgr_map(t, a, shared ? MAP_SHARED : MAP_PRIVATE);
	for (u64 i = 0; i < 4; i++)
		mgr_store(t, a, i, v + i);
	mm_verify(!do_mprotect(t->mm, a + PAGE_SIZE, PAGE_SIZE, PROT_READ));
	mgr_expect(t, a, 1, v + 1);
	mm_verify(!do_mprotect(t->mm, a + PAGE_SIZE, PAGE_SIZE,
			       PROT_READ | PROT_WRITE));
	mgr_store(t, a, 1, v);
	mm_verify(do_mremap(t->mm, a, 4 * PAGE_SIZE, 4 * PAGE_SIZE,
			    MREMAP_MAYMOVE | MREMAP_FIXED, b) == (s64)b);
	mgr_expect(t, b, 1, v);
	for (u64 i = 2; i < 4; i++)
		mgr_expect(t, b, i, v + i);
	mm_verify(!do_munmap(t->mm, b + 2 * PAGE_SIZE, PAGE_SIZE));
	mgr_expect(t, b, 3, v + 3);
	if (!shared) {
		mm_verify(!do_madvise(t->mm, b, PAGE_SIZE, MADV_DONTNEED));
		mgr_expect(t, b, 0, 0);
	}
	mm_verify(!do_munmap(t->mm, b, 4 * PAGE_SIZE));
}

/* Locked memory takes no such advice. */
static inline void mgr_advise(struct mgr_thread *t, uva_t at, u64 nr,
			      int advice)
{
	int err = do_madvise(t->mm, at, nr << PAGE_SHIFT, advice);

	mm_verify(err == 0 || err == -EINVAL);
}

static inline void mgr_space_op(struct mgr_thread *t)
{
	u64 page = prng_below(&t->rnd, MGR_PAGES);
	u64 nr = 1 + prng_below(&t->rnd, MGR_PAGES - page);
	uva_t at = MGR_BASE + (page << PAGE_SHIFT);

	switch (prng_below(&t->rnd, 8)) {
	case 0:
		mgr_advise(t, at, nr, MADV_PAGEOUT);
		break;
	case 1:
		mgr_advise(t, at, nr, MADV_COLD);
		break;
	case 2:
		(void)do_mlock(t->mm, at, nr << PAGE_SHIFT, 0);
		break;
	case 3:
		mm_verify(!do_munlock(t->mm, at, nr << PAGE_SHIFT));
		break;
	case 4:
	case 5:
		mgr_scratch(t);
		break;
	default:
		mgr_fork(t);
	}
}

/* A thread; ARG is the race. */
static inline void mgr_thread(void *arg)
{
	struct mgr_thread t = {.r = arg};

	t.id = __atomic_fetch_add(&t.r->next, 1, __ATOMIC_RELAXED);
	mgr_enter(&t, t.r->mm[t.id % MGR_SPACES]);
	prng_seed(&t.rnd, t.r->seed * 1000 + t.id);
	for (u64 i = 0; i < t.r->iters; i++) {
		u64 what = prng_below(&t.rnd, 8);
		u64 page = prng_below(&t.rnd, MGR_PAGES);

		if (what < 3)
			mgr_store(&t, MGR_BASE, page, ++t.last[page]);
		else if (what < 6)
			mgr_expect(&t, MGR_BASE, page, t.last[page]);
		else
			mgr_space_op(&t);
	}
	for (u64 page = 0; page < MGR_PAGES; page++)
		mgr_expect(&t, MGR_BASE, page, t.last[page]);
	mgr_enter(&t, NULL);
	port_current()->flags |= PF_KTHREAD;
	__atomic_fetch_sub(&t.r->left, 1, __ATOMIC_RELEASE);
}

/* The mover; ARG is the race. */
static inline void mgr_mover(void *arg)
{
	struct mgr *r = arg;
	struct mover m = {.refuse = r->refuse};

	prng_seed(&m.rnd, r->seed);
	while (__atomic_load_n(&r->left, __ATOMIC_ACQUIRE)) {
		mover_step(&m, 512);
		port_park(1000);
	}
	__atomic_fetch_add(&r->moved, m.moved, __ATOMIC_RELAXED);
}

/* Who looks at frames one by one: takes each for a moment, and has used it. A
 * move that comes in between has to put its new frame back as it was. */
static inline void mgr_holder(void *arg)
{
	struct prng rnd;
	struct mgr *r = arg;

	prng_seed(&rnd, r->seed + 1);
	while (__atomic_load_n(&r->left, __ATOMIC_ACQUIRE)) {
		u64 pfn = prng_below(&rnd, phys_sys.hot.max_pfn);

		for (u32 i = 0; i < 64 && pfn < phys_sys.hot.max_pfn; i++) {
			struct page *page = pfn_to_page(pfn++);

			if (!PageLRU(page) || !get_page_unless_zero(page))
				continue;
			mark_page_accessed(page);
			mark_page_accessed(page);
			port_sched_point();
			put_page(page);
		}
		port_park(200);
	}
}

/* Hint entries in both spaces all the time; ARG is the race. */
static inline void mgr_scanner(void *arg)
{
	struct mgr *r = arg;

	while (__atomic_load_n(&r->left, __ATOMIC_ACQUIRE)) {
		for (u32 i = 0; i < MGR_SPACES; i++)
			(void)numa_scan_space(r->mm[i], 8);
		port_park(500);
	}
}

static inline void mgr_begin(struct mgr *r)
{
	struct mm_layout l;

	mm_default_layout(&l);
	r->left = MGR_THREADS;
	for (u32 i = 0; i < MGR_SPACES; i++) {
		mm_verify(!mm_create(&l, &r->mm[i]));
		mm_verify(do_mmap(r->mm[i], MGR_BASE, MGR_BYTES,
				  PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED) ==
			  (s64)MGR_BASE);
	}
}

static inline void mgr_end(struct mgr *r)
{
	for (u32 i = 0; i < MGR_SPACES; i++) {
		mm_check(r->mm[i]);
		mm_put(r->mm[i]);
	}
	lru_add_drain_all();
	mm_verify(global_node_page_state(NR_ISOLATED_ANON) == 0);
	mm_verify(global_node_page_state(NR_ISOLATED_FILE) == 0);
}

#endif
