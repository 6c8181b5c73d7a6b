/* SPDX-License-Identifier: MIT */
/*
 * mremap.c - grow, shrink or move a mapping.
 *
 * Growing in place is a merge with the free range behind; moving makes a VMA
 * at the new place with the same page numbers (so reverse mapping still finds
 * the pages), carries the entries over, and unmaps the old place. While
 * entries are on the way the anon_vma lock keeps reverse-mapping walks out: a
 * page must not be found at neither place.
 *
 * Reference: mremap(2).
 */
#include <mmkit/errno.h>
#include <mmkit/mman.h>

#include "space/rmap.h"
#include "space/space.h"

/* ---- carrying entries over
 * ------------------------------------------------------ */

/* Move one entry. Both tables exist; they may be the same one. */
static void move_entry(struct pt_slot *from, struct pt_slot *to)
{
	bool same = from->table == to->table;
	pte_t e;

	pt_lock(from);
	if (!same)
		pt_lock_nested(to);
	e = pt_xchg(from, (pte_t){0});
	mm_verify(pte_none(pt_get(to)));
	/* What came to a new place is news for who tracks changes. */
	pt_set(to,
	       pte_present(e) ? pte_mksoft_dirty(e) : pte_swp_mksoft_dirty(e));
	if (!same)
		pt_unlock(to);
	pt_unlock(from);
}

/*
 * Make the tables that the entries of [OLD, OLD + LEN) need at NEW. Before
 * the anon_vma lock is taken: an allocation may reclaim, and reclaim takes
 * anon_vma locks. Under the mmap lock an entry that is none stays none.
 */
static int prepare_tables(struct mm_struct *mm, uva_t old, uva_t new, u64 len)
{
	uva_t addr = old, end = old + len;
	struct pt_slot from, to;

	while (addr < end) {
		if (!pt_lookup(&mm->pt, addr, &from)) {
			addr = pt_skip(&mm->pt, addr, end);
			continue;
		}
		if (!pte_none(pt_get(&from)) &&
		    pt_alloc(&mm->pt, new + (addr - old), &to))
			return -ENOMEM;
		addr += PAGE_SIZE;
	}
	return 0;
}

static void move_entries(struct mm_struct *mm, uva_t old, uva_t new, u64 len)
{
	uva_t addr = old, end = old + len;
	struct pt_slot from, to;

	while (addr < end) {
		if (!pt_lookup(&mm->pt, addr, &from)) {
			addr = pt_skip(&mm->pt, addr, end);
			continue;
		}
		if (!pte_none(pt_get(&from))) {
			if (!pt_lookup(&mm->pt, new + (addr - old), &to))
				mm_bug("mremap: no table at 0x%llx",
				       (unsigned long long)(new + addr - old));
			move_entry(&from, &to);
		}
		addr += PAGE_SIZE;
	}
}

/* All or nothing. */
static int move_page_tables(struct vm_area_struct *vma, uva_t old, uva_t new,
			    u64 len)
{
	struct mm_struct *mm = vma->vm_mm;
	struct anon_vma *av = vma->anon_vma;

	if (prepare_tables(mm, old, new, len))
		return -ENOMEM;
	if (av)
		down_write(&av->root->rwsem);
	move_entries(mm, old, new, len);
	port_tlb_flush(&mm->cpus, mm->asid, old, old + len);
	if (av)
		up_write(&av->root->rwsem);
	return 0;
}

/* ---- moving a mapping
 * -------------------------------------------------------------- */

/* A VMA at NEW with the pages and flags of [ADDR..] of VMA. NULL: no memory. */
static struct vm_area_struct *copy_vma(struct mm_struct *mm,
				       struct vm_area_struct *vma, uva_t addr,
				       uva_t new, u64 len)
{
	struct vm_area_struct *copy = vma_dup(vma);

	if (!copy)
		return NULL;
	copy->vm_start = new;
	copy->vm_end = new + len;
	copy->vm_pgoff = vma->vm_pgoff + ((addr - vma->vm_start) >> PAGE_SHIFT);
	/* Never faulted: the pages to come may be numbered by the new place. */
	if (!vma->anon_vma)
		copy->vm_pgoff = new >> PAGE_SHIFT;
	if (anon_vma_clone(copy, vma)) {
		vma_free(copy);
		return NULL;
	}
	if (vma->anon_vma)
		anon_vma_assign(copy, vma->anon_vma);
	vma_link(mm, copy);
	vm_stat_account(mm, copy->vm_flags, (s64)vma_pages(copy));
	return copy;
}

static void drop_copy(struct mm_struct *mm, struct vm_area_struct *copy)
{
	uva_t start = copy->vm_start;
	u64 len = copy->vm_end - start;
	int err = do_munmap_locked(mm, start, len);

	mm_verify(err == 0); /* whole VMA: nothing to split */
}

/* VMA, isolated, has room at NEW: carry it over. Its old place is left
 * mapped, empty. 0, or -ENOMEM with nothing changed. */
static int move_isolated(struct mm_struct *mm, struct vm_area_struct *vma,
			 u64 new_len, uva_t new)
{
	u64 old_len = vma->vm_end - vma->vm_start,
	    pages = new_len >> PAGE_SHIFT;
	bool account = vma_accountable(vma->vm_flags);
	struct vm_area_struct *copy;

	if (account && vm_enough_memory(pages))
		return -ENOMEM;
	copy = copy_vma(mm, vma, vma->vm_start, new, new_len);
	if (!copy) {
		if (account)
			vm_unaccount(pages);
		return -ENOMEM;
	}
	if (move_page_tables(vma, vma->vm_start, new, min(old_len, new_len))) {
		drop_copy(mm, copy);
		return -ENOMEM;
	}
	return 0;
}

