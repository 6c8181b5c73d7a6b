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

#include "base/trace_ring.h"
#include "pgtable/huge.h"
#include "space/gup.h"
#include "space/ksm.h"
#include "space/rmap.h"
#include "space/space.h"
#include "space/uffd_event.h"
#include "space/userfaultfd.h"

/* One call, or one mapping's part of it. Lengths are page aligned. */
struct remap {
	uva_t addr, new_addr;
	u64 old_len, new_len;
	int flags;
};

#define MREMAP_ELSEWHERE (MREMAP_FIXED | MREMAP_DONTUNMAP)

/* ---- carrying entries over
 * ------------------------------------------------------ */

/* How far from OLD on, to END at most, entries stand in one table at either
 * place. */
static uva_t chunk_end(const struct pgtable *pt, uva_t old, uva_t new,
		       uva_t end)
{
	u64 here = pt_table_end(pt, old, end) - old;
	u64 there = pt_table_end(pt, new, new + (end - old)) - new;

	return old + min(here, there);
}

/* E as it stands at its new place; WATCH: whose writes are watched as before.
 */
static inline pte_t moved_entry(pte_t e, bool watch)
{
	u32 kinds;

	/* What came to a new place is news for who tracks changes. */
	if (likely(pte_present(e)))
		return pte_mksoft_dirty(watch ? e : pte_clear_uffd_wp(e));
	kinds = pte_marker(e);
	if (!kinds)
		return pte_swp_mksoft_dirty(watch ? e
						  : pte_swp_clear_uffd_wp(e));
	kinds &= watch ? ~0u : ~PTE_MARKER_UFFD_WP;
	return kinds ? make_pte_marker(kinds) : (pte_t){0};
}

/* Move NR entries; both tables locked. NATIVE, a constant: pt_native(); WATCH
 * is one where that is true. */
static inline __attribute__((always_inline)) void
move_locked(struct pt_slot from, struct pt_slot to, u64 nr, bool watch,
	    bool native)
{
	for (; nr; nr--) {
		pte_t e = pt_get_as(&from, native);

		if (!pte_none(e)) {
			e = pt_xchg_as(&from, (pte_t){0}, native);
			mm_verify(pte_none(pt_get_as(&to, native)));
			pt_set_as(&to, moved_entry(e, watch), native);
		}
		pt_next_as(&from, native);
		pt_next_as(&to, native);
	}
}

/* NR entries from WAS on, which are of THERE from now on. */
struct chunk {
	uva_t was, there;
	u64 nr;
};

/* C is moved; TO is locked. */
static void tell_moved(const struct mm_struct *mm, struct pt_slot to,
		       const struct chunk *c)
{
	for (u64 i = 0; i < c->nr; i++, pt_next(&to)) {
		pte_t e = pt_get(&to);
		u64 pfn = pte_present(e) ? pte_pfn(e) : PAGE_REMAP_NO_FRAME;

		if (!pte_none(e))
			trace_emit(PAGE_REMAP, pfn, mm->serial,
				   c->was + i * PAGE_SIZE,
				   c->there + i * PAGE_SIZE);
	}
}

/* Move C. Both tables exist; they may be the same one. */
static void move_chunk(struct mm_struct *mm, struct pt_slot from,
		       struct pt_slot to, const struct chunk *c, bool watch)
{
	const u64 nr = c->nr;
	bool same = from.table == to.table, huge;

	if (nr == HPAGE_PMD_NR)
		pt_lock_read(&from);
	else
		pt_lock(&from);
	huge = pt_promoted(from.table);
	if (huge)
		pt_demote_whole(&from);
	if (!same)
		pt_lock_nested(&to);
	if (likely(pt_native(&from) && !watch))
		move_locked(from, to, nr, false, true);
	else if (pt_native(&from))
		move_locked(from, to, nr, true, true);
	else
		move_locked(from, to, nr, watch, false);
	if (unlikely(trace_enabled(TRACE_PAGE_REMAP)))
		tell_moved(mm, to, c);
	if (huge)
		(void)pt_promote(&mm->pt, &to, c->there);
	if (!same)
		pt_unlock(&to);
	pt_unlock(&from);
}

static bool chunk_empty(struct pt_slot slot, u64 nr)
{
	for (; nr; nr--, pt_next(&slot))
		if (!pte_none(pt_get(&slot)))
			return false;
	return true;
}

