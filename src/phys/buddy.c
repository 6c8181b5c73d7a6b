/* SPDX-License-Identifier: MIT */
/*
 * buddy.c - free blocks of a zone: splitting, merging, mobility.
 *
 * 1. Purpose. Blocks of 2^n frames, aligned to their size, found and given
 *    back in at most eleven steps; and frames that can be moved kept apart
 *    from frames that cannot, so that large blocks can be had again.
 *
 * 2. Structures. Per zone and order a list for each mobility type, linked
 *    through the descriptors of the blocks' first frames:
 *
 *      free_area[10]  UNMOVABLE  -
 *                     MOVABLE    [4096] <-> [8192]
 *      free_area[3]   UNMOVABLE  [24]
 *      ...
 *
 *    The first frame of a free block has PG_buddy and in private its order
 *    and the type of the list it is on; its other frames have clear flags. A
 *    pageblock (512 frames) has a type of its own; frames freed in it go to
 *    the lists of that type.
 *
 * 3. Invariants (buddy_check).
 *    BD-1  A block of order n starts at a multiple of 2^n and lies within one
 *          zone.
 *    BD-2  No block's buddy is a free block of the same order, unless the
 *          order is the highest, or both are whole pageblocks that must stay
 *          apart: of different types, one of them HIGHATOMIC, CMA or ISOLATE.
 *    BD-3  nr_free of an order is the number of blocks on its lists, and
 *          nr_free_pages the frames of all lists but ISOLATE's, plus those of
 *          deferred sections; nr_free_cma those of CMA's.
 *    BD-4  Every frame of a free block has reference count 0, no mapping.
 *    BD-5  A free block is on a HIGHATOMIC, CMA or ISOLATE list if and only if
 *          its pageblocks have that type.
 *    BD-6  nr_isolate_pageblock is the number of isolated pageblocks.
 *    BD-7  A guard is half of a pair whose other half is not wholly free;
 *          zone.nr_guard counts frames of guards, NR_FREE_PAGES does not.
 *
 * 4. Locking. Everything under the zone lock, interrupts off. PG_buddy, order
 *    and list type may be read without it; such readings are hints.
 *
 * 5. Life of a block. __free_one_page() merges it upwards and lists it;
 *    rmqueue_smallest() takes the smallest that fits and lists the halves that
 *    are left over (small ones become guards where that is asked for); when the
 * type's lists are empty, fallback.c takes from another type.
 *
 * 6. Failure. Having no block is no error here: NULL. A block whose head or
 *    links were overwritten is reported and its first frame set aside; the
 *    list is joined from what its two ends still reach.
 *
 * 7. Cost. Both directions at most MAX_ORDER - 1 steps, each a bounded number
 *    of loads and list operations.
 *
 * 8. Rejected. Bitmaps of buddies: a bit test instead of a look into the
 *    buddy's descriptor, at the price of another array that must be updated
 *    with every split. Lists by pointers: 16 more bytes per frame.
 *
 * References: K. Knowlton, "A Fast Storage Allocator", CACM 8(10), 1965;
 * M. Gorman, "Understanding the Linux Virtual Memory Manager", chapter 6;
 * M. Gorman, A. Whitcroft, "The What, The Why and the Where To of
 * Anti-Fragmentation", OLS 2006.
 */
#include "base/bitops.h"
#include "base/printk.h"
#include "phys/buddy_priv.h"
#include "phys/capture.h"
#include "phys/page_debug.h"
#include "phys/phys.h"

const char *const migratetype_names[MIGRATE_TYPES] = {
	"Unmovable", "Movable", "Reclaimable", "HighAtomic", "CMA", "Isolate",
};

