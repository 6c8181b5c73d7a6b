/* SPDX-License-Identifier: MIT */
/*
 * fault.c - page faults: the driver.
 *
 * 1. Purpose. A CPU could not use an address. Decide: is the access allowed
 *    (else a signal), what is missing, fetch it, repeat the access.
 *
 * 2. Cases, by what the page-table entry holds:
 *
 *      entry        access   what happens                      file
 *      ---------------------------------------------------------------------
 *      none         read     the shared zero page              fault_anon.c
 *      none         write    a fresh zeroed page               fault_anon.c
 *      none, file   read     the file's page and its neighbours fault_file.c
 *      none, file   write    private: a copy of it             fault_file.c
 *                            shared: it, dirty                 fault_shared.c
 *      present, ro  write    shared: made dirty, writable      fault_shared.c
 *      swap entry   any      read it back                      fault_swap.c
 *      present, ro  write    copy, or reuse if ours alone      fault_cow.c
 *      present      allowed  somebody was faster: nothing      here
 *      (no VMA, but a stack above)  the stack grows            stack.c
 *      none, registered     a userfaultfd's monitor is asked  userfaultfd.c
 *      uffd-wp      write   the same                          userfaultfd.c
 *      marker       any     as none, or the page is poisoned  here
 *
 * 3. Invariants.
 *    FT-1  A case changes the entry only if, under the table lock, it is still
 *          what the case was chosen for.
 *    FT-2  A page is complete (zeroed, copied, read) before its entry is set.
 *    FT-3  A fault that ends in an error has left entry and counters alone.
 *
 * 4. Locking. A claim on the VMA (vma_lock.c) from its look-up to the end or,
 *    where that is not enough, the mmap lock for reading; the table lock only
 *    around the last look and the change. Nothing is allocated and nobody
 *    waited for under the table lock.
 *
 * 5. Failure. No memory: the allocator has tried everything, the OOM killer
 *    included, so the access is simply repeated, unless the task is the one
 *    that was killed.
 *
 * References: Intel SDM vol. 3A 4.7 (error code); C. Cranor's UVM (1998) for
 * the staged fault.
 */
#include "space/fault.h"

#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>

#include "base/trace_ring.h"
#include "cache/filemap.h"
#include "phys/lru.h"
#include "phys/phys.h"
#include "phys/vmstat.h"
#include "space/rmap.h"
#include "space/userfaultfd.h"

/* The entry is there already: perhaps only its A and D bits are not. */
static vm_fault_t fault_spurious(struct vm_fault *vmf)
{
	pte_t e;

	if (!fault_lock_same(vmf))
		return 0;
	e = pte_mkyoung(vmf->orig);
	if (vmf->flags & FAULT_FLAG_WRITE)
		e = pte_mkdirty(e);
	/* Only bits are added: no CPU can hold something that is now wrong. */
	if (!pte_same(e, vmf->orig))
		pt_set(&vmf->slot, e);
	pt_unlock(&vmf->slot);
	return 0;
}

/* There is no page; perhaps a marker says something about it. */
static vm_fault_t do_no_page(struct vm_fault *vmf)
{
	if (pte_marker(vmf->orig) & PTE_MARKER_POISONED)
		return VM_FAULT_HWPOISON;
	return vma_is_anonymous(vmf->vma) ? do_anonymous_page(vmf)
					  : do_fault(vmf);
}

vm_fault_t handle_mm_fault(struct vm_area_struct *vma, uva_t address, u32 flags)
{
	/* What is not set here is set by who needs it: see struct vm_fault. */
	struct vm_fault vmf;

	if (!(flags & FAULT_FLAG_CLAIM))
		rwsem_assert_held(&vma->vm_mm->mmap_lock);
	mm_assert(vma_contains(vma, address));
	vmf.vma = vma;
	vmf.address = PAGE_ALIGN_DOWN(address);
	vmf.flags = flags;
	vmf.pgoff = linear_page_index(vma, address);
	vmf.page = NULL;
	if (unlikely(pt_alloc(&vma->vm_mm->pt, vmf.address, &vmf.slot)))
		return VM_FAULT_OOM;
	vmf.orig = pt_get(&vmf.slot);
	if (pte_none(vmf.orig))
		return vma_is_anonymous(vma) ? do_anonymous_page(&vmf)
					     : do_fault(&vmf);
	if (!pte_present(vmf.orig))
		return pte_marker(vmf.orig) ? do_no_page(&vmf)
					    : do_swap_page(&vmf);
	if ((flags & FAULT_FLAG_WRITE) && !pte_write(vmf.orig))
		return do_wp_page(&vmf);
	return fault_spurious(&vmf);
}

static bool access_allowed(const struct vm_area_struct *vma, u32 error_code)
{
	if (error_code & PF_ERR_WRITE)
		return (vma->vm_flags & VM_WRITE) != 0;
	if (error_code & PF_ERR_INSTR)
		return (vma->vm_flags & VM_EXEC) != 0;
	/* x86 cannot withhold reading from what may be written or run. */
	return (vma->vm_flags & VM_ACCESS_FLAGS) != 0;
}

void fault_account(struct mm_task *task, vm_fault_t result)
{
	if (result & VM_FAULT_ERROR)
		return;
	vm_event_add(PGFAULT, 1);
	if (unlikely(result & VM_FAULT_MAJOR))
		count_vm_event(PGMAJFAULT);
	/* Who had to wait for a monitor had no minor fault. */
	if (result & (VM_FAULT_MAJOR | VM_FAULT_WAITED))
		task->maj_flt++;
	else
		task->min_flt++;
}

