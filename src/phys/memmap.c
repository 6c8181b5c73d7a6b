/* SPDX-License-Identifier: MIT */
/*
 * memmap.c - the array of descriptors, by sections, made as late as possible.
 *
 * 1. Purpose. Every frame has a struct page. Holes must cost nothing, and a
 *    machine of a terabyte must boot in a small process: so the array is
 *    reserved address space, and the descriptors of a section (128 MiB) whose
 *    frames are all free are written when the first of them is needed.
 *
 * 2. Structures. phys_sys.sections[], one struct mem_section per 128 MiB up to
 *    the end of RAM, or as far as RAM may come to be added (memmap_frames):
 *
 *      ABSENT    no RAM; no descriptors
 *      ONLINE    descriptors of [first, end) are valid
 *      DEFERRED  RAM from end to end, one node, one zone, nothing reserved:
 *                free, but in no free list
 *      GROWING   descriptors of [first, end) are valid; what is behind, up to
 *                zone.raw_end, is as in a deferred section. One per zone, and
 *                only with memmap_step
 *      RESERVED  RAM from end to end, all reserved (the memory map itself, in
 *                a large machine): never given out, descriptors never made
 *      OFFLINE   RAM from end to end that is not in use (hotplug.c);
 *                descriptors have their place and mean nothing
 *
 *    [first, end) is rounded to the largest buddy block, so that the buddy of
 *    a frame with a descriptor always has one too. phys_hot.pageblock_mt[] has
 *    a byte for each 512 frames.
 *
 * 3. Invariants.
 *    MM-1  A zone's NR_FREE_PAGES and managed_pages include its deferred
 *          sections, which zone.nr_deferred counts, and [raw_next, raw_end).
 *    MM-2  DEFERRED -> ONLINE happens under the zone lock, after the section's
 *          descriptors are written. Both go back only to OFFLINE, when no
 *          frame is in use.
 *    MM-3  Frames set aside for descriptors are reserved in memblock before
 *          sections are classified; nothing is reserved afterwards.
 *
 * 4. Locking. Zone lock for state, nr_deferred, deferred_next; pfn_valid()
 *    reads the state without it. Changes after boot: the hotplug lock too.
 *
 * 5. Life of a frame. absent -> reserved (memmap_init) -> free (memmap_free_all
 *    or deferred_grow_zone) -> in use.
 *
 * 6. Failure. Only at boot: no room for tables or descriptors. Memory that
 *    comes later brings its own (hotplug.c).
 *
 * 7. Cost. Boot touches O(sections) table entries and the descriptors of
 *    sections that are partly reserved. Growing writes 32768 descriptors once
 *    under the zone lock. Inside a small process (malloc/) that is too much:
 *    with memmap_step a section grows from its first frame on by that many,
 *    and boot makes no more than what its own memory needs.
 *
 * 8. Rejected. Growing by single blocks anywhere: a bitmap per section would
 *    have to say which; a section that grows in order needs one number.
 *
 * References: Linux documentation, mm/memory-model ("SPARSEMEM").
 */
#include <mmkit/errno.h>

#include "base/bitops.h"
#include "base/printk.h"
#include "base/string.h"
#include "phys/buddy_priv.h"
#include "phys/page_debug.h"
#include "phys/page_ext.h"
#include "phys/page_isolation.h"
#include "phys/phys.h"

/* Pieces of the array from this size on lie as large pages do. */
#define BACKING_LARGE (4UL << 20)
#define BACKING_ALIGN (2UL << 20)

MM_STATIC_ASSERT(PAGES_PER_SECTION <= UINT16_MAX, "section extent fits u16");
MM_STATIC_ASSERT(MAX_ORDER_NR_PAGES * sizeof(struct page) % PAGE_SIZE == 0,
		 "descriptors of whole blocks fill whole frames");

/* ---- questions
 * ------------------------------------------------------------------ */

struct mem_section *section_nr(u64 nr)
{
	return nr < phys_sys.nr_sections ? &phys_sys.sections[nr] : NULL;
}

static struct mem_section *section_of(u64 pfn)
{
	return section_nr(pfn >> PFN_SECTION_SHIFT);
}

static bool section_covers(const struct mem_section *sec, u64 pfn)
{
	u64 off = pfn & (PAGES_PER_SECTION - 1);

	return off >= READ_ONCE(sec->first) && off < READ_ONCE(sec->end);
}

