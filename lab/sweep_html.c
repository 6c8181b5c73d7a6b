/* SPDX-License-Identifier: MIT */
/*
 * sweep_html.c - a sweep as a page: for each trace, policies by memory.
 *
 * A section for each trace and value of the other lists has the four measures,
 * a curve for each policy, the mean of its seeds. The numbers stand behind each
 * chart, as a table.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "chart.h"
#include "page.h"
#include "sweep.h"

static int by_size(const void *a, const void *b)
{
	const struct sweep_row *const *x = a, *const *y = b;

	if ((*x)->mem_bytes != (*y)->mem_bytes)
		return (*x)->mem_bytes < (*y)->mem_bytes ? -1 : 1;
	return *x < *y ? -1 : *x > *y;
}

/* The rows of the family at AT's sizes, ascending, those without a result left
 * out; their number. */
static u32 sizes_of(const struct sweep_plan *p, const struct sweep_row *rows,
		    struct sweep_at at, const struct sweep_row **out)
{
	u32 n = 0;

	for (u32 i = 0; i < p->dim[SWEEP_MEM].nr; i++) {
		const struct sweep_row *r;

		at.i[SWEEP_MEM] = i;
		r = &rows[sweep_point_of(p, &at)];
		if (r->there)
			out[n++] = r;
	}
	qsort(out, n, sizeof(*out), by_size);
	return n;
}

static const char *policy_name(const char *policy)
{
	const char *slash = strrchr(policy, '/');

	return slash ? slash + 1 : policy;
}

/* What a family has at each of its sizes, ascending. */
struct family {
	const struct sweep_plan *p;
	const struct sweep_row *rows;
	u32 nr;
	const struct sweep_row *size[SWEEP_LIST_MAX];
};

static void curve(const struct family *fam, u32 policy, enum sweep_measure m,
		  double *y)
{
	for (u32 i = 0; i < fam->nr; i++) {
		u32 point = (u32)(fam->size[i] - fam->rows);
		struct sweep_at at = sweep_at(fam->p, point);

		at.i[SWEEP_POLICY] = policy;
		point = sweep_point_of(fam->p, &at);
		y[i] = sweep_stat(fam->p, fam->rows, point, m).mean;
	}
}

static void put_chart(FILE *f, const struct family *fam, enum sweep_measure m)
{
	static double x[SWEEP_LIST_MAX];
	static double y[CHART_MAX_SERIES][SWEEP_LIST_MAX];
	const struct sweep_list *policies = &fam->p->dim[SWEEP_POLICY];
	struct chart c = {
		.title = sweep_measure_name(m),
		.about = m <= SWEEP_MAJOR
				 ? "1 is the best possible policy, which knows "
				   "the future, with as many frames."
				 : "Less is better.",
		.x_name = "memory",
		.y_name = sweep_measure_name(m),
		.x_unit = CHART_BYTES,
		.x_log = true,
		.markers = true,
		.nr_points = fam->nr,
		.x = x,
	};

	for (u32 i = 0; i < fam->nr; i++)
		x[i] = (double)fam->size[i]->mem_bytes;
	c.nr_series = min(policies->nr, (u32)CHART_MAX_SERIES);
	for (u32 i = 0; i < c.nr_series; i++) {
		curve(fam, i, m, y[i]);
		c.series[i].name = policy_name(policies->v[i]);
		c.series[i].y = y[i];
	}
	chart_write(f, &c);
}

static void put_family(FILE *f, const struct sweep_plan *p,
		       const struct sweep_row *rows, struct sweep_at at)
{
	struct family fam = {.p = p, .rows = rows};
	char *text = sweep_family(p, &at);

	fam.nr = sizes_of(p, rows, at, fam.size);
	fputs("<section><h2>", f);
	html_text(f, sweep_value(p, &at, SWEEP_TRACE));
	html_text(f, text);
	fputs("</h2>\n", f);
	if (p->dim[SWEEP_SEED].nr > 1)
		fprintf(f, "<p>Each point is the mean of %u seeds.</p>\n",
			p->dim[SWEEP_SEED].nr);
	for (u32 m = 0; fam.nr && m < SWEEP_NR_MEASURES; m++)
		put_chart(f, &fam, m);
	if (!fam.nr)
		fputs("<p>No point of it has a result.</p>\n", f);
	fputs("</section>\n", f);
	free(text);
}

static void put_head(FILE *f, const struct sweep_plan *p,
		     const struct sweep_row *rows)
{
	char title[64], about[256];
	u32 done = 0;

	for (u32 i = 0; i < p->nr_points; i++)
		done += rows[i].there;
	snprintf(title, sizeof(title), "A sweep of %u points", p->nr_points);
	snprintf(about, sizeof(about),
		 "%u of %u points have a result: %u trace%s, %u polic%s, %u "
		 "size%s of memory, %u seed%s.",
		 done, p->nr_points, p->dim[SWEEP_TRACE].nr,
		 p->dim[SWEEP_TRACE].nr == 1 ? "" : "s",
		 p->dim[SWEEP_POLICY].nr,
		 p->dim[SWEEP_POLICY].nr == 1 ? "y" : "ies",
		 p->dim[SWEEP_MEM].nr, p->dim[SWEEP_MEM].nr == 1 ? "" : "s",
		 p->dim[SWEEP_SEED].nr, p->dim[SWEEP_SEED].nr == 1 ? "" : "s");
	page_begin(f, &(struct page_about){
			      .title = title, .verb = "sweep", .about = about});
	page_tabs(f, NULL, 0);
}

void sweep_put_html(FILE *f, const struct sweep_plan *p,
		    const struct sweep_row *rows)
{
	u32 family = p->dim[SWEEP_POLICY].nr * p->dim[SWEEP_MEM].nr *
		     p->dim[SWEEP_SEED].nr;

	put_head(f, p, rows);
	for (u32 i = 0; i < p->nr_points; i += family)
		put_family(f, p, rows, sweep_at(p, i));
	page_end(f,
		 "The optimum is Belady's MIN: first touches are not counted, "
		 "nor are pages that the program gave back.");
}
