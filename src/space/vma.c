/* SPDX-License-Identifier: MIT */
/*
 * vma.c - the set of mappings of one address space.
 *
 * 1. Purpose. Answer "which mapping holds this address" and "where is a gap
 *    of this size" in O(log n), iterate in order in O(1) a step, and keep
 *    mappings few by merging equal neighbours.
 *
 * 2. Structures. A red-black tree ordered by address, augmented with the
 *    largest gap in each subtree, and a list in the same order. A VMA's gap is
 *    the free space between its predecessor's end (0 for the first) and its
 *    own start.
 *
 * 3. Invariants.
 *    VMA-1  VMAs do not overlap, are not empty, and are page aligned.
 *    VMA-2  Tree and list hold the same VMAs in the same order.
 *    VMA-3  rb_subtree_gap = max(own gap, both children's values).
 *    VMA-4  vm_pgoff of private anonymous memory is vm_start >> PAGE_SHIFT
 *           when first mapped; it stays with the pages when a mapping moves.
 *    VMA-5  No two neighbours could be merged, unless a merge once failed
 *           because reverse mapping forbade it.
 *
 * 4. Locking. mmap lock for writing to change anything, for reading to look;
 *    faults look without it, see vma_lock.c.
 *    Bounds and vm_pgoff are also read by reverse mapping, which holds only
 *    the anon_vma lock: vma_resize() takes that too.
 *
 * 5. Failure. Splitting allocates before it changes anything; linking,
 *    unlinking and resizing cannot fail.
 *
 * 6. Rejected. A B-tree of ranges (Linux's maple tree): fewer cache misses
 *    with many thousands of VMAs, at several times the code; the tree's door
 *    here is narrow enough to change that later.
 *
 * References: T. Cormen et al., "Introduction to Algorithms", 14.2 (augmented
 * trees); man pages mmap(2), mremap(2).
 */
#include "base/rbtree.h"

#include <mmkit/errno.h>
#include <mmkit/mman.h>
#include <mmkit/slab.h>

#include "base/fail.h"
#include "base/string.h"
#include "base/trace_ring.h"
#include "space/mempolicy.h"
#include "space/rmap.h"
#include "space/space.h"

/* ---- order ------------------------------------------------------------------
 */

struct vm_area_struct *vma_next(struct vm_area_struct *vma)
{
	if (vma->vm_list.next == &vma->vm_mm->mmap)
		return NULL;
	return list_entry(vma->vm_list.next, struct vm_area_struct, vm_list);
}

struct vm_area_struct *vma_prev(struct vm_area_struct *vma)
{
	if (vma->vm_list.prev == &vma->vm_mm->mmap)
		return NULL;
	return list_entry(vma->vm_list.prev, struct vm_area_struct, vm_list);
}

struct vm_area_struct *vma_first(struct mm_struct *mm)
{
	if (list_empty(&mm->mmap))
		return NULL;
	return list_entry(mm->mmap.next, struct vm_area_struct, vm_list);
}

struct vm_area_struct *find_vma(struct mm_struct *mm, uva_t addr)
{
	struct rb_node *node = mm->mm_rb.rb_node;
	struct vm_area_struct *best = NULL;

	while (node) {
		struct vm_area_struct *vma =
			rb_entry(node, struct vm_area_struct, vm_rb);

		if (vma->vm_end > addr) {
			best = vma;
			if (vma->vm_start <= addr)
				break;
			node = node->left;
		} else {
			node = node->right;
		}
	}
	return best;
}

/* ---- the augmented gap
 * ----------------------------------------------------------- */

static u64 own_gap(struct vm_area_struct *vma)
{
	struct vm_area_struct *prev = vma_prev(vma);

	return vma->vm_start - (prev ? prev->vm_end : 0);
}

static u64 child_gap(const struct rb_node *node)
{
	return node ? rb_entry(node, struct vm_area_struct, vm_rb)
			       ->rb_subtree_gap
		    : 0;
}

static u64 compute_gap(struct vm_area_struct *vma)
{
	u64 gap = own_gap(vma);

	gap = max(gap, child_gap(vma->vm_rb.left));
	return max(gap, child_gap(vma->vm_rb.right));
}

