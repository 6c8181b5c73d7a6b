/* SPDX-License-Identifier: MIT */
/*
 * kernel.c - the kernel's own page tables.
 *
 * 1. Purpose. What the kernel sees of memory is the same in every process: a
 *    direct map of RAM, the descriptors of frames, its image, fixed and
 *    temporary mappings. It is kept in one master table that no process owns.
 *
 * 2. Structures.
 *
 *      master root   | user: empty |  k0 |  k1 | ... |     processes' roots
 *                                     |     |              hold the same
 *                                     v     v              entries k0, k1
 *                                   tables below: one set, shared by all
 *
 *    Everything below the root is shared by pointing to it, so only a change
 *    in the root itself has to be carried to others: pgtable_sys.roots lists
 *    them. With PAE that is the fourth of four entries. arm64 has a register
 *    of its own for the upper half (TTBR1): nothing is copied there.
 *
 *    Tables are frames like those of processes (PG_table), with index
 *    TABLE_KERNEL. They are not counted as NR_PAGETABLE, which is what
 *    programs use.
 *
 * 3. Invariants.
 *    KT-1  A kernel entry of a root equals the master's, for every table in
 *          the list.
 *    KT-2  A table of the master is never freed (a process may be walking it),
 *          but for an empty leaf table where an area wants a large page.
 *    KT-3  Each frame of low RAM that is online is in the direct map, once, by
 *          the largest page that holds nothing but RAM; with debug_pagealloc
 *          by small ones, so that a world can take free frames out.
 *    KT-4  What is mapped is unmapped and flushed before another frame is.
 *
 * 4. Locking. pgtable_sys.lock for installing tables, for changes of the
 *    master's root and for the list. Leaf entries belong to whoever owns the
 *    range (fixmap slot, pkmap slot, vmalloc area). Splitting takes the lock;
 *    frames of the direct map are split by hotplug alone, under its lock.
 *
 * 5. Life. Made at boot, after the page allocator; sections that come online
 *    are mapped (with their descriptors) before, and unmapped after they go:
 *    by a notifier whose veto stops what there is no memory for.
 *
 * 6. Failure. -ENOMEM with nothing mapped; tables that were made stay.
 *
 * 7. Cost. 1 GiB pages where the format has them: a tebibyte of direct map is
 *    two tables. A small machine pays one table for each level of each
 *    region. Mapping a page: a walk and a store. Each new root entry: one
 *    store for each process; there are at most a few hundred in a lifetime.
 *
 * 8. Rejected. Filling other roots lazily in the fault handler (Linux on
 *    x86-32): the port would have to report kernel faults. Making all root
 *    entries at boot so that no root ever changes: 256 tables, a mebibyte.
 *
 * References: Linux documentation, arch/x86/x86_64/mm, mm/vmemmap_dedup,
 * mm/highmem; Intel SDM vol. 3A, 4.10 (global pages).
 */
#include "pgtable/kernel.h"

#include <mmkit/errno.h>
#include <mmkit/gfp.h>
#include <mmkit/page_alloc.h>
#include <mmkit/port.h>

#include "base/fail.h"
#include "base/printk.h"
#include "base/string.h"
#include "pgtable/highmem_priv.h"
#include "pgtable/pgtable_priv.h"
#include "phys/phys.h"

/* Rights of a link: the leaf decides, but never for a user. */
#define KERNEL_LINK (X86_PTE_P | X86_PTE_RW | X86_PTE_A)

struct pgtable_state pgtable_sys;

void pgtable_reset(void)
{
	mm_memset(&pgtable_sys, 0, sizeof(pgtable_sys));
}

/* ---- roots that share
 * --------------------------------------------------------------- */

static u8 root_level(const struct paging_format *f)
{
	return (u8)(f->levels - 1);
}

/* The first index of F's root that is the kernel's; all, if none is. */
static u32 first_shared(const struct paging_format *f)
{
	if (kernel_root_apart(f))
		return pt_entries(f, root_level(f));
	return pt_index(f, root_level(f), f->kernel_start);
}

static bool shares(const struct pgtable *pt)
{
	return pgtable_sys.up && pt->fmt == pgtable_sys.master.fmt;
}

bool kernel_shared(const struct pgtable *pt, u32 index)
{
	return shares(pt) && index >= first_shared(pt->fmt);
}

static struct pt_slot root_entry(const struct pgtable *pt, u32 index)
{
	return pt_slot_at(pt->fmt, pfn_to_page(pt->root_pfn),
			  root_level(pt->fmt), index);
}

/* Set SLOT of the master; other roots follow. pgtable_sys.lock held. */
static void master_set(const struct pt_slot *slot, pte_t e)
{
	const struct paging_format *f = slot->fmt;
	struct pgtable *pt;
	u32 index;

	pt_set(slot, e);
	if (slot->level != root_level(f) || kernel_root_apart(f))
		return;
	index = pt_slot_index(slot);
	mm_assert(index >= first_shared(f));
	list_for_each_entry (pt, &pgtable_sys.roots, sharing) {
		struct pt_slot other = root_entry(pt, index);

		pt_set(&other, e);
	}
}

