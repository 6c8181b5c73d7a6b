/* SPDX-License-Identifier: MIT */
/*
 * shrink_page.c - judging one page after the other.
 *
 * 1. Purpose. A policy has isolated pages that it thinks are cold. For each:
 *    is it in use after all? can it be unmapped? must it be written first?
 *    does anybody else hold it?
 *
 * 2. Way of an anonymous page.
 *      referenced -> back (active or inactive)
 *      no slot    -> add to the swap cache (dirty)
 *      mapped     -> entries become swap entries, TLBs are flushed
 *      dirty      -> the write starts; back to the list, marked PG_reclaim;
 *                    the end of the write moves it to the list's end
 *      clean      -> references frozen at two (isolation, swap cache), a
 *                    shadow takes its place, the frame is free
 *    Of a page of a file.
 *      used twice, or mapped and used more than once -> active
 *      mapped     -> entries are cleared
 *      dirty      -> marked PG_reclaim and left to the flusher, which writes
 *                    in the file's order; its end moves it to the list's end.
 *                    Only kswapd writes by itself, when it meets such a page
 *                    again and the whole tail is like that (PGDAT_DIRTY)
 *      used once by read(2), and dirty -> back
 *      clean      -> out of its file, a shadow in its place
 *    A page of shmem (swap-backed, of a file) goes the way of an anonymous
 *    one, but its entry goes into the file's array (src/cache/shmem.c).
 *
 *    To tell other CPUs that entries went costs more than all the rest. So the
 *    pages of a list go the first half of their way one after the other, up to
 *    their entries, and wait, locked, with those that were unmapped as well;
 *    then all CPUs are told once, and each goes the second half (settle()).
 *    As long as pages wait nothing is done that could wait for a page's lock,
 *    or for the end of a write: both may want one of them.
 *
 *    A cold page that a large entry maps says that all 512 are cold. They go as
 *    a whole: those that are not on the list are taken off theirs; to swap if
 *    it has as many slots in a row, or to a slower node that has a block. If
 *    one of them is not to be had, or there is no room, the page goes alone,
 *    and the large entry with it.
 *
 *    A cold page of a node that has slower ones beside it goes there instead
 *    (move/demote.c); what finds no room goes the way above.
 *
 * 3. Invariants.
 *    RC-1  A page is freed only if, with its references frozen, it is clean
 *          and its slot has its contents.
 *    RC-2  A page that cannot be freed is back on a list with all its state,
 *          whatever stage it reached.
 *
 *    RC-4  A page whose entries were cleared is written, freed or unlocked only
 *          after the flush of its batch (TLB-2, space/tlb_batch.c).
 *
 *    RC-3  Nothing is written here for an allocation without __GFP_IO, no
 *          page of a file without __GFP_FS.
 *
 * 4. Failure. No slot, no memory for a bio, a write error: the page stays.
 */
#include <mmkit/page_alloc.h>
#include <mmkit/port.h>

#include "base/assert.h"
#include "base/trace_ring.h"
#include "cache/swap.h"
#include "move/move.h"
#include "phys/memory_tiers.h"
#include "phys/vmstat.h"
#include "reclaim/reclaim.h"
#include "space/huge_move.h"
#include "space/rmap.h"

enum verdict {
	KEEP,	       /* locked; back to where it came from */
	KEEP_UNLOCKED, /* the same, but unlocked already */
	ACTIVATE,      /* locked; it is in use */
	DEMOTE,	       /* locked; cold, and there is slower memory */
	UNMAPPED,      /* locked; what is left is for settle() */
	FREED,	       /* references frozen, unlocked, nothing refers to it */
	WENT_WHOLE     /* with its huge page; nobody's business any more */
};

