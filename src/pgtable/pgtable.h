/* SPDX-License-Identifier: MIT */
/*
 * pgtable.h - page tables: find, allocate, lock, change and free entries.
 *
 * A table is a frame of (simulated or real) RAM that a CPU could load: every
 * entry is bit-exact. An entry is reached through a slot handle (which table,
 * which index) and read and written as a value. See pgtable.c for the theory.
 */
#ifndef MM_PGTABLE_PGTABLE_H
#define MM_PGTABLE_PGTABLE_H

#include <mmkit/port.h>

#include "arch/paging.h"
#include "base/list.h"
#include "base/spinlock.h"
#include "phys/page.h"

/* One address space's tree of tables. */
struct pgtable {
	const struct paging_format *fmt; /* constant */
	u64 root_pfn;			 /* constant after pgtable_init() */
	spinlock_t lock; /* installing tables above the leaf tables */
	u64 table_bytes; /* atomic: all tables of its own, root included */
	struct list_head sharing; /* in pgtable_sys.roots, under its lock */
	/* Who may hold translations; constant. NULL: no large entries. */
	const struct port_cpumask *cpus;
	u32 asid;
};

/* Where an entry stands. Valid while its table is: see pgtable.c, 4. */
struct pt_slot {
	void *entry;	    /* view of the entry */
	struct page *table; /* the table's frame */
	const struct paging_format *fmt;
	u8 level; /* 0 = leaf table */
};

/*
 * pgtable_init: a tree of format FMT with nothing but what all share, the
 * kernel's part. Context: may sleep (GFP_KERNEL).
 * Returns 0 or -ENOMEM; on failure *PT owns nothing.
 */
int pgtable_init(struct pgtable *pt,
		 const struct paging_format *fmt) MM_MUST_CHECK;

/* pgtable_owner: the CPUs of CPUS, a mask that only grows, may hold PT's
 * translations, tagged with ASID. Large entries need to know. */
static inline void pgtable_owner(struct pgtable *pt,
				 const struct port_cpumask *cpus, u32 asid)
{
	pt->cpus = cpus;
	pt->asid = asid;
}

/*
 * pgtable_destroy: free the root. All other tables must have been freed by
 * pgtable_free_range() before: that is verified.
 */
void pgtable_destroy(struct pgtable *pt);

/*
 * pt_lookup: the leaf-table slot of VA, if the tables down to it exist. Takes
 * no lock; the caller keeps tables alive. False if there is none.
 */
bool pt_lookup(const struct pgtable *pt, uva_t va, struct pt_slot *slot);

/*
 * pt_alloc: as pt_lookup, but makes the missing tables. Context: may sleep.
 * Returns 0 or -ENOMEM; tables made before a failure stay, empty, and are
 * freed with the range. Fault injection: FAIL_PGTABLE.
 */
int pt_alloc(struct pgtable *pt, uva_t va, struct pt_slot *slot) MM_MUST_CHECK;

/* The lock of TABLE's entries: its page's word. */
static inline spinlock_t *pt_table_lock(const struct page *table)
{
	MM_STATIC_ASSERT(sizeof(spinlock_t) == sizeof(table->word),
			 "a table's lock fits the page's word");
	return (spinlock_t *)(uintptr_t)&table->word;
}

/* pt_promoted: does a large entry stand in for TABLE, a leaf table (huge.c)? */
static inline bool pt_promoted(const struct page *table)
{
	return page_private(table) != 0;
}

/*
 * Of SLOT's table, locked and promoted. pt_demote: the CPU goes by the table
 * again, and its entries know what was done through the large one. _whole: the
 * same, of which nobody is told: all entries change alike, and the caller
 * promotes what comes of them. _gone: all entries go: they do not know, and the
 * caller flushes.
 * pt_collect_young: the entries know what was used; the large one is as if it
 * were not.
 */
void pt_demote(const struct pt_slot *slot);
void pt_demote_whole(const struct pt_slot *slot);
void pt_demote_gone(const struct pt_slot *slot);
void pt_collect_young(const struct pt_slot *slot);

/*
 * The lock of the slot's table; needed to change an entry. _read: the entries
 * are only looked at; their A and D bits may be behind. _aged: the A bits are
 * not, and they alone may be changed. _gone: all entries of the table are
 * about to go.
 */
static inline void pt_lock_read(const struct pt_slot *slot)
{
	mm_assert(slot->level == 0);
	spin_lock(pt_table_lock(slot->table));
}

static inline void pt_lock(const struct pt_slot *slot)
{
	pt_lock_read(slot);
	if (unlikely(pt_promoted(slot->table)))
		pt_demote(slot);
}

