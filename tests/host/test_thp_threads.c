/* SPDX-License-Identifier: MIT */
/*
 * Huge pages in real threads: several in one process that write, drop, protect,
 * unmap, page out (pages and whole regions), fork and collapse within the same
 * regions of 2 MiB, with khugepaged at work, and one that wants the frames they
 * lie in; under ThreadSanitizer too.
 *
 * Each thread owns every THREADS-th page, and alone writes and changes it; so
 * it knows at each moment what must be there, whatever the others do to the
 * table that holds all of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mmkit/boot.h>
#include <mmkit/errno.h>
#include <mmkit/mm.h>
#include <mmkit/mman.h>
#include <mmkit/report.h>
#include <mmkit/uaccess.h>

#include "base/epoch.h"
#include "base/prng.h"
#include "base_seed.h"
#include "books.h"
#include "cache/swap.h"
#include "host.h"
#include "host_check.h"
#include "host_race.h"
#include "host_swap.h"
#include "phys/lru.h"
#include "phys/phys.h"
#include "phys/vmstat.h"
#include "space/collapse.h"
#include "space/huge.h"

/* The thread sanitizer takes thirty times as long for each. */
#ifdef __SANITIZE_THREAD__
#define ROUNDS 2
#else
#define ROUNDS 12
#endif

#define THREADS	   3u
#define REGIONS	   3u
#define PAGES	   (REGIONS * HPAGE_PMD_NR)
#define OWN	   (PAGES / THREADS)
#define AT	   0x40000000UL
#define RW	   (PROT_READ | PROT_WRITE)
#define SWAP_PAGES 8192u

static struct mm_struct *space;
static u32 running;
static u64 steps;

struct worker {
	u32 id;
	struct prng r;
	u64 stamp;
	u64 word[OWN]; /* what the page holds; 0: nothing */
	bool ro[OWN];
};

static uva_t page_va(const struct worker *w, u32 i)
{
	return AT + ((u64)i * THREADS + w->id) * PAGE_SIZE;
}

static void check_page(const struct worker *w, u32 i)
{
	u64 v = 1;

	CHECK(host_copy_from_user(&v, page_va(w, i), sizeof(v)) == 0);
	CHECK(v == w->word[i]);
}

static void do_write(struct worker *w, u32 i)
{
	u64 v = ++w->stamp << 8 | w->id;
	int sig = host_copy_to_user(page_va(w, i), &v, sizeof(v));

	CHECK(w->ro[i] ? sig == MM_SIGSEGV : sig == 0);
	if (!sig)
		w->word[i] = v;
}

static void do_drop(struct worker *w, u32 i)
{
	CHECK(do_madvise(space, page_va(w, i), PAGE_SIZE, MADV_DONTNEED) == 0);
	w->word[i] = 0;
}

static void do_protect(struct worker *w, u32 i)
{
	w->ro[i] = !w->ro[i];
	CHECK(do_mprotect(space, page_va(w, i), PAGE_SIZE,
			  w->ro[i] ? PROT_READ : RW) == 0);
}

/* Unmapped and mapped anew, at once: the others must not get the place. */
static void do_replace(struct worker *w, u32 i)
{
	s64 at = do_mmap(space, page_va(w, i), PAGE_SIZE, RW,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED);

	CHECK(at == (s64)page_va(w, i));
	w->word[i] = 0;
	w->ro[i] = false;
}

static void do_pageout(struct worker *w, u32 i)
{
	(void)do_madvise(space, page_va(w, i), PAGE_SIZE, MADV_PAGEOUT);
}

/* All of a region, ours and theirs: as a whole, if it is huge. */
static void do_pageout_all(struct worker *w)
{
	uva_t va = AT + prng_below(&w->r, REGIONS) * HPAGE_PMD_SIZE;

	(void)do_madvise(space, va, HPAGE_PMD_SIZE, MADV_PAGEOUT);
}

/* All of it, or the memory is not there; contents stay. */
static void do_collapse(struct worker *w)
{
	uva_t va = AT + prng_below(&w->r, REGIONS) * HPAGE_PMD_SIZE;

	(void)thp_collapse(space, va, prng_one_in(&w->r, 2));
}

/* All mappings are one again, so that a region can be huge. */
static void do_unprotect(struct worker *w)
{
	for (u32 i = 0; i < OWN; i++) {
		if (!w->ro[i])
			continue;
		CHECK(do_mprotect(space, page_va(w, i), PAGE_SIZE, RW) == 0);
		w->ro[i] = false;
	}
}

/* The child has the caller's pages as they are now, whatever is written. */
static void do_fork(struct worker *w)
{
	struct mm_struct *child = NULL;
	u32 first = (u32)prng_below(&w->r, OWN);

	if (mm_fork(space, &child))
		return;
	for (u32 k = 0; k < 8; k++) {
		u32 i = (first + k * 17) % OWN;
		u64 was = w->word[i], v = 1;

		if (k & 1)
			do_write(w, i);
		CHECK(copy_from_user(child, &v, page_va(w, i), sizeof(v)) == 0);
		CHECK(v == was);
	}
	/* No look at its tables: they change while its frames are moved. */
	mm_put(child);
}

