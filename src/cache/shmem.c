/* SPDX-License-Identifier: MIT */
/*
 * shmem.c - pages of files that have no disk: in the cache or in swap.
 *
 * 1. Purpose. tmpfs, memfd, shared anonymous memory, System V segments: pages
 *    that several processes map and that outlive each of them, with swap as
 *    the only place to go.
 *
 * 2. Structures. A shmem inode's array has for each page number nothing (a
 *    hole: zeroes), a page, or a value: the swap entry of the page. So a value
 *    here is no shadow; shadows of shmem stand in the swap cache. Pages are
 *    swap-backed and wait on the anonymous lists.
 *
 * 3. Way of a page.
 *      made     zeroed, dirty, charged to the mount (and to the commitment if
 *               the file is not accounted as a whole), in the array
 *      out      reclaim unmaps it and calls shmem_writepage(): into the swap
 *               cache; the entry takes its place in the array; written; then
 *               it is any page of the swap cache
 *      in       found in the swap cache or read; under its lock it takes the
 *               entry's place if that is still there, and leaves the swap cache
 *      dropped  truncation and holes take pages and entries alike
 *
 * 4. Invariants.
 *    SH-1  An array entry that is a value counts once in its slot's map; nobody
 *          but the array refers to such a slot. A value that names no slot
 *          stands for a page that was lost: what swapoff could not read.
 *    SH-2  A page in the array is up to date and dirty: it may not be dropped
 *          by who believes that the disk has it. It is in the swap cache only
 *          while somebody who has it locked moves it.
 *    SH-3  used_blocks of a mount = pages + values of its inodes + what is
 *          charged and about to be added.
 *    SH-4  Pages and values change places only under the page lock and
 *          i_pages_lock; who holds neither looks again (FM-2).
 *
 * 5. Races. Swap-in of an entry that truncation takes meanwhile: the array no
 *    longer holds the value; the page that was read has no user and goes.
 *    Truncation against both directions: it takes what stands at a number,
 *    and if that changed before it was locked, looks again at that number.
 *
 * 6. Failure. No slot, no array node, no bio: the page stays. A failed write:
 *    the page stays dirty in the swap cache, the entry leads to it. A failed
 *    read: -EIO for who asked; the entry stays and the next one reads again.
 *
 * 7. Rejected. Clean pages for holes that are only read through mappings
 *    (reclaim could drop them): who drops a page would have to give back the
 *    charge of an inode that may be going away.
 *
 * References: tmpfs(5), memfd_create(2), shmget(2), shm_overview(7); Linux
 * documentation, filesystems/tmpfs, mm/overcommit-accounting.
 */
#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>
#include <mmkit/slab.h>

#include "base/string.h"
#include "cache/swap.h"
#include "phys/lru.h"
#include "phys/mmzone.h"
#include "phys/vmstat.h"

/* ---- charges ---------------------------------------------------------------
 */

void shmem_set_ops(const struct shmem_ops *ops)
{
	cache_sys.shmem.ops = ops;
}

/* N blocks more if the mount has them. */
static bool take_blocks(struct shmem_sb_info *sbi, u64 n)
{
	u64 used = READ_ONCE(sbi->used_blocks), max;

	do {
		max = READ_ONCE(sbi->max_blocks);
		if (max && (used > max || n > max - used))
			return false;
	} while (!__atomic_compare_exchange_n(&sbi->used_blocks, &used,
					      used + n, false, __ATOMIC_ACQ_REL,
					      __ATOMIC_RELAXED));
	return true;
}

static void give_blocks(struct shmem_sb_info *sbi, u64 n)
{
	u64 old = __atomic_fetch_sub(&sbi->used_blocks, n, __ATOMIC_ACQ_REL);

	mm_verify(old >= n);
}

