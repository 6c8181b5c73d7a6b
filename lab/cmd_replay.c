/* SPDX-License-Identifier: MIT */
/*
 * cmd_replay.c - "mmkit replay": options, and one run for each size asked for.
 *
 * There is one machine per process: a list of sizes forks one process for
 * each run, which sends its result back through a pipe.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "err.h"
#include "replay.h"
#include "replay_fit.h"

int cmd_replay(int argc, char **argv);

enum {
	OPT_MEM = 'm',
	OPT_SWAP = 's',
	OPT_JSON = 'j',
	OPT_REPORT = 'r',
	OPT_NO_MIN = 512,
	OPT_FILES,
	OPT_QUIET = 'q'
};

struct cmd_opts {
	struct replay_opts replay;
	struct args_list mem;
	bool mem_given, json, quiet;
	const char *report;
};

static const struct argp_option options[] = {
	{"mem", OPT_MEM, "SIZE[,SIZE...]", 0,
	 "RAM, e.g. 32M; one run for each of a list (1G)", 0},
	{"swap", OPT_SWAP, "SIZE", 0, "swap space (none)", 0},
	{"json", OPT_JSON, 0, 0, "print JSON (mmkit.replay/1)", 0},
	{"report", OPT_REPORT, "FILE.html", 0, "write a page with charts", 0},
	{"no-min", OPT_NO_MIN, 0, 0, "do not compute the optimum", 0},
	{"files", OPT_FILES, "real|anon", 0,
	 "files through the page cache, or file mappings as anonymous memory "
	 "(traces of version 1: anon, later ones: real)",
	 0},
	{"quiet", OPT_QUIET, 0, 0, "no progress on the terminal", 0},
	{0}};

static void parse_sizes(const char *arg, struct args_list *out)
{
	struct args_error e;

	if (!args_size_list(arg, out, &e))
		err_usage("--mem: %s", e.text);
}

static u64 parse_size(const char *name, const char *arg)
{
	struct args_error e;
	u64 v;

	if (!args_size(arg, &v, &e))
		err_usage("--%s: %s", name, e.text);
	return v;
}

static enum replay_files parse_files(const char *arg)
{
	if (!strcmp(arg, "real"))
		return REPLAY_FILES_REAL;
	if (!strcmp(arg, "anon"))
		return REPLAY_FILES_ANON;
	err_usage("--files: '%s': real or anon", arg);
}

static error_t parse_opt(int key, char *arg, struct argp_state *state)
{
	struct cmd_opts *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->replay.machine;
		return 0;
	case OPT_MEM:
		parse_sizes(arg, &o->mem);
		o->mem_given = true;
		return 0;
	case OPT_SWAP:
		o->replay.machine.swap_bytes = parse_size("swap", arg);
		return 0;
	case OPT_JSON:
		o->json = true;
		return 0;
	case OPT_REPORT:
		o->report = arg;
		return 0;
	case OPT_NO_MIN:
		o->replay.no_min = true;
		return 0;
	case OPT_FILES:
		o->replay.files = parse_files(arg);
		return 0;
	case OPT_QUIET:
		o->quiet = true;
		return 0;
	case ARGP_KEY_ARG:
		if (o->replay.trace)
			err_usage("one trace at a time: '%s' is a second one",
				  arg);
		o->replay.trace = arg;
		return 0;
	case ARGP_KEY_END:
		if (!o->replay.trace)
			err_usage("which trace? give its file");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

/* ---- one process per run
 * ------------------------------------------------------- */

static bool read_all(int fd, void *buf, size_t len)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = read(fd, (char *)buf + got, len - got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		got += (size_t)n;
	}
	return true;
}

_Noreturn static void child_run(const struct replay_opts *o, int fd,
				struct replay_result *res)
{
	const char *p = (const char *)res;
	size_t left = sizeof(*res);

	replay_run(o, res);
	while (left) {
		ssize_t n = write(fd, p, left);

		if (n <= 0)
			err_die("cannot hand the result over: %s",
				strerror(errno));
		p += n;
		left -= (size_t)n;
	}
	fflush(stdout);
	_exit(0);
}

