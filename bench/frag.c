/* world: sim */
/* SPDX-License-Identifier: MIT */
/*
 * frag - what keeping mobility types apart is worth.
 *
 * A machine of 1 GiB (half of it below 4 GiB) lives through many turnovers of
 * its memory at 90 % use: processes that grow page by page, exit and are
 * replaced, kernel objects that come and go more slowly, some that stay for
 * good. Then processes exit, half of them, 70 %, 90 %, all, and after each the
 * requests for 2 MiB blocks that can be met are counted, in percent of what is
 * free. Nothing is moved: this is the page allocator alone.
 *
 * In a second life pages of processes can be moved, by the functions of their
 * owner, and the same is counted at 90 % use and with half of the processes
 * gone, before and after one run of compaction over all memory; and what a
 * block cost.
 *
 *	frag [SEED [TURNOVERS]]
 *
 * A stand-in for kswapd frees pages of processes where the real one would
 * reclaim them: when a request fails, and when a mixed pageblock raised the
 * watermarks. NOFRAGMENT works because there is a second zone to turn to. The
 *same seed gives the same figures.
 */
#include "bench.h"

#include "base/prng.h"
#include "base/system.h"
#include "base/trace_ring.h"
#include "compact/compact.h"
#include "phys/movable_ops.h"
#include "phys/phys.h"
#include "phys/vmstat.h"
#include "sim.h"

#define MiB	      (1UL << 20)
#define GiB	      (1UL << 30)
#define FRAMES	      (GiB >> PAGE_SHIFT)
#define PROCESSES     48
#define GROWING	      4 /* processes that take pages in turns */
#define PROCESS_PAGES 12000
#define KINDS	      3 /* 0: stays, 1: unmovable, 2: reclaimable */
#define USE_PERCENT   90

struct variant {
	const char *name;
	bool grouped, nofragment, boost;
};

static const struct variant variants[] = {
	{"one type for all", false, false, false},
	{"grouped by mobility", true, false, false},
	{"  + NOFRAGMENT", true, true, false},
	{"  + watermark boost", true, false, true},
	{"  + both", true, true, true},
};

struct held {
	u32 pfn;
	u32 order;
};

static struct {
	struct prng rnd;
	const struct variant *v;
	u64 managed, used, limit, turnover;
	u64 nr_pages[PROCESSES]; /* of each process */
	u32 pages[PROCESSES][PROCESS_PAGES];
	u64 nr_held[KINDS], held_frames[KINDS];
	struct held held[KINDS][FRAMES / 4];
	u8 fixed[FRAMES * 6 / 512]; /* pageblocks: bit 0 movable, 1 others */
	struct zone *boosted;	    /* kswapd was woken for it */
	u64 steps, reclaimed;
	bool movable; /* the second life */
} m;

static u64 below(u64 n)
{
	return prng_below(&m.rnd, n);
}

/* ---- pages that move
 * ------------------------------------------------------------------ */

static const struct movable_operations page_ops;

/* PFN is page I of process P: as a number in the page, for who moves it. */
static void own_page(u64 p, u64 i, u64 pfn)
{
	m.pages[p][i] = (u32)pfn;
	if (!m.movable)
		return;
	set_page_private(pfn_to_page(pfn), (u32)(p * PROCESS_PAGES + i));
	set_page_movable(pfn_to_page(pfn), &page_ops);
}

static void disown_page(u64 pfn)
{
	if (!m.movable)
		return;
	clear_page_movable(pfn_to_page(pfn));
	set_page_private(pfn_to_page(pfn), 0);
}

/* One thread: nobody takes a page away meanwhile. */
static bool isolate_page(struct page *page, int mode)
{
	(void)page;
	(void)mode;
	return true;
}

static int move_page(struct page *new, struct page *page, int mode)
{
	u32 at = page_private(page);

	(void)mode;
	get_page(new);
	disown_page(page_to_pfn(page));
	own_page(at / PROCESS_PAGES, at % PROCESS_PAGES, page_to_pfn(new));
	put_page(page);
	return 0;
}

static void page_stays(struct page *page)
{
	(void)page;
}

static const struct movable_operations page_ops = {isolate_page, move_page,
						   page_stays};

/* ---- processes
 * ------------------------------------------------------------------ */

static void give_back(u64 pfn, unsigned int order)
{
	__free_pages(pfn_to_page(pfn), order);
	m.used -= 1UL << order;
}

