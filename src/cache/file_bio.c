/* SPDX-License-Identifier: MIT */
/*
 * file_bio.c - requests that move pages of files, for file systems.
 *
 * 1. Purpose. What each file system over a disk does alike: collect pages that
 *    lie behind one another on the disk, and settle the pages' states when the
 *    request ends.
 *
 * 2. Failure. A write needs no memory: if there is none for a request, one
 *    stands ready, for a single page, to be submitted at once, so that who
 *    waits for it waits for the disk only. A read without memory fails.
 *
 * 3. Locking. None; ends run in interrupt context. A page of a read is locked
 *    until then, one of a write under write-back.
 */
#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>
#include <mmkit/slab.h>

#include "base/fail.h"
#include "base/printk.h"
#include "base/string.h"
#include "cache/filemap.h"
#include "cache/swap.h"
#include "phys/vmstat.h"

#define SECTORS_PER_PAGE (PAGE_SIZE / PORT_SECTOR_SIZE)

int file_bio_init(void)
{
	struct flatfile_state *ff = &cache_sys.fm.flat;

	init_waitqueue_head(&ff->reserve_wait);
	ff->bio_cache = kmem_cache_create("file_bio", sizeof(struct port_bio),
					  0, 0, NULL);
	return ff->bio_cache ? 0 : -ENOMEM;
}

bool file_bio_is_reserve(const struct port_bio *bio)
{
	return bio == &cache_sys.fm.flat.reserve;
}

static bool take_reserve(struct flatfile_state *ff)
{
	return !__atomic_exchange_n(&ff->reserve_busy, true, __ATOMIC_ACQ_REL);
}

struct port_bio *file_bio_get(struct port_bdev *bdev, enum port_bio_op op,
			      gfp_t gfp)
{
	struct flatfile_state *ff = &cache_sys.fm.flat;
	bool write = op == PORT_BIO_WRITE;
	struct port_bio *bio = NULL;

	if (!fail_should(write ? FAIL_BIO_WRITE : FAIL_BIO_READ))
		bio = kmem_cache_alloc(ff->bio_cache, gfp | __GFP_NOWARN);
	if (!bio && !write)
		return NULL;
	if (!bio) {
		wait_event(ff->reserve_wait, take_reserve(ff));
		bio = &ff->reserve;
	}
	bio->bdev = bdev;
	bio->op = op;
	bio->nr_pages = 0;
	bio->status = 0;
	bio->private = NULL;
	return bio;
}

void file_bio_put(struct port_bio *bio)
{
	struct flatfile_state *ff = &cache_sys.fm.flat;

	if (!file_bio_is_reserve(bio)) {
		kmem_cache_free(ff->bio_cache, bio);
		return;
	}
	__atomic_store_n(&ff->reserve_busy, false, __ATOMIC_RELEASE);
	wake_up(&ff->reserve_wait);
}

void file_bio_add(struct port_bio *bio, const struct page *page, u64 sector)
{
	mm_assert(!bio->nr_pages || file_bio_fits(bio, sector));
	if (!bio->nr_pages)
		bio->sector = sector;
	bio->pfn[bio->nr_pages++] = page_to_pfn(page);
}

bool file_bio_fits(const struct port_bio *bio, u64 sector)
{
	return bio->nr_pages < PORT_BIO_MAX_PAGES &&
	       !file_bio_is_reserve(bio) &&
	       bio->sector + bio->nr_pages * SECTORS_PER_PAGE == sector;
}

static void complain(const struct port_bio *bio)
{
	pr_err("%s: %s error %d at sector %llu\n", port_bdev_name(bio->bdev),
	       bio->op == PORT_BIO_READ ? "read" : "write", bio->status,
	       (unsigned long long)bio->sector);
}

/* Interrupt context. Locked pages cannot go; the last touch is the unlock. */
static void read_end(struct port_bio *bio)
{
	if (bio->status)
		complain(bio);
	for (u32 i = 0; i < bio->nr_pages; i++) {
		struct page *page = pfn_to_page(bio->pfn[i]);

		if (bio->status)
			SetPageError(page);
		else
			SetPageUptodate(page);
		unlock_page(page);
	}
	file_bio_put(bio);
}

/* Interrupt context. */
static void write_end(struct port_bio *bio)
{
	if (bio->status)
		complain(bio);
	for (u32 i = 0; i < bio->nr_pages; i++)
		page_end_writeback(pfn_to_page(bio->pfn[i]), bio->status);
	file_bio_put(bio);
}

void file_bio_submit(struct port_bio *bio)
{
	bool read = bio->op == PORT_BIO_READ;

	bio->end_io = read ? read_end : write_end;
	count_vm_events(read ? PGPGIN : PGPGOUT,
			bio->nr_pages * (PAGE_SIZE / 1024));
	if (read)
		task_io_add(&port_current()->io.read_bytes, bio->nr_pages);
	port_bio_submit(bio);
}

bool file_page_within(struct page *page, u64 isize)
{
	u64 start = page_offset(page);
	char *view;

	if (start >= isize)
		return false;
	if (isize - start >= PAGE_SIZE)
		return true;
	view = page_map(page);
	mm_memset_racy(view + (isize - start), 0, PAGE_SIZE - (isize - start));
	page_unmap(page, view);
	return true;
}

/* ---- what the disk keeps back ----------------------------------------------
 */

static void flush_end(struct port_bio *bio)
{
	complete(bio->private);
}

int bdev_flush(struct port_bdev *bdev)
{
	/* As for a write: one is always to be had. */
	struct port_bio *bio = file_bio_get(bdev, PORT_BIO_WRITE, GFP_NOFS);
	struct completion done;
	int err;

	init_completion(&done);
	bio->op = PORT_BIO_FLUSH;
	bio->sector = 0;
	bio->end_io = flush_end;
	bio->private = &done;
	port_bio_submit(bio);
	wait_for_completion(&done);
	err = bio->status;
	file_bio_put(bio);
	return err;
}
