/* SPDX-License-Identifier: MIT */
/*
 * show_mem.c - the report of a request that failed, and of free areas.
 *
 * Line by line what Linux 6.1 prints, so that whoever reads such reports finds
 * each figure where it is expected: who wanted what, the machine's pages by
 * kind, each node's, each zone's with its marks and reserves, its free blocks
 * by size, page cache, swap, RAM. Figures are in pages or in kB as there.
 *
 * Any context; nothing is allocated, no allocator lock is taken, so figures of
 * different lines may be of different moments. A storm is cut: ten reports in
 * five seconds are enough.
 *
 * Reference: reports of Linux 6.1 as they are found in its bug trackers.
 */
#include <mmkit/cma.h>
#include <mmkit/port.h>

#include "base/printk.h"
#include "base/seqbuf.h"
#include "phys/hwpoison.h"
#include "phys/page_debug.h"
#include "phys/phys.h"

#define WARN_WINDOW_NS (5UL * 1000 * 1000 * 1000)
#define WARN_BURST     10

#define LLU(x) ((unsigned long long)(x))

struct flag_name {
	u32 mask;
	char name[24]; /* no pointer: nothing to relocate */
};

/* ---- who wanted what
 * ------------------------------------------------------ */

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

const char *gfp_name(u32 i, u32 *mask)
{
	if (i >= ARRAY_SIZE(gfp_names))
		return NULL;
	*mask = gfp_names[i].mask;
	return gfp_names[i].name;
}

void name_gfp(struct seq_buf *s, gfp_t gfp)
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

/* "0-1,3" */
static void name_nodes(struct seq_buf *s, nodemask_t mask)
{
	const char *sep = "";

	for (int nid = 0; nid < MM_MAX_NODES; nid++) {
		int last = nid;

		if (!(mask & NODE_MASK(nid)))
			continue;
		while (last + 1 < MM_MAX_NODES && (mask & NODE_MASK(last + 1)))
			last++;
		seq_printf(s, "%s%d", sep, nid);
		if (last > nid)
			seq_printf(s, "-%d", last);
		sep = ",";
		nid = last;
	}
}

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

void warn_alloc(gfp_t gfp, nodemask_t mask, unsigned int order, const char *why)
{
	const struct mm_task *task = port_in_irq() ? NULL : port_current();
	const char *comm = task ? task->comm : "interrupt";
	char text[320];
	struct seq_buf s;

	mm_assert(why != NULL && order < MAX_ORDER);
	if ((gfp & __GFP_NOWARN) || !warn_allowed())
		return;
	seq_buf_init(&s, text, sizeof(text));
	name_gfp(&s, gfp);
	seq_puts(&s, "), nodemask=");
	if (mask == NODE_MASK_ALL)
		seq_puts(&s, "(null)");
	else
		name_nodes(&s, mask);
	seq_puts(&s, ",cpuset=/,mems_allowed=");
	name_nodes(&s, nodes_with_memory());
	pr_warn("%s: %s: order:%u, mode:%#x(%s", comm, why, order, gfp,
		seq_buf_str(&s));
	pr_warn("CPU: %d PID: %d Comm: %s", port_cpu(), task ? task->pid : 0,
		comm);
	show_free_areas(mask);
}

/* ---- free areas
 * ----------------------------------------------------------- */

static unsigned long long kb(u64 pages)
{
	return LLU(pages) << (PAGE_SHIFT - 10);
}

/* Frames on per-CPU lists of ZONE. */
static u64 zone_pcp_pages(const struct zone *zone)
{
	u64 sum = 0;

	for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
		sum += (u64)pcp_count(&zone->pageset[cpu]);
	return sum;
}

static u64 free_pcp_pages(nodemask_t mask)
{
	struct zone *zone;
	u64 sum = 0;

	for_each_populated_zone (zone) {
		if (mask & NODE_MASK(zone_to_nid(zone)))
			sum += zone_pcp_pages(zone);
	}
	return sum;
}

/* The whole machine's. */
static void show_totals(nodemask_t mask)
{
#define G(item) LLU(global_node_page_state(item))
	pr_info("active_anon:%llu inactive_anon:%llu isolated_anon:%llu",
		G(NR_ACTIVE_ANON), G(NR_INACTIVE_ANON), G(NR_ISOLATED_ANON));
	pr_info(" active_file:%llu inactive_file:%llu isolated_file:%llu",
		G(NR_ACTIVE_FILE), G(NR_INACTIVE_FILE), G(NR_ISOLATED_FILE));
	pr_info(" unevictable:%llu dirty:%llu writeback:%llu",
		G(NR_UNEVICTABLE), G(NR_FILE_DIRTY), G(NR_WRITEBACK));
	pr_info(" slab_reclaimable:%llu slab_unreclaimable:%llu",
		G(NR_SLAB_RECLAIMABLE_B), G(NR_SLAB_UNRECLAIMABLE_B));
	pr_info(" mapped:%llu shmem:%llu pagetables:%llu", G(NR_FILE_MAPPED),
		G(NR_SHMEM), G(NR_PAGETABLE));
	pr_info(" sec_pagetables:%llu bounce:%llu", G(NR_SECONDARY_PAGETABLE),
		LLU(global_zone_page_state(NR_BOUNCE)));
	pr_info(" kernel_misc_reclaimable:%llu", G(NR_KERNEL_MISC_RECLAIMABLE));
	pr_info(" free:%llu free_pcp:%llu free_cma:%llu",
		LLU(global_zone_page_state(NR_FREE_PAGES)),
		LLU(free_pcp_pages(mask)),
		LLU(global_zone_page_state(NR_FREE_CMA_PAGES)));
#undef G
}

