/* SPDX-License-Identifier: MIT */
/*
 * mglru_walk.c - mglru's aging: who was used through page tables?
 *
 * 1. Purpose. To ask each page by reverse mapping whether it was used costs a
 *    walk over trees and tables for one bit. Pages that stand together in an
 *    address space are mostly used together, and their bits stand together too.
 *
 * 2. Aging. A walk goes over all address spaces, clears the accessed bits that
 *    it finds in entries of this lruvec's pages, and promotes those pages; then
 *    a new generation begins. One walker works for an lruvec at a time; who
 *    comes meanwhile waits for the end of the walk and has what he wanted.
 *
 * 3. Filters. A table with few used pages is not worth being read through. A
 *    Bloom filter has the tables that were dense, one use in each cache line of
 *    present entries or more; a walk reads those. There are two: the next
 *    walk's is filled while the last one's is read. Who gets in: what a walk
 *    found dense, and what eviction found so by looking around. A false
 *    positive costs reading one table. Without a frame for the filters, and in
 *    the first walk, everything is read.
 *
 * 4. Looking around. Eviction asks by reverse mapping before it takes a page.
 *    If an entry was used, those beside it in the same table and mapping, 64 in
 *    all, are looked at as well and their pages promoted: mostly those are the
 *    next that eviction would have asked for.
 *
 * 5. What is not looked at: mappings that are locked, or that their owner said
 *    to be read once, or at random (MADV_SEQUENTIAL, MADV_RANDOM); pages of
 *    other nodes and groups; a space whose mmap lock is taken; pages that are
 *    isolated: their bits are for who isolated them.
 *
 * 6. Locking. A space is held by its structure, not as a user: the last user's
 *    end may sleep for things that our caller has locked. The mmap lock is
 *    tried, and given back every WALK_HOLD tables. The table's lock is held
 *    while its entries are read; the lruvec's inside it, for up to 64 pages.
 *
 * 7. TLBs. A CPU that knows an entry would not set its bit again: what was
 *    cleared in one table is flushed as one range. Linux leaves that to chance.
 *
 * References: Linux documentation, mm/multigen_lru; B. Bloom, "Space/Time
 * Trade-offs in Hash Coding with Allowable Errors" (CACM 13, 1970).
 */
#include <mmkit/page_alloc.h>
#include <mmkit/port.h>

#include "base/assert.h"
#include "base/string.h"
#include "cache/filemap.h"
#include "phys/vmstat.h"
#include "reclaim/mglru.h"
#include "space/rmap.h"

#define WALK_HOLD   64u /* tables of one hold of an mmap lock */
#define LOOK_AROUND 64u /* entries */
#define YOUNG_BATCH 64u /* pages that one hold of the lruvec lock promotes */
#define LINE_PTES   8u	/* entries of a cache line */

static void count(u64 *counter, s64 n)
{
	__atomic_fetch_add(counter, (u64)n, __ATOMIC_RELAXED);
}

/* ---- filters: lruvec lock held
 * ------------------------------------------------------------ */

static struct mglru_filters *filters_of(const struct mglru_room *room)
{
	return room->filters ? page_view(room->filters) : NULL;
}

/* Two places for TABLE in a filter. */
static void filter_hash(const struct page *table, u32 at[2])
{
	u64 h = page_to_pfn(table) * 0x9e3779b97f4a7c15UL;

	MM_STATIC_ASSERT(!(MGLRU_FILTER_BITS & (MGLRU_FILTER_BITS - 1)),
			 "a mask finds the bit");
	at[0] = (u32)(h >> 48) & (MGLRU_FILTER_BITS - 1);
	at[1] = (u32)(h >> 32) & (MGLRU_FILTER_BITS - 1);
}

/* TABLE was dense: whoever walks next looks at it. */
static void filter_add(struct lruvec *lruvec, const struct page *table)
{
	struct mglru_room *room = mglru_room(lruvec);
	struct mglru_filters *f = filters_of(room);
	/* This walk has begun: the next one's. */
	u32 which = (u32)((room->max_seq + (room->walk != 0)) % 2), at[2];

	if (!f)
		return;
	filter_hash(table, at);
	for (u32 i = 0; i < 2; i++)
		f->bits[which][at[i] / 64] |= BIT(at[i] % 64);
}

