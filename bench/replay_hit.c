/* world: sim */
/* SPDX-License-Identifier: MIT */
/*
 * replay_hit - what a page-run record costs in replay when it hits the TLB,
 * and when it misses it.
 *
 *	replay_hit                     print the table
 *	replay_hit make FILE ORDER N   write a trace of N records
 *	replay_hit run FILE ORDER ARCH replay it on 1 GiB
 *
 * The traces touch a few pages over and over, in a loop or at random, or, for
 * the misses, more pages than the TLB holds, in a loop; one page a record. Two
 * lengths are compared, so boot, first touches and the end cancel out; reading
 * and decompressing the trace is part of the cost, and of a miss so are the
 * walk, the load of the TLB and the look at the page's contents.
 */
#include "bench.h"

#include "arch/paging.h"
#include "base/prng.h"
#include "replay.h"
#include "trace.h"

#define HIT_PAGES   64u
#define MISS_PAGES  4096u
#define MAX_INSNS   40.0
#define AIM_RECORDS 100.0 /* millions a second */

enum order { LOOP, RANDOM, MISS };

static const char *const order_names[] = {"loop", "random", "miss"};

static enum order order_of(const char *name)
{
	for (u32 i = 0; i < ARRAY_SIZE(order_names); i++)
		if (!strcmp(order_names[i], name))
			return (enum order)i;
	bench_die("no such order");
}

static u32 pages_of(enum order order)
{
	return order == MISS ? MISS_PAGES : HIT_PAGES;
}

static void must_write(struct trace_writer *w, const struct trace_rec *rec)
{
	if (trace_write(w, rec)) {
		fprintf(stderr, "%s\n", trace_writer_error(w));
		exit(1);
	}
}

static void write_map(struct trace_writer *w, enum order order)
{
	struct trace_rec rec = {
		.type = TRACE_MAP,
		.map = {.map = 0,
			.kind = TRACE_KIND_ANON,
			.how = TRACE_HOW_START,
			.prot = TRACE_PROT_READ | TRACE_PROT_WRITE,
			.pages = pages_of(order),
			.at_map = TRACE_NO_ID,
			.start = 0x7f0000000000,
			.file = TRACE_NO_ID,
			.open = TRACE_NO_ID},
	};

	must_write(w, &rec);
}

static void write_refs(struct trace_writer *w, enum order order, u64 nr)
{
	struct trace_rec rec = {.type = TRACE_REF};
	u32 pages = pages_of(order);
	struct prng rnd;

	prng_seed(&rnd, 1);
	for (u64 i = 0; i < nr; i++) {
		/* All pages are written first, then they hit. A write after a
		 * miss would give the page new contents: not asked for here. */
		bool first = i < pages;
		bool write = first || (order != MISS && i % 4 == 0);
		bool random = order == RANDOM && !first;

		rec.ref = (struct trace_ref){
			.page = (u32)(random ? prng_below(&rnd, pages)
					     : i % pages),
			.nr_pages = 1,
			.access = write ? TRACE_W : TRACE_R,
			.count = order == RANDOM ? 1 + (u32)prng_below(&rnd, 16)
						 : 4,
		};
		must_write(w, &rec);
	}
}

static int make(const char *path, enum order order, u64 nr)
{
	char *argv[] = {(char *)"synthetic"};
	struct trace_header h = {.arch = TRACE_ARCH_X86_64,
				 .page_size = PAGE_SIZE,
				 .argc = 1,
				 .argv = argv,
				 .program = (char *)"replay_hit"};
	struct trace_totals totals = {.footprint_pages = pages_of(order)};
	struct trace_rec end = {.type = TRACE_EXIT};
	struct trace_error e;
	struct trace_writer *w = trace_writer_open(path, &h, &e);

	if (!w)
		bench_die(e.text);
	write_map(w, order);
	write_refs(w, order, nr);
	must_write(w, &end);
	if (trace_writer_finish(w, &totals, &e))
		bench_die(e.text);
	return 0;
}

static int run(const char *path, enum order order, const char *arch)
{
	static struct replay_result res;
	static struct replay_opts o;
	bool meant;

	o.trace = path;
	o.no_min = true;
	machine_defaults(&o.machine);
	o.machine.arch = arch;
	replay_run(&o, &res);
	meant = order == MISS ? res.tlb_misses >= res.records
			      : res.tlb_misses < 1000;
	if (res.data_errors || res.access_errors || !meant)
		bench_die("the synthetic trace did not replay as meant");
	printf("%llu\n", (unsigned long long)res.wall_ns);
	return 0;
}

