/* SPDX-License-Identifier: MIT */
/*
 * cmd_sweep.c - "mmkit sweep": traces, sizes, policies, seeds, all with all.
 *
 * 1. The folder. A sweep lives in one: sweep.json is the plan, points/ has a
 *    file for each point that has been run, log tells every start and end, and
 *    table.* and report.html are made of the points at the end of each call.
 *    Nothing else is remembered anywhere: a sweep that was stopped or killed,
 *    or whose machine went down, is told again by the same command, or by --out
 *    alone, and runs what is missing. The folder of another sweep is refused.
 *
 * 2. A point is one `mmkit replay --json`, and its file is what that printed.
 *    It comes into its place whole or not at all (sweep_task.c).
 *
 * 3. A point that fails is kept by name with what it said, the others go on,
 *    and the next call tries it again.
 *
 * 4. Runs are done on this machine, or by programs that people have for that:
 *    GNU parallel, Slurm (sweep_engine.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "args.h"
#include "err.h"
#include "page.h"
#include "sweep.h"

int cmd_sweep(int argc, char **argv);

enum {
	OPT_MEM = 'm',
	OPT_SWAP = 's',
	OPT_OUT = 'o',
	OPT_JOBS = 'j',
	OPT_QUIET = 'q',
	OPT_POLICY = 512,
	OPT_CPUS,
	OPT_THP,
	OPT_KSM,
	OPT_SEEDS,
	OPT_WITH,
	OPT_ENGINE,
	OPT_HOSTS,
	OPT_SSHLOGIN,
	OPT_SLURM_ARG,
	OPT_NO_WAIT,
	OPT_COLLECT,
	OPT_PROGRESS,
	OPT_PRINT,
	OPT_SHARE
};

enum print { PRINT_TEXT, PRINT_CSV, PRINT_JSON, PRINT_REPORT, PRINT_NONE };

struct sweep_opts {
	struct sweep_plan plan;
	const char *dir;
	bool lists, collect, quiet;
	enum print print;
	struct sweep_engine_opts engine;
	const char *share;
};

static const struct argp_option options[] = {
	{"out", OPT_OUT, "DIR", 0, "the sweep's folder, made if missing", 0},
	{"mem", OPT_MEM, "SIZE[,...]", 0,
	 "RAM, e.g. 8M,16M, or so much that the program has e.g. 25%,50% of the "
	 "memory that it would use (1G)",
	 0},
	{"policy", OPT_POLICY, "NAME[,...]", 0,
	 "replacement policies, or files that have one (classic)", 0},
	{"swap", OPT_SWAP, "SIZE[,...]", 0, "swap space (0)", 0},
	{"cpus", OPT_CPUS, "N[,...]", 0, "virtual CPUs (1)", 0},
	{"thp", OPT_THP, "never|madvise|always[,...]", 0,
	 "huge pages for whom (never)", 0},
	{"ksm", OPT_KSM, "off|on[,...]", 0, "merge equal pages (off)", 0},
	{"seeds", OPT_SEEDS, "N", 0, "each point with seeds 1 to N (1)", 0},
	{"with", OPT_WITH, "OPTION", 0,
	 "one more option of mmkit replay for all points, e.g. "
	 "--with=--arch=x86-32; may be repeated",
	 0},
	{0, 0, 0, 0, "Who does the work:", 1},
	{"engine", OPT_ENGINE, "local|parallel|slurm", 0,
	 "this machine, GNU parallel, or a Slurm job array (local)", 1},
	{"jobs", OPT_JOBS, "N", 0,
	 "so many points at once; of parallel, on each host (the CPUs)", 1},
	{"hosts", OPT_HOSTS, "FILE", 0, "GNU parallel's list of hosts", 1},
	{"sshlogin", OPT_SSHLOGIN, "LIST", 0,
	 "hosts as GNU parallel takes them; may be repeated", 1},
	{"slurm-arg", OPT_SLURM_ARG, "ARG", 0,
	 "one more argument of sbatch, e.g. --slurm-arg=--partition=long; may "
	 "be repeated",
	 1},
	{"no-wait", OPT_NO_WAIT, 0, 0, "submit the Slurm job and leave", 1},
	{"collect", OPT_COLLECT, 0, 0, "run nothing: tables of what is there",
	 1},
	{0, 0, 0, 0, "What is printed:", 2},
	{"print", OPT_PRINT, "text|csv|json|html|none", 0,
	 "one of the tables, or the report; all are files in the folder (text)",
	 2},
	{"progress", OPT_PROGRESS, 0, 0,
	 "how far it is, in lines, where standard error is no terminal", 2},
	{"quiet", OPT_QUIET, 0, 0, "no progress on the terminal", 2},
	{"share", OPT_SHARE, "I/K", OPTION_HIDDEN, 0, 0},
	{0}};

/* ---- arguments
 * ------------------------------------------------------------------ */

