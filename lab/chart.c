/* SPDX-License-Identifier: MIT */
/*
 * chart.c - line charts as inline SVG.
 *
 * The picture has a fixed system of coordinates that the browser scales, so
 * it fits a phone and paper; words other than tick labels stand outside of
 * it, in HTML, and keep their size. Invisible columns over the picture carry
 * <title> elements: the values under the pointer, without any script. Where a
 * charting library draws on the screen, they are left out.
 */
#include "chart.h"

#include "page.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WIDTH	  760.0
#define HEIGHT	  270.0
#define LEFT	  88.0
#define RIGHT	  18.0
#define TOP	  10.0
#define BOTTOM	  30.0
#define Y_STEPS	  5u
#define X_STEPS	  7u
#define MAX_ROWS  64u
#define LABEL_GAP 58.0 /* between tick labels of a logarithmic axis */

/* ---- numbers and text -----------------------------------------------------
 */

void html_text(FILE *f, const char *s)
{
	for (; *s; s++) {
		switch (*s) {
		case '&':
			fputs("&amp;", f);
			break;
		case '<':
			fputs("&lt;", f);
			break;
		case '>':
			fputs("&gt;", f);
			break;
		case '"':
			fputs("&quot;", f);
			break;
		case '\'':
			fputs("&#39;", f);
			break;
		default:
			fputc((u8)*s < 0x20 || *s == 0x7f ? '?' : *s, f);
		}
	}
}

void json_text(FILE *f, const char *s)
{
	fputc('"', f);
	for (; *s; s++) {
		if (strchr("\"\\<>&", *s) || (u8)*s < 0x20)
			fprintf(f, "\\u%04x", (u8)*s);
		else
			fputc(*s, f);
	}
	fputc('"', f);
}

const char *chart_number(char buf[CHART_TEXT], double v, enum chart_unit unit)
{
	static const char *const counts[] = {"", "k", "M", "G", "T"};
	static const char *const bytes[] = {" B",   " KiB", " MiB", " GiB",
					    " TiB", " PiB", " EiB"};
	bool is_bytes = unit == CHART_BYTES;
	u32 last = is_bytes ? ARRAY_SIZE(bytes) - 1 : ARRAY_SIZE(counts) - 1;
	double base = is_bytes ? 1024 : 1000;
	u32 u = 0;

	if (isnan(v))
		v = 0;
	/* 999.95 of a unit would be rounded up to four digits and more. */
	while (fabs(v) >= base * 0.99995 && u < last) {
		v /= base;
		u++;
	}
	snprintf(buf, CHART_TEXT, "%.4g%s", v, is_bytes ? bytes[u] : counts[u]);
	return buf;
}

double chart_step(double range, u32 steps, enum chart_unit unit)
{
	double least = range / steps, step;

	if (unit == CHART_BYTES)
		return exp2(ceil(log2(least)));
	step = pow(10, floor(log10(least)));
	if (step >= least)
		return step;
	if (step * 2 >= least)
		return step * 2;
	return step * 5 >= least ? step * 5 : step * 10;
}

/* ---- coordinates ------------------------------------------------------------
 */

struct frame {
	const struct chart *c;
	FILE *f;
	double x_min, x_max; /* log2 of the values where x_log */
	double y_max, y_step;
};

static double x_value(const struct chart *c, u32 i)
{
	return c->x_log ? log2(c->x[i]) : c->x[i];
}

static double x_at(const struct frame *fr, double v)
{
	double range = fr->x_max - fr->x_min;

	return LEFT + (v - fr->x_min) / range * (WIDTH - LEFT - RIGHT);
}

static double y_at(const struct frame *fr, double v)
{
	return HEIGHT - BOTTOM -
	       fmin(v / fr->y_max, 1) * (HEIGHT - TOP - BOTTOM);
}

/* Where series S is drawn at point I: on those below it if they are stacked. */
static double height_at(const struct chart *c, u32 s, u32 i)
{
	double sum = 0;

	if (!c->stacked)
		return c->series[s].y[i];
	for (u32 k = 0; k <= s; k++)
		if (!isnan(c->series[k].y[i]))
			sum += c->series[k].y[i];
	return sum;
}