/* One list of pages on its way. */
struct shrink {
	struct scan_control *sc;
	struct reclaim_stat *stat;
	struct tlb_batch tlb;
	struct page_list unmapped; /* locked; CPUs may know entries of them */
	struct page_list keep, freed;
	struct page_list demote; /* unlocked; for a slower node */
	struct page_list *rest;	 /* what is not looked at yet */
	pg_data_t *pgdat;
	u64 moved;	    /* pages that went to slower nodes as a whole */
	struct page *apart; /* of the last huge page that could not */
	bool can_demote;
};

static void settle(struct shrink *s);
static enum verdict judge_whole(struct page *page, struct shrink *s);

static void shrink_begin(struct shrink *s)
{
	tlb_batch_init(&s->tlb);
	page_list_init(&s->unmapped);
	page_list_init(&s->keep);
	page_list_init(&s->freed);
	page_list_init(&s->demote);
}

/* Did anybody use PAGE since the last look? */
static enum verdict check_references(struct page *page, struct shrink *s,
				     bool *reclaim)
{
	bool page_flag;
	u64 vm_flags;
	int ptes;

	*reclaim = s->sc->judged;
	if (s->sc->judged)
		return KEEP;
	ptes = page_referenced_batch(page, true, &vm_flags, &s->tlb);
	page_flag = TestClearPageReferenced(page);
	if (vm_flags & VM_LOCKED)
		return ACTIVATE;
	if (ptes) {
		/* One use since it came: remember it. A second: active. */
		SetPageReferenced(page);
		if (page_flag || ptes > 1)
			return ACTIVATE;
		return KEEP;
	}
	*reclaim = true;
	return KEEP;
}

/* Under write-back already. Kswapd moves on; a direct reclaimer that meets
 * the page a second time has nothing better to do than to wait for it. */
static enum verdict judge_writeback(struct page *page, struct shrink *s)
{
	const struct scan_control *sc = s->sc;
	bool again = PageReclaim(page);

	s->stat->nr_writeback++;
	SetPageReclaim(page);
	if (!again)
		return KEEP;
	s->stat->nr_immediate++;
	mod_node_page_state(page_zone(page)->zone_pgdat, NR_VMSCAN_IMMEDIATE,
			    1);
	if ((port_current()->flags & PF_KSWAPD) || !(sc->gfp & __GFP_IO) ||
	    (PageFile(page) && !(sc->gfp & __GFP_FS)) ||
	    sc->priority > DEF_PRIORITY - 2)
		return KEEP;
	unlock_page(page);
	settle(s);
	wait_on_page_writeback(page);
	return KEEP_UNLOCKED;
}

/* The last step: take it away from the swap cache if nobody else holds it. */
static enum verdict remove_mapping(struct page *page)
{
	void *shadow;

	mm_assert(PageLocked(page) && !page_mapped(page));
	if (!page_ref_freeze(page, 2))
		return KEEP;
	if (PageDirty(page) || PageWriteback(page)) {
		page_ref_unfreeze(page, 2);
		return KEEP;
	}
	shadow = workingset_eviction(page);
	swap_cache_evict(page, shadow);
	return FREED;
}

static void count_write(struct page *page)
{
	mod_node_page_state(page_zone(page)->zone_pgdat, NR_VMSCAN_WRITE, 1);
	trace_emit(MM_VMSCAN_WRITE_FOLIO, page_to_pfn(page),
		   RECLAIM_WB_ASYNC | (PageFile(page) ? RECLAIM_WB_FILE
						      : RECLAIM_WB_ANON));
}

/* Start the write. The page is clean and ours unless somebody wrote since. */
static enum verdict pageout(struct page *page, struct reclaim_stat *stat)
{
	stat->nr_dirty++;
	if (!TestClearPageDirty(page))
		return KEEP;
	SetPageReclaim(page);
	if (swap_writepage(page)) {
		SetPageDirty(page);
		ClearPageReclaim(page);
		return ACTIVATE;
	}
	count_write(page);
	stat->nr_pageout++;
	/* One that was only compressed is clean already. */
	if (PageWriteback(page) || PageDirty(page) || !trylock_page(page))
		return KEEP_UNLOCKED;
	return PageSwapCache(page) && !page_mapped(page) && !PageWriteback(page)
		       ? remove_mapping(page)
		       : KEEP;
}

