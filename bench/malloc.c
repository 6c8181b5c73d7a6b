/* world: host */
/* SPDX-License-Identifier: MIT */
/*
 * malloc.c - the malloc library beside other allocators, in one run.
 *
 * Without arguments: for each work and each allocator there is, this program
 * runs itself with the allocator preloaded: under callgrind with two amounts
 * of work (instructions, all threads), and alone (time: the difference of two
 * amounts, the least of some runs of each, the allocators by turns and with
 * real-time priority where that is allowed, for others want the machine too;
 * peak resident memory, the mean of many runs, for where the system maps files
 * makes up to 224 KiB of difference to each). With arguments WORK SIZE THREADS
 * N it does that work, says its peak and exits.
 *
 * The peak is VmHWM, read where most is live and where the process ends: what
 * wait4() says of small processes lacks up to 32 pages for each CPU and kind of
 * page, which newer kernels count apart and add up for /proc only.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "bench.h"

#define BATCH	 1000
#define LIVE	 4000
#define RING	 1024
#define NR_PEERS 5
#define MOST_THR 2
/* Peak memory may be so much of the C library's. */
#define RSS_BOUND 1.1
/* Of ours and the C library's, whose ratio that is; of the others. */
#define RSS_RUNS  80
#define RSS_FEW	  20
#define TIME_RUNS 5

struct job {
	size_t size;
	long n;
	uint32_t seed;
	bool first; /* of the threads, which notes the peak */
	/* The thread's own, or two free each other's object. */
	void *volatile sink MM_ALIGNED(64);
};

static __thread void *p[BATCH];
static __thread int at[BATCH];

static uint32_t next(uint32_t *s)
{
	*s = *s * 1664525u + 1013904223u;
	return *s >> 8;
}

/* ---- peaks
 * ----------------------------------------------------------------------- */

static char peak_line[64];

/* The line of TEXT that begins with KEY, into peak_line. */
static void keep_line(const char *text, const char *key)
{
	for (const char *c = text; *c; c++) {
		size_t n = 0;

		while (key[n] && c[n] == key[n])
			n++;
		if (key[n])
			continue;
		for (n = 0; c[n] && c[n] != '\n'; n++) {
			if (n < sizeof(peak_line) - 2)
				peak_line[n] = c[n];
		}
		n = n < sizeof(peak_line) - 2 ? n : sizeof(peak_line) - 2;
		peak_line[n] = '\n';
		peak_line[n + 1] = '\0';
		return;
	}
}

/* Note the peak so far, with little of the C library: its pages count, too. */
static void note_peak(void)
{
	static char text[4096];
	int fd = open("/proc/self/status", O_RDONLY);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	if (n > 0) {
		text[n] = '\0';
		keep_line(text, "VmHWM:");
	}
	if (fd >= 0)
		close(fd);
}

static void say_peak(void)
{
	size_t n = 0;

	while (peak_line[n])
		n++;
	if (write(STDOUT_FILENO, peak_line, n) != (ssize_t)n)
		bench_die("cannot write");
}

/* ---- the works: N operations (pairs) each ---------------------------------
 */

/* One more object of the size is live, as in programs. */
static void work_pair(struct job *j)
{
	void *other = malloc(j->size);

	for (long i = 0; i < j->n; i++) {
		j->sink = malloc(j->size);
		free(j->sink);
	}
	free(other);
}

static void work_lifo(struct job *j)
{
	for (long k = 0; k < j->n; k += BATCH) {
		for (int i = 0; i < BATCH; i++)
			p[i] = malloc(j->size);
		for (int i = BATCH - 1; i >= 0; i--)
			free(p[i]);
	}
}

static void work_fifo(struct job *j)
{
	for (long k = 0; k < j->n; k += BATCH) {
		for (int i = 0; i < BATCH; i++)
			p[i] = malloc(j->size);
		for (int i = 0; i < BATCH; i++)
			free(p[i]);
	}
}

