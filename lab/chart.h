/* SPDX-License-Identifier: MIT */
/*
 * chart.h - line charts as inline SVG, with their legend and their table.
 *
 * Everything is text appended to a stdio stream. Colours are CSS classes
 * "s0" .. "s7" of the page around; each also has a dash pattern of its own,
 * so that no curve is told by colour alone. The numbers stand beside the SVG as
 * JSON too, from which the page's script (report.js) may draw the chart anew.
 * Stream errors are the caller's to look for (ferror).
 */
#ifndef LAB_CHART_H
#define LAB_CHART_H

#include <stdio.h>

#include <mmkit/types.h>

#define CHART_MAX_SERIES 8
#define CHART_TEXT	 32

enum chart_unit {
	CHART_COUNT, /* 950, 12.5k, 3M */
	CHART_BYTES, /* 950 B, 12 KiB, 3 MiB */
};

struct chart_series {
	const char *name;
	const double *y; /* one value for each point; NAN: none here */
};

struct chart {
	const char *title;
	const char *about;  /* one sentence on how to read it */
	const char *x_name; /* below the axis, and head of the table */
	const char *y_name;
	enum chart_unit x_unit, y_unit;
	double y_cut; /* above 0: the picture ends at or above this */
	bool x_log;   /* base 2, a tick at every point; values above 0 */
	bool markers; /* a dot at each point */
	bool stacked; /* each stands on the one before; no y_cut */
	u32 band;     /* the space between this series and the one before is
		       * filled; 0: none */
	u32 nr_points;
	const double *x; /* ascending */
	u32 nr_series;	 /* 1 .. CHART_MAX_SERIES */
	struct chart_series series[CHART_MAX_SERIES];
};

/*
 * chart_write: a <figure> with title, legend, picture, and the numbers in a
 * closed <details>. Fewer than two points give a sentence instead of a
 * picture. Long tables are thinned, and say so.
 */
void chart_write(FILE *f, const struct chart *c);

/* chart_number: V for people, in BUF; returns BUF. */
const char *chart_number(char buf[CHART_TEXT], double v, enum chart_unit unit);

/*
 * chart_step: the smallest of 1, 2, 5 times a power of ten (for bytes a power
 * of two) by which RANGE > 0 is crossed in at most STEPS > 0 steps.
 */
double chart_step(double range, u32 steps, enum chart_unit unit);

/* json_text: S in quotes, as JSON that may stand inside a <script>. */
void json_text(FILE *f, const char *s);

/* html_text: S with &, <, > and quotes escaped, control characters as "?". */
void html_text(FILE *f, const char *s);

#endif
