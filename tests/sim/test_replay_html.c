/* SPDX-License-Identifier: MIT */
/* The report of a replay: sound HTML, complete or not there at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h wants the four above first. */
#include <cmocka.h>

#include "chart.h"
#include "page.h"
#include "replay.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NR_RUNS	  3u
#define MAX_DEPTH 64

struct fixture {
	char dir[64];
	char path[128];
	struct replay_result *runs;
};

/* ---- a folder of its own, and runs ----------------------------------------
 */

static void fill_closeup(struct replay_closeup *c)
{
	snprintf(c->zone, sizeof(c->zone), "node 0, DMA");
	c->min = 60;
	c->low = 75;
	c->high = 90;
	c->nr = 50;
	for (u32 i = 0; i < c->nr; i++)
		c->m[i] = (struct replay_moment){i * 1000, 75 + i % 16, i, 1};
}

/* Frames by order of address: slab, anonymous, free, and one strange letter. */
static void fill_shots(struct replay_series *all)
{
	all->nr_shots = 5;
	all->cells = 100;
	for (u32 i = 0; i < all->nr_shots; i++) {
		all->shots[i].references = i * 200000;
		memset(all->shots[i].cells, 'b', 10);
		memset(all->shots[i].cells + 10, 'a', 10 * (i + 1));
		memset(all->shots[i].cells + 20 + 10 * i, '.', 80 - 10 * i);
		all->shots[i].cells[99] = '-';
	}
}

static void fill_series(struct replay_series *all)
{
	all->nr_samples = 200;
	for (u32 i = 0; i < all->nr_samples; i++) {
		struct replay_sample *s = &all->samples[i];

		s->references = i * 5000;
		s->free = i < 100 ? 1000 - 9 * i : 80 + i % 13;
		s->free_least = s->free - 10;
		s->free_most = s->free + 10;
		s->min = 60;
		s->low = 75;
		s->high = 90;
		s->pgfault = 30 * i;
		s->pgmajfault = 3 * i;
	}
	all->nr_zones = 2;
	snprintf(all->zones[0], sizeof(all->zones[0]), "node 0, DMA");
	snprintf(all->zones[1], sizeof(all->zones[1]), "node 0, Normal");
	fill_closeup(&all->closeup);
	fill_shots(all);
}

static void fill_run(struct replay_result *r, u32 nr)
{
	r->mem_bytes = (u64)(8 << nr) << 20;
	r->cpus = 1;
	snprintf(r->policy, sizeof(r->policy), "classic");
	r->references = 1000000;
	r->footprint_pages = 2000;
	r->pageins = 900 - 100 * nr;
	r->min_pageins = 300;
	fill_series(&r->series);
}

static int setup(void **state)
{
	struct fixture *x = calloc(1, sizeof(*x));
	const char *tmp = getenv("TMPDIR");

	assert_non_null(x);
	x->runs = calloc(NR_RUNS, sizeof(*x->runs));
	assert_non_null(x->runs);
	snprintf(x->dir, sizeof(x->dir), "%.40s/mmkit-XXXXXX",
		 tmp ? tmp : "/tmp");
	assert_non_null(mkdtemp(x->dir));
	snprintf(x->path, sizeof(x->path), "%s/r.html", x->dir);
	for (u32 i = 0; i < NR_RUNS; i++)
		fill_run(&x->runs[i], i);
	*state = x;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *x = *state;

	unlink(x->path);
	rmdir(x->dir);
	free(x->runs);
	free(x);
	return 0;
}