/* An access that the CPU could not make. */
struct access {
	struct mm_task *task;
	uva_t va;
	u32 error_code; /* PF_ERR_* */
	vm_fault_t result;
	int segv_code; /* tells a hole from a mapping without the right */
	struct file *dirtied; /* held; NULL: none */
	struct uffd_fault uf;
};

/* Why the access ends: INFO, and its signal. 0: it is to be repeated. */
static int fault_signal(const struct access *a, struct mm_siginfo *info)
{
	*info = (struct mm_siginfo){.addr = a->va};
	info->signo = READ_ONCE(a->task->fatal_signal);
	if (info->signo)
		return info->signo;
	if (a->result & VM_FAULT_HWPOISON) {
		info->signo = MM_SIGBUS;
		info->code = MM_BUS_MCEERR_AR;
		info->addr_lsb = PAGE_SHIFT;
	} else if (a->result & VM_FAULT_SIGBUS) {
		info->signo = MM_SIGBUS;
		info->code = MM_BUS_ADRERR;
	} else if (a->result & VM_FAULT_SIGSEGV) {
		info->signo = MM_SIGSEGV;
		info->code = a->segv_code;
	}
	return info->signo;
}

static u32 fault_flags(u32 error_code)
{
	u32 flags = FAULT_FLAG_USER;

	if (error_code & PF_ERR_WRITE)
		flags |= FAULT_FLAG_WRITE;
	if (error_code & PF_ERR_INSTR)
		flags |= FAULT_FLAG_INSTR;
	return flags;
}

/* The right is there. Mmap lock held, or a claim (HOLD: FAULT_FLAG_CLAIM). */
static void access_vma(struct access *a, struct vm_area_struct *vma, u32 hold)
{
	u32 flags = fault_flags(a->error_code) | hold;

	a->result = handle_mm_fault(vma, a->va, flags);
	if (unlikely(a->result & VM_FAULT_UFFD))
		a->result =
			userfault_begin(&a->uf, vma, a->va, flags, a->result);
	if (a->result & VM_FAULT_DIRTIED)
		a->dirtied = get_file(vma->vm_file);
}

/*
 * The common case, without the mmap lock: the mapping is there and allows the
 * access. False: not that case, nothing was done. The first anonymous page of
 * a mapping needs its neighbours, which a claim does not hold.
 */
static bool fault_claimed(struct access *a)
{
	struct vm_area_struct *vma;
	struct vma_claim claim;
	bool ours;

	vma = vma_claim(a->task, a->va, &claim);
	if (!vma)
		return false;
	ours = access_allowed(vma, a->error_code) &&
	       (!(a->error_code & PF_ERR_WRITE) ||
		(vma->vm_flags & VM_SHARED) || READ_ONCE(vma->anon_vma));
	if (ours)
		access_vma(a, vma, FAULT_FLAG_CLAIM);
	vma_claim_end(&claim);
	return ours;
}

/* Mmap lock held for reading. -EAGAIN: a stack must grow first. */
static int fault_in_vma(struct access *a)
{
	struct vm_area_struct *vma = find_vma(a->task->mm, a->va);

	a->result = VM_FAULT_SIGSEGV;
	a->segv_code = MM_SEGV_MAPERR;
	if (!vma)
		return 0;
	if (a->va < vma->vm_start)
		return vma->vm_flags & VM_GROWSDOWN ? -EAGAIN : 0;
	a->segv_code = MM_SEGV_ACCERR;
	if (access_allowed(vma, a->error_code))
		access_vma(a, vma, 0);
	return 0;
}

/* With the mmap lock; grows a stack where that is what is needed. */
static void fault_locked(struct access *a)
{
	struct mm_struct *mm = a->task->mm;
	int err;

	do {
		down_read(&mm->mmap_lock);
		err = fault_in_vma(a);
		up_read(&mm->mmap_lock);
	} while (err == -EAGAIN && !expand_stack(mm, a->va));
}

/* Once, or as often as a monitor had to be waited for. */
static void access_fault(struct access *a)
{
	vm_fault_t waited = 0;

	for (;;) {
		if (!fault_claimed(a))
			fault_locked(a);
		if (likely(!(a->result & VM_FAULT_RETRY)))
			break;
		if (!userfault_wait(&a->uf))
			break;
		waited = VM_FAULT_WAITED;
	}
	a->result |= waited;
}

int mm_user_fault_info(struct mm_task *task, uva_t va, u32 error_code,
		       struct mm_siginfo *info)
{
	struct access a;

	a.task = task;
	a.va = va;
	a.error_code = error_code;
	a.result = VM_FAULT_SIGSEGV;
	a.segv_code = MM_SEGV_MAPERR;
	a.dirtied = NULL;
	if (READ_ONCE(task->fatal_signal) || !task->mm ||
	    va >= task->mm->layout.task_size)
		return fault_signal(&a, info);
	access_fault(&a);
	if (a.dirtied) {
		/* With no lock held: writers may have to wait long. */
		balance_dirty_pages_ratelimited(a.dirtied->f_mapping);
		fput(a.dirtied);
	}
	fault_account(task, a.result);
	trace_emit(PAGE_FAULT_USER, va, 0, error_code, a.result);
	return fault_signal(&a, info);
}

int mm_user_fault(struct mm_task *task, uva_t va, u32 error_code)
{
	struct mm_siginfo info;

	return mm_user_fault_info(task, va, error_code, &info);
}
