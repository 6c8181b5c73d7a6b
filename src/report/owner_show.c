/* SPDX-License-Identifier: MIT */
/*
 * owner_show.c - debugfs's page_owner: a paragraph for each block in use.
 *
 * Frames are walked in the order of their numbers. A machine booted without
 * the parameter page_owner has no records, and says so.
 */
#include "phys/page_owner.h"
#include "phys/phys.h"
#include "report/report.h"

/* Frames [PFN, END), within one section. */
static void show_range(struct seq_buf *out, u64 pfn, u64 end)
{
	mm_assert(pfn <= end);
	while (pfn < end) {
		const struct page *page = pfn_to_page(pfn);
		const struct page_owner *o;
		u64 step = 1;

		if (!pfn_valid(pfn))
			return;
		o = page_owner_of(page);
		if (o && page_owner_allocated(page)) {
			page_owner_print(out, page);
			step = 1UL << READ_ONCE(o->order);
		}
		mm_assert(step <= MAX_ORDER_NR_PAGES);
		pfn += step;
	}
}

void show_page_owner(struct seq_buf *out)
{
	struct memblock_iter it;

	mm_assert(out != NULL);
	if (!page_owner_on()) {
		seq_puts(out, "page_owner is off: boot with page_owner\n");
		return;
	}
	for_each_mem_range (it, NUMA_NO_NODE) {
		u64 pfn = PFN_UP(it.start), end = PFN_DOWN(it.end);

		while (pfn < end) {
			u64 stop = ALIGN_DOWN(pfn, PAGES_PER_SECTION) +
				   PAGES_PER_SECTION;

			stop = min(stop, end);
			show_range(out, pfn, stop);
			pfn = stop;
		}
	}
}