/*
 * Make the tables that the entries of [OLD, OLD + LEN) need at NEW. Before
 * the anon_vma lock is taken: an allocation may reclaim, and reclaim takes
 * anon_vma locks. Under the mmap lock an entry that is none stays none.
 */
static int prepare_tables(struct mm_struct *mm, uva_t old, uva_t new, u64 len)
{
	uva_t addr = old, end = old + len, next;
	struct pt_slot from, to;

	for (; addr < end; addr = next) {
		uva_t there = new + (addr - old);

		if (!pt_lookup(&mm->pt, addr, &from)) {
			next = pt_skip(&mm->pt, addr, end);
			continue;
		}
		next = chunk_end(&mm->pt, addr, there, end);
		if (!chunk_empty(from, (next - addr) >> PAGE_SHIFT) &&
		    pt_alloc(&mm->pt, there, &to))
			return -ENOMEM;
		/* Without it they go on as small entries: no harm done. */
		if (unlikely(pt_promoted(from.table)))
			(void)!pt_huge_prepare(&mm->pt, there);
	}
	return 0;
}

static void move_entries(struct mm_struct *mm, uva_t old, uva_t new, u64 len,
			 bool watch)
{
	uva_t addr = old, end = old + len, next;
	struct pt_slot from, to;

	for (; addr < end; addr = next) {
		uva_t there = new + (addr - old);
		struct chunk c;

		if (!pt_lookup(&mm->pt, addr, &from)) {
			next = pt_skip(&mm->pt, addr, end);
			continue;
		}
		next = chunk_end(&mm->pt, addr, there, end);
		c = (struct chunk){addr, there, (next - addr) >> PAGE_SHIFT};
		if (pt_lookup(&mm->pt, there, &to))
			move_chunk(mm, from, to, &c, watch);
		else if (!chunk_empty(from, c.nr))
			mm_bug("mremap: no table at 0x%llx",
			       (unsigned long long)there);
	}
}

/* From VMA at OLD to COPY at NEW. All or nothing. */
static int move_page_tables(struct vm_area_struct *vma,
			    const struct vm_area_struct *copy, uva_t old,
			    u64 len)
{
	uva_t new = copy->vm_start;
	struct mm_struct *mm = vma->vm_mm;
	struct address_space *mapping =
		vma->vm_file ? vma->vm_file->f_mapping : NULL;
	struct anon_vma *av = vma->anon_vma;

	if (!len)
		return 0;
	vma_start_write(vma);
	vma_assert_changing(vma);
	if (prepare_tables(mm, old, new, len))
		return -ENOMEM;
	if (mapping)
		down_write(&mapping->i_mmap_rwsem);
	if (av)
		down_write(&av->root->rwsem);
	move_entries(mm, old, new, len, userfaultfd_wp(copy));
	port_tlb_flush(&mm->cpus, mm->asid, old, old + len);
	if (av)
		up_write(&av->root->rwsem);
	if (mapping)
		up_write(&mapping->i_mmap_rwsem);
	return 0;
}

/* ---- moving a mapping
 * -------------------------------------------------------------- */

/* A VMA as R says with the pages and flags of [R->addr..] of VMA. NULL: no
 * memory. */
static struct vm_area_struct *copy_vma(struct mm_struct *mm,
				       struct vm_area_struct *vma,
				       const struct remap *r)
{
	const struct uffd_remap tell = {r->addr, r->new_addr, r->old_len};
	struct vm_area_struct *copy = vma_dup(vma);
	uva_t addr = r->addr, new = r->new_addr;
	u64 len = r->new_len;

	if (!copy)
		return NULL;
	if (uffd_remap_prepare(copy, &tell)) {
		vma_free(copy);
		return NULL;
	}
	copy->vm_start = new;
	copy->vm_end = new + len;
	copy->vm_pgoff = vma->vm_pgoff + ((addr - vma->vm_start) >> PAGE_SHIFT);
	/* Never faulted: the pages to come may be numbered by the new place. */
	if (!vma->anon_vma && !vma->vm_file)
		copy->vm_pgoff = new >> PAGE_SHIFT;
	if (anon_vma_clone(copy, vma)) {
		uffd_remap_cancel(mm, &tell);
		vma_free(copy);
		return NULL;
	}
	vma_open(copy);
	vma_file_link(copy);
	vma_link(mm, copy);
	vm_stat_account(mm, copy->vm_flags, (s64)vma_pages(copy));
	return copy;
}

