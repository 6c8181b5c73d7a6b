/* SPDX-License-Identifier: MIT */
/*
 * huge.h - transparent huge pages of anonymous memory: who gets them, and at
 * the first touch. Theory: huge.c. Below: pgtable/huge.h.
 */
#ifndef MM_SPACE_HUGE_H
#define MM_SPACE_HUGE_H

#include "pgtable/huge.h"
#include "space/space.h"

struct vm_fault;

/* The shape of /sys/kernel/mm/transparent_hugepage/defrag. */
enum thp_defrag {
	THP_DEFRAG_ALWAYS,
	THP_DEFRAG_DEFER,
	THP_DEFRAG_DEFER_MADVISE,
	THP_DEFRAG_MADVISE,
	THP_DEFRAG_NEVER,
};

/* thp_init: the tunables as they are at boot, and a shrinker. 0, -ENOMEM. */
int thp_init(void) MM_MUST_CHECK;

/* thp_vma_allowed: may VMA have huge pages, by the tunables, its advice and its
 * kind? Mmap lock in any mode, or a claim. */
bool thp_vma_allowed(const struct vm_area_struct *vma);

/*
 * mm_set_thp_disable: prctl(PR_SET_THP_DISABLE) for MM: no new huge pages; what
 * is huge stays so. Children and programs that it executes inherit it. 0.
 * mm_thp_disabled: 1 or 0. Any context.
 */
int mm_set_thp_disable(struct mm_struct *mm, bool disable);
int mm_thp_disabled(const struct mm_struct *mm);

/* thp_vma_possible: the same whatever the tunables say. */
bool thp_vma_possible(const struct vm_area_struct *vma);

/* thp_map_block: the 512 frames of BLOCK, complete and nobody else's, a block
 * still or single, are what SLOT's table, at VA of VMA, empty and locked, maps:
 * each a page of its own. */
void thp_map_block(struct vm_area_struct *vma, struct pt_slot slot, uva_t va,
		   struct page *block);

/* thp_vma_eligible: the same, and there is room for one. */
bool thp_vma_eligible(const struct vm_area_struct *vma);

/* thp_region: the huge page's first address that ADDR would lie in, if all of
 * it is VMA's; else 0. */
static inline uva_t thp_region(const struct vm_area_struct *vma, uva_t addr)
{
	uva_t va = ALIGN_DOWN(addr, HPAGE_PMD_SIZE);

	return va >= vma->vm_start && va + HPAGE_PMD_SIZE <= vma->vm_end ? va
									 : 0;
}

/* thp_empty: is there nothing in the table whose first entry is SLOT's? */
bool thp_empty(const struct pt_slot *slot, uva_t va);

/* thp_block: a block for the region at VA of VMA, zeroed, charged to the
 * running task's group. NULL: none, which is counted. May sleep. */
struct page *thp_block(const struct vm_area_struct *vma, uva_t va);

/* thp_gfp: how hard to try for a block at a fault of VMA (the file defrag). */
gfp_t thp_gfp(const struct vm_area_struct *vma);

/*
 * thp_map_new: a huge page at VA, whose region is VMA's and empty: 0; -ENOMEM:
 * there is no block, or no memory for the tables; -EAGAIN: somebody was faster;
 * -EEXIST: it is not empty. On failure nothing has changed but for empty
 * tables. May sleep; mmap lock in any mode, or a claim on VMA.
 */
int thp_map_new(struct vm_area_struct *vma, uva_t va) MM_MUST_CHECK;

/* thp_fault: the fault VMF, whose entry was not looked for yet, is answered by
 * a huge page. False: not that case; nothing has changed but for tables. */
bool thp_fault_slow(struct vm_fault *vmf);

/* thp_wp_reuse: the write fault VMF, on an entry that is write-protected, is of
 * a huge page that nobody else has: all of it may be written now. False: not
 * so; nothing has changed. */
bool thp_wp_reuse(struct vm_fault *vmf);

/* thp_populate: the same at ADDR, if [ADDR, END) begins with a huge page's
 * region that is empty. Pages mapped, or 0. */
u32 thp_populate(struct vm_area_struct *vma, uva_t addr, uva_t end);

/* ---- huge_zero.c: 2 MiB of zeroes that all share --------------------------
 */

/*
 * huge_zero_get: the first of 512 frames of zeroes; MM, which is in use, is a
 * user of them until it ends. 0: no memory for them. May sleep; the mmap lock
 * in any mode, or a claim, may be held.
 * huge_zero_fork: NEW, which nobody uses yet, is a user if OLD is.
 * huge_zero_exit: MM, which maps nothing any more, is none. Any context.
 */
u64 huge_zero_get(struct mm_struct *mm) MM_MUST_CHECK;
void huge_zero_fork(struct mm_struct *new, const struct mm_struct *old);
void huge_zero_exit(struct mm_struct *mm);

/* huge_zero_init: its shrinker. 0, -ENOMEM. At boot. */
int huge_zero_init(void) MM_MUST_CHECK;

/* huge_zero_frame: is PFN one of them? */
static inline bool huge_zero_frame(u64 pfn)
{
	u64 first = READ_ONCE(space_sys.thp.zero) >> 32;

	return first && pfn - first < HPAGE_PMD_NR;
}

/* thp_map_zero: the same zeroes for the region at VA of VMA, which is empty: as
 * thp_map_new(). thp_zero_write: the write fault VMF on them gets a huge page.
 * False: it got none, or that is not what is there. */
int thp_map_zero(struct vm_area_struct *vma, uva_t va) MM_MUST_CHECK;
bool thp_zero_write(struct vm_fault *vmf);

/* Do the tunables and VMA's advice leave any question? */
static inline bool thp_wanted(const struct vm_area_struct *vma)
{
	u32 enabled = READ_ONCE(space_sys.thp.enabled);

	return enabled == THP_ALWAYS ||
	       (enabled == THP_MADVISE && (vma->vm_flags & VM_HUGEPAGE));
}

#endif
