/* SPDX-License-Identifier: MIT */
/*
 * What Linux 6.1 said of machines in QEMU (tests/data/linux, written by
 * tools/linux-compare) against what mmkit makes of the same descriptions: the
 * boot log's map and ranges, every zone's extent, the frames that are managed
 * and why the others are not, watermarks, reserves and per-CPU sizes from the
 * same figures, the order of nodes, and the layout of the files.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>

#include <mmkit/report.h>

#include "arch/paging.h"
#include "base/seqbuf.h"
#include "phys_machine.h"
#include "space/space.h"

#define RECORDS	 "tests/data/linux/"
#define MAX_CPUS 8

/* The frames at 16 MiB are the image's in every recording. */
#define IMAGE_PFN 0x1000UL

static char record[1 << 17]; /* the file */
static char *lines[1 << 12]; /* its lines, cut */
static int nr_lines;
static const char *name; /* of the recording */

static struct e820_table map;
static struct phys_node_range nodes[16];
static int nr_nodes, cpus;
static u8 cpu_node[MM_NR_CPUS], distances[MM_MAX_NODES * MM_MAX_NODES];
static int nr_distances;

static int teardown(void **state)
{
	(void)state;
	pm_shutdown();
	return 0;
}

/* ---- the recordings ----------------------------------------------------- */

static void read_record(const char *file)
{
	char path[512], *at = record;
	FILE *f;
	size_t len;

	snprintf(path, sizeof(path), RECORDS "%s", file);
	f = fopen(path, "r");
	assert_non_null(f);
	len = fread(record, 1, sizeof(record) - 1, f);
	fclose(f);
	assert_true(len > 0 && len < sizeof(record) - 1);
	record[len] = '\0';
	name = file;
	for (nr_lines = 0; at && *at; nr_lines++) {
		assert_true(nr_lines < (int)ARRAY_SIZE(lines) - 1);
		lines[nr_lines] = strsep(&at, "\n");
	}
	lines[nr_lines] = NULL;
}

/* The lines of section WHAT: from *FIRST up to the number returned. */
static int section(const char *what, int *first)
{
	char head[128];
	int i = 0, end;

	snprintf(head, sizeof(head), "==== %s ====", what);
	while (i < nr_lines && strcmp(lines[i], head))
		i++;
	if (i == nr_lines)
		fprintf(stderr, "%s: no section %s\n", name, what);
	assert_true(i < nr_lines);
	for (end = ++i; end < nr_lines && strncmp(lines[end], "==== ", 5);)
		end++;
	assert_true(end > i);
	*first = i;
	return end;
}

static u64 recorded_number(const char *what)
{
	int first;

	section(what, &first);
	return strtoull(lines[first], NULL, 10);
}

static void read_distances(void)
{
	char what[64], *at;

	nr_distances = 0;
	for (int nid = 0; nid < MM_MAX_NODES; nid++) {
		int first, n = 0;
		u8 row[MM_MAX_NODES];

		snprintf(what, sizeof(what),
			 "==== /sys/devices/system/node/node%d/distance ====",
			 nid);
		first = 0;
		while (first < nr_lines && strcmp(lines[first], what))
			first++;
		if (first == nr_lines)
			return;
		at = lines[first + 1];
		while (*at && n < MM_MAX_NODES)
			row[n++] = (u8)strtoul(at, &at, 10);
		nr_distances = n;
		memcpy(distances + nid * n, row, (size_t)n);
	}
}

/* The machine of the recording: map, nodes, CPUs. */
static void describe(void)
{
	static char text[1 << 14];
	struct e820_error err;
	int first, end = section("boot log", &first), cpu, node, n;
	unsigned long long s, e;

	text[0] = '\0';
	nr_nodes = cpus = 0;
	memset(cpu_node, 0, sizeof(cpu_node));
	for (int i = first; i < end; i++) {
		const char *l = lines[i];

		if (!strncmp(l, "BIOS-e820:", 10)) {
			strcat(text, l);
			strcat(text, "\n");
		} else if (sscanf(l,
				  "ACPI: SRAT: Node %d PXM %*d [mem "
				  "0x%llx-0x%llx]",
				  &node, &s, &e) == 3) {
			nodes[nr_nodes++] =
				(struct phys_node_range){s, e + 1, node};
		} else if (sscanf(l, "SRAT: PXM %*d -> APIC 0x%x -> Node %d",
				  (unsigned int *)&cpu, &node) == 2) {
			cpu_node[cpu] = (u8)node;
		} else if ((l = strstr(l, "nr_cpu_ids:")) &&
			   sscanf(l, "nr_cpu_ids:%d", &n) == 1) {
			cpus = n;
		}
	}
	assert_in_range(cpus, 1, MAX_CPUS);
	assert_int_equal(e820_parse(&map, text, strlen(text), &err), 0);
	read_distances();
}

