/* SPDX-License-Identifier: MIT */
/*
 * dir.c - names in a directory.
 *
 * 1. Purpose. A directory is a file of blocks; each block is a chain of
 *    entries that fill it exactly. An entry without inode is room, and the
 *    room behind an entry's name is, too.
 *
 * 2. A hashed directory (dir_index) is kept as the list that it also is: its
 *    index is no longer right after a change, so the flag goes before the
 *    first one; e2fsck -D makes a new one.
 *
 * 3. Invariants.
 *    DI-1  Chains are checked whenever a block is walked: an entry lies within
 *          its block, has room for its name, and its length is a multiple of
 *          4. What does not is damage: -EIO, and where it is.
 *    DI-2  A change of names is one change of one block.
 *
 * 4. Locking. The directory's vnode.lock, for writing to change.
 *
 * References: D. Poirier, "The Second Extended File System", Directory
 * Structure.
 */
#include "base/string.h"
#include "ext2/ext2.h"

static u32 name_len(const struct ext2_fs *fs, const struct ext2_dirent *de)
{
	/* Old ones have 16 bits; the upper half is 0 in each real name. */
	return fs->has_filetype ? de->name_len
				: de->name_len | (u32)de->file_type << 8;
}

static u8 type_of(const struct ext2_fs *fs, u32 mode)
{
	static const u8 types[16] = {
		[S_IFREG >> 12] = 1, [S_IFDIR >> 12] = 2, [S_IFCHR >> 12] = 3,
		[S_IFBLK >> 12] = 4, [S_IFIFO >> 12] = 5, [S_IFSOCK >> 12] = 6,
		[S_IFLNK >> 12] = 7,
	};

	return fs->has_filetype ? types[mode >> 12 & 15] : 0;
}

/* DT_* of readdir by file_type. */
static u32 dirent_type(const struct ext2_fs *fs, const struct ext2_dirent *de)
{
	static const u8 types[8] = {0, 8, 4, 2, 6, 1, 12, 10};

	return fs->has_filetype && de->file_type < 8 ? types[de->file_type] : 0;
}

/* The entry at OFF of the block in B; NULL: damage. */
static struct ext2_dirent *entry_at(struct ext2_inode *dir,
				    const struct ext2_buf *b, u32 off)
{
	struct ext2_fs *fs = dir->fs;
	struct ext2_dirent *de = (void *)((char *)b->data + off);
	u32 len = de->rec_len;

	if (off + EXT2_DIRENT_HEAD <= fs->block_size &&
	    len >= EXT2_DIRENT_HEAD && len % 4 == 0 &&
	    len <= fs->block_size - off &&
	    EXT2_DIRENT_LEN(name_len(fs, de)) <= max(len, 12u) &&
	    de->inode <= fs->inodes &&
	    (!de->inode ||
	     (name_len(fs, de) > 0 && name_len(fs, de) <= EXT2_NAME_LEN)))
		return de;
	(void)ext2_error(fs, "directory %u: bad entry at %u of block %u",
			 dir->ino, off, b->block);
	return NULL;
}

static u32 dir_blocks(struct ext2_inode *dir)
{
	return (u32)(i_size_read(&dir->inode) >> dir->fs->block_bits);
}

/* Block INDEX of DIR. A hole is damage. */
static int dir_bread(struct ext2_inode *dir, u32 index, struct ext2_buf *b)
{
	u32 block;
	bool fresh;
	int err = ext2_map(dir, index, false, &block, &fresh);

	b->page = NULL;
	if (err)
		return err;
	if (!block)
		return ext2_error(dir->fs, "directory %u: no block %u",
				  dir->ino, index);
	return ext2_bread(dir->fs, block, b);
}

/* ---- finding ---------------------------------------------------------------
 */

/* 1: SLOT is NAME's in slot->buf; 0: not in this block; -EIO. */
static int find_in_block(struct ext2_inode *dir, const char *name, u32 len,
			 struct ext2_slot *slot)
{
	struct ext2_fs *fs = dir->fs;
	u32 off = 0, prev = 0;

	while (off < fs->block_size) {
		const struct ext2_dirent *de = entry_at(dir, &slot->buf, off);

		if (!de)
			return -EIO;
		if (de->inode && name_len(fs, de) == len &&
		    mm_memcmp(de->name, name, len) == 0) {
			slot->off = off;
			slot->prev = prev;
			slot->ino = de->inode;
			slot->type = de->file_type;
			return 1;
		}
		prev = off;
		off += de->rec_len;
	}
	return 0;
}

