/* SPDX-License-Identifier: MIT */
/*
 * userfaultfd_move.c - an answer without a copy: UFFDIO_MOVE.
 *
 * A page that only its own entry maps goes to the place that is waited for: the
 * entry moves, the page's number and anon_vma become those of the new place. A
 * compacting collector saves the allocation and the copy.
 *
 * The page is locked meanwhile: reclaim, which starts from the page, holds that
 * lock where it changes entries, and compares frame and entry where it only
 * looks. Both tables are locked around the exchange; CPUs forget the old
 * translation before the new one exists.
 *
 * What others may see too is not moved (-EBUSY): shared after a fork, pinned,
 * in the swap cache for somebody else's swap entry. A swap entry moves if it is
 * the slot's only one; the page, if one is cached, learns its new place when it
 * is mapped, since it has no entry now: but it keeps an identity (rmap.c), so
 * it is brought in first.
 *
 * Reference: ioctl_userfaultfd(2).
 */
#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>
#include <mmkit/uaccess.h>

#include "cache/swap.h"
#include "phys/lru.h"
#include "space/rmap.h"
#include "space/userfaultfd.h"

struct mover {
	const struct uffd_call *call;
	uva_t src, dst; /* now */
	uva_t src_end, dst_end;
	bool holes; /* of the source are left out */
	struct vm_area_struct *src_vma, *dst_vma;
};

static bool pair_ok(const struct mover *m)
{
	u64 s = m->src_vma->vm_flags, d = m->dst_vma->vm_flags;

	return !((s | d) & VM_SHARED) && m->src_end <= m->src_vma->vm_end &&
	       m->dst_end <= m->dst_vma->vm_end &&
	       !((s ^ d) & (VM_ACCESS_FLAGS | VM_LOCKED)) && (s & VM_WRITE) &&
	       m->dst_vma->vm_uffd == m->call->ctx &&
	       vma_is_anonymous(m->src_vma) && vma_is_anonymous(m->dst_vma);
}

/* Filling has begun on 0. */
static int move_begin(struct mover *m)
{
	struct userfaultfd_ctx *ctx = m->call->ctx;
	int err = uffd_filling_begin(ctx);

	if (err)
		return err;
	m->src_vma = find_vma(ctx->mm, m->src);
	m->dst_vma = find_vma(ctx->mm, m->dst);
	if (!vma_contains(m->src_vma, m->src) ||
	    !vma_contains(m->dst_vma, m->dst))
		err = -ENOENT;
	else if (!pair_ok(m))
		err = -EINVAL;
	else if (anon_vma_prepare(m->dst_vma))
		err = -ENOMEM;
	if (err)
		uffd_filling_end(ctx);
	return err;
}

/* ---- one entry -------------------------------------------------------------
 */

/* Two tables, or the same one: always in one order, other movers go the other
 * way. */
static void lock_both(const struct pt_slot *a, const struct pt_slot *b)
{
	if (a->table == b->table) {
		pt_lock(a);
		return;
	}
	pt_lock(a->table < b->table ? a : b);
	pt_lock_nested(a->table < b->table ? b : a);
}

static void unlock_both(const struct pt_slot *a, const struct pt_slot *b)
{
	if (a->table != b->table)
		pt_unlock(b);
	pt_unlock(a);
}

/* Both locked: is SRC still E, and DST free? 0, -EAGAIN, -EEXIST. */
static int move_check(const struct pt_slot *src, const struct pt_slot *dst,
		      pte_t e)
{
	if (!pte_none(pt_get(dst)))
		return -EEXIST;
	/* The CPU may have set A or D meanwhile. */
	return ((pt_get(src).val ^ e.val) & ~(X86_PTE_A | X86_PTE_D)) ? -EAGAIN
								      : 0;
}

static void flush_src(const struct mover *m)
{
	struct mm_struct *mm = m->src_vma->vm_mm;

	port_tlb_flush(&mm->cpus, mm->asid, m->src, m->src + PAGE_SIZE);
}

/* What E, taken out at the source, is at its new place, with rights. */
static pte_t moved_pte(const struct mover *m, pte_t e)
{
	return pte_mksoft_dirty(
		pte_clear_uffd_wp(pte_modify(e, m->dst_vma->vm_page_prot)));
}

/* PAGE, locked, is E's and nobody else's? Else -EBUSY. */
static int page_movable_alone(struct page *page)
{
	if (page_maybe_dma_pinned(page))
		return -EBUSY;
	/* Our own reference beside the entry's. */
	if (page_mapcount(page) != 1)
		return -EBUSY;
	/* Shared by content, by whom so ever: it has no place of its own. */
	if (PageKsm(page))
		return -EBUSY;
	if (PageSwapCache(page) && !try_to_free_swap(page))
		return -EBUSY;
	return 0;
}

static void exchange_page(struct mover *m, const struct pt_slot *src,
			  const struct pt_slot *dst, struct page *page)
{
	pte_t e = pt_xchg(src, (pte_t){0});

	flush_src(m);
	page_rehome_anon(page, m->dst_vma, m->dst);
	e = moved_pte(m, e);
	pt_set(dst, pte_mkdirty(pte_mkwrite(e)));
}