/* Is TABLE worth reading in the walk that follows generation SEQ? */
static bool filter_has(struct lruvec *lruvec, const struct page *table, u64 seq)
{
	struct mglru_room *room = mglru_room(lruvec);
	struct mglru_filters *f = filters_of(room);
	u32 at[2];

	if (!f || seq < room->filter_from)
		return true;
	filter_hash(table, at);
	for (u32 i = 0; i < 2; i++)
		if (!(f->bits[seq % 2][at[i] / 64] & BIT(at[i] % 64)))
			return false;
	return true;
}

static void filters_free(struct page *page)
{
	set_page_index(page, 0);
	__free_page(page);
	count(&reclaim_sys.mglru.nr_filters, -1);
}

void mglru_filter_drop(struct lruvec *lruvec)
{
	struct mglru_room *room = mglru_room(lruvec);

	if (!room->filters)
		return;
	filters_free(room->filters);
	WRITE_ONCE(room->filters, NULL);
}

/* ---- entries of one table: its lock held
 * --------------------------------------------------- */

/* A stretch of entries, and what was found there. */
struct stretch {
	struct lruvec *lruvec;
	struct vm_area_struct *vma;
	struct pt_slot slot; /* of START */
	uva_t start, end;
	u32 present, young; /* entries of any pages; of LRUVEC's */
};

/* E's page if its use is to be noted here, else NULL. */
static struct page *young_page(const struct lruvec *lruvec, pte_t e)
{
	struct page *page;

	if (!pte_young(e))
		return NULL;
	page = compound_head(pfn_to_page(pte_pfn(e)));
	if (!PageLRU(page) || page_lruvec(page) != lruvec)
		return NULL;
	return page;
}

/* Clear the bits of S, promote their pages. */
static void read_stretch(struct stretch *s)
{
	struct mm_struct *mm = s->vma->vm_mm;
	struct page *pages[YOUNG_BATCH];
	struct pt_slot slot = s->slot;
	uva_t first = s->end, last = s->start;
	u32 n = 0;

	for (uva_t at = s->start; at < s->end; at += PAGE_SIZE) {
		pte_t e = pt_get(&slot);
		struct page *page = NULL;

		if (pte_present(e) && !pte_special(e)) {
			s->present++;
			page = young_page(s->lruvec, e);
		}
		if (page) {
			pt_clear_bits(&slot, X86_PTE_A);
			first = min(first, at);
			last = at + PAGE_SIZE;
			s->young++;
			pages[n++] = page;
		}
		if (n == YOUNG_BATCH) {
			mglru_promote(s->lruvec, pages, n);
			n = 0;
		}
		pt_next(&slot);
	}
	mglru_promote(s->lruvec, pages, n);
	if (first < last)
		port_tlb_flush_aged(&mm->cpus, mm->asid, first, last);
}

/* The next walk reads S's table if it was worth it. */
static void note_dense(const struct stretch *s)
{
	unsigned long flags;

	if (!s->young || s->young * LINE_PTES < s->present)
		return;
	spin_lock_irqsave(&s->lruvec->lock, flags);
	if (mglru_owns(s->lruvec))
		filter_add(s->lruvec, s->slot.table);
	spin_unlock_irqrestore(&s->lruvec->lock, flags);
}

/* ---- the walk
 * ----------------------------------------------------------------------- */

struct walk {
	struct lruvec *lruvec;
	u64 seq; /* the youngest generation when it began */
	u64 id;
	bool all;
};

static bool walk_wants_vma(const struct vm_area_struct *vma)
{
	return !(READ_ONCE(vma->vm_flags) &
		 (VM_LOCKED | VM_SEQ_READ | VM_RAND_READ));
}

static bool walk_wants_table(const struct walk *w, const struct page *table)
{
	unsigned long flags;
	bool wants;

	if (w->all)
		return true;
	spin_lock_irqsave(&w->lruvec->lock, flags);
	wants = mglru_owns(w->lruvec) && filter_has(w->lruvec, table, w->seq);
	spin_unlock_irqrestore(&w->lruvec->lock, flags);
	return wants;
}

