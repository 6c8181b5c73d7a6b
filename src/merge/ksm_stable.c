/* SPDX-License-Identifier: MIT */
/*
 * ksm_stable.c - shared pages: the tree by content, who shares each, chains.
 *
 * 1. A node describes a shared page by its frame number and holds no reference:
 *    when the last entry goes the page is freed as any other, and the node is
 *    found stale when somebody comes by it. A page knows its node by its
 * mapping word, so a frame that was freed, and perhaps has other contents by
 * now, is told apart (node_page()).
 *
 * 2. Who shares the page is a list of items. A reverse-map walk visits for each
 *    the mappings that were forked from where the item found the page.
 *
 * 3. Chains. A walk over thousands of users would hold up whoever wants the
 * page locked. A page takes max_page_sharing of them; then a second page of the
 *    same contents is made, a dup, and both hang from a chain, which stands in
 *    the tree instead. Which dup still has room is asked in the order of the
 *    list, to whose front goes what was found. The others are looked through
 *    every stable_node_chains_prune_millisecs.
 *
 * 4. Invariants.
 *    ST-1  A page whose word names a node is that node's frame; a node that no
 *          page's word names is stale.
 *    ST-2  items of a node = rmap_hlist_len; pages_shared counts nodes with
 * any, pages_sharing the items beyond the first. ST-3  A page that a fork
 * mapped more often than there are items is found at those places through the
 * item of the parent, or, if that went, not until the scan gives the child an
 * item of its own: meanwhile it cannot be unmapped. ST-4  The list of items
 * changes with the page locked.
 *
 * 5. Failure. A chain is made when two sharers are there already, so memory for
 *    it is had before (ksm_reserve()).
 */
#include <mmkit/errno.h>
#include <mmkit/slab.h>

#include "base/assert.h"
#include "base/epoch.h"
#include "base/trace_ring.h"
#include "merge/ksm.h"
#include "phys/phys.h"
#include "space/ksm.h"

/* ---- nodes -----------------------------------------------------------------
 */

bool ksm_reserve(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(merge_sys.reserve); i++) {
		if (merge_sys.reserve[i])
			continue;
		merge_sys.reserve[i] = kmem_cache_alloc(
			merge_sys.node_cache,
			GFP_KERNEL | __GFP_ZERO | __GFP_NORETRY | __GFP_NOWARN);
		if (!merge_sys.reserve[i])
			return false;
	}
	return true;
}

static struct ksm_stable_node *stable_node_take(void)
{
	struct ksm_stable_node *node = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(merge_sys.reserve) && !node; i++) {
		node = merge_sys.reserve[i];
		merge_sys.reserve[i] = NULL;
	}
	mm_verify(node != NULL);
	return node;
}

static void stable_node_free(struct ksm_stable_node *node)
{
	kmem_cache_free(merge_sys.node_cache, node);
}

static void count(u64 *counter, s64 n)
{
	WRITE_ONCE(*counter, *counter + (u64)n);
}

/* NODE leaves the tree, or its chain, which goes with its last dup. */
static void node_unlink(struct ksm_stable_node *node)
{
	struct ksm_stable_node *chain = node->chain_of;

	if (!node->in_tree)
		return;
	node->in_tree = false;
	if (!chain) {
		rb_erase(&node->rb, &merge_sys.stable[node->nid]);
		return;
	}
	hlist_del_init(&node->dup_link);
	node->chain_of = NULL;
	count(&merge_sys.stable_node_dups, -1);
	if (!hlist_empty(&chain->items))
		return;
	rb_erase(&chain->rb, &merge_sys.stable[chain->nid]);
	count(&merge_sys.stable_node_chains, -1);
	stable_node_free(chain);
}

/* ITEM, of NODE's list, leaves it. */
static void item_leave(struct ksm_rmap_item *item, struct ksm_stable_node *node)
{
	struct mm_struct *mm = item->mm;

	hlist_del_init(&item->link);
	node->rmap_hlist_len--;
	count(hlist_empty(&node->items) ? &merge_sys.pages_shared
					: &merge_sys.pages_sharing,
	      -1);
	count(&mm->ksm_merging_pages, -1);
	item->state = KSM_NOWHERE;
	item->head = NULL;
}

