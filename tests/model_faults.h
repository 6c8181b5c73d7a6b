/* SPDX-License-Identifier: MIT */
/*
 * model_faults.h - two threads that fault in one space while a third changes
 * its mappings, its pages or the file behind them, round after round. One
 * source for the sim and the host world; the including test defines before:
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
 *
 * Three accesses in four are a CPU's, whose faults claim their mapping; the
 * fourth is made for the thread by the kernel, under the mmap lock.
 */
#ifndef TESTS_MODEL_FAULTS_H
#define TESTS_MODEL_FAULTS_H

#include <string.h>

#include <mmkit/errno.h>
#include <mmkit/flatfile.h>
#include <mmkit/mm.h>
#include <mmkit/mman.h>
#include <mmkit/port.h>
#include <mmkit/shmem.h>
#include <mmkit/uaccess.h>

#include "base/epoch.h"
#include "base/prng.h"
#include "cache/filemap.h"
#include "cache/swap.h"
#include "report/proc_pid.h"
#include "space/fault.h"
#include "space/space.h"

#define FR_FAULTERS 2
#define FR_PAGES    6u
#define FR_AT	    0x20000000UL
#define FR_OTHER    0x40000000UL /* where mremap moves to: another table */
#define FR_RW	    (PROT_READ | PROT_WRITE)
#define FR_STEPS    1024u /* of a thread, at most */
#define FR_NO_PAGE  0xffu
/* Pages that far apart stand in several tables: two in each. */
#define FR_FAR_SHIFT 20u

enum fr_kind {
	FR_MUNMAP,
	FR_REPLACE,
	FR_MPROTECT,
	FR_MREMAP,
	FR_FORK,
	FR_EXIT,
	FR_PAGEOUT,
	FR_SWAPOFF,
	FR_DONTNEED,
	FR_STACK,
	FR_NEIGHBOURS,
	FR_SPLIT,
	FR_LOCKED,
	FR_CLEAR_REFS,
	FR_TRUNCATE,
	FR_PUNCH,
	FR_WRITEBACK,
	FR_NR_KINDS
};

/* What is behind the mapping. */
enum fr_back { FR_ANON = 1, FR_SHARED = 2, FR_PRIVATE = 4 };
#define FR_FILE (FR_SHARED | FR_PRIVATE)
#define FR_ANY	(FR_ANON | FR_FILE)

struct fr_rule {
	const char *name;
	u32 backs;    /* what may be behind it */
	u32 vanishes; /* where words may become zero meanwhile */
};

static const struct fr_rule fr_rules[FR_NR_KINDS] = {
	[FR_MUNMAP] = {"munmap", FR_ANY, FR_ANON | FR_PRIVATE},
	[FR_REPLACE] = {"replace", FR_ANY, FR_ANON | FR_PRIVATE},
	[FR_MPROTECT] = {"mprotect", FR_ANY, 0},
	[FR_MREMAP] = {"mremap", FR_ANY, 0},
	[FR_FORK] = {"fork", FR_ANY, 0},
	[FR_EXIT] = {"exit", FR_ANY, 0},
	[FR_PAGEOUT] = {"pageout", FR_ANY, 0},
	[FR_SWAPOFF] = {"swapoff", FR_ANON | FR_PRIVATE, 0},
	[FR_DONTNEED] = {"dontneed", FR_ANY, FR_ANON | FR_PRIVATE},
	[FR_STACK] = {"stack", FR_ANON, 0},
	[FR_NEIGHBOURS] = {"neighbours", FR_ANON, 0},
	[FR_SPLIT] = {"split", FR_ANY, 0},
	[FR_LOCKED] = {"locked", FR_ANY, 0},
	[FR_CLEAR_REFS] = {"clear_refs", FR_ANY, 0},
	[FR_TRUNCATE] = {"truncate", FR_FILE, FR_FILE},
	[FR_PUNCH] = {"punch", FR_FILE, FR_SHARED},
	[FR_WRITEBACK] = {"writeback", FR_FILE, 0},
};

