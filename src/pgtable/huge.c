/* SPDX-License-Identifier: MIT */
/*
 * huge.c - promotion: a leaf table whose entries say all the same gives way to
 * one large entry.
 *
 * 1. Purpose. Half a thousand entries that map frames in a row with the same
 *    rights cost half a thousand places in the TLB. A CPU can have it as one.
 *
 * 2. Way. The table stays, complete, beside the large entry, and remains what
 *    the manager reads: who looks an address up finds its small entry as
 *    always, so that nothing above this floor has to know of large ones. Who
 *    is to change an entry takes the table's lock, and pt_lock() puts the table
 *    back under the CPU first (demotion). That cannot fail: nothing has to be
 *    allocated.
 *
 *        level 1 table        its twin (leaf tables by index)
 *        +-------------+      +-------+
 *        | large, PS --+--.   | pfn --+--> leaf table, locked by its own lock,
 *        +-------------+  |   +-------+    private = 1 + index in level 1
 *                         v                next    = level 1 table
 *                 512 frames in a row <---- the same, one by one
 *
 *    The twin is a frame for each level-1 table (1 GiB) that ever had a large
 *    entry: its next names it, its word the tree, its private the address.
 *
 * 3. Invariants.
 *    HG-1  While a table is promoted each of its entries maps the frame that
 *          the large entry maps there, with the same bits but A and D.
 *    HG-2  What a CPU did through the large entry (A, D) is in the small ones
 *          after pt_lock(), A also after pt_lock_aged(). pt_lock_read() does
 *          not promise it, and who takes it changes nothing.
 *    HG-3  A twin's word names the leaf table from its first promotion until
 *          the table is freed: who meets a large entry finds its table without
 *          a lock, whatever happens meanwhile.
 *    HG-4  No large entry is left when tables are freed.
 *    HG-5  page_large_maps() of 512 frames = large entries that map them, but
 *          for entries that are special: those are of zeroes that all share,
 *          and nobody's pages.
 *
 * 4. Locking. Promotion and demotion under the leaf table's lock, twins under
 *    pgtable.lock. Large and small entries may be in TLBs at once for a moment;
 *    they say the same, and demotion flushes before anything changes. (arm64
 *    wants an invalid entry in between, and a port for that CPU has to make
 *    it: huge_set().)
 *
 * 5. Cost. A promoted 2 MiB keep their table's frame, which Linux deposits for
 *    the same reason. Demotion: one exchange, one flush, and 512 bits where the
 *    CPU had used the entry.
 *
 * 6. Rejected. Compound pages, mapped by large entries with counts of their
 *    own: what each page's owner needs (counts, flags, lists) would be asked of
 *    a head that others share, in every path, and memory of a half-unmapped
 *    block would be stuck until a split that can fail. Here each frame stays a
 *    page, and what is unmapped is free at once.
 *
 * References: J. Navarro, S. Iyer, P. Druschel, A. Cox, "Practical, transparent
 * operating system support for superpages" (OSDI 2002), for promotion and
 * demotion; Intel SDM vol. 3A 4.10.2.3 (page sizes mixed in the TLB).
 */
#include "pgtable/huge.h"

#include <mmkit/errno.h>

#include "base/assert.h"
#include "pgtable/pgtable_priv.h"
#include "phys/group.h"
#include "phys/mmzone.h"
#include "phys/vmstat.h"

/* Of entries of one large page: all but what a CPU sets by itself. */
#define SAME_BITS (~(u64)(X86_PTE_A))

/* The large entry of a promoted table. */
struct huge {
	struct pt_slot slot; /* at level 1 */
	struct pgtable *pt;
	uva_t va;
};

static struct page *twin_of(const struct page *upper)
{
	u32 pfn = READ_ONCE(upper->next);

	return pfn ? pfn_to_page(pfn) : NULL;
}

static u32 *twin_word(const struct page *twin, u32 index)
{
	return (u32 *)page_view(twin) + index;
}

void pt_twin_forget(struct page *upper, u32 index, struct page *leaf)
{
	struct page *twin = twin_of(upper);

	mm_verify(!pt_promoted(leaf));
	if (twin)
		WRITE_ONCE(*twin_word(twin, index), PFN_NONE);
	leaf->next = PFN_NONE;
}

struct page *pt_twin_take(struct page *upper)
{
	struct page *twin = twin_of(upper);

	upper->next = PFN_NONE;
	if (twin)
		set_page_private(twin, 0);
	return twin;
}

struct page *pt_huge_table(const struct page *upper, u32 index)
{
	const struct page *twin = twin_of(upper);
	u32 pfn = twin ? READ_ONCE(*twin_word(twin, index)) : PFN_NONE;

