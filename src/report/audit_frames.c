/* SPDX-License-Identifier: MIT */
/*
 * audit_frames.c - the audit's look at each frame's descriptor.
 *
 * The walk follows memblock's table of RAM, so holes are not visited. It goes
 * block by block: a free block, a slab and an allocated block of several
 * frames are one step each.
 */
#include "base/stack_depot.h"
#include "cache/swap.h"
#include "kmem/slab.h"
#include "memcg/memcg.h"
#include "phys/movable_ops.h"
#include "phys/phys.h"
#include "report/audit.h"
#include "space/huge.h"
#include "space/space.h"

/* Frames of the allocated block at PAGE. */
static u64 block_frames(const struct page *page)
{
	u64 frames = 1;

	if (PageHead(page) || PageBlock(page))
		frames = 1UL << READ_ONCE(page[1].index);
	mm_assert_le(frames, MAX_ORDER_NR_PAGES);
	return frames;
}

static bool in_frame(const void *object, u64 pfn)
{
	return object && page_to_pfn(view_to_page(object)) == pfn;
}

/* The two caches that describe caches have whole frames for their nodes. */
static bool is_boot_node(u64 pfn)
{
	for (int node = 0; node < MM_MAX_NODES; node++) {
		if (in_frame(kmem_sys.boot_node.node[node], pfn) ||
		    in_frame(kmem_sys.boot_cache.node[node], pfn))
			return true;
	}
	return false;
}

/* Tables of a large swap area are beyond what slabs serve. */
static bool is_swap_table(u64 pfn)
{
	for (u32 t = 0; t < nr_swap_areas(); t++) {
		const struct swap_info *si = swap_area(t);

		if (si && (in_frame(si->map, pfn) || in_frame(si->owner, pfn) ||
			   in_frame(si->cluster_count, pfn) ||
			   in_frame(si->extents, pfn)))
			return true;
	}
	return false;
}

/*
 * References of an anonymous or cached frame: one per mapping, one for the
 * swap cache; while it is locked or written others have theirs.
 */
static void check_references(struct audit *a, const struct page *page, u64 pfn)
{
	u64 want = (u64)page_mapcount(page) + PageSwapCache(page);
	u64 got = (u64)page_count(page);

	mm_assert(!PageReserved(page) && !PageTail(page));
	if (PageLocked(page) || PageWriteback(page))
		return;
	if (want != got)
		audit_note(a, "references", pfn, want, got);
	if (!PageLRU(page) && !PageHWPoison(page))
		audit_note(a, "on an LRU list", pfn, 1, 0);
}

/*
 * Slabs and page tables keep words of their own where users keep the mapping,
 * and a frame that the kernel owns may have anything there: the mapping counts
 * only if an inode has it and the page is in it.
 */
static bool is_file_page(struct page *page)
{
	struct address_space *mapping = page_mapping(page);

	if (!mapping || PageSlab(page) || PageTable(page) ||
	    PageSwapCache(page) || PageHead(page) || PageBlock(page))
		return false;
	return filemap_owns(mapping, page);
}

/* A page of a file: the cache's reference and one for each mapping. */
static u64 count_file(struct audit *a, const struct page *page, u64 pfn)
{
	int mapcount = page_mapcount(page);

	if (mapcount < 0) {
		audit_note(a, "map count", pfn, 0, (u64)mapcount);
		mapcount = 0;
	}
	audit_set_add(&a->mapcounts, pfn, (u64)mapcount);
	a->file_mapped += mapcount > 0;
	a->writeback += PageWriteback(page);
	/* Pages of shmem are dirty always, and nobody writes them back. */
	a->dirty += PageDirty(page) && !PageSwapBacked(page);
	a->shmem += PageSwapBacked(page);
	a->file++;
	if (PageLocked(page) || PageWriteback(page))
		return 1;
	if (page_count(page) != mapcount + 1)
		audit_note(a, "references", pfn, (u64)mapcount + 1,
			   (u64)page_count(page));
	if (!PageLRU(page) && !PageHWPoison(page))
		audit_note(a, "on an LRU list", pfn, 1, 0);
	return 1;
}

static u64 count_user(struct audit *a, const struct page *page, u64 pfn)
{
	int mapcount = page_mapcount(page);

	if (mapcount < 0) {
		audit_note(a, "map count", pfn, 0, (u64)mapcount);
		mapcount = 0;
	}
	audit_set_add(&a->mapcounts, pfn, (u64)mapcount);
	a->mapped += mapcount > 0;
	a->writeback += PageWriteback(page);
	if (PageSwapCache(page))
		a->swapcache++;
	else
		a->anon++;
	check_references(a, page, pfn);
	return 1;
}