static u32 files_in(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	u32 n = 0;

	assert_non_null(d);
	while ((e = readdir(d)))
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

/* The whole file, to be freed. */
static char *slurp(const char *path)
{
	FILE *f = fopen(path, "re");
	struct stat st;
	char *text;

	assert_non_null(f);
	assert_int_equal(fstat(fileno(f), &st), 0);
	text = calloc(1, (size_t)st.st_size + 1);
	assert_non_null(text);
	assert_int_equal(fread(text, 1, (size_t)st.st_size, f), st.st_size);
	fclose(f);
	return text;
}

static void write_report(struct fixture *x, u32 nr)
{
	assert_int_equal(replay_write_html(x->path, x->runs, nr, "t.trace",
					   "mmkit replay t.trace"),
			 0);
}

/* ---- well-formed?
 * ------------------------------------------------------------ */

/* Blanks instead of what stands between <script> and its end: text to a
 * parser. Returns their number. */
static u32 blank_scripts(char *text)
{
	u32 n = 0;

	for (char *p = text, *end; (p = strstr(p, "<script")); p = end, n++) {
		p = strchr(p, '>');
		assert_non_null(p);
		end = strstr(p, "</script>");
		assert_non_null(end);
		memset(p + 1, ' ', (size_t)(end - p - 1));
	}
	return n;
}

static bool is_void(const char *name)
{
	return !strcmp(name, "meta") || !strcmp(name, "!DOCTYPE");
}

/* Past the '>' of the tag at P, minding quotes; SELF: it ends with "/>". */
static const char *tag_end(const char *p, bool *self)
{
	char quote = 0;

	for (p++; *p && (quote || *p != '>'); p++) {
		if (quote)
			quote = *p == quote ? 0 : quote;
		else if (*p == '"')
			quote = '"';
		assert_true(quote || *p != '<');
	}
	assert_int_equal(*p, '>');
	*self = p[-1] == '/';
	return p + 1;
}

/* Every tag that opens is closed, in order. Returns the number of tags. */
static u32 check_nesting(const char *text)
{
	char open[MAX_DEPTH][16];
	u32 depth = 0, tags = 0;
	const char *p = text;

	while ((p = strchr(p, '<'))) {
		char name[16] = "";
		bool self, closing = p[1] == '/';

		assert_int_equal(
			sscanf(p + 1 + closing, "%15[!A-Za-z0-9]", name), 1);
		p = tag_end(p, &self);
		tags++;
		if (closing) {
			assert_true(depth > 0);
			assert_string_equal(open[--depth], name);
		} else if (!self && !is_void(name)) {
			assert_true(depth < MAX_DEPTH);
			memcpy(open[depth++], name, sizeof(name));
		}
	}
	assert_int_equal(depth, 0);
	return tags;
}

static u32 occurrences(const char *text, const char *what)
{
	u32 n = 0;

	for (; (text = strstr(text, what)); text += strlen(what))
		n++;
	return n;
}

static void test_well_formed(void **state)
{
	struct fixture *x = *state;

	for (u32 nr = 1; nr <= NR_RUNS; nr++) {
		u32 scripts, charts;
		char *text;

		write_report(x, nr);
		text = slurp(x->path);
		/* Eleven curves a run, and five over all. */
		assert_int_equal(occurrences(text, "<figure class=\"chart\">"),
				 11 * nr + (nr > 1 ? 5 : 0));
		assert_int_equal(occurrences(text, "<figure class=\"frames\">"),
				 nr);
		assert_int_equal(occurrences(text, "<details>"),
				 occurrences(text, "<figure"));
		/* A hole in a curve is null to the script. */
		assert_null(strstr(text, "[nan,"));
		assert_null(strstr(text, ",nan,"));
		/* What the script draws is there as often as what it replaces,
		 * and its own text; the library's where there is one. */
		scripts = blank_scripts(text);
		charts = occurrences(text, "<figure class=\"chart\">");
		assert_int_equal(scripts,
				 page_library[0] ? charts + nr + 2 : nr + 1);
		assert_true(check_nesting(text) > 500);
		assert_null(strstr(text, "nan"));
		assert_null(strstr(text, "inf\""));
		free(text);
	}
}

static void test_self_contained(void **state)
{
	struct fixture *x = *state;
	char *text;

	write_report(x, NR_RUNS);
	text = slurp(x->path);
	assert_true(strlen(text) < 2 << 20);
	/* Scripts have names of other places in their remarks; that nothing can
	 * be fetched is the browser's to see to, by this word. */
	assert_non_null(strstr(text, "content=\"default-src 'none'; "));
	blank_scripts(text);
	assert_null(strstr(text, "://"));
	assert_null(strstr(text, "src="));
	assert_null(strstr(text, "url("));
	assert_null(strstr(text, "@import"));
	assert_null(strstr(text, "<link"));
	free(text);
}

static void test_hostile_text(void **state)
{
	struct fixture *x = *state;
	char *text;

	x->runs->killed_tasks = 1;
	snprintf(x->runs->oom, sizeof(x->runs->oom), "%s",
		 "</ul><script>evil('x')</script>&\x01");
	assert_int_equal(replay_write_html(x->path, x->runs, 1,
					   "a/<b>\"&\n.trace",
					   "mmkit </code><script>"),
			 0);
	text = slurp(x->path);
	assert_null(strstr(text, "<script>evil"));
	blank_scripts(text);
	check_nesting(text);
	assert_null(strstr(text, "</code><script>"));
	assert_non_null(strstr(text, "&lt;/ul&gt;&lt;script&gt;evil(&#39;x"));
	assert_non_null(strstr(text, "<h1>&lt;b&gt;&quot;&amp;?.trace on 8"));
	free(text);
}

static void test_extremes(void **state)
{
	struct fixture *x = *state;
	char *text;

	/* Nothing at all, one sample, and everything at its largest. */
	memset(&x->runs[0], 0, sizeof(x->runs[0]));
	x->runs[1].series.nr_samples = 1;
	memset(&x->runs[2], 0xff, sizeof(x->runs[2]));
	for (u32 i = 0; i < NR_RUNS; i++)
		snprintf(x->runs[i].policy, sizeof(x->runs[i].policy), "arc");
	memset(x->runs[2].oom, 0, sizeof(x->runs[2].oom));
	x->runs[2].min_known = x->runs[2].exact = true;
	memset(&x->runs[2].whatif, 0, sizeof(x->runs[2].whatif));
	memset(&x->runs[2].memcg, 0, sizeof(x->runs[2].memcg));
	x->runs[2].series.nr_samples = REPLAY_MAX_SAMPLES;
	memset(x->runs[2].series.zones, 0, sizeof(x->runs[2].series.zones));
	memset(x->runs[2].arch, 0, sizeof(x->runs[2].arch));
	x->runs[0].mem_bytes = 4096;
	write_report(x, NR_RUNS);
	text = slurp(x->path);
	blank_scripts(text);
	check_nesting(text);
	assert_int_equal(occurrences(text, "too short for a curve"), 9 + 10);
	assert_int_equal(occurrences(text, "No picture of the frames"), 1);
	free(text);
}

/* Several policies: one chart for each measure, a curve for each policy. */
static void test_policies_side_by_side(void **state)
{
	struct fixture *x = *state;
	char *text;

	snprintf(x->runs[0].policy, sizeof(x->runs[0].policy), "sieve");
	write_report(x, 2);
	text = slurp(x->path);
	blank_scripts(text);
	check_nesting(text);
	assert_int_equal(occurrences(text, "class=\"heat\""), 1);
	assert_int_equal(occurrences(text, "Page-ins by size of memory"), 0);
	assert_non_null(strstr(text, "policy <b>sieve, classic</b>"));
	assert_non_null(strstr(text, "page-ins / optimum"));
	free(text);
}

/* ---- what is said in words
 * ----------------------------------------------------- */

static void test_inversion_is_said(void **state)
{
	struct fixture *x = *state;
	char *text;

	write_report(x, 2);
	text = slurp(x->path);
	assert_non_null(strstr(text, "More memory never took more page-ins"));
	free(text);
	x->runs[1].pageins = 12345;
	write_report(x, 2);
	text = slurp(x->path);
	assert_non_null(strstr(text, "16 MiB of memory took more page-ins "
				     "(12,345) than 8 MiB (900)"));
	free(text);
}

static void test_lost_pages_are_said(void **state)
{
	struct fixture *x = *state;
	char *text;

	x->runs->data_errors = 1234567;
	write_report(x, 1);
	text = slurp(x->path);
	assert_non_null(strstr(text, "lost or mixed up: 1,234,567."));
	assert_non_null(strstr(text, "<b>3.00 times the optimum</b>"));
	free(text);
}

/* ---- the file
 * -------------------------------------------------------------------- */

static void test_nothing_half_done(void **state)
{
	struct fixture *x = *state;
	struct stat st;
	char path[256];
	FILE *f;

	write_report(x, 1);
	assert_int_equal(files_in(x->dir), 1);
	/* An earlier report keeps its mode and is replaced as a whole. */
	assert_int_equal(chmod(x->path, 0640), 0);
	f = fopen(x->path, "we");
	assert_non_null(f);
	assert_true(fputs("old", f) >= 0);
	fclose(f);
	write_report(x, 1);
	assert_int_equal(stat(x->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	assert_true(st.st_size > 10000);
	assert_int_equal(files_in(x->dir), 1);

	errno = 0;
	assert_int_equal(replay_write_html(x->dir, x->runs, 1, "t", "c"), -1);
	assert_int_equal(errno, EISDIR);
	snprintf(path, sizeof(path), "%s/no/r.html", x->dir);
	assert_int_equal(replay_write_html(path, x->runs, 1, "t", "c"), -1);
	assert_int_equal(errno, ENOENT);
	snprintf(path, sizeof(path), "%s/x", x->path);
	assert_int_equal(replay_write_html(path, x->runs, 1, "t", "c"), -1);
	assert_int_equal(errno, ENOTDIR);
	assert_int_equal(files_in(x->dir), 1);
}

static void test_devices_stay(void **state)
{
	struct fixture *x = *state;
	struct stat st;

	assert_int_equal(replay_write_html("/dev/null", x->runs, 1, "t", "c"),
			 0);
	assert_int_equal(stat("/dev/null", &st), 0);
	assert_true(S_ISCHR(st.st_mode));
	if (access("/dev/full", W_OK))
		return;
	assert_int_equal(replay_write_html("/dev/full", x->runs, 1, "t", "c"),
			 -1);
	assert_int_equal(errno, ENOSPC);
}

static void test_links_are_followed(void **state)
{
	struct fixture *x = *state;
	char link[256];
	struct stat st;

	write_report(x, 1);
	snprintf(link, sizeof(link), "%s/link", x->dir);
	assert_int_equal(symlink("r.html", link), 0);
	assert_int_equal(truncate(x->path, 0), 0);
	assert_int_equal(replay_write_html(link, x->runs, 1, "t", "c"), 0);
	assert_int_equal(lstat(link, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(stat(x->path, &st), 0);
	assert_true(st.st_size > 10000);
	unlink(link);
}

/* ---- charts
 * ------------------------------------------------------------------------ */

static void test_numbers(void **state)
{
	static const struct {
		double v;
		enum chart_unit unit;
		const char *text;
	} cases[] = {
		{0, CHART_COUNT, "0"},
		{999, CHART_COUNT, "999"},
		{1000, CHART_COUNT, "1k"},
		{12500, CHART_COUNT, "12.5k"},
		{999999, CHART_COUNT, "1M"},
		{0.25, CHART_COUNT, "0.25"},
		{1023, CHART_BYTES, "1023 B"},
		{1024, CHART_BYTES, "1 KiB"},
		{16777216, CHART_BYTES, "16 MiB"},
		{1099511627776.0, CHART_BYTES, "1 TiB"},
		{1e300, CHART_COUNT, "1e+288T"},
	};
	char buf[CHART_TEXT];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		assert_string_equal(
			chart_number(buf, cases[i].v, cases[i].unit),
			cases[i].text);
}

static void test_steps(void **state)
{
	(void)state;
	assert_true(chart_step(10, 5, CHART_COUNT) == 2);
	assert_true(chart_step(11, 5, CHART_COUNT) == 5);
	assert_true(chart_step(51, 5, CHART_COUNT) == 20);
	assert_true(chart_step(20 << 20, 5, CHART_BYTES) == 4 << 20);
	for (double range = 1e-3; range < 1e18; range *= 1.37) {
		double c = chart_step(range, 5, CHART_COUNT);
		double b = chart_step(range, 5, CHART_BYTES);
		double lead = c / pow(10, floor(log10(c) + 1e-9));

		assert_true(c * 5 >= range * (1 - 1e-9) &&
			    c * 2 <= range * 1.3);
		assert_true(fabs(lead - 1) < 1e-6 || fabs(lead - 2) < 1e-6 ||
			    fabs(lead - 5) < 1e-6);
		assert_true(b * 5 >= range * (1 - 1e-9));
		assert_true(exp2(round(log2(b))) == b);
	}
}

int main(void)
{
	const struct CMUnitTest report[] = {
		cmocka_unit_test_setup_teardown(test_well_formed, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_self_contained, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_hostile_text, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_extremes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_policies_side_by_side,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_inversion_is_said, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_lost_pages_are_said, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_nothing_half_done, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_devices_stay, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_links_are_followed, setup,
						teardown),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_steps),
	};

	return cmocka_run_group_tests(report, NULL, NULL);
}