void zone_init_free_lists(struct zone *zone)
{
	spin_lock_init(&zone->lock, LOCK_CLASS_ZONE);
	for (int order = 0; order < MAX_ORDER; order++) {
		struct free_area *area = &zone->free_area[order];

		for (int mt = 0; mt < MIGRATE_TYPES; mt++)
			page_list_init(&area->free_list[mt]);
		area->nr_free = 0;
	}
	zone->nr_free_pages = 0;
	zone->nr_free_cma = 0;
}

void set_pageblock_migratetype(const struct page *page, int migratetype)
{
	u8 *mt = &phys_sys.hot
			  .pageblock_mt[page_to_pfn(page) >> pageblock_order];

	mm_verify(migratetype >= 0 && migratetype < MIGRATE_TYPES);
	if (phys_sys.group_by_mobility_off && migratetype < MIGRATE_PCPTYPES)
		migratetype = MIGRATE_UNMOVABLE;
	WRITE_ONCE(*mt, (u8)((READ_ONCE(*mt) & ~PAGEBLOCK_MT_MASK) |
			     (u32)migratetype));
}

/* ---- lists
 * ---------------------------------------------------------------------- */

static u32 buddy_private(unsigned int order, int mt)
{
	return order | (u32)mt << 8;
}

void buddy_add(struct zone *zone, struct page *page, unsigned int order, int mt)
{
	struct free_area *area = &zone->free_area[order];

	/* Who looks at frames one by one may have held it for a moment. */
	mm_assert(READ_ONCE(page->refcount) == 0 && page->flags == 0);
	WRITE_ONCE(page->private, buddy_private(order, mt));
	__atomic_store_n(&page->flags, 1u << PG_buddy, __ATOMIC_RELEASE);
	page_list_add(&area->free_list[mt], page);
	WRITE_ONCE(area->nr_free, area->nr_free + 1);
}

/* To the end of the list: what is likely to merge soon is taken last. */
static void buddy_add_tail(struct zone *zone, struct page *page,
			   unsigned int order, int mt)
{
	struct free_area *area = &zone->free_area[order];

	mm_assert(READ_ONCE(page->refcount) == 0 && page->flags == 0);
	WRITE_ONCE(page->private, buddy_private(order, mt));
	__atomic_store_n(&page->flags, 1u << PG_buddy, __ATOMIC_RELEASE);
	page_list_add_tail(&area->free_list[mt], page);
	WRITE_ONCE(area->nr_free, area->nr_free + 1);
}

void buddy_del(struct zone *zone, struct page *page, unsigned int order)
{
	struct free_area *area = &zone->free_area[order];

	mm_assert(PageBuddy(page) && buddy_order(page) == order);
	page_list_del(&area->free_list[buddy_list_type(page)], page);
	WRITE_ONCE(page->flags, 0u);
	WRITE_ONCE(page->private, 0u);
	WRITE_ONCE(area->nr_free, area->nr_free - 1);
}

void buddy_move(struct zone *zone, struct page *page, int mt)
{
	unsigned int order = buddy_order(page);
	int from = buddy_list_type(page);
	struct free_area *area = &zone->free_area[order];

	page_list_del(&area->free_list[from], page);
	page_list_add_tail(&area->free_list[mt], page);
	WRITE_ONCE(page->private, buddy_private(order, mt));
	zone_count_free(zone, -(s64)(1L << order), from);
	zone_count_free(zone, (s64)(1L << order), mt);
}

/* ---- damage
 * ---------------------------------------------------------------------- */

/* Is the head of a free block what it should be? Links apart. */
static inline bool head_ok(const struct zone *zone, const struct page *page,
			   unsigned int order, int mt)
{
	return page->head == (1u << PG_buddy | (u64)zone->zone_id << 32) &&
	       (READ_ONCE(page->refcount) | (page->mapcount + 1)) == 0 &&
	       !page_word_left(page) &&
	       page->private == buddy_private(order, mt);
}

/* May PFN be a link? Then its descriptor can at least be read. */
static bool link_readable(u32 pfn)
{
	return pfn != PFN_NONE && pfn < READ_ONCE(phys_hot()->max_pfn);
}

