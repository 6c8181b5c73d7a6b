/* SPDX-License-Identifier: MIT */
/*
 * mmdiff.c - the differential test as a command; see docs/DIFFERENTIAL.md.
 */
#include <argp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "difflib.h"

static struct {
	uint64_t seed, seqs;
	uint32_t ops, seconds;
	const char *replay, *save;
	bool shrink, print, going_on;
} opt = {.seed = 1, .seqs = 100, .ops = 200, .save = "build/diff/failed.txt"};

static struct seq current;
static uint64_t calls, failures, of_class[GEN_ANY];
static time_t begin;

static const struct argp_option options[] = {
	{"seed", 's', "N", 0, "first seed (1)", 0},
	{"seqs", 'n', "N", 0, "sequences (100)", 0},
	{"ops", 'o', "M", 0, "operations of a sequence (200)", 0},
	{"soak", 't', "SECONDS", 0, "go on for so long", 0},
	{"replay", 'r', "FILE", 0, "perform the sequence in FILE", 0},
	{"shrink", 'k', 0, 0, "reduce what fails to as little as possible", 0},
	{"save", 'w', "FILE", 0, "where it goes (build/diff/failed.txt)", 0},
	{"class", 'c', "NAME", 0,
	 "memory of all sequences: anon, memory, disk, mixed", 0},
	{"print", 'p', 0, 0, "print sequences, perform none", 0},
	{0},
};

static const char *const class_names[] = {"anon", "memory", "disk", "mixed"};

static void parse_class(const char *name, struct argp_state *state)
{
	gen_only = GEN_ANON;
	while (gen_only < GEN_ANY && strcmp(name, class_names[gen_only]) != 0)
		gen_only++;
	if (gen_only == GEN_ANY)
		argp_error(state, "there is no class %s", name);
}

static error_t parse(int key, char *arg, struct argp_state *state)
{
	switch (key) {
	case 's':
		opt.seed = strtoull(arg, NULL, 0);
		break;
	case 'n':
		opt.seqs = strtoull(arg, NULL, 0);
		break;
	case 'o':
		opt.ops = (uint32_t)strtoul(arg, NULL, 0);
		break;
	case 't':
		opt.seconds = (uint32_t)strtoul(arg, NULL, 0);
		break;
	case 'r':
		opt.replay = arg;
		break;
	case 'k':
		opt.shrink = true;
		break;
	case 'w':
		opt.save = arg;
		break;
	case 'c':
		parse_class(arg, state);
		break;
	case 'p':
		opt.print = true;
		break;
	case ARGP_KEY_ARG:
		argp_usage(state);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static void save_current(void)
{
	FILE *out = fopen(opt.save, "w");

	if (!out) {
		perror(opt.save);
		return;
	}
	seq_print(out, &current);
	fclose(out);
	fprintf(stderr, "saved to %s\n", opt.save);
}

/* The manager found something wrong with itself: keep what did it. */
static void on_abort(int sig)
{
	(void)sig;
	save_current();
	linux_stop();
}

static bool one(void)
{
	static char why[1 << 18];
	uint32_t compared;
	enum verdict v = seq_try(&current, &compared, why, sizeof(why));

	calls += compared;
	of_class[seq_class(&current)] += compared;
	if (v == SAME)
		return true;
	fprintf(stderr, "%s", why);
	save_current();
	if (opt.shrink) {
		seq_shrink(&current);
		seq_try(&current, &compared, why, sizeof(why));
		fprintf(stderr, "---- shrunk\n");
		seq_print(stderr, &current);
		fprintf(stderr, "%s", why);
		save_current();
	}
	failures++;
	return false;
}

static bool time_left(void)
{
	return opt.seconds ? time(NULL) - begin < opt.seconds : opt.seqs-- > 0;
}

static int some_sequences(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < 500 && time_left(); i++, opt.seed++) {
		seq_generate(&current, opt.seed, opt.ops);
		if (!one()) {
			fprintf(stderr, "SEED=%llu\n",
				(unsigned long long)opt.seed);
			return 0;
		}
	}
	return 0;
}

static int replay(void *arg)
{
	(void)arg;
	if (opt.shrink)
		seq_shrink(&current);
	one();
	return 0;
}

static void print_sequences(void)
{
	while (opt.seqs-- > 0) {
		seq_generate(&current, opt.seed++, opt.ops);
		seq_print(stdout, &current);
		printf("\n");
	}
}

int main(int argc, char **argv)
{
	static const struct argp argp = {options,
					 parse,
					 "",
					 "Compare mmkit with the kernel that "
					 "this runs on.",
					 0,
					 0,
					 0};
	uint64_t first;
	const char *why;
	char text[128];

	argp_parse(&argp, argc, argv, 0, NULL, NULL);
	if (opt.print) {
		print_sequences();
		return 0;
	}
	why = linux_start();
	if (why) {
		fprintf(stderr, "mmdiff: %s\n", *why ? why : "failed");
		return *why ? 77 : 2;
	}
	signal(SIGABRT, on_abort);
	begin = time(NULL);
	first = opt.seed;
	if (opt.replay) {
		if (!seq_load(opt.replay, &current, text)) {
			fprintf(stderr, "%s: %s\n", opt.replay, text);
			return 2;
		}
		seq_mend(&current);
		sim_session(1, replay, NULL);
	} else {
		do
			sim_session(opt.seed, some_sequences, NULL);
		while (!failures &&
		       (opt.seconds ? time_left() : opt.seqs != ~0ull));
	}
	linux_stop();
	for (unsigned i = 0; i < GEN_ANY; i++)
		if (of_class[i])
			printf("%-8s%llu\n", class_names[i],
			       (unsigned long long)of_class[i]);
	printf("mmdiff: %llu operations, seeds %llu to %llu, %lld s, %s\n",
	       (unsigned long long)calls, (unsigned long long)first,
	       (unsigned long long)opt.seed - 1,
	       (long long)(time(NULL) - begin),
	       failures ? "DIFFERENT" : "no difference");
	return failures != 0;
}
