/* SPDX-License-Identifier: MIT */
/*
 * pagealloc.c - debug_pagealloc on a machine: free frames are not mapped.
 *
 * 1. Purpose. What src/phys/page_poison.c asks of a port: a frame that is free
 *    is not in the direct map, so who touches one is caught at once, with the
 *    frame and who freed it last by name. And the command line's words about
 *    frames, as Linux spells them.
 *
 * 2. Structures. With debug_pagealloc the manager makes the direct map of
 *    pages of 4 KiB (pgtable/kernel.c), so a frame goes and comes by one entry
 *    and nothing has to be split when there is no time for it. Until that
 *    table is loaded the boot tables' large pages show all RAM: which frames
 *    became free by then is written down, a bit for each, and applied when the
 *    table is complete. The bits lie behind the boot tables and go with them.
 *
 * 3. Invariants.
 *    MPA-1  From the manager's table on, a frame that PP-2 calls free is not
 *           mapped in the direct map; every other is, when the call that took
 *           it returns, on all CPUs.
 *    Frames whose descriptors are not made yet (memmap.c) never were anybody's
 *    and stay mapped until they are.
 *
 * 4. Locking, flushing. The block is the caller's, so its entries are as well.
 *    Mapping flushes nothing: no CPU remembers that there was no entry.
 *    Unmapping makes this CPU forget at once and the others at their next tick
 *    (tlb_forget_kernel()): frames are freed with locks held and interrupts
 *    off, where nobody may wait for another CPU. Up to then those may touch
 *    the frame unnoticed, by an entry that is right again when it is given
 *    out.
 *
 * 5. Life. Options, then bits, both before mm_boot().
 *
 * 6. Failure. None but a boot without memory for the bits.
 *
 * 7. Cost. Without the option nothing: the manager does not call. With it a
 *    walk and a store a frame, an INVLPG a frame that is freed, and a table for
 *    each 2 MiB of RAM.
 *
 * 8. Rejected. Interrupting the other CPUs at each free, see 4. Boot tables of
 *    small pages: they would be thrown away as soon as they were made.
 *
 * References: Linux documentation, admin-guide/kernel-parameters
 * (debug_pagealloc, debug_guardpage_minorder, page_owner, page_poison,
 * init_on_alloc, init_on_free).
 */
#include "metal.h"

#include <mmkit/task.h>

#include "base/bitops.h"
#include "base/string.h"
#include "pgtable/kernel.h"
#include "phys/page_debug.h"
#include "phys/page_owner.h"
#include "phys/phys.h"

static struct {
	u64 *bits; /* frames that are free; NULL: nobody asked, or applied */
	u64 nr;
} early_free;

/* ---- the command line
 * ----------------------------------------------------------------- */

static bool is_word(const char *s, const char *word)
{
	size_t len = mm_strlen(word);

	return !mm_strncmp(s, word, len) && (!s[len] || s[len] == ' ');
}

/* NAME=on or off, as Linux takes a truth value. */
static bool option_on(const char *name)
{
	static const char *const yes[] = {"on", "1", "y", "Y"};
	static const char *const no[] = {"off", "0", "n", "N"};
	const char *s = metal_option(name);

	if (!s)
		return false;
	for (u32 i = 0; i < ARRAY_SIZE(yes); i++) {
		if (is_word(s, yes[i]))
			return true;
		if (is_word(s, no[i]))
			return false;
	}
	metal_fatal("command line: %s=%.20s: neither on nor off", name, s);
}

void metal_debug_options(struct mm_debug_params *d)
{
	u64 minorder = 0;

	d->poison = option_on("page_poison");
	d->init_on_alloc = option_on("init_on_alloc");
	d->init_on_free = option_on("init_on_free");
	d->page_owner = option_on("page_owner");
	d->debug_pagealloc = option_on("debug_pagealloc");
	/* As in Linux, without that one it means nothing. */
	if (d->debug_pagealloc &&
	    metal_option_u64("debug_guardpage_minorder", &minorder))
		d->guard_minorder = (u8)min(minorder, (u64)UINT8_MAX);
}

/* ---- until the manager's table is loaded
 * ------------------------------------------------ */

u64 metal_debug_bytes(const struct mm_debug_params *d)
{
	const struct e820_table *t = &metal_boot.map;
	u64 end = 0;

	for (u32 i = 0; d->debug_pagealloc && i < t->nr_entries; i++) {
		const struct e820_entry *e = &t->entries[i];

		if (e->type == E820_TYPE_RAM)
			end = max(end, e->addr + e->size);
	}
	early_free.nr = PFN_UP(end);
	return PAGE_ALIGN(DIV_ROUND_UP(early_free.nr, 64ul) * 8);
}

void metal_debug_start(void *bits)
{
	early_free.bits = bits;
}

static void note_free(u64 pfn, u64 nr, bool is_free)
{
	mm_verify(pfn + nr <= early_free.nr);
	for (; nr; nr--, pfn++) {
		if (is_free)
			set_bit((u32)(pfn % 64), early_free.bits + pfn / 64);
		else
			clear_bit((u32)(pfn % 64), early_free.bits + pfn / 64);
	}
}

void metal_debug_master(void)
{
	const u64 *bits = early_free.bits;

	early_free.bits = NULL;
	for (u64 pfn = 0; bits && pfn < early_free.nr; pfn++)
		if (bits[pfn / 64] >> pfn % 64 & 1)
			kernel_direct_present(pfn, 1, false);
}

/* ---- port.h
 * ---------------------------------------------------------------------------
 */

void port_ram_protect(phys_addr_t start, u64 size, bool protect)
{
	u64 pfn = PFN_DOWN(start), nr = PFN_DOWN(size);
	kva_t va = METAL_DIRECT + start;

	if (early_free.bits) {
		note_free(pfn, nr, protect);
		return;
	}
	port_pin();
	kernel_direct_present(pfn, nr, !protect);
	if (protect)
		tlb_forget_kernel(va, va + size);
	port_unpin();
}

/* ---- who touched one
 * ------------------------------------------------------------------ */

bool metal_free_frame(u64 va, struct seq_buf *out)
{
	u64 pfn = PFN_DOWN(va - METAL_DIRECT);
	const struct page_owner *o;
	const struct page *page;
	struct kernel_entry e;

	if (!phys_sys.debug.p.debug_pagealloc || !pgtable_sys.up ||
	    va < METAL_DIRECT || !pfn_valid(pfn) || kernel_lookup(va, &e))
		return false;
	page = pfn_to_page(pfn);
	seq_printf(out, ": frame 0x%llx is free", (unsigned long long)pfn);
	o = page_owner_of(page);
	if (o && o->free_ts_ns)
		seq_printf(out, ", last freed by pid %d", o->free_pid);
	dump_page(page, "debug_pagealloc: touched while it was free");
	return true;
}
