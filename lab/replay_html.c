/* SPDX-License-Identifier: MIT */
/*
 * replay_html.c - the report of replay: one HTML page that needs nothing else,
 * nor a network.
 *
 * The page is composed in memory and then written to a temporary file beside
 * the target, which is renamed at the end: a report is there in full or not
 * at all. Targets that are no regular files (a pipe, a terminal) are written
 * directly. Each part stands behind a tab, and in it each run; curves, frames
 * and events are replay_curves.c's.
 */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chart.h"
#include "page.h"
#include "replay.h"
#include "replay_page.h"

#define NUM_TEXT 40

/* ---- numbers
 * ------------------------------------------------------------------ */

/* V with commas between groups of three digits. */
static const char *grouped(char buf[NUM_TEXT], u64 v)
{
	char *p = &buf[NUM_TEXT - 1];
	u32 n = 0;

	*p = 0;
	do {
		if (n && n % 3 == 0)
			*--p = ',';
		*--p = (char)('0' + v % 10);
		v /= 10;
		n++;
	} while (v);
	return p;
}

static void put_count(FILE *f, u64 v)
{
	char buf[NUM_TEXT];

	fputs(grouped(buf, v), f);
}

static void put_bytes(FILE *f, double v)
{
	char buf[CHART_TEXT];

	fputs(chart_number(buf, v, CHART_BYTES), f);
}

static void put_pages(FILE *f, u64 pages)
{
	put_bytes(f, (double)pages * PAGE_SIZE);
}

static u64 scanned(const struct replay_result *r)
{
	return r->events[PGSCAN_KSWAPD] + r->events[PGSCAN_DIRECT];
}

