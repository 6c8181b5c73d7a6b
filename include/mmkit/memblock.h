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

#define MEMBLOCK_ALLOC_ANYWHERE (~(phys_addr_t)0)
#define NUMA_NO_NODE		(-1)

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

/* memblock_set_bottom_up: allocate from the low end (default: high end). */
void memblock_set_bottom_up(bool bottom_up);
/* memblock_set_current_limit: MEMBLOCK_ALLOC_ANYWHERE stands for LIMIT. */
void memblock_set_current_limit(phys_addr_t limit);

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
int memblock_mark_nomap(phys_addr_t base, phys_addr_t size) MM_MUST_CHECK;
int memblock_clear_nomap(phys_addr_t base, phys_addr_t size) MM_MUST_CHECK;

/*
 * memblock_phys_alloc_range: SIZE bytes aligned to ALIGN (a power of two;
 * 0: cache line) inside [START, END), reserved for the caller. Mirrored
 * memory is preferred, hotpluggable memory not used. Returns the address, or
 * 0 if there is none. Contents are undefined. Frame 0 is never returned.
 */
phys_addr_t memblock_phys_alloc_range(phys_addr_t size, phys_addr_t align,
				      phys_addr_t start, phys_addr_t end);
/* The same on node NID, then anywhere; _exact: on NID only. */
phys_addr_t memblock_phys_alloc_try_nid(phys_addr_t size, phys_addr_t align,
					int nid);
phys_addr_t memblock_phys_alloc_exact_nid(phys_addr_t size, phys_addr_t align,
					  int nid);

static inline phys_addr_t memblock_phys_alloc(phys_addr_t size,
					      phys_addr_t align)
{
	return memblock_phys_alloc_range(size, align, 0,
					 MEMBLOCK_ALLOC_ANYWHERE);
}

/* memblock_alloc: zeroed, and as a view; NULL if there is none. */
void *memblock_alloc(phys_addr_t size, phys_addr_t align);
void *memblock_alloc_node(phys_addr_t size, phys_addr_t align, int nid);

/* The older names. */
static inline void *alloc_bootmem(phys_addr_t size)
{
	return memblock_alloc(size, 0);
}

static inline int MM_MUST_CHECK free_bootmem(phys_addr_t base, phys_addr_t size)
{
	return memblock_phys_free(base, size);
}

/* Questions. */
bool memblock_is_memory(phys_addr_t addr);
bool memblock_is_reserved(phys_addr_t addr);
bool memblock_is_region_memory(phys_addr_t base, phys_addr_t size);
bool memblock_is_region_reserved(phys_addr_t base, phys_addr_t size);
phys_addr_t memblock_phys_mem_size(void);
phys_addr_t memblock_reserved_size(void);
phys_addr_t memblock_start_of_DRAM(void);
phys_addr_t memblock_end_of_DRAM(void);
const struct memblock_type *memblock_memory_table(void);
const struct memblock_type *memblock_reserved_table(void);

/* Regions of a table, by base. I is a u64, R a const region pointer. */
#define for_each_mem_region(i, r, type) \
	for (i = 0; i < (type)->cnt && ((r) = &(type)->regions[i], true); i++)

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
};

void memblock_iter_init(struct memblock_iter *it, int nid, u32 skip);
/* The next free range; false at the end. */
bool memblock_next_free(struct memblock_iter *it);
/* The next range of the memory table, reserved or not. */
bool memblock_next_mem(struct memblock_iter *it);

/* IT is a struct memblock_iter; the tables must not change meanwhile. */
#define for_each_free_mem_range(it, nid, skip) \
	for (memblock_iter_init(&(it), nid, skip); memblock_next_free(&(it));)
#define for_each_mem_range(it, nid) \
	for (memblock_iter_init(&(it), nid, 0); memblock_next_mem(&(it));)

/* memblock_dump_all: both tables to the log at debug level. */
void memblock_dump_all(void);

/*
 * memblock_check: both tables sorted, disjoint, merged, without empty
 * regions, totals right. Panics with the finding. O(regions).
 */
void memblock_check(void);

#endif
