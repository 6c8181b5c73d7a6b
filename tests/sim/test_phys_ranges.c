/* SPDX-License-Identifier: MIT */
/*
 * Ordinary requests, isolation, exact ranges and CMA areas at random, against
 * a map of who has each frame. The map says beforehand whether an isolation
 * or a range must succeed; after every step the allocator's books are checked
 * and compared with it, and now and then /proc/pagetypeinfo as it is printed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <mmkit/cma.h>

#include "base/fail.h"
#include "base/seqbuf.h"
#include "phys/buddy_priv.h"
#include "phys/page_isolation.h"
#include "phys_machine.h"
#include "report/report.h"

#define FRAMES	 8192 /* 32 MiB */
#define BLOCK	 512
#define MAX_LIVE 700
#define MAX_HELD 24

/* Who has a frame. */
enum owner { FREE, ABSENT, USED, MOVABLE, RANGE, AREA };

struct live {
	u64 pfn;
	unsigned int order;
	u64 stamp; /* of a movable one: its first word, wherever it is */
};

struct held {
	u64 pfn, nr;
	int area; /* -1: no CMA area's */
};

static struct {
	u8 owner[FRAMES];
	u8 given[FRAMES]; /* granule of an area that is given out */
	u8 area[FRAMES / BLOCK];
	u8 isolated[FRAMES / BLOCK];
	struct live live[MAX_LIVE];
	struct held range[MAX_HELD], isolation[MAX_HELD];
	u64 nr_live, nr_range, nr_isolation, moved;
	u64 done[8];
	bool mover, failing;
} m;

static int teardown(void **state)
{
	(void)state;
	pm_shutdown();
	return 0;
}

/* ---- the map
 * ------------------------------------------------------------------------ */

static void own(u64 pfn, u64 nr, enum owner from, enum owner to)
{
	for (u64 i = pfn; i < pfn + nr; i++) {
		assert_int_equal(m.owner[i], from);
		m.owner[i] = (u8)to;
	}
}

static bool all_free(u64 pfn, u64 nr)
{
	for (u64 i = pfn; i < pfn + nr; i++)
		if (m.owner[i] != FREE)
			return false;
	return true;
}

static u64 *stamp(u64 pfn)
{
	return page_view(pfn_to_page(pfn));
}

static void add_live(u64 pfn, unsigned int order, enum owner as)
{
	own(pfn, 1UL << order, FREE, as);
	m.live[m.nr_live++] = (struct live){pfn, order, ~pfn};
}

/* ---- ordinary requests
 * ---------------------------------------------------------------- */

static void step_alloc(struct prng *rnd)
{
	static const gfp_t kinds[] = {
		GFP_KERNEL, GFP_KERNEL | __GFP_RECLAIMABLE,
		GFP_HIGHUSER_MOVABLE, GFP_HIGHUSER_MOVABLE, GFP_ATOMIC};
	gfp_t gfp = kinds[prng_below(rnd, ARRAY_SIZE(kinds))];
	unsigned int order = prng_one_in(rnd, 3) ? prng_below(rnd, 11) : 0;
	struct page *page;
	u64 pfn;

	if (m.nr_live == MAX_LIVE)
		return;
	page = alloc_pages(gfp | __GFP_NOWARN | __GFP_COMP, order);
	if (!page)
		return;
	pfn = page_to_pfn(page);
	for (u64 i = pfn; i < pfn + (1UL << order); i++) {
		assert_int_equal(m.isolated[i / BLOCK], 0);
		if (!(gfp & __GFP_MOVABLE))
			assert_int_equal(m.area[i / BLOCK], 0);
	}
	if (order == 0 && (gfp & __GFP_MOVABLE)) {
		set_page_mapping_word(page, PAGE_MAPPING_MOVABLE);
		*stamp(pfn) = ~pfn;
		add_live(pfn, 0, MOVABLE);
	} else {
		add_live(pfn, order, USED);
	}
}

