/* SPDX-License-Identifier: MIT */
/*
 * swap_state.c - the swap cache: pages that have a slot.
 *
 * 1. Purpose. While a page is on its way out or in, or is shared by several
 *    entries of which some are still swapped, everybody must find the one
 *    copy: it stands in its area's array under its slot's number.
 *
 * 2. Invariants.
 *    SC-1  A page with PG_swapcache is in the array at page_swap_entry(), and
 *          the array holds one reference to it.
 *    SC-2  PG_swapcache changes under the page lock (or with the references
 *          frozen) and cache_lock.
 *    SC-3  A clean page of the cache equals its slot's contents on the device.
 *
 * 3. Read-ahead. A fault reads an aligned window of slots around its own: the
 *    pages there were written together. The window doubles (to 1 <<
 *    page_cluster) when at least half of what was read ahead got used, and
 *    halves when nothing was. That is for shared memory, for swapoff and where
 *    vma_ra_enabled is false; a program's own memory is read ahead by its
 *    addresses (src/space/swap_ra.c).
 *
 * 4. Failure. Adding needs array nodes; without memory the page is not added.
 *
 * References: Linux documentation admin-guide/sysctl/vm (page-cluster).
 */
#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>
#include <mmkit/slab.h>

#include "base/epoch.h"
#include "base/trace_ring.h"
#include "cache/swap.h"
#include "memcg/memcg.h"
#include "phys/alloc.h"
#include "phys/group.h"
#include "phys/lru.h"
#include "phys/mmzone.h"
#include "phys/vmstat.h"

/* Read-ahead looks again at its window after this many pages. */
#define RA_LOOK 32u

static void *node_alloc(void *arg, size_t size)
{
	mm_assert(size == sizeof(struct xa_node));
	return kmem_cache_alloc(cache_sys.node_cache, *(gfp_t *)arg);
}

static struct swap_info *entry_area(swp_entry_t entry)
{
	return cache_sys.swap[swp_type(entry)];
}

static void count_cached(struct page *page, long n)
{
	page_stat_add(page, NR_FILE_PAGES, n);
	page_stat_add(page, NR_SWAPCACHE, n);
}

/* ---- in and out of the array
 * ------------------------------------------------- */

/*
 * Put PAGE, locked, into the cache under ENTRY, whose cache bit is ours.
 * *SHADOW gets what stood there. 0 or -ENOMEM.
 */
static int add_to_swap_cache(struct page *page, swp_entry_t entry, gfp_t gfp,
			     void **shadow)
{
	struct xa_preload pl =
		XA_PRELOAD_INIT(node_alloc, cache_node_free, &gfp);
	struct swap_info *si = entry_area(entry);
	u64 off = swp_offset(entry);
	u32 need = 0;
	int err;

	mm_assert(PageLocked(page) && !PageSwapCache(page));
	do {
		err = xa_preload_fill(&pl, need);
		if (err)
			break;
		spin_lock(&si->cache_lock);
		*shadow = xa_load(&si->cache, off);
		mm_verify(!*shadow || xa_is_value(*shadow));
		err = xa_store(&si->cache, off, page, &pl);
		need = err ? xa_nodes_needed(&si->cache, off) : 0;
		if (!err) {
			get_page(page);
			set_page_private(page, (u32)entry.val);
			SetPageSwapCache(page);
		}
		spin_unlock(&si->cache_lock);
	} while (err);
	xa_preload_drain(&pl);
	if (!err)
		count_cached(page, 1);
	return err;
}

/* Replace PAGE by SHADOW (NULL: nothing) and give the cache bit back. */
static void cache_remove(struct page *page, void *shadow)
{
	struct xa_preload freed = XA_PRELOAD_INIT(NULL, cache_node_free, NULL);
	swp_entry_t entry = page_swap_entry(page);
	struct swap_info *si = entry_area(entry);
	u64 off = swp_offset(entry);

	mm_verify(!PageWriteback(page));
	spin_lock(&si->cache_lock);
	mm_verify(xa_load(&si->cache, off) == page);
	if (shadow) {
		int err = xa_store(&si->cache, off, shadow, NULL);

		mm_verify(err == 0);
	} else {
		xa_erase(&si->cache, off, &freed);
	}
	ClearPageSwapCache(page);
	set_page_private(page, 0);
	spin_unlock(&si->cache_lock);
	xa_preload_drain(&freed);
	count_cached(page, -1);
	swapcache_free(entry);
}

