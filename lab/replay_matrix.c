/* SPDX-License-Identifier: MIT */
/*
 * replay_matrix.c - several policies side by side.
 *
 * The runs of a list of policies and a list of sizes come as one array, policy
 * by policy, each with all sizes. What is compared is what a policy decides:
 * pages read in again, as a ratio to the offline optimum with as many frames;
 * major faults, for which somebody waited, by the same measure; how many pages
 * it looked at for each that it freed; and how long programs stood in faults
 * that had to wait.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "args.h"
#include "chart.h"
#include "replay.h"

u32 replay_nr_sizes(const struct replay_result *runs, u32 nr)
{
	u32 n = 0;

	while (n < nr && !strcmp(runs[n].policy, runs[0].policy))
		n++;
	return n;
}

double replay_over_min(const struct replay_result *r, u64 events)
{
	if (!r->min_known || !r->min_pageins)
		return NAN;
	return (double)events / (double)r->min_pageins;
}

double replay_scan_cost(const struct replay_result *r)
{
	u64 looked = r->events[PGSCAN_KSWAPD] + r->events[PGSCAN_DIRECT] +
		     r->events[PGREFILL];
	u64 freed = r->events[PGSTEAL_KSWAPD] + r->events[PGSTEAL_DIRECT];

	return freed ? (double)looked / (double)freed : NAN;
}

static double cell_pageins(const struct replay_result *r)
{
	return replay_over_min(r, r->pageins);
}

static double cell_major(const struct replay_result *r)
{
	return replay_over_min(r, r->maj_flt);
}

static double cell_stall(const struct replay_result *r)
{
	return (double)r->stall_ns / 1e6;
}

static const struct part {
	const char *name;
	double (*get)(const struct replay_result *r);
	int digits;
} parts[] = {
	{"page-ins / optimum", cell_pageins, 3},
	{"major faults / optimum", cell_major, 3},
	{"pages looked at / reclaimed", replay_scan_cost, 2},
	{"stalled, ms", cell_stall, 1},
};

static void size_text(char buf[48], const struct replay_result *r)
{
	char size[24];

	args_size_text(size, r->mem_bytes);
	if (r->mem_percent)
		snprintf(buf, 48, "%u%% = %s", r->mem_percent, size);
	else
		snprintf(buf, 48, "%s", size);
}

/* A size like 3100K says more than 3174400. */
static void print_part(const struct part *p, const struct replay_result *runs,
		       u32 nr, u32 sizes)
{
	char buf[48];

	printf("\n%-28s", p->name);
	for (u32 i = 0; i < sizes; i++) {
		size_text(buf, &runs[i]);
		printf(" %16s", buf);
	}
	putchar('\n');
	for (u32 k = 0; k < nr; k += sizes) {
		printf("%-28s", runs[k].policy);
		for (u32 i = k; i < k + sizes; i++) {
			double v = p->get(&runs[i]);

			if (isnan(v))
				printf(" %16s", "-");
			else
				printf(" %16.*f", p->digits, v);
		}
		putchar('\n');
	}
}

void replay_print_matrix(const struct replay_result *runs, u32 nr,
			 const char *trace)
{
	u32 sizes = replay_nr_sizes(runs, nr);

	printf("replay of %s on %s, %u policies, %u CPU%s, seed %llu\n", trace,
	       runs->arch, nr / sizes, runs->cpus, runs->cpus == 1 ? "" : "s",
	       (unsigned long long)runs->seed);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		print_part(&parts[i], runs, nr, sizes);
	for (u32 i = 0; i < nr; i++)
		if (runs[i].killed_tasks)
			printf("out of memory (%s): %s\n", runs[i].policy,
			       runs[i].oom);
}

/* ---- the table as HTML
 * --------------------------------------------------------------------------
 */

/* Is the run's value the least of its size? Of equals all are. */
static bool is_best(const struct part *p, const struct replay_result *runs,
		    u32 nr, u32 sizes, u32 i)
{
	double v = p->get(&runs[i]);

	if (isnan(v) || nr == sizes)
		return false;
	for (u32 k = i % sizes; k < nr; k += sizes)
		if (p->get(&runs[k]) < v)
			return false;
	return true;
}

