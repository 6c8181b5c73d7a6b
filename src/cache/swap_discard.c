/* SPDX-License-Identifier: MIT */
/*
 * swap_discard.c - telling a disk which of a swap area it may forget.
 *
 * 1. Purpose. A disk of flash, or one that stands for a file with holes, works
 *    and costs less if it knows what nobody wants. Of swap that is all of it
 *    when swapping begins, and each cluster of 256 slots when the last of them
 *    was freed.
 *
 * 2. Way. Who frees the last slot of a cluster makes it due. It, or the next
 *    who frees or takes a slot, takes the first run of due clusters on its way:
 *    one request at a time, which needs no memory. A cluster that is due and
 *    wanted again is not due any more; of those on their way no slot is given
 *    out until the disk has answered, or what is written to it then would be
 *    forgotten.
 *
 * 3. Invariants (swap_discard_check).
 *    SD-1  A cluster that is due, or on its way, has no slot taken.
 *    SD-2  nr_due is their number.
 *    SD-3  nr is not 0 exactly while the request is the disk's.
 *
 * 4. Locking. swap_info.lock; the answer comes in an interrupt, which only
 *    writes nr. An area does not go while it is not 0.
 *
 * 5. Failure. What the disk refuses it has not forgotten: nothing is lost, and
 *    it is asked again for the next. Without memory at the start swapon fails.
 *
 * References: swapon(2), swapon(8); VIRTIO 1.1, 5.2.6.
 */
#include <mmkit/errno.h>
#include <mmkit/slab.h>

#include "base/printk.h"
#include "base/wait.h"
#include "cache/swap.h"

#define PAGE_SECTORS (PAGE_SIZE / PORT_SECTOR_SIZE)

/* ---- all of it
 * -------------------------------------------------------------- */

static void once_end(struct port_bio *bio)
{
	complete(bio->private);
}

/* Pages [PAGE, PAGE + NR) of SI's disk. 0 or what the disk said. */
static int forget_now(struct swap_info *si, u64 page, u64 nr)
{
	u32 most = port_bdev_discard_max(si->bdev);
	struct port_bio *bio = si->discard.bio;
	struct completion done;
	int err = 0;

	while (nr && !err) {
		u32 n = (u32)min(nr, (u64)most);

		init_completion(&done);
		*bio = (struct port_bio){.bdev = si->bdev,
					 .op = PORT_BIO_DISCARD,
					 .sector = page * PAGE_SECTORS,
					 .nr_pages = n,
					 .end_io = once_end,
					 .private = &done};
		port_bio_submit(bio);
		wait_for_completion(&done);
		err = bio->status;
		page += n;
		nr -= n;
	}
	return err;
}

/* All slots but the header's. */
static int forget_area(struct swap_info *si)
{
	int err = 0;

	if (!si->file)
		return forget_now(si, 1, si->max - 1);
	for (u32 i = 0; i < si->nr_extents && !err; i++) {
		const struct swap_extent *e = &si->extents[i];
		u32 skip = e->start == 0;

		if (e->nr > skip)
			err = forget_now(si, e->disk + skip, e->nr - skip);
	}
	return err;
}

int swap_discard_init(struct swap_info *si, u32 how)
{
	struct swap_discard *d = &si->discard;
	u32 most = port_bdev_discard_max(si->bdev);
	int err;

	if (!how || !most)
		return 0;
	d->bio = kzalloc(sizeof(*d->bio), GFP_KERNEL);
	d->due = kcalloc(si->nr_clusters, sizeof(*d->due), GFP_KERNEL);
	if (!d->bio || !d->due)
		return -ENOMEM;
	d->how = how;
	if (most < SWAPFILE_CLUSTER)
		d->how &= ~SWAP_DISCARD_PAGES;
	err = how & SWAP_DISCARD_ONCE ? forget_area(si) : 0;
	if (err)
		pr_err("swapon: discard_swap(%s): %d\n", swap_area_name(si),
		       err);
	return 0;
}

