/* SPDX-License-Identifier: MIT */
/*
 * rmap.c - counting mappings, and walking from a frame to its entries.
 *
 * 1. Purpose. Reclaim and migration start from a frame and must find every
 *    page-table entry that maps it.
 *
 * 2. Way. The page's mapping word names an anon_vma, whose interval tree gives
 *    the VMAs that hold the page's number; each VMA's address space is walked
 *    at that address, and the entry counts only if it maps this frame.
 *    struct page keeps 32 bits of the page number: the walk asks the tree
 *    once for each 2^32-page window that the anon_vma's VMAs ever touched,
 *    which is one in practice.
 *
 * 3. Invariants.
 *    RM-1  mapcount + 1 = present entries that map the page; each holds one
 *          reference.
 *    RM-2  An entry that maps a page is found by the walk: the page's number
 *          lies in its VMA, and the VMA is linked to the page's anon_vma.
 *
 * 4. Locking. The anon_vma of a page may be freed while we look: the page may
 *    be unmapped and its VMAs gone. Its address is read, and its reference
 *    count raised, inside an epoch section (the memory cannot be reused yet);
 *    if the page is still mapped after that, it is the right one. Order:
 *    page lock -> anon_vma lock -> table lock.
 *
 * References: the object-based reverse mapping of D. McCracken (Ottawa Linux
 * Symposium, 2004); Linux documentation mm/process_addrs.
 */
#include "space/rmap.h"

#include <mmkit/page_alloc.h>

#include "cache/filemap.h"
#include "cache/swap.h"
#include "phys/group.h"
#include "phys/lru.h"
#include "phys/mmzone.h"
#include "phys/vmstat.h"
#include "space/ksm.h"
#include "space/space.h"

/* ---- counting
 * -------------------------------------------------------------------- */

static void count_anon_mapped(struct page *page, long n)
{
	page_stat_add(page, NR_ANON_MAPPED, n);
}

/* Another fault of this VMA may have linked it a moment ago. */
static struct anon_vma *vma_anon(const struct vm_area_struct *vma)
{
	return __atomic_load_n(&vma->anon_vma, __ATOMIC_ACQUIRE);
}

/* PAGE, at ADDR of VMA, may be mapped by the VMAs of AV. */
static inline void set_anon_identity(struct page *page, struct anon_vma *av,
				     const struct vm_area_struct *vma,
				     uva_t addr)
{
	u64 pgoff = vma->vm_pgoff + ((addr - vma->vm_start) >> PAGE_SHIFT);

	mm_verify(av != NULL);
	set_page_index(page, pgoff);
	set_page_mapping_word(page, (u64)(uintptr_t)av | PAGE_MAPPING_ANON);
}

static inline void add_new_anon(struct page *page, struct vm_area_struct *vma,
				uva_t addr)
{
	mm_verify(page_mapcount(page) == 0);
	page_flags_set(page, BIT(PG_swapbacked) | BIT(PG_uptodate));
	page_mapcount_first(page);
	set_anon_identity(page, vma_anon(vma), vma, addr);
	trace_emit(PAGE_MAP, page_to_pfn(page), vma->vm_mm->serial, addr,
		   PAGE_MAP_NEW);
}

void page_add_new_anon_rmap(struct page *page, struct vm_area_struct *vma,
			    uva_t addr)
{
	add_new_anon(page, vma, addr);
	count_anon_mapped(page, 1);
}

void page_add_new_anon_rmaps(struct page **pages, u32 nr,
			     struct vm_area_struct *vma, uva_t addr)
{
	struct rmap_batch b = {0};

	for (u32 i = 0; i < nr; i++, addr += PAGE_SIZE) {
		add_new_anon(pages[i], vma, addr);
		if (unlikely(!rmap_batch_of(&b, pages[i])))
			rmap_batch_turn(&b, pages[i]);
		b.anon++;
	}
	rmap_batch_flush(&b);
}

bool page_add_block_rmap(struct page *block, unsigned int order,
			 struct vm_area_struct *vma, uva_t addr)
{
	u64 word = (u64)(uintptr_t)vma_anon(vma) | PAGE_MAPPING_ANON;
	u64 pgoff = vma->vm_pgoff + ((addr - vma->vm_start) >> PAGE_SHIFT);
	struct lru_block b = {.first = block,
			      .order = order,
			      .flags = BIT(PG_swapbacked) | BIT(PG_uptodate),
			      .word = word,
			      .index = (u32)pgoff};

	mm_verify(vma_anon(vma) != NULL);
	if (!lru_add_block(&b))
		return false;
	count_anon_mapped(block, 1L << order);
	return true;
}