int shmem_charge(struct shmem_inode *si, u64 n)
{
	struct shmem_sb_info *sbi = shmem_sbi(si->inode.i_sb);
	const struct shmem_ops *ops = cache_sys.shmem.ops;

	if (!take_blocks(sbi, n))
		return -ENOSPC;
	if ((si->flags & SHMEM_NORESERVE) && ops && ops->account(n)) {
		give_blocks(sbi, n);
		return -ENOSPC;
	}
	return 0;
}

void shmem_uncharge(struct shmem_inode *si, u64 n)
{
	const struct shmem_ops *ops = cache_sys.shmem.ops;

	if ((si->flags & SHMEM_NORESERVE) && ops)
		ops->unaccount(n);
	give_blocks(shmem_sbi(si->inode.i_sb), n);
}

/* ---- look-up ---------------------------------------------------------------
 */

/*
 * The next page or value of [*INDEX, LAST], *INDEX its number; pages with a
 * reference. NULL: no more.
 */
static void *next_entry(struct address_space *mapping, u64 *index, u64 last,
			enum xa_mark mark)
{
	unsigned long flags;
	void *entry;

	mapping_lock(mapping, &flags);
	entry = xa_find(&mapping->i_pages, index, last, mark);
	if (entry && !xa_is_value(entry))
		get_page(entry);
	mapping_unlock(mapping, flags);
	return entry;
}

static void *entry_at(struct address_space *mapping, u64 index)
{
	return next_entry(mapping, &index, index, XA_PRESENT);
}

static bool entry_is(struct address_space *mapping, u64 index,
		     const void *entry)
{
	unsigned long flags;
	bool same;

	mapping_lock(mapping, &flags);
	same = xa_load(&mapping->i_pages, index) == entry;
	mapping_unlock(mapping, flags);
	return same;
}

static bool beyond_end(const struct shmem_get *g)
{
	u64 isize = i_size_read(g->inode);

	return g->sgp <= SGP_CACHE &&
	       g->index >= (isize + PAGE_SIZE - 1) >> PAGE_SHIFT;
}

/* ---- in from swap ----------------------------------------------------------
 */

/* PAGE, locked, of VALUE's slot, up to date: into the array. 0, -EAGAIN. */
static int swapin_place(struct shmem_get *g, struct page *page, void *value)
{
	struct address_space *mapping = g->inode->i_mapping;
	swp_entry_t entry = {xa_to_value(value)};

	wait_on_page_writeback(page);
	if (add_to_page_cache_expect(page, mapping, g->index, value)) {
		/* Truncated meanwhile: nobody wants the page any more. */
		(void)try_to_free_swap(page);
		return -EAGAIN;
	}
	SetPageDirty(page);
	delete_from_swap_cache(page);
	swap_free(entry);
	return 0;
}

/* G's page is there, but not what was in it (src/space/memory_failure.c). */
static int lost_error(const struct shmem_get *g)
{
	return g->sgp == SGP_CACHE ? -EHWPOISON : -EIO;
}

/* G's page is in swap, as VALUE says. 0: locked in G; -EAGAIN: look again. */
static int swapin(struct shmem_get *g, void *value)
{
	struct address_space *mapping = g->inode->i_mapping;
	swp_entry_t entry = {xa_to_value(value)};
	gfp_t gfp = mapping->gfp_mask;
	struct mpol_place place;
	struct mempolicy *held;
	struct page *page;
	bool found;
	int err;

	if (unlikely(!shmem_value_slot(value)))
		return is_hwpoison_entry(entry) ? lost_error(g) : -EIO;
	/* Who swaps off would rather fail than have somebody killed. */
	if (g->sgp == SGP_UNUSE)
		gfp |= __GFP_RETRY_MAYFAIL | __GFP_NOWARN;
	page = lookup_swap_cache(entry);
	found = page != NULL;
	if (found)
		put_page(page);
	else
		g->major = true;
	held = shmem_place(g->inode, g->index, &place);
	page = swapin_readahead_place(entry, gfp, &place);
	mpol_put(held);
	if (!page)
		return entry_is(mapping, g->index, value) ? -ENOMEM : -EAGAIN;
	lock_page(page);
	if (!PageSwapCache(page) || page_swap_entry(page).val != entry.val) {
		err = -EAGAIN;
	} else if (unlikely(PageHWPoison(page))) {
		g->lost = make_hwpoison_entry(page_to_pfn(page));
		err = lost_error(g);
	} else if (!PageUptodate(page)) {
		/* The read failed; the next who asks reads again. So do we if
		 * it was not ours: ahead of somebody, maybe long ago. */
		delete_from_swap_cache(page);
		err = found ? -EAGAIN : -EIO;
	} else {
		err = swapin_place(g, page, value);
	}
	if (!err) {
		g->page = page;
		return 0;
	}
	unlock_page(page);
	put_page(page);
	return err;
}

