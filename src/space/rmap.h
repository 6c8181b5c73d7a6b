/* SPDX-License-Identifier: MIT */
/*
 * rmap.h - from a frame to the page-table entries that map it.
 */
#ifndef MM_SPACE_RMAP_H
#define MM_SPACE_RMAP_H

#include "base/epoch.h"
#include "base/list.h"
#include "base/rbtree.h"
#include "base/rwsem.h"
#include "base/trace_ring.h"
#include "phys/mmzone.h"
#include "phys/page.h"
#include "space/space.h"
#include "space/tlb_batch.h"

/*
 * The set of VMAs in which a group of anonymous pages may be mapped. (R) the
 * root's rwsem for writing to change, for reading to walk; (A) atomic.
 */
struct anon_vma {
	struct anon_vma *root;	   /* whose lock all of a tree use; constant */
	struct rw_semaphore rwsem; /* used in the root only */
	u32 refcount;		   /* (A) VMAs' links count as one */
	u32 num_children;	   /* (R) anon_vmas whose parent this is */
	u32 num_active_vmas;	   /* (R) VMAs whose anon_vma this is */
	struct anon_vma *parent;   /* (R) */
	struct rb_root rb_root;	   /* (R) interval tree of chain links */
	u16 window_lo, window_hi;  /* (R) 2^32-page windows of any VMA */
	struct epoch_head epoch;   /* for the deferred free */
};

/* The link of one VMA to one anon_vma. */
struct anon_vma_chain {
	struct vm_area_struct *vma;
	struct anon_vma *anon_vma;
	struct list_head same_vma; /* (mmap lock) in vma->anon_vma_chain */
	struct rb_node rb;	   /* (R) in anon_vma->rb_root */
	u64 rb_subtree_last;	   /* (R) interval tree's augmented value */
};

/* ---- anon_vma.c
 * ---------------------------------------------------------------- */

/* anon_vma_init_caches: at boot. 0 or -ENOMEM. */
int anon_vma_init_caches(void) MM_MUST_CHECK;

/* anon_vma_prepare: VMA gets an anon_vma, a neighbour's if it can be shared.
 * Mmap lock held in any mode. 0, -ENOMEM. */
int anon_vma_prepare(struct vm_area_struct *vma) MM_MUST_CHECK;

/* anon_vma_clone: link DST, which has none, to all anon_vmas that SRC is linked
 * to; its new pages are of the one that SRC's are. 0, -ENOMEM (then DST is
 * linked to none). */
int anon_vma_clone(struct vm_area_struct *dst,
		   struct vm_area_struct *src) MM_MUST_CHECK;

/* anon_vma_fork: the child's VMA: links to the parent's, and an anon_vma of
 * its own for new pages. 0, -ENOMEM (then no links are left). */
int anon_vma_fork(struct vm_area_struct *vma,
		  struct vm_area_struct *parent) MM_MUST_CHECK;

/* unlink_anon_vmas: VMA leaves all of them; unused ones are freed. */
void unlink_anon_vmas(struct vm_area_struct *vma);

/* Around a change of VMA's bounds (vma_resize): locks, keeps trees true.
 * FIRST_TOO: vm_pgoff changes, else only where it ends. */
void anon_vma_resize_begin(struct vm_area_struct *vma, bool first_too);
void anon_vma_resize_end(struct vm_area_struct *vma, bool first_too);

/* anon_vma_check: VMA's links are consistent. Panics. */
void anon_vma_check(struct vm_area_struct *vma);

/* References that keep AV (and its root) in memory. get: one is held. */
void anon_vma_get(struct anon_vma *av);
bool anon_vma_get_not_zero(struct anon_vma *av);
void anon_vma_put(struct anon_vma *av);

/* Interval look-up: links of AV whose VMAs hold page number PGOFF. */
struct anon_vma_chain *anon_vma_iter_first(struct anon_vma *av, u64 first,
					   u64 last);
struct anon_vma_chain *anon_vma_iter_next(struct anon_vma_chain *avc, u64 first,
					  u64 last);

/* ---- rmap.c
 * ---------------------------------------------------------------------- */

/* Set / clear the mapping of an anonymous PAGE at ADDR of VMA. Table lock of
 * the entry held. _new: PAGE is fresh, its contents complete (PG_uptodate),
 * mapped once, owned by VMA's anon_vma.
 * EXCLUSIVE: nobody else maps it: it may move to VMA's own anon_vma (page
 * lock held). */
void page_add_new_anon_rmap(struct page *page, struct vm_area_struct *vma,
			    uva_t addr);
void page_add_anon_rmap(struct page *page, struct vm_area_struct *vma,
			uva_t addr, bool exclusive);
void page_remove_rmap(struct page *page);

