/* SPDX-License-Identifier: MIT */
/*
 * buf.c - blocks that are not contents: bitmaps, inode tables, indirect blocks,
 * directories, long links.
 *
 * 1. Purpose. They are cached as pages of one file that is the whole disk
 *    (fs->meta, a flatfile), so the flusher, reclaim and sync(2) treat them as
 *    they treat all pages. Blocks may be smaller than a page; then contents go
 *    through here as well (data.c).
 *
 * 2. A page on its way to the disk is not changed: ext2_block() waits for it
 *    under the page lock. So what reaches the disk is what a single change
 *    left, whole.
 *
 * 3. Aliases. With blocks of a page, contents go straight between their own
 *    page and the disk. A block that changes its use from one to the other
 *    must leave nothing here: ext2_bforget(), before it counts as free
 *    (EB-1: no page here is of a block that is free or contents). With
 *    smaller blocks there is one copy, here, and nothing to forget.
 *
 * 4. Locking. A page lock, of one page at a time, innermost but for the
 *    cache's own. Who changes which bytes when is the caller's lock to say.
 */
#include "base/string.h"
#include "ext2/ext2.h"

static u32 page_bits(const struct ext2_fs *fs)
{
	return PAGE_SHIFT - fs->block_bits;
}

/* fs->meta's pages are never high memory: the view stays. */
static void buf_set(const struct ext2_fs *fs, struct ext2_buf *b,
		    struct page *page, u32 block)
{
	u32 part = block & ((1u << page_bits(fs)) - 1);

	b->page = page;
	b->block = block;
	b->data = (char *)page_view(page) + ((u64)part << fs->block_bits);
}

int ext2_bread(struct ext2_fs *fs, u32 block, struct ext2_buf *b)
{
	struct page *page;

	b->page = NULL;
	if (block >= fs->blocks)
		return ext2_error(fs, "block %u is beyond the end (%u)", block,
				  fs->blocks);
	page = read_mapping_page(fs->meta->i_mapping, block >> page_bits(fs),
				 NULL);
	if (IS_ERR(page))
		return (int)PTR_ERR(page);
	buf_set(fs, b, page, block);
	return 0;
}

int ext2_bread_again(struct ext2_fs *fs, u32 block, struct ext2_buf *b)
{
	int err = ext2_bread(fs, block, b);

	for (u32 i = 0; err == -ENOMEM && i < 100; i++) {
		port_park(10 * 1000 * 1000);
		err = ext2_bread(fs, block, b);
	}
	return err;
}

/* The page of a whole block, locked and zeroed, not read. */
static int new_page(struct ext2_fs *fs, u32 block, struct ext2_buf *b)
{
	struct address_space *mapping = fs->meta->i_mapping;
	struct page *page = pagecache_get_page(
		mapping, block, FGP_LOCK | FGP_CREAT | FGP_WRITE | FGP_NOFS,
		mapping->gfp_mask);

	if (!page)
		return -ENOMEM;
	wait_on_page_writeback(page);
	page_clear(page);
	ClearPageError(page);
	SetPageUptodate(page);
	buf_set(fs, b, page, block);
	return 0;
}

int ext2_bnew(struct ext2_fs *fs, u32 block, struct ext2_buf *b)
{
	int err;

	mm_assert(block < fs->blocks);
	if (!page_bits(fs)) {
		err = new_page(fs, block, b);
	} else {
		err = ext2_bread(fs, block, b);
		if (!err) {
			ext2_block(b);
			mm_memset(b->data, 0, fs->block_size);
		}
	}
	if (!err)
		ext2_bdirty_unlock(b);
	return err;
}

void ext2_bput(struct ext2_buf *b)
{
	if (b->page)
		put_page(b->page);
	b->page = NULL;
}

void ext2_block(struct ext2_buf *b)
{
	lock_page(b->page);
	wait_on_page_writeback(b->page);
}

void ext2_bdirty_unlock(struct ext2_buf *b)
{
	(void)set_page_dirty(b->page);
	unlock_page(b->page);
}

void ext2_bunlock(struct ext2_buf *b)
{
	unlock_page(b->page);
}

int ext2_bsync(struct ext2_fs *fs, u32 block)
{
	u64 start = (u64)(block >> page_bits(fs)) << PAGE_SHIFT;

	return filemap_write_and_wait_range(fs->meta->i_mapping, start,
					    start + PAGE_SIZE - 1);
}

bool ext2_bsame(const struct ext2_fs *fs, u32 a, u32 b)
{
	return a >> page_bits(fs) == b >> page_bits(fs);
}

void ext2_bforget(struct ext2_fs *fs, u32 block)
{
	if (!page_bits(fs))
		truncate_inode_pages_range(
			fs->meta->i_mapping, (u64)block << PAGE_SHIFT,
			((u64)block << PAGE_SHIFT) + PAGE_SIZE - 1);
}
