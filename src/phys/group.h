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

/* Counters of a group: the items of each node (enum node_stat_item), and: */
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
	GROUP_THP_FAULT_ALLOC,
	GROUP_VMALLOC, /* pages, not events */
	NR_GROUP_STATS
};

/* One CPU's counters, up to a cache line: of a node, and of no node. */
#define GROUP_NODE_STRIDE (((u32)NR_VM_NODE_STAT_ITEMS + 7u) & ~7u)
#define GROUP_EVENT_STRIDE \
	(((u32)NR_GROUP_STATS - (u32)GROUP_EV_BASE + 7u) & ~7u)

/* What a group has on one node. */
struct group_node {
	struct lruvec lruvec;
	/* [CPU][GROUP_NODE_STRIDE], by each CPU (A). A row more: of groups
	 * below that have ended, under the floor above's lock. */
	s64 *stats;
	struct page *block; /* its frames; NULL: they are the group's */
};

/*
 * The first member of what a higher floor keeps of a group. Lives while
 * anything is charged to it: a page's reference keeps its group.
 */
struct page_group {
	u16 id;	     /* constant, not 0 */
	s64 *events; /* [CPU][GROUP_EVENT_STRIDE] as group_node.stats */
	/* Set before the first page of the node is given out. */
	struct group_node *node[MM_MAX_NODES];
};

/* Groups by id: two steps of 512 and 128. Entries are set and taken away by
 * group_publish() alone. */
#define GROUP_LEAF  512u
#define GROUP_LEAFS ((u32)PHYS_GROUP_LEAFS)

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

/* group_lruvec: the lists of G, NULL: the root, on PGDAT. */
static inline struct lruvec *group_lruvec(struct page_group *g,
					  struct pglist_data *pgdat)
{
	return g ? &g->node[pgdat->node_id]->lruvec : &pgdat->lruvec;
}

/* group_stat_add: ITEM (enum group_event_item) of the group ID, not the root,
 * grows by N. group_node_stat_add: likewise ITEM (enum node_stat_item) on node
 * NID. The caller has something that is charged to it. Any context. */
void group_stat_add(u16 id, int item, s64 n);
void group_node_stat_add(u16 id, int nid, int item, s64 n);

/* group_stat: G's own ITEM, all CPUs', on all nodes; group_node_stat: on NID
 * alone, which may be no node. Never below 0 for what is a count. */
s64 group_stat(const struct page_group *g, int item);
s64 group_node_stat(const struct page_group *g, int nid, int item);

/* group_ended_stat: ITEM, on NID, that groups below G had when they ended;
 * group_end_stats: FROM ends: it is counted there for TO. Both under the lock
 * of who keeps the groups. */
s64 group_ended_stat(const struct page_group *g, int nid, int item);
void group_end_stats(const struct page_group *from, struct page_group *to);

/*
 * page_stat_add: ITEM of PAGE's node, and of its group, grows by N. Any
 * context.
 */
static inline void page_stat_add(const struct page *page, int item, s64 n)
{
	u16 group = page_group(page);

	node_stat_add(page_zone(page)->zone_pgdat, item, n);
	if (unlikely(group))
		group_node_stat_add(group, page_to_nid(page), item, n);
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