static void gap_propagate(struct rb_node *node, struct rb_node *stop)
{
	while (node != stop) {
		struct vm_area_struct *vma =
			rb_entry(node, struct vm_area_struct, vm_rb);
		u64 gap = compute_gap(vma);

		if (vma->rb_subtree_gap == gap)
			break;
		vma->rb_subtree_gap = gap;
		node = rb_parent(&vma->vm_rb);
	}
}

static void gap_copy(struct rb_node *from, struct rb_node *to)
{
	rb_entry(to, struct vm_area_struct, vm_rb)->rb_subtree_gap =
		rb_entry(from, struct vm_area_struct, vm_rb)->rb_subtree_gap;
}

static void gap_rotate(struct rb_node *from, struct rb_node *to)
{
	struct vm_area_struct *old =
		rb_entry(from, struct vm_area_struct, vm_rb);

	gap_copy(from, to);
	old->rb_subtree_gap = compute_gap(old);
}

static const struct rb_augment_callbacks gap_callbacks = {
	.propagate = gap_propagate,
	.copy = gap_copy,
	.rotate = gap_rotate,
};

/* VMA's own gap may have changed: bring its ancestors up to date. */
static void gap_update(struct vm_area_struct *vma)
{
	if (vma)
		gap_propagate(&vma->vm_rb, NULL);
}

/* ---- making, linking, resizing
 * ------------------------------------------------------ */

struct vm_area_struct *vma_new(struct mm_struct *mm, uva_t start, uva_t end,
			       u64 vm_flags)
{
	struct vm_area_struct *vma = NULL;

	mm_assert(start < end && IS_ALIGNED(start | end, PAGE_SIZE));
	if (!fail_should(FAIL_VMA))
		vma = kmem_cache_alloc(space_sys.vma_cache,
				       GFP_KERNEL | __GFP_ZERO);
	if (!vma)
		return NULL;
	vma->vm_start = start;
	vma->vm_end = end;
	vma->vm_pgoff = start >> PAGE_SHIFT;
	vma->vm_flags = vm_flags;
	vma->vm_page_prot = vm_get_page_prot(vm_flags);
	vma->vm_mm = mm;
	vma->vm_home = VMA_NO_HOME;
	vma->vm_life = VMA_NEW;
	INIT_LIST_HEAD(&vma->anon_vma_chain);
	INIT_LIST_HEAD(&vma->vm_list);
	return vma;
}

struct vm_area_struct *vma_dup(const struct vm_area_struct *vma)
{
	struct vm_area_struct *copy =
		vma_new(vma->vm_mm, vma->vm_start, vma->vm_end, vma->vm_flags);

	if (!copy)
		return NULL;
	copy->vm_pgoff = vma->vm_pgoff;
	copy->vm_page_prot = vma->vm_page_prot;
	copy->vm_ops = vma->vm_ops;
	copy->vm_private_data = vma->vm_private_data;
	copy->vm_policy = mpol_get(vma->vm_policy);
	copy->vm_home = vma->vm_home;
	copy->vm_uffd = vma->vm_uffd;
	if (vma->vm_file)
		copy->vm_file = get_file(vma->vm_file);
	return copy;
}

static void vma_put_refs(struct vm_area_struct *vma)
{
	if (vma->vm_file)
		fput(vma->vm_file);
	vma->vm_file = NULL;
	mpol_put(vma->vm_policy);
	vma->vm_policy = NULL;
}

void vma_free(struct vm_area_struct *vma)
{
	mm_verify(list_empty(&vma->anon_vma_chain));
	mm_assert(vma->vm_life == VMA_NEW);
	vma_put_refs(vma);
	kmem_cache_free(space_sys.vma_cache, vma);
}

/* What debug builds write over a mapping that goes. */
#define VMA_POISON 0x6b

static void vma_free_epoch(struct epoch_head *head)
{
	struct vm_area_struct *vma =
		container_of(head, struct vm_area_struct, epoch);

	mm_verify(list_empty(&vma->anon_vma_chain));
	mm_assert(vma->vm_life == VMA_LEFT);
	if (MM_DEBUG >= 1)
		mm_memset(vma, VMA_POISON, sizeof(*vma));
	WRITE_ONCE(vma->vm_life, VMA_FREED);
	kmem_cache_free(space_sys.vma_cache, vma);
}

/* VMA is out of the tree, and no claim on it is left. */
static void vma_free_later(struct vm_area_struct *vma)
{
	vma_put_refs(vma);
	epoch_defer(&vma->epoch, vma_free_epoch);
}

