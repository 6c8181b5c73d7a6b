/* SPDX-License-Identifier: MIT */
/*
 * node_show.c - /sys/devices/system/node: what there is of each node.
 *
 *	online possible has_memory has_normal_memory has_cpu
 *	nodeN/meminfo numastat vmstat distance cpulist cpumap compact
 *
 * The rows, their order and blanks are those of Linux 6.1, which numastat(8)
 * takes apart. A counter of zones is the sum over the node's.
 *
 * Locking. None: counters are read as they are. A node that goes while its file
 * is made leaves zeroes; its descriptor stays.
 *
 * References: Linux documentation, ABI/stable/sysfs-devices-node,
 * admin-guide/numastat; numastat(8).
 */
#include <mmkit/errno.h>

#include "base/string.h"
#include "compact/compact.h"
#include "pgtable/huge.h"
#include "phys/phys.h"
#include "report/report.h"

static u64 zones_sum(const pg_data_t *pgdat, int item)
{
	struct zone *zone;
	u64 sum = 0;

	for_each_zone (zone)
		if (zone->zone_pgdat == pgdat)
			sum += zone_page_state(zone, item);
	return sum;
}

static u64 node_managed(const pg_data_t *pgdat)
{
	struct zone *zone;
	u64 sum = 0;

	for_each_zone (zone)
		if (zone->zone_pgdat == pgdat)
			sum += zone_managed_pages(zone);
	return sum;
}

/* ---- sets ------------------------------------------------------------------
 */

static u64 cpus_of_node(int nid)
{
	u64 bits = 0;

	for (int i = 0; i < port_nr_cpus(); i++)
		if (port_cpu_node(i) == nid && !phys_cpu_gone(i))
			bits |= 1UL << i;
	return bits;
}

MM_STATIC_ASSERT(MM_NR_CPUS <= 64 && MM_MAX_NODES <= 64, "sets are one word");

void put_bit_list(struct seq_buf *out, u64 bits)
{
	const char *sep = "";

	for (int i = 0; i < 64; i++) {
		int first = i;

		if (!(bits >> i & 1))
			continue;
		while (i < 63 && bits >> (i + 1) & 1)
			i++;
		seq_printf(out, i > first ? "%s%d-%d" : "%s%d", sep, first, i);
		sep = ",";
	}
	seq_putc(out, '\n');
}

static void show_cpulist(struct seq_buf *out, const pg_data_t *pgdat)
{
	put_bit_list(out, cpus_of_node(pgdat->node_id));
}

/* Words of 32 bits, the highest first; the first as wide as there are CPUs. */
static void show_cpumap(struct seq_buf *out, const pg_data_t *pgdat)
{
	u64 bits = cpus_of_node(pgdat->node_id);
	int nr = port_nr_cpus();

	if (nr > 32)
		seq_printf(out, "%0*x,%08x\n", (nr - 32 + 3) / 4,
			   (u32)(bits >> 32), (u32)bits);
	else
		seq_printf(out, "%0*x\n", (nr + 3) / 4, (u32)bits);
}

enum { NODES_ONLINE, NODES_MEMORY, NODES_CPU };

static u64 nodes_set(int which)
{
	const pg_data_t *pgdat;
	u64 bits = 0;

	for_each_online_pgdat(pgdat)
	{
		if (which == NODES_ONLINE ||
		    (which == NODES_MEMORY && pgdat->node_present_pages) ||
		    (which == NODES_CPU && cpus_of_node(pgdat->node_id)))
			bits |= 1UL << pgdat->node_id;
	}
	return bits;
}

static void show_distance(struct seq_buf *out, const pg_data_t *of)
{
	const pg_data_t *pgdat;
	const char *sep = "";

	for_each_online_pgdat(pgdat)
	{
		seq_printf(out, "%s%d", sep,
			   node_distance(of->node_id, pgdat->node_id));
		sep = " ";
	}
	seq_putc(out, '\n');
}

/* ---- meminfo ---------------------------------------------------------------
 */

static void put_kb(struct seq_buf *out, const pg_data_t *pgdat,
		   const char *name, u64 kb)
{
	seq_printf(out, "Node %d %-15s %8llu kB\n", pgdat->node_id, name,
		   LLU(kb));
}