static void drop_page(u64 p, u64 i)
{
	u32 pfn = m.pages[p][i], last = m.pages[p][--m.nr_pages[p]];

	own_page(p, i, last);
	disown_page(pfn);
	give_back(pfn, 0);
}

static void exit_process(u64 p)
{
	while (m.nr_pages[p])
		drop_page(p, m.nr_pages[p] - 1);
}

/* Free NR pages of processes, wherever they lie. */
static void reclaim(u64 nr)
{
	for (u64 tries = 0; nr && tries < 100 * PROCESSES; tries++) {
		u64 p = below(PROCESSES);

		if (!m.nr_pages[p])
			continue;
		drop_page(p, below(m.nr_pages[p]));
		m.reclaimed++;
		nr--;
	}
}

/* What kswapd does when a zone was boosted: room, and the boost goes. */
static void stand_in(void)
{
	struct zone *zone = m.boosted;

	m.boosted = NULL;
	if (!zone)
		return;
	for (int i = 0; i < 64; i++) {
		if (zone_page_state(zone, NR_FREE_PAGES) >
		    high_wmark_pages(zone))
			break;
		reclaim(64);
		drain_all_pages();
	}
	zone->watermark_boost = 0;
}

static void on_wake(struct zone *zone, gfp_t gfp, unsigned int order,
		    enum zone_type highest)
{
	(void)gfp;
	(void)order;
	(void)highest;
	m.boosted = zone;
}

static struct page *no_slowpath(gfp_t gfp, unsigned int order,
				struct alloc_context *ac)
{
	(void)gfp;
	(void)order;
	(void)ac;
	return NULL;
}

/* ---- requests
 * ------------------------------------------------------------------- */

static struct page *try(gfp_t gfp, unsigned int order, u32 flags)
{
	struct alloc_context ac;

	prepare_alloc_context(&ac, gfp, -1);
	return get_page_from_freelist(gfp, order, flags, &ac);
}

static u64 take(gfp_t gfp, unsigned int order)
{
	u32 flags = ALLOC_WMARK_LOW | ALLOC_KSWAPD |
		    (m.v->nofragment ? ALLOC_NOFRAGMENT : 0);
	struct page *page;

	for (int i = 0; !(page = try(gfp, order, flags)); i++) {
		if (i == 1000)
			bench_die("frag: no memory for a small request");
		reclaim(64);
		drain_all_pages();
	}
	m.used += 1UL << order;
	stand_in();
	return page_to_pfn(page);
}

/* A process takes a page; it or others make room first if memory is used. */
static void step_process(void)
{
	u64 p = m.steps / 64 % GROWING + below(PROCESSES / GROWING) * GROWING;

	p = below(4) ? p : below(PROCESSES);
	if (m.used >= m.limit) {
		if (below(600) == 0)
			exit_process(below(PROCESSES));
		else
			reclaim(1);
		return;
	}
	if (m.nr_pages[p] == PROCESS_PAGES) {
		exit_process(p);
		return;
	}
	own_page(p, m.nr_pages[p]++, take(GFP_HIGHUSER_MOVABLE, 0));
	m.turnover++;
}

/* Kernel objects of KIND: more or fewer, as TARGET frames ask for. */
static void step_kernel(int kind, gfp_t gfp, u64 target)
{
	u64 *nr = &m.nr_held[kind];

	if (*nr && (m.held_frames[kind] >= target || below(3) == 0)) {
		u64 i = below(*nr);
		struct held h = m.held[kind][i];

		m.held[kind][i] = m.held[kind][--*nr];
		m.held_frames[kind] -= 1UL << h.order;
		give_back(h.pfn, h.order);
	}
	if (m.held_frames[kind] < target) {
		unsigned int order = below(8) ? 0 : (unsigned int)below(4);

		m.held[kind][(*nr)++] =
			(struct held){(u32)take(gfp, order), order};
		m.held_frames[kind] += 1UL << order;
	}
}

/* Goes up and down between LO and HI percent of memory, once a turnover. */
static u64 wave(u64 lo, u64 hi)
{
	u64 at = m.turnover * 200 / m.managed % 200;
	u64 part = at < 100 ? at : 200 - at;

	return m.managed * (lo * 100 + (hi - lo) * part) / 10000;
}

static void step(void)
{
	u64 r = below(1000);

	m.steps++;
	if (r < 3 && m.held_frames[0] < m.managed / 50)
		step_kernel(0, GFP_KERNEL, m.managed / 50);
	else if (r < 60)
		step_kernel(1, GFP_KERNEL, wave(3, 9));
	else if (r < 100)
		step_kernel(2, GFP_KERNEL | __GFP_RECLAIMABLE, wave(2, 6));
	else
		step_process();
}