/* trace_unmap: PAGE is about to lose its entry at ADDR of MM, because of WHY.
 */
static inline void trace_unmap(const struct page *page,
			       const struct mm_struct *mm, uva_t addr,
			       enum page_unmap_why why)
{
	trace_emit(PAGE_UNMAP, page_to_pfn(page), mm->serial, addr, why);
}

void page_move_anon_rmap(struct page *page, struct vm_area_struct *vma);
/* page_rehome_anon: PAGE, locked, mapped once, goes to ADDR of VMA, which has
 * an anon_vma; both tables locked. */
void page_rehome_anon(struct page *page, struct vm_area_struct *vma,
		      uva_t addr);
/* page_add_moved_rmap: an entry more for PAGE, locked, of any kind, whose
 * identity stands. */
void page_add_moved_rmap(struct page *page);
/* The same for a page of a file, locked; page_dup_rmap() and
 * page_remove_rmap() are for both. */
void page_add_file_rmap(struct page *page);

/* page_add_ksm_rmap: one more entry maps PAGE, locked, which KSM shares. */
void page_add_ksm_rmap(struct page *page);

static inline void page_dup_rmap(struct page *page)
{
	int now = page_mapcount_add(page, 1);

	mm_verify(now > 1);
}

/*
 * The node counters of mapped pages, for who sets or clears many entries:
 * begins as all zero; flushed before the last table is unlocked.
 */
struct rmap_batch {
	struct pglist_data *pgdat; /* whose pages are counted here */
	u16 group;		   /* and of which group */
	s64 anon, file;		   /* how many more are mapped */
};

/* rmap_batch_flush: count, and begin anew. _turn: B is for PAGE's node and
 * group now. _of: is it already? */
void rmap_batch_flush(struct rmap_batch *b);
void rmap_batch_turn(struct rmap_batch *b, const struct page *page);

static inline bool rmap_batch_of(const struct rmap_batch *b,
				 const struct page *page)
{
	return b->pgdat == page_zone(page)->zone_pgdat &&
	       b->group == page_group(page);
}

/* page_add_new_anon_rmaps: page_add_new_anon_rmap() of NR pages, at ADDR and
 * after it, in one table, which is locked. */
void page_add_new_anon_rmaps(struct page **pages, u32 nr,
			     struct vm_area_struct *vma, uva_t addr);

/*
 * page_add_block_rmap: the 2^ORDER frames of BLOCK, allocated as such, complete
 * and unknown to anybody, become single pages of VMA at ADDR and after it, each
 * mapped once, on their list; the caller sets the entries, of a table that it
 * has locked. False: nothing was done; that is for split_page() and
 * page_add_new_anon_rmaps() then.
 */
bool page_add_block_rmap(struct page *block, unsigned int order,
			 struct vm_area_struct *vma, uva_t addr) MM_MUST_CHECK;

/* page_remove_rmap_batch: page_remove_rmap(), counted in B. */
static inline void page_remove_rmap_batch(struct page *page,
					  struct rmap_batch *b)
{
	int left = page_mapcount_add(page, -1);

	if (left > 0)
		return;
	mm_verify(left == 0);
	if (unlikely(!rmap_batch_of(b, page)))
		rmap_batch_turn(b, page);
	if (likely(PageAnon(page)))
		b->anon--;
	else
		b->file--;
}

/*
 * mlock_page: PAGE is mapped by a VM_LOCKED mapping: mark it, count it, and
 * bring it to the unevictable list. mlock_new_page: the same for a page that
 * nobody else knows yet. munlock_page: a locked mapping let go of PAGE, which
 * the caller holds; if it was the last such, all that is undone. (mlock.c)
 * mlock_page: the table of such a mapping's entry is locked, or the page is
 * and the mmap lock held; munlock_page locks the page and may sleep.
 * munlock_unmapped_page: the same for who may hold the page's lock, or i_mmap:
 * only if no mapping is left.
 */
void mlock_page(struct page *page);
void mlock_new_page(struct page *page);
void munlock_page(struct page *page);
void munlock_unmapped_page(struct page *page);
/* munlock_moving_page: PAGE, locked, on no list, has lost all its entries for a
 * while: they lock the frame that gets its contents. */
void munlock_moving_page(struct page *page);

/* One walk over all mappings of a page. */
struct rmap_walk_control {
	void *arg;
	/* Called for each VMA that may map the page; false ends the walk. */
	bool (*rmap_one)(struct page *page, struct vm_area_struct *vma,
			 uva_t addr, void *arg);
	bool (*done)(struct page *page); /* true: enough. May be NULL */
	/* Skip this VMA. May be NULL. */
	bool (*invalid_vma)(struct vm_area_struct *vma, void *arg);
	bool try_lock; /* give up rather than wait for the tree's lock */
	/* Of an anonymous page that no entry maps: its tree, which the caller
	 * holds. NULL: the page is mapped. */
	struct anon_vma *anon_vma;
	u32 visited; /* out: VMAs looked at */
};