static inline void pt_lock_aged(const struct pt_slot *slot)
{
	pt_lock_read(slot);
	if (unlikely(pt_promoted(slot->table)))
		pt_collect_young(slot);
}

static inline void pt_lock_gone(const struct pt_slot *slot)
{
	pt_lock_read(slot);
	if (unlikely(pt_promoted(slot->table)))
		pt_demote_gone(slot);
}

/* A second table's lock with another's held (fork copies parent to child). */
static inline void pt_lock_nested(const struct pt_slot *slot)
{
	mm_assert(slot->level == 0);
	spin_lock_nested(pt_table_lock(slot->table), 1);
	if (unlikely(pt_promoted(slot->table)))
		pt_demote(slot);
}

static inline void pt_unlock(const struct pt_slot *slot)
{
	spin_unlock(pt_table_lock(slot->table));
}

/* The same for formats whose entries are not as the manager carries them. */
pte_t pt_get_odd(const struct pt_slot *slot);
void pt_set_odd(const struct pt_slot *slot, pte_t e);
pte_t pt_xchg_odd(const struct pt_slot *slot, pte_t e);
pte_t pt_clear_bits_odd(const struct pt_slot *slot, u64 bits);
pte_t pt_set_bits_odd(const struct pt_slot *slot, u64 bits);

static inline bool pt_native(const struct pt_slot *slot)
{
	return likely(slot->fmt->kind == PAGING_X86_64);
}

/* Read the entry, at any time; the CPU may set A and D bits concurrently. */
static inline pte_t pt_get(const struct pt_slot *slot)
{
	if (!pt_native(slot))
		return pt_get_odd(slot);
	return (pte_t){__atomic_load_n((u64 *)slot->entry, __ATOMIC_ACQUIRE)};
}

/* Write the entry. Table locked. Not for a present entry that a CPU uses. */
static inline void pt_set(const struct pt_slot *slot, pte_t e)
{
	if (pt_native(slot))
		__atomic_store_n((u64 *)slot->entry, e.val, __ATOMIC_RELEASE);
	else
		pt_set_odd(slot, e);
}

/* Take the entry out (leaving E) and return what it was, A and D included. */
static inline pte_t pt_xchg(const struct pt_slot *slot, pte_t e)
{
	if (!pt_native(slot))
		return pt_xchg_odd(slot, e);
	return (pte_t){__atomic_exchange_n((u64 *)slot->entry, e.val,
					   __ATOMIC_ACQ_REL)};
}

/* Clear BITS and return the old entry; no concurrent A or D bit is lost. */
static inline pte_t pt_clear_bits(const struct pt_slot *slot, u64 bits)
{
	if (!pt_native(slot))
		return pt_clear_bits_odd(slot, bits);
	return (pte_t){__atomic_fetch_and((u64 *)slot->entry, ~bits,
					  __ATOMIC_ACQ_REL)};
}

/* Set BITS and return the old entry, likewise. Table locked. */
static inline pte_t pt_set_bits(const struct pt_slot *slot, u64 bits)
{
	if (!pt_native(slot))
		return pt_set_bits_odd(slot, bits);
	return (pte_t){
		__atomic_fetch_or((u64 *)slot->entry, bits, __ATOMIC_ACQ_REL)};
}

/*
 * The same for loops over many entries that asked once: NATIVE, a constant, is
 * what pt_native() says of them. pt_next_as: see pt_next().
 */
static inline pte_t pt_get_as(const struct pt_slot *slot, bool native)
{
	if (!native)
		return pt_get_odd(slot);
	return (pte_t){__atomic_load_n((u64 *)slot->entry, __ATOMIC_ACQUIRE)};
}

static inline void pt_set_as(const struct pt_slot *slot, pte_t e, bool native)
{
	if (native)
		__atomic_store_n((u64 *)slot->entry, e.val, __ATOMIC_RELEASE);
	else
		pt_set_odd(slot, e);
}

static inline pte_t pt_xchg_as(const struct pt_slot *slot, pte_t e, bool native)
{
	if (!native)
		return pt_xchg_odd(slot, e);
	return (pte_t){__atomic_exchange_n((u64 *)slot->entry, e.val,
					   __ATOMIC_ACQ_REL)};
}

static inline void pt_clear_bits_as(const struct pt_slot *slot, u64 bits,
				    bool native)
{
	if (native)
		(void)__atomic_fetch_and((u64 *)slot->entry, ~bits,
					 __ATOMIC_ACQ_REL);
	else
		(void)pt_clear_bits_odd(slot, bits);
}

static inline void pt_next_as(struct pt_slot *slot, bool native)
{
	slot->entry = (char *)slot->entry +
		      (native ? sizeof(u64) : slot->fmt->entry_bytes);
}

