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
/* The mapping's userfaultfd is to be asked, and why: userfault_begin(). */
#define VM_FAULT_UFFD_MISSING 0x10u
#define VM_FAULT_UFFD_WP      0x20u
#define VM_FAULT_UFFD_MINOR   0x40u
#define VM_FAULT_UFFD \
	(VM_FAULT_UFFD_MISSING | VM_FAULT_UFFD_WP | VM_FAULT_UFFD_MINOR)
/* The page is poisoned. */
#define VM_FAULT_HWPOISON 0x80u
/* Between a provider and its case: the page is locked; the entry has been dealt
 * with, or is to be looked at again. */
#define VM_FAULT_NOPAGE 0x100u
#define VM_FAULT_LOCKED 0x200u
/* A page of the mapping's file became dirty: see balance_dirty_pages. */
#define VM_FAULT_DIRTIED 0x1000u
/* Between a fault's owner and userfault_begin(): it waits in line. */
#define VM_FAULT_RETRY 0x2000u
/* It has waited for a monitor. */
#define VM_FAULT_WAITED 0x4000u
/* There is no entry for the access. */
#define VM_FAULT_ERROR                                                       \
	(VM_FAULT_OOM | VM_FAULT_SIGBUS | VM_FAULT_SIGSEGV | VM_FAULT_UFFD | \
	 VM_FAULT_HWPOISON | VM_FAULT_RETRY)

#define FAULT_FLAG_WRITE 0x02u /* these two as PF_ERR_* */
#define FAULT_FLAG_INSTR 0x10u
#define FAULT_FLAG_CLAIM 0x04u /* the VMA is claimed, no mmap lock is held */
#define FAULT_FLAG_USER	 0x08u /* the program's own access */
/* A page that KSM shares is copied, as for a write, but the entry stays as it
 * was otherwise; no write: the mapping need not allow one. */
#define FAULT_FLAG_UNSHARE 0x20u
/* With FAULT_FLAG_WRITE: a private mapping that allows no write gets a page of
 * its own, behind an entry that allows none either. */
#define FAULT_FLAG_FORCE 0x40u

struct vm_fault {
	/* Set by the driver, read-only after. */
	struct vm_area_struct *vma;
	uva_t address; /* page aligned */
	u32 flags;     /* FAULT_FLAG_* */
	u64 pgoff;     /* page number of ADDRESS */
	/* Set by handle_mm_fault() before a case is chosen. */
	struct pt_slot slot;
	pte_t orig; /* the entry as it was; re-checked under the table lock */
	/* The provider's: out of fault(), in for page_mkwrite(). */
	struct page *page;
};

/*
 * handle_mm_fault: make ADDRESS of VMA accessible as FLAGS say, or tell why
 * not; VM_FAULT_UFFD_*: see userfault_begin() (userfaultfd.h). The caller has
 * checked the VMA's permissions. Mmap lock held in any
 * mode, and still held on return; or, with FAULT_FLAG_CLAIM, a claim on VMA,
 * which then has an anon_vma if the access is a write. May sleep.
 */
vm_fault_t handle_mm_fault(struct vm_area_struct *vma, uva_t address,
			   u32 flags);

/* fresh_entry: of PAGE, new and VMA's. */
static inline pte_t fresh_entry(const struct vm_area_struct *vma,
				const struct page *page)
{
	pte_t e = pte_make(page_to_pfn(page), vma->vm_page_prot);

	if (vma->vm_flags & VM_WRITE)
		e = pte_mkwrite(e);
	return pte_mkyoung(pte_mkdirty(e));
}

/* The cases: one file each. Called with the table unlocked. */
vm_fault_t do_anonymous_page(struct vm_fault *vmf); /* fault_anon.c */
vm_fault_t do_fault(struct vm_fault *vmf);	    /* fault_file.c */
vm_fault_t do_wp_page(struct vm_fault *vmf);	    /* fault_cow.c */
vm_fault_t do_swap_page(struct vm_fault *vmf);	    /* fault_swap.c */
/*
 * swap_fault_finish: PAGE, locked, with a reference, takes the place of the
 * swap entry VMF->orig, if both are still what they were. 0; OOM; SIGBUS (it
 * could not be read: it has left the swap cache, and may be read again; or the
 * space is being reaped); HWPOISON (its frame is lost). (fault_swap.c)
 */
vm_fault_t swap_fault_finish(struct vm_fault *vmf, struct page *page);
/* fault_shared.c. _wp_: PAGE, of a file, carries a reference, dropped. */
vm_fault_t do_shared_fault(struct vm_fault *vmf);
vm_fault_t do_wp_shared(struct vm_fault *vmf, struct page *page);

