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
#include "bench_items.h"

#include <mmkit/percpu.h>
#include <mmkit/vmalloc.h>

#define LIVE   512
#define MPAGES 256 /* of a mebibyte */

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

int main(int argc, char **argv)
{
	const struct bench_table t = {.items = items,
				      .nr = ARRAY_SIZE(items),
				      .few = 8192,
				      .many = 5 * 8192,
				      .shared_ram = true};

	return bench_items(&t, argc, argv);
}
