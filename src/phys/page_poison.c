/* SPDX-License-Identifier: MIT */
/*
 * page_poison.c - what is in a free frame, and who may touch it.
 *
 * 1. Purpose. Four boot parameters that make use after free visible or
 *    harmless:
 *
 *      page_poison      freed frames are filled with 0xaa; a frame that is
 *                       not when it is given out again was written to
 *      init_on_alloc    frames are cleared when they are given out
 *      init_on_free     frames are cleared when they are freed
 *      debug_pagealloc  free frames are not mapped (where the port can), so
 *                       that touching one traps at once; with it
 *                       debug_guardpage_minorder (buddy.c)
 *
 *    page_poison takes precedence over both init_on_*, as in Linux: a frame
 *    cannot be poison and zero.
 *
 * 2. Order. Free: fill, then unmap. Allocation: map, look, then clear.
 *
 * 3. Invariants.
 *    PP-1  With page_poison every byte of a frame that is free, guards
 *          included, is PAGE_POISON; with init_on_free it is zero.
 *    PP-2  With debug_pagealloc a frame is mapped exactly while it is not
 *          free.
 *
 * 4. Locking. The block is the caller's.
 *
 * 5. Failure. A frame that lost its poison is reported and set aside; the
 *    allocation takes another.
 *
 * 6. Cost. A page is written at each free and read at each allocation; two
 *    system calls a frame in hosted worlds with debug_pagealloc, and a direct
 *    map of pages of 4 KiB in all. Sections that are made late are filled when
 *    they are made.
 *
 * References: Linux documentation, admin-guide/kernel-parameters (page_poison,
 * init_on_alloc, init_on_free, debug_pagealloc, debug_guardpage_minorder).
 */
#include <mmkit/errno.h>

#include "base/printk.h"
#include "base/string.h"
#include "base/system.h"
#include "phys/page_debug.h"
#include "phys/phys.h"

#define POISON_WORD 0xaaaaaaaaaaaaaaaaUL
#define DUMP_ROW    16u
#define DUMP_ROWS   16u
#define GUARD_MAX   (MAX_ORDER / 2)

MM_STATIC_ASSERT((POISON_WORD & 0xff) == PAGE_POISON, "one pattern");

/* ---- parameters
 * ------------------------------------------------------------------- */

static void say(bool on, const char *what)
{
	if (on)
		pr_info("debug: %s", what);
}

int page_debug_setup(const struct mm_debug_params *p)
{
	struct phys_debug_state *d = &phys_sys.debug;

	if (!p)
		return 0;
	if (p->guard_minorder > GUARD_MAX) {
		pr_err("boot: debug_guardpage_minorder=%u: at most %u",
		       p->guard_minorder, GUARD_MAX);
		return -EINVAL;
	}
	d->p = *p;
	if (p->poison && (p->init_on_alloc || p->init_on_free)) {
		pr_info("mem auto-init: page poisoning is on, will take "
			"precedence over init_on_alloc and init_on_free");
		d->p.init_on_alloc = d->p.init_on_free = false;
	}
	/* Guards without unmapping would guard nothing. */
	d->p.debug_pagealloc |= d->p.guard_minorder > 0;
	d->contents = d->p.poison || d->p.init_on_free || d->p.debug_pagealloc;
	if (d->contents || d->p.page_owner || d->p.check_pages)
		phys_sys.tunables.check_pages = true;
	say(d->p.poison, "page_poison=on");
	say(d->p.init_on_alloc, "init_on_alloc=on");
	say(d->p.init_on_free, "init_on_free=on");
	say(d->p.debug_pagealloc, "debug_pagealloc=on");
	if (d->p.guard_minorder)
		pr_info("Setting debug_guardpage_minorder to %u",
			d->p.guard_minorder);
	if (d->contents || d->p.init_on_alloc || d->p.page_owner ||
	    d->p.check_pages)
		base_watch(WATCH_DEBUG, true);
	return 0;
}

/* ---- poison
 * -------------------------------------------------------------------------- */

/* The first and last byte of the frame that are not poison; false: none. */
static bool find_damage(const u8 *view, u32 *first, u32 *last)
{
	const u64 *words = (const u64 *)(const void *)view;
	u32 nr = PAGE_SIZE / sizeof(u64);
	u32 lo = 0, hi = nr;

	while (lo < nr && words[lo] == POISON_WORD)
		lo++;
	if (lo == nr)
		return false;
	while (words[hi - 1] == POISON_WORD)
		hi--;
	*first = lo * (u32)sizeof(u64);
	*last = hi * (u32)sizeof(u64) - 1;
	while (view[*first] == PAGE_POISON)
		++*first;
	while (view[*last] == PAGE_POISON)
		--*last;
	mm_assert(*first <= *last);
	return true;
}

