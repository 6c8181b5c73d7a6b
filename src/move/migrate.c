/* SPDX-License-Identifier: MIT */
/*
 * migrate.c - pages to other frames while programs use them.
 *
 * 1. Purpose. Memory that programs use is not where somebody wants it: on a
 * node that is far away, in the middle of a block that shall be free, in a
 * section that is to be unplugged. Its contents go to another frame; nobody who
 * uses them notices, but for a wait.
 *
 * 2. The way of a page.
 *
 *      isolated (off its list, a reference of ours)     isolate_lru_page
 *      locked; not under write-back
 *      a new frame, locked
 *      entries -> migration entries, CPUs flushed       space/migration_entry.c
 *      nobody but us and its place holds it?            cache/migrate_page.c
 *      contents, state, charge, place -> the new frame
 *      migration entries -> the new frame
 *      the new frame on its list, the old one free
 *
 *    If a step fails the entries go back to the old frame, and nothing has
 *    happened. Faults that met a migration entry wait for the old frame's lock.
 *
 * 3. How long it tries. A page that is locked, or that somebody holds a
 *    reference to, may be free of that in a moment: the list is gone through up
 *    to ten times while there is such a page. The first rounds only try locks;
 *    from the third on they are waited for, if the mode permits.
 *
 *      ASYNC        nothing is waited for
 *      SYNC_LIGHT   page locks, but of pages being read
 *      SYNC         the end of write-back, too, and files that cannot move
 *                   dirty pages are written first
 *      SYNC_NO_COPY as SYNC; the owner copies by itself
 *
 *    Who allocates memory (PF_MEMALLOC) never waits for a page lock: it may
 * hold others, which the holder of this one waits for.
 *
 * 4. Frames that are on no list move by their owner's table
 *    (phys/movable_ops.h); PG_isolated marks those that we have taken.
 *
 * 5. Invariants.
 *    MG-1  A page is isolated by one at a time (LRU-2, PG_isolated).
 *    MG-2  Between the first migration entry and the last both frames are
 *          locked; the new one is seen by nobody before it is complete.
 *    MG-3  A failure leaves the page as it was.
 *    MG-4  NR_ISOLATED_* are the pages taken and not yet given back.
 *
 * 6. Locking. Page lock of the old frame, then of the new one, which nobody
 * else knows. Below them what the walks and arrays take.
 *
 * 7. Failure. No new frame: -ENOMEM; held, pinned, locked: the page stays.
 *
 * 8. Rejected. Unmapping many pages before one flush: the flush by range would
 *    be shared by few, since the pages of one list are of many spaces.
 *
 * References: Linux documentation, mm/page_migration; M. Gorman and P. Healy,
 * "Supporting superpage allocation without additional hardware support" (2008).
 */
#include "move/migrate.h"

#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>
#include <mmkit/port.h>

#include "base/trace_ring.h"
#include "cache/filemap.h"
#include "cache/swap.h"
#include "phys/alloc.h"
#include "phys/hwpoison.h"
#include "phys/lru.h"
#include "phys/movable_ops.h"
#include "phys/vmstat.h"
#include "space/ksm.h"
#include "space/rmap.h"
#include "space/space.h"

/* ---- taking and giving back ------------------------------------------------
 */

static void count_isolated(const struct page *page, s64 n)
{
	mod_node_page_state(
		page_zone(page)->zone_pgdat,
		PageSwapBacked(page) ? NR_ISOLATED_ANON : NR_ISOLATED_FILE, n);
}

bool isolate_lru_page(struct page *page)
{
	if (PageCompound(page) || !lru_isolate_page(page))
		return false;
	count_isolated(page, 1);
	return true;
}

/* PAGE, locked, held, is on no list; its owner gives it to us? */
static int isolate_locked(struct page *page, enum migrate_mode mode)
{
	const struct movable_operations *ops = page_movable_ops(page);

	if (!ops || PageIsolated(page) || !ops->isolate_page(page, mode))
		return -EBUSY;
	SetPageIsolated(page);
	return 0;
}

