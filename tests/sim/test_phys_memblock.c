/* SPDX-License-Identifier: MIT */
/*
 * memblock against a map with one byte for each byte of a small address
 * space, under random operations; and the rules that such a map cannot see.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <mmkit/bootmem.h>

#include "phys_machine.h"

/* The model's addresses: from PAGE_SIZE on, UNIT bytes each. */
#define BASE  (1UL << 20)
#define UNITS 200
#define UNIT  64UL

struct unit {
	bool mem, res;
	int nid;
	u32 flags;
};

static struct unit model[UNITS];

static int setup(void **state)
{
	(void)state;
	pm_hardware(1, NULL, 1);
	memblock_init();
	memset(model, 0, sizeof(model));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	pm_shutdown();
	return 0;
}

static phys_addr_t at(u64 unit)
{
	return BASE + unit * UNIT;
}

/* Does the table say what the model says, for every unit? */
static void compare(void)
{
	struct memblock_iter it;
	u8 seen[UNITS] = {0};
	u64 mem = 0, res = 0;

	memblock_check();
	for (u64 i = 0; i < UNITS; i++) {
		assert_int_equal(memblock_is_memory(at(i)), model[i].mem);
		assert_int_equal(memblock_is_memory(at(i) + UNIT - 1),
				 model[i].mem);
		assert_int_equal(memblock_is_reserved(at(i)), model[i].res);
		mem += model[i].mem;
		res += model[i].res;
	}
	assert_int_equal(memblock_phys_mem_size(), mem * UNIT);
	assert_int_equal(memblock_reserved_size(), res * UNIT);
	for_each_free_mem_range (it, NUMA_NO_NODE, 0) {
		assert_true(it.start < it.end);
		for (u64 a = it.start; a < it.end; a += UNIT) {
			const struct unit *u = &model[(a - BASE) / UNIT];

			assert_true(u->mem && !u->res);
			assert_false(u->flags & MEMBLOCK_NOMAP);
			assert_int_equal(u->nid, it.nid);
			assert_int_equal(u->flags, it.flags);
			seen[(a - BASE) / UNIT]++;
		}
	}
	for (u64 i = 0; i < UNITS; i++)
		assert_int_equal(seen[i],
				 model[i].mem && !model[i].res &&
					 !(model[i].flags & MEMBLOCK_NOMAP));
}

/* The iterations that go another way see the same ranges. */
static void compare_iterations(void)
{
	struct memblock_iter it, back;
	static struct {
		phys_addr_t start, end;
	} seen[2 * UNITS];
	u64 n = 0, res = 0;

	for_each_free_mem_range (it, NUMA_NO_NODE, MEMBLOCK_HOTPLUG) {
		seen[n].start = it.start;
		seen[n++].end = it.end;
	}
	for_each_free_mem_range_reverse(back, NUMA_NO_NODE, MEMBLOCK_HOTPLUG)
	{
		assert_true(n > 0);
		n--;
		assert_int_equal(back.start, seen[n].start);
		assert_int_equal(back.end, seen[n].end);
		assert_int_equal(back.nid,
				 model[(back.start - BASE) / UNIT].nid);
		assert_false(back.flags & MEMBLOCK_HOTPLUG);
	}
	assert_int_equal(n, 0);
	for_each_mem_range (it, 1)
		seen[n++].start = it.start;
	for_each_mem_range_rev(back, 1)
	{
		assert_true(n > 0);
		assert_int_equal(back.start, seen[--n].start);
		assert_int_equal(back.nid, 1);
	}
	assert_int_equal(n, 0);
	for_each_reserved_mem_range(it)
	{
		assert_true(it.start < it.end);
		res += it.end - it.start;
	}
	assert_int_equal(res, memblock_reserved_size());
}

