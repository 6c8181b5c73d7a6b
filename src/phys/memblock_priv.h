/* SPDX-License-Identifier: MIT */
/*
 * memblock_priv.h - what the files of memblock share.
 */
#ifndef MM_PHYS_MEMBLOCK_PRIV_H
#define MM_PHYS_MEMBLOCK_PRIV_H

#include "phys/phys.h"

static inline struct memblock *mb(void)
{
	return &phys_sys.memblock;
}

static inline phys_addr_t region_end(const struct memblock_region *r)
{
	return r->base + r->size;
}

/* SIZE, or less where BASE + SIZE would wrap. */
static inline phys_addr_t cap_size(phys_addr_t base, phys_addr_t size)
{
	return min(size, ~(phys_addr_t)0 - base);
}

#endif
