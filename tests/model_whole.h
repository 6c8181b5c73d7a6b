/* SPDX-License-Identifier: MIT */
/*
 * model_whole.h - processes that do random things to their memory, each beside
 * a byte-exact model of what it must find there. One source for the sim and
 * the host world; the including test defines before:
 *
 *   WL_WRITE(va, from, len), WL_READ(to, va, len)   0 or the signal
 *   WL_CHECK(cond)                                  fails the program
 *   WL_LOCK(), WL_UNLOCK()                          around shared counters
 *   int wl_start(struct wl_proc *p)                 thread running wl_life(p)
 *
 * A process lives in a window of WL_PAGES pages; its heap begins at the
 * window's start, mmap searches downwards from its end.
 */
#ifndef TESTS_MODEL_WHOLE_H
#define TESTS_MODEL_WHOLE_H

#include <stdlib.h>
#include <string.h>

#include <mmkit/errno.h>
#include <mmkit/mm.h>
#include <mmkit/mman.h>
#include <mmkit/port.h>
#include <mmkit/prctl.h>

#include "base/prng.h"

#define WL_PAGES 2048u
#define WL_BASE	 0x10000000UL
#define WL_END	 (WL_BASE + ((u64)WL_PAGES << PAGE_SHIFT))
#define WL_ANON	 (MAP_PRIVATE | MAP_ANONYMOUS)

/* Contents of one page; shared by models after a fork. NULL: zeroes. */
struct wl_bytes {
	u32 refs;
	u8 data[PAGE_SIZE];
};

struct wl_page {
	bool mapped, dontfork, wipe;
	u8 prot;
	struct wl_bytes *bytes;
};

struct wl_proc {
	struct wl_proc *next; /* in wl.started */
	struct port_thread *thread;
	struct mm_struct *mm; /* handed over to the thread */
	struct prng rng;
	u32 id, ops, brk; /* brk: heap pages */
	u32 fill;	  /* pages to write first */
	const char *doing;
	struct wl_page page[WL_PAGES];
	u8 buf[3 * PAGE_SIZE];
};

struct wl_state {
	u32 live, started_total, max_live, max_total, next_id;
	u64 checked_bytes, forks, execs, segvs;
	struct wl_proc *started;
};

static struct wl_state wl;

/* All memory may be merged, and much of it is equal. */
static bool wl_ksm;

#include "whole_groups.h"

/* What else happens to a program's memory at times, without changing it. */
static void (*wl_stir)(struct wl_proc *p, struct mm_struct *mm);

static void wl_life(struct wl_proc *p);
static int wl_start(struct wl_proc *p);

/* ---- model
 * ------------------------------------------------------------------- */

static void wl_bytes_put(struct wl_bytes *b)
{
	if (b && __atomic_sub_fetch(&b->refs, 1, __ATOMIC_ACQ_REL) == 0)
		free(b);
}

static void wl_clear(struct wl_page *pg)
{
	wl_bytes_put(pg->bytes);
	memset(pg, 0, sizeof(*pg));
}

/* PG's bytes, ours alone, to be changed. */
static u8 *wl_own(struct wl_page *pg)
{
	struct wl_bytes *b = pg->bytes;

	if (b && __atomic_load_n(&b->refs, __ATOMIC_ACQUIRE) == 1)
		return b->data;
	b = malloc(sizeof(*b));
	WL_CHECK(b);
	b->refs = 1;
	if (pg->bytes)
		memcpy(b->data, pg->bytes->data, PAGE_SIZE);
	else
		memset(b->data, 0, PAGE_SIZE);
	wl_bytes_put(pg->bytes);
	pg->bytes = b;
	return b->data;
}

static uva_t wl_va(u32 page)
{
	return WL_BASE + ((u64)page << PAGE_SHIFT);
}

static bool wl_in_window(uva_t at, u64 pages)
{
	return at >= WL_BASE && at + (pages << PAGE_SHIFT) <= WL_END;
}