static void compare_questions(struct prng *rnd)
{
	u64 s = prng_below(rnd, UNITS), n = prng_range(rnd, 1, UNITS - s);
	u64 start_pfn = 0, end_pfn = 0, mem = 0, res = 0;
	bool any_mem = false, any_res = false;
	int nid;

	for (u64 i = s; i < s + n; i++) {
		any_mem |= model[i].mem;
		any_res |= model[i].res;
	}
	assert_int_equal(memblock_overlaps_region(memblock_memory_table(),
						  at(s), n * UNIT),
			 any_mem);
	assert_int_equal(memblock_is_region_reserved(at(s), n * UNIT), any_res);
	assert_int_equal(memblock_is_map_memory(at(s)),
			 model[s].mem && !(model[s].flags & MEMBLOCK_NOMAP));
	/* By frame: the unit at the beginning of a frame decides. */
	s &= ~(PAGE_SIZE / UNIT - 1);
	nid = memblock_search_pfn_nid(PFN_DOWN(at(s)), &start_pfn, &end_pfn);
	assert_int_equal(nid, model[s].mem ? model[s].nid : NUMA_NO_NODE);
	if (model[s].mem)
		assert_true(start_pfn <= PFN_DOWN(at(s)) &&
			    end_pfn <= PFN_DOWN(at(UNITS)));
	for (u64 i = 0; i < UNITS; i++) {
		mem += model[i].mem;
		res += model[i].res;
	}
	assert_int_equal(memblock_estimated_nr_free_pages(),
			 mem > res ? (mem - res) * UNIT >> PAGE_SHIFT : 0);
}

/* A random allocation; the model says whether it may succeed. */
static void random_alloc(struct prng *rnd)
{
	u64 n = prng_range(rnd, 1, 8);
	u64 align = UNIT << prng_below(rnd, 4);
	u64 lo = prng_below(rnd, UNITS), hi = prng_range(rnd, lo, UNITS);
	bool bottom_up = prng_one_in(rnd, 2);
	phys_addr_t got, want = 0;

	for (u64 i = 0; i + n <= UNITS; i++) {
		bool ok = i >= lo && i + n <= hi && at(i) % align == 0;

		for (u64 k = i; ok && k < i + n; k++)
			ok = model[k].mem && !model[k].res &&
			     !(model[k].flags &
			       (MEMBLOCK_NOMAP | MEMBLOCK_HOTPLUG)) &&
			     model[k].nid == model[i].nid &&
			     model[k].flags == model[i].flags;
		if (ok && !(bottom_up && want))
			want = at(i);
	}
	memblock_set_bottom_up(bottom_up);
	got = memblock_phys_alloc_range(n * UNIT, align, at(lo), at(hi));
	assert_int_equal(got, want);
	for (u64 k = 0; got && k < n; k++)
		model[(got - BASE) / UNIT + k].res = true;
}

/* Unit I and the one before it are in one region of memory. */
static bool joined(u64 i)
{
	return i > 0 && model[i].mem && model[i - 1].mem &&
	       model[i].nid == model[i - 1].nid &&
	       model[i].flags == model[i - 1].flags;
}

/* Ends of runs to multiples of UNITS_PER units. */
static void model_trim(u64 units_per)
{
	for (u64 s = 0, e; s < UNITS; s = e) {
		u64 lo = ALIGN(s, units_per), hi;

		for (e = s + 1; e < UNITS && joined(e); e++)
			;
		hi = ALIGN_DOWN(e, units_per);
		for (u64 i = s; i < e; i++)
			model[i].mem = model[i].mem && i >= lo && i < hi;
	}
}

static void model_forget(u64 i, bool mem, bool res)
{
	model[i].mem = model[i].mem && !mem;
	model[i].res = model[i].res && !res;
}

/* The unit from which on nothing is within the first LIMIT units of memory. */
static u64 model_limit(u64 limit)
{
	u64 end = 0;

	for (; end < UNITS && limit; end++)
		limit -= model[end].mem;
	return limit ? UNITS : end;
}

