/* SPDX-License-Identifier: MIT */
/*
 * memblock.h - memory before there is a page allocator.
 *
 * Two tables of byte ranges: what RAM there is (memory) and what of it is
 * taken (reserved). Free is memory minus reserved. Single-threaded: boot
 * only. Theory: src/phys/memblock.c.
 */
#ifndef MMKIT_MEMBLOCK_H
#define MMKIT_MEMBLOCK_H

#include <mmkit/types.h>

#define MEMBLOCK_NONE		0x0u
#define MEMBLOCK_HOTPLUG	0x1u /* may be taken out while running */
#define MEMBLOCK_MIRROR		0x2u /* mirrored: preferred */
#define MEMBLOCK_NOMAP		0x4u /* not in the direct map: never given out */
#define MEMBLOCK_DRIVER_MANAGED 0x8u /* a driver's: never given out */

/* Upper bounds: no bound, the current limit; and below 4 GiB. */
#define MEMBLOCK_ALLOC_ANYWHERE	  (~(phys_addr_t)0)
#define MEMBLOCK_ALLOC_ACCESSIBLE ((phys_addr_t)0)
#define ARCH_LOW_ADDRESS_LIMIT	  0xffffffffUL
#define NUMA_NO_NODE		  (-1)

struct memblock_region {
	phys_addr_t base;
	phys_addr_t size;
	u32 flags; /* MEMBLOCK_* */
	s32 nid;   /* NUMA_NO_NODE: not known */
};

/* Sorted by base, disjoint; neighbours with equal flags and node merged. */
struct memblock_type {
	const char *name;
	u64 cnt, max;
	phys_addr_t total_size;
	struct memblock_region *regions;
	phys_addr_t array_phys; /* where a grown array lies; 0: static */
};

/*
 * memblock_init: empty tables. memblock_set_growable: from now on a full
 * table may be doubled in memory taken from memblock itself (which must be
 * online). Before, a full table makes the call fail.
 */
void memblock_init(void);
void memblock_set_growable(bool growable);

/* memblock_allow_resize: Linux's name for memblock_set_growable(true). */
static inline void memblock_allow_resize(void)
{
	memblock_set_growable(true);
}

/* memblock_set_bottom_up: allocate from the low end (default: high end). */
void memblock_set_bottom_up(bool bottom_up);
bool memblock_bottom_up(void);
/* memblock_set_current_limit: what MEMBLOCK_ALLOC_ACCESSIBLE stands for. */
void memblock_set_current_limit(phys_addr_t limit);
phys_addr_t memblock_get_current_limit(void);

/*
 * Change of a table. Ranges may overlap what is there: added ranges cover
 * only the gaps (existing regions keep their flags and node), removal cuts.
 * A range that would wrap is cut at the end of the address space; an empty
 * one changes nothing. Return 0 or -ENOMEM (table full); the table is
 * unchanged then.
 */
int memblock_add(phys_addr_t base, phys_addr_t size) MM_MUST_CHECK;
int memblock_add_node(phys_addr_t base, phys_addr_t size, int nid,
		      u32 flags) MM_MUST_CHECK;
int memblock_remove(phys_addr_t base, phys_addr_t size) MM_MUST_CHECK;
int memblock_reserve(phys_addr_t base, phys_addr_t size) MM_MUST_CHECK;
/* memblock_phys_free: RESERVE taken back; the name in Linux is the same. */
int memblock_phys_free(phys_addr_t base, phys_addr_t size) MM_MUST_CHECK;
int memblock_set_node(phys_addr_t base, phys_addr_t size,
		      int nid) MM_MUST_CHECK;
int memblock_mark_hotplug(phys_addr_t base, phys_addr_t size) MM_MUST_CHECK;
int memblock_clear_hotplug(phys_addr_t base, phys_addr_t size) MM_MUST_CHECK;
int memblock_mark_mirror(phys_addr_t base, phys_addr_t size) MM_MUST_CHECK;
int memblock_clear_mirror(phys_addr_t base, phys_addr_t size) MM_MUST_CHECK;
int memblock_mark_nomap(phys_addr_t base, phys_addr_t size) MM_MUST_CHECK;
int memblock_clear_nomap(phys_addr_t base, phys_addr_t size) MM_MUST_CHECK;

/*
 * Making memory smaller; 0 or -ENOMEM (table full: partly done).
 *   trim_memory: cut the ends of each region to multiples of ALIGN (a power
 *     of two); a region without a whole unit is removed.
 *   enforce_memory_limit: keep the lowest LIMIT bytes of memory (0: all);
 *     reservations above are dropped.
 *   cap_memory_range: keep the memory in [BASE, BASE + SIZE) (SIZE 0: all)
 *     and that marked NOMAP; reservations outside are dropped.
 *   mem_limit_remove_map: as enforce_memory_limit, but NOMAP memory stays.
 */