static void put_pages(struct seq_buf *out, const pg_data_t *pgdat,
		      const char *name, u64 pages)
{
	put_kb(out, pgdat, name, pages << (PAGE_SHIFT - 10));
}

/* A line that is one counter of the node, or two. */
struct node_row {
	const char *name;
	int a, b; /* b: added, or -1 */
};

static void put_rows(struct seq_buf *out, const pg_data_t *pgdat,
		     const struct node_row *rows, size_t nr)
{
	for (size_t i = 0; i < nr; i++) {
		u64 v = node_page_state(pgdat, rows[i].a);

		if (rows[i].b >= 0)
			v += node_page_state(pgdat, rows[i].b);
		put_pages(out, pgdat, rows[i].name, v);
	}
}

static void put_totals(struct seq_buf *out, const pg_data_t *pgdat)
{
	static const struct node_row rows[] = {
		{"SwapCached:", NR_SWAPCACHE, -1},
		{"Active:", NR_ACTIVE_ANON, NR_ACTIVE_FILE},
		{"Inactive:", NR_INACTIVE_ANON, NR_INACTIVE_FILE},
		{"Active(anon):", NR_ACTIVE_ANON, -1},
		{"Inactive(anon):", NR_INACTIVE_ANON, -1},
		{"Active(file):", NR_ACTIVE_FILE, -1},
		{"Inactive(file):", NR_INACTIVE_FILE, -1},
		{"Unevictable:", NR_UNEVICTABLE, -1},
	};
	u64 total = node_managed(pgdat);
	u64 free = zones_sum(pgdat, NR_FREE_PAGES);

	put_pages(out, pgdat, "MemTotal:", total);
	put_pages(out, pgdat, "MemFree:", free);
	put_pages(out, pgdat, "MemUsed:", total > free ? total - free : 0);
	put_rows(out, pgdat, rows, ARRAY_SIZE(rows));
	put_pages(out, pgdat, "Mlocked:", zones_sum(pgdat, NR_MLOCK));
}

static void put_use(struct seq_buf *out, const pg_data_t *pgdat)
{
	static const struct node_row first[] = {
		{"Dirty:", NR_FILE_DIRTY, -1},
		{"Writeback:", NR_WRITEBACK, -1},
		{"FilePages:", NR_FILE_PAGES, -1},
		{"Mapped:", NR_FILE_MAPPED, -1},
		{"AnonPages:", NR_ANON_MAPPED, -1},
		{"Shmem:", NR_SHMEM, -1},
	};
	static const struct node_row second[] = {
		{"WritebackTmp:", NR_WRITEBACK_TEMP, -1},
		{"KReclaimable:", NR_SLAB_RECLAIMABLE_B,
		 NR_KERNEL_MISC_RECLAIMABLE},
		{"Slab:", NR_SLAB_RECLAIMABLE_B, NR_SLAB_UNRECLAIMABLE_B},
		{"SReclaimable:", NR_SLAB_RECLAIMABLE_B, -1},
		{"SUnreclaim:", NR_SLAB_UNRECLAIMABLE_B, -1},
	};

	put_rows(out, pgdat, first, ARRAY_SIZE(first));
	put_kb(out, pgdat,
	       "KernelStack:", node_page_state(pgdat, NR_KERNEL_STACK_KB));
	put_pages(out, pgdat,
		  "PageTables:", node_page_state(pgdat, NR_PAGETABLE));
	put_pages(out, pgdat, "SecPageTables:",
		  node_page_state(pgdat, NR_SECONDARY_PAGETABLE));
	put_pages(out, pgdat, "NFS_Unstable:", 0);
	put_pages(out, pgdat, "Bounce:", zones_sum(pgdat, NR_BOUNCE));
	put_rows(out, pgdat, second, ARRAY_SIZE(second));
}