/* A random one of the calls that make memory smaller. */
static void random_cut(struct prng *rnd)
{
	u64 s = prng_below(rnd, UNITS / 4), e = UNITS - prng_below(rnd, 40);
	u64 per = 1UL << prng_below(rnd, 4), limit = prng_range(rnd, 1, UNITS);

	switch (prng_below(rnd, 4)) {
	case 0:
		assert_int_equal(memblock_trim_memory(per * UNIT), 0);
		model_trim(per);
		break;
	case 1:
		assert_int_equal(memblock_enforce_memory_limit(limit * UNIT),
				 0);
		for (u64 i = model_limit(limit); i < UNITS; i++)
			model_forget(i, true, true);
		break;
	case 2:
		assert_int_equal(
			memblock_cap_memory_range(at(s), (e - s) * UNIT), 0);
		for (u64 i = 0; i < UNITS; i++)
			if (i < s || i >= e)
				model_forget(i,
					     !(model[i].flags & MEMBLOCK_NOMAP),
					     true);
		break;
	default:
		assert_int_equal(memblock_mem_limit_remove_map(limit * UNIT),
				 0);
		for (u64 i = model_limit(limit); i < UNITS; i++)
			model_forget(i, !(model[i].flags & MEMBLOCK_NOMAP),
				     true);
	}
	for (u64 i = 0; i < UNITS; i++)
		if (!model[i].mem) {
			model[i].flags = 0;
			model[i].nid = 0;
		}
}

static void random_op(struct prng *rnd)
{
	u64 s = prng_below(rnd, UNITS), n = prng_below(rnd, UNITS - s + 1);
	int nid = (int)prng_below(rnd, 3);
	u64 op = prng_below(rnd, 12);
	int err = 0;

	if (prng_one_in(rnd, 40)) {
		random_cut(rnd);
		return;
	}
	n = prng_one_in(rnd, 2) ? min(n, 10UL) : n;
	switch (op) {
	case 0:
	case 1:
		err = memblock_add_node(at(s), n * UNIT, nid, 0);
		break;
	case 2:
		err = memblock_remove(at(s), n * UNIT);
		break;
	case 3:
	case 4:
		err = memblock_reserve(at(s), n * UNIT);
		break;
	case 5:
		err = memblock_phys_free(at(s), n * UNIT);
		break;
	case 6:
		err = memblock_set_node(at(s), n * UNIT, nid);
		break;
	case 7:
		err = memblock_mark_nomap(at(s), n * UNIT);
		break;
	case 8:
		err = memblock_clear_nomap(at(s), n * UNIT);
		break;
	case 9:
		err = memblock_mark_hotplug(at(s), n * UNIT);
		break;
	case 10:
		err = memblock_clear_hotplug(at(s), n * UNIT);
		break;
	default:
		random_alloc(rnd);
		return;
	}
	assert_int_equal(err, 0);
	for (u64 i = s; i < s + n; i++) {
		struct unit *u = &model[i];

		if (op <= 1 && !u->mem)
			*u = (struct unit){true, u->res, nid, 0};
		if (op == 2)
			u->mem = false;
		if (op == 3 || op == 4)
			u->res = true;
		if (op == 5)
			u->res = false;
		if (op == 6 && u->mem)
			u->nid = nid;
		if (op == 7 && u->mem)
			u->flags |= MEMBLOCK_NOMAP;
		if (op == 8 && u->mem)
			u->flags &= ~MEMBLOCK_NOMAP;
		if (op == 9 && u->mem)
			u->flags |= MEMBLOCK_HOTPLUG;
		if (op == 10 && u->mem)
			u->flags &= ~MEMBLOCK_HOTPLUG;
		if (!u->mem) {
			u->flags = 0;
			u->nid = 0;
		}
	}
}

static void test_model(void **state)
{
	u64 seed = pm_env("SEED", 1), iters = pm_env("ITERS", 60);

	(void)state;
	print_message("SEED=%lu ITERS=%lu\n", seed, iters);
	for (u64 i = 0; i < iters; i++) {
		struct prng rnd;

		prng_seed(&rnd, seed + i);
		memblock_init();
		memset(model, 0, sizeof(model));
		for (int op = 0; op < 150; op++) {
			random_op(&rnd);
			compare();
			compare_iterations();
			compare_questions(&rnd);
		}
	}
}

