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

/* CPU's row of G's counters, where ITEM is *AT of it. */
static s64 *row_of(const struct page_group *g, int nid, int item, int cpu,
		   u32 *at)
{
	const struct group_node *n = g->node[nid];

	mm_assert(item >= 0 && item < NR_GROUP_STATS);
	if (item >= GROUP_EV_BASE) {
		*at = (u32)(item - GROUP_EV_BASE);
		return g->events + (u32)cpu * GROUP_EVENT_STRIDE;
	}
	*at = (u32)item;
	return n ? n->stats + (u32)cpu * GROUP_NODE_STRIDE : NULL;
}

static void stat_add(u16 id, int nid, int item, s64 n)
{
	struct page_group *g = group_of_id(id);
	s64 *row;
	u32 at;

	mm_assert(id != 0);
	/* A floor that is tested alone charges to groups that nobody keeps. */
	if (unlikely(!g))
		return;
	row = row_of(g, nid, item, port_cpu(), &at);
	mm_verify(row != NULL);
	__atomic_fetch_add(&row[at], n, __ATOMIC_RELAXED);
}

void group_stat_add(u16 id, int item, s64 n)
{
	mm_assert(item >= GROUP_EV_BASE);
	stat_add(id, 0, item, n);
}

void group_node_stat_add(u16 id, int nid, int item, s64 n)
{
	mm_assert(item < GROUP_EV_BASE);
	stat_add(id, nid, item, n);
}

static s64 one_row(const struct page_group *g, int nid, int item, int cpu)
{
	const s64 *row;
	u32 at;

	row = row_of(g, nid, item, cpu, &at);
	return row ? READ_ONCE(row[at]) : 0;
}

s64 group_node_stat(const struct page_group *g, int nid, int item)
{
	s64 sum = 0;

	for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
		sum += one_row(g, nid, item, cpu);
	return sum;
}

s64 group_stat(const struct page_group *g, int item)
{
	s64 sum = 0;

	if (item >= GROUP_EV_BASE)
		return group_node_stat(g, 0, item);
	for (int nid = 0; nid < MM_MAX_NODES; nid++)
		if (g->node[nid])
			sum += group_node_stat(g, nid, item);
	return sum;
}

s64 group_ended_stat(const struct page_group *g, int nid, int item)
{
	return one_row(g, nid, item, port_nr_cpus());
}

static void end_item(const struct page_group *from, struct page_group *to,
		     int nid, int item)
{
	s64 *row;
	u32 at;

	row = row_of(to, nid, item, port_nr_cpus(), &at);
	row[at] += group_node_stat(from, nid, item) +
		   group_ended_stat(from, nid, item);
}

void group_end_stats(const struct page_group *from, struct page_group *to)
{
	for (int nid = 0; nid < MM_MAX_NODES; nid++) {
		if (!from->node[nid])
			continue;
		for (int i = 0; i < GROUP_EV_BASE; i++)
			end_item(from, to, nid, i);
	}
	for (int i = GROUP_EV_BASE; i < NR_GROUP_STATS; i++)
		end_item(from, to, 0, i);
}

int group_leaf(u16 id, gfp_t gfp)
{
	struct page_group ***leaf = &phys_sys.hot.groups[id / GROUP_LEAF];
	struct page_group **none = NULL;
	struct page *page;

	mm_verify(leaf < phys_sys.hot.groups + PHYS_GROUP_LEAFS);
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