static u32 count_arg(const char *name, const char *arg, u64 most)
{
	struct args_error e;
	u64 v;

	if (!args_count(arg, 1, most, &v, &e))
		err_usage("--%s: %s", name, e.text);
	return (u32)v;
}

/* The place of ARG among NAMES. */
static u32 word_arg(const char *name, const char *arg, const char *const *names,
		    size_t nr)
{
	const char *near = err_suggest(arg, names, nr);

	for (u32 i = 0; i < nr; i++)
		if (!strcmp(arg, names[i]))
			return i;
	if (near)
		err_usage("--%s: '%s': did you mean '%s'?", name, arg, near);
	err_usage("--%s: '%s' is none of its words", name, arg);
}

static enum sweep_engine engine_arg(const char *arg)
{
	static const char *const names[] = {[SWEEP_LOCAL] = "local",
					    [SWEEP_PARALLEL] = "parallel",
					    [SWEEP_SLURM] = "slurm"};

	return word_arg("engine", arg, names, ARRAY_SIZE(names));
}

static enum print print_arg(const char *arg)
{
	static const char *const names[] = {[PRINT_TEXT] = "text",
					    [PRINT_CSV] = "csv",
					    [PRINT_JSON] = "json",
					    [PRINT_REPORT] = "html",
					    [PRINT_NONE] = "none"};

	return word_arg("print", arg, names, ARRAY_SIZE(names));
}

static void keep(struct sweep_list *l, const char *name, char *arg)
{
	if (l->nr == SWEEP_LIST_MAX)
		err_usage("--%s: at most %d times", name, SWEEP_LIST_MAX);
	l->v = realloc(l->v, (l->nr + 1) * sizeof(*l->v));
	if (!l->v)
		err_die("no memory");
	l->v[l->nr++] = arg;
}