static void boot(const char *file)
{
	struct phys_boot_params p = {.map = &map};

	read_record(file);
	describe();
	if (nr_nodes) {
		p.nodes = nodes;
		p.nr_nodes = nr_nodes;
		p.distances = distances;
		p.nr_distances = nr_distances;
	}
	pm_hardware(cpus, nr_nodes ? cpu_node : NULL, 1);
	assert_int_equal(phys_boot_memory(&p), 0);
}

/* A recording of a boot; others are of files of /proc, or of a report. */
static int is_machine(const struct dirent *d)
{
	char path[PATH_MAX], line[256];
	bool boots = false;
	FILE *f;

	if (d->d_name[0] == '.')
		return 0;
	snprintf(path, sizeof(path), RECORDS "%s", d->d_name);
	f = fopen(path, "r");
	assert_non_null(f);
	while (!boots && fgets(line, sizeof(line), f))
		boots = strcmp(line, "==== boot log ====\n") == 0;
	fclose(f);
	return boots;
}

/* Call FN on the booted machine of every recording. */
static void for_each_machine(void (*fn)(void))
{
	struct dirent **list;
	int n = scandir(RECORDS, &list, is_machine, alphasort);

	assert_true(n >= 8);
	for (int i = 0; i < n; i++) {
		boot(list[i]->d_name);
		fn();
		pm_shutdown();
		free(list[i]);
	}
	free(list);
	/* For teardown. */
	pm_hardware(1, NULL, 1);
}

/* ---- zones as Linux printed them ---------------------------------------- */

struct lzone {
	int node;
	char name[16];
	u64 boost, min, low, high, spanned, present, managed, start_pfn;
	u64 protection[MAX_NR_ZONES];
	u64 pcp_high, pcp_batch;
};

static struct lzone lz[16];
static int nr_lz;

static void parse_protection(struct lzone *z, const char *at)
{
	for (int i = 0; i < MAX_NR_ZONES; i++) {
		char *end;

		z->protection[i] = strtoull(at + 1, &end, 10);
		assert_true(end > at + 1 && (*end == ',' || *end == ')'));
		at = *end == ',' ? end + 1 : end;
	}
	assert_int_equal(*at, ')');
}

static void parse_zone_line(struct lzone *z, const char *l)
{
	static const struct {
		const char *label;
		size_t at;
	} field[] = {{"boost", offsetof(struct lzone, boost)},
		     {"min", offsetof(struct lzone, min)},
		     {"low", offsetof(struct lzone, low)},
		     {"high", offsetof(struct lzone, high)},
		     {"high:", offsetof(struct lzone, pcp_high)},
		     {"batch:", offsetof(struct lzone, pcp_batch)},
		     {"spanned", offsetof(struct lzone, spanned)},
		     {"present", offsetof(struct lzone, present)},
		     {"managed", offsetof(struct lzone, managed)},
		     {"start_pfn:", offsetof(struct lzone, start_pfn)}};
	char label[32];
	unsigned long long v;
	const char *p = strstr(l, "protection: ");

	if (p)
		parse_protection(z, p + strlen("protection: "));
	if (sscanf(l, " %31s %llu", label, &v) != 2)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(field); i++)
		if (!strcmp(label, field[i].label))
			*(u64 *)((char *)z + field[i].at) = v;
}

static void parse_zones(const char *what)
{
	int first, end = section(what, &first), node;
	char zname[16];

	nr_lz = 0;
	for (int i = first; i < end; i++) {
		if (sscanf(lines[i], "Node %d, zone %15s", &node, zname) == 2) {
			assert_true(nr_lz < (int)ARRAY_SIZE(lz));
			memset(&lz[nr_lz], 0, sizeof(lz[0]));
			lz[nr_lz].node = node;
			strcpy(lz[nr_lz++].name, zname);
		} else {
			assert_true(nr_lz > 0);
			parse_zone_line(&lz[nr_lz - 1], lines[i]);
		}
	}
	assert_true(nr_lz > 0);
}

