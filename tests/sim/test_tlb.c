/* SPDX-License-Identifier: MIT */
/*
 * The TLB model in every page-table format: what a missing flush leaves
 * behind is seen, large pages go as one, and hits and misses follow the
 * geometry to the access.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base_seed.h"
#include "sim.h"
#include "sim_costs.h"

#define RAM_BYTES (32UL << 20)
#define ROOT_PFN  1
#define ASID	  5
#define URW	  (X86_PTE_P | X86_PTE_RW | X86_PTE_US)

static const struct paging_format *fmt;
static u64 next_table;

static void boot(const struct sim_config *cfg)
{
	assert_int_equal(sim_init(cfg), 0);
	assert_int_equal(port_ram_online(0, RAM_BYTES), 0);
	fmt = cfg->format ? cfg->format : &paging_x86_64_4level;
	next_table = ROOT_PFN + 1;
	port_load_root(ROOT_PFN, ASID);
}

static void *entry_at(u64 table_pfn, int level, uva_t va)
{
	return (char *)sim_phys(PFN_PHYS(table_pfn)) +
	       (u64)pt_index(fmt, level, va) * fmt->entry_bytes;
}

static void put(void *at, int level, u64 val)
{
	u64 raw = pte_encode(fmt, level, __pte(val));

	if (fmt->entry_bytes == 8)
		*(u64 *)at = raw;
	else
		*(u32 *)at = (u32)raw;
}

/* Make a leaf of LEVEL at VA: VAL, with PS above the leaf tables. */
static void map(uva_t va, int level, u64 val)
{
	u64 table = ROOT_PFN;

	for (int l = fmt->levels - 1; l > level; l--) {
		void *at = entry_at(table, l, va);
		u64 raw = pt_raw_read(fmt, at);

		if (!raw) {
			put(at, l, PFN_PHYS(next_table++) | X86_TABLE_LINK);
			raw = pt_raw_read(fmt, at);
		}
		table = pte_pfn(pte_decode(fmt, l, raw));
	}
	if (val && level)
		val |= X86_PTE_PS;
	put(entry_at(table, level, va), level, val);
}

static void flush(uva_t start, uva_t end)
{
	struct port_cpumask m = {.bits = {1}};

	port_tlb_flush(&m, ASID, start, end);
}

/* ---- staleness ---------------------------------------------------------- */

struct stale {
	u32 entries, stale;
};

/* Does the table still say what the entry says? */
static void look(const struct sim_tlb_entry *e, int cpu, void *arg)
{
	uva_t va = e->key & PAGE_MASK;
	struct stale *s = arg;
	phys_addr_t pa = 0;

	assert_int_equal(cpu, 0);
	s->entries++;
	if (sim_walk(ROOT_PFN, va, SIM_READ, &pa) || PFN_DOWN(pa) != e->pfn)
		s->stale++;
}

static u32 stale_entries(void)
{
	struct stale s = {0};

	sim_tlb_for_each(look, &s);
	return s.stale;
}

static char *user(uva_t va)
{
	int sig = 0;

	return sim_user(va, SIM_READ, &sig);
}

/* The entry at LEVEL changes from frame A to NEW; no flush; then a flush. */
static void stale_leaf(int level, phys_addr_t old_pa, u64 new_val)
{
	u64 span = pt_span(fmt, level);
	uva_t va = fmt->user_end / 2 / span * span + span;
	/* Within a large page: not in its first frame, and beyond the tables.
	 */
	uva_t in = va + 0x128 +
		   (level == 2 ? 0xa00000
		    : level    ? 5 * PAGE_SIZE
			       : 0);
	char *old = (char *)sim_phys(old_pa) + (in - va);
	char *after =
		new_val & X86_PTE_P
			? (char *)sim_phys(new_val & X86_PTE_FRAME) + (in - va)
			: NULL;

	map(va, level, old_pa | URW);
	assert_ptr_equal(user(in), old);
	if (level)
		assert_ptr_equal(user(in + 2 * PAGE_SIZE), old + 2 * PAGE_SIZE);
	assert_int_equal(stale_entries(), 0);
	map(va, level, new_val);
	/* The flush is missing: the old frame, which others may have now. */
	assert_ptr_equal(user(in), old);
	*old = 'x';
	assert_int_equal(*user(in), 'x');
	assert_int_equal(stale_entries(), 1);
	/* A flush elsewhere does not help. */
	flush(va - PAGE_SIZE, va);
	flush(va + span, va + span + PAGE_SIZE);
	assert_ptr_equal(user(in), old);
	assert_int_equal(stale_entries(), 1);
	/* One of any page of the leaf does, for all of it. */
	flush(in & PAGE_MASK, (in & PAGE_MASK) + PAGE_SIZE);
	assert_int_equal(stale_entries(), 0);
	assert_ptr_equal(user(in), after);
	flush(0, 0);
	map(va, level, 0);
}

