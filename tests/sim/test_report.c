/* SPDX-License-Identifier: MIT */
/*
 * Reports in Linux 6.1's formats: read back as procps would, names and order
 * against lists, sums that must add up; the audit clean and not; tunables.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mmkit/boot.h>
#include <mmkit/errno.h>
#include <mmkit/mm.h>
#include <mmkit/mman.h>
#include <mmkit/page_alloc.h>
#include <mmkit/report.h>
#include <mmkit/shmem.h>
#include <mmkit/slab.h>
#include <mmkit/sysctl.h>

#include "base/seqbuf.h"
#include "base_seed.h"
#include "cache/filemap.h"
#include "cache/swap.h"
#include "phys/phys.h"
#include "reclaim/reclaim.h"
#include "sim.h"
#include "space/space.h"

#define MIB	   (1UL << 20)
#define SWAP_BYTES (64 * MIB)

static char text[1 << 18];

/* ---- a machine ---------------------------------------------------------- */

struct setup {
	u64 mem;
	int cpus, nodes;
	bool swap;
	int (*body)(void);
	bool explore;
	u64 seed;
	const char *arch; /* NULL: x86-64 */
};

static struct port_bdev *disk;
static bool up;

static void make_disk(void)
{
	struct sim_disk_config cfg = {.name = "/dev/swap 1",
				      .size_bytes = SWAP_BYTES};

	assert_int_equal(sim_disk_open(&disk, &cfg, NULL), 0);
}

/* The header is written through the device, as mkswap would. */
static void write_done(struct port_bio *bio)
{
	*(bool *)bio->private = true;
}

static int make_swap(void)
{
	struct page *page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	bool done = false;
	struct port_bio bio = {.bdev = disk,
			       .op = PORT_BIO_WRITE,
			       .nr_pages = 1,
			       .end_io = write_done,
			       .private = &done};

	assert_non_null(page);
	swap_header_init(page_view(page), SWAP_BYTES >> PAGE_SHIFT);
	bio.pfn[0] = page_to_pfn(page);
	port_bio_submit(&bio);
	while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE))
		port_park(1000000);
	assert_int_equal(bio.status, 0);
	__free_page(page);
	return swapon(disk, -2);
}

static int machine_main(void *arg)
{
	const struct setup *s = arg;
	static struct e820_table map;
	struct mm_boot_node nodes[2] = {{0, s->mem / 2, 0},
					{s->mem / 2, s->mem, 1}};
	struct mm_boot_params p = {.map = &map, .arch = s->arch};
	int ret;

	e820_init(&map);
	assert_int_equal(e820_add(&map, 0, 0x9fc00, E820_TYPE_RAM), 0);
	assert_int_equal(e820_add(&map, 0x9fc00, 0x400, E820_TYPE_RESERVED), 0);
	assert_int_equal(e820_add(&map, MIB, s->mem - 2 * MIB, E820_TYPE_RAM),
			 0);
	assert_int_equal(e820_add(&map, s->mem - MIB, MIB / 2, E820_TYPE_ACPI),
			 0);
	assert_int_equal(
		e820_add(&map, s->mem - MIB / 2, MIB / 2, E820_TYPE_NVS), 0);
	if (s->nodes == 2) {
		p.nodes = nodes;
		p.nr_nodes_ranges = 2;
	}
	assert_int_equal(mm_boot(&p), 0);
	if (s->swap)
		assert_int_equal(make_swap(), 0);
	ret = s->body();
	mm_shutdown();
	return ret;
}

static int run(struct setup s)
{
	static u8 cpu_node[MM_NR_CPUS];
	struct sim_config cfg = {.cpus = s.cpus ? s.cpus : 1,
				 .seed = s.seed ? s.seed : 1,
				 .explore = s.explore,
				 .cpu_node = cpu_node,
				 .quiet = true};
	int ret;

	if (s.arch)
		cfg.format = paging_format_by_name(s.arch);

	for (int cpu = 0; cpu < cfg.cpus; cpu++)
		cpu_node[cpu] = (u8)(s.nodes == 2 ? cpu % 2 : 0);
	/* A test that failed left its machine behind. */
	if (up)
		sim_shutdown();
	up = false;
	mm_reset();
	assert_int_equal(sim_init(&cfg), 0);
	up = true;
	if (s.swap)
		make_disk();
	ret = sim_run(machine_main, &s);
	sim_shutdown();
	up = false;
	return ret;
}

/* ---- reading text ------------------------------------------------------- */

static const char *show(const char *path)
{
	struct seq_buf s;

	seq_buf_init(&s, text, sizeof(text));
	assert_int_equal(mm_show(path, &s), 0);
	assert_false(seq_buf_has_overflowed(&s));
	return seq_buf_str(&s);
}

/* The next line of *AT into LINE, without its end; false after the last. */
static bool next_line(const char **at, char line[1024])
{
	const char *end = strchr(*at, '\n');

	if (!**at)
		return false;
	assert_non_null(end);
	assert_true(end - *at < 1024);
	memcpy(line, *at, (size_t)(end - *at));
	line[end - *at] = '\0';
	*at = end + 1;
	return true;
}

/* The number behind "NAME" and blanks at the start of a line. */
static u64 value_of(const char *in, const char *name)
{
	size_t len = strlen(name);

	for (const char *l = in; l; l = strchr(l, '\n')) {
		l += *l == '\n';
		if (!strncmp(l, name, len) && (l[len] == ' ' || l[len] == ':'))
			return strtoull(l + len + 1, NULL, 10);
	}
	fail_msg("no line \"%s\"", name);
	return 0;
}

