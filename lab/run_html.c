/* SPDX-License-Identifier: MIT */
/*
 * run_html.c - the page about a program that ran on a kernel: the figures of
 * the table, and curves over the program's life from samples of the guest's
 * /proc/vmstat.
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "chart.h"
#include "page.h"
#include "run.h"

#define PAGE_BYTES 4096.0

struct curve {
	const char *name;
	const char *counters[3]; /* summed up; NULL: no more */
	bool rate;		 /* events a second, not pages */
};

struct curves {
	const char *title, *about, *y_name;
	u32 nr;
	struct curve c[CHART_MAX_SERIES];
};

static const struct curves pictures[] = {
	{"Where memory is",
	 "Free memory, and what the lists of pages hold.",
	 "memory",
	 4,
	 {{"free", {"nr_free_pages"}, false},
	  {"anonymous", {"nr_inactive_anon", "nr_active_anon"}, false},
	  {"files", {"nr_inactive_file", "nr_active_file"}, false},
	  {"page tables", {"nr_page_table_pages"}, false}}},
	{"Faults",
	 "All faults, and those that waited for a disk.",
	 "a second",
	 2,
	 {{"all", {"pgfault"}, true}, {"major", {"pgmajfault"}, true}}},
	{"Swap",
	 "Pages that went out, and that came back.",
	 "pages a second",
	 2,
	 {{"out", {"pswpout"}, true}, {"in", {"pswpin"}, true}}},
	{"Reclaim",
	 "Pages looked at, and pages won.",
	 "pages a second",
	 4,
	 {{"scanned by kswapd", {"pgscan_kswapd"}, true},
	  {"scanned directly", {"pgscan_direct"}, true},
	  {"won by kswapd", {"pgsteal_kswapd"}, true},
	  {"won directly", {"pgsteal_direct"}, true}}},
};

struct html {
	FILE *f;
	const struct run_about *a;
	double x[RUN_MAX_SAMPLES], y[CHART_MAX_SERIES][RUN_MAX_SAMPLES];
};

static double sum_at(const struct run_result *r, u32 i, const struct curve *c)
{
	double sum = 0;

	for (size_t k = 0; k < ARRAY_SIZE(c->counters) && c->counters[k]; k++)
		sum += (double)run_vmstat_in(r->samples[i].vmstat,
					     c->counters[k]);
	return sum;
}

static double value_at(const struct run_result *r, u32 i, const struct curve *c)
{
	double dt;

	if (!c->rate)
		return sum_at(r, i, c) * PAGE_BYTES;
	if (!i)
		return NAN;
	dt = (double)(r->samples[i].ns - r->samples[i - 1].ns) / 1e9;
	return dt > 0 ? (sum_at(r, i, c) - sum_at(r, i - 1, c)) / dt : NAN;
}

static void put_curves(struct html *h, const struct curves *p)
{
	const struct run_result *r = h->a->r;
	struct chart c = {.title = p->title,
			  .about = p->about,
			  .x_name = "seconds, by the guest's clock",
			  .y_name = p->y_name,
			  .y_unit = p->c[0].rate ? CHART_COUNT : CHART_BYTES,
			  .nr_points = r->nr_samples,
			  .x = h->x,
			  .nr_series = p->nr};

	for (u32 i = 0; i < r->nr_samples; i++)
		h->x[i] = (double)r->samples[i].ns / 1e9;
	for (u32 s = 0; s < p->nr; s++) {
		for (u32 i = 0; i < r->nr_samples; i++)
			h->y[s][i] = value_at(r, i, &p->c[s]);
		c.series[s].name = p->c[s].name;
		c.series[s].y = h->y[s];
	}
	chart_write(h->f, &c);
}

static void put_command(FILE *f, const struct run_opts *o)
{
	if (!o->argv)
		fputs("a shell", f);
	for (char **s = o->argv; s && *s; s++) {
		if (s != o->argv)
			fputc(' ', f);
		html_text(f, *s);
	}
}

static void put_text(FILE *f, const char *title, const char *text)
{
	if (!text)
		return;
	fprintf(f, "<h2>%s</h2>\n<pre><code>", title);
	for (const char *s = text; *s;) {
		size_t n = strcspn(s, "\n");
		char *line = strndup(s, n);

		html_text(f, line ? line : "");
		fputc('\n', f);
		free(line);
		s += n + (s[n] == '\n');
	}
	fputs("</code></pre>\n", f);
}

/* The table, as text. */
static void put_table(struct html *h)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return;
	run_print_table(f, h->a);
	if (!fclose(f))
		put_text(h->f, "Figures", text);
	free(text);
}

static void put_html(FILE *f, void *arg)
{
	static const struct page_tab tab = {"all", "All"};
	struct html *h = arg;
	struct page_about about = {.title = "run", .verb = "run", .about = ""};

	h->f = f;
	page_begin(f, &about);
	page_tabs(f, &tab, 1);
	page_tab_begin(f, &tab);
	put_command(f, h->a->o);
	put_table(h);
	for (size_t i = 0; i < ARRAY_SIZE(pictures); i++)
		put_curves(h, &pictures[i]);
	put_text(h->f, "Audit", h->a->r->audit);
	put_text(h->f, "Zones at the end", h->a->r->zoneinfo);
	page_tab_end(f);
	page_end(f, "");
}

int run_write_html(const char *path, const struct run_about *a)
{
	struct html *h = calloc(1, sizeof(*h));
	int ret, err;

	if (!h)
		return -1;
	h->a = a;
	ret = page_compose(path, put_html, h);
	err = errno;
	free(h);
	errno = err;
	return ret;
}
