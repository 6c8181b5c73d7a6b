/* SPDX-License-Identifier: MIT */
/*
 * watermark.c - how much must stay free, and for whom.
 *
 * Each zone has three marks. Below low, kswapd is woken; it works until high.
 * Below min only those may allocate who will free memory or must not wait:
 *
 *      high  ------------------------------   kswapd sleeps
 *      low   ------------------------------   kswapd is woken
 *      min   ------------------------------   direct reclaim
 *             atomic, OOM victims: part of min; MEMALLOC: all of it
 *      0     ------------------------------
 *
 * min is the zone's share of min_free_kbytes, which grows with the square root
 * of memory: 4 * sqrt(KiB of low memory), within 128 KiB .. 256 MiB. The
 * distance between the marks is max(min / 4, watermark_scale_factor). A request
 * that could have used a higher zone must leave lowmem_reserve more in a lower
 * one. HIGHMEM and MOVABLE, where atomic requests never go, keep 1/1024 of
 * themselves within 32 .. 128 frames. A boost (fallback.c) lifts all marks for
 * a while.
 *
 * Numbers are set under phys_sys.wmark_lock and read without it.
 *
 * References: Linux documentation, admin-guide/sysctl/vm (min_free_kbytes,
 * watermark_scale_factor, lowmem_reserve_ratio).
 */
#include "base/bitops.h"
#include "base/printk.h"
#include "phys/alloc.h"
#include "phys/phys.h"

#define MIN_FREE_KBYTES_MIN 128UL
#define MIN_FREE_KBYTES_MAX 262144UL

/* ---- asking
 * ---------------------------------------------------------------------- */

/* Frames that are free but not for this request. */
static s64 unusable_free(const struct zone *zone, unsigned int order,
			 u32 alloc_flags)
{
	s64 unusable = (1L << order) - 1;

	if (!(alloc_flags & (ALLOC_HARDER | ALLOC_OOM)))
		unusable += (s64)READ_ONCE(zone->nr_reserved_highatomic);
	if (!(alloc_flags & ALLOC_CMA))
		unusable += READ_ONCE(zone->nr_free_cma);
	return unusable;
}

/* MARK, lowered for those who may go deeper. */
static s64 effective_min(u64 mark, u32 alloc_flags)
{
	s64 least = (s64)mark;

	if (alloc_flags & ALLOC_HIGH)
		least -= least / 2;
	if (alloc_flags & ALLOC_OOM)
		least -= least / 2;
	else if (alloc_flags & ALLOC_HARDER)
		least -= least / 4;
	return least;
}

/* Is there a block of at least ORDER that this request may use? */
static bool has_block(const struct zone *zone, unsigned int order,
		      u32 alloc_flags)
{
	/* Of a section half made, a block of any place and order may come. */
	if (zone_deferred_frames(zone) >= 2UL << order)
		return true;
	for (; order < MAX_ORDER; order++) {
		const struct free_area *area = &zone->free_area[order];

		if (!READ_ONCE(area->nr_free))
			continue;
		for (int mt = 0; mt < MIGRATE_PCPTYPES; mt++) {
			if (READ_ONCE(area->free_list[mt].head))
				return true;
		}
		if ((alloc_flags & ALLOC_CMA) &&
		    READ_ONCE(area->free_list[MIGRATE_CMA].head))
			return true;
		if ((alloc_flags & (ALLOC_HARDER | ALLOC_OOM)) &&
		    READ_ONCE(area->free_list[MIGRATE_HIGHATOMIC].head))
			return true;
	}
	return false;
}

bool __zone_watermark_ok(const struct zone *zone, unsigned int order, u64 mark,
			 int highest_zoneidx, u32 alloc_flags, s64 free)
{
	s64 least = effective_min(mark, alloc_flags);

	mm_assert(highest_zoneidx >= 0 && highest_zoneidx < MAX_NR_ZONES);
	free -= unusable_free(zone, order, alloc_flags);
	if (free <=
	    least + (s64)READ_ONCE(zone->lowmem_reserve[highest_zoneidx]))
		return false;
	return order == 0 || has_block(zone, order, alloc_flags);
}

bool zone_watermark_ok(const struct zone *zone, unsigned int order, u64 mark,
		       int highest_zoneidx, u32 alloc_flags)
{
	return __zone_watermark_ok(zone, order, mark, highest_zoneidx,
				   alloc_flags, READ_ONCE(zone->nr_free_pages));
}

bool zone_watermark_fast(const struct zone *zone, unsigned int order, u64 mark,
			 int highest_zoneidx, u32 alloc_flags, gfp_t gfp)
{
	s64 free = READ_ONCE(zone->nr_free_pages);

	if (order == 0) {
		s64 usable = free - unusable_free(zone, 0, alloc_flags);
		u64 reserve = READ_ONCE(zone->lowmem_reserve[highest_zoneidx]);

		if (usable > (s64)(mark + reserve))
			return true;
	}
	if (__zone_watermark_ok(zone, order, mark, highest_zoneidx, alloc_flags,
				free))
		return true;
	/* The boost is there to make kswapd work, not to fail atomics. */
	if (order == 0 && (gfp & __GFP_HIGH) &&
	    READ_ONCE(zone->watermark_boost) &&
	    (alloc_flags & ALLOC_WMARK_MASK) == ALLOC_WMARK_MIN)
		return __zone_watermark_ok(zone, order,
					   zone->_watermark[WMARK_MIN],
					   highest_zoneidx, alloc_flags, free);
	return false;
}

