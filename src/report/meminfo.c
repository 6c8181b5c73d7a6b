/* SPDX-License-Identifier: MIT */
/*
 * meminfo.c - /proc/meminfo: one line per subject, all in kB.
 *
 * MemAvailable is the estimate that Linux documents (filesystems/proc): what
 * new programs could get without swapping. Free frames above the reserves,
 * and the page cache and reclaimable slabs, of which a part must stay: half
 * of it, or the low watermark if that is less.
 */
#include <mmkit/page_alloc.h>

#include "arch/paging.h"
#include "cache/swap.h"
#include "kmem/slab.h"
#include "pgtable/huge.h"
#include "pgtable/kernel.h"
#include "phys/hwpoison.h"
#include "phys/phys.h"
#include "report/report.h"
#include "space/space.h"

static void put_kb(struct seq_buf *out, const char *name, u64 kb)
{
	mm_assert(name[0] && kb < 1UL << 54);
	seq_printf(out, "%-16s%8llu kB\n", name, LLU(kb));
}

static void put_pages(struct seq_buf *out, const char *name, u64 pages)
{
	put_kb(out, name, pages << (PAGE_SHIFT - 10));
}

static void put_node(struct seq_buf *out, const char *name, int item)
{
	mm_assert_lt(item, NR_VM_NODE_STAT_ITEMS);
	put_pages(out, name, global_node_page_state(item));
}

static u64 total_reserve(void)
{
	pg_data_t *pgdat;
	u64 sum = 0;

	for (pgdat = first_online_pgdat(); pgdat;
	     pgdat = next_online_pgdat(pgdat))
		sum += READ_ONCE(pgdat->totalreserve_pages);
	return sum;
}

/* What may go of PAGES that reclaim can get at. */
static u64 reclaim_share(u64 pages, u64 low)
{
	mm_assert_le(min(pages / 2, low), pages);
	return pages - min(pages / 2, low);
}

/* Frames that programs could still get without swapping (see above). */
static u64 available_pages(void)
{
	u64 free = global_zone_page_state(NR_FREE_PAGES);
	u64 file = global_node_page_state(NR_ACTIVE_FILE) +
		   global_node_page_state(NR_INACTIVE_FILE);
	u64 slab = global_node_page_state(NR_SLAB_RECLAIMABLE_B) +
		   global_node_page_state(NR_KERNEL_MISC_RECLAIMABLE);
	u64 reserve = total_reserve(), low = 0, sum;
	struct zone *zone;

	for_each_zone (zone)
		low += READ_ONCE(zone->_watermark[WMARK_LOW]);
	sum = free + reclaim_share(file, low) + reclaim_share(slab, low);
	return sum > reserve ? sum - reserve : 0;
}

static void show_totals(struct seq_buf *out)
{
	u64 swapcached = global_node_page_state(NR_SWAPCACHE);
	u64 file = global_node_page_state(NR_FILE_PAGES);
	u64 buffers = READ_ONCE(cache_sys.fm.nr_blockdev_pages);
	u64 other = swapcached + buffers;

	put_pages(out, "MemTotal:", totalram_pages());
	put_pages(out, "MemFree:", global_zone_page_state(NR_FREE_PAGES));
	put_pages(out, "MemAvailable:", available_pages());
	put_pages(out, "Buffers:", buffers);
	put_pages(out, "Cached:", file > other ? file - other : 0);
	put_pages(out, "SwapCached:", swapcached);
}

static void show_lists(struct seq_buf *out)
{
	u64 anon = global_node_page_state(NR_ACTIVE_ANON);
	u64 inanon = global_node_page_state(NR_INACTIVE_ANON);
	u64 file = global_node_page_state(NR_ACTIVE_FILE);
	u64 infile = global_node_page_state(NR_INACTIVE_FILE);

	put_pages(out, "Active:", anon + file);
	put_pages(out, "Inactive:", inanon + infile);
	put_pages(out, "Active(anon):", anon);
	put_pages(out, "Inactive(anon):", inanon);
	put_pages(out, "Active(file):", file);
	put_pages(out, "Inactive(file):", infile);
	put_node(out, "Unevictable:", NR_UNEVICTABLE);
	put_pages(out, "Mlocked:", global_zone_page_state(NR_MLOCK));
}

static void show_swap(struct seq_buf *out)
{
	put_pages(out, "SwapTotal:", READ_ONCE(cache_sys.total_swap_pages));
	put_pages(out, "SwapFree:", get_nr_swap_pages());
	put_pages(out, "Zswap:", zswap_pool_pages());
	put_pages(out, "Zswapped:", READ_ONCE(cache_sys.zswap.stored));
}

