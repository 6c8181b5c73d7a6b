/* SPDX-License-Identifier: MIT */
/*
 * lru.c - storage of the LRU lists and the ways onto and off them.
 *
 * 1. Purpose. Every page that reclaim may take waits on one of five lists of
 *    its node and group: inactive and active, anonymous and file, unevictable.
 * This file keeps lists and counters; the order in them is the policy's.
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
 *           of lists are these two, and lru_grouped, the sum of those of all
 *           groups; there are no others.
 *    LRU-6  A page whose policy byte is LRU_BYTE_MOVING stands on moving, and
 *           only such do.
 *    LRU-5  page_lruvec() of a page is the same from its charge to its end: a
 *           page never changes its group.
 *
 * 3a. Exchange of the policy. An lruvec gets next_ops, and then, EXCHANGE_HOLD
 *    pages with each hold of its lock: (1) while next_ops is set the old
 *    policy's pages go to the list moving, and so does every page that comes;
 *    when the old one has none, next_ops becomes ops; (2) pages of moving go
 *    to the new policy, and those that come do at once. Both policies see a
 *    part of the pages meanwhile; the scan that would find too few helps to
 *    finish first. A page on moving can be isolated, freed, activated and
 *    rotated as on any list. It counts as its flags say.
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

#include "base/trace_ring.h"

#include "phys/group.h"
#include "phys/mmzone.h"
#include "phys/phys.h"
#include "phys/vmstat.h"

void lru_init(int cpus)
{
	phys_sys.lru.ops = NULL;
	spin_lock_init(&phys_sys.lru.all_lock, LOCK_CLASS_LRU_ALL);
	INIT_LIST_HEAD(&phys_sys.lru.all);
	for (int cpu = 0; cpu < cpus; cpu++) {
		spin_lock_init(&phys_sys.lru_add[cpu].lock, LOCK_CLASS_PCP);
		phys_sys.lru_add[cpu].nr = 0;
		phys_sys.lru_add[cpu].full = LRU_BATCH;
	}
	spin_lock_init(&phys_sys.lru.disable_lock, LOCK_CLASS_LRU_DISABLE);
	phys_sys.lru.disabled = 0;
}

/* LRUVEC, without evictable pages, is OPS's from now on. */
static void lruvec_adopt(struct lruvec *lruvec, const struct lru_ops *ops)
{
	if (lruvec->ops && lruvec->ops->exit)
		lruvec->ops->exit(lruvec);
	for (u32 i = 0; i < ARRAY_SIZE(lruvec->room); i++)
		WRITE_ONCE(lruvec->room[i], 0);
	WRITE_ONCE(lruvec->ops, ops);
	if (ops && ops->init)
		ops->init(lruvec);
}

void lruvec_init(struct lruvec *lruvec, struct pglist_data *pgdat,
		 struct page_group *group)
{
	unsigned long flags;

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
	lruvec->group = group;
	lruvec->ops = lruvec->next_ops = NULL;
	page_list_init(&lruvec->moving);
	spin_lock_irqsave(&phys_sys.lru.all_lock, flags);
	list_add_tail(&lruvec->all, &phys_sys.lru.all);
	lruvec_adopt(lruvec, phys_sys.lru.ops);
	spin_unlock_irqrestore(&phys_sys.lru.all_lock, flags);
}

void lruvec_exit(struct lruvec *lruvec)
{
	unsigned long flags;

	for (int l = 0; l < NR_LRU_LISTS; l++)
		mm_verify(lruvec_size(lruvec, (enum lru_list)l) == 0);
	spin_lock_irqsave(&phys_sys.lru.all_lock, flags);
	list_del(&lruvec->all);
	if (lruvec->ops && lruvec->ops->exit)
		lruvec->ops->exit(lruvec);
	spin_unlock_irqrestore(&phys_sys.lru.all_lock, flags);
}

const struct lru_ops *lru_policy(void)
{
	return phys_sys.lru.ops;
}

static inline struct lruvec *lruvec_of(const struct page *page)
{
	struct pglist_data *pgdat = page_zone(page)->zone_pgdat;
	u16 group = page_group(page);

	if (likely(!group))
		return &pgdat->lruvec;
	return group_lruvec(group_of_id(group), pgdat);
}