bool pfn_valid(u64 pfn)
{
	const struct mem_section *sec = section_of(pfn);
	u8 state = sec ? section_state(sec) : SECTION_ABSENT;

	return (state == SECTION_ONLINE || state == SECTION_GROWING) &&
	       section_covers(sec, pfn);
}

bool pfn_present(u64 pfn)
{
	const struct mem_section *sec = section_of(pfn);

	return sec && section_state(sec) != SECTION_ABSENT &&
	       (section_covers(sec, pfn) || pfn_deferred(pfn));
}

bool pfn_deferred(u64 pfn)
{
	const struct mem_section *sec = section_of(pfn);
	const struct zone *zone;

	if (!sec || section_state(sec) != SECTION_GROWING)
		return sec && section_state(sec) == SECTION_DEFERRED;
	zone = phys_sys.hot.zone_of[READ_ONCE(sec->zone_id)];
	return pfn >= READ_ONCE(zone->raw_next) &&
	       pfn < READ_ONCE(zone->raw_end);
}

bool pfn_offline(u64 pfn)
{
	const struct mem_section *sec = section_of(pfn);

	return sec && section_state(sec) == SECTION_OFFLINE;
}

int memory_block_state(u64 pfn)
{
	const struct mem_section *sec = section_of(pfn);
	u32 flags;

	if (!sec || section_state(sec) == SECTION_ABSENT)
		return -ENOENT;
	flags = READ_ONCE(sec->flags);
	if (flags & SECTION_GOING_ONLINE)
		return MEM_GOING_ONLINE;
	if (flags & SECTION_GOING_OFFLINE)
		return MEM_GOING_OFFLINE;
	return section_state(sec) == SECTION_OFFLINE ? MEM_OFFLINE : MEM_ONLINE;
}

/* ---- room for tables and descriptors
 * ----------------------------------------------- */

/* Note in section NR that frames [S, E) of it, of node NID, are RAM. */
static void section_extend(u64 nr, u64 s, u64 e, int nid)
{
	struct mem_section *sec = &phys_sys.sections[nr];
	u64 base = nr << PFN_SECTION_SHIFT;
	u16 first = (u16)ALIGN_DOWN(s - base, MAX_ORDER_NR_PAGES);
	u16 end = (u16)ALIGN(e - base, MAX_ORDER_NR_PAGES);

	mm_assert(s < e && e - base <= PAGES_PER_SECTION);
	if (sec->state == SECTION_ABSENT) {
		sec->state = SECTION_ONLINE;
		sec->nid = (u8)nid;
		sec->flags = SECTION_MAP_BOOT;
		sec->first = first;
		sec->end = end;
		return;
	}
	mm_assert(first >= sec->first);
	sec->end = max(sec->end, end);
}

/* Mark the sections with RAM. */
static void find_sections(void)
{
	struct memblock_iter it;

	for_each_mem_range (it, NUMA_NO_NODE) {
		u64 pfn = PFN_UP(it.start), end = PFN_DOWN(it.end);

		while (pfn < end) {
			u64 nr = pfn >> PFN_SECTION_SHIFT;
			u64 stop = min(end, (nr + 1) << PFN_SECTION_SHIFT);

			section_extend(nr, pfn, stop, it.nid);
			pfn = stop;
		}
	}
}

/*
 * LEN bytes of node NID for the array from OFF on; 0: none. In a large machine
 * they lie in 2 MiB frames as they do in the array, so that few entries of
 * page tables map them.
 */
static phys_addr_t alloc_backing(u64 off, u64 len, int nid)
{
	u64 skew = off % BACKING_ALIGN;
	phys_addr_t at = 0;

	if (len >= BACKING_LARGE)
		at = memblock_phys_alloc_try_nid(len + skew, BACKING_ALIGN,
						 nid);
	if (!at)
		return memblock_phys_alloc_try_nid(len, PAGE_SIZE, nid);
	if (skew)
		mm_warn_on_once(memblock_phys_free(at, skew));
	return at + skew;
}

/* The sections with frames [PFN, END) have their descriptors at AT. */
static void note_backing(u64 pfn, u64 end, phys_addr_t at)
{
	u64 nr = pfn >> PFN_SECTION_SHIFT;

	for (; nr << PFN_SECTION_SHIFT < end; nr++) {
		struct mem_section *sec = &phys_sys.sections[nr];
		u64 first = (nr << PFN_SECTION_SHIFT) + sec->first;

		mm_assert(first >= pfn && first < end);
		sec->map =
			(u32)PFN_DOWN(at + (first - pfn) * sizeof(struct page));
	}
}