static void step_free(struct prng *rnd)
{
	struct live l;
	u64 k;

	if (!m.nr_live)
		return;
	k = prng_below(rnd, m.nr_live);
	l = m.live[k];
	m.live[k] = m.live[--m.nr_live];
	if (m.owner[l.pfn] == MOVABLE)
		assert_int_equal(*stamp(l.pfn), l.stamp);
	own(l.pfn, 1UL << l.order, m.owner[l.pfn], FREE);
	__free_pages(pfn_to_page(l.pfn), l.order);
}

/* The mover: movable single frames go where the allocator says. */
static int move(u64 start, u64 end)
{
	for (u64 k = 0; k < m.nr_live; k++) {
		u64 old = m.live[k].pfn, pfn;
		struct page *page;

		if (old < start || old >= end)
			continue;
		if (m.owner[old] != MOVABLE)
			return -EBUSY;
		page = alloc_page(GFP_HIGHUSER_MOVABLE | __GFP_NOWARN);
		if (!page)
			return -ENOMEM;
		pfn = page_to_pfn(page);
		assert_int_equal(m.isolated[pfn / BLOCK], 0);
		*stamp(pfn) = *stamp(old);
		set_page_mapping_word(page, PAGE_MAPPING_MOVABLE);
		own(pfn, 1, FREE, MOVABLE);
		own(old, 1, MOVABLE, FREE);
		m.live[k].pfn = pfn;
		m.moved++;
		__free_page(pfn_to_page(old));
	}
	return 0;
}

static const struct migrate_ops mover = {move};

/* ---- isolation
 * ------------------------------------------------------------------------ */

/* Must [S, E) be isolable for MT? */
static bool can_isolate(u64 s, u64 e, int mt)
{
	for (u64 i = s; i < e; i++) {
		bool area = m.area[i / BLOCK];

		if (m.isolated[i / BLOCK] || m.owner[i] == ABSENT)
			return false;
		if (area && mt != MIGRATE_CMA)
			return false;
		if (!area && m.owner[i] != FREE && m.owner[i] != MOVABLE)
			return false;
	}
	return true;
}

static void mark_isolated(u64 s, u64 e, u8 as)
{
	for (u64 b = s / BLOCK; b <= (e - 1) / BLOCK; b++)
		m.isolated[b] = as;
}

static int random_type(struct prng *rnd)
{
	return prng_one_in(rnd, 3) ? MIGRATE_CMA : MIGRATE_MOVABLE;
}

static void step_isolate(struct prng *rnd)
{
	u64 s = prng_below(rnd, FRAMES - 1), nr = 1 + prng_below(rnd, 1200);
	u64 e = min(s + nr, (u64)FRAMES);
	int mt = random_type(rnd);
	bool can;

	if (m.nr_isolation == 3)
		return;
	if (prng_one_in(rnd, 2)) {
		s = ALIGN_DOWN(s, BLOCK);
		e = s + BLOCK;
	}
	can = can_isolate(s, e, mt);
	assert_int_equal(start_isolate_page_range(s, e, mt, 0),
			 can ? 0 : -EBUSY);
	if (!can)
		return;
	assert_int_equal(test_pages_isolated(s, e, 0),
			 all_free(s, e - s) ? 0 : -EBUSY);
	mark_isolated(s, e, 1);
	m.isolation[m.nr_isolation++] = (struct held){s, e, -1};
	m.done[0]++;
}

static void step_undo(struct prng *rnd)
{
	struct held h;
	u64 k;

	if (!m.nr_isolation)
		return;
	k = prng_below(rnd, m.nr_isolation);
	h = m.isolation[k];
	m.isolation[k] = m.isolation[--m.nr_isolation];
	undo_isolate_page_range(h.pfn, h.nr, MIGRATE_PREVIOUS);
	mark_isolated(h.pfn, h.nr, 0);
}

/* ---- ranges and areas
 * ---------------------------------------------------------------- */

