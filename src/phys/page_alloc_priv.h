/* SPDX-License-Identifier: MIT */
/*
 * page_alloc_priv.h - the order of a block in use.
 */
#ifndef MM_PHYS_PAGE_ALLOC_PRIV_H
#define MM_PHYS_PAGE_ALLOC_PRIV_H

#include "phys/page.h"

/* block_order: what the block at PAGE was allocated with; 0 for a single. */
static inline unsigned int block_order(const struct page *page)
{
	u32 large = 1u << PG_head | 1u << PG_block;

	return READ_ONCE(page->flags) & large ? READ_ONCE(page[1].index) : 0;
}

#endif