	mm_verify(pfn != PFN_NONE);
	return pfn_to_page(pfn);
}

/* Where TABLE, promoted and locked, has its large entry. */
static struct huge huge_of(const struct page *table,
			   const struct paging_format *fmt)
{
	struct page *upper = pfn_to_page(table->next), *twin = twin_of(upper);
	u32 index = page_private(table) - 1;

	mm_verify(twin && *twin_word(twin, index) == page_to_pfn(table));
	return (struct huge){
		.slot = pt_slot_at(fmt, upper, 1, index),
		.pt = (struct pgtable *)(uintptr_t)page_mapping_word(twin),
		.va = (u64)page_private(twin) * pt_span(fmt, 2) +
		      (u64)index * HPAGE_PMD_SIZE,
	};
}

static void huge_flush(const struct huge *h)
{
	port_tlb_flush(h->pt->cpus, h->pt->asid, h->va, h->va + HPAGE_PMD_SIZE);
}

/* All entries of TABLE get BITS. */
static void table_set_bits(const struct paging_format *fmt, struct page *table,
			   u64 bits)
{
	struct pt_slot slot = pt_slot_at(fmt, table, 0, 0);

	for (u32 i = 0; i < HPAGE_PMD_NR; i++, pt_next(&slot))
		if ((pt_get(&slot).val & bits) != bits)
			(void)pt_set_bits(&slot, bits);
}

/* A large entry more (N is 1) or less (-1) of the frames of SLOT's table. True:
 * it is the first, or was the last, of pages. Table locked. */
static bool count_huge(const struct pt_slot *slot, int n)
{
	u64 pfn = ALIGN_DOWN(pte_pfn(pt_get(slot)), (u64)HPAGE_PMD_NR);
	u16 now;

	if (pte_special(pt_get(slot)))
		return false;
	now = __atomic_add_fetch(page_large_count(pfn), (u16)n,
				 __ATOMIC_RELAXED);
	mm_verify(now != (n > 0 ? 0 : UINT16_MAX));
	if (now != (n > 0))
		return false;
	/* Many may map a huge page; it is one. */
	page_stat_add(pfn_to_page(pfn), NR_ANON_THPS, n);
	return true;
}

/* TABLE is what the CPU goes by again; the large entry as it was. *LAST: no
 * other maps these pages. */
static pte_t huge_unset(const struct pt_slot *slot, const struct huge *h,
			bool *last)
{
	pte_t old = pt_xchg(&h->slot, pt_table_link(slot->table));

	mm_verify(pte_huge(old));
	set_page_private(slot->table, 0);
	*last = count_huge(slot, -1);
	return old;
}

/* As pt_demote(); true: no large entry maps these pages any more. */
static bool demote(const struct pt_slot *slot)
{
	struct huge h = huge_of(slot->table, slot->fmt);
	bool last;
	u64 used = huge_unset(slot, &h, &last).val & (X86_PTE_A | X86_PTE_D);

	huge_flush(&h);
	if (used)
		table_set_bits(slot->fmt, slot->table, used);
	return last;
}

MM_NOINLINE void pt_demote(const struct pt_slot *slot)
{
	count_vm_event(THP_SPLIT_PMD);
	if (demote(slot))
		count_vm_event(THP_SPLIT_PAGE);
}

void pt_demote_whole(const struct pt_slot *slot)
{
	(void)demote(slot);
}

MM_NOINLINE void pt_demote_gone(const struct pt_slot *slot)
{
	struct huge h = huge_of(slot->table, slot->fmt);
	bool last;

	(void)huge_unset(slot, &h, &last);
}

MM_NOINLINE void pt_collect_young(const struct pt_slot *slot)
{
	struct huge h = huge_of(slot->table, slot->fmt);

	if (!pte_young(pt_get(&h.slot)))
		return;
	(void)pt_clear_bits(&h.slot, X86_PTE_A);
	huge_flush(&h);
	table_set_bits(slot->fmt, slot->table, X86_PTE_A);
}

void pt_huge_wrprotect(const struct pt_slot *slot)
{
	struct huge h = huge_of(slot->table, slot->fmt);

	(void)pt_clear_bits(&h.slot, X86_PTE_RW);
}

/* E, which a write is about to go through. */
static pte_t written(pte_t e)
{
	return pte_mkyoung(pte_mkdirty(pte_mkwrite(e)));
}

