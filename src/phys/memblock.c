/* SPDX-License-Identifier: MIT */
/*
 * memblock.c - memory before the page allocator.
 *
 * 1. Purpose. From the firmware's map to the moment when all free frames go
 *    to the buddy, somebody must know what RAM there is and what is taken.
 *    Byte ranges, any size; after boot only the tables' contents are read.
 *
 * 2. Structures. Two arrays of regions, "memory" and "reserved", in
 *    phys_sys.memblock. Free memory is never stored: it is the difference.
 *
 *      memory    |=======|      |==============|   |====|
 *      reserved     |==|            |=| |====|
 *      free      |==|  |=|      |===| |=|    |=|   |====|
 *
 * 3. Invariants (memblock_check).
 *    MB-1  Regions are sorted by base, disjoint and not empty; none wraps.
 *    MB-2  Touching neighbours differ in flags or node.
 *    MB-3  total_size is the sum of the sizes.
 *    Reserved regions need not lie in memory: firmware areas are reserved
 *    wherever they are.
 *
 * 4. Locking. None: boot is single-threaded.
 *
 * 5. Failure. A change first makes room (which may fail, then nothing has
 *    changed), then cannot fail. A full table doubles itself into memory that
 *    it reserves for the purpose, once memblock_set_growable() has said that
 *    RAM may be touched. The range that is just being reserved is kept clear
 *    of, or the new array would land in it.
 *
 * 6. Cost. O(regions) for a change or an allocation; regions are tens. With
 *    questions about one address a binary search: the memory map asks for
 *    each of the thousands of sections of a large machine.
 *
 * 7. Rejected. A free list: two tables and a walk are easier to trust than a
 *    third structure that must agree with them.
 *
 * References: Linux documentation, core-api/boot-time-mm.
 */
#include <mmkit/memblock.h>

#include <mmkit/errno.h>
#include <mmkit/port.h>

#include "base/printk.h"
#include "base/string.h"
#include "phys/memblock_priv.h"

void memblock_init(void)
{
	struct memblock *m = mb();

	mm_zero(m, sizeof(*m));
	m->current_limit = MEMBLOCK_ALLOC_ANYWHERE;
	m->memory.name = "memory";
	m->memory.max = MEMBLOCK_STATIC_REGIONS;
	m->memory.regions = m->static_memory;
	m->reserved.name = "reserved";
	m->reserved.max = MEMBLOCK_STATIC_REGIONS;
	m->reserved.regions = m->static_reserved;
}

void memblock_set_growable(bool growable)
{
	mb()->growable = growable;
}

void memblock_set_bottom_up(bool bottom_up)
{
	mb()->bottom_up = bottom_up;
}

void memblock_set_current_limit(phys_addr_t limit)
{
	mm_assert(limit != 0);
	mb()->current_limit = limit;
}

/* ---- room in a table
 * ---------------------------------------------------------------- */

/* What a caller says about the place: see memblock_alloc_try_nid(). */
struct memblock_where {
	phys_addr_t min, max;
	int nid;
	bool exact;
};

/*
 * A place for SIZE bytes in [START, END) of free memory, by the direction in
 * force; 0 if there is none. Memory with a flag of SKIP is left out; with
 * ONLY set, memory without one of these flags as well.
 */
struct find_args {
	phys_addr_t start, end, size, align;
	int nid;
	u32 skip, only;
};

static phys_addr_t find_in_range(const struct find_args *a)
{
	phys_addr_t start = max(a->start, (phys_addr_t)PAGE_SIZE);
	phys_addr_t limit = a->end;
	phys_addr_t best = 0;
	struct memblock_iter it;

	if (limit == MEMBLOCK_ALLOC_ACCESSIBLE)
		limit = mb()->current_limit;
	for_each_free_mem_range (it, a->nid, a->skip) {
		phys_addr_t lo = max(it.start, start);
		phys_addr_t hi = min(it.end, limit);
		phys_addr_t at;

		if (a->only && !(it.flags & a->only))
			continue;
		if (lo >= hi || hi - lo < a->size)
			continue;
		if (mb()->bottom_up) {
			at = ALIGN(lo, a->align);
			if (at >= lo && at <= hi && hi - at >= a->size)
				return at;
		} else {
			at = ALIGN_DOWN(hi - a->size, a->align);
			if (at >= lo)
				best = at;
		}
	}
	return best;
}

