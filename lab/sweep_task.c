/* SPDX-License-Identifier: MIT */
/*
 * sweep_task.c - one run of a sweep: claimed, made, and its result in place.
 *
 * 1. Files. Of task N there is N.json, the result, as `mmkit replay --json`
 *    printed it; or N.failed, what a failed run said; or neither. N.part is a
 *    result on its way: the run's standard output. It is renamed only when the
 *    run has ended well and the text is a whole result, so what has its name is
 *    whole, whenever anybody is killed.
 *
 * 2. Claims. Who works on a task holds a lock (flock) on its N.part. The run
 *    inherits the open file and with it the lock: it ends with the last process
 *    that could still write. Whoever gets the lock looks whether the result has
 *    come meanwhile, and whether the file is still the one of that name. So no
 *    two runs of a point are ever under way, in one process, in several or,
 *    where the file system has locks, on several machines.
 *
 * 3. The run is a process of its own, and dies with its parent.
 *
 * 4. The log has a line for each start and end, written in one piece.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "args.h"
#include "err.h"
#include "sweep.h"

/* ---- numbers and names
 * ---------------------------------------------------------- */

static bool is_percent(const struct sweep_plan *p, u32 mem)
{
	return strchr(p->dim[SWEEP_MEM].v[mem], '%') != NULL;
}

u32 sweep_nr_fits(const struct sweep_plan *p)
{
	u32 n = 0;

	for (u32 i = 0; i < p->dim[SWEEP_MEM].nr; i++)
		n += is_percent(p, i);
	return n * p->dim[SWEEP_TRACE].nr;
}

/* The first point of a trace and a percentage: its run finds the size. */
static struct sweep_at fit_at(const struct sweep_plan *p, u32 fit)
{
	struct sweep_at at = {0};
	u32 nr = sweep_nr_fits(p) / p->dim[SWEEP_TRACE].nr, mem = 0;

	at.i[SWEEP_TRACE] = fit / nr;
	for (fit %= nr; fit || !is_percent(p, mem); mem++)
		fit -= is_percent(p, mem);
	at.i[SWEEP_MEM] = mem;
	return at;
}

/* The task that finds out what AT's percentage is in bytes. */
static u32 fit_of(const struct sweep_plan *p, const struct sweep_at *at)
{
	u32 nr = sweep_nr_fits(p) / p->dim[SWEEP_TRACE].nr, n = 0;

	for (u32 i = 0; i < at->i[SWEEP_MEM]; i++)
		n += is_percent(p, i);
	return p->nr_points + at->i[SWEEP_TRACE] * nr + n;
}

static bool is_fit(const struct sweep *s, u32 task)
{
	return task >= s->plan->nr_points;
}

char *sweep_task_path(const struct sweep *s, u32 task, const char *suffix)
{
	if (is_fit(s, task))
		return sweep_printf("%s/points/size-%u%s", s->dir,
				    task - s->plan->nr_points, suffix);
	return sweep_printf("%s/points/%06u%s", s->dir, task, suffix);
}

char *sweep_task_label(const struct sweep *s, u32 task)
{
	struct sweep_at at;

	if (!is_fit(s, task))
		return sweep_label(s->plan, task);
	at = fit_at(s->plan, task - s->plan->nr_points);
	return sweep_printf("%s: the size of %s",
			    sweep_value(s->plan, &at, SWEEP_TRACE),
			    sweep_value(s->plan, &at, SWEEP_MEM));
}

static bool has_file(const struct sweep *s, u32 task, const char *suffix)
{
	char *path = sweep_task_path(s, task, suffix);
	bool there = access(path, F_OK) == 0;

	free(path);
	return there;
}

bool sweep_is_done(const struct sweep *s, u32 task)
{
	return has_file(s, task, ".json");
}

bool sweep_has_failed(const struct sweep *s, u32 task)
{
	return has_file(s, task, ".failed");
}

/* ---- the log
 * -------------------------------------------------------------------- */

static void log_line(const struct sweep *s, u32 task, const char *what)
{
	char *label = sweep_task_label(s, task), *line, when[32], host[64];
	time_t now = time(NULL);
	struct tm tm;

	strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
	if (gethostname(host, sizeof(host)))
		snprintf(host, sizeof(host), "?");
	host[sizeof(host) - 1] = 0;
	line = sweep_printf("%s %s %d %s %u %s\n", when, host, getpid(), what,
			    task, label);
	if (write(s->log, line, strlen(line)) != (ssize_t)strlen(line))
		err_die("%s/log: cannot write", s->dir);
	free(line);
	free(label);
}

