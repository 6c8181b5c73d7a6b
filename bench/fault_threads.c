/* world: host */
/* wrap: host_spin_wait port_park down_read down_write pcp_refill
 * alloc_zeroed_page release_pages */
/* SPDX-License-Identifier: MIT */
/*
 * fault_threads - first touches of anonymous memory in one process, by one
 * thread and by two, each in a part of its own of one mapping.
 *
 *	fault_threads          print the table
 *	fault_threads 1|2 N    N faults on each of so many threads
 *
 * Times are CPU time of the slower thread, the best of several runs; the
 * speed-up is what two cores do of it against one thread in the same run of
 * the program.
 *
 * Locks that the two share, counted in 1,000 faults by putting this program's
 * functions around the manager's (the linker's --wrap):
 *	shared     a semaphore taken for reading: the mmap lock, if a fault
 *	           could not do with a claim
 *	exclusive  semaphores taken for writing; the zone's lock, to refill the
 *	           per-CPU frames; the LRU's, for each batch of fifteen pages;
 *	           the space's page-table lock, for each new table
 *	contended  of all these, those that had to be waited for
 * What else a fault locks is of its CPU, or of a page table that one thread
 * alone uses here.
 */
#include "bench.h"

#include <pthread.h>
#include <sched.h>

#include <mmkit/boot.h>
#include <mmkit/mm.h>
#include <mmkit/mman.h>

#include "base/rwsem.h"
#include "host.h"
#include "phys/e820.h"
#include "phys/pcp_priv.h"

#define SPEED_GOAL 1.7
#define RUNS	   7
#define AT	   0x100000000UL
#define PART	   (1UL << 30)

/* What a thread took of locks that the two share. */
struct locks {
	u64 shared, contended;
	u64 sems, zone, lru, tables; /* exclusively */
};

static __thread struct locks took;

void __real_host_spin_wait(u32 *word);
void __wrap_host_spin_wait(u32 *word);
bool __real_port_park(u64 ns);
bool __wrap_port_park(u64 ns);
struct page *__real_alloc_zeroed_page(gfp_t gfp);
struct page *__wrap_alloc_zeroed_page(gfp_t gfp);
void __real_release_pages(struct page **pages, u32 nr);
void __wrap_release_pages(struct page **pages, u32 nr);
void __real_down_read(struct rw_semaphore *sem);
void __wrap_down_read(struct rw_semaphore *sem);
void __real_down_write(struct rw_semaphore *sem);
void __wrap_down_write(struct rw_semaphore *sem);
struct page *__real_pcp_refill(struct per_cpu_pages *pcp, unsigned int index,
			       unsigned int order, u64 want, u32 flags);
struct page *__wrap_pcp_refill(struct per_cpu_pages *pcp, unsigned int index,
			       unsigned int order, u64 want, u32 flags);

void __wrap_host_spin_wait(u32 *word)
{
	took.contended++;
	__real_host_spin_wait(word);
}

/* Semaphores sleep. */
bool __wrap_port_park(u64 ns)
{
	took.contended++;
	return __real_port_park(ns);
}

struct page *__wrap_alloc_zeroed_page(gfp_t gfp)
{
	took.tables++;
	return __real_alloc_zeroed_page(gfp);
}

/* Here: of a batch that has been put on its list. */
void __wrap_release_pages(struct page **pages, u32 nr)
{
	took.lru++;
	__real_release_pages(pages, nr);
}

void __wrap_down_read(struct rw_semaphore *sem)
{
	took.shared++;
	__real_down_read(sem);
}

void __wrap_down_write(struct rw_semaphore *sem)
{
	took.sems++;
	__real_down_write(sem);
}

struct page *__wrap_pcp_refill(struct per_cpu_pages *pcp, unsigned int index,
			       unsigned int order, u64 want, u32 flags)
{
	took.zone++;
	return __real_pcp_refill(pcp, index, order, want, flags);
}

static struct {
	int threads, ready;
	u64 n;
	struct mm_struct *mm;
	double secs[2];
	struct locks took;
} job;

static void need(bool ok)
{
	if (!ok)
		bench_die("an operation failed");
}

static double cpu_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void pin_to(int core)
{
	long cores = sysconf(_SC_NPROCESSORS_ONLN);
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)(core % cores), &set);
	/* Without permission the times are a little worse, that is all. */
	(void)pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

