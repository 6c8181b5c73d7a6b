/* SPDX-License-Identifier: MIT */
/*
 * file_map_race.h - several threads in a few address spaces at one mapped file,
 * in any world. The includer defines FMR_LOAD(to, va, len) and FMR_STORE(va,
 * from, len), which give 0 or the signal.
 *
 * The first pages stay in the file: there each thread owns a word of each page,
 * stores ever larger numbers through any mapping or write(2), and must find the
 * last one through any other: so no store is lost between entries, cache, disk
 * and reclaim. Behind them the file is truncated, grown and punched: there each
 * byte is the one right one of its place, or zero.
 */
#ifndef TESTS_FILE_MAP_RACE_H
#define TESTS_FILE_MAP_RACE_H

#include <mmkit/mm.h>
#include <mmkit/mman.h>
#include <mmkit/shmem.h>

#include "filemap_race.h"
#include "phys/mmzone.h"
#include "phys/vmstat.h"
#include "reclaim/reclaim.h"
#include "space/space.h"
#include "task_use.h"

#define FMR_THREADS 6
#define FMR_SPACES  3
#define FMR_STABLE  8u /* pages that stay */
#define FMR_PAGES   24u
#define FMR_BYTES   ((u64)FMR_PAGES << PAGE_SHIFT)
#define FMR_SHARED  0x40000000UL
#define FMR_PRIVATE 0x41000000UL
#define FMR_SCRATCH 0x42000000UL /* and so much further for each thread */

struct fmr {
	struct inode *inode;
	struct super_block sb;
	struct file *file;
	bool memory; /* a file in memory: its pages go to swap */
	struct mm_struct *mm[FMR_SPACES];
	u64 seed, iters;
	u64 next;			 /* (A) numbers threads */
	u64 loads, stores, signals, ops; /* (A) what happened */
};

struct fmr_thread {
	struct fmr *r;
	u64 id;
	struct mm_struct *mm;
	struct prng rnd;
	u64 last[FMR_STABLE]; /* in its word of each page */
};

static inline void fmr_count(u64 *n)
{
	__atomic_fetch_add(n, 1, __ATOMIC_RELAXED);
}

static inline uva_t fmr_word(const struct fmr_thread *t, u64 page)
{
	return (page << PAGE_SHIFT) + 512 * t->id;
}

static inline void fmr_map(const struct fmr *r, struct mm_struct *mm, uva_t at,
			   int type)
{
	const struct mm_mmap m = {.addr = at,
				  .len = FMR_BYTES,
				  .prot = PROT_READ | PROT_WRITE,
				  .flags = type | MAP_FIXED,
				  .file = r->file};

	mm_verify(do_mmap_file(mm, &m) == (s64)at);
}

/* ---- words that are owned -------------------------------------------------
 */

static inline void fmr_store_own(struct fmr_thread *t, uva_t window)
{
	u64 page = prng_below(&t->rnd, FMR_STABLE), v = ++t->last[page];

	mm_verify(FMR_STORE(window + fmr_word(t, page), &v, sizeof(v)) == 0);
	fmr_count(&t->r->stores);
}

static inline void fmr_write_own(struct fmr_thread *t)
{
	u64 page = prng_below(&t->rnd, FMR_STABLE), v = ++t->last[page];
	u64 pos = fmr_word(t, page);

	mm_verify(kernel_write(t->r->file, &v, sizeof(v), &pos) == sizeof(v));
}

static inline void fmr_load_own(struct fmr_thread *t, uva_t window)
{
	u64 page = prng_below(&t->rnd, FMR_STABLE), v = ~0UL;

	mm_verify(FMR_LOAD(&v, window + fmr_word(t, page), sizeof(v)) == 0);
	mm_verify(v == t->last[page]);
	fmr_count(&t->r->loads);
}

static inline void fmr_read_own(struct fmr_thread *t)
{
	u64 page = prng_below(&t->rnd, FMR_STABLE), v = ~0UL;
	u64 pos = fmr_word(t, page);

	mm_verify(kernel_read(t->r->file, &v, sizeof(v), &pos) == sizeof(v));
	mm_verify(v == t->last[page]);
}

/* ---- bytes that come and go ------------------------------------------------
 */