/*
 * pt_skip_none_as: SLOT, of ADDR, moves on over entries that are none, to END
 * at most, which the table reaches. Returns the address that it is of now.
 */
static inline __attribute__((always_inline)) uva_t
pt_skip_none_as(struct pt_slot *slot, uva_t addr, uva_t end, bool native)
{
	const u64 *at = slot->entry;
	u64 left = (end - addr) >> PAGE_SHIFT;

	if (!native) {
		for (; addr < end && pte_none(pt_get_odd(slot));
		     addr += PAGE_SIZE)
			pt_next_as(slot, false);
		return addr;
	}
	while (left >= 8 &&
	       !(READ_ONCE(at[0]) | READ_ONCE(at[1]) | READ_ONCE(at[2]) |
		 READ_ONCE(at[3]) | READ_ONCE(at[4]) | READ_ONCE(at[5]) |
		 READ_ONCE(at[6]) | READ_ONCE(at[7]))) {
		left -= 8;
		at += 8;
	}
	for (; left && !READ_ONCE(*at); left--)
		at++;
	slot->entry = (void *)(uintptr_t)at;
	return end - (left << PAGE_SHIFT);
}

/*
 * pt_next: the slot after SLOT in the same table; the caller knows by the
 * address that it does not run off the table's end.
 */
static inline void pt_next(struct pt_slot *slot)
{
	slot->entry = (char *)slot->entry + slot->fmt->entry_bytes;
}

#define PT_LEAF_SHIFT (PAGE_SHIFT + 9) /* what such a leaf table maps */

/*
 * pt_leaf_slot: the slot of VA in LEAF, if that is the table that maps it. The
 * caller knows that the table is in use still. pt_leaf_keep: LEAF is the table
 * of SLOT, of VA. Only where the CPU's layout is the manager's.
 */
static inline bool pt_leaf_slot(const struct pgtable *pt,
				const struct mm_leaf *leaf, uva_t va,
				struct pt_slot *slot)
{
	if (leaf->region != va >> PT_LEAF_SHIFT)
		return false;
	mm_verify(PageTable(leaf->table));
	slot->entry = (char *)leaf->entries +
		      (va >> (PAGE_SHIFT - 3) & (PAGE_SIZE - sizeof(u64)));
	slot->table = leaf->table;
	slot->fmt = pt->fmt;
	slot->level = 0;
	return true;
}

static inline void pt_leaf_keep(struct mm_leaf *leaf,
				const struct pt_slot *slot, uva_t va)
{
	if (unlikely(!pt_native(slot)))
		return;
	leaf->entries =
		(void *)((uintptr_t)slot->entry & ~(uintptr_t)(PAGE_SIZE - 1));
	leaf->table = slot->table;
	leaf->region = va >> PT_LEAF_SHIFT;
}

/* First address beyond the leaf table that maps VA, or END if smaller. */
static inline uva_t pt_table_end(const struct pgtable *pt, uva_t va, uva_t end)
{
	u64 span = pt_span(pt->fmt, 1);
	uva_t next = ALIGN_DOWN(va, span) + span;

	return next - 1 < end - 1 ? next : end;
}

/*
 * pt_skip: first address after VA, at most END, that could have a leaf table:
 * used when pt_lookup() found none, so that walks skip holes at the highest
 * level.
 */
uva_t pt_skip(const struct pgtable *pt, uva_t va, uva_t end);

/* Called with each freed table's frame: it must reach the allocator only
 * after the TLB flush. */
typedef void (*pt_table_free_fn)(struct page *table, void *arg);

/*
 * pgtable_free_range: free the tables that map only addresses within
 * [FLOOR, CEILING) and touch [START, END). All entries in the leaf tables
 * freed must be none (verified). The caller excludes faults in the range.
 */
struct pt_free_range {
	uva_t start, end;
	uva_t floor, ceiling; /* ceiling 0: no limit */
	pt_table_free_fn free;
	void *arg;
};
void pgtable_free_range(struct pgtable *pt, const struct pt_free_range *r);

/* pt_is_kernel: is TABLE one of the kernel's own? */
static inline bool pt_is_kernel(const struct page *table)
{
	return READ_ONCE(table->index) != 0;
}

/* pt_table_release: give a table's frame back to the allocator. */
void pt_table_release(struct page *table);
/* pt_tables_release_empty: the same for NR whose entries are all none, as
 * pgtable_free_range() hands them out: the next need not be cleared. The array
 * is overwritten. */
void pt_tables_release_empty(struct page **tables, u32 nr);

/*
 * pgtable_check: walk the whole tree but for the part that is shared: every
 * table has PG_table, no entry points outside RAM, levels do not loop; returns
 * the number of tables.
 */
u64 pgtable_check(const struct pgtable *pt);

#endif
