/* SPDX-License-Identifier: MIT */
/*
 * userfaultfd_wp.c - watching writes: UFFDIO_WRITEPROTECT.
 *
 * The uffd-wp bit is an entry's own and goes where the page goes: into the swap
 * entry, back, to a copy that fork makes for a watched child, to a new place by
 * mremap. An entry that has it is not writable, so the first write faults
 * (fault_cow.c). Taking it away leaves the entry read-only; the next write is
 * an ordinary first one.
 *
 * Where there is no page the bit stands in a marker: always for a provider's
 * pages, which may go and come back without the mapping being asked; for
 * anonymous memory with UFFD_FEATURE_WP_UNPOPULATED.
 *
 * Invariant UF-3. When the call returns no CPU has a translation left through
 * which a write would not be seen.
 *
 * Reference: ioctl_userfaultfd(2); Linux documentation,
 * admin-guide/mm/userfaultfd (write protect notifications).
 */
#include <mmkit/errno.h>
#include <mmkit/uaccess.h>

#include "space/userfaultfd.h"

/* Does VMA remember watched pages that are not there? */
static bool wants_markers(const struct vm_area_struct *vma)
{
	return !vma_is_anonymous(vma) ||
	       (uffd_features(vma->vm_uffd) & UFFD_FEATURE_WP_UNPOPULATED);
}

/* Table locked. */
static void watch_entry(const struct pt_slot *slot, bool markers)
{
	pte_t e = pt_get(slot);

	if (pte_present(e)) {
		/* Never none in between, no A or D bit lost. */
		pt_clear_bits(slot, X86_PTE_RW);
		pt_set_bits(slot, X86_PTE_UFFD_WP);
	} else if (pte_none(e)) {
		if (markers)
			pt_set(slot, make_pte_marker(PTE_MARKER_UFFD_WP));
	} else if (!pte_marker(e)) {
		/* Poison is an answer already, the other kind is there. */
		pt_set(slot, pte_swp_mkuffd_wp(pte_swp_wrprotect(e)));
	}
}

static void unwatch_entry(const struct pt_slot *slot)
{
	pte_t e = pt_get(slot);
	u32 kinds = pte_marker(e) & ~PTE_MARKER_UFFD_WP;

	if (pte_present(e))
		pt_clear_bits(slot, X86_PTE_UFFD_WP);
	else if (pte_marker(e))
		pt_set(slot, kinds ? make_pte_marker(kinds) : (pte_t){0});
	else if (!pte_none(e))
		pt_set(slot, pte_swp_clear_uffd_wp(e));
}

/* NR entries of one leaf table. */
static void wp_table(struct pt_slot slot, u64 nr, bool enable, bool markers)
{
	struct pt_slot lock = slot;

	pt_lock(&lock);
	for (; nr; nr--, pt_next(&slot)) {
		if (enable)
			watch_entry(&slot, markers);
		else
			unwatch_entry(&slot);
	}
	pt_unlock(&lock);
}

int uffd_wp_range(struct vm_area_struct *vma, uva_t start, uva_t end,
		  bool enable)
{
	bool markers = enable && wants_markers(vma);
	struct mm_struct *mm = vma->vm_mm;
	int err = 0;

	mm_assert(!enable || userfaultfd_wp(vma));
	for (uva_t addr = start; addr < end && !err;) {
		uva_t to = pt_table_end(&mm->pt, addr, end);
		struct pt_slot slot;

		if (markers) {
			err = pt_alloc(&mm->pt, addr, &slot);
		} else if (!pt_lookup(&mm->pt, addr, &slot)) {
			addr = pt_skip(&mm->pt, addr, end);
			continue;
		}
		if (!err)
			wp_table(slot, (to - addr) >> PAGE_SHIFT, enable,
				 markers);
		addr = to;
	}
	port_tlb_flush(&mm->cpus, mm->asid, start, end);
	return err;
}

/* Holes are passed over, but there must be something. Filling has begun. */
static int wp_mappings(struct mm_struct *mm, uva_t start, uva_t end,
		       bool enable)
{
	struct vm_area_struct *vma = find_vma(mm, start);
	int err = -ENOENT;

	for (; vma && vma->vm_start < end; vma = vma_next(vma)) {
		if (!userfaultfd_wp(vma))
			return -ENOENT;
		err = uffd_wp_range(vma, max(start, vma->vm_start),
				    min(end, vma->vm_end), enable);
		if (err)
			break;
	}
	return err;
}

static int wp_locked(struct userfaultfd_ctx *ctx, const struct uffdio_range *r,
		     bool enable)
{
	int err;

	if (!mm_get_not_zero(ctx->mm))
		return -ESRCH;
	err = uffd_filling_begin(ctx);
	if (!err) {
		err = wp_mappings(ctx->mm, r->start, r->start + r->len, enable);
		uffd_filling_end(ctx);
	}
	mm_put(ctx->mm);
	return err;
}

s64 uffd_writeprotect(const struct uffd_call *c)
{
	u64 wp = UFFDIO_WRITEPROTECT_MODE_WP;
	u64 dontwake = UFFDIO_WRITEPROTECT_MODE_DONTWAKE;
	struct uffdio_writeprotect a;
	int err;

	if (__atomic_load_n(&c->ctx->mmap_changing, __ATOMIC_ACQUIRE))
		return -EAGAIN;
	if (copy_from_user(c->local, &a, c->arg, sizeof(a)))
		return -EFAULT;
	if (uffd_check_range(c->ctx->mm, a.range.start, a.range.len, true) ||
	    (a.mode & ~(wp | dontwake)) ||
	    (a.mode & (wp | dontwake)) == (wp | dontwake))
		return -EINVAL;
	err = wp_locked(c->ctx, &a.range, (a.mode & wp) != 0);
	if (!err && !a.mode)
		uffd_wake(c->ctx, a.range.start, a.range.len);
	return err;
}
