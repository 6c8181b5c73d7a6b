/* world: host */
/* wrap: host_spin_wait pcp_refill pcp_shrink free_block rmqueue_smallest */
/* SPDX-License-Identifier: MIT */
/*
 * page_threads - the page allocator with one thread and with two: on one zone,
 * on a zone each, and with one that takes what the other gives back.
 *
 *	page_threads          print the table
 *	page_threads ITEM N   do ITEM N times on each of its threads
 *
 * Times are CPU time of the slower thread, waiting included, the best of
 * several runs; "speed-up" is what two cores do of it against one thread in
 * the same group of rows and run. Zone locks and waits are counted by putting
 * this program's functions around the manager's (the linker's --wrap): a zone
 * is locked once for each refill and shrinking of a per-CPU set, each block
 * freed past the sets and each block taken past them. Instructions are
 * callgrind's, which lets threads run in turns: what waiting costs is not in
 * them.
 */
#include "bench.h"

#include <pthread.h>
#include <sched.h>

#include "base/atomic.h"
#include "base/system.h"
#include "host.h"
#include "phys/buddy_priv.h"
#include "phys/phys.h"

#define BATCH	   512
#define ROUNDS	   7
#define RING	   1024 /* frames on their way to the other thread */
#define SPEED_GOAL 1.7

/* ---- what is counted
 * ------------------------------------------------------------- */

static __thread u64 zone_locks, waits;
static __thread bool in_refill;

void __real_host_spin_wait(u32 *word);
void __wrap_host_spin_wait(u32 *word);
struct page *__real_pcp_refill(struct per_cpu_pages *pcp, unsigned int index,
			       unsigned int order, u64 want, u32 flags);
struct page *__wrap_pcp_refill(struct per_cpu_pages *pcp, unsigned int index,
			       unsigned int order, u64 want, u32 flags);
void __real_pcp_shrink(struct per_cpu_pages *pcp, unsigned int index);
void __wrap_pcp_shrink(struct per_cpu_pages *pcp, unsigned int index);
void __real_free_block(struct zone *zone, struct page *page, u64 pfn,
		       unsigned int order);
void __wrap_free_block(struct zone *zone, struct page *page, u64 pfn,
		       unsigned int order);
struct page *__real_rmqueue_smallest(struct zone *zone, unsigned int order,
				     int mt);
struct page *__wrap_rmqueue_smallest(struct zone *zone, unsigned int order,
				     int mt);

void __wrap_host_spin_wait(u32 *word)
{
	waits++;
	__real_host_spin_wait(word);
}

struct page *__wrap_pcp_refill(struct per_cpu_pages *pcp, unsigned int index,
			       unsigned int order, u64 want, u32 flags)
{
	struct page *page;

	zone_locks++;
	in_refill = true;
	page = __real_pcp_refill(pcp, index, order, want, flags);
	in_refill = false;
	return page;
}

void __wrap_pcp_shrink(struct per_cpu_pages *pcp, unsigned int index)
{
	zone_locks++;
	in_refill = true;
	__real_pcp_shrink(pcp, index);
	in_refill = false;
}

void __wrap_free_block(struct zone *zone, struct page *page, u64 pfn,
		       unsigned int order)
{
	zone_locks += !in_refill;
	__real_free_block(zone, page, pfn, order);
}

struct page *__wrap_rmqueue_smallest(struct zone *zone, unsigned int order,
				     int mt)
{
	zone_locks += !in_refill;
	return __real_rmqueue_smallest(zone, order, mt);
}

/* ---- the work
 * -------------------------------------------------------------------- */

static void need(bool ok)
{
	if (!ok)
		bench_die("an operation failed");
}

static void pairs(u64 n, unsigned int order)
{
	while (n--) {
		struct page *page = alloc_pages(GFP_KERNEL, order);

		need(page);
		__free_pages(page, order);
	}
}

static void run_order0(int me, u64 n)
{
	(void)me;
	pairs(n, 0);
}

static void run_order3(int me, u64 n)
{
	(void)me;
	pairs(n, 3);
}

static void run_order9(int me, u64 n)
{
	(void)me;
	pairs(n, 9);
}

static void run_batch(int me, u64 n)
{
	static __thread struct page *pages[BATCH];

	(void)me;
	for (u64 done = 0; done < n; done += BATCH) {
		for (int i = 0; i < BATCH; i++) {
			pages[i] = alloc_page(GFP_KERNEL);
			need(pages[i]);
		}
		for (int i = 0; i < BATCH; i++)
			__free_page(pages[i]);
	}
}

