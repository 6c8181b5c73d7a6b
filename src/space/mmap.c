/* SPDX-License-Identifier: MIT */
/*
 * mmap.c - mmap, munmap, brk.
 *
 * Each call validates and allocates first and then commits: after a failure
 * the address space is as before, except that mmap with MAP_FIXED has already
 * removed what was in the way when a later step fails, as mmap(2) allows.
 *
 * References: mmap(2), brk(2).
 */
#include <mmkit/mman.h>

#include <mmkit/errno.h>

#include "space/gup.h"
#include "space/ksm.h"
#include "space/rmap.h"
#include "space/space.h"
#include "space/uffd_event.h"

/* ---- access bits
 * ------------------------------------------------------------------ */

u64 prot_to_vm_flags(int prot)
{
	u64 f = 0;

	if (prot & PROT_READ)
		f |= VM_READ;
	if (prot & PROT_WRITE)
		f |= VM_WRITE;
	if (prot & PROT_EXEC)
		f |= VM_EXEC;
	return f;
}

pgprot_t vm_get_page_prot(u64 vm_flags)
{
	u64 bits = X86_PTE_P | X86_PTE_US;

	if (!(vm_flags & VM_ACCESS_FLAGS))
		return (pgprot_t){X86_PTE_PROTNONE | X86_PTE_NX};
	if (vm_flags & VM_WRITE)
		bits |= X86_PTE_RW;
	if (!(vm_flags & VM_EXEC))
		bits |= X86_PTE_NX;
	return (pgprot_t){bits};
}

/* ---- munmap
 * -------------------------------------------------------------------------- */

static void unmap_one_vma(struct mm_struct *mm, struct vm_area_struct *vma)
{
	if (vma_accountable(vma->vm_flags))
		vm_unaccount(vma_pages(vma));
	vm_stat_account(mm, vma->vm_flags, -(s64)vma_pages(vma));
	vma_unlink(mm, vma);
	vma_close(vma);
	vma_retire(vma);
}

/*
 * Remove whole VMAs in [START, END). Pages first; then the reverse map lets
 * go of the VMAs, so that no walk can enter the tables; then the tables.
 */
static void unmap_region(struct mm_struct *mm, uva_t start, uva_t end)
{
	struct vm_area_struct *first = find_vma(mm, start), *vma, *next;
	struct vm_area_struct *prev = first ? vma_prev(first) : NULL;
	struct pt_free_range range = {start, end, 0, 0, tlb_remove_table, NULL};
	struct mmu_gather tlb;

	if (!first || first->vm_start >= end)
		return;
	vma_start_write_range(first, end);
	mm_gather_init(&tlb, mm);
	for (vma = first; vma && vma->vm_start < end; vma = vma_next(vma)) {
		vma_assert_changing(vma);
		zap_range(&tlb, vma, vma->vm_start, vma->vm_end);
	}
	range.floor = prev ? prev->vm_end : 0;
	range.ceiling = vma ? vma->vm_start : 0;
	for (vma = first; vma && vma->vm_start < end; vma = next) {
		next = vma_next(vma);
		unlink_anon_vmas(vma);
		vma_file_unlink(vma);
		unmap_one_vma(mm, vma);
	}
	range.arg = &tlb;
	pgtable_free_range(&mm->pt, &range);
	tlb_finish(&tlb);
}

int do_munmap_locked(struct mm_struct *mm, uva_t start, u64 len)
{
	uva_t end = start + len;
	int err;

	rwsem_assert_held_write(&mm->mmap_lock);
	err = uffd_unmap_prepare(mm, start, end);
	if (err)
		return err;
	err = vma_isolate_range(mm, start, end);
	if (err)
		uffd_unmap_cancel(mm, start, end);
	else
		unmap_region(mm, start, end);
	return err;
}

void do_munmap_isolated(struct mm_struct *mm, uva_t start, u64 len)
{
	rwsem_assert_held_write(&mm->mmap_lock);
	unmap_region(mm, start, start + len);
}

