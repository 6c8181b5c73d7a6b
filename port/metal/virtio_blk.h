/* SPDX-License-Identifier: MIT */
/*
 * virtio_blk.h - a virtio disk. Private to port/metal. Theory: virtio_blk.c.
 */
#ifndef METAL_VIRTIO_BLK_H
#define METAL_VIRTIO_BLK_H

#include "virtio.h"

struct vblk;

/*
 * vblk_open: make a disk of DEV, whose id is VIRTIO_ID_BLOCK. NAME and DEV live
 * as long. May sleep. 0, -ENOMEM, -EIO (logged).
 */
int vblk_open(struct vblk **out, struct virtio_dev *dev,
	      const char *name) MM_MUST_CHECK;
/* vblk_submit: see port_bio_submit(). */
void vblk_submit(struct vblk *d, struct port_bio *bio);
/* vblk_poll: finish what the device has done, without its interrupt. True:
 * there was something. Any context but its own interrupt. */
bool vblk_poll(struct vblk *d);
/* vblk_busy: requests that were submitted and have not ended. */
u32 vblk_busy(const struct vblk *d);
u64 vblk_bytes(const struct vblk *d);
bool vblk_read_only(const struct vblk *d);
/* vblk_discard_max: port_bdev_discard_max(). */
u32 vblk_discard_max(const struct vblk *d);
/* vblk_write_back: does it need flushes? */
bool vblk_write_back(const struct vblk *d);
/* vblk_stats: what was done so far. Any context. */
struct machine_disk_stats;
void vblk_stats(struct vblk *d, struct machine_disk_stats *out);
/* vblk_lost: interrupts that a watchdog had to stand in for. */
u64 vblk_lost(const struct vblk *d);

#endif