/* rmap_walk: false if the lock was not to be had (try_lock). May sleep. A page
 * of a file is locked, and one that KSM shares or could come to share. */
bool rmap_walk(struct page *page, struct rmap_walk_control *rwc);

/*
 * rmap_walk_at: for who keeps the places of a PAGE itself (src/merge/): visit
 * those mappings of AV, held, that have page number PGOFF. What was visited
 * adds up in RWC->visited. RMAP_OVER: the walk is over; RMAP_BUSY: the lock was
 * not to be had.
 */
enum rmap_walked { RMAP_ON, RMAP_OVER, RMAP_BUSY };
enum rmap_walked rmap_walk_at(struct page *page, struct anon_vma *av, u64 pgoff,
			      struct rmap_walk_control *rwc);

/* page_referenced: how many mappings used the page since last asked (their
 * accessed bits are cleared); *VM_FLAGS gets the flags of their VMAs. LOCKED:
 * the caller holds the page lock. */
int page_referenced(struct page *page, bool locked, u64 *vm_flags);
/* page_referenced_batch: the same; CPUs forget the entries when B is flushed,
 * and until then may not set accessed bits again. */
int page_referenced_batch(struct page *page, bool locked, u64 *vm_flags,
			  struct tlb_batch *b);

/* page_mkclean: mapping_ops' (src/cache/filemap.h): all shared mappings of
 * PAGE, locked, of a file, become clean and read-only; how many were not. */
int page_mkclean(struct page *page);

/*
 * try_to_unmap: replace every mapping of an anonymous PAGE that is in the
 * swap cache by its swap entry, and flush. Of one without PG_swapbacked
 * (MADV_FREE) the entries go; if it was written or is held since, it gets
 * PG_swapbacked and stays. Entries of a file's page go, what was dirty makes
 * it dirty. Page locked. True if none is left.
 */
bool try_to_unmap(struct page *page) MM_MUST_CHECK;
/* try_to_unmap_batch: the same, but CPUs forget the entries when B is flushed:
 * until then PAGE stays locked, and is neither written to disk nor freed,
 * whatever is returned. */
bool try_to_unmap_batch(struct page *page, struct tlb_batch *b) MM_MUST_CHECK;

/* page_get_anon_vma: the tree of PAGE, anonymous, with a reference, or NULL if
 * nobody maps the page. */
struct anon_vma *page_get_anon_vma(struct page *page);

/*
 * try_to_migrate: every entry of PAGE, locked, becomes a migration entry, and
 * no CPU knows the old one. True if none maps it any more. May sleep.
 * remove_migration_ptes: entries that name OLD, locked, map NEW, locked, which
 * has its contents and its place, or is OLD itself. AV: OLD's tree, if it is
 * anonymous and was mapped. May sleep.
 * migration_entry_wait: SLOT holds E, a migration entry: wait until that may
 * have changed. Mmap lock held, or a claim; the page is nobody's we hold.
 * (migration_entry.c)
 */
bool try_to_migrate(struct page *page) MM_MUST_CHECK;
void remove_migration_ptes(struct page *old, struct page *new,
			   struct anon_vma *av);
void migration_entry_wait(const struct pt_slot *slot, pte_t e);

/* migrating_page: the page that E, a migration entry, names; the table is
 * locked, so it is there. */
static inline struct page *migrating_page(pte_t e)
{
	return pfn_to_page(migration_entry_pfn(pte_to_swp_entry(e)));
}

/* page_linked: would a walk from PAGE, anonymous, come to VMA? For checks;
 * VMA's links are held still. */
bool page_linked(const struct page *page, const struct vm_area_struct *vma);

/* page_vma_slot: the slot in VMA that maps PAGE at ADDR, table locked; false
 * (unlocked) if it does not. */
bool page_vma_slot(const struct page *page, struct vm_area_struct *vma,
		   uva_t addr, struct pt_slot *slot);
/* _aged: the same, to look at and clear accessed bits alone: pt_lock_aged(). */
bool page_vma_slot_aged(const struct page *page, struct vm_area_struct *vma,
			uva_t addr, struct pt_slot *slot);

/* page_vma_address: where VMA would map page number PGOFF. */
static inline uva_t page_vma_address(const struct vm_area_struct *vma,
				     u64 pgoff)
{
	return vma->vm_start + ((pgoff - vma->vm_pgoff) << PAGE_SHIFT);
}

#endif
