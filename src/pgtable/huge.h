/* SPDX-License-Identifier: MIT */
/*
 * huge.h - one large entry in place of a leaf table. Theory: huge.c.
 */
#ifndef MM_PGTABLE_HUGE_H
#define MM_PGTABLE_HUGE_H

#include <mmkit/port.h>

#include "pgtable/pgtable.h"

/* What a large entry maps, where there are any: as much as a leaf table. */
#define HPAGE_PMD_SHIFT PT_LEAF_SHIFT
#define HPAGE_PMD_ORDER 9
#define HPAGE_PMD_NR	(1u << HPAGE_PMD_ORDER)
#define HPAGE_PMD_SIZE	(1UL << HPAGE_PMD_SHIFT)

/*
 * pt_can_huge: has FMT large pages of HPAGE_PMD_SIZE? Two-level tables have
 * larger ones, which are not used.
 */
static inline bool pt_can_huge(const struct paging_format *fmt)
{
	return fmt->levels >= 3 && pt_span(fmt, 1) == HPAGE_PMD_SIZE;
}

/*
 * pt_huge_prepare: what pt_promote() needs for VA, whose leaf table is there.
 * Context: may sleep (GFP_KERNEL); mmap lock, in any mode, or a claim. 0 or
 * -ENOMEM: then nothing is promoted. Fault injection: FAIL_PGTABLE.
 */
int pt_huge_prepare(struct pgtable *pt, uva_t va) MM_MUST_CHECK;

/*
 * pt_promote: SLOT's table, of VA, locked, gives way to one large entry if its
 * entries map HPAGE_PMD_NR frames in a row, from a multiple of that on, all in
 * the same way. False, and nothing is done: they do not, or there was no
 * pt_huge_prepare(). Does not sleep and does not fail otherwise. CPUs may go
 * on with the small entries: they say the same.
 */
bool pt_promote(struct pgtable *pt, const struct pt_slot *slot, uva_t va);

/* pt_promote_filled: the same for who has just set all entries so: they are not
 * looked at. */
bool pt_promote_filled(struct pgtable *pt, const struct pt_slot *slot,
		       uva_t va);

/*
 * pt_huge_wrprotect: the large entry of SLOT's table, promoted and locked, does
 * not allow writing any more, as its table's entries do not by now. The caller
 * flushes.
 */
void pt_huge_wrprotect(const struct pt_slot *slot);

/* pt_huge_mkwrite: all of SLOT's table, promoted and locked, may be written, is
 * used and dirty; the large entry too. */
void pt_huge_mkwrite(const struct pt_slot *slot);

/* pt_huge_check: is a large entry at SLOT1, of a table at level 1, as its
 * table says? The leaf table; for pgtable_check(). */
struct page *pt_huge_check(const struct pt_slot *slot1, u32 index);

#endif
