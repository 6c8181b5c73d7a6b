/* SPDX-License-Identifier: MIT */
/*
 * page_alloc.h - frames from the page allocator.
 *
 * A block is 2^order frames (order 0 .. 10), aligned to its size. GFP flags:
 * mmkit/gfp.h. Theory: src/phys/page_alloc.c.
 */
#ifndef MMKIT_PAGE_ALLOC_H
#define MMKIT_PAGE_ALLOC_H

#include <mmkit/gfp.h>
#include <mmkit/types.h>

struct page;
struct page_list;

/*
 * alloc_pages: a block of ORDER from the running CPU's node or the nearest
 * that has one. Its first frame has one reference; the frames' contents are
 * undefined without __GFP_ZERO. With __GFP_COMP the block is a compound page.
 * Context: may sleep with __GFP_DIRECT_RECLAIM; else any, interrupts
 * included; no zone or pcp lock held. Returns NULL when there is none.
 * Owner: the caller, until __free_pages() or put_page().
 */
struct page *alloc_pages(gfp_t gfp, unsigned int order) MM_MUST_CHECK;

static inline struct page *MM_MUST_CHECK alloc_page(gfp_t gfp)
{
	return alloc_pages(gfp, 0);
}

/*
 * __alloc_pages: the same, nearest to node NID, whatever the task's policy
 * says; -1: the running CPU's node, or what the policy says
 * (mmkit/mempolicy.h).
 */
struct page *__alloc_pages(gfp_t gfp, unsigned int order,
			   int nid) MM_MUST_CHECK;

/*
 * alloc_pages_bulk: up to NR order-0 frames into the empty slots (NULL) of
 * PAGES[NR]. Returns how many slots are filled at the end, from the front;
 * fewer than NR means that memory was short.
 */
u64 alloc_pages_bulk(gfp_t gfp, int nid, u64 nr, struct page **pages);

/*
 * alloc_pages_exact: SIZE bytes (> 0) of contiguous whole frames; the rest of
 * the block that they come from is given back. Each frame has a reference.
 */
struct page *alloc_pages_exact(u64 size, gfp_t gfp) MM_MUST_CHECK;
void free_pages_exact(struct page *page, u64 size);

/*
 * __free_pages: drop a reference to the block at PAGE, and free it if that
 * was the last. ORDER must be what it was allocated with; a wrong order, a
 * block that is free already or a frame still in use is reported ("BUG: Bad
 * page state") and the block is left alone for ever. NULL is not allowed.
 */
void __free_pages(struct page *page, unsigned int order);

static inline void __free_page(struct page *page)
{
	__free_pages(page, 0);
}

/*
 * free_page_run: as __free_page() for each of the NR frames that follow each
 * other from PAGE on; those that are nobody's then are joined to blocks before
 * they are given back. Any context.
 */
void free_page_run(struct page *page, u64 nr);

/*
 * free_unref_page: free the block at PAGE, whose count is 0 already.
 * free_unref_page_list: all order-0 frames of LIST, which is left empty.
 */
void free_unref_page(struct page *page, unsigned int order);
void free_unref_page_list(struct page_list *list);

/*
 * split_page: make 2^ORDER single frames of the (not compound) block at PAGE;
 * each has one reference and is freed by itself.
 */
void split_page(struct page *page, unsigned int order);

/*
 * drain_pages: give CPU's lists back to the zones; drain_all_pages: all
 * CPUs'. Context: takes pcp and zone locks.
 */
void drain_pages(int cpu);
void drain_all_pages(void);

/* nr_free_pages: frames in the free lists of all zones. */
u64 nr_free_pages(void);
/* nr_free_buffer_pages: low-memory frames above the high watermarks. */
u64 nr_free_buffer_pages(void);
/* totalram_pages: frames that the allocator manages. */
u64 totalram_pages(void);

#endif
