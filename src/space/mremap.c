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

#include "space/gup.h"
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

/* One call's arguments, lengths in whole pages. */
struct mremap {
	uva_t addr, new;
	u64 old_len, new_len;
	bool dontunmap;
};

/* VMA, isolated, has room at NEW: carry it over. Its old place is left
 * mapped, empty. 0, or -ENOMEM with nothing changed. */
static int move_isolated(struct mm_struct *mm, struct vm_area_struct *vma,
			 const struct mremap *m)
{
	u64 old_pages = vma_pages(vma), pages = m->new_len >> PAGE_SHIFT;
	bool account = vma_accountable(vma->vm_flags);
	/* What moves was promised already, unless the old place stays. */
	u64 promised = m->dontunmap ? 0 : min(old_pages, pages);
	struct vm_area_struct *copy;

	if (account && vm_enough_memory(mm, pages - promised))
		return -ENOMEM;
	if (account)
		vm_account_again(promised);
	copy = copy_vma(mm, vma, vma->vm_start, m->new, m->new_len);
	if (!copy) {
		if (account)
			vm_unaccount(pages);
		return -ENOMEM;
	}
	if (move_page_tables(vma, vma->vm_start, m->new,
			     min(old_pages, pages) << PAGE_SHIFT)) {
		drop_copy(mm, copy);
		return -ENOMEM;
	}
	return 0;
}

/* MREMAP_DONTUNMAP: the old place stays, empty; locks went with the pages. */
static void keep_old_place(struct mm_struct *mm, struct vm_area_struct *vma)
{
	if (vma->vm_flags & VM_LOCKED)
		mm->locked_vm -= vma_pages(vma);
	WRITE_ONCE(vma->vm_flags, vma->vm_flags & ~VM_LOCKED_MASK);
	vma_join(mm, vma);
}

static s64 move_vma(struct mm_struct *mm, const struct mremap *m)
{
	uva_t end = m->addr + m->old_len;
	struct vm_area_struct *vma;

	if (mm->map_count + 3 > READ_ONCE(space_sys.max_map_count))
		return -ENOMEM;
	/* The old place must be unmappable without allocating anything. */
	if (vma_isolate_range(mm, m->addr, end))
		return -ENOMEM;
	vma = find_vma(mm, m->addr);
	if (move_isolated(mm, vma, m)) {
		vma_join(mm, vma);
		return -ENOMEM;
	}
	if (m->dontunmap)
		keep_old_place(mm, vma);
	else if (do_munmap_locked(mm, m->addr, m->old_len))
		mm_bug("mremap: the old range 0x%llx does not unmap",
		       (unsigned long long)m->addr);
	vma_join(mm, find_vma(mm, m->new));
	return (s64)m->new;
}

/* ---- growing in place
 * ------------------------------------------------------------------ */

static s64 grow_in_place(struct mm_struct *mm, struct vm_area_struct *vma,
			 const struct mremap *m)
{
	u64 grow = m->new_len - m->old_len, pages = grow >> PAGE_SHIFT;
	uva_t end = m->addr + m->old_len;

	if (vma->vm_end != end || end + grow > mm->layout.task_size ||
	    end + grow < end || !range_is_free(mm, end, end + grow))
		return -ENOMEM;
	if (vma_accountable(vma->vm_flags) && vm_enough_memory(mm, pages))
		return -ENOMEM;
	vma_resize(vma, vma->vm_start, end + grow, vma->vm_pgoff);
	vm_stat_account(mm, vma->vm_flags, (s64)pages);
	vma_join(mm, vma);
	return (s64)m->addr;
}

/* ---- the call
 * ------------------------------------------------------------------ */

/* The VMA that holds all of the old place and may get the new size. */
static int mremap_source(struct mm_struct *mm, const struct mremap *m,
			 struct vm_area_struct **out)
{
	struct vm_area_struct *vma = find_vma(mm, m->addr);
	u64 pages;

	if (!vma_contains(vma, m->addr))
		return -EFAULT;
	/* Length 0 asks for a second view: of shared mappings only. */
	if (!m->old_len)
		return -EINVAL;
	if (m->old_len > vma->vm_end - m->addr)
		return -EFAULT;
	*out = vma;
	pages = m->dontunmap ? m->old_len >> PAGE_SHIFT : 0;
	if (m->new_len > m->old_len) {
		pages = (m->new_len - m->old_len) >> PAGE_SHIFT;
		if (!mlock_may_grow(mm, vma->vm_flags, pages))
			return -EAGAIN;
	}
	return may_expand_vm(mm, vma->vm_flags, pages) ? 0 : -ENOMEM;
}

