/* SPDX-License-Identifier: MIT */
/*
 * page_free.c - the way back: references dropped, blocks checked and cleaned,
 * to this CPU's stack or to the zone. Theory: page_alloc.c.
 */
#include "base/bitops.h"
#include "base/trace_ring.h"
#include "phys/buddy_priv.h"
#include "phys/hwpoison.h"
#include "phys/page_alloc_priv.h"
#include "phys/page_debug.h"
#include "phys/page_owner.h"
#include "phys/pcp_priv.h"
#include "phys/phys.h"

/* NR frames of GROUP (0: the root, which is counted apart) are free. */
static void uncharge_group(u16 group, u64 nr)
{
	const struct charge_ops *ops = READ_ONCE(phys_sys.charge);

	if (group && ops)
		ops->uncharge(group, nr);
}

static void uncharge_block(struct page *page, unsigned int order)
{
	uncharge_group(page->group, 1UL << order);
	root_charge(-(s64)(1L << order));
}

/* These need more work than flags = 0. */
#define FLAGS_LARGE (1u << PG_head | 1u << PG_tail | 1u << PG_block)

/* The frames of a block beside the first: checked and cleaned. */
static const char *clean_tails(struct page *page, unsigned int order)
{
	bool compound = PageHead(page);
	u64 nr = compound || phys_sys.tunables.check_pages ? 1UL << order : 1;
	u32 want = compound ? 1u << PG_tail : 0;

	for (u64 i = 1; i < nr; i++) {
		if (page[i].flags != want || !page_counts_free(page + i) ||
		    page_word_left(page + i))
			return "a frame inside the block is in use";
	}
	for (u64 i = 1; compound && i < nr; i++) {
		WRITE_ONCE(page[i].flags, 0u);
		WRITE_ONCE(page[i].private, 0u);
	}
	WRITE_ONCE(page[1].index, 0u);
	return NULL;
}

/*
 * The block at PAGE cannot be freed. A reserved one stays what it was, with
 * its count; others are set aside.
 */
static MM_NOINLINE void bad_free(struct page *page, unsigned int order,
				 const char *reason)
{
	bad_page(page, reason);
	if (PageReserved(page))
		set_page_count(page, 1);
	else
		set_aside(page, 1UL << order);
}

/* Why the block must not be given out again, or NULL: its tails are clean. */
static const char *check_block_free(struct page *page, unsigned int order)
{
	const char *reason = free_page_reason(page);

	return reason || !order ? reason : clean_tails(page, order);
}

/* The block is good: nothing of what it was is left at it. */
static void clean_block(struct page *page, unsigned int order)
{
	if (PageCharged(page))
		uncharge_block(page, order);
	set_page_mapping_word(page, 0);
	WRITE_ONCE(page->head, READ_ONCE(page->head) & PAGE_HEAD_ZONE);
	if (unlikely(phys_sys.debug.p.page_owner))
		reset_page_owner(page, order);
}

/*
 * Check and clean a block whose last reference is gone. False: it must not be
 * given out again: it is bad, and was reported, or RAM of it is.
 */
static bool free_pages_prepare(struct page *page, unsigned int order)
{
	const char *reason;

	trace_emit(MM_PAGE_FREE, page_to_pfn(page), order);
	reason = check_block_free(page, order);
	if (unlikely(reason)) {
		if (!num_poisoned_pages() || !free_poisoned(page, order))
			bad_free(page, order, reason);
		return false;
	}
	clean_block(page, order);
	if (unlikely(phys_sys.debug.contents))
		page_debug_free(page, order);
	return true;
}

/* A clean block straight to its zone. */
static void free_to_zone(struct page *page, unsigned int order)
{
	struct zone *zone = page_zone(page);
	u64 pfn = page_to_pfn(page);
	unsigned long flags;

	spin_lock_irqsave(&zone->lock, flags);
	free_block(zone, page, pfn, order);
	WRITE_ONCE(zone->nr_direct_freed,
		   zone->nr_direct_freed + (1UL << order));
	spin_unlock_irqrestore(&zone->lock, flags);
}

/* Poisoned frames of one block, by their place in it. */
struct poison_map {
	u64 bits[MAX_ORDER_NR_PAGES / 64];
};

/* Without the flag their descriptors are as any others'. False: none has it. */
static bool hide_poison(struct page *page, u64 nr, struct poison_map *map)
{
	bool any = false;

	for (u64 i = 0; i < nr; i++) {
		if (!PageHWPoison(page + i))
			continue;
		map->bits[i / 64] |= 1UL << i % 64;
		ClearPageHWPoison(page + i);
		any = true;
	}
	return any;
}