static void drop_copy(struct mm_struct *mm, struct vm_area_struct *copy,
		      const struct remap *r)
{
	const struct uffd_remap tell = {r->addr, r->new_addr, r->old_len};

	uffd_remap_cancel(mm, &tell);
	do_munmap_isolated(mm, copy->vm_start, vma_pages(copy) << PAGE_SHIFT);
}

/* Length 0 asks for a second view of the same pages. */
static bool old_place_stays(const struct remap *r)
{
	return (r->flags & MREMAP_DONTUNMAP) || !r->old_len;
}

/* There is room for [addr, + old_len) of VMA at new_addr: carry it over. The
 * old place is left mapped, empty. 0; -ENOMEM, or what its provider says, with
 * nothing changed. */
static int move_isolated(struct mm_struct *mm, struct vm_area_struct *vma,
			 const struct remap *r)
{
	bool account = vma_accountable(vma->vm_flags);
	u64 pages = r->new_len >> PAGE_SHIFT;
	/* What moves was promised already, unless the old place stays. */
	u64 promised = r->flags & MREMAP_DONTUNMAP
			       ? 0
			       : min(r->old_len, r->new_len) >> PAGE_SHIFT;
	struct vm_area_struct *copy;
	int err = 0;

	if (account && vm_enough_memory(mm, pages - promised))
		return -ENOMEM;
	if (account)
		vm_account_again(promised);
	copy = copy_vma(mm, vma, r);
	if (!copy) {
		if (account)
			vm_unaccount(pages);
		return -ENOMEM;
	}
	/* The provider is asked while there is nothing to take back. */
	if (copy->vm_ops && copy->vm_ops->mremap)
		err = copy->vm_ops->mremap(copy);
	/* Faults at the new place wait, too: they would fill it. */
	vma_assert_changing(copy);
	if (!err && !old_place_stays(r))
		err = uffd_unmap_prepare(mm, r->addr, r->addr + r->old_len);
	if (err) {
		drop_copy(mm, copy, r);
		return err;
	}
	err = move_page_tables(vma, copy, r->addr, min(r->old_len, r->new_len));
	if (err) {
		uffd_unmap_cancel(mm, r->addr, r->addr + r->old_len);
		drop_copy(mm, copy, r);
	}
	return err;
}

/*
 * What MREMAP_DONTUNMAP leaves behind: the mapping, empty and no longer locked,
 * for locks went with the pages. If all of it went it has no part in the
 * reverse map any more.
 */
static void leave_old(struct mm_struct *mm, const struct remap *r)
{
	struct vm_area_struct *vma = find_vma(mm, r->addr);

	if (vma->vm_flags & VM_LOCKED)
		WRITE_ONCE(mm->locked_vm, mm->locked_vm - vma_pages(vma));
	vma_set_flags(vma, vma->vm_flags & ~VM_LOCKED_MASK);
	if (vma->vm_start == r->addr && vma->vm_end == r->addr + r->old_len)
		unlink_anon_vmas(vma);
}

/* Carry [addr, + old_len) of VMA, all of which is there, to new_addr, which
 * is free. */
static s64 move_vma(struct mm_struct *mm, struct vm_area_struct *vma,
		    const struct remap *r)
{
	bool keep = old_place_stays(r);
	uva_t start = vma->vm_start, end = vma->vm_end;
	int err;

	if (mm->map_count + 3 > READ_ONCE(space_sys.max_map_count))
		return -ENOMEM;
	/* The old place must be unmappable without allocating anything. */
	err = keep ? 0 : vma_isolate_range(mm, r->addr, r->addr + r->old_len);
	if (err)
		return err;
	vma = find_vma(mm, r->addr);
	/* What KSM keeps of its pages names the old place. */
	err = 0;
	if (vma->vm_flags & VM_MERGEABLE) {
		vma_start_write(vma);
		err = ksm_unmerge(vma, r->addr,
				  min(r->addr + r->old_len, vma->vm_end));
	}
	if (!err)
		err = move_isolated(mm, vma, r);
	if (err) {
		vma_rejoin(mm, r->addr, start, end);
		return err;
	}
	if (r->flags & MREMAP_DONTUNMAP)
		leave_old(mm, r);
	else if (!keep)
		do_munmap_isolated(mm, r->addr, r->old_len);
	vma_join(mm, find_vma(mm, r->new_addr));
	return (s64)r->new_addr;
}

/* ---- growing in place
 * ------------------------------------------------------------------ */