/* ---- figures
 * -------------------------------------------------------------------- */

static void mark(u64 pfn, unsigned int order, u8 bit)
{
	for (u64 i = pfn; i < pfn + (1UL << order); i++)
		m.fixed[i >> pageblock_order] |= bit;
}

/* Pageblocks with both kinds of frames, and with any that cannot move. */
static void count_blocks(u64 *mixed, u64 *fixed)
{
	*mixed = *fixed = 0;
	memset(m.fixed, 0, sizeof(m.fixed));
	for (int p = 0; p < PROCESSES; p++) {
		for (u64 i = 0; i < m.nr_pages[p]; i++)
			mark(m.pages[p][i], 0, 1);
	}
	for (int k = 0; k < KINDS; k++) {
		for (u64 i = 0; i < m.nr_held[k]; i++)
			mark(m.held[k][i].pfn, m.held[k][i].order, 2);
	}
	for (u64 b = 0; b < sizeof(m.fixed); b++) {
		*mixed += m.fixed[b] == 3;
		*fixed += m.fixed[b] >= 2;
	}
}

/*
 * Both indices of /sys/kernel/debug/extfrag for order 9, over all zones. The
 * second is what it is when no such block is free.
 */
static void indices(double *unusable, double *extfrag)
{
	double frames = 0, blocks = 0, usable = 0;
	struct zone *zone;

	for_each_populated_zone (zone) {
		for (unsigned int o = 0; o < MAX_ORDER; o++) {
			u64 nr = zone_nr_free_blocks(zone, o, -1);

			blocks += (double)nr;
			frames += (double)(nr << o);
			usable += o >= 9 ? (double)(nr << o) : 0;
		}
	}
	*unusable = (frames - usable) / frames;
	*extfrag = 1 - (1 + frames / 512) / blocks;
}

/* Blocks of 2 MiB that can be had now. */
static u64 huge_blocks(void)
{
	static struct page *got[FRAMES / 512];
	u64 n = 0;

	drain_all_pages();
	while ((got[n] = try(GFP_HIGHUSER_MOVABLE, 9, ALLOC_NO_WATERMARKS)))
		n++;
	for (u64 i = 0; i < n; i++)
		__free_pages(got[i], 9);
	drain_all_pages();
	return n;
}

/* N of them in percent of free memory. */
static double percent_of_free(u64 n)
{
	return 100.0 * (double)(n * 512) / (double)nr_free_pages();
}

static double huge_percent(void)
{
	return percent_of_free(huge_blocks());
}

static void print_row(void)
{
	static const u64 gone[] = {50, 70, 90, 100};
	u64 mixed, fixed, events = base_sys.trace[0].head, left = 0;
	double unusable, extfrag;

	drain_all_pages();
	indices(&unusable, &extfrag);
	count_blocks(&mixed, &fixed);
	trace_enable_mask(0);
	printf("%-20s", m.v->name);
	for (size_t i = 0; i < ARRAY_SIZE(gone); i++) {
		for (; left < PROCESSES * gone[i] / 100; left++)
			exit_process(left);
		printf(" %5.1f%%", huge_percent());
	}
	printf(" %9.1f%% %7llu %7llu %8llu %8.3f %8.3f %9llu\n",
	       100.0 - 100.0 * (double)(fixed << 9) / (double)FRAMES,
	       (unsigned long long)mixed, (unsigned long long)fixed,
	       (unsigned long long)events, unusable, extfrag,
	       (unsigned long long)m.reclaimed);
	fflush(stdout);
}

/* Compaction of all memory: the blocks before and after, and for each that was
 * made the pages that were moved and the frames that were looked at. */
static void print_compacted(const char *when)
{
	u64 before = huge_blocks(), after, made;
	u64 moved = sum_vm_event(PGMIGRATE_SUCCESS);
	u64 pages = sum_vm_event(COMPACTMIGRATE_SCANNED);
	u64 frames = sum_vm_event(COMPACTFREE_SCANNED);

	compact_nodes();
	after = huge_blocks();
	made = after > before ? after - before : 0;
	printf("%-20s %4s %6llu %6llu %5.1f%% %6llu %5.1f%% %9llu", m.v->name,
	       when, (unsigned long long)(nr_free_pages() / 512),
	       (unsigned long long)before, percent_of_free(before),
	       (unsigned long long)after, percent_of_free(after),
	       (unsigned long long)(sum_vm_event(PGMIGRATE_SUCCESS) - moved));
	if (made)
		printf(" %7.0f %7.0f %7.0f",
		       (double)(sum_vm_event(PGMIGRATE_SUCCESS) - moved) /
			       (double)made,
		       (double)(sum_vm_event(COMPACTMIGRATE_SCANNED) - pages) /
			       (double)made,
		       (double)(sum_vm_event(COMPACTFREE_SCANNED) - frames) /
			       (double)made);
	printf("\n");
	fflush(stdout);
}

