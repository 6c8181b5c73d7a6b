/* SPDX-License-Identifier: MIT */
/*
 * filemap.c - the pages of files: finding them, and who comes and goes.
 *
 * 1. Purpose. One copy of each page of each file, that read, write and mmap
 *    share; found by file and page number.
 *
 * 2. Structures. Each address_space has an array (xarray) from page number to
 *    page. Where a page was evicted stands a shadow: a value that says when
 *    (workingset.c). Marks say which pages are dirty, under write-back, or due
 *    in a sync, so that those are found without looking at the others. The
 *    page points back by its mapping word, whose low bits are clear, and
 *    page_index().
 *
 * 3. Invariants.
 *    FM-1  A page is in the array of its mapping at its index; the array holds
 *          one reference to it. nrpages and nrshadows count the entries.
 *    FM-2  Mapping and place change under the page lock and i_pages_lock: who
 *          has found a page and locked it must look at page_mapping() again,
 *          and who holds the page lock can rely on it.
 *    FM-3  A page with the DIRTY mark has PG_dirty, or is between losing
 *          PG_dirty and getting PG_writeback, locked. PG_writeback exactly
 *          where the WRITEBACK mark is, the moment of its end left out.
 *    FM-4  A page that is not uptodate and not locked has failed to be read,
 *          or nobody has tried yet.
 *    FM-5  A page leaves the array clean, unmapped, not under write-back.
 *
 * 4. Locking. i_pages_lock, with interrupts off: the end of a write clears a
 *    mark. References are raised under it, and reclaim freezes them under it,
 *    so a page that was found has a reference. Order: docs/LOCKING.md.
 *
 * 5. Failure. Adding needs array nodes; without memory nothing was changed.
 *
 * 6. Rejected. Look-up without the lock (epochs): the array's nodes would
 *    have to be freed by epoch, and the array says that loads are locked. One
 *    uncontended lock costs two atomic operations a look-up.
 *
 * References: M. Gorman, "Understanding the Linux Virtual Memory Manager",
 * chapter 10; Linux documentation, filesystems/locking and filesystems/vfs.
 */
#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>
#include <mmkit/slab.h>

#include "base/trace_ring.h"
#include "cache/filemap.h"
#include "cache/swap.h"
#include "phys/group.h"
#include "phys/lru.h"
#include "phys/mmzone.h"
#include "phys/vmstat.h"

/* Of a page's flags those that mean something for array nodes. */
#define NODE_GFP                                                             \
	(__GFP_RECLAIM | __GFP_IO | __GFP_FS | __GFP_HIGH | __GFP_MEMALLOC | \
	 __GFP_NOMEMALLOC | __GFP_RETRY_MAYFAIL | __GFP_NOFAIL |             \
	 __GFP_NORETRY | __GFP_NOWARN)

void mapping_set_ops(const struct mapping_ops *ops)
{
	cache_sys.fm.mapping_ops = ops;
}

static void *node_alloc(void *arg, size_t size)
{
	mm_assert(size == sizeof(struct xa_node));
	return kmem_cache_alloc(cache_sys.node_cache, *(gfp_t *)arg & NODE_GFP);
}

/* Pages of the cache by node; those of block devices are called buffers. */
static void count_page(const struct address_space *mapping, struct page *page,
		       long n)
{
	page_stat_add(page, NR_FILE_PAGES, n);
	if (PageSwapBacked(page))
		page_stat_add(page, NR_SHMEM, n);
	if (mapping->host && S_ISBLK(mapping->host->i_mode))
		__atomic_fetch_add(&cache_sys.fm.nr_blockdev_pages, (u64)n,
				   __ATOMIC_RELAXED);
}

/* ---- look-up ---------------------------------------------------------------
 */

struct page *find_get_page(struct address_space *mapping, u64 index)
{
	unsigned long flags;
	struct page *page;

	mapping_lock(mapping, &flags);
	page = xa_load(&mapping->i_pages, index);
	if (xa_is_value(page))
		page = NULL;
	if (page)
		get_page(page);
	mapping_unlock(mapping, flags);
	return page;
}

