/* SPDX-License-Identifier: MIT */
/*
 * uffd_race.h - touchers, a monitor and somebody who changes the space, in any
 * world. The includer defines UR_LOAD(to, va, len) and UR_STORE(va, from, len),
 * which give 0 or the signal.
 *
 * Each toucher owns a word of each page. The monitor fills a page with words
 * that tell page and owner, so a word is what its owner stored last or, where
 * nothing was stored since the page was filled, what it was filled with. The
 * first pages are never dropped: there a store must never be lost. The monitor
 * watches writes of these pages as well: from the moment that a page is
 * protected until he lets a write through no word of it may change.
 */
#ifndef TESTS_UFFD_RACE_H
#define TESTS_UFFD_RACE_H

#include <mmkit/errno.h>
#include <mmkit/mm.h>
#include <mmkit/mman.h>
#include <mmkit/shmem.h>
#include <mmkit/uaccess.h>
#include <mmkit/userfaultfd.h>

#include "base/prng.h"
#include "base/wait.h"
#include "space/space.h"
#include "task_use.h"

#define UR_TOUCHERS 3
#define UR_STABLE   6u
#define UR_PAGES    16u
#define UR_BASE	    0x50000000UL
#define UR_SCRATCH  0x51000000UL
#define UR_BUF	    0x52000000UL /* the monitor's: contents and arguments */

struct uffd_race {
	struct mm_struct *mm;
	struct file *fd;
	u64 seed, iters;
	bool shared; /* the region is a file's */
	u32 features;
	u64 next;    /* (A) numbers touchers */
	u64 running; /* (A) threads that touch or change */
	/* The monitor's. */
	struct prng rnd;
	bool filled[UR_PAGES], snapped[UR_STABLE];
	u64 snap[UR_STABLE][UR_TOUCHERS];
	u64 fills, watched, events, again; /* what happened */
};

struct ur_toucher {
	struct uffd_race *r;
	u64 id;
	struct prng rnd;
	u64 last[UR_PAGES];
};

static inline u64 ur_pattern(u64 page, u64 owner)
{
	return 0xabcd000000000000UL | page << 8 | owner;
}

static inline uva_t ur_word(u64 page, u64 owner)
{
	return UR_BASE + (page << PAGE_SHIFT) + owner * 1024;
}

/* ---- touching --------------------------------------------------------------
 */

static inline void ur_look(struct ur_toucher *t, u64 page)
{
	u64 v = 1;

	mm_verify(UR_LOAD(&v, ur_word(page, t->id), sizeof(v)) == 0);
	if (v == t->last[page])
		return;
	/* Nothing was stored, or what was stored was dropped. */
	mm_verify(page >= UR_STABLE || !t->last[page]);
	mm_verify(v == ur_pattern(page, t->id) ||
		  (page >= UR_STABLE && v == 0));
	t->last[page] = v;
}

static inline void ur_store(struct ur_toucher *t, u64 page)
{
	u64 v = prng_u64(&t->rnd) >> 8 | 1;

	mm_verify(UR_STORE(ur_word(page, t->id), &v, sizeof(v)) == 0);
	t->last[page] = v;
}

static inline void ur_enter(struct mm_struct *mm)
{
	task_use(mm);
	if (!mm)
		port_current()->flags |= PF_KTHREAD;
}

static inline void ur_touch_thread(void *arg)
{
	struct ur_toucher t = {.r = arg};
	struct uffd_race *r = arg;

	t.id = __atomic_fetch_add(&r->next, 1, __ATOMIC_RELAXED);
	prng_seed(&t.rnd, r->seed * 100 + t.id);
	ur_enter(r->mm);
	for (u64 i = 0; i < r->iters; i++) {
		u64 page = prng_below(&t.rnd, UR_PAGES);

		if (prng_below(&t.rnd, 2))
			ur_store(&t, page);
		else
			ur_look(&t, page);
	}
	for (u64 page = 0; page < UR_STABLE; page++)
		ur_look(&t, page);
	ur_enter(NULL);
	__atomic_fetch_sub(&r->running, 1, __ATOMIC_RELEASE);
}

/* ---- changing --------------------------------------------------------------
 */

static inline s64 ur_map(struct uffd_race *r, uva_t at, u64 pages)
{
	return do_mmap(r->mm, at, pages << PAGE_SHIFT, PROT_READ | PROT_WRITE,
		       MAP_FIXED | MAP_ANONYMOUS |
			       (r->shared ? MAP_SHARED : MAP_PRIVATE));
}

