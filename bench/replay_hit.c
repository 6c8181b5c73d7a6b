/* world: sim */
/* SPDX-License-Identifier: MIT */
/*
 * replay_hit - what a page-run record costs in replay when it hits the TLB.
 *
 *	replay_hit                     print the table
 *	replay_hit make FILE ORDER N   write a trace of N records
 *	replay_hit run FILE            replay it on 1 GiB
 *
 * The traces touch a few pages over and over, in a loop or at random, one
 * page a record. Two lengths are compared, so boot, first touches and the end
 * cancel out; reading and decompressing the trace is part of the cost.
 */
#include "bench.h"

#include "base/prng.h"
#include "replay.h"
#include "trace.h"

#define PAGES	    64u
#define MAX_INSNS   40.0
#define AIM_RECORDS 100.0 /* millions a second */

static void must_write(struct trace_writer *w, const struct trace_rec *rec)
{
	if (trace_write(w, rec)) {
		fprintf(stderr, "%s\n", trace_writer_error(w));
		exit(1);
	}
}

static void write_map(struct trace_writer *w)
{
	struct trace_rec rec = {
		.type = TRACE_MAP,
		.map = {.map = 0,
			.kind = TRACE_KIND_ANON,
			.how = TRACE_HOW_START,
			.prot = TRACE_PROT_READ | TRACE_PROT_WRITE,
			.pages = PAGES,
			.at_map = TRACE_NO_ID,
			.start = 0x7f0000000000,
			.file = TRACE_NO_ID},
	};

	must_write(w, &rec);
}

static void write_refs(struct trace_writer *w, bool random, u64 nr)
{
	struct trace_rec rec = {.type = TRACE_REF};
	struct prng rnd;

	prng_seed(&rnd, 1);
	for (u64 i = 0; i < nr; i++) {
		/* All pages are written first, then they hit. */
		bool first = i < PAGES;

		rec.ref = (struct trace_ref){
			.page = (u32)(random && !first ? prng_below(&rnd, PAGES)
						       : i % PAGES),
			.nr_pages = 1,
			.access = first || i % 4 == 0 ? TRACE_W : TRACE_R,
			.count = random ? 1 + (u32)prng_below(&rnd, 16) : 4,
		};
		must_write(w, &rec);
	}
}

static int make(const char *path, const char *order, u64 nr)
{
	char *argv[] = {(char *)"synthetic"};
	struct trace_header h = {.arch = TRACE_ARCH_X86_64,
				 .page_size = PAGE_SIZE,
				 .argc = 1,
				 .argv = argv,
				 .program = (char *)"replay_hit"};
	struct trace_totals totals = {.footprint_pages = PAGES};
	struct trace_rec end = {.type = TRACE_EXIT};
	struct trace_error e;
	struct trace_writer *w = trace_writer_open(path, &h, &e);

	if (!w)
		bench_die(e.text);
	write_map(w);
	write_refs(w, !strcmp(order, "random"), nr);
	must_write(w, &end);
	if (trace_writer_finish(w, &totals, &e))
		bench_die(e.text);
	return 0;
}

static int run(const char *path)
{
	static struct replay_result res;
	static struct replay_opts o;

	o.trace = path;
	o.no_min = true;
	machine_defaults(&o.machine);
	replay_run(&o, &res);
	if (res.data_errors || res.access_errors || res.tlb_misses > 1000)
		bench_die("the synthetic trace did not replay as meant");
	printf("%llu\n", (unsigned long long)res.wall_ns);
	return 0;
}

/* ---- the table --------------------------------------------------------------
 */

struct job {
	const char *order;
	char few[256], some[256], many[256];
	u64 nr_few, nr_some, nr_many;
};

/* The least wall time of three runs, seconds. */
static double seconds(const char *path)
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
			exit(run(path));
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

static void row(const char *dir, const char *order)
{
	struct job j = {.order = order,
			.nr_few = 500000,
			.nr_some = 2500000,
			.nr_many = 20500000};
	double insns[2], rate;

	snprintf(j.few, sizeof(j.few), "%s/few", dir);
	snprintf(j.some, sizeof(j.some), "%s/some", dir);
	snprintf(j.many, sizeof(j.many), "%s/many", dir);
	make(j.few, order, j.nr_few);
	make(j.some, order, j.nr_some);
	make(j.many, order, j.nr_many);
	insns[0] = bench_instructions("@ run %s", j.few);
	insns[1] = bench_instructions("@ run %s", j.some);
	rate = (double)(j.nr_many - j.nr_few) /
	       (seconds(j.many) - seconds(j.few)) / 1e6;
	printf("%-8s", order);
	if (insns[0] < 0)
		printf(" %14s", "no valgrind");
	else
		printf(" %14.1f",
		       (insns[1] - insns[0]) / (double)(j.nr_some - j.nr_few));
	printf(" %14.0f %18.1f %14.0f\n", MAX_INSNS, rate, AIM_RECORDS);
	unlink(j.few);
	unlink(j.some);
	unlink(j.many);
}

int main(int argc, char **argv)
{
	const char *tmp = getenv("TMPDIR");
	char dir[128];

	if (argc == 5 && !strcmp(argv[1], "make"))
		return make(argv[2], argv[3], strtoull(argv[4], NULL, 0));
	if (argc == 3 && !strcmp(argv[1], "run"))
		return run(argv[2]);
	snprintf(dir, sizeof(dir), "%.80s/mmkit-bench-XXXXXX",
		 tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(dir))
		bench_die("cannot make a temporary folder");
	printf("replay of page-run records that hit the TLB, %u pages\n",
	       PAGES);
	printf("%-8s %14s %14s %18s %14s\n", "order", "insns/record", "at most",
	       "M records/s", "aim");
	row(dir, "loop");
	row(dir, "random");
	printf("(reading is included: what zstd needs to decompress a record "
	       "is\n next to nothing in a loop and most of the cost at "
	       "random)\n");
	rmdir(dir);
	return 0;
}