static u32 wl_index(uva_t at)
{
	return (u32)((at - WL_BASE) >> PAGE_SHIFT);
}

/* A random range of up to MAX pages. */
static u32 wl_range(struct wl_proc *p, u32 max, u32 *len)
{
	u32 at = (u32)prng_below(&p->rng, WL_PAGES);

	*len = (u32)prng_range(&p->rng, 1, max);
	if (*len > WL_PAGES - at)
		*len = WL_PAGES - at;
	return at;
}

/* Mostly a page that is mapped. */
static u32 wl_pick(struct wl_proc *p)
{
	u32 at = (u32)prng_below(&p->rng, WL_PAGES);

	for (u32 i = 0; i < 32 && !p->page[at].mapped; i++)
		at = (u32)prng_below(&p->rng, WL_PAGES);
	return at;
}

static int wl_prot(struct wl_proc *p)
{
	static const int prots[] = {PROT_NONE,
				    PROT_READ,
				    PROT_READ | PROT_WRITE,
				    PROT_READ | PROT_WRITE,
				    PROT_READ | PROT_WRITE,
				    PROT_READ | PROT_WRITE | PROT_EXEC};

	return prots[prng_below(&p->rng, 6)];
}

/* ---- comparing
 * ------------------------------------------------------------------ */

struct wl_maps {
	struct wl_proc *p;
	uva_t at; /* compared so far */
};

static void wl_compare_map(const struct mm_map_info *m, void *arg)
{
	struct wl_maps *c = arg;

	WL_CHECK(m->start >= c->at && wl_in_window(m->start, 1));
	for (; c->at < m->start; c->at += PAGE_SIZE)
		WL_CHECK(!c->p->page[wl_index(c->at)].mapped);
	WL_CHECK(m->end <= WL_END);
	for (; c->at < m->end; c->at += PAGE_SIZE) {
		const struct wl_page *pg = &c->p->page[wl_index(c->at)];

		WL_CHECK(pg->mapped);
		WL_CHECK(pg->prot == m->prot);
	}
}

static void wl_compare_maps(struct wl_proc *p, struct mm_struct *mm)
{
	struct wl_maps c = {p, WL_BASE};

	mm_for_each_map(mm, wl_compare_map, &c);
	for (; c.at < WL_END; c.at += PAGE_SIZE)
		WL_CHECK(!p->page[wl_index(c.at)].mapped);
}

/* Read [VA, VA + LEN) and compare; the model says where a signal comes. */
static void wl_read(struct wl_proc *p, uva_t va, u64 len)
{
	u64 done = 0;
	int sig;

	memset(p->buf, 0xa5, len);
	sig = WL_READ(p->buf, va, len);
	while (done < len) {
		const struct wl_page *pg = &p->page[wl_index(va + done)];
		u64 off = (va + done) & ~PAGE_MASK;
		u64 n = PAGE_SIZE - off;

		if (n > len - done)
			n = len - done;
		if (!pg->mapped || !pg->prot) {
			WL_CHECK(sig == MM_SIGSEGV);
			__atomic_fetch_add(&wl.segvs, 1, __ATOMIC_RELAXED);
			return;
		}
		if (pg->bytes)
			WL_CHECK(!memcmp(p->buf + done, pg->bytes->data + off,
					 n));
		else
			for (u64 i = 0; i < n; i++)
				WL_CHECK(p->buf[done + i] == 0);
		done += n;
	}
	WL_CHECK(sig == 0);
	__atomic_fetch_add(&wl.checked_bytes, len, __ATOMIC_RELAXED);
}