static struct {
	enum fr_kind kind;
	enum fr_back back;
	struct mm_struct *mm;
	u64 seed;
	u32 phase, running;
	u32 steps, changes; /* of each thread, of the changer */
	u32 shift;	    /* from page to page */
	u32 cut;	    /* truncate: pages that stay */
	/* Values of each word that its owner has written for sure, and that
	 * it may have written; which page each step wrote. */
	u64 last[FR_FAULTERS][FR_PAGES], next[FR_FAULTERS][FR_PAGES];
	u8 wrote[FR_FAULTERS][FR_STEPS];
	u64 accesses, signals;
	struct super_block sb;
	struct inode *inode;
	struct file *file;
	struct port_bdev *swap;
} fr;

static u64 fr_len(void)
{
	return (u64)FR_PAGES << fr.shift;
}

static uva_t fr_base(u32 phase)
{
	return fr.kind == FR_MREMAP && (phase & 2) ? FR_OTHER : FR_AT;
}

static uva_t fr_va(uva_t base, u32 id, u32 page)
{
	return base + ((u64)page << fr.shift) + id * 8;
}

static bool fr_vanishes(void)
{
	return (fr_rules[fr.kind].vanishes & fr.back) != 0;
}

static u32 fr_phase(void)
{
	return __atomic_load_n(&fr.phase, __ATOMIC_SEQ_CST);
}

static void fr_next_phase(void)
{
	(void)__atomic_add_fetch(&fr.phase, 1, __ATOMIC_SEQ_CST);
}

/* ---- a claim
 * ------------------------------------------------------------------- */

/* As a fault claims: the mapping is the right one, and stays so. */
static void fr_claim(uva_t va)
{
	struct vm_area_struct *vma;
	struct vma_claim claim;

	vma = vma_claim(port_current(), va, &claim);
	if (!vma)
		return;
	FR_CHECK(vma_contains(vma, va));
	port_sched_point();
	FR_CHECK(vma_contains(vma, va));
	vma_claim_end(&claim);
}

/* ---- an access
 * ----------------------------------------------------------------- */

struct fr_access {
	u32 id, page, phase;
	uva_t va;
	bool write;
	bool kernel; /* by the kernel: with the mmap lock */
	bool astray; /* mremap: at the place that it comes from or goes to */
	u64 value;
};

/* 0 or a signal; the kernel's errors are one. */
static int fr_do(struct fr_access *a)
{
	struct mm_struct *mm = port_current()->mm;
	u64 *v = &a->value, left;

	if (!a->kernel)
		return a->write ? FR_WRITE(a->va, v, sizeof(*v))
				: FR_READ(v, a->va, sizeof(*v));
	left = a->write ? copy_to_user(mm, a->va, v, sizeof(*v))
			: copy_from_user(mm, v, a->va, sizeof(*v));
	return left ? MM_SIGSEGV : 0;
}

/* May an access that ran within phase IN alone (4: in several) fail? Must it?
 */
static void fr_judge_kind(const struct fr_access *a, int sig, u32 in)
{
	bool cut = a->page >= fr.cut;

	switch (fr.kind) {
	case FR_MUNMAP:
		FR_CHECK(!(in == 1 && !sig));
		FR_CHECK(!(in == 3 && sig));
		break;
	case FR_MPROTECT:
	case FR_LOCKED:
		FR_CHECK(a->write || !sig);
		FR_CHECK(!(in == 1 && a->write && !sig));
		FR_CHECK(!(in == 3 && sig));
		break;
	case FR_MREMAP:
		FR_CHECK(!(in % 2 == 0 && in < 4 && !sig == a->astray));
		break;
	case FR_TRUNCATE:
		FR_CHECK(cut || !sig);
		FR_CHECK(!(in == 1 && cut && !sig));
		FR_CHECK(!(in == 3 && sig));
		break;
	default:
		FR_CHECK(!sig);
	}
}

