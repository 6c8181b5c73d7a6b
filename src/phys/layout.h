/* SPDX-License-Identifier: MIT */
/*
 * layout.h - how an architecture divides physical memory into zones. Constant
 * data; theory: layout.c.
 */
#ifndef MM_PHYS_LAYOUT_H
#define MM_PHYS_LAYOUT_H

#include "phys/mmzone.h"

#define GFP_ZONE_BITS 16 /* values of the four zone bits of gfp_t */

struct phys_layout {
	char name[16];
	phys_addr_t limit; /* what the processor can address */
	/* First byte above each zone; 0: the architecture has no such zone. */
	phys_addr_t zone_end[MAX_NR_ZONES];
	unsigned int block_order; /* pageblock_order: a large page */
};

/* phys_layout_find: by NAME (NULL: x86-64); NULL if there is none. */
const struct phys_layout *phys_layout_find(const char *name);

/* phys_layout_nth: number I from 0; NULL after the last. */
const struct phys_layout *phys_layout_nth(u32 i);

/* layout_has_zone: MOVABLE is in every layout, as memory of the others. */
bool layout_has_zone(const struct phys_layout *l, int zt);

/*
 * layout_zone_range: the frames [*LO, *HI) below END_PFN that zone type ZT of
 * L has. Empty (*LO == *HI) for zones that L lacks and for MOVABLE, whose
 * frames are taken from the others.
 */
void layout_zone_range(const struct phys_layout *l, int zt, u64 end_pfn,
		       u64 *lo, u64 *hi);

/*
 * layout_low_end: the end of what the kernel has mapped all the time; its own
 * data must lie below. ~0 where that is all memory.
 */
phys_addr_t layout_low_end(const struct phys_layout *l);

/*
 * layout_gfp_zones: for each value of the four zone bits the highest zone
 * type that the request may use (the rule stands in layout.c).
 */
void layout_gfp_zones(const struct phys_layout *l, u8 table[GFP_ZONE_BITS]);

#endif
