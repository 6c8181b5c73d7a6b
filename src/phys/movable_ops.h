/* SPDX-License-Identifier: MIT */
/*
 * movable_ops.h - frames that are on no LRU list and that their owner moves.
 *
 * Such a frame's mapping word is the owner's table with PAGE_MAPPING_MOVABLE.
 * The mover calls the table with the frame locked and with a reference of its
 * own; the owner sets and takes the word away under the page lock or under a
 * lock of its own that all three functions take and look at the word again.
 */
#ifndef MM_PHYS_MOVABLE_OPS_H
#define MM_PHYS_MOVABLE_OPS_H

#include "phys/page.h"

struct movable_operations {
	/* PAGE is going to be moved: from now to putback_page() or to a move
	 * that succeeds the owner does not give it away otherwise than by
	 * dropping it. False: not now. MODE: enum migrate_mode. Does not sleep.
	 */
	bool (*isolate_page)(struct page *page, int mode);
	/* NEW, locked, fresh, takes over, and the owner takes a reference to
	 * it; PAGE is the owner's no more: it has no mapping word, and the
	 * owner's reference is dropped. 0; -EAGAIN, -EBUSY: nothing has
	 * changed. */
	int (*migrate_page)(struct page *new, struct page *page, int mode);
	/* PAGE stays where it is. */
	void (*putback_page)(struct page *page);
};

/* set_page_movable: PAGE is OPS's to move; clear_page_movable: not any more. */
static inline void set_page_movable(struct page *page,
				    const struct movable_operations *ops)
{
	mm_assert(((uintptr_t)ops & PAGE_MAPPING_FLAGS) == 0);
	set_page_mapping_word(page, (u64)(uintptr_t)ops | PAGE_MAPPING_MOVABLE);
}

static inline void clear_page_movable(struct page *page)
{
	set_page_mapping_word(page, 0);
}

/* page_movable_ops: the table, NULL: PAGE is no such frame. */
static inline const struct movable_operations *
page_movable_ops(const struct page *page)
{
	u64 word = page_mapping_word(page);

	if (!__PageMovable(page) ||
	    (word & PAGE_MAPPING_FLAGS) != PAGE_MAPPING_MOVABLE)
		return NULL;
	return (const struct movable_operations
			*)(uintptr_t)(word & ~PAGE_MAPPING_FLAGS);
}

#endif
