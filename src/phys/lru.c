/* SPDX-License-Identifier: MIT */
/*
 * lru.c - storage of the LRU lists and the ways onto and off them.
 *
 * 1. Purpose. Every page that reclaim may take waits on one of five lists of
 *    its node: inactive and active, anonymous and file, and unevictable. This
 *    file keeps lists and counters; the order in them is the policy's.
 *
 * 2. Structures. lists[] are page_lists, so a page's position costs the two
 *    links in struct page. A per-CPU batch of fifteen pages stands in front,
 *    so that the lruvec lock is taken once for many pages.
 *
 * 3. Invariants.
 *    LRU-1  PG_lru is set exactly while the page is on a list of the lruvec
 *           page_lruvec() names, and page_lru() names the list.
 *    LRU-2  Whoever clears PG_lru (an atomic test-and-clear) is the one who
 *           takes the page off; all others leave it alone. A page in a batch
 *           or isolated has PG_lru clear.
 *    LRU-3  PG_active and PG_unevictable change only with PG_lru clear or
 *           under the lruvec lock: they choose the list.
 *    LRU-4  zone_nr[] of a list add up to its length. Node and zone counters
 *           of lists are these two; there are no others.
 *
 * 4. Locking. batch lock -> (dropped) -> lruvec lock, with interrupts off: the
 *    completion of a write rotates its page.
 *
 * 5. Failure. Nothing here allocates, so nothing fails.
 *
 * 6. Rejected. Batches for activation and deactivation as well: measured use
 *    comes from reclaim, which holds the lock for many pages anyway.
 *
 * References: M. Gorman, "Understanding the Linux Virtual Memory Manager",
 * chapter 10; Linux documentation, mm/page_reclaim and mm/unevictable-lru.
 */
#include "phys/lru.h"

#include "phys/mmzone.h"
#include "phys/phys.h"
#include "phys/vmstat.h"

void lru_init(void)
{
	phys_sys.lru.ops = NULL;
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
		spin_lock_init(&phys_sys.lru.add[cpu].lock, LOCK_CLASS_PCP);
		phys_sys.lru.add[cpu].nr = 0;
	}
}

void lruvec_init(struct lruvec *lruvec, struct pglist_data *pgdat)
{
	spin_lock_init(&lruvec->lock, LOCK_CLASS_LRUVEC);
	for (int l = 0; l < NR_LRU_LISTS; l++)
		page_list_init(&lruvec->lists[l]);
	lruvec->anon_cost = lruvec->file_cost = 0;
	lruvec->nonresident_age = 0;
	lruvec->refaults[0] = lruvec->refaults[1] = 0;
	MM_STATIC_ASSERT(LRU_NR_ZONES == MAX_NR_ZONES, "a row for each zone");
	for (int zt = 0; zt < LRU_NR_ZONES; zt++)
		for (int l = 0; l < NR_LRU_LISTS; l++)
			lruvec->zone_nr[zt][l] = 0;
	lruvec->pgdat = pgdat;
}

void lru_register(const struct lru_ops *ops)
{
	mm_verify(ops && ops->add && ops->del && ops->activate);
	phys_sys.lru.ops = ops;
}

const struct lru_ops *lru_policy(void)
{
	return phys_sys.lru.ops;
}

static inline struct lruvec *lruvec_of(const struct page *page)
{
	return &page_zone(page)->zone_pgdat->lruvec;
}

struct lruvec *page_lruvec(const struct page *page)
{
	return lruvec_of(page);
}

enum lru_list page_lru(const struct page *page)
{
	u32 flags = READ_ONCE(page->flags);
	enum lru_list lru = LRU_INACTIVE_ANON;

	if (flags & BIT(PG_unevictable))
		return LRU_UNEVICTABLE;
	if (!(flags & BIT(PG_swapbacked)))
		lru = LRU_INACTIVE_FILE;
	if (flags & BIT(PG_active))
		lru += LRU_ACTIVE;
	return lru;
}

static inline void lru_count(struct lruvec *lruvec, const struct page *page,
			     enum lru_list lru, long n)
{
	u64 *nr = &lruvec->zone_nr[page_zone_idx(page)][lru];

	WRITE_ONCE(*nr, *nr + (u64)n);
}

void lruvec_add_page(struct lruvec *lruvec, struct page *page)
{
	enum lru_list lru = page_lru(page);

	assert_spin_locked(&lruvec->lock);
	mm_assert(!PageBuddy(page));
	page_list_add(&lruvec->lists[lru], page);
	lru_count(lruvec, page, lru, 1);
}

void lruvec_add_page_tail(struct lruvec *lruvec, struct page *page)
{
	enum lru_list lru = page_lru(page);

	assert_spin_locked(&lruvec->lock);
	mm_assert(!PageBuddy(page));
	page_list_add_tail(&lruvec->lists[lru], page);
	lru_count(lruvec, page, lru, 1);
}