/* Frames that the first thread took and the second has not given back. */
static struct {
	MM_ALIGNED(MM_CACHELINE) u64 put;
	MM_ALIGNED(MM_CACHELINE) u64 got;
	MM_ALIGNED(MM_CACHELINE) struct page *slot[RING];
} ring;

static void wait_turn(u64 *tries)
{
	if (++*tries % 256 == 0)
		sched_yield();
	else
		__builtin_ia32_pause();
}

static void run_cross(int me, u64 n)
{
	u64 tries = 0;

	for (u64 i = 0; i < n; i++) {
		u64 *slot = (u64 *)&ring.slot[i % RING];

		if (me == 0) {
			struct page *page = alloc_page(GFP_KERNEL);

			need(page);
			while (i - __atomic_load_n(&ring.got,
						   __ATOMIC_ACQUIRE) >=
			       RING)
				wait_turn(&tries);
			*slot = (u64)page;
			__atomic_store_n(&ring.put, i + 1, __ATOMIC_RELEASE);
			continue;
		}
		while (__atomic_load_n(&ring.put, __ATOMIC_ACQUIRE) <= i)
			wait_turn(&tries);
		__free_page((struct page *)*slot);
		__atomic_store_n(&ring.got, i + 1, __ATOMIC_RELEASE);
	}
}

/* ---- threads on a machine
 * --------------------------------------------------------- */

struct item {
	const char *name, *text;
	int threads, nodes;
	u64 n;		    /* operations of a thread, for times */
	double linux_insns; /* of one thread; BENCH_NONE */
	void (*run)(int me, u64 n);
};

static const struct item items[] = {
	{"page1", "page pair, order 0", 1, 1, 1 << 21, 701, run_order0},
	{"page2", "  2 threads, one zone", 2, 1, 1 << 21, 701, run_order0},
	{"page2n", "  2 threads, a node each", 2, 2, 1 << 21, 701, run_order0},
	{"cross", "  one takes, one gives back", 2, 1, 1 << 20, 701, run_cross},
	{"batch1", "batches of 512", 1, 1, 1 << 20, 611 + 519, run_batch},
	{"batch2", "  2 threads, one zone", 2, 1, 1 << 20, 611 + 519,
	 run_batch},
	{"batch2n", "  2 threads, a node each", 2, 2, 1 << 20, 611 + 519,
	 run_batch},
	{"order3_1", "block pair, order 3", 1, 1, 1 << 20, 885, run_order3},
	{"order3_2", "  2 threads, one zone", 2, 1, 1 << 20, 885, run_order3},
	{"order3_2n", "  2 threads, a node each", 2, 2, 1 << 20, 885,
	 run_order3},
	{"order9_1", "block pair, order 9", 1, 1, 1 << 18, 17730, run_order9},
	{"order9_2", "  2 threads, one zone", 2, 1, 1 << 18, 17730, run_order9},
	{"order9_2n", "  2 threads, a node each", 2, 2, 1 << 18, 17730,
	 run_order9},
};

/* One run of one item. */
static struct {
	const struct item *item;
	u64 n;
	int ready, node[2];
	double secs[2];
	u64 zone_locks, waits;
} job;

static void pin_to(int core)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)(core % cores), &set);
	/* Without permission the times are a little worse, that is all. */
	(void)pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

/* Of this thread: others use the machine too. */
static double cpu_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void thread_main(void *arg)
{
	int me = (int)(u64)arg;
	double start;

	pin_to(me);
	job.node[me] = numa_node_id();
	/* The stacks are filled once before the clock runs. */
	if (job.item->run != run_cross)
		job.item->run(me, BATCH);
	zone_locks = waits = 0;
	__atomic_fetch_add(&job.ready, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&job.ready, __ATOMIC_ACQUIRE) <
	       job.item->threads)
		sched_yield();
	start = cpu_seconds();
	job.item->run(me, job.n);
	job.secs[me] = cpu_seconds() - start;
	__atomic_fetch_add(&job.zone_locks, zone_locks, __ATOMIC_RELAXED);
	__atomic_fetch_add(&job.waits, waits, __ATOMIC_RELAXED);
}

