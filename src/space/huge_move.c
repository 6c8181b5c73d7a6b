/* SPDX-License-Identifier: MIT */
/*
 * huge_move.c - a huge page leaves its frames as a whole.
 *
 * 1. Purpose. Who moves a huge page to other frames, or writes it to swap,
 *    wants all of it: 512 pages that are on their way at different times would
 *    end as 512 small ones.
 *
 * 2. Way. Its pages are taken first: isolated, locked, in the order of their
 *    frames, without waiting for any of them. If one is not to be had all go
 *    back. A large entry that maps frames of which all are locked keeps mapping
 *    what it maps, or goes: nobody puts something else there.
 *
 *    To move, the table under each large entry becomes 512 migration entries
 *    under one hold of its lock and with one flush (migration_entry.c);
 *    whatever maps single pages of it besides (the child of a fork that wrote,
 *    or unmapped, a part) is found page by page. Afterwards each page's entries
 *    are looked for as after any move, since mappings may have been copied, cut
 *    and moved meanwhile; and tables that are uniform again are promoted.
 *
 * 3. Invariants.
 *    HM-1  All or none: a page that cannot be taken leaves the others where
 *          they were.
 *    HM-2  NR_ISOLATED_ANON counts the pages taken here.
 *
 * 4. Locking. Page locks are tried, in rising order of frames; nobody who holds
 *    one of them waits for another but in that order, and he is not waited for
 *    here. Then as any migration.
 *
 * 5. Failure. None that harms: the huge page stays, or goes in pieces.
 *
 * Reference: Linux documentation, mm/transhuge, mm/page_migration.
 */
#include "space/huge_move.h"

#include "base/trace_ring.h"
#include "cache/swap.h"
#include "phys/lru.h"
#include "phys/mmzone.h"
#include "phys/vmstat.h"
#include "space/huge.h"
#include "space/rmap.h"

struct page *thp_page_at(const struct vm_area_struct *vma, uva_t va)
{
	struct page *first = NULL;
	struct pt_slot slot;
	pte_t e;

	if (thp_region(vma, va) != va || !pt_lookup(&vma->vm_mm->pt, va, &slot))
		return NULL;
	pt_lock_read(&slot);
	e = pt_get(&slot);
	if (pt_promoted(slot.table) && !pte_special(e)) {
		first = pfn_to_page(pte_pfn(e));
		get_page(first);
	}
	pt_unlock(&slot);
	return first;
}

/* ---- taking ----------------------------------------------------------------
 */

static void count_isolated(const struct page *page, s64 n)
{
	mod_node_page_state(page_zone(page)->zone_pgdat, NR_ISOLATED_ANON, n);
}

/* PAGE, whoever's it is, comes off its list. */
static bool isolate_one(struct page *page)
{
	bool isolated;

	if (!get_page_unless_zero(page))
		return false;
	isolated = PageAnon(page) && lru_isolate_page(page);
	put_page(page);
	return isolated;
}

/* Can PAGE, locked and on no list, leave its frame? */
static bool page_fits(struct page *page)
{
	if ((page_mapping_word(page) & PAGE_MAPPING_FLAGS) !=
		    PAGE_MAPPING_ANON ||
	    !PageUptodate(page) || !PageSwapBacked(page) ||
	    PageHWPoison(page) || PageWriteback(page) || PageIsolated(page) ||
	    page_maybe_dma_pinned(page))
		return false;
	return !PageSwapCache(page) || try_to_free_swap(page);
}

static bool take_one(struct page *page, bool have)
{
	if (!have && !isolate_one(page))
		return false;
	if (trylock_page(page)) {
		if (page_fits(page))
			return true;
		unlock_page(page);
	}
	if (!have)
		lru_putback_page(page);
	return false;
}

/* The first N, of which SET is somebody else's to put back. How many went to
 * their lists. */
static u32 put_back(struct page *first, u32 n, const struct thp_set *set)
{
	u32 back = 0;

	for (u32 i = 0; i < n; i++) {
		unlock_page(first + i);
		if (thp_set_has(set, i))
			continue;
		lru_putback_page(first + i);
		back++;
	}
	return back;
}

bool thp_take(struct page *first, const struct thp_set *have)
{
	u32 n = 0, ours = 0;

	mm_assert(IS_ALIGNED(page_to_pfn(first), (u64)HPAGE_PMD_NR));
	for (; n < HPAGE_PMD_NR; n++) {
		if (!take_one(first + n, thp_set_has(have, n)))
			break;
		ours += !thp_set_has(have, n);
	}
	/* By now they are what a large entry maps, or it has gone. */
	if (n < HPAGE_PMD_NR || !page_large_maps(first)) {
		(void)put_back(first, n, have);
		return false;
	}
	count_isolated(first, ours);
	return true;
}

void thp_put_back(struct page *first, const struct thp_set *have)
{
	u32 back = put_back(first, HPAGE_PMD_NR, have);

	count_isolated(first, -(s64)back);
}

/* ---- moving ----------------------------------------------------------------
 */

bool thp_to_migration(struct page *first, struct anon_vma **av)
{
	bool gone = true;

	for (u32 i = 0; i < HPAGE_PMD_NR; i++)
		av[i] = page_get_anon_vma(first + i);
	try_to_migrate_huge(first);
	for (u32 i = 0; i < HPAGE_PMD_NR; i++)
		gone &= try_to_migrate(first + i);
	return gone;
}

/* FIRST's entry at ADDR of VMA: all of the table may be alike again. */
static bool promote_one(struct page *first, struct vm_area_struct *vma,
			uva_t addr, void *arg)
{
	struct mm_struct *mm = vma->vm_mm;
	struct pt_slot slot;

	(void)arg;
	if (thp_region(vma, addr) != addr || !pt_lookup(&mm->pt, addr, &slot))
		return true;
	pt_lock_read(&slot);
	if (!pt_promoted(slot.table) && pte_present(pt_get(&slot)) &&
	    pte_pfn(pt_get(&slot)) == page_to_pfn(first) &&
	    pt_promote(&mm->pt, &slot, addr))
		trace_emit(PAGE_HUGE, page_to_pfn(first), mm->serial, addr,
			   PAGE_HUGE_MOVED);
	pt_unlock(&slot);
	return true;
}

void thp_from_migration(struct page *old, struct page *new,
			struct anon_vma **av)
{
	struct rmap_walk_control rwc = {.rmap_one = promote_one};

	for (u32 i = 0; i < HPAGE_PMD_NR; i++) {
		remove_migration_ptes(old + i, new + i, av[i]);
		if (av[i])
			anon_vma_put(av[i]);
	}
	if (page_mapped(new))
		rmap_walk(new, &rwc);
}
