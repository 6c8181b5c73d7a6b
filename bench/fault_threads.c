/* world: host */
/* wrap: host_spin_wait down_read down_write pcp_refill */
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
 * the program. Counted by putting this program's functions around the
 * manager's (the linker's --wrap): acquisitions of a semaphore, shared and
 * exclusive; waits for a spinlock; refills of the per-CPU frames, which lock
 * the zone. Nothing else that a fault locks is shared by the two threads but
 * the LRU list, once for each batch of fifteen.
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

static __thread u64 waits, shared, exclusive, refills;

void __real_host_spin_wait(u32 *word);
void __wrap_host_spin_wait(u32 *word);
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
	waits++;
	__real_host_spin_wait(word);
}

void __wrap_down_read(struct rw_semaphore *sem)
{
	shared++;
	__real_down_read(sem);
}

void __wrap_down_write(struct rw_semaphore *sem)
{
	exclusive++;
	__real_down_write(sem);
}

struct page *__wrap_pcp_refill(struct per_cpu_pages *pcp, unsigned int index,
			       unsigned int order, u64 want, u32 flags)
{
	refills++;
	return __real_pcp_refill(pcp, index, order, want, flags);
}

static struct {
	int threads, ready;
	u64 n;
	struct mm_struct *mm;
	double secs[2];
	u64 waits, shared, exclusive, refills;
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

static void thread_main(void *arg)
{
	int me = (int)(u64)arg;
	uva_t at = AT + (u64)me * PART;
	double start;

	pin_to(me);
	mm_task_register(port_current(), "bench");
	mm_task_attach(port_current(), job.mm);
	need(!host_touch(at + (job.n << PAGE_SHIFT), HOST_WRITE));
	waits = shared = exclusive = refills = 0;
	__atomic_fetch_add(&job.ready, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&job.ready, __ATOMIC_ACQUIRE) < job.threads)
		sched_yield();
	start = cpu_seconds();
	for (u64 i = 0; i < job.n; i++)
		need(!host_touch(at + (i << PAGE_SHIFT), HOST_WRITE));
	job.secs[me] = cpu_seconds() - start;
	__atomic_fetch_add(&job.waits, waits, __ATOMIC_RELAXED);
	__atomic_fetch_add(&job.shared, shared, __ATOMIC_RELAXED);
	__atomic_fetch_add(&job.exclusive, exclusive, __ATOMIC_RELAXED);
	__atomic_fetch_add(&job.refills, refills, __ATOMIC_RELAXED);
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
	double best = 1e9, faults = (double)n * threads;

	for (int i = 0; i < RUNS; i++) {
		double secs = run(threads, n);

		best = min(best, secs);
	}
	printf("%-24s", threads == 1 ? "one thread" : "two threads");
	bench_cell(best / (double)n * 1e9);
	bench_cell(threads == 1 ? BENCH_NONE : alone / best * threads);
	bench_cell(threads == 1 ? BENCH_NONE : SPEED_GOAL);
	bench_cell((double)job.shared * 1000 / faults);
	bench_cell((double)job.exclusive * 1000 / faults);
	bench_cell((double)job.refills * 1000 / faults);
	bench_cell((double)job.waits * 1000 / faults);
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
	printf("%-24s %10s %10s %10s %10s %10s %10s %10s\n",
	       "anonymous write faults", "ns", "speed-up", "goal", "shared",
	       "exclusive", "refills", "waits");
	printf("%-24s %10s %10s %10s %43s\n", "", "a thread", "", "",
	       "of locks, in 1,000 faults");
	alone = row(1, n, 0);
	row(2, n, alone);
	return 0;
}