/* Take PAGE off L, if its neighbours, or L's ends, lead to it. */
static inline bool unlink_checked(struct page_list *l, struct page *page)
{
	u32 pfn = (u32)page_to_pfn(page), prev = page->prev, next = page->next;
	u32 *to = &l->head, *from = &l->tail;

	if (prev)
		to = link_readable(prev) ? &pfn_to_page(prev)->next : NULL;
	if (next)
		from = link_readable(next) ? &pfn_to_page(next)->prev : NULL;
	if (unlikely(!to || !from || *to != pfn || *from != pfn))
		return false;
	WRITE_ONCE(*to, next);
	WRITE_ONCE(*from, prev);
	page->next = page->prev = PFN_NONE;
	WRITE_ONCE(l->count, l->count - 1);
	return true;
}

/* A free block that is no good: its head is set aside, the rest stays free. */
static void drop_head(struct zone *zone, struct page *page, unsigned int order,
		      int mt)
{
	bad_page(page, "corrupted free-list descriptor");
	page->next = page->prev = PFN_NONE;
	WRITE_ONCE(page->private, 0);
	set_aside(page, 1);
	if (order)
		buddy_put_rest(zone, page, 1, order, mt);
	zone_count_free(zone, -1, mt);
}

/* From one end of L as far as all is well: the last good frame, and how many.
 */
static u32 good_part(const struct zone *zone, const struct page_list *l,
		     unsigned int order, int mt, bool forward)
{
	u32 at = forward ? l->head : l->tail, last = PFN_NONE;

	for (u64 n = 0; n < l->count && link_readable(at); n++) {
		const struct page *p = pfn_to_page(at);

		if (!head_ok(zone, p, order, mt) ||
		    (forward ? p->prev : p->next) != last)
			break;
		last = at;
		at = forward ? p->next : p->prev;
	}
	return last;
}

/* Join what is good of L; returns the blocks that fell out. */
static u64 join_parts(struct page_list *l, u32 front, u32 back)
{
	u64 nr = 0;

	if (front)
		pfn_to_page(front)->next = back;
	else
		l->head = back;
	if (back)
		pfn_to_page(back)->prev = front;
	else
		l->tail = front;
	for (u32 at = l->head; at; at = pfn_to_page(at)->next)
		nr++;
	nr = l->count - nr;
	WRITE_ONCE(l->count, l->count - nr);
	return nr;
}

/*
 * Between FRONT and BACK, to which L is good from its ends, who is it? The
 * neighbour's pointer, or the end's, names the culprit; if it is one of the
 * two itself, that part is shortened.
 */
static u32 find_culprit(const struct page_list *l, u32 *front, u32 *back)
{
	u32 culprit = *front ? pfn_to_page(*front)->next : l->head;
	u32 last = *back ? pfn_to_page(*back)->prev : l->tail;

	if (*front && last == *front) {
		culprit = *front;
		*front = pfn_to_page(culprit)->prev;
	} else if (*back && culprit == *back) {
		*back = pfn_to_page(culprit)->next;
	}
	return culprit;
}

/*
 * Some block on the list of ORDER and MT is damaged. What can be reached from
 * both ends is kept; what lies between them is the culprit. With more than
 * one the blocks between them are lost.
 */
static void free_list_mend(struct zone *zone, unsigned int order, int mt)
{
	struct page_list *l = &zone->free_area[order].free_list[mt];
	u32 front = good_part(zone, l, order, mt, true);
	u32 back = good_part(zone, l, order, mt, false);
	u32 culprit;
	u64 lost;

	assert_spin_locked(&zone->lock);
	/* Good to the other end: the damage is elsewhere. */
	if (back == l->head && front == l->tail)
		return;
	culprit = find_culprit(l, &front, &back);
	lost = join_parts(l, front, back);
	zone->free_area[order].nr_free -= lost;
	if (lost && link_readable(culprit) &&
	    IS_ALIGNED(culprit, 1UL << order) &&
	    page_zone_id(pfn_to_page(culprit)) == zone->zone_id) {
		drop_head(zone, pfn_to_page(culprit), order, mt);
		lost--;
	}
	zone_count_free(zone, -(s64)(lost << order), mt);
	__atomic_fetch_add(&phys_sys.debug.nr_set_aside, lost << order,
			   __ATOMIC_RELAXED);
}