void page_add_anon_rmap(struct page *page, struct vm_area_struct *vma,
			uva_t addr, bool exclusive)
{
	mm_assert(PageLocked(page));
	/*
	 * A page read from swap has no identity yet. Relatives of this VMA may
	 * hold swap entries of it, so it gets the root, to which all of them
	 * are linked, unless it is ours alone. A page that stayed in the swap
	 * cache keeps the identity that it had.
	 */
	if (exclusive)
		set_anon_identity(page, vma_anon(vma), vma, addr);
	else if (!PageAnon(page))
		set_anon_identity(page, vma_anon(vma)->root, vma, addr);
	if (page_mapcount_add(page, 1) == 1)
		count_anon_mapped(page, 1);
	trace_emit(PAGE_MAP, page_to_pfn(page), vma->vm_mm->serial, addr,
		   PAGE_MAP_SWAP);
}

void page_add_ksm_rmap(struct page *page)
{
	mm_assert(PageLocked(page) && PageKsm(page));
	if (page_mapcount_add(page, 1) == 1)
		count_anon_mapped(page, 1);
}

static void count_file_mapped(struct page *page, long n)
{
	page_stat_add(page, NR_FILE_MAPPED, n);
}

void page_add_file_rmap(struct page *page)
{
	mm_assert(PageLocked(page));
	mm_verify(page_mapping(page) != NULL);
	if (page_mapcount_add(page, 1) == 1)
		count_file_mapped(page, 1);
}

void page_add_moved_rmap(struct page *page)
{
	mm_assert(PageLocked(page));
	if (page_mapcount_add(page, 1) != 1)
		return;
	if (PageAnon(page))
		count_anon_mapped(page, 1);
	else
		count_file_mapped(page, 1);
}

void page_remove_rmap(struct page *page)
{
	struct rmap_batch one = {0};

	page_remove_rmap_batch(page, &one);
	rmap_batch_flush(&one);
}

void rmap_batch_flush(struct rmap_batch *b)
{
	if (b->anon)
		mod_node_page_state(b->pgdat, NR_ANON_MAPPED, b->anon);
	if (b->file)
		mod_node_page_state(b->pgdat, NR_FILE_MAPPED, b->file);
	if (unlikely(b->group) && b->anon)
		group_node_stat_add(b->group, b->pgdat->node_id, NR_ANON_MAPPED,
				    b->anon);
	if (unlikely(b->group) && b->file)
		group_node_stat_add(b->group, b->pgdat->node_id, NR_FILE_MAPPED,
				    b->file);
	b->anon = b->file = 0;
}

void rmap_batch_turn(struct rmap_batch *b, const struct page *page)
{
	rmap_batch_flush(b);
	b->pgdat = page_zone(page)->zone_pgdat;
	b->group = page_group(page);
}

void page_move_anon_rmap(struct page *page, struct vm_area_struct *vma)
{
	mm_assert(PageLocked(page));
	mm_verify(vma_anon(vma) != NULL);
	set_page_mapping_word(page, (u64)(uintptr_t)vma_anon(vma) |
					    PAGE_MAPPING_ANON);
}

void page_rehome_anon(struct page *page, struct vm_area_struct *vma, uva_t addr)
{
	mm_assert(PageLocked(page));
	mm_verify(page_mapcount(page) == 1);
	set_anon_identity(page, vma_anon(vma), vma, addr);
}

/* ---- from a page to its anon_vma
 * ----------------------------------------------------- */

static struct anon_vma *word_anon_vma(u64 word)
{
	if ((word & PAGE_MAPPING_FLAGS) != PAGE_MAPPING_ANON)
		return NULL;
	return (struct anon_vma *)(uintptr_t)(word & ~PAGE_MAPPING_FLAGS);
}

bool page_linked(const struct page *page, const struct vm_area_struct *vma)
{
	struct anon_vma *av = word_anon_vma(page_mapping_word(page));
	struct anon_vma_chain *avc;

	list_for_each_entry (avc, &vma->anon_vma_chain, same_vma)
		if (avc->anon_vma == av)
			return true;
	return false;
}

struct anon_vma *page_get_anon_vma(struct page *page)
{
	struct anon_vma *av = NULL;
	u64 word;

	epoch_enter();
	word = page_mapping_word(page);
	if (page_mapped(page))
		av = word_anon_vma(word);
	if (av && !anon_vma_get_not_zero(av))
		av = NULL;
	if (av && !page_mapped(page)) {
		epoch_exit();
		anon_vma_put(av);
		return NULL;
	}
	epoch_exit();
	return av;
}