int ext2_dir_find(struct ext2_inode *dir, const char *name, u32 len,
		  struct ext2_slot *slot)
{
	u32 nr = dir_blocks(dir), start = READ_ONCE(dir->dir_hint);

	if (len > EXT2_NAME_LEN)
		return -ENAMETOOLONG;
	for (u32 i = 0; i < nr; i++) {
		u32 index = (start + i) % nr;
		int ret = dir_bread(dir, index, &slot->buf);

		if (!ret)
			ret = find_in_block(dir, name, len, slot);
		if (ret > 0) {
			WRITE_ONCE(dir->dir_hint, index);
			return 0;
		}
		ext2_bput(&slot->buf);
		if (ret)
			return ret;
	}
	return -ENOENT;
}

/* ---- changing --------------------------------------------------------------
 */

static void set_entry(const struct ext2_fs *fs, struct ext2_dirent *de,
		      const char *name, u32 len, u32 ino, u32 mode)
{
	de->inode = ino;
	de->name_len = (u8)len;
	de->file_type = type_of(fs, mode);
	mm_memcpy(de->name, name, len);
}

/* Names changed: the index is wrong, the times are now. */
static void changed(struct ext2_inode *dir)
{
	struct vnode *v = &dir->vnode;

	v->mtime = v->ctime = vfs_now();
	dir->flags &= ~EXT2_INDEX_FL;
	WRITE_ONCE(dir->store_due, true);
}

/* Room for NEED bytes in the block: *OFF; -ENOSPC, -EIO. */
static int room_in_block(struct ext2_inode *dir, const struct ext2_buf *b,
			 u32 need, u32 *out)
{
	struct ext2_fs *fs = dir->fs;

	for (u32 off = 0; off < fs->block_size;) {
		const struct ext2_dirent *de = entry_at(dir, b, off);
		u32 used;

		if (!de)
			return -EIO;
		used = de->inode ? EXT2_DIRENT_LEN(name_len(fs, de)) : 0;
		if (de->rec_len >= used + need) {
			*out = off;
			return 0;
		}
		off += de->rec_len;
	}
	return -ENOSPC;
}

/* A block more, of one empty entry. */
static int add_block(struct ext2_inode *dir, struct ext2_buf *b)
{
	struct ext2_fs *fs = dir->fs;
	u32 index = dir_blocks(dir), block;
	u64 size = i_size_read(&dir->inode);
	bool fresh;
	int err;

	if (size + fs->block_size > INT32_MAX)
		return -ENOSPC;
	err = ext2_map(dir, index, true, &block, &fresh);
	if (err)
		return err;
	err = ext2_bnew(fs, block, b);
	if (err) {
		(void)ext2_shrink(dir, index);
		return err;
	}
	ext2_block(b);
	((struct ext2_dirent *)b->data)->rec_len = (u16)fs->block_size;
	ext2_bdirty_unlock(b);
	/* Directories' sizes are looked at under vnode.lock. */
	i_size_write(&dir->inode, size + fs->block_size);
	return 0;
}

/* Where NEED bytes are free: B and *OFF. */
static int find_room(struct ext2_inode *dir, u32 need, struct ext2_buf *b,
		     u32 *off)
{
	u32 nr = dir_blocks(dir);

	for (u32 i = 0; i < nr; i++) {
		/* New names mostly go behind the others. */
		u32 index = nr - 1 - i;
		int err = dir_bread(dir, index, b);

		if (!err)
			err = room_in_block(dir, b, need, off);
		if (!err)
			return 0;
		ext2_bput(b);
		if (err != -ENOSPC)
			return err;
		/* Long directories are not searched for holes each time. */
		if (i == 8 && nr > 32)
			break;
	}
	*off = 0;
	return add_block(dir, b);
}

int ext2_dir_add(struct ext2_inode *dir, const char *name, u32 len, u32 ino,
		 u32 mode, u32 *block)
{
	struct ext2_fs *fs = dir->fs;
	struct ext2_dirent *de;
	struct ext2_buf b;
	u32 off;
	int err;

	if (len > EXT2_NAME_LEN)
		return -ENAMETOOLONG;
	err = find_room(dir, EXT2_DIRENT_LEN(len), &b, &off);
	if (err)
		return err;
	changed(dir);
	ext2_block(&b);
	de = (void *)((char *)b.data + off);
	if (de->inode) {
		u32 used = EXT2_DIRENT_LEN(name_len(fs, de));
		u32 left = de->rec_len - used;

		de->rec_len = (u16)used;
		de = (void *)((char *)de + used);
		de->rec_len = (u16)left;
	}
	set_entry(fs, de, name, len, ino, mode);
	ext2_bdirty_unlock(&b);
	*block = b.block;
	ext2_bput(&b);
	/* Of a directory without a block for its inode something is wrong that
	 * the next change will tell. */
	(void)ext2_istore(dir);
	return 0;
}

