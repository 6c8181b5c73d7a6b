/* SPDX-License-Identifier: MIT */
/*
 * model_vma.h - what mmap and its relatives do to a small address space, as
 * one word per page. As long as no page is ever touched, mappings are exactly
 * the longest runs of equal words, so the model says everything: errors,
 * addresses, number of mappings.
 *
 * The space ends with the window: [VM_LOW, VM_LOW + n pages), mmap searches
 * down from mmap_top.
 */
#ifndef TESTS_MODEL_VMA_H
#define TESTS_MODEL_VMA_H

#include <string.h>

#include <mmkit/errno.h>
#include <mmkit/mman.h>
#include <mmkit/types.h>

#define VM_MAX 64
#define VM_LOW 0x10000UL

/* A page's word: 0 is a hole. */
#define VW_MAPPED  0x100u
#define VW_GROWS   0x200u
#define VW_RAND	   0x400u
#define VW_SEQ	   0x800u
#define VW_NOFORK  0x1000u
#define VW_WIPE	   0x2000u
#define VW_PROT(w) ((int)((w)&7u))

struct vmodel {
	u32 n;		    /* pages of the window */
	u32 mmap_top;	    /* page where the search begins */
	u32 guard;	    /* pages below a stack that stay free */
	u32 brk_start, brk; /* pages */
	u32 w[VM_MAX];
};

static uva_t vm_va(u32 page)
{
	return VM_LOW + ((u64)page << PAGE_SHIFT);
}

static bool vm_all(const struct vmodel *m, u32 at, u32 len)
{
	for (u32 i = at; i < at + len; i++)
		if (!m->w[i])
			return false;
	return true;
}

/* Is [AT, +LEN) free, the guard gap of a stack behind it included? */
static bool vm_free_range(const struct vmodel *m, u32 at, u32 len)
{
	u32 i;

	if (at + len > m->n)
		return false;
	for (i = at; i < at + len; i++)
		if (m->w[i])
			return false;
	for (; i < m->n && !m->w[i]; i++)
		;
	/* A stack's lowest page, not one in its middle: what follows a hole. */
	return i == m->n || !(m->w[i] & VW_GROWS) || i - (at + len) >= m->guard;
}

/* The stack whose guard gap [AT, +LEN), a hole, reaches into; else 0. */
static u32 vm_in_guard(const struct vmodel *m, u32 at, u32 len)
{
	u32 i = at + len;

	while (i < m->n && !m->w[i])
		i++;
	return i < m->n && (m->w[i] & VW_GROWS) && i - (at + len) < m->guard
		       ? i
		       : 0;
}

static bool vm_hole(const struct vmodel *m, u32 at, u32 len)
{
	for (u32 i = at; i < at + len; i++)
		if (i >= m->n || m->w[i])
			return false;
	return true;
}

/* The lowest hole from AT upwards. */
static s64 vm_find_up(const struct vmodel *m, u32 at, u32 len)
{
	u32 stack;

	for (; at < m->n; at++) {
		if (!vm_hole(m, at, len))
			continue;
		stack = vm_in_guard(m, at, len);
		if (!stack)
			return at;
		/* Behind that stack, which is as long as its kind. */
		for (at = stack; at + 1 < m->n && m->w[at + 1] == m->w[stack];)
			at++;
	}
	return -1;
}

/* Top-down from mmap_top; then upwards from a third of the space; then from
 * its start. A hole in a guard gap is given up with all that the gap spans. */
static s64 vm_find(const struct vmodel *m, u32 len)
{
	u64 third = PFN_DOWN(vm_va(m->n) / 3), low = PFN_DOWN(VM_LOW);
	u32 stack;
	s64 up;

	for (s64 at = (s64)m->mmap_top - len; at >= 0; at--) {
		if (!vm_hole(m, (u32)at, len))
			continue;
		stack = vm_in_guard(m, (u32)at, len);
		if (!stack)
			return at;
		at = (s64)stack - m->guard - len + 1;
	}
	up = vm_find_up(m, third > low ? (u32)(third - low) : 0, len);
	return up >= 0 ? up : vm_find_up(m, 0, len);
}

static void vm_set(struct vmodel *m, u32 at, u32 len, u32 w)
{
	for (u32 i = at; i < at + len; i++)
		m->w[i] = w;
}

/* Each returns what the call must return; addresses as byte addresses. */
static s64 vm_mmap(struct vmodel *m, u32 hint, u32 len, int prot, int flags)
{
	u32 w = VW_MAPPED | (u32)prot | (flags & MAP_GROWSDOWN ? VW_GROWS : 0u);
	s64 at = hint;

	if (flags & MAP_FIXED_NOREPLACE) {
		if (hint + len > m->n)
			return -ENOMEM;
		if (!vm_hole(m, hint, len))
			return -EEXIST;
	} else if (flags & MAP_FIXED) {
		if (hint + len > m->n)
			return -ENOMEM;
	} else if (!vm_free_range(m, hint, len)) {
		at = vm_find(m, len);
		if (at < 0)
			return -ENOMEM;
	}
	vm_set(m, (u32)at, len, w);
	return (s64)vm_va((u32)at);
}

