/* SPDX-License-Identifier: MIT */
/*
 * pcp.c - each CPU's own free frames, so that most requests take no zone lock.
 *
 * 1. Purpose. A CPU takes and gives back single frames and small blocks from
 *    stacks of its own; they are filled and emptied a batch at a time.
 *
 * 2. Structures. struct per_cpu_pages per zone and CPU: a stack for each of
 *    three types at orders 0..3, one for whole movable pageblocks, one for a
 *    few frames that came back all zero (free_zeroed_pages()), linked by
 * the descriptors' mapping word. Frames on them have reference count 0 and
 * clear flags and are not in NR_FREE_PAGES: they belong to the CPU.
 *
 * 3. Invariants (pcp_check).
 *    PC-1  high - room is the number of frames on all stacks.
 *    PC-2  A frame on a stack is in no buddy list.
 *    PC-3  After a free, room > 0 (or the stack is being emptied).
 *
 * 4. Locking. The set's lock, then the zone's. See pcp_priv.h.
 *
 * 5. Refill takes the smallest free block and, where it is no larger than
 *    what is wanted, deals it out whole: one list operation for many frames,
 *    and frames that are neighbours. Emptying joins neighbours again before
 *    they go to the buddy, so that freeing a range in order costs one merge per
 *    run, not one per frame. The zone lock is held to
 *    take and to merge; dealing out and finding runs need only the set's.
 *
 * 6. Sizes. batch follows the zone's size (a thousandth, at most 63), if the
 *    boot does not say it; high is this CPU's share of the low watermark, at
 *    least four batches.
 *
 * 7. Rejected. Doubly linked lists, to give back the coldest frames first:
 *    stacks cost half as much, and what lies deepest is cold anyway.
 */
#include "base/bitops.h"
#include "base/trace_ring.h"
#include "phys/buddy_priv.h"
#include "phys/page_debug.h"
#include "phys/pcp_priv.h"
#include "phys/phys.h"

#define PCP_BATCH_BYTES_MAX (1UL << 20)

void pcp_init(struct zone *zone)
{
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
		struct per_cpu_pages *pcp = &zone->pageset[cpu];

		spin_lock_init(&pcp->lock, LOCK_CLASS_PCP);
		pcp->zone = zone;
		pcp->zone_idx = zone->idx;
		pcp->batch = 1;
		pcp->high = 1;
		pcp->room = 1;
	}
}

/* Frames to move at once, from the zone's size; one less than a power of 2. */
static s32 zone_batchsize(const struct zone *zone)
{
	u64 batch = min(zone_managed_pages(zone) >> 10,
			PCP_BATCH_BYTES_MAX >> PAGE_SHIFT) /
		    4;

	if (phys_sys.pcp_batch)
		return (s32)phys_sys.pcp_batch;
	batch = max(batch, 1UL);
	return max((s32)rounddown_pow_of_two(batch + batch / 2) - 1, 1);
}

/* CPUs that use ZONE before others; all, if there are none. */
static u32 zone_local_cpus(const struct zone *zone)
{
	u32 nr = 0, online = 0;

	for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
		if (phys_cpu_gone(cpu))
			continue;
		online++;
		nr += phys_sys.cpu_node[cpu] == zone_to_nid(zone);
	}
	return nr ? nr : online;
}

void pcp_set_size(struct zone *zone)
{
	u32 fraction = phys_sys.tunables.percpu_pagelist_high_fraction;
	u64 total = fraction ? zone_managed_pages(zone) / fraction
			     : zone->_watermark[WMARK_LOW];
	s32 batch = zone_batchsize(zone);
	u64 high = max(total / zone_local_cpus(zone), (u64)batch * 4);

	high = min(high, (u64)INT32_MAX);
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
		struct per_cpu_pages *pcp = &zone->pageset[cpu];

		spin_lock(&pcp->lock);
		WRITE_ONCE(pcp->batch, batch);
		pcp_add(pcp->room, (s32)high - pcp->high);
		WRITE_ONCE(pcp->high, (s32)high);
		spin_unlock(&pcp->lock);
	}
}