/* ---- vmstat, meminfo ---------------------------------------------------- */

/*
 * /proc/vmstat of Linux 6.1 with Debian's options and CONFIG_CMA, x86-64, in
 * order.
 */
static const char vmstat_names[] =
	"nr_free_pages nr_zone_inactive_anon nr_zone_active_anon "
	"nr_zone_inactive_file nr_zone_active_file nr_zone_unevictable "
	"nr_zone_write_pending nr_mlock nr_bounce nr_zspages nr_free_cma "
	"numa_hit numa_miss numa_foreign numa_interleave numa_local numa_other "
	"nr_inactive_anon nr_active_anon nr_inactive_file nr_active_file "
	"nr_unevictable nr_slab_reclaimable nr_slab_unreclaimable "
	"nr_isolated_anon nr_isolated_file workingset_nodes "
	"workingset_refault_anon workingset_refault_file "
	"workingset_activate_anon workingset_activate_file "
	"workingset_restore_anon workingset_restore_file "
	"workingset_nodereclaim nr_anon_pages nr_mapped nr_file_pages nr_dirty "
	"nr_writeback nr_writeback_temp nr_shmem nr_shmem_hugepages "
	"nr_shmem_pmdmapped nr_file_hugepages nr_file_pmdmapped "
	"nr_anon_transparent_hugepages nr_vmscan_write "
	"nr_vmscan_immediate_reclaim nr_dirtied nr_written "
	"nr_throttled_written nr_kernel_misc_reclaimable nr_foll_pin_acquired "
	"nr_foll_pin_released nr_kernel_stack nr_page_table_pages "
	"nr_sec_page_table_pages nr_swapcached pgpromote_success "
	"pgpromote_candidate nr_dirty_threshold "
	"nr_dirty_background_threshold pgpgin pgpgout pswpin pswpout "
	"pgalloc_dma pgalloc_dma32 pgalloc_normal pgalloc_movable "
	"pgalloc_device allocstall_dma allocstall_dma32 allocstall_normal "
	"allocstall_movable allocstall_device pgskip_dma pgskip_dma32 "
	"pgskip_normal pgskip_movable pgskip_device pgfree pgactivate pgdeactivate pglazyfree pgfault "
	"pgmajfault pglazyfreed pgrefill pgreuse pgsteal_kswapd "
	"pgsteal_direct pgdemote_kswapd pgdemote_direct pgscan_kswapd "
	"pgscan_direct pgscan_direct_throttle pgscan_anon pgscan_file "
	"pgsteal_anon pgsteal_file zone_reclaim_success "
	"zone_reclaim_failed pginodesteal "
	"slabs_scanned kswapd_inodesteal kswapd_low_wmark_hit_quickly "
	"kswapd_high_wmark_hit_quickly pageoutrun pgrotated drop_pagecache "
	"drop_slab oom_kill numa_pte_updates numa_huge_pte_updates "
	"numa_hint_faults numa_hint_faults_local numa_pages_migrated "
	"pgmigrate_success pgmigrate_fail thp_migration_success "
	"thp_migration_fail thp_migration_split compact_migrate_scanned "
	"compact_free_scanned compact_isolated compact_stall compact_fail "
	"compact_success compact_daemon_wake compact_daemon_migrate_scanned "
	"compact_daemon_free_scanned htlb_buddy_alloc_success "
	"htlb_buddy_alloc_fail cma_alloc_success cma_alloc_fail "
	"unevictable_pgs_culled "
	"unevictable_pgs_scanned unevictable_pgs_rescued "
	"unevictable_pgs_mlocked unevictable_pgs_munlocked "
	"unevictable_pgs_cleared unevictable_pgs_stranded thp_fault_alloc "
	"thp_fault_fallback thp_fault_fallback_charge thp_collapse_alloc "
	"thp_collapse_alloc_failed thp_file_alloc thp_file_fallback "
	"thp_file_fallback_charge thp_file_mapped thp_split_page "
	"thp_split_page_failed thp_deferred_split_page thp_split_pmd "
	"thp_scan_exceed_none_pte thp_scan_exceed_swap_pte "
	"thp_scan_exceed_share_pte thp_split_pud thp_zero_page_alloc "
	"thp_zero_page_alloc_failed thp_swpout thp_swpout_fallback "
	"balloon_inflate balloon_deflate balloon_migrate swap_ra swap_ra_hit "
	"ksm_swpin_copy cow_ksm zswpin zswpout direct_map_level2_splits "
	"direct_map_level3_splits nr_unstable ";

static int vmstat_body(void)
{
	const char *at = show("/proc/vmstat"), *want = vmstat_names;
	u64 free_pages = value_of(at, "nr_free_pages");
	char line[1024];

	assert_int_equal(free_pages, nr_free_pages());
	assert_true(value_of(at, "pgalloc_dma32") > 0);
	while (next_line(&at, line)) {
		char *sp = strchr(line, ' '), *end;

		assert_non_null(sp);
		assert_memory_equal(line, want, (size_t)(sp - line) + 1);
		want += sp - line + 1;
		(void)strtoull(sp + 1, &end, 10);
		assert_true(end > sp + 1 && *end == '\0');
	}
	assert_string_equal(want, "");
	return 0;
}

static void test_vmstat(void **state)
{
	(void)state;
	assert_int_equal(
		run((struct setup){.mem = 64 * MIB, .body = vmstat_body}), 0);
}