static bool was_poisoned(const struct poison_map *map, u64 i)
{
	return (map->bits[i / 64] >> i % 64 & 1) != 0;
}

bool free_poisoned(struct page *page, unsigned int order)
{
	struct poison_map map = {{0}};
	u64 nr = 1UL << order;
	bool good;

	if (!hide_poison(page, nr, &map))
		return false;
	good = !check_block_free(page, order);
	if (good)
		clean_block(page, order);
	for (u64 i = 0; i < nr; i++) {
		if (was_poisoned(&map, i))
			SetPageHWPoison(page + i);
		if (good && was_poisoned(&map, i)) {
			set_aside(page + i, 1);
		} else if (good) {
			if (phys_sys.debug.contents)
				page_debug_free(page + i, 0);
			free_to_zone(page + i, 0);
		}
	}
	return good;
}

/* A clean block to this CPU's stack, or to its zone if that cannot be. */
static void free_prepared(struct page *page, unsigned int order)
{
	int mt = get_pageblock_migratetype(page);
	struct per_cpu_pages *pcp;

	if (unlikely(mt >= MIGRATE_PCPTYPES || !use_pcp(order, mt))) {
		free_to_zone(page, order);
		return;
	}
	port_pin();
	pcp = phys_sys.pcp_of[port_cpu_or_none()][page_zone_id(page)];
	if (likely(pcp_trylock(pcp))) {
		/* Under the lock: isolation changes the type, then drains. */
		mt = get_pageblock_migratetype(page);
		if (likely(mt < MIGRATE_PCPTYPES)) {
			unsigned int index = pcp_index(order, mt);

			pcp_push(pcp, index, page);
			pcp_add(pcp->nr_free, 1UL << order);
			pcp_add_frames(pcp, 1 << order);
			if (unlikely(pcp->room <= 0))
				pcp_shrink(pcp, index);
			pcp_unlock(pcp);
			port_unpin();
			return;
		}
		pcp_unlock(pcp);
	}
	port_unpin();
	free_to_zone(page, order);
}

void free_unref_page(struct page *page, unsigned int order)
{
	mm_assert(order < MAX_ORDER);
	if (free_pages_prepare(page, order))
		free_prepared(page, order);
}

void free_unref_page_list(struct page_list *list)
{
	struct page *page;

	while ((page = page_list_pop(list))) {
		trace_emit(MM_PAGE_FREE_BATCHED, page_to_pfn(page));
		free_unref_page(page, 0);
	}
}

/* PAGE lost a reference that it did not have: give it back and tell. */
static MM_NOINLINE void free_unowned(struct page *page)
{
	__atomic_fetch_add(&page->refcount, 1, __ATOMIC_RELAXED);
	bad_page(page, stray_free_reason(page));
	set_aside_free(page);
}

/* Drop a reference; true if it was the last. One too many is reported. */
static inline bool drop_ref(struct page *page)
{
	s32 old = __atomic_fetch_sub(&page->refcount, 1, __ATOMIC_ACQ_REL);

	if (likely(old == 1))
		return true;
	if (unlikely(old <= 0))
		free_unowned(page);
	return false;
}

/* The frame is single and was not tampered with; nobody wants to know more. */
static inline bool free_is_simple(const struct page *page, u32 flags,
				  bool watched)
{
	return !(flags &
		 (PAGE_FLAGS_CHECK_AT_FREE | FLAGS_LARGE | 1u << PG_charged)) &&
	       page->mapcount == -1 && !watched && !page_word_left(page);
}

/* The same for a block that is not compound, which nobody is told of. */
static inline bool free_is_plain(const struct page *page)
{
	u32 odd = PAGE_FLAGS_CHECK_AT_FREE | FLAGS_LARGE | 1u << PG_charged;

	return (READ_ONCE(page->flags) & odd) == 1u << PG_block &&
	       page->mapcount == -1 && !page_word_left(page) &&
	       !base_watched() && !phys_sys.tunables.check_pages;
}

/* A frame whose count fell to 0 as a single one's, but which is none. */
static MM_NOINLINE void free_part(struct page *page)
{
	bad_page(page, "freed with wrong order");
	set_page_count(page, 1);
}

/* A frame that is traced, or was tampered with, or is not single at all. */
static MM_NOINLINE void free_odd(struct page *page)
{
	if (READ_ONCE(page->flags) & FLAGS_LARGE)
		free_part(page);
	else
		free_unref_page(page, 0);
}

