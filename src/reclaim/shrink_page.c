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
 * 3. Invariants.
 *    RC-1  A page is freed only if, with its references frozen, it is clean
 *          and its slot has its contents.
 *    RC-2  A page that cannot be freed is back on a list with all its state,
 *          whatever stage it reached.
 *
 *    RC-3  Nothing is written here for an allocation without __GFP_IO, no
 *          page of a file without __GFP_FS.
 *
 * 4. Failure. No slot, no memory for a bio, a write error: the page stays.
 */
#include <mmkit/page_alloc.h>
#include <mmkit/port.h>

#include "base/assert.h"
#include "cache/swap.h"
#include "phys/vmstat.h"
#include "reclaim/reclaim.h"
#include "space/rmap.h"

enum verdict {
	KEEP,	       /* locked; back to where it came from */
	KEEP_UNLOCKED, /* the same, but unlocked already */
	ACTIVATE,      /* locked; it is in use */
	FREED	       /* references frozen, unlocked, nothing refers to it */
};

/* Did anybody use PAGE since the last look? */
static enum verdict check_references(struct page *page,
				     const struct scan_control *sc,
				     bool *reclaim)
{
	bool page_flag;
	u64 vm_flags;
	int ptes;

	*reclaim = sc->judged;
	if (sc->judged)
		return KEEP;
	ptes = page_referenced(page, true, &vm_flags);
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
static enum verdict judge_writeback(struct page *page, struct scan_control *sc,
				    struct reclaim_stat *stat)
{
	bool again = PageReclaim(page);

	stat->nr_writeback++;
	SetPageReclaim(page);
	if (!again)
		return KEEP;
	stat->nr_immediate++;
	mod_node_page_state(page_zone(page)->zone_pgdat, NR_VMSCAN_IMMEDIATE,
			    1);
	if ((port_current()->flags & PF_KSWAPD) || !(sc->gfp & __GFP_IO) ||
	    (PageFile(page) && !(sc->gfp & __GFP_FS)) ||
	    sc->priority > DEF_PRIORITY - 2)
		return KEEP;
	unlock_page(page);
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
	mod_node_page_state(page_zone(page)->zone_pgdat, NR_VMSCAN_WRITE, 1);
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
static enum verdict judge_lazyfree(struct page *page, struct scan_control *sc,
				   struct reclaim_stat *stat)
{
	mm_assert(!PageSwapCache(page));
	if (page_mapped(page) && !sc->may_unmap)
		return KEEP;
	if (page_mapped(page) && !try_to_unmap(page)) {
		stat->nr_unmap_fail++;
		return ACTIVATE;
	}
	if (PageDirty(page) || !page_ref_freeze(page, 1))
		return KEEP;
	count_vm_event(PGLAZYFREED);
	return FREED;
}

/* PAGE is locked, not under write-back, not referenced. */
static enum verdict judge_cold(struct page *page, struct scan_control *sc,
			       struct reclaim_stat *stat)
{
	if (PageAnon(page) && !PageSwapBacked(page))
		return judge_lazyfree(page, sc, stat);
	if (!PageSwapCache(page)) {
		if (!sc->may_swap || !(sc->gfp & __GFP_IO))
			return KEEP;
		if (!add_to_swap(page))
			return ACTIVATE;
	}
	if (page_mapped(page)) {
		if (!sc->may_unmap)
			return KEEP;
		if (!try_to_unmap(page)) {
			stat->nr_unmap_fail++;
			return ACTIVATE;
		}
	}
	if (PageDirty(page)) {
		/* Somebody holds it beside us: it would not be freed. */
		if (page_count(page) != 2 || !sc->may_writepage)
			return KEEP;
		return pageout(page, stat);
	}
	return remove_mapping(page);
}

/* ---- pages of files --------------------------------------------------------
 */

/*
 * Did anybody use PAGE of a file? *RECLAIM: no; *CLEAN_ONLY: it was read or
 * written once, which is worth keeping it while that would cost a write.
 */
static enum verdict check_file_references(struct page *page,
					  const struct scan_control *sc,
					  bool *reclaim, bool *clean_only)
{
	bool page_flag;
	u64 vm_flags;
	int ptes;

	*reclaim = sc->judged;
	*clean_only = false;
	if (sc->judged)
		return KEEP;
	ptes = page_referenced(page, true, &vm_flags);
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
	mod_node_page_state(page_zone(page)->zone_pgdat, NR_VMSCAN_WRITE, 1);
	stat->nr_pageout++;
	return KEEP_UNLOCKED;
}

/* PAGE is dirty: whose business is that? */
static enum verdict judge_dirty_file(struct page *page, struct scan_control *sc,
				     bool clean_only, struct reclaim_stat *stat)
{
	bool kswapd = (port_current()->flags & PF_KSWAPD) != 0;

	if (!kswapd || !PageReclaim(page) || !node_is_dirty(page)) {
		SetPageReclaim(page);
		mod_node_page_state(page_zone(page)->zone_pgdat,
				    NR_VMSCAN_IMMEDIATE, 1);
		return KEEP;
	}
	if (clean_only || !sc->may_writepage || !(sc->gfp & __GFP_FS) ||
	    page_count(page) != 2)
		return KEEP;
	return pageout_file(page, stat);
}

/* PAGE, locked, of a file, not under write-back. */
static enum verdict judge_file(struct page *page, struct scan_control *sc,
			       struct reclaim_stat *stat)
{
	struct address_space *mapping = page_mapping(page);
	bool reclaim, clean_only;
	enum verdict v;

	if (PageDirty(page)) {
		stat->nr_dirty++;
		stat->nr_unqueued_dirty++;
	}
	v = check_file_references(page, sc, &reclaim, &clean_only);
	if (!reclaim) {
		stat->nr_ref_keep += v == KEEP;
		return v;
	}
	if (page_mapped(page)) {
		if (!sc->may_unmap)
			return KEEP;
		if (!try_to_unmap(page)) {
			stat->nr_unmap_fail++;
			return ACTIVATE;
		}
	}
	if (PageDirty(page))
		return judge_dirty_file(page, sc, clean_only, stat);
	if (PagePrivate(page) && mapping->a_ops->releasepage &&
	    !mapping->a_ops->releasepage(page, sc->gfp))
		return ACTIVATE;
	return filemap_evict(page, 2, true) ? FREED : KEEP;
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
	mod_node_page_state(page_zone(page)->zone_pgdat, NR_VMSCAN_WRITE, 1);
	return KEEP_UNLOCKED;
}

/* PAGE, locked, of a file that has swap for a disk. */
static enum verdict judge_shmem(struct page *page, struct scan_control *sc,
				struct reclaim_stat *stat)
{
	enum verdict v;
	bool reclaim;

	/* SHM_LOCK: it waits where it is looked at least. */
	if (mapping_flag(page_mapping(page), AS_UNEVICTABLE))
		return ACTIVATE;
	v = check_references(page, sc, &reclaim);
	if (!reclaim) {
		stat->nr_ref_keep += v == KEEP;
		return v;
	}
	if (!sc->may_swap || !(sc->gfp & __GFP_IO))
		return KEEP;
	if (page_mapped(page)) {
		if (!sc->may_unmap)
			return KEEP;
		if (!try_to_unmap(page)) {
			stat->nr_unmap_fail++;
			return ACTIVATE;
		}
	}
	/* Somebody holds it beside us: it would not be freed. */
	if (page_count(page) != 2 || !sc->may_writepage)
		return KEEP;
	return pageout_shmem(page, stat);
}

static enum verdict judge_page(struct page *page, struct scan_control *sc,
			       struct reclaim_stat *stat)
{
	enum verdict v;
	bool reclaim;

	if (!trylock_page(page))
		return KEEP_UNLOCKED;
	sc->nr_scanned++;
	mm_verify(!PageActive(page) && !PageLRU(page));
	/* Locked since it was isolated: the way back sorts it out. */
	if (PageMlocked(page)) {
		count_vm_event(UNEVICTABLE_PGSCANNED);
		return KEEP;
	}
	if (page_maybe_dma_pinned(page))
		return ACTIVATE;
	if (PageWriteback(page))
		return judge_writeback(page, sc, stat);
	if (PageFile(page))
		return PageSwapBacked(page) ? judge_shmem(page, sc, stat)
					    : judge_file(page, sc, stat);
	/* A read that failed or has not ended. */
	if (!PageUptodate(page) || !PageAnon(page))
		return PageSwapCache(page) && !page_mapped(page) &&
				       PageUptodate(page)
			       ? judge_cold(page, sc, stat)
			       : KEEP;
	v = check_references(page, sc, &reclaim);
	if (!reclaim) {
		stat->nr_ref_keep += v == KEEP;
		return v;
	}
	return judge_cold(page, sc, stat);
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

u64 shrink_page_list(struct page_list *list, pg_data_t *pgdat,
		     struct scan_control *sc, struct reclaim_stat *stat)
{
	struct page_list keep, freed;
	struct page *page;
	u64 nr;

	(void)pgdat;
	page_list_init(&keep);
	page_list_init(&freed);
	while ((page = page_list_pop_tail(list))) {
		enum verdict v = judge_page(page, sc, stat);

		if (v == FREED) {
			prepare_free(page);
			page_list_add(&freed, page);
			continue;
		}
		/* It stays: slots are too few to keep one for it. */
		if (v == ACTIVATE && PageSwapCache(page) && vm_swap_full())
			(void)try_to_free_swap(page);
		/* What a mapping locks meanwhile is for no list of ours. */
		if (v == ACTIVATE && !PageMlocked(page)) {
			SetPageActive(page);
			stat->nr_activate++;
		}
		if (v != KEEP_UNLOCKED)
			unlock_page(page);
		page_list_add(&keep, page);
		port_sched_point();
	}
	nr = freed.count;
	free_unref_page_list(&freed);
	*list = keep;
	return nr;
}