static void compact_rows(void)
{
	trace_enable_mask(0);
	print_compacted("90%");
	for (u64 p = 0; p < PROCESSES / 2; p++)
		exit_process(p);
	print_compacted("half");
}

/* ---- a machine's life
 * ------------------------------------------------------------------ */

static u64 seed = 1, turnovers = 20;

static int machine_main(void *arg)
{
	static const struct pressure_ops ops = {.alloc_slowpath = no_slowpath,
						.wake_kswapd = on_wake};
	static struct trace_record ring[8];

	(void)arg;
	if (!m.v->boost)
		phys_sys.tunables.watermark_boost_factor = 0;
	setup_per_zone_wmarks();
	page_alloc_set_pressure_ops(&ops);
	trace_ring_attach(0, ring, ARRAY_SIZE(ring));
	trace_enable(TRACE_MM_PAGE_ALLOC_EXTFRAG);
	m.managed = totalram_pages();
	m.limit = m.managed * USE_PERCENT / 100;
	while (m.turnover < turnovers * m.managed)
		step();
	if (m.movable)
		compact_rows();
	else
		print_row();
	phys_check();
	page_alloc_set_pressure_ops(NULL);
	trace_ring_attach(0, NULL, 0);
	return 0;
}

static void run(const struct variant *v, bool movable)
{
	static struct e820_table map;
	struct sim_config cfg = {.cpus = 1, .quiet = true};
	struct phys_boot_params p = {.map = &map,
				     .no_mobility_grouping = !v->grouped};

	memset(&m, 0, sizeof(m));
	m.v = v;
	m.movable = movable;
	prng_seed(&m.rnd, seed);
	base_reset();
	phys_reset();
	e820_init(&map);
	if (e820_add(&map, 0, 512 * MiB, E820_TYPE_RAM) ||
	    e820_add(&map, 4 * GiB, 512 * MiB, E820_TYPE_RAM))
		bench_die("frag: no map");
	if (sim_init(&cfg) || phys_boot_memory(&p))
		bench_die("frag: the machine does not boot");
	compact_reset();
	compact_init();
	if (sim_run(machine_main, NULL))
		bench_die("frag: the machine stopped");
	sim_shutdown();
}

int main(int argc, char **argv)
{
	if (argc > 1)
		seed = strtoull(argv[1], NULL, 0);
	if (argc > 2)
		turnovers = strtoull(argv[2], NULL, 0);
	printf("2 MiB blocks had, %% of free memory; 1 GiB, %d %% used, %llu "
	       "turnovers, seed %llu\n",
	       USE_PERCENT, (unsigned long long)turnovers,
	       (unsigned long long)seed);
	printf("%-20s %6s %6s %6s %6s %10s %7s %7s %8s %8s %8s %9s\n",
	       "processes gone:", "50%", "70%", "90%", "all", "moving all",
	       "mixed", "fixed", "extfrag", "unusable", "extfrag", "reclaimed");
	printf("%-20s %6s %6s %6s %6s %10s %7s %7s %8s %8s %8s %9s\n", "", "",
	       "", "", "", "would free", "blocks", "blocks", "events", "index",
	       "index", "pages");
	for (size_t i = 0; i < ARRAY_SIZE(variants); i++)
		run(&variants[i], false);
	printf("\nThe same before and after vm.compact_memory, at 90 %% use and "
	       "with half of the processes gone\n");
	printf("%-20s %4s %6s %13s %13s %9s %7s %7s %7s\n", "", "", "free/",
	       "before", "after", "pages", "moved", "scanned", "frames");
	printf("%-20s %4s %6s %13s %13s %9s %7s %7s %7s\n", "", "used", "2 MiB",
	       "blocks, share", "blocks, share", "moved", "/block", "/block",
	       "/block");
	for (size_t i = 0; i < ARRAY_SIZE(variants); i++)
		run(&variants[i], true);
	return 0;
}
