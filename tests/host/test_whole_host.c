/* SPDX-License-Identifier: MIT */
/*
 * The whole manager in real threads: processes of their own, and threads that
 * share one space, under memory pressure, every byte compared.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <mmkit/boot.h>
#include <mmkit/page_alloc.h>
#include <mmkit/report.h>
#include <mmkit/slab.h>

#include "base/epoch.h"
#include "base/seqbuf.h"
#include "base_seed.h"
#include "books.h"
#include "cache/swap.h"
#include "host.h"
#include "host_check.h"
#include "host_race.h"
#include "host_swap.h"
#include "kmem/slab.h"
#include "phys/lru.h"
#include "phys/phys.h"
#include "phys/vmstat.h"
#include "space/space.h"

/* The thread sanitizer takes ten times as long for each. */
#ifdef __SANITIZE_THREAD__
#define ROUNDS 2
#else
#define ROUNDS 3
#endif

static pthread_mutex_t wl_mutex = PTHREAD_MUTEX_INITIALIZER;

#define WL_CHECK(c)		CHECK(c)
#define WL_WRITE(va, from, len) host_copy_to_user(va, from, len)
#define WL_READ(to, va, len)	host_copy_from_user(to, va, len)
#define WL_LOCK()		pthread_mutex_lock(&wl_mutex)
#define WL_UNLOCK()		pthread_mutex_unlock(&wl_mutex)

#include "model_whole.h"

static void whole_thread(void *arg)
{
	wl_life(arg);
}

static int wl_start(struct wl_proc *p)
{
	p->thread = race_start("whole", whole_thread, p);
	WL_LOCK();
	p->next = wl.started;
	wl.started = p;
	WL_UNLOCK();
	return 0;
}

/* ---- the machine -----------------------------------------------------------
 */

struct run {
	u64 mem;
	u32 swap_pages;
	int (*body)(void);
	struct port_bdev *disk;
	struct e820_table map;
	u64 nr_swap;
};

/* Daemons take a moment to come to rest. */
static void settle(const struct run *run)
{
	for (int i = 0; i < 50; i++) {
		usleep(2000);
		lru_add_drain_all();
		memcg_drain(NULL);
		books_drop_orphans();
		epoch_drain();
		if (get_nr_swap_pages() == run->nr_swap)
			break;
	}
	drain_all_pages();
}

static int run_main(void *arg)
{
	struct run *run = arg;
	static struct books books;
	struct mm_boot_params bp = {.map = &run->map};

	CHECK(mm_boot(&bp) == 0);
	run->disk = host_swap(run->swap_pages, -2);
	run->nr_swap = get_nr_swap_pages();
	drain_all_pages();
	books_open(&books);
	CHECK(run->body() == 0);
	settle(run);
	CHECK(get_nr_swap_pages() == run->nr_swap);
	CHECK(space_sys.nr_mms == 0 && space_sys.committed == 0);
	CHECK(phys_sys.nr_bad_pages == 0);
	CHECK(books_close(&books) == 0);
	phys_check();
	swap_check();
	lru_check(&NODE_DATA(0)->lruvec);
	memcg_check();
	CHECK(memcg_sys.nr_groups == 0);
	mm_shutdown();
	return 0;
}

static void run_machine(u64 mem, u32 swap_pages, int (*body)(void))
{
	static struct run run;
	struct host_config hc = {.quiet = true};

	run = (struct run){.mem = mem, .swap_pages = swap_pages, .body = body};
	e820_init(&run.map);
	CHECK(!e820_add(&run.map, 0x100000, mem, E820_TYPE_RAM));
	mm_reset();
	CHECK(host_init(&hc) == 0);
	CHECK(host_run(run_main, &run) == 0);
	CHECK(host_shutdown() == 0);
	mm_reset();
}

/* ---- processes
 * --------------------------------------------------------------- */

/* How far threads get beside each other differs from run to run, so that one
 * seed may get by without swapping; several together do not, unless the world
 * has more RAM than it was asked for. */
static u64 swapped_out, limited;
static bool ample;