void vma_retire(struct vm_area_struct *vma)
{
	vma_wait_unseen(vma);
	vma_free_later(vma);
}

void vma_retire_all(struct mm_struct *mm)
{
	struct vm_area_struct *vma, *next;

	mm_start_write_all(mm);
	tree_change_begin(mm);
	mm->mm_rb = RB_ROOT;
	tree_change_end(mm);
	for_each_vma (vma, mm)
		WRITE_ONCE(vma->vm_life, VMA_LEFT);
	mm->map_count = 0;
	mm_wait_unseen(mm);
	list_for_each_entry_safe (vma, next, &mm->mmap, vm_list) {
		list_del_init(&vma->vm_list);
		vma_free_later(vma);
	}
}

void vma_link(struct mm_struct *mm, struct vm_area_struct *vma)
{
	struct rb_node **link = &mm->mm_rb.rb_node, *parent = NULL;
	struct list_head *after = &mm->mmap;

	rwsem_assert_held_write(&mm->mmap_lock);
	while (*link) {
		struct vm_area_struct *v =
			rb_entry(*link, struct vm_area_struct, vm_rb);

		parent = *link;
		if (vma->vm_start < v->vm_start) {
			mm_verify(vma->vm_end <= v->vm_start);
			link = &parent->left;
		} else {
			mm_verify(vma->vm_start >= v->vm_end);
			after = &v->vm_list;
			link = &parent->right;
		}
	}
	list_add(&vma->vm_list, after);
	vma->rb_subtree_gap = 0;
	WRITE_ONCE(vma->vm_life, VMA_LINKED);
	vma_mark(vma);
	tree_change_begin(mm);
	rb_link_node(&vma->vm_rb, parent, link);
	/* Both gaps that changed, before rotations copy them around. */
	gap_update(vma);
	gap_update(vma_next(vma));
	rb_insert_augmented(&vma->vm_rb, &mm->mm_rb, &gap_callbacks);
	tree_change_end(mm);
	WRITE_ONCE(mm->map_count, mm->map_count + 1);
}

void vma_unlink(struct mm_struct *mm, struct vm_area_struct *vma)
{
	struct vm_area_struct *next = vma_next(vma);

	rwsem_assert_held_write(&mm->mmap_lock);
	mm_verify(mm->map_count > 0);
	vma_start_write(vma);
	tree_change_begin(mm);
	rb_erase_augmented(&vma->vm_rb, &mm->mm_rb, &gap_callbacks);
	tree_change_end(mm);
	WRITE_ONCE(vma->vm_life, VMA_LEFT);
	list_del_init(&vma->vm_list);
	gap_update(next);
	WRITE_ONCE(mm->map_count, mm->map_count - 1);
}

void vma_resize(struct vm_area_struct *vma, uva_t start, uva_t end, u64 pgoff)
{
	struct vm_area_struct *next = vma_next(vma);
	bool moves = pgoff != vma->vm_pgoff;
	bool new_start = start != vma->vm_start, new_end = end != vma->vm_end;

	rwsem_assert_held_write(&vma->vm_mm->mmap_lock);
	mm_assert(start < end);
	vma_start_write(vma);
	vma_file_resize_begin(vma);
	anon_vma_resize_begin(vma, moves);
	vma_assert_changing(vma);
	tree_change_begin(vma->vm_mm);
	WRITE_ONCE(vma->vm_start, start);
	WRITE_ONCE(vma->vm_end, end);
	race_point();
	vma->vm_pgoff = pgoff;
	tree_change_end(vma->vm_mm);
	anon_vma_resize_end(vma, moves);
	vma_file_resize_end(vma);
	/* A gap belongs to the mapping above it. */
	if (new_start)
		gap_update(vma);
	if (new_end)
		gap_update(next);
}

/* ---- merging
 * -------------------------------------------------------------------------- */

/*
 * May pages of A and B share one VMA? Yes if they use the same anon_vma, or
 * one has none and the other's VMA is linked to just its own: otherwise a
 * fork's chain would be inherited by pages that were never part of it.
 */
static bool anon_vma_compatible(const struct anon_vma *a,
				const struct anon_vma *b,
				const struct vm_area_struct *vma)
{
	if (a == b)
		return true;
	if (a && b)
		return false;
	return !vma || list_is_singular(&vma->anon_vma_chain) ||
	       list_empty(&vma->anon_vma_chain);
}

