/* SPDX-License-Identifier: MIT */
/*
 * mempolicy.c - on which nodes a task's memory should lie.
 *
 * 1. Purpose. A request names a node (its CPU's, as a rule). A policy, the
 *    running task's or one that the caller brings, can name others: some node
 *    first, some nodes only, some in turn.
 *
 * 2. What each mode makes of a request.
 *
 *      mode             first node              others
 *      default, local   the CPU's               all, by distance
 *      preferred        the one named           all, by distance from it
 *      preferred many   nearest of those named  the rest of them, then all
 *      bind             nearest of those named  the rest of them; no other
 *      interleave       the next in turn        all, by distance from it
 *      weighted ...     the next, so many times all, by distance from it
 *
 *    "In turn" is by the task's own count, or, for an object that several
 *    tasks share, by the block's place in the object.
 *
 * 3. Structures. A policy is constant but for its reference count and, at a
 *    rebind, its nodes; so tasks and mappings share one. Policies live in
 *    whole frames of the page allocator, cut into slots: floor 2 has no other
 *    allocator, and a machine has few policies. The default policy is NULL.
 *
 * 4. Invariants.
 *    MPL-1  WATCH_POLICY is set exactly while a task has a policy or is in a
 *           scope that changes where its frames may lie: then no request takes
 *           the fast path, which knows of no policy.
 *    MPL-2  A policy's nodes are a part of the allowed ones; none are left
 *           only of a static one, which then acts as default.
 *    MPL-3  A frame of slots is kept exactly while one of its slots is used.
 *
 * 5. Locking. mpol.lock, a leaf: slots, the count of watchers. Reference
 *    counts are atomic. A task's pointer is its own to write, under the lock,
 *    and to read; others read it under the lock.
 *
 * 6. Who does not obey. Interrupts (they run for nobody in particular),
 *    requests that insist on a node (__GFP_THISNODE) or name one. Bound
 *    requests for a zone below the highest that the machine has are not bound:
 *    those zones exist on few nodes, and the request would only fail.
 *
 * 7. Failure. mpol_new() and mpol_dup() need a slot; all else cannot fail.
 *
 * 8. Cost. Tasks without a policy: nothing, unless another task has one; then
 *    each request takes the long way (about 4 times the instructions).
 *
 * 9. Rejected. A set of nodes as an array of words (a machine has at most 64);
 *    policies in the callers' structures (they are shared and outlive tasks).
 *
 * References: set_mempolicy(2), get_mempolicy(2), mbind(2); Linux
 * documentation, admin-guide/mm/numa_memory_policy, admin-guide/numastat.
 */
#include "phys/mempolicy.h"

#include <mmkit/errno.h>
#include <mmkit/memalloc.h>
#include <mmkit/page_alloc.h>
#include <mmkit/port.h>

#include "base/bitops.h"
#include "base/string.h"
#include "base/system.h"
#include "phys/alloc.h"
#include "phys/phys.h"

/* ---- slots
 * ---------------------------------------------------------------- */

#define MPOL_SLOTS 120

struct mpol_frame {
	struct mpol_frame *next, **pprev;
	u64 used[BITS_TO_LONGS(MPOL_SLOTS)];
	struct mempolicy slot[MPOL_SLOTS];
};

MM_STATIC_ASSERT(sizeof(struct mpol_frame) <= PAGE_SIZE, "slots fit a frame");

void mpol_init(void)
{
	mm_zero(&phys_sys.mpol, sizeof(phys_sys.mpol));
	spin_lock_init(&phys_sys.mpol.lock, LOCK_CLASS_MEMPOLICY);
}

/* A slot of a frame that has a free one. mpol.lock held. */
static struct mempolicy *slot_take(void)
{
	struct mpol_frame *f;

	for (f = phys_sys.mpol.frames; f; f = f->next) {
		for (u64 i = 0; i < MPOL_SLOTS; i++) {
			if (test_bit(i, f->used))
				continue;
			__set_bit(i, f->used);
			phys_sys.mpol.nr_policies++;
			return &f->slot[i];
		}
	}
	return NULL;
}

