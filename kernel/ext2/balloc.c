/* SPDX-License-Identifier: MIT */
/*
 * balloc.c - which blocks are free.
 *
 * 1. Purpose. A bitmap per group of blocks, one bit each, and counters of what
 *    is free by group and in all.
 *
 * 2. Locality. A file's next block is sought behind its last one (the goal),
 *    then in the goal's neighbourhood, then where a byte of the bitmap is
 *    empty, so that a new run has room to grow, then anywhere; first in the
 *    goal's group, then in the others in turn.
 *
 * 3. Invariants.
 *    BA-1  A group's counter is the number of clear bits that stand for
 *          blocks; the sum of all is free_blocks.
 *    BA-2  What an ordinary user's file takes leaves the reserved blocks.
 *    BA-3  A block of the system (superblock, descriptors, bitmaps, inode
 *          table) is never given out or taken back, whatever a bitmap says.
 *
 * 4. Failure. A bitmap that cannot be read or contradicts the counters:
 *    the group is left out, with a message; other groups serve.
 *
 * 5. Locking. fs->alloc for all of it.
 */
#include "base/printk.h"
#include "base/string.h"
#include "ext2/ext2.h"
#include "task.h"

#define CAP_SYS_RESOURCE 24

u32 ext2_group_first(const struct ext2_fs *fs, u32 group)
{
	return fs->first_block + group * fs->blocks_per_group;
}

static u32 group_of(const struct ext2_fs *fs, u32 block)
{
	return (block - fs->first_block) / fs->blocks_per_group;
}

/* Blocks of GROUP; the last one may be short. */
static u32 group_blocks(const struct ext2_fs *fs, u32 group)
{
	u32 first = ext2_group_first(fs, group);

	return min(fs->blocks - first, fs->blocks_per_group);
}

static bool power_of(u32 n, u32 base)
{
	while (n > 1 && n % base == 0)
		n /= base;
	return n == 1;
}

bool ext2_group_has_super(const struct ext2_fs *fs, u32 group)
{
	return !fs->sparse || group < 2 || power_of(group, 3) ||
	       power_of(group, 5) || power_of(group, 7);
}

static bool system_block(const struct ext2_fs *fs, u32 block)
{
	u32 group = group_of(fs, block);
	const struct ext2_group *g = &fs->groups[group];
	u32 table = DIV_ROUND_UP(fs->inodes_per_group * fs->inode_size,
				 fs->block_size);

	if (block == g->block_bitmap || block == g->inode_bitmap)
		return true;
	if (block - g->inode_table < table)
		return true;
	return ext2_group_has_super(fs, group) &&
	       block - ext2_group_first(fs, group) <
		       1 + fs->desc_blocks + fs->reserved_gdt;
}

bool ext2_block_ok(const struct ext2_fs *fs, u32 block)
{
	return block >= fs->first_block && block < fs->blocks &&
	       !system_block(fs, block);
}

/* ---- taking ----------------------------------------------------------------
 */

/* May the running task take one of the last blocks? */
static bool may_take_reserved(const struct ext2_fs *fs)
{
	const struct task *t = current;

	/* Kernel threads write what was promised. */
	return !t || t->cred.fsuid == fs->resuid || capable(CAP_SYS_RESOURCE) ||
	       (fs->resgid && t->cred.fsgid == fs->resgid);
}

static bool bit_get(const u8 *map, u32 bit)
{
	return map[bit / 8] >> bit % 8 & 1;
}

/* First clear bit of [FROM, TO) of MAP, TO: none. BYTE: of an empty byte. */
static u32 clear_bit_find(const u8 *map, u32 from, u32 to, bool byte)
{
	for (u32 i = from; i < to;) {
		u8 b = map[i / 8];

		if (i % 8 == 0 && i + 8 <= to && (b == 0xff || byte)) {
			if (b == 0)
				return i;
			i += 8;
			continue;
		}
		if (!byte && !bit_get(map, i))
			return i;
		i++;
	}
	return to;
}

/* A bit near WANT in a group of NR blocks; NR: all are taken. */
static u32 choose_bit(const u8 *map, u32 want, u32 nr)
{
	u32 near = min((want + 64) & ~63u, nr), bit;

	bit = clear_bit_find(map, want, near, false);
	if (bit < near)
		return bit;
	bit = clear_bit_find(map, ALIGN(near, 8u), nr, true);
	if (bit < nr)
		return bit;
	bit = clear_bit_find(map, want, nr, false);
	return bit < nr ? bit : clear_bit_find(map, 0, want, false);
}

static u32 choose_in(const u8 *map, u32 want, u32 nr)
{
	u32 bit = choose_bit(map, want, nr);

	return bit < nr && !bit_get(map, bit) ? bit : nr;
}

