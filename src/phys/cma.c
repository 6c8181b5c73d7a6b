/* SPDX-License-Identifier: MIT */
/*
 * cma.c - areas whose frames are lent out until they are wanted side by side.
 *
 * 1. Purpose. A device needs 40 MiB in one piece, once in a while. Kept aside
 *    they would be lost to everybody else; left in circulation they would
 *    soon be full of frames that cannot move. So an area is lent to movable
 *    pages only, and emptied when its owner asks.
 *
 * 2. Structures. phys_sys.cma: up to MAX_CMA_AREAS of struct cma, each with a
 *    bitmap of what its owner has. The pageblocks of an area have type CMA;
 *    what is not given out is in the buddy's CMA lists, or lent.
 *
 *      area   |####....####............|   # given out (bit set)
 *      frames |oooo.m..oooo..mmm.......|   o owner's  m lent  . free
 *
 * 3. Invariants (cma_check).
 *    CM-1  An area is in one zone and consists of whole pageblocks; areas do
 *          not overlap.
 *    CM-2  used is the number of set bits times the granule.
 *    CM-3  The type of an area's pageblocks is CMA, or ISOLATE while somebody
 *          empties them. zone.cma_pages counts its frames.
 *    CM-4  Only movable requests get frames of CMA lists (buddy.c), and who
 *          may not use them does not count them (watermark.c).
 *
 * 4. Locking. The bitmap under the area's spinlock. A mutex over all areas
 *    while one is emptied: two neighbours share no pageblock, but isolation
 *    and migration of large ranges should not fight.
 *
 * 5. Life. declared (memblock) -> active (buddy) -> for each request: bits
 *    set, range emptied (contig.c) -> released: frames to the CMA lists, bits
 *    cleared. The bits go first on and last off: who sees them clear may try.
 *
 * 6. Failure. A range with a page that does not move is skipped, its bits are
 *    cleared; NULL if no other is left.
 *
 * 7. Cost. O(bits) to search, O(frames) to empty.
 *
 * 8. Rejected. An allocator of its own under the area: the bitmap is small,
 *    requests are rare, and first fit keeps the rest in one piece.
 *
 * References: lwn.net article 486301, "A deep dive into CMA"; Linux
 * documentation, admin-guide/mm/cma_debugfs, and the boot parameter cma=.
 */
#include <mmkit/cma.h>
#include <mmkit/errno.h>
#include <mmkit/memblock.h>

#include "base/bitmap.h"
#include "base/bitops.h"
#include "base/printk.h"
#include "base/string.h"
#include "base/trace_ring.h"
#include "phys/buddy_priv.h"
#include "phys/cma_area.h"
#include "phys/phys.h"

#define AREA_ALIGN (pageblock_nr_pages << PAGE_SHIFT)

static struct cma_state *cma_state(void)
{
	return &phys_sys.cma;
}

void cma_init(void)
{
	mutex_init(&cma_state()->alloc_lock, LOCK_CLASS_CMA);
	mm_assert(cma_state()->nr == 0);
}

static unsigned long long mib(u64 bytes)
{
	return (unsigned long long)bytes >> 20;
}

/* Why an area is refused. */
static int refuse(int err, const char *name, const char *why)
{
	pr_err("cma: %s: %s", name ? name : "area", why);
	return err;
}

/* ---- places
 * -------------------------------------------------------------------------- */

/* The zone that frame PFN will be in, NULL if it is not usable RAM. */
static struct zone *zone_at_boot(u64 pfn)
{
	const struct memblock_type *mem = memblock_memory_table();

	for (u64 i = 0; i < mem->cnt; i++) {
		const struct memblock_region *r = &mem->regions[i];

		if (PFN_PHYS(pfn) < r->base ||
		    PFN_PHYS(pfn) - r->base >= r->size)
			continue;
		if (r->flags & (MEMBLOCK_NOMAP | MEMBLOCK_DRIVER_MANAGED))
			return NULL;
		return zone_at(r->nid, pfn);
	}
	return NULL;
}