struct page *find_lock_page(struct address_space *mapping, u64 index)
{
	for (;;) {
		struct page *page = find_get_page(mapping, index);

		if (!page)
			return NULL;
		lock_page(page);
		if (page_mapping(page) == mapping) {
			mm_assert_eq(page_index(page), index);
			return page;
		}
		/* Truncated while we waited. */
		unlock_page(page);
		put_page(page);
	}
}

/* Lock a found page as FGP says; false: not to be had (*AGAIN: look again). */
static bool lock_found(struct address_space *mapping, struct page *page,
		       u32 fgp, bool *again)
{
	*again = false;
	if (!(fgp & FGP_LOCK))
		return true;
	if (!trylock_page(page)) {
		if (fgp & FGP_NOWAIT)
			return false;
		lock_page(page);
	}
	if (page_mapping(page) == mapping)
		return true;
	unlock_page(page);
	*again = true;
	return false;
}

struct page *pagecache_get_page(struct address_space *mapping, u64 index,
				u32 fgp, gfp_t gfp)
{
	struct page *page;
	bool again;
	int err;

	if (fgp & FGP_WRITE)
		gfp |= __GFP_WRITE;
	if (fgp & FGP_NOFS)
		gfp &= ~__GFP_FS;
	if (fgp & FGP_NOWAIT)
		gfp = (gfp & ~__GFP_DIRECT_RECLAIM) | __GFP_NOWARN;
	do {
		again = false;
		page = find_get_page(mapping, index);
		if (page && !lock_found(mapping, page, fgp, &again)) {
			put_page(page);
			page = NULL;
		} else if (!page && (fgp & FGP_CREAT)) {
			page = alloc_pages(gfp, 0);
			if (!page)
				return NULL;
			err = add_to_page_cache_lru(page, mapping, index, gfp);
			if (err) {
				put_page(page);
				page = NULL;
			}
			again = err == -EEXIST;
		}
	} while (again);
	if (page && (fgp & FGP_ACCESSED))
		mark_page_accessed(page);
	return page;
}

/* Of ENTRIES[NR] the pages, each with a reference, to the front. */
static u32 get_pages_of(struct page **entries, u32 nr)
{
	u32 n = 0;

	for (u32 i = 0; i < nr; i++) {
		if (xa_is_value(entries[i]))
			continue;
		get_page(entries[i]);
		entries[n++] = entries[i];
	}
	return n;
}

u32 find_get_pages_range_tag(struct address_space *mapping, u64 *first,
			     u64 last, enum xa_mark mark, u32 nr,
			     struct page **pages)
{
	unsigned long flags;
	u32 n = 0, got;

	last = min(last, UINT64_MAX - 1);
	mapping_lock(mapping, &flags);
	while (n < nr && *first <= last) {
		got = xa_extract(&mapping->i_pages, first, last, mark,
				 (void **)pages + n, nr - n);
		if (!got)
			break;
		n += get_pages_of(pages + n, got);
	}
	mapping_unlock(mapping, flags);
	return n;
}

u32 find_get_pages_range(struct address_space *mapping, u64 *first, u64 last,
			 u32 nr, struct page **pages)
{
	return find_get_pages_range_tag(mapping, first, last, XA_PRESENT, nr,
					pages);
}

/* Number INDEX has a page. i_pages_lock held. */
static bool has_page(const struct address_space *mapping, u64 index)
{
	const void *entry = xa_load(&mapping->i_pages, index);

	return entry && !xa_is_value(entry);
}

u64 page_cache_next_miss(struct address_space *mapping, u64 index, u64 max)
{
	unsigned long flags;
	u64 end = index + max;

	mapping_lock(mapping, &flags);
	while (index < end && has_page(mapping, index))
		index++;
	mapping_unlock(mapping, flags);
	return index;
}

u64 page_cache_prev_miss(struct address_space *mapping, u64 index, u64 max)
{
	unsigned long flags;

	mapping_lock(mapping, &flags);
	for (; max && index != ~0UL && has_page(mapping, index); max--)
		index--;
	mapping_unlock(mapping, flags);
	return index;
}

