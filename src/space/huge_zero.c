/* SPDX-License-Identifier: MIT */
/*
 * huge_zero.c - 2 MiB of zeroes that all share.
 *
 * 1. Purpose. Who reads memory that nobody wrote is shown zeroes. Where huge
 *    pages are wanted, 512 entries of the one zero page would cost as many
 *    faults and places in the TLB: one large entry does.
 *
 * 2. Way. The first read of an empty region maps 512 zeroed frames by a
 *    promoted table, whose entries are special (nobody's pages: no counts, no
 *    reverse mapping) and read-only. They are made when first wanted. A space
 *    that has mapped them is a user until it ends, whatever it has unmapped
 *    since: entries need no counts so, and what is demoted may go on naming
 *    these frames one by one. Without users they wait for the next one, and a
 *    shrinker ("thp-zero") gives them back when memory is short.
 *
 *    The first write gets a huge page in their place, or, if there is none, a
 *    small one, and the table is demoted.
 *
 * 3. Structures. One word: frame number << 32 | users. Its changes are whole,
 *    so the frames go only from "no users" to "none", and nobody becomes a user
 *    of frames that go.
 *
 * 4. Invariants.
 *    HZ-1  Users = spaces with MMF_HUGE_ZERO.
 *    HZ-2  An entry that maps one of the frames is of a space with that flag,
 *          special and not writable.
 *
 * 5. Locking. None; the table's lock as at any fault.
 *
 * 6. Failure. No block: thp_zero_page_alloc_failed and thp_fault_fallback; the
 *    small zero page is mapped.
 *
 * References: Linux documentation, admin-guide/mm/transhuge (use_zero_page).
 */
#include <mmkit/errno.h>
#include <mmkit/page_alloc.h>

#include "base/trace_ring.h"
#include "phys/phys.h"
#include "phys/vmstat.h"
#include "space/fault.h"
#include "space/huge.h"
#include "space/rmap.h"

#define USERS(word) ((u32)(word))
#define FRAME(word) ((word) >> 32)

static u64 *zero_word(void)
{
	return &space_sys.thp.zero;
}