struct lruvec *page_lruvec(const struct page *page)
{
	return lruvec_of(page);
}

void lru_note_cost(struct lruvec *lruvec, bool file, u64 n)
{
	u64 *mine = file ? &lruvec->file_cost : &lruvec->anon_cost, sum = 0;
	unsigned long flags;
	int l;

	spin_lock_irqsave(&lruvec->lock, flags);
	WRITE_ONCE(*mine, *mine + n);
	for_each_evictable_lru(l) sum += lruvec_size(lruvec, (enum lru_list)l);
	if (lruvec->file_cost + lruvec->anon_cost > sum / 4) {
		WRITE_ONCE(lruvec->file_cost, lruvec->file_cost / 2);
		WRITE_ONCE(lruvec->anon_cost, lruvec->anon_cost / 2);
	}
	spin_unlock_irqrestore(&lruvec->lock, flags);
}

static inline enum lru_list flags_lru(u32 flags)
{
	u32 file = ~flags >> PG_swapbacked & 1, active = flags >> PG_active & 1;

	if (unlikely(flags & 1u << PG_unevictable))
		return LRU_UNEVICTABLE;
	return (enum lru_list)(file * LRU_FILE + active * LRU_ACTIVE);
}

enum lru_list page_lru(const struct page *page)
{
	return flags_lru(READ_ONCE(page->flags));
}

static inline void zone_lru_count(struct lruvec *lruvec, int zt,
				  enum lru_list lru, long n)
{
	u64 *nr = &lruvec->zone_nr[zt][lru];

	WRITE_ONCE(*nr, *nr + (u64)n);
	if (unlikely(lruvec->group))
		__atomic_fetch_add(&lruvec->pgdat->lru_grouped[zt][lru], n,
				   __ATOMIC_RELAXED);
}

static inline void lru_count(struct lruvec *lruvec, const struct page *page,
			     enum lru_list lru, long n)
{
	zone_lru_count(lruvec, page_zone_idx(page), lru, n);
}

void lruvec_count(struct lruvec *lruvec, int zt, enum lru_list lru, long n)
{
	assert_spin_locked(&lruvec->lock);
	zone_lru_count(lruvec, zt, lru, n);
}

u64 zone_lru_pages(const struct pglist_data *pgdat, int zt, enum lru_list lru)
{
	s64 n = READ_ONCE(pgdat->lru_grouped[zt][lru]);

	return READ_ONCE(pgdat->lruvec.zone_nr[zt][lru]) + (u64)max(n, (s64)0);
}

u64 node_lru_pages(const struct pglist_data *pgdat, enum lru_list lru)
{
	s64 n = 0;

	for (int zt = 0; zt < MAX_NR_ZONES; zt++)
		n += READ_ONCE(pgdat->lru_grouped[zt][lru]);
	return lruvec_size(&pgdat->lruvec, lru) + (u64)max(n, (s64)0);
}

void lruvec_add_page(struct lruvec *lruvec, struct page *page)
{
	enum lru_list lru = flags_lru(READ_ONCE(page->flags));

	assert_spin_locked(&lruvec->lock);
	mm_assert(!PageBuddy(page));
	page_list_add(&lruvec->lists[lru], page);
	lru_count(lruvec, page, lru, 1);
}

void lruvec_add_page_tail(struct lruvec *lruvec, struct page *page)
{
	enum lru_list lru = flags_lru(READ_ONCE(page->flags));

	assert_spin_locked(&lruvec->lock);
	mm_assert(!PageBuddy(page));
	page_list_add_tail(&lruvec->lists[lru], page);
	lru_count(lruvec, page, lru, 1);
}

void lruvec_del_page(struct lruvec *lruvec, struct page *page)
{
	enum lru_list lru = flags_lru(READ_ONCE(page->flags));

	assert_spin_locked(&lruvec->lock);
	page_list_del(&lruvec->lists[lru], page);
	lru_count(lruvec, page, lru, -1);
}

void lruvec_own_add(struct lruvec *lruvec, struct page_list *list,
		    struct page *page)
{
	assert_spin_locked(&lruvec->lock);
	page_list_add(list, page);
	lru_count(lruvec, page, page_lru(page), 1);
}