/* ---- setting
 * ---------------------------------------------------------------------- */

/* Can the kernel use ZONE for itself, and so need a reserve there? */
static bool zone_is_low(const struct zone *zone)
{
	return zone->idx != ZONE_HIGHMEM && zone->idx != ZONE_MOVABLE;
}

u64 nr_free_buffer_pages(void)
{
	struct zone *zone;
	u64 sum = 0;

	for_each_populated_zone (zone) {
		u64 managed = zone_managed_pages(zone);
		u64 high = high_wmark_pages(zone);

		if (zone_is_low(zone) && managed > high)
			sum += managed - high;
	}
	return sum;
}

/* Largest root with root * root <= X. */
static u64 int_sqrt(u64 x)
{
	u64 root = 0;

	for (int bit = 31; bit >= 0; bit--) {
		u64 probe = root | 1UL << bit;

		if (probe * probe <= x)
			root = probe;
	}
	return root;
}

/* Keep some of a low zone from requests that can use the zones above it. */
static void set_lowmem_reserve(pg_data_t *pgdat)
{
	for (int i = 0; i < MAX_NR_ZONES; i++) {
		struct zone *zone = &pgdat->node_zones[i];
		u32 ratio = phys_sys.tunables.lowmem_reserve_ratio[i];
		bool none = !ratio || !zone_managed_pages(zone);
		u64 above = 0;

		for (int j = 0; j <= i; j++)
			WRITE_ONCE(zone->lowmem_reserve[j], 0);
		for (int j = i + 1; j < MAX_NR_ZONES; j++) {
			above += zone_managed_pages(&pgdat->node_zones[j]);
			WRITE_ONCE(zone->lowmem_reserve[j],
				   none ? 0 : above / ratio);
		}
	}
}

/* LOWMEM: managed frames of all zones that share min_free_kbytes. */
static void set_zone_marks(struct zone *zone, u64 pages_min, u64 lowmem)
{
	u64 managed = zone_managed_pages(zone);
	/* Both below 2^32 (16 TiB): no overflow. */
	u64 least = min(pages_min, 0xffffffffUL) * managed / lowmem;
	u64 gap;

	if (!zone_is_low(zone))
		least = clamp(managed / 1024, 32UL, 128UL);
	gap = max(least >> 2,
		  managed * phys_sys.tunables.watermark_scale_factor / 10000);
	WRITE_ONCE(zone->watermark_boost, 0UL);
	WRITE_ONCE(zone->_watermark[WMARK_MIN], least);
	WRITE_ONCE(zone->_watermark[WMARK_LOW], least + gap);
	WRITE_ONCE(zone->_watermark[WMARK_HIGH], least + 2 * gap);
	WRITE_ONCE(zone->_watermark[WMARK_PROMO], least + 3 * gap);
	mm_assert(least <= zone->_watermark[WMARK_LOW]);
}

/* Frames of a node that ordinary allocations cannot count on. */
static void set_totalreserve(pg_data_t *pgdat)
{
	u64 sum = 0;

	for (int i = 0; i < MAX_NR_ZONES; i++) {
		const struct zone *zone = &pgdat->node_zones[i];
		u64 most = 0;

		for (int j = i; j < MAX_NR_ZONES; j++)
			most = max(most, zone->lowmem_reserve[j]);
		sum += min(most + high_wmark_pages(zone),
			   zone_managed_pages(zone));
	}
	WRITE_ONCE(pgdat->totalreserve_pages, sum);
}

void setup_per_zone_wmarks(void)
{
	u64 pages_min = phys_sys.tunables.min_free_kbytes >> (PAGE_SHIFT - 10);
	u64 lowmem = 0;
	pg_data_t *pgdat;
	struct zone *zone;

	spin_lock(&phys_sys.wmark_lock);
	for_each_zone (zone) {
		if (zone_is_low(zone))
			lowmem += zone_managed_pages(zone);
	}
	for_each_zone (zone)
		set_zone_marks(zone, pages_min, max(lowmem, 1UL));
	for_each_online_pgdat(pgdat)
	{
		set_lowmem_reserve(pgdat);
		set_totalreserve(pgdat);
	}
	for_each_populated_zone (zone)
		pcp_set_size(zone);
	spin_unlock(&phys_sys.wmark_lock);
}

static u64 min_free_for(u64 frames)
{
	u64 kbytes = frames << (PAGE_SHIFT - 10);

	return clamp(int_sqrt(kbytes * 16), MIN_FREE_KBYTES_MIN,
		     MIN_FREE_KBYTES_MAX);
}

u64 default_min_free_kbytes(void)
{
	struct zone *zone;
	u64 frames = 0;

	for_each_zone (zone) {
		if (zone_is_low(zone))
			frames += zone_managed_pages(zone);
	}
	return min_free_for(frames);
}

void init_per_zone_wmark_min(void)
{
	if (!phys_sys.tunables.min_free_kbytes) {
		phys_sys.tunables.min_free_kbytes =
			min_free_for(nr_free_buffer_pages());
		phys_sys.hotplug.min_free_kbytes =
			phys_sys.tunables.min_free_kbytes;
	}
	setup_per_zone_wmarks();
}