bool filemap_range_has_page(struct address_space *mapping, u64 first, u64 last)
{
	struct page *page;

	if (!find_get_pages_range(mapping, &first, last, 1, &page))
		return false;
	put_page(page);
	return true;
}

/* ---- in --------------------------------------------------------------------
 */

/*
 * The page takes its place, if it is free, or holds a shadow; of shmem, whose
 * values are swap entries, if it holds what the caller saw: *SHADOW. Locked.
 */
static int store_page(struct address_space *mapping, struct page *page,
		      u64 index, struct xa_preload *pl, void **shadow)
{
	void *old = xa_load(&mapping->i_pages, index);
	int err;

	if (PageSwapBacked(page) ? old != *shadow : old && !xa_is_value(old))
		return -EEXIST;
	err = xa_store(&mapping->i_pages, index, page, pl);
	if (err)
		return err;
	*shadow = old;
	mapping->nrshadows -= old != NULL;
	WRITE_ONCE(mapping->nrpages, mapping->nrpages + 1);
	get_page(page);
	set_page_index(page, index);
	set_page_mapping_word(page, (u64)(uintptr_t)mapping);
	return 0;
}

static int add_page(struct page *page, struct address_space *mapping, u64 index,
		    gfp_t gfp, void **shadow)
{
	struct xa_preload pl =
		XA_PRELOAD_INIT(node_alloc, cache_node_free, &gfp);
	unsigned long flags;
	u32 need = 0;
	int err;

	mm_assert(PageLocked(page) && !page_mapping_word(page));
	mm_verify(index <= UINT32_MAX);
	do {
		err = xa_preload_fill(&pl, need);
		if (err)
			break;
		mapping_lock(mapping, &flags);
		err = store_page(mapping, page, index, &pl, shadow);
		need = err == -ENOMEM
			       ? xa_nodes_needed(&mapping->i_pages, index)
			       : 0;
		mapping_unlock(mapping, flags);
	} while (err == -ENOMEM);
	xa_preload_drain(&pl);
	if (err)
		return err;
	count_page(mapping, page, 1);
	trace_emit(MM_FILEMAP_ADD_TO_PAGE_CACHE, page_to_pfn(page),
		   mapping->host->i_ino, index, mapping->host->i_sb->s_dev, 0);
	return 0;
}

int add_to_page_cache_locked(struct page *page, struct address_space *mapping,
			     u64 index, gfp_t gfp)
{
	void *shadow = NULL;

	return add_page(page, mapping, index, gfp, &shadow);
}

int add_to_page_cache_expect(struct page *page, struct address_space *mapping,
			     u64 index, void *expect)
{
	gfp_t gfp = mapping->gfp_mask;

	mm_assert(PageSwapBacked(page) && (!expect || xa_is_value(expect)));
	return add_page(page, mapping, index, gfp, &expect);
}

int add_to_page_cache_lru(struct page *page, struct address_space *mapping,
			  u64 index, gfp_t gfp)
{
	void *shadow = NULL;
	int err;

	if (!trylock_page(page))
		mm_bug("fresh page %llu is locked",
		       (unsigned long long)page_to_pfn(page));
	err = add_page(page, mapping, index, gfp, &shadow);
	if (err) {
		unlock_page(page);
		return err;
	}
	/* A page that will be overwritten proves nothing about the past. */
	mm_assert(!PageActive(page));
	if (shadow && !(gfp & __GFP_WRITE))
		workingset_refault(page, shadow);
	if (mapping_flag(mapping, AS_UNEVICTABLE))
		SetPageUnevictable(page);
	lru_cache_add(page);
	return 0;
}

/* ---- out -------------------------------------------------------------------
 */