static void frame_link(struct mpol_frame *f)
{
	struct mpol_state *m = &phys_sys.mpol;

	mm_memset(f, 0, sizeof(*f));
	f->next = m->frames;
	f->pprev = &m->frames;
	if (f->next)
		f->next->pprev = &f->next;
	m->frames = f;
	m->nr_frames++;
}

/* A slot, from a new frame if need be. NULL: no memory. May sleep. */
static struct mempolicy *slot_alloc(void)
{
	struct mempolicy *pol;
	struct page *page;

	spin_lock(&phys_sys.mpol.lock);
	pol = slot_take();
	spin_unlock(&phys_sys.mpol.lock);
	if (pol)
		return pol;
	page = alloc_page(GFP_KERNEL);
	if (!page)
		return NULL;
	spin_lock(&phys_sys.mpol.lock);
	frame_link(page_view(page));
	pol = slot_take();
	spin_unlock(&phys_sys.mpol.lock);
	mm_assert(pol != NULL);
	return pol;
}

/* Give POL's slot back, and its frame if that was the last one of it. */
static void slot_free(struct mempolicy *pol)
{
	struct page *page = view_to_page(pol);
	struct mpol_frame *f = page_view(page);
	u64 i = (u64)(pol - f->slot), left = 0;

	mm_verify(i < MPOL_SLOTS);
	spin_lock(&phys_sys.mpol.lock);
	mm_verify(test_bit(i, f->used));
	__clear_bit(i, f->used);
	phys_sys.mpol.nr_policies--;
	for (size_t w = 0; w < ARRAY_SIZE(f->used); w++)
		left |= f->used[w];
	if (!left) {
		*f->pprev = f->next;
		if (f->next)
			f->next->pprev = f->pprev;
		phys_sys.mpol.nr_frames--;
	}
	spin_unlock(&phys_sys.mpol.lock);
	if (!left)
		__free_page(page);
}

bool mpol_owns(u64 pfn)
{
	const struct mpol_frame *f;
	bool found = false;

	spin_lock(&phys_sys.mpol.lock);
	for (f = phys_sys.mpol.frames; f && !found; f = f->next)
		found = page_to_pfn(view_to_page(f)) == pfn;
	spin_unlock(&phys_sys.mpol.lock);
	return found;
}

/* ---- sets of nodes
 * --------------------------------------------------------- */

nodemask_t nodes_with_memory(void)
{
	nodemask_t mask = NODE_MASK_NONE;
	struct zone *zone;

	for_each_zone (zone) {
		if (managed_zone(zone))
			mask |= NODE_MASK(zone_to_nid(zone));
	}
	return mask;
}

/* The N-th node (from 0) of MASK, which has more than N. */
static int nth_node(nodemask_t mask, u64 n)
{
	mm_assert(n < hweight64(mask));
	while (n--)
		mask &= mask - 1;
	return (int)__ffs(mask);
}

/* The first node of MASK after NID, round the end. MASK is not empty. */
static int next_node_in(nodemask_t mask, int nid)
{
	nodemask_t above = nid >= 63 ? 0 : mask & ~((2UL << nid) - 1);

	mm_assert(mask != NODE_MASK_NONE);
	return (int)__ffs(above ? above : mask);
}

/* The n-th of FROM becomes the n-th of TO, round the end; others stay. */
static nodemask_t mask_rename(nodemask_t mask, nodemask_t from, nodemask_t to)
{
	u64 count = hweight64(to);
	nodemask_t out = NODE_MASK_NONE;

	for (; mask && count; mask &= mask - 1) {
		unsigned int nid = __ffs(mask);
		u64 n = hweight64(from & (NODE_MASK(nid) - 1));

		if (from & NODE_MASK(nid))
			out |= NODE_MASK(nth_node(to, n % count));
		else
			out |= NODE_MASK(nid);
	}
	return out & to;
}

