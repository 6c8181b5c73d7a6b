/* SPDX-License-Identifier: MIT */
/*
 * damon_ops.c - what a sampled address is: a page of a space, or a frame.
 *
 * Of a space: the entry at the address, looked up as a fault would, under the
 * mmap lock for reading, which is only tried: a sample more or less does not
 * matter. Of RAM: the frame, if it is on a list of reclaim's, and all entries
 * that map it, by the reverse map.
 *
 * An accessed bit that is cleared here is one that reclaim does not see. So the
 * page of an entry that was used gets PG_referenced: when it is used again,
 * reclaim takes it for used twice.
 *
 * Of a space three ranges are watched, all between its first and its last
 * mapping but the two greatest holes (usually those below and above what
 * mmap(2) gave): holes of a few pages between mappings are not worth a border.
 */
#include <mmkit/errno.h>
#include <mmkit/mman.h>
#include <mmkit/page_alloc.h>

#include "base/epoch.h"
#include "phys/lru.h"
#include "phys/mmzone.h"
#include "policy/damon.h"
#include "reclaim/reclaim.h"
#include "space/rmap.h"

/* ---- a space ---------------------------------------------------------------
 */

/* The two greatest holes between mappings of MM, in order of address. */
static void greatest_holes(struct mm_struct *mm, struct damon_range hole[2])
{
	struct vm_area_struct *vma, *prev = NULL;

	hole[0] = hole[1] = (struct damon_range){0};
	for_each_vma (vma, mm) {
		struct damon_range h = {prev ? prev->vm_end : vma->vm_start,
					vma->vm_start};
		u64 len[2] = {hole[0].end - hole[0].start,
			      hole[1].end - hole[1].start};

		prev = vma;
		if (h.end - h.start <= min(len[0], len[1]))
			continue;
		/* The smaller one goes; the new one is the last. */
		if (len[0] < len[1])
			hole[0] = hole[1];
		hole[1] = h;
	}
}

/* The ranges of MM that are watched; how many. Mmap lock held. */
static u32 space_ranges(struct mm_struct *mm, struct damon_range out[3])
{
	struct vm_area_struct *first = vma_first(mm), *vma;
	struct damon_range hole[2];
	u64 at, end = 0;
	u32 n = 0;

	if (!first)
		return 0;
	for_each_vma (vma, mm)
		end = vma->vm_end;
	greatest_holes(mm, hole);
	at = first->vm_start;
	for (u32 i = 0; i < 2; i++) {
		if (hole[i].start == hole[i].end)
			continue;
		out[n++] = (struct damon_range){at, hole[i].start};
		at = hole[i].end;
	}
	out[n++] = (struct damon_range){at, end};
	return n;
}

static int vaddr_ranges(struct damon_ctx *ctx)
{
	struct mm_struct *mm = ctx->target.mm;
	struct damon_range r[3];
	int err = -ESRCH;
	u32 n;

	if (!mm_get_not_zero(mm))
		return -ESRCH;
	mmap_read_lock(mm);
	n = space_ranges(mm, r);
	mmap_read_unlock(mm);
	if (n)
		err = damon_set_regions(ctx, r, n);
	mm_put(mm);
	return err;
}

static void vaddr_update(struct damon_ctx *ctx)
{
	(void)vaddr_ranges(ctx);
}

/* Was the page at ADDR used? Forget it if CLEAR. */
static bool entry_used(struct mm_struct *mm, u64 addr, bool clear,
		       struct tlb_batch *b)
{
	struct pt_slot slot;
	bool young;
	pte_t e;

	if (!pt_lookup(&mm->pt, addr, &slot))
		return false;
	pt_lock(&slot);
	e = pt_get(&slot);
	young = pte_present(e) && pte_young(e);
	if (young && clear) {
		pt_clear_bits(&slot, X86_PTE_A);
		tlb_batch_add(b, mm, addr, false);
		if (!pte_special(e))
			SetPageReferenced(pfn_to_page(pte_pfn(e)));
	}
	pt_unlock(&slot);
	return young;
}