/* The one zone that [BASE, BASE + SIZE) will be in, or NULL. */
static struct zone *zone_of_area(phys_addr_t base, u64 size)
{
	struct zone *zone = zone_at_boot(PFN_DOWN(base));
	u64 end = PFN_DOWN(base + size);

	if (!zone || !memblock_is_region_memory(base, size))
		return NULL;
	/* Zones and nodes change at frames that memblock's regions know. */
	for (u64 pfn = PFN_DOWN(base); pfn < end; pfn += pageblock_nr_pages) {
		if (zone_at_boot(pfn) != zone ||
		    zone_at_boot(pfn + pageblock_nr_pages - 1) != zone)
			return NULL;
	}
	return zone;
}

/* Memory for REQ out of ZONE; 0: none. */
static phys_addr_t place_in_zone(const struct cma_request *req,
				 const struct zone *zone, u64 size, u64 align)
{
	phys_addr_t lo = max(req->base, PFN_PHYS(zone->zone_start_pfn));
	phys_addr_t hi = PFN_PHYS(zone_end_pfn(zone)), at;

	if (req->limit)
		hi = min(hi, req->limit);
	if (zone->spanned_pages == 0 || lo >= hi || hi - lo < size)
		return 0;
	at = memblock_phys_alloc_range(size, align, lo, hi);
	if (!at || zone_of_area(at, size) == zone)
		return at;
	/* Nodes that interleave: not here. */
	if (memblock_phys_free(at, size))
		pr_warn("cma: %llu MiB at %llx are lost", mib(size),
			(unsigned long long)at);
	return 0;
}

/* Any place that suits REQ, high zones first; 0: none. */
static phys_addr_t place_anywhere(const struct cma_request *req, u64 size,
				  u64 align)
{
	phys_addr_t at = 0;
	pg_data_t *pgdat;

	for (int zt = MAX_NR_ZONES - 1; !at && zt >= 0; zt--) {
		for_each_online_pgdat(pgdat)
		{
			if (!req->any_node && pgdat->node_id != req->nid)
				continue;
			if (!at)
				at = place_in_zone(req, &pgdat->node_zones[zt],
						   size, align);
		}
	}
	return at;
}

/* Exactly the place that REQ names. */
static int place_fixed(const struct cma_request *req, u64 size, u64 align)
{
	struct zone *zone;

	if (!IS_ALIGNED(req->base, align))
		return refuse(-EINVAL, req->name,
			      "the fixed base is not aligned to a pageblock, "
			      "or to the alignment asked for");
	if (req->limit && (req->limit < size || req->base > req->limit - size))
		return refuse(-EINVAL, req->name,
			      "the fixed place ends above the limit");
	zone = zone_of_area(req->base, size);
	if (!zone)
		return refuse(-EINVAL, req->name,
			      "the fixed place is not RAM of one zone");
	if (!req->any_node && zone_to_nid(zone) != req->nid)
		return refuse(-EINVAL, req->name,
			      "the fixed place is on another node");
	if (memblock_is_region_reserved(req->base, size))
		return refuse(-EBUSY, req->name, "the fixed place is taken");
	if (memblock_reserve(req->base, size))
		return refuse(-ENOMEM, req->name, "too many reserved ranges");
	return 0;
}

/* ---- declaring
 * ----------------------------------------------------------------------- */

/* May another area be made now, with granule 2^ORDER_PER_BIT and SIZE? */
static int check_area(u64 size, u32 order_per_bit, const char *name)
{
	if (cma_state()->active || phys_sys.nr_nodes == 0)
		return refuse(-EINVAL, name,
			      "areas are declared during boot only");
	if (cma_state()->nr == MAX_CMA_AREAS)
		return refuse(-ENOSPC, name, "too many areas");
	if (size == 0)
		return refuse(-EINVAL, name, "the size is 0");
	if (order_per_bit > 31 ||
	    !IS_ALIGNED(size, (u64)PAGE_SIZE << order_per_bit))
		return refuse(-EINVAL, name,
			      "the size is no multiple of the granule");
	return 0;
}