static void wl_write(struct wl_proc *p, uva_t va, u64 len)
{
	u64 done = 0;
	int sig;

	for (u64 i = 0; i < len; i++)
		p->buf[i] = (u8)(prng_u32(&p->rng) >> 7);
	if (wl_ksm && !prng_one_in(&p->rng, 4))
		memset(p->buf, (int)prng_below(&p->rng, 3), len);
	sig = WL_WRITE(va, p->buf, len);
	while (done < len) {
		struct wl_page *pg = &p->page[wl_index(va + done)];
		u64 off = (va + done) & ~PAGE_MASK;
		u64 n = PAGE_SIZE - off;

		if (n > len - done)
			n = len - done;
		if (!pg->mapped || !(pg->prot & PROT_WRITE)) {
			WL_CHECK(sig == MM_SIGSEGV);
			return;
		}
		memcpy(wl_own(pg) + off, p->buf + done, n);
		done += n;
	}
	WL_CHECK(sig == 0);
}

static void wl_read_all(struct wl_proc *p)
{
	for (u32 i = 0; i < WL_PAGES; i++)
		if (p->page[i].mapped && p->page[i].prot)
			wl_read(p, wl_va(i), PAGE_SIZE);
}

/* ---- operations
 * ------------------------------------------------------------------- */

static void wl_model_unmap(struct wl_proc *p, u32 at, u32 len)
{
	for (u32 i = at; i < at + len; i++)
		wl_clear(&p->page[i]);
}

static void wl_model_map(struct wl_proc *p, u32 at, u32 len, int prot)
{
	wl_model_unmap(p, at, len);
	for (u32 i = at; i < at + len; i++) {
		p->page[i].mapped = true;
		p->page[i].prot = (u8)prot;
	}
}

static void wl_op_mmap(struct wl_proc *p, struct mm_struct *mm)
{
	int prot = wl_prot(p);
	u32 len, at = wl_range(p, 256, &len);
	bool fixed = prng_one_in(&p->rng, 3);
	s64 got = do_mmap(mm, fixed ? wl_va(at) : 0, (u64)len << PAGE_SHIFT,
			  prot, WL_ANON | (fixed ? MAP_FIXED : 0));

	WL_CHECK(got > 0);
	if (fixed)
		WL_CHECK((uva_t)got == wl_va(at));
	if (!wl_in_window((uva_t)got, len)) {
		/* The window is full: not our concern. */
		WL_CHECK(!do_munmap(mm, (uva_t)got, (u64)len << PAGE_SHIFT));
		return;
	}
	at = wl_index((uva_t)got);
	for (u32 i = at; i < at + len && !fixed; i++)
		WL_CHECK(!p->page[i].mapped);
	wl_model_map(p, at, len, prot);
}

static void wl_op_munmap(struct wl_proc *p, struct mm_struct *mm)
{
	u32 len, at = wl_range(p, 64, &len);

	WL_CHECK(!do_munmap(mm, wl_va(at), (u64)len << PAGE_SHIFT));
	wl_model_unmap(p, at, len);
}

static bool wl_all_mapped(const struct wl_proc *p, u32 at, u32 len)
{
	for (u32 i = at; i < at + len; i++)
		if (!p->page[i].mapped)
			return false;
	return true;
}

static void wl_op_mprotect(struct wl_proc *p, struct mm_struct *mm)
{
	u32 len, at = wl_range(p, 48, &len);
	int prot = wl_prot(p);
	int err = do_mprotect(mm, wl_va(at), (u64)len << PAGE_SHIFT, prot);

	if (!wl_all_mapped(p, at, len)) {
		WL_CHECK(err == -ENOMEM);
		return;
	}
	WL_CHECK(err == 0);
	for (u32 i = at; i < at + len; i++)
		p->page[i].prot = (u8)prot;
}

static void wl_op_madvise(struct wl_proc *p, struct mm_struct *mm)
{
	static const int advice[] = {MADV_DONTNEED,   MADV_DONTNEED,
				     MADV_DONTFORK,   MADV_DOFORK,
				     MADV_WIPEONFORK, MADV_KEEPONFORK};
	int a = advice[prng_below(&p->rng, 6)];
	u32 len, at = wl_range(p, 40, &len);
	int err = do_madvise(mm, wl_va(at), (u64)len << PAGE_SHIFT, a);

	WL_CHECK(err == (wl_all_mapped(p, at, len) ? 0 : -ENOMEM));
	for (u32 i = at; i < at + len; i++) {
		struct wl_page *pg = &p->page[i];

		if (!pg->mapped)
			continue;
		if (a == MADV_DONTNEED) {
			wl_bytes_put(pg->bytes);
			pg->bytes = NULL;
		}
		pg->dontfork = (pg->dontfork || a == MADV_DONTFORK) &&
			       a != MADV_DOFORK;
		pg->wipe = (pg->wipe || a == MADV_WIPEONFORK) &&
			   a != MADV_KEEPONFORK;
	}
}

