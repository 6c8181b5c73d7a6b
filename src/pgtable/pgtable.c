/* SPDX-License-Identifier: MIT */
/*
 * pgtable.c - the page-table tree.
 *
 * 1. Purpose. Keep, for one address space, the tables that its CPUs walk.
 *    What goes into an entry is the callers' business (space/); here is how
 *    to get to it, who may change it and when its table may go.
 *
 * 2. Structures. Each table is one frame with PG_table set. Its page's word
 *    holds the table's spinlock; index tells the kernel's tables (kernel.c),
 *    which every tree shares by the upper entries of its root, from those
 *    here. The format (levels,
 *    shifts, width and layout of an entry) is data from arch/, so the code
 *    here serves every format. Tables come from low memory (GFP_KERNEL): with
 *    32 bits the CPU cannot reach others.
 *
 *        root -> table -> table -> leaf table -> frame
 *        lvl 3    lvl 2    lvl 1     lvl 0
 *
 * 3. Invariants.
 *    PT-1  A present non-leaf entry points to a frame with PG_table.
 *    PT-2  A table, once installed, stays until pgtable_free_range(): nothing
 *          is freed under a fault. So a slot found under the mmap lock (any
 *          mode), or by a reverse-mapping walk that holds the anon_vma lock
 *          of a VMA in the range, stays valid.
 *    PT-3  A table is freed only when all of its entries are none. Of a leaf
 *          that is looked up; upper ones count their links (page's private).
 *    PT-4  Entries of a leaf table change under the table's lock, except for
 *          A and D bits, which CPUs set atomically at any time; therefore
 *          present entries are taken out by exchange, never by load and store.
 *
 * 4. Locking. pgtable.lock serialises installing tables; the loser of a race
 *    gives its fresh table back. Table locks are leaves below page lock and
 *    anon_vma lock; two at once only parent before child at fork.
 *
 * 5. Failure. pt_alloc may fail half-way; the empty tables it made are valid
 *    and go with the range.
 *
 * 6. Cost. One load per level; no allocation after the first touch of 2 MiB.
 *
 * 7. Rejected. Linking tables to siblings for faster range walks (a table
 *    would need three more words); a lock per address space for all leaf
 *    entries (faults of one process would queue up).
 *
 * References: Intel SDM vol. 3A ch. 4; Linux documentation mm/split_page_
 * table_lock.
 */
#include "pgtable/pgtable.h"

#include <mmkit/errno.h>
#include <mmkit/gfp.h>
#include <mmkit/page_alloc.h>
#include <mmkit/port.h>

#include "base/fail.h"
#include "base/string.h"
#include "pgtable/huge.h"
#include "pgtable/kernel.h"
#include "pgtable/pgtable_priv.h"
#include "phys/alloc.h"
#include "phys/group.h"
#include "phys/mmzone.h"
#include "phys/vmstat.h"

static void table_account(const struct page *table, long n)
{
	page_stat_add(table, NR_PAGETABLE, n);
}

/* The table's lock. Who looks for pages to move or merge may be looking at the
 * word of a frame that was something else a moment ago: one store. */
static void table_lock_init(struct page *table)
{
	const spinlock_t lock = SPIN_LOCK_UNLOCKED(LOCK_CLASS_PTL);
	u64 word;

	MM_STATIC_ASSERT(sizeof(lock) == sizeof(word), "the lock is the word");
	mm_memcpy(&word, &lock, sizeof(word));
	set_page_mapping_word(table, word);
}

static struct page *table_new(void)
{
	struct page *table;

	if (fail_should(FAIL_PGTABLE))
		return NULL;
	table = alloc_zeroed_page(GFP_KERNEL | __GFP_ACCOUNT);
	if (!table)
		return NULL;
	SetPageTable(table);
	table->next = PFN_NONE;
	table_lock_init(table);
	table_account(table, 1);
	return table;
}

/* TABLE is an ordinary frame again, but for the account. */
static void table_unmake(struct page *table)
{
	mm_verify(PageTable(table));
	/* In this order: see __PageMovable(). */
	set_page_mapping_word(table, 0);
	ClearPageTable(table);
}