/*
 * Does the block reach as far as it says? An order that was overwritten with
 * a larger one would take the neighbours along; its middle gives it away.
 */
static bool order_ok(const struct page *page, unsigned int order)
{
	const struct page *middle = page + (1UL << order >> 1);

	return !order || !phys_sys.tunables.check_pages ||
	       !((middle->flags & (1u << PG_buddy | 1u << PG_guard)) ||
		 READ_ONCE(middle->refcount));
}

/*
 * buddy_del() for a block that may be damaged. False: it was, or stood beside
 * one that was; the list is mended, and the caller looks again.
 */
static bool buddy_try_del(struct zone *zone, struct page *page,
			  unsigned int order)
{
	u32 mt = (u32)buddy_list_type(page);
	struct free_area *area = &zone->free_area[order];

	if (likely(mt < MIGRATE_TYPES && head_ok(zone, page, order, (int)mt) &&
		   order_ok(page, order) &&
		   unlink_checked(&area->free_list[mt], page))) {
		WRITE_ONCE(page->flags, 0u);
		WRITE_ONCE(page->private, 0u);
		WRITE_ONCE(area->nr_free, area->nr_free - 1);
		return true;
	}
	for (int i = 0; i < MIGRATE_TYPES; i++) {
		if (mt >= MIGRATE_TYPES || (u32)i == mt)
			free_list_mend(zone, order, i);
	}
	return false;
}

/* ---- guards
 * ----------------------------------------------------------------------
 *
 * With debug_guardpage_minorder=N a half of fewer than 2^N frames that is
 * split off stays on no list: it is not free, nobody has it, and as free
 * frames are not mapped then, an overrun of its neighbour traps. It has
 * PG_guard where a free block has PG_buddy, so that the neighbour's free
 * merges with it.
 */

static void set_guard(struct zone *zone, struct page *page, unsigned int order,
		      int mt)
{
	mm_assert(READ_ONCE(page->refcount) == 0 && page->flags == 0);
	WRITE_ONCE(page->private, buddy_private(order, mt));
	__atomic_store_n(&page->flags, 1u << PG_guard, __ATOMIC_RELEASE);
	WRITE_ONCE(zone->nr_guard, zone->nr_guard + (1UL << order));
	zone_count_free(zone, -(s64)(1L << order), mt);
}

/* The guard becomes part of a free block of type MT. */
static void clear_guard(struct zone *zone, struct page *page,
			unsigned int order, int mt)
{
	mm_verify(zone->nr_guard >= 1UL << order);
	WRITE_ONCE(page->flags, 0u);
	WRITE_ONCE(page->private, 0u);
	WRITE_ONCE(zone->nr_guard, zone->nr_guard - (1UL << order));
	zone_count_free(zone, (s64)(1L << order), mt);
}

static bool page_is_guard(const struct page *page, u8 zone_id,
			  unsigned int order)
{
	return page_zone_id(page) == zone_id &&
	       (READ_ONCE(page->flags) & 1u << PG_guard) &&
	       buddy_order(page) == order;
}

/* ---- freeing
 * --------------------------------------------------------------------- */

static bool page_is_buddy(const struct page *buddy, u8 zone_id,
			  unsigned int order)
{
	u64 want = (u64)zone_id << 32 | 1u << PG_buddy;

	return READ_ONCE(buddy->head) == want && buddy_order(buddy) == order;
}