static void willneed_value(struct inode *inode, u64 index, void *value)
{
	struct mpol_place place;
	struct mempolicy *held = shmem_place(inode, index, &place);

	(void)swap_willneed((swp_entry_t){xa_to_value(value)},
			    inode->i_mapping->gfp_mask, &place);
	mpol_put(held);
}

void shmem_willneed(struct inode *inode, u64 first, u64 last)
{
	struct address_space *mapping = inode->i_mapping;
	void *entry;

	for (u64 index = first;
	     index <= last &&
	     (entry = next_entry(mapping, &index, last, XA_PRESENT));
	     index++) {
		if (!xa_is_value(entry))
			put_page(entry);
		else if (shmem_value_slot(entry))
			willneed_value(inode, index, entry);
		port_sched_point();
	}
}

/* ---- new pages -------------------------------------------------------------
 */

/* Between the array and the lists: PAGE, new, locked. */
static void new_page_state(struct shmem_get *g, struct page *page)
{
	struct address_space *mapping = g->inode->i_mapping;
	struct shmem_inode *si = shmem_i(g->inode);
	unsigned long flags;

	if (g->sgp == SGP_FALLOC) {
		mapping_lock(mapping, &flags);
		xa_set_mark(&mapping->i_pages, g->index, SHMEM_TAG_FALLOC);
		si->falloc->made++;
		mapping_unlock(mapping, flags);
	}
	lru_cache_add(page);
}

static int new_page_add(struct shmem_get *g, struct page *page)
{
	int err;

	if (!trylock_page(page))
		mm_bug("fresh page %llu is locked",
		       (unsigned long long)page_to_pfn(page));
	SetPageSwapBacked(page);
	SetPageUptodate(page);
	SetPageDirty(page);
	err = add_to_page_cache_expect(page, g->inode->i_mapping, g->index,
				       NULL);
	if (!err)
		return 0;
	ClearPageDirty(page);
	ClearPageUptodate(page);
	ClearPageSwapBacked(page);
	unlock_page(page);
	put_page(page);
	return err == -EEXIST ? -EAGAIN : err;
}

/* Fill the hole at G. 0: locked in G; -EAGAIN: somebody else did. */
static int new_page(struct shmem_get *g)
{
	struct shmem_inode *si = shmem_i(g->inode);
	gfp_t gfp = g->inode->i_mapping->gfp_mask | __GFP_ZERO;
	struct page *page;
	int err = shmem_charge(si, 1);

	if (err)
		return err;
	/* Nobody is to die for a page that nobody has used yet. */
	if (g->sgp == SGP_FALLOC)
		gfp |= __GFP_RETRY_MAYFAIL | __GFP_NOWARN;
	page = shmem_alloc_page(g->inode, g->index, gfp);
	err = page ? new_page_add(g, page) : -ENOMEM;
	if (err) {
		shmem_uncharge(si, 1);
		return err;
	}
	new_page_state(g, page);
	g->page = page;
	g->made = true;
	return 0;
}

