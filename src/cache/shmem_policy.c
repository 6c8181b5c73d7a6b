/* SPDX-License-Identifier: MIT */
/*
 * shmem_policy.c - on which nodes the pages of files in memory lie.
 *
 * 1. Purpose. What several processes map has one page for all of them, so
 *    where it lies cannot be each mapping's own affair. What mbind(2) says of a
 *    mapping of shmem it says of that part of the file: for everybody who maps
 *    it, now or later, for write(2) and fallocate(2), for pages from swap,
 *    until somebody says otherwise or the file is gone. Truncation leaves it.
 *
 * 2. Structure. Ranges of page numbers that do not overlap, in a tree by their
 *    first page; a page in none has no policy of its file's: the running task's
 *    counts. A mapping keeps its policy too (vm_policy), for what depends on
 *    how it was bound: whether it melts, whether mbind() changes something.
 *    Where pages go only the file says.
 *
 * 3. Invariants.
 *    SHP-1  Ranges are not empty and do not overlap; each holds a reference to
 *           its policy, which is not NULL.
 *    SHP-2  A range's policy does not change: to change means to replace. So
 *           who found it may use it with a reference and no lock.
 *
 * 4. Locking. shared_policy.lock, a leaf; no policy is given back under it.
 *
 * 5. Failure. A change needs up to two ranges more than there were: one that is
 *    new, and the rest of one that it falls into. They are allocated before
 *    anything changes (shmem_policy_reserve()); the change cannot fail.
 *
 * 6. Rejected. Joining equal neighbours: there are at most as many ranges as
 *    calls of mbind(), and who asks needs one of them.
 *
 * References: mbind(2), numa(7); Linux documentation,
 * admin-guide/mm/numa_memory_policy ("Shared Policy"), filesystems/tmpfs.
 */
#include <mmkit/errno.h>
#include <mmkit/mempolicy.h>
#include <mmkit/slab.h>

#include "base/rbtree.h"
#include "cache/shmem.h"

struct shared_range {
	union {
		struct rb_node node;
		struct shared_range *next; /* of a reserve, or of garbage */
	};
	u64 first, end; /* page numbers */
	struct mempolicy *pol;
	int home; /* -1: none */
};

static struct shared_range *range_of(struct rb_node *node)
{
	return rb_entry_safe(node, struct shared_range, node);
}

void shmem_policy_init(struct shared_policy *sp)
{
	spin_lock_init(&sp->lock, LOCK_CLASS_SHARED_POLICY);
	sp->root = RB_ROOT;
}

/* ---- looking ---------------------------------------------------------------
 */

/* The first range that ends behind INDEX. sp->lock held. */
static struct shared_range *range_from(struct shared_policy *sp, u64 index)
{
	struct rb_node *n = sp->root.rb_node;
	struct shared_range *found = NULL;

	while (n) {
		struct shared_range *r = range_of(n);

		if (r->end > index) {
			found = r;
			n = n->left;
		} else {
			n = n->right;
		}
	}
	return found;
}

struct mempolicy *shmem_policy_get(struct inode *inode, u64 index, int *home)
{
	struct shared_policy *sp = &shmem_i(inode)->policy;
	struct mempolicy *pol = NULL;
	struct shared_range *r;

	*home = -1;
	if (likely(RB_EMPTY_ROOT(&sp->root)))
		return NULL;
	spin_lock(&sp->lock);
	r = range_from(sp, index);
	if (r && r->first <= index) {
		pol = mpol_get(r->pol);
		*home = r->home;
	}
	spin_unlock(&sp->lock);
	return pol;
}

struct mempolicy *shmem_place(struct inode *inode, u64 index,
			      struct mpol_place *place)
{
	struct mempolicy *pol = shmem_policy_get(inode, index, &place->nid);

	/* Small files do not all begin on the same node. */
	place->ilx = inode->i_ino + index;
	place->pol = pol ? pol : port_current()->mempolicy;
	return pol;
}

struct page *shmem_alloc_page(struct inode *inode, u64 index, gfp_t gfp)
{
	struct mpol_place place;
	struct mempolicy *held = shmem_place(inode, index, &place);
	struct page *page = alloc_pages_place(gfp, 0, &place);

