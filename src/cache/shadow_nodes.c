/* SPDX-License-Identifier: MIT */
/*
 * shadow_nodes.c - nodes of the caches' arrays that hold shadows alone.
 *
 * 1. Purpose. A shadow (workingset.c) takes the place of a page that was
 *    evicted, so an array keeps its nodes when all their pages have gone. A
 *    file that is read once, however large, would leave nodes for all of its
 *    length, and nothing would ever take them but its end.
 *
 * 2. What a shadow is worth. One says something while fewer pages have been
 *    evicted since than memory holds. So memory's number of pages is as many
 *    shadows as are ever looked at with profit; with a node an eighth full, and
 *    fuller ones are the rule, that is an eighth as many nodes as pages: in
 *    bytes 1/56 of memory at the worst. Nodes beyond that are for the shrinker,
 *    those first that have been without pages for longest.
 *
 * 3. Structures. A list of such nodes for each memory node, in the order in
 *    which they lost their last page; workingset_nodes counts them. The array
 *    calls update() at each change of a node of its lowest level.
 *
 * 4. Invariants.
 *    SH-1  A node is listed exactly if it is of the page cache or the swap
 *          cache, holds shadows and nothing else (values of shmem are no
 *          shadows but swapped pages). Its array, and the lock over it, last
 *          as long as it is listed.
 *    SH-2  xa_node.listed changes under the array's lock and the list's, link
 *          under the list's.
 *
 * 5. Locking. The list's lock nests inside those of arrays. The shrinker comes
 *    the other way, so it only tries an array's lock: a node whose array is
 *    busy goes to the end of the list. With the array's lock held, the list's
 * is given up, and the array cannot go: its end waits for its lock.
 *    workingset_nodes changes under the list's lock.
 *
 * 6. Rejected. Dropping single shadows by age: no memory comes of it until the
 *    last one of a node has gone.
 *
 * References: J. Weiner's description of refault distance; Linux documentation,
 * admin-guide/cgroup-v2 (workingset_nodereclaim).
 */
#include <mmkit/shrinker.h>
#include <mmkit/slab.h>

#include "cache/swap.h"
#include "phys/mmzone.h"
#include "phys/vmstat.h"

/* So many pages of memory for each node (see 2). */
#define PAGES_PER_NODE 8

static struct shadow_list *list_of(const struct xa_node *leaf)
{
	return &cache_sys.shadows.list[page_to_nid(view_to_page(leaf))];
}

static void count_node(const struct xa_node *leaf, int item, long n)
{
	mod_node_page_state(NODE_DATA(page_to_nid(view_to_page(leaf))), item,
			    n);
}

/* LEAF has changed; its array is locked. */
static void update_leaf(struct xa_node *leaf)
{
	bool shadows = xa_node_full_of_values(leaf);
	struct shadow_list *l;
	unsigned long flags;

	if (shadows == leaf->listed)
		return;
	l = list_of(leaf);
	spin_lock_irqsave(&l->lock, flags);
	if (shadows)
		list_add_tail(&leaf->link, &l->nodes);
	else
		list_del(&leaf->link);
	leaf->listed = shadows;
	WRITE_ONCE(l->nr, l->nr + (shadows ? 1 : ~0UL));
	count_node(leaf, WORKINGSET_NODES, shadows ? 1 : -1);
	spin_unlock_irqrestore(&l->lock, flags);
}

static struct address_space *mapping_of(struct xarray *xa)
{
	return container_of(xa, struct address_space, i_pages);
}

void mapping_node_update(struct xarray *xa, struct xa_node *leaf)
{
	if (!mapping_flag(mapping_of(xa), AS_NO_WRITEBACK))
		update_leaf(leaf);
}

void swap_node_update(struct xarray *xa, struct xa_node *leaf)
{
	(void)xa;
	update_leaf(leaf);
}

/* ---- the shrinker ----------------------------------------------------------
 */

static spinlock_t *lock_of(struct xarray *xa)
{
	if (xa->update == mapping_node_update)
		return &mapping_of(xa)->i_pages_lock;
	mm_assert(xa->update == swap_node_update);
	return &container_of(xa, struct swap_info, cache)->cache_lock;
}