int isolate_movable_page(struct page *page, enum migrate_mode mode)
{
	int err = -EBUSY;

	if (isolate_lru_page(page))
		return 0;
	if (!__PageMovable(page) || PageCompound(page))
		return -EBUSY;
	get_page(page);
	if (trylock_page(page)) {
		err = isolate_locked(page, mode);
		unlock_page(page);
	}
	if (err)
		put_page(page);
	return err;
}

/* PAGE is no LRU page: it was its owner's when it was isolated. */
static void putback_owned(struct page *page)
{
	const struct movable_operations *ops;

	lock_page(page);
	ops = page_movable_ops(page);
	if (ops)
		ops->putback_page(page);
	ClearPageIsolated(page);
	unlock_page(page);
	put_page(page);
}

void putback_movable_page(struct page *page)
{
	if (PageIsolated(page)) {
		putback_owned(page);
		return;
	}
	count_isolated(page, -1);
	lru_putback_page(page);
}

void putback_movable_pages(struct page_list *list)
{
	struct page *page;

	while ((page = page_list_pop(list)))
		putback_movable_page(page);
}

/* ---- one page --------------------------------------------------------------
 */

/* One page on its way. */
struct move {
	struct migrate_control *mc;
	struct page *old, *new;
	bool force; /* locks may be waited for */
};

static bool may_wait_for_lock(const struct move *m)
{
	if (!m->force || m->mc->mode == MIGRATE_ASYNC ||
	    (port_current()->flags & PF_MEMALLOC))
		return false;
	/* Not up to date: locked for a read, which takes long. */
	return m->mc->mode != MIGRATE_SYNC_LIGHT || PageUptodate(m->old);
}

static int lock_old(const struct move *m)
{
	if (trylock_page(m->old))
		return 0;
	if (!may_wait_for_lock(m))
		return -EAGAIN;
	lock_page(m->old);
	return 0;
}

static bool mode_sync(enum migrate_mode mode)
{
	return mode == MIGRATE_SYNC || mode == MIGRATE_SYNC_NO_COPY;
}

/* Old is locked. 0, -EBUSY, -EAGAIN. */
static int wait_written(const struct move *m)
{
	if (!PageWriteback(m->old))
		return 0;
	if (!mode_sync(m->mc->mode))
		return -EBUSY;
	if (!m->force)
		return -EAGAIN;
	wait_on_page_writeback(m->old);
	return 0;
}

/* The file cannot move a dirty page: it is written, and tried again. */
static int write_out(const struct move *m, struct address_space *mapping)
{
	struct writeback_control wbc = {
		.nr_to_write = 1,
		.range_end = INT64_MAX,
		.sync_mode = WB_SYNC_NONE,
		.for_reclaim = true,
	};
	int err;

	if (!mapping->a_ops->writepage)
		return -EBUSY;
	/* The write asks entries whether they are dirty. */
	remove_migration_ptes(m->old, m->old, NULL);
	if (!clear_page_dirty_for_io(m->old))
		return -EAGAIN;
	err = mapping->a_ops->writepage(m->old, &wbc);
	if (err == AOP_WRITEPAGE_ACTIVATE) {
		redirty_page_for_writepage(&wbc, m->old);
		return -EBUSY;
	}
	lock_page(m->old);
	if (err && page_mapping(m->old))
		mapping_set_error(page_mapping(m->old), err);
	return err ? -EBUSY : -EAGAIN;
}

/* A file that does not say how its pages move. */
static int fallback_move(const struct move *m, struct address_space *mapping)
{
	if (PageDirty(m->old))
		return mode_sync(m->mc->mode) ? write_out(m, mapping) : -EBUSY;
	if (PagePrivate(m->old) &&
	    (!mapping->a_ops->releasepage ||
	     !mapping->a_ops->releasepage(m->old, GFP_KERNEL)))
		return mode_sync(m->mc->mode) ? -EAGAIN : -EBUSY;
	return migrate_page(mapping, m->new, m->old, (int)m->mc->mode);
}

