/* SPDX-License-Identifier: MIT */
/*
 * flatfile.h - the simplest file system: each file is a block device of the
 * world, byte for byte. Theory: src/cache/flatfile.c.
 */
#ifndef MMKIT_FLATFILE_H
#define MMKIT_FLATFILE_H

#include <mmkit/fs.h>

struct port_bdev;

/* fallocate(2) */
#ifndef FALLOC_FL_KEEP_SIZE
#define FALLOC_FL_KEEP_SIZE  0x01
#define FALLOC_FL_PUNCH_HOLE 0x02
#endif

/*
 * flatfile_new: an inode of SB, number INO, whose contents are BDEV's, as long
 * as that is, with one reference. MODE: S_IFREG (S_IFBLK: its pages count as
 * buffers) and permissions. BDEV is the caller's and must live until the inode
 * is released; nobody else resizes it. 0, -ENOMEM; -EFBIG: longer than
 * SB allows. May sleep.
 */
int flatfile_new(struct super_block *sb, struct port_bdev *bdev, u64 ino,
		 u32 mode, struct inode **out) MM_MUST_CHECK;

/* flatfile_bdev: the device of an inode that flatfile_new() made. */
struct port_bdev *flatfile_bdev(const struct inode *inode);

#endif