/*
 * Both suit what comes between them; do they suit each other? That one of them
 * has ancestors is no reason any more: the range between has them already.
 */
static bool anon_vmas_agree(const struct vm_area_struct *a,
			    const struct vm_area_struct *b)
{
	return !a->anon_vma || !b->anon_vma || a->anon_vma == b->anon_vma;
}

static bool vma_flags_merge(u64 a, u64 b)
{
	return ((a ^ b) & ~VM_MERGE_IGNORE) == 0;
}

/* The same provider; one that is told of the end of each must have each. */
static bool vma_file_merge(const struct vm_area_struct *vma,
			   const struct file *file)
{
	return vma->vm_file == file && !(vma->vm_ops && vma->vm_ops->close);
}

static bool can_follow(const struct vm_area_struct *prev,
		       const struct vma_merge_want *w)
{
	return prev && prev->vm_end == w->start &&
	       vma_flags_merge(prev->vm_flags, w->vm_flags) &&
	       vma_file_merge(prev, w->file) &&
	       vma_policy_same(prev, w->like) && prev->vm_uffd == w->uffd &&
	       prev->vm_pgoff + vma_pages(prev) == w->pgoff &&
	       anon_vma_compatible(prev->anon_vma, w->anon_vma, prev);
}

static bool can_precede(const struct vm_area_struct *next,
			const struct vma_merge_want *w)
{
	u64 pages = (w->end - w->start) >> PAGE_SHIFT;

	return next && next->vm_start == w->end &&
	       vma_flags_merge(next->vm_flags, w->vm_flags) &&
	       vma_file_merge(next, w->file) &&
	       vma_policy_same(next, w->like) && next->vm_uffd == w->uffd &&
	       w->pgoff + pages == next->vm_pgoff &&
	       anon_vma_compatible(next->anon_vma, w->anon_vma, next);
}

/* PREV takes over NEXT's range; NEXT goes. False: no memory, no change. */
static bool vma_absorb(struct mm_struct *mm, struct vm_area_struct *prev,
		       struct vm_area_struct *next)
{
	uva_t end = next->vm_end;

	vma_start_write(prev);
	vma_start_write(next);
	if (next->anon_vma && !prev->anon_vma && anon_vma_clone(prev, next))
		return false;
	vma_set_flags(prev,
		      prev->vm_flags | (next->vm_flags & VM_MERGE_IGNORE));
	vma_unlink(mm, next);
	vma_resize(prev, prev->vm_start, end, prev->vm_pgoff);
	unlink_anon_vmas(next);
	vma_file_unlink(next);
	vma_retire(next);
	return true;
}

struct vm_area_struct *vma_merge(struct mm_struct *mm,
				 const struct vma_merge_want *w)
{
	struct vm_area_struct *next = find_vma(mm, w->start);
	struct vm_area_struct *prev =
		next ? vma_prev(next)
		     : (list_empty(&mm->mmap)
				? NULL
				: list_entry(mm->mmap.prev,
					     struct vm_area_struct, vm_list));
	u64 extra = w->vm_flags & VM_MERGE_IGNORE;

	mm_assert(!next || next->vm_start >= w->end);
	if (can_follow(prev, w)) {
		vma_set_flags(prev, prev->vm_flags | extra);
		vma_resize(prev, prev->vm_start, w->end, prev->vm_pgoff);
		if (can_precede(next, w) && anon_vmas_agree(prev, next))
			vma_absorb(mm, prev, next);
		return prev;
	}
	if (can_precede(next, w)) {
		vma_set_flags(next, next->vm_flags | extra);
		vma_resize(next, w->start, next->vm_end, w->pgoff);
		return next;
	}
	return NULL;
}

static bool can_join(const struct vm_area_struct *a,
		     const struct vm_area_struct *b)
{
	return a && b && a->vm_end == b->vm_start &&
	       vma_flags_merge(a->vm_flags, b->vm_flags) &&
	       a->vm_ops == b->vm_ops && vma_file_merge(a, b->vm_file) &&
	       vma_policy_same(a, b) && a->vm_uffd == b->vm_uffd &&
	       a->vm_pgoff + vma_pages(a) == b->vm_pgoff &&
	       anon_vma_compatible(a->anon_vma, b->anon_vma,
				   a->anon_vma ? a : b);
}