/* NODE's page is gone or not shared any more: it and its items are forgotten.
 */
static void node_forget(struct ksm_stable_node *node)
{
	struct ksm_rmap_item *item;
	struct hlist_node *next;

	mm_assert(!ksm_is_chain(node));
	hlist_for_each_entry_safe(item, next, &node->items, link)
	{
		item_leave(item, node);
		anon_vma_put(item->anon_vma);
		item->anon_vma = NULL;
	}
	trace_emit(KSM_REMOVE_KSM_PAGE, node->kpfn);
	node_unlink(node);
	stable_node_free(node);
}

/* The frame that NODE names with a reference, if it still is NODE's. */
static struct page *node_try_page(const struct ksm_stable_node *node, u64 word,
				  bool *frozen)
{
	u64 kpfn = __atomic_load_n(&node->kpfn, __ATOMIC_ACQUIRE);
	struct page *page = NULL;
	bool ours = false;

	*frozen = kpfn == KSM_MOVING;
	if (*frozen)
		return NULL;
	epoch_enter();
	if (pfn_valid(kpfn) && !pfn_offline(kpfn)) {
		page = pfn_to_page(kpfn);
		ours = page_mapping_word(page) == word;
		if (ours && !get_page_unless_zero(page)) {
			*frozen = true;
			page = NULL;
		}
	}
	epoch_exit();
	if (page && ours && page_mapping_word(page) == word)
		return page;
	if (page && ours)
		put_page(page);
	/* It moved between the looks. */
	if (__atomic_load_n(&node->kpfn, __ATOMIC_ACQUIRE) != kpfn)
		*frozen = true;
	return NULL;
}

/*
 * NODE's page with a reference; NULL: it is gone, and so is NODE. A frame whose
 * references are frozen has not made up its mind: reclaim may put it back, or
 * it is on its way out and loses its word in a moment.
 */
static struct page *node_page(struct ksm_stable_node *node)
{
	u64 word = (u64)(uintptr_t)node | PAGE_MAPPING_KSM;
	struct page *page;
	bool frozen;

	for (;;) {
		page = node_try_page(node, word, &frozen);
		if (page)
			return page;
		if (!frozen)
			break;
		port_relax();
		port_sched_point();
	}
	node_forget(node);
	return NULL;
}

/* The same, locked, and still NODE's. */
static struct page *node_page_locked(struct ksm_stable_node *node)
{
	u64 word = (u64)(uintptr_t)node | PAGE_MAPPING_KSM;

	for (;;) {
		struct page *page = node_page(node);

		if (!page)
			return NULL;
		lock_page(page);
		if (page_mapping_word(page) == word)
			return page;
		/* It moved before we had the lock. */
		unlock_page(page);
		put_page(page);
	}
}

/* ---- items -----------------------------------------------------------------
 */

static void item_join(struct ksm_rmap_item *item, struct ksm_stable_node *node,
		      struct vm_area_struct *vma, struct anon_vma *av)
{
	count(hlist_empty(&node->items) ? &merge_sys.pages_shared
					: &merge_sys.pages_sharing,
	      1);
	count(&item->mm->ksm_merging_pages, 1);
	anon_vma_get(av);
	item->anon_vma = av;
	item->pgoff = linear_page_index(vma, item->address);
	item->head = node;
	item->state = KSM_STABLE;
	hlist_add_head(&item->link, &node->items);
	node->rmap_hlist_len++;
}

void stable_append(struct ksm_rmap_item *item, struct vm_area_struct *vma,
		   struct page *page)
{
	mm_assert(PageLocked(page) && item->state == KSM_NOWHERE);
	item_join(item, page_stable_node(page), vma, READ_ONCE(vma->anon_vma));
	/* A locked mapping that fork made was not to be found before. */
	if (vma->vm_flags & VM_LOCKED)
		mlock_page(page);
}