/* PAGE, reclaim's, into the cache under ENTRY, which is fresh, and not freed if
 * that fails. */
static bool add_reclaimed(struct page *page, swp_entry_t entry)
{
	void *shadow;

	mm_assert(PageUptodate(page));
	/* Reclaim calls: reserves may be used, reclaim must not recurse. */
	if ((page_group(page) && swap_slot_charge(entry, page_group(page))) ||
	    add_to_swap_cache(page, entry,
			      __GFP_HIGH | __GFP_NOMEMALLOC | __GFP_NOWARN,
			      &shadow))
		return false;
	SetPageDirty(page);
	return true;
}

bool add_to_swap(struct page *page)
{
	swp_entry_t entry = get_swap_page();

	if (!entry.val) {
		memcg_swap_failed(page_group(page));
		return false;
	}
	if (add_reclaimed(page, entry))
		return true;
	swapcache_free(entry);
	return false;
}

bool add_block_to_swap(struct page *first)
{
	swp_entry_t entry = get_swap_block();
	u32 type = (u32)swp_type(entry), off = (u32)swp_offset(entry), n = 0;

	if (!entry.val)
		return false;
	while (n < SWAP_BLOCK &&
	       add_reclaimed(first + n, swp_entry(type, off + n)))
		n++;
	if (n == SWAP_BLOCK)
		return true;
	for (u32 i = n; i < SWAP_BLOCK; i++)
		swapcache_free(swp_entry(type, off + i));
	while (n--)
		delete_from_swap_cache(first + n);
	return false;
}

void delete_from_swap_cache(struct page *page)
{
	mm_assert(PageLocked(page));
	cache_remove(page, NULL);
	put_page(page);
}

void swap_cache_evict(struct page *page, void *shadow)
{
	mm_verify(page_count(page) == 0);
	cache_remove(page, shadow);
}

bool swap_cache_replace(struct page *new, struct page *old, int count)
{
	swp_entry_t entry = page_swap_entry(old);
	struct swap_info *si = entry_area(entry);
	u64 off = swp_offset(entry);

	mm_assert(PageLocked(new) && PageLocked(old) && !PageWriteback(old));
	spin_lock(&si->cache_lock);
	mm_verify(xa_load(&si->cache, off) == old);
	if (!page_ref_freeze(old, count)) {
		spin_unlock(&si->cache_lock);
		return false;
	}
	get_page(new); /* the array's */
	page_move_charge(new, old);
	mm_verify(!xa_store(&si->cache, off, new, NULL));
	set_page_private(new, (u32)entry.val);
	if (TestClearPageDirty(old))
		SetPageDirty(new);
	SetPageSwapCache(new);
	ClearPageSwapCache(old);
	set_page_private(old, 0);
	page_ref_unfreeze(old, count - 1);
	spin_unlock(&si->cache_lock);
	count_cached(new, 1);
	count_cached(old, -1);
	return true;
}

bool try_to_free_swap(struct page *page)
{
	mm_assert(PageLocked(page));
	if (!PageSwapCache(page) || PageWriteback(page))
		return false;
	if (swap_count(page_swap_entry(page)) > 0)
		return false;
	delete_from_swap_cache(page);
	SetPageDirty(page);
	return true;
}

struct page *lookup_swap_cache(swp_entry_t entry)
{
	struct swap_info *si;
	struct page *page = NULL;

	/* The caller may hold no slot: the area may go meanwhile. */
	epoch_enter();
	si = swap_area(swp_type(entry));
	if (si) {
		spin_lock(&si->cache_lock);
		page = xa_load(&si->cache, swp_offset(entry));
		if (page && (xa_is_value(page) || !get_page_unless_zero(page)))
			page = NULL;
		spin_unlock(&si->cache_lock);
	}
	epoch_exit();
	return page;
}

