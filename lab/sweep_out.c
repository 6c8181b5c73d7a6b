/* SPDX-License-Identifier: MIT */
/*
 * sweep_out.c - the results of all points as one table: text, CSV, JSON.
 *
 * The tables say what the machines came to and nothing of how long that took
 * or where it was: the same sweep gives the same bytes, whoever ran it. CSV and
 * JSON have a row for each point. The text has, for each trace and each of the
 * other lists' values, policies against sizes, as `mmkit replay` prints them;
 * of several seeds the mean, and below it how far they lie apart.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "args.h"
#include "err.h"
#include "sweep.h"

/* A figure of a result: what it is called here, and where it stands there. */
enum { F_MAJOR = 1, F_PAGEINS = 2, F_STALL = 14 };
static const struct figure {
	const char *name, *object, *key; /* OBJECT: NULL for the run itself */
} figures[SWEEP_NR_FIGURES] = {
	{"minor_faults", NULL, "minor_faults"},
	[F_MAJOR] = {"major_faults", NULL, "major_faults"},
	[F_PAGEINS] = {"pageins", NULL, "pageins"},
	{"pswpin", "vmstat", "pswpin"},
	{"pswpout", "vmstat", "pswpout"},
	{"pgscan_kswapd", "vmstat", "pgscan_kswapd"},
	{"pgscan_direct", "vmstat", "pgscan_direct"},
	{"pgsteal_kswapd", "vmstat", "pgsteal_kswapd"},
	{"pgsteal_direct", "vmstat", "pgsteal_direct"},
	{"workingset_refault_anon", "vmstat", "workingset_refault_anon"},
	{"workingset_refault_file", "vmstat", "workingset_refault_file"},
	{"peak_user_pages", NULL, "peak_user_pages"},
	{"tlb_hits", NULL, "tlb_hits"},
	{"tlb_misses", NULL, "tlb_misses"},
	[F_STALL] = {"stall_ns", NULL, "stall_ns"},
	{"virtual_ns", NULL, "virtual_ns"},
	{"killed_tasks", NULL, "killed_tasks"},
	{"references", NULL, "references"},
};

/* ---- reading
 * -------------------------------------------------------------------- */

static u64 figure_of(const json_t *run, const struct figure *fig)
{
	const json_t *o = fig->object ? json_object_get(run, fig->object) : run;

	return (u64)json_integer_value(json_object_get(o, fig->key));
}

static void read_run(struct sweep_row *row, const json_t *run)
{
	const json_t *min = json_object_get(run, "min_pageins");
	const json_t *scan = json_object_get(run, "scanned_per_reclaimed");
	const char *digest = json_string_value(json_object_get(run, "digest"));

	row->there = true;
	row->mem_bytes =
		(u64)json_integer_value(json_object_get(run, "mem_bytes"));
	for (u32 i = 0; i < SWEEP_NR_FIGURES; i++)
		row->count[i] = figure_of(run, &figures[i]);
	row->min_known = json_is_integer(min);
	row->min_pageins = (u64)json_integer_value(min);
	row->scan_cost = json_is_number(scan) ? json_number_value(scan) : NAN;
	snprintf(row->digest, sizeof(row->digest), "%s", digest ? digest : "");
}

struct sweep_row *sweep_collect(const struct sweep *s)
{
	struct sweep_row *rows =
		calloc(s->plan->nr_points + 1UL, sizeof(*rows));

	if (!rows)
		err_die("no memory for %u results", s->plan->nr_points);
	for (u32 i = 0; i < s->plan->nr_points; i++) {
		char *path = sweep_task_path(s, i, ".json");
		json_t *o = json_load_file(path, 0, NULL);
		json_t *run = json_array_get(json_object_get(o, "runs"), 0);

		if (json_is_object(run))
			read_run(&rows[i], run);
		json_decref(o);
		free(path);
	}
	return rows;
}

/* ---- what is compared
 * ----------------------------------------------------------- */