void kernel_join(struct pgtable *pt)
{
	u32 first, nr = pt_entries(pt->fmt, root_level(pt->fmt));
	struct pt_slot from, to;

	INIT_LIST_HEAD(&pt->sharing);
	if (!shares(pt) || kernel_root_apart(pt->fmt))
		return;
	first = first_shared(pt->fmt);
	from = root_entry(&pgtable_sys.master, first);
	to = root_entry(pt, first);
	spin_lock(&pgtable_sys.lock);
	/* Of one format, and nobody has the fresh root yet. */
	mm_memcpy(to.entry, from.entry,
		  (size_t)(nr - first) * pt->fmt->entry_bytes);
	list_add_tail(&pt->sharing, &pgtable_sys.roots);
	spin_unlock(&pgtable_sys.lock);
}

void kernel_leave(struct pgtable *pt)
{
	if (list_empty(&pt->sharing))
		return;
	spin_lock(&pgtable_sys.lock);
	list_del_init(&pt->sharing);
	spin_unlock(&pgtable_sys.lock);
}

/* ---- walking the master
 * --------------------------------------------------------------- */

static struct page *kernel_table_new(void)
{
	struct page *table;

	if (fail_should(FAIL_PGTABLE))
		return NULL;
	table = alloc_pages(GFP_KERNEL | __GFP_ZERO, 0);
	if (!table)
		return NULL;
	SetPageTable(table);
	pt_mark_kernel(table);
	__atomic_fetch_add(&pgtable_sys.nr_tables, 1, __ATOMIC_RELAXED);
	return table;
}

static void kernel_table_free(struct page *table)
{
	__atomic_fetch_sub(&pgtable_sys.nr_tables, 1, __ATOMIC_RELAXED);
	set_page_mapping_word(table, 0);
	ClearPageTable(table);
	__free_pages(table, 0);
}

static struct pt_slot master_slot(kva_t va)
{
	const struct paging_format *f = pgtable_sys.master.fmt;

	mm_assert(is_kernel_va(f, va));
	return root_entry(&pgtable_sys.master, pt_index(f, root_level(f), va));
}

static bool is_leaf(const struct pt_slot *slot, pte_t e)
{
	return slot->level == 0 || pte_huge(e);
}

/* From SLOT, whose entry is the link E, down to VA's slot. */
static void go_down(struct pt_slot *slot, pte_t e, kva_t va)
{
	struct page *table = pfn_to_page(pte_pfn(e));
	u8 level = (u8)(slot->level - 1);

	mm_verify(PageTable(table) && pt_is_kernel(table));
	*slot = pt_slot_at(slot->fmt, table, level,
			   pt_index(slot->fmt, level, va));
}

/* The slot where VA's mapping ends: a leaf, or what is not present. */
static struct pt_slot deepest(kva_t va)
{
	struct pt_slot s = master_slot(va);

	for (;;) {
		pte_t e = pt_get(&s);

		if (!pte_present(e) || is_leaf(&s, e))
			return s;
		go_down(&s, e, va);
	}
}

bool kernel_slot(kva_t va, struct pt_slot *slot)
{
	*slot = deepest(va);
	return slot->level == 0;
}

bool kernel_lookup(kva_t va, struct kernel_entry *out)
{
	struct pt_slot s = deepest(va);
	pte_t e = pt_get(&s);

	if (!pte_present(e))
		return false;
	out->pte = e;
	out->level = s.level;
	out->pfn = pte_pfn(e) +
		   ((va & (pt_span(s.fmt, s.level) - 1)) >> PAGE_SHIFT);
	return true;
}

/* Hang TABLE below SLOT if its entry is still OLD; false if not. */
static bool hang_table(const struct pt_slot *slot, pte_t old,
		       const struct page *table)
{
	bool same;

	spin_lock(&pgtable_sys.lock);
	same = pte_same(pt_get(slot), old);
	if (same)
		master_set(slot,
			   pte_make(page_to_pfn(table), __pgprot(KERNEL_LINK)));
	spin_unlock(&pgtable_sys.lock);
	return same;
}

/* VA's slot at LEVEL; missing tables are made. 0 or -ENOMEM. */
static int master_alloc(kva_t va, int level, struct pt_slot *slot)
{
	struct pt_slot s = master_slot(va);

	while (s.level > level) {
		pte_t e = pt_get(&s);

		if (!pte_present(e)) {
			struct page *table = kernel_table_new();

			if (!table)
				return -ENOMEM;
			if (!hang_table(&s, e, table))
				kernel_table_free(table);
			e = pt_get(&s);
		}
		mm_verify(!is_leaf(&s, e));
		go_down(&s, e, va);
	}
	*slot = s;
	return 0;
}

/* ---- leaf tables that were found
 * -------------------------------------------------------- */

/*
 * Areas of the vmalloc space come and go by the thousand in the same few
 * tables. pgtable_sys.leaf holds such a table by its number from the space's
 * start: number << 32 | frame; frame 0 is none. By KT-2 what is found here is
 * there for as long as the range is its owner's; drop_table() forgets.
 */
static u64 leaf_number(kva_t va)
{
	const struct paging_format *f = pgtable_sys.master.fmt;

	return (va - pgtable_sys.layout.vmalloc_start) >> f->shift[1];
}

