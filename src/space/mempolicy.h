/* SPDX-License-Identifier: MIT */
/*
 * mempolicy.h - memory policies of mappings, inside the floor. Theory:
 * mempolicy.c.
 */
#ifndef MM_SPACE_MEMPOLICY_H
#define MM_SPACE_MEMPOLICY_H

#include <mmkit/mempolicy.h>
#include <mmkit/page_alloc.h>

#include "space/space.h"

#define VMA_NO_HOME (-1)

/* vma_policy_same: would pages of A and B go to the same nodes? NULL: a mapping
 * without a policy. (M) held. */
bool vma_policy_same(const struct vm_area_struct *a,
		     const struct vm_area_struct *b);

/* vma_policy_check: VMP-3. Panics. (M) held. */
void vma_policy_check(const struct vm_area_struct *vma);

/*
 * vma_policy_at: the policy that the page of VMA at ADDR obeys (NULL: the
 * task's) and its home node (VMA_NO_HOME): a file's in memory, or the
 * mapping's. A reference for the caller. VMA must stay as it is for the call.
 */
struct mempolicy *vma_policy_at(const struct vm_area_struct *vma, uva_t addr,
				int *home) MM_MUST_CHECK;

/*
 * vma_place: where the page of VMA at ADDR is to be allocated: by the policy of
 * a file in memory or the mapping's, else by the running task's; interleaving
 * goes by page number. VMA must stay as it is until *PLACE is not used any
 * more; then the caller gives what is returned to mpol_put().
 */
struct mempolicy *vma_place(const struct vm_area_struct *vma, uva_t addr,
			    struct mpol_place *place) MM_MUST_CHECK;

/*
 * vma_alloc_page: a frame for ADDR of VMA, allocated where its policy says.
 * Every fault that needs a frame of the mapping's own gets it here. NULL: no
 * memory. As alloc_pages() otherwise.
 */
struct page *vma_alloc_policy(gfp_t gfp, const struct vm_area_struct *vma,
			      uva_t addr) MM_MUST_CHECK;

/* vma_alloc_block: 2^ORDER frames in a row for ADDR of VMA, likewise. */
struct page *vma_alloc_block(gfp_t gfp, unsigned int order,
			     const struct vm_area_struct *vma,
			     uva_t addr) MM_MUST_CHECK;

static inline struct page *MM_MUST_CHECK
vma_alloc_page(gfp_t gfp, const struct vm_area_struct *vma, uva_t addr)
{
	/* A file may have a policy of its own. */
	if (likely(!vma->vm_policy && !vma->vm_file &&
		   !port_current()->mempolicy))
		return alloc_pages(gfp, 0);
	return vma_alloc_policy(gfp, vma, addr);
}

/*
 * vma_count_nodes: add to ON[nid], of MM_MAX_NODES, the pages that are mapped
 * in [START, END) of VMA; the zero page is none. (M) held.
 */
void vma_count_nodes(struct vm_area_struct *vma, uva_t start, uva_t end,
		     u64 *on);

/* mpol_read_nodes: a set of nodes from user memory: mmkit/mempolicy.h. 0,
 * -EFAULT, -EINVAL. May sleep; no lock held. */
int mpol_read_nodes(struct mm_struct *mm, uva_t nmask, u64 maxnode,
		    nodemask_t *nodes) MM_MUST_CHECK;

/*
 * collect_pages: those pages of [AT, END) in VMA that C wants, which are nobody
 * else's or of which C wants all, are isolated, in batches, each of which goes
 * to C->move. The others that it wants are counted in stayed. 0, or what move
 * said. Mmap lock held in any mode; move_ops are there. May sleep.
 */
#define COLLECT_BATCH 64u
struct page_collect {
	/* Should PAGE be elsewhere? Its table is locked. */
	bool (*wanted)(const struct page *page, struct page_collect *c);
	/* What is on list, not empty, moves, or goes back. 0: go on. */
	int (*move)(struct page_collect *c);
	/* A block for the huge page FIRST at VA; NULL: page by page. */
	struct page *(*block)(struct page_collect *c,
			      struct vm_area_struct *vma, uva_t va,
			      const struct page *first);
	bool mbind; /* who asks */
	bool all;   /* those that others map, too */
	struct page_list list;
	u64 stayed;
};
int collect_pages(struct page_collect *c, struct vm_area_struct *vma, uva_t at,
		  uva_t end) MM_MUST_CHECK;

#endif