static void fr_judge(const struct fr_access *a, int sig)
{
	u32 after = fr_phase();

	(void)__atomic_add_fetch(&fr.accesses, 1, __ATOMIC_RELAXED);
	if (sig)
		(void)__atomic_add_fetch(&fr.signals, 1, __ATOMIC_RELAXED);
	FR_CHECK(sig == 0 || sig == MM_SIGSEGV || sig == MM_SIGBUS);
	fr_judge_kind(a, sig, a->phase == after ? after % 4 : 4);
}

/* Is what was read what the owner of the word last wrote? */
static void fr_compare(u32 id, u32 page, u64 v)
{
	u64 *last = &fr.last[id][page];
	bool kept = fr.kind == FR_TRUNCATE && page < fr.cut;

	FR_CHECK(v == *last || (fr_vanishes() && !kept && v == 0));
	__atomic_store_n(last, v, __ATOMIC_RELEASE);
}

/*
 * Who has written since the watching began (clear_refs) finds the mark in the
 * entry. Pages of a file lose it with their entry.
 */
static void fr_check_soft_dirty(const struct fr_access *a)
{
	struct pt_slot slot;
	pte_t e = {0};

	if (fr.kind != FR_CLEAR_REFS || fr.back == FR_SHARED)
		return;
	if (pt_lookup(&fr.mm->pt, a->va, &slot))
		e = pt_get(&slot);
	FR_CHECK(fr_phase() != a->phase || a->phase % 2 == 0 ||
		 (pte_present(e) ? pte_soft_dirty(e) : pte_swp_soft_dirty(e)));
}

static void fr_step(u32 id, u32 i, struct prng *r)
{
	u64 next = ((u64)i + 1) * FR_FAULTERS + id;
	struct fr_access a = {.id = id,
			      .page = (u32)prng_below(r, FR_PAGES),
			      .phase = fr_phase(),
			      .write = prng_one_in(r, 2),
			      .kernel = prng_one_in(r, 4),
			      .value = next};
	int sig;

	a.astray = fr.kind == FR_MREMAP && prng_one_in(r, 4);
	a.va = fr_va(fr_base(a.phase + (a.astray ? 2 : 0)), id, a.page);
	if (a.write) {
		__atomic_store_n(&fr.next[id][a.page], next, __ATOMIC_RELEASE);
		__atomic_store_n(&fr.wrote[id][i], (u8)a.page,
				 __ATOMIC_RELEASE);
	}
	/* Changes of bounds: pages come once, claims always. */
	for (u64 n = prng_below(r, fr.kind == FR_SPLIT ? 8 : 2); n; n--)
		fr_claim(a.va);
	sig = fr_do(&a);
	fr_judge(&a, sig);
	if (sig)
		return;
	if (!a.write) {
		fr_compare(id, a.page, a.value);
		return;
	}
	__atomic_store_n(&fr.last[id][a.page], next, __ATOMIC_RELEASE);
	fr_check_soft_dirty(&a);
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
		fr_step(id, i, &r);
	__atomic_fetch_sub(&fr.running, 1, __ATOMIC_SEQ_CST);
	mm_task_exit(task);
	mm_task_unregister(task);
}

/* ---- changes of mappings
 * -------------------------------------------------------- */

/* The part [FROM, FROM + LEN) of the mapping, at its place. */
static void fr_mmap(u64 from, u64 len, int prot)
{
	struct mm_mmap m = {.addr = FR_AT + from,
			    .len = len,
			    .prot = prot,
			    .flags = MAP_FIXED | MAP_PRIVATE};

	if (fr.back == FR_ANON) {
		m.flags |= MAP_ANONYMOUS;
		if (fr.kind == FR_STACK)
			m.flags |= MAP_GROWSDOWN;
	} else {
		m.file = fr.file;
		m.pgoff = from >> PAGE_SHIFT;
		if (fr.back == FR_SHARED)
			m.flags ^= MAP_PRIVATE ^ MAP_SHARED;
	}
	FR_CHECK(do_mmap_file(fr.mm, &m) == (s64)m.addr);
}