/* VMA's part of the table at ADDR. Where the next one begins. */
static uva_t walk_table(const struct walk *w, struct vm_area_struct *vma,
			uva_t addr)
{
	struct pgtable *pt = &vma->vm_mm->pt;
	struct stretch s = {.lruvec = w->lruvec,
			    .vma = vma,
			    .start = addr,
			    .end = pt_table_end(pt, addr, vma->vm_end)};

	if (!pt_lookup(pt, addr, &s.slot))
		return pt_skip(pt, addr, vma->vm_end);
	if (!walk_wants_table(w, s.slot.table)) {
		count(&reclaim_sys.mglru.tables_passed, 1);
		return s.end;
	}
	count(&reclaim_sys.mglru.tables_read, 1);
	pt_lock_aged(&s.slot);
	read_stretch(&s);
	pt_unlock(&s.slot);
	note_dense(&s);
	return s.end;
}

/* Tables of MM from ADDR on, with the mmap lock held. Where to go on; 0: it was
 * the end. */
static uva_t walk_some(const struct walk *w, struct mm_struct *mm, uva_t addr)
{
	struct vm_area_struct *vma = find_vma(mm, addr);
	u32 tables = 0;

	for (; vma; vma = vma_next(vma)) {
		if (!walk_wants_vma(vma))
			continue;
		addr = max(addr, vma->vm_start);
		while (addr < vma->vm_end) {
			if (tables++ == WALK_HOLD)
				return addr;
			addr = walk_table(w, vma, addr);
		}
	}
	return 0;
}

static void walk_space(const struct walk *w, struct mm_struct *mm)
{
	uva_t addr = 0;

	do {
		/* Whose lock is taken is busy: eviction will look. */
		if (!mmap_read_trylock(mm))
			return;
		addr = walk_some(w, mm, addr);
		mmap_read_unlock(mm);
		port_sched_point();
	} while (addr);
}

/* The filters' frame, for the walk that follows SEQ, which reads all. */
static void filters_make(struct lruvec *lruvec, u64 seq)
{
	struct mglru_room *room = mglru_room(lruvec);
	unsigned long flags;
	struct page *page;

	if (READ_ONCE(room->filters))
		return;
	page = alloc_page(GFP_NOWAIT | __GFP_NOWARN | __GFP_NOMEMALLOC |
			  __GFP_ZERO);
	if (!page)
		return;
	set_page_index(page, PAGE_INDEX_KERNEL);
	count(&reclaim_sys.mglru.nr_filters, 1);
	spin_lock_irqsave(&lruvec->lock, flags);
	if (mglru_owns(lruvec) && !room->filters) {
		WRITE_ONCE(room->filters, page);
		room->filter_from = seq + 1;
		page = NULL;
	}
	spin_unlock_irqrestore(&lruvec->lock, flags);
	if (page)
		filters_free(page);
}

static void walk_all(const struct walk *w)
{
	struct mm_struct *mm = NULL;

	filters_make(w->lruvec, w->seq);
	while ((mm = next_space_held(mm)))
		walk_space(w, mm);
}

/* ---- aging
 * ------------------------------------------------------------------------- */

/* Room for one more generation; the lock is dropped now and then, and held at
 * the end. False: another policy came. */
static bool make_room(struct lruvec *lruvec, unsigned long *flags)
{
	struct mglru_room *room = mglru_room(lruvec);

	for (u32 t = 0; t < MGLRU_TYPES;) {
		if (!mglru_owns(lruvec))
			return false;
		if (room->max_seq - room->min_seq[t] + 1 < MGLRU_MAX_GENS) {
			t++;
			continue;
		}
		if (mglru_merge_oldest(lruvec, (enum mglru_type)t,
				       SWAP_CLUSTER_MAX))
			continue;
		spin_unlock_irqrestore(&lruvec->lock, *flags);
		port_sched_point();
		spin_lock_irqsave(&lruvec->lock, *flags);
	}
	return true;
}

/* W becomes the walk of its lruvec. False: it is too late, or one is under
 * way. */
static bool walk_begin(struct walk *w)
{
	struct mglru_room *room = mglru_room(w->lruvec);
	struct mglru_filters *f;
	unsigned long flags;
	bool mine;

	spin_lock_irqsave(&w->lruvec->lock, flags);
	mine = mglru_owns(w->lruvec) && room->max_seq == w->seq && !room->walk;
	if (mine) {
		w->id = __atomic_add_fetch(&reclaim_sys.mglru.walks, 1,
					   __ATOMIC_RELAXED);
		WRITE_ONCE(room->walk, w->id);
		f = filters_of(room);
		if (f)
			mm_memset(f->bits[(w->seq + 1) % 2], 0,
				  sizeof(f->bits[0]));
	}
	spin_unlock_irqrestore(&w->lruvec->lock, flags);
	return mine;
}