/* Node n of MASK means the n-th of ALLOWED, round the end. */
static nodemask_t mask_relative(nodemask_t mask, nodemask_t allowed)
{
	u64 count = hweight64(allowed);
	nodemask_t out = NODE_MASK_NONE;

	for (; mask && count; mask &= mask - 1)
		out |= NODE_MASK(nth_node(allowed, __ffs(mask) % count));
	return out;
}

/* What POL's user meant, with ALLOWED to be had. */
static nodemask_t mask_bound(const struct mempolicy *pol, nodemask_t allowed)
{
	if (pol->flags & MPOL_F_RELATIVE_NODES)
		return mask_relative(pol->user, allowed);
	return pol->user & allowed;
}

/* ---- making policies
 * ------------------------------------------------------- */

static bool mode_takes_turns(int mode)
{
	return mode == MPOL_INTERLEAVE || mode == MPOL_WEIGHTED_INTERLEAVE;
}

/* Can MODE leave to use where within its nodes memory lies? */
static bool mode_balances(int mode)
{
	return mode == MPOL_BIND || mode == MPOL_PREFERRED_MANY;
}

/* The rules of set_mempolicy(2) for what fits together. */
static bool args_fit(int mode, u32 flags, nodemask_t nodes)
{
	if (mode < 0 || mode >= MPOL_MAX || (flags & ~MPOL_MODE_FLAGS) ||
	    (flags & MPOL_NODE_FLAGS) == MPOL_NODE_FLAGS)
		return false;
	if ((flags & MPOL_F_NUMA_BALANCING) && !mode_balances(mode))
		return false;
	/* Flags say what becomes of nodes: without a meaning for none. */
	if (mode == MPOL_DEFAULT)
		return nodes == NODE_MASK_NONE;
	if (mode == MPOL_LOCAL)
		return nodes == NODE_MASK_NONE && !flags;
	if (mode == MPOL_PREFERRED && nodes == NODE_MASK_NONE)
		return !flags;
	return nodes != NODE_MASK_NONE;
}

/* One node is preferred: the first of those named. */
static nodemask_t mode_nodes(int mode, nodemask_t nodes)
{
	return mode == MPOL_PREFERRED ? nodes & -nodes : nodes;
}

int mpol_new(int mode, u32 flags, nodemask_t nodes, struct mempolicy **out)
{
	struct mempolicy pol = {.refcnt = 1,
				.mode = (u16)mode,
				.flags = (u16)flags,
				.user = nodes,
				.allowed = nodes_with_memory()};
	struct mempolicy *new;

	if (!args_fit(mode, flags, nodes))
		return -EINVAL;
	if (mode == MPOL_DEFAULT) {
		*out = NULL;
		return 0;
	}
	if (mode == MPOL_PREFERRED && nodes == NODE_MASK_NONE)
		pol.mode = MPOL_LOCAL;
	pol.nodes = mode_nodes(mode, mask_bound(&pol, pol.allowed));
	if (nodes && !pol.nodes)
		return -EINVAL;
	new = slot_alloc();
	if (!new)
		return -ENOMEM;
	*new = pol;
	*out = new;
	return 0;
}

struct mempolicy *mpol_get(struct mempolicy *pol)
{
	if (pol)
		__atomic_fetch_add(&pol->refcnt, 1, __ATOMIC_RELAXED);
	return pol;
}

void mpol_put(struct mempolicy *pol)
{
	s32 old;

	if (!pol)
		return;
	old = __atomic_fetch_sub(&pol->refcnt, 1, __ATOMIC_ACQ_REL);
	mm_verify(old > 0);
	if (old == 1)
		slot_free(pol);
}

int mpol_dup(const struct mempolicy *pol, struct mempolicy **out)
{
	struct mempolicy *new = NULL;

	if (pol) {
		new = slot_alloc();
		if (!new)
			return -ENOMEM;
		*new = *pol;
		new->refcnt = 1;
	}
	*out = new;
	return 0;
}

bool mpol_equal(const struct mempolicy *a, const struct mempolicy *b)
{
	if (!a || !b)
		return a == b;
	if (a->mode != b->mode || a->flags != b->flags || a->nodes != b->nodes)
		return false;
	return !a->flags || a->user == b->user;
}