/*
 * Nobody asked for the contents to be kept (MADV_FREE). A write since then, or
 * somebody who holds the page, makes it an ordinary page again: try_to_unmap()
 * has set PG_swapbacked.
 */
static enum verdict judge_lazyfree(struct page *page, struct shrink *s)
{
	mm_assert(!PageSwapCache(page));
	if (page_mapped(page) && !s->sc->may_unmap)
		return KEEP;
	if (page_mapped(page) && !try_to_unmap(page)) {
		s->stat->nr_unmap_fail++;
		return ACTIVATE;
	}
	if (PageDirty(page) || !page_ref_freeze(page, 1))
		return KEEP;
	count_vm_event(PGLAZYFREED);
	return FREED;
}

/* The entries of PAGE, mapped, go; UNMAPPED, and settle() sees whether all did;
 * or KEEP. */
static enum verdict unmap(struct page *page, struct shrink *s)
{
	if (!s->sc->may_unmap)
		return KEEP;
	/* Some of them may be gone also if not all are: it waits for both. */
	if (!try_to_unmap_batch(page, &s->tlb))
		s->stat->nr_unmap_fail++;
	return UNMAPPED;
}

/* PAGE is anonymous, or a slot's, and nobody's entry; no CPU knows one. */
static enum verdict finish_cold(struct page *page, struct shrink *s)
{
	if (PageDirty(page)) {
		/* Somebody holds it beside us: it would not be freed. */
		if (page_count(page) != 2 || !s->sc->may_writepage)
			return KEEP;
		return pageout(page, s->stat);
	}
	return remove_mapping(page);
}

/* PAGE is locked, not under write-back, not referenced. */
static enum verdict judge_cold(struct page *page, struct shrink *s)
{
	const struct scan_control *sc = s->sc;

	if (PageAnon(page) && !PageSwapBacked(page))
		return judge_lazyfree(page, s);
	if (!PageSwapCache(page) && !s->can_demote &&
	    (!sc->may_swap || !(sc->gfp & __GFP_IO)))
		return KEEP;
	if (unlikely(page_large_maps(page)) && !PageSwapCache(page)) {
		enum verdict v = judge_whole(page, s);

		if (v != KEEP)
			return v;
	}
	if (s->can_demote)
		return DEMOTE;
	if (!PageSwapCache(page) && !add_to_swap(page))
		return ACTIVATE;
	return page_mapped(page) ? unmap(page, s) : finish_cold(page, s);
}

/* ---- pages of files --------------------------------------------------------
 */

/*
 * Did anybody use PAGE of a file? *RECLAIM: no; *CLEAN_ONLY: it was read or
 * written once, which is worth keeping it while that would cost a write.
 */
static enum verdict check_file_references(struct page *page, struct shrink *s,
					  bool *reclaim, bool *clean_only)
{
	bool page_flag;
	u64 vm_flags;
	int ptes;

	*reclaim = s->sc->judged;
	*clean_only = false;
	if (s->sc->judged)
		return KEEP;
	ptes = page_referenced_batch(page, true, &vm_flags, &s->tlb);
	page_flag = TestClearPageReferenced(page);
	*clean_only = page_flag;
	if (vm_flags & VM_LOCKED)
		return ACTIVATE;
	if (ptes) {
		SetPageReferenced(page);
		/* Program text is used by its first reference already. */
		if (page_flag || ptes > 1 || (vm_flags & VM_EXEC))
			return ACTIVATE;
		return KEEP;
	}
	*reclaim = true;
	return KEEP;
}

/* Kswapd found the tail of PAGE's node full of dirty pages of files. */
static bool node_is_dirty(const struct page *page)
{
	return (READ_ONCE(reclaim_sys.node_flags[page_to_nid(page)]) &
		PGDAT_DIRTY) != 0;
}

