/* SPDX-License-Identifier: MIT */
/*
 * page_debug.c - what the page allocator says of a bad frame.
 *
 * In the form that Linux users know. Any context; nothing is allocated, no
 * allocator lock is taken.
 */
#include <mmkit/port.h>

#include "base/printk.h"
#include "base/seqbuf.h"
#include "base/string.h"
#include "phys/page_debug.h"
#include "phys/page_owner.h"
#include "phys/phys.h"

static const char page_flag_names[NR_PAGEFLAGS][16] = {
	[PG_locked] = "locked",
	[PG_referenced] = "referenced",
	[PG_uptodate] = "uptodate",
	[PG_dirty] = "dirty",
	[PG_lru] = "lru",
	[PG_active] = "active",
	[PG_workingset] = "workingset",
	[PG_waiters] = "waiters",
	[PG_error] = "error",
	[PG_slab] = "slab",
	[PG_reserved] = "reserved",
	[PG_private] = "private",
	[PG_writeback] = "writeback",
	[PG_head] = "head",
	[PG_tail] = "tail",
	[PG_swapcache] = "swapcache",
	[PG_mappedtodisk] = "mappedtodisk",
	[PG_reclaim] = "reclaim",
	[PG_swapbacked] = "swapbacked",
	[PG_unevictable] = "unevictable",
	[PG_mlocked] = "mlocked",
	[PG_readahead] = "readahead",
	[PG_young] = "young",
	[PG_idle] = "idle",
	[PG_hwpoison] = "hwpoison",
	[PG_buddy] = "buddy",
	[PG_guard] = "guard",
	[PG_table] = "table",
	[PG_offline] = "offline",
	[PG_isolated] = "isolated",
	[PG_charged] = "charged",
	[PG_block] = "block",
};

void name_page_flags(struct seq_buf *s, u32 flags)
{
	bool any = false;

	for (u32 i = 0; i < NR_PAGEFLAGS; i++) {
		if (!(flags >> i & 1))
			continue;
		seq_printf(s, "%s%s", any ? "|" : "", page_flag_names[i]);
		any = true;
	}
}

void page_init_poison(struct page *p, u64 nr)
{
	mm_memset(p, 0xff, nr * sizeof(*p));
	mm_assert(nr == 0 || PagePoisoned(p));
}

/* The head of a compound page that PAGE is part of. */
static void dump_head(const struct page *page)
{
	u64 head = page_to_pfn(page);

	if (PageTail(page))
		head = page_private(page);
	if (!PageCompound(page) || !pfn_valid(head))
		return;
	pr_emerg("head: pfn:0x%llx order:%u refcount:%d",
		 (unsigned long long)head, compound_order(pfn_to_page(head)),
		 page_count(pfn_to_page(head)));
}

void dump_page(const struct page *page, const char *reason)
{
	u32 flags = READ_ONCE(page->flags);
	char text[256];
	struct seq_buf s;

	mm_assert(page && reason);
	if (PagePoisoned(page)) {
		pr_emerg("page: pfn:0x%llx is uninitialized and poisoned",
			 (unsigned long long)page_to_pfn(page));
		pr_emerg("page dumped because: %s", reason);
		return;
	}
	pr_emerg("page: refcount:%d mapcount:%d mapping:%016llx index:0x%x "
		 "pfn:0x%llx",
		 page_count(page), page_mapcount(page),
		 (unsigned long long)page_mapping_word(page), page_index(page),
		 (unsigned long long)page_to_pfn(page));
	seq_buf_init(&s, text, sizeof(text));
	name_page_flags(&s, flags);
	dump_head(page);
	pr_emerg("flags: 0x%x(%s)", flags, seq_buf_str(&s));
	pr_emerg("page dumped because: %s", reason);
	dump_page_owner(page);
}

void bad_page(struct page *page, const char *reason)
{
	mm_assert(page && reason);
	__atomic_fetch_add(&phys_sys.nr_bad_pages, 1, __ATOMIC_RELAXED);
	pr_emerg("BUG: Bad page state in process %s  pfn:%05llx",
		 port_in_irq() ? "interrupt" : port_current()->comm,
		 (unsigned long long)page_to_pfn(page));
	dump_page(page, reason);
}