static inline u64 fmr_place(struct fmr_thread *t)
{
	u64 from = (u64)FMR_STABLE << PAGE_SHIFT;

	return from + prng_below(&t->rnd, FMR_BYTES - from);
}

static inline void fmr_touch(struct fmr_thread *t, bool store)
{
	uva_t window = prng_below(&t->rnd, 2) ? FMR_SHARED : FMR_PRIVATE;
	u64 pos = fmr_place(t);
	u8 v = race_byte(pos);
	int sig = store ? FMR_STORE(window + pos, &v, 1)
			: FMR_LOAD(&v, window + pos, 1);

	mm_verify(sig == 0 || sig == MM_SIGBUS);
	mm_verify(sig || !v || v == race_byte(pos));
	if (sig)
		fmr_count(&t->r->signals);
}

static inline int fmr_truncate(struct fmr *r, u64 size)
{
	return r->memory ? shmem_truncate(r->inode, size)
			 : vfs_truncate(r->inode, size);
}

/* Reclaim of one page of the file, as if it were the oldest. */
static inline void fmr_reclaim(struct fmr_thread *t)
{
	struct scan_control sc = {.gfp = GFP_KERNEL,
				  .may_writepage = true,
				  .may_unmap = true,
				  .may_swap = true};
	struct page *page = find_get_page(t->r->inode->i_mapping,
					  prng_below(&t->rnd, FMR_PAGES));
	struct reclaim_stat stat = {0};
	struct page_list list;
	bool isolated;

	if (!page)
		return;
	page_list_init(&list);
	isolated = lru_isolate_page(page);
	put_page(page);
	if (!isolated)
		return;
	ClearPageActive(page);
	page_list_add(&list, page);
	shrink_page_list(&list, page_zone(page)->zone_pgdat, &sc, &stat);
	while ((page = page_list_pop(&list)))
		lru_putback_page(page);
}

static inline void fmr_file_op(struct fmr_thread *t)
{
	struct file *file = t->r->file;
	u64 pos = fmr_place(t);
	u8 b = race_byte(pos);
	int err = 0;

	switch (prng_below(&t->rnd, 9)) {
	case 0:
	case 1:
		err = fmr_truncate(t->r, pos);
		break;
	case 2:
		err = file->f_op->fallocate(
			file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, pos,
			1 + prng_below(&t->rnd, 5 * PAGE_SIZE));
		break;
	case 3:
		err = kernel_write(file, &b, 1, &pos) == 1 ? 0 : -EIO;
		break;
	case 4:
		err = vfs_fsync_range(file, 0, INT64_MAX, false);
		break;
	case 5:
		(void)drop_pagecache();
		break;
	case 6:
	case 7:
		fmr_reclaim(t);
		break;
	default:
		race_pressure(&t->rnd);
	}
	mm_verify(err == 0);
}

/* ---- address spaces --------------------------------------------------------
 */

/* A mapping of one's own: split, moved, twice there, and gone. */
static inline void fmr_scratch(struct fmr_thread *t)
{
	uva_t a = FMR_SCRATCH + t->id * 0x400000, b = a + 0x200000;
	u64 len = (u64)FMR_STABLE << PAGE_SHIFT;

	fmr_map(t->r, t->mm, a, MAP_SHARED);
	fmr_store_own(t, a);
	mm_verify(!do_mprotect(t->mm, a + PAGE_SIZE, PAGE_SIZE, PROT_READ));
	fmr_load_own(t, a);
	mm_verify(!do_mprotect(t->mm, a + PAGE_SIZE, PAGE_SIZE,
			       PROT_READ | PROT_WRITE));
	mm_verify(do_mremap(t->mm, a, len, len, MREMAP_MAYMOVE | MREMAP_FIXED,
			    b) == (s64)b);
	fmr_store_own(t, b);
	fmr_load_own(t, b);
	mm_verify(!do_munmap(t->mm, a, FMR_BYTES));
	mm_verify(!do_munmap(t->mm, b, len));
}

static inline void fmr_enter(struct fmr_thread *t, struct mm_struct *mm)
{
	task_use(mm);
	t->mm = mm;
}