void lruvec_del_page(struct lruvec *lruvec, struct page *page)
{
	enum lru_list lru = page_lru(page);

	assert_spin_locked(&lruvec->lock);
	page_list_del(&lruvec->lists[lru], page);
	lru_count(lruvec, page, lru, -1);
}

u64 lruvec_size(const struct lruvec *lruvec, enum lru_list lru)
{
	return READ_ONCE(lruvec->lists[lru].count);
}

void lru_judge_evictable(struct page *page)
{
	mm_assert(PageLRU(page));
	if (PageMlocked(page) && !PageUnevictable(page)) {
		ClearPageActive(page);
		SetPageUnevictable(page);
		count_vm_event(UNEVICTABLE_PGCULLED);
	} else if (!PageMlocked(page) && PageUnevictable(page)) {
		ClearPageUnevictable(page);
		count_vm_event(UNEVICTABLE_PGRESCUED);
	}
}

/* PAGE is on no list, and PG_lru is set now. */
static void lru_place(struct lruvec *lruvec, struct page *page)
{
	const struct lru_ops *ops = phys_sys.lru.ops;
	u32 was = page_flags_set(page, BIT(PG_lru));

	mm_verify(!(was & BIT(PG_lru)));
	if (unlikely(was & (BIT(PG_mlocked) | BIT(PG_unevictable))))
		lru_judge_evictable(page);
	if (ops)
		ops->add(lruvec, page);
	else
		lruvec_add_page(lruvec, page);
}

static void lru_unplace(struct lruvec *lruvec, struct page *page)
{
	const struct lru_ops *ops = phys_sys.lru.ops;

	if (ops)
		ops->del(lruvec, page);
	else
		lruvec_del_page(lruvec, page);
}

/* Move PAGES to their lists, locking each lruvec once per run of its pages. */
static void lru_add_pages(struct page **pages, u32 nr)
{
	struct lruvec *locked = NULL;
	unsigned long flags = 0;

	for (u32 i = 0; i < nr; i++) {
		struct lruvec *lruvec = lruvec_of(pages[i]);

		if (unlikely(lruvec != locked)) {
			if (locked)
				spin_unlock_irqrestore(&locked->lock, flags);
			spin_lock_irqsave(&lruvec->lock, flags);
			locked = lruvec;
		}
		lru_place(lruvec, pages[i]);
	}
	if (locked)
		spin_unlock_irqrestore(&locked->lock, flags);
	release_pages(pages, nr);
}

/* Empty batch B. The pages are copied out: the two locks are never nested. */
static void lru_batch_drain(struct lru_batch *b)
{
	struct page *pages[LRU_BATCH];
	u32 nr;

	if (!READ_ONCE(b->nr))
		return;
	spin_lock(&b->lock);
	nr = b->nr;
	for (u32 i = 0; i < nr; i++)
		pages[i] = b->pages[i];
	WRITE_ONCE(b->nr, 0);
	spin_unlock(&b->lock);
	lru_add_pages(pages, nr);
}

void lru_cache_add(struct page *page)
{
	struct page *pages[LRU_BATCH];
	struct lru_batch *b;
	u32 nr = 0;

	mm_verify(!PageLRU(page));
	get_page(page);
	preempt_disable();
	b = &phys_sys.lru.add[port_cpu()];
	spin_lock(&b->lock);
	mm_verify(b->nr < LRU_BATCH);
	b->pages[b->nr] = page;
	WRITE_ONCE(b->nr, b->nr + 1);
	if (b->nr == LRU_BATCH) {
		nr = b->nr;
		for (u32 i = 0; i < nr; i++)
			pages[i] = b->pages[i];
		WRITE_ONCE(b->nr, 0);
	}
	spin_unlock(&b->lock);
	preempt_enable();
	if (nr)
		lru_add_pages(pages, nr);
}

void lru_add_drain(void)
{
	struct lru_batch *b;

	preempt_disable();
	b = &phys_sys.lru.add[port_cpu()];
	preempt_enable();
	/* The batch has its own lock, so a migration here is harmless. */
	lru_batch_drain(b);
}

void lru_add_drain_all(void)
{
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
		lru_batch_drain(&phys_sys.lru.add[cpu]);
}

void activate_page(struct page *page)
{
	struct lruvec *lruvec = page_lruvec(page);
	unsigned long flags;

	spin_lock_irqsave(&lruvec->lock, flags);
	if (PageLRU(page) && !PageActive(page) && !PageUnevictable(page)) {
		if (phys_sys.lru.ops) {
			phys_sys.lru.ops->activate(lruvec, page);
		} else {
			lruvec_del_page(lruvec, page);
			SetPageActive(page);
			lruvec_add_page(lruvec, page);
		}
		count_vm_event(PGACTIVATE);
	}
	spin_unlock_irqrestore(&lruvec->lock, flags);
}

void mark_page_accessed(struct page *page)
{
	if (!PageReferenced(page)) {
		SetPageReferenced(page);
		return;
	}
	if (PageUnevictable(page) || PageActive(page))
		return;
	/* Still in this CPU's batch? Bring it to its list first. */
	if (!PageLRU(page))
		lru_add_drain();
	activate_page(page);
	ClearPageReferenced(page);
}