/* ---- walking
 * ---------------------------------------------------------------------------
 */

/* LOCK: pt_lock() or one of its kin. */
static inline bool vma_slot(const struct page *page, struct vm_area_struct *vma,
			    uva_t addr, struct pt_slot *slot,
			    void (*lock)(const struct pt_slot *))
{
	pte_t e;

	if (!pt_lookup(&vma->vm_mm->pt, addr, slot))
		return false;
	lock(slot);
	e = pt_get(slot);
	if (pte_present(e) && !pte_special(e) &&
	    pte_pfn(e) == page_to_pfn(page)) {
		count_vm_event(RMAP_WALK_HITS);
		return true;
	}
	pt_unlock(slot);
	return false;
}

bool page_vma_slot(const struct page *page, struct vm_area_struct *vma,
		   uva_t addr, struct pt_slot *slot)
{
	return vma_slot(page, vma, addr, slot, pt_lock);
}

bool page_vma_slot_aged(const struct page *page, struct vm_area_struct *vma,
			uva_t addr, struct pt_slot *slot)
{
	return vma_slot(page, vma, addr, slot, pt_lock_aged);
}

/* VMA holds page number PGOFF: visit it. False: the walk is over. */
static bool walk_vma(struct page *page, struct vm_area_struct *vma, u64 pgoff,
		     struct rmap_walk_control *rwc)
{
	if (rwc->invalid_vma && rwc->invalid_vma(vma, rwc->arg))
		return true;
	rwc->visited++;
	if (!rwc->rmap_one(page, vma, page_vma_address(vma, pgoff), rwc->arg))
		return false;
	return !rwc->done || !rwc->done(page);
}

/* Visit the VMAs of AV that hold page number PGOFF. False: the walk is over. */
static bool walk_window(struct page *page, struct anon_vma *av, u64 pgoff,
			struct rmap_walk_control *rwc)
{
	struct anon_vma_chain *avc;

	for (avc = anon_vma_iter_first(av, pgoff, pgoff); avc;
	     avc = anon_vma_iter_next(avc, pgoff, pgoff))
		if (!walk_vma(page, avc->vma, pgoff, rwc))
			return false;
	return true;
}

/* PAGE, locked, of a file: all VMAs of the file that hold its number. */
static bool walk_file(struct page *page, struct rmap_walk_control *rwc)
{
	struct address_space *mapping = page_mapping(page);
	u64 pgoff = page_index(page);
	struct vm_area_struct *vma;

	mm_assert(PageLocked(page));
	if (!mapping)
		return true;
	if (!rwc->try_lock)
		down_read(&mapping->i_mmap_rwsem);
	else if (!down_read_trylock(&mapping->i_mmap_rwsem))
		return false;
	for (vma = vma_file_first(mapping, pgoff, pgoff); vma;
	     vma = vma_file_next(vma, pgoff, pgoff))
		if (!walk_vma(page, vma, pgoff, rwc))
			break;
	up_read(&mapping->i_mmap_rwsem);
	return true;
}

static bool walk_anon(struct page *page, struct rmap_walk_control *rwc)
{
	struct anon_vma *av = rwc->anon_vma;

	if (av)
		anon_vma_get(av);
	else
		av = page_get_anon_vma(page);
	if (!av)
		return true;
	if (!rwc->try_lock) {
		down_read(&av->root->rwsem);
	} else if (!down_read_trylock(&av->root->rwsem)) {
		anon_vma_put(av);
		return false;
	}
	for (u64 w = av->window_lo; w <= av->window_hi; w++)
		if (!walk_window(page, av, w << 32 | page_index(page), rwc))
			break;
	up_read(&av->root->rwsem);
	anon_vma_put(av);
	return true;
}

enum rmap_walked rmap_walk_at(struct page *page, struct anon_vma *av, u64 pgoff,
			      struct rmap_walk_control *rwc)
{
	bool on;

	if (!rwc->try_lock)
		down_read(&av->root->rwsem);
	else if (!down_read_trylock(&av->root->rwsem))
		return RMAP_BUSY;
	on = walk_window(page, av, pgoff, rwc);
	up_read(&av->root->rwsem);
	return on ? RMAP_ON : RMAP_OVER;
}

/*
 * LOCKED: the page is. One that is not cannot be walked as a file's or KSM's;
 * if it just became KSM's its word names no anon_vma, and nothing is visited.
 */