static inline bool leaf_recall(kva_t va, struct pt_slot *slot)
{
	const struct paging_format *f = pgtable_sys.master.fmt;
	u64 nr = leaf_number(va);
	u64 word = smp_load_acquire(&pgtable_sys.leaf[nr % KERNEL_LEAVES]);

	if (!(u32)word || word >> 32 != nr)
		return false;
	*slot = pt_slot_at(f, pfn_to_page((u32)word), 0, pt_index(f, 0, va));
	return true;
}

#define NATIVE_BITS  9 /* of leaf tables of what is PAGING_X86_64 */
#define NATIVE_SHIFT (PAGE_SHIFT + NATIVE_BITS)

/*
 * The same for NR entries that stand as the manager carries them: the first,
 * or NULL if another way must be found.
 */
static inline u64 *leaf_entries(kva_t va, u64 nr)
{
	u64 number = (va - pgtable_sys.layout.vmalloc_start) >> NATIVE_SHIFT;
	u64 word = smp_load_acquire(&pgtable_sys.leaf[number % KERNEL_LEAVES]);
	u64 index = va >> PAGE_SHIFT & ((1u << NATIVE_BITS) - 1);

	if (pgtable_sys.master.fmt->kind != PAGING_X86_64 || !(u32)word ||
	    word >> 32 != number || index + nr > 1u << NATIVE_BITS)
		return NULL;
	return (u64 *)port_ram(PFN_PHYS((u64)(u32)word)) + index;
}

/* SLOT, of a leaf table, is VA's. */
static void leaf_remember(kva_t va, const struct pt_slot *slot)
{
	u64 nr = leaf_number(va), pfn = page_to_pfn(slot->table);

	mm_assert(slot->level == 0);
	if (nr <= UINT32_MAX && pfn <= UINT32_MAX)
		smp_store_release(&pgtable_sys.leaf[nr % KERNEL_LEAVES],
				  nr << 32 | pfn);
}

static void leaf_forget(kva_t va)
{
	u64 nr = leaf_number(va);
	u64 *at = &pgtable_sys.leaf[nr % KERNEL_LEAVES];

	/* Another's number in its place may be lost: found again by a walk. */
	if (READ_ONCE(*at) >> 32 == nr)
		WRITE_ONCE(*at, 0UL);
}

/* VA's slot in its leaf table, which is made if it is missing. 0 or -ENOMEM. */
static int leaf_alloc(kva_t va, struct pt_slot *slot)
{
	int err = 0;

	if (likely(leaf_recall(va, slot)))
		return 0;
	err = master_alloc(va, 0, slot);
	if (!err)
		leaf_remember(va, slot);
	return err;
}

/* ---- entries
 * ----------------------------------------------------------------------------
 */

/* N entries at VA of SLOT's level came into, or went from, the direct map. */
static void count_direct(const struct pt_slot *slot, kva_t va, s64 n)
{
	const struct kernel_layout *l = &pgtable_sys.layout;

	if (va - l->page_offset < l->low_end)
		__atomic_fetch_add(&pgtable_sys.direct[slot->level], (u64)n,
				   __ATOMIC_RELAXED);
}

/* E as a leaf of LEVEL. */
static pte_t leaf_entry(int level, pte_t e)
{
	return level ? pte_mkhuge(e) : e;
}

static void set_leaf(const struct pt_slot *slot, kva_t va, pte_t e)
{
	mm_verify(pte_none(pt_get(slot)));
	if (slot->level == root_level(slot->fmt)) {
		spin_lock(&pgtable_sys.lock);
		master_set(slot, e);
		spin_unlock(&pgtable_sys.lock);
	} else {
		pt_set(slot, e);
	}
	count_direct(slot, va, 1);
}

/* The largest level at which VA and PFN can be joined for NR pages. */
static int best_level(kva_t va, u64 pfn, u64 nr)
{
	const struct paging_format *f = pgtable_sys.master.fmt;
	int level = root_level(f);

	for (; level > 0; level--) {
		u64 span = pt_span(f, level);

		if (pt_leaf_allowed(f, level) && nr >= span >> PAGE_SHIFT &&
		    IS_ALIGNED(va | PFN_PHYS(pfn), span))
			break;
	}
	return level;
}

/* Without views. Mapped so far on failure: [va, *DONE). */
static int map_range(kva_t va, u64 pfn, u64 nr, pgprot_t prot, bool large,
		     u64 *done)
{
	*done = 0;
	while (*done < nr) {
		kva_t at = va + (*done << PAGE_SHIFT);
		int level = large ? best_level(at, pfn + *done, nr - *done) : 0;
		struct pt_slot slot;
		int err = master_alloc(at, level, &slot);

		if (err)
			return err;
		set_leaf(&slot, at,
			 leaf_entry(level, pte_make(pfn + *done, prot)));
		*done += pt_span(slot.fmt, level) >> PAGE_SHIFT;
	}
	return 0;
}