/*
 * fault_get_page: ask the provider: vmf->page, locked, with a reference, unless
 * the result has an error or NOPAGE. fault_put_page: both given back.
 * fault_map_page: it gets its entry (WRITE: writable, dirty) and the entry a
 * reference; 0, NOPAGE (somebody was faster), SIGBUS. (fault_file.c)
 */
vm_fault_t fault_get_page(struct vm_fault *vmf);
void fault_put_page(struct vm_fault *vmf);
vm_fault_t fault_map_page(struct vm_fault *vmf, bool write);

/* set_file_entry: SLOT, none, of vmf's table, locked, maps PAGE, locked, of a
 * file, whose reference goes to it. _uncounted: the caller counts it, with
 * others, before the table is unlocked. */
void set_file_entry(struct vm_fault *vmf, const struct pt_slot *slot,
		    struct page *page, bool write, bool young);
void set_file_entry_uncounted(struct vm_fault *vmf, const struct pt_slot *slot,
			      struct page *page, bool write, bool young);

/* The page cache as a provider (filemap_fault.c). */
vm_fault_t filemap_fault(struct vm_fault *vmf);
vm_fault_t filemap_map_pages(struct vm_fault *vmf, u64 start, u64 end);
vm_fault_t filemap_page_mkwrite(struct vm_fault *vmf);
extern const struct vm_operations_struct generic_file_vm_ops;

/*
 * map_fresh_pages: the NR PAGES, complete and nobody else's, at ADDR of VMA,
 * whose entries are SLOT's on, as far as those are none. Table locked. Returns
 * how many were mapped (fault_anon.c).
 */
u32 map_fresh_pages(struct vm_area_struct *vma, struct pt_slot slot, uva_t addr,
		    struct page **pages, u32 nr);

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

/*
 * pte_keep_watch: E takes the place of OLD, a marker or none: if writes are
 * watched there, they are from the first on.
 */
static inline pte_t pte_keep_watch(pte_t e, pte_t old)
{
	if (likely(pte_none(old)) || !(pte_marker(old) & PTE_MARKER_UFFD_WP))
		return e;
	return pte_wrprotect(pte_mkuffd_wp(e));
}
/* What must not change under a claim. */
struct vma_view {
	uva_t start, end;
	u64 pgoff, flags;
	pgprot_t prot;
	const struct anon_vma *anon_vma; /* once it is there */
	const struct userfaultfd_ctx *uffd;
};

/* A fault's hold on its mapping: see vma_lock.c. */
struct vma_claim {
	struct mm_struct *mm;
	uintptr_t *slot;
	struct vma_view seen; /* when it began; debug builds */
};

/*
 * vma_claim: the mapping of TASK's space that holds VA, which nobody changes
 * until vma_claim_end(), or NULL: there is none, or it is being changed, or
 * too many faults are under way: then take the mmap lock. TASK runs here. Does
 * not sleep; a claim may be held over a sleep, but not over waiting for an mmap
 * lock.
 */
struct vm_area_struct *vma_claim(struct mm_task *task, uva_t va,
				 struct vma_claim *claim);
void vma_claim_end(struct vma_claim *claim);

/* wp_page_reuse: PAGE is ours alone: make the entry writable. Table locked. */
void wp_page_reuse(struct vm_fault *vmf);

/*
 * populate_anonymous: what write faults at ADDR and the pages after it would
 * do, in VMA, anonymous and writable, END at most: as many as come in one go.
 * 0: what is there, or how things are, wants a fault. The caller counts them
 * as faults. Mmap lock held in any mode. May sleep. (fault_anon.c)
 */
u32 populate_anonymous(struct vm_area_struct *vma, uva_t addr, uva_t end);

/* fault_account: count a fault that TASK had, and its kind. (fault.c) */
void fault_account(struct mm_task *task, vm_fault_t result);

/* page_make_exclusive: nothing but this one entry (and a swap cache that can
 * go) refers to PAGE, locked; then the swap cache has let it go. */
bool page_make_exclusive(struct page *page);

/*
 * swapin_vma: ENTRY, which VMF's address needs, comes in, and some pages beside
 * that address: its page with a reference, locked by the read until it
 * completes. NULL: no memory, or the slot was freed meanwhile. May sleep. GFP
 * as for the page.
 */
struct page *swapin_vma(const struct vm_fault *vmf, swp_entry_t entry,
			gfp_t gfp);

#endif