static void work_random(struct job *j)
{
	uint32_t s = j->seed;

	for (int i = 0; i < BATCH; i++)
		at[i] = i;
	for (int i = BATCH - 1; i > 0; i--) {
		int k = (int)(next(&s) % (uint32_t)(i + 1)), t = at[i];

		at[i] = at[k];
		at[k] = t;
	}
	for (long k = 0; k < j->n; k += BATCH) {
		for (int i = 0; i < BATCH; i++)
			p[i] = malloc(j->size);
		for (int i = 0; i < BATCH; i++)
			free(p[at[i]]);
	}
}

/* Mixed sizes, mostly small, objects live for long. */
static void work_churn(struct job *j)
{
	void **q = calloc(LIVE, sizeof(*q));
	uint32_t s = j->seed;

	for (long i = 0; i < j->n; i++) {
		uint32_t k = next(&s) % LIVE, r = next(&s);
		size_t size = 16 + (r & 0x70 ? r % 240 : r % j->size);

		free(q[k]);
		q[k] = malloc(size);
		*(char *)q[k] = 1;
	}
	if (j->first)
		note_peak();
	for (int i = 0; i < LIVE; i++)
		free(q[i]);
	free(q);
}

/* 64 steps of 64 bytes, then from the start. */
static void work_realloc(struct job *j)
{
	for (long k = 0; k < j->n; k += 64) {
		char *c = NULL;

		for (size_t i = 1; i <= 64; i++) {
			c = realloc(c, i * j->size);
			c[i * j->size - 1] = 1;
		}
		free(c);
	}
}

/* Larson's server: each round a new thread goes on with the old one's. */
struct larson {
	struct job job;
	void *p[BATCH];
};

static void *larson_round(void *arg)
{
	struct larson *l = arg;
	uint32_t s = l->job.seed;

	for (long i = 0; i < l->job.n; i++) {
		uint32_t k = next(&s) % BATCH;

		free(l->p[k]);
		l->p[k] = malloc(8 + next(&s) % l->job.size);
		*(char *)l->p[k] = 1;
	}
	l->job.seed = s;
	return NULL;
}

static void work_larson(struct job *j)
{
	static struct larson all[MOST_THR];
	static int used;
	struct larson *l = &all[__atomic_fetch_add(&used, 1, __ATOMIC_RELAXED)];
	pthread_t t;

	l->job = *j;
	l->job.n = j->n / 10;
	for (int round = 0; round < 10; round++) {
		if (pthread_create(&t, NULL, larson_round, l))
			bench_die("no thread");
		pthread_join(t, NULL);
	}
	if (j->first)
		note_peak();
	for (int i = 0; i < BATCH; i++)
		free(l->p[i]);
}

/* What one thread allocates another frees. */
struct ring {
	void *slot[RING];
	long head MM_ALIGNED(64);
	long tail MM_ALIGNED(64);
	long n;
};

