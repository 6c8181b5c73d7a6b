/* SPDX-License-Identifier: MIT */
/*
 * page_parts.c - the frame of the command's HTML pages, and what several of
 * them show: events by number, and the map of frames.
 *
 * The map is written three times, for three readers: as letters that are run-
 * length coded, which the script draws under its slider; as SVG of three of
 * its moments, with one path for each use, for paper and for who runs no
 * script; and as a table of shares.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "chart.h"
#include "page.h"

/* ---- head and end
 * ------------------------------------------------------------------- */

static void put_runs(FILE *f, const struct page_about *a)
{
	char *text = NULL;
	size_t len = 0;
	FILE *m = open_memstream(&text, &len);

	if (!m)
		return;
	for (u32 i = 0; i < a->nr_runs; i++) {
		fputs(i ? "," : "[", m);
		json_text(m, a->runs[i]);
	}
	if (a->nr_runs)
		fputc(']', m);
	if (!fclose(m))
		html_text(f, text);
	free(text);
}

void page_begin(FILE *f, const struct page_about *a)
{
	fputs("<!DOCTYPE html>\n<html lang=\"en\"><head>"
	      "<meta charset=\"utf-8\">\n"
	      "<meta http-equiv=\"Content-Security-Policy\" content=\""
	      "default-src 'none'; style-src 'unsafe-inline'; "
	      "script-src 'unsafe-inline'\">\n"
	      "<meta name=\"viewport\" content=\"width=device-width,"
	      "initial-scale=1\">\n<title>",
	      f);
	html_text(f, a->title);
	fprintf(f, " - mmkit %s</title>\n<style>\n%s</style></head>\n", a->verb,
		page_style);
	fputs("<body data-runs=\"", f);
	put_runs(f, a);
	fputs("\">\n<a class=\"skip\" href=\"#main\">To the contents</a>\n"
	      "<header><h1>",
	      f);
	html_text(f, a->title);
	fprintf(f, "</h1>\n<p>%s</p>\n", a->about);
	if (a->command) {
		fputs("<pre><code>", f);
		html_text(f, a->command);
		fputs("</code></pre>\n", f);
	}
	fputs("<div class=\"tools\"></div></header>\n", f);
}

void page_tabs(FILE *f, const struct page_tab *tabs, u32 nr)
{
	if (nr)
		fputs("<nav class=\"tabs\" aria-label=\"Parts of the "
		      "report\">",
		      f);
	for (u32 i = 0; i < nr; i++)
		fprintf(f, "<a id=\"tab-%s\" href=\"#%s\">%s</a>", tabs[i].id,
			tabs[i].id, tabs[i].name);
	fprintf(f, "%s<main id=\"main\">\n", nr ? "</nav>\n" : "");
}

void page_end(FILE *f, const char *foot)
{
	fprintf(f, "</main>\n<footer><p>%s</p></footer>\n", foot);
	if (page_library[0])
		fprintf(f, "<script>%s</script>\n", page_library);
	fprintf(f, "<script>%s</script>\n</body></html>\n", page_script);
}

void page_tab_begin(FILE *f, const struct page_tab *tab)
{
	fprintf(f, "<section class=\"tab\" id=\"%s\"><h2>%s</h2>\n", tab->id,
		tab->name);
}

void page_tab_end(FILE *f)
{
	fputs("</section>\n", f);
}

void page_run_begin(FILE *f, u32 nr, const char *name)
{
	fprintf(f, "<div data-run=\"%u\">\n", nr);
	if (!name)
		return;
	fputs("<h3 class=\"run\">", f);
	html_text(f, name);
	fputs("</h3>\n", f);
}

void page_run_end(FILE *f)
{
	fputs("</div>\n", f);
}

/* ---- events
 * ------------------------------------------------------------------- */

#define TOP_EVENTS 24u

static int by_count(const void *a, const void *b)
{
	const struct page_event *x = a, *y = b;

	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	return strcmp(x->name, y->name);
}