void stable_remove_item(struct ksm_rmap_item *item)
{
	struct ksm_stable_node *node = item->head;
	struct anon_vma *av = item->anon_vma;
	struct page *page = node_page_locked(node);

	/* With its page the node went, and took its items along. */
	if (!page)
		return;
	item_leave(item, node);
	unlock_page(page);
	put_page(page);
	item->anon_vma = NULL;
	anon_vma_put(av);
}

/* ---- making ----------------------------------------------------------------
 */

/* The anon_vma that PAGE, mapped by VMA, belongs to: it leads to all who map
 * the page, also to relatives that VMA's own does not know. */
static struct anon_vma *page_own_anon_vma(const struct page *page)
{
	return (struct anon_vma *)(uintptr_t)(page_mapping_word(page) &
					      ~PAGE_MAPPING_FLAGS);
}

void stable_make(struct ksm_rmap_item *item, struct vm_area_struct *vma,
		 struct page *page)
{
	struct ksm_stable_node *node = stable_node_take();

	mm_assert(PageLocked(page) && PageAnon(page) && !PageKsm(page));
	mm_assert(item->state == KSM_NOWHERE);
	INIT_HLIST_HEAD(&node->items);
	INIT_HLIST_NODE(&node->dup_link);
	node->kpfn = page_to_pfn(page);
	node->nid = (s16)ksm_tree(page_to_nid(page));
	item_join(item, node, vma, page_own_anon_vma(page));
	set_page_mapping_word(page, (u64)(uintptr_t)node | PAGE_MAPPING_KSM);
}

void stable_unmake(struct ksm_rmap_item *item, struct page *page)
{
	struct ksm_stable_node *node = item->head;
	struct anon_vma *av = item->anon_vma;

	lock_page(page);
	mm_verify(page_stable_node(page) == node && !node->in_tree &&
		  node->rmap_hlist_len == 1);
	item_leave(item, node);
	set_page_mapping_word(page, (u64)(uintptr_t)av | PAGE_MAPPING_ANON);
	unlock_page(page);
	item->anon_vma = NULL;
	anon_vma_put(av);
	stable_node_free(node);
}

/* ---- chains ----------------------------------------------------------------
 */

static void chain_add(struct ksm_stable_node *chain,
		      struct ksm_stable_node *dup)
{
	dup->chain_of = chain;
	dup->nid = chain->nid;
	dup->in_tree = true;
	hlist_add_head(&dup->dup_link, &chain->items);
	count(&merge_sys.stable_node_dups, 1);
}

/* NODE, in the tree, hangs from a new chain, which takes its place. */
static struct ksm_stable_node *chain_make(struct ksm_stable_node *node)
{
	struct ksm_stable_node *chain = stable_node_take();

	INIT_HLIST_HEAD(&chain->items);
	INIT_HLIST_NODE(&chain->dup_link);
	chain->rmap_hlist_len = KSM_CHAIN;
	chain->nid = node->nid;
	chain->in_tree = true;
	chain->chain_prune_time = port_now_ns();
	rb_replace_node(&node->rb, &chain->rb, &merge_sys.stable[chain->nid]);
	count(&merge_sys.stable_node_chains, 1);
	chain_add(chain, node);
	return chain;
}

/* All dups of CHAIN that are gone go; CHAIN too if none is left: then false.
 * One that is left alone takes the chain's place. */
static bool chain_prune(struct ksm_stable_node *chain)
{
	struct ksm_stable_node *dup;
	struct hlist_node *next;
	u32 left = 0;

	hlist_for_each_entry_safe(dup, next, &chain->items, dup_link)
	{
		/* The last to go takes the chain with it. */
		bool last = !next && !left;
		struct page *page = node_page(dup);

		if (page)
			put_page(page);
		else if (last)
			return false;
		left += page != NULL;
	}
	chain->chain_prune_time = port_now_ns();
	if (left > 1)
		return true;
	dup = hlist_entry(chain->items.first, struct ksm_stable_node, dup_link);
	hlist_del_init(&dup->dup_link);
	dup->chain_of = NULL;
	rb_replace_node(&chain->rb, &dup->rb, &merge_sys.stable[chain->nid]);
	count(&merge_sys.stable_node_dups, -1);
	count(&merge_sys.stable_node_chains, -1);
	stable_node_free(chain);
	return false;
}

