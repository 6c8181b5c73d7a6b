/* SPDX-License-Identifier: MIT */
/*
 * Descriptions of nodes: what is read from good texts, what is said about bad
 * ones, and that nothing worse happens to texts with random damage; what is
 * accepted must boot.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "phys/numa_text.h"
#include "phys_machine.h"

static struct numa_desc desc;

static int teardown(void **state)
{
	(void)state;
	pm_shutdown();
	return 0;
}

static int parse(const char *text, struct e820_error *err)
{
	*err = (struct e820_error){0};
	return numa_parse(&desc, text, strlen(text), err);
}

static void must_parse(const char *text)
{
	struct e820_error err;

	if (parse(text, &err))
		fail_msg("line %u, column %u: %s", err.line, err.column,
			 err.message);
}

static void expect_range(u32 i, u64 start, u64 end, int nid)
{
	assert_true(i < desc.nr_ranges);
	assert_int_equal(desc.ranges[i].start, start);
	assert_int_equal(desc.ranges[i].end, end);
	assert_int_equal(desc.ranges[i].nid, nid);
}

static void test_by_hand(void **state)
{
	(void)state;
	pm_hardware(1, NULL, 1);
	must_parse("# two nodes\r\n\n"
		   "node 0 [mem 0x0-0x7fffffff]\r\n"
		   "  node   1: [mem 0x80000000-0xFFFFFFFF] hotplug\n"
		   "node 1 [mem 0xc0000000-0xcfffffff]\n"
		   "cpu 0 node 0\ncpu 2-5 node 1\ncpu 63 node 63\n"
		   "distance 1: 12 10\ndistance 0: 10 21");
	assert_int_equal(desc.nr_ranges, 3);
	expect_range(0, 0, 2 * GiB, 0);
	expect_range(1, 2 * GiB, 4 * GiB, 1);
	expect_range(2, 3 * GiB, 3 * GiB + 256 * MiB, 1);
	assert_int_equal(desc.range_line[1], 4);
	assert_int_equal(desc.nr_hotplug, 1);
	assert_int_equal(desc.hotplug[0].start, 2 * GiB);
	assert_int_equal(desc.cpus_given, 1UL << 63 | 0x3d);
	assert_int_equal(desc.cpu_node[0], 0);
	assert_int_equal(desc.cpu_node[5], 1);
	assert_int_equal(desc.cpu_node[63], 63);
	assert_int_equal(desc.nr_distances, 2);
	assert_int_equal(desc.distances[0 * 2 + 1], 21);
	assert_int_equal(desc.distances[1 * 2 + 0], 12);
}

static void test_boot_log(void **state)
{
	(void)state;
	pm_hardware(1, NULL, 1);
	must_parse("[    0.000000] Linux version 6.1.0\n"
		   "[    0.01] SRAT: PXM 1 -> APIC 0x10 -> Node 1\n"
		   "[    0.02] SRAT: PXM 0 -> APIC 0x00 -> Node 0\n"
		   "SRAT: Node 0 PXM 0 [mem 0x00000000-0x0009ffff]\n"
		   "[    0.03] ACPI: SRAT: Node 1 PXM 257 "
		   "[mem 0x100000000-0x1ffffffff] hotplug\n"
		   "ACPI: SRAT: Node 1 PXM 1 "
		   "[mem 0x900000000-0x9ffffffff] non-volatile\n"
		   "[    0.04]   node   0: [mem 0x1000-0x9efff]\n"
		   "[    0.05] Initmem setup node 0 [mem 0x1000-0x9efff]\n");
	assert_int_equal(desc.nr_ranges, 3);
	expect_range(0, 0, 0xa0000, 0);
	expect_range(1, 4 * GiB, 8 * GiB, 1);
	expect_range(2, 0x1000, 0x9f000, 0);
	assert_int_equal(desc.nr_hotplug, 1);
	assert_int_equal(desc.cpus_given, 3);
	assert_int_equal(desc.cpu_node[0], 1);
	assert_int_equal(desc.cpu_node[1], 0);
	assert_int_equal(desc.nr_distances, 0);
}

/* ---- bad texts ---------------------------------------------------------- */

#define OK "node 0 [mem 0x0-0xffff]\n"