/* /proc/meminfo of Linux 6.1 on x86-64; '#': a count, not kB. */
static const char *const meminfo_names[] = {
	"MemTotal",	  "MemFree",
	"MemAvailable",	  "Buffers",
	"Cached",	  "SwapCached",
	"Active",	  "Inactive",
	"Active(anon)",	  "Inactive(anon)",
	"Active(file)",	  "Inactive(file)",
	"Unevictable",	  "Mlocked",
	"SwapTotal",	  "SwapFree",
	"Zswap",	  "Zswapped",
	"Dirty",	  "Writeback",
	"AnonPages",	  "Mapped",
	"Shmem",	  "KReclaimable",
	"Slab",		  "SReclaimable",
	"SUnreclaim",	  "KernelStack",
	"PageTables",	  "SecPageTables",
	"NFS_Unstable",	  "Bounce",
	"WritebackTmp",	  "CommitLimit",
	"Committed_AS",	  "VmallocTotal",
	"VmallocUsed",	  "VmallocChunk",
	"Percpu",	  "HardwareCorrupted",
	"AnonHugePages",  "ShmemHugePages",
	"ShmemPmdMapped", "FileHugePages",
	"FilePmdMapped",  "CmaTotal",
	"CmaFree",	  "HugePages_Total",
	"HugePages_Free", "HugePages_Rsvd",
	"HugePages_Surp", "Hugepagesize",
	"Hugetlb",	  "DirectMap4k",
	"DirectMap2M",	  "DirectMap1G",
};

/* What reclaim could take of KB: all but half, or the low marks. */
static u64 share_of(u64 kb)
{
	struct zone *zone;
	u64 low = 0;

	for_each_zone (zone)
		low += zone->_watermark[WMARK_LOW] * 4;
	return kb - min(kb / 8 * 4, low);
}

/* What can be had without swapping, less what the kernel keeps for itself. */
static void available_sums(const char *m)
{
	u64 reserve = NODE_DATA(0)->totalreserve_pages * 4;
	u64 file = value_of(m, "Active(file)") + value_of(m, "Inactive(file)");

	assert_true(reserve > 0);
	assert_int_equal(value_of(m, "MemAvailable"),
			 value_of(m, "MemFree") + share_of(file) +
				 share_of(value_of(m, "KReclaimable")) -
				 reserve);
}

static void meminfo_sums(const char *m)
{
	u64 total = value_of(m, "MemTotal"), avail;

	avail = value_of(m, "MemAvailable");
	assert_int_equal(total, totalram_pages() * 4);
	assert_true(value_of(m, "MemFree") <= total && avail <= total);
	assert_true(avail > 0);
	available_sums(m);
	assert_int_equal(value_of(m, "Slab"),
			 value_of(m, "SReclaimable") +
				 value_of(m, "SUnreclaim"));
	assert_int_equal(value_of(m, "Active"),
			 value_of(m, "Active(anon)") +
				 value_of(m, "Active(file)"));
	assert_int_equal(value_of(m, "SwapTotal"), SWAP_BYTES / 1024 - 4);
	assert_int_equal(value_of(m, "SwapFree"), SWAP_BYTES / 1024 - 4);
	assert_int_equal(value_of(m, "CommitLimit"),
			 total / 8 * 4 + SWAP_BYTES / 1024 - 4);
	assert_int_equal(value_of(m, "Hugepagesize"), 2048);
}

static int meminfo_body(void)
{
	const char *at = show("meminfo");
	char line[1024];
	size_t i = 0;

	meminfo_sums(at);
	while (next_line(&at, line)) {
		char *colon = strchr(line, ':');
		bool count = !strncmp(line, "HugePages_", 10);
		size_t len;

		assert_non_null(colon);
		assert_true(i < ARRAY_SIZE(meminfo_names));
		len = strlen(meminfo_names[i]);
		assert_int_equal(colon - line, len);
		assert_memory_equal(line, meminfo_names[i], len);
		/* Columns: the value ends at 24, or where a name is longer. */
		if (!strncmp(line, "VmallocTotal:", 13)) {
			assert_string_equal(line + 16, "34359738367 kB");
			i++;
			continue;
		}
		assert_int_equal(strlen(line), count ? 24 : 27);
		if (!count)
			assert_string_equal(line + 24, " kB");
		i++;
	}
	assert_int_equal(i, ARRAY_SIZE(meminfo_names));
	return 0;
}

static void test_meminfo(void **state)
{
	(void)state;
	assert_int_equal(run((struct setup){.mem = 64 * MIB,
					    .swap = true,
					    .body = meminfo_body}),
			 0);
}

/* ---- zones -------------------------------------------------------------- */

/* Blocks times their sizes are the zone's free frames. */
static void buddyinfo_line(const char *line, struct zone *zone)
{
	char name[16], *p;
	u64 sum = 0;
	int node, n;

	assert_int_equal(sscanf(line, "Node %d, zone %15s %n", &node, name, &n),
			 2);
	assert_int_equal(line[13], ' ');
	assert_int_equal(node, zone_to_nid(zone));
	assert_string_equal(name, zone->name);
	p = (char *)(uintptr_t)line + 22;
	for (int order = 0; order < MAX_ORDER; order++) {
		char *end;

		sum += strtoull(p, &end, 10) << order;
		assert_true(end - p >= (order ? 7 : 6));
		p = end;
	}
	assert_string_equal(p, " ");
	assert_int_equal(sum, zone_page_state(zone, NR_FREE_PAGES));
}

static int buddyinfo_body(void)
{
	const char *at = show("/proc/buddyinfo");
	struct zone *zone;
	char line[1024];

	for_each_populated_zone (zone) {
		assert_true(next_line(&at, line));
		buddyinfo_line(line, zone);
	}
	assert_false(next_line(&at, line));
	return 0;
}