static int type_reserve_capacity(struct memblock_type *t, u64 more,
				 phys_addr_t keep_base, phys_addr_t keep_end);

static void type_insert(struct memblock_type *t, u64 i,
			struct memblock_region r)
{
	mm_verify(t->cnt < t->max && i <= t->cnt);
	mm_memmove(&t->regions[i + 1], &t->regions[i],
		   (t->cnt - i) * sizeof(t->regions[0]));
	t->regions[i] = r;
	t->cnt++;
	t->total_size += r.size;
}

static void type_merge(struct memblock_type *t)
{
	u64 to = 0;

	for (u64 i = 1; i < t->cnt; i++) {
		struct memblock_region *last = &t->regions[to];
		const struct memblock_region *r = &t->regions[i];

		mm_assert(region_end(last) <= r->base);
		if (region_end(last) == r->base && last->nid == r->nid &&
		    last->flags == r->flags)
			last->size += r->size;
		else
			t->regions[++to] = *r;
	}
	if (t->cnt)
		t->cnt = to + 1;
}

/* The new array lies in free memory, so plain insertion in order is enough. */
static void reserve_simple(phys_addr_t base, phys_addr_t size)
{
	struct memblock_type *t = &mb()->reserved;
	u64 i = 0;

	while (i < t->cnt && t->regions[i].base < base)
		i++;
	type_insert(t, i,
		    (struct memblock_region){base, size, 0, NUMA_NO_NODE});
	type_merge(t);
}

/*
 * Double T's array. Memory for it is sought above, then below the range
 * [KEEP_BASE, KEEP_END) that a caller is about to reserve.
 */
static int type_double(struct memblock_type *t, phys_addr_t keep_base,
		       phys_addr_t keep_end)
{
	phys_addr_t bytes = PAGE_ALIGN(t->max * 2 * sizeof(t->regions[0]));
	struct find_args a = {.size = bytes,
			      .align = PAGE_SIZE,
			      .nid = NUMA_NO_NODE,
			      .skip = MEMBLOCK_HOTPLUG};
	struct memblock_region *array;
	phys_addr_t at;

	if (!mb()->growable)
		return -ENOMEM;
	/* The reserved table takes the new array's own range too. */
	if (t != &mb()->reserved &&
	    type_reserve_capacity(&mb()->reserved, 1, keep_base, keep_end))
		return -ENOMEM;
	a.start = keep_end;
	a.end = MEMBLOCK_ALLOC_ACCESSIBLE;
	at = find_in_range(&a);
	if (!at) {
		a.start = 0;
		a.end = min(keep_base, mb()->current_limit);
		at = a.end ? find_in_range(&a) : 0;
	}
	if (!at)
		return -ENOMEM;
	array = port_ram(at);
	mm_memcpy(array, t->regions, t->cnt * sizeof(array[0]));
	/* An outgrown array stays reserved: a few pages, given back by none. */
	t->regions = array;
	t->max = bytes / sizeof(array[0]);
	t->array_phys = at;
	reserve_simple(at, bytes);
	return 0;
}

static int type_reserve_capacity(struct memblock_type *t, u64 more,
				 phys_addr_t keep_base, phys_addr_t keep_end)
{
	/* One to spare: doubling the table itself takes an entry of it. */
	while (t->max - t->cnt < more + 1) {
		int err = type_double(t, keep_base, keep_end);

		if (err)
			return err;
	}
	return 0;
}

/* ---- changes
 * ------------------------------------------------------------------------- */

/*
 * Walk the gaps of T within [BASE, END); insert regions there if INSERT.
 * Returns their number.
 */
static u64 fill_gaps(struct memblock_type *t, struct memblock_region want,
		     bool insert)
{
	phys_addr_t pos = want.base, end = region_end(&want);
	u64 nr = 0;

	for (u64 i = 0; pos < end; i++) {
		phys_addr_t stop = end, next = end;

		if (i < t->cnt) {
			const struct memblock_region *r = &t->regions[i];

			if (region_end(r) <= pos)
				continue;
			stop = min(end, r->base);
			next = max(pos, min(end, region_end(r)));
		}
		if (stop > pos) {
			nr++;
			want.base = pos;
			want.size = stop - pos;
			if (insert)
				type_insert(t, i++, want);
		}
		pos = next;
	}
	return nr;
}