/* 0 as a limit is none; whole frames only where frames are asked for. */
static void test_limits(void **state)
{
	struct memblock_iter it;
	u64 n = 0;

	(void)state;
	assert_int_equal(memblock_add_node(0x1000, 0x1800, 0, 0), 0);
	assert_int_equal(memblock_add_node(0x2900, 0x0600, 1, 0), 0);
	assert_int_equal(memblock_add_node(0x3f00, 0x2200, 1, 0), 0);
	for_each_mem_pfn_range(it, NUMA_NO_NODE)
	{
		assert_int_equal(it.start_pfn, n ? 4 : 1);
		assert_int_equal(it.end_pfn, n ? 6 : 2);
		assert_int_equal(it.nid, (int)n);
		n++;
	}
	assert_int_equal(n, 2);
	assert_int_equal(memblock_enforce_memory_limit(0), 0);
	assert_int_equal(memblock_enforce_memory_limit(~0UL), 0);
	assert_int_equal(memblock_mem_limit_remove_map(0), 0);
	assert_int_equal(memblock_cap_memory_range(0x1000, 0), 0);
	assert_int_equal(memblock_phys_mem_size(), 0x1800 + 0x600 + 0x2200);
	assert_int_equal(memblock_add(~0UL - 0x10, 0x10), 0);
	assert_int_equal(memblock_trim_memory(PAGE_SIZE), 0);
	assert_int_equal(memblock_memory_table()->cnt, 2);
	assert_int_equal(memblock_phys_mem_size(), 0x3000);
	memblock_check();
}

/* Edges of the address space, empty ranges, whole-range questions. */
static void test_edges(void **state)
{
	(void)state;
	assert_int_equal(memblock_add(0, 0), 0);
	assert_int_equal(memblock_phys_mem_size(), 0);
	assert_int_equal(memblock_start_of_DRAM(), 0);
	assert_int_equal(memblock_add(~0UL - 0xfff, 0x5000), 0);
	assert_int_equal(memblock_phys_mem_size(), 0xfff);
	memblock_check();
	assert_int_equal(memblock_remove(0, ~0UL), 0);
	assert_int_equal(memblock_phys_mem_size(), 0);
	assert_int_equal(memblock_add_node(0x1000, 0x1000, 0, 0), 0);
	assert_int_equal(memblock_add_node(0x2000, 0x1000, 1, 0), 0);
	assert_int_equal(memblock_memory_table()->cnt, 2);
	assert_true(memblock_is_region_memory(0x1000, 0x2000));
	assert_false(memblock_is_region_memory(0x1000, 0x2001));
	assert_int_equal(memblock_reserve(0x2800, 1), 0);
	assert_true(memblock_is_region_reserved(0x2000, 0x1000));
	assert_false(memblock_is_region_reserved(0x2000, 0x800));
	assert_int_equal(memblock_end_of_DRAM(), 0x3000);
}

/* Mirrored memory is preferred, a limit is kept, frame 0 is never given. */
static void test_alloc_rules(void **state)
{
	(void)state;
	assert_int_equal(memblock_add_node(0, MiB, 0, 0), 0);
	assert_int_equal(memblock_add_node(4 * MiB, MiB, 1, 0), 0);
	assert_int_equal(memblock_mark_mirror(0x10000, 0x10000), 0);
	assert_int_equal(memblock_phys_alloc(0x10000, 0x1000), 0x10000);
	assert_int_equal(memblock_phys_alloc(0x1000, 0x1000), 5 * MiB - 0x1000);
	memblock_set_current_limit(MiB);
	assert_int_equal(memblock_phys_alloc(0x1000, 0x1000), MiB - 0x1000);
	assert_int_equal(memblock_phys_alloc_exact_nid(0x1000, 0x1000, 1), 0);
	assert_int_equal(memblock_phys_alloc_try_nid(0x1000, 0x1000, 1),
			 MiB - 0x2000);
	memblock_set_current_limit(MEMBLOCK_ALLOC_ANYWHERE);
	assert_int_equal(memblock_phys_alloc_exact_nid(0x1000, 0x1000, 1),
			 5 * MiB - 0x2000);
	memblock_set_bottom_up(true);
	assert_int_equal(memblock_phys_alloc(0x20, 0), 0x1000);
	assert_int_equal(memblock_phys_alloc(0x20, 0), 0x1040);
	assert_int_equal(memblock_phys_alloc(8 * MiB, 0x1000), 0);
	memblock_check();
}