static bool word_change(u64 *was, u64 to)
{
	return __atomic_compare_exchange_n(zero_word(), was, to, false,
					   __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

static struct page *zeroes_make(void)
{
	gfp_t gfp = (GFP_HIGHUSER | __GFP_ZERO | __GFP_NOMEMALLOC |
		     __GFP_NORETRY | __GFP_NOWARN) &
		    ~__GFP_HARDWALL;
	struct page *block = alloc_pages(gfp, HPAGE_PMD_ORDER);

	if (!block) {
		count_vm_event(THP_ZERO_PAGE_ALLOC_FAILED);
		return NULL;
	}
	/* Who pins one of them holds it as any page. */
	split_page(block, HPAGE_PMD_ORDER);
	return block;
}

static void zeroes_free(struct page *block)
{
	for (u32 i = 0; i < HPAGE_PMD_NR; i++)
		put_page(block + i);
}

/* A user more. The first frame, or 0: no memory. */
static u64 user_add(void)
{
	u64 word = __atomic_load_n(zero_word(), __ATOMIC_ACQUIRE);

	for (;;) {
		struct page *block;
		u64 first;

		while (word)
			if (word_change(&word, word + 1))
				return FRAME(word);
		block = zeroes_make();
		if (!block)
			return 0;
		first = page_to_pfn(block);
		if (word_change(&word, first << 32 | 1)) {
			count_vm_event(THP_ZERO_PAGE_ALLOC);
			return first;
		}
		zeroes_free(block); /* somebody was faster */
	}
}

static void user_drop(void)
{
	u64 old = __atomic_fetch_sub(zero_word(), 1, __ATOMIC_ACQ_REL);

	mm_verify(USERS(old) > 0);
}

u64 huge_zero_get(struct mm_struct *mm)
{
	u64 first, was;

	if (READ_ONCE(mm->flags) & MMF_HUGE_ZERO)
		return FRAME(READ_ONCE(*zero_word()));
	first = user_add();
	if (!first)
		return 0;
	was = __atomic_fetch_or(&mm->flags, MMF_HUGE_ZERO, __ATOMIC_ACQ_REL);
	if (was & MMF_HUGE_ZERO)
		user_drop(); /* another thread of it */
	return first;
}

void huge_zero_fork(struct mm_struct *new, const struct mm_struct *old)
{
	if (!(READ_ONCE(old->flags) & MMF_HUGE_ZERO))
		return;
	/* While OLD is a user the frames stay. */
	__atomic_fetch_add(zero_word(), 1, __ATOMIC_ACQ_REL);
	__atomic_fetch_or(&new->flags, MMF_HUGE_ZERO, __ATOMIC_RELAXED);
}

void huge_zero_exit(struct mm_struct *mm)
{
	if (READ_ONCE(mm->flags) & MMF_HUGE_ZERO)
		user_drop();
}

/* ---- giving them back ------------------------------------------------------
 */

static u64 zero_count(struct shrinker *s, struct shrink_control *sc)
{
	u64 word = READ_ONCE(*zero_word());

	(void)s;
	(void)sc;
	return word && !USERS(word) ? HPAGE_PMD_NR : SHRINK_EMPTY;
}

static u64 zero_scan(struct shrinker *s, struct shrink_control *sc)
{
	u64 word = READ_ONCE(*zero_word());

	(void)s;
	(void)sc;
	if (!word || USERS(word) || !word_change(&word, 0))
		return SHRINK_STOP;
	zeroes_free(pfn_to_page(FRAME(word)));
	return HPAGE_PMD_NR;
}

int huge_zero_init(void)
{
	struct shrinker *s = &space_sys.thp.zero_shrinker;

	*s = (struct shrinker){.count_objects = zero_count,
			       .scan_objects = zero_scan,
			       .seeks = DEFAULT_SEEKS};
	return register_shrinker(s, "thp-zero");
}

/* ---- mapping them ----------------------------------------------------------
 */

/* The entries of SLOT's table, of VMA, empty and locked. */
static void entries_zero(struct vm_area_struct *vma, struct pt_slot slot,
			 u64 pfn)
{
	for (u32 i = 0; i < HPAGE_PMD_NR; i++, pt_next(&slot)) {
		pte_t e = pte_mkspecial(pte_make(pfn + i, vma->vm_page_prot));

		pt_set(&slot, pte_mkyoung(pte_wrprotect(e)));
	}
}

int thp_map_zero(struct vm_area_struct *vma, uva_t va)
{
	struct mm_struct *mm = vma->vm_mm;
	struct pt_slot slot;
	int err = 0;
	u64 pfn;

	if (pt_lookup(&mm->pt, va, &slot) && !thp_empty(&slot, va))
		return -EEXIST;
	if (pt_alloc(&mm->pt, va, &slot) || pt_huge_prepare(&mm->pt, va))
		return -ENOMEM;
	pfn = huge_zero_get(mm);
	if (!pfn) {
		count_vm_event(THP_FAULT_FALLBACK);
		return -ENOMEM;
	}
	pt_lock(&slot);
	if (!thp_empty(&slot, va) || (READ_ONCE(mm->flags) & MMF_UNSTABLE)) {
		err = -EAGAIN;
	} else {
		entries_zero(vma, slot, pfn);
		(void)pt_promote_filled(&mm->pt, &slot, va);
	}
	pt_unlock(&slot);
	return err;
}

/* The zeroes that FIRST's table maps, locked, make room. */
static void zeroes_unmap(struct mm_struct *mm, const struct pt_slot *first,
			 uva_t va)
{
	struct pt_slot at = *first;

	pt_demote_gone(first);
	for (u32 i = 0; i < HPAGE_PMD_NR; i++, pt_next(&at))
		(void)pt_xchg(&at, (pte_t){0});
	port_tlb_flush(&mm->cpus, mm->asid, va, va + HPAGE_PMD_SIZE);
}

bool thp_zero_write(struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	uva_t va = thp_region(vma, vmf->address);
	struct mm_struct *mm = vma->vm_mm;
	struct pt_slot first;
	struct page *block;
	bool ours;

	if ((vmf->flags & FAULT_FLAG_UNSHARE) || !va || !thp_vma_allowed(vma) ||
	    !pt_lookup(&mm->pt, va, &first) ||
	    (!READ_ONCE(vma->anon_vma) && anon_vma_prepare(vma)))
		return false;
	block = thp_block(vma, va);
	if (!block)
		return false;
	pt_lock_read(&first);
	ours = pt_promoted(first.table) && pte_special(pt_get(&first)) &&
	       !(READ_ONCE(mm->flags) & MMF_UNSTABLE);
	if (ours) {
		zeroes_unmap(mm, &first, va);
		thp_map_block(vma, first, va, block);
		if (pt_promote_filled(&mm->pt, &first, va))
			trace_emit(PAGE_HUGE, page_to_pfn(block), mm->serial,
				   va, PAGE_HUGE_MAP);
	}
	pt_unlock(&first);
	if (!ours)
		__free_pages(block, HPAGE_PMD_ORDER);
	return ours;
}