/* mmkit's zone for Z, which must be there. */
static struct zone *zone_of(const struct lzone *z)
{
	struct zone *zone;

	for_each_populated_zone (zone) {
		if (zone_to_nid(zone) == z->node &&
		    !strcmp(zone->name, z->name))
			return zone;
	}
	fprintf(stderr, "%s: no node %d zone %s\n", name, z->node, z->name);
	fail();
	return NULL;
}

/* ---- extents ------------------------------------------------------------ */

static void check_extents(void)
{
	struct zone *zone;
	int nr = 0;

	parse_zones("/proc/zoneinfo");
	for (int i = 0; i < nr_lz; i++) {
		zone = zone_of(&lz[i]);
		assert_int_equal(zone->zone_start_pfn, lz[i].start_pfn);
		assert_int_equal(zone->spanned_pages, lz[i].spanned);
		assert_int_equal(zone->present_pages, lz[i].present);
	}
	for_each_populated_zone (zone)
		nr++;
	assert_int_equal(nr, nr_lz);
}

static void test_extents(void **state)
{
	(void)state;
	for_each_machine(check_extents);
}

/* ---- the log ------------------------------------------------------------ */

/* Lines that both log in the same words and order; the second in their turn. */
static const char *const log_kinds[2][12] = {
	{"BIOS-", "Zone ranges:", "  DMA ", "  DMA32 ", "  Normal ",
	 "Movable zone", "Early memory", "  node ", "Initmem setup",
	 "On node 0, zone DMA: "},
	{"Fallback order"}};

static bool logged_by_both(const char *l, int turn)
{
	for (int i = 0; i < 12 && log_kinds[turn][i]; i++)
		if (!strncmp(l, log_kinds[turn][i], strlen(log_kinds[turn][i])))
			return true;
	return false;
}

/* The next such line of mmkit's log, without its time; NULL at the end. */
static char *next_logged(char **at, int turn)
{
	while (*at && **at) {
		char *l = strsep(at, "\n"), *text = strstr(l, "] ");

		text = *l == '[' && text ? text + 2 : l;
		if (logged_by_both(text, turn))
			return text;
	}
	return NULL;
}

static void check_log_turn(int turn)
{
	static char log[sizeof(pm_log)];
	int first, end = section("boot log", &first);
	char *at = strcpy(log, pm_log), *mine;

	for (int i = first; i < end; i++) {
		if (!logged_by_both(lines[i], turn))
			continue;
		mine = next_logged(&at, turn);
		if (!mine || strcmp(mine, lines[i]))
			fprintf(stderr, "%s: '%s'\n", name, mine);
		assert_non_null(mine);
		assert_string_equal(mine, lines[i]);
	}
	assert_null(next_logged(&at, turn));
}

static void check_log(void)
{
	check_log_turn(0);
	check_log_turn(1);
}

static void test_log(void **state)
{
	(void)state;
	for_each_machine(check_log);
}

/* ---- frames that are managed -------------------------------------------- */

/* Frames of ZONE's RAM that [S, E) takes. */
static u64 taken_from(const struct zone *zone, u64 s, u64 e)
{
	struct memblock_iter it;
	u64 sum = 0;

	s = max(s, zone->zone_start_pfn);
	e = min(e, zone_end_pfn(zone));
	for_each_mem_range (it, zone_to_nid(zone)) {
		u64 lo = max(s, PFN_UP(it.start));
		u64 hi = min(e, PFN_DOWN(it.end));

		sum += hi > lo ? hi - lo : 0;
	}
	return sum;
}

static u64 linux_reserved(const struct zone *zone)
{
	int first, end = section("reserved", &first);
	u64 sum = 0;

	for (int i = first; i < end; i++) {
		unsigned long long s, e;

		assert_int_equal(sscanf(lines[i], "[0x%llx-0x%llx]", &s, &e),
				 2);
		sum += taken_from(zone, PFN_DOWN(s), PFN_UP(e));
	}
	return sum;
}

/*
 * Frames that Linux gave to ZONE after the buddy had started: of the RAM disk
 * and of the image. LATE: only what came after its watermarks were set.
 */
