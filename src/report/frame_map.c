/* SPDX-License-Identifier: MIT */
/*
 * frame_map.c - what every frame of RAM is used for, as a row of letters:
 * /proc/mmkit/frames.
 *
 * 1. Purpose. A picture of memory that can be taken again and again while the
 *    machine runs, and be laid beside the next one.
 *
 * 2. A cell is 2^n frames, aligned; its letter is the use that most of its
 *    frames have (of equals the one that stands first in the list), '-' only
 *    where there is no frame at all:
 *
 *        .  free                       f  page of a file
 *        ,  free, on a CPU's list      s  shared memory
 *        a  anonymous                  b  slab
 *        h  anonymous, huge page       t  page table
 *        m  merged (KSM)               k  the kernel's, other
 *        w  in the swap cache          r  reserved
 *        x  not to be used             -  no frame
 *
 * 3. The walk goes block by block, as the audit's does: a free block, a slab
 *    and an allocated block of several frames are one step each, for the
 *    frames behind the first of them say nothing by themselves. Sections whose
 *    descriptors are not made are stepped over.
 *
 * 4. Locking, failure. None: descriptors are read as they are, in read
 *    sections against memory that goes away. While others allocate, a block
 *    may be taken for what it was a moment ago; its size is cut to what a
 *    block can have. Nothing is changed.
 */
#include "base/epoch.h"
#include "base/string.h"
#include "phys/phys.h"
#include "report/report.h"

static const char letters[] = ".,ahmwfsbtkrx-";

enum use {
	USE_FREE,
	USE_CPU_LIST,
	USE_ANON,
	USE_HUGE,
	USE_MERGED,
	USE_SWAPCACHE,
	USE_FILE,
	USE_SHMEM,
	USE_SLAB,
	USE_TABLE,
	USE_KERNEL,
	USE_RESERVED,
	USE_BAD,
	USE_NONE,
	NR_USES
};
MM_STATIC_ASSERT(sizeof(letters) == NR_USES + 1, "a letter for each use");

/* Frames in one read section. */
#define FRAMES_AT_ONCE 4096u

/* The cell that is being filled, and who is told of full ones. */
struct map_cell {
	u32 order;
	u64 end; /* the first frame after it */
	u64 frames[NR_USES];
	void (*fn)(char letter, void *arg);
	void *arg;
};

/* A page with contents that somebody can map or read. */
static enum use use_of_page(const struct page *page)
{
	if (PageSwapCache(page))
		return USE_SWAPCACHE;
	if (PageKsm(page))
		return USE_MERGED;
	if (PageAnon(page))
		return PageHead(page) ? USE_HUGE : USE_ANON;
	return PageSwapBacked(page) ? USE_SHMEM : USE_FILE;
}

/* PAGE is neither free in the buddy system nor the rest of a block. */
static enum use use_of(const struct page *page)
{
	const u32 contents = 1u << PG_lru | 1u << PG_uptodate |
			     1u << PG_swapbacked | 1u << PG_swapcache;

	if (PageReserved(page))
		return USE_RESERVED;
	if (page_has_flags(page, 1u << PG_offline | 1u << PG_guard |
					 1u << PG_hwpoison))
		return USE_BAD;
	if (PageSlab(page))
		return USE_SLAB;
	if (PageTable(page))
		return USE_TABLE;
	if (page_count(page) == 0 && !PageTail(page))
		return USE_CPU_LIST;
	return page_has_flags(page, contents) ? use_of_page(page) : USE_KERNEL;
}

static u64 block_frames(const struct page *page, bool free)
{
	u32 order = 0;

	if (free)
		order = buddy_order(page);
	else if (PageHead(page) || PageBlock(page))
		order = READ_ONCE(page[1].index);
	return 1UL << min(order, (u32)MAX_ORDER - 1);
}

/* The use of the block at PFN; *N: its frames. */
static enum use look(u64 pfn, u64 *n)
{
	const struct page *page;

	if (!pfn_valid(pfn)) {
		*n = ALIGN_DOWN(pfn, pageblock_nr_pages) + pageblock_nr_pages -
		     pfn;
		return pfn_deferred(pfn) ? USE_FREE : USE_NONE;
	}
	page = pfn_to_page(pfn);
	*n = 1;
	if (PagePoisoned(page))
		return USE_NONE;
	*n = block_frames(page, PageBuddy(page));
	return PageBuddy(page) ? USE_FREE : use_of(page);
}

static char cell_letter(const struct map_cell *c)
{
	enum use most = USE_NONE;
	u64 best = 0;

	for (u32 u = 0; u < USE_NONE; u++) {
		if (c->frames[u] <= best)
			continue;
		best = c->frames[u];
		most = u;
	}
	return letters[most];
}

u32 mm_frame_map_order(u32 max)
{
	u32 order = 0;

	mm_assert(max > 0);
	while ((phys_hot()->max_pfn + (1UL << order) - 1) >> order > max)
		order++;
	return order;
}

/* N frames at PFN are of USE. */
static void add(struct map_cell *c, enum use use, u64 pfn, u64 n)
{
	while (n) {
		u64 part = min(n, c->end - pfn);

		c->frames[use] += part;
		pfn += part;
		n -= part;
		if (pfn < c->end)
			return;
		c->fn(cell_letter(c), c->arg);
		mm_memset(c->frames, 0, sizeof(c->frames));
		c->end += 1UL << c->order;
	}
}

/* Frames in a row that are used alike. */
#define USE_RUNS 32u

struct use_run {
	enum use use;
	u64 n;
};

/*
 * What is at PFN and on, below MAX_PFN, as runs at RUN; how many. FN of
 * mm_frame_map() may sleep, so it is called outside of this read section.
 */
static u32 look_on(u64 pfn, u64 max_pfn, struct use_run *run)
{
	u64 stop = min(max_pfn, pfn + FRAMES_AT_ONCE), n;
	u32 nr = 0;

	epoch_enter();
	for (; pfn < stop; pfn += n) {
		enum use use = look(pfn, &n);

		n = min(n, max_pfn - pfn);
		if (nr && run[nr - 1].use == use) {
			run[nr - 1].n += n;
			continue;
		}
		if (nr == USE_RUNS)
			break;
		run[nr++] = (struct use_run){use, n};
	}
	epoch_exit();
	return nr;
}

void mm_frame_map(u32 order, void (*fn)(char letter, void *arg), void *arg)
{
	u64 max_pfn = phys_hot()->max_pfn, pfn = 0;
	struct map_cell c = {
		.order = order, .end = 1UL << order, .fn = fn, .arg = arg};
	struct use_run run[USE_RUNS];

	while (pfn < max_pfn) {
		u32 nr = look_on(pfn, max_pfn, run);

		for (u32 i = 0; i < nr; pfn += run[i++].n)
			add(&c, run[i].use, pfn, run[i].n);
	}
	if (pfn > c.end - (1UL << order)) /* the last one is not full */
		fn(cell_letter(&c), arg);
}

static void put_letter(char letter, void *arg)
{
	seq_putc(arg, letter);
}

void show_frames(struct seq_buf *out)
{
	u32 order = mm_frame_map_order(MM_FRAME_MAP_CELLS);

	seq_printf(out, "frames in a cell: %llu\n", LLU(1UL << order));
	mm_frame_map(order, put_letter, out);
	seq_putc(out, '\n');
}