int cma_init_reserved_mem(phys_addr_t base, u64 size, u32 order_per_bit,
			  const char *name, struct cma **res)
{
	struct cma *cma = &cma_state()->areas[cma_state()->nr];
	int err = check_area(size, order_per_bit, name);
	u64 bits;

	if (err)
		return err;
	if (!IS_ALIGNED(base | size, AREA_ALIGN) ||
	    !IS_ALIGNED(base, (u64)PAGE_SIZE << order_per_bit))
		return refuse(-EINVAL, name,
			      "base and size must be multiples of a pageblock "
			      "and of the granule");
	if (!memblock_is_region_reserved(base, size) ||
	    !zone_of_area(base, size))
		return refuse(-EINVAL, name,
			      "not reserved, or not RAM of one zone");
	if (cma_overlaps(PFN_DOWN(base), PFN_DOWN(base + size)))
		return refuse(-EBUSY, name, "overlaps another area");
	bits = size >> PAGE_SHIFT >> order_per_bit;
	cma->bitmap = memblock_alloc(BITS_TO_LONGS(bits) * sizeof(u64), 0);
	if (!cma->bitmap)
		return refuse(-ENOMEM, name, "no memory for the bitmap");
	cma->base_pfn = PFN_DOWN(base);
	cma->count = size >> PAGE_SHIFT;
	cma->order_per_bit = order_per_bit;
	spin_lock_init(&cma->lock, LOCK_CLASS_CMA_AREA);
	if (name)
		mm_snprintf(cma->name, sizeof(cma->name), "%s", name);
	else
		mm_snprintf(cma->name, sizeof(cma->name), "cma%u",
			    cma_state()->nr);
	cma_state()->nr++;
	cma_state()->total += cma->count;
	if (res)
		*res = cma;
	return 0;
}

int cma_declare_contiguous(const struct cma_request *req, struct cma **res)
{
	u64 align = max(req->alignment, AREA_ALIGN);
	u64 size = ALIGN(req->size, align);
	phys_addr_t base = req->base;
	int err;

	if (!is_power_of_2(align) || size < req->size)
		return refuse(-EINVAL, req->name,
			      "the alignment is no power of two");
	err = check_area(size, req->order_per_bit, req->name);
	if (err)
		return err;
	if (req->fixed) {
		err = place_fixed(req, size, align);
	} else {
		base = place_anywhere(req, size, align);
		if (!base)
			err = refuse(-ENOMEM, req->name,
				     "no zone has room for it in one piece");
	}
	if (err)
		return err;
	err = cma_init_reserved_mem(base, size, req->order_per_bit, req->name,
				    res);
	if (!err)
		pr_info("cma: Reserved %llu MiB at 0x%016llx", mib(size),
			(unsigned long long)base);
	else if (memblock_phys_free(base, size))
		pr_warn("cma: %llu MiB are lost", mib(size));
	return err;
}

int cma_boot_declare(const struct cma_request *reqs, u32 nr)
{
	int err = 0;

	for (u32 i = 0; !err && i < nr; i++)
		err = cma_declare_contiguous(&reqs[i], NULL);
	return err;
}

bool cma_overlaps(u64 pfn, u64 end)
{
	for (u32 i = 0; i < cma_state()->nr; i++) {
		const struct cma *cma = &cma_state()->areas[i];

		if (cma->base_pfn < end && pfn < cma->base_pfn + cma->count)
			return true;
	}
	return false;
}

/* The pageblock at PFN, reserved until now, is ZONE's to lend. */
static void activate_block(struct zone *zone, u64 pfn)
{
	u64 end = pfn + pageblock_nr_pages;
	unsigned long flags;

	for (u64 i = pfn; i < end; i++) {
		struct page *page = pfn_to_page(i);

		mm_verify(pfn_valid(i) && PageReserved(page));
		mm_verify(page->zone_id == zone->zone_id);
		ClearPageReserved(page);
		set_page_count(page, 0);
	}
	page_debug_boot_free(pfn, end);
	spin_lock_irqsave(&zone->lock, flags);
	set_pageblock_migratetype(pfn_to_page(pfn), MIGRATE_CMA);
	zone->cma_pages += pageblock_nr_pages;
	WRITE_ONCE(zone->managed_pages,
		   zone->managed_pages + pageblock_nr_pages);
	free_pages_range(zone, pfn, end, MIGRATE_CMA);
	spin_unlock_irqrestore(&zone->lock, flags);
	phys_sys.totalram_pages += pageblock_nr_pages;
}