/* PAGE's place gets SHADOW (NULL: nothing). Locked. */
static void erase_page(struct address_space *mapping, struct page *page,
		       void *shadow, struct xa_preload *freed)
{
	u64 index = page_index(page);

	mm_verify(xa_load(&mapping->i_pages, index) == page);
	mm_verify(!PageDirty(page) && !PageWriteback(page));
	mm_verify(!page_mapped(page));
	if (shadow) {
		/* Marks of a replaced entry stay: the page's end with it. */
		for (int m = 0; m < XA_NR_MARKS; m++)
			xa_clear_mark(&mapping->i_pages, index,
				      (enum xa_mark)m);
		mm_verify(!xa_store(&mapping->i_pages, index, shadow, NULL));
		mapping->nrshadows++;
	} else {
		xa_erase(&mapping->i_pages, index, freed);
	}
	mm_verify(mapping->nrpages > 0);
	WRITE_ONCE(mapping->nrpages, mapping->nrpages - 1);
	/* From here on the page belongs to nobody. */
	set_page_mapping_word(page, 0);
}

/* The page is out. The lock is still held: once it is given up and the mapping
 * has no pages, it may be gone. */
static void page_gone(struct address_space *mapping, struct page *page)
{
	count_page(mapping, page, -1);
	trace_emit(MM_FILEMAP_DELETE_FROM_PAGE_CACHE, page_to_pfn(page),
		   mapping->host->i_ino, page_index(page),
		   mapping->host->i_sb->s_dev, 0);
}

void delete_from_page_cache(struct page *page)
{
	delete_from_page_cache_value(page, NULL);
}

void delete_from_page_cache_value(struct page *page, void *value)
{
	struct xa_preload freed = XA_PRELOAD_INIT(NULL, cache_node_free, NULL);
	struct address_space *mapping = page_mapping(page);
	void (*freepage)(struct page * p) = mapping->a_ops->freepage;
	unsigned long flags;

	mm_assert(PageLocked(page));
	mapping_lock(mapping, &flags);
	erase_page(mapping, page, value, &freed);
	page_gone(mapping, page);
	mapping_unlock(mapping, flags);
	xa_preload_drain(&freed);
	if (freepage)
		freepage(page);
	put_page(page);
}

bool filemap_evict(struct page *page, int expect, bool shadow)
{
	struct xa_preload freed = XA_PRELOAD_INIT(NULL, cache_node_free, NULL);
	struct address_space *mapping = page_mapping(page);
	void (*freepage)(struct page * p) = mapping->a_ops->freepage;
	void *value = NULL;
	unsigned long flags;

	mm_assert(PageLocked(page));
	mapping_lock(mapping, &flags);
	if (!page_ref_freeze(page, expect)) {
		mapping_unlock(mapping, flags);
		return false;
	}
	/* Whoever could have made it dirty had a reference: look after. */
	if (PageDirty(page) || PageWriteback(page)) {
		page_ref_unfreeze(page, expect);
		mapping_unlock(mapping, flags);
		return false;
	}
	if (shadow && !mapping_flag(mapping, AS_EXITING))
		value = workingset_eviction(page);
	erase_page(mapping, page, value, &freed);
	page_gone(mapping, page);
	mapping_unlock(mapping, flags);
	xa_preload_drain(&freed);
	if (freepage)
		freepage(page);
	return true;
}

void replace_page_cache_page(struct page *old, struct page *new)
{
	struct address_space *mapping = page_mapping(old);
	u64 index = page_index(old);
	unsigned long flags;

	mm_assert(PageLocked(old) && PageLocked(new) && mapping);
	mm_assert(!page_mapping_word(new) && !PageLRU(new));
	get_page(new);
	set_page_index(new, index);
	mapping_lock(mapping, &flags);
	mm_verify(!PageWriteback(old) && !page_mapped(old));
	mm_verify(xa_load(&mapping->i_pages, index) == old);
	mm_verify(!xa_store(&mapping->i_pages, index, new, NULL));
	set_page_mapping_word(new, (u64)(uintptr_t)mapping);
	filemap_move_dirty(mapping, old, new);
	set_page_mapping_word(old, 0);
	mapping_unlock(mapping, flags);
	count_page(mapping, new, 1);
	count_page(mapping, old, -1);
	if (mapping->a_ops->freepage)
		mapping->a_ops->freepage(old);
	put_page(old);
}
