/* SPDX-License-Identifier: MIT */
/*
 * run_html.c - the page about a program that ran on a kernel: the figures of
 * the table, curves over the program's life from samples of the guest's
 * /proc, and pictures of its frames, in the frame of page.h.
 */
#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "chart.h"
#include "page.h"
#include "run.h"

#define PAGE_BYTES 4096.0

enum curve_kind {
	CURVE_LEVEL, /* pages, shown in bytes: a sum of counters */
	CURVE_FIELD, /* the same, of the sample itself */
	CURVE_REST,  /* what of all memory no other curve of the picture has */
	CURVE_RATE,  /* events a second */
	CURVE_TOTAL, /* events since the start */
};

struct curve {
	const char *name;
	enum curve_kind kind;
	const char *counters[4]; /* summed up; NULL: no more */
	size_t offset;		 /* CURVE_FIELD */
};

struct curves {
	const char *title, *about, *y_name;
	bool stacked;
	u32 nr;
	struct curve c[CHART_MAX_SERIES];
};

#define CURVE(text, k, ...)                                              \
	{                                                                \
		.name = (text), .kind = (k), .counters = { __VA_ARGS__ } \
	}
#define LEVEL(name, ...) CURVE(name, CURVE_LEVEL, __VA_ARGS__)
#define RATE(name, ...)	 CURVE(name, CURVE_RATE, __VA_ARGS__)
#define TOTAL(name, ...) CURVE(name, CURVE_TOTAL, __VA_ARGS__)
#define FIELD(text, what)                                   \
	{                                                   \
		.name = (text), .kind = CURVE_FIELD,        \
		.offset = offsetof(struct run_sample, what) \
	}

static const struct curves memory_curves[] = {
	{"Free memory and the watermarks",
	 "kswapd begins to reclaim when free memory falls under low and rests "
	 "above high; under min only reclaim itself may allocate.",
	 "memory",
	 false,
	 4,
	 {LEVEL("free", "nr_free_pages"), FIELD("high watermark", high),
	  FIELD("low watermark", low), FIELD("min watermark", min)}},
	{"Where memory is",
	 "All memory that the page allocator has, by what it is used for.",
	 "memory",
	 true,
	 6,
	 {LEVEL("anonymous", "nr_inactive_anon", "nr_active_anon",
		"nr_isolated_anon"),
	  LEVEL("files", "nr_inactive_file", "nr_active_file",
		"nr_isolated_file"),
	  LEVEL("slab", "nr_slab_reclaimable", "nr_slab_unreclaimable"),
	  LEVEL("page tables", "nr_page_table_pages"),
	  {"kernel, CPUs' lists, other", CURVE_REST, {NULL}, 0},
	  LEVEL("free", "nr_free_pages")}},
	{"Lists of pages",
	 "Reclaim takes from the inactive lists; pages used again are "
	 "promoted to the active ones. The swap cache holds pages that also "
	 "have a place in swap.",
	 "memory",
	 false,
	 6,
	 {LEVEL("active anonymous", "nr_active_anon"),
	  LEVEL("inactive anonymous", "nr_inactive_anon"),
	  LEVEL("active file", "nr_active_file"),
	  LEVEL("inactive file", "nr_inactive_file"),
	  LEVEL("unevictable", "nr_unevictable"),
	  LEVEL("swap cache", "nr_swapcached")}},
};

static const struct curves reclaim_curves[] = {
	{"Faults",
	 "All faults, and those that waited for a disk.",
	 "a second",
	 false,
	 2,
	 {RATE("all", "pgfault"), RATE("major", "pgmajfault")}},
	{"Scanned and reclaimed",
	 "Pages that reclaim looked at, and those it could free (stolen, in "
	 "Linux's words). The nearer the curves, the better it chose.",
	 "pages a second",
	 false,
	 4,
	 {RATE("scanned by kswapd", "pgscan_kswapd"),
	  RATE("reclaimed by kswapd", "pgsteal_kswapd"),
	  RATE("scanned directly", "pgscan_direct"),
	  RATE("reclaimed directly", "pgsteal_direct")}},
	{"Refaults",
	 "Pages that came back after an eviction that reclaim remembers, "
	 "since the beginning.",
	 "pages",
	 false,
	 2,
	 {TOTAL("anonymous", "workingset_refault_anon"),
	  TOTAL("file", "workingset_refault_file")}},
};

