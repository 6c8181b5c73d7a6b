/* SPDX-License-Identifier: MIT */
/*
 * move_pages.c - where the pages of a process are: move_pages, migrate_pages,
 * and what mbind moves.
 *
 * All ask for pages to be on certain nodes. Pages that are there already are
 * told so. Others are isolated with the mmap lock held, which keeps mappings as
 * they are, in small numbers, and moved. Who may move only his own pages does
 * not move one that others map too. A huge page of which any page is to move
 * goes as a whole if it can.
 *
 * The arrays of move_pages() are the caller's, its pages somebody else's
 * perhaps: so they are worked off in pieces, and the mmap lock of the other is
 * never held while user memory is copied.
 *
 * References: move_pages(2), migrate_pages(2), mbind(2); for what those leave
 * open, space/mempolicy.c.
 */
#include <mmkit/errno.h>
#include <mmkit/mempolicy.h>
#include <mmkit/uaccess.h>

#include "base/bitops.h"
#include "move/move.h"
#include "phys/alloc.h"
#include "phys/hwpoison.h"
#include "phys/lru.h"
#include "phys/mempolicy.h"
#include "phys/mmzone.h"
#include "space/huge_move.h"
#include "space/mempolicy.h"
#include "space/rmap.h"

/* ---- move_pages -----------------------------------------------------------
 */

#define MOVE_CHUNK 32u

struct move_chunk {
	const struct mm_move_pages *call;
	u64 at; /* index of the first */
	u32 nr;
	uva_t addr[MOVE_CHUNK];
	s32 node[MOVE_CHUNK]; /* -1: not asked to move */
	s32 status[MOVE_CHUNK];
	struct page *page[MOVE_CHUNK]; /* isolated, or NULL */
	u64 busy; /* pages that had to move and could not */
};

/* The page of entry E: its node, or why that is not told. It is isolated if it
 * has to move: *PAGE. Table locked. */
static int entry_status(pte_t e, int want, u32 flags, struct page **out)
{
	struct page *page;
	int nid;

	if (!pte_present(e))
		return -ENOENT;
	if (pte_special(e))
		return -EFAULT;
	page = pfn_to_page(pte_pfn(e));
	nid = zone_to_nid(page_zone(page));
	if (want < 0 || want == nid)
		return nid;
	if (page_mapcount(page) > 1 && !(flags & MPOL_MF_MOVE_ALL))
		return -EACCES;
	if (isolate_lru_page(page))
		*out = page;
	return -EBUSY;
}

/* The I-th address is in a huge page of VMA: all of it goes where that shall
 * go, if it may and can. */
static void chunk_whole(const struct move_chunk *c, u32 i,
			struct vm_area_struct *vma)
{
	uva_t va = ALIGN_DOWN(c->addr[i], HPAGE_PMD_SIZE);
	struct page *first = c->node[i] < 0 ? NULL : thp_page_at(vma, va);

	if (!first)
		return;
	if (page_to_nid(first) == c->node[i] ||
	    (page_mapcount(first) > 1 &&
	     !(c->call->flags & MPOL_MF_MOVE_ALL))) {
		put_page(first);
		return;
	}
	(void)migrate_huge_page(first,
				migrate_new_block(c->node[i], __GFP_THISNODE),
				MR_SYSCALL, THP_MIGRATION_SPLIT);
}

static int addr_status(struct mm_struct *mm, struct move_chunk *c, u32 i)
{
	struct vm_area_struct *vma = find_vma(mm, c->addr[i]);
	struct pt_slot slot;
	int status;
	pte_t e;

	if (!vma_contains(vma, c->addr[i]))
		return -EFAULT;
	if (!pt_lookup(&mm->pt, PAGE_ALIGN_DOWN(c->addr[i]), &slot))
		return -ENOENT;
	for (e = pt_get(&slot); pte_migrating(e); e = pt_get(&slot))
		migration_entry_wait(&slot, e);
	if (pt_promoted(slot.table))
		chunk_whole(c, i, vma);
	pt_lock_read(&slot);
	status = entry_status(pt_get(&slot), c->node[i], c->call->flags,
			      &c->page[i]);
	pt_unlock(&slot);
	return status;
}

/* A page of the chunk has come to its end. */
static void chunk_moved(struct page *page, int err, void *arg)
{
	struct move_chunk *c = arg;

	for (u32 i = 0; i < c->nr; i++) {
		if (c->page[i] != page)
			continue;
		c->page[i] = NULL;
		c->status[i] = err == -EAGAIN ? -EBUSY : err ? err : c->node[i];
	}
}