/* Each line has the frames of one type; together, those of buddyinfo. */
static int pagetypeinfo_body(void)
{
	const char *at = show("/proc/pagetypeinfo");
	u64 sum = 0, blocks = 0, present = 0;
	struct zone *zone;
	char line[1024];

	assert_true(next_line(&at, line));
	assert_string_equal(line, "Page block order: 9");
	assert_true(next_line(&at, line));
	assert_string_equal(line, "Pages per block:  512");
	while (next_line(&at, line)) {
		char *p = strstr(line, ", type"), *b = line + 22;

		if (p) {
			p += 20;
			for (int order = 0; order < MAX_ORDER; order++)
				sum += strtoull(p, &p, 10) << order;
			assert_string_equal(p, " ");
		} else if (!strncmp(line, "Node", 4) && strlen(line) > 40 &&
			   line[5] != ' ') {
			for (int mt = 0; mt < MIGRATE_TYPES; mt++)
				blocks += strtoull(b, &b, 10);
			assert_string_equal(b, " ");
		}
	}
	assert_int_equal(sum, nr_free_pages());
	for_each_zone (zone)
		present += zone->present_pages;
	assert_in_range(blocks, present >> pageblock_order,
			(present >> pageblock_order) + 4);
	return 0;
}

/* procps and numactl look for these, in this order, in each zone. */
static const char *const zone_lines[] = {
	"  pages free     ",	 "        boost    ", "        min      ",
	"        low      ",	 "        high     ", "        spanned  ",
	"        present  ",	 "        managed  ", "        cma      ",
	"        protection: (",
};

static void zoneinfo_pages(const char **at, char *line)
{
	for (size_t i = 0; i < ARRAY_SIZE(zone_lines); i++) {
		size_t len = strlen(zone_lines[i]);

		assert_memory_equal(line, zone_lines[i], len);
		if (i + 1 < ARRAY_SIZE(zone_lines))
			assert_true(next_line(at, line));
	}
	assert_int_equal(line[strlen(line) - 1], ')');
}

static void zoneinfo_stats(const char **at, char *line, int want)
{
	char name[64];
	int n = 0;
	u64 value;

	while (next_line(at, line) && line[4] == ' ' && line[6] != ' ') {
		assert_int_equal(sscanf(line, "      %63s %lu", name, &value),
				 2);
		n++;
	}
	assert_int_equal(n, want);
}

static void zoneinfo_pagesets(const char **at, char *line)
{
	int cpu, value;

	assert_string_equal(line, "  pagesets");
	for (int i = 0; i < port_nr_cpus(); i++) {
		assert_true(next_line(at, line));
		assert_int_equal(sscanf(line, "    cpu: %d", &cpu), 1);
		assert_int_equal(cpu, i);
		for (int k = 0; k < 3; k++) {
			assert_true(next_line(at, line));
			assert_int_equal(
				sscanf(line, "              %*s %d", &value),
				1);
		}
		assert_true(next_line(at, line));
		assert_string_equal(line, "  vm stats threshold: 0");
	}
	assert_true(next_line(at, line));
	assert_string_equal(line, "  node_unreclaimable:  0");
	assert_true(next_line(at, line));
	assert_memory_equal(line, "  start_pfn:           ", 23);
}

/* After a node's last zone: Device, which is always empty. */
static void zoneinfo_device(const char **at, char *line, int nid)
{
	char want[64];

	snprintf(want, sizeof(want), "Node %d, zone   Device", nid);
	assert_true(next_line(at, line));
	assert_string_equal(line, want);
	assert_true(next_line(at, line));
	zoneinfo_pages(at, line);
	assert_string_equal(line, "        protection: (0, 0, 0, 0, 0)");
}

static int zoneinfo_body(void)
{
	const char *at = show("/proc/zoneinfo");
	int last_node = -1, shown = 0;
	struct zone *zone;
	char line[1024];

	for_each_zone (zone) {
		char want[64];

		if (zone->idx == ZONE_HIGHMEM)
			continue;
		snprintf(want, sizeof(want), "Node %d, zone %8s",
			 zone_to_nid(zone), zone->name);
		assert_true(next_line(&at, line));
		assert_string_equal(line, want);
		assert_true(next_line(&at, line));
		if (populated_zone(zone) && zone_to_nid(zone) != last_node) {
			last_node = zone_to_nid(zone);
			assert_string_equal(line, "  per-node stats");
			zoneinfo_stats(&at, line, 43);
		}
		zoneinfo_pages(&at, line);
		shown++;
		if (populated_zone(zone)) {
			zoneinfo_stats(&at, line, 17);
			zoneinfo_pagesets(&at, line);
		}
		if (zone->idx == ZONE_MOVABLE)
			zoneinfo_device(&at, line, zone_to_nid(zone));
	}
	assert_int_equal(shown, 4 * nr_online_nodes());
	assert_false(next_line(&at, line));
	return 0;
}

static void test_zones(void **state)
{
	int (*const bodies[])(void) = {buddyinfo_body, pagetypeinfo_body,
				       zoneinfo_body};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		struct setup s = {.mem = 64 * MIB, .body = bodies[i]};

		assert_int_equal(run(s), 0);
		s.mem = 8192 * MIB;
		s.cpus = s.nodes = 2;
		assert_int_equal(run(s), 0);
	}
}

/* ---- lists -------------------------------------------------------------- */