/* The y axis begins at 0 and ends at a tick. */
static void frame_init(struct frame *fr, const struct chart *c, FILE *f)
{
	double top = 0;

	*fr = (struct frame){.c = c, .f = f};
	for (u32 s = 0; s < c->nr_series; s++)
		for (u32 i = 0; i < c->nr_points; i++)
			if (height_at(c, s, i) > top)
				top = height_at(c, s, i);
	if (c->y_cut > 0 && top > c->y_cut)
		top = c->y_cut;
	if (top <= 0)
		top = 1;
	fr->y_step = chart_step(top, Y_STEPS, c->y_unit);
	fr->y_max = ceil(top / fr->y_step - 1e-9) * fr->y_step;
	fr->x_min = x_value(c, 0);
	fr->x_max = x_value(c, c->nr_points - 1);
	if (fr->x_max <= fr->x_min)
		fr->x_max = fr->x_min + 1;
}

/* ---- the picture
 * --------------------------------------------------------------- */

static void y_axis(const struct frame *fr)
{
	char t[CHART_TEXT];
	u32 n = (u32)lround(fr->y_max / fr->y_step);

	for (u32 i = 0; i <= n; i++) {
		double y = y_at(fr, i * fr->y_step);

		fprintf(fr->f,
			"<path class=\"%s\" d=\"M%g %.1fH%g\"/>"
			"<text x=\"%g\" y=\"%.1f\" text-anchor=\"end\">%s"
			"</text>\n",
			i ? "grid" : "axis", LEFT, y, WIDTH - RIGHT, LEFT - 8,
			y + 4.5,
			chart_number(t, i * fr->y_step, fr->c->y_unit));
	}
}

static void x_tick(const struct frame *fr, double x, double v)
{
	const char *anchor = x > WIDTH - RIGHT - 20 ? "end" : "middle";
	char t[CHART_TEXT];

	fprintf(fr->f,
		"<path class=\"axis\" d=\"M%.1f %gv5\"/>"
		"<text x=\"%.1f\" y=\"%g\" text-anchor=\"%s\">%s</text>\n",
		x, HEIGHT - BOTTOM, strcmp(anchor, "end") ? x : WIDTH - 2,
		HEIGHT - BOTTOM + 20, anchor,
		chart_number(t, v, fr->c->x_unit));
}

/* Ticks at nice numbers, or, on a logarithmic axis, at the points. */
static void x_axis(const struct frame *fr)
{
	const struct chart *c = fr->c;
	double range = fr->x_max - fr->x_min, step, first;
	double last = -LABEL_GAP;

	if (!c->x_log) {
		step = chart_step(range, X_STEPS, c->x_unit);
		first = ceil(fr->x_min / step);
		for (u32 i = 0; (first + i) * step <= fr->x_max + step * 1e-6;
		     i++)
			x_tick(fr, x_at(fr, (first + i) * step),
			       (first + i) * step);
		return;
	}
	for (u32 i = 0; i < c->nr_points; i++) {
		double x = x_at(fr, x_value(c, i));

		if (x - last < LABEL_GAP)
			continue;
		x_tick(fr, x, c->x[i]);
		last = x;
	}
}

static void curve(const struct frame *fr, u32 s)
{
	const struct chart *c = fr->c;
	bool pen_down = false;

	fprintf(fr->f, "<path class=\"line s%u\" d=\"", s);
	for (u32 i = 0; i < c->nr_points; i++) {
		double v = height_at(c, s, i);

		if (isnan(v)) {
			pen_down = false;
			continue;
		}
		fprintf(fr->f, "%c%.1f %.1f", pen_down ? 'L' : 'M',
			x_at(fr, x_value(c, i)), y_at(fr, v));
		pen_down = true;
	}
	fputs("\"/>\n", fr->f);
}

