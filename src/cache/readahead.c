/* SPDX-License-Identifier: MIT */
/*
 * readahead.c - reading pages of files before they are asked for.
 *
 * 1. Purpose. A disk that is asked for one page at a time is idle most of the
 *    time. Who reads a file in order gets the next pages before asking.
 *
 * 2. State. Each open file has a window [start, start + size). The page
 *    async_size before its end carries PG_readahead: who reads that page has
 *    come far enough that the next window is started, while the rest of this
 *    one is still there to be read.
 *
 *         |<--------- size --------->|
 *      start       marker            next window
 *         |-----------#--------------|
 *                     |< async_size >|
 *
 * 3. Decisions, in this order:
 *      page 0                    a new window, a few times what is asked
 *      the marker, or the end    the next window, twice or four times as large
 *      a marker we know not      somebody else's stream: behind what is cached
 *      more than a window asked  a new window
 *      the page after the last   a new window: a sequence begins
 *      pages before it cached    a stream whose state was lost: as long again
 *      else                      random: just what is asked, no window
 *    Windows never exceed ra_pages (128 KiB, posix_fadvise(2) changes it).
 *
 * 4. Mapped files. A fault says nothing of how much is wanted: around it a
 *    window is read, unless faults miss all the time (mmap_miss).
 *
 * 5. Locking. The invalidate lock, shared, from adding pages to having their
 *    reads started: truncation sees all or none. The state is not locked:
 *    threads that share an open file may each undo what the other noted, which
 *    costs a window at most. So that a decision rests on one state all the
 *    same, it is made on a copy (ra_load(), ra_store()).
 *
 * 6. Failure. What cannot be had is not read ahead.
 *
 * References: W. Fengguang et al., "Linux readahead: less tricks for more"
 * (Ottawa Linux Symposium, 2007); Linux documentation, mm-api (readahead);
 * posix_fadvise(2), readahead(2).
 */
#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>

#include "base/bitops.h"
#include "cache/filemap.h"
#include "cache/swap.h"
#include "phys/lru.h"

/* Misses of faults in a row that say: reading around does not help. */
#define MMAP_LOTSAMISS 100u

struct page *readahead_page(struct readahead_control *rac)
{
	struct page *page;

	if (rac->next == rac->nr)
		return NULL;
	page = rac->pages[rac->next++];
	rac->index = page_index(page);
	mm_assert(PageLocked(page) && !PageUptodate(page));
	return page;
}

/* Start the reads of what was collected. */
static void read_pages(struct readahead_control *rac)
{
	const struct address_space_operations *ops = rac->mapping->a_ops;
	struct page *page;

	if (rac->nr && ops->readahead)
		ops->readahead(rac);
	while ((page = readahead_page(rac))) {
		if (ops->readahead)
			unlock_page(page); /* it did not want them */
		else
			(void)ops->readpage(rac->file, page);
		put_page(page);
	}
	rac->nr = rac->next = 0;
}

/* A new page for INDEX, locked, into RAC. False: no memory. */
static bool collect_page(struct readahead_control *rac, u64 index, bool mark)
{
	gfp_t gfp = rac->mapping->gfp_mask | __GFP_NORETRY | __GFP_NOWARN;
	struct page *page = alloc_pages(gfp, 0);
	int err;

	if (!page)
		return false;
	err = add_to_page_cache_lru(page, rac->mapping, index, gfp);
	if (err) {
		put_page(page);
		return err == -EEXIST;
	}
	if (mark)
		SetPageReadahead(page);
	/* Batches are contiguous. */
	if (rac->nr == RA_BATCH ||
	    (rac->nr && page_index(rac->pages[rac->nr - 1]) + 1 != index))
		read_pages(rac);
	rac->pages[rac->nr++] = page;
	return true;
}

/* Read what is missing of [INDEX, INDEX + NR); LOOKAHEAD before the end stands
 * the marker. */
static void do_page_cache_ra(struct address_space *mapping, struct file *file,
			     u64 index, u64 nr, u64 lookahead)
{
	struct readahead_control rac = {.file = file, .mapping = mapping};
	u64 isize = i_size_read(mapping->host), end, last;

	/* Shmem has nothing to read from, and its own way from swap. */
	if (!isize || !nr || mapping_flag(mapping, AS_NO_WRITEBACK))
		return;
	last = (isize - 1) >> PAGE_SHIFT;
	if (index > last)
		return;
	end = min(index + nr - 1, last);
	filemap_invalidate_lock_shared(mapping);
	for (u64 i = index; i <= end; i++) {
		bool mark = lookahead && i == index + nr - lookahead;
		bool cached;
		struct page *page = find_get_page(mapping, i);

		cached = page != NULL;
		if (page)
			put_page(page);
		if (!cached && !collect_page(&rac, i, mark))
			break;
	}
	read_pages(&rac);
	filemap_invalidate_unlock_shared(mapping);
}

