/* SPDX-License-Identifier: MIT */
/*
 * group.c - groups by id, and their counters. Theory: group.h.
 *
 * Locking. The directory's words are read anywhere; they are written by
 * group_publish(), each by one caller at a time. A leaf, once made, stays until
 * the machine's reset: 128 pages at most.
 */
#include "phys/group.h"

#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>

#include "base/atomic.h"
#include "phys/phys.h"

MM_STATIC_ASSERT(GROUP_LEAF * sizeof(void *) == PAGE_SIZE, "a leaf is a page");

void group_stat_add(u16 id, int item, s64 n)
{
	struct page_group *g = group_of_id(id);

	mm_assert(id != 0 && item >= 0 && item < NR_GROUP_STATS);
	/* A floor that is tested alone charges to groups that nobody keeps. */
	if (unlikely(!g))
		return;
	__atomic_fetch_add(
		&g->stats[(u32)port_cpu() * GROUP_STRIDE + (u32)item], n,
		__ATOMIC_RELAXED);
}

s64 group_stat(const struct page_group *g, int item)
{
	s64 sum = 0;

	mm_assert(item >= 0 && item < NR_GROUP_STATS);
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
		sum += READ_ONCE(g->stats[(u32)cpu * GROUP_STRIDE + (u32)item]);
	return sum;
}

int group_leaf(u16 id, gfp_t gfp)
{
	struct page_group ***leaf = &phys_sys.hot.groups[id / GROUP_LEAF];
	struct page_group **none = NULL;
	struct page *page;

	if (group_has_leaf(id))
		return 0;
	page = alloc_pages(gfp | __GFP_ZERO, 0);
	if (!page)
		return -ENOMEM;
	set_page_index(page, PAGE_INDEX_KERNEL);
	/* Somebody else may have been quicker. */
	if (!__atomic_compare_exchange_n(
		    leaf, &none, (struct page_group **)page_view(page), false,
		    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
		set_page_index(page, 0);
		put_page(page);
	}
	return 0;
}

void group_publish(struct page_group *g, bool on)
{
	struct page_group **leaf = phys_sys.hot.groups[g->id / GROUP_LEAF];
	struct page_group **slot = &leaf[g->id % GROUP_LEAF];

	mm_verify(g->id != 0 && leaf);
	mm_verify(READ_ONCE(*slot) == (on ? NULL : g));
	smp_store_release(slot, on ? g : NULL);
}