/* Has DUP room, and its page the node that PAGE is to be merged on? */
static bool dup_suits(const struct ksm_stable_node *dup,
		      const struct page *page)
{
	return dup->rmap_hlist_len < (s32)merge_sys.max_page_sharing &&
	       ksm_tree(page_to_nid(page)) == (u32)dup->nid;
}

/* A page of CHAIN that has room, with a reference, or NULL. *GONE: CHAIN is. */
static struct page *chain_room(struct ksm_stable_node *chain, bool *gone)
{
	struct ksm_stable_node *dup;
	struct hlist_node *next;

	*gone = false;
	hlist_for_each_entry_safe(dup, next, &chain->items, dup_link)
	{
		bool last = !next && chain->items.first == &dup->dup_link;
		struct page *page = node_page(dup);

		*gone = !page && last;
		if (!page)
			continue;
		if (dup_suits(dup, page)) {
			hlist_del_init(&dup->dup_link);
			hlist_add_head(&dup->dup_link, &chain->items);
			return page;
		}
		put_page(page);
	}
	return NULL;
}

/* Any page of NODE, a chain or not, with a reference; NULL: NODE is gone. */
static struct page *any_page(struct ksm_stable_node *node)
{
	struct ksm_stable_node *dup;
	struct hlist_node *next;

	if (!ksm_is_chain(node))
		return node_page(node);
	hlist_for_each_entry_safe(dup, next, &node->items, dup_link)
	{
		bool last = !next && node->items.first == &dup->dup_link;
		struct page *page = node_page(dup);

		if (page || last)
			return page;
	}
	return NULL;
}

/* ---- the tree --------------------------------------------------------------
 */

struct place {
	struct rb_node *parent, **link;
	struct ksm_stable_node *node; /* of equal contents; NULL: none */
};

/* Where PAGE's contents are, or would be, in TREE. False: begin anew, for a
 * node on the way was stale and went. */
static bool try_place(struct page *page, u32 tree, struct place *p)
{
	p->link = &merge_sys.stable[tree].rb_node;
	p->parent = NULL;
	p->node = NULL;
	while (*p->link) {
		struct ksm_stable_node *node =
			rb_entry(*p->link, struct ksm_stable_node, rb);
		struct page *other = any_page(node);
		int c;

		if (!other)
			return false;
		c = ksm_compare(page, other);
		put_page(other);
		if (c == 0) {
			p->node = node;
			return true;
		}
		p->parent = *p->link;
		p->link = c < 0 ? &p->parent->left : &p->parent->right;
		port_sched_point();
	}
	return true;
}

static void find_place(struct page *page, u32 tree, struct place *p)
{
	while (!try_place(page, tree, p))
		;
}

static bool prune_due(const struct ksm_stable_node *chain)
{
	u64 ns = READ_ONCE(merge_sys.prune_millisecs) * 1000000UL;

	return port_now_ns() - chain->chain_prune_time >= ns;
}

/* A page of NODE that one more can share; NULL: none has room, or (*AGAIN)
 * NODE is not what it was. */
static struct page *room_at(struct ksm_stable_node *node, bool *again)
{
	struct page *found;

	*again = false;
	if (ksm_is_chain(node)) {
		if (prune_due(node) && !chain_prune(node)) {
			*again = true;
			return NULL;
		}
		return chain_room(node, again);
	}
	found = node_page(node);
	if (!found) {
		*again = true;
	} else if (!dup_suits(node, found)) {
		put_page(found);
		found = NULL;
	}
	return found;
}

struct page *stable_search(struct page *page)
{
	u32 tree = ksm_tree(page_to_nid(page));
	struct page *found = NULL;
	struct place p;
	bool again = true;

	if (page_stable_node(page)) {
		get_page(page);
		return page;
	}
	while (again) {
		find_place(page, tree, &p);
		if (!p.node)
			return NULL;
		found = room_at(p.node, &again);
	}
	return found;
}

