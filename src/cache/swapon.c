/* SPDX-License-Identifier: MIT */
/*
 * swapon.c - swap areas come and go.
 *
 * 1. Purpose. Take a device or a file with mkswap's header into use, and give
 *    it up again when nothing is in it any more.
 *
 * 2. Files. The file system says once where each page of the file lies
 *    (a_ops.bmap), and from then on the area goes straight to the disk: who
 *    swaps must not wait for a file system that waits for memory. So the file
 *    may not move: it is S_SWAPFILE, and what would change its blocks is
 *    refused. Runs of pages become extents, found by halving. A page that is
 *    no whole page of the disk (blocks smaller than a page, in pieces) is a bad
 *    slot.
 *
 * 3. Going. swapoff (src/space/swapoff.c) empties the area between begin and
 *    finish. Who looks at an area without a slot of it is in an epoch section
 *    or has raised users in one.
 *
 * 4. Locking. swapon_mutex for the table; the file's i_rwsem around making it
 *    a swap file.
 *
 * 5. Failure. Nothing is left behind: no area, no S_SWAPFILE.
 *
 * References: mkswap(8), swapon(8), swapon(2).
 */
#include <mmkit/errno.h>
#include <mmkit/fs.h>
#include <mmkit/page_alloc.h>
#include <mmkit/slab.h>

#include "base/epoch.h"
#include "base/printk.h"
#include "base/string.h"
#include "cache/swap.h"

/* ---- the header and areas
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

	for (u32 i = 0; i < chunks; i++) {
		if (si->map)
			kfree(si->map[i]);
		if (si->owner)
			kfree(si->owner[i]);
	}
	mm_verify(!si->more);
	swap_discard_exit(si);
	kfree(si->map);
	kfree(si->owner);
	kfree(si->cluster_count);
	kfree(si->extents);
	kfree(si->name);
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
	si->owner = kcalloc(chunks, sizeof(*si->owner), GFP_KERNEL);
	if (!si->map || !si->cluster_count || !si->owner)
		goto fail;
	for (u32 i = 0; i < chunks; i++) {
		si->map[i] = kzalloc(PAGE_SIZE, GFP_KERNEL);
		si->owner[i] = kzalloc(PAGE_SIZE, GFP_KERNEL);
		if (!si->map[i] || !si->owner[i])
			goto fail;
	}
	spin_lock_init(&si->lock, LOCK_CLASS_SWAP_INFO);
	spin_lock_init(&si->cache_lock, LOCK_CLASS_SWAP_CACHE);
	xa_init(&si->cache);
	si->cache.update = swap_node_update;
	return si;
fail:
	area_free_tables(si);
	return NULL;
}

/* Slot OFF is never handed out. Nobody else knows SI. */
static void area_bad(struct swap_info *si, u32 off)
{
	u16 *w = swap_slot_word(si, off);

	if (*w)
		return;
	*w = SWAP_MAP_BAD;
	si->cluster_count[off / SWAPFILE_CLUSTER]++;
	si->pages--;
}

/* Slots that may never be handed out: the header, bad pages, the tail of the
 * last cluster. -EINVAL if a bad page lies outside. */
static int area_mark_bad(struct swap_info *si, const struct swap_header *h)
{
	*swap_slot_word(si, 0) = SWAP_MAP_BAD;
	si->cluster_count[0]++;
	si->pages = si->max - 1;
	for (u32 i = 0; i < h->nr_badpages; i++) {
		u32 bad = h->badpages[i];

		if (bad == 0 || bad >= si->max)
			return -EINVAL;
		area_bad(si, bad);
	}
	if (si->max % SWAPFILE_CLUSTER)
		si->cluster_count[si->nr_clusters - 1] +=
			(u16)(SWAPFILE_CLUSTER - si->max % SWAPFILE_CLUSTER);
	return si->pages ? 0 : -EINVAL;
}

/* Is SI what BDEV, or FILE on it, was made? */
static bool area_is(const struct swap_info *si, const struct port_bdev *bdev,
		    const struct inode *file)
{
	return si->file == file && (file || si->bdev == bdev);
}

/* The first number that is free, for the area NEW. 0, -EBUSY (its device has
 * one), -EPERM. swapon_mutex held. */
static int area_number(const struct swap_info *new, u32 *type)
{
	u32 nr = cache_sys.nr_swap;

	*type = nr;
	for (u32 t = nr; t-- > 0;) {
		if (!cache_sys.swap[t])
			*type = t;
		else if (area_is(cache_sys.swap[t], new->bdev, new->file))
			return -EBUSY;
	}
	return *type < MAX_SWAPFILES ? 0 : -EPERM;
}

const char *swap_area_name(const struct swap_info *si)
{
	return si->name ? si->name : port_bdev_name(si->bdev);
}

u64 swap_disk_page(const struct swap_info *si, u32 offset)
{
	u32 lo = 0, hi = si->nr_extents;

	if (!si->file)
		return offset;
	/* The last extent that begins at or before OFFSET. */
	while (hi - lo > 1) {
		u32 mid = lo + (hi - lo) / 2;

		if (si->extents[mid].start <= offset)
			lo = mid;
		else
			hi = mid;
	}
	mm_verify(offset - si->extents[lo].start < si->extents[lo].nr);
	return si->extents[lo].disk + (offset - si->extents[lo].start);
}

