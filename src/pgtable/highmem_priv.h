/* SPDX-License-Identifier: MIT */
/* highmem_priv.h - what kernel.c and highmem.c need of each other. */
#ifndef MM_PGTABLE_HIGHMEM_PRIV_H
#define MM_PGTABLE_HIGHMEM_PRIV_H

#include "pgtable/kernel.h"

/*
 * highmem_init: window, tables and slots of a format with high memory; others:
 * nothing. 0, -ENOMEM or -EOPNOTSUPP. From then on high frames trap when they
 * are touched through the direct map.
 */
int highmem_init(void) MM_MUST_CHECK;

/* highmem_window: is VA a place whose frames need views of their own? */
static inline bool highmem_window(kva_t va)
{
	return pgtable_sys.high.on && va >= pgtable_sys.layout.vmalloc_start;
}

#endif
