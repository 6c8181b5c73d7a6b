/* SPDX-License-Identifier: MIT */
/*
 * main.c - the mmkit command: finds the verb and runs it.
 *
 * Verbs are functions int cmd_VERB(int argc, char **argv) with argv[0] the
 * verb; the result is the exit status. A verb that is not linked in is weak
 * here and not offered.
 */
#include "completion.h"
#include "err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MMKIT_VERSION "0.1"

int cmd_boot(int argc, char **argv) __attribute__((weak));
int cmd_explain(int argc, char **argv) __attribute__((weak));
int cmd_replay(int argc, char **argv) __attribute__((weak));
int cmd_lab(int argc, char **argv) __attribute__((weak));
int cmd_layout(int argc, char **argv);
int cmd_record(int argc, char **argv);
int cmd_trace(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_compare(int argc, char **argv);
int cmd_sweep(int argc, char **argv);

static const struct verb verbs[] = {
	{"boot", "boot a simulated machine and show its memory", cmd_boot},
	{"replay", "run a recorded program's memory on a simulated machine",
	 cmd_replay},
	{"run", "run a program on our kernel, in a machine under QEMU",
	 cmd_run},
	{"sweep", "replay traces with all combinations of lists of sizes, ...",
	 cmd_sweep},
	{"compare", "two runs of replay or run side by side", cmd_compare},
	{"explain", "show step by step how an address becomes a frame",
	 cmd_explain},
	{"lab", "drive simulated machines by a Lua script, or from a prompt",
	 cmd_lab},
	{"record", "record the memory life of a real program", cmd_record},
	{"trace", "look into a recorded trace", cmd_trace},
	{"layout", "draw an architecture's virtual address space", cmd_layout},
};

static void help(FILE *f)
{
	fprintf(f, "Usage: mmkit VERB [OPTION...] [ARG...]\n"
		   "A Linux-style memory manager to look at, run and use.\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (verbs[i].run)
			fprintf(f, "  %-10s %s\n", verbs[i].name,
				verbs[i].help);
	fprintf(f, "\n  --help     this text; 'mmkit VERB --help' tells more\n"
		   "  --version  the version\n");
}

static const struct verb *find_verb(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (verbs[i].run && !strcmp(verbs[i].name, name))
			return &verbs[i];
	return NULL;
}

_Noreturn static void unknown(const char *what, const char *word)
{
	const char *names[ARRAY_SIZE(verbs) + 2] = {"--help", "--version"};
	const char *near;
	size_t nr = 2;

	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (verbs[i].run)
			names[nr++] = verbs[i].name;
	near = err_suggest(word, names, nr);
	if (near)
		err_usage("unknown %s '%s': did you mean '%s'?", what, word,
			  near);
	err_usage("unknown %s '%s'", what, word);
}

/* Output that got lost (a full disk) must not look like success. */
static int finish(int status)
{
	if ((fflush(stdout) || ferror(stdout)) && !status) {
		err_say("standard output: cannot write");
		return EXIT_FAILED;
	}
	return status;
}

int main(int argc, char **argv)
{
	const struct verb *v;

	if (argc < 2)
		err_usage("a verb is missing");
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
		help(stdout);
		return finish(EXIT_SUCCESS);
	}
	if (!strcmp(argv[1], "--version")) {
		printf("mmkit %s\n", MMKIT_VERSION);
		return finish(EXIT_SUCCESS);
	}
	/* For `make install` and packages, and not for people. */
	if (!strcmp(argv[1], "--completion")) {
		if (!completion_write(stdout, argc > 2 ? argv[2] : "", verbs,
				      ARRAY_SIZE(verbs)))
			err_usage("--completion: bash, zsh or fish");
		return finish(EXIT_SUCCESS);
	}
	v = find_verb(argv[1]);
	if (!v)
		unknown(argv[1][0] == '-' ? "option" : "verb", argv[1]);
	err_set_verb(v->name);
	return finish(v->run(argc - 1, argv + 1));
}