static void show_node(const pg_data_t *pgdat)
{
	bool hopeless =
		READ_ONCE(pgdat->kswapd_failures) >= MAX_RECLAIM_RETRIES;

#define N(item) kb(node_page_state(pgdat, item))
	pr_info("Node %d active_anon:%llukB inactive_anon:%llukB "
		"active_file:%llukB inactive_file:%llukB unevictable:%llukB "
		"isolated(anon):%llukB isolated(file):%llukB mapped:%llukB "
		"dirty:%llukB writeback:%llukB shmem:%llukB shmem_thp: %llukB "
		"shmem_pmdmapped: %llukB anon_thp: %llukB "
		"writeback_tmp:%llukB kernel_stack:%llukB pagetables:%llukB "
		"sec_pagetables:%llukB all_unreclaimable? %s",
		pgdat->node_id, N(NR_ACTIVE_ANON), N(NR_INACTIVE_ANON),
		N(NR_ACTIVE_FILE), N(NR_INACTIVE_FILE), N(NR_UNEVICTABLE),
		N(NR_ISOLATED_ANON), N(NR_ISOLATED_FILE), N(NR_FILE_MAPPED),
		N(NR_FILE_DIRTY), N(NR_WRITEBACK), N(NR_SHMEM),
		N(NR_SHMEM_THPS), N(NR_SHMEM_PMDMAPPED), N(NR_ANON_THPS),
		N(NR_WRITEBACK_TEMP),
		LLU(node_page_state(pgdat, NR_KERNEL_STACK_KB)),
		N(NR_PAGETABLE), N(NR_SECONDARY_PAGETABLE),
		hopeless ? "yes" : "no");
#undef N
}

static void show_zone(const struct zone *zone)
{
#define Z(item) kb(zone_page_state(zone, item))
	pr_info("Node %d %s free:%llukB boost:%llukB min:%llukB low:%llukB "
		"high:%llukB reserved_highatomic:%lluKB active_anon:%llukB "
		"inactive_anon:%llukB active_file:%llukB inactive_file:%llukB "
		"unevictable:%llukB writepending:%llukB present:%llukB "
		"managed:%llukB mlocked:%llukB bounce:%llukB free_pcp:%llukB "
		"local_pcp:%llukB free_cma:%llukB",
		zone_to_nid(zone), zone->name, Z(NR_FREE_PAGES),
		kb(READ_ONCE(zone->watermark_boost)), kb(min_wmark_pages(zone)),
		kb(low_wmark_pages(zone)), kb(high_wmark_pages(zone)),
		kb(READ_ONCE(zone->nr_reserved_highatomic)),
		Z(NR_ZONE_ACTIVE_ANON), Z(NR_ZONE_INACTIVE_ANON),
		Z(NR_ZONE_ACTIVE_FILE), Z(NR_ZONE_INACTIVE_FILE),
		Z(NR_ZONE_UNEVICTABLE), Z(NR_ZONE_WRITE_PENDING),
		kb(zone->present_pages), kb(zone_managed_pages(zone)),
		Z(NR_MLOCK), Z(NR_BOUNCE), kb(zone_pcp_pages(zone)),
		kb((u64)pcp_count(&zone->pageset[port_cpu()])),
		Z(NR_FREE_CMA_PAGES));
#undef Z
	pr_info("lowmem_reserve[]: %llu %llu %llu %llu %llu",
		LLU(zone->lowmem_reserve[0]), LLU(zone->lowmem_reserve[1]),
		LLU(zone->lowmem_reserve[2]), LLU(zone->lowmem_reserve[3]),
		LLU(zone->lowmem_reserve[4]));
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

		seq_printf(&s, "%llu*%llukB", LLU(nr), kb(1UL << order));
		if (nr)
			show_types(&s, zone, order);
		seq_putc(&s, ' ');
		total += nr << order;
	}
	pr_info("Node %d %s: %s= %llukB", zone_to_nid(zone), zone->name,
		seq_buf_str(&s), kb(total));
}

/* RAM by what can be done with it. */
static void show_ram(void)
{
	u64 present = 0, high = 0, reserved = 0;
	struct zone *zone;

	for_each_populated_zone (zone) {
		present += zone->present_pages;
		reserved += zone->present_pages - zone_managed_pages(zone);
		if (zone->idx == ZONE_HIGHMEM || zone->idx == ZONE_MOVABLE)
			high += zone_managed_pages(zone);
	}
	pr_info("%llu pages RAM", LLU(present));
	pr_info("%llu pages HighMem/MovableOnly", LLU(high));
	pr_info("%llu pages reserved", LLU(reserved));
	pr_info("%llu pages cma reserved", LLU(totalcma_pages()));
	pr_info("%llu pages hwpoisoned", LLU(num_poisoned_pages()));
}

void show_free_areas(nodemask_t mask)
{
	const struct pressure_ops *ops = READ_ONCE(phys_sys.pressure);
	pg_data_t *pgdat;
	struct zone *zone;

	pr_info("Mem-Info:");
	show_totals(mask);
	for_each_online_pgdat(pgdat)
	{
		if (mask & NODE_MASK(pgdat->node_id))
			show_node(pgdat);
	}
	for_each_populated_zone (zone) {
		if (mask & NODE_MASK(zone_to_nid(zone)))
			show_zone(zone);
	}
	for_each_populated_zone (zone) {
		if (mask & NODE_MASK(zone_to_nid(zone)))
			show_blocks(zone);
	}
	pr_info("%llu total pagecache pages",
		LLU(global_node_page_state(NR_FILE_PAGES)));
	pr_info("%llu pages in swap cache",
		LLU(global_node_page_state(NR_SWAPCACHE)));
	if (ops && ops->show_swap)
		ops->show_swap();
	show_ram();
}