/* Start the write of PAGE, dirty, ours and the cache's alone. */
static enum verdict pageout_file(struct page *page, struct reclaim_stat *stat)
{
	struct address_space *mapping = page_mapping(page);
	struct writeback_control wbc = {
		.nr_to_write = SWAP_CLUSTER_MAX,
		.range_end = INT64_MAX,
		.sync_mode = WB_SYNC_NONE,
		.for_reclaim = true,
	};
	int err;

	if (!mapping->a_ops->writepage)
		return ACTIVATE;
	if (!clear_page_dirty_for_io(page))
		return KEEP;
	SetPageReclaim(page);
	err = mapping->a_ops->writepage(page, &wbc);
	if (err == AOP_WRITEPAGE_ACTIVATE) {
		ClearPageReclaim(page);
		redirty_page_for_writepage(&wbc, page);
		return ACTIVATE;
	}
	if (err) {
		lock_page(page);
		if (page_mapping(page))
			mapping_set_error(page_mapping(page), err);
		return KEEP;
	}
	count_write(page);
	stat->nr_pageout++;
	return KEEP_UNLOCKED;
}

/* PAGE, of a file, is the flusher's business; its end brings it back to us. */
static enum verdict leave_to_flusher(struct page *page)
{
	SetPageReclaim(page);
	mod_node_page_state(page_zone(page)->zone_pgdat, NR_VMSCAN_IMMEDIATE,
			    1);
	return KEEP;
}

/* Is PAGE, dirty, the flusher's business? */
static bool flusher_writes(const struct page *page)
{
	return !(port_current()->flags & PF_KSWAPD) || !PageReclaim(page) ||
	       !node_is_dirty(page);
}

/* PAGE is dirty, and nobody's entry. */
static enum verdict judge_dirty_file(struct page *page, bool clean_only,
				     struct shrink *s)
{
	const struct scan_control *sc = s->sc;

	if (flusher_writes(page))
		return leave_to_flusher(page);
	if (clean_only || !sc->may_writepage || !(sc->gfp & __GFP_FS) ||
	    page_count(page) != 2)
		return KEEP;
	/* A file system may want locks of other pages. */
	settle(s);
	return pageout_file(page, s->stat);
}

/* PAGE, of a file, is nobody's entry, and no CPU knows one. */
static enum verdict finish_file(struct page *page, struct shrink *s)
{
	struct address_space *mapping = page_mapping(page);

	/* Or by an entry, after it was judged. */
	if (PageDirty(page))
		return leave_to_flusher(page);
	if (PagePrivate(page) && mapping->a_ops->releasepage &&
	    !mapping->a_ops->releasepage(page, s->sc->gfp))
		return ACTIVATE;
	return filemap_evict(page, 2, true) ? FREED : KEEP;
}

/* PAGE, locked, of a file, not under write-back. */
static enum verdict judge_file(struct page *page, struct shrink *s)
{
	struct reclaim_stat *stat = s->stat;
	bool reclaim, clean_only;
	enum verdict v;

	if (PageDirty(page)) {
		stat->nr_dirty++;
		stat->nr_unqueued_dirty++;
	}
	v = check_file_references(page, s, &reclaim, &clean_only);
	if (!reclaim) {
		stat->nr_ref_keep += v == KEEP;
		return v;
	}
	if (s->can_demote)
		return DEMOTE;
	if (!PageDirty(page))
		return page_mapped(page) ? unmap(page, s)
					 : finish_file(page, s);
	if (page_mapped(page)) {
		if (flusher_writes(page))
			return unmap(page, s);
		if (!s->sc->may_unmap)
			return KEEP;
		/* It may be written now, alone: it waits for no batch. */
		if (!try_to_unmap(page)) {
			stat->nr_unmap_fail++;
			return ACTIVATE;
		}
	}
	return judge_dirty_file(page, clean_only, s);
}