void free_swap_and_cache(swp_entry_t entry)
{
	struct page *page;
	bool last = swap_count(entry) == 1;

	swap_free(entry);
	if (!last)
		return;
	/* The slot may be free by now, and its area gone. */
	page = lookup_swap_cache(entry);
	if (!page)
		return;
	if (!page_mapped(page) && trylock_page(page)) {
		if (PageSwapCache(page) &&
		    page_swap_entry(page).val == entry.val)
			try_to_free_swap(page);
		unlock_page(page);
	}
	put_page(page);
}

void free_swap_cache(struct page *page)
{
	if (PageSwapCache(page) && !page_mapped(page) && trylock_page(page)) {
		try_to_free_swap(page);
		unlock_page(page);
	}
}

void free_page_and_swap_cache(struct page *page)
{
	free_swap_cache(page);
	put_page(page);
}

/* ---- reading in
 * ------------------------------------------------------------------- */

/* A frame for ENTRY's contents, charged to whose they are, whoever reads them:
 * the neighbours that are read ahead may be another group's. */
static struct page *alloc_for_slot(swp_entry_t entry, gfp_t gfp,
				   const struct mpol_place *place)
{
	gfp_t nobody = gfp & ~(__GFP_ACCOUNT | __GFP_HARDWALL);
	struct page *page = alloc_pages_place(nobody, 0, place);

	if (!page ||
	    charge_page_to(page, memcg_swapin_group(swap_slot_owner(entry)),
			   gfp))
		return page;
	put_page(page);
	return NULL;
}

struct page *swap_cache_new_page(swp_entry_t entry, gfp_t gfp,
				 const struct mpol_place *place)
{
	struct page *page = alloc_for_slot(entry, gfp, place);
	void *shadow;
	int err;

	if (!page)
		return NULL;
	err = swapcache_prepare(entry);
	if (err) {
		put_page(page);
		return ERR_PTR(err);
	}
	if (!trylock_page(page))
		mm_bug("fresh page %llu is locked",
		       (unsigned long long)page_to_pfn(page));
	SetPageSwapBacked(page);
	if (add_to_swap_cache(page, entry, gfp & ~__GFP_MOVABLE, &shadow)) {
		swapcache_free(entry);
		unlock_page(page);
		put_page(page);
		return NULL;
	}
	if (shadow)
		workingset_refault(page, shadow);
	lru_cache_add(page);
	return page;
}

/* The read could not be started: nobody will unlock and fill the page. */
static void read_abandon(struct page *page)
{
	delete_from_swap_cache(page);
	unlock_page(page);
	put_page(page);
}

/*
 * ENTRY's page with a reference: from the cache, or a new one whose read is
 * started (*STARTED). Another task may be between taking the cache bit and
 * adding its page: then wait a moment.
 */
static struct page *read_swap_cache(swp_entry_t entry, gfp_t gfp,
				    const struct mpol_place *place,
				    bool *started)
{
	*started = false;
	for (;;) {
		struct page *page = lookup_swap_cache(entry);

		if (page)
			return page;
		page = swap_cache_new_page(entry, gfp, place);
		if (!page || PTR_ERR(page) == -ENOENT)
			return NULL;
		if (PTR_ERR(page) == -EEXIST) {
			port_park(1000);
			continue;
		}
		if (swap_readpage(page)) {
			read_abandon(page);
			return NULL;
		}
		*started = true;
		return page;
	}
}

/* ---- read-ahead
 * ---------------------------------------------------------------------- */

