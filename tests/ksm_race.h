/* SPDX-License-Identifier: MIT */
/*
 * ksm_race.h - threads change pages of few contents while a scanner makes equal
 * ones one, takes all apart at times, and memory is compacted, in any world.
 * The includer defines KMR_LOAD(to, va, len) and KMR_STORE(va, from, len),
 * which give 0 or the signal.
 *
 * Each thread has pages of its own, in a space that it shares with others, and
 * knows what stands in each. Contents are a word in the middle of zeroes, so
 * that a store makes another page of it, which is equal to many. A page that
 * was merged with one that is not equal any more is found at its next look.
 */
#ifndef TESTS_KSM_RACE_H
#define TESTS_KSM_RACE_H

#include <mmkit/errno.h>
#include <mmkit/ksm.h>
#include <mmkit/mm.h>
#include <mmkit/mman.h>
#include <mmkit/port.h>

#include "compact/compact.h"
#include "merge/ksm.h"
#include "mover.h"
#include "space/space.h"
#include "task_use.h"

#define KMR_THREADS  4u
#define KMR_SPACES   3u
#define KMR_PAGES    8u
#define KMR_CONTENTS 3u /* and zeroes */
#define KMR_BASE     0x40000000UL
#define KMR_STEP     0x400000UL

struct ksm_race {
	struct mm_struct *mm[KMR_SPACES];
	u64 seed, iters;
	u64 next; /* (A) numbers threads */
	u32 left; /* (A) threads at work */
	bool compaction;
	u64 checks, shared, apart, moved; /* (A) */
};

struct kmr_thread {
	struct ksm_race *r;
	struct mm_struct *mm;
	uva_t base;
	struct prng rnd;
	u64 has[KMR_PAGES];
};

static inline uva_t kmr_word(const struct kmr_thread *t, u64 page)
{
	return t->base + (page << PAGE_SHIFT) + PAGE_SIZE / 2;
}

static inline void kmr_store(struct kmr_thread *t, u64 page, u64 v)
{
	mm_verify(KMR_STORE(kmr_word(t, page), &v, sizeof(v)) == 0);
	t->has[page] = v;
}

static inline void kmr_expect(struct kmr_thread *t, u64 page)
{
	u64 seen = ~0UL;

	mm_verify(KMR_LOAD(&seen, kmr_word(t, page), sizeof(seen)) == 0);
	mm_verify(seen == t->has[page]);
	__atomic_fetch_add(&t->r->checks, 1, __ATOMIC_RELAXED);
}

static inline void kmr_enter(struct kmr_thread *t, struct mm_struct *mm)
{
	task_use(mm);
	t->mm = mm;
}

/* A child changes a page; its parent has what it had. */
static inline void kmr_fork(struct kmr_thread *t)
{
	u64 page = prng_below(&t->rnd, KMR_PAGES), had = t->has[page];
	struct mm_struct *mm = t->mm, *child;

	if (mm_fork(mm, &child))
		return;
	mm_get(mm);
	kmr_enter(t, child);
	kmr_expect(t, page);
	kmr_store(t, page, 1 + had % KMR_CONTENTS);
	port_park(1000);
	for (u64 i = 0; i < KMR_PAGES; i++)
		kmr_expect(t, i);
	kmr_enter(t, mm);
	mm_put(mm);
	mm_put(child);
	t->has[page] = had;
	kmr_expect(t, page);
}

/* Memory may be lacking for copies: then it stays as it is. */
static inline void kmr_advise(struct kmr_thread *t, int advice)
{
	int err = do_madvise(t->mm, t->base, (u64)KMR_PAGES << PAGE_SHIFT,
			     advice);

	mm_verify(!err || err == -EAGAIN || err == -ENOMEM);
}

static inline void kmr_space_op(struct kmr_thread *t)
{
	switch (prng_below(&t->rnd, 6)) {
	case 0:
		kmr_advise(t, MADV_UNMERGEABLE);
		break;
	case 1:
		kmr_advise(t, MADV_DONTNEED);
		for (u64 i = 0; i < KMR_PAGES; i++)
			t->has[i] = 0;
		break;
	case 2:
		kmr_advise(t, MADV_PAGEOUT);
		break;
	case 3:
		kmr_fork(t);
		break;
	default:
		break;
	}
	kmr_advise(t, MADV_MERGEABLE);
}