bool lru_isolate_page(struct page *page)
{
	struct lruvec *lruvec = page_lruvec(page);
	unsigned long flags;

	mm_verify(page_count(page) > 0);
	if (!TestClearPageLRU(page))
		return false;
	get_page(page);
	spin_lock_irqsave(&lruvec->lock, flags);
	lru_unplace(lruvec, page);
	spin_unlock_irqrestore(&lruvec->lock, flags);
	return true;
}

void lru_putback_page(struct page *page)
{
	lru_cache_add(page);
	put_page(page);
}

void lru_deactivate_page(struct page *page)
{
	if (PageUnevictable(page) || !lru_isolate_page(page))
		return;
	if (TestClearPageActive(page))
		count_vm_event(PGDEACTIVATE);
	ClearPageReferenced(page);
	lru_putback_page(page);
}

void lru_lazyfree_page(struct page *page)
{
	if (PageUnevictable(page) || PageSwapCache(page) ||
	    !PageSwapBacked(page) || !lru_isolate_page(page))
		return;
	ClearPageActive(page);
	ClearPageReferenced(page);
	/* Not on a list now: it is what chooses the next one (LRU-3). */
	ClearPageSwapBacked(page);
	count_vm_event(PGLAZYFREE);
	lru_putback_page(page);
}

void lru_rotate_reclaimable(struct page *page)
{
	struct lruvec *lruvec = page_lruvec(page);
	unsigned long flags;

	spin_lock_irqsave(&lruvec->lock, flags);
	if (PageLRU(page) && !PageActive(page) && !PageUnevictable(page) &&
	    !PageDirty(page)) {
		if (phys_sys.lru.ops && phys_sys.lru.ops->rotate) {
			phys_sys.lru.ops->rotate(lruvec, page);
		} else {
			lruvec_del_page(lruvec, page);
			lruvec_add_page_tail(lruvec, page);
		}
		count_vm_event(PGROTATED);
	}
	spin_unlock_irqrestore(&lruvec->lock, flags);
}

/* PAGE, which has no reference, leaves the list that it is on. Lock held. */
static void release_locked(struct lruvec *lruvec, struct page *page)
{
	u32 gone = BIT(PG_lru) | BIT(PG_active) | BIT(PG_unevictable);

	mm_verify(PageLRU(page) && page_count(page) == 0);
	lru_unplace(lruvec, page);
	page_flags_clear(page, gone);
}

void lru_page_release(struct page *page)
{
	struct lruvec *lruvec = lruvec_of(page);
	unsigned long flags;

	if (!PageLRU(page))
		return;
	spin_lock_irqsave(&lruvec->lock, flags);
	release_locked(lruvec, page);
	spin_unlock_irqrestore(&lruvec->lock, flags);
}

/* Pages that one hold of the lock, with interrupts off, takes off. */
#define RELEASE_HOLD 32u

void lru_release_pages(struct page **pages, u32 nr)
{
	struct lruvec *locked = NULL;
	unsigned long flags = 0;
	u32 held = 0;

	for (u32 i = 0; i < nr; i++) {
		struct lruvec *lruvec = lruvec_of(pages[i]);

		if (!PageLRU(pages[i]))
			continue;
		if (unlikely(lruvec != locked || held == RELEASE_HOLD)) {
			if (locked)
				spin_unlock_irqrestore(&locked->lock, flags);
			spin_lock_irqsave(&lruvec->lock, flags);
			locked = lruvec;
			held = 0;
		}
		release_locked(lruvec, pages[i]);
		held++;
	}
	if (locked)
		spin_unlock_irqrestore(&locked->lock, flags);
}

/* One list: links both ways, count, and each page names this list. */
static void lru_check_list(const struct lruvec *lruvec, enum lru_list lru)
{
	const struct page_list *l = &lruvec->lists[lru];
	u64 of_zone[LRU_NR_ZONES] = {0};
	u32 prev = PFN_NONE;
	u64 n = 0;

	for (const struct page *p = page_list_first(l); p;
	     p = page_list_next(p)) {
		mm_verify(p->prev == prev);
		mm_verify(!PageBuddy(p));
		mm_verify(page_lru(p) == lru);
		mm_verify(page_lruvec(p) == lruvec);
		prev = (u32)page_to_pfn(p);
		of_zone[page_zone_idx(p)]++;
		n++;
	}
	mm_verify(l->tail == prev);
	mm_verify(l->count == n);
	for (int zt = 0; zt < LRU_NR_ZONES; zt++)
		mm_verify(of_zone[zt] == lruvec->zone_nr[zt][lru]);
}

void lru_check(struct lruvec *lruvec)
{
	unsigned long flags;

	spin_lock_irqsave(&lruvec->lock, flags);
	for (int l = 0; l < NR_LRU_LISTS; l++)
		lru_check_list(lruvec, (enum lru_list)l);
	spin_unlock_irqrestore(&lruvec->lock, flags);
}