int kernel_map_large(kva_t va, u64 pfn, u64 nr, pgprot_t prot)
{
	u64 done;
	int err;

	mm_assert(IS_ALIGNED(va, PAGE_SIZE) && nr > 0);
	err = map_range(va, pfn, nr, prot, true, &done);
	if (err && done)
		kernel_unmap(va, done);
	return err;
}

int kernel_map(kva_t va, u64 pfn, u64 nr, pgprot_t prot)
{
	bool window = highmem_window(va);
	u64 done;
	int err;

	mm_assert(IS_ALIGNED(va, PAGE_SIZE) && nr > 0);
	err = map_range(va, pfn, nr, prot, false, &done);
	if (!err && window)
		err = port_kmap_view(va, pfn, nr);
	if (err && done)
		kernel_unmap(va, done);
	return err;
}

/* Clear the leaf at SLOT, which maps VA; the flush is the caller's. */
static void clear_leaf(const struct pt_slot *slot, kva_t va)
{
	if (slot->level == root_level(slot->fmt)) {
		spin_lock(&pgtable_sys.lock);
		master_set(slot, __pte(0));
		spin_unlock(&pgtable_sys.lock);
	} else {
		pt_xchg(slot, __pte(0));
	}
	count_direct(slot, va, -1);
}

void kernel_unmap(kva_t va, u64 nr)
{
	kva_t at = va;
	u64 left = nr;

	mm_assert(IS_ALIGNED(va, PAGE_SIZE) && nr > 0);
	while (left) {
		struct pt_slot s = deepest(at);
		u64 span = pt_span(s.fmt, s.level);
		u64 pages = (span - (at & (span - 1))) >> PAGE_SHIFT;

		if (pte_present(pt_get(&s))) {
			mm_verify(IS_ALIGNED(at, span) && pages <= left);
			clear_leaf(&s, at);
		}
		pages = min(pages, left);
		left -= pages;
		at += pages << PAGE_SHIFT;
	}
	if (highmem_window(va))
		port_kunmap_view(va, nr);
	port_tlb_flush_kernel(va, va + (nr << PAGE_SHIFT));
}

/* ---- areas: many frames at once, flushed by their owner later
 * ----------------------- */

/* fill_table() for entries that are as the manager carries them. */
static void fill_native(u64 *entry, struct page *const *pages, u64 nr,
			pgprot_t prot)
{
	const struct page *page = pages[0];
	u64 val = pte_val(pte_make(page_to_pfn(page), prot));

	for (u64 i = 0; i < nr; i++) {
		/* Frames mostly follow each other. */
		if (unlikely(pages[i] != page)) {
			page = pages[i];
			val = pte_val(pte_make(page_to_pfn(page), prot));
		}
		mm_verify(!READ_ONCE(entry[i]));
		__atomic_store_n(entry + i, val, __ATOMIC_RELEASE);
		val += PAGE_SIZE;
		page++;
	}
}

/*
 * The frames PAGES[0 .. NR) into the leaf table of SLOT, which is VA's; as far
 * as that table goes. Returns how many.
 */
static u64 fill_table(struct pt_slot *slot, kva_t va, struct page *const *pages,
		      u64 nr, pgprot_t prot)
{
	u64 span = pt_span(slot->fmt, 1);
	u64 room = (span - (va & (span - 1))) >> PAGE_SHIFT;
	u64 i;

	nr = min(nr, room);
	if (pt_native(slot)) {
		fill_native(slot->entry, pages, nr, prot);
		return nr;
	}
	for (i = 0; i < nr; i++) {
		mm_verify(pte_none(pt_get(slot)));
		pt_set(slot, pte_make(page_to_pfn(pages[i]), prot));
		pt_next(slot);
	}
	return nr;
}

/* Do the frames at PAGES make one large page of NR at VA? */
static bool is_large(kva_t va, struct page *const *pages, u64 nr)
{
	u64 pfn = page_to_pfn(pages[0]);

	if (!IS_ALIGNED(va, nr << PAGE_SHIFT) || !IS_ALIGNED(pfn, nr))
		return false;
	for (u64 i = 1; i < nr; i++) {
		if (page_to_pfn(pages[i]) != pfn + i)
			return false;
	}
	return true;
}

/*
 * A table of the caller's range is in the place of a large page: it goes if
 * nothing is in it. The CPUs may have walked it, so they forget the range.
 */
static bool drop_table(const struct pt_slot *slot, kva_t va)
{
	struct page *table = pfn_to_page(pte_pfn(pt_get(slot)));

	mm_verify(PageTable(table) && pt_is_kernel(table) && slot->level == 1);
	for (u32 i = 0; i < pt_entries(slot->fmt, 0); i++) {
		struct pt_slot s = pt_slot_at(slot->fmt, table, 0, i);

		if (!pte_none(pt_get(&s)))
			return false;
	}
	leaf_forget(va);
	spin_lock(&pgtable_sys.lock);
	master_set(slot, __pte(0));
	spin_unlock(&pgtable_sys.lock);
	port_tlb_flush_kernel(va, va + pt_span(slot->fmt, 1));
	kernel_table_free(table);
	return true;
}

