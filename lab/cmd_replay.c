/* SPDX-License-Identifier: MIT */
/*
 * cmd_replay.c - "mmkit replay": options, and one run for each size asked for.
 *
 * There is one machine per process: a list of sizes or policies forks one
 * process for each run, which sends its result back through a pipe.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dump.h"
#include "err.h"
#include "page.h"
#include "replay.h"
#include "replay_fit.h"

int cmd_replay(int argc, char **argv);

enum {
	OPT_MEM = 'm',
	OPT_JSON = 'j',
	OPT_REPORT = 'r',
	OPT_NO_MIN = 512,
	OPT_MEMCG,
	OPT_FILES,
	OPT_TRACE,
	OPT_TRACE_OUT,
	OPT_PERFETTO,
	OPT_FOLLOW,
	OPT_LIFE,
	OPT_PFN,
	OPT_THP,
	OPT_KSM,
	OPT_DUMP,
	OPT_QUIET = 'q'
};

struct cmd_opts {
	struct replay_opts replay;
	u32 nr_mem, nr_policies;
	struct mem_point {
		u64 bytes;   /* 0: not known yet */
		u32 percent; /* of the footprint; 0: bytes were given */
	} mem[ARGS_LIST_MAX];
	const char *policies[ARGS_LIST_MAX];
	bool mem_given, json, quiet;
	const char *report;
};

static const struct argp_option options[] = {
	{"mem", OPT_MEM, "SIZE[,SIZE...]", 0,
	 "RAM, e.g. 32M, or so much that the program has e.g. 25% of the memory "
	 "that it would use; one run for each of a list (1G)",
	 0},
	{"swap", MACHINE_OPT_SWAP, "SIZE", 0, "swap space (none)", 0},
	{"memcg", OPT_MEMCG, "[TASK=]SIZE[,...]", 0,
	 "each task of the trace in a control group of its own with so much "
	 "memory.max, or TASK alone; SIZE may be max",
	 0},
	{"json", OPT_JSON, 0, 0, "print JSON (mmkit.replay/1)", 0},
	{"report", OPT_REPORT, "FILE.html", 0, "write a page with charts", 0},
	{"no-min", OPT_NO_MIN, 0, 0, "do not compute the optimum", 0},
	{"files", OPT_FILES, "real|anon", 0,
	 "files through the page cache, or file mappings as anonymous memory "
	 "(traces of version 1: anon, later ones: real)",
	 0},
	{"thp", OPT_THP, "always|madvise|never[,FILE=VALUE...]", 0,
	 "huge pages for whom; FILEs of /sys/kernel/mm/transparent_hugepage; "
	 "each run is made twice, to compare it with one without",
	 0},
	{"ksm", OPT_KSM, "FILE=VALUE,...", OPTION_ARG_OPTIONAL,
	 "merge equal pages of all that the program has; FILEs of "
	 "/sys/kernel/mm/ksm; likewise made twice",
	 0},
	{"trace", OPT_TRACE, "EVENT[,EVENT...]", 0,
	 "tell these tracepoints, by name (mm_page_alloc), by system (vmscan), "
	 "or all",
	 0},
	{"trace-out", OPT_TRACE_OUT, "FILE", 0, "there (standard output)", 0},
	{"perfetto", OPT_PERFETTO, "FILE.json", 0,
	 "all tracepoints as a trace that Perfetto opens", 0},
	{"follow", OPT_FOLLOW, "TASK:ADDRESS", 0,
	 "tell the life of the page that this task of the trace has there", 0},
	{"pfn", OPT_PFN, "N", 0, "tell the life of this frame", 0},
	{"life", OPT_LIFE, "FILE.json", 0,
	 "there, as JSON (mmkit.life/1), in place of standard output", 0},
	{"dump-proc", OPT_DUMP, "DIR", 0,
	 "write all files of /proc and /sys to a new directory, at the end of "
	 "the run with its tasks still there",
	 0},
	{"quiet", OPT_QUIET, 0, 0, "no progress on the terminal", 0},
	{0}};

/* "32M" or "25%". */
static void parse_mem_point(const char *word, struct mem_point *m)
{
	size_t len = strlen(word);
	struct args_error e;
	char number[64];
	u64 v;

	*m = (struct mem_point){0};
	if (!len || word[len - 1] != '%') {
		if (!args_size(word, &m->bytes, &e))
			err_usage("--mem: %s", e.text);
		return;
	}
	snprintf(number, sizeof(number), "%.*s", (int)(len - 1), word);
	if (!args_count(number, 1, 200, &v, &e))
		err_usage("--mem: percent: %s", e.text);
	m->percent = (u32)v;
}

/* The next word of *LIST, separated by commas, for good; NULL: no more. */
static char *next_word(const char **list)
{
	size_t len;
	char *word;

	if (!*list)
		return NULL;
	len = strcspn(*list, ",");
	word = strndup(*list, len);
	if (!word)
		err_die("no memory");
	*list = (*list)[len] ? *list + len + 1 : NULL;
	return word;
}

