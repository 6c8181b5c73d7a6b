/* SPDX-License-Identifier: MIT */
/*
 * flusher.c - the daemon that writes dirty pages which nobody is waiting for.
 *
 * Every dirty_writeback_centisecs it looks through the swap caches for pages
 * that are dirty and no longer mapped: their write failed, or reclaim was
 * interrupted between unmapping and writing. It starts their writes, so that
 * they become clean and the next scan can free them. Then come dirty pages of
 * files, by age and number (src/cache/flush.c), for which it also wakes up
 * between its rounds. It also makes deferred frees that are due.
 */
#include <mmkit/page_alloc.h>

#include "base/epoch.h"
#include "cache/swap.h"
#include "policy/policy.h"

/* At most so many writes in a round, so that a failing disk is not flooded. */
#define FLUSH_ROUND 64

/* The first dirty, unmapped page of SI at or after *OFF, with a reference. */
static struct page *next_dirty_of(struct swap_info *si, u64 *off)
{
	struct page *found = NULL;
	void *entry;
	u64 index;

	spin_lock(&si->cache_lock);
	xa_for_each_range(&si->cache, index, entry, *off, UINT64_MAX)
	{
		struct page *page = entry;

		if (xa_is_value(entry) || !PageDirty(page) ||
		    page_mapped(page) || !get_page_unless_zero(page))
			continue;
		found = page;
		*off = index + 1;
		break;
	}
	spin_unlock(&si->cache_lock);
	return found;
}

/* The same for the area TYPE, which may be gone. */
static struct page *next_dirty(u32 type, u64 *off)
{
	struct page *page = NULL;
	struct swap_info *si;

	epoch_enter();
	si = swap_area(type);
	if (si)
		page = next_dirty_of(si, off);
	epoch_exit();
	return page;
}

/* True if a write was started. */
static bool flush_page(struct page *page)
{
	bool started = false;

	if (!trylock_page(page))
		return false;
	if (PageSwapCache(page) && PageUptodate(page) && !page_mapped(page) &&
	    !PageWriteback(page) && TestClearPageDirty(page)) {
		started = swap_writepage(page) == 0;
		if (!started)
			SetPageDirty(page);
	}
	if (!started)
		unlock_page(page);
	return started;
}

static void flush_round(void)
{
	u32 started = 0;

	for (u32 t = 0; t < nr_swap_areas(); t++) {
		struct page *page;
		u64 off = 0;

		while (started < FLUSH_ROUND && (page = next_dirty(t, &off))) {
			started += flush_page(page);
			put_page(page);
		}
	}
}

/* Wait for the next round, or until somebody asks. True: a round is due. */
static bool flusher_sleep(u64 *due)
{
	struct flush_state *fl = &cache_sys.fm.flush;
	u64 ns = READ_ONCE(policy_sys.dirty_writeback_centisecs) * 10000000UL;
	u64 now = port_now_ns();

	/* 0 means off, as Linux's tunable does: look again later. */
	wait_event_timeout(fl->wait,
			   READ_ONCE(policy_sys.stop) ||
				   READ_ONCE(fl->requested),
			   *due > now ? *due - now : 1);
	now = port_now_ns();
	if (now < *due)
		return false;
	*due = now + (ns ? ns : 5000000000UL);
	return ns != 0;
}

static void flusher(void *arg)
{
	u64 ns = READ_ONCE(policy_sys.dirty_writeback_centisecs) * 10000000UL;
	u64 due = port_now_ns() + (ns ? ns : 5000000000UL);

	(void)arg;
	while (!READ_ONCE(policy_sys.stop)) {
		bool periodic = flusher_sleep(&due);

		if (READ_ONCE(policy_sys.stop))
			break;
		if (periodic)
			flush_round();
		(void)wb_do_writeback(periodic);
		epoch_poll();
	}
	port_current()->flags |= PF_EXITING;
}

int flusher_run(void)
{
	WRITE_ONCE(cache_sys.fm.flush.running, true);
	return port_thread_start(&policy_sys.flusher, "flusher", -1, flusher,
				 NULL);
}
