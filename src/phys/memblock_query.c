/* SPDX-License-Identifier: MIT */
/*
 * memblock_query.c - looking at memblock's tables: iterations and questions.
 *
 * Nothing here changes a table, except that a caller's iterator moves on.
 * Theory, structures and invariants: memblock.c. Questions about one address
 * are a binary search; a step of an iteration is O(reserved regions) at worst.
 */
#include <mmkit/memblock.h>

#include "base/printk.h"
#include "phys/memblock_priv.h"

/* ---- iterations
 * ----------------------------------------------------------------- */

void memblock_iter_init(struct memblock_iter *it, int nid, u32 skip)
{
	*it = (struct memblock_iter){.nid_wanted = nid, .skip = skip};
}

static bool iter_wants(const struct memblock_iter *it,
		       const struct memblock_region *r)
{
	if (it->nid_wanted != NUMA_NO_NODE && it->nid_wanted != r->nid)
		return false;
	return (r->flags & it->skip) == 0;
}

bool memblock_next_mem(struct memblock_iter *it)
{
	const struct memblock_type *t = &mb()->memory;

	while (it->mem < t->cnt) {
		const struct memblock_region *r = &t->regions[it->mem++];

		if (!iter_wants(it, r))
			continue;
		it->start = r->base;
		it->end = region_end(r);
		it->nid = r->nid;
		it->flags = r->flags;
		return true;
	}
	return false;
}

/* From POS in memory region R: the next free bytes before R's end. */
static bool free_in_region(struct memblock_iter *it, phys_addr_t pos,
			   const struct memblock_region *r)
{
	const struct memblock_type *res = &mb()->reserved;
	phys_addr_t end = region_end(r);

	/* What ends below POS is never needed again. */
	while (it->res < res->cnt && region_end(&res->regions[it->res]) <= pos)
		it->res++;
	for (u64 i = it->res; i < res->cnt; i++) {
		const struct memblock_region *taken = &res->regions[i];

		if (taken->base > pos) {
			end = min(end, taken->base);
			break;
		}
		pos = region_end(taken);
	}
	if (pos >= end)
		return false;
	it->start = pos;
	it->end = end;
	it->nid = r->nid;
	it->flags = r->flags;
	return true;
}

bool memblock_next_free(struct memblock_iter *it)
{
	const struct memblock_type *t = &mb()->memory;

	it->skip |= MEMBLOCK_NOMAP | MEMBLOCK_DRIVER_MANAGED;
	for (; it->mem < t->cnt; it->mem++) {
		const struct memblock_region *r = &t->regions[it->mem];
		phys_addr_t pos = max(r->base, it->end);

		if (iter_wants(it, r) && pos < region_end(r) &&
		    free_in_region(it, pos, r))
			return true;
	}
	return false;
}

void memblock_iter_init_rev(struct memblock_iter *it, int nid, u32 skip)
{
	*it = (struct memblock_iter){.nid_wanted = nid, .skip = skip};
	it->mem = mb()->memory.cnt;
	it->start = ~(phys_addr_t)0;
}

/* The highest free bytes of memory region R below POS. */
static bool free_below(struct memblock_iter *it, phys_addr_t pos,
		       const struct memblock_region *r)
{
	const struct memblock_type *res = &mb()->reserved;
	phys_addr_t start = r->base;

	for (u64 i = res->cnt; i > 0 && pos > r->base; i--) {
		const struct memblock_region *taken = &res->regions[i - 1];

		if (taken->base >= pos)
			continue;
		if (region_end(taken) < pos) {
			start = max(start, region_end(taken));
			break;
		}
		pos = taken->base;
	}
	if (pos <= start)
		return false;
	it->start = start;
	it->end = pos;
	it->nid = r->nid;
	it->flags = r->flags;
	return true;
}

bool memblock_prev_free(struct memblock_iter *it)
{
	it->skip |= MEMBLOCK_NOMAP | MEMBLOCK_DRIVER_MANAGED;
	for (; it->mem > 0; it->mem--) {
		const struct memblock_region *r =
			&mb()->memory.regions[it->mem - 1];
		phys_addr_t pos = min(region_end(r), it->start);

		if (iter_wants(it, r) && pos > r->base &&
		    free_below(it, pos, r))
			return true;
	}
	return false;
}

bool memblock_prev_mem(struct memblock_iter *it)
{
	while (it->mem > 0) {
		const struct memblock_region *r =
			&mb()->memory.regions[--it->mem];

		if (!iter_wants(it, r))
			continue;
		it->start = r->base;
		it->end = region_end(r);
		it->nid = r->nid;
		it->flags = r->flags;
		return true;
	}
	return false;
}

bool memblock_next_mem_pfn(struct memblock_iter *it)
{
	while (memblock_next_mem(it)) {
		it->start_pfn = PFN_UP(it->start);
		it->end_pfn = PFN_DOWN(it->end);
		if (it->start_pfn < it->end_pfn)
			return true;
	}
	return false;
}

bool memblock_next_reserved(struct memblock_iter *it)
{
	const struct memblock_type *t = &mb()->reserved;
	const struct memblock_region *r;

	if (it->res >= t->cnt)
		return false;
	r = &t->regions[it->res++];
	it->start = r->base;
	it->end = region_end(r);
	it->nid = r->nid;
	it->flags = r->flags;
	return true;
}

/* ---- questions
 * ------------------------------------------------------------------------------
 */

