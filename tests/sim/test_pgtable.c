/* SPDX-License-Identifier: MIT */
/*
 * Page tables against a map: random mappings come and go; entries, tables
 * and what a walk skips must be what the map says.
 */
#include "sim_machine.h"

#include "arch/walk.h"
#include "base/fail.h"

#define P(n) ((u64)(n) << PAGE_SHIFT)

/* Places chosen to share and not to share tables of each level. */
#define NR_AREAS   24u
#define AREA_PAGES 40u

struct area {
	uva_t start;
	bool mapped;
	u64 entry[AREA_PAGES]; /* expected, 0: none */
};

struct model {
	struct pgtable pt;
	struct area area[NR_AREAS]; /* by address */
	u64 released;
};

static int by_address(const void *a, const void *b)
{
	const struct area *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/* Areas do not overlap, but many share a table with a neighbour. */
static void place_areas(struct model *m, struct prng *r)
{
	static const u32 shift[] = {19, 21, 26, 30, 35, 39, 44};
	static const u32 shift32[] = {19, 21, 22, 24, 25, 26, 27};
	bool small = m->pt.fmt->va_bits == 32;
	uva_t at = PAGE_SIZE;

	for (u32 i = 0; i < NR_AREAS; i++) {
		u32 n = (u32)prng_below(r, i < 20 ? 4 : ARRAY_SIZE(shift));
		u32 s = small ? shift32[n] : shift[n];

		at += P(AREA_PAGES) + (prng_below(r, 1UL << s) & PAGE_MASK);
		if (at > m->pt.fmt->user_end - P(2 * AREA_PAGES))
			at = m->area[i - 1].start + P(2 * AREA_PAGES);
		m->area[i].start = at;
	}
	qsort(m->area, NR_AREAS, sizeof(m->area[0]), by_address);
}

/* Is a table of LEVEL (0 = leaf table) needed that holds VA's entry? */
static bool needed(const struct model *m, int level, uva_t va)
{
	u64 span = pt_span(m->pt.fmt, level + 1);
	uva_t base = ALIGN_DOWN(va, span);

	for (u32 i = 0; i < NR_AREAS; i++) {
		const struct area *a = &m->area[i];

		if (a->mapped && a->start < base + span &&
		    a->start + P(AREA_PAGES) > base)
			return true;
	}
	return false;
}

/* How many tables the mapped areas need, the root included. */
static u64 tables_needed(const struct model *m)
{
	u64 n = 1;

	for (int level = 0; level < m->pt.fmt->levels - 1; level++) {
		u64 span = pt_span(m->pt.fmt, level + 1);
		uva_t counted = ~0UL;

		for (u32 i = 0; i < NR_AREAS; i++) {
			const struct area *a = &m->area[i];
			uva_t last =
				ALIGN_DOWN(a->start + P(AREA_PAGES) - 1, span);

			for (uva_t b = ALIGN_DOWN(a->start, span);
			     a->mapped && b <= last; b += span) {
				n += b != counted;
				counted = b;
			}
		}
	}
	return n;
}

static bool ram_read(void *arg, const struct paging_format *f, phys_addr_t pa,
		     u64 *raw)
{
	(void)arg;
	*raw = pt_raw_read(f, port_ram(pa));
	return true;
}

/* A CPU of the format finds what the model says. */
static void check_walk(const struct model *m, uva_t va, u64 entry)
{
	static const struct paging_mem mem = {.read = ram_read};
	struct paging_walk w;
	struct paging_cpu cpu;

	paging_cpu_init(&cpu, m->pt.fmt, PFN_PHYS(m->pt.root_pfn), false);
	paging_walk_with(&cpu, va + 0x123, PAGING_READ, &w, &mem);
	if (!entry) {
		CHECK_EQ(w.reason, PAGING_NOT_PRESENT);
		return;
	}
	CHECK_EQ(w.reason, PAGING_OK);
	CHECK_EQ(w.level, 0);
	CHECK_EQ(w.depth, m->pt.fmt->levels);
	CHECK_EQ(w.pa, (entry & X86_PTE_FRAME) + 0x123);
	CHECK_EQ(w.entry[w.depth - 1].val, entry);
}

static void check_area(const struct model *m, const struct area *a)
{
	for (u32 i = 0; i < AREA_PAGES; i++) {
		uva_t va = a->start + P(i), skip;
		struct pt_slot slot;
		bool found = pt_lookup(&m->pt, va, &slot);

		CHECK_EQ(found, needed(m, 0, va));
		check_walk(m, va, a->entry[i]);
		if (found) {
			CHECK(pt_get(&slot).val == a->entry[i]);
			continue;
		}
		CHECK_EQ(a->entry[i], 0);
		skip = pt_skip(&m->pt, va, m->pt.fmt->user_end);
		CHECK(skip > va);
		/* Nothing that has a leaf table is skipped. */
		for (u32 j = 0; j < NR_AREAS; j++)
			CHECK(!m->area[j].mapped ||
			      m->area[j].start + P(AREA_PAGES) <= va ||
			      m->area[j].start >= skip);
		CHECK(pt_skip(&m->pt, va, va + PAGE_SIZE) == va + PAGE_SIZE);
	}
}

static void check_all(const struct model *m)
{
	for (u32 i = 0; i < NR_AREAS; i++)
		check_area(m, &m->area[i]);
	CHECK_EQ(pgtable_check(&m->pt), tables_needed(m));
	CHECK_EQ(m->pt.table_bytes, tables_needed(m) << PAGE_SHIFT);
	CHECK_EQ(global_node_page_state(NR_PAGETABLE), tables_needed(m));
}

static void map_area(struct model *m, struct area *a)
{
	struct pt_slot slot;

	/* All its tables, so that the model knows which there are. */
	for (u32 i = 0; i < AREA_PAGES; i++)
		CHECK_EQ(pt_alloc(&m->pt, a->start + P(i), &slot), 0);
	a->mapped = true;
}

/* Random entries, written in each of the ways there are. */
static void change_area(struct model *m, struct area *a, struct prng *r)
{
	for (u32 i = 0; i < AREA_PAGES; i++) {
		u64 pfn = prng_range(r, 1, 1000), bits = X86_PTE_P;
		struct pt_slot slot;

		if (!prng_one_in(r, 3))
			continue;
		CHECK(pt_lookup(&m->pt, a->start + P(i), &slot));
		pt_lock(&slot);
		switch (prng_below(r, 4)) {
		case 0:
			CHECK(pt_xchg(&slot, (pte_t){0}).val == a->entry[i]);
			a->entry[i] = 0;
			break;
		case 1:
			CHECK(pt_clear_bits(&slot, X86_PTE_D).val ==
			      a->entry[i]);
			a->entry[i] &= ~X86_PTE_D;
			break;
		default:
			bits |= prng_one_in(r, 2) ? X86_PTE_D : 0;
			a->entry[i] = pfn << PAGE_SHIFT | bits;
			pt_set(&slot, (pte_t){a->entry[i]});
		}
		pt_unlock(&slot);
	}
}

static void count_released(struct page *table, void *arg)
{
	struct model *m = arg;

	m->released++;
	pt_table_release(table);
}

static void unmap_area(struct model *m, u32 n)
{
	struct area *a = &m->area[n];
	struct pt_free_range range = {a->start, a->start + P(AREA_PAGES), 0,
				      0,	count_released,		  m};
	u64 before = tables_needed(m);
	struct pt_slot slot;

	for (u32 i = 0; i < AREA_PAGES; i++) {
		CHECK(pt_lookup(&m->pt, a->start + P(i), &slot));
		pt_lock(&slot);
		pt_set(&slot, (pte_t){0});
		pt_unlock(&slot);
		a->entry[i] = 0;
	}
	for (u32 i = n; i-- > 0 && !range.floor;)
		if (m->area[i].mapped)
			range.floor = m->area[i].start + P(AREA_PAGES);
	for (u32 i = n + 1; i < NR_AREAS && !range.ceiling; i++)
		if (m->area[i].mapped)
			range.ceiling = m->area[i].start;
	m->released = 0;
	pgtable_free_range(&m->pt, &range);
	a->mapped = false;
	CHECK_EQ(m->released, before - tables_needed(m));
}

struct random_arg {
	struct prng *rnd;
	const struct paging_format *fmt;
};

static int random_body(void *arg)
{
	static struct model m;
	const struct random_arg *a = arg;
	struct prng *r = a->rnd;

	memset(&m, 0, sizeof(m));
	CHECK_EQ(pgtable_init(&m.pt, a->fmt), 0);
	place_areas(&m, r);
	for (int step = 0; step < 200; step++) {
		u32 n = (u32)prng_below(r, NR_AREAS);

		if (!m.area[n].mapped)
			map_area(&m, &m.area[n]);
		else if (prng_one_in(r, 3))
			unmap_area(&m, n);
		else
			change_area(&m, &m.area[n], r);
		if (step % 10 == 0)
			check_all(&m);
	}
	for (u32 n = 0; n < NR_AREAS; n++)
		if (m.area[n].mapped)
			unmap_area(&m, n);
	check_all(&m);
	pgtable_destroy(&m.pt);
	return 0;
}

static void random_tables(void **state)
{
	u64 seed = test_env("SEED", 1), n = test_iters(tm_soak() ? 2000 : 30);

	(void)state;
	for (u64 i = 0; i < n; i++) {
		struct prng r;
		struct random_arg a = {&r, paging_format_nth(i % 5)};

		prng_seed(&r, seed + i);
		TM_RUN(random_body, .arg = &a, .seed = seed + i);
	}
}

/* A failure leaves tables that the range's end takes away. */
static int fail_body(void *arg)
{
	struct pt_free_range range = {PAGE_SIZE, 2 * PAGE_SIZE,	 0,
				      0,	 count_released, arg};
	struct model *m = arg;
	struct pt_slot slot;

	fail_arm_nth(FAIL_ALL, 1, false);
	CHECK_EQ(pgtable_init(&m->pt, &paging_x86_64_4level), -ENOMEM);
	fail_disarm();
	CHECK_EQ(pgtable_init(&m->pt, &paging_x86_64_4level), 0);
	for (u64 n = 1; n <= 3; n++) {
		slot.table = NULL;
		fail_arm_nth(FAIL_MASK(FAIL_PGTABLE), n, false);
		CHECK_EQ(pt_alloc(&m->pt, PAGE_SIZE, &slot), -ENOMEM);
		fail_disarm();
		CHECK(!slot.table);
		CHECK_EQ(pgtable_check(&m->pt), n);
		m->released = 0;
		pgtable_free_range(&m->pt, &range);
		CHECK_EQ(m->released, n - 1);
	}
	CHECK_EQ(pt_alloc(&m->pt, PAGE_SIZE, &slot), 0);
	CHECK_EQ(pgtable_check(&m->pt), 4);
	pgtable_free_range(&m->pt, &range);
	pgtable_destroy(&m->pt);
	return 0;
}

static void table_failures(void **state)
{
	static struct model m;

	(void)state;
	TM_RUN(fail_body, .arg = &m);
}

/* What we build is what the MMU walks. */
static int walk_body(void *arg)
{
	static struct model m;
	static const uva_t at[] = {0,	       0x1ff000,       0x200000,
				   0x3ffff000, 0x7fff7fffe000, 0x7ffffffde000};
	struct pt_free_range all = {
		0, paging_x86_64_4level.user_end, 0, 0, count_released, &m};
	struct pt_slot slot;
	phys_addr_t pa;

	(void)arg;
	CHECK_EQ(pgtable_init(&m.pt, &paging_x86_64_4level), 0);
	for (u64 i = 0; i < ARRAY_SIZE(at); i++) {
		CHECK(sim_walk(m.pt.root_pfn, at[i], SIM_READ, &pa) &
		      SIM_WALK_FAULT);
		CHECK_EQ(pt_alloc(&m.pt, at[i], &slot), 0);
		pt_lock(&slot);
		pt_set(&slot,
		       pte_make(10 + i, (pgprot_t){X86_PTE_P | X86_PTE_US |
						   X86_PTE_RW}));
		pt_unlock(&slot);
		CHECK_EQ(sim_walk(m.pt.root_pfn, at[i] + 5, SIM_WRITE, &pa), 0);
		CHECK_EQ(pa, P(10 + i) + 5);
		CHECK(pte_dirty(pt_get(&slot)) && pte_young(pt_get(&slot)));
		pt_set(&slot, (pte_t){0});
	}
	pgtable_free_range(&m.pt, &all);
	CHECK_EQ(pgtable_check(&m.pt), 1);
	pgtable_destroy(&m.pt);
	return 0;
}

static void mmu_agrees(void **state)
{
	(void)state;
	TM_RUN(walk_body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_tables),
		cmocka_unit_test(table_failures),
		cmocka_unit_test(mmu_agrees),
	};

	return cmocka_run_group_tests_name("pgtable", tests, NULL, NULL);
}