/* The single frame at PAGE is clean; this CPU's set cannot have it. */
static MM_NOINLINE void free_past_pcp(struct per_cpu_pages *pcp,
				      struct page *page)
{
	if (pcp)
		pcp_unlock(pcp);
	port_unpin();
	free_to_zone(page, 0);
}

/* PCP, locked, is full after a push on list INDEX. */
static MM_NOINLINE void free_overfull(struct per_cpu_pages *pcp,
				      unsigned int index)
{
	pcp_shrink(pcp, index);
	pcp_unlock(pcp);
	port_unpin();
}

/* Free a single frame whose last reference is gone; as fast as alloc_pages. */
static inline __attribute__((always_inline)) void free_single(struct page *page)
{
	u64 head = READ_ONCE(page->head);
	struct per_cpu_pages *pcp;
	unsigned int index;

	if (unlikely(!free_is_simple(page, (u32)head, base_watched()))) {
		free_odd(page);
		return;
	}
	head &= PAGE_HEAD_ZONE;
	WRITE_ONCE(page->head, head);
	port_pin();
	pcp = phys_sys.pcp_of[port_cpu_or_none()][head >> 32];
	if (unlikely(!pcp_trylock(pcp))) {
		free_past_pcp(NULL, page);
		return;
	}
	index = (unsigned int)get_pageblock_migratetype(page);
	if (unlikely(index >= MIGRATE_PCPTYPES)) {
		free_past_pcp(pcp, page);
		return;
	}
	pcp_push(pcp, index, page);
	pcp_add(pcp->nr_free, 1);
	pcp_add_frames(pcp, 1);
	if (unlikely(pcp->room <= 0)) {
		free_overfull(pcp, index);
		return;
	}
	pcp_unlock(pcp);
	port_unpin();
}

/* A block of ORDER > 0. */
static MM_NOINLINE void free_large(struct page *page, unsigned int order)
{
	if (mm_warn_on_once(order >= MAX_ORDER))
		return;
	if (PagePoisoned(page) || block_order(page) != order) {
		bad_page(page, stray_free_reason(page));
		if (page_count(page) <= 0)
			set_aside_free(page);
		return;
	}
	if (!drop_ref(page))
		return;
	if (likely(free_is_plain(page))) {
		WRITE_ONCE(page[1].index, 0u);
		WRITE_ONCE(page->head, page->head & PAGE_HEAD_ZONE);
		free_prepared(page, order);
	} else {
		free_unref_page(page, order);
	}
}

void __free_pages(struct page *page, unsigned int order)
{
	if (unlikely(order))
		free_large(page, order);
	else if (likely(drop_ref(page)))
		free_single(page);
}

/* The NR frames from PAGE on are clean and nobody's: one by one. */
static void free_some(struct page *page, u64 nr)
{
	for (u64 i = 0; i < nr; i++)
		free_single(page + i);
}

/*
 * Drop our reference to the NR single frames from PAGE on. True if each was
 * the last and all are clean: nobody has them now. Else all that were last are
 * freed.
 */
static bool drop_run(struct page *page, u64 nr)
{
	bool steered = base_steered();

	for (u64 i = 0; i < nr; i++) {
		bool last = drop_ref(page + i);

		if (likely(last) &&
		    likely(free_is_simple(page + i, READ_ONCE(page[i].flags),
					  steered)))
			continue;
		free_some(page, i);
		if (last)
			free_odd(page + i);
		while (++i < nr)
			__free_pages(page + i, 0);
		return false;
	}
	return true;
}

/* The clean frames of a block that nobody has become one block. */
static void free_joined(struct page *page, unsigned int order)
{
	u64 nr = 1UL << order;

	for (u64 i = 0; trace_enabled(TRACE_MM_PAGE_FREE) && i < nr; i++)
		trace_emit(MM_PAGE_FREE, page_to_pfn(page + i), 0);
	for (u64 i = 0; i < nr; i++)
		WRITE_ONCE(page[i].head, page[i].head & PAGE_HEAD_ZONE);
	page[1].index = 0;
	free_prepared(page, order);
}

void free_page_run(struct page *page, u64 nr)
{
	while (nr) {
		unsigned int order = (unsigned int)ilog2(nr);

		order = min(order, (unsigned int)__ffs(page_to_pfn(page)));
		order = min(order, phys_hot()->block_order);
		order = min(order, (unsigned int)MAX_ORDER - 1);
		if (!order)
			__free_pages(page, 0);
		else if (drop_run(page, 1UL << order))
			free_joined(page, order);
		page += 1UL << order;
		nr -= 1UL << order;
	}
}