static const struct {
	const char *text;
	u32 line, column;
	const char *message;
} bad[] = {
	{"", 0, 0, "no memory of any node"},
	{"cpu 0 node 0\n", 0, 0, "no memory"},
	{"SRAT: Node 0 PXM 0 [mem 0x0-0xffff] non-volatile", 0, 0, "no memory"},
	{OK "the quick brown fox", 2, 1, "expected a line of node"},
	{OK "[not a stamp] node", 2, 1, "expected a line of node"},
	{"node 64 [mem 0x0-0xffff]", 1, 6, "number too large"},
	{"node 99999999999999999999 [mem 0x0-0xffff]", 1, 6, "too large"},
	{"node -1 [mem 0x0-0xffff]", 1, 6, "expected a number"},
	{"node 0", 1, 7, "expected '[mem"},
	{"node 0 [mem 0x0-0xffff", 1, 23, "expected ']'"},
	{"node 0 [mem 0-0xffff]", 1, 13, "beginning with 0x"},
	{"node 0 [mem 0x0 0xffff]", 1, 16, "expected '-'"},
	{"node 0 [mem 0xg-0xffff]", 1, 15, "hexadecimal"},
	{"node 0 [mem 0x1000-0xfff]", 1, 25, "ends before it starts"},
	{"node 0 [mem 0x0-0xffffffffffffffff]", 1, 36, "end of addresses"},
	{"node 0 [mem 0x0-0x10000000000000000]", 1, 35, "beyond 64 bits"},
	{"node 0 [mem 0x0-0xffff] hot", 1, 25, "unexpected text"},
	{"SRAT: Node 0 [mem 0x0-0xffff]", 1, 14, "expected 'PXM'"},
	{OK "\nnode 1 [mem 0xfff0-0x1ffff]", 3, 28, "range of line 1"},
	{OK "cpu 64 node 0", 2, 5, "number too large"},
	{OK "cpu 3-1 node 0", 2, 8, "CPUs end before they start"},
	{OK "cpu 3", 2, 6, "expected 'node'"},
	{OK "cpu 3 node 0 x", 2, 14, "unexpected text"},
	{OK "cpu 3 node 0\ncpu 2-3 node 1", 3, 15, "CPU 3 has a node"},
	{OK "SRAT: PXM 0 -> APIC 0x00 -> Node 0\ncpu 0 node 0", 3, 13,
	 "CPU 0 has a node"},
	{OK "SRAT: PXM 0 -> APIC 00 -> Node 0", 2, 12, "expected '-> APIC 0x'"},
	{OK "SRAT: PXM 0 -> APIC 0x00 Node 0", 2, 25, "expected '-> Node'"},
	{OK "distance 0 10", 2, 11, "expected ':'"},
	{OK "distance 0: 11", 2, 15, "distance 10 to itself"},
	{OK "distance 0: 10 10", 2, 18, "more to others"},
	{OK "distance 0: 10 256", 2, 16, "number too large"},
	{OK "distance 0: 10 x", 2, 16, "expected a number"},
	{OK "distance 1:", 2, 12, "no distance of the node to itself"},
	{OK "distance 0: 10\ndistance 0: 10", 3, 11, "second row"},
	{OK "distance 0: 10 20\ndistance 1: 20 10 30", 3, 21, "expected 2"},
	{OK "distance 0: 10 20 30\ndistance 2: 20 30 10", 0, 0,
	 "no distances of node 1"},
};

static void test_bad_texts(void **state)
{
	struct e820_error err;
	int wrong = 0;

	(void)state;
	pm_hardware(1, NULL, 1);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		assert_int_equal(parse(bad[i].text, &err), -EINVAL);
		if (err.line == bad[i].line && err.column == bad[i].column &&
		    strstr(err.message, bad[i].message))
			continue;
		print_error("%s\nline %u, column %u: %s\n", bad[i].text,
			    err.line, err.column, err.message);
		wrong++;
	}
	assert_int_equal(wrong, 0);
}

