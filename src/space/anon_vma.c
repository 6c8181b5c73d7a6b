/* SPDX-License-Identifier: MIT */
/*
 * anon_vma.c - who might map an anonymous page.
 *
 * 1. Purpose. An anonymous page is mapped where its VMA put it and, after
 *    forks, at the same page number in the children's VMAs. An anon_vma is
 *    the set of VMAs that may map a group of pages; the page points to it.
 *
 * 2. Structures. A VMA is linked to several anon_vmas (its ancestors' and its
 *    own) by chain links; an anon_vma keeps its links in an interval tree by
 *    page number. New pages of a VMA belong to vma->anon_vma, the youngest.
 *
 *       parent VMA ---- avc ---- anon_vma A (root)
 *                                   |
 *       child VMA  ---- avc --------+
 *            \--------- avc ---- anon_vma B (parent A, root A)
 *
 *    A page of A may be mapped by both, a page of B by the child only.
 *
 * 3. Invariants.
 *    AV-1  Each link is in exactly one VMA's chain and one interval tree.
 *    AV-2  All anon_vmas of a tree of forks use the root's lock.
 *    AV-3  num_active_vmas counts the VMAs whose anon_vma this is;
 *          num_children the anon_vmas whose parent this is (a root counts
 *          itself while it has links).
 *    AV-4  A VMA that is linked anywhere has an anon_vma, except in the middle
 *          of anon_vma_fork() and anon_vma_clone().
 *    AV-5  A freed anon_vma's memory stays readable until every epoch section
 *          that might have seen its address is over.
 *
 * 4. Reuse. A child takes over an ancestor's anon_vma that no VMA uses for
 *    new pages and that has at most one child: so a chain of forks in which
 *    each parent exits does not grow its chains without bound.
 *
 * 5. Failure. Links and anon_vmas are allocated before the lock is taken; on
 *    failure all links made by the call are taken away again.
 *
 * References: Linux documentation mm/process_addrs, "anon_vma" in the
 * changelogs of 2010 and 2015 (chain reuse); L. Torvalds and R. van Riel's
 * public discussion of the per-process anon_vma (2010).
 */
#include <mmkit/errno.h>
#include <mmkit/slab.h>

#include "base/interval_tree.h"
#include "space/mempolicy.h"
#include "space/rmap.h"
#include "space/space.h"

static inline u64 avc_first(struct anon_vma_chain *avc)
{
	return avc->vma->vm_pgoff;
}

static inline u64 avc_last(struct anon_vma_chain *avc)
{
	return avc->vma->vm_pgoff + vma_pages(avc->vma) - 1;
}

INTERVAL_TREE_DEFINE(struct anon_vma_chain, rb, u64, rb_subtree_last, avc_first,
		     avc_last, static inline, avc_tree);

struct anon_vma_chain *anon_vma_iter_first(struct anon_vma *av, u64 first,
					   u64 last)
{
	return avc_tree_iter_first(&av->rb_root, first, last);
}

struct anon_vma_chain *anon_vma_iter_next(struct anon_vma_chain *avc, u64 first,
					  u64 last)
{
	return avc_tree_iter_next(avc, first, last);
}

/* ---- objects
 * -------------------------------------------------------------------- */

int anon_vma_init_caches(void)
{
	space_sys.avc_cache = kmem_cache_create(
		"anon_vma_chain", sizeof(struct anon_vma_chain), 0,
		SLAB_NO_MERGE | SLAB_ACCOUNT, NULL);
	space_sys.anon_vma_cache =
		kmem_cache_create("anon_vma", sizeof(struct anon_vma), 0,
				  SLAB_NO_MERGE | SLAB_ACCOUNT, NULL);
	if (!space_sys.avc_cache || !space_sys.anon_vma_cache)
		return -ENOMEM;
	return 0;
}

static struct anon_vma *anon_vma_alloc(void)
{
	struct anon_vma *av = kmem_cache_alloc(space_sys.anon_vma_cache,
					       GFP_KERNEL | __GFP_ZERO);