void ext2_dir_remove(struct ext2_inode *dir, struct ext2_slot *slot)
{
	struct ext2_dirent *de, *prev;

	changed(dir);
	ext2_block(&slot->buf);
	de = (void *)((char *)slot->buf.data + slot->off);
	prev = (void *)((char *)slot->buf.data + slot->prev);
	if (prev != de)
		prev->rec_len = (u16)(prev->rec_len + de->rec_len);
	de->inode = 0;
	ext2_bdirty_unlock(&slot->buf);
	(void)ext2_istore(dir);
}

void ext2_dir_set(struct ext2_inode *dir, struct ext2_slot *slot, u32 ino,
		  u32 mode)
{
	struct ext2_dirent *de;

	changed(dir);
	ext2_block(&slot->buf);
	de = (void *)((char *)slot->buf.data + slot->off);
	de->inode = ino;
	de->file_type = type_of(dir->fs, mode);
	ext2_bdirty_unlock(&slot->buf);
	(void)ext2_istore(dir);
}

int ext2_dir_make(struct ext2_inode *dir, u32 parent)
{
	struct ext2_fs *fs = dir->fs;
	struct ext2_dirent *de;
	struct ext2_buf b;
	int err = add_block(dir, &b);

	if (err)
		return err;
	ext2_block(&b);
	de = b.data;
	set_entry(fs, de, ".", 1, dir->ino, S_IFDIR);
	de->rec_len = EXT2_DIRENT_LEN(1);
	de = (void *)((char *)b.data + EXT2_DIRENT_LEN(1));
	set_entry(fs, de, "..", 2, parent, S_IFDIR);
	de->rec_len = (u16)(fs->block_size - EXT2_DIRENT_LEN(1));
	ext2_bdirty_unlock(&b);
	ext2_bput(&b);
	return ext2_istore(dir);
}

/* ---- walking ---------------------------------------------------------------
 */

static bool is_dot(const struct ext2_fs *fs, const struct ext2_dirent *de)
{
	u32 len = name_len(fs, de);

	return de->name[0] == '.' &&
	       (len == 1 || (len == 2 && de->name[1] == '.'));
}

int ext2_dir_empty(struct ext2_inode *dir)
{
	struct ext2_fs *fs = dir->fs;
	u32 nr = dir_blocks(dir);

	for (u32 i = 0; i < nr; i++) {
		struct ext2_buf b;
		int err = dir_bread(dir, i, &b);
		bool empty = true;

		for (u32 off = 0; !err && empty && off < fs->block_size;) {
			const struct ext2_dirent *de = entry_at(dir, &b, off);

			if (!de) {
				err = -EIO;
				break;
			}
			empty = !de->inode || is_dot(fs, de);
			off += de->rec_len;
		}
		ext2_bput(&b);
		if (err || !empty)
			return err;
	}
	return 1;
}

/* Entries of the block in B from byte FROM on but "." and "..", which the
 * caller gives; *POS moves. False: the taker is
 * full. */
static bool emit_block(struct ext2_inode *dir, const struct ext2_buf *b,
		       struct dir_context *ctx, int *err)
{
	struct ext2_fs *fs = dir->fs;
	u32 from = (u32)(ctx->pos & (fs->block_size - 1)), off = 0;
	u64 base = ctx->pos - from;

	while (off < fs->block_size) {
		const struct ext2_dirent *de = entry_at(dir, b, off);

		if (!de) {
			*err = -EIO;
			return false;
		}
		/* Names may have gone since the last call: what begins behind
		 * FROM was not given yet. */
		if (off >= from && de->inode && !is_dot(fs, de) &&
		    !ctx->emit(ctx, de->name, name_len(fs, de), de->inode,
			       dirent_type(fs, de)))
			return false;
		off += de->rec_len;
		if (off > from)
			ctx->pos = base + off;
	}
	return true;
}

int ext2_readdir(struct vnode *v, struct dir_context *ctx)
{
	struct ext2_inode *dir = ext2_of(v);
	struct ext2_fs *fs = dir->fs;
	int err = 0;

	while (ctx->pos < i_size_read(&dir->inode)) {
		struct ext2_buf b;
		bool more;

		err = dir_bread(dir, (u32)(ctx->pos >> fs->block_bits), &b);
		if (err)
			break;
		more = emit_block(dir, &b, ctx, &err);
		ext2_bput(&b);
		if (!more)
			break;
	}
	return err;
}