static int machine_main(void *arg)
{
	static const struct phys_node_range nodes[] = {
		{0, 512UL << 20, 0}, {512UL << 20, 1UL << 30, 1}};
	struct phys_boot_params params = {.map = arg, .nodes = nodes};
	struct port_thread *t[2];

	params.nr_nodes = job.item->nodes;
	if (phys_boot_memory(&params))
		return 1;
	for (int i = 0; i < job.item->threads; i++) {
		if (port_thread_start(&t[i], "bench", i % job.item->nodes,
				      thread_main, (void *)(u64)i))
			return 2;
	}
	for (int i = 0; i < job.item->threads; i++)
		port_thread_join(t[i]);
	drain_all_pages();
	phys_check();
	if (nr_free_pages() != totalram_pages())
		return 3;
	return job.item->nodes == 2 && job.node[0] == job.node[1] ? 4 : 0;
}

/* ITEM, N times on each thread. Returns the seconds of the slowest. */
static double run(const struct item *item, u64 n)
{
	u8 cpu_node[8];
	struct host_config cfg = {.cpus = 8,
				  .ram_max = 2UL << 30,
				  .cpu_node = cpu_node,
				  .quiet = true};
	static struct e820_table map;
	int err;

	for (int i = 0; i < 8; i++)
		cpu_node[i] = (u8)(i % item->nodes);
	memset(&job, 0, sizeof(job));
	memset(&ring, 0, sizeof(ring));
	job.item = item;
	job.n = n;
	e820_init(&map);
	need(!e820_add(&map, 0, (u64)item->nodes << 29, E820_TYPE_RAM));
	base_reset();
	phys_reset();
	need(!host_init(&cfg));
	err = host_run(machine_main, &map);
	if (err) {
		fprintf(stderr, "bench: %s: the machine fails (%d)\n",
			item->name, err);
		exit(1);
	}
	need(!host_shutdown());
	return item->threads == 2 && job.secs[1] > job.secs[0] ? job.secs[1]
							       : job.secs[0];
}

/* ---- the table
 * ------------------------------------------------------------------- */

/* Instructions of an operation. A waiting thread's are not the allocator's. */
static double instructions(const struct item *item)
{
	unsigned long long few = 16 * BATCH, many = 80 * BATCH;
	double a, b;

	if (item->run == run_cross)
		return BENCH_NONE;
	a = bench_instructions("@ %s %llu", item->name, few);
	b = bench_instructions("@ %s %llu", item->name, many);
	if (a < 0)
		return BENCH_NONE;
	return (b - a) / (double)(many - few) / item->threads;
}

/* BASE: the one thread's seconds for an operation, set by its row. */
static void row(const struct item *item, double *base)
{
	double ops =
		(double)item->n * (item->run == run_cross ? 1 : item->threads);
	double best = 1e9, insns;
	u64 locks = 0, waited = 0;

	for (int i = 0; i < ROUNDS; i++) {
		double secs = run(item, item->n);

		if (secs >= best)
			continue;
		best = secs;
		locks = job.zone_locks;
		waited = job.waits;
	}
	if (item->threads == 1)
		*base = best / ops;
	insns = instructions(item);
	printf("%-30s", item->text);
	bench_cell(best / (double)item->n * 1e9);
	bench_cell(item->threads == 1 ? BENCH_NONE : *base / (best / ops));
	bench_cell(item->threads == 1 || item->run == run_cross ? BENCH_NONE
								: SPEED_GOAL);
	bench_cell((double)locks * 1000 / ops);
	bench_cell((double)waited * 1000 / ops);
	bench_cell(insns);
	bench_cell(item->linux_insns);
	if (insns < 0)
		printf(" %10s\n", "-");
	else
		printf(" %10.3f\n", insns / item->linux_insns);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	double base = 0;

	for (size_t i = 0; argc == 3 && i < ARRAY_SIZE(items); i++) {
		if (strcmp(items[i].name, argv[1]))
			continue;
		run(&items[i], strtoull(argv[2], NULL, 0));
		return 0;
	}
	if (argc == 3)
		bench_die("no such item");
	printf("page allocator, host world, %ld cores\n",
	       sysconf(_SC_NPROCESSORS_ONLN));
	printf("%-30s %10s %10s %10s %10s %10s %10s %10s %10s\n", "a pair",
	       "ns", "speed-up", "goal", "zone locks", "waits", "insns",
	       "Linux", "ours/Linux");
	printf("%-30s %10s %10s %10s %10s %10s\n", "", "a thread", "", "",
	       "/1000", "/1000");
	for (size_t i = 0; i < ARRAY_SIZE(items); i++)
		row(&items[i], &base);
	return 0;
}