static int type_add(struct memblock_type *t, struct memblock_region want)
{
	u64 nr;
	int err;

	want.size = cap_size(want.base, want.size);
	if (!want.size)
		return 0;
	nr = fill_gaps(t, want, false);
	err = type_reserve_capacity(t, nr, want.base, region_end(&want));
	if (err)
		return err;
	fill_gaps(t, want, true);
	type_merge(t);
	return 0;
}

/* Cut T at ADDR if that lies inside a region. Room is there. */
static void type_split_at(struct memblock_type *t, phys_addr_t addr)
{
	for (u64 i = 0; i < t->cnt; i++) {
		struct memblock_region *r = &t->regions[i];
		struct memblock_region upper = *r;

		if (addr <= r->base || addr >= region_end(r))
			continue;
		upper.base = addr;
		upper.size = region_end(r) - addr;
		t->total_size -= upper.size; /* type_insert() adds it back */
		r->size = addr - r->base;
		type_insert(t, i + 1, upper);
		return;
	}
}

/*
 * Make region boundaries at both ends of a range. On success [*FIRST, *END)
 * are the regions inside.
 */
static int type_isolate(struct memblock_type *t, phys_addr_t base,
			phys_addr_t size, u64 *first, u64 *end)
{
	phys_addr_t stop = base + cap_size(base, size);
	int err = type_reserve_capacity(t, 2, base, stop);
	u64 i = 0;

	if (err)
		return err;
	type_split_at(t, base);
	type_split_at(t, stop);
	while (i < t->cnt && t->regions[i].base < base)
		i++;
	*first = i;
	while (i < t->cnt && t->regions[i].base < stop)
		i++;
	*end = i;
	return 0;
}

static int type_remove(struct memblock_type *t, phys_addr_t base,
		       phys_addr_t size)
{
	u64 first, end;
	int err = type_isolate(t, base, size, &first, &end);

	if (err)
		return err;
	for (u64 i = first; i < end; i++)
		t->total_size -= t->regions[i].size;
	mm_memmove(&t->regions[first], &t->regions[end],
		   (t->cnt - end) * sizeof(t->regions[0]));
	t->cnt -= end - first;
	type_merge(t);
	return 0;
}

int memblock_add(phys_addr_t base, phys_addr_t size)
{
	return memblock_add_node(base, size, NUMA_NO_NODE, MEMBLOCK_NONE);
}

int memblock_add_node(phys_addr_t base, phys_addr_t size, int nid, u32 flags)
{
	mm_assert(nid >= NUMA_NO_NODE && nid < MM_MAX_NODES);
	return type_add(&mb()->memory,
			(struct memblock_region){base, size, flags, nid});
}

int memblock_reserve(phys_addr_t base, phys_addr_t size)
{
	return type_add(&mb()->reserved,
			(struct memblock_region){base, size, 0, NUMA_NO_NODE});
}

int memblock_remove(phys_addr_t base, phys_addr_t size)
{
	return type_remove(&mb()->memory, base, size);
}

int memblock_phys_free(phys_addr_t base, phys_addr_t size)
{
	return type_remove(&mb()->reserved, base, size);
}

/* Leave [LO, HI) of the memory region [BASE, END). */
static int shrink_region(phys_addr_t base, phys_addr_t end, phys_addr_t lo,
			 phys_addr_t hi)
{
	int err = 0;

	mm_assert(base <= lo && lo < hi && hi <= end);
	if (lo > base)
		err = memblock_remove(base, lo - base);
	if (!err && hi < end)
		err = memblock_remove(hi, end - hi);
	return err;
}

int memblock_trim_memory(phys_addr_t align)
{
	const struct memblock_type *t = &mb()->memory;

	mm_assert(align && (align & (align - 1)) == 0);
	for (u64 i = 0; i < t->cnt;) {
		phys_addr_t base = t->regions[i].base;
		phys_addr_t end = region_end(&t->regions[i]);
		phys_addr_t lo = ALIGN(base, align);
		phys_addr_t hi = ALIGN_DOWN(end, align);
		/* Less than one unit, or rounding up wraps. */
		bool gone = lo < base || lo >= hi;
		int err = gone ? memblock_remove(base, end - base)
			       : shrink_region(base, end, lo, hi);

		if (err)
			return err;
		i += !gone;
	}
	return 0;
}