/* From the first to the last page of the disk that SI has. */
static u64 across(const struct swap_info *si)
{
	u64 lo = UINT64_MAX, hi = 0;

	for (u32 i = 0; i < si->nr_extents; i++) {
		lo = min(lo, si->extents[i].disk);
		hi = max(hi, si->extents[i].disk + si->extents[i].nr);
	}
	return si->nr_extents ? hi - lo : si->pages;
}

/*
 * SI becomes visible: to daemons that run through the table, and to whoever
 * wants a slot. All of it is written before the number that makes it count.
 * DISCARD: what the disk is to be told to forget.
 */
static int area_publish(struct swap_info *si, u32 discard)
{
	u32 type;
	int err;

	mutex_lock(&cache_sys.swapon_mutex);
	err = area_number(si, &type);
	/* Not before it is sure that nobody swaps there. */
	if (!err)
		err = swap_discard_init(si, discard);
	if (err) {
		mutex_unlock(&cache_sys.swapon_mutex);
		return err;
	}
	si->type = type;
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
	pr_info("Adding %lluk swap on %s.  Priority:%d extents:%u across:%lluk"
		"%s%s%s\n",
		(unsigned long long)si->pages * 4, swap_area_name(si), si->prio,
		max(si->nr_extents, 1u), (unsigned long long)across(si) * 4,
		si->discard.how ? " D" : "",
		si->discard.how & SWAP_DISCARD_ONCE ? "s" : "",
		si->discard.how & SWAP_DISCARD_PAGES ? "c" : "");
	mutex_unlock(&cache_sys.swapon_mutex);
	return (int)type;
}

/* What is to become an area. */
struct swapon {
	struct port_bdev *bdev;
	struct inode *file; /* NULL: all of BDEV */
	const char *name;   /* of the file, or the device; NULL: the port's */
	s16 prio;
	u32 discard; /* SWAP_DISCARD_* */
	u64 pages;   /* how many there are */
	struct swap_extent *extents;
	u32 nr_extents, room;
};

/* SI gets what ON has; extents and name are its own from then on. 0, -ENOMEM.
 */
static int area_place(struct swap_info *si, struct swapon *on)
{
	si->bdev = on->bdev;
	si->prio = on->prio;
	si->file = on->file;
	si->extents = on->extents;
	si->nr_extents = on->nr_extents;
	on->extents = NULL;
	if (!on->name)
		return 0;
	si->name = kstrdup(on->name, GFP_KERNEL);
	return si->name ? 0 : -ENOMEM;
}

/* Pages of the file between two extents are no pages of the disk. */
static void area_mark_gaps(struct swap_info *si)
{
	u32 at = 1;

	for (u32 i = 0; i <= si->nr_extents && si->nr_extents; i++) {
		u32 end = i < si->nr_extents ? si->extents[i].start : si->max;

		for (; at < min(end, si->max); at++)
			area_bad(si, at);
		if (i < si->nr_extents)
			at = max(at, end + si->extents[i].nr);
	}
}

static int swapon_header(struct swapon *on, const struct swap_header *h)
{
	s64 slots = header_check(
		h, on->pages, on->name ? on->name : port_bdev_name(on->bdev));
	struct swap_info *si;
	int err;

	if (slots < 0)
		return (int)slots;
	si = area_alloc((u32)slots);
	if (!si)
		return -ENOMEM;
	err = area_mark_bad(si, h);
	if (!err)
		err = area_place(si, on);
	if (!err) {
		area_mark_gaps(si);
		err = si->pages ? area_publish(si, on->discard) : -EINVAL;
	}
	if (err < 0)
		area_free_tables(si);
	return err;
}

/* ON's first page, at DISK of its device, says the rest. */
static int swapon_at(struct swapon *on, u64 disk)
{
	struct page *page = alloc_pages(GFP_KERNEL | __GFP_ZERO, 0);
	int err;

	if (!page)
		return -ENOMEM;
	err = bdev_read_page(on->bdev, disk, page);
	if (!err)
		err = swapon_header(on, page_view(page));
	__free_pages(page, 0);
	return err;
}

int swapon(struct port_bdev *bdev, s16 prio)
{
	return swapon_as(bdev, NULL, prio, 0);
}

int swapon_as(struct port_bdev *bdev, const char *name, s16 prio, u32 discard)
{
	struct swapon on = {
		.bdev = bdev, .name = name, .prio = prio, .discard = discard};

	on.pages = port_bdev_size(bdev) >> PAGE_SHIFT;
	return swapon_at(&on, 0);
}

/* ---- files -----------------------------------------------------------------
 */