static void step(struct worker *w)
{
	u64 op = prng_below(&w->r, 1000);
	u32 i = (u32)prng_below(&w->r, OWN);

	if (op < 600)
		do_write(w, i);
	else if (op < 900)
		check_page(w, i);
	else if (op < 920)
		do_drop(w, i);
	else if (op < 930)
		do_protect(w, i);
	else if (op < 940)
		do_replace(w, i);
	else if (op < 965)
		do_pageout(w, i);
	else if (op < 973)
		do_unprotect(w);
	else if (op < 976)
		do_pageout_all(w);
	else if (op < 993)
		do_collapse(w);
	else
		do_fork(w);
}

static void work(void *arg)
{
	struct worker *w = arg;
	struct mm_task *task = port_current();

	mm_task_register(task, "huge");
	mm_task_attach(task, space);
	for (u64 n = 0; n < steps; n++)
		step(w);
	for (u32 i = 0; i < OWN; i++)
		check_page(w, i);
	mm_task_exit(task);
	mm_task_unregister(task);
	__atomic_fetch_sub(&running, 1, __ATOMIC_SEQ_CST);
}

/* Somebody wants the frames of huge pages, one block after the other. */
static void take_frames(void *arg)
{
	u64 max = phys_sys.hot.max_pfn;

	(void)arg;
	for (u64 pfn = 0; __atomic_load_n(&running, __ATOMIC_SEQ_CST);
	     pfn = (pfn + HPAGE_PMD_NR) % max) {
		if (pfn + HPAGE_PMD_NR <= max && pfn_valid(pfn) &&
		    page_large_maps(pfn_to_page(pfn)) &&
		    !alloc_contig_range(pfn, pfn + HPAGE_PMD_NR,
					MIGRATE_MOVABLE, GFP_KERNEL))
			free_contig_range(pfn, HPAGE_PMD_NR);
		port_park(20 * 1000);
	}
}

static void set_file(const char *name, const char *text)
{
	char path[96];

	snprintf(path, sizeof(path), "/sys/kernel/mm/transparent_hugepage/%s",
		 name);
	CHECK(mm_write(path, text, strlen(text)) == (s64)strlen(text));
}

static void life(u64 seed)
{
	static struct worker workers[THREADS];
	struct port_thread *t[THREADS], *taker;
	struct mm_layout l;

	mm_default_layout(&l);
	CHECK(mm_create(&l, &space) == 0);
	CHECK(do_mmap(space, AT, (u64)PAGES * PAGE_SIZE, RW,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED) == (s64)AT);
	memset(workers, 0, sizeof(workers));
	__atomic_store_n(&running, THREADS, __ATOMIC_SEQ_CST);
	for (u32 i = 0; i < THREADS; i++) {
		workers[i].id = i;
		prng_seed(&workers[i].r, seed * THREADS + i);
		t[i] = race_start("huge", work, &workers[i]);
	}
	taker = race_start("taker", take_frames, NULL);
	for (u32 i = 0; i < THREADS; i++)
		port_thread_join(t[i]);
	port_thread_join(taker);
	CHECK(__atomic_load_n(&running, __ATOMIC_SEQ_CST) == 0);
	mm_check(space);
	mm_put(space);
}

static u64 nr_rounds, blocks, demoted, copied, moved, swapped;

static int run_main(void *arg)
{
	static struct books books;
	struct mm_boot_params bp = {.map = arg};
	u64 sum[NR_VM_EVENT_ITEMS];

	CHECK(mm_boot(&bp) == 0);
	(void)host_swap(SWAP_PAGES, -2);
	set_file("enabled", "always");
	set_file("khugepaged/scan_sleep_millisecs", "1");
	books_open(&books);
	for (u64 i = 0; i < nr_rounds; i++)
		life(the_seed + i);
	set_file("enabled", "never");
	all_vm_events(sum);
	blocks = sum[THP_FAULT_ALLOC];
	demoted = sum[THP_SPLIT_PMD];
	copied = sum[THP_COLLAPSE_ALLOC];
	moved = sum[THP_MIGRATION_SUCCESS];
	swapped = sum[THP_SWPOUT];
	race_settle(books_drop_orphans);
	CHECK(books_close(&books) == 0);
	CHECK(global_node_page_state(NR_ANON_THPS) == 0);
	CHECK(space_sys.nr_mms == 0 && space_sys.committed == 0);
	mm_shutdown();
	return 0;
}

static void threads(void **state)
{
	(void)state;
	the_seed = test_env("SEED", 1);
	nr_rounds = test_iters(getenv("SOAK") ? 200 : ROUNDS);
	steps = 1500;
	race_machine(24UL << 20, run_main);
	fprintf(stderr,
		"huge: SEED=%llu, %llu blocks at first touch, %llu to collapse "
		"into, %llu times put back, %llu moved and %llu swapped as a "
		"whole\n",
		(unsigned long long)the_seed, (unsigned long long)blocks,
		(unsigned long long)copied, (unsigned long long)demoted,
		(unsigned long long)moved, (unsigned long long)swapped);
	assert_true(blocks && copied && demoted && moved + swapped);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads),
	};

	return cmocka_run_group_tests_name("thp_threads", tests, NULL, NULL);
}