static void put_heat_cell(FILE *f, const struct part *p, double v, double worst,
			  bool best)
{
	double share = worst > 0 ? v / worst : 0;

	if (isnan(v)) {
		fputs("<td>-</td>", f);
		return;
	}
	fprintf(f,
		"<td%s style=\"background:color-mix(in srgb,var(--s1) %.0f%%,"
		"var(--card))\">%.*f</td>",
		best ? " class=\"best\"" : "", 45 * share * share, p->digits,
		v);
}

static void put_heat_part(FILE *f, const struct part *p,
			  const struct replay_result *runs, u32 nr, u32 sizes)
{
	double worst = 0;
	char buf[48];

	for (u32 i = 0; i < nr; i++)
		if (p->get(&runs[i]) > worst)
			worst = p->get(&runs[i]);
	fprintf(f, "<tr><th scope=\"col\">%s</th>", p->name);
	for (u32 i = 0; i < sizes; i++) {
		size_text(buf, &runs[i]);
		fprintf(f, "<th scope=\"col\">%s</th>", buf);
	}
	fputs("</tr>\n", f);
	for (u32 k = 0; k < nr; k += sizes) {
		fprintf(f, "<tr><th scope=\"row\">%s</th>", runs[k].policy);
		for (u32 i = k; i < k + sizes && i < nr; i++)
			put_heat_cell(f, p, p->get(&runs[i]), worst,
				      is_best(p, runs, nr, sizes, i));
		fputs("</tr>\n", f);
	}
}

static void put_heat(FILE *f, const struct replay_result *runs, u32 nr,
		     u32 sizes)
{
	fputs("<p>Policies against sizes of memory. 1 is the optimum, the best "
	      "possible policy, which knows the future, with as many frames; "
	      "less is better everywhere.",
	      f);
	if (nr > sizes)
		fputs(" The best of each size is underlined.", f);
	fputs("</p>\n<div class=\"wide\"><table class=\"heat\"><tbody>\n", f);
	for (size_t p = 0; p < ARRAY_SIZE(parts); p++)
		put_heat_part(f, &parts[p], runs, nr, sizes);
	fputs("</tbody></table></div>\n", f);
}

/* ---- the chart
 * --------------------------------------------------------------------------
 */

void replay_put_policies(FILE *f, const struct replay_result *runs, u32 nr)
{
	static double x[REPLAY_MAX_SAMPLES];
	static double y[CHART_MAX_SERIES][REPLAY_MAX_SAMPLES];
	u32 sizes = min(replay_nr_sizes(runs, nr), (u32)REPLAY_MAX_SAMPLES);
	struct chart c = {
		.x_name = "memory",
		.x_unit = CHART_BYTES,
		.x_log = true,
		.markers = true,
		.nr_points = sizes,
		.x = x,
		.nr_series = min(nr / sizes, (u32)CHART_MAX_SERIES),
	};

	put_heat(f, runs, nr, sizes);
	if (nr == 1)
		fputs("<p>Give <code>--policy</code> or <code>--mem</code> a "
		      "list to compare several.</p>\n",
		      f);
	for (size_t p = 0; sizes > 1 && p < ARRAY_SIZE(parts); p++) {
		c.title = c.y_name = parts[p].name;
		c.about = p < 2 ? "1 is the best possible policy, which knows "
				  "the future, with as many frames."
				: "Less is better.";
		for (u32 i = 0; i < sizes; i++)
			x[i] = (double)runs[i].mem_bytes;
		for (u32 s = 0; s < c.nr_series; s++) {
			for (u32 i = 0; i < sizes; i++)
				y[s][i] = parts[p].get(&runs[s * sizes + i]);
			c.series[s].name = runs[s * sizes].policy;
			c.series[s].y = y[s];
		}
		chart_write(f, &c);
	}
}