/* A block of GROUP, WANT being best. 0, -ENOSPC (nothing here), other. */
static int take_in_group(struct ext2_fs *fs, u32 group, u32 want, u32 *out)
{
	struct ext2_group *g = &fs->groups[group];
	u32 nr = group_blocks(fs, group), bit, block;
	struct ext2_buf b;
	int err;

	err = ext2_bread(fs, g->block_bitmap, &b);
	if (err)
		return err;
	for (;;) {
		bit = choose_in(b.data, want, nr);
		block = ext2_group_first(fs, group) + bit;
		if (bit >= nr) {
			(void)ext2_error(fs,
					 "group %u: %u blocks should be free, "
					 "its bitmap has none",
					 group, g->free_blocks);
			fs->free_blocks -= g->free_blocks;
			g->free_blocks = 0;
			ext2_bput(&b);
			return -ENOSPC;
		}
		ext2_block(&b);
		((u8 *)b.data)[bit / 8] |= (u8)(1u << bit % 8);
		ext2_bdirty_unlock(&b);
		if (!system_block(fs, block))
			break;
		(void)ext2_error(fs,
				 "group %u: block %u of the system is free "
				 "in the bitmap",
				 group, block);
	}
	ext2_bput(&b);
	*out = block;
	return 0;
}

/* alloc held: the counters after one block of GROUP was taken. */
static void count_taken(struct ext2_fs *fs, u32 group)
{
	struct ext2_group *g = &fs->groups[group];

	g->free_blocks--;
	g->dirty = true;
	fs->free_blocks--;
	fs->super_dirty = true;
}

static int take_block(struct ext2_fs *fs, u32 goal, u32 *out)
{
	u32 first = group_of(fs, goal), fault = 0;

	if (!fs->free_blocks ||
	    (fs->free_blocks <= fs->reserved_blocks && !may_take_reserved(fs)))
		return -ENOSPC;
	for (u32 i = 0; i < fs->nr_groups; i++) {
		u32 group = (first + i) % fs->nr_groups;
		u32 want = i ? 0 : goal - ext2_group_first(fs, group);
		int err;

		if (!fs->groups[group].free_blocks)
			continue;
		err = take_in_group(fs, group, want, out);
		if (!err) {
			count_taken(fs, group);
			return 0;
		}
		if (err != -ENOSPC)
			fault = (u32)-err;
	}
	return fault ? -(int)fault : -ENOSPC;
}

int ext2_alloc_block(struct ext2_inode *ei, u32 goal, u32 *out)
{
	struct ext2_fs *fs = ei->fs;
	int err;

	if (goal < fs->first_block || goal >= fs->blocks)
		goal = ext2_group_first(fs, ei->group);
	if (ext2_readonly(fs))
		return -EROFS;
	mutex_lock(&fs->alloc);
	err = take_block(fs, goal, out);
	mutex_unlock(&fs->alloc);
	return err;
}

/* ---- giving back -----------------------------------------------------------
 */

/* NR blocks from BIT on of GROUP. */
static void free_in_group(struct ext2_fs *fs, u32 group, u32 bit, u32 nr)
{
	struct ext2_group *g = &fs->groups[group];
	u32 freed = 0;
	struct ext2_buf b;

	/* What cannot be given back stays taken: e2fsck finds it. For want
	 * of memory alone that must not be. */
	if (ext2_bread_again(fs, g->block_bitmap, &b)) {
		pr_err("ext2: %s: group %u: bitmap unreadable, %u blocks lost\n",
		       fs->name, group, nr);
		return;
	}
	ext2_block(&b);
	for (u32 i = bit; i < bit + nr; i++) {
		u8 *byte = (u8 *)b.data + i / 8;

		freed += *byte >> i % 8 & 1;
		*byte &= (u8) ~(1u << i % 8);
	}
	ext2_bdirty_unlock(&b);
	ext2_bput(&b);
	if (freed != nr)
		(void)ext2_error(fs,
				 "group %u: %u of %u blocks from %u on "
				 "were free already",
				 group, nr - freed, nr,
				 ext2_group_first(fs, group) + bit);
	g->free_blocks += freed;
	g->dirty = true;
	fs->free_blocks += freed;
	fs->super_dirty = true;
}

void ext2_free_blocks(struct ext2_fs *fs, u32 block, u32 nr, bool meta)
{
	for (u32 i = 0; i < nr && meta; i++)
		ext2_bforget(fs, block + i);
	while (nr) {
		u32 group, bit, n;

		if (!ext2_block_ok(fs, block)) {
			(void)ext2_error(fs, "block %u cannot be freed", block);
			block++;
			nr--;
			continue;
		}
		group = group_of(fs, block);
		bit = block - ext2_group_first(fs, group);
		for (n = 1; n < nr && bit + n < group_blocks(fs, group) &&
			    ext2_block_ok(fs, block + n);
		     n++)
			;
		mutex_lock(&fs->alloc);
		free_in_group(fs, group, bit, n);
		mutex_unlock(&fs->alloc);
		block += n;
		nr -= n;
	}
}