static u64 given_back(const struct zone *zone, bool late)
{
	int first, end = section("boot log", &first);
	unsigned long long disk = 0, kb;
	u64 sum = 0;
	char what[64];

	for (int i = first; i < end; i++) {
		u64 pfn = IMAGE_PFN;

		sscanf(lines[i], "RAMDISK: [mem 0x%llx", &disk);
		if (sscanf(lines[i], "Freeing %63[^:]: %lluK", what, &kb) != 2)
			continue;
		if (!strncmp(what, "initrd", 6))
			pfn = PFN_DOWN(disk);
		if (late && !strncmp(what, "SMP", 3))
			continue;
		if (taken_from(zone, pfn, pfn + 1))
			sum += kb >> (PAGE_SHIFT - 10);
	}
	return sum;
}

static u64 mmkit_reserved(const struct zone *zone)
{
	const struct memblock_type *t = memblock_reserved_table();
	u64 sum = 0, from = 0;

	for (u64 i = 0; i < t->cnt; i++) {
		const struct memblock_region *r = &t->regions[i];
		u64 end = PFN_UP(r->base + r->size);

		/* Two small ranges may share a frame. */
		from = max(from, PFN_DOWN(r->base));
		sum += taken_from(zone, from, end);
		from = max(from, end);
	}
	return sum;
}

static void check_managed(void)
{
	u64 ours = 0, theirs = 0;

	parse_zones("/proc/zoneinfo");
	for (int i = 0; i < nr_lz; i++) {
		struct zone *zone = zone_of(&lz[i]);
		u64 linux_took = linux_reserved(zone) - given_back(zone, false);
		u64 took = mmkit_reserved(zone);

		assert_int_equal(lz[i].managed, lz[i].present - linux_took);
		assert_int_equal(zone_managed_pages(zone),
				 lz[i].managed + linux_took - took);
		ours += took;
		theirs += linux_took;
	}
	/* Without an image and with smaller descriptors, less is taken. */
	assert_true(ours < theirs);
}

static void test_managed(void **state)
{
	(void)state;
	for_each_machine(check_managed);
}

/* ---- marks, reserves, per-CPU sizes ------------------------------------- */

static u64 own_managed[16];

/* The zones have Linux's figures, less what came LATE. */
static void put_linux_figures(bool late)
{
	for (int i = 0; i < nr_lz; i++) {
		struct zone *zone = zone_of(&lz[i]);

		own_managed[i] = zone->managed_pages;
		zone->managed_pages = lz[i].managed;
		if (late)
			zone->managed_pages -= given_back(zone, true);
		memset(zone->_watermark, 0, sizeof(zone->_watermark));
	}
}

static void put_own_figures(void)
{
	for (int i = 0; i < nr_lz; i++)
		zone_of(&lz[i])->managed_pages = own_managed[i];
}

/* What Linux prints includes the boost that fallbacks left behind. */
static void compare_marks(const char *what)
{
	/* Linux's have Device at the end, and no HighMem. */
	static const int order[] = {ZONE_DMA, ZONE_DMA32, ZONE_NORMAL,
				    ZONE_MOVABLE, ZONE_MOVABLE};

	for (int i = 0; i < nr_lz; i++) {
		struct zone *zone = zone_of(&lz[i]);
		u64 boost = lz[i].boost;

		if (min_wmark_pages(zone) != lz[i].min - boost)
			fprintf(stderr, "%s: %s, node %d zone %s\n", name, what,
				lz[i].node, lz[i].name);
		assert_int_equal(min_wmark_pages(zone), lz[i].min - boost);
		assert_int_equal(low_wmark_pages(zone), lz[i].low - boost);
		assert_int_equal(high_wmark_pages(zone), lz[i].high - boost);
		for (size_t j = 0; j < ARRAY_SIZE(order); j++)
			assert_int_equal(zone->lowmem_reserve[order[j]],
					 lz[i].protection[j]);
		for (int cpu = 0; cpu < cpus; cpu++) {
			assert_int_equal(zone->pageset[cpu].high,
					 lz[i].pcp_high);
			assert_int_equal(zone->pageset[cpu].batch,
					 lz[i].pcp_batch);
		}
	}
}

/*
 * At Linux's start, when its image was still whole. With 512 MiB or more it
 * does the same again, with its first marks in place, as huge pages are set up
 * (switched off, here).
 */