/* Must the blocks at two frames, of whole pageblocks, stay apart? */
static bool types_apart(u64 pfn, u64 buddy_pfn)
{
	int a = get_pfnblock_migratetype(pfn);
	int b = get_pfnblock_migratetype(buddy_pfn);

	return a != b && (migratetype_private(a) || migratetype_private(b));
}

/*
 * Is the pair of this block and its buddy itself half of a pair whose other
 * half is free? Then leaving the block alone will soon make a larger one.
 */
static bool merge_likely(const struct page *page, u64 pfn, unsigned int order)
{
	u64 pair = pfn & ~(1UL << order);
	u64 other = pair ^ (1UL << (order + 1));

	if (order + 2 >= MAX_ORDER)
		return false;
	return page_is_buddy(page + (s64)(other - pfn), page_zone_id(page),
			     order + 1);
}

void __free_one_page(struct zone *zone, struct page *page, u64 pfn,
		     unsigned int order, int migratetype)
{
	assert_spin_locked(&zone->lock);
	mm_verify(order < MAX_ORDER && IS_ALIGNED(pfn, 1UL << order));
	mm_verify(page_zone_id(page) == zone->zone_id);
	mm_verify(!(page->flags & 1u << PG_buddy));
	zone_count_free(zone, (s64)(1L << order), migratetype);
	while (order < MAX_ORDER - 1) {
		u64 buddy_pfn = pfn ^ (1UL << order);
		struct page *buddy = page + (s64)(buddy_pfn - pfn);

		if (page_is_buddy(buddy, zone->zone_id, order)) {
			if (order >= pageblock_order &&
			    types_apart(pfn, buddy_pfn))
				break;
			if (!buddy_try_del(zone, buddy, order))
				break;
		} else if (page_is_guard(buddy, zone->zone_id, order)) {
			clear_guard(zone, buddy, order, migratetype);
		} else {
			break;
		}
		page = buddy_pfn < pfn ? buddy : page;
		pfn &= ~(1UL << order);
		order++;
	}
	if (unlikely(zone->capture) &&
	    capture_block(zone, page, order, migratetype))
		return;
	if (merge_likely(page, pfn, order))
		buddy_add_tail(zone, page, order, migratetype);
	else
		buddy_add(zone, page, order, migratetype);
}

void free_pages_range(struct zone *zone, u64 pfn, u64 end, int migratetype)
{
	while (pfn < end) {
		unsigned int order = (unsigned int)ilog2(end - pfn);

		if (pfn)
			order = min(order, __ffs(pfn));
		order = min(order, (unsigned int)MAX_ORDER - 1);
		__free_one_page(zone, pfn_to_page(pfn), pfn, order,
				migratetype);
		pfn += 1UL << order;
	}
}

/* Has a block of ORDER at PFN pageblocks that must stay apart? */
static bool block_mixed(u64 pfn, unsigned int order)
{
	for (u64 i = pageblock_nr_pages; i < 1UL << order;
	     i += pageblock_nr_pages) {
		if (types_apart(pfn, pfn + i))
			return true;
	}
	return false;
}

void free_block(struct zone *zone, struct page *page, u64 pfn,
		unsigned int order)
{
	unsigned int piece = min(order, pageblock_order);

	if (order > piece && !block_mixed(pfn, order))
		piece = order;
	for (u64 i = 0; i < 1UL << order; i += 1UL << piece)
		__free_one_page(zone, page + i, pfn + i, piece,
				get_pfnblock_migratetype(pfn + i));
}

/* ---- whole pageblocks
 * ---------------------------------------------------------------------- */

struct page *buddy_block_of(const struct zone *zone, u64 pfn)
{
	for (unsigned int order = 0; order < MAX_ORDER; order++) {
		struct page *head = pfn_to_page(ALIGN_DOWN(pfn, 1UL << order));

		if (PageBuddy(head) &&
		    READ_ONCE(head->zone_id) == zone->zone_id)
			return buddy_order(head) >= order ? head : NULL;
	}
	return NULL;
}