/* An allocated frame that is no user's; returns the frames of its block. */
static u64 count_kernel(struct audit *a, const struct page *page, u64 pfn)
{
	u64 frames = block_frames(page);

	mm_assert(page_count(page) > 0 && !PageTail(page));
	mm_assert_implies(PageTable(page), !PageSlab(page));
	if (PageTable(page) && pt_is_kernel(page))
		a->kernel_tables += frames;
	else if (PageTable(page))
		a->tables += frames;
	else if (PageSlab(page)) {
		a->slab += frames;
		slab_count_payers(pfn_to_page(pfn));
	} else if (pfn == space_sys.zero_pfn || huge_zero_frame(pfn))
		a->zero += frames;
	else if (is_boot_node(pfn) || is_swap_table(pfn) || mpol_owns(pfn) ||
		 stack_depot_owns(page_view(page)) ||
		 page_index(page) == PAGE_INDEX_KERNEL ||
		 page_movable_ops(page))
		a->kernel += frames;
	else if (page_index(page) == PAGE_INDEX_VMALLOC)
		a->vmalloc += frames;
	else if (page_index(page) == PAGE_INDEX_PERCPU)
		a->percpu += frames;
	else if (page_index(page) == PAGE_INDEX_KMALLOC)
		a->kmalloc += frames;
	else {
		a->unknown += frames;
		audit_note(a, "references without an owner", pfn, 0,
			   (u64)page_count(page));
	}
	return frames;
}

static u64 count_block(struct audit *a, u64 *owner, u64 frames)
{
	mm_assert(frames > 0);
	*owner += frames;
	a->present += frames;
	return frames;
}

/* PAGE is in use: who is charged for its block? */
static void count_charge(struct audit *a, const struct page *page, u64 pfn)
{
	u64 frames = block_frames(page);
	struct memcg *memcg;

	if (PageCharged(page))
		a->charged += frames;
	if (!page_group(page))
		return;
	memcg = memcg_of(group_of_id(page_group(page)));
	if (!memcg || !PageCharged(page)) {
		audit_note(a, "charge to a group", pfn, 1, 0);
		return;
	}
	a->grouped += frames;
	memcg->audit_pages += frames;
}

/* One step of the walk; returns its frames. */
static u64 count_frame(struct audit *a, u64 pfn)
{
	struct page *page = pfn_to_page(pfn);
	u64 frames;

	mm_assert(pfn_valid(pfn) && pfn >= a->next);
	if (PageReserved(page))
		return count_block(a, &a->reserved, 1);
	if (PageBuddy(page) && buddy_order(page) < MAX_ORDER)
		return count_block(a, &a->free, 1UL << buddy_order(page));
	if (PageGuard(page) && buddy_order(page) < MAX_ORDER)
		return count_block(a, &a->guard, 1UL << buddy_order(page));
	a->lru += PageLRU(page);
	if (page_count(page) == 0)
		return count_block(a, &a->stored, 1);
	count_charge(a, page, pfn);
	if (is_file_page(page))
		frames = count_file(a, page, pfn);
	else if (PageSwapCache(page) || page_mapped(page))
		frames = count_user(a, page, pfn);
	else
		frames = count_kernel(a, page, pfn);
	a->present += frames;
	return frames;
}

/* Frames [PFN, END) of one section. */
static void count_range(struct audit *a, u64 pfn, u64 end)
{
	/* A block may have reached beyond the range before. */
	pfn = max(pfn, a->next);
	if (pfn >= end)
		return;
	if (pfn_offline(pfn)) {
		a->next = end;
		return;
	}
	if (pfn_deferred(pfn)) {
		a->deferred += end - pfn;
		pfn += count_block(a, &a->free, end - pfn);
	} else if (!pfn_valid(pfn)) {
		pfn += count_block(a, &a->reserved, end - pfn);
	}
	while (pfn < end)
		pfn += count_frame(a, pfn);
	mm_assert(pfn >= end);
	a->next = pfn;
}

void audit_frames(struct audit *a)
{
	struct memblock_iter it;

	mm_assert(a->present == 0 && a->next == 0);
	for_each_mem_range (it, NUMA_NO_NODE) {
		u64 pfn = PFN_UP(it.start), end = PFN_DOWN(it.end);

		while (pfn < end) {
			u64 stop = ALIGN_DOWN(pfn, PAGES_PER_SECTION) +
				   PAGES_PER_SECTION;

			stop = min(stop, end);
			count_range(a, pfn, stop);
			pfn = stop;
		}
	}
}
