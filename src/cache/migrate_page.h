/* SPDX-License-Identifier: MIT */
/*
 * migrate_page.h - another frame takes a page's place. Theory: migrate_page.c;
 * who decides that it shall: move/.
 */
#ifndef MM_CACHE_MIGRATE_PAGE_H
#define MM_CACHE_MIGRATE_PAGE_H

#include <mmkit/fs.h>

#include "phys/page.h"

/* How much a move may cost. */
enum migrate_mode {
	MIGRATE_ASYNC,	      /* nothing is waited for */
	MIGRATE_SYNC_LIGHT,   /* locks, but no I/O */
	MIGRATE_SYNC,	      /* I/O too */
	MIGRATE_SYNC_NO_COPY, /* the caller copies the contents itself */
};

/* migrate_anon_page: as migrate_page() (mmkit/fs.h), for an anonymous page and
 * for any of the swap cache. */
int migrate_anon_page(struct page *new, struct page *old,
		      enum migrate_mode mode) MM_MUST_CHECK;

/* migrate_anon_block: the N pages from OLD on, anonymous, without slots in
 * swap, and the N frames from NEW on, all locked, nothing mapped: all move, or
 * none. 0; -EAGAIN: somebody holds one of them. May sleep. */
int migrate_anon_block(struct page *new, struct page *old, u32 n) MM_MUST_CHECK;

/* migrate_page_copy: contents and state only, for a migratepage() of one's
 * own. Both locked, nothing maps OLD. */
void migrate_page_copy(struct page *new, struct page *old,
		       enum migrate_mode mode);

/* migrate_page_ready: has PAGE, locked and unmapped, no holders but the mover
 * and its place? 0, -EAGAIN. */
int migrate_page_ready(const struct page *page);

#endif