static void step_range(struct prng *rnd)
{
	u64 s = 1 + prng_below(rnd, FRAMES - 2);
	u64 nr = 1 + prng_below(rnd, prng_one_in(rnd, 2) ? 1300 : 40);
	int mt = random_type(rnd), err;
	bool sure, can;

	nr = min(nr, FRAMES - s);
	if (m.nr_range == MAX_HELD)
		return;
	can = can_isolate(s, s + nr, mt) && (s < 4096) == (s + nr - 1 < 4096);
	sure = can && all_free(s, nr);
	err = alloc_contig_range(s, s + nr, mt, GFP_KERNEL);
	if (!can || (!sure && !m.mover))
		assert_true(err != 0);
	if (sure && !m.failing)
		assert_int_equal(err, 0);
	if (err)
		return;
	own(s, nr, FREE, RANGE);
	m.range[m.nr_range++] = (struct held){s, nr, -1};
	m.done[1]++;
}

static void step_pages(struct prng *rnd)
{
	u64 nr = 1 + prng_below(rnd, 900);
	struct page *page;

	if (m.nr_range == MAX_HELD)
		return;
	page = alloc_contig_pages(nr, GFP_KERNEL, 0);
	if (!page)
		return;
	for (u64 i = 0; i < nr; i++)
		assert_int_equal(m.area[(page_to_pfn(page) + i) / BLOCK], 0);
	own(page_to_pfn(page), nr, FREE, RANGE);
	m.range[m.nr_range++] = (struct held){page_to_pfn(page), nr, -1};
	m.done[2]++;
}

static struct cma *area(int a)
{
	return &phys_sys.cma.areas[a];
}

/* Is there surely a place for NR frames, aligned to 2^ALIGN, in area A? */
static bool area_has(int a, u64 nr, unsigned int align)
{
	const struct cma *cma = area(a);
	u64 step = 1UL << cma->order_per_bit;
	u64 end = cma->base_pfn + cma->count;

	for (u64 s = cma->base_pfn; s + ALIGN(nr, step) <= end; s += step) {
		bool ok = IS_ALIGNED(s, 1UL << align);

		for (u64 i = s; ok && i < s + ALIGN(nr, step); i++)
			ok = !m.given[i];
		for (u64 i = s; ok && i < s + nr; i++)
			ok = m.owner[i] == FREE && !m.isolated[i / BLOCK];
		if (ok)
			return true;
	}
	return false;
}

static void mark_given(int a, u64 pfn, u64 nr, u8 as)
{
	u64 step = 1UL << area(a)->order_per_bit;

	for (u64 i = pfn; i < pfn + ALIGN(nr, step); i++) {
		assert_int_equal(m.given[i], !as);
		m.given[i] = as;
	}
}

static void step_area(struct prng *rnd)
{
	int a = (int)prng_below(rnd, 2);
	u64 nr = 1 + prng_below(rnd, prng_one_in(rnd, 3) ? 1000 : 30);
	unsigned int align = (unsigned int)prng_below(rnd, 6);
	bool sure = area_has(a, nr, align);
	struct page *page;

	if (m.nr_range == MAX_HELD)
		return;
	page = cma_alloc(area(a), nr, align, true);
	if (sure && !m.failing && !m.mover)
		assert_non_null(page);
	if (!sure && !m.mover)
		assert_null(page);
	if (!page)
		return;
	assert_true(IS_ALIGNED(page_to_pfn(page), 1UL << align));
	assert_true(cma_pages_valid(area(a), page, nr));
	mark_given(a, page_to_pfn(page), nr, 1);
	own(page_to_pfn(page), nr, FREE, AREA);
	m.range[m.nr_range++] = (struct held){page_to_pfn(page), nr, a};
	m.done[3]++;
}

static void step_give_back(struct prng *rnd)
{
	struct held h;
	u64 k;

	if (!m.nr_range)
		return;
	k = prng_below(rnd, m.nr_range);
	h = m.range[k];
	m.range[k] = m.range[--m.nr_range];
	own(h.pfn, h.nr, h.area < 0 ? RANGE : AREA, FREE);
	if (h.area < 0) {
		free_contig_range(h.pfn, h.nr);
		return;
	}
	mark_given(h.area, h.pfn, h.nr, 0);
	assert_true(cma_release(area(h.area), pfn_to_page(h.pfn), h.nr));
}