void lruvec_own_add_tail(struct lruvec *lruvec, struct page_list *list,
			 struct page *page)
{
	assert_spin_locked(&lruvec->lock);
	page_list_add_tail(list, page);
	lru_count(lruvec, page, page_lru(page), 1);
}

void lruvec_own_del(struct lruvec *lruvec, struct page_list *list,
		    struct page *page)
{
	assert_spin_locked(&lruvec->lock);
	page_list_del(list, page);
	lru_count(lruvec, page, page_lru(page), -1);
}

u64 lruvec_size(const struct lruvec *lruvec, enum lru_list lru)
{
	u64 n = 0;

	for (int zt = 0; zt < LRU_NR_ZONES; zt++)
		n += READ_ONCE(lruvec->zone_nr[zt][lru]);
	return n;
}

void lru_judge_evictable(struct page *page)
{
	assert_spin_locked(&page_lruvec(page)->lock);
	if (PageMlocked(page) && !PageUnevictable(page)) {
		ClearPageActive(page);
		SetPageUnevictable(page);
		count_vm_event(UNEVICTABLE_PGCULLED);
	} else if (!PageMlocked(page) && PageUnevictable(page)) {
		ClearPageUnevictable(page);
		count_vm_event(UNEVICTABLE_PGRESCUED);
	}
}

/* PAGE, on no list, to the head of those between two policies; and off, not
 * knowing more than its flags. */
static void moving_add(struct lruvec *lruvec, struct page *page)
{
	page->policy = LRU_BYTE_MOVING;
	lruvec_own_add(lruvec, &lruvec->moving, page);
}

static void moving_del(struct lruvec *lruvec, struct page *page)
{
	lruvec_own_del(lruvec, &lruvec->moving, page);
	page->policy = PageActive(page) ? 0 : LRU_BYTE_COLD;
}

void lruvec_place(struct lruvec *lruvec, struct page *page)
{
	const struct lru_ops *ops = lruvec->ops;

	if (unlikely(PageUnevictable(page)))
		lruvec_add_page(lruvec, page);
	else if (unlikely(lruvec->next_ops))
		moving_add(lruvec, page);
	else if (ops && unlikely(ops->add != lruvec_add_page))
		ops->add(lruvec, page);
	else
		lruvec_add_page(lruvec, page);
}

void lruvec_unplace(struct lruvec *lruvec, struct page *page)
{
	const struct lru_ops *ops = lruvec->ops;

	if (unlikely(page->policy == LRU_BYTE_MOVING))
		moving_del(lruvec, page);
	else if (ops && unlikely(ops->del != lruvec_del_page) &&
		 likely(!PageUnevictable(page)))
		ops->del(lruvec, page);
	else
		lruvec_del_page(lruvec, page);
}

/* PAGE is on no list, and PG_lru is set now. */
static void lru_place(struct lruvec *lruvec, struct page *page)
{
	u32 was = page_flags_set(page, BIT(PG_lru));

	mm_verify(!(was & BIT(PG_lru)));
	if (unlikely(was & (BIT(PG_mlocked) | BIT(PG_unevictable))))
		lru_judge_evictable(page);
	lruvec_place(lruvec, page);
}

/* ---- changing the policy ---------------------------------------------------
 */

/* The coldest page of LRUVEC's policy; active ones last. */
static struct page *lruvec_coldest(struct lruvec *lruvec)
{
	static const u8 order[] = {LRU_INACTIVE_FILE, LRU_INACTIVE_ANON,
				   LRU_ACTIVE_FILE, LRU_ACTIVE_ANON};
	struct page *page = NULL;

	if (lruvec->ops && lruvec->ops->coldest)
		page = lruvec->ops->coldest(lruvec);
	for (u32 i = 0; !page && i < ARRAY_SIZE(order); i++)
		page = page_list_last(&lruvec->lists[order[i]]);
	return page;
}

/* Pages that one hold of the lock, with interrupts off, moves. */
#define EXCHANGE_HOLD 64u