static struct page *chunk_new(struct page *page, void *arg)
{
	struct move_chunk *c = arg;
	struct migrate_target where = {.nodes = NODE_MASK_ALL,
				       .gfp = __GFP_THISNODE | __GFP_NOWARN};

	for (u32 i = 0; i < c->nr; i++)
		if (c->page[i] == page)
			where.nid = c->node[i];
	return migrate_new_page(page, &where);
}

static void chunk_move(struct move_chunk *c)
{
	struct migrate_control mc = {
		.get_new = chunk_new,
		.done = chunk_moved,
		.arg = c,
		.mode = MIGRATE_SYNC,
		.reason = MR_SYSCALL,
	};
	struct page_list list;

	page_list_init(&list);
	for (u32 i = 0; i < c->nr; i++)
		if (c->page[i])
			page_list_add_tail(&list, c->page[i]);
	if (page_list_empty(&list))
		return;
	(void)migrate_pages(&list, &mc);
	putback_movable_pages(&list);
}

static void chunk_look(struct move_chunk *c)
{
	struct mm_struct *mm = c->call->target;

	for (u32 i = 0; i < c->nr; i++)
		c->page[i] = NULL;
	mmap_read_lock(mm);
	for (u32 i = 0; i < c->nr; i++)
		c->status[i] = addr_status(mm, c, i);
	mmap_read_unlock(mm);
	chunk_move(c);
	for (u32 i = 0; i < c->nr; i++)
		c->busy += c->status[i] == -EBUSY || c->status[i] == -ENOMEM;
}

/* Addresses and nodes of the next pages. -ENODEV: C ends before the node that
 * is none. */
static int chunk_read(struct move_chunk *c)
{
	const struct mm_move_pages *a = c->call;
	u64 n = min(a->nr - c->at, (u64)MOVE_CHUNK);

	c->nr = 0;
	if (copy_from_user(a->local, c->addr, a->pages + c->at * sizeof(uva_t),
			   n * sizeof(uva_t)))
		return -EFAULT;
	for (u32 i = 0; i < n; i++)
		c->node[i] = -1;
	if (a->nodes &&
	    copy_from_user(a->local, c->node, a->nodes + c->at * sizeof(s32),
			   n * sizeof(s32)))
		return -EFAULT;
	for (; c->nr < n; c->nr++) {
		s32 nid = c->node[c->nr];

		if (a->nodes && (nid < 0 || nid >= MM_MAX_NODES ||
				 !(nodes_with_memory() & NODE_MASK(nid))))
			return -ENODEV;
	}
	return 0;
}

static int chunk_write(const struct move_chunk *c)
{
	return copy_to_user(c->call->local,
			    c->call->status + c->at * sizeof(s32), c->status,
			    c->nr * sizeof(s32))
		       ? -EFAULT
		       : 0;
}

s64 kernel_move_pages(const struct mm_move_pages *a)
{
	struct move_chunk c = {.call = a};
	int err = 0, wrote;

	if (a->flags & ~(MPOL_MF_MOVE | MPOL_MF_MOVE_ALL))
		return -EINVAL;
	if ((a->flags & MPOL_MF_MOVE_ALL) && !mm_capable(MM_CAP_SYS_NICE))
		return -EPERM;
	if (!a->target)
		return -EINVAL;
	if (a->nodes)
		lru_cache_disable();
	for (; c.at < a->nr && !err; c.at += c.nr) {
		err = chunk_read(&c);
		chunk_look(&c);
		wrote = chunk_write(&c);
		err = err ? err : wrote;
	}
	if (a->nodes)
		lru_cache_enable();
	return err ? err : (s64)c.busy;
}

/* ---- migrate_pages --------------------------------------------------------
 */

/* Where node NID of OLD goes: the place that it has there, in NEW. */
static int node_remap(int nid, nodemask_t old, nodemask_t new)
{
	u64 n = hweight64(old & (NODE_MASK(nid) - 1)) % hweight64(new);

	while (n--)
		new &= new - 1;
	return (int)__ffs(new);
}

/* Pages of nodes OLD go to those of NEW. */
struct migrate_walk {
	struct page_collect c;
	nodemask_t old, new;
};

/* Where PAGE has to go; its own node: it stays. */
static int walk_target(const struct migrate_walk *w, const struct page *page)
{
	int nid = page_to_nid(page);

	return w->old & NODE_MASK(nid) ? node_remap(nid, w->old, w->new) : nid;
}

static struct page *walk_new(struct page *page, void *arg)
{
	const struct migrate_walk *w = arg;
	struct migrate_target where = {.nid = walk_target(w, page),
				       .nodes = NODE_MASK_ALL,
				       .gfp = __GFP_THISNODE | __GFP_NOWARN};

	return migrate_new_page(page, &where);
}