void pt_huge_mkwrite(const struct pt_slot *slot)
{
	struct pt_slot at = pt_slot_at(slot->fmt, slot->table, 0, 0);
	struct huge h = huge_of(slot->table, slot->fmt);
	struct pt_slot first = at;

	for (u32 i = 0; i < HPAGE_PMD_NR; i++, pt_next(&at))
		pt_set(&at, written(pt_get(&at)));
	pt_set(&h.slot, __pte(pte_mkhuge(pt_get(&first)).val));
}

/* ---- promotion -------------------------------------------------------------
 */

int pt_huge_prepare(struct pgtable *pt, uva_t va)
{
	struct pt_slot upper;
	struct page *twin;

	if (!pt_can_huge(pt->fmt) || !pt->cpus || !pt_upper(pt, va, &upper))
		return -ENOMEM;
	if (twin_of(upper.table))
		return 0;
	twin = pt_table_new(pt);
	if (!twin)
		return -ENOMEM;
	set_page_mapping_word(twin, (u64)(uintptr_t)pt);
	set_page_private(twin, (u32)(va / pt_span(pt->fmt, 2)));
	spin_lock(&pt->lock);
	if (!twin_of(upper.table)) {
		WRITE_ONCE(upper.table->next, (u32)page_to_pfn(twin));
		twin = NULL;
	}
	spin_unlock(&pt->lock);
	if (twin) {
		set_page_private(twin, 0);
		pt_table_unused(pt, twin);
	}
	return 0;
}

/* Are the entries from FIRST's on those of a large page? *BITS: A of any. */
static bool table_uniform(struct pt_slot slot, pte_t first, u64 *bits)
{
	u64 want = first.val & SAME_BITS;

	*bits = 0;
	for (u32 i = 0; i < HPAGE_PMD_NR; i++, pt_next(&slot)) {
		pte_t e = pt_get(&slot);

		if ((e.val & SAME_BITS) != want)
			return false;
		*bits |= e.val & X86_PTE_A;
		want += PAGE_SIZE;
	}
	return true;
}

/* Can FIRST be the first entry of a large page? Bit 7 is PAT in a small one.
 */
static bool may_be_first(pte_t first)
{
	return pte_valid(first) && !pte_huge(first) && !pte_uffd_wp(first) &&
	       IS_ALIGNED(pte_pfn(first), (u64)HPAGE_PMD_NR);
}

/* E, the first entry of SLOT's table, for all of it. YOUNG: A, if any has it.
 */
static bool promote(struct pgtable *pt, const struct pt_slot *slot, uva_t va,
		    pte_t e, u64 young)
{
	struct page *table = slot->table, *twin;
	struct pt_slot upper;

	mm_assert(slot->level == 0 && !pt_promoted(table));
	if (!pt_can_huge(pt->fmt) || !pt_upper(pt, va, &upper))
		return false;
	twin = twin_of(upper.table);
	if (!twin)
		return false;
	WRITE_ONCE(*twin_word(twin, pt_slot_index(&upper)),
		   (u32)page_to_pfn(table));
	table->next = (u32)page_to_pfn(upper.table);
	set_page_private(table, 1 + pt_slot_index(&upper));
	(void)count_huge(slot, 1);
	/* HG-3: the word is there before who might need it. */
	pt_set(&upper, __pte(pte_mkhuge(e).val | young));
	return true;
}

bool pt_promote(struct pgtable *pt, const struct pt_slot *slot, uva_t va)
{
	struct pt_slot first = pt_slot_at(pt->fmt, slot->table, 0, 0);
	pte_t e = pt_get(&first);
	u64 young;

	return may_be_first(e) && table_uniform(first, e, &young) &&
	       promote(pt, &first, va, e, young);
}

bool pt_promote_filled(struct pgtable *pt, const struct pt_slot *slot, uva_t va)
{
	struct pt_slot first = pt_slot_at(pt->fmt, slot->table, 0, 0);
	pte_t e = pt_get(&first);
	u64 young;

	mm_assert(may_be_first(e) && table_uniform(first, e, &young));
	return promote(pt, &first, va, e, 0);
}

struct page *pt_huge_check(const struct pt_slot *slot1, u32 index)
{
	struct page *table = pt_huge_table(slot1->table, index);
	struct pt_slot slot = pt_slot_at(slot1->fmt, table, 0, 0);
	u64 want = pt_get(slot1).val & SAME_BITS & ~(X86_PTE_PS | X86_PTE_D);

	mm_verify(pt_promoted(table));
	mm_verify(huge_of(table, slot1->fmt).slot.entry == slot1->entry);
	for (u32 i = 0; i < HPAGE_PMD_NR; i++, pt_next(&slot)) {
		mm_verify((pt_get(&slot).val & SAME_BITS & ~X86_PTE_D) == want);
		want += PAGE_SIZE;
	}
	return table;
}