static const struct curves swap_curves[] = {
	{"Swap",
	 "Pages read from and written to swap.",
	 "pages a second",
	 false,
	 2,
	 {RATE("swapped in", "pswpin"), RATE("swapped out", "pswpout")}},
	{"Swap, summed up",
	 "The same since the beginning.",
	 "pages",
	 false,
	 2,
	 {TOTAL("swapped in", "pswpin"), TOTAL("swapped out", "pswpout")}},
};

static const struct curves fragment_curves = {
	"Free memory by size of its blocks",
	"A request can be served from blocks of its size or larger: what lies "
	"under the curve of a size is of use to it.",
	"memory",
	false,
	7,
	{FIELD("all", in_order[0]), FIELD("8 KiB and more", in_order[1]),
	 FIELD("32 KiB and more", in_order[3]),
	 FIELD("128 KiB and more", in_order[5]),
	 FIELD("512 KiB and more", in_order[7]),
	 FIELD("2 MiB and more", in_order[9]), FIELD("4 MiB", in_order[10])}};

struct html {
	FILE *f;
	const struct run_about *a;
	double x[RUN_MAX_SAMPLES], y[CHART_MAX_SERIES][RUN_MAX_SAMPLES];
};

/* ---- curves
 * ------------------------------------------------------------------- */

static double sum_at(const struct run_result *r, u32 i, const struct curve *c)
{
	double sum = 0;

	for (size_t k = 0; k < ARRAY_SIZE(c->counters) && c->counters[k]; k++)
		sum += (double)run_vmstat_in(r->samples[i].vmstat,
					     c->counters[k]);
	return sum;
}

static double rate_at(const struct run_result *r, u32 i, const struct curve *c)
{
	double dt;

	if (!i)
		return NAN;
	dt = (double)(r->samples[i].ns - r->samples[i - 1].ns) / 1e9;
	return dt > 0 ? (sum_at(r, i, c) - sum_at(r, i - 1, c)) / dt : NAN;
}

static double rest_at(const struct run_result *r, u32 i, const struct curves *p)
{
	double rest = (double)r->mem_total;

	for (u32 s = 0; s < p->nr; s++)
		if (p->c[s].kind == CURVE_LEVEL)
			rest -= sum_at(r, i, &p->c[s]) * PAGE_BYTES;
	return fmax(rest, 0);
}

static double value_at(const struct run_result *r, u32 i,
		       const struct curves *p, const struct curve *c)
{
	const char *sample = (const char *)&r->samples[i];

	switch (c->kind) {
	case CURVE_LEVEL:
		return sum_at(r, i, c) * PAGE_BYTES;
	case CURVE_FIELD:
		return (double)*(const u64 *)(sample + c->offset) * PAGE_BYTES;
	case CURVE_REST:
		return rest_at(r, i, p);
	case CURVE_RATE:
		return rate_at(r, i, c);
	default:
		return sum_at(r, i, c) - sum_at(r, 0, c);
	}
}

/*
 * Where free memory comes near the watermarks, the picture is of the
 * neighbourhood of the watermarks: bytes at which to cut it, or 0.
 */
static double free_cut(const struct html *h)
{
	const struct run_result *r = h->a->r;
	double least = INFINITY, high;

	if (!r->nr_samples)
		return 0;
	/* Later ones may be raised against fragmentation for a while. */
	high = (double)r->samples[0].high * PAGE_BYTES;
	for (u32 i = 0; i < r->nr_samples; i++)
		least = fmin(least, h->y[0][i]);
	return least < 2 * high ? 3 * high : 0;
}