static u64 stolen(const struct replay_result *r)
{
	return r->events[PGSTEAL_KSWAPD] + r->events[PGSTEAL_DIRECT];
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

/* ---- the head
 * ------------------------------------------------------------------- */

static void title_text(const struct page_out *o, char *buf, size_t size)
{
	char mem[CHART_TEXT];

	if (o->nr == 1)
		snprintf(buf, size, "%s on %s", base_name(o->trace),
			 chart_number(mem, (double)o->runs->mem_bytes,
				      CHART_BYTES));
	else
		snprintf(buf, size, "%s on %u size%s of memory",
			 base_name(o->trace), replay_nr_sizes(o->runs, o->nr),
			 replay_nr_sizes(o->runs, o->nr) == 1 ? "" : "s");
}

static void run_text(const struct page_out *o, u32 i, char *buf, size_t size)
{
	char mem[CHART_TEXT];

	chart_number(mem, (double)o->runs[i].mem_bytes, CHART_BYTES);
	if (replay_nr_sizes(o->runs, o->nr) < o->nr)
		snprintf(buf, size, "%s on %s", o->runs[i].policy, mem);
	else
		snprintf(buf, size, "%s of memory", mem);
}

static void put_machine(const struct page_out *o)
{
	const struct replay_result *r = o->runs;

	fputs("<h3>Machine</h3>\n<p>", o->f);
	if (o->nr == 1) {
		put_bytes(o->f, (double)r->mem_bytes);
		fputs(" of memory, ", o->f);
	}
	if (r->swap_bytes) {
		put_bytes(o->f, (double)r->swap_bytes);
		fputs(" of swap, ", o->f);
	} else {
		fputs("no swap, ", o->f);
	}
	fprintf(o->f, "%u CPU%s, architecture <b>", r->cpus,
		r->cpus == 1 ? "" : "s");
	html_text(o->f, r->arch);
	fputs("</b>, replacement policy <b>", o->f);
	for (u32 i = 0; i < o->nr; i += replay_nr_sizes(r, o->nr)) {
		fputs(i ? ", " : "", o->f);
		html_text(o->f, o->runs[i].policy);
	}
	fprintf(o->f,
		"</b>, seed %" PRIu64 ". Time is virtual, so the same "
		"command gives the same figures on any computer, the wall "
		"clock's aside.</p>\n",
		(uint64_t)r->seed);
}

/* ---- more memory, fewer page-ins?
 * ------------------------------------------------- */

static int by_memory(const void *a, const void *b)
{
	const struct replay_result *const *x = a, *const *y = b;

	if ((*x)->mem_bytes != (*y)->mem_bytes)
		return (*x)->mem_bytes < (*y)->mem_bytes ? -1 : 1;
	return *x < *y ? -1 : *x > *y;
}

static void put_curve(struct page_out *o, const struct replay_result **sorted,
		      u32 nr)
{
	struct chart c = {
		.title = "Page-ins by size of memory",
		.about = "How many pages came back from swap, and how many "
			 "the best possible policy, which knows the future, "
			 "would have needed with as many frames.",
		.x_name = "memory",
		.y_name = "pages",
		.x_unit = CHART_BYTES,
		.x_log = true,
		.markers = true,
		.nr_points = nr,
		.x = o->x,
		.nr_series = 3,
		.series = {{"page-ins", o->y[0]},
			   {"the optimum's page-ins", o->y[1]},
			   {"major faults", o->y[2]}},
	};

	for (u32 i = 0; i < nr; i++) {
		o->x[i] = (double)sorted[i]->mem_bytes;
		o->y[0][i] = (double)sorted[i]->pageins;
		o->y[1][i] = (double)sorted[i]->min_pageins;
		o->y[2][i] = (double)sorted[i]->maj_flt;
	}
	chart_write(o->f, &c);
}

/* More memory and yet more page-ins: it can happen, and is said. */
static u32 put_inversions(FILE *f, const struct replay_result *const *sorted,
			  u32 nr)
{
	u32 said = 0;

	for (u32 i = 1; i < nr; i++) {
		const struct replay_result *s = sorted[i - 1], *l = sorted[i];

		if (l->mem_bytes == s->mem_bytes || l->pageins <= s->pageins)
			continue;
		fputs("<li>", f);
		put_bytes(f, (double)l->mem_bytes);
		fputs(" of memory took more page-ins (", f);
		put_count(f, l->pageins);
		fputs(") than ", f);
		put_bytes(f, (double)s->mem_bytes);
		fputs(" (", f);
		put_count(f, s->pageins);
		fputs("). That can happen: the policy is no stack algorithm, "
		      "and pages read ahead count.</li>\n",
		      f);
		said++;
	}
	return said;
}

static void put_comparison(struct page_out *o)
{
	const struct replay_result **sorted = o->sorted;
	u32 nr = min(o->nr, (u32)REPLAY_MAX_SAMPLES);

	for (u32 i = 0; i < nr; i++)
		sorted[i] = &o->runs[i];
	qsort(sorted, nr, sizeof(sorted[0]), by_memory);
	put_curve(o, sorted, nr);
	fputs("<ul class=\"notes\">\n", o->f);
	if (!put_inversions(o->f, sorted, nr))
		fputs("<li>More memory never took more page-ins here.</li>\n",
		      o->f);
	fputs("</ul>\n", o->f);
}

/* ---- the summary table
 * ---------------------------------------------------------------- */

enum cell_kind { CELL_COUNT, CELL_BYTES, CELL_PAGES, CELL_MS, CELL_HEX };

struct row {
	const char *name; /* kind and offset unused: head of a group */
	enum cell_kind kind;
	size_t offset;
	bool group;
};

#define GROUP(text)                           \
	{                                     \
		.name = (text), .group = true \
	}
#define ROW(text, k, what)                                               \
	{                                                                \
		(text), (k), offsetof(struct replay_result, what), false \
	}
#define EVENT(text, item) ROW(text, CELL_COUNT, events[item])

static const struct row rows[] = {
	GROUP("Program"),
	ROW("references", CELL_COUNT, references),
	ROW("page-run records", CELL_COUNT, records),
	ROW("footprint", CELL_PAGES, footprint_pages),
	ROW("most in memory at once", CELL_PAGES, peak_user_pages),
	GROUP("Faults"),
	ROW("minor", CELL_COUNT, min_flt),
	ROW("major", CELL_COUNT, maj_flt),
	GROUP("Paging, in pages"),
	ROW("page-ins, read-ahead included", CELL_COUNT, pageins),
	ROW("page-ins of the optimum", CELL_COUNT, min_pageins),
	EVENT("swapped out", PSWPOUT),
	ROW("refaults, anonymous", CELL_COUNT, refault_anon),
	ROW("refaults, file", CELL_COUNT, refault_file),
	GROUP("Reclaim, in pages"),
	EVENT("scanned by kswapd", PGSCAN_KSWAPD),
	EVENT("scanned directly", PGSCAN_DIRECT),
	EVENT("reclaimed by kswapd", PGSTEAL_KSWAPD),
	EVENT("reclaimed directly", PGSTEAL_DIRECT),
	EVENT("activated", PGACTIVATE),
	EVENT("deactivated", PGDEACTIVATE),
	GROUP("Translation"),
	ROW("TLB hits", CELL_COUNT, tlb_hits),
	ROW("TLB misses", CELL_COUNT, tlb_misses),
	GROUP("Proof"),
	ROW("pages whose contents were checked", CELL_COUNT, data_checks),
	ROW("of these wrong", CELL_COUNT, data_errors),
	ROW("accesses that ended in a signal", CELL_COUNT, access_errors),
	ROW("tasks killed", CELL_COUNT, killed_tasks),
	GROUP("Time"),
	ROW("virtual", CELL_MS, virtual_ns),
	ROW("wall clock", CELL_MS, wall_ns),
	ROW("digest of all counters", CELL_HEX, digest),
};

static void put_cell(FILE *f, const struct row *row,
		     const struct replay_result *r)
{
	const u64 v = *(const u64 *)((const char *)r + row->offset);

	fputs("<td>", f);
	switch (row->kind) {
	case CELL_BYTES:
		put_bytes(f, (double)v);
		break;
	case CELL_PAGES:
		put_count(f, v);
		fputs(" pages, ", f);
		put_pages(f, v);
		break;
	case CELL_MS:
		fprintf(f, "%.1f ms", (double)v / 1e6);
		break;
	case CELL_HEX:
		fprintf(f, "<code>%016" PRIx64 "</code>", (uint64_t)v);
		break;
	default:
		put_count(f, v);
	}
	fputs("</td>", f);
}

static void put_row(const struct page_out *o, const struct row *row)
{
	if (row->group) {
		fprintf(o->f,
			"<tr><th scope=\"rowgroup\" colspan=\"%u\">%s</th>"
			"</tr>\n",
			o->nr + 1, row->name);
		return;
	}
	fprintf(o->f, "<tr><th scope=\"row\">%s</th>", row->name);
	for (u32 i = 0; i < o->nr; i++)
		put_cell(o->f, row, &o->runs[i]);
	fputs("</tr>\n", o->f);
}

static void put_summary(const struct page_out *o)
{
	fputs("<h3>All figures</h3>\n<div class=\"wide\"><table><thead>"
	      "<tr><th scope=\"row\">memory</th>",
	      o->f);
	for (u32 i = 0; i < o->nr; i++) {
		fputs("<th scope=\"col\">", o->f);
		put_bytes(o->f, (double)o->runs[i].mem_bytes);
		fputs("</th>", o->f);
	}
	fputs("</tr></thead><tbody>\n", o->f);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		put_row(o, &rows[i]);
	fputs("</tbody></table></div>\n", o->f);
}

/* ---- what stands out in a run
 * ------------------------------------------------------------ */

static void bad_note(FILE *f, u64 v, const char *text)
{
	if (!v)
		return;
	fputs("<li class=\"bad\">", f);
	fputs(text, f);
	put_count(f, v);
	fputs(".</li>\n", f);
}

static void plain_note(FILE *f, u64 v, const char *text)
{
	if (!v)
		return;
	fputs("<li>", f);
	fputs(text, f);
	put_count(f, v);
	fputs(".</li>\n", f);
}

/* What went wrong. */
static void put_failures(FILE *f, const struct replay_result *r)
{
	bad_note(f, r->data_errors,
		 "Checked pages that did not hold what the program had "
		 "written, so that contents were lost or mixed up: ");
	if (r->killed_tasks) {
		fputs("<li class=\"bad\">Memory ran out", f);
		if (r->oom[0]) {
			fputs(": ", f);
			html_text(f, r->oom);
		}
		fputs("</li>\n", f);
	}
	if (r->pageins && r->pageins < r->min_pageins)
		fputs("<li class=\"bad\">There are fewer page-ins than the "
		      "optimum's, which cannot be: the counting is wrong."
		      "</li>\n",
		      f);
	bad_note(f, r->access_errors, "Accesses that ended in a signal: ");
	plain_note(f, r->call_mismatches,
		   "Calls that ended otherwise than when they were recorded: ");
}

static u32 samples_below_min(const struct replay_result *r)
{
	u32 n = 0;

	for (u32 i = 0; i < r->series.nr_samples; i++)
		n += r->series.samples[i].free < r->series.samples[i].min;
	return n;
}

/* How hard it was to find memory. */
static void put_pressure(FILE *f, const struct replay_result *r)
{
	u64 all = stolen(r), direct = r->events[PGSTEAL_DIRECT];
	u32 below = samples_below_min(r);

	if (direct * 10 > all) {
		fputs("<li>The program itself had to reclaim ", f);
		put_count(f, direct);
		fprintf(f,
			" of the pages (%.0f&nbsp;%%): kswapd did not keep "
			"up.</li>\n",
			100.0 * (double)direct / (double)all);
	}
	if (all && scanned(r) > 3 * all)
		fprintf(f,
			"<li>Reclaim looked at %.1f pages for each one that "
			"it freed.</li>\n",
			(double)scanned(r) / (double)all);
	if (below)
		fprintf(f,
			"<li>Free memory was under the <i>min</i> watermark "
			"in %u of %u samples.</li>\n",
			below, r->series.nr_samples);
}

/* Where the replay is not what was recorded. */
static void put_infidelity(FILE *f, const struct replay_result *r)
{
	plain_note(f, r->file_as_anon,
		   "Pages of files that were replayed as anonymous memory: ");
	plain_note(f, r->shared_as_private,
		   "Shared mappings that were replayed as private ones: ");
	plain_note(f, r->touch_maps,
		   "Ranges that no recorded call had mapped, mapped when they "
		   "were first touched: ");
	plain_note(f, r->unsupported_calls,
		   "Calls (mlock, msync and the like) that were counted, but "
		   "not replayed: ");
}

static void put_distance(FILE *f, const struct replay_result *r)
{
	if (!r->pageins) {
		fputs(" Everything that it used again was still in memory: "
		      "not one page had to come back from swap.",
		      f);
		return;
	}
	fputs(" Not all of that stayed in memory: ", f);
	put_count(f, r->pageins);
	fputs(" pages came back from swap", f);
	if (!r->min_pageins) {
		fputs(". The optimum is none, or was not computed.", f);
		return;
	}
	fputs(", where the best possible policy, which knows the future, "
	      "needs ",
	      f);
	put_count(f, r->min_pageins);
	fprintf(f, ": <b>%.2f times the optimum</b>.",
		(double)r->pageins / (double)r->min_pageins);
}

static void put_tile(FILE *f, const char *name, u64 v)
{
	fprintf(f, "<div><dt>%s</dt><dd>", name);
	put_count(f, v);
	fputs("</dd></div>\n", f);
}

static void put_tiles(FILE *f, const struct replay_result *r)
{
	fputs("<dl class=\"tiles\">\n<div><dt>page-ins / optimum</dt><dd>", f);
	if (r->pageins && r->min_pageins)
		fprintf(f, "%.3f", (double)r->pageins / (double)r->min_pageins);
	else
		fputs("-", f);
	fputs("</dd></div>\n", f);
	put_tile(f, "major faults", r->maj_flt);
	put_tile(f, "swapped out", r->events[PSWPOUT]);
	put_tile(f, "refaults", r->refault_anon + r->refault_file);
	put_tile(f, "reclaimed by kswapd", r->events[PGSTEAL_KSWAPD]);
	put_tile(f, "reclaimed directly", r->events[PGSTEAL_DIRECT]);
	fprintf(f, "<div><dt>stalled for memory</dt><dd>%.4g ms</dd></div>\n",
		(double)r->stall_ns / 1e6);
	fprintf(f,
		"<div><dt>virtual time</dt><dd>%.4g ms</dd></div>\n"
		"</dl>\n",
		(double)r->virtual_ns / 1e6);
}

/* ---- the file
 * -----------------------------------------------------------------------------------
 */

static void put_overview(struct page_out *o, u32 i)
{
	const struct replay_result *r = &o->runs[i];

	fputs("<p>The program made ", o->f);
	put_count(o->f, r->references);
	fputs(" references to ", o->f);
	put_pages(o->f, r->footprint_pages);
	fputs(" of pages, of which at most ", o->f);
	put_pages(o->f, r->peak_user_pages);
	fputs(" were in memory at once.", o->f);
	put_distance(o->f, r);
	fputs("</p>\n", o->f);
	put_tiles(o->f, r);
	fputs("<ul class=\"notes\">\n", o->f);
	put_failures(o->f, r);
	put_pressure(o->f, r);
	put_infidelity(o->f, r);
	fputs("</ul>\n", o->f);
}

static const struct part {
	struct page_tab tab;
	void (*put)(struct page_out *o, u32 run); /* NULL: of all runs */
} parts[] = {
	{{"overview", "Overview"}, put_overview},
	{{"optimum", "Policies"}, NULL},
	{{"memory", "Memory"}, replay_put_memory},
	{{"tasks", "Tasks, groups"}, replay_put_tasks},
	{{"reclaim", "Faults, reclaim"}, replay_put_reclaim},
	{{"swap", "Swap"}, replay_put_swap},
	{{"fragmentation", "Fragmentation"}, replay_put_fragments},
	{{"frames", "Frames"}, replay_put_frames},
	{{"events", "Events"}, replay_put_events},
	{{"machine", "Figures"}, NULL},
};

static void put_of_all(struct page_out *o, const struct part *p)
{
	if (!strcmp(p->tab.id, "machine")) {
		put_machine(o);
		put_summary(o);
		return;
	}
	if (o->nr > 1 && replay_nr_sizes(o->runs, o->nr) == o->nr)
		put_comparison(o);
	if (o->nr)
		replay_put_policies(o->f, o->runs, o->nr);
}

static void put_part(struct page_out *o, const struct part *p)
{
	page_tab_begin(o->f, &p->tab);
	if (!p->put)
		put_of_all(o, p);
	for (u32 i = 0; p->put && i < o->nr; i++) {
		page_run_begin(o->f, i + 1, o->nr > 1 ? o->names[i] : NULL);
		p->put(o, i);
		page_run_end(o->f);
	}
	page_tab_end(o->f);
}

static void put_report(FILE *f, void *arg)
{
	struct page_tab tabs[ARRAY_SIZE(parts)];
	struct page_out *o = arg;
	char title[256];
	struct page_about about = {
		.title = title,
		.verb = "replay",
		.about = "What the recorded program's memory life costs on a "
			 "simulated machine.",
		.command = o->command,
		.runs = (const char *const *)o->names,
		.nr_runs = o->nr,
	};

	o->f = f;
	title_text(o, title, sizeof(title));
	page_begin(f, &about);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		tabs[i] = parts[i].tab;
	page_tabs(f, tabs, ARRAY_SIZE(tabs));
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		put_part(o, &parts[i]);
	page_end(f,
		 "Point at a curve, or move along it with the arrow keys, to "
		 "see the numbers under it; draw over it with the mouse to "
		 "enlarge a part. The optimum is Belady's MIN: first "
		 "touches are not counted, nor are pages that the program "
		 "gave back.");
}

static void free_page(struct page_out *o)
{
	for (u32 i = 0; o->names && i < o->nr; i++)
		free(o->names[i]);
	free((void *)o->names);
	free((void *)o->sorted);
	free(o);
}

static struct page_out *new_page(const struct replay_result *runs, u32 nr)
{
	struct page_out *o = calloc(1, sizeof(*o));
	char text[96];

	if (!o)
		return NULL;
	o->runs = runs;
	o->nr = nr;
	o->names = calloc(nr + 1UL, sizeof(*o->names));
	o->sorted = calloc(nr + 1UL, sizeof(*o->sorted));
	for (u32 i = 0; o->names && i < nr; i++) {
		run_text(o, i, text, sizeof(text));
		o->names[i] = strdup(text);
		if (!o->names[i])
			break;
	}
	if (o->names && o->sorted && (!nr || o->names[nr - 1]))
		return o;
	free_page(o);
	errno = ENOMEM;
	return NULL;
}

int replay_write_html(const char *path, const struct replay_result *runs,
		      u32 nr, const char *trace, const char *command)
{
	struct page_out *o = new_page(runs, nr);
	int ret, err;

	if (!o)
		return -1;
	o->trace = trace;
	o->command = command;
	ret = page_compose(path, put_report, o);
	err = errno;
	free_page(o);
	errno = err;
	return ret;
}