static void wl_op_brk(struct wl_proc *p, struct mm_struct *mm)
{
	u32 want = (u32)prng_below(&p->rng, 160), old = p->brk;
	uva_t got = do_brk(mm, wl_va(want));

	if (want > old) {
		bool room = true;

		/* A page behind it stays free. */
		for (u32 i = old; i <= want; i++)
			room = room && !p->page[i].mapped;
		WL_CHECK(got == wl_va(room ? want : old));
		if (!room)
			return;
		wl_model_map(p, old, want - old, PROT_READ | PROT_WRITE);
	} else {
		bool any = want == old;

		for (u32 i = want; i < old; i++)
			any = any || p->page[i].mapped;
		/* None of it is there any more: refused. */
		WL_CHECK(got == wl_va(any ? want : old));
		if (!any)
			return;
		wl_model_unmap(p, want, old - want);
	}
	p->brk = want;
}

/* May [AT, AT + LEN) be one mapping? */
static bool wl_uniform(const struct wl_proc *p, u32 at, u32 len)
{
	const struct wl_page *a = &p->page[at];

	for (u32 i = at; i < at + len; i++) {
		const struct wl_page *b = &p->page[i];

		if (!b->mapped || b->prot != a->prot || b->wipe != a->wipe ||
		    b->dontfork != a->dontfork)
			return false;
	}
	return true;
}

/* Pages [AT, +OLD) now stand at TO and are NEW pages long. */
static void wl_model_move(struct wl_proc *p, u32 at, u32 old, u32 new, u32 to)
{
	struct wl_page kind = p->page[at], *moved;
	u32 n = old < new ? old : new;

	kind.bytes = NULL;
	moved = malloc(n * sizeof(*moved));
	WL_CHECK(moved);
	memcpy(moved, &p->page[at], n * sizeof(*moved));
	memset(&p->page[at], 0, n * sizeof(*moved));
	wl_model_unmap(p, at, old);
	wl_model_unmap(p, to, new);
	memcpy(&p->page[to], moved, n * sizeof(*moved));
	for (u32 i = to + n; i < to + new; i++)
		p->page[i] = kind;
	free(moved);
}

static void wl_op_mremap(struct wl_proc *p, struct mm_struct *mm)
{
	u32 at = wl_pick(p), old, new, to, limit = WL_PAGES - at;
	bool fixed = prng_one_in(&p->rng, 2);
	s64 got;

	for (old = 1; old < 40 && old < limit && wl_uniform(p, at, old + 1);)
		old++;
	old = (u32)prng_range(&p->rng, 1, old);
	new = (u32)prng_range(&p->rng, 1, 48);
	to = (u32)prng_below(&p->rng, WL_PAGES - new + 1);
	got = do_mremap(mm, wl_va(at), (u64)old << PAGE_SHIFT,
			(u64) new << PAGE_SHIFT,
			MREMAP_MAYMOVE | (fixed ? MREMAP_FIXED : 0), wl_va(to));
	if (fixed && at + old > to && to + new > at) {
		WL_CHECK(got == -EINVAL);
		return;
	}
	if (got < 0) {
		/* Equal neighbours need not be one mapping. */
		WL_CHECK(got == -EFAULT);
		WL_CHECK(old > 1 || !p->page[at].mapped);
		return;
	}
	WL_CHECK(wl_uniform(p, at, old));
	if (!wl_in_window((uva_t)got, new)) {
		WL_CHECK(!do_munmap(mm, (uva_t)got, (u64) new << PAGE_SHIFT));
		wl_model_unmap(p, at, old);
		return;
	}
	if (fixed)
		WL_CHECK((uva_t)got == wl_va(to));
	wl_model_move(p, at, old, new, wl_index((uva_t)got));
}