static void *consumer(void *arg)
{
	struct ring *r = arg;
	long tail = 0;

	while (tail < r->n) {
		long head = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);

		if (head == tail)
			sched_yield();
		for (; tail < head; tail++)
			free(r->slot[tail % RING]);
		__atomic_store_n(&r->tail, tail, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void work_cross(struct job *j)
{
	struct ring *r = aligned_alloc(64, sizeof(*r));
	pthread_t t;
	long room;

	memset(r, 0, sizeof(*r));
	r->n = j->n;
	if (pthread_create(&t, NULL, consumer, r))
		bench_die("no thread");
	for (long head = 0; head < j->n;) {
		room = RING -
		       (head - __atomic_load_n(&r->tail, __ATOMIC_ACQUIRE));
		if (!room)
			sched_yield();
		for (; room && head < j->n; room--, head++) {
			char *c = malloc(j->size);

			*c = 1;
			r->slot[head % RING] = c;
		}
		__atomic_store_n(&r->head, head, __ATOMIC_RELEASE);
	}
	pthread_join(t, NULL);
	free(r);
}

/* ---- one run
 * ------------------------------------------------------------------- */

static const struct work {
	const char *name;
	void (*fn)(struct job *j);
} works[] = {
	{"pair", work_pair},	 {"lifo", work_lifo},
	{"fifo", work_fifo},	 {"random", work_random},
	{"churn", work_churn},	 {"realloc", work_realloc},
	{"larson", work_larson}, {"cross", work_cross},
};

static const struct work *work_named(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(works); i++) {
		if (!strcmp(works[i].name, name))
			return &works[i];
	}
	bench_die("no such work");
}

static const struct work *the_work;

static void *run_thread(void *arg)
{
	the_work->fn(arg);
	return NULL;
}

static int run_work(char **argv)
{
	int threads = atoi(argv[3]);
	struct job jobs[MOST_THR];
	pthread_t t[MOST_THR];

	the_work = work_named(argv[1]);
	if (threads < 1 || threads > MOST_THR)
		bench_die("1 or 2 threads");
	for (int i = 0; i < threads; i++) {
		jobs[i] = (struct job){.size = (size_t)atol(argv[2]),
				       .n = atol(argv[4]),
				       .seed = (uint32_t)i + 1,
				       .first = i == 0};
		if (i && pthread_create(&t[i], NULL, run_thread, &jobs[i]))
			bench_die("no thread");
	}
	the_work->fn(&jobs[0]);
	for (int i = 1; i < threads; i++)
		pthread_join(t[i], NULL);
	note_peak();
	say_peak();
	return 0;
}

/* ---- the table
 * ----------------------------------------------------------------- */

static const char *const lib_dirs[] = {"/usr/lib/x86_64-linux-gnu",
				       "/usr/lib/aarch64-linux-gnu",
				       "/usr/lib64", "/usr/local/lib"};

static struct peer {
	const char *name;
	const char *file; /* NULL: the C library's own */
	char path[512];
	bool there;
} peers[NR_PEERS] = {
	{.name = "ours", .file = "libmmkit-malloc.so"},
	{.name = "glibc"},
	{.name = "mimalloc", .file = "libmimalloc.so.2.0"},
	{.name = "jemalloc", .file = "libjemalloc.so.2"},
	{.name = "tcmalloc", .file = "libtcmalloc_minimal.so.4"},
};

static char self[512];

static void find_peers(void)
{
	char *dir;

	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		bench_die("cannot find this program's path");
	/* build/release/bench/malloc -> build/ */
	dir = strdup(self);
	for (int i = 0; i < 3; i++) {
		if (strrchr(dir, '/'))
			*strrchr(dir, '/') = '\0';
	}
	snprintf(peers[0].path, sizeof(peers[0].path), "%s/%s", dir,
		 peers[0].file);
	free(dir);
	for (int i = 0; i < NR_PEERS; i++) {
		struct peer *peer = &peers[i];

		for (size_t d = 0; i > 1 && d < ARRAY_SIZE(lib_dirs); d++) {
			snprintf(peer->path, sizeof(peer->path), "%s/%s",
				 lib_dirs[d], peer->file);
			if (!access(peer->path, R_OK))
				break;
		}
		peer->there = i == 1 || !access(peer->path, R_OK);
	}
}

struct row {
	const char *work;
	size_t size;
	int threads;
	long n;	     /* operations of each thread when timed */
	double goal; /* instructions; targets, BENCH_NONE: none */
};

static const struct row rows[] = {
	{"pair", 8, 1, 20000000, 30},	  {"pair", 64, 1, 20000000, 30},
	{"pair", 1024, 1, 20000000, 30},  {"pair", 8192, 1, 20000000, 30},
	{"pair", 32768, 1, 20000000, 60}, {"pair", 64, 2, 20000000, 30},
	{"lifo", 64, 1, 10000000, 40},	  {"fifo", 64, 1, 10000000, 40},
	{"random", 64, 1, 10000000, 40},  {"random", 256, 1, 10000000, 40},
	{"random", 64, 2, 10000000, 40},  {"churn", 8000, 1, 5000000, 75},
	{"churn", 8000, 2, 5000000, 75},  {"realloc", 64, 1, 5000000, 70},
	{"realloc", 64, 2, 5000000, 70},  {"larson", 500, 1, 5000000, 140},
	{"larson", 500, 2, 5000000, 142}, {"cross", 64, 1, 5000000, 118},
};

static double ops(const struct row *r, long n)
{
	return (double)n * r->threads;
}

/*
 * Whether memory is given back when threads free all they have, which is dear,
 * depends on how their ends follow each other. That is once a run: with threads
 * so many operations are counted that it does not tell.
 */
static double count(const struct peer *peer, const struct row *r)
{
	long n = r->threads > 1 ? 400000 : 40000;
	double a, b;

	setenv("LD_PRELOAD", peer->path, 1);
	a = bench_instructions("@ %s %zu %d %ld", r->work, r->size, r->threads,
			       n);
	b = bench_instructions("@ %s %zu %d %ld", r->work, r->size, r->threads,
			       2 * n);
	unsetenv("LD_PRELOAD");
	return a < 0 || b < 0 ? BENCH_NONE : (b - a) / ops(r, n);
}

/* KiB in the line "VmHWM:" of STREAM, which is closed; 0: none. */
static long peak_of(FILE *stream)
{
	char line[256];
	long kib = 0;

	while (stream && fgets(line, sizeof(line), stream)) {
		if (sscanf(line, "VmHWM: %ld kB", &kib) == 1)
			break;
	}
	if (stream)
		fclose(stream);
	return kib;
}

/* Wait for PID, a tracee, or not if it may not be one. Returns its peak at its
 * end, KiB; 0: it was not seen. */
static long wait_for(pid_t pid)
{
	char name[64];
	long kib = 0, sig;
	int status;

	snprintf(name, sizeof(name), "/proc/%d/status", (int)pid);
	for (;;) {
		if (waitpid(pid, &status, 0) != pid)
			bench_die("a run was lost");
		if (!WIFSTOPPED(status))
			break;
		sig = WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
		if (status >> 8 == (SIGTRAP | PTRACE_EVENT_EXIT << 8))
			kib = peak_of(fopen(name, "r"));
		/* At the first stop, which is exec's. */
		ptrace(PTRACE_SETOPTIONS, pid, NULL,
		       (void *)(uintptr_t)PTRACE_O_TRACEEXIT);
		ptrace(PTRACE_CONT, pid, NULL, (void *)sig);
	}
	if (status)
		bench_die("a run failed");
	return kib;
}

enum mode {
	TRACED, /* the peak is asked for */
	TIMED	/* before others, if the system lets us */
};

static void set_mode(enum mode mode)
{
	const struct sched_param prio = {.sched_priority = 1};

	if (mode == TRACED)
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	else
		(void)sched_setscheduler(0, SCHED_FIFO, &prio);
}

/* N operations of R with PEER. Returns the peak, KiB, if TRACED. */
static long run_peer(const struct peer *peer, const struct row *r, long nr,
		     enum mode mode)
{
	char size[32], threads[8], n[32];
	char *argv[] = {self, (char *)(uintptr_t)r->work, size, threads, n,
			NULL};
	long live, end;
	int ends[2];
	pid_t pid;

	snprintf(size, sizeof(size), "%zu", r->size);
	snprintf(threads, sizeof(threads), "%d", r->threads);
	snprintf(n, sizeof(n), "%ld", nr);
	if (pipe(ends))
		bench_die("no pipe");
	pid = fork();
	if (!pid) {
		dup2(ends[1], STDOUT_FILENO);
		close(ends[0]);
		close(ends[1]);
		if (peer->path[0])
			setenv("LD_PRELOAD", peer->path, 1);
		set_mode(mode);
		execv(self, argv);
		_exit(127);
	}
	close(ends[1]);
	/* A line fits a pipe. */
	end = wait_for(pid);
	live = peak_of(fdopen(ends[0], "r"));
	return live > end ? live : end;
}

static double time_of(const struct peer *peer, const struct row *r, long n)
{
	double t = bench_now();

	run_peer(peer, r, n, TIMED);
	return bench_now() - t;
}

static void keep_least(double *least, double t)
{
	if (*least < 0 || t < *least)
		*least = t;
}

/* Into NS: time of one operation of R with each peer. */
static void measure(const struct row *r, double *ns)
{
	double all[NR_PEERS], few[NR_PEERS];

	for (int i = 0; i < NR_PEERS; i++)
		all[i] = few[i] = ns[i] = BENCH_NONE;
	for (int run = 0; run < TIME_RUNS * NR_PEERS; run++) {
		int i = run % NR_PEERS;

		if (!peers[i].there)
			continue;
		keep_least(&all[i], time_of(&peers[i], r, r->n));
		keep_least(&few[i], time_of(&peers[i], r, r->n / 10));
		ns[i] = (all[i] - few[i]) * 1e9 / (double)(r->n - r->n / 10);
	}
}

/* Peak resident memory, KiB. */
static double measure_peak(const struct peer *peer, const struct row *r)
{
	int runs = peer - peers < 2 ? RSS_RUNS : RSS_FEW;
	double sum = 0;

	for (int i = 0; i < runs; i++)
		sum += (double)run_peer(peer, r, r->n, TRACED);
	return sum / runs;
}

static void head(const char *unit, const char *what)
{
	printf("\n%-22s", unit);
	for (int i = 0; i < NR_PEERS; i++)
		printf(" %9s", peers[i].name);
	printf(" %9s\n", what);
}

/* Row R of peaks: how ours is to the C library's, which is the bound. */
static void rss_ratio(const double *v)
{
	double ratio = v[1] > 0 ? v[0] / v[1] : BENCH_NONE;

	if (ratio >= 0)
		printf(" %9.2f%s", ratio, ratio > RSS_BOUND ? " over" : "");
}

static void line(const struct row *r, const double *v, double goal)
{
	char name[64];

	snprintf(name, sizeof(name), "%s %zu, %d thr", r->work, r->size,
		 r->threads);
	printf("%-22s", name);
	for (int i = 0; i < NR_PEERS; i++) {
		if (v[i] < 0)
			printf(" %9s", "-");
		else
			printf(" %9.1f", v[i]);
	}
	if (goal == RSS_BOUND)
		rss_ratio(v);
	else if (goal >= 0)
		printf(" %9.0f", goal);
	putchar('\n');
	fflush(stdout);
}

static void all_rows(void)
{
	static double ns[ARRAY_SIZE(rows)][NR_PEERS];
	static double kib[ARRAY_SIZE(rows)][NR_PEERS];
	double insn[NR_PEERS];

	head("instructions", "goal");
	for (size_t k = 0; k < ARRAY_SIZE(rows); k++) {
		for (int i = 0; i < NR_PEERS; i++)
			insn[i] = peers[i].there ? count(&peers[i], &rows[k])
						 : BENCH_NONE;
		line(&rows[k], insn, rows[k].goal);
	}
	for (size_t k = 0; k < ARRAY_SIZE(rows); k++) {
		measure(&rows[k], ns[k]);
		for (int i = 0; i < NR_PEERS; i++)
			kib[k][i] = peers[i].there
					    ? measure_peak(&peers[i], &rows[k])
					    : BENCH_NONE;
	}
	head("ns, smallest of runs", "");
	for (size_t k = 0; k < ARRAY_SIZE(rows); k++)
		line(&rows[k], ns[k], BENCH_NONE);
	head("peak resident, KiB", "/glibc");
	for (size_t k = 0; k < ARRAY_SIZE(rows); k++)
		line(&rows[k], kib[k], RSS_BOUND);
}

int main(int argc, char **argv)
{
	if (argc == 5)
		return run_work(argv);
	find_peers();
	if (!peers[0].there)
		bench_die("build/libmmkit-malloc.so is not built");
	puts("malloc: one operation is a malloc and a free (realloc: a step; "
	     "all with the loop around it)");
	all_rows();
	return 0;
}
