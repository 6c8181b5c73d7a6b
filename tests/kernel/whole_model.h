/* SPDX-License-Identifier: MIT */
/*
 * whole_model.h - what test_whole_files.c knows of each page: who it is, which
 * versions of it there may be, how an access to it may end, and allocations
 * that fail in single calls. A page is filled with its head times odd numbers;
 * so a page that was torn is told from one that is old. One writer for each
 * page, so nothing here is locked.
 */
#ifndef TESTS_KERNEL_WHOLE_MODEL_H
#define TESTS_KERNEL_WHOLE_MODEL_H

#include "ext2_machine.h"

#include <mmkit/flatfile.h>
#include <mmkit/shmem.h>

#include "base/fail.h"
#include "pgtable/huge.h"

#define WL_CHECK(c) CHECK(c)
#include "whole_groups.h"
/* It needs the groups. */
#include "stir.h"

#define P(n)	 ((u64)(n) << PAGE_SHIFT)
#define FPAGES	 48u /* of a shared file */
#define OPAGES	 24u /* of an own file, at most */
#define MAX_ANON 3000u
#define MAX_PROC 4u
#define IMAGE	 (4u << 20)

/* Disks that fail at times; odd: now. */
enum { D_SWAP, D_FLAT, D_NONE, NR_D };

/* One page of something: versions; 0 is zeroes. */
struct unit {
	u32 cur;   /* written last; 0 also after a truncate */
	u32 next;  /* no version was given twice */
	u32 floor; /* promised by fsync() ... */
	u32 epoch; /* ... of the disk, then */
	u32 wrote; /* epoch of the last write */
};

enum { F_FLAT, F_EXT2, F_SHM, NR_SHARED };
enum { O_EXT2, O_SHM, NR_OWN };

struct shared {
	struct file *file;
	u32 disk; /* whose failing may lose a page */
	struct unit u[FPAGES];
};

struct own {
	struct file *file;
	u32 pages;    /* its size */
	bool unknown; /* its owner died on the way */
	struct unit u[OPAGES];
};

struct proc {
	struct port_thread *thread;
	struct mm_struct *mm;
	struct prng r, stir;
	u32 id, ops, anon;
	bool child, dead;
	uva_t at_anon, at_shared[NR_SHARED], at_private[NR_SHARED],
		at_own[NR_OWN];
	struct unit a[MAX_ANON];
	struct unit cow[NR_SHARED][FPAGES]; /* cur 0: not copied yet */
	struct own own[NR_OWN];
	const char *doing;
	u64 buf[PAGE_SIZE / 8], want[PAGE_SIZE / 8];
};

static struct wf {
	struct shared sh[NR_SHARED];
	struct proc *proc[MAX_PROC];
	u32 nr, epoch[NR_D];
	struct port_bdev *flat, *disk;
	struct vfs_sb *sb;
	struct vnode *vnode[1 + MAX_PROC];
	u32 ops, what; /* STIR_* */
	bool chaos, groups, done;
	u32 killed, children;
	/* What happened, over all runs. */
	u64 checked, buses, eios, refused, lost, windows, fsyncs, cuts;
} wf;

static u8 image[IMAGE];

/* ---- patterns --------------------------------------------------------------
 */

/* Who a page is. */
static u32 key_anon(u32 proc, u32 i)
{
	return proc << 16 | i;
}

static u32 key_cow(u32 proc, u32 f, u32 i)
{
	return 1u << 28 | proc << 16 | f << 12 | i;
}

static u32 key_shared(u32 f, u32 i)
{
	return 2u << 28 | f << 12 | i;
}

static u32 key_own(u32 proc, u32 f, u32 i)
{
	return 3u << 28 | proc << 16 | f << 12 | i;
}

/* Whoever merges pages needs equal ones: most contents of memory are one of
 * three then, and those of versions that follow each other differ. */
static u64 head_of(u32 key, u32 version)
{
	if (!version)
		return 0;
	if ((wf.what & STIR_KSM) && key >> 28 < 2 && version % 4)
		return 0xc0deul << 32 | version % 3;
	return (u64)key << 32 | version;
}