void put_page(struct page *page)
{
	unsigned int order;

	if (PageTail(page)) {
		if (unlikely(PagePoisoned(page))) {
			bad_page(page, stray_free_reason(page));
			return;
		}
		page = compound_head(page);
	}
	if (!drop_ref(page))
		return;
	if (PageLRU(page))
		lru_page_release(page);
	order = block_order(page);
	if (unlikely(order >= MAX_ORDER))
		bad_free(page, 0, "order of the block is no order");
	else if (order)
		free_unref_page(page, order);
	else
		free_single(page);
}

/* ---- many at once
 * ------------------------------------------------------------------------------
 */

/* In a head: something that must be looked at before the frame can be free. */
#define HEAD_ODD ((u64)(PAGE_FLAGS_CHECK_AT_FREE | FLAGS_LARGE))

/* PAGE, of HEAD, is ordinary in all that a free block may not have. */
static inline bool free_is_ordinary(const struct page *page, u64 head)
{
	u64 word = READ_ONCE(page->word);

	return !(head & HEAD_ODD) && page->mapcount == -1 &&
	       (MM_PAGE_SMALL || !word || (word & PAGE_MAPPING_FLAGS));
}

/*
 * Clean those of the NR single frames at PAGES, whose last references are gone,
 * that are as they should be; the others are freed with all checks. Returns
 * how many are left at PAGES.
 */
static u32 clean_batch(struct page **pages, u32 nr)
{
	bool watched = base_steered();
	u32 good = 0, charged = 0, grouped = 0;
	u16 group = 0;

	for (u32 i = 0; i < nr; i++) {
		struct page *page = pages[i];
		u64 head = READ_ONCE(page->head);

		if (unlikely(watched || !free_is_ordinary(page, head))) {
			free_odd(page);
			continue;
		}
		if (unlikely(head >> 48 != group)) {
			uncharge_group(group, grouped);
			group = (u16)(head >> 48);
			grouped = 0;
		}
		trace_emit(MM_PAGE_FREE, page_to_pfn(page), 0);
		grouped++;
		charged += (u32)(head >> PG_charged & 1);
		set_page_mapping_word(page, 0);
		WRITE_ONCE(page->head, head & PAGE_HEAD_ZONE);
		pages[good++] = page;
	}
	if (charged)
		root_charge(-(s64)charged);
	if (unlikely(group))
		uncharge_group(group, grouped);
	return good;
}

/* This CPU's set of a zone, locked, on the CPU until pcp_give(); NULL: who was
 * interrupted has it. */
static inline __attribute__((always_inline)) struct per_cpu_pages *
pcp_take(u8 zone_id)
{
	struct per_cpu_pages *pcp;

	port_pin();
	pcp = phys_sys.pcp_of[port_cpu_or_none()][zone_id];
	if (likely(pcp_trylock(pcp)))
		return pcp;
	port_unpin();
	return NULL;
}

/* DONE frames came to PCP. */
static inline __attribute__((always_inline)) void
pcp_give(struct per_cpu_pages *pcp, u32 done)
{
	pcp_add(pcp->nr_free, done);
	pcp_add_frames(pcp, (s32)done);
	pcp_unlock(pcp);
	port_unpin();
}

/* As many as this CPU's set has room for, of the first's zone and of a common
 * type; it is not emptied for them. Returns how many of the NR at PAGES. */
static u32 batch_to_pcp(struct page **pages, u32 nr)
{
	u8 zone_id = page_zone_id(pages[0]);
	struct per_cpu_pages *pcp = pcp_take(zone_id);
	u32 done = 0;

	if (unlikely(!pcp))
		return 0;
	nr = min(nr, (u32)max(pcp->room - 1, 0));
	for (; done < nr; done++) {
		struct page *page = pages[done];
		int mt = get_pageblock_migratetype(page);

		if (unlikely(mt >= MIGRATE_PCPTYPES ||
			     page_zone_id(page) != zone_id))
			break;
		pcp_push(pcp, (unsigned int)mt, page);
	}
	pcp_give(pcp, done);
	return done;
}

/* The frames at PAGES that follow each other, up or down, in one pageblock and
 * zone; *LO the lowest. */