static int vm_munmap(struct vmodel *m, u32 at, u32 len)
{
	if (at + len > m->n)
		return -EINVAL;
	vm_set(m, at, len, 0);
	return 0;
}

static int vm_mprotect(struct vmodel *m, u32 at, u32 len, int prot)
{
	if (at + len > m->n || !vm_all(m, at, len))
		return -ENOMEM;
	for (u32 i = at; i < at + len; i++)
		m->w[i] = (m->w[i] & ~7u) | (u32)prot;
	return 0;
}

static u32 vm_advised(u32 w, int advice)
{
	switch (advice) {
	case MADV_NORMAL:
		return w & ~(VW_RAND | VW_SEQ);
	case MADV_RANDOM:
		return (w & ~VW_SEQ) | VW_RAND;
	case MADV_SEQUENTIAL:
		return (w & ~VW_RAND) | VW_SEQ;
	case MADV_DONTFORK:
		return w | VW_NOFORK;
	case MADV_DOFORK:
		return w & ~VW_NOFORK;
	case MADV_WIPEONFORK:
		return w | VW_WIPE;
	case MADV_KEEPONFORK:
		return w & ~VW_WIPE;
	default:
		return w;
	}
}

static int vm_madvise(struct vmodel *m, u32 at, u32 len, int advice)
{
	int err = 0;

	/* Beyond the end is a hole, too. */
	for (u32 i = at; i < at + len; i++) {
		if (i >= m->n || !m->w[i])
			err = -ENOMEM;
		else
			m->w[i] = vm_advised(m->w[i], advice);
	}
	return err;
}

static uva_t vm_brk(struct vmodel *m, u32 want)
{
	if (want < m->brk_start || want > m->n)
		return vm_va(m->brk);
	if (want > m->brk) {
		/* A page behind it stays free. */
		if (!vm_free_range(m, m->brk, want - m->brk + (want < m->n)))
			return vm_va(m->brk);
		vm_set(m, m->brk, want - m->brk,
		       VW_MAPPED | PROT_READ | PROT_WRITE);
	} else if (want < m->brk) {
		/* None of it is there any more: refused. */
		if (vm_hole(m, want, m->brk - want))
			return vm_va(m->brk);
		vm_set(m, want, m->brk - want, 0);
	}
	m->brk = want;
	return vm_va(want);
}

/* Is [AT, +LEN) part of one mapping? */
static bool vm_one(const struct vmodel *m, u32 at, u32 len)
{
	if (at + len > m->n)
		return false;
	for (u32 i = at; i < at + len; i++)
		if (!m->w[i] || m->w[i] != m->w[at])
			return false;
	return true;
}

static s64 vm_move(struct vmodel *m, u32 at, u32 old, u32 new, u32 to)
{
	u32 w = m->w[at];

	vm_set(m, to, new, w);
	for (u32 i = at; i < at + old; i++)
		if (i < to || i >= to + new)
			m->w[i] = 0;
	return (s64)vm_va(to);
}

/* To a fixed place: without a change of length all that is mapped goes, with
 * its gaps; else it is part of one mapping. */
static s64 vm_mremap_fixed(struct vmodel *m, u32 at, u32 old, u32 new, u32 to)
{
	if (to + new > m->n || (at + old > to && to + new > at))
		return -EINVAL;
	if (old == new) {
		if (!m->w[at])
			return -EFAULT;
		for (u32 i = at; i < at + old && i < m->n; i++)
			if (m->w[i])
				vm_move(m, i, 1, 1, to + i - at);
		return (s64)vm_va(to);
	}
	if (!vm_one(m, at, old < new ? old : new))
		return -EFAULT;
	vm_set(m, to, new, 0);
	if (new < old) {
		if (at + old > m->n)
			return -EINVAL;
		vm_set(m, at + new, old - new, 0);
		old = new;
	}
	return vm_move(m, at, old, new, to);
}

static s64 vm_mremap(struct vmodel *m, u32 at, u32 old, u32 new, int flags,
		     u32 to)
{
	s64 place;

	if (flags & MREMAP_FIXED)
		return vm_mremap_fixed(m, at, old, new, to);
	if (!m->w[at])
		return -EFAULT;
	if (new <= old) {
		if (at + old > m->n && new < old)
			return -EINVAL;
		if (new < old)
			vm_set(m, at + new, old - new, 0);
		return (s64)vm_va(at);
	}
	if (!vm_one(m, at, old))
		return -EFAULT;
	/* In place only at the mapping's end. */
	if (!vm_one(m, at, old + 1) && vm_hole(m, at + old, new - old)) {
		vm_set(m, at + old, new - old, m->w[at]);
		return (s64)vm_va(at);
	}
	if (!(flags & MREMAP_MAYMOVE))
		return -ENOMEM;
	place = vm_find(m, new);
	return place < 0 ? -ENOMEM : vm_move(m, at, old, new, (u32)place);
}

/* Runs of equal words. */
static u32 vm_count(const struct vmodel *m)
{
	u32 n = 0;

	for (u32 i = 0; i < m->n; i++)
		n += m->w[i] && (i == 0 || m->w[i] != m->w[i - 1]);
	return n;
}

#endif
