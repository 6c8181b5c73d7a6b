/* SPDX-License-Identifier: MIT */
/*
 * model_faults.h - two threads that fault in one space while a third changes
 * its mappings, round after round. One source for the sim and the host world;
 * the including test defines before:
 *
 *   FR_WRITE(va, from, len), FR_READ(to, va, len)   0 or the signal
 *   FR_CHECK(cond)                                  fails the program
 *   struct port_thread *fr_start(void (*fn)(void *), void *arg, int cpu)
 *
 * Each thread owns one word in each page and writes rising numbers there, so
 * everybody knows what may be found. fr.phase goes round by four: 0 a change is
 * coming, 1 it is in force, 2 it is being undone, 3 all is as it was (mremap: 0
 * in the first place, 1 moving, 2 in the other, 3 moving back). An access that
 * begins and ends in one phase must end as that phase says.
 */
#ifndef TESTS_MODEL_FAULTS_H
#define TESTS_MODEL_FAULTS_H

#include <string.h>

#include <mmkit/errno.h>
#include <mmkit/mm.h>
#include <mmkit/mman.h>
#include <mmkit/port.h>

#include "base/prng.h"
#include "space/space.h"

#define FR_FAULTERS 2
#define FR_PAGES    6u
#define FR_AT	    0x20000000UL
#define FR_OTHER    0x40000000UL /* where mremap moves to: another table */
#define FR_RW	    (PROT_READ | PROT_WRITE)
#define FR_ANON	    (MAP_PRIVATE | MAP_ANONYMOUS)

enum fr_kind {
	FR_MUNMAP,
	FR_MPROTECT,
	FR_MREMAP,
	FR_FORK,
	FR_EXIT,
	FR_PAGEOUT,
	FR_DONTNEED,
	FR_STACK,
	FR_NEIGHBOURS,
	FR_NR_KINDS
};

MM_UNUSED static const char *const fr_names[FR_NR_KINDS] = {
	"munmap",  "mprotect", "mremap", "fork",      "exit",
	"pageout", "dontneed", "stack",	 "neighbours"};

static struct {
	enum fr_kind kind;
	struct mm_struct *mm;
	u64 seed;
	u32 phase, running;
	u32 steps, changes; /* of each thread, of the changer */
	/* Values of each word that its owner has written for sure, and that
	 * it may have written. */
	u64 last[FR_FAULTERS][FR_PAGES], next[FR_FAULTERS][FR_PAGES];
	u64 accesses, signals;
} fr;

static uva_t fr_base(u32 phase)
{
	return fr.kind == FR_MREMAP && (phase & 2) ? FR_OTHER : FR_AT;
}

static u32 fr_phase(void)
{
	return __atomic_load_n(&fr.phase, __ATOMIC_SEQ_CST);
}

static void fr_next_phase(void)
{
	(void)__atomic_add_fetch(&fr.phase, 1, __ATOMIC_SEQ_CST);
}

/* May an access that ran within PHASE alone fail? Must it? */
static void fr_judge(int sig, bool write, u32 phase, u32 after)
{
	u32 in = phase == after ? phase % 4 : 4;

	(void)__atomic_add_fetch(&fr.accesses, 1, __ATOMIC_RELAXED);
	if (sig)
		(void)__atomic_add_fetch(&fr.signals, 1, __ATOMIC_RELAXED);
	FR_CHECK(sig == 0 || sig == MM_SIGSEGV);
	switch (fr.kind) {
	case FR_MUNMAP:
		FR_CHECK(!(in == 1 && !sig));
		FR_CHECK(!(in == 3 && sig));
		break;
	case FR_MPROTECT:
		FR_CHECK(write || !sig);
		FR_CHECK(!(in == 1 && write && !sig));
		FR_CHECK(!(in == 3 && sig));
		break;
	case FR_MREMAP:
		FR_CHECK(!(in % 2 == 0 && in < 4 && sig));
		break;
	default:
		FR_CHECK(!sig);
	}
}

/* Is what was read what the owner of the word last wrote? */
static void fr_compare(u32 id, u32 page, u64 v)
{
	u64 *last = &fr.last[id][page];
	bool may_vanish = fr.kind == FR_MUNMAP || fr.kind == FR_DONTNEED;

	FR_CHECK(v == *last || (may_vanish && v == 0));
	__atomic_store_n(last, v, __ATOMIC_RELEASE);
}

static void fr_step(u32 id, u32 page, u64 next, bool write)
{
	u32 phase = fr_phase();
	uva_t va = fr_base(phase) + ((u64)page << PAGE_SHIFT) + id * 8;
	u64 v = next;
	int sig;

	if (write) {
		__atomic_store_n(&fr.next[id][page], next, __ATOMIC_RELEASE);
		sig = FR_WRITE(va, &v, sizeof(v));
	} else {
		sig = FR_READ(&v, va, sizeof(v));
	}
	fr_judge(sig, write, phase, fr_phase());
	if (sig)
		return;
	if (write)
		__atomic_store_n(&fr.last[id][page], next, __ATOMIC_RELEASE);
	else
		fr_compare(id, page, v);
}

