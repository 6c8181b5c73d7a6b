/* SPDX-License-Identifier: MIT */
/*
 * Firmware maps: what is read, what is refused and where, and what becomes of
 * overlaps; against a byte map for random tables.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "phys_machine.h"

static struct e820_table table;

static int setup(void **state)
{
	(void)state;
	pm_hardware(1, NULL, 1);
	e820_init(&table);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	pm_shutdown();
	return 0;
}

static int parse(const char *text, struct e820_error *err)
{
	memset(err, 0, sizeof(*err));
	return e820_parse(&table, text, strlen(text), err);
}

/* The text of a committed map. */
static char *read_map(const char *name)
{
	char path[256];
	char *text = calloc(1, 1 << 16);
	FILE *f;

	snprintf(path, sizeof(path), "tests/data/e820/%s", name);
	f = fopen(path, "r");
	assert_non_null(text);
	assert_non_null(f);
	assert_true(fread(text, 1, (1 << 16) - 1, f) > 0);
	fclose(f);
	return text;
}

static void parse_file(const char *name)
{
	struct e820_error err;
	char *text = read_map(name);

	assert_int_equal(parse(text, &err), 0);
	free(text);
}

static void expect_entry(u32 i, u64 start, u64 last, u32 type)
{
	assert_true(i < table.nr_entries);
	assert_int_equal(table.entries[i].addr, start);
	assert_int_equal(table.entries[i].addr + table.entries[i].size - 1,
			 last);
	assert_int_equal(table.entries[i].type, type);
}

static void test_pc_map(void **state)
{
	(void)state;
	parse_file("pc-128m.txt");
	assert_int_equal(table.nr_entries, 6);
	assert_int_equal(e820_sanitize(&table), 0);
	assert_int_equal(table.nr_entries, 6);
	expect_entry(0, 0, 0x9ffff, E820_TYPE_RAM);
	expect_entry(1, 0xf0000, 0xfffff, E820_TYPE_RESERVED);
	expect_entry(2, 0x100000, 0x7feffff, E820_TYPE_RAM);
	expect_entry(3, 0x7ff0000, 0x7ff2fff, E820_TYPE_ACPI);
	expect_entry(4, 0x7ff3000, 0x7ffffff, E820_TYPE_NVS);
	expect_entry(5, 0xffff0000, 0xffffffff, E820_TYPE_RESERVED);
	assert_int_equal(e820_total_ram(&table), 0xa0000 + 0x7ef0000);
}

static void test_print(void **state)
{
	(void)state;
	parse_file("pc-128m.txt");
	e820_print(&table, "BIOS-e820");
	assert_true(pm_logged("BIOS-e820: [mem 0x0000000000000000-"
			      "0x000000000009ffff] usable\n"));
	assert_true(pm_logged("BIOS-e820: [mem 0x0000000007ff3000-"
			      "0x0000000007ffffff] ACPI NVS\n"));
}

static void test_other_maps(void **state)
{
	(void)state;
	parse_file("laptop-8g.txt");
	assert_int_equal(table.nr_entries, 18);
	assert_int_equal(table.entries[0].line, 3);
	parse_file("server-2node.txt");
	assert_int_equal(table.nr_entries, 9);
	expect_entry(5, 0x240000000, 0x27fffffff, E820_TYPE_SOFT_RESERVED);
	expect_entry(6, 0x280000000, 0x2bfffffff, E820_TYPE_PMEM);
	expect_entry(7, 0x2c0000000, 0x2c0ffffff, E820_TYPE_PRAM);
	expect_entry(8, 0x2c1000000, 0x2c1000fff, E820_TYPE_UNUSABLE);
	parse_file("vm-512m.iomem");
	assert_int_equal(table.nr_entries, 7);
	expect_entry(1, 0x1000, 0x9fbff, E820_TYPE_RAM);
	parse_file("tiny-4m.txt");
	assert_int_equal(table.nr_entries, 3);
}

static void test_hostile_map(void **state)
{
	(void)state;
	parse_file("hostile.txt");
	assert_int_equal(e820_sanitize(&table), 0);
	expect_entry(0, 0, 0x9ffff, E820_TYPE_RAM);
	expect_entry(1, 0x100000, 0x1fffff, E820_TYPE_RAM);
	expect_entry(2, 0x200000, 0x2fffff, E820_TYPE_RESERVED);
	expect_entry(3, 0x300000, 0x37ffff, E820_TYPE_ACPI);
	expect_entry(4, 0x380000, 0x1000000, E820_TYPE_RAM);
	expect_entry(5, 0x1000001, 0x1000001, E820_TYPE_UNUSABLE);
	expect_entry(6, 0x1000002, 0x1ffffff, E820_TYPE_RAM);
	expect_entry(7, 0x2000000, 0x20007ff, E820_TYPE_RESERVED);
	expect_entry(8, 0x2000800, 0x4ffffff, E820_TYPE_RAM);
	expect_entry(9, 0xffffffff00000000, ~0UL, E820_TYPE_RESERVED);
	assert_int_equal(table.nr_entries, 10);
}