static void wl_op_access(struct wl_proc *p)
{
	u32 at = wl_pick(p);
	uva_t va = wl_va(at) + prng_below(&p->rng, PAGE_SIZE);
	u64 len = prng_range(&p->rng, 1, 2 * PAGE_SIZE);

	if (len > WL_END - va)
		len = WL_END - va;
	if (prng_one_in(&p->rng, 2))
		wl_write(p, va, len);
	else
		wl_read(p, va, len);
}

/* Many pages, a few bytes each: this is what makes memory short. */
static void wl_op_sweep(struct wl_proc *p)
{
	u32 len, at = wl_range(p, 300, &len);
	bool write = !prng_one_in(&p->rng, 3);

	for (u32 i = at; i < at + len; i++) {
		u32 off = wl_ksm ? 0x40 : 0xfc0;
		uva_t va = wl_va(i) + (prng_u32(&p->rng) & off);

		if (!p->page[i].mapped)
			continue;
		if (write)
			wl_write(p, va, 16);
		else
			wl_read(p, va, 16);
	}
}

/* ---- birth, life, end
 * ----------------------------------------------------------------- */

static struct wl_proc *wl_new(struct mm_struct *mm, u64 seed, u32 ops)
{
	struct wl_proc *p = calloc(1, sizeof(*p));

	WL_CHECK(p);
	p->mm = mm;
	p->ops = ops;
	prng_seed(&p->rng, seed);
	return p;
}

/* Start P's thread if there is room; else P and its space are gone. */
static bool wl_spawn(struct wl_proc *p)
{
	bool room;

	WL_LOCK();
	room = wl.live < wl.max_live && wl.started_total < wl.max_total;
	if (room) {
		wl.live++;
		wl.started_total++;
		p->id = ++wl.next_id;
	}
	WL_UNLOCK();
	if (room && wl_start(p) == 0)
		return true;
	mm_put(p->mm);
	wl_model_unmap(p, 0, WL_PAGES);
	free(p);
	if (room) {
		WL_LOCK();
		wl.live--;
		WL_UNLOCK();
	}
	return false;
}

static bool wl_room(void)
{
	bool room;

	WL_LOCK();
	room = wl.live < wl.max_live && wl.started_total < wl.max_total;
	WL_UNLOCK();
	return room;
}

static void wl_op_fork(struct wl_proc *p, struct mm_struct *mm)
{
	struct mm_struct *child;
	struct wl_proc *c;

	if (!wl_room())
		return;
	WL_CHECK(mm_fork(mm, &child) == 0);
	c = wl_new(child, prng_u64(&p->rng), p->ops / 2 + 1);
	c->brk = p->brk;
	for (u32 i = 0; i < WL_PAGES; i++) {
		const struct wl_page *pg = &p->page[i];

		if (!pg->mapped || pg->dontfork)
			continue;
		c->page[i] = *pg;
		if (pg->wipe)
			c->page[i].bytes = NULL;
		else if (pg->bytes)
			__atomic_fetch_add(&pg->bytes->refs, 1,
					   __ATOMIC_RELAXED);
	}
	wl_spawn(c);
	__atomic_fetch_add(&wl.forks, 1, __ATOMIC_RELAXED);
}

static struct mm_struct *wl_new_mm(void)
{
	struct mm_struct *mm = NULL;
	struct mm_layout l;

	mm_default_layout(&l);
	l.start_brk = WL_BASE;
	l.mmap_base = WL_END;
	WL_CHECK(mm_create(&l, &mm) == 0);
	if (wl_ksm)
		WL_CHECK(!mm_prctl_set_memory_merge(mm, true));
	return mm;
}