/* Page AT of the file lies at page DISK. 0, -ENOMEM. */
static int extent_add(struct swapon *on, u32 at, u64 disk)
{
	struct swap_extent *last = on->extents + on->nr_extents, *more;

	if (on->nr_extents && last[-1].start + last[-1].nr == at &&
	    last[-1].disk + last[-1].nr == disk) {
		last[-1].nr++;
		return 0;
	}
	if (on->nr_extents == on->room) {
		u32 room = max(on->room * 2, 16u);

		more = kcalloc(room, sizeof(*more), GFP_KERNEL);
		if (!more)
			return -ENOMEM;
		if (on->extents)
			mm_memcpy(more, on->extents,
				  on->nr_extents * sizeof(*more));
		kfree(on->extents);
		on->extents = more;
		on->room = room;
	}
	on->extents[on->nr_extents++] = (struct swap_extent){at, 1, disk};
	return 0;
}

/* Where do ON's pages lie? 0 or -errno. i_rwsem held. */
static int extents_find(struct swapon *on)
{
	struct address_space *mapping = on->file->i_mapping;

	on->pages = min(i_size_read(on->file) >> PAGE_SHIFT,
			(u64)cache_sys.max_slots);
	for (u64 at = 0; at < on->pages; at++) {
		struct port_bdev *bdev = NULL;
		u64 disk;
		int err = mapping->a_ops->bmap(mapping, at, &bdev, &disk);

		if (err == -ENXIO) {
			pr_err("swapon: swapfile has holes\n");
			return -EINVAL;
		}
		if (err == -EXDEV)
			continue; /* not a whole page of the disk */
		if (!err && on->bdev && on->bdev != bdev)
			err = -EINVAL;
		if (!err)
			err = extent_add(on, (u32)at, disk);
		if (err)
			return err;
		on->bdev = bdev;
	}
	return on->nr_extents && !on->extents[0].start ? 0 : -EINVAL;
}

/* I_rwsem held. */
static int swapon_inode(struct swapon *on)
{
	struct inode *inode = on->file;
	int err;

	if (inode->i_flags & S_SWAPFILE)
		return -EBUSY;
	err = filemap_write_and_wait_range(inode->i_mapping, 0, INT64_MAX);
	if (!err)
		err = extents_find(on);
	if (err)
		return err;
	inode->i_flags |= S_SWAPFILE;
	ihold(inode);
	err = swapon_at(on, on->extents[0].disk);
	if (err >= 0)
		return err;
	inode->i_flags &= ~S_SWAPFILE;
	iput(inode);
	return err;
}

int swapon_file(struct file *file, const char *name, s16 prio, u32 discard)
{
	struct swapon on = {.file = file->f_inode,
			    .name = name,
			    .prio = prio,
			    .discard = discard};
	struct inode *inode = file->f_inode;
	int err;

	if (!S_ISREG(inode->i_mode) || !inode->i_mapping->a_ops ||
	    !inode->i_mapping->a_ops->bmap)
		return -EINVAL;
	down_write(&inode->i_rwsem);
	err = swapon_inode(&on);
	up_write(&inode->i_rwsem);
	kfree(on.extents);
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
	struct swap_info *si = cache_sys.swap[swp_type(entry)];
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

struct swap_info *swapoff_begin(const struct port_bdev *bdev,
				const struct inode *file)
{
	struct swap_info *si = NULL;

	mutex_lock(&cache_sys.swapon_mutex);
	for (u32 t = 0; t < cache_sys.nr_swap && !si; t++)
		if (cache_sys.swap[t] && cache_sys.swap[t]->in_use &&
		    area_is(cache_sys.swap[t], bdev, file))
			si = cache_sys.swap[t];
	if (si) {
		spin_lock(&si->lock);
		count_free(si, false);
		spin_unlock(&si->lock);
		(void)swap_slots_drain();
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

/* FILE, if there is one, may change again. */
static void file_release(struct inode *file)
{
	if (!file)
		return;
	down_write(&file->i_rwsem);
	file->i_flags &= ~S_SWAPFILE;
	up_write(&file->i_rwsem);
	iput(file);
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
	/* Who freed its last node of shadows may still have the lock. */
	spin_lock(&si->cache_lock);
	mm_verify(xa_empty(&si->cache));
	spin_unlock(&si->cache_lock);
	mutex_lock(&cache_sys.swapon_mutex);
	__atomic_store_n(&cache_sys.swap[si->type], NULL, __ATOMIC_RELEASE);
	mutex_unlock(&cache_sys.swapon_mutex);
	epoch_synchronize();
	pr_info("Removing %lluk swap on %s\n",
		(unsigned long long)si->pages * 4, swap_area_name(si));
	file_release(si->file);
	area_free_tables(si);
}

void swap_areas_release(void)
{
	(void)swap_slots_drain();
	for (u32 t = 0; t < nr_swap_areas(); t++) {
		struct swap_info *si = cache_sys.swap[t];

		if (!si)
			continue;
		mm_verify(si->inuse_pages == 0);
		mm_verify(xa_empty(&si->cache));
		cache_sys.nr_swap_pages -= si->pages;
		cache_sys.total_swap_pages -= si->pages;
		cache_sys.swap[t] = NULL;
		file_release(si->file);
		area_free_tables(si);
	}
	cache_sys.nr_swap = 0;
}