static void locks_add(void)
{
	__atomic_fetch_add(&job.took.shared, took.shared, __ATOMIC_RELAXED);
	__atomic_fetch_add(&job.took.contended, took.contended,
			   __ATOMIC_RELAXED);
	__atomic_fetch_add(&job.took.sems, took.sems, __ATOMIC_RELAXED);
	__atomic_fetch_add(&job.took.zone, took.zone, __ATOMIC_RELAXED);
	__atomic_fetch_add(&job.took.lru, took.lru, __ATOMIC_RELAXED);
	__atomic_fetch_add(&job.took.tables, took.tables, __ATOMIC_RELAXED);
}

static void thread_main(void *arg)
{
	int me = (int)(u64)arg;
	uva_t at = AT + (u64)me * PART;
	double start;

	pin_to(me);
	mm_task_register(port_current(), "bench");
	mm_task_attach(port_current(), job.mm);
	need(!host_touch(at + (job.n << PAGE_SHIFT), HOST_WRITE));
	took = (struct locks){0};
	__atomic_fetch_add(&job.ready, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&job.ready, __ATOMIC_ACQUIRE) < job.threads)
		sched_yield();
	start = cpu_seconds();
	for (u64 i = 0; i < job.n; i++)
		need(!host_touch(at + (i << PAGE_SHIFT), HOST_WRITE));
	job.secs[me] = cpu_seconds() - start;
	locks_add();
	mm_task_exit(port_current());
	mm_task_unregister(port_current());
}

static int machine_main(void *arg)
{
	struct mm_boot_params params = {.map = arg};
	struct port_thread *t[2];
	struct mm_layout l;

	need(!mm_boot(&params));
	mm_default_layout(&l);
	need(!mm_create(&l, &job.mm));
	need(do_mmap(job.mm, AT, 2 * PART, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE) ==
	     AT);
	for (int i = 0; i < job.threads; i++)
		need(!host_thread_start(&t[i], "bench", thread_main,
					(void *)(u64)i));
	for (int i = 0; i < job.threads; i++)
		port_thread_join(t[i]);
	mm_put(job.mm);
	mm_shutdown();
	return 0;
}

/* Seconds of the slower thread. */
static double run(int threads, u64 n)
{
	struct host_config cfg = {
		.cpus = 8, .ram_max = 1UL << 30, .quiet = true};
	static struct e820_table map;

	memset(&job, 0, sizeof(job));
	job.threads = threads;
	job.n = n;
	e820_init(&map);
	need(!e820_add(&map, 0, 1UL << 30, E820_TYPE_RAM));
	mm_reset();
	need(!host_init(&cfg));
	need(!host_run(machine_main, &map));
	need(!host_shutdown());
	return max(job.secs[0], job.secs[1]);
}

static double row(int threads, u64 n, double alone)
{
	double best = 1e9, in1000 = 1000 / ((double)n * threads);
	const struct locks *l = &job.took;

	for (int i = 0; i < RUNS; i++) {
		double secs = run(threads, n);

		best = min(best, secs);
	}
	printf("%-24s", threads == 1 ? "one thread" : "two threads");
	bench_cell(best / (double)n * 1e9);
	bench_cell(threads == 1 ? BENCH_NONE : alone / best * threads);
	bench_cell(threads == 1 ? BENCH_NONE : SPEED_GOAL);
	bench_cell((double)l->shared * in1000);
	bench_cell((double)(l->sems + l->zone + l->lru + l->tables) * in1000);
	bench_cell((double)l->contended * in1000);
	printf("   %.1f + %.1f + %.1f + %.1f", (double)l->sems * in1000,
	       (double)l->zone * in1000, (double)l->lru * in1000,
	       (double)l->tables * in1000);
	putchar('\n');
	return best;
}

int main(int argc, char **argv)
{
	u64 n = 65536;
	double alone;

	if (argc == 3) {
		run(atoi(argv[1]), strtoull(argv[2], NULL, 0));
		return 0;
	}
	printf("%-24s %10s %10s %10s %10s %10s %10s   %s\n",
	       "write faults, 1 process", "ns", "speed-up", "goal", "shared",
	       "exclusive", "contended", "exclusive: semaphores + zone +");
	printf("%-24s %10s %10s %10s %32s   %s\n", "", "a thread", "", "",
	       "locks in 1,000 faults", "LRU + tables");
	alone = row(1, n, 0);
	row(2, n, alone);
	return 0;
}
