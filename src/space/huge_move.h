/* SPDX-License-Identifier: MIT */
/*
 * huge_move.h - the pages of a huge page, taken together. Theory: huge_move.c.
 */
#ifndef MM_SPACE_HUGE_MOVE_H
#define MM_SPACE_HUGE_MOVE_H

#include "pgtable/huge.h"
#include "space/space.h"

struct anon_vma;

/* Which of 512 pages. */
struct thp_set {
	u64 bit[HPAGE_PMD_NR / 64];
};

static inline bool thp_set_has(const struct thp_set *set, u32 i)
{
	return set && (set->bit[i / 64] >> i % 64 & 1);
}

static inline void thp_set_add(struct thp_set *set, u32 i)
{
	set->bit[i / 64] |= 1UL << i % 64;
}

/*
 * thp_page_at: the first page of the huge page at VA of VMA, a multiple of
 * HPAGE_PMD_SIZE, with a reference; NULL: there is none, or zeroes that all
 * share. Mmap lock in any mode, or a claim.
 */
struct page *thp_page_at(const struct vm_area_struct *vma, uva_t va);

/*
 * thp_take: the 512 pages from FIRST on, which lie under a large entry, are
 * isolated (but for those of HAVE, which the caller has isolated; NULL: none)
 * and locked, fit to leave their frames: anonymous, with contents, without a
 * slot in swap, nobody's pin. Large entries may go at any time after that. Who
 * has a reference to one of them has it still. Those that are isolated here
 * are counted so. False: nothing has changed but that some may have moved on
 * their lists. Does not wait for a lock. Context: may take lruvec locks.
 * thp_put_back: the same pages, all back, and unlocked.
 */
bool thp_take(struct page *first, const struct thp_set *have) MM_MUST_CHECK;
void thp_put_back(struct page *first, const struct thp_set *have);

/*
 * thp_to_migration: every entry of the pages from FIRST on, locked, becomes a
 * migration entry, all of a large entry at once; AV[512] gets their trees, for
 * thp_from_migration(). False: some are mapped still. May sleep.
 * thp_from_migration: as remove_migration_ptes() for each of OLD's pages and
 * that of NEW with its contents; large again where they were. AV is given back.
 */
bool thp_to_migration(struct page *first, struct anon_vma **av) MM_MUST_CHECK;
void thp_from_migration(struct page *old, struct page *new,
			struct anon_vma **av);

/* thp_move_gfp: how to ask for a block to move into; it is not worth waiting
 * for. */
static inline gfp_t thp_move_gfp(void)
{
	return ((GFP_HIGHUSER_MOVABLE | __GFP_NOMEMALLOC | __GFP_NOWARN |
		 __GFP_NORETRY) &
		~(__GFP_KSWAPD_RECLAIM | __GFP_HARDWALL));
}

/* try_to_migrate_huge: the part of thp_to_migration() that large entries are.
 * FIRST and the pages after it are locked. May sleep. (migration_entry.c) */
void try_to_migrate_huge(struct page *first);

#endif