static s64 move_vma(struct mm_struct *mm, struct vm_area_struct *vma,
		    uva_t addr, u64 old_len, u64 new_len, uva_t new)
{
	if (mm->map_count + 3 > READ_ONCE(space_sys.max_map_count) ||
	    !may_expand_vm(mm, vma->vm_flags, new_len >> PAGE_SHIFT))
		return -ENOMEM;
	/* The old place must be unmappable without allocating anything. */
	if (vma_isolate_range(mm, addr, addr + old_len))
		return -ENOMEM;
	vma = find_vma(mm, addr);
	if (move_isolated(mm, vma, new_len, new)) {
		vma_join(mm, vma);
		return -ENOMEM;
	}
	if (do_munmap_locked(mm, addr, old_len))
		mm_bug("mremap: the old range 0x%llx does not unmap",
		       (unsigned long long)addr);
	vma_join(mm, find_vma(mm, new));
	return (s64) new;
}

/* ---- growing in place
 * ------------------------------------------------------------------ */

static s64 grow_in_place(struct mm_struct *mm, struct vm_area_struct *vma,
			 uva_t addr, u64 old_len, u64 new_len)
{
	u64 grow = new_len - old_len, pages = grow >> PAGE_SHIFT;
	uva_t end = addr + old_len;

	if (vma->vm_end != end || end + grow > mm->layout.task_size ||
	    end + grow < end || !range_is_free(mm, end, end + grow) ||
	    !may_expand_vm(mm, vma->vm_flags, pages))
		return -ENOMEM;
	if (vma_accountable(vma->vm_flags) && vm_enough_memory(pages))
		return -ENOMEM;
	vma_resize(vma, vma->vm_start, end + grow, vma->vm_pgoff);
	vm_stat_account(mm, vma->vm_flags, (s64)pages);
	vma_join(mm, vma);
	return (s64)addr;
}

/* The VMA that holds all of [ADDR, ADDR + LEN), or an errno. */
static int mremap_source(struct mm_struct *mm, uva_t addr, u64 len,
			 struct vm_area_struct **out)
{
	struct vm_area_struct *vma = find_vma(mm, addr);

	if (!vma_contains(vma, addr) || len > vma->vm_end - addr)
		return -EFAULT;
	*out = vma;
	return 0;
}

static s64 mremap_to(struct mm_struct *mm, uva_t addr, u64 old_len, u64 new_len,
		     uva_t new)
{
	u64 task_size = mm->layout.task_size;
	struct vm_area_struct *vma;
	int err;

	if (!IS_ALIGNED(new, PAGE_SIZE) || new_len > task_size ||
	    new > task_size - new_len)
		return -EINVAL;
	if (addr + old_len > new &&new + new_len > addr)
		return -EINVAL;
	err = mremap_source(mm, addr, old_len, &vma);
	if (!err)
		err = do_munmap_locked(mm, new, new_len);
	if (!err)
		err = mremap_source(mm, addr, old_len, &vma);
	if (err)
		return err;
	return move_vma(mm, vma, addr, old_len, new_len, new);
}

static s64 mremap_locked(struct mm_struct *mm, uva_t addr, u64 old_len,
			 u64 new_len, int flags)
{
	struct vm_area_struct *vma;
	s64 ret, at;
	int err;

	if (new_len <= old_len) {
		err = mremap_source(mm, addr, min(old_len, new_len), &vma);
		if (!err && old_len > mm->layout.task_size - addr)
			err = -EINVAL;
		if (!err && new_len < old_len)
			err = do_munmap_locked(mm, addr + new_len,
					       old_len - new_len);
		return err ? err : (s64)addr;
	}
	err = mremap_source(mm, addr, old_len, &vma);
	if (err)
		return err;
	ret = grow_in_place(mm, vma, addr, old_len, new_len);
	if (ret >= 0 || !(flags & MREMAP_MAYMOVE))
		return ret;
	at = get_unmapped_area(mm, 0, new_len);
	if (at < 0)
		return at;
	return move_vma(mm, vma, addr, old_len, new_len, (uva_t)at);
}

s64 do_mremap(struct mm_struct *mm, uva_t addr, u64 old_len, u64 new_len,
	      int flags, uva_t new_addr)
{
	s64 ret;

	if (flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED))
		return -EINVAL;
	if ((flags & MREMAP_FIXED) && !(flags & MREMAP_MAYMOVE))
		return -EINVAL;
	old_len = PAGE_ALIGN(old_len);
	new_len = PAGE_ALIGN(new_len);
	/* old_len 0 duplicates shared mappings only; there are none yet. */
	if (!IS_ALIGNED(addr, PAGE_SIZE) || !new_len || !old_len)
		return -EINVAL;
	down_write(&mm->mmap_lock);
	if (flags & MREMAP_FIXED)
		ret = mremap_to(mm, addr, old_len, new_len, new_addr);
	else
		ret = mremap_locked(mm, addr, old_len, new_len, flags);
	up_write(&mm->mmap_lock);
	return ret;
}