int mpol_mode(const struct mempolicy *pol)
{
	return pol ? pol->mode : MPOL_DEFAULT;
}

bool mpol_balances(const struct mempolicy *pol, int nid)
{
	return !pol || ((pol->flags & MPOL_F_NUMA_BALANCING) &&
			(mpol_nodes(pol) & NODE_MASK(nid)));
}

u32 mpol_flags(const struct mempolicy *pol)
{
	return pol ? pol->flags : 0;
}

nodemask_t mpol_nodes(const struct mempolicy *pol)
{
	return pol ? pol->nodes : NODE_MASK_NONE;
}

nodemask_t mpol_user_nodes(const struct mempolicy *pol)
{
	return pol && pol->flags ? pol->user : mpol_nodes(pol);
}

void mpol_rebind(struct mempolicy *pol, nodemask_t allowed)
{
	nodemask_t nodes;

	if (!pol || pol->mode == MPOL_LOCAL)
		return;
	allowed &= nodes_with_memory();
	mm_verify(allowed != NODE_MASK_NONE);
	if (pol->flags & MPOL_NODE_FLAGS)
		nodes = mode_nodes(pol->mode, mask_bound(pol, allowed));
	else
		nodes = mask_rename(pol->nodes, pol->allowed, allowed);
	mm_assert(nodes || (pol->flags & MPOL_F_STATIC_NODES));
	WRITE_ONCE(pol->nodes, nodes);
	pol->allowed = allowed;
}

/* ---- a task's policy
 * ------------------------------------------------------- */

void mpol_watch(bool on)
{
	struct mpol_state *m = &phys_sys.mpol;

	spin_lock(&m->lock);
	mm_verify(on || m->watchers > 0);
	m->watchers += on ? 1u : -1u;
	/* Under the lock, so that the bit and the count agree. */
	if (m->watchers == (on ? 1u : 0u))
		base_watch(WATCH_POLICY, on);
	spin_unlock(&m->lock);
}

/* TASK's policy becomes POL, whose reference it takes over. */
static void task_set(struct mm_task *task, struct mempolicy *pol)
{
	struct mempolicy *old = task->mempolicy;

	if (pol && !old)
		mpol_watch(true);
	spin_lock(&phys_sys.mpol.lock);
	WRITE_ONCE(task->mempolicy, pol);
	spin_unlock(&phys_sys.mpol.lock);
	task->il_prev = MM_MAX_NODES - 1;
	task->il_left = 0;
	if (old && !pol)
		mpol_watch(false);
	mpol_put(old);
}

void set_task_mempolicy(struct mempolicy *pol)
{
	mm_verify(!port_in_irq());
	task_set(port_current(), pol);
}

struct mempolicy *mpol_task_get(const struct mm_task *task)
{
	struct mempolicy *pol;

	/* The task drops its own reference after it let go of the lock. */
	spin_lock(&phys_sys.mpol.lock);
	pol = mpol_get(task->mempolicy);
	spin_unlock(&phys_sys.mpol.lock);
	return pol;
}

void mpol_task_fork(struct mm_task *child, const struct mm_task *parent)
{
	mm_verify(child->mempolicy == NULL);
	task_set(child, mpol_get(parent->mempolicy));
	child->il_prev = parent->il_prev;
	child->il_left = parent->il_left;
}

unsigned int memalloc_pin_save(void)
{
	unsigned int before = memalloc_scope_save(PF_MEMALLOC_PIN);

	mm_verify(!port_in_irq());
	if (!before)
		mpol_watch(true);
	return before;
}

void memalloc_pin_restore(unsigned int before)
{
	mm_verify(port_current()->flags & PF_MEMALLOC_PIN);
	memalloc_scope_restore(PF_MEMALLOC_PIN, before);
	if (!before)
		mpol_watch(false);
}

void mpol_task_exit(struct mm_task *task)
{
	task_set(task, NULL);
}