int kernel_area_map_large(kva_t va, u64 pfn, pgprot_t prot)
{
	const struct paging_format *f = pgtable_sys.master.fmt;
	struct pt_slot slot;
	pte_t e;
	int err;

	mm_assert(IS_ALIGNED(va | PFN_PHYS(pfn), pt_span(f, 1)));
	if (!pt_leaf_allowed(f, 1))
		return -EBUSY;
	err = master_alloc(va, 1, &slot);
	if (err)
		return err;
	e = pt_get(&slot);
	mm_verify(!is_leaf(&slot, e));
	if (pte_present(e) && !drop_table(&slot, va))
		return -EBUSY;
	set_leaf(&slot, va, leaf_entry(1, pte_make(pfn, prot)));
	return 0;
}

/* kernel_area_map_pfn() where the table must be found. */
static MM_NOINLINE int map_slot(kva_t va, u64 pfn, pgprot_t prot)
{
	struct pt_slot slot;
	int err = leaf_alloc(va, &slot);

	if (!err)
		set_leaf(&slot, va, pte_make(pfn, prot));
	return err;
}

int kernel_area_map_pfn(kva_t va, u64 pfn, pgprot_t prot)
{
	u64 *entry = leaf_entries(va, 1);

	if (unlikely(!entry))
		return map_slot(va, pfn, prot);
	mm_verify(!READ_ONCE(*entry));
	__atomic_store_n(entry, pte_val(pte_make(pfn, prot)), __ATOMIC_RELEASE);
	return 0;
}

/* One step at VA: a large page if LARGE and there is one, or a table's part. */
static int map_some(kva_t va, const struct kernel_area *a, u64 at, u64 *done)
{
	u64 large = pt_span(pgtable_sys.master.fmt, 1) >> PAGE_SHIFT;
	struct pt_slot slot;
	int err = -EBUSY;

	if (a->large && a->nr - at >= large &&
	    is_large(va, a->pages + at, large))
		err = kernel_area_map_large(va, page_to_pfn(a->pages[at]),
					    a->prot);
	*done = large;
	if (err != -EBUSY)
		return err;
	err = leaf_alloc(va, &slot);
	if (!err)
		*done = fill_table(&slot, va, a->pages + at, a->nr - at,
				   a->prot);
	return err;
}

int kernel_area_map(const struct kernel_area *a)
{
	u64 *entry = a->large ? NULL : leaf_entries(a->va, a->nr);
	u64 at = 0, done;

	mm_assert(IS_ALIGNED(a->va, PAGE_SIZE) && a->nr > 0);
	if (likely(entry)) {
		fill_native(entry, a->pages, a->nr, a->prot);
		return 0;
	}
	while (at < a->nr) {
		int err = map_some(a->va + (at << PAGE_SHIFT), a, at, &done);

		if (err) {
			if (at)
				kernel_area_unmap(a->va, at);
			return err;
		}
		at += done;
	}
	return 0;
}

/* NR entries of one leaf table from SLOT on go. A and D bits are set from the
 * start, so no CPU writes to them meanwhile. */
static void empty_native(u64 *entry, u64 nr)
{
	for (u64 i = 0; i < nr; i++)
		__atomic_store_n(entry + i, 0UL, __ATOMIC_RELEASE);
}

static void empty_table(struct pt_slot *slot, u64 nr)
{
	if (pt_native(slot)) {
		empty_native(slot->entry, nr);
		return;
	}
	for (; nr; nr--) {
		pt_set_odd(slot, __pte(0));
		pt_next(slot);
	}
}

/* VA's slot where its mapping ends, for unmapping. */
static struct pt_slot area_slot(kva_t va)
{
	struct pt_slot s;

	if (likely(leaf_recall(va, &s)))
		return s;
	s = deepest(va);
	if (s.level == 0)
		leaf_remember(va, &s);
	return s;
}

/* kernel_area_unmap() by slots, table by table. */
static MM_NOINLINE void unmap_tables(kva_t va, u64 nr)
{
	while (nr) {
		struct pt_slot s = area_slot(va);
		u64 span = pt_span(s.fmt, s.level ? s.level : 1);
		u64 pages = (span - (va & (span - 1))) >> PAGE_SHIFT;

		if (s.level && pte_present(pt_get(&s))) {
			mm_verify(IS_ALIGNED(va, span) && pages <= nr);
			clear_leaf(&s, va);
		}
		pages = min(pages, nr);
		if (!s.level)
			empty_table(&s, pages);
		nr -= pages;
		va += pages << PAGE_SHIFT;
	}
}

void kernel_area_unmap(kva_t va, u64 nr)
{
	u64 *entry = leaf_entries(va, nr);

	mm_assert(IS_ALIGNED(va, PAGE_SIZE) && nr > 0);
	if (unlikely(!entry))
		unmap_tables(va, nr);
	else if (nr == 1)
		__atomic_store_n(entry, 0UL, __ATOMIC_RELEASE);
	else
		empty_native(entry, nr);
}