static void check_first_marks(void)
{
	struct phys_tunables *t = &phys_sys.tunables;
	u64 managed = 0;

	const char *what = "/proc/zoneinfo";
	parse_zones(what);
	put_linux_figures(true);
	for (int i = 0; i < nr_lz; i++)
		managed += zone_of(&lz[i])->managed_pages;
	for (int i = 0; i < (managed < PFN_DOWN(512 * MiB) ? 1 : 2); i++) {
		t->min_free_kbytes = 0;
		init_per_zone_wmark_min();
	}
	assert_int_equal(t->min_free_kbytes,
			 recorded_number("/proc/sys/vm/min_free_kbytes"));
	compare_marks(what);
	put_own_figures();
}

static void check_marks_as(const char *what)
{
	parse_zones(what);
	put_linux_figures(false);
	setup_per_zone_wmarks();
	compare_marks(what);
	put_own_figures();
}

static void check_marks(void)
{
	struct phys_tunables *t = &phys_sys.tunables;

	check_first_marks();
	assert_int_equal(
		t->watermark_scale_factor,
		recorded_number("/proc/sys/vm/watermark_scale_factor"));
	assert_int_equal(
		t->watermark_boost_factor,
		recorded_number("/proc/sys/vm/watermark_boost_factor"));
	check_marks_as("zoneinfo again");
	t->watermark_scale_factor = 150;
	t->lowmem_reserve_ratio[ZONE_DMA] = 64;
	t->lowmem_reserve_ratio[ZONE_DMA32] = 100;
	t->lowmem_reserve_ratio[ZONE_NORMAL] = 16;
	t->min_free_kbytes = 9000;
	check_marks_as("zoneinfo scale 150 reserve 64 100 16 min 9000");
	t->percpu_pagelist_high_fraction = 8;
	check_marks_as("zoneinfo and high fraction 8");
}

static void test_marks(void **state)
{
	(void)state;
	for_each_machine(check_marks);
}

/* ---- the order of nodes ------------------------------------------------- */

static void check_order(void)
{
	int first, end = section("boot log", &first), node, checked = 0;

	for (int i = first; i < end; i++) {
		char *at = lines[i], text[64] = "";
		struct zoneref *z;
		int last = -1;

		if (sscanf(at, "Fallback order for Node %d", &node) != 1 ||
		    !NODE_DATA(node))
			continue;
		for (z = node_zonelist(node, 0)->_zonerefs; z->zone; z++) {
			if (zone_to_nid(z->zone) != last)
				snprintf(text + strlen(text),
					 sizeof(text) - strlen(text), "%d ",
					 zone_to_nid(z->zone));
			last = zone_to_nid(z->zone);
		}
		at = strstr(at, ": ") + 2;
		/* Linux lists a node without memory first in its own order. */
		if (!NODE_DATA(node)->node_present_pages)
			at += 2;
		assert_string_equal(text, at);
		checked++;
	}
	assert_true(checked >= 1);
}

static void test_order(void **state)
{
	(void)state;
	for_each_machine(check_order);
}

/* ---- the layout of the files -------------------------------------------- */

static char shown[1 << 16];

static char *show(const char *path)
{
	static struct seq_buf s;

	seq_buf_init(&s, shown, sizeof(shown));
	assert_int_equal(mm_show(path, &s), 0);
	assert_false(seq_buf_has_overflowed(&s));
	seq_buf_str(&s);
	return shown;
}

/* Can a number begin after C? Those in names are part of the name. */
static bool ends_label(char c)
{
	return strchr(" .(", c) != NULL;
}

/* LINE with every number as one '#'; ALIGNED: and the blanks before it. */
static void skeleton(char *to, const char *line, bool aligned)
{
	const char *start = line;

	while (*line) {
		const char *p = line;
		char before = line > start ? line[-1] : 'x';

		while (aligned && (*p == ' ' || *p == '-'))
			p++;
		if (*p >= '0' && *p <= '9' &&
		    (p > line || ends_label(before))) {
			*to++ = '#';
			while (*p >= '0' && *p <= '9')
				p++;
			line = p;
		} else {
			*to++ = *line++;
		}
	}
	*to = '\0';
}

static void same_line(const char *path, const char *mine, const char *theirs,
		      bool aligned)
{
	char a[512], b[512];

	assert_true(strlen(mine) < sizeof(a) && strlen(theirs) < sizeof(b));
	skeleton(a, mine, aligned);
	skeleton(b, theirs, aligned);
	if (strcmp(a, b))
		fprintf(stderr, "%s:\n  '%s'\n  '%s'\n", path, mine, theirs);
	assert_string_equal(a, b);
	if (aligned && !strstr(mine, "VmallocTotal"))
		assert_int_equal(strlen(mine), strlen(theirs));
}