static bool range_ok(const struct mm_struct *mm, uva_t addr, u64 len)
{
	u64 task_size = mm->layout.task_size;

	return len && IS_ALIGNED(addr, PAGE_SIZE) && len <= task_size &&
	       addr <= task_size - len;
}

int do_munmap(struct mm_struct *mm, uva_t addr, u64 len)
{
	int err;

	if (len > mm->layout.task_size || !range_ok(mm, addr, PAGE_ALIGN(len)))
		return -EINVAL;
	mmap_write_lock(mm);
	err = do_munmap_locked(mm, addr, PAGE_ALIGN(len));
	mmap_write_unlock_tell(mm);
	return err;
}

/* ---- mmap
 * ----------------------------------------------------------------------------
 */

static int mmap_check_args(const struct mm_mmap *r)
{
	if (!(r->flags & MAP_ANONYMOUS) && !r->file)
		return -EBADF;
	return r->len == 0 ? -EINVAL : 0;
}

/* Without a file; shared memory has a file of its own in the end. */
static int mmap_anon_flags(const struct mm_mmap *r, u64 *vm_flags)
{
	int type = r->flags & MAP_TYPE;

	if (type != MAP_SHARED && type != MAP_PRIVATE)
		return -EINVAL;
	if (type == MAP_PRIVATE)
		return 0;
	if (*vm_flags & VM_GROWSDOWN)
		return -EINVAL;
	*vm_flags |= VM_SHARED | VM_MAYSHARE;
	return 0;
}

/* Mapped pages of [START, END). */
static u64 mapped_pages(struct mm_struct *mm, uva_t start, uva_t end)
{
	struct vm_area_struct *vma;
	u64 pages = 0;

	for (vma = find_vma(mm, start); vma && vma->vm_start < end;
	     vma = vma_next(vma))
		pages += (min(vma->vm_end, end) - max(vma->vm_start, start)) >>
			 PAGE_SHIFT;
	return pages;
}

/* Where the mapping goes: an address, or a negative errno. */
static s64 mmap_place(struct mm_struct *mm, const struct mm_mmap *r)
{
	const struct file_operations *f_op = r->file ? r->file->f_op : NULL;
	bool anon = !r->file && (r->flags & MAP_TYPE) == MAP_PRIVATE;
	uva_t addr = r->addr;
	u64 len = r->len;
	int flags = r->flags;

	if (!(flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)))
		return f_op && f_op->get_unmapped_area
			       ? f_op->get_unmapped_area(r->file, addr, len,
							 r->pgoff, (u32)flags)
		       : flags & MAP_32BIT
			       ? get_unmapped_area_low(mm, addr, len, anon)
			       : get_unmapped_area(mm, addr, len, anon);
	if (addr > mm->layout.task_size - len)
		return -ENOMEM;
	if (!IS_ALIGNED(addr, PAGE_SIZE))
		return -EINVAL;
	if (addr < READ_ONCE(space_sys.mmap_min_addr))
		return -EPERM;
	/* Who names the place may be as near to a stack as he likes. */
	if ((flags & MAP_FIXED_NOREPLACE) && mapped_pages(mm, addr, addr + len))
		return -EEXIST;
	return (s64)addr;
}

static u64 mmap_vm_flags(const struct mm_struct *mm, int prot, int flags)
{
	u64 f = prot_to_vm_flags(prot) | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC |
		mm->def_flags;

	if (flags & MAP_LOCKED)
		f |= VM_LOCKED;
	if (flags & MAP_GROWSDOWN)
		f |= VM_GROWSDOWN;
	/* A thread's stack is rarely as long as a huge page. */
	if (flags & MAP_STACK)
		f |= VM_NOHUGEPAGE;
	if ((flags & MAP_NORESERVE) &&
	    READ_ONCE(space_sys.overcommit_memory) != 2)
		f |= VM_NORESERVE;
	return f;
}