/* A thread; ARG is the race. */
static inline void kmr_thread(void *arg)
{
	struct kmr_thread t = {.r = arg};
	u64 id = __atomic_fetch_add(&t.r->next, 1, __ATOMIC_RELAXED);

	kmr_enter(&t, t.r->mm[id % KMR_SPACES]);
	prng_seed(&t.rnd, t.r->seed * 1000 + id);
	t.base = KMR_BASE + id * KMR_STEP;
	mm_verify(do_mmap(t.mm, t.base, (u64)KMR_PAGES << PAGE_SHIFT,
			  PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED) ==
		  (s64)t.base);
	kmr_advise(&t, MADV_MERGEABLE);
	for (u64 i = 0; i < t.r->iters; i++) {
		u64 what = prng_below(&t.rnd, 16);
		u64 page = prng_below(&t.rnd, KMR_PAGES);

		if (what < 5)
			kmr_store(&t, page,
				  1 + prng_below(&t.rnd, KMR_CONTENTS));
		else if (what < 10)
			kmr_expect(&t, page);
		else if (what < 15)
			port_park(1000);
		else
			kmr_space_op(&t);
	}
	for (u64 page = 0; page < KMR_PAGES; page++)
		kmr_expect(&t, page);
	kmr_enter(&t, NULL);
	port_current()->flags |= PF_KTHREAD;
	__atomic_fetch_sub(&t.r->left, 1, __ATOMIC_RELEASE);
}

/* Looks at pages all the time, takes all apart at times; ARG is the race. */
static inline void kmr_scanner(void *arg)
{
	struct ksm_race *r = arg;
	struct prng rnd;

	prng_seed(&rnd, r->seed + 99);
	while (__atomic_load_n(&r->left, __ATOMIC_ACQUIRE)) {
		u64 what = prng_below(&rnd, 64), apart;

		(void)mm_ksm_scan((u32)prng_range(&rnd, 1, 40));
		apart = READ_ONCE(merge_sys.pages_sharing);
		__atomic_fetch_add(&r->shared, apart, __ATOMIC_RELAXED);
		if (what == 0 && !mm_ksm_set("run", "2") &&
		    !mm_ksm_set("run", "0"))
			__atomic_fetch_add(&r->apart, apart, __ATOMIC_RELAXED);
		if (what == 1)
			mm_verify(!mm_ksm_set("use_zero_pages",
					      prng_below(&rnd, 2) ? "1" : "0"));
		port_park(1000);
	}
	port_current()->flags |= PF_KTHREAD;
}

/* Gives what is in use other frames; ARG is the race. */
static inline void kmr_mover(void *arg)
{
	struct ksm_race *r = arg;
	struct mover m = {.refuse = 5};

	prng_seed(&m.rnd, r->seed + 7);
	while (__atomic_load_n(&r->left, __ATOMIC_ACQUIRE)) {
		u64 moved = sum_vm_event(PGMIGRATE_SUCCESS);

		if (r->compaction && prng_below(&m.rnd, 2))
			compact_node(NODE_DATA(0));
		else
			mover_step(&m, 256);
		moved = sum_vm_event(PGMIGRATE_SUCCESS) - moved;
		__atomic_fetch_add(&r->moved, moved, __ATOMIC_RELAXED);
		port_park(1000);
	}
	port_current()->flags |= PF_KTHREAD;
}

static inline void kmr_begin(struct ksm_race *r)
{
	struct mm_layout l;

	mm_default_layout(&l);
	r->left = KMR_THREADS;
	mm_verify(!mm_ksm_set("smart_scan", "0"));
	for (u32 i = 0; i < KMR_SPACES; i++)
		mm_verify(!mm_create(&l, &r->mm[i]));
}

static inline void kmr_end(struct ksm_race *r)
{
	ksm_check();
	for (u32 i = 0; i < KMR_SPACES; i++) {
		mm_check(r->mm[i]);
		mm_put(r->mm[i]);
	}
	mm_verify(!mm_ksm_set("run", "2") && !mm_ksm_set("run", "0"));
	ksm_check();
	mm_verify(!merge_sys.rmap_items && !merge_sys.pages_shared);
	lru_add_drain_all();
	mm_verify(global_node_page_state(NR_ISOLATED_ANON) == 0);
}

#endif
