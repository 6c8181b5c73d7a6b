/* SPDX-License-Identifier: MIT */
/*
 * swapfile.c - swap areas: who uses which slot.
 *
 * 1. Purpose. Find a slot quickly and in runs, and know for each how many
 *    page-table entries and whether a cached page refer to it.
 *
 * 2. Structures. An area is a device whose first page is mkswap's header. Each
 *    slot has a 16-bit word: number of entries, and SWAP_HAS_CACHE. Words
 *    stand in page-sized chunks, so an area needs no large block of memory.
 *    swap_slots.c says which slot a page gets, swapon.c how areas come and go.
 *    A word counts 16382 entries; of a page that more share (its users are
 *    forks, or it is one of many equal ones) the rest is counted by a struct
 *    swap_more in the area's list, in steps of 8192 so that a count that goes
 *    up and down at the edge stays in its word.
 *
 * 3. Invariants.
 *    SW-1  A word is 0 exactly if the slot is free.
 *    SW-2  inuse_pages = non-zero words, bad and header slots left out;
 *          cluster_count likewise per cluster, bad slots counted as taken.
 *    SW-3  SWAP_HAS_CACHE is set exactly while a page of the slot is in the
 *          cache or on its way there.
 *    SW-4  A shadow value in the cache's array belongs to a slot in use.
 *    SW-5  SWAP_CONTINUED is set exactly while the slot has one swap_more,
 *          whose count is not 0.
 *
 * 4. Locking. swap_info.lock for words and counters; cache_lock nests inside.
 *
 * 5. Failure. get_swap_page() returns no entry when all areas are full. A
 *    continuation needs memory at once, since a page table is locked: without
 *    it swap_duplicate() fails, the page is not unmapped, a fork says ENOMEM.
 *
 * 6. Cost. Counting: O(1); with continuations O(their number in the area),
 *    each of which took 8192 entries of page tables to make.
 *
 * References: mkswap(8), swapon(8), swapon(2); Linux documentation, admin-
 * guide/sysctl/vm (page-cluster).
 */
#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>
#include <mmkit/slab.h>

#include "base/epoch.h"
#include "base/string.h"
#include "cache/swap.h"
#include "memcg/memcg.h"
#include "phys/vmstat.h"

struct cache_state cache_sys;

void cache_reset(void)
{
	mm_memset(&cache_sys, 0, sizeof(cache_sys));
}

int cache_init(const struct paging_format *format)
{
	cache_sys.max_slots =
		(u32)min((u64)SWAP_MAX_PAGES, 1UL << format->swp_offset_bits);
	cache_sys.page_cluster = 3;
	cache_sys.vma_ra_enabled = 1;
	swap_slots_init();
	zswap_init();
	cache_sys.ra.window = 1;
	spin_lock_init(&cache_sys.ra.lock, LOCK_CLASS_SEQ_STATS);
	mutex_init(&cache_sys.swapon_mutex, LOCK_CLASS_SWAPON);
	cache_sys.node_cache =
		kmem_cache_create("radix_tree_node", sizeof(struct xa_node), 0,
				  SLAB_RECLAIM_ACCOUNT, NULL);
	cache_sys.bio_cache = kmem_cache_create(
		"swap_bio", sizeof(struct port_bio), 0, 0, NULL);
	if (!cache_sys.node_cache || !cache_sys.bio_cache)
		return -ENOMEM;
	if (shadow_nodes_init())
		return -ENOMEM;
	return filemap_init() ? -ENOMEM : shmem_init();
}

/* ---- the map
 * ------------------------------------------------------------------- */

static struct swap_info *entry_area(swp_entry_t entry)
{
	struct swap_info *si = cache_sys.swap[swp_type(entry)];

	mm_verify(si != NULL);
	mm_verify(swp_offset(entry) > 0 && swp_offset(entry) < si->max);
	return si;
}