static void put_curves(struct html *h, const struct curves *p)
{
	const struct run_result *r = h->a->r;
	bool bytes = p->c[0].kind <= CURVE_REST;
	struct chart c = {.title = p->title,
			  .about = p->about,
			  .x_name = "seconds, by the guest's clock",
			  .y_name = p->y_name,
			  .y_unit = bytes ? CHART_BYTES : CHART_COUNT,
			  .stacked = p->stacked,
			  .nr_points = r->nr_samples,
			  .x = h->x,
			  .nr_series = p->nr};

	for (u32 i = 0; i < r->nr_samples; i++)
		h->x[i] = (double)r->samples[i].ns / 1e9;
	for (u32 s = 0; s < p->nr; s++) {
		for (u32 i = 0; i < r->nr_samples; i++)
			h->y[s][i] = value_at(r, i, p, &p->c[s]);
		c.series[s].name = p->c[s].name;
		c.series[s].y = h->y[s];
	}
	if (p == &memory_curves[0])
		c.y_cut = free_cut(h);
	chart_write(h->f, &c);
}

/* ---- words and figures
 * ------------------------------------------------------------------- */

static void put_text(FILE *f, const char *title, const char *text)
{
	if (!text)
		return;
	fprintf(f, "<h3>%s</h3>\n<pre><code>", title);
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

static void put_tile(FILE *f, const char *name, const char *value)
{
	fprintf(f, "<div><dt>%s</dt><dd>", name);
	html_text(f, value);
	fputs("</dd></div>\n", f);
}

static void put_count_tile(struct html *h, const char *name,
			   const char *counter)
{
	char t[CHART_TEXT];
	u64 v = run_counter(h->a->r, counter);

	if (v < 10000)
		snprintf(t, sizeof(t), "%llu", (unsigned long long)v);
	else
		chart_number(t, (double)v, CHART_COUNT);
	put_tile(h->f, name, t);
}

static void put_overview(struct html *h)
{
	const struct run_result *r = h->a->r;
	char t[CHART_TEXT], seconds[32];

	fputs("<dl class=\"tiles\">\n", h->f);
	put_tile(h->f, "memory for programs",
		 chart_number(t, (double)r->mem_total, CHART_BYTES));
	put_tile(h->f, "largest process",
		 chart_number(t, (double)r->maxrss_kb * 1024, CHART_BYTES));
	put_count_tile(h, "major faults", "pgmajfault");
	put_count_tile(h, "swapped out", "pswpout");
	put_count_tile(h, "swapped in", "pswpin");
	put_count_tile(h, "reclaimed by kswapd", "pgsteal_kswapd");
	put_count_tile(h, "reclaimed directly", "pgsteal_direct");
	put_count_tile(h, "OOM kills", "oom_kill");
	snprintf(seconds, sizeof(seconds), "%.2f s", (double)r->guest_ns / 1e9);
	put_tile(h->f, "guest's time", seconds);
	if (r->audit)
		put_tile(h->f, "audit", r->leak ? "leak" : "clean");
	fputs("</dl>\n", h->f);
	put_curves(h, &memory_curves[0]);
}

static void put_memory(struct html *h)
{
	for (size_t i = 1; i < ARRAY_SIZE(memory_curves); i++)
		put_curves(h, &memory_curves[i]);
}

static void put_tasks(struct html *h)
{
	const struct run_result *r = h->a->r;
	const struct shares_look look = {
		.x_name = "seconds, by the guest's clock",
		.x_unit = 1e9,
		.points = SHARES_SAMPLES,
		.details = 6};

	shares_put_tasks(h->f, &r->tasks, &look);
	if (r->groups.nr_owners)
		shares_put_groups(h->f, &r->groups, &look);
}

static void put_reclaim(struct html *h)
{
	for (size_t i = 0; i < ARRAY_SIZE(reclaim_curves); i++)
		put_curves(h, &reclaim_curves[i]);
}

static void put_swap(struct html *h)
{
	for (size_t i = 0; i < ARRAY_SIZE(swap_curves); i++)
		put_curves(h, &swap_curves[i]);
}

static void put_fragments(struct html *h)
{
	put_curves(h, &fragment_curves);
}

static void put_frames(struct html *h)
{
	const struct run_result *r = h->a->r;
	struct page_shot shots[RUN_MAX_SHOTS];
	struct page_frames p = {.x_name = "milliseconds",
				.order = r->cell_order,
				.cells = r->cells,
				.nr = r->nr_shots,
				.stills = 3,
				.shots = shots};

	for (u32 i = 0; i < r->nr_shots; i++)
		shots[i] = (struct page_shot){r->shots[i].ns / 1000000, NAN,
					      r->shots[i].cells};
	page_frames_write(h->f, &p);
}

/* Levels are no events: how they were at the end stands with the figures. */
static void put_events(struct html *h)
{
	const struct run_result *r = h->a->r;
	struct page_event *e = calloc(RUN_MAX_COUNTERS, sizeof(*e));
	u32 n = 0;

	for (u32 i = 0; e && i < r->nr_vm; i++)
		if (strncmp(r->vm[i].name, "nr_", 3))
			e[n++] = (struct page_event){
				r->vm[i].name, run_counter(r, r->vm[i].name)};
	page_events(h->f, e, n);
	free(e);
}

static void put_figures(struct html *h)
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
	put_text(h->f, "Audit", h->a->r->audit);
	put_text(h->f, "Zones at the end", h->a->r->zoneinfo);
}

