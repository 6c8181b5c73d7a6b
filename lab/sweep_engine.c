/* SPDX-License-Identifier: MIT */
/*
 * sweep_engine.c - who runs the points.
 *
 * 1. local. So many children as there are CPUs, each one point; when one ends
 *    the next begins. This is all the scheduling that there is here.
 *
 * 2. parallel, slurm. These start this command again, anywhere where the
 *    folder and the traces have the same names, with --share I/K: it runs the
 *    points I, I + K, ... one after the other, by (1). What has a result or is
 *    being worked on is left alone (sweep_task.c), so it does no harm to start
 *    shares twice. Sizes in percent are found out before, here, since all
 *    points wait for them.
 *
 * 3. How far it is, is counted in the folder, whoever does the work.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "err.h"
#include "sweep.h"

/* Slurm's MaxArraySize is 1001 unless somebody has set it. */
#define SLURM_SHARES_MAX 1000u
#define LINES_EVERY_S	 10
/* How often squeue(1) may fail in a row before it is believed. */
#define SQUEUE_TRIES 5

/* ---- progress
 * ------------------------------------------------------------------- */

struct progress {
	const struct sweep_engine_opts *o;
	const char *what;
	u32 nr, done, failed, first; /* FIRST: had a result at the start */
	struct timespec begin, said;
};

static double seconds_since(const struct timespec *t)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - t->tv_sec) +
	       (double)(now.tv_nsec - t->tv_nsec) / 1e9;
}

static void progress_begin(struct progress *pr,
			   const struct sweep_engine_opts *o, const char *what,
			   u32 nr, u32 done)
{
	*pr = (struct progress){
		.o = o, .what = what, .nr = nr, .done = done, .first = done};
	clock_gettime(CLOCK_MONOTONIC, &pr->begin);
	pr->said = pr->begin;
}

/* Seconds as 0:07, 12:30 or 3:00:00. */
static void time_text(char buf[32], double s)
{
	unsigned long n = (unsigned long)(s + 0.5);

	if (n >= 3600)
		snprintf(buf, 32, "%lu:%02lu:%02lu", n / 3600, n / 60 % 60,
			 n % 60);
	else
		snprintf(buf, 32, "%lu:%02lu", n / 60, n % 60);
}

static void progress_say(struct progress *pr, bool last)
{
	double s = seconds_since(&pr->begin);
	u32 tried = pr->done + pr->failed - pr->first;
	double rate = s > 0 ? tried / s : 0;
	char left[32] = "?", failed[32] = "";

	if (!pr->o->tty && !pr->o->lines)
		return;
	if (!last &&
	    seconds_since(&pr->said) < (pr->o->tty ? 0.1 : LINES_EVERY_S))
		return;
	clock_gettime(CLOCK_MONOTONIC, &pr->said);
	if (rate > 0)
		time_text(left, (pr->nr - pr->done - pr->failed) / rate);
	if (pr->failed)
		snprintf(failed, sizeof(failed), ", %u failed", pr->failed);
	fprintf(stderr, "%s%u/%u %s%s, %.1f/s, %s left%s",
		pr->o->tty ? "\r\033[K" : "", pr->done, pr->nr, pr->what,
		failed, rate, left, pr->o->tty && !last ? "" : "\n");
	fflush(stderr);
}

/* ---- local
 * ---------------------------------------------------------------------- */

struct pool {
	const struct sweep *s;
	struct sweep_tasks t;
	struct progress pr;
	u32 next, jobs, running;
	struct sweep_child *child; /* JOBS of them */
	u32 *taken, nr_taken;	   /* somebody else is at them */
};

static u32 nr_jobs(const struct sweep_engine_opts *o)
{
	cpu_set_t set;

	if (o->jobs)
		return o->jobs;
	if (sched_getaffinity(0, sizeof(set), &set))
		return 1;
	return (u32)CPU_COUNT(&set);
}

static u32 count_done(const struct sweep *s, const struct sweep_tasks *t)
{
	u32 n = 0;

	for (u64 i = t->first; i < t->end; i += t->step)
		n += sweep_is_done(s, (u32)i);
	return n;
}