static phys_addr_t addr(const void *view)
{
	return view ? port_ram_phys(view) : 0;
}

/* The forms that give a view: zeroed or not, wishes and bounds. */
static void test_views(void **state)
{
	char *view, *again;

	(void)state;
	assert_int_equal(port_ram_online(MiB, 2 * MiB), 0);
	assert_int_equal(port_ram_online(5 * GiB, MiB), 0);
	assert_int_equal(memblock_add_node(MiB, 2 * MiB, 0, 0), 0);
	assert_int_equal(memblock_add_node(5 * GiB, MiB, 1, 0), 0);
	view = memblock_alloc_raw(PAGE_SIZE, PAGE_SIZE);
	assert_int_equal(addr(view), 5 * GiB + MiB - PAGE_SIZE);
	memset(view, 0x5a, PAGE_SIZE);
	assert_int_equal(memblock_free(view, PAGE_SIZE), 0);
	again = memblock_alloc_raw(PAGE_SIZE, PAGE_SIZE);
	assert_ptr_equal(again, view);
	assert_int_equal(again[17], 0x5a);
	assert_int_equal(memblock_free(again, PAGE_SIZE), 0);
	again = memblock_alloc(PAGE_SIZE, PAGE_SIZE);
	assert_ptr_equal(again, view);
	for (u64 i = 0; i < PAGE_SIZE; i++)
		assert_int_equal(again[i], 0);
	assert_int_equal(memblock_free(NULL, PAGE_SIZE), 0);
	assert_int_equal(addr(memblock_alloc_low(64, 0)), 3 * MiB - 64);
	/* A wish that can be granted, and one that cannot. */
	memblock_set_bottom_up(true);
	assert_int_equal(addr(memblock_alloc_from(64, 0, 2 * MiB)), 2 * MiB);
	assert_int_equal(addr(memblock_alloc_from(64, 0, 6 * GiB)), MiB);
	assert_int_equal(
		addr(memblock_alloc_try_nid(64, 0, 2 * MiB, 3 * MiB, 0)),
		2 * MiB + 64);
	/* The bound holds on another node as well, and for the wish. */
	assert_int_equal(addr(memblock_alloc_try_nid(64, 0, 0, 3 * MiB, 1)),
			 MiB + 64);
	assert_null(memblock_alloc_exact_nid_raw(64, 0, 0, 3 * MiB, 1));
	assert_int_equal(
		addr(memblock_alloc_exact_nid_raw(64, 0, 6 * GiB, 0, 1)),
		5 * GiB);
	/* So does the current limit, but not for a range that was named. */
	memblock_set_current_limit(3 * MiB);
	assert_int_equal(memblock_get_current_limit(), 3 * MiB);
	assert_true(memblock_bottom_up());
	assert_null(memblock_alloc_exact_nid_raw(64, 0, 0,
						 MEMBLOCK_ALLOC_ANYWHERE, 1));
	assert_null(memblock_alloc_try_nid_raw(3 * MiB, 0, 0, 0, 1));
	assert_int_equal(
		memblock_phys_alloc_range(64, 0, 0, MEMBLOCK_ALLOC_ANYWHERE),
		MiB + 128);
	assert_int_equal(memblock_alloc_range_nid(
				 64, 0, 0, MEMBLOCK_ALLOC_ANYWHERE, 1, true),
			 5 * GiB + 64);
	memblock_check();
}

