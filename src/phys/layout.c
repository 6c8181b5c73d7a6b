/* SPDX-License-Identifier: MIT */
/*
 * layout.c - architectures as tables.
 *
 * 1. Purpose. Which zones there are, where they end, how far addresses go and
 *    how large a large page is, differ between machines; nothing else of this
 *    floor does. A machine is told its layout at boot.
 *
 * 2. Structures.
 *
 *                  0    16M     896M          4G            limit
 *      x86-64      | DMA |      DMA32         |    Normal     |  64 TiB
 *      x86-32      | DMA | Normal |  HighMem  |                  4 GiB
 *      x86-32-pae  | DMA | Normal |        HighMem            |  64 GiB
 *      arm64       |          DMA32           |    Normal     |  256 TiB
 *
 *    Each zone begins where the one before it in the order of enum zone_type
 *    ends. The manager itself stops at 16 TiB (phys.c).
 *
 * 3. Which zone a request gets. It names a limit: 16 MiB (__GFP_DMA), 4 GiB
 *    (__GFP_DMA32), everything (__GFP_HIGHMEM), or what is always mapped. It
 *    gets the highest zone that lies below its limit, or the lowest zone of
 *    all where even that does not. So __GFP_DMA32 on x86-32 is NORMAL, and
 *    __GFP_DMA on arm64 is DMA32. Of two limits the lower holds. MOVABLE is
 *    for requests with __GFP_MOVABLE and __GFP_HIGHMEM and no other limit:
 *    who can be moved and needs no mapping can live anywhere.
 *
 * 4. Invariants. LY-1: zone ends rise in the order of enum zone_type. LY-2: the
 *    last zone of a layout has no end of its own. LY-3: NORMAL is in each.
 *
 * 5. Locking, failure. Constant data.
 *
 * References: Linux documentation, mm/highmem, arch/x86/x86_64/mm,
 * arch/arm64/memory; core-api/memory-allocation.
 */
#include "phys/layout.h"

#include "base/string.h"

#define M16  (16UL << 20)
#define M896 (896UL << 20)
#define G4   (4UL << 30)
#define END  (~(phys_addr_t)0)

static const struct phys_layout layouts[] = {
#ifdef MM_ONLY_NORMAL
	{"x86-64", 1UL << 46, {END}, 9},
#else
	{"x86-64", 1UL << 46, {M16, G4, END, 0, 0}, 9},
	{"x86-64-la57", 1UL << 52, {M16, G4, END, 0, 0}, 9},
	{"x86-32", G4, {M16, 0, M896, END, 0}, 10},
	{"x86-32-pae", 64UL << 30, {M16, 0, M896, END, 0}, 9},
	{"arm64", 1UL << 48, {0, G4, END, 0, 0}, 9},
#endif
};

const struct phys_layout *phys_layout_nth(u32 i)
{
	return i < ARRAY_SIZE(layouts) ? &layouts[i] : NULL;
}

const struct phys_layout *phys_layout_find(const char *name)
{
	if (!name)
		return &layouts[0];
	for (u32 i = 0; i < ARRAY_SIZE(layouts); i++) {
		if (mm_strcmp(layouts[i].name, name) == 0)
			return &layouts[i];
	}
	return NULL;
}

/* Has L zone ZT, which the build may lack? */
static bool has_end(const struct phys_layout *l, int zt)
{
	return zt < MAX_NR_ZONES && l->zone_end[zt] != 0;
}

bool layout_has_zone(const struct phys_layout *l, int zt)
{
	mm_assert(zt >= 0);
	return zt == ZONE_MOVABLE || has_end(l, zt);
}

void layout_zone_range(const struct phys_layout *l, int zt, u64 end_pfn,
		       u64 *lo, u64 *hi)
{
	u64 start = 0;

	mm_assert(zt >= 0 && zt < MAX_NR_ZONES);
	*lo = *hi = 0;
	if (!l->zone_end[zt])
		return;
	for (int below = 0; below < zt; below++)
		start = max(start, PFN_DOWN(l->zone_end[below]));
	*lo = min(start, end_pfn);
	*hi = min(PFN_DOWN(l->zone_end[zt]), end_pfn);
	mm_assert(*lo <= *hi);
}

phys_addr_t layout_low_end(const struct phys_layout *l)
{
	mm_assert(l->zone_end[ZONE_NORMAL] != 0);
	return l->zone_end[ZONE_NORMAL];
}

/* The highest mapped zone of L that ends at or below LIMIT, or the lowest. */
static u8 zone_below(const struct phys_layout *l, phys_addr_t limit)
{
	int best = -1;

	for (int zt = 0; zt <= ZONE_NORMAL; zt++) {
		if (l->zone_end[zt] && (best < 0 || l->zone_end[zt] <= limit))
			best = zt;
	}
	mm_assert(best >= 0);
	return (u8)best;
}

void layout_gfp_zones(const struct phys_layout *l, u8 table[GFP_ZONE_BITS])
{
	const gfp_t anywhere = __GFP_MOVABLE | __GFP_HIGHMEM;

	for (gfp_t bits = 0; bits < GFP_ZONE_BITS; bits++) {
		if (bits & __GFP_DMA)
			table[bits] = zone_below(l, M16);
		else if (bits & __GFP_DMA32)
			table[bits] = zone_below(l, G4);
		else if ((bits & anywhere) == anywhere)
			table[bits] = min((int)ZONE_MOVABLE, MAX_NR_ZONES - 1);
		else if ((bits & __GFP_HIGHMEM) && has_end(l, ZONE_HIGHMEM))
			table[bits] = ZONE_HIGHMEM;
		else
			table[bits] = ZONE_NORMAL;
	}
}

MM_STATIC_ASSERT((__GFP_DMA | __GFP_HIGHMEM | __GFP_DMA32 | __GFP_MOVABLE) ==
			 GFP_ZONE_BITS - 1,
		 "the zone bits are the lowest four");