static void missing_flush(void **state)
{
	const struct paging_format *f;

	(void)state;
	for (unsigned int i = 0; (f = paging_format_nth(i)); i++) {
		struct sim_config cfg = {
			.format = f, .quiet = true, .ram_max = 1UL << 31};

		boot(&cfg);
		stale_leaf(0, 0x800000, 0x900000 | URW);
		stale_leaf(0, 0x800000, 0);
		stale_leaf(0, 0x800000, 3UL << X86_SWP_OFFSET_SHIFT);
		stale_leaf(1, 0x800000, 0x1000000 | URW);
		stale_leaf(1, 0x800000, 0);
		/* A page of 1 GiB, of which the beginning is there. */
		if (pt_leaf_allowed(f, 2))
			stale_leaf(2, 0, 0);
		sim_shutdown();
	}
}

/* Rights that were taken back last until the flush; so does a dirty bit. */
static void missing_flush_of_rights(void **state)
{
	const struct paging_format *f;

	(void)state;
	for (unsigned int i = 0; (f = paging_format_nth(i)); i++) {
		struct sim_config cfg = {.format = f, .quiet = true};
		uva_t va = 0x40000000;

		boot(&cfg);
		map(va, 0, 0x800000 | URW);
		assert_int_equal(sim_touch(va, SIM_WRITE), 0);
		map(va, 0, 0x800000 | (URW & ~X86_PTE_RW));
		assert_int_equal(sim_touch(va, SIM_WRITE), 0);
		flush(va, va + PAGE_SIZE);
		assert_int_equal(sim_touch(va, SIM_WRITE), 11);
		assert_int_equal(sim_touch(va, SIM_READ), 0);
		map(va, 0, 0x800000 | (URW & ~X86_PTE_US));
		assert_int_equal(sim_touch(va, SIM_READ), 0);
		flush(va, va + PAGE_SIZE);
		assert_int_equal(sim_touch(va, SIM_READ), 11);
		sim_shutdown();
	}
}

/* ---- geometry ----------------------------------------------------------- */

static struct sim_tlb_stats stats(void)
{
	struct sim_tlb_stats s;

	sim_tlb_stats(&s);
	return s;
}

/* ROUNDS through N pages that are STRIDE pages apart. */
static void cycle(u32 n, u32 stride, u32 rounds)
{
	for (u32 r = 0; r < rounds; r++)
		for (u32 i = 0; i < n; i++)
			assert_int_equal(
				sim_touch(0x40000000 +
						  (u64)i * stride * PAGE_SIZE,
					  SIM_READ),
				0);
}

static void one_geometry(u32 l1, u32 sets, u32 ways)
{
	struct sim_config cfg = {.tlb_l1 = l1,
				 .tlb_sets = sets,
				 .tlb_ways = ways,
				 .quiet = true};
	const u32 rounds = 10;
	struct sim_tlb_stats s;

	boot(&cfg);
	for (u32 i = 0; i <= max(ways, sets); i++) {
		map(0x40000000 + (u64)i * PAGE_SIZE, 0, 0x800000 | URW);
		map(0x40000000 + (u64)i * sets * PAGE_SIZE, 0, 0x800000 | URW);
	}
	/* As many pages as a set holds: each misses once. */
	cycle(ways, sets, rounds);
	s = stats();
	assert_int_equal(s.misses, ways);
	assert_int_equal(s.walks, ways);
	assert_int_equal(s.hits, (u64)ways * (rounds - 1));
	/* One more than that, in turns: none is there when its turn comes. */
	flush(0, 0);
	assert_int_equal(stats().flushed, ways);
	cycle(ways + 1, sets, rounds);
	assert_int_equal(stats().misses - s.misses, (u64)(ways + 1) * rounds);
	assert_int_equal(stats().hits, s.hits);
	/* Pages of all sets do not stand in each other's way. */
	flush(0, 0);
	s = stats();
	cycle(sets, 1, rounds);
	assert_int_equal(stats().misses - s.misses, sets);
	assert_int_equal(stats().hits - s.hits, (u64)sets * (rounds - 1));
	sim_shutdown();
}

static void misses_follow_geometry(void **state)
{
	(void)state;
	one_geometry(16, 8, 1);
	one_geometry(16, 8, 2);
	one_geometry(16, 1, 5);
	one_geometry(1, 4, 4);
	one_geometry(1024, 128, 12);
	one_geometry(64, 512, 3);
}

/* N large pages in turns, ROUNDS times: two bytes of each, which all have slots
 * of their own in the first level. */
static void cycle_large(u32 n, u32 rounds)
{
	const uva_t base = 0x40000000;

	for (u32 r = 0; r < rounds; r++)
		for (u32 i = 0; i < n; i++)
			for (u32 k = 0; k < 2; k++)
				assert_int_equal(
					sim_touch(base + i * pt_span(fmt, 1) +
							  (i * 16 + k * 7) *
								  PAGE_SIZE,
						  SIM_READ),
					0);
}

/*
 * A machine with room for ROOM large pages in one set: so many miss once each,
 * one more misses each time, and what was replaced is not served by the first
 * level. SMALL: 4 KiB pages that the same room serves, or that of their own.
 */