	if (!av)
		return NULL;
	av->root = av;
	av->parent = av;
	av->refcount = 1;
	av->window_lo = 0xffff;
	init_rwsem(&av->rwsem, LOCK_CLASS_ANON_VMA);
	return av;
}

static void anon_vma_free_epoch(struct epoch_head *head)
{
	struct anon_vma *av = container_of(head, struct anon_vma, epoch);

	kmem_cache_free(space_sys.anon_vma_cache, av);
}

void anon_vma_get(struct anon_vma *av)
{
	u32 old = __atomic_fetch_add(&av->refcount, 1, __ATOMIC_ACQ_REL);

	mm_verify(old > 0);
}

bool anon_vma_get_not_zero(struct anon_vma *av)
{
	u32 old = READ_ONCE(av->refcount);

	do {
		if (old == 0)
			return false;
	} while (!__atomic_compare_exchange_n(&av->refcount, &old, old + 1,
					      false, __ATOMIC_ACQ_REL,
					      __ATOMIC_RELAXED));
	return true;
}

void anon_vma_put(struct anon_vma *av)
{
	struct anon_vma *root = av->root;
	u32 left = __atomic_sub_fetch(&av->refcount, 1, __ATOMIC_ACQ_REL);

	if (left)
		return;
	mm_verify(av->rb_root.rb_node == NULL);
	epoch_defer(&av->epoch, anon_vma_free_epoch);
	if (root != av)
		anon_vma_put(root);
}

static void anon_vma_lock(struct anon_vma *av)
{
	down_write(&av->root->rwsem);
}

static void anon_vma_unlock(struct anon_vma *av)
{
	up_write(&av->root->rwsem);
}

/* ---- links
 * ------------------------------------------------------------------------ */

static struct anon_vma_chain *avc_alloc(void)
{
	return kmem_cache_alloc(space_sys.avc_cache, GFP_KERNEL);
}

static void avc_free(struct anon_vma_chain *avc)
{
	kmem_cache_free(space_sys.avc_cache, avc);
}

/* AVC's ends are news: widen the windows. Root lock held. */
static void avc_widen(struct anon_vma_chain *avc)
{
	struct anon_vma *av = avc->anon_vma;

	av->window_lo = min(av->window_lo, (u16)(avc_first(avc) >> 32));
	av->window_hi = max(av->window_hi, (u16)(avc_last(avc) >> 32));
}

/* Into the interval tree. Root lock held. */
static void avc_insert(struct anon_vma_chain *avc)
{
	avc_tree_insert(avc, &avc->anon_vma->rb_root);
	avc_widen(avc);
}

static void avc_link(struct vm_area_struct *vma, struct anon_vma_chain *avc,
		     struct anon_vma *av)
{
	rwsem_assert_held_write(&av->root->rwsem);
	avc->vma = vma;
	avc->anon_vma = av;
	list_add(&avc->same_vma, &vma->anon_vma_chain);
	avc_insert(avc);
}

/* The root of all of VMA's anon_vmas; NULL if it has none. */
static struct anon_vma *vma_root(struct vm_area_struct *vma)
{
	struct anon_vma_chain *avc;

	if (list_empty(&vma->anon_vma_chain))
		return NULL;
	avc = list_first_entry(&vma->anon_vma_chain, struct anon_vma_chain,
			       same_vma);
	return avc->anon_vma->root;
}

/* ---- the first page of a VMA
 * --------------------------------------------------------- */

/* A neighbour with the same flags and policy, its pages in line: merging stays
 * possible if both use one anon_vma. Only if the neighbour was never forked. */
static struct anon_vma *reusable_from(struct vm_area_struct *other,
				      struct vm_area_struct *a,
				      struct vm_area_struct *b)
{
	struct anon_vma *av;