/* The address below which there are LIMIT bytes of memory; ~0: not so many. */
static phys_addr_t address_of_limit(phys_addr_t limit)
{
	const struct memblock_type *t = &mb()->memory;

	for (u64 i = 0; i < t->cnt; i++) {
		const struct memblock_region *r = &t->regions[i];

		if (limit <= r->size)
			return r->base + limit;
		limit -= r->size;
	}
	return ~(phys_addr_t)0;
}

int memblock_enforce_memory_limit(phys_addr_t limit)
{
	phys_addr_t end = limit ? address_of_limit(limit) : ~(phys_addr_t)0;
	int err;

	if (end == ~(phys_addr_t)0)
		return 0;
	err = type_remove(&mb()->memory, end, ~(phys_addr_t)0);
	return err ? err : type_remove(&mb()->reserved, end, ~(phys_addr_t)0);
}

/* Remove from the memory table what lies in [START, END) and is not NOMAP. */
static int remove_mapped(phys_addr_t start, phys_addr_t end)
{
	const struct memblock_type *t = &mb()->memory;

	for (u64 i = 0; i < t->cnt;) {
		const struct memblock_region *r = &t->regions[i];
		phys_addr_t lo = max(r->base, start);
		phys_addr_t hi = min(region_end(r), end);
		int err;

		if (lo >= hi || (r->flags & MEMBLOCK_NOMAP)) {
			i++;
			continue;
		}
		err = memblock_remove(lo, hi - lo);
		if (err)
			return err;
	}
	return 0;
}

int memblock_cap_memory_range(phys_addr_t base, phys_addr_t size)
{
	phys_addr_t end = base + cap_size(base, size);
	int err;

	if (!size)
		return 0;
	err = remove_mapped(0, base);
	if (!err)
		err = remove_mapped(end, ~(phys_addr_t)0);
	if (!err)
		err = type_remove(&mb()->reserved, 0, base);
	if (!err)
		err = type_remove(&mb()->reserved, end, ~(phys_addr_t)0);
	return err;
}

int memblock_mem_limit_remove_map(phys_addr_t limit)
{
	phys_addr_t end = limit ? address_of_limit(limit) : ~(phys_addr_t)0;

	return end == ~(phys_addr_t)0 ? 0 : memblock_cap_memory_range(0, end);
}

int memblock_set_node(phys_addr_t base, phys_addr_t size, int nid)
{
	struct memblock_type *t = &mb()->memory;
	u64 first, end;
	int err = type_isolate(t, base, size, &first, &end);

	mm_assert(nid >= NUMA_NO_NODE && nid < MM_MAX_NODES);
	if (err)
		return err;
	for (u64 i = first; i < end; i++)
		t->regions[i].nid = nid;
	type_merge(t);
	return 0;
}

static int change_flags(phys_addr_t base, phys_addr_t size, u32 set, u32 clear)
{
	struct memblock_type *t = &mb()->memory;
	u64 first, end;
	int err = type_isolate(t, base, size, &first, &end);

	mm_assert((set & clear) == 0);
	if (err)
		return err;
	for (u64 i = first; i < end; i++)
		t->regions[i].flags = (t->regions[i].flags & ~clear) | set;
	type_merge(t);
	return 0;
}

int memblock_mark_hotplug(phys_addr_t base, phys_addr_t size)
{
	return change_flags(base, size, MEMBLOCK_HOTPLUG, 0);
}

int memblock_clear_hotplug(phys_addr_t base, phys_addr_t size)
{
	return change_flags(base, size, 0, MEMBLOCK_HOTPLUG);
}

int memblock_mark_mirror(phys_addr_t base, phys_addr_t size)
{
	return change_flags(base, size, MEMBLOCK_MIRROR, 0);
}

int memblock_clear_mirror(phys_addr_t base, phys_addr_t size)
{
	return change_flags(base, size, 0, MEMBLOCK_MIRROR);
}