/* What lies between series S and the one before, or the axis. */
static void area(const struct frame *fr, u32 s)
{
	const struct chart *c = fr->c;
	char pen = 'M';

	fprintf(fr->f, "<path class=\"area s%u\" d=\"", s);
	for (u32 i = 0; i < c->nr_points; i++, pen = 'L')
		fprintf(fr->f, "%c%.1f %.1f", pen, x_at(fr, x_value(c, i)),
			y_at(fr, fmax(height_at(c, s, i), 0)));
	for (u32 i = c->nr_points; i-- > 0;)
		fprintf(fr->f, "L%.1f %.1f", x_at(fr, x_value(c, i)),
			y_at(fr, s ? fmax(height_at(c, s - 1, i), 0) : 0));
	fputs("Z\"/>\n", fr->f);
}

static void dots(const struct frame *fr, u32 s)
{
	const struct chart *c = fr->c;

	for (u32 i = 0; i < c->nr_points; i++)
		if (!isnan(c->series[s].y[i]))
			fprintf(fr->f,
				"<circle class=\"dot s%u\" cx=\"%.1f\" "
				"cy=\"%.1f\" r=\"3.5\"/>\n",
				s, x_at(fr, x_value(c, i)),
				y_at(fr, c->series[s].y[i]));
}

/* Points I, I + stride, …, and the last one, are shown as numbers. */
static u32 row_stride(const struct chart *c)
{
	return (c->nr_points + MAX_ROWS - 1) / MAX_ROWS;
}

static u32 next_row(const struct chart *c, u32 i)
{
	u32 next = i + row_stride(c);

	if (next >= c->nr_points && i + 1 < c->nr_points)
		return c->nr_points - 1;
	return next;
}

/* A column for each row of the table, from half-way to half-way. */
static void columns(const struct frame *fr)
{
	const struct chart *c = fr->c;
	double left = LEFT;
	char t[CHART_TEXT];

	for (u32 i = 0, next; i < c->nr_points; i = next) {
		double right = WIDTH - RIGHT;

		next = next_row(c, i);
		if (next < c->nr_points)
			right = (x_at(fr, x_value(c, i)) +
				 x_at(fr, x_value(c, next))) /
				2;
		fprintf(fr->f,
			"<rect class=\"col\" x=\"%.1f\" y=\"%g\" width=\"%.1f\""
			" height=\"%g\"><title>",
			left, TOP, fmax(right - left, 0.1),
			HEIGHT - TOP - BOTTOM);
		html_text(fr->f, c->x_name);
		fprintf(fr->f, ": %s", chart_number(t, c->x[i], c->x_unit));
		for (u32 s = 0; s < c->nr_series; s++) {
			fputc('\n', fr->f);
			html_text(fr->f, c->series[s].name);
			fprintf(fr->f, ": %s",
				isnan(c->series[s].y[i])
					? "-"
					: chart_number(t, c->series[s].y[i],
						       c->y_unit));
		}
		fputs("</title></rect>\n", fr->f);
		left = right;
	}
}

static void picture(FILE *f, const struct chart *c)
{
	struct frame fr;

	frame_init(&fr, c, f);
	fprintf(f, "<svg viewBox=\"0 0 %g %g\" role=\"img\" aria-label=\"",
		WIDTH, HEIGHT);
	html_text(f, c->title);
	fputs(". The numbers stand in the table below.\">\n", f);
	y_axis(&fr);
	x_axis(&fr);
	/* The first series is the main one: drawn last, on top. */
	for (u32 s = c->nr_series; s-- > 0;) {
		if (c->stacked || (s && s == c->band))
			area(&fr, s);
		curve(&fr, s);
		if (c->markers)
			dots(&fr, s);
	}
	if (!page_library[0])
		columns(&fr);
	fputs("</svg>\n", f);
}

/* ---- the same as JSON, for the page's script
 * --------------------------------------------------------------- */

static void put_axis(FILE *f, const char *name, enum chart_unit unit)
{
	fputs("{\"name\":", f);
	json_text(f, name);
	fprintf(f, ",\"bytes\":%s", unit == CHART_BYTES ? "true" : "false");
}

static void put_values(FILE *f, const double *v, u32 nr)
{
	for (u32 i = 0; i < nr; i++) {
		fputs(i ? "," : "[", f);
		if (isnan(v[i]))
			fputs("null", f);
		else
			fprintf(f, "%.8g", v[i]);
	}
	fputc(']', f);
}

