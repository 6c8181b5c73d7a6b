/* SPDX-License-Identifier: MIT */
/*
 * Every firmware map of tests/data/e820: the machine boots, what its zones say
 * adds up, what is no RAM is never handed out, and the files of /proc agree
 * with the structures. Maps named hostile-* are refused, with their line.
 * Then the fragmentation files, in situations made by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>

#include <mmkit/report.h>

#include "base/seqbuf.h"
#include "phys_machine.h"

#define MAPS "tests/data/e820/"

static struct e820_table map;
static char text[1 << 18];

static int teardown(void **state)
{
	(void)state;
	pm_shutdown();
	return 0;
}

static const char *show(const char *path)
{
	static struct seq_buf s;

	seq_buf_init(&s, text, sizeof(text));
	assert_int_equal(mm_show(path, &s), 0);
	assert_false(seq_buf_has_overflowed(&s));
	return seq_buf_str(&s);
}

/* ---- the folder --------------------------------------------------------- */

static int parse_map(const char *name, struct e820_error *err)
{
	static char file[1 << 16];
	char path[512];
	size_t len;
	FILE *f;

	snprintf(path, sizeof(path), MAPS "%s", name);
	f = fopen(path, "r");
	assert_non_null(f);
	len = fread(file, 1, sizeof(file), f);
	fclose(f);
	assert_true(len < sizeof(file));
	return e820_parse(&map, file, len, err);
}

static int is_map(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

/* Call FN for each map of the folder whose name begins like PREFIX says. */
static int for_each_map(bool hostile, void (*fn)(const char *name))
{
	struct dirent **list;
	int n = scandir(MAPS, &list, is_map, alphasort), used = 0;

	assert_true(n > 0);
	for (int i = 0; i < n; i++) {
		if (!strncmp(list[i]->d_name, "hostile-", 8) == hostile) {
			fn(list[i]->d_name);
			used++;
		}
		free(list[i]);
	}
	free(list);
	return used;
}

/* Machines of several nodes: the others are node 0 alone. */
static const struct {
	const char *name;
	int nr;
	struct phys_node_range nodes[4];
} numa_maps[] = {
	{"server-2node.txt", 2, {{0, 4 * GiB, 0}, {4 * GiB, 64 * GiB, 1}}},
	{"server-4node-holes.txt",
	 4,
	 {{0, 64 * GiB, 0},
	  {64 * GiB, 128 * GiB, 1},
	  {128 * GiB, 192 * GiB, 2},
	  {192 * GiB, 256 * GiB, 3}}},
	{"server-pmem.txt", 2, {{0, 34 * GiB, 0}, {34 * GiB, 256 * GiB, 1}}},
};

static void boot_map(const char *name)
{
	static const u8 cpu_node[MM_NR_CPUS] = {0, 1};
	struct phys_boot_params p = {
		.map = &map, .kernel_start = MiB, .kernel_size = MiB};
	struct e820_error err;

	pm_hardware(2, NULL, 1);
	for (size_t i = 0; i < ARRAY_SIZE(numa_maps); i++) {
		if (strcmp(numa_maps[i].name, name))
			continue;
		pm_shutdown();
		pm_hardware(2, cpu_node, 1);
		p.nodes = numa_maps[i].nodes;
		p.nr_nodes = numa_maps[i].nr;
	}
	assert_int_equal(parse_map(name, &err), 0);
	assert_int_equal(phys_boot_memory(&p), 0);
	assert_int_equal(nr_online_nodes(), p.nr_nodes ? p.nr_nodes : 1);
}

/* ---- what the test holds ------------------------------------------------ */

#define HELD_MAX (1 << 18)

static struct {
	struct page *page;
	unsigned int order;
} held[HELD_MAX];
static u32 nr_held;

/* RAM by the firmware's map, whatever memblock made of it. */
static bool ram_by_map(u64 pfn)
{
	bool ram = false;

	for (u32 i = 0; i < map.nr_entries; i++) {
		const struct e820_entry *e = &map.entries[i];
		u64 start = pfn << PAGE_SHIFT, end = start + PAGE_SIZE - 1;
		u64 last = e->addr + e->size - 1;

		if (e->type == E820_TYPE_RAM && start >= e->addr && end <= last)
			ram = true;
		else if (e->type != E820_TYPE_RAM && start <= last &&
			 end >= e->addr)
			return false;
	}
	return ram;
}

static bool hold(struct page *page, unsigned int order)
{
	u64 pfn;

	if (!page || nr_held == HELD_MAX)
		return false;
	pfn = page_to_pfn(page);
	/* Both ends: neighbours of a block are cut off by other frames. */
	for (u64 i = pfn; i < pfn + (1UL << order); i++) {
		assert_true(i != 0 && (i < 0xa0 || i >= 0x100));
		/* the kernel of boot_map() */
		assert_true(i < 0x100 || i >= 0x200);
	}
	assert_true(ram_by_map(pfn) && ram_by_map(pfn + (1UL << order) - 1));
	held[nr_held].page = page;
	held[nr_held++].order = order;
	return true;
}

static void free_held(void)
{
	while (nr_held > 0) {
		nr_held--;
		__free_pages(held[nr_held].page, held[nr_held].order);
	}
}

/* Up to LIMIT blocks of ORDER, down to the last one. */
static u32 take(gfp_t gfp, unsigned int order, u32 limit)
{
	struct alloc_context ac;
	u32 n = 0;

	prepare_alloc_context(&ac, gfp, -1);
	while (n < limit && hold(get_page_from_freelist(
					 gfp, order, ALLOC_NO_WATERMARKS, &ac),
				 order))
		n++;
	return n;
}

/* ---- the books of a zone ------------------------------------------------ */

struct zone_count {
	u64 blocks[MAX_ORDER]; /* as buddyinfo should show them */
	u64 free, pcp, held;   /* frames */
	u64 descriptors;       /* valid, of this zone */
};

/* By the descriptors alone: no free list and no counter is read. */
static void count_frames(const struct zone *zone, struct zone_count *c)
{
	for (u64 pfn = zone->zone_start_pfn; pfn < zone_end_pfn(zone); pfn++) {
		const struct page *page;

		if (!pfn_valid(pfn)) {
			/* Nothing else of this block has a descriptor. */
			if (IS_ALIGNED(pfn, MAX_ORDER_NR_PAGES))
				pfn += MAX_ORDER_NR_PAGES - 1;
			continue;
		}
		page = pfn_to_page(pfn);
		if (page->zone_id != zone->zone_id)
			continue;
		c->descriptors++;
		if (!PageBuddy(page))
			continue;
		assert_true(pfn != 0 && (pfn < 0xa0 || pfn >= 0x100));
		assert_true(ram_by_map(pfn));
		c->blocks[buddy_order(page)]++;
		c->free += 1UL << buddy_order(page);
	}
}

static void count_zone(const struct zone *zone, struct zone_count *c)
{
	*c = (struct zone_count){0};
	count_frames(zone, c);
	for (u64 i = 0; i < phys_sys.nr_sections; i++) {
		const struct mem_section *sec = &phys_sys.sections[i];

		if (sec->state != SECTION_DEFERRED ||
		    sec->zone_id != zone->zone_id)
			continue;
		c->free += PAGES_PER_SECTION;
		c->blocks[MAX_ORDER - 1] +=
			PAGES_PER_SECTION / MAX_ORDER_NR_PAGES;
	}
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++)
		c->pcp += (u64)pcp_count(&zone->pageset[cpu]);
	for (u32 i = 0; i < nr_held; i++)
		if (page_zone(held[i].page) == zone)
			c->held += 1UL << held[i].order;
}