static void show_use(struct seq_buf *out)
{
	u64 recl = global_node_page_state(NR_SLAB_RECLAIMABLE_B);
	u64 unrecl = global_node_page_state(NR_SLAB_UNRECLAIMABLE_B);
	u64 misc = global_node_page_state(NR_KERNEL_MISC_RECLAIMABLE);

	put_node(out, "Dirty:", NR_FILE_DIRTY);
	put_node(out, "Writeback:", NR_WRITEBACK);
	put_node(out, "AnonPages:", NR_ANON_MAPPED);
	put_node(out, "Mapped:", NR_FILE_MAPPED);
	put_node(out, "Shmem:", NR_SHMEM);
	put_pages(out, "KReclaimable:", recl + misc);
	put_pages(out, "Slab:", recl + unrecl);
	put_pages(out, "SReclaimable:", recl);
	put_pages(out, "SUnreclaim:", unrecl);
	put_kb(out, "KernelStack:", global_node_page_state(NR_KERNEL_STACK_KB));
	put_node(out, "PageTables:", NR_PAGETABLE);
	put_node(out, "SecPageTables:", NR_SECONDARY_PAGETABLE);
	put_pages(out, "NFS_Unstable:", 0);
	put_pages(out, "Bounce:", global_zone_page_state(NR_BOUNCE));
	put_node(out, "WritebackTmp:", NR_WRITEBACK_TEMP);
}

/* Linux on x86-64 names the last byte of the space as its end. */
static u64 vmalloc_total_kb(void)
{
	const struct kernel_layout *l = &pgtable_sys.layout;
	u64 bytes = l->vmalloc_end - l->vmalloc_start;

	if (bytes && l->fmt->kind == PAGING_X86_64)
		bytes--;
	return bytes >> 10;
}

static void show_kernel(struct seq_buf *out)
{
	put_pages(out, "CommitLimit:", vm_commit_limit());
	put_pages(out, "Committed_AS:", READ_ONCE(space_sys.committed));
	put_kb(out, "VmallocTotal:", vmalloc_total_kb());
	put_pages(out, "VmallocUsed:", vmalloc_nr_pages());
	put_kb(out, "VmallocChunk:", vmap_largest_free() >> 10);
	put_pages(out, "Percpu:", pcpu_nr_pages());
	seq_printf(out, "HardwareCorrupted: %5llu kB\n",
		   LLU(num_poisoned_pages() << (PAGE_SHIFT - 10)));
}

/* The direct map by size of page; HUGE is the middle one's, in KiB. */
static void show_direct(struct seq_buf *out, u64 huge)
{
	const u64 *d = pgtable_sys.direct;

	put_kb(out, "DirectMap4k:", READ_ONCE(d[0]) << (PAGE_SHIFT - 10));
	put_kb(out, huge == 4096 ? "DirectMap4M:" : "DirectMap2M:",
	       READ_ONCE(d[1]) * huge);
	if (pt_leaf_allowed(space_sys.format, 2))
		put_kb(out, "DirectMap1G:", READ_ONCE(d[2]) << 20);
}

/* Transparent and reserved huge pages; sizes of the direct map's entries. */
static void show_huge(struct seq_buf *out)
{
	static const char *const counts[] = {
		"Total:", "Free: ", "Rsvd: ", "Surp: "};
	u64 huge = pt_span(space_sys.format, 1) >> 10;

	/* 4 MiB with two levels, 2 MiB with more. */
	mm_assert(huge == 2048 || huge == 4096);
	put_pages(out, "AnonHugePages:",
		  global_node_page_state(NR_ANON_THPS) << HPAGE_PMD_ORDER);
	put_node(out, "ShmemHugePages:", NR_SHMEM_THPS);
	put_node(out, "ShmemPmdMapped:", NR_SHMEM_PMDMAPPED);
	put_node(out, "FileHugePages:", NR_FILE_THPS);
	put_node(out, "FilePmdMapped:", NR_FILE_PMDMAPPED);
	put_pages(out, "CmaTotal:", totalcma_pages());
	put_pages(out, "CmaFree:", global_zone_page_state(NR_FREE_CMA_PAGES));
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
		seq_printf(out, "HugePages_%s   %5u\n", counts[i], 0u);
	put_kb(out, "Hugepagesize:", huge);
	put_kb(out, "Hugetlb:", 0);
	show_direct(out, huge);
}

void show_meminfo(struct seq_buf *out)
{
	show_totals(out);
	show_lists(out);
	show_swap(out);
	show_use(out);
	show_kernel(out);
	show_huge(out);
}