/* A registered mapping that comes, is moved and goes; nobody touches it. */
static inline void ur_scratch(struct uffd_race *r)
{
	struct uffdio_register reg = {{UR_SCRATCH, 4UL << PAGE_SHIFT},
				      UFFDIO_REGISTER_MODE_MISSING,
				      0};
	uva_t arg = UR_BUF + 3 * PAGE_SIZE;

	mm_verify(ur_map(r, UR_SCRATCH, 4) == UR_SCRATCH);
	mm_verify(!copy_to_user(r->mm, arg, &reg, sizeof(reg)));
	mm_verify(!userfaultfd_ioctl(r->fd, r->mm, UFFDIO_REGISTER, arg));
	mm_verify(do_mremap(r->mm, UR_SCRATCH, 4UL << PAGE_SHIFT,
			    4UL << PAGE_SHIFT, MREMAP_MAYMOVE | MREMAP_FIXED,
			    UR_SCRATCH + 0x100000) == UR_SCRATCH + 0x100000);
	mm_verify(!do_munmap(r->mm, UR_SCRATCH + 0x100000, 4UL << PAGE_SHIFT));
}

static inline void ur_fork(struct uffd_race *r)
{
	struct mm_struct *child = NULL;

	if (mm_fork(r->mm, &child))
		return;
	mm_check(child);
	mm_put(child);
}

static inline void ur_change(struct uffd_race *r, struct prng *rnd)
{
	uva_t soft = UR_BASE + (UR_STABLE << PAGE_SHIFT);
	u64 off = prng_below(rnd, UR_PAGES - UR_STABLE);
	int err = 0;

	switch (prng_below(rnd, 8)) {
	case 0:
	case 1:
		err = do_madvise(r->mm, soft + (off << PAGE_SHIFT), PAGE_SIZE,
				 r->shared && off % 2 ? MADV_REMOVE
						      : MADV_DONTNEED);
		break;
	case 2:
	case 3:
		err = do_madvise(r->mm, UR_BASE, UR_PAGES << PAGE_SHIFT,
				 MADV_PAGEOUT);
		break;
	case 4:
		err = do_madvise(r->mm, UR_BASE + (off << PAGE_SHIFT),
				 PAGE_SIZE, MADV_DONTDUMP);
		if (!err)
			err = do_madvise(r->mm, UR_BASE + (off << PAGE_SHIFT),
					 PAGE_SIZE, MADV_DODUMP);
		break;
	case 5:
		ur_fork(r);
		break;
	case 6:
		ur_scratch(r);
		break;
	default:
		mm_check(r->mm);
	}
	/* A mapping may have been split too often, memory be short. */
	mm_verify(err == 0 || err == -ENOMEM || err == -EAGAIN);
}

static inline void ur_change_thread(void *arg)
{
	struct uffd_race *r = arg;
	struct prng rnd;

	prng_seed(&rnd, r->seed * 100 + 77);
	port_current()->caps = MM_CAP_SYS_PTRACE;
	ur_enter(r->mm);
	for (u64 i = 0; i < r->iters / 4; i++)
		ur_change(r, &rnd);
	ur_enter(NULL);
	__atomic_fetch_sub(&r->running, 1, __ATOMIC_RELEASE);
}

/* ---- monitoring ------------------------------------------------------------
 */

static inline s64 ur_ioctl(struct uffd_race *r, u32 cmd, const void *words,
			   u64 bytes)
{
	uva_t arg = UR_BUF + 2 * PAGE_SIZE;

	mm_verify(!copy_to_user(r->mm, arg, words, bytes));
	return userfaultfd_ioctl(r->fd, r->mm, cmd, arg);
}

static inline void ur_contents(struct uffd_race *r, u64 page)
{
	for (u64 i = 0; i < UR_TOUCHERS; i++) {
		u64 v = ur_pattern(page, i);

		mm_verify(!copy_to_user(r->mm, UR_BUF + i * 1024, &v, 8));
	}
}

static inline void ur_wake(struct uffd_race *r, uva_t at)
{
	struct uffdio_range range = {at, PAGE_SIZE};

	mm_verify(!ur_ioctl(r, UFFDIO_WAKE, &range, sizeof(range)));
}

static inline void ur_fill(struct uffd_race *r, uva_t at)
{
	u64 page = (at - UR_BASE) >> PAGE_SHIFT;
	struct uffdio_copy copy = {.dst = at, .src = UR_BUF, .len = PAGE_SIZE};
	s64 err;

	mm_verify(page < UR_PAGES);
	ur_contents(r, page);
	if (page >= UR_STABLE && prng_below(&r->rnd, 3) == 0)
		copy.mode = UFFDIO_COPY_MODE_WP;
	err = ur_ioctl(r, UFFDIO_COPY, &copy, sizeof(copy));
	if (err == -EEXIST) {
		ur_wake(r, at);
	} else if (err == -EAGAIN) {
		/* Mappings change: he asks again when he is woken. */
		r->again++;
		ur_wake(r, at);
	} else {
		mm_verify(err == 0);
		r->fills++;
	}
	r->filled[page] = r->filled[page] || err == 0;
}