/* If the pageblock at PFN is part of a larger free block, cut it out of it. */
static void cut_pageblock(struct zone *zone, u64 pfn)
{
	struct page *head = buddy_block_of(zone, pfn);
	unsigned int order;
	int mt;

	if (!head || buddy_order(head) <= pageblock_order)
		return;
	order = buddy_order(head);
	mt = buddy_list_type(head);
	buddy_del(zone, head, order);
	while (order > pageblock_order) {
		struct page *half = head + (1UL << --order);

		if (pfn & 1UL << order) {
			buddy_add(zone, head, order, mt);
			head = half;
		} else {
			buddy_add(zone, half, order, mt);
		}
	}
	mm_assert(page_to_pfn(head) == pfn);
	buddy_add(zone, head, order, mt);
}

u64 move_pageblock(struct zone *zone, u64 pfn, int mt)
{
	struct page *page = pfn_to_page(pfn);

	assert_spin_locked(&zone->lock);
	mm_verify(IS_ALIGNED(pfn, pageblock_nr_pages));
	cut_pageblock(zone, pfn);
	set_pageblock_migratetype(page, mt);
	/* Where pageblocks are not grouped it is another. */
	mt = get_pfnblock_migratetype(pfn);
	if (!page_is_buddy(page, zone->zone_id, pageblock_order))
		return move_freepages_block(zone, page, mt);
	zone_count_free(zone, -(s64)pageblock_nr_pages, buddy_list_type(page));
	buddy_del(zone, page, pageblock_order);
	__free_one_page(zone, page, pfn, pageblock_order, mt);
	return pageblock_nr_pages;
}

/* ---- taking
 * ----------------------------------------------------------------------- */

void buddy_put_rest(struct zone *zone, struct page *page, u64 used,
		    unsigned int order, int mt)
{
	while (used < 1UL << order) {
		unsigned int piece = __ffs(used);
		struct page *head = page + used;

		if (unlikely(head->flags || READ_ONCE(head->refcount))) {
			/* Somebody has it, or had: not given out again. */
			bad_page(head, new_page_reason(head));
			set_aside(head, 1);
			zone_count_free(zone, -1, mt);
			piece = 0;
		} else if (unlikely(piece < phys_sys.debug.p.guard_minorder)) {
			set_guard(zone, head, piece, mt);
		} else {
			buddy_add(zone, head, piece, mt);
		}
		used += 1UL << piece;
	}
}

struct page *buddy_pop_smallest(struct zone *zone, unsigned int order, int mt,
				unsigned int *found)
{
	for (; order < MAX_ORDER; order++) {
		struct free_area *area = &zone->free_area[order];
		struct page *page;

		while ((page = page_list_first(&area->free_list[mt]))) {
			if (unlikely(!buddy_try_del(zone, page, order)))
				continue;
			*found = order;
			return page;
		}
	}
	return NULL;
}

/* The free block or guard that PAGE is in, taken off; its order. */
static struct page *take_block_of(struct zone *zone, u64 pfn,
				  unsigned int *order, int *mt)
{
	for (*order = 0; *order < MAX_ORDER; ++*order) {
		struct page *head = pfn_to_page(pfn & ~((1UL << *order) - 1));

		if (page_is_guard(head, zone->zone_id, *order)) {
			*mt = get_pageblock_migratetype(head);
			clear_guard(zone, head, *order, *mt);
			return head;
		}
		if (!page_is_buddy(head, zone->zone_id, *order))
			continue;
		*mt = buddy_list_type(head);
		return buddy_try_del(zone, head, *order) ? head : NULL;
	}
	return NULL;
}