int do_set_mempolicy(int mode, nodemask_t nodes)
{
	u32 flags = (u32)mode & MPOL_MODE_FLAGS;
	struct mempolicy *pol;
	int err;

	if (mode < 0)
		return -EINVAL;
	err = mpol_new((int)((u32)mode & ~MPOL_MODE_FLAGS), flags, nodes, &pol);
	if (!err)
		set_task_mempolicy(pol);
	return err;
}

static u32 weight_of(int nid)
{
	u32 w = READ_ONCE(phys_sys.mpol.weight[nid]);

	return w ? w : 1;
}

/* The node of TASK's next turn; TAKE: that turn is taken now. */
static int task_turn(struct mm_task *task, const struct mempolicy *pol,
		     bool take)
{
	bool stay = pol->mode == MPOL_WEIGHTED_INTERLEAVE && task->il_left &&
		    (pol->nodes & NODE_MASK(task->il_prev));
	int nid =
		stay ? task->il_prev : next_node_in(pol->nodes, task->il_prev);

	if (!take)
		return nid;
	task->il_left = (u8)(stay ? task->il_left : weight_of(nid)) - 1;
	if (pol->mode == MPOL_INTERLEAVE)
		task->il_left = 0;
	task->il_prev = (u16)nid;
	return nid;
}

int do_get_mempolicy(int *mode, nodemask_t *nodes, u32 flags)
{
	struct mm_task *task = port_current();
	const struct mempolicy *pol = task->mempolicy;

	if (flags & ~(MPOL_F_NODE | MPOL_F_MEMS_ALLOWED) ||
	    flags == (MPOL_F_NODE | MPOL_F_MEMS_ALLOWED))
		return -EINVAL;
	if (flags & MPOL_F_MEMS_ALLOWED) {
		if (mode)
			*mode = 0;
		if (nodes)
			*nodes = nodes_with_memory();
		return 0;
	}
	if ((flags & MPOL_F_NODE) &&
	    (!pol || !mode_takes_turns(pol->mode) || !pol->nodes))
		return -EINVAL;
	if (mode && (flags & MPOL_F_NODE))
		*mode = task_turn(task, pol, false);
	else if (mode)
		*mode = mpol_mode(pol) | (int)mpol_flags(pol);
	if (nodes)
		*nodes = mpol_user_nodes(pol);
	return 0;
}

int mpol_set_weight(int nid, u32 weight)
{
	if (nid < 0 || nid >= MM_MAX_NODES || weight > 255 ||
	    !(nodes_with_memory() & NODE_MASK(nid)))
		return -EINVAL;
	WRITE_ONCE(phys_sys.mpol.weight[nid], (u8)weight);
	return 0;
}

u32 mpol_weight(int nid)
{
	mm_verify(nid >= 0 && nid < MM_MAX_NODES);
	return weight_of(nid);
}

/* ---- allocating
 * ------------------------------------------------------------ */

/* The node of block ILX of an object. */
static int offset_node(const struct mempolicy *pol, u64 ilx)
{
	nodemask_t mask;
	u64 total = 0;

	if (pol->mode == MPOL_INTERLEAVE)
		return nth_node(pol->nodes, ilx % hweight64(pol->nodes));
	for (mask = pol->nodes; mask; mask &= mask - 1)
		total += weight_of((int)__ffs(mask));
	ilx %= total;
	for (mask = pol->nodes; mask; mask &= mask - 1) {
		u32 w = weight_of((int)__ffs(mask));

		if (ilx < w)
			break;
		ilx -= w;
	}
	/* Another CPU may have changed a weight in between. */
	return (int)__ffs(mask ? mask : pol->nodes);
}

/* The highest kind of zone that the machine has frames of. */
static enum zone_type policy_zone(void)
{
	struct zone *zone;
	int top = 0;

	for_each_zone (zone) {
		if (managed_zone(zone) && zone->idx < ZONE_MOVABLE)
			top = max(top, (int)zone->idx);
	}
	return (enum zone_type)top;
}

