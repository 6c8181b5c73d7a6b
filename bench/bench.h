/* SPDX-License-Identifier: MIT */
/*
 * bench.h - what the benchmark programs share.
 *
 * A program without arguments prints a table. For a row in instructions it
 * runs itself under valgrind's callgrind twice, with two amounts of work, and
 * divides the difference: what start and end cost cancels out. Instructions
 * repeat exactly; times, printed beside them, are of this machine and moment.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <mmkit/types.h>

#define BENCH_NONE (-1.0)

static inline double bench_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static inline _Noreturn void bench_die(const char *what)
{
	fprintf(stderr, "bench: %s\n", what);
	exit(1);
}

/* A function that instructions are counted in, callees included; NULL: all. */
static const char *bench_within;

/*
 * Instructions of the command FMT, a program of ours and its arguments; "@"
 * at its head stands for this program. BENCH_NONE without valgrind.
 */
__attribute__((format(printf, 1, 2))) static inline double
bench_instructions(const char *fmt, ...)
{
	static char self[512], args[1024], cmd[2048], line[512];
	unsigned long long v;
	double found = BENCH_NONE;
	va_list ap;
	FILE *p;

	if (system("command -v valgrind >/dev/null 2>&1"))
		return BENCH_NONE;
	va_start(ap, fmt);
	vsnprintf(args, sizeof(args), fmt, ap);
	va_end(ap);
	self[0] = 0;
	if (args[0] == '@' &&
	    readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		bench_die("cannot find this program's path");
	snprintf(cmd, sizeof(cmd),
		 "valgrind --tool=callgrind --callgrind-out-file=/dev/null "
		 "%s%s %s%s 2>&1 >/dev/null </dev/null",
		 bench_within ? "--toggle-collect=" : "",
		 bench_within ? bench_within : "", self,
		 args + (args[0] == '@'));
	p = popen(cmd, "r");
	if (!p)
		bench_die("cannot start valgrind");
	while (fgets(line, sizeof(line), p)) {
		const char *at = strstr(line, "Collected :");

		if (at && sscanf(at, "Collected : %llu", &v) == 1)
			found = (double)v;
	}
	if (pclose(p) || found < 0) {
		fprintf(stderr, "bench: failed: %s\n", cmd);
		exit(1);
	}
	return found;
}

/* One row. PEER is Linux's figure, GOAL ours; BENCH_NONE: there is none. */
static inline void bench_cell(double v)
{
	if (v < 0)
		printf(" %10s", "-");
	else if (v < 100)
		printf(" %10.1f", v);
	else
		printf(" %10.0f", v);
}

static inline void bench_head(const char *unit)
{
	printf("%-38s %10s %10s %10s %10s\n", unit, "ours", "Linux",
	       "ours/Linux", "goal");
}

static inline void bench_row(const char *item, double ours, double peer,
			     double goal)
{
	printf("%-38s", item);
	bench_cell(ours);
	bench_cell(peer);
	if (ours < 0 || peer <= 0)
		printf(" %10s", "-");
	else
		printf(" %10.3f", ours / peer);
	bench_cell(goal);
	putchar('\n');
	fflush(stdout);
}

#endif