static void pattern(u32 key, u32 version, u64 *bytes)
{
	u64 head = head_of(key, version);

	for (u32 i = 0; i < PAGE_SIZE / 8; i++)
		bytes[i] = head * (2ul * i + 1);
}

/* Is P's buf a whole version of KEY in [LOW, HIGH]? */
static void must_be(struct proc *p, u32 key, u32 low, u32 high)
{
	u32 got = low == high ? low : (u32)p->buf[0];

	if (p->buf[0] != head_of(key, got) || got < low || got > high) {
		snprintf(
			tm_context, sizeof(tm_context),
			"(SEED=%llu ITERS=1) process %u, %s: page %x/%x, wanted %x/%x to %x",
			(unsigned long long)tm.cfg.seed, p->id, p->doing,
			(u32)(p->buf[0] >> 32), (u32)p->buf[0], key, low, high);
		tm_fail("the page is what was written", __FILE__, __LINE__);
	}
	pattern(key, got, p->want);
	CHECK(!memcmp(p->want, p->buf, PAGE_SIZE));
	wf.checked++;
}

/* A page of a file whose disk may have lost what was not promised. */
static void must_be_unit(struct proc *p, u32 key, const struct unit *u,
			 u32 disk)
{
	bool exact = u->epoch == wf.epoch[disk] || u->floor == u->cur;

	if (!exact && (u32)p->buf[0] != u->cur)
		wf.lost++;
	must_be(p, key, exact ? u->cur : u->floor, u->cur);
}

static void wrote(struct unit *u, u32 version, u32 disk)
{
	u->cur = u->next = version;
	u->wrote = wf.epoch[disk];
}

/* ---- how an access may end -------------------------------------------------
 */

/* DISK failed at some time since EPOCH was seen. */
static bool troubled(u32 disk, u32 epoch)
{
	return (epoch & 1) || wf.epoch[disk] != epoch;
}

static _Noreturn void ended_badly(const struct proc *p, s64 how)
{
	snprintf(
		tm_context, sizeof(tm_context),
		"(SEED=%llu ITERS=1) process %u%s, %s: %lld at %llu ns, swap %u flat %u",
		(unsigned long long)tm.cfg.seed, p->id,
		p->child ? "'s child" : "", p->doing, (long long)how,
		(unsigned long long)port_now_ns(), wf.epoch[D_SWAP],
		wf.epoch[D_FLAT]);
	tm_fail("an access ends as it may", __FILE__, __LINE__);
}

/* SIG of an access to P's memory: true: done. Else the model stays. */
static bool settled(struct proc *p, int sig, bool may_bus)
{
	if (!sig)
		return true;
	if (sig == MM_SIGKILL) {
		CHECK(wf.epoch[D_SWAP] > 0);
		p->dead = true;
		return false;
	}
	if (sig != MM_SIGBUS || !may_bus)
		ended_badly(p, sig);
	wf.buses++;
	return false;
}

/* The same of a call that gave N bytes of a page. */
static bool moved(struct proc *p, s64 n, bool may_fail, bool armed)
{
	if (n == (s64)PAGE_SIZE)
		return true;
	if (READ_ONCE(port_current()->fatal_signal)) {
		CHECK(wf.epoch[D_SWAP] > 0 && n < 0);
		p->dead = true;
		return false;
	}
	if (!(n == -EIO && may_fail) && !(n == -ENOMEM && armed))
		ended_badly(p, n);
	if (n == -EIO)
		wf.eios++;
	else
		wf.refused++;
	return false;
}

/* ---- allocations that fail -------------------------------------------------
 * For the running thread alone, in one call; the sites of I/O are the disks'.
 */

static bool fail_busy;

static bool arm(struct proc *p)
{
	if (fail_busy || !prng_one_in(&p->r, 3))
		return false;
	fail_busy = true;
	fail_arm_prob(FAIL_ALL & ~FAIL_MASK(FAIL_BIO_READ) &
			      ~FAIL_MASK(FAIL_BIO_WRITE),
		      prng_range(&p->r, 2, 20), prng_u64(&p->r));
	fail_only_task(port_current());
	return true;
}

static void disarm(bool armed)
{
	if (!armed)
		return;
	(void)fail_disarm();
	fail_busy = false;
}

#endif