/* Put 2^bits smaller pages in the place of the large one at SLOT. */
static int split_leaf(const struct pt_slot *slot, kva_t va)
{
	const struct paging_format *f = slot->fmt;
	struct page *table = kernel_table_new();
	u8 level = (u8)(slot->level - 1);
	u64 span = pt_span(f, slot->level), step = pt_span(f, level);
	pte_t e = pt_get(slot);
	pgprot_t prot = __pgprot(pte_val(e) & ~(X86_PTE_FRAME | X86_PTE_PS));
	struct pt_slot small;

	if (!table)
		return -ENOMEM;
	mm_assert(pt_leaf_allowed(f, level));
	for (u32 i = 0; i < pt_entries(f, level); i++) {
		small = pt_slot_at(f, table, level, i);
		pt_set(&small,
		       leaf_entry(level, pte_make(pte_pfn(e) + i * (step >>
								    PAGE_SHIFT),
						  prot)));
	}
	/* The CPU may set nothing in E: A and D are set from the start. */
	mm_verify(hang_table(slot, e, table));
	count_direct(slot, va, -1);
	small = pt_slot_at(f, table, level, 0);
	count_direct(&small, va, pt_entries(f, level));
	va = ALIGN_DOWN(va, span);
	port_tlb_flush_kernel(va, va + span);
	return 0;
}

int kernel_split_at(kva_t va)
{
	mm_assert(IS_ALIGNED(va, PAGE_SIZE));
	for (;;) {
		struct pt_slot s = deepest(va);
		int err;

		if (!pte_present(pt_get(&s)) ||
		    IS_ALIGNED(va, pt_span(s.fmt, s.level)))
			return 0;
		err = split_leaf(&s, va);
		if (err)
			return err;
	}
}

/* ---- RAM and its descriptors
 * -------------------------------------------------------------- */

/* The low part of frames [PFN, END) into the direct map. */
static int map_direct(u64 pfn, u64 end, pgprot_t prot)
{
	end = min(end, PFN_DOWN(pgtable_sys.layout.low_end));
	if (pfn >= end)
		return 0;
	if (phys_sys.debug.p.debug_pagealloc)
		return kernel_map(direct_map_va(pfn), pfn, end - pfn, prot);
	return kernel_map_large(direct_map_va(pfn), pfn, end - pfn, prot);
}

void kernel_direct_present(u64 pfn, u64 nr, bool present)
{
	u64 end = min(pfn + nr, PFN_DOWN(pgtable_sys.layout.low_end));
	struct pt_slot slot;

	for (; pfn < end; pfn++) {
		/* All are data: the image's text is never free. */
		if (kernel_slot(direct_map_va(pfn), &slot))
			pt_set(&slot,
			       present ? pte_make(pfn, PAGE_KERNEL) : __pte(0));
	}
}

static void unmap_direct(u64 pfn, u64 end)
{
	end = min(end, PFN_DOWN(pgtable_sys.layout.low_end));
	if (pfn < end)
		kernel_unmap(direct_map_va(pfn), end - pfn);
}

/* memmap_backing_fn */
static int map_descriptors(u64 off, u64 pfn, u64 pages, void *arg)
{
	kva_t va = pgtable_sys.layout.vmemmap + off;
	struct kernel_entry e;

	mm_assert(arg == NULL);
	if (kernel_lookup(va, &e))
		return e.pfn == pfn ? 0 : -EEXIST;
	return kernel_map_large(va, pfn, pages, PAGE_KERNEL);
}

/* memmap_backing_fn; what boot mapped stays. */
static int unmap_descriptors(u64 off, u64 pfn, u64 pages, void *arg)
{
	mm_assert(pfn != 0 && arg == NULL);
	kernel_unmap(pgtable_sys.layout.vmemmap + off, pages);
	return 0;
}

/*
 * Descriptors at boot: pieces that go on from one section to the next are
 * joined, so that large pages can be used.
 */
struct join {
	u64 off, pfn, pages;
};

static int join_flush(struct join *j)
{
	int err = 0;

	if (j->pages)
		err = kernel_map_large(pgtable_sys.layout.vmemmap + j->off,
				       j->pfn, j->pages, PAGE_KERNEL);
	j->pages = 0;
	return err;
}

/* memmap_backing_fn */
static int join_piece(u64 off, u64 pfn, u64 pages, void *arg)
{
	struct join *j = arg;
	int err = 0;

	if (j->pages && (j->off + (j->pages << PAGE_SHIFT) != off ||
			 j->pfn + j->pages != pfn))
		err = join_flush(j);
	if (!j->pages) {
		j->off = off;
		j->pfn = pfn;
	}
	j->pages += pages;
	return err;
}

static int init_vmemmap(void)
{
	struct join j = {0};
	int err = 0;

	if (!pgtable_sys.layout.vmemmap)
		return 0;
	for (u64 nr = 0; nr < phys_sys.nr_sections && !err; nr++)
		err = memmap_backing(nr, join_piece, &j);
	return err ? err : join_flush(&j);
}

/* ---- the image
 * ------------------------------------------------------------------------- */

/* Frames of the image that are code: [*PFN, *END); empty if there is none. */
static void image_text(const struct kernel_image *im, u64 *pfn, u64 *end)
{
	*pfn = PFN_DOWN(im->start);
	*end = im->size ? PFN_UP(im->start + im->text_size) : *pfn;
}