static void forked_run(const struct replay_opts *o, struct replay_result *res)
{
	int fd[2], status;
	bool ok;
	pid_t pid;

	fflush(stdout);
	if (pipe(fd))
		err_die("cannot make a pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		err_die("cannot fork: %s", strerror(errno));
	if (pid == 0) {
		close(fd[0]);
		child_run(o, fd[1], res);
	}
	close(fd[1]);
	ok = read_all(fd[0], res, sizeof(*res));
	close(fd[0]);
	if (waitpid(pid, &status, 0) < 0)
		err_die("cannot wait for a run: %s", strerror(errno));
	if (!ok || status)
		exit(EXIT_FAILED); /* the run has said why */
}

static bool run_failed(const struct replay_result *runs, u32 nr)
{
	for (u32 i = 0; i < nr; i++)
		if (runs[i].data_errors || runs[i].leaks)
			return true;
	return false;
}

/* The command as it was typed; argp will put ARGV into another order. */
static void note_command(char *command, size_t size, int argc, char **argv)
{
	size_t at = (size_t)snprintf(command, size, "mmkit");

	for (int i = 0; i < argc && at < size; i++)
		at += (size_t)snprintf(command + at, size - at, " %s", argv[i]);
}

/* A place where the page cannot be written is refused before the work. */
static void check_report(const char *path)
{
	bool there = access(path, F_OK) == 0;
	FILE *f = fopen(path, "ae");

	if (!f)
		err_die("--report: %s: %s", path, strerror(errno));
	fclose(f);
	if (!there)
		unlink(path);
}

static void print(const struct cmd_opts *o, const struct replay_result *runs,
		  u32 nr, const char *command)
{
	if (o->json)
		replay_print_json(runs, nr);
	else
		replay_print_table(runs, nr, o->replay.trace);
	if (!o->report)
		return;
	if (replay_write_html(o->report, runs, nr, o->replay.trace, command))
		err_die("--report: %s: %s", o->report, strerror(errno));
}

int cmd_replay(int argc, char **argv)
{
	static const struct argp_child children[] = {
		{&machine_argp, 0, "The machine:", 1}, {0}};
	static const struct argp argp = {
		.options = options,
		.parser = parse_opt,
		.args_doc = "TRACE",
		.doc = "Replay a recorded program's memory on a simulated "
		       "machine.\v"
		       "Exit status: 0, 1 if it failed or pages were lost, "
		       "mixed up or leaked, 2 for wrong use.",
		.children = children,
	};
	static struct cmd_opts o;
	static char command[1024];
	struct replay_result *runs;
	bool failed;

	machine_defaults(&o.replay.machine);
	o.mem.nr = 1;
	o.mem.v[0] = o.replay.machine.mem_bytes;
	note_command(command, sizeof(command), argc, argv);
	args_run(&argp, argc, argv, 0, &o);
	o.replay.machine.show_stderr = o.json;
	if (o.replay.machine.map && o.mem_given)
		err_usage("--mem and --map: one or the other says how much "
			  "memory there is");
	/* All sizes, before the first run begins. */
	for (size_t i = 0; i < o.mem.nr; i++) {
		o.replay.machine.mem_bytes = o.mem.v[i];
		machine_check(&o.replay.machine);
	}
	o.replay.progress = !o.quiet && isatty(STDERR_FILENO);
	if (o.report)
		check_report(o.report);
	replay_fit_check(o.replay.trace, machine_format(&o.replay.machine));
	runs = calloc(o.mem.nr + 1, sizeof(*runs));
	if (!runs)
		err_die("no memory for the results");
	for (size_t i = 0; i < o.mem.nr; i++) {
		o.replay.machine.mem_bytes = o.mem.v[i];
		if (o.mem.nr > 1)
			forked_run(&o.replay, &runs[i]);
		else
			replay_run(&o.replay, &runs[i]);
	}
	print(&o, runs, (u32)o.mem.nr, command);
	failed = run_failed(runs, (u32)o.mem.nr);
	free(runs);
	return failed ? EXIT_FAILED : 0;
}
