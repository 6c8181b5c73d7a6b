/* SPDX-License-Identifier: MIT */
/*
 * swapoff.c - a swap area goes: everything in it comes back into memory.
 *
 * 1. Way. The area gives out no slot more. Then, until no slot is taken: files
 *    in memory take back what is theirs; every address space is walked and
 *    each entry of the area is replaced by its page; slots that only
 *    the swap cache has are freed. What forks, exits, moves or is being written
 *    meanwhile may be missed by one round and is met by the next: there are
 *    only ever fewer entries, but for forks, whose children come at the end of
 *    the list that is walked. A space has a bit for each area of which it ever
 *    got an entry; who has not got this one's is left alone. Bits go when the
 *    area is empty, and nobody can put an entry of it anywhere.
 *
 * 2. Locks. The mmap lock of one space, shared, for a mapping's part at a time;
 *    no lock over the whole.
 *
 * 3. Memory. Frames are asked for without a kill (__GFP_RETRY_MAYFAIL): when
 *    none is to be had the area goes back into use, and pages may go to it
 *    again. Should others run out of memory meanwhile, the caller is killed
 *    first (PF_OOM_ORIGIN).
 *
 * 4. Lost pages. An entry whose slot cannot be read becomes a marker, one whose
 *    page in the swap cache has lost its frame (memory_failure.c) names that:
 *    SIGBUS for who touches it; forks inherit it. Other entries that are no
 *    slots, a userfaultfd's markers among them, stay what they are.
 *
 * 5. Rejected: faulting entries in by handle_mm_fault(): an entry that goes
 *    meanwhile would become a new page, or a question to a userfaultfd.
 *
 * References: swapoff(2), swapon(8); Linux documentation, admin-guide/mm.
 */
#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>

#include "cache/swap.h"
#include "space/fault.h"
#include "space/mempolicy.h"
#include "space/space.h"

/* Pages of one hold of the mmap lock. */
#define UNUSE_STEP (512UL << PAGE_SHIFT)

/* VMF's entry, if it still is that, becomes LOST. */
static void unuse_lose(struct vm_fault *vmf, swp_entry_t lost)
{
	if (!fault_lock_same(vmf))
		return;
	pt_set(&vmf->slot, swp_entry_to_pte(lost));
	mm_counter_add(vmf->vma->vm_mm, MM_SWAPENTS, -1);
	pt_unlock(&vmf->slot);
	free_swap_and_cache(pte_to_swp_entry(vmf->orig));
}

static bool entry_still(struct vm_fault *vmf)
{
	bool same = fault_lock_same(vmf);

	if (same)
		pt_unlock(&vmf->slot);
	return same;
}

/*
 * VMF's entry comes in; it may change under us. 0, -ENOMEM; -EIO, -EHWPOISON
 * (*LOST is what is to stand there).
 */
static int unuse_try(struct vm_fault *vmf, swp_entry_t *lost)
{
	struct mpol_place place;
	struct mempolicy *held;
	struct page *page;
	vm_fault_t ret;

	held = vma_place(vmf->vma, vmf->address, &place);
	page = swapin_readahead_place(pte_to_swp_entry(vmf->orig),
				      GFP_HIGHUSER_MOVABLE | __GFP_ACCOUNT |
					      __GFP_RETRY_MAYFAIL |
					      __GFP_NOWARN,
				      &place);
	mpol_put(held);
	if (!page)
		return entry_still(vmf) ? -ENOMEM : 0;
	lock_page(page);
	ret = swap_fault_finish(vmf, page);
	unlock_page(page);
	*lost = ret & VM_FAULT_HWPOISON
			? make_hwpoison_entry(page_to_pfn(page))
			: make_pte_marker_entry(PTE_MARKER_POISONED);
	put_page(page);
	if (ret & VM_FAULT_HWPOISON)
		return -EHWPOISON;
	if (ret & VM_FAULT_SIGBUS)
		return -EIO;
	return ret & VM_FAULT_OOM ? -ENOMEM : 0;
}