/* Have NODES nothing but movable memory? */
static bool only_movable(nodemask_t nodes)
{
	struct zone *zone;

	for_each_zone (zone) {
		if (managed_zone(zone) && zone->idx < ZONE_MOVABLE &&
		    (nodes & NODE_MASK(zone_to_nid(zone))))
			return false;
	}
	return true;
}

/* The set that GFP is bound to by POL. What must not move is not bound to
 * nodes that have no place for it: no page table could be made there. */
static nodemask_t bind_mask(gfp_t gfp, const struct mempolicy *pol)
{
	enum zone_type zone = gfp_zone(gfp);

	if (pol->nodes == NODE_MASK_NONE || zone < policy_zone() ||
	    (zone != ZONE_MOVABLE && only_movable(pol->nodes)))
		return NODE_MASK_ALL;
	return pol->nodes;
}

/* With __GFP_THISNODE there is one node to try: the nearest of MASK. */
static int thisnode(gfp_t gfp, int nid, nodemask_t mask)
{
	struct zoneref *z;

	if (!(gfp & __GFP_THISNODE) || (mask & NODE_MASK(nid)))
		return nid;
	z = node_zonelist(nid, gfp & ~__GFP_THISNODE)->_zonerefs;
	while (z->zone && !(mask & NODE_MASK(zone_to_nid(z->zone))))
		z++;
	return z->zone ? zone_to_nid(z->zone) : nid;
}

static struct page *alloc_turn(gfp_t gfp, unsigned int order,
			       const struct mempolicy *pol, u64 ilx)
{
	int nid = ilx == NO_INTERLEAVE_INDEX
			  ? task_turn(port_current(), pol, true)
			  : offset_node(pol, ilx);
	struct page *page =
		alloc_pages_nodemask(gfp, order, nid, NODE_MASK_ALL);

	if (page && zone_to_nid(page_zone(page)) == nid)
		mod_zone_page_state(page_zone(page), NUMA_INTERLEAVE_HIT, 1);
	return page;
}

/* First only those named, and without effort; then as if none were named. */
static struct page *alloc_many(gfp_t gfp, unsigned int order,
			       const struct mempolicy *pol, int nid)
{
	gfp_t light =
		(gfp | __GFP_NOWARN) & ~(__GFP_DIRECT_RECLAIM | __GFP_NOFAIL);
	struct page *page;

	nid = thisnode(gfp, nid, pol->nodes);
	page = alloc_pages_nodemask(light, order, nid, pol->nodes);
	if (page || (gfp & __GFP_THISNODE))
		return page;
	return alloc_pages_nodemask(gfp, order, nid, NODE_MASK_ALL);
}

struct page *alloc_pages_mpol(gfp_t gfp, unsigned int order,
			      struct mempolicy *pol, u64 ilx, int nid)
{
	nodemask_t mask;

	if (nid < 0)
		nid = numa_node_id();
	if (port_in_irq() || !pol || pol->nodes == NODE_MASK_NONE)
		return alloc_pages_nodemask(gfp, order, nid, NODE_MASK_ALL);
	switch (pol->mode) {
	case MPOL_PREFERRED:
		nid = (int)__ffs(pol->nodes);
		break;
	case MPOL_BIND:
		mask = bind_mask(gfp, pol);
		return alloc_pages_nodemask(gfp, order,
					    thisnode(gfp, nid, mask), mask);
	case MPOL_INTERLEAVE:
	case MPOL_WEIGHTED_INTERLEAVE:
		return alloc_turn(gfp, order, pol, ilx);
	case MPOL_PREFERRED_MANY:
		return alloc_many(gfp, order, pol, nid);
	default:
		break;
	}
	return alloc_pages_nodemask(gfp, order, nid, NODE_MASK_ALL);
}

struct page *alloc_pages_place(gfp_t gfp, unsigned int order,
			       const struct mpol_place *place)
{
	if (likely(!place->pol))
		return alloc_pages(gfp, order);
	return alloc_pages_mpol(gfp, order, place->pol, place->ilx, place->nid);
}
