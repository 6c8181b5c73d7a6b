/* SPDX-License-Identifier: MIT */
/*
 * sweep.h - inside "mmkit sweep": the plan, the tasks that it is made of, what
 * runs them, and what comes out. Theory: cmd_sweep.c.
 */
#ifndef LAB_SWEEP_H
#define LAB_SWEEP_H

#include <stdio.h>
#include <sys/types.h>

#include <mmkit/types.h>

#define SWEEP_LIST_MAX	 64
#define SWEEP_POINTS_MAX 1000000u

/* ---- the plan (sweep_plan.c)
 * ----------------------------------------------------
 */

/* What varies, from the slowest to the fastest. */
enum sweep_dim {
	SWEEP_TRACE,
	SWEEP_SWAP,
	SWEEP_CPUS,
	SWEEP_THP,
	SWEEP_KSM,
	SWEEP_POLICY,
	SWEEP_MEM,
	SWEEP_SEED,
	SWEEP_NR_DIMS
};

struct sweep_list {
	u32 nr;
	char **v; /* as the command would be told */
};

struct sweep_trace {
	char *name; /* how it is called in tables */
	u64 bytes, sum;
};

struct sweep_plan {
	struct sweep_list dim[SWEEP_NR_DIMS];
	struct sweep_list with; /* further options of all points */
	struct sweep_trace *traces;
	u32 nr_points;
};

/* A point of the matrix: an index into each list. */
struct sweep_at {
	u32 i[SWEEP_NR_DIMS];
};

/* The name of a dimension in files; sweep_dim_is_option: and on the command
 * line, with two dashes. */
const char *sweep_dim_name(enum sweep_dim d);

/* sweep_list_parse: the words of ARG, checked and in one form, become D's;
 * sweep_add_trace: one more trace. Wrong ones end the process (err_usage), a
 * trace that cannot be read too (err_die). */
void sweep_list_parse(struct sweep_plan *p, enum sweep_dim d, const char *arg);
void sweep_set_seeds(struct sweep_plan *p, u32 n);
void sweep_add_with(struct sweep_plan *p, const char *arg);
void sweep_add_trace(struct sweep_plan *p, const char *path);

/* sweep_plan_finish: lists that nobody gave get their one value, machines that
 * cannot be are refused, points are counted. */
void sweep_plan_finish(struct sweep_plan *p);

/* sweep_plan_settle: P is DIR's plan from now on; if DIR has another one, the
 * process ends with what differs. sweep_plan_load: P is the plan of DIR, which
 * has one (else the process ends), traces not looked at. sweep_plan_there: has
 * it one? */
void sweep_plan_settle(const struct sweep_plan *p, const char *dir);
void sweep_plan_load(struct sweep_plan *p, const char *dir);
bool sweep_plan_there(const char *dir);
/* sweep_plan_check: the traces of P are what they were, else the process ends.
 */
void sweep_plan_check(const struct sweep_plan *p);
void sweep_plan_free(struct sweep_plan *p);

struct sweep_at sweep_at(const struct sweep_plan *p, u32 point);
const char *sweep_value(const struct sweep_plan *p, const struct sweep_at *at,
			enum sweep_dim d);
/* sweep_label: "sort.trace --policy arc --mem 8M --seed 1"; to be freed. */
char *sweep_label(const struct sweep_plan *p, u32 point);

/* ---- tasks: points, and looks for sizes in percent (sweep_task.c)
 * ----------------
 */

struct sweep {
	const struct sweep_plan *plan;
	const char *dir;
	char *self; /* this command's file */
	int log;
};

/* A task is a number: points first, then one for each trace and percentage. */
u32 sweep_nr_fits(const struct sweep_plan *p);
bool sweep_is_done(const struct sweep *s, u32 task);
bool sweep_has_failed(const struct sweep *s, u32 task);
/* The file that TASK's result is in, or with SUFFIX another one of its files;
 * to be freed. */
char *sweep_task_path(const struct sweep *s, u32 task, const char *suffix);
char *sweep_task_label(const struct sweep *s, u32 task);

