/* SPDX-License-Identifier: MIT */
/*
 * cma_area.h - a CMA area from inside, and the parts of its boot.
 */
#ifndef MM_PHYS_CMA_AREA_H
#define MM_PHYS_CMA_AREA_H

#include <mmkit/cma.h>

#include "base/mutex.h"
#include "base/spinlock.h"

/* (B) written at boot only; (L) the area's lock. */
struct cma {
	u64 base_pfn, count; /* (B) frames */
	u64 *bitmap;	     /* (L) a bit per granule: given out */
	u64 used;	     /* (L) frames given out, whole granules */
	u32 order_per_bit;   /* (B) */
	spinlock_t lock;
	char name[CMA_MAX_NAME]; /* (B) */
};

struct cma_state {
	struct mutex alloc_lock; /* one cma_alloc() empties a range at a time */
	u32 nr;
	u64 total;   /* (B) frames of all areas */
	bool active; /* (B) frames are in the buddy: no more areas */
	struct cma areas[MAX_CMA_AREAS];
};

/* cma_init: no areas. cma_boot_declare: those of the boot parameters. */
void cma_init(void);
int cma_boot_declare(const struct cma_request *reqs, u32 nr) MM_MUST_CHECK;

/*
 * cma_init_reserved_areas: the memory map exists: all areas' pageblocks
 * become MIGRATE_CMA, their frames go to the buddy. Boot, once.
 */
void cma_init_reserved_areas(void);

/* cma_overlaps: does an area have frames of [PFN, END)? */
bool cma_overlaps(u64 pfn, u64 end);

/* cma_check: bitmaps against counts, pageblocks against types. */
void cma_check(void);

#endif