static inline void ur_words(struct uffd_race *r, u64 page, u64 *words)
{
	for (u64 i = 0; i < UR_TOUCHERS; i++)
		mm_verify(access_process_vm(r->mm, ur_word(page, i), &words[i],
					    8, false) == 8);
}

static inline s64 ur_protect(struct uffd_race *r, uva_t at, bool on)
{
	struct uffdio_writeprotect wp = {{at, PAGE_SIZE},
					 on ? UFFDIO_WRITEPROTECT_MODE_WP : 0};

	return ur_ioctl(r, UFFDIO_WRITEPROTECT, &wp, sizeof(wp));
}

/* What a protected page says must stay until its first write. */
static inline void ur_check_snap(struct uffd_race *r, u64 page)
{
	u64 now[UR_TOUCHERS];

	if (page >= UR_STABLE || !r->snapped[page])
		return;
	ur_words(r, page, now);
	for (u64 i = 0; i < UR_TOUCHERS; i++)
		mm_verify(now[i] == r->snap[page][i]);
}

static inline void ur_let_write(struct uffd_race *r, uva_t at)
{
	u64 page = (at - UR_BASE) >> PAGE_SHIFT;

	ur_check_snap(r, page);
	if (ur_protect(r, at, false)) {
		r->again++;
		ur_wake(r, at);
		return;
	}
	if (page < UR_STABLE)
		r->snapped[page] = false;
	r->watched++;
}

static inline void ur_snap(struct uffd_race *r)
{
	u64 page = prng_below(&r->rnd, UR_STABLE);
	uva_t at = UR_BASE + (page << PAGE_SHIFT);

	ur_check_snap(r, page);
	if (!r->filled[page] || r->snapped[page] || ur_protect(r, at, true))
		return;
	ur_words(r, page, r->snap[page]);
	r->snapped[page] = true;
}

/* A child's handle: nobody wants it. */
static inline int ur_install(struct file *child, void *arg)
{
	struct uffd_race *r = arg;

	if (prng_below(&r->rnd, 3) == 0)
		return -ENOMEM; /* no descriptor just now */
	fput(child);
	return 7;
}

static inline void ur_answer(struct uffd_race *r, const struct uffd_msg *m)
{
	uva_t at = m->arg.pagefault.address;

	if (m->event != UFFD_EVENT_PAGEFAULT)
		r->events++;
	else if (m->arg.pagefault.flags & UFFD_PAGEFAULT_FLAG_WP)
		ur_let_write(r, at);
	else
		ur_fill(r, at);
}

static inline void ur_monitor(struct uffd_race *r)
{
	struct uffd_msg msg[3];
	struct uffd_reader reader = {msg, sizeof(msg), ur_install, r};

	while (__atomic_load_n(&r->running, __ATOMIC_ACQUIRE)) {
		s64 n;

		(void)userfaultfd_poll(r->fd, 100 * 1000);
		n = userfaultfd_read(r->fd, &reader);
		mm_verify(n == -EAGAIN || n == -ENOMEM || n % 32 == 0);
		for (s64 i = 0; i * 32 < n; i++)
			ur_answer(r, &msg[i]);
		if (prng_below(&r->rnd, 2))
			ur_snap(r);
	}
}

/* ---- a whole race; the running thread is the monitor -----------------------
 */

static inline void ur_begin(struct uffd_race *r)
{
	struct uffdio_api api = {UFFD_API, r->features, 0};
	struct uffdio_register reg = {{UR_BASE, (u64)UR_PAGES << PAGE_SHIFT},
				      UFFDIO_REGISTER_MODE_MISSING |
					      UFFDIO_REGISTER_MODE_WP,
				      0};
	struct mm_layout l;

	prng_seed(&r->rnd, r->seed);
	mm_default_layout(&l);
	mm_verify(!mm_create(&l, &r->mm));
	ur_enter(r->mm);
	port_current()->caps = MM_CAP_SYS_PTRACE;
	r->fd = userfaultfd_create(r->mm, O_NONBLOCK);
	mm_verify(!IS_ERR(r->fd));
	mm_verify(ur_map(r, UR_BASE, UR_PAGES) == UR_BASE);
	mm_verify(do_mmap(r->mm, UR_BUF, 4 * PAGE_SIZE, PROT_READ | PROT_WRITE,
			  MAP_FIXED | MAP_ANONYMOUS | MAP_PRIVATE) == UR_BUF);
	mm_verify(!ur_ioctl(r, UFFDIO_API, &api, sizeof(api)));
	mm_verify(!ur_ioctl(r, UFFDIO_REGISTER, &reg, sizeof(reg)));
	__atomic_store_n(&r->running, UR_TOUCHERS + 1, __ATOMIC_RELEASE);
}

static inline void ur_end(struct uffd_race *r)
{
	mm_check(r->mm);
	userfaultfd_check();
	fput(r->fd);
	mm_check(r->mm);
	port_current()->caps = 0;
	ur_enter(NULL);
	mm_put(r->mm);
}

#endif