/* SLOT's entry E, at ADDR. 0, -ENOMEM. */
static int unuse_entry(struct vm_area_struct *vma, uva_t addr,
		       const struct pt_slot *slot, pte_t e)
{
	struct vm_fault vmf = {.vma = vma,
			       .address = addr,
			       .pgoff = linear_page_index(vma, addr),
			       .slot = *slot,
			       .orig = e};
	swp_entry_t lost;
	int err = unuse_try(&vmf, &lost);

	/* A read that failed may have been somebody's read-ahead. */
	if (err == -EIO)
		err = unuse_try(&vmf, &lost);
	if (err != -EIO && err != -EHWPOISON)
		return err;
	unuse_lose(&vmf, lost);
	return 0;
}

/* Entries of TYPE in [ADDR, END) of VMA; mmap lock held. */
static int unuse_range(struct vm_area_struct *vma, uva_t addr, uva_t end,
		       u32 type)
{
	struct pgtable *pt = &vma->vm_mm->pt;
	int err = 0;

	while (addr < end && !err) {
		struct pt_slot slot;
		pte_t e;

		if (!pt_lookup(pt, addr, &slot)) {
			addr = pt_skip(pt, addr, end);
			continue;
		}
		e = pt_get(&slot);
		if (pte_in_swap(e) && swp_type(pte_to_swp_entry(e)) == type) {
			err = unuse_entry(vma, addr, &slot, e);
			if (READ_ONCE(port_current()->fatal_signal))
				err = -EINTR;
		}
		addr += PAGE_SIZE;
	}
	return err;
}

static int unuse_mm(struct mm_struct *mm, u32 type)
{
	struct vm_area_struct *vma;
	uva_t at = 0;
	int err = 0;

	while (!err && mm_counter_get(mm, MM_SWAPENTS)) {
		uva_t end;

		mmap_read_lock(mm);
		vma = find_vma(mm, at);
		if (!vma) {
			mmap_read_unlock(mm);
			break;
		}
		at = max(at, vma->vm_start);
		end = min(vma->vm_end, at + UNUSE_STEP);
		err = unuse_range(vma, at, end, type);
		mmap_read_unlock(mm);
		at = end;
		port_sched_point();
	}
	return err;
}

static int unuse_spaces(u32 type)
{
	struct mm_struct *mm;
	int err = 0;

	for (mm = next_space(NULL); mm; mm = next_space(mm)) {
		if (!(READ_ONCE(mm->swap_areas) >> type & 1))
			continue;
		space_sys.swapoff_walks++;
		err = unuse_mm(mm, type);
		if (!err)
			continue;
		mm_put(mm);
		break;
	}
	return err;
}

/* No slot of TYPE is taken, and none can be: no space has an entry of it. */
static void forget_area(u32 type)
{
	struct mm_struct *mm;

	for (mm = next_space(NULL); mm; mm = next_space(mm))
		__atomic_fetch_and(&mm->swap_areas, ~(1u << type),
				   __ATOMIC_RELAXED);
}

/* Until nothing is in SI. Who is late (exiting, reading) gets time. */
static int unuse_all(struct swap_info *si)
{
	int err;

	for (;;) {
		err = shmem_unuse(si->type);
		if (!err)
			err = unuse_spaces(si->type);
		if (!swapoff_drop_cached(si))
			return 0;
		if (!err && READ_ONCE(port_current()->fatal_signal))
			err = -EINTR;
		if (err)
			return err;
		port_park(1000 * 1000);
	}
}

static int swapoff_area(struct port_bdev *bdev, struct inode *file)
{
	struct swap_info *si;
	int err;

	if (!mm_capable(MM_CAP_SYS_ADMIN))
		return -EPERM;
	si = swapoff_begin(bdev, file);
	if (!si)
		return -EINVAL;
	/* Its slots count no more: mode 2 looks at what is left. */
	err = vm_enough_memory(port_current()->mm, 0);
	if (!err) {
		port_current()->flags |= PF_OOM_ORIGIN;
		err = unuse_all(si);
		port_current()->flags &= ~PF_OOM_ORIGIN;
	}
	if (err) {
		swapoff_cancel(si);
		return err;
	}
	forget_area(si->type);
	swapoff_finish(si);
	return 0;
}

int swapoff(struct port_bdev *bdev)
{
	return swapoff_area(bdev, NULL);
}

int swapoff_file(struct inode *inode)
{
	return swapoff_area(NULL, inode);
}