/* ---- filling
 * --------------------------------------------------------------------- */

/*
 * Deal the first NR units of 2^ORDER frames of a taken block onto a stack,
 * so that the lowest is on top.
 */
static void deal(struct per_cpu_pages *pcp, unsigned int index,
		 struct page *block, unsigned int order, u64 nr)
{
	u64 step = 1UL << order;

	for (u64 i = nr; i-- > 0;)
		pcp_push(pcp, index, block + i * step);
}

/* What one hold of the zone lock brings. */
#define MAX_PIECES 16

struct piece {
	struct page *page;
	u64 units;
};

static MM_NOINLINE void trace_taken(const struct page *page, unsigned int order,
				    int mt, u64 units)
{
	for (u64 i = 0; i < units; i++)
		trace_emit(MM_PAGE_ALLOC_ZONE_LOCKED,
			   page_to_pfn(page) + (i << order), order, (u64)mt,
			   true);
}

/*
 * Take up to NR units of 2^ORDER frames from the zone, in at most MAX_PIECES
 * pieces at PIECE; the first that come from another type's lists are taken
 * one by one. Returns the pieces. pcp and zone lock held.
 */
static u32 take_pieces(struct zone *zone, unsigned int order, int mt, u64 nr,
		       u32 alloc_flags, struct piece *piece)
{
	/* Guards belong between frames, so blocks are not dealt out whole. */
	bool guards = phys_sys.debug.p.guard_minorder > order;
	u64 got = 0;
	u32 n = 0;

	for (; got < nr && n < MAX_PIECES; n++) {
		int list = list_to_try(zone, mt, alloc_flags);
		unsigned int found;
		u64 units = 1;
		struct page *page =
			buddy_pop_smallest(zone, order, list, &found);

		if (page) {
			if (!guards)
				units = min(nr - got, 1UL << (found - order));
			if (units << order < 1UL << found)
				buddy_put_rest(zone, page, units << order,
					       found, list);
			zone_count_free(zone, -(s64)(units << order), list);
		} else {
			page = __rmqueue(zone, order, mt, alloc_flags);
		}
		if (!page)
			break;
		if (trace_enabled(TRACE_MM_PAGE_ALLOC_ZONE_LOCKED))
			trace_taken(page, order, mt, units);
		piece[n] = (struct piece){page, units};
		got += units;
	}
	return n;
}

/*
 * Up to NR units from the zone onto list INDEX; returns the units. The zone
 * lock is held to take them, not to deal them out.
 */
static u64 take_units(struct per_cpu_pages *pcp, unsigned int index,
		      unsigned int order, u64 nr, u32 alloc_flags)
{
	int mt = index < NR_LOWORDER_PCP_LISTS ? (int)(index % MIGRATE_PCPTYPES)
					       : MIGRATE_MOVABLE;
	struct piece piece[MAX_PIECES];
	struct zone *zone = pcp->zone;
	unsigned long flags;
	u64 got = 0;
	u32 n;

	do {
		spin_lock_irqsave(&zone->lock, flags);
		n = take_pieces(zone, order, mt, nr - got, alloc_flags, piece);
		spin_unlock_irqrestore(&zone->lock, flags);
		/* The smallest piece, the rest of the last block that was cut,
		 * on top: what is cut in turn is given out in order. */
		for (u32 i = n; i-- > 0;) {
			deal(pcp, index, piece[i].page, order, piece[i].units);
			got += piece[i].units;
		}
	} while (n == MAX_PIECES && got < nr);
	return got;
}