/* Both locked, nothing maps old. */
static int move_contents(const struct move *m)
{
	struct address_space *mapping = page_mapping(m->old);

	if (!mapping)
		return migrate_anon_page(m->new, m->old, m->mc->mode);
	if (mapping->a_ops->migratepage)
		return mapping->a_ops->migratepage(mapping, m->new, m->old,
						   (int)m->mc->mode);
	return fallback_move(m, mapping);
}

/* May PAGE, locked, be moved at all? 0, -EBUSY, -EAGAIN. */
static int check_old(const struct page *page)
{
	/* One that was read in vain, or whose holder may write it any time. */
	if (!PageUptodate(page) || PageHWPoison(page) ||
	    page_maybe_dma_pinned(page))
		return -EBUSY;
	/* Between its file and its end: it will be gone. */
	if (!PageAnon(page) && !PageFile(page) && !PageSwapCache(page))
		return -EAGAIN;
	return 0;
}

/* Both locked. 0: new has the contents, and every entry. */
static void trace_moved(const struct move *m)
{
	trace_emit(PAGE_MIGRATE, page_to_pfn(m->old), page_to_pfn(m->new),
		   (u64)m->mc->reason);
}

static int move_locked(const struct move *m)
{
	struct anon_vma *av = NULL;
	int err = check_old(m->old);

	if (err)
		return err;
	if (PageAnon(m->old))
		av = page_get_anon_vma(m->old);
	ksm_page_moving(m->old);
	err = try_to_migrate(m->old) ? move_contents(m) : -EAGAIN;
	if (!err)
		trace_moved(m);
	remove_migration_ptes(m->old, err ? m->old : m->new, av);
	ksm_page_moved(err ? m->old : m->new);
	if (av)
		anon_vma_put(av);
	return err;
}

/* The same for a frame with an owner. -EINVAL: the owner has dropped it. */
static int move_owned(const struct move *m)
{
	const struct movable_operations *ops = page_movable_ops(m->old);
	int err;

	if (!ops)
		return -EINVAL;
	err = ops->migrate_page(m->new, m->old, (int)m->mc->mode);
	if (err)
		return err;
	ClearPageIsolated(m->old);
	trace_moved(m);
	return 0;
}

static int move_into_new(const struct move *m)
{
	int err;

	if (!trylock_page(m->new))
		mm_bug("fresh page %llu is locked",
		       (unsigned long long)page_to_pfn(m->new));
	err = PageIsolated(m->old) ? move_owned(m) : move_locked(m);
	unlock_page(m->new);
	return err;
}

/* The last user of the isolated page went: what is left is our reference. */
static bool drop_unused(struct page *page)
{
	if (PageIsolated(page) || page_count(page) != 1)
		return false;
	ClearPageActive(page);
	ClearPageUnevictable(page);
	return true;
}

/* Old is empty, new is what it was. */
static void finish_moved(const struct move *m)
{
	bool lru = !__PageMovable(m->new);

	if (lru) {
		count_isolated(m->old, -1);
		ClearPageActive(m->old);
		ClearPageUnevictable(m->old);
	}
	/* From here on nobody can find it: it is not given out again. */
	if (m->mc->reason == MR_MEMORY_FAILURE)
		(void)hwpoison_mark(m->old);
	put_page(m->old);
	if (lru)
		lru_putback_page(m->new);
	else
		put_page(m->new);
}

static void drop_new(const struct move *m)
{
	if (m->mc->put_new)
		m->mc->put_new(m->new, m->mc->arg);
	else
		put_page(m->new);
}