/* RAM [PFN, END) in the direct map; code in it must not be written. */
static int init_direct_range(const struct kernel_image *im, u64 pfn, u64 end)
{
	/* With 32 bits code runs in the direct map itself. */
	pgprot_t text =
		pgtable_sys.layout.text ? PAGE_KERNEL_RO : PAGE_KERNEL_ROX;
	u64 s, e;
	int err;

	image_text(im, &s, &e);
	s = min(max(s, pfn), end);
	e = min(max(e, s), end);
	err = map_direct(pfn, s, PAGE_KERNEL);
	if (!err)
		err = map_direct(s, e, text);
	if (!err)
		err = map_direct(e, end, PAGE_KERNEL);
	return err;
}

static int init_direct(const struct kernel_image *im)
{
	struct memblock_iter it;
	int err = 0;

	for_each_mem_range (it, NUMA_NO_NODE) {
		if (!err && !(it.flags & MEMBLOCK_NOMAP))
			err = init_direct_range(im, PFN_UP(it.start),
						PFN_DOWN(it.end));
	}
	return err;
}

/* Where the image's first byte is: as far into the text as into a large page,
 * so that these can be used; x86-64 counts from frame 0. */
static kva_t image_va(const struct kernel_image *im)
{
	const struct kernel_layout *l = &pgtable_sys.layout;

	if (kernel_layout_region(l, KL_TEXT))
		return l->text + im->start;
	return l->text + (im->start & (pt_span(l->fmt, 1) - 1));
}

static int init_image(const struct kernel_image *im)
{
	u64 pfn, text_end, end = PFN_UP(im->start + im->size);
	kva_t va;
	int err = 0;

	if (!im->size || !pgtable_sys.layout.text)
		return 0;
	va = ALIGN_DOWN(image_va(im), PAGE_SIZE);
	image_text(im, &pfn, &text_end);
	text_end = min(text_end, end);
	if (pfn < text_end)
		err = kernel_map_large(va, pfn, text_end - pfn,
				       PAGE_KERNEL_ROX);
	if (!err && text_end < end)
		err = kernel_map_large(va + PFN_PHYS(text_end - pfn), text_end,
				       end - text_end, PAGE_KERNEL);
	return err;
}

/* ---- memory hotplug
 * ------------------------------------------------------------------- */

/* Call FN for the descriptors of the sections of [PFN, END) that came late. */
static int late_descriptors(u64 pfn, u64 end, memmap_backing_fn *fn)
{
	int err = 0;

	if (!pgtable_sys.layout.vmemmap)
		return 0;
	for (u64 nr = pfn >> PFN_SECTION_SHIFT;
	     nr << PFN_SECTION_SHIFT < end && !err; nr++) {
		if (!(phys_sys.sections[nr].flags & SECTION_MAP_BOOT))
			err = memmap_backing(nr, fn, NULL);
	}
	return err;
}

static void hot_unmap(u64 pfn, u64 end)
{
	unmap_direct(pfn, end);
	mm_verify(late_descriptors(pfn, end, unmap_descriptors) == 0);
}

/* What is mapped when it fails goes with MEM_CANCEL_ONLINE, which follows. */
static int hot_map(u64 pfn, u64 end)
{
	int err = map_direct(pfn, end, PAGE_KERNEL);

	return err ? err : late_descriptors(pfn, end, map_descriptors);
}

/* Large pages of the direct map that reach beyond [PFN, END). */
static int hot_split(u64 pfn, u64 end)
{
	u64 low = PFN_DOWN(pgtable_sys.layout.low_end);
	int err = 0;

	if (pfn < low)
		err = kernel_split_at(direct_map_va(pfn));
	if (!err && end < low)
		err = kernel_split_at(direct_map_va(end));
	return err;
}

static int hot_event(struct memory_notifier *nb, enum memory_action action,
		     const struct memory_notify *arg)
{
	u64 pfn = arg->start_pfn, end = pfn + arg->nr_pages;

	mm_assert(nb == &pgtable_sys.notifier);
	switch (action) {
	case MEM_GOING_ONLINE:
		return hot_map(pfn, end);
	case MEM_GOING_OFFLINE:
		return hot_split(pfn, end);
	case MEM_CANCEL_ONLINE:
	case MEM_OFFLINE:
		hot_unmap(pfn, end);
		return 0;
	default:
		return 0;
	}
}

/* ---- boot
 * ---------------------------------------------------------------------------
 */

static int init_roots(const struct paging_format *f)
{
	struct page *root = kernel_table_new(), *idle = root;

	if (!root)
		return -ENOMEM;
	pgtable_sys.master.fmt = f;
	pgtable_sys.master.root_pfn = page_to_pfn(root);
	/* The lower half of a CPU without a process is empty. */
	if (kernel_root_apart(f))
		idle = kernel_table_new();
	if (!idle)
		return -ENOMEM;
	pgtable_sys.idle_root = page_to_pfn(idle);
	return 0;
}

/* Tables for the fixmap's named slots, so that setting one cannot fail. */
static int init_fixmap(void)
{
	const struct kernel_layout *l = &pgtable_sys.layout;
	struct pt_slot slot;
	int err = 0;

	for (u32 i = 0; i < FIX_KMAP_BEGIN && !err; i++)
		err = master_alloc(fix_to_virt(l, i), 0, &slot);
	return err;
}