/* PAGE is E's, held by a reference. */
static int move_page(struct mover *m, const struct pt_slot *src,
		     const struct pt_slot *dst, struct page *page, pte_t e)
{
	int err;

	lock_page(page);
	lock_both(src, dst);
	err = move_check(src, dst, e);
	if (!err)
		err = page_movable_alone(page);
	if (!err)
		exchange_page(m, src, dst, page);
	unlock_both(src, dst);
	unlock_page(page);
	return err;
}

static int move_zero(struct mover *m, const struct pt_slot *src,
		     const struct pt_slot *dst, pte_t e)
{
	int err;

	lock_both(src, dst);
	err = move_check(src, dst, e);
	if (!err) {
		pt_xchg(src, (pte_t){0});
		flush_src(m);
		pt_set(dst, pte_wrprotect(moved_pte(m, e)));
	}
	unlock_both(src, dst);
	return err;
}

/* E is the slot's only user, and no frame has its contents. */
static int move_swap(struct mover *m, const struct pt_slot *src,
		     const struct pt_slot *dst, pte_t e)
{
	swp_entry_t entry = pte_to_swp_entry(e);
	int err;

	(void)m;
	lock_both(src, dst);
	err = move_check(src, dst, e);
	if (!err && swap_count(entry) != 1)
		err = -EBUSY;
	if (!err) {
		pt_xchg(src, (pte_t){0});
		pt_set(dst, pte_swp_mksoft_dirty(pte_swp_clear_uffd_wp(e)));
	}
	unlock_both(src, dst);
	return err;
}

/* A frame still has, or is being given, the contents of E: map it where it is,
 * then it moves as a page. */
static int bring_in(struct mover *m)
{
	vm_fault_t ret = handle_mm_fault(m->src_vma, m->src, 0);

	if (ret & VM_FAULT_OOM)
		return -ENOMEM;
	return ret & VM_FAULT_ERROR ? -EFAULT : -EAGAIN;
}

static int move_entry(struct mover *m, const struct pt_slot *src,
		      const struct pt_slot *dst)
{
	struct page *page = NULL;
	int err;
	pte_t e;

	pt_lock(src);
	e = pt_get(src);
	if (pte_present(e) && !pte_special(e)) {
		page = pfn_to_page(pte_pfn(e));
		get_page(page);
	}
	pt_unlock(src);
	if (!pte_none(pt_get(dst))) {
		err = -EEXIST;
	} else if (pte_none(e)) {
		return m->holes ? 0 : -ENOENT;
	} else if (page) {
		err = move_page(m, src, dst, page, e);
	} else if (pte_present(e)) {
		err = move_zero(m, src, dst, e);
	} else if (pte_marker(e)) {
		err = -EFAULT;
	} else {
		/* On the move, or a frame that is lost: a fault tells. */
		err = !pte_in_swap(e) || swap_slot_cached(pte_to_swp_entry(e))
			      ? bring_in(m)
			      : move_swap(m, src, dst, e);
	}
	if (page)
		put_page(page);
	return err;
}

static int move_one(struct mover *m)
{
	struct mm_struct *mm = m->call->ctx->mm;
	struct pt_slot src, dst;
	int err;

	do {
		err = move_begin(m);
		if (err)
			return err;
		if (!pt_lookup(&mm->pt, m->src, &src))
			err = m->holes ? 0 : -ENOENT;
		else if (pt_alloc(&mm->pt, m->dst, &dst))
			err = -ENOMEM;
		else
			err = move_entry(m, &src, &dst);
		uffd_filling_end(m->call->ctx);
	} while (err == -EAGAIN && !READ_ONCE(port_current()->fatal_signal));
	return err;
}

/* Bytes done, or -errno if there are none. */
static s64 move_range(struct mover *m)
{
	uva_t start = m->dst;
	int err = 0;

	if (!mm_get_not_zero(m->call->ctx->mm))
		return -ESRCH;
	while (m->dst < m->dst_end && !err) {
		err = move_one(m);
		if (err)
			break;
		m->src += PAGE_SIZE;
		m->dst += PAGE_SIZE;
		if (READ_ONCE(port_current()->fatal_signal))
			err = -EINTR;
	}
	mm_put(m->call->ctx->mm);
	return m->dst > start ? (s64)(m->dst - start) : err;
}

s64 uffd_move(const struct uffd_call *c)
{
	u64 known =
		UFFDIO_MOVE_MODE_DONTWAKE | UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES;
	u64 out = offsetof(struct uffdio_move, move);
	struct uffd_done d = {.at = c->arg + out};
	struct mover m = {.call = c};
	struct uffdio_move a;

	if (__atomic_load_n(&c->ctx->mmap_changing, __ATOMIC_ACQUIRE))
		return -EAGAIN;
	if (copy_from_user(c->local, &a, c->arg, out))
		return -EFAULT;
	if (c->ctx->mm != c->local ||
	    uffd_check_range(c->ctx->mm, a.dst, a.len, true) ||
	    uffd_check_range(c->ctx->mm, a.src, a.len, true) ||
	    (a.mode & ~known))
		return -EINVAL;
	m.src = a.src;
	m.src_end = a.src + a.len;
	m.dst = d.start = a.dst;
	m.dst_end = a.dst + a.len;
	m.holes = (a.mode & UFFDIO_MOVE_MODE_ALLOW_SRC_HOLES) != 0;
	d.len = a.len;
	d.wake = !(a.mode & UFFDIO_MOVE_MODE_DONTWAKE);
	d.done = move_range(&m);
	return uffd_answer(c, &d);
}