	mpol_put(held);
	return page;
}

/* ---- changing --------------------------------------------------------------
 */

int shmem_policy_reserve(struct shared_reserve *reserve, u64 changes)
{
	for (u64 n = 2 * changes; n; n--) {
		struct shared_range *r = kmalloc(sizeof(*r), GFP_KERNEL);

		if (!r) {
			shmem_policy_unreserve(reserve);
			return -ENOMEM;
		}
		r->next = reserve->first;
		reserve->first = r;
	}
	return 0;
}

void shmem_policy_unreserve(struct shared_reserve *reserve)
{
	struct shared_range *r;

	while ((r = reserve->first)) {
		reserve->first = r->next;
		kfree(r);
	}
}

static struct shared_range *reserve_take(struct shared_reserve *reserve)
{
	struct shared_range *r = reserve->first;

	mm_verify(r != NULL);
	reserve->first = r->next;
	return r;
}

static void range_insert(struct shared_policy *sp, struct shared_range *new)
{
	struct rb_node **link = &sp->root.rb_node, *parent = NULL;

	while (*link) {
		parent = *link;
		link = new->first < range_of(parent)->first ? &parent->left
							    : &parent->right;
	}
	rb_link_node(&new->node, parent, link);
	rb_insert_color(&new->node, &sp->root);
}

/* R loses what it has of [FIRST, END); *REST gets what lies behind. Nothing
 * left: it leaves the tree, and true. */
static bool range_cut(struct shared_policy *sp, struct shared_range *r,
		      u64 first, u64 end, struct shared_reserve *rest)
{
	if (r->first < first && r->end > end) {
		struct shared_range *behind = reserve_take(rest);

		*behind = (struct shared_range){.first = end,
						.end = r->end,
						.pol = mpol_get(r->pol),
						.home = r->home};
		r->end = first;
		range_insert(sp, behind);
	} else if (r->first < first) {
		r->end = first;
	} else if (r->end > end) {
		r->first = end;
	} else {
		rb_erase(&r->node, &sp->root);
		return true;
	}
	return false;
}

static void ranges_free(struct shared_range *r)
{
	while (r) {
		struct shared_range *next = r->next;

		mpol_put(r->pol);
		kfree(r);
		r = next;
	}
}

void shmem_policy_set(struct inode *inode, const struct shared_change *c,
		      struct shared_reserve *reserve)
{
	struct shared_policy *sp = &shmem_i(inode)->policy;
	struct shared_range *r, *next, *gone = NULL;

	mm_assert(c->first < c->end);
	spin_lock(&sp->lock);
	for (r = range_from(sp, c->first); r && r->first < c->end; r = next) {
		next = range_of(rb_next(&r->node));
		if (!range_cut(sp, r, c->first, c->end, reserve))
			continue;
		r->next = gone;
		gone = r;
	}
	if (c->pol) {
		r = reserve_take(reserve);
		*r = (struct shared_range){.first = c->first,
					   .end = c->end,
					   .pol = mpol_get(c->pol),
					   .home = c->home};
		range_insert(sp, r);
	}
	spin_unlock(&sp->lock);
	ranges_free(gone);
}

void shmem_policy_drop(struct inode *inode)
{
	struct shared_policy *sp = &shmem_i(inode)->policy;
	struct rb_node *n;

	while ((n = rb_first(&sp->root))) {
		struct shared_range *r = range_of(n);

		rb_erase(n, &sp->root);
		r->next = NULL;
		ranges_free(r);
	}
}

void shmem_policy_check(struct inode *inode)
{
	struct shared_policy *sp = &shmem_i(inode)->policy;
	u64 end = 0;

	spin_lock(&sp->lock);
	for (struct rb_node *n = rb_first(&sp->root); n; n = rb_next(n)) {
		struct shared_range *r = range_of(n);

		mm_verify(r->first >= end && r->first < r->end);
		mm_verify(r->pol != NULL);
		end = r->end;
	}
	spin_unlock(&sp->lock);
}