void pt_table_release(struct page *table)
{
	table_unmake(table);
	table_account(table, -1);
	__free_pages(table, 0);
}

void pt_tables_release_empty(struct page **tables, u32 nr)
{
	u32 counted = 0;

	for (u32 i = 0; i < nr; i++) {
		table_unmake(tables[i]);
		if (page_zone_id(tables[i]) == page_zone_id(tables[counted]) &&
		    page_group(tables[i]) == page_group(tables[counted]))
			continue;
		table_account(tables[counted], -(long)(i - counted));
		counted = i;
	}
	if (nr)
		table_account(tables[counted], -(long)(nr - counted));
	free_zeroed_pages(tables, nr);
}

/*
 * How many tables TABLE, an upper one of a process, links to. Tables are taken
 * out of it without a lock, where nobody else looks.
 */
static void table_used_add(struct page *table, u32 n)
{
	page_private_add(table, n);
}

static void *table_entry(const struct paging_format *f,
			 const struct page *table, u32 index)
{
	return (char *)page_view(table) + (u64)index * f->entry_bytes;
}

/* ---- entries of other formats
 * ---------------------------------------------------------- */

pte_t pt_get_odd(const struct pt_slot *slot)
{
	return pte_decode(slot->fmt, slot->level,
			  pt_raw_read(slot->fmt, slot->entry));
}

/* Store RAW in one piece; what other CPUs see comes before. */
static void raw_set(const struct pt_slot *slot, u64 raw)
{
	if (slot->fmt->entry_bytes == 8)
		__atomic_store_n((u64 *)slot->entry, raw, __ATOMIC_RELEASE);
	else
		__atomic_store_n((u32 *)slot->entry, (u32)raw,
				 __ATOMIC_RELEASE);
}

void pt_set_odd(const struct pt_slot *slot, pte_t e)
{
	raw_set(slot, pte_encode(slot->fmt, slot->level, e));
}

pte_t pt_xchg_odd(const struct pt_slot *slot, pte_t e)
{
	u64 raw = pte_encode(slot->fmt, slot->level, e);
	u64 old = pt_raw_read(slot->fmt, slot->entry);

	while (!pt_raw_cmpxchg(slot->fmt, slot->entry, &old, raw))
		;
	return pte_decode(slot->fmt, slot->level, old);
}

pte_t pt_clear_bits_odd(const struct pt_slot *slot, u64 bits)
{
	u64 old = pt_raw_read(slot->fmt, slot->entry);
	pte_t e;

	do {
		e = pte_decode(slot->fmt, slot->level, old);
	} while (!pt_raw_cmpxchg(
		slot->fmt, slot->entry, &old,
		pte_encode(slot->fmt, slot->level, __pte(e.val & ~bits))));
	return e;
}

pte_t pt_set_bits_odd(const struct pt_slot *slot, u64 bits)
{
	u64 old = pt_raw_read(slot->fmt, slot->entry);
	pte_t e;

	do {
		e = pte_decode(slot->fmt, slot->level, old);
	} while (!pt_raw_cmpxchg(
		slot->fmt, slot->entry, &old,
		pte_encode(slot->fmt, slot->level, __pte(e.val | bits))));
	return e;
}

/* ---- trees
 * ------------------------------------------------------------------------------
 */

int pgtable_init(struct pgtable *pt, const struct paging_format *fmt)
{
	struct page *root = table_new();

	if (!root)
		return -ENOMEM;
	mm_assert(fmt->levels >= 2 && fmt->levels <= PT_MAX_LEVELS);
	pt->fmt = fmt;
	pt->root_pfn = page_to_pfn(root);
	pt->table_bytes = PAGE_SIZE;
	pgtable_owner(pt, NULL, 0);
	spin_lock_init(&pt->lock, LOCK_CLASS_PGTABLE);
	kernel_join(pt);
	return 0;
}

