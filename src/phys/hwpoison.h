/* SPDX-License-Identifier: MIT */
/*
 * hwpoison.h - frames whose RAM lost what was in it.
 *
 * Such a frame has PG_hwpoison from the report on, whoever owns it. When its
 * last reference goes (free_pages_prepare()) it is set aside (page_bad.c)
 * instead of becoming free, and of a block the other frames become free one by
 * one. What its owners are told is src/space/memory_failure.c's business.
 *
 * One report at a time: the caller of all but num_poisoned_pages() and
 * free_poisoned() holds a lock for that.
 */
#ifndef MM_PHYS_HWPOISON_H
#define MM_PHYS_HWPOISON_H

#include "phys/page.h"

/* num_poisoned_pages: frames with PG_hwpoison. Any context. */
u64 num_poisoned_pages(void);

/* hwpoison_mark: PAGE, in use, is poisoned from now on; false: it was. The
 * caller holds a reference. */
bool hwpoison_mark(struct page *page);

/*
 * hwpoison_take_free: PAGE, if it is free, leaves the lists, poisoned and set
 * aside. False: it is in use, or on its way somewhere; nothing was done.
 * Takes pcp and zone locks.
 */
bool hwpoison_take_free(struct page *page) MM_MUST_CHECK;

/*
 * hwpoison_give_back: the report was wrong: PAGE is poisoned no longer; if it
 * was set aside it is free again (true).
 */
bool hwpoison_give_back(struct page *page);

/*
 * free_poisoned: the block of ORDER at PAGE, whose last reference is gone, has
 * poisoned frames and is all right otherwise: they are set aside, the others
 * free. False: not that; nothing was done. (page_free.c)
 */
bool free_poisoned(struct page *page, unsigned int order);

#endif