enum sweep_start {
	SWEEP_STARTED,
	SWEEP_THERE, /* has its result already */
	SWEEP_TAKEN  /* somebody else is at it */
};

struct sweep_child {
	u32 task;
	pid_t pid; /* 0: none */
	int fd;	   /* the unfinished result: its lock is the claim */
};

/* sweep_start: claim TASK and start its run. sweep_end: the child has ended
 * with STATUS (waitpid's): true if there is a result now. */
enum sweep_start sweep_start(const struct sweep *s, u32 task,
			     struct sweep_child *c);
bool sweep_end(const struct sweep *s, struct sweep_child *c, int status);

/* sweep_open: S works in DIR. */
void sweep_open(struct sweep *s, const struct sweep_plan *p, const char *dir);
void sweep_close(struct sweep *s);

/* sweep_printf: text in memory of its own (err_die without any). */
char *sweep_printf(const char *fmt, ...) MM_PRINTF(1, 2);

/* ---- engines (sweep_engine.c)
 * ---------------------------------------------------
 */

enum sweep_engine { SWEEP_LOCAL, SWEEP_PARALLEL, SWEEP_SLURM };

struct sweep_engine_opts {
	enum sweep_engine engine;
	u32 jobs; /* 0: as many as there are CPUs */
	bool no_wait;
	bool tty, lines;   /* progress: one line that changes, or many */
	const char *hosts; /* GNU parallel's list of hosts, or NULL */
	struct sweep_list sshlogins, slurm;
};

/* sweep_run_local: run tasks FIRST, FIRST + STEP, ... below END that have no
 * result, and wait for those that others are at (WAIT). */
struct sweep_tasks {
	u32 first, end, step;
	bool wait;
};
void sweep_run_local(const struct sweep *s, const struct sweep_engine_opts *o,
		     const struct sweep_tasks *t);
/* sweep_run: all points, by O's engine; false: they go on without us. */
bool sweep_run(const struct sweep *s, const struct sweep_engine_opts *o);

/* ---- what comes out (sweep_out.c, sweep_html.c)
 * ---------------------------------
 */

#define SWEEP_NR_FIGURES 18

/* A point's result. */
struct sweep_row {
	bool there;
	u64 mem_bytes;
	u64 count[SWEEP_NR_FIGURES];
	u64 min_pageins;
	bool min_known;
	double scan_cost; /* NAN: nothing was freed */
	char digest[24];
};

/* What a group of points that differ in their seeds alone came to. */
enum sweep_measure {
	SWEEP_PAGEINS, /* as ratios to the optimum */
	SWEEP_MAJOR,
	SWEEP_SCAN,
	SWEEP_STALL, /* ms */
	SWEEP_NR_MEASURES
};

struct sweep_stat {
	u32 nr; /* 0: nothing to tell */
	double mean, min, max;
};

const char *sweep_measure_name(enum sweep_measure m);

/* sweep_collect: the rows of all points, NULL-terminated by count; to be freed.
 */
struct sweep_row *sweep_collect(const struct sweep *s);
/* sweep_stat: M over the seeds of the group that begins at POINT. */
struct sweep_stat sweep_stat(const struct sweep_plan *p,
			     const struct sweep_row *rows, u32 point,
			     enum sweep_measure m);
/* sweep_point_of: the number of the point at AT. */
u32 sweep_point_of(const struct sweep_plan *p, const struct sweep_at *at);
/* sweep_family: " --swap 64M --thp always" of those lists that have more than
 * one value; "" if there are none; to be freed. */
char *sweep_family(const struct sweep_plan *p, const struct sweep_at *at);

void sweep_put_text(FILE *f, const struct sweep_plan *p,
		    const struct sweep_row *rows);
void sweep_put_csv(FILE *f, const struct sweep_plan *p,
		   const struct sweep_row *rows);
void sweep_put_json(FILE *f, const struct sweep_plan *p,
		    const struct sweep_row *rows);
/* sweep_put_html: one self-contained page. */
void sweep_put_html(FILE *f, const struct sweep_plan *p,
		    const struct sweep_row *rows);

#endif