/* A new VMA as W says, in the tree of its space. */
static int map_new_vma(struct mm_struct *mm, const struct vma_merge_want *w)
{
	struct vm_area_struct *vma;
	int err = 0;

	if (mm->map_count >= READ_ONCE(space_sys.max_map_count))
		return -ENOMEM;
	vma = vma_new(mm, w->start, w->end, w->vm_flags);
	if (!vma)
		return -ENOMEM;
	vma->vm_pgoff = w->pgoff;
	if (w->file)
		err = mmap_file_attach(vma, w->file);
	else if (w->vm_flags & VM_SHARED)
		err = shmem_zero_setup(vma);
	if (err) {
		vma_free(vma);
		return err;
	}
	vma_link(mm, vma);
	vm_stat_account(mm, vma->vm_flags, (s64)vma_pages(vma));
	return 0;
}

/* The range is free and accounted: merge, or make a VMA. */
static int map_free_range(struct mm_struct *mm, const struct vma_merge_want *w)
{
	/* Each shared anonymous mapping is an object of its own. */
	bool single = w->single || (!w->file && (w->vm_flags & VM_SHARED));

	if (single || !vma_merge(mm, w))
		return map_new_vma(mm, w);
	vm_stat_account(mm, w->vm_flags,
			(s64)((w->end - w->start) >> PAGE_SHIFT));
	return 0;
}

/* The limits of size; what MAP_FIXED replaces is room. */
static int mmap_limits(struct mm_struct *mm, uva_t at, u64 len, u64 vm_flags)
{
	u64 pages = len >> PAGE_SHIFT;

	if (may_expand_vm(mm, vm_flags, pages))
		return 0;
	pages -= mapped_pages(mm, at, at + len);
	return may_expand_vm(mm, vm_flags, pages) ? 0 : -ENOMEM;
}

/* Account, unmap what is there if REPLACE, map. Limits are kept before
 * anything changes. */
static int map_range(struct mm_struct *mm, struct vma_merge_want *w,
		     bool replace)
{
	u64 len = w->end - w->start, pages = 0;
	int err = 0;

	/* Promised memory: private, and to be written. */
	if ((w->vm_flags & (VM_WRITE | VM_NORESERVE | VM_SHARED)) == VM_WRITE) {
		w->vm_flags |= VM_ACCOUNT;
		pages = len >> PAGE_SHIFT;
	}
	w->vm_flags = ksm_vma_flags(mm, w->vm_flags | VM_SOFTDIRTY);
	if (pages && vm_enough_memory(mm, pages))
		return -ENOMEM;
	if (replace)
		err = do_munmap_locked(mm, w->start, len);
	if (!err)
		err = map_free_range(mm, w);
	if (err && pages)
		vm_unaccount(pages);
	return err;
}

/* Mmap lock held for writing. */
static s64 mmap_locked(struct mm_struct *mm, const struct mm_mmap *r)
{
	struct vma_merge_want want = {
		.vm_flags = mmap_vm_flags(mm, r->prot, r->flags),
		.file = r->file,
	};
	s64 at = mmap_place(mm, r);
	int err;

	if (at < 0)
		return at;
	if (r->flags & MAP_HUGETLB)
		return -EINVAL;
	if ((r->flags & MAP_LOCKED) && !can_do_mlock(mm))
		return -EPERM;
	if (!mlock_may_grow(mm, want.vm_flags, r->len >> PAGE_SHIFT))
		return -EAGAIN;
	err = r->file ? mmap_file_flags(r, &want.vm_flags)
		      : mmap_anon_flags(r, &want.vm_flags);
	if (!err)
		err = mmap_limits(mm, (uva_t)at, r->len, want.vm_flags);
	if (err)
		return err;
	want.start = (uva_t)at;
	want.end = (uva_t)at + r->len;
	if (r->file)
		want.pgoff = r->pgoff;
	else if (!(want.vm_flags & VM_SHARED))
		want.pgoff = want.start >> PAGE_SHIFT;
	err = map_range(mm, &want, (r->flags & MAP_FIXED) != 0);
	return err ? err : at;
}