void sweep_open(struct sweep *s, const struct sweep_plan *p, const char *dir)
{
	char *points = sweep_printf("%s/points", dir);
	char *log = sweep_printf("%s/log", dir);

	*s = (struct sweep){.plan = p, .dir = dir};
	s->self = realpath("/proc/self/exe", NULL);
	if (!s->self)
		err_die("/proc/self/exe: %s", strerror(errno));
	if (mkdir(points, 0777) && errno != EEXIST)
		err_die("%s: %s", points, strerror(errno));
	s->log = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (s->log < 0)
		err_die("%s: %s", log, strerror(errno));
	free(points);
	free(log);
}

void sweep_close(struct sweep *s)
{
	close(s->log);
	free(s->self);
}

/* ---- claims
 * --------------------------------------------------------------------- */

/* Is FD the file that is called PATH now? */
static bool is_file(int fd, const char *path)
{
	struct stat a, b;

	return !fstat(fd, &a) && !stat(path, &b) && a.st_ino == b.st_ino &&
	       a.st_dev == b.st_dev;
}

/* The lock on TASK's unfinished result, or why there is none. */
static enum sweep_start claim(const struct sweep *s, u32 task, int *out)
{
	char *part = sweep_task_path(s, task, ".part");
	enum sweep_start ret = SWEEP_STARTED;
	int fd;

	for (;;) {
		fd = open(part, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
		if (fd < 0)
			err_die("%s: %s", part, strerror(errno));
		if (flock(fd, LOCK_EX | LOCK_NB)) {
			if (errno != EWOULDBLOCK)
				err_die("%s: %s", part, strerror(errno));
			ret = SWEEP_TAKEN;
			break;
		}
		if (is_file(fd, part))
			break;
		close(fd);
	}
	if (ret == SWEEP_STARTED && sweep_is_done(s, task)) {
		unlink(part);
		ret = SWEEP_THERE;
	}
	if (ret != SWEEP_STARTED)
		close(fd);
	*out = fd;
	free(part);
	return ret;
}

/* ---- the run
 * -------------------------------------------------------------------- */

/* The one run of a result's text, or NULL. */
static json_t *result_run(json_t *o)
{
	json_t *runs = json_object_get(o, "runs");

	return json_array_size(runs) == 1 ? json_array_get(runs, 0) : NULL;
}

/* The bytes that a percentage stands for, as its own task has found out. */
static char *fitted_size(const struct sweep *s, const struct sweep_at *at)
{
	char *path = sweep_task_path(s, fit_of(s->plan, at), ".json");
	json_t *o = json_load_file(path, 0, NULL);
	u64 bytes = (u64)json_integer_value(
		json_object_get(result_run(o), "mem_bytes"));
	char text[24];

	if (!bytes)
		err_die("%s: %s of %s is not known: that run failed", path,
			sweep_value(s->plan, at, SWEEP_MEM),
			sweep_value(s->plan, at, SWEEP_TRACE));
	args_size_text(text, bytes);
	json_decref(o);
	free(path);
	return sweep_printf("%s", text);
}

struct words {
	u32 nr;
	char *v[32 + SWEEP_LIST_MAX];
};

static void add_word(struct words *w, const char *word)
{
	if (w->nr == ARRAY_SIZE(w->v) - 1)
		err_die("--with: more than %d of them", SWEEP_LIST_MAX);
	w->v[w->nr++] = sweep_printf("%s", word);
	w->v[w->nr] = NULL;
}

static void add_option(struct words *w, enum sweep_dim d, const char *value)
{
	char *option = sweep_printf("--%s", sweep_dim_name(d));

	add_word(w, option);
	add_word(w, value);
	free(option);
}

/* What `mmkit replay` is told for a task. */
static void make_words(const struct sweep *s, u32 task, struct words *w)
{
	const struct sweep_plan *p = s->plan;
	bool fit = is_fit(s, task);
	struct sweep_at at =
		fit ? fit_at(p, task - p->nr_points) : sweep_at(p, task);
	bool percent = is_percent(p, at.i[SWEEP_MEM]);
	char *mem =
		percent && !fit
			? fitted_size(s, &at)
			: sweep_printf("%s", sweep_value(p, &at, SWEEP_MEM));

	add_word(w, s->self);
	add_word(w, "replay");
	add_word(w, p->dim[SWEEP_TRACE].v[at.i[SWEEP_TRACE]]);
	add_word(w, "--json");
	add_word(w, "--quiet");
	if (fit)
		add_word(w, "--no-min");
	add_option(w, SWEEP_MEM, mem);
	add_option(w, SWEEP_POLICY, sweep_value(p, &at, SWEEP_POLICY));
	add_option(w, SWEEP_SEED, sweep_value(p, &at, SWEEP_SEED));
	add_option(w, SWEEP_CPUS, sweep_value(p, &at, SWEEP_CPUS));
	if (strcmp(sweep_value(p, &at, SWEEP_SWAP), "0"))
		add_option(w, SWEEP_SWAP, sweep_value(p, &at, SWEEP_SWAP));
	if (strcmp(sweep_value(p, &at, SWEEP_THP), "never"))
		add_option(w, SWEEP_THP, sweep_value(p, &at, SWEEP_THP));
	if (!strcmp(sweep_value(p, &at, SWEEP_KSM), "on"))
		add_word(w, "--ksm");
	for (u32 i = 0; i < p->with.nr; i++)
		add_word(w, p->with.v[i]);
	free(mem);
}

static void free_words(struct words *w)
{
	for (u32 i = 0; i < w->nr; i++)
		free(w->v[i]);
}

_Noreturn static void become(const struct words *w, int out, const char *err,
			     pid_t parent)
{
	int null = open("/dev/null", O_RDONLY);
	int fd = open(err, O_WRONLY | O_CREAT | O_TRUNC, 0666);
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (fd < 0 || null < 0 || getppid() != parent || dup2(null, 0) < 0 ||
	    dup2(out, 1) < 0 || dup2(fd, 2) < 0)
		_exit(126);
	execv(w->v[0], w->v);
	fprintf(stderr, "%s: %s\n", w->v[0], strerror(errno));
	_exit(127);
}

enum sweep_start sweep_start(const struct sweep *s, u32 task,
			     struct sweep_child *c)
{
	struct words w = {0};
	enum sweep_start ret;
	pid_t parent = getpid();
	char *err;

