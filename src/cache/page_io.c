/* SPDX-License-Identifier: MIT */
/*
 * page_io.c - moving pages between frames and swap devices, zswap between.
 *
 * A write marks the page PG_writeback and unlocks it; the end of the write,
 * in interrupt context, clears the bit and moves a page that reclaim waits
 * for to the end of its list. A failed write makes the page dirty again: it
 * was never let go of. A failed read leaves the page not uptodate, and the
 * fault that waits for it ends in SIGBUS for its owner alone.
 */
#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>
#include <mmkit/slab.h>

#include "base/fail.h"
#include "base/printk.h"
#include "base/string.h"
#include "base/trace_ring.h"
#include "base/wait.h"
#include "cache/swap.h"
#include "phys/group.h"
#include "phys/lru.h"
#include "phys/mmzone.h"
#include "phys/vmstat.h"

#define SECTORS_PER_PAGE (PAGE_SIZE / PORT_SECTOR_SIZE)

static struct port_bio *bio_new(struct page *page, enum port_bio_op op,
				gfp_t gfp)
{
	swp_entry_t entry = page_swap_entry(page);
	const struct swap_info *si = cache_sys.swap[swp_type(entry)];
	struct port_bio *bio =
		kmem_cache_alloc(cache_sys.bio_cache, gfp | __GFP_NOWARN);

	if (!bio)
		return NULL;
	bio->bdev = si->bdev;
	bio->op = op;
	bio->sector =
		swap_disk_page(si, (u32)swp_offset(entry)) * SECTORS_PER_PAGE;
	bio->nr_pages = 1;
	bio->pfn[0] = page_to_pfn(page);
	bio->private = page;
	bio->status = 0;
	return bio;
}

/* Pages whose write is under way, by node and by zone. */
static void count_writeback(struct page *page, long n)
{
	struct zone *zone = page_zone(page);

	page_stat_add(page, NR_WRITEBACK, n);
	mod_zone_page_state(zone, NR_ZONE_WRITE_PENDING, n);
}

/* Interrupt context. The page cannot go while PG_writeback is set. */
static void write_end(struct port_bio *bio)
{
	struct page *page = bio->private;

	if (bio->status) {
		pr_err("swap: write error %d at sector %llu of %s\n",
		       bio->status, (unsigned long long)bio->sector,
		       port_bdev_name(bio->bdev));
		SetPageDirty(page);
		ClearPageReclaim(page);
	}
	count_writeback(page, -1);
	mod_node_page_state(page_zone(page)->zone_pgdat, NR_WRITTEN, 1);
	acct_reclaim_writeback(page);
	if (TestClearPageReclaim(page))
		lru_rotate_reclaimable(page);
	end_page_writeback(page);
	kmem_cache_free(cache_sys.bio_cache, bio);
}

/* PAGE was kept: what the end of a write does. */
static void kept_end(struct page *page)
{
	SetPageWriteback(page);
	unlock_page(page);
	if (TestClearPageReclaim(page))
		lru_rotate_reclaimable(page);
	end_page_writeback(page);
}

int swap_writepage(struct page *page)
{
	mm_assert(PageLocked(page) && PageSwapCache(page));
	mm_assert(!PageWriteback(page));
	if (!zswap_store(page))
		return swap_write_disk(page);
	kept_end(page);
	return 0;
}

int swap_write_disk(struct page *page)
{
	swp_entry_t entry = page_swap_entry(page);
	struct port_bio *bio;

	mm_assert(PageLocked(page) && PageSwapCache(page));
	mm_assert(!PageWriteback(page));
	if (fail_should(FAIL_BIO_WRITE))
		return -ENOMEM;
	bio = bio_new(page, PORT_BIO_WRITE, __GFP_HIGH);
	if (!bio)
		return -ENOMEM;
	bio->end_io = write_end;
	count_vm_event(PSWPOUT);
	count_vm_events(PGPGOUT, PAGE_SIZE / 1024); /* in KiB */
	trace_emit(SWAP_OUT, page_to_pfn(page), swp_type(entry),
		   swp_offset(entry));
	count_writeback(page, 1);
	SetPageWriteback(page);
	unlock_page(page);
	port_bio_submit(bio);
	return 0;
}

/* Interrupt context. */
static void read_end(struct port_bio *bio)
{
	struct page *page = bio->private;

	if (bio->status) {
		pr_err("swap: read error %d at sector %llu of %s\n",
		       bio->status, (unsigned long long)bio->sector,
		       port_bdev_name(bio->bdev));
		SetPageError(page);
	} else {
		SetPageUptodate(page);
	}
	unlock_page(page);
	kmem_cache_free(cache_sys.bio_cache, bio);
}

int swap_readpage(struct page *page)
{
	swp_entry_t entry = page_swap_entry(page);
	struct port_bio *bio;

	mm_assert(PageLocked(page) && PageSwapCache(page));
	mm_assert(!PageUptodate(page));
	if (zswap_load(page)) {
		unlock_page(page);
		return 0;
	}
	if (fail_should(FAIL_BIO_READ))
		return -ENOMEM;
	bio = bio_new(page, PORT_BIO_READ, GFP_NOIO);
	if (!bio)
		return -ENOMEM;
	bio->end_io = read_end;
	count_vm_event(PSWPIN);
	count_vm_events(PGPGIN, PAGE_SIZE / 1024); /* in KiB */
	trace_emit(SWAP_IN, page_to_pfn(page), swp_type(entry),
		   swp_offset(entry), PageReadahead(page));
	task_io_add(&port_current()->io.read_bytes, 1);
	port_bio_submit(bio);
	return 0;
}

/* ---- waiting for one page
 * -------------------------------------------------------- */

static void sync_end(struct port_bio *bio)
{
	complete(bio->private);
}

int bdev_read_page(struct port_bdev *bdev, u64 page_index, struct page *page)
{
	struct completion done;
	struct port_bio *bio =
		kmem_cache_alloc(cache_sys.bio_cache, GFP_KERNEL | __GFP_ZERO);
	int err;

	if (!bio)
		return -ENOMEM;
	if ((page_index + 1) * PAGE_SIZE > port_bdev_size(bdev)) {
		kmem_cache_free(cache_sys.bio_cache, bio);
		return -EINVAL;
	}
	init_completion(&done);
	bio->bdev = bdev;
	bio->op = PORT_BIO_READ;
	bio->sector = page_index * SECTORS_PER_PAGE;
	bio->nr_pages = 1;
	bio->pfn[0] = page_to_pfn(page);
	bio->end_io = sync_end;
	bio->private = &done;
	task_io_add(&port_current()->io.read_bytes, 1);
	port_bio_submit(bio);
	wait_for_completion(&done);
	err = bio->status;
	kmem_cache_free(cache_sys.bio_cache, bio);
	return err;
}