/* PREV absorbs VMA if they are equal: the one that covers VMA then. */
static struct vm_area_struct *join_prev(struct mm_struct *mm,
					struct vm_area_struct *vma)
{
	struct vm_area_struct *prev = vma_prev(vma);

	return can_join(prev, vma) && vma_absorb(mm, prev, vma) ? prev : vma;
}

/* The lower neighbour is preferred where only one is possible. What stands
 * behind them is not looked at: what was not one stays so. */
struct vm_area_struct *vma_join(struct mm_struct *mm,
				struct vm_area_struct *vma)
{
	vma = join_prev(mm, vma);
	if (can_join(vma, vma_next(vma)))
		vma_absorb(mm, vma, vma_next(vma));
	return vma;
}

void vma_rejoin(struct mm_struct *mm, uva_t at, uva_t start, uva_t end)
{
	struct vm_area_struct *vma = find_vma(mm, at);

	if (vma->vm_start > start)
		vma = join_prev(mm, vma);
	if (vma->vm_end < end && can_join(vma, vma_next(vma)))
		vma_absorb(mm, vma, vma_next(vma));
}

/* ---- splitting
 * ------------------------------------------------------------------------ */

int split_vma(struct mm_struct *mm, struct vm_area_struct *vma, uva_t addr)
{
	struct vm_area_struct *upper;
	u64 lower_pages = (addr - vma->vm_start) >> PAGE_SHIFT;

	mm_assert(addr > vma->vm_start && addr < vma->vm_end);
	if (mm->map_count >= READ_ONCE(space_sys.max_map_count))
		return -ENOMEM;
	if (vma->vm_ops && vma->vm_ops->may_split) {
		int err = vma->vm_ops->may_split(vma, addr);

		if (err)
			return err;
	}
	vma_start_write(vma);
	upper = vma_dup(vma);
	if (!upper)
		return -ENOMEM;
	upper->vm_start = addr;
	upper->vm_pgoff = vma->vm_pgoff + lower_pages;
	if (anon_vma_clone(upper, vma)) {
		vma_free(upper);
		return -ENOMEM;
	}
	vma_open(upper);
	/* Before VMA lets go of the upper pages: no walk may miss them. */
	vma_file_link(upper);
	vma_resize(vma, vma->vm_start, addr, vma->vm_pgoff);
	vma_link(mm, upper);
	return 0;
}

int vma_isolate_range(struct mm_struct *mm, uva_t start, uva_t end)
{
	struct vm_area_struct *vma = find_vma(mm, start);
	uva_t whole = start;
	int err = 0;

	if (vma && vma->vm_start < start) {
		whole = vma->vm_start;
		err = split_vma(mm, vma, start);
		if (err)
			return err;
	}
	vma = find_vma(mm, end - 1);
	if (vma && vma->vm_start < end && vma->vm_end > end)
		err = split_vma(mm, vma, end);
	if (err && whole < start)
		vma_rejoin(mm, start, whole, start);
	return err;
}

bool vma_changing_range(struct mm_struct *mm, uva_t *start, uva_t *end,
			vma_flags_fn *flags, u64 arg)
{
	uva_t from = *end, to = *end;
	struct vm_area_struct *vma;

	for (vma = find_vma(mm, *start); vma && vma->vm_start < *end;
	     vma = vma_next(vma)) {
		if (flags(vma, arg) == vma->vm_flags)
			continue;
		if (from == *end)
			from = max(vma->vm_start, *start);
		to = min(vma->vm_end, *end);
	}
	if (from == *end)
		return false;
	*start = from;
	*end = to;
	return true;
}

/* ---- gaps
 * ------------------------------------------------------------------------------
 */

/* Lowest address that the gap above VMA's predecessor may be used from. */
static uva_t gap_low(struct vm_area_struct *vma, uva_t low)
{
	struct vm_area_struct *prev = vma ? vma_prev(vma) : NULL;

	return prev ? max(prev->vm_end, low) : low;
}

/* Where what stands below VMA must end: stacks keep their guard gap. */
static uva_t start_gap(const struct vm_area_struct *vma)
{
	u64 guard = READ_ONCE(space_sys.stack_guard_gap) << PAGE_SHIFT;

	if (!(vma->vm_flags & VM_GROWSDOWN))
		return vma->vm_start;
	return vma->vm_start > guard ? vma->vm_start - guard : 0;
}

