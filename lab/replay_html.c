/* SPDX-License-Identifier: MIT */
/*
 * replay_html.c - the report of replay: one HTML page that needs nothing else,
 * neither a network nor a script.
 *
 * The page is composed in memory and then written to a temporary file beside
 * the target, which is renamed at the end: a report is there in full or not
 * at all. Targets that are no regular files (a pipe, a terminal) are written
 * directly.
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

#define NUM_TEXT 40

struct page_out {
	FILE *f;
	const struct replay_result *runs;
	u32 nr;
	const char *trace, *command;
	double x[REPLAY_MAX_SAMPLES];
	double y[CHART_MAX_SERIES][REPLAY_MAX_SAMPLES];
	const struct replay_result *sorted[REPLAY_MAX_SAMPLES];
};

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

static void put_title(const struct page_out *o)
{
	html_text(o->f, base_name(o->trace));
	if (o->nr == 1) {
		fputs(" on ", o->f);
		put_bytes(o->f, (double)o->runs->mem_bytes);
	} else {
		fprintf(o->f, " on %u sizes of memory",
			replay_nr_sizes(o->runs, o->nr));
	}
}

static void put_machine(const struct page_out *o)
{
	const struct replay_result *r = o->runs;

	fputs("<p>The machine: ", o->f);
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

static void put_head(const struct page_out *o)
{
	fputs("<!DOCTYPE html>\n<html lang=\"en\"><head>"
	      "<meta charset=\"utf-8\">\n"
	      "<meta name=\"viewport\" content=\"width=device-width,"
	      "initial-scale=1\">\n<title>",
	      o->f);
	put_title(o);
	fputs(" - mmkit replay</title>\n<style>\n", o->f);
	fputs(page_style, o->f);
	fputs("</style></head><body>\n<header><h1>", o->f);
	put_title(o);
	fputs("</h1>\n<p>What the recorded program's memory life costs on a "
	      "simulated machine.</p>\n<pre><code>",
	      o->f);
	html_text(o->f, o->command);
	fputs("</code></pre>\n", o->f);
	put_machine(o);
	fputs("</header>\n", o->f);
	if (o->nr == 1)
		return;
	fputs("<nav>", o->f);
	for (u32 i = 0; i < o->nr; i++) {
		fprintf(o->f, "<a href=\"#run%u\">", i + 1);
		if (replay_nr_sizes(o->runs, o->nr) < o->nr)
			fprintf(o->f, "%s, ", o->runs[i].policy);
		put_bytes(o->f, (double)o->runs[i].mem_bytes);
		fputs("</a>", o->f);
	}
	fputs("</nav>\n", o->f);
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
	fputs("<section><h2>All sizes</h2>\n", o->f);
	put_curve(o, sorted, nr);
	fputs("<ul class=\"notes\">\n", o->f);
	if (!put_inversions(o->f, sorted, nr))
		fputs("<li>More memory never took more page-ins here.</li>\n",
		      o->f);
	fputs("</ul></section>\n", o->f);
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
	fputs("<section><h2>Summary</h2>\n<div class=\"wide\"><table><thead>"
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
	fputs("</tbody></table></div></section>\n", o->f);
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

	for (u32 i = 0; i < r->nr_samples; i++)
		n += r->samples[i].free < r->samples[i].min;
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
			below, r->nr_samples);
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
	fprintf(f,
		"<div><dt>virtual time</dt><dd>%.4g ms</dd></div>\n"
		"</dl>\n",
		(double)r->virtual_ns / 1e6);
}

/* ---- a run's curves
 * -------------------------------------------------------------------------- */

enum curve_kind {
	CURVE_PAGES, /* a level, shown in bytes */
	CURVE_TOTAL, /* a count since the beginning */
	CURVE_RATE,  /* growth of a count, per million references */
};

struct curve_def {
	const char *title, *about, *y_name;
	enum curve_kind kind;
	u32 nr;
	struct {
		const char *name;
		size_t offset;
	} s[CHART_MAX_SERIES];
};

#define OF(what) offsetof(struct replay_sample, what)

static const struct curve_def curves[] = {
	{"Free memory",
	 "kswapd begins to reclaim when free memory falls under low and "
	 "rests above high; under min only reclaim itself may allocate.",
	 "memory",
	 CURVE_PAGES,
	 4,
	 {{"free", OF(free)},
	  {"high watermark", OF(high)},
	  {"low watermark", OF(low)},
	  {"min watermark", OF(min)}}},
	{"Lists of pages",
	 "Reclaim takes from the inactive list; pages used again are "
	 "promoted to the active one. The swap cache holds pages that also "
	 "have a place in swap.",
	 "memory",
	 CURVE_PAGES,
	 3,
	 {{"active", OF(active_anon)},
	  {"inactive", OF(inactive_anon)},
	  {"swap cache", OF(swapcache)}}},
	{"Faults",
	 "A minor fault is served from memory, a major one waits for the "
	 "disk.",
	 "per million references",
	 CURVE_RATE,
	 2,
	 {{"minor", OF(pgfault)}, {"major", OF(pgmajfault)}}},
	{"Reclaim",
	 "Pages that reclaim looked at, and those it could free. The nearer "
	 "the curves, the better it chose.",
	 "pages per million references",
	 CURVE_RATE,
	 2,
	 {{"scanned", OF(pgscan)}, {"reclaimed", OF(pgsteal)}}},
	{"Swap",
	 "Pages read from and written to swap, since the beginning.",
	 "pages",
	 CURVE_TOTAL,
	 2,
	 {{"swapped in", OF(pswpin)}, {"swapped out", OF(pswpout)}}},
	{"Refaults",
	 "Pages that came back after an eviction that reclaim remembers, "
	 "since the beginning.",
	 "pages",
	 CURVE_TOTAL,
	 1,
	 {{"refaults", OF(refaults)}}},
};