bool take_page_off_buddy(struct page *page)
{
	struct zone *zone = page_zone(page);
	u64 pfn = page_to_pfn(page);
	unsigned long flags;
	unsigned int order;
	struct page *head;
	u64 start, end;
	int mt;

	mm_assert(zone != NULL && pfn_valid(pfn));
	spin_lock_irqsave(&zone->lock, flags);
	head = take_block_of(zone, pfn, &order, &mt);
	if (head) {
		start = page_to_pfn(head);
		end = start + (1UL << order);
		zone_count_free(zone, -(s64)(1L << order), mt);
		/* PAGE is on no list now, so nothing merges across it. */
		free_pages_range(zone, start, pfn, mt);
		free_pages_range(zone, pfn + 1, end, mt);
	}
	spin_unlock_irqrestore(&zone->lock, flags);
	return head != NULL;
}

struct page *rmqueue_smallest(struct zone *zone, unsigned int order, int mt)
{
	unsigned int found;
	struct page *page = buddy_pop_smallest(zone, order, mt, &found);

	if (!page)
		return NULL;
	buddy_put_rest(zone, page, 1UL << order, found, mt);
	zone_count_free(zone, -(s64)(1L << order), mt);
	return page;
}

/*
 * Should a deferred section be made before TYPE looks for ORDER elsewhere?
 * For the type that its frames have always; for others only if no whole
 * pageblock is free that could change its type.
 */
static bool deferred_wanted(const struct zone *zone, unsigned int order, int mt)
{
	if (!zone_deferred_frames(zone))
		return false;
	if (mt == home_migratetype())
		return true;
	for (order = max(order, pageblock_order); order < MAX_ORDER; order++) {
		if (!page_list_empty(
			    &zone->free_area[order].free_list[MIGRATE_MOVABLE]))
			return false;
	}
	return true;
}

struct page *__rmqueue(struct zone *zone, unsigned int order, int migratetype,
		       u32 alloc_flags)
{
	struct page *page;

	assert_spin_locked(&zone->lock);
	mm_assert(order < MAX_ORDER && migratetype < MIGRATE_PCPTYPES);
	page = rmqueue_smallest(zone, order,
				list_to_try(zone, migratetype, alloc_flags));
	if (likely(page))
		return page;
	if (cma_first(zone, migratetype, alloc_flags)) {
		page = rmqueue_smallest(zone, order, migratetype);
		if (page)
			return page;
	}
	while (!page && deferred_wanted(zone, order, migratetype)) {
		(void)deferred_grow_zone(zone);
		page = rmqueue_smallest(zone, order, migratetype);
	}
	/* Lent frames come back when they are needed: rather than to mix. */
	if (!page && may_use_cma(migratetype, alloc_flags))
		page = rmqueue_smallest(zone, order, MIGRATE_CMA);
	while (!page && rmqueue_fallback(zone, order, migratetype, alloc_flags))
		page = rmqueue_smallest(zone, order, migratetype);
	return page;
}

u64 __isolate_free_page(struct page *page, unsigned int order)
{
	struct zone *zone = page_zone(page);
	u64 nr = 1UL << order;
	int mt = buddy_list_type(page);

	assert_spin_locked(&zone->lock);
	mm_verify(PageBuddy(page) && buddy_order(page) == order);
	if (mt != MIGRATE_ISOLATE) {
		u64 mark = zone->_watermark[WMARK_MIN] + nr;

		if (!zone_watermark_ok(zone, 0, mark, 0, ALLOC_CMA))
			return 0;
	}
	buddy_del(zone, page, order);
	zone_count_free(zone, -(s64)nr, mt);
	return nr;
}

u64 zone_nr_free_blocks(const struct zone *zone, unsigned int order, int mt)
{
	const struct free_area *area = &zone->free_area[order];
	u64 nr = mt < 0 ? READ_ONCE(area->nr_free)
			: READ_ONCE(area->free_list[mt].count);

	mm_assert(order < MAX_ORDER && mt < MIGRATE_TYPES);
	if (order == MAX_ORDER - 1 && (mt < 0 || mt == home_migratetype()))
		nr += zone_deferred_frames(zone) / MAX_ORDER_NR_PAGES;
	return nr;
}