static bool walk_page(struct page *page, struct rmap_walk_control *rwc,
		      bool locked)
{
	bool walked;

	mm_assert(page_count(page) > 0);
	rwc->visited = 0;
	if (PageFile(page))
		walked = walk_file(page, rwc);
	else if (locked && PageKsm(page))
		walked = space_sys.ksm->rmap_walk(page, rwc);
	else
		walked = walk_anon(page, rwc);
	count_vm_event(RMAP_WALKS);
	count_vm_events(RMAP_WALK_VMAS, rwc->visited);
	return walked;
}

bool rmap_walk(struct page *page, struct rmap_walk_control *rwc)
{
	mm_assert(PageLocked(page) || !PageKsm(page));
	return walk_page(page, rwc, true);
}

/* ---- referenced?
 * ---------------------------------------------------------------------------
 */

struct referenced_arg {
	struct tlb_batch *batch;
	int referenced;
	u64 vm_flags;
};

/*
 * Clear the accessed bit and make CPUs forget the entry, so that the next use
 * sets the bit again: without the flush a page in constant use through one
 * TLB entry would look idle.
 */
static bool referenced_one(struct page *page, struct vm_area_struct *vma,
			   uva_t addr, void *arg)
{
	struct referenced_arg *ra = arg;
	struct pt_slot slot;
	u64 vm_flags;
	bool young;

	if (!page_vma_slot_aged(page, vma, addr, &slot))
		return true;
	young = pte_young(pt_get(&slot));
	if (young)
		pt_clear_bits(&slot, X86_PTE_A);
	/* Of a large entry the bit was taken, and flushed, as a whole. */
	if (young && likely(!pt_promoted(slot.table)))
		tlb_batch_add(ra->batch, vma->vm_mm, addr, false);
	/* No mmap lock here: mprotect may be changing them. */
	vm_flags = READ_ONCE(vma->vm_flags);
	/* With the table locked, so that who unmaps or unlocks sees it. */
	if (unlikely(vm_flags & VM_LOCKED))
		mlock_page(page);
	pt_unlock(&slot);
	if (young && !(vm_flags & VM_SEQ_READ))
		ra->referenced++;
	ra->vm_flags |= vm_flags;
	return true;
}

int page_referenced_batch(struct page *page, bool locked, u64 *vm_flags,
			  struct tlb_batch *b)
{
	struct referenced_arg ra = {.batch = b};
	struct rmap_walk_control rwc = {
		.arg = &ra,
		.rmap_one = referenced_one,
		.try_lock = true,
	};

	bool walked, lock = !locked && (PageFile(page) || PageKsm(page));

	*vm_flags = 0;
	if (!page_mapped(page))
		return 0;
	/* A contended lock says that the page's owner is busy: in use. */
	if (lock && !trylock_page(page))
		return 1;
	walked = walk_page(page, &rwc, locked || lock);
	if (lock)
		unlock_page(page);
	if (!walked)
		return 1;
	*vm_flags = ra.vm_flags;
	trace_emit(PAGE_REFERENCED, page_to_pfn(page), (u64)ra.referenced,
		   ra.vm_flags);
	return ra.referenced;
}

int page_referenced(struct page *page, bool locked, u64 *vm_flags)
{
	return page_referenced_batch(page, locked, vm_flags, NULL);
}

/* ---- unmapping
 * ------------------------------------------------------------------------------
 */

/*
 * A lazily freed page: the entry goes, and its contents with it, unless it was
 * written since, or somebody but its entries and the caller holds the page.
 * Table locked.
 */
static bool discard_one(struct page *page, struct vm_area_struct *vma,
			uva_t addr, const struct pt_slot *slot)
{
	struct mm_struct *mm = vma->vm_mm;
	pte_t old = pt_xchg(slot, (pte_t){0});

	port_tlb_flush(&mm->cpus, mm->asid, addr, addr + PAGE_SIZE);
	if (pte_dirty(old) || PageDirty(page) ||
	    page_count(page) != page_mapcount(page) + 1) {
		pt_set(slot, old);
		SetPageSwapBacked(page);
		return false;
	}
	mm_hiwater_update(mm);
	mm_counter_add(mm, MM_ANONPAGES, -1);
	trace_unmap(page, mm, addr, PAGE_UNMAP_LAZY);
	page_remove_rmap(page);
	put_page(page);
	return true;
}

/*
 * One mapping becomes a swap entry. The entry's count is raised first, so
 * that the slot cannot be freed under it. ARG: the batch, or NULL.
 */
