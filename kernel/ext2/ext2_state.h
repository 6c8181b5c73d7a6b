/* SPDX-License-Identifier: MIT */
/*
 * ext2_state.h - what all ext2 file systems share.
 */
#ifndef KERNEL_EXT2_STATE_H
#define KERNEL_EXT2_STATE_H

#include <mmkit/types.h>

struct kmem_cache;

struct ext2_state {
	struct kmem_cache *inode_cache;
};
extern struct ext2_state ext2_sys;

#endif