static error_t parse_list(int key, char *arg, struct sweep_opts *o)
{
	static const struct {
		int key;
		enum sweep_dim dim;
	} lists[] = {
		{OPT_MEM, SWEEP_MEM},	{OPT_POLICY, SWEEP_POLICY},
		{OPT_SWAP, SWEEP_SWAP}, {OPT_CPUS, SWEEP_CPUS},
		{OPT_THP, SWEEP_THP},	{OPT_KSM, SWEEP_KSM},
	};

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		if (lists[i].key == key) {
			sweep_list_parse(&o->plan, lists[i].dim, arg);
			o->lists = true;
			return 0;
		}
	switch (key) {
	case OPT_SEEDS:
		sweep_set_seeds(&o->plan, count_arg("seeds", arg, 10000));
		o->lists = true;
		return 0;
	case OPT_WITH:
		sweep_add_with(&o->plan, arg);
		o->lists = true;
		return 0;
	case ARGP_KEY_ARG:
		if (!*arg)
			err_usage("'': no trace has that name");
		sweep_add_trace(&o->plan, arg);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static error_t parse_opt(int key, char *arg, struct argp_state *state)
{
	struct sweep_opts *o = state->input;

	switch (key) {
	case OPT_OUT:
		o->dir = arg;
		return 0;
	case OPT_ENGINE:
		o->engine.engine = engine_arg(arg);
		return 0;
	case OPT_JOBS:
		o->engine.jobs = count_arg("jobs", arg, 4096);
		return 0;
	case OPT_HOSTS:
		o->engine.hosts = arg;
		return 0;
	case OPT_SSHLOGIN:
		keep(&o->engine.sshlogins, "sshlogin", arg);
		return 0;
	case OPT_SLURM_ARG:
		keep(&o->engine.slurm, "slurm-arg", arg);
		return 0;
	case OPT_NO_WAIT:
		o->engine.no_wait = true;
		return 0;
	case OPT_COLLECT:
		o->collect = true;
		return 0;
	case OPT_PRINT:
		o->print = print_arg(arg);
		return 0;
	case OPT_PROGRESS:
		o->engine.lines = true;
		return 0;
	case OPT_QUIET:
		o->quiet = true;
		return 0;
	case OPT_SHARE:
		o->share = arg;
		return 0;
	default:
		return parse_list(key, arg, o);
	}
}

static void check_opts(struct sweep_opts *o)
{
	const struct sweep_engine_opts *e = &o->engine;

	if (!o->dir || !*o->dir)
		err_usage("where to? give --out DIR");
	if (!o->plan.dim[SWEEP_TRACE].nr && o->lists)
		err_usage("which traces? name them, or give --out alone to go "
			  "on with what is there");
	if ((e->hosts || e->sshlogins.nr) && e->engine != SWEEP_PARALLEL)
		err_usage("--hosts and --sshlogin are for --engine parallel");
	if ((e->no_wait || e->slurm.nr) && e->engine != SWEEP_SLURM)
		err_usage("--no-wait and --slurm-arg are for --engine slurm");
	if (e->hosts && access(e->hosts, R_OK))
		err_die("--hosts: %s: %s", e->hosts, strerror(errno));
	o->engine.tty = !o->quiet && isatty(STDERR_FILENO);
	o->engine.lines = o->engine.lines && !o->engine.tty;
}

/* ---- the folder
 * ----------------------------------------------------------------- */

static char *make_dir(const char *dir)
{
	char *full;

	if (mkdir(dir, 0777) && errno != EEXIST)
		err_die("--out: %s: %s", dir, strerror(errno));
	full = realpath(dir, NULL);
	if (!full || access(full, W_OK | X_OK))
		err_die("--out: %s: %s", dir, strerror(errno));
	if (strpbrk(full, "\n\"%"))
		err_usage("--out: %s: a folder of such a name cannot be told "
			  "to other programs",
			  full);
	return full;
}

/* One of us at a time: two would only wait for each other. */
static void lock_dir(const char *dir)
{
	char *path = sweep_printf("%s/lock", dir);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);

	if (fd < 0)
		err_die("%s: %s", path, strerror(errno));
	if (flock(fd, LOCK_EX | LOCK_NB))
		err_die("--out: %s: another mmkit sweep is at work there", dir);
	free(path);
}

static void settle(struct sweep_opts *o, const char *dir)
{
	if (!o->plan.dim[SWEEP_TRACE].nr) {
		sweep_plan_load(&o->plan, dir);
		sweep_plan_check(&o->plan);
		return;
	}
	sweep_plan_settle(&o->plan, dir);
}

/* ---- the end
 * -------------------------------------------------------------------- */

static const struct {
	const char *file;
	void (*put)(FILE *f, const struct sweep_plan *p,
		    const struct sweep_row *rows);
} tables[] = {
	[PRINT_TEXT] = {"table.txt", sweep_put_text},
	[PRINT_CSV] = {"table.csv", sweep_put_csv},
	[PRINT_JSON] = {"table.json", sweep_put_json},
	[PRINT_REPORT] = {"report.html", sweep_put_html},
};

static void write_tables(const struct sweep *s, enum print print)
{
	struct sweep_row *rows = sweep_collect(s);

	for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
		char *path = sweep_printf("%s/%s", s->dir, tables[i].file);
		char *text = NULL;
		size_t len = 0;
		FILE *f = open_memstream(&text, &len);

		if (!f)
			err_die("no memory for a table");
		tables[i].put(f, s->plan, rows);
		if (fclose(f))
			err_die("no memory for a table");
		if (page_write(path, text, len))
			err_die("%s: %s", path, strerror(errno));
		if (i == print)
			fwrite(text, 1, len, stdout);
		free(text);
		free(path);
	}
	free(rows);
}