static int processes_body(void)
{
	wl_run(4, 60, 700, 6, the_seed);
	swapped_out += sum_vm_event(PSWPOUT);
	ample = totalram_pages() > 64UL << 20 >> PAGE_SHIFT;
	return 0;
}

static int groups_body(void)
{
	wg_open(7u << 20 >> PAGE_SHIFT);
	wl_run(4, 60, 700, 6, the_seed);
	limited += wg_close();
	return 0;
}

/* In control groups with limits, between which they move. */
static void in_groups(void **state)
{
	u64 seed = test_env("SEED", 1),
	    n = test_iters(getenv("SOAK") ? 50 : ROUNDS);

	(void)state;
	for (u64 i = 0; i < n; i++) {
		the_seed = seed + i;
		run_machine(7UL << 20, 16384, groups_body);
		assert_true(wl.checked_bytes > 0);
	}
	assert_true(n < 3 || limited > 0);
}

static void processes(void **state)
{
	u64 seed = test_env("SEED", 1),
	    n = test_iters(getenv("SOAK") ? 50 : ROUNDS);

	(void)state;
	for (u64 i = 0; i < n; i++) {
		the_seed = seed + i;
		run_machine(7UL << 20, 16384, processes_body);
		assert_true(wl.checked_bytes > 0);
	}
	assert_true(n < 3 || swapped_out > 0 || ample);
}

/* ---- threads of one space
 * ------------------------------------------------------ */

static int sharers_body(void)
{
	struct sharer s[SHARERS];
	struct mm_struct *mm = sharers_mm();

	for (u32 i = 0; i < SHARERS; i++) {
		s[i] = (struct sharer){.mm = mm, .id = i, .seed = the_seed};
		CHECK(!host_thread_start(&s[i].thread, "sharer", sharer_thread,
					 &s[i]));
	}
	for (u32 i = 0; i < SHARERS; i++)
		port_thread_join(s[i].thread);
	mm_check(mm);
	mm_put(mm);
	return 0;
}

static void sharers(void **state)
{
	u64 seed = test_env("SEED", 1),
	    n = test_iters(getenv("SOAK") ? 50 : ROUNDS);

	(void)state;
	for (u64 i = 0; i < n; i++) {
		the_seed = seed + i;
		/* Less than the shared pages need, and then more. */
		run_machine((i % 2 ? 8UL : 3UL) << 20, 8192, sharers_body);
	}
}

/* ---- an area that goes and comes under them
 * -------------------------------- */

static u64 times_off;

struct off {
	struct port_bdev *disk;
	bool stop;
};

static void off_and_on(void *arg)
{
	struct off *o = arg;

	port_current()->caps = MM_CAP_SYS_ADMIN;
	while (!__atomic_load_n(&o->stop, __ATOMIC_ACQUIRE)) {
		int err = swapoff(o->disk);

		CHECK(err == 0 || err == -ENOMEM);
		if (!err) {
			times_off++;
			CHECK(swapon(o->disk, 10) > 0);
		}
		port_park(2 * 1000 * 1000);
	}
	if (swapoff(o->disk))
		fail_at(__FILE__, __LINE__, "the area goes at last");
}

static int swapoff_body(void)
{
	struct off o = {.disk = host_swap(16384, 10)};
	struct port_thread *t;

	CHECK(!host_thread_start(&t, "swapoff", off_and_on, &o));
	wl_run(3, 60, 700, 4, the_seed);
	__atomic_store_n(&o.stop, true, __ATOMIC_RELEASE);
	port_thread_join(t);
	return 0;
}

static void swapoff_under_them(void **state)
{
	u64 seed = test_env("SEED", 1),
	    n = test_iters(getenv("SOAK") ? 50 : ROUNDS);

	(void)state;
	for (u64 i = 0; i < n; i++) {
		the_seed = seed + i;
		run_machine(7UL << 20, 16384, swapoff_body);
	}
	assert_true(times_off > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(processes),
		cmocka_unit_test(in_groups),
		cmocka_unit_test(sharers),
		cmocka_unit_test(swapoff_under_them),
	};

	fprintf(stderr, "whole_host: SEED=%llu\n",
		(unsigned long long)test_env("SEED", 1));
	return cmocka_run_group_tests_name("whole_host", tests, NULL, NULL);
}