/* Start TASK in a free place. */
static void pool_start(struct pool *p, u32 task)
{
	struct sweep_child *c = p->child;

	while (c->pid)
		c++;
	switch (sweep_start(p->s, task, c)) {
	case SWEEP_STARTED:
		p->running++;
		break;
	case SWEEP_TAKEN:
		p->taken[p->nr_taken++] = task;
		break;
	case SWEEP_THERE:
		break;
	}
}

static void pool_fill(struct pool *p)
{
	while (p->running < p->jobs && p->next < p->t.end) {
		u32 task = p->next;

		p->next = p->t.end - task > p->t.step ? task + p->t.step
						      : p->t.end;
		pool_start(p, task);
	}
}

/* What others were at: done now, or given up by them. */
static void pool_retry(struct pool *p)
{
	u32 nr = p->nr_taken;

	p->nr_taken = 0;
	for (u32 i = 0; i < nr; i++)
		if (p->running < p->jobs)
			pool_start(p, p->taken[i]);
		else
			p->taken[p->nr_taken++] = p->taken[i];
}

static void pool_reap(struct pool *p)
{
	int status;
	pid_t pid;

	while (p->running && (pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (u32 i = 0; i < p->jobs; i++) {
			if (p->child[i].pid != pid)
				continue;
			p->running--;
			if (sweep_end(p->s, &p->child[i], status))
				p->pr.done++;
			else
				p->pr.failed++;
		}
}

/* Until a child ends, or a second has passed. */
static void wait_a_bit(long ms)
{
	struct timespec limit = {ms / 1000, ms % 1000 * 1000000};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigtimedwait(&set, NULL, &limit);
}

static void block_sigchld(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
}

static void pool_work(struct pool *p)
{
	for (;;) {
		pool_fill(p);
		if (p->next >= p->t.end && p->nr_taken && p->t.wait)
			pool_retry(p);
		if (!p->running && p->next >= p->t.end &&
		    (!p->nr_taken || !p->t.wait))
			return;
		progress_say(&p->pr, false);
		wait_a_bit(p->running ? 1000 : 200);
		pool_reap(p);
	}
}

void sweep_run_local(const struct sweep *s, const struct sweep_engine_opts *o,
		     const struct sweep_tasks *t)
{
	u32 nr = t->end > t->first ? DIV_ROUND_UP(t->end - t->first, t->step)
				   : 0;
	struct pool p = {.s = s, .t = *t, .next = t->first, .jobs = nr_jobs(o)};

	p.child = calloc(p.jobs, sizeof(*p.child));
	p.taken = calloc(nr + 1UL, sizeof(*p.taken));
	if (!p.child || !p.taken)
		err_die("no memory");
	progress_begin(&p.pr, o,
		       t->first >= s->plan->nr_points ? "sizes" : "points", nr,
		       count_done(s, t));
	block_sigchld();
	pool_work(&p);
	p.pr.done = count_done(s, t);
	if (nr)
		progress_say(&p.pr, true);
	free(p.child);
	free(p.taken);
}

/* ---- other programs
 * ------------------------------------------------------------- */

struct argv {
	u32 nr;
	char *v[64 + 2 * SWEEP_LIST_MAX];
};

static void arg(struct argv *a, const char *word)
{
	if (a->nr == ARRAY_SIZE(a->v) - 1)
		err_die("too many arguments for an engine");
	a->v[a->nr++] = sweep_printf("%s", word);
	a->v[a->nr] = NULL;
}

static void args_free(struct argv *a)
{
	for (u32 i = 0; i < a->nr; i++)
		free(a->v[i]);
}

/* Start a program; its standard output becomes *OUT, if that is asked for. */
static pid_t start_program(const struct argv *a, FILE **out)
{
	int fd[2] = {-1, -1};
	pid_t pid;

	fflush(stdout);
	if (out && pipe(fd))
		err_die("cannot make a pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		err_die("cannot fork: %s", strerror(errno));
	if (!pid) {
		sigset_t none;

		sigemptyset(&none);
		sigprocmask(SIG_SETMASK, &none, NULL);
		/* What it prints is not our result. */
		dup2(out ? fd[1] : 2, 1);
		execvp(a->v[0], a->v);
		err_say("%s: %s", a->v[0], strerror(errno));
		_exit(127);
	}
	if (out) {
		close(fd[1]);
		*out = fdopen(fd[0], "r");
		if (!*out)
			err_die("no memory");
	}
	return pid;
}

static int wait_program(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			err_die("cannot wait for a program: %s",
				strerror(errno));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* S for a shell, in single quotes. */
static char *quoted(const char *s)
{
	char *text = malloc(strlen(s) * 4 + 3), *t = text;

	if (!text)
		err_die("no memory");
	*t++ = '\'';
	for (; *s; s++) {
		if (*s == '\'') {
			memcpy(t, "'\\''", 4);
			t += 4;
		} else {
			*t++ = *s;
		}
	}
	*t++ = '\'';
	*t = 0;
	return text;
}

/* The command that does a share; SHARE is the shell's to expand. */
static char *share_command(const struct sweep *s, const char *share)
{
	char *self = quoted(s->self), *dir = quoted(s->dir);
	char *text =
		sweep_printf("%s sweep --out %s --share %s", self, dir, share);

	free(self);
	free(dir);
	return text;
}

static bool share_is_done(const struct sweep *s, u32 share, u32 nr)
{
	for (u64 i = share; i < s->plan->nr_points; i += nr)
		if (!sweep_is_done(s, (u32)i))
			return false;
	return true;
}

static FILE *create(const char *path)
{
	FILE *f = fopen(path, "we");

	if (!f)
		err_die("%s: %s", path, strerror(errno));
	return f;
}

static void finish(FILE *f, const char *path)
{
	if (ferror(f) || fclose(f))
		err_die("%s: cannot write", path);
}

static void count_all(const struct sweep *s, struct progress *pr)
{
	pr->done = pr->failed = 0;
	for (u32 i = 0; i < s->plan->nr_points; i++)
		if (sweep_is_done(s, i))
			pr->done++;
		else
			pr->failed += sweep_has_failed(s, i);
}

/* ---- GNU parallel
 * --------------------------------------------------------------- */

static void parallel_args(const struct sweep *s,
			  const struct sweep_engine_opts *o, struct argv *a,
			  const char *shares)
{
	char *log = sweep_printf("%s/parallel.log", s->dir), *jobs;
	char *command = share_command(s, "{}");

	arg(a, "parallel");
	arg(a, "--will-cite");
	if (o->jobs) {
		jobs = sweep_printf("%u", o->jobs);
		arg(a, "--jobs");
		arg(a, jobs);
		free(jobs);
	}
	arg(a, "--joblog");
	arg(a, log);
	if (o->hosts) {
		arg(a, "--sshloginfile");
		arg(a, o->hosts);
	}
	for (u32 i = 0; i < o->sshlogins.nr; i++) {
		arg(a, "--sshlogin");
		arg(a, o->sshlogins.v[i]);
	}
	arg(a, "--arg-file");
	arg(a, shares);
	arg(a, command);
	free(command);
	free(log);
}

static void run_parallel(const struct sweep *s,
			 const struct sweep_engine_opts *o)
{
	char *shares = sweep_printf("%s/shares", s->dir);
	u32 nr = s->plan->nr_points;
	FILE *f = create(shares);
	struct argv a = {0};
	struct progress pr;
	int status;
	pid_t pid;

	for (u32 i = 0; i < nr; i++)
		if (!sweep_is_done(s, i))
			fprintf(f, "%u/%u\n", i, nr);
	finish(f, shares);
	parallel_args(s, o, &a, shares);
	block_sigchld();
	progress_begin(&pr, o, "points", nr,
		       count_done(s, &(struct sweep_tasks){0, nr, 1, false}));
	pid = start_program(&a, NULL);
	while (!waitpid(pid, &status, WNOHANG)) {
		count_all(s, &pr);
		progress_say(&pr, false);
		wait_a_bit(1000);
	}
	count_all(s, &pr);
	progress_say(&pr, true);
	args_free(&a);
	free(shares);
}

/* ---- Slurm
 * ---------------------------------------------------------------------- */

/* "0-3,7": shares of which some point has no result. */
static void put_shares(FILE *f, const struct sweep *s, u32 nr)
{
	bool first = true;

	for (u32 i = 0; i < nr; i++) {
		u32 last = i;

		if (share_is_done(s, i, nr))
			continue;
		while (last + 1 < nr && !share_is_done(s, last + 1, nr))
			last++;
		fprintf(f, first ? "%u" : ",%u", i);
		if (last > i)
			fprintf(f, "-%u", last);
		first = false;
		i = last;
	}
}

static char *slurm_script(const struct sweep *s,
			  const struct sweep_engine_opts *o)
{
	u32 nr = min(s->plan->nr_points, SLURM_SHARES_MAX);
	char *path = sweep_printf("%s/sweep.sbatch", s->dir);
	char *share = sweep_printf("\"$SLURM_ARRAY_TASK_ID/%u\"", nr);
	char *command = share_command(s, share);
	char *out = sweep_printf("%s/slurm", s->dir);
	FILE *f = create(path);

	if (mkdir(out, 0777) && errno != EEXIST)
		err_die("%s: %s", out, strerror(errno));
	fputs("#!/bin/sh\n#SBATCH --job-name=mmkit-sweep\n#SBATCH --array=", f);
	put_shares(f, s, nr);
	if (o->jobs)
		fprintf(f, "%%%u", o->jobs);
	fprintf(f,
		"\n#SBATCH --ntasks=1\n#SBATCH --cpus-per-task=1\n"
		"#SBATCH --output=\"%s/%%A_%%a.out\"\nexec %s\n",
		out, command);
	finish(f, path);
	free(command);
	free(share);
	free(out);
	return path;
}

/* The job's number, as sbatch --parsable prints it; a cluster may follow. */
static char *submit(const struct sweep *s, const struct sweep_engine_opts *o)
{
	char *script = slurm_script(s, o), *line = NULL;
	struct argv a = {0};
	size_t size = 0;
	ssize_t n;
	FILE *f;
	pid_t pid;
	int status;

	arg(&a, "sbatch");
	arg(&a, "--parsable");
	for (u32 i = 0; i < o->slurm.nr; i++)
		arg(&a, o->slurm.v[i]);
	arg(&a, script);
	pid = start_program(&a, &f);
	n = getline(&line, &size, f);
	fclose(f);
	status = wait_program(pid);
	if (status || n <= 0)
		err_die("--engine slurm: sbatch did not take the job (status "
			"%d)",
			status);
	line[strcspn(line, ";\n")] = 0;
	args_free(&a);
	free(script);
	return line;
}

/* Does the queue still have JOB? -1: it does not say. A job that is over is not
 * listed, and later not known. */
static int in_queue(const char *job)
{
	struct argv a = {0};
	bool any = false;
	int status;
	pid_t pid;
	FILE *f;

	arg(&a, "squeue");
	arg(&a, "--noheader");
	arg(&a, "--jobs");
	arg(&a, job);
	pid = start_program(&a, &f);
	while (fgetc(f) != EOF)
		any = true;
	fclose(f);
	status = wait_program(pid);
	args_free(&a);
	return status ? -1 : any;
}

static bool run_slurm(const struct sweep *s, const struct sweep_engine_opts *o)
{
	u32 nr = s->plan->nr_points, silent = 0;
	struct progress pr;
	char *job;

	progress_begin(&pr, o, "points", nr,
		       count_done(s, &(struct sweep_tasks){0, nr, 1, false}));
	job = submit(s, o);
	if (o->no_wait) {
		printf("job %s\n", job);
		free(job);
		return false;
	}
	for (;;) {
		int queued = in_queue(job);

		count_all(s, &pr);
		if (pr.done == nr || !queued)
			break;
		silent = queued < 0 ? silent + 1 : 0;
		if (silent == SQUEUE_TRIES) {
			err_say("squeue does not know job %s", job);
			break;
		}
		progress_say(&pr, false);
		wait_a_bit(1000);
	}
	progress_say(&pr, true);
	free(job);
	return true;
}

/* ---- all of them
 * ---------------------------------------------------------------- */

bool sweep_run(const struct sweep *s, const struct sweep_engine_opts *o)
{
	u32 nr = s->plan->nr_points, fits = sweep_nr_fits(s->plan);
	struct sweep_tasks sizes = {nr, nr + fits, 1, true};
	struct sweep_tasks points = {0, nr, 1, true};

	if (fits)
		sweep_run_local(s, o, &sizes);
	if (count_done(s, &sizes) < fits)
		return true;
	if (count_done(s, &points) == nr)
		return true;
	switch (o->engine) {
	case SWEEP_PARALLEL:
		run_parallel(s, o);
		return true;
	case SWEEP_SLURM:
		return run_slurm(s, o);
	case SWEEP_LOCAL:
		break;
	}
	sweep_run_local(s, o, &points);
	return true;
}