/* Set memory aside for the descriptors of frames [PFN, END) of node NID. */
static int back_descriptors(u64 pfn, u64 end, int nid)
{
	u64 off = pfn * sizeof(struct page);
	u64 len = (end - pfn) * sizeof(struct page);
	phys_addr_t at;

	mm_assert(IS_ALIGNED(off | len, PAGE_SIZE));
	if (phys_sys.memmap_apart)
		return port_memmap_back(off, len, 0);
	at = alloc_backing(off, len, nid);
	if (!at)
		return -ENOMEM;
	note_backing(pfn, end, at);
	return port_memmap_back(off, len, at);
}

/* Descriptors that came from the running allocator, frame by frame. */
static int backing_chain(u64 off, const struct mem_section *sec,
			 memmap_backing_fn *fn, void *arg)
{
	u64 i = PAGES_PER_SECTION * sizeof(struct page) / PAGE_SIZE;
	int err = 0;

	for (u64 pfn = sec->map; pfn && !err;
	     pfn = page_private(pfn_to_page(pfn))) {
		mm_verify(i > 0);
		err = fn(off + (--i << PAGE_SHIFT), pfn, 1, arg);
	}
	return err;
}

int memmap_backing(u64 nr, memmap_backing_fn *fn, void *arg)
{
	const struct mem_section *sec = &phys_sys.sections[nr];
	u64 pfn = nr << PFN_SECTION_SHIFT;
	u64 off = pfn * sizeof(struct page);

	mm_assert(nr < phys_sys.nr_sections);
	if (sec->state == SECTION_ABSENT)
		return 0;
	if (sec->flags & SECTION_MAP_BOOT && phys_sys.memmap_apart)
		return 0;
	if (sec->flags & SECTION_MAP_BOOT)
		return fn(off + sec->first * sizeof(struct page), sec->map,
			  (u64)(sec->end - sec->first) * sizeof(struct page) >>
				  PAGE_SHIFT,
			  arg);
	if (sec->flags & SECTION_MAP_SELF)
		return fn(off, pfn,
			  PAGES_PER_SECTION * sizeof(struct page) >> PAGE_SHIFT,
			  arg);
	return backing_chain(off, sec, fn, arg);
}

/*
 * The run of frames that begins at section *NR and has one piece of the array
 * and one node. *NR is left behind it.
 */
static void next_run(u64 *nr, u64 *pfn, u64 *end)
{
	const struct mem_section *sec = &phys_sys.sections[*nr];
	int nid = sec->nid;
	u64 base = *nr << PFN_SECTION_SHIFT;

	*pfn = base + sec->first;
	*end = base + sec->end;
	for (++*nr; *nr < phys_sys.nr_sections; ++*nr) {
		base = *nr << PFN_SECTION_SHIFT;
		sec = &phys_sys.sections[*nr];
		if (sec->state == SECTION_ABSENT || sec->nid != nid ||
		    base + sec->first != *end)
			return;
		*end = base + sec->end;
	}
}

/* Descriptors for all sections: in one piece per run where that is free. */
static int back_sections(void)
{
	u64 nr = 0;

	while (nr < phys_sys.nr_sections) {
		u64 first = nr, pfn, end;
		int err;

		if (phys_sys.sections[nr].state == SECTION_ABSENT) {
			nr++;
			continue;
		}
		next_run(&nr, &pfn, &end);
		if (!back_descriptors(pfn, end, phys_sys.sections[first].nid))
			continue;
		for (u64 i = first; i < nr; i++) {
			const struct mem_section *sec = &phys_sys.sections[i];
			u64 base = i << PFN_SECTION_SHIFT;

			err = back_descriptors(base + sec->first,
					       base + sec->end, sec->nid);
			if (err)
				return err;
		}
	}
	return 0;
}