static void put_event(FILE *f, const struct page_event *e, u64 most)
{
	double share = log2((double)e->count + 1) / log2((double)most + 1);

	fputs("<tr><th scope=\"row\"><code>", f);
	html_text(f, e->name);
	fprintf(f,
		"</code></th><td>%llu</td><td><i style=\"width:%.1f%%\"></i>"
		"</td></tr>\n",
		(unsigned long long)e->count, 100 * share);
}

static void put_event_rows(FILE *f, const struct page_event *e, u32 from,
			   u32 to)
{
	fputs("<div class=\"wide\"><table class=\"bars\"><thead><tr>"
	      "<th scope=\"col\">event</th><th scope=\"col\">times</th>"
	      "<th scope=\"col\" aria-label=\"as a bar\"></th></tr></thead>"
	      "<tbody>\n",
	      f);
	for (u32 i = from; i < to; i++)
		put_event(f, &e[i], e[0].count);
	fputs("</tbody></table></div>\n", f);
}

void page_events(FILE *f, struct page_event *e, u32 nr)
{
	u32 there = 0;

	qsort(e, nr, sizeof(*e), by_count);
	while (there < nr && e[there].count)
		there++;
	if (!there) {
		fputs("<p class=\"none\">Nothing was counted.</p>\n", f);
		return;
	}
	fputs("<p>What happened most, by the names of /proc/vmstat. Bars are "
	      "logarithmic.</p>\n",
	      f);
	put_event_rows(f, e, 0, min(there, TOP_EVENTS));
	if (there <= TOP_EVENTS)
		return;
	fprintf(f, "<details><summary>The other %u</summary>\n",
		there - TOP_EVENTS);
	put_event_rows(f, e, TOP_EVENTS, there);
	fputs("</details>\n", f);
}

/* ---- the map of frames
 * ------------------------------------------------------------------- */

#define STILL_PER_ROW 64u

static const struct {
	char letter;
	const char *name;
} uses[] = {
	{'.', "free"},		 {',', "free, on a CPU's list"},
	{'a', "anonymous"},	 {'h', "anonymous, huge page"},
	{'m', "merged"},	 {'w', "swap cache"},
	{'f', "file"},		 {'s', "shared memory"},
	{'b', "slab"},		 {'t', "page table"},
	{'k', "kernel, other"},	 {'r', "reserved"},
	{'x', "not to be used"},
};

static u32 share_of(const struct page_frames *p, u32 shot, char letter)
{
	u32 n = 0;

	for (u32 i = 0; i < p->cells; i++)
		n += p->shots[shot].cells[i] == letter;
	return n;
}

/* Uses that were there at some moment; the others are left out. */
static bool was_there(const struct page_frames *p, u32 use)
{
	for (u32 i = 0; i < p->nr; i++)
		if (share_of(p, i, uses[use].letter))
			return true;
	return false;
}

static void put_frames_legend(FILE *f, const struct page_frames *p)
{
	fputs("<ul class=\"legend uses\">", f);
	for (u32 u = 0; u < ARRAY_SIZE(uses); u++)
		if (was_there(p, u))
			fprintf(f,
				"<li data-letter=\"%c\"><svg viewBox=\"0 0 16 16\" "
				"aria-hidden=\"true\"><rect class=\"u%u\" "
				"width=\"16\" height=\"16\"/></svg>%s (%c)</li>",
				uses[u].letter, u, uses[u].name,
				uses[u].letter);
	fputs("</ul>\n", f);
}

/* Where LETTER is, as rectangles of one path. */
static void put_still_use(FILE *f, const struct page_frames *p,
			  const char *cells, u32 use)
{
	fprintf(f, "<path class=\"u%u\" d=\"", use);
	for (u32 i = 0, n; i < p->cells; i += n) {
		u32 room = min(STILL_PER_ROW - i % STILL_PER_ROW, p->cells - i);

		n = 1;
		while (n < room && cells[i + n] == cells[i])
			n++;
		if (cells[i] == uses[use].letter)
			fprintf(f, "M%u %uh%uv1h-%uz", i % STILL_PER_ROW,
				i / STILL_PER_ROW, n, n);
	}
	fputs("\"/>", f);
}