static void fr_faulter(void *arg)
{
	u32 id = (u32)(uintptr_t)arg;
	struct mm_task *task = port_current();
	struct prng r;

	prng_seed(&r, fr.seed * FR_FAULTERS + id);
	mm_task_register(task, "faulter");
	mm_task_attach(task, fr.mm);
	if (fr.kind == FR_EXIT)
		mm_put(fr.mm);
	for (u32 i = 0; i < fr.steps; i++)
		fr_step(id, (u32)prng_below(&r, FR_PAGES),
			((u64)i + 1) * FR_FAULTERS + id, prng_one_in(&r, 2));
	__atomic_fetch_sub(&fr.running, 1, __ATOMIC_SEQ_CST);
	mm_task_exit(task);
	mm_task_unregister(task);
}

/* ---- what changes
 * -------------------------------------------------------------- */

static void fr_munmap(struct prng *r)
{
	u64 len = FR_PAGES << PAGE_SHIFT;

	(void)r;
	FR_CHECK(!do_munmap(fr.mm, FR_AT, len));
	fr_next_phase();
	port_sched_point();
	fr_next_phase();
	FR_CHECK(do_mmap(fr.mm, FR_AT, len, FR_RW, FR_ANON | MAP_FIXED) ==
		 FR_AT);
	fr_next_phase();
	port_sched_point();
	fr_next_phase();
}

static void fr_mprotect(struct prng *r)
{
	u64 len = FR_PAGES << PAGE_SHIFT;

	(void)r;
	FR_CHECK(!do_mprotect(fr.mm, FR_AT, len, PROT_READ));
	fr_next_phase();
	port_sched_point();
	fr_next_phase();
	FR_CHECK(!do_mprotect(fr.mm, FR_AT, len, FR_RW));
	fr_next_phase();
	port_sched_point();
	fr_next_phase();
}

static void fr_mremap(struct prng *r)
{
	u64 len = FR_PAGES << PAGE_SHIFT;
	u32 phase = fr_phase();
	uva_t from = fr_base(phase), to = fr_base(phase + 2);

	(void)r;
	fr_next_phase();
	FR_CHECK(do_mremap(fr.mm, from, len, len, MREMAP_MAYMOVE | MREMAP_FIXED,
			   to) == (s64)to);
	fr_next_phase();
}

struct fr_child {
	struct mm_struct *mm;
	u64 low[FR_FAULTERS][FR_PAGES], high[FR_FAULTERS][FR_PAGES];
};

/* In the child: each word is one that its owner wrote around the fork. */
static void fr_child(void *arg)
{
	struct mm_task *task = port_current();
	struct fr_child *c = arg;

	mm_task_register(task, "child");
	mm_task_attach(task, c->mm);
	mm_put(c->mm);
	for (u32 twice = 0; twice < 2; twice++)
		for (u32 id = 0; id < FR_FAULTERS; id++)
			for (u32 p = 0; p < FR_PAGES; p++) {
				uva_t va = FR_AT + ((u64)p << PAGE_SHIFT);
				u64 v;

				FR_CHECK(!FR_READ(&v, va + id * 8, sizeof(v)));
				FR_CHECK(v >= c->low[id][p] &&
					 v <= c->high[id][p]);
				/* What was read once may not move. */
				c->low[id][p] = c->high[id][p] = v;
			}
	mm_task_exit(task);
	mm_task_unregister(task);
}

static void fr_fork(struct prng *r)
{
	struct port_thread *t;
	struct fr_child c;

	(void)r;
	for (u32 id = 0; id < FR_FAULTERS; id++)
		for (u32 p = 0; p < FR_PAGES; p++)
			c.low[id][p] = __atomic_load_n(&fr.last[id][p],
						       __ATOMIC_ACQUIRE);
	FR_CHECK(!mm_fork(fr.mm, &c.mm));
	for (u32 id = 0; id < FR_FAULTERS; id++)
		for (u32 p = 0; p < FR_PAGES; p++)
			c.high[id][p] = __atomic_load_n(&fr.next[id][p],
							__ATOMIC_ACQUIRE);
	t = fr_start(fr_child, &c, 2);
	port_thread_join(t);
}

static void fr_advise(int advice)
{
	u64 len = FR_PAGES << PAGE_SHIFT;
	int err = do_madvise(fr.mm, FR_AT, len, advice);

	FR_CHECK(err == 0);
}