int memblock_mark_nomap(phys_addr_t base, phys_addr_t size)
{
	return change_flags(base, size, MEMBLOCK_NOMAP, 0);
}

int memblock_clear_nomap(phys_addr_t base, phys_addr_t size)
{
	return change_flags(base, size, 0, MEMBLOCK_NOMAP);
}

/* ---- allocation
 * ------------------------------------------------------------------------- */

/* On NID, then (unless EXACT) anywhere; memory with the flag ONLY if not 0. */
static phys_addr_t find_for(struct find_args *a, int nid, bool exact, u32 only)
{
	phys_addr_t at;

	a->only = only;
	a->nid = nid;
	at = find_in_range(a);
	if (!at && nid != NUMA_NO_NODE && !exact) {
		a->nid = NUMA_NO_NODE;
		at = find_in_range(a);
	}
	return at;
}

phys_addr_t memblock_alloc_range_nid(phys_addr_t size, phys_addr_t align,
				     phys_addr_t start, phys_addr_t end,
				     int nid, bool exact_nid)
{
	struct find_args a = {
		.start = start,
		.end = end,
		.size = size,
		.align = align ? align : MM_CACHELINE,
		.skip = MEMBLOCK_HOTPLUG,
	};
	phys_addr_t at;

	mm_assert(size != 0 && (a.align & (a.align - 1)) == 0);
	mm_assert(nid >= NUMA_NO_NODE && nid < MM_MAX_NODES);
	at = find_for(&a, nid, exact_nid, MEMBLOCK_MIRROR);
	if (!at)
		at = find_for(&a, nid, exact_nid, 0);
	if (at && memblock_reserve(at, size))
		at = 0;
	return at;
}

phys_addr_t memblock_phys_alloc_range(phys_addr_t size, phys_addr_t align,
				      phys_addr_t start, phys_addr_t end)
{
	return memblock_alloc_range_nid(size, align, start, end, NUMA_NO_NODE,
					false);
}

phys_addr_t memblock_phys_alloc_exact_nid(phys_addr_t size, phys_addr_t align,
					  int nid)
{
	return memblock_alloc_range_nid(size, align, 0,
					MEMBLOCK_ALLOC_ACCESSIBLE, nid, true);
}

phys_addr_t memblock_phys_alloc_try_nid(phys_addr_t size, phys_addr_t align,
					int nid)
{
	return memblock_alloc_range_nid(size, align, 0,
					MEMBLOCK_ALLOC_ACCESSIBLE, nid, false);
}

/* A view of new memory: MIN is a wish, MAX and the current limit are not. */
static void *alloc_view(phys_addr_t size, phys_addr_t align,
			struct memblock_where w)
{
	phys_addr_t limit = mb()->current_limit, at;

	if (w.max == MEMBLOCK_ALLOC_ACCESSIBLE || w.max > limit)
		w.max = limit;
	at = memblock_alloc_range_nid(size, align, w.min, w.max, w.nid,
				      w.exact);
	if (!at && w.min)
		at = memblock_alloc_range_nid(size, align, 0, w.max, w.nid,
					      w.exact);
	return at ? port_ram(at) : NULL;
}

void *memblock_alloc_try_nid_raw(phys_addr_t size, phys_addr_t align,
				 phys_addr_t min_addr, phys_addr_t max_addr,
				 int nid)
{
	return alloc_view(
		size, align,
		(struct memblock_where){min_addr, max_addr, nid, false});
}

void *memblock_alloc_exact_nid_raw(phys_addr_t size, phys_addr_t align,
				   phys_addr_t min_addr, phys_addr_t max_addr,
				   int nid)
{
	return alloc_view(
		size, align,
		(struct memblock_where){min_addr, max_addr, nid, true});
}

void *memblock_alloc_try_nid(phys_addr_t size, phys_addr_t align,
			     phys_addr_t min_addr, phys_addr_t max_addr,
			     int nid)
{
	void *view = memblock_alloc_try_nid_raw(size, align, min_addr, max_addr,
						nid);

	if (view)
		mm_zero(view, size);
	return view;
}

int memblock_free(void *view, phys_addr_t size)
{
	return view ? memblock_phys_free(port_ram_phys(view), size) : 0;
}