void pgtable_destroy(struct pgtable *pt)
{
	mm_verify(READ_ONCE(pt->table_bytes) == PAGE_SIZE);
	kernel_leave(pt);
	pt_table_release(pfn_to_page(pt->root_pfn));
	pt->root_pfn = 0;
}

struct page *pt_table_new(struct pgtable *pt)
{
	struct page *table = table_new();

	if (table)
		__atomic_fetch_add(&pt->table_bytes, PAGE_SIZE,
				   __ATOMIC_RELAXED);
	return table;
}

void pt_table_unused(struct pgtable *pt, struct page *table)
{
	__atomic_fetch_sub(&pt->table_bytes, PAGE_SIZE, __ATOMIC_RELAXED);
	pt_tables_release_empty(&table, 1);
}

/* The slot for VA in TABLE, which stands at LEVEL. */
static struct pt_slot slot_in(const struct paging_format *f, struct page *table,
			      int level, uva_t va)
{
	return (struct pt_slot){table_entry(f, table, pt_index(f, level, va)),
				table, f, (u8)level};
}

static void walk_odd(const struct pgtable *pt, uva_t va, struct pt_slot *slot)
{
	struct page *table = pfn_to_page(pt->root_pfn);
	pte_t e;

	for (int level = pt->fmt->levels - 1;; level--) {
		*slot = slot_in(pt->fmt, table, level, va);
		if (level == 0)
			return;
		e = pt_get(slot);
		if (!pte_present(e) || pte_huge(e))
			return;
		table = pfn_to_page(pte_pfn(e));
	}
}

/* Where the CPU's layout is the manager's: 512 entries of 8 bytes. */
#define NATIVE_BITS  9
#define NATIVE_BYTES 8u

/* The way down to a slot: the table that was reached, and its entry. */
struct walk {
	phys_addr_t table;
	u64 *entry;
	u32 level;
};

/* Where in a table at LEVEL the entry of VA is. */
static inline u64 native_offset(uva_t va, u32 level)
{
	return va >> (PAGE_SHIFT - 3 + level * NATIVE_BITS) &
	       ((PAGE_SIZE - 1) & ~(u64)(NATIVE_BYTES - 1));
}

/* To VA's entry in the table at hand, at LEVEL; true if it ends here: in a leaf
 * table, at nothing, or at a large entry. */
static inline __attribute__((always_inline)) bool
native_step(struct walk *w, uva_t va, u32 level)
{
	u64 raw;

	w->entry = port_ram(w->table + native_offset(va, level));
	w->level = level;
	if (level == 0)
		return true;
	raw = __atomic_load_n(w->entry, __ATOMIC_ACQUIRE);
	if (unlikely((raw & (X86_PTE_P | X86_PTE_PS)) != X86_PTE_P))
		return true;
	w->table = raw & X86_PTE_FRAME;
	return false;
}

/* A step for each level, its shift a constant: four or five. */
static inline __attribute__((always_inline)) struct walk
walk_native(const struct pgtable *pt, uva_t va)
{
	struct walk w = {.table = PFN_PHYS(pt->root_pfn)};

	if (unlikely(pt->fmt->levels == 5) && native_step(&w, va, 4))
		return w;
	if (!native_step(&w, va, 3) && !native_step(&w, va, 2) &&
	    !native_step(&w, va, 1))
		(void)native_step(&w, va, 0);
	return w;
}

/* SLOT, of VA, is at a large entry: to the one in the table that it stands for.
 */
static void step_beside(struct pt_slot *slot, uva_t va)
{
	struct page *leaf = pt_huge_table(slot->table, pt_slot_index(slot));

	*slot = slot_in(slot->fmt, leaf, 0, va);
}

/*
 * Down towards VA as far as there are tables, large entries included. That it
 * is a table is verified where the walk ends: a wrong link above leads to none.
 */
static void walk_down(const struct pgtable *pt, uva_t va, struct pt_slot *slot)
{
	if (likely(pt->fmt->kind == PAGING_X86_64)) {
		struct walk w = walk_native(pt, va);

		*slot = (struct pt_slot){w.entry,
					 pfn_to_page(PFN_DOWN(w.table)),
					 pt->fmt, (u8)w.level};
	} else {
		walk_odd(pt, va, slot);
	}
	mm_verify(PageTable(slot->table));
}

