/* SPDX-License-Identifier: MIT */
/*
 * mt_trim.c - free frames go back to the system.
 *
 * mt_map knows which frames have been touched since they were last given
 * back. When more of these are free than tune.trim_keep and a part of what is
 * in use, all are given back at once: the next time is that many frees away, so
 * a free pays for a bounded number of frames, and what stays resident is
 * bounded by what is in use. The free lists are walked under the zone's lock;
 * blocks stay where they are, so nobody finds memory short meanwhile.
 *
 * What a process had at its peak is what it needs of a machine. So before more
 * frames are dirty than ever, those that are free go back if they are a
 * sixteenth: small blocks that serve no request for larger ones, mostly. It
 * takes as many new frames until that happens again.
 */
#include <string.h>
#include <sys/mman.h>

#include <mmkit/page_alloc.h>
#include <mmkit/slab.h>

#include "mt.h"
#include "phys/phys.h"

/* Of what is in use. */
#define DUE_PART 16
/* Of what is dirty, and frames beside. */
#define PEAK_PART  32
#define PEAK_LEAST 16

/* In as few calls as there are gaps. */
u64 mt_give_back(u64 f, u64 end)
{
	u64 nr = 0, from;

	while (f < end) {
		while (f < end && !READ_ONCE(*mt_map_of(f)))
			f++;
		for (from = f; f < end && READ_ONCE(*mt_map_of(f)); f++)
			WRITE_ONCE(*mt_map_of(f), MT_ALL_GRAINS(MT_NONE));
		if (f == from)
			break;
		madvise(mt_base + PFN_PHYS(from), PFN_PHYS(f - from),
			MADV_DONTNEED);
		nr += f - from;
	}
	return nr;
}

static u64 trim_list(const struct page_list *l, unsigned int order)
{
	u64 nr = 0;

	for (struct page *p = page_list_first(l); p; p = page_list_next(p)) {
		u64 f = mt_frame(page_view(p));

		nr += mt_give_back(f, f + (1UL << order));
	}
	return nr;
}

static u64 trim_zone(struct zone *zone)
{
	unsigned long flags;
	u64 nr = 0;

	spin_lock_irqsave(&zone->lock, flags);
	for (unsigned int order = 0; order < MAX_ORDER; order++) {
		for (int mt_type = 0; mt_type < MIGRATE_TYPES; mt_type++)
			nr += trim_list(
				&zone->free_area[order].free_list[mt_type],
				order);
	}
	spin_unlock_irqrestore(&zone->lock, flags);
	return nr;
}

static u64 trim_zones(void)
{
	u64 nr = 0;

	for (u32 id = 1; id <= phys_sys.nr_zone_ids; id++) {
		if (phys_sys.hot.zone_of[id])
			nr += trim_zone(phys_sys.hot.zone_of[id]);
	}
	return nr;
}

static void count_trim(u64 nr)
{
	__atomic_fetch_sub(&mt_sys.nr_dirty, (s64)nr, __ATOMIC_RELAXED);
	__atomic_fetch_add(&mt_sys.nr_trims, 1, __ATOMIC_RELAXED);
}

static u64 trim_frames(void)
{
	u64 nr = mt_pack_trim();

	for (u32 c = MT_FIRST; c < MT_NR_CLASSES; c++) {
		struct kmem_cache *s =
			__atomic_load_n(&mt_sys.cache[c], __ATOMIC_ACQUIRE);

		if (s)
			kmem_cache_shrink(s);
	}
	drain_all_pages();
	nr += trim_zones();
	count_trim(nr);
	return nr;
}

/* What is free in packs is given back as free frames are. */
static s64 used_frames(void)
{
	return (s64)(totalram_pages() - nr_free_pages() - mt_sys.boot_frames -
		     mt_pack_idle());
}

bool mt_trim_due(void)
{
	s64 dirty = __atomic_load_n(&mt_sys.nr_dirty, __ATOMIC_RELAXED), used;
	s64 keep = (s64)mt_sys.tune.trim_keep;

	if (dirty <= keep)
		return false;
	/* The depots' are given back first. */
	used = used_frames() -
	       (__atomic_load_n(&mt_sys.depot_bytes, __ATOMIC_RELAXED) >>
		PAGE_SHIFT);
	return dirty > keep + used + used / DUE_PART;
}

bool mt_peak_due_slow(s64 dirty)
{
	s64 keep = dirty / PEAK_PART + PEAK_LEAST;

	WRITE_ONCE(mt_sys.peak_dirty, dirty);
	if (mt_sys.tune.trim_set)
		keep = max(keep, (s64)mt_sys.tune.trim_keep);
	return dirty > used_frames() + keep;
}

void mt_trim_peak(void)
{
	mt_enter();
	count_trim(mt_pack_trim() + trim_zones());
	mt_leave();
}

u64 mt_trim(void)
{
	u64 nr;

	mt_depot_flush();
	mt_enter();
	nr = trim_frames();
	mt_leave();
	return nr << PAGE_SHIFT;
}
