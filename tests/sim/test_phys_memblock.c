/* SPDX-License-Identifier: MIT */
/*
 * memblock against a map with one byte for each byte of a small address
 * space, under random operations; and the rules that such a map cannot see.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

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

static void random_op(struct prng *rnd)
{
	u64 s = prng_below(rnd, UNITS), n = prng_below(rnd, UNITS - s + 1);
	int nid = (int)prng_below(rnd, 3);
	u64 op = prng_below(rnd, 12);
	int err = 0;

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
		}
	}
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_model, setup, teardown),
		cmocka_unit_test_setup_teardown(test_edges, setup, teardown),
		cmocka_unit_test_setup_teardown(test_alloc_rules, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_growth, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