/* Mappings beside the one that is used: joined to it, split off, unmapped. */
static void fr_neighbours(struct prng *r)
{
	uva_t below = FR_AT - 2 * PAGE_SIZE;
	uva_t above = FR_AT + (FR_PAGES << PAGE_SHIFT);
	uva_t at = prng_one_in(r, 2) ? below : above;
	uva_t mid = FR_AT + (prng_below(r, FR_PAGES) << PAGE_SHIFT);

	FR_CHECK(do_mmap(fr.mm, at, 2 * PAGE_SIZE, FR_RW,
			 FR_ANON | MAP_FIXED) == (s64)at);
	FR_CHECK(!do_mprotect(fr.mm, mid, PAGE_SIZE, FR_RW | PROT_EXEC));
	FR_CHECK(!do_madvise(fr.mm, mid, PAGE_SIZE, MADV_RANDOM));
	FR_CHECK(!do_munmap(fr.mm, at, 2 * PAGE_SIZE));
	FR_CHECK(!do_madvise(fr.mm, mid, PAGE_SIZE, MADV_NORMAL));
	FR_CHECK(!do_mprotect(fr.mm, mid, PAGE_SIZE, FR_RW));
}

static void fr_change(struct prng *r)
{
	switch (fr.kind) {
	case FR_MUNMAP:
		fr_munmap(r);
		break;
	case FR_MPROTECT:
		fr_mprotect(r);
		break;
	case FR_MREMAP:
		fr_mremap(r);
		break;
	case FR_FORK:
		fr_fork(r);
		break;
	case FR_PAGEOUT:
		fr_advise(MADV_PAGEOUT);
		break;
	case FR_DONTNEED:
		fr_advise(MADV_DONTNEED);
		break;
	case FR_NEIGHBOURS:
		fr_neighbours(r);
		break;
	default:
		break;
	}
}

/* ---- a round
 * ------------------------------------------------------------------- */

/* What everybody must find when nothing changes any more. */
static void fr_final(void *arg)
{
	struct mm_task *task = port_current();
	uva_t base = fr_base(fr_phase());

	(void)arg;
	mm_task_register(task, "final");
	mm_task_attach(task, fr.mm);
	for (u32 id = 0; id < FR_FAULTERS; id++)
		for (u32 p = 0; p < FR_PAGES; p++) {
			u64 v;

			FR_CHECK(!FR_READ(
				&v, base + ((u64)p << PAGE_SHIFT) + id * 8,
				sizeof(v)));
			fr_compare(id, p, v);
		}
	mm_task_exit(task);
	mm_task_unregister(task);
}

static void fr_map(struct prng *r)
{
	u64 len = FR_PAGES << PAGE_SHIFT;
	struct mm_layout l;
	uva_t at = FR_AT;
	int flags = FR_ANON | MAP_FIXED;

	mm_default_layout(&l);
	FR_CHECK(!mm_create(&l, &fr.mm));
	if (fr.kind == FR_STACK) {
		/* The top page only; the rest comes by touching it. */
		at += len - PAGE_SIZE;
		len = PAGE_SIZE;
		flags |= MAP_GROWSDOWN;
	}
	FR_CHECK(do_mmap(fr.mm, at, len, FR_RW, flags) == (s64)at);
	/* Half of the rounds start with the reverse map in place. */
	if (prng_one_in(r, 2))
		FR_CHECK(
			!do_madvise(fr.mm, at, PAGE_SIZE, MADV_POPULATE_WRITE));
}

static void fr_round(enum fr_kind kind, u64 seed, u32 steps, u32 changes)
{
	struct port_thread *t[FR_FAULTERS], *last;
	struct prng r;

	memset(fr.last, 0, sizeof(fr.last));
	memset(fr.next, 0, sizeof(fr.next));
	fr.kind = kind;
	fr.seed = seed;
	fr.steps = steps;
	fr.phase = 0;
	fr.running = FR_FAULTERS;
	prng_seed(&r, seed);
	fr_map(&r);
	if (kind == FR_EXIT)
		for (u32 i = 1; i < FR_FAULTERS; i++)
			mm_get(fr.mm);
	for (u32 i = 0; i < FR_FAULTERS; i++)
		t[i] = fr_start(fr_faulter, (void *)(uintptr_t)i, (int)i);
	for (u32 i = 0;
	     i < changes && __atomic_load_n(&fr.running, __ATOMIC_SEQ_CST);
	     i++) {
		fr_change(&r);
		port_sched_point();
	}
	for (u32 i = 0; i < FR_FAULTERS; i++)
		port_thread_join(t[i]);
	if (kind == FR_EXIT)
		return;
	mm_check(fr.mm);
	last = fr_start(fr_final, NULL, 0);
	port_thread_join(last);
	mm_put(fr.mm);
}

#endif