int memmap_reserve(void)
{
	u64 frames = ALIGN(max(phys_sys.hot.max_pfn, phys_sys.max_possible_pfn),
			   MAX_ORDER_NR_PAGES);
	u64 blocks = frames >> pageblock_order;

	phys_sys.memmap_frames = frames;
	phys_sys.nr_sections = DIV_ROUND_UP(frames, PAGES_PER_SECTION);
	phys_sys.sections = memblock_alloc(
		phys_sys.nr_sections * sizeof(struct mem_section), 0);
	phys_sys.hot.pageblock_mt = memblock_alloc(blocks, 0);
	phys_sys.hot.large_maps =
		memblock_alloc((frames >> 9) * sizeof(u16), 0);
	if (!phys_sys.sections || !phys_sys.hot.pageblock_mt ||
	    !phys_sys.hot.large_maps)
		return -ENOMEM;
	/* From memblock it comes as zeros. */
	if (home_migratetype())
		mm_memset(phys_sys.hot.pageblock_mt, home_migratetype(),
			  blocks);
	phys_sys.hot.memmap = port_memmap_reserve(frames * sizeof(struct page));
	if (!phys_sys.hot.memmap)
		return -ENOMEM;
	find_sections();
	return back_sections();
}

/* ---- making descriptors
 * ----------------------------------------------------------------- */

static void init_page(struct page *page, u8 zone_id, bool reserved)
{
	*page = (struct page){
		.flags = reserved ? 1u << PG_reserved : 0,
		.zone_id = zone_id,
		.refcount = reserved ? 1 : 0,
		.mapcount = -1,
	};
}

/* The region of T that holds all of [BASE, END), or NULL. */
static const struct memblock_region *
region_around(const struct memblock_type *t, phys_addr_t base, phys_addr_t end)
{
	for (u64 i = 0; i < t->cnt; i++) {
		const struct memblock_region *r = &t->regions[i];

		if (r->base <= base && end - r->base <= r->size)
			return r;
	}
	return NULL;
}

/* What section NR is; for a deferred one also the zone that it counts in. */
static void classify(u64 nr)
{
	struct mem_section *sec = &phys_sys.sections[nr];
	u64 pfn = nr << PFN_SECTION_SHIFT;
	phys_addr_t base = PFN_PHYS(pfn);
	phys_addr_t end = PFN_PHYS(pfn + PAGES_PER_SECTION);
	const struct memblock_region *r;
	struct zone *zone;

	if (sec->state == SECTION_ABSENT || sec->first != 0 ||
	    sec->end != PAGES_PER_SECTION)
		return;
	r = region_around(memblock_memory_table(), base, end);
	if (!r || (r->flags & (MEMBLOCK_NOMAP | MEMBLOCK_DRIVER_MANAGED)))
		return;
	/* A CMA area's frames are reserved only until it is active. */
	if (cma_overlaps(pfn, pfn + PAGES_PER_SECTION))
		return;
	zone = zone_at(r->nid, pfn);
	if (region_around(memblock_reserved_table(), base, end)) {
		sec->state = SECTION_RESERVED;
		sec->zone_id = zone ? zone->zone_id : 0;
		return;
	}
	if (memblock_is_region_reserved(base, end - base) || !zone ||
	    zone_end_pfn(zone) < pfn + PAGES_PER_SECTION)
		return;
	sec->state = SECTION_DEFERRED;
	sec->zone_id = zone->zone_id;
}

/* The zone of node NID that has part of the largest block at PFN, or 0. */
static u8 block_zone_id(int nid, u64 pfn)
{
	const pg_data_t *pgdat = node_data(nid);

	for (int zt = 0; zt < MAX_NR_ZONES; zt++) {
		const struct zone *zone = &pgdat->node_zones[zt];

		if (zone->zone_id &&
		    zone->zone_start_pfn < pfn + MAX_ORDER_NR_PAGES &&
		    pfn < zone_end_pfn(zone))
			return zone->zone_id;
	}
	return 0;
}

/*
 * With memmap_step: section NR, one range of RAM in one zone, gets descriptors
 * for what is reserved in it, which bottom-up means its first frames, and the
 * rest grows. Not if a section of its zone does so already.
 */