/* Some pages of LRUVEC go on to its next policy. Lock held. */
static void exchange_step(struct lruvec *lruvec)
{
	struct page *page = NULL;
	u32 n = EXCHANGE_HOLD;

	for (; lruvec->next_ops && n; n--) {
		page = lruvec_coldest(lruvec);
		if (!page) {
			lruvec_adopt(lruvec, lruvec->next_ops);
			WRITE_ONCE(lruvec->next_ops, NULL);
			break;
		}
		lruvec_unplace(lruvec, page);
		moving_add(lruvec, page);
	}
	for (; !lruvec->next_ops && n; n--) {
		page = page_list_last(&lruvec->moving);
		if (!page)
			break;
		moving_del(lruvec, page);
		lruvec_place(lruvec, page);
	}
}

void lru_exchange_help(struct lruvec *lruvec)
{
	unsigned long flags;

	while (lru_exchanging(lruvec)) {
		spin_lock_irqsave(&lruvec->lock, flags);
		exchange_step(lruvec);
		spin_unlock_irqrestore(&lruvec->lock, flags);
	}
}

/* A step for the first lruvec that needs one. False: none does. Those that are
 * done go to the list's end: the next search is short. */
static bool exchange_some(void)
{
	struct lruvec *lruvec;
	unsigned long flags;
	bool found = false;

	spin_lock_irqsave(&phys_sys.lru.all_lock, flags);
	list_for_each_entry (lruvec, &phys_sys.lru.all, all) {
		found = lru_exchanging(lruvec);
		if (!found)
			continue;
		spin_lock(&lruvec->lock);
		exchange_step(lruvec);
		if (!lru_exchanging(lruvec))
			list_move_tail(&lruvec->all, &phys_sys.lru.all);
		spin_unlock(&lruvec->lock);
		break;
	}
	spin_unlock_irqrestore(&phys_sys.lru.all_lock, flags);
	return found;
}

void lru_register(const struct lru_ops *ops)
{
	struct lruvec *lruvec;
	unsigned long flags;

	mm_verify(ops && ops->add && ops->del && ops->activate);
	spin_lock_irqsave(&phys_sys.lru.all_lock, flags);
	phys_sys.lru.ops = ops;
	list_for_each_entry (lruvec, &phys_sys.lru.all, all) {
		spin_lock(&lruvec->lock);
		if (lruvec->next_ops || lruvec->ops != ops)
			WRITE_ONCE(lruvec->next_ops, ops);
		spin_unlock(&lruvec->lock);
	}
	spin_unlock_irqrestore(&phys_sys.lru.all_lock, flags);
	while (exchange_some())
		continue;
}

/* ---- runs: pages that come and go together ----------------------------------
 *
 * What is added in one batch stands on its list in that order, and is mostly
 * released in it too. Such a run is linked and unlinked as one piece.
 */

/* Does the policy keep pages as lruvec_add_page() and _del_page() do? */
static bool lists_plain(const struct lruvec *lruvec)
{
	const struct lru_ops *ops = lruvec->ops;

	if (lru_exchanging(lruvec))
		return false;
	return !ops ||
	       (ops->add == lruvec_add_page && ops->del == lruvec_del_page);
}

/* NR pages from FIRST, of list LRU, linked with each other, go to the head,
 * LAST on top. */
static void run_link(struct lruvec *lruvec, enum lru_list lru,
		     struct page *first, struct page *last, u32 nr)
{
	struct page_list *l = &lruvec->lists[lru];
	u32 head = l->head;

	first->next = head;
	last->prev = PFN_NONE;
	if (head)
		pfn_to_page(head)->prev = (u32)page_to_pfn(first);
	else
		l->tail = (u32)page_to_pfn(first);
	WRITE_ONCE(l->head, (u32)page_to_pfn(last));
	WRITE_ONCE(l->count, l->count + nr);
	lru_count(lruvec, first, lru, (long)nr);
}

/* The inverse; the links inside the run stay. */
static void run_unlink(struct lruvec *lruvec, enum lru_list lru,
		       struct page *first, struct page *last, u32 nr)
{
	struct page_list *l = &lruvec->lists[lru];
	u32 above = last->prev, below = first->next;