/* A phase that lasts for a moment. */
static void fr_stay(void)
{
	fr_next_phase();
	/* What was unmapped is freed early rather than late. */
	epoch_poll();
	port_sched_point();
	fr_next_phase();
}

static void fr_munmap(void)
{
	FR_CHECK(!do_munmap(fr.mm, FR_AT, fr_len()));
	fr_stay();
	fr_mmap(0, fr_len(), FR_RW);
	fr_stay();
}

/* New mappings in the place of old ones: nobody may see a hole. */
static void fr_replace(struct prng *r)
{
	u64 from = prng_below(r, FR_PAGES);
	u64 pages = 1 + prng_below(r, FR_PAGES - from);

	fr_mmap(from << PAGE_SHIFT, pages << PAGE_SHIFT, FR_RW);
	epoch_poll();
}

static void fr_mprotect(void)
{
	FR_CHECK(!do_mprotect(fr.mm, FR_AT, fr_len(), PROT_READ));
	fr_stay();
	FR_CHECK(!do_mprotect(fr.mm, FR_AT, fr_len(), FR_RW));
	fr_stay();
}

/* Locked private memory that becomes writable has its own pages at once. */
static void fr_locked(void)
{
	struct pt_slot slot;

	FR_CHECK(!do_mlock(fr.mm, FR_AT, fr_len(), 0));
	FR_CHECK(!do_mprotect(fr.mm, FR_AT, fr_len(), PROT_READ));
	fr_stay();
	FR_CHECK(!do_mprotect(fr.mm, FR_AT, fr_len(), FR_RW));
	for (u32 p = 0; p < FR_PAGES && fr.back != FR_SHARED; p++)
		FR_CHECK(pt_lookup(&fr.mm->pt, fr_va(FR_AT, 0, p), &slot) &&
			 pte_write(pt_get(&slot)));
	fr_stay();
	FR_CHECK(!do_munlock(fr.mm, FR_AT, fr_len()));
}

static void fr_mremap(void)
{
	u32 phase = fr_phase();
	uva_t from = fr_base(phase), to = fr_base(phase + 2);

	fr_next_phase();
	FR_CHECK(do_mremap(fr.mm, from, fr_len(), fr_len(),
			   MREMAP_MAYMOVE | MREMAP_FIXED, to) == (s64)to);
	fr_next_phase();
	epoch_poll();
}

/* Mappings beside the one that is used: joined to it, split off, unmapped. */
static void fr_neighbours(struct prng *r)
{
	uva_t below = FR_AT - 2 * PAGE_SIZE, above = FR_AT + fr_len();
	uva_t at = prng_one_in(r, 2) ? below : above;
	uva_t mid = FR_AT + (prng_below(r, FR_PAGES) << PAGE_SHIFT);
	u64 long_len = fr_len() + 2 * PAGE_SIZE;

	FR_CHECK(do_mmap(fr.mm, at, 2 * PAGE_SIZE, FR_RW,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED) == (s64)at);
	FR_CHECK(!do_mprotect(fr.mm, mid, PAGE_SIZE, FR_RW | PROT_EXEC));
	FR_CHECK(!do_madvise(fr.mm, mid, PAGE_SIZE, MADV_RANDOM));
	FR_CHECK(!do_munmap(fr.mm, at, 2 * PAGE_SIZE));
	epoch_poll();
	FR_CHECK(!do_madvise(fr.mm, mid, PAGE_SIZE, MADV_NORMAL));
	FR_CHECK(!do_mprotect(fr.mm, mid, PAGE_SIZE, FR_RW));
	/* One again, unless the reverse map keeps them apart. */
	if (do_mremap(fr.mm, FR_AT, fr_len(), long_len, 0, 0) > 0)
		FR_CHECK(do_mremap(fr.mm, FR_AT, long_len, fr_len(), 0, 0) ==
			 FR_AT);
}