/* ---- the table --------------------------------------------------------------
 */

/* Three traces of one order. */
struct job {
	enum order order;
	char few[256], some[256], many[256];
	u64 nr_few, nr_some, nr_many;
};

/* The least wall time of three runs, seconds. */
static double seconds(const char *path, enum order order, const char *arch)
{
	double best = 1e9;

	for (int i = 0; i < 3; i++) {
		unsigned long long ns = 0;
		int fd[2], status;
		pid_t pid;
		FILE *f;

		if (pipe(fd))
			bench_die("no pipe");
		fflush(stdout);
		pid = fork();
		if (pid < 0)
			bench_die("cannot fork");
		if (pid == 0) {
			dup2(fd[1], STDOUT_FILENO);
			close(fd[0]);
			exit(run(path, order, arch));
		}
		close(fd[1]);
		f = fdopen(fd[0], "r");
		if (!f || fscanf(f, "%llu", &ns) != 1)
			bench_die("a run failed");
		fclose(f);
		waitpid(pid, &status, 0);
		if ((double)ns / 1e9 < best)
			best = (double)ns / 1e9;
	}
	return best;
}

static void row(const struct job *j, const char *arch)
{
	double insns[2], rate;
	const char *order = order_names[j->order];

	insns[0] = bench_instructions("@ run %s %s %s", j->few, order, arch);
	insns[1] = bench_instructions("@ run %s %s %s", j->some, order, arch);
	rate = (double)(j->nr_many - j->nr_few) /
	       (seconds(j->many, j->order, arch) -
		seconds(j->few, j->order, arch)) /
	       1e6;
	printf("%-8s %-12s", order, arch);
	if (insns[0] < 0)
		printf(" %14s", "no valgrind");
	else
		printf(" %14.1f", (insns[1] - insns[0]) /
					  (double)(j->nr_some - j->nr_few));
	if (j->order == MISS)
		printf(" %10s %14.1f %6s\n", "-", rate, "-");
	else
		printf(" %10.0f %14.1f %6.0f\n", MAX_INSNS, rate, AIM_RECORDS);
}

static void rows(const char *dir, enum order order)
{
	const struct paging_format *f;
	struct job j = {.order = order,
			.nr_few = 500000,
			.nr_some = order == MISS ? 1000000 : 2500000,
			.nr_many = order == LOOP ? 20500000 : 4500000};

	snprintf(j.few, sizeof(j.few), "%s/few", dir);
	snprintf(j.some, sizeof(j.some), "%s/some", dir);
	snprintf(j.many, sizeof(j.many), "%s/many", dir);
	make(j.few, order, j.nr_few);
	make(j.some, order, j.nr_some);
	make(j.many, order, j.nr_many);
	for (u32 i = 0; (f = paging_format_nth(i)); i++)
		if (order != RANDOM || f == &paging_x86_64_4level)
			row(&j, f->name);
	unlink(j.few);
	unlink(j.some);
	unlink(j.many);
}

int main(int argc, char **argv)
{
	const char *tmp = getenv("TMPDIR");
	char dir[128];

	if (argc == 5 && !strcmp(argv[1], "make"))
		return make(argv[2], order_of(argv[3]),
			    strtoull(argv[4], NULL, 0));
	if (argc == 5 && !strcmp(argv[1], "run"))
		return run(argv[2], order_of(argv[3]), argv[4]);
	snprintf(dir, sizeof(dir), "%.80s/mmkit-bench-XXXXXX",
		 tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(dir))
		bench_die("cannot make a temporary folder");
	printf("replay of page-run records: %u pages that hit the TLB, %u that "
	       "miss it\n",
	       HIT_PAGES, MISS_PAGES);
	printf("%-8s %-12s %14s %10s %14s %6s\n", "order", "arch",
	       "insns/record", "at most", "M records/s", "aim");
	rows(dir, LOOP);
	rows(dir, RANDOM);
	rows(dir, MISS);
	printf("(reading is included: what zstd needs to decompress a record "
	       "is\n next to nothing in a loop and most of the cost at random; "
	       "a miss\n includes the walk and a look at the page's "
	       "contents)\n");
	rmdir(dir);
	return 0;
}