struct page *pcp_refill(struct per_cpu_pages *pcp, unsigned int index,
			unsigned int order, u64 want, u32 alloc_flags)
{
	u64 nr = max((u64)(u32)READ_ONCE(pcp->batch) >> order, 1UL);
	u64 got;

	mm_assert(!pcp->lists[index]);
	/* Large blocks are kept, not stocked up. */
	if (order)
		nr = max(nr, 2UL);
	if (index == NR_LOWORDER_PCP_LISTS)
		nr = 1;
	nr = max(nr, want);
	pcp->free_factor >>= 1;
	got = take_units(pcp, index, order, nr, alloc_flags);
	pcp_add_frames(pcp, (s32)(got << order));
	pcp_add(pcp->nr_moved, (s64)(got << order));
	return pcp_pop(&pcp->lists[index]);
}

/* ---- emptying
 * ---------------------------------------------------------------------- */

/*
 * Neighbouring frames on their way back: [lo, hi) of one pageblock. They are
 * found without the zone lock, which then frees whole runs.
 */
struct run {
	u64 lo, hi;
};

#define MAX_RUNS 64

/* The first stands for none, and has no neighbours. */
struct runs {
	struct zone *zone;
	struct run *last;
	struct run run[1 + MAX_RUNS];
};

static void runs_init(struct runs *rs, struct zone *zone)
{
	rs->zone = zone;
	rs->last = rs->run;
	rs->run[0] = (struct run){UINT64_MAX, UINT64_MAX};
}

static MM_NOINLINE void runs_flush(struct runs *rs)
{
	struct zone *zone = rs->zone;
	unsigned long flags;

	spin_lock_irqsave(&zone->lock, flags);
	for (struct run *run = rs->run + 1; run <= rs->last; run++)
		free_pages_range(zone, run->lo, run->hi,
				 get_pfnblock_migratetype(run->lo));
	spin_unlock_irqrestore(&zone->lock, flags);
	rs->last = rs->run;
}

static inline bool same_pageblock(u64 a, u64 b)
{
	return (a ^ b) >> pageblock_order == 0;
}

/* Add frames [PFN, END) to the last run, or begin one with them. */
static inline void run_add(struct runs *rs, u64 pfn, u64 end)
{
	struct run *run = rs->last;

	if (end == run->lo && same_pageblock(pfn, run->lo)) {
		run->lo = pfn;
		return;
	}
	if (pfn == run->hi && same_pageblock(pfn, run->lo)) {
		run->hi = end;
		return;
	}
	if (run == &rs->run[MAX_RUNS])
		runs_flush(rs);
	*++rs->last = (struct run){pfn, end};
}

/* The order of the blocks on list INDEX. */
static unsigned int index_order(unsigned int index)
{
	if (index == PCP_ZEROED)
		return 0;
	return index < NR_LOWORDER_PCP_LISTS ? index / MIGRATE_PCPTYPES
					     : pageblock_order;
}

/*
 * Is the block fit for the free lists? What they would hide are the flags of
 * its first frame; all else is seen when it is given out, unless CHECK.
 */
static inline bool block_clean(const struct page *page, unsigned int order,
			       bool check)
{
	if (likely(!check))
		return page->flags == 0;
	for (u64 i = 0; i < 1UL << order; i++) {
		if (new_page_reason(page + i))
			return false;
	}
	return true;
}

/* A frame of a block that is not clean: set aside, or true: it may go back. */
static bool drain_frame(struct page *page)
{
	const char *reason = new_page_reason(page);

	if (!reason)
		return true;
	bad_page(page, reason);
	set_aside(page, 1);
	return false;
}

/* Up to NR frames of list INDEX, as runs, to the zone. Returns the frames. */
static s32 empty_list(struct per_cpu_pages *pcp, unsigned int index, s32 nr,
		      struct runs *rs)
{
	bool check = phys_sys.tunables.check_pages;
	unsigned int order = index_order(index);
	struct page *page;
	s32 freed = 0;