/* All samples of CTX's space. False: it is gone. */
static bool vaddr_samples(struct damon_ctx *ctx, bool clear)
{
	struct mm_struct *mm = ctx->target.mm;
	struct damon_region *r;
	struct tlb_batch b;

	if (!mm_get_not_zero(mm))
		return false;
	tlb_batch_init(&b);
	b.prompt = true;
	if (mmap_read_trylock(mm)) {
		list_for_each_entry (r, &ctx->target.regions, list) {
			bool used = entry_used(mm, r->sampling_addr, clear, &b);

			r->nr_accesses += used && !clear;
		}
		mmap_read_unlock(mm);
	}
	tlb_batch_flush(&b);
	mm_put(mm);
	return true;
}

static bool vaddr_prepare(struct damon_ctx *ctx)
{
	return vaddr_samples(ctx, true);
}

static void vaddr_check(struct damon_ctx *ctx)
{
	(void)vaddr_samples(ctx, false);
}

/* Holes are passed over: -ENOMEM says that the rest was done. */
static u64 vaddr_apply(struct damon_ctx *ctx, u64 start, u64 end,
		       enum damos_action action)
{
	struct mm_struct *mm = ctx->target.mm;
	int err = 0;

	if (action == DAMOS_STAT || !mm_get_not_zero(mm))
		return 0;
	err = do_madvise(mm, start, end - start,
			 action == DAMOS_COLD ? MADV_COLD : MADV_PAGEOUT);
	mm_put(mm);
	return err && err != -ENOMEM ? 0 : end - start;
}

const struct damon_operations damon_vaddr_ops = {
	.init = vaddr_ranges,
	.update = vaddr_update,
	.prepare = vaddr_prepare,
	.check = vaddr_check,
	.apply = vaddr_apply,
};

/* ---- RAM -------------------------------------------------------------------
 */

static int paddr_init(struct damon_ctx *ctx)
{
	struct damon_range all = {ctx->start, ctx->end};

	return all.start < all.end ? damon_set_regions(ctx, &all, 1) : -EINVAL;
}

static void paddr_update(struct damon_ctx *ctx)
{
	(void)ctx;
}

/* The frame at ADDR with a reference, if reclaim could get at it. */
static struct page *lru_page(u64 addr)
{
	struct page *page;

	epoch_enter();
	page = pfn_to_online_page(PFN_DOWN(addr));
	if (page && (!PageLRU(page) || !get_page_unless_zero(page)))
		page = NULL;
	epoch_exit();
	return page;
}

static bool paddr_samples(struct damon_ctx *ctx, bool clear)
{
	struct damon_region *r;
	struct tlb_batch b;

	tlb_batch_init(&b);
	b.prompt = true;
	list_for_each_entry (r, &ctx->target.regions, list) {
		struct page *page = lru_page(r->sampling_addr);
		u64 vm_flags;
		bool used;

		if (!page)
			continue;
		used = page_referenced_batch(page, false, &vm_flags, &b) > 0;
		if (used)
			SetPageReferenced(page);
		r->nr_accesses += used && !clear;
		put_page(page);
	}
	tlb_batch_flush(&b);
	return true;
}

static bool paddr_prepare(struct damon_ctx *ctx)
{
	return paddr_samples(ctx, true);
}

static void paddr_check(struct damon_ctx *ctx)
{
	(void)paddr_samples(ctx, false);
}

/* Isolated pages go; who was used since stays. Pages freed. */
static u64 push_out(struct page_list *list)
{
	u64 freed = list->count ? reclaim_pages(list) : 0;

	while (list->count)
		lru_putback_page(page_list_pop(list));
	return freed;
}

static u64 paddr_apply(struct damon_ctx *ctx, u64 start, u64 end,
		       enum damos_action action)
{
	struct page_list list;
	u64 done = 0;

	(void)ctx;
	page_list_init(&list);
	for (u64 at = start; at < end && action != DAMOS_STAT;
	     at += PAGE_SIZE) {
		struct page *page = lru_page(at);

		if (!page)
			continue;
		if (PageUnevictable(page)) {
			put_page(page);
			continue;
		}
		if (action == DAMOS_COLD) {
			lru_deactivate_page(page);
			done++;
		} else if (lru_isolate_page(page)) {
			ClearPageActive(page);
			ClearPageReferenced(page);
			page_list_add(&list, page);
		}
		put_page(page);
		if (list.count == SWAP_CLUSTER_MAX)
			done += push_out(&list);
	}
	return (done + push_out(&list)) << PAGE_SHIFT;
}

const struct damon_operations damon_paddr_ops = {
	.init = paddr_init,
	.update = paddr_update,
	.prepare = paddr_prepare,
	.check = paddr_check,
	.apply = paddr_apply,
};