/* Adapt the window to what the last pages brought; returns its size. */
static u32 ra_window(swp_entry_t entry)
{
	struct swap_ra_state *ra = &cache_sys.ra;
	u32 limit = 1u << READ_ONCE(cache_sys.page_cluster), window;

	spin_lock(&ra->lock);
	if (ra->issued >= RA_LOOK) {
		if (ra->hits * 2 >= ra->issued)
			ra->window *= 2;
		else if (ra->hits == 0)
			ra->window /= 2;
		ra->issued = ra->hits = 0;
	}
	/* Neighbouring faults in a row: a sequence, even with nothing issued.
	 */
	if (ra->window < 2 &&
	    (ra->last + (1u << X86_SWP_TYPE_BITS) == entry.val ||
	     ra->last - (1u << X86_SWP_TYPE_BITS) == entry.val))
		ra->window = 2;
	ra->window = clamp(ra->window, 1u, limit);
	ra->last = entry.val;
	window = ra->window;
	spin_unlock(&ra->lock);
	return window;
}

bool swap_ra_used(struct page *page)
{
	if (!TestClearPageReadahead(page))
		return false;
	count_vm_event(SWAP_RA_HIT);
	return true;
}

/* PAGE is used now: was it read ahead? */
static void ra_hit(struct page *page)
{
	if (!swap_ra_used(page))
		return;
	spin_lock(&cache_sys.ra.lock);
	cache_sys.ra.hits++;
	spin_unlock(&cache_sys.ra.lock);
}

/* Start to read ENTRY, if it is not there; a failure is of no consequence. Its
 * page with a reference, NULL: nothing was started. The area is held. */
static struct page *read_early(swp_entry_t entry, gfp_t gfp,
			       const struct mpol_place *place)
{
	struct page *page;
	bool started;

	if (!swap_slot_used(entry) || swap_slot_cached(entry))
		return NULL;
	page = read_swap_cache(entry, gfp | __GFP_NORETRY | __GFP_NOWARN, place,
			       &started);
	if (!page || started)
		return page;
	put_page(page);
	return NULL;
}

/* Read a neighbour. False: nothing was started. The area is held. */
static bool ra_read(swp_entry_t entry, gfp_t gfp,
		    const struct mpol_place *place)
{
	struct page *page = read_early(entry, gfp, place);

	if (!page)
		return false;
	SetPageReadahead(page);
	count_vm_event(SWAP_RA);
	put_page(page);
	return true;
}

/* As swapin_readahead_place(), the area held. */
static struct page *read_window(swp_entry_t entry, gfp_t gfp,
				const struct mpol_place *place)
{
	u32 window = ra_window(entry);
	u64 off = swp_offset(entry);
	u64 start = ALIGN_DOWN(off, (u64)window);
	struct page *page;
	u32 issued = 0;
	bool started;

	page = read_swap_cache(entry, gfp, place, &started);
	if (!page)
		return NULL;
	if (!started) {
		ra_hit(page);
		return page;
	}
	for (u64 o = start; o < start + window; o++) {
		struct mpol_place beside = *place;

		beside.ilx += o - off;
		if (o != off)
			issued += ra_read(swp_entry(swp_type(entry), o), gfp,
					  &beside);
	}
	spin_lock(&cache_sys.ra.lock);
	cache_sys.ra.issued += issued;
	spin_unlock(&cache_sys.ra.lock);
	return page;
}

struct page *swapin_readahead_place(swp_entry_t entry, gfp_t gfp,
				    const struct mpol_place *place)
{
	struct page *page;

	if (!swap_area_get(entry))
		return NULL;
	page = read_window(entry, gfp, place);
	swap_area_put(entry);
	return page;
}

struct page *swapin_alone(swp_entry_t entry, gfp_t gfp,
			  const struct mpol_place *place, bool *started)
{
	struct page *page;

	if (!swap_area_get(entry))
		return NULL;
	page = read_swap_cache(entry, gfp, place, started);
	swap_area_put(entry);
	return page;
}

void swap_read_ahead(swp_entry_t entry, gfp_t gfp,
		     const struct mpol_place *place)
{
	if (!swap_area_get(entry))
		return;
	(void)ra_read(entry, gfp, place);
	swap_area_put(entry);
}

bool swap_willneed(swp_entry_t entry, gfp_t gfp, const struct mpol_place *place)
{
	struct page *page;

	if (!swap_area_get(entry))
		return false;
	page = read_early(entry, gfp, place);
	swap_area_put(entry);
	if (page)
		put_page(page);
	return page != NULL;
}
