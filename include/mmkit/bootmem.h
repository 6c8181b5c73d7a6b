/* SPDX-License-Identifier: MIT */
/*
 * bootmem.h - the names that memblock's functions had in older kernels, for
 * code that still says them. New code uses mmkit/memblock.h.
 *
 * All give zeroed memory from GOAL on if there is some, else from below it,
 * and are used before the page allocator is up. Those without "nopanic" in
 * their name do not return without memory: port_panic(). A size of 0 is not
 * allowed; an alignment of 0 is a cache line. Node forms prefer the node.
 */
#ifndef MMKIT_BOOTMEM_H
#define MMKIT_BOOTMEM_H

#include <mmkit/memblock.h>

struct pglist_data;

/* Ordinary allocations leave ISA's memory alone while there is other. */
#define BOOTMEM_LOW_LIMIT (16UL << 20)

#define BOOTMEM_DEFAULT	  0
#define BOOTMEM_EXCLUSIVE 1 /* nothing of the range is reserved yet */

void *__alloc_bootmem(u64 size, u64 align, u64 goal);
void *__alloc_bootmem_nopanic(u64 size, u64 align, u64 goal);
void *__alloc_bootmem_node(struct pglist_data *pgdat, u64 size, u64 align,
			   u64 goal);
void *__alloc_bootmem_node_high(struct pglist_data *pgdat, u64 size, u64 align,
				u64 goal);
void *__alloc_bootmem_node_nopanic(struct pglist_data *pgdat, u64 size,
				   u64 align, u64 goal);
/* Below 4 GiB. */
void *__alloc_bootmem_low(u64 size, u64 align, u64 goal);
void *__alloc_bootmem_low_nopanic(u64 size, u64 align, u64 goal);
void *__alloc_bootmem_low_node(struct pglist_data *pgdat, u64 size, u64 align,
			       u64 goal);

#define alloc_bootmem(x) __alloc_bootmem(x, 0, BOOTMEM_LOW_LIMIT)
#define alloc_bootmem_align(x, align) \
	__alloc_bootmem(x, align, BOOTMEM_LOW_LIMIT)
#define alloc_bootmem_nopanic(x) \
	__alloc_bootmem_nopanic(x, 0, BOOTMEM_LOW_LIMIT)
#define alloc_bootmem_pages(x) __alloc_bootmem(x, PAGE_SIZE, BOOTMEM_LOW_LIMIT)
#define alloc_bootmem_pages_nopanic(x) \
	__alloc_bootmem_nopanic(x, PAGE_SIZE, BOOTMEM_LOW_LIMIT)
#define alloc_bootmem_node(pgdat, x) \
	__alloc_bootmem_node(pgdat, x, 0, BOOTMEM_LOW_LIMIT)
#define alloc_bootmem_node_nopanic(pgdat, x) \
	__alloc_bootmem_node_nopanic(pgdat, x, 0, BOOTMEM_LOW_LIMIT)
#define alloc_bootmem_pages_node(pgdat, x) \
	__alloc_bootmem_node(pgdat, x, PAGE_SIZE, BOOTMEM_LOW_LIMIT)
#define alloc_bootmem_pages_node_nopanic(pgdat, x) \
	__alloc_bootmem_node_nopanic(pgdat, x, PAGE_SIZE, BOOTMEM_LOW_LIMIT)
#define alloc_bootmem_low(x)	   __alloc_bootmem_low(x, 0, 0)
#define alloc_bootmem_low_pages(x) __alloc_bootmem_low(x, PAGE_SIZE, 0)
#define alloc_bootmem_low_pages_nopanic(x) \
	__alloc_bootmem_low_nopanic(x, PAGE_SIZE, 0)
#define alloc_bootmem_low_pages_node(pgdat, x) \
	__alloc_bootmem_low_node(pgdat, x, PAGE_SIZE, 0)

/*
 * free_bootmem, free_bootmem_node: give a range back before the page allocator
 * is up; 0 or -ENOMEM (table full). free_bootmem_late: afterwards.
 */
static inline int MM_MUST_CHECK free_bootmem(phys_addr_t base, u64 size)
{
	return memblock_phys_free(base, size);
}

static inline int MM_MUST_CHECK free_bootmem_node(struct pglist_data *pgdat,
						  phys_addr_t base, u64 size)
{
	(void)pgdat;
	return memblock_phys_free(base, size);
}

static inline void free_bootmem_late(phys_addr_t base, u64 size)
{
	memblock_free_late(base, size);
}

/*
 * reserve_bootmem: 0, -ENOMEM (table full), or with BOOTMEM_EXCLUSIVE -EBUSY
 * if part of the range is reserved already.
 */
int reserve_bootmem(phys_addr_t base, u64 size, int flags) MM_MUST_CHECK;

#endif