/* To VA's slot in the leaf table, or to an upper one with nothing below. */
static MM_NOINLINE void walk(const struct pgtable *pt, uva_t va,
			     struct pt_slot *slot)
{
	for (;;) {
		pte_t e;

		walk_down(pt, va, slot);
		if (likely(slot->level != 1))
			return;
		e = pt_get(slot);
		if (!pte_present(e))
			return;
		if (pte_huge(e)) {
			step_beside(slot, va);
			return;
		}
		/* Demoted, or installed, just now. */
	}
}

/* Leaf tables are freed only where nobody looks (PT-2), but what stands for one
 * may change: from a link to a large entry and back. */
bool pt_upper(const struct pgtable *pt, uva_t va, struct pt_slot *slot)
{
	struct page *table = pfn_to_page(pt->root_pfn);

	for (int level = pt->fmt->levels - 1;; level--) {
		pte_t e;

		*slot = slot_in(pt->fmt, table, level, va);
		if (level == 1)
			return true;
		e = pt_get(slot);
		if (!pte_present(e) || pte_huge(e))
			return false;
		table = pfn_to_page(pte_pfn(e));
		mm_verify(PageTable(table));
	}
}

/* pt_lookup() in tables of any layout. */
static MM_NOINLINE bool lookup_odd(const struct pgtable *pt, uva_t va,
				   struct pt_slot *slot)
{
	struct pt_slot s;

	walk(pt, va, &s);
	if (s.level > 0)
		return false;
	*slot = s;
	return true;
}

/* The leaf table's slot, where the layout is the CPU's and the table there. */
static inline __attribute__((always_inline)) bool
lookup_fast(const struct pgtable *pt, uva_t va, struct pt_slot *slot)
{
	struct page *table;
	struct walk w;

	if (unlikely(pt->fmt->kind != PAGING_X86_64))
		return false;
	w = walk_native(pt, va);
	table = pfn_to_page(PFN_DOWN(w.table));
	mm_verify(PageTable(table));
	if (unlikely(w.level > 0))
		return w.level == 1 &&
		       pte_present(__pte(READ_ONCE(*w.entry))) &&
		       lookup_odd(pt, va, slot);
	slot->entry = w.entry;
	slot->table = table;
	slot->fmt = pt->fmt;
	slot->level = 0;
	return true;
}

bool pt_lookup(const struct pgtable *pt, uva_t va, struct pt_slot *slot)
{
	if (likely(pt->fmt->kind == PAGING_X86_64))
		return lookup_fast(pt, va, slot);
	return lookup_odd(pt, va, slot);
}

/* Install a fresh table under SLOT unless somebody else just did. */
static int table_install(struct pgtable *pt, struct pt_slot *slot)
{
	struct page *table = table_new();

	if (!table)
		return -ENOMEM;
	spin_lock(&pt->lock);
	if (!pte_present(pt_get(slot))) {
		pt_set(slot, pt_table_link(table));
		table_used_add(slot->table, 1);
		table = NULL;
	}
	spin_unlock(&pt->lock);
	if (table)
		pt_tables_release_empty(&table, 1);
	else
		__atomic_fetch_add(&pt->table_bytes, PAGE_SIZE,
				   __ATOMIC_RELAXED);
	return 0;
}

/* S, of VA in an upper table, whose entry is a link, goes down by it. */
static void step_down(struct pt_slot *s, uva_t va)
{
	pte_t e = pt_get(s);
	u32 level;

	if (unlikely(s->level == 1 && pte_huge(e))) {
		step_beside(s, va);
		return;
	}
	level = --s->level;
	s->table = pfn_to_page(pte_pfn(e));
	mm_verify(PageTable(s->table));
	if (pt_native(s))
		s->entry = port_ram(PFN_PHYS(pte_pfn(e)) +
				    native_offset(va, level));
	else
		*s = slot_in(s->fmt, s->table, (int)level, va);
}