static u16 *owner_word(const struct swap_info *si, u64 offset)
{
	return &si->owner[offset / SWAP_MAP_PER_CHUNK]
			 [offset % SWAP_MAP_PER_CHUNK];
}

u16 swap_slot_owner(swp_entry_t entry)
{
	return READ_ONCE(*owner_word(entry_area(entry), swp_offset(entry)));
}

int swap_slot_charge(swp_entry_t entry, u16 group)
{
	u16 *owner = owner_word(entry_area(entry), swp_offset(entry));
	int err = memcg_swap_charge(group, 1);

	mm_verify(*owner == 0);
	if (!err)
		WRITE_ONCE(*owner, group);
	return err;
}

void swap_slot_take(struct swap_info *si, u32 offset, u16 word)
{
	u16 *w = swap_slot_word(si, offset);

	mm_verify(*w == 0);
	*w = word;
	WRITE_ONCE(si->inuse_pages, si->inuse_pages + 1);
	si->cluster_count[offset / SWAPFILE_CLUSTER]++;
	swap_discard_taken(si, offset / SWAPFILE_CLUSTER);
	__atomic_fetch_sub(&cache_sys.nr_swap_pages, 1, __ATOMIC_RELAXED);
}

/* The slot is free; a shadow left in the cache's array goes too. Locked. */
static void slot_release(struct swap_info *si, u32 offset,
			 struct xa_preload *freed)
{
	assert_spin_locked(&si->lock);
	mm_verify(si->inuse_pages > 0);
	zswap_invalidate(swp_entry(si->type, offset));
	spin_lock(&si->cache_lock);
	mm_verify(!xa_load(&si->cache, offset) ||
		  xa_is_value(xa_load(&si->cache, offset)));
	xa_erase(&si->cache, offset, freed);
	spin_unlock(&si->cache_lock);
	*swap_slot_word(si, offset) = 0;
	if (unlikely(*owner_word(si, offset))) {
		memcg_swap_uncharge(*owner_word(si, offset), 1);
		WRITE_ONCE(*owner_word(si, offset), 0);
	}
	WRITE_ONCE(si->inuse_pages, si->inuse_pages - 1);
	if (--si->cluster_count[offset / SWAPFILE_CLUSTER] == 0)
		swap_discard_empty(si, offset / SWAPFILE_CLUSTER);
	/* One of an area that is going away is not to be had any more. */
	if (si->in_use)
		__atomic_fetch_add(&cache_sys.nr_swap_pages, 1,
				   __ATOMIC_RELAXED);
}

void cache_node_free(void *arg, void *node)
{
	(void)arg;
	kmem_cache_free(cache_sys.node_cache, node);
}

/* ---- counting
 * ------------------------------------------------------------------------ */

/* Where OFF's continuation hangs; *the result is NULL: nowhere. Locked. */
static struct swap_more **more_find(struct swap_info *si, u32 off)
{
	struct swap_more **at = &si->more;

	assert_spin_locked(&si->lock);
	while (*at && (*at)->offset != off)
		at = &(*at)->next;
	return at;
}

u64 swap_slot_entries(const struct swap_info *si, u32 offset)
{
	u16 w = *swap_slot_word(si, offset);
	u64 n = w & SWAP_COUNT_MASK;

	for (struct swap_more *m = si->more; m && (w & SWAP_CONTINUED);
	     m = m->next)
		if (m->offset == offset)
			return n + m->count;
	return n;
}

/* The word W of OFF is full: part of its count moves to a continuation, for
 * which *SPARE is there. False: it is not. Locked. */
static bool more_carry(struct swap_info *si, u32 off, u16 *w,
		       struct swap_more **spare)
{
	struct swap_more **at = more_find(si, off);