void stable_insert(struct page *page)
{
	struct ksm_stable_node *node = page_stable_node(page);
	u32 tree = ksm_tree(page_to_nid(page));
	struct place p;

	mm_assert(!node->in_tree);
	find_place(page, tree, &p);
	node->nid = (s16)tree;
	if (p.node) {
		chain_add(ksm_is_chain(p.node) ? p.node : chain_make(p.node),
			  node);
		return;
	}
	node->in_tree = true;
	rb_link_node(&node->rb, p.parent, p.link);
	rb_insert_color(&node->rb, &merge_sys.stable[tree]);
}

void stable_renode(struct page *page)
{
	struct ksm_stable_node *node = page_stable_node(page);

	if (ksm_tree(page_to_nid(page)) == (u32)node->nid || !ksm_reserve())
		return;
	node_unlink(node);
	stable_insert(page);
}

/* ---- forgetting ------------------------------------------------------------
 */

/* The dups of NODE, or itself, as far as their pages are gone. */
static void prune_node(struct ksm_stable_node *node)
{
	struct page *page;

	if (ksm_is_chain(node)) {
		(void)chain_prune(node);
		return;
	}
	page = node_page(node);
	if (page)
		put_page(page);
}

static void each_node(void (*fn)(struct ksm_stable_node *node))
{
	mutex_assert_held(&merge_sys.mutex);
	for (u32 tree = 0; tree < MM_MAX_NODES; tree++) {
		struct rb_node *at = rb_first(&merge_sys.stable[tree]), *next;

		for (; at; at = next) {
			next = rb_next(at);
			fn(rb_entry(at, struct ksm_stable_node, rb));
		}
	}
}

void stable_prune(void)
{
	each_node(prune_node);
}

/* One that nobody maps: what is left of it in the swap cache is read as if it
 * came from the disk. */
static void remove_one(struct ksm_stable_node *node)
{
	struct page *page = node_page_locked(node);
	bool mapped;

	if (!page)
		return;
	mapped = page_mapped(page);
	if (!mapped)
		set_page_mapping_word(page, 0);
	unlock_page(page);
	put_page(page);
	if (!mapped)
		node_forget(node);
}

static void remove_node(struct ksm_stable_node *node)
{
	struct ksm_stable_node *dup;
	struct hlist_node *next;

	if (!ksm_is_chain(node)) {
		remove_one(node);
		return;
	}
	hlist_for_each_entry_safe(dup, next, &node->items, dup_link)
		remove_one(dup);
}

int stable_remove_all(void)
{
	each_node(remove_node);
	for (u32 tree = 0; tree < MM_MAX_NODES; tree++)
		if (!RB_EMPTY_ROOT(&merge_sys.stable[tree]))
			return -EBUSY;
	for (size_t i = 0; i < ARRAY_SIZE(merge_sys.reserve); i++) {
		if (merge_sys.reserve[i])
			stable_node_free(merge_sys.reserve[i]);
		merge_sys.reserve[i] = NULL;
	}
	return 0;
}

/* ---- from a page to its users ----------------------------------------------
 */

bool ksm_rmap_walk(struct page *page, struct rmap_walk_control *rwc)
{
	struct ksm_stable_node *node = page_stable_node(page);
	struct ksm_rmap_item *item;

	mm_assert(PageLocked(page) && node);
	hlist_for_each_entry(item, &node->items, link)
	{
		enum rmap_walked w =
			rmap_walk_at(page, item->anon_vma, item->pgoff, rwc);

		if (w != RMAP_ON)
			return w == RMAP_OVER;
	}
	return true;
}

void ksm_moving(struct page *page)
{
	struct ksm_stable_node *node = page_stable_node(page);

	mm_assert(PageLocked(page));
	mm_verify(node->kpfn == page_to_pfn(page));
	__atomic_store_n(&node->kpfn, KSM_MOVING, __ATOMIC_RELEASE);
}

void ksm_moved(struct page *page)
{
	struct ksm_stable_node *node = page_stable_node(page);

	mm_assert(PageLocked(page));
	mm_verify(node->kpfn == KSM_MOVING);
	__atomic_store_n(&node->kpfn, page_to_pfn(page), __ATOMIC_RELEASE);
}