const char *sweep_measure_name(enum sweep_measure m)
{
	static const char *const names[] = {
		[SWEEP_PAGEINS] = "page-ins / optimum",
		[SWEEP_MAJOR] = "major faults / optimum",
		[SWEEP_SCAN] = "pages looked at / reclaimed",
		[SWEEP_STALL] = "stalled, ms",
	};

	return names[m];
}

static double over_min(const struct sweep_row *r, u64 n)
{
	return r->min_known && r->min_pageins
		       ? (double)n / (double)r->min_pageins
		       : NAN;
}

static double measure(const struct sweep_row *r, enum sweep_measure m)
{
	if (!r->there)
		return NAN;
	switch (m) {
	case SWEEP_PAGEINS:
		return over_min(r, r->count[F_PAGEINS]);
	case SWEEP_MAJOR:
		return over_min(r, r->count[F_MAJOR]);
	case SWEEP_SCAN:
		return r->scan_cost;
	default:
		return (double)r->count[F_STALL] / 1e6;
	}
}

struct sweep_stat sweep_stat(const struct sweep_plan *p,
			     const struct sweep_row *rows, u32 point,
			     enum sweep_measure m)
{
	struct sweep_stat st = {.min = INFINITY, .max = -INFINITY};
	u32 seeds = p->dim[SWEEP_SEED].nr;

	for (u32 i = point / seeds * seeds; i < (point / seeds + 1) * seeds;
	     i++) {
		double v = measure(&rows[i], m);

		if (isnan(v))
			continue;
		st.nr++;
		st.mean += v;
		st.min = fmin(st.min, v);
		st.max = fmax(st.max, v);
	}
	st.mean = st.nr ? st.mean / st.nr : NAN;
	return st;
}

/* ---- text
 * ----------------------------------------------------------------------- */

static const int digits[SWEEP_NR_MEASURES] = {3, 3, 2, 1};

static void text_cell(char buf[48], const struct sweep_stat *st,
		      enum sweep_measure m)
{
	if (!st->nr)
		snprintf(buf, 48, "-");
	else
		snprintf(buf, 48, "%.*f", digits[m], st->mean);
}

static void text_spread(char buf[48], const struct sweep_stat *st,
			enum sweep_measure m)
{
	if (st->nr < 2)
		snprintf(buf, 48, "%s", "");
	else
		snprintf(buf, 48, "%.*f-%.*f", digits[m], st->min, digits[m],
			 st->max);
}

/* "25% = 1356K" says more than one of them. */
static void text_size(char buf[48], const struct sweep_plan *p,
		      const struct sweep_row *rows, struct sweep_at at)
{
	const char *mem = sweep_value(p, &at, SWEEP_MEM);
	const struct sweep_row *r = &rows[sweep_point_of(p, &at)];
	char size[24];

	args_size_text(size, r->mem_bytes);
	if (strchr(mem, '%') && r->there)
		snprintf(buf, 48, "%s = %s", mem, size);
	else
		snprintf(buf, 48, "%s", mem);
}

static const char *policy_name(const char *policy)
{
	const char *slash = strrchr(policy, '/');

	return slash ? slash + 1 : policy;
}

static void text_row(FILE *f, const struct sweep_plan *p,
		     const struct sweep_row *rows, struct sweep_at at,
		     enum sweep_measure m)
{
	char buf[48];

	fprintf(f, "%-28s", policy_name(sweep_value(p, &at, SWEEP_POLICY)));
	for (u32 i = 0; i < p->dim[SWEEP_MEM].nr; i++) {
		struct sweep_stat st;

		at.i[SWEEP_MEM] = i;
		st = sweep_stat(p, rows, sweep_point_of(p, &at), m);
		text_cell(buf, &st, m);
		fprintf(f, " %16s", buf);
	}
	fputc('\n', f);
	if (p->dim[SWEEP_SEED].nr < 2)
		return;
	fprintf(f, "%-28s", "");
	for (u32 i = 0; i < p->dim[SWEEP_MEM].nr; i++) {
		struct sweep_stat st;

		at.i[SWEEP_MEM] = i;
		st = sweep_stat(p, rows, sweep_point_of(p, &at), m);
		text_spread(buf, &st, m);
		fprintf(f, " %16s", buf);
	}
	fputc('\n', f);
}