/* Start the way of PAGE, of shmem, to swap: SH-2 says that it is dirty. */
static enum verdict pageout_shmem(struct page *page, struct reclaim_stat *stat)
{
	struct writeback_control wbc = {
		.nr_to_write = SWAP_CLUSTER_MAX,
		.range_end = INT64_MAX,
		.sync_mode = WB_SYNC_NONE,
		.for_reclaim = true,
	};
	struct address_space *mapping = page_mapping(page);

	stat->nr_dirty++;
	if (!clear_page_dirty_for_io(page))
		return KEEP;
	SetPageReclaim(page);
	if (mapping->a_ops->writepage(page, &wbc)) {
		ClearPageReclaim(page);
		redirty_page_for_writepage(&wbc, page);
		return ACTIVATE;
	}
	count_write(page);
	return KEEP_UNLOCKED;
}

/* PAGE, of shmem, is nobody's entry, and no CPU knows one. */
static enum verdict finish_shmem(struct page *page, struct shrink *s)
{
	/* Somebody holds it beside us: it would not be freed. */
	if (page_count(page) != 2 || !s->sc->may_writepage)
		return KEEP;
	return pageout_shmem(page, s->stat);
}

/* PAGE, locked, of a file that has swap for a disk. */
static enum verdict judge_shmem(struct page *page, struct shrink *s)
{
	const struct scan_control *sc = s->sc;
	enum verdict v;
	bool reclaim;

	/* SHM_LOCK: it waits where it is looked at least. */
	if (mapping_flag(page_mapping(page), AS_UNEVICTABLE))
		return ACTIVATE;
	v = check_references(page, s, &reclaim);
	if (!reclaim) {
		s->stat->nr_ref_keep += v == KEEP;
		return v;
	}
	if (s->can_demote)
		return DEMOTE;
	if (!sc->may_swap || !(sc->gfp & __GFP_IO))
		return KEEP;
	return page_mapped(page) ? unmap(page, s) : finish_shmem(page, s);
}

static enum verdict judge_page(struct page *page, struct shrink *s)
{
	enum verdict v;
	bool reclaim;

	if (!trylock_page(page))
		return KEEP_UNLOCKED;
	s->sc->nr_scanned++;
	mm_verify(!PageActive(page) && !PageLRU(page));
	/* Locked since it was isolated: the way back sorts it out. */
	if (PageMlocked(page)) {
		count_vm_event(UNEVICTABLE_PGSCANNED);
		return KEEP;
	}
	if (page_maybe_dma_pinned(page))
		return ACTIVATE;
	if (PageWriteback(page))
		return judge_writeback(page, s);
	if (PageFile(page))
		return PageSwapBacked(page) ? judge_shmem(page, s)
					    : judge_file(page, s);
	/* A read that failed or has not ended. */
	if (!PageUptodate(page) || !PageAnon(page))
		return PageSwapCache(page) && !page_mapped(page) &&
				       PageUptodate(page)
			       ? judge_cold(page, s)
			       : KEEP;
	v = check_references(page, s, &reclaim);
	if (!reclaim) {
		s->stat->nr_ref_keep += v == KEEP;
		return v;
	}
	return judge_cold(page, s);
}

/* Everything the frame carried as a page ends here. */
static void prepare_free(struct page *page)
{
	ClearPageReferenced(page);
	ClearPageUptodate(page);
	ClearPageSwapBacked(page);
	ClearPageReclaim(page);
	ClearPageReadahead(page);
	ClearPageWorkingset(page);
	ClearPageError(page);
	ClearPageMappedToDisk(page);
	set_page_mapping_word(page, 0);
	unlock_page(page);
}

