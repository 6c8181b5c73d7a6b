/* SPDX-License-Identifier: MIT */
/*
 * page_debug.c - what the page allocator says when something is wrong.
 *
 * Reports of bad frames and of failed requests, in the form that Linux users
 * know. Any context; nothing is allocated, no allocator lock is taken. A storm
 * is cut: ten reports of failure in five seconds are enough.
 */
#include <mmkit/port.h>

#include "base/printk.h"
#include "base/seqbuf.h"
#include "phys/phys.h"

#define WARN_WINDOW_NS (5UL * 1000 * 1000 * 1000)
#define WARN_BURST     10

struct flag_name {
	u32 mask;
	const char *name;
};

static const char *const page_flag_names[NR_PAGEFLAGS] = {
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

/* Larger combinations first: what they cover is not named again. */
static const struct flag_name gfp_names[] = {
	{GFP_HIGHUSER_MOVABLE, "GFP_HIGHUSER_MOVABLE"},
	{GFP_HIGHUSER, "GFP_HIGHUSER"},
	{GFP_USER, "GFP_USER"},
	{GFP_KERNEL_ACCOUNT, "GFP_KERNEL_ACCOUNT"},
	{GFP_KERNEL, "GFP_KERNEL"},
	{GFP_NOFS, "GFP_NOFS"},
	{GFP_NOIO, "GFP_NOIO"},
	{GFP_ATOMIC, "GFP_ATOMIC"},
	{GFP_NOWAIT, "GFP_NOWAIT"},
	{__GFP_DMA, "GFP_DMA"},
	{__GFP_DMA32, "GFP_DMA32"},
	{__GFP_HIGHMEM, "__GFP_HIGHMEM"},
	{__GFP_MOVABLE, "__GFP_MOVABLE"},
	{__GFP_RECLAIMABLE, "__GFP_RECLAIMABLE"},
	{__GFP_THISNODE, "__GFP_THISNODE"},
	{__GFP_HARDWALL, "__GFP_HARDWALL"},
	{__GFP_WRITE, "__GFP_WRITE"},
	{__GFP_ACCOUNT, "__GFP_ACCOUNT"},
	{__GFP_HIGH, "__GFP_HIGH"},
	{__GFP_MEMALLOC, "__GFP_MEMALLOC"},
	{__GFP_NOMEMALLOC, "__GFP_NOMEMALLOC"},
	{__GFP_IO, "__GFP_IO"},
	{__GFP_FS, "__GFP_FS"},
	{__GFP_DIRECT_RECLAIM, "__GFP_DIRECT_RECLAIM"},
	{__GFP_KSWAPD_RECLAIM, "__GFP_KSWAPD_RECLAIM"},
	{__GFP_RETRY_MAYFAIL, "__GFP_RETRY_MAYFAIL"},
	{__GFP_NOFAIL, "__GFP_NOFAIL"},
	{__GFP_NORETRY, "__GFP_NORETRY"},
	{__GFP_NOWARN, "__GFP_NOWARN"},
	{__GFP_COMP, "__GFP_COMP"},
	{__GFP_ZERO, "__GFP_ZERO"},
	{__GFP_SKIP_FAIL, "__GFP_SKIP_FAIL"},
};

MM_STATIC_ASSERT(GFP_NOIO == __GFP_RECLAIM, "GFP_NOIO names both reclaims");

static void name_page_flags(struct seq_buf *s, u32 flags)
{
	bool any = false;

	for (u32 i = 0; i < NR_PAGEFLAGS; i++) {
		if (!(flags >> i & 1))
			continue;
		seq_printf(s, "%s%s", any ? "|" : "", page_flag_names[i]);
		any = true;
	}
}

static void name_gfp(struct seq_buf *s, gfp_t gfp)
{
	bool any = false;

	for (u32 i = 0; i < ARRAY_SIZE(gfp_names) && gfp; i++) {
		u32 mask = gfp_names[i].mask;

		if ((gfp & mask) != mask)
			continue;
		seq_printf(s, "%s%s", any ? "|" : "", gfp_names[i].name);
		gfp &= ~mask;
		any = true;
	}
}

void bad_page(struct page *page, const char *reason)
{
	char text[256];
	struct seq_buf s;
	u32 flags = READ_ONCE(page->flags);

	mm_assert(page && reason);
	__atomic_fetch_add(&phys_sys.nr_bad_pages, 1, __ATOMIC_RELAXED);
	pr_emerg("BUG: Bad page state in process %s  pfn:%05llx",
		 port_in_irq() ? "interrupt" : port_current()->comm,
		 (unsigned long long)page_to_pfn(page));
	pr_emerg("page: refcount:%d mapcount:%d mapping:%016llx index:0x%x "
		 "pfn:0x%llx",
		 page_count(page), page_mapcount(page),
		 (unsigned long long)page_mapping_word(page), page_index(page),
		 (unsigned long long)page_to_pfn(page));
	seq_buf_init(&s, text, sizeof(text));
	name_page_flags(&s, flags);
	pr_emerg("flags: 0x%x(%s)", flags, seq_buf_str(&s));
	pr_emerg("page dumped because: %s", reason);
}

/* ---- failed requests
 * ----------------------------------------------------------- */

/* May one more report go out? */
static bool warn_allowed(void)
{
	u64 now = port_now_ns();
	u64 since = READ_ONCE(phys_sys.warn_since_ns);

	if (now - since >= WARN_WINDOW_NS || !since) {
		WRITE_ONCE(phys_sys.warn_since_ns, now ? now : 1);
		WRITE_ONCE(phys_sys.warn_burst, 0u);
	}
	return __atomic_fetch_add(&phys_sys.warn_burst, 1, __ATOMIC_RELAXED) <
	       WARN_BURST;
}

void warn_alloc(gfp_t gfp, unsigned int order, const char *why)
{
	char text[256];
	struct seq_buf s;

	if ((gfp & __GFP_NOWARN) || !warn_allowed())
		return;
	seq_buf_init(&s, text, sizeof(text));
	name_gfp(&s, gfp);
	pr_warn("%s: %s: order:%u, mode:%#x(%s)",
		port_in_irq() ? "interrupt" : port_current()->comm, why, order,
		gfp, seq_buf_str(&s));
	show_free_areas();
}

static unsigned long long kb(u64 pages)
{
	return (unsigned long long)pages << (PAGE_SHIFT - 10);
}

static void show_zone(const struct zone *zone)
{
	pr_info("Node %d %s free:%llukB boost:%llukB min:%llukB low:%llukB "
		"high:%llukB reserved_highatomic:%lluKB active_anon:%llukB "
		"inactive_anon:%llukB active_file:%llukB inactive_file:%llukB "
		"unevictable:%llukB present:%llukB managed:%llukB mlocked:%llukB",
		zone_to_nid(zone), zone->name,
		kb(zone_page_state(zone, NR_FREE_PAGES)),
		kb(READ_ONCE(zone->watermark_boost)), kb(min_wmark_pages(zone)),
		kb(low_wmark_pages(zone)), kb(high_wmark_pages(zone)),
		kb(READ_ONCE(zone->nr_reserved_highatomic)),
		kb(zone_page_state(zone, NR_ZONE_ACTIVE_ANON)),
		kb(zone_page_state(zone, NR_ZONE_INACTIVE_ANON)),
		kb(zone_page_state(zone, NR_ZONE_ACTIVE_FILE)),
		kb(zone_page_state(zone, NR_ZONE_INACTIVE_FILE)),
		kb(zone_page_state(zone, NR_ZONE_UNEVICTABLE)),
		kb(zone->present_pages), kb(zone_managed_pages(zone)),
		kb(zone_page_state(zone, NR_MLOCK)));
	pr_info("lowmem_reserve[]: %llu %llu %llu %llu %llu",
		(unsigned long long)zone->lowmem_reserve[0],
		(unsigned long long)zone->lowmem_reserve[1],
		(unsigned long long)zone->lowmem_reserve[2],
		(unsigned long long)zone->lowmem_reserve[3],
		(unsigned long long)zone->lowmem_reserve[4]);
}

/* The mobility types with blocks of ORDER, as Linux's letters. */
static void show_types(struct seq_buf *s, const struct zone *zone,
		       unsigned int order)
{
	static const char letter[MIGRATE_TYPES] = {'U', 'M', 'E',
						   'H', 'C', 'I'};

	seq_puts(s, " (");
	for (int mt = 0; mt < MIGRATE_TYPES; mt++) {
		if (zone_nr_free_blocks(zone, order, mt))
			seq_putc(s, letter[mt]);
	}
	seq_puts(s, ")");
}

static void show_blocks(const struct zone *zone)
{
	char text[320];
	struct seq_buf s;
	u64 total = 0;

	seq_buf_init(&s, text, sizeof(text));
	for (unsigned int order = 0; order < MAX_ORDER; order++) {
		u64 nr = zone_nr_free_blocks(zone, order, -1);

		seq_printf(&s, "%llu*%llukB", (unsigned long long)nr,
			   kb(1UL << order));
		if (nr)
			show_types(&s, zone, order);
		seq_putc(&s, ' ');
		total += nr << order;
	}
	pr_info("Node %d %s: %s= %llukB", zone_to_nid(zone), zone->name,
		seq_buf_str(&s), kb(total));
}

void show_free_areas(void)
{
	struct zone *zone;

	pr_info("Mem-Info:");
	for_each_populated_zone (zone)
		show_zone(zone);
	for_each_populated_zone (zone)
		show_blocks(zone);
	pr_info("%llu pages RAM, %llu pages managed",
		(unsigned long long)(memblock_phys_mem_size() >> PAGE_SHIFT),
		(unsigned long long)totalram_pages());
}