/* The first line that a failed run said. */
static void say_failure(const struct sweep *s, u32 task)
{
	char *path = sweep_task_path(s, task, ".failed");
	char *label = sweep_task_label(s, task), line[256] = "";
	FILE *f = fopen(path, "re");

	if (f && !fgets(line, sizeof(line), f))
		line[0] = 0;
	if (f)
		fclose(f);
	line[strcspn(line, "\n")] = 0;
	err_say("%s: %s (%s)", label, line, path);
	free(label);
	free(path);
}

#define FAILURES_SAID 10u

static int verdict(const struct sweep *s)
{
	u32 nr = s->plan->nr_points, failed = 0, missing = 0;

	for (u32 i = 0; i < nr + sweep_nr_fits(s->plan); i++) {
		if (sweep_is_done(s, i))
			continue;
		if (!sweep_has_failed(s, i)) {
			missing += i < nr;
			continue;
		}
		if (failed++ < FAILURES_SAID)
			say_failure(s, i);
	}
	if (failed)
		err_say("%u failed; the same command tries them again", failed);
	if (missing)
		err_say("%u of %u points have no result yet", missing, nr);
	return failed || missing ? EXIT_FAILED : EXIT_SUCCESS;
}

/* What an engine starts: some of the points, one after the other. */
static int run_share(struct sweep_opts *o, const char *dir)
{
	struct sweep_tasks t = {.wait = false};
	int status = EXIT_SUCCESS;
	struct sweep s;

	if (sscanf(o->share, "%u/%u", &t.first, &t.step) != 2 || !t.step ||
	    t.first >= t.step)
		err_usage("--share: '%s' is not of the form I/K", o->share);
	sweep_plan_load(&o->plan, dir);
	sweep_open(&s, &o->plan, dir);
	o->engine = (struct sweep_engine_opts){.jobs = 1};
	t.end = o->plan.nr_points;
	sweep_run_local(&s, &o->engine, &t);
	for (u64 i = t.first; i < t.end; i += t.step)
		if (!sweep_is_done(&s, (u32)i))
			status = EXIT_FAILED;
	sweep_close(&s);
	return status;
}

static int run(struct sweep_opts *o, const char *dir)
{
	int status = EXIT_SUCCESS;
	struct sweep s;

	lock_dir(dir);
	settle(o, dir);
	sweep_open(&s, &o->plan, dir);
	if (o->collect || sweep_run(&s, &o->engine)) {
		write_tables(&s, o->print);
		status = verdict(&s);
	}
	sweep_close(&s);
	return status;
}

int cmd_sweep(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options,
		.parser = parse_opt,
		.args_doc = "TRACE...",
		.doc = "Replay traces with all combinations of lists: a table "
		       "and a report of all, in a folder that can be gone on "
		       "with.\v"
		       "Exit status: 0, 1 if points failed or have no result "
		       "yet, 2 for wrong use.",
	};
	static struct sweep_opts o;
	char *dir;
	int status;

	args_run(&argp, argc, argv, 0, &o);
	check_opts(&o);
	/* What is wrong is told before there is a folder. */
	if (o.plan.dim[SWEEP_TRACE].nr)
		sweep_plan_finish(&o.plan);
	dir = make_dir(o.dir);
	status = o.share ? run_share(&o, dir) : run(&o, dir);
	sweep_plan_free(&o.plan);
	free(o.engine.sshlogins.v);
	free(o.engine.slurm.v);
	free(dir);
	return status;
}