/* The number after WORD on its line between AT and END. */
static u64 field(const char *at, const char *end, const char *word)
{
	const char *p = strstr(at, word);

	if (!p || p >= end)
		fail_msg("no '%s' in the file", word);
	return strtoull(p + strlen(word), NULL, 10);
}

/* Where the part of ZONE begins in a file; *END: where it ends. */
static const char *zone_text(const struct zone *zone, const char *file,
			     const char **end)
{
	char head[64];
	const char *at;

	snprintf(head, sizeof(head), "Node %d, zone %8s", zone_to_nid(zone),
		 zone->name);
	at = strstr(file, head);
	if (!at)
		fail_msg("no '%s' in the file", head);
	at += strlen(head);
	*end = strstr(at, "Node ");
	if (!*end)
		*end = at + strlen(at);
	return at;
}

static void check_buddyinfo(const struct zone *zone, const struct zone_count *c)
{
	const char *end, *at = zone_text(zone, show("/proc/buddyinfo"), &end);
	u64 frames = 0;
	char *next;

	for (unsigned int order = 0; order < MAX_ORDER; order++) {
		u64 n = strtoull(at, &next, 10);

		assert_true(next != at && next < end);
		assert_int_equal(n, c->blocks[order]);
		frames += n << order;
		at = next;
	}
	assert_int_equal(frames, zone_page_state(zone, NR_FREE_PAGES));
	assert_int_equal(strspn(at, " "), (size_t)(end - at) - 1);
}

