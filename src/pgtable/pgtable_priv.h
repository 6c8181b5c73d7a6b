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

/*
 * kernel_reserve_tables: the leaf tables of [VA, END) exist from now on. 0 or
 * -ENOMEM. May sleep.
 */
int kernel_reserve_tables(kva_t va, kva_t end) MM_MUST_CHECK;

#endif