static void text_measure(FILE *f, const struct sweep_plan *p,
			 const struct sweep_row *rows, struct sweep_at at,
			 enum sweep_measure m)
{
	char buf[48];

	fprintf(f, "%-28s", sweep_measure_name(m));
	for (u32 i = 0; i < p->dim[SWEEP_MEM].nr; i++) {
		at.i[SWEEP_MEM] = i;
		text_size(buf, p, rows, at);
		fprintf(f, " %16s", buf);
	}
	fputc('\n', f);
	for (u32 i = 0; i < p->dim[SWEEP_POLICY].nr; i++) {
		at.i[SWEEP_POLICY] = i;
		text_row(f, p, rows, at, m);
	}
	fputc('\n', f);
}

/* Points of one trace and one value of each list but policy, size and seed are
 * a family, and follow each other. */
static u32 family_size(const struct sweep_plan *p)
{
	return p->dim[SWEEP_POLICY].nr * p->dim[SWEEP_MEM].nr *
	       p->dim[SWEEP_SEED].nr;
}

void sweep_put_text(FILE *f, const struct sweep_plan *p,
		    const struct sweep_row *rows)
{
	u32 seeds = p->dim[SWEEP_SEED].nr;

	for (u32 i = 0; i < p->nr_points; i += family_size(p)) {
		struct sweep_at at = sweep_at(p, i);
		char *family = sweep_family(p, &at);

		fprintf(f, "%s%s, %u polic%s, %u seed%s\n\n",
			sweep_value(p, &at, SWEEP_TRACE), family,
			p->dim[SWEEP_POLICY].nr,
			p->dim[SWEEP_POLICY].nr == 1 ? "y" : "ies", seeds,
			seeds == 1 ? "" : "s");
		for (u32 m = 0; m < SWEEP_NR_MEASURES; m++)
			text_measure(f, p, rows, at, m);
		free(family);
	}
}

/* ---- CSV (RFC 4180, lines end as in files here)
 * --------------------------------- */

static void csv_word(FILE *f, const char *s)
{
	if (!s[strcspn(s, ",\"\n\r")]) {
		fputs(s, f);
		return;
	}
	fputc('"', f);
	for (; *s; s++) {
		if (*s == '"')
			fputc('"', f);
		fputc(*s, f);
	}
	fputc('"', f);
}

static void csv_ratio(FILE *f, double v)
{
	if (isnan(v))
		fputc(',', f);
	else
		fprintf(f, ",%.6f", v);
}

static void csv_row(FILE *f, const struct sweep_plan *p, u32 point,
		    const struct sweep_row *r)
{
	struct sweep_at at = sweep_at(p, point);

	for (u32 d = 0; d < SWEEP_NR_DIMS; d++) {
		if (d)
			fputc(',', f);
		csv_word(f, sweep_value(p, &at, d));
	}
	if (!r->there) {
		for (u32 i = 0; i < SWEEP_NR_FIGURES + 6; i++)
			fputc(',', f);
		fputc('\n', f);
		return;
	}
	fprintf(f, ",%llu", (unsigned long long)r->mem_bytes);
	for (u32 i = 0; i < SWEEP_NR_FIGURES; i++)
		fprintf(f, ",%llu", (unsigned long long)r->count[i]);
	if (r->min_known)
		fprintf(f, ",%llu", (unsigned long long)r->min_pageins);
	else
		fputc(',', f);
	csv_ratio(f, measure(r, SWEEP_PAGEINS));
	csv_ratio(f, measure(r, SWEEP_MAJOR));
	csv_ratio(f, r->scan_cost);
	fprintf(f, ",%s\n", r->digest);
}