static void parse_sizes(const char *arg, struct cmd_opts *o)
{
	char *word;

	o->nr_mem = 0;
	while ((word = next_word(&arg))) {
		if (o->nr_mem == ARGS_LIST_MAX)
			err_usage("--mem: at most %d sizes", ARGS_LIST_MAX);
		parse_mem_point(word, &o->mem[o->nr_mem++]);
		free(word);
	}
}

/* machine_opts.policy is a list here. */
static void split_policies(struct cmd_opts *o)
{
	const char *list = o->replay.machine.policy;
	char *word;

	o->nr_policies = 0;
	while ((word = next_word(&list))) {
		for (u32 i = 0; i < o->nr_policies; i++)
			if (!strcmp(o->policies[i], word))
				err_usage("--policy: '%s' twice", word);
		if (o->nr_policies == ARGS_LIST_MAX)
			err_usage("--policy: at most %d", ARGS_LIST_MAX);
		o->policies[o->nr_policies++] = word;
	}
	if (!o->nr_policies)
		o->policies[o->nr_policies++] = NULL;
}

static enum replay_files parse_files(const char *arg)
{
	if (!strcmp(arg, "real"))
		return REPLAY_FILES_REAL;
	if (!strcmp(arg, "anon"))
		return REPLAY_FILES_ANON;
	err_usage("--files: '%s': real or anon", arg);
}

static u64 parse_pfn(const char *arg)
{
	char *end;
	u64 pfn;

	errno = 0;
	pfn = strtoull(arg, &end, 0);
	if (end == arg || *end || errno)
		err_usage("--pfn: '%s': no number", arg);
	return pfn;
}

static void take_trace(struct cmd_opts *o, const char *arg)
{
	if (o->replay.trace)
		err_usage("one trace at a time: '%s' is a second one", arg);
	o->replay.trace = arg;
}