static int lists_body(void)
{
	const char *at = show("/proc/iomem");
	char line[1024], name[64];
	unsigned long n[10];

	assert_string_equal(at, "00000000-00000fff : Reserved\n"
				"00001000-0009fbff : System RAM\n"
				"0009fc00-0009ffff : Reserved\n"
				"00100000-03efffff : System RAM\n"
				"03f00000-03f7ffff : ACPI Tables\n"
				"03f80000-03ffffff : "
				"ACPI Non-volatile Storage\n");
	assert_string_equal(
		show("/proc/swaps"),
		"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
		"/dev/swap\\0401                          partition\t65532\t\t0"
		"\t\t-2\n");
	at = show("/proc/slabinfo");
	assert_true(next_line(&at, line));
	assert_string_equal(line, "slabinfo - version: 2.1");
	assert_true(next_line(&at, line));
	assert_memory_equal(line, "# name            <active_objs>", 31);
	while (next_line(&at, line)) {
		assert_int_equal(
			sscanf(line,
			       "%63s %lu %lu %lu %lu %lu : tunables %lu %lu "
			       "%lu : slabdata %lu",
			       name, n, n + 1, n + 2, n + 3, n + 4, n + 5,
			       n + 6, n + 7, n + 8),
			10);
		assert_true(n[0] <= n[1]);
		assert_int_equal(n[1], n[8] * n[3]);
		assert_true(n[2] * n[3] <= n[4] * PAGE_SIZE);
	}
	return 0;
}

static void test_lists(void **state)
{
	(void)state;
	assert_int_equal(run((struct setup){.mem = 64 * MIB,
					    .swap = true,
					    .body = lists_body}),
			 0);
}

static void note_name(const char *path, void *arg)
{
	++*(int *)arg;
	/* A machine that uses no vmalloc has nothing to list. */
	if (!strcmp(path, "/proc/vmallocinfo"))
		return;
	assert_true(strlen(show(path)) > 0);
	if (!strncmp(path, "/sys/kernel/debug/", 18))
		return;
	assert_memory_equal(path, "/proc/", 6);
	assert_true(strlen(show(path + 6)) > 0);
}

static int names_body(void)
{
	struct seq_buf s;
	int n = 0;

	mm_show_list(note_name, &n);
	assert_int_equal(n, 19);
	seq_buf_init(&s, text, sizeof(text));
	assert_int_equal(mm_show("/proc/nothing", &s), -ENOENT);
	assert_int_equal(mm_show("/proc/", &s), -ENOENT);
	assert_int_equal(mm_show("", &s), -ENOENT);
	assert_string_equal(seq_buf_str(&s), "");
	return 0;
}

static void test_names(void **state)
{
	(void)state;
	assert_int_equal(run((struct setup){.mem = 64 * MIB,
					    .swap = true,
					    .body = names_body}),
			 0);
}

/* ---- audit -------------------------------------------------------------- */

static const char *audit(int *findings)
{
	struct seq_buf s;

	seq_buf_init(&s, text, sizeof(text));
	*findings = mm_audit(&s);
	assert_false(seq_buf_has_overflowed(&s));
	return seq_buf_str(&s);
}

static void expect_clean(void)
{
	int n;
	const char *t = audit(&n);

	if (n)
		fail_msg("audit:\n%s", t);
	assert_string_equal(t + strlen(t) - 15, "verdict: clean\n");
	assert_null(strstr(t, "leak"));
}

/* The audit finds N things, one of which says WHAT. */
static void expect_leak(int want, const char *what)
{
	int n;
	const char *t = audit(&n);

	assert_int_equal(n, want);
	assert_string_equal(t + strlen(t) - 14, "verdict: leak\n");
	if (!strstr(t, what))
		fail_msg("\"%s\" is not in:\n%s", what, t);
}

static int audit_body(void)
{
	u64 sum;
	const char *t;
	int n;

	expect_clean();
	t = audit(&n);
	sum = value_of(t, "free") + value_of(t, "percpu") +
	      value_of(t, "reserved") + value_of(t, "pagetables") +
	      value_of(t, "slab") + value_of(t, "anon") +
	      value_of(t, "swapcache") + value_of(t, "zero") +
	      value_of(t, "kernel") + value_of(t, "unknown") +
	      value_of(t, "kernel_pagetables");
	assert_int_equal(sum, value_of(t, "present"));
	assert_int_not_equal(value_of(t, "kernel_pagetables"), 0);
	assert_int_equal(value_of(t, "zero"), 1);
	return 0;
}

static void test_audit_clean(void **state)
{
	struct setup s = {.mem = 64 * MIB, .body = audit_body};

	(void)state;
	assert_int_equal(run(s), 0);
	s.mem = 8192 * MIB;
	s.cpus = s.nodes = 2;
	s.swap = true;
	assert_int_equal(run(s), 0);
}

static int leak_body(void)
{
	struct page *single = alloc_page(GFP_KERNEL), *block;
	void *large;
	char what[64];

	assert_non_null(single);
	snprintf(what, sizeof(what), "leak: frame 0x%lx: references without",
		 page_to_pfn(single));
	expect_leak(1, what);
	block = alloc_pages(GFP_KERNEL, 3);
	large = kmalloc(100000, GFP_KERNEL);
	assert_true(block && large);
	/* Large blocks of kmalloc are counted, as slabs are. */
	expect_leak(2, what);
	assert_int_equal(value_of(text, "kmalloc_large"), 32);
	kfree(large);
	__free_pages(block, 3);
	expect_leak(1, what);
	set_page_group(single, 77);
	expect_leak(2, "charge to a group");
	set_page_group(single, 0);
	__free_page(single);
	expect_clean();
	/* Reserved frames are nobody's, whatever a counter says. */
	mod_node_page_state(NODE_DATA(0), NR_PAGETABLE, 1);
	expect_leak(1, "nr_page_table_pages");
	mod_node_page_state(NODE_DATA(0), NR_PAGETABLE, -1);
	expect_clean();
	return 0;
}