static MM_NOINLINE int alloc_slow(struct pgtable *pt, uva_t va,
				  struct pt_slot *slot)
{
	struct pt_slot s;

	/* On from each table that is there now, ours or another's. */
	for (walk(pt, va, &s); s.level > 0; step_down(&s, va))
		if (!pte_present(pt_get(&s)) && table_install(pt, &s))
			return -ENOMEM;
	*slot = s;
	return 0;
}

int pt_alloc(struct pgtable *pt, uva_t va, struct pt_slot *slot)
{
	return lookup_fast(pt, va, slot) ? 0 : alloc_slow(pt, va, slot);
}

uva_t pt_skip(const struct pgtable *pt, uva_t va, uva_t end)
{
	struct pt_slot s;
	u64 span;
	uva_t next;

	walk(pt, va, &s);
	span = pt_span(pt->fmt, s.level);
	next = ALIGN_DOWN(va, span) + span;
	return next - 1 < end - 1 ? next : end;
}

/* May the table that covers [BASE, BASE + SPAN) go? */
static bool table_in_limits(const struct pt_free_range *r, uva_t base, u64 span)
{
	if (base < r->floor)
		return false;
	return r->ceiling == 0 || base + span - 1 <= r->ceiling - 1;
}

/* The leaf TABLE, which maps from BASE on and is to go, holds something: say
 * what, since nobody can look any more when it is over. */
static MM_COLD void leaf_not_empty(const struct pgtable *pt,
				   const struct page *table, uva_t base)
{
	u32 used = 0, first = 0;

	for (u32 i = pt_entries(pt->fmt, 0); i-- > 0;) {
		if (!pt_raw_read(pt->fmt, table_entry(pt->fmt, table, i)))
			continue;
		first = i;
		used++;
	}
	mm_bug("verify_leaf_empty: %u entries of a table that goes, first 0x%llx at 0x%llx",
	       used,
	       (unsigned long long)pt_raw_read(
		       pt->fmt, table_entry(pt->fmt, table, first)),
	       (unsigned long long)(base + (u64)first * PAGE_SIZE));
}

#define OR_OF_8(at)                                                            \
	((at)[0] | (at)[1] | (at)[2] | (at)[3] | (at)[4] | (at)[5] | (at)[6] | \
	 (at)[7])

/*
 * "None" is all zero in every format (PG-2), so any words will do: the widest
 * that the compiler has without being asked. Nobody writes here any more.
 */
static void verify_leaf_empty(const struct pgtable *pt,
			      const struct page *table, uva_t base)
{
	typedef u64 words_t __attribute__((vector_size(16), may_alias));
	const words_t *at = page_view(table), *end = at + PAGE_SIZE / 16;
	words_t any = {0, 0};

	for (; at < end; at += 32)
		any |= OR_OF_8(at) | OR_OF_8(at + 8) | OR_OF_8(at + 16) |
		       OR_OF_8(at + 24);
	if (unlikely(any[0] | any[1]))
		leaf_not_empty(pt, table, base);
}

/* The first entry of TABLE, at LEVEL, from FIRST to LAST that is not none; or
 * LAST + 1. */
static u32 next_used(const struct paging_format *f, const struct page *table,
		     u32 first, u32 last)
{
	const u64 *entry = page_view(table);

	if (f->entry_bytes != sizeof(*entry))
		return first;
	while (first <= last && !READ_ONCE(entry[first])) {
		bool eight = first % 8 == 0 && first + 7 <= last;

		first += eight && !OR_OF_8(entry + first) ? 8 : 1;
	}
	return first;
}

static void free_table(struct pgtable *pt, struct page *table,
		       const struct pt_free_range *r)
{
	__atomic_fetch_sub(&pt->table_bytes, PAGE_SIZE, __ATOMIC_RELAXED);
	r->free(table, r->arg);
}

/*
 * Free what may go below TABLE, which stands at LEVEL and covers addresses
 * from BASE. Recursion depth is the number of levels.
 */