/* The older names: the same memory, and panics where they promise it. */
static void test_bootmem(void **state)
{
	static struct pglist_data node1 = {.node_id = 1};

	(void)state;
	assert_int_equal(port_ram_online(MiB, 64 * MiB), 0);
	assert_int_equal(port_ram_online(5 * GiB, MiB), 0);
	assert_int_equal(memblock_add_node(MiB, 64 * MiB, 0, 0), 0);
	assert_int_equal(memblock_add_node(5 * GiB, MiB, 1, 0), 0);
	memblock_set_bottom_up(true);
	/* Not ISA's memory, while there is other. */
	assert_int_equal(addr(alloc_bootmem(10)), 16 * MiB);
	assert_int_equal(addr(alloc_bootmem_align(10, 4096)), 16 * MiB + 4096);
	assert_int_equal(addr(alloc_bootmem_nopanic(10)), 16 * MiB + 64);
	assert_int_equal(addr(alloc_bootmem_pages(10)), 16 * MiB + 8192);
	assert_int_equal(addr(alloc_bootmem_low(10)), MiB);
	assert_int_equal(addr(alloc_bootmem_low_pages(10)), MiB + 4096);
	assert_int_equal(addr(alloc_bootmem_node(&node1, 10)), 5 * GiB);
	assert_int_equal(addr(alloc_bootmem_pages_node(&node1, 10)),
			 5 * GiB + 4096);
	assert_int_equal(addr(alloc_bootmem_low_pages_node(&node1, 10)),
			 MiB + 8192);
	assert_int_equal(addr(alloc_bootmem_nopanic(48 * MiB)),
			 16 * MiB + 0x2040);
	/* There is none above; so below, rather than not at all. */
	assert_int_equal(addr(alloc_bootmem_nopanic(2 * MiB)), MiB + 0x2040);
	assert_null(alloc_bootmem_pages_nopanic(64 * MiB));
	assert_null(alloc_bootmem_node_nopanic(&node1, 64 * MiB));
	assert_null(alloc_bootmem_low_pages_nopanic(64 * MiB));
	assert_int_equal(free_bootmem(MiB, 10), 0);
	assert_int_equal(free_bootmem_node(&node1, 5 * GiB, 10), 0);
	assert_false(memblock_is_reserved(MiB));
	assert_false(memblock_is_reserved(5 * GiB));
	assert_int_equal(reserve_bootmem(MiB, 64, BOOTMEM_EXCLUSIVE), 0);
	assert_int_equal(reserve_bootmem(MiB + 63, 9, BOOTMEM_EXCLUSIVE),
			 -EBUSY);
	assert_int_equal(reserve_bootmem(MiB + 63, 9, BOOTMEM_DEFAULT), 0);
	assert_true(memblock_is_reserved(MiB + 70));
	memblock_check();
}

static int alloc_too_much(void *arg)
{
	(void)arg;
	return alloc_bootmem_pages(GiB) != NULL;
}

static void test_bootmem_panics(void **state)
{
	(void)state;
	assert_int_equal(memblock_add(MiB, MiB), 0);
	assert_int_equal(sim_run(alloc_too_much, NULL), -EIO);
	assert_true(pm_logged("no 1073741824 bytes for the boot"));
}

/* After boot: frames that were the kernel's become ordinary ones. */
static void test_free_late(void **state)
{
	static struct e820_table map;
	struct phys_boot_params p = {
		.map = &map, .kernel_start = 2 * MiB, .kernel_size = MiB};
	u64 total, free;

	(void)state;
	pm_map(&map, 32 * MiB);
	assert_int_equal(phys_boot_memory(&p), 0);
	total = totalram_pages();
	free = nr_free_pages();
	/* Whole frames: 254 of 256. */
	free_bootmem_late(2 * MiB + 1, MiB - 2);
	assert_int_equal(totalram_pages(), total + 254);
	drain_all_pages();
	assert_int_equal(nr_free_pages(), free + 254);
	assert_true(PageReserved(pfn_to_page(2 * MiB >> PAGE_SHIFT)));
	assert_false(PageReserved(pfn_to_page((2 * MiB >> PAGE_SHIFT) + 1)));
	phys_check();
	memblock_free_late(2 * MiB, PAGE_SIZE - 1);
	assert_int_equal(totalram_pages(), total + 254);
	/* What is free now is not memblock's to grow into. */
	for (u64 i = 0; i < MEMBLOCK_STATIC_REGIONS; i++)
		if (memblock_reserve(GiB + i * 8192, 64)) {
			memblock_check();
			return;
		}
	fail_msg("the table grew");
}