int memblock_trim_memory(phys_addr_t align) MM_MUST_CHECK;
int memblock_enforce_memory_limit(phys_addr_t limit) MM_MUST_CHECK;
int memblock_cap_memory_range(phys_addr_t base, phys_addr_t size) MM_MUST_CHECK;
int memblock_mem_limit_remove_map(phys_addr_t limit) MM_MUST_CHECK;

/*
 * memblock_alloc_range_nid: SIZE bytes aligned to ALIGN (a power of two; 0:
 * cache line) inside [START, END), reserved for the caller: on node NID, else
 * (unless EXACT_NID) on any. Mirrored memory is preferred, hotpluggable memory
 * not used. Returns the address, or 0 if there is none. Contents are
 * undefined. Frame 0 is never returned. The source of all forms below.
 */
phys_addr_t memblock_alloc_range_nid(phys_addr_t size, phys_addr_t align,
				     phys_addr_t start, phys_addr_t end,
				     int nid, bool exact_nid);
/* On any node. */
phys_addr_t memblock_phys_alloc_range(phys_addr_t size, phys_addr_t align,
				      phys_addr_t start, phys_addr_t end);
/* Below the current limit on node NID, then anywhere; _exact: on NID only. */
phys_addr_t memblock_phys_alloc_try_nid(phys_addr_t size, phys_addr_t align,
					int nid);
phys_addr_t memblock_phys_alloc_exact_nid(phys_addr_t size, phys_addr_t align,
					  int nid);

static inline phys_addr_t memblock_phys_alloc(phys_addr_t size,
					      phys_addr_t align)
{
	return memblock_phys_alloc_range(size, align, 0,
					 MEMBLOCK_ALLOC_ACCESSIBLE);
}

/*
 * memblock_alloc_try_nid: the same as a view of zeroed memory; NULL if there
 * is none. MIN_ADDR is preferred: where there is nothing above it, memory
 * below is given. MAX_ADDR and the current limit hold. _raw: not zeroed.
 * exact_nid: on NID or not at all.
 */
void *memblock_alloc_try_nid(phys_addr_t size, phys_addr_t align,
			     phys_addr_t min_addr, phys_addr_t max_addr,
			     int nid);
void *memblock_alloc_try_nid_raw(phys_addr_t size, phys_addr_t align,
				 phys_addr_t min_addr, phys_addr_t max_addr,
				 int nid);
void *memblock_alloc_exact_nid_raw(phys_addr_t size, phys_addr_t align,
				   phys_addr_t min_addr, phys_addr_t max_addr,
				   int nid);

static inline void *memblock_alloc_node(phys_addr_t size, phys_addr_t align,
					int nid)
{
	return memblock_alloc_try_nid(size, align, 0, MEMBLOCK_ALLOC_ACCESSIBLE,
				      nid);
}

static inline void *memblock_alloc(phys_addr_t size, phys_addr_t align)
{
	return memblock_alloc_node(size, align, NUMA_NO_NODE);
}

static inline void *memblock_alloc_raw(phys_addr_t size, phys_addr_t align)
{
	return memblock_alloc_try_nid_raw(
		size, align, 0, MEMBLOCK_ALLOC_ACCESSIBLE, NUMA_NO_NODE);
}

/* memblock_alloc_from: preferably from MIN_ADDR on; _low: below 4 GiB. */
static inline void *memblock_alloc_from(phys_addr_t size, phys_addr_t align,
					phys_addr_t min_addr)
{
	return memblock_alloc_try_nid(size, align, min_addr,
				      MEMBLOCK_ALLOC_ACCESSIBLE, NUMA_NO_NODE);
}

static inline void *memblock_alloc_low(phys_addr_t size, phys_addr_t align)
{
	return memblock_alloc_try_nid(size, align, 0, ARCH_LOW_ADDRESS_LIMIT,
				      NUMA_NO_NODE);
}

/* memblock_free: what a memblock_alloc form gave, or NULL; 0 or -ENOMEM. */
int memblock_free(void *view, phys_addr_t size) MM_MUST_CHECK;

/*
 * memblock_free_late: after boot, whole frames of [BASE, BASE + SIZE), all
 * reserved since boot, to the page allocator. The tables keep showing them as
 * reserved. Context: as __free_page(). Not of memblock by itself (phys.c).
 */
void memblock_free_late(phys_addr_t base, phys_addr_t size);

/* Questions. */
bool memblock_is_memory(phys_addr_t addr);
bool memblock_is_reserved(phys_addr_t addr);
bool memblock_is_region_memory(phys_addr_t base, phys_addr_t size);
bool memblock_is_region_reserved(phys_addr_t base, phys_addr_t size);
/* memblock_overlaps_region: does [BASE, BASE + SIZE) touch a region of T? */
bool memblock_overlaps_region(const struct memblock_type *t, phys_addr_t base,
			      phys_addr_t size);