static u64 sample_value(const struct replay_sample *s, size_t offset)
{
	return *(const u64 *)((const char *)s + offset);
}

/*
 * Growth since the sample before. The interval at the very end may be so
 * short that its rate would be noise: it is left out.
 */
static double rate_at(const struct replay_result *r, u32 i, size_t offset)
{
	const struct replay_sample *s = &r->samples[i];
	u64 refs, usual = s->references / (i + 1);

	if (i == 0)
		return NAN;
	refs = s->references - s[-1].references;
	if (refs == 0 || refs < usual / 4)
		return NAN;
	return (double)(sample_value(s, offset) - sample_value(s - 1, offset)) *
	       1e6 / (double)refs;
}

/* PGFAULT counts all faults; the chart shows the minor ones apart. */
static double minor_rate_at(const struct replay_result *r, u32 i)
{
	return rate_at(r, i, OF(pgfault)) - rate_at(r, i, OF(pgmajfault));
}

static double curve_value(const struct curve_def *d,
			  const struct replay_result *r, u32 i, u32 s)
{
	size_t offset = d->s[s].offset;

	switch (d->kind) {
	case CURVE_PAGES:
		return (double)sample_value(&r->samples[i], offset) * PAGE_SIZE;
	case CURVE_TOTAL:
		return (double)sample_value(&r->samples[i], offset);
	default:
		if (offset == OF(pgfault))
			return minor_rate_at(r, i);
		return rate_at(r, i, offset);
	}
}

/*
 * Where free memory comes near the watermarks, the picture is of the
 * neighbourhood of the watermarks: bytes at which to cut it, or 0.
 */
static double free_cut(const struct replay_result *r)
{
	u64 high, least = UINT64_MAX;

	if (!r->nr_samples)
		return 0;
	/* Later ones may be raised against fragmentation for a while. */
	high = r->samples[0].high;
	for (u32 i = 0; i < r->nr_samples; i++)
		least = min(least, r->samples[i].free);
	return least < 2 * high ? 4.0 * (double)high * PAGE_SIZE : 0;
}

static void put_run_curve(struct page_out *o, const struct replay_result *r,
			  const struct curve_def *d)
{
	u32 nr = min(r->nr_samples, (u32)REPLAY_MAX_SAMPLES);
	struct chart c = {
		.title = d->title,
		.about = d->about,
		.x_name = "references",
		.y_name = d->y_name,
		.y_unit = d->kind == CURVE_PAGES ? CHART_BYTES : CHART_COUNT,
		.nr_points = nr,
		.x = o->x,
		.nr_series = d->nr,
	};

	for (u32 i = 0; i < nr; i++)
		o->x[i] = (double)r->samples[i].references;
	if (d->s[0].offset == OF(free))
		c.y_cut = free_cut(r);
	for (u32 s = 0; s < d->nr; s++) {
		for (u32 i = 0; i < nr; i++)
			o->y[s][i] = curve_value(d, r, i, s);
		c.series[s].name = d->s[s].name;
		c.series[s].y = o->y[s];
	}
	chart_write(o->f, &c);
}

static void put_run(struct page_out *o, u32 i)
{
	const struct replay_result *r = &o->runs[i];

	fprintf(o->f, "<section id=\"run%u\"><h2>", i + 1);
	if (replay_nr_sizes(o->runs, o->nr) < o->nr)
		fprintf(o->f, "%s on ", r->policy);
	put_bytes(o->f, (double)r->mem_bytes);
	fputs(" of memory</h2>\n<p>The program made ", o->f);
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
	for (size_t k = 0; k < ARRAY_SIZE(curves); k++)
		put_run_curve(o, r, &curves[k]);
	fputs("</section>\n", o->f);
}

/* ---- the file
 * -----------------------------------------------------------------------------------
 */

static void put_page(struct page_out *o)
{
	put_head(o);
	if (replay_nr_sizes(o->runs, o->nr) < o->nr)
		replay_put_policies(o->f, o->runs, o->nr);
	else if (o->nr > 1)
		put_comparison(o);
	for (u32 i = 0; i < o->nr; i++)
		put_run(o, i);
	put_summary(o);
	fputs("<footer><p>Point at a curve to see the numbers under it. "
	      "The optimum is Belady's MIN: first touches are not counted, "
	      "nor are pages that the program gave back.</p></footer>\n"
	      "</body></html>\n",
	      o->f);
}

int replay_write_html(const char *path, const struct replay_result *runs,
		      u32 nr, const char *trace, const char *command)
{
	struct page_out *o = calloc(1, sizeof(*o));
	char *text = NULL;
	size_t len = 0;
	int ret = -1, err;

	if (!o)
		return -1;
	o->runs = runs;
	o->nr = nr;
	o->trace = trace;
	o->command = command;
	o->f = open_memstream(&text, &len);
	if (o->f) {
		put_page(o);
		ret = ferror(o->f) ? -1 : 0;
		if (fclose(o->f))
			ret = -1;
		if (ret)
			errno = ENOMEM; /* a stream in memory fails only so */
		else
			ret = page_write(path, text, len);
	}
	err = errno;
	free(text);
	free(o);
	errno = err;
	return ret;
}