void swap_discard_exit(struct swap_info *si)
{
	while (__atomic_load_n(&si->discard.nr, __ATOMIC_ACQUIRE))
		port_park(100 * 1000);
	kfree(si->discard.bio);
	kfree(si->discard.due);
}

/* ---- clusters
 * --------------------------------------------------------------- */

void swap_discard_empty(struct swap_info *si, u32 cluster)
{
	struct swap_discard *d = &si->discard;

	assert_spin_locked(&si->lock);
	if (!(d->how & SWAP_DISCARD_PAGES))
		return;
	mm_verify(!d->due[cluster] && !swap_discard_away(si, cluster));
	d->due[cluster] = 1;
	d->nr_due++;
}

void swap_discard_taken(struct swap_info *si, u32 cluster)
{
	struct swap_discard *d = &si->discard;

	assert_spin_locked(&si->lock);
	if (likely(!d->nr_due) || !d->due[cluster])
		return;
	d->due[cluster] = 0;
	d->nr_due--;
}

bool swap_discard_away(const struct swap_info *si, u32 cluster)
{
	const struct swap_discard *d = &si->discard;
	u32 nr = __atomic_load_n(&d->nr, __ATOMIC_ACQUIRE);

	return unlikely(nr) && cluster - d->from < nr;
}

/* Interrupt context: from now on SI may go. */
static void flight_end(struct port_bio *bio)
{
	struct swap_info *si = bio->private;

	__atomic_store_n(&si->discard.nr, 0, __ATOMIC_RELEASE);
}

/* Does CLUSTER lie in one piece behind the page AT of the disk? */
static bool follows(const struct swap_info *si, u32 cluster, u64 at)
{
	u32 first = cluster * SWAPFILE_CLUSTER;

	return swap_disk_page(si, first) == at &&
	       swap_disk_page(si, first + SWAPFILE_CLUSTER - 1) ==
		       at + SWAPFILE_CLUSTER - 1;
}

/* The first due clusters that lie in one piece, as many as a request may name;
 * they are due no more. How many: 0 for one in pieces. */
static u32 take_run(struct swap_info *si, u32 *from)
{
	struct swap_discard *d = &si->discard;
	u32 most = port_bdev_discard_max(si->bdev) / SWAPFILE_CLUSTER;
	u32 c = 0, nr = 0;
	u64 at;

	while (!d->due[c])
		c++;
	*from = c;
	at = swap_disk_page(si, c * SWAPFILE_CLUSTER);
	while (nr < most && c + nr < si->nr_clusters && d->due[c + nr] &&
	       follows(si, c + nr, at + (u64)nr * SWAPFILE_CLUSTER))
		nr++;
	for (u32 i = c; i < c + max(nr, 1u); i++)
		swap_discard_taken(si, i);
	return nr;
}

struct port_bio *swap_discard_next(struct swap_info *si)
{
	struct swap_discard *d = &si->discard;
	u32 nr;

	assert_spin_locked(&si->lock);
	if (likely(!d->nr_due) || !si->in_use || port_in_irq() ||
	    __atomic_load_n(&d->nr, __ATOMIC_ACQUIRE))
		return NULL;
	nr = take_run(si, &d->from);
	if (!nr)
		return NULL;
	__atomic_store_n(&d->nr, nr, __ATOMIC_RELEASE);
	*d->bio = (struct port_bio){
		.bdev = si->bdev,
		.op = PORT_BIO_DISCARD,
		.sector = swap_disk_page(si, d->from * SWAPFILE_CLUSTER) *
			  PAGE_SECTORS,
		.nr_pages = nr * SWAPFILE_CLUSTER,
		.end_io = flight_end,
		.private = si};
	return d->bio;
}

void swap_discard_check(const struct swap_info *si)
{
	const struct swap_discard *d = &si->discard;
	u32 due = 0;

	for (u32 c = 0; d->due && c < si->nr_clusters; c++) {
		if (d->due[c] || swap_discard_away(si, c))
			mm_verify(si->cluster_count[c] == 0);
		due += d->due[c];
	}
	mm_verify(due == d->nr_due);
}