/*
 * Lines that this Linux did not have: it was built without CMA, its processor
 * had no pages of 1 GiB, and later ones count what zone_reclaim achieved.
 */
static bool ours_alone(const char *line)
{
	static const char *const begin[] = {"cma_alloc_success ",
					    "cma_alloc_fail ",
					    "zone_reclaim_success ",
					    "CmaTotal:",
					    "CmaFree:",
					    "DirectMap1G:"};

	for (size_t i = 0; i < ARRAY_SIZE(begin); i++)
		if (!strncmp(line, begin[i], strlen(begin[i])))
			return true;
	return strstr(line, "type          CMA") != NULL;
}

/*
 * Every line of PATH has Linux's words and blanks, in Linux's order. ALIGNED:
 * numbers end in columns; what fits in them has Linux's length.
 */
static void check_layout(const char *path, bool aligned)
{
	int first, end = section(path, &first), i = first;
	char *at = show(path);

	while (at && *at) {
		char *mine = strsep(&at, "\n");

		if (ours_alone(mine))
			continue;
		if (i == end)
			fprintf(stderr, "%s: '%s'\n", path, mine);
		assert_true(i < end);
		same_line(path, mine, lines[i], aligned);
		i++;
	}
	assert_int_equal(i, end);
}

/* Linux was built without CMA: a column less in the second part. */
static void check_pagetypes(void)
{
	const char *path = "/proc/pagetypeinfo";
	int first, end = section(path, &first), i = first;
	char *at = show(path);
	bool blocks = false;

	while (at && *at) {
		char *mine = strsep(&at, "\n");
		size_t cut = 22 + 4 * 13;

		if (ours_alone(mine))
			continue;
		if (!strncmp(mine, "Number of blocks", 16)) {
			blocks = true;
			cut++;
		}
		if (blocks)
			memmove(mine + cut, mine + cut + 13,
				strlen(mine + cut + 13) + 1);
		assert_true(i < end);
		same_line(path, mine, lines[i], true);
		i++;
	}
	assert_int_equal(i, end);
}

/*
 * Linux's resources that are no memory are not the manager's, nor are the
 * parts of its image; everything else is the same to the byte.
 */
static void check_iomem(void)
{
	int first, end = section("/proc/iomem", &first);
	char *at = show("/proc/iomem");

	for (int i = first; i < end; i++) {
		char *what = strstr(lines[i], " : ");

		if (lines[i][0] == ' ' || (strcmp(what, " : System RAM") != 0 &&
					   strcmp(what, " : Reserved") != 0))
			continue;
		assert_non_null(at);
		assert_string_equal(strsep(&at, "\n"), lines[i]);
	}
	assert_true(at && !*at);
}

/* The first NR lines of PATH are Linux's to the byte. */
static void check_head(const char *path, int nr)
{
	int first, end = section(path, &first);
	char *at = show(path);

	assert_true(end - first >= nr);
	for (int i = 0; i < nr; i++)
		assert_string_equal(strsep(&at, "\n"), lines[first + i]);
}

static void test_layout(void **state)
{
	(void)state;
	boot("pc-128m.txt");
	read_record("proc-128m.txt");
	check_layout("/proc/zoneinfo", false);
	check_layout("/proc/buddyinfo", true);
	check_layout("/proc/vmstat", false);
	check_pagetypes();
	check_iomem();
	check_head("/proc/swaps", 1);
	check_head("/proc/slabinfo", 2);
	/* The size of a huge page is the paging format's. */
	for (unsigned int i = 0; paging_format_nth(i); i++) {
		space_sys.format = paging_format_nth(i);
		/* And with it a line's name: DirectMap4M. */
		if (space_sys.format == &paging_x86_32)
			continue;
		check_layout("/proc/meminfo", true);
	}
	space_sys.format = NULL;
	check_layout("/sys/kernel/debug/extfrag/unusable_index", true);
	check_layout("/sys/kernel/debug/extfrag/extfrag_index", true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_extents, teardown),
		cmocka_unit_test_teardown(test_log, teardown),
		cmocka_unit_test_teardown(test_managed, teardown),
		cmocka_unit_test_teardown(test_marks, teardown),
		cmocka_unit_test_teardown(test_order, teardown),
		cmocka_unit_test_teardown(test_layout, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