void cma_init_reserved_areas(void)
{
	for (u32 i = 0; i < cma_state()->nr; i++) {
		const struct cma *cma = &cma_state()->areas[i];
		u64 end = cma->base_pfn + cma->count;

		for (u64 pfn = cma->base_pfn; pfn < end;
		     pfn += pageblock_nr_pages)
			activate_block(page_zone(pfn_to_page(pfn)), pfn);
	}
	cma_state()->active = true;
}

/* ---- giving out
 * ---------------------------------------------------------------------- */

static u64 bits_of(const struct cma *cma, u64 count)
{
	return (count + (1UL << cma->order_per_bit) - 1) >> cma->order_per_bit;
}

/*
 * The first run of NR clear bits from START on, aligned to 2^ALIGN frames; the
 * number of all bits if there is none.
 */
static u64 find_run(const struct cma *cma, u64 start, u64 nr,
		    unsigned int align)
{
	u64 size = bits_of(cma, cma->count);
	u64 mask = align <= cma->order_per_bit
			   ? 0
			   : (1UL << (align - cma->order_per_bit)) - 1;
	u64 off = cma->base_pfn >> cma->order_per_bit;

	for (;;) {
		u64 at = bitmap_find_next_zero_area(cma->bitmap, size, start,
						    nr, 0);

		if (at > size - nr)
			return size;
		if (((at + off) & mask) == 0)
			return at;
		start = ALIGN(at + off, mask + 1) - off;
	}
}

/* Set the bits of a run from *START on; *START is where. False: none. */
static bool claim_run(struct cma *cma, u64 *start, u64 nr, unsigned int align)
{
	bool found;

	spin_lock(&cma->lock);
	*start = find_run(cma, *start, nr, align);
	found = *start < bits_of(cma, cma->count);
	if (found) {
		bitmap_set(cma->bitmap, *start, nr);
		cma->used += nr << cma->order_per_bit;
	}
	spin_unlock(&cma->lock);
	return found;
}

static void clear_run(struct cma *cma, u64 start, u64 nr)
{
	spin_lock(&cma->lock);
	bitmap_clear(cma->bitmap, start, nr);
	cma->used -= nr << cma->order_per_bit;
	spin_unlock(&cma->lock);
}

/* Empty the frames [PFN, PFN + COUNT), one caller at a time. */
static int empty_run(u64 pfn, u64 count, bool no_warn)
{
	gfp_t gfp = GFP_KERNEL | (no_warn ? __GFP_NOWARN : 0);
	int err;

	mutex_lock(&cma_state()->alloc_lock);
	err = alloc_contig_range(pfn, pfn + count, MIGRATE_CMA, gfp);
	mutex_unlock(&cma_state()->alloc_lock);
	return err;
}

struct page *cma_alloc(struct cma *cma, u64 count, unsigned int align,
		       bool no_warn)
{
	u64 at = 0, nr;
	int err = -ENOMEM;

	might_sleep();
	if (!cma || count == 0 || count > cma->count || align > 31)
		return NULL;
	trace_emit(CMA_ALLOC_START, TRACE_TEXT(cma->name), count, align);
	nr = bits_of(cma, count);
	while (claim_run(cma, &at, nr, align)) {
		u64 pfn = cma->base_pfn + (at << cma->order_per_bit);

		err = empty_run(pfn, count, no_warn);
		if (!err) {
			count_vm_event(CMA_ALLOC_SUCCESS);
			trace_emit(CMA_ALLOC_FINISH, TRACE_TEXT(cma->name), pfn,
				   count, align);
			return pfn_to_page(pfn);
		}
		clear_run(cma, at, nr);
		if (err != -EBUSY)
			break;
		trace_emit(CMA_ALLOC_BUSY_RETRY, TRACE_TEXT(cma->name), pfn,
			   count, align);
		at++;
	}
	count_vm_event(CMA_ALLOC_FAIL);
	trace_emit(CMA_ALLOC_FINISH, TRACE_TEXT(cma->name), 0, count, align);
	if (!no_warn)
		pr_warn("cma: cma_alloc: %s: alloc failed, req-size: %llu "
			"pages, ret: %d",
			cma->name, (unsigned long long)count, err);
	return NULL;
}

