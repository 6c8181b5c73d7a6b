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
 *    Slots come in clusters of 256: each CPU fills one at a time, so that
 *    pages written together lie together and read-ahead finds them.
 *
 * 3. Invariants.
 *    SW-1  A word is 0 exactly if the slot is free.
 *    SW-2  inuse_pages = non-zero words, bad and header slots left out;
 *          cluster_count likewise per cluster, bad slots counted as taken.
 *    SW-3  SWAP_HAS_CACHE is set exactly while a page of the slot is in the
 *          cache or on its way there.
 *    SW-4  A shadow value in the cache's array belongs to a slot in use.
 *
 * 4. Locking. swap_info.lock for words and counters; cache_lock nests inside.
 *
 * 5. Failure. get_swap_page() returns no entry when all areas are full;
 *    swap_duplicate() refuses at 32766 entries (fork then fails with ENOMEM).
 *
 * 6. Cost. Allocation: O(1) within the CPU's cluster; a new cluster costs a
 *    scan of the clusters' counts, from where the last search ended.
 *
 * References: mkswap(8), swapon(8), swapon(2); Linux documentation, admin-
 * guide/sysctl/vm (page-cluster).
 */
#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>
#include <mmkit/slab.h>

#include "base/epoch.h"
#include "base/fail.h"
#include "base/printk.h"
#include "base/string.h"
#include "cache/swap.h"
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
	cache_sys.ra.window = 1;
	spin_lock_init(&cache_sys.ra.lock, LOCK_CLASS_SEQ_STATS);
	mutex_init(&cache_sys.swapon_mutex, LOCK_CLASS_SWAPON);
	cache_sys.node_cache = kmem_cache_create(
		"radix_tree_node", sizeof(struct xa_node), 0, 0, NULL);
	cache_sys.bio_cache = kmem_cache_create(
		"swap_bio", sizeof(struct port_bio), 0, 0, NULL);
	if (!cache_sys.node_cache || !cache_sys.bio_cache)
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

static u16 *slot_word(const struct swap_info *si, u64 offset)
{
	return &si->map[offset / SWAP_MAP_PER_CHUNK]
		       [offset % SWAP_MAP_PER_CHUNK];
}

static void slot_take(struct swap_info *si, u32 offset, u16 word)
{
	u16 *w = slot_word(si, offset);

	mm_verify(*w == 0);
	*w = word;
	WRITE_ONCE(si->inuse_pages, si->inuse_pages + 1);
	si->cluster_count[offset / SWAPFILE_CLUSTER]++;
	__atomic_fetch_sub(&cache_sys.nr_swap_pages, 1, __ATOMIC_RELAXED);
}

/* The slot is free; a shadow left in the cache's array goes too. Locked. */
static void slot_release(struct swap_info *si, u32 offset,
			 struct xa_preload *freed)
{
	assert_spin_locked(&si->lock);
	mm_verify(si->inuse_pages > 0);
	spin_lock(&si->cache_lock);
	mm_verify(!xa_load(&si->cache, offset) ||
		  xa_is_value(xa_load(&si->cache, offset)));
	xa_erase(&si->cache, offset, freed);
	spin_unlock(&si->cache_lock);
	*slot_word(si, offset) = 0;
	WRITE_ONCE(si->inuse_pages, si->inuse_pages - 1);
	si->cluster_count[offset / SWAPFILE_CLUSTER]--;
	/* One of an area that is going away is not to be had any more. */
	if (si->in_use)
		__atomic_fetch_add(&cache_sys.nr_swap_pages, 1,
				   __ATOMIC_RELAXED);
}

static void node_free(void *arg, void *node)
{
	(void)arg;
	kmem_cache_free(cache_sys.node_cache, node);
}

/* ---- finding a slot
 * --------------------------------------------------------------- */

/* A free slot in CLUSTER at or after FROM, or 0. */
static u32 cluster_scan(const struct swap_info *si, u32 cluster, u32 from)
{
	u32 end = min((cluster + 1) * SWAPFILE_CLUSTER, si->max);

	for (u32 off = max(from, max(cluster * SWAPFILE_CLUSTER, 1u));
	     off < end; off++)
		if (*slot_word(si, off) == 0)
			return off;
	return 0;
}

