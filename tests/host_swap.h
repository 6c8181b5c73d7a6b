/* SPDX-License-Identifier: MIT */
/*
 * host_swap.h - swap in memory for a test of the host world.
 */
#ifndef TESTS_HOST_SWAP_H
#define TESTS_HOST_SWAP_H

#include <mmkit/page_alloc.h>

#include "base/wait.h"
#include "cache/swap.h"
#include "host.h"

static inline void host_swap_written(struct port_bio *bio)
{
	complete(bio->private);
}

/* A disk of PAGES pages, header included, in use for swap at priority PRIO. */
static inline struct port_bdev *host_swap(u32 pages, s16 prio)
{
	struct host_disk_config dc = {.name = "swap",
				      .size_bytes = (u64)pages << PAGE_SHIFT};
	struct page *page = alloc_pages(GFP_KERNEL, 0);
	struct port_bdev *disk;
	struct port_bio bio = {0};
	struct completion done;

	mm_verify(page && !host_disk_open(&disk, &dc, NULL));
	swap_header_init(page_view(page), pages);
	init_completion(&done);
	bio.bdev = disk;
	bio.op = PORT_BIO_WRITE;
	bio.nr_pages = 1;
	bio.pfn[0] = page_to_pfn(page);
	bio.end_io = host_swap_written;
	bio.private = &done;
	port_bio_submit(&bio);
	wait_for_completion(&done);
	__free_pages(page, 0);
	mm_verify(!bio.status && swapon(disk, prio) >= 0);
	return disk;
}

#endif