/* Does the old place, as far as it would be unmapped, lie in user space? */
static bool trim_ok(const struct mm_struct *mm, const struct mremap *m)
{
	u64 task_size = mm->layout.task_size;

	return m->old_len <= m->new_len ||
	       (m->old_len <= task_size && m->addr <= task_size - m->old_len);
}

/* The end of the old place that is too much goes: 0 or an errno. */
static int mremap_trim(struct mm_struct *mm, const struct mremap *m)
{
	mm_assert(m->old_len > m->new_len && trim_ok(mm, m));
	return do_munmap_locked(mm, m->addr + m->new_len,
				m->old_len - m->new_len);
}

static s64 mremap_to(struct mm_struct *mm, struct mremap *m, bool fixed)
{
	u64 task_size = mm->layout.task_size;
	struct mremap trimmed = *m;
	struct vm_area_struct *vma;
	int err;
	s64 at;

	if (!IS_ALIGNED(m->new, PAGE_SIZE) || m->new_len > task_size ||
	    m->new > task_size - m->new_len)
		return -EINVAL;
	if (m->addr + m->old_len > m->new && m->new + m->new_len > m->addr)
		return -EINVAL;
	trimmed.old_len = min(m->old_len, m->new_len);
	err = mremap_source(mm, &trimmed, &vma);
	if (!err && !trim_ok(mm, m))
		err = -EINVAL;
	if (!err && fixed && m->new < READ_ONCE(space_sys.mmap_min_addr))
		err = -EPERM;
	if (!err && fixed)
		err = do_munmap_locked(mm, m->new, m->new_len);
	if (!err && m->old_len > m->new_len)
		err = mremap_trim(mm, m);
	if (!err)
		err = mremap_source(mm, &trimmed, &vma);
	if (err)
		return err;
	if (!fixed) {
		at = get_unmapped_area(mm, m->new, m->new_len);
		if (at < 0)
			return at;
		trimmed.new = (uva_t)at;
	}
	return move_vma(mm, &trimmed);
}

static s64 mremap_locked(struct mm_struct *mm, struct mremap *m, int flags)
{
	struct vm_area_struct *vma;
	s64 ret;
	int err;

	if (m->new_len <= m->old_len) {
		if (!vma_contains(find_vma(mm, m->addr), m->addr))
			return -EFAULT;
		if (!trim_ok(mm, m))
			return -EINVAL;
		err = m->new_len < m->old_len ? mremap_trim(mm, m) : 0;
		return err ? err : (s64)m->addr;
	}
	err = mremap_source(mm, m, &vma);
	if (err)
		return err;
	ret = grow_in_place(mm, vma, m);
	if (ret >= 0 || !(flags & MREMAP_MAYMOVE))
		return ret;
	ret = get_unmapped_area(mm, 0, m->new_len);
	if (ret < 0)
		return ret;
	m->new = (uva_t)ret;
	return move_vma(mm, m);
}

static bool mremap_flags_ok(int flags, u64 old_len, u64 new_len)
{
	if (flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP))
		return false;
	if ((flags & MREMAP_DONTUNMAP) && old_len != new_len)
		return false;
	return (flags & MREMAP_MAYMOVE) ||
	       !(flags & (MREMAP_FIXED | MREMAP_DONTUNMAP));
}

s64 do_mremap(struct mm_struct *mm, uva_t addr, u64 old_len, u64 new_len,
	      int flags, uva_t new_addr)
{
	bool fixed = (flags & MREMAP_FIXED) != 0, populate = false;
	struct mremap m = {addr, new_addr, PAGE_ALIGN(old_len),
			   PAGE_ALIGN(new_len),
			   (flags & MREMAP_DONTUNMAP) != 0};
	s64 ret;

	if (!mremap_flags_ok(flags, old_len, new_len) ||
	    !IS_ALIGNED(addr, PAGE_SIZE) || !m.new_len)
		return -EINVAL;
	down_write(&mm->mmap_lock);
	if (fixed || m.dontunmap)
		ret = mremap_to(mm, &m, fixed);
	else
		ret = mremap_locked(mm, &m, flags);
	if (ret >= 0 && m.new_len > m.old_len)
		populate = find_vma(mm, (uva_t)ret)->vm_flags & VM_LOCKED;
	up_write(&mm->mmap_lock);
	if (populate)
		(void)mm_populate(mm, (uva_t)ret + m.old_len,
				  m.new_len - m.old_len, POPULATE_LIKELY);
	return ret;
}