/* PAGE goes where V says; not UNMAPPED. */
static void dispose(struct shrink *s, struct page *page, enum verdict v)
{
	trace_emit(PAGE_VERDICT, page_to_pfn(page), (u64)v);
	if (v == FREED) {
		prepare_free(page);
		page_list_add(&s->freed, page);
		return;
	}
	if (v == DEMOTE) {
		unlock_page(page);
		page_list_add(&s->demote, page);
		return;
	}
	/* It stays: slots are too few to keep one for it. */
	if (v == ACTIVATE && PageSwapCache(page) && page_swap_full(page))
		(void)try_to_free_swap(page);
	/* What a mapping locks meanwhile is for no list of ours. */
	if (v == ACTIVATE && !PageMlocked(page)) {
		SetPageActive(page);
		s->stat->nr_activate++;
	}
	if (v != KEEP_UNLOCKED)
		unlock_page(page);
	page_list_add(&s->keep, page);
}

/* PAGE was unmapped, and no CPU knows its entries any more. */
static enum verdict finish(struct page *page, struct shrink *s)
{
	if (page_mapped(page))
		return ACTIVATE;
	if (!PageFile(page))
		return finish_cold(page, s);
	return PageSwapBacked(page) ? finish_shmem(page, s)
				    : finish_file(page, s);
}

/* All that wait for a flush go the rest of their way. */
static void settle(struct shrink *s)
{
	struct page *page;

	tlb_batch_flush(&s->tlb);
	while ((page = page_list_pop_tail(&s->unmapped))) {
		dispose(s, page, finish(page, s));
		port_sched_point();
	}
}

/* ---- huge pages as a whole -------------------------------------------------
 */

/* Which of the 512 pages from FIRST on are S's by now: PAGE, and those of the
 * list that it has not looked at, which leave it. */
static void whole_ours(struct shrink *s, struct page *first, struct page *page,
		       struct thp_set *have)
{
	struct page *p = page_list_first(s->rest), *next;

	*have = (struct thp_set){0};
	thp_set_add(have, (u32)(page - first));
	for (; p; p = next) {
		u64 i = (u64)(p - first);

		next = page_list_next(p);
		if (p < first || i >= HPAGE_PMD_NR)
			continue;
		page_list_del(s->rest, p);
		thp_set_add(have, (u32)i);
	}
}

/* Are all pages from FIRST on, taken, of the same lists, and none locked in
 * memory? They are not in use, then. */
static bool whole_alike(struct page *first)
{
	for (u32 i = 0; i < HPAGE_PMD_NR; i++)
		if (page_lruvec(first + i) != page_lruvec(first) ||
		    PageMlocked(first + i))
			return false;
	for (u32 i = 0; i < HPAGE_PMD_NR; i++)
		ClearPageActive(first + i);
	return true;
}

/* The pages of HAVE, unlocked, but for PAGE, are to be looked at again. */
static void whole_return(struct shrink *s, struct page *first,
			 const struct page *page, const struct thp_set *have)
{
	for (u32 i = 0; i < HPAGE_PMD_NR; i++)
		if (thp_set_has(have, i) && first + i != page)
			page_list_add_tail(s->rest, first + i);
}

/* How many of the 512 are not in HAVE. */
static u64 whole_beside(const struct thp_set *have)
{
	u64 n = HPAGE_PMD_NR;

	for (u32 i = 0; i < HPAGE_PMD_NR; i++)
		n -= thp_set_has(have, i);
	return n;
}

/* A slower node gets the huge page FIRST, taken. */
static bool whole_demote(struct shrink *s, struct page *first)
{
	if (!demote_huge_page(first, s->pgdat))
		return false;
	s->moved += HPAGE_PMD_NR;
	return true;
}

/* The pages from FIRST on, taken, have slots: each goes its way from there.
 * What stays goes back, those of HAVE with S's. */