/* Nothing in the way? A stack's guard gap is not. */
static bool can_grow_in_place(struct mm_struct *mm, struct vm_area_struct *vma,
			      const struct remap *r)
{
	uva_t end = r->addr + r->old_len, to = r->addr + r->new_len;
	struct vm_area_struct *next = vma_next(vma);

	return vma->vm_end == end && to > end && to <= mm->layout.task_size &&
	       (!next || next->vm_start >= to);
}

static s64 grow_in_place(struct mm_struct *mm, struct vm_area_struct *vma,
			 const struct remap *r)
{
	struct vma_merge_want want = {.start = vma->vm_end,
				      .end = r->addr + r->new_len,
				      .vm_flags = vma->vm_flags,
				      .pgoff = vma->vm_pgoff + vma_pages(vma),
				      .anon_vma = vma->anon_vma,
				      .file = vma->vm_file,
				      .like = vma,
				      .uffd = vma->vm_uffd};
	u64 pages = (r->new_len - r->old_len) >> PAGE_SHIFT;

	if (vma_accountable(vma->vm_flags) && vm_enough_memory(mm, pages))
		return -ENOMEM;
	/* A provider that is told of each end has only this one to tell. */
	if (!vma_merge(mm, &want))
		vma_resize(vma, vma->vm_start, want.end, vma->vm_pgoff);
	vm_stat_account(mm, want.vm_flags, (s64)pages);
	return (s64)r->addr;
}

/* ---- the kinds of calls
 * ---------------------------------------------------------------- */

/* May [addr, + old_len), which begins in VMA, grow or move? */
static int remap_check(const struct mm_struct *mm,
		       const struct vm_area_struct *vma, const struct remap *r)
{
	u64 pages, pgoff = linear_page_index(vma, r->addr);
	bool fixed_size = (vma->vm_flags & VM_DONTEXPAND) != 0;

	/* A length of 0 duplicates what is shared. */
	if (!r->old_len && !(vma->vm_flags & (VM_SHARED | VM_MAYSHARE)))
		return -EINVAL;
	if ((r->flags & MREMAP_DONTUNMAP) && fixed_size)
		return -EINVAL;
	/* What is cut off may reach beyond the mapping. */
	if (min(r->old_len, r->new_len) > vma->vm_end - r->addr)
		return -EFAULT;
	if (r->new_len <= r->old_len)
		return 0;
	if (pgoff + (r->new_len >> PAGE_SHIFT) < pgoff)
		return -EINVAL;
	if (fixed_size)
		return -EFAULT;
	pages = (r->new_len - r->old_len) >> PAGE_SHIFT;
	if (!mlock_may_grow(mm, vma->vm_flags, pages))
		return -EAGAIN;
	return may_expand_vm(mm, vma->vm_flags, pages) ? 0 : -ENOMEM;
}

/* What is cut off has to lie in user space. */
static bool tail_fits(const struct mm_struct *mm, const struct remap *r)
{
	return r->new_len >= r->old_len ||
	       r->old_len <= mm->layout.task_size - r->addr;
}

/* Unmap what lies beyond the new length. 0, or a negative errno. */
static int cut_tail(struct mm_struct *mm, const struct remap *r)
{
	if (!tail_fits(mm, r))
		return -EINVAL;
	return do_munmap_locked(mm, r->addr + r->new_len,
				r->old_len - r->new_len);
}

/* MREMAP_FIXED, MREMAP_DONTUNMAP. VMA holds addr. */
static s64 remap_elsewhere(struct mm_struct *mm, struct vm_area_struct *vma,
			   struct remap r)
{
	s64 at = (s64)r.new_addr;
	int err = remap_check(mm, vma, &r);

	if (!err && (r.flags & MREMAP_FIXED) &&
	    r.new_addr < READ_ONCE(space_sys.mmap_min_addr))
		return tail_fits(mm, &r) ? -EPERM : -EINVAL;
	if (!err && (r.flags & MREMAP_FIXED))
		err = do_munmap_locked(mm, r.new_addr, r.new_len);
	if (!err && r.new_len < r.old_len) {
		err = cut_tail(mm, &r);
		r.old_len = r.new_len;
	}
	if (err)
		return err;
	vma = find_vma(mm, r.addr);
	/* A second view that was to be where the first is: that went. */
	if (!vma_contains(vma, r.addr))
		return -EFAULT;
	if ((r.flags & MREMAP_DONTUNMAP) &&
	    !may_expand_vm(mm, vma->vm_flags, r.old_len >> PAGE_SHIFT))
		return -ENOMEM;
	if (!(r.flags & MREMAP_FIXED))
		at = get_unmapped_area(mm, r.new_addr, r.new_len,
				       !vma->vm_file);
	if (at < 0)
		return at;
	r.new_addr = (uva_t)at;
	return move_vma(mm, vma, &r);
}

