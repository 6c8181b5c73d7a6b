/* SPDX-License-Identifier: MIT */
/*
 * filemap_race.h - several threads at one file, in any world. Writers write
 * the one right byte of each place; others truncate, punch holes, sync,
 * invalidate, drop caches, fault and take memory away. So whoever reads sees
 * at each place the right byte or zero, never another, and never a byte behind
 * the end that was not written.
 */
#ifndef TESTS_FILEMAP_RACE_H
#define TESTS_FILEMAP_RACE_H

#include <mmkit/errno.h>
#include <mmkit/flatfile.h>
#include <mmkit/page_alloc.h>

#include "base/prng.h"
#include "base/string.h"
#include "cache/filemap.h"
#include "cache/swap.h"
#include "phys/lru.h"

#define RACE_BYTES   (48 * PAGE_SIZE)
#define RACE_THREADS 6

struct race {
	struct inode *inode;
	struct super_block sb;
	u64 seed, iters;
	u64 reads, writes, others; /* (A) what happened */
	u64 next;		   /* (A) numbers threads */
};

static inline u8 race_byte(u64 at)
{
	return (u8)(1 + prng_mix(at) % 255);
}

static inline void race_check(const u8 *buf, u64 pos, u64 n)
{
	for (u64 i = 0; i < n; i++)
		mm_verify(!buf[i] || buf[i] == race_byte(pos + i));
}

static inline void race_write(struct file *file, struct prng *rnd, u8 *buf)
{
	u64 pos = prng_below(rnd, RACE_BYTES - 1), n;

	n = min(1 + prng_below(rnd, 3 * PAGE_SIZE), RACE_BYTES - pos);
	for (u64 i = 0; i < n; i++)
		buf[i] = race_byte(pos + i);
	mm_verify(kernel_write(file, buf, n, &pos) == (s64)n);
}

static inline void race_read(struct file *file, struct prng *rnd, u8 *buf)
{
	u64 pos = prng_below(rnd, RACE_BYTES), at = pos;
	s64 n = kernel_read(file, buf, 1 + prng_below(rnd, 3 * PAGE_SIZE), &at);

	mm_verify(n >= 0 && at == pos + (u64)n);
	race_check(buf, pos, (u64)n);
}

static inline void race_fault(struct file *file, struct prng *rnd)
{
	struct filemap_fault ff = {.file = file, .pgoff = prng_below(rnd, 48)};
	int err = filemap_fault_page(&ff);
	u8 *view;

	mm_verify(err == 0 || err == -EFAULT);
	if (err)
		return;
	/* Who holds the lock relies on it. */
	mm_verify(page_mapping(ff.page) == file->f_mapping);
	mm_verify(PageUptodate(ff.page));
	view = page_map(ff.page);
	race_check(view, ff.pgoff << PAGE_SHIFT, PAGE_SIZE);
	page_unmap(ff.page, view);
	unlock_page(ff.page);
	put_page(ff.page);
}

static inline void race_pressure(struct prng *rnd)
{
	struct page *held[64];
	u32 n = 0, want = (u32)prng_below(rnd, 64);

	while (n < want) {
		held[n] = alloc_pages(
			GFP_HIGHUSER | __GFP_NORETRY | __GFP_NOWARN, 0);
		if (!held[n])
			break;
		n++;
	}
	while (n)
		put_page(held[--n]);
}

static inline void race_other(struct file *file, struct prng *rnd)
{
	struct inode *inode = file->f_inode;
	u64 pos = prng_below(rnd, RACE_BYTES);
	int err = 0;

	switch (prng_below(rnd, 8)) {
	case 0:
		err = vfs_truncate(inode, pos);
		break;
	case 1:
		err = file->f_op->fallocate(
			file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, pos,
			1 + prng_below(rnd, 5 * PAGE_SIZE));
		break;
	case 2:
		err = vfs_fsync_range(file, 0, INT64_MAX, false);
		break;
	case 3:
		(void)invalidate_mapping_pages(inode->i_mapping, 0, ~0UL);
		break;
	case 4:
		(void)drop_pagecache();
		break;
	case 5:
		err = vfs_fadvise(file, (s64)pos, 0, (int)prng_below(rnd, 6));
		break;
	case 6:
		race_pressure(rnd);
		break;
	default:
		err = vfs_sync_file_range(file, (s64)pos, 9999, 7);
		break;
	}
	mm_verify(err == 0);
}

/* A thread; ARG is the race. */
static inline void race_thread(void *arg)
{
	struct race *r = arg;
	u64 id = __atomic_fetch_add(&r->next, 1, __ATOMIC_RELAXED);
	struct file *file =
		file_open(r->inode, FMODE_READ | FMODE_WRITE, 0, "/race");
	struct page *page = alloc_pages(GFP_KERNEL, 2);
	struct prng rnd;

	mm_verify(file && page);
	prng_seed(&rnd, r->seed * 1000 + id);
	for (u64 i = 0; i < r->iters; i++) {
		u64 what = prng_below(&rnd, 10);

		if (what < 4) {
			race_write(file, &rnd, page_view(page));
			__atomic_fetch_add(&r->writes, 1, __ATOMIC_RELAXED);
		} else if (what < 7) {
			race_read(file, &rnd, page_view(page));
			__atomic_fetch_add(&r->reads, 1, __ATOMIC_RELAXED);
		} else if (what < 8) {
			race_fault(file, &rnd);
		} else {
			race_other(file, &rnd);
			__atomic_fetch_add(&r->others, 1, __ATOMIC_RELAXED);
		}
	}
	__free_pages(page, 2);
	fput(file);
}

/* A file on BDEV; threads are the world's to start. */
static inline void race_begin(struct race *r, struct port_bdev *bdev)
{
	r->sb = (struct super_block){
		.s_dev = 0x802, .s_id = "race", .s_maxbytes = MAX_LFS_FILESIZE};
	mm_verify(!flatfile_new(&r->sb, bdev, 1, S_IFREG | 0600, &r->inode));
}

/* All are done: cache, device and sizes agree; then the file goes. */
static inline void race_end(struct race *r)
{
	struct file *file = file_open(r->inode, FMODE_READ, 0, "/race");
	struct page *a = alloc_pages(GFP_KERNEL, 0);
	struct page *b = alloc_pages(GFP_KERNEL, 0);
	u64 size = i_size_read(r->inode), pos = 0;

	mm_verify(file && a && b);
	mm_verify(!vfs_fsync_range(file, 0, INT64_MAX, false));
	mm_verify(port_bdev_size(flatfile_bdev(r->inode)) == size);
	while (pos < size) {
		u64 at = pos;
		s64 n = kernel_read(file, page_view(a), PAGE_SIZE, &at), m;

		mm_verify(n == (s64)min(PAGE_SIZE, size - pos));
		race_check(page_view(a), pos, (u64)n);
		/* The same from the device. */
		lru_add_drain_all();
		mm_verify(!invalidate_inode_pages2_range(r->inode->i_mapping,
							 pos >> PAGE_SHIFT,
							 pos >> PAGE_SHIFT));
		at = pos;
		m = kernel_read(file, page_view(b), PAGE_SIZE, &at);
		mm_verify(m == n &&
			  !mm_memcmp(page_view(a), page_view(b), (size_t)n));
		pos = at;
	}
	put_page(a);
	put_page(b);
	mapping_check(r->inode->i_mapping);
	fput(file);
	iput(r->inode);
}

#endif