	if (!other || !a || !b || a->vm_end != b->vm_start)
		return NULL;
	if ((a->vm_flags ^ b->vm_flags) & ~(VM_ACCESS_FLAGS | VM_MERGE_IGNORE))
		return NULL;
	if (a->vm_file != b->vm_file ||
	    a->vm_pgoff + vma_pages(a) != b->vm_pgoff || !vma_policy_same(a, b))
		return NULL;
	av = READ_ONCE(other->anon_vma);
	if (av && list_is_singular(&other->anon_vma_chain))
		return av;
	return NULL;
}

static struct anon_vma *find_mergeable(struct vm_area_struct *vma)
{
	struct vm_area_struct *prev = vma_prev(vma), *next = vma_next(vma);
	struct anon_vma *av = reusable_from(next, vma, next);

	return av ? av : reusable_from(prev, prev, vma);
}

/*
 * Faults of one VMA may race to here with the mmap lock held for reading:
 * anon_lock decides who links. A neighbour's anon_vma cannot go away: its VMA
 * cannot be unlinked meanwhile.
 */
int anon_vma_prepare(struct vm_area_struct *vma)
{
	struct mm_struct *mm = vma->vm_mm;
	struct anon_vma *av, *fresh = NULL;
	struct anon_vma_chain *avc;

	if (likely(__atomic_load_n(&vma->anon_vma, __ATOMIC_ACQUIRE)))
		return 0;
	/* A claim on VMA does not hold its neighbours. */
	rwsem_assert_held(&mm->mmap_lock);
	avc = avc_alloc();
	if (!avc)
		return -ENOMEM;
	av = find_mergeable(vma);
	if (!av) {
		av = fresh = anon_vma_alloc();
		if (!av) {
			avc_free(avc);
			return -ENOMEM;
		}
	}
	anon_vma_lock(av);
	spin_lock(&mm->anon_lock);
	if (!vma->anon_vma) {
		avc_link(vma, avc, av);
		av->num_active_vmas++;
		if (fresh)
			av->num_children++;
		__atomic_store_n(&vma->anon_vma, av, __ATOMIC_RELEASE);
		avc = NULL;
		fresh = NULL;
	}
	spin_unlock(&mm->anon_lock);
	anon_vma_unlock(av);
	if (avc)
		avc_free(avc);
	if (fresh)
		anon_vma_put(fresh);
	return 0;
}

/* ---- fork, split, merge
 * ------------------------------------------------------------------ */

/* DST is linked to all anon_vmas that SRC is linked to, and gets its new pages
 * from OWN, one of them, or NULL. */
static int clone_links(struct vm_area_struct *dst, struct vm_area_struct *src,
		       struct anon_vma *own)
{
	struct anon_vma_chain *pavc;

	list_for_each_entry_reverse (pavc, &src->anon_vma_chain, same_vma) {
		struct anon_vma_chain *avc = avc_alloc();
		struct anon_vma *av = pavc->anon_vma;

		if (!avc) {
			unlink_anon_vmas(dst);
			return -ENOMEM;
		}
		anon_vma_lock(av);
		avc_link(dst, avc, av);
		if (av == own) {
			own->num_active_vmas++;
			WRITE_ONCE(dst->anon_vma, own);
		}
		anon_vma_unlock(av);
	}
	return 0;
}

int anon_vma_clone(struct vm_area_struct *dst, struct vm_area_struct *src)
{
	mm_assert(dst->anon_vma == NULL);
	return clone_links(dst, src, src->anon_vma);
}

/*
 * Take over an anon_vma of VMA's chain that nobody uses for new pages: see 4.
 * All of a chain have one root, so one lock shows all of them.
 */
static bool take_idle(struct vm_area_struct *vma)
{
	struct anon_vma *root = vma_root(vma);
	struct anon_vma_chain *avc;

	anon_vma_lock(root);
	list_for_each_entry (avc, &vma->anon_vma_chain, same_vma) {
		struct anon_vma *av = avc->anon_vma;

		mm_assert(av->root == root);
		if (av->num_active_vmas || av->num_children >= 2)
			continue;
		av->num_active_vmas++;
		vma->anon_vma = av;
		break;
	}
	anon_vma_unlock(root);
	return vma->anon_vma != NULL;
}

