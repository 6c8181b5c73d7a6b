/* SPDX-License-Identifier: MIT */
/* pgtable_priv.h - what the files of this floor share. */
#ifndef MM_PGTABLE_PGTABLE_PRIV_H
#define MM_PGTABLE_PGTABLE_PRIV_H

#include "pgtable/pgtable.h"

/* Index of a table of the kernel's; those of processes have 0. */
#define TABLE_KERNEL 1u

static inline void pt_mark_kernel(struct page *table)
{
	WRITE_ONCE(table->index, TABLE_KERNEL);
}

/* Slot INDEX of TABLE, which stands at LEVEL. */
static inline struct pt_slot pt_slot_at(const struct paging_format *f,
					const struct page *table, u8 level,
					u32 index)
{
	mm_assert(index < pt_entries(f, level));
	return (struct pt_slot){(char *)page_view(table) +
					(u64)index * f->entry_bytes,
				(struct page *)(uintptr_t)table, f, level};
}

static inline u32 pt_slot_index(const struct pt_slot *slot)
{
	u64 off = (u64)((const char *)slot->entry -
			(const char *)page_view(slot->table));

	return (u32)(off / slot->fmt->entry_bytes);
}

/* A table entry as the CPU wants it: the leaf decides about access. */
static inline pte_t pt_table_link(const struct page *table)
{
	return pte_make(page_to_pfn(table), (pgprot_t){X86_TABLE_LINK});
}

/* pt_upper: the slot of VA in its table at level 1, if there is one. */
bool pt_upper(const struct pgtable *pt, uva_t va, struct pt_slot *slot);

/* pt_table_new: an empty table, counted to PT; NULL: no memory. _unused: it
 * goes again. May sleep. */
struct page *pt_table_new(struct pgtable *pt);
void pt_table_unused(struct pgtable *pt, struct page *table);

/* Of a table at level 1 (huge.c). pt_huge_table: the leaf table of its large
 * entry INDEX. pt_twin_forget: LEAF, of INDEX, goes. pt_twin_take: UPPER goes,
 * and its twin with it: the caller's now, or NULL. */
struct page *pt_huge_table(const struct page *upper, u32 index);
void pt_twin_forget(struct page *upper, u32 index, struct page *leaf);
struct page *pt_twin_take(struct page *upper);

/*
 * kernel_reserve_tables: the leaf tables of [VA, END) exist from now on. 0 or
 * -ENOMEM. May sleep.
 */
int kernel_reserve_tables(kva_t va, kva_t end) MM_MUST_CHECK;

#endif