/* ---- the books
 * ------------------------------------------------------------------------ */

static u64 pcp_frames(void)
{
	struct zone *zone;
	u64 sum = 0;

	for_each_populated_zone (zone) {
		for (int cpu = 0; cpu < port_nr_cpus(); cpu++) {
			sum += (u64)pcp_count(&zone->pageset[cpu]);
		}
	}
	return sum;
}

static void compare(void)
{
	u64 used = 0, kept = 0, blocks = 0, lendable = 0;
	struct zone *zone;

	phys_check();
	for (u64 i = 0; i < FRAMES; i++) {
		bool isolated = m.isolated[i / BLOCK];

		used += m.owner[i] > ABSENT;
		kept += m.owner[i] == FREE && isolated;
		lendable +=
			m.owner[i] == FREE && !isolated && m.area[i / BLOCK];
		blocks += isolated && i % BLOCK == 0;
	}
	assert_int_equal(nr_free_pages() + pcp_frames() + used + kept,
			 totalram_pages());
	for_each_populated_zone (zone)
		blocks -= zone->nr_isolate_pageblock;
	assert_int_equal(blocks, 0);
	assert_true(global_zone_page_state(NR_FREE_CMA_PAGES) <= lendable);
	assert_true(global_zone_page_state(NR_FREE_CMA_PAGES) + pcp_frames() >=
		    lendable);
}

/* ---- /proc/pagetypeinfo
 * ------------------------------------------------------------------ */

static u64 counted[MAX_NR_ZONES][MIGRATE_TYPES][MAX_ORDER];
static u64 blocks_of[MAX_NR_ZONES][MIGRATE_TYPES];

/* From descriptors and the map, not from lists and counters. */
static void count_all(void)
{
	u64 free_of[MIGRATE_TYPES] = {0}, in_lists[MIGRATE_TYPES] = {0};

	memset(counted, 0, sizeof(counted));
	memset(blocks_of, 0, sizeof(blocks_of));
	for (u64 i = 0; i < FRAMES; i++) {
		const struct page *page = pfn_to_page(i);
		int zt = i < 4096 ? ZONE_DMA : ZONE_DMA32, mt;

		mt = m.isolated[i / BLOCK] ? MIGRATE_ISOLATE
		     : m.area[i / BLOCK]   ? MIGRATE_CMA
					   : get_pfnblock_migratetype(i);
		blocks_of[zt][mt] += i % BLOCK == 0;
		free_of[mt] += m.owner[i] == FREE;
		if (!PageBuddy(page))
			continue;
		counted[zt][buddy_list_type(page)][buddy_order(page)]++;
		in_lists[buddy_list_type(page)] += 1UL << buddy_order(page);
	}
	assert_int_equal(in_lists[MIGRATE_ISOLATE], free_of[MIGRATE_ISOLATE]);
	assert_int_equal(in_lists[MIGRATE_CMA], free_of[MIGRATE_CMA]);
	assert_int_equal(in_lists[MIGRATE_HIGHATOMIC],
			 free_of[MIGRATE_HIGHATOMIC]);
}

/* N numbers of TEXT are those of WANT. */
static void same_numbers(const char *text, const u64 *want, int n)
{
	for (int i = 0; i < n; i++) {
		char *end;

		assert_int_equal(strtoull(text, &end, 10), want[i]);
		assert_true(end > text);
		text = end;
	}
}

static int zone_named(const char *name)
{
	return strstr(name, "DMA32") ? ZONE_DMA32 : ZONE_DMA;
}

static void check_line(const char *line, int *lines)
{
	const char *at = strstr(line, "type ");
	char name[16];

	if (at && !strncmp(line, "Node ", 5)) {
		assert_int_equal(sscanf(at, "type %15s", name), 1);
		for (int mt = 0; mt < MIGRATE_TYPES; mt++) {
			if (strcmp(name, migratetype_names[mt]))
				continue;
			at = strstr(at, name) + strlen(name);
			same_numbers(at, counted[zone_named(line)][mt],
				     MAX_ORDER);
			++*lines;
		}
	} else if (!strncmp(line, "Node 0, zone ", 13)) {
		at = strstr(line, "DMA") + 3;
		same_numbers(at + (strncmp(at, "32", 2) == 0 ? 2 : 0),
			     blocks_of[zone_named(line)], MIGRATE_TYPES);
		++*lines;
	}
}