/* Cut in two, and melted, again and again. */
static void fr_split(struct prng *r)
{
	for (int i = 0; i < 8; i++) {
		u64 from = (1 + prng_below(r, FR_PAGES - 1)) << PAGE_SHIFT;
		u64 len = fr_len() - from;

		FR_CHECK(!do_madvise(fr.mm, FR_AT + from, len, MADV_RANDOM));
		FR_CHECK(!do_madvise(fr.mm, FR_AT + from, len, MADV_NORMAL));
	}
}

/* ---- fork
 * ----------------------------------------------------------------------- */

struct fr_child {
	struct mm_struct *mm;
	u64 low[FR_FAULTERS][FR_PAGES], high[FR_FAULTERS][FR_PAGES];
	u64 found[FR_FAULTERS][FR_PAGES];
};

static u64 fr_load(uva_t va)
{
	u64 v;

	FR_CHECK(!FR_READ(&v, va, sizeof(v)));
	return v;
}

/*
 * A copy is the parent at one moment of each thread: who sees a word sees all
 * that its owner wrote before. A page whose write fault went on during the
 * fork would be older than the others.
 */
static void fr_check_moment(const u64 *found, u32 id)
{
	u64 want[FR_PAGES] = {0}, newest = 0;

	for (u32 p = 0; p < FR_PAGES; p++)
		newest = max(newest, found[p]);
	for (u64 i = 0; (i + 1) * FR_FAULTERS + id <= newest; i++) {
		u8 page = __atomic_load_n(&fr.wrote[id][i], __ATOMIC_ACQUIRE);

		if (page != FR_NO_PAGE)
			want[page] = (i + 1) * FR_FAULTERS + id;
	}
	for (u32 p = 0; p < FR_PAGES; p++)
		FR_CHECK(found[p] == want[p]);
}

/* In the child, of private memory: nothing moves any more. */
static void fr_child_private(struct fr_child *c, u32 id)
{
	for (u32 p = 0; p < FR_PAGES; p++) {
		u64 v = fr_load(fr_va(FR_AT, id, p));

		FR_CHECK(v >= c->low[id][p] && v <= c->high[id][p]);
		c->found[id][p] = v;
	}
	fr_check_moment(c->found[id], id);
	for (u32 p = 0; p < FR_PAGES; p++)
		FR_CHECK(fr_load(fr_va(FR_AT, id, p)) == c->found[id][p]);
}

static void fr_child_shared(struct fr_child *c, u32 id)
{
	for (u32 p = 0; p < FR_PAGES; p++) {
		u64 v = fr_load(fr_va(FR_AT, id, p));

		FR_CHECK(v >= c->low[id][p]);
		FR_CHECK(v <=
			 __atomic_load_n(&fr.next[id][p], __ATOMIC_ACQUIRE));
	}
}

static void fr_child(void *arg)
{
	struct mm_task *task = port_current();
	struct fr_child *c = arg;

	mm_task_register(task, "child");
	mm_task_attach(task, c->mm);
	mm_put(c->mm);
	for (u32 id = 0; id < FR_FAULTERS; id++)
		if (fr.back == FR_SHARED)
			fr_child_shared(c, id);
		else
			fr_child_private(c, id);
	mm_task_exit(task);
	mm_task_unregister(task);
}

static void fr_copy(u64 to[FR_FAULTERS][FR_PAGES],
		    u64 from[FR_FAULTERS][FR_PAGES])
{
	for (u32 id = 0; id < FR_FAULTERS; id++)
		for (u32 p = 0; p < FR_PAGES; p++)
			to[id][p] =
				__atomic_load_n(&from[id][p], __ATOMIC_ACQUIRE);
}