static void put_still(FILE *f, const struct page_frames *p, u32 shot)
{
	u32 rows = (p->cells + STILL_PER_ROW - 1) / STILL_PER_ROW;
	char t[CHART_TEXT];

	chart_number(t, (double)p->shots[shot].x, CHART_COUNT);
	fprintf(f,
		"<div><p>%s %s</p><svg viewBox=\"0 0 %u %u\" role=\"img\" "
		"aria-label=\"Frames at %s %s\">",
		p->x_name, t, STILL_PER_ROW, rows, p->x_name, t);
	for (u32 u = 0; u < ARRAY_SIZE(uses); u++)
		if (share_of(p, shot, uses[u].letter))
			put_still_use(f, p, p->shots[shot].cells, u);
	fputs("</svg></div>\n", f);
}

static void put_packed(FILE *f, const char *cells, u32 nr)
{
	fputc('"', f);
	for (u32 i = 0, n; i < nr; i += n) {
		n = 1;
		while (i + n < nr && cells[i + n] == cells[i])
			n++;
		if (n > 1)
			fprintf(f, "%u", n);
		fputc(cells[i], f);
	}
	fputc('"', f);
}

static void put_frames_data(FILE *f, const struct page_frames *p)
{
	fprintf(f,
		"<script type=\"application/json\">{\"x\":\"%s\","
		"\"order\":%u,\"uses\":[",
		p->x_name, p->order);
	for (u32 u = 0; u < ARRAY_SIZE(uses); u++)
		fprintf(f, "%s{\"letter\":\"%c\",\"name\":\"%s\"}",
			u ? "," : "", uses[u].letter, uses[u].name);
	fputs("],\"shots\":[", f);
	for (u32 i = 0; i < p->nr; i++) {
		const struct page_shot *s = &p->shots[i];

		fprintf(f, "%s{\"x\":%llu,", i ? "," : "",
			(unsigned long long)s->x);
		if (!isnan(s->ms))
			fprintf(f, "\"ms\":%.6g,", s->ms);
		fputs("\"cells\":", f);
		put_packed(f, s->cells, p->cells);
		fputc('}', f);
	}
	fputs("]}</script>\n", f);
}

static void put_frames_table(FILE *f, const struct page_frames *p)
{
	fprintf(f,
		"<details><summary>The numbers (cells of %u)</summary>"
		"<div class=\"wide\"><table class=\"data\"><thead><tr>"
		"<th scope=\"col\">%s</th>",
		p->cells, p->x_name);
	for (u32 u = 0; u < ARRAY_SIZE(uses); u++)
		if (was_there(p, u))
			fprintf(f, "<th scope=\"col\">%s</th>", uses[u].name);
	fputs("</tr></thead><tbody>\n", f);
	for (u32 i = 0; i < p->nr; i++) {
		fprintf(f, "<tr><td>%llu</td>",
			(unsigned long long)p->shots[i].x);
		for (u32 u = 0; u < ARRAY_SIZE(uses); u++)
			if (was_there(p, u))
				fprintf(f, "<td>%u</td>",
					share_of(p, i, uses[u].letter));
		fputs("</tr>\n", f);
	}
	fputs("</tbody></table></div></details>\n", f);
}

void page_frames_write(FILE *f, const struct page_frames *p)
{
	char size[CHART_TEXT];

	if (!p->nr || !p->cells) {
		fputs("<p class=\"none\">No picture of the frames was "
		      "taken.</p>\n",
		      f);
		return;
	}
	chart_number(size, (double)(PAGE_SIZE << p->order), CHART_BYTES);
	fprintf(f,
		"<figure class=\"frames\">\n<figcaption><h3>Frames</h3><p>What "
		"memory is used for, from its first byte on, row by row; a "
		"cell is %s%s.</p></figcaption>\n",
		size,
		p->order ? ", and shows what most of its frames are" : "");
	put_frames_legend(f, p);
	fputs("<div class=\"still\">\n", f);
	for (u32 i = 0; i < 3; i++)
		if (i == 1 || (p->stills == 3 && p->nr > 2))
			put_still(f, p, i * (p->nr - 1) / 2);
	fputs("</div>\n", f);
	put_frames_table(f, p);
	put_frames_data(f, p);
	fputs("</figure>\n", f);
}