static void large_geometry(const struct sim_config *c, u32 room, bool shared)
{
	struct sim_config cfg = *c;
	const u32 rounds = 8;
	struct sim_tlb_stats s;

	cfg.quiet = true;
	cfg.ram_max = 1UL << 31;
	boot(&cfg);
	for (u32 i = 0; i <= room; i++)
		map(0x40000000 + i * pt_span(fmt, 1), 1,
		    i * pt_span(fmt, 1) | URW);
	map(0x3ffff000, 0, 0x800000 | URW);
	cycle_large(room, rounds);
	s = stats();
	assert_int_equal(s.misses, room);
	assert_int_equal(s.large_fills, room);
	assert_int_equal(s.hits, (u64)room * (2 * rounds - 1));
	cycle_large(room + 1, 1);
	s = stats();
	cycle_large(room + 1, rounds);
	assert_int_equal(stats().misses - s.misses, (u64)(room + 1) * rounds);
	/* A small page takes a large one's place where there is one array. */
	flush(0, 0);
	cycle_large(room, 1);
	assert_int_equal(sim_touch(0x3ffff000, SIM_READ), 0);
	s = stats();
	cycle_large(1, 1);
	assert_int_equal(stats().misses - s.misses, shared);
	sim_shutdown();
}

static void large_pages(void **state)
{
	const struct paging_format *f;

	(void)state;
	for (unsigned int i = 0; (f = paging_format_nth(i)); i++) {
		struct sim_config own = {.format = f,
					 .tlb_l1 = 256,
					 .tlb_large_sets = 1,
					 .tlb_large_ways = 4};
		struct sim_config one = {.format = f,
					 .tlb_l1 = 64,
					 .tlb_sets = 1,
					 .tlb_ways = 3};

		large_geometry(&own, 4, false);
		large_geometry(&one, 3, true);
	}
}

/* All of a large page is served by one walk, and by 4 KiB views of it. */
static void large_whole(void **state)
{
	struct sim_config cfg = {
		.tlb_l1 = 16, .tlb_sets = 1, .tlb_ways = 1, .quiet = true};
	const uva_t va = 0x40000000;
	int sig = 0;

	(void)state;
	boot(&cfg);
	map(va, 1, 0x800000 | URW);
	for (u32 i = 0; i < 512; i++)
		assert_ptr_equal(sim_user(va + i * PAGE_SIZE, SIM_READ, &sig),
				 sim_phys(0x800000 + i * PAGE_SIZE));
	assert_int_equal(stats().walks, 1);
	/* The first write sets D, for all parts. */
	assert_int_equal(sim_touch(va + PAGE_SIZE, SIM_WRITE), 0);
	assert_int_equal(sim_touch(va + 511 * PAGE_SIZE, SIM_WRITE), 0);
	assert_int_equal(stats().walks, 2);
	assert_int_equal(stats().dirty_walks, 1);
	sim_shutdown();
}

/* Pages that share a slot of the first level cost the second each time. */
static void first_level(void **state)
{
	struct sim_config cfg = {
		.tlb_l1 = 16, .tlb_sets = 128, .tlb_ways = 2, .quiet = true};
	const u64 hit = sim_default_costs.tlb_hit_ns;
	const u64 second = sim_default_costs.tlb_second_ns;
	u64 begin;

	(void)state;
	boot(&cfg);
	for (u32 i = 0; i < 33; i++)
		map(0x40000000 + (u64)i * PAGE_SIZE, 0, 0x800000 | URW);
	/* 16 neighbours fit. */
	cycle(16, 1, 1);
	begin = sim_now_ns();
	cycle(16, 1, 10);
	assert_int_equal(sim_now_ns() - begin, 160 * hit);
	/* Two that are 16 pages apart do not. */
	cycle(2, 16, 1);
	begin = sim_now_ns();
	cycle(2, 16, 10);
	assert_int_equal(sim_now_ns() - begin, 20 * (hit + second));
	sim_shutdown();
}

static void bad_geometry(void **state)
{
	static const u32 bad[][5] = {
		{3, 0, 0},	  {16, 0, 0, 3, 1},   {16, 0, 0, 4, 0},
		{16, 0, 0, 0, 4}, {16, 0, 0, 4, 256}, {2048, 0, 0},
		{0, 3, 0},	  {0, 131072, 0},     {0, 0, 256}};

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(bad); i++) {
		struct sim_config cfg = {.tlb_l1 = bad[i][0],
					 .tlb_sets = bad[i][1],
					 .tlb_ways = bad[i][2],
					 .tlb_large_sets = bad[i][3],
					 .tlb_large_ways = bad[i][4],
					 .quiet = true};

		assert_int_equal(sim_init(&cfg), -EINVAL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(missing_flush),
		cmocka_unit_test(missing_flush_of_rights),
		cmocka_unit_test(misses_follow_geometry),
		cmocka_unit_test(large_pages),
		cmocka_unit_test(large_whole),
		cmocka_unit_test(first_level),
		cmocka_unit_test(bad_geometry),
	};

	return cmocka_run_group_tests_name("tlb", tests, NULL, NULL);
}
