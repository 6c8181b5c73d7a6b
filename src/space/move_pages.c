/* SPDX-License-Identifier: MIT */
/*
 * move_pages.c - where the pages of a process are: move_pages, migrate_pages.
 *
 * Both calls ask for pages to be on certain nodes. Pages that are there
 * already are told so. Others stay: nothing can move a page yet, and the calls
 * say that they could not be moved, page by page or as a number.
 *
 * The arrays of move_pages() are the caller's, its pages somebody else's
 * perhaps: so they are worked off in pieces, and the mmap lock of the other is
 * never held while user memory is copied.
 *
 * References: move_pages(2), migrate_pages(2); for what those leave open,
 * space/mempolicy.c.
 */
#include <mmkit/errno.h>
#include <mmkit/mempolicy.h>
#include <mmkit/uaccess.h>

#include "base/bitops.h"
#include "phys/mempolicy.h"
#include "phys/mmzone.h"
#include "space/mempolicy.h"

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
	u64 busy; /* pages that had to move and could not */
};

/* The entry E's page: its node, or why that is not told. */
static int entry_status(pte_t e, int want, u32 flags, u64 *busy)
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
	++*busy;
	return -EBUSY;
}

static int addr_status(struct mm_struct *mm, struct move_chunk *c, u32 i)
{
	struct vm_area_struct *vma = find_vma(mm, c->addr[i]);
	struct pt_slot slot;
	int status;

	if (!vma_contains(vma, c->addr[i]))
		return -EFAULT;
	if (!pt_lookup(&mm->pt, PAGE_ALIGN_DOWN(c->addr[i]), &slot))
		return -ENOENT;
	pt_lock(&slot);
	status = entry_status(pt_get(&slot), c->node[i], c->call->flags,
			      &c->busy);
	pt_unlock(&slot);
	return status;
}

static void chunk_look(struct move_chunk *c)
{
	struct mm_struct *mm = c->call->target;

	down_read(&mm->mmap_lock);
	for (u32 i = 0; i < c->nr; i++)
		c->status[i] = addr_status(mm, c, i);
	up_read(&mm->mmap_lock);
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
	for (; c.at < a->nr && !err; c.at += c.nr) {
		err = chunk_read(&c);
		chunk_look(&c);
		wrote = chunk_write(&c);
		err = err ? err : wrote;
	}
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

static u64 pages_to_move(struct mm_struct *mm, nodemask_t old, nodemask_t new)
{
	u64 on[MM_MAX_NODES] = {0}, pages = 0;
	struct vm_area_struct *vma;

	down_read(&mm->mmap_lock);
	for_each_vma (vma, mm)
		vma_count_nodes(vma, vma->vm_start, vma->vm_end, on);
	up_read(&mm->mmap_lock);
	for (int nid = 0; nid < MM_MAX_NODES; nid++)
		if ((old & NODE_MASK(nid)) && node_remap(nid, old, new) != nid)
			pages += on[nid];
	return pages;
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
	return (s64)pages_to_move(target, old, new &allowed);
}