void force_page_cache_readahead(struct address_space *mapping,
				struct file *file, u64 index, u64 nr)
{
	/* In pieces, so that not too much memory is pinned at a time. */
	while (nr) {
		u64 now = min(nr, 2UL * 1024 * 1024 / PAGE_SIZE);

		do_page_cache_ra(mapping, file, index, now, 0);
		index += now;
		nr -= now;
	}
}

/* ---- windows ---------------------------------------------------------------
 */

/* The first window for a request of REQ pages. */
static u32 init_ra_size(u64 req, u32 max)
{
	u64 size = 1;

	while (size < req)
		size *= 2;
	if (size <= max / 32)
		size *= 4;
	else if (size <= max / 4)
		size *= 2;
	else
		size = max;
	return (u32)size;
}

/* The window after one of CUR pages. */
static u32 next_ra_size(u32 cur, u32 max)
{
	if (cur < max / 16)
		return 4 * cur;
	if (cur <= max / 2)
		return 2 * cur;
	return max;
}

/* RA, which others may be changing, into W. */
static void ra_load(struct file_ra_state *w, const struct file_ra_state *ra)
{
	w->start = READ_ONCE(ra->start);
	w->size = READ_ONCE(ra->size);
	w->async_size = READ_ONCE(ra->async_size);
	w->ra_pages = READ_ONCE(ra->ra_pages);
	w->mmap_miss = READ_ONCE(ra->mmap_miss);
	w->prev_pos = READ_ONCE(ra->prev_pos);
}

/* The window that was decided on. */
static void ra_store(struct file_ra_state *ra, const struct file_ra_state *w)
{
	WRITE_ONCE(ra->start, w->start);
	WRITE_ONCE(ra->size, w->size);
	WRITE_ONCE(ra->async_size, w->async_size);
}

static void ra_begin(struct file_ra_state *ra, u64 index, u64 req, u32 max)
{
	ra->start = index;
	ra->size = init_ra_size(req, max);
	ra->async_size = ra->size > req ? ra->size - (u32)req : ra->size;
}

static void ra_advance(struct file_ra_state *ra, u32 max)
{
	ra->start += ra->size;
	ra->size = next_ra_size(ra->size, max);
	ra->async_size = ra->size;
}

/* Somebody's marker at INDEX: go on behind what is cached. */
static bool ra_foreign(struct address_space *mapping, struct file_ra_state *ra,
		       u64 index, u64 req, u32 max)
{
	u64 start = page_cache_next_miss(mapping, index + 1, max);

	if (start - index > max)
		return false;
	ra->start = start;
	ra->size = (u32)min(start - index + req, (u64)max);
	ra->size = next_ra_size(ra->size, max);
	ra->async_size = ra->size;
	return true;
}

/* Are there pages right before INDEX, more than is asked for? */
static bool ra_context(struct address_space *mapping, struct file_ra_state *ra,
		       u64 index, u64 req, u32 max)
{
	u64 head, size;

	if (!index)
		return false;
	head = page_cache_prev_miss(mapping, index - 1, max);
	size = index - 1 - head;
	if (size <= req)
		return false;
	/* Cached from the beginning: a strong sign. */
	if (size >= index)
		size *= 2;
	ra->start = index;
	ra->size = (u32)min(size + req, (u64)max);
	ra->async_size = 1;
	return true;
}

/* Set the window for a read of REQ pages at INDEX; false: random. */
static bool ra_decide(struct address_space *mapping, struct file_ra_state *ra,
		      u64 index, u64 req, bool marker)
{
	u32 max = ra->ra_pages;
	u64 prev = (u64)ra->prev_pos >> PAGE_SHIFT;

	if (index == 0) {
		ra_begin(ra, index, req, max);
	} else if (ra->size &&
		   (index == ra->start + ra->size - ra->async_size ||
		    index == ra->start + ra->size)) {
		ra_advance(ra, max);
	} else if (marker) {
		return ra_foreign(mapping, ra, index, req, max);
	} else if (req > max || (ra->prev_pos >= 0 &&
				 (index == prev || index == prev + 1))) {
		ra_begin(ra, index, req, max);
	} else {
		return ra_context(mapping, ra, index, req, max);
	}
	return true;
}

static void ondemand_readahead(struct address_space *mapping,
			       struct file_ra_state *ra, struct file *file,
			       u64 index, u64 req, bool marker)
{
	struct file_ra_state w;

	ra_load(&w, ra);
	if (!ra_decide(mapping, &w, index, req, marker)) {
		if (!marker)
			do_page_cache_ra(mapping, file, index, req, 0);
		return;
	}
	/* The marker would be hit at once: take the next window as well. */
	if (index == w.start && w.size == w.async_size) {
		u32 add = next_ra_size(w.size, w.ra_pages);

		w.async_size = add;
		w.size = min(w.size + add, w.ra_pages);
		if (w.size == w.ra_pages)
			w.async_size = w.size / 2;
	}
	ra_store(ra, &w);
	do_page_cache_ra(mapping, file, w.start, w.size, w.async_size);
}