static bool unmap_one(struct page *page, struct vm_area_struct *vma, uva_t addr,
		      void *arg)
{
	struct mm_struct *mm = vma->vm_mm;
	struct pt_slot slot;
	swp_entry_t entry;
	pte_t old;

	if (!page_vma_slot(page, vma, addr, &slot))
		return true;
	if (READ_ONCE(vma->vm_flags) & VM_LOCKED) {
		mlock_page(page);
		pt_unlock(&slot);
		return false;
	}
	if (!PageSwapBacked(page)) {
		bool gone = discard_one(page, vma, addr, &slot);

		pt_unlock(&slot);
		return gone;
	}
	entry = page_swap_entry(page);
	if (swap_duplicate(entry)) {
		pt_unlock(&slot);
		return false;
	}
	mm_note_swap(mm, swp_type(entry));
	old = pt_xchg(&slot, (pte_t){0});
	tlb_batch_add(arg, mm, addr, true);
	if (pte_dirty(old))
		SetPageDirty(page);
	pt_set(&slot, pte_swp_keep(swp_entry_to_pte(entry), old));
	mm_hiwater_update(mm);
	mm_counter_add(mm, MM_ANONPAGES, -1);
	mm_counter_add(mm, MM_SWAPENTS, 1);
	trace_unmap(page, mm, addr, PAGE_UNMAP_RECLAIM);
	page_remove_rmap(page);
	pt_unlock(&slot);
	put_page(page);
	return true;
}

/* One mapping of a file's page goes; the file has the contents. ARG: as in
 * unmap_one(). */
static bool unmap_file_one(struct page *page, struct vm_area_struct *vma,
			   uva_t addr, void *arg)
{
	struct mm_struct *mm = vma->vm_mm;
	struct pt_slot slot;
	pte_t old;

	if (!page_vma_slot(page, vma, addr, &slot))
		return true;
	if (READ_ONCE(vma->vm_flags) & VM_LOCKED) {
		mlock_page(page);
		pt_unlock(&slot);
		return false;
	}
	old = pt_xchg(&slot, (pte_t){0});
	tlb_batch_add(arg, mm, addr, true);
	/* The file's page comes back, and writes to it are watched still. */
	if (pte_uffd_wp(old))
		pt_set(&slot, make_pte_marker(PTE_MARKER_UFFD_WP));
	if (pte_dirty(old))
		(void)set_page_dirty(page);
	mm_hiwater_update(mm);
	mm_counter_add(mm, mm_counter(page), -1);
	trace_unmap(page, mm, addr, PAGE_UNMAP_RECLAIM);
	page_remove_rmap(page);
	pt_unlock(&slot);
	put_page(page);
	return true;
}

static bool not_mapped(struct page *page)
{
	return !page_mapped(page);
}

bool try_to_unmap_batch(struct page *page, struct tlb_batch *b)
{
	struct rmap_walk_control rwc = {
		.arg = b,
		.rmap_one = PageFile(page) ? unmap_file_one : unmap_one,
		.done = not_mapped,
	};

	mm_assert(PageLocked(page));
	mm_assert(PageFile(page) ||
		  PageSwapCache(page) != !PageSwapBacked(page));
	rmap_walk(page, &rwc);
	return !page_mapped(page);
}

bool try_to_unmap(struct page *page)
{
	return try_to_unmap_batch(page, NULL);
}

/* ---- cleaning --------------------------------------------------------------
 */

static bool not_shared(struct vm_area_struct *vma, void *arg)
{
	(void)arg;
	return !(READ_ONCE(vma->vm_flags) & VM_SHARED);
}

static bool mkclean_one(struct page *page, struct vm_area_struct *vma,
			uva_t addr, void *arg)
{
	struct mm_struct *mm = vma->vm_mm;
	struct pt_slot slot;
	int *cleaned = arg;
	pte_t e;

	if (!page_vma_slot(page, vma, addr, &slot))
		return true;
	e = pt_get(&slot);
	if (pte_write(e) || pte_dirty(e)) {
		pt_clear_bits(&slot, X86_PTE_RW | X86_PTE_D);
		/* What a CPU still stores lands before the page is written. */
		port_tlb_flush(&mm->cpus, mm->asid, addr, addr + PAGE_SIZE);
		++*cleaned;
	}
	pt_unlock(&slot);
	return true;
}

int page_mkclean(struct page *page)
{
	int cleaned = 0;
	struct rmap_walk_control rwc = {
		.arg = &cleaned,
		.rmap_one = mkclean_one,
		.invalid_vma = not_shared,
	};

	mm_assert(PageLocked(page) && PageFile(page));
	rmap_walk(page, &rwc);
	return cleaned;
}