	if (above) {
		mm_verify(pfn_to_page(above)->next == page_to_pfn(last));
		pfn_to_page(above)->next = below;
	} else {
		mm_verify(l->head == page_to_pfn(last));
		WRITE_ONCE(l->head, below);
	}
	if (below) {
		mm_verify(pfn_to_page(below)->prev == page_to_pfn(first));
		pfn_to_page(below)->prev = above;
	} else {
		mm_verify(l->tail == page_to_pfn(first));
		l->tail = above;
	}
	WRITE_ONCE(l->count, l->count - nr);
	lru_count(lruvec, first, lru, -(long)nr);
}

/*
 * Place as many of the NR at PAGES, of LRUVEC, as are of one list and zone, at
 * least one. Lock held. Returns how many.
 */
static u32 place_run(struct lruvec *lruvec, struct page **pages, u32 nr)
{
	u32 odd = BIT(PG_mlocked) | BIT(PG_unevictable), below = PFN_NONE;
	u64 choosing = PAGE_HEAD_ZONE | PAGE_HEAD_GROUP | odd |
		       BIT(PG_swapbacked) | BIT(PG_active);
	u64 head = READ_ONCE(pages[0]->head),
	    want = head & choosing & ~(u64)odd;
	enum lru_list lru = flags_lru((u32)head);
	struct page *last = NULL;
	u32 n = 0, was = 0;

	for (; n < nr; n++) {
		struct page *page = pages[n];

		/* What its list depends on is as the first's: its place, its
		 * group, what flags_lru() looks at. */
		if ((READ_ONCE(page->head) & choosing) != want)
			break;
		was = page_flags_set(page, BIT(PG_lru));
		mm_verify(!(was & BIT(PG_lru)));
		/* Locked in between: who did it saw PG_lru clear. */
		if (unlikely(was & odd))
			break;
		page->next = below;
		below = (u32)page_to_pfn(page);
		if (last)
			last->prev = below;
		last = page;
	}
	mm_assert(lruvec != NULL);
	if (n)
		run_link(lruvec, lru, pages[0], last, n);
	if (likely(n == nr || (n && !(was & odd))))
		return n;
	if (was & odd) {
		lru_judge_evictable(pages[n]);
		lruvec_add_page(lruvec, pages[n]);
	} else {
		lru_place(lruvec, pages[n]);
	}
	return n + 1;
}

/* Linux's PAGEMAP_ flags: mapped, anonymous, in the swap cache, of swap, has a
 * place on a disk. */
void lru_trace_insertion(const struct page *page)
{
	u64 flags = (page_mapcount(page) > 0) |
		    (u64)(PageAnon(page) != 0) << 1 |
		    (u64)(PageSwapCache(page) != 0) << 2 |
		    (u64)(PageSwapBacked(page) != 0) << 3 |
		    (u64)(PageSwapBacked(page) == 0) << 4;

	trace_emit(MM_LRU_INSERTION, page_to_pfn(page), page_lru(page), flags);
}

static MM_NOINLINE void trace_placed(struct page **pages, u32 nr)
{
	for (u32 i = 0; i < nr; i++)
		lru_trace_insertion(pages[i]);
}

void lru_cache_add_pages(struct page **pages, u32 nr)
{
	struct lruvec *locked = NULL;
	unsigned long flags = 0;
	bool plain = false;

	for (u32 i = 0, n; i < nr;) {
		struct lruvec *lruvec = lruvec_of(pages[i]);

		if (unlikely(lruvec != locked)) {
			if (locked)
				spin_unlock_irqrestore(&locked->lock, flags);
			spin_lock_irqsave(&lruvec->lock, flags);
			locked = lruvec;
			plain = lists_plain(lruvec);
		}
		n = 1;
		if (likely(plain))
			n = place_run(lruvec, pages + i, nr - i);
		else
			lru_place(lruvec, pages[i]);
		if (trace_enabled(TRACE_MM_LRU_INSERTION))
			trace_placed(pages + i, n);
		i += n;
	}
	if (locked)
		spin_unlock_irqrestore(&locked->lock, flags);
}

/* ---- a block whose frames begin to be pages of their own
 * -------------------- */