static void check_text(void)
{
	static char text[8192];
	struct seq_buf out;
	int lines = 0;

	drain_all_pages();
	count_all();
	seq_buf_init(&out, text, sizeof(text));
	show_pagetypeinfo(&out);
	for (char *line = strtok((char *)(uintptr_t)seq_buf_str(&out), "\n");
	     line; line = strtok(NULL, "\n"))
		check_line(line, &lines);
	/* Each type of both zones, and both zones' pageblocks. */
	assert_int_equal(lines, 2 * MIGRATE_TYPES + 2);
}

/* ---- all together
 * ------------------------------------------------------------------------ */

static void setup(void)
{
	static struct e820_table map;
	struct cma_request r[2] = {
		{.size = 8 * MiB, .any_node = true},
		{.size = 4 * MiB,
		 .limit = 16 * MiB,
		 .order_per_bit = 2,
		 .any_node = true},
	};
	struct phys_boot_params p = {.map = &map, .cma = r, .nr_cma = 2};

	pm_hardware(2, NULL, 1);
	pm_map(&map, 32 * MiB);
	assert_int_equal(phys_boot_memory(&p), 0);
	memset(&m, 0, sizeof(m));
	for (u64 i = 0; i < FRAMES; i++)
		m.owner[i] = PageReserved(pfn_to_page(i)) ? ABSENT : FREE;
	for (u64 b = 0; b < FRAMES / BLOCK; b++)
		m.area[b] = cma_overlaps(b * BLOCK, (b + 1) * BLOCK);
	compare();
}

static void step(struct prng *rnd)
{
	static void (*const steps[])(struct prng * rnd) = {
		step_alloc, step_alloc,	   step_alloc,	   step_alloc,
		step_free,  step_free,	   step_free,	   step_isolate,
		step_undo,  step_range,	   step_range,	   step_pages,
		step_area,  step_area,	   step_give_back, step_give_back,
		step_undo,  step_give_back};

	steps[prng_below(rnd, ARRAY_SIZE(steps))](rnd);
	if (prng_one_in(rnd, 20))
		drain_all_pages();
	if (prng_one_in(rnd, 40)) {
		m.mover = !m.mover;
		page_alloc_set_migrate_ops(m.mover ? &mover : NULL);
	}
	if (prng_one_in(rnd, 60)) {
		m.failing = !m.failing;
		if (m.failing)
			fail_arm_prob(FAIL_MASK(FAIL_PAGE_ALLOC), 3,
				      prng_below(rnd, 1000));
		else
			fail_disarm();
	}
}

static void give_everything_back(struct prng *rnd)
{
	fail_disarm();
	while (m.nr_live)
		step_free(rnd);
	while (m.nr_range)
		step_give_back(rnd);
	while (m.nr_isolation)
		step_undo(rnd);
	drain_all_pages();
	compare();
	assert_int_equal(nr_free_pages(), totalram_pages());
	assert_int_equal(global_zone_page_state(NR_FREE_CMA_PAGES),
			 totalcma_pages());
}

static void test_random(void **state)
{
	u64 seed = pm_env("SEED", 1), iters = pm_env("ITERS", 3000);
	struct prng rnd;

	(void)state;
	printf("SEED=%llu ITERS=%llu\n", (unsigned long long)seed,
	       (unsigned long long)iters);
	prng_seed(&rnd, seed);
	setup();
	for (u64 i = 0; i < iters; i++) {
		step(&rnd);
		compare();
		if (i % 64 == 0)
			check_text();
	}
	give_everything_back(&rnd);
	/* Each kind of thing did happen. */
	for (int i = 0; i < 4 && iters >= 3000; i++)
		assert_true(m.done[i] > 10);
	assert_true(iters < 3000 || m.moved > 0);
}

#define T(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {T(test_random)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
