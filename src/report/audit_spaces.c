/* SPDX-License-Identifier: MIT */
/*
 * audit_spaces.c - the audit's look at page tables and swap maps.
 */
#include <mmkit/slab.h>

#include "cache/swap.h"
#include "report/audit.h"
#include "space/rmap.h"
#include "space/space.h"

static void count_entry(struct audit *a, pte_t e)
{
	mm_assert_implies(pte_present(e), pfn_valid(pte_pfn(e)));
	if (pte_in_swap(e))
		audit_set_add(&a->swap_entries, pte_to_swp_entry(e).val, 1);
	else if (pte_present(e) && pte_special(e))
		a->zero_entries++;
	else if (pte_present(e))
		audit_set_add(&a->entries, pte_pfn(e), 1);
}

/* All entries of VMA; holes are passed over a table at a time. */
static void count_vma(struct audit *a, struct vm_area_struct *vma)
{
	struct pgtable *pt = &vma->vm_mm->pt;
	struct anon_vma_chain *avc;
	uva_t va = vma->vm_start;

	mm_assert(vma->vm_start < vma->vm_end);
	a->vmas++;
	list_for_each_entry (avc, &vma->anon_vma_chain, same_vma)
		a->links++;
	while (va < vma->vm_end) {
		struct pt_slot slot;

		if (!pt_lookup(pt, va, &slot)) {
			va = pt_skip(pt, va, vma->vm_end);
			continue;
		}
		count_entry(a, pt_get(&slot));
		va += PAGE_SIZE;
	}
}

static void count_space(struct audit *a, struct mm_struct *mm)
{
	struct vm_area_struct *vma;

	a->spaces++;
	mmap_read_lock(mm);
	mm_assert(mm->mm_users > 0);
	for_each_vma (vma, mm)
		count_vma(a, vma);
	a->rss += mm_rss(mm);
	a->swapents += mm_counter_get(mm, MM_SWAPENTS);
	a->space_tables += READ_ONCE(mm->pt.table_bytes) >> PAGE_SHIFT;
	mmap_read_unlock(mm);
}

/* The map of SI: entries that refer to each slot, and the cache bits. */
static void count_swap_map(struct audit *a, struct swap_info *si)
{
	mm_assert(si && si->map && si->inuse_pages <= si->pages);
	spin_lock(&si->lock);
	for (u32 off = 0; off < si->max; off++) {
		u16 w = *swap_slot_word(si, off);

		if (w == 0 || w == SWAP_MAP_BAD)
			continue;
		a->swap_cached += (w & SWAP_HAS_CACHE) != 0;
		audit_set_add(&a->swap_counts, swp_entry(si->type, off).val,
			      swap_slot_entries(si, off));
	}
	/* Slots that CPUs keep are nobody's, and have no page. */
	a->swap_cached -= READ_ONCE(si->slots_cached);
	spin_unlock(&si->lock);
}

/*
 * Spaces that nobody uses any more live on, as a root table, while a kernel
 * thread has them loaded.
 */
static u64 lazy_spaces(void)
{
	u64 all, listed;

	if (!space_sys.mm_cache)
		return 0;
	all = kmem_cache_active(space_sys.mm_cache);
	listed = READ_ONCE(space_sys.nr_mms);
	return all > listed ? all - listed : 0;
}

/* The entries that files in memory hold: each counts once in its slot. */
static void count_mapping(struct audit *a, struct address_space *mapping)
{
	unsigned long flags;
	void *entry;
	u64 index;

	mapping_lock(mapping, &flags);
	xa_for_each (&mapping->i_pages, index, entry) {
		if (!xa_is_value(entry) || !shmem_value_slot(entry))
			continue;
		audit_set_add(&a->swap_entries, xa_to_value(entry), 1);
		a->shmem_swapents++;
	}
	mapping_unlock(mapping, flags);
}

static void count_mappings(struct audit *a)
{
	struct filemap_state *fm = &cache_sys.fm;
	struct inode *inode;

	if (!fm->file_cache)
		return;
	spin_lock(&fm->inode_lock);
	list_for_each_entry (inode, &fm->inodes, i_sb_list)
		if (mapping_flag(&inode->i_data, AS_NO_WRITEBACK))
			count_mapping(a, &inode->i_data);
	spin_unlock(&fm->inode_lock);
}

void audit_spaces(struct audit *a)
{
	struct mm_struct *mm;

	mm_assert(a->spaces == 0 && a->swap_counts.nr == 0);
	for (mm = next_space(NULL); mm; mm = next_space(mm))
		count_space(a, mm);
	count_mappings(a);
	a->lazy_spaces = lazy_spaces();
	for (u32 t = 0; t < nr_swap_areas(); t++)
		if (swap_area(t))
			count_swap_map(a, swap_area(t));
}