bool page_debug_frame_ok(const struct page *page)
{
	struct page *p = pfn_to_page(page_to_pfn(page));
	u32 first, last;
	void *view;
	bool ok;

	if (!phys_sys.debug.p.poison)
		return true;
	view = page_map(p);
	ok = !find_damage(view, &first, &last);
	page_unmap(p, view);
	return ok;
}

/* Bytes FIRST to LAST of the frame at PA, at most DUMP_ROWS rows of them. */
static void dump_bytes(phys_addr_t pa, const u8 *view, u32 first, u32 last)
{
	char text[DUMP_ROW * 4 + 32];
	struct seq_buf s;

	for (u32 row = 0; row < DUMP_ROWS && first <= last; row++) {
		u32 end = min(first + DUMP_ROW - 1, last);

		seq_buf_init(&s, text, sizeof(text));
		for (u32 i = first; i <= end; i++)
			seq_printf(&s, " %02x", view[i]);
		for (u32 i = end; i < first + DUMP_ROW - 1; i++)
			seq_puts(&s, "   ");
		seq_puts(&s, "  ");
		for (u32 i = first; i <= end; i++)
			seq_putc(&s, view[i] >= ' ' && view[i] < 0x7f
					     ? (char)view[i]
					     : '.');
		pr_err("%08llx:%s", (unsigned long long)(pa + first),
		       seq_buf_str(&s));
		first = end + 1;
	}
}

static bool single_bit(u8 a, u8 b)
{
	u32 diff = (u32)a ^ b;

	return diff && !(diff & (diff - 1));
}

/* A report of frame PAGE, which lost its poison; its bytes are at VIEW. */
static void report_damage(const struct page *page, const u8 *view)
{
	u32 first, last;

	/* It may be whole again by now: who wrote to it is still there. */
	if (!find_damage(view, &first, &last))
		first = last = 0;
	__atomic_fetch_add(&phys_sys.debug.nr_poison_errors, 1,
			   __ATOMIC_RELAXED);
	if (first == last && single_bit(view[first], PAGE_POISON))
		pr_err("pagealloc: single bit error");
	else
		pr_err("pagealloc: memory corruption");
	dump_bytes(PFN_PHYS(page_to_pfn(page)), view, first, last);
	dump_page(page, "pagealloc: corrupted page details");
}

/* Look at one frame; false and a report if it was written to. */
static bool check_poison(struct page *page)
{
	u8 *view = page_map(page);
	u32 first, last;
	bool ok = !find_damage(view, &first, &last);

	if (unlikely(!ok))
		report_damage(page, view);
	page_unmap(page, view);
	return ok;
}

/* ---- taking and freeing
 * ------------------------------------------------------------------ */

bool page_debug_take(struct page *page, unsigned int order)
{
	u64 nr = 1UL << order;
	bool ok = true;

	mm_assert(order < MAX_ORDER);
	if (phys_sys.debug.p.debug_pagealloc)
		port_ram_protect(PFN_PHYS(page_to_pfn(page)), nr << PAGE_SHIFT,
				 false);
	if (!phys_sys.debug.p.poison)
		return true;
	for (u64 i = 0; i < nr; i++)
		ok &= check_poison(page + i);
	return ok;
}

static void fill_poison(struct page *page)
{
	void *view = page_map(page);

	mm_memset(view, PAGE_POISON, PAGE_SIZE);
	page_unmap(page, view);
}

static void fill_frames(struct page *page, u64 nr)
{
	const struct mm_debug_params *p = &phys_sys.debug.p;

	for (u64 i = 0; i < nr; i++) {
		if (p->poison)
			fill_poison(page + i);
		else if (p->init_on_free)
			page_clear(page + i);
	}
	if (p->debug_pagealloc)
		port_ram_protect(PFN_PHYS(page_to_pfn(page)), nr << PAGE_SHIFT,
				 true);
}

void page_debug_free(struct page *page, unsigned int order)
{
	mm_assert(order < MAX_ORDER);
	fill_frames(page, 1UL << order);
}

void page_debug_boot_free(u64 pfn, u64 end)
{
	mm_assert(pfn <= end);
	if (unlikely(phys_sys.debug.contents) && pfn < end)
		fill_frames(pfn_to_page(pfn), end - pfn);
}