/* What must be refused, and the place that the message must name. */
static const struct bad_text {
	const char *text;
	u32 line, column;
	const char *message;
} bad_texts[] = {
	{"", 0, 0, "no usable memory"},
	{"\n\n# nothing\n", 0, 0, "no usable memory"},
	{"BIOS-e820: [mem 0x0-0xfff] reserved\n", 0, 0, "no usable memory"},
	{"hello\n", 1, 1, "neither"},
	{"BIOS-e820: [mem 0x0-0xfff] usable\n<html>\n", 2, 1, "neither"},
	{"BIOS-e820: 0x0-0xfff usable\n", 1, 12, "expected '[mem"},
	{"BIOS-e820: [mem 0-0xfff] usable\n", 1, 17, "beginning with 0x"},
	{"BIOS-e820: [mem 0x-0xfff] usable\n", 1, 19, "hexadecimal"},
	{"BIOS-e820: [mem 0x0 0xfff] usable\n", 1, 20, "expected '-'"},
	{"BIOS-e820: [mem 0x0-0xfff usable\n", 1, 26, "expected ']'"},
	{"BIOS-e820: [mem 0x0-0xfff] edible\n", 1, 28, "unknown memory type"},
	{"BIOS-e820: [mem 0x0-0xfff]\n", 1, 27, "unknown memory type"},
	{"BIOS-e820: [mem 0x2000-0xfff] usable\n", 1, 29, "ends before"},
	{"BIOS-e820: [mem 0x0-0x11111111111111111] usable\n", 1, 39,
	 "beyond 64 bits"},
	{"00001000-0009fbff System RAM\n", 1, 18, "expected ' : '"},
	{"00001000 : System RAM\n", 1, 9, "expected '-'"},
	{"deadbeef\n", 1, 9, "expected '-'"},
};

static void test_bad_texts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad_texts); i++) {
		const struct bad_text *b = &bad_texts[i];
		struct e820_error err;

		table.nr_entries = 77;
		assert_int_equal(parse(b->text, &err), -EINVAL);
		assert_int_equal(table.nr_entries, 77);
		if (!strstr(err.message, b->message))
			fail_msg("%s: \"%s\"", b->text, err.message);
		assert_int_equal(err.line, b->line);
		assert_int_equal(err.column, b->column);
	}
}

static void test_too_many(void **state)
{
	char *text = calloc(600, 64);
	size_t len = 0;
	struct e820_error err;

	(void)state;
	for (u64 i = 0; i < 600; i++)
		len += (size_t)sprintf(text + len,
				       "BIOS-e820: [mem 0x%lx-0x%lx] usable\n",
				       i * 8192, i * 8192 + 4095);
	assert_int_equal(parse(text, &err), -ENOSPC);
	assert_int_equal(err.line, E820_MAX_ENTRIES + 1);
	assert_int_equal(table.nr_entries, 0);
	free(text);
	for (u64 i = 0; i < E820_MAX_ENTRIES; i++)
		assert_int_equal(e820_add(&table, i, 1, E820_TYPE_RAM), 0);
	assert_int_equal(e820_add(&table, 0, 1, E820_TYPE_RAM), -ENOSPC);
	assert_int_equal(e820_add(&table, 0, 0, E820_TYPE_RAM), 0);
}

/* Half-broken texts of every kind: no crash, and no table without RAM. */
static void test_fuzzed_text(void **state)
{
	u64 seed = pm_env("SEED", 1), iters = pm_env("ITERS", 3000);
	char *text = read_map("laptop-8g.txt");
	size_t len = strlen(text);
	struct prng rnd;

	(void)state;
	print_message("SEED=%lu ITERS=%lu\n", seed, iters);
	prng_seed(&rnd, seed);
	for (u64 i = 0; i < iters; i++) {
		char *copy = malloc(len);
		size_t n = prng_below(&rnd, len + 1);
		struct e820_error err;
		int ret;

		memcpy(copy, text, len);
		for (u64 k = prng_below(&rnd, 8); n && k > 0; k--)
			copy[prng_below(&rnd, n)] = (char)prng_u32(&rnd);
		ret = e820_parse(&table, copy, n, &err);
		assert_true(ret == 0 || ret == -EINVAL || ret == -ENOSPC);
		if (!ret)
			assert_true(e820_total_ram(&table) > 0);
		else
			assert_true(err.message[0] != '\0');
		free(copy);
	}
	free(text);
}

