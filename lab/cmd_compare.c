/* SPDX-License-Identifier: MIT */
/*
 * cmd_compare.c - "mmkit compare": two runs of replay or run side by side, with
 * the ratio of the second to the first.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "args.h"
#include "compare.h"
#include "err.h"
#include "page.h"

int cmd_compare(int argc, char **argv);

enum { OPT_JSON = 'j', OPT_REPORT = 'r', OPT_ALL = 'a' };

struct opts {
	bool json, all;
	const char *report;
	const char *path[2];
	u32 nr;
};

static const struct argp_option options[] = {
	{"json", OPT_JSON, 0, 0, "print JSON (mmkit.compare/1)", 0},
	{"report", OPT_REPORT, "FILE.html", 0, "write a page as well", 0},
	{"all", OPT_ALL, 0, 0, "every counter that is not 0 in both", 0},
	{0}};

static error_t parse_opt(int key, char *arg, struct argp_state *state)
{
	struct opts *o = state->input;

	switch (key) {
	case OPT_JSON:
		o->json = true;
		return 0;
	case OPT_REPORT:
		o->report = arg;
		return 0;
	case OPT_ALL:
		o->all = true;
		return 0;
	case ARGP_KEY_ARG:
		if (o->nr == 2)
			err_usage("two files: '%s' is a third one", arg);
		o->path[o->nr++] = arg;
		return 0;
	case ARGP_KEY_END:
		if (o->nr < 2)
			err_usage("which files? give two that replay --json or "
				  "run --json wrote");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* The command as it was typed; argp will put ARGV into another order. */
static void note_command(char *command, size_t size, int argc, char **argv)
{
	size_t at = (size_t)snprintf(command, size, "mmkit");

	for (int i = 0; i < argc && at < size; i++)
		at += (size_t)snprintf(command + at, size - at, " %s", argv[i]);
}

int cmd_compare(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options,
		.parser = parse_opt,
		.args_doc = "A.json B.json",
		.doc = "Compare two runs, or two lists of runs, that mmkit "
		       "replay --json or mmkit run --json wrote.\v"
		       "As many runs in both files are paired in their order, "
		       "else by policy and memory. Exit status: 0, 1 if a file "
		       "holds no such runs, 2 for wrong use.",
	};
	static struct opts o;
	static struct compare c;
	static char command[1024];

	note_command(command, sizeof(command), argc, argv);
	args_run(&argp, argc, argv, 0, &o);
	if (o.report && page_check(o.report))
		err_die("--report: %s: %s", o.report, strerror(errno));
	c.all = o.all;
	compare_load(&c, o.path[0], o.path[1]);
	if (o.json)
		compare_print_json(stdout, &c);
	else
		compare_print_table(stdout, &c);
	if (o.report && compare_write_html(o.report, &c, command))
		err_die("--report: %s: %s", o.report, strerror(errno));
	compare_free(&c);
	return 0;
}