static u32 batch_run(struct page *const *pages, u32 nr, const struct page **lo)
{
	u64 block = page_block(pages[0]);
	s64 step = nr > 1 && pages[1] < pages[0] ? -1 : 1;
	u32 n = 1;

	while (n < nr && pages[n] == pages[n - 1] + step &&
	       page_block(pages[n]) == block &&
	       page_zone_id(pages[n]) == page_zone_id(pages[0]))
		n++;
	*lo = pages[step < 0 ? n - 1 : 0];
	return n;
}

/* Runs of frames straight to their zone, the first's. Returns how many of the
 * NR at PAGES went. */
static u32 batch_to_zone(struct page *const *pages, u32 nr)
{
	struct zone *zone = page_zone(pages[0]);
	unsigned long flags;
	u32 done = 0;

	spin_lock_irqsave(&zone->lock, flags);
	while (done < nr && page_zone(pages[done]) == zone) {
		const struct page *lo;
		u32 n = batch_run(pages + done, nr - done, &lo);
		u64 pfn = page_to_pfn(lo);

		free_pages_range(zone, pfn, pfn + n,
				 get_pfnblock_migratetype(pfn));
		done += n;
	}
	WRITE_ONCE(zone->nr_direct_freed, zone->nr_direct_freed + done);
	spin_unlock_irqrestore(&zone->lock, flags);
	return done;
}

/* Frames that PCP_ZEROED holds: tables of a few processes that come and go. */
#define ZEROED_MAX 16

/* The NR at PAGES, clean and all zero, to this CPU's stack of such, as far as
 * there is room and they are of the first's zone. Returns how many went. */
static u32 zeroed_to_pcp(struct page **pages, u32 nr)
{
	u8 zone_id = page_zone_id(pages[0]);
	struct per_cpu_pages *pcp = pcp_take(zone_id);
	u32 done = 0;

	if (unlikely(!pcp))
		return 0;
	/* Drains do not count: there are none, or at most so many. */
	if (!pcp->lists[PCP_ZEROED])
		pcp->nr_zeroed = 0;
	nr = min(nr,
		 (u32)max(min(pcp->room - 1, ZEROED_MAX - pcp->nr_zeroed), 0));
	for (; done < nr; done++) {
		struct page *page = pages[done];

		if (page_zone_id(page) != zone_id ||
		    get_pageblock_migratetype(page) >= MIGRATE_PCPTYPES)
			break;
		pcp_push(pcp, PCP_ZEROED, page);
	}
	pcp->nr_zeroed += (u8)done;
	pcp_give(pcp, done);
	return done;
}

/* The NR at PAGES, clean, to where free frames are. */
static void place_batch(struct page **pages, u32 nr)
{
	while (nr) {
		u32 n = batch_to_pcp(pages, nr);

		if (!n)
			n = batch_to_zone(pages, nr);
		pages += n;
		nr -= n;
	}
}

void free_zeroed_pages(struct page **pages, u32 nr)
{
	u32 last = 0, n;

	for (u32 i = 0; i < nr; i++) {
		mm_assert(!PageCompound(pages[i]));
		if (drop_ref(pages[i]))
			pages[last++] = pages[i];
	}
	last = clean_batch(pages, last);
	if (!last)
		return;
	n = zeroed_to_pcp(pages, last);
	place_batch(pages + n, last - n);
}

static MM_NOINLINE void trace_batch(struct page *const *pages, u32 nr)
{
	for (u32 i = 0; i < nr; i++)
		trace_emit(MM_PAGE_FREE_BATCHED, page_to_pfn(pages[i]));
}

/* The NR at PAGES have no reference left. */
static void free_batch(struct page **pages, u32 nr)
{
	if (trace_enabled(TRACE_MM_PAGE_FREE_BATCHED))
		trace_batch(pages, nr);
	lru_release_pages(pages, nr);
	place_batch(pages, clean_batch(pages, nr));
}

void release_pages_after(struct page **pages, u32 nr, u32 flags,
			 void (*first)(struct page *page))
{
	u32 last = 0, odd = flags | FLAGS_LARGE;

	for (u32 i = 0; i < nr; i++) {
		struct page *page = pages[i];

		if (unlikely(page_has_flags(page, odd))) {
			if (page_has_flags(page, flags)) {
				mm_assert(first != NULL);
				first(page);
			}
			if (page_has_flags(page, FLAGS_LARGE)) {
				put_page(page);
				continue;
			}
		}
		if (drop_ref(page))
			pages[last++] = page;
	}
	if (last)
		free_batch(pages, last);
}

void release_pages(struct page **pages, u32 nr)
{
	release_pages_after(pages, nr, 0, NULL);
}
