/* SPDX-License-Identifier: MIT */
/*
 * ialloc.c - which inodes are free.
 *
 * 1. Purpose. A bitmap per group of inodes. Where an inode is decides where
 *    its blocks are sought (balloc.c), so this places files on the disk.
 *
 * 2. Policy. A file goes where its directory is; if there is no room, by steps
 *    that double, so that directories that share a full group spread, then
 *    anywhere. A directory of the root goes where most is free; one further
 *    down goes with its parent as long as that group is not fuller than the
 *    average.
 *
 * 3. Invariants. IA-1: a group's counters are what its bitmap and inodes say;
 *    their sums are free_inodes and dirs.
 *
 * 4. Locking. fs->alloc.
 *
 * References: Linux documentation, filesystems/ext2; G. Orlov's directory
 * allocation as described there.
 */
#include "base/printk.h"
#include "ext2/ext2.h"

static bool group_usable(const struct ext2_fs *fs, u32 group)
{
	return fs->groups[group].free_inodes && fs->groups[group].free_blocks;
}

/* A group for a directory in the root: few directories, much room. */
static u32 spread_group(const struct ext2_fs *fs)
{
	u64 mean_inodes = fs->free_inodes / fs->nr_groups;
	u64 mean_blocks = fs->free_blocks / fs->nr_groups;
	u32 best = fs->nr_groups;

	for (u32 i = 0; i < fs->nr_groups; i++) {
		const struct ext2_group *g = &fs->groups[i];

		if (!group_usable(fs, i) || g->free_inodes < mean_inodes ||
		    g->free_blocks < mean_blocks)
			continue;
		if (best == fs->nr_groups || g->dirs < fs->groups[best].dirs)
			best = i;
	}
	return best;
}

static u32 dir_group(const struct ext2_fs *fs, const struct ext2_inode *dir)
{
	const struct ext2_group *g = &fs->groups[dir->group];
	u32 group;

	if (dir->ino == EXT2_ROOT_INO) {
		group = spread_group(fs);
		if (group < fs->nr_groups)
			return group;
	}
	if (g->free_inodes &&
	    g->free_inodes >= fs->free_inodes / fs->nr_groups / 2)
		return dir->group;
	for (u32 i = 0; i < fs->nr_groups; i++) {
		group = (dir->group + i) % fs->nr_groups;
		if (fs->groups[group].free_inodes >=
		    max(fs->free_inodes / fs->nr_groups, 1UL))
			return group;
	}
	return fs->nr_groups;
}

static u32 file_group(const struct ext2_fs *fs, const struct ext2_inode *dir)
{
	u32 group = dir->group;

	if (group_usable(fs, group))
		return group;
	group = (group + dir->ino) % fs->nr_groups;
	for (u32 step = 1; step < fs->nr_groups; step <<= 1) {
		group = (group + step) % fs->nr_groups;
		if (group_usable(fs, group))
			return group;
	}
	for (u32 i = 0; i < fs->nr_groups; i++) {
		group = (dir->group + i) % fs->nr_groups;
		if (fs->groups[group].free_inodes)
			return group;
	}
	return fs->nr_groups;
}

/* A free inode of GROUP. 0, -ENOSPC: the bitmap has none, others. */
static int take_in_group(struct ext2_fs *fs, u32 group, u32 *out)
{
	struct ext2_group *g = &fs->groups[group];
	u32 bit = group ? 0 : fs->first_ino - 1;
	struct ext2_buf b;
	u8 *map;
	int err = ext2_bread(fs, g->inode_bitmap, &b);

	if (err)
		return err;
	map = b.data;
	while (bit < fs->inodes_per_group && (map[bit / 8] >> bit % 8 & 1))
		bit++;
	if (bit < fs->inodes_per_group) {
		ext2_block(&b);
		map[bit / 8] |= (u8)(1u << bit % 8);
		ext2_bdirty_unlock(&b);
		*out = group * fs->inodes_per_group + bit + 1;
	} else {
		(void)ext2_error(fs,
				 "group %u: %u inodes should be free, its "
				 "bitmap has none",
				 group, g->free_inodes);
		fs->free_inodes -= g->free_inodes;
		g->free_inodes = 0;
		err = -ENOSPC;
	}
	ext2_bput(&b);
	return err;
}

static void count_taken(struct ext2_fs *fs, u32 group, bool dir)
{
	struct ext2_group *g = &fs->groups[group];

	g->free_inodes--;
	g->dirs += dir;
	g->dirty = true;
	fs->free_inodes--;
	fs->dirs += dir;
	fs->super_dirty = true;
}

int ext2_alloc_ino(struct ext2_inode *dir, u32 mode, u32 *out)
{
	struct ext2_fs *fs = dir->fs;
	bool is_dir = S_ISDIR(mode);
	int err = -ENOSPC;

	mutex_lock(&fs->alloc);
	while (fs->free_inodes && err == -ENOSPC) {
		u32 group = is_dir ? dir_group(fs, dir) : file_group(fs, dir);

		if (group >= fs->nr_groups)
			break;
		err = take_in_group(fs, group, out);
		if (!err)
			count_taken(fs, group, is_dir);
	}
	mutex_unlock(&fs->alloc);
	return err;
}

void ext2_free_ino(struct ext2_fs *fs, u32 ino, bool dir)
{
	u32 group = (ino - 1) / fs->inodes_per_group;
	u32 bit = (ino - 1) % fs->inodes_per_group;
	struct ext2_group *g = &fs->groups[group];
	struct ext2_buf b;
	bool was;
	u8 *byte;

	if (ext2_bread_again(fs, g->inode_bitmap, &b)) {
		pr_err("ext2: %s: group %u: bitmap unreadable, inode %u lost\n",
		       fs->name, group, ino);
		return;
	}
	mutex_lock(&fs->alloc);
	byte = (u8 *)b.data + bit / 8;
	ext2_block(&b);
	was = *byte >> bit % 8 & 1;
	*byte &= (u8) ~(1u << bit % 8);
	ext2_bdirty_unlock(&b);
	if (was) {
		g->free_inodes++;
		g->dirs -= dir && g->dirs;
		g->dirty = true;
		fs->free_inodes++;
		fs->dirs -= dir && fs->dirs;
		fs->super_dirty = true;
	}
	mutex_unlock(&fs->alloc);
	ext2_bput(&b);
	if (!was)
		(void)ext2_error(fs, "inode %u was free already", ino);
}