static void start_small(u64 nr)
{
	struct mem_section *sec = &phys_sys.sections[nr];
	u64 base = nr << PFN_SECTION_SHIFT, end = base + sec->end;
	struct zone *zone = zone_at(sec->nid, base + sec->first);
	const struct memblock_type *t = memblock_reserved_table();
	u64 from = base + sec->first;

	if (!phys_sys.memmap_step || !zone || zone->raw_end ||
	    zone_end_pfn(zone) < end || cma_overlaps(from, end) ||
	    !region_around(memblock_memory_table(), PFN_PHYS(from),
			   PFN_PHYS(end)))
		return;
	for (u64 i = 0; i < t->cnt; i++) {
		u64 stop = PFN_UP(t->regions[i].base + t->regions[i].size);

		if (PFN_DOWN(t->regions[i].base) < end)
			from = max(from, stop);
	}
	from = ALIGN(from, phys_sys.memmap_step);
	if (from >= end)
		return;
	sec->zone_id = zone->zone_id;
	sec->end = (u16)(from - base);
	sec->state = SECTION_GROWING;
	zone->raw_next = from;
	zone->raw_end = end;
}

/* All frames of section NR reserved, in the zone that spans them. */
static void init_section_reserved(u64 nr)
{
	const struct mem_section *sec = &phys_sys.sections[nr];
	u64 base = nr << PFN_SECTION_SHIFT;
	u64 pfn = base + sec->first, end = base + sec->end;
	u8 zone_id = 0;

	/* Holes before the first zone count to it. */
	for (u64 at = pfn; !zone_id && at < end; at += MAX_ORDER_NR_PAGES)
		zone_id = block_zone_id(sec->nid, at);
	mm_assert(zone_id != 0);
	for (; pfn < end; pfn++) {
		u8 id = 0;

		if (IS_ALIGNED(pfn, MAX_ORDER_NR_PAGES))
			id = block_zone_id(sec->nid, pfn);
		zone_id = id ? id : zone_id;
		init_page(pfn_to_page(pfn), zone_id, true);
	}
}

/* Give RAM frames [PFN, END) of node NID the number of their zone. */
static void set_zone_ids(u64 pfn, u64 end, int nid)
{
	while (pfn < end) {
		struct zone *zone = zone_at(nid, pfn);
		u64 stop;

		mm_verify(zone && zone->zone_id);
		stop = min(end, zone_end_pfn(zone));
		for (; pfn < stop; pfn++) {
			if (pfn_valid(pfn))
				pfn_to_page(pfn)->zone_id = zone->zone_id;
			else
				pfn |= PAGES_PER_SECTION - 1;
		}
	}
}

/* Log the frames of [PFN, END) that are no RAM but have a descriptor. */
static void note_hole(u64 pfn, u64 end)
{
	u64 nr = 0, at = 0;

	for (; pfn < end; pfn++) {
		if (!pfn_valid(pfn)) {
			pfn |= MAX_ORDER_NR_PAGES - 1;
			continue;
		}
		at = pfn;
		nr++;
	}
	if (nr) {
		const struct zone *zone = page_zone(pfn_to_page(at));

		pr_info("On node %d, zone %s: %llu pages in unavailable ranges",
			zone_to_nid(zone), zone->name, (unsigned long long)nr);
	}
}

static void note_holes(void)
{
	struct memblock_iter it;
	u64 pos = 0;

	for_each_mem_range (it, NUMA_NO_NODE) {
		note_hole(pos, PFN_UP(it.start));
		pos = PFN_DOWN(it.end);
	}
	note_hole(pos, ALIGN(phys_sys.hot.max_pfn, MAX_ORDER_NR_PAGES));
}

void memmap_init(void)
{
	struct memblock_iter it;

	for (u64 nr = 0; nr < phys_sys.nr_sections; nr++) {
		classify(nr);
		if (phys_sys.sections[nr].state != SECTION_ONLINE)
			continue;
		page_ext_made(nr);
		start_small(nr);
		init_section_reserved(nr);
	}
	for_each_mem_range (it, NUMA_NO_NODE)
		set_zone_ids(PFN_UP(it.start), PFN_DOWN(it.end), it.nid);
	note_holes();
}

/* ---- handing over
 * ----------------------------------------------------------------------------
 */

/* Frames [PFN, END) of an online section and one zone become free. */
static void free_boot_range(struct zone *zone, u64 pfn, u64 end)
{
	unsigned long flags;

	page_debug_boot_free(pfn, end);
	for (u64 i = pfn; i < end; i++) {
		struct page *page = pfn_to_page(i);

		mm_verify(PageReserved(page));
		mm_verify(page->zone_id == zone->zone_id);
		init_page(page, zone->zone_id, false);
	}
	spin_lock_irqsave(&zone->lock, flags);
	free_pages_range(zone, pfn, end, home_migratetype());
	WRITE_ONCE(zone->managed_pages, zone->managed_pages + (end - pfn));
	spin_unlock_irqrestore(&zone->lock, flags);
}