	while (freed < nr) {
		u64 pfn;

		if (unlikely(check))
			pcp_mend(pcp, index, freed);
		page = pcp_pop(&pcp->lists[index]);
		if (!page)
			break;
		pfn = page_to_pfn(page);

		freed += 1 << order;
		trace_emit(MM_PAGE_PCPU_DRAIN, pfn, order,
			   (u64)get_pageblock_migratetype(page));
		if (likely(block_clean(page, order, check))) {
			run_add(rs, pfn, pfn + (1UL << order));
			continue;
		}
		for (u64 i = 0; i < 1UL << order; i++) {
			if (drain_frame(page + i))
				run_add(rs, pfn + i, pfn + i + 1);
		}
	}
	return freed;
}

/*
 * At least NR frames back to the zone, from list FIRST on in turns. pcp lock
 * held.
 */
static void free_bulk(struct per_cpu_pages *pcp, s32 nr, unsigned int first)
{
	struct runs rs;

	runs_init(&rs, pcp->zone);
	for (unsigned int i = 0; nr > 0 && i < NR_PCP_LISTS; i++) {
		unsigned int index = (first + i) % NR_PCP_LISTS;
		s32 freed = empty_list(pcp, index, nr, &rs);

		nr -= freed;
		pcp_add_frames(pcp, -freed);
		pcp_add(pcp->nr_moved, -(s64)freed);
	}
	if (rs.last != rs.run)
		runs_flush(&rs);
	mm_assert(pcp_count(pcp) >= 0);
}

void pcp_shrink(struct per_cpu_pages *pcp, unsigned int index)
{
	s32 batch = READ_ONCE(pcp->batch);
	s32 high = READ_ONCE(pcp->high);
	s32 nr = batch;

	/* A CPU that only frees gives back more each time. */
	if (high > 2 * batch) {
		nr = min(batch << pcp->free_factor, high - batch);
		if (batch << pcp->free_factor < high - batch)
			pcp->free_factor++;
	}
	free_bulk(pcp, nr, index);
}

void drain_zone_pages(struct zone *zone, int cpu)
{
	struct per_cpu_pages *pcp;

	mm_assert(cpu >= 0 && cpu < port_nr_cpus());
	if (!populated_zone(zone))
		return;
	pcp = &zone->pageset[cpu];
	if (!pcp_count(pcp))
		return;
	spin_lock(&pcp->lock);
	free_bulk(pcp, pcp_count(pcp), 0);
	mm_verify(pcp_count(pcp) == 0);
	spin_unlock(&pcp->lock);
}

void drain_pages(int cpu)
{
	struct zone *zone;

	for_each_populated_zone (zone)
		drain_zone_pages(zone, cpu);
}

void drain_all_pages(void)
{
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
		drain_pages(cpu);
}

/* ---- taking off and mending
 * ------------------------------------------------------------ */

/* Can WORD of a stored frame be the link to the next one of ZONE? */
static bool link_ok(const struct zone *zone, u64 word)
{
	u64 base = (u64)(uintptr_t)phys_memmap();
	u64 pfn = (word - base) / sizeof(struct page);

	return !word || (word >= base && pfn_valid(pfn) &&
			 word == (u64)(uintptr_t)pfn_to_page(pfn) &&
			 page_zone_id(pfn_to_page(pfn)) == zone->zone_id);
}

/* Frames on all stacks of PCP, their links being good. */
static s32 count_frames(const struct per_cpu_pages *pcp)
{
	s32 sum = 0;

	for (unsigned int i = 0; i < NR_PCP_LISTS; i++) {
		const struct page *page = pcp->lists[i];

		for (; page;
		     page = (const struct page *)(uintptr_t)page->word) {
			if (!link_ok(pcp->zone, page->word))
				break;
			sum += 1 << index_order(i);
		}
	}
	return sum;
}

void pcp_mend(struct per_cpu_pages *pcp, unsigned int index, s32 taken)
{
	struct page *page = pcp->lists[index];
	s32 lost;

	if (likely(!page || link_ok(pcp->zone, page->word)))
		return;
	mm_assert(index < NR_PCP_LISTS);
	bad_page(page, "corrupted link of a per-CPU list");
	pcp->lists[index] = NULL;
	set_page_mapping_word(page, 0);
	lost = pcp_count(pcp) - taken - count_frames(pcp);
	set_aside(page, 1);
	if (lost > 1)
		__atomic_fetch_add(&phys_sys.debug.nr_set_aside, (u64)lost - 1,
				   __ATOMIC_RELAXED);
	pcp_add_frames(pcp, -lost);
	pcp_add(pcp->nr_moved, -(s64)lost);
}

