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
 *      a hint       any      noted; the page may move          numa_hint.c
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
#include "memcg/memcg.h"
#include "phys/lru.h"
#include "phys/phys.h"
#include "phys/vmstat.h"
#include "space/huge.h"
#include "space/numa_hint.h"
#include "space/rmap.h"
#include "space/userfaultfd.h"

/* The entry is there already: perhaps only its A and D bits are not. */
static vm_fault_t fault_spurious(struct vm_fault *vmf)
{
	pte_t e;

	/* The CPU marks the large entry by itself. */
	if (unlikely(pt_promoted(vmf->slot.table)))
		return 0;
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

/* VMF, but for its slot and what comes of that. What is not set here or there
 * is set by who needs it: see struct vm_fault. */
static inline void fault_init(struct vm_fault *vmf, struct vm_area_struct *vma,
			      uva_t address, u32 flags)
{
	mm_assert(vma_contains(vma, address));
	vmf->vma = vma;
	vmf->address = PAGE_ALIGN_DOWN(address);
	vmf->flags = flags;
	vmf->pgoff = linear_page_index(vma, address);
	vmf->page = NULL;
}

/* The case for the entry that VMF's slot holds. */
static inline vm_fault_t fault_by_entry(struct vm_fault *vmf)
{
	vmf->orig = pt_get(&vmf->slot);
	if (pte_none(vmf->orig))
		return vma_is_anonymous(vmf->vma) ? do_anonymous_page(vmf)
						  : do_fault(vmf);
	if (!pte_present(vmf->orig))
		return pte_marker(vmf->orig) ? do_no_page(vmf)
					     : do_swap_page(vmf);
	if (unlikely(!pte_valid(vmf->orig)) &&
	    (vmf->vma->vm_flags & VM_ACCESS_FLAGS))
		return do_numa_page(vmf);
	if ((vmf->flags & (FAULT_FLAG_WRITE | FAULT_FLAG_UNSHARE)) &&
	    !pte_write(vmf->orig))
		return do_wp_page(vmf);
	return fault_spurious(vmf);
}

vm_fault_t handle_mm_fault(struct vm_area_struct *vma, uva_t address, u32 flags)
{
	struct vm_fault vmf;

	if (!(flags & FAULT_FLAG_CLAIM))
		rwsem_assert_held(&vma->vm_mm->mmap_lock);
	fault_init(&vmf, vma, address, flags);
	if (unlikely(thp_wanted(vma)) && thp_fault_slow(&vmf))
		return 0;
	if (unlikely(pt_alloc(&vma->vm_mm->pt, vmf.address, &vmf.slot)))
		return VM_FAULT_OOM;
	return fault_by_entry(&vmf);
}

/* The same for TASK, which has claimed VMA: the table may be that of its last
 * fault (VL-6). */
static inline vm_fault_t handle_claimed(struct mm_task *task,
					struct vm_area_struct *vma,
					uva_t address, u32 flags)
{
	struct pgtable *pt = &vma->vm_mm->pt;
	struct vm_fault vmf;

	fault_init(&vmf, vma, address, flags);
	if (unlikely(
		    !pt_leaf_slot(pt, &task->fault_leaf, address, &vmf.slot))) {
		if (unlikely(thp_wanted(vma)) && thp_fault_slow(&vmf))
			return 0;
		if (unlikely(pt_alloc(pt, vmf.address, &vmf.slot)))
			return VM_FAULT_OOM;
		pt_leaf_keep(&task->fault_leaf, &vmf.slot, address);
	}
	return fault_by_entry(&vmf);
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
	memcg_task_count(task, GROUP_PGFAULT, 1);
	if (unlikely(result & VM_FAULT_MAJOR)) {
		count_vm_event(PGMAJFAULT);
		memcg_task_count(task, GROUP_PGMAJFAULT, 1);
	}
	/* Who had to wait for a monitor had no minor fault. */
	if (result & (VM_FAULT_MAJOR | VM_FAULT_WAITED))
		WRITE_ONCE(task->maj_flt, task->maj_flt + 1);
	else
		WRITE_ONCE(task->min_flt, task->min_flt + 1);
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

_Static_assert(FAULT_FLAG_WRITE == PF_ERR_WRITE &&
		       FAULT_FLAG_INSTR == PF_ERR_INSTR,
	       "what the CPU reports is what the cases look at");

static inline u32 fault_flags(u32 error_code)
{
	return FAULT_FLAG_USER |
	       (error_code & (FAULT_FLAG_WRITE | FAULT_FLAG_INSTR));
}

/* What RESULT of the access to VMA says is still to be done. Mmap lock held, or
 * a claim. */
static void access_note(struct access *a, struct vm_area_struct *vma,
			vm_fault_t result)
{
	a->result = result;
	if (unlikely(result & VM_FAULT_UFFD))
		a->result = userfault_begin(&a->uf, vma, a->va,
					    fault_flags(a->error_code), result);
	if (a->result & VM_FAULT_DIRTIED)
		a->dirtied = get_file(vma->vm_file);
}

/* May the access be made to VMA, claimed? The first anonymous page of a mapping
 * needs its neighbours, which a claim does not hold. */
static inline bool claim_will_do(const struct vm_area_struct *vma,
				 u32 error_code)
{
	return access_allowed(vma, error_code) &&
	       (!(error_code & PF_ERR_WRITE) || READ_ONCE(vma->anon_vma) ||
		(vma->vm_flags & VM_SHARED));
}

/*
 * The common case, without the mmap lock: the mapping is there and allows the
 * access. False: not that case, nothing was done.
 */
static bool fault_claimed(struct access *a)
{
	struct vm_area_struct *vma;
	struct vma_claim claim;
	bool ours;

	vma = vma_claim(a->task, a->va, &claim);
	if (!vma)
		return false;
	ours = claim_will_do(vma, a->error_code);
	if (ours)
		access_note(a, vma,
			    handle_claimed(a->task, vma, a->va,
					   fault_flags(a->error_code) |
						   FAULT_FLAG_CLAIM));
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
		access_note(a, vma,
			    handle_mm_fault(vma, a->va,
					    fault_flags(a->error_code)));
	return 0;
}

/* With the mmap lock; grows a stack where that is what is needed. */
static void fault_locked(struct access *a)
{
	struct mm_struct *mm = a->task->mm;
	int err;

	do {
		mmap_read_lock(mm);
		err = fault_in_vma(a);
		mmap_read_unlock(mm);
	} while (err == -EAGAIN && !expand_stack(mm, a->va));
}

/* By whom: the error code's third bit is set for the program itself. */
#define ERROR_USER 4u

static MM_NOINLINE void trace_fault(const struct mm_task *task, uva_t va,
				    u32 error_code, vm_fault_t result)
{
	u64 mm = task->mm ? task->mm->serial : 0;

	if (error_code & ERROR_USER)
		trace_emit(PAGE_FAULT_USER, va, task->fault_ip, error_code, mm,
			   result);
	else
		trace_emit(PAGE_FAULT_KERNEL, va, 0, error_code, mm, result);
}

/* Is somebody listening? */
static inline bool faults_traced(void)
{
	return trace_enabled(TRACE_PAGE_FAULT_USER) ||
	       trace_enabled(TRACE_PAGE_FAULT_KERNEL);
}

/* The access has been tried; it is again as often as a monitor had to be
 * waited for. As mm_user_fault_info(). */
static int access_end(struct access *a, struct mm_siginfo *info)
{
	vm_fault_t waited = 0;

	while ((a->result & VM_FAULT_RETRY) && userfault_wait(&a->uf)) {
		waited = VM_FAULT_WAITED;
		if (!fault_claimed(a))
			fault_locked(a);
	}
	a->result |= waited;
	if (a->dirtied) {
		/* With no lock held: writers may have to wait long. */
		balance_dirty_pages_ratelimited(a->dirtied->f_mapping);
		fput(a->dirtied);
	}
	fault_account(a->task, a->result);
	if (a->task == port_current())
		memcg_return();
	if (faults_traced())
		trace_fault(a->task, a->va, a->error_code, a->result);
	return fault_signal(a, info);
}

/* Who cannot have a page there at all: no space, or no such part of it. */
static inline bool access_outside(const struct mm_task *task, uva_t va)
{
	return READ_ONCE(task->fatal_signal) || !task->mm ||
	       va >= task->mm->layout.task_size;
}

/* The access under the mmap lock; a claim would not do. */
static MM_NOINLINE int access_locked(struct mm_task *task, uva_t va,
				     u32 error_code, struct mm_siginfo *info)
{
	struct access a = {.task = task,
			   .va = va,
			   .error_code = error_code,
			   .result = VM_FAULT_SIGSEGV,
			   .segv_code = MM_SEGV_MAPERR};

	if (access_outside(task, va))
		return fault_signal(&a, info);
	fault_locked(&a);
	return access_end(&a, info);
}

/* The access to VMA, claimed by CLAIM, which is given up, is not all done. */
static MM_NOINLINE int access_more(const struct access *was,
				   struct vm_area_struct *vma,
				   struct vma_claim *claim,
				   struct mm_siginfo *info)
{
	struct access a = *was;

	access_note(&a, vma, a.result);
	vma_claim_end(claim);
	return access_end(&a, info);
}

/* A minor fault of TASK, which is in a group. */
static MM_NOINLINE void fault_grouped(struct mm_task *task)
{
	memcg_task_count(task, GROUP_PGFAULT, 1);
	if (task == port_current())
		memcg_return();
}

/*
 * The access that nothing stands in the way of is made here, and the rest by
 * functions of their own.
 */
int mm_user_fault_info(struct mm_task *task, uva_t va, u32 error_code,
		       struct mm_siginfo *info)
{
	struct vm_area_struct *vma;
	struct vma_claim claim;
	vm_fault_t result;

	if (unlikely(access_outside(task, va)))
		return access_locked(task, va, error_code, info);
	vma = vma_claim(task, va, &claim);
	if (unlikely(!vma))
		return access_locked(task, va, error_code, info);
	if (unlikely(!claim_will_do(vma, error_code))) {
		vma_claim_end(&claim);
		return access_locked(task, va, error_code, info);
	}
	result = handle_claimed(task, vma, va,
				fault_flags(error_code) | FAULT_FLAG_CLAIM);
	if (unlikely(result))
		return access_more(&(struct access){.task = task,
						    .va = va,
						    .error_code = error_code,
						    .result = result},
				   vma, &claim, info);
	vma_claim_end(&claim);
	vm_event_add(PGFAULT, 1);
	if (unlikely(task->group))
		fault_grouped(task);
	WRITE_ONCE(task->min_flt, task->min_flt + 1);
	if (faults_traced())
		trace_fault(task, va, error_code, 0);
	*info = (struct mm_siginfo){.addr = va};
	info->signo = READ_ONCE(task->fatal_signal);
	return info->signo;
}

int mm_user_fault(struct mm_task *task, uva_t va, u32 error_code)
{
	struct mm_siginfo info;

	return mm_user_fault_info(task, va, error_code, &info);
}