/*
 * A fixed new place for what keeps its length: all mappings of the range go,
 * one after the other, with the gaps between them. The first begins at addr.
 */
static s64 remap_all(struct mm_struct *mm, const struct remap *r)
{
	struct vm_area_struct *vma = find_vma(mm, r->addr);
	uva_t at = r->addr, end = r->addr + r->old_len;

	if (!vma_contains(vma, at))
		return -EFAULT;
	while (at < end && vma && vma->vm_start < end) {
		struct remap part = *r;
		s64 ret;

		part.addr = max(vma->vm_start, at);
		at = min(vma->vm_end, end);
		part.old_len = part.new_len = at - part.addr;
		part.new_addr += part.addr - r->addr;
		ret = remap_elsewhere(mm, vma, part);
		if (ret < 0)
			return ret;
		vma = find_vma(mm, at);
	}
	return (s64)r->new_addr;
}

/* Shrink, or grow where it is or, if it may, elsewhere. VMA holds addr. */
static s64 remap_here(struct mm_struct *mm, struct vm_area_struct *vma,
		      struct remap *r)
{
	int err;
	s64 at;

	if (r->new_len <= r->old_len) {
		err = r->new_len < r->old_len ? cut_tail(mm, r) : 0;
		return err ? err : (s64)r->addr;
	}
	err = remap_check(mm, vma, r);
	if (err)
		return err;
	if (can_grow_in_place(mm, vma, r))
		return grow_in_place(mm, vma, r);
	if (!(r->flags & MREMAP_MAYMOVE))
		return -ENOMEM;
	at = get_unmapped_area(mm, 0, r->new_len, !vma->vm_file);
	if (at < 0)
		return at;
	r->new_addr = (uva_t)at;
	return move_vma(mm, vma, r);
}

static s64 remap_locked(struct mm_struct *mm, struct remap *r)
{
	struct vm_area_struct *vma = find_vma(mm, r->addr);

	if ((r->flags & MREMAP_FIXED) && r->old_len == r->new_len)
		return remap_all(mm, r);
	if (!vma_contains(vma, r->addr))
		return -EFAULT;
	if (r->flags & MREMAP_ELSEWHERE)
		return remap_elsewhere(mm, vma, *r);
	return remap_here(mm, vma, r);
}

/* What can be refused without a look at the address space. */
static int remap_check_args(const struct mm_struct *mm, const struct remap *r)
{
	u64 task_size = mm->layout.task_size;

	if (r->flags & ~(MREMAP_MAYMOVE | MREMAP_ELSEWHERE))
		return -EINVAL;
	if (!IS_ALIGNED(r->addr, PAGE_SIZE) || !r->new_len ||
	    r->new_len > task_size)
		return -EINVAL;
	if (!(r->flags & MREMAP_ELSEWHERE))
		return 0;
	if (!IS_ALIGNED(r->new_addr, PAGE_SIZE) ||
	    r->new_addr > task_size - r->new_len)
		return -EINVAL;
	if (!(r->flags & MREMAP_MAYMOVE))
		return -EINVAL;
	if ((r->flags & MREMAP_DONTUNMAP) && r->old_len != r->new_len)
		return -EINVAL;
	/* Neither place may be part of the other. */
	if (r->addr + r->old_len > r->new_addr &&
	    r->new_addr + r->new_len > r->addr)
		return -EINVAL;
	return 0;
}

s64 do_mremap(struct mm_struct *mm, uva_t addr, u64 old_len, u64 new_len,
	      int flags, uva_t new_addr)
{
	struct remap r = {addr, new_addr, PAGE_ALIGN(old_len),
			  PAGE_ALIGN(new_len), flags};
	s64 ret = remap_check_args(mm, &r);
	bool populate;

	if (ret)
		return ret;
	mmap_write_lock(mm);
	ret = remap_locked(mm, &r);
	populate = ret >= 0 && r.new_len > r.old_len &&
		   (find_vma(mm, (uva_t)ret)->vm_flags & VM_LOCKED);
	mmap_write_unlock_tell(mm);
	if (populate)
		(void)mm_populate(mm, (uva_t)ret + r.old_len,
				  r.new_len - r.old_len, POPULATE_LIKELY);
	return ret;
}
