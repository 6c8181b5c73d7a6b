/* world: host */
/* SPDX-License-Identifier: MIT */
/*
 * arena.c - arenas over memory of the caller beside malloc, in one run.
 *
 * Without arguments: for each work and each allocator there is, this program
 * runs itself, under callgrind with two amounts of work (instructions), and
 * alone (time). With arguments WHO WORK SIZE THREADS N it does that work and
 * exits; WHO is "arena" or "malloc", which may be preloaded.
 *
 * The peers keep their tables and links in the memory that they hand out, and
 * let a double free pass; what an arena pays for neither is the difference.
 */
#include <pthread.h>
#include <sys/mman.h>

#include <mmkit/arena.h>

#include "bench.h"

#define REGION	 (256ul << 20)
#define BATCH	 1000
#define NR_PEERS 3
#define MOST_THR 2

struct job {
	size_t size;
	long n;
};

static struct mmkit_arena *arena; /* NULL: malloc */
static __thread void *volatile sink;
static __thread void *p[BATCH];

static inline void *get(size_t size)
{
	return arena ? mmkit_arena_alloc(arena, size) : malloc(size);
}

static inline void put(void *q)
{
	if (arena)
		mmkit_arena_free(arena, q);
	else
		free(q);
}

/* ---- the works: N pairs each
 * ----------------------------------------------- */

static void work_pair(const struct job *j)
{
	void *other = get(j->size);

	for (long i = 0; i < j->n; i++) {
		sink = get(j->size);
		put(sink);
	}
	put(other);
}

static void work_lifo(const struct job *j)
{
	for (long k = 0; k < j->n; k += BATCH) {
		for (int i = 0; i < BATCH; i++)
			p[i] = get(j->size);
		for (int i = BATCH - 1; i >= 0; i--)
			put(p[i]);
	}
}

static void work_random(const struct job *j)
{
	for (long k = 0; k < j->n; k += BATCH) {
		for (int i = 0; i < BATCH; i++)
			p[i] = get(j->size);
		for (int i = 0; i < BATCH; i++)
			put(p[i * 617 % BATCH]);
	}
}

static const struct {
	const char *name;
	void (*fn)(const struct job *j);
} works[] = {{"pair", work_pair}, {"lifo", work_lifo}, {"random", work_random}};

static void (*chosen)(const struct job *j);

static void *thread(void *arg)
{
	chosen(arg);
	return NULL;
}

static void *region(void)
{
	void *q = mmap(NULL, REGION, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (q == MAP_FAILED)
		bench_die("no memory");
	return q;
}

static int run_work(char **argv)
{
	struct job job = {strtoul(argv[3], NULL, 0), strtol(argv[5], NULL, 0)};
	int nr = atoi(argv[4]);
	pthread_t t[MOST_THR];

	for (size_t i = 0; i < ARRAY_SIZE(works); i++) {
		if (!strcmp(works[i].name, argv[2]))
			chosen = works[i].fn;
	}
	if (!chosen || nr < 1 || nr > MOST_THR)
		bench_die("no such work");
	if (!strcmp(argv[1], "arena")) {
		arena = mmkit_arena_create_with(
			region(), REGION,
			&(struct mmkit_arena_options){.lanes = 4}, NULL);
		if (!arena)
			bench_die("no arena");
	}
	for (int i = 1; i < nr; i++) {
		if (pthread_create(&t[i], NULL, thread, &job))
			bench_die("no thread");
	}
	chosen(&job);
	for (int i = 1; i < nr; i++)
		pthread_join(t[i], NULL);
	return 0;
}

/* ---- the table
 * ------------------------------------------------------------- */

static struct peer {
	const char *name, *who;
	const char *path; /* preloaded; NULL: nothing */
} peers[NR_PEERS] = {
	{.name = "arena", .who = "arena"},
	{.name = "glibc", .who = "malloc"},
	{.name = "mimalloc",
	 .who = "malloc",
	 .path = "/usr/lib/x86_64-linux-gnu/libmimalloc.so.2.0"},
};

static const struct row {
	const char *work;
	size_t size;
	int threads;
	long n;
} rows[] = {
	{"pair", 8, 1, 20000000},      {"pair", 64, 1, 20000000},
	{"pair", 1024, 1, 20000000},   {"pair", 8192, 1, 20000000},
	{"pair", 32768, 1, 10000000},  {"pair", 64, 2, 20000000},
	{"lifo", 64, 1, 20000000},     {"random", 64, 1, 20000000},
	{"random", 1024, 1, 10000000}, {"random", 32768, 1, 2000000},
	{"random", 64, 2, 20000000},
};

static void preload(const struct peer *peer)
{
	if (peer->path)
		setenv("LD_PRELOAD", peer->path, 1);
}

static double count(const struct peer *peer, const struct row *r)
{
	double v[2];
	long n = 40000;

	preload(peer);
	for (int i = 0; i < 2; i++)
		v[i] = bench_instructions("@ %s %s %zu %d %ld", peer->who,
					  r->work, r->size, r->threads,
					  n * (i + 1));
	unsetenv("LD_PRELOAD");
	return v[0] < 0 || v[1] < 0 ? BENCH_NONE
				    : (v[1] - v[0]) / (double)n / r->threads;
}

static double measure(const struct peer *peer, const struct row *r)
{
	static char cmd[1024], self[512];
	double t = bench_now();

	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		bench_die("cannot find this program's path");
	snprintf(cmd, sizeof(cmd), "exec %s %s %s %zu %d %ld", self, peer->who,
		 r->work, r->size, r->threads, r->n);
	preload(peer);
	if (system(cmd))
		bench_die("a run failed");
	unsetenv("LD_PRELOAD");
	return (bench_now() - t) * 1e9 / (double)r->n;
}

static void table(const char *unit, double (*figure)(const struct peer *peer,
						     const struct row *r))
{
	char name[64];

	printf("\n%-22s", unit);
	for (int i = 0; i < NR_PEERS; i++)
		printf(" %10s", peers[i].name);
	putchar('\n');
	for (size_t k = 0; k < ARRAY_SIZE(rows); k++) {
		snprintf(name, sizeof(name), "%s %zu, %d thr", rows[k].work,
			 rows[k].size, rows[k].threads);
		printf("%-22s", name);
		for (int i = 0; i < NR_PEERS; i++) {
			bool there =
				!peers[i].path || !access(peers[i].path, R_OK);

			bench_cell(there ? figure(&peers[i], &rows[k])
					 : BENCH_NONE);
		}
		putchar('\n');
		fflush(stdout);
	}
}

int main(int argc, char **argv)
{
	if (argc == 6)
		return run_work(argv);
	puts("arena: one operation is an allocation and a free, with the loop "
	     "around them");
	table("instructions", count);
	table("ns, this machine now", measure);
	return 0;
}