static int file_leak_body(void)
{
	struct file *f = shmem_file_setup("leak", 0, 0);
	char byte = 1;
	struct iov_iter iter = {.count = 1, .buf = &byte, .write = true};
	struct page *page;
	u64 pos = 0;

	assert_false(IS_ERR(f));
	assert_int_equal(vfs_iter_write(f, &iter, &pos), 1);
	page = find_get_page(f->f_mapping, 0);
	assert_non_null(page);
	expect_leak(1, "references: expected 1, found 2");
	put_page(page);
	expect_clean();
	fput(f);
	expect_clean();
	return 0;
}

static void test_audit_leak(void **state)
{
	(void)state;
	assert_int_equal(
		run((struct setup){.mem = 64 * MIB, .body = file_leak_body}),
		0);
	assert_int_equal(
		run((struct setup){.mem = 64 * MIB, .body = leak_body}), 0);
}

/* Touch NR pages from VA on, as the running task. */
static void touch(uva_t va, u64 nr)
{
	for (u64 i = 0; i < nr; i++)
		assert_int_equal(sim_touch(va + i * PAGE_SIZE, SIM_WRITE), 0);
}

/* The frame that VA of MM is mapped to. */
static struct page *frame_of(struct mm_struct *mm, uva_t va)
{
	struct pt_slot slot;

	assert_true(pt_lookup(&mm->pt, va, &slot));
	assert_true(pte_present(pt_get(&slot)));
	return pfn_to_page(pte_pfn(pt_get(&slot)));
}

/* What one wrong number does to a machine with a busy address space. */
static void corrupt(struct mm_struct *mm, uva_t va)
{
	struct page *page = frame_of(mm, va), *other;

	other = frame_of(mm, va + PAGE_SIZE);
	get_page(page);
	expect_leak(1, "references: expected 1, found 2");
	put_page(page);
	page_mapcount_add(page, 1);
	get_page(page);
	expect_leak(1, "mappings by page tables and by map counts");
	/* Equal in sum, but it is another frame that lost a mapping. */
	page_mapcount_add(other, 1);
	get_page(other);
	page_mapcount_add(page, -1);
	put_page(page);
	expect_leak(1, "mappings by page tables and by map counts");
	page_mapcount_add(other, -1);
	put_page(other);
	mm_counter_add(mm, MM_SWAPENTS, 1);
	expect_leak(1, "swapped pages by the spaces' counters");
	mm_counter_add(mm, MM_SWAPENTS, -1);
	expect_clean();
}

static int space_body(void)
{
	struct mm_task *self = port_current();
	struct mm_struct *mm, *child;
	struct mm_layout layout;
	u64 nr = 24 * MIB >> PAGE_SHIFT;
	s64 va;
	int n;

	mm_default_layout(&layout);
	assert_int_equal(mm_create(&layout, &mm), 0);
	va = do_mmap(mm, 0, nr << PAGE_SHIFT, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS);
	assert_true(va > 0);
	mm_task_attach(self, mm);
	touch((uva_t)va, 64);
	expect_clean();
	corrupt(mm, (uva_t)va);
	assert_int_equal(mm_fork(mm, &child), 0);
	expect_clean();
	/* More than the machine has: much of it swaps. */
	touch((uva_t)va, nr);
	touch((uva_t)va, nr);
	expect_clean();
	assert_true(value_of(audit(&n), "entries_swap") > 0);
	assert_int_equal(value_of(text, "spaces"), 2);
	mm_put(child);
	expect_clean();
	mm_put(mm);
	mm_task_exit(self);
	expect_clean();
	assert_int_equal(value_of(text, "anon"), 0);
	return 0;
}

/* The same with daemons on other CPUs, whatever they are at. */
static void test_audit_spaces(void **state)
{
	struct setup s = {.mem = 20 * MIB, .swap = true, .body = space_body};
	u64 seed = test_env("SEED", 1), iters = test_iters(3);

	(void)state;
	assert_int_equal(run(s), 0);
	s.cpus = 2;
	s.explore = true;
	for (u64 i = 0; i < iters; i++) {
		s.seed = seed + i;
		fprintf(stderr, "test_audit_spaces: SEED=%lu ITERS=1\n",
			s.seed);
		assert_int_equal(run(s), 0);
	}
}

/* ---- the map of frames -------------------------------------------------- */

static char fine[1 << 16], coarse[1 << 12];

static void note_letter(char letter, void *arg)
{
	char **at = arg;

	*(*at)++ = letter;
}

static size_t take_map(u32 order, char *to)
{
	char *at = to;

	mm_frame_map(order, note_letter, &at);
	*at = 0;
	return (size_t)(at - to);
}

static u64 letters_in(const char *map, size_t n, char letter)
{
	u64 sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += map[i] == letter;
	return sum;
}

/* A frame each against the audit, which counts by other means; then cells of
 * eight: each the most frequent of its own. */
static void check_frames(void)
{
	size_t nr, cells;
	int findings;
	const char *t = audit(&findings);

	nr = take_map(0, fine);
	assert_int_equal(nr, phys_hot()->max_pfn);
	assert_int_equal(letters_in(fine, nr, '.'), value_of(t, "free"));
	assert_int_equal(letters_in(fine, nr, ','), 0);
	assert_int_equal(letters_in(fine, nr, 'a'), value_of(t, "anon"));
	assert_int_equal(letters_in(fine, nr, 'w'), value_of(t, "swapcache"));
	assert_int_equal(letters_in(fine, nr, 'b'), value_of(t, "slab"));
	assert_int_equal(letters_in(fine, nr, 't'),
			 value_of(t, "pagetables") +
				 value_of(t, "kernel_pagetables"));
	cells = take_map(3, coarse);
	assert_int_equal(cells, (nr + 7) / 8);
	for (size_t i = 0; i < cells; i++) {
		size_t n = min(nr - 8 * i, (size_t)8);
		u64 most = letters_in(fine + 8 * i, n, coarse[i]);

		for (const char *ch = ".,ahmwfsbtkrx"; *ch; ch++)
			assert_true(letters_in(fine + 8 * i, n, *ch) <= most ||
				    coarse[i] == '-');
		assert_true(most > 0);
	}
}