static void fr_fork(void)
{
	struct port_thread *t;
	struct fr_child c;

	fr_copy(c.low, fr.last);
	FR_CHECK(!mm_fork(fr.mm, &c.mm));
	fr_copy(c.high, fr.next);
	t = fr_start(fr_child, &c, 2);
	port_thread_join(t);
}

/* ---- changes of pages, and of the file
 * ----------------------------------------- */

static void fr_advise(int advice)
{
	FR_CHECK(do_madvise(fr.mm, FR_AT, fr_len(), advice) == 0);
}

/* Out, and all of it in again at once. */
static void fr_swapoff(void)
{
	u32 caps = port_current()->caps;
	int err;

	fr_advise(MADV_PAGEOUT);
	port_current()->caps |= MM_CAP_SYS_ADMIN;
	err = swapoff(fr.swap);
	port_current()->caps = caps;
	FR_CHECK(err == 0 || err == -ENOMEM);
	FR_CHECK(err || swapon(fr.swap, -2) == 0);
}

static void fr_clear_refs(void)
{
	const struct proc_task t = {.mm = fr.mm};

	FR_CHECK(write_pid_clear_refs(&t, "4", 1) == 1);
	fr_stay();
	FR_CHECK(write_pid_clear_refs(&t, "1", 1) == 1);
}

static void fr_truncate(void)
{
	FR_CHECK(!vfs_truncate(fr.inode, (u64)fr.cut << PAGE_SHIFT));
	fr_stay();
	FR_CHECK(!vfs_truncate(fr.inode, fr_len()));
	fr_stay();
}

static void fr_punch(struct prng *r)
{
	u64 from = prng_below(r, FR_PAGES);

	FR_CHECK(!vfs_fallocate(
		fr.file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		(s64)(from << PAGE_SHIFT),
		(s64)((1 + prng_below(r, FR_PAGES - from)) << PAGE_SHIFT)));
}

/* Written, and then taken out of memory where that is possible: what is not
 * on the disk by then is lost. */
static void fr_writeback(struct prng *r)
{
	int err;

	FR_CHECK(!vfs_fsync_range(fr.file, 0, INT64_MAX, false));
	if (prng_one_in(r, 2))
		return;
	err = invalidate_inode_pages2_range(fr.inode->i_mapping, 0, ~0UL);
	FR_CHECK(err == 0 || err == -EBUSY);
	(void)drop_pagecache();
}

static void fr_change(struct prng *r)
{
	switch (fr.kind) {
	case FR_MUNMAP:
		fr_munmap();
		break;
	case FR_REPLACE:
		fr_replace(r);
		break;
	case FR_MPROTECT:
		fr_mprotect();
		break;
	case FR_MREMAP:
		fr_mremap();
		break;
	case FR_FORK:
		fr_fork();
		break;
	case FR_PAGEOUT:
		fr_advise(MADV_PAGEOUT);
		break;
	case FR_SWAPOFF:
		fr_swapoff();
		break;
	case FR_DONTNEED:
		fr_advise(MADV_DONTNEED);
		break;
	case FR_NEIGHBOURS:
		fr_neighbours(r);
		break;
	case FR_SPLIT:
		fr_split(r);
		break;
	case FR_LOCKED:
		fr_locked();
		break;
	case FR_CLEAR_REFS:
		fr_clear_refs();
		break;
	case FR_TRUNCATE:
		fr_truncate();
		break;
	case FR_PUNCH:
		fr_punch(r);
		break;
	case FR_WRITEBACK:
		fr_writeback(r);
		break;
	default:
		break;
	}
}

/* ---- a round
 * ------------------------------------------------------------------- */