/* The first region of T that ends above ADDR; t->cnt if none. */
static u64 type_search(const struct memblock_type *t, phys_addr_t addr)
{
	u64 lo = 0, hi = t->cnt;

	while (lo < hi) {
		u64 mid = lo + (hi - lo) / 2;

		if (region_end(&t->regions[mid]) <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool type_has(const struct memblock_type *t, phys_addr_t addr)
{
	u64 i = type_search(t, addr);

	return i < t->cnt && t->regions[i].base <= addr;
}

bool memblock_is_memory(phys_addr_t addr)
{
	return type_has(&mb()->memory, addr);
}

bool memblock_is_reserved(phys_addr_t addr)
{
	return type_has(&mb()->reserved, addr);
}

bool memblock_is_region_memory(phys_addr_t base, phys_addr_t size)
{
	const struct memblock_type *t = &mb()->memory;
	phys_addr_t end = base + cap_size(base, size);

	/* Touching regions may differ in node or flags. */
	for (u64 i = type_search(t, base); base < end; i++) {
		if (i >= t->cnt || t->regions[i].base > base)
			return false;
		base = region_end(&t->regions[i]);
	}
	return true;
}

bool memblock_overlaps_region(const struct memblock_type *t, phys_addr_t base,
			      phys_addr_t size)
{
	u64 i = type_search(t, base);

	return i < t->cnt && t->regions[i].base < base + cap_size(base, size);
}

bool memblock_is_region_reserved(phys_addr_t base, phys_addr_t size)
{
	return memblock_overlaps_region(&mb()->reserved, base, size);
}

bool memblock_is_map_memory(phys_addr_t addr)
{
	const struct memblock_type *t = &mb()->memory;
	u64 i = type_search(t, addr);

	return i < t->cnt && t->regions[i].base <= addr &&
	       !(t->regions[i].flags & MEMBLOCK_NOMAP);
}

int memblock_search_pfn_nid(u64 pfn, u64 *start_pfn, u64 *end_pfn)
{
	const struct memblock_type *t = &mb()->memory;
	u64 i = type_search(t, PFN_PHYS(pfn));
	const struct memblock_region *r = &t->regions[i];

	if (i >= t->cnt || r->base > PFN_PHYS(pfn))
		return NUMA_NO_NODE;
	*start_pfn = PFN_DOWN(r->base);
	*end_pfn = PFN_DOWN(region_end(r));
	return r->nid;
}

u64 memblock_estimated_nr_free_pages(void)
{
	phys_addr_t all = mb()->memory.total_size;
	phys_addr_t taken = mb()->reserved.total_size;

	/* Firmware areas are reserved outside of memory, too. */
	return all > taken ? PFN_DOWN(all - taken) : 0;
}

bool memblock_bottom_up(void)
{
	return mb()->bottom_up;
}

phys_addr_t memblock_get_current_limit(void)
{
	return mb()->current_limit;
}

phys_addr_t memblock_phys_mem_size(void)
{
	return mb()->memory.total_size;
}

phys_addr_t memblock_reserved_size(void)
{
	return mb()->reserved.total_size;
}

phys_addr_t memblock_start_of_DRAM(void)
{
	const struct memblock_type *t = &mb()->memory;

	return t->cnt ? t->regions[0].base : 0;
}

phys_addr_t memblock_end_of_DRAM(void)
{
	const struct memblock_type *t = &mb()->memory;

	return t->cnt ? region_end(&t->regions[t->cnt - 1]) : 0;
}

const struct memblock_type *memblock_memory_table(void)
{
	return &mb()->memory;
}

const struct memblock_type *memblock_reserved_table(void)
{
	return &mb()->reserved;
}

/* ---- looking and checking
 * --------------------------------------------------------------------- */

static void type_dump(const struct memblock_type *t)
{
	pr_debug(" %s.cnt  = 0x%llx", t->name, (unsigned long long)t->cnt);
	for (u64 i = 0; i < t->cnt; i++) {
		const struct memblock_region *r = &t->regions[i];

		pr_debug(" %s[0x%llx]\t[0x%016llx-0x%016llx], 0x%llx bytes "
			 "on node %d flags: 0x%x",
			 t->name, (unsigned long long)i,
			 (unsigned long long)r->base,
			 (unsigned long long)region_end(r) - 1,
			 (unsigned long long)r->size, r->nid, r->flags);
	}
}

void memblock_dump_all(void)
{
	pr_debug("MEMBLOCK configuration:");
	pr_debug(" memory size = 0x%llx reserved size = 0x%llx",
		 (unsigned long long)mb()->memory.total_size,
		 (unsigned long long)mb()->reserved.total_size);
	type_dump(&mb()->memory);
	type_dump(&mb()->reserved);
}

static void type_check(const struct memblock_type *t)
{
	phys_addr_t sum = 0;

	mm_verify(t->cnt <= t->max);
	for (u64 i = 0; i < t->cnt; i++) {
		const struct memblock_region *r = &t->regions[i];
		const struct memblock_region *prev = r - 1;

		mm_verify(r->size != 0);
		mm_verify(region_end(r) > r->base);
		sum += r->size;
		if (!i)
			continue;
		mm_verify(region_end(prev) <= r->base);
		mm_verify(region_end(prev) < r->base || prev->nid != r->nid ||
			  prev->flags != r->flags);
	}
	mm_verify(sum == t->total_size);
}

void memblock_check(void)
{
	type_check(&mb()->memory);
	type_check(&mb()->reserved);
}