bool cma_pages_valid(const struct cma *cma, const struct page *pages, u64 count)
{
	u64 pfn;

	if (!cma || !pages)
		return false;
	pfn = page_to_pfn(pages);
	return pfn >= cma->base_pfn && count <= cma->count &&
	       pfn - cma->base_pfn <= cma->count - count;
}

/* Are the NR granules from AT on all given out? */
static bool run_given(struct cma *cma, u64 at, u64 nr)
{
	bool given;

	spin_lock(&cma->lock);
	given = find_next_zero_bit(cma->bitmap, at + nr, at) == at + nr;
	spin_unlock(&cma->lock);
	return given;
}

bool cma_release(struct cma *cma, const struct page *pages, u64 count)
{
	u64 off, at, nr;

	if (count == 0 || !cma_pages_valid(cma, pages, count))
		return false;
	off = page_to_pfn(pages) - cma->base_pfn;
	at = off >> cma->order_per_bit;
	nr = bits_of(cma, count);
	if (!IS_ALIGNED(off, 1UL << cma->order_per_bit) ||
	    !run_given(cma, at, nr)) {
		pr_err("cma: cma_release: %s: %llu pages at pfn %llx were not "
		       "given out",
		       cma->name, (unsigned long long)count,
		       (unsigned long long)page_to_pfn(pages));
		return false;
	}
	trace_emit(CMA_RELEASE, TRACE_TEXT(cma->name), page_to_pfn(pages),
		   count);
	free_contig_range(page_to_pfn(pages), count);
	clear_run(cma, at, nr);
	return true;
}

/* ---- asking
 * -------------------------------------------------------------------------- */

phys_addr_t cma_get_base(const struct cma *cma)
{
	return PFN_PHYS(cma->base_pfn);
}

u64 cma_get_size(const struct cma *cma)
{
	return cma->count << PAGE_SHIFT;
}

const char *cma_get_name(const struct cma *cma)
{
	return cma ? cma->name : "(undefined)";
}

u64 cma_get_used(const struct cma *cma)
{
	return READ_ONCE(cma->used);
}

int cma_for_each_area(int (*fn)(struct cma *cma, void *arg), void *arg)
{
	for (u32 i = 0; i < cma_state()->nr; i++) {
		int ret = fn(&cma_state()->areas[i], arg);

		if (ret)
			return ret;
	}
	return 0;
}

u64 totalcma_pages(void)
{
	return cma_state()->total;
}

/* CM-1 to CM-3 for one area. */
static void check_one(struct cma *cma)
{
	struct zone *zone = page_zone(pfn_to_page(cma->base_pfn));
	u64 set;

	mm_verify(IS_ALIGNED(cma->base_pfn | cma->count, pageblock_nr_pages));
	spin_lock(&cma->lock);
	set = bitmap_weight(cma->bitmap, bits_of(cma, cma->count));
	mm_verify(set << cma->order_per_bit == cma->used);
	spin_unlock(&cma->lock);
	for (u64 i = 0; i < cma->count; i += pageblock_nr_pages) {
		u64 pfn = cma->base_pfn + i;
		int mt = get_pfnblock_migratetype(pfn);

		mm_verify(mt == MIGRATE_CMA || mt == MIGRATE_ISOLATE);
		mm_verify(page_zone(pfn_to_page(pfn)) == zone);
	}
}

void cma_check(void)
{
	u64 in_zones = 0;
	struct zone *zone;

	for (u32 i = 0; i < cma_state()->nr; i++)
		check_one(&cma_state()->areas[i]);
	for_each_zone (zone)
		in_zones += zone->cma_pages;
	mm_verify(in_zones == cma_state()->total);
}