static void test_too_many(void **state)
{
	static char text[1 << 16];
	struct e820_error err;
	size_t len = 0;

	(void)state;
	pm_hardware(1, NULL, 1);
	for (u32 i = 0; i <= NUMA_MAX_RANGES; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
					"node 0 [mem 0x%x000-0x%xfff]\n", i, i);
	assert_int_equal(parse(text, &err), -ENOSPC);
	assert_int_equal(err.line, NUMA_MAX_RANGES + 1);
	/* More CPUs than this manager takes are left out. */
	len = (size_t)snprintf(text, sizeof(text), "%s", OK);
	for (u32 i = 0; i < MM_NR_CPUS + 10; i++)
		len += (size_t)snprintf(
			text + len, sizeof(text) - len,
			"SRAT: PXM 0 -> APIC 0x%02x -> Node %u\n", i,
			i < MM_NR_CPUS ? 0 : 7);
	must_parse(text);
	assert_int_equal(desc.cpus_given, ~0UL);
	assert_int_equal(desc.cpu_node[MM_NR_CPUS - 1], 0);
	/* 65 distances. */
	len = (size_t)snprintf(text, sizeof(text), OK "distance 0: 10");
	for (u32 i = 0; i < MM_MAX_NODES; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, " 20");
	assert_int_equal(parse(text, &err), -EINVAL);
	assert_non_null(strstr(err.message, "too many distances"));
}

/* ---- random damage ------------------------------------------------------ */

static const char whole[] =
	"# a machine\n"
	"[    0.010000] ACPI: SRAT: Node 0 PXM 0 [mem 0x00000000-0x0009ffff]\n"
	"SRAT: Node 0 PXM 0 [mem 0x00100000-0x07ffffff]\n"
	"node 1: [mem 0x8000000-0xbffffff] hotplug\n"
	"node 2 [mem 0xc000000-0xfffffff]\n"
	"SRAT: PXM 1 -> APIC 0x10 -> Node 1\n"
	"cpu 1-2 node 2\n"
	"distance 0: 10 20 30\n"
	"distance 1: 20 10 15\n"
	"distance 2: 30 15 10\n";

static size_t damage(char *text, size_t len, struct prng *rnd)
{
	static const char bytes[] = "0123456789abcdefx-[]: \n#>PXMnode";
	u64 n = prng_range(rnd, 1, 3);

	for (u64 i = 0; i < n && len > 1; i++) {
		size_t at = prng_below(rnd, len);
		size_t cut = prng_range(rnd, 1, min(len - at, 40UL));

		switch (prng_below(rnd, 4)) {
		case 0:
			text[at] = (char)prng_below(rnd, 256);
			break;
		case 1:
		case 2:
			text[at] = bytes[prng_below(rnd, sizeof(bytes) - 1)];
			break;
		default:
			memmove(text + at, text + at + cut, len - at - cut);
			len -= cut;
		}
	}
	return len;
}

/* What was accepted is consistent, and a machine boots with it. */
static void boot_described(void)
{
	static struct e820_table map;
	struct phys_boot_params p = {.map = &map,
				     .nodes = desc.ranges,
				     .nr_nodes = (int)desc.nr_ranges,
				     .nr_distances = (int)desc.nr_distances};

	if (desc.nr_distances)
		p.distances = desc.distances;
	pm_map(&map, 256 * MiB);
	pm_hardware(3, desc.cpu_node, 1);
	assert_int_equal(phys_boot_memory(&p), 0);
	phys_check();
	pm_shutdown();
}

static void test_damage(void **state)
{
	u64 seed = pm_env("SEED", 1), iters = pm_env("ITERS", 3000), ok = 0;

	(void)state;
	print_message("SEED=%lu ITERS=%lu\n", seed, iters);
	for (u64 i = 0; i < iters; i++) {
		struct e820_error err = {0};
		struct prng rnd;
		size_t len = sizeof(whole) - 1;
		char *text = malloc(len);
		int ret;

		assert_non_null(text);
		prng_seed(&rnd, seed + i);
		memcpy(text, whole, len);
		len = damage(text, len, &rnd);
		/* Exactly as long as it says, for the address sanitiser. */
		text = realloc(text, len);
		assert_non_null(text);
		ret = numa_parse(&desc, text, len, &err);
		assert_true(ret == 0 || ret == -EINVAL);
		assert_true((ret == 0) == (err.message[0] == '\0'));
		assert_true(err.line <= 40 && err.column <= len + 1);
		free(text);
		if (ret == 0 && ok++ % 8 == 0)
			boot_described();
	}
	assert_true(ok > iters / 20 && ok < iters);
	pm_hardware(1, NULL, 1);
}

#define T(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_by_hand),  T(test_boot_log), T(test_bad_texts),
		T(test_too_many), T(test_damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