/* A cut that finds no entry to spare says so, and breaks nothing. */
static void test_cuts_of_full_tables(void **state)
{
	u64 n = 0;

	(void)state;
	while (memblock_add(MiB + n * 8192 + 64, 4096) == 0)
		n++;
	assert_int_equal(memblock_trim_memory(4096), -ENOMEM);
	assert_int_equal(memblock_enforce_memory_limit(MiB / 16), -ENOMEM);
	assert_int_equal(memblock_cap_memory_range(MiB, MiB / 16), -ENOMEM);
	assert_int_equal(memblock_mem_limit_remove_map(MiB / 16), -ENOMEM);
	assert_int_equal(memblock_memory_table()->cnt, n);
	assert_int_equal(memblock_phys_mem_size(), n * 4096);
	memblock_check();
	n = 0;
	while (memblock_reserve(n * 256, 64) == 0)
		n++;
	assert_int_equal(reserve_bootmem(MiB, 64, BOOTMEM_DEFAULT), -ENOMEM);
	assert_int_equal(free_bootmem(16, 16), -ENOMEM);
	assert_int_equal(memblock_reserved_size(), n * 64);
	memblock_check();
}

/* A full table: refused while it may not grow, doubled when it may. */
static void test_growth(void **state)
{
	u64 n = 0;

	(void)state;
	assert_int_equal(port_ram_online(MiB, 16 * MiB), 0);
	assert_int_equal(port_ram_online(64 * MiB, 8 * MiB), 0);
	assert_int_equal(memblock_add(MiB, 16 * MiB), 0);
	while (memblock_reserve(MiB + n * 256, 64) == 0)
		n++;
	assert_true(n >= MEMBLOCK_STATIC_REGIONS - 2);
	assert_int_equal(memblock_reserved_table()->cnt, n);
	memblock_check();
	memblock_set_growable(true);
	for (; n < 2000; n++)
		assert_int_equal(memblock_reserve(MiB + n * 256, 64), 0);
	memblock_check();
	assert_true(memblock_reserved_table()->cnt > 2000);
	for (u64 i = 0; i < n; i++) {
		assert_true(memblock_is_reserved(MiB + i * 256));
		assert_false(memblock_is_reserved(MiB + i * 256 + 64));
	}
	/* The new arrays lie in reserved memory, clear of what was asked. */
	assert_true(memblock_is_region_reserved(
		memblock_reserved_table()->array_phys, 64));
	for (u64 i = 0; i < 600; i++)
		assert_int_equal(memblock_add(64 * MiB + i * 8192, 4096), 0);
	assert_int_equal(memblock_memory_table()->cnt, 601);
	memblock_check();
	assert_non_null(memblock_alloc(4096, 4096));
}

/* The range that makes a table grow is not in it yet: the new table stays out
 * of it, though it is where memory is taken from first. */
static void test_growth_aside(void **state)
{
	phys_addr_t at;
	u64 n = 0;

	(void)state;
	assert_int_equal(port_ram_online(MiB, 16 * MiB), 0);
	assert_int_equal(memblock_add(MiB, 16 * MiB), 0);
	while (memblock_reserve(MiB + n * 256, 64) == 0)
		n++;
	memblock_set_growable(true);
	assert_int_equal(memblock_reserve(16 * MiB, MiB), 0);
	at = memblock_reserved_table()->array_phys;
	assert_true(at >= MiB && at < 16 * MiB);
	assert_true(memblock_is_region_reserved(at, 64));
	memblock_check();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_model, setup, teardown),
		cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
		cmocka_unit_test_setup_teardown(test_edges, setup, teardown),
		cmocka_unit_test_setup_teardown(test_views, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bootmem, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bootmem_panics, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_free_late, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_alloc_rules, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_cuts_of_full_tables, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_growth, setup, teardown),
		cmocka_unit_test_setup_teardown(test_growth_aside, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
