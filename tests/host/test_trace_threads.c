/* SPDX-License-Identifier: MIT */
/*
 * The tracepoints of an embedded manager, to a file: what threads do is in it,
 * each CPU's in order, or counted as lost; and what does not begin leaves
 * nothing behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mmkit/boot.h>
#include <mmkit/page_alloc.h>

#include "base/assert.h"
#include "base/trace_ring.h"
#include "host.h"
#include "phys/e820.h"
#include "trace_file.h"

#define THREADS 4
#define ROUNDS	3000u

static struct e820_table map;
static char path[64];

static void worker(void *arg)
{
	(void)arg;
	for (u32 i = 0; i < ROUNDS; i++) {
		struct page *page = alloc_pages(GFP_KERNEL, i % 4);

		mm_verify(page != NULL);
		__free_pages(page, i % 4);
		if (i % 64 == 0)
			usleep(200);
	}
}

static void work(void)
{
	struct port_thread *t[THREADS];

	for (int i = 0; i < THREADS; i++)
		mm_verify(
			!port_thread_start(&t[i], "worker", -1, worker, NULL));
	for (int i = 0; i < THREADS; i++)
		port_thread_join(t[i]);
}

/* Allocations and frees in the file; times of each CPU do not go back. */
static void read_back(u64 *allocs, u64 *frees)
{
	u64 last[MM_NR_CPUS] = {0};
	struct trace_record r;
	char first[4096];
	FILE *f = fopen(path, "r");

	mm_verify(f && fread(first, 1, sizeof(first), f) == sizeof(first));
	mm_verify(!memcmp(first, "MMKITTRC", 8));
	*allocs = *frees = 0;
	while (fread(&r, sizeof(r), 1, f) == 1) {
		mm_verify(r.cpu < MM_NR_CPUS && r.ns >= last[r.cpu]);
		last[r.cpu] = r.ns;
		if (r.event == TRACE_MM_PAGE_ALLOC)
			++*allocs;
		else if (r.event == TRACE_MM_PAGE_FREE)
			++*frees;
		else
			mm_verify(false);
	}
	mm_verify(feof(f));
	fclose(f);
}

static void refusals(void)
{
	u64 lost;

	mm_verify(host_trace_stop(&lost) == -ESRCH);
	mm_verify(host_trace_start(path, "kmem,nothing", 0) == -EINVAL);
	mm_verify(host_trace_start(path, "kmem", 1ul << 40) == -EINVAL);
	mm_verify(host_trace_start("/nowhere/file", "kmem", 0) == -ENOENT);
	mm_verify(access("/dev/full", W_OK) ||
		  host_trace_start("/dev/full", "kmem", 0) == -ENOSPC);
	mm_verify(!trace_enabled(TRACE_MM_PAGE_ALLOC));
	mm_verify(host_trace_stop(&lost) == -ESRCH);
}

static int machine_main(void *arg)
{
	struct mm_boot_params params = {.map = &map};
	u64 allocs, frees, lost = 1;

	(void)arg;
	if (mm_boot(&params))
		return 1;
	refusals();
	mm_verify(!host_trace_start(path, "mm_page_alloc,kmem:mm_page_free",
				    16384));
	mm_verify(host_trace_start(path, "kmem", 0) == -EBUSY);
	work();
	mm_verify(!host_trace_stop(&lost));
	read_back(&allocs, &frees);
	mm_verify(lost == 0);
	mm_verify(allocs >= THREADS * ROUNDS && frees >= THREADS * ROUNDS);
	/* Rings that are far too small: what is not there is counted. */
	mm_verify(!host_trace_start(path, "mm_page_alloc,mm_page_free", 1));
	work();
	mm_verify(!host_trace_stop(&lost));
	read_back(&allocs, &frees);
	mm_verify(lost > 0 && allocs > 0);
	mm_verify(allocs + frees + lost >= 2 * THREADS * ROUNDS);
	mm_shutdown();
	return 0;
}

static void files(void **state)
{
	struct host_config cfg = {
		.cpus = 16, .ram_max = 1UL << 30, .quiet = true};

	(void)state;
	snprintf(path, sizeof(path), "/tmp/mmkit-trace-%d", (int)getpid());
	e820_init(&map);
	assert_int_equal(e820_add(&map, 0, 64UL << 20, E820_TYPE_RAM), 0);
	mm_reset();
	assert_int_equal(host_init(&cfg), 0);
	assert_int_equal(host_run(machine_main, NULL), 0);
	assert_int_equal(host_shutdown(), 0);
	if (!getenv("KEEP"))
		unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