int anon_vma_fork(struct vm_area_struct *vma, struct vm_area_struct *pvma)
{
	struct anon_vma *av, *parent = pvma->anon_vma;
	struct anon_vma_chain *avc;

	mm_assert(vma->anon_vma == NULL);
	if (!parent)
		return 0;
	if (clone_links(vma, pvma, NULL))
		return -ENOMEM;
	if (take_idle(vma))
		return 0;
	av = anon_vma_alloc();
	avc = av ? avc_alloc() : NULL;
	if (!avc) {
		if (av)
			anon_vma_put(av);
		unlink_anon_vmas(vma);
		return -ENOMEM;
	}
	av->root = parent->root;
	av->parent = parent;
	anon_vma_get(av->root);
	anon_vma_lock(av);
	avc_link(vma, avc, av);
	av->num_active_vmas = 1;
	parent->num_children++;
	anon_vma_unlock(av);
	vma->anon_vma = av;
	return 0;
}

/* Take one link out of its tree; returns its anon_vma if that has no links
 * left. Root lock held. */
static struct anon_vma *avc_unlink(struct anon_vma_chain *avc)
{
	struct anon_vma *av = avc->anon_vma;

	avc_tree_remove(avc, &av->rb_root);
	if (av->rb_root.rb_node)
		return NULL;
	mm_verify(av->parent->num_children > 0);
	av->parent->num_children--;
	return av;
}

void unlink_anon_vmas(struct vm_area_struct *vma)
{
	struct anon_vma *own = vma->anon_vma, *root = vma_root(vma);
	struct anon_vma_chain *avc, *next;

	mm_verify(root || !own);
	if (!root)
		return;
	/* The root outlives its lock's use by this reference. */
	anon_vma_get(root);
	anon_vma_lock(root);
	if (own) {
		mm_verify(own->num_active_vmas > 0);
		own->num_active_vmas--;
	}
	list_for_each_entry (avc, &vma->anon_vma_chain, same_vma) {
		mm_assert(avc->anon_vma->root == root);
		avc->anon_vma = avc_unlink(avc);
	}
	anon_vma_unlock(root);
	vma->anon_vma = NULL;
	list_for_each_entry_safe (avc, next, &vma->anon_vma_chain, same_vma) {
		list_del(&avc->same_vma);
		if (avc->anon_vma)
			anon_vma_put(avc->anon_vma);
		avc_free(avc);
	}
	anon_vma_put(root);
}

/* ---- bounds change
 * ---------------------------------------------------------------------------
 */

void anon_vma_resize_begin(struct vm_area_struct *vma, bool first_too)
{
	struct anon_vma *root = vma_root(vma);
	struct anon_vma_chain *avc;

	if (!root)
		return;
	anon_vma_lock(root);
	if (!first_too)
		return;
	list_for_each_entry (avc, &vma->anon_vma_chain, same_vma)
		avc_tree_remove(avc, &avc->anon_vma->rb_root);
}

void anon_vma_resize_end(struct vm_area_struct *vma, bool first_too)
{
	struct anon_vma *root = vma_root(vma);
	struct anon_vma_chain *avc;

	if (!root)
		return;
	list_for_each_entry (avc, &vma->anon_vma_chain, same_vma) {
		if (first_too) {
			avc_insert(avc);
		} else {
			avc_tree_last_changed(avc);
			avc_widen(avc);
		}
	}
	anon_vma_unlock(root);
}

void anon_vma_check(struct vm_area_struct *vma)
{
	struct anon_vma_chain *avc;
	bool own = vma->anon_vma == NULL;

	mm_verify(list_empty(&vma->anon_vma_chain) == (vma->anon_vma == NULL));
	list_for_each_entry (avc, &vma->anon_vma_chain, same_vma) {
		mm_verify(avc->vma == vma);
		mm_verify(READ_ONCE(avc->anon_vma->refcount) > 0);
		mm_verify(avc->anon_vma->root == vma_root(vma));
		own |= avc->anon_vma == vma->anon_vma;
	}
	mm_verify(own);
}