static void free_below(struct pgtable *pt, struct page *table, int level,
		       uva_t base, const struct pt_free_range *r)
{
	const struct paging_format *f = pt->fmt;
	u64 span = pt_span(f, level);
	uva_t end = min(base + (span << f->bits[level]) - 1, r->end - 1);
	u32 last = pt_index(f, level, end);
	u32 i = pt_index(f, level, max(base, r->start));
	/* The tables that it links to: after so many there are none. */
	u64 left = page_private(table);

	for (; left && (i = next_used(f, table, i, last)) <= last; i++) {
		uva_t va = base + i * span;
		struct pt_slot slot = slot_in(f, table, level, va);
		pte_t e = pt_get(&slot);
		struct page *child;

		if (!pte_present(e))
			continue;
		left--;
		child = pfn_to_page(pte_pfn(e));
		if (level > 1)
			free_below(pt, child, level - 1, va, r);
		if (!table_in_limits(r, va, span))
			continue;
		mm_verify(!pte_huge(e));
		/* PT-3; r->free may take it that the table is all zero. */
		if (level == 1)
			verify_leaf_empty(pt, child, va);
		else
			mm_verify(page_private(child) == 0);
		if (level == 1 && unlikely(child->next))
			pt_twin_forget(table, i, child);
		pt_set(&slot, __pte(0));
		table_used_add(table, -1u);
		if (level == 2 && unlikely(child->next))
			free_table(pt, pt_twin_take(child), r);
		free_table(pt, child, r);
	}
}

/* Does a leaf table's whole span touch R and lie within its limits? If none
 * does, neither does an upper one's. */
static bool may_free_any(const struct paging_format *f,
			 const struct pt_free_range *r)
{
	u64 span = pt_span(f, 1);
	uva_t first = ALIGN_DOWN(r->start, span);
	uva_t last = ALIGN_DOWN(r->end - 1, span);

	if (first < r->floor)
		first += span;
	if (r->ceiling && r->ceiling - last < span)
		last -= span;
	return first <= last;
}

void pgtable_free_range(struct pgtable *pt, const struct pt_free_range *r)
{
	mm_assert(r->start < r->end);
	mm_assert(r->floor <= r->start);
	if (!may_free_any(pt->fmt, r))
		return;
	free_below(pt, pfn_to_page(pt->root_pfn), pt->fmt->levels - 1, 0, r);
}

/* What entry I of TABLE, at LEVEL, links to or, large, stands for. */
static const struct page *table_below(const struct pgtable *pt,
				      const struct page *table, int level,
				      u32 i)
{
	struct pt_slot slot = pt_slot_at(pt->fmt, table, (u8)level, i);
	pte_t e = pt_get(&slot);

	if (level == 1 && pte_huge(e))
		return pt_huge_check(&slot, i);
	return pfn_to_page(pte_pfn(e));
}

static u64 check_below(const struct pgtable *pt, const struct page *table,
		       int level)
{
	/* One at level 1 may have a twin. */
	u64 n = level == 1 && table->next ? 2 : 1;

	mm_verify(PageTable(table) && !pt_is_kernel(table));
	mm_verify(page_count(table) == 1);
	for (u32 i = 0; i < pt_entries(pt->fmt, level); i++) {
		u64 raw = pt_raw_read(pt->fmt, table_entry(pt->fmt, table, i));
		pte_t e = pte_decode(pt->fmt, level, raw);

		/* From there on it is the kernel's (kernel_tables_check()). */
		if (level == pt->fmt->levels - 1 && kernel_shared(pt, i))
			break;
		if (!pte_present(e)) {
			mm_verify(level == 0 || pte_none(e));
			continue;
		}
		mm_verify(pfn_valid(pte_pfn(e)));
		if (level > 0)
			n += check_below(pt, table_below(pt, table, level, i),
					 level - 1);
	}
	return n;
}

u64 pgtable_check(const struct pgtable *pt)
{
	u64 n = check_below(pt, pfn_to_page(pt->root_pfn), pt->fmt->levels - 1);

	mm_verify(n * PAGE_SIZE == READ_ONCE(pt->table_bytes));
	return n;
}