	mm_verify((*w & SWAP_CONTINUED ? *at != NULL : *at == NULL));
	if (!*at) {
		if (!*spare)
			return false;
		**spare = (struct swap_more){.next = si->more, .offset = off};
		si->more = *spare;
		*spare = NULL;
		at = &si->more;
	}
	(*at)->count += SWAP_MORE_STEP;
	*w = (u16)((*w | SWAP_CONTINUED) - SWAP_MORE_STEP);
	return true;
}

/* The word W of OFF has no entry left, its continuation has. *GONE: it was the
 * last of it. Locked. */
static void more_borrow(struct swap_info *si, u32 off, u16 *w,
			struct swap_more **gone)
{
	struct swap_more **at = more_find(si, off);

	mm_verify(*at && (*at)->count >= SWAP_MORE_STEP);
	*w = (u16)(*w + SWAP_MORE_STEP);
	(*at)->count -= SWAP_MORE_STEP;
	if ((*at)->count)
		return;
	*gone = *at;
	*at = (*at)->next;
	*w = (u16)(*w & ~SWAP_CONTINUED);
}

/* One entry more. False: *SPARE must be there. */
static bool slot_get(swp_entry_t entry, struct swap_more **spare)
{
	struct swap_info *si = entry_area(entry);
	bool room = true;
	u16 *w;

	spin_lock(&si->lock);
	w = swap_slot_word(si, swp_offset(entry));
	mm_verify(*w != 0 && *w != SWAP_MAP_BAD);
	if ((*w & SWAP_COUNT_MASK) == SWAP_MAP_MAX)
		room = more_carry(si, (u32)swp_offset(entry), w, spare);
	if (room)
		++*w;
	spin_unlock(&si->lock);
	return room;
}

int swap_duplicate(swp_entry_t entry)
{
	struct swap_more *spare = NULL;
	bool done = slot_get(entry, &spare);

	/* The caller has a page table locked. */
	if (!done)
		spare = kmalloc(sizeof(*spare), GFP_NOWAIT | __GFP_NOWARN);
	if (spare)
		done = slot_get(entry, &spare);
	kfree(spare);
	return done ? 0 : -ENOMEM;
}

/* Take CLEAR (one entry, or the cache bit) from the word. */
static void slot_put(swp_entry_t entry, u16 clear)
{
	struct xa_preload freed = XA_PRELOAD_INIT(NULL, cache_node_free, NULL);
	struct swap_info *si = entry_area(entry);
	struct swap_more *gone = NULL;
	struct port_bio *forget;
	u16 *w;

	spin_lock(&si->lock);
	w = swap_slot_word(si, swp_offset(entry));
	mm_verify(*w != SWAP_MAP_BAD);
	if (clear == SWAP_HAS_CACHE)
		mm_verify(*w & SWAP_HAS_CACHE);
	else if (!(*w & SWAP_COUNT_MASK))
		more_borrow(si, (u32)swp_offset(entry), w, &gone);
	if (*w == clear)
		slot_release(si, (u32)swp_offset(entry), &freed);
	else
		*w = (u16)(*w - clear);
	forget = swap_discard_next(si);
	spin_unlock(&si->lock);
	if (unlikely(forget))
		port_bio_submit(forget);
	kfree(gone);
	xa_preload_drain(&freed);
}

void swap_free(swp_entry_t entry)
{
	slot_put(entry, 1);
}

void swapcache_free(swp_entry_t entry)
{
	slot_put(entry, SWAP_HAS_CACHE);
}

int swapcache_prepare(swp_entry_t entry)
{
	struct swap_info *si = entry_area(entry);
	int err = 0;
	u16 *w;

	spin_lock(&si->lock);
	w = swap_slot_word(si, swp_offset(entry));
	/* Taken, but named by nobody: on its way out, or in a CPU's cache. */
	if (*w == SWAP_MAP_BAD || !(*w & ~SWAP_HAS_CACHE))
		err = -ENOENT;
	else if (*w & SWAP_HAS_CACHE)
		err = -EEXIST;
	else
		*w |= SWAP_HAS_CACHE;
	spin_unlock(&si->lock);
	return err;
}