/* What is the same for each frame of B. */
static u64 block_head(const struct lru_block *b)
{
	u64 keep = PAGE_HEAD_ZONE | PAGE_HEAD_GROUP | BIT(PG_charged);

	return (READ_ONCE(b->first->head) & keep) | b->flags | BIT(PG_lru);
}

/* B's descriptors but for their references, linked with each other, the last on
 * top (place_run()). */
static void block_describe(const struct lru_block *b)
{
	u32 pfn = (u32)page_to_pfn(b->first), index = b->index;
	struct page *end = b->first + (1UL << b->order);
	u64 head = block_head(b);

	for (struct page *page = b->first; page < end; page++, pfn++, index++) {
		WRITE_ONCE(page->head, head);
		set_page_mapping_word(page, b->word);
		WRITE_ONCE(page->tail, index);
		page->next = pfn - 1;
		page->prev = pfn + 1;
	}
}

/* One reference and one mapping each: from here on others may have more. */
static void block_release(const struct lru_block *b)
{
	struct page *end = b->first + (1UL << b->order);

	for (struct page *page = b->first; page < end; page++)
		page_counts_first(page);
}

/* B's frames, described, on their list. */
static void block_link(const struct lru_block *b)
{
	struct page *last = b->first + (1UL << b->order) - 1;
	struct lruvec *lruvec = lruvec_of(b->first);
	unsigned long flags;

	spin_lock_irqsave(&lruvec->lock, flags);
	if (likely(lists_plain(lruvec)))
		run_link(lruvec, page_lru(b->first), b->first, last,
			 1u << b->order);
	else
		for (struct page *page = b->first; page <= last; page++)
			lruvec_place(lruvec, page);
	spin_unlock_irqrestore(&lruvec->lock, flags);
}

bool lru_add_block(const struct lru_block *b)
{
	mm_assert(PageBlock(b->first));
	/* Who listens wants to hear of each. */
	if (trace_enabled(TRACE_MM_LRU_INSERTION) ||
	    unlikely(phys_sys.debug.p.page_owner) ||
	    !page_ref_freeze(b->first, 1))
		return false;
	block_describe(b);
	block_link(b);
	block_release(b);
	return true;
}

/* PAGES of a batch to their lists; the batch's references go. */
static void lru_add_pages(struct page **pages, u32 nr)
{
	lru_cache_add_pages(pages, nr);
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

/* Batch B, locked, is full: its pages go to their lists. Unlocks it. */
static MM_NOINLINE void lru_batch_full(struct lru_batch *b)
{
	struct page *pages[LRU_BATCH];
	u32 nr = b->nr;

	for (u32 i = 0; i < nr; i++)
		pages[i] = b->pages[i];
	WRITE_ONCE(b->nr, 0);
	spin_unlock(&b->lock);
	preempt_enable();
	lru_add_pages(pages, nr);
}

/* PAGE, with the reference for it, to B, locked, which is unlocked. */
static inline void lru_batch_add(struct lru_batch *b, struct page *page)
{
	u32 nr = b->nr;

	mm_verify(nr < LRU_BATCH);
	b->pages[nr++] = page;
	WRITE_ONCE(b->nr, nr);
	if (unlikely(nr >= b->full)) {
		lru_batch_full(b);
		return;
	}
	spin_unlock(&b->lock);
	preempt_enable();
}

/* Somebody drains B. Pinned. */
static MM_NOINLINE void lru_batch_wait(struct lru_batch *b, struct page *page)
{
	spin_lock(&b->lock);
	lru_batch_add(b, page);
}

void lru_cache_add(struct page *page)
{
	struct lru_batch *b;

	mm_verify(!PageLRU(page));
	get_page(page);
	preempt_disable();
	b = &phys_sys.lru_add[port_cpu()];
	if (unlikely(!spin_lock_free(&b->lock)))
		lru_batch_wait(b, page);
	else
		lru_batch_add(b, page);
}

void lru_add_drain(void)
{
	struct lru_batch *b;

	preempt_disable();
	b = &phys_sys.lru_add[port_cpu()];
	preempt_enable();
	/* The batch has its own lock, so a migration here is harmless. */
	lru_batch_drain(b);
}

void lru_add_drain_cpu(int cpu)
{
	lru_batch_drain(&phys_sys.lru_add[cpu]);
}

void lru_add_drain_all(void)
{
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
		lru_add_drain_cpu(cpu);
}

/* Every CPU's batch is emptied when it has NR pages, and now. */
static void set_batches(u32 nr)
{
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
		struct lru_batch *b = &phys_sys.lru_add[cpu];

		spin_lock(&b->lock);
		b->full = nr;
		spin_unlock(&b->lock);
	}
}

