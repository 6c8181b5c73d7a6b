/* SPDX-License-Identifier: MIT */
/*
 * ksm_check.c - do trees, lists and counters agree?
 *
 * Three ways to the same sums: the items of all spaces, the lists of all nodes,
 * the counters. Contents in the stable tree are in order as long as their pages
 * are there, since nobody can write them.
 */
#include <mmkit/page_alloc.h>

#include "base/assert.h"
#include "merge/ksm.h"
#include "space/ksm.h"

struct ksm_sums {
	u64 items, stable, unshared;	   /* by spaces */
	u64 shared, sharing, chains, dups; /* by nodes */
};

static void check_item(struct ksm_sums *s, const struct ksm_mm_slot *slot,
		       const struct ksm_rmap_item *item)
{
	s->items++;
	mm_verify(item->mm == slot->mm && IS_ALIGNED(item->address, PAGE_SIZE));
	mm_verify(!item->next || item->next->address > item->address);
	if (item->state == KSM_STABLE) {
		s->stable++;
		mm_verify(item->head && item->anon_vma);
		mm_verify(!ksm_is_chain(item->head));
	} else if (item->state == KSM_UNSTABLE) {
		s->unshared++;
	}
}

static void check_slot(struct ksm_sums *s, const struct ksm_mm_slot *slot)
{
	const struct ksm_rmap_item *item;
	u64 all = s->items, merging = s->stable;

	for (item = slot->rmap_list; item; item = item->next)
		check_item(s, slot, item);
	mm_verify(slot->mm->ksm_slot == slot);
	mm_verify(slot->mm->ksm_rmap_items == s->items - all);
	mm_verify(slot->mm->ksm_merging_pages == s->stable - merging);
}

static void check_node(struct ksm_sums *s, const struct ksm_stable_node *node,
		       u32 tree)
{
	const struct ksm_rmap_item *item;
	s32 n = 0;

	mm_verify(node->in_tree && node->nid == (s16)tree);
	hlist_for_each_entry(item, &node->items, link)
	{
		mm_verify(item->state == KSM_STABLE && item->head == node);
		n++;
	}
	mm_verify(n == node->rmap_hlist_len);
	s->shared += n > 0;
	s->sharing += n > 1 ? (u64)n - 1 : 0;
}

/* ST-1 from the page's side: it is read-only and nobody's but NODE's. */
static struct page *check_page(const struct ksm_stable_node *node)
{
	u64 word = (u64)(uintptr_t)node | PAGE_MAPPING_KSM;
	u64 kpfn = READ_ONCE(node->kpfn);
	struct page *page;

	if (kpfn == KSM_MOVING || !pfn_valid(kpfn))
		return NULL;
	page = pfn_to_page(kpfn);
	if (page_mapping_word(page) != word || !get_page_unless_zero(page))
		return NULL;
	if (page_mapping_word(page) == word) {
		mm_verify(PageSwapBacked(page) && PageUptodate(page));
		return page;
	}
	put_page(page);
	return NULL;
}

/* All of NODE, a chain or not; *PREV: the page before it in order, or NULL. */
static void check_in_tree(struct ksm_sums *s,
			  const struct ksm_stable_node *node, u32 tree,
			  struct page **prev)
{
	const struct ksm_stable_node *dup = node;
	struct page *page;

	if (ksm_is_chain(node)) {
		s->chains++;
		mm_verify(!hlist_empty(&node->items));
		hlist_for_each_entry(dup, &node->items, dup_link)
		{
			mm_verify(dup->chain_of == node);
			check_node(s, dup, tree);
			s->dups++;
		}
		dup = hlist_entry(node->items.first, struct ksm_stable_node,
				  dup_link);
	} else {
		check_node(s, node, tree);
	}
	page = check_page(dup);
	if (!page)
		return;
	mm_verify(!*prev || ksm_compare(*prev, page) < 0);
	if (*prev)
		put_page(*prev);
	*prev = page;
}

static void check_tree(struct ksm_sums *s, u32 tree)
{
	const struct rb_root *root = &merge_sys.stable[tree];
	struct page *prev = NULL;
	struct rb_node *at;

	mm_verify(rb_check(root, NULL));
	for (at = rb_first(root); at; at = rb_next(at))
		check_in_tree(s, rb_entry(at, struct ksm_stable_node, rb), tree,
			      &prev);
	if (prev)
		put_page(prev);
}

void ksm_check(void)
{
	struct merge_state *m = &merge_sys;
	struct ksm_mm_slot *slot;
	struct ksm_sums s = {0};

	if (!m->item_cache)
		return;
	ksm_lock();
	for (slot = ksm_next_slot(NULL); slot; slot = ksm_next_slot(slot))
		check_slot(&s, slot);
	for (u32 tree = 0; tree < MM_MAX_NODES; tree++)
		check_tree(&s, tree);
	mm_verify(s.items == m->rmap_items);
	mm_verify(s.stable == s.shared + s.sharing);
	mm_verify(s.shared == m->pages_shared);
	mm_verify(s.sharing == m->pages_sharing);
	mm_verify(s.unshared == m->pages_unshared);
	mm_verify(s.chains == m->stable_node_chains);
	mm_verify(s.dups == m->stable_node_dups);
	ksm_unlock();
}

/* Nodes of one tree; each chain is one, and its dups are. */
static u64 tree_nodes(u32 tree)
{
	const struct rb_root *root = &merge_sys.stable[tree];
	const struct ksm_stable_node *node, *dup;
	struct rb_node *at;
	u64 n = 0;

	for (at = rb_first(root); at; at = rb_next(at)) {
		n++;
		node = rb_entry(at, struct ksm_stable_node, rb);
		if (!ksm_is_chain(node))
			continue;
		hlist_for_each_entry(dup, &node->items, dup_link)
		{
			n++;
		}
	}
	return n;
}

bool ksm_objects(struct ksm_objects *n)
{
	const struct merge_state *m = &merge_sys;
	const struct ksm_rmap_item *item;
	struct ksm_mm_slot *slot;

	*n = (struct ksm_objects){0};
	if (!m->item_cache || !m->node_cache || !m->slot_cache)
		return false;
	ksm_lock();
	for (slot = ksm_next_slot(NULL); slot; slot = ksm_next_slot(slot)) {
		n->slots++;
		for (item = slot->rmap_list; item; item = item->next)
			n->items++;
	}
	for (u32 tree = 0; tree < MM_MAX_NODES; tree++)
		n->nodes += tree_nodes(tree);
	for (size_t i = 0; i < ARRAY_SIZE(m->reserve); i++)
		n->nodes += m->reserve[i] != NULL;
	ksm_unlock();
	return true;
}