int kernel_reserve_tables(kva_t va, kva_t end)
{
	u64 span = pt_span(pgtable_sys.master.fmt, 1);
	struct pt_slot slot;
	int err = 0;

	for (va = ALIGN_DOWN(va, span); va < end && !err; va += span)
		err = master_alloc(va, 0, &slot);
	return err;
}

static void log_tables(void)
{
	const u64 *d = pgtable_sys.direct;
	const struct paging_format *f = pgtable_sys.master.fmt;

	pr_info("Kernel page tables: %lluK; direct map of %lluM with %llu + "
		"%llu + %llu pages of 4K, %lluM and 1G",
		(unsigned long long)pgtable_sys.nr_tables << 2,
		(unsigned long long)((d[0] << PAGE_SHIFT) +
				     d[1] * pt_span(f, 1) + (d[2] << 30)) >>
			20,
		(unsigned long long)d[0], (unsigned long long)d[1],
		(unsigned long long)d[2],
		(unsigned long long)pt_span(f, 1) >> 20);
}

static int init_steps(const struct kernel_image *im)
{
	int err = init_roots(pgtable_sys.layout.fmt);

	if (!err)
		err = init_direct(im);
	if (!err)
		err = init_vmemmap();
	if (!err)
		err = init_image(im);
	if (!err)
		err = init_fixmap();
	if (!err)
		err = highmem_init();
	return err;
}

int kernel_tables_init(const struct paging_format *f,
		       const struct kernel_image *image)
{
	int err;

	mm_verify(!pgtable_sys.up);
	kernel_layout_make(
		&pgtable_sys.layout, f,
		PFN_PHYS(max(phys_sys.hot.max_pfn, phys_sys.max_possible_pfn)));
	spin_lock_init(&pgtable_sys.lock, LOCK_CLASS_KERNEL_PGTABLE);
	INIT_LIST_HEAD(&pgtable_sys.roots);
	err = init_steps(image);
	if (err) {
		pr_err("boot: %s",
		       err == -ENOMEM ? "no memory for the kernel's page tables"
				      : "this world's RAM cannot be mapped "
					"twice, as high memory needs");
		return err;
	}
	pgtable_sys.up = true;
	port_load_kernel_root(pgtable_sys.master.root_pfn);
	pgtable_sys.notifier.call = hot_event;
	/* Before whoever uses the memory, after nobody. */
	pgtable_sys.notifier.priority = 100;
	register_memory_notifier(&pgtable_sys.notifier);
	log_tables();
	return 0;
}

/* ---- the books
 * ------------------------------------------------------------------------- */

/* Tables from TABLE on; entries in its part below FIRST must be none. */
static u64 check_table(const struct page *table, u8 level, u32 first)
{
	const struct paging_format *f = pgtable_sys.master.fmt;
	u64 n = 1;

	mm_verify(PageTable(table) && pt_is_kernel(table));
	mm_verify(page_count(table) == 1);
	for (u32 i = 0; i < pt_entries(f, level); i++) {
		struct pt_slot slot = pt_slot_at(f, table, level, i);
		pte_t e = pt_get(&slot);

		mm_verify(i >= first || pte_none(e));
		mm_verify(pte_none(e) || pte_present(e));
		if (level && pte_present(e) && !pte_huge(e))
			n += check_table(pfn_to_page(pte_pfn(e)),
					 (u8)(level - 1), 0);
	}
	return n;
}

static void check_sharing(const struct pgtable *pt)
{
	const struct paging_format *f = pt->fmt;

	for (u32 i = first_shared(f); i < pt_entries(f, root_level(f)); i++) {
		struct pt_slot a = root_entry(pt, i);
		struct pt_slot b = root_entry(&pgtable_sys.master, i);

		mm_verify(pte_same(pt_get(&a), pt_get(&b)));
	}
}

/* What is remembered is what a walk finds. */
static void check_leaves(void)
{
	const struct paging_format *f = pgtable_sys.master.fmt;

	for (u32 i = 0; i < KERNEL_LEAVES; i++) {
		u64 word = READ_ONCE(pgtable_sys.leaf[i]);
		struct pt_slot s;

		if (!(u32)word)
			continue;
		s = deepest(pgtable_sys.layout.vmalloc_start +
			    (word >> 32 << f->shift[1]));
		mm_verify(s.level == 0 && page_to_pfn(s.table) == (u32)word);
	}
}

void kernel_tables_check(void)
{
	const struct paging_format *f = pgtable_sys.master.fmt;
	struct pgtable *pt;
	u64 n;

	if (!pgtable_sys.up)
		return;
	n = check_table(pfn_to_page(pgtable_sys.master.root_pfn), root_level(f),
			kernel_root_apart(f) ? 0 : first_shared(f));
	n += pgtable_sys.idle_root != pgtable_sys.master.root_pfn;
	mm_verify(n == READ_ONCE(pgtable_sys.nr_tables));
	check_leaves();
	spin_lock(&pgtable_sys.lock);
	list_for_each_entry (pt, &pgtable_sys.roots, sharing)
		check_sharing(pt);
	spin_unlock(&pgtable_sys.lock);
}