static void put_data(FILE *f, const struct chart *c)
{
	fputs("<script type=\"application/json\">{\"x\":", f);
	put_axis(f, c->x_name, c->x_unit);
	fprintf(f, ",\"log\":%s},\"y\":", c->x_log ? "true" : "false");
	put_axis(f, c->y_name, c->y_unit);
	fprintf(f,
		",\"cut\":%.10g,\"stacked\":%s},\"markers\":%s,\"band\":%u,"
		"\"points\":",
		c->y_cut, c->stacked ? "true" : "false",
		c->markers ? "true" : "false", c->band);
	put_values(f, c->x, c->nr_points);
	fputs(",\"series\":[", f);
	for (u32 s = 0; s < c->nr_series; s++) {
		fputs(s ? ",{\"name\":" : "{\"name\":", f);
		json_text(f, c->series[s].name);
		fputs(",\"values\":", f);
		put_values(f, c->series[s].y, c->nr_points);
		fputc('}', f);
	}
	fputs("]}</script>\n", f);
}

/* ---- around it
 * --------------------------------------------------------------------- */

static void legend(FILE *f, const struct chart *c)
{
	fputs("<ul class=\"legend\">", f);
	for (u32 s = 0; s < c->nr_series; s++) {
		fprintf(f,
			"<li><svg viewBox=\"0 0 34 10\" aria-hidden=\"true\">"
			"<path class=\"line s%u\" d=\"M1 5H33\"/></svg>",
			s);
		html_text(f, c->series[s].name);
		fputs("</li>", f);
	}
	fputs("</ul>\n", f);
}

static void head_cell(FILE *f, const char *name)
{
	fputs("<th scope=\"col\">", f);
	html_text(f, name);
	fputs("</th>", f);
}

static void table_row(FILE *f, const struct chart *c, u32 i)
{
	char t[CHART_TEXT];

	if (c->x_unit == CHART_BYTES)
		fprintf(f, "<tr><td>%s</td>",
			chart_number(t, c->x[i], c->x_unit));
	else
		fprintf(f, "<tr><td>%.*f</td>",
			c->x[i] == floor(c->x[i]) ? 0 : 2, c->x[i]);
	for (u32 s = 0; s < c->nr_series; s++) {
		double v = c->series[s].y[i];

		if (isnan(v))
			fputs("<td>-</td>", f);
		else if (c->y_unit == CHART_BYTES)
			fprintf(f, "<td>%s</td>",
				chart_number(t, v, c->y_unit));
		else
			fprintf(f, "<td>%.*f</td>", v == floor(v) ? 0 : 1, v);
	}
	fputs("</tr>\n", f);
}

static void table(FILE *f, const struct chart *c)
{
	u32 stride = row_stride(c);

	fputs("<details><summary>The numbers", f);
	if (stride > 1)
		fprintf(f, " (one of every %u samples, and the last)", stride);
	fputs("</summary><div class=\"wide\"><table class=\"data\"><thead><tr>",
	      f);
	head_cell(f, c->x_name);
	for (u32 s = 0; s < c->nr_series; s++)
		head_cell(f, c->series[s].name);
	fputs("</tr></thead><tbody>\n", f);
	for (u32 i = 0; i < c->nr_points; i = next_row(c, i))
		table_row(f, c, i);
	fputs("</tbody></table></div></details>\n", f);
}

void chart_write(FILE *f, const struct chart *c)
{
	fputs("<figure class=\"chart\">\n<figcaption><h3>", f);
	html_text(f, c->title);
	fputs("</h3><p>", f);
	html_text(f, c->about);
	if (c->y_cut > 0)
		fputs(" The picture is cut at the top.", f);
	fputs("</p></figcaption>\n", f);
	if (c->nr_points < 2) {
		fputs("<p class=\"none\">The run was too short for a curve."
		      "</p>\n</figure>\n",
		      f);
		return;
	}
	legend(f, c);
	fputs("<div class=\"yname\">", f);
	html_text(f, c->y_name);
	fputs("</div>\n", f);
	picture(f, c);
	fputs("<div class=\"xname\">", f);
	html_text(f, c->x_name);
	fputs("</div>\n", f);
	table(f, c);
	if (page_library[0])
		put_data(f, c);
	fputs("</figure>\n", f);
}