int shmem_add_page(struct shmem_get *g)
{
	struct shmem_inode *si = shmem_i(g->inode);
	struct page *page = g->page;
	int err;

	g->sgp = SGP_CACHE;
	if (beyond_end(g))
		return -EINVAL;
	if (shmem_charge(si, 1))
		return -ENOMEM;
	get_page(page);
	err = new_page_add(g, page);
	if (err) {
		shmem_uncharge(si, 1);
		return err == -EAGAIN ? -EEXIST : err;
	}
	put_page(page);
	new_page_state(g, page);
	if (!beyond_end(g))
		return 0;
	/* As in shmem_getpage(). */
	shmem_drop_page(g->inode, page);
	unlock_page(page);
	return -EINVAL;
}

/* ---- the one way to a page -------------------------------------------------
 */

/* Somebody uses PAGE, locked: a failing fallocate must leave it. */
static void falloc_used(struct address_space *mapping, struct page *page)
{
	unsigned long flags;

	mapping_lock(mapping, &flags);
	xa_clear_mark(&mapping->i_pages, page_index(page), SHMEM_TAG_FALLOC);
	mapping_unlock(mapping, flags);
}

/* PAGE was found: lock it, if it still is G's. */
static int found_page(struct shmem_get *g, struct page *page)
{
	struct address_space *mapping = g->inode->i_mapping;

	lock_page(page);
	if (page_mapping(page) != mapping) {
		unlock_page(page);
		put_page(page);
		return -EAGAIN;
	}
	mm_assert_eq(page_index(page), (u32)g->index);
	if (unlikely(PageHWPoison(page))) {
		unlock_page(page);
		put_page(page);
		return lost_error(g);
	}
	mm_verify(PageUptodate(page) && PageDirty(page));
	if (g->sgp != SGP_FALLOC && g->sgp != SGP_UNUSE &&
	    READ_ONCE(shmem_i(g->inode)->falloc))
		falloc_used(mapping, page);
	g->page = page;
	return 0;
}

static int getpage_once(struct shmem_get *g)
{
	void *entry = entry_at(g->inode->i_mapping, g->index);

	if (entry && !xa_is_value(entry))
		return found_page(g, entry);
	if (entry)
		return swapin(g, entry);
	return g->sgp == SGP_READ || g->sgp == SGP_UNUSE ? 0 : new_page(g);
}

int shmem_getpage(struct shmem_get *g)
{
	int err;

	g->page = NULL;
	g->major = g->made = false;
	do {
		if (beyond_end(g))
			return -EINVAL;
		err = getpage_once(g);
	} while (err == -EAGAIN);
	if (err || !g->page || !beyond_end(g))
		return err;
	/*
	 * The file became shorter before the page was locked. Truncation comes
	 * to what it finds in the array, which is this page or what was there
	 * before; a page of ours that came too late for it has to go.
	 */
	shmem_drop_page(g->inode, g->page);
	unlock_page(g->page);
	put_page(g->page);
	g->page = NULL;
	return -EINVAL;
}

/* ---- out to swap -----------------------------------------------------------
 */

/* An fallocate() under way may have to take PAGE back: it stays. */
static bool falloc_keeps(struct address_space *mapping, struct page *page)
{
	struct shmem_inode *si = shmem_i(mapping->host);
	unsigned long flags;
	bool keep;

	if (!READ_ONCE(si->falloc))
		return false;
	mapping_lock(mapping, &flags);
	keep = xa_get_mark(&mapping->i_pages, page_index(page),
			   SHMEM_TAG_FALLOC);
	if (keep && si->falloc)
		si->falloc->refused++;
	mapping_unlock(mapping, flags);
	return keep;
}