/* The file of all rounds, on DISK; SWAP is in use. */
static void fr_begin(struct port_bdev *disk, struct port_bdev *swap)
{
	fr.swap = swap;
	fr.sb = (struct super_block){
		.s_dev = 0x804, .s_id = "fr", .s_maxbytes = MAX_LFS_FILESIZE};
	FR_CHECK(!port_bdev_resize(disk, 0));
	FR_CHECK(!flatfile_new(&fr.sb, disk, 1, S_IFREG | 0600, &fr.inode));
	fr.file = file_open(fr.inode, FMODE_READ | FMODE_WRITE, 0, "/fr");
	FR_CHECK(fr.file);
}

static void fr_end(void)
{
	FR_CHECK(!mapping_mapped(fr.inode->i_mapping));
	FR_CHECK(!vfs_truncate(fr.inode, 0));
	mapping_check(fr.inode->i_mapping);
	fput(fr.file);
	iput(fr.inode);
}

/* What everybody must find when nothing changes any more. */
static void fr_final(void *arg)
{
	struct mm_task *task = port_current();
	uva_t base = fr_base(fr_phase());

	(void)arg;
	mm_task_register(task, "final");
	mm_task_attach(task, fr.mm);
	for (u32 id = 0; id < FR_FAULTERS; id++)
		for (u32 p = 0; p < FR_PAGES; p++)
			fr_compare(id, p, fr_load(fr_va(base, id, p)));
	mm_task_exit(task);
	mm_task_unregister(task);
}

static void fr_map(struct prng *r)
{
	struct mm_layout l;
	u64 from = 0;

	mm_default_layout(&l);
	FR_CHECK(!mm_create(&l, &fr.mm));
	/* Of a stack the top page only; the rest comes by touching it. */
	if (fr.kind == FR_STACK)
		from = fr_len() - PAGE_SIZE;
	fr_mmap(from, fr_len() - from, FR_RW);
	/* Half of the rounds start with the reverse map in place. */
	if (prng_one_in(r, 2))
		FR_CHECK(!do_madvise(fr.mm, FR_AT + from, PAGE_SIZE,
				     MADV_POPULATE_WRITE));
}

/* What round is it? */
static void fr_setup(enum fr_kind kind, u64 seed, u32 steps, struct prng *r)
{
	static const enum fr_back backs[] = {FR_ANON, FR_SHARED, FR_PRIVATE};
	bool far;

	FR_CHECK(steps <= FR_STEPS);
	memset(fr.last, 0, sizeof(fr.last));
	memset(fr.next, 0, sizeof(fr.next));
	memset(fr.wrote, FR_NO_PAGE, sizeof(fr.wrote));
	prng_seed(r, seed);
	fr.kind = kind;
	fr.seed = seed;
	fr.steps = steps;
	fr.phase = 0;
	fr.running = FR_FAULTERS;
	do
		fr.back = backs[prng_below(r, 3)];
	while (!(fr_rules[kind].backs & fr.back));
	far = kind == FR_MREMAP || kind == FR_FORK || kind == FR_MUNMAP;
	fr.shift = far && prng_one_in(r, 2) ? FR_FAR_SHIFT : PAGE_SHIFT;
	fr.cut = (u32)prng_below(r, FR_PAGES);
	if (fr.back != FR_ANON)
		FR_CHECK(!vfs_truncate(fr.inode, fr_len()));
	fr_map(r);
}

static void fr_round(enum fr_kind kind, u64 seed, u32 steps, u32 changes)
{
	struct port_thread *t[FR_FAULTERS], *last;
	struct prng r;

	fr_setup(kind, seed, steps, &r);
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
	if (kind != FR_EXIT) {
		mm_check(fr.mm);
		last = fr_start(fr_final, NULL, 0);
		port_thread_join(last);
		mm_put(fr.mm);
	}
	if (fr.back != FR_ANON)
		FR_CHECK(!vfs_truncate(fr.inode, 0));
}

#endif