/* ---- the page
 * ------------------------------------------------------------------- */

static const struct part {
	struct page_tab tab;
	void (*put)(struct html *h);
} parts[] = {
	{{"overview", "Overview"}, put_overview},
	{{"memory", "Memory"}, put_memory},
	{{"tasks", "Tasks, groups"}, put_tasks},
	{{"reclaim", "Faults, reclaim"}, put_reclaim},
	{{"swap", "Swap"}, put_swap},
	{{"fragmentation", "Fragmentation"}, put_fragments},
	{{"frames", "Frames"}, put_frames},
	{{"events", "Events"}, put_events},
	{{"machine", "Figures"}, put_figures},
};

static void title_text(const struct run_opts *o, char *buf, size_t size)
{
	size_t at = 0;

	snprintf(buf, size, "a shell");
	for (char **s = o->argv; s && *s && at < size; s++)
		at += (size_t)snprintf(buf + at, size - at, "%s%s",
				       s == o->argv ? "" : " ", *s);
}

static void put_html(FILE *f, void *arg)
{
	struct page_tab tabs[ARRAY_SIZE(parts)];
	struct html *h = arg;
	const struct run_opts *o = h->a->o;
	char title[512], mem[CHART_TEXT], swap[CHART_TEXT], machine[400];
	struct page_about about = {
		.title = title,
		.verb = "run",
		.about = "What the program's memory cost on the kernel that it "
			 "ran on.",
		.command = machine,
	};

	h->f = f;
	title_text(o, title, sizeof(title));
	snprintf(machine, sizeof(machine),
		 "%s of memory, %s of swap, %u CPU%s, %s under %s: %s",
		 chart_number(mem, (double)o->mem_bytes, CHART_BYTES),
		 chart_number(swap, (double)h->a->r->swap_total, CHART_BYTES),
		 o->cpus, o->cpus == 1 ? "" : "s", h->a->m->type,
		 h->a->m->accel, h->a->r->version);
	page_begin(f, &about);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		tabs[i] = parts[i].tab;
	page_tabs(f, tabs, ARRAY_SIZE(tabs));
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		page_tab_begin(f, &parts[i].tab);
		parts[i].put(h);
		page_tab_end(f);
	}
	page_end(f,
		 "Point at a curve, or move along it with the arrow keys, to "
		 "see the numbers under it; draw over it with the mouse to "
		 "enlarge a part.");
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