/* Large pages; as meminfo.c counts them for all nodes. */
static void put_huge(struct seq_buf *out, const pg_data_t *pgdat)
{
	static const struct node_row rows[] = {
		{"ShmemHugePages:", NR_SHMEM_THPS, -1},
		{"ShmemPmdMapped:", NR_SHMEM_PMDMAPPED, -1},
		{"FileHugePages:", NR_FILE_THPS, -1},
		{"FilePmdMapped:", NR_FILE_PMDMAPPED, -1},
	};
	static const char *const counts[] = {
		"HugePages_Total:", "HugePages_Free: ", "HugePages_Surp: "};

	put_pages(out, pgdat, "AnonHugePages:",
		  node_page_state(pgdat, NR_ANON_THPS) << HPAGE_PMD_ORDER);
	put_rows(out, pgdat, rows, ARRAY_SIZE(rows));
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
		seq_printf(out, "Node %d %s %5u\n", pgdat->node_id, counts[i],
			   0u);
}

static void show_node_meminfo(struct seq_buf *out, const pg_data_t *pgdat)
{
	put_totals(out, pgdat);
	put_use(out, pgdat);
	put_huge(out, pgdat);
}

/* ---- numastat, vmstat ------------------------------------------------------
 */

static void show_numastat(struct seq_buf *out, const pg_data_t *pgdat)
{
	static const struct node_row rows[] = {
		{"numa_hit", NUMA_HIT, -1},
		{"numa_miss", NUMA_MISS, -1},
		{"numa_foreign", NUMA_FOREIGN, -1},
		{"interleave_hit", NUMA_INTERLEAVE_HIT, -1},
		{"local_node", NUMA_LOCAL, -1},
		{"other_node", NUMA_OTHER, -1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		seq_printf(out, "%s %llu\n", rows[i].name,
			   LLU(zones_sum(pgdat, rows[i].a)));
}

static void show_node_vmstat(struct seq_buf *out, const pg_data_t *pgdat)
{
	for (int i = 0; i < NR_VM_ZONE_STAT_ITEMS; i++)
		if (vmstat_zone_name(i))
			seq_printf(out, "%s %llu\n", vmstat_zone_name(i),
				   LLU(zones_sum(pgdat, i)));
	for (int i = 0; i < NR_VM_NODE_STAT_ITEMS; i++)
		if (vmstat_node_name(i))
			seq_printf(out, "%s %llu\n", vmstat_node_name(i),
				   LLU(node_page_state(pgdat, i)));
}

/* ---- names -----------------------------------------------------------------
 */

static const struct node_set {
	const char *name;
	int which;
} node_sets[] = {
	{"online", NODES_ONLINE},     {"possible", NODES_ONLINE},
	{"has_memory", NODES_MEMORY}, {"has_normal_memory", NODES_MEMORY},
	{"has_cpu", NODES_CPU},
};

static const struct node_file {
	const char *name;
	void (*show)(struct seq_buf *out, const pg_data_t *pgdat);
} node_files[] = {
	{"meminfo", show_node_meminfo}, {"numastat", show_numastat},
	{"vmstat", show_node_vmstat},	{"distance", show_distance},
	{"cpulist", show_cpulist},	{"cpumap", show_cpumap},
};

/* The node that *NAME begins with, which is moved behind it; NULL: none. */
static pg_data_t *node_of(const char **name)
{
	s64 nid = number_behind(name, "node");

	return nid < 0 || nid >= MM_MAX_NODES ? NULL : NODE_DATA((int)nid);
}

int node_file_show(const char *name, struct seq_buf *out)
{
	const pg_data_t *pgdat;

	for (size_t i = 0; i < ARRAY_SIZE(node_sets); i++) {
		if (mm_strcmp(node_sets[i].name, name) != 0)
			continue;
		put_bit_list(out, nodes_set(node_sets[i].which));
		return 0;
	}
	pgdat = node_of(&name);
	for (size_t i = 0; pgdat && i < ARRAY_SIZE(node_files); i++) {
		if (mm_strcmp(node_files[i].name, name) != 0)
			continue;
		node_files[i].show(out, pgdat);
		return 0;
	}
	return -ENOENT;
}

/* Whatever is written to nodeN/compact: the node is compacted. */
int node_file_store(const char *name, const char *text, size_t len)
{
	pg_data_t *pgdat = node_of(&name);

	(void)text;
	(void)len;
	if (!pgdat || mm_strcmp(name, "compact") != 0)
		return -ENOENT;
	compact_node(pgdat);
	return 0;
}
