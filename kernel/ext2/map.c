/* SPDX-License-Identifier: MIT */
/*
 * map.c - which block of the disk a block of a file is.
 *
 * 1. Purpose. An inode has 15 pointers: 12 to blocks, one each to a block of
 *    pointers, to a block of pointers to such, and one level more. 0 is a
 *    hole, at each level.
 *
 * 2. Filling a hole goes from the inode down: an indirect block is zeroed
 *    before anything points to it. When the disk is full half-way the indirect
 *    blocks that were made stay, empty, as part of the file.
 *
 * 3. Giving up goes depth first: pointers are cleared, runs of neighbours are
 *    freed together, an indirect block goes when all of it did.
 *
 * 4. Invariants.
 *    MP-1  Each pointer that is followed is a block that a file may have
 *          (ext2_block_ok()); another is damage: -EIO, and a message says
 *          which inode and where.
 *    MP-2  blocks512 counts data, indirect and attribute blocks.
 *
 * 5. Locking. map_sem: for reading to look, for writing to change.
 *
 * References: D. Poirier, "The Second Extended File System".
 */
#include "base/string.h"
#include "ext2/ext2.h"

#define MAX_DEPTH 4u

/* Where INDEX is: OFFS[0] in the inode, the rest in indirect blocks. How many
 * steps; 0: no file reaches there. */
static u32 path_of(const struct ext2_fs *fs, u64 index, u32 offs[MAX_DEPTH])
{
	u64 per = 1UL << fs->addr_bits, span = per;

	if (index < EXT2_NDIR) {
		offs[0] = (u32)index;
		return 1;
	}
	index -= EXT2_NDIR;
	for (u32 level = 1; level < MAX_DEPTH; level++, span *= per) {
		if (index >= span) {
			index -= span;
			continue;
		}
		offs[0] = EXT2_NDIR + level - 1;
		for (u32 i = level; i > 0; i--, index >>= fs->addr_bits)
			offs[i] = (u32)(index & (per - 1));
		return level + 1;
	}
	return 0;
}

u64 ext2_max_size(const struct ext2_fs *fs)
{
	u64 per = 1UL << fs->addr_bits;
	u64 tree = EXT2_NDIR + per + per * per + per * per * per;
	/* i_blocks counts 512 bytes in 32 bits; indirect blocks too. */
	u64 counted = (1UL << 32) - 1;

	counted = counted / (fs->block_size / 512);
	counted -= counted / per + counted / per / per + 3;
	tree = min(tree, counted) << fs->block_bits;
	if (!fs->rev1)
		tree = min(tree, (1UL << 31) - 1);
	return min(tree, MAX_LFS_FILESIZE);
}

static int bad_pointer(const struct ext2_inode *ei, u64 index, u32 block)
{
	return ext2_error(ei->fs,
			  "inode %u: block %llu of the file leads to "
			  "block %u",
			  ei->ino, (unsigned long long)index, block);
}

/* ---- looking ---------------------------------------------------------------
 */

static int map_look(struct ext2_inode *ei, u64 index, u32 *out)
{
	struct ext2_fs *fs = ei->fs;
	u32 offs[MAX_DEPTH], depth = path_of(fs, index, offs), block;

	*out = 0;
	if (!depth)
		return 0;
	block = ei->block[offs[0]];
	for (u32 i = 1; i < depth && block; i++) {
		struct ext2_buf b;
		int err;

		if (!ext2_block_ok(fs, block))
			return bad_pointer(ei, index, block);
		err = ext2_bread(fs, block, &b);
		if (err)
			return err;
		block = READ_ONCE(((u32 *)b.data)[offs[i]]);
		ext2_bput(&b);
	}
	if (block && !ext2_block_ok(fs, block))
		return bad_pointer(ei, index, block);
	*out = block;
	return 0;
}

/* ---- filling ---------------------------------------------------------------
 */

/* Where the next block should be; PTRS is the array that it will stand in. */
static u32 find_goal(const struct ext2_inode *ei, u64 index, const u32 *ptrs,
		     u32 at, u32 parent)
{
	if (ei->last_block && index == ei->last_index + 1)
		return ei->last_block + 1;
	while (at-- > 0)
		if (ptrs[at])
			return ptrs[at] + 1;
	return parent ? parent + 1 : 0;
}

/* A block near GOAL; one that is no LEAF, an indirect one, is zeroed. */
static int fill_slot(struct ext2_inode *ei, u32 goal, bool leaf, u32 *out)
{
	struct ext2_fs *fs = ei->fs;
	int err = ext2_alloc_block(ei, goal, out);
	struct ext2_buf b;

	if (err || leaf)
		return err;
	err = ext2_bnew(fs, *out, &b);
	if (err)
		ext2_free_blocks(fs, *out, 1, true);
	else
		ext2_bput(&b);
	return err;
}

/* Slot AT of PTRS, in the inode or in B, is BLOCK from now on. */
static void set_slot(struct ext2_inode *ei, u32 *ptrs, u32 at,
		     struct ext2_buf *b, u32 block)
{
	if (b->page)
		ext2_block(b);
	WRITE_ONCE(ptrs[at], block);
	if (b->page)
		ext2_bdirty_unlock(b);
	ei->blocks512 += ei->fs->block_size / 512;
	WRITE_ONCE(ei->store_due, true);
}