static error_t parse_event_opt(int key, char *arg, struct events_opts *e)
{
	switch (key) {
	case OPT_TRACE:
		e->list = arg;
		return 0;
	case OPT_TRACE_OUT:
		e->out = arg;
		return 0;
	case OPT_PERFETTO:
		e->perfetto = arg;
		return 0;
	case OPT_FOLLOW:
		events_parse_follow(e, arg);
		return 0;
	case OPT_LIFE:
		e->life = arg;
		return 0;
	case OPT_PFN:
		e->pfn = parse_pfn(arg);
		e->follow = e->by_pfn = true;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t parse_opt(int key, char *arg, struct argp_state *state)
{
	struct cmd_opts *o = state->input;

	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &o->replay.machine;
		return 0;
	case OPT_MEM:
		parse_sizes(arg, o);
		o->mem_given = true;
		return 0;
	case OPT_MEMCG:
		memcg_parse(&o->replay.memcg, arg);
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
	case OPT_THP:
		whatif_parse_thp(&o->replay.whatif, arg);
		return 0;
	case OPT_KSM:
		whatif_parse_ksm(&o->replay.whatif, arg);
		return 0;
	case OPT_DUMP:
		o->replay.machine.dump_proc = arg;
		return 0;
	case OPT_QUIET:
		o->quiet = true;
		return 0;
	case ARGP_KEY_ARG:
		take_trace(o, arg);
		return 0;
	case ARGP_KEY_END:
		if (!o->replay.trace)
			err_usage("which trace? give its file");
		return 0;
	default:
		if (parse_event_opt(key, arg, &o->replay.events) == 0)
			return 0;
		return machine_size_opt(&o->replay.machine, key, arg);
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

/* How near to a percentage is near enough, pages. */
#define FIT_PAGES 4u

/*
 * So much RAM that the program has PERCENT of USE pages, which is what it has
 * at once when there is plenty, in the run of the first policy: the machine's
 * own needs come on top, and are not known before. Each try is as much nearer
 * as the last one missed.
 */
static u64 fit_memory(struct replay_opts *o, u64 use, u32 percent)
{
	u64 target = max(use * percent / 100, 16UL), best_off = UINT64_MAX;
	static struct replay_result res;
	u64 pages = target + 300, best = 0;

	for (int i = 0; i < 5 && best_off > FIT_PAGES; i++) {
		u64 off;

		pages = max(pages, (1UL << 20) >> PAGE_SHIFT);
		o->machine.mem_bytes = pages << PAGE_SHIFT;
		forked_run(o, &res);
		off = target > res.peak_user_pages
			      ? target - res.peak_user_pages
			      : res.peak_user_pages - target;
		if (off < best_off) {
			best_off = off;
			best = pages;
		}
		pages += target;
		pages -= min(pages, res.peak_user_pages);
	}
	return best << PAGE_SHIFT;
}

/* Percentages become bytes. */
static void fit_sizes(struct cmd_opts *o)
{
	static struct replay_result res;
	struct replay_opts *r = &o->replay;
	bool no_min = r->no_min;
	u64 use = 0;

	r->machine.policy = o->policies[0];
	r->no_min = true;
	for (u32 i = 0; i < o->nr_mem; i++) {
		if (!o->mem[i].percent)
			continue;
		if (!use) {
			r->machine.mem_bytes = 1UL << 30;
			forked_run(r, &res);
			use = res.peak_user_pages;
		}
		o->mem[i].bytes = fit_memory(r, use, o->mem[i].percent);
	}
	r->no_min = no_min;
}

/* The same without huge pages and without merging, into RES's comparison. */
static void run_without(const struct cmd_opts *o, struct replay_result *res)
{
	static struct replay_result without;
	static struct replay_opts r;

	r = o->replay;
	r.whatif = whatif_without(&r.whatif);
	r.no_min = true;
	r.machine.nr_shows = 0;
	r.machine.dump_proc = NULL;
	forked_run(&r, &without);
	whatif_compare(res, &without);
}

static void run_point(struct cmd_opts *o, u32 policy, u32 mem, bool fork_it,
		      struct replay_result *res)
{
	bool twice = whatif_compares(&o->replay.whatif);

	fork_it |= twice;
	o->replay.machine.policy = o->policies[policy];
	o->replay.machine.mem_bytes = o->mem[mem].bytes;
	if (fork_it)
		forked_run(&o->replay, res);
	else
		replay_run(&o->replay, res);
	res->mem_percent = o->mem[mem].percent;
	if (twice)
		run_without(o, res);
}

/* Every point is known to be right before the first run begins. */
static void check_points(struct cmd_opts *o)
{
	for (u32 p = 0; p < o->nr_policies; p++)
		for (u32 i = 0; i < o->nr_mem; i++) {
			o->replay.machine.policy = o->policies[p];
			o->replay.machine.mem_bytes =
				o->mem[i].percent ? 1UL << 30 : o->mem[i].bytes;
			machine_check(&o->replay.machine);
			if (o->mem[i].percent && o->replay.machine.map)
				err_usage("--mem in percent and --map: one or "
					  "the other");
		}
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

/* Events are of one run, and not of those that look for its size. */
static struct events_opts take_events(struct cmd_opts *o)
{
	struct events_opts e = o->replay.events;

	o->replay.events = (struct events_opts){0};
	if (!events_wanted(&e))
		return e;
	events_check(&e);
	if (o->nr_policies * o->nr_mem > 1)
		err_usage("--trace, --perfetto and --follow want one run");
	if (o->json && ((e.follow && !e.life) || (e.list && !e.out)))
		err_usage("--json: standard output is taken by --follow or "
			  "--trace without --trace-out");
	return e;
}

/* The directory, which is of one run, too. */
static const char *take_dump(struct cmd_opts *o)
{
	const char *dir = o->replay.machine.dump_proc;

	o->replay.machine.dump_proc = NULL;
	if (!dir)
		return NULL;
	if (o->nr_policies * o->nr_mem > 1)
		err_usage("--dump-proc wants one run");
	dump_check(dir);
	return dir;
}

static void print(const struct cmd_opts *o, const struct replay_result *runs,
		  u32 nr, const char *command)
{
	if (o->json)
		replay_print_json(runs, nr);
	else if (o->nr_policies > 1)
		replay_print_matrix(runs, nr, o->replay.trace);
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
	struct events_opts events;
	const char *dump;
	bool failed;
	u32 nr;

	machine_defaults(&o.replay.machine);
	o.nr_mem = 1;
	o.mem[0].bytes = o.replay.machine.mem_bytes;
	note_command(command, sizeof(command), argc, argv);
	args_run(&argp, argc, argv, 0, &o);
	o.replay.machine.show_stderr = o.json;
	if (o.replay.machine.map && o.mem_given)
		err_usage("--mem and --map: one or the other says how much "
			  "memory there is");
	split_policies(&o);
	check_points(&o);
	o.replay.progress = !o.quiet && isatty(STDERR_FILENO);
	/* A place where the page cannot be written is refused before the
	 * work. */
	if (o.report && page_check(o.report))
		err_die("--report: %s: %s", o.report, strerror(errno));
	replay_fit_check(o.replay.trace, machine_format(&o.replay.machine));
	nr = o.nr_policies * o.nr_mem;
	runs = calloc(nr + 1UL, sizeof(*runs));
	if (!runs)
		err_die("no memory for the results");
	events = take_events(&o);
	dump = take_dump(&o);
	fit_sizes(&o);
	o.replay.events = events;
	o.replay.machine.dump_proc = dump;
	for (u32 i = 0; i < nr; i++)
		run_point(&o, i / o.nr_mem, i % o.nr_mem, nr > 1, &runs[i]);
	print(&o, runs, nr, command);
	failed = run_failed(runs, nr);
	free(runs);
	return failed ? EXIT_FAILED : 0;
}