/* Reclaim's writepage: PAGE is locked, unmapped, its dirty bit cleared. */
static int shmem_writepage(struct page *page, struct writeback_control *wbc)
{
	struct address_space *mapping = page_mapping(page);
	swp_entry_t entry;

	mm_assert(PageLocked(page) && !page_mapped(page));
	mm_verify(PageUptodate(page) && PageSwapBacked(page));
	if (!wbc->for_reclaim || mapping_flag(mapping, AS_UNEVICTABLE) ||
	    falloc_keeps(mapping, page) || !add_to_swap(page))
		return AOP_WRITEPAGE_ACTIVATE;
	entry = page_swap_entry(page);
	/* The array's count: a new slot has room for it. */
	mm_verify(swap_duplicate(entry) == 0);
	ClearPageDirty(page);
	delete_from_page_cache_value(page, xa_mk_value(entry.val));
	if (swap_writepage(page)) {
		SetPageDirty(page);
		return AOP_WRITEPAGE_ACTIVATE;
	}
	return 0;
}

const struct address_space_operations shmem_aops = {
	.writepage = shmem_writepage,
	.migratepage = migrate_page,
};

/* ---- dropping --------------------------------------------------------------
 */

/* The swapped page VALUE at INDEX goes, if it still is there. */
static void drop_value(struct inode *inode, u64 index, void *value)
{
	struct xa_preload freed = XA_PRELOAD_INIT(NULL, cache_node_free, NULL);
	struct address_space *mapping = inode->i_mapping;
	unsigned long flags;
	bool same;

	mapping_lock(mapping, &flags);
	same = xa_load(&mapping->i_pages, index) == value;
	if (same) {
		xa_erase(&mapping->i_pages, index, &freed);
		mm_verify(mapping->nrshadows > 0);
		mapping->nrshadows--;
	}
	mapping_unlock(mapping, flags);
	xa_preload_drain(&freed);
	if (!same)
		return;
	if (shmem_value_slot(value))
		free_swap_and_cache((swp_entry_t){xa_to_value(value)});
	shmem_uncharge(shmem_i(inode), 1);
}

void shmem_drop_page(struct inode *inode, struct page *page)
{
	const struct mapping_ops *ops = cache_sys.fm.mapping_ops;

	mm_assert(PageLocked(page) && page_mapping(page) == inode->i_mapping);
	if (page_mapped(page))
		ops->unmap_mapping_range(inode->i_mapping, page_index(page), 1,
					 false);
	ClearPageDirty(page);
	delete_from_page_cache(page);
	shmem_uncharge(shmem_i(inode), 1);
}

/* PAGE, locked, of MAPPING, has SHMEM_TAG_FALLOC. */
static bool page_tagged(struct address_space *mapping, const struct page *page)
{
	unsigned long flags;
	bool tagged;

	mapping_lock(mapping, &flags);
	tagged = xa_get_mark(&mapping->i_pages, page_index(page),
			     SHMEM_TAG_FALLOC);
	mapping_unlock(mapping, flags);
	return tagged;
}

/* PAGE was found with a reference. False: it is elsewhere by now. */
static bool drop_found(struct inode *inode, struct page *page, bool falloc_only)
{
	struct address_space *mapping = inode->i_mapping;
	bool there;

	lock_page(page);
	there = page_mapping(page) == mapping;
	/* Used since it was found, or mapped from the cache: not ours to take.
	 */
	if (there && (!falloc_only ||
		      (!page_mapped(page) && page_tagged(mapping, page))))
		shmem_drop_page(inode, page);
	unlock_page(page);
	put_page(page);
	return there;
}

void shmem_drop_range(struct inode *inode, u64 first, u64 last,
		      bool falloc_only)
{
	struct address_space *mapping = inode->i_mapping;
	enum xa_mark mark = falloc_only ? SHMEM_TAG_FALLOC : XA_PRESENT;
	u64 index = first;
	void *entry;

	while (index <= last &&
	       (entry = next_entry(mapping, &index, last, mark))) {
		if (xa_is_value(entry))
			drop_value(inode, index, entry);
		else if (drop_found(inode, entry, falloc_only))
			index++;
		/* Else what stands there now is taken in the next round. */
		port_sched_point();
	}
}

