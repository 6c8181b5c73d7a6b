/* SPDX-License-Identifier: MIT */
/*
 * fault.h - one page fault on its way through the stages.
 */
#ifndef MM_SPACE_FAULT_H
#define MM_SPACE_FAULT_H

#include "space/space.h"

/* How a fault ended: bits of vm_fault_t. 0: the entry is there, repeat the
 * access. */
#define VM_FAULT_OOM	 0x1u
#define VM_FAULT_SIGBUS	 0x2u
#define VM_FAULT_SIGSEGV 0x4u
#define VM_FAULT_MAJOR	 0x8u
#define VM_FAULT_ERROR	 (VM_FAULT_OOM | VM_FAULT_SIGBUS | VM_FAULT_SIGSEGV)

#define FAULT_FLAG_WRITE 0x1u
#define FAULT_FLAG_INSTR 0x2u

struct vm_fault {
	/* Set by the driver, read-only after. */
	struct vm_area_struct *vma;
	uva_t address; /* page aligned */
	u32 flags;     /* FAULT_FLAG_* */
	/* Set by handle_mm_fault() before a case is chosen. */
	struct pt_slot slot;
	pte_t orig; /* the entry as it was; re-checked under the table lock */
};

/*
 * handle_mm_fault: make ADDRESS of VMA accessible as FLAGS say, or tell why
 * not. The caller has checked the VMA's permissions. Mmap lock held in any
 * mode, and still held on return. May sleep.
 */
vm_fault_t handle_mm_fault(struct vm_area_struct *vma, uva_t address,
			   u32 flags);

/* The cases: one file each. Called with the table unlocked. */
vm_fault_t do_anonymous_page(struct vm_fault *vmf); /* fault_anon.c */
vm_fault_t do_fault(struct vm_fault *vmf);	    /* fault_file.c */
vm_fault_t do_wp_page(struct vm_fault *vmf);	    /* fault_cow.c */
vm_fault_t do_swap_page(struct vm_fault *vmf);	    /* fault_swap.c */

/*
 * fault_lock_same: lock the table; true if the entry is still vmf->orig,
 * false (unlocked) if somebody else handled the fault.
 */
static inline bool fault_lock_same(struct vm_fault *vmf)
{
	pt_lock(&vmf->slot);
	if (pte_same(pt_get(&vmf->slot), vmf->orig))
		return true;
	pt_unlock(&vmf->slot);
	return false;
}

/* wp_page_reuse: PAGE is ours alone: make the entry writable. Table locked. */
void wp_page_reuse(struct vm_fault *vmf);

/* fault_account: count a fault that TASK had, and its kind. (fault.c) */
void fault_account(struct mm_task *task, vm_fault_t result);

/* page_is_exclusive: nothing but this one entry (and a swap cache that can go)
 * refers to PAGE, locked; then the swap cache has let it go. */
bool page_make_exclusive(struct page *page);

#endif
