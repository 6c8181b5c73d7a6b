/* SPDX-License-Identifier: MIT */
/*
 * swap_ra.c - read-ahead from swap, by addresses.
 *
 * 1. Purpose. A page of a program comes back from swap, and what the program
 *    touches next should come with it. The neighbours of its slot
 *    (src/cache/swap_state.c) are what reclaim wrote at about the same time: of
 *    one program that is a fair guess once, and a bad one after pages were
 *    written and read again a few times, or of several programs at once. The
 *    neighbours of its address are what the program itself put together.
 *
 * 2. Way. Each mapping remembers, in one word, where its last fault was, how
 *    large the window was then and how many pages of it were used since. A
 *    fault just beside the last one opens a window of four pages; it doubles
 *    when at least half of what was read ahead was used, halves when nothing
 *    was, and never exceeds 1 << vm.page-cluster. It lies ahead of who goes
 *    upwards, behind who goes downwards, around others, and ends with the
 *    mapping. Of its entries those in swap are read, none is mapped; who
 *    touches such a page finds it in the swap cache, and that is a hit
 *    (PG_readahead, once).
 *
 * 3. Switch. /sys/kernel/mm/swap/vma_ra_enabled, true at boot. If false, and
 *    always for shared memory and swapoff, the cluster's way is gone.
 *
 * 4. Locking. The word has none: two faults of one mapping at once may lose a
 *    hit or a window, which costs a guess. Entries are read without the table's
 *    lock: what is read by a stale one is a page of somebody's, in the cache.
 *    The mmap lock or a claim keeps the mapping and its tables.
 *
 * Reference: Linux documentation, ABI/testing/sysfs-kernel-mm-swap.
 */
#include "cache/swap.h"
#include "space/fault.h"
#include "space/mempolicy.h"

/* A mapping's word: page of the last fault, window, hits since. */
#define RA_BITS	     6
#define RA_MOST	     ((1u << RA_BITS) - 1)
#define RA_WIN_FIRST 4u

MM_STATIC_ASSERT(2 * RA_BITS <= PAGE_SHIFT, "window and hits beside a page");

struct ra_word {
	uva_t addr;
	u32 window, hits;
};

static struct ra_word ra_get(const struct vm_area_struct *vma)
{
	u64 word = READ_ONCE(vma->vm_swap_ra);

	return (struct ra_word){word & PAGE_MASK,
				(u32)(word >> RA_BITS) & RA_MOST,
				(u32)word & RA_MOST};
}

static void ra_set(struct vm_area_struct *vma, struct ra_word w)
{
	WRITE_ONCE(vma->vm_swap_ra,
		   w.addr | (u64)w.window << RA_BITS | min(w.hits, RA_MOST));
}

/* ADDR is one page above (1) or below (-1) the last fault; 0: neither. */
static int beside(struct ra_word last, uva_t addr)
{
	if (addr == last.addr + PAGE_SIZE)
		return 1;
	return addr + PAGE_SIZE == last.addr ? -1 : 0;
}

/* How many pages to read about ADDR, itself included. */
static u32 next_window(struct ra_word last, uva_t addr)
{
	u32 most = 1u << min(READ_ONCE(cache_sys.page_cluster), RA_BITS - 1u);
	u32 window = last.window;

	if (window < 2)
		window = beside(last, addr) ? RA_WIN_FIRST : 1;
	else if (!last.hits)
		window /= 2;
	else if (last.hits * 2 >= window - 1)
		window *= 2;
	return clamp(window, 1u, most);
}

/* Pages [*FIRST, the result) about ADDR in VMA are a window of WINDOW. */
static uva_t place_window(const struct vm_area_struct *vma, struct ra_word last,
			  uva_t addr, u32 window, uva_t *first)
{
	u64 before = window / 2, after;

	if (beside(last, addr))
		before = beside(last, addr) > 0 ? 0 : window - 1;
	after = min(window - before, (vma->vm_end - addr) >> PAGE_SHIFT);
	before = min(before, (addr - vma->vm_start) >> PAGE_SHIFT);
	*first = addr - (before << PAGE_SHIFT);
	return addr + (after << PAGE_SHIFT);
}

/* Read what is in swap of [ADDR, END) of VMF's mapping, its own page left
 * out. */
static void read_around(const struct vm_fault *vmf, uva_t addr, uva_t end,
			gfp_t gfp)
{
	struct vm_area_struct *vma = vmf->vma;

	for (; addr < end; addr += PAGE_SIZE) {
		struct mpol_place place;
		struct mempolicy *held;
		struct pt_slot slot;
		pte_t e;

		if (addr == vmf->address ||
		    !pt_lookup(&vma->vm_mm->pt, addr, &slot))
			continue;
		e = pt_get(&slot);
		if (!pte_in_swap(e))
			continue;
		held = vma_place(vma, addr, &place);
		swap_read_ahead(pte_to_swp_entry(e), gfp, &place);
		mpol_put(held);
	}
}

struct page *swapin_vma(const struct vm_fault *vmf, swp_entry_t entry,
			gfp_t gfp)
{
	struct vm_area_struct *vma = vmf->vma;
	struct ra_word last = ra_get(vma), now = {vmf->address, 0, 0};
	struct mpol_place place;
	struct mempolicy *held;
	uva_t first, end;
	struct page *page;
	bool started;

	held = vma_place(vma, vmf->address, &place);
	page = swapin_alone(entry, gfp, &place, &started);
	mpol_put(held);
	if (!page)
		return NULL;
	if (!started) {
		now.window = last.window;
		now.hits = last.hits + swap_ra_used(page);
		ra_set(vma, now);
		return page;
	}
	now.window = next_window(last, vmf->address);
	ra_set(vma, now);
	end = place_window(vma, last, vmf->address, now.window, &first);
	read_around(vmf, first, end, gfp);
	return page;
}
