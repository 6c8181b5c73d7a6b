/* SPDX-License-Identifier: MIT */
/*
 * move.h - what this floor gives to boot and to those above.
 */
#ifndef MM_MOVE_MOVE_H
#define MM_MOVE_MOVE_H

#include "move/migrate.h"

/* move_init: at boot, after space_init(): registers who moves pages out of
 * exact frames. */
void move_init(void);

/* What space/ asks for (move_pages.c). */
struct space_move_ops;
extern const struct space_move_ops move_pages_ops;

/* migrate_misplaced_page: space_move_ops' misplaced (misplaced.c); _huge:
 * misplaced_huge. */
bool migrate_misplaced_page(struct page *page, int nid);
bool migrate_misplaced_huge(struct page *first, int nid);

/*
 * demote_page_list: cold pages of PGDAT, isolated by reclaim and unlocked, go
 * to slower nodes. LIST keeps those that stay. How many went. Does not wait for
 * anything. Counts as isolated what reclaim has counted so already. (demote.c)
 */
u64 demote_page_list(struct page_list *list, pg_data_t *pgdat);

/* demote_huge_page: the same for the huge page FIRST, taken (thp_take()). True:
 * it went, and was given back; what it counts as isolated is the caller's. */
bool demote_huge_page(struct page *first, pg_data_t *pgdat);

/*
 * migrate_frames: move what is in use in the frames [START, END) as MC says.
 * Returns how many pages are still there (they could not be isolated, or not be
 * moved); *ERR: 0, or -ENOMEM, and the rest was not tried. Batches of CPUs hide
 * pages: see lru_cache_disable(). May sleep.
 */
u64 migrate_frames(u64 start, u64 end, struct migrate_control *mc, int *err);

#endif