/* memblock_is_map_memory: memory that is not marked NOMAP. */
bool memblock_is_map_memory(phys_addr_t addr);
/*
 * memblock_search_pfn_nid: the node of PFN's region, whose whole frames go to
 * *START_PFN and *END_PFN; NUMA_NO_NODE and nothing written if PFN is no
 * memory, NUMA_NO_NODE alone if its node is not known.
 */
int memblock_search_pfn_nid(u64 pfn, u64 *start_pfn, u64 *end_pfn);
/* memblock_estimated_nr_free_pages: memory less reservations, in frames. */
u64 memblock_estimated_nr_free_pages(void);
phys_addr_t memblock_phys_mem_size(void);
phys_addr_t memblock_reserved_size(void);
phys_addr_t memblock_start_of_DRAM(void);
phys_addr_t memblock_end_of_DRAM(void);
const struct memblock_type *memblock_memory_table(void);
const struct memblock_type *memblock_reserved_table(void);

static inline bool memblock_is_hotpluggable(const struct memblock_region *r)
{
	return r->flags & MEMBLOCK_HOTPLUG;
}

static inline bool memblock_is_mirror(const struct memblock_region *r)
{
	return r->flags & MEMBLOCK_MIRROR;
}

static inline bool memblock_is_nomap(const struct memblock_region *r)
{
	return r->flags & MEMBLOCK_NOMAP;
}

static inline bool memblock_is_driver_managed(const struct memblock_region *r)
{
	return r->flags & MEMBLOCK_DRIVER_MANAGED;
}

/* Whole frames of memory; frames that a reservation touches. */
static inline u64
memblock_region_memory_base_pfn(const struct memblock_region *r)
{
	return PFN_UP(r->base);
}

static inline u64
memblock_region_memory_end_pfn(const struct memblock_region *r)
{
	return PFN_DOWN(r->base + r->size);
}

static inline u64
memblock_region_reserved_base_pfn(const struct memblock_region *r)
{
	return PFN_DOWN(r->base);
}

static inline u64
memblock_region_reserved_end_pfn(const struct memblock_region *r)
{
	return PFN_UP(r->base + r->size);
}

/* Regions of a table, by base. I is a u64, R a const region pointer. */
#define for_each_mem_region(i, r, type) \
	for (i = 0; i < (type)->cnt && ((r) = &(type)->regions[i], true); i++)
#define for_each_reserved_mem_region(i, r) \
	for_each_mem_region (i, r, memblock_reserved_table())

/*
 * An iteration over free memory: [start, end) of one node (NUMA_NO_NODE: all)
 * without regions that carry a flag of SKIP.
 */
struct memblock_iter {
	int nid_wanted;
	u32 skip;
	u64 mem, res;		/* position in the two tables */
	phys_addr_t start, end; /* the current range */
	int nid;		/* its node */
	u32 flags;
	u64 start_pfn, end_pfn; /* whole frames: for_each_mem_pfn_range */
};

void memblock_iter_init(struct memblock_iter *it, int nid, u32 skip);
/* The next free range; false at the end. */
bool memblock_next_free(struct memblock_iter *it);
/* The next range of the memory table, reserved or not. */
bool memblock_next_mem(struct memblock_iter *it);

/* The next range of the memory table that has a whole frame. */
bool memblock_next_mem_pfn(struct memblock_iter *it);
/* The next reserved range, whatever its node. */
bool memblock_next_reserved(struct memblock_iter *it);

/* From the top down, to be begun with memblock_iter_init_rev(). */
void memblock_iter_init_rev(struct memblock_iter *it, int nid, u32 skip);
bool memblock_prev_free(struct memblock_iter *it);
bool memblock_prev_mem(struct memblock_iter *it);

/* IT is a struct memblock_iter; the tables must not change meanwhile. */
#define for_each_free_mem_range(it, nid, skip) \
	for (memblock_iter_init(&(it), nid, skip); memblock_next_free(&(it));)
#define for_each_mem_range(it, nid) \
	for (memblock_iter_init(&(it), nid, 0); memblock_next_mem(&(it));)
#define for_each_mem_pfn_range(it, nid) \
	for (memblock_iter_init(&(it), nid, 0); memblock_next_mem_pfn(&(it));)
#define for_each_reserved_mem_range(it)                  \
	for (memblock_iter_init(&(it), NUMA_NO_NODE, 0); \
	     memblock_next_reserved(&(it));)
#define for_each_free_mem_range_reverse(it, nid, skip) \
	for (memblock_iter_init_rev(&(it), nid, skip); \
	     memblock_prev_free(&(it));)
#define for_each_mem_range_rev(it, nid) \
	for (memblock_iter_init_rev(&(it), nid, 0); memblock_prev_mem(&(it));)

/* memblock_dump_all: both tables to the log at debug level. */
void memblock_dump_all(void);

/*
 * memblock_check: both tables sorted, disjoint, merged, without empty
 * regions, totals right. Panics with the finding. O(regions).
 */
void memblock_check(void);

#endif