static bool walk_wanted(const struct page *page, struct page_collect *c)
{
	return walk_target((const struct migrate_walk *)c, page) !=
	       page_to_nid(page);
}

static int walk_move(struct page_collect *c)
{
	struct migrate_control mc = {
		.get_new = walk_new,
		.arg = c,
		.mode = MIGRATE_SYNC,
		.reason = MR_SYSCALL,
	};
	int ret = migrate_pages(&c->list, &mc);

	c->stayed += c->list.count;
	putback_movable_pages(&c->list);
	return ret == -ENOMEM ? ret : 0;
}

static struct page *walk_block(struct page_collect *c,
			       struct vm_area_struct *vma, uva_t va,
			       const struct page *first)
{
	(void)vma;
	(void)va;
	return migrate_new_block(
		walk_target((const struct migrate_walk *)c, first),
		__GFP_THISNODE);
}

/* Each page once, as it is found: what comes to a node of OLD by that is not
 * looked at again. How many stay. */
static s64 move_space(struct mm_struct *mm, nodemask_t old, nodemask_t new)
{
	struct migrate_walk w = {
		.c = {.wanted = walk_wanted,
		      .move = walk_move,
		      .block = walk_block,
		      .all = mm_capable(MM_CAP_SYS_NICE)},
		.old = old,
		.new = new,
	};
	struct vm_area_struct *vma;
	int err = 0;

	lru_cache_disable();
	mmap_read_lock(mm);
	for_each_vma (vma, mm) {
		if (err)
			break;
		err = collect_pages(&w.c, vma, vma->vm_start, vma->vm_end);
	}
	mmap_read_unlock(mm);
	lru_cache_enable();
	return err ? err : (s64)w.c.stayed;
}

s64 kernel_migrate_pages(struct mm_struct *target, struct mm_struct *local,
			 u64 maxnode, uva_t old_nodes, uva_t new_nodes)
{
	nodemask_t old, new, allowed = nodes_with_memory();
	int err = mpol_read_nodes(local, old_nodes, maxnode, &old);

	if (!err)
		err = mpol_read_nodes(local, new_nodes, maxnode, &new);
	if (err)
		return err;
	if ((new & ~allowed) && !mm_capable(MM_CAP_SYS_NICE))
		return -EPERM;
	if (!(new &allowed) || !target)
		return -EINVAL;
	return move_space(target, old, new &allowed);
}

/* ---- what the floor below asks for ----------------------------------------
 */

static struct page *policy_new(struct page *page, void *arg)
{
	gfp_t gfp = (GFP_HIGHUSER_MOVABLE & ~__GFP_HARDWALL) | __GFP_NOWARN |
		    __GFP_RETRY_MAYFAIL;

	return alloc_pages_mpol(gfp, 0, arg, page_index(page), -1);
}

/* space_move_ops' by_policy: mbind. */
static s64 move_by_policy(struct page_list *list, struct mempolicy *pol)
{
	struct migrate_control mc = {
		.get_new = policy_new,
		.arg = pol,
		.mode = MIGRATE_SYNC,
		.reason = MR_MEMPOLICY_MBIND,
	};
	int ret = migrate_pages(list, &mc);
	s64 stayed = (s64)list->count;

	putback_movable_pages(list);
	return ret == -ENOMEM ? ret : stayed;
}

/* space_move_ops' whole. */
static bool move_whole(struct page *first, struct page *block, bool mbind)
{
	return migrate_huge_page(first, block,
				 mbind ? MR_MEMPOLICY_MBIND : MR_SYSCALL,
				 THP_MIGRATION_SPLIT);
}

/* space_move_ops' soft_offline. */
static int move_soft_offline(struct page *page)
{
	struct migrate_target where = {.nid = NUMA_NO_NODE,
				       .nodes = NODE_MASK_ALL,
				       .gfp = __GFP_NOWARN};
	struct migrate_control mc = {
		.get_new = migrate_new_page,
		.arg = &where,
		.mode = MIGRATE_SYNC,
		.reason = MR_MEMORY_FAILURE,
	};
	bool isolated = isolate_lru_page(page);
	struct page_list list;
	int ret;

	put_page(page);
	if (!isolated)
		return -EBUSY;
	page_list_init(&list);
	page_list_add(&list, page);
	ret = migrate_pages(&list, &mc);
	putback_movable_pages(&list);
	return ret > 0 ? -EBUSY : ret;
}

const struct space_move_ops move_pages_ops = {
	.soft_offline = move_soft_offline,
	.isolate = isolate_lru_page,
	.by_policy = move_by_policy,
	.misplaced = migrate_misplaced_page,
	.misplaced_huge = migrate_misplaced_huge,
	.whole = move_whole,
};
