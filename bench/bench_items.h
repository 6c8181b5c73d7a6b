/* SPDX-License-Identifier: MIT */
/*
 * bench_items.h - programs that are a table of operations in the world of real
 * threads, each a row in instructions beside Linux's figure.
 */
#ifndef BENCH_BENCH_ITEMS_H
#define BENCH_BENCH_ITEMS_H

#include "bench.h"

#include <mmkit/boot.h>

#include "host.h"
#include "phys/e820.h"

/* NAME "row:function": only what that function and its callees take. */
struct item {
	const char *name, *text;
	double linux_insns, goal;
	void (*run)(u64 n);
};

/* The table, and how much work its rows are measured with. */
struct bench_table {
	const struct item *items;
	size_t nr;
	u64 few, many;
	bool shared_ram; /* of the machine: for vmalloc */
};

static const struct item *bench_chosen;
static u64 bench_times;

static inline void need(bool ok)
{
	if (!ok)
		bench_die("an operation failed");
}

static int bench_machine_main(void *arg)
{
	struct e820_table *map = arg;
	struct mm_boot_params params = {.map = map};

	if (mm_boot(&params))
		return 1;
	bench_chosen->run(bench_times);
	mm_shutdown();
	return 0;
}

/* Do the item NAME of T N times on a machine of 512 MiB. */
static int bench_run_item(const struct bench_table *t, const char *name, u64 n)
{
	/* One for each daemon, and those that the row starts. */
	struct host_config cfg = {.cpus = 16,
				  .ram_max = 1UL << 30,
				  .shared_ram = t->shared_ram,
				  .quiet = true};
	static struct e820_table map;

	for (size_t i = 0; i < t->nr; i++)
		if (!strcmp(t->items[i].name, name))
			bench_chosen = &t->items[i];
	if (!bench_chosen)
		bench_die("no such item");
	bench_times = n;
	e820_init(&map);
	if (e820_add(&map, 0, 512UL << 20, E820_TYPE_RAM))
		bench_die("no map");
	mm_reset();
	if (host_init(&cfg))
		bench_die("no machine");
	if (host_run(bench_machine_main, &map))
		bench_die("the machine does not boot");
	if (host_shutdown())
		bench_die("the machine does not stop");
	return 0;
}

/* main() of such a program: the table, or with two arguments one item. */
static int bench_items(const struct bench_table *t, int argc, char **argv)
{
	if (argc == 3)
		return bench_run_item(t, argv[1], strtoull(argv[2], NULL, 0));
	bench_head("instructions, host world");
	for (size_t i = 0; i < t->nr; i++) {
		const struct item *it = &t->items[i];
		double a, b;

		bench_within = strchr(it->name, ':');
		bench_within = bench_within ? bench_within + 1 : NULL;
		a = bench_instructions("@ %s %llu", it->name,
				       (unsigned long long)t->few);
		b = bench_instructions("@ %s %llu", it->name,
				       (unsigned long long)t->many);
		bench_row(it->text,
			  a < 0 ? BENCH_NONE
				: (b - a) / (double)(t->many - t->few),
			  it->linux_insns, it->goal);
	}
	return 0;
}

#endif