/* Enter MM, whose one reference becomes the task's. */
static void wl_enter(struct mm_struct *mm)
{
	port_current()->flags &= ~(u32)PF_EXITING;
	mm_task_attach(port_current(), mm);
	mm_put(mm);
}

static void wl_op_exec(struct wl_proc *p)
{
	mm_task_exec(wl_new_mm());
	wl_model_unmap(p, 0, WL_PAGES);
	p->brk = 0;
	__atomic_fetch_add(&wl.execs, 1, __ATOMIC_RELAXED);
}

static void wl_step(struct wl_proc *p)
{
	struct mm_struct *mm = port_current()->mm;
	u64 r = prng_below(&p->rng, 200);

	if (wl_stir && prng_one_in(&p->rng, 5)) {
		p->doing = "stir";
		wl_stir(p, mm);
	} else if (r < 24) {
		p->doing = "mmap";
		wl_op_mmap(p, mm);
	} else if (r < 32) {
		p->doing = "munmap";
		wl_op_munmap(p, mm);
	} else if (r < 44) {
		p->doing = "mprotect";
		wl_op_mprotect(p, mm);
	} else if (r < 52) {
		p->doing = "madvise";
		wl_op_madvise(p, mm);
	} else if (r < 58) {
		p->doing = "brk";
		wl_op_brk(p, mm);
	} else if (r < 66) {
		p->doing = "mremap";
		wl_op_mremap(p, mm);
	} else if (r < 130) {
		p->doing = "access";
		wl_op_access(p);
	} else if (r < 190) {
		p->doing = "sweep";
		wl_op_sweep(p);
	} else if (r < 197) {
		p->doing = "fork";
		wl_op_fork(p, mm);
	} else if (r < 198) {
		p->doing = "exec";
		wl_op_exec(p);
	} else {
		p->doing = "check";
		mm_check(mm);
		wg_move(&p->rng);
		if (wl_ksm && prng_one_in(&p->rng, 2)) {
			WL_CHECK(!mm_prctl_set_memory_merge(mm, false));
			WL_CHECK(!mm_prctl_set_memory_merge(mm, true));
		}
	}
}

/* What a program begins with: a large piece of memory, written. */
static void wl_fill(struct wl_proc *p, struct mm_struct *mm, u32 pages)
{
	uva_t va = wl_va(WL_PAGES - pages);
	s64 got = do_mmap(mm, va, (u64)pages << PAGE_SHIFT,
			  PROT_READ | PROT_WRITE, WL_ANON | MAP_FIXED);

	WL_CHECK((uva_t)got == va);
	wl_model_map(p, wl_index(va), pages, PROT_READ | PROT_WRITE);
	for (u32 i = 0; i < pages; i++)
		wl_write(p,
			 va + ((u64)i << PAGE_SHIFT) + i % (wl_ksm ? 2 : 4000),
			 20);
}

/* The body of a process's thread. */
static void wl_life(struct wl_proc *p)
{
	struct mm_task *task = port_current();

	mm_task_register(task, "whole");
	wg_move(&p->rng);
	wl_enter(p->mm);
	if (p->fill)
		wl_fill(p, task->mm, p->fill);
	for (u32 i = 0; i < p->ops; i++) {
		wl_step(p);
		if (i % 8 == 0)
			wl_compare_maps(p, task->mm);
	}
	p->doing = "end";
	wl_read_all(p);
	wl_compare_maps(p, task->mm);
	mm_check(task->mm);
	WL_CHECK(task->fatal_signal == 0);
	mm_task_exit(task);
	mm_task_unregister(task);
	wl_model_unmap(p, 0, WL_PAGES);
	WL_LOCK();
	wl.live--;
	WL_UNLOCK();
}

