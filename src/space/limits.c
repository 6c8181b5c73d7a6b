/* SPDX-License-Identifier: MIT */
/*
 * limits.c - what an address space may grow to.
 *
 * 1. Purpose. Refuse at the call what could not be kept at the touch: the
 *    limits of getrlimit(2) for one process, the promise of memory for all.
 *
 * 2. Overcommit. Each page of private writable memory is a promise; their sum
 *    is Committed_AS.
 *      mode 0  refuse only what could never be: more than RAM and swap at once
 *      mode 1  never refuse
 *      mode 2  the sum stays below CommitLimit, less a reserve for who must
 *              repair things (admin_reserve_kbytes), less one for every
 *              process (user_reserve_kbytes, at most a 32nd of its size), so
 *              that no process can take the last of it
 *
 * 3. Invariants.
 *    LIM-1  Committed_AS = pages of all mappings that vma_accountable() names.
 *    LIM-2  total_vm, data_vm, stack_vm, exec_vm and locked_vm are the sums
 *           over the mappings; they change by vm_stat_account() alone.
 *
 * 4. Locking. Committed_AS is atomic; the sums are under the mmap lock.
 *
 * References: getrlimit(2), mlock(2); Linux documentation, mm/overcommit-
 * accounting and admin-guide/sysctl/vm.
 */
#include <mmkit/errno.h>

#include "cache/swap.h"
#include "phys/mmzone.h"
#include "phys/phys.h"
#include "phys/vmstat.h"
#include "space/space.h"

#define KB_TO_PAGES(kb)	 ((kb) >> (PAGE_SHIFT - 10))
#define USER_RESERVE_KB	 (128UL << 10)
#define ADMIN_RESERVE_KB (8UL << 10)

bool mm_capable(u32 cap)
{
	return (port_current()->caps & cap) != 0;
}

/* ---- promises ------------------------------------------------------------ */

bool vma_accountable(u64 vm_flags)
{
	return (vm_flags & VM_ACCOUNT) != 0;
}

void limits_init(void)
{
	struct space_state *s = &space_sys;
	u64 free_kb = global_zone_page_state(NR_FREE_PAGES)
		      << (PAGE_SHIFT - 10);

	s->overcommit_ratio = 50;
	s->overcommit_kbytes = 0;
	s->admin_reserve_kbytes = min(free_kb / 32, ADMIN_RESERVE_KB);
	s->user_reserve_kbytes = min(free_kb / 32, USER_RESERVE_KB);
}

u64 vm_commit_limit(void)
{
	u64 kbytes = READ_ONCE(space_sys.overcommit_kbytes);
	u64 ratio = READ_ONCE(space_sys.overcommit_ratio);
	u64 pages =
		kbytes ? KB_TO_PAGES(kbytes) : totalram_pages() * ratio / 100;

	return pages + READ_ONCE(cache_sys.total_swap_pages);
}

/* What mode 2 leaves a process of MM's size (NULL: the kernel itself), the
 * reserves taken off. */
static s64 commit_allowed(const struct mm_struct *mm)
{
	s64 allowed = (s64)vm_commit_limit();
	u64 reserve = KB_TO_PAGES(READ_ONCE(space_sys.user_reserve_kbytes));

	if (!mm_capable(MM_CAP_SYS_ADMIN))
		allowed -= (s64)KB_TO_PAGES(
			READ_ONCE(space_sys.admin_reserve_kbytes));
	return mm ? allowed - (s64)min(mm->total_vm / 32, reserve) : allowed;
}

int vm_enough_memory(const struct mm_struct *mm, u64 pages)
{
	u64 now = __atomic_add_fetch(&space_sys.committed, pages,
				     __ATOMIC_RELAXED);

	switch (READ_ONCE(space_sys.overcommit_memory)) {
	case 1:
		return 0;
	case 0:
		if (pages <=
		    totalram_pages() + READ_ONCE(cache_sys.total_swap_pages))
			return 0;
		break;
	default:
		if ((s64)now < commit_allowed(mm))
			return 0;
	}
	vm_unaccount(pages);
	return -ENOMEM;
}

void vm_account_again(u64 pages)
{
	__atomic_add_fetch(&space_sys.committed, pages, __ATOMIC_RELAXED);
}

void vm_unaccount(u64 pages)
{
	u64 old = __atomic_fetch_sub(&space_sys.committed, pages,
				     __ATOMIC_RELAXED);

	mm_verify(old >= pages);
}

/* ---- one process's limits -------------------------------------------------
 */

static bool is_data(u64 vm_flags)
{
	return (vm_flags & (VM_WRITE | VM_SHARED | VM_GROWSDOWN)) == VM_WRITE;
}

static bool is_code(u64 vm_flags)
{
	return (vm_flags & (VM_EXEC | VM_WRITE | VM_GROWSDOWN)) == VM_EXEC;
}

bool may_expand_vm(const struct mm_struct *mm, u64 vm_flags, u64 pages)
{
	if (mm->total_vm + pages > mm->rlimit_as >> PAGE_SHIFT)
		return false;
	return !is_data(vm_flags) ||
	       mm->data_vm + pages <= mm->rlimit_data >> PAGE_SHIFT;
}

void vm_stat_account(struct mm_struct *mm, u64 vm_flags, s64 pages)
{
	mm->total_vm += (u64)pages;
	mm->hiwater_vm = max(mm->hiwater_vm, mm->total_vm);
	if (is_data(vm_flags))
		mm->data_vm += (u64)pages;
	if (vm_flags & VM_GROWSDOWN)
		mm->stack_vm += (u64)pages;
	if (is_code(vm_flags))
		mm->exec_vm += (u64)pages;
	if (vm_flags & VM_LOCKED)
		mm->locked_vm += (u64)pages;
	mm_verify((s64)mm->total_vm >= 0 && (s64)mm->data_vm >= 0);
	mm_verify((s64)mm->locked_vm >= 0);
}

void vm_stat_check(struct mm_struct *mm)
{
	u64 total = 0, data = 0, stack = 0, code = 0, locked = 0;
	struct vm_area_struct *vma;

	for_each_vma (vma, mm) {
		u64 pages = vma_pages(vma), flags = vma->vm_flags;

		total += pages;
		data += is_data(flags) ? pages : 0;
		stack += flags & VM_GROWSDOWN ? pages : 0;
		code += is_code(flags) ? pages : 0;
		locked += flags & VM_LOCKED ? pages : 0;
	}
	mm_verify(total == mm->total_vm);
	mm_verify(data == mm->data_vm && stack == mm->stack_vm);
	mm_verify(code == mm->exec_vm);
	mm_verify(locked == mm->locked_vm);
}

bool can_do_mlock(const struct mm_struct *mm)
{
	return mm->rlimit_memlock != 0 || mm_capable(MM_CAP_IPC_LOCK);
}

bool mlock_may_grow(const struct mm_struct *mm, u64 vm_flags, u64 pages)
{
	if (!(vm_flags & VM_LOCKED) || mm_capable(MM_CAP_IPC_LOCK))
		return true;
	return mm->locked_vm + pages <= mm->rlimit_memlock >> PAGE_SHIFT;
}