/* Is walk W its lruvec's still? Lock held. */
static bool walk_is(const struct walk *w)
{
	return mglru_owns(w->lruvec) && mglru_room(w->lruvec)->walk == w->id;
}

static void walk_end(const struct walk *w)
{
	struct mglru_room *room = mglru_room(w->lruvec);
	unsigned long flags;

	spin_lock_irqsave(&w->lruvec->lock, flags);
	/* The policy may have gone, and come back with another's walk. */
	if (walk_is(w) && make_room(w->lruvec, &flags) && walk_is(w)) {
		mglru_begin_gen(w->lruvec);
		mglru_close_empty(w->lruvec);
		WRITE_ONCE(room->walk, 0);
	}
	spin_unlock_irqrestore(&w->lruvec->lock, flags);
	wake_up_all(&reclaim_sys.mglru.wait);
}

/* Is no walk of LRUVEC's generation SEQ under way? */
static bool walk_over(const struct lruvec *lruvec, u64 seq)
{
	const struct mglru_room *room = (const void *)lruvec->room;

	return !mglru_owns(lruvec) || READ_ONCE(room->max_seq) != seq ||
	       !READ_ONCE(room->walk);
}

bool mglru_age(struct lruvec *lruvec, u64 max_seq, bool all)
{
	struct walk w = {.lruvec = lruvec, .seq = max_seq, .all = all};

	if (walk_begin(&w)) {
		if (mglru_cap(MGLRU_CAP_WALK))
			walk_all(&w);
		walk_end(&w);
	} else {
		wait_event(reclaim_sys.mglru.wait, walk_over(lruvec, max_seq));
	}
	return mglru_owns(lruvec);
}

/* ---- looking around -------------------------------------------------------
 */

struct look {
	struct lruvec *lruvec;
	bool used;
};

/* Entries around SLOT, of ADDR: as many below as above, of VMA and table. */
static void look_around(struct look *look, struct vm_area_struct *vma,
			uva_t addr, const struct pt_slot *slot)
{
	struct pgtable *pt = &vma->vm_mm->pt;
	uva_t base = ALIGN_DOWN(addr, pt_span(pt->fmt, 1));
	uva_t half = (LOOK_AROUND / 2) << PAGE_SHIFT;
	struct stretch s = {.lruvec = look->lruvec, .vma = vma, .slot = *slot};

	s.start =
		max(max(base, vma->vm_start), addr > half ? addr - half : 0UL);
	s.end = min(pt_table_end(pt, addr, vma->vm_end),
		    s.start + (LOOK_AROUND << PAGE_SHIFT));
	s.slot.entry = (char *)s.slot.entry -
		       ((addr - s.start) >> PAGE_SHIFT) * pt->fmt->entry_bytes;
	read_stretch(&s);
	/* The one that led here counts as well. */
	s.young++;
	note_dense(&s);
}

static bool look_one(struct page *page, struct vm_area_struct *vma, uva_t addr,
		     void *arg)
{
	struct mm_struct *mm = vma->vm_mm;
	struct look *look = arg;
	struct pt_slot slot;
	u64 vm_flags;

	if (!page_vma_slot_aged(page, vma, addr, &slot))
		return true;
	vm_flags = READ_ONCE(vma->vm_flags);
	if (pte_young(pt_get(&slot))) {
		pt_clear_bits(&slot, X86_PTE_A);
		port_tlb_flush_aged(&mm->cpus, mm->asid, addr,
				    addr + PAGE_SIZE);
		if (walk_wants_vma(vma)) {
			look->used = true;
			look_around(look, vma, addr, &slot);
		}
	}
	/* With the table locked, so that who unmaps or unlocks sees it. */
	if (unlikely(vm_flags & VM_LOCKED))
		mlock_page(page);
	pt_unlock(&slot);
	return true;
}

bool mglru_look(struct lruvec *lruvec, struct page *page)
{
	struct look look = {.lruvec = lruvec};
	struct rmap_walk_control rwc = {
		.arg = &look,
		.rmap_one = look_one,
		.try_lock = true,
	};
	bool walked, lock = PageFile(page) || PageKsm(page);

	if (!page_mapped(page))
		return false;
	/* A contended lock says that the page's owner is busy: in use. */
	if (lock && !trylock_page(page))
		return true;
	walked = rmap_walk(page, &rwc);
	if (lock)
		unlock_page(page);
	return !walked || look.used;
}