/* A cluster with at most LIMIT slots taken, from the rotor on; else none. */
static bool cluster_find(struct swap_info *si, u32 limit, u32 *out)
{
	for (u32 i = 0; i < si->nr_clusters; i++) {
		u32 c = (si->cluster_rotor + i) % si->nr_clusters;

		if (si->cluster_count[c] > limit)
			continue;
		si->cluster_rotor = (c + 1) % si->nr_clusters;
		*out = c;
		return true;
	}
	return false;
}

/* A slot for CPU: its own cluster, an empty one, any with room. Locked. */
static u32 area_scan(struct swap_info *si, int cpu)
{
	u32 next = si->cpu_next[cpu], c, off = 0;

	if (next)
		off = cluster_scan(si, next / SWAPFILE_CLUSTER, next);
	if (!off && cluster_find(si, 0, &c))
		off = cluster_scan(si, c, 0);
	if (!off && cluster_find(si, SWAPFILE_CLUSTER - 1, &c))
		off = cluster_scan(si, c, 0);
	if (!off)
		return 0;
	next = off + 1;
	si->cpu_next[cpu] =
		next % SWAPFILE_CLUSTER && next < si->max ? next : 0;
	return off;
}

static u32 area_take_slot(struct swap_info *si)
{
	u32 off = 0;

	spin_lock(&si->lock);
	if (si->in_use && si->inuse_pages < si->pages)
		off = area_scan(si, port_cpu());
	if (off)
		slot_take(si, off, SWAP_HAS_CACHE);
	spin_unlock(&si->lock);
	return off;
}

/* The area of highest priority below BELOW, or NULL. In an epoch section. */
static struct swap_info *next_area(s32 below)
{
	struct swap_info *best = NULL;

	for (u32 t = 0; t < nr_swap_areas(); t++) {
		struct swap_info *si = swap_area(t);

		if (si && si->prio < below && (!best || si->prio > best->prio))
			best = si;
	}
	return best;
}

swp_entry_t get_swap_page(void)
{
	swp_entry_t entry = {0};
	struct swap_info *si;

	if (fail_should(FAIL_SWAP_SLOT) || !get_nr_swap_pages())
		return entry;
	/* Areas by falling priority; the table is short. */
	epoch_enter();
	for (si = next_area(0x10000); si; si = next_area(si->prio)) {
		u32 off = area_take_slot(si);

		if (off) {
			entry = swp_entry(si->type, off);
			break;
		}
	}
	epoch_exit();
	return entry;
}

/* ---- counting
 * ------------------------------------------------------------------------ */

int swap_duplicate(swp_entry_t entry)
{
	struct swap_info *si = entry_area(entry);
	u16 *w;
	int err = 0;

	spin_lock(&si->lock);
	w = slot_word(si, swp_offset(entry));
	mm_verify(*w != 0 && *w != SWAP_MAP_BAD);
	if ((*w & ~SWAP_HAS_CACHE) == SWAP_MAP_MAX)
		err = -ENOMEM;
	else
		++*w;
	spin_unlock(&si->lock);
	return err;
}

/* Take CLEAR (one entry, or the cache bit) from the word. */
static void slot_put(swp_entry_t entry, u16 clear)
{
	struct xa_preload freed = XA_PRELOAD_INIT(NULL, node_free, NULL);
	struct swap_info *si = entry_area(entry);
	u16 *w;

	spin_lock(&si->lock);
	w = slot_word(si, swp_offset(entry));
	mm_verify(*w != SWAP_MAP_BAD);
	if (clear == SWAP_HAS_CACHE)
		mm_verify(*w & SWAP_HAS_CACHE);
	else
		mm_verify((*w & ~SWAP_HAS_CACHE) > 0);
	if (*w == clear)
		slot_release(si, (u32)swp_offset(entry), &freed);
	else
		*w = (u16)(*w - clear);
	spin_unlock(&si->lock);
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
	w = slot_word(si, swp_offset(entry));
	if (*w == 0 || *w == SWAP_MAP_BAD)
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
	u32 n;

	spin_lock(&si->lock);
	n = *slot_word(si, swp_offset(entry)) & ~SWAP_HAS_CACHE;
	spin_unlock(&si->lock);
	return n;
}

bool swap_slot_used(swp_entry_t entry)
{
	struct swap_info *si = swap_area(swp_type(entry));
	u64 off = swp_offset(entry);
	u16 w;

	if (!si || off == 0 || off >= si->max)
		return false;
	spin_lock(&si->lock);
	w = *slot_word(si, off);
	spin_unlock(&si->lock);
	return w != 0 && w != SWAP_MAP_BAD && (w & ~SWAP_HAS_CACHE) != 0;
}