/* The page is not on the list. 0: it has gone; else it is still isolated. */
static int unmap_and_move(struct move *m)
{
	int err;

	if (drop_unused(m->old)) {
		count_isolated(m->old, -1);
		if (m->mc->reason == MR_MEMORY_FAILURE)
			(void)hwpoison_mark(m->old);
		put_page(m->old);
		return 0;
	}
	m->new = m->mc->get_new(m->old, m->mc->arg);
	if (!m->new)
		return -ENOMEM;
	err = lock_old(m);
	if (!err) {
		err = wait_written(m);
		if (!err)
			err = move_into_new(m);
		unlock_page(m->old);
	}
	if (err)
		drop_new(m);
	else
		finish_moved(m);
	return err;
}

/* ---- many ------------------------------------------------------------------
 */

/* The wait between two rounds, doubled with each: half a millisecond at the
 * end. */
#define BACK_OFF_NS 1000UL

/* What came of the pages of one round. */
struct round {
	struct page_list again, stay;
};

static void page_ended(struct migrate_control *mc, struct page *page, int err)
{
	if (mc->done)
		mc->done(page, err, mc->arg);
	if (err)
		mc->failed++;
	else
		mc->succeeded++;
}

/* Each page of FROM once. 0, -ENOMEM. */
static int one_round(struct page_list *from, struct migrate_control *mc,
		     int pass, struct round *r)
{
	struct page *page;

	while ((page = page_list_first(from))) {
		struct move m = {mc, page, NULL, pass > 2};
		int err;

		page_list_del(from, page);
		err = unmap_and_move(&m);
		if (!err) {
			page_ended(mc, page, 0);
		} else if (err == -ENOMEM) {
			page_list_add(from, page);
			return err;
		} else if (err == -EAGAIN) {
			page_list_add_tail(&r->again, page);
		} else {
			page_list_add_tail(&r->stay, page);
			page_ended(mc, page, err);
		}
		port_sched_point();
	}
	return 0;
}

static void list_append(struct page_list *to, struct page_list *from)
{
	struct page *page;

	while ((page = page_list_pop(from)))
		page_list_add_tail(to, page);
}

/* All pages of LIST have ended with ERR. */
static void all_ended(struct migrate_control *mc, struct page_list *list,
		      int err)
{
	for (struct page *page = page_list_first(list); page;
	     page = page_list_next(page))
		page_ended(mc, page, err);
}

int migrate_pages(struct page_list *from, struct migrate_control *mc)
{
	u32 good = mc->succeeded, bad = mc->failed;
	int passes = mc->mode == MIGRATE_ASYNC ? NR_MAX_MIGRATE_ASYNC_RETRY
					       : NR_MAX_MIGRATE_PAGES_RETRY;
	struct round r;
	int err = 0;

	trace_emit(MM_MIGRATE_PAGES_START, (u64)mc->mode, (u64)mc->reason);
	page_list_init(&r.stay);
	for (int pass = 0; pass < passes && !err; pass++) {
		page_list_init(&r.again);
		err = one_round(from, mc, pass, &r);
		list_append(from, &r.again);
		if (page_list_empty(from))
			break;
		/* Who holds them needs time to let go. */
		if (pass > 2)
			port_park(BACK_OFF_NS << pass);
	}
	all_ended(mc, from, err ? err : -EAGAIN);
	list_append(from, &r.stay);
	count_vm_events(PGMIGRATE_SUCCESS, mc->succeeded - good);
	count_vm_events(PGMIGRATE_FAIL, mc->failed - bad);
	trace_emit(MM_MIGRATE_PAGES, mc->succeeded - good, mc->failed - bad, 0,
		   0, 0, (u64)mc->mode, (u64)mc->reason);
	return err ? err : (int)(mc->failed - bad);
}

/* ---- where to --------------------------------------------------------------
 */

struct page *migrate_new_page(struct page *page, void *arg)
{
	const struct migrate_target *t = arg;
	int nid = t->nid == NUMA_NO_NODE ? page_to_nid(page) : t->nid;
	gfp_t gfp = (GFP_HIGHUSER_MOVABLE & ~__GFP_HARDWALL) | t->gfp;

	return alloc_pages_nodemask(gfp, 0, nid, t->nodes);
}