/* NR free frames of ZONE without descriptors. Zone lock, after boot. */
static void count_unmade(struct zone *zone, u64 nr)
{
	WRITE_ONCE(zone->managed_pages, zone->managed_pages + nr);
	WRITE_ONCE(zone->nr_free_pages, zone->nr_free_pages + (s64)nr);
}

/* A whole free section of ZONE: counted, not made. Zone lock, after boot. */
static void count_deferred(struct zone *zone, u64 nr)
{
	if (zone->nr_deferred == 0 || nr < zone->deferred_next)
		zone->deferred_next = nr;
	WRITE_ONCE(zone->nr_deferred, zone->nr_deferred + 1);
	count_unmade(zone, PAGES_PER_SECTION);
}

/* Frames [PFN, END), free and of one section, at boot. */
static void free_boot_part(u64 pfn, u64 end, int nid)
{
	u64 nr = pfn >> PFN_SECTION_SHIFT;
	struct zone *zone = zone_at(nid, pfn);

	mm_verify(zone != NULL);
	if (phys_sys.sections[nr].state == SECTION_DEFERRED) {
		count_deferred(zone, nr);
		return;
	}
	if (pfn < zone->raw_next && end > zone->raw_next) {
		free_boot_range(zone, pfn, zone->raw_next);
		pfn = zone->raw_next;
	}
	if (pfn_deferred(pfn))
		count_unmade(zone, end - pfn);
	else
		free_boot_range(zone, pfn, end);
}

void memmap_free_all(void)
{
	struct memblock_iter it;
	struct zone *zone;

	for_each_free_mem_range (it, NUMA_NO_NODE, 0) {
		u64 pfn = PFN_UP(it.start), end = PFN_DOWN(it.end);

		while (pfn < end) {
			u64 nr = pfn >> PFN_SECTION_SHIFT;
			u64 stop = min(end, (nr + 1) << PFN_SECTION_SHIFT);

			zone = zone_at(it.nid, pfn);
			mm_verify(zone != NULL);
			stop = min(stop, zone_end_pfn(zone));
			free_boot_part(pfn, stop, it.nid);
			pfn = stop;
		}
	}
	for_each_zone (zone)
		phys_sys.totalram_pages += zone->managed_pages;
}

/* Make frames [PFN, END) of ZONE, which are counted free already. */
static void make_free(struct zone *zone, u64 pfn, u64 end)
{
	for (u64 i = pfn; i < end; i++)
		init_page(pfn_to_page(i), zone->zone_id, false);
	page_debug_boot_free(pfn, end);
}

/* The same for the free lists, once the section says that they are made. */
static void list_free(struct zone *zone, u64 pfn, u64 end)
{
	/* Counted twice for a moment rather than missing for one. */
	free_pages_range(zone, pfn, end, home_migratetype());
	WRITE_ONCE(zone->nr_free_pages, zone->nr_free_pages - (s64)(end - pfn));
}

/* The next NR frames, or fewer, of the section of ZONE that grows. */
static void grow_section(struct zone *zone, u64 nr)
{
	u64 pfn = zone->raw_next, end = min(pfn + nr, zone->raw_end);
	struct mem_section *sec = section_of(pfn);
	u64 base = pfn & ~(PAGES_PER_SECTION - 1);

	assert_spin_locked(&zone->lock);
	mm_verify(pfn < end && sec->state == SECTION_GROWING);
	make_free(zone, pfn, end);
	__atomic_store_n(&sec->end, (u16)(end - base), __ATOMIC_RELEASE);
	if (end == zone->raw_end)
		section_set_state(sec, SECTION_ONLINE);
	WRITE_ONCE(zone->raw_next, end);
	list_free(zone, pfn, end);
}

/* All of the section of ZONE that grows, so that another can. */
static void grow_whole(struct zone *zone)
{
	if (zone->raw_next < zone->raw_end)
		grow_section(zone, PAGES_PER_SECTION);
}