/* map_sem for writing. */
static int map_fill(struct ext2_inode *ei, u64 index, u32 *out, bool *fresh)
{
	struct ext2_fs *fs = ei->fs;
	u32 offs[MAX_DEPTH], depth = path_of(fs, index, offs), *ptrs, block = 0;
	struct ext2_buf b = {0};
	int err = depth ? 0 : -EFBIG;

	ptrs = ei->block;
	for (u32 i = 0; i < depth && !err; i++) {
		block = ptrs[offs[i]];
		*fresh = !block;
		if (block && !ext2_block_ok(fs, block))
			err = bad_pointer(ei, index, block);
		else if (!block)
			err = fill_slot(ei,
					find_goal(ei, index, ptrs, offs[i],
						  b.page ? b.block : 0),
					i + 1 == depth, &block);
		if (!err && *fresh)
			set_slot(ei, ptrs, offs[i], &b, block);
		ext2_bput(&b);
		if (!err && i + 1 < depth) {
			err = ext2_bread(fs, block, &b);
			ptrs = b.data;
		}
	}
	ext2_bput(&b);
	if (err)
		return err;
	*out = block;
	ei->last_block = block;
	ei->last_index = index;
	return 0;
}

int ext2_map(struct ext2_inode *ei, u64 index, bool create, u32 *out,
	     bool *fresh)
{
	int err;

	*fresh = false;
	down_read(&ei->map_sem);
	err = map_look(ei, index, out);
	up_read(&ei->map_sem);
	if (err || *out || !create)
		return err;
	down_write(&ei->map_sem);
	err = map_fill(ei, index, out, fresh);
	up_write(&ei->map_sem);
	return err;
}

/* ---- giving up -------------------------------------------------------------
 */

/* Neighbours that are freed together. */
struct run {
	struct ext2_inode *ei;
	u32 block, nr;
	bool meta;
};

static void run_flush(struct run *r)
{
	u32 sectors = r->nr * (r->ei->fs->block_size / 512);

	if (!r->nr)
		return;
	ext2_free_blocks(r->ei->fs, r->block, r->nr, r->meta);
	/* A damaged inode may have counted fewer. */
	r->ei->blocks512 -= min(sectors, r->ei->blocks512);
	r->nr = 0;
}

static void run_add(struct run *r, u32 block)
{
	if (r->nr && block == r->block + r->nr) {
		r->nr++;
		return;
	}
	run_flush(r);
	r->block = block;
	r->nr = 1;
}

static void free_meta(struct ext2_inode *ei, u32 block)
{
	struct run r = {.ei = ei, .meta = true};

	run_add(&r, block);
	run_flush(&r);
}

static int shrink_tree(struct ext2_inode *ei, u32 block, u32 level, u64 from,
		       bool meta);

/* Pointers [FROM.., all] of one array, LEVEL levels of indirect blocks below
 * each; FROM counts the file's blocks below the array. */
static int shrink_array(struct ext2_inode *ei, u32 *ptrs, u32 nr, u32 level,
			u64 from, bool meta)
{
	u32 shift = level * ei->fs->addr_bits;
	struct run r = {.ei = ei, .meta = meta};
	int ret = 0;

	for (u32 i = (u32)(from >> shift); i < nr; i++) {
		u64 within =
			(u64)i << shift < from ? from - ((u64)i << shift) : 0;
		u32 block = ptrs[i];
		int err = 0;

		if (!block)
			continue;
		if (level)
			err = shrink_tree(ei, block, level, within, meta);
		if (err && !ret)
			ret = err;
		/* Damage keeps its pointer: e2fsck sees all of it. */
		if (err || within)
			continue;
		WRITE_ONCE(ptrs[i], 0);
		if (level)
			free_meta(ei, block);
		else
			run_add(&r, block);
	}
	run_flush(&r);
	return ret;
}

/* What BLOCK, LEVEL >= 1 levels of indirect blocks, leads to, from FROM on. */
static int shrink_tree(struct ext2_inode *ei, u32 block, u32 level, u64 from,
		       bool meta)
{
	struct ext2_fs *fs = ei->fs;
	struct ext2_buf b;
	u32 *ptrs;
	int err;

	if (!ext2_block_ok(fs, block))
		return ext2_error(fs, "inode %u: indirect block %u", ei->ino,
				  block);
	/* Blocks behind the end would stay: e2fsck minds. */
	err = ext2_bread_again(fs, block, &b);
	if (err)
		return err;
	/* The copy in the cache is what counts; the block is freed after it
	 * was emptied, or written if it stays. */
	ptrs = b.data;
	err = shrink_array(ei, ptrs, 1u << fs->addr_bits, level - 1, from,
			   meta);
	ext2_block(&b);
	ext2_bdirty_unlock(&b);
	ext2_bput(&b);
	return err;
}

int ext2_shrink(struct ext2_inode *ei, u64 index)
{
	struct ext2_fs *fs = ei->fs;
	u64 per = 1UL << fs->addr_bits, first = EXT2_NDIR, span = per;
	bool meta = !S_ISREG(ei->vnode.mode);
	int ret, err;

	down_write(&ei->map_sem);
	ret = index < EXT2_NDIR
		      ? shrink_array(ei, ei->block, EXT2_NDIR, 0, index, meta)
		      : 0;
	for (u32 level = 1; level < MAX_DEPTH; level++, span *= per) {
		u32 *slot = &ei->block[EXT2_NDIR + level - 1];
		u64 from = index > first ? index - first : 0;

		first += span;
		if (!*slot || from >= span)
			continue;
		err = shrink_tree(ei, *slot, level, from, meta);
		if (err && !ret)
			ret = err;
		if (err || from)
			continue;
		free_meta(ei, *slot);
		*slot = 0;
	}
	ei->last_block = 0;
	WRITE_ONCE(ei->store_due, true);
	up_write(&ei->map_sem);
	return ret;
}
