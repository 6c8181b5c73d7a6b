/* SPDX-License-Identifier: MIT */
/*
 * bootmem.c - older names for memblock's allocations (contracts: bootmem.h).
 */
#include <mmkit/bootmem.h>

#include <mmkit/errno.h>

#include "phys/mmzone.h"

static int nid_of(const struct pglist_data *pgdat)
{
	return pgdat ? pgdat->node_id : NUMA_NO_NODE;
}

static void *must(void *view, u64 size)
{
	if (!view)
		mm_bug("no %llu bytes for the boot", (unsigned long long)size);
	return view;
}

void *__alloc_bootmem_node_nopanic(struct pglist_data *pgdat, u64 size,
				   u64 align, u64 goal)
{
	return memblock_alloc_try_nid(size, align, goal,
				      MEMBLOCK_ALLOC_ACCESSIBLE, nid_of(pgdat));
}

void *__alloc_bootmem_node(struct pglist_data *pgdat, u64 size, u64 align,
			   u64 goal)
{
	return must(__alloc_bootmem_node_nopanic(pgdat, size, align, goal),
		    size);
}

void *__alloc_bootmem_node_high(struct pglist_data *pgdat, u64 size, u64 align,
				u64 goal)
{
	return __alloc_bootmem_node(pgdat, size, align, goal);
}

void *__alloc_bootmem_nopanic(u64 size, u64 align, u64 goal)
{
	return __alloc_bootmem_node_nopanic(NULL, size, align, goal);
}

void *__alloc_bootmem(u64 size, u64 align, u64 goal)
{
	return __alloc_bootmem_node(NULL, size, align, goal);
}

/* Below 4 GiB, on PGDAT's node if that has such memory. */
static void *alloc_low(const struct pglist_data *pgdat, u64 size, u64 align,
		       u64 goal)
{
	return memblock_alloc_try_nid(size, align, goal, ARCH_LOW_ADDRESS_LIMIT,
				      nid_of(pgdat));
}

void *__alloc_bootmem_low_nopanic(u64 size, u64 align, u64 goal)
{
	return alloc_low(NULL, size, align, goal);
}

void *__alloc_bootmem_low(u64 size, u64 align, u64 goal)
{
	return must(alloc_low(NULL, size, align, goal), size);
}

void *__alloc_bootmem_low_node(struct pglist_data *pgdat, u64 size, u64 align,
			       u64 goal)
{
	return must(alloc_low(pgdat, size, align, goal), size);
}

int reserve_bootmem(phys_addr_t base, u64 size, int flags)
{
	if (flags == BOOTMEM_EXCLUSIVE &&
	    memblock_is_region_reserved(base, size))
		return -EBUSY;
	return memblock_reserve(base, size);
}