int shmem_zero_range(struct inode *inode, u64 start, u64 end)
{
	struct shmem_get g = {
		.inode = inode, .index = start >> PAGE_SHIFT, .sgp = SGP_READ};
	char *view;
	int err;

	if (start >= end)
		return 0;
	mm_assert((end - 1) >> PAGE_SHIFT == g.index);
	err = shmem_getpage(&g);
	if (err || !g.page)
		return err == -EINVAL ? 0 : err;
	view = page_map(g.page);
	mm_memset_racy(view + (start & ~PAGE_MASK), 0, end - start);
	page_unmap(g.page, view);
	unlock_page(g.page);
	put_page(g.page);
	return 0;
}

/* ---- swapoff ---------------------------------------------------------------
 */

/* The page of VALUE at INDEX, if it still is there, cannot be had: from now on
 * LOST stands there. */
static void lose_value(struct address_space *mapping, u64 index, void *value,
		       swp_entry_t lost)
{
	unsigned long flags;
	bool same;
	int err = 0;

	mapping_lock(mapping, &flags);
	same = xa_load(&mapping->i_pages, index) == value;
	if (same)
		err = xa_store(&mapping->i_pages, index, xa_mk_value(lost.val),
			       NULL);
	mapping_unlock(mapping, flags);
	mm_verify(err == 0); /* in place of another */
	if (same)
		free_swap_and_cache((swp_entry_t){xa_to_value(value)});
}

/* Page INDEX of INODE, which is in swap as VALUE, comes in. */
static int unuse_value(struct inode *inode, u64 index, void *value)
{
	struct shmem_get g = {
		.inode = inode,
		.index = index,
		.sgp = SGP_UNUSE,
		.lost = make_pte_marker_entry(PTE_MARKER_POISONED),
	};
	int err;

	filemap_invalidate_lock_shared(inode->i_mapping);
	err = shmem_getpage(&g);
	/* What failed may have been somebody's read-ahead. */
	if (err == -EIO)
		err = shmem_getpage(&g);
	filemap_invalidate_unlock_shared(inode->i_mapping);
	if (err == -EIO)
		lose_value(inode->i_mapping, index, value, g.lost);
	if (g.page) {
		unlock_page(g.page);
		put_page(g.page);
	}
	return err == -EIO ? 0 : err;
}

static int unuse_inode(struct inode *inode, u32 type)
{
	struct address_space *mapping = inode->i_mapping;
	int err = 0;
	void *entry;

	for (u64 index = 0;
	     !err && (entry = next_entry(mapping, &index, ~0UL, XA_PRESENT));
	     index++) {
		if (!xa_is_value(entry)) {
			put_page(entry);
			continue;
		}
		if (swp_type((swp_entry_t){xa_to_value(entry)}) != type)
			continue;
		err = unuse_value(inode, index, entry);
		if (READ_ONCE(port_current()->fatal_signal))
			err = -EINTR;
	}
	return err;
}

/* The inode after PREV, held; PREV is put. NULL: the end. */
static struct inode *next_inode(struct inode *prev)
{
	struct filemap_state *fm = &cache_sys.fm;
	struct list_head *at;
	struct inode *found = NULL;

	spin_lock(&fm->inode_lock);
	at = prev ? &prev->i_sb_list : &fm->inodes;
	for (at = at->next; at != &fm->inodes && !found; at = at->next) {
		struct inode *inode = list_entry(at, struct inode, i_sb_list);

		if (!shmem_is_inode(inode) || (inode->i_state & I_FREEING))
			continue;
		ihold(inode);
		found = inode;
	}
	spin_unlock(&fm->inode_lock);
	if (prev)
		iput(prev);
	return found;
}

int shmem_unuse(u32 type)
{
	struct inode *inode;
	int err = 0;

	for (inode = next_inode(NULL); inode; inode = next_inode(inode)) {
		err = unuse_inode(inode, type);
		if (!err)
			continue;
		iput(inode);
		break;
	}
	return err;
}