/* Is the new mapping to be faulted in at once? (M) held. */
static bool mmap_populates(const struct mm_struct *mm, int flags)
{
	return (flags & MAP_LOCKED) || (mm->def_flags & VM_LOCKED) ||
	       (flags & (MAP_POPULATE | MAP_NONBLOCK)) == MAP_POPULATE;
}

s64 do_mmap_file(struct mm_struct *mm, const struct mm_mmap *req)
{
	struct mm_mmap r = *req;
	int err = mmap_check_args(&r);
	bool populate;
	s64 at;

	if (err)
		return err;
	if (r.flags & MAP_ANONYMOUS)
		r.file = NULL;
	r.len = PAGE_ALIGN(r.len);
	if (r.len == 0 || r.len > mm->layout.task_size)
		return -ENOMEM;
	if (r.pgoff + (r.len >> PAGE_SHIFT) < r.pgoff)
		return -EOVERFLOW;
	mmap_write_lock(mm);
	at = mmap_locked(mm, &r);
	populate = at >= 0 && mmap_populates(mm, r.flags);
	mmap_write_unlock_tell(mm);
	/* That it fails is the first touch's matter. */
	if (populate)
		(void)mm_populate(mm, (uva_t)at, r.len, POPULATE_LIKELY);
	return at;
}

s64 do_mmap(struct mm_struct *mm, uva_t addr, u64 len, int prot, int flags)
{
	const struct mm_mmap r = {
		.addr = addr, .len = len, .prot = prot, .flags = flags};

	return do_mmap_file(mm, &r);
}

/* ---- brk
 * --------------------------------------------------------------------------------
 */

static bool brk_grow(struct mm_struct *mm, uva_t from, uva_t to)
{
	u64 flags = mmap_vm_flags(mm, PROT_READ | PROT_WRITE, 0);
	struct vma_merge_want want = {.start = from,
				      .end = to,
				      .vm_flags = flags,
				      .pgoff = from >> PAGE_SHIFT,
				      .single = from <= mm->start_brk};
	u64 pages = (to - from) >> PAGE_SHIFT;

	/* A page stays free between the heap and what follows. */
	if (!range_is_free(mm, from, to + PAGE_SIZE) ||
	    !may_expand_vm(mm, flags, pages) ||
	    !mlock_may_grow(mm, flags, pages))
		return false;
	return map_range(mm, &want, false) == 0;
}

/* What the program has unmapped itself already is no longer ours to free. */
static bool brk_shrink(struct mm_struct *mm, uva_t from, uva_t to)
{
	struct vm_area_struct *vma = find_vma(mm, to);

	return vma && vma->vm_start < from &&
	       do_munmap_locked(mm, to, from - to) == 0;
}

uva_t do_brk(struct mm_struct *mm, uva_t brk)
{
	bool ok = true, populate;
	uva_t from, to;

	mmap_write_lock(mm);
	from = PAGE_ALIGN(mm->brk);
	to = PAGE_ALIGN(brk);
	if (brk < mm->start_brk || brk > mm->layout.task_size ||
	    brk - mm->start_brk + mm_data_bytes(mm) > mm->rlimit_data)
		ok = false;
	else if (to > from)
		ok = brk_grow(mm, from, to);
	else if (to < from)
		ok = brk_shrink(mm, from, to);
	if (ok)
		WRITE_ONCE(mm->brk, brk);
	brk = mm->brk;
	populate = ok && to > from && (mm->def_flags & VM_LOCKED);
	mmap_write_unlock_tell(mm);
	if (populate)
		(void)mm_populate(mm, from, to - from, POPULATE_LIKELY);
	return brk;
}

int mm_set_start_brk(struct mm_struct *mm, uva_t start)
{
	int err = 0;

	mmap_write_lock(mm);
	if (start >= mm->layout.task_size)
		err = -EINVAL;
	else if (mm->brk != mm->start_brk)
		err = -EBUSY;
	else
		mm->start_brk = mm->brk = start;
	mmap_write_unlock(mm);
	return err;
}