void lru_cache_disable(void)
{
	spin_lock(&phys_sys.lru.disable_lock);
	if (phys_sys.lru.disabled++ == 0)
		set_batches(1);
	spin_unlock(&phys_sys.lru.disable_lock);
	/* Who adds from here on has seen it. */
	lru_add_drain_all();
}

void lru_cache_enable(void)
{
	spin_lock(&phys_sys.lru.disable_lock);
	mm_verify(phys_sys.lru.disabled > 0);
	if (--phys_sys.lru.disabled == 0)
		set_batches(LRU_BATCH);
	spin_unlock(&phys_sys.lru.disable_lock);
}

void lru_move_state(struct page *new, struct page *old)
{
	mm_assert(!PageLRU(new) && !PageLRU(old));
	if (PageActive(old))
		SetPageActive(new);
	if (PageUnevictable(old))
		SetPageUnevictable(new);
	/* Elsewhere the byte would mean something else. */
	if (page_to_nid(new) == page_to_nid(old))
		WRITE_ONCE(new->policy, READ_ONCE(old->policy));
}

void lru_begin_cold(struct page *page)
{
	mm_assert(!PageLRU(page));
	WRITE_ONCE(page->policy, LRU_BYTE_COLD);
}

void activate_page(struct page *page)
{
	struct lruvec *lruvec = page_lruvec(page);
	unsigned long flags;

	spin_lock_irqsave(&lruvec->lock, flags);
	if (PageLRU(page) && !PageActive(page) && !PageUnevictable(page)) {
		if (lruvec->ops && page->policy != LRU_BYTE_MOVING) {
			lruvec->ops->activate(lruvec, page);
		} else {
			bool moving = page->policy == LRU_BYTE_MOVING;

			lruvec_unplace(lruvec, page);
			SetPageActive(page);
			if (moving)
				moving_add(lruvec, page);
			else
				lruvec_add_page(lruvec, page);
		}
		count_vm_event(PGACTIVATE);
		trace_emit(MM_LRU_ACTIVATE, page_to_pfn(page));
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
	lruvec_unplace(lruvec, page);
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
	trace_emit(PAGE_DEACTIVATE, page_to_pfn(page));
	ClearPageReferenced(page);
	WRITE_ONCE(page->policy, LRU_BYTE_COLD);
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
	WRITE_ONCE(page->policy, LRU_BYTE_COLD);
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
		if (page->policy == LRU_BYTE_MOVING) {
			page_list_del(&lruvec->moving, page);
			page_list_add_tail(&lruvec->moving, page);
		} else if (lruvec->ops && lruvec->ops->rotate) {
			lruvec->ops->rotate(lruvec, page);
		} else {
			lruvec_del_page(lruvec, page);
			lruvec_add_page_tail(lruvec, page);
		}
		count_vm_event(PGROTATED);
	}
	spin_unlock_irqrestore(&lruvec->lock, flags);
}

#define RELEASED (1u << PG_lru | 1u << PG_active | 1u << PG_unevictable)