static inline void fmr_fork(struct fmr_thread *t)
{
	struct mm_struct *mm = t->mm, *child;

	if (mm_fork(mm, &child))
		return;
	mm_get(mm);
	fmr_enter(t, child);
	fmr_load_own(t, FMR_SHARED);
	fmr_store_own(t, FMR_SHARED);
	fmr_touch(t, true);
	fmr_enter(t, mm);
	mm_put(mm);
	mm_put(child);
}

static inline void fmr_space_op(struct fmr_thread *t)
{
	static const int advice[] = {MADV_DONTNEED, MADV_PAGEOUT, MADV_WILLNEED,
				     MADV_COLD};
	u64 n = prng_below(&t->rnd, 8);
	int err = 0;

	if (n < 4)
		err = do_madvise(t->mm, n % 2 ? FMR_SHARED : FMR_PRIVATE,
				 FMR_BYTES, advice[prng_below(&t->rnd, 4)]);
	else if (n == 4)
		err = do_msync(t->mm, FMR_SHARED, FMR_BYTES, MS_SYNC);
	else if (n == 5)
		fmr_fork(t);
	else if (n == 6)
		fmr_scratch(t);
	else
		fmr_map(t->r, t->mm, FMR_PRIVATE, MAP_PRIVATE);
	mm_verify(err == 0);
	fmr_count(&t->r->ops);
}

/* A thread; ARG is the race. */
static inline void fmr_thread(void *arg)
{
	struct fmr_thread t = {.r = arg};

	t.id = __atomic_fetch_add(&t.r->next, 1, __ATOMIC_RELAXED);
	fmr_enter(&t, t.r->mm[t.id % FMR_SPACES]);
	prng_seed(&t.rnd, t.r->seed * 1000 + t.id);
	for (u64 i = 0; i < t.r->iters; i++) {
		u64 what = prng_below(&t.rnd, 16);

		if (what < 3)
			fmr_store_own(&t, FMR_SHARED);
		else if (what < 6)
			fmr_load_own(&t, FMR_SHARED);
		else if (what < 7)
			fmr_write_own(&t);
		else if (what < 8)
			fmr_read_own(&t);
		else if (what < 12)
			fmr_touch(&t, what & 1);
		else if (what < 14)
			fmr_file_op(&t);
		else
			fmr_space_op(&t);
	}
	for (u64 page = 0; page < FMR_STABLE; page++)
		fmr_load_own(&t, FMR_SHARED);
	fmr_enter(&t, NULL);
	port_current()->flags |= PF_KTHREAD;
}

static inline void fmr_open(struct fmr *r, struct port_bdev *bdev)
{
	r->sb = (struct super_block){
		.s_dev = 0x803, .s_id = "fmr", .s_maxbytes = MAX_LFS_FILESIZE};
	mm_verify(!flatfile_new(&r->sb, bdev, 1, S_IFREG | 0600, &r->inode));
	r->file = file_open(r->inode, FMODE_READ | FMODE_WRITE, 0, "/fmr");
	mm_verify(r->file);
}

/* BDEV, empty, holds the file, unless it is in memory. */
static inline void fmr_begin(struct fmr *r, struct port_bdev *bdev)
{
	struct mm_layout l;

	if (r->memory) {
		r->file = memfd_create_file("fmr", 0);
		mm_verify(!IS_ERR(r->file));
		r->inode = r->file->f_inode;
		ihold(r->inode);
	} else {
		fmr_open(r, bdev);
	}
	mm_verify(!fmr_truncate(r, FMR_BYTES));
	mm_default_layout(&l);
	for (int i = 0; i < FMR_SPACES; i++) {
		mm_verify(!mm_create(&l, &r->mm[i]));
		fmr_map(r, r->mm[i], FMR_SHARED, MAP_SHARED);
		fmr_map(r, r->mm[i], FMR_PRIVATE, MAP_PRIVATE);
	}
}

static inline void fmr_end(struct fmr *r)
{
	mm_verify(r->loads && r->stores && r->ops);
	for (int i = 0; i < FMR_SPACES; i++) {
		mm_check(r->mm[i]);
		mm_put(r->mm[i]);
	}
	mm_verify(!mapping_mapped(r->inode->i_mapping));
	mm_verify(global_node_page_state(NR_FILE_MAPPED) == 0);
	mapping_check(r->inode->i_mapping);
	fput(r->file);
	iput(r->inode);
}

#endif
