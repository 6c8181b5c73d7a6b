/* SPDX-License-Identifier: MIT */
/* highmem.h - fixmap slots, and the checker of temporary mappings. */
#ifndef MM_PGTABLE_HIGHMEM_H
#define MM_PGTABLE_HIGHMEM_H

#include <mmkit/highmem.h>

#include "pgtable/kernel.h"

/*
 * set_fixmap: the named SLOT maps the page at PA with PROT from now on, on all
 * CPUs; what it mapped before is forgotten. clear_fixmap: nothing. Cannot
 * fail; the caller owns the slot. Context: interrupts on.
 */
void set_fixmap(u32 slot, phys_addr_t pa, pgprot_t prot);
void clear_fixmap(u32 slot);

/* highmem_check: pkmap's counts, entries and hash agree. Panics. */
void highmem_check(void);

#endif
