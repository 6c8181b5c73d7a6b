/* SPDX-License-Identifier: MIT */
/*
 * node.c - what a group has on each node of memory, and nodes that come while
 * there are groups.
 *
 * 1. Purpose. A page of a group stands on the lists that the group has on the
 *    page's node, and is counted there. So a group has lists for a node before
 *    the first page of it can be given out.
 *
 * 2. Way. A new group gets what it needs for all nodes in its own block of
 *    memory. A node that is added later gets a block for each group that exists
 *    then. Both under one mutex: no group is made in between. If there is not
 *    memory for all of them the node does not come, and nobody has changed.
 *
 * 3. Locking. Blocks are allocated outside of the tree's lock, as many as there
 *    are groups; groups may end meanwhile, which leaves some over, but none can
 *    begin.
 *
 * 4. Rejected. The root's lists for pages of a group on a later node: the
 *    group's own limit does not reach them, and finds nothing to take.
 */
#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>

#include "memcg/memcg.h"

static u64 stats_bytes(void)
{
	return (port_nr_cpus() + 1UL) * GROUP_NODE_STRIDE * sizeof(s64);
}

u64 memcg_node_bytes(void)
{
	return ALIGN(sizeof(struct group_node), 64UL) + stats_bytes();
}

void memcg_node_init(struct memcg *memcg, struct pglist_data *pgdat, void *at)
{
	struct group_node *n = at;

	n->stats = (s64 *)(void *)((char *)at +
				   ALIGN(sizeof(struct group_node), 64UL));
	lruvec_init(&n->lruvec, pgdat, &memcg->page);
	smp_store_release(&memcg->page.node[pgdat->node_id], n);
}

static void block_free(struct page *page)
{
	u64 bytes = memcg_node_bytes();

	for (u64 i = 0; i < PFN_UP(bytes); i++)
		set_page_index(page + i, 0);
	free_pages_exact(page, bytes);
}

void memcg_node_exit(struct memcg *memcg)
{
	for (int nid = 0; nid < MM_MAX_NODES; nid++) {
		struct group_node *n = memcg->page.node[nid];

		if (!n)
			continue;
		lruvec_exit(&n->lruvec);
		if (n->block)
			block_free(n->block);
	}
}

/* ---- a node that comes
 * ------------------------------------------------------------ */

/* Blocks that wait for a group, each with the next one's address at its start.
 */
struct blocks {
	void *first;
};

static void blocks_free(struct blocks *b)
{
	void *at;

	while ((at = b->first)) {
		b->first = *(void **)at;
		block_free(view_to_page(at));
	}
}

/* One more block, on any node: where groups have theirs. */
static int blocks_more(struct blocks *b)
{
	u64 bytes = memcg_node_bytes();
	struct page *page = alloc_pages_exact(bytes, GFP_KERNEL | __GFP_ZERO);
	void **at;

	if (!page)
		return -ENOMEM;
	for (u64 i = 0; i < PFN_UP(bytes); i++)
		set_page_index(page + i, PAGE_INDEX_KERNEL);
	at = page_view(page);
	*at = b->first;
	b->first = at;
	return 0;
}

/* A block for each group. Tree lock held. */
static void blocks_give(struct blocks *b, struct pglist_data *pgdat)
{
	struct memcg *m = NULL;

	while ((m = memcg_step(NULL, m))) {
		void **at = b->first;

		mm_verify(at != NULL && !m->page.node[pgdat->node_id]);
		b->first = *at;
		*at = NULL;
		memcg_node_init(m, pgdat, at);
		m->page.node[pgdat->node_id]->block = view_to_page(at);
	}
}

int memcg_node_add(struct pglist_data *pgdat)
{
	struct blocks b = {NULL};
	int err = 0;

	mutex_lock(&memcg_sys.make_lock);
	for (u32 n = READ_ONCE(memcg_sys.nr_groups); n && !err; n--)
		err = blocks_more(&b);
	if (!err) {
		spin_lock(&memcg_sys.lock);
		blocks_give(&b, pgdat);
		spin_unlock(&memcg_sys.lock);
		memcg_sys.pgdat[pgdat->node_id] = pgdat;
	}
	mutex_unlock(&memcg_sys.make_lock);
	blocks_free(&b);
	return err;
}

/* No page of it was ever given out: nothing is on the lists, or counted. */
void memcg_node_drop(struct pglist_data *pgdat)
{
	int nid = pgdat->node_id;
	struct blocks b = {NULL};
	struct memcg *m = NULL;

	mutex_lock(&memcg_sys.make_lock);
	memcg_sys.pgdat[nid] = NULL;
	spin_lock(&memcg_sys.lock);
	while ((m = memcg_step(NULL, m))) {
		struct group_node *n = m->page.node[nid];

		WRITE_ONCE(m->page.node[nid], NULL);
		lruvec_exit(&n->lruvec);
		mm_verify(n->block != NULL);
		*(void **)(void *)n = b.first;
		b.first = n;
	}
	spin_unlock(&memcg_sys.lock);
	mutex_unlock(&memcg_sys.make_lock);
	blocks_free(&b);
}