u32 swap_count(swp_entry_t entry)
{
	struct swap_info *si = entry_area(entry);
	u64 n;

	spin_lock(&si->lock);
	n = swap_slot_entries(si, (u32)swp_offset(entry));
	spin_unlock(&si->lock);
	return (u32)min(n, (u64)UINT32_MAX);
}

bool swap_slot_used(swp_entry_t entry)
{
	struct swap_info *si = swap_area(swp_type(entry));
	u64 off = swp_offset(entry);
	u16 w;

	if (!si || off == 0 || off >= si->max)
		return false;
	spin_lock(&si->lock);
	w = *swap_slot_word(si, off);
	spin_unlock(&si->lock);
	return w != 0 && w != SWAP_MAP_BAD && (w & ~SWAP_HAS_CACHE) != 0;
}

bool swap_slot_cached(swp_entry_t entry)
{
	struct swap_info *si = entry_area(entry);
	u16 w;

	spin_lock(&si->lock);
	w = *swap_slot_word(si, swp_offset(entry));
	spin_unlock(&si->lock);
	return w != SWAP_MAP_BAD && (w & SWAP_HAS_CACHE) != 0;
}

u64 get_nr_swap_pages(void)
{
	return READ_ONCE(cache_sys.nr_swap_pages);
}

bool vm_swap_full(void)
{
	return get_nr_swap_pages() * 2 < READ_ONCE(cache_sys.total_swap_pages);
}

bool page_swap_full(struct page *page)
{
	mm_assert(PageLocked(page) && PageSwapCache(page));
	return vm_swap_full() ||
	       memcg_swap_full(swap_slot_owner(page_swap_entry(page)));
}

/* ---- check
 * ---------------------------------------------------------------------------------
 */

/* Each continuation belongs to a word that says so, once. Locked. */
static u64 more_check(const struct swap_info *si)
{
	u64 n = 0;

	for (const struct swap_more *m = si->more; m; m = m->next, n++) {
		mm_verify(m->count && m->count % SWAP_MORE_STEP == 0);
		mm_verify(*swap_slot_word(si, m->offset) & SWAP_CONTINUED);
	}
	return n;
}

static void area_check(struct swap_info *si)
{
	u32 inuse = 0, bad = 0;
	u64 cached = 0, more = 0;

	spin_lock(&si->lock);
	for (u32 off = 0; off < si->max; off++) {
		u16 w = *swap_slot_word(si, off);

		mm_verify(w != 0 || *owner_word(si, off) == 0);
		bad += w == SWAP_MAP_BAD;
		more += w != SWAP_MAP_BAD && (w & SWAP_CONTINUED);
		inuse += w != 0 && w != SWAP_MAP_BAD;
		cached += w != SWAP_MAP_BAD && (w & SWAP_HAS_CACHE) != 0;
	}
	mm_verify(inuse == si->inuse_pages);
	mm_verify(more == more_check(si));
	mm_verify(READ_ONCE(si->slots_cached) <= cached);
	mm_verify(bad + si->pages == si->max);
	swap_discard_check(si);
	spin_lock(&si->cache_lock);
	mm_verify(xa_check(&si->cache));
	mm_verify(si->cache.count <= inuse);
	spin_unlock(&si->cache_lock);
	spin_unlock(&si->lock);
	mm_verify(cached <= inuse);
}

void swap_check(void)
{
	u64 free_slots = 0;

	for (u32 t = 0; t < nr_swap_areas(); t++) {
		struct swap_info *si = swap_area(t);

		if (!si)
			continue;
		area_check(si);
		free_slots += READ_ONCE(si->slots_cached);
		if (!READ_ONCE(si->in_use))
			continue;
		free_slots += si->pages - READ_ONCE(si->inuse_pages);
	}
	mm_verify(free_slots == get_nr_swap_pages());
	zswap_check();
	shadow_nodes_check();
}