static void whole_swap(struct shrink *s, struct page *first,
		       const struct thp_set *have)
{
	struct shrink w = {.sc = s->sc, .stat = s->stat, .rest = s->rest};
	struct page *page;

	shrink_begin(&w);
	for (u32 i = 0; i < HPAGE_PMD_NR; i++) {
		enum verdict v = unmap(first + i, &w);

		if (v == UNMAPPED)
			page_list_add(&w.unmapped, first + i);
		else
			dispose(&w, first + i, v);
		if (w.unmapped.count == SWAP_CLUSTER_MAX)
			settle(&w);
	}
	settle(&w);
	while ((page = page_list_pop(&w.freed)))
		page_list_add(&s->freed, page);
	while ((page = page_list_pop_tail(&w.keep))) {
		if (thp_set_has(have, (u32)(page - first)))
			page_list_add(&s->keep, page);
		else
			lru_putback_page(page);
	}
}

/* FIRST and the pages after it, taken, go to a slower node or to swap. */
static bool whole_go(struct shrink *s, struct page *first,
		     const struct thp_set *have)
{
	if (s->can_demote)
		return whole_demote(s, first);
	if (!s->sc->may_unmap || !add_block_to_swap(first)) {
		count_vm_event(THP_SWPOUT_FALLBACK);
		return false;
	}
	count_vm_event(THP_SWPOUT);
	whole_swap(s, first, have);
	return true;
}

/*
 * PAGE, locked and cold, of a huge page: so all of it is, since one accessed
 * bit was shared out to all. WENT_WHOLE; KEEP: it may go alone, locked yet;
 * KEEP_UNLOCKED.
 */
static enum verdict judge_whole(struct page *page, struct shrink *s)
{
	struct page *first = page - page_to_pfn(page) % HPAGE_PMD_NR;
	pg_data_t *pgdat = page_zone(page)->zone_pgdat;
	struct thp_set have;
	u64 beside;

	if (first == s->apart)
		return KEEP;
	s->apart = first;
	unlock_page(page);
	whole_ours(s, first, page, &have);
	if (thp_take(first, &have)) {
		beside = whole_beside(&have);
		if (whole_alike(first) && whole_go(s, first, &have)) {
			mod_node_page_state(pgdat, NR_ISOLATED_ANON,
					    -(s64)beside);
			s->stat->nr_beside += beside;
			s->sc->nr_scanned += HPAGE_PMD_NR - 1;
			return WENT_WHOLE;
		}
		thp_put_back(first, &have);
	}
	whole_return(s, first, page, &have);
	/* Somebody else may be at it. */
	return trylock_page(page) ? KEEP : KEEP_UNLOCKED;
}

/* Each page of LIST, which is empty then. */
static void judge_list(struct shrink *s, struct page_list *list)
{
	struct page *page;

	s->rest = list;
	while ((page = page_list_pop_tail(list))) {
		enum verdict v = judge_page(page, s);

		if (v == UNMAPPED)
			page_list_add(&s->unmapped, page);
		else if (v != WENT_WHOLE)
			dispose(s, page, v);
		if (s->unmapped.count == SWAP_CLUSTER_MAX)
			settle(s);
		port_sched_point();
	}
	settle(s);
}

bool scan_can_demote(const pg_data_t *pgdat, const struct scan_control *sc)
{
	return !sc->no_demotion && !sc->target &&
	       numa_can_demote(pgdat->node_id);
}

u64 shrink_page_list(struct page_list *list, pg_data_t *pgdat,
		     struct scan_control *sc, struct reclaim_stat *stat)
{
	struct shrink s = {.sc = sc,
			   .stat = stat,
			   .pgdat = pgdat,
			   .can_demote = scan_can_demote(pgdat, sc)};
	u64 nr = 0;

	shrink_begin(&s);
	judge_list(&s, list);
	if (s.demote.count) {
		nr = demote_page_list(&s.demote, pgdat);
		/* For the rest there is no room below. */
		s.can_demote = false;
		judge_list(&s, &s.demote);
	}
	nr += s.freed.count + s.moved;
	free_unref_page_list(&s.freed);
	*list = s.keep;
	return nr;
}