/* The list's oldest node, taken off, its array locked; NULL: that is busy, and
 * the node waits at the end, or the list is empty. Interrupts are off. */
static struct xa_node *take_oldest(struct shadow_list *l)
{
	struct xa_node *leaf = NULL;

	spin_lock(&l->lock);
	if (!list_empty(&l->nodes)) {
		leaf = list_entry(l->nodes.next, struct xa_node, link);
		list_del(&leaf->link);
		if (spin_trylock(lock_of(leaf->array))) {
			leaf->listed = false;
			WRITE_ONCE(l->nr, l->nr - 1);
			count_node(leaf, WORKINGSET_NODES, -1);
			count_node(leaf, WORKINGSET_NODERECLAIM, 1);
		} else {
			list_add_tail(&leaf->link, &l->nodes);
			leaf = NULL;
		}
	}
	spin_unlock(&l->lock);
	return leaf;
}

/* Free L's oldest node, and those above it that it alone needed. False: not
 * now. */
static bool reclaim_oldest(struct shadow_list *l)
{
	struct xa_preload freed = XA_PRELOAD_INIT(NULL, cache_node_free, NULL);
	struct xa_node *leaf;
	unsigned long flags;
	struct xarray *xa;
	spinlock_t *lock;
	u32 n;

	local_irq_save(flags);
	leaf = take_oldest(l);
	if (!leaf) {
		local_irq_restore(flags);
		return false;
	}
	xa = leaf->array;
	lock = lock_of(xa);
	n = xa_erase_leaf(xa, leaf, &freed);
	if (xa->update == mapping_node_update) {
		mm_verify(mapping_of(xa)->nrshadows >= n);
		mapping_of(xa)->nrshadows -= n;
	}
	spin_unlock(lock);
	local_irq_restore(flags);
	xa_preload_drain(&freed);
	return true;
}

static u64 nodes_count(struct shrinker *s, struct shrink_control *sc)
{
	const pg_data_t *pgdat = NODE_DATA(sc->nid);
	u64 nr = READ_ONCE(cache_sys.shadows.list[sc->nid].nr), most;

	(void)s;
	most = pgdat ? pgdat->node_present_pages / PAGES_PER_NODE : 0;
	return nr > most ? nr - most : SHRINK_EMPTY;
}

static u64 nodes_scan(struct shrinker *s, struct shrink_control *sc)
{
	struct shadow_list *l = &cache_sys.shadows.list[sc->nid];
	u64 freed = 0;

	(void)s;
	for (u64 n = 0; n < sc->nr_to_scan && READ_ONCE(l->nr); n++)
		freed += reclaim_oldest(l);
	return freed;
}

int shadow_nodes_init(void)
{
	struct shadow_state *st = &cache_sys.shadows;

	for (int nid = 0; nid < MM_MAX_NODES; nid++) {
		spin_lock_init(&st->list[nid].lock, LOCK_CLASS_SHADOW_NODES);
		INIT_LIST_HEAD(&st->list[nid].nodes);
	}
	st->shrinker = (struct shrinker){.count_objects = nodes_count,
					 .scan_objects = nodes_scan,
					 .seeks = 0,
					 .flags = SHRINKER_NUMA_AWARE};
	return register_shrinker(&st->shrinker, "mm-shadow");
}

void shadow_nodes_check(void)
{
	for (int nid = 0; nid < MM_MAX_NODES; nid++) {
		struct shadow_list *l = &cache_sys.shadows.list[nid];
		struct xa_node *leaf;
		unsigned long flags;
		u64 n = 0;

		spin_lock_irqsave(&l->lock, flags);
		list_for_each_entry (leaf, &l->nodes, link) {
			mm_verify(leaf->listed && xa_node_full_of_values(leaf));
			mm_verify(list_of(leaf) == l);
			n++;
		}
		mm_verify(n == l->nr);
		mm_verify(
			!NODE_DATA(nid) ||
			n == node_page_state(NODE_DATA(nid), WORKINGSET_NODES));
		spin_unlock_irqrestore(&l->lock, flags);
	}
}