/* Section NR grows from now on from frame FIRST of it. */
static void start_growing(struct zone *zone, u64 nr, u64 first)
{
	struct mem_section *sec = section_nr(nr);

	grow_whole(zone);
	WRITE_ONCE(sec->end, (u16)first);
	WRITE_ONCE(zone->raw_end, (nr + 1) << PFN_SECTION_SHIFT);
	WRITE_ONCE(zone->raw_next, (nr << PFN_SECTION_SHIFT) + first);
	section_set_state(sec, SECTION_GROWING);
}

/* Make section NR of ZONE real. Its frames are counted free already. */
static void deferred_make(struct zone *zone, u64 nr)
{
	struct mem_section *sec = &phys_sys.sections[nr];
	u64 pfn = nr << PFN_SECTION_SHIFT, end = pfn + PAGES_PER_SECTION;

	assert_spin_locked(&zone->lock);
	mm_verify(sec->state == SECTION_DEFERRED);
	mm_verify(sec->zone_id == zone->zone_id && zone->nr_deferred > 0);
	page_ext_made(nr);
	if (phys_sys.memmap_step) {
		start_growing(zone, nr, 0);
	} else {
		make_free(zone, pfn, end);
		section_set_state(sec, SECTION_ONLINE);
		list_free(zone, pfn, end);
	}
	WRITE_ONCE(zone->nr_deferred, zone->nr_deferred - 1);
}

bool deferred_grow_zone(struct zone *zone)
{
	if (zone->raw_next < zone->raw_end) {
		grow_section(zone, phys_sys.memmap_step);
		return true;
	}
	if (!zone->nr_deferred)
		return false;
	for (u64 nr = zone->deferred_next;; nr++) {
		const struct mem_section *sec = &phys_sys.sections[nr];

		mm_verify(nr < phys_sys.nr_sections);
		if (section_state(sec) != SECTION_DEFERRED ||
		    READ_ONCE(sec->zone_id) != zone->zone_id)
			continue;
		zone->deferred_next = nr + 1;
		deferred_make(zone, nr);
		return true;
	}
}

struct page *pfn_to_online_page(u64 pfn)
{
	struct mem_section *sec = section_of(pfn);

	if (!sec)
		return NULL;
	if (pfn_deferred(pfn)) {
		struct zone *zone =
			phys_sys.hot.zone_of[READ_ONCE(sec->zone_id)];
		unsigned long flags;

		spin_lock_irqsave(&zone->lock, flags);
		if (section_state(sec) == SECTION_DEFERRED &&
		    sec->zone_id == zone->zone_id)
			deferred_make(zone, pfn >> PFN_SECTION_SHIFT);
		if (pfn_deferred(pfn))
			grow_whole(zone);
		spin_unlock_irqrestore(&zone->lock, flags);
	}
	return pfn_valid(pfn) ? pfn_to_page(pfn) : NULL;
}

/* ---- memory that comes and goes
 * -------------------------------------------------------------
 *
 * The steps of hotplug.c that touch sections. Hotplug lock held.
 */

void section_set_state(struct mem_section *sec, enum section_state state)
{
	__atomic_store_n(&sec->state, (u8)state, __ATOMIC_RELEASE);
}

u64 section_self_frames(void)
{
	u64 bytes = PAGES_PER_SECTION * sizeof(struct page);

	return ALIGN(PFN_UP(bytes), pageblock_nr_pages);
}

void section_add(u64 nr, int nid)
{
	struct mem_section *sec = section_nr(nr);

	mm_verify(sec && sec->state == SECTION_ABSENT);
	WRITE_ONCE(sec->nid, (u8)nid);
	WRITE_ONCE(sec->zone_id, (u8)0);
	WRITE_ONCE(sec->first, (u16)0);
	WRITE_ONCE(sec->end, (u16)PAGES_PER_SECTION);
	section_set_state(sec, SECTION_OFFLINE);
}

void section_remove(u64 nr)
{
	struct mem_section *sec = section_nr(nr);

	mm_verify(sec && sec->state == SECTION_OFFLINE);
	mm_assert(!(sec->flags & (SECTION_GOING_ONLINE | SECTION_ISOLATED)));
	section_set_state(sec, SECTION_ABSENT);
}

/* Frames of section NR that may be free: all but its own descriptors'. */
static u64 section_first_usable(const struct mem_section *sec)
{
	return sec->flags & SECTION_MAP_SELF ? section_self_frames() : 0;
}

