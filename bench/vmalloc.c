/* world: host */
/* SPDX-License-Identifier: MIT */
/*
 * vmalloc - instructions of vmalloc() and vfree(), in the world of real
 * threads.
 *
 *	vmalloc              print the table
 *	vmalloc ITEM N       do ITEM N times
 *
 * Linux's figures: Debian's 6.1, guest instructions under QEMU TCG with
 * init_on_alloc=0 and mitigations=off. Ours are the manager's and those of the
 * world's library; what the host's kernel does to show frames a second time is
 * not in them (a machine has nothing of the kind).
 */
#include "bench.h"

#include <mmkit/boot.h>
#include <mmkit/percpu.h>
#include <mmkit/vmalloc.h>

#include "host.h"
#include "phys/e820.h"

#define LIVE   512
#define MPAGES 256 /* of a mebibyte */

struct item {
	const char *name, *text;
	double linux_insns, goal;
	void (*run)(u64 n);
};

static void need(bool ok)
{
	if (!ok)
		bench_die("an operation failed");
}

static void run_pair(u64 n)
{
	while (n--) {
		void *p = vmalloc(4096);

		need(p);
		vfree(p);
	}
}

/* Many at a time: trees have something in them. */
static void run_batch(u64 n)
{
	static void *p[LIVE];

	for (u64 done = 0; done < n; done += LIVE) {
		for (int i = 0; i < LIVE; i++)
			need((p[i] = vmalloc(4096)));
		for (int i = 0; i < LIVE; i++)
			vfree(p[i]);
	}
}

static void run_large(u64 n)
{
	for (u64 done = 0; done < n; done += MPAGES) {
		void *p = vmalloc(MPAGES * 4096);

		need(p);
		vfree(p);
	}
}

static void run_percpu(u64 n)
{
	while (n--) {
		u64 *p = alloc_percpu(u64);

		need(p);
		free_percpu(p);
	}
}

static void run_access(u64 n)
{
	u64 *p = alloc_percpu(u64);

	need(p);
	while (n--)
		this_cpu_inc(p);
	free_percpu(p);
}

static const struct item items[] = {
	{"pair", "vmalloc + vfree, 4 KB", 2424 + 1407, 800, run_pair},
	{"batch", "the same, 512 live", 2424 + 1407, 800, run_batch},
	{"large", "vmalloc + vfree, 1 MB, per page", 151 + 325, 80, run_large},
	{"percpu", "alloc_percpu + free_percpu, 8 bytes", BENCH_NONE,
	 BENCH_NONE, run_percpu},
	{"access", "this_cpu_inc", BENCH_NONE, BENCH_NONE, run_access},
};

static const struct item *chosen;
static u64 times;

static int machine_main(void *arg)
{
	struct e820_table *map = arg;
	struct mm_boot_params params = {.map = map};

	if (mm_boot(&params))
		return 1;
	chosen->run(times);
	mm_shutdown();
	return 0;
}

static int run(const char *name, u64 n)
{
	struct host_config cfg = {.cpus = 4,
				  .ram_max = 1UL << 30,
				  .shared_ram = true,
				  .quiet = true};
	static struct e820_table map;

	for (size_t i = 0; i < ARRAY_SIZE(items); i++)
		if (!strcmp(items[i].name, name))
			chosen = &items[i];
	if (!chosen)
		bench_die("no such item");
	times = n;
	e820_init(&map);
	if (e820_add(&map, 0, 512UL << 20, E820_TYPE_RAM))
		bench_die("no map");
	mm_reset();
	if (host_init(&cfg))
		bench_die("no machine");
	if (host_run(machine_main, &map))
		bench_die("the machine does not boot");
	if (host_shutdown())
		bench_die("the machine does not stop");
	return 0;
}

int main(int argc, char **argv)
{
	u64 few = 8192, many = 5 * 8192;

	if (argc == 3)
		return run(argv[1], strtoull(argv[2], NULL, 0));
	bench_head("instructions, host world");
	for (size_t i = 0; i < ARRAY_SIZE(items); i++) {
		double a = bench_instructions("@ %s %llu", items[i].name,
					      (unsigned long long)few);
		double b = bench_instructions("@ %s %llu", items[i].name,
					      (unsigned long long)many);

		bench_row(items[i].text,
			  a < 0 ? BENCH_NONE : (b - a) / (double)(many - few),
			  items[i].linux_insns, items[i].goal);
	}
	return 0;
}