/* Frames behind the first of a block have no mark of their own. */
static void check_a_block(void)
{
	struct page *page = alloc_pages(GFP_KERNEL, 3);
	u64 pfn;

	assert_non_null(page);
	pfn = page_to_pfn(page);
	take_map(0, fine);
	assert_memory_equal(fine + pfn, "kkkkkkkk", 8);
	__free_pages(page, 3);
}

static int frames_body(void)
{
	struct mm_task *self = port_current();
	u64 nr = 24 * MIB >> PAGE_SHIFT;
	struct mm_layout layout;
	struct mm_struct *mm;
	const char *t;
	s64 va;

	check_frames();
	mm_default_layout(&layout);
	assert_int_equal(mm_create(&layout, &mm), 0);
	va = do_mmap(mm, 0, nr << PAGE_SHIFT, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS);
	assert_true(va > 0);
	mm_task_attach(self, mm);
	touch((uva_t)va, nr); /* more than there is */
	check_frames();
	assert_true(letters_in(fine, strlen(fine), 'a') > 1000);
	check_a_block();
	t = show("/proc/mmkit/frames");
	assert_memory_equal(t, "frames in a cell: 4\n", 20);
	assert_int_equal(strlen(t), 20 + (phys_hot()->max_pfn + 3) / 4 + 1);
	assert_true(mm_frame_map_order(1) >= 12);
	mm_put(mm);
	mm_task_exit(self);
	check_frames();
	assert_int_equal(letters_in(fine, strlen(fine), 'a'), 0);
	return 0;
}

static void test_frames(void **state)
{
	(void)state;
	assert_int_equal(run((struct setup){.mem = 20 * MIB,
					    .swap = true,
					    .body = frames_body}),
			 0);
}

/* ---- digest ------------------------------------------------------------- */

static u64 digests[4];

static int digest_body(void)
{
	struct page *page;

	digests[0] = mm_stats_digest();
	assert_int_equal(mm_stats_digest(), digests[0]);
	page = alloc_page(GFP_KERNEL);
	assert_non_null(page);
	digests[1] = mm_stats_digest();
	__free_page(page);
	digests[2] = mm_stats_digest();
	assert_int_not_equal(digests[0], digests[1]);
	assert_int_not_equal(digests[1], digests[2]);
	assert_int_not_equal(digests[0], digests[2]);
	return 0;
}

static void test_digest(void **state)
{
	struct setup s = {.mem = 64 * MIB, .cpus = 2, .body = digest_body};
	u64 first[3];

	(void)state;
	assert_int_equal(run(s), 0);
	memcpy(first, digests, sizeof(first));
	assert_int_equal(run(s), 0);
	assert_memory_equal(first, digests, sizeof(first));
}

/* ---- tunables ----------------------------------------------------------- */

static const char *get(const char *name)
{
	struct seq_buf s;

	seq_buf_init(&s, text, sizeof(text));
	assert_int_equal(mm_sysctl_get(name, &s), 0);
	return seq_buf_str(&s);
}

