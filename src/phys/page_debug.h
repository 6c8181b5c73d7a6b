/* SPDX-License-Identifier: MIT */
/*
 * page_debug.h - debugging of frames: their contents (page_poison.c), frames
 * that are set aside (page_bad.c), text of reports (page_debug.c).
 */
#ifndef MM_PHYS_PAGE_DEBUG_H
#define MM_PHYS_PAGE_DEBUG_H

#include <mmkit/boot.h>

#include "base/seqbuf.h"
#include "phys/alloc.h"

/* What a freed frame is filled with; Linux's PAGE_POISON. */
#define PAGE_POISON 0xaa

struct phys_debug_state {
	struct mm_debug_params p; /* (B) what holds, after precedence */
	bool contents;		  /* (B) frames are filled, cleared, unmapped */
	u64 nr_set_aside;	  /* (A) frames that never come back */
	u64 nr_poison_errors;	  /* (A) frames whose poison was overwritten */
	u64 nr_poisoned;	  /* (A) frames with PG_hwpoison */
};

/* ---- parameters (page_poison.c)
 * ------------------------------------------------- */

/*
 * page_debug_setup: take the boot parameters P (NULL: none), log them, and
 * send allocations the slow way if that is needed. Returns 0, or -EINVAL
 * (guard order too high), logged.
 */
int page_debug_setup(const struct mm_debug_params *p) MM_MUST_CHECK;

/* ---- contents (page_poison.c)
 * --------------------------------------------------- */

/*
 * page_debug_take: the free block of ORDER at PAGE is on its way out: mapped
 * again, its poison is looked at. False: some frame was written to while it
 * was free, which has been reported.
 */
bool page_debug_take(struct page *page, unsigned int order);

/* page_debug_frame_ok: has this frame of a taken block its poison? Quiet. */
bool page_debug_frame_ok(const struct page *page);

/* page_debug_free: a block came back: filled or cleared, then unmapped. */
void page_debug_free(struct page *page, unsigned int order);

/*
 * page_debug_boot_free: frames [PFN, END) are about to become free for the
 * first time (boot, a deferred or hot-added section).
 */
void page_debug_boot_free(u64 pfn, u64 end);

/* want_init_on_alloc: must a request with GFP be cleared now? A frame that
 * was cleared when it was freed need not. */
static inline bool want_init_on_alloc(const struct phys_debug_state *d,
				      gfp_t gfp)
{
	if (d->p.init_on_free)
		return false;
	return (gfp & __GFP_ZERO) || d->p.init_on_alloc;
}

/* ---- setting frames aside (page_bad.c)
 * ------------------------------------------ */

/*
 * set_aside: the NR frames at PAGE, on no list, belong to nobody from now on:
 * PG_reserved and counted; all else is left for who reads the dump.
 */
void set_aside(struct page *page, u64 nr);

/*
 * set_aside_free: PAGE is free, but somebody still writes or frees it: it is
 * taken off the free lists or per-CPU lists and set aside. If it cannot be
 * had now, or is not free, nothing happens. Context: no allocator locks.
 */
void set_aside_free(struct page *page);

/* free_page_reason: why PAGE, its count 0, cannot be freed; NULL: it can. */
const char *free_page_reason(const struct page *page);

/* new_page_reason: why PAGE, off a free list, cannot be given out, or NULL. */
const char *new_page_reason(const struct page *page);

/*
 * drop_bad_block: the block of ORDER at PAGE, off the lists and mapped, has at
 * least one bad frame: those are reported and set aside, the others become
 * free again. Takes the zone lock.
 */
void drop_bad_block(struct page *page, unsigned int order);

/* stray_free_reason: why a reference that PAGE does not have was dropped. */
const char *stray_free_reason(const struct page *page);

/* A frame with one of these is in use, whatever its reference count says. */
#define PAGE_FLAGS_CHECK_AT_FREE                                               \
	(1u << PG_locked | 1u << PG_lru | 1u << PG_slab | 1u << PG_writeback | \
	 1u << PG_reserved | 1u << PG_private | 1u << PG_swapcache |           \
	 1u << PG_active | 1u << PG_unevictable | 1u << PG_mlocked |           \
	 1u << PG_buddy | 1u << PG_guard | 1u << PG_table | 1u << PG_offline | \
	 1u << PG_isolated | 1u << PG_hwpoison)

/* ---- text (page_debug.c; name_gfp: show_mem.c)
 * ---------------------------------------------------------- */

/* dump_page: PAGE's state to the log, with REASON, as Linux prints it. */
void dump_page(const struct page *page, const char *reason);

/* Names of flags, joined by '|'. */
void name_page_flags(struct seq_buf *s, u32 flags);
void name_gfp(struct seq_buf *s, gfp_t gfp);
/* gfp_name: the I-th of the names that it knows, and its bits; those before go
 * first. NULL: there are no more. */
const char *gfp_name(u32 i, u32 *mask);

#endif