/* PAGE, which has no reference, leaves the list that it is on. Lock held. */
static void release_locked(struct lruvec *lruvec, struct page *page)
{
	mm_verify(PageLRU(page) && page_count(page) == 0);
	lruvec_unplace(lruvec, page);
	page_flags_clear(page, RELEASED);
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

/*
 * As many of the NR at PAGES, the first of which is on a list of LRUVEC, as
 * stand there in this order leave it. Lock held. Returns how many.
 */
static u32 release_run(struct lruvec *lruvec, struct page **pages, u32 nr)
{
	u32 kind = RELEASED | 1u << PG_swapbacked, n = 1;
	u32 flags = READ_ONCE(pages[0]->flags) & kind;
	struct page *last = pages[0];
	u32 pfn = (u32)page_to_pfn(last);

	mm_verify((flags & 1u << PG_lru) && page_count(last) == 0);
	for (; n < nr; n++) {
		struct page *page = pages[n];
		u32 above = (u32)page_to_pfn(page);

		if (last->prev != above || page->next != pfn ||
		    (READ_ONCE(page->flags) & kind) != flags ||
		    page_zone_id(page) != page_zone_id(last))
			break;
		last = page;
		pfn = above;
	}
	run_unlink(lruvec, flags_lru(flags), pages[0], last, n);
	for (u32 i = 0; i < n; i++) {
		pages[i]->next = pages[i]->prev = PFN_NONE;
		page_flags_clear(pages[i], RELEASED);
	}
	return n;
}

/* Pages that one hold of the lock, with interrupts off, takes off. */
#define RELEASE_HOLD 32u

void lru_release_pages(struct page **pages, u32 nr)
{
	struct lruvec *locked = NULL;
	unsigned long flags = 0;
	u32 i = 0, hold = 0;
	bool plain = false;

	while (i < nr) {
		struct lruvec *lruvec = lruvec_of(pages[i]);

		if (!PageLRU(pages[i])) {
			i++;
			continue;
		}
		if (unlikely(lruvec != locked || i >= hold)) {
			if (locked)
				spin_unlock_irqrestore(&locked->lock, flags);
			spin_lock_irqsave(&lruvec->lock, flags);
			locked = lruvec;
			plain = lists_plain(lruvec);
			hold = min(i + RELEASE_HOLD, nr);
		}
		if (likely(plain))
			i += release_run(lruvec, pages + i, hold - i);
		else
			release_locked(lruvec, pages[i++]);
	}
	if (locked)
		spin_unlock_irqrestore(&locked->lock, flags);
}

/* One list: links both ways, and its count. */
static void check_links(const struct lruvec *lruvec, const struct page_list *l,
			struct lru_census *census)
{
	u32 prev = PFN_NONE;
	u64 n = 0;

	for (const struct page *p = page_list_first(l); p;
	     p = page_list_next(p)) {
		mm_verify(p->prev == prev);
		mm_verify(!PageBuddy(p));
		mm_verify(page_lruvec(p) == lruvec);
		prev = (u32)page_to_pfn(p);
		if (census)
			census->nr[page_zone_idx(p)][page_lru(p)]++;
		n++;
	}
	mm_verify(l->tail == prev);
	mm_verify(l->count == n);
}

void lru_check_own(const struct lruvec *lruvec, const struct page_list *list,
		   struct lru_census *census)
{
	check_links(lruvec, list, census);
	for (const struct page *p = page_list_first(list); p;
	     p = page_list_next(p))
		mm_verify(page_lru(p) != LRU_UNEVICTABLE);
}

/* One of the lruvec's lists: each page names this list. */
static void lru_check_list(const struct lruvec *lruvec, enum lru_list lru,
			   struct lru_census *census)
{
	const struct page_list *l = &lruvec->lists[lru];

	check_links(lruvec, l, census);
	for (const struct page *p = page_list_first(l); p;
	     p = page_list_next(p))
		mm_verify(page_lru(p) == lru);
}

void lru_check(struct lruvec *lruvec)
{
	struct lru_census census = {0};
	unsigned long flags;

	spin_lock_irqsave(&lruvec->lock, flags);
	for (int l = 0; l < NR_LRU_LISTS; l++)
		lru_check_list(lruvec, (enum lru_list)l, &census);
	lru_check_own(lruvec, &lruvec->moving, &census);
	for (struct page *p = page_list_first(&lruvec->moving); p;
	     p = page_list_next(p))
		mm_verify(p->policy == LRU_BYTE_MOVING);
	if (lruvec->ops && lruvec->ops->check)
		lruvec->ops->check(lruvec, &census);
	for (int zt = 0; zt < LRU_NR_ZONES; zt++)
		for (int l = 0; l < NR_LRU_LISTS; l++)
			mm_verify(census.nr[zt][l] == lruvec->zone_nr[zt][l]);
	spin_unlock_irqrestore(&lruvec->lock, flags);
}