static void check_zoneinfo(const struct zone *zone, const struct zone_count *c)
{
	const char *end, *at = zone_text(zone, show("/proc/zoneinfo"), &end);
	u64 pcp = 0, spanned = field(at, end, "\n        spanned ");
	u64 present = field(at, end, "\n        present ");
	u64 managed = field(at, end, "\n        managed ");
	u64 min = field(at, end, "\n        min ");
	u64 low = field(at, end, "\n        low ");

	assert_int_equal(field(at, end, "\n  pages free "), c->free);
	assert_true(spanned >= present && present >= managed && managed > 0);
	assert_int_equal(spanned, zone->spanned_pages);
	assert_int_equal(present, zone->present_pages);
	assert_int_equal(managed, zone_managed_pages(zone));
	assert_int_equal(min, min_wmark_pages(zone));
	assert_true(min <= low);
	assert_true(low <= field(at, end, "\n        high "));
	assert_int_equal(field(at, end, "\n      nr_free_pages"), c->free);
	assert_int_equal(field(at, end, "start_pfn:"), zone->zone_start_pfn);
	for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
		at = strstr(at, "count:");
		assert_true(at && at < end);
		at += strlen("count:");
		pcp += strtoull(at, NULL, 10);
	}
	assert_int_equal(pcp, c->pcp);
}

static void check_zones(void)
{
	u64 managed = 0;
	struct zone *zone;
	struct zone_count c;

	for_each_populated_zone (zone) {
		count_zone(zone, &c);
		assert_true(zone->spanned_pages >= zone->present_pages);
		assert_true(zone->present_pages >= zone_managed_pages(zone));
		assert_true(c.descriptors + zone->nr_deferred > 0);
		assert_int_equal(c.free, zone_page_state(zone, NR_FREE_PAGES));
		assert_int_equal(c.free + c.pcp + c.held,
				 zone_managed_pages(zone));
		check_buddyinfo(zone, &c);
		check_zoneinfo(zone, &c);
		managed += zone_managed_pages(zone);
	}
	assert_int_equal(managed, totalram_pages());
	phys_check();
}

/* The low megabyte's holes have no free frame, whoever looks. */
static void check_low_holes(void)
{
	assert_false(memblock_is_memory(0));
	for (u64 pfn = 0xa0; pfn < 0x100; pfn++) {
		assert_false(memblock_is_memory(PFN_PHYS(pfn)));
		assert_true(!pfn_valid(pfn) || PageReserved(pfn_to_page(pfn)));
	}
}

static void one_map(const char *name)
{
	boot_map(name);
	check_low_holes();
	check_zones();
	/* Some of each kind, then all of zone DMA, then large blocks. */
	for (unsigned int order = 0; order < 6; order++) {
		take(GFP_KERNEL, order, 5);
		take(GFP_USER | __GFP_MOVABLE, order, 5);
		take(GFP_KERNEL | __GFP_RECLAIMABLE, order, 3);
	}
	assert_true(nr_held > 50);
	check_zones();
	take(GFP_KERNEL | __GFP_DMA, 0, HELD_MAX);
	check_zones();
	take(GFP_USER | __GFP_MOVABLE, MAX_ORDER - 1, 256);
	take(GFP_USER | __GFP_MOVABLE, 0, 20000);
	check_zones();
	free_held();
	check_zones();
	drain_all_pages();
	check_zones();
	assert_int_equal(nr_free_pages(), totalram_pages());
	pm_shutdown();
}

static void test_maps(void **state)
{
	(void)state;
	assert_true(for_each_map(false, one_map) >= 12);
	pm_hardware(1, NULL, 1);
}

/* The first line of a hostile map says which line is at fault. */
static void one_refusal(const char *name)
{
	struct e820_error err = {0};
	char path[512], first[256], *at;
	FILE *f;

	snprintf(path, sizeof(path), MAPS "%s", name);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_non_null(fgets(first, sizeof(first), f));
	fclose(f);
	at = strstr(first, ", line ");
	assert_non_null(at);
	e820_init(&map);
	assert_int_equal(parse_map(name, &err), -EINVAL);
	assert_int_equal(err.line, strtoul(at + 7, NULL, 10));
	assert_true(err.message[0] != '\0');
	assert_int_equal(map.nr_entries, 0);
}

static void test_refused_maps(void **state)
{
	(void)state;
	pm_hardware(1, NULL, 1);
	assert_true(for_each_map(true, one_refusal) >= 5);
}

/* ---- fragmentation by hand ---------------------------------------------- */

#define EXTFRAG "/sys/kernel/debug/extfrag/"