static void sysctl_errors(void)
{
	static const struct {
		const char *name, *value;
		int err;
	} bad[] = {
		{"vm.swappines", "1", -ENOENT},
		{"", "1", -ENOENT},
		{"vm.swappiness", "", -EINVAL},
		{"vm.swappiness", "x", -EINVAL},
		{"vm.swappiness", "1x", -EINVAL},
		{"vm.swappiness", "0x10", -EINVAL},
		{"vm.swappiness", "1 2", -EINVAL},
		{"vm.swappiness", "201", -ERANGE},
		{"vm.swappiness", "-1", -ERANGE},
		{"vm.swappiness", "18446744073709551677", -ERANGE},
		{"vm.watermark_scale_factor", "0", -ERANGE},
		{"vm.watermark_scale_factor", "3001", -ERANGE},
		{"vm.percpu_pagelist_high_fraction", "7", -ERANGE},
		{"vm.overcommit_memory", "3", -ERANGE},
		{"vm.dirty_bytes", "8191", -ERANGE},
		{"vm.dirty_ratio", "101", -ERANGE},
		{"vm.lowmem_reserve_ratio", "1 2 3 4 5", -EINVAL},
		{"vm.lowmem_reserve_ratio", "1 2 x", -EINVAL},
		{"vm.reclaim_policy", "", -EINVAL},
		{"vm.reclaim_policy", "lru", -EINVAL},
		{"vm.reclaim_policy", "clock sieve", -EINVAL},
		{"vm.reclaim_policy", "a-name-that-is-longer-than-any-policy's",
		 -EINVAL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(mm_sysctl_set(bad[i].name, bad[i].value),
				 bad[i].err);
	assert_string_equal(get("vm.swappiness"), "60");
	assert_string_equal(get("vm/lowmem_reserve_ratio"), "256\t256\t32\t0");
}

static void set_again(const char *name, void *arg)
{
	static char before[256];
	u64 lo, hi;

	++*(int *)arg;
	snprintf(before, sizeof(before), "%s\n", get(name));
	assert_int_equal(mm_sysctl_set(name, before), 0);
	before[strlen(before) - 1] = '\0';
	assert_string_equal(get(name), before);
	assert_int_equal(mm_sysctl_range(name, &lo, &hi), 0);
	assert_true(lo < hi || !strcmp(name, "vm.reclaim_policy"));
}

static int sysctl_body(void)
{
	struct zone *zone = &NODE_DATA(0)->node_zones[ZONE_DMA32];
	u64 min_before = min_wmark_pages(zone), gap, reserve;
	int n = 0;

	sysctl_errors();
	mm_sysctl_list(set_again, &n);
	assert_int_equal(n, 44);
	assert_int_equal(mm_sysctl_set("vm.reclaim_policy", " arc\n"), 0);
	assert_string_equal(get("vm.reclaim_policy"), "arc");
	assert_int_equal(mm_sysctl_set("vm.reclaim_policy", "classic"), 0);
	assert_int_equal(min_wmark_pages(zone), min_before);
	/* Bytes and ratio replace each other. */
	assert_int_equal(mm_sysctl_set("vm.dirty_bytes", "8192"), 0);
	assert_string_equal(get("vm.dirty_ratio"), "0");
	assert_int_equal(mm_sysctl_set("vm.dirty_ratio", "30"), 0);
	assert_string_equal(get("vm.dirty_bytes"), "0");
	assert_int_equal(mm_sysctl_set("vm.dirty_background_bytes", "1"), 0);
	assert_string_equal(get("vm.dirty_background_ratio"), "0");
	assert_int_equal(mm_sysctl_set("vm.swappiness", " 100\n"), 0);
	assert_int_equal(reclaim_sys.swappiness, 100);
	assert_int_equal(mm_sysctl_set("vm/min_free_kbytes", "8192"), 0);
	assert_true(min_wmark_pages(zone) > 1024);
	assert_true(min_wmark_pages(zone) > min_before);
	gap = low_wmark_pages(zone) - min_wmark_pages(zone);
	assert_int_equal(mm_sysctl_set("vm.watermark_scale_factor", "1000"), 0);
	assert_int_equal(low_wmark_pages(zone) - min_wmark_pages(zone),
			 zone_managed_pages(zone) / 10);
	assert_true(zone_managed_pages(zone) / 10 > gap);
	zone = &NODE_DATA(0)->node_zones[ZONE_DMA];
	reserve = zone->lowmem_reserve[ZONE_DMA32];
	assert_int_equal(mm_sysctl_set("vm.lowmem_reserve_ratio", "128"), 0);
	assert_in_range(zone->lowmem_reserve[ZONE_DMA32], 2 * reserve,
			2 * reserve + 1);
	assert_string_equal(get("vm.lowmem_reserve_ratio"), "128\t256\t32\t0");
	assert_int_equal(mm_sysctl_set("vm.min_free_kbytes", "0"), 0);
	assert_true(phys_sys.tunables.min_free_kbytes > 0);
	return 0;
}

static void test_sysctl(void **state)
{
	(void)state;
	assert_int_equal(
		run((struct setup){.mem = 1024 * MIB, .body = sysctl_body}), 0);
}

/* One ratio for each zone of the layout, in the order of the zones. */
static int ratios_high_body(void)
{
	struct zone *zones = NODE_DATA(0)->node_zones;
	const char *name = "vm.lowmem_reserve_ratio";
	u64 high = zone_managed_pages(&zones[ZONE_HIGHMEM]);

	assert_true(high > 0);
	assert_string_equal(get(name), "256\t32\t0\t0");
	assert_int_equal(zones[ZONE_NORMAL].lowmem_reserve[ZONE_HIGHMEM],
			 high / 32);
	assert_int_equal(mm_sysctl_set(name, "256 16 8 7"), 0);
	assert_string_equal(get(name), "256\t16\t8\t7");
	assert_int_equal(zones[ZONE_NORMAL].lowmem_reserve[ZONE_HIGHMEM],
			 high / 16);
	assert_int_equal(phys_sys.tunables.lowmem_reserve_ratio[ZONE_HIGHMEM],
			 8);
	assert_int_equal(phys_sys.tunables.lowmem_reserve_ratio[ZONE_MOVABLE],
			 7);
	/* The zone that is not there keeps what it had. */
	assert_int_equal(phys_sys.tunables.lowmem_reserve_ratio[ZONE_DMA32],
			 256);
	assert_int_equal(mm_sysctl_set(name, "1 2 3 4 5"), -EINVAL);
	return 0;
}

static int ratios_arm_body(void)
{
	const char *name = "vm.lowmem_reserve_ratio";

	assert_string_equal(get(name), "256\t32\t0");
	assert_int_equal(mm_sysctl_set(name, "1 2 3 4"), -EINVAL);
	assert_string_equal(get(name), "256\t32\t0");
	return 0;
}

static void test_ratios_by_layout(void **state)
{
	(void)state;
	assert_int_equal(run((struct setup){.mem = 1024 * MIB,
					    .body = ratios_high_body,
					    .arch = "x86-32-pae"}),
			 0);
	assert_int_equal(run((struct setup){.mem = 64 * MIB,
					    .body = ratios_arm_body,
					    .arch = "arm64"}),
			 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vmstat),
		cmocka_unit_test(test_meminfo),
		cmocka_unit_test(test_zones),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_audit_clean),
		cmocka_unit_test(test_audit_leak),
		cmocka_unit_test(test_audit_spaces),
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_digest),
		cmocka_unit_test(test_sysctl),
		cmocka_unit_test(test_ratios_by_layout),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