bool swap_slot_cached(swp_entry_t entry)
{
	struct swap_info *si = entry_area(entry);
	u16 w;

	spin_lock(&si->lock);
	w = *slot_word(si, swp_offset(entry));
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

/* ---- the header and swapon
 * --------------------------------------------------------------- */

/* mkswap's version 1 header, little-endian, at offset 1024 of the page. */
struct swap_header {
	u8 boot[1024];
	u32 version;
	u32 last_page;
	u32 nr_badpages;
	u8 uuid[16];
	u8 label[16];
	u32 padding[117];
	u32 badpages[637];
	u8 reserved[2];
	char magic[10];
} __attribute__((packed));

MM_STATIC_ASSERT(sizeof(struct swap_header) == PAGE_SIZE, "header is a page");

void swap_header_init(void *page_bytes, u32 pages)
{
	struct swap_header *h = page_bytes;

	mm_assert(pages >= 2);
	mm_memset(h, 0, sizeof(*h));
	h->version = 1;
	h->last_page = pages - 1;
	mm_memcpy(h->magic, "SWAPSPACE2", 10);
}

/* Check the header against the device; the number of slots or -EINVAL. */
static s64 header_check(const struct swap_header *h, u64 device_pages,
			const char *name)
{
	if (mm_memcmp(h->magic, "SWAPSPACE2", 10) || h->version != 1) {
		pr_err("swapon: %s: no swap header of version 1\n", name);
		return -EINVAL;
	}
	if (h->last_page >= cache_sys.max_slots) {
		pr_err("swapon: %s: header says %u pages, a page-table entry of "
		       "this machine can name %u\n",
		       name, h->last_page, cache_sys.max_slots - 1);
		return -EINVAL;
	}
	if (h->last_page == 0 || (u64)h->last_page + 1 > device_pages) {
		pr_err("swapon: %s: header says %u pages, device has %llu\n",
		       name, h->last_page, (unsigned long long)device_pages);
		return -EINVAL;
	}
	if (h->nr_badpages > ARRAY_SIZE(h->badpages)) {
		pr_err("swapon: %s: %u bad pages, at most %zu\n", name,
		       h->nr_badpages, ARRAY_SIZE(h->badpages));
		return -EINVAL;
	}
	return (s64)h->last_page + 1;
}

static void area_free_tables(struct swap_info *si)
{
	u32 chunks = DIV_ROUND_UP(si->max, (u32)SWAP_MAP_PER_CHUNK);

	for (u32 i = 0; si->map && i < chunks; i++)
		kfree(si->map[i]);
	kfree(si->map);
	kfree(si->cluster_count);
	kfree(si);
}

static struct swap_info *area_alloc(u32 slots)
{
	struct swap_info *si = kzalloc(sizeof(*si), GFP_KERNEL);
	u32 chunks = DIV_ROUND_UP(slots, (u32)SWAP_MAP_PER_CHUNK);

	if (!si)
		return NULL;
	si->max = slots;
	si->nr_clusters = DIV_ROUND_UP(slots, SWAPFILE_CLUSTER);
	si->map = kcalloc(chunks, sizeof(*si->map), GFP_KERNEL);
	si->cluster_count = kcalloc(si->nr_clusters, sizeof(u16), GFP_KERNEL);
	if (!si->map || !si->cluster_count)
		goto fail;
	for (u32 i = 0; i < chunks; i++) {
		si->map[i] = kzalloc(PAGE_SIZE, GFP_KERNEL);
		if (!si->map[i])
			goto fail;
	}
	spin_lock_init(&si->lock, LOCK_CLASS_SWAP_INFO);
	spin_lock_init(&si->cache_lock, LOCK_CLASS_SWAP_CACHE);
	xa_init(&si->cache);
	return si;
fail:
	area_free_tables(si);
	return NULL;
}

/* Slots that may never be handed out: the header, bad pages, the tail of the
 * last cluster. -EINVAL if a bad page lies outside. */
static int area_mark_bad(struct swap_info *si, const struct swap_header *h)
{
	*slot_word(si, 0) = SWAP_MAP_BAD;
	si->cluster_count[0]++;
	si->pages = si->max - 1;
	for (u32 i = 0; i < h->nr_badpages; i++) {
		u32 bad = h->badpages[i];

		if (bad == 0 || bad >= si->max)
			return -EINVAL;
		if (*slot_word(si, bad))
			continue;
		*slot_word(si, bad) = SWAP_MAP_BAD;
		si->cluster_count[bad / SWAPFILE_CLUSTER]++;
		si->pages--;
	}
	if (si->max % SWAPFILE_CLUSTER)
		si->cluster_count[si->nr_clusters - 1] +=
			(u16)(SWAPFILE_CLUSTER - si->max % SWAPFILE_CLUSTER);
	return si->pages ? 0 : -EINVAL;
}

/* The first number that is free, for an area on BDEV. 0, -EBUSY (it has one),
 * -EPERM. swapon_mutex held. */
static int area_number(const struct port_bdev *bdev, u32 *type)
{
	u32 nr = cache_sys.nr_swap;

	*type = nr;
	for (u32 t = nr; t-- > 0;) {
		if (!cache_sys.swap[t])
			*type = t;
		else if (cache_sys.swap[t]->bdev == bdev)
			return -EBUSY;
	}
	return *type < MAX_SWAPFILES ? 0 : -EPERM;
}

/*
 * SI becomes visible: to daemons that run through the table, and to whoever
 * wants a slot. All of it is written before the number that makes it count.
 */
static int area_publish(struct swap_info *si, struct port_bdev *bdev, s16 prio)
{
	u32 type;

	int err;

	mutex_lock(&cache_sys.swapon_mutex);
	err = area_number(bdev, &type);
	if (err) {
		mutex_unlock(&cache_sys.swapon_mutex);
		return err;
	}
	si->type = type;
	si->prio = prio;
	si->bdev = bdev;
	si->in_use = true;
	/* Counted before a slot can be taken. */
	__atomic_fetch_add(&cache_sys.nr_swap_pages, si->pages,
			   __ATOMIC_RELAXED);
	__atomic_fetch_add(&cache_sys.total_swap_pages, si->pages,
			   __ATOMIC_RELAXED);
	__atomic_store_n(&cache_sys.swap[type], si, __ATOMIC_RELEASE);
	if (type == cache_sys.nr_swap)
		__atomic_store_n(&cache_sys.nr_swap, type + 1,
				 __ATOMIC_RELEASE);
	pr_info("Adding %lluk swap on %s.  Priority:%d extents:1 across:%lluk\n",
		(unsigned long long)si->pages * 4, port_bdev_name(bdev), prio,
		(unsigned long long)si->pages * 4);
	mutex_unlock(&cache_sys.swapon_mutex);
	return (int)type;
}

static int swapon_header(struct port_bdev *bdev, s16 prio,
			 const struct swap_header *h)
{
	s64 slots = header_check(h, port_bdev_size(bdev) >> PAGE_SHIFT,
				 port_bdev_name(bdev));
	struct swap_info *si;
	int err;

	if (slots < 0)
		return (int)slots;
	si = area_alloc((u32)slots);
	if (!si)
		return -ENOMEM;
	err = area_mark_bad(si, h);
	if (!err)
		err = area_publish(si, bdev, prio);
	if (err < 0)
		area_free_tables(si);
	return err;
}

int swapon(struct port_bdev *bdev, s16 prio)
{
	struct page *page = alloc_pages(GFP_KERNEL | __GFP_ZERO, 0);
	int err;

	if (!page)
		return -ENOMEM;
	err = bdev_read_page(bdev, 0, page);
	if (!err)
		err = swapon_header(bdev, prio, page_view(page));
	__free_pages(page, 0);
	return err;
}

/* ---- swapoff
 * ------------------------------------------------------------------------------
 */

bool swap_area_get(swp_entry_t entry)
{
	struct swap_info *si;
	bool got = false;

	epoch_enter();
	si = swap_area(swp_type(entry));
	if (si && swp_offset(entry) < si->max &&
	    !__atomic_load_n(&si->going, __ATOMIC_SEQ_CST)) {
		__atomic_add_fetch(&si->users, 1, __ATOMIC_ACQ_REL);
		got = true;
	}
	epoch_exit();
	return got;
}

void swap_area_put(swp_entry_t entry)
{
	struct swap_info *si = entry_area(entry);
	u32 left = __atomic_sub_fetch(&si->users, 1, __ATOMIC_ACQ_REL);

	mm_verify(left != ~0u);
}

static void count_free(struct swap_info *si, bool more)
{
	u64 slots = si->pages - si->inuse_pages, sign = more ? 1 : ~0UL;

	assert_spin_locked(&si->lock);
	si->in_use = more;
	mm_memset(si->cpu_next, 0, sizeof(si->cpu_next));
	__atomic_fetch_add(&cache_sys.nr_swap_pages, sign * slots,
			   __ATOMIC_RELAXED);
	__atomic_fetch_add(&cache_sys.total_swap_pages, sign * si->pages,
			   __ATOMIC_RELAXED);
}

struct swap_info *swapoff_begin(struct port_bdev *bdev)
{
	struct swap_info *si = NULL;

	mutex_lock(&cache_sys.swapon_mutex);
	for (u32 t = 0; t < cache_sys.nr_swap && !si; t++)
		if (cache_sys.swap[t] && cache_sys.swap[t]->bdev == bdev &&
		    cache_sys.swap[t]->in_use)
			si = cache_sys.swap[t];
	if (si) {
		spin_lock(&si->lock);
		count_free(si, false);
		spin_unlock(&si->lock);
	}
	mutex_unlock(&cache_sys.swapon_mutex);
	return si;
}

void swapoff_cancel(struct swap_info *si)
{
	mutex_lock(&cache_sys.swapon_mutex);
	spin_lock(&si->lock);
	count_free(si, true);
	spin_unlock(&si->lock);
	mutex_unlock(&cache_sys.swapon_mutex);
}

/* The slot OFF, of which no entry is left, leaves the cache. */
static void drop_cached(swp_entry_t entry)
{
	struct page *page = lookup_swap_cache(entry);

	if (!page)
		return;
	lock_page(page);
	wait_on_page_writeback(page);
	if (PageSwapCache(page) && page_swap_entry(page).val == entry.val)
		(void)try_to_free_swap(page);
	unlock_page(page);
	put_page(page);
}

u32 swapoff_drop_cached(struct swap_info *si)
{
	for (u32 off = 1; off < si->max && READ_ONCE(si->inuse_pages); off++) {
		swp_entry_t entry = swp_entry(si->type, off);

		if (swap_slot_cached(entry) && !swap_count(entry))
			drop_cached(entry);
	}
	return READ_ONCE(si->inuse_pages);
}

/*
 * Who looks at SI without a slot of it is in an epoch section, or has raised
 * users in one, when going was not set.
 */
void swapoff_finish(struct swap_info *si)
{
	mm_verify(!si->in_use);
	/* Who freed the last slot may still have the lock. */
	spin_lock(&si->lock);
	mm_verify(si->inuse_pages == 0);
	spin_unlock(&si->lock);
	__atomic_store_n(&si->going, true, __ATOMIC_SEQ_CST);
	epoch_synchronize();
	while (__atomic_load_n(&si->users, __ATOMIC_ACQUIRE))
		port_park(100 * 1000);
	mm_verify(xa_empty(&si->cache));
	mutex_lock(&cache_sys.swapon_mutex);
	__atomic_store_n(&cache_sys.swap[si->type], NULL, __ATOMIC_RELEASE);
	mutex_unlock(&cache_sys.swapon_mutex);
	epoch_synchronize();
	pr_info("Removing %lluk swap on %s\n",
		(unsigned long long)si->pages * 4, port_bdev_name(si->bdev));
	area_free_tables(si);
}

void swap_areas_release(void)
{
	for (u32 t = 0; t < nr_swap_areas(); t++) {
		struct swap_info *si = cache_sys.swap[t];

		if (!si)
			continue;
		mm_verify(si->inuse_pages == 0);
		mm_verify(xa_empty(&si->cache));
		cache_sys.nr_swap_pages -= si->pages;
		cache_sys.total_swap_pages -= si->pages;
		cache_sys.swap[t] = NULL;
		area_free_tables(si);
	}
	cache_sys.nr_swap = 0;
}

/* ---- check
 * ---------------------------------------------------------------------------------
 */

static void area_check(struct swap_info *si)
{
	u32 inuse = 0, bad = 0;
	u64 cached = 0;

	spin_lock(&si->lock);
	for (u32 off = 0; off < si->max; off++) {
		u16 w = *slot_word(si, off);

		bad += w == SWAP_MAP_BAD;
		inuse += w != 0 && w != SWAP_MAP_BAD;
		cached += w != SWAP_MAP_BAD && (w & SWAP_HAS_CACHE) != 0;
	}
	mm_verify(inuse == si->inuse_pages);
	mm_verify(bad + si->pages == si->max);
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
		if (!READ_ONCE(si->in_use))
			continue;
		free_slots += si->pages - READ_ONCE(si->inuse_pages);
	}
	mm_verify(free_slots == get_nr_swap_pages());
}