/* Zone DMA's line of a file is EXPECTED (eleven numbers). */
static void expect_dma(const char *name, const char *expected)
{
	char path[128], line[512];
	const char *at;

	snprintf(path, sizeof(path), EXTFRAG "%s", name);
	at = show(path);
	snprintf(line, sizeof(line), "Node 0, zone      DMA %s \n", expected);
	if (strncmp(at, line, strlen(line)))
		fail_msg("%s: wanted\n%sgot\n%s", name, line, at);
}

/* Give back frame PFN, which the test must hold. */
static void give_frame(u64 pfn)
{
	for (u32 i = 0; i < nr_held; i++) {
		if (page_to_pfn(held[i].page) != pfn)
			continue;
		__free_page(held[i].page);
		held[i] = held[--nr_held];
		return;
	}
	fail_msg("frame %lu is not held", (unsigned long)pfn);
}

/* A machine of 16 MiB, all of it zone DMA and in the test's hands. */
static void all_taken(void)
{
	struct phys_boot_params p = {
		.map = &map, .kernel_start = MiB, .kernel_size = MiB};

	pm_hardware(1, NULL, 1);
	pm_map(&map, 16 * MiB);
	assert_int_equal(phys_boot_memory(&p), 0);
	assert_int_equal(take(GFP_KERNEL, 0, HELD_MAX), totalram_pages());
	assert_int_equal(nr_free_pages(), 0);
}

static void test_extfrag_nothing_free(void **state)
{
	(void)state;
	all_taken();
	/* No memory is lack of memory, not fragmentation. */
	expect_dma("extfrag_index", " 0.000  0.000  0.000  0.000  0.000  0.000 "
				    " 0.000  0.000  0.000  0.000  0.000");
	expect_dma("unusable_index", "1.000 1.000 1.000 1.000 1.000 1.000 "
				     "1.000 1.000 1.000 1.000 1.000");
	free_held();
}

static void test_extfrag_one_frame(void **state)
{
	(void)state;
	all_taken();
	give_frame(0x400);
	drain_all_pages();
	expect_dma("extfrag_index", "-1.000  0.000  0.000  0.000  0.000  0.000 "
				    " 0.000  0.000  0.000  0.000  0.000");
	expect_dma("unusable_index", "0.000 1.000 1.000 1.000 1.000 1.000 "
				     "1.000 1.000 1.000 1.000 1.000");
	free_held();
}

/* 1000 single frames: F = B = 1000, so the index is 1 - 1/1000 - 1/R. */
static void test_extfrag_every_second(void **state)
{
	(void)state;
	all_taken();
	for (u64 i = 0; i < 1000; i++)
		give_frame(0x400 + 2 * i);
	drain_all_pages();
	expect_dma("extfrag_index", "-1.000  0.499  0.749  0.874  0.937  0.968 "
				    " 0.984  0.992  0.996  0.998  0.999");
	expect_dma("unusable_index", "0.000 1.000 1.000 1.000 1.000 1.000 "
				     "1.000 1.000 1.000 1.000 1.000");
	free_held();
}

/* A block of order 3 and eight single frames: F = 16, B = 9. */
static void test_extfrag_mixed(void **state)
{
	(void)state;
	all_taken();
	for (u64 i = 0; i < 8; i++) {
		give_frame(0x400 + i);
		give_frame(0x600 + 2 * i);
	}
	drain_all_pages();
	/* From order 4: 1 - (1 + 16 / R) / 9. */
	expect_dma("extfrag_index", "-1.000 -1.000 -1.000 -1.000  0.778  0.834 "
				    " 0.862  0.875  0.882  0.886  0.888");
	expect_dma("unusable_index", "0.000 0.500 0.500 0.500 1.000 1.000 "
				     "1.000 1.000 1.000 1.000 1.000");
	free_held();
}

/* A machine that was just booted: deferred sections count as free blocks. */
static void test_extfrag_fresh(void **state)
{
	(void)state;
	pm_boot(8 * GiB, 1);
	assert_non_null(strstr(show(EXTFRAG "extfrag_index"),
			       "zone   Normal -1.000 -1.000 -1.000 -1.000"));
	assert_non_null(strstr(show(EXTFRAG "unusable_index"),
			       "zone   Normal 0.000 0.000 0.000 0.000"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_maps, teardown),
		cmocka_unit_test_teardown(test_refused_maps, teardown),
		cmocka_unit_test_teardown(test_extfrag_nothing_free, teardown),
		cmocka_unit_test_teardown(test_extfrag_one_frame, teardown),
		cmocka_unit_test_teardown(test_extfrag_every_second, teardown),
		cmocka_unit_test_teardown(test_extfrag_mixed, teardown),
		cmocka_unit_test_teardown(test_extfrag_fresh, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
