/* SPDX-License-Identifier: MIT */
/*
 * group.h - what this floor keeps for each memory control group: its LRU lists
 * and its counters, found by the 16-bit id that a page carries.
 *
 * Id 0 is the root: its lists are the node's own (pglist_data.lruvec), and it
 * has no counters of its own: whatever the machine counts is the root's. So a
 * page of the root costs one look at its id, and nothing else of what stands
 * here. Who may be in a group, what it may use and how groups nest is
 * src/memcg/.
 */
#ifndef MM_PHYS_GROUP_H
#define MM_PHYS_GROUP_H

#include "phys/lru.h"
#include "phys/mmzone.h"
#include "phys/vmstat.h"

/* Counters of a group: the items of its node (enum node_stat_item), and: */
enum group_event_item {
	GROUP_EV_BASE = NR_VM_NODE_STAT_ITEMS,
	GROUP_PGFAULT = GROUP_EV_BASE,
	GROUP_PGMAJFAULT,
	GROUP_PGREFILL,
	GROUP_PGSCAN_KSWAPD,
	GROUP_PGSCAN_DIRECT,
	GROUP_PGSTEAL_KSWAPD,
	GROUP_PGSTEAL_DIRECT,
	GROUP_PGACTIVATE,
	GROUP_PGDEACTIVATE,
	GROUP_PGLAZYFREE,
	GROUP_PGLAZYFREED,
	GROUP_VMALLOC, /* pages, not events */
	NR_GROUP_STATS
};

/* One CPU's counters, up to a cache line. */
#define GROUP_STRIDE ((NR_GROUP_STATS + 7u) & ~7u)

/*
 * The first member of what a higher floor keeps of a group. Lives while
 * anything is charged to it: a page's reference keeps its group.
 */
struct page_group {
	u16 id;			/* constant, not 0 */
	u32 nr_nodes;		/* constant: entries of lruvecs */
	struct lruvec *lruvecs; /* by node */
	s64 *stats;		/* [cpu][GROUP_STRIDE], by each CPU (A) */
};

/* Groups by id: two steps of 512 and 128. Entries are set and taken away by
 * group_publish() alone. */
#define GROUP_LEAF  512u
#define GROUP_LEAFS (65536u / GROUP_LEAF)

/*
 * group_of_id: the group, NULL if there is none, or ID is the root. It stays
 * while a charge, or a read section (base/epoch.h), of the caller's lasts.
 */
static inline struct page_group *group_of_id(u16 id)
{
	struct page_group **leaf =
		smp_load_acquire(&phys_hot()->groups[id / GROUP_LEAF]);

	return leaf ? smp_load_acquire(&leaf[id % GROUP_LEAF]) : NULL;
}

/*
 * group_lruvec: the lists of G, NULL: the root, on PGDAT. A node that came
 * after the group has the group's pages on its own lists.
 */
static inline struct lruvec *group_lruvec(struct page_group *g,
					  struct pglist_data *pgdat)
{
	u32 nid = (u32)pgdat->node_id;

	return g && nid < g->nr_nodes && g->lruvecs[nid].pgdat
		       ? &g->lruvecs[nid]
		       : &pgdat->lruvec;
}

/* group_stat_add: ITEM of the group ID, not the root, grows by N. The caller
 * has something that is charged to it. Any context. */
void group_stat_add(u16 id, int item, s64 n);

/* group_stat: G's own ITEM, all CPUs'. Never below 0 for what is a count. */
s64 group_stat(const struct page_group *g, int item);

/*
 * page_stat_add: ITEM of PAGE's node, and of its group, grows by N. Any
 * context.
 */
static inline void page_stat_add(const struct page *page, int item, s64 n)
{
	u16 group = page_group(page);

	node_stat_add(page_zone(page)->zone_pgdat, item, n);
	if (unlikely(group))
		group_stat_add(group, item, n);
}

/* group_leaf: make the leaf that ID is in, unless it is there. 0, -ENOMEM.
 * group_has_leaf: is it? */
int group_leaf(u16 id, gfp_t gfp) MM_MUST_CHECK;

static inline bool group_has_leaf(u16 id)
{
	return smp_load_acquire(&phys_hot()->groups[id / GROUP_LEAF]) != NULL;
}

/*
 * group_publish: G, whose lists are made and whose leaf is there, is found by
 * its id from now on, or (ON false) not any more: who looked it up in a read
 * section may still have it. One id is one caller's at a time. Any context.
 */
void group_publish(struct page_group *g, bool on);

#endif