	if (sweep_is_done(s, task))
		return SWEEP_THERE;
	ret = claim(s, task, &c->fd);
	if (ret != SWEEP_STARTED)
		return ret;
	if (ftruncate(c->fd, 0))
		err_die("%s: cannot empty a file", s->dir);
	make_words(s, task, &w);
	err = sweep_task_path(s, task, ".err");
	log_line(s, task, "start");
	fflush(stdout);
	c->task = task;
	c->pid = fork();
	if (c->pid < 0)
		err_die("cannot fork: %s", strerror(errno));
	if (!c->pid)
		become(&w, c->fd, err, parent);
	free(err);
	free_words(&w);
	return SWEEP_STARTED;
}

/* ---- its end
 * -------------------------------------------------------------------- */

static bool is_whole(const char *path)
{
	json_t *o = json_load_file(path, 0, NULL);
	bool whole = json_is_object(result_run(o));

	json_decref(o);
	return whole;
}

/* What the run said, with how it ended, stays as N.failed. */
static void keep_failure(const char *err, const char *failed, int status)
{
	FILE *f = fopen(err, "ae");

	if (f && WIFSIGNALED(status))
		fprintf(f, "ended by signal %d (%s)\n", WTERMSIG(status),
			strsignal(WTERMSIG(status)));
	else if (f && status)
		fprintf(f, "exit status %d\n", WEXITSTATUS(status));
	else if (f)
		fputs("its output is no whole result\n", f);
	if (!f || fclose(f) || rename(err, failed))
		err_die("%s: %s", failed, strerror(errno));
}

bool sweep_end(const struct sweep *s, struct sweep_child *c, int status)
{
	char *part = sweep_task_path(s, c->task, ".part");
	char *json = sweep_task_path(s, c->task, ".json");
	char *err = sweep_task_path(s, c->task, ".err");
	char *failed = sweep_task_path(s, c->task, ".failed");
	bool good = !status && is_whole(part);

	if (good) {
		if (fsync(c->fd) || rename(part, json))
			err_die("%s: %s", json, strerror(errno));
		unlink(err);
		unlink(failed);
	} else {
		keep_failure(err, failed, status);
		unlink(part);
	}
	log_line(s, c->task, good ? "done" : "failed");
	close(c->fd);
	c->pid = 0;
	free(part);
	free(json);
	free(err);
	free(failed);
	return good;
}