/* NR more frames for ZONE to manage. Zone lock held. */
static void count_managed(struct zone *zone, s64 nr)
{
	mm_verify((s64)zone->managed_pages + nr >= 0);
	WRITE_ONCE(zone->managed_pages, zone->managed_pages + (u64)nr);
	__atomic_fetch_add(&phys_sys.totalram_pages, (u64)nr, __ATOMIC_RELAXED);
}

void section_online(struct zone *zone, u64 nr)
{
	struct mem_section *sec = section_nr(nr);
	u64 pfn = nr << PFN_SECTION_SHIFT, self = section_first_usable(sec);
	unsigned long flags;

	mm_verify(sec->state == SECTION_OFFLINE && zone->zone_id);
	WRITE_ONCE(sec->zone_id, zone->zone_id);
	for (u64 i = 0; i < self; i++)
		init_page(pfn_to_page(pfn + i), zone->zone_id, true);
	if (self && !phys_sys.memmap_step)
		make_free(zone, pfn + self, pfn + PAGES_PER_SECTION);
	spin_lock_irqsave(&zone->lock, flags);
	if (self && phys_sys.memmap_step) {
		start_growing(zone, nr, self);
		count_managed(zone, (s64)(PAGES_PER_SECTION - self));
		WRITE_ONCE(zone->nr_free_pages,
			   zone->nr_free_pages +
				   (s64)(PAGES_PER_SECTION - self));
	} else if (self) {
		section_set_state(sec, SECTION_ONLINE);
		free_pages_range(zone, pfn + self, pfn + PAGES_PER_SECTION,
				 home_migratetype());
		count_managed(zone, (s64)(PAGES_PER_SECTION - self));
	} else {
		section_set_state(sec, SECTION_DEFERRED);
		count_deferred(zone, nr);
		__atomic_fetch_add(&phys_sys.totalram_pages, PAGES_PER_SECTION,
				   __ATOMIC_RELAXED);
	}
	spin_unlock_irqrestore(&zone->lock, flags);
}

bool section_undefer(struct zone *zone, u64 nr)
{
	struct mem_section *sec = section_nr(nr);
	unsigned long flags;
	bool was;

	spin_lock_irqsave(&zone->lock, flags);
	was = sec->state == SECTION_DEFERRED;
	if (was) {
		mm_verify(zone->nr_deferred > 0);
		section_set_state(sec, SECTION_OFFLINE);
		WRITE_ONCE(zone->nr_deferred, zone->nr_deferred - 1);
		WRITE_ONCE(zone->nr_free_pages,
			   zone->nr_free_pages - (s64)PAGES_PER_SECTION);
		count_managed(zone, -(s64)PAGES_PER_SECTION);
	}
	spin_unlock_irqrestore(&zone->lock, flags);
	return was;
}

/* The isolated free block at PFN leaves its zone. Returns its frames. */
static u64 take_block(struct zone *zone, u64 pfn)
{
	struct page *page = pfn_to_page(pfn);
	unsigned int order = buddy_order(page);

	mm_verify(PageBuddy(page) && page->zone_id == zone->zone_id);
	mm_verify(buddy_list_type(page) == MIGRATE_ISOLATE);
	buddy_del(zone, page, order);
	/* Mapped again, for whoever fills it next; damage is told, no more. */
	if (unlikely(phys_sys.debug.contents))
		(void)page_debug_take(page, order);
	for (u64 i = 0; i < 1UL << order; i++) {
		set_page_count(page + i, 1);
		SetPageReserved(page + i);
		SetPageOffline(page + i);
	}
	return 1UL << order;
}

void section_offline(struct zone *zone, u64 nr)
{
	struct mem_section *sec = section_nr(nr);
	u64 base = nr << PFN_SECTION_SHIFT, end = base + PAGES_PER_SECTION;
	u64 first = base + section_first_usable(sec);
	unsigned long flags;

	mm_verify(sec->state == SECTION_ONLINE);
	spin_lock_irqsave(&zone->lock, flags);
	for (u64 pfn = first; pfn < end;)
		pfn += take_block(zone, pfn);
	spin_unlock_irqrestore(&zone->lock, flags);
	/* Nothing free is left in the pageblocks: only their type changes. */
	undo_isolate_page_range(first, end, home_migratetype());
	spin_lock_irqsave(&zone->lock, flags);
	section_set_state(sec, SECTION_OFFLINE);
	count_managed(zone, -(s64)(end - first));
	spin_unlock_irqrestore(&zone->lock, flags);
}