struct gap_search {
	u64 len;
	uva_t low, high;
	bool topdown;
};

/* The gap below VMA: an address in it for the search, or 0. */
static uva_t gap_try(struct vm_area_struct *vma, const struct gap_search *g)
{
	uva_t lo = gap_low(vma, g->low), hi = min(vma->vm_start, g->high);

	if (hi < lo || hi - lo < g->len)
		return 0;
	return g->topdown ? hi - g->len : lo;
}

/*
 * The best gap below any VMA of the subtree: highest for top-down, lowest for
 * bottom-up. Depth is the tree's height; subtrees without a big enough gap,
 * or outside the limits, are not entered.
 */
static uva_t gap_find(struct rb_node *node, const struct gap_search *g)
{
	struct vm_area_struct *vma;
	uva_t found = 0;

	if (!node || child_gap(node) < g->len)
		return 0;
	vma = rb_entry(node, struct vm_area_struct, vm_rb);
	if (g->topdown) {
		if (vma->vm_end < g->high)
			found = gap_find(node->right, g);
		if (!found)
			found = gap_try(vma, g);
		return found ? found : gap_find(node->left, g);
	}
	if (vma->vm_start > g->low)
		found = gap_find(node->left, g);
	if (!found)
		found = gap_try(vma, g);
	return found ? found : gap_find(node->right, g);
}

/* The gap above the last VMA, which the tree does not count. */
static uva_t gap_above_all(struct mm_struct *mm, const struct gap_search *g)
{
	uva_t lo = g->low;

	if (!list_empty(&mm->mmap))
		lo = max(lo, list_entry(mm->mmap.prev, struct vm_area_struct,
					vm_list)
				     ->vm_end);
	if (g->high < lo || g->high - lo < g->len)
		return 0;
	return g->topdown ? g->high - g->len : lo;
}

static uva_t gap_best(struct mm_struct *mm, const struct gap_search *g)
{
	uva_t found = 0;

	if (g->topdown)
		found = gap_above_all(mm, g);
	if (!found)
		found = gap_find(mm->mm_rb.rb_node, g);
	if (!found && !g->topdown)
		found = gap_above_all(mm, g);
	return found;
}

/*
 * As Linux searches: a gap that reaches into a stack's guard gap is given up,
 * and with it all that lies between there and the guard gap's other end.
 */
static uva_t gap_search(struct mm_struct *mm, struct gap_search g)
{
	struct vm_area_struct *next;
	uva_t found;

	for (;;) {
		found = gap_best(mm, &g);
		next = found ? find_vma(mm, found) : NULL;
		if (!next || start_gap(next) >= found + g.len)
			return found;
		if (g.topdown)
			g.high = start_gap(next);
		else
			g.low = next->vm_end;
	}
}

bool range_is_free(struct mm_struct *mm, uva_t start, uva_t end)
{
	struct vm_area_struct *vma = find_vma(mm, start);

	return !vma || start_gap(vma) >= end;
}

/*
 * The end of what mmap() gives without being asked for more. Programs keep
 * data in the upper bits of pointers (Linux documentation, x86/x86_64/
 * 5level-paging), so five levels must not change what they see.
 */
static uva_t default_map_window(const struct mm_struct *mm)
{
	uva_t end = mm->layout.task_size;

	return mm->pt.fmt->va_bits > paging_x86_64_4level.va_bits
		       ? min(end, paging_x86_64_4level.user_end)
		       : end;
}

/* A free range of LEN bytes: downwards from G->high, as a last resort anywhere,
 * from a third of the space below TOP up. Or 0. */
static uva_t find_room(struct mm_struct *mm, struct gap_search g, uva_t top)
{
	uva_t low = g.low, found = gap_search(mm, g);

	if (found || !g.topdown)
		return found;
	g.topdown = false;
	g.low = max(low, PAGE_ALIGN_DOWN(top / 3));
	g.high = top;
	found = gap_search(mm, g);
	if (found)
		return found;
	g.low = low;
	return gap_search(mm, g);
}

/* Large memory begins where a large page could: of a range that is larger by
 * one of those, the highest place. 0: there is no such range. */