void page_cache_sync_readahead(struct address_space *mapping,
			       struct file_ra_state *ra, struct file *file,
			       u64 index, u64 req)
{
	u32 max = READ_ONCE(ra->ra_pages);

	if (!max) {
		do_page_cache_ra(mapping, file, index, 1, 0);
		return;
	}
	if (file && (file->f_mode & FMODE_RANDOM)) {
		force_page_cache_readahead(mapping, file, index,
					   min(req, (u64)max));
		return;
	}
	ondemand_readahead(mapping, ra, file, index, req, false);
}

void page_cache_async_readahead(struct address_space *mapping,
				struct file_ra_state *ra, struct file *file,
				struct page *page, u64 req)
{
	if (!READ_ONCE(ra->ra_pages) || !TestClearPageReadahead(page))
		return;
	ondemand_readahead(mapping, ra, file, page_index(page), req, true);
}

/* ---- faults of mapped files ------------------------------------------------
 */

/* Page PGOFF is missing. */
void filemap_ra_fault_miss(struct filemap_fault *ff)
{
	struct file *file = ff->file;
	struct address_space *mapping = file->f_mapping;
	struct file_ra_state *ra = &file->f_ra, w;

	ra_load(&w, ra);
	if (ff->random || !w.ra_pages)
		return;
	if (ff->sequential) {
		page_cache_sync_readahead(mapping, ra, file, ff->pgoff,
					  w.ra_pages);
		return;
	}
	if (w.mmap_miss < MMAP_LOTSAMISS * 10)
		WRITE_ONCE(ra->mmap_miss, ++w.mmap_miss);
	if (w.mmap_miss > MMAP_LOTSAMISS)
		return;
	w.start = ff->pgoff > w.ra_pages / 2 ? ff->pgoff - w.ra_pages / 2 : 0;
	w.size = w.ra_pages;
	w.async_size = w.ra_pages / 4;
	ra_store(ra, &w);
	do_page_cache_ra(mapping, file, w.start, w.size, w.async_size);
}

/* PAGE was there: a hit, and perhaps the marker. */
void filemap_ra_fault_hit(struct filemap_fault *ff, struct page *page)
{
	struct file_ra_state *ra = &ff->file->f_ra;
	u32 misses = READ_ONCE(ra->mmap_miss);

	if (misses)
		WRITE_ONCE(ra->mmap_miss, misses - 1);
	if (!ff->random && PageReadahead(page))
		page_cache_async_readahead(ff->file->f_mapping, ra, ff->file,
					   page, READ_ONCE(ra->ra_pages));
}

/* ---- advice ----------------------------------------------------------------
 */

/* Drop what is cached of bytes [OFF, END]: whole pages only, and at the end of
 * the file its last page too. */
static void advise_dontneed(struct file *file, u64 off, u64 end)
{
	struct address_space *mapping = file->f_mapping;
	u64 first = (off + PAGE_SIZE - 1) >> PAGE_SHIFT;
	u64 last = end >> PAGE_SHIFT;

	(void)filemap_fdatawrite_range(mapping, off, end, WB_SYNC_NONE);
	if ((end & ~PAGE_MASK) != PAGE_SIZE - 1 &&
	    end != i_size_read(mapping->host) - 1) {
		if (!last)
			return;
		last--;
	}
	if (first <= last) {
		lru_add_drain_all();
		(void)invalidate_mapping_pages(mapping, first, last);
	}
}

static void advise_willneed(struct file *file, u64 off, u64 end)
{
	struct address_space *mapping = file->f_mapping;
	u64 first = off >> PAGE_SHIFT, isize = i_size_read(mapping->host);

	if (off >= isize)
		return;
	end = min(end, isize - 1);
	force_page_cache_readahead(mapping, file, first,
				   (end >> PAGE_SHIFT) - first + 1);
}

int vfs_fadvise(struct file *file, s64 off, s64 len, int advice)
{
	u64 end;

	if (len < 0)
		return -EINVAL;
	/* Nothing lies there, which is no error. */
	if (off < 0)
		off = INT64_MAX;
	end = len && off <= INT64_MAX - len ? (u64)(off + len) - 1
					    : (u64)INT64_MAX;
	switch (advice) {
	case POSIX_FADV_NORMAL:
	case POSIX_FADV_SEQUENTIAL:
		__atomic_fetch_and(&file->f_mode, ~FMODE_RANDOM,
				   __ATOMIC_RELAXED);
		WRITE_ONCE(file->f_ra.ra_pages,
			   VM_READAHEAD_PAGES *
				   (advice == POSIX_FADV_SEQUENTIAL ? 2 : 1));
		return 0;
	case POSIX_FADV_RANDOM:
		__atomic_fetch_or(&file->f_mode, FMODE_RANDOM,
				  __ATOMIC_RELAXED);
		return 0;
	case POSIX_FADV_WILLNEED:
		advise_willneed(file, (u64)off, end);
		return 0;
	case POSIX_FADV_DONTNEED:
		advise_dontneed(file, (u64)off, end);
		return 0;
	case POSIX_FADV_NOREUSE:
		return 0;
	default:
		return -EINVAL;
	}
}