/* Unlink the block with PAGE from list INDEX, or NULL. */
static struct page *unlink_block(struct per_cpu_pages *pcp, unsigned int index,
				 const struct page *page)
{
	u64 mask = ~((1UL << index_order(index)) - 1);
	u64 want = page_to_pfn(page) & mask;
	struct page *prev = NULL;
	struct page *at = pcp->lists[index];

	while (at && page_to_pfn(at) != want) {
		if (!link_ok(pcp->zone, at->word))
			return NULL;
		prev = at;
		at = (struct page *)(uintptr_t)at->word;
	}
	if (!at || !link_ok(pcp->zone, at->word))
		return NULL;
	if (prev)
		set_page_mapping_word(prev, at->word);
	else
		pcp->lists[index] = (struct page *)(uintptr_t)at->word;
	set_page_mapping_word(at, 0);
	return at;
}

/* PAGE off one locked set; the rest of its block goes to the zone. */
static bool take_off_set(struct per_cpu_pages *pcp, const struct page *page)
{
	struct zone *zone = pcp->zone;
	u64 pfn = page_to_pfn(page);
	struct page *block = NULL;
	unsigned int index = 0;
	unsigned long flags;
	u64 lo, hi;
	int mt;

	for (; !block && index < NR_PCP_LISTS; index++)
		block = unlink_block(pcp, index, page);
	if (!block)
		return false;
	lo = page_to_pfn(block);
	hi = lo + (1UL << index_order(index - 1));
	mm_assert(lo <= pfn && pfn < hi);
	pcp_add_frames(pcp, -(s32)(hi - lo));
	pcp_add(pcp->nr_moved, -(s64)(hi - lo));
	mt = get_pfnblock_migratetype(pfn);
	spin_lock_irqsave(&zone->lock, flags);
	free_pages_range(zone, lo, pfn, mt);
	free_pages_range(zone, pfn + 1, hi, mt);
	spin_unlock_irqrestore(&zone->lock, flags);
	return true;
}

bool take_page_off_pcp(struct page *page)
{
	struct zone *zone = page_zone(page);
	bool taken = false;

	port_pin();
	for (int cpu = 0; !taken && cpu < port_nr_cpus(); cpu++) {
		struct per_cpu_pages *pcp = &zone->pageset[cpu];

		if (!pcp_trylock(pcp))
			continue;
		taken = take_off_set(pcp, page);
		pcp_unlock(pcp);
	}
	port_unpin();
	return taken;
}

/* ---- checking
 * ------------------------------------------------------------------------- */

static void pcp_check_one(struct per_cpu_pages *pcp)
{
	s32 sum = 0;

	for (unsigned int index = 0; index < NR_PCP_LISTS; index++) {
		const struct page *page = pcp->lists[index];

		while (page) {
			u64 pfn = page_to_pfn(page);

			mm_verify(pfn_valid(pfn));
			mm_verify(page_zone(page) == pcp->zone);
			mm_verify(READ_ONCE(page->refcount) == 0 &&
				  page->flags == 0);
			mm_verify(IS_ALIGNED(pfn, 1UL << index_order(index)));
			sum += 1 << index_order(index);
			mm_verify(sum <= pcp_count(pcp));
			page = (const struct page *)(uintptr_t)page->word;
		}
	}
	mm_verify(sum == pcp_count(pcp));
}

void pcp_check(struct zone *zone)
{
	if (!populated_zone(zone))
		return;
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
		struct per_cpu_pages *pcp = &zone->pageset[cpu];

		spin_lock(&pcp->lock);
		pcp_check_one(pcp);
		spin_unlock(&pcp->lock);
	}
}