/* Start N processes and wait until they and all their children are gone. */
static void wl_run(u32 n, u32 ops, u32 fill, u32 max_live, u64 seed)
{
	memset(&wl, 0, sizeof(wl));
	wl.max_live = max_live;
	wl.max_total = 3 * max_live;
	for (u32 i = 0; i < n; i++) {
		struct wl_proc *p = wl_new(wl_new_mm(), seed * 1000 + i, ops);

		p->fill = fill;
		/* The first ones run already, and may have forked into
		 * the room that was left. */
		WL_CHECK(wl_spawn(p) || i > 0);
	}
	for (;;) {
		struct wl_proc *p;

		WL_LOCK();
		p = wl.started;
		if (p)
			wl.started = p->next;
		WL_UNLOCK();
		if (!p)
			break;
		port_thread_join(p->thread);
		free(p);
	}
	WL_CHECK(wl.live == 0);
}

/* ---- threads of one space
 * ------------------------------------------------------ */

#define SHARERS	    4u
#define SHARE_PAGES 600u

struct sharer {
	struct mm_struct *mm;
	struct port_thread *thread;
	u32 id;
	u64 seed;
};

static void sharer_write(uva_t at, u64 v)
{
	WL_CHECK(WL_WRITE(at, &v, sizeof(v)) == 0);
}

static u64 sharer_read(uva_t at)
{
	u64 v;

	WL_CHECK(WL_READ(&v, at, sizeof(v)) == 0);
	return v;
}

/* Own pages are every SHARERS-th; mappings around them come and go. */
MM_UNUSED static void sharer_thread(void *arg)
{
	struct sharer *s = arg;
	static u64 model[SHARERS][SHARE_PAGES];
	struct prng r;

	prng_seed(&r, s->seed * 100 + s->id);
	memset(model[s->id], 0, sizeof(model[s->id]));
	mm_task_register(port_current(), "sharer");
	mm_task_attach(port_current(), s->mm);
	for (u32 i = 0; i < 3000; i++) {
		u32 n = (u32)prng_below(&r, SHARE_PAGES / SHARERS) * SHARERS +
			s->id;
		uva_t at = WL_BASE + ((u64)n << PAGE_SHIFT);

		WL_CHECK(sharer_read(at) == model[s->id][n]);
		model[s->id][n] = prng_u64(&r);
		sharer_write(at, model[s->id][n]);
		if (i % 40 == 0) {
			s64 got = do_mmap(s->mm, 0, 8 * PAGE_SIZE,
					  PROT_READ | PROT_WRITE, WL_ANON);

			WL_CHECK(got > 0);
			sharer_write((uva_t)got, i);
			WL_CHECK(sharer_read((uva_t)got) == i);
			WL_CHECK(!do_munmap(s->mm, (uva_t)got, 8 * PAGE_SIZE));
		}
		if (i % 100 == 0) {
			WL_CHECK(!do_madvise(s->mm, at, PAGE_SIZE,
					     MADV_DONTNEED));
			model[s->id][n] = 0;
		}
		if (i % 150 == 0)
			WL_CHECK(!do_mprotect(s->mm, at, PAGE_SIZE,
					      i % 300 ? PROT_READ | PROT_WRITE
						      : PROT_READ | PROT_WRITE |
								PROT_EXEC));
		if (i % 700 == 0) {
			struct mm_struct *child;

			WL_CHECK(!mm_fork(s->mm, &child));
			mm_check(child);
			mm_put(child);
		}
	}
	mm_check(s->mm);
	for (u32 n = s->id; n < SHARE_PAGES; n += SHARERS)
		WL_CHECK(sharer_read(WL_BASE + ((u64)n << PAGE_SHIFT)) ==
			 model[s->id][n]);
	mm_task_exit(port_current());
	mm_task_unregister(port_current());
}

/* The space that they share, with one user. */
MM_UNUSED static struct mm_struct *sharers_mm(void)
{
	struct mm_struct *mm = wl_new_mm();

	WL_CHECK(do_mmap(mm, WL_BASE, (u64)SHARE_PAGES << PAGE_SHIFT,
			 PROT_READ | PROT_WRITE, WL_ANON | MAP_FIXED) > 0);
	return mm;
}

#endif