static uva_t find_aligned_room(struct mm_struct *mm, struct gap_search g,
			       uva_t top)
{
	u64 size = BIT(mm->pt.fmt->shift[1]);
	uva_t found;

	g.len += size;
	found = find_room(mm, g, top);
	return found ? ALIGN_DOWN(found, size) + size : 0;
}

static s64 area_by(struct mm_struct *mm, struct gap_search g, uva_t top,
		   bool large)
{
	uva_t found = 0;

	if (large && mm->pt.fmt->va_bits > 32 &&
	    IS_ALIGNED(g.len, BIT(mm->pt.fmt->shift[1])))
		found = find_aligned_room(mm, g, top);
	if (!found)
		found = find_room(mm, g, top);
	trace_emit(VM_UNMAPPED_AREA, found, found ? 0 : (u64)(s64)-ENOMEM,
		   mm->total_vm, g.topdown, g.len, g.low, g.high, 0, 0);
	return found ? (s64)found : -ENOMEM;
}

/* What MAP_32BIT asks for: pointers of 31 bits, as old JITs need them. */
#define LOW_AREA_START (1UL << 30)
#define LOW_AREA_END   (1UL << 31)

s64 get_unmapped_area_low(struct mm_struct *mm, uva_t hint, u64 len, bool anon)
{
	uva_t low = READ_ONCE(space_sys.mmap_min_addr);
	struct gap_search g = {len, LOW_AREA_START, LOW_AREA_END, false};

	if (mm->pt.fmt->va_bits <= 32)
		return get_unmapped_area(mm, hint, len, anon);
	if (len > LOW_AREA_END)
		return -ENOMEM;
	hint = PAGE_ALIGN_DOWN(hint);
	if (hint && hint >= low && hint <= LOW_AREA_END - len &&
	    range_is_free(mm, hint, hint + len))
		return (s64)hint;
	return area_by(mm, g, LOW_AREA_END, anon && !hint);
}

s64 get_unmapped_area(struct mm_struct *mm, uva_t hint, u64 len, bool anon)
{
	uva_t low = max(READ_ONCE(space_sys.mmap_min_addr), PAGE_SIZE);
	uva_t top = mm->layout.task_size, window = default_map_window(mm);
	struct gap_search g = {len, low, mm->layout.mmap_base, true};

	/* Addresses of more than 47 bits only for those who hint at them. */
	if (hint > window)
		g.high += top - window;
	else
		top = window;

	if (len > top - low)
		return -ENOMEM;
	hint = PAGE_ALIGN_DOWN(hint);
	if (hint >= low && hint <= top - len &&
	    range_is_free(mm, hint, hint + len))
		return (s64)hint;
	return area_by(mm, g, top, anon && !hint);
}

/* ---- check
 * -------------------------------------------------------------------------------
 */

static u64 check_node(struct rb_node *node, u64 *gap)
{
	struct vm_area_struct *vma;
	u64 n, left = 0, right = 0;

	*gap = 0;
	if (!node)
		return 0;
	vma = rb_entry(node, struct vm_area_struct, vm_rb);
	n = 1 + check_node(node->left, &left) + check_node(node->right, &right);
	*gap = max(own_gap(vma), max(left, right));
	mm_verify(vma->rb_subtree_gap == *gap);
	return n;
}

void vma_tree_check(struct mm_struct *mm)
{
	struct vm_area_struct *vma;
	struct rb_node *node = rb_first(&mm->mm_rb);
	uva_t end = 0;
	u64 n = 0, gap;

	for_each_vma (vma, mm) {
		mm_verify(vma->vm_start < vma->vm_end);
		mm_verify(vma->vm_start >= end);
		mm_verify(IS_ALIGNED(vma->vm_start | vma->vm_end, PAGE_SIZE));
		mm_verify(node == &vma->vm_rb);
		mm_verify(vma->vm_mm == mm);
		anon_vma_check(vma);
		vma_policy_check(vma);
		vma_file_check(vma);
		mm_verify(!vma->vm_uffd == !(vma->vm_flags & VM_UFFD_FLAGS));
		end = vma->vm_end;
		node = rb_next(node);
		n++;
	}
	mm_verify(node == NULL);
	mm_verify(n == mm->map_count);
	vm_stat_check(mm);
	mm_verify(check_node(mm->mm_rb.rb_node, &gap) == n);
}