/* ---- checking
 * ----------------------------------------------------------------------- */

/* One free block: BD-1, BD-2, BD-4. */
static void check_block(const struct zone *zone, const struct page *page,
			unsigned int order, int mt)
{
	u64 pfn = page_to_pfn(page);
	const struct page *buddy;

	mm_verify(page->flags == 1u << PG_buddy);
	mm_verify(buddy_order(page) == order && buddy_list_type(page) == mt);
	mm_verify(IS_ALIGNED(pfn, 1UL << order));
	for (u64 i = 0; i < 1UL << order; i += pageblock_nr_pages) {
		int type = get_pfnblock_migratetype(pfn + i);

		mm_verify(type == mt || (!migratetype_private(type) &&
					 !migratetype_private(mt)));
	}
	for (u64 i = 0; i < 1UL << order; i++) {
		mm_verify(pfn_valid(pfn + i));
		mm_verify(page_zone_id(page + i) == zone->zone_id);
		mm_verify(page_counts_free(page + i));
		mm_verify(!page_word_left(page + i));
		mm_verify(i == 0 || page[i].flags == 0);
	}
	if (order == MAX_ORDER - 1)
		return;
	buddy = pfn_to_page(pfn ^ (1UL << order));
	mm_verify(!page_is_guard(buddy, zone->zone_id, order));
	if (page_is_buddy(buddy, zone->zone_id, order))
		mm_verify(order >= pageblock_order &&
			  types_apart(pfn, pfn ^ (1UL << order)));
}

/* BD-6. A block between two zones is never isolated. */
static u64 count_isolated(const struct zone *zone)
{
	u64 block = ALIGN_DOWN(zone->zone_start_pfn, pageblock_nr_pages);
	u64 n = 0;

	for (; block < zone_end_pfn(zone); block += pageblock_nr_pages) {
		u64 pfn = max(block, zone->zone_start_pfn);

		n += get_pfnblock_migratetype(pfn) == MIGRATE_ISOLATE &&
		     pfn_valid(pfn) &&
		     pfn_to_page(pfn)->zone_id == zone->zone_id;
	}
	return n;
}

static u64 check_list(const struct zone *zone, unsigned int order, int mt)
{
	const struct page_list *l = &zone->free_area[order].free_list[mt];
	u32 prev = PFN_NONE;
	u64 n = 0;

	for (const struct page *p = page_list_first(l); p;
	     p = page_list_next(p)) {
		mm_verify(p->prev == prev);
		check_block(zone, p, order, mt);
		prev = (u32)page_to_pfn(p);
		n++;
	}
	mm_verify(l->tail == prev && l->count == n);
	return n;
}

void buddy_check(struct zone *zone)
{
	u64 sum, cma = 0;
	unsigned long flags;

	if (!populated_zone(zone))
		return;
	spin_lock_irqsave(&zone->lock, flags);
	sum = zone_deferred_frames(zone);
	for (unsigned int order = 0; order < MAX_ORDER; order++) {
		u64 blocks = 0;

		for (int mt = 0; mt < MIGRATE_TYPES; mt++) {
			u64 n = check_list(zone, order, mt);

			blocks += n;
			if (mt != MIGRATE_ISOLATE)
				sum += n << order;
			if (mt == MIGRATE_CMA)
				cma += n << order;
		}
		mm_verify(blocks == zone->free_area[order].nr_free);
	}
	mm_verify((s64)sum == zone->nr_free_pages);
	mm_verify((s64)cma == zone->nr_free_cma && cma <= zone->cma_pages);
	mm_verify(count_isolated(zone) == zone->nr_isolate_pageblock);
	mm_verify(zone->managed_pages <= zone->present_pages);
	mm_verify(zone->present_pages <= zone->spanned_pages);
	spin_unlock_irqrestore(&zone->lock, flags);
}