static void test_wrap_and_ends(void **state)
{
	(void)state;
	assert_int_equal(e820_add(&table, 0, 0x1000, E820_TYPE_RAM), 0);
	/* Past the end: cut there. */
	assert_int_equal(
		e820_add(&table, ~0UL - 0xfff, 0x5000, E820_TYPE_RESERVED), 0);
	assert_int_equal(e820_sanitize(&table), 0);
	assert_int_equal(table.nr_entries, 2);
	expect_entry(1, ~0UL - 0xfff, ~0UL, E820_TYPE_RESERVED);
	/* Everything at once. */
	e820_init(&table);
	assert_int_equal(e820_add(&table, 0, ~0UL, E820_TYPE_RAM), 0);
	assert_int_equal(e820_add(&table, 4096, ~0UL, E820_TYPE_UNUSABLE), 0);
	assert_int_equal(e820_sanitize(&table), 0);
	assert_int_equal(table.nr_entries, 2);
	expect_entry(0, 0, 4095, E820_TYPE_RAM);
	expect_entry(1, 4096, ~0UL, E820_TYPE_UNUSABLE);
	/* Nothing usable left: the table stays. */
	e820_init(&table);
	assert_int_equal(e820_add(&table, 4096, 4096, E820_TYPE_RAM), 0);
	assert_int_equal(e820_add(&table, 0, 1 << 20, E820_TYPE_NVS), 0);
	assert_int_equal(e820_sanitize(&table), -EINVAL);
	assert_int_equal(table.nr_entries, 2);
}

#define MODEL_BYTES 256

static const u32 model_types[] = {
	E820_TYPE_RAM,	    E820_TYPE_SOFT_RESERVED, E820_TYPE_PMEM,
	E820_TYPE_ACPI,	    E820_TYPE_NVS,	     E820_TYPE_RESERVED,
	E820_TYPE_UNUSABLE,
};

/* Random tables against one byte per address, which says the type's rank. */
static void test_model(void **state)
{
	u64 seed = pm_env("SEED", 2), iters = pm_env("ITERS", 2000);
	struct prng rnd;

	(void)state;
	print_message("SEED=%lu ITERS=%lu\n", seed, iters);
	prng_seed(&rnd, seed);
	for (u64 i = 0; i < iters; i++) {
		u8 want[MODEL_BYTES] = {0}, got[MODEL_BYTES] = {0};
		u64 ram = 0, nr = 1 + prng_below(&rnd, 12);
		int ret;

		e820_init(&table);
		while (nr--) {
			u64 s = prng_below(&rnd, MODEL_BYTES);
			u64 n = prng_below(&rnd, MODEL_BYTES - s + 1);
			u64 t = prng_below(&rnd, ARRAY_SIZE(model_types));

			assert_int_equal(e820_add(&table, s, n, model_types[t]),
					 0);
			for (u64 k = s; k < s + n; k++)
				want[k] = (u8)max((u64)want[k], t + 1);
		}
		for (u64 k = 0; k < MODEL_BYTES; k++)
			ram += want[k] == 1;
		ret = e820_sanitize(&table);
		assert_int_equal(ret, ram ? 0 : -EINVAL);
		if (ret)
			continue;
		for (u32 e = 0; e < table.nr_entries; e++) {
			const struct e820_entry *x = &table.entries[e];
			u8 t = 0;

			while (model_types[t] != x->type)
				t++;
			assert_true(x->size > 0);
			if (e)
				assert_true(
					x[-1].addr + x[-1].size < x->addr ||
					(x[-1].addr + x[-1].size == x->addr &&
					 x[-1].type != x->type));
			memset(got + x->addr, t + 1, x->size);
		}
		assert_memory_equal(want, got, MODEL_BYTES);
		assert_int_equal(e820_total_ram(&table), ram);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_pc_map, setup, teardown),
		cmocka_unit_test_setup_teardown(test_print, setup, teardown),
		cmocka_unit_test_setup_teardown(test_other_maps, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_hostile_map, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_bad_texts, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_too_many, setup, teardown),
		cmocka_unit_test_setup_teardown(test_fuzzed_text, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_wrap_and_ends, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_model, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
