/* SPDX-License-Identifier: MIT */
/*
 * cma.h - frames that lie side by side, in any number: exact ranges, and
 * areas kept for them (the Contiguous Memory Allocator).
 *
 * Names and meaning are Linux's. Theory: src/phys/contig.c, src/phys/cma.c.
 */
#ifndef MMKIT_CMA_H
#define MMKIT_CMA_H

#include <mmkit/gfp.h>
#include <mmkit/types.h>

struct page;
struct cma;

/* ---- exact ranges
 * ---------------------------------------------------------------------- */

/*
 * alloc_contig_range: make exactly the frames [START, END) the caller's, each
 * a page of its own with one reference. What is in use there is migrated, if
 * a mover is registered and the pages can move. MIGRATETYPE: MIGRATE_CMA for
 * frames of a CMA area, else MIGRATE_MOVABLE. GFP: __GFP_ZERO is honoured.
 *
 * Returns 0; -EINVAL (no such frames, or not all of one zone), -EBUSY (a
 * frame is in use and stays so; the reason is in the log at debug level),
 * -ENOMEM (migration had no memory, or injected): then nothing has changed
 * but for pages that moved. Watermarks do not count here: who asks for exact
 * frames has them set aside. May sleep.
 */
int alloc_contig_range(u64 start, u64 end, int migratetype,
		       gfp_t gfp) MM_MUST_CHECK;

/*
 * alloc_contig_pages: NR frames side by side from the zones that GFP allows
 * on NID's zone list, the first that can be had; aligned to NR if NR is a
 * power of two. A zone is left above its low watermark. NULL: none. May
 * sleep, and take long: O(frames of the zones).
 */
struct page *alloc_contig_pages(u64 nr, gfp_t gfp, int nid);

/*
 * free_contig_range: give back frames [PFN, PFN + NR), each with the caller's
 * one reference. Frames that others still hold are reported and freed when
 * these let go.
 */
void free_contig_range(u64 pfn, u64 nr);

/* ---- areas
 * ---------------------------------------------------------------------------
 */

#define CMA_MAX_NAME 64
#ifndef MAX_CMA_AREAS /* a build of one's own may have fewer */
#define MAX_CMA_AREAS 16
#endif

/* What an area should be. Zero: no wish, but for size. */
struct cma_request {
	phys_addr_t base;  /* its start if fixed, else not below */
	u64 size;	   /* bytes; rounded up to whole pageblocks */
	phys_addr_t limit; /* not above; 0: anywhere */
	u64 alignment;	   /* a power of two; at least a pageblock */
	u32 order_per_bit; /* 2^this frames are given out at a time */
	bool fixed;	   /* exactly at base */
	bool any_node;	   /* else on node nid only */
	int nid;
	const char *name; /* NULL: "cma0", "cma1", ... */
};

/*
 * cma_declare_contiguous: set an area aside, during boot, before the memory
 * map exists (phys_boot_params.cma). It lies in one zone and is a multiple of
 * pageblocks. Returns 0 and the area in *RES (may be NULL); -EINVAL (size,
 * alignment or place is impossible, or it is too late), -EBUSY (fixed, and
 * something is there), -ENOMEM (no place), -ENOSPC (MAX_CMA_AREAS): logged.
 */
int cma_declare_contiguous(const struct cma_request *req,
			   struct cma **res) MM_MUST_CHECK;

/*
 * cma_init_reserved_mem: the same for memory that the caller has reserved in
 * memblock already: BASE and SIZE are multiples of a pageblock and of the
 * granule 2^ORDER_PER_BIT frames.
 */
int cma_init_reserved_mem(phys_addr_t base, u64 size, u32 order_per_bit,
			  const char *name, struct cma **res) MM_MUST_CHECK;

/*
 * cma_alloc: COUNT frames of the area side by side, the first aligned to
 * 2^ALIGN frames; rounded up to whole granules. Movable pages that borrow
 * them are migrated; where one cannot be, the next place is tried. NULL: none,
 * logged unless NO_WARN. May sleep.
 */
struct page *cma_alloc(struct cma *cma, u64 count, unsigned int align,
		       bool no_warn);

/*
 * cma_release: give COUNT frames from PAGES on back. False if they are not
 * all the area's and given out (then nothing has changed).
 */
bool cma_release(struct cma *cma, const struct page *pages, u64 count);

/* cma_pages_valid: do all COUNT frames from PAGES on belong to the area? */
bool cma_pages_valid(const struct cma *cma, const struct page *pages,
		     u64 count);

/* The area's first byte, its bytes, its name, frames now given out. */
phys_addr_t cma_get_base(const struct cma *cma);
u64 cma_get_size(const struct cma *cma);
const char *cma_get_name(const struct cma *cma);
u64 cma_get_used(const struct cma *cma);

/* cma_for_each_area: FN for each, in the order of declaration, until it
 * returns non-zero; returns that, or 0. */
int cma_for_each_area(int (*fn)(struct cma *cma, void *arg), void *arg);

/* totalcma_pages: frames of all areas. */
u64 totalcma_pages(void);

#endif
