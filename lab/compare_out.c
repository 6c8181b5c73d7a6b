/* SPDX-License-Identifier: MIT */
/* compare_out.c - two runs side by side: as a table, as JSON, as a page. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "chart.h"
#include "compare.h"
#include "page.h"

double compare_ratio(const struct compare_row *r)
{
	if (!r->has[0] || !r->has[1] || r->v[0] <= 0)
		return NAN;
	return r->v[1] / r->v[0];
}

const char *compare_value(char buf[32], const struct compare_row *r, int side)
{
	double v = r->v[side];

	if (!r->has[side])
		snprintf(buf, 32, "-");
	else if (r->kind == COMPARE_SIZE)
		args_size_text(buf, (u64)v);
	else if (r->kind == COMPARE_MS)
		snprintf(buf, 32, "%.1f", v / 1e6);
	else if (r->kind == COMPARE_REAL)
		snprintf(buf, 32, "%.3f", v);
	else
		snprintf(buf, 32, "%.0f", v);
	return buf;
}

/* Nothing against nothing is the same; something against nothing has none. */
const char *compare_ratio_text(char buf[32], const struct compare_row *r)
{
	double ratio = compare_ratio(r);

	if (!r->has[0] || !r->has[1] || (isnan(ratio) && r->v[1] > 0))
		snprintf(buf, 32, "-");
	else if (r->v[0] == r->v[1])
		snprintf(buf, 32, "=");
	else
		snprintf(buf, 32, "%.3f", ratio);
	return buf;
}

/* ---- the table
 * ------------------------------------------------------------------ */

static void print_row(FILE *f, const struct compare_row *r)
{
	char a[32], b[32], ratio[32];

	fprintf(f, "%-24s %16s %16s %9s\n", r->name, compare_value(a, r, 0),
		compare_value(b, r, 1), compare_ratio_text(ratio, r));
}

void compare_print_table(FILE *f, const struct compare *c)
{
	fprintf(f, "A: %s\nB: %s\n", c->file[0].path, c->file[1].path);
	for (u32 i = 0; i < c->nr; i++) {
		const struct compare_pair *p = &c->pairs[i];

		fprintf(f, "\nA: %s\nB: %s\n%-24s %16s %16s %9s\n", p->label[0],
			p->label[1], "", "A", "B", "B/A");
		for (u32 k = 0; k < p->nr; k++)
			print_row(f, &p->rows[k]);
	}
	for (int k = 0; k < 2; k++)
		if (c->alone[k])
			fprintf(f, "note: %u run%s of %s left alone\n",
				c->alone[k], c->alone[k] == 1 ? "" : "s",
				c->file[k].path);
	if (c->note[0])
		fprintf(f, "note: %s\n", c->note);
}

/* ---- JSON
 * ------------------------------------------------------------------ */

static json_t *value_json(const struct compare_row *r, int side)
{
	if (!r->has[side])
		return json_null();
	return r->kind == COMPARE_REAL ? json_real(r->v[side])
				       : json_integer((json_int_t)r->v[side]);
}

static json_t *pair_json(const struct compare_pair *p)
{
	json_t *rows = json_array();

	for (u32 k = 0; k < p->nr; k++) {
		const struct compare_row *r = &p->rows[k];
		double ratio = compare_ratio(r);

		json_array_append_new(
			rows, json_pack("{s:s, s:o, s:o, s:o}", "name", r->key,
					"a", value_json(r, 0), "b",
					value_json(r, 1), "ratio",
					isnan(ratio) ? json_null()
						     : json_real(ratio)));
	}
	return json_pack("{s:s, s:s, s:o}", "a", p->label[0], "b", p->label[1],
			 "rows", rows);
}