void sweep_put_csv(FILE *f, const struct sweep_plan *p,
		   const struct sweep_row *rows)
{
	for (u32 d = 0; d < SWEEP_NR_DIMS; d++)
		fprintf(f, "%s%s", d ? "," : "", sweep_dim_name(d));
	fputs(",mem_bytes", f);
	for (u32 i = 0; i < SWEEP_NR_FIGURES; i++)
		fprintf(f, ",%s", figures[i].name);
	fputs(",min_pageins,pageins_over_min,major_over_min,"
	      "scanned_per_reclaimed,digest\n",
	      f);
	for (u32 i = 0; i < p->nr_points; i++)
		csv_row(f, p, i, &rows[i]);
}

/* ---- JSON
 * ----------------------------------------------------------------------- */

static json_t *number_or_null(double v)
{
	return isnan(v) ? json_null() : json_real(v);
}

static json_t *row_json(const struct sweep_plan *p, u32 point,
			const struct sweep_row *r)
{
	struct sweep_at at = sweep_at(p, point);
	json_t *o = json_object();

	for (u32 d = 0; d < SWEEP_NR_DIMS; d++)
		json_object_set_new(o, sweep_dim_name(d),
				    json_string(sweep_value(p, &at, d)));
	json_object_set_new(o, "done", json_boolean(r->there));
	if (!r->there)
		return o;
	json_object_set_new(o, "mem_bytes",
			    json_integer((json_int_t)r->mem_bytes));
	for (u32 i = 0; i < SWEEP_NR_FIGURES; i++)
		json_object_set_new(o, figures[i].name,
				    json_integer((json_int_t)r->count[i]));
	json_object_set_new(o, "min_pageins",
			    r->min_known
				    ? json_integer((json_int_t)r->min_pageins)
				    : json_null());
	json_object_set_new(o, "pageins_over_min",
			    number_or_null(measure(r, SWEEP_PAGEINS)));
	json_object_set_new(o, "major_over_min",
			    number_or_null(measure(r, SWEEP_MAJOR)));
	json_object_set_new(o, "scanned_per_reclaimed",
			    number_or_null(r->scan_cost));
	json_object_set_new(o, "digest", json_string(r->digest));
	return o;
}

static json_t *stat_json(const struct sweep_stat *st)
{
	return st->nr ? json_pack("{s:f, s:f, s:f, s:i}", "mean", st->mean,
				  "min", st->min, "max", st->max, "runs",
				  (int)st->nr)
		      : json_null();
}

/* What differs in the seed alone, together. */
static json_t *group_json(const struct sweep_plan *p,
			  const struct sweep_row *rows, u32 point)
{
	static const char *const names[] = {
		[SWEEP_PAGEINS] = "pageins_over_min",
		[SWEEP_MAJOR] = "major_over_min",
		[SWEEP_SCAN] = "scanned_per_reclaimed",
		[SWEEP_STALL] = "stall_ms",
	};
	struct sweep_at at = sweep_at(p, point);
	json_t *o = json_object();

	for (u32 d = 0; d < SWEEP_SEED; d++)
		json_object_set_new(o, sweep_dim_name(d),
				    json_string(sweep_value(p, &at, d)));
	for (u32 m = 0; m < SWEEP_NR_MEASURES; m++) {
		struct sweep_stat st = sweep_stat(p, rows, point, m);

		json_object_set_new(o, names[m], stat_json(&st));
	}
	return o;
}

void sweep_put_json(FILE *f, const struct sweep_plan *p,
		    const struct sweep_row *rows)
{
	json_t *points = json_array(), *groups = json_array(), *root;

	for (u32 i = 0; i < p->nr_points; i++)
		json_array_append_new(points, row_json(p, i, &rows[i]));
	for (u32 i = 0; i < p->nr_points; i += p->dim[SWEEP_SEED].nr)
		json_array_append_new(groups, group_json(p, rows, i));
	root = json_pack("{s:s, s:o, s:o}", "schema", "mmkit.sweep-table/1",
			 "points", points, "groups", groups);
	json_dumpf(root, f, JSON_INDENT(1) | JSON_REAL_PRECISION(12));
	fputc('\n', f);
	json_decref(root);
}