void compare_print_json(FILE *f, const struct compare *c)
{
	json_t *pairs = json_array(), *root;

	for (u32 i = 0; i < c->nr; i++)
		json_array_append_new(pairs, pair_json(&c->pairs[i]));
	root = json_pack("{s:s, s:s, s:s, s:i, s:i, s:o}", "schema",
			 "mmkit.compare/1", "a", c->file[0].path, "b",
			 c->file[1].path, "alone_a", (int)c->alone[0],
			 "alone_b", (int)c->alone[1], "pairs", pairs);
	json_dumpf(root, f, JSON_INDENT(2));
	fputc('\n', f);
	json_decref(root);
}

/* ---- the page
 * ------------------------------------------------------------------ */

struct html {
	const struct compare *c;
	const char *command;
};

/* From the middle: to the left less, to the right more, twice as much is an
 * eighth. */
static void put_bar(FILE *f, double ratio)
{
	double width = isnan(ratio) || ratio <= 0
			       ? 0
			       : fmin(fabs(log2(ratio)) * 12.5, 50);

	if (width < 0.05)
		fputs("<td></td>", f);
	else if (ratio < 1)
		fprintf(f,
			"<td><i class=\"less\" style=\"width:%.1f%%;"
			"margin-left:%.1f%%\"></i></td>",
			width, 50 - width);
	else
		fprintf(f,
			"<td><i class=\"more\" style=\"width:%.1f%%;"
			"margin-left:50%%\"></i></td>",
			width);
}

static void put_row(FILE *f, const struct compare_row *r)
{
	char t[32];

	fputs("<tr><th scope=\"row\">", f);
	html_text(f, r->name);
	fprintf(f, "</th><td>%s</td>", compare_value(t, r, 0));
	fprintf(f, "<td>%s</td>", compare_value(t, r, 1));
	fprintf(f, "<td>%s</td>", compare_ratio_text(t, r));
	put_bar(f, compare_ratio(r));
	fputs("</tr>\n", f);
}

static void put_pair(FILE *f, const struct compare_pair *p)
{
	fputs("<section><h2>", f);
	html_text(f, p->label[0]);
	if (strcmp(p->label[0], p->label[1])) {
		fputs(" against ", f);
		html_text(f, p->label[1]);
	}
	fputs("</h2>\n<div class=\"wide\"><table class=\"bars\"><thead><tr>"
	      "<th scope=\"col\">figure</th><th scope=\"col\">A</th>"
	      "<th scope=\"col\">B</th><th scope=\"col\">B/A</th>"
	      "<th scope=\"col\">B is less, or more</th></tr></thead><tbody>\n",
	      f);
	for (u32 k = 0; k < p->nr; k++)
		put_row(f, &p->rows[k]);
	fputs("</tbody></table></div></section>\n", f);
}

static void put_notes(FILE *f, const struct compare *c)
{
	fputs("<ul class=\"notes\">\n", f);
	for (int k = 0; k < 2; k++) {
		fprintf(f, "<li>%c is <code>", 'A' + k);
		html_text(f, c->file[k].path);
		fputs("</code>", f);
		if (c->alone[k])
			fprintf(f,
				"; %u of its runs %s without one to compare "
				"with",
				c->alone[k], c->alone[k] == 1 ? "is" : "are");
		fputs(".</li>\n", f);
	}
	if (c->note[0]) {
		fputs("<li class=\"bad\">Take care: ", f);
		html_text(f, c->note);
		fputs(".</li>\n", f);
	}
	fputs("</ul>\n", f);
}

static void put_html(FILE *f, void *arg)
{
	const struct html *h = arg;

	page_begin(f, &(struct page_about){
			      .title = "Two runs side by side",
			      .verb = "compare",
			      .about = "The figures of both, and the ratio "
				       "of the second to the first.",
			      .command = h->command});
	page_tabs(f, NULL, 0);
	put_notes(f, h->c);
	for (u32 i = 0; i < h->c->nr; i++)
		put_pair(f, &h->c->pairs[i]);
	page_end(f, "An eighth of the column to the right is twice as much, to "
		    "the left half of it; where B has something and A nothing "
		    "there is no ratio.");
}

int compare_write_html(const char *path, const struct compare *c,
		       const char *command)
{
	struct html h = {c, command};

	return page_compose(path, put_html, &h);
}
